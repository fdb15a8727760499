"""What conditions mean: the same as a plain Python reading of them, over any fields; no text is a number, no name another."""

import csv
import json
import sqlite3
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from faults import FULL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_builds import QUICK_DISK

from vecsearch.corpus.document import Document
from vecsearch.corpus.readers import read_corpus
from vecsearch.errors import UsageError
from vecsearch.index.index import Index
from vecsearch.store import fields, filters

TABLES = 1000 if FULL else 25
CONDITIONS_EACH = 20


def holding(folder, *fields):
    """An index of documents d0, d1 … with these fields."""
    documents = [Document(f"d{i}", f"text {i}", some) for i, some in enumerate(fields)]
    return Index.build(folder, documents, vectors=[np.ones((len(documents), 2), np.float32)])


@contextmanager
def briefly(*fields):
    """`holding`, on a quick disk, and gone afterwards."""
    with tempfile.TemporaryDirectory(dir=QUICK_DISK) as folder, holding(Path(folder) / "index", *fields) as opened:
        yield opened


def met(opened, where):
    """Ids of the documents that meet a condition."""
    rows = opened.search(np.ones((1, 2)), max(1, len(opened)), where=where).rows[0]
    return sorted(document.id for document in opened.documents(rows.tolist()))


# -- conditions, each as SQL and as what Python makes of it --------------------------------------------------------------


def number_of(value):
    """The value where it is a number, and None, a missing one, where it is a text."""
    return value if isinstance(value, int | float) else None


def text_of(value):
    """The text that a value is written as."""
    if value is None or isinstance(value, str):
        return value
    return str(int(value)) if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)


def both(value):
    return value


COMPARE = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def compared(operator, a, b, reading):
    """True, False, or None, as SQL has it."""
    a, b = reading(a), reading(b)
    if a is None or b is None or isinstance(a, str) != isinstance(b, str):
        return None
    return COMPARE[operator](a, b)


def reading_of(literal):
    return text_of if isinstance(literal, str) else number_of


def negated(truth):
    return None if truth is None else not truth


def all_of(truths):
    return False if False in truths else None if None in truths else True


def any_of(truths):
    return negated(all_of([negated(truth) for truth in truths]))


def like(value, pattern):
    """SQL's LIKE: % is anything, _ a character, and a to z are A to Z."""
    if value is None:
        return None
    if not pattern:
        return not value
    if pattern[0] == "%":
        return any(like(value[start:], pattern[1:]) for start in range(len(value) + 1))
    same = bool(value) and (pattern[0] == "_" or folded(value[0]) == folded(pattern[0]))
    return same and like(value[1:], pattern[1:])


def folded(letter):
    return letter.lower() if letter.isascii() else letter


def sql_of(literal):
    if isinstance(literal, bool):
        return str(literal).lower()
    return "'" + literal.replace("'", "''") + "'" if isinstance(literal, str) else repr(literal)


def sql_name(name):
    return '"' + name.replace('"', '""') + '"'


NAMES = (
    "year",
    "zip",
    "a b",
    "order",
    'quo"ted',
    "it's",
    "x]y",
    "Naïve",
    "oid",
    "rowid",
    "_rowid_",
    "number",
    "NULL",
    "",
    "c0",
    "d",
)
CODES = (
    "01234",
    "1234",
    "1.10",
    "12345678901234567890",
    "1e5",
    "0x10",
    "+49",
    " 7",
    "7",
    "٣",
    "-0",
    "N/A",
    "unknown",
    "-",
    "1,200",
    "",
)
BIG = (12345678901234567890, 12345678901234567891, -(10**30), (1 << 63) - 1, 1 << 63, -(1 << 63))
PLAIN = st.one_of(
    st.integers(-3, 9),
    st.sampled_from(BIG),
    st.sampled_from((0.5, -1.25, 1.1, 1e300)),
    st.sampled_from(CODES),
    st.text("ab7'%_é", max_size=3),
)
LITERALS = st.one_of(PLAIN, st.booleans())
VALUES = st.one_of(st.none(), LITERALS, st.lists(st.integers(0, 3), max_size=2))
TABLE = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5), min_size=1, max_size=8)
OPERATORS = st.sampled_from(sorted(COMPARE))


