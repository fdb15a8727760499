"""Files of word vectors of each format become one kind of folder: whole ones exactly, broken ones named by their place."""

from __future__ import annotations

import gzip
import json
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import word_files as made
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vecsearch.encoders.words import folder as folder_module
from vecsearch.encoders.words import text as text_module
from vecsearch.encoders.words import word2vec_binary as binary_module
from vecsearch.encoders.words.block import Subwords
from vecsearch.encoders.words.folder import WordsFolder
from vecsearch.encoders.words.importing import import_words, open_word_file
from vecsearch.encoders.words.subwords import composed, ngram_rows
from vecsearch.encoders.words.sums import sums
from vecsearch.errors import CheckpointError, UsageError

WORDS = ["the", "king", "queen", "über", "日本語", "tomato"]
VECTORS = np.random.default_rng(0).standard_normal((len(WORDS), 5)).astype(np.float32)
BUCKETS = np.random.default_rng(1).standard_normal((40, 5)).astype(np.float32)
FORMATS = {
    "word2vec text": (".vec", made.word2vec_text),
    "fastText text": (".vec", made.fasttext_vec),
    "GloVe text": (".txt", made.glove_text),
    "word2vec binary": (".bin", made.word2vec_binary),
    "word2vec binary without newlines": (".w2v", lambda words, vectors: made.word2vec_binary(words, vectors, b"")),
    "fastText binary": (".bin", lambda words, vectors: made.fasttext_binary(words, vectors, minn=0, maxn=0)),
}
QUICK = settings(max_examples=60)
WORD = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12).filter(str.strip)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def imported(folder: Path, suffix: str, data: bytes, **options) -> WordsFolder:
    folder.mkdir(exist_ok=True)
    number = len(list(folder.iterdir()))
    path = folder / f"{number}{suffix}"
    path.write_bytes(data)
    return import_words(path, folder / f"{number}-made", **options).folder


@pytest.mark.parametrize("format", FORMATS)
def test_a_whole_file_is_read_exactly(tmp_path, format):
    suffix, write = FORMATS[format]
    found = imported(tmp_path, suffix, write(WORDS, VECTORS))
    assert found.config.source["file_format"] == format.replace("fastText text", "word2vec text").removesuffix(
        " without newlines"
    )
    assert list(found.words) == WORDS and found.words[-1] == "tomato" and found.words[1:3] == ["king", "queen"]
    np.testing.assert_array_equal(found.vectors, VECTORS)
    assert found.find(["tomato", "Tomato", "the", "", "日本語", "日本"]).tolist() == [5, -1, 0, -1, 4, -1]
    found.verify()
    # Two of them.
    few = imported(tmp_path, suffix, write(WORDS, VECTORS), most=2)
    assert list(few.words) == WORDS[:2] and few.find(["queen"]).tolist() == [-1]
    half = imported(tmp_path, suffix, write(WORDS, VECTORS), dtype="float16")
    np.testing.assert_array_equal(half.vectors, VECTORS.astype(np.float16))


@pytest.mark.parametrize("format", FORMATS)
@QUICK
@given(data=st.data())
def test_any_words_and_numbers_come_back(tmp_path_factory, format, data):
    words = data.draw(st.lists(WORD, min_size=1, max_size=20))
    vectors = data.draw(arrays(np.float32, (len(words), data.draw(st.integers(1, 4))), elements=FINITE))
    suffix, write = FORMATS[format]
    if format == "GloVe text" and vectors.shape[1] == 1 and (words[0].isdecimal() or (vectors[:2] >= 0).all()):
        return  # "5 3" is a header, "king 3" a count
    found = imported(tmp_path_factory.mktemp("words"), suffix, write(words, vectors))
    assert list(found.words) == words
    np.testing.assert_array_equal(found.vectors, vectors)
    assert found.find(words).tolist() == [words.index(word) for word in words]
    assert found.config.unique == len(set(words)) == len(found.unique_rows())


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("format", FORMATS)
def test_blocks_join_without_a_seam(tmp_path, monkeypatch, format, rows):
    from vecsearch.encoders.words import fasttext_bin

    for module in (text_module, binary_module, fasttext_bin):
        monkeypatch.setattr(module, "block_rows", lambda dim: rows)
    monkeypatch.setattr("vecsearch.encoders.words.byte_reader.PIECE", 7)
    suffix, write = FORMATS[format]
    found = imported(tmp_path, suffix, write(WORDS, VECTORS))
    assert list(found.words) == WORDS
    np.testing.assert_array_equal(found.vectors, VECTORS)


