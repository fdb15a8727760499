"""A kind of FAISS index for shards: chosen and trained once, filled by workers shard by shard, proved over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple, TypeVar

import numpy as np

from vecsearch import ann
from vecsearch.ann.construction import trained, write
from vecsearch.ann.filling import Filling
from vecsearch.ann.points import Points
from vecsearch.ann.probing import Probing
from vecsearch.ann.source import Kept, Numbers, Rows, Source
from vecsearch.ann.spec import set_parameters, setting, settings, usual_parameters
from vecsearch.distributed import filling
from vecsearch.distributed.crew import Crew
from vecsearch.distributed.filling import Asked, Common, Fill, Part, Sent, opened
from vecsearch.encoders import Encoder
from vecsearch.engine import Engine
from vecsearch.errors import ResourceError, writing
from vecsearch.index.indexing import goal_of
from vecsearch.index.questions import Made, asking, questions
from vecsearch.metric import EXACT, Metric
from vecsearch.progress import Progress
from vecsearch.store.commit import remove_files, write_file
from vecsearch.store.documents import Documents
from vecsearch.store.layout import DOCUMENTS, array_bytes, queries_name
from vecsearch.store.shards import Shards

ASKED_AT_ONCE = 3
"""Parts that the shards are asked in, for each worker: queries are sent once for a part, and a worker that is done early helps
the others."""

T = TypeVar("T")


class Indexed(NamedTuple):
    """What a manifest says of every segment, the FAISS index of each, as its name with the size and hash, where there are
    some, and of the kinds that were tried."""

    said: dict[str, Any]
    files: list[tuple[str, dict[str, Any]]]
    trials: list[dict[str, Any]]


def indexed(
    shards: Shards,
    segments: Sequence[tuple[str, int]],
    shape: tuple[int, Metric],
    goal: Mapping[str, Any],
    *,
    queries: np.ndarray | None,
    encoder: Encoder,
    engine: Engine,
    size: int,
    progress: Progress,
) -> Indexed:
    """Have workers make the FAISS indexes of claimed segments, known by their names and numbers of rows, towards a manifest's
    `goal`, or nothing where search is exact. `shape` is the length of their vectors, and the metric; `encoder` made them.

    Raises as `index.indexing.indexed`, and ResourceError where workers end again and again.
    """
    spec, wanted = goal_of(goal)
    if spec == EXACT:
        return Indexed({"spec": EXACT, "effort": {}, "recall": None}, [], [])
    with AllShards(shards, segments, *shape, little=bool(wanted.memory), engine=engine, size=size, progress=progress) as source:
        ask = asking(source.questions, lambda: encoder, progress)
        builder = ann.Builder(source, wanted, queries=queries, ask=ask, progress=progress, filling=Sharing)
        outcome = builder.build(shards.place) if spec is None else builder.build_kind(spec, shards.place)
    said = {"spec": outcome.spec, "effort": outcome.search_parameters, "recall": outcome.as_dict(wanted)}
    return Indexed(said, source.files, outcome.trials)


class AllShards(Source):
    """The vectors of all shards as those of one index. Whoever builds reads samples of them; what takes all is done by workers,
    who end with it, a context manager."""

    def __init__(
        self,
        shards: Shards,
        segments: Sequence[tuple[str, int]],
        dim: int,
        metric: Metric,
        *,
        little: bool,
        engine: Engine,
        size: int,
        progress: Progress,
    ) -> None:
        self.dim, self.metric, self.parts = dim, metric, len(segments)
        self.files: list[tuple[str, dict[str, Any]]] = []
        """The index of each segment, once they are finished."""
        self._starts = np.cumsum([0, *(rows for _, rows in segments)])
        nothing = np.empty(0, np.int64)
        self._segments = [
            Part(name, int(first), rows, nothing) for (name, rows), first in zip(segments, self._starts[:-1], strict=True)
        ]
        self.common = Common(shards, dim, metric, little)
        self.crew = Crew(engine, size, filling.held, self.common, progress=progress)
        self._sent: dict[str, Sent] = {}

    def __enter__(self) -> AllShards:
        lengths = []
        if self.metric is Metric.INNER_PRODUCT:  # else they do not matter
            lengths = [length for _, both in self.crew.results(filling.lengths, self._segments) for length in both]
        self.compared = Points(np.array(lengths, np.float32), self.metric)
        self._segments = [part._replace(euclidean=self.compared.euclidean) for part in self._segments]
        return self

    def __exit__(self, *_: object) -> None:
        self.crew.stop()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def stored(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        vectors, norms = np.empty((len(rows), self.dim), np.float32), np.empty(len(rows), np.float32)
        for part, here in self._by_part(rows):
            with opened(self.common, part, little=True) as own:
                vectors[here], norms[here] = own.stored(rows[here] - part.first)
        return vectors, norms

    def questions(self, rows: np.ndarray) -> Made:
        """A question of the document of each of the rows (r,), as `index.questions` makes it."""
        texts, made = [""] * len(rows), Made()
        for part, here in self._by_part(rows):
            with closing(Documents(self.common.shards.place_of(part.segment) / DOCUMENTS, part.rows)) as documents:
                own = questions(documents, rows[here] - part.first, part.first)
            for place, text in zip(here.tolist(), own.texts, strict=True):
                texts[place] = text
            made.add(names=own.names, parts=own.parts)
        made.texts = texts
        return made

    def _by_part(self, rows: np.ndarray) -> Iterator[tuple[Part, np.ndarray]]:
        """The shards that have some of the rows (r,), each with the places of its own among them."""
        order = np.argsort(rows, kind="stable")
        cuts = np.searchsorted(rows, self._starts, sorter=order).tolist()
        for part, (start, stop) in zip(self._segments, pairwise(cuts), strict=True):
            if start < stop:
                yield part, order[start:stop]

    def drawn(self, rows: np.ndarray) -> tuple[Rows, np.ndarray]:
        # In a file without a name: of many rows there are more than the memory should have to hold.
        place, norms = self.common.shards.place, []
        with writing(place), TemporaryFile(dir=place) as file:
            for some, lengths in self.stored_blocks(rows):
                file.write(some)
                norms.append(lengths)
            file.flush()
            vectors = np.memmap(file, np.float32, "r", shape=(len(rows), self.dim))
        return Rows(vectors, np.concatenate(norms), self.metric, euclidean=self.compared.euclidean), np.arange(len(rows))

    def truth(self, rows: Numbers, queries: np.ndarray, k: int) -> np.ndarray:
        found = np.empty((len(queries), 0), np.float32)
        for scores in self.asked(filling.truth, self.without(rows), queries, k=k):
            found = filling.best_scores(found, scores, k)
        return found

    def without(self, kept: Numbers) -> list[Part]:
        """The shards, each with those of its rows that are held out, where `kept` are the others."""
        assert isinstance(kept, Kept)  # whatever else is asked for was drawn
        cuts = np.searchsorted(kept.held_out, self._starts).tolist()
        return [
            part._replace(held_out=kept.held_out[start:stop] - part.first)
            for part, (start, stop) in zip(self._segments, pairwise(cuts), strict=True)
        ]

    def asked(self, work: Callable[[Common, Asked], T], parts: Sequence[Part], queries: np.ndarray, **task: Any) -> Iterator[T]:
        """What comes of the same task over all parts, some at a time, in any order."""
        task["queries"] = self._in_file(queries)
        count = min(len(parts), ASKED_AT_ONCE * self.crew.size)
        bounds = [len(parts) * number // count for number in range(count + 1)]
        tasks = (Asked(tuple(parts[start:stop]), **task) for start, stop in pairwise(bounds))
        for _, found in self.crew.results(work, tasks):
            yield found

    def _in_file(self, queries: np.ndarray) -> Sent:
        """Queries in a file of the build's folder, where they stay until that is done."""
        data = array_bytes(queries.astype("<f4", copy=False))
        name = queries_name(hashlib.sha256(data).hexdigest())
        if name not in self._sent:
            write_file(self.common.shards.place / name, data)
            self._sent[name] = Sent(name, queries.shape)
        return self._sent[name]


