"""Small indexes whose every byte is known, for the tests of the store."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from vecsearch import clustering
from vecsearch.clustering.map import make_map
from vecsearch.corpus.corpus import Corpus
from vecsearch.corpus.document import Document
from vecsearch.encoders import Encoder
from vecsearch.index import adopt as adoption
from vecsearch.index import update as updating
from vecsearch.index.adopt import Adopted
from vecsearch.index.build import Options
from vecsearch.index.compact import compact
from vecsearch.index.index import Index
from vecsearch.metric import Metric
from vecsearch.store.layout import CURRENT, LOCK, manifest_name
from vecsearch.store.manifest import Manifest
from vecsearch.store.segment import SegmentWriter
from vecsearch.store.segment_record import SegmentRecord, describe_segment, write_record
from vecsearch.store.snapshot import Snapshot, generations, open_snapshot, read_manifest
from vecsearch.store.writer import IndexWriter

# In memory where there is such a disk: a killed process loses none of what it wrote there either, and syncing is quick.
QUICK_DISK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
DIM = 3
FINGERPRINT = "0123456789abcdef" * 4


GOAL = {"spec": "exact", "recall": None, "k": 10, "memory": None}
NONE = np.empty(0, np.int64)


def open_files(folder: Path) -> int:
    """How many descriptors of this process are of files in a folder."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            found += os.readlink(f"/proc/self/fd/{name}").startswith(f"{folder}/")
    return found


def entry(segment: SegmentWriter, spec: str = "exact", faiss: str | None = None) -> dict:
    """What a manifest says of a segment."""
    counts = {"rows": segment.rows, "documents": segment.progress.documents}
    return {"name": segment.folder.name, **counts, "spec": spec, "effort": {}, "recall": None, "faiss": faiss}


def documents(tag: str, rows: int) -> list[Document]:
    return [
        Document(f"{tag}{i}", f"text {i} of {tag} é\0𝄞", {"year": 1900 + i, "tags": ["ä", None]}, f"{tag}.txt, line {i + 1}")
        for i in range(rows)
    ]


def vectors(tag: str, rows: int) -> np.ndarray:
    return np.random.default_rng(list(tag.encode())).standard_normal((rows, DIM)).astype(np.float32)


def build(
    folder: Path,
    tag: str,
    rows: int = 7,
    *,
    block: int = 3,
    stop: int | None = None,
    encoder: bool = True,
    keep: int = 1,
    **options,
) -> Manifest | None:
    """Build the index of `tag`, all of it or, with `stop`, up to that row and without a commit."""
    with IndexWriter(folder, **options) as writer:
        segment = writer.segment(DIM, {"corpus": tag})
        stream = iter(documents(tag, rows))
        segment.skip(stream)
        for start in range(segment.rows, rows if stop is None else stop, block):
            end = min(start + block, rows)
            taken = [next(stream) for _ in range(start, end)]
            segment.append(taken, vectors(tag, rows)[start:end], counts={"documents": end})
        if stop is not None:
            return None
        segment.finish()
        (segment.folder / writer.faiss_name).write_bytes(b"index of " + tag.encode())
        if encoder:
            (writer.encoder_folder(FINGERPRINT) / "config.json").write_bytes(b"{}")
        return writer.commit(
            [entry(segment, spec="Flat", faiss=writer.faiss_name)],
            NONE,
            metric=str(Metric.COSINE),
            dim=DIM,
            goal=GOAL,
            encoder={"fingerprint": FINGERPRINT} if encoder else None,
            counts=segment.progress.counts,
            provenance={"corpus": tag},
            keep=keep,
        )


