"""The page of a map: one HTML file that works offline, loads nothing, and runs nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.clustering.areas import cluster_places
from vecsearch.clustering.colours import GREY, cluster_colours
from vecsearch.clustering.map import Map, about, kept_map, quick_map
from vecsearch.corpus.document import Document, title_of
from vecsearch.errors import writing
from vecsearch.index.index import Index

TEXT = 600
"""Characters of a text that the page holds at the most."""
TITLE = 80
"""The same of a title; without one it is the beginning of its text."""
STEPS = 65_535
"""Places along each side of the map."""
SCRIPTS = ("points", "labels", "panel", "hands")
"""The parts of the page's script, map.*.js, in their order."""


@dataclass(frozen=True)
class Page:
    """A map as HTML (UTF-8), and the hashes by which a Content-Security-Policy allows its script and its style: "sha256-…"."""

    html: bytes
    script_hash: str
    style_hash: str


def map_page(index: Index, title: str) -> Page:
    """The page of the map of an open index: of the places that it keeps, else by two components, which takes no time.

    Raises UsageError for an index without documents.
    """
    checks.instance("index", index, Index, give="an Index")
    return page_of(kept_map(index) or quick_map(index), checks.text("title", title))


def write_page(path: Path, made: Map, title: str) -> None:
    """Write the map as one HTML page. Raises ResourceError."""
    with writing(path):
        path.write_bytes(page_of(made, title).html)


def page_of(made: Map, title: str) -> Page:
    """A map as a page."""
    folder = Path(__file__).parent
    page, style = ((folder / name).read_text(encoding="utf-8") for name in ("map.html", "map.css"))
    script = "".join((folder / f"map.{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    hashes = {"style_hash": _hash(style), "script_hash": _hash(script)}
    filled = page.format(
        title=escape(title),
        about=escape(about(made)),
        style=style,
        script=script,
        # No "<" is left in it: neither </script> nor <!-- can end the data.
        data=json.dumps(_data(made), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        **hashes,
    )
    return Page(filled.encode(errors="replace"), **hashes)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _data(made: Map) -> dict[str, Any]:
    places = np.round(made.places * STEPS).astype(int)
    middles = cluster_places(made.labels, made.places, len(made.clusters))
    colours = {ground: cluster_colours(middles, ground) for ground in GREY}
    return {
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "cluster": made.labels.tolist(),
        "id": [document.id for document in made.documents],
        "title": [_title(document) for document in made.documents],
        "text": [_cut(document.text, TEXT) for document in made.documents],
        "fields": [document.fields for document in made.documents],
        "clusters": [
            {"name": cluster.name, "words": cluster.words, "documents": int(count), "x": x, "y": y}
            for cluster, count, (x, y) in zip(made.clusters, _counts(made), middles.tolist(), strict=True)
        ],
        "areas": [asdict(area) for area in made.areas],
        "colours": {ground: {"points": [*own[0], GREY[ground]], "names": own[1]} for ground, own in colours.items()},
    }


def _counts(made: Map) -> np.ndarray:
    """How many documents of each cluster are on the map, (c,) int64."""
    return np.bincount(made.labels[made.labels >= 0], minlength=len(made.clusters))


def _title(document: Document) -> str:
    return _cut(title_of(document.fields) or document.text or document.id, TITLE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
