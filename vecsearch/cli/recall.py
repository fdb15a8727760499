"""What an index is once it is made, and whether its recall is the goal's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.output import emit, note

if TYPE_CHECKING:
    from vecsearch.ann import Goal
    from vecsearch.store.manifest import Manifest


def recall_text(recall: dict[str, Any]) -> str:
    """A manifest's recall for people: "@10 0.957 (0.954–0.960) over 4,000 queries, asked 0.95", or of rows and of questions:
    "@10 rows 0.973 (0.970–0.975) over 4,000 queries; questions 0.957 (0.954–0.960) over 3,981 queries, asked 0.95"."""
    from vecsearch.ann import Recall

    found = Recall.from_dict(recall)
    return f"@{found.k} {found}" + (f", asked {recall['target']}" if recall["target"] else "")


def report_index(context: click.Context, name: str, manifest: Manifest, spec: str | None, goal: Goal, *, as_json: bool) -> None:
    """Print what an index of this name is now; exit code 1 where it does not reach the goal's recall."""
    reached = note_recall(manifest, spec, goal)
    row = {fact: getattr(manifest, fact) for fact in ("rows", "dim", "metric", "spec", "generation")}
    emit([{"index": name, **row}], as_json=as_json)
    if not reached:
        context.exit(1)


def note_recall(manifest: Manifest, spec: str | None, goal: Goal) -> bool:
    """Say what recall was measured, if any; whether it is the goal's."""
    from vecsearch.metric import EXACT

    if manifest.spec == EXACT:
        return True
    if manifest.recall is None:
        note("note: the recall is not known, for there are too few documents to hold any out; --queries measures it")
        return goal.recall is None
    note(f"recall{recall_text(manifest.recall)}")
    if goal.recall is None or manifest.recall["low"] >= goal.recall:
        return True
    ways = {
        "measure with more --queries": manifest.recall["mean"] >= goal.recall,
        "leave --spec out": spec,
        "give more --memory": goal.memory and not spec,
        "ask for less": True,
    }
    note(
        f"the recall of {goal.recall} is not reached; the index is kept as it is. "
        f"To come further: {' or '.join(way for way, helps in ways.items() if helps)}"
    )
    return False
