"""The encoder against fastai's own model, and its promise: one text, one vector."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import WORDS, random_tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.corpus.document import Document
from vecsearch.encoders import UlmfitEncoder, open_encoder
from vecsearch.encoders.ulmfit import batches
from vecsearch.encoders.ulmfit.folder import write_encoder
from vecsearch.encoders.ulmfit.lstm import NumpyEngine, TorchEngine
from vecsearch.encoders.ulmfit.pooling import Pool, Pooling
from vecsearch.errors import CheckpointError, DamagedIndexError, DataError, UsageError
from vecsearch.index.index import Index
from vecsearch.text.vocabulary import Vocabulary

POOLINGS = ("raw", "mean", "max", "last", "concat")
BOTH = ("forward", "backward")
ENGINES = ("torch", "numpy", "numpy in batches")
TEXTS = st.lists(st.sampled_from([*WORDS[9:], "Bank", "FILM", "zzyzx"]), max_size=40).map(" ".join)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows and batches so small that short texts meet their edges."""
    monkeypatch.setattr(batches, "WINDOW", 5)
    monkeypatch.setattr(batches, "BATCH_TOKENS", 15)


def fastai_states(encoder: UlmfitEncoder, direction: str, ids: np.ndarray) -> np.ndarray:
    """States of the last layer by fastai's own AWD_LSTM holding the same weights, in eval mode and reset."""
    import torch
    from fastai.text.models.awdlstm import AWD_LSTM

    stack = encoder._opened.stacks[direction]
    model = AWD_LSTM(len(stack.embedding), stack.dims[0], stack.dims[1], len(stack.layers)).eval()
    state = {"encoder.weight": stack.embedding.table, "encoder_dp.emb.weight": stack.embedding.table}
    for n, layer in enumerate(stack.layers):
        state |= {
            f"rnns.{n}.weight_hh_l0_raw": layer.weight_hh,
            f"rnns.{n}.module.weight_ih_l0": layer.weight_ih,
            f"rnns.{n}.module.bias_ih_l0": layer.bias,
            f"rnns.{n}.module.bias_hh_l0": np.zeros_like(layer.bias),
        }
    missing, unexpected = model.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    assert not unexpected and all(name.endswith("module.weight_hh_l0") for name in missing)
    model.reset()
    with torch.no_grad():
        return model(torch.from_numpy(ids)[None])[0].numpy()


