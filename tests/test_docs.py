"""The documents are true: every command and program in them runs, and prints what they show.

In a ```console block the lines after `$ ` are commands, the others what a terminal shows of their stdout. What a ```python
block prints is the ```text block right below it; without one it prints nothing. A document's blocks run in order in one folder.
A command that ends in & is a service: its first line is what it shows, and it is ended with the document; 8080 stands for a
port that is free here.
Decimal numbers agree within TOLERANCE, everything else exactly but for spaces. `…` stands for anything, on a line of its own
for any lines. With DOCS=write in the environment, pages get what was printed in place of what does not agree.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from vecsearch.cli.main import cli
from vecsearch.encoders import DEFAULT, find_encoder
from vecsearch.encoders.ulmfit.folder import read_encoder

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "indexes/README.md")
DOCUMENTS = [*(ROOT / page for page in PAGES), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
DECIMAL = r"-?\d+\.\d+"
TOLERANCE = {"rel_tol": 0.02, "abs_tol": 0.005}
QUOTED = re.compile(r'"[^"]*"')
PORT = "8080"
NOT_RUN = re.compile(r"make |pip install |\. |.* --download ")
"""Commands that install something, reach for the network, or change the shell."""


class Example(NamedTuple):
    language: str
    code: str
    shown: str


def examples(markdown: str) -> Iterator[Example]:
    blocks = list(BLOCK.finditer(markdown))
    for block, following in zip_longest(blocks, blocks[1:]):
        language, body = block.groups()
        if language == "console":
            yield from commands(body)
        elif language == "python":
            below = following and following[1] == "text" and not markdown[block.end() : following.start()].strip()
            yield Example("python", body, following[2] if below else "")


def commands(body: str) -> Iterator[Example]:
    before, *parts = re.split(r"^\$ ", body, flags=re.MULTILINE)
    assert not before, f"a console block begins with a command, not with {before!r}"
    for part in parts:
        command, _, shown = part.partition("\n")
        while command.endswith("\\"):
            line, _, shown = shown.partition("\n")
            command += f"\n{line}"
        if end := re.search(r"<<'(\w+)'$", command):
            lines, _, shown = shown.partition(f"\n{end[1]}\n")
            command += f"\n{lines}\n{end[1]}\n"
        yield Example("console", command, shown)


def tidy(text: str) -> str:
    return "".join("\n" + " ".join(line.split()) for line in text.splitlines() if line.strip())


def match_of(shown: str, printed: str) -> tuple[re.Match[str] | None, list[str]]:
    """What is printed as what is shown but for its decimal numbers, and these."""
    pattern, numbers = "", []
    for place, part in enumerate(re.split(rf"(\n…$|…|{DECIMAL})", tidy(shown), flags=re.MULTILINE)):
        if place % 2 == 0:
            pattern += re.escape(part)
        elif part == "\n…":
            pattern += r"(?:\n.*)*"
        elif part == "…":
            pattern += ".*"
        else:
            pattern += f"({DECIMAL})"
            numbers.append(part)
    return re.fullmatch(pattern, tidy(printed)), numbers


def agrees(shown: str, printed: str) -> bool:
    match, numbers = match_of(shown, printed)
    return bool(match) and all(map(lambda a, b: math.isclose(float(a), float(b), **TOLERANCE), numbers, match.groups()))


def rewritten(shown: str, printed: str) -> str:
    """What should be shown: the same with the printed numbers where that is enough, else all that is printed."""
    match, _ = match_of(shown, printed)
    if not match:
        return printed.rstrip("\n") + "\n"
    found = iter(match.groups())
    return re.sub(DECIMAL, lambda _: next(found), shown)


def check_names(command: str) -> None:
    """A command that is not run still names what is there: a target of the Makefile, an extra of the package, an option."""
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets), f"{command}: the Makefile has the targets {targets}"
    elif words[0] == "vecsearch":
        cli.make_context("vecsearch", words[1:], resilient_parsing=True)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in re.findall(r"\[(\w+)\]", command):
        assert extra in extras, f"{command}: the package has the extras {list(extras)}"


@pytest.fixture
def served() -> Iterator[Callable[[str], str]]:
    """Begins a service by a command that ends in &, and gives its first line; services end with the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(command: str) -> str:
        service = subprocess.Popen(
            ["bash", "-c", f"exec {command.strip().removesuffix('&')}"], stdout=subprocess.PIPE, text=True
        )
        begun.append(service)
        line = service.stdout.readline()
        assert line, f"$ {command} has ended with {service.wait()}"
        return line

    yield begin
    for service in begun:
        service.terminate()
        service.communicate()


