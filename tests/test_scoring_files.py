"""Many files of pairs scored into folders: each as it is alone, by however many processes, and whatever ends whoever works."""

from __future__ import annotations

import csv
import errno
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from conftest import AxisEncoder, Told
from engines import Forking, Here
from faults import FULL, failing, killed, moments
from store_builds import QUICK_DISK
from test_distributed import WORDS, Letters
from test_distributed_faults import alone, killed_once

from vecsearch import UlmfitEncoder, distributed
from vecsearch.corpus.pairs import read_pairs
from vecsearch.distributed import Pool
from vecsearch.encoders import Encoder
from vecsearch.errors import CorpusError, LockedError, ResourceError, UsageError
from vecsearch.matching.judges import EncoderJudge
from vecsearch.matching.scoring_files import score_files
from vecsearch.matching.scoring_plan import FOLDERS, Scoring
from vecsearch.matching.scoring_run import Output, ScoringRun, split_by
from vecsearch.progress import SILENT

RULE = ("cosine", 0.5)
NAMES = ["a.jsonl", "b.csv", "c.tsv", "d.jsonl", "e.jsonl"]
"""What the outputs of `write_files` are called."""


def write_files(folder: Path, words: list[str], count: int = 7) -> Path:
    """Five files of pairs, each of another format."""
    import pyarrow
    import pyarrow.parquet

    rng = np.random.default_rng(0)
    folder.mkdir()

    def some(n: int) -> list[dict]:
        sides = [[" ".join(rng.choice(words, size)) for size in rng.integers(0, 6, count + n)] for _ in range(2)]
        return [{"n": i, "query": a, "result": b} for i, (a, b) in enumerate(zip(*sides, strict=True))]

    lines = ["".join(json.dumps(row) + "\n" for row in some(n)) for n in range(2)]
    (folder / "a.jsonl").write_text(lines[0])
    for number, (name, delimiter) in enumerate((("b.csv", ","), ("c.tsv", "\t"))):
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, ["n", "query", "result"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(some(number))
    (folder / "d.jsonl.gz").write_bytes(gzip.compress(lines[1].encode()))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(some(3)), folder / "e.parquet")
    return folder


def scoring_in(place: Path, **more) -> Scoring:
    return Scoring(**{name: place / name for name in FOLDERS}, threshold=RULE, **more)


def contents(place: Path) -> dict[str, bytes]:
    """What a person sees in the output folders."""
    paths = sorted(path for name in FOLDERS for path in (place / name).glob("[!.]*"))
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in paths}


def hidden(place: Path) -> list[str]:
    """What a person does not see there, less the records."""
    found = [path for name in FOLDERS for path in (place / name).rglob("*")]
    return [path.name for path in found if path.name.startswith(".") and path.name != ".scored"]


def each_alone(files: Path, place: Path, encoder: Encoder) -> dict[str, bytes]:
    """What scoring each file by itself as a stream writes."""
    judge, takes = EncoderJudge(encoder), split_by(RULE)
    for name in FOLDERS:
        (place / name).mkdir(parents=True)
    for path, name in zip(sorted(files.iterdir()), NAMES, strict=True):
        pairs = list(read_pairs(path, scored=False))
        scorer = judge.scorer([pair.a for pair in pairs[:8192]], [pair.b for pair in pairs[:8192]])
        outputs = [Output(place / folder / name, takes[folder]) for folder in FOLDERS]
        ScoringRun(outputs, {}, resume=False).run(iter(pairs), scorer, lambda: 0.0, SILENT)
    return contents(place)


@pytest.fixture
def place():
    with TemporaryDirectory(dir=QUICK_DISK) as name:
        write_files(Path(name) / "files", ["a", "b", "c", "x"])
        yield Path(name)


@pytest.fixture
def letters(place):
    return Letters(place / "encoded")


