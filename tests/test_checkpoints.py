"""What fastai saves, in every way it saves, gives fastai's own states when imported."""

import gc
import json
import os
import pickle
import tarfile
from copy import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import vecsearch
from vecsearch.encoders.ulmfit.encoder import UlmfitEncoder
from vecsearch.encoders.ulmfit.folder import read_encoder
from vecsearch.encoders.ulmfit.importing import import_checkpoint
from vecsearch.errors import CheckpointError

TEXTS = [
    f"The {a} was {b}, they said; it's number {i}." for i, a in enumerate(("film", "book")) for b in ("good", "BAD", "odd")
]
FILES = ("opt", "bare", "encoder", "classifier", "classifier-encoder", "v1", "v07", "legacy", "deep")


@pytest.fixture(scope="module")
def fastai(tmp_path_factory):
    """A folder of saved files, and the learners that made them: a fine-tuned one, deep, backward, classifier."""
    from fastai.text.all import (
        AWD_LSTM,
        CategoryBlock,
        ColReader,
        ColSplitter,
        DataBlock,
        TextBlock,
        awd_lstm_clas_config,
        awd_lstm_lm_config,
        language_model_learner,
        text_classifier_learner,
    )
    from pandas import DataFrame

    folder = tmp_path_factory.mktemp("fastai")
    frame = DataFrame({"text": TEXTS * 4, "label": ["x", "y"] * 12, "is_valid": ([False] * 8 + [True] * 4) * 2})

    def data(is_lm, vocab=None, **options):
        blocks = [TextBlock.from_df("text", is_lm=is_lm, vocab=vocab, seq_len=8, min_freq=1, **options)]
        read = {} if is_lm else {"get_y": ColReader("label")}
        block = DataBlock(blocks + [CategoryBlock] * (not is_lm), get_x=ColReader("text"), splitter=ColSplitter(), **read)
        return block.dataloaders(frame, bs=4, seq_len=8, path=folder, num_workers=0)

    sizes = {"emb_sz": 24, "n_hid": 40}
    options = {"pretrained": False, "path": folder}
    lm = language_model_learner(data(True), AWD_LSTM, config=awd_lstm_lm_config | sizes | {"n_layers": 2}, **options)
    with lm.no_bar(), lm.no_logging():
        lm.fit(1)  # the optimiser has a state only after a step
    vocab = list(lm.dls.vocab)
    deep = language_model_learner(data(True, vocab), AWD_LSTM, config=awd_lstm_lm_config | sizes, **options)
    backward = language_model_learner(
        data(True, vocab, backwards=True), AWD_LSTM, config=awd_lstm_lm_config | sizes, backwards=True, **options
    )
    classifier = text_classifier_learner(
        data(False, vocab), AWD_LSTM, config=awd_lstm_clas_config | sizes | {"n_layers": 2}, **options
    )
    learners = {"lm": lm, "deep": deep, "backward": backward, "classifier": classifier}

    lm.save("opt")
    lm.save("bare", with_opt=False)
    lm.save_encoder("encoder")
    deep.save("deep", with_opt=False)
    backward.save("backward", with_opt=False)
    classifier.save("classifier", with_opt=False)
    classifier.save_encoder("classifier-encoder")
    lm.export("lm.pkl")
    classifier.export("classifier.pkl")
    models = folder / "models"
    state = lm.model.state_dict()
    torch.save({"model": _as_version_1(state), "opt": {}}, models / "v1.pth")
    torch.save(_as_version_07(state), models / "v07.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": state}, models / "legacy.pth", _use_new_zipfile_serialization=False)
    (models / "vocab.pkl").write_bytes(pickle.dumps(vocab))
    return folder, learners


def _as_version_1(state):
    """fastai 1 also saved the weights that dropout had last been applied to."""
    raw = [name for name in state if name.endswith("_raw")]
    dropped = {
        name.replace("weight_hh_l0_raw", "module.weight_hh_l0"): torch.nn.functional.dropout(state[name], 0.5) for name in raw
    }
    return {**state, **dropped}


def _as_version_07(state):
    """fastai 0.7 had other names for the doubled embedding and for the raw weights."""
    names = {"encoder_dp.emb": "encoder_with_dropout.embed", "weight_hh_l0_raw": "module.weight_hh_l0_raw"}
    renamed = {}
    for name, tensor in state.items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        renamed[name] = tensor
    return renamed


def _learner(learners, name):
    return learners[name.partition("-")[0] if name.partition("-")[0] in learners else "lm"]


