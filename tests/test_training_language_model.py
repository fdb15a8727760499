"""Training a language model by fastai: it learns, goes on as if it had never stopped, and keeps the words it knows."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from vecsearch.encoders import UlmfitEncoder
from vecsearch.encoders.folder import read_encoder
from vecsearch.errors import DataError, UsageError
from vecsearch.text.vocabulary import Vocabulary
from vecsearch.training import keeper
from vecsearch.training import language_model as module
from vecsearch.training.language_model import LanguagePlan, train_language_model

PLAN = LanguagePlan(epochs=2, batch=4, length=10, rate=0.02, dims=(8, 10, 8), words=60)
NEXT = {"king": "sat", "queen": "is", "he": "on", "she": "in", "river": "bank"}


@pytest.fixture
def corpus(tmp_path):
    """Texts in which a word tells what the next one is."""
    rng = np.random.default_rng(0)
    path = tmp_path / "corpus.txt"
    lines = (" ".join(f"{word} {NEXT[word]}" for word in rng.choice(list(NEXT), 10)) for _ in range(150))
    path.write_text("".join(f"{line} .\n" for line in lines))
    return path


def trained(corpus, output, *, start=None, stop_at=None, resume=False, plan=PLAN):
    heard = []

    def progress(what, done, total):
        heard.append((what, done))
        if len(heard) == stop_at:
            raise KeyboardInterrupt

    return train_language_model([corpus], output, start=start, plan=plan, resume=resume, progress=progress), heard


def test_a_new_model_learns_what_comes_next(vecsearch, corpus, tmp_path):
    options = ("--epochs", 6, "--batch", 4, "--length", 10, "--rate", 0.02, "--dims", "8,10,8", "--words", 60)
    ran = vecsearch("train", "lm", corpus, "-o", tmp_path / "new", *options, "--full", "--json")
    assert ran.code == 0, ran.err
    row = json.loads(ran.out)
    # Of two words one is any of five, the other is known: to know all of that is a perplexity of √5.
    assert row["perplexity_after"] < 4 < row["perplexity_before"] and row["tokens"] == 150 * 22
    encoder = UlmfitEncoder(tmp_path / "new")
    assert encoder.dim == 8 and encoder.layers == (-1,) and "king" in encoder.vocabulary.index
    assert encoder.source["training"] == "language model"
    assert {path.name for path in tmp_path.iterdir()} == {"corpus.txt", "new"}


def test_known_words_keep_their_vectors(monkeypatch):
    old, new = Vocabulary(["xxunk", "a", "b"]), Vocabulary(["xxunk", "c", "b"])
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(module._matched(rows, old, new), [rows[0], rows.mean(axis=0), rows[2]])


def test_going_on_from_an_encoder_trains_the_words_first(corpus, tiny_folder, tmp_path):
    spoken, heard = trained(corpus, tmp_path / "new", start=tiny_folder(("forward",), (8, 10, 8)))
    stages = list(dict.fromkeys(what for what, _ in heard))
    assert stages == ["batches, the words", "batches, all layers"] and spoken.perplexity < spoken.start
    before, after = (read_encoder(path).stacks["forward"] for path in (tiny_folder(("forward",), (8, 10, 8)), tmp_path / "new"))
    assert after.dims == before.dims and not np.allclose(before.layers[0].weight_hh, after.layers[0].weight_hh, atol=1e-3)


@pytest.mark.parametrize("with_start", [False, True])
@pytest.mark.parametrize("stop_at", [1, 30, 78])
def test_going_on_is_never_having_stopped(corpus, tiny_folder, tmp_path, monkeypatch, with_start, stop_at):
    start = tiny_folder(("forward",), (8, 10, 8)) if with_start else None
    whole, heard = trained(corpus, tmp_path / "whole", start=start)
    assert len(heard) > stop_at
    monkeypatch.setattr(keeper, "SAVE_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        trained(corpus, tmp_path / "parts", start=start, stop_at=stop_at)
    parts, later = trained(corpus, tmp_path / "parts", start=start, resume=True)
    # The step that was stopped is taken once more, for its checkpoint was not written yet.
    assert later == heard[stop_at - 1 :] and parts.perplexity == whole.perplexity
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_only_the_same_training_goes_on(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "SAVE_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        trained(corpus, tmp_path / "new", stop_at=5)
    with pytest.raises(UsageError, match="was begun with length 10, not 12"):
        trained(
            corpus,
            tmp_path / "new",
            resume=True,
            plan=replace(PLAN, length=12),
        )


def test_what_is_no_better_is_not_written(vecsearch, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(keeper.Keeper, "after_epoch", lambda self: None)
    ran = vecsearch("train", "lm", corpus, "-o", tmp_path / "new", "--dims", "8,8", "--epochs", 1)
    row = json.loads(ran.out)
    assert ran.code == 1 and row["perplexity_after"] == row["perplexity_before"]
    assert "the perplexity did not fall" in ran.err and not (tmp_path / "new").exists() and not list(tmp_path.glob(".*"))


def test_untrained_words_start_at_their_frequency(corpus, tmp_path):
    spoken, _ = trained(corpus, tmp_path / "new", plan=LanguagePlan(epochs=1, batch=4, length=10, dims=(8, 8), words=60))
    counts = np.unique(corpus.read_text().split(), return_counts=True)[1]
    share = np.append(counts, 150) / (counts.sum() + 150)  # xxbos opens each text
    assert spoken.start == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=0.1)


@pytest.mark.parametrize(
    "lines, message",
    [
        ([], "holds no documents"),
        (["one short text"], "tokens are too few"),
        (["the king sat on a bank of " * 500], "a single document is no corpus"),
    ],
)
def test_too_little_text_is_refused(vecsearch, tmp_path, lines, message):
    (tmp_path / "few.txt").write_text("\n".join(lines))
    ran = vecsearch("train", "lm", tmp_path / "few.txt", "-o", tmp_path / "new")
    assert ran.code == 3 and message in ran.err and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--dims", "8,9"], "a last one of the embedding's"),
        (["--dims", "8,9,10,8"], "layers of one size"),
        (["--dims", "8,8", "--from", "english"], "give one of them"),
    ],
)
def test_sizes_that_are_no_awd_lstm(vecsearch, corpus, tmp_path, options, message):
    ran = vecsearch("train", "lm", corpus, "-o", tmp_path / "new", *options)
    assert ran.code == 2 and message in ran.err.replace("\n", " ")


def test_an_encoder_of_other_sizes_than_fastais_is_refused(corpus, tiny_folder, tmp_path):
    with pytest.raises(DataError, match="a last one of the embedding's, not 6, 10, 7"):
        trained(corpus, tmp_path / "new", start=tiny_folder())
