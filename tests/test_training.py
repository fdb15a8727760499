"""Training for similarity: the network is the encoder, going on is never having stopped, and what can be wrong is said."""

import errno
import json
import os
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from conftest import WORDS, Told
from faults import failing, trace
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.encoders import UlmfitEncoder
from vecsearch.encoders.ulmfit.folder import read_encoder
from vecsearch.errors import DataError, ResourceError, UsageError
from vecsearch.metric import normalise
from vecsearch.training import checkpoint
from vecsearch.training.checkpoint import Checkpoint
from vecsearch.training.examples import Alike, Distilled, by_length, vectors_of
from vecsearch.training.loop import Plan
from vecsearch.training.network import Network
from vecsearch.training.teacher import BLOCK, Teacher, turned
from vecsearch.training.train_similarity import New, TrainingData, train_similarity

PLAN = Plan(epochs=4, batch=8, rate=0.01, evaluations=4)
SIZES = (8, 10, 8)


def sentences(count, seed=0):
    """Texts of the tiny vocabulary, no two of them equal."""
    rng = np.random.default_rng(seed)
    made = {}
    while len(made) < count:
        made[" ".join(rng.choice(WORDS[9:-4], rng.integers(3, 8)))] = None
    return list(made)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    records = [
        {"id": f"d{i}", "title": text.split()[0], "text": f"{text}. {text.title()}."} for i, text in enumerate(sentences(120))
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def teacher(tmp_path):
    """Vectors for the corpus: what the mean of random vectors of its words is."""
    words = dict(zip(WORDS, np.random.default_rng(5).standard_normal((len(WORDS), 12)), strict=True))
    vectors = [sum(words[word] for word in text.split()) for text in sentences(120)]
    np.save(tmp_path / "teacher.npy", np.array(vectors, np.float32))
    return tmp_path / "teacher.npy"


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


# -- the network -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directions", [("forward",), ("forward", "backward")], ids=len)
@pytest.mark.parametrize("layers", [(-1,), (0, -1), (1,)], ids=str)
def test_the_network_gives_the_vectors_of_the_encoder(tiny_folder, monkeypatch, directions, layers):
    monkeypatch.setattr("vecsearch.encoders.torch_settings.fast_dtype", lambda: "float32")
    folder = tiny_folder(directions, SIZES)
    encoder = UlmfitEncoder(folder, layers=layers)
    network = Network(read_encoder(folder).stacks, tuple(sorted(layer % 3 for layer in layers)), dropout=0.5).eval()
    texts = sentences(40)
    ids = [np.array(encoder.vocabulary.numericalise(encoder.tokens(text))) for text in texts]
    np.testing.assert_allclose(vectors_of(network, ids, batch=7), normalise(encoder.encode(texts)), atol=1e-5)
    stored = read_encoder(folder).stacks[directions[-1]]
    np.testing.assert_array_equal(network.tensors()[f"{directions[-1]}.lstm.1.weight_hh"], stored.layers[1].weight_hh)


def test_dropout_is_for_training_alone(tiny_folder):
    import torch

    network = Network(read_encoder(tiny_folder(("forward",), SIZES)).stacks, (0, 2), dropout=0.5)
    ids = [np.array([2, 10, 11, 12])]
    torch.manual_seed(0)
    with torch.inference_mode():
        drawn, other = network.train()(ids), network(ids)
        assert not torch.equal(drawn, other) and torch.equal(network.eval()(ids), network(ids))


@given(st.lists(st.integers(1, 50), min_size=2, max_size=300), st.integers(2, 20), st.integers(0, 5))
@settings(max_examples=50)
def test_batches_hold_each_example_once(lengths, batch, seed):
    batches = by_length(np.array(lengths), batch, np.random.default_rng(seed))
    found = np.concatenate(batches)
    assert len(set(found.tolist())) == len(found) and len(lengths) - 1 <= len(found) <= len(lengths)
    assert max(map(len, batches)) <= batch and min(map(len, batches)) >= 1


# -- the teacher -------------------------------------------------------------------------------------------------------


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 9))
@settings(max_examples=40)
def test_targets_are_turned_and_stay_alike(size, dim, seed):
    rng = np.random.default_rng(seed)
    targets, vectors = normalise(rng.standard_normal((50, size)).astype(np.float32)), rng.standard_normal((30, dim))
    found = turned(targets, vectors.astype(np.float32))
    assert found.shape == (50, dim) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
    if size <= dim:
        np.testing.assert_allclose(found @ found.T, targets @ targets.T, atol=1e-4)


