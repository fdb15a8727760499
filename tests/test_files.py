"""What is written whole: after any refusal or kill there is what was there before, or all that is new."""

import errno
import os
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
from faults import failing, killed, moments, trace

from vecsearch.errors import ResourceError, UsageError
from vecsearch.files import memory_limit, new_file, new_folder, put_in_place, refuse_existing, write_whole
from vecsearch.resume import refuse_difference


def write_file(output: Path, content: str = "new") -> None:
    with new_file(output) as unfinished:
        unfinished.write_text(content)


def write_folder(output: Path) -> None:
    with new_folder(output) as unfinished:
        (unfinished / "a").write_text("new")
        (unfinished / "b").write_text("new")


def held(path: Path) -> object:
    """What a file or a folder of files holds; None where there is nothing."""
    if path.is_dir():
        return {file.name: file.read_text() for file in path.iterdir()}
    return path.read_text() if path.exists() else None


def fresh(folder: Path, work) -> Path:
    """A place to write to where a file holds "old"; a folder has nothing in its place."""
    folder.mkdir()
    if work is write_file:
        (folder / "out").write_text("old")
    return folder / "out"


KINDS = pytest.mark.parametrize(("work", "new"), [(write_file, "new"), (write_folder, {"a": "new", "b": "new"})])


@KINDS
def test_killed_at_any_step(tmp_path, work, new):
    seen, whole = [], fresh(tmp_path / "whole", work)
    for at, half in moments(lambda: work(whole)):
        output = fresh(tmp_path / f"{at}-{half}", work)
        before = held(output)
        assert killed(partial(work, output), at, half=half)
        assert held(output) in (before, new)
        assert all(path.name.startswith(".out.") for path in output.parent.iterdir() if path != output)
        seen.append(held(output) == new)
        work(output.with_name("next"))  # what is left is in nobody's way
    assert seen == sorted(seen) and len(set(seen)) == 2
    assert held(whole) == new


@KINDS
def test_refused_at_any_step(tmp_path, work, new):
    seen, whole = [], fresh(tmp_path / "whole", work)
    for at in range(len(trace(lambda: work(whole)))):
        output = fresh(tmp_path / str(at), work)
        before = held(output)
        with failing(errno.ENOSPC, at), pytest.raises(ResourceError, match="no space left on the disk"):
            work(output)
        assert held(output) in (before, new)
        seen.append(held(output) == new)
    assert seen == sorted(seen)


def test_a_file_has_reached_the_disk_before_it_has_its_name(tmp_path):
    steps = trace(lambda: write_whole(tmp_path / "out", b"x"))
    names = [name for name, _ in steps if name in ("fsync", "replace")]
    assert names == ["fsync", "replace", "fsync"] and steps[-1] == ("fsync", str(tmp_path))


@KINDS
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_goes_wrong_within_leaves_what_was_there(tmp_path, work, new, error):
    output = fresh(tmp_path / "x", work)
    before = held(output)
    with pytest.raises(error), new_file(output) if work is write_file else new_folder(output) as unfinished:
        (unfinished if work is write_file else unfinished / "a").write_text("half")
        raise error
    assert held(output) == before and [path for path in output.parent.iterdir() if path != output] == []


def test_a_refusal_names_the_file_that_was_to_be_written(tmp_path):
    with failing(errno.EACCES, 0), pytest.raises(ResourceError, match=rf"cannot write {tmp_path / 'out'}: permission denied"):
        write_file(tmp_path / "out")
    (tmp_path / "x/out").mkdir(parents=True)
    with pytest.raises(ResourceError, match=rf"cannot write {tmp_path / 'x/out'}: "):
        write_file(tmp_path / "x/out")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["out"]


def test_threads_that_write_the_same_file(tmp_path):
    texts = [str(n) * 100_000 for n in range(8)]
    with ThreadPool(4) as pool:
        pool.map(partial(write_file, tmp_path / "out"), texts)
    assert held(tmp_path / "out") in texts and len(list(tmp_path.iterdir())) == 1


def test_who_may_read_is_as_for_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    write_whole(tmp_path / "out", b"x")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "out").symlink_to("target")
    write_file(tmp_path / "out")
    assert held(tmp_path / "target") == "old" and not (tmp_path / "out").is_symlink()


def test_a_folder_takes_the_place_of_none_or_an_empty_one(tmp_path):
    (tmp_path / "out").mkdir()
    refuse_existing(tmp_path / "out")
    write_folder(tmp_path / "out")
    with pytest.raises(UsageError, match="out exists and is not empty"):
        refuse_existing(tmp_path / "out")
    with pytest.raises(ResourceError, match=r"cannot write .*/out: "):
        write_folder(tmp_path / "out")
    write_folder(tmp_path / "not/there/out")
    assert held(tmp_path / "not/there/out") == held(tmp_path / "out") == {"a": "new", "b": "new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["not", "out"]


def test_a_part_that_was_kept_gets_its_name(tmp_path):
    (tmp_path / "part").write_text("new")
    put_in_place(tmp_path / "part", tmp_path / "out")
    assert held(tmp_path / "out") == "new" and not (tmp_path / "part").exists()


def test_only_the_same_work_goes_on():
    kept = {"rate": 0.1, "dims": [1, 2], "from": None}
    refuse_difference(Path("work"), kept, {"rate": 0.1, "dims": (1, 2)})
    for now, said in (
        ({**kept, "rate": 0.2}, r"cannot resume: work was started with rate 0\.1, not 0\.2; use the same options"),
        ({"rate": 0.1, "from": None}, r"dims \[1, 2\], not None"),
        ({**kept, "more": "x"}, "more None, not 'x'"),
    ):
        with pytest.raises(UsageError, match=said + r".*start again with --replace$"):
            refuse_difference(Path("work"), kept, now, anew="with --replace")


@pytest.mark.parametrize(
    "groups, files, limit",
    [
        ("0::/system.slice/it.service", {"system.slice/it.service/memory.max": "2097152"}, 2 << 20),
        ("0::/system.slice/it.service", {"system.slice/it.service/memory.max": "max", "system.slice/memory.max": "4096"}, 4096),
        ("0::/", {"memory.max": "1048576\n"}, 1 << 20),
        ("0::/", {"memory.max": "max\n"}, None),
        ("0::/../../elsewhere", {"memory.max": "1048576"}, 1 << 20),
        ("5:cpu,memory:/docker/1f\n1:pids:/", {"memory/memory.limit_in_bytes": "8192"}, 8192),
        ("5:memory:/a\n0::/", {"memory/a/memory.limit_in_bytes": "8192", "memory/memory.limit_in_bytes": str(1 << 62)}, 8192),
        ("1:pids:/", {"memory.max": "8192"}, None),
        (None, {}, None),
    ],
)
def test_a_service_has_no_more_memory_than_it_is_given(tmp_path, groups, files, limit):
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups + "\n")
    for name, content in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory_limit(tmp_path) == (limit or machine)
