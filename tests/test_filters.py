"""Conditions on fields: the rows that meet them, as SQL has it; every kind of index finds the best of those, and no others."""

import itertools
import json
import pickle
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import made_vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from store_builds import QUICK_DISK

from vecsearch import ann
from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.index import segment_searcher
from vecsearch.index.build import Options
from vecsearch.index.hits import Neighbors
from vecsearch.index.index import Index
from vecsearch.index.segment_searcher import SegmentSearcher
from vecsearch.index.update import delete
from vecsearch.metric import Metric, normalise
from vecsearch.store import filters
from vecsearch.store.snapshot import open_snapshot

ROWS, DIM, K = 2000, 16, 10
COMPLETE = ("exact", "Flat", "SQ8", "PQ8np", "PQ8x4fs", "PCA12,SQ8")
"""Kinds that look at every row: what they find is as good as their candidates."""
GUIDED = (
    "HNSW16",
    "PCA12,HNSW16,SQ8",
    "IVF32,Flat",
    "IVF32,PQ8x4fs",
    "PCA12,IVF32,PQ6x4fs",
    "IVF32x2,PQ8x4fs",
    "IVF32x2,PQ8x4fsr",
)
"""Kinds that look where the query is."""
SHARES = (1 / ROWS, 0.01, 0.1, 0.5, 0.9, 1.0)


def indexed(folder, spec, metric, vectors, **ranks):
    """An index over vectors whose documents have as fields their row, and their rank in each of some orders."""
    fields = {"row": np.arange(len(vectors)), **ranks}
    documents = (Document(str(row), "", {name: its[row] for name, its in fields.items()}) for row in range(len(vectors)))
    goal = ann.Goal(0.95) if spec in GUIDED else None
    return Index.build(folder, documents, vectors=[vectors], options=Options(metric=metric, spec=spec, goal=goal))


def exact(vectors, queries, metric, mask, k=K):
    """Scores and rows of the k best of the rows that the mask leaves, by numpy alone."""
    rows = np.flatnonzero(mask)
    some = vectors[rows]
    scores = (
        normalise(queries).astype(np.float64) @ normalise(some).astype(np.float64).T
        if metric is Metric.COSINE
        else queries.astype(np.float64) @ some.T.astype(np.float64)
    )
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), rows[order]


def recall(found, truth):
    """Share of the true scores that were found: equal scores may come from other rows."""
    near = 1e-5 * np.maximum(1, np.abs(truth))
    return float((found.scores >= truth[:, -1:] - near[:, -1:]).mean())


@pytest.fixture(scope="module")
def data():
    rows = made_vectors("anisotropic", ROWS + 25, DIM, seed=3)
    return np.ascontiguousarray(rows[:ROWS]), np.ascontiguousarray(rows[ROWS:])


@pytest.fixture(scope="module", params=list(Metric), ids=str)
def metric(request):
    return request.param


@pytest.fixture(scope="module")
def ranks(data):
    """Orders in which rows are left: any, those nearest to where the queries look first, and those farthest from there."""
    vectors, queries = data
    toward = normalise(vectors) @ normalise(queries.mean(axis=0)[None])[0]
    orders = {"any": np.random.default_rng(7).permutation(ROWS), "near": np.argsort(-toward), "far": np.argsort(toward)}
    return {name: np.argsort(order) for name, order in orders.items()}


@pytest.fixture(scope="module", params=[*COMPLETE, *GUIDED])
def index(request, data, metric, ranks, tmp_path_factory):
    with indexed(tmp_path_factory.mktemp("kind") / "index", request.param, metric, data[0], **ranks) as opened:
        yield request.param, opened


def test_the_best_of_the_rows_that_meet_a_condition(index, data, metric, ranks, monkeypatch):
    spec, opened = index
    vectors, queries = data
    # The path of few rows is that of an exact index: here the other one is meant.
    monkeypatch.setattr(segment_searcher, "FEW_NUMBERS", 0)
    everything = recall(opened.search(queries, K), exact(vectors, queries, metric, np.ones(ROWS, bool))[0])
    for share, name in itertools.product(SHARES, ranks):
        left = max(1, round(share * ROWS))
        mask = ranks[name] < left
        found = opened.search(queries, K, where=f"{name} < {left}")
        assert found.rows.shape == (len(queries), min(K, mask.sum()))
        assert mask[found.rows].all()
        assert all(len(set(rows)) == len(rows) for rows in found.rows.tolist())
        truth, _ = exact(vectors, queries, metric, mask)
        np.testing.assert_array_equal(found.scores, -np.sort(-found.scores, axis=1))
        if spec in ("exact", "Flat"):
            np.testing.assert_allclose(found.scores, truth, rtol=1e-4, atol=1e-5)
        elif everything >= 0.95:
            assert recall(found, truth) >= 0.9
        else:
            assert recall(found, truth) >= everything - 0.1


