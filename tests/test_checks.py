"""One rule for each kind of value that the Python API is given: texts and ids, names, numbers, documents, encoders."""

from __future__ import annotations

import datetime
import json
import os
import uuid
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch
from odd_place import DIM, WORDS, Encoder

import vecsearch
from vecsearch import Document, Index, Metric, UlmfitEncoder, VecsearchError, checks, clustering, open_encoder, read_corpus
from vecsearch.ann import Goal
from vecsearch.bench.workload import open_workload
from vecsearch.clustering.fit import Settings
from vecsearch.clustering.map import make_map
from vecsearch.corpus.pairs import read_pairs
from vecsearch.corpus.passages import Chunks
from vecsearch.corpus.readers import read_records
from vecsearch.encoders import ConcatenatedEncoder
from vecsearch.encoders.ulmfit.pooling import Pooling
from vecsearch.errors import CorpusError, ResourceError, UsageError, VectorsError
from vecsearch.evaluation.evaluate import encode_pairs, evaluate
from vecsearch.evaluation.sets import Pairs
from vecsearch.index.analogy import analogy, odd_one_out
from vecsearch.index.build import Options
from vecsearch.index.explain import explain
from vecsearch.matching.calibrate import calibrate
from vecsearch.matching.calibration import CalibratedEncoder
from vecsearch.matching.fuse import fuse
from vecsearch.matching.labelled import Labelled
from vecsearch.matching.scorers import EncoderScorer
from vecsearch.matching.threshold import Rule
from vecsearch.metric import pair_scores
from vecsearch.training.language_model import LanguagePlan
from vecsearch.training.loop import Plan
from vecsearch.training.train_similarity import New, TrainingData


@pytest.fixture
def index(tmp_path):
    """An index of eight documents, and beside their ids "1" and "2"."""
    documents = [Document(word, f"the {word}", {"year": 1990 + i}) for i, word in enumerate(WORDS)]
    with Index.build(tmp_path / "index", [*documents, Document("1", "abc"), Document("2", "ab")], Encoder()) as made:
        yield made


# -- texts and ids -----------------------------------------------------------------------------------------------------

SCORER = EncoderScorer(Encoder(), WORDS[:3], WORDS[3:6])
OF_TEXTS = {
    "encode": lambda index, texts: index.encode(texts).tolist(),
    "query": lambda index, texts: index.query(texts),
    "keywords": lambda index, texts: index.keywords(texts),
    "hybrid": lambda index, texts: index.hybrid(texts),
    "rows": lambda index, ids: index.rows(ids),
    "similar": lambda index, ids: index.similar(ids),
    "delete": lambda index, ids: index.delete(ids),
    "analogy": lambda index, ids: analogy(index, ids, []),
    "analogy less": lambda index, ids: analogy(index, ["king"], ids),
    "odd_one_out": lambda index, ids: odd_one_out(index, ids),
    "joined": lambda index, texts: ConcatenatedEncoder([Encoder()]).encode(texts).tolist(),
    "encode_pairs": lambda index, texts: encode_pairs(texts, WORDS[:3], Encoder())[0].tolist(),
    "EncoderScorer": lambda index, texts: (
        EncoderScorer(Encoder(), WORDS[:3], WORDS[3:6]).columns(texts, WORDS[:3])["ip"].tolist()
    ),
}
THREE = ["king", "queen", "storm"]


@pytest.mark.parametrize("name", OF_TEXTS)
@pytest.mark.parametrize("single", ["12", "king", "", b"12", np.str_("12"), Path("king")], ids=repr)
def test_a_single_text_is_no_list_of_texts(index, name, single):
    before = len(index)
    with pytest.raises(TypeError, match=r"give a list, even of a single one: .*\["):
        OF_TEXTS[name](index, single)
    assert len(index) == before


def test_the_message_shows_how_a_single_text_is_given(index):
    with pytest.raises(TypeError, match=r"^texts is 'storm' \(str\); .*: index\.query\(\['storm'\]\)$"):
        index.query("storm")


@pytest.mark.parametrize("name", OF_TEXTS)
@pytest.mark.parametrize(
    "given", [iter, tuple, np.array, lambda texts: np.array(texts, object), lambda texts: map(np.str_, texts)]
)
def test_whatever_gives_texts_one_by_one_does_as_a_list_does(tmp_path, name, given):
    found = []
    for folder, texts in (("a", THREE), ("b", given(THREE))):
        with Index.build(tmp_path / folder, [Document(word, f"the {word}") for word in WORDS], Encoder()) as index:
            found.append(OF_TEXTS[name](index, texts))
    np.testing.assert_equal(found[1], found[0])


