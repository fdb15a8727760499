"""The `vecsearch` command: errors become one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

import click

from vecsearch.cli.add import add
from vecsearch.cli.analogy import analogy
from vecsearch.cli.bench import bench
from vecsearch.cli.build import build
from vecsearch.cli.calibrate import calibrate
from vecsearch.cli.cluster import assign, cluster, clusters
from vecsearch.cli.compact import compact, rebuild
from vecsearch.cli.delete import delete
from vecsearch.cli.demo import demo
from vecsearch.cli.doctor import doctor
from vecsearch.cli.encode import encode
from vecsearch.cli.evaluate import evaluate
from vecsearch.cli.export import export
from vecsearch.cli.fuse import fuse
from vecsearch.cli.generations import gc, rollback
from vecsearch.cli.info import info
from vecsearch.cli.map import map_command
from vecsearch.cli.model import model
from vecsearch.cli.odd_one_out import odd_one_out
from vecsearch.cli.options import SKIPS_BAD
from vecsearch.cli.query import query
from vecsearch.cli.similar import similar
from vecsearch.cli.similarity import similarity
from vecsearch.cli.train import train
from vecsearch.cli.verify import verify
from vecsearch.errors import CorpusError, VecsearchError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="vecsearch")
def cli() -> None:
    """Search by meaning with the ULMFiT language model you trained.

    \b
    vecsearch build films.jsonl -o indexes/films      a corpus becomes an index
    vecsearch query indexes/films "a heist in Vegas"  the index answers

    Exit codes: 0 done, 1 no (a check failed), 2 usage, 3 bad input data, 4 damaged or unsupported index, 5 disk, memory or
    lock, 130 interrupted.
    """


for command in (
    build,
    add,
    delete,
    query,
    similar,
    analogy,
    odd_one_out,
    similarity,
    evaluate,
    calibrate,
    fuse,
    cluster,
    clusters,
    assign,
    map_command,
    encode,
    export,
    bench,
    info,
    verify,
    compact,
    rebuild,
    rollback,
    gc,
    model,
    train,
    doctor,
    demo,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; ends the process with the documented exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Bytes of a shell that are no text in its encoding, in a query for example, are shown as \udcff, as JSON has them.
            stream.reconfigure(errors="backslashreplace")
    try:
        # Not cli.main: it would end with 1, our "no", when the reader of the output has gone.
        with cli.make_context("vecsearch", sys.argv[1:]) as context:
            cli.invoke(context)
        code = 0
    except CorpusError as error:
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