def test_targets_come_to_lie_on_the_students_vectors():
    rng = np.random.default_rng(0)
    vectors = normalise(rng.standard_normal((200, 6)).astype(np.float32))
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0].astype(np.float32)
    np.testing.assert_allclose(turned(vectors @ rotation, vectors[:100]), vectors, atol=1e-4)


def test_what_a_teacher_has_encoded_is_kept(tiny_folder, tmp_path):
    folder, texts, kept = tiny_folder(("forward",), SIZES), sentences(2 * BLOCK + 9), tmp_path / "kept"

    def stop(name, done):
        if done == BLOCK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Teacher(folder).vectors(texts, kept, progress=Told(stop))
    assert kept.stat().st_size == BLOCK * 4 * 8
    with kept.open("ab") as file:
        file.write(b"half")
    seen = Told()
    vectors = Teacher(folder).vectors(texts, kept, progress=seen)
    assert seen.steps == {"texts by the teacher": [2 * BLOCK, 2 * BLOCK + 9]}
    np.testing.assert_allclose(vectors, normalise(UlmfitEncoder(folder, dtype="auto").encode(texts)), atol=2e-2)


# -- learning ----------------------------------------------------------------------------------------------------------


def learnt(vecsearch, *arguments):
    ran = vecsearch("train", "similarity", *arguments, "--epochs", 4, "--batch", 8, "--rate", 0.01, "--json")
    return ran, json.loads(ran.out) if ran.out else None


def test_a_teachers_likenesses_are_learnt(vecsearch, corpus, teacher, tiny_folder, tmp_path):
    start = tiny_folder(("forward",), SIZES)
    ran, row = learnt(vecsearch, corpus, "--teacher", teacher, "--from", start, "-o", tmp_path / "new")
    assert ran.code == 0, ran.err
    assert row["source"] == "a teacher" and row["examples"] == 120 and row["after"] > row["before"] + 0.1
    new = UlmfitEncoder(tmp_path / "new")
    assert new.dim == 8 and new.layers == (-1,) and new.source["training"] == "a teacher"
    above, truth = np.triu_indices(120, 1), normalise(np.load(teacher))
    before, after = (normalise(UlmfitEncoder(folder).encode(sentences(120))) for folder in (start, tmp_path / "new"))
    agreement = [np.corrcoef((vectors @ vectors.T)[above], (truth @ truth.T)[above])[0, 1] for vectors in (before, after)]
    assert agreement[1] > agreement[0] + 0.1
    assert {path.name for path in tmp_path.iterdir()} == {"new", "corpus.jsonl", "teacher.npy"}


def test_a_new_encoder_has_the_words_of_the_texts(vecsearch, corpus, tiny_folder, tmp_path):
    teacher = tiny_folder(("forward",), SIZES)
    options = ("--words", 30, "--dims", "8,6,8", "-o", tmp_path / "new", "--full", "--batch", 8, "--epochs", 4, "--json")
    ran = vecsearch("train", "similarity", corpus, "--teacher", teacher, *options)
    assert ran.code == 0, ran.err
    row = json.loads(ran.out)
    opened = read_encoder(tmp_path / "new")
    assert opened.config.layers == (0, -1) and opened.stacks["forward"].dims == (8, 6, 8)
    assert len(opened.vocabulary) <= 30 and {"king", "queen"} & set(opened.vocabulary.words)
    assert opened.stacks["forward"].embedding.table.dtype == np.float32 and row["after"] > row["before"]


