"""Documents by their words: BM25 as its formula has it over all segments; both lists by scores, or by ranks."""

import math
import re
import sqlite3
import tempfile
import tracemalloc
import unicodedata
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_builds import QUICK_DISK

from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.encoders import Encoder
from vecsearch.errors import UsageError
from vecsearch.index.build import Options
from vecsearch.index.hits import best_by_ranks
from vecsearch.index.index import Index
from vecsearch.index.query_terms import terms
from vecsearch.metric import Metric
from vecsearch.store import postings
from vecsearch.store.keywords_writer import write_keywords
from vecsearch.text.analysis import analyser

K1, B = 1.5, 0.75


def documents(*texts, first=0, **fields):
    return [Document(f"d{first + i}", text, {"n": first + i, **fields}) for i, text in enumerate(texts)]


def ones(count):
    return [np.ones((count, 2), np.float32)] if count else []


@contextmanager
def index_of(*segments):
    """An index over texts in no language, a segment for each list of them."""
    first = len(segments[0])
    with (
        tempfile.TemporaryDirectory(dir=QUICK_DISK) as folder,
        Index.build(
            Path(folder) / "index", documents(*segments[0]), vectors=ones(first), options=Options(language="none")
        ) as opened,
    ):
        for texts in segments[1:]:
            opened.add(documents(*texts, first=first), vectors=ones(len(texts)))
            first += len(texts)
        yield opened


