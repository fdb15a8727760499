"""Several encoders as one: what a cosine of concatenated vectors is, how one is made, and that an index carries all of it."""

import json

import numpy as np
import pytest
from conftest import AxisEncoder, documents
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vecsearch.encoders import ConcatenatedEncoder, Encoder, UlmfitEncoder, can_open, open_encoder
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.index.index import Index
from vecsearch.metric import Metric, normalise, pair_scores

TEXTS = ["the king sat on the bank", "a film of a heist in the city", "she is in love", "war !"]


class Fixed(Encoder):
    """An encoder whose vectors are given, in the order of the texts."""

    def __init__(self, vectors):
        self.vectors, self.dim = np.asarray(vectors, np.float32), len(vectors[0])
        self.fingerprint = f"fixed-{self.vectors.tobytes().hex()}"

    def encode(self, texts):
        return self.vectors[: len(texts)]


def vectors(dim):
    return arrays(np.float32, (2, dim), elements=st.floats(-4, 4, width=16))


@settings(max_examples=200)
@given(vectors(3), vectors(1), vectors(5), st.tuples(*[st.floats(0.01, 100)] * 3))
def test_a_cosine_is_the_weighted_mean_of_the_parts(a, b, c, weights):
    joined = ConcatenatedEncoder([Fixed(a), Fixed(b), Fixed(c)], weights).encode(["", ""])
    shares = np.array(weights) / sum(weights)
    cosines = np.array([pair_scores(part[:1], part[1:], Metric.COSINE)[0] for part in (a, b, c)])
    inner = pair_scores(joined[:1], joined[1:], Metric.INNER_PRODUCT)[0]
    assert inner == pytest.approx(shares @ cosines, abs=1e-5)
    # Of a text that a part has no vector for, only the other parts' weights count.
    counted = [np.sqrt(shares @ [part[i].any() for part in (a, b, c)]) for i in (0, 1)]
    wanted = inner / (counted[0] * counted[1]) if min(counted) > 0 else 0
    assert pair_scores(joined[:1], joined[1:], Metric.COSINE)[0] == pytest.approx(wanted, abs=1e-4)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), counted, atol=1e-5)


def test_only_the_ratio_of_weights_counts():
    parts = [Fixed([[1, 2]]), Fixed([[3, 4]])]
    same, other = ConcatenatedEncoder(parts, [2, 6]), ConcatenatedEncoder(parts, [6, 2])
    one = ConcatenatedEncoder(parts, [1, 3])
    np.testing.assert_array_equal(one.encode([""]), same.encode([""]))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert ConcatenatedEncoder(parts[::-1], [1, 3]).fingerprint != one.fingerprint != ConcatenatedEncoder(parts).fingerprint


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [0, 1], [-1, 1], [float("nan"), 1], [float("inf"), 1]])
def test_weights_that_cannot_be(weights):
    with pytest.raises(UsageError, match="weights"):
        ConcatenatedEncoder([Fixed([[1]]), Fixed([[1]])], weights)


def test_what_is_counted(tiny_folder):
    parts = [UlmfitEncoder(tiny_folder(), max_tokens=4), UlmfitEncoder(tiny_folder(seed=1))]
    joined = ConcatenatedEncoder([*parts, AxisEncoder()])
    joined.encode(["the king sat on the bank", "", "zzz"])
    assert joined.tally.texts == 3 and joined.tally.empty == 2 and joined.tally.cut_texts == 1
    assert joined.tally.tokens == sum(part.tally.tokens for part in parts)
    assert joined.dtype == "float32"


