"""The best documents by words, found without scoring those that cannot be among them: the same as by scoring every one."""

import math
import tempfile
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_builds import QUICK_DISK
from test_keywords import documents, ones

from vecsearch.index.build import Options
from vecsearch.index.index import Index
from vecsearch.index.pruning import BLOCK, FEW, GROUPED, Having, Weighed, best, scored
from vecsearch.store.postings import DENSE, together

K1, B = 1.5, 0.75
WORDS = [f"w{letter}{other}" for letter in "abcdefgh" for other in "abcde"]
"""From one that nearly every text has to some that a few have."""


def texts_of(seed, count):
    """Texts of up to thirty words by Zipf's law, of which some come again: equal scores."""
    random = np.random.default_rng(seed)
    ranks = np.minimum(random.zipf(1.3, (count, 30)), len(WORDS)) - 1
    texts = [
        " ".join(WORDS[rank] for rank in row[:length]) for row, length in zip(ranks, random.integers(0, 31, count), strict=True)
    ]
    return [texts[n // 2] if n % 5 == 0 else text for n, text in enumerate(texts)]


def ranked(texts, query, allowed):
    """All documents that are allowed and have a word of the query, with their scores, best first: BM25 as it is written."""
    said = [text.split() for text in texts]
    counted = [Counter(words) for words in said]
    average = max(1.0, sum(map(len, said)) / max(1, len(said)))
    scores = [0.0] * len(texts)
    for word, times in Counter(query.split()).items():
        having = sum(word in counts for counts in counted)
        idf = math.log1p((len(texts) - having + 0.5) / (having + 0.5))
        for n, counts in enumerate(counted):
            if f := counts[word]:
                scores[n] += times * idf * (f * (K1 + 1) / (f + K1 * (1 - B + B * (len(said[n]) / average))))
    found = [(f"d{n}", score) for n, score in enumerate(scores) if score and n in allowed]
    return sorted(found, key=lambda one: -one[1])


@contextmanager
def index_of(*segments):
    with tempfile.TemporaryDirectory(dir=QUICK_DISK) as folder:
        folder, first = Path(folder) / "index", len(segments[0])
        options = Options(language="none")
        with Index.build(folder, documents(*segments[0]), vectors=ones(first), options=options) as opened:
            for texts in segments[1:]:
                opened.add(documents(*texts, first=first), vectors=ones(len(texts)))
                first += len(texts)
            yield opened


QUERIES = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=8)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.integers(0, 1 << 30), st.lists(st.integers(1, 900), min_size=1, max_size=3), QUERIES, st.integers(1, 40))
def test_the_best_are_those_of_a_plain_reckoning_to_the_last_bit(seed, sizes, queries, k):
    texts = texts_of(seed, sum(sizes))
    starts = np.cumsum([0, *sizes]).tolist()
    with index_of(*(texts[first:stop] for first, stop in pairwise(starts))) as opened:
        for where, allowed in ((None, range(len(texts))), ("n % 3 = 1", range(1, len(texts), 3))):
            for query, hits in zip(queries, opened.keywords(queries, k, where=where), strict=True):
                assert [(hit.id, hit.score) for hit in hits] == ranked(texts, query, allowed)[:k]
                assert opened.count(where, words=query) == len(ranked(texts, query, allowed))
        opened.delete([f"d{n}" for n in range(0, len(texts), 2)])
        for query, hits in zip(queries, opened.keywords(queries, k), strict=True):
            assert [(hit.id, hit.score) for hit in hits] == ranked(texts, query, range(1, len(texts), 2))[:k]


def lists_of(random, size, count):
    """Lists of documents, from nearly all to a few of so many."""
    beside = random.choice([0.5, 0.75, 1.5, 3.0], size)
    for _ in range(count):
        numbers = np.flatnonzero(random.random(size) < random.choice([0.001, 0.01, 0.2, 0.9, 1.0])).astype(np.int32)
        counts = random.integers(1, random.integers(2, 9), len(numbers)).astype(np.uint16)
        alike = Having(numbers, np.broadcast_to(1.0, len(numbers)), 1.0)
        having = Having(numbers, counts, 2.5, beside, 2.5) if random.random() < 0.7 else alike
        yield Weighed(having, random.choice([1e-6, 0.1, 1 / 3, 1.0, 7.0]))


