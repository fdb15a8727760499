"""What is done for a request: conditions and counts in a few threads of their own, searches in one, batch by batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson

from vecsearch import checks
from vecsearch.corpus.document import title_of
from vecsearch.index.facets import Facet, Facets
from vecsearch.index.index import Index
from vecsearch.index.reader import Reader
from vecsearch.serving.batcher import Batcher
from vecsearch.serving.hits import Closely, Shape, dumps
from vecsearch.serving.jobs import Found, Job, Way, answered, parts, unknown_document
from vecsearch.serving.limits import CLOSELY, Limits
from vecsearch.serving.metrics import Metrics
from vecsearch.serving.problems import RETRY_AFTER, Problem, invalid, too_late
from vecsearch.serving.schema import SearchRequest
from vecsearch.serving.shown import Library, Shown

T = TypeVar("T")
CONDITIONS = 4
"""Conditions that are resolved at a time, as many as a segment has connections for them."""
FACET_VALUES = 10
"""Values of a field that are counted one by one."""


class Service:
    """The indexes of `folders` by name, and the threads that answer for them. Raises what opening one raises."""

    def __init__(
        self,
        folders: Mapping[str, Path],
        limits: Limits,
        metrics: Metrics,
        open_index: Callable[..., Index] = Index.open,
    ) -> None:
        """`open_index` is called with a folder, and `condition_seconds`."""
        self.limits, self.metrics = limits, metrics
        self.library = Library(folders, partial(open_index, condition_seconds=limits.condition), metrics)
        self.ready = True
        """Whether new requests are wanted; False once it is told to end."""
        self._batcher = Batcher(answered, limits, metrics)
        self._conditions = ThreadPoolExecutor(CONDITIONS, "conditions")
        self._quick, self._closely, self._details, self._maps = (
            ThreadPoolExecutor(1, name) for name in ("quick", "closely", "details", "maps")
        )

    def close(self) -> None:
        """End the threads; what is asked then is not answered."""
        self._batcher.close()
        for pool in (self._conditions, self._quick, self._closely, self._details, self._maps):
            pool.shutdown(cancel_futures=True)
        self.library.close()

    # -- what may be asked -------------------------------------------------------------------------------------------

    def shown(self, name: str) -> Shown:
        """What is shown of an index. Raises Problem (404)."""
        if shown := self.library.get(name):
            return shown
        known = ", ".join(each.name for each in self.library)
        raise Problem(404, "unknown_index", f"there is no index {name[:200]!r}", f"there are: {known}")

    async def details(self, shown: Shown) -> dict[str, Any]:
        """What there is to know of an index. Raises Problem (503) while it is being counted."""
        return await self._made(self._details, lambda: shown.details)

    async def map(self, shown: Shown) -> Any:
        """The page of its map, as it is and compressed. Raises Problem (503) while it is being made."""
        return await self._made(self._maps, lambda: shown.map)

    async def document(self, shown: Shown, id: str) -> dict[str, Any]:
        """A document, whole. Raises Problem (404)."""

        def found() -> dict[str, Any]:
            if not shown.index.known([id]):
                raise unknown_document(id)
            (row,) = shown.index.rows([id])
            (document,) = shown.index.documents([row])
            label = int(shown.index.clustering.labels[row]) if shown.index.clustering else -1
            return {
                "id": document.id,
                "title": title_of(document.fields),
                "text": document.text,
                "fields": document.fields,
                "cluster": label if label >= 0 else None,
                "generation": shown.generation,
            }

        return await _in(self._quick, found)

    async def embed(self, shown: Shown, texts: Sequence[str], arrived: float) -> np.ndarray:
        """The vectors of texts, (n, dim) float32. Raises Problem."""
        if "meaning" not in shown.modes:
            raise invalid(f"the index {shown.name} carries no encoder", "name one that does")
        async with self._accepted(len(texts), arrived):
            return np.concatenate(await self._by_parts(Job(shown.index, Way("encode"), texts)))

    async def search(self, shown: Shown, asked: SearchRequest, arrived: float) -> bytes:
        """The JSON of the answer to a search; `arrived` is when, by `time.perf_counter`. Raises Problem."""
        way, texts, vectors = _way(shown, asked)
        queries = max(1, len(texts) if vectors is None else len(vectors))
        _refuse(shown, asked, way, queries)
        async with self._accepted(queries, arrived):
            reader, job = shown.index.reader(), Job(shown.index, way, texts, vectors)
            counted, notes = await self._counted(reader, shown, asked, way, texts, queries)
            rows, unexplained = await self._rows(reader, asked, job)
        if missing := sum(one.documents for one in {*reader.missing, *job.missing}):
            notes = [*notes, f"{missing:,} documents are out of reach now, and not among these"]
        results = [_result(*each, notes, way, asked) for each in zip(rows, counted, unexplained, strict=True)]
        took = round(1000 * (time.perf_counter() - arrived), 3)
        answer = {"index": shown.name, "generation": shown.generation, "mode": way.name, "took_ms": took, "results": results}
        return dumps(answer | ({"missing_documents": missing} if missing else {}))

    def refuse_if_full(self) -> None:
        """Raise Problem (503) where nothing can be taken on, before a request is read: refusals cost least so, and those
        that are accepted wait less."""
        self._batcher.refuse()

    # -- how ---------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _accepted(self, queries: int, arrived: float):
        """While entered, queries count as being answered, until their deadline: of a long request those of one part, since the
        others do not wait in the queue. Raises Problem (503, 504)."""
        queries = min(queries, self.limits.batch)
        self._batcher.accept(queries)
        left = self.limits.deadline - (time.perf_counter() - arrived)
        try:
            async with asyncio.timeout(left):
                yield
        except TimeoutError:
            self.metrics.dropped.labels("late").inc(queries)
            raise too_late(self.limits.deadline) from None
        except asyncio.CancelledError:
            self.metrics.dropped.labels("gone").inc(queries)
            raise
        finally:
            self._batcher.done(queries)

    async def _made(self, pool: ThreadPoolExecutor, make: Callable[[], T]) -> T:
        """What is made once for a generation; it goes on where that takes longer than the deadline."""
        try:
            async with asyncio.timeout(self.limits.deadline):
                return await _in(pool, make)
        except TimeoutError:
            raise Problem(503, "not_ready", "it is still being made", "try again in a second", headers=RETRY_AFTER) from None

    async def _counted(
        self, index: Reader, shown: Shown, asked: SearchRequest, way: Way, texts: Sequence[str], queries: int
    ) -> tuple[list[Facets | int], list[str]]:
        """What could be a hit of each query, counted; with this the rows that meet the condition are known to the search."""
        where, names = asked.where, asked.facets or []
        if way.name == "keywords":
            counting = lambda: [index.facets(names, where=where, words=text, limit=FACET_VALUES) for text in texts]  # noqa: E731
        elif where is None and not names:
            return [len(index)] * queries, []
        else:
            counting = lambda: [index.facets(names, where=where, limit=FACET_VALUES)] * queries  # noqa: E731
        if where is None:
            return await _in(self._quick, counting), []
        return await _in(self._conditions, lambda: (counting(), shown.remarks(where)))

    async def _rows(self, index: Reader, asked: SearchRequest, job: Job) -> tuple[list[bytes], Sequence[str]]:
        """The JSON of the hits of each query, and why their words are not explained, where they should be."""
        shape, closely = Shape(asked.offset, asked.min_score, asked.text_characters), asked.explain or asked.snippets
        if job.way.name == "browse":
            hits = await _in(self._quick, lambda: index.browse(asked.where, asked.offset, asked.k))
            found, shape = Found([hits], None), Shape(text_characters=asked.text_characters)
        elif not closely:
            job.shape = shape
            rows = [row for part in await self._by_parts(job) for row in part]
            return rows, [""] * len(rows)
        else:
            found = Found.joined(await self._by_parts(job))
        if not closely:
            return [shape.rows(hits) for hits in found.hits], [""]
        looking = Closely(job.index, job.way.metric, asked.explain, asked.snippets)
        texts = job.texts if job.way.name in ("hybrid", "meaning", "keywords") else [""] * len(found.hits)
        each = zip(found.hits, texts, found.vectors if found.vectors is not None else [None] * len(texts), strict=True)
        try:
            looked = await _in(self._closely, lambda: [looking.rows(shape, *one) for one in each])
        finally:
            looking.ended.set()
        return [rows for rows, _ in looked], [unexplained for _, unexplained in looked]

    async def _by_parts(self, job: Job) -> list[Any]:
        """The answers to the parts of a job that each fit in a batch, one after another: others come in between."""
        if not job.reads_texts:
            return [await self._batcher.ask(job, queries=len(job), tokens=0)]
        answers = []
        for part, tokens in parts(job.texts, self.limits.batch, self.limits.batch_tokens):
            texts = job.texts[part]
            own = Job(job.index, job.way, texts, shape=job.shape)
            answers.append(await self._batcher.ask(own, queries=len(texts), tokens=tokens))
            job.missing += own.missing
        return answers


async def _in(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """What `work` returns in a thread of the pool; where nobody waits any more before it is begun, it never is."""
    return await asyncio.get_running_loop().run_in_executor(pool, work)


def _way(shown: Shown, asked: SearchRequest) -> tuple[Way, list[str], np.ndarray | None]:
    """How a request is searched, with its texts, or ids, and its vectors (n, dim) float32."""
    k = asked.k + asked.offset
    metric = "ip" if asked.metric == "inner_product" else asked.metric
    nearest = {"k": k, "where": asked.where, "metric": metric, "exact": asked.exact}
    given = asked.vectors if asked.vector is None else [asked.vector]
    if given is not None:
        dim = shown.index.dim
        if other := next((vector for vector in given if len(vector) != dim), None):
            raise invalid(f"a vector has {len(other):,} numbers; those of the index have {dim:,}")
        return Way("vector", **nearest), [], checks.array("vectors", given)
    if asked.like is not None:
        return Way("like", **nearest), [asked.like], None
    texts = asked.queries if asked.q is None else [asked.q]
    if texts is None:
        return Way("browse"), [], None
    modes = ["meaning"] if metric else shown.modes
    mode = asked.mode or next(iter(modes), "meaning")
    if mode not in shown.modes:
        ways = ", ".join([*shown.modes, "vector", "like"])
        raise invalid(f"texts cannot be found by {mode} in {shown.name}", f"it can be asked by {ways}")
    if mode == "meaning":
        return Way(mode, **nearest), texts, None
    if mode == "keywords":
        return Way(mode, k, asked.where), texts, None
    weights = tuple(asked.weights) if asked.weights else None
    return Way(mode, k, asked.where, exact=asked.exact, weights=weights), texts, None


COUNTS_FOR = {
    "mode": ("hybrid", "meaning", "keywords"),
    "weights": ("hybrid",),
    "metric": ("meaning", "vector", "like"),
    "exact": ("hybrid", "meaning", "vector", "like"),
    "min_score": ("hybrid", "meaning", "keywords", "vector", "like"),
}
"""Ways to search for which a parameter says something."""


def _refuse(shown: Shown, asked: SearchRequest, way: Way, queries: int) -> None:
    """Raise Problem for a request that goes against itself, or against what is shown."""
    for name, ways in COUNTS_FOR.items():
        if getattr(asked, name) not in (None, False) and way.name not in ways:
            raise invalid(f"{name} says nothing of a search of the kind {way.name!r}", f"it is for {', '.join(ways)}")
    if asked.generation is not None and asked.generation != shown.generation:
        message = f"generation {shown.generation} of {shown.name} is shown, not {asked.generation}"
        raise Problem(409, "other_generation", message, "begin again without a generation")
    if (asked.explain or asked.snippets) and queries * asked.k > CLOSELY:
        raise invalid(
            f"{queries * asked.k:,} hits would be looked at word by word",
            f"explain and snippets take at most {CLOSELY} hits in a request: ask for fewer with k",
        )


def _result(
    rows: bytes, counted: Facets | int, unexplained: str, notes: Sequence[str], way: Way, asked: SearchRequest
) -> dict[str, Any]:
    total = counted if isinstance(counted, int) else counted.documents
    result: dict[str, Any] = {"hits": orjson.Fragment(rows), "total": total}
    if asked.facets and not isinstance(counted, int):
        result["facets"] = {name: _facet(facet) for name, facet in counted.fields.items()}
    if rows == b"[]" and way.name == "meaning" and total and not asked.offset and asked.min_score is None:
        notes = [*notes, "no word of the text is known to the model"]
    if unexplained:
        result["explained"], notes = False, [*notes, unexplained]
    return result | {"notes": notes} if notes else result


def _facet(facet: Facet) -> dict[str, Any]:
    values = [{"value": value, "documents": documents} for value, documents in facet.values]
    return {"values": values, "others": facet.others, "documents": facet.documents}