@pytest.fixture(scope="module")
def numbered(data, tmp_path_factory):
    with indexed(tmp_path_factory.mktemp("numbered") / "index", "exact", Metric.COSINE, data[0]) as opened:
        yield opened


@settings(max_examples=20)
@given(low=st.integers(0, ROWS - 1), count=st.integers(1, ROWS), k=st.integers(1, 50))
def test_any_rows_any_k(data, numbered, low, count, k):
    vectors, queries = data
    found = numbered.search(queries[:3], k, where=f"row between {low} and {low + count - 1}")
    mask = np.zeros(ROWS, bool)
    mask[low : low + count] = True
    np.testing.assert_array_equal(found.rows, exact(vectors, queries[:3], Metric.COSINE, mask, k)[1])


def test_a_graph_is_left_where_it_would_look_longer_than_exact_search(data, monkeypatch, tmp_path):
    vectors, queries = data
    indexed(tmp_path / "index", "HNSW16", Metric.COSINE, vectors).close()
    with open_snapshot(tmp_path / "index") as snapshot:
        searcher = SegmentSearcher(snapshot.segments[0], snapshot.manifest.segments[0], Metric.COSINE, little=False)
        mask = np.arange(ROWS) % 1000 == 0
        _, rows = searcher.approximate.search_among(queries, K, mask)
        assert (rows == -1).all()
        # Nothing is left near some of the queries, and everything near others.
        mask = normalise(vectors) @ normalise(queries[:1])[0] < 0
        monkeypatch.setattr(segment_searcher, "FEW_NUMBERS", 0)
        scores, rows = searcher.search(queries, K, Metric.COSINE, mask, exact=False)
        assert recall(Neighbors(rows, scores), exact(vectors, queries, Metric.COSINE, mask)[0]) >= 0.95


# -- what a condition means ----------------------------------------------------------------------------------------------


def holding(folder, *fields, **options):
    """An index of documents d0, d1 … with these fields."""
    documents = [Document(f"d{i}", f"text {i}", some) for i, some in enumerate(fields)]
    vectors = np.ones((len(documents), 2), np.float32)
    return Index.build(folder, documents, vectors=[vectors], options=Options(**options))


@contextmanager
def briefly(*fields):
    """`holding`, on a quick disk, and gone afterwards."""
    with tempfile.TemporaryDirectory(dir=QUICK_DISK) as folder, holding(Path(folder) / "index", *fields) as opened:
        yield opened


def met(opened, where):
    """Numbers of the documents that meet a condition."""
    found = opened.search(np.ones((1, 2)), max(1, len(opened)), where=where)
    return sorted(found.rows[0].tolist())


def test_lists_and_objects_are_json(tmp_path):
    with holding(tmp_path / "index", {"tags": ["noir", "heist"]}, {"tags": []}, {"tags": {"main": "war"}}, {}) as opened:
        assert met(opened, "exists (select 1 from json_each(tags) where value = 'noir')") == [0]
        assert met(opened, "tags ->> '$.main' = 'war'") == [2]
        assert met(opened, "json_array_length(tags) = 0 and json_type(tags) = 'array'") == [1]
        assert met(opened, "tags is null") == [3]


def test_ids_and_texts_are_there_beside_the_fields(tmp_path):
    with holding(tmp_path / "index", {}, {"genre": "war"}, {}) as opened:
        assert met(opened, "id = 'd1'") == met(opened, "document.id = 'd1'") == [1]
        assert met(opened, "text like 'TEXT 2'") == [2]
        assert met(opened, "text = 'text 0' or genre = 'war'") == [0, 1]


def test_a_field_of_one_segment_is_null_in_the_others(tmp_path):
    with holding(tmp_path / "index", {"year": 1994}, {"year": 5}) as opened:
        opened.add([Document("more", "", {"genre": "war"})], vectors=[np.ones((1, 2), np.float32)])
        assert met(opened, "genre = 'war'") == met(opened, "year is null") == [2]
        assert met(opened, "genre is null") == [0, 1]