def stored(value):
    """A field's value as a condition sees it: lists are JSON."""
    return json.dumps(value) if isinstance(value, list) else value


def with_literal(name, operator, literal, turned):
    reading = reading_of(literal)
    sql = [sql_name(name), operator, sql_of(literal)]
    if turned:
        return " ".join(reversed(sql)), lambda row: compared(operator, literal, row[name], reading)
    return " ".join(sql), lambda row: compared(operator, row[name], literal, reading)


def with_field(name, operator, other):
    return f"{sql_name(name)} {operator} {sql_name(other)}", lambda row: compared(operator, row[name], row[other], both)


def between(name, low, high, inverse):
    def test(row):
        ends = compared(">=", row[name], low, reading_of(low)), compared("<=", row[name], high, reading_of(high))
        return negated(all_of(ends)) if inverse else all_of(ends)

    return f"{sql_name(name)} {'not ' * inverse}between {sql_of(low)} and {sql_of(high)}", test


def among(name, literals, inverse):
    def test(row):
        found = any_of([compared("=", row[name], literal, reading_of(literal)) for literal in literals])
        return negated(found) if inverse else found

    return f"{sql_name(name)} {'not ' * inverse}in ({', '.join(map(sql_of, literals))})", test


def is_literal(name, literal, inverse):
    reading = reading_of(literal)
    same = lambda row: reading(row[name]) == literal and reading(row[name]) is not None  # noqa: E731
    return f"{sql_name(name)} is {'not ' * inverse}{sql_of(literal)}", lambda row: same(row) != inverse


def is_null(name, inverse):
    return f"{sql_name(name)} is {'not ' * inverse}null", lambda row: (row[name] is None) != inverse


def alike(name, pattern):
    return f"{sql_name(name)} like {sql_of(pattern)}", lambda row: like(text_of(row[name]), pattern)


def added(name, operator, literal):
    def test(row):
        number = number_of(row[name])
        return None if number is None else compared(operator, number + 1, literal, number_of)

    return f"{sql_name(name)} + 1 {operator} {literal}", test


def either_of(name, literal, operator):
    return (
        f"coalesce({sql_name(name)}, {literal}) {operator} {literal}",
        lambda row: compared(operator, literal if row[name] is None else row[name], literal, number_of),
    )


def extreme(function, name, bound, operator, literal):
    def test(row):
        number = number_of(row[name])
        return None if number is None else compared(operator, function(number, bound), literal, number_of)

    return f"{function.__name__}({sql_name(name)}, {bound}) {operator} {literal}", test


def extreme_of_two(function, name, other, operator, literal):
    def test(row):
        a, b = row[name], row[other]
        if a is None or b is None or isinstance(a, str) != isinstance(b, str):
            return None
        return compared(operator, function(a, b), literal, reading_of(literal))

    return f"{function.__name__}({sql_name(name)}, {sql_name(other)}) {operator} {sql_of(literal)}", test


def passed_through(name, other, operator, literal):
    """The second field where the first is 1, and otherwise what is not 0 of the first."""

    def test(row):
        one = compared("=", row[name], 1, number_of)
        zero = compared("=", row[name], 0, number_of)
        return compared(operator, row[other] if one else None if zero else row[name], literal, reading_of(literal))

    first, second = sql_name(name), sql_name(other)
    return f"iif({first} = 1, {second}, nullif({first}, 0)) {operator} {sql_of(literal)}", test


def as_integer(name, operator, literal):
    """A text is read as a decimal number where the condition asks for that; 64 bits hold the rest."""

    def test(row):
        value = row[name]
        if isinstance(value, str):
            value = decimal_of(value)
        if isinstance(value, float):
            value = max(-(1 << 63), min((1 << 63) - 1, int(value)))
        return compared(operator, value, literal, number_of)

    return f"cast({sql_name(name)} as integer) {operator} {literal}", test