@pytest.mark.parametrize("name", OF_TEXTS)
@pytest.mark.parametrize("wrong", [1, None, b"king", Path("king"), 1.5, ["king"]], ids=repr)
def test_what_is_no_text_is_named_with_its_place(index, name, wrong):
    before = len(index)
    with pytest.raises(TypeError, match=r"\[1\] is .*; give strings"):
        OF_TEXTS[name](index, ["king", wrong, "queen"])
    assert len(index) == before


@pytest.mark.parametrize(
    "read",
    [
        lambda: list(read_corpus("c.jsonl", text_fields="text")),
        lambda: list(read_pairs("p.tsv", columns="ab")),
        lambda: evaluate(Pairs("p", ["a"], ["b"], np.ones(1)), Encoder(), metrics="ip"),
    ],
)
def test_a_single_name_is_no_list_of_names(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)
    Path("c.jsonl").write_text('{"text": "a"}\n')
    Path("p.tsv").write_text("a\tb\nx\ty\n")
    with pytest.raises(TypeError, match="give a list, even of a single one"):
        read()


# -- names -------------------------------------------------------------------------------------------------------------

VECTORS = np.random.default_rng(0).standard_normal((40, DIM)).astype(np.float32)


def built(folder: Path, metric: object, spec: str = "exact") -> list:
    documents = (Document(str(i), "") for i in range(40))
    with Index.build(folder, documents, vectors=[VECTORS], options=Options(metric=metric, spec=spec)) as index:
        return [index.metric, index.search(VECTORS, 5).scores.tolist()]


def pairs() -> Labelled:
    matches = np.arange(40) % 2 == 0
    return Labelled("p", [f"a{i}" for i in range(40)], [f"b{i}" for i in range(40)], matches, np.arange(40))


BY_METRIC = {
    "Index.build": lambda folder, index, metric: built(folder, metric),
    "Index.build by a kind": lambda folder, index, metric: built(folder, metric, "HNSW8"),
    "search": lambda folder, index, metric: index.search(VECTORS, 3, metric=metric).rows.tolist(),
    "nearest": lambda folder, index, metric: index.nearest(VECTORS, 3, metric=metric),
    "query": lambda folder, index, metric: index.query(["abc"], 3, metric=metric),
    "similar": lambda folder, index, metric: index.similar(["king"], 3, metric=metric),
    "analogy": lambda folder, index, metric: analogy(index, ["king"], [], metric=metric),
    "pair_scores": lambda folder, index, metric: pair_scores(VECTORS, VECTORS[::-1], metric).tolist(),
    "evaluate": lambda folder, index, metric: [
        drawn.value
        for drawn in evaluate(
            Pairs("p", ["abc", "a", "bb"], ["ab", "cc", "b"], np.array([1.0, 0, 2])), Encoder(), metrics=[metric]
        ).drawn.values()
    ],
    "calibrate": lambda folder, index, metric: calibrate(
        pairs(), np.where(pairs().matches, 0.9, 0.1), metric, CalibratedEncoder("x", ["x"], [], {})
    ).to_bytes(),
}


@pytest.mark.parametrize("name", BY_METRIC)
def test_a_metrics_name_does_as_the_metric_does(tmp_path, index, name):
    found = {}
    for metric in Metric:
        found[metric] = BY_METRIC[name](tmp_path / f"{metric} itself", index, metric)
        assert BY_METRIC[name](tmp_path / metric.value, index, metric.value) == found[metric]
    assert found[Metric.COSINE] != found[Metric.INNER_PRODUCT] or name in ("similar",)


@pytest.mark.parametrize("name", BY_METRIC)
@pytest.mark.parametrize("metric", ["l2", "euclidean", "COSINE", "inner_product", "", 0, b"ip", ["ip"]], ids=repr)
def test_another_metric_is_refused_before_anything_is_done(tmp_path, index, name, metric):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((TypeError, UsageError), match="cosine, ip"):
        BY_METRIC[name](tmp_path / "new", index, metric)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("metric", Metric)
def test_pairs_of_vectors_without_a_length_have_no_score(bad, metric):
    other = VECTORS.copy()
    other[3, 1:] = bad
    for a, b, name in ((VECTORS, other, "b"), (other, VECTORS, "a")):
        with pytest.raises(UsageError, match=f"row 3 of {name} holds NaN or infinity"):
            pair_scores(a, b, metric)


def test_explain_takes_the_name_of_a_metric(tmp_path):
    with Index.build(tmp_path / "index", [Document("1", "the storm"), Document("2", "bread")], open_encoder()) as index:
        asked, hit = index.encode(["a storm"])[0], index.query(["a storm"], 1)[0][0]
        assert explain(index, asked, hit, metric="ip") == explain(index, asked, hit, metric=Metric.INNER_PRODUCT)


