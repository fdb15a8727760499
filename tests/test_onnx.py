"""Models in ONNX files: the vectors of the same model by transformers, graphs of other shapes, and what is refused."""

import json
import os
import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import documents

from vecsearch.encoders import (
    ConcatenatedEncoder,
    OnnxEncoder,
    OnnxTextEncoder,
    TransformerEncoder,
    UlmfitEncoder,
    open_encoder,
)
from vecsearch.encoders.sentence import base as sentence
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.files import memory_limit
from vecsearch.index.index import Index

if missing := [name for name in ("onnx", "onnxruntime", "transformers") if find_spec(name) is None]:
    pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)

from onnx import TensorProto, helper
from sentence_models import DIM, TABLE, TEXTS, WORDS, export, lookup, words_graph, write_beside, write_graph, write_model

FLOAT, INT64, INT32, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.STRING


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A folder with a model as safetensors and, exported, as onnx/model.onnx."""
    folder = write_model(tmp_path_factory.mktemp("both"))
    (folder / "onnx").mkdir()
    export(folder, folder / "onnx/model.onnx")
    return folder


@pytest.fixture
def folder(both, tmp_path):
    """A folder with the model as model.onnx and nothing of it as safetensors."""
    folder = tmp_path / "model"
    shutil.copytree(both, folder, ignore=shutil.ignore_patterns("model.safetensors", "onnx"))
    shutil.copyfile(both / "onnx/model.onnx", folder / "model.onnx")
    return folder


def tokens(text: str) -> np.ndarray:
    return np.array([TABLE[WORDS.index(word)] for word in text.split()])


@pytest.mark.parametrize("pooling", ["mean", "first", "max"])
@pytest.mark.parametrize("unit", [True, False])
def test_vectors_are_those_of_transformers(both, folder, monkeypatch, pooling, unit):
    monkeypatch.setattr(sentence, "BATCH_TOKENS", 12)
    shutil.rmtree(folder / "1_Pooling")
    write_beside(folder, pooling, unit=unit)
    encoder = open_encoder(folder)
    assert isinstance(encoder, OnnxEncoder) and encoder.dim == DIM and encoder.pooling == pooling
    shutil.copyfile(both / "model.safetensors", folder / "model.safetensors")
    reference = TransformerEncoder(folder)
    vectors = encoder.encode(TEXTS)
    np.testing.assert_allclose(vectors, reference.encode(TEXTS), atol=1e-5)
    assert (np.abs(np.linalg.norm(vectors[[0, 1, 3]], axis=1) - 1) < 1e-5).all() == unit
    assert encoder.tally == reference.tally and encoder.tally.cut_texts == 1
    assert encoder.words == reference.words and encoder.fingerprint != reference.fingerprint


def test_a_folder_with_both_is_a_transformer_and_its_file_is_onnx(both):
    assert isinstance(open_encoder(both), TransformerEncoder)
    by_file = open_encoder(both / "onnx/model.onnx")
    assert isinstance(by_file, OnnxEncoder) and by_file.max_tokens == 10
    np.testing.assert_allclose(by_file.encode(TEXTS), open_encoder(both).encode(TEXTS), atol=1e-5)


def test_the_command_line_takes_it(both, vecsearch, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    file = both / "onnx/model.onnx"
    ran = vecsearch("build", tmp_path / "texts.txt", "--encoder", file, "-o", tmp_path / "index")
    assert ran.code == 0, ran.err
    ran = vecsearch("query", tmp_path / "index", "the river", "-k", 1, "--json")
    assert json.loads(ran.out)["text"] == "the river" and json.loads(ran.out)["score"] == pytest.approx(1, abs=1e-5)
    with Index.open(tmp_path / "index") as index:
        assert index.encoder.fingerprint == open_encoder(file).fingerprint == index.manifest.encoder["fingerprint"]
    lines = [" ".join(line.split()) for line in vecsearch("model", "info", file).out.splitlines()]
    assert lines[1] == "kind an ONNX model" and f"length {DIM}" in lines and "pooling mean, scaled to length 1" in lines


@pytest.mark.parametrize("kind", ["transformer", "onnx"])
def test_the_cut_is_remembered(both, folder, vecsearch, tmp_path, kind):
    encoder = both if kind == "transformer" else folder
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    ran = vecsearch("build", tmp_path / "texts.txt", "--encoder", f"{encoder},max_tokens=4", "-o", tmp_path / "index")
    assert ran.code == 0 and "2 texts were cut to max_tokens" in ran.err, ran.err
    cut = open_encoder(encoder, max_tokens=4)
    with Index.open(tmp_path / "index", encoder=cut) as index:
        assert index.encoder is cut
    with Index.open(tmp_path / "index") as index:
        assert index.encoder.max_tokens == 4 and index.encoder.fingerprint == cut.fingerprint
        np.testing.assert_array_equal(index.encode(TEXTS), cut.encode(TEXTS))
        assert np.abs(index.encode(TEXTS) - open_encoder(encoder).encode(TEXTS)).max() > 0.01
    settings = next((tmp_path / "index/encoder").glob("*/sentence_bert_config.json"))
    assert json.loads(settings.read_text()) == {"max_seq_length": 4}


def test_a_cut_longer_than_the_models_changes_nothing(folder):
    assert open_encoder(folder, max_tokens=100).fingerprint == open_encoder(folder).fingerprint


@pytest.mark.parametrize("most, said", [(0, "at least 1"), (-3, "at least 1"), (2, "2 of which are marks; at least 3")])
@pytest.mark.parametrize("kind", ["transformer", "onnx"])
def test_a_cut_that_leaves_nothing(both, folder, kind, most, said):
    with pytest.raises(UsageError, match=said):
        open_encoder(both if kind == "transformer" else folder, max_tokens=most).encode(["a film"])


def test_it_opens_lazily(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    encoder = open_encoder(folder)
    assert encoder.dim == DIM and len(encoder.fingerprint) == 32


@pytest.mark.parametrize("library", ["onnxruntime", "tokenizers"])
def test_a_missing_library_is_named(folder, monkeypatch, vecsearch, tmp_path, library):
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / "texts.txt").write_text("the river")
    ran = vecsearch("encode", tmp_path / "texts.txt", "--encoder", folder)
    assert ran.code == 2 and library in ran.err and "pip install 'vecsearch[onnx]'" in ran.err


@pytest.mark.parametrize("type", [INT64, INT32])
@pytest.mark.parametrize(
    "outputs", [("last_hidden_state",), ("token_embeddings", "sentence_embedding"), ("elmo:0", "default:0"), ("any",)]
)
def test_graphs_of_other_shapes(tmp_path, type, outputs):
    write_beside(tmp_path, unit=False)
    lookup(tmp_path / "some-name.onnx", type=type, outputs=outputs)
    states = tokens("[CLS] the river [SEP]")
    wanted = states.sum(axis=0) if len(outputs) == 2 else states.mean(axis=0)
    np.testing.assert_allclose(open_encoder(tmp_path).encode(["the river"]), [wanted], atol=1e-5)


@pytest.mark.parametrize("whole", [True, False], ids=["a vector a text", "a vector a word"])
@pytest.mark.parametrize("size", [DIM, None], ids=["length known", "length unknown"])
def test_graphs_that_take_texts(tmp_path, vecsearch, whole, size):
    model = words_graph(tmp_path / "use.onnx", whole=whole, size=size)
    encoder = open_encoder(model)
    assert isinstance(encoder, OnnxTextEncoder) and encoder.dim == DIM
    vectors = encoder.encode(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        wanted = (tokens(text).sum(axis=0) if whole else tokens(text).mean(axis=0)) if text else np.zeros(DIM)
        np.testing.assert_allclose(vector, wanted, atol=1e-5)
    assert encoder.tally.texts == 4 and encoder.tally.empty == 1
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    assert vecsearch("build", tmp_path / "texts.txt", "--encoder", model, "-o", tmp_path / "index").code == 0
    ran = vecsearch("query", tmp_path / "index", "the river", "-k", 1, "--json")
    assert json.loads(ran.out)["text"] == "the river"
    ran = vecsearch("build", tmp_path / "texts.txt", "--encoder", f"{model},max_tokens=4", "-o", tmp_path / "no")
    assert ran.code == 2 and "is an ONNX model of texts, which has no such choice: leave out max_tokens" in ran.err
    assert "kind an ONNX model of texts" in " ".join(vecsearch("model", "info", model).out.split())


@pytest.mark.skipif(find_spec("onnxruntime_extensions") is None, reason="onnxruntime-extensions is not installed")
def test_operators_of_the_extensions_are_run(tmp_path):
    lower = helper.make_node("StringLower", ["upper"], ["texts"], domain="ai.onnx.contrib")
    encoder = open_encoder(words_graph(tmp_path / "use.onnx", whole=True, before=lower))
    np.testing.assert_allclose(encoder.encode(["The River"]), [tokens("the river").sum(axis=0)], atol=1e-5)


def test_operators_of_the_extensions_are_named(tmp_path, monkeypatch):
    node = helper.make_node("StringLower", ["texts"], ["out"], domain="ai.onnx.contrib")
    opsets = [helper.make_opsetid("ai.onnx.contrib", 1)]
    path = write_graph(tmp_path / "m.onnx", [node], {"texts": (STRING, ["n"])}, {"out": (FLOAT, ["n", DIM])}, opsets=opsets)
    monkeypatch.setitem(sys.modules, "onnxruntime_extensions", None)
    with pytest.raises(UsageError, match="pip install onnxruntime-extensions"):
        open_encoder(path).encode(["a"])


@pytest.mark.parametrize("said, threads", [("3", 3), ("", None), ("0", None), ("4,2", None)])
def test_threads(folder, monkeypatch, said, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    options = open_encoder(folder)._model._session.get_session_options()
    assert options.intra_op_num_threads == (threads or len(os.sched_getaffinity(0)))


def test_a_graph_that_asks_for_too_much_memory_is_refused(tmp_path):
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["much"]),
        helper.make_node("ReduceSum", ["much"], ["sum"], keepdims=0),
        helper.make_node("Gather", ["table", "input_ids"], ["states"]),
        helper.make_node("Add", ["states", "sum"], ["last_hidden_state"]),
    ]
    inputs, outputs = {"input_ids": (INT64, ["n", "t"])}, {"last_hidden_state": (FLOAT, ["n", "t", DIM])}
    weights = {"table": TABLE, "size": np.array([memory_limit() // 4])}  # as many float32: all of the memory
    write_graph(tmp_path / "model.onnx", nodes, inputs, outputs, weights)
    write_beside(tmp_path)
    with pytest.raises(CheckpointError, match=r"fails on its inputs.*Available memory"):
        open_encoder(tmp_path).encode(["the river"])


def test_weights_beside_the_file(tmp_path, vecsearch):
    place = tmp_path / "model"
    place.mkdir()
    write_beside(place)
    lookup(place / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    encoder = open_encoder(place)
    vectors = encoder.encode(TEXTS)
    Index.build(tmp_path / "index", documents(*TEXTS), encoder).close()
    with Index.open(tmp_path / "index") as index:
        assert index.encoder.fingerprint == encoder.fingerprint
        np.testing.assert_array_equal(index.encode(TEXTS), vectors)
    data = place / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="cannot be opened as an ONNX model"):
        open_encoder(place).encode(TEXTS)
    data.unlink()
    with pytest.raises(CheckpointError, match=r"has its weights in 'model\.onnx\.data', which is missing"):
        open_encoder(place)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "link", "*/_ORT_MEM_ADDR_/*", ""])
def test_weights_elsewhere_are_refused(tmp_path, name):
    from onnx import load_model, save_model

    place = tmp_path / "model"
    place.mkdir()
    (tmp_path / "secret").write_bytes(bytes(4 * DIM * len(WORDS)))
    (place / "link").symlink_to(tmp_path / "secret")
    write_beside(place)
    model = load_model(lookup(place / "model.onnx"))
    table = model.graph.initializer[0]
    table.ClearField("raw_data")
    table.data_location = TensorProto.EXTERNAL
    table.external_data.add(key="location", value=name)
    save_model(model, str(place / "model.onnx"))
    with pytest.raises(CheckpointError, match=r"not below its own folder|which is missing"):
        open_encoder(place)


def unknown_input(folder):
    node = helper.make_node("Identity", ["pixels"], ["last_hidden_state"])
    states = (FLOAT, ["n", "t", DIM])
    write_graph(folder / "model.onnx", [node], {"pixels": states}, {"last_hidden_state": states})


def two_outputs(folder):
    lookup(folder / "model.onnx", outputs=("a", "b"))


def two_models(folder):
    (folder / "model.onnx").rename(folder / "a.onnx")
    shutil.copyfile(folder / "a.onnx", folder / "b.onnx")


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def another_tokenizer(folder):
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"river": ', '"river": 9'))


def lost_mark(folder):
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_text())
    del stored["post_processor"]["special_tokens"]["[SEP]"]
    path.write_text(json.dumps(stored))


def another_length(folder):
    path = folder / "model.onnx"
    lookup(path, sizes=["n", "t", DIM + 1])


def no_length(folder):
    lookup(folder / "model.onnx", sizes=["n", "t", None])
    (folder / "config.json").unlink()


def not_a_number(folder):
    node = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    inputs, outputs = {"input_ids": (INT64, ["n", "t"])}, {"last_hidden_state": (FLOAT, ["n", "t", DIM])}
    write_graph(folder / "model.onnx", [node], inputs, outputs, {"table": TABLE * np.float32("nan")})


def foreign_operator(folder):
    node = helper.make_node("Anything", ["input_ids"], ["last_hidden_state"], domain="mine")
    inputs, outputs = {"input_ids": (INT64, ["n", "t"])}, {"last_hidden_state": (FLOAT, ["n", "t", DIM])}
    write_graph(folder / "model.onnx", [node], inputs, outputs, opsets=[helper.make_opsetid("mine", 1)])


def empty(folder):
    (folder / "model.onnx").write_bytes(b"")


def no_graph(folder):
    (folder / "model.onnx").write_bytes(b"\x08\x0a")


def text(folder):
    (folder / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 90888945\n")


def deep(folder):
    data = b""
    for _ in range(200):  # a graph in an attribute of a node of a graph …
        for number in (6, 5, 1):
            data = bytes([number << 3 | 2]) + length(data) + data
    (folder / "model.onnx").write_bytes(b"\x3a" + length(data) + data)


def length(data):
    size, out = len(data), b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size])


@pytest.mark.parametrize(
    "broken, said",
    [
        (unknown_input, "wants pixels, and only attention_mask, input_ids, token_type_ids are given"),
        (two_outputs, "gives a, b; which of them is meant is known of sentence_embedding"),
        (two_models, "one has to be named, and there are a.onnx, b.onnx: give the .onnx file"),
        (no_tokenizer, "tokenizer.json is missing: model.onnx takes the tokens that it makes"),
        (another_tokenizer, "model.onnx fails on its inputs"),
        (lost_mark, "tokenizer.json cannot be used"),
        (another_length, "for vectors of length 9|makes last_hidden_state of shape"),
        (no_length, "says the length of the vectors"),
        (not_a_number, "gives NaN or infinity"),
        (foreign_operator, "cannot be opened as an ONNX model"),
        (empty, "has 0 bytes"),
        (no_graph, "holds no graph with an output"),
        (text, "byte 0: "),
        (deep, "more than 100 messages in one another"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_used_is_refused(folder, vecsearch, tmp_path, broken, said):
    broken(folder)
    with pytest.raises(CheckpointError, match=said):
        open_encoder(folder).encode(["the river"])
    (tmp_path / "texts.txt").write_text("the river")
    ran = vecsearch("build", tmp_path / "texts.txt", "--encoder", folder, "-o", tmp_path / "index")
    assert ran.code == 3 and ran.err.splitlines()[-1].startswith("error: ") and not (tmp_path / "index/CURRENT").exists()


@pytest.mark.parametrize("options", [{"pooling": "mean"}, {"layers": [0]}, {"dtype": "bfloat16"}, {"dtype": "float32"}])
def test_options_that_it_does_not_have(folder, options):
    with pytest.raises(UsageError, match=f"is an ONNX model, which has no such choice: leave out {next(iter(options))}"):
        open_encoder(folder, **options)
    assert open_encoder(folder, dtype="auto", max_tokens=None).dim == DIM


def test_a_part_without_an_option_refuses_it(folder, tiny_folder, tmp_path):
    ConcatenatedEncoder([UlmfitEncoder(tiny_folder()), open_encoder(folder)]).save(tmp_path)
    with pytest.raises(UsageError, match="is an ONNX model, which has no such choice: leave out pooling"):
        open_encoder(tmp_path, pooling="raw")
    assert [part.max_tokens for part in open_encoder(tmp_path, max_tokens=5).parts] == [5, 5]


@pytest.mark.parametrize("command", [["build", "--vocabulary", "-o", "x"], ["similarity", "a", "b"]], ids=" ".join)
def test_what_needs_words_is_refused(folder, vecsearch, command):
    ran = vecsearch(*command, "--encoder", folder)
    assert ran.code == 2 and "an ONNX model has no words of its own" in ran.err


@pytest.mark.parametrize(
    "command",
    [["model", "words"], ["model", "postprocess", "--centre"], ["train", "similarity", "--from"], ["train", "lm", "--from"]],
    ids=" ".join,
)
def test_what_needs_an_ulmfit_model_is_refused(folder, vecsearch, tmp_path, command):
    texts = tmp_path / "texts.txt"
    texts.write_text("the river\n" * 40)
    ran = vecsearch(*command, folder, texts, "-o", tmp_path / "new")
    assert ran.code == 2 and f"{folder} is an ONNX model; here an ULMFiT model is needed" in ran.err
    assert not (tmp_path / "new").exists()


def test_another_file_is_no_encoder(vecsearch, tmp_path):
    (tmp_path / "model.pth").write_text("the river")
    ran = vecsearch("build", tmp_path / "texts.txt", "--encoder", tmp_path / "model.pth", "-o", tmp_path / "index")
    assert ran.code == 3 and "is not an encoder; make one of a fastai checkpoint with `vecsearch model import`" in ran.err