# fastai's own sizes: every layer but the last has the same number of states, the last that of the embedding.
FASTAI_DIMS = (6, 10, 10, 6)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("engine", ENGINES)
def test_vectors_are_the_pooled_states_of_fastais_model(tiny_folder, lstm_by, direction, engine):
    lstm_by(engine)
    text = "he sat on the bank of the river , " * 20
    encoder = UlmfitEncoder(tiny_folder(("forward", "backward"), FASTAI_DIMS), pooling="concat")
    ids = np.array(encoder.vocabulary.numericalise(encoder.tokens(text)))
    assert len(ids) > 2 * batches.WINDOW
    states = fastai_states(encoder, direction, ids if direction == "forward" else ids[::-1].copy())
    expected = np.concatenate([states[-1], states.max(axis=0), states.mean(axis=0)])
    half = slice(0, 18) if direction == "forward" else slice(18, 36)
    np.testing.assert_allclose(encoder.encode([text])[0][half], expected, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("engine", ["torch", "numpy in batches"])
@given(texts=st.lists(TEXTS, min_size=1, max_size=12), data=st.data())
@settings(max_examples=8)
def test_a_text_has_one_vector(tiny_folder, small_windows, lstm_by, pooling, engine, texts, data):
    lstm_by(engine)
    encoder = UlmfitEncoder(tiny_folder(BOTH), pooling=pooling)
    together = encoder.encode(texts)
    assert together.shape == (len(texts), encoder.dim) and together.dtype == np.float32
    order = data.draw(st.permutations(range(len(texts))))
    np.testing.assert_allclose(encoder.encode([texts[i] for i in order]), together[order], atol=1e-5)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], vector, atol=1e-5)
    in_blocks = np.concatenate(list(encoder.encode_blocks([texts[:3], texts[3:]])))
    np.testing.assert_allclose(in_blocks, together, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
def test_layer_chooses_whose_states_are_pooled(tiny_folder, layer):
    encoder = UlmfitEncoder(tiny_folder(), layers=[layer])
    assert encoder.dim == (6, 10, 7)[layer]
    tokens, states = encoder.states("he sat on the bank")
    assert tokens[0] == "xxbos" and states.shape == (6, encoder.dim)
    np.testing.assert_allclose(encoder.encode(["he sat on the bank"])[0], states.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_states_of_several_layers_are_added_up(tiny_folder, lstm_by, engine, dtype):
    lstm_by(engine)
    folder, text = tiny_folder(("forward", "backward"), (8, 10, 8)), "he sat on the bank of the river , " * 20
    both = UlmfitEncoder(folder, layers=[0, -1], dtype=dtype)
    parts = [UlmfitEncoder(folder, layers=[layer], dtype=dtype).encode([text]) for layer in (0, 2)]
    assert both.dim == 16
    np.testing.assert_allclose(both.encode([text]), sum(parts), atol=1e-2 if dtype == "bfloat16" else 1e-5)
    assert both.fingerprint == UlmfitEncoder(folder, layers=[2, 0]).fingerprint
    assert both.fingerprint != UlmfitEncoder(folder).fingerprint
    assert np.allclose(both.shares(text)[1].sum(axis=0), both.encode([text])[0], atol=1e-2)


def test_layers_differ(tiny_folder):
    first, last = (UlmfitEncoder(tiny_folder(("forward",), (8, 8, 8)), layers=[layer]) for layer in (1, 2))
    assert not np.allclose(first.encode(["a film"]), last.encode(["a film"]))
    assert first.fingerprint != last.fingerprint


@pytest.mark.parametrize("text", ["", "   ", "xxbos", "zzyzx qwrty"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_text_without_known_words_has_the_zero_vector(tiny_folder, text, pooling):
    assert not UlmfitEncoder(tiny_folder(), pooling=pooling).encode([text, "film"])[0].any()


def test_raw_is_the_mean_of_the_words_embeddings(tiny_folder):
    encoder = UlmfitEncoder(tiny_folder(), pooling="raw")
    rows = encoder._opened.stacks["forward"].embedding.whole()
    index = encoder.vocabulary.index
    np.testing.assert_allclose(encoder.encode(["King sat"])[0], (rows[index["king"]] + rows[index["sat"]]) / 2, atol=1e-7)
    np.testing.assert_array_equal(encoder.encode_words(np.array([12, 9])), rows[[12, 9]])


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_raw_in_chunks_is_raw_at_once(tiny_folder, monkeypatch, chunk):
    encoder = UlmfitEncoder(tiny_folder(), pooling="raw")
    texts = ["the king sat", "", "film " * 7, "a queen , a tomato !"]
    at_once = encoder.encode(texts)
    monkeypatch.setattr("vecsearch.encoders.ulmfit.states.RAW_TOKENS", chunk)
    np.testing.assert_allclose(encoder.encode(texts), at_once, atol=1e-6)


# -- a word in its context ---------------------------------------------------------------------------------------------


def test_a_marked_word_gives_its_own_state(tiny):
    tokens, states = tiny.states("he sat on the bank of the river")
    vector = tiny.encode_in_context(["he sat on the [[bank]] of the river"])[0]
    np.testing.assert_allclose(vector, states[tokens.index("bank")], atol=1e-6)


def test_the_same_word_in_two_contexts_has_two_vectors(tiny):
    river, money = tiny.encode_in_context(["the river [[bank]]", "the king , the [[bank]]"])
    assert not np.allclose(river, money)


def test_a_marked_capital_is_pooled_without_its_mark(tiny):
    tokens, states = tiny.states("the Bank of love")
    assert "xxmaj" in tokens
    np.testing.assert_allclose(tiny.encode_in_context(["the [[Bank]] of love"])[0], states[tokens.index("bank")], atol=1e-6)


def test_a_marked_word_of_a_backward_model_has_read_what_follows(tiny_folder):
    encoder = UlmfitEncoder(tiny_folder(("forward", "backward")))
    a, b = encoder.encode_in_context(["the [[bank]] of love", "the [[bank]] of war"])
    np.testing.assert_allclose(a[:7], b[:7], atol=1e-6)
    assert not np.allclose(a[7:], b[7:])


def test_without_a_mark_the_whole_text_is_pooled(tiny):
    np.testing.assert_array_equal(tiny.encode_in_context(["a film"]), tiny.encode(["a film"]))


@pytest.mark.parametrize("text", ["a [[b", "a [[]] b", "[[a]] and [[b]]", "ri[[ver]]", "[[ ]]"])
def test_a_mark_that_cannot_be_used_is_refused(tiny, text):
    with pytest.raises(DataError) as refused:
        tiny.encode_in_context([text])
    assert text in str(refused.value)


# -- counting and cutting ----------------------------------------------------------------------------------------------


def test_the_tally_counts_what_was_encoded(tiny):
    tiny.encode(["the king zzyzx", ""])
    assert tiny.tally.as_dict() == {
        "texts": 2,
        "empty": 1,
        "tokens": 5,
        "words": 3,
        "unknown": 1,
        "cut_texts": 0,
        "cut_tokens": 0,
    }


def test_blocks_read_ahead_are_not_counted_before_they_are_encoded(tiny):
    blocks = tiny.encode_blocks([["a film"], ["a war"], ["a king"]])
    next(blocks)
    assert tiny.tally.texts == 1
    blocks.close()


def test_max_tokens_cuts_and_counts(tiny_folder):
    encoder = UlmfitEncoder(tiny_folder(), max_tokens=4)
    np.testing.assert_array_equal(encoder.encode(["the king of love of war"]), encoder.encode(["the king of"]))
    assert (encoder.tally.cut_texts, encoder.tally.cut_tokens) == (1, 3)
    assert encoder.fingerprint != UlmfitEncoder(tiny_folder()).fingerprint


# -- precision and engines ---------------------------------------------------------------------------------------------


def test_bfloat16_is_close_and_says_so(tiny_folder, small_windows, lstm_by):
    lstm_by("torch")
    exact, fast = (UlmfitEncoder(tiny_folder(), dtype=dtype) for dtype in ("float32", "bfloat16"))
    texts = ["he sat on the bank of the river", "a film"]
    a, b = exact.encode(texts), fast.encode(texts)
    assert fast.dtype == "bfloat16" and not np.array_equal(a, b)
    np.testing.assert_allclose(a, b, atol=0.03)
    assert exact.fingerprint == fast.fingerprint


@pytest.mark.parametrize(
    ("flags", "dtype"), [("sse2 avx512f avx512_bf16 amx_tile", "bfloat16"), ("sse2 avx2 avx512f", "float32")]
)
def test_auto_takes_bfloat16_where_the_processor_has_instructions_for_it(tiny_folder, monkeypatch, flags, dtype):
    def no_driver(*_, **__):
        raise OSError

    read = Path.read_text
    told = f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: spectre_v1\n"
    monkeypatch.setattr(Path, "read_text", lambda path, **how: told if path == Path("/proc/cpuinfo") else read(path, **how))
    monkeypatch.setattr(ctypes, "CDLL", no_driver)
    assert UlmfitEncoder(tiny_folder(), dtype="auto").dtype == dtype


def test_both_engines_give_the_same_states(tiny_folder):
    stack = UlmfitEncoder(tiny_folder())._opened.stacks["forward"]
    ids = np.random.default_rng(0).integers(0, len(WORDS), (9, 4))
    carried_numpy, carried_torch = [], []
    for width in (4, 3, 1):  # texts end, the others go on
        a, carried_numpy = NumpyEngine(stack, (2,)).run(ids[:, :width], carried_numpy)
        b, carried_torch = TorchEngine(stack, (2,), "float32").run(np.ascontiguousarray(ids[:, :width]), carried_torch)
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "dtype", "imported"),
    [(1, "float32", False), (1000, "float32", False), (1000, "auto", False), (1000, "bfloat16", True), (3000, "auto", True)],
)
def test_a_query_or_a_small_corpus_imports_neither_torch_nor_spacy(texts, dtype, imported):
    code = (
        "import sys; from vecsearch.encoders import open_encoder; "
        f"open_encoder(dtype={dtype!r}).encode(['A heist in Las Vegas?'] * {texts}); "
        "print([name for name in ('torch', 'spacy', 'fastai') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ("['torch']" if imported else "[]")


def test_where_there_may_be_a_gpu_batches_are_torchs(tiny_folder, lstm_by, monkeypatch):
    lstm_by("numpy in batches")
    states = "vecsearch.encoders.ulmfit.states"
    monkeypatch.setattr(f"{states}.has_cuda_driver", lambda: True)
    monkeypatch.setattr(f"{states}.NumpyEngine", None)
    assert UlmfitEncoder(tiny_folder()).encode(["the king", "a river bank"]).any(axis=1).all()


# -- batches, windows, pooling -----------------------------------------------------------------------------------------


@given(lengths=st.lists(st.integers(1, 400), max_size=300))
def test_batches_hold_every_text_once_within_the_budget(lengths):
    found = list(batches.batches(np.array(lengths, np.int64)))
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    for batch in found:
        longest = min(lengths[batch[0]], batches.WINDOW)
        assert len(batch) * longest <= batches.BATCH_TOKENS
        assert [lengths[i] for i in batch] == sorted((lengths[i] for i in batch), reverse=True)


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_windows_lose_no_token(lengths):
    rng = np.random.default_rng(0)
    texts = [rng.integers(1, 1000, length) for length in sorted(lengths, reverse=True)]
    read = [[] for _ in texts]
    for first, ids in batches.windows(texts):
        assert ids.shape[0] <= batches.WINDOW
        for row in range(ids.shape[1]):
            read[row].extend(ids[: len(texts[row]) - first, row])
    assert [np.array(r).tolist() for r in read] == [t.tolist() for t in texts]


@given(data=st.data(), pooling=st.sampled_from(["mean", "max", "last", "concat"]))
def test_pooling_by_windows_is_pooling_at_once(data, pooling):
    length, start = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 11))
    start = min(start, length - 1)
    stop = data.draw(st.integers(start + 1, length))
    states = np.random.default_rng(1).standard_normal((length, 1, 3)).astype(np.float32)
    pool = Pool(Pooling(pooling), 3, np.array([start]), np.array([stop]))
    cut = data.draw(st.integers(0, length))
    for first, last in ((0, cut), (cut, length)):
        if last > first:
            pool.add(first, states[first:last])
    inside = states[start:stop, 0]
    parts = {"mean": inside.mean(axis=0), "max": inside.max(axis=0), "last": inside[-1]}
    expected = np.concatenate([parts[part] for part in Pooling(pooling).parts])
    np.testing.assert_allclose(pool.vectors()[0], expected, atol=1e-6)


def test_ahead_keeps_order_and_passes_errors_on():
    def items():
        yield from range(5)
        raise DataError("line 6")

    seen = []
    with pytest.raises(DataError, match="line 6"):
        for item in batches.ahead(str, items()):
            seen.append(item)
    assert seen == ["0", "1", "2", "3"]
    with pytest.raises(ZeroDivisionError):
        list(batches.ahead(lambda i: 1 / i, [1, 0]))


@given(st.lists(st.integers()))
def test_ahead_is_map(items):
    assert list(batches.ahead(str, items)) == list(map(str, items))


def test_ahead_is_one_item_ahead_and_no_more():
    drawn, threads = [], set()
    results = batches.ahead(lambda i: threads.add(threading.get_ident()), (drawn.append(i) or i for i in range(100)))
    next(results)
    results.close()
    assert drawn == [0, 1] and threading.get_ident() not in threads


# -- the folder --------------------------------------------------------------------------------------------------------


def test_saving_keeps_the_vectors_and_the_options(tiny_folder, tmp_path):
    encoder = UlmfitEncoder(tiny_folder(("forward", "backward")), pooling="max", layers=[1], max_tokens=9)
    encoder.save(tmp_path)
    again = UlmfitEncoder(tmp_path)
    assert again.fingerprint == encoder.fingerprint and again.pooling == "max"
    np.testing.assert_array_equal(again.encode(["he sat on the bank"]), encoder.encode(["he sat on the bank"]))


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.json", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_named(tiny_folder, tmp_path, name, damage):
    UlmfitEncoder(tiny_folder()).save(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2 if name != "config.json" else 0] ^= 0x20
    if damage == "remove":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(data if damage == "flip" else data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=name):
        UlmfitEncoder(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"files": []},
        {"files": {}},
        {"files": {"vocab.json": 5}},
        {"files": {"../vocab.json": "0"}},
        {"directions": []},
        {"directions": ["backward"]},
        {"pooling": "foo"},
        {"layers": "x"},
        {"layers": [1.5]},
        {"layers": []},
        {"layers": -1},
        {"max_tokens": "x"},
    ],
    ids=str,
)
def test_a_config_that_makes_no_sense_is_refused(tiny_folder, tmp_path, wrong):
    UlmfitEncoder(tiny_folder()).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | wrong))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        UlmfitEncoder(tmp_path)


