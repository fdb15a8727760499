"""Files that are made of packed parts, as .docx and .epub are."""

from __future__ import annotations

from io import BytesIO
from zipfile import BadZipFile, ZipFile

from lxml import etree

from vecsearch.corpus.folder.formats.source import Problem, Source

_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How .doc and .xls begin, and what Office packs an encrypted file into."""


def opened(source: Source) -> ZipFile:
    """The parts. A part that says less than what it unpacks to is refused when it is read, by zipfile.

    Raises: Problem: there are none, they are encrypted, or unpack to more than they may.
    """
    if source.data.startswith(_OLD_OFFICE):
        raise Problem("is encrypted, or of an Office before 2007")
    try:
        parts = ZipFile(BytesIO(source.data))
    except BadZipFile as error:
        raise Problem(f"is damaged, or not what its name says ({error})") from None
    if (size := sum(part.file_size for part in parts.infolist())) > source.most:
        raise Problem(f"unpacks to {size:,} bytes; up to {source.most:,} are read")
    if any(part.flag_bits & 1 for part in parts.infolist()):
        raise Problem("is encrypted")
    return parts


def parsed(parts: ZipFile, name: str) -> etree._Element:
    """A part of XML; what it refers to outside of itself is not looked up. Raises Problem where it is not there."""
    if name not in parts.namelist():
        raise Problem(f"is damaged, or not what its name says: it has no {name}")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(parts.read(name), parser)


def core_properties(parts: ZipFile) -> tuple[str, dict[str, str]]:
    """The title and the author that a file of Office names."""
    if "docProps/core.xml" not in parts.namelist():
        return "", {}
    said = parsed(parts, "docProps/core.xml")
    title, author = (said.xpath(f"string(//*[local-name()='{name}'])").strip() for name in ("title", "creator"))
    return title, {"author": author} if author else {}
