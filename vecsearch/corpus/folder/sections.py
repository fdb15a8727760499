"""A file's blocks as passages, which end at headings; what is too long is split between paragraphs, lines or sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vecsearch.corpus.folder.content import Block, Content, Place
from vecsearch.corpus.passages import PassageSplitter, sentences

BETWEEN = " > "
"""Between the headings of a path."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage: below which headings it stands, its text without them, and where it begins."""

    headings: tuple[str, ...]
    text: str
    place: Place

    @property
    def heading(self) -> str:
        """The path of its headings: "Install > Linux"."""
        return BETWEEN.join(self.headings)


class Sections:
    """Splits what a file holds into passages of at most `most` tokens, as `splitter` counts them, headings included."""

    def __init__(self, splitter: PassageSplitter, most: int) -> None:
        self._splitter, self._most = splitter, most

    def passages(self, content: Content) -> Iterator[Passage]:
        """The passages of a file, in their order. A heading that nothing stands below is one of its own."""
        path: list[Block] = []
        body: list[Block] = []
        is_bare = False
        for block in [*content.blocks, Block("", level=1)]:
            if not block.level:
                if block.text.strip():
                    body.append(block)
                continue
            if body or (is_bare and path[-1].level >= block.level):
                yield from self._section(path, body, content.title)
                body, is_bare = [], False
            path = [heading for heading in path if heading.level < block.level]
            if block.text.strip():
                path.append(replace(block, text=" ".join(block.text.split())))
                is_bare = True

    def _section(self, path: Sequence[Block], body: Sequence[Block], title: str) -> Iterator[Passage]:
        headings = tuple(heading.text for heading in path)
        if title and title not in headings[:1]:
            headings = (title, *headings)
        room = max(self._most // 2, self._most - self._splitter.count(BETWEEN.join(headings)))
        place = path[-1].place if path else None
        if not body:
            yield Passage(headings, "", place)
            return
        pieces: list[Block] = []
        taken = 0
        for piece in (piece for block in body for piece in self._pieces(block, room)):
            count = self._splitter.count(piece.text)
            if pieces and taken + count > room:
                yield Passage(headings, _joined(pieces), place or pieces[0].place)
                pieces, place, taken = [], None, 0
            pieces.append(piece)
            taken += count
        yield Passage(headings, _joined(pieces), place or pieces[0].place)

    def _pieces(self, block: Block, room: int) -> Iterator[Block]:
        """The block, or parts of it that fit into so many tokens."""
        if self._splitter.count(block.text) <= room:
            yield block
            return
        spans = _lines(block.text) if block.lines else sentences(block.text)
        head = f"{block.header}\n" if block.header and self._splitter.count(block.header) <= room // 2 else ""
        room -= self._splitter.count(head)
        begin = stop = taken = 0
        for first, last in [*spans, (len(block.text), len(block.text))]:
            count = self._splitter.count(block.text[first:last])
            if stop > begin and (taken + count > room or first == len(block.text)):
                yield from self._fitting(block, begin, stop, room, head)
                begin, taken = first, 0
            stop, taken = last, taken + count

    def _fitting(self, block: Block, begin: int, stop: int, room: int, head: str) -> Iterator[Block]:
        """The part of a block, split between words where a line or a sentence alone is too long."""
        text = block.text[begin:stop].rstrip()
        spans = [(0, len(text))] if self._splitter.count(text) <= room else self._splitter.split(text, room)
        for first, last in (part for span in spans for part in self._cut(text, span, room)):
            shown = text[first:last]
            shown = head + shown if begin + first else shown
            yield replace(block, text=shown, place=_further(block, begin + first))

    def _cut(self, text: str, span: tuple[int, int], room: int) -> Iterator[tuple[int, int]]:
        """A part of a text, or several where it is one word that is too long: an address, a picture written in letters."""
        first, last = span
        count = self._splitter.count(text[first:last])
        step = last - first if count <= room else max(1, (last - first) * room // count)
        for begin in range(first, last, step):
            yield begin, min(begin + step, last)


def _lines(text: str) -> list[tuple[int, int]]:
    spans, begin = [], 0
    for line in text.split("\n"):
        spans.append((begin, begin + len(line)))
        begin += len(line) + 1
    return spans


def _further(block: Block, at: int) -> Place:
    """The place of a character of a block. Below a table's header there is a line that its text does not have."""
    if block.place is None or block.place[0] != "line":
        return block.place
    number = block.text.count("\n", 0, at)
    return ("line", int(block.place[1]) + number + (number > 0 and bool(block.header)))


def _joined(pieces: Sequence[Block]) -> str:
    return "\n\n".join(piece.text for piece in pieces)