def decimal_of(text):
    """The number that Python reads, but for what only Python writes so; an integer beyond 64 bits is a float."""
    if not text.isascii() or set(text.lower()) & {*"_abcdfghijklmnopqrstuvwxyz"}:
        return None
    try:
        return int(text) if -(1 << 63) <= int(text) < 1 << 63 else float(text)
    except ValueError:
        try:
            return float(text) if np.isfinite(float(text)) else None
        except ValueError:
            return None


def lower(name, literal):
    return f"lower({sql_name(name)}) = {sql_of(literal)}", lambda row: compared(
        "=", None if row[name] is None else "".join(map(folded, text_of(row[name]))), literal, text_of
    )


def cased(name, literal, operator, other):
    def test(row):
        chosen = row[other] if compared("=", row[name], literal, reading_of(literal)) else None
        return compared(operator, chosen, 1, number_of)

    return f"case {sql_name(name)} when {sql_of(literal)} then {sql_name(other)} end {operator} 1", test


def truth(name):
    def test(row):
        number = number_of(row[name])
        return None if number is None else number != 0

    return sql_name(name), test


NAME = st.sampled_from(NAMES)
SMALL = st.integers(-3, 9)
NUMBERS = st.one_of(SMALL, st.sampled_from(BIG))
ATOMS = st.one_of(
    st.builds(with_literal, NAME, OPERATORS, LITERALS, st.booleans()),
    st.builds(with_literal, NAME, OPERATORS, LITERALS, st.booleans()),
    st.builds(with_field, NAME, OPERATORS, NAME),
    st.builds(between, NAME, LITERALS, LITERALS, st.booleans()),
    st.builds(among, NAME, st.lists(LITERALS, min_size=1, max_size=4), st.booleans()),
    st.builds(is_literal, NAME, PLAIN, st.booleans()),
    st.builds(is_null, NAME, st.booleans()),
    st.builds(alike, NAME, st.text("017%_ab'", max_size=4)),
    st.builds(lower, NAME, st.text("ab7é", max_size=2)),
    st.builds(added, NAME, OPERATORS, SMALL),
    st.builds(either_of, NAME, NUMBERS, OPERATORS),
    st.builds(cased, NAME, LITERALS, OPERATORS, NAME),
    st.builds(truth, NAME),
    st.builds(extreme, st.sampled_from((min, max)), NAME, NUMBERS, OPERATORS, NUMBERS),
    st.builds(extreme_of_two, st.sampled_from((min, max)), NAME, NAME, OPERATORS, PLAIN),
    st.builds(passed_through, NAME, NAME, OPERATORS, PLAIN),
    st.builds(as_integer, NAME, OPERATORS, NUMBERS),
)


def joined(keyword, combine, parts):
    return f" {keyword} ".join(f"({sql})" for sql, _ in parts), lambda row: combine([test(row) for _, test in parts])


CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(joined, st.just("and"), st.just(all_of), st.lists(inner, min_size=2, max_size=3)),
        st.builds(joined, st.just("OR"), st.just(any_of), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda part: (f"not ({part[0]})", lambda row: negated(part[1](row))), inner),
    ),
    max_leaves=4,
)
# Python adds 1 to a float as SQLite does, but to an integer of any length exactly, where SQLite rounds.
MOST_ADDED = 1 << 62


def exactly(rows, condition):
    """Whether Python and SQLite compute with the same numbers: sums beyond 64 bits are rounded by SQLite."""
    large = any(isinstance(value, int) and abs(value) >= MOST_ADDED for row in rows for value in row.values())
    return not (large and "+ 1" in condition)


