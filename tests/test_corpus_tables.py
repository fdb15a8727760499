"""Records of SQLite's tables and queries, and of Arrow's files; several corpora as one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import read_corpus
from vecsearch.corpus.readers import holds_records, read_corpora
from vecsearch.corpus.source import CorpusTally
from vecsearch.errors import CorpusError, UsageError

VALUES = st.one_of(
    st.integers(-(1 << 60), 1 << 60), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5), st.none()
)


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "films.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute('CREATE TABLE "my films" (id, text, year, data)')
        made.execute('CREATE VIEW recent AS SELECT id, text FROM "my films" WHERE year > 2000')
        made.executemany('INSERT INTO "my films" VALUES (?, ?, ?, ?)', [("a", "one", 1990, b"\xff"), ("b", "two", 2010, None)])
        made.commit()
    return path


def test_a_table_a_view_and_a_query(db):
    films = list(read_corpus(f"sqlite:{db}?table=my films"))
    assert [(film.id, film.text, film.fields["year"]) for film in films] == [("a", "one", 1990), ("b", "two", 2010)]
    assert films[0].fields["data"] == "\\xff" and films[1].fields["data"] is None
    assert [film.id for film in read_corpus(f"sqlite:{db}?table=recent")] == ["b"]
    asked = f'sqlite:{db}?query=SELECT id, upper(text) AS text FROM "my films" WHERE year < 2000'
    assert [(film.id, film.text) for film in read_corpus(asked)] == [("a", "ONE")]
    assert holds_records(asked)


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("sqlite:{db}", UsageError, "table=NAME"),
        ("sqlite:{db}?table=", UsageError, "table=NAME"),
        ("sqlite:{db}.no?table=films", CorpusError, "does not exist"),
        ("sqlite:{db}?table=nothing", CorpusError, "nothing"),
        ("sqlite:{db}?query=DELETE FROM recent", CorpusError, "cannot be read"),
        ("sqlite:{db}?query=ATTACH 'x.db' AS x", CorpusError, "not authorized"),
        ("sqlite:{db}?query=PRAGMA user_version = 3", CorpusError, "not authorized"),
        ("sqlite:{db}?query=SELECT load_extension('x')", CorpusError, "cannot be read"),
        ("sqlite:{db}?query=SELECT 1; SELECT 2", CorpusError, "one statement"),
        ("sqlite:{db}?query=SELECT id, id FROM recent", CorpusError, 'column "id" is there twice'),
        ("sqlite:{db}?query=SELECT id FROM recent WHERE 0", CorpusError, "no documents"),
    ],
)
def test_what_cannot_be_read_changes_nothing(db, address, error, said):
    before = db.read_bytes()
    with pytest.raises(error, match=said):
        list(read_corpus(address.format(db=db)))
    assert db.read_bytes() == before and sorted(path.name for path in db.parent.iterdir()) == ["films.db"]


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "x.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    with pytest.raises(CorpusError, match=r"x\.db"):
        list(read_corpus(f"sqlite:{tmp_path / 'x.db'}?table=films"))


@given(rows=st.lists(st.tuples(st.text(min_size=1, max_size=5), VALUES), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_values_come_as_they_are(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "t.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE t (text, value)")
        made.executemany("INSERT INTO t VALUES (?, ?)", rows)
        made.commit()
    found = [(film.text, film.fields["value"]) for film in read_corpus(f"sqlite:{path}?table=t")]
    assert found == rows


def table(**columns) -> pyarrow.Table:
    return pyarrow.table(columns)


def test_both_formats_of_arrow_and_a_folder_of_datasets(tmp_path):
    rows = table(id=["a", "b"], text=["one", "two"], year=[1990, None])
    (tmp_path / "set").mkdir()
    with pyarrow.OSFile(str(tmp_path / "set/data-00000.arrow"), "wb") as file, pyarrow.ipc.new_stream(file, rows.schema) as out:
        out.write_table(rows)
    with pyarrow.OSFile(str(tmp_path / "one.arrow"), "wb") as file, pyarrow.ipc.new_file(file, rows.schema) as out:
        out.write_table(rows)
    (tmp_path / "set/state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000.arrow"}] * 2}))
    for name, times in (("one.arrow", 1), ("set/data-00000.arrow", 1), ("set", 2)):
        found = [(film.id, film.text, film.fields["year"]) for film in read_corpus(tmp_path / name)]
        assert found == [("a", "one", 1990), ("b", "two", None)] * times
        assert holds_records(tmp_path / name)


@pytest.mark.parametrize("data", [b"", b"ARROW1", b"\xff\xff\xff\xff\x10\0\0\0", bytes(200)])
def test_arrow_that_is_broken_is_named(tmp_path, data):
    (tmp_path / "x.arrow").write_bytes(data)
    with pytest.raises(CorpusError, match=r"x\.arrow"):
        list(read_corpus(tmp_path / "x.arrow"))


def test_several_corpora_are_numbered_on_and_counted_together(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\nthree\n")
    (tmp_path / "b.txt").write_text("four\n")
    (tmp_path / "c.jsonl").write_text('{"id": "own", "text": "five"}\n')
    tally = CorpusTally()
    corpus = read_corpora([tmp_path / name for name in ("a.txt", "b.txt", "c.jsonl")], tally=tally)
    assert [(document.id, document.text) for document in corpus] == [
        ("1", "one"), ("3", "three"), ("4", "four"), ("own", "five"),
    ]  # fmt: skip
    assert tally.blank == 1 and tally.fraction() == 1
    assert "a.txt" in corpus.name and "c.jsonl" in corpus.name
