"""Everything a user can cause, as one tree of exceptions.

    VecsearchError                      exit code
    ├── UsageError                      2   the request does not make sense (k < 1, an unknown spec, another encoder)
    ├── DataError                       3   the input cannot be used
    │   ├── CorpusError                     a corpus: names the file and the line
    │   ├── VectorsError                    ready vectors: names the file and the row
    │   └── CheckpointError                 a model file: names the file and what in it does not fit
    ├── IndexFileError                  4   an index on disk
    │   ├── DamagedIndexError               its bytes are not the ones that were written
    │   └── UnsupportedIndexError           written by a newer vecsearch, or no index at all
    └── ResourceError                   5   system error: disk, memory, permission
        ├── LockedError                     another process is writing to the index
        ├── LostError                       a process that worked, or its machine, is gone
        └── ConflictError                   another writer was first: what is in the object store is not what this builds upon

Exit code 0 is "done", 1 is "no" (a check failed), 130 "interrupted". Each message says what is wrong, with the values that
do not fit, and what to do. Programming mistakes stay `TypeError` and `ValueError`.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike


class VecsearchError(Exception):
    """A problem that a user can cause and mend; `exit_code` is what the command line ends with."""

    exit_code = 3


class UsageError(VecsearchError):
    exit_code = 2


class DataError(VecsearchError):
    exit_code = 3


class CorpusError(DataError):
    """`skippable` is what the bad record is called, "line" or "record", where the rest could be read without it."""

    def __init__(self, message: str, *, skippable: str = "") -> None:
        super().__init__(message)
        self.skippable = skippable


class VectorsError(DataError):
    pass


class CheckpointError(DataError):
    pass


class IndexFileError(VecsearchError):
    exit_code = 4


class DamagedIndexError(IndexFileError):
    pass


class UnsupportedIndexError(IndexFileError):
    pass


class ResourceError(VecsearchError):
    exit_code = 5


class LockedError(ResourceError):
    pass


class LostError(ResourceError):
    """The process that worked, or the machine that it ran on, is gone: what it was asked for has to be asked of another."""


class ConflictError(ResourceError):
    pass


_HINTS = {
    errno.ENOSPC: "no space left on the disk; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EFBIG: "the file is larger than this disk or your limits allow; choose another disk or raise the limit",
    errno.EROFS: "the folder is on a read-only disk; choose another output folder",
    errno.EACCES: "permission denied; choose a folder you may write to",
    errno.EPERM: "permission denied; choose a folder you may write to",
}


@contextmanager
def writing(path: str | PathLike[str]) -> Iterator[None]:
    """Turn the operating system's refusals to write below `path` into a `ResourceError` that names it."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno, f"{error.strerror or error}")
        raise ResourceError(f"cannot write {error.filename2 or error.filename or path}: {hint}") from error
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "readonly" in str(error) or "I/O" in str(error) or "unable to open" in str(error):
            raise ResourceError(
                f"cannot write {path}: {error}; free some space, or see that the folder may be written"
            ) from error
        raise
