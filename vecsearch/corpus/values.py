"""Values of fields as JSON has them, whatever library or format they come from: one rule for all."""

from __future__ import annotations

import datetime
import math
import re
from decimal import Decimal
from typing import Any

import numpy as np

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_FIRST = frozenset("-0123456789")
_MOST_DIGITS = 20
"""Characters of a whole number of 64 bits, its sign included."""
_MOST_ZEROS = 400
"""Zeros that a decimal's power of ten may add to its digits; float64 ends before."""
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_LAST = datetime.date.max.toordinal()
PLAIN = frozenset({str, int, bool, type(None)})
"""Types of the values that are JSON's as they are."""
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
"""Decimals of a second that the units of time have."""


def json_value(value: Any) -> Any:
    """`value` as JSON has it.

    Dates and times become texts in ISO 8601 that sort, those with a zone in UTC; durations seconds; NaN, infinity and NaT null.
    A decimal number becomes a number where that says exactly the same, else the text of its digits. Bytes are read as UTF-8. A
    set becomes a sorted list, and what JSON has no type for a string.

    Raises: ValueError: a date outside the years 1 to 9999, or two keys of an object that are written alike. RecursionError:
    nested too deeply.
    """
    if type(value) in PLAIN:
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, np.timedelta64):  # which numpy counts among the integers
        return _timedelta64_seconds(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return _json_object(value)
    if isinstance(value, set | frozenset):
        return [json_value(item) for item in sorted(value, key=lambda item: (type(item).__name__, str(item)))]
    if isinstance(value, np.ndarray):
        return [json_value(item) for item in value] if value.ndim else json_value(value[()])
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="backslashreplace")
    return _json_of_time_or_number(value)


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
        return seconds(value // datetime.timedelta(microseconds=1), "us")
    if isinstance(value, np.generic) and not isinstance(plain := value.item(), np.generic):
        return json_value(plain)
    return str(value)


def _json_object(value: dict[Any, Any]) -> dict[str, Any]:
    found = {str(key): json_value(item) for key, item in value.items()}
    if len(found) < len(value):
        raise ValueError(f"two of its keys are written alike, among {', '.join(found)}")
    return found


def _json_decimal(value: Decimal) -> Any:
    if not value.is_finite():
        return None
    exponent = value.as_tuple().exponent
    if abs(int(exponent)) > _MOST_ZEROS:
        return str(value)
    if value == value.to_integral_value():
        return int(value)
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
    if (offset := value.utcoffset()) is None:
        return value.replace(tzinfo=None).isoformat()
    try:
        return f"{(value.replace(tzinfo=None) - offset).isoformat()}+00:00"
    except OverflowError:
        raise ValueError(f"{value.isoformat()} is outside the years 1 to 9999 in UTC") from None


def date_text(days: int) -> str:
    """The date so many days after 1970-01-01, in ISO 8601. Raises ValueError outside the years 1 to 9999."""
    if not 0 < _EPOCH + days <= _LAST:
        raise ValueError(f"a date {days:,} days from 1970-01-01 is outside the years 1 to 9999")
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
        raise ValueError(f"the date {text} is outside the years 1 to 9999")
    return text


def _timedelta64_seconds(value: np.timedelta64) -> Any:
    if np.isnat(value):
        return None
    unit, step = np.datetime_data(value.dtype)
    ticks = int(value.astype(np.int64)) * step
    if unit in DIGITS:
        return seconds(ticks, unit)
    factors = {"W": 604800, "D": 86400, "h": 3600, "m": 60}
    return ticks * factors[unit] if unit in factors else str(value)