@pytest.fixture
def run_document(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    vecsearch: Callable,
    served: Callable[[str], str],
) -> Callable[[str], str]:
    """Runs a document's examples in an empty folder; fails at the first that does not print what is shown, or with
    `write` gives the document in which it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    names: dict[str, object] = {}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])

    def printed(example: Example) -> str:
        if PORT in example.code:
            return printed(example._replace(code=example.code.replace(PORT, port))).replace(port, PORT)
        if example.code.rstrip().endswith(" &"):
            return served(example.code)
        if example.language == "python":
            capsys.readouterr()
            exec(compile(example.code, "example", "exec"), names)
            return capsys.readouterr().out
        if example.code.startswith("vecsearch ") and not re.search(r"[|<>;&]", QUOTED.sub("", example.code)):
            monkeypatch.setattr(sys.stdout, "isatty", lambda: True)  # a reader has a terminal
            monkeypatch.setenv("NO_COLOR", "1")  # whose colours a page cannot show
            code, out, err = vecsearch(*shlex.split(example.code)[1:])
        else:
            done = subprocess.run(["bash", "-c", example.code], capture_output=True, text=True)
            code, out, err = done.returncode, done.stdout, done.stderr
        assert code == 0, f"$ {example.code}\nends with {code}:\n{out}{err}"
        return out

    def run(markdown: str, *, write: bool = False) -> str:
        for example in list(examples(markdown)):
            if example.language == "console" and NOT_RUN.match(example.code):
                check_names(example.code)
                assert not example.shown, f"{example.code} is not run, so nothing can be shown for it"
            else:
                out = printed(example)
                if write and not agrees(example.shown, out):
                    between = "```\n\n```text\n" if example.language == "python" else "\n"
                    before = example.code.rstrip("\n") + ("\n" if example.language == "python" else "") + between
                    assert markdown.count(before + example.shown) == 1, f"{example.code}: cannot be told from another"
                    markdown = markdown.replace(before + example.shown, before + rewritten(example.shown, out))
                    continue
                assert agrees(example.shown, out), f"{example.code}\n-- shown --\n{example.shown}\n-- printed --\n{out}"
        return markdown

    return run


@pytest.fixture(scope="module")
def my_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a reader brings: my-model.pth as `learn.save` writes it, and vocab.json. It is the shipped model."""
    import torch

    folder = tmp_path_factory.mktemp("brought")
    opened = read_encoder(find_encoder(DEFAULT))
    stack = opened.stacks["forward"]
    state = {"0.encoder.weight": torch.from_numpy(stack.embedding.whole())}
    for n, layer in enumerate(stack.layers):
        state[f"0.rnns.{n}.weight_hh_l0_raw"] = torch.from_numpy(layer.weight_hh)
        state[f"0.rnns.{n}.module.weight_ih_l0"] = torch.from_numpy(layer.weight_ih)
        state[f"0.rnns.{n}.module.bias_ih_l0"] = torch.from_numpy(layer.bias)
        state[f"0.rnns.{n}.module.bias_hh_l0"] = torch.zeros(len(layer.bias))
    torch.save({"model": state, "opt": {}}, folder / "my-model.pth")
    (folder / "vocab.json").write_text(json.dumps(list(opened.vocabulary.words)))
    return folder