NAMED = {
    "pooling": (lambda folder, name: open_encoder(folder, pooling=name), [*Pooling]),
    "pooling of the class": (lambda folder, name: UlmfitEncoder(folder, pooling=name), [*Pooling]),
    "dtype": (lambda folder, name: open_encoder(folder, dtype=name), ["auto", "float32", "bfloat16"]),
    "dtype of the class": (lambda folder, name: UlmfitEncoder(folder, dtype=name), ["auto", "float32", "bfloat16"]),
    "way": (lambda folder, name: clustering.Settings(way=name), clustering.WAYS),
    "measure": (lambda folder, name: Rule(name, None if name == "f1" else 0.5), ["f1", "precision", "recall"]),
    "method": (
        lambda folder, name: calibrate(
            pairs(), np.where(pairs().matches, 0.9, 0.1), "ip", CalibratedEncoder("x", ["x"], [], {}), method=name
        ),
        ["best", "platt", "isotonic"],
    ),
}


@pytest.mark.parametrize("what", NAMED)
def test_every_name_is_taken_and_another_refused_with_those_that_there_are(tiny_folder, what):
    take, names = NAMED[what]
    for name in names:
        take(tiny_folder(), str(name))
    for wrong in ("l2", str(names[0]).upper(), ""):
        with pytest.raises(UsageError, match=f"there is no .*; choose among {', '.join(map(str, names))}$"):
            take(tiny_folder(), wrong)
    for wrong in (0, None if "of" not in what and what not in ("pooling", "dtype") else 1.5, b"raw", [names[0]]):
        with pytest.raises(TypeError, match=f"give one of the names {', '.join(map(str, names))}$"):
            take(tiny_folder(), wrong)


def test_names_of_a_model_and_of_a_map_are_refused_with_those_that_there_are(index):
    with pytest.raises(UsageError, match="there is no model 'svm'; choose among best, "):
        fuse(pairs(), {"own cosine": np.ones(40)}, {}, model="svm")
    with pytest.raises(UsageError, match="there is no way 'umap'; choose among tsne, pca"):
        make_map(index, way="umap")


def test_the_metric_of_ready_vectors_to_be_measured_may_be_a_name(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    rng = np.random.default_rng(0)
    assert open_workload(tmp_path / "v.npy", tmp_path, number=3, metric="ip", rng=rng).base.metric is Metric.INNER_PRODUCT
    with pytest.raises(UsageError, match="cosine, ip"):
        open_workload(tmp_path / "v.npy", tmp_path, number=3, metric="l2", rng=rng)


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["search", "nearest", "query", "keywords", "hybrid", "similar"])
def test_k_is_a_whole_number_of_any_size(index, name):
    given = {"search": VECTORS, "nearest": VECTORS, "similar": ["king"]}.get(name, ["the king"])

    def ask(k: object) -> object:
        found = getattr(index, name)(given, k)
        return found.rows.tolist() if name == "search" else [[hit.id for hit in hits] for hits in found]

    assert ask(np.int64(3)) == ask(3)
    assert ask(2**70) == ask(len(index))
    for wrong in (2.0, True, np.bool_(True), "3", None, np.float32(3)):
        with pytest.raises(TypeError, match=r"^k is .*; give a whole number$"):
            ask(wrong)
    for wrong in (0, -(2**70)):
        with pytest.raises(UsageError, match="ask for at least 1 hit"):
            ask(wrong)


@pytest.mark.parametrize("rows", [[10], [-1], [2**70], np.array([10]), np.array([-1])], ids=repr)
def test_a_row_that_there_is_not_is_refused_and_not_made_up(index, rows):
    for ask in (index.documents, index.vectors):
        with pytest.raises(UsageError, match="there are 10 rows, counted from 0"):
            ask(rows)


@pytest.mark.parametrize("value", ["no", "False", 0, 1, None])
def test_a_flag_that_is_no_flag_is_not_true(index, value):
    with pytest.raises(TypeError, match=r"^replace is .*; give True or False$"):
        Index.build(index.folder, [Document("1", "a")], Encoder(), replace=value)
    assert len(Index.open(index.folder, encoder=Encoder())) == 10


