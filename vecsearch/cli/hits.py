"""Hits as rows of output, shared by `query`, `similar` and `demo`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.output import emit, note

if TYPE_CHECKING:
    from vecsearch.hits import Hit
    from vecsearch.index import Index

TITLES = ("title", "name")
"""Fields that tell what a document is, shown beside its text."""


NOTHING_KNOWN = "no word in it is known to the model"
"""Why a text may find nothing."""


def emit_hits(
    answers: Sequence[tuple[str, list[Hit]]],
    min_score: float | None,
    show: Sequence[str],
    as_json: bool,
    nothing: str = NOTHING_KNOWN,
) -> None:
    """Print the hits of each query, and on stderr why one has none; `nothing` is why there may be none at all."""
    for query, hits in answers:
        kept = [hit for hit in hits if min_score is None or hit.score >= min_score]
        if not as_json and len(answers) > 1:
            click.echo(f"query: {query}")
        columns = ["rank", "score", "id", *(show or _titles(kept))]
        # A word is its own text: its column would only say the id again.
        if any(hit.text != hit.id for hit in kept):
            columns.append("text")
        rows = [_row(query, rank, hit) for rank, hit in enumerate(kept, 1)]
        shown = rows if as_json else [{**row["fields"], **row, "text": row.get("passage", row["text"])} for row in rows]
        emit(shown, as_json=as_json, columns=columns)
        if not hits:
            note(f"note: nothing is found for {query!r}: {nothing}")
        elif not kept:
            note(f"note: no hit of {query!r} scores {min_score} or more; the best has {hits[0].score:.3f}")


def _row(query: str, rank: int, hit: Hit) -> dict[str, Any]:
    row = {"query": query, "rank": rank, "score": hit.score, "id": hit.id, "text": hit.text, "fields": hit.fields}
    return row if hit.passage is None else row | {"passage": hit.passage}


def _titles(hits: Sequence[Hit]) -> list[str]:
    return [name for name in TITLES if any(name in hit.fields for hit in hits)][:1]


def note_limits(index: Index, k: int, *, left_out: int = 0) -> None:
    """Say on stderr what a reader of an index's answers should know: too few documents, unknown words."""
    if k > len(index) - left_out:
        besides = f", {left_out} of them asked with" if left_out else ""
        note(f"note: k is {k}, the index holds {len(index)} documents{besides}: there are no more")
    if index.tally and index.tally.unknown:
        note(f"note: {index.tally.unknown} of {index.tally.words} words are unknown to the model")