@pytest.mark.parametrize("kind", ["pairs", "scored pairs", "groups", "titles", "neighboring sentences", "dropout"])
def test_each_kind_of_data_is_learnt_from(vecsearch, corpus, tiny_folder, tmp_path, kind):
    texts, turns = sentences(120), sentences(120, seed=1)
    data, options = corpus, ()
    if kind == "pairs":
        data = write(tmp_path / "pairs.tsv", ["a\tb", *(f"{a}\t{a} {b}" for a, b in zip(texts, turns, strict=True))])
    if kind == "scored pairs":
        lines = (f"{a}\t{b}\t{len(set(a.split()) & set(b.split()))}" for a, b in zip(texts, turns, strict=True))
        data = write(tmp_path / "pairs.tsv", ["a\tb\tscore", *lines])
    if kind == "groups":
        groups = ({"texts": [a, f"{a} {b}", f"{b} {a}"]} for a, b in zip(texts, turns, strict=True))
        data = write(tmp_path / "groups.jsonl", map(json.dumps, groups))
    if kind == "titles":
        options = ("--title", "title")
    if kind == "neighboring sentences":
        options = ("--neighbors",)
    start = tiny_folder(("forward",), SIZES)
    ran, row = learnt(vecsearch, data, *options, "--from", start, "-o", tmp_path / "new")
    assert row["source"] == kind and row["examples"] == 120
    assert ran.code == (0 if row["after"] > row["before"] else 1) and (tmp_path / "new").exists() == (ran.code == 0)


def test_groups_are_drawn_from_each_time(tiny_folder):
    groups = [[np.array([i]), np.array([i + 1]), np.array([i + 2])] for i in range(10, 14)]
    seen = []

    class Watching(Network):
        def forward(self, texts):
            seen.append([int(text[0]) for text in texts])
            return super().forward(texts)

    network = Watching(read_encoder(tiny_folder(("forward",), SIZES)).stacks, (2,), dropout=0)
    examples = Alike(groups, 1, 3)
    for step in range(20):
        examples.loss(network, np.arange(3), np.random.default_rng(step))
    firsts, seconds = (np.array(seen)[:, part] - [11, 12, 13] for part in (slice(3), slice(3, 6)))
    assert set(firsts.ravel()) == set(seconds.ravel()) == {0, 1, 2} and (firsts != seconds).all()


@pytest.mark.parametrize("shared", ["first", "second", "none"])
def test_pairs_that_share_a_text_are_not_told_apart(tiny_folder, shared):
    network = Network(read_encoder(tiny_folder(("forward",), SIZES)).stacks, (2,), dropout=0).eval()
    questions, answers = [[10, 11], [12]], [[13], [14, 15]]
    shares = shared != "none"
    if shares:
        one = questions if shared == "first" else answers
        one[1] = one[0]
    groups = [list(map(np.array, pair)) for pair in zip(questions, answers, strict=True)]
    loss = float(Alike([*groups, *groups], 2, 2).loss(network, np.arange(2), np.random.default_rng(0)).detach())
    assert (loss == 0) is shares
    assert not shares or Alike([*groups, *groups], 2, 2).score(network) == 1


def test_what_is_no_better_is_not_written(vecsearch, corpus, teacher, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("vecsearch.training.examples.Distilled.score", lambda self, network: 0.5)
    ran, row = learnt(
        vecsearch, corpus, "--teacher", teacher, "--from", tiny_folder(("forward",), SIZES), "-o", tmp_path / "new"
    )
    assert ran.code == 1 and "no better" in ran.err and row["before"] == row["after"] == 0.5
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".*"))


# -- interruptions -----------------------------------------------------------------------------------------------------


def trained(tiny_folder, corpus, teacher, output, *, stop_at=None, resume=False, plan=PLAN, start=None, title=None):
    def stop(stage, done):
        if stage == "steps" and done == stop_at:
            raise KeyboardInterrupt

    return train_similarity(
        TrainingData([corpus], teacher=teacher, title=title),
        output,
        start=start or tiny_folder(("forward",), SIZES),
        plan=plan,
        resume=resume,
        progress=Told(stop),
    )