def test_more_fields_than_a_table_has_columns(tmp_path):
    # Each segment has the most that can be filtered by; together they have more than SQLite has columns.
    with holding(tmp_path / "index", {"year": 1994}, {"year": 5}) as opened:
        for part in range(5):
            fields = {f"field {part} {n:03}": n for n in range(600)} | {"few": 10**20 + part}
            opened.add([Document(f"more{part}", "", fields)], vectors=[np.ones((1, 2), np.float32)])
        assert met(opened, "year > 1990") == [0]
        assert (
            met(opened, '"field 3 007" = 7') == met(opened, '"field 3 599" = 599') == met(opened, f"few = {10**20 + 3}") == [5]
        )
        with pytest.raises(UsageError, match=r"names 'missing', which no document has; there are: .*…, id, text"):
            met(opened, "missing = 1")


def test_without_fields_there_are_still_ids(tmp_path):
    with holding(tmp_path / "index", {}, {}) as opened:
        assert met(opened, "id = 'd1'") == [1]
        with pytest.raises(UsageError, match="there are: id, text"):
            met(opened, "year > 1")


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_many_documents_are_asked_for_block_by_block(monkeypatch, at_once):
    monkeypatch.setattr(filters, "AT_ONCE", at_once)
    with briefly(*({"n": n, "long": "x" * n} for n in range(30))) as opened:
        for where, expected in {
            "n % 7 = 2": range(2, 30, 7),
            "n < 0": [],
            "n >= 0": range(30),
            "document.id in ('d21', 'd4', 'd17')": [4, 17, 21],  # by their index, in another order
            "length(text) > 6 and length(long) > 20": range(21, 30),
            "id = 'd9' or n = 3": [3, 9],
        }.items():
            assert [hit.fields["n"] for hit in opened.browse(where, k=100)] == list(expected), where
            assert opened.count(where) == len(expected)


def test_nothing_meets_it(tmp_path):
    with holding(tmp_path / "index", {"year": 1}, {"year": 2}) as opened:
        found = opened.search(np.ones((3, 2)), 5, where="year > 2")
        assert found.rows.shape == (3, 0)
        assert opened.hits(found) == [[], [], []]
        assert opened.keywords(["text"], 5, where="year > 2") == [[]]


def test_what_is_deleted_meets_nothing(tmp_path):
    with holding(tmp_path / "index", *({"year": n} for n in range(6))) as opened:
        assert opened.delete(["d1"], where="year >= 4") == 3
        assert met(opened, "year >= 0") == [0, 2, 3]
        assert met(opened, "1") == [0, 2, 3]
        assert opened.delete(where="year >= 4") == 0


# -- what a condition may not do -----------------------------------------------------------------------------------------

REFUSED = {
    "other tables": [
        "exists (select 1 from sqlite_master)",
        "(select sql from sqlite_schema) is not null",
        "exists (select 1 from passages)",
        "(select digest from progress) is not null",
        "exists (select 1 from words where words match 'text')",
        "text in (select term from words_data)",
        "exists (select 1 from main.sqlite_master)",
        "exists (select 1 from temp.sqlite_master)",
    ],
    "pragmas": [
        "exists (select 1 from pragma_database_list)",
        "exists (select 1 from pragma_table_info('documents'))",
        "exists (select 1 from pragma_journal_mode('wal'))",
    ],
    "functions": [
        "load_extension('/tmp/evil.so')",
        "randomblob(1000000) is not null",
        "zeroblob(1000000000) is not null",
        "fts3_tokenizer('x') is not null",
        "writefile('/tmp/x', 'y')",
        "readfile('/etc/passwd') is not null",
        "printf('%1000000000d', 1) is not null",
        "year = (select max(year) from fields)",
        "sqlite_version() > '3'",
        "random() > 0",
        "group_concat(text) is not null",
        "(select count(*) from fields, documents) > 0",
    ],
    "recursion": [
        "(with recursive t(n) as (select 1 union all select n + 1 from t) select max(n) from t) > 0",
        "(with recursive t(n) as (select 1 union all select n + 1 from t limit 9999999999) select n from t) > 0",
    ],
    "statements": [
        "1; drop table documents",
        "1; attach '/tmp/x.db' as x",
        "1) ; delete from documents; select (1",
        "attach '/tmp/x.db' as x",
        "pragma journal_mode = wal",
        "insert into documents values (9, 'x', 'x', '{}')",
        "(delete from documents returning number)",
        "(update documents set text = '')",
        "vacuum into '/tmp/x.db'",
    ],
    "the rest of the query": [
        "1) union select 0 where (1",
        "1) union select 99 where (1",
        "1) union select -1 /*",
        "0) union select number from documents /*",
        "1)) union select 0 where ((1",
        "1) limit 1 /*",
        "1) limit 1 --",
        "1) order by (year",
        "1) group by (year",
        "1) window w as (order by year",
    ],
    "no condition": ["", "  ", "(", ")", "1 /*", "'", '"year', "year >", "year > ?", "year > :a", "\0", "\udcff"],
    "no field": ["missing > 1", '"missing" > 1', 'genre = "noir"', "fields.month > 1", "`missing` > 1", "rowid > 0"],
    "values": ["json_extract('{', '$') = 1", "year like 'a' escape 'bc'"],
}  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded") / "index"
    holding(folder, {"year": 1994, "genre": "noir"}, {"year": 2001, "genre": "war"}).close()
    return folder