FIVE, HALF = np.int64(5), np.float32(0.5)
MADE = {
    "Goal": (Goal(recall=HALF, k=FIVE, memory=FIVE), Goal(recall=0.5, k=5, memory=5)),
    "Goal, other numbers": (Goal(recall=Decimal("0.5")), Goal(recall=0.5)),
    "Goal, arrays": (Goal(recall=np.array(0.5), k=np.array(5)), Goal(recall=0.5, k=5)),
    "Rule": (Rule(np.str_("recall"), HALF), Rule("recall", 0.5)),
    "Chunks": (Chunks(FIVE, np.int8(1)), Chunks(5, 1)),
    "Settings": (Settings(np.str_("kmeans"), FIVE, HALF, FIVE, FIVE), Settings("kmeans", 5, 0.5, 5, 5)),
    "New": (New(FIVE, [FIVE, FIVE]), New(5, (5, 5))),
    "TrainingData": (
        TrainingData(["a"], title=np.str_("b"), neighbors=np.True_),
        TrainingData([Path("a")], title="b", neighbors=True),
    ),
    "Plan": (Plan(FIVE, FIVE, HALF, HALF, HALF, HALF, FIVE, FIVE), Plan(5, 5, 0.5, 0.5, 0.5, 0.5, 5, 5)),
    "LanguagePlan": (
        LanguagePlan(FIVE, FIVE, FIVE, HALF, HALF, FIVE, (FIVE, FIVE), FIVE, FIVE, FIVE),
        LanguagePlan(5, 5, 5, 0.5, 0.5, 5, (5, 5), 5, 5, 5),
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_settings_hold_plain_numbers_however_they_are_given(name):
    given, plain = MADE[name]
    assert given == plain
    assert repr(given) == repr(plain)  # np.float32(0.5) and Decimal("0.5") equal 0.5


@pytest.mark.parametrize("recall", [HALF, Decimal("0.5"), np.array(0.5)], ids=repr)
def test_a_recall_in_any_form_is_built_and_kept(tmp_path, recall):
    vectors = np.random.default_rng(0).standard_normal((2000, DIM)).astype(np.float32)
    documents = (Document(str(row), "") for row in range(len(vectors)))
    goal = Goal(recall=recall)
    with Index.build(tmp_path / "index", documents, vectors=[vectors], options=Options(spec="HNSW16", goal=goal)) as index:
        assert index.manifest.recall["target"] == 0.5


# -- documents ---------------------------------------------------------------------------------------------------------

UID = uuid.UUID(int=5)
VALUES = {
    "date": (datetime.date(2020, 1, 2), "2020-01-02"),
    "datetime": (datetime.datetime(2020, 1, 2, 3, 4), "2020-01-02T03:04:00"),
    "datetime64": (np.datetime64("2020-01-02"), "2020-01-02"),
    "datetime64 in ns": (np.datetime64("2020-01-02T03:04:05", "ns"), "2020-01-02T03:04:05.000000000"),
    "no datetime64": (np.datetime64("NaT"), None),
    "timedelta": (datetime.timedelta(seconds=90), 90),
    "timedelta64": (np.timedelta64(10**9, "ns"), 1),
    "timedelta64 in weeks": (np.timedelta64(2, "W"), 1209600),
    "array of timedelta64": (np.array([1500, 2000], "timedelta64[ms]"), [1.5, 2]),
    "int64": (np.int64(7), 7),
    "float32": (np.float32(1.5), 1.5),
    "bool_": (np.bool_(True), True),
    "bool": (True, True),
    "str_": (np.str_("x"), "x"),
    "NaN": (float("nan"), None),
    "infinity": (np.float64("inf"), None),
    "array": (np.array([1, 2]), [1, 2]),
    "array of dates": (np.array(["2020-01-02"], "datetime64[D]"), ["2020-01-02"]),
    "0-d array": (np.array(3), 3),
    "set": ({"b", "a", "c"}, ["a", "b", "c"]),
    "frozenset": (frozenset({2, 1}), [1, 2]),
    "tuple": ((1, "x"), [1, "x"]),
    "bytes": (b"x", "x"),
    "decimal": (Decimal("1.50"), 1.5),
    "a decimal that is no float": (Decimal("0.10000000000000000001"), "0.10000000000000000001"),
    "UUID": (UID, str(UID)),
    "path": (Path("a/b"), "a/b"),
    "within": ({"when": [datetime.date(2020, 1, 2), {1: float("nan")}]}, {"when": ["2020-01-02", {"1": None}]}),
    "huge": (2**70, 2**70),
    "the longest": (10**4300 - 1, 10**4300 - 1),
    "structure": (np.array((1, 1.5), "i4,f4"), [1, 1.5]),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_fields_become_json_when_the_document_is_made(tmp_path, name):
    given, expected = VALUES[name]
    document = Document("d", "text", {"kept": 1, "x": given})
    assert json.dumps(document.fields) == json.dumps({"kept": 1, "x": expected})
    with Index.build(tmp_path / "index", [document], Encoder()) as index:
        assert index.documents([0])[0].fields == {"kept": 1, "x": expected}


IN_FILES = ["date", "datetime", "timedelta", "NaN", "int64", "float32", "bool", "array", "bytes", "tuple"]


@pytest.mark.parametrize("name", IN_FILES)
def test_files_and_documents_have_one_rule(tmp_path, name):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    value = VALUES[name][0]
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    value = [1, 2] if name == "tuple" else value
    parquet.write_table(pa.table({"id": ["d"], "text": ["text"], "x": [value]}), tmp_path / "c.parquet")
    (read,) = read_corpus(tmp_path / "c.parquet")
    assert Document("d", "text", {"x": value}) == read


ITSELF: dict = {}
ITSELF["itself"] = [ITSELF, datetime.date(2020, 1, 1)]


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: Document(7, "text"), ["the id of a document is 7 (int)", "ids are strings: '7'"]),
        (lambda: Document(np.int64(7), "text"), ["ids are strings: '7'"]),
        (lambda: Document(None, "text"), ["the id of a document is None"]),
        (lambda: Document(b"d", "text"), ["the id of a document is b'd' (bytes)"]),
        (lambda: Document("d", None), ["the text of document 'd' is None"]),
        (lambda: Document("d", ["text"]), ["the text of document 'd' is ['text'] (list)"]),
        (lambda: Document("d", Path("text")), ["the text of document 'd' is"]),
        (lambda: Document("d", "text", None), ["the fields of document 'd' are None"]),
        (lambda: Document("d", "text", [("x", 1)]), ["the fields of document 'd' are"]),
        (lambda: Document("d", "text", {1: "x"}), ["document 'd' has a field called 1 (int)"]),
        (lambda: Document("d", "text", {None: "x"}), ["document 'd' has a field called None"]),
        (lambda: Document("d", "text", {"x": object()}), ["the field 'x' of document 'd' is <object"]),
        (lambda: Document("d", "text", {"x": [len]}), ["the field 'x' of document 'd' is <built-in"]),
        (lambda: Document("d", "text", {"x": 1j}), ["the field 'x' of document 'd' is 1j (complex)"]),
        (lambda: Document("d", "text", {"x": np.complex64(1)}), ["the field 'x' of document 'd' is"]),
        (lambda: Document("d", "text", {"x": {(1, 2): 3}}), ["the field 'x' of document 'd' has the key (1, 2)"]),
        (lambda: Document("d", "text", {"x": {1: 2, "1": 3}}), ["the field 'x' of document 'd' has two keys"]),
        (lambda: Document("d", "text", ITSELF), ["the field 'itself' of document 'd' is nested too deeply, or in itself"]),
    ],
)
def test_what_no_document_can_hold_is_refused_when_it_is_made(make, parts):
    with pytest.raises(TypeError) as refused:
        make()
    assert [part for part in parts if part not in str(refused.value)] == []