def words_of(text):
    """A text as FTS5's unicode61 takes it apart: letters and digits, in lower case, without diacritics."""
    bare = "".join(letter for letter in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", bare)


def occurrences(words, phrase):
    return sum(words[i : i + len(phrase)] == phrase for i in range(len(words) - len(phrase) + 1)) if phrase else 0


def bm25(segments, phrases):
    """Scores of the documents that have the phrases: how rare they are, and how long a text is, counts over all segments."""
    parts = [[words_of(text) for text in texts] for texts in segments]
    whole = [words for part in parts for words in part]
    scores, first = Counter(), 0
    for part in parts:
        for phrase in phrases:
            having = sum(occurrences(words, phrase) > 0 for words in whole)
            idf = math.log(1 + (len(whole) - having + 0.5) / (having + 0.5))
            average = max(sum(map(len, whole)) / len(whole), 1.0)
            for n, words in enumerate(part):
                if f := occurrences(words, phrase):
                    share = f / (f + K1 * (1 - B + B * len(words) / average))
                    scores[f"d{first + n}"] += idf * (K1 + 1) * share
        first += len(part)
    return scores


def found(opened, text, k=1000, **options):
    return {hit.id: hit.score for hit in opened.keywords([text], k, **options)[0]}


TEXTS = st.lists(
    st.lists(st.sampled_from(["king", "queen", "bank", "river", "of", "the", "the", "the"]), max_size=9).map(" ".join),
    min_size=1,
    max_size=8,
)


@settings(max_examples=30)
@given(
    st.lists(TEXTS, min_size=1, max_size=3), st.lists(st.sampled_from(["king", "queen", "bank", "the", "tomato"]), max_size=4)
)
def test_scores_are_bm25(segments, query):
    with index_of(*segments) as opened:
        expected = bm25(segments, [[word] for word in query])
        assert found(opened, " ".join(query)) == pytest.approx(expected, rel=1e-6)
        (hits,) = opened.keywords([" ".join(query)], 3)
        best = sorted(expected.values(), reverse=True)[:3]
        assert [hit.score for hit in hits] == pytest.approx(best, rel=1e-6)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@settings(max_examples=20)
@given(
    st.lists(TEXTS, min_size=1, max_size=3),
    st.lists(st.sampled_from(["king", "queen", "bank", "river", "of", "the"]), min_size=2, max_size=3),
)
def test_a_phrase_is_a_term_of_its_own(segments, phrase):
    with index_of(*segments) as opened:
        assert found(opened, f'"{" ".join(phrase)}"') == pytest.approx(bm25(segments, [phrase]), rel=1e-9)


def test_equal_scores_come_in_the_order_of_the_documents():
    with index_of(["king", "queen", "king"], ["king", "king"]) as opened:
        assert [hit.id for hit in opened.keywords(["king"], 3)[0]] == ["d0", "d2", "d3"]


def test_segments_rank_as_one_index_does():
    texts = ["king king of the city", "the queen", "the river bank", "a king and a queen", "bank", "tomato", "the end"]
    with index_of(texts) as one, index_of(texts[:1], texts[1:3], texts[3:]) as several:
        # In one segment most have a word, in the others none: how rare it is, and how long a text is, counts over all.
        for query in ("king", "queen bank", "the king", "king king tomato"):
            assert found(one, query) == found(several, query)


def test_what_is_deleted_or_filtered_out_is_not_found():
    with index_of(["king", "king queen", "king"], ["king of kings", "queen"]) as opened:
        opened.delete(["d0"])
        assert set(found(opened, "king")) == {"d1", "d2", "d3"}
        assert set(found(opened, "king", where="n > 1")) == {"d2", "d3"}
        assert [hit.id for hit in opened.keywords(["king queen"], 1, where="n in (2, 4)")[0]] == ["d4"]
        opened.add([Document("d3", "a tomato now")], vectors=ones(1))
        assert set(found(opened, "king")) == {"d1", "d2"}
        assert set(found(opened, "tomato")) == {"d3"}
        opened.compact()
        assert set(found(opened, "king")) == {"d1", "d2"}
        opened.delete(where="id is not null")
        assert found(opened, "king tomato") == {}


def test_k_counts_what_is_left():
    with index_of([f"king {'of ' * n}" for n in range(50)]) as opened:
        opened.delete([f"d{n}" for n in range(20)])
        assert [hit.id for hit in opened.keywords(["king"], 3)[0]] == ["d20", "d21", "d22"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("XK-47", {"d0"}),
        ("xk-47", {"d0"}),
        ("XK", {"d0", "d1"}),
        ("47-XK", set()),
        ('"of the city"', {"d2"}),
        ('"the of city"', set()),
        ('king "of the city"', {"d2", "d3"}),
        ("café", {"d4"}),
        ("CAFE", {"d4"}),
        ("Москва", {"d5"}),
        ("東京", {"d6"}),
        ("user@example.com", {"d7"}),
        ("example", {"d7"}),
        ("don't", {"d8"}),
        ("foo_bar", {"d9"}),
        ("bar", {"d9"}),
    ],
)
def test_names_codes_and_other_alphabets(query, ids):
    texts = ["the code XK-47 here", "XK 48", "king of the city", "a king", "Un CAFÉ noir", "в москва", "東京 タワー"]
    texts += ["mail user@example.com now", "I don't know", "call foo_bar()", "nothing of it"]
    with index_of(texts) as opened:
        assert set(found(opened, query)) == ids


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("king AND queen", {"d0", "d1", "d2", "d3", "d8"}),
        ("river OR tomato", {"d4"}),
        ("NOT queen", {"d1", "d3", "d5"}),
        ("NEAR(king queen)", {"d0", "d1", "d3", "d6", "d8"}),
        ("NEAR(river queen, 2)", {"d1", "d3", "d6", "d7"}),
        ("NEAR queen", {"d1", "d3", "d6"}),
        ("kin*", set()),
        ("king*", {"d0", "d8"}),
        ("^king", {"d0", "d8"}),
        ("text:king", {"d0", "d8"}),
        ("text:queen", {"d1", "d3", "d8"}),
        ("{text}: tables", {"d8", "d10"}),
        ("- text : queen", {"d1", "d3", "d8"}),
        ("or + not", {"d4", "d5"}),
        ("queen'; drop table words --", {"d1", "d3"}),
        ("(queen", {"d1", "d3"}),
        ('queen"', {"d1", "d3"}),
        ('"queen', {"d1", "d3"}),
        ('""', set()),
        ('"" queen ""', {"d1", "d3"}),
        ("? * ( ) : ^ -", set()),
        ("or\0queen", {"d1", "d3", "d4"}),
        ("", set()),
        (" \t\n", set()),
        ("queen\udcff", {"d1", "d3"}),
        ("²", {"d9"}),
    ],
)
def test_what_means_something_to_fts5_is_a_plain_word(query, ids):
    with index_of(["king", "queen", "and", "AND queen", "or", "not", "near", "2", "text: king", "m ²", "tables"]) as opened:
        assert set(found(opened, query)) == ids


@settings(max_examples=60)
@given(st.text(max_size=30))
def test_any_text_can_be_asked(plain, text):
    assert set(found(plain, text)) <= {"d0", "d1"}


@pytest.fixture(scope="module")
def plain():
    with index_of(["king", "queen NEAR the bank"]) as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('king king "of the" king of "of the" -- ?', 3),
        ("king King (king) king, KING", 1),
        ("café CAFÉ cafe\u0301 cafe", 1),
        ("C++ c++, (C++) C", 2),
        ("東京 東京、 「東京」", 1),
        ('-- ++ → 🎬 \' "" " "', 0),
    ],
)
def test_each_term_is_read_once(text, count):
    assert len(terms(text, analyser("none"))) == count


def test_a_term_counts_as_often_as_the_query_has_it():
    with index_of(["king queen", "king", "bank", "x"]) as opened:
        once = found(opened, "king")
        assert found(opened, "king King, (king)") == pytest.approx({id: 3 * score for id, score in once.items()})
        assert [hit.id for hit in opened.keywords(["bank bank king"], 1)[0]] == ["d2"]