def assert_holds(snapshot: Snapshot, tag: str, rows: int = 7) -> None:
    """The open index is that of `tag`, in every part."""
    (segment,) = snapshot.segments
    assert snapshot.manifest.provenance == {"corpus": tag}
    assert snapshot.manifest.rows == segment.rows == rows
    np.testing.assert_array_equal(segment.vectors, vectors(tag, rows))
    np.testing.assert_allclose(segment.norms, np.linalg.norm(vectors(tag, rows), axis=1), rtol=1e-6)
    assert segment.documents.get(range(rows)) == documents(tag, rows)


def held(folder: Path) -> str:
    """The tag of the whole index in `folder`."""
    with open_snapshot(folder) as snapshot:
        tag = snapshot.manifest.provenance["corpus"]
        assert_holds(snapshot, tag)
        assert snapshot.segments[0].index_path.read_bytes() == b"index of " + tag.encode()
        assert (snapshot.encoder_folder / "config.json").read_bytes() == b"{}"
        return tag


# -- an index with a history, what it holds at each generation, and what can be done to it -----------------------------


class Letters(Encoder):
    """An encoder that counts the letters "abc" of a text, and how many texts it was given."""

    dim = 3
    fingerprint = "letters"

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts):
        self.encoded += len(texts)
        return np.array([[text.count(letter) for letter in "abc"] for text in texts], np.float32).reshape(-1, 3)

    def save(self, folder: Path) -> None:
        (Path(folder) / "config.json").write_text('{"kind": "letters"}')


Held = dict[str, str]
"""What an index holds: the texts of its documents, by id."""


def of(held: Held) -> list[Document]:
    return [Document(id, text, {"length": len(text)}) for id, text in held.items()]


def add(folder: Path, held: Held, **options) -> updating.Changes:
    return updating.add(folder, Corpus(of(held)), Letters(), **options)


FIRST = {f"d{i}": f"x {'a' * (1 + i % 3)}{'b' * i}{'c' * (i % 4)}" for i in range(6)}
SECOND = FIRST | {"d3": "x ccc", "d6": "x bc", "d7": "x ab"}
THIRD = {id: text for id, text in SECOND.items() if id not in ("d1", "d7")}
FOURTH = THIRD | {"d8": "x ac é𝄞"}
HISTORY = {1: FIRST, 2: SECOND, 3: THIRD, 4: FOURTH, 5: FOURTH}
"""What `live_index` holds at each of its generations; the last three are kept."""


def standalone(folder: Path, documents: list[Document], vectors: np.ndarray, **said) -> SegmentRecord:
    """A segment that stands by itself in a new folder, searched exactly; `said` replaces what its record says by default."""
    folder.mkdir(parents=True)
    segment = SegmentWriter(folder, vectors.shape[1])
    segment.append(documents, vectors, said.pop("spans", None), counts={"documents": len(documents)})
    values = {"metric": "cosine", "encoder": None, "chunks": None, "language": "none"} | said
    segment.finish(values["language"])
    record = describe_segment(folder, entry(segment), segment.progress, dim=segment.dim, **values)
    write_record(folder, record)
    return record


@cache
def elsewhere() -> Path:
    """A standalone segment of what `ADOPTED` holds, made once; it goes with the process."""
    folder = tempfile.mkdtemp(dir=QUICK_DISK)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    documents = of(ADOPTED)
    vectors = Letters().encode([document.text for document in documents])
    standalone(Path(folder) / "segment", documents, vectors, encoder={"fingerprint": "letters", "dtype": "float32"})
    return Path(folder) / "segment"


def adopt(folder: Path) -> Adopted:
    return adoption.adopt(folder, [elsewhere()], replace=True)


def live_index(folder: Path) -> None:
    """An index of three segments and some deletes, with an encoder, a FAISS index and clusters, at generation 5."""
    elsewhere()
    Index.build(folder, of(FIRST), Letters(), options=Options(spec="HNSW4")).close()
    add(folder, SECOND)
    updating.delete(folder, ids=["d1", "d7"])
    add(folder, FOURTH)
    cluster(folder)


def cluster(folder: Path) -> None:
    with Index.open(folder, encoder=Letters(), check=False) as index:
        clustering.cluster(index, clustering.Settings(k=2))


