"""Batches: answers are those of single requests, a bad one fails alone, what is late or unwanted is dropped, and no more is
accepted than can be answered."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import WORDS

from vecsearch import Index
from vecsearch.serving.batcher import Batcher
from vecsearch.serving.hits import Shape
from vecsearch.serving.jobs import Job, Way, answered, parts, tokens
from vecsearch.serving.limits import Limits
from vecsearch.serving.metrics import Metrics
from vecsearch.serving.problems import Problem
from vecsearch.serving.schema import SearchRequest
from vecsearch.serving.service import Service


class Work:
    """Answers numbers with their squares; waits while it is held, and keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.held = threading.Event()
        self.held.set()
        self.begun = threading.Event()

    def __call__(self, jobs):
        self.batches.append(list(jobs))
        self.begun.set()
        assert self.held.wait(30)
        if any(job < 0 for job in jobs):
            raise ValueError(f"no roots of {[job for job in jobs if job < 0]}")
        return [job * job for job in jobs]


def run(test, **limits):
    """Runs a coroutine with work, and a batcher that has it done."""

    async def running():
        work = Work()
        batcher = Batcher(work, Limits(**limits), Metrics())
        try:
            return await test(work, batcher)
        finally:
            work.held.set()
            batcher.close()

    return asyncio.run(running())


async def held(work, batcher, *jobs, queries=1, tokens=0):
    """Tasks that ask for jobs, all of which wait while the first one is worked on."""
    work.held.clear()
    tasks = [asyncio.ensure_future(batcher.ask(0, queries=1, tokens=0))]
    while not work.begun.is_set():
        await asyncio.sleep(0.001)
    tasks += [asyncio.ensure_future(batcher.ask(job, queries=queries, tokens=tokens)) for job in jobs]
    await asyncio.sleep(0.01)
    return tasks


def test_what_waits_is_answered_together_and_in_order():
    async def test(work, batcher):
        tasks = await held(work, batcher, *range(1, 9))
        work.held.set()
        assert await asyncio.gather(*tasks) == [n * n for n in range(9)]
        assert work.batches == [[0], [1, 2, 3, 4, 5, 6, 7, 8]]

    run(test)


@pytest.mark.parametrize(
    ("queries", "tokens", "sizes"), [(1, 0, [1, 10, 10, 5]), (4, 0, [1, *[2] * 12, 1]), (1, 30, [1, *[3] * 8, 1])]
)
def test_a_batch_has_its_bounds(queries, tokens, sizes):
    async def test(work, batcher):
        tasks = await held(work, batcher, *range(25), queries=queries, tokens=tokens)
        work.held.set()
        await asyncio.gather(*tasks)
        assert [len(batch) for batch in work.batches] == sizes

    run(test, batch=10, batch_tokens=100)


def test_what_is_larger_than_a_batch_is_answered_alone():
    async def test(work, batcher):
        tasks = await held(work, batcher, 1, 2, queries=11)
        work.held.set()
        assert await asyncio.gather(*tasks) == [0, 1, 4]

    run(test, batch=10)


def test_a_bad_one_fails_alone():
    async def test(work, batcher):
        tasks = await held(work, batcher, 1, -2, 3, -4)
        work.held.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [answer if isinstance(answer, int) else str(answer) for answer in answers] == [
            0, 1, "no roots of [-2]", 9, "no roots of [-4]",
        ]  # fmt: skip
        assert await batcher.ask(5, queries=1, tokens=0) == 25

    run(test)


def test_what_nobody_waits_for_is_never_worked_on():
    async def test(work, batcher):
        tasks = await held(work, batcher, 1, 2, 3)
        tasks[2].cancel()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await tasks[3]
        work.held.set()
        assert await asyncio.gather(tasks[0], tasks[1]) == [0, 1]
        assert work.batches == [[0], [1]]

    run(test)


