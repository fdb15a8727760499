"""Every way in which a corpus can be unusable is refused by file and line, or skipped and counted."""

from __future__ import annotations

import gzip
import json
import lzma
import sys
from pathlib import Path
from unittest import mock

import h5py
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.corpus.readers import read_corpus
from vecsearch.corpus.source import CorpusTally
from vecsearch.errors import CorpusError, UsageError

GOOD = b'{"id": "a", "text": "good"}\n'


def read(path, **options):
    return list(read_corpus(path, tally=CorpusTally(), **options))


def bad_lines() -> dict[str, tuple[bytes, str]]:
    """A line for each problem that one JSON line can have, and what the message says of it."""
    return {
        "bytes": (b'{"id": "b", "text": "caf\xe9"}', "byte 25 of the line (0xe9) is not UTF-8; convert"),
        "NUL": (b'{"id": "b",\0}', "byte 12 of the line is NUL; check"),
        "broken": (b'{"id": "b", "text" "x"}', "broken JSON at column 20: Expecting ':' delimiter; mend the line"),
        "cut": (b'{"id": "b", "text": "x', "broken JSON at column 21: Unterminated string"),
        "list": (b"[1, 2]", "holds a list, not a JSON object; write one object a line"),
        "string": (b'"x"', "holds a string, not a JSON object"),
        "null": (b"null", "holds null, not a JSON object"),
        "deep": (b"[" * 100_000, "JSON that cannot be used: maximum recursion depth exceeded"),
        "long number": (b'{"id": ' + b"1" * 5000 + b"}", "JSON that cannot be used: Exceeds the limit"),
        "half a pair": (b'{"id": "b", "text": "\\uD83D"}', "surrogates not allowed"),
        "no text": (
            b'{"id": "b", "plot": "x", "year": 1}',
            'no field "text" (the fields there are: id, plot, year); add it, or name',
        ),
        "number as text": (b'{"id": "b", "text": 5}', 'the text in "text" is 5 (int), not a string'),
        "null as text": (b'{"id": "b", "text": null}', 'the text in "text" is null, not a string'),
        "no id": (b'{"text": "x"}', 'no field "id" (the fields there are: text); add it, or name another with --id-field'),
        "empty id": (b'{"id": "", "text": "x"}', 'the id in "id" is empty; give it one'),
        "true as id": (b'{"id": true, "text": "x"}', 'the id in "id" is True (bool), not a string or a whole number'),
        "float as id": (b'{"id": 1.5, "text": "x"}', 'the id in "id" is 1.5 (float), not'),
        "null as id": (b'{"id": null, "text": "x"}', 'the id in "id" is null, not'),
        "list as id": (b'{"id": [1], "text": "x"}', 'the id in "id" is [1] (list), not'),
        "object as id": (b'{"id": {}, "text": "x"}', 'the id in "id" is {} (dict), not'),
    }


