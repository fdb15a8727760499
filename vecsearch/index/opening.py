"""Opening a generation of an index with its encoder, while writers may replace it at any time."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

from vecsearch import checks
from vecsearch.encoders import Encoder
from vecsearch.encoders.base import check_encoder
from vecsearch.engine import Engine
from vecsearch.errors import UsageError, VecsearchError
from vecsearch.index.conditions import checked_seconds
from vecsearch.index.parts import Here
from vecsearch.index.questions import carried
from vecsearch.index.scattered import Scattered
from vecsearch.index.view import View
from vecsearch.index.workers import Workers
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.store.filters import MOST_SECONDS
from vecsearch.store.snapshot import Snapshot, open_snapshot, read_current
from vecsearch.urls import is_store_url


def open_view(
    folder: str | Path,
    *,
    generation: int | None = None,
    encoder: Encoder | None = None,
    check: bool = True,
    condition_seconds: float = MOST_SECONDS,
    engine: Engine | None = None,
    workers: int | None = None,
    partial: bool = False,
    progress: Progress = SILENT,
) -> View:
    """A generation of the index at `folder`, as `Index.open` has it. Raises as that does."""
    check, seconds = checks.flag("check", check), checked_seconds(condition_seconds)
    check_progress(progress)
    if generation is not None:
        generation = checks.count("generation", generation, least=1)
    if encoder is not None:
        check_encoder(encoder)
    place = _place(engine, workers, checks.flag("partial", partial))

    def view(snapshot: Snapshot) -> View:
        _refuse_other(snapshot, encoder)
        # Who asks for a check has had all files hashed by now, those of the encoder too.
        own = encoder or carried(snapshot.encoder_folder, check=not check)
        return _view(snapshot, place, own, given=encoder, seconds=seconds, check=check)

    if isinstance(folder, str) and is_store_url(folder):
        if place:
            raise UsageError(
                f"{folder} is in an object store: on an engine, open a folder that all machines share (vecsearch pull)"
            )
        from vecsearch.remote.cache import cached

        # Its files are hashed when they come, and where they are in the cache already.
        with cached(folder, generation=generation, check=check, progress=progress) as copy:
            return _opened(copy, view)
    return _opened(checks.path("folder", folder), view, generation=generation, check=check, place=place)


def newer_view(before: View) -> View | None:
    """The newest generation, where that is not the one before, opened where that is. It has the same encoder, unless the index
    was built anew."""
    folder, manifest, url = before.snapshot.folder, before.snapshot.manifest, before.url
    if url:
        from vecsearch.remote.cache import cached
        from vecsearch.remote.commits import Place

    if (Place(url).wanted().manifest == manifest) if url else (_newest(folder) == manifest.generation):
        return None
    place = before.parts.workers if isinstance(before.parts, Scattered) else None

    def view(snapshot: Snapshot) -> View:
        same = snapshot.manifest.encoder == manifest.encoder
        encoder, given = (before.encoder, before.given) if same else (carried(snapshot.encoder_folder), None)
        return _view(snapshot, place, encoder, given=given, seconds=before.condition_seconds)

    if url:
        with cached(url, check=False) as copy:
            return _opened(copy, view)
    return _opened(folder, view, place=place)


def _place(engine: Engine | None, workers: int | None, partial: bool) -> Workers | None:
    """The workers of an engine that hold an index's parts; None where they are opened in this process."""
    if engine is None:
        if workers is not None or partial:
            raise UsageError("workers and partial are for an index on an engine: give it as well, engine=Pool()")
        return None
    checks.instance("engine", engine, Engine, give="Pool()")
    return Workers(engine, None if workers is None else checks.count("workers", workers, least=1), partial=partial)


def _view(
    snapshot: Snapshot,
    place: Workers | None,
    encoder: Encoder | None,
    *,
    given: Encoder | None,
    seconds: float,
    check: bool = False,
) -> View:
    """The generation of a snapshot, whose segments this process has opened, or workers open now."""
    parts = Here(snapshot) if place is None else Scattered(place, snapshot, check=check)
    view = View(snapshot, parts, encoder, given=given, condition_seconds=seconds)
    if place:
        view.prepare()
    return view


def _opened(
    folder: Path,
    view: Callable[[Snapshot], View],
    *,
    generation: int | None = None,
    check: bool = False,
    place: Workers | None = None,
) -> View:
    while True:
        # Workers open the segments.
        numbers = None if place is None else range(0)
        snapshot = open_snapshot(folder, generation=generation, check=check, numbers=numbers)
        try:
            return view(snapshot)
        except VecsearchError:
            snapshot.close()
            # A writer may have replaced this generation between the two steps; then the new one is opened.
            if generation is not None or _newest(folder) == snapshot.manifest.generation:
                raise


def _newest(folder: Path) -> int:
    """The newest generation, as CURRENT names it."""
    return int(read_current(folder)[0].removeprefix("manifest-").removesuffix(".json"))


def _refuse_other(snapshot: Snapshot, encoder: Encoder | None) -> None:
    """Raise UsageError unless `encoder`, if there is one, gives the vectors that the index holds."""
    recorded = snapshot.manifest.encoder
    if encoder and recorded and encoder.fingerprint != recorded["fingerprint"]:
        raise UsageError(
            f"{snapshot.folder} was built with the encoder {recorded['fingerprint']}, this one is {encoder.fingerprint}: "
            "their vectors cannot be compared; leave the encoder out to use the index's own, or build the index again"
        )
    if encoder and encoder.dim != snapshot.manifest.dim:
        raise UsageError(f"the encoder gives vectors of length {encoder.dim}, {snapshot.folder} holds {snapshot.manifest.dim}")


def pickled(view: View) -> tuple[str | Path, int, Encoder | None, float]:
    """What opens the same generation in another process. Raises TypeError for an encoder of the caller's own that cannot be
    pickled, and for an index on an engine."""
    if isinstance(view.parts, Scattered):
        raise TypeError(f"the index at {view.snapshot.folder} is open on an engine: open it in the other process")
    if view.given:
        try:
            pickle.dumps(view.given)
        except Exception as error:  # whatever its members raise
            raise TypeError(
                f"the index at {view.url or view.snapshot.folder} was opened with an encoder of your own, "
                f"{type(view.given).__name__}, which cannot be pickled ({error}): open both in the other process, or give "
                "the encoder a __reduce__"
            ) from error
    where = view.url or view.snapshot.folder.absolute()
    return where, view.snapshot.manifest.generation, view.given, view.condition_seconds
