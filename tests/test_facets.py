"""Fields and their values, counted: the same as plain Python over the documents, after any changes; examples find something."""

import json
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import AxisEncoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_builds import QUICK_DISK

from vecsearch import clustering
from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.errors import UsageError
from vecsearch.index.build import Options
from vecsearch.index.index import Index

SCALARS = (
    st.sampled_from(["noir", "war", "01", "1", "", "it's", 'a "b"', "[x", "{}", "ünï", "two\nlines", "x" * 50])
    | st.integers(-3, 3)
    | st.sampled_from([1 << 62, -(1 << 63), 1 << 70, 2020])
    | st.sampled_from([0.5, -1.25, 0.1, 1e300, 1e-7, 2.0])
)
LISTS = st.lists(SCALARS | st.booleans() | st.none() | st.just(["inner"]), max_size=4)
KINDS = {
    "text": st.sampled_from(["noir", "war", "drama", "it's", "100%"]),
    "number": st.integers(1990, 1999) | st.sampled_from([0.1, 0.25, 1e300, 1 << 70]),
    "boolean": st.booleans(),
    "list": LISTS,
    "words": st.lists(st.sampled_from(["a", "b", "it's", 7, "x" * 50, "\0"]), max_size=3),
    "object": st.just({"a": 1}),
    "any": SCALARS | LISTS | st.booleans() | st.none(),
}
NAMES = ["year", "genres", "odd name", 'a"b', "cast", "select", "ünï", "rowid", "id", "in\ttab", "Year"]
TEXTS = ["a cab on the bank", "a storm", "the bank", "a cab , a storm , a cab", "abc", ""]


@st.composite
def tables(draw):
    """Fields of several documents, each with values of one kind."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    fields = {name: draw(st.sampled_from(list(KINDS))) for name in names}
    some = st.fixed_dictionaries({}, optional={name: KINDS[kind] for name, kind in fields.items()})
    return draw(st.lists(some, min_size=1, max_size=12))


def documents_of(table, start=0):
    return [Document(f"d{n}", TEXTS[n % len(TEXTS)], fields) for n, fields in enumerate(table, start)]


@contextmanager
def changed(table, more, gone, *, chunks=None):
    """An index of the documents of a table, to which others were added, and of which some are deleted or replaced."""
    with (
        tempfile.TemporaryDirectory(dir=QUICK_DISK) as folder,
        Index.build(Path(folder) / "index", documents_of(table), Words(), Options(chunks=chunks)) as index,
    ):
        if more:
            index.add(documents_of(more, max(0, len(table) - 2)))  # two of them take others' places
        index.delete(sorted(gone & index.known([f"d{n}" for n in range(30)])))
        yield index


class Words(AxisEncoder):
    """Counts letters; a word is a token."""

    fingerprint = "words"

    def tokens(self, text):
        return ["begin", *text.split()]


def all_documents(index):
    return index.documents(index.document_rows())


def values_of(value):
    """The values that are counted, each once: those of a list one by one; a text that is the JSON of a list is one."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    many = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(each for each in many if each is not None and not isinstance(each, list | dict)))


def assert_counts(facet, documents, name, limit):
    """The facet is what Python counts among these documents."""
    having = [document.fields[name] for document in documents if document.fields.get(name) is not None]
    counts = Counter(value for found in having for value in values_of(found))
    assert facet.documents == len(having)
    assert [documents for _, documents in facet.values] == sorted(counts.values(), reverse=True)[:limit]
    assert all(counts[value] == documents for value, documents in facet.values)
    assert len({value for value, _ in facet.values}) == len(facet.values)
    assert facet.others == len(counts) - len(facet.values)


GONE = st.sets(st.integers(0, 20).map("d{}".format), max_size=5)
CHUNKS = st.sampled_from([None, None, Chunks(2, 1)])


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(tables(), st.none() | tables(), GONE, CHUNKS, st.integers(1, 4))
def test_facets_fields_and_pages_are_what_python_counts(table, more, gone, chunks, limit):
    with changed(table, more, gone, chunks=chunks) as index:
        documents = all_documents(index)
        names = sorted({name for fields in [*table, *(more or [])] for name in fields})
        fields = {field.name: field for field in index.fields()}
        assert fields.keys() == {name for document in documents for name, value in document.fields.items() if value is not None}
        for where, words, met in (
            (None, None, documents),
            ("document.id > 'd3'", None, [document for document in documents if document.id > "d3"]),
            (None, "storm", [document for document in documents if "storm" in document.text]),
            ("document.id > 'd3'", "cab storm", [d for d in documents if d.id > "d3" and {"cab", "storm"} & {*d.text.split()}]),
        ):
            assert index.count(where, words=words) == len(met)
            found = index.facets([name for name in names if name in fields], where=where, words=words, limit=limit)
            assert found.documents == len(met)
            for name, facet in found.fields.items():
                assert_counts(facet, met, name, limit)
            if words:
                assert sorted(hit.id for hit in index.keywords([words], 50, where=where)[0]) == sorted(d.id for d in met)
            else:
                pages = [index.browse(where, offset, limit) for offset in range(0, len(met) + 1, limit)]
                assert [(hit.id, hit.text, hit.fields, hit.score) for page in pages for hit in page] == [
                    (document.id, document.text, document.fields, None) for document in met
                ]
        for name, field in fields.items():
            assert_field(field, [document.fields[name] for document in documents if document.fields.get(name) is not None])


