"""The manifest: what is written is read, and nothing else is."""

import json
import re
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
FIGURES = {"queries": 400, "mean": 0.97, "low": 0.96, "high": 0.98}
GOAL = {"spec": None, "recall": 0.95, "k": 10, "memory": None}


def files_of(segment: dict, dim: int) -> dict:
    rows = segment["rows"]
    sizes = {"vectors.npy": 128 + 4 * rows * dim, "norms.npy": 128 + 4 * rows, "documents.sqlite": 4096}
    sizes |= {segment["faiss"]: 1000} if segment["faiss"] else {}
    return {f"segments/{segment['name']}/{file}": {"bytes": size, "sha256": HASH} for file, size in sizes.items()}


@st.composite
def entries(draw, name: str, rows: int) -> dict:
    spec = draw(st.text())
    return {
        "name": name,
        "rows": rows,
        "documents": draw(st.integers(0, rows)),
        "spec": spec,
        "effort": draw(st.dictionaries(st.text(), st.integers(), max_size=2)),
        "recall": draw(st.none() | st.just(RECALL) | st.just(RECALL | {"by": {"rows": FIGURES, "questions": FIGURES}})),
        "faiss": None if spec == "exact" else "index-000001.faiss",
    }


@st.composite
def manifests(draw) -> Manifest:
    dim = draw(st.integers(1, 5000))
    rows = draw(st.lists(st.integers(0, 10**12), max_size=3))
    segments = [draw(entries(f"{i:06d}-0", n)) for i, n in enumerate(rows)]
    files = {path: entry for segment in segments for path, entry in files_of(segment, dim).items()}
    encoder = draw(st.none() | st.just({"folder": "encoder/e-000001", "fingerprint": "ab"}))
    if encoder:
        files["encoder/e-000001/config.json"] = {"bytes": 2, "sha256": HASH}
    deletes = draw(st.none() | st.just({"file": "deletes-000003.npy", "rows": sum(rows)})) if sum(rows) else None
    if deletes:
        files["deletes-000003.npy"] = {"bytes": 128 + 8 * sum(rows), "sha256": HASH}
    clusters = None
    if draw(st.booleans()):
        labelled, count = draw(st.integers(0, sum(rows))), draw(st.integers(0, 100))
        clusters = CLUSTERS | {"rows": labelled, "count": count}
        files["labels-000001.npy"] = {"bytes": 128 + 4 * labelled, "sha256": HASH}
        files["centres-000001.npy"] = {"bytes": 128 + 4 * count * dim, "sha256": HASH}
        files["clusters-000001.json"] = {"bytes": draw(st.integers(0, 100)), "sha256": HASH}
    return Manifest(
        generation=draw(st.integers(1, 10**9)),
        created="2030-01-01T00:00:00+00:00",
        metric=draw(st.sampled_from(["cosine", "ip"])),
        dim=dim,
        rows=sum(rows),
        goal=GOAL | {"spec": draw(st.none() | st.text())},
        chunks=draw(st.none() | st.just({"tokens": 200, "overlap": 40})),
        encoder=encoder,
        segments=segments,
        deletes=deletes,
        files=files,
        counts=draw(st.dictionaries(st.text(), st.integers(), max_size=3)),
        provenance=draw(st.dictionaries(st.text(), JSON, max_size=3)),
        previous=draw(st.none() | st.just({"generation": 6, "sha256": HASH})),
        clusters=clusters,
        keep=draw(st.integers(1, 100)),
    )


EFFORT = {"efSearch": 20, "candidates": 40}
SEARCHED = {
    "name": "000001-0",
    "rows": 7,
    "documents": 5,
    "spec": "HNSW32",
    "effort": EFFORT,
    "recall": RECALL,
    "faiss": "index-000001.faiss",
}
DELETES = {"file": "deletes-000001.npy", "rows": 2}
CLUSTERS = {
    "labels": "labels-000001.npy",
    "centres": "centres-000001.npy",
    "summary": "clusters-000001.json",
    "rows": 6,
    "count": 2,
}
CLUSTERS_FILES = {
    "labels-000001.npy": {"bytes": 152, "sha256": HASH},
    "centres-000001.npy": {"bytes": 152, "sha256": HASH},
    "clusters-000001.json": {"bytes": 2, "sha256": HASH},
}
MAP = {"places": "places-000001.npy", "areas": "areas-000001.json", "rows": 6, "way": "tsne"}
MAP_FILES = {"places-000001.npy": {"bytes": 176, "sha256": HASH}, "areas-000001.json": {"bytes": 2, "sha256": HASH}}
ONE = Manifest(
    generation=1,
    created="2030-01-01T00:00:00+00:00",
    metric="ip",
    dim=3,
    rows=7,
    goal=GOAL,
    chunks={"tokens": 9, "overlap": 1},
    encoder={"folder": "encoder/e-000001", "fingerprint": "ab"},
    segments=[SEARCHED],
    deletes=DELETES,
    files={
        **files_of(SEARCHED, 3),
        "deletes-000001.npy": {"bytes": 144, "sha256": HASH},
        **CLUSTERS_FILES,
        **MAP_FILES,
        "encoder/e-000001/config.json": {"bytes": 2, "sha256": HASH},
    },
    counts={},
    provenance={},
    previous={"generation": 1, "sha256": HASH},
    keep=3,
    clusters=CLUSTERS,
    map=MAP,
)


