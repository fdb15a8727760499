"""A recall holds for questions as well as for rows: which are made of documents, and what an index proved with them gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import Told, made_vectors, rows
from engines import Here
from hypothesis import given
from hypothesis import strategies as st

from vecsearch import Chunks, Document, Goal, Index, Options, ann
from vecsearch.ann import Recall, builder, planner, trials, tuner
from vecsearch.ann import spec as spec_module
from vecsearch.ann.recall import recalls
from vecsearch.distributed import build
from vecsearch.distributed import compact as compact_by
from vecsearch.encoders import Encoder
from vecsearch.errors import VectorsError
from vecsearch.index.questions import LEAST_WORDS, MOST_WORDS, some_words
from vecsearch.metric import Metric

DIM, ROWS, NEW, TARGET = 16, 6_000, 500, 0.8
KINDS = {"rows", "questions"}
LENGTH, HELD_OUT = 30, 597


class Places(Encoder):
    """Text i has its vector near one of a few places, and a question, which is short, anywhere between them: there, lists
    and graphs find less. What was asked is kept."""

    dim, fingerprint = DIM, "places"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.texts = made_vectors("clustered", ROWS + NEW, DIM, 0)
        self.questions = 0.2 * self.texts + made_vectors("gaussian", ROWS + NEW, DIM, 1)

    def encode(self, texts):
        numbers = np.array([int(text.split()[0][1:]) for text in texts], int)
        short = np.array([len(text.split()) <= MOST_WORDS for text in texts], bool)
        self.asked += [text for text, is_short in zip(texts, short, strict=True) if is_short]
        return np.where(short[:, None], self.questions[numbers], self.texts[numbers])


def documents(titled: bool = True, count: int = ROWS, first: int = 0) -> list[Document]:
    texts = {i: " ".join([f"w{i}"] * LENGTH) for i in range(first, first + count)}
    return [Document(f"d{i}", text, {"title": f"t{i}"} if titled else {}) for i, text in texts.items()]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Trials over few vectors, for the defaults are for a million. What is the fastest does not depend on the machine."""
    for module, name, value in [
        (builder, "EXACT_NUMBERS", 0), (trials, "LEAST_ROWS", 500), (trials, "QUERIES", 40), (tuner, "TIMED_QUERIES", 20),
        (spec_module, "PQ_ROUNDS", 2), (planner, "REDUCTIONS", (8, 12)),
    ]:  # fmt: skip
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(ann.ApproximateSearcher, "seconds", lambda its, *_: 1e-6 * sum(its.search_parameters.values()))
    with ann.threads(1):
        yield


def of_new(index: Index, encoder: Places) -> Recall:
    """What questions get that no build has seen, and no document of the index answers."""
    asked = encoder.questions[ROWS:]
    return Recall.of(recalls(index.search(asked, 10, exact=True).scores, index.search(asked, 10).scores), 10)


OPTIONS = Options(spec="IVF64,Flat", goal=Goal(TARGET))


# -- an index that is proved with both ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [OPTIONS, Options(goal=Goal(TARGET)), Options(Metric.INNER_PRODUCT, goal=Goal(TARGET))])
@pytest.mark.parametrize("titled", [True, False])
def test_new_questions_get_the_recall_that_was_asked_for(tmp_path, titled, options):
    encoder, told = Places(), Told()
    with Index.build(tmp_path / "i", documents(titled), encoder, options, progress=told) as index:
        found = index.manifest.recall
        assert index.manifest.spec != ann.EXACT and found["by"].keys() == KINDS
        assert min(its["low"] for its in found["by"].values()) == found["low"] >= TARGET
        assert of_new(index, encoder).high >= TARGET
    first = "t" if titled else "w"
    assert len(encoder.asked) == HELD_OUT and all(text.startswith(first) for text in encoder.asked)
    made = f"{HELD_OUT} names, 0 parts" if titled else f"0 names, {HELD_OUT} parts"
    assert [note for note in told.notes if made in note]


def test_without_questions_they_would_not(tmp_path):
    encoder, documents_ = Places(), documents()
    with Index.build(tmp_path / "i", documents_, None, OPTIONS, vectors=[encoder.texts[:ROWS]]) as index:
        assert index.manifest.recall["low"] >= TARGET and "by" not in index.manifest.recall
        assert of_new(index, encoder).high < TARGET
    assert not encoder.asked


@pytest.mark.parametrize("spec", ["PCA1,Flat", "IVF64,Flat"])
def test_a_kind_without_a_goal_is_measured_with_both(tmp_path, spec):
    with Index.build(tmp_path / "i", documents(), Places(), Options(spec=spec)) as index:
        assert index.manifest.recall["by"].keys() == KINDS and index.manifest.recall["target"] is None


