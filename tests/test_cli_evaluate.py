"""`vecsearch evaluate`: rows, comparisons, pictures, encoders with options, and what it refuses."""

import numpy as np
import pytest
from conftest import rows

from vecsearch.cli.encoders import open_all, parsed
from vecsearch.metric import Metric, pair_scores


@pytest.fixture
def pairs(tmp_path):
    rng = np.random.default_rng(0)
    words = ["king", "queen", "river", "bank", "film", "war", "love", "city"]
    lines = ["word1\tword2\tscore", *(f"{a}\t{b}\t{rng.random():.2f}" for a in words for b in words if a < b)]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path / "pairs.tsv"


def test_one_encoder_gives_a_row_for_each_metric_and_measure(vecsearch, pairs, tiny_folder):
    found = rows(vecsearch("evaluate", pairs, "--encoder", tiny_folder()))
    assert [(row["metric"], row["measure"]) for row in found] == [
        (metric, measure) for metric in ("cosine", "ip") for measure in ("pearson", "spearman")
    ]
    assert all(row["low"] <= row["value"] <= row["high"] and row["n"] == 28 and row["set"] == "pairs.tsv" for row in found)


def test_two_encoders_are_compared_and_options_take_effect(vecsearch, pairs, tiny_folder, tmp_path):
    folder = tiny_folder()
    named = f"mine={folder}", f"raw={folder},pooling=raw", f"first={folder},layers=1,max_tokens=9"
    options = [f"--encoder={text}" for text in named]
    found = rows(vecsearch("evaluate", pairs, *options, "--metric", "cosine", "--plot", tmp_path / "p.png"))
    values = {row["encoder"]: row["value"] for row in found if "n" in row and row["measure"] == "pearson"}
    assert list(values) == ["mine", "raw", "first"] and len(set(values.values())) == 3
    compared = [row for row in found if "than" in row]
    assert [(row["encoder"], row["than"]) for row in compared] == [("mine", "raw")] * 2 + [("mine", "first")] * 2
    assert compared[0]["difference"] == pytest.approx(values["mine"] - values["raw"])
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    table = vecsearch("evaluate", pairs, "--encoder", folder, "--encoder", "english", "--table").out
    assert "better" in table and "0.0" in table


def test_options_of_an_encoder_are_those_of_open_encoder(tiny_folder):
    folder = tiny_folder()
    opened = open_all(list(map(parsed, (f"a={folder},pooling=max,layers=0", f"b={folder},max_tokens=3", str(folder)))))
    assert list(opened) == ["a", "b", str(folder)]
    assert (opened["a"].pooling, opened["a"].layers, opened["b"].max_tokens) == ("max", (0,), 3)
    texts = ["king of the river", "queen"]
    scores = {
        name: pair_scores(*(encoder.encode([text]) for text in texts), Metric.COSINE)[0] for name, encoder in opened.items()
    }
    assert len(set(scores.values())) == 3


def test_a_folder_whose_name_looks_like_options_is_taken_as_it_is(tiny_folder, tmp_path):
    (tmp_path / "a=b,c").symlink_to(tiny_folder())
    assert list(open_all([parsed(str(tmp_path / "a=b,c"))])) == [str(tmp_path / "a=b,c")]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--encoder", "english", "--encoder", "english"], "two encoders are called english"),
        (["--encoder", "english,poolin=raw"], "'poolin=raw' is not an option; the options are"),
        (["--encoder", "english,layers=x"], "'layers=x' is not an option"),
        (["--columns", "a,b"], "name three, the two texts and the score"),
        (["--plot", "p.doc"], "p.doc is no picture that can be drawn"),
        (["-k", 0], "0 is not in the range"),
    ],
)
def test_options_that_make_no_sense_are_refused(vecsearch, pairs, options, message):
    ran = vecsearch("evaluate", pairs, *options)
    assert ran.code == 2 and message in ran.err and not ran.out


def test_sets_of_all_kinds_at_once(vecsearch, pairs, tiny_folder, tmp_path):
    (tmp_path / "q.txt").write_text(": family\nking queen he she\n: other\nriver bank city film\n")
    (tmp_path / "beir/qrels").mkdir(parents=True)
    (tmp_path / "beir/corpus.jsonl").write_text(
        '{"_id": "1", "title": "", "text": "king"}\n{"_id": "2", "title": "", "text": "war"}\n'
    )
    (tmp_path / "beir/queries.jsonl").write_text('{"_id": "1", "text": "king"}\n')
    (tmp_path / "beir/qrels/test.tsv").write_text("1\t1\t1\n")
    found = rows(
        vecsearch(
            "evaluate", pairs, tmp_path / "q.txt", tmp_path / "beir", "--encoder", tiny_folder(), "--metric", "cosine", "-k", 1
        )
    )
    named = {(row["set"], row["measure"]): row["value"] for row in found}
    assert {name for name, _ in named} == {"pairs.tsv", "q.txt", "q.txt: family", "q.txt: other", "beir"}
    assert named["beir", "ndcg@1"] == 1 and named["beir", "precision@1"] == 1


def test_columns_have_names_of_their_own(vecsearch, tmp_path, tiny_folder):
    (tmp_path / "p.csv").write_text("left,right,grade\nking,queen,3\nriver,bank,2\nwar,love,0\n")
    assert "name them with --columns" in vecsearch("evaluate", tmp_path / "p.csv", "--encoder", tiny_folder()).err
    found = rows(vecsearch("evaluate", tmp_path / "p.csv", "--encoder", tiny_folder(), "--columns", "left,right,grade"))
    assert len(found) == 4


def test_what_is_not_there_is_refused(vecsearch, tmp_path):
    ran = vecsearch("evaluate", tmp_path / "none.tsv")
    assert ran.code == 3 and "does not exist" in ran.err