@contextmanager
def indexed(share):
    """Give the columns of any number of documents an index, used for what one document of `share` meets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "INDEXED_FROM", 1)
        patch.setattr(fields, "LEAST_VALUES", 1)
        patch.setattr(filters, "FEW", share)
        yield


@pytest.mark.parametrize("by_indexes", [False, True])
@settings(max_examples=TABLES, suppress_health_check=list(HealthCheck))
@given(TABLE, st.lists(CONDITIONS, min_size=CONDITIONS_EACH, max_size=CONDITIONS_EACH), st.data())
def test_conditions_are_those_of_python(by_indexes, table, conditions, data):
    with indexed(1) if by_indexes else nullcontext():
        _compare(table, conditions, data)


def _compare(table, conditions, data):
    # A name that no document has is refused: each stands in one of them.
    rows = [*({name: stored(value) for name, value in row.items()} for row in table), {}]
    cut = data.draw(st.integers(1, len(table)))
    with briefly(*table[:cut]) as opened:
        documents = [Document(f"d{i}", "", row) for i, row in enumerate(table[cut:], cut)]
        documents.append(Document(f"d{len(table)}", "", dict.fromkeys(NAMES)))
        opened.add(documents, vectors=[np.ones((len(documents), 2), np.float32)])
        for where, test in conditions:
            if exactly(rows, where):
                expected = [f"d{i}" for i, row in enumerate(rows) if test(dict.fromkeys(NAMES) | row)]
                assert met(opened, where) == sorted(expected), where


OF_ONE_KIND = st.fixed_dictionaries(
    {
        "n": st.one_of(st.none(), st.integers(-5, 20)),
        "x": st.one_of(st.none(), st.floats(-2, 2, width=16), st.integers(-2, 2)),
        "t": st.one_of(st.none(), st.text("abAB1é'", max_size=2)),
    }
)
ONES = st.one_of(
    st.tuples(st.sampled_from(["n", "x"]), st.one_of(st.integers(-5, 20), st.floats(-2, 2, width=16))),
    st.tuples(st.just("t"), st.text("abAB1é'", max_size=2)),
)
OF_ONE = st.one_of(
    st.builds(lambda one, operator, turned: with_literal(one[0], operator, one[1], turned), ONES, OPERATORS, st.booleans()),
    st.builds(lambda one, high, inverse: between(one[0], one[1], high[1], inverse), ONES, ONES, st.booleans()),
    st.builds(lambda one, more, inverse: among(one[0], [one[1], *more], inverse), ONES, st.lists(LITERALS), st.booleans()),
    st.builds(lambda one, inverse: is_null(one[0], inverse), ONES, st.booleans()),
    st.builds(lambda one, inverse: is_literal(*one, inverse), ONES, st.booleans()),
)


@settings(max_examples=TABLES, suppress_health_check=list(HealthCheck))
@given(
    st.lists(OF_ONE_KIND, min_size=30, max_size=60),
    st.lists(st.lists(OF_ONE, min_size=1, max_size=4), min_size=CONDITIONS_EACH, max_size=CONDITIONS_EACH),
    st.sampled_from([1, 4, 10]),
)
def test_an_index_of_a_column_finds_what_python_does(table, conditions, share):
    with indexed(share), briefly(*table, {"n": 0, "x": 0.5, "t": "c"}) as opened:
        for parts in conditions:
            where, test = joined("and", all_of, parts)
            expected = [f"d{i}" for i, row in enumerate([*table, {"n": 0, "x": 0.5, "t": "c"}]) if test(row)]
            assert met(opened, where) == sorted(expected), where


def test_columns_of_many_documents_have_an_index_where_it_may_leave_few(tmp_path, monkeypatch):
    monkeypatch.setattr(fields, "INDEXED_FROM", 100)
    made = [
        {
            "n": n,
            "few": n % 3,
            "flag": n % 2 == 0,
            "long": f"{n}" * 100,
            "list": [n],
            "word": f"w{n}",
            **({"rare": n} if n % 5 else {}),
        }
        for n in range(100)
    ]
    for count, expected in ((100, {"n", "word", "rare"}), (99, set())):
        with holding(tmp_path / str(count), *made[:count]) as opened:
            assert opened.count("n = 7 and word = 'w7' and few = 1 and length(text) > 2") == 1
            assert opened.count("rare >= 20 and rare < 25 and list is not null") == 4
            (path,) = opened.folder.glob("segments/*/documents.sqlite")
        with sqlite3.connect(path) as db:
            columns = {f"c{place}": name for name, place in db.execute("SELECT name, place FROM field_names")}
            found = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE name GLOB 'field_values_*'")}
        assert {columns[name.removeprefix("field_values_")] for name in found} == expected
        assert Index.verify(tmp_path / str(count)).problems == []


def test_segments_with_and_without_indexes_answer_alike(tmp_path):
    made = [{"n": n, "t": f"t{n % 50}"} for n in range(200)]
    with holding(tmp_path / "plain", *made) as plain, indexed(32), holding(tmp_path / "indexed", *made) as having:
        for where in (
            "n > 3",
            "n >= 195",
            "t = 't7' and n > 3",
            "t = 't7' or n = 1",
            "not n > 3",
            "n = 5 and document.id = 'd5'",
            "n = 5 and (n = 3 or text = 'text 5')",
            "(n >= 60 and (n < 61)) and t like 'T%' and t is not null",
        ):
            assert met(plain, where) == met(having, where) != []


def cell_of(cell):
    """A cell as README has it, by other means than the reader's: what JSON reads as that number, and writes again so."""
    try:
        value = json.loads(cell)
    except ValueError:
        return cell or None
    number = isinstance(value, float) or (type(value) is int and -(2**63) <= value < 2**63)
    return value if number and str(value) == cell and "e" not in cell and cell not in ("-0.0", "-0") else cell