def test_any_number_of_terms():
    many = [f"w{n}" for n in range(1500)]
    with index_of([" ".join(many), "king", "x", "y"]) as opened:
        assert set(found(opened, " ".join(many))) == {"d0"}
        assert set(found(opened, f"{'東京塔' * 1000} king")) == {"d1"}


class Ones(Encoder):
    """An encoder to which all texts are alike."""

    dim, fingerprint = 2, "two"

    def encode(self, texts):
        return np.ones((len(texts), 2), np.float32)


def test_the_passage_of_a_hit_is_the_one_with_the_most_of_its_terms(tmp_path):
    texts = ["one two three the king sat at the BANK of a river Café_noir is here", "a word"]
    expected = {
        "king": "the king sat",
        "bank king at": "at the BANK",
        "noir cafe": "Café_noir is here",
        '"a river"': "of a river",
        "word": "a word",
    }
    with Index.build(tmp_path / "index", documents(*texts), Ones(), options=Options(chunks=Chunks(3))) as opened:
        assert {query: opened.keywords([query], 1)[0][0].passage for query in expected} == expected


def test_an_index_of_an_earlier_version_says_how_it_gets_words(tmp_path):
    import shutil

    shutil.copytree(Path(__file__).parent / "indexes" / "format-2" / "exact", tmp_path / "old")
    with Index.open(tmp_path / "old") as opened:
        id = opened.documents([0])[0].id
        text = opened.documents([0])[0].text
        with pytest.raises(UsageError, match="made by an earlier vecsearch, without keywords: vecsearch compact"):
            found(opened, "king")
        opened.compact()
        assert id in found(opened, text)
        assert opened.search(np.ones((1, opened.dim)), 5, where=f"id = '{id}'").rows.tolist() == [[0]]


# -- both lists together -------------------------------------------------------------------------------------------------

RANKINGS = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), min_size=1, max_size=3)


@given(RANKINGS, st.lists(st.floats(0, 10), min_size=3, max_size=3), st.integers(1, 10))
def test_fused_lists_follow_the_formula(rankings, weights, k):
    weights = weights[: len(rankings)]
    scores = {}
    for ids, weight in zip(rankings, weights, strict=True):
        for rank, id in enumerate(ids, 1):
            scores[id] = scores.get(id, 0.0) + weight / (60 + rank)
    found = best_by_ranks(rankings, weights, k)
    assert dict(found) == pytest.approx({id: scores[id] for id, _ in found})
    assert [score for _, score in found] == sorted(scores.values(), reverse=True)[:k]
    # Equal scores stay in the order in which they were found.
    order = list(dict.fromkeys(id for ids in rankings for id in ids))
    assert found == sorted(found, key=lambda one: (-one[1], order.index(one[0])))


class Letters(Encoder):
    """An encoder whose vectors count a, b and c."""

    dim, fingerprint = 3, "letters"

    def encode(self, texts):
        return np.array([[text.count(letter) for letter in "abc"] for text in texts], np.float32).reshape(-1, 3)


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["aaab", "bbbc", "ccca", "abc", "XK-47", "of"], 6)) for _ in range(300)]
    opened = {}
    for metric in Metric:
        folder = tmp_path_factory.mktemp("letters") / "index"
        opened[metric] = Index.build(folder, documents(*texts[:200]), Letters(), options=Options(metric=metric))
        opened[metric].add(documents(*texts[200:], first=200))
        opened[metric].delete(["d3", "d250"])
    yield opened
    for index in opened.values():
        index.close()


def shares(scores):
    return {id: score / max(scores.values()) if max(scores.values()) > 0 else 0.0 for id, score in scores.items()}