def test_tensors_that_do_not_chain_are_refused(tmp_path, tokenizer):
    tensors = random_tensors(("forward",), (6, 10, 7), len(WORDS), np.random.default_rng(0))
    tensors["forward.lstm.1.weight_ih"] = tensors["forward.lstm.1.weight_ih"][:, :9]
    write_encoder(tmp_path, tensors, Vocabulary(WORDS), tokenizer, source={})
    with pytest.raises(CheckpointError, match=r"LSTM layer 1 have the shapes .* over 10 inputs"):
        UlmfitEncoder(tmp_path)


def test_a_file_that_changed_since_it_was_opened_is_not_saved(tiny_folder, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    UlmfitEncoder(tiny_folder()).save(tmp_path / "a")
    encoder = UlmfitEncoder(tmp_path / "a")
    (tmp_path / "a/vocab.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"vocab\.json has changed"):
        encoder.save(tmp_path / "b")


def test_a_vocabulary_without_xxbos_is_read_after_an_unknown_word(tmp_path, tokenizer):
    words = ("_unk_", "_pad_", *WORDS[9:])
    tensors = random_tensors(("forward",), (6, 7), len(words), np.random.default_rng(0))
    write_encoder(tmp_path, tensors, Vocabulary(words), tokenizer, source={})
    encoder = UlmfitEncoder(tmp_path)
    king = encoder.vocabulary.index["king"]
    np.testing.assert_allclose(encoder.encode_words(np.array([king])), encoder.encode(["king"]), atol=1e-6)


def test_a_newer_format_is_refused(tiny_folder, tmp_path):
    UlmfitEncoder(tiny_folder()).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "format": 4}))
    with pytest.raises(CheckpointError, match=r"format 4.*reads formats 1 to 3.*upgrade"):
        UlmfitEncoder(tmp_path)