@pytest.mark.parametrize("stop_at", [1, 14, 27, 54])
def test_going_on_is_never_having_stopped(tiny_folder, corpus, teacher, tmp_path, monkeypatch, stop_at):
    whole = trained(tiny_folder, corpus, teacher, tmp_path / "whole")
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        trained(tiny_folder, corpus, teacher, tmp_path / "parts", stop_at=stop_at)
    assert (tmp_path / ".parts.training/options.json").exists() and not (tmp_path / "parts").exists()
    parts = trained(tiny_folder, corpus, teacher, tmp_path / "parts", resume=True)
    assert parts.score == whole.score
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("stop_at", [3, 20, 40])
def test_a_new_encoder_goes_on_as_well(tiny_folder, corpus, tmp_path, monkeypatch, stop_at):
    """With words that learn before the layers do, by gradients that are sparse, and titles beside the texts."""
    given = (tiny_folder, corpus, tiny_folder(("forward",), SIZES, seed=3))
    new = {"start": New(30, (8, 8), words_first=1), "title": "title", "plan": Plan(epochs=1, batch=8, rate=0.01)}
    whole = trained(*given, tmp_path / "whole", **new)
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        trained(*given, tmp_path / "parts", stop_at=stop_at, **new)
    assert trained(*given, tmp_path / "parts", resume=True, **new).score == whole.score
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_words_learn_before_the_layers(tiny_folder, corpus, tmp_path, monkeypatch):
    import torch

    words_only, weights = [], []
    real = Distilled.loss

    def loss(self, network, *arguments):
        words_only.append(network.words_only)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in network.lstms.parameters()]))
        return real(self, network, *arguments)

    monkeypatch.setattr(Distilled, "loss", loss)
    plan = Plan(epochs=1, batch=8, rate=0.01)
    trained(
        tiny_folder, corpus, tiny_folder(("forward",), SIZES, seed=3), tmp_path / "new", start=New(30, (8, 8), 2), plan=plan
    )
    steps = len(weights) // 3
    assert words_only == [True] * 2 * steps + [False] * steps
    assert [torch.equal(before, after) for before, after in pairwise(weights)] == [True] * 2 * steps + [False] * (steps - 1)


def test_a_teacher_says_something_of_titles_too(tiny_folder, tmp_path):
    """Those that are there: a text without one is learnt as it is, and a title that is no text is named."""
    folder = tiny_folder(("forward",), SIZES)
    records = [
        {"text": text, **({"title": "king " + text.split()[0]} if n % 2 else {})} for n, text in enumerate(sentences(120))
    ]
    corpus = write(tmp_path / "half.jsonl", map(json.dumps, records))
    new = {"start": New(30, (8, 8), 2), "plan": Plan(epochs=8, batch=8, rate=0.01), "title": "title"}
    found = trained(tiny_folder, corpus, folder, tmp_path / "new", **new)
    assert found.kind == "a teacher" and found.examples == 120 and found.written
    embedding = read_encoder(tmp_path / "new").stacks["forward"].embedding
    assert embedding.table.dtype == np.int8 and embedding.scales.dtype == np.float32
    write(corpus, map(json.dumps, [*records, {"text": "a king", "title": ["no text"]}]))
    with pytest.raises(DataError, match="the field 'title' is"):
        trained(tiny_folder, corpus, folder, tmp_path / "other", **new)


def test_pairs_are_batches_of_their_own():
    texts = [np.full(n + 1, n) for n in range(30)]
    targets = normalise(np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32))
    pairs = np.array([(20, 21), (22, 23), (24, 27), (28, 29)])
    examples = Distilled(texts, targets, 6, 4, pairs)
    for seed in range(3):
        batches = examples.batches(np.random.default_rng(seed))
        alone = sorted(int(i) for batch in batches if batch.ndim == 1 for i in batch)
        assert alone == sorted(set(range(6, 30)) - set(pairs.ravel().tolist()))
        assert sorted(map(tuple, np.concatenate([batch for batch in batches if batch.ndim == 2]).tolist())) == sorted(
            map(tuple, pairs.tolist())
        )


def test_an_interruption_says_how_it_goes_on(vecsearch, corpus, teacher, tiny_folder, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Distilled, "loss", stop)
    ran, _ = learnt(vecsearch, corpus, "--teacher", teacher, "--from", tiny_folder(("forward",), SIZES), "-o", tmp_path / "new")
    assert ran.code == 130 and f"{tmp_path / '.new.training'}: the same command with --resume continues" in ran.err


