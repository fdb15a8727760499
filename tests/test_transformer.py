"""A sentence transformer as an encoder, against transformers itself: a small BERT of random weights."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from sentence_models import TEXTS, WORDS, write_model

from vecsearch.corpus.document import Document
from vecsearch.encoders import TransformerEncoder, open_encoder
from vecsearch.encoders.sentence import base as sentence
from vecsearch.errors import CheckpointError
from vecsearch.index.index import Index
from vecsearch.metric import normalise
from vecsearch.training.start import new_start
from vecsearch.training.teacher import Teacher

if find_spec("transformers") is None:
    pytest.skip("transformers is not installed: the extra `transformer`", allow_module_level=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes the folder of a model that pools in one way."""
    return lambda *pooling, **options: write_model(tmp_path_factory.mktemp("transformer"), *pooling, **options)


def expected(folder, text, pooling, unit, longest=10):
    import torch
    from transformers import BertModel

    words = [WORDS.index(word) for word in text.split()]
    ids = [2, *words[: longest - 2], 3]
    with torch.inference_mode():
        states = BertModel.from_pretrained(folder)(torch.tensor([ids])).last_hidden_state[0].numpy()
    vector = {"mean": states.mean(axis=0), "first": states[0], "max": states.max(axis=0)}[pooling]
    return vector / np.linalg.norm(vector) if unit else vector


def pieces(folder, tokens):
    """Have the folder's tokenizer know these tokens and no others."""
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_bytes())
    stored["model"]["vocab"] = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *tokens])}
    path.write_text(json.dumps(stored))


@pytest.mark.parametrize(
    "tokens, words",
    [
        (["river", "a", "##ing", "bank", "Bank", "2nd", "été"], ["river", "bank", "été"]),
        (["ing", "▁river", "▁a", "▁Bank", "▁bank"], ["river", "bank"]),
        (["ing", "Ġriver", "Ġ", "Ġbank"], ["river", "bank"]),
    ],
    ids=["WordPiece", "SentencePiece", "bytes"],
)
def test_its_words_are_whole(made, tokens, words):
    folder = made()
    pieces(folder, tokens)
    assert TransformerEncoder(folder).words == words


def test_a_new_encoder_borrows_the_teachers_words(made, tmp_path):
    folder = made()
    texts = ["the king", "the queen", "a king the queen"] * 3
    start = new_start(texts, Teacher(folder), words=30, dims=(6, 6), seed=0)
    lent = ["about", "and", "bank", "city", "film", "in", "of", "on", "river", "sat"]
    assert list(start.vocabulary.words[9:]) == ["the", "king", "queen", "a", *lent]
    expected = normalise(TransformerEncoder(folder, dtype="auto").encode(["river"]))[0]
    np.testing.assert_allclose(start.taught["river"], expected, atol=1e-2)
    start = new_start(texts, Teacher(folder), words=12, dims=(6, 6), seed=0)
    assert list(start.vocabulary.words[9:]) == list(start.taught) == ["the", "king", "queen"]


@pytest.mark.parametrize("pooling", ["mean", "first", "max"])
@pytest.mark.parametrize("unit", [True, False])
def test_vectors_are_those_of_transformers(made, monkeypatch, pooling, unit):
    monkeypatch.setattr(sentence, "BATCH_TOKENS", 12)
    folder = made(pooling, unit=unit)
    encoder = open_encoder(folder)
    assert isinstance(encoder, TransformerEncoder) and encoder.dim == 8 and encoder.pooling == pooling
    vectors = encoder.encode(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        wanted = expected(folder, text, pooling, unit) if text else np.zeros(8)
        np.testing.assert_allclose(vector, wanted, atol=1e-5)
    assert encoder.tally.texts == 4 and encoder.tally.empty == 1
    assert encoder.tally.cut_texts == 1 and encoder.tally.cut_tokens == 15 - 8


def test_bfloat16_is_near(made):
    folder = made()
    exact, fast = (TransformerEncoder(folder, dtype=dtype).encode(TEXTS) for dtype in ("float32", "bfloat16"))
    assert 0 < np.abs(exact - fast).max() < 0.05


def test_an_index_carries_it(made, tmp_path):
    encoder = open_encoder(made())
    documents = [Document(str(i), text) for i, text in enumerate(TEXTS)]
    Index.build(tmp_path / "index", documents, encoder).close()
    with Index.open(tmp_path / "index") as index:
        hit = index.query([TEXTS[0]], k=1)[0][0]
        assert hit.id == "0" and hit.score == pytest.approx(1, abs=1e-5)
        assert index.manifest.encoder["fingerprint"] == encoder.fingerprint


def test_the_command_line_takes_it(made, vecsearch, tmp_path):
    folder = made()
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    ran = vecsearch("build", tmp_path / "texts.txt", "--encoder", folder, "-o", tmp_path / "index")
    assert ran.code == 0, ran.err
    ran = vecsearch("query", tmp_path / "index", "the river", "-k", 1, "--json")
    assert json.loads(ran.out)["text"] == "the river"
    ran = vecsearch("build", tmp_path / "texts.txt", "--encoder", f"{folder},pooling=raw,layers=0", "-o", tmp_path / "no")
    assert ran.code == 2 and "leave out pooling and layers" in ran.err


@pytest.mark.parametrize(
    "command",
    [["build", "--vocabulary", "-o", "x"], ["encode", "texts.txt", "--marked"], ["similarity", "a", "b"]],
    ids=" ".join,
)
def test_what_needs_words_is_refused(made, vecsearch, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("the river")
    ran = vecsearch(*command, "--encoder", made())
    assert ran.code == 2 and "a sentence transformer" in ran.err


def test_texts_are_cut_into_passages(made, vecsearch, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    ran = vecsearch("build", tmp_path / "texts.txt", "--encoder", made(), "--chunk", 4, "-o", tmp_path / "index", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["rows"] > len(TEXTS)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_broken_folder_is_refused(made, name, damage):
    path = made() / name
    data = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=name if damage == "missing" or name == "tokenizer.json" else str(path.parent)):
        TransformerEncoder(path.parent).encode(["a film"])


@pytest.mark.parametrize("change", [{"num_hidden_layers": 3}, {"intermediate_size": 17}], ids=str)
def test_weights_that_are_not_there_are_refused(made, change):
    path = made() / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=str(path.parent)):
        TransformerEncoder(path.parent).encode(["a film"])


@pytest.mark.parametrize(
    "name, content",
    [
        ("config.json", '{"model_type": "bert"}'),
        ("config.json", '{"model_type": "bert", "hidden_size": "8"}'),
        ("config.json", '{"model_type": "bert", "hidden_size": 8, "max_position_embeddings": -1}'),
        ("modules.json", "{}"),
        ("sentence_bert_config.json", '{"max_seq_length": 1e999}'),
        ("1_Pooling/config.json", "[]"),
        ("1_Pooling/config.json", "[" * 100_000),
        ("modules.json", "[1"),
    ],
)
def test_broken_settings_are_refused(made, name, content):
    folder = made()
    (folder / name).write_text(content)
    with pytest.raises(CheckpointError, match=name):
        TransformerEncoder(folder)


def test_a_folder_that_cuts_everything_off_is_refused(made):
    with pytest.raises(CheckpointError, match="cut to 2 tokens, 2 of which are marks"):
        TransformerEncoder(made(longest=2)).encode(["a film"])


def test_an_unknown_pooling_is_refused(made):
    folder = made()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_weightedmean_tokens": true}')
    with pytest.raises(CheckpointError, match="pools by pooling_mode_weightedmean_tokens; known are mean, first, max"):
        TransformerEncoder(folder)
