"""A map as a picture, for a paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vecsearch.clustering.areas import cluster_places
from vecsearch.clustering.colours import GREY, cluster_colours
from vecsearch.clustering.map import Map, about
from vecsearch.drawing import Label, new_figure, place_labels, save_figure

INCHES = 9
MARGIN = 0.03
"""Room around the map, as a share of the picture."""
LINE = 18
"""Characters of a line of a name, about."""
LARGEST, SMALLEST, AREA = 11.0, 7.5, 6.0
"""Points (1/72 inch) of the names of clusters, by their documents, and of areas."""
AREAS = 60
"""The largest areas, which are named where there is room."""


def plot_map(path: Path, made: Map, title: str) -> None:
    """Write the map as a picture of the suffix's kind, with the names that there is room for. Raises ResourceError."""
    figure = new_figure(INCHES, INCHES)
    figure.set_layout_engine("none")  # the map fills the picture
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_axis_off()
    places = MARGIN + (1 - 2 * MARGIN) * (made.places * [1, -1] + [0, 1])
    size = float(np.clip(60_000 / len(places), 1.2, 40))
    middles = cluster_places(made.labels, places, len(made.clusters))
    colours = np.array([*cluster_colours(middles * [1, -1], "light")[0], GREY["light"]])
    order = np.random.default_rng(0).permutation(len(places))  # hides no cluster behind another
    order = order[np.argsort(made.labels[order] >= 0, kind="stable")]
    axes.scatter(*places[order].T, s=size, c=colours[made.labels[order]], alpha=0.7, linewidths=0, rasterized=True)
    heading = Label(0.5, 0.985, f"{title}: {about(made)}", 9, "#44443f")
    place_labels(axes, [heading, *_labels(made, middles)])
    save_figure(figure, path)


def _labels(made: Map, middles: np.ndarray) -> Iterator[Label]:
    counts = np.bincount(made.labels[made.labels >= 0], minlength=len(made.clusters))
    names = cluster_colours(middles * [1, -1], "light")[1]
    for number in np.argsort(-counts, kind="stable").tolist():
        if counts[number]:
            size = SMALLEST + (LARGEST - SMALLEST) * float(np.sqrt(counts[number] / counts.max()))
            x, y = middles[number].tolist()
            yield Label(x, y, _lines(made.clusters[number].name), size, names[number], bold=True, moves=True)
    for area in made.areas[:AREAS]:
        x, y = (MARGIN + (1 - 2 * MARGIN) * np.array([area.x, 1 - area.y])).tolist()
        yield Label(x, y, _lines(area.name), AREA, "#55554f")


def _lines(name: str) -> str:
    """A name with a new line wherever the one before is full; what is between two commas stays together."""
    lines = [""]
    for part in name.split(", "):
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if lines[-1] and len(longer) > LINE:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = longer
    return "\n".join(lines)
