"""What people have is read as they meant it: nothing is merged, turned into something else or left out in silence."""

from __future__ import annotations

import datetime
import json
import math
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.corpus.pairs import read_pairs
from vecsearch.corpus.queries import Query, read_queries
from vecsearch.corpus.readers import read_corpus
from vecsearch.corpus.source import CorpusTally
from vecsearch.corpus.values import cell_value, json_value
from vecsearch.errors import CorpusError
from vecsearch.evaluation.sets import read_retrieval, read_set


def read(path, **options):
    return list(read_corpus(path, **options))


# -- cells: what is missing, what is a number, what is a text ----------------------------------------------------------

TEXTS = ["01234", "1.10", "1e5", "1E5", "0x10", "+49", " 7", "7 ", "٣", "-0", "-0.0", "1,200", "N/A", "-", "unknown", "1_000"]
TEXTS += [
    "nan",
    "inf",
    "Infinity",
    "true",
    "None",
    "null",
    ".5",
    "5.",
    "--1",
    "00",
    "1.0e3",
    "0.00001",
    "1" * 5000,
    "１２",
    str(1 << 63),
]
NUMBERS = {"1990": 1990, "0": 0, "-7": -7, "3.5": 3.5, "0.0": 0.0, "-0.25": -0.25, "9223372036854775807": (1 << 63) - 1}


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("cell", ["", *TEXTS, *NUMBERS])
def test_a_cell_is_missing_a_number_or_the_text_that_it_is(tmp_path, suffix, separator, cell):
    path = tmp_path / f"c.{suffix}"
    written = f'"{cell}"' if separator == "," else cell
    path.write_text(f"id{separator}text{separator}x\n007{separator}12{separator}{written}\n")
    (document,) = read(path)
    assert (document.id, document.text) == ("007", "12")
    expected = {} if cell == "" else {"x": NUMBERS.get(cell, cell)}
    assert document.fields == expected and list(map(type, document.fields.values())) == list(map(type, expected.values()))


@settings(max_examples=500)
@given(st.text("0123456789-+. eE_,x٣", max_size=9) | st.integers().map(str) | st.floats().map(repr))
def test_a_cell_is_a_number_just_where_json_writes_it_so(cell):
    try:
        number = json.loads(cell)
        is_number = type(number) in (int, float) and json.dumps(number) == cell and math.isfinite(number)
    except ValueError:
        is_number = False
    is_number = is_number and "e" not in cell and cell not in ("-0", "-0.0")
    is_number = is_number and (type(number) is float or -(2**63) <= number < 2**63)
    found = cell_value(cell)
    assert found == (number if is_number else cell) and (isinstance(found, str) or str(found) == cell)


def test_json_keeps_the_types_that_it_had(tmp_path):
    fields = {"zip": "01234", "n": "7", "year": 1990, "big": 12345678901234567890123, "seen": True, "none": None, "empty": ""}
    (tmp_path / "c.jsonl").write_text(json.dumps({"id": "1", "text": "a", **fields}))
    (document,) = read(tmp_path / "c.jsonl")
    assert document.fields == fields and document.fields["seen"] is True


# -- names that are there twice ----------------------------------------------------------------------------------------


def write_parquet(path, names, *columns):
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(list(map(pyarrow.array, columns)), names=names), path)


def twice_in_parquet(folder):
    write_parquet(folder / "c.parquet", ["text", "id", "text"], ["a"], ["1"], ["b"])
    return lambda: read(folder / "c.parquet")


def twice_in_a_struct(folder):
    struct = pyarrow.StructArray.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["k", "k"])
    write_parquet(folder / "c.parquet", ["text", "x"], ["a"], struct)
    return lambda: read(folder / "c.parquet")


def file_of(folder, name, content, reader=read):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return lambda: reader(path)


def beir(folder, queries='{"_id": "q", "text": "a"}\n', qrels="q\t1\t1\n"):
    (folder / "qrels").mkdir()
    (folder / "corpus.jsonl").write_text('{"_id": "1", "text": "a"}\n')
    (folder / "queries.jsonl").write_text(queries)
    (folder / "qrels/test.tsv").write_text(qrels)
    return lambda: read_retrieval(folder)


