"""An index that several processes build is the one that a single process builds: to the bit, counts and errors included."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import sentence_models
from conftest import AxisEncoder, Told, documents, refused, rows
from engines import Here
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import Chunks, Corpus, Document, Index, Options, UlmfitEncoder
from vecsearch.distributed import Pool, build
from vecsearch.distributed.crew import Crew
from vecsearch.encoders import Encoder, TransformerEncoder
from vecsearch.errors import CorpusError, LostError, ResourceError, UsageError, VectorsError
from vecsearch.index import blocks
from vecsearch.progress import SILENT
from vecsearch.store.verify import Verification, verify

BLOCK = 4096


class Letters(AxisEncoder):
    """Counts how many texts were encoded, wherever that was: a byte of a file for each; and does what a text says. It takes
    `pause` seconds for each block."""

    def __init__(self, path: Path, pause: float = 0) -> None:
        self.path, self.pause = path, pause

    def encode(self, texts):
        time.sleep(self.pause)
        with self.path.open("ab") as file:
            file.write(b"." * len(texts))
        for text in texts:
            if text == "die once" and not self.path.with_suffix(".died").exists():
                self.path.with_suffix(".died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if text == "die":
                os.kill(os.getpid(), signal.SIGKILL)
        vectors = super().encode(texts)
        vectors[[text == "nan" for text in texts]] = np.nan
        return vectors

    @property
    def encoded(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


@pytest.fixture
def letters(tmp_path):
    return Letters(tmp_path / "encoded")


@pytest.fixture
def few(monkeypatch):
    """Blocks of three documents."""
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 3)


def assert_same(one: Index, other: Index, queries: list[str], *, language: bool = True) -> None:
    """Whatever is asked, both answer the same to the bit, and their manifests say the same of the documents."""
    assert len(one) == len(other)
    every = range(one.manifest.rows)
    np.testing.assert_array_equal(one.vectors(every), other.vectors(every))
    assert one.documents(every) == other.documents(every)
    for ask in ("query", "keywords", "hybrid"):
        assert getattr(one, ask)(queries, k=50) == getattr(other, ask)(queries, k=50), ask
    for name in ("metric", "dim", "rows", "goal", "chunks", "counts", "provenance", "keep", "language"):
        assert getattr(one.manifest, name) == getattr(other.manifest, name), name
    encoders = [{name: index.manifest.encoder[name] for name in ("fingerprint", "dtype")} for index in (one, other)]
    assert encoders[0] == encoders[1]
    assert verify(other.folder) == Verification([], [])


def texts(words: list[str], count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(words, size)) for size in rng.integers(0, 9, count)]


# -- the same as one process ----------------------------------------------------------------------------------------------


WORDS = ["the", "king", "queen", "sat", "on", "a", "bank", "of", "river", "unknown", "he", "city", "war", "."]


def encoder_of(kind: str, dtype: str, tiny_folder, folder: Path) -> Encoder:
    if kind == "ulmfit":
        return UlmfitEncoder(tiny_folder(), dtype=dtype)
    folder.mkdir()
    return TransformerEncoder(sentence_models.write_model(folder), dtype=dtype)


@pytest.mark.parametrize(
    "kind, dtype, workers, chunks",
    [
        ("ulmfit", "float32", 2, Chunks(4, 1)),
        *[
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("ulmfit", "float32", 3, None),
                ("ulmfit", "bfloat16", 8, None),
                ("transformer", "float32", 2, None),
                ("transformer", "bfloat16", 3, Chunks(5)),
            ]
        ],
    ],
)
def test_processes_build_what_one_builds(tmp_path, tiny_folder, kind, dtype, workers, chunks):
    encoder = encoder_of(kind, dtype, tiny_folder, tmp_path / "encoder")
    corpus = partial(
        Corpus,
        [Document(f"d{i}", text, {"n": i}) for i, text in enumerate(texts(WORDS, BLOCK + 99))],
        "made",
        {"by": "test"},
    )
    options = Options(chunks=chunks, keep=2)
    told = Told()
    with Pool(workers) as engine:
        other = build(tmp_path / "many", corpus(), encoder, options, engine=engine, shard_rows=1, progress=told)
    encoder = encoder_of(kind, dtype, tiny_folder, tmp_path / "again")  # its tally begins again
    with Index.build(tmp_path / "one", corpus(), encoder, options) as one, other:
        assert_same(one, other, ["the king", "a river bank", "unknown"])
        assert len(other.manifest.segments) == 2
    assert told.steps["documents"][-1] == BLOCK + 99


@given(
    held=st.lists(st.text("abc ", max_size=5), min_size=1, max_size=25),
    rows=st.integers(1, 13),
    long=st.integers(1, 12),
    split=st.booleans(),
)
@settings(max_examples=8)
def test_any_shards_of_any_documents(tmp_path_factory, held, rows, long, split):
    place, chunks = tmp_path_factory.mktemp("any"), Chunks(2) if split else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_DOCUMENTS", 3)
        patch.setattr(blocks, "BLOCK_CHARACTERS", long)
        encoder, options = AxisEncoder(), Options(metric="ip", chunks=chunks)
        with (
            Index.build(place / "one", documents(*held), encoder, options) as one,
            build(place / "many", documents(*held), encoder, options, engine=Here(), shard_rows=rows) as many,
        ):
            assert_same(one, many, ["a", "b c", "cab"])
            documents_of = [segment["documents"] for segment in many.manifest.segments]
            assert sum(documents_of) == len(held)
            assert max(documents_of) <= 3 * -(-rows // 3)


def test_the_language_is_that_of_the_first_shard_and_said_where_it_is_not_most(tmp_path, few):
    german = "Der Koch rührt die Suppe, und die Kinder warten am Tisch auf das Essen, das noch nicht fertig ist. "
    english = "The cook stirs the soup, and the children wait at the table for the food that is not ready yet. "
    told = Told()
    mixed = documents(*[german] * 3, *[english] * 20)
    with build(tmp_path / "i", mixed, AxisEncoder(), engine=Here(), shard_rows=3, progress=told) as index:
        assert index.manifest.language == "de"
    assert len(told.notes) == 1 and "'de'" in told.notes[0] and "'en'" in told.notes[0]
    told = Told()
    with build(tmp_path / "j", mixed, AxisEncoder(), Options(language="en"), engine=Here(), progress=told) as index:
        assert index.manifest.language == "en" and told.notes == []


def test_commands_build_several_files_by_a_pattern(tmp_path, vecsearch, tiny_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b", "a", "c"):
        Path(f"{name}.jsonl").write_text("".join(f'{{"id": "{name}{i}", "text": "the king {name} {i}"}}\n' for i in range(3)))
    encoder = ["--encoder", tiny_folder()]
    (one,) = rows(vecsearch("build", "?.jsonl", "-o", "one", *encoder))
    (many,) = rows(vecsearch("build", "?.jsonl", "-o", "many", "--workers", 2, "--shard-rows", 5000, *encoder))
    assert one | {"index": "many"} == many and one["rows"] == 9
    with Index.open("one") as plain, Index.open("many") as index:
        assert_same(plain, index, ["the king"])
        assert [document.id for document in index.documents(range(4))] == ["a0", "a1", "a2", "b0"]
    refused(vecsearch("build", "x*.jsonl", "-o", "none", *encoder), 3, "x*.jsonl")
    refused(vecsearch("build", "a.jsonl", "-o", "none", "--shard-rows", 5, *encoder), 2, "--shard-rows", "--workers")
    refused(vecsearch("build", "--vocabulary", "-o", "none", "--workers", 2, *encoder), 2, "--workers", "--vocabulary")
    assert not Path("none").exists()


def test_a_folder_that_processes_have_indexed_is_followed(tmp_path, vecsearch, tiny_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("notes").mkdir()
    for name in ("a", "b"):
        Path(f"notes/{name}.md").write_text(f"# {name}\n\nthe king\n\n## more\n\nthe queen\n")
    assert rows(vecsearch("build", "notes", "-o", "i", "--workers", 1, "--encoder", tiny_folder()))[0]["rows"] == 4
    Path("notes/c.md").write_text("# c\n\nthe river\n")
    (synced,) = rows(vecsearch("sync", "i"))
    assert (synced["new"], synced["changed"], synced["gone"], synced["passages"]) == (1, 0, 0, 5)


# -- gone on with -----------------------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


def stopped_after(shards: int) -> Told:
    def then(name: str, done: int) -> None:
        if name == "documents" and done >= 3 * shards:
            raise Stop

    return Told(then)


def test_resume_encodes_nothing_twice(tmp_path, few, letters):
    held = documents(*[f"a{'b' * (i % 5)} {i}" for i in range(20)])
    with pytest.raises(Stop):
        build(tmp_path / "i", held, letters, engine=Here(), shard_rows=3, progress=stopped_after(4))
    before = letters.encoded
    assert before == 12
    with pytest.raises(UsageError, match="--resume"):
        build(tmp_path / "i", held, letters, engine=Here(), shard_rows=3)
    with pytest.raises(UsageError, match="shard_rows"):
        build(tmp_path / "i", held, letters, engine=Here(), shard_rows=6, resume=True)
    with pytest.raises(UsageError, match="cannot resume"):
        Index.build(tmp_path / "i", held, letters, resume=True)
    told = Told()
    with build(tmp_path / "i", held, letters, engine=Here(5), shard_rows=3, resume=True, progress=told) as index:
        assert [document.id for document in index.documents(range(20))] == [f"d{i}" for i in range(20)]
    assert letters.encoded == 20
    assert told.steps["documents"][-1] == 20
    assert verify(tmp_path / "i") == Verification([], [])


def test_a_corpus_that_was_mended_is_encoded_where_it_has_changed(tmp_path, few, letters):
    held = documents(*[f"a {i}" for i in range(12)])
    doubled = [*held[:10], Document("d1", "again"), held[11]]
    with pytest.raises(CorpusError, match=r"^document 10: the id 'd1' is already that of document 1 \(counted from 0\)"):
        build(tmp_path / "i", doubled, letters, engine=Here(), shard_rows=3)
    assert letters.encoded == 12
    with build(tmp_path / "i", held, letters, engine=Here(), shard_rows=3, resume=True) as index:
        assert len(index) == 12
    assert letters.encoded == 15
    assert verify(tmp_path / "i") == Verification([], [])


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "record", "claim"])
def test_a_shard_is_trusted_only_with_its_files(tmp_path, few, letters, damage):
    held = documents(*[f"a {i}" for i in range(9)])
    with pytest.raises(Stop):
        build(tmp_path / "i", held, letters, engine=Here(), shard_rows=3, progress=stopped_after(2))
    (made, *_) = sorted((tmp_path / "i/segments").glob("000001-0-*"))
    vectors, (claim,) = made / "vectors.npy", (tmp_path / "i/segments").glob("*-shards-*/0-*.json")
    if damage == "cut":
        os.truncate(vectors, 140)
    elif damage == "flipped":
        vectors.write_bytes(vectors.read_bytes()[:-1] + b"\x01")
    elif damage == "gone":
        vectors.unlink()
    elif damage == "record":
        (made / "segment.json").write_text("{}")
    else:
        claim.write_text("{")
    with build(tmp_path / "i", held, letters, engine=Here(), shard_rows=3, resume=True) as index:
        np.testing.assert_array_equal(index.vectors(range(9)), AxisEncoder().encode([document.text for document in held]))
    assert letters.encoded == 12
    assert verify(tmp_path / "i") == Verification([], [])


def test_a_new_build_takes_nothing_over(tmp_path, few, letters):
    held = documents(*[f"a {i}" for i in range(9)])
    with pytest.raises(Stop):
        build(tmp_path / "i", held, letters, engine=Here(), shard_rows=3, progress=stopped_after(2))
    with build(tmp_path / "i", held, letters, engine=Here(), shard_rows=3, replace=True) as index:
        assert len(index) == 9
    assert letters.encoded == 15
    assert verify(tmp_path / "i") == Verification([], [])


# -- what goes wrong ----------------------------------------------------------------------------------------------------


BAD = {
    "taken id": (Document("d1", "a", where="x.jsonl, line 8"), CorpusError),
    "nan": (Document("new", "nan", where="x.jsonl, line 8"), VectorsError),
    "empty id": (Document("", "a", where="x.jsonl, line 8"), CorpusError),
}


@pytest.mark.parametrize("bad", BAD)
def test_errors_are_those_of_one_process(tmp_path, few, letters, bad):
    document, kind = BAD[bad]
    held = [*documents(*[f"a {i}" for i in range(7)]), document, *documents("b")[1:]]
    said = []
    for work in (partial(Index.build, tmp_path / "one"), partial(build, tmp_path / "many", engine=Here(), shard_rows=30)):
        with pytest.raises(kind) as raised:
            work(held, letters)
        said.append(str(raised.value))
    assert said[0] == said[1]


def test_the_first_error_in_the_order_of_the_corpus_is_raised(tmp_path, few, letters):
    def held():
        yield from documents("a", "a", "a", "a", "nan", "a")
        yield Document("x", "nan")
        raise OSError("the corpus cannot be read on")

    with pytest.raises(VectorsError, match="'d4'"):
        build(tmp_path / "i", held(), letters, engine=Here(4), shard_rows=3)
    assert (tmp_path / "i/segments").exists()  # what was done can be resumed


def test_nothing_is_left_where_nothing_was_done(tmp_path, few, letters):
    with pytest.raises(VectorsError):
        build(tmp_path / "i", documents("nan"), letters, engine=Here())
    with pytest.raises(CorpusError, match="no document"):
        build(tmp_path / "i", [], letters, engine=Here())
    assert not (tmp_path / "i").exists()


def test_what_cannot_be_sent_to_workers_is_refused_first(tmp_path):
    class Local(AxisEncoder):
        pass

    with Pool(1) as engine, pytest.raises(TypeError, match="Local cannot be sent"):
        build(tmp_path / "i", documents("a"), Local(), engine=engine)
    with Pool(1) as engine, pytest.raises(TypeError, match="engine"):
        build(tmp_path / "i", documents("a"), AxisEncoder(), engine=Pool)
    with Pool(1) as engine, pytest.raises(UsageError, match="Nonsense"):
        build(tmp_path / "i", documents("a"), AxisEncoder(), Options(spec="Nonsense"), engine=engine)
    assert not (tmp_path / "i").exists()


def test_a_process_that_dies_is_replaced_and_its_shard_done_again(tmp_path, letters):
    """One block a shard: as many texts are encoded twice as the lost one had."""
    held = documents(*["a"] * BLOCK, "die once", *["b"] * 9)
    told = Told()
    with Pool(2) as engine, build(tmp_path / "i", held, letters, engine=engine, shard_rows=1, progress=told) as index:
        assert len(index) == BLOCK + 10
    assert letters.encoded == BLOCK + 20
    assert len([note for note in told.notes if "SIGKILL" in note]) == 1
    assert verify(tmp_path / "i") == Verification([], [])


def test_a_shard_that_ends_every_worker_is_given_up(tmp_path, letters, monkeypatch):
    monkeypatch.setattr("vecsearch.distributed.crew.TRIES", 2)
    with Pool(1) as engine, pytest.raises(ResourceError, match="2 workers"):
        build(tmp_path / "i", documents(*["a"] * BLOCK, "die"), letters, engine=engine, shard_rows=1)
    assert letters.encoded == BLOCK + 2
    with pytest.raises(UsageError, match="unfinished"):
        Index.build(tmp_path / "i", documents("a"), AxisEncoder())


def refuse(*_):
    raise CorpusError("it cannot be made")


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def held_and(held, more):
    return held, more, os.environ["OMP_NUM_THREADS"], os.getpid()


def test_pool():
    with Pool(2) as pool:
        assert sum(pool.nodes().values()) == pool.free() == 2
        first, second = pool.worker(str, 5, threads=3), pool.worker(refuse)
        assert first.ready.result() is None and pool.free() == 0
        held, more, threads, process = first.submit(held_and, "x").result()
        assert (held, more, threads) == ("5", "x", "3") and process != os.getpid()
        for future in (second.ready, second.submit(held_and, 1)):
            with pytest.raises(CorpusError, match="cannot be made"):
                future.result()
        with pytest.raises(CorpusError):
            first.submit(refuse).result()
        with pytest.raises(TypeError, match="cannot send"):
            first.submit(lock).result()
        killed, after = first.submit(die), first.submit(held_and, 1)
        for future in (killed, after, first.submit(held_and, 2)):
            with pytest.raises(LostError, match="SIGKILL"):
                future.result()
        with pytest.raises(LostError, match="nowhere"):
            pool.worker(str, node="nowhere")
    with pytest.raises(UsageError):
        Pool(0)


class Paired(Here):
    """Workers that are done only when two of them are at it."""

    def __init__(self) -> None:
        super().__init__(2)
        self.asked: list[Future] = []

    def worker(self, *arguments, **options):
        worker = super().worker(*arguments, **options)
        worker.submit = self.submit
        return worker

    def submit(self, *_):
        self.asked.append(mine := Future())
        alone = threading.Timer(5, mine.set_exception, [AssertionError("it was left alone")])
        mine.add_done_callback(lambda _: alone.cancel())
        alone.start()
        if len(self.asked) == 2:
            for future in self.asked:
                future.set_result(1)
            self.asked = []
        return mine


def test_every_worker_of_a_crew_has_something_to_do():
    """In one round of tasks after the other, by the same workers."""
    engine = Paired()
    with Crew(engine, 2, str, progress=SILENT) as crew:
        for _ in range(2):
            assert sum(done for _, done in crew.results(str, range(6))) == 6
    assert engine.started == 2


def lock(held):
    return threading.Lock()
