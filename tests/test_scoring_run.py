"""Pairs scored as a stream: the same scores however they come in blocks, bounded memory, files that can be gone on with."""

import csv
import errno
import json

import numpy as np
import pytest
from conftest import AxisEncoder
from faults import FULL, failing, killed, moments
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.corpus.pairs import Pair, read_pairs
from vecsearch.errors import CorpusError, ResourceError, UsageError
from vecsearch.matching.remembering import ENTRY_BYTES, RememberingEncoder
from vecsearch.matching.rows import scored_rows
from vecsearch.matching.scorers import EncoderScorer
from vecsearch.matching.scoring_run import Output, ScoringRun, blocks
from vecsearch.metric import Metric, pair_scores
from vecsearch.progress import SILENT

SOME = st.text("abc ", max_size=6)
LEAST = 0.5


class Counting(AxisEncoder):
    """Notes what it encodes."""

    def __init__(self):
        self.given = []

    def encode(self, texts):
        self.given.append(list(texts))
        return super().encode(texts)


def some_pairs(n=23, seed=0):
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("abc "), rng.integers(0, 7))) for _ in range(12)]
    return [Pair(a, b, record={"a": a, "b": b, "n": i}) for i, (a, b) in enumerate(rng.choice(texts, (n, 2)).tolist())]


def outputs_of(folder, suffix=".jsonl"):
    return [
        Output(folder / f"all{suffix}", lambda columns: np.ones(len(columns["cosine"]), bool)),
        Output(folder / f"kept{suffix}", lambda columns: columns["cosine"] >= LEAST),
        Output(folder / f"dropped{suffix}", lambda columns: columns["cosine"] < LEAST),
    ]


def run(folder, pairs, *, suffix=".jsonl", size=5, resume=False, replace=False, scorer=None, settings=None):
    """Scores the pairs, `size` at a time, into three files of a folder."""
    stream = ScoringRun(outputs_of(folder, suffix), settings or {}, resume=resume, replace=replace)
    scorer = scorer or EncoderScorer(AxisEncoder(), [pair.a for pair in pairs], [pair.b for pair in pairs])
    return stream.run(iter(pairs), scorer, lambda: 0.0, SILENT, block_pairs=size)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@given(texts=st.lists(st.lists(SOME, max_size=8), min_size=1, max_size=6), rows=st.integers(1, 6))
def test_a_remembering_encoder_gives_what_its_encoder_gives(texts, rows):
    inner = Counting()
    remembering = RememberingEncoder(inner, rows * (4 * inner.dim + ENTRY_BYTES))
    for block in texts:
        np.testing.assert_array_equal(remembering.encode(block), AxisEncoder().encode(block))
    assert all(len(set(given)) == len(given) for given in inner.given)
    assert remembering.encoded == sum(map(len, inner.given))


def test_what_was_asked_lately_is_not_encoded_again_and_what_was_not_is_forgotten():
    inner = Counting()
    remembering = RememberingEncoder(inner, 2 * (4 * inner.dim + ENTRY_BYTES))
    for texts in (["a", "b"], ["a"], ["c"], ["a", "c"], ["b"]):
        remembering.encode(texts)
    assert inner.given == [["a", "b"], ["c"], ["b"]]


@given(pairs=st.lists(st.tuples(SOME, SOME), min_size=1, max_size=30), size=st.integers(1, 30))
def test_scores_do_not_depend_on_the_blocks(pairs, size):
    a, b = zip(*pairs, strict=True)
    scorer = EncoderScorer(AxisEncoder(), a, b)
    found = [scorer.columns([p.a for p in block], [p.b for p in block]) for block in blocks([Pair(*p) for p in pairs], size)]
    assert [len(its["cosine"]) for its in found] == [len(pairs[i : i + size]) for i in range(0, len(pairs), size)]
    vectors = [AxisEncoder().encode(list(side)) for side in (a, b)]
    for metric in Metric:
        together = np.concatenate([its[metric] for its in found])
        np.testing.assert_array_equal(together, pair_scores(*vectors, metric))
        percentiles = np.concatenate([its[f"{metric}_percentile"] for its in found])
        order = np.argsort(together, kind="stable")
        assert np.isnan(percentiles).all() or (np.diff(percentiles[order]) >= 0).all()


