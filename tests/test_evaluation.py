"""Measures against trec_eval and scipy; samples drawn again; sets as they lie on disk."""

import numpy as np
import pytest
import pytrec_eval
import scipy.stats
from conftest import Told
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vecsearch.encoders import Encoder
from vecsearch.errors import CorpusError
from vecsearch.evaluation import intervals
from vecsearch.evaluation.evaluate import BLOCK, compare, evaluate
from vecsearch.evaluation.intervals import Drawn, draw_mean, draw_pearson, draw_spearman
from vecsearch.evaluation.measures import of_ranking, pearson, ranking, spearman
from vecsearch.evaluation.sets import Analogies, Pairs, read_set
from vecsearch.metric import Metric

IDS = [f"d{n}" for n in range(12)]
RUN = st.dictionaries(st.sampled_from(IDS), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1)
GRADES = st.dictionaries(st.sampled_from(IDS), st.integers(-1, 3), min_size=1)


@given(run=RUN, grades=GRADES, k=st.sampled_from([1, 3, 10]))
@settings(max_examples=200)
def test_measures_of_a_ranking_are_those_of_trec_eval(run, grades, k):
    assume(max(grades.values()) > 0)
    ranked = ranking(list(run), list(run.values()))
    names = {f"ndcg@{k}": f"ndcg_cut_{k}", f"map@{k}": f"map_cut_{k}", f"recall@{k}": f"recall_{k}", f"precision@{k}": f"P_{k}"}
    asked = {f"{name.rpartition('_')[0]}.{k}" for name in names.values()}
    theirs = pytrec_eval.RelevanceEvaluator({"q": grades}, asked).evaluate({"q": run})["q"]
    cut = {id: run[id] for id in ranked[:k]}
    theirs |= pytrec_eval.RelevanceEvaluator({"q": grades}, {"recip_rank"}).evaluate({"q": cut})["q"]
    found = of_ranking(ranked, grades, k)
    for name, value in found.items():
        assert value == pytest.approx(theirs[names.get(name, "recip_rank")], abs=1e-6), name
    assert len(found) == 5


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(-5, 5, width=32)), min_size=3, max_size=40))
def test_correlations_are_scipys(values):
    a, b = (np.array(side, np.float64) for side in zip(*values, strict=True))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert spearman(a, b) == pearson(a, b) == 0
        return
    assert spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-9)
    assume(np.std(b) > 1e-6)  # below that scipy warns that its own figure is not to be relied on
    assert pearson(a, b) == pytest.approx(scipy.stats.pearsonr(a, b).statistic, abs=1e-6)


@pytest.mark.parametrize("draw, statistic", [(draw_pearson, pearson), (draw_spearman, spearman)], ids=["pearson", "spearman"])
def test_samples_are_the_statistic_of_drawn_pairs(draw, statistic):
    rng = np.random.default_rng(1)
    a = rng.standard_normal(60)
    b = np.round(a + 0.5 * rng.standard_normal(60), 1)
    whole = draw(a, b)
    assert whole.value == pytest.approx(statistic(a, b)) and len(whole.samples) == intervals.DRAWS
    chosen = np.random.default_rng(intervals.SEED).integers(0, 60, (intervals.DRAWS, 60))
    assert whole.samples[:50] == pytest.approx([statistic(a[rows], b[rows]) for rows in chosen[:50]])
    their = scipy.stats.bootstrap(
        (a, b), lambda x, y: statistic(x, y), paired=True, vectorized=False, method="percentile", n_resamples=2000, rng=0
    )
    assert whole.interval == pytest.approx(tuple(their.confidence_interval), abs=0.03)


