"""Hits ranked again: by a cross-encoder as transformers runs it, by its ONNX file, and by an encoder."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from sentence_models import TEXTS, WORDS, write_beside, write_graph, write_model

from vecsearch.corpus.document import Document
from vecsearch.encoders import open_encoder
from vecsearch.encoders.reranking import CrossEncoder, open_reranker
from vecsearch.encoders.sentence.transformer import without_torchvision
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.index.build import Options
from vecsearch.index.index import Index
from vecsearch.index.rerank import rerank

QUERY = "the king"
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A BERT of random weights that scores pairs, with its tokenizer."""
    import torch

    with without_torchvision():
        from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("cross")
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=24, num_labels=1, initializer_range=1.0,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    write_beside(folder)
    _pairs(folder)
    return folder


def _pairs(folder):
    """Have the tokenizer put a mark between the two texts of a pair, as BERT's does."""
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def expected(folder, query, texts):
    """What transformers gives for each pair alone, without padding."""
    import torch
    from tokenizers import Tokenizer

    with without_torchvision():
        from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(24, strategy="only_second")
    found = []
    for text in texts:
        pair = tokenizer.encode(query, text)
        ids, types = torch.tensor([pair.ids]), torch.tensor([pair.type_ids])
        with torch.inference_mode():
            found.append(float(torch.sigmoid(model(input_ids=ids, token_type_ids=types).logits[0, 0])))
    return np.array(found)


def test_scores_are_those_of_transformers(made, monkeypatch):
    monkeypatch.setattr("vecsearch.encoders.reranking.fast_dtype", lambda: "float32")
    texts = [*TEXTS, "the river " * 40]
    scores = open_reranker(made).scores(QUERY, texts)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected(made, QUERY, texts), atol=1e-5)
    assert scores.std() > 0.01, "a model that scores all alike would tell nothing"
    assert len(open_reranker(made).scores(QUERY, [])) == 0


def test_an_onnx_file_gives_the_same(made, tmp_path):
    import torch

    with without_torchvision():
        from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(made, attn_implementation="eager").eval()

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.model(input_ids, attention_mask, token_type_ids).logits

    ids = torch.ones((2, 7), dtype=torch.int64)
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(made / name, tmp_path / name)
    torch.onnx.export(
        Logits(), (ids, ids, torch.zeros_like(ids)), tmp_path / "model.onnx", input_names=INPUTS, output_names=["logits"],
        dynamo=False, dynamic_axes={name: {0: "batch", 1: "tokens"} for name in INPUTS},
    )  # fmt: skip
    np.testing.assert_allclose(open_reranker(tmp_path).scores(QUERY, TEXTS), expected(made, QUERY, TEXTS), atol=1e-5)


def test_a_model_that_knows_no_two_texts_takes_them_in_one(made, tmp_path):
    """DistilBERT has no token types."""
    with without_torchvision():
        from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=len(WORDS), dim=8, n_layers=1, n_heads=2, hidden_dim=16, max_position_embeddings=24, num_labels=1
    )
    DistilBertForSequenceClassification(config).save_pretrained(tmp_path)
    shutil.copyfile(made / "tokenizer.json", tmp_path / "tokenizer.json")
    assert open_reranker(tmp_path).scores(QUERY, TEXTS).shape == (len(TEXTS),)


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({"input_ids": 7, "pixels": 7}, ["n", 1], "wants pixels"),
        ({"input_ids": 1}, ["n", 1], "wants input_ids"),
        ({"input_ids": 7}, ["n", "t"], "not a number each"),
    ],
)
def test_a_graph_that_does_not_score_pairs_is_refused(made, tmp_path, inputs, outputs, said):
    from onnx import TensorProto, helper

    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(made / name, tmp_path / name)
    nodes = [helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT)]
    described = {name: (type, ["n", "t"]) for name, type in inputs.items()}
    write_graph(tmp_path / "model.onnx", nodes, described, {"logits": (TensorProto.FLOAT, outputs)})
    with pytest.raises(CheckpointError, match=said):
        open_reranker(tmp_path).scores(QUERY, TEXTS)