@pytest.mark.parametrize("problem", bad_lines())
def test_a_bad_json_line_is_named(tmp_path, problem):
    line, message = bad_lines()[problem]
    path = tmp_path / "films.jsonl"
    path.write_bytes(GOOD * 6 + line + b"\n" + GOOD)
    with pytest.raises(CorpusError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line 7: ")
    assert message in str(caught.value)
    assert caught.value.skippable == "line"
    assert caught.value.exit_code == 3


@settings(max_examples=30)
@given(lines=st.lists(st.none() | st.sampled_from(sorted(bad_lines())), min_size=1, max_size=12))
def test_skipping_counts_what_it_leaves_out_and_nothing_else(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("c") / "films.jsonl"
    path.write_bytes(GOOD + b"".join(GOOD if name is None else bad_lines()[name][0] + b"\n" for name in lines))
    tally = CorpusTally()
    documents = list(read_corpus(path, skip_bad=True, tally=tally))
    bad = [number for number, name in enumerate(lines, 2) if name]
    assert len(documents) == lines.count(None) + 1
    assert tally.skipped == len(bad)
    assert tally.first_problem.startswith(f"{path}, line {bad[0]}: " if bad else "")
    assert bool(tally.first_problem) == bool(bad)


@pytest.mark.parametrize(
    ("content", "message", "texts", "skipped"),
    [
        (b"id,text\na,one\nb\nc,three\n", "line 3: 1 columns, but the header has 2; mend the row", ["one", "three"], 1),
        (b"id,text\na,one,more\nc,three\n", "line 2: 3 columns, but the header has 2", ["three"], 1),
        (b"id,text\na,o\0e\nc,three\n", "line 2: byte 4 of the line is NUL", ["three"], 1),
        (b"id,text\na,caf\xe9\nc,three\n", "line 2: byte 6 of the line (0xe9) is not UTF-8", ["three"], 1),
        (b'id,text\na,"two\nlines \xe9"\nc,three\n', "line 3: byte 7 of the line (0xe9) is not UTF-8", ["three"], 2),
        (b'id,text\na,"said" she\nc,three\n', "line 2: broken row: ',' expected after '\"'; mend its quotes", ["three"], 1),
        (b'id,text\na,one\nb,"open\nc,three\n', "line 3: broken row: unexpected end of data", ["one"], 2),
        (b"id,text\n,one\nc,three\n", 'line 2: the id in "id" is empty', ["three"], 1),
    ],
)
def test_a_bad_csv_row_is_named_and_skipped(tmp_path, content, message, texts, skipped):
    path = tmp_path / "films.csv"
    path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        read(path)
    assert f"{path}, {message}" in str(caught.value)
    tally = CorpusTally()
    assert [document.text for document in read_corpus(path, skip_bad=True, tally=tally)] == texts
    assert tally.skipped == skipped


@pytest.mark.parametrize("name", ["c.txt", "c.jsonl", "c.csv", "c.txt.gz", "c.jsonl.xz"])
@pytest.mark.parametrize("excess", [0, 1, 40, 500])
def test_a_line_that_is_too_long_is_named_and_passed_over(tmp_path, monkeypatch, name, excess):
    monkeypatch.setattr("vecsearch.corpus.lines.LONGEST", 100)
    monkeypatch.setattr("vecsearch.corpus.lines.REST_BYTES", 30)
    start, end = {"txt": (b"", b"\n"), "jsonl": (b'{"text": "', b'"}\n'), "csv": (b"", b"\n")}[name.split(".")[1]]
    long = b"x" * (100 - len(start + end) + excess)
    content = b"text\n" * (name == "c.csv") + b"".join(start + text + end for text in (b"one", long, b"three", long))
    path, pack = tmp_path / name, {".gz": gzip.compress, ".xz": lzma.compress}.get(name[-3:], bytes)
    path.write_bytes(pack(content.removesuffix(b"\n")))
    line = 2 + (name == "c.csv")
    if not excess:
        assert [document.text for document in read(path)] == ["one", long.decode(), "three", long.decode()]
        return
    with pytest.raises(CorpusError, match=f"{name}, line {line}: longer than 100 bytes; check that it is text with one"):
        read(path)
    tally = CorpusTally()
    documents = list(read_corpus(path, skip_bad=True, tally=tally))
    # Without its newline, the last line of 101 bytes is one of 100.
    texts = ["one", "three"] + [long.decode()] * (excess == 1)
    assert [document.text for document in documents] == texts
    assert documents[1].where == f"{path}, line {line + 1}"
    assert tally.skipped == 4 - len(texts)


def test_the_longest_line_is_measured_with_its_byte_order_mark_and_a_header_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("vecsearch.corpus.lines.LONGEST", 10)
    (tmp_path / "c.txt").write_bytes(b"\xef\xbb\xbf" + b"x" * 8)
    with pytest.raises(CorpusError, match="line 1: longer than 10 bytes"):
        read(tmp_path / "c.txt")
    (tmp_path / "c.csv").write_bytes(b"text,and more\ntext,more\na,b\n")
    with pytest.raises(CorpusError, match="line 1: longer than 10 bytes"):
        read(tmp_path / "c.csv", skip_bad=True)


def test_a_long_line_in_a_cell_of_several_lines_takes_its_row_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr("vecsearch.corpus.lines.LONGEST", 10)
    (tmp_path / "c.csv").write_bytes(b'id,text\na,"x\n' + b"y" * 50 + b'\nz"\nb,two\n')
    tally = CorpusTally()
    (document,) = read_corpus(tmp_path / "c.csv", skip_bad=True, tally=tally)
    assert document.text == "two" and document.where.endswith("line 5")
    assert tally.skipped == 3 and "line 3: longer than" in tally.first_problem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,text\na,b\n", 'line 1: the column "text" is there twice; give each its own name'),
        (b"id,t\xe9xt\na,b\n", "line 1: byte 5 of the line (0xe9) is not UTF-8"),
        (b'id,"te"xt\na,b\n', "line 1: broken row"),
    ],
)
def test_a_bad_csv_header_is_never_skipped(tmp_path, content, message):
    path = tmp_path / "films.csv"
    path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        read(path, skip_bad=True)
    assert f"{path}, {message}" in str(caught.value)


