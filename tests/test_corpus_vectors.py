"""Vectors go to a file and come back bit for bit; a file that holds none is refused, naming the row."""

from __future__ import annotations

import errno
import io
import pickle
from unittest import mock

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vecsearch.corpus.readers import read_corpus
from vecsearch.errors import ResourceError, UsageError, VectorsError
from vecsearch.vectors.read import open_vectors, read_ids
from vecsearch.vectors.write import write_vectors

tables = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.integers(1, 6)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def read(path) -> np.ndarray:
    return np.concatenate(list(open_vectors(path).blocks(7)))


@pytest.mark.parametrize("suffix", [".npy", ".h5", ".hdf5"])
@settings(max_examples=25)
@given(table=tables, size=st.integers(1, 8))
def test_round_trip(tmp_path_factory, suffix, table, size):
    path = tmp_path_factory.mktemp("v") / f"v{suffix}"
    rows, dim = table.shape
    count = write_vectors(path, (table[start : start + size] for start in range(0, rows, size)), dim=dim)
    file = open_vectors(path)
    blocks = list(file.blocks(size))
    assert count == file.rows == rows
    assert file.dim == dim
    assert file.ids is None
    assert all(block.shape[0] <= size and block.dtype == np.float32 and block.flags.owndata for block in blocks)
    assert np.array_equal(np.concatenate(blocks), table)
    assert [name.name for name in path.parent.iterdir()] == [path.name]


def test_written_npy_is_what_numpy_reads(tmp_path):
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    write_vectors(tmp_path / "v.npy", [table[:1], table[1:]], dim=3)
    assert np.array_equal(np.load(tmp_path / "v.npy"), table)


@settings(max_examples=15)
@given(
    ids=st.lists(
        st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1), min_size=1, max_size=9
    )
)
def test_ids_round_trip_and_are_a_corpus(tmp_path_factory, ids):
    path = tmp_path_factory.mktemp("v") / "v.h5"
    write_vectors(path, [np.ones((len(ids), 2), np.float32)], dim=2, ids=ids)
    assert open_vectors(path).ids == ids
    assert [document.id for document in read_corpus(path, text_fields=["ids"], id_field="ids")] == ids


def test_ids_may_be_gathered_while_the_blocks_are_made(tmp_path):
    ids: list[str] = []

    def blocks():
        for number in range(3000):
            ids.append(f"d{number}")
            yield np.full((1, 2), number, np.float32)

    assert write_vectors(tmp_path / "v.h5", blocks(), dim=2, ids=ids) == 3000
    assert open_vectors(tmp_path / "v.h5").ids == ids


def test_an_id_that_hdf5_cannot_hold_is_refused_as_soon_as_its_block_has_come(tmp_path):
    ids: list[str] = []

    def blocks():
        for names in (["a", "b"], ["c", "d\0e"], ["f", "g"]):
            ids.extend(names)
            yield np.ones((2, 2), np.float32)

    message = r"v\.h5 cannot be written: row 3 \(rows count from 0\) has the id 'd\\x00e', with a NUL .*; remove it, or write"
    with pytest.raises(VectorsError, match=message):
        write_vectors(tmp_path / "v.h5", blocks(), dim=2, ids=ids)
    assert len(ids) == 4 and not list(tmp_path.iterdir())
    ids.clear()
    assert write_vectors(tmp_path / "v.npy", blocks(), dim=2, ids=ids) == 6


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", "<i1", "<u2", "<i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_real_numbers_of_any_type_become_float32(tmp_path, dtype, order):
    table = np.arange(20).reshape(10, 2).astype(dtype, order=order)
    np.save(tmp_path / "v.npy", table)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["train"] = table
    for name in ("v.npy", "v.h5"):
        assert read(tmp_path / name).dtype == np.float32
        assert np.array_equal(read(tmp_path / name), table.astype(np.float32))