def test_format_1_has_one_layer(tiny_folder, tmp_path):
    new = UlmfitEncoder(tiny_folder(), layers=[1])
    new.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"format": 1, "layer": config.pop("layers")[0]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    old = UlmfitEncoder(tmp_path)
    assert old.fingerprint == new.fingerprint and old.dim == new.dim == 10


def test_a_vocabulary_of_another_length_is_refused_with_both_figures(tiny_folder, tmp_path):
    from vecsearch.encoders.ulmfit.folder import VOCABULARY, read_encoder, write_config
    from vecsearch.files import sha256

    UlmfitEncoder(tiny_folder()).save(tmp_path)
    Vocabulary(WORDS[:-1]).save(tmp_path / VOCABULARY)
    config = read_encoder(tiny_folder()).config
    write_config(tmp_path, replace(config, files={**config.files, VOCABULARY: sha256(tmp_path / VOCABULARY)}))
    with pytest.raises(CheckpointError, match=f"{len(WORDS) - 1} words.*{len(WORDS)} rows"):
        UlmfitEncoder(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [3]}, "layer 3: the model has layers 0"),
        ({"layers": [0, 1]}, "layers of 6 and 10 states cannot be added up"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_options_that_the_model_does_not_have_are_refused(tiny_folder, options, message):
    with pytest.raises(UsageError, match=message):
        UlmfitEncoder(tiny_folder(), **options)


def test_an_encoder_that_is_not_there_is_refused_with_the_names_that_are():
    with pytest.raises(CheckpointError, match=r"no encoder folder no-such.*english"):
        open_encoder("no-such")


def test_untrained_words_are_those_that_share_a_vector(tmp_path, tokenizer):
    from conftest import random_tensors

    from vecsearch.encoders.ulmfit.folder import write_encoder

    tensors = random_tensors(("forward",), (6, 7), len(WORDS), np.random.default_rng(0))
    tensors["forward.embedding"][[10, 20, 22]] = tensors["forward.embedding"].mean(axis=0)
    write_encoder(tmp_path, tensors, Vocabulary(WORDS), tokenizer, source={})
    assert UlmfitEncoder(tmp_path).untrained_words().tolist() == [10, 20, 22]


def test_any_number_of_threads_gives_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is computed by one thread, so their number changes nothing, not even a last bit."""
    import torch

    monkeypatch.setattr(batches, "BATCH_TOKENS", 60)
    texts = [" ".join(["the ship", "a film about a war", "stars"][: 1 + n % 3] * (1 + n % 7)) for n in range(200)]
    encoder, before = open_encoder(), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            found.append(encoder.encode(texts))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_files_that_have_been_hashed_are_not_hashed_again(tiny_folder, tmp_path):
    UlmfitEncoder(tiny_folder()).save(tmp_path)
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    with pytest.raises(CheckpointError, match=r"tokenizer.json is damaged"):
        open_encoder(tmp_path)
    assert open_encoder(tmp_path, check=False).fingerprint == UlmfitEncoder(tiny_folder()).fingerprint


def test_an_index_that_is_not_hashed_has_its_encoder_hashed(tiny_folder, tmp_path):
    with Index.build(tmp_path / "index", [Document("1", "the king")], UlmfitEncoder(tiny_folder())) as index:
        (weights,) = index.folder.glob("encoder/*/model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged"):
        Index.open(tmp_path / "index", check=False)
    with pytest.raises(DamagedIndexError, match=r"model.safetensors has sha256"):
        Index.open(tmp_path / "index")