class Sharing(Filling):
    """Indexes of all shards, each by a copy of one that was trained, which lies in the build's folder, `place`."""

    def __init__(self, source: AllShards, place: Path, progress: Progress) -> None:
        self._source, self._place, self._progress = source, place, progress
        self._made: list[Part] = []
        self._kept: list[Part] = []

    def make(self, spec: str, rows: Numbers, k: int) -> Merged:
        self._remove(self._made)
        source, name = self._source, self._source.common.shards.new_index()
        index = trained(spec, source, rows)
        write(index, self._place / name)
        done, parts, made = 0, source.without(rows), dict[str, Part]()
        for task, part in source.crew.results(filling.fill, (Fill(part, spec, name, len(rows)) for part in parts)):
            made[part.segment], done = part, done + len(task.part.kept)
            self._progress.step("vectors", done, len(rows))
        self._made = [made[part.segment] for part in parts]
        return Merged(source, spec, index, self._made, usual_parameters(index, k))

    def keep(self) -> None:
        self._remove(self._kept)
        self._kept, self._made = self._made, []

    def finish(self, spec: str, rows: Numbers) -> None:
        self._remove(self._made)
        done, finished = 0, dict[str, tuple[str, dict[str, Any]]]()
        for (part, _), file in self._source.crew.results(filling.finish, ((part, spec) for part in self._kept)):
            finished[part.segment], done = file, done + len(part.held_out)
            if len(part.held_out):
                self._progress.step("vectors", done, len(rows))
        self._source.files = [finished[part.segment] for part in self._kept]

    def discard(self) -> None:
        self._remove([*self._made, *self._kept])

    def _remove(self, parts: Sequence[Part]) -> None:
        """Remove indexes that are not kept; what cannot be removed goes with the commit."""
        shards = self._source.common.shards
        paths = [(shards.place_of(part.segment) / part.index).relative_to(shards.folder).as_posix() for part in parts]
        with suppress(ResourceError):
            remove_files(shards.folder, paths)


