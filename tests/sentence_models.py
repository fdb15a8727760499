"""Small sentence transformers of random weights: folders as sentence-transformers writes them, and ONNX files of the same."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np

from vecsearch.encoders.sentence.base import POOLINGS
from vecsearch.encoders.sentence.transformer import without_torchvision

TEXTS = ["a film about a bank", "the river", "", "a king and a queen sat on the bank of the river in the city"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({word for text in TEXTS for word in text.split()})]
DIM = 8
TABLE = np.random.default_rng(0).standard_normal((len(WORDS), DIM)).astype(np.float32)
"""Vectors of the words."""


def write_model(folder: Path, pooling: str = "mean", *, unit: bool = True, longest: int = 10) -> Path:
    """A BERT with its tokenizer of whole words, in an empty folder."""
    import torch

    with without_torchvision():
        from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=DIM, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    write_beside(folder, pooling, unit=unit, longest=longest)
    return folder


def write_beside(folder: Path, pooling: str = "mean", *, unit: bool = True, longest: int = 10) -> None:
    """What sentence-transformers writes beside a model."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "1_Pooling").mkdir()
    modes = {name: pooling == mode for name, mode in POOLINGS.items()}
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": DIM, **modes}))
    types = ["Transformer", "Pooling", *(["Normalize"] if unit else [])]
    (folder / "modules.json").write_text(json.dumps([{"type": f"sentence_transformers.models.{name}"} for name in types]))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest}))


def export(folder: Path, path: Path) -> Path:
    """The model of a folder as an ONNX file, as optimum exports it: three inputs, the states of the last layer."""
    import torch

    with without_torchvision():
        from transformers import BertModel

    model = BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    inputs = ["input_ids", "attention_mask", "token_type_ids"]
    ids = torch.ones((2, 7), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _States(model), (ids, ids, torch.zeros_like(ids)), path,
            input_names=inputs, output_names=["last_hidden_state"], dynamo=False,
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in [*inputs, "last_hidden_state"]},
        )  # fmt: skip
    return path


def _States(model):
    import torch

    class States(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
            return self.model(**given).last_hidden_state

    return States()


def write_graph(path: Path, nodes: list, inputs: dict, outputs: dict, weights: dict | None = None, **options) -> Path:
    """A graph as a file: inputs and outputs by name, each with its type and shape; weights by name."""
    from onnx import helper, numpy_helper, save_model

    def values(given):
        return [helper.make_tensor_value_info(name, *value) for name, value in given.items()]

    initial = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", values(inputs), values(outputs), initial)
    opsets = [helper.make_opsetid("", 20), *options.pop("opsets", [])]
    save_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path), **options)
    return path


def lookup(path: Path, *, type: int = 7, outputs=("last_hidden_state",), sizes=None, **options) -> Path:
    """A graph that looks its tokens' vectors up, and gives them, or their sum as well; `type` is that of the tokens' ids."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], [outputs[0]]),
        helper.make_node("ReduceSum", [outputs[0], "axis"], [outputs[-1]], keepdims=0),
    ]
    shapes = {outputs[0]: ["n", "t", DIM], outputs[-1]: ["n", DIM]} if len(outputs) == 2 else {outputs[0]: ["n", "t", DIM]}
    described = {name: (TensorProto.FLOAT, sizes or shape) for name, shape in shapes.items()}
    weights = {"table": TABLE, "axis": np.array([1])}
    return write_graph(path, nodes[: len(outputs)], {"input_ids": (type, ["n", "t"])}, described, weights, **options)


def words_graph(path: Path, *, whole: bool, size: int | None = DIM, before=None) -> Path:
    """A graph that takes texts, cuts them at spaces and looks the words up: the sum of their vectors, or each word's."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("StringSplit", ["texts"], ["words", "count"]),
        helper.make_node(
            "LabelEncoder", ["words"], ["ids"], domain="ai.onnx.ml",
            keys_strings=WORDS, values_int64s=list(range(len(WORDS))), default_int64=0,
        ),
        helper.make_node("Gather", ["table", "ids"], ["states"]),
        helper.make_node("ReduceSum", ["states", "axis"], ["sums"], keepdims=0),
    ]  # fmt: skip
    table = np.where(np.arange(len(WORDS))[:, None] == 0, 0 if whole else 9, TABLE)
    outputs = {"sums": (TensorProto.FLOAT, ["n", size])} if whole else {"states": (TensorProto.FLOAT, ["n", "t", size])}
    opsets = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("ai.onnx.contrib", 1)]
    weights = {"table": table.astype(np.float32), "axis": np.array([1])}
    nodes = [*([before] if before else []), *(nodes if whole else nodes[:3])]
    return write_graph(path, nodes, {nodes[0].input[0]: (TensorProto.STRING, ["n"])}, outputs, weights, opsets=opsets)