def score(place: Path, letters: Letters, engine=None, *, files=("files",), scoring=None, progress=SILENT, **options):
    """The files of the place, scored in this process or by an engine."""
    by = score_files if engine is None else partial(distributed.score_files, engine=engine)
    paths = [place / name for name in files]
    return by(paths, EncoderJudge(letters), scoring or scoring_in(place), progress=progress, **options)


# -- the same as one by one ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "real"),
    [(0, False), (2, False), *[pytest.param(number, True, marks=pytest.mark.slow) for number in range(4)]],
)
def test_files_are_scored_as_each_is_alone(tmp_path, tiny_folder, workers, real):
    """To the byte, by a model and by however many processes; a file of more than one block among them."""
    files, told = write_files(tmp_path / "files", WORDS), Told()
    with (files / "a.jsonl").open("a") as file:
        more = ({"n": n, "query": f"the king {n % 99}", "result": "a river bank"} for n in range(9000))
        file.writelines(json.dumps(row) + "\n" for row in more)

    def encoder() -> Encoder:
        return UlmfitEncoder(tiny_folder()) if real else AxisEncoder()

    expected = each_alone(files, tmp_path / "alone", encoder())
    judge, scoring = EncoderJudge(encoder()), scoring_in(tmp_path / "many")
    if workers:
        with Pool(workers) as engine:
            total = distributed.score_files([files], judge, scoring, engine=engine, progress=told)
    else:
        total = score_files([files], judge, scoring, progress=told)
    assert contents(tmp_path / "many") == expected and len(expected) == 15
    pairs = 9000 + 7 + 7 + 8 + 8 + 10
    assert (total.files, total.pairs, total.before, total.rows["output"]) == (5, pairs, 0, pairs)
    assert total.rows["kept"] + total.rows["dropped"] == pairs and total.rows["kept"] and total.rows["dropped"]
    assert told.steps["pairs"][-1] == pairs and told.steps["pairs"] == sorted(set(told.steps["pairs"]))
    if real:
        assert total.tallies[""].texts >= total.encoded > 0 and total.tallies[""].unknown
    assert hidden(tmp_path / "many") == []


def test_files_are_given_by_name_by_pattern_and_by_folder(place, letters):
    (place / "files" / "notes.md").write_text("x")
    (place / "files" / "older").mkdir()
    told = Told()
    score(place, letters, files=["files/*.jsonl", "files/a.jsonl", "files/b.csv"], progress=told)
    assert set(contents(place)) == {f"{folder}/{name}" for folder in FOLDERS for name in ("a.jsonl", "b.csv")}
    total = score(place, letters, resume=True, progress=told)
    assert (total.files, total.before) == (5, 2) and len(contents(place)) == 15
    assert told.notes == [f"{place / 'files'}: notes.md and 1 more left out: no file of records, or a folder of its own"]


# -- whatever ends whoever works -------------------------------------------------------------------------------------------


def check(place: Path, letters: Letters, expected: dict[str, bytes], lost: int) -> None:
    """Whether only whole files are seen, and the run goes on to the same bytes, with at most `lost` files encoded twice."""
    seen = contents(place)
    assert all(expected[name] == data for name, data in seen.items())
    score(place, letters, resume=(place / "output" / ".scored").exists())
    assert contents(place) == expected and hidden(place) == []
    assert letters.encoded <= place.joinpath("whole").stat().st_size + lost * 30


@pytest.fixture
def expected(place, letters):
    found = each_alone(place / "files", place / "alone", AxisEncoder())
    score(place, letters, scoring=scoring_in(place / "first"))
    shutil.copy(letters.path, place / "whole")
    shutil.rmtree(place / "first")
    letters.path.unlink()
    return found


def fresh(place: Path) -> None:
    for name in FOLDERS:
        shutil.rmtree(place / name, ignore_errors=True)
    for name in ("encoded", "died"):
        (place / name).unlink(missing_ok=True)