def kind_of(value):
    values = values_of(value)
    if isinstance(value, list | dict) or (isinstance(value, str) and values != [value]):
        found = json.loads(value) if isinstance(value, str) else value
        return "list" if isinstance(found, list) else "object"
    return "boolean" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "text"


def assert_field(field, having):
    counts = Counter(value for found in having for value in values_of(found))
    kinds = {kind_of(value) for value in having}
    # Columns have true as 1: where there are other numbers as well, it is that.
    assert set(field.kinds) == kinds or (set(field.kinds) ^ kinds) <= {"boolean", "number"}
    assert (field.documents, field.values) == (len(having), len(counts))
    numbers = sorted(value for value in counts.elements() if isinstance(value, int | float) and not isinstance(value, bool))
    if "boolean" not in kinds and not any(isinstance(value, list) for value in having):
        assert (field.least, field.most) == ((numbers[0], numbers[-1]) if numbers else (None, None))
        assert field.median == (numbers[(len(numbers) - 1) // 2] if numbers else None)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(tables(), st.none() | tables(), GONE)
def test_every_example_is_understood_and_finds_something(table, more, gone):
    with changed(table, more, gone) as index:
        for example in index.examples():
            assert index.count(example) > 0, example
        assert len(index.examples()) <= 6


def test_examples_are_of_every_kind(tmp_path):
    documents = [
        Document(str(n), "a cab", {"year": 1990 + n, "tags": ["a", "b"], "genre": "it's", "seen": n > 1, "title": f"Title {n}"})
        for n in range(5)
    ]
    documents.append(Document("9", "a cab", {"odd name": 0.25}))
    documents.append(Document("10", "a cab", {"odd name": 0.75}))
    with Index.build(tmp_path / "index", documents, AxisEncoder()) as index:
        found = index.examples()
        assert found == [
            "year >= 1992",
            "'a' in (select value from json_each(tags))",
            "genre = 'it''s'",
            "seen = true",
            "title like 'Title%'",
            "genre is not null",
        ]
        assert [index.count(example) for example in found] == [3, 5, 5, 3, 5, 5]


def test_clusters_are_counted_under_their_name_unless_a_field_has_it(tmp_path):
    documents = [Document(str(n), "a" * (n % 3 + 1) + "b" * (n % 2), {"n": n}) for n in range(20)]
    with Index.build(tmp_path / "index", documents, AxisEncoder()) as index:
        with pytest.raises(UsageError, match=r"'cluster'.* there are: n$"):
            index.facets(["cluster"])
        clustering.cluster(index, clustering.Settings(k=2))
        index.refresh()
        index.delete(["3"])
        facet = index.facets(["cluster"], where="n > 1").fields["cluster"]
        counts = Counter(hit.cluster for hit in index.browse("n > 1", 0, 100))
        assert dict(facet.values) == counts and (facet.documents, facet.others) == (17, 0)
        index.add([Document("new", "ab", {"cluster": "mine"})])
        assert index.facets(["cluster"]).fields["cluster"].values == [("mine", 1)]


def test_what_there_is_not_is_named(tmp_path):
    with Index.build(tmp_path / "index", [Document("1", "a cab", {"year": 1})], AxisEncoder()) as index:
        with pytest.raises(UsageError, match="'yaer'; there are: year"):
            index.facets(["year", "yaer"])
        with pytest.raises(UsageError, match="offset is -1"):
            index.browse(offset=-1)
        index.delete(["1"])
        assert (index.fields(), index.examples(), index.browse(), index.count()) == ([], [], [], 0)
        assert index.facets(["year"]).fields["year"].values == []


def test_vectors_without_documents_of_fields_have_none(tmp_path):
    with Index.build(tmp_path / "index", [Document("1", "")], vectors=[np.ones((1, 2), np.float32)]) as index:
        assert (index.fields(), index.examples(), index.count(words="a")) == ([], [], 0)