@pytest.mark.parametrize("weights", [(1, 1), (0, 1), (1, 0), (0.3, 2.5)])
@pytest.mark.parametrize("where", [None, "n % 3 = 0"])
@pytest.mark.parametrize("metric", Metric)
def test_hybrid_adds_what_meaning_and_words_score(letters, weights, where, metric):
    """Each document has both of its scores, whichever found it: told by asking for all documents in each way."""
    queries, k, opened = ["aaab XK-47", "ccca of", "XK-47", "abc nothing"], 20, letters[metric]
    found = opened.hybrid(queries, k, weights=weights, where=where)
    asked = zip(
        opened.query(queries, 300, where=where), opened.keywords(queries, 300, where=where), queries, found, strict=True
    )
    for by_meaning, by_words, query, hits in asked:
        some = list(dict.fromkeys(hit.id for hit in (*by_meaning[:100], *by_words[:100])))
        cosines, words = ({hit.id: hit.score for hit in ranked} for ranked in (by_meaning, by_words))
        vectors = Letters().encode([query, *(hit.text for hit in by_meaning if hit.id in some)]).astype(float)
        longest = np.linalg.norm(vectors[1:], axis=1).max(initial=0) * np.linalg.norm(vectors[0])
        least = -1 if metric is Metric.COSINE else -longest
        above = shares({id: cosines[id] - least if cosines else 0.0 for id in some}) if some else {}
        words = shares({id: words.get(id, 0.0) for id in some}) if some else {}
        scores = {id: (weights[0] * above[id] + weights[1] * words[id]) / sum(weights) for id in some}
        best = sorted((score for score in scores.values() if score > 0), reverse=True)[:k]
        assert [hit.score for hit in hits] == pytest.approx(best, abs=1e-6)
        assert {hit.id: hit.score for hit in hits} == pytest.approx({hit.id: scores[hit.id] for hit in hits}, abs=1e-6)
        assert not {"d3", "d250"} & {hit.id for hit in hits}
    assert all(hit.fields["n"] % 3 == 0 for hits in found for hit in hits if where)


@pytest.mark.parametrize("weights", [(1, 1), (0, 1), (1, 0), (0.3, 2.5)])
@pytest.mark.parametrize("where", [None, "n % 3 = 0"])
def test_ranks_are_fused_where_that_is_asked_for(letters, weights, where):
    letters, queries, k = letters[Metric.COSINE], ["aaab XK-47", "ccca of", "XK-47"], 20
    found = letters.hybrid(queries, k, weights=weights, where=where, fusion="ranks")
    lists = zip(letters.query(queries, 100, where=where), letters.keywords(queries, 100, where=where), strict=True)
    for hits, (by_meaning, by_words) in zip(found, lists, strict=True):
        scores = Counter()
        for weight, ranked in zip(weights, (by_meaning, by_words), strict=True):
            for rank, hit in enumerate(ranked, 1):
                scores[hit.id] += weight / (60 + rank)
        assert [hit.score for hit in hits] == pytest.approx(sorted(scores.values(), reverse=True)[:k])
        assert {hit.id: hit.score for hit in hits} == pytest.approx({hit.id: scores[hit.id] for hit in hits})
    with pytest.raises(UsageError, match="scores, ranks"):
        letters.hybrid(queries, fusion="rrf")


def test_a_split_document_counts_by_its_best_passage(tmp_path):
    texts = ["aaa bbb ccc abc", "bbb", "ccc bbb", "x y"]
    with Index.build(tmp_path / "index", documents(*texts), Letters(), options=Options(chunks=Chunks(1))) as opened:
        (hits,) = opened.hybrid(["bbb"], 4, weights=(1, 0))
        assert {hit.id: hit.score for hit in hits} == pytest.approx({"d0": 1, "d1": 1, "d2": 1, "d3": 0.5})
        assert hits[0].passage == "bbb" and opened.hybrid(["bbb"], 1)[0][0].id == "d1"


def test_one_weight_alone_is_that_list(letters):
    letters = letters[Metric.COSINE]
    (hits,), (words,) = letters.hybrid(["XK-47 of"], 10, weights=(0, 1)), letters.keywords(["XK-47 of"], 10)
    assert [hit.id for hit in hits] == [hit.id for hit in words]
    (hits,), (meaning,) = letters.hybrid(["aaab"], 10, weights=(1, 0)), letters.query(["aaab"], 10)
    assert [hit.id for hit in hits] == [hit.id for hit in meaning]


def test_a_text_without_a_known_word_is_found_by_its_words_alone(letters):
    letters = letters[Metric.COSINE]
    assert letters.query(["XK-47"], 3) == [[]]
    assert letters.hybrid(["XK-47"], 3)[0]
    assert [hit.id for hit in letters.hybrid(["XK-47"], 3)[0]] == [hit.id for hit in letters.keywords(["XK-47"], 3)[0]]


def test_k_below_one_is_refused(letters):
    letters = letters[Metric.COSINE]
    with pytest.raises(UsageError, match="k is 0; ask for at least 1 hit"):
        letters.keywords(["XK-47"], 0)


@pytest.mark.parametrize("text", ["", "!", "a"])
def test_memory_does_not_grow_with_the_number_of_short_documents(monkeypatch, text):
    monkeypatch.setattr(postings, "WORDS_AT_ONCE", 40_000)
    peaks = []
    for count in (20_000, 80_000):
        with sqlite3.connect(":memory:") as db:
            db.execute("CREATE TABLE documents (number INTEGER PRIMARY KEY, text)")
            db.executemany("INSERT INTO documents VALUES (?, ?)", ((number, text) for number in range(count)))
            tracemalloc.start()
            write_keywords(db, "none")
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        db.close()
    assert peaks[1] < 1.2 * peaks[0]
