"""Every command with every odd value for each of its arguments and options: a documented exit code, no traceback, and nothing
on the disk has changed where it failed."""

from __future__ import annotations

import faulthandler
import io
import os
import sys
from collections.abc import Iterable, Iterator

import click
import pytest
from faults import some
from odd_place import Place

from vecsearch.cli.main import cli

SECONDS = 300
"""After so many a command hangs: where it does is printed, and the tests end."""
ODD = {
    "empty": "",
    "dash": "-",
    "dashes": "--",
    "dot": ".",
    "-1": "-1",
    "0": "0",
    "1.5": "1.5",
    "nan": "nan",
    "1e999": "1e999",
    "huge": "99999999999999999999",
    "x": "x",
    "quote": "it's \"",
    "comma": "a,,b",
    "mark": "[[",
    "letters": "é\u0301 \u202e\U0001f4a9\ufeff",
    "no UTF-8": "\udcff",
    "long": "x" * 5000,
    "line": "a\nb",
    "missing path": "nowhere/at/all",
    "a folder": "folder",
    "a binary file": "binary.bin",
    "an empty file": "empty.txt",
    "an empty .jsonl": "empty.jsonl",
    "a bad .npy": "bad.npy",
}
COMMANDS = {
    "build": "corpus.jsonl -o built --encoder mini.txt",
    "build --vectors": "--vectors vectors.npy --ids ids.txt -o built",
    "add": "own-words corpus.jsonl",
    "adopt": "index own-words --replace",
    "delete": "index storm",
    "query": "index the_king",
    "similar": "index king",
    "analogy": "index --plus king --minus storm",
    "odd-one-out": "index king storm the_king",
    "similarity": "king queen --encoder mini.txt",
    "similarity --pairs": "--pairs pairs.tsv --encoder mini.txt -o scored.csv",
    "similarity --pairs --pairs": "--pairs pairs.tsv --pairs labelled.tsv --encoder mini.txt -o many",
    "evaluate": "pairs.tsv --encoder mini.txt",
    "calibrate": "nowhere.tsv -o calibrated.json --encoder mini.txt",
    "fuse": "nowhere.tsv -o fused --encoder mini.txt --model logistic",
    "cluster": "index --k 2",
    "clusters": "index",
    "assign": "index",
    "map": "index -o map.html --by pca",
    "encode": "corpus.jsonl -o encoded.npy --encoder mini.txt",
    "export": "index -o exported.jsonl",
    "bench": "nowhere --number 2",
    "info": "index",
    "build --whole": "notes -o built --encoder mini.txt",
    "mcp": "nowhere",
    "serve": "nowhere --port 0",
    "sync": "noted notes",
    "compact": "index",
    "rebuild": "index",
    "rollback": "index 2",
    "gc": "index",
    "push": "index file:///dev/null/shared",
    "pull": "file:///dev/null/shared pulled",
    "cache": "",
    "model import": "mini.txt -o imported",
    "model postprocess": "tiny nowhere.txt -o turned",
    "model words": "tiny nowhere.txt -o grown",
    "model join": "tiny mini.txt -o both",
    "model info": "tiny",
    "train lm": "nowhere.txt -o spoken",
    "train similarity": "nowhere.tsv -o alike",
}
"""A command line of each that does what it says, or that fails for a file that is not there where it would take long."""
LONGER = {
    "calibrate": "labelled.tsv -o calibrated.json --encoder mini.txt",
    "fuse": "labelled.tsv -o fused --encoder mini.txt --model logistic",
    "model postprocess": "tiny corpus.jsonl -o turned",
    "verify": "index",
}
"""The same where they do it, with fewer values."""
FEWER = ("empty", "0", "nan", "huge", "quote", "missing path", "a folder", "a binary file")
ELSEWHERE = {"doctor", "demo"}
"""They take seconds each time, and only a folder to work in."""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_folder) -> Iterator[Place]:
    before = os.getcwd()
    faulthandler.dump_traceback_later(SECONDS, exit=True, file=sys.__stderr__)
    try:
        made = Place(tmp_path_factory.mktemp("commands"), tiny_folder())
        yield made
    finally:
        faulthandler.cancel_dump_traceback_later()
        os.chdir(before)


