"""Each command and each option does what its help says, on small real input."""

import gzip
import io
import json
import lzma
import re
import shutil
import sys
from itertools import islice

import faiss
import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from conftest import rows

from vecsearch.cli import pydocs
from vecsearch.cli.progress import bars
from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import UlmfitEncoder
from vecsearch.index.index import Index

TEXTS = ["the king of the city", "a film of war", "he sat on the bank of the river", "tomato in love", "queen , queen !"]
RECORDS = [{"id": f"d{i}", "text": text, "title": f"Title {i}", "year": 1900 + i} for i, text in enumerate(TEXTS)]
JSONL = "".join(json.dumps(record) + "\n" for record in RECORDS)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text(JSONL)
    return path


@pytest.fixture
def build(vecsearch, tmp_path, tiny_folder):
    """Builds an index, with the tiny encoder unless another is named, or None: its folder."""
    tiny = tiny_folder()

    def run(*arguments, encoder=tiny):
        folder = tmp_path / f"index-{len(list(tmp_path.glob('index-*')))}"
        (made,) = rows(vecsearch("build", *arguments, "-o", folder, *(("--encoder", encoder) if encoder else ())))
        assert made["index"] == str(folder)
        return folder

    return run


@pytest.fixture(scope="module")
def index(tmp_path_factory, tiny_folder):
    """An index of the corpus by the tiny encoder, for tests that change nothing in it."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "corpus.jsonl").write_text(JSONL)
    Index.build(folder / "index", read_corpus(folder / "corpus.jsonl"), UlmfitEncoder(tiny_folder())).close()
    return folder / "index"


@pytest.fixture
def own_index(index, tmp_path):
    """The same, for tests that change it."""
    return shutil.copytree(index, tmp_path / "own")


@pytest.fixture
def words(build):
    return build("--vocabulary")


def info(vecsearch, folder):
    return rows(vecsearch("info", folder))[0]


def vectors_of(folder):
    return np.load(next(folder.glob("segments/*/vectors.npy")))


def stdin(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))


# -- build -------------------------------------------------------------------------------------------------------------


def write_parquet(path):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), path)


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        for name in RECORDS[0]:
            file[name] = [record[name] for record in RECORDS]


def write_beir(path):
    path.mkdir()
    lines = ({"_id": record["id"], "title": "", "text": record["text"]} for record in RECORDS)
    (path / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def separated(separator):
    quote = '"' if separator == "," else ""  # tabs separate without quoting
    lines = (separator.join(f"{quote}{value}{quote}" for value in record.values()) for record in RECORDS)
    return "\n".join([separator.join(RECORDS[0]), *lines])


KINDS = {
    "c.txt": lambda path: path.write_text("\n".join(TEXTS)),
    "c.jsonl": lambda path: path.write_text(JSONL),
    "c.jsonl.gz": lambda path: path.write_bytes(gzip.compress(JSONL.encode())),
    "c.jsonl.xz": lambda path: path.write_bytes(lzma.compress(JSONL.encode())),
    "c.csv": lambda path: path.write_text(separated(",")),
    "c.tsv": lambda path: path.write_text(separated("\t")),
    "c.parquet": write_parquet,
    "c.h5": write_hdf5,
    "beir": write_beir,
}


@pytest.mark.parametrize(("name", "write"), KINDS.items(), ids=KINDS)
def test_every_kind_of_corpus(vecsearch, build, index, tmp_path, name, write):
    write(tmp_path / name)
    folder = build(tmp_path / name)
    assert np.array_equal(vectors_of(folder), vectors_of(index))
    hit = rows(vecsearch("query", folder, TEXTS[2], "-k", 1))[0]
    assert (hit["id"], hit["text"]) == ("3" if name == "c.txt" else "d2", TEXTS[2])


def test_a_corpus_from_stdin(build, index, monkeypatch):
    stdin(monkeypatch, "\n".join(TEXTS))
    assert np.array_equal(vectors_of(build("-")), vectors_of(index))
    stdin(monkeypatch, JSONL)
    assert np.array_equal(vectors_of(build("-", "--format", "jsonl")), vectors_of(index))


def test_fields_chosen_for_text_and_id(vecsearch, build, tmp_path):
    (tmp_path / "c.jsonl").write_text('{"name": "n1", "head": "king", "body": "queen", "more": [1]}\n')
    folder = build(tmp_path / "c.jsonl", "--text-field", "head", "--text-field", "body", "--id-field", "name")
    (hit,) = rows(vecsearch("query", folder, "king", "-k", 1))
    assert (hit["id"], hit["text"]) == ("n1", "king\nqueen")
    assert hit["fields"] == {"head": "king", "body": "queen", "more": [1]}


def test_what_is_left_out_is_counted(vecsearch, tmp_path, tiny_folder):
    (tmp_path / "c.jsonl").write_text(JSONL + '\n{"id": 1}\n{"id": "e", "text": ""}\n{"id": "u", "text": "king qwzzq"}\n')
    build = ("build", tmp_path / "c.jsonl", "--skip-bad", "-o", tmp_path / "i", "--encoder", f"{tiny_folder()},max_tokens=3")
    ran = vecsearch(*build)
    counts = info(vecsearch, tmp_path / "i")["counts"]
    assert rows(ran)[0]["rows"] == 7
    assert [counts[name] for name in ("blank", "skipped", "empty", "unknown")] == [1] * 4
    assert counts["cut_texts"] == 5 and counts["cut_tokens"] > 5
    for said in ("1 blank lines", "1 bad records", "1 documents have no words", "words are unknown", "5 texts were cut"):
        assert said in ran.err


SPECS = {
    "exact": None,
    "Flat": (faiss.IndexFlat, lambda found: found.code_size == 4 * 7),
    "HNSW8": (faiss.IndexHNSWFlat, lambda found: found.hnsw.nb_neighbors(1) == 8),
    "IVF2,Flat": (faiss.IndexIVFFlat, lambda found: found.nlist == 2),
    "SQ8": (faiss.IndexScalarQuantizer, lambda found: found.code_size == 7),
    "PCA3,SQ8": (faiss.IndexPreTransform, lambda found: found.index.d == 3),
}


@pytest.mark.parametrize(("spec", "expected"), SPECS.items(), ids=SPECS)
def test_the_spec_is_that_of_the_file(vecsearch, build, corpus, spec, expected):
    folder = build(corpus, "--spec", spec)
    assert info(vecsearch, folder)["spec"] == spec
    files = list(folder.glob("segments/*/*.faiss"))
    if expected is None:
        assert files == []
    else:
        kind, holds = expected
        owner = faiss.read_index(str(files[0]))
        # An inverted file numbers its rows itself.
        found = faiss.downcast_index(owner.index if isinstance(owner, faiss.IndexIDMap) else owner)
        assert isinstance(found, kind) and holds(found) and found.ntotal == len(TEXTS)
    hit = rows(vecsearch("query", folder, TEXTS[0], "-k", 1))[0]
    assert hit["id"] == "d0" and hit["score"] == pytest.approx(1, abs=1e-5)


def test_how_texts_are_encoded(vecsearch, build, corpus, tiny_folder):
    cases = [
        ({"pooling": "raw"}, 6),
        ({"pooling": "max"}, 7),
        ({"pooling": "last"}, 7),
        ({"pooling": "concat"}, 21),
        ({"layers": [1]}, 10),
        ({"layers": [0]}, 6),
        ({"max_tokens": 2}, 7),
        ({"dtype": "bfloat16"}, 7),
    ]
    for options, dim in cases:
        own = [f"{name}={np.atleast_1d(value)[0]}" for name, value in options.items() if name != "dtype"]
        dtype = ["--dtype", options["dtype"]] if "dtype" in options else []
        folder = build(corpus, *dtype, encoder=",".join([str(tiny_folder()), *own]))
        facts = info(vecsearch, folder)
        encoder = UlmfitEncoder(tiny_folder(), **options)
        assert facts["dim"] == encoder.dim == dim and facts["encoder"]["fingerprint"] == encoder.fingerprint
        assert options.get("dtype") in (None, facts["encoder"]["dtype"])
        assert np.allclose(vectors_of(folder), encoder.encode(TEXTS), atol=1e-2 if "dtype" in options else 1e-5)
        # The index carries the encoder as it was used.
        assert rows(vecsearch("query", folder, TEXTS[3], "-k", 1))[0]["score"] == pytest.approx(1, abs=1e-3)


def test_a_vocabulary(vecsearch, build, words, tiny_folder):
    encoder = UlmfitEncoder(tiny_folder(), pooling="raw")
    everything = build("--vocabulary", "--all-words")
    facts, all_facts = info(vecsearch, words), info(vecsearch, everything)
    assert all_facts["rows"] == len(encoder.vocabulary) == facts["rows"] + facts["counts"]["special_words"]
    assert np.array_equal(vectors_of(everything), encoder.encode_words(np.arange(len(encoder.vocabulary))))
    assert facts["dim"] == 6 and info(vecsearch, build("--vocabulary", encoder=f"{tiny_folder()},pooling=mean"))["dim"] == 7
    assert rows(vecsearch("similar", words, "king", "-k", 1, "--exact"))[0]["id"] != "king"


@pytest.mark.parametrize("suffix", ["npy", "h5"])
def test_ready_vectors(vecsearch, build, corpus, tmp_path, suffix):
    vectors = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)
    path = tmp_path / f"v.{suffix}"
    if suffix == "npy":
        np.save(path, vectors)
    else:
        with h5py.File(path, "w") as file:
            file["vectors"], file["ids"] = vectors, ["va", "vb", "vc", "vd", "ve"]
    (tmp_path / "ids.txt").write_text("ia\nib\nic\nid\nie\n")
    alone = build("--vectors", path, encoder=None)
    named = build("--vectors", path, "--ids", tmp_path / "ids.txt", encoder=None)
    with_corpus = build(corpus, "--vectors", path, encoder=None)
    for folder, id in ((alone, "2" if suffix == "npy" else "vc"), (named, "ic"), (with_corpus, "d2")):
        assert np.array_equal(vectors_of(folder), vectors)
        asked = rows(vecsearch("query", folder, "--vectors", path, "-k", 1))
        assert len(asked) == 5 and asked[2]["id"] == id and asked[2]["score"] == pytest.approx(1, abs=1e-6)
    assert asked[2]["fields"] == {"title": "Title 2", "year": 1902}


def test_replace_puts_the_new_in_place_of_the_old(vecsearch, own_index, tmp_path, tiny_folder):
    (tmp_path / "new.txt").write_text("tomato\n")
    new = (tmp_path / "new.txt", "-o", own_index, "--encoder", tiny_folder(), "--replace", "--keep", 1)
    (made,) = rows(vecsearch("build", *new))
    assert (made["rows"], made["generation"]) == (1, 2)
    assert [row["text"] for row in rows(vecsearch("query", own_index, "king"))] == ["tomato"]
    assert vecsearch("verify", own_index).code == 0 and len(list(own_index.glob("segments/*"))) == 1


# -- query and similar -------------------------------------------------------------------------------------------------


def test_texts_from_the_command_line_a_file_and_stdin(vecsearch, index, tmp_path, monkeypatch):
    given = rows(vecsearch("query", index, *TEXTS, "-k", 2))
    assert [row["query"] for row in given] == [text for text in TEXTS for _ in range(2)]
    assert [row["id"] for row in given[::2]] == [f"d{i}" for i in range(5)] and {row["rank"] for row in given} == {1, 2}
    (tmp_path / "q.txt").write_text("\n".join(TEXTS) + "\n\n")
    ran = vecsearch("query", index, "--queries", tmp_path / "q.txt", "-k", 2)
    assert rows(ran) == given and "note: 1 blank lines" in ran.err
    stdin(monkeypatch, "\n".join(TEXTS))
    assert rows(vecsearch("query", index, "--queries", "-", "-k", 2)) == given


@pytest.mark.parametrize("built", ["cosine", "ip"])
@pytest.mark.parametrize("asked", [None, "cosine", "ip"])
def test_either_metric_of_either_index(vecsearch, build, corpus, tiny_folder, built, asked):
    folder = build(corpus, "--metric", built, "--spec", "Flat")
    vectors, query = vectors_of(folder), UlmfitEncoder(tiny_folder()).encode([TEXTS[1]])[0]
    scores = vectors @ query
    if (asked or built) == "cosine":
        scores = scores / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    for command in (["query", folder, TEXTS[1], "--meaning"], ["query", folder, TEXTS[1], "--meaning", "--exact"]):
        found = rows(vecsearch(*command, *(["--metric", asked] if asked else [])))
        assert [row["id"] for row in found] == [f"d{i}" for i in np.argsort(-scores)]
        assert [row["score"] for row in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


def test_similar(vecsearch, index):
    vectors = vectors_of(index)
    for metric in ("cosine", "ip"):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if metric == "cosine" else vectors
        expected = [f"d{i}" for i in np.argsort(-(unit @ unit[1])) if i != 1]
        found = rows(vecsearch("similar", index, "d1", "d2", "--metric", metric, "--exact", "-k", 3))
        assert [row["id"] for row in found if row["query"] == "d1"] == expected[:3] and len(found) == 6


def test_texts_are_asked_by_meaning_and_words_together(vecsearch, index, build):
    """A vocabulary, and what is given or shown in the metric's own scores, by meaning alone."""
    both, meaning = (rows(vecsearch("query", index, TEXTS[2], *mode)) for mode in (["--hybrid"], ["--meaning"]))
    assert both != meaning and rows(vecsearch("query", index, TEXTS[2])) == both
    assert rows(vecsearch("query", index, TEXTS[2], "--weights", 1, 0)) == rows(
        vecsearch("query", index, TEXTS[2], "--hybrid", "--weights", 1, 0)
    )
    for option in (["--metric", "cosine"], ["--marked"], ["--min-score", -1]):
        assert rows(vecsearch("query", index, TEXTS[2], *option)) == meaning
    assert "note: by meaning alone" in vecsearch("query", index, TEXTS[2], "--min-score", -1).err
    words = build("--vocabulary")
    assert rows(vecsearch("query", words, "king")) == rows(vecsearch("query", words, "king", "--meaning"))


