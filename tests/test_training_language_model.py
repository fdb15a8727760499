"""Training a language model by fastai: it learns, goes on as if it had never stopped, and keeps the words it knows."""

import json
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import Told

from vecsearch.encoders import UlmfitEncoder
from vecsearch.encoders.ulmfit.folder import read_encoder
from vecsearch.errors import DataError, UsageError
from vecsearch.text.rules import SPECIAL_TOKENS
from vecsearch.text.vocabulary import Vocabulary
from vecsearch.training import checkpoint
from vecsearch.training.keeper import Keeper
from vecsearch.training.language_model import LanguagePlan, new_learner, train_language_model
from vecsearch.training.network import random_stack
from vecsearch.training.sampled import SampledDecoder, SampledSoftmax
from vecsearch.training.start import Start, english_tokenizer

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


def train(corpus, output, *, start=None, stop_at=None, resume=False, plan=PLAN):
    heard = []

    def hear(what, done):
        heard.append((what, done))
        if len(heard) == stop_at:
            raise KeyboardInterrupt

    return train_language_model([corpus], output, start=start, plan=plan, resume=resume, progress=Told(hear)), heard


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


# -- a softmax over some of the words ------------------------------------------------------------------------------------


def learner_of(documents, sampled):
    """A fastai learner over 40 words with random weights, its batches of 4 streams of 10 tokens."""
    rng = np.random.default_rng(0)
    stack = random_stack(rng.standard_normal((40, 8)).astype(np.float32), (8,), rng, shut=False)
    words = Vocabulary([*SPECIAL_TOKENS, *(f"w{i}" for i in range(31))])
    plan = replace(PLAN, sampled=sampled, dropout=0)
    return new_learner(Start({"forward": stack}, words, english_tokenizer(), (-1,)), documents, documents[:1], plan)


@pytest.fixture
def documents():
    rng = np.random.default_rng(1)
    return [torch.from_numpy(np.minimum(rng.geometric(0.1, 60), 31) + 8) for _ in range(20)]


def test_a_batchs_words_compete_with_those_drawn(documents, monkeypatch):
    monkeypatch.setattr("vecsearch.training.language_model.fast_dtype", lambda: "float32")
    learner = learner_of(documents, 6)
    callback = next(callback for callback in learner.cbs if isinstance(callback, SampledSoftmax))
    x, y = learner.dls.train.one_batch()
    learner.model.reset()
    learner.model.eval()
    full = learner.model(x)[0]
    for _ in range(5):
        learner.training, learner.xb, learner.yb = True, (x,), (y,)
        callback.before_batch()
        decoder, (places,) = learner.model[1], learner.yb
        assert torch.equal(decoder.classes[places], y) and len(decoder.classes) <= len(set(y.flatten().tolist())) + 6
        learner.model.reset()
        torch.testing.assert_close(learner.model(x)[0], full[..., decoder.classes] - decoder.shift)
        assert (decoder.shift < 0).all()
        callback.after_batch()
    learner.model.reset()
    torch.testing.assert_close(learner.model(x)[0], full)


def test_a_word_is_corrected_by_how_often_it_is_drawn(documents):
    """Batches are drawn a thousand times: a word's shift is the logarithm of the share of them that it was among."""
    counts = torch.bincount(torch.cat(documents), minlength=40).double()
    callback, rng = SampledSoftmax(counts, 4), np.random.default_rng(0)
    decoder = SimpleNamespace()
    callback.learn = SimpleNamespace(model=[None, decoder], training=True, yb=None)
    seen, shifts = np.zeros(40), np.zeros(40)
    for _ in range(1000):
        callback.learn.yb = (torch.from_numpy(rng.choice(40, (2, 8), p=(counts / counts.sum()).numpy())),)
        callback.before_batch()
        seen[decoder.classes] += 1
        shifts[decoder.classes] = decoder.shift
    there = seen > 30
    assert there.sum() > 20
    np.testing.assert_allclose(np.exp(shifts[there]), seen[there] / 1000, rtol=0.25, atol=0.03)


