"""The manifest: what is written is read, and nothing else is."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.errors import DamagedIndexError, UnsupportedIndexError
from vecsearch.store.manifest import Manifest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)
HASH = "0" * 64
RECALL = {"k": 10, "queries": 400, "mean": 0.97, "low": 0.96, "high": 0.98, "target": 0.95}


def files_of(name: str, rows: int, dim: int) -> dict:
    sizes = {"vectors.npy": 128 + 4 * rows * dim, "norms.npy": 128 + 4 * rows, "documents.sqlite": 4096}
    return {f"segments/{name}/{file}": {"bytes": size, "sha256": HASH} for file, size in sizes.items()}


@st.composite
def manifests(draw) -> Manifest:
    dim = draw(st.integers(1, 5000))
    rows = draw(st.lists(st.integers(0, 10**12), max_size=3))
    segments = [{"name": f"{i:06d}-0", "rows": n} for i, n in enumerate(rows)]
    files = {path: entry for segment in segments for path, entry in files_of(segment["name"], segment["rows"], dim).items()}
    encoder = draw(st.none() | st.just({"folder": "encoder/e-000001", "fingerprint": "ab"}))
    if encoder:
        files["encoder/e-000001/config.json"] = {"bytes": 2, "sha256": HASH}
    return Manifest(
        generation=draw(st.integers(1, 10**9)),
        created="2030-01-01T00:00:00+00:00",
        metric=draw(st.sampled_from(["cosine", "ip"])),
        dim=dim,
        rows=sum(rows),
        spec=draw(st.text()),
        effort=draw(st.dictionaries(st.text(), st.integers(), max_size=2)),
        recall=draw(st.none() | st.just(RECALL)),
        encoder=encoder,
        segments=segments,
        files=files,
        counts=draw(st.dictionaries(st.text(), st.integers(), max_size=3)),
        provenance=draw(st.dictionaries(st.text(), JSON, max_size=3)),
    )


ONE = Manifest(
    generation=1,
    created="2030-01-01T00:00:00+00:00",
    metric="ip",
    dim=3,
    rows=7,
    spec="exact",
    effort={"candidates": 40},
    recall=RECALL,
    encoder={"folder": "encoder/e-000001", "fingerprint": "ab"},
    segments=[{"name": "000001-0", "rows": 7}],
    files={**files_of("000001-0", 7, 3), "encoder/e-000001/config.json": {"bytes": 2, "sha256": HASH}},
    counts={},
    provenance={},
)


@given(manifests())
def test_round_trip(manifest):
    data = manifest.to_bytes()
    assert Manifest.from_bytes(data, "m") == manifest
    assert Manifest.from_bytes(data, "m").to_bytes() == data


def test_unknown_keys_are_ignored():
    data = json.dumps({**asdict(ONE), "colour": "red"}).encode()
    assert Manifest.from_bytes(data, "m") == ONE


def test_a_manifest_of_format_1_has_no_effort_and_no_recall():
    old = asdict(ONE) | {"format": 1}
    del old["effort"], old["recall"]
    assert Manifest.from_bytes(json.dumps(old).encode(), "m") == replace(ONE, format=1, effort={}, recall=None)


@given(st.integers(3, 10**30))
def test_newer_format_gives_both_numbers(number):
    with pytest.raises(UnsupportedIndexError, match=f"format {number}; this vecsearch reads up to 2: upgrade vecsearch"):
        Manifest.from_bytes(json.dumps({"format": number}).encode(), "m")


@given(st.data())
def test_a_missing_key_or_a_wrong_type_is_named(data):
    values = asdict(ONE)
    key = data.draw(st.sampled_from(sorted(values)))
    if data.draw(st.booleans()):
        del values[key]
    else:
        kinds = (dict, type(None)) if key in ("encoder", "recall") else type(values[key])
        values[key] = data.draw(JSON.filter(lambda value: isinstance(value, bool) or not isinstance(value, kinds)))
    with pytest.raises(DamagedIndexError, match=f"^m .*{key}"):
        Manifest.from_bytes(json.dumps(values).encode(), "m")


@given(st.binary())
def test_other_bytes_are_damage(data):
    with pytest.raises(DamagedIndexError, match=r"^m .*restore it from a copy, or build the index again; nothing was changed$"):
        Manifest.from_bytes(data, "m")


ESCAPES = ["../x", "/etc/passwd", "a/../../x", "a\\..\\x", "C:\\x", ".", "a//b", "", "a/./b", "a\0b"]


@pytest.mark.parametrize("path", ESCAPES)
def test_paths_stay_below_the_folder(path):
    escaping = replace(ONE, files={**ONE.files, path: {"bytes": 1, "sha256": HASH}})
    with pytest.raises(DamagedIndexError, match="not below the index folder"):
        Manifest.from_bytes(escaping.to_bytes(), "m")
    with pytest.raises(DamagedIndexError, match="not below the index folder"):
        Manifest.from_bytes(replace(ONE, segments=[{"name": path, "rows": 7}]).to_bytes(), "m")
    with pytest.raises(DamagedIndexError, match="names no file of the encoder's folder"):
        Manifest.from_bytes(replace(ONE, encoder={"folder": path, "fingerprint": ""}).to_bytes(), "m")


SEGMENT = "segments/000001-0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 8}, "says 8 rows, but its segments hold 7"),
        ({"rows": -1}, "negative or zero"),
        ({"dim": 0}, "negative or zero"),
        ({"generation": 0}, "negative or zero"),
        ({"format": 0}, "negative or zero"),
        ({"dim": 4}, "vectors.npy' 212 bytes, but 7 rows take 240"),
        ({"metric": "l2"}, "unknown metric 'l2'"),
        ({"segments": [*ONE.segments, *ONE.segments], "rows": 14}, "names a segment twice"),
        ({"segments": [{"name": "000001-0"}]}, "without a name or a number of rows"),
        ({"segments": ["000001-0"]}, "without a name or a number of rows"),
        ({"segments": [{"name": "2", "rows": 7}]}, "does not name the file 'segments/2/vectors.npy'"),
        ({"encoder": {"folder": "encoder/e-000001"}}, "folder and fingerprint"),
        ({"counts": {"a": 1.5}}, "something else than integers in 'counts'"),
        ({"effort": {"nprobe": 1.5, "candidates": 40}}, "something else than integers in 'effort'"),
        ({"effort": {"nprobe": True, "candidates": 40}}, "something else than integers in 'effort'"),
        ({"recall": {"k": 10}}, "holds no k, queries, mean, low, high and target as its recall"),
        ({"recall": RECALL | {"low": "0.9"}}, "holds no k, queries, mean, low, high and target as its recall"),
        ({"files": {**ONE.files, "x": {"bytes": -1, "sha256": HASH}}}, "no size for 'x'"),
        ({"files": {**ONE.files, "x": {"bytes": 1, "sha256": HASH.replace("0", "G")}}}, "no sha256 for 'x'"),
        ({"files": {**ONE.files, "x": [1]}}, "no size for 'x'"),
    ],
)
def test_contradictions_are_damage(changes, message):
    with pytest.raises(DamagedIndexError) as damage:
        Manifest.from_bytes(replace(ONE, **changes).to_bytes(), "m")
    assert message in str(damage.value)