@pytest.mark.parametrize("command", [["query", TEXTS[0], "--meaning"], ["similar", "d0"]], ids=["query", "similar"])
def test_min_score_leaves_out_the_rest(vecsearch, index, command):
    everything = rows(vecsearch(*command[:1], index, *command[1:]))
    bound = everything[1]["score"]
    kept = rows(vecsearch(command[0], index, *command[1:], "--min-score", bound))
    assert kept == everything[:2]
    ran = vecsearch(command[0], index, command[1], "--min-score", 2)
    assert ran.code == 0 and ran.out == "" and f"scores 2.0 or more; the best has {everything[0]['score']:.3f}" in ran.err


def test_exact_looks_at_every_vector(vecsearch, tmp_path, build):
    vectors = np.random.default_rng(2).standard_normal((2000, 16)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    np.save(tmp_path / "q.npy", vectors[:50] + vectors[50:100])
    folder = build("--vectors", tmp_path / "v.npy", "--spec", "PCA2,Flat", encoder=None)
    unit, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (vectors, vectors[:50] + vectors[50:100]))
    truth = [str(row) for row in np.argmax(queries @ unit.T, axis=1)]
    ask = ("query", folder, "--vectors", tmp_path / "q.npy", "-k", 1)
    assert [row["id"] for row in rows(vecsearch(*ask, "--exact"))] == truth
    assert [row["id"] for row in rows(vecsearch(*ask))] != truth