@pytest.mark.parametrize("format", ["word2vec text", "GloVe text", "word2vec binary", "fastText binary"])
def test_compressed_files_are_read(tmp_path, format):
    suffix, write = FORMATS[format]
    found = imported(tmp_path, f"{suffix}.gz", gzip.compress(write(WORDS, VECTORS), mtime=0))
    assert list(found.words) == WORDS
    np.testing.assert_array_equal(found.vectors, VECTORS)


def test_odd_text_is_read(tmp_path):
    found = imported(tmp_path, ".txt", b", 0 -0\nat name@x.org 1 2\r\n. . . -3e-2 4.5\r\nking\t7\t8  \r\n\r\n")
    assert list(found.words) == [",", "at name@x.org", ". . .", "king"]
    assert found.vectors.tolist() == [[0, 0], [1, 2], [np.float32(-0.03), 4.5], [7, 8]]


def test_the_first_of_equal_words_counts(tmp_path, monkeypatch):
    words = ["a", "b", "a", "c", "b", "a"]
    found = imported(tmp_path, ".vec", made.word2vec_text(words, VECTORS))
    assert found.find(["a", "b", "c"]).tolist() == [0, 1, 3] and found.unique_rows().tolist() == [0, 1, 3]
    # Even where all words have one hash.
    monkeypatch.setattr(folder_module, "word_hashes", lambda words: np.zeros(len(words), np.uint64))
    monkeypatch.setattr("vecsearch.encoders.words.writer.word_hashes", folder_module.word_hashes)
    found = imported(tmp_path, ".vec", made.word2vec_text(words, VECTORS))
    assert found.find(["c", "b", "d", "a"]).tolist() == [3, 1, -1, 0] and found.unique_rows().tolist() == [0, 1, 3]


def test_broken_utf8_is_replaced_and_counted(tmp_path):
    for suffix, data in ((".bin", b"2 1\nk\xffng \0\0\x80?ok \0\0\x80?"), (".vec", b"2 1\nk\xffng 1\nok 1\n")):
        (tmp_path / f"a{suffix}").write_bytes(data)
        report = import_words(tmp_path / f"a{suffix}", tmp_path / suffix[1:])
        assert report.broken == 1 and list(report.folder.words) == ["k�ng", "ok"]