def held_in(folder):
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


@pytest.mark.parametrize("where", [where for some in REFUSED.values() for where in some])
def test_what_does_more_than_read_fields_is_refused_and_changes_nothing(guarded, where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = held_in(guarded)
    with Index.open(guarded) as opened:
        for attempt in range(2):
            with pytest.raises(UsageError, match="the condition"):
                opened.search(np.ones((1, 2)), 1, where=where)
            with pytest.raises(UsageError, match="the condition"):
                opened.delete(where=where)
            # Its tables are open now: the second time is not the first.
            assert [hit.id for hit in opened.keywords(["text"], 9)[0]] == ["d0", "d1"], attempt
        assert met(opened, "year > 2000") == [1]
    assert held_in(guarded) == before
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_is_said(guarded):
    said = {
        "select": r"is not understood \(syntax error near \"select\"\)",
        "yaer > 1": "the condition 'yaer > 1' names 'yaer', which no document has; there are: genre, year, id, text",
        'genre = "noir"': "names 'noir', which no document has; there are: genre, year, id, text; texts stand in single quotes",
        "random() > 0": r"does more than look at the fields of a document \(not authorized to use function: random\)",
        "exists (select 1 from words)": "does more than look at the fields of a document",
        "year >": r"is not understood \(syntax error near the end\); write one such as: year > 1990 and genre = 'noir'",
    }
    with Index.open(guarded) as opened:
        for where, message in said.items():
            with pytest.raises(UsageError, match=message):
                met(opened, where)


def test_comments_and_every_way_to_quote_a_name(guarded):
    with Index.open(guarded) as opened:
        assert met(opened, "year > 2000 -- those of this century") == [1]
        assert met(opened, "/* no noir */ genre <> 'noir'") == [1]
        assert met(opened, "[year] > 2000 and `genre` = 'war' and genre <> 'a \"quoted\" one'") == [1]


@pytest.mark.parametrize(
    "where",
    [
        "exists (select 1 from " + ", ".join(f"json_each(text) as j{i}" for i in range(9)) + " where length(j8.fullkey) = -1)",
        "exists (select 1 from " + ", ".join(f"json_each(text) j{i}" for i in range(9)) + " where j0.value + j8.value = -1)",
    ],
)
def test_what_takes_too_long_is_given_up(tmp_path, where):
    numbers = json.dumps(list(range(100)))
    documents = [Document(str(i), numbers, {"year": 2000 + i}) for i in range(100)]
    Index.build(tmp_path / "index", documents, vectors=[np.ones((100, 2), np.float32)]).close()

    def given_up(ask, *arguments, **options):
        with pytest.raises(UsageError, match=r"takes longer than 0\.05 s; ask for less"):
            ask(*arguments, **options)

    with Index.open(tmp_path / "index", condition_seconds=0.05) as opened, pickle.loads(pickle.dumps(opened)) as other:
        for index in (opened, other):
            given_up(met, index, where)
            given_up(index.delete, where=where)
        assert met(opened, "year = 2003") == [3]
        other.delete(["5"])
        assert opened.refresh()
        given_up(met, opened, where)


def test_texts_that_grow_too_long_are_refused(guarded):
    grown = "text"
    for _ in range(4):
        grown = f"replace({grown}, 't', '{'t' * 200}')"
    with Index.open(guarded) as opened, pytest.raises(UsageError, match=r"is not understood \(string or blob too big\)"):
        met(opened, f"length({grown}) > 1")


def test_wildcards_do_not_explode(tmp_path):
    documents = [Document("a", "a" * 20_000, {"n": 1})]
    with Index.build(tmp_path / "index", documents, vectors=[np.ones((1, 2), np.float32)]) as opened:
        assert met(opened, f"text like '{'%a' * 30}%b'") == []
        assert met(opened, f"text glob '{'*a' * 30}*'") == [0]


def test_a_deletion_by_a_refused_condition_deletes_nothing(guarded):
    with pytest.raises(UsageError):
        delete(guarded, where='"yaer" > 1')
    with Index.open(guarded) as opened:
        assert len(opened) == 2