def test_percentiles_are_among_pairs_that_are_none_of_the_file():
    scorer = EncoderScorer(AxisEncoder(), ["a", "b", "c"], ["aa", "bb", "cc"])
    found = scorer.columns(["a", "a"], ["aa", "b"])
    # Any other two of these texts have cosine 0.
    assert found["cosine_percentile"].tolist() == [100, 0]
    lonely = EncoderScorer(AxisEncoder(), ["a"], ["b"]).columns(["a"], ["b"])
    assert np.isnan(lonely["cosine_percentile"]).all()


def test_a_block_ends_where_texts_are_long():
    pairs = [Pair("a" * 10, "b" * 10)] * 7
    assert [len(block) for block in blocks(pairs)] == [7]
    assert [len(block) for block in blocks(pairs, characters=40)] == [2, 2, 2, 1]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
@pytest.mark.parametrize("size", [1, 5, 100])
def test_rows_are_the_records_with_their_scores(tmp_path, suffix, size):
    pairs = some_pairs()
    done = run(tmp_path, pairs, suffix=suffix, size=size)
    vectors = [AxisEncoder().encode([getattr(pair, side) for pair in pairs]) for side in "ab"]
    cosines = pair_scores(*vectors, Metric.COSINE)
    rows = {}
    for name in ("all", "kept", "dropped"):
        with (tmp_path / f"{name}{suffix}").open(newline="") as file:
            read = map(json.loads, file) if suffix == ".jsonl" else csv.DictReader(file, delimiter="\t,"[suffix == ".csv"])
            rows[name] = list(read)
    assert [int(row["n"]) for row in rows["all"]] == list(range(23))
    np.testing.assert_allclose([float(row["cosine"]) for row in rows["all"]], cosines, atol=1e-6)
    assert [int(row["n"]) for row in rows["kept"]] == np.flatnonzero(cosines >= LEAST).tolist()
    assert [int(row["n"]) for row in rows["dropped"]] == np.flatnonzero(cosines < LEAST).tolist()
    assert list(done.rows.values()) == [23, len(rows["kept"]), len(rows["dropped"])] and min(done.rows.values()) > 0
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [suffix] * 3


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, suffix):
    pairs = some_pairs()

    def fresh(name):
        (tmp_path / name).mkdir()
        return tmp_path / name

    whole = fresh("whole")
    times = moments(lambda: run(whole, pairs, suffix=suffix))
    resumed = 0
    for at, _ in times if FULL else times[::3]:
        folder = fresh(f"at-{at}")
        assert killed(lambda folder=folder: run(folder, pairs, suffix=suffix), at)
        begun = (folder / f".all{suffix}.progress").exists()
        if not all((folder / output.path.name).exists() for output in outputs_of(whole, suffix)) or begun:
            scorer = EncoderScorer(AxisEncoder(), [pair.a for pair in pairs], [pair.b for pair in pairs])
            run(folder, pairs, suffix=suffix, resume=begun, scorer=scorer)
            resumed += begun
        assert {name: its for name, its in contents(folder).items() if not name.endswith(".tmp")} == contents(whole)
    assert resumed > len(times) // 6


def test_what_is_scored_is_not_scored_again(tmp_path):
    pairs = some_pairs()

    class Stopping:
        def __init__(self, after):
            self.after, self.seen = after, []
            self.inner = EncoderScorer(AxisEncoder(), [pair.a for pair in pairs], [pair.b for pair in pairs])

        def columns(self, a, b):
            if len(self.seen) == self.after:
                raise KeyboardInterrupt
            self.seen.append(len(a))
            return self.inner.columns(a, b)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, pairs, scorer=Stopping(3))
    rest = Stopping(9)
    run(tmp_path, pairs, resume=True, scorer=rest)
    assert rest.seen == [5, 3]


