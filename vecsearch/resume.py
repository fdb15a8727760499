"""Unfinished work is gone on with only where the result will be the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vecsearch.errors import UsageError


def refuse_difference(work: Path, before: Mapping[str, Any], now: Mapping[str, Any], *, anew: str = "without --resume") -> None:
    """Raise UsageError, naming the first value that differs, unless unfinished `work` was started with the values of `now`: all
    that its result depends on, by name. `before` is what was kept of them as JSON, `anew` how to start again."""
    now = json.loads(json.dumps(now))
    for name in [*before, *now]:
        if before.get(name) != now.get(name):
            raise UsageError(
                f"cannot resume: {work} was started with {name} {before.get(name)!r}, not {now.get(name)!r}; "
                f"use the same options, or start again {anew}"
            )
