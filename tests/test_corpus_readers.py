"""Whatever is written in a known format comes back as the same documents."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.corpus.document import Document
from vecsearch.corpus.readers import read_corpus
from vecsearch.corpus.source import CorpusTally
from vecsearch.corpus.values import cell_value

characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0\r")
strings = st.text(characters, max_size=30)
words = st.text(characters, min_size=1, max_size=12)
corpora = st.lists(st.fixed_dictionaries({"id": words, "text": strings, "note": strings}), min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=6,
)
OPENERS = {"": open, ".gz": gzip.open, ".xz": lzma.open}


def read(path, **options) -> list[Document]:
    return list(read_corpus(path, tally=CorpusTally(), **options))


def write_lines(path: Path, records: list[dict]) -> None:
    text = "".join(json.dumps(record, ensure_ascii=len(record) % 2 == 0) + "\n" for record in records)
    with OPENERS["" if path.suffix == ".jsonl" else path.suffix](path, "wb") as file:
        file.write(text.encode())


def write_rows(path: Path, records: list[dict], *, delimiter: str) -> None:
    with OPENERS[path.suffix if path.suffix in OPENERS else ""](path, "wt", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, records[0].keys(), delimiter=delimiter)
        rows.writeheader()
        rows.writerows(records)


def write_hdf5(path: Path, records: list[dict]) -> None:
    with h5py.File(path, "w") as file:
        for name in records[0]:
            file.create_dataset(name, data=[record[name] for record in records], dtype=h5py.string_dtype())
        file["a_matrix_beside"] = np.zeros((len(records) + 1, 2))


def expected(records: list[dict]) -> list[Document]:
    return [Document(record["id"], record["text"], {"note": record["note"]}) for record in records]


def expected_of_cells(records: list[dict]) -> list[Document]:
    """An empty cell is no field; what a number is, test_reading.py has."""
    fields = [{"note": cell_value(record["note"])} if record["note"] else {} for record in records]
    return [Document(record["id"], record["text"], its) for record, its in zip(records, fields, strict=True)]


@pytest.mark.parametrize("compression", ["", ".gz", ".xz"])
@settings(max_examples=25)
@given(records=corpora, extra=values)
def test_json_lines_round_trip(tmp_path_factory, compression, records, extra):
    path = tmp_path_factory.mktemp("c") / f"corpus.jsonl{compression}"
    records = [{**record, "note": extra} for record in records]
    write_lines(path, records)
    assert read(path) == expected(records)


@pytest.mark.parametrize("compression", ["", ".gz", ".xz"])
@settings(max_examples=20)
@given(records=corpora)
def test_comma_separated_values_round_trip(tmp_path_factory, compression, records):
    path = tmp_path_factory.mktemp("c") / f"corpus.csv{compression}"
    write_rows(path, records, delimiter=",")
    assert read(path) == expected_of_cells(records)


@pytest.mark.parametrize("compression", ["", ".gz", ".xz"])
@settings(max_examples=20)
@given(records=corpora)
def test_tab_separated_values_round_trip(tmp_path_factory, compression, records):
    path = tmp_path_factory.mktemp("c") / f"corpus.tsv{compression}"
    records = [{name: re.sub(r"[\t\n]", " ", record[name]) for name in ("id", "text", "note")} for record in records]
    with OPENERS[compression](path, "wt", encoding="utf-8", newline="") as file:
        file.writelines("\t".join(row) + "\n" for row in [records[0], *(record.values() for record in records)])
    # A line of nothing but white space is blank.
    kept = [record for record in records if "".join(record.values()).strip()]
    if kept:
        assert read(path) == expected_of_cells(kept)


@pytest.mark.parametrize("compression", ["", ".gz", ".xz"])
@settings(max_examples=25)
@given(
    lines=st.lists(strings.filter(lambda line: "\n" not in line and line.strip()), min_size=1),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_lines_round_trip(tmp_path_factory, compression, lines, ends):
    path = tmp_path_factory.mktemp("c") / f"corpus.txt{compression}"
    with OPENERS[compression](path, "wb") as file:
        file.write(ends.join(lines).encode("utf-8-sig"))
    assert read(path) == [Document(str(number), line) for number, line in enumerate(lines, 1)]


@settings(max_examples=20)
@given(records=corpora)
def test_column_formats_round_trip(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("c")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), folder / "corpus.parquet")
    write_hdf5(folder / "corpus.h5", records)
    assert read(folder / "corpus.parquet") == expected(records)
    assert read(folder / "corpus.h5") == expected(records)


def test_columns_longer_than_a_block(tmp_path):
    records = [{"id": f"d{row}", "text": f"text {row}", "note": ""} for row in range(2500)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "corpus.parquet", row_group_size=700)
    write_hdf5(tmp_path / "corpus.hdf5", records)
    for name in ("corpus.parquet", "corpus.hdf5"):
        documents = read(tmp_path / name)
        assert documents == expected(records)
        assert documents[-1].where == f"{tmp_path / name}, record 2500"


def test_values_become_json(tmp_path):
    when = datetime(2024, 2, 29, 12, tzinfo=UTC)
    table = {
        "text": ["a"],
        "when": [when],
        "day": [when.date()],
        "score": [float("nan")],
        "raw": [b"\xffz"],
        "list": [[1.5, np.inf]],
    }
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "corpus.parquet")
    (document,) = read(tmp_path / "corpus.parquet")
    fields = {"when": "2024-02-29T12:00:00+00:00", "day": "2024-02-29", "score": None, "raw": "\\xffz", "list": [1.5, None]}
    assert document.fields == fields
    with h5py.File(tmp_path / "corpus.h5", "w") as file:
        file["text"], file["id"], file["year"] = np.array([b"a", b"b"]), [7, 8], np.array([1.5, np.nan], np.float32)
    assert read(tmp_path / "corpus.h5") == [Document("7", "a", {"year": 1.5}), Document("8", "b", {"year": None})]


def test_tables_of_hdf5_become_lists_and_what_is_left_out_is_said(tmp_path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["text"], file["pair"] = ["a", "b"], [[1.5, np.nan], [3, 4]]
        file.create_dataset("names", data=[["x", "y"], ["é", ""]], dtype=h5py.string_dtype())
        file["wide"], file["widest"] = np.zeros((2, 65)), np.arange(128).reshape(2, 64)
        file["other"], file["cube"], file["one"] = np.zeros((3, 2)), np.zeros((2, 2, 2)), 7
        file.create_group("more")["x"] = [1, 2]
    tally = CorpusTally()
    first, second = read_corpus(tmp_path / "c.h5", tally=tally)
    widest = first.fields.pop("widest")
    assert widest == list(range(64)) and second.fields.pop("widest")[-1] == 127
    assert first.fields == {"pair": [1.5, None], "names": ["x", "y"]}
    assert second.fields == {"pair": [3.0, 4.0], "names": ["é", ""]}
    (said,) = tally.remarks()
    assert said == (
        f"{tmp_path / 'c.h5'}: left out cube, more, one, other, wide; what is kept is a dataset of one value for each record, "
        "or of a list of up to 64"
    )


def test_nan_in_json_becomes_null(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "a", "x": NaN, "y": [-Infinity, {"z": 1e999}]}')
    assert read(tmp_path / "c.jsonl")[0].fields == {"x": None, "y": [None, {"z": None}]}


def test_text_fields_are_joined_and_kept_to_be_shown(tmp_path):
    write_lines(tmp_path / "c.jsonl", [{"title": "Heat", "plot": "A heist.", "text": "unused", "id": 3}])
    (document,) = read(tmp_path / "c.jsonl", text_fields=["title", "plot"])
    assert document == Document("3", "Heat\nA heist.", {"title": "Heat", "plot": "A heist.", "text": "unused"})


@pytest.mark.parametrize(
    ("record", "id_field", "id", "fields"),
    [
        ({"_id": "x", "text": ""}, None, "x", {}),
        ({"id": 12, "_id": "x", "text": ""}, None, "12", {"_id": "x"}),
        ({"id": 12, "key": "k", "text": ""}, "key", "k", {"id": 12}),
        ({"text": "", "n": 1}, None, "2", {"n": 1}),
    ],
)
def test_id_comes_from_the_first_record_that_can_be_read_else_from_the_line(tmp_path, record, id_field, id, fields):
    (tmp_path / "c.jsonl").write_text("\n" + json.dumps(record))
    assert read(tmp_path / "c.jsonl", id_field=id_field) == [Document(id, "", fields)]


@pytest.mark.parametrize("compression", ["", ".gz", ".xz"])
def test_beir_folder_searches_title_and_text(tmp_path, compression):
    records = [{"_id": "1", "title": "Wings", "text": "in a slipstream"}, {"_id": "2", "title": "", "text": "no title"}]
    records += [{"_id": "3", "title": None, "text": "null"}, {"_id": "4", "text": "none", "metadata": {"url": "u"}}]
    write_lines(tmp_path / f"corpus.jsonl{compression}", records)
    documents = read(tmp_path)
    assert [document.text for document in documents] == ["Wings in a slipstream", "no title", "null", "none"]
    assert [document.id for document in documents] == ["1", "2", "3", "4"]
    assert documents[0].fields == {"title": "Wings"}
    assert documents[3].fields == {"metadata": {"url": "u"}}
    assert read(tmp_path, text_fields=["text"])[0].text == "in a slipstream"


@pytest.mark.parametrize(
    ("content", "format", "document"),
    [
        (b"one\ntwo", None, Document("1", "one")),
        (b'{"text": "one", "id": "a"}', "jsonl", Document("a", "one")),
        (b"text,n\none,1\n", "csv", Document("2", "one", {"n": 1})),
        (gzip.compress(b'{"text": "one"}', mtime=0), "jsonl.gz", Document("1", "one")),
        (lzma.compress(b"one"), "txt.xz", Document("1", "one")),
    ],
)
def test_standard_input(content, format, document):
    with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(content))):
        first = read("-", format=format)[0]
    assert first == document
    assert first.where.startswith("stdin, line ")


@pytest.mark.parametrize(("format", "line"), [("txt", b"a\n"), ("jsonl", b'{"text": "a"}\n'), ("csv", b"text\n")])
def test_reading_is_lazy(format, line):
    drawn = []
    lines = (drawn.append(number) or line for number in range(1000))
    with mock.patch.object(sys, "stdin", mock.Mock(**{"buffer.readline": lambda _: next(lines, b"")})):
        documents = read_corpus("-", format=format)
        assert not drawn
        for read_so_far in range(1, 5):
            next(documents)
            assert read_so_far <= len(drawn) <= read_so_far + 1


def test_blank_lines_are_counted(tmp_path):
    for name, content, line in [
        ("c.txt", "\na\n  \r\n\nb\n", 5),
        ("c.jsonl", '\n{"text": "a"}\n \n\n{"text": "b"}', 5),
        ("c.csv", "\ntext\na\n\n\nb\n", 6),
    ]:
        (tmp_path / name).write_text(content)
        tally = CorpusTally()
        documents = list(read_corpus(tmp_path / name, tally=tally))
        assert [document.text for document in documents] == ["a", "b"]
        assert documents[1].where == f"{tmp_path / name}, line {line}"
        assert tally == CorpusTally(blank=3)


def test_a_cell_longer_than_the_csv_module_takes_by_default(tmp_path):
    long = "word " * 100_000
    write_rows(tmp_path / "c.csv", [{"text": long}], delimiter=",")
    assert read(tmp_path / "c.csv")[0].text == long


def test_format_stands_in_for_the_suffix_but_not_for_its_compression(tmp_path):
    with gzip.open(tmp_path / "dump.gz", "wb") as file:
        file.write(b'{"text": "a"}')
    assert read(tmp_path / "dump.gz", format="jsonl") == [Document("1", "a")]


def test_real_corpora():
    if not (folder := os.environ.get("VECSEARCH_DATA")):
        pytest.skip("VECSEARCH_DATA is not set")
    tally = CorpusTally()
    documents = list(read_corpus(Path(folder, "corpora", "movies.jsonl.xz"), tally=tally))
    assert tally == CorpusTally() and len(documents) == 34_532
    assert {"title", "year", "genres", "cast"} <= documents[0].fields.keys()
    assert len(read(Path(folder, "retrieval", "cranfield"))) == 1400
