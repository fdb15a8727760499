"""A finished segment as the manifest has it: its FAISS index, built towards what was asked for, and the recall of that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import ann
from vecsearch.ann.questions import Ask
from vecsearch.index.questions import OpenEncoder, asking, questions
from vecsearch.metric import Metric
from vecsearch.progress import Progress
from vecsearch.store.commit import Writing
from vecsearch.store.segment import Segment


def goal_entry(spec: str | None, goal: ann.Goal) -> dict[str, Any]:
    """What the manifest keeps of what was asked for, so that adds and compactions ask for the same."""
    return {
        "spec": spec or (ann.EXACT if goal.recall is None else None),
        "recall": goal.recall,
        "k": goal.k,
        "memory": goal.memory,
    }


def goal_of(entry: Mapping[str, Any]) -> tuple[str | None, ann.Goal]:
    """The spec and the goal of a manifest's entry."""
    return entry["spec"], ann.Goal(entry["recall"], entry["k"], entry["memory"])


def fits(entry: Mapping[str, Any], goal: Mapping[str, Any]) -> bool:
    """Whether a segment is indexed as a manifest's `goal` asks for, whoever did it: `entry` is what is said of it."""
    if goal["spec"] not in (None, entry["spec"]):
        return False
    if goal["recall"] is None:
        return True
    found = entry["recall"]
    if found is None or found["k"] != goal["k"] or found["low"] < goal["recall"]:
        return False
    return goal["memory"] is None or (found.get("memory") or math.inf) <= goal["memory"]


def indexed(
    folder: Path,
    name: str,
    shape: tuple[int, int],
    metric: str,
    goal: Mapping[str, Any],
    *,
    queries: np.ndarray | None = None,
    encoder: OpenEncoder,
    progress: Progress,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write the FAISS index of a finished segment, towards a manifest's `goal`, to its file `name`, or none where search is
    exact; what the manifest says of the segment, and of the kinds that were tried.

    The recall is measured with `queries`, or else with rows, and where there is an `encoder` of their texts with questions that
    are made of documents.
    """
    spec, wanted = goal_of(goal)
    writing, segment = Writing(folder), Segment(folder, rows=shape[0], dim=shape[1])
    try:
        # A process that is forked by one of these would otherwise go on, and write the same file as its parent.
        checked = _Checked(progress, writing)
        ask = asking(partial(questions, segment.documents), encoder, checked)
        outcome = _outcome(segment, folder / name, Metric(metric), spec, wanted, queries=queries, ask=ask, progress=checked)
        entry = {
            "name": folder.name,
            "rows": shape[0],
            "documents": len(segment.documents),
            "spec": outcome.spec,
            "effort": outcome.search_parameters,
            "recall": outcome.as_dict(wanted),
            "faiss": None if outcome.spec == ann.EXACT else name,
        }
        return entry, outcome.trials
    finally:
        segment.close()


class _Checked(Progress):
    """A progress of a caller's own, which may fork: only the parent goes on."""

    def __init__(self, progress: Progress, writing: Writing) -> None:
        self._progress, self._writing = progress, writing

    def step(self, name: str, done: int, total: int | None = None) -> None:
        self._progress.step(name, done, total)
        self._writing.check()

    def note(self, text: str) -> None:
        self._progress.note(text)
        self._writing.check()


def _outcome(
    segment: Segment,
    path: Path,
    metric: Metric,
    spec: str | None,
    goal: ann.Goal,
    queries: np.ndarray | None,
    ask: Ask,
    progress: Progress,
) -> ann.Outcome:
    if spec == ann.EXACT:
        return ann.Outcome(ann.EXACT)
    source = ann.Rows(segment.vectors, segment.norms, metric, read=segment.read if goal.memory else None)
    builder = ann.Builder(source, goal, queries=queries, ask=ask, progress=progress)
    return builder.build(path) if spec is None else builder.build_kind(spec, path)