def test_which_dataset_is_read(tmp_path):
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        file["other"], file["neighbors"] = np.zeros((1, 2), np.float32), np.zeros((1, 9), int)
    assert open_vectors(path).dim == 2
    with h5py.File(path, "a") as file:
        file["train"], file["deep/vectors"] = np.zeros((1, 3)), np.zeros((1, 5))
    assert open_vectors(path).dim == 3
    with h5py.File(path, "a") as file:
        file["vectors"] = np.zeros((1, 4))
    assert open_vectors(path).dim == 4
    with h5py.File(path, "a") as file:
        del file["vectors"]
        file["vectors/inner"] = np.zeros((1, 6))
    assert open_vectors(path).dim == 3


@pytest.mark.parametrize("suffix", [".npy", ".h5"])
@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.nan, np.float32, "row 17 holds NaN in column 1; leave the row out"),
        (-np.inf, np.float16, "row 17 holds -inf in column 1"),
        (1e300, np.float64, r"row 17 holds 1e\+300 in column 1, and float32 ends at 3.4e\+38"),
    ],
)
def test_numbers_that_are_none_are_named_by_row(tmp_path, suffix, value, dtype, message):
    table = np.ones((20, 3), dtype)
    table[17, 1], table[19] = value, np.nan
    path = tmp_path / f"v{suffix}"
    if suffix == ".npy":
        np.save(path, table)
    else:
        with h5py.File(path, "w") as file:
            file["vectors"] = table
    with pytest.raises(VectorsError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros(3), r"has 1 dimensions, \(3,\), where vectors have two; save them as"),
        (np.zeros((2, 2, 2)), r"has 3 dimensions, \(2, 2, 2\)"),
        (np.zeros((0, 4)), "is empty: 0 rows of 4 numbers"),
        (np.zeros((4, 0)), "is empty: 4 rows of 0 numbers"),
        (np.zeros((2, 2), complex), "holds complex128, not real numbers"),
        (np.zeros((2, 2), bool), "holds bool, not real numbers"),
        (np.zeros((2, 2), "U3"), "holds <U3, not real numbers"),
    ],
)
def test_arrays_that_are_no_table_of_numbers(tmp_path, table, message):
    np.save(tmp_path / "v.npy", table)
    with pytest.raises(VectorsError, match=message):
        open_vectors(tmp_path / "v.npy")
    if table.dtype.kind != "U":
        with h5py.File(tmp_path / "v.h5", "w") as file:
            file["vectors"] = table
        with pytest.raises(VectorsError, match=message):
            open_vectors(tmp_path / "v.h5")


def test_ragged_rows(tmp_path):
    np.save(tmp_path / "v.npy", np.array([[1.0], [1.0, 2.0]], dtype=object), allow_pickle=True)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("vectors", 2, h5py.vlen_dtype(np.float32))
    for name in ("v.npy", "v.h5"):
        with pytest.raises(VectorsError, match="holds Python objects or rows of different lengths; save one table"):
            open_vectors(tmp_path / name)


class _Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle was run')",)


def test_files_that_are_no_npy_and_a_pickle_is_not_run(tmp_path):
    path = tmp_path / "v.npy"
    disguised = io.BytesIO()
    np.save(disguised, np.array([_Bomb()]), allow_pickle=True)
    for content in (
        b"",
        b"1.0 2.0\n",
        pickle.dumps(_Bomb()),
        b"\x93NUMPY\x01\x00\x10\x00{'descr': (((\n  ",
        disguised.getvalue(),
    ):
        path.write_bytes(content)
        with pytest.raises(VectorsError, match=r"is not a \.npy file|holds Python objects"):
            open_vectors(path)


def test_truncated_files_name_both_sizes(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, np.ones((10, 4), np.float32))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(VectorsError, match="truncated: 200 bytes, but its header needs 288; copy or make it again"):
        open_vectors(path)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["vectors"] = np.ones((100, 4))
    (tmp_path / "v.h5").write_bytes((tmp_path / "v.h5").read_bytes()[:2000])
    with pytest.raises(VectorsError, match=r"cannot be read as HDF5: .*; check the file"):
        open_vectors(tmp_path / "v.h5")


