"""What a query for words asks for: its terms, and the ways in which a document can have each of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vecsearch.store.folding import folded
from vecsearch.store.wording import form, forms, has_word, joined, pairs, segments, single_words

MOST = 2.2
"""BM25's k1 + 1: how many times its rarity a word can count, however often a document has it."""
PART = 0.5
"""What a pair of characters counts beside a word, and email where e-mail is asked for, or e-mail where email is."""
LONGEST_PHRASE = 1_000
"""Words of a phrase that are looked for, the first ones: FTS5 takes 50 kB for each, and its time grows with their square."""
_TERM = re.compile(r'"([^"]+)"|(\S+)')


@dataclass(frozen=True)
class Reading:
    """One way in which a document can have a term: what is looked for in a table of its file, as a string of FTS5.

    It is `ranked` by BM25, times `weight`; otherwise it counts the same in every document, `weight` times its rarity. With
    `forms` a document has to have those as well.
    """

    table: str
    match: str
    forms: str = ""
    weight: float = 1.0
    ranked: bool = True


@dataclass(frozen=True)
class Term:
    """A term as it is `written`, `other` ways to find it, and how it is found in what an `earlier` vecsearch wrote.

    Where `written` is not ranked, it counts as much as all others may bring together.
    """

    written: Reading
    other: tuple[Reading, ...]
    earlier: Reading


def terms(text: str) -> list[Term]:
    """The terms of a query: each word, and each "phrase in quotes", once; what has neither letter nor digit is none.

    A word is taken apart as the texts were, so that XK-47 is xk and 47, one after the other; and xk-47 as it is written.
    """
    # NUL would end the query in the middle; half of a surrogate pair has no UTF-8 form.
    text = text.replace("\0", " ").encode("utf-8", "replace").decode()
    found: dict[Reading, Term] = {}
    for match in _TERM.finditer(text):
        said = match[1] or match[2]
        if has_word(term := folded(said)):
            written, *other = _phrase(term) if match[1] else _readings(term)
            found.setdefault(written, Term(written, tuple(other), Reading("words", _quoted(said))))
    return list(found.values())


def divided(text: str) -> list[str]:
    """The terms of a query, as they are asked, that are found only where their words follow one another: "a phrase", a/b."""
    said = [match[1] or match[2] for match in _TERM.finditer(text)]
    words = [[] if any(run for _, run in segments(folded(term))) else single_words(folded(term)) for term in said]
    return [term for term, its in zip(said, words, strict=True) if len(its) > 1]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _words(text: str) -> str:
    """FTS5's string for the first LONGEST_PHRASE words of a folded text, one after another."""
    parts, found = segments(text), []
    for number, (part, run) in enumerate(parts, 1):
        found += pairs(part, last=number < len(parts)) if run else single_words(part)
    # A single character at the end is the first one of any pair: in a text its run may go on.
    ends = "*" if parts[-1][1] and len(pairs(parts[-1][0], last=True)) == 1 and len(found) <= LONGEST_PHRASE else ""
    return _quoted(" ".join(found[:LONGEST_PHRASE])) + ends


def _phrase(text: str) -> list[Reading]:
    """Readings of a phrase: documents that have its forms as well come before those that have its words."""
    phrase = Reading("terms", _words(text))
    asked = sorted({found for chunk in text.split() if (found := form(chunk))})
    return [Reading("terms", phrase.match, " AND ".join(map(_quoted, asked)), ranked=False), phrase] if asked else [phrase]


def _readings(text: str) -> list[Reading]:
    """Readings of a term without quotes, as it is written first."""
    parts = segments(text)
    runs = [pairs(part, last=False) for part, run in parts if run]
    if runs and (len(parts) > 1 or len(runs[0]) > 1):
        found = dict.fromkeys(pair for run in runs for pair in run)
        weight = PART if len(found) > 1 else 1.0
        whole = Reading("terms", _words(text), ranked=False)
        beside = [reading for part in dict.fromkeys(part for part, run in parts if not run) for reading in _parts(part)]
        return [whole, *beside, *(Reading("terms", _words(pair), weight=weight) for pair in found)]
    whole = Reading("terms", _words(text))
    if runs:
        return [whole]
    if (written := form(text)) is None:
        # Who asks for email finds e-mail.
        alone = single_words(text)
        return [whole, Reading("forms", _quoted(alone[0]), weight=PART, ranked=False)] if len(alone) == 1 else [whole]
    together = joined(written)
    also = [Reading("terms", _quoted(together), weight=PART)] if together else []
    return [Reading("forms", _quoted(written), ranked=False), whole, *also]


def _parts(text: str) -> list[Reading]:
    """Readings of what stands in a term beside a run without spaces: its words, and its forms."""
    written = [Reading("forms", _quoted(form), weight=MOST, ranked=False) for form in sorted(forms([text])[0])]
    return [Reading("terms", _words(text)), *written]
