"""Work by several processes, as commands offer it: on this machine, or on a Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vecsearch.cli.options import WholeRange, apply_options
from vecsearch.cli.rules import not_with, only_with

if TYPE_CHECKING:
    from vecsearch.cli.sources import IndexInput
    from vecsearch.encoders import Encoder
    from vecsearch.engine import Engine
    from vecsearch.index.build import Options
    from vecsearch.index.index import Index

F = TypeVar("F", bound=Callable[..., Any])

_on_ray = click.option("--ray", metavar="ADDRESS", help="Have the machines of a Ray cluster work: host:port, auto, or local.")


def _workers(help: str) -> Callable[[F], F]:
    return click.option("--workers", type=WholeRange(1), metavar="N", help=help)


workers_options = apply_options(_workers("Work with N processes. With --ray: by default one a CPU."), _on_ray)
searching_options = apply_options(_workers("Search by N processes. With --ray: by default one a machine."), _on_ray)

shard_options = apply_options(
    workers_options,
    click.option(
        "--shard-rows",
        type=WholeRange(1),
        metavar="N",
        help="With workers: documents of a segment. By default 16,384; an index with --recall or --spec is faster with more.",
    ),
    only_with("--shard-rows", needs=("--workers", "--ray")),
    not_with("--workers", "--vectors", "--vocabulary", "--dry-run"),
    not_with("--ray", "--vectors", "--vocabulary", "--dry-run"),
)


@contextmanager
def engine_of(workers: int | None, ray: str | None) -> Iterator[Engine | None]:
    """What starts the workers that are asked for, until it is left; None where there are none. Raises UsageError,
    ResourceError."""
    with ExitStack() as stack:
        if ray is not None:
            from vecsearch.distributed.ray_engine import RayEngine

            # Ray tells of lost machines on stdout, which is for data.
            stack.enter_context(redirect_stdout(sys.stderr))
            yield stack.enter_context(RayEngine(ray, workers))
        elif workers is not None:
            from vecsearch.distributed.pool import Pool

            yield stack.enter_context(Pool(workers))
        else:
            yield None


def built(
    folder: str,
    source: IndexInput,
    encoder: Encoder | None,
    options: Options,
    *,
    workers: int | None,
    ray: str | None,
    shard_rows: int | None,
    **others: Any,
) -> Index:
    """An index of what is given, built in this process or by the workers that are asked for; `others` are for both."""
    from vecsearch.index.index import Index

    with engine_of(workers, ray) as engine:
        if engine is None:
            return Index.build(folder, source.corpus, encoder, options, vectors=source.vectors, **others)
        from vecsearch.distributed.building import SHARD_ROWS, build

        assert encoder is not None  # ready vectors are refused above
        by = {"engine": engine, "workers": workers, "shard_rows": shard_rows or SHARD_ROWS}
        return build(folder, source.corpus, encoder, options, **by, **others)