def test_no_more_is_accepted_than_the_queue_holds_counted_in_queries():
    async def test(work, batcher):
        batcher.accept(6)
        batcher.accept(4)
        with pytest.raises(Problem) as refused:
            batcher.accept(1)
        assert (refused.value.status, refused.value.headers["retry-after"]) == (503, "1")
        batcher.done(4)
        batcher.accept(3)
        with pytest.raises(Problem):
            batcher.accept(2)

    run(test, queue=10)


def test_one_larger_than_the_queue_is_accepted_where_nothing_waits():
    async def test(work, batcher):
        batcher.accept(11)
        with pytest.raises(Problem):
            batcher.accept(1)

    run(test, queue=10)


def test_threads_that_ask_from_several_loops_get_their_own_answers():
    async def test(work, batcher):
        def ask(n):
            return asyncio.run(batcher.ask(n, queries=1, tokens=0))

        assert await asyncio.gather(*(asyncio.to_thread(ask, n) for n in range(8))) == [n * n for n in range(8)]

    run(test)


# -- with an index -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(served_folder):
    return served_folder


@pytest.fixture(scope="module")
def index(folder):
    with Index.open(folder) as opened:
        yield opened


TEXTS = st.lists(st.lists(st.sampled_from([*WORDS, "zzz", "Ünknown"]), max_size=5).map(" ".join), min_size=1, max_size=4)
WAYS = st.tuples(
    st.sampled_from(["hybrid", "meaning", "keywords"]),
    st.integers(1, 5),
    st.sampled_from([None, "year > 1970", "genre = 'noir'", "year > 9999"]),
).map(lambda way: Way(*way))


@given(asked=st.lists(st.tuples(WAYS, TEXTS), min_size=1, max_size=6))
def test_a_batch_answers_each_job_as_it_is_answered_alone(index, asked):
    together = answered([Job(index, way, texts) for way, texts in asked])
    for (way, texts), found in zip(asked, together, strict=True):
        (alone,) = answered([Job(index, way, texts)])
        assert [[hit.id for hit in hits] for hits in found.hits] == [[hit.id for hit in hits] for hits in alone.hits]
        scores = [[hit.score for hits in each.hits for hit in hits] for each in (found, alone)]
        np.testing.assert_allclose(*scores, atol=1e-5)


def test_jobs_of_every_kind_go_together(index):
    vectors = index.encode(["king"])
    jobs = [
        Job(index, Way("encode"), ["king", "queen"]),
        Job(index, Way("vector", 3), given=vectors),
        Job(index, Way("like", 3), ["d1"]),
        Job(index, Way("like", 3), ["nobody"]),
        Job(index, Way("keywords", 3), ["king"], shape=Shape()),
    ]
    encoded, near, like, unknown, rows = answered(jobs)
    np.testing.assert_array_equal(encoded[:1], vectors)
    assert [hit.id for hit in near.hits[0]] == [hit.id for hit in index.query(["king"], 3)[0]]
    assert [hit.id for hit in like.hits[0]] == [hit.id for hit in index.similar(["d1"], 3)[0]]
    assert isinstance(unknown, Problem) and unknown.status == 404
    assert isinstance(rows[0], bytes)


@given(st.lists(st.text(max_size=200), min_size=1, max_size=30), st.integers(1, 9), st.integers(1, 60))
def test_a_request_is_split_into_parts_that_fit(texts, most, most_tokens):
    found = parts(texts, most, most_tokens)
    assert [text for part, _ in found for text in texts[part]] == texts
    for part, total in found:
        here = texts[part]
        assert 0 < len(here) <= most and total == sum(map(tokens, here))
        assert total <= most_tokens or len(here) == 1


def test_a_deadline_counts_from_arrival(folder):
    async def late(service, since):
        await service.search(service.shown("films"), SearchRequest(q="king"), time.perf_counter() - since)

    service = Service({"films": folder}, Limits(deadline=5), Metrics())
    try:
        asyncio.run(late(service, 0))
        with pytest.raises(Problem) as refused:
            asyncio.run(late(service, 6))
        assert (refused.value.status, refused.value.code) == (504, "deadline_exceeded")
        asyncio.run(late(service, 0))
    finally:
        service.close()