CELLS = st.one_of(
    st.sampled_from(CODES),
    st.integers(-9, 2030).map(str),
    st.floats(-5, 5).map(str),
    st.text("0123456789.-+eE ,x", max_size=5),
    st.sampled_from(["NaN", "Infinity", "true", "null", "1990", "2001.5", "100000000000000000000000"]),
)


@settings(max_examples=TABLES, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), st.lists(CONDITIONS, min_size=10, max_size=10))
def test_a_file_of_cells_is_read_as_python_reads_it(cells, conditions):
    with tempfile.TemporaryDirectory(dir=QUICK_DISK) as folder:
        path = Path(folder) / "table.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["text", "year", "zip"], *(("some", *row) for row in cells)])
        documents = list(read_corpus(path))
        fields = [{name: cell_of(cell) for name, cell in zip(("year", "zip"), row, strict=True)} for row in cells]
        assert [document.fields for document in documents] == [
            {name: value for name, value in row.items() if value is not None} for row in fields
        ]
        documents.append(Document("all", "", dict.fromkeys(NAMES)))
        vectors = [np.ones((len(documents), 2), np.float32)]
        with Index.build(Path(folder) / "index", documents, vectors=vectors) as opened:
            for where, test in conditions:
                rows = [dict.fromkeys(NAMES) | row for row in fields]
                if exactly(rows, where):
                    expected = [
                        document.id for document, row in zip(documents, [*rows, dict.fromkeys(NAMES)], strict=True) if test(row)
                    ]
                    assert met(opened, where) == sorted(expected), where


# -- numbers and texts ---------------------------------------------------------------------------------------------------

MIXED = ("1994", "845", "", "unknown", "N/A", "-", "1,200", "2001")


@pytest.fixture(scope="module")
def years(tmp_path_factory):
    folder = tmp_path_factory.mktemp("years")
    path = folder / "years.csv"
    path.write_text("id,text,year\n" + "".join(f'y{i},some,"{cell}"\n' for i, cell in enumerate(MIXED)))
    documents = list(read_corpus(path))
    with Index.build(folder / "index", documents, vectors=[np.ones((len(MIXED), 2), np.float32)]) as opened:
        yield opened


@pytest.mark.parametrize(
    ("where", "cells"),
    [
        ("year > 1990", ["1994", "2001"]),
        ("year < 1990", ["845"]),
        ("not (year > 1990)", ["845"]),
        ("year between 800 and 1995", ["1994", "845"]),
        ("year <> 845", ["1994", "2001"]),
        ("year - 1990 > -5", ["1994", "2001"]),
        ("abs(year) < 900", ["845"]),
        ("round(year) in (845, 1994)", ["1994", "845"]),
        ("-year < -1990", ["1994", "2001"]),
        ("1990 < year", ["1994", "2001"]),
        ("year", ["1994", "845", "2001"]),
        ("year > '1990' and year < '2000'", ["1994"]),
        ("year is null", [""]),
        ("year is not null", [cell for cell in MIXED if cell]),
        ("year = 'unknown'", ["unknown"]),
        ("year = '1994'", ["1994"]),
        ("year = '1,200'", ["1,200"]),
        ("typeof(year) = 'text'", ["unknown", "N/A", "-", "1,200"]),
        ("id >= 'y7'", ["2001"]),
    ],
)
def test_a_number_is_never_compared_with_a_text(years, where, cells):
    assert met(years, where) == sorted(f"y{MIXED.index(cell)}" for cell in cells)