TWICE = {
    "Parquet": (twice_in_parquet, r'c\.parquet: the column "text" is there twice'),
    "struct": (twice_in_a_struct, r'c\.parquet: the field of "x" "k" is there twice'),
    "JSON": (
        lambda f: file_of(f, "c.jsonl", '{"text": "a"}\n{"text": "b", "text": "c"}'),
        'line 2: the key "text" is there twice',
    ),
    "JSON inside": (
        lambda f: file_of(f, "c.jsonl", '{"text": "a", "x": [{"k": 1, "k": 1}]}'),
        'line 1: the key "k" is there twice',
    ),
    "CSV": (lambda f: file_of(f, "c.csv", "text,x,text\na,b,c\n"), 'line 1: the column "text" is there twice'),
    "CSV with spaces": (lambda f: file_of(f, "c.csv", "text,x ,x\na,b,c\n"), 'line 1: the column "x" is there twice'),
    "TSV": (lambda f: file_of(f, "c.tsv", "text\ttext\na\tb\n"), 'line 1: the column "text" is there twice'),
    "pairs": (
        lambda f: file_of(f, "p.jsonl", '{"a": "x", "b": "y", "b": "z"}', lambda path: list(read_pairs(path))),
        'line 1: the key "b" is there twice',
    ),
    "queries": (
        lambda f: beir(f, '{"_id": "q", "text": "a"}\n{"_id": "q", "text": "b"}\n'),
        r'queries\.jsonl, line 2: the id "q" is there already, in line 1; keep one',
    ),
    "queries by id": (
        lambda f: file_of(f, "q.csv", "id,text\n1,a\n2,b\n1,c\n", lambda path: list(read_queries(path))),
        r'q\.csv, line 4: the id "1" is there already, in line 2',
    ),
    "qrels": (
        lambda f: beir(f, qrels="q\t1\t1\nq\t1\t0\n"),
        r"test\.tsv, line 2: the grade of '1' for the query 'q' is 0, and 1 in a line before; keep one",
    ),
}


@pytest.mark.parametrize("where", TWICE)
def test_a_name_that_is_there_twice_is_refused(tmp_path, where):
    make, message = TWICE[where]
    with pytest.raises(CorpusError, match=message):
        make(tmp_path)()


