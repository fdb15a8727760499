"""The unit that is encoded, stored and found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """One searchable text. `fields` is whatever else the corpus says of it (JSON values) and is shown with hits."""

    id: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)
    where: str = field(default="", compare=False)
    """Where it was read, for error messages ("films.jsonl, line 7"); never stored."""