TWICE: list = []
TWICE.extend([TWICE, TWICE])
NO_NUMBER = "a whole number of about 5,000 digits is too long: up to 4,300 digits are read again"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Document("\ud800", "a"), r"document '\ud800': its id holds half of a surrogate pair, '\ud800'"),
        (lambda: Document("d", "ab\udc00"), r"document 'd': its text holds half of a surrogate pair, '\udc00', as character 3"),
        (lambda: Document("d", "\ud800", {}, "c.txt, line 2"), "c.txt, line 2: its text holds half of a surrogate pair"),
        (lambda: Document("d", "a", {"\ud800": 1}), r"document 'd': its field's name '\ud800' holds half of a surrogate pair"),
        (lambda: Document("d", "a", {"x": "é\ud800"}), "document 'd': the field 'x' cannot be kept: it holds half of a"),
        (lambda: Document("d", "a", {"x": [{"y": "\ud800"}]}), "the field 'x' cannot be kept: it holds half of a"),
        (lambda: Document("d", "a", {"x": [{"\ud800": 1}]}), "the field 'x' cannot be kept: it holds half of a surrogate pair"),
        (lambda: Document("d", "a", {"x": 10**5000}), f"the field 'x' cannot be kept: {NO_NUMBER}"),
        (lambda: Document("d", "a", {"x": [-(10**5000)]}), f"the field 'x' cannot be kept: {NO_NUMBER}"),
        (lambda: Document("d", "a", {"x": {10**5000: 1}}), f"the field 'x' cannot be kept: {NO_NUMBER}"),
        (lambda: Document("d", "a", {"x": np.timedelta64(2, "Y")}), "cannot be kept: 2 years is a duration of no fixed length"),
        (lambda: Document("d", "a", {"x": np.datetime64("20000-01-01")}), "the date 20000-01-01 is outside the years"),
    ],
)
def test_what_cannot_be_written_is_refused_when_the_document_is_made(make, said):
    with pytest.raises(CorpusError) as refused:
        make()
    assert said in str(refused.value)