def test_what_is_drawn_in_many_parts_has_the_same_interval():
    values = np.random.default_rng(4).standard_normal(3 * intervals.VALUES // intervals.DRAWS)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert draw_mean(values).interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_of_two_with_the_same_items_the_better_is_told_and_an_equal_one_is_not():
    rng = np.random.default_rng(2)
    hard = rng.random(300)
    one, other = draw_mean(hard + 0.02 * rng.standard_normal(300)), draw_mean(hard + 0.01)
    apart = other - one
    assert apart.interval[0] > 0 and apart.p < 0.01  # though their own intervals overlap almost wholly
    assert one.interval[1] > other.interval[0]
    same = one - draw_mean(np.roll(hard, 1))
    assert same.interval[0] < 0 < same.interval[1] and same.p > 0.2
    assert (one - one).p == 1


def test_nineteen_of_twenty_intervals_hold_the_truth():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        low, high = draw_mean(rng.standard_normal(50)).interval
        held += low <= 0 <= high
    assert 180 <= held <= 198


class Letters(Encoder):
    """Component i of a text's vector counts the i-th letter of "abcd"."""

    dim = 4
    fingerprint = "letters"

    def __init__(self, factor=1.0):
        self.factor = factor

    def encode(self, texts):
        return np.array([[text.count(letter) * self.factor for letter in "abcd"] for text in texts], np.float32).reshape(-1, 4)


def test_pairs_are_scored_by_both_metrics_and_texts_without_a_word_are_told():
    test = Pairs("set", ["a", "ab", "abb", "z"], ["a", "b", "a", "a"], np.array([4.0, 3, 2, 0]))
    heard = Told()
    judged = evaluate(test, Letters(), progress=heard)
    cosines = [1, 0.5**0.5, 0.2**0.5, 0]
    assert judged.drawn["", Metric.COSINE, "pearson"].value == pytest.approx(pearson(np.array(cosines), test.scores), abs=1e-6)
    assert judged.drawn["", Metric.INNER_PRODUCT, "spearman"].value == pytest.approx(
        spearman(np.array([1, 1, 1, 0]), test.scores)
    )
    assert judged.notes == ["1 of 4 pairs have a text without a known word, and score 0"]
    assert heard.steps == {"texts": [5]}  # the texts that there are, each once


def test_an_encoder_is_compared_with_itself_and_with_one_that_knows_nothing():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcd"), 6)) for _ in range(200)]
    a, b = texts[:100], texts[100:]
    vectors = Letters().encode(texts)
    scores = np.einsum("nd,nd->n", vectors[:100], vectors[100:]) + rng.standard_normal(100)
    test = Pairs("set", a, b, scores)
    judged = {name: evaluate(test, Letters(factor)) for name, factor in (("one", 1), ("same", 2), ("none", 0))}
    told = {(its.than, its.metric, its.measure): its for its in compare(judged)}
    assert len(told) == 8 and {its.encoder for its in told.values()} == {"one"}
    assert told["same", "cosine", "spearman"].better == "inconclusive"
    assert told["none", "ip", "pearson"].better == "one" and told["none", "ip", "pearson"].p < 0.01
    backwards = {name: judged[name] for name in ("none", "one")}
    assert {its.better for its in compare(backwards) if its.metric == "ip"} == {"one"}


def test_analogies_leave_the_questions_words_out_and_count_unknown_ones_as_wrong():
    questions = [("a", "ab", "c", "cb"), ("a", "b", "c", "d"), ("a", "z", "b", "y")]
    test = Analogies("set", questions, ["x", "x", "y"])
    judged = evaluate(test, Letters(), metrics=[Metric.COSINE])
    assert {part: its.value for (part, _, _), its in judged.drawn.items()} == {"": 1 / 3, "x": 0.5, "y": 0.0}
    assert judged.n == {"": 3, "x": 2, "y": 1}
    assert judged.notes == ["1 of 3 questions have a word that is not known, and count as wrong"]


@pytest.fixture
def beir(tmp_path):
    """A BEIR folder; returns a function that writes one of its files anew."""
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)

    def write(name, *lines):
        (folder / name).write_text("\n".join(lines) + "\n")
        return folder

    write(
        "corpus.jsonl",
        *(f'{{"_id": "{id}", "title": "", "text": "{text}"}}' for id, text in zip("1234", ("a", "ab", "b", "c"), strict=True)),
    )
    write("queries.jsonl", '{"_id": "q", "text": "a"}', '{"_id": "r", "text": "b"}', '{"_id": "s", "text": "c"}')
    write("qrels/test.tsv", "query-id\tcorpus-id\tscore", "q\t2\t1", "q\t1\t0", "r\t3\t2", "r\t9\t1", "t\t1\t1", "s\t1\t0")
    return write


def test_a_beir_folder_is_read_searched_and_what_does_not_fit_is_told(beir):
    test = read_set(beir("ignored"))
    assert test.queries == {"q": "a", "r": "b"}
    judged = evaluate(test, Letters(), metrics=[Metric.COSINE], ks=[1, 2])
    values = {measure: its.value for (_, _, measure), its in judged.drawn.items()}
    assert values["mrr@2"] == 0.75 and values["precision@1"] == 0.5 and values["recall@2"] == 0.75
    assert judged.notes == [
        "1 queries of qrels/test.tsv are not in queries.jsonl, and are left out",
        "1 judged documents are not in the corpus; those that are relevant count as not found",
    ]


