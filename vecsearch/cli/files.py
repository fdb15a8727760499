"""Files and folders on the command line: which are corpora of records and which are documents, and how these are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vecsearch.cli.options import apply_options
from vecsearch.cli.output import note
from vecsearch.cli.rules import at_most_one, only_with
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.cli.sources import IndexInput
    from vecsearch.encoders import Encoder

F = TypeVar("F", bound=Callable[..., Any])

OF_FILES = ("include", "exclude", "whole", "lines", "strict", "verbose")
"""Options of `build` that say how files are read."""

reading_options = apply_options(
    click.option("--strict", is_flag=True, help="Stop at the first file that cannot be read, instead of leaving it out."),
    click.option("--verbose", is_flag=True, help="Name each file that is left out or cannot be read, and why."),
)

files_options = apply_options(
    click.option("--include", multiple=True, metavar="GLOB", help="Of folders, only files like '*.md'; may be repeated."),
    click.option("--exclude", multiple=True, metavar="GLOB", help="Of folders, no files like 'drafts/*'; may be repeated."),
    click.option("--whole", is_flag=True, help="Take .txt files as one document each, instead of one in each line."),
    click.option("--lines", is_flag=True, help="Take .txt files as a document in each line, as they are when named alone."),
    reading_options,
    at_most_one("--whole", "--lines"),
    only_with("--include", "--exclude", "--whole", "--lines", "--strict", "--verbose", needs="CORPUS"),
)


def tell(verbose: bool) -> Callable[[str, str], None]:
    """Names files on stderr, where that is asked for."""
    return (lambda name, said: note(f"{name}: {said}")) if verbose else (lambda name, said: None)


def are_files(paths: Sequence[str], *, format: str | None, whole: bool = False, lines: bool = False) -> bool:
    """Whether what is given are documents, files or folders of them, and not corpora of records. Raises UsageError for both."""
    from vecsearch.corpus.readers import expanded, holds_records

    paths = [path for given in paths for path in expanded(given)]
    texts = [path for path in paths if path.lower().endswith(".txt")]
    records = [path for path in paths if path not in texts and holds_records(path)]
    others = [path for path in paths if path not in texts and path not in records]
    if format is not None:
        return False
    if records and (others or whole):
        apart = f"{others[0]} is a document or a folder of them" if others else "--whole is for .txt files"
        raise UsageError(f"{records[0]} is a corpus of records, and {apart}: build an index of each")
    if lines and others:
        raise UsageError(f"--lines: {others[0]} is no .txt file, and cannot be read as a document in each line")
    return bool(others) or (whole and not records)


def from_paths(
    paths: Sequence[str],
    encoder: Encoder | None,
    output: str,
    reading: dict[str, Any],
    *,
    chunk: int | None,
    overlap: int | None,
    include: Sequence[str],
    exclude: Sequence[str],
    whole: bool,
    lines: bool,
    strict: bool,
    verbose: bool,
) -> IndexInput:
    """What is given as documents for an index, and on stderr what it was taken for."""
    from vecsearch.cli.sources import IndexInput, from_records
    from vecsearch.corpus.folder.corpus import PASSAGE_TOKENS, read_files

    if not are_files(paths, format=reading["format"], whole=whole, lines=lines):
        if include or exclude or strict or verbose:
            raise UsageError(f"--include, --exclude, --strict and --verbose are for documents; {paths[0]} holds records")
        if not lines and any(path.lower().endswith(".txt") for path in paths):
            note("note: a document in each line; --whole takes a .txt file as one document")
        return from_records(paths, reading)
    if overlap:
        raise UsageError("--overlap: passages of files end at headings and paragraphs, and do not overlap; leave it out")
    if any(reading.values()):
        raise UsageError("--text-field, --id-field, --format and --skip-bad are for corpora of records; these are files")
    assert encoder is not None  # only ready vectors come without one, and these are of records
    note(f"note: files, as passages of at most {chunk or PASSAGE_TOKENS} tokens that end at headings and paragraphs")
    return IndexInput(
        read_files(
            paths,
            tokens=encoder.tokens,
            most=chunk or PASSAGE_TOKENS,
            include=include,
            exclude=exclude,
            index=output,
            strict=strict,
            tell=tell(verbose),
        )
    )
