"""Values of fields as JSON has them, whatever library or format they come from: one rule for all."""

from __future__ import annotations

import datetime
import math
import re
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np

from vecsearch import checks

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_FIRST = frozenset("-0123456789")
_MOST_DIGITS = 20
"""Characters of a whole number of 64 bits, its sign included."""
_MOST_ZEROS = 400
"""Zeros that a decimal's power of ten may add to its digits; float64 ends before."""
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_LAST = datetime.date.max.toordinal()
PLAIN = frozenset({str, int, bool, type(None)})
"""Types of the values of a file that are JSON's as they are."""
_MOST_READ = 4300
"""Digits of the longest whole number that Python's JSON reads again."""
_BEYOND = 10**_MOST_READ
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9, "ps": 12, "fs": 15, "as": 18}
"""Decimals of a second that the units of time have."""
_SECONDS = {"W": 604800, "D": 86400, "h": 3600, "m": 60}
"""Seconds that the longer units of time have. Years and months are of no fixed length."""


def json_value(value: Any) -> Any:
    """`value` as JSON has it, whatever library or format it comes from.

    Dates and times become texts in ISO 8601 that sort, those with a zone in UTC; durations seconds; NaN, infinity and NaT null.
    A decimal number becomes a number where that says exactly the same, else the text of its digits. Bytes are read as UTF-8. A
    set becomes a sorted list, and an UUID or a path its text.

    Raises: TypeError: JSON has no form for it, or for what it holds; two keys of an object are written alike. ValueError: a
    date outside the years 1 to 9999, a duration in years or months, half of a surrogate pair, a whole number that is too long.
    RecursionError: nested too deeply.
    """
    if isinstance(value, str):
        return _whole_text(value if type(value) is str else str.__str__(value))
    if value is None or isinstance(value, bool | np.bool_):
        return value if value is None else bool(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.timedelta64):  # which numpy counts among the integers
        return _timedelta64_seconds(value)
    if isinstance(value, int | np.integer):
        return _readable(int(value))
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return _json_object(value)
    if isinstance(value, set | frozenset):
        return _json_set(value)
    if isinstance(value, np.ndarray):
        return [json_value(item) for item in value] if value.ndim else json_value(value[()])
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="backslashreplace")
    return _json_of_time_or_number(value)


def is_json(value: Any) -> bool:
    """Whether `json_value` leaves a value as it is. Takes any depth: what is nested deeply may come from an index."""
    kind = type(value)
    if kind is str:
        return value.isascii() or has_utf8(value)
    if kind is int:
        return -_BEYOND < value < _BEYOND
    if kind is float:
        return value - value == 0  # neither NaN nor infinite
    return kind is bool or value is None or ((kind is list or kind is dict) and _holds_json(value))


def _holds_json(value: list[Any] | dict[Any, Any]) -> bool:
    holders, seen = [value], set()
    while holders:
        holder = holders.pop()
        if id(holder) in seen:  # perhaps in itself
            return False
        seen.add(id(holder))
        if type(holder) is dict and not all(type(key) is str and has_utf8(key) for key in holder):
            return False
        for item in holder.values() if type(holder) is dict else holder:
            if type(item) is list or type(item) is dict:
                holders.append(item)
            elif not is_json(item):
                return False
    return True


