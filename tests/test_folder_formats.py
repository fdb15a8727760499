"""What each kind of file says, and where."""

from __future__ import annotations

import json

import pytest

from vecsearch.corpus.folder.formats import FORMATS, Problem, Source


def read(kind: str, data: str | bytes, name: str = "a"):
    data = data.encode() if isinstance(data, str) else data
    return FORMATS[kind][0](Source(data, name, 1 << 20))


def shown(content):
    return [(block.level, block.text, block.place[1] if block.place else None) for block in content.blocks]


def test_markdown():
    content = read(
        "markdown",
        "---\ntitle: My notes\ntags: [a, b]\ndate: 2025-01-31\n---\n# Install\n\nRun *this* [now](http://x.y/z)\n"
        "and `that`.\n\n"
        "- one\n  - two\n- three\n\n3. four\n4. five\n\n| a | b |\n|---|---|\n| 1 | **2** |\n\n```sh\nls -l\n\npwd\n```\n\n"
        "Use\n---\n\n<div>raw <b>html</b></div>\n\n> quoted\n",
    )
    assert (content.title, content.fields["tags"], str(content.fields["date"])) == ("My notes", ["a", "b"], "2025-01-31")
    assert shown(content) == [
        (1, "Install", 6),
        (0, "Run this now\nand that.", 8),
        (0, "- one\n  - two\n- three", 11),
        (0, "3. four\n4. five", 15),
        (0, "a | b\n1 | 2", 18),
        (0, "ls -l\n\npwd", 22),
        (2, "Use", 28),
        (0, "raw  html", 31),
        (0, "quoted", 33),
    ]


@pytest.mark.parametrize("front", ["---\n: [\n---\n", "---\njust text\n---\n", "---\nnever closed: 1\n", "+++\n= 1\n+++\n"])
def test_what_is_no_front_matter_belongs_to_the_text(front):
    content = read("markdown", front + "\ntext\n")
    assert content.fields == {} and "text" in content.blocks[-1].text


def test_toml_before_markdown():
    assert read("markdown", '+++\ntitle = "T"\nn = 3\n+++\nx').fields == {"n": 3}


def test_rst():
    content = read(
        "rst",
        "=====\nTitle\n=====\n\nSee :ref:`the page <page>` and ``code``::\n\n   a = 1\n\n   b = 2\n\nPart\n----\n\n"
        ".. note:: Take *care*.\n\n   And more.\n\n.. image:: x.png\n   :alt: nothing\n\n.. a comment\n\n"
        ".. code-block:: python\n   :linenos:\n\n   def f():\n       pass\n\nOther\n-----\nlast line\n",
    )
    assert shown(content) == [
        (1, "Title", 2),
        (0, "See the page and code\n\na = 1\n\nb = 2", 5),
        (2, "Part", 11),
        (0, "Take care.", 14),
        (0, "And more.", 16),
        (0, "def f():\n    pass", 23),
        (2, "Other", 29),
        (0, "last line", 31),
    ]


