"""What callers give, looked at before anything is done with it: one rule for each kind of value, wherever it is given.

A value of a wrong type is a TypeError, one that makes no sense a UsageError; both say what it is called, what it is, and what
to give. A single text where several are asked for is refused everywhere, so that what is returned never depends on that.
"""

from __future__ import annotations

import errno
import json
import math
import operator
import os
import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import EnumType, StrEnum
from itertools import chain, islice, starmap
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np

from vecsearch.errors import ResourceError, UsageError, VectorsError
from vecsearch.urls import NO_PATH, is_store_url

T = TypeVar("T")
MANY = 1 << 60
"""More than there can be of anything, and few enough for every library."""


class _Named(EnumType):
    """Has a call with what is no name refused at once: an array, for instance, cannot even be compared."""

    def __call__(cls, value: Any, *others: Any, **options: Any) -> Any:
        if not isinstance(value, str):
            one_of(cls.__name__.lower(), value, [member.value for member in cls])
        return super().__call__(value, *others, **options)


class Choice(StrEnum, metaclass=_Named):
    """An enumeration whose members are called for by their names as well: `Metric("cosine")` is `Metric.COSINE`.

    Raises: TypeError: no name. UsageError: a name that no member has, with those that there are.
    """

    @classmethod
    def _missing_(cls, value: object) -> None:
        one_of(cls.__name__.lower(), value, [member.value for member in cls])


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # Python writes no number of more than 4,300 digits
            return f"a whole number of about {x.bit_length() * math.log10(2):,.0f} digits"


shown = _Short().repr
"""A value in few words, whatever it holds."""


def described(value: Any) -> str:
    """What a value is, in few words, whatever it is: "'storm' (str)"."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of the shape {value.shape}"
    return f"{' '.join(shown(value).split())} ({type(value).__name__})"


def one_of(name: str, value: Any, names: Collection[str]) -> str:
    """`value`, which has to be one of the `names`. Raises TypeError for what is no text, UsageError for another one."""
    known = ", ".join(names)
    if not isinstance(value, str):
        raise TypeError(f"{name} is {described(value)}; give one of the names {known}")
    if value not in names:
        raise UsageError(f"there is no {name} {value!r}; choose among {known}")
    return str(value)


def instance(name: str, value: Any, kind: type[T], *, give: str = "") -> T:
    """`value`, which has to be of a class; `give` says how one is made. Raises TypeError."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {described(value)}; give {give or f'an object of {kind.__name__}'}")
    return value


def text(name: str, value: Any) -> str:
    """A single text. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {described(value)}; give a text")
    return str(value)


def field(name: str, value: Any) -> str:
    """The name of a field. Raises TypeError, and UsageError for an empty one."""
    if not text(name, value):
        raise UsageError(f"{name} is empty; give the name of a field, or leave it out")
    return str(value)


def texts(name: str, values: Any, *, call: str = "") -> list[str]:
    """Texts, or ids, as a list that can be read as often as one likes, numpy's strings among them as Python's.

    `call` is the function that was called, to show how a single one is given. Raises TypeError for a single text, and for what
    is none.
    """
    if isinstance(values, str | bytes | PurePath):
        single = f"[{shown(str(values) if isinstance(values, PurePath) else values)}]"
        raise TypeError(
            f"{name} is {described(values)}; give a list, even of a single one: {f'{call}({single})' if call else single}"
        )
    if isinstance(values, Mapping):
        raise TypeError(f"{name} is {described(values)}; give a list of strings")
    found = []
    for place, value in enumerate(iterable(name, values, "strings")):
        if type(value) is not str:
            if not isinstance(value, str):
                such = shown(value) if isinstance(value, int) else str(value)
                raise TypeError(f"{name}[{place}] is {described(value)}; give strings, such as {shown(such)}")
            value = str(value)
        found.append(value)
    return found


def fields(name: str, values: Any) -> list[str]:
    """Names of fields. Raises as `texts` and `field` do."""
    return [field(f"{name}[{place}]", value) for place, value in enumerate(texts(name, values))]


def iterable(name: str, values: Any, what: str) -> Iterator[Any]:
    """`values`, which have to be something to go through. Raises TypeError."""
    try:
        return iter(values)
    except TypeError:
        raise TypeError(f"{name} is {described(values)}; give a list of {what}") from None


def count(name: str, value: Any, *, least: int | None = 0, most: int | None = None) -> int:
    """A whole number, numpy's as well. Raises TypeError for another number, UsageError for one that is too low or too high."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {described(value)}; give a whole number") from None
    if (least is not None and number < least) or (most is not None and number > most):
        span = f"at least {least:,}" if most is None else f"{least:,} to {most:,}"
        raise UsageError(f"{name} is {shown(number)}; give {span}")
    return number


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number from `low` to `high`. Raises TypeError for what is none, UsageError for another one."""
    try:
        if isinstance(value, bool | np.bool_ | str | bytes):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {described(value)}; give a number") from None
    except OverflowError:
        found = math.inf
    if not (math.isfinite(found) and low <= found <= high):
        span = f" from {low:g} to {high:g}" if math.isfinite(high) else f" from {low:g} on" if math.isfinite(low) else ""
        raise UsageError(f"{name} is {shown(value)}; give a finite number{span}")
    return found


def flag(name: str, value: Any) -> bool:
    """True or False: any other value, "no" for instance, would count as true. Raises TypeError."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {described(value)}; give True or False")
    return bool(value)


def function(name: str, value: Any) -> Callable[..., Any]:
    """Something to call. Raises TypeError."""
    if not callable(value):
        raise TypeError(f"{name} is {described(value)}; give a function")
    return value