NAN = struct.pack("<5f", 1, 2, float("nan"), 4, 5)
TEXT, BINARY = made.word2vec_text(WORDS, VECTORS), made.word2vec_binary(WORDS, VECTORS)
FASTTEXT = made.fasttext_binary(WORDS, np.concatenate([VECTORS, BUCKETS]))
LONG = b"x" * 5000
BROKEN = {
    "no file": (".vec", None, "does not exist; check the path"),
    "empty": (".vec", b"", "line 1: the file is empty"),
    "no numbers": (".txt", b"once upon a time\nthere was\n", "line 1: 'time' is no number that float32 has"),
    "one word": (".txt", b"word\n", "line 1: vectors of length 0; it has to be 1 to 65,536"),
    "only a header": (".vec", b"1 1\n", "line 2: the file ends after its header"),
    "no rows": (".vec", b"0 3\n", "line 1: the header says that there are no rows"),
    "a header of digits": (".vec", b"9" * 30 + b" 3\nking 1 2 3\n", "line 1: the header '9999.*' has numbers that cannot be"),
    "a lying header": (
        ".vec",
        b"2000000 300\nking 1 2 3\n",
        "line 1: the header says 2,000,000 rows of 300 numbers, for which",
    ),
    "too long": (".vec", b"2 70000\nking 1 2 3\n", "line 1: vectors of length 70,000; it has to be 1 to 65,536"),
    "a row missing": (".vec", TEXT[: TEXT.rindex(b"\n", 0, -1) + 1], "line 7: the file ends after 5 rows, its header says 6"),
    "a row too many": (".vec", TEXT + b"more 1 2 3 4 5\n", "line 8: more rows than the 6 of the header"),
    "cut in a row": (".vec", TEXT[:-30], r"line 7: \d fields where a word and 5 numbers are needed"),
    "a bad number": (".vec", TEXT.replace(b"queen ", b"queen 1.x")[:-1], "line 4: '1.x.*' is no number that float32 has"),
    "NaN": (".txt", b"a 1 2\nb 1 nan\n", "line 2: 'nan' is no number that float32 has"),
    "infinity": (".txt", b"a 1 2\nb inf 1\n", "line 2: 'inf' is no number that float32 has"),
    "beyond float32": (".txt", b"a 1 2\nb 1e39 1\n", "line 2: '1e39' is no number that float32 has"),
    "an underscore": (".txt", b"a 1 2\nb 1_0 1\n", "line 2: '1_0' is no number that float32 has"),
    "two numbers in one": (".txt", b"a 1 2\nb 1-2 3\n", "line 2: '1-2' is no number that float32 has"),
    "more fields": (".txt", b"a 1 2\nb 1 2 3\n", "line 2: 4 fields, where 3 are expected"),
    "fewer fields": (".txt", b"a 1 2\nb 1 2\nc 1\n", "line 3: 2 fields where a word and 2 numbers are needed"),
    "a NUL": (".txt", b"a 1 2\n" * 1000 + b"b\0b 1 2\n", "line 1001: the word has a NUL byte in it"),
    "a long word": (".txt", b"a 1 2\n" + LONG + b" 1 2\n", "line 2: the line is longer than|line 2: a word of 5,000 bytes"),
    "a long line": (".txt", b"a 1 2\nb " + b"0" * 9000 + b" 1\n", "line 2: the line is longer than 4,224 bytes"),
    "cut gzip": (".txt.gz", gzip.compress(made.glove_text(WORDS, VECTORS), mtime=0)[:-20], "cannot be read"),
    "binary, no header": (".bin", b"\0\1\2\3\n" * 20, "offset 0: the first line is"),
    "binary, no line": (".bin", b"\0" * 100, "offset 0: the first line is longer than 64 bytes"),
    "binary, a lying header": (
        ".bin",
        b"2000000000 300\nking \0\0\0\0",
        "offset 0: the header says 2,000,000,000 rows of length 300",
    ),
    "binary, no rows": (".bin", b"0 300\nking \0\0\0\0", "offset 0: 0 rows of length 300; there has to be one"),
    "binary, too long": (".bin", b"1 99999\nking \0\0\0\0", "offset 0: 1 rows of length 99,999"),
    "binary, cut": (".bin", BINARY[:-3], "the file is cut off|the file ends after"),
    "binary, cut in gzip": (
        ".bin.gz",
        gzip.compress(BINARY[:-3], mtime=0),
        "offset 147: the file ends after 18 of the 20 bytes of the vector of row 6",
    ),
    "binary, cut in a word": (".bin.gz", gzip.compress(BINARY[:-23], mtime=0), "the file ends within the word of row 6"),
    "binary, no space": (".bin", b"9 1\n" + b"\1" * 5000, "offset 4: the word of row 1 is longer than 4,096 bytes"),
    "binary, an empty word": (".bin", b"1 1\n \0\0\x80?", "row 1 has the word '', which is not a word"),
    "binary, NaN": (
        ".bin",
        BINARY.replace(VECTORS[2].tobytes(), NAN),
        "offset 61: the vector of 'queen', row 3, holds NaN or infinity",
    ),
    "binary, more rows": (".bin", BINARY + b"more", "offset 167: .*more' follows the 6 rows of the header"),
    "fastText, cut header": (".bin", FASTTEXT[:50], "offset 0: the file ends after 50 of the"),
    "fastText, version": (
        ".bin",
        made.fasttext_binary(WORDS, VECTORS, version=13),
        "offset 4: version 13 of fastText's format; known are 11 and 12",
    ),
    "fastText, .ftz": (".ftz", b"no such thing" * 20, "offset 0: it does not begin as fastText's models do since 2017"),
    "fastText, pruned": (".bin", made.fasttext_binary(WORDS, VECTORS, pruned=0), "is a quantised fastText model"),
    "fastText, quantised": (
        ".bin",
        made.fasttext_binary(WORDS, VECTORS, minn=0, maxn=0, quantised=1),
        "is a quantised fastText model",
    ),
    "fastText, cut": (
        ".bin",
        FASTTEXT[:1000],
        "offset 8: the header says 6 entries and 46 rows of length 5, for which 1,000 bytes are too few",
    ),
    "fastText, cut in gzip": (
        ".bin.gz",
        gzip.compress(FASTTEXT[:1000], mtime=0),
        "the file ends after .* bytes of the vectors of n-grams 1 to 40",
    ),
    "fastText, a label among words": (
        ".bin",
        FASTTEXT.replace(b"king\0" + struct.pack("<qb", 7, 0), b"king\0" + struct.pack("<qb", 7, 1)),
        "entry 2 is 'king' of type 1, not a word",
    ),
    "fastText, a space in a word": (".bin", FASTTEXT.replace(b"king\0", b"ki g\0"), "entry 2 is 'ki g' of type 0, not a word"),
    "fastText, no buckets": (
        ".bin",
        made.fasttext_binary(WORDS, VECTORS),
        "offset 40: n-grams of 3 to 6 characters in 0 buckets",
    ),
    "fastText, long n-grams": (
        ".bin",
        made.fasttext_binary(WORDS, VECTORS, maxn=999),
        "offset 40: n-grams of 3 to 999 characters",
    ),
    "fastText, another matrix": (
        ".bin",
        FASTTEXT.replace(struct.pack("<qq", 46, 5), struct.pack("<qq", 45, 5)),
        "a matrix of 45 rows of length 5; the header says 46 of 5",
    ),
    "fastText, NaN": (".bin", FASTTEXT.replace(VECTORS[2].tobytes(), NAN), "the vector of word 3 holds NaN or infinity"),
    "fastText, NaN in an n-gram": (
        ".bin",
        FASTTEXT.replace(BUCKETS[7].tobytes(), NAN),
        "the vector of n-gram 8 holds NaN or infinity",
    ),
}


