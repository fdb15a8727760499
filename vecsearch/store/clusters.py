"""The clusters of an index on disk: which row is in which, their centres, and what is said of each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.store.layout import canonical, damaged, read_array, reading

if TYPE_CHECKING:
    from vecsearch.store.manifest import Manifest

NO_CLUSTER = -1
"""Label of a row that belongs to no cluster."""
NOT_ASSIGNED = -2
"""Label of a row that came after the clusters were made, and was not compared with them yet."""


@dataclass(frozen=True)
class Cluster:
    """What is said of a cluster; `documents` counts those that it was made of."""

    number: int
    name: str
    words: list[str]
    documents: int
    cohesion: float
    """Mean cosine of its documents with its centre."""
    medoid: str
    """Id of the document that is most like all others of it."""
    typical: list[str]
    """Ids of the documents nearest to its centre, the medoid first."""
    min_similarity: float | None
    """The least score with which another document is taken in; None where any is."""


_STORED_AS = {"cohesion": "tightness", "min_similarity": "reach"}
"""What fields of a cluster are called on disk, where earlier versions read them too."""


@dataclass(frozen=True)
class Clustering:
    """The clusters of an index: how they were made, and what they are."""

    way: str
    """"kmeans", "communities" or "density"."""
    settings: dict[str, Any]
    quality: dict[str, Any]
    """Figures by name, such as "silhouette"."""
    clusters: list[Cluster]
    centres: np.ndarray = field(repr=False)
    """(c, dim) float32, one for each cluster."""
    labels: np.ndarray = field(repr=False)
    """(n,) int32: the cluster of each row, NO_CLUSTER or NOT_ASSIGNED."""

    def summary(self) -> bytes:
        """All of it but the arrays, as canonical JSON."""
        values = {name: getattr(self, name) for name in ("way", "settings", "quality")}
        values["clusters"] = [
            {_STORED_AS.get(name, name): value for name, value in asdict(cluster).items()} for cluster in self.clusters
        ]
        return canonical(values)


def read_clusters(folder: Path, manifest: Manifest) -> Clustering | None:
    """The clusters that the manifest names, None where it names none; rows after those that were assigned are NOT_ASSIGNED.

    Raises: DamagedIndexError: a file is not what the manifest says.
    """
    if (entry := manifest.clusters) is None:
        return None
    count, rows = entry["count"], entry["rows"]
    stored = read_array(folder / entry["labels"], (rows,), "<i4")
    if rows and (stored.min() < NOT_ASSIGNED or stored.max() >= count):
        raise damaged(folder / entry["labels"], f"holds the number of a cluster that is none of {count}")
    centres = read_array(folder / entry["centres"], (count, manifest.dim), "<f4")
    if not np.isfinite(centres).all():
        raise damaged(folder / entry["centres"], "holds NaN or infinity")
    labels = np.full(manifest.rows, NOT_ASSIGNED, np.int32)
    labels[:rows] = stored
    way, settings, quality, clusters = _read_summary(folder / entry["summary"], count)
    return Clustering(way, settings, quality, clusters, centres, labels)


def _read_summary(path: Path, count: int) -> tuple[str, dict[str, Any], dict[str, Any], list[Cluster]]:
    try:
        with reading(path):
            values = json.loads(path.read_bytes())
        names = {stored: name for name, stored in _STORED_AS.items()}
        clusters = [Cluster(**{names.get(name, name): its for name, its in cluster.items()}) for cluster in values["clusters"]]
        found = values["way"], dict(values["settings"]), dict(values["quality"]), clusters
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(path, f"does not describe clusters ({error})") from error
    if [cluster.number for cluster in clusters] != list(range(count)):
        raise damaged(path, f"does not describe the clusters 0 to {count - 1}")
    return found