def _fastai_states(learner, ids):
    encoder = learner.model[0]
    encoder = getattr(encoder, "module", encoder).eval()
    encoder.reset()
    with torch.no_grad():
        return encoder(torch.as_tensor(ids)[None])[0].numpy()


def _reference_states(folder, ids, direction):
    """torch's own LSTM over the folder's tensors: what the folder's format says, without our encoder."""
    tensors = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    x = tensors[f"{direction}.embedding"][ids]
    for n in range(sum(name.startswith(direction) and name.endswith("bias") for name in tensors)):
        w_ih, w_hh, bias = (tensors[f"{direction}.lstm.{n}.{part}"] for part in ("weight_ih", "weight_hh", "bias"))
        lstm = torch.nn.LSTM(w_ih.shape[1], w_hh.shape[1])
        lstm.load_state_dict(
            {"weight_ih_l0": w_ih, "weight_hh_l0": w_hh, "bias_ih_l0": bias, "bias_hh_l0": torch.zeros_like(bias)}
        )
        with torch.no_grad():
            x, _ = lstm(x)
    return x.numpy()


def _assert_same_states(folder, learner, *, direction="forward", atol=1e-5):
    words = len(read_encoder(folder).vocabulary)
    encoder = UlmfitEncoder(folder)
    rng = np.random.default_rng(0)
    for length in (1, 2, 7, 100):
        ids = rng.integers(words, size=length)
        expected = _fastai_states(learner, ids)
        np.testing.assert_allclose(_reference_states(folder, ids, direction), expected, atol=atol)
        np.testing.assert_allclose(encoder.states_of_ids(ids, direction), expected, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_file_gives_fastais_states(fastai, tmp_path, name):
    folder, learners = fastai
    path = folder / "models" / f"{name}.pth"
    _assert_exercised(name, path)
    learner = _learner(learners, name)

    report = import_checkpoint(path, None, tmp_path / "encoder")

    assert report.vocabulary == "vocab.pkl"
    assert report.words == len(learner.model.state_dict()[next(iter(learner.model.state_dict()))])
    assert report.dims == {"forward": (24, 40, 40, 24) if name == "deep" else (24, 40, 24)}
    _assert_same_states(tmp_path / "encoder", learner)


def _assert_exercised(name, path):
    """Each case is what its name says."""
    content = torch.load(path, weights_only=False)
    keys = set(content.get("model", content))
    assert ("opt" in content) == (name in ("opt", "v1"))
    assert ("model" in content) == (name in ("opt", "v1", "legacy"))
    assert ("rnns.0.weight_hh_l0_raw" in keys) == (name in ("encoder", "classifier-encoder"))
    assert ("0.module.encoder.weight" in keys) == (name == "classifier")
    assert ("0.rnns.0.module.weight_hh_l0" in keys) == (name == "v1")
    assert ("0.rnns.0.module.weight_hh_l0_raw" in keys) == (name == "v07")
    assert (path.read_bytes()[:2] == b"PK") == (name not in ("v07", "legacy"))
    if name == "opt":
        with pytest.raises(pickle.UnpicklingError, match=r"fastcore\.foundation\.L"):
            torch.load(path, weights_only=True)
    if name == "v1":
        state = content["model"]
        assert not torch.equal(state["0.rnns.0.module.weight_hh_l0"], state["0.rnns.0.weight_hh_l0_raw"])


@pytest.mark.parametrize("packed", ["tgz", "folder"])
def test_a_forward_and_a_backward_archive_as_fast_ai_publishes_them(fastai, tmp_path, packed):
    folder, learners = fastai
    paths = {}
    for name in ("deep", "backward"):
        pair = tmp_path / name
        pair.mkdir()
        (pair / f"lstm_{name}.pth").write_bytes((folder / "models" / f"{name}.pth").read_bytes())
        (pair / "itos_wt103.pkl").write_bytes((folder / "models" / "vocab.pkl").read_bytes())
        paths[name] = pair
        if packed == "tgz":
            paths[name] = tmp_path / f"{name}.tgz"
            with tarfile.open(paths[name], "w:gz") as archive:
                archive.add(pair, arcname=name)

    report = import_checkpoint(paths["deep"], None, tmp_path / "encoder", backward=paths["backward"])

    assert report.vocabulary == "itos_wt103.pkl"
    assert list(report.dims) == ["forward", "backward"]
    _assert_same_states(tmp_path / "encoder", learners["deep"])
    _assert_same_states(tmp_path / "encoder", learners["backward"], direction="backward")


def test_float16_is_half_the_size_and_nearly_the_same(fastai, tmp_path):
    folder, learners = fastai
    sizes = {}
    for dtype in ("float32", "float16"):
        import_checkpoint(folder / "models" / "encoder.pth", None, tmp_path / dtype, dtype=dtype)
        tensors = load_file(tmp_path / dtype / "model.safetensors")
        assert {str(tensor.dtype) for tensor in tensors.values()} == {f"torch.{dtype}"}
        sizes[dtype] = sum(tensor.nbytes for tensor in tensors.values())
    assert sizes["float16"] * 2 == sizes["float32"]
    _assert_same_states(tmp_path / "float16", learners["lm"], atol=1e-3)


def test_the_tokens_and_ids_of_a_text_are_fastais(fastai, tmp_path):
    folder, learners = fastai
    import_checkpoint(folder / "models" / "encoder.pth", None, tmp_path / "encoder")
    encoder = read_encoder(tmp_path / "encoder")
    for text in (*TEXTS, "An UNSEEN word, a filmmm!!!!!"):
        expected = learners["lm"].dls.test_dl([text]).items[0].tolist()
        assert encoder.vocabulary.numericalise(next(encoder.tokenizer.tokens([text]))) == expected


@pytest.mark.parametrize(("name", "file"), [("lm", "bare"), ("deep", "deep"), ("classifier", "classifier")])
def test_a_learner_in_memory_is_what_its_files_are(fastai, tmp_path, name, file):
    folder, learners = fastai
    import_checkpoint(folder / "models" / f"{file}.pth", None, tmp_path / "encoder")
    expected = UlmfitEncoder(tmp_path / "encoder")
    encoder = vecsearch.from_learner(learners[name])
    assert encoder.fingerprint == expected.fingerprint and encoder.vocabulary.words == expected.vocabulary.words
    np.testing.assert_array_equal(encoder.encode(TEXTS), expected.encode(TEXTS))
    ids = encoder.vocabulary.numericalise(encoder.tokens(TEXTS[0]))
    np.testing.assert_allclose(encoder.states(TEXTS[0])[1], _fastai_states(learners[name], ids), atol=1e-5)


def test_an_encoder_of_a_learner_can_be_kept_and_sent_and_leaves_nothing_behind(fastai, tmp_path, monkeypatch):
    _, learners = fastai
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    encoder = vecsearch.from_learner(learners["lm"])
    vectors = encoder.encode(TEXTS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).encode(TEXTS), vectors)
    child = os.fork()
    if not child:
        del encoder
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    vecsearch.Index.build(tmp_path / "index", [vecsearch.Document("1", TEXTS[0])], encoder).close()
    del encoder
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    with vecsearch.Index.open(tmp_path / "index") as index:
        np.testing.assert_array_equal(index.vectors([0]), vectors[:1])


