"""Indexes in object stores, in a folder as their simplest kind: pushed, pulled, read through the cache, collected, damaged."""

import errno
import hashlib
import json
import os
import pickle
import shutil
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import Told, refused, rows
from faults import FULL, failing, trace
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import Document, Index, pull, push
from vecsearch.errors import ConflictError, DamagedIndexError, LockedError, ResourceError, UnsupportedIndexError, UsageError
from vecsearch.index.build import Options
from vecsearch.remote import cache
from vecsearch.remote.collect import collect
from vecsearch.remote.commits import SPARED, Place

DIM = 8


def made(folder, number=5):
    """An index of vectors."""
    rng = np.random.default_rng(number)
    corpus = [Document(f"d{i}", f"text {i}", {"year": i}) for i in range(number)]
    return Index.build(folder, corpus, vectors=[rng.standard_normal((number, DIM)).astype(np.float32)])


def more(index, name):
    """A document more."""
    vector = np.random.default_rng(list(name.encode())).standard_normal((1, DIM))
    index.add([Document(name, name)], vectors=[vector.astype(np.float32)])


def contents(folder: Path) -> dict[str, str]:
    """sha256 of every file in a folder, but for what a folder knows of stores."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("LOCK", "REMOTES")]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def age(place: Path, days: float, which: str = "*/*") -> None:
    """Have objects be older."""
    for path in place.glob(which):
        os.utime(path, (time.time() - days * 86400,) * 2)


@pytest.fixture
def index(tmp_path):
    with made(tmp_path / "index") as opened:
        yield opened


@pytest.fixture
def place(tmp_path):
    return tmp_path / "shared" / "films"


@pytest.fixture
def url(place):
    return f"file://{place}"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The cache is empty at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# -- there and back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["exact", "HNSW8"])
def test_what_is_pulled_and_what_is_read_is_what_was_pushed(tmp_path, url, spec, tiny):
    texts = [Document(f"d{i}", text) for i, text in enumerate(["the king sat", "a queen in the city", "tomato film", ""])]
    with Index.build(tmp_path / "index", texts, tiny, Options(spec=spec)) as index:
        index.delete(["d2"])
        pushed = push(index.folder, url)
        assert (pushed.generation, pushed.commit, pushed.uploaded_files) == (2, 1, pushed.files)
        pulled = pull(url, tmp_path / "pulled")
        assert pulled.manifest == index.manifest and pulled.files == pushed.files
        assert contents(tmp_path / "pulled").items() <= contents(index.folder).items()
        assert Index.verify(tmp_path / "pulled").problems == []
        expected = index.hybrid(["the queen"], 3), index.similar(["d0"], 3)
        for where in (tmp_path / "pulled", url):
            with Index.open(where) as opened:
                assert (opened.hybrid(["the queen"], 3), opened.similar(["d0"], 3)) == expected
                assert opened.manifest == index.manifest


def test_only_what_is_new_goes_up_and_comes_down(tmp_path, index, url):
    told = Told()
    first = push(index.folder, url, progress=told)
    assert told.steps["bytes"][-1] == first.uploaded_bytes == sum(entry["bytes"] for entry in index.manifest.files.values())
    pull(url, tmp_path / "pulled")
    for number in range(5):  # more than the folder keeps generations
        more(index, f"e{number}")
    second, again = push(index.folder, url), push(index.folder, url)
    assert second.uploaded_files == second.files - first.files
    assert (again.commit, again.uploaded_files, again.uploaded_bytes) == (2, 0, 0)
    told = Told()
    pulled = pull(url, tmp_path / "pulled", progress=told)
    assert (pulled.files, pulled.bytes) == (second.uploaded_files, second.uploaded_bytes) == (15, told.steps["bytes"][-1])
    assert pull(url, tmp_path / "pulled").files == 0
    assert Index.verify(tmp_path / "pulled").notes == []


def test_a_pulled_index_is_changed_and_pushed_as_any_other(tmp_path, index, url):
    push(index.folder, url)
    pull(url, tmp_path / "pulled")
    with Index.open(tmp_path / "pulled") as pulled:
        more(pulled, "new")
        push(pulled.folder, url)
    pull(url, index.folder)
    assert index.refresh() and len(index) == 6
    more(index, "newer")
    assert push(index.folder, url).commit == 3


# -- several writers -----------------------------------------------------------------------------------------------------


def test_what_does_not_follow_is_refused_and_told_what_is_there(tmp_path, index, url):
    push(index.folder, url)
    shutil.copytree(index.folder, tmp_path / "other")
    with Index.open(tmp_path / "other") as other:
        more(other, "theirs")
        theirs = push(other.folder, url)
        more(index, "mine")
        with pytest.raises(ConflictError, match=r"at generation 2 of .* \(commit 2, .*pull .* into another folder") as raised:
            push(index.folder, url)
        assert raised.value.exit_code == 5
        with pytest.raises(ConflictError, match="does not go back to"):
            pull(url, index.folder)
        assert Place(url).newest().manifest == other.manifest
        assert push(index.folder, url, replace=True).commit == theirs.commit + 1
        # What was replaced is another index: their paths are the same, and their files are not.
        with pytest.raises(ConflictError, match="are not the same index"):
            pull(url, other.folder)
        Index.open(other.folder).close()


def test_a_folder_with_nothing_new_is_told_to_pull(tmp_path, index, url):
    push(index.folder, url)
    pull(url, tmp_path / "pulled")
    more(index, "new")
    push(index.folder, url)
    with pytest.raises(ConflictError, match=f"vecsearch pull {url} .* brings it up to date"):
        push(tmp_path / "pulled", url)


def test_a_folder_that_was_put_back_to_an_earlier_state_does_not_follow(tmp_path, index, url):
    shutil.copytree(index.folder, tmp_path / "backup")
    more(index, "new")
    push(index.folder, url)
    for name in ("CURRENT", "manifest-000001.json"):
        shutil.copy(tmp_path / "backup" / name, index.folder / name)
    with pytest.raises(ConflictError):
        push(index.folder, url)


def test_a_folder_that_must_not_be_written_follows_by_its_manifests(index, url):
    push(index.folder, url)
    (index.folder / "REMOTES").write_text("no JSON")
    more(index, "new")
    (index.folder / "REMOTES").unlink()
    assert push(index.folder, url).commit == 2


CHANGES = [f"{what} {who}" for what in ("change", "push", "pull") for who in ("a", "b")]


@settings(max_examples=100 if FULL else 8)
@given(st.lists(st.sampled_from(CHANGES), max_size=12))
def test_nothing_that_was_pushed_is_ever_lost(tmp_path_factory, steps):
    """A model: each folder and the store as the list of changes that they have; a list follows from one that it begins with."""
    top = tmp_path_factory.mktemp("model")
    url, names = f"file://{top}/shared", iter(range(1, 100))
    made(top / "a", 2).close()
    push(top / "a", url)
    pull(url, top / "b")
    have, there = {"a": [], "b": []}, []
    for step in steps:
        what, who = step.split()
        mine = have[who]
        try:
            if what == "change":
                mine.append(next(names))
                with Index.open(top / who, check=False) as opened:
                    opened.keep_weights((1.0, float(mine[-1])))
                continue
            push(top / who, url) if what == "push" else pull(url, top / who)
            accepted = True
        except ConflictError:
            accepted = False
        ahead, behind = mine[: len(there)] == there, there[: len(mine)] == mine
        assert accepted == (ahead if what == "push" else behind), steps
        if accepted and what == "push":
            there = list(mine)
        elif accepted:
            have[who] = list(there)
        newest = Place(url).newest().manifest
        assert (newest.weights or [1.0, 0.0])[1] == (there[-1] if there else 0.0)


# -- read by its URL -----------------------------------------------------------------------------------------------------


def test_refresh_shows_what_was_pushed_and_an_older_generation_can_be_asked(index, url):
    push(index.folder, url)
    with Index.open(url) as reader:
        assert not reader.refresh() and repr(reader).startswith(f"<Index {url}: generation 1")
        more(index, "new")
        assert not reader.refresh()
        push(index.folder, url)
        assert reader.refresh() and not reader.refresh() and len(reader) == 6
        with Index.open(url, generation=1) as older, pickle.loads(pickle.dumps(older)) as again:
            assert len(older) == len(again) == 5 and repr(again) == repr(older)
    with pytest.raises(UsageError, match="does not keep generation 9; it keeps 2, 1"):
        Index.open(url, generation=9)


CHANGING = {
    "add": lambda index: more(index, "new"),
    "delete": lambda index: index.delete(["d0"]),
    "compact": lambda index: index.compact(),
    "collect": lambda index: index.collect(1),
    "keep_weights": lambda index: index.keep_weights((1.0, 2.0)),
}


@pytest.mark.parametrize("change", CHANGING)
def test_an_index_that_was_opened_by_its_url_is_never_changed(index, url, change):
    push(index.folder, url)
    with Index.open(url) as reader:
        before = contents(reader.folder)
        with pytest.raises(UsageError, match=f"{url} is only read here"):
            CHANGING[change](reader)
        assert contents(reader.folder) == before and len(reader) == 5


def test_the_cache_keeps_each_file_once_and_brings_no_file_twice(tmp_path, index, url):
    push(index.folder, url)
    push(index.folder, f"{url}-copy")
    told = Told()
    Index.open(url, progress=told).close()
    assert told.steps["bytes"][-1] == cache.held().bytes > 0
    for place in (url, f"{url}-copy"):
        told = Told()
        Index.open(place, progress=told).close()
        assert told.steps == {}
    assert cache.held().files == len(index.manifest.files)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_what_is_damaged_in_the_cache_comes_again(index, url, damage):
    push(index.folder, url)
    with Index.open(url) as reader:
        expected = contents(reader.folder)
        for path in reader.folder.rglob("vectors.npy"):
            path.write_bytes(damage(path.read_bytes()))
    with Index.open(url) as reader:
        assert contents(reader.folder) == expected


def test_the_cache_lets_go_of_what_was_used_least_recently(tmp_path, url, monkeypatch):
    urls = [f"{url}-{number}" for number in range(3)]
    for number, one in enumerate(urls):
        made(tmp_path / f"index-{number}", 5 + number).close()
        push(tmp_path / f"index-{number}", one)
    with Index.open(urls[0]) as oldest:
        monkeypatch.setenv("VECSEARCH_CACHE_GB", str(1.5 * cache.held().bytes / 1e9))
        with Index.open(urls[1]):
            files = contents(cache.held().folder)
            assert not any(path.startswith(f"indexes/{oldest.folder.name}/") for path in files)
        assert len(oldest.search(np.ones((1, DIM), np.float32), 3).rows[0]) == 3  # it is open, and goes on
        with Index.open(urls[0]):
            pass
    # The newest stays, however large.
    monkeypatch.setenv("VECSEARCH_CACHE_GB", "1e-9")
    with Index.open(urls[2]) as newest:
        assert cache.held().files == len(newest.manifest.files)
    emptied = cache.empty()
    assert emptied.files and (cache.held().files, cache.held().bytes) == (0, 0)
    monkeypatch.setenv("VECSEARCH_CACHE_GB", "much")
    with pytest.raises(UsageError, match="VECSEARCH_CACHE_GB is 'much'"):
        Index.open(urls[2])


def test_the_cache_is_not_emptied_while_an_index_is_opened(index, url):
    push(index.folder, url)
    with cache.cached(url) as folder:
        with pytest.raises(LockedError):
            cache.empty()
        assert (folder / "CURRENT").exists()
    cache.empty()


# -- interrupted, refused, damaged ---------------------------------------------------------------------------------------


def test_a_damaged_object_is_an_error_that_names_it(tmp_path, index, place, url):
    push(index.folder, url)
    objects = sorted(place.glob("objects/*"))
    damages = [lambda data: data[: len(data) // 2], lambda data: data[:-1] + bytes([data[-1] ^ 1]), None]
    for number, path in enumerate(objects):
        data = path.read_bytes()
        damage = damages[number % 3]
        path.unlink() if damage is None else path.write_bytes(damage(data))
        for bring in (lambda: pull(url, tmp_path / "pulled"), lambda: Index.open(url)):
            with pytest.raises(DamagedIndexError, match=f"{url}/objects/{path.name} ") as raised:
                bring()
            assert raised.value.exit_code == 4
        assert not (tmp_path / "pulled" / "CURRENT").exists()
        # What is damaged stays nowhere, not even as a part to go on with.
        kept = [*tmp_path.glob("cache/**/objects/*"), *tmp_path.glob("pulled/segments/*/*")]
        assert {hashlib.sha256(found.read_bytes()).hexdigest() for found in kept} <= {o.name for o in objects} - {path.name}
        path.write_bytes(data)
        pull(url, tmp_path / "pulled")
        Index.open(tmp_path / "pulled").close()
        shutil.rmtree(tmp_path / "pulled")
        shutil.rmtree(tmp_path / "cache")


@pytest.mark.parametrize(
    "data, error",
    [
        (b"", DamagedIndexError),
        (b"{}", DamagedIndexError),
        (b'{"format": 2}', UnsupportedIndexError),
        (b'{"format": 1, "created": "now"}', DamagedIndexError),
        ("other manifest", DamagedIndexError),
    ],
)
def test_a_damaged_commit_is_an_error_that_names_it(tmp_path, index, place, url, data, error):
    push(index.folder, url)
    path = place / "commits" / "000001.json"
    if isinstance(data, str):
        values = json.loads(path.read_text())
        data = json.dumps(values | {"manifest": values["manifest"].replace('"created"', ' "created"')}).encode()
    path.write_bytes(data)
    more(index, "new")
    asked = [lambda: pull(url, tmp_path / "pulled"), lambda: push(index.folder, url)]
    for ask in [*asked, lambda: Index.open(url), lambda: collect(url, 1)]:
        with pytest.raises(error, match=f"{url}/commits/000001.json "):
            ask()
    assert path.read_bytes() == data


def test_what_is_damaged_in_the_folder_does_not_go_up(index, place, url):
    path = next(index.folder.rglob("vectors.npy"))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DamagedIndexError, match=str(path)):
        push(index.folder, url)
    assert not list(place.glob(f"objects/{index.manifest.files[path.relative_to(index.folder).as_posix()]['sha256']}*"))
    assert not (place / "commits").exists()
    path.write_bytes(data)
    assert push(index.folder, url).uploaded_files <= 2  # others are there


def test_a_pull_that_the_disk_refuses_at_any_step_leaves_the_old_index_or_the_new_one(tmp_path, index, url):
    push(index.folder, url)
    pull(url, tmp_path / "old")
    more(index, "new")
    push(index.folder, url)
    shutil.copytree(tmp_path / "old", tmp_path / "counted")
    steps = len(trace(lambda: pull(url, tmp_path / "counted")))
    for at in range(0, steps, 1 if FULL else 11):
        folder = tmp_path / f"at-{at}"
        shutil.copytree(tmp_path / "old", folder)
        with failing(errno.ENOSPC, at), suppress(ResourceError):  # what comes after the commit is left to the next one
            pull(url, folder)
        with Index.open(folder) as opened:
            assert len(opened) in (5, 6)
        assert pull(url, folder).manifest == index.manifest
        Index.open(folder).close()


def test_the_cache_on_a_full_disk(tmp_path, index, url):
    push(index.folder, url)
    for at in range(0, 60, 1 if FULL else 9):
        with failing(errno.ENOSPC, at), suppress(ResourceError):
            Index.open(url).close()
        with Index.open(url) as opened:
            assert len(opened) == 5
        shutil.rmtree(tmp_path / "cache")


def test_an_interrupted_pull_goes_on_where_it_was(tmp_path, place, url):
    corpus = [Document(f"d{i}", "") for i in range(5)]
    rng = np.random.default_rng(0)
    Index.build(tmp_path / "index", corpus, vectors=[rng.standard_normal((5, 1_000_000)).astype(np.float32)]).close()

    class Stop(ValueError):  # as a store's own refusal may be
        pass

    def stop(name, done):
        if done > 12_000_000:
            raise Stop

    with pytest.raises(Stop):
        push(tmp_path / "index", url, progress=Told(stop))
    push(tmp_path / "index", url)
    with pytest.raises(Stop):
        pull(url, tmp_path / "pulled", progress=Told(stop))
    pull(url, tmp_path / "pulled", progress=(told := Told()))
    assert told.steps["bytes"][0] >= 8 << 20
    Index.open(tmp_path / "pulled").close()
    # An object that ends before the part that is asked for is damaged as well.
    [largest] = [path for path in place.glob("objects/*") if path.stat().st_size > 10_000_000]
    data = largest.read_bytes()
    largest.write_bytes(data[:1_000_000])
    with pytest.raises(DamagedIndexError, match=f"{largest.name} ends after 1,000,000 bytes"):
        pull(url, tmp_path / "short")
    largest.write_bytes(data)
    # What a crash has left in the part that was there is found by its hash, and all of it comes again.
    part = tmp_path / "again" / "segments" / "000001-0" / "vectors.npy.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(9_000_000))
    pull(url, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "pulled") and not part.exists()


# -- collected -----------------------------------------------------------------------------------------------------------

OLD = SPARED.days + 1


def test_gc_removes_what_no_kept_generation_names_and_is_old(tmp_path, index, place, url):
    push(index.folder, url)
    for number in range(3):
        index.compact() if number % 2 else more(index, f"e{number}")
        push(index.folder, url)
    before = contents(place)
    assert collect(url, 1) == ([], 0)  # all of it is young
    age(place, OLD)
    (place / "objects" / ("0" * 64)).write_bytes(b"a push that is under way")
    (place / "objects" / ("1" * 64 + "#1")).write_bytes(b"one that was killed")
    age(place, OLD, "objects/1*#1")
    removed, freed = collect(url, 2)
    commits = {name for name in removed if name.startswith("commits/")}
    assert freed > 0 and commits == {"commits/000001.json", "commits/000002.json"}
    assert "objects/" + "1" * 64 + "#1" in removed and "objects/" + "0" * 64 not in removed
    for generation in (4, 3):
        with Index.open(url, generation=generation) as kept:
            assert kept.manifest.generation == generation
    after = contents(place)
    named = set().union(*(commit.objects for commit in Place(url).newest_first()))
    assert named | {"objects/" + "0" * 64} == {name for name in after if name.startswith("objects/")}
    assert before.keys() - after.keys() == set(removed) - {"objects/" + "1" * 64 + "#1"}
    # A number that was there is not given again.
    more(index, "last")
    assert push(index.folder, url).commit == 5


def test_a_push_uses_no_object_again_that_may_be_removed_at_any_time(tmp_path, index, place, url):
    push(index.folder, url)
    more(index, "new")
    push(index.folder, url)
    index.delete(["new"])
    index.compact()
    push(index.folder, url)  # the same three files as at first, and none of the others
    age(place, OLD)
    index.rollback(2)
    assert push(index.folder, url).uploaded_files == 3
    commit = Place(url).newest()
    assert len(commit.copies) == 3 and all("-" in name for name in commit.copies.values())
    removed, _ = collect(url, 1)
    assert removed and not commit.objects & set(removed)
    pull(url, tmp_path / "pulled")
    Index.open(tmp_path / "pulled").close()


# -- what is given, and the command line ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        *["s3://", "s3:///x", "s3://b/../x", "s3://b/a//b", "s3://b/a?b", "s3://b/a\nb"],
        *["file://", "file://host/x", "file:///", "memory:///x", "http://host/x", "indexes/films", "", 3, None],
    ],
)
def test_what_is_no_url_of_a_store_is_refused(tmp_path, index, wrong):
    before = contents(tmp_path)
    for ask in (lambda: push(index.folder, wrong), lambda: pull(wrong, tmp_path / "new")):
        with pytest.raises((UsageError, TypeError)):
            ask()
    assert contents(tmp_path) == before and not (tmp_path / "new").exists()


def test_a_place_that_holds_nothing_or_something_else(tmp_path, index, place, url):
    for ask in (lambda: pull(url, tmp_path / "new"), lambda: Index.open(url)):
        with pytest.raises(ResourceError):
            ask()
    place.mkdir(parents=True)
    for ask in (lambda: pull(url, tmp_path / "new"), lambda: Index.open(url), lambda: collect(url, 1)):
        with pytest.raises(UnsupportedIndexError, match="there is no index at"):
            ask()
    (place / "holiday.jpg").touch()
    with pytest.raises(UsageError, match=r"holds other things, such as holiday\.jpg"):
        push(index.folder, url)
    assert [path.name for path in place.rglob("*")] == ["holiday.jpg"]
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "holiday.jpg").touch()
    push(index.folder, f"{url}/2026")
    with pytest.raises(UsageError, match="exists and is not an index"):
        pull(f"{url}/2026", tmp_path / "new")
    with pytest.raises(UnsupportedIndexError, match="there is no index at"):
        push(tmp_path / "nowhere", url)


def test_the_command_line(tmp_path, vecsearch, index, place, url):
    [pushed] = rows(vecsearch("push", index.folder, url, "--json"))
    assert (pushed["generation"], pushed["uploaded_files"]) == (1, 3)
    [pulled] = rows(vecsearch("pull", url, tmp_path / "pulled", "--json"))
    assert (pulled["rows"], pulled["downloaded_bytes"]) == (5, pushed["uploaded_bytes"])
    here, there = (rows(vecsearch("similar", where, "d1", "-k", "2", "--json")) for where in (index.folder, url))
    assert here == there != []
    [info] = rows(vecsearch("info", url, "--json"))
    assert (info["documents"], info["kept_generations"], info["size_bytes"]) == (5, [1], pushed["uploaded_bytes"])
    [held] = rows(vecsearch("cache", "--json"))
    assert (held["files"], held["bytes"], held["removed"]) == (3, pushed["uploaded_bytes"], False)
    assert rows(vecsearch("cache", "--empty", "--json")) == [held | {"removed": True}]
    age(place, OLD)
    assert rows(vecsearch("gc", url, "--json")) == [{"index": url, "removed_files": 0, "freed_bytes": 0}]
    before = contents(place)
    for command in ("compact", "verify", "delete d0", "sync", "rollback 1", "export -o x.jsonl", "push x"):
        name, *others = command.split()
        refused(vecsearch(name, url, *others), 2, url, "vecsearch pull")
    refused(vecsearch("build", tmp_path / "x.txt", "-o", url), 2, url)
    refused(vecsearch("pull", f"{url}/nowhere", tmp_path / "new"), 5, f"{url}/nowhere")
    more(index, "mine")
    with Index.open(tmp_path / "pulled") as other:
        more(other, "theirs")
    rows(vecsearch("push", tmp_path / "pulled", url, "--json"))
    refused(vecsearch("push", index.folder, url), 5, "commit 2", "--replace")
    assert before.items() <= contents(place).items() | {("clock", before["clock"])}