def test_what_is_passed_over_is_said(years):
    assert years.remarks("year > 1990") == [
        "4 documents have a text as 'year', which the condition reads as a number: they count as if they had none"
    ]
    assert years.remarks("year = 'unknown'") == years.remarks("year is null") == years.remarks("id = 'y1'") == []


@pytest.mark.parametrize(
    "where",
    [
        "min(year, 3000) > 1990",
        "max(0, year) > 1990",
        "coalesce(year, 0) > 1990",
        "iif(true, year, 0) > 1990",
        "cast(year as integer) > 1990",
        "case when true then year end > 1990",
        "abs(year) > 1990",
        "-year < -1990",
    ],
)
def test_what_is_made_of_a_field_passes_over_its_texts_and_says_so(years, where):
    assert met(years, where) == met(years, "year > 1990") != []
    assert years.remarks(where) == years.remarks("year > 1990")


def test_an_id_is_a_number_only_where_it_is_written_as_a_whole_one(tmp_path):
    ids = ["1", "1.0", "01", " 1", "one", "12345678901234567890"]
    documents = [Document(id, "") for id in ids]
    with Index.build(tmp_path / "i", documents, vectors=[np.ones((len(ids), 2), np.float32)]) as opened:
        assert met(opened, "id = 1") == met(opened, "id in (1, 2)") == met(opened, "id = '1'") == ["1"]
        assert met(opened, "id > 0") == ["1"]
        [remark] = opened.remarks("id > 0")
        assert remark.startswith("5 documents have a text as 'id', which the condition reads as a number")
        assert opened.remarks("id like '1%'") == []
        assert opened.delete(where="id = 1") == 1


@pytest.mark.parametrize(
    "kept",
    [
        "coalesce(big, 0)",
        "ifnull(big, 0)",
        "nullif(big, 0)",
        "iif(true, big, 0)",
        "case when true then big end",
        "max(big, 0)",
        "min(big, big)",
        "cast(big as integer)",
        "max(big, word)",
    ],
)
def test_what_passes_an_integer_on_keeps_its_digits(tmp_path, kept):
    big = 12345678901234567890
    fields = [{"big": big + 1, "word": 5}, {"big": big, "word": 5}]
    with holding(tmp_path / "i", *fields) as opened:
        assert met(opened, f"{kept} = {big}") == ["d1"]
        assert met(opened, f"{kept} > {big}") == ["d0"]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("5 in (select value from json_each(l))", ["d0"]),
        ("exists (select 1 from json_tree(l) where value = 5)", ["d0"]),
        ("json_extract(l, '$[0]') = 5", ["d0"]),
        ("l ->> 0 = 5", ["d0"]),
        ("json_array_length(l) = 1", ["d0"]),
        ("json_type(l) = 'array'", ["d0"]),
        ("json_valid(l)", ["d0"]),
    ],
)
def test_a_text_that_is_no_json_stops_no_others(tmp_path, where, ids):
    with holding(tmp_path / "i", {"l": [5]}, {"l": "[5"}, {"l": "words"}, {}) as opened:
        assert met(opened, where) == ids
        said = "2 documents have a text as 'l', which the condition reads as JSON: they count as if they had none"
        assert opened.remarks(where) == ([] if "valid" in where else [said])


def test_an_empty_index_answers_any_condition(tmp_path):
    with holding(tmp_path / "i", {"year": 1990}) as opened:
        opened.delete(["d0"])
        opened.compact()
        assert met(opened, "year > 1980 or nothing = 1") == [] and opened.delete(where="year > 0") == 0