def test_a_repeated_key_is_skipped_with_its_line_and_a_repeated_grade_counted(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n{"text": "b", "text": "b"}\n{"text": "c"}\n')
    tally = CorpusTally()
    assert [document.text for document in read(tmp_path / "c.jsonl", skip_bad=True, tally=tally)] == ["a", "c"]
    assert tally.skipped == 1
    found = beir(tmp_path, qrels="q\t1\t1\nq\t1\t1\n")()
    assert found.notes == ["1 lines of qrels/test.tsv are there twice, with the same grade, and count once"]


# -- rows are never merged ---------------------------------------------------------------------------------------------

QUOTES = ['"To begin', '5 " pipe', 'He said "no"', '"', '""', '"whole"', "it's", '"a\\b']


@pytest.mark.parametrize("opened", QUOTES)
@pytest.mark.parametrize("closed", QUOTES)
def test_a_tab_separated_cell_is_what_stands_between_tabs(tmp_path, opened, closed):
    texts = [opened, "second", "third", closed, "fifth"]
    corpus, pairs = tmp_path / "c.tsv", tmp_path / "p.tsv"
    corpus.write_text("id\ttext\n" + "".join(f"{n}\t{text}\n" for n, text in enumerate(texts)))
    assert [document.text for document in read(corpus)] == texts
    pairs.write_text("sentence1\tsentence2\tscore\n" + "".join(f"{text}\tx\t{n}\n" for n, text in enumerate(texts)))
    assert [pair.a for pair in read_pairs(pairs)] == texts
    assert read_set(pairs).a == texts


def test_every_command_that_reads_pairs_has_them_all(vecsearch, tmp_path, tiny_folder):
    path = tmp_path / "p.tsv"
    rows = [f'"the king {n}' if n % 2 else f'the queen {n}"' for n in range(20)]
    path.write_text("a\tb\tlabel\n" + "".join(f"{row}\tthe river {n}\t{n % 3 > 0:d}\n" for n, row in enumerate(rows)))
    encoder = tiny_folder()
    scored = vecsearch("similarity", "--pairs", path, "--encoder", encoder, "-o", tmp_path / "out.tsv")
    assert scored.code == 0 and "20 pairs scored" in scored.err
    assert [pair.a for pair in read_pairs(tmp_path / "out.tsv")] == rows
    judged = vecsearch("evaluate", path, "--encoder", encoder, "--metric", "cosine", "--json")
    assert {json.loads(line)["n"] for line in judged.out.splitlines()} == {20}
    calibrated = vecsearch("calibrate", path, "--encoder", encoder, "-o", tmp_path / "c.json")
    assert "13 matches, 7 others" in calibrated.err


def test_records_of_several_lines_are_counted_and_said(vecsearch, tmp_path, tiny_folder):
    path = tmp_path / "c.csv"
    path.write_text('id,text\n1,"the king\nof\nriver"\n2,the queen\n3,"a\nfilm"\n')
    tally = CorpusTally()
    assert len(read(path, tally=tally)) == 3 and tally.several_lines == 2
    built = vecsearch("build", path, "-o", tmp_path / "index", "--encoder", tiny_folder())
    assert built.code == 0 and "note: 2 records go over several lines" in built.err
    added = vecsearch("add", tmp_path / "index", path)
    assert "note: 2 records go over several lines" in added.err
    manifest = json.loads((tmp_path / "index/manifest-000001.json").read_text())
    assert manifest["counts"]["several_lines"] == 2


def test_a_row_with_a_tab_or_a_line_end_too_many_names_the_way_out(tmp_path):
    path = tmp_path / "c.tsv"
    path.write_text('id\ttext\n1\t"two\nlines"\n')
    with pytest.raises(CorpusError, match=r"line 3: 1 columns, but the header has 2, separated by tabs; .*give --format csv"):
        read(path)
    tally = CorpusTally()
    assert [document.text for document in read_corpus(path, format="csv", tally=tally)] == ["two\nlines"]
    assert tally.remarks() == [
        f"the columns of {path} are separated by tabs, as its header has it",
        "1 records go over several lines",
    ]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_scored_pairs_come_back_as_they_were_written(vecsearch, tmp_path, tiny_folder, suffix):
    texts = ['"the king', "a\rb", "the\tking", "two\nlines", " space", "", 'a,"b"', "07"]
    path, out = tmp_path / "p.jsonl", tmp_path / f"out.{suffix}"
    path.write_text("".join(json.dumps({"a": text, "b": "x", " n": text}) + "\n" for text in texts))
    ran = vecsearch("similarity", "--pairs", path, "--encoder", tiny_folder(), "-o", out)
    assert ran.code == 0
    kept = [text if suffix != "tsv" else text.replace("\t", " ").replace("\n", " ").replace("\r", " ") for text in texts]
    assert [pair.a for pair in read_pairs(out)] == kept
    assert ("in 6 cells of .tsv files became spaces" in ran.err) == (suffix == "tsv")


# -- other separators, line ends and spaces ----------------------------------------------------------------------------

ODD = {
    "semicolons": (b"id;text;x\n1;one, two;3\n", {"x": 3}, "are separated by semicolons"),
    "semicolons, quoted": (b'"id";"text";"x"\n"1";"one, two";"a;b"\n', {"x": "a;b"}, "are separated by semicolons"),
    "tabs": (b'id\ttext\tx\n1\t"one, two"\t3\n', {"x": 3}, "are separated by tabs"),
    "bars": (b"id|text|x\n1|one, two|3\n", {"x": 3}, "are separated by vertical bars"),
    "spaces": (b'id, text, x\n1, "one, two", 3\n', {"x": 3}, "spaces behind the separators of"),
    "spaces and quotes": (b'"id", "text", "x"\n1, "one, two", 3\n', {"x": 3}, "spaces behind the separators of"),
    "a space": (b'id,text ,x\n1,"one, two", 3\n', {"x": " 3"}, "spaces around the columns' names"),
    "old Mac": (b'id,text,x\r1,"one, two",3\r', {"x": 3}, "end in carriage returns"),
    "pandas": (b',id,text\n0,1,"one, two"\n', {"Unnamed: 0": 0}, 'has no name and is called "Unnamed: 0"'),
    "a comma too many": (b'id,text,\n1,"one, two",\n', {}, 'has no name and is called "Unnamed: 2"'),
    "half quoted": (b'"id",text,"x"\n1,"one, two",3\n', {"x": 3}, ""),
    "Windows": (b'\xef\xbb\xbfid,text,x\r\n1,"one, two",3\r\n', {"x": 3}, ""),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_csv_is_read_and_said(vecsearch, tmp_path, tiny_folder, kind):
    content, fields, remark = ODD[kind]
    path, tally = tmp_path / "c.csv", CorpusTally()
    path.write_bytes(content)
    (document,) = read(path, tally=tally)
    assert (document.id, document.text, document.fields) == ("1", "one, two", fields)
    assert remark in " ".join(tally.remarks()) and bool(tally.remarks()) == bool(remark)
    ran = vecsearch("build", path, "-o", tmp_path / "index", "--encoder", tiny_folder())
    assert ran.code == 0 and (f"note: {tally.remarks()[0]}" in ran.err if remark else "separated" not in ran.err)


REFUSED = {
    "UTF-16": (
        "c.csv",
        "id,text\n1,a\n".encode("utf-16"),
        "line 1: the byte-order mark is UTF-16's .*iconv -f UTF-16 -t UTF-8",
    ),
    "UTF-16, big end first": ("c.txt", b"\xfe\xff\0a\0\n", "line 1: the byte-order mark is UTF-16's"),
    "half a quote": ("c.csv", b'id,"te"xt\n1,a\n', "line 1: broken row: .*mend its quotes"),
    "both": ("c.csv", b"id;text;a, b\n1;a;c,d\n", 'no field "text" .*; separate all columns by the same sign'),
    "commas in .tsv": ("c.tsv", b"id,text\n1,a\n", "its columns seem to be separated by ',': give --format csv"),
    "quotes in .tsv": ("c.tsv", b'"id"\t"text"\n"1"\t"a"\n', 'no field "text" .*in double quotes give --format csv'),
    "unlike": ("c.csv", b"id;text\n1;a;b\n", "line 2: 3 columns, but the header has 2, separated by semicolons; mend the row"),
    "a carriage return": ("c.csv", b"id,text\n1,a\rb\n", "line 2: broken row: new-line .*remove the carriage return"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_odd_files_that_cannot_be_read_name_the_cause(tmp_path, kind):
    name, content, message = REFUSED[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["c.txt", "c.jsonl"])
def test_old_mac_lines_are_lines(tmp_path, name):
    lines = ["one", "two"] if name == "c.txt" else ['{"text": "one"}', '{"text": "two"}']
    (tmp_path / name).write_bytes("\r".join(lines).encode())
    tally = CorpusTally()
    assert [document.text for document in read(tmp_path / name, tally=tally)] == ["one", "two"]
    assert "carriage returns, as on old Macs" in tally.remarks()[0]


# -- every type that a column has --------------------------------------------------------------------------------------


def times(numbers, kind):
    small = pyarrow.int32() if kind in (pyarrow.date32(), pyarrow.time32("ms")) else pyarrow.int64()
    return pyarrow.array(numbers, small).cast(kind)


UTC = datetime.UTC
BERLIN = datetime.timezone(datetime.timedelta(hours=1))
COLUMNS = {
    "date32": (times([0, None, -719162], pyarrow.date32()), ["1970-01-01", None, "0001-01-01"]),
    "date64": (times([86_400_000 * 366], pyarrow.date64()), ["1971-01-02"]),
    "seconds": (times([0, 1_700_000_000], pyarrow.timestamp("s")), ["1970-01-01T00:00:00", "2023-11-14T22:13:20"]),
    "nanoseconds": (
        times([-1, 0, 1, 500_000_000], pyarrow.timestamp("ns")),
        ["1969-12-31T23:59:59.999999999", "1970-01-01T00:00:00", "1970-01-01T00:00:00.000000001", "1970-01-01T00:00:00.500000"],
    ),
    "a zone": (times([0], pyarrow.timestamp("us", "Europe/Berlin")), ["1970-01-01T00:00:00+00:00"]),
    "no such zone": (times([0], pyarrow.timestamp("us", "Mars/Base")), ["1970-01-01T00:00:00+00:00"]),
    "time32": (times([1], pyarrow.time32("ms")), ["00:00:00.001000"]),
    "time64": (times([86_399_123_456_789], pyarrow.time64("ns")), ["23:59:59.123456789"]),
    "duration": (times([10**18, -1, 1500], pyarrow.duration("ms")), [10**15, -0.001, 1.5]),
    "exact duration": (times([10**18 + 1], pyarrow.duration("ns")), ["1000000000.000000001"]),
    "decimals": (
        pyarrow.array([Decimal("1.10"), Decimal("5.00"), Decimal("123456789012345678.25"), None]),
        [1.1, 5, "123456789012345678.25", None],
    ),
    "large decimals": (pyarrow.array([Decimal("1" * 60)], pyarrow.decimal256(70, 0)), [int("1" * 60)]),
    "dictionary": (pyarrow.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    "lists of days": (pyarrow.array([[0], None, []], pyarrow.list_(pyarrow.int32())).cast(pyarrow.list_(pyarrow.date32())),
                      [["1970-01-01"], None, []]),
    "structs": (pyarrow.array([{"day": datetime.date(2024, 2, 29), "b": b"x"}, None]), [{"day": "2024-02-29", "b": "x"}, None]),
    "maps": (pyarrow.array([[("k", 1), ("k", 2)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())), [[["k", 1], ["k", 2]]]),
    "bytes": (pyarrow.array([b"abc", b"\xff", None]), ["abc", "\\xff", None]),
    "UUID": (pyarrow.array([UUID(int=5).bytes], pyarrow.uuid()), ["00000000-0000-0000-0000-000000000005"]),
    "half floats": (pyarrow.array([1.5, math.nan], pyarrow.float16()), [1.5, None]),
    "whole numbers": (pyarrow.array([2**64 - 1], pyarrow.uint64()), [2**64 - 1]),
    "booleans": (pyarrow.array([True, None]), [True, None]),
    "nothing": (pyarrow.nulls(2), [None, None]),
}  # fmt: skip


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_every_type(vecsearch, tmp_path, tiny_folder, kind):
    column, expected = COLUMNS[kind]
    path = tmp_path / "c.parquet"
    write_parquet(path, ["text", "x", "b"], ["the king"] * len(column), column, ["y"] * len(column))
    found = [document.fields["x"] for document in read(path)]
    assert found == expected and list(map(type, found)) == list(map(type, expected))
    scored = vecsearch(
        "similarity", "--pairs", path, "--columns", "text,b", "--encoder", tiny_folder(), "-o", tmp_path / "o.jsonl"
    )
    assert scored.code == 0
    assert [json.loads(line)["x"] for line in (tmp_path / "o.jsonl").read_text().splitlines()] == expected


WRONG = {
    "a late date": (times([0, 10**8, 1], pyarrow.date32()), r'"x" cannot be read: a date 100,000,000 days from 1970-01-01 is'),
    "an early time": (times([0, -(10**18), 1], pyarrow.timestamp("us")), '"x" cannot be read: a date .* outside the years'),
    "a date in a list": (
        pyarrow.array([[], [10**8], []], pyarrow.list_(pyarrow.int32())).cast(pyarrow.list_(pyarrow.date32())),
        '"x" cannot be read',
    ),
    "no UTF-8": (
        pyarrow.Array.from_buffers(pyarrow.string(), 3, pyarrow.array([b"ok", b"\xff\xfe", b"ok"]).buffers()),
        "\"x\" cannot be read: 'utf-8' codec can't decode byte 0xff",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_value_that_cannot_be_read_is_named_and_skipped(vecsearch, tmp_path, tiny_folder, kind):
    column, message = WRONG[kind]
    path = tmp_path / "c.parquet"
    write_parquet(path, ["id", "text", "x"], ["1", "2", "3"], ["the king"] * 3, column)
    with pytest.raises(CorpusError, match=rf"c\.parquet, record 2: {message}") as caught:
        read(path)
    assert caught.value.skippable == "record"
    tally = CorpusTally()
    assert [document.id for document in read(path, skip_bad=True, tally=tally)] == ["1", "3"] and tally.skipped == 1
    refused = vecsearch("build", path, "-o", tmp_path / "index", "--encoder", tiny_folder())
    assert refused.code == 3 and "--skip-bad" in refused.err
    built = vecsearch("build", path, "-o", tmp_path / "index", "--encoder", tiny_folder(), "--skip-bad", "--replace")
    assert built.code == 0 and "1 bad records were skipped" in built.err


def test_an_id_that_the_first_record_lacks_is_not_lost(vecsearch, tmp_path, tiny_folder):
    path = tmp_path / "c.jsonl"
    path.write_text('{"text": "the king"}\n{"id": "99", "text": "the queen"}\n{"_id": 7, "text": "bread"}\n')
    ran = vecsearch("build", path, "-o", tmp_path / "i", "--encoder", tiny_folder())
    assert ran.code == 3 and 'c.jsonl, line 2: it has an "id", and the first one has none' in ran.err
    assert [document.id for document in read(path, skip_bad=True)] == ["1"]
    path.write_text('{"id": "99", "text": "the queen"}\n{"text": "the king"}\n')
    with pytest.raises(CorpusError, match='line 2: no field "id"'):
        read(path)


def test_queries_in_a_file_whose_suffix_says_nothing(vecsearch, tmp_path, tiny_folder):
    """Without a suffix, as what a shell's <(command) gives, it has one a line; of an unknown kind it is refused."""
    (tmp_path / "c.txt").write_text("the king\nthe queen\n")
    assert vecsearch("build", tmp_path / "c.txt", "-o", tmp_path / "i", "--encoder", tiny_folder()).code == 0
    records = '{"_id": "q1", "text": "the king"}\n'
    for name in ("queries.json", "queries.dat", "queries"):
        (tmp_path / name).write_text(records)
        ran = vecsearch("query", tmp_path / "i", "--queries", tmp_path / name, "--json")
        if name == "queries":
            assert ran.code == 0 and json.loads(ran.out.splitlines()[0])["query"] == records.strip()
        else:
            assert ran.code == 2 and f"unknown suffix of {tmp_path / name}" in ran.err and "--format" in ran.err
        ran = vecsearch("query", tmp_path / "i", "--queries", tmp_path / name, "--format", "jsonl", "--json")
        assert ran.code == 0 and {json.loads(line)["query_id"] for line in ran.out.splitlines()} == {"q1"}


def test_texts_and_ids_of_other_types(tmp_path):
    path = tmp_path / "c.parquet"
    write_parquet(path, ["id", "text"], pyarrow.array([UUID(int=5).bytes], pyarrow.uuid()), [b"caf\xc3\xa9"])
    assert [(document.id, document.text) for document in read(path)] == [("00000000-0000-0000-0000-000000000005", "café")]
    write_parquet(path, ["id", "text"], [Decimal("12")], [b"caf\xe9"])
    with pytest.raises(CorpusError, match=r'record 1: byte 4 of "text" \(0xe9\) is not UTF-8'):
        read(path)
    write_parquet(path, ["id", "text"], [Decimal("12"), Decimal("13")], [None, "a"])
    with pytest.raises(CorpusError, match='record 1: the text in "text" is null'):
        read(path)
    assert [document.id for document in read(path, skip_bad=True)] == ["13"]


def test_old_timestamps_do_not_begin_again(tmp_path):
    table = pyarrow.table({"text": ["a"], "x": pyarrow.array([datetime.datetime(9999, 12, 31)], pyarrow.timestamp("us"))})
    pyarrow.parquet.write_table(table, tmp_path / "c.parquet", use_deprecated_int96_timestamps=True)
    assert read(tmp_path / "c.parquet")[0].fields == {"x": "9999-12-31T00:00:00"}


def test_times_in_hdf5(tmp_path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["text"] = ["a", "b"]
        when = np.array(["2024-02-29T01:02:03", "NaT"], "datetime64[ns]")
        file.create_dataset("when", data=when.astype(h5py.opaque_dtype(when.dtype)))
        file["seen"] = [True, False]
    assert [document.fields for document in read(tmp_path / "c.h5")] == [
        {"when": "2024-02-29T01:02:03.000000000", "seen": True},
        {"when": None, "seen": False},
    ]


@pytest.mark.parametrize(
    "error", [OverflowError("too large"), KeyError("x"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")]
)
def test_whatever_a_library_raises_names_the_file(tmp_path, monkeypatch, error):
    def batches(*_, **__):
        raise error

    write_parquet(tmp_path / "c.parquet", ["text"], ["a"])
    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", batches)
    with pytest.raises(CorpusError, match=r"c\.parquet cannot be read as Parquet after record 0: .*; check the file"):
        read(tmp_path / "c.parquet")


VALUES = [
    (np.float32(1.5), 1.5),
    (np.int64(7), 7),
    (np.bool_(True), True),
    (np.str_("a"), "a"),
    (np.longdouble(0.5), 0.5),
    (np.float64("nan"), None),
    (np.datetime64("2024-02-29"), "2024-02-29"),
    (np.datetime64("NaT"), None),
    (np.timedelta64(90, "m"), 5400),
    (np.timedelta64(2, "W"), 1209600),
    (np.timedelta64(10**9, "ns"), 1),
    (np.timedelta64(3, "25s"), 75),
    (np.timedelta64(5, "ps"), 5e-12),
    (np.timedelta64("NaT"), None),
    (np.array([[1, 2]]), [[1, 2]]),
    (datetime.date(2024, 2, 29), "2024-02-29"),
    (datetime.datetime(2024, 2, 29, 1, tzinfo=BERLIN), "2024-02-29T00:00:00+00:00"),
    (datetime.time(1, 2, 3), "01:02:03"),
    (datetime.timedelta(days=-1, microseconds=1), -86399.999999),
    (Decimal("1.10"), 1.1),
    (Decimal("1E+3"), 1000),
    (Decimal("0.1000000000000000000001"), "0.1000000000000000000001"),
    (Decimal("NaN"), None),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (b"a\xff", "a\\xff"),
    ({"k": {2, 1}}, {"k": [1, 2]}),
    ((1, math.inf), [1, None]),
    (10**30, 10**30),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=str)
def test_a_value_is_json_s(value, expected):
    found = json_value(value)
    assert found == expected and type(found) is type(expected)
    json.dumps(found, allow_nan=False)


NO_JSON = [
    (SimpleNamespace(), TypeError, r"is namespace\(\) \(SimpleNamespace\), or holds it"),
    ([1j], TypeError, r"is 1j \(complex\), or holds it"),
    ({"k": np.complex64(1)}, TypeError, "or holds it"),
    ({(1, 2): 3}, TypeError, r"has the key \(1, 2\)"),
    (np.timedelta64(2, "Y"), ValueError, "2 years is a duration of no fixed length"),
    (np.timedelta64(2, "M"), ValueError, "2 months is a duration of no fixed length"),
    (np.timedelta64(2), ValueError, "is a duration of no fixed length"),
    (np.datetime64("10000-01-01"), ValueError, "the date 10000-01-01 is outside the years 1 to 9999"),
    (np.datetime64("-0001-01-01"), ValueError, "the date -001-01-01 is outside the years 1 to 9999"),
    (datetime.datetime(1, 1, 1, tzinfo=BERLIN), ValueError, "in UTC is outside the years 1 to 9999"),
    (["\ud800"], ValueError, r"holds half of a surrogate pair, '\\ud800', as character 1"),
    (10**4300, ValueError, "a whole number of about 4,300 digits is too long"),
    (Decimal("9" * 4302), ValueError, "a whole number of about 4,302 digits is too long"),
]


@pytest.mark.parametrize(("value", "error", "said"), NO_JSON, ids=range(len(NO_JSON)))
def test_what_json_has_no_form_for_is_refused(value, error, said):
    with pytest.raises(error, match=said):
        json_value(value)


def test_nanoseconds_of_pandas_are_kept():
    pandas = pytest.importorskip("pandas")
    assert json_value(pandas.Timedelta("1s") + pandas.Timedelta(5, "ns")) == 1.000000005
    assert json_value(pandas.Timedelta(-1, "ns")) == -1e-09
    assert json_value(pandas.NaT) is None
    when = pandas.Timestamp("2020-01-01T00:00:00.123456789")
    assert json_value(when) == "2020-01-01T00:00:00.123456789"
    assert json_value(when.tz_localize("Europe/Berlin")) == "2019-12-31T23:00:00.123456789+00:00"
    with pytest.raises(ValueError, match="the date 20000-01-01T00:00:00 is outside the years 1 to 9999"):
        json_value(pandas.Timestamp(np.datetime64("20000-01-01", "s")))


@settings(max_examples=200)
@given(st.lists(st.datetimes(timezones=st.sampled_from([UTC, BERLIN])), min_size=2, max_size=2))
def test_times_sort_as_their_texts(pair):
    try:
        texts = [json_value(when) for when in pair]
    except ValueError:
        return  # before the year 1 in UTC
    assert (texts[0] < texts[1]) == (pair[0] < pair[1])


@settings(max_examples=200)
@given(st.lists(st.integers(-(10**18), 10**18), min_size=2, max_size=2), st.booleans())
def test_nanoseconds_sort_as_their_texts(ticks, has_zone):
    from vecsearch.corpus.values import timestamp_text

    texts = [timestamp_text(its, "ns", utc=has_zone) for its in ticks]
    assert (texts[0] < texts[1]) == (ticks[0] < ticks[1])


# -- files of queries --------------------------------------------------------------------------------------------------

QUERIES = {
    "q.jsonl": ('{"_id": "q1", "text": "the king"}\n{"_id": "q2", "text": "a river"}\n', ["q1", "q2"]),
    "q.csv": ("id,query\n01,the king\n02,a river\n", ["01", "02"]),
    "q.tsv": ("id\tquestion\n01\tthe king\n02\ta river\n", ["01", "02"]),
    "plain.jsonl": ('{"text": "the king"}\n{"text": "a river"}\n', [None, None]),
    "q.txt": ("the king\na river\n", [None, None]),
    "questions": ("the king\na river\n", [None, None]),
    "beir/queries.jsonl": ('{"_id": "q1", "text": "the king"}\n{"_id": "q2", "text": "a river"}\n', ["q1", "q2"]),
}


@pytest.mark.parametrize("name", QUERIES)
def test_queries_are_read_as_a_corpus_is(vecsearch, tmp_path, tiny_folder, name):
    content, ids = QUERIES[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    path = path.parent if name.startswith("beir") else path
    assert list(read_queries(path)) == [Query("the king", ids[0]), Query("a river", ids[1])]
    corpus, index = tmp_path / "c.txt", tmp_path / "index"
    corpus.write_text("".join(f"the king of river {n}\n" for n in range(3)))
    assert vecsearch("build", corpus, "-o", index, "--encoder", tiny_folder()).code == 0
    rows = [json.loads(line) for line in vecsearch("query", index, "--queries", path, "-k", 1).out.splitlines()]
    assert [(row["query"], row.get("query_id")) for row in rows] == list(zip(["the king", "a river"], ids, strict=True))
    table = vecsearch("query", index, "--queries", path, "-k", 1, "--table").out
    assert [line for line in table.splitlines() if line.startswith("query")] == [
        f"query{f' {id}' if id else ''}: {text}" for id, text in zip(ids, ["the king", "a river"], strict=True)
    ]


def test_a_recall_is_measured_with_the_texts_of_a_file_of_queries(vecsearch, tmp_path, tiny_folder):
    texts = [
        f"{a} {b} {c}" for a in ("king", "queen", "river") for b in ("of", "the", "he") for c in ("bank", "city", "war")
    ] * 9
    (tmp_path / "c.txt").write_text("\n".join(f"{text} {n}" for n, text in enumerate(texts)))
    (tmp_path / "q.txt").write_text("\n".join(texts[:90]))
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(texts[:90])))
    common = ["build", tmp_path / "c.txt", "--encoder", tiny_folder(), "--spec", "HNSW8"]
    for name in ("q.txt", "q.jsonl"):
        assert vecsearch(*common, "-o", tmp_path / name[2:], "--queries", tmp_path / name).code == 0
    recalls = [json.loads(vecsearch("info", tmp_path / name, "--json").out)["recall"] for name in ("txt", "jsonl")]
    assert recalls[0] == recalls[1] and recalls[0]
    assert vecsearch("rebuild", tmp_path / "txt", "--spec", "HNSW4", "--queries", tmp_path / "q.jsonl").code == 0


def test_parquet_queries_and_what_is_wrong_with_queries(vecsearch, tmp_path):
    write_parquet(tmp_path / "q.parquet", ["id", "text"], [7, 8], ["a", "b"])
    assert list(read_queries(tmp_path / "q.parquet")) == [Query("a", "7"), Query("b", "8")]
    for name, content, message in [
        (
            "q.jsonl",
            '{"id": 1, "body": "x"}',
            'line 1: a query needs "id" and "text"; there are: id, body; name its columns so',
        ),
        ("q.csv", "what is it\n", "holds no queries; check"),
        ("q.txt", "\n", "holds no queries; check"),
    ]:
        (tmp_path / name).write_text(content)
        with pytest.raises(CorpusError, match=message):
            list(read_queries(tmp_path / name))
    with pytest.raises(CorpusError, match=r"has no queries\.jsonl"):
        list(read_queries(tmp_path))