def functions(**given: Any) -> None:
    """Raise TypeError unless all of these can be called."""
    for name, value in given.items():
        function(name, value)


def kept(name: str, value: Any) -> Mapping[str, Any]:
    """What is kept as JSON, by names that are texts. Raises TypeError for what JSON cannot hold."""
    instance(name, value, Mapping, give="a dict")
    try:
        texts(f"the names in {name}", list(value))
        json.dumps(dict(value), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{name} is {described(value)}, which JSON cannot hold ({error})") from None
    return value


def path(name: str, value: Any) -> Path:
    """A path, given as a text or as a `Path`. Raises TypeError for anything else, UsageError for what no path can be and
    for an object store's URL, ResourceError for a name that is too long."""
    if not isinstance(value, str | os.PathLike) or not isinstance(given := os.fspath(value), str):
        raise TypeError(f"{name} is {described(value)}; give a path as a text or a Path")
    if not given:
        raise UsageError(f"{name} is empty; give a path")
    try:
        if b"\0" in os.fsencode(given):
            raise UsageError(f"{name} is {given!r}, which holds a NUL; no path can")
    except UnicodeEncodeError:
        raise UsageError(f"{name} is {given!r}, which holds half of a surrogate pair; no path can") from None
    try:
        os.lstat(given)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise ResourceError(f"{given}: {error.strerror}; give another {name}") from None
    if is_store_url(given):
        raise UsageError(f"{name} is {given!r}, {NO_PATH}")
    return Path(value)


def file(name: str, value: Any) -> Path:
    """The path of a file to write. Raises as `path`, and UsageError for one without a name, such as "."."""
    found = path(name, value)
    if not found.name:
        raise UsageError(f"{name} is {str(found)!r}, a folder; give the name of a file")
    return found


def paths(name: str, values: Any) -> list[Path]:
    """Paths, at least one. Raises TypeError for a single one that is in no list, and as `path`."""
    if isinstance(values, str | bytes | os.PathLike):
        raise TypeError(f"{name} is {described(values)}; give a list, even of a single one: [{str(values)!r}]")
    found = [path(f"{name}[{place}]", value) for place, value in enumerate(iterable(name, values, "paths"))]
    if not found:
        raise UsageError(f"{name} is empty; give at least one path")
    return found


def array(name: str, values: Any, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """Numbers as an array of the dtype, contiguous, of the shape they have; what is too large for float32 becomes infinity.

    Raises: TypeError: texts, complex numbers, objects, lists of unequal lengths.
    """
    try:
        found = np.asarray(values)
    except Exception as error:  # an object's own __array__ may raise anything
        raise TypeError(f"{name} is {described(values)}, which is no array of numbers ({error}); give one") from None
    if found.dtype.kind not in "fiu":
        kind = described(values) if found.ndim == 0 else f"an array of {found.dtype}"
        raise TypeError(f"{name} is {kind}; give an array of real numbers, such as float32")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(found, dtype).reshape(found.shape)


def blocks(name: str, values: Any, dim: int | None = None) -> tuple[int, Iterator[np.ndarray]]:
    """Blocks of vectors, (b, dim) float32, each looked at when it is asked for, and their dim, that of the first without one.

    Raises: TypeError: no iterable of arrays of numbers. VectorsError: another shape, or without a dim no block.
    """
    shape = f"(b, {'dim' if dim is None else dim})"
    if isinstance(values, np.ndarray) and values.ndim < 3:
        raise TypeError(f"{name} is {described(values)}; give a list of blocks, even of a single one: [{name}]")
    if isinstance(values, str | bytes | PurePath | Mapping):
        raise TypeError(f"{name} is {described(values)}; give a list of arrays {shape}")
    given = enumerate(iterable(name, values, f"arrays {shape}"))

    def checked(place: int, block: Any) -> np.ndarray:
        found = array(f"{name}[{place}]", block)
        if found.ndim != 2 or dim not in (None, found.shape[1]):
            raise VectorsError(f"{name}[{place}] has the shape {found.shape}; a block of vectors is {shape}")
        return found

    first = [checked(*found) for found in islice(given, 0 if dim is not None else 1)]
    if dim is None and not first:
        raise VectorsError(f"{name} is empty; give a row for each document")
    dim, shape = (first[0].shape[1], f"(b, {first[0].shape[1]})") if dim is None else (dim, shape)
    return dim, chain(first, starmap(checked, given))


def rows(name: str, values: Any, of: int) -> np.ndarray:
    """Row numbers below `of`: (n,) int64. Raises TypeError for what are no whole numbers, UsageError for a row there is not."""
    if isinstance(values, str | bytes | Mapping):
        raise TypeError(f"{name} is {described(values)}; give a list of row numbers")
    if not isinstance(values, np.ndarray):
        values = list(iterable(name, values, "row numbers"))
        if any(isinstance(value, bool | np.bool_) or not hasattr(value, "__index__") for value in values):
            raise TypeError(f"{name} is {described(values)}; give a list of row numbers")
        if wrong := [value for value in values if not 0 <= operator.index(value) < of]:
            raise _no_row(name, wrong[0], of)
        return np.array([operator.index(value) for value in values], np.int64)
    if values.ndim != 1 or (values.dtype.kind not in "iu" and values.size):
        raise TypeError(f"{name} is {described(values)}; give an array (n,) of row numbers")
    if len(wrong := values[(values < 0) | (values >= of)]):
        raise _no_row(name, wrong[0], of)
    return values.astype(np.int64)


def _no_row(name: str, row: Any, of: int) -> UsageError:
    return UsageError(f"{name} holds {shown(int(row))}, and there are {of:,} rows, counted from 0")