def parameters(words: list[str]) -> list[click.Parameter]:
    command = cli
    for word in words:
        command = command.commands[word]
    return [parameter for parameter in command.params if not getattr(parameter, "is_flag", False)]


def lines(name: str, command: str, value: str) -> Iterator[tuple[str, list[str]]]:
    """The command line with the value in the place of each argument in turn, and as each option, by their names."""
    words = [word for word in name.split() if not word.startswith("-")]
    arguments = [argument.replace("_", " ") for argument in command.split()]
    firsts = list(range(len(arguments)))[: next((i for i, it in enumerate(arguments) if it.startswith("-")), None)]
    for at in firsts:
        # What begins with a dash is an option unless it stands behind "--".
        plain, options = arguments[: len(firsts)], arguments[len(firsts) :]
        yield f"argument {at + 1}", [*words, *options, "--", *plain[:at], value, *plain[at + 1 :]]
    for option in parameters(words):
        if isinstance(option, click.Option):
            opt = max(option.opts, key=len)
            given = [f"{opt}={value}"] if option.nargs == 1 and opt.startswith("--") else [opt, *[value] * option.nargs]
            yield opt, [*words, *given, *without(arguments, option)]


def without(arguments: list[str], option: click.Option) -> list[str]:
    """The arguments less an option that is among them, and its value."""
    at = next((i for i, it in enumerate(arguments) if it in option.opts), None)
    return arguments if at is None else arguments[:at] + arguments[at + 2 :]


def faults(place: Place, vecsearch, monkeypatch, name: str, command: str, values: Iterable[str] = ODD) -> list[str]:
    """What goes wrong with odd values in the places of a command line: a third of them, others each time."""
    cases = [(odd, *line) for odd in values for line in lines(name, command, ODD[odd])]
    return [
        f"{where}={odd}: {wrong}"
        for odd, where, line in some(cases, len(cases) // 3)
        if (wrong := fault(place, vecsearch, monkeypatch, line))
    ]


def fault(place: Place, vecsearch, monkeypatch, line: list[str]) -> str:
    """What is wrong with how a command line ends, or nothing."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    try:
        ran = vecsearch(*line)
    except Exception as error:
        wrong, failed = f"{error!r}", True
    else:
        failed = ran.code != 0
        wrong = (
            "" if ran.code in (0, 1, 2, 3, 4, 5) and "Traceback" not in ran.err else f"exit code {ran.code}: {ran.err[-300:]}"
        )
        if failed and not (ran.err + ran.out).strip():
            wrong = f"exit code {ran.code}, and not a word"
    if (now := place.looked_at()) != place.state:
        if failed:
            changed = [path for path in now.keys() | place.state.keys() if now.get(path) != place.state.get(path)]
            wrong += f" failed, and changed {', '.join(sorted(changed)[:3])}"
        place.put_back()
    return wrong


def test_every_command_is_looked_at():
    def leaves(group: click.Group, prefix: str = "") -> Iterator[str]:
        for name, command in group.commands.items():
            yield from leaves(command, f"{name} ") if isinstance(command, click.Group) else [prefix + name]

    looked_at = {" ".join(word for word in name.split() if not word.startswith("-")) for name in COMMANDS | LONGER}
    assert looked_at | ELSEWHERE == set(leaves(cli))


@pytest.mark.parametrize("name", COMMANDS)
def test_odd_values_end_with_a_documented_exit_code(place, vecsearch, monkeypatch, name):
    found = faults(place, vecsearch, monkeypatch, name, COMMANDS[name])
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONGER)
def test_odd_values_of_what_takes_longer(place, vecsearch, monkeypatch, name):
    found = faults(place, vecsearch, monkeypatch, name, LONGER[name], FEWER)
    assert not found, "\n".join(found)