@pytest.mark.parametrize("name", ["c.txt", "c.jsonl", "c.csv", "c.tsv", "c.jsonl.gz"])
@pytest.mark.parametrize("content", [b"", b"\n\r\n \n", b"\xef\xbb\xbf"])
def test_a_corpus_without_documents(tmp_path, name, content):
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(CorpusError, match="holds no documents; check that it is the file you mean"):
        read(tmp_path / name)


def test_a_corpus_of_which_everything_was_skipped_says_why(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"plot": "x"}\n' * 3)
    with pytest.raises(CorpusError, match=r'holds no documents \(the first problem: .*line 1: no field "text"'):
        read(tmp_path / "c.jsonl", skip_bad=True)


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_truncated_and_false_compression(tmp_path, suffix):
    packed = {".gz": gzip.compress, ".xz": lzma.compress}[suffix](GOOD * 1000)
    path = tmp_path / f"c.jsonl{suffix}"
    for content in (packed[: len(packed) // 2], packed[:-4], GOOD):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match=rf"cannot be read after line \d+: .*check that it is a whole \{suffix} file"):
            read(path, skip_bad=True)


def test_utf_16_is_refused_not_indexed(tmp_path):
    for encoding, message in [
        ("utf-16", "line 1: the byte-order mark is UTF-16's .*; convert the file: iconv -f UTF-16 -t UTF-8"),
        ("utf-16-le", "line 1: byte 2 of the line is NUL"),
    ]:
        (tmp_path / "c.txt").write_text("some text\n", encoding=encoding)
        with pytest.raises(CorpusError, match=message):
            read(tmp_path / "c.txt")


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(CorpusError, match=r"nowhere\.txt does not exist; check the path"):
        read(tmp_path / "nowhere.txt")
    with pytest.raises(CorpusError, match=r"is a folder of files, not a corpus of records"):
        read(tmp_path)
    for name in ("films.doc", "films", "films.gz"):
        (tmp_path / name).write_bytes(GOOD)
        with pytest.raises(
            UsageError,
            match=rf"unknown suffix of .*{name}; known are txt, jsonl, .* datasets library; say which it is with --format",
        ):
            read(tmp_path / name)
    with pytest.raises(UsageError, match="unknown format 'xml'; known are txt"):
        read(tmp_path / "films", format="xml")
    with pytest.raises(
        UsageError, match="parquet is read only from a file that is not compressed, not from standard input; save it as one"
    ):
        read("-", format="parquet")


@pytest.mark.parametrize(("suffix", "name"), [(".parquet", "Parquet"), (".h5", "HDF5")])
def test_damaged_column_files(tmp_path, suffix, name):
    path = tmp_path / f"c{suffix}"
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["text"] = ["some text"] * 1000
    else:
        pyarrow.parquet.write_table(pyarrow.table({"text": ["some text"] * 1000}), path)
    whole = path.read_bytes()
    for content in (b"", b"no such thing", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match=f"cannot be read as {name} after record 0: .*; check the file, or make it again"):
            read(path)


def test_columns_that_do_not_fit(tmp_path):
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        file["id"], file["text"] = [1, 2, 3], ["a", "b"]
    with pytest.raises(CorpusError, match=r'the dataset "id" has 3 records and "text" has 2; write all'):
        read(path)
    with h5py.File(path, "w") as file:
        file["matrix"] = [[1.0]]
    with pytest.raises(CorpusError, match="no one-dimensional dataset; put the texts into one"):
        read(path)


def test_bad_records_in_columns(tmp_path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["text"] = [b"good", b"caf\xe9", b"good"]
    pyarrow.parquet.write_table(pyarrow.table({"text": ["good", None, "good"]}), tmp_path / "c.parquet")
    problems = {"c.h5": r'byte 4 of "text" \(0xe9\) is not UTF-8', "c.parquet": 'the text in "text" is null'}
    for name, problem in problems.items():
        with pytest.raises(CorpusError, match=f"{name}, record 2: {problem}") as caught:
            read(tmp_path / name)
        assert caught.value.skippable == "record"
        assert [document.id for document in read(tmp_path / name, skip_bad=True)] == ["1", "3"]


@pytest.mark.parametrize("kind", ["reference", "region", "complex", "table of complex"])
def test_what_json_has_no_form_for_is_refused_in_hdf5_by_name(tmp_path, kind):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["text"] = ["a", "b"]
        if kind == "reference":
            file.create_dataset("odd", data=[file["text"].ref] * 2, dtype=h5py.ref_dtype)
        elif kind == "region":
            file.create_dataset("odd", data=[file["text"].regionref[:1]] * 2, dtype=h5py.regionref_dtype)
        else:
            file["odd"] = [1j, 2j] if kind == "complex" else [[1j], [2j]]
    with pytest.raises(
        CorpusError, match=r'c\.h5, record 1: "odd" is .*(eference|complex)\), or holds it; write it as a number'
    ):
        read(tmp_path / "c.h5")


@pytest.mark.parametrize("options", [{"id_field": ""}, {"text_fields": ["text", ""]}, {"format": ""}], ids=str)
def test_an_empty_name_is_refused_and_not_taken_for_none(tmp_path, options):
    (tmp_path / "c.csv").write_text("id,text\n1,a\n")
    with pytest.raises(UsageError, match=r"^(id_field|text_fields\[1\]|format) is empty; give "):
        read_corpus(tmp_path / "c.csv", **options)


def test_parquet_without_pyarrow(tmp_path):
    (tmp_path / "c.parquet").touch()
    with (
        mock.patch.dict(sys.modules, {"pyarrow.parquet": None}),
        pytest.raises(UsageError, match=r"pip install 'vecsearch\[parquet\]'"),
    ):
        read(tmp_path / "c.parquet")


def test_fields_nested_too_deeply(tmp_path):
    deep: dict = {}
    for _ in range(600):
        deep = {"a": deep}
    (tmp_path / "c.jsonl").write_text(json.dumps({"text": "x", "deep": deep}))
    with pytest.raises(
        CorpusError, match=r"line 1: (its fields are nested too deeply; flatten|JSON that cannot be used: maximum recursion)"
    ):
        read(tmp_path / "c.jsonl")


def test_the_path_is_checked_before_the_first_document_is_asked_for():
    with pytest.raises(CorpusError):
        read_corpus(Path("nowhere.txt"), tally=CorpusTally())
