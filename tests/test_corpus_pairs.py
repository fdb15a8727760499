"""Files of pairs and groups: what is read of them, and what is refused."""

import json

import pytest

from vecsearch.corpus.pairs import Pair, kind_of, read_groups, read_pairs
from vecsearch.errors import CorpusError


def jsonl(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize("names", [("a", "b"), ("text1", "text2"), ("sentence1", "sentence2"), ("word1", "word2")])
@pytest.mark.parametrize("score", ["score", "label", "similarity", None])
def test_columns_are_found_by_their_names(tmp_path, names, score):
    record = dict(zip(names, ("one", "two"), strict=True)) | ({score: "2.5"} if score else {})
    path = tmp_path / "pairs.tsv"
    path.write_text("\t".join(record) + "\n" + "\t".join(record.values()) + "\n")
    assert list(read_pairs(path)) == [Pair("one", "two", 2.5 if score else None)] and kind_of(path) == "pairs"


def test_columns_may_be_named(tmp_path):
    path = jsonl(tmp_path / "pairs.jsonl", {"q": "x", "r": "y", "s": 1, "a": "no", "b": "no"})
    assert list(read_pairs(path, columns=["q", "r", "s"])) == [Pair("x", "y", 1.0)]
    assert list(read_pairs(path, columns=["r", "q"])) == [Pair("y", "x")]
    with pytest.raises(CorpusError, match=r"pairs\.jsonl has no column 'z'; there are: q, r, s, a, b"):
        list(read_pairs(path, columns=["q", "z"]))


def test_a_file_without_pairs_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"no two columns of texts .*there are: x\); name them with --columns"):
        list(read_pairs(jsonl(tmp_path / "x.jsonl", {"x": "y"})))
    with pytest.raises(CorpusError, match="holds no pairs"):
        list(read_pairs(jsonl(tmp_path / "empty.jsonl")))


@pytest.mark.parametrize(
    "record, problem",
    [
        ({"a": 1, "b": "y", "score": 1}, '"a" is 1, not a text'),
        ({"a": "x", "score": 1}, '"b" is None, not a text'),
        ({"a": "x", "b": "y", "score": "high"}, "the score in \"score\" is 'high', not a number"),
        ({"a": "x", "b": "y", "score": float("nan")}, 'the score in "score" is nan, not a number'),
        ({"a": "x", "b": "y"}, 'the score in "score" is None, not a number'),
    ],
)
def test_a_bad_pair_is_named_by_its_line_or_skipped(tmp_path, record, problem):
    good = {"a": "x", "b": "y", "score": 1}
    path = jsonl(tmp_path / "pairs.jsonl", good, record, good)
    with pytest.raises(CorpusError, match=r"pairs\.jsonl, line 2: ") as refused:
        list(read_pairs(path))
    assert problem in str(refused.value)
    assert len(list(read_pairs(path, skip_bad=True))) == 2


def test_groups(tmp_path):
    path = jsonl(tmp_path / "groups.jsonl", {"texts": ["a", "b", "c"]}, {"texts": ["d", "e"]})
    assert list(read_groups(path)) == [["a", "b", "c"], ["d", "e"]] and kind_of(path) == "groups"


@pytest.mark.parametrize("texts", [None, "ab", ["a"], ["a", 1]])
def test_a_bad_group_is_named_by_its_line(tmp_path, texts):
    with pytest.raises(CorpusError, match=r'groups\.jsonl, line 1: "texts" is not a list of at least two strings'):
        list(read_groups(jsonl(tmp_path / "groups.jsonl", {"texts": texts})))


def test_anything_else_is_a_corpus(tmp_path):
    assert kind_of(jsonl(tmp_path / "corpus.jsonl", {"id": "1", "text": "x"})) == "corpus"
