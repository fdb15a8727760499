"""One process changes an index as fast as it can, others query it: every answer has to be that of one generation.

    python benchmarks/readers.py [--minutes 5] [--readers 4]

What each generation holds follows from its number alone: the writer adds and replaces documents, deletes some, compacts, and
removes old generations; the readers refresh and query, open the index anew, and open generations that are kept. They check each
answer against what its generation holds: every document, its text, its fields and its score. The first answer that is wrong,
and the first error, ends the run with it. Printed is how much of all this was done.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from time import monotonic

import numpy as np
from report import report

from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.index import update as updating
from vecsearch.index.build import Options
from vecsearch.index.hits import Hit
from vecsearch.index.index import Index
from vecsearch.store.verify import verify

DIM, K = 8, 10
IDS, ADDED = 400, 20
"""How many ids there are, and how many documents an add brings."""
KEPT = 3
PATIENCE = 300
"""Seconds that readers wait for a writer's generations, at most."""

Held = dict[str, int]
"""What a generation holds: for each id the generation that its document was made by."""


def history() -> Iterator[tuple[int, Held, list[str]]]:
    """Each generation from 1 on: its number, what it holds, and the ids that are new in it or gone with it."""
    held, generation, changed = {f"d{i}": 1 for i in range(IDS // 2)}, 1, list[str]()
    while True:
        yield generation, held, changed
        generation += 1
        rng = random.Random(generation)
        changed = []
        if generation % 12 == 6:
            changed = rng.sample(sorted(held), ADDED)
            held = {id: made for id, made in held.items() if id not in changed}
        elif generation % 12:
            changed = [f"d{i}" for i in rng.sample(range(IDS), ADDED)]
            held = held | dict.fromkeys(changed, generation)


def document(id: str, made: int) -> Document:
    return Document(id, f"word {id} of{made}", {"made": made})


@lru_cache(1 << 16)
def vector(id: str, made: int) -> np.ndarray:
    """(DIM,) float32, of length 1."""
    drawn = np.random.default_rng([int(id[1:]), made]).standard_normal(DIM)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def build(folder: Path) -> None:
    """Generation 1."""
    _, held, _ = next(history())
    vectors = np.array([vector(id, made) for id, made in held.items()])
    documents = [document(id, made) for id, made in held.items()]
    Index.build(folder, documents, vectors=[vectors], options=Options(spec="HNSW8", keep=KEPT)).close()


def write(folder: Path, seconds: float, least: int) -> Counter[str]:
    """Make one generation after another, `least` or more; how many there were of each kind of change."""
    done, until = Counter[str](), monotonic() + seconds
    with Index.open(folder) as index:
        for generation, held, changed in history():
            if generation == 1:
                continue
            if monotonic() > until and generation > least:
                return done
            if not changed:
                index.compact()
                done["compactions"] += 1
                updating.collect(folder, 1)
                done["gcs"] += 1
            elif changed[0] in held and held[changed[0]] == generation:
                vectors = np.array([vector(id, generation) for id in changed])
                index.add([document(id, generation) for id in changed], vectors=[vectors])
                done["adds"] += 1
            else:
                index.delete(changed)
                done["deletes"] += 1
            assert index.manifest.generation == generation
    raise AssertionError("history does not end")


def read(folder: Path, seconds: float, least: int, seed: int) -> Counter[str]:
    """Query in every way, and check every answer, `least` or more, until the writer has made so many generations; how much of
    it was done."""
    rng, done, until = np.random.default_rng(seed), Counter[str](), monotonic() + seconds
    known: dict[int, Held] = {}
    coming = history()
    with Index.open(folder) as index:
        while (now := monotonic()) < until or (
            min(index.manifest.generation, done["answers"]) < least and now < until + PATIENCE
        ):
            done["refreshes_to_newer"] += index.refresh()
            check(index, what_holds(index, known, coming), rng)
            done["answers"] += 4
            if rng.random() < 0.05:
                with Index.open(folder) as other:
                    check(other, what_holds(other, known, coming), rng)
                done["openings"] += 1
            if rng.random() < 0.05:
                older = index.manifest.generation - int(rng.integers(1, KEPT))
                done["older_openings"] += check_older(folder, older, known, rng)
            if rng.random() < 0.02:
                assert not (problems := verify(folder).problems), problems
                done["verifications"] += 1
    return done


def what_holds(index: Index, known: dict[int, Held], coming: Iterator[tuple[int, Held, list[str]]]) -> Held:
    """What the generation that is open holds; `known` has the last ones, `coming` those after them."""
    while max(known, default=0) < index.manifest.generation:
        generation, held, _ = next(coming)
        known[generation] = held
    for old in [generation for generation in known if generation < index.manifest.generation - 20]:
        del known[old]
    return known[index.manifest.generation]


def check_older(folder: Path, generation: int, known: dict[int, Held], rng: np.random.Generator) -> bool:
    """Open a generation that may have been removed meanwhile; whether it was still there."""
    try:
        with Index.open(folder, generation=max(1, generation)) as index:
            if held := known.get(index.manifest.generation):
                check(index, held, rng)
            return True
    except UsageError as error:
        assert "does not keep generation" in str(error)
        return False


def check(index: Index, held: Held, rng: np.random.Generator) -> None:
    """Four answers, each of which holds what `held` says and nothing else."""
    query = rng.standard_normal((1, DIM)).astype(np.float32)
    scores = {id: float(vector(id, made) @ query[0] / np.linalg.norm(query)) for id, made in held.items()}
    best = sorted(scores.values(), reverse=True)
    (everything,) = index.nearest(query, IDS, exact=True)
    assert {hit.id for hit in everything} == held.keys() and len(everything) == len(index) == len(held)
    np.testing.assert_allclose([hit.score for hit in everything], best, atol=1e-5)
    (near,) = index.nearest(query, K)
    (some,) = index.nearest(query, K, where=f"made % 2 = {int(rng.integers(2))}")
    id = list(held)[int(rng.integers(len(held)))]
    (named,) = index.keywords([id], K)
    assert [hit.id for hit in named] == [id]
    for hit in everything + near + some:
        np.testing.assert_allclose(hit.score, scores[hit.id], atol=1e-5)
    for hit in everything + near + some + named:
        check_hit(hit, held)


def check_hit(hit: Hit, held: Held) -> None:
    expected = document(hit.id, held[hit.id])
    assert (hit.text, hit.fields) == (expected.text, expected.fields), (hit, expected)


def run(folder: Path, seconds: float, readers: int, least: int = 1) -> dict[str, int]:
    """One writer and several readers for so long, and for `least` generations; what they did, together. Raises what one of
    them met."""
    build(folder)
    with ProcessPoolExecutor(readers + 1, multiprocessing.get_context("spawn")) as pool:
        tasks: list[Callable[[], Counter[str]]] = [pool.submit(write, folder, seconds, least).result]
        tasks += [pool.submit(read, folder, seconds, least, seed).result for seed in range(readers)]
        done = sum((task() for task in tasks), Counter[str]())
    assert not verify(folder).problems
    return dict(done)


def main() -> None:
    parser = argparse.ArgumentParser(description="readers beside a writer: every answer has to be that of one generation")
    parser.add_argument("--minutes", type=float, default=5, help="default: %(default)s")
    parser.add_argument("--readers", type=int, default=4, help="default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = run(Path(folder) / "index", 60 * options.minutes, options.readers)
    report("readers", [{"minutes": options.minutes, "readers": options.readers, **done, "wrong_answers": 0, "errors": 0}])


if __name__ == "__main__":
    main()
