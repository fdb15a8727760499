"""What holds for every command: exit codes, stdout for data, stderr for the rest, signals, pipes, and a quick --help."""

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest

from vecsearch.cli.main import COMMANDS, cli

COMMAND = [sys.executable, "-m", "vecsearch.cli"]
ROOT = Path(__file__).parent.parent


def commands(group: click.Group = cli, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command by its words, groups included."""
    found = []
    for name, command in group.commands.items():
        found.append((*prefix, name))
        if isinstance(command, click.Group):
            found += commands(command, (*prefix, name))
    return found


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index of ready vectors, 3,000 of length 8: row i has the id "i"."""
    folder = tmp_path_factory.mktemp("ready")
    np.save(folder / "v.npy", np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32))
    subprocess.run([*COMMAND, "build", "--vectors", folder / "v.npy", "-o", folder / "index"], check=True, capture_output=True)
    return folder / "index"


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_and_every_option_has_help(vecsearch, words):
    ran = vecsearch(*words, "--help")
    assert (ran.code, ran.err) == (0, "") and ran.out.startswith(f"Usage: vecsearch {' '.join(words)} ")
    command = cli
    for word in words:
        command = command.commands[word]
    assert command.help
    assert [option.name for option in command.params if isinstance(option, click.Option) and not option.help] == []


def test_the_overview_says_what_each_command_says_of_itself():
    assert {name: command.get_short_help_str(61) for name, command in cli.commands.items()} == COMMANDS


def numbers(*kinds: type) -> list[tuple[str, click.Parameter]]:
    """Every argument and option of a kind, with its command."""
    found = []
    for words in commands():
        command = cli
        for word in words:
            command = command.commands[word]
        found += [(" ".join(words), param) for param in command.params if isinstance(param.type, kinds)]
    return found


def test_every_whole_number_is_called_one():
    whole = numbers(type(click.INT), click.IntRange)
    assert {("query", "k"), ("map", "seed"), ("rollback", "generation")} <= {(name, param.name) for name, param in whole}
    for _, param in whole:
        with pytest.raises(click.BadParameter, match=r"^'1e3' is not a valid whole number\.$"):
            param.type.convert("1e3", param, None)


def test_no_number_is_nan_or_infinite():
    real = numbers(type(click.FLOAT), click.FloatRange)
    assert {("query", "min_score"), ("query", "weights"), ("train lm", "rate")} <= {(name, param.name) for name, param in real}
    for value in ("nan", "-NaN", "inf", "1e999"):
        for _, param in real:
            with pytest.raises(click.BadParameter, match=r"is not a finite number; give one|is not in the range"):
                param.type.convert(value, param, None)


@pytest.mark.parametrize("option", ["--min-score=nan", "--min-score=inf", "-k1e3"])
def test_a_value_that_is_no_number_is_a_usage_error(vecsearch, index, option):
    said = "'1e3' is not a valid whole number." if "1e3" in option else "is not a finite number; give one, such as 0.5"
    for words in (["analogy", index, "--plus", "7"], ["similar", index, "7"]):
        ran = vecsearch(*words, option)
        assert (ran.code, ran.out) == (2, "") and said in ran.err


@pytest.mark.parametrize("option", ["--text-field", "--id-field", "--format"])
def test_an_empty_name_is_no_choice_that_was_not_made(vecsearch, tmp_path, option):
    (tmp_path / "c.csv").write_text("id,text\n1,a\n")
    ran = vecsearch("encode", tmp_path / "c.csv", "-o", tmp_path / "v.npy", option, "")
    assert ran.code == 2 and f"{option[2:].replace('-', '_')}" in ran.err and " is empty; give " in ran.err
    assert not (tmp_path / "v.npy").exists()


@pytest.mark.parametrize(
    "words, skips",
    [
        ("build CORPUS -o x", True),
        ("encode CORPUS -o x.npy", True),
        ("similarity --pairs PAIRS -o x.csv", True),
        ("calibrate PAIRS -o x", True),
        ("fuse PAIRS --model logistic -o x", True),
        ("train lm CORPUS -o x", False),
        ("train similarity CORPUS -o x", False),
        ("evaluate PAIRS", False),
        ("model words english CORPUS -o x", False),
    ],
)
def test_a_bad_record_can_be_skipped_where_the_command_says_so(vecsearch, tmp_path, monkeypatch, words, skips):
    monkeypatch.chdir(tmp_path)
    Path("corpus.jsonl").write_text('{"id": 1, "text": "a film"}\n{"text"\n')
    Path("pairs.jsonl").write_text('{"a": "a film", "b": "a book", "label": 1}\n{"a"\n')
    ran = vecsearch(*words.replace("CORPUS", "corpus.jsonl").replace("PAIRS", "pairs.jsonl").split())
    remedy = ", or pass --skip-bad to leave out such lines and count them" if skips else ""
    assert ran.code == 3 and f" Expecting ':' delimiter; mend the line{remedy}\n" in ran.err


