"""A benchmark as a picture, recall against queries per second, and as one page that needs nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.ann.spec import parameters_text
from vecsearch.bench.bench import Cost, Point, pareto, record
from vecsearch.drawing import GREY, importing_matplotlib, new_figure, save_figure
from vecsearch.errors import writing

_INK = "#010203"
"""Stands for the page's own text colour in the SVG, which matplotlib cannot name."""
_MISSING = 0.002
"""Added to the share of neighbors that is missing, so that a recall of 1 has a place on a logarithmic scale."""
_TICKS = (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
_COLOURS = ("#1f77b4", "#e8710a", "#2a9d4a", "#d1495b", "#8e63c7", "#8c6d46", "#d66bb0", "#7f8c1f")
"""Of middle brightness: they are read on white and on black."""


def write_report(folder: Path, run: Mapping[str, Any], measured: Sequence[Cost | Point]) -> None:
    """Write bench.jsonl, bench.png and bench.html into `folder`. Raises ResourceError where the disk refuses."""
    costs = [facts for facts in measured if isinstance(facts, Cost)]
    points = [facts for facts in measured if isinstance(facts, Point)]
    with writing(folder), (folder / "bench.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record(facts)) + "\n" for facts in (run, *measured))
    plot_curves(folder / "bench.png", run, points)
    write_page(folder / "bench.html", run, costs, points)


def plot_curves(path: Path, run: Mapping[str, Any], points: Sequence[Point]) -> None:
    """Write the recall–QPS plot as a PNG. Raises ResourceError where the disk refuses."""
    figure = _figure(run, points, ink="black")
    figure.suptitle(_title(run), fontsize=11, parse_math=False)
    save_figure(figure, path)


def write_page(path: Path, run: Mapping[str, Any], costs: Sequence[Cost], points: Sequence[Point]) -> None:
    """Write one HTML page: the plot, the figures, the machine and how they were measured. Raises ResourceError."""
    page = _PAGE.format(
        title=escape(_title(run)),
        plot=_svg(run, points),
        costs=_table(_COST_COLUMNS, [_cost_row(cost) for cost in costs]),
        points=_table(_POINT_COLUMNS, [_point_row(point) for point in points]),
        note="<p>★ marks the search parameters of the index itself.</p>" if any(point.stored for point in points) else "",
        facts=_table((), [(name.replace("_", " "), value) for name, value in run.items()]),
        **run,
    )
    with writing(path):
        path.write_text(page, encoding="utf-8")


def _title(run: Mapping[str, Any]) -> str:
    threads = f"{run['threads']} thread" + "s" * (run["threads"] > 1)
    return f"{run['data']}: {run['rows']:,} vectors of length {run['dim']}, {run['metric']}, k = {run['k']}, {threads}"


def _figure(run: Mapping[str, Any], points: Sequence[Point], *, ink: str) -> Any:
    figure = new_figure(8.5, 5.2)
    axes = figure.subplots()
    best = {"color": "#999999", "linewidth": 8, "alpha": 0.35, "label": "best of all"}
    axes.plot(*_places(pareto(points)), **best)
    for number, kind in enumerate(dict.fromkeys(point.kind for point in points)):
        own = [point for point in points if point.kind == kind]
        _line(axes, own, _COLOURS[number % len(_COLOURS)])
    _scale(axes, min(point.recall for point in points))
    axes.set_xlabel(f"recall@{run['k']}", color=ink)
    axes.set_ylabel("queries per second, in one batch", color=ink)
    axes.grid(color=GREY, alpha=0.3)
    axes.grid(which="minor", color=GREY, alpha=0.12)
    axes.tick_params(which="both", colors=ink)
    axes.spines[:].set_color(GREY)
    axes.legend(labelcolor=ink, frameon=False, fontsize=9)
    return figure


def _places(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.recall for point in points], [point.qps for point in points]


def _line(axes: Any, points: Sequence[Point], colour: str) -> None:
    """One kind: a line along its frontier, a faint dot at every other point, a star where an index searches as it is."""
    axes.plot(*_places(pareto(points)), color=colour, linewidth=1.6, marker="o", markersize=4.5, label=points[0].kind)
    axes.scatter(*_places(points), color=colour, s=20, alpha=0.35, linewidths=0)
    if stored := [point for point in points if point.stored]:
        style = {"color": colour, "s": 170, "marker": "*", "zorder": 4, "label": f"{points[0].kind}, the index as it is"}
        axes.scatter(*_places(stored), **style)


def _scale(axes: Any, least_recall: float) -> None:
    """Logarithms of queries/s, and of what is missing from the recall: from 0.98 to 0.99 is as far as from 0.5 to 0.75."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xscale("function", functions=(lambda x: -np.log(1 + _MISSING - x), lambda y: 1 + _MISSING - np.exp(-y)))
    axes.set_xlim(min(least_recall, 0.9) - 0.02, 1 + _MISSING / 5)
    axes.set_xticks([tick for tick in _TICKS if tick >= least_recall or tick >= 0.9], labels=None)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _svg(run: Mapping[str, Any], points: Sequence[Point]) -> str:
    """The plot as an inline SVG whose text has the colour and the font of the page."""
    with importing_matplotlib():
        from matplotlib import rc_context

    out = io.StringIO()
    # Without a salt of ours the ids in the SVG would differ from run to run.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "vecsearch", "font.family": "sans-serif"}):
        _figure(run, points, ink=_INK).savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")


_COST_COLUMNS = ("kind", "build, s", "on disk, MB", "resident, MB", "opening, ms", "first query, ms")
_POINT_COLUMNS = ("kind", "search parameters", "recall", "95 % interval", "p50, ms", "p95, ms", "p99, ms", "queries/s")


def _cost_row(cost: Cost) -> tuple[str, ...]:
    build = "" if cost.build_s is None else f"{cost.build_s:,.1f}"
    sizes = (f"{size / 1e6:,.1f}" for size in (cost.size_bytes, cost.resident_bytes))
    return (cost.kind, build, *sizes, f"{cost.open_cold_ms:,.1f}", f"{cost.first_query_ms:,.1f}")


def _point_row(point: Point) -> tuple[str, ...]:
    latencies = (f"{value:.3f}" for value in (point.p50_ms, point.p95_ms, point.p99_ms))
    interval = f"{point.recall_low:.4f}–{point.recall_high:.4f}"
    search_parameters = parameters_text(point.search_parameters) + " ★" * point.stored
    return (point.kind, search_parameters, f"{point.recall:.4f}", interval, *latencies, f"{point.qps:,.0f}")


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
svg {{ width: 100%; height: auto; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .2rem .8rem .2rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }}
th:first-child, td:first-child, .points td:nth-child(2), .points th:nth-child(2), .facts td {{ text-align: left; }}
h1 {{ font-size: 1.3rem; }}
h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
{plot}
<h2>With all search parameters</h2>
<div class="wide points">
{points}
</div>
{note}
<h2>What each kind costs</h2>
<div class="wide">
{costs}
</div>
<p>Beside the stored vectors, {vectors_bytes:,} bytes, which every kind keeps on disk, mapped into memory.</p>
<h2>How it was measured</h2>
<p>Recall@{k} counts a hit when its exact score reaches that of the k-th true neighbor; the mean of {queries:,} queries, with
a 95 % interval. No query finds itself. Latencies are of single queries, one after the other, after a pass that warms up;
queries/s are of all of them in one batch, the median of several rounds. Threads of a search: {threads}; builds used all cores.
Opening, first query and the growth of resident memory are of a new process that had done its imports, with the files in the
page cache.</p>
<div class="facts">
{facts}
</div>
</body>
</html>
"""