def test_the_one_that_scores_is_killed_at_every_step(place, letters, expected):
    times = moments(lambda: score(place, letters))
    for at, half in times if FULL else times[::7]:
        fresh(place)
        assert killed(lambda: score(place, letters), at, half=half)
        check(place, letters, expected, lost=1)


def test_a_worker_is_killed_at_every_step(place, letters, expected):
    steps = 0
    for at in range(0, 1000, 1 if FULL else 7):
        fresh(place)
        score(place, letters, Forking(killed_once(place, at)))
        if not (place / "died").exists():
            break
        steps = at
        assert letters.encoded <= (place / "whole").stat().st_size + 30
        check(place, letters, expected, lost=1)
    assert steps > 5


def test_a_full_disk_at_every_step(place, letters, expected):
    times, refused = [at for at, _ in moments(lambda: score(place, letters))], 0
    for at in times if FULL else times[::7]:
        fresh(place)
        try:
            with failing(errno.ENOSPC, at):
                score(place, letters)
        except ResourceError as refusal:
            refused += 1
            assert "no space left" in str(refusal) and str(place) in str(refusal)
        check(place, letters, expected, lost=5)
    assert refused > 3


def test_what_is_done_is_not_done_again(place, letters, expected):
    score(place, letters)
    before, encoded = contents(place), letters.encoded
    total = score(place, letters, Here(), resume=True)
    assert (total.before, total.files, total.encoded, letters.encoded) == (5, 5, 0, encoded)
    assert contents(place) == before == expected
    (place / "kept" / "b.csv").unlink()
    assert score(place, letters, resume=True).before == 4 and contents(place) == expected
    with (place / "files" / "a.jsonl").open("a") as file:
        file.write('{"n": 99, "query": "a", "result": "a"}\n')
    told = Told()
    assert score(place, letters, resume=True, progress=told).before == 4
    assert told.notes == [f"{place / 'files' / 'a.jsonl'} has changed since it was scored, and is scored again"]
    assert b'"n": 99' in contents(place)["output/a.jsonl"]


def test_an_interrupted_replacement_keeps_what_it_has_not_come_to_and_goes_on(place, letters, expected):
    score(place, letters)
    (place / "output" / "e.jsonl").write_text("mine")

    class Stopping(Letters):
        def encode(self, texts):
            if self.encoded > 40:
                raise KeyboardInterrupt
            return super().encode(texts)

    letters.path.unlink()
    told = Told()
    with pytest.raises(KeyboardInterrupt):
        score(place, Stopping(letters.path), replace=True, progress=told)
    assert "of 5 files are scored: the same command with --resume continues after them" in told.notes[0]
    assert contents(place) == expected | {"output/e.jsonl": b"mine"}
    assert 0 < score(place, letters, resume=True).before < 5
    assert contents(place) == expected


KILLED = """
import sys
from pathlib import Path
from test_distributed import Letters
from test_scoring_files import score
from vecsearch.distributed import Pool

if __name__ == "__main__":
    place = Path(sys.argv[1])
    with Pool(2) as engine:
        score(place, Letters(place / "encoded", 0.5), engine, resume="resume" in sys.argv)
"""


def started(place: Path, *more: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    (place / "script.py").write_text(KILLED)
    return subprocess.Popen([sys.executable, place / "script.py", place, *more], env=environment, start_new_session=True)


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["the one that scores, by Ctrl-C", "the one that scores", "a worker"])
def test_processes_are_killed_in_the_middle(place, letters, expected, whom):
    process = started(place)
    while not (place / "output").exists() or not contents(place):
        time.sleep(0.02)
    if whom == "a worker":
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
        os.kill(next(int(child) for child, line in commands.items() if b"spawn_main" in line), signal.SIGKILL)
        assert process.wait() == 0
    elif "Ctrl-C" in whom:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() != 0 and alone(process)
        assert hidden(place) == []
    else:
        process.kill()
        process.wait()
        assert alone(process)
    check(place, letters, expected, lost=2)


