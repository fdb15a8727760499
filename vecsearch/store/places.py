"""The map of an index on disk: where the document of each row lies on a plane, and the names of areas of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.store.commit import write_file
from vecsearch.store.layout import array_bytes, damaged, map_names, read_array, reading

if TYPE_CHECKING:
    from vecsearch.store.manifest import Manifest

LEFT_OUT = -1.0
"""In place of the place of a row that is not on the map: it shows a sample of many documents."""
NOT_PLACED = np.nan
"""In place of that of a row that came after the map was made."""


@dataclass(frozen=True)
class Area:
    """A part of the map with a name of its own: its densest place, from 0 to 1, and how many documents it was made of."""

    name: str
    x: float
    y: float
    documents: int


@dataclass(frozen=True)
class Places:
    """Where documents lie on a plane, and how they were placed."""

    way: str
    """"tsne" or "pca"."""
    areas: list[Area]
    """Small parts of the map, those of the most documents first."""
    places: np.ndarray = field(repr=False)
    """(n, 2) float32 from 0 to 1, y downwards: that of each row's document; LEFT_OUT or NOT_PLACED for one that has none."""


def write_places(folder: Path, generation: int, places: Places) -> dict[str, Any]:
    """Write the files of a map that a generation makes, and return the manifest's entry of it."""
    names = map_names(generation)
    areas = {"areas": [asdict(area) for area in places.areas]}
    text = json.dumps(areas, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_file(folder / names["places"], array_bytes(places.places.astype("<f4")))
    write_file(folder / names["areas"], text.encode() + b"\n")
    return {**names, "rows": len(places.places), "way": places.way}


def read_places(folder: Path, manifest: Manifest) -> Places | None:
    """The map that the manifest names, None where it names none; rows after those that it was made of are NOT_PLACED.

    Raises: DamagedIndexError: a file is not what the manifest says.
    """
    if (entry := manifest.map) is None:
        return None
    rows = entry["rows"]
    stored = read_array(folder / entry["places"], (rows, 2), "<f4")
    missing = np.isnan(stored) | (stored == LEFT_OUT)
    if (missing[:, 0] != missing[:, 1]).any() or not ((stored >= 0) & (stored <= 1) | missing).all():
        raise damaged(folder / entry["places"], "holds places that are not on the map")
    places = np.full((manifest.rows, 2), NOT_PLACED, np.float32)
    places[:rows] = stored
    return Places(entry["way"], _read_areas(folder / entry["areas"]), places)


def _read_areas(path: Path) -> list[Area]:
    try:
        with reading(path):
            values = json.loads(path.read_bytes())
        return [_area(**area) for area in values["areas"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(path, f"does not describe areas of a map ({error})") from error


def _area(*, name: Any, x: Any, y: Any, documents: Any) -> Area:
    if not (isinstance(name, str) and type(documents) is int and 0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"{name!r} at {x}, {y}")
    return Area(name, float(x), float(y), documents)
