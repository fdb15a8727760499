"""Markdown (CommonMark with tables), and the YAML or TOML before it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from vecsearch.corpus.folder.content import Block, Content
from vecsearch.corpus.folder.formats.source import Source

_FRONT = re.compile(r"(---|\+\+\+)[ \t]*\n(.*?\n)??\1[ \t]*(?:\n|\Z)", re.DOTALL)
_TAG = re.compile(r"<!--.*?(?:-->|\Z)|<[^>]*>", re.DOTALL)
_CODE = ("fence", "code_block")


def read(source: Source) -> Content:
    text, encoding = source.text()
    fields, first, problem = front_matter(text)
    title = fields.pop("title", "")
    blocks = list(markdown_blocks(text[first:], 1 + text.count("\n", 0, first)))
    if problem:  # a person reads it all the same
        blocks.insert(0, Block(text[:first].strip(), ("line", 1), lines=True))
    return Content(blocks, str(title or ""), fields, encoding, [problem] if problem else [])


def front_matter(text: str) -> tuple[dict[str, Any], int, str]:
    """The fields that YAML between lines of --- or TOML between lines of +++ gives a text, where what is below begins, and what
    is wrong with them, if anything is."""
    found = _FRONT.match(text)
    if not found or not (found[2] or "").strip():
        return {}, found.end() if found else 0, ""
    try:
        fields = _toml(found[2]) if found[1] == "+++" else _yaml(found[2])
    except ValueError as error:
        return {}, found.end(), f"has fields that cannot be read: {' '.join(str(error).split())[:200]}"
    return (fields, found.end(), "") if isinstance(fields, dict) else ({}, 0, "")


def _toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def markdown_blocks(text: str, first: int = 1) -> Iterator[Block]:
    """The blocks of a Markdown text whose first line has this number, as a reader sees them: without marks and addresses."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    begin = 0
    while begin < len(tokens):
        end = begin + 1
        if tokens[begin].nesting == 1:
            while tokens[end].nesting != -1 or tokens[end].level != tokens[begin].level:
                end += 1
            end += 1
        group = tokens[begin:end]
        place = ("line", (group[0].map or [0])[0] + first)
        kind = group[0].type
        if kind == "heading_open":
            yield Block(_inline(group[1]), place, level=int(group[0].tag[1]))
        elif kind in _CODE:
            yield Block(group[0].content.rstrip(), place, lines=True)
        elif kind == "table_open":
            rows = list(_rows(group))
            yield Block("\n".join(rows), place, lines=True, header=rows[0] if rows else "")
        elif kind == "html_block":
            yield Block(_TAG.sub(" ", group[0].content).strip(), place)
        elif kind in ("bullet_list_open", "ordered_list_open"):
            yield Block("\n".join(_items(group)), place, lines=True)
        elif kind != "hr":
            yield Block("\n\n".join(_texts(group)), place)
        begin = end


def _texts(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "inline":
            yield _inline(token)
        elif token.type in _CODE:
            yield token.content.rstrip()
        elif token.type == "html_block":
            yield _TAG.sub(" ", token.content).strip()


def _items(tokens: Sequence[Token]) -> Iterator[str]:
    """The lines of a list, each item's first with its mark."""
    depth, numbers, mark = 0, list[int | None](), ""
    for token in tokens:
        if token.type in ("bullet_list_open", "ordered_list_open"):
            numbers.append(int(token.attrGet("start") or 1) if token.type == "ordered_list_open" else None)
            depth += 1
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            numbers.pop()
            depth -= 1
        elif token.type == "list_item_open":
            number = numbers[-1]
            mark = "- " if number is None else f"{number}. "
            numbers[-1] = None if number is None else number + 1
        else:
            for text in _texts([token]):
                yield "  " * (depth - 1) + mark + text
                mark = ""


def _rows(tokens: Sequence[Token]) -> Iterator[str]:
    cells = list[str]()
    for token in tokens:
        if token.type == "inline":
            cells.append(_inline(token))
        elif token.type == "tr_close":
            yield " | ".join(cells)
            cells = []


def _inline(token: Token) -> str:
    parts = []
    for child in token.children or ():
        if child.type in ("text", "code_inline", "text_special"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type == "image":
            parts.append(child.content)
        elif child.type == "html_inline" and child.content.lower().startswith("<br"):
            parts.append("\n")
    return "".join(parts)