@pytest.mark.parametrize("sampled", [0, 5])
def test_a_sampled_softmax_learns_what_comes_next(corpus, tmp_path, monkeypatch, sampled):
    sizes = []
    forward = SampledDecoder.forward
    monkeypatch.setattr(
        SampledDecoder, "forward", lambda self, states: sizes.append(self.classes is None) or forward(self, states)
    )
    spoken, _ = train(corpus, tmp_path / "new", plan=replace(PLAN, epochs=6, sampled=sampled))
    assert spoken.perplexity < 4 < spoken.start
    assert set(sizes) == ({True, False} if sampled else set())


# -- going on --------------------------------------------------------------------------------------------------------------


def test_going_on_from_an_encoder_trains_the_words_first(corpus, tiny_folder, tmp_path):
    spoken, heard = train(corpus, tmp_path / "new", start=tiny_folder(("forward",), (8, 10, 8)))
    stages = list(dict.fromkeys(what for what, _ in heard))
    assert stages == ["batches, the words", "batches, all layers"] and spoken.perplexity < spoken.start
    before, after = (read_encoder(path).stacks["forward"] for path in (tiny_folder(("forward",), (8, 10, 8)), tmp_path / "new"))
    assert after.dims == before.dims and not np.allclose(before.layers[0].weight_hh, after.layers[0].weight_hh, atol=1e-3)


@pytest.mark.parametrize("with_start, sampled, stops", [(False, 0, (30,)), (True, 5, (1, 78))])
def test_going_on_is_never_having_stopped(corpus, tiny_folder, tmp_path, monkeypatch, with_start, sampled, stops):
    start = tiny_folder(("forward",), (8, 10, 8)) if with_start else None
    trained = partial(train, plan=replace(PLAN, sampled=sampled))
    whole, heard = trained(corpus, tmp_path / "whole", start=start)
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0)
    for stop_at in stops:
        assert len(heard) > stop_at
        parts_folder = tmp_path / f"parts-{stop_at}"
        with pytest.raises(KeyboardInterrupt):
            trained(corpus, parts_folder, start=start, stop_at=stop_at)
        parts, later = trained(corpus, parts_folder, start=start, resume=True)
        # The step that was stopped is taken once more, for its checkpoint was not written yet.
        assert later == heard[stop_at - 1 :] and parts.perplexity == whole.perplexity
        weights = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path / "whole", parts_folder)]
        assert weights[0] == weights[1]


def test_only_the_same_training_goes_on(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        train(corpus, tmp_path / "new", stop_at=5)
    with pytest.raises(UsageError, match="was started with length 10, not 12"):
        train(corpus, tmp_path / "new", resume=True, plan=replace(PLAN, length=12))


def test_what_is_no_better_is_not_written(vecsearch, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(Keeper, "after_epoch", lambda self: None)
    ran = vecsearch("train", "lm", corpus, "-o", tmp_path / "new", "--dims", "8,8", "--epochs", 1)
    row = json.loads(ran.out)
    assert ran.code == 1 and row["perplexity_after"] == row["perplexity_before"]
    assert "the perplexity did not fall" in ran.err and not (tmp_path / "new").exists() and not list(tmp_path.glob(".*"))


def test_untrained_words_start_at_their_frequency(corpus, tmp_path):
    spoken, _ = train(corpus, tmp_path / "new", plan=LanguagePlan(epochs=1, batch=4, length=10, dims=(8, 8), words=60))
    counts = np.unique(corpus.read_text().split(), return_counts=True)[1]
    share = np.append(counts, 150) / (counts.sum() + 150)  # xxbos opens each text
    assert spoken.start == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=0.1)


@pytest.mark.parametrize(
    "lines, message",
    [
        ([], "holds no documents"),
        (["one short text"], "tokens are too few"),
        (["the king sat on a bank of " * 500], "one document is not enough"),
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
        (["--dims", "8,8", "--from", "english"], "--dims"),
        (["--new-words", "5"], "--from"),
    ],
)
def test_sizes_that_are_no_awd_lstm(vecsearch, corpus, tmp_path, options, message):
    ran = vecsearch("train", "lm", corpus, "-o", tmp_path / "new", *options)
    assert ran.code == 2 and message in ran.err.replace("\n", " ")


def test_an_encoder_of_other_sizes_than_fastais_is_refused(corpus, tiny_folder, tmp_path):
    with pytest.raises(DataError, match="a last one of the embedding's, not 6, 10, 7"):
        train(corpus, tmp_path / "new", start=tiny_folder())
