"""The `vecsearch` command: errors become one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from io import TextIOWrapper

import click

from vecsearch.errors import CorpusError, VecsearchError

NEW_OBJECTS = 50_000
"""Python looks for unreachable cycles whenever there are so many new objects: among what is imported and opened there are few
such cycles, and to look again and again would be a tenth of what a cold query takes."""
COMMANDS = {
    "add": "Add the documents of CORPUS to INDEX.",
    "adopt": "Have INDEX take in segments that were made elsewhere.",
    "analogy": "The K words of INDEX nearest to a sum: king − man + woman.",
    "assign": "Assign new documents of INDEX, or TEXTS, to its clusters.",
    "bench": "Measure recall, latency and throughput of kinds of index.",
    "build": "Make an index of CORPUS.",
    "cache": "What is kept on this machine of indexes in object stores.",
    "calibrate": "Learn from labelled PAIRS which score makes a match.",
    "cluster": "Put the documents of INDEX into clusters, and name them.",
    "clusters": "The clusters that INDEX keeps, largest first.",
    "compact": "Merge the segments of INDEX, into one unless it is large.",
    "delete": "Delete the documents IDS of INDEX, or those of --where.",
    "demo": "Index the documentation of this Python, and ask it.",
    "doctor": "Try all that vecsearch needs on this machine.",
    "encode": "Vectors of the texts of CORPUS, without an index.",
    "evaluate": "How well encoders agree with people on each SET.",
    "export": "Write the documents or the vectors of INDEX to files.",
    "fuse": "Learn to tell matches by the scores of several encoders.",
    "gc": "Remove older generations of INDEX.",
    "info": "What INDEX holds, how it was made, and what was counted.",
    "map": "The documents of INDEX as a map, coloured by cluster.",
    "mcp": "Let assistants search INDEX by the Model Context Protocol.",
    "model": "Make encoders, join several, and look into one.",
    "odd-one-out": "Which of three or more words of INDEX does not fit.",
    "pull": "Bring the newest generation of the index at URL into FOLDER.",
    "push": "Make INDEX the newest generation at URL, in an object store.",
    "query": "The K documents of INDEX that answer each of TEXTS best.",
    "rebuild": "Make the FAISS index of INDEX again from its vectors.",
    "rollback": "Bring GENERATION of INDEX back, as its newest.",
    "similar": "The K documents of INDEX most like its own documents IDS.",
    "serve": "Serve each INDEX over HTTP, with a page to search it.",
    "similarity": "How alike two texts are, or the pairs of a file.",
    "sync": "Bring INDEX to the state of its files.",
    "train": "Train an encoder on your texts.",
    "verify": "Check every byte of INDEX against its hash.",
}
"""The first sentence of each command's help, so that the overview imports none of them."""
MODULES = {"assign": "cluster", "clusters": "cluster", "gc": "generations", "rebuild": "compact", "rollback": "generations"}
"""Where a command is that has no module of its name."""


class Commands(Mapping[str, click.Command]):
    """The commands by name, each imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in COMMANDS:
            raise KeyError(name)
        own = name.replace("-", "_")
        return getattr(import_module(f"vecsearch.cli.{MODULES.get(name, own)}"), own)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Vecsearch(click.Group):
    """Shows what there is without importing it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Vecsearch, commands=Commands(), context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="vecsearch")
def cli() -> None:
    """Search by meaning with the ULMFiT language model you trained.

    \b
    vecsearch build films.jsonl -o indexes/films      a corpus becomes an index
    vecsearch query indexes/films "a heist in Vegas"  the index answers

    Exit codes: 0 done, 1 no (a check failed), 2 usage, 3 bad input data, 4 damaged or unsupported index, 5 disk, memory or
    lock, 130 interrupted.
    """


def main() -> None:
    """Run the command line; ends the process with the documented exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Bytes of a shell that are no text in its encoding, in a query for example, are shown as \udcff, as JSON has them.
            stream.reconfigure(errors="backslashreplace")
    # FAISS and torch read this when they are imported. Threads that spin while they wait for each other keep the cores from
    # those that work: that costs most beside another busy process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # So does OpenBLAS when numpy is imported: its threads would spin for 2^26 ticks of the clock before they sleep, which is
    # most of what that import takes.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
    gc.set_threshold(NEW_OBJECTS)
    try:
        # Not cli.main: it would end with 1, our "no", when the reader of the output has gone.
        with cli.make_context("vecsearch", sys.argv[1:]) as context:
            cli.invoke(context)
        code = 0
    except CorpusError as error:
        from vecsearch.cli.options import SKIPS_BAD

        skip = f", or pass --skip-bad to leave out such {error.skippable}s and count them"
        code = _fail(f"{error}{skip if error.skippable and SKIPS_BAD in context.meta else ''}", error.exit_code)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except VecsearchError as error:
        code = _fail(str(error), error.exit_code)
    except click.NoSuchOption as error:
        error.message += _dash_hint(error)
        error.show()
        code = 2
    except click.ClickException as error:
        error.show()
        code = 2
    except KeyboardInterrupt:
        code = _fail("interrupted", 130)
    except OSError as error:
        code = _refused(error)
    except MemoryError:
        code = _fail("out of memory; close other programs, or work on a smaller part of the data", 5)
    sys.exit(code)


def _dash_hint(error: click.NoSuchOption) -> str:
    """What to do where an argument, an id or a text, was meant."""
    if error.option_name.startswith("--") or error.ctx is None:
        return ""
    if not any(isinstance(param, click.Argument) for param in error.ctx.command.params):
        return ""
    return f" Behind -- nothing is an option: {error.ctx.command_path} … -- {error.option_name}"


def _refused(error: OSError) -> int:
    """The exit code for what the system refuses, said on stderr: a path that cannot be, or stdout."""
    if error.filename is not None:
        return _fail(f"{error.filename}: {error.strerror}", 5)
    # Python would complain once more when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # A reader that has gone (head, less) has seen enough.
    return 0 if isinstance(error, BrokenPipeError) else _fail(f"cannot write to stdout: {error.strerror}", 5)


def _fail(message: str, code: int) -> int:
    click.echo(f"error: {message}", err=True)
    return code