@given(manifests())
def test_round_trip(manifest):
    data = manifest.to_bytes()
    assert Manifest.from_bytes(data, "m") == manifest
    assert Manifest.from_bytes(data, "m").to_bytes() == data


def test_unknown_keys_are_ignored():
    data = json.dumps({**asdict(ONE), "colour": "red"}).encode()
    assert Manifest.from_bytes(data, "m") == ONE


@pytest.mark.parametrize("number", [1, 2])
def test_a_manifest_of_an_earlier_format_is_read_as_one_of_now(number):
    old = {name: value for name, value in asdict(ONE).items() if name not in NEW} | {"format": number, "spec": "HNSW32"}
    old["segments"] = [{"name": "000001-0", "rows": 7}]
    old["files"] = old["files"] | {f"{SEGMENT}/index.faiss": {"bytes": 1000, "sha256": HASH}}
    if number == 2:
        old |= {"effort": EFFORT, "recall": RECALL}
    read = Manifest.from_bytes(json.dumps(old).encode(), "m")
    assert (read.format, read.deletes, read.previous, read.chunks, read.keep) == (number, None, None, None, 3)
    (segment,) = read.segments
    searched = SEARCHED | {"documents": 7, "faiss": "index.faiss"}
    # What was built as format 1 compares otherwise: its vectors are searched exactly.
    assert segment == (searched if number == 2 else searched | {"spec": "exact", "effort": {}, "recall": None, "faiss": None})
    assert read.goal["recall"] == (0.95 if number == 2 else None) and read.goal["spec"] == (None if number == 2 else "HNSW32")


NEW = ("goal", "chunks", "deletes", "previous", "keep")


@given(st.integers(4, 10**30))
def test_newer_format_gives_both_numbers(number):
    with pytest.raises(UnsupportedIndexError, match=f"format {number}; this vecsearch reads up to 3: upgrade vecsearch"):
        Manifest.from_bytes(json.dumps({"format": number}).encode(), "m")


@given(st.data())
def test_a_missing_key_or_a_wrong_type_is_named(data):
    values = asdict(ONE)
    key = data.draw(st.sampled_from(sorted(values)))
    if key not in ("clusters", "language", "weights", "sources", "map") and data.draw(st.booleans()):
        del values[key]
    else:
        kinds = (
            (dict, type(None)) if key in ("encoder", "chunks", "deletes", "previous", "clusters", "map") else type(values[key])
        )
        kinds = {"language": (str, type(None)), "sources": (str, type(None)), "weights": (list, type(None))}.get(key, kinds)
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
    with pytest.raises(DamagedIndexError, match=re.escape(f"holds {path!r} as segments[0].name")):
        Manifest.from_bytes(replace(ONE, segments=[SEARCHED | {"name": path}]).to_bytes(), "m")
    with pytest.raises(DamagedIndexError, match="names no file of the encoder's folder"):
        Manifest.from_bytes(replace(ONE, encoder={"folder": path, "fingerprint": ""}).to_bytes(), "m")


