"""What reads documents best: for each kind of file our reader and others, on the same files, by text kept and time.

    python benchmarks/converters.py FOLDER

FOLDER has a folder for each kind, named by a suffix: html, pdf, docx, pptx, xlsx, epub, rst. `kept` is the share of a
reference's words, as a multiset, that a reader keeps, over all files; `least` the same of its worst file; `failed` how many
it does not read; `seconds` is processor time after the first import. The reference is pdftotext's text of a PDF, the text of
the body of a page (its main part, where it names one), all runs of text in an Office file or a book, and the source of .rst.
Readers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from time import process_time
from typing import Any
from zipfile import BadZipFile, ZipFile

from lxml import etree, html
from report import report

from vecsearch.corpus.folder.formats import FORMATS, Source
from vecsearch.corpus.folder.kinds import kind_of

_WORD = re.compile(r"\w+")
_TEXTS = {"docx": "t", "pptx": "t", "xlsx": "t", "epub": None}
Reader = Callable[[Path], str]


def main() -> None:
    parser = argparse.ArgumentParser(description="readers of documents, by text kept and time")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    rows = []
    for kind, others in OTHERS.items():
        paths = sorted(path for path in (options.folder / kind).glob("*") if path.is_file())
        wanted = {path: Counter(words(text)) for path in paths if (text := reference(kind, path))}
        for name, needs, read in (("vecsearch", "vecsearch", ours), *others):
            if wanted and find_spec(needs) is not None:
                rows.append({"kind": kind, "reader": name, "files": len(wanted), **measured(read, wanted)})
    report("converters", rows)


def measured(read: Reader, wanted: dict[Path, Counter[str]]) -> dict[str, Any]:
    kept, failed, seconds = [], 0, 0.0
    for number, (path, expected) in enumerate(wanted.items()):
        for _ in range(1 + (number == 0)):  # the first time imports
            started, found = process_time(), None
            try:
                found = Counter(words(read(path)))
            except Exception:  # whatever a reader raises is a file that it does not read
                found = None
            taken = process_time() - started
        seconds, failed = seconds + taken, failed + (found is None)
        kept.append(((expected & (found or Counter())).total(), expected.total()))
    return {
        "kept": round(sum(part for part, _ in kept) / sum(all_ for _, all_ in kept), 3),
        "least": round(min(part / all_ for part, all_ in kept), 3),
        "failed": failed,
        "seconds": round(seconds, 2),
    }


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def reference(kind: str, path: Path) -> str:
    """All the text of a file by a way that keeps everything; empty where there is none."""
    try:
        if kind == "pdf":
            return subprocess.run(["pdftotext", str(path), "-"], capture_output=True, check=True, text=True).stdout
        if kind == "rst":
            return path.read_text(encoding="utf-8", errors="replace")
        if kind == "html":
            root = html.fromstring(path.read_bytes())
            main = root.xpath("(//main | //*[@role='main'] | //body)[1]")
            return " ".join((main[0] if main else root).xpath(".//text()[not(parent::script or parent::style)]"))
        with ZipFile(path) as parts:
            names = [name for name in parts.namelist() if name.endswith((".xml", ".xhtml", ".html"))]
            trees = [
                etree.fromstring(parts.read(name), etree.XMLParser(recover=True, resolve_entities=False)) for name in names
            ]
        query = f"//*[local-name()='{_TEXTS[kind]}']//text()" if _TEXTS[kind] else "//*[local-name()='body']//text()"
        return " ".join(text for tree in trees if tree is not None for text in tree.xpath(query))
    except (subprocess.CalledProcessError, etree.LxmlError, BadZipFile, ValueError, OSError):
        return ""


def ours(path: Path) -> str:
    content = FORMATS[kind_of(path.name) or "text"][0](Source(path.read_bytes(), path.name, 1 << 30))
    return "\n".join(block.text for block in content.blocks)


def pypdf(path: Path) -> str:
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(path).pages)


def trafilatura(path: Path) -> str:
    from trafilatura import extract

    return extract(path.read_bytes(), favor_recall=True) or ""


def inscriptis(path: Path) -> str:
    from inscriptis import get_text

    return get_text(path.read_text(encoding="utf-8", errors="replace"))


def python_docx(path: Path) -> str:
    from docx import Document

    document = Document(str(path))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])


def openpyxl(path: Path) -> str:
    from openpyxl import load_workbook

    book = load_workbook(path, read_only=True, data_only=True)
    return "\n".join(
        str(value) for sheet in book for row in sheet.iter_rows(values_only=True) for value in row if value is not None
    )


def ebooklib(path: Path) -> str:
    from ebooklib import ITEM_DOCUMENT
    from ebooklib.epub import read_epub

    pages = read_epub(str(path)).get_items_of_type(ITEM_DOCUMENT)
    return "\n".join(html.fromstring(page.get_content()).text_content() for page in pages)


def docutils(path: Path) -> str:
    from docutils.core import publish_doctree

    quiet = {"report_level": 5, "halt_level": 6, "file_insertion_enabled": False, "raw_enabled": False, "warning_stream": False}
    return publish_doctree(path.read_text(encoding="utf-8"), settings_overrides=quiet).astext()


def markitdown(path: Path) -> str:
    from markitdown import MarkItDown

    return MarkItDown().convert_stream(BytesIO(path.read_bytes()), file_extension=path.suffix).text_content


_MARKITDOWN = ("markitdown", "markitdown", markitdown)
OTHERS: dict[str, tuple[tuple[str, str, Reader], ...]] = {
    "html": (("trafilatura", "trafilatura", trafilatura), ("inscriptis", "inscriptis", inscriptis), _MARKITDOWN),
    "pdf": (("pypdf", "pypdf", pypdf),),
    "docx": (("python-docx", "docx", python_docx), _MARKITDOWN),
    "pptx": (_MARKITDOWN,),
    "xlsx": (("openpyxl", "openpyxl", openpyxl), _MARKITDOWN),
    "epub": (("ebooklib", "ebooklib", ebooklib), _MARKITDOWN),
    "rst": (("docutils", "docutils", docutils),),
}
"""Name, module and function of the other readers of each kind."""


if __name__ == "__main__":
    main()