@pytest.fixture
def built(tiny_folder, vecsearch, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    parts = tiny_folder(), f"{tiny_folder(dims=(5, 4), seed=1)},pooling=raw"
    ran = vecsearch("model", "join", *parts, "--weight", 3, "--weight", 1, "-o", tmp_path / "both")
    assert ran.code == 0 and "part 1           25.0%: an ULMFiT model, length 5" in ran.out, ran
    options = ["--encoder", f"{tmp_path / 'both'},max_tokens=5"]
    ran = vecsearch("build", tmp_path / "texts.txt", *options, "--dtype", "float32", "-o", tmp_path / "index")
    assert ran.code == 0, ran.err
    return tmp_path / "index", options


def test_an_index_carries_all_of_them(built, tiny_folder, vecsearch, tmp_path):
    folder, options = built
    with Index.open(folder) as index:
        assert isinstance(index.encoder, ConcatenatedEncoder) and index.dim == 7 + 5
        assert index.encoder.fingerprint == index.manifest.encoder["fingerprint"]
        assert [part.max_tokens for part in index.encoder.parts] == [5, 5]
        stored, parts = index.vectors(index.rows(["1"])), index.encoder.parts
        fresh = [
            UlmfitEncoder(tiny_folder(), max_tokens=5),
            UlmfitEncoder(tiny_folder(dims=(5, 4), seed=1), pooling="raw", max_tokens=5),
        ]
        for part, share, own in zip(np.split(stored, [7], axis=1), (0.75, 0.25), fresh, strict=True):
            np.testing.assert_allclose(part, share**0.5 * normalise(own.encode(TEXTS[:1])), atol=1e-6)
        assert [part.fingerprint for part in parts] == [own.fingerprint for own in fresh]
    ran = vecsearch("query", folder, TEXTS[1], "-k", 1, "--json")
    hit = json.loads(ran.out)
    assert hit["text"] == TEXTS[1] and hit["score"] == pytest.approx(1, abs=1e-5)
    (tmp_path / "more.txt").write_text("a tomato .")
    assert json.loads(vecsearch("add", folder, tmp_path / "more.txt", "--json").out)["added"] == 1
    ran = vecsearch("encode", tmp_path / "texts.txt", *options)
    np.testing.assert_allclose(json.loads(ran.out.splitlines()[0])["vector"], stored[0], atol=1e-6)


def test_ready_vectors_are_asked_by_all_of_them(built, vecsearch, tmp_path):
    _, options = built
    assert vecsearch("encode", tmp_path / "texts.txt", *options, "-o", tmp_path / "texts.npy").code == 0
    assert vecsearch("build", "--vectors", tmp_path / "texts.npy", "-o", tmp_path / "ready").code == 0
    ran = vecsearch("query", tmp_path / "ready", TEXTS[2], *options, "-k", 1, "--json")
    assert json.loads(ran.out)["id"] == "2" and json.loads(ran.out)["score"] == pytest.approx(1, abs=1e-5)


def test_concatenated_encoders_can_be_parts(tiny_folder, tmp_path):
    inner = ConcatenatedEncoder([UlmfitEncoder(tiny_folder()), UlmfitEncoder(tiny_folder(seed=1))], [1, 2])
    outer = ConcatenatedEncoder([inner, UlmfitEncoder(tiny_folder(seed=2))])
    outer.save(tmp_path)
    opened = open_encoder(tmp_path)
    assert opened.fingerprint == outer.fingerprint
    np.testing.assert_array_equal(opened.encode(TEXTS), outer.encode(TEXTS))
    assert open_encoder(tmp_path, pooling="raw").parts[0].parts[1].pooling == "raw"


def test_an_encoder_of_ones_own_can_be_a_part(tiny_folder, tmp_path):
    joined = ConcatenatedEncoder([UlmfitEncoder(tiny_folder()), AxisEncoder()])
    Index.build(tmp_path / "index", documents("a cab", "the king"), joined).close()
    with Index.open(tmp_path / "index") as index, pytest.raises(UsageError, match="encoder"):
        index.query(["a cab"])
    with Index.open(tmp_path / "index", encoder=joined) as index:
        assert index.query(["a cab"], k=1)[0][0].id == "d0"


@pytest.mark.parametrize(
    "options, code, said",
    [
        (["A"], 2, "A: give several"),
        (["A", "B", "--weight", 1], 2, "there are 2 encoders and 1 weights"),
        (["A", "B", "--weight", 0, "--weight", 1], 2, "give a number above 0"),
        (["A", "nowhere"], 3, "no encoder folder nowhere"),
        (["A", "B,poolin=raw"], 2, "'poolin=raw'"),
    ],
)
def test_what_cannot_be_joined(tiny_folder, vecsearch, tmp_path, monkeypatch, options, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "A").symlink_to(tiny_folder())
    (tmp_path / "B").symlink_to(tiny_folder(seed=1))
    ran = vecsearch("model", "join", *options, "-o", "both")
    assert ran.code == code and said in ran.err and sorted(path.name for path in tmp_path.iterdir()) == ["A", "B"]


def test_a_folder_that_holds_something_is_not_overwritten(built, vecsearch, tiny_folder, tmp_path):
    ran = vecsearch("model", "join", tiny_folder(), tiny_folder(seed=1), "-o", tmp_path / "both")
    assert ran.code == 2 and str(tmp_path / "both") in ran.err and open_encoder(tmp_path / "both").dim == 12


def test_it_has_no_words_of_its_own(built, vecsearch, tmp_path):
    ran = vecsearch("build", "--vocabulary", *built[1], "-o", tmp_path / "words")
    assert ran.code == 2 and "a concatenated encoder has no words" in ran.err and not (tmp_path / "words").exists()


@pytest.mark.parametrize(
    "command",
    ["build texts.txt -o x", "encode texts.txt", "query index king", "calibrate pairs.tsv -o x", "similarity king queen"],
)
def test_a_command_that_takes_one_encoder_says_how_to_make_one_of_several(built, vecsearch, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ran = vecsearch(*command.split(), "--encoder", "english", "--encoder", "raw=english,pooling=raw")
    assert (ran.code, ran.out) == (2, "") and "vecsearch model join" in ran.err and sorted(tmp_path.rglob("*")) == before


def test_what_is_in_it(built, vecsearch, tiny_folder):
    folder, _ = built
    encoder = next((folder / "encoder").iterdir())
    ran = vecsearch("model", "info", encoder)
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[1:] == [
        "kind a concatenated encoder",
        "length 12",
        "part 0 75.0%: an ULMFiT model, length 7",
        "part 1 25.0%: an ULMFiT model, length 5",
    ]


@pytest.mark.parametrize(
    "config, said",
    [
        ({"format": 2}, "format 2, this vecsearch reads 1"),
        ({"weights": []}, "weights"),
        ({"weights": [0, 1]}, "weights"),
        ({"weights": ["x", 1]}, "x"),
        ({"weights": None}, "NoneType"),
        ({"weights": [10**400, 1]}, "too large"),
        ({"weights": [1] * 101}, "weights"),
        ({"weights": [1, 1, 1]}, "no encoder folder"),
        ({"weights": [1e999, 1]}, "weights"),
    ],
)
def test_a_broken_folder_is_refused(tiny_folder, tmp_path, config, said):
    ConcatenatedEncoder([UlmfitEncoder(tiny_folder()), UlmfitEncoder(tiny_folder(seed=1))]).save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    with pytest.raises(CheckpointError, match=said):
        open_encoder(tmp_path)


def test_a_broken_part_is_refused(tiny_folder, tmp_path):
    ConcatenatedEncoder([UlmfitEncoder(tiny_folder()), UlmfitEncoder(tiny_folder(seed=1))]).save(tmp_path)
    path = tmp_path / "1/model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=str(path.parent)):
        open_encoder(tmp_path)
    assert can_open(tmp_path)