class Merged:
    """Searches the indexes of all shards with the same search parameters, and merges what they find, as an open index does."""

    def __init__(
        self, source: AllShards, spec: str, trained: Any, parts: Sequence[Part], search_parameters: Mapping[str, float]
    ) -> None:
        self._source, self._spec, self._trained, self._parts = source, spec, trained, parts
        self._most = max(len(part.kept) for part in parts)
        self.set_parameters(search_parameters)

    def __len__(self) -> int:
        return self._most

    @property
    def setting(self) -> str | None:
        """As `ApproximateSearcher` has it, and what follows."""
        return setting(self._trained)

    def settings(self, k: int) -> tuple[int, int]:
        return settings(self._trained, ann.copies(self._spec) * self._most, k)

    def gaps(self, queries: np.ndarray) -> np.ndarray | None:
        probing = Probing.of(self._trained, self._source.metric)
        return probing and probing.gaps(self._source.compared.of_queries(queries))

    @property
    def search_parameters(self) -> dict[str, float]:
        return dict(self._search_parameters)

    def set_parameters(self, search_parameters: Mapping[str, float]) -> None:
        set_parameters(self._trained, search_parameters)
        self._search_parameters = dict(search_parameters)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        found = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for scores, rows in self._asked(filling.search, queries, k):
            found = ann.merge((found[0], scores), (found[1], rows), k)
        return found

    def hits(self, queries: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
        """How many true hits are among the first 1, 2 … `count` candidates of every shard: (q, count) int."""
        found = np.zeros((len(queries), count), np.int64)
        for some in self._asked(filling.hits, queries, truth.shape[1], truth=truth, count=count):
            found += some
        return found

    def seconds(self, queries: np.ndarray, k: int) -> float:
        return sum(self._asked(filling.seconds, queries, k))

    def _asked(self, work: Callable[[Common, Asked], T], queries: np.ndarray, k: int, **task: Any) -> Iterator[T]:
        common = {"spec": self._spec, "search_parameters": self._search_parameters}
        return self._source.asked(work, self._parts, queries, k=k, **common, **task)