def test_an_encoder_ranks_by_cosine(tmp_path):
    folder = write_model(tmp_path)
    vectors = open_encoder(folder).encode([QUERY, *TEXTS])
    np.testing.assert_allclose(open_reranker(folder).scores(QUERY, TEXTS), vectors[1:] @ vectors[0], atol=0.02)


class ByLength:
    """Scores a text by its letters."""

    def scores(self, query, texts):
        return np.array([len(text) for text in texts], np.float32)


def test_the_best_are_ranked_again(tmp_path):
    documents = [Document(str(n), f"the king {'and the queen ' * n}") for n in range(6)]
    with Index.build(tmp_path / "index", documents, open_encoder()) as index:
        found = index.query(["king", "queen"], 4)
        ranked = rerank(ByLength(), ["king", "queen"], found, 3)
        for hits, again in zip(found, ranked, strict=True):
            longest = sorted(hits, key=lambda hit: -len(hit.text))[:3]
            assert [hit.id for hit in again] == [hit.id for hit in longest]
            assert [hit.score for hit in again] == [len(hit.text) for hit in longest]
        assert rerank(ByLength(), ["king"], [[]]) == [[]]
        with pytest.raises(UsageError, match="2 lists of hits for 1 texts"):
            rerank(ByLength(), ["king"], found)


def test_a_split_document_is_scored_by_its_passage(tmp_path):
    from vecsearch.corpus.passages import Chunks

    seen = []

    class Reader:
        def scores(self, query, texts):
            seen.extend(texts)
            return np.zeros(len(texts), np.float32)

    text = "the king sat on the bank of the river . " * 20
    with Index.build(tmp_path / "index", [Document("0", text)], open_encoder(), options=Options(chunks=Chunks(20, 4))) as index:
        rerank(Reader(), ["king"], index.query(["king"], 1))
    assert len(seen) == 1 and len(seen[0]) < len(text) / 4


def test_the_command_line_says_what_it_cost(made, vecsearch, tmp_path):
    (tmp_path / "texts.txt").write_text("the king sat on the bank\nthe river\na film about a queen\n", encoding="utf-8")
    vecsearch("build", tmp_path / "texts.txt", "-o", tmp_path / "index")
    plain = [json.loads(line) for line in vecsearch("query", tmp_path / "index", QUERY, "--json").out.splitlines()]
    asked = vecsearch("query", tmp_path / "index", QUERY, "--rerank", made, "--candidates", "2", "-k", "1", "--json")
    assert asked.code == 0 and "2 hits ranked again" in asked.err and "ms a query" in asked.err
    first = plain[:2]
    scores = dict(zip((hit["id"] for hit in first), expected(made, QUERY, [hit["text"] for hit in first]), strict=True))
    best = json.loads(asked.out)
    assert best["id"] == max(scores, key=scores.__getitem__)
    assert best["score"] == pytest.approx(scores[best["id"]], abs=0.02)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--rerank", "nowhere"], 3, "nowhere"),
        (["--candidates", "5"], 2, "--rerank"),
        (["--rerank", "english", "--explain"], 2, "--explain"),
    ],
)
def test_what_makes_no_sense_is_refused(vecsearch, tmp_path, options, code, said):
    (tmp_path / "texts.txt").write_text("the king\n", encoding="utf-8")
    vecsearch("build", tmp_path / "texts.txt", "-o", tmp_path / "index")
    ran = vecsearch("query", tmp_path / "index", QUERY, *options)
    assert ran.code == code and said in ran.err


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (
            "config.json",
            lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"id2label": {"0": "a", "1": "b"}})),
        ),
        ("config.json", lambda path: path.write_text("[]")),
        ("config.json", lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"id2label": 1}))),
        ("model.safetensors", lambda path: path.unlink()),
        ("model.safetensors", lambda path: path.write_bytes(path.read_bytes()[:500])),
        ("tokenizer.json", lambda path: path.write_text("{}")),
    ],
)
def test_a_broken_folder_is_refused(made, tmp_path, name, change):
    folder = shutil.copytree(made, tmp_path / "cross")
    change(folder / name)
    with pytest.raises(CheckpointError, match="cross"):
        CrossEncoder(folder).scores(QUERY, TEXTS)