def test_only_the_same_training_goes_on(tiny_folder, corpus, teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        trained(tiny_folder, corpus, teacher, tmp_path / "new", stop_at=5)
    with pytest.raises(UsageError, match=r"cannot resume: .*new\.training was started with rate 0\.01, not 0\.02"):
        trained(
            tiny_folder, corpus, teacher, tmp_path / "new", resume=True, plan=Plan(epochs=4, batch=8, rate=0.02, evaluations=4)
        )
    begun = partial(trained, tiny_folder, corpus, teacher, tmp_path / "new", resume=True)
    config = tiny_folder(("forward",), SIZES) / "config.json"
    for path, changed, what in [
        (corpus, corpus.read_bytes().replace(b"king", b"queen"), "texts"),
        (teacher, teacher.read_bytes()[:-1] + b"\1", "teacher"),
        (config, config.read_bytes().replace(b'"source"', b' "source"'), "from"),
    ]:
        before = path.read_bytes()
        path.write_bytes(changed)
        with pytest.raises(UsageError, match=f"was started with {what} "):
            begun()
        path.write_bytes(before)
    assert (tmp_path / ".new.training/state.safetensors").exists()


def test_a_damaged_checkpoint_is_named(tiny_folder, corpus, teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        trained(tiny_folder, corpus, teacher, tmp_path / "new", stop_at=5)
    state = tmp_path / ".new.training/state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"state\.safetensors is damaged .* start again without --resume"):
        trained(tiny_folder, corpus, teacher, tmp_path / "new", resume=True)


def test_a_disk_that_refuses_a_checkpoint_keeps_the_one_before(tmp_path):
    import torch

    checkpoint = Checkpoint(tmp_path / "new", {"rate": 1})
    with checkpoint.preparing(resume=False):
        pass
    checkpoint.save({"x": torch.ones(3)}, {"step": 1})
    steps = [name for name, _ in trace(lambda: checkpoint.save({"x": torch.ones(3)}, {"step": 1}))]
    for at in range(steps.index("replace") + 1):
        with failing(errno.ENOSPC, at), pytest.raises(ResourceError, match="no space left"):
            checkpoint.save({"x": torch.zeros(3)}, {"step": 2})
        tensors, facts = checkpoint.load()
        assert facts == {"step": 1} and torch.equal(tensors["x"], torch.ones(3))
    assert checkpoint.load()[1] == {"step": 1}


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, code, message",
    [
        (["--teacher", "short.npy"], 3, "short.npy has 3 vectors for 120 texts"),
        (["--teacher", "zero.npy"], 3, "has no vectors but zero"),
        (["--teacher", "missing"], 3, "no encoder folder missing"),
        (["--teacher", "there"], 3, "there is not an encoder folder"),
        (["--teacher", "empty.npy"], 3, "empty.npy is empty: 0 rows of 4 numbers"),
        (["--teacher", "flat.npy"], 3, "flat.npy has 1 dimensions"),
        (["--teacher", "there", "--words", "30"], 3, "there is not an encoder folder"),
        (["--teacher", "zero.npy", "--words", "30"], 2, "zero.npy has no vectors of words"),
        (["--words", "30"], 2, "a new encoder learns from a teacher"),
        (["--words", "30", "--from", "english"], 2, "--from"),
        (["--words", "30", "--new-words", "5"], 2, "--new-words"),
        (["--dims", "8,8"], 2, "--words"),
        (["--words-first", "3"], 2, "--words-first"),
        (["--words", "30", "--dims", "8,4"], 2, "a last layer of the same size"),
        (["--dims", "x"], 2, "'x' is not a list of whole numbers"),
        (["--title", "title", "--neighbors"], 2, "choose one of neighbors and of what a teacher or titles say"),
        (["--title", "nothing"], 3, "line 1: the field 'nothing' is None, not a text"),
        (["--columns", "a"], 2, "names two texts and perhaps a score, not 1"),
        (["--columns", "a,b"], 3, "has no column 'a'"),
        (["-o", "there"], 2, "there exists and is not empty"),
    ],
)
def test_what_makes_no_sense_is_refused(vecsearch, corpus, tmp_path, monkeypatch, options, code, message):
    monkeypatch.chdir(tmp_path)
    np.save("short.npy", np.ones((3, 4), np.float32))
    np.save("zero.npy", np.zeros((120, 4), np.float32))
    np.save("empty.npy", np.zeros((0, 4), np.float32))
    np.save("flat.npy", np.ones(120, np.float32))
    os.mkdir("there")
    write(tmp_path / "there/file", "x")
    ran = vecsearch("train", "similarity", corpus, "-o", "new", *options)
    assert ran.code == code and message in ran.err.replace("\n", " ")
    assert not os.path.exists("new") and not os.path.exists(".new.training")


@pytest.mark.parametrize("lines, message", [([], "holds no documents"), (["one text"], "1 examples are too few")])
def test_too_few_texts_are_refused(vecsearch, tmp_path, lines, message):
    ran = vecsearch("train", "similarity", write(tmp_path / "few.txt", lines), "-o", tmp_path / "new")
    assert ran.code == 3 and message in ran.err


@pytest.mark.parametrize(
    "lines, message",
    [
        (['{"a": "x", "b": "y"}', '{"a": "x"}'], 'data.jsonl, line 2: "b" is None, not a text'),
        (['{"a": "x", "b": ["y", "z"]}'], "data.jsonl, line 1: \"b\" is ['y', 'z'], not a text"),
        (['{"a": "x", "b": "y", "score": "high"}'], "data.jsonl, line 1: the score in \"score\" is 'high', not a number"),
        (['{"a": "x", "b": "y"}'] * 19, "19 examples are too few"),
        (['{"texts": ["x", "y"]}', '{"texts": ["x"]}'], 'data.jsonl, line 2: "texts" is not a list of at least two strings'),
    ],
)
def test_pairs_and_groups_of_a_wrong_shape_are_named(vecsearch, tmp_path, lines, message):
    ran = vecsearch("train", "similarity", write(tmp_path / "data.jsonl", lines), "-o", tmp_path / "new")
    assert ran.code == 3 and message in ran.err and not (tmp_path / "new").exists()


def test_pairs_with_scores_and_pairs_without_are_not_mixed(vecsearch, tmp_path):
    plain, scored = write(tmp_path / "plain.tsv", ["a\tb", "x\ty"]), write(tmp_path / "scored.tsv", ["a\tb\tscore", "x\ty\t1"])
    ran = vecsearch("train", "similarity", plain, scored, "-o", tmp_path / "new")
    assert ran.code == 3 and "some of these files have scores and some have none" in ran.err


@pytest.mark.parametrize("count", [20, 94])
def test_few_texts_are_learnt_from_a_teacher(vecsearch, tiny_folder, tmp_path, count):
    start = tiny_folder(("forward",), SIZES)
    texts = write(tmp_path / "texts.txt", sentences(count))
    ran, row = learnt(
        vecsearch, texts, "--teacher", tiny_folder(("forward",), SIZES, 1), "--from", start, "-o", tmp_path / "new"
    )
    assert row["examples"] == count and ran.code == (0 if row["after"] > row["before"] else 1)


def test_files_of_one_kind_alone(vecsearch, corpus, tmp_path):
    pairs = write(tmp_path / "pairs.tsv", ["a\tb", "x\ty"])
    ran = vecsearch("train", "similarity", corpus, pairs, "-o", tmp_path / "new")
    assert ran.code == 2 and "corpus and pairs are learnt from in different ways" in ran.err
    ran = vecsearch("train", "similarity", pairs, "--neighbors", "-o", tmp_path / "new")
    assert ran.code == 2 and "go with a corpus, not with pairs" in ran.err


def test_texts_without_a_known_word_are_left_out_and_counted(vecsearch, corpus, teacher, tiny_folder, tmp_path):
    records = [json.loads(line) for line in corpus.read_text().splitlines()]
    for record, letter in zip(records, "abcdefg", strict=False):
        record["text"] = f"zzy{letter}zx"
    write(corpus, map(json.dumps, records))
    ran, row = learnt(
        vecsearch, corpus, "--teacher", teacher, "--from", tiny_folder(("forward",), SIZES), "-o", tmp_path / "new"
    )
    assert "7 of 120 examples have a text without a known word" in ran.err and row["examples"] == 113


@pytest.mark.parametrize("wrong", ["pools by max", "has a postprocess"])
def test_a_start_whose_vectors_are_no_means_of_states_is_refused(vecsearch, corpus, tiny_folder, tmp_path, wrong):
    start, folder = tmp_path / "start", tiny_folder(("forward",), SIZES)
    if wrong == "pools by max":
        start.mkdir()
        UlmfitEncoder(folder, pooling="max").save(start)
    else:
        assert vecsearch("model", "postprocess", folder, corpus, "-o", start, "--centre").code == 0
    ran = vecsearch("train", "similarity", corpus, "--from", start, "-o", tmp_path / "new")
    assert ran.code == 3 and wrong in ran.err and not (tmp_path / "new").exists()


def test_a_new_start_without_a_word_is_refused(tiny_folder, tmp_path):
    path = write(tmp_path / "once.txt", [f"word{i}" for i in range(50)])
    with pytest.raises(DataError, match="no word occurs 2 times"):
        train_similarity(
            TrainingData([path], teacher=tiny_folder(("forward",), SIZES)), tmp_path / "new", start=New(30, (8, 8)), plan=PLAN
        )