def test_a_ranking_does_not_depend_on_the_blocks(beir):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcd"), 5)) for _ in range(2 * BLOCK + 50)]
    beir("corpus.jsonl", *(f'{{"_id": "{n}", "title": "", "text": "{text}"}}' for n, text in enumerate(texts)))
    beir("queries.jsonl", '{"_id": "q", "text": "aab"}')
    relevant = {str(n): 1 for n in range(0, len(texts), 7)}
    folder = beir("qrels/test.tsv", *(f"q\t{id}\t1" for id in relevant))
    heard = Told()
    judged = evaluate(read_set(folder), Letters(), ks=[10], progress=heard)
    values = {key[1:]: its.value for key, its in judged.drawn.items()}
    vectors, query = Letters().encode(texts), Letters().encode(["aab"])[0]
    scores = vectors @ query
    best = sorted(range(len(texts)), key=lambda row: (-scores[row], row))[:10]
    ranked = ranking([str(row) for row in best], scores[best])
    assert values[Metric.INNER_PRODUCT, "ndcg@10"] == of_ranking(ranked, relevant, 10)["ndcg@10"]
    assert heard.steps["texts"] == [1] and heard.steps["documents"] == [BLOCK, 2 * BLOCK, len(texts)]


@pytest.mark.parametrize(
    "name, lines, message",
    [
        ("qrels/test.tsv", ["q\t1"], r"test.tsv, line 1: 'q 1' is not query, document"),
        ("qrels/test.tsv", ["q\t1\t1", "q\t2\thigh"], r"test.tsv, line 2: 'q 2 high' is not"),
        ("qrels/test.tsv", ["q\t1\t0"], "no query has a relevant document in qrels/test.tsv"),
        ("queries.jsonl", ['{"_id": "q"}'], r'queries.jsonl, line 1: a query needs "_id" and "text"; there are: _id'),
        ("queries.jsonl", ["{"], "queries.jsonl, line 1"),
    ],
)
def test_a_damaged_beir_folder_is_refused_by_line(beir, name, lines, message):
    with pytest.raises(CorpusError, match=message):
        read_set(beir(name, *lines))


def test_missing_files_of_a_beir_folder_are_named(beir):
    folder = beir("qrels/dev.tsv", "q\t1\t1")
    with pytest.raises(CorpusError, match=r"train.tsv does not exist; splits that are there: dev, test. Name one with --split"):
        read_set(folder, split="train")
    assert read_set(folder, split="dev").grades == {"q": {"1": 1}}
    (folder / "queries.jsonl").unlink()
    with pytest.raises(CorpusError, match=r"has no queries\.jsonl"):
        read_set(folder)


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("p.tsv", "a\tb\tscore\nx\ty\t1\nx\tz\t2\n", "holds 2 pairs; a correlation needs at least 3"),
        ("p.tsv", "a\tb\tscore\n" + "x\ty\t1\n" * 4, "all 4 scores in .*p.tsv are 1"),
        ("p.tsv", "a\tb\n" + "x\ty\n" * 4, "has no scores to compare with; name the columns"),
        ("p.tsv", "a\tb\tscore\nx\ty\t1\nx\ty\tnan\n", "line 3"),
        ("p.tsv", "", "holds no pairs"),
        ("p.txt", "one two three four\nfive six\n", "line 2: 2 words; an analogy has four"),
        ("p.txt", ": section\n\n", "holds no analogies"),
        ("p.txt", b"a b c \xff", r"not UTF-8 \(byte 6\)"),
    ],
)
def test_a_set_that_cannot_be_used_is_refused(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CorpusError, match=message):
        read_set(path)


def test_sections_of_analogies_are_kept(tmp_path):
    (tmp_path / "q.txt").write_text(": capitals\nAthens Greece Oslo Norway\n\n: plurals\ncat cats dog dogs\n")
    test = read_set(tmp_path / "q.txt")
    assert test.questions == [("athens", "greece", "oslo", "norway"), ("cat", "cats", "dog", "dogs")]
    assert test.sections == ["capitals", "plurals"]


def test_a_p_value_is_never_nothing():
    assert Drawn(1.0, np.full(2000, 1.0)).p == pytest.approx(2 / 2001)