@pytest.mark.parametrize("value", [[ITSELF], TWICE, {"x": [TWICE]}], ids=["once", "twice", "within"])
def test_a_value_within_itself_is_refused_at_once(value):
    with pytest.raises(TypeError, match="is nested too deeply, or in itself; flatten it"):
        Document("d", "text", {"x": value})


def test_a_number_that_python_cannot_write_is_named_nevertheless():
    large = 10**5000
    with pytest.raises(TypeError, match=r"the id of a document is a whole number of about 5,000 digits \(int\)"):
        Document(large, "text")
    with pytest.raises(UsageError, match=r"^k is a whole number of about 5,000 digits; give 0 to 5$"):
        checks.count("k", large, most=5)
    with pytest.raises(UsageError, match=r"^least is a whole number of about 5,000 digits; give a finite number$"):
        checks.number("least", large)
    with pytest.raises(TypeError, match=r"^ids\[0\] is a whole number of about 5,000 digits"):
        checks.texts("ids", [large])


def test_an_id_may_hold_any_letter_as_in_a_file(tmp_path):
    ids = ["a\0b", "a\0c", "a", "\0", " ", "a\nb", "\ufeff"]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"id": id, "text": f"abc {id}"}) + "\n" for id in ids))
    documents = [Document(id, f"abc {id}") for id in ids]
    assert list(read_corpus(tmp_path / "c.jsonl")) == documents
    with Index.build(tmp_path / "index", documents, Encoder()) as index:
        assert index.rows(ids) == list(range(len(ids)))
        assert {hit.id for hit in index.query(["abc"], 9)[0]} == set(ids)
        assert [hit.id for hit in index.nearest(np.ones((1, DIM)), 9, where="id = 'a'")[0]] == ["a"]
        assert "a\0b" not in {hit.id for hit in index.similar(["a\0b"], 9)[0]}
        assert (index.delete(["a\0b"]), len(index), index.rows(["a\0c", "a"])) == (1, len(ids) - 1, [1, 2])


@pytest.mark.parametrize("behind", [0, 3, 5000])
def test_an_empty_id_is_refused_with_its_document_and_without_a_trace(tmp_path, behind):
    documents = [Document(str(i), "abc") for i in range(behind)]
    asked = []

    class Counting(Encoder):
        def encode(self, texts):
            asked.append(len(texts))
            return super().encode(texts)

    with pytest.raises(CorpusError, match=rf"^documents\[{behind}\]: the id is empty"):
        Index.build(tmp_path / "index", [*documents, Document("", "text")], Counting())
    assert sum(asked) < 4097  # not at the end: no block that it is in is encoded
    assert behind > 4096 or not (tmp_path / "index").exists()
    with pytest.raises(CorpusError, match=r"^c.jsonl, line 9: the id is "):
        Index.build(tmp_path / "other", [Document("", "text", {}, "c.jsonl, line 9")], Encoder())


@pytest.mark.parametrize(
    "given",
    ["c.jsonl", Path("c.jsonl"), Document("1", "a"), None, 7, [None], [("1", "a")], ["text"], [{"id": "1"}], {"1": "a"}],
    ids=repr,
)
def test_what_are_no_documents_is_refused_before_a_folder_is_made(tmp_path, given):
    with pytest.raises(TypeError, match=r"documents.* is .*; give "):
        Index.build(tmp_path / "index", given, Encoder())
    assert list(tmp_path.iterdir()) == []
    with Index.build(tmp_path / "index", [Document("1", "a")], Encoder()) as index:
        with pytest.raises(TypeError, match=r"documents.* is .*; give "):
            index.add(given)
        assert index.manifest.generation == 1


def test_a_build_that_fails_leaves_the_folders_that_were_there(tmp_path):
    def documents():
        yield Document("1", "a")
        raise RuntimeError("the source broke")

    for folder in (tmp_path / "a" / "b" / "index", tmp_path):
        with pytest.raises(RuntimeError):
            Index.build(folder, documents(), Encoder())
    assert [path.name for path in tmp_path.iterdir()] == ["LOCK"]


# -- encoders ----------------------------------------------------------------------------------------------------------


def returning(change):
    """An encoder whose vectors are changed before they are returned."""

    class Changed(Encoder):
        def encode(self, texts):
            return change(super().encode(texts))

    return Changed()


DOCUMENTS = [Document("1", "abc"), Document("2", "bb")]


