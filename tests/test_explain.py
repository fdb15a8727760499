"""`query --explain`: what the words of a hit contribute adds up to its score, whatever the text."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from conftest import WORDS, documents
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vecsearch.cli import hits as cli_hits
from vecsearch.cli import output as cli_output
from vecsearch.corpus.passages import Chunks
from vecsearch.encoders import UlmfitEncoder, open_encoder
from vecsearch.errors import UsageError
from vecsearch.index.build import Options
from vecsearch.index.explain import Word, by_word, explain
from vecsearch.index.hits import Hit
from vecsearch.index.index import Index
from vecsearch.metric import Metric, pair_scores

DIRECTIONS = (("forward",), ("forward", "backward"))
PIECES = st.sampled_from(
    [*WORDS[9:], "Bank", "FILM", "zzyzx", "sooooo", "!!!", "the the the", "don't", "\n\n", "<br /><br />", "&amp;", "&eacute;",
     "...", "…", "<unk>", "🎉🎉🎉", "👩‍👩‍👧", "İstanbul", "ΣΟΦΟΣ", "ß", "ﬁn", "xxrep 3 a", "xxbos", "x/y", "C:\\name", "▁",
     "\x1b[31m", " @-@ "]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=15).map(" ".join), st.lists(PIECES, max_size=8).map("".join))
FEW_EXAMPLES = settings(max_examples=40)
ALL_FIELDS = cli_hits.ShownFields()
QUESTION = "a film of war on the river in the city"


def total(words: list[Word]) -> float:
    return sum(word.contribution for word in words)


def said(words: list[Word]) -> list[str]:
    return [word.word for word in words]


class Asked(Index):
    """As much of an index as `explain` looks at."""

    metric = Metric.COSINE
    encoder = dim = None

    def __init__(self, encoder):
        self.encoder, self.dim = encoder, encoder.dim


@pytest.fixture(params=DIRECTIONS, ids=" ".join)
def directions(request):
    return request.param


@pytest.fixture(params=["mean", "raw"])
def encoder(request, tiny_folder, directions):
    return UlmfitEncoder(tiny_folder(directions), pooling=request.param)


# -- the sum is the score ----------------------------------------------------------------------------------------------


@FEW_EXAMPLES
@given(text=TEXTS, max_tokens=st.none() | st.integers(1, 12))
@example(text="", max_tokens=None)
@example(text="zzyzx", max_tokens=None)
@example(text="The Bank of love. " * 60, max_tokens=None)
def test_shares_add_up_to_the_vector(encoder, text, max_tokens):
    encoder.max_tokens = max_tokens
    tokens, shares = encoder.shares(text)
    assert tokens == encoder.tokens(text)[:max_tokens]
    assert shares.dtype == np.float32 and shares.shape == (len(tokens), encoder.dim)
    np.testing.assert_allclose(shares.sum(axis=0), encoder.encode([text])[0], atol=2e-6)


def test_a_share_is_the_state_or_the_embedding_of_its_token(tiny_folder):
    encoder = UlmfitEncoder(tiny_folder())
    tokens, states = encoder.states("He sat on the bank")
    np.testing.assert_allclose(encoder.shares("He sat on the bank")[1], states / len(tokens), atol=1e-6)
    both = UlmfitEncoder(tiny_folder(DIRECTIONS[1]))
    ids = np.array(both.vocabulary.numericalise(tokens))
    backward = both.states_of_ids(ids[::-1], "backward")[::-1]
    np.testing.assert_allclose(both.shares("He sat on the bank")[1][:, -7:], backward / len(tokens), atol=1e-6)
    raw = UlmfitEncoder(tiny_folder(), pooling="raw")
    tokens, shares = raw.shares("He sat")
    he, sat = raw.encode_words(np.array([WORDS.index("he"), WORDS.index("sat")])) / 2
    assert tokens == ["xxbos", "xxmaj", "he", "sat"]
    np.testing.assert_allclose(shares, [0 * he, 0 * he, he, sat], atol=1e-7)


@pytest.mark.parametrize("metric", Metric)
@FEW_EXAMPLES
@given(text=TEXTS, max_tokens=st.none() | st.integers(1, 12))
def test_contributions_add_up_to_the_score(encoder, metric, text, max_tokens):
    encoder.max_tokens = max_tokens
    asked, own = encoder.encode([QUESTION, text])
    words = explain(Asked(encoder), asked, Hit("d", 0.0, text), metric=metric)
    score = pair_scores(own[None], asked[None], metric)[0]
    parts = sum(abs(word.contribution) for word in words)
    assert abs(total(words) - score) <= 1e-5 * max(1.0, parts)


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("chunks", [None, Chunks(6, 2)])
def test_the_hits_of_an_index_are_explained(tmp_path, tiny_folder, directions, metric, chunks):
    encoder = UlmfitEncoder(tiny_folder(directions))
    texts = [
        "The king sat on the bank of the river. He is in love!",
        "a HEIST film",
        "",
        "war war war",
        QUESTION + "\n\n" + QUESTION,
    ]
    with Index.build(tmp_path / "i", documents(*texts), encoder, options=Options(metric=metric, chunks=chunks)) as index:
        vector = index.encode([QUESTION])[0]
        hits = index.query([QUESTION], 5)[0]
        assert len(hits) == 5 and any(hit.passage not in (None, hit.text) for hit in hits) == (chunks is not None)
        for hit in hits:
            words = explain(index, vector, hit)
            assert total(words) == pytest.approx(hit.score, abs=1e-5)
            text = hit.text if hit.passage is None else hit.passage
            assert [text[word.start : word.stop] for word in words] == said(words)
        other = next(m for m in Metric if m is not metric)
        best = index.query([QUESTION], 1, metric=other)[0][0]
        assert total(explain(index, vector, best, metric=other)) == pytest.approx(best.score, rel=1e-4)


def test_a_marked_query_explains_as_well(tmp_path, tiny):
    marked = "he sat on the [[bank]] of the river"
    with Index.build(tmp_path / "i", documents("the river", "a bank"), tiny) as index:
        for hit in index.query([marked])[0]:
            assert total(explain(index, index.encode([marked])[0], hit)) == pytest.approx(hit.score, abs=1e-5)


def test_vectors_in_bfloat16_are_off_by_what_they_were_rounded(tmp_path, lstm_by, monkeypatch):
    lstm_by("torch")
    texts = ["An astronaut is left behind on Mars.", "A farm worker falls in love.", "Two robbers flee across the border."]
    with Index.build(tmp_path / "i", documents(*texts), open_encoder(dtype="bfloat16")) as index:
        monkeypatch.undo()
        hits = index.query(["stranded in space"])[0]
        vector = index.encode(["stranded in space"])[0]
        off = [abs(total(explain(index, vector, hit)) - hit.score) for hit in hits]
    assert 1e-6 < max(off) < 5e-3


# -- words -------------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(text=TEXTS, cut=st.none() | st.integers(1, 10))
@example(text="xxbos \n xxup", cut=None)
@example(text="xxrep 99999999999999999999 a b", cut=None)
@example(text="xxrep " + "1234567890" * 500 + " a", cut=None)
@example(text="&#12371;" * 700 + " the end", cut=None)
def test_spans_are_words_of_the_text_in_order_and_nothing_is_dropped(tokenizer, text, cut):
    tokens = next(tokenizer.tokens([text]))[:cut]
    contributions = np.random.default_rng(len(text)).standard_normal(len(tokens))
    words = by_word(text, tokens, contributions)
    assert all(text[word.start : word.stop] == word.word and word.word.strip() == word.word != "" for word in words)
    assert all(before.stop <= word.start for before, word in pairwise(words))
    assert bool(words) == bool(text.strip())
    if words:
        assert total(words) == pytest.approx(contributions.sum(), abs=1e-9)


@settings(max_examples=60)
@given(
    words=st.lists(st.sampled_from(["king", "Queen", "RIVER", "bank", "İstanbul", "naïve", "straße", ",", "."]), max_size=20)
)
def test_what_the_tokenizer_keeps_is_found_word_by_word(tokenizer, words):
    plain = [word for word, before in zip(words, ["", *words], strict=False) if word != before]
    text = " ".join(plain)
    [tokens] = tokenizer.tokens([text])
    assert said(by_word(text, tokens, [1.0] * len(tokens))) == plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sooooo good!!!", [("S", 2), ("ooooo", 3), ("good", 1), ("!!!", 3)]),
        ("GREAT. no no  no way", [("GREAT", 3), (".", 1), ("no no  no", 3), ("way", 1)]),
        ("I don't know... wait", [("I", 2), ("do", 1), ("n't", 1), ("know", 1), ("...", 1), ("wait", 1)]),
        ("a caf&eacute; &lt; b", [("a", 2), ("caf&eacute; &lt;", 2), ("b", 1)]),
        ("Fine.<br /><br />I saw", [("Fine", 3), (".", 1), ("I", 2), ("saw", 1)]),
        ("AAAA 4 a", [("AAAA", 4), ("4", 1), ("a", 1)]),
        ("🎉🎉🎉 İstanbul", [("🎉🎉🎉", 4), ("İstanbul", 1)]),
        ("ends with caf&eacute;", [("ends", 2), ("with", 1), ("caf&eacute;", 1)]),
        ("", []),
        (" \n ", []),
    ],
)
def test_marks_belong_to_the_word_that_follows(tokenizer, text, expected):
    [tokens] = tokenizer.tokens([text])
    assert [(word.word, word.contribution) for word in by_word(text, tokens, [1.0] * len(tokens))] == expected


def test_tokens_at_the_end_that_are_not_found():
    assert by_word("the end", ["xxbos", "the", "end", "xxeos"], [1, 2, 4, 8]) == [Word("the", 0, 3, 3), Word("end", 4, 7, 12)]
    # Cut after a token that is not there: the rest of the text was not read.
    assert by_word("the &eacute; of it", ["xxbos", "the", "é"], [1, 2, 4])[1:] == [Word("&eacute;", 4, 12, 4)]
    assert by_word("the", ["xxbos", "the", "nowhere"], [1, 2, 4]) == [Word("the", 0, 3, 7)]


def test_pieces_of_sentencepiece_are_found():
    pieces = ["▁xxbos", "▁xxmaj", "▁vec", "tor", "s", "▁", "▁xxrep", "▁3", "▁!"]
    assert said(by_word("Vectors !!!", pieces, [1.0] * len(pieces))) == ["Vec", "tor", "s", "!!!"]


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, tiny):
    Index.build(tmp_path / "i", documents("The king\n\nsat on the \x1b[31mbank!!!", "a film of the war", "zzyzx"), tiny).close()
    return tmp_path / "i"


def test_json_has_the_explanation(vecsearch, folder):
    ran = vecsearch("query", folder, QUESTION, "zzyzx", "--explain", "-k", 2)
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0 and len(rows) == 2
    for row in rows:
        parts = row["explanation"]
        assert [set(part) for part in parts] == [{"word", "start", "stop", "contribution"}] * len(parts)
        assert all(row["text"][part["start"] : part["stop"]] == part["word"] for part in parts)
        assert sum(part["contribution"] for part in parts) == pytest.approx(row["score"], abs=1e-5)
    # The query is encoded once: a second time would count its unknown word again.
    assert "note: 1 of 11 words are unknown to the model" in ran.err
    assert "nothing is found for 'zzyzx'" in ran.err


def test_without_explain_there_is_none(vecsearch, folder):
    assert "explanation" not in vecsearch("query", folder, QUESTION).out


def test_without_colour_the_strongest_words_are_named(vecsearch, folder):
    ran = vecsearch("query", folder, QUESTION, "--explain", "--table", "-k", 1)
    _, row, named = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "") and "\x1b" not in ran.out
    *strongest, others = named.strip().removeprefix("1  ").split(", ")
    numbers = [float(part.rsplit(" ", 1)[1]) for part in (*strongest, others)]
    assert re.fullmatch(r"\d+ others [+-]\d\.\d{3}", others) or len(strongest) < 5
    assert sum(numbers) == pytest.approx(float(row.split()[1]), abs=4e-3)
    assert np.abs(numbers[:5]).tolist() == sorted(np.abs(numbers[:5]), reverse=True)


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_on_a_terminal_words_are_coloured(monkeypatch, folder, capsys, no_colour):
    monkeypatch.setattr(cli_output, "is_terminal", lambda: True)
    monkeypatch.setattr("click._compat.should_strip_ansi", lambda *_: False)
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)
    monkeypatch.setenv("NO_COLOR", no_colour)
    words = [Word("The", 0, 3, 0.4), Word("king", 4, 8, -0.2), Word("sat", 10, 13, 0.04), Word("bank", 26, 30, 0.2)]
    hit = Hit("d0", 0.44, "The king\n\nsat on the \x1b[31mbank!!!")
    cli_hits.emit_hits([("q", [hit])], None, ALL_FIELDS, as_json=False, words_of=lambda text, hit: words)
    header, _, shown = capsys.readouterr().out.splitlines()
    if no_colour:
        assert shown == "   1  The +0.400, king -0.200, bank +0.200, sat +0.040" and header.split()[-1] == "text"
    else:
        green, red, pale = (f"\x1b[38;5;16m\x1b[48;5;{colour}m" for colour in (83, 217, 157))
        assert header.split() == ["rank", "score", "id"]
        assert shown == f"   1  {green}The\x1b[0m {red}king\x1b[0m sat on the [31m{pale}bank\x1b[0m!!!"


def test_a_text_without_words_is_shown_as_it_is(capsys):
    cli_hits.emit_hits([("q", [Hit("d", 0.0, " ")])], None, ALL_FIELDS, as_json=False, words_of=lambda text, hit: [])
    assert capsys.readouterr().out.splitlines()[-1].strip() == "1"


def test_a_vector_of_something_else_is_told(capsys):
    words = [Word("bank", 0, 4, 0.2)]
    for score, told in ((0.2, ""), (0.203, ""), (0.3, "note: the words of 'd' add up to 0.200, not to its score: ")):
        cli_hits.emit_hits([("q", [Hit("d", score, "bank")])], None, ALL_FIELDS, as_json=True, words_of=lambda text, hit: words)
        assert capsys.readouterr().err[: len(told) or None] == told


def test_a_passage_is_what_is_explained(vecsearch, tmp_path, tiny):
    text = "a film of the war . " * 4 + "the king sat on the bank of the river"
    Index.build(tmp_path / "c", documents(text), tiny, options=Options(chunks=Chunks(8))).close()
    row = json.loads(vecsearch("query", tmp_path / "c", "the king sat", "--explain").out)
    assert row["passage"] in text and row["passage"] != text
    assert [row["passage"][part["start"] : part["stop"]] for part in row["explanation"]] == row["passage"].split()
    assert sum(part["contribution"] for part in row["explanation"]) == pytest.approx(row["score"], abs=1e-5)


@pytest.mark.parametrize(
    "option, arguments",
    [("--keywords", ["text", "--keywords"]), ("--hybrid", ["text", "--hybrid"]), ("--vectors", ["--vectors", "v.npy"])],
)
def test_only_texts_asked_by_meaning_are_explained(vecsearch, folder, option, arguments):
    ran = vecsearch("query", folder, *arguments, "--explain")
    assert (ran.code, ran.out) == (2, "") and option in ran.err and "--explain" in ran.err


@pytest.mark.parametrize("pooling", ["max", "last", "concat"])
def test_a_pooling_that_is_no_mean(vecsearch, tmp_path, tiny_folder, pooling):
    Index.build(tmp_path / "i", documents("the king"), UlmfitEncoder(tiny_folder(), pooling=pooling)).close()
    ran = vecsearch("query", tmp_path / "i", "a king", "--explain")
    assert (ran.code, ran.out) == (2, "")
    assert f"not with {pooling} pooling; build the index with pooling=mean or pooling=raw" in ran.err


def test_an_encoder_of_your_own(tmp_path, axis):
    with (
        Index.build(tmp_path / "i", documents("abba"), axis) as index,
        pytest.raises(UsageError, match="known of ULMFiT models and of word vectors; this is AxisEncoder"),
    ):
        explain(index, index.encode(["a"])[0], index.query(["a"])[0][0])


def test_queries_of_a_file_and_a_least_score(vecsearch, folder, tmp_path):
    (tmp_path / "q.txt").write_text("a film\nthe king\n")
    rows = list(
        map(json.loads, vecsearch("query", folder, "--queries", tmp_path / "q.txt", "--explain", "-k", 3).out.splitlines())
    )
    best = max(row["score"] for row in rows)
    ran = vecsearch("query", folder, "--queries", tmp_path / "q.txt", "--explain", "--min-score", best - 1e-6)
    assert [row["explanation"] for row in map(json.loads, ran.out.splitlines())] == [
        row["explanation"] for row in rows if row["score"] >= best - 1e-6
    ]