def test_html():
    content = read(
        "html",
        """<!DOCTYPE html><html><head><title>zip — Docs</title><style>p {}</style></head><body>
        <nav>Home | <a href="/">Up</a></nav><div class="sphinxsidebar">Next topic</div>
        <section id="zip"><h1>zip &amp; more<a class="headerlink" href="#zip">¶</a></h1><p>It <b>packs</b>
        files.<script>alert(1)</script> All of them.</p>
        <ul><li>one</li><li>two <i>three</i></li></ul><pre>a = 1
  b = 2</pre>
        <table><tr><th>name</th><th>value</th></tr><tr><td>x</td><td>1</td></tr></table>
        <dl><dt id="zip.open"><code>zip.open(file)</code></dt><dd><p>Opens it.</p></dd></dl><p>After.</p>
        <h2><a name="see"></a>See also</h2>text behind</section><footer>© 2020</footer></body></html>""",
    )
    assert content.title == "zip & more"
    assert shown(content) == [
        (1, "zip & more", "zip"),
        (0, "It packs files. All of them.", "zip"),
        (0, "- one", "zip"),
        (0, "- two three", "zip"),
        (0, "a = 1\n  b = 2", "zip"),
        (0, "name | value\nx | 1", "zip"),
        (7, "zip.open(file)", "zip.open"),
        (0, "Opens it.", "zip.open"),
        (7, "", "zip.open"),
        (0, "After.", "zip.open"),
        (2, "See also", "see"),
        (0, "text behind", "see"),
    ]


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        ("<p>Größe</p>".encode(), "Größe", ""),
        (b'<meta charset="iso-8859-1"><p>Gr\xf6\xdfe</p>', "Größe", "iso-8859-1"),
        ("<p>" + "Die Größe der Wörter hängt von vielen Gründen ab. " * 5, "Größe", None),
    ],
)
def test_html_in_other_encodings(data, text, encoding):
    content = read("html", data.encode("cp1252") if isinstance(data, str) else data)
    assert text in content.blocks[0].text
    assert content.encoding == encoding if encoding is not None else content.encoding not in ("", "utf-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "cp1251", "shift_jis"])
def test_text_in_other_encodings(encoding):
    said = {
        "cp1251": "Поиск по смыслу находит документы, в которых нет ни одного слова запроса.\n\nВторой абзац.",
        "shift_jis": "意味で検索すると、言葉が違っても文書が見つかります。これは日本語の文章です。\n\n二番目の段落。",
    }.get(
        encoding,
        "Die Größe der Wörter hängt von vielen Gründen ab, und das – so heißt es – für immer.\n\nZweiter Absatz über Öl.",
    )
    content = read("text", said.encode(encoding))
    assert "\n\n".join(block.text for block in content.blocks) == said
    assert [block.place for block in content.blocks] == [("line", 1), ("line", 3)]
    assert bool(content.encoding) == (encoding != "utf-8-sig")


def test_a_binary_file_is_no_text():
    for data in (b"\x00\x01" * 100, b"\xff\xd8\xff\xe0\x00\x10JFIF", bytes(range(256)) * 4):
        with pytest.raises(Problem, match="binary"):
            read("text", data)


def test_a_notebook():
    cells = [
        {"cell_type": "markdown", "source": ["# Load\n", "\n", "Read it."]},
        {"cell_type": "code", "source": "x = 1", "outputs": [{"output_type": "stream", "text": ["1\n"]}]},
        {"cell_type": "code", "source": "plot()", "outputs": [{"data": {"image/png": "…", "text/plain": "<Figure>"}}]},
    ]
    content = read("notebook", json.dumps({"cells": cells, "nbformat": 4}))
    assert shown(content) == [
        (1, "Load", 1), (0, "Read it.", 1), (0, "x = 1", 2), (0, "1", 2), (0, "plot()", 3), (0, "<Figure>", 3),
    ]  # fmt: skip
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": "y = 2", "outputs": []}]}], "nbformat": 3}
    assert shown(read("notebook", json.dumps(old))) == [(0, "y = 2", 1)]
    for wrong in ("[]", "{", '{"cells": 3}'):
        with pytest.raises(Problem, match="is no notebook"):
            read("notebook", wrong)


MAIL = (
    "From: Ann <ann@a.b>\nTo: bob@a.b\nDate: Fri, 31 Jan 2025 10:00:00 +0000\nSubject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\n"
    "MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/plain; charset=utf-8\n\n"
    "Hello Bob,\n\nFrom here.\n--x\nContent-Type: text/html\n\n<p>Hello</p>\n--x--\n"
)


def test_a_mail_says_its_plain_text_below_its_subject():
    content = read("mail", MAIL)
    assert content.title == "Größe" and content.fields["from"] == "Ann <ann@a.b>"
    assert [text for _, text, _ in shown(content)][0:4:2] == ["Größe", "Hello Bob,"]
    assert "<p>" not in str(shown(content)) and shown(content)[-1][1] == "From here."


def test_a_mail_of_html_alone():
    content = read("mail", "Subject: S\nContent-Type: text/html\n\n<h1>Big</h1><p>Small</p>")
    assert [(level, text) for level, text, _ in shown(content)][-2:] == [(2, "Big"), (0, "Small")]


def test_a_box_of_mails():
    content = read("mail", f"From ann@a.b Fri Jan 31\n{MAIL}\nFrom bob@a.b Fri Jan 31\nSubject: Second\n\nbody\n")
    assert [(text, place) for level, text, place in shown(content) if level] == [("Größe", 1), ("Second", 2)]


def test_python_by_its_functions_and_classes():
    source = (
        '"""What it does."""\n\nimport os\n\n\n@cached\ndef f(x):\n    return x\n\n\n'
        'class A:\n    """An A."""\n\n    def g(self):\n        pass\n\n\nLAST = 1\n'
    )
    assert shown(read("code", source, "a.py")) == [
        (0, '"""What it does."""\n\nimport os', 1),
        (1, "f", 6),
        (0, "@cached\ndef f(x):\n    return x", 6),
        (1, "", 9),
        (1, "A", 11),
        (0, 'class A:\n    """An A."""', 11),
        (2, "g", 14),
        (0, "    def g(self):\n        pass", 14),
        (1, "", 16),
        (0, "LAST = 1", 18),
    ]


def test_other_code_by_what_begins_without_indentation():
    source = "int f() {\n  a;\n\n  b;\n}\n\nint g() {\n  c;\n}\n"
    assert [(text, line) for _, text, line in shown(read("code", source))] == [
        ("int f() {\n  a;\n\n  b;\n}", 1),
        ("int g() {\n  c;\n}", 7),
    ]
    assert shown(read("code", "print 'two'\n", "a.py")) == [(0, "print 'two'", 1)]
    with pytest.raises(Problem, match="1,0"):
        read("code", "x" * 1000)
