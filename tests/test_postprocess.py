"""What is made of vectors without training: against numpy, kept with the encoder, and for the pooling that it was fitted to."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import WORDS, random_tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.encoders import UlmfitEncoder
from vecsearch.encoders.ulmfit.folder import read_encoder, write_config, write_encoder
from vecsearch.encoders.ulmfit.postprocess import FILE, Postprocess, turn
from vecsearch.errors import CheckpointError, DataError, UsageError
from vecsearch.files import sha256
from vecsearch.text.vocabulary import Vocabulary

SIZES = (8, 10, 8)


@pytest.fixture
def texts(tmp_path):
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(WORDS[9:], rng.integers(2, 9))) for _ in range(200)]
    (tmp_path / "texts.txt").write_text("\n".join(lines))
    return lines


@pytest.fixture
def made(vecsearch, texts, tiny_folder, tmp_path):
    """Makes an encoder with a postprocess, and gives it beside the one it was made from."""

    def make(*options, start=None, code=0):
        start = start or tiny_folder(("forward",), SIZES)
        ran = vecsearch("model", "postprocess", start, tmp_path / "texts.txt", "-o", tmp_path / "new", *options)
        assert ran.code == code, ran.err
        return ran.err if code else (UlmfitEncoder(start), UlmfitEncoder(tmp_path / "new"))

    return make


@given(st.integers(1, 6), st.booleans(), st.integers(0, 3), st.booleans(), st.integers(0, 20))
@settings(max_examples=40)
def test_directions_are_those_of_the_variance(keep, centre, remove, whiten, seed):
    rng = np.random.default_rng(seed)
    vectors = (rng.standard_normal((100, 6)) * [9, 5, 3, 2, 1, 0.5] + 2).astype(np.float32)
    if keep + remove > 6:
        with pytest.raises(UsageError, match=f"no {remove} directions to leave out and {keep} to keep"):
            turn(vectors, centre=centre, remove=remove, dim=keep, whiten=whiten)
        return
    mean, matrix = turn(vectors, centre=centre, remove=remove, dim=keep, whiten=whiten)
    moved = vectors - (vectors.mean(axis=0) if centre else 0)
    np.testing.assert_allclose(mean, vectors.mean(axis=0) if centre else np.zeros(6), atol=1e-4)
    found = (vectors - mean) @ matrix
    _, values, directions = np.linalg.svd(moved, full_matrices=False)
    expected = moved @ directions[remove : remove + keep].T
    if whiten:
        expected = expected / (values[remove : remove + keep] / np.sqrt(len(vectors)))
        np.testing.assert_allclose((found**2).mean(axis=0), 1, rtol=1e-2)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-2 * np.abs(expected).max())


@pytest.mark.parametrize("engine", ["torch", "numpy", "numpy in batches"])
@pytest.mark.parametrize("pooling", ["mean", "raw"])
def test_words_are_weighed_by_their_frequency(made, texts, tiny_folder, tmp_path, lstm_by, engine, pooling):
    lstm_by(engine)
    start = tmp_path / "start"
    start.mkdir()
    UlmfitEncoder(tiny_folder(("forward", "backward"), SIZES), pooling=pooling).save(start)
    old, new = made("--sif", "0.01", start=start)
    tokens = [old.tokens(text) for text in texts]
    total = sum(map(len, tokens))
    for text, its in zip(texts[:20], tokens, strict=False):
        share = np.array([sum(part.count(token) for part in tokens) / total for token in its])
        weights = 0.01 / (0.01 + share)
        if pooling == "raw":
            rows = old.vocabulary.numericalise(its)
            states = np.concatenate([stack.embedding.rows(rows) for stack in old._opened.stacks.values()], axis=1)
            weights[np.isin(its, WORDS[:9])] = 0
        else:
            ids = np.array(old.vocabulary.numericalise(its))
            states = np.concatenate([old.states_of_ids(ids, "forward"), old.states_of_ids(ids[::-1], "backward")[::-1]], axis=1)
        np.testing.assert_allclose(new.encode([text])[0], weights @ states / weights.sum(), atol=1e-5)


def test_all_of_it_together_and_explained(made, texts):
    old, new = made("--sif", "0.01", "--centre", "--remove", 1, "--dims", 5, "--whiten")
    vectors = new.encode(texts)
    assert new.dim == 5 and vectors.shape == (200, 5) and new.fingerprint != old.fingerprint
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(vectors.T), np.eye(5), atol=0.1)
    assert not new.encode(["", "zzyzx"]).any()
    for text in texts[:10]:
        np.testing.assert_allclose(new.shares(text)[1].sum(axis=0), new.encode([text])[0], atol=1e-5)
    assert new.source["postprocess"] == {"sif": 0.01, "centre": True, "remove": 1, "dim": 5, "whiten": True, "texts": 200}


def test_it_is_for_its_own_pooling_alone(made, texts, tmp_path):
    old, new = made("--centre")
    for options in ({"pooling": "max"}, {"pooling": "raw"}, {"layers": [0]}):
        other = UlmfitEncoder(tmp_path / "new", **options)
        plain = UlmfitEncoder(old._opened.path, **options)
        np.testing.assert_array_equal(other.encode(texts[:5]), plain.encode(texts[:5]))
        assert other.fingerprint == plain.fingerprint
        folder = tmp_path / str(options)
        folder.mkdir()
        other.save(folder)
        assert not (folder / FILE).exists() and UlmfitEncoder(folder).fingerprint == other.fingerprint
    (tmp_path / "copy").mkdir()
    new.save(tmp_path / "copy")
    again = UlmfitEncoder(tmp_path / "copy")
    assert again.fingerprint == new.fingerprint
    np.testing.assert_array_equal(again.encode(texts[:5]), new.encode(texts[:5]))


@pytest.mark.parametrize(
    "options, chosen",
    [
        (["--pooling", "raw"], {"pooling": "raw"}),
        (["--pooling", "max"], {"pooling": "max"}),
        (["--layer", 0], {"layers": [0]}),
        (["--layer", 0, "--layer", -1], {"layers": [0, -1]}),
    ],
    ids=str,
)
def test_a_pooling_and_layers_become_the_encoders_own(made, texts, tmp_path, options, chosen):
    old, new = made("--centre", *options)
    pooled = UlmfitEncoder(old._opened.path, **chosen).encode(texts)
    assert not np.allclose(pooled, old.encode(texts))  # the option took effect
    assert new.encode(texts).mean(axis=0) == pytest.approx(np.zeros(8), abs=2e-3)  # fitted in bfloat16, perhaps
    close = pooled - pooled.mean(axis=0)
    np.testing.assert_allclose(new.encode(texts) @ new.encode(texts).T, close @ close.T, atol=2e-2)
    assert UlmfitEncoder(tmp_path / "new").fingerprint == UlmfitEncoder(tmp_path / "new", **chosen).fingerprint


@pytest.mark.parametrize(
    "options, code, message",
    [
        ([], 2, "nothing to do"),
        (["--centre", "--layer", "7"], 2, "layer 7"),
        (["--dims", "9"], 2, "vectors of length 8 have no 0 directions to leave out and 9 to keep"),
        (["--remove", "8"], 2, "no 8 directions to leave out and 0 to keep"),
        (["--sif", "0"], 2, "0.0 is not in the range"),
    ],
)
def test_what_makes_no_sense_is_refused(made, tmp_path, options, code, message):
    assert message in made(*options, code=code) and not (tmp_path / "new").exists()


def test_too_few_texts_are_refused(made, texts, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(texts[:8]))
    assert "8 texts are too few for vectors of length 8: give at least 9" in made("--centre", code=3)


def test_a_postprocess_is_not_put_on_another(made, vecsearch, tmp_path):
    made("--centre")
    ran = vecsearch("model", "postprocess", tmp_path / "new", tmp_path / "texts.txt", "-o", tmp_path / "twice", "--whiten")
    assert ran.code == 2 and "has a postprocess already" in ran.err


def test_weights_are_for_means(made, tiny_folder, tmp_path):
    (tmp_path / "max").mkdir()
    UlmfitEncoder(tiny_folder(("forward",), SIZES), pooling="max").save(tmp_path / "max")
    assert "pools by max, in which no word weighs more" in made("--sif", 0.001, start=tmp_path / "max", code=2)


def test_directions_without_variance_are_not_stretched():
    with pytest.raises(DataError, match="do not vary in 3 directions"):
        turn(np.eye(3, dtype=np.float32)[np.zeros(9, int)], centre=True, remove=0, dim=None, whiten=True)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (Postprocess(weights=np.ones(3, np.float32)), r"weighs words of shape \(3,\)"),
        (Postprocess(matrix=np.ones((8, 2), np.float32)), "a mean of shape None"),
        (Postprocess(mean=np.ones(8, np.float32)), "a matrix of shape None"),
        (Postprocess(mean=np.ones(7, np.float32), matrix=np.ones((8, 2), np.float32)), r"a mean of shape \(7,\)"),
        (Postprocess(mean=np.ones(7, np.float32), matrix=np.ones((7, 2), np.float32)), "is for vectors of length 7, not 8"),
        (b"no safetensors", "cannot be read"),
    ],
    ids=str,
)
def test_a_file_that_does_not_fit_is_refused(tokenizer, tmp_path, wrong, message):
    tensors = random_tensors(("forward",), SIZES, len(WORDS), np.random.default_rng(0))
    write_encoder(tmp_path, tensors, Vocabulary(WORDS), tokenizer, source={})
    (tmp_path / FILE).write_bytes(wrong) if isinstance(wrong, bytes) else wrong.save(tmp_path)
    config = read_encoder_config(tmp_path)
    write_config(tmp_path, config)
    with pytest.raises(CheckpointError, match=message):
        UlmfitEncoder(tmp_path)


def read_encoder_config(folder):
    """The config of a folder, with the postprocess among its files."""
    aside = (folder / FILE).read_bytes()
    (folder / FILE).unlink()
    config = read_encoder(folder).config
    (folder / FILE).write_bytes(aside)
    return replace(config, files={**config.files, FILE: sha256(folder / FILE)})
