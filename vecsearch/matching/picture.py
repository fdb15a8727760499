"""Pictures: a calibration, with how far its probabilities can be believed; a fused model, with what its features are worth."""

from __future__ import annotations

from os import PathLike

from vecsearch.drawing import DOT, GREY, lighten, new_figure, save_figure, spans
from vecsearch.matching.calibration import Calibration
from vecsearch.matching.fuse import FusionReport


def plot_calibration(path: str | PathLike[str], made: Calibration) -> None:
    """Draw the curve, and a reliability diagram of the score and of its probabilities. Raises ResourceError."""
    figure = new_figure(10, 4.6)
    left, right = figure.subplots(1, 2)
    left.plot(made.curve["recall"], made.curve["precision"], label="all pairs, by threshold")
    precision, recall = made.figures["precision"], made.figures["recall"]
    reach = {f"{axis}err": spans([its.value], [its.low], [its.high]) for axis, its in (("x", recall), ("y", precision))}
    label = f"threshold {made.threshold:.3f}, held-out pairs"
    left.errorbar([recall.value], [precision.value], label=label, **reach, **DOT)
    left.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    right.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="as it should be")
    for name in ("score", made.way):
        if its := made.reliability.get(name):
            sizes, means, shares = zip(*its.bins, strict=True)
            what = "cosine taken as it is" if name == "score" else name
            (line,) = right.plot(means, shares, linewidth=1, alpha=0.4, label=f"{what}, error {its.ece:.3f}")
            # A bin of one pair says nothing: the area of a point is its number of pairs.
            right.scatter(means, shares, [400 * size / sum(sizes) for size in sizes], color=line.get_color())
    right.set(xlabel="probability that is given", ylabel="share of matches", title="Probabilities, held-out pairs")
    for ax in (left, right):
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        lighten(ax)
        ax.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def plot_fused(path: str | PathLike[str], made: FusionReport) -> None:
    """Draw the average precision of each encoder and model, and the features' importances. Raises ResourceError."""
    judged = made.single | made.models
    figure = new_figure(10, 1.6 + 0.26 * max(len(judged), len(made.importances)))
    left, right = figure.subplots(1, 2)
    for place, (name, its) in enumerate(judged.items()):
        drawn = its.figures["average_precision"]
        (low, high), colour = drawn.interval, "tab:orange" if name in made.models else "tab:blue"
        left.errorbar([drawn.value], [place], xerr=spans([drawn.value], [low], [high]), color=colour, **DOT)
    left.set_yticks(range(len(judged)), judged, parse_math=False)
    left.set(title="Average precision, held-out pairs")
    means, deviations = ([getattr(its, part) for its in made.importances] for part in ("mean", "deviation"))
    right.barh(range(len(means)), means, xerr=deviations, color="tab:orange", alpha=0.7, ecolor=GREY)
    right.set_yticks(range(len(means)), [its.feature for its in made.importances], parse_math=False)
    right.set(title=f"What a feature is worth to the {made.fusion.name} model")
    for ax in (left, right):
        ax.invert_yaxis()
        lighten(ax, grid="x")
    save_figure(figure, path)