def check_best(lists, size, k, allowed, least):
    every = np.zeros(size)
    for having, worth in lists:
        every[having.numbers] += worth * having.shares(slice(None))
    assert np.array_equal(scored(lists, np.arange(size, dtype=np.int32)), every)
    numbers, scores = best(lists, k, size, allowed, least)
    every = every if allowed is None else every * allowed
    good = np.flatnonzero((every > 0) & (every >= least))
    kth = np.sort(every[good])[-k] if len(good) >= k else 0.0
    assert np.array_equal(numbers, good[every[good] >= kth])
    assert np.array_equal(scores, every[numbers])


@settings(max_examples=300)
@given(st.integers(0, 1 << 30), st.integers(1, 5000), st.integers(1, 8), st.integers(1, 60), st.booleans(), st.floats(0, 8))
def test_what_is_passed_over_is_not_among_the_best(seed, size, count, k, filtered, least):
    random = np.random.default_rng(seed)
    allowed = random.random(size) < 0.4 if filtered else None
    check_best(list(lists_of(random, size, count)), size, k, allowed, least)


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
@pytest.mark.parametrize("share", [None, 0.5, 0.0001])
def test_lists_of_several_blocks(size, share):
    random = np.random.default_rng(size)
    for k in (1, 10, 3000):
        allowed = None if share is None else random.random(size) < share
        check_best(list(lists_of(random, size, 5)), size, k, allowed, 0.0)


class Unread(np.ndarray):
    """Counts that may be asked for by place, but not all of them."""

    def __getitem__(self, places):
        assert isinstance(places, np.ndarray) and len(places) < 200, "a common word was gathered"
        return super().__getitem__(places)


def test_a_common_word_is_only_looked_up_for_what_the_rare_ones_leave():
    size = 10_000
    beside = np.ones(size)
    rare = Having(np.arange(0, size, 100, dtype=np.int32), np.full(size // 100, 2, np.uint16), 2.0, beside, 2.5)
    common = Having(np.arange(size, dtype=np.int32), np.ones(size, np.uint16).view(Unread), 2.0, beside, 2.5)
    numbers, scores = best([Weighed(common, 0.01), Weighed(rare, 5.0)], 10, size, None)
    assert numbers.tolist() == list(range(0, size, 100))  # all of them are alike
    assert scores == pytest.approx([0.01 * 2.5 / 2 + 5 * 5 / 3] * len(numbers))


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 50 * DENSE), st.integers(1, 255)), unique_by=lambda one: one[0], min_size=1),
        min_size=1,
        max_size=6,
    )
)
def test_forms_are_added_up(forms):
    """Many documents each have a place, few are sorted."""
    parts = [tuple(np.array(column) for column in zip(*sorted(form), strict=True)) for form in forms]
    numbers, counts = together([(numbers.astype(np.int32), counts.astype(np.uint16)) for numbers, counts in parts])
    expected = Counter()
    for form in forms:
        expected.update(dict(form))
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == expected
    assert numbers.tolist() == sorted(expected)


@pytest.mark.parametrize("last", [1, DENSE * 1000])
def test_more_than_16_bits_can_count(last):
    parts = [(np.array([0, last], np.int32), np.full(2, 255, np.uint16))] * 300
    assert together(parts)[1].tolist() == [300 * 255] * 2


@pytest.mark.parametrize("long", [100, 127, 128, 300, 16_383, 16_384, 20_000])
def test_a_phrase_in_texts_of_any_length(long):
    """FTS5 keeps how long a text is in one, two or three bytes."""
    texts = [f"the king {'of ' * (long - 2)}", "a king of it", "it is the king the king", ""]
    with index_of(texts) as opened:
        found = {hit.id: hit.score for hit in opened.keywords(['"the king"'], 4)[0]}
    average = sum(len(text.split()) for text in texts) / 4
    idf = math.log1p((4 - 2 + 0.5) / (2 + 0.5))
    expected = {}
    for n, f in ((0, 1), (2, 2)):
        share = f * (K1 + 1) / (f + K1 * (1 - B + B * len(texts[n].split()) / average))
        expected[f"d{n}"] = idf * share
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_constants_leave_every_way_to_the_sizes_above():
    """Were they larger, texts of these numbers would be found in one way alone."""
    assert FEW < 900 / 5 and 2 * GROUPED * 5 < 2700
