"""vecsearch serve"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vecsearch.cli.options import NumberRange, Size, WholeRange
from vecsearch.cli.rules import at_most_one, only_with
from vecsearch.cli.served import named_folders
from vecsearch.cli.workers import engine_of, searching_options
from vecsearch.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from vecsearch.index.index import Index

LOOPBACK = ("127.0.0.1", "localhost", "::1")
KEY = "VECSEARCH_API_KEY"
"""The variable of the environment that may hold the key: what stands on a command line, others on the machine can read."""
SHORTEST_KEY = 16


@click.command()
@click.argument("indexes", nargs=-1, required=True, metavar="INDEX...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every one of IPv4.")
@click.option("--port", type=WholeRange(0, 65535), default=8080, show_default=True, help="0 picks one that is free.")
@click.option("--api-key", metavar="KEY", help=f"Answer only who sends this key. Better in ${KEY}, or in a file.")
@click.option("--api-key-file", type=click.Path(), metavar="FILE", help="The same, from the first line of a file.")
@click.option("--open", "is_open", is_flag=True, help="Answer everyone who reaches --host, without a key.")
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Let pages of this origin ask; repeat it for more.")
@click.option("--max-body", type=Size(), default="1MiB", show_default=True, metavar="SIZE", help="Of a request's body.")
@click.option("--queue", type=WholeRange(1), default=256, show_default=True, help="Queries that may wait; beyond, 503.")
@click.option("--batch", type=WholeRange(1, 64), default=64, show_default=True, help="Queries that are answered together.")
@click.option(
    "--deadline", type=NumberRange(0.1), default=10, show_default=True, metavar="SECONDS", help="For an answer; beyond, 504."
)
@click.option(
    "--where-time", type=NumberRange(0.01), default=1, show_default=True, metavar="SECONDS", help="For one condition."
)
@click.option("--threads", type=WholeRange(1), default=1, show_default=True, help="For one search; more help large indexes.")
@searching_options
@click.option("--partial", is_flag=True, help="With workers: answer from the others where one is lost, and say so.")
@click.option("--verbose", is_flag=True, help="A line on stderr for each request.")
@at_most_one("--api-key", "--api-key-file", "--open")
@only_with("--partial", needs=("--workers", "--ray"))
def serve(
    indexes: tuple[str, ...],
    host: str,
    port: int,
    api_key: str | None,
    api_key_file: str | None,
    is_open: bool,
    cors: tuple[str, ...],
    max_body: int,
    queue: int,
    batch: int,
    deadline: float,
    where_time: float,
    threads: int,
    workers: int | None,
    ray: str | None,
    partial: bool,
    verbose: bool,
) -> None:
    """Serve each INDEX over HTTP, with a page to search it.

    The page is at /, the API below /v1. An index is called as its folder is, or as NAME=FOLDER says. It is only read; a new
    generation of it is shown within seconds. SIGTERM and Ctrl-C end the service, which first answers what it has accepted.

    With --workers or --ray, the segments of an index are opened by as many processes, by default one on each machine of the
    cluster, which all see its folder: so is served what one machine cannot hold.
    """
    key = None if is_open else _key(api_key, api_key_file)
    if host not in LOOPBACK and key is None and not is_open:
        raise UsageError(f"--host {host} lets other machines in: set a key by --api-key-file or ${KEY}, or say --open")
    folders, stdout = named_folders(indexes), sys.stdout
    with _threads(threads):
        try:
            from vecsearch.serving.app import make_app
            from vecsearch.serving.guard import Access
            from vecsearch.serving.limits import Limits
            from vecsearch.serving.metrics import Metrics
            from vecsearch.serving.server import Server, listen
            from vecsearch.serving.service import Service
        except ModuleNotFoundError as error:
            raise UsageError(f"serving needs {error.name}: pip install 'vecsearch[serve]'") from None
        limits = Limits(body_bytes=max_body, queue=queue, batch=batch, deadline=deadline, condition=where_time)
        with listen(host, port) as listening, _opening(workers, ray, partial) as open_index:
            service = Service(folders, limits, Metrics(), open_index)
            try:
                app = make_app(service, Access(key, open=is_open), cors=cors, verbose=verbose)
                address = f"{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
                click.echo(f"{', '.join(folders)}: served at http://{address}", file=stdout)
                Server(app, service).run([listening])
            finally:
                service.close()


@contextmanager
def _opening(workers: int | None, ray: str | None, partial: bool) -> Iterator[Callable[..., Index]]:
    """What opens an index, in this process or by workers, which end when it is left."""
    from vecsearch.index.index import Index

    with engine_of(workers, ray) as engine:
        if engine is None:
            yield Index.open
        else:
            yield functools.partial(Index.open, engine=engine, workers=workers, partial=partial)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Have numpy, FAISS and torch, which are loaded while it is entered, compute with so many threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _key(given: str | None, file: str | None) -> str | None:
    """The API key, if there is one. Raises UsageError for one that can be guessed, ResourceError for what cannot be read."""
    if file is not None:
        try:
            given = (Path(file).read_text(encoding="utf-8").splitlines() or [""])[0].strip()
        except (OSError, UnicodeError) as error:
            raise ResourceError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    key = os.environ.get(KEY) if given is None else given
    if key is None:
        return None
    if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            f"the API key has to be {SHORTEST_KEY} or more letters, digits and signs, no space; openssl rand -hex 32 makes one"
        )
    return key