def test_words_added_and_subtracted(vecsearch, words, tiny_folder):
    encoder = UlmfitEncoder(tiny_folder(), pooling="raw")
    known = np.setdiff1d(np.arange(len(encoder.vocabulary)), encoder.vocabulary.special_ids)
    vectors = encoder.encode_words(known)
    unit = {encoder.vocabulary.words[i]: v / np.linalg.norm(v) for i, v in zip(known, vectors, strict=True)}
    target = unit["king"] + unit["she"] - unit["he"]
    best = sorted(unit.keys() - {"king", "she", "he"}, key=lambda word: -unit[word] @ target)
    found = rows(vecsearch("analogy", words, "--plus", "king", "--plus", "she", "--minus", "he", "-k", 2))
    assert [row["id"] for row in found] == best[:2] and {row["query"] for row in found} == {"+king +she \u2212he"}
    fit = rows(vecsearch("odd-one-out", words, "king", "queen", "river"))
    assert {row["id"] for row in fit} == {"king", "queen", "river"}
    assert [row["fit"] for row in fit] == sorted(row["fit"] for row in fit)
    ran = vecsearch("odd-one-out", words, "king", "queen")
    assert ran.code == 2 and "3 or more" in ran.err


def test_a_marked_word_is_asked_for_as_its_sentence_uses_it(vecsearch, index, tiny_folder):
    text = "he sat on the [[bank]] of the river"
    encoder = UlmfitEncoder(tiny_folder())
    for asked, vector in ((("--marked",), encoder.encode_in_context([text])[0]), ((), encoder.encode([text])[0])):
        scores = {row["id"]: row["score"] for row in rows(vecsearch("query", index, text, "--metric", "ip", *asked))}
        assert scores == pytest.approx({f"d{i}": score for i, score in enumerate(vectors_of(index) @ vector)}, abs=1e-5)
    with Index.open(index) as opened:
        np.testing.assert_array_equal(opened.encode([text], marked=True), encoder.encode_in_context([text]))
        np.testing.assert_array_equal(opened.encode([text]), encoder.encode([text]))
    for other in ("--keywords", "--hybrid"):
        assert vecsearch("query", index, text, "--marked", other).code == 2