def test_the_least_integer_of_64_bits_stops_no_others(tmp_path):
    with holding(tmp_path / "i", {"n": -(1 << 63)}, {"n": -5}) as opened:
        assert met(opened, "abs(n) > 5") == ["d0"] and met(opened, f"abs(n) = {1 << 63}") == ["d0"]


@pytest.mark.parametrize(
    "code", ["01234", "1.10", "12345678901234567890", "1e5", "0x10", "+49", " 7", "٣", "-0", "1_000", "1e400"]
)
def test_a_text_is_never_turned_into_a_number(tmp_path, code):
    """Whether it comes from JSON or from a cell: it is found as it is written, and by no number or other spelling of one."""
    others = {"12345678901234567890": 12345678901234567891, "1e5": 100000, "0x10": 16, "1_000": 1000, "1e400": 0}
    number = others.get(code, float(code) if code not in others else 0)
    with (tmp_path / "codes.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "text", "code"], ["same", "some", code], ["other", "some", number]])
    from_cells = list(read_corpus(tmp_path / "codes.csv"))
    assert from_cells[0].fields == {"code": code}
    (tmp_path / "codes.jsonl").write_text(json.dumps({"id": "same", "text": "", "code": code}) + "\n")
    from_json = [*read_corpus(tmp_path / "codes.jsonl"), Document("other", "", {"code": number})]
    for place, documents in enumerate((from_cells, from_json)):
        with Index.build(tmp_path / str(place), documents, vectors=[np.ones((2, 2), np.float32)]) as opened:
            quoted = sql_of(code)
            assert met(opened, f"code = {quoted}") == met(opened, f"code in ({quoted}, 'x')") == ["same"]
            assert met(opened, f"code like '{code[:2]}%' and code <> '{number}'") == ["same"]
            assert met(opened, f"code = '{number}'") == ["other"]
            if place:
                assert met(opened, f"code = {number}") == ["other"]


def test_json_keeps_its_types(tmp_path):
    values = [
        "1990",
        1990,
        True,
        False,
        12345678901234567890,
        12345678901234567891,
        12345678901234567892,
        0.1,
        None,
        "2020-05-01",
    ]
    lines = [json.dumps({"id": str(i), "text": "", "field": value}) for i, value in enumerate(values)]
    (tmp_path / "types.jsonl").write_text("\n".join(lines))
    vectors = [np.ones((len(values), 2), np.float32)]
    with Index.build(tmp_path / "index", read_corpus(tmp_path / "types.jsonl"), vectors=vectors) as opened:
        assert opened.documents(range(len(values)))[4].fields == {"field": 12345678901234567890}
        assert met(opened, "field = 1990") == ["1"]
        assert met(opened, "field = '1990'") == ["0", "1"]
        assert met(opened, "field = true") == ["2"]
        assert met(opened, "field is false") == ["3"]
        assert met(opened, "field = 12345678901234567890") == met(opened, "field = '12345678901234567890'") == ["4"]
        assert met(opened, "field > 12345678901234567890") == ["5", "6"]
        assert met(opened, "field between '2020-01-01' and '2020-12-31'") == ["9"]
        assert met(opened, "field = 0.1") == met(opened, "field = '0.1'") == ["7"]


def test_ids_that_are_numbers_compare_as_numbers_and_as_texts(tmp_path):
    documents = [Document(id, "") for id in ("1", "2", "10", "01", "x")]
    with Index.build(tmp_path / "index", documents, vectors=[np.ones((5, 2), np.float32)]) as opened:
        assert met(opened, "id < 10") == ["1", "2"]
        assert met(opened, "id = 1") == met(opened, "id = '1'") == ["1"]
        assert met(opened, "id in (1, '01')") == ["01", "1"]


# -- names ---------------------------------------------------------------------------------------------------------------

INTERNAL = (
    "number",
    "rowid",
    "oid",
    "_rowid_",
    "ROWID",
    "c0",
    "v",
    "d",
    "fields",
    "documents",
    "value",
    "key",
    "place",
    "words",
    "j0",
)


@pytest.mark.parametrize("name", INTERNAL)
def test_a_field_has_any_name_and_what_is_internal_none(tmp_path, name):
    with holding(tmp_path / "index", {"year": 1}, {"year": 2}, {"year": 3}) as opened:
        for where in (f"{name} = 1", f"{sql_name(name)} = 1", f"fields.{name} = 1", f"document.{name} = 1", f"v.{name} = 1"):
            with pytest.raises(UsageError, match=f"names '.*{name}', which no document has"):
                met(opened, where)
            with pytest.raises(UsageError, match=name):
                opened.delete(where=where)
        assert len(opened) == 3
    with holding(tmp_path / "used", {name: "a"}, {name: 7}, {name: "b"}) as opened:
        for where in (f"{name} = 7", f"{sql_name(name)} = 7", f"fields.{name} = 7", f"`{name}` = 7", f"[{name}] = 7"):
            assert met(opened, where) == ["d1"]
        assert opened.delete(where=f"{name} = 'a'") == 1
        assert met(opened, "1") == ["d1", "d2"]


@pytest.mark.parametrize(
    "name", ["", " ", "\0", "a\0b", "\n", '"', "''", "é", "e\u0301", "x" * 3000, "order", "select", "null", "--", "/*", "a.b"]
)
def test_odd_names_are_usable_in_quotes(tmp_path, name):
    with holding(tmp_path / "index", {name: 7}, {name: 8}, {"other": 7}) as opened:
        assert met(opened, f"{sql_name(name)} = 7") == met(opened, f"fields.{sql_name(name)} < 8") == ["d0"]
        assert met(opened, f"{sql_name(name)} is null") == ["d2"]


def test_names_that_differ_by_case_alone_are_two(tmp_path):
    with holding(tmp_path / "index", {"Year": 1994, "year": 1, "École": "a"}, {"Year": 5}) as opened:
        opened.add([Document("more", "", {"year": 1995})], vectors=[np.ones((1, 2), np.float32)])
        assert met(opened, "Year > 1990") == ["d0"]
        assert met(opened, "year > 1990") == met(opened, '"year" > 1990') == ["more"]
        assert opened.remarks("year > 1990") == ["there is a field 'Year' as well, which 'year' is not"]
        with pytest.raises(UsageError, match="names 'YEAR', which may be 'Year' or 'year'"):
            met(opened, "YEAR > 1990")
        # Where there is only one, it is found however it is written, as in SQL.
        assert met(opened, "ÉCOLE = 'a'") == ["d0"]


@pytest.mark.parametrize("own", ["id", "text"])
def test_a_field_that_is_called_as_what_every_document_has(tmp_path, own):
    with holding(tmp_path / "index", {own: "d1"}, {own: "text 0"}, {}) as opened:
        assert met(opened, f"{own} = 'd1' or {own} = 'text 0'") == ["d0", "d1"]
        assert met(opened, f"fields.{own} = 'd1'") == ["d0"]
        assert met(opened, "document.id = 'd1' and document.text = 'text 1'") == ["d1"]
        assert opened.remarks(f"{own} = 'd1'") == [f"{own} is the documents' field '{own}' here; document.{own} is their own"]
        assert opened.remarks(f"document.{own} = 'd1'") == []


def test_a_condition_may_be_as_long_as_a_list_of_ids(tmp_path):
    with holding(tmp_path / "index", *({"n": i} for i in range(50))) as opened:
        where = " or ".join(f"id = 'd{i}'" for i in range(0, 5000, 2))
        assert len(met(opened, where)) == 25
        assert len(met(opened, f"n in ({', '.join(map(str, range(0, 100_000, 2)))})")) == 25


def test_a_deep_condition_is_refused_not_a_crash(tmp_path):
    with holding(tmp_path / "index", {"n": 1}) as opened:
        for where in (
            "(" * 5000 + "n" + ")" * 5000,
            "not " * 5000 + "n",
            "-" * 5000 + "n",
            "n" + " || n" * 5000,
            "n" + " = n" * 3000,
        ):
            with pytest.raises(UsageError, match="the condition"):
                met(opened, where)