def test_paths_and_datasets_that_are_not_there(tmp_path):
    with pytest.raises(VectorsError, match=r"nowhere\.npy does not exist; check the path"):
        open_vectors(tmp_path / "nowhere.npy")
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(VectorsError, match="is not a file"):
        open_vectors(tmp_path / "folder.h5")
    for open_or_write in (open_vectors, lambda path: write_vectors(path, [], dim=1)):
        with pytest.raises(UsageError, match=r"from \.npy, \.h5 and \.hdf5|to \.npy, \.h5 and \.hdf5"):
            open_or_write(tmp_path / "v.csv")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a"] = [1]
    with pytest.raises(VectorsError, match=r"not one two-dimensional dataset of floats but none among: a; put the vectors"):
        open_vectors(tmp_path / "v.h5")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a"], file["b"] = [[1.0]], [[1.0]]
    with pytest.raises(VectorsError, match=r'but 2 of them \(a, b\); put the vectors into a dataset named "vectors"'):
        open_vectors(tmp_path / "v.h5")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([b"a"], r'the dataset "ids" has shape \(1,\), but there are 2 vectors; write one id for each'),
        ([b"a", b""], 'row 1 of "ids" is empty'),
        ([b"a", b"\xff"], 'row 1 of "ids" is not UTF-8'),
        ([1.5, 2.5], r'row 0 of "ids" is np.float64\(1.5\); write ids as strings or whole numbers'),
    ],
)
def test_ids_that_do_not_fit(tmp_path, ids, message):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["vectors"], file["ids"] = np.ones((2, 2)), np.array(ids)
    with pytest.raises(VectorsError, match=message):
        open_vectors(tmp_path / "v.h5")


def test_whole_numbers_are_ids(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["vectors"], file["ids"] = np.ones((2, 2)), [7, 8]
    assert open_vectors(tmp_path / "v.h5").ids == ["7", "8"]


def test_read_ids(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb c\r\n\xc3\xa9")
    assert read_ids(path) == ["a", "b c", "é"]
    for content, message in [
        (b"a\n\nb\n", "line 2: empty; give every vector an id"),
        (b"a\nb\n\xff\n", "line 3: not UTF-8; convert"),
    ]:
        path.write_bytes(content)
        with pytest.raises(VectorsError, match=message):
            read_ids(path)
    with pytest.raises(VectorsError, match=r"nowhere cannot be read: No such file or directory; check the path"):
        read_ids(tmp_path / "nowhere")


@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    path.write_bytes(b"old")
    block = np.ones((2, 3), np.float32)

    def failing():
        yield block
        raise OSError(errno.ENOSPC, "No space left on device")

    attempts = [
        (ResourceError, "no space left on the disk", failing(), {}),
        (ValueError, "shape", [block, block[:, :2]], {}),
    ]
    if suffix == ".h5":
        attempts += [
            (ValueError, "1 ids for 2 rows", [block], {"ids": ["a"]}),
            (ValueError, "3 ids for 2 rows", [block], {"ids": ["a", "b", "c"]}),
            (VectorsError, "row 1 .* has the id", [block], {"ids": ["a", "b\0"]}),
        ]
    for error, message, blocks, options in attempts:
        with pytest.raises(error, match=message):
            write_vectors(path, blocks, dim=3, **options)
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_only_after_it_reached_the_disk(tmp_path):
    calls = []
    with mock.patch("os.fsync", side_effect=lambda _: calls.append((tmp_path / "v.npy").exists())):
        write_vectors(tmp_path / "v.npy", [np.ones((1, 1), np.float32)], dim=1)
    assert calls == [False, True]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ResourceError, match=r"cannot write .*: No such file or directory"):
        write_vectors(tmp_path / "none" / "v.npy", [np.ones((1, 1), np.float32)], dim=1)