@pytest.fixture
def shared_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3 server with the bucket `shared`, as a reader's environment has one."""
    from s3_server import S3Server

    server = S3Server()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    server.make_bucket()
    yield
    server.close()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_print_what_is_shown(
    document: Path, run_document: Callable[[str], str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = document.read_text(encoding="utf-8")
    if "$ curl " in before and not shutil.which("curl"):
        pytest.skip("there is no curl on this machine: apt-get install curl")
    if document.name == "object-stores.md":
        request.getfixturevalue("shared_bucket")
    if "my-model.pth" in before:
        for file in request.getfixturevalue("my_model").iterdir():
            os.link(file, tmp_path / file.name)
    if (after := run_document(before, write=os.environ.get("DOCS") == "write")) != before:
        document.write_text(after, encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = [link for link in LINK.findall(prose(document)) if not link[0].startswith("https://")]
    for path, heading in links:
        place = document.parent / path if path else document
        assert place.exists(), path
        if heading:
            slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(prose(place))]
            assert heading in slugs, f"{path}#{heading} is none of {slugs}"


def prose(document: Path) -> str:
    """A document without its blocks of code."""
    return BLOCK.sub("", document.read_text(encoding="utf-8"))


def reference() -> str:
    """What docs/cli.md has of every command: its help."""
    top = click.Context(cli, info_name="vecsearch", terminal_width=100, **cli.context_settings)
    return "\n".join(
        f"### vecsearch {name}\n\n```text\n{command.get_help(click.Context(command, top, name))}\n```\n"
        for name, command in every_command("", cli)
    )


def every_command(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for part, below in sorted(command.commands.items()):
            yield from every_command(f"{name} {part}".strip(), below)
    else:
        yield name, command


def test_the_reference_has_every_command_and_option() -> None:
    page = ROOT / "docs/cli.md"
    before, heading, shown = page.read_text(encoding="utf-8").partition("## Commands\n\n")
    if os.environ.get("DOCS") == "write":
        page.write_text(before + heading + reference(), encoding="utf-8")
    else:
        assert shown == reference(), "DOCS=write make test ARGS=tests/test_docs.py writes it again"


def test_the_readme_is_read_in_three_minutes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 200
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert {name for name in pages if f"docs/{name}" in readme} == pages, "every page is in the table"


@pytest.mark.parametrize(
    "block",
    [
        "console\n$ echo 1.00 apples\n1.00 apples\n",
        "console\n$ echo 1.00 apples\n1.01 apples\n",
        "console\n$ printf '1\\n2\\n3\\n'\n1\n…\n",
        "console\n$ printf '1\\n'\n…\n1\n…\n",
        "console\n$ printf '1   a b c\\n'\n1 a …\n",
        "console\n$ cat > two <<'EOF'\none\ntwo\nEOF\n$ cat \\\ntwo\none\ntwo\n",
        "console\n$ make test\n$ pip install '.[parquet]'\n",
        "console\n$ sh -c 'echo at 8080; exec sleep 60' &\nat 8080\n$ echo 8080\n8080\n",
        "python\nprint(0.5)\n```\n\n```text\n0.501\n",
    ],
)
def test_runner_passes_what_is_right(block: str, run_document: Callable[[str], str]) -> None:
    run_document(f"```{block}```\n")


@pytest.mark.parametrize(
    "block",
    [
        "console\n$ echo 1.00 apples\n1.03 apples\n",
        "console\n$ echo 1.00 apples\n1.00 pears\n",
        "console\n$ echo 100 apples\n101 apples\n",
        "console\n$ printf '1\\n2\\n'\n1\n",
        "console\n$ echo 1\n1\n2\n",
        "console\n$ printf '1 a\\n2\\n'\n1 …\n",
        "console\n$ echo 1\n",
        "console\n$ sh -c 'echo up; exec sleep 60' &\ndown\n",
        "console\n$ false &\n",
        "console\n$ false\n",
        "console\n$ vecsearch info nowhere\n",
        "console\nno command\n",
        "console\n$ make tea\n",
        "console\n$ make test\nall is well\n",
        "console\n$ pip install '.[no_such_extra]'\n",
        "python\nprint('yes')\n```\n\n```text\nno\n",
        "python\nprint('yes')\n",
    ],
)
def test_runner_fails_on_what_is_wrong(block: str, run_document: Callable[[str], str]) -> None:
    with pytest.raises(AssertionError):
        run_document(f"```{block}```\n")
