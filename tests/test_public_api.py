"""Every public function with every odd value for each of its parameters: an answer, or a refusal in a sentence; nothing else.

An odd value is accepted where it makes sense. What is refused is refused by a TypeError or ValueError that names the parameter
or what was given, or by a VecsearchError; and then nothing on the disk has changed.
"""

from __future__ import annotations

import datetime
import faulthandler
import os
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from engines import Here
from faults import some
from odd_place import DIM, Encoder, Place

import vecsearch
from vecsearch import (
    Corpus,
    Document,
    Goal,
    Index,
    Metric,
    Neighbors,
    Options,
    UlmfitEncoder,
    VecsearchError,
    clustering,
    distributed,
    open_encoder,
    read_corpus,
    read_files,
)
from vecsearch.bench.bench import measure
from vecsearch.bench.workload import open_workload
from vecsearch.clustering.map import kept_map, make_map
from vecsearch.clustering.page import map_page
from vecsearch.corpus.pairs import read_pairs
from vecsearch.corpus.passages import Chunks
from vecsearch.distributed import Pool, RayEngine
from vecsearch.encoders import ConcatenatedEncoder
from vecsearch.encoders.ulmfit.pooling import Pooling
from vecsearch.evaluation.evaluate import compare, encode_pairs, evaluate
from vecsearch.evaluation.sets import read_set
from vecsearch.index.analogy import analogy, odd_one_out
from vecsearch.index.explain import explain
from vecsearch.index.percentiles import index_similarity, model_similarity
from vecsearch.matching.calibrate import calibrate
from vecsearch.matching.calibration import CalibratedEncoder, Calibration
from vecsearch.matching.features import PairFeatures
from vecsearch.matching.fuse import fuse
from vecsearch.matching.fused_model import FusedEncoder, FusedModel
from vecsearch.matching.judges import EncoderJudge
from vecsearch.matching.labelled import read_labelled
from vecsearch.matching.scorers import EncoderScorer
from vecsearch.matching.scoring_files import score_files
from vecsearch.matching.scoring_plan import Scoring
from vecsearch.matching.threshold import Rule
from vecsearch.metric import pair_scores
from vecsearch.progress import SILENT

SECONDS = 300
"""After so many a call hangs: where it does is printed, and the tests end."""


class Lambda:
    """Called with whatever is given, it returns None; two are never equal."""

    def __call__(self, *_: Any, **__: Any) -> None:
        pass


ODD: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "0": lambda: 0,
    "-1": lambda: -1,
    "3": lambda: 3,
    "2**70": lambda: 2**70,
    "1.5": lambda: 1.5,
    "2.0": lambda: 2.0,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "1j": lambda: 1j,
    "Decimal": lambda: Decimal("0.5"),
    "True": lambda: True,
    "empty text": lambda: "",
    "x": lambda: "x",
    "storm": lambda: "storm",
    "NUL": lambda: "\0",
    "a NUL b": lambda: "a\0b",
    "surrogate": lambda: "\ud800",
    "long text": lambda: "x" * 5000,
    "bytes": lambda: b"x",
    "[]": list,
    "[None]": lambda: [None],
    "['a', 1]": lambda: ["a", 1],
    "['storm']": lambda: ["storm"],
    "[1, 2.5]": lambda: [1, 2.5],
    "[-1]": lambda: [-1],
    "[2**70]": lambda: [2**70],
    "ragged": lambda: [[1, 2], [3]],
    "()": tuple,
    "{}": dict,
    "{'a': 1}": lambda: {"a": 1},
    "{1: object}": lambda: {1: object()},
    "set": lambda: {"a"},
    "range": lambda: range(2),
    "iterator": lambda: iter(["storm", "bread"]),
    "iterator of ints": lambda: iter([0, 1]),
    "object": object,
    "lambda": Lambda,
    "class": lambda: dict,
    "Path": lambda: Path("."),
    "missing Path": lambda: Path("nowhere/at/all"),
    "date": lambda: datetime.date(2020, 1, 2),
    "Document": lambda: Document("d", "text"),
    "int64": lambda: np.int64(1),
    "float32": lambda: np.float32(1.5),
    "bool_": lambda: np.bool_(True),
    "str_": lambda: np.str_("storm"),
    "datetime64": lambda: np.datetime64("2020-01-01"),
    "0-d": lambda: np.array(1),
    "0-d str": lambda: np.array("storm"),
    "array of str": lambda: np.array(["storm", "bread"]),
    "array of objects": lambda: np.array([None, "a"], object),
    "array (dim,)": lambda: np.ones(DIM),
    "array (dim,) of ints": lambda: np.arange(DIM),
    "array (1, dim)": lambda: np.ones((1, DIM)),
    "array (0, dim)": lambda: np.ones((0, DIM)),
    "array (2, 3)": lambda: np.ones((2, 3)),
    "array (2, 2, 2)": lambda: np.ones((2, 2, 2)),
    "complex array": lambda: np.ones((1, DIM), complex),
    "bool array": lambda: np.ones(DIM, bool),
    "NaN array": lambda: np.full((1, DIM), np.nan),
    "huge array": lambda: np.full((1, DIM), 1e300),
}