def test_a_bad_header_cannot_be_skipped(vecsearch, tmp_path):
    (tmp_path / "c.csv").write_bytes(b"id,te\xffxt\n1,x\n")
    ran = vecsearch("build", tmp_path / "c.csv", "-o", tmp_path / "x")
    assert ran.code == 3 and "c.csv, line 1: " in ran.err and "--skip-bad" not in ran.err


def test_help_imports_nothing_heavy():
    program = f"""
import sys
from vecsearch.cli.main import main
for words in {[(), *commands()]}:
    sys.argv = ["vecsearch", *words, "--help"]
    try:
        main()
    except SystemExit as end:
        assert not end.code
heavy = {{"torch", "faiss", "fastai", "spacy", "numpy", "h5py", "pyarrow", "safetensors"}}
print(sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stderr) == (0, "[]\n") and done.stdout.count("Usage: ") == len(commands()) + 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nosuch",),
        ("query",),
        ("verify", "a", "b"),
        ("analogy", "x", "--minus", "a"),
        ("odd-one-out", "x"),
        ("info", "--nosuch", "a"),
        ("build", "c", "-o", "x", "--metric", "l2"),
    ],
    ids=" ".join,
)
def test_a_command_line_that_makes_no_sense(vecsearch, arguments):
    ran = vecsearch(*arguments)
    assert (ran.code, ran.out) == (2, "") and ran.err.startswith("Usage: vecsearch")


@pytest.mark.parametrize(
    "line, named",
    [
        ("build -o x", "CORPUS --vectors --vocabulary"),
        ("build c.txt --vocabulary -o x", "CORPUS --vocabulary"),
        ("build --vocabulary --vectors v.npy -o x", "--vocabulary --vectors"),
        ("build c.txt --vectors v.npy --ids i.txt -o x", "--ids CORPUS"),
        ("build c.txt --ids i.txt -o x", "--ids --vectors"),
        ("build c.txt --all-words -o x", "--all-words --vocabulary"),
        ("build --vectors v.npy --skip-bad -o x", "--skip-bad CORPUS"),
        ("build --vocabulary --text-field t -o x", "--text-field CORPUS"),
        ("build --vectors v.npy --dtype float32 -o x", "--vectors --dtype --encoder"),
        ("build c.txt --memory 1GB -o x", "--memory --recall --spec"),
        ("build c.txt --queries q.npy -o x", "--queries --recall --spec"),
        ("build c.txt -k 5 -o x", "-k --recall --spec"),
        ("build c.txt -k 5 --spec exact -o x", "-k --recall --spec"),
        ("build c.txt --recall 1 --memory 1GB -o x", "--memory --recall"),
        ("build c.txt --recall 1 --spec HNSW8 -o x", "--recall HNSW8"),
        ("build c.txt --dry-run -o x", "--dry-run --recall"),
        ("build c.txt --dry-run --recall 0.9 --spec HNSW8 -o x", "--dry-run --spec"),
        ("query x", "TEXTS --queries --vectors"),
        ("query x text --queries q.txt", "TEXTS --queries"),
        ("query x --queries= --vectors v.npy", "--queries --vectors"),
        ("similarity a b --index x --encoder english,pooling=max", "--index --encoder"),
        ("similarity --pairs x --index x --marked", "--index --pairs"),
        ("similarity --pairs x --marked", "--marked --pairs"),
        ("cluster x --duplicates 0.9 --by density", "--duplicates --by"),
        ("model import -o x", "--download"),
    ],
)
def test_options_that_do_not_go_together(vecsearch, line, named):
    ran = vecsearch(*line.split())
    assert (ran.code, ran.out) == (2, "") and ran.err.startswith("error: ") and ran.err.count("\n") == 1
    assert [name for name in named.split() if name not in ran.err] == []


def test_the_version(vecsearch):
    from importlib.metadata import version

    ran = vecsearch("--version")
    assert ran.code == 0 and version("vecsearch") in ran.out


# -- stdout and stderr -------------------------------------------------------------------------------------------------


def test_json_lines_when_piped_and_nothing_else_on_stdout(index):
    done = subprocess.run([*COMMAND, "similar", index, "0", "-k", "4000"], capture_output=True, text=True, timeout=180)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and [row["rank"] for row in rows] == list(range(1, 3000))
    assert done.stderr.startswith("note: k is 4000, the index holds 3000 documents")


def test_a_table_on_a_terminal(index):
    screen, terminal = pty.openpty()
    process = subprocess.Popen([*COMMAND, "similar", index, "0", "-k", "3"], stdout=terminal, stderr=subprocess.PIPE)
    os.close(terminal)
    with process:
        shown = b""
        while data := read_terminal(screen):
            shown += data
    os.close(screen)
    assert process.returncode == 0 and shown.decode().split()[:3] == ["rank", "score", "id"] and shown.count(b"\n") == 4


def read_terminal(screen: int) -> bytes:
    try:
        return os.read(screen, 4096)
    except OSError:  # how Linux says that the other side has closed it
        return b""


def test_a_reader_that_has_seen_enough(index):
    process = subprocess.Popen([*COMMAND, "similar", index, "0", "-k", "2999"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert json.loads(process.stdout.readline())["rank"] == 1
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written(index):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "similar", index, "0"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=180)
    assert (done.returncode, done.stderr) == (5, "error: cannot write to stdout: No space left on device\n")


# -- interrupted builds ------------------------------------------------------------------------------------------------

LINES = [f"the king of river {i} sat in the city of war {i % 7}\n" for i in range(9_000)]


@pytest.fixture
def build(tmp_path, tiny_folder):
    return [*COMMAND, "build", "-", "--encoder", f"{tiny_folder()},pooling=raw", "-o"]


def stored_rows(folder):
    """Rows of the unfinished build in `folder`, 0 where there is none yet."""
    path = next(folder.glob("segments/*/documents.sqlite"), None)
    if path is None:
        return 0
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        rows = connection.execute("SELECT rows FROM progress").fetchone()
        connection.close()
    except sqlite3.OperationalError:
        return 0
    return rows[0] if rows else 0


def stop_midway(command, folder, number):
    """Send the signal to a build that has stored its first block and waits for more of stdin; its exit code and stderr."""
    process = subprocess.Popen(
        [*command, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdin.writelines(LINES[:8_500])
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not stored_rows(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    time.sleep(0.3)  # the signal has come before the end of stdin does
    out, err = process.communicate()
    assert out == ""
    return process.returncode, err


@pytest.fixture
def whole(build, tmp_path):
    """The index of an uninterrupted build."""
    folder = tmp_path / "whole"
    subprocess.run([*build, folder], input="".join(LINES), text=True, check=True, capture_output=True, timeout=180)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_goes_on(vecsearch, build, whole, tmp_path, number):
    folder = tmp_path / "index"
    code, err = stop_midway(build, folder, number)
    rows = stored_rows(folder)
    assert rows >= 4096
    if number == signal.SIGINT:
        assert code == 130 and err.splitlines()[-1] == "error: interrupted" and "Traceback" not in err
        assert f"note: {rows:,} documents are stored: the same command with --resume continues after them" in err
    else:
        assert code == -signal.SIGKILL
    ran = vecsearch("query", folder, "king")
    assert ran.code == 4 and "unfinished build: finish it with vecsearch build --resume" in ran.err
    refused = subprocess.run([*build, folder], input="x", text=True, capture_output=True, timeout=180)
    assert refused.returncode == 2 and "--resume continues it, --replace starts again" in refused.stderr

    vectors = next(folder.glob("segments/*/vectors.npy"))
    begun = vectors.stat().st_ino
    resumed = subprocess.run([*build, folder, "--resume"], input="".join(LINES), text=True, capture_output=True, timeout=180)
    assert resumed.returncode == 0 and json.loads(resumed.stdout)["rows"] == len(LINES)
    assert vectors.stat().st_ino == begun
    assert vecsearch("verify", folder).code == 0
    for name in ("vectors.npy", "norms.npy"):
        assert next(folder.rglob(name)).read_bytes() == next(whole.rglob(name)).read_bytes()
    facts, expected = (json.loads(vecsearch("info", place).out) for place in (folder, whole))
    assert facts["counts"] == expected["counts"] and facts["provenance"] == expected["provenance"]
    asked = [vecsearch("query", place, "king of war", "--exact").out for place in (folder, whole)]
    assert asked[0] == asked[1] != ""
