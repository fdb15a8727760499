"""Weights of meaning and words, found from queries whose relevant documents are known, and kept with the index."""

import json

import numpy as np
import pytest
from test_keywords import Letters, documents

from vecsearch.errors import UsageError
from vecsearch.evaluation.measures import of_ranking
from vecsearch.evaluation.sets import read_set
from vecsearch.evaluation.tuning import STEPS, tune
from vecsearch.index.build import Options
from vecsearch.index.index import Index


def beir(folder, texts, queries, relevant):
    """A BEIR folder: texts by their number, and for each query the numbers of the documents that are relevant."""
    folder.mkdir()
    (folder / "qrels").mkdir()
    lines = [{"_id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    lines = [{"_id": f"q{n}", "text": text} for n, text in enumerate(queries)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [f"q{n}\td{document}\t1\n" for n, some in enumerate(relevant) for document in some]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    return folder


@pytest.fixture
def made(tmp_path):
    """Documents that mean what their letters a, b and c say, each with a code; what is relevant, one of the two decides."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice([*"abc"], 8)) for _ in range(120)]
    texts = [f"{word} X{n % 40}" for n, word in enumerate(words)]
    with Index.build(tmp_path / "index", documents(*texts), Letters(), options=Options(keep=9)) as index:
        yield index, texts


def asked(tmp_path, made, name):
    index, texts = made
    queries = [f"{texts[n].split()[0]} X{(n + 7) % 40}" for n in range(30)]
    if name == "words":
        relevant = [[m for m in range(120) if m % 40 == (n + 7) % 40] for n in range(30)]
    else:
        relevant = [[int(hit.id[1:]) for hit in hits] for hits in index.query([query[:8] for query in queries], 3)]
    return read_set(beir(tmp_path / name, texts, queries, relevant))


@pytest.mark.parametrize("way", ["words", "meaning"])
def test_what_finds_more_counts_more(tmp_path, made, way):
    index, _ = made
    tuned = tune(index, asked(tmp_path, made, way))
    other = {"words": "meaning", "meaning": "words"}[way]
    assert getattr(tuned, way).value > getattr(tuned, other).value and sum(tuned.weights) == 1
    # Where equal weights find as much, they are kept.
    assert (tuned.weights == (0.5, 0.5)) == (tuned.tuned.value <= tuned.equal.value)
    assert tuned.weights[0] > 0.5 if way == "meaning" else tuned.weights[0] <= 0.5
    assert (tuned.n, tuned.missing) == (30, 0)
    low, high = tuned.tuned.interval
    assert low <= tuned.tuned.value <= high


def test_each_way_is_what_hybrid_finds(tmp_path, made):
    index, _ = made
    test = asked(tmp_path, made, "words")
    tuned = tune(index, test)

    def measured(weights):
        found = index.hybrid(list(test.queries.values()), 10, weights=weights)
        values = zip(test.queries, found, strict=True)
        return np.mean([of_ranking([hit.id for hit in hits], test.grades[id], 10)["ndcg@10"] for id, hits in values])

    assert tuned.meaning.value == pytest.approx(measured((1, 0))) and tuned.words.value == pytest.approx(measured((0, 1)))
    assert tuned.equal.value == pytest.approx(measured((1, 1)))
    assert measured(tuned.weights) == pytest.approx(max(measured((step, 1 - step)) for step in STEPS))


def test_weights_are_kept_and_moved_and_restored(tmp_path, made):
    index, _ = made
    queries = ["aabbcc X3", "X12", "abab nothing"]
    equal = index.hybrid(queries)
    index.keep_weights((1, 3))
    assert index.hybrid(queries) == index.hybrid(queries, weights=(0.25, 0.75)) != equal
    assert index.hybrid(queries, weights=(1, 1)) == equal
    index.add(documents("abc X99", first=500))
    index.compact()
    assert index.manifest.weights == [1, 3]
    index.rollback(1)
    assert index.manifest.weights is None
    with pytest.raises(UsageError, match="the weights are"):
        index.keep_weights((0, 0))


def test_the_command_keeps_what_it_finds(tmp_path, vecsearch, tiny_folder):
    words = ["king", "queen", "bank", "river", "film", "city", "war", "love", "storm", "bread", "man", "woman"]
    texts = [f"the {word} of the {words[n - 1]}" for n, word in enumerate(words)]
    folder = beir(tmp_path / "set", texts, words, [[n] for n in range(12)])
    built = vecsearch("build", folder, "-o", tmp_path / "index", "--encoder", tiny_folder())
    assert built.code == 0
    ran = vecsearch("evaluate", folder, "--tune", tmp_path / "index", "--json")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["way"] for row in rows] == ["meaning", "words", "both", "both, tuned"]
    assert all(row["low"] <= row["value"] <= row["high"] and row["n"] == 12 for row in rows)
    kept = json.loads(vecsearch("info", tmp_path / "index", "--json").out)["weights"]
    assert sum(kept) == 1 and f"{kept[0]:g} and {kept[1]:g} are kept in generation 2" in ran.err


def test_what_cannot_be_tuned_is_refused(tmp_path, vecsearch, made):
    index, texts = made
    few = read_set(beir(tmp_path / "few", texts, ["a X1"] * 9, [[1]] * 9))
    with pytest.raises(UsageError, match="has 9 queries with relevant documents; weights need at least 10"):
        tune(index, few)
    others = read_set(beir(tmp_path / "others", [*texts, *"xyz"], ["a X1"] * 10, [[121]] * 10))
    with pytest.raises(UsageError, match="none of the documents that are relevant in others"):
        tune(index, others)
    (tmp_path / "pairs.tsv").write_text("text1\ttext2\tscore\na\tb\t1\nc\td\t2\ne\tf\t3\n")
    for arguments, said in (
        ([tmp_path / "pairs.tsv"], "give a BEIR folder"),
        ([tmp_path / "few", tmp_path / "others"], "one SET, and 2 are given"),
        ([tmp_path / "few", "--metric", "ip"], "--metric"),
    ):
        ran = vecsearch("evaluate", *arguments, "--tune", tmp_path / "index")
        assert ran.code == 2 and said in ran.err