ODD = {
    "lists": "king x = [[1, 2], [3, 4]] queen",
    "a wiki link": "the [[king]] and the [[queen|queens]]",
    "not closed": "the [[bank",
    "empty": "king [[]] queen",
    "blank": "king [[ ]] queen",
    "part of a word": "the riv[[er]]s",
    "nothing known": "qwzzq",
    "only marks": "[[ ]]",
    "long": "the king " * 3_000,
    "one long word": "king" * 20_000,
    "NUL": "the \0 king",
    "controls": "the king \x1b[31m\t\a queen",
    "no UTF-8": "the \udcff king",
    "a quotation": 'the "king',
    "operators": "king AND (queen OR) NEAR * ^ - :",
    "a huge entity": "king &#" + "9" * 5000 + ";",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("option", [None, "--marked", "--explain", "--keywords", "--hybrid"])
def test_one_odd_query_stops_no_others(vecsearch, index, tmp_path, odd, option):
    """What the options make of it, or a note that names its line; the queries around it are answered."""
    (tmp_path / "q.txt").write_bytes(f"king\n\n{odd}\nqueen\n".encode(errors="surrogateescape"))
    ran = vecsearch("query", index, "--queries", tmp_path / "q.txt", "-k", 1, "--json", *filter(None, [option]))
    assert ran.code == 0 and "1 blank lines" in ran.err
    asked = {row["query"] for row in rows(ran)}
    assert {"king", "queen"} <= asked <= {"king", "queen", *odd.splitlines(), odd}
    unreadable = odd in (ODD["NUL"], ODD["no UTF-8"])
    no_mark = odd in [ODD[name] for name in ("a wiki link", "not closed", "empty", "blank", "part of a word", "only marks")]
    assert (f"{tmp_path / 'q.txt'}, line 3" in ran.err) == (unreadable or (option == "--marked" and no_mark))


@pytest.mark.parametrize("text", ["king x = [[1, 2], [3, 4]]", "the [[king|kings]]", "the [[bank", "king [[]]"])
def test_brackets_are_text_unless_marking_is_asked_for(vecsearch, index, tmp_path, tiny_folder, text):
    (tmp_path / "q.txt").write_text(text + "\n")
    encoder = UlmfitEncoder(tiny_folder())
    with Index.open(index) as opened:
        np.testing.assert_array_equal(opened.encode([text]), encoder.encode([text]))
        assert [hit.id for hit in opened.query([text])[0]] == [hit.id for hit in opened.nearest(encoder.encode([text]))[0]]
    for options in (("--index", index), ("--encoder", tiny_folder())):
        assert vecsearch("similarity", text, "king", *options).code == 0
        marked = vecsearch("similarity", text, "king", "--marked", *options)
        assert marked.code == 0 and ("brackets and all" in marked.err) == ("|" not in text and "1, 2" not in text)
    from vecsearch.cli.sources import read_query_vectors

    vectors = read_query_vectors(str(tmp_path / "q.txt"), encoder, None)
    np.testing.assert_array_equal(vectors, [vector for vector in encoder.encode([text]) if vector.any()] or vectors)
    ran = vecsearch("encode", tmp_path / "q.txt", "--marked", "--encoder", tiny_folder())
    assert ran.code == 0 and len(rows(ran)) == 1


def test_a_question_of_unknown_words_says_so(vecsearch, index):
    ran = vecsearch("query", index, "qwzzq")
    assert (ran.code, ran.out) == (0, "")
    assert "nothing is found for 'qwzzq'" in ran.err and "note: 1 of 1 words are unknown to the model" in ran.err


UNKNOWN = {
    "build": ("build", "{unknown}", "-o", "{new}", "--encoder", "{encoder}"),
    "add": ("add", "{index}", "{unknown}"),
    "query": ("query", "{index}", "qwzzq"),
    "query --queries": ("query", "{index}", "--queries", "{unknown}"),
    "query --marked": ("query", "{index}", "--marked", "[[qwzzq]]"),
    "query --explain": ("query", "{index}", "--explain", "qwzzq"),
    "query --hybrid": ("query", "{index}", "--hybrid", "qwzzq"),
    "encode": ("encode", "{unknown}", "--encoder", "{encoder}"),
    "encode -o": ("encode", "{unknown}", "--encoder", "{encoder}", "-o", "{new}.npy"),
    "similarity": ("similarity", "qwzzq", "king", "--encoder", "{encoder}"),
    "similarity --index": ("similarity", "qwzzq", "king", "--index", "{index}"),
    "similarity --pairs": ("similarity", "--pairs", "{pairs}", "--encoder", "{encoder}"),
    "evaluate": ("evaluate", "{pairs}", "--encoder", "{encoder}"),
    "assign": ("assign", "{clustered}", "qwzzq"),
    "build --queries": ("build", "{known}", "-o", "{new}", "--encoder", "{encoder}", "--queries", "{mixed}", "--spec", "HNSW4"),
}


@pytest.mark.parametrize("command", UNKNOWN.values(), ids=UNKNOWN)
def test_every_command_says_when_nothing_is_known(vecsearch, own_index, corpus, tmp_path, tiny_folder, command):
    (tmp_path / "unknown.txt").write_text("qwzzq\nvxxkw zzqx\n")
    (tmp_path / "mixed.txt").write_text("king\nqwzzq\n")
    (tmp_path / "pairs.tsv").write_text("a\tb\tscore\nqwzzq\tvxxkw\t1\nzzqx\tking\t0\nking\tqueen\t1\n")
    places = {name: tmp_path / f"{name}.txt" for name in ("unknown", "mixed")}
    places |= {
        "pairs": tmp_path / "pairs.tsv",
        "index": own_index,
        "encoder": tiny_folder(),
        "new": tmp_path / "new",
        "known": corpus,
    }
    if "{clustered}" in command:
        assert vecsearch("cluster", own_index, "-k", 2).code == 0
        places["clustered"] = own_index
    ran = vecsearch(*(part.format(**places) for part in command))
    assert ran.code in (0, 1), ran.err  # 1: a recall over one query is not proved
    said = "unknown to the model|no known word|without a known word|no word known to the model|no word that the model knows"
    assert re.search(said, ran.err)


def test_a_table_fits_the_terminal(vecsearch, build, tmp_path, monkeypatch):
    record = {"id": "x" * 70, "text": "king \x1b[31m\n" + "river " * 50, "title": "t" * 90, "year": 1950}
    (tmp_path / "c.jsonl").write_text(json.dumps(record) + "\n" + json.dumps({**record, "id": "y", "title": None}) + "\n")
    folder = build(tmp_path / "c.jsonl")
    for columns in (80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        for options in ((), ("--show", "year", "--show", "title"), ("--show", "nosuch")):
            ran = vecsearch("query", folder, "king", "--table", *options)
            head, *lines = ran.out.splitlines()
            assert head.split() == ["rank", "score", "id", *(options[1::2] or ["title"]), "text"] and len(lines) == 2
            assert max(map(len, ran.out.splitlines())) <= columns and "\x1b" not in ran.out
    assert json.loads(vecsearch("query", folder, "king", "-k", 1, "--json").out)["fields"]["year"] == 1950


def test_a_column_that_no_hit_fills_is_said_once(vecsearch, build, tmp_path):
    records = [{"id": "x", "text": "king", "year": 1950}, {"id": "y", "text": "queen"}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "q.txt").write_text("king\nqueen\n" * 600)  # more than are searched together
    folder = build(tmp_path / "c.jsonl")
    said = "note: no hit has a field 'nosuch', which --show asks for: its column is empty"
    show = ("--show", "year", "--show", "nosuch", "--show", "nosuch")
    for asked in (["query", folder, "king"], ["query", folder, "--queries", tmp_path / "q.txt"], ["similar", folder, "y"]):
        ran = vecsearch(*asked, "--table", *show)
        assert ran.code == 0 and ran.err.splitlines().count(said) == 1 and "'year'" not in ran.err
        assert "no hit has" not in vecsearch(*asked, "--json", *show).err  # there is no column
    assert "no hit has" not in vecsearch("query", folder, "!?", "--keywords", "--table", *show).err  # there is no hit


# -- the other commands ------------------------------------------------------------------------------------------------


def test_similarity(vecsearch, index, tiny_folder):
    vectors = UlmfitEncoder(tiny_folder()).encode(["king", "queen"])
    (found,) = rows(vecsearch("similarity", "king", "queen", "--encoder", tiny_folder()))
    assert found["ip"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)
    assert found["cosine"] == pytest.approx(found["ip"] / np.prod(np.linalg.norm(vectors, axis=1)), abs=1e-5)
    pooled = rows(vecsearch("similarity", "king", "queen", "--encoder", f"{tiny_folder()},pooling=raw,layers=1"))[0]
    assert pooled["cosine"] != found["cosine"]
    stored = vectors_of(index)
    (by_id,) = rows(vecsearch("similarity", "d0", "d3", "--index", index))
    assert by_id["ip"] == pytest.approx(float(stored[0] @ stored[3]), abs=1e-5)
    (itself,) = rows(vecsearch("similarity", "d0", TEXTS[0], "--index", index))
    assert itself["cosine"] == pytest.approx(1, abs=1e-5)
    for row in (found, pooled, by_id, itself):
        assert 0 <= row["cosine_percentile"] <= 100 and 0 <= row["ip_percentile"] <= 100
    assert rows(vecsearch("similarity", "king", "queen", "--encoder", tiny_folder())) == [found]


def test_a_similarity_that_means_nothing_says_so(vecsearch, tiny_folder):
    ran = vecsearch("similarity", "qwzzq", "king", "--encoder", tiny_folder(), "--table")
    assert ran.code == 0 and "note: no known word in 'qwzzq': its vector is zero" in ran.err
    assert ran.out.split()[:3] == ["a", "b", "cosine"]


def test_encode(vecsearch, corpus, tmp_path, tiny_folder):
    expected = UlmfitEncoder(tiny_folder()).encode(TEXTS)
    encode = ("encode", corpus, "--encoder", tiny_folder(), "--dtype", "float32")
    for name in ("v.npy", "v.h5"):
        ran = vecsearch(*encode, "-o", tmp_path / name)
        assert (ran.code, ran.out) == (0, "") and ran.err.startswith("5 vectors of length 7 in ")
    assert np.allclose(np.load(tmp_path / "v.npy"), expected, atol=1e-5)
    with h5py.File(tmp_path / "v.h5") as file:
        assert np.allclose(file["vectors"], expected, atol=1e-5) and list(file["ids"].asstr()) == [f"d{i}" for i in range(5)]
    printed = rows(vecsearch(*encode))
    assert [(row["id"], row["text"]) for row in printed] == [(f"d{i}", text) for i, text in enumerate(TEXTS)]
    assert np.allclose([row["vector"] for row in printed], expected, atol=1e-5)


def test_encode_gives_marked_words(vecsearch, tiny_folder, monkeypatch):
    text = "he sat on the [[bank]] of the river"
    stdin(monkeypatch, text)
    (row,) = rows(vecsearch("encode", "-", "--marked", "--encoder", tiny_folder()))
    assert np.allclose(row["vector"], UlmfitEncoder(tiny_folder()).encode_in_context([text])[0], atol=1e-5)


def test_info_and_verify(vecsearch, own_index):
    index = own_index
    facts = info(vecsearch, index)
    assert (facts["rows"], facts["dim"], facts["metric"], facts["spec"], facts["generation"]) == (5, 7, "cosine", "exact", 1)
    assert facts["provenance"]["source"].endswith("corpus.jsonl") and facts["counts"]["texts"] == 5
    files = [path for path in index.rglob("*") if path.is_file() and path.name != "LOCK"]
    own = [path for path in files if path.name != "CURRENT" and not path.name.startswith("manifest")]
    assert facts["size_bytes"] == sum(path.stat().st_size for path in own)
    table = vecsearch("info", index, "--table")
    assert table.code == 0 and "rows              5\n" in table.out
    (index / "notes.txt").write_text("mine")
    ran = vecsearch("verify", index)
    assert (ran.code, ran.out) == (0, f"{index}: OK\n") and "notes.txt is not part of the index" in ran.err


def test_model_info(vecsearch, tiny_folder):
    ran = vecsearch("model", "info", tiny_folder())
    assert ran.code == 0 and "embedding 6, 2 LSTM layers of 10, 7" in ran.out and "mean of layer -1" in ran.out


def test_the_doctor_finds_this_machine_well(vecsearch, tmp_path):
    ran = vecsearch("doctor", tmp_path)
    assert ran.code == 0 and [line[:4] for line in ran.out.splitlines()] == ["ok  "] * 5
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_says_no(vecsearch, tmp_path):
    ran = vecsearch("doctor", tmp_path / "nowhere")
    assert ran.code == 1 and "FAIL  index: FileNotFoundError" in ran.out


def test_the_demo_builds_once(vecsearch, tmp_path, monkeypatch):
    some = list(islice(pydocs.python_documentation(), 300))
    monkeypatch.setattr(pydocs, "python_documentation", lambda: iter(some))
    first = vecsearch("demo", "-o", tmp_path / "python")
    assert first.code == 0 and "documents in " in first.err and first.out.count("ms)") == 3 and "Now try:" in first.out
    current = (tmp_path / "python" / "CURRENT").read_bytes()
    second = vecsearch("demo", "-o", tmp_path / "python")
    assert second.code == 0 and second.err == "" and (tmp_path / "python" / "CURRENT").read_bytes() == current
    assert vecsearch("verify", tmp_path / "python").code == 0


def test_where_nobody_watches_a_line_says_how_far_a_job_has_come(vecsearch, corpus, tiny_folder, tmp_path, monkeypatch):
    build = "build", corpus, "--encoder", tiny_folder(("forward",)), "-o"
    assert "so far" not in vecsearch(*build, tmp_path / "quick").err
    monkeypatch.setattr("vecsearch.cli.progress.LINE_SECONDS", 0)
    err = vecsearch(*build, tmp_path / "long").err
    assert re.search(r"^100%: 5 documents, [\d,]+/s \[00:0\d so far, 00:00 left\]$", err, re.MULTILINE), err


def test_how_many_there_are_is_known_of_words_and_of_ready_vectors(vecsearch, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("vecsearch.cli.progress.LINE_SECONDS", 0)
    np.save(tmp_path / "v.npy", np.eye(5, dtype=np.float32))
    for source in (("--vectors", tmp_path / "v.npy"), ("--vocabulary", "--encoder", tiny_folder(("forward",)))):
        err = vecsearch("build", *source, "-o", tmp_path / source[0]).err
        assert re.search(r"^100%: \d+ documents, ", err, re.MULTILINE), err


@pytest.mark.parametrize("resumed_by", ["", "again"])
def test_only_work_that_stores_documents_says_that_it_can_be_resumed(capsys, resumed_by):
    """Clustering counts documents as well, and stores none on the way."""
    with pytest.raises(KeyboardInterrupt), bars(resumed_by=resumed_by) as progress:
        progress.step("documents", 3, 9)
        progress.note("on with it")
        raise KeyboardInterrupt
    said = "note: 3 documents are stored: again\n" if resumed_by else ""
    assert capsys.readouterr().err == "on with it\n" + said