def has_utf8(text: str) -> bool:
    """Whether a text can be written: half of a surrogate pair is no character, and no encoding of Unicode has it."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def half_of_a_pair(text: str) -> str:
    """What is wrong with a text that has no UTF-8, for messages."""
    place = next(place for place, letter in enumerate(text) if "\ud800" <= letter <= "\udfff")
    return f"holds half of a surrogate pair, {text[place]!r}, as character {place + 1:,}"


def _whole_text(text: str) -> str:
    if not has_utf8(text):
        raise ValueError(f"it {half_of_a_pair(text)}")
    return text


def _readable(number: int) -> int:
    if not -_BEYOND < number < _BEYOND:
        raise ValueError(f"{checks.shown(number)} is too long: up to {_MOST_READ:,} digits are read again")
    return number


def _json_of_time_or_number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return _json_decimal(value)
    if isinstance(value, np.datetime64):
        return _datetime64_text(value)
    if isinstance(value, datetime.datetime):
        return None if value != value else datetime_text(value)  # pandas' NaT differs from itself
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return _timedelta_seconds(value)
    if isinstance(value, UUID | PurePath):
        return _whole_text(str(value))
    if isinstance(value, np.void) and isinstance(plain := value.item(), tuple | bytes):
        return json_value(plain)
    raise TypeError(f"is {checks.described(value)}, or holds it")


def _json_object(value: dict[Any, Any]) -> dict[str, Any]:
    found = {_json_key(key): json_value(item) for key, item in value.items()}
    if len(found) < len(value):
        raise TypeError(f"has two keys that are written alike, among {', '.join(found)}")
    return found


def _json_key(key: Any) -> str:
    if not isinstance(key, str | int | float | np.number):
        raise TypeError(f"has the key {checks.described(key)}")
    return _whole_text(str(_readable(key) if isinstance(key, int) else key))


def _json_set(value: set[Any] | frozenset[Any]) -> list[Any]:
    found = [(type(item).__name__, json_value(item)) for item in value]
    return [item for _, item in sorted(found, key=lambda named: (named[0], str(named[1])))]


def _json_decimal(value: Decimal) -> Any:
    if not value.is_finite():
        return None
    exponent = value.as_tuple().exponent
    if abs(int(exponent)) > _MOST_ZEROS:
        return str(value)
    if value == value.to_integral_value():
        return _readable(int(value))
    near = float(value)
    return near if Decimal(repr(near)) == value else f"{value:f}"


def cell_value(cell: str) -> Any:
    """A cell of a delimited file as a field's value: a number where it is written as JSON writes that number, and so loses
    nothing; else the text it is, such as "01234", "1.10", "1e5", " 7" and "-0".

    Whole numbers beyond 64 bits are texts too: they are names more often than amounts, and few programs that read them again
    keep their digits.
    """
    if cell[:1] not in _FIRST or (match := _NUMBER.fullmatch(cell)) is None:
        return cell
    if not match[1] and len(cell) > _MOST_DIGITS:
        return cell
    number = float(cell) if match[1] else int(cell)
    if isinstance(number, int) and not -(1 << 63) <= number < 1 << 63:
        return cell
    return number if (number and repr(number) == cell) or cell in ("0", "0.0") else cell


def datetime_text(value: datetime.datetime) -> str:
    """A date with its time in ISO 8601; one with a zone in UTC, so that texts sort as the times do. Raises ValueError."""
    offset, plain = value.utcoffset(), value.replace(tzinfo=None)
    try:
        plain -= offset or datetime.timedelta()
    except OverflowError:
        raise _no_year(f"the date {value.isoformat()} in UTC") from None
    if not datetime.MINYEAR <= plain.year <= datetime.MAXYEAR:  # pandas has more years than Python
        raise _no_year(f"the date {value.isoformat()}")
    return f"{plain.isoformat()}{'' if offset is None else '+00:00'}"


def _no_year(date: str) -> ValueError:
    return ValueError(f"{date} is outside the years 1 to 9999")


def date_text(days: int) -> str:
    """The date so many days after 1970-01-01, in ISO 8601. Raises ValueError outside the years 1 to 9999."""
    if not 0 < _EPOCH + days <= _LAST:
        raise _no_year(f"a date {days:,} days from 1970-01-01")
    return datetime.date.fromordinal(_EPOCH + days).isoformat()


def timestamp_text(ticks: int, unit: str, *, utc: bool) -> str:
    """The time so many ticks of the unit after 1970-01-01, in ISO 8601. Raises ValueError outside the years 1 to 9999."""
    days, rest = divmod(ticks, 86400 * 10 ** DIGITS[unit])
    return f"{date_text(days)}T{time_text(rest, unit)}{'+00:00' if utc else ''}"


def time_text(ticks: int, unit: str) -> str:
    """The time of day so many ticks of the unit after midnight, in ISO 8601. Raises ValueError outside of a day."""
    whole, part = divmod(ticks, 10 ** DIGITS[unit])
    if not 0 <= whole < 86400:
        raise ValueError(f"{ticks:,} {unit} after midnight is no time of a day")
    text = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
    if not part:
        return text
    nanoseconds = f"{part:0{DIGITS[unit]}}".ljust(9, "0")
    return f"{text}.{nanoseconds.removesuffix('000')}"


def seconds(ticks: int, unit: str) -> Any:
    """So many ticks of the unit as seconds: a number where that is exact, else its digits as text."""
    whole, part = divmod(abs(ticks), 10 ** DIGITS[unit])
    sign = "-" if ticks < 0 else ""
    return _json_decimal(Decimal(f"{sign}{whole}.{part:0{DIGITS[unit]}}")) if part else int(f"{sign}{whole}")


def _datetime64_text(value: np.datetime64) -> str | None:
    if np.isnat(value):
        return None
    text = str(value)
    year = text[1:].partition("-")[0] if text[0] in "+-" else text.partition("-")[0]
    if text[0] in "+-" or len(year) != 4 or year == "0000":
        raise _no_year(f"the date {text}")
    return text


def _timedelta_seconds(value: datetime.timedelta) -> Any:
    microseconds = value // datetime.timedelta(microseconds=1)
    if nanoseconds := getattr(value, "nanoseconds", 0):  # pandas has them
        return seconds(microseconds * 1000 + nanoseconds, "ns")
    return seconds(microseconds, "us")


def _timedelta64_seconds(value: np.timedelta64) -> Any:
    if np.isnat(value):
        return None
    unit, step = np.datetime_data(value.dtype)
    ticks = int(value.astype(np.int64)) * step
    if unit in _SECONDS:
        return ticks * _SECONDS[unit]
    if unit not in DIGITS:
        raise ValueError(f"{value} is a duration of no fixed length; give it in days, hours or seconds")
    return seconds(ticks, unit)