# -- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [None, Here()], ids=["this process", "workers"])
def test_a_bad_record_is_named_by_file_and_line_or_counted(place, letters, engine):
    for name, lines in (("b.csv", "query,result\na,b\n"), ("d.jsonl", '{"a": "x", "b": "y"}\n{"a": 1, "b": ""}\n')):
        (place / "files" / name).write_text(lines)
    (place / "files" / "d.jsonl.gz").unlink()
    (place / "files" / "e.parquet").unlink()
    told = Told()
    with pytest.raises(CorpusError, match=rf'{place}/files/d.jsonl, line 2: "a" is 1, not a text') as refused:
        score(place, letters, engine, progress=told)
    assert refused.value.skippable == "line"
    assert told.notes == ["3 of 4 files are scored: the same command with --resume continues after them"]
    assert len(contents(place)) == 9 and hidden(place) == []
    # A bad record skipped does not change what was without one.
    total = score(place, letters, engine, scoring=scoring_in(place, skip_bad=True), resume=True)
    assert (total.before, total.files, total.tally.skipped) == (3, 4, 1)
    assert total.tally.first_problem == f'{place}/files/d.jsonl, line 2: "a" is 1, not a text'
    assert score(place, letters, engine, scoring=scoring_in(place, skip_bad=True), resume=True).tally.skipped == 1
    (place / "files" / "z.jsonl").write_text('{"a": "x", "b": "y", "cosine": 1}\n')
    with pytest.raises(CorpusError, match=r"files/z.jsonl: the pair 'x', 'y' has a field \"cosine\" already"):
        score(place, letters, engine, scoring=scoring_in(place, skip_bad=True), resume=True)


def test_files_that_cannot_be(place, letters):
    files = place / "files"
    for name, text in (("d.jsonl", '{"a": "x", "b": "y"}\n'), ("empty.jsonl", ""), ("notes.md", "x")):
        (files / name).write_text(text)
    (place / "none").mkdir()
    (place / "file").write_text("")

    def refuse(error, said, *names, scoring=None, **options):
        paths = [name if isinstance(name, str) else files / name for name in names or [files]]
        with pytest.raises(error, match=said):
            score_files(paths, EncoderJudge(letters), scoring or scoring_in(place), **options)
        assert not (place / "output").exists()

    by_probability = Scoring(kept=place / "k", threshold=("probability", 1))
    refuse(UsageError, "d.jsonl and .*d.jsonl.gz would both be written to d.jsonl", Path("d.jsonl"), Path("d.jsonl.gz"))
    refuse(CorpusError, "empty.jsonl holds no pairs", Path("a.jsonl"), Path("empty.jsonl"))
    refuse(CorpusError, "nowhere.jsonl does not exist", Path("nowhere.jsonl"))
    refuse(CorpusError, r"\*.xz stands for no file", Path("*.xz"))
    refuse(CorpusError, "none is a folder without a file of records", str(place / "none"))
    refuse(UsageError, "unknown suffix of .*notes.md", Path("notes.md"))
    refuse(UsageError, "- is no file: give it alone", "-")
    refuse(UsageError, "x.db.* is no file: give it alone", "sqlite:x.db?table=t")
    refuse(UsageError, "files is read, and would be written", str(files), scoring=Scoring(output=files))
    refuse(UsageError, "a.jsonl is read, and would be written", Path("a.jsonl"), scoring=Scoring(output=files))
    refuse(UsageError, "nothing to resume: .*output/.scored is not there", Path("a.jsonl"), resume=True)
    refuse(
        UsageError,
        "pairs get no 'probability' for a threshold",
        scoring=by_probability,
    )
    for said, options in (
        ("none is given", {}),
        ("output and kept are to be different", {"output": place, "kept": place / "files" / "..", "threshold": RULE}),
        ("file is a file; the outputs of many files go into a folder", {"output": place / "file"}),
        ("is a threshold: give one", {"kept": place}),
    ):
        with pytest.raises(UsageError, match=said):
            Scoring(**options)