@pytest.mark.parametrize(
    "change",
    [
        np.ndarray.tolist,
        np.float64,
        np.float16,
        np.int64,
        list,
        torch.from_numpy,
        np.asfortranarray,
        lambda vectors: np.repeat(vectors, 2, axis=0)[::2],
        lambda vectors: tuple(map(tuple, vectors)),
    ],
)
def test_numbers_in_any_form_are_an_encoders_vectors(tmp_path, change):
    with Index.build(tmp_path / "index", DOCUMENTS, returning(change)) as index:
        np.testing.assert_array_equal(index.vectors([0, 1]), Encoder().encode(["abc", "bb"]))
        np.testing.assert_array_equal(index.encode(["abc"]), Encoder().encode(["abc"]))
        assert index.vectors([0]).dtype == index.encode(["abc"]).dtype == np.float32
        assert index.query(["bb"], 1)[0][0].id == "2"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda vectors: vectors[0], r"has the shape \(4,\); it has to be \(\d, 4\)"),
        (lambda vectors: vectors[:-1], r"has the shape \(\d, 4\)"),
        (lambda vectors: np.concatenate([vectors, vectors]), r"has the shape \(\d, 4\)"),
        (lambda vectors: vectors[:, :3], r"has the shape \(\d, 3\)"),
        (lambda vectors: vectors[None], r"has the shape \(1, \d, 4\)"),
        (lambda vectors: None, "is None"),
        (lambda vectors: "vectors", "is 'vectors' \\(str\\)"),
        (lambda vectors: vectors.astype(complex), "an array of complex"),
        (lambda vectors: vectors.astype(str), "an array of <U"),
        (lambda vectors: iter(vectors), "iterator"),
        (lambda vectors: [[1.0], [1.0, 2.0]], "no array of numbers"),
        (lambda vectors: torch.from_numpy(vectors).bfloat16(), "no array of numbers"),
        (lambda vectors: torch.from_numpy(vectors).requires_grad_(), "no array of numbers"),
        (lambda vectors: vectors * np.nan, "holds NaN|holds nan"),
    ],
)
def test_what_are_no_vectors_is_refused_before_anything_is_written(tmp_path, change, said):
    with pytest.raises(VectorsError, match=said):
        Index.build(tmp_path / "index", DOCUMENTS, returning(change))
    assert list(tmp_path.iterdir()) == []
    with Index.build(tmp_path / "index", DOCUMENTS, Encoder()) as index:
        before = sorted((path, path.stat().st_size) for path in (tmp_path / "index").rglob("*") if path.name != "LOCK")
    with Index.open(tmp_path / "index", encoder=returning(change)) as index:
        with pytest.raises(VectorsError, match=said):
            index.add([Document("3", "c"), Document("4", "cc")])
        with pytest.raises(VecsearchError, match=said):
            index.query(["abc", "bb"])
    assert sorted((path, path.stat().st_size) for path in (tmp_path / "index").rglob("*") if path.name != "LOCK") == before


@pytest.mark.parametrize("lost", [slice(0, 0), slice(0, 1), slice(0, 5)])
def test_no_block_of_texts_is_lost_by_an_encoder_that_takes_several(tmp_path, lost):
    class Blocks(Encoder):
        def encode_blocks(self, blocks):
            made = [self.encode(block) for block in blocks]
            return iter([*made, *made][lost])

    with pytest.raises(VectorsError, match="blocks of texts"):
        Index.build(tmp_path / "index", (Document(str(i), "abc") for i in range(9000)), Blocks())


MEMBERS = {"dim": DIM, "fingerprint": "x", "encode": lambda self, texts: Encoder().encode(texts)}


@pytest.mark.parametrize("missing", MEMBERS)
def test_an_encoder_that_lacks_a_member_is_refused(tmp_path, missing):
    members = {name: member for name, member in MEMBERS.items() if name != missing}
    with pytest.raises((TypeError, UsageError), match=missing):
        Index.build(tmp_path / "index", DOCUMENTS, type("Half", (vecsearch.Encoder,), members)())
    assert list(tmp_path.iterdir()) == []


def test_what_has_the_members_and_does_not_derive_is_told_what_to_derive_from(tmp_path):
    with pytest.raises(TypeError, match=r"encoder is .*; give an encoder: .*that derives from vecsearch\.Encoder$"):
        Index.build(tmp_path / "index", DOCUMENTS, type("Alike", (), MEMBERS)())
    assert list(tmp_path.iterdir()) == []


