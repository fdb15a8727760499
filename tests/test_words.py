"""Word vectors as an encoder: texts as means of words, whatever file they came from, opened lazily and carried by an index."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import word_files as made
from conftest import Told
from hypothesis import given, settings
from hypothesis import strategies as st
from test_words_files import FORMATS

from vecsearch.corpus.document import Document
from vecsearch.encoders import UlmfitEncoder, WordsEncoder, can_open, open_encoder
from vecsearch.encoders.words import encoder as module
from vecsearch.encoders.words.importing import import_words
from vecsearch.encoders.words.tokens import WordSplitter
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.files import cache_folder
from vecsearch.index.index import Index
from vecsearch.metric import normalise

GROUPS = {"royal": ["king", "queen", "prince", "throne"], "food": ["tomato", "bread", "soup", "butter"]}
NAMES = ["the", *GROUPS["royal"], *GROUPS["food"], "don't", "c++", "."]
DIM = 8


def vectors_of_groups() -> np.ndarray:
    """Words of a group are alike; queen is to king as princess would be to prince, and the others are noise."""
    rng = np.random.default_rng(3)
    centres = {name: rng.standard_normal(DIM) * 3 for name in GROUPS}
    of = {word: centres[name] + rng.standard_normal(DIM) for name, words in GROUPS.items() for word in words}
    return np.array([of.get(word, rng.standard_normal(DIM)) for word in NAMES], np.float32)


VECTORS = vectors_of_groups()
BUCKETS = np.random.default_rng(4).standard_normal((60, DIM)).astype(np.float32)


def unit(word: str) -> np.ndarray:
    return normalise(VECTORS[[NAMES.index(word)]])[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "words.vec"
    path.write_bytes(made.word2vec_text(NAMES, VECTORS))
    return path


@pytest.fixture
def encoder(file: Path) -> WordsEncoder:
    return WordsEncoder(import_words(file, file.with_suffix("")).folder.path)


def test_a_text_is_the_mean_of_its_words(encoder):
    texts = ["king", "king queen", "The KING, the queen!", "", "   ", "zzyzx", "king zzyzx"]
    found = encoder.encode(texts)
    nothing = np.zeros(DIM)
    pair = (unit("king") + unit("queen")) / 2
    expected = [unit("king"), pair, (2 * unit("the") + 2 * pair) / 4, nothing, nothing, nothing, unit("king")]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32 and found.shape == (7, DIM)
    counted = {"texts": 7, "empty": 3, "tokens": 10, "words": 10, "unknown": 2, "cut_texts": 0, "cut_tokens": 0}
    assert encoder.tally.as_dict() == counted
    assert isinstance(encoder, WordsEncoder) and encoder.encode([]).shape == (0, DIM)


@pytest.mark.parametrize(
    "text, cased, words",
    [
        ("The king", False, ["the", "king"]),
        ("The king", True, ["The", "king"]),  # "the" is what is found
        ("C++ don't . stop.", False, ["c++", "don't", ".", "stop"]),
        ("“King’s” (queen), prince—throne", False, ["king", "s", "queen", "prince", "throne"]),
        ("well-known New_York", False, ["well", "known", "new", "york"]),
        ("... -- !", False, []),
        ("über日本 ½ 3,000", False, ["über日本", "½", "3", "000"]),
    ],
)
def test_how_texts_are_split(text, cased, words):
    rows = {word: i for i, word in enumerate(NAMES)}
    split = WordSplitter(lambda names: np.array([rows.get(name, -1) for name in names], np.int64), cased=cased)
    for _ in range(2):  # the second time they are remembered
        (found,) = split.of([text])
        assert [word for word, _ in found] == words
        assert [row for _, row in found] == [rows.get(word.lower(), -1) for word in words]


def test_capitals_count_where_the_model_has_them(tmp_path):
    path = tmp_path / "cased.vec"
    path.write_bytes(made.word2vec_text(["Turkey", "turkey", "US", "lamp"], np.eye(4, dtype=np.float32)))
    encoder = WordsEncoder(path)
    found = encoder.encode(["Turkey", "turkey", "TURKEY", "US", "us", "LAMP"]).argmax(axis=1)
    assert found.tolist() == [0, 1, 1, 2, 0, 3] and encoder.tally.unknown == 1


@settings(max_examples=50)
@given(st.lists(st.lists(st.sampled_from([*NAMES, "zzyzx", "(Queen)", "bread-soup"]), max_size=30).map(" ".join), max_size=9))
def test_a_text_has_one_vector(tmp_path_factory, texts):
    folder = tmp_path_factory.getbasetemp() / "one-vector"
    if not folder.exists():
        folder.with_suffix(".vec").write_bytes(made.word2vec_text(NAMES, VECTORS))
        import_words(folder.with_suffix(".vec"), folder, sif=0.01)
    with pytest.MonkeyPatch.context() as patch:
        encoder = WordsEncoder(folder)
        alone = [encoder.encode([text])[0] for text in texts]
        patch.setattr(module, "MOST_WORDS", 7)
        np.testing.assert_allclose(encoder.encode(texts), np.array(alone).reshape(-1, DIM), atol=1e-6)
        for text, vector in zip(texts, alone, strict=True):
            words, shares = encoder.shares(text)
            np.testing.assert_allclose(shares.sum(axis=0), vector, atol=1e-6)
            assert len(words) == len(shares)


def test_weights_by_rank(file, tmp_path):
    plain = WordsEncoder(file)
    weighed = WordsEncoder(import_words(file, tmp_path / "sif", sif=0.1).folder.path)
    total = np.log(len(NAMES)) + np.euler_gamma
    weights = {word: 0.1 / (0.1 + 1 / ((NAMES.index(word) + 1) * total)) for word in ("the", "soup")}
    expected = weights["the"] * unit("the") + weights["soup"] * unit("soup")
    np.testing.assert_allclose(weighed.encode(["the soup"])[0], expected / sum(weights.values()), atol=1e-6)
    assert weights["the"] < 0.5 * weights["soup"] and weighed.fingerprint != plain.fingerprint


@pytest.fixture
def subwords(tmp_path: Path) -> Path:
    path = tmp_path / "subwords.bin"
    path.write_bytes(made.fasttext_binary(NAMES, np.concatenate([VECTORS, BUCKETS])))
    return path


def test_no_word_is_unknown_to_a_model_with_ngrams(subwords):
    encoder = WordsEncoder(subwords)
    matrix = np.concatenate([VECTORS, BUCKETS])
    texts = ["zzyzx", "king zzyzx", "Ωmega"]
    found = encoder.encode(texts)
    of = {
        word: normalise(made.subword_vector(word, NAMES, matrix, 3, 6)[None])[0] for word in ("zzyzx", "king", "Ωmega".lower())
    }
    np.testing.assert_allclose(found, [of["zzyzx"], (of["king"] + of["zzyzx"]) / 2, of["ωmega"]], atol=1e-6)
    assert encoder.tally.unknown == 3 and encoder.tally.empty == 0
    assert not encoder.encode(["x" * 5000]).any()  # longer than any word


def test_sentences_are_those_of_fasttext_itself(tmp_path):
    told = json.loads((made.FASTTEXT / "fasttext.json").read_text(encoding="utf-8"))["sentences"]
    found = WordsEncoder(import_words(made.FASTTEXT / "fasttext.bin", tmp_path / "made").folder.path).encode(list(told))
    np.testing.assert_allclose(found, list(told.values()), atol=1e-6)


# -- opening -------------------------------------------------------------------------------------------------------------


def test_a_file_is_opened_at_once_and_read_when_needed(file):
    before = cached()
    encoder = open_encoder(file)
    assert isinstance(encoder, WordsEncoder) and encoder.dim == DIM and can_open(file)
    assert encoder.describe() == {"length": DIM, "vocabulary": "12 words", "file format": "word2vec text"}
    assert cached() == before
    np.testing.assert_allclose(encoder.encode(["king"])[0], unit("king"), atol=1e-6)
    (made_folder,) = cached() - before
    touched = made_folder.stat().st_mtime_ns, (made_folder / "vectors.npy").stat().st_mtime_ns
    again = open_encoder(file)
    assert again.fingerprint == encoder.fingerprint and list(again.words) == NAMES
    assert (made_folder.stat().st_mtime_ns, (made_folder / "vectors.npy").stat().st_mtime_ns) == touched
    # Damaged, it is made again; from another file, another one takes its place.
    (made_folder / "vectors.npy").unlink()
    (made_folder / "vectors.npy").write_bytes(b"")
    np.testing.assert_array_equal(open_encoder(file).encode(["king"]), encoder.encode(["king"]))
    file.write_bytes(made.word2vec_text(NAMES, 2 - VECTORS))
    assert open_encoder(file).fingerprint != encoder.fingerprint
    assert made_folder not in cached() and len(cached()) == len(before) + 1


def cached() -> set[Path]:
    return set((cache_folder() / "words").glob("*"))


def test_a_file_that_changes_under_the_encoder(file):
    encoder = open_encoder(file)
    file.write_bytes(made.word2vec_text(NAMES, VECTORS[:, :3]))
    with pytest.raises(CheckpointError, match="has changed since it was opened; open it again"):
        encoder.encode(["king"])


def test_reading_tells_how_far_it_has_come(subwords, monkeypatch):
    monkeypatch.setattr("vecsearch.encoders.words.writer.COMPOSED_ROWS", 5)
    heard = Told()
    encoder = open_encoder(subwords)
    encoder.prepare(heard)
    words = heard.steps["words"]
    assert words == sorted(words) and words[-1] == len(NAMES) and len(words) > 4
    encoder.prepare(Told(lambda name, done: pytest.fail("it has been read")))


def test_another_process_may_be_faster(file, monkeypatch):
    from vecsearch.encoders.words import importing
    from vecsearch.errors import ResourceError

    real = importing.import_words

    def beaten(path, output, **options):
        real(path, output, **options)
        raise ResourceError("the folder is there")

    monkeypatch.setattr(importing, "import_words", beaten)
    np.testing.assert_allclose(open_encoder(file).encode(["king"])[0], unit("king"), atol=1e-6)


@pytest.mark.parametrize(
    "name", ["config.json", "vectors.npy", "words.txt", "starts.npy", "hashes.npy", "rows.npy", "ngrams.npy"]
)
def test_a_damaged_folder_is_named(subwords, tmp_path, name):
    folder = import_words(subwords, tmp_path / "made").folder.path
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-9])
    with pytest.raises(CheckpointError, match=rf"{name}"):
        WordsEncoder(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name}"):
        WordsEncoder(folder)
    flipped = bytes([*whole[:-2], whole[-2] ^ 1, whole[-1]])
    (folder / name).write_bytes(flipped)
    with pytest.raises(CheckpointError, match=r"sha256|cannot be read"):
        WordsEncoder(folder).describe()
    with pytest.raises(CheckpointError, match=r"has changed since|cannot be read"):
        (tmp_path / "copy").mkdir()
        WordsEncoder(folder).save(tmp_path / "copy")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"format": 2}, "format 2 of kind 'words'; this vecsearch reads format 1"),
        ({"rows": 10**15}, f"holds {10**15} as rows"),
        ({"unique": 99}, "holds 99 as unique"),
        ({"dim": True}, "holds True as dim"),
        ({"dim": 9}, "bytes of vectors.npy, which is an array"),
        ({"dtype": "float64"}, "'float64' as dtype"),
        ({"cased": 1}, "1 as cased"),
        ({"sif": -1.0}, "-1.0 as sif"),
        ({"sif": float("inf")}, "inf as sif"),
        ({"subwords": {"minn": 3, "maxn": 999, "bucket": 60}}, "999 as subwords.maxn"),
        ({"subwords": {"minn": 3}}, "no subwords.maxn"),
        ({"subwords": None}, "the files"),
        ({"files": {}}, "the files"),
        ({"files": None}, "None as files"),
        ({"source": 3}, "3 as source"),
        ({"more": 3}, "cannot be read"),
    ],
)
def test_a_config_that_cannot_be(subwords, tmp_path, change, message):
    folder = import_words(subwords, tmp_path / "made").folder.path
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(CheckpointError, match=message):
        open_encoder(folder)


def test_rows_that_are_none(encoder):
    path = encoder._path / "rows.npy"
    data = bytearray(path.read_bytes())
    data[128:] = b"\x7f" * len(data[128:])
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"rows\.npy.* names row .* of 12"):
        WordsEncoder(encoder._path).encode(["king"])


# -- in an index ---------------------------------------------------------------------------------------------------------


def test_an_index_carries_it(encoder, tmp_path):
    documents = [Document(word, word) for word in NAMES]
    Index.build(tmp_path / "index", documents, encoder).close()
    shutil.rmtree(encoder._path)
    with Index.open(tmp_path / "index") as index:
        assert isinstance(index.encoder, WordsEncoder) and index.encoder.fingerprint == index.manifest.encoder["fingerprint"]
        assert [hit.id for hit in index.query(["tomato soup"], k=4)[0]] != []
        assert {hit.id for hit in index.query(["tomato soup"], k=4)[0]} == set(GROUPS["food"])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("direct", [True, False], ids=["file", "folder"])
def test_every_format_on_the_command_line(vecsearch, tmp_path, monkeypatch, format, direct):
    monkeypatch.chdir(tmp_path)
    suffix, write = FORMATS[format]
    model = Path(f"words{suffix}")
    model.write_bytes(write(NAMES, VECTORS))
    if not direct:
        ran = vecsearch("model", "import", model, "-o", "model")
        assert ran.code == 0 and "12 words, without capitals" in ran.out, ran.err
        ran, model = vecsearch("model", "info", "model"), Path("model")
        assert ran.code == 0 and "word vectors" in ran.out and "all alike" in ran.out
    ran = vecsearch("build", "--vocabulary", "--encoder", model, "-o", "words", "--json")
    assert ran.code == 0 and json.loads(ran.out)["rows"] == len(NAMES), ran.err
    assert {row["id"] for row in rows(vecsearch("similar", "words", "bread", "-k", 3))} == set(GROUPS["food"]) - {"bread"}
    asked = ["--plus", "king", "--plus", "bread", "--minus", "prince", "-k", 1]
    assert rows(vecsearch("analogy", "words", *asked))[0]["id"] in GROUPS["food"]
    assert rows(vecsearch("odd-one-out", "words", "king", "queen", "prince", "soup"))[0]["id"] == "soup"
    Path("texts.txt").write_text("The prince and his throne\nBread, butter and zzyzx\n")
    ran = vecsearch("build", "texts.txt", "--encoder", model, "-o", "texts")
    assert ran.code == 0 and "of 9 words are unknown to the model" in ran.err, ran.err
    hit = rows(vecsearch("query", "texts", "A king", "-k", 1, "--explain"))[0]
    assert hit["id"] == "1"
    np.testing.assert_allclose(sum(word["contribution"] for word in hit["explanation"]), hit["score"], atol=1e-5)
    found = rows(vecsearch("similarity", "king", "queen", "--encoder", model))[0]
    assert found["cosine_percentile"] > 50 and found["cosine"] == pytest.approx(float(unit("king") @ unit("queen")), abs=1e-5)


def rows(ran) -> list[dict]:
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def test_repeated_words_are_indexed_once(vecsearch, tmp_path):
    (tmp_path / "twice.vec").write_bytes(made.word2vec_text([*NAMES, "king"], np.concatenate([VECTORS, VECTORS[:1]])))
    for number, option in enumerate(([], ["--all-words"])):
        ran = vecsearch(
            "build", "--vocabulary", "--encoder", tmp_path / "twice.vec", "-o", tmp_path / f"i{number}", "--json", *option
        )
        assert rows(ran)[0]["rows"] == len(NAMES) and "1 words that came before were left out" in ran.err


@pytest.mark.parametrize(
    "command, code, message",
    [
        (["build", "t.txt", "--encoder", "words.vec,pooling=mean", "-o", "x"], 2, "is word vectors, .* leave out pooling"),
        (["build", "t.txt", "--encoder", "words.vec,layers=1", "-o", "x"], 2, "leave out layers"),
        (["build", "t.txt", "--encoder", "words.vec,max_tokens=9", "-o", "x"], 2, "leave out max_tokens"),
        (["encode", "t.txt", "--encoder", "words.vec", "--marked"], 2, "a word is the same in any context"),
        (["model", "import", "words.vec", "--vocab", "v.json", "-o", "x"], 2, "words.vec holds word vectors: of the options"),
        (["model", "import", "m.pth", "--sif", "0.1", "-o", "x"], 2, "--most, --sif and --ngrams are for word vectors"),
        (["model", "import", "b.bin", "--ngrams", "-o", "x"], 2, "leave out --ngrams"),
        (["model", "import", "words.vec", "--sif", "0", "-o", "x"], 2, "0.0 is not in the range"),
        (["model", "import", "none.vec", "-o", "x"], 3, "none.vec cannot be read: No such file"),
        (["model", "import", "words.vec", "-o", "full"], 2, "exists and is not empty"),
        (["model", "import", "t.txt", "-o", "x"], 3, "t.txt, line 1: 'king' is no number that float32 has"),
        (["build", "t.txt", "--encoder", "t.txt", "-o", "x"], 3, "t.txt, line 1: 'king' is no number that float32 has"),
        (["model", "info", "half.vec"], 3, "half.vec, line 1: the header says 12 rows"),
        (["model", "import", "cut.vec", "-o", "x"], 3, "cut.vec, line 13: "),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else None,
)
def test_what_is_refused_on_the_command_line(vecsearch, tmp_path, monkeypatch, file, command, code, message):
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text("the king\nof bread\n")
    Path("b.bin").write_bytes(made.fasttext_binary(NAMES, np.concatenate([VECTORS, BUCKETS])))
    Path("full").mkdir()
    Path("full/a").touch()
    Path("half.vec").write_bytes(file.read_bytes()[:100])
    Path("cut.vec").write_bytes(file.read_bytes()[:-30])
    ran = vecsearch(*command)
    assert ran.code == code
    assert re.search(message, ran.err), ran.err
    assert not Path("x").exists()


def test_import_has_options(vecsearch, tmp_path, monkeypatch, file):
    monkeypatch.chdir(tmp_path)
    ran = vecsearch("model", "import", file, "-o", "made", "--most", 9, "--sif", 0.001, "--ngrams", "--half")
    lines = {" ".join(line.split()) for line in ran.out.splitlines()}
    assert {"vocabulary 9 words, without capitals", "weights SIF 0.001, by rank"} <= lines
    assert "unknown words by n-grams of 3 to 6 characters" in lines and any(line.startswith("stored float16") for line in lines)
    encoder = open_encoder(tmp_path / "made")
    found = encoder.encode(["tomatoes", "tomato", "the king"])
    assert encoder.tally.unknown == 1 and normalise(found)[0] @ normalise(found)[1] > 0.9


def test_broken_words_are_noted(vecsearch, tmp_path):
    (tmp_path / "a.vec").write_bytes(b"2 1\nk\xffng 1\nok 1\n")
    assert "1 words are no UTF-8" in vecsearch("model", "import", tmp_path / "a.vec", "-o", tmp_path / "made").err


def test_ulmfit_still_tells_its_words(tiny):
    assert isinstance(tiny, UlmfitEncoder)
    ids, counts = tiny.word_ids()
    assert counts == {"special_words": 9, "pieces": 0, "untrained_words": 0} and len(ids) == len(tiny.words) - 9
    assert len(tiny.word_ids(all_words=True)[0]) == len(tiny.words)


def test_options_of_other_encoders_are_refused(file):
    with pytest.raises(UsageError, match="leave out pooling and layers"):
        open_encoder(file, pooling="mean", layers=[1])
