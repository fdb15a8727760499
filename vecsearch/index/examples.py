"""Conditions that an index understands and that find something in it, made of its own fields: something to begin with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any

from vecsearch.index.field_values import Field
from vecsearch.store.filters.tokens import written_name, written_text

MOST = 6
"""Conditions that are shown."""
_LONGEST = 40
"""Characters of a text in a condition: a longer one is no example."""
_SEVERAL = 3
"""Documents that have to share a value before it is one to ask for."""
_WORD = re.compile(r"[^\W\d_]{3,}")
_WHOLE = 1 << 53
"""Up to here a whole number is the same in SQLite's JSON and in Python."""


def examples(fields: Sequence[Field], documents: int) -> list[str]:
    """At most MOST conditions on these fields of so many documents, one of each kind first; each is met by some document."""
    shown = [field for field in fields if field.name.isprintable()]
    kinds = [list(_numbers(shown)), list(_lists(shown)), list(_texts(shown)), list(_truths(shown)), list(_beginnings(shown))]
    kinds.append([f"{written_name(field.name)} is not null" for field in shown if field.documents < documents])
    return list(islice((found for turn in zip_longest(*kinds) for found in turn if found), MOST))


def _numbers(fields: Sequence[Field]) -> Iterator[str]:
    """Comparisons with a number in the middle: what is compared is a number, or passed over."""
    for field in fields:
        if "list" in field.kinds or field.median is None or field.least == field.most:
            continue
        if isinstance(field.median, int):
            yield f"{written_name(field.name)} >= {field.median}"
        # SQLite reads some decimal numbers one bit higher or lower than Python does.
        elif (rounded := float(f"{field.median:.3g}")) < field.most - abs(field.most) * 1e-9 and math.isfinite(rounded):
            yield f"{written_name(field.name)} > {rounded!r}"


def _lists(fields: Sequence[Field]) -> Iterator[str]:
    for field in fields:
        if field.kinds == ["list"] and (value := _common(field, list)) is not None:
            yield f"{value} in (select value from json_each({written_name(field.name)}))"


def _texts(fields: Sequence[Field]) -> Iterator[str]:
    for field in fields:
        value = _common(field, str)
        if "list" not in field.kinds and value is not None:
            yield f"{written_name(field.name)} = {value}"


def _truths(fields: Sequence[Field]) -> Iterator[str]:
    for field in fields:
        if field.kinds == ["boolean"]:
            yield f"{written_name(field.name)} = {'true' if field.common[0].value else 'false'}"


def _beginnings(fields: Sequence[Field]) -> Iterator[str]:
    """Words that texts begin with, of fields whose texts are nearly all different."""
    for field in fields:
        if "list" in field.kinds or "text" not in field.kinds or _common(field, str) is not None:
            continue
        words = (_WORD.match(found.value) for found in field.common if isinstance(found.value, str))
        if word := next((word for word in words if word), None):
            yield f"{written_name(field.name)} like {written_text(word[0] + '%')}"


def _common(field: Field, kind: type) -> str | None:
    """A value that several documents share, as a condition has it, if there is one: a text, in a list also a whole number."""
    for found in field.common:
        shared = found.documents >= min(_SEVERAL, field.documents)
        if shared and (isinstance(found.value, str) or kind is list) and (value := _written(found.value)):
            return value
    return None


def _written(value: Any) -> str | None:
    if isinstance(value, str):
        return written_text(value) if value.isprintable() and 0 < len(value) <= _LONGEST else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _WHOLE else None
