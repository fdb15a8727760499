"""Hits as rows of output, shared by `query`, `similar`, `analogy` and `demo`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.file_hits import are_of_files, show_files
from vecsearch.cli.options import Number
from vecsearch.cli.output import emit, is_coloured, note, printable

if TYPE_CHECKING:
    from vecsearch.encoders import Encoder, Tally
    from vecsearch.index.explain import Word
    from vecsearch.index.hits import Hit
    from vecsearch.index.index import Index
    from vecsearch.index.snippets import Snippet

TITLES = ("title", "name")
"""Fields that tell what a document is, shown beside its text."""

GREENS, REDS = (194, 157, 120, 83), (224, 217, 210, 203)
"""Backgrounds of words that speak for a hit and against it, weakest first, of xterm's 256 colours."""
BLACK = 16
STRONGEST = 5
"""Words of a hit that are named where there is no colour."""
ROUNDED = 0.02
"""By how much of all their contributions, signs aside, words may miss the score of a vector that was rounded to bfloat16;
measured is a tenth of that."""

_OWN = ("rank", "score", "id", "text")
"""Columns of the table that are no fields."""

min_score_option = click.option("--min-score", type=Number(), metavar="X", help="Leave out hits below this score.")

show_option = click.option(
    "--show", multiple=True, metavar="FIELD", help="Fields for the table's columns; by default title or name."
)

NOTHING_KNOWN = "no word in it is known to the model"
"""Why a text may find nothing."""


