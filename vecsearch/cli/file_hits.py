"""Hits in files: where each is, as an editor opens it, with the sentence that answers; those of one file together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.options import WholeRange
from vecsearch.cli.output import is_coloured, printable
from vecsearch.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from vecsearch.index.hits import Hit
    from vecsearch.index.index import Index
    from vecsearch.index.snippets import Snippet

open_option = click.option(
    "--open", "launched", type=WholeRange(1), metavar="N", help="Open the file of the N-th hit with the system's program."
)


def are_of_files(hits: Sequence[Hit]) -> bool:
    """Whether the hits are passages of files."""
    return bool(hits) and all({"path", "modified", "heading"} <= hit.fields.keys() for hit in hits)


def show_files(hits: Sequence[Hit], snippets: Sequence[Snippet]) -> None:
    """Print the hits, further ones of a file indented below its best."""
    of_file: dict[Any, list[int]] = {}
    for number, hit in enumerate(hits):
        of_file.setdefault(hit.fields["path"], []).append(number)
    for number, indent in (
        (number, "  " * (place > 0)) for numbers in of_file.values() for place, number in enumerate(numbers)
    ):
        hit = hits[number]
        where = _styled(printable(hit.id))
        click.echo(f"{number + 1:>4}  {hit.score:.3f}  {indent}{where}  {printable(hit.fields['heading'])}".rstrip())
        if snippets[number].text:
            click.echo(f"{'':13}{indent}{_marked(snippets[number])}")


def _marked(snippet: Snippet) -> str:
    """The snippet on one line, with its marks where a terminal can show them."""
    parts, end = [], 0
    for first, last in snippet.marks:
        parts += [
            printable(snippet.text[end:first]),
            _styled(printable(snippet.text[first:last]), fg="yellow"),
        ]
        end = last
    return " ".join("".join([*parts, printable(snippet.text[end:])]).split())


def _styled(text: str, **style: str) -> str:
    """Bold, and in a colour, where a terminal shows it and nobody has asked for none."""
    return click.style(text, bold=True, **style) if is_coloured() else text


def launch(index: Index, hits: Sequence[Hit], number: int) -> None:
    """Open the file of the hit of this number, counted from 1, with the system's program."""
    if number > len(hits):
        raise UsageError(f"--open {number}: there is no hit of that number, of {len(hits)}")
    hit = hits[number - 1]
    path = index.file_of(hit)
    if path is None:
        raise UsageError(f"--open {number}: {hit.id!r} is no passage of a file")
    if not Path(path).is_file():
        raise UsageError(f"{path} is not there any more; vecsearch sync {index.folder} brings the index up to date")
    anchor = hit.id.partition("#")[2].partition("~")[0]
    # A browser or a reader of PDF takes the place from the address; an editor takes a path.
    if click.launch(f"{Path(path).absolute().as_uri()}#{anchor}" if anchor else path):
        raise ResourceError(f"the system has no program that opens {path}")
