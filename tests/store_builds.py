"""Small indexes whose every byte is known, for the tests of the store."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.metric import Metric
from vecsearch.store.manifest import Manifest
from vecsearch.store.segment import SegmentWriter
from vecsearch.store.snapshot import Snapshot, open_snapshot
from vecsearch.store.writer import IndexWriter

# In memory where there is such a disk: a killed process loses none of what it wrote there either, and syncing is quick.
QUICK_DISK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

DIM = 3
FINGERPRINT = "0123456789abcdef" * 4


GOAL = {"spec": "exact", "recall": None, "k": 10, "memory": None}
NONE = np.empty(0, np.int64)


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