def test_what_is_no_learner_of_such_a_model_is_refused(fastai, tmp_path, monkeypatch):
    _, learners = fastai
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for wrong in (None, "my-model.pth", learners["lm"].model):
        with pytest.raises(TypeError, match=r"learn is .*; give a learner of fastai's"):
            vecsearch.from_learner(wrong)
    other = copy(learners["lm"])
    other.model = torch.nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match="the learner's model is no AWD-LSTM"):
        vecsearch.from_learner(other)
    other.model, other.dls = learners["lm"].model, SimpleNamespace(vocab=["xxunk", "the"])
    with pytest.raises(CheckpointError, match=r"learn.dls.vocab has 2 words, the embedding of the learner's model \d+ rows"):
        vecsearch.from_learner(other)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["json", "txt"])
def test_a_vocabulary_may_be_named_and_be_json_or_text(fastai, tmp_path, suffix):
    folder, learners = fastai
    words = list(learners["lm"].dls.vocab)
    path = tmp_path / f"my-words.{suffix}"
    path.write_text(json.dumps(words) if suffix == "json" else "\n".join(words) + "\n", encoding="utf-8")
    report = import_checkpoint(folder / "models" / "bare.pth", path, tmp_path / "encoder")
    assert report.vocabulary == path.name
    assert read_encoder(tmp_path / "encoder").vocabulary.words == tuple(words)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lm", "classifier"])
def test_an_export_opens_only_with_unsafe(fastai, tmp_path, name):
    folder, learners = fastai
    path = folder / f"{name}.pkl"
    with pytest.raises(CheckpointError, match=r"would run code when opened .*--unsafe"):
        import_checkpoint(path, None, tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()

    import_checkpoint(path, None, tmp_path / "encoder", unsafe=True)

    _assert_same_states(tmp_path / "encoder", learners[name])
    assert read_encoder(tmp_path / "encoder").vocabulary.words == tuple(learners["lm"].dls.vocab)
