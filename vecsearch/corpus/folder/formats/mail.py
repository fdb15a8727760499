"""Mails, alone (.eml) or many in a file (.mbox): sender, date and subject, and what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from vecsearch.corpus.folder.content import Block, Content, Place
from vecsearch.corpus.folder.formats.source import Problem, Source
from vecsearch.corpus.folder.formats.text import paragraphs

_BEGINS = re.compile(rb"^From \S+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun).*\n", re.MULTILINE)
_HEADERS = ("from", "to", "date")


def read(source: Source) -> Content:
    if source.data.startswith(b"From "):
        found = [match for match in _BEGINS.finditer(source.data) if _is_boundary(source.data, match.start())]
        ends = [*(match.start() for match in found[1:]), len(source.data)]
        mails = [source.data[match.end() : end] for match, end in zip(found, ends, strict=True)]
        return Content([block for number, mail in enumerate(mails, 1) for block in _blocks(_parsed(mail), ("message", number))])
    mail = _parsed(source.data)
    fields = {name: _value(mail, name) for name in _HEADERS if mail[name]}
    return Content(list(_blocks(mail, None)), str(mail["subject"] or ""), fields)


def _value(mail: EmailMessage, name: str) -> Any:
    """What a header says; a date as one that can be compared."""
    return getattr(mail[name], "datetime", None) or str(mail[name])


def _is_boundary(data: bytes, at: int) -> bool:
    return at == 0 or data[max(0, at - 2) : at] == b"\n\n" or data[max(0, at - 3) : at] == b"\n\r\n"


def _parsed(data: bytes) -> EmailMessage:
    mail = message_from_bytes(data, policy=default)
    assert isinstance(mail, EmailMessage)
    if not mail.keys():
        raise Problem("is no mail: it has no headers")
    return mail


def _blocks(mail: EmailMessage, place: Place) -> Iterator[Block]:
    yield Block(str(mail["subject"] or ""), place, level=1)
    yield Block("\n".join(f"{name.title()}: {mail[name]}" for name in _HEADERS if mail[name]), place)
    for part in mail.walk():
        if part.is_multipart() or part.get_content_disposition() == "attachment":
            continue
        kind = part.get_content_type()
        if kind == "text/plain" or (kind == "text/html" and mail.get_body(("plain",)) is None):
            yield from _part(part, kind, place)


def _part(part: EmailMessage, kind: str, place: Place) -> Iterator[Block]:
    try:
        text = part.get_content()
    except (LookupError, ValueError):  # an encoding that there is none of
        text = (part.get_payload(decode=True) or b"").decode(errors="replace")
    if kind == "text/html":
        from vecsearch.corpus.folder.formats.html import html_blocks

        blocks = html_blocks(text.encode())[0]
    else:
        blocks = list(paragraphs(text.replace("\r\n", "\n")))
    for block in blocks:
        yield Block(block.text, place, block.level and block.level + 1, block.lines, block.header)
