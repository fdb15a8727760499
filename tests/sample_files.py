"""A small, whole file of each kind, and broken ones made of it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
"""How a file begins that Office has encrypted."""
_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"


def zipped(**parts: str) -> bytes:
    """A zip of parts, whose names have __ for / and end in _xml and the like."""
    data = BytesIO()
    with ZipFile(data, "w", ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return data.getvalue()


def docx(*paragraphs: str) -> bytes:
    """Each paragraph that begins with # is a heading."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>{text[2:]}</w:t></w:r></w:p>'
        if text.startswith("# ")
        else f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"
        for text in paragraphs
    )
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    style = '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
    return zipped(
        **{
            "[Content_Types].xml": f'<Types xmlns="{_TYPES}"><Default Extension="rels" ContentType='
            f'"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" '
            f'ContentType="{main}"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" Type="{_OFFICE}/officeDocument" '
            'Target="word/document.xml"/></Relationships>',
            "word/_rels/document.xml.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" '
            f'Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
            "word/styles.xml": f"<w:styles {_WORD}>{style}</w:styles>",
            "word/document.xml": f"<w:document {_WORD}><w:body>{body}</w:body></w:document>",
        }
    )


def pptx(*slides: tuple[str, str]) -> bytes:
    """Slides of a title and a text."""
    from pptx import Presentation

    presentation, data = Presentation(), BytesIO()
    for title, text in slides:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, text
    presentation.save(data)
    return data.getvalue()


def xlsx(sheet: str, *rows: tuple) -> bytes:
    import xlsxwriter

    data = BytesIO()
    with xlsxwriter.Workbook(data) as book:
        page = book.add_worksheet(sheet)
        for number, row in enumerate(rows):
            page.write_row(number, 0, row)
    return data.getvalue()


def epub(*chapters: tuple[str, str]) -> bytes:
    items = "".join(f'<item id="c{i}" href="c{i}.xhtml" media-type="application/xhtml+xml"/>' for i in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{i}"/>' for i in range(len(chapters)))
    parts = {
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="b/p.opf"/></rootfiles></container>',
        "b/p.opf": f'<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Book</dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    for i, (title, text) in enumerate(chapters):
        parts[f"b/c{i}.xhtml"] = f'<html><body><h1 id="h{i}">{title}</h1><p>{text}</p></body></html>'
    return zipped(**parts)


def pdf(*pages: str, outline: tuple[str, ...] = ()) -> bytes:
    """Pages of one text each, and an outline whose n-th entry leads to the n-th page."""
    first = 4
    objects = {3: "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"}
    for n, text in enumerate(pages):
        lines = " T* ".join(f"({line}) Tj" for line in text.split("\n"))
        stream = f"BT /F1 12 Tf 14 TL 50 700 Td {lines} ET"
        objects[first + 2 * n] = (
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents {first + 2 * n + 1} 0 R"
            "/Resources<</Font<</F1 3 0 R>>>>>>"
        )
        objects[first + 2 * n + 1] = f"<</Length {len(stream)}>>stream\n{stream}\nendstream"
    kids = " ".join(f"{first + 2 * n} 0 R" for n in range(len(pages)))
    objects[2] = f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>"
    base = first + 2 * len(pages)
    for n, title in enumerate(outline):
        following = f"/Next {base + n + 2} 0 R" if n + 1 < len(outline) else ""
        objects[base + 1 + n] = f"<</Title({title})/Parent {base} 0 R/Dest[{first + 2 * n} 0 R/Fit]{following}>>"
    if outline:
        objects[base] = f"<</Type/Outlines/First {base + 1} 0 R/Last {base + len(outline)} 0 R/Count {len(outline)}>>"
    objects[1] = f"<</Type/Catalog/Pages 2 0 R{f'/Outlines {base} 0 R' if outline else ''}>>"
    data, places = b"%PDF-1.4\n", []
    for number in sorted(objects):
        places.append(len(data))
        data += f"{number} 0 obj\n{objects[number]}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    return data + f"{head}trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(data)}\n%%EOF".encode()


def samples() -> dict[str, bytes]:
    """A whole file of each suffix, which says `zebra`."""
    notebook = {"cells": [{"cell_type": "markdown", "source": "# A zebra"}, {"cell_type": "code", "source": "zebra = 1"}]}
    return {
        ".md": b"---\ntitle: Zebras\n---\n# A zebra\n\nIt runs.\n",
        ".rst": b"A zebra\n=======\n\nIt runs::\n\n   zebra()\n",
        ".txt": b"A zebra runs.\n\nAnother one.\n",
        ".html": b"<html><title>Zebras</title><h1 id=z>A zebra</h1><p>It runs.</html>",
        ".pdf": pdf("A zebra\nIt runs.", "Another page", outline=("A zebra", "Another")),
        ".docx": docx("# A zebra", "It runs."),
        ".pptx": pptx(("A zebra", "It runs."), ("Another", "It stands.")),
        ".xlsx": xlsx("Zebras", ("name", "age"), ("zebra", 3)),
        ".epub": epub(("A zebra", "It runs."), ("Another", "It stands.")),
        ".eml": b"From: a@b.c\nSubject: A zebra\nContent-Type: text/plain; charset=utf-8\n\nIt runs.\n",
        ".mbox": b"From a@b.c Fri Jan 31 10:00:00 2025\nSubject: A zebra\n\nIt runs.\n",
        ".ipynb": json.dumps(notebook).encode(),
        ".py": b"def zebra():\n    return 1\n",
        ".js": b"function zebra() {\n  return 1;\n}\n",
    }


def broken(suffix: str, whole: bytes, others: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """What can be wrong with a file, and the file: twenty and more of each kind."""
    yield "empty", b""
    yield "spaces", b" \n" * 50
    yield "zeros", bytes(2000)
    yield "noise", random.Random(suffix).randbytes(3000)
    yield "encrypted", OLD_OFFICE
    yield "utf-16", b"\xff\xfe" + "zebra größe".encode("utf-16-le")
    yield "latin-1", "Ein Zebra läuft über die Straße, größer als je zuvor.".encode("latin-1")
    for part in range(1, 8):
        yield f"cut-{part}", whole[: len(whole) * part // 8]
    for seed in range(5):
        drawn = random.Random(f"{suffix}{seed}")
        damaged = bytearray(whole)
        for _ in range(1 + len(damaged) // 50):
            damaged[drawn.randrange(len(damaged))] = drawn.randrange(256)
        yield f"flipped-{seed}", bytes(damaged)
    for other in (".pdf", ".docx", ".html", ".ipynb"):
        if other != suffix:
            yield f"a-{other[1:]}", others[other]