# -- an index that is not ---------------------------------------------------------------------------------------------------


def test_queries_stand_in_for_both(tmp_path):
    encoder = Places()
    asked = encoder.questions[ROWS:]
    options = Options(spec="IVF64,Flat", goal=Goal(TARGET), queries=asked)
    with Index.build(tmp_path / "i", documents(), encoder, options) as index:
        assert "by" not in index.manifest.recall and index.manifest.recall["queries"] == NEW // 3
    assert not encoder.asked


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda i: Document(f"d{i}", f"w{i}"), id="single words"),
        pytest.param(lambda i: Document(f"d{i}", f"w{i} and some more words"[: 5 * LEAST_WORDS]), id="texts like questions"),
        pytest.param(lambda i: Document(f"d{i}", f"w{i}", {"path": f"t{i}/b.txt"}), id="paths"),
        pytest.param(lambda i: Document(f"d{i}", f"w{i}", {"title": ["t"], "name": " ", "year": 1}), id="no names"),
        pytest.param(lambda i: Document(f"d{i}", f"w{i}", {"title": f"t{i}"} if i % 3 == 0 else {}), id="few names"),
    ],
)
def test_rows_alone_prove_it_where_documents_make_no_questions(tmp_path, made):
    encoder = Places()
    with Index.build(tmp_path / "i", map(made, range(ROWS)), encoder, OPTIONS) as index:
        assert "by" not in index.manifest.recall and index.manifest.recall["low"] >= TARGET
    assert len(encoder.asked) == ROWS  # the documents


def test_where_search_is_exact_nothing_is_asked(tmp_path):
    encoder = Places()
    Index.build(tmp_path / "i", documents(), encoder).close()
    Index.build(tmp_path / "few", documents(count=100), encoder, Options(goal=Goal(0.99))).close()
    assert len(encoder.asked) <= 3 * 3


def test_questions_without_a_known_word_are_left_out(tmp_path):
    class Forgetful(Places):
        def encode(self, texts):
            found = super().encode(texts)
            found[[text.startswith("t") and int(text[1:]) % 5 == 0 for text in texts]] = 0
            return found

    with Index.build(tmp_path / "i", documents(), Forgetful(), OPTIONS) as index:
        by = index.manifest.recall["by"]
        assert 120 < by["questions"]["queries"] < 199 == by["rows"]["queries"]


def test_what_is_no_number_is_refused(tmp_path):
    class Broken(Places):
        def encode(self, texts):
            return super().encode(texts) / (np.nan if texts[0].startswith("t") else 1)

    with pytest.raises(VectorsError, match="the question 't1771' holds NaN"):
        Index.build(tmp_path / "i", documents(), Broken(), OPTIONS)
    Index.build(tmp_path / "i", documents(), Places(), OPTIONS, resume=True).close()  # what was encoded is kept


# -- changed ----------------------------------------------------------------------------------------------------------------


def test_added_merged_and_rebuilt_it_is_proved_with_both(tmp_path):
    encoder, third = Places(), ROWS // 3
    with Index.build(tmp_path / "i", documents(count=third), encoder, Options(goal=Goal(TARGET))) as index:
        index.add(documents(count=third, first=third))
        assert [entry["recall"]["by"].keys() for entry in index.manifest.segments] == [KINDS] * 2
    with Index.open(tmp_path / "i", encoder=encoder) as index:
        encoder.asked.clear()
        index.compact()
        assert index.manifest.recall["by"].keys() == KINDS and len(index.manifest.segments) == 1
        assert of_new(index, encoder).high >= TARGET
        asked = encoder.asked.copy()
        encoder.asked.clear()
        index.rebuild()
        assert index.manifest.recall["by"].keys() == KINDS and encoder.asked == asked
    with Index.build(tmp_path / "other", documents(count=third, first=2 * third), encoder, Options(spec="HNSW8")) as other:
        other.delete(where="title >= 't5900'")
    with Index.open(tmp_path / "i", encoder=encoder) as index:
        index.adopt([tmp_path / "other"])
        assert [entry["recall"]["by"].keys() for entry in index.manifest.segments] == [KINDS] * 2


def test_an_encoder_of_your_own_that_is_not_given_is_said(tmp_path):
    Index.build(tmp_path / "i", documents(), Places(), OPTIONS).close()
    told = Told()
    assert "by" not in Index.repair(tmp_path / "i", progress=told).recall
    assert any("with documents alone" in note and "one of your own" in note for note in told.notes)


