"""Files and folders on the command line: what was taken for what, what was left out, and hits that say where they are."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def notes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "bicycle.md": "---\ntags: [repair]\n---\n# Bicycle\n\n## Flat tyre\n\nPatch the tube. Look for glass.\n\n"
        "## Winter\n\nOil the chain.\n",
        "kitchen/bread.txt": "Bake it for forty minutes.\n\nLet it cool.\n",
        "kitchen/broken.pdf": "no pdf",
        "kitchen/rows.csv": "id,text\na,x\n",
        ".hidden.md": "secret",
    }.items():
        path = tmp_path / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "notes"


def rows(ran) -> list[dict]:
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def test_a_folder_is_built_asked_and_synced(vecsearch, notes):
    built = vecsearch("build", "notes", "-o", "i", "--json")
    assert rows(built)[0]["rows"] == 3
    assert built.err.splitlines()[0].startswith("note: files, as passages of at most 200 tokens")
    assert "2 files read" in built.err and "1 hidden" in built.err and "1 data files" in built.err
    assert "1 file cannot be read: notes/kitchen/broken.pdf is no PDF" in built.err
    (hit, *_) = rows(vecsearch("query", "i", "oil a chain", "-k", 1, "--json"))
    assert (hit["id"], hit["fields"]["heading"], hit["fields"]["line"]) == ("notes/bicycle.md:10", "Bicycle > Winter", 10)
    assert hit["snippet"] == {"text": "Oil the chain.", "marks": [[0, 3], [8, 13]]}
    (notes / "new.md").write_text("Penguins swim.")
    (notes / "kitchen/bread.txt").rename(notes / "bread.txt")
    planned = rows(vecsearch("sync", "i", "--dry-run", "--json"))
    assert [(row["file"], row["was"], row["is"]) for row in planned] == [
        ("notes/bread.txt", "notes/kitchen/bread.txt", "renamed"),
        ("notes/new.md", "", "new"),
    ]
    synced = vecsearch("sync", "i", "--json")
    assert rows(synced)[0] | {"index": ""} == {
        "index": "", "new": 1, "changed": 0, "renamed": 1, "gone": 0, "passages": 4, "generation": 2,
    }  # fmt: skip
    assert "2 written, of which 1 encoded" in synced.err


def test_hits_of_one_file_stand_together_and_begin_with_their_place(vecsearch, notes):
    vecsearch("build", "notes", "-o", "i")
    shown = vecsearch("query", "i", "patch a tube", "--table").out.splitlines()
    assert shown[0].split()[2:] == ["notes/bicycle.md:6", "Bicycle", ">", "Flat", "tyre"]
    assert shown[1].strip() == "Patch the tube."
    places = [line.split()[2] for line in shown if "notes/" in line]
    assert sorted(places[:2]) == ["notes/bicycle.md:10", "notes/bicycle.md:6"]


def test_conditions_on_the_fields_of_files(vecsearch, notes):
    vecsearch("build", "notes", "-o", "i")
    for where, ids in {
        "path like 'notes/kitchen/%' and modified > '2025-01-01'": ["notes/kitchen/bread.txt:1"],
        "kind = 'markdown' and heading like '%Winter'": ["notes/bicycle.md:10"],
        "tags like '%repair%' and size > 10": ["notes/bicycle.md:6", "notes/bicycle.md:10"],
    }.items():
        found = rows(vecsearch("query", "i", "bread and tyres", "--where", where, "--json"))
        assert {row["id"] for row in found} == set(ids), where


def test_what_a_text_file_is_taken_for(vecsearch, notes):
    assert rows(vecsearch("build", "notes/kitchen/bread.txt", "-o", "lines", "--json"))[0]["rows"] == 2
    whole = vecsearch("build", "notes/kitchen/bread.txt", "-o", "whole", "--whole", "--json")
    assert rows(whole)[0]["rows"] == 1
    beside = vecsearch("build", "notes/kitchen/bread.txt", "notes/bicycle.md", "-o", "beside", "--json")
    assert rows(beside)[0]["rows"] == 3
    both = vecsearch("build", "notes/kitchen/bread.txt", "notes/kitchen/rows.csv", "-o", "both", "--json")
    assert rows(both)[0]["rows"] == 3, "records both: a line each and a row"
    assert "a document in each line" in both.err


def test_patterns_names_and_strictness(vecsearch, notes):
    built = vecsearch("build", "notes", "-o", "i", "--include", "*.md", "--verbose", "--json")
    assert rows(built)[0]["rows"] == 2
    assert "notes/kitchen/bread.txt: excluded" in built.err
    strict = vecsearch("build", "notes", "-o", "j", "--strict")
    assert strict.code == 3 and "notes/kitchen/broken.pdf" in strict.err and not Path("j").exists()
    assert rows(vecsearch("build", "notes/**/*.txt", "-o", "k", "--whole", "--json"))[0]["rows"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build", "nothing", "-o", "x"], ["nothing", "does not exist"]),
        (["build", "notes", "notes/kitchen/rows.csv", "-o", "x"], ["rows.csv", "records"]),
        (["build", "notes", "-o", "x", "--lines"], ["--lines", "notes"]),
        (["build", "notes/kitchen/rows.csv", "-o", "x", "--whole"], ["--whole", "rows.csv"]),
        (["build", "notes/kitchen/rows.csv", "-o", "x", "--include", "*.md"], ["--include", "rows.csv"]),
        (["build", "notes", "-o", "x", "--text-field", "a"], ["--text-field"]),
        (["build", "notes", "-o", "x", "--chunk", "9", "--overlap", "3"], ["--overlap"]),
        (["build", "notes/kitchen/broken.pdf", "-o", "x"], ["broken.pdf", "no file"]),
        (["add", "own", "notes"], ["notes", "records"]),
        (["sync", "own", "notes"], ["own", "records"]),
        (["sync", "own"], ["own", "records"]),
        (["sync", "nowhere"], ["nowhere"]),
        (["query", "own", "x", "--open", "99"], ["--open 99"]),
        (["query", "own", "x", "y", "--open", "1"], ["--open", "single"]),
    ],
)
def test_what_cannot_be_done_is_said(vecsearch, notes, words, said):
    Path("own.jsonl").write_text('{"id": "1", "text": "x"}\n')
    vecsearch("build", "own.jsonl", "-o", "own")
    before = sorted(os.listdir("."))
    ran = vecsearch(*words)
    assert ran.code in (2, 3, 4) and "Traceback" not in ran.err
    assert all(part in ran.err for part in said), ran.err
    assert sorted(os.listdir(".")) == before


def test_what_is_added_to_files_are_files(vecsearch, notes):
    vecsearch("build", "notes", "-o", "i")
    ran = vecsearch("add", "i", "notes/bicycle.md")
    assert ran.code == 2 and "vecsearch sync i notes/bicycle.md" in ran.err


def test_a_folder_that_was_emptied_deletes_nothing_unless_that_is_meant(vecsearch, notes):
    vecsearch("build", "notes", "-o", "i")
    shutil.rmtree(notes)
    notes.mkdir()
    ran = vecsearch("sync", "i")
    assert ran.code == 3 and "none of its 3 files" in ran.err and "--allow-empty" in ran.err
    assert rows(vecsearch("sync", "i", "--allow-empty", "--json"))[0]["passages"] == 0


def test_files_that_cannot_be_read_are_said_each_time(vecsearch, notes):
    vecsearch("build", "notes", "-o", "i")
    assert "notes/kitchen/broken.pdf: is no PDF" in vecsearch("sync", "i", "--verbose").err
    assert vecsearch("sync", "i", "--strict").code == 3
    (notes / "odd.md").write_text("---\nwhen: 2024-13-45\n---\n# Odd\n\ntext\n")
    assert "notes/odd.md has fields that cannot be read: month must be in 1..12" in vecsearch("sync", "i").err
    ids = {row["id"] for row in rows(vecsearch("query", "i", "when odd text", "--where", "path like '%odd.md'", "--json"))}
    assert ids == {"notes/odd.md:1", "notes/odd.md:4"}


def test_indexes_in_the_folder_are_no_documents(vecsearch, notes):
    assert rows(vecsearch("build", "notes", "-o", "notes/first", "--json"))[0]["rows"] == 3
    second = vecsearch("build", "notes", "-o", "notes/second", "--json")
    assert rows(second)[0]["rows"] == 3 and "1 indexes of vecsearch" in second.err


def test_names_and_texts_that_are_not_utf8_are_read_and_said(vecsearch, notes):
    path = Path(os.fsdecode(os.fsencode(notes) + b"/caf\xe9.md"))
    path.write_bytes("# Café\n\nIm Café gibt es für alle Gäste Käse.\n".encode("cp1252"))
    built = vecsearch("build", "notes", "-o", "i", "--verbose", "--json")
    assert rows(built)[0]["rows"] == 4
    assert "1 name not in UTF-8" in built.err and "not in UTF-8: 1 cp1252" in built.err
    assert "notes/caf\\udce9.md: has a name that is not UTF-8" in built.err
    assert not rows(vecsearch("sync", "i", "--json"))[0]["new"]


def test_open_starts_the_program_of_the_system(vecsearch, notes, monkeypatch):
    opened = []
    monkeypatch.setattr("click.launch", lambda url: opened.append(url) or 0)
    vecsearch("build", "notes", "-o", "i")
    vecsearch("query", "i", "oil the chain", "-k", 1, "--open", 1)
    assert opened == [str(notes / "bicycle.md")]
    (notes / "bicycle.md").unlink()
    gone = vecsearch("query", "i", "oil the chain", "-k", 1, "--open", 1)
    assert gone.code == 2 and "bicycle.md" in gone.err and "vecsearch sync i" in gone.err


def test_a_missing_extra_is_said_with_the_number_of_files(vecsearch, notes, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pypdfium2" else __import__(name).__spec__)
    ran = vecsearch("build", "notes", "-o", "i")
    assert "1 need pip install 'vecsearch[files]'" in ran.err
    monkeypatch.undo()
    os.chdir(notes.parent)
    assert "notes/kitchen/broken.pdf" in vecsearch("sync", "i", "--verbose").err, "read as soon as it can be"


def test_a_reader_that_is_gone_loses_nothing(vecsearch, notes, monkeypatch):
    vecsearch("build", "notes", "-o", "i")
    (notes / "page.html").write_text("<h1>Zebras</h1><p>They run.</p>")
    assert rows(vecsearch("sync", "i", "--json"))[0]["new"] == 1
    (notes / "page.html").write_text("<h1>Zebras</h1><p>They run and run.</p>")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "lxml" else __import__(name).__spec__)
    for _ in range(2):
        synced = vecsearch("sync", "i", "--json")
        assert rows(synced)[0] | {"index": ""} == {
            "index": "", "new": 0, "changed": 0, "renamed": 0, "gone": 0, "passages": 4, "generation": 2,
        }  # fmt: skip
        assert "1 need pip install" in synced.err