def test_what_is_there_is_refused_unless_it_is_of_the_same_run(place, letters):
    score(place, letters, files=["files/a.jsonl"])
    (place / "output" / "b.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"has what an earlier run made of a.jsonl: continue with --resume, or start again"):
        score(place, letters)
    with pytest.raises(UsageError, match=r"output/b.csv is there already, and no run made it"):
        score(place, letters, resume=True)
    (place / "output" / "b.csv").unlink()
    with pytest.raises(UsageError, match=r"output/a.jsonl was started with rule .*; use the same options"):
        score(place, letters, resume=True, scoring=Scoring(**{name: place / name for name in FOLDERS}, threshold=("ip", 1)))
    other = AxisEncoder()
    other.fingerprint = "axis-2"
    with pytest.raises(UsageError, match=r"a.jsonl was started with encoder 'axis-1', not 'axis-2'"):
        score(place, other, resume=True)
    with (place / "kept" / "a.jsonl").open("a") as file:
        file.write("more\n")
    with pytest.raises(UsageError, match=r"kept/a.jsonl was changed after it was written"):
        score(place, letters, resume=True)
    (place / "output" / ".scored" / "a.jsonl.json").write_text("{")
    with pytest.raises(UsageError, match=r"a.jsonl.json is damaged"):
        score(place, letters, resume=True)
    assert set(contents(place)) == {f"{folder}/a.jsonl" for folder in FOLDERS}
    score(place, letters, replace=True)
    assert contents(place) == each_alone(place / "files", place / "alone", AxisEncoder())


def test_two_at_a_time_do_not_score_into_one_folder(place, letters):
    class Meanwhile(Letters):
        def encode(self, texts):
            with pytest.raises(LockedError, match="another process scores into"):
                score(place, letters)
            return super().encode(texts)

    score(place, Meanwhile(place / "encoded"))
    assert len(contents(place)) == 15


class Elsewhere(Here):
    """A machine that sees no folder of the name that is taken away meanwhile."""

    def __init__(self, gone: Path, *, late: bool = False) -> None:
        super().__init__()
        self.gone, self.late = gone, late

    def worker(self, *arguments, **options):
        if not self.late:
            self.gone.rename(self.gone.with_name("away"))
        try:
            return super().worker(*arguments, **options)
        finally:
            if not self.late:
                self.gone.with_name("away").rename(self.gone)

    def call(self, function, arguments):
        self.gone.rename(self.gone.with_name("away"))
        try:
            return super().call(function, arguments)
        finally:
            self.gone.with_name("away").rename(self.gone)


def test_what_a_machine_does_not_see_is_said(place, letters, tiny_folder):
    with pytest.raises(UsageError, match=r"the machine .* does not see .*/kept: all machines have to share the output folders"):
        score(place, letters, Elsewhere(place / "kept"))
    with pytest.raises(UsageError, match=r"the machine .* does not see .*/files/a.jsonl of \d+ bytes"):
        score(place, letters, Elsewhere(place / "files", late=True))
    model = shutil.copytree(tiny_folder(), place / "model")
    with pytest.raises(UsageError, match=r"the machine .* cannot open what pairs are judged by \(.*model"):
        score(place, UlmfitEncoder(model), Elsewhere(model))
    assert [path.name for path in place.iterdir() if path.name in FOLDERS] == []


class Changeable(Letters):
    """Is another one in another process."""

    def __reduce__(self):
        return Changed, (self.path,)


class Changed(Letters):
    fingerprint = "axis-3"


def test_another_encoder_elsewhere_and_one_that_cannot_be_sent_are_refused(place, letters):
    with pytest.raises(UsageError, match=r"has another encoder, .*axis-3"):
        score(place, Changeable(letters.path), Here())
    letters.unsent = lambda: None
    with pytest.raises(TypeError, match=r"the encoder Letters cannot be sent to workers .*: give it a __reduce__"):
        score(place, letters, Here())
    assert not (place / "output").exists()