def test_the_encoder_in_the_index_is_used(tmp_path, tiny):
    words = ["the", "king", "of", "a", "city", "in", "river", "and"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 20)) for _ in range(900)]
    titled = [Document(f"d{i}", text, {"title": text[:12]}) for i, text in enumerate(texts)]
    Index.build(tmp_path / "i", titled, tiny, Options(spec="IVF8,Flat")).close()
    with Index.open(tmp_path / "i") as index:
        before = index.manifest.recall
        index.rebuild()
        assert index.manifest.recall == before and before["by"].keys() == KINDS
    assert compact_by(tmp_path / "i", engine=Here(), rows=500).recall["by"].keys() == KINDS


def test_passages_make_questions_of_their_own(tmp_path):
    class Noting(Places):
        def encode(self, texts):
            self.asked += texts
            return made_vectors("clustered", len(texts), DIM, len(texts))

    encoder = Noting()
    held = [Document(f"d{i}", " ".join(f"w{i}.{n // 20}" for n in range(40))) for i in range(600)]
    with Index.build(tmp_path / "i", held, encoder, Options(spec="IVF8,Flat", chunks=Chunks(20))) as index:
        assert index.manifest.rows == 1_200 and index.manifest.recall["by"].keys() == KINDS
    asked = encoder.asked[1_200:]
    assert len(asked) == 117 and {len(set(text.split())) for text in asked} == {1}  # none of two passages


# -- by several processes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("titled", [True, False])
def test_shards_are_asked_what_one_index_is_asked(tmp_path, titled):
    one, many = Places(), Places()
    mixed = [*documents(titled, ROWS // 2), *documents(not titled, ROWS // 2, ROWS // 2)]
    with (
        Index.build(tmp_path / "one", mixed, one, OPTIONS) as alone,
        build(tmp_path / "many", mixed, many, OPTIONS, engine=Here(), shard_rows=1_000) as shared,
    ):
        assert one.asked == many.asked and len(one.asked) == HELD_OUT
        assert len(shared.manifest.segments) > 1
        for kind in KINDS:
            mine, its = (index.manifest.recall["by"][kind] for index in (alone, shared))
            assert mine["queries"] == its["queries"] and its["low"] >= TARGET
        assert of_new(shared, many).high >= TARGET


# -- shown ------------------------------------------------------------------------------------------------------------------


def test_both_recalls_are_shown(tmp_path, vecsearch, tiny_folder):
    rng = np.random.default_rng(0)
    with (tmp_path / "a.jsonl").open("w") as file:
        for _ in range(600):
            text = " ".join(rng.choice(["the", "king", "of", "a", "city", "in", "river", "and"], 20))
            file.write(json.dumps({"title": text[:15], "text": text}) + "\n")
    common = [tmp_path / "a.jsonl", "--encoder", tiny_folder(), "--spec", "IVF4,Flat"]
    built = vecsearch("build", *common, "-o", tmp_path / "i")
    assert built.code == 0 and "57 names" in built.err
    assert "recall@10 questions " in built.err and "; rows " in built.err
    (shown,) = rows(vecsearch("info", tmp_path / "i", "--json"))
    assert shown["recall"]["by"].keys() == KINDS
    (line,) = [line for line in vecsearch("info", tmp_path / "i", "--table").out.splitlines() if line.startswith("recall ")]
    assert "@10 questions " in line and "; rows " in line and line.count("over 19 queries") == 2


# -- what is asked ------------------------------------------------------------------------------------------------------------

SCRIPTS = st.sampled_from(["word", "naïve", "x", "c++", "。", "これは", "ありがとう", "ไทย", "\n\n", "  ", "-", "9"])


@given(st.lists(SCRIPTS, max_size=600).map(" ".join) | st.text(max_size=3000), st.integers(0, 2**32))
def test_some_words_follow_one_another_in_the_text(text, seed):
    some = some_words(text, np.random.default_rng(seed))
    assert some in text and some == some.strip() and some == some_words(text, np.random.default_rng(seed))
    if text.isascii():
        words = text.split()
        found = some.split()
        assert (LEAST_WORDS <= len(found) <= MOST_WORDS) if found else (len(words) <= LEAST_WORDS or len(text) > 900)
        runs = [words[start : start + len(found)] for start in range(len(words))]
        assert not found or found in runs  # none is cut


@given(st.integers(0, 2**32))
def test_of_a_text_without_spaces_they_are_some_characters(seed):
    text = "".join(chr(0x4E00 + n) for n in range(3_000))
    some = some_words(text, np.random.default_rng(seed))
    assert some in text and 2 * LEAST_WORDS <= len(some) <= 2 * MOST_WORDS


def test_all_places_of_a_text_are_asked_of():
    text = " ".join(f"w{n}" for n in range(2_000))
    first = [int(some_words(text, np.random.default_rng(seed)).split()[0][1:]) for seed in range(400)]
    counts, _ = np.histogram(first, 4, (0, 2_000))
    assert counts.min() > 50