def test_what_an_encoder_does_not_say_has_a_default(tmp_path):
    encoder = type("Least", (vecsearch.Encoder,), MEMBERS)()
    given = (encoder.kind, encoder.dtype, encoder.language, encoder.tally, encoder.words, encoder.pieces)
    assert given == ("Least", "float32", None, None, (), ())
    assert encoder.tokens(" a  b\nc ")[1:] == ["a", "b", "c"] and encoder.describe() == {"length": DIM}
    assert [block.tolist() for block in encoder.encode_blocks([["abc"], []])] == [Encoder().encode(["abc"]).tolist(), []]
    for refused in (lambda: encoder.encode_in_context(["a [[b]]"]), lambda: encoder.shares("a"), encoder.word_ids):
        with pytest.raises(UsageError, match="Least"):
            refused()
    with Index.build(tmp_path / "index", DOCUMENTS, encoder) as index:
        assert index.tally is None and index.manifest.encoder["dtype"] == "float32"
        with pytest.raises(UsageError, match="marked words need an ULMFiT model: in Least a word is the same in any context"):
            index.encode(["a [[b]]"], marked=True)
    with Index.open(tmp_path / "index") as index, pytest.raises(UsageError, match="encoder of your own"):
        index.query(["abc"])


def test_parts_without_a_fingerprint_are_joined_and_not_kept(tmp_path):
    parts = [type("Nameless", (vecsearch.Encoder,), {**MEMBERS, "fingerprint": ""})() for _ in range(2)]
    joined = ConcatenatedEncoder(parts)
    assert joined.encode(["abc"]).shape == (1, 2 * DIM)
    with pytest.raises(TypeError, match="fingerprint is empty"):
        Index.build(tmp_path / "index", DOCUMENTS, joined)
    assert list(tmp_path.iterdir()) == []


def test_encoders_and_indexes_say_what_they_are(tmp_path, tiny):
    assert repr(Encoder()) == "<Encoder: dim 4, fingerprint letters>"
    assert repr(tiny) == f"<an ULMFiT model: dim {tiny.dim}, pooling mean, fingerprint {tiny.fingerprint[:12]}>"
    joined = ConcatenatedEncoder([Encoder(), Encoder()])
    assert repr(joined) == "<a concatenated encoder: dim 8>"
    assert joined.fingerprint[:12] in repr(joined)
    (tmp_path / "glove.txt").write_text("king 1 2\n")
    assert repr(open_encoder(tmp_path / "glove.txt")) == "<word vectors: dim 2>"
    with Index.build(tmp_path / "index", DOCUMENTS, Encoder()) as index:
        assert repr(index) == f"<Index {tmp_path / 'index'}: generation 1, 2 documents, dim 4, cosine, exact>"
    assert repr(index) == f"<Index {tmp_path / 'index'}: closed>"


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ("english", r"give open_encoder\('english'\)"),
        (Path("english"), r"give open_encoder\('english'\)"),
        (Encoder, r"is the class Encoder; give an object of it: Encoder\(\)"),
        (0, r"is 0 \(int\); give an encoder: "),
        ([], r"is \[\] \(list\); give an encoder: "),
        (type("Odd", (Encoder,), {"dim": 4.0})(), "the encoder's dim is 4.0"),
        (type("Odd", (Encoder,), {"dim": 0})(), "the encoder's dim is 0"),
        (type("Odd", (Encoder,), {"fingerprint": 5})(), "the encoder's fingerprint is 5"),
        (type("Odd", (Encoder,), {"fingerprint": ""})(), "the encoder's fingerprint is empty"),
        (type("Odd", (Encoder,), {"encode": 5})(), "the encoder's encode is 5"),
    ],
)
def test_what_is_no_encoder_is_refused_wherever_one_is_given(tmp_path, encoder, said):
    given = [
        lambda: Index.build(tmp_path / "index", DOCUMENTS, encoder),
        lambda: Index.open(tmp_path / "none", encoder=encoder),
    ]
    if "fingerprint" not in said:
        given += [
            lambda: ConcatenatedEncoder([encoder]),
            lambda: encode_pairs(["a"], ["b"], encoder),
            lambda: EncoderScorer(encoder, ["a"], ["b"]),
        ]
    for give in given:
        with pytest.raises((TypeError, UsageError), match=said):
            give()
    assert list(tmp_path.iterdir()) == []


# -- the checks themselves ---------------------------------------------------------------------------------------------


def test_records_of_a_file_and_paths_take_texts_and_paths_alike(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.jsonl").write_text('{"id": "1", "text": "a"}\n')
    assert list(read_corpus("c.jsonl")) == list(read_corpus(Path("c.jsonl")))
    for wrong in (b"c.jsonl", None, 3, ["c.jsonl"]):
        with pytest.raises(TypeError, match=r"^path is .*; give a path"):
            read_records(wrong)
    for wrong in ("", "\0", "\ud800"):
        with pytest.raises(UsageError, match=r"^path is "):
            checks.path("path", wrong)
    with pytest.raises(ResourceError, match=r"^x{5000}: File name too long; give another path$"):
        checks.path("path", "x" * 5000)
    assert os.listdir() == ["c.jsonl"]