def test_a_list_of_words_with_counts_is_no_file_of_vectors(tmp_path):
    (tmp_path / "counts.txt").write_text("the 1061396\nof 593677\nand 416629\n")
    with pytest.raises(CheckpointError, match=r"counts\.txt, line 1: a word and one whole number, so a count"):
        open_word_file(tmp_path / "counts.txt")


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_by_its_place(tmp_path, case):
    suffix, data, message = BROKEN[case]
    path = tmp_path / f"broken{suffix}"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(Exception) as refused:
        import_words(path, tmp_path / "made")
    assert str(path) in str(refused.value) and refused.match(message)
    assert refused.value.exit_code == 3
    assert [name.name for name in tmp_path.iterdir()] == [path.name] * (data is not None)


def test_a_number_too_large_for_float16(tmp_path):
    with pytest.raises(CheckpointError, match=r"a number of 70000 is beyond float16's 65504; import the file in float32"):
        imported(tmp_path, ".vec", b"1 1\nking 70000\n", dtype="float16")


# -- fastText's n-grams --------------------------------------------------------------------------------------------------


def test_published_hashes():
    """FNV's own test vectors: http://www.isthe.com/chongo/src/fnv/test_fnv.c"""
    bucket = 0x7FFFFFFF
    assert ngram_rows(["a"], Subwords(1, 1, bucket))[0].tolist() == [0xE40C292C % bucket]
    assert 0xBF9CF968 % bucket in ngram_rows(["foobar"], Subwords(6, 6, bucket))[0]
    assert made.fnv1a(b"foobar") == 0xBF9CF968


@QUICK
@given(
    words=st.lists(st.one_of(WORD, st.just("</s>"), st.just("a")), max_size=8),
    minn=st.integers(0, 5),
    longer=st.integers(0, 3),
    bucket=st.integers(1, 1 << 31),
)
@example(["ÿ", "日本", "a", "", "\U0001f600x"], 1, 3, 1 << 20)
def test_ngrams_are_those_of_a_plain_reading(words, minn, longer, bucket):
    minn, maxn = max(1, minn), max(1, minn) + longer
    rows, counts = ngram_rows(words, Subwords(minn, maxn, bucket))
    expected = [[made.fnv1a(part.encode()) % bucket for part in made.ngrams(word, minn, maxn)] for word in words]
    found = np.split(rows, np.cumsum(counts)[:-1]) if words else []
    assert [sorted(part) for part in expected] == [sorted(part.tolist()) for part in found]