class ShownFields:
    """Fields that were asked for as columns of the table, and which of them no hit has: it is then misspelt, perhaps."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = names
        self._met: set[str] | None = None

    def meet(self, hits: Sequence[Hit]) -> None:
        """Take note of the fields that these hits have."""
        if self.names and hits:
            self._met = (self._met or set()).union(*(hit.fields for hit in hits))

    def note_missing(self) -> None:
        """Say on stderr which of the fields none of the hits has had, if there were any hits."""
        if self._met is not None:
            for name in dict.fromkeys(self.names):
                if name not in self._met:
                    note(f"note: no hit has a field {name!r}, which --show asks for: its column is empty")


def why_nothing(query: str) -> str:
    """Why a text may find nothing by meaning."""
    return NOTHING_KNOWN


def why_no_words(query: str, *, earlier: bool) -> str:
    """Why a text may find nothing by its words, in an index of which a part is of an `earlier` vecsearch."""
    from vecsearch.index.query_terms import divided
    from vecsearch.text.folding import folded
    from vecsearch.text.wording import has_word

    if not has_word(folded(query)):
        return "words are looked for, and it has neither letter nor digit"
    reason = "no document has a word of it"
    if together := divided(query):
        reason = (
            f"no document has a word of it, nor those of {together[0]!r} one after another; ask for them with spaces between"
        )
    if earlier:
        reason += "; a part of the index is of an earlier vecsearch, found by words between spaces only: vecsearch compact"
    return reason


def emit_hits(
    answers: Sequence[tuple[str, list[Hit]]],
    min_score: float | None,
    show: ShownFields,
    as_json: bool,
    nothing: Callable[[str], str] = why_nothing,
    words_of: Callable[[str, Hit], list[Word]] | None = None,
    ids: Sequence[str | None] = (),
    snippet_of: Callable[[str, Hit], Snippet] | None = None,
) -> None:
    """Print the hits of each query, and on stderr why one has none; `nothing` says why it may have none at all. `ids` are those
    of the queries, where they have any.

    What `words_of` a query and a hit gives is that hit's "explanation" in JSON, and shown below the hits' table. What
    `snippet_of` gives is the "snippet" of a hit in a file, and shown in place of its text.
    """
    coloured = is_coloured()
    for (query, hits), query_id in zip(answers, ids or [None] * len(answers), strict=True):
        kept = [hit for hit in hits if min_score is None or hit.score >= min_score]
        words = [words_of(query, hit) for hit in kept] if words_of else []
        if not as_json and (len(answers) > 1 or query_id is not None):
            click.echo(f"query{'' if query_id is None else f' {query_id}'}: {query}")
        if not as_json:
            show.meet(hits)
        columns = ["rank", "score", "id", *map(_heading, show.names or _titles(kept))]
        # A word is its own text: its column would only say the id again. Below the table coloured texts are shown whole.
        if any(hit.text != hit.id for hit in kept) and not (words and coloured):
            columns.append("text")
        rows = [_row(query, query_id, rank, hit) for rank, hit in enumerate(kept, 1)]
        if as_json and words_of:
            rows = [row | {"explanation": list(map(asdict, of_row))} for row, of_row in zip(rows, words, strict=True)]
        snippets = [snippet_of(query, hit) for hit in kept] if snippet_of and are_of_files(kept) else []
        if as_json and snippets:
            rows = [row | {"snippet": asdict(snippet)} for row, snippet in zip(rows, snippets, strict=True)]
        if snippets and not (as_json or words or show.names):
            show_files(kept, snippets)
        else:
            emit(rows if as_json else [_shown(row, columns[3:]) for row in rows], as_json=as_json, columns=columns)
        if not as_json:
            _show_words(kept, words, coloured=coloured)
        _note_other_vectors(kept, words)
        if not hits:
            note(f"note: nothing is found for {query!r}: {nothing(query)}")
        elif not kept:
            note(f"note: no hit of {query!r} scores {min_score} or more; the best has {hits[0].score:.3f}")


def _row(query: str, query_id: str | None, rank: int, hit: Hit) -> dict[str, Any]:
    asked = {"query": query} | ({} if query_id is None else {"query_id": query_id})
    row = asked | {"rank": rank, "score": hit.score, "id": hit.id, "text": hit.text, "fields": hit.fields}
    more = {"passage": hit.passage, "cluster": hit.cluster}
    return row | {name: value for name, value in more.items() if value is not None}


def _heading(field: str) -> str:
    """What the column of a field is called: as the field is, but where a column of its own has that name."""
    return f"fields.{field}" if field in _OWN else field


def _shown(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """A row of the table. The column of a field never shows what else there is under its name."""
    fields = {_heading(name): value for name, value in row["fields"].items()}
    return fields | {name: row.get(name) for name in _OWN} | {"text": row.get("passage", row["text"])}


def _titles(hits: Sequence[Hit]) -> list[str]:
    return [name for name in TITLES if any(name in hit.fields for hit in hits)][:1]


def _show_words(hits: Sequence[Hit], words: Sequence[list[Word]], *, coloured: bool) -> None:
    for rank, (hit, of_hit) in enumerate(zip(hits, words, strict=False), 1):
        text = hit.text if hit.passage is None else hit.passage
        click.echo(f"{rank:>4}  {_coloured(text, of_hit) if coloured else _strongest(of_hit)}")


def _coloured(text: str, words: Sequence[Word]) -> str:
    """The text with each word on green or red, the stronger the more it contributes beside the others."""
    most = max((abs(word.contribution) for word in words), default=0.0)
    parts, end = [], 0
    for word in words:
        parts.append(printable(text[end : word.start]))
        shade = round(len(GREENS) * abs(word.contribution) / most) if most else 0
        colours = GREENS if word.contribution > 0 else REDS
        shown = printable(word.word)
        parts.append(click.style(shown, fg=BLACK, bg=colours[shade - 1]) if shade else shown)
        end = word.stop
    return re.sub(" {2,}", " ", "".join([*parts, printable(text[end:])]))


def _strongest(words: Sequence[Word]) -> str:
    ranked = sorted(words, key=lambda word: -abs(word.contribution))
    named = [f"{printable(word.word)} {word.contribution:+.3f}" for word in ranked[:STRONGEST]]
    if others := ranked[STRONGEST:]:
        named.append(f"{len(others)} others {sum(word.contribution for word in others):+.3f}")
    return ", ".join(named)


def _note_other_vectors(hits: Sequence[Hit], words: Sequence[list[Word]]) -> None:
    for hit, of_hit in zip(hits, words, strict=False):
        total = sum(word.contribution for word in of_hit)
        if abs(total - hit.score) > ROUNDED * sum(abs(word.contribution) for word in of_hit):
            note(
                f"note: the words of {hit.id!r} add up to {total:.3f}, not to its score: "
                "its vector was made of something else than this text"
            )


def note_limits(index: Index, k: int, *, left_out: int = 0) -> None:
    """Say on stderr what a reader of an index's answers should know: too few documents, unknown words."""
    if k > len(index) - left_out:
        besides = f", {left_out} of them asked with" if left_out else ""
        note(f"note: k is {k}, the index holds {len(index)} documents{besides}: there are no more")
    if index.tally and index.tally.unknown:
        note(f"note: {index.tally.unknown} of {index.tally.words} words are unknown to the model")


def note_unknown(*encoders: Encoder, names: Sequence[str] = ()) -> None:
    """Say on stderr what encoders did not know of the texts that they have encoded; `names` tells several apart."""
    for place, encoder in enumerate(encoders):
        if encoder.tally:
            _note_tally(encoder.tally, f"{names[place]}: " if names else "")


def note_tallies(tallies: Mapping[str, Tally]) -> None:
    """`note_unknown` of what encoders have counted, by their names, which tell several apart."""
    for name, tally in tallies.items():
        _note_tally(tally, f"{name}: " if len(tallies) > 1 else "")


def _note_tally(tally: Tally, by: str) -> None:
    if tally.unknown:
        note(f"note: {by}{tally.unknown:,} of {tally.words:,} words are unknown to the model")
    if tally.empty:
        note(f"note: {by}{tally.empty:,} of {tally.texts:,} texts have no word known to the model: their vectors are zero")