def test_a_full_disk_keeps_what_is_scored(tmp_path):
    pairs = some_pairs()
    (tmp_path / "whole").mkdir()
    times = [at for at, _ in moments(lambda: run(tmp_path / "whole", pairs))]
    met = 0
    for at in times if FULL else times[::5]:
        folder = tmp_path / f"at-{at}"
        folder.mkdir()
        with failing(errno.ENOSPC, at), pytest.raises(ResourceError, match="no space left"):
            run(folder, pairs)
        begun = (folder / ".all.jsonl.progress").exists()
        run(folder, pairs, resume=begun)
        met += begun
        assert contents(folder) == contents(tmp_path / "whole")
    assert met


def test_what_was_begun_otherwise_is_refused(tmp_path):
    pairs = some_pairs()

    def begin():
        with pytest.raises(CorpusError, match='"cosine" already'):
            bad = Pair("a", "b", record={"cosine": 1})
            run(tmp_path, [*pairs[:10], bad], settings={"encoder": "one"})

    with pytest.raises(UsageError, match=r"nothing to resume: .*all.jsonl.progress is not there; run the command without"):
        run(tmp_path, pairs, resume=True)
    begin()
    with pytest.raises(UsageError, match="is unfinished: continue with --resume, or start again with --replace"):
        run(tmp_path, pairs)
    with pytest.raises(UsageError, match=r"all.jsonl was started with encoder 'one', not 'two'; .*with --replace"):
        run(tmp_path, pairs, resume=True, settings={"encoder": "two"})
    with pytest.raises(CorpusError, match="3 pairs are there, but 10 were scored before; give the same file"):
        run(tmp_path, pairs[:3], resume=True, settings={"encoder": "one"})
    (tmp_path / ".kept.jsonl.part").write_bytes(b"")
    with pytest.raises(UsageError, match=r"kept.jsonl.part is shorter than what was written to it"):
        run(tmp_path, pairs, resume=True, settings={"encoder": "one"})
    (tmp_path / ".all.jsonl.progress").write_bytes(b"{")
    with pytest.raises(UsageError, match=r"all.jsonl.progress is damaged .*start again with --replace"):
        run(tmp_path, pairs, resume=True, settings={"encoder": "one"})
    assert run(tmp_path, pairs, replace=True).pairs == 23
    assert sorted(contents(tmp_path)) == ["all.jsonl", "dropped.jsonl", "kept.jsonl"]
    with pytest.raises(UsageError, match=r"all.jsonl is there already; name another file, or pass --replace"):
        run(tmp_path, pairs)


def test_outputs_that_cannot_be(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name, said in (("x.txt", "written to .jsonl, .csv, .tsv"), ("no/x.csv", "no folder"), ("folder.csv", "is a folder")):
        with pytest.raises(UsageError, match=said):
            ScoringRun([Output(tmp_path / name, lambda columns: columns["cosine"] > 0)], {}, resume=False)


def test_cells_that_hold_more_than_text(tmp_path):
    pairs = [Pair("a", "b,\n", record={"a": "a", "b": "b,\n", "tags": ["x"], "none": None, "true": True})]
    run(tmp_path, pairs, suffix=".csv")
    (row,) = csv.DictReader((tmp_path / "all.csv").open(newline=""))
    assert (row["b"], row["tags"], row["none"], row["true"], row["cosine_percentile"]) == ("b,\n", '["x"]', "", "1", "")
    (tmp_path / "more").mkdir()
    with pytest.raises(CorpusError, match=r'a pair has a field "extra", which the first has not; write .jsonl'):
        run(tmp_path / "more", [*pairs, Pair("a", "b", record={"extra": 1})], suffix=".csv")


def test_a_pair_keeps_its_record_and_a_score_that_is_none_is_left_alone(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"id": 7, "a": "x", "b": "y", "score": "none"}\n')
    (pair,) = read_pairs(tmp_path / "p.jsonl", scored=False)
    assert (pair.score, pair.record) == (None, {"id": 7, "a": "x", "b": "y", "score": "none"})
    with pytest.raises(CorpusError, match="the score in \"score\" is 'none', not a number"):
        list(read_pairs(tmp_path / "p.jsonl"))


def test_a_column_that_is_no_number_is_null():
    (row,) = scored_rows([Pair("a", "b", record={})], {"cosine": np.array([np.nan]), "match": np.array([True])})
    assert row == {"cosine": None, "match": True}