@QUICK
@given(st.lists(st.integers(0, 9), max_size=9), st.integers(1, 30), st.integers(0, 1 << 30))
def test_sums_of_rows(counts, gathered, seed):
    rng = np.random.default_rng(seed)
    table, rows = rng.standard_normal((12, 3)).astype(np.float32), rng.integers(0, 12, sum(counts))
    ends = np.cumsum([0, *counts])
    expected = [table[rows[start:stop]].sum(axis=0) for start, stop in pairwise(ends)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vecsearch.encoders.words.sums.GATHERED_ROWS", gathered)
        found = sums(table, rows, np.array(counts, np.int64))
    np.testing.assert_allclose(found, np.array(expected).reshape(-1, 3), atol=1e-5)


@pytest.mark.parametrize("minn, maxn", [(3, 6), (1, 2), (2, 4), (0, 3)])
def test_vectors_of_a_model_with_ngrams(tmp_path, minn, maxn):
    matrix = np.concatenate([VECTORS, BUCKETS])
    found = imported(tmp_path, ".bin", made.fasttext_binary(WORDS, matrix, minn=minn, maxn=maxn))
    for word, vector in zip(WORDS, found.vectors, strict=True):
        np.testing.assert_allclose(vector, made.subword_vector(word, WORDS, matrix, minn, maxn), atol=1e-6)
    for word in ("kings", "übermut", "日本", "x", "queen-king"):
        expected = made.subword_vector(word, WORDS, matrix, minn, maxn)
        np.testing.assert_allclose(composed(found.ngrams, [word], found.config.subwords)[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["fasttext", "classifier"])
def test_vectors_are_those_that_fasttext_itself_gives(tmp_path, name):
    told = json.loads((made.FASTTEXT / f"{name}.json").read_text(encoding="utf-8"))
    found = import_words(made.FASTTEXT / f"{name}.bin", tmp_path / "made").folder
    if name == "fasttext":
        assert list(found.words) == told["known"]
    for word, expected in (told["words"] if name == "fasttext" else told).items():
        row = found.find([word])[0]
        vector = found.vectors[row] if row >= 0 else composed(found.ngrams, [word], found.config.subwords)[0]
        np.testing.assert_allclose(vector, expected, atol=1e-6)
    assert "__label__a" not in list(found.words)


def test_a_quantised_model_is_refused():
    with pytest.raises(CheckpointError, match=r"classifier\.ftz is a quantised fastText model.*give the \.bin"):
        list(open_word_file(made.FASTTEXT / "classifier.ftz").blocks())


def test_classifiers_of_version_11_use_no_ngrams(tmp_path):
    matrix = np.concatenate([VECTORS, BUCKETS])
    data = made.fasttext_binary(WORDS, matrix, version=11, model=3, labels=["__label__x"])
    found = imported(tmp_path, ".bin", data)
    np.testing.assert_array_equal(found.vectors, VECTORS)
    assert found.config.subwords is None and list(found.words) == WORDS


def test_learned_ngrams_know_relatives(tmp_path):
    """Words that share letters are alike here, so an unknown one has to be like its relatives."""
    stems = ["walk", "talk", "jump", "paint", "build", "drink"]
    rng = np.random.default_rng(0)
    meanings = rng.standard_normal((len(stems), 16)).astype(np.float32)
    words = [stem + end for stem in stems for end in ("", "s", "ed", "er")]
    vectors = np.repeat(meanings, 4, axis=0) + 0.1 * rng.standard_normal((len(words), 16)).astype(np.float32)
    found = imported(tmp_path, ".vec", made.word2vec_text(words, vectors), ngrams=True)
    new = composed(found.ngrams, [f"{stem}ing" for stem in stems], found.config.subwords)
    assert ((new @ meanings.T).argmax(axis=1) == np.arange(len(stems))).all()
    np.testing.assert_array_equal(found.vectors, vectors)
    with pytest.raises(UsageError, match=r"has n-grams of its own.*leave out --ngrams"):
        imported(tmp_path, ".bin", FASTTEXT, ngrams=True)