class Case(NamedTuple):
    """A function, and arguments with which it answers."""

    name: str
    call: Callable[..., Any]
    arguments: dict[str, Any]


def listed(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """A function that returns an iterator, with all of it."""
    return lambda **arguments: list(function(**arguments))


def closed(function: Callable[..., Index]) -> Callable[..., None]:
    """A function that opens an index, which is closed again."""
    return lambda **arguments: function(**arguments).close()


def index_cases(place: Place) -> Iterator[Case]:
    documents = [Document("new", "the bread"), Document("storm", "a storm")]
    building = {"folder": "built", "documents": documents, "encoder": Encoder(), "options": Options(metric="ip", spec="exact")}
    building |= {"replace": False, "resume": False, "progress": SILENT}
    yield Case("Index.build", closed(Index.build), building)
    ready = {"folder": "built", "documents": documents, "encoder": Encoder(), "vectors": [np.ones((2, DIM))]}
    yield Case("Index.build of vectors", closed(Index.build), ready)
    options = {"metric": "ip", "spec": "exact", "goal": Goal(), "chunks": None, "language": "en", "keep": 3, "queries": None}
    together = {
        "folder": "built",
        "documents": documents,
        "encoder": Encoder(),
        "options": Options(metric="ip"),
        "engine": Here(),
    }
    together |= {"workers": 1, "shard_rows": 5000, "replace": False, "resume": False, "progress": SILENT}
    yield Case("distributed.build", closed(distributed.build), together)
    yield Case("Pool", Pool, {"workers": 2})
    yield Case("RayEngine", RayEngine, {"address": "nowhere:1", "workers": 1})
    yield Case("Options", lambda **its: Index.build("built", documents, Encoder(), Options(**its)).close(), options)
    corpus = {"documents": documents, "name": "made", "options": {}, "tally": None, "total": 2, "files": None}
    yield Case("Corpus", lambda **its: Index.build("built", Corpus(**its), Encoder()).close(), corpus)
    opening = {"folder": "own", "generation": None, "encoder": Encoder(), "check": True, "condition_seconds": 1.0}
    yield Case("Index.open", closed(Index.open), opening)
    joined = {"folder": "built", "paths": ["own"], "encoder": Encoder(), "progress": SILENT}
    yield Case("Index.from_segments", closed(Index.from_segments), joined)
    yield Case("Index.verify", Index.verify, {"folder": "own"})
    url = f"file://{place.folder.parent}/shared"
    vecsearch.push("index", url)
    place.put_back()
    yield Case("push", vecsearch.push, {"folder": "index", "url": url, "replace": True, "progress": SILENT})
    yield Case("pull", vecsearch.pull, {"url": url, "folder": "pulled", "progress": SILENT})
    yield Case("Index.open by URL", closed(Index.open), {"folder": url, "generation": 3, "check": True, "progress": SILENT})
    rebuilding = {"spec": "exact", "goal": Goal(), "queries": None, "progress": SILENT}
    yield Case("Index.repair", Index.repair, {"folder": "own", **rebuilding})
    asked = {"k": 3, "metric": "ip", "exact": True, "where": "year > 1990"}
    by_text = {"texts": ["the king"], **asked}

    def of(name: str) -> Callable[..., Any]:
        return lambda **arguments: getattr(place.index, name)(**arguments)

    yield Case("add", of("add"), {"documents": documents, "resume": False, "progress": SILENT})
    with_vectors = {"documents": documents, "vectors": [np.ones((2, DIM))]}
    yield Case("add of vectors", of("add"), with_vectors)

    def synced(**arguments: Any) -> None:
        with Index.open("noted", check=False) as noted:
            noted.sync(**arguments)

    told = {"tell": lambda name, said: None, "progress": SILENT}
    yield Case("sync", synced, {"paths": ["notes"], "strict": False, "dry_run": False, "allow_empty": False, **told})
    yield Case("count", of("count"), {"where": "year > 1990", "words": "king"})
    counting = {"names": ["year"], "where": "year > 1990", "words": "king", "limit": 3}
    yield Case("facets", of("facets"), counting)
    yield Case("browse", of("browse"), {"where": "year > 1990", "offset": 1, "k": 3})
    yield Case("file_of", of("file_of"), {"hit": place.index.query(["king"])[0][0]})
    yield Case("delete", of("delete"), {"ids": ["storm"], "where": "year = 1990"})
    yield Case("compact", of("compact"), {"rows": 3, "queries": None, "language": "en", "progress": SILENT})
    yield Case("adopt", of("adopt"), {"paths": ["own-words"], "replace": True, "progress": SILENT})
    yield Case("rebuild", of("rebuild"), rebuilding)
    yield Case("collect", of("collect"), {"keep": 3})
    yield Case("rollback", of("rollback"), {"generation": 2})
    for name in ("documents", "vectors"):
        yield Case(name, of(name), {"rows": [0, 1]})
    for name in ("rows", "known"):
        yield Case(name, of(name), {"ids": ["storm"]})
    yield Case("encode", of("encode"), {"texts": ["storm"], "marked": False})
    yield Case("remarks", of("remarks"), {"where": "year > 1990"})
    for name in ("search", "nearest"):
        yield Case(name, of(name), {"vectors": np.ones((2, DIM), np.float32), **asked})
    yield Case("query", of("query"), by_text)
    yield Case("keywords", of("keywords"), {"texts": ["king"], "k": 3, "where": "year > 1990"})
    yield Case("hybrid", of("hybrid"), {"texts": ["king"], "k": 3, "weights": (1, 2), "fusion": "ranks", "exact": False})
    yield Case("candidates", of("candidates"), {"texts": ["king"]})
    yield Case("keep_weights", of("keep_weights"), {"weights": (1, 2)})
    yield Case("similar", of("similar"), {"ids": ["storm"], **asked})
    yield Case("hits", of("hits"), {"neighbors": Neighbors(np.array([[0]]), np.array([[1.0]], np.float32))})
    yield Case("rows", lambda neighbors: place.index.hits(Neighbors(neighbors, [[1.0]])), {"neighbors": [[0]]})
    yield Case("scores", lambda neighbors: place.index.hits(Neighbors([[0]], neighbors)), {"neighbors": [[1.0]]})


def other_cases(place: Place) -> Iterator[Case]:
    yield Case("Document", Document, {"id": "d", "text": "text", "fields": {}})
    yield Case("Document's field", lambda fields: Document("d", "text", {"x": fields}), {"fields": 1})
    yield Case("Goal", Goal, {"recall": 0.9, "k": 10, "memory": 10_000})
    yield Case("Chunks", Chunks, {"tokens": 10, "overlap": 2})
    yield Case("Metric", lambda metric: Metric(metric), {"metric": "ip"})
    yield Case("Fusion", lambda fusion: vecsearch.Fusion(fusion), {"fusion": "ranks"})
    yield Case("Pooling", lambda pooling: Pooling(pooling), {"pooling": "mean"})
    reading = {"text_fields": ["text"], "id_field": "id", "format": "jsonl", "skip_bad": False, "tally": None}
    yield Case("read_corpus", listed(read_corpus), {"path": "corpus.jsonl", **reading})
    files = {"include": ["*.md"], "exclude": ["x"], "index": "noted", "strict": False, "tell": lambda name, said: None}
    tokens = {"tokens": Encoder().tokens, "most": 200}
    yield Case("read_files", listed(read_files), {"paths": ["notes"], **tokens, **files})
    pairs = {"path": "pairs.tsv", "columns": ["a", "b", "label"], "format": "tsv", "skip_bad": False}
    yield Case("read_pairs", listed(read_pairs), pairs)
    yield Case("pair_scores", pair_scores, {"a": np.ones((1, DIM)), "b": np.ones((1, DIM)), "metric": "cosine"})
    options = {"pooling": "mean", "layers": [1], "max_tokens": 5, "dtype": "float32", "check": True}
    yield Case("open_encoder", open_encoder, {"name": "tiny", **options})
    yield Case("UlmfitEncoder", UlmfitEncoder, {"folder": "nowhere", **options})
    yield Case("ConcatenatedEncoder", ConcatenatedEncoder, {"parts": [Encoder(), Encoder()], "weights": [1, 2]})
    for kind, encoder in (("ULMFiT", UlmfitEncoder("tiny")), ("words", open_encoder("mini.txt"))):
        yield Case(f"encode of {kind}", encoder.encode, {"texts": ["the king"]})
        yield Case(f"shares of {kind}", encoder.shares, {"text": "the king"})
        yield Case(f"encode_words of {kind}", encoder.encode_words, {"ids": [1, 2]})
    ulmfit = UlmfitEncoder("tiny")
    yield Case("encode_in_context", ulmfit.encode_in_context, {"texts": ["on the [[bank]]"]})
    yield Case("tokens", ulmfit.tokens, {"text": "the king"})
    yield Case("states", ulmfit.states, {"text": "the king"})
    yield Case("encode of joined", ConcatenatedEncoder([Encoder(), Encoder()]).encode, {"texts": ["abc"]})


def function_cases(place: Place) -> Iterator[Case]:
    words, rng = open_encoder("mini.txt"), np.random.default_rng(0)

    def over(function: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
        return lambda **arguments: function(place.index, **fixed, **arguments)

    settings = {"way": "kmeans", "k": 2, "threshold": 0.5, "size": 2, "seed": 0}
    yield Case("Settings", lambda **its: clustering.cluster(place.index, clustering.Settings(**its)), settings)
    making = {"settings": clustering.Settings(k=2), "labels": "year", "progress": SILENT}
    yield Case("cluster", over(clustering.cluster), making)
    for name, function in (("cluster", clustering.cluster), ("assign", clustering.assign), ("sizes", clustering.sizes)):
        yield Case(f"{name} of", function, {"index": place.index})
    yield Case("nearest_clusters", over(clustering.nearest_clusters), {"vectors": np.ones((1, DIM))})
    yield Case("duplicates", over(clustering.duplicates), {"threshold": 0.9, "progress": SILENT})
    mapping = {"way": "pca", "seed": 0, "most": 10, "keep": False, "progress": SILENT}
    yield Case("make_map", over(make_map), mapping)
    yield Case("kept_map", kept_map, {"index": place.index})
    yield Case("map_page", map_page, {"index": place.index, "title": "films"})
    yield Case(
        "analogy",
        over(analogy),
        {"plus": ["king", "woman"], "minus": ["storm"], "k": 2, "metric": "ip", "exact": True, "where": None},
    )
    yield Case("odd_one_out", over(odd_one_out), {"ids": ["king", "queen", "bread"]})
    hit = place.index.query(["king"])[0][0]
    yield Case("explain", over(explain), {"query": np.ones(DIM), "hit": hit, "metric": "ip"})
    yield Case("index_similarity", over(index_similarity), {"a": "king", "b": "queen", "rng": rng})
    yield Case("model_similarity", model_similarity, {"encoder": words, "a": "king", "b": "queen", "rng": rng})
    opening = {"folder": place.folder.parent, "k": 2, "number": 2, "queries": None, "metric": None, "rng": rng}
    yield Case("open_workload", open_workload, {"source": "own", **opening})
    workload = open_workload("own", place.folder.parent, k=2, number=2, rng=rng)
    yield Case("measure", measure, {"workload": workload, "specs": ["HNSW8"], "folder": place.folder.parent, "threads": 1})
    yield Case("read_set", read_set, {"path": "pairs.tsv", "columns": ["a", "b", "label"], "split": "test"})
    test = read_set("pairs.tsv")
    yield Case("evaluate", evaluate, {"test": test, "encoder": words, "metrics": ["cosine"], "ks": [10], "progress": SILENT})
    judged = evaluate(test, words)
    yield Case("compare", listed(compare), {"judged": {"a": judged, "b": judged}})
    yield Case("encode_pairs", encode_pairs, {"a": ["king"], "b": ["queen"], "encoder": words, "progress": SILENT})


def matching_cases(place: Place) -> Iterator[Case]:
    labelled = read_labelled("labelled.tsv")
    scores = np.where(labelled.matches, 0.9, 0.1).astype(np.float32)
    reading = {"path": "labelled.tsv", "positive": 0.5, "columns": ["a", "b", "label"], "format": "tsv", "skip_bad": False}
    yield Case("read_labelled", read_labelled, reading)
    yield Case("Rule", Rule, {"measure": "precision", "least": 0.9})
    scorer = CalibratedEncoder("letters", ["x"], [], {})
    calibrating = {
        "pairs": labelled,
        "scores": scores,
        "metric": "cosine",
        "encoder": scorer,
        "rule": Rule(),
        "method": "platt",
    }
    yield Case("calibrate", calibrate, calibrating)
    made = Calibration.load("calibration.json")
    yield Case("Calibration.load", Calibration.load, {"path": "calibration.json"})
    yield Case("Calibration.save", made.save, {"path": "again.json"})
    yield Case("probability", made.probability, {"scores": np.ones(3)})
    yield Case("check_encoder", made.check_encoder, {"encoder": Encoder()})
    columns = {"own cosine": scores.astype(np.float64)}
    fusing = {"pairs": labelled, "columns": columns, "encoders": {"own": FusedEncoder("x", "letters")}, "model": "logistic"}
    yield Case("fuse", fuse, fusing | {"rule": Rule(), "progress": SILENT})
    yield Case("FusedModel.load", FusedModel.load, {"folder": "nowhere"})
    scoring = {"a": ["abc", "ab"], "b": ["b", "c"]}
    yield Case("EncoderScorer", EncoderScorer, {"encoder": Encoder(), **scoring, "calibration": made})
    yield Case("columns", EncoderScorer(Encoder(), ["a", "b"], ["b", "c"]).columns, scoring)
    yield Case("EncoderJudge", EncoderJudge, {"encoder": Encoder(), "calibration": made})
    folders = {"output": "scored", "kept": "kept", "dropped": "dropped", "threshold": ("cosine", 0.5)}
    yield Case("Scoring", Scoring, folders | {"columns": ["a", "b"], "format": "tsv", "skip_bad": False})
    many = {"paths": ["pairs.tsv"], "judge": EncoderJudge(Encoder()), "scoring": Scoring(output=Path("scored"))}
    many |= {"resume": False, "replace": False, "progress": SILENT}
    yield Case("score_files", score_files, many)
    yield Case("distributed.score_files", distributed.score_files, many | {"engine": Here(), "workers": 1})
    yield Case("PairFeatures", PairFeatures({"own": Encoder()}).columns, scoring)


def training_cases(place: Place) -> Iterator[Case]:
    from vecsearch.encoders.ulmfit.fitting import fit_postprocess
    from vecsearch.encoders.ulmfit.importing import import_checkpoint
    from vecsearch.encoders.words.importing import import_words
    from vecsearch.training.language_model import LanguagePlan, train_language_model
    from vecsearch.training.loop import Plan
    from vecsearch.training.new_words import add_words
    from vecsearch.training.train_similarity import New, TrainingData, train_similarity

    nowhere = Path("nowhere.tsv")
    yield Case(
        "Plan",
        Plan,
        dict.fromkeys(("epochs", "batch", "evaluations", "seed"), 2)
        | {"rate": 0.1, "warmup": 0.1, "decay": 0.1, "dropout": 0.1},
    )
    sizes = dict.fromkeys(("epochs", "batch", "length", "words", "new_words", "sampled", "seed"), 2)
    yield Case("LanguagePlan", LanguagePlan, sizes | {"rate": 0.1, "dropout": 0.1, "dims": (8, 8)})
    source = {"files": [nowhere], "columns": ["a", "b"], "teacher": None, "title": None, "neighbors": False}
    yield Case("TrainingData", TrainingData, source)
    yield Case("New", New, {"words": 10, "dims": (8, 8)})
    # Files that are not there: what is right is refused for that, and nothing is trained.
    rest = {"half": True, "resume": False, "progress": SILENT}
    learning = {
        "source": TrainingData([nowhere]),
        "output": "new",
        "start": "tiny",
        "plan": Plan(),
        "max_tokens": 9,
        "new_words": 9,
    }
    yield Case("train_similarity", train_similarity, learning | rest)
    speaking = {"files": [nowhere], "output": "new", "start": "tiny", "plan": LanguagePlan()}
    yield Case("train_language_model", train_language_model, speaking | rest)
    yield Case("add_words", add_words, {"encoder": "tiny", "files": [nowhere], "output": "new", "most": 9, "half": True})
    turning = {"sif": 0.001, "centre": True, "remove": 0, "dim": None, "whiten": False, "pooling": "mean", "layers": [1]}
    yield Case("fit_postprocess", fit_postprocess, {"encoder": "nowhere", "corpus": nowhere, "output": Path("new"), **turning})
    importing = {"most": 5, "dtype": "float32", "sif": 0.001, "ngrams": False, "progress": SILENT}
    yield Case("import_words", import_words, {"path": Path("nowhere.txt"), "output": Path("new"), **importing})
    checkpoint = {"checkpoint": nowhere, "vocabulary": None, "output": Path("new"), "backward": None, "lang": "en"}
    checkpoint |= {"sentencepiece": None, "dtype": "float32", "unsafe": False, "source": None}
    yield Case("import_checkpoint", import_checkpoint, checkpoint)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_folder) -> Iterator[Place]:
    before = os.getcwd()
    faulthandler.dump_traceback_later(SECONDS, exit=True, file=sys.__stderr__)
    try:
        yield Place(tmp_path_factory.mktemp("api"), tiny_folder())
    finally:
        faulthandler.cancel_dump_traceback_later()
        os.chdir(before)


def faults(place: Place, case: Case) -> Iterator[str]:
    """What goes wrong when parameters of the function have odd values: with a third of these, others each time."""
    cases = [(parameter, name) for parameter in case.arguments for name in ODD]
    for parameter, name in some(cases, len(cases) // 3):
        value = ODD[name]()
        failed = False
        try:
            case.call(**case.arguments | {parameter: value})
        except VecsearchError as error:
            failed = True
            if len(str(error)) < 15:
                yield f"{parameter}={name}: says only {error!r}"
        except (TypeError, ValueError) as error:
            failed = True
            if type(error) not in (TypeError, ValueError) or not says(str(error), parameter, value):
                yield f"{parameter}={name}: {error!r}"
        except Exception as error:
            failed = True
            yield f"{parameter}={name}: {error!r}"
        if (now := place.looked_at()) != place.state:
            if failed:
                changed = sorted(path for path in now.keys() | place.state.keys() if now.get(path) != place.state.get(path))
                yield f"{parameter}={name}: failed, and changed {', '.join(changed[:3])}"
            place.put_back()


def says(message: str, parameter: str, value: Any) -> bool:
    """Whether a message is a sentence about a parameter: it names it or the type it has, and says what to do."""
    about = parameter.rstrip("s") in message or type(value).__name__ in message
    return about and len(message) > 15 and ("give" in message or "choose" in message or "strings" in message)


GROUPS = [index_cases, other_cases, function_cases, matching_cases, training_cases]


@pytest.mark.parametrize("cases", GROUPS, ids=lambda cases: cases.__name__.removesuffix("_cases"))
def test_every_function_answers_or_refuses_in_a_sentence(place, cases):
    place.put_back()
    found = [f"{case.name}: {fault}" for case in cases(place) for fault in faults(place, case)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("cases", GROUPS, ids=lambda cases: cases.__name__.removesuffix("_cases"))
def test_the_arguments_that_are_not_odd_are_taken(place, cases):
    place.put_back()
    for case in cases(place):
        if "nowhere" not in str(case.arguments):
            case.call(**case.arguments)
            place.put_back()


def test_every_public_name_is_looked_at(place):
    """What functions return, raise, take by its name, or are to be derived from; the others are called here, but for what
    takes a learner of fastai's, which is called beside them."""
    called = {case.name.split(" ")[0].split(".")[0] for cases in GROUPS for case in cases(place)}
    returned = {
        "Adopted",
        "Candidates",
        "Changes",
        "Clustering",
        "Facet",
        "Facets",
        "Field",
        "FileChanges",
        "Hit",
        "Manifest",
        "Neighbors",
        "Pulled",
        "Pushed",
    }
    others = {"Encoder", "Progress", "Tally", "VecsearchError", "from_learner"}
    assert set(vecsearch.__all__) - called == returned | others
    methods = {name for name in dir(Index) if not name.startswith("_") and callable(getattr(Index, name))}
    without_arguments = {"alive", "close", "document_rows", "examples", "fields", "newer", "reader", "refresh"}
    assert methods - {case.name.removeprefix("Index.").split(" ")[0] for case in index_cases(place)} == without_arguments