def draw_map(folder: Path) -> None:
    with Index.open(folder, encoder=Letters(), check=False) as index:
        make_map(index, way="pca", keep=True)


ADDED = {"d0": FOURTH["d0"], "d2": "x cb", "d9": "x aabcc"}
DELETED = ["d0", "d8"]
ADOPTED = {"d2": "x cab", "d9": "x aabcc", "d10": "x b"}

COMMANDS: dict[str, tuple[Callable[[Path], object], Held]] = {
    "add": (partial(add, held=ADDED), FOURTH | ADDED),
    "adopt": (adopt, FOURTH | ADOPTED),
    "delete": (partial(updating.delete, ids=DELETED), {id: FOURTH[id] for id in FOURTH if id not in DELETED}),
    "compact": (compact, FOURTH),
    "rebuild": (updating.rebuild, FOURTH),
    "rollback": (partial(updating.rollback, generation=3), THIRD),
    "cluster": (cluster, FOURTH),
    "map": (draw_map, FOURTH),
    "gc": (partial(updating.collect, keep=1), FOURTH),
}
"""Each change of an index, by the name of its command, with what `live_index` holds afterwards."""


def next_change(generation: int, held: Held) -> tuple[Callable[[Path], object], Held]:
    """What makes the next generation of an endless history, and what is held then."""
    if generation % 5 == 2:
        gone = sorted(held)[generation % len(held)]
        return partial(updating.delete, ids=[gone]), {id: held[id] for id in held if id != gone}
    if generation % 5 == 4:
        return COMMANDS["compact"][0], held
    more = {f"d{(3 * generation + i) % 11}": f"x {'a' * (i + 1)}{'b' * (generation % 7)} r{generation}" for i in range(4)}
    return partial(add, held=more), held | more


def answers(index: Index) -> Held:
    """What the index holds, having answered the same in every way to ask it."""
    query = np.array([[3, 2, 1]], np.float32)
    (hits,), (exact,), (words,), (filtered,) = (
        index.nearest(query, 100),
        index.nearest(query, 100, exact=True),
        index.keywords(["x"], 100),
        index.nearest(query, 100, where="length > 0"),
    )
    found = {hit.id: hit.text for hit in exact}
    assert len(found) == len(exact) == len(index)
    for hit in exact:
        (vector,) = Letters().encode([hit.text]).astype(np.float64)
        np.testing.assert_allclose(hit.score, vector @ query[0] / np.linalg.norm(vector) / 14**0.5, rtol=1e-6)
        assert hit.fields == {"length": len(hit.text)}
        assert hit.cluster is None or 0 <= hit.cluster < len(index.clustering.clusters)
    scores = {hit.id: hit.score for hit in exact}
    for others in (hits, filtered):
        assert {hit.id: hit.text for hit in others} == found
        # FAISS rounds otherwise, and what points the same way may then come in another order.
        assert {hit.id: hit.score for hit in others} == pytest.approx(scores, rel=1e-6)
    assert {hit.id: hit.text for hit in words} == found
    return found


def assert_history(folder: Path, history: dict[int, Held]) -> int:
    """Every generation that is kept holds what `history` says; the number of the newest. Hashes are for `verify` to check."""
    newest = read_manifest(folder)
    for kept in generations(folder, newest):
        with Index.open(folder, generation=kept.generation, encoder=Letters(), check=False) as index:
            assert answers(index) == history[kept.generation], kept.generation
    return newest.generation


def assert_tidy(folder: Path) -> None:
    """There is nothing in the folder but the files of the generations that are kept."""
    named = {CURRENT, LOCK}
    for manifest in generations(folder, read_manifest(folder)):
        named |= {*manifest.files, manifest_name(manifest.generation)}
    named |= {str(parent) for path in named for parent in Path(path).parents} - {"."}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} == named