SEGMENT = "segments/000001-0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 8}, "says 8 rows, but its segments hold 7"),
        ({"rows": -1}, "holds -1 as rows"),
        ({"dim": 0}, "holds 0 as dim"),
        ({"generation": 0}, "holds 0 as generation"),
        ({"format": 0}, "negative or zero"),
        ({"dim": 4}, "vectors.npy' 212 bytes, but 7 rows take 240"),
        ({"metric": "l2"}, "holds 'l2' as metric"),
        ({"segments": [*ONE.segments, *ONE.segments], "rows": 14}, "names a segment twice"),
        ({"segments": [{"name": "000001-0"}]}, "has no segments[0].rows"),
        ({"segments": ["000001-0"]}, "holds '000001-0' as segments[0]"),
        ({"segments": [SEARCHED | {"name": "2"}]}, "does not name the file 'segments/2/vectors.npy'"),
        ({"segments": [SEARCHED | {"faiss": "other.faiss"}]}, "does not name the file 'segments/000001-0/other.faiss'"),
        ({"segments": [SEARCHED | {"faiss": None}]}, "names None as the FAISS index of '000001-0', whose spec is 'HNSW32'"),
        ({"segments": [SEARCHED | {"faiss": "../x"}]}, "holds '../x' as segments[0].faiss"),
        ({"segments": [SEARCHED | {"documents": 8}]}, "says that the 7 rows of '000001-0' are 8 documents"),
        ({"segments": [SEARCHED | {"spec": None}]}, "holds None as segments[0].spec"),
        ({"segments": [SEARCHED | {"effort": {"nprobe": 1.5}}]}, "holds 1.5 as segments[0].effort['nprobe']"),
        ({"segments": [SEARCHED | {"effort": {"nprobe": True}}]}, "holds True as segments[0].effort['nprobe']"),
        ({"segments": [SEARCHED | {"recall": {"k": 10}}]}, "has no segments[0].recall.queries"),
        ({"segments": [SEARCHED | {"recall": RECALL | {"low": "0.9"}}]}, "holds '0.9' as segments[0].recall.low"),
        ({"segments": [SEARCHED | {"recall": RECALL | {"by": None}}]}, "holds None as segments[0].recall.by"),
        ({"segments": [SEARCHED | {"recall": RECALL | {"by": {"rows": {}}}}]}, "has no segments[0].recall.by['rows'].queries"),
        ({"deletes": DELETES | {"rows": 8}}, "says 8 deleted rows in the file 'deletes-000001.npy'; there are 7"),
        ({"deletes": DELETES | {"rows": 0}}, "holds 0 as deletes.rows"),
        ({"deletes": DELETES | {"rows": 3}}, "does not name the file 'deletes-000001.npy' of 152 bytes"),
        ({"goal": GOAL | {"k": None}}, "holds None as goal.k"),
        ({"chunks": {"tokens": 9}}, "has no chunks.overlap"),
        ({"previous": {"generation": 1}}, "has no previous.sha256"),
        ({"keep": 0}, "holds 0 as keep"),
        ({"language": "xx"}, "holds 'xx' as language"),
        ({"weights": [1]}, "holds [1] as weights"),
        ({"weights": [0, 0]}, "holds [0, 0] as weights"),
        ({"weights": [1, -1]}, "holds [1, -1] as weights"),
        ({"weights": [True, 1]}, "holds [True, 1] as weights"),
        ({"clusters": {"labels": "labels-000001.npy"}}, "has no clusters.centres"),
        ({"clusters": CLUSTERS | {"rows": 8}}, "says that 8 of its 7 rows are in 2 clusters"),
        ({"clusters": CLUSTERS | {"count": -1}}, "holds -1 as clusters.count"),
        ({"clusters": CLUSTERS | {"rows": 5}}, "does not name the file 'labels-000001.npy' of its clusters, or not with 148"),
        ({"clusters": CLUSTERS | {"count": 3}}, "does not name the file 'centres-000001.npy' of its clusters, or not with 164"),
        ({"clusters": CLUSTERS | {"summary": "../x"}}, "holds '../x' as clusters.summary"),
        ({"map": MAP | {"rows": 8}}, "says that 8 of its 7 rows are on a map"),
        (
            {"map": MAP | {"rows": 5}},
            "does not name the files 'places-000001.npy' and 'areas-000001.json' of its map, or not with",
        ),
        ({"map": MAP | {"areas": "other.json"}}, "does not name the files 'places-000001.npy' and 'other.json' of its map"),
        ({"map": MAP | {"places": "../x"}}, "holds '../x' as map.places"),
        ({"map": {"places": "places-000001.npy"}}, "has no map.areas"),
        ({"encoder": {"folder": "encoder/e-000001"}}, "has no encoder.fingerprint"),
        ({"counts": {"a": 1.5}}, "holds 1.5 as counts['a']"),
        ({"files": {**ONE.files, "x": {"bytes": -1, "sha256": HASH}}}, "holds -1 as files['x'].bytes"),
        ({"files": {**ONE.files, "x": {"bytes": 1, "sha256": HASH.replace("0", "G")}}}, "as files['x'].sha256"),
        ({"files": {**ONE.files, "x": [1]}}, "holds [1] as files['x']"),
    ],
)
def test_contradictions_are_damage(changes, message):
    with pytest.raises(DamagedIndexError) as damage:
        Manifest.from_bytes(replace(ONE, **changes).to_bytes(), "m")
    assert message in str(damage.value)
