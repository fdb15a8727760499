"""What a query for words asks for: its terms, and the ways in which a document can have each of them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from vecsearch.text.analysis import Analyser, Word
from vecsearch.text.folding import folded
from vecsearch.text.wording import form, forms, has_word, joined, pairs, segments, single_words, without_signs

EXACT_FORM = 0.2
"""What the form of a word that is asked for counts beside its stem, which it is added to."""
PART = 0.5
"""What a pair of characters counts beside a word, and email where e-mail is asked for, or e-mail where email is."""
LONGEST_PHRASE = 1_000
"""Words of a phrase that are looked for, the first ones: FTS5 takes 50 kB for each, and its time grows with their square."""
_OF_WORDS = re.compile(r"(?:[^\W\d_]{2,}-)+[^\W\d_]{2,}")
"""Forms such as boundary-layer, whose words say what they mean: those who write them apart mean the same."""
_TERM = re.compile(r'"([^"]+)"|(\S+)')


@dataclass(frozen=True)
class Reading:
    """One way in which a document can have a term: a word of the `stems`, in any `form` or in one, or a `phrase`, a string of
    FTS5.

    It is `ranked` by BM25, times `weight`; otherwise it counts the same in every document, `weight` times its rarity. A
    document with a phrase has to have all of the `signed` forms as well.
    """

    stems: tuple[str, ...] = ()
    form: str | None = None
    phrase: str = ""
    signed: tuple[str, ...] = ()
    weight: float = 1.0
    ranked: bool = True


@dataclass(frozen=True)
class Term:
    """A term as it is `written`, `other` ways to find it, and the string of FTS5 for what an `earlier` vecsearch wrote.

    Where `written` is not ranked, the others may together bring no more than it. All of it counts as many `times` as the
    query says it.
    """

    written: Reading
    other: tuple[Reading, ...]
    earlier: str = field(compare=False)
    times: int = 1


def terms(text: str, analyse: Analyser) -> list[Term]:
    """The terms of a query: each word, and each "phrase in quotes"; what has neither letter nor digit is none, nor are stop
    words beside others.

    A word is taken apart as the texts were, so that XK-47 is xk and 47, one after the other; and xk-47 as it is written.
    """
    # NUL would end the query in the middle; half of a surrogate pair has no UTF-8 form.
    text = text.replace("\0", " ").encode("utf-8", "replace").decode()
    found: Counter[Term] = Counter()
    stopping: set[Term] = set()
    for match in _TERM.finditer(text):
        said = match[1] or match[2]
        if has_word(term := folded(said)):
            written, *other = _phrase(term, analyse) if match[1] else _readings(said, term, analyse)
            read = Term(written, tuple(other), _quoted(said))
            found[read] += 1
            if match[2] and not analyse.decides(form(term) or " ".join(single_words(term))):
                stopping.add(read)
    kept = found.keys() - stopping or found.keys()
    return [replace(term, times=times) for term, times in found.items() if term in kept]


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


def _single(said: str, analyse: Analyser) -> Word | None:
    """The word that a text is, if it is one."""
    found = analyse.words(said)
    return found[0] if len(found) == 1 else None


def _phrase(text: str, analyse: Analyser) -> list[Reading]:
    """Readings of a phrase: documents that have its forms as well come before those that have its words."""
    asked = sorted({found for chunk in text.split() if (found := form(chunk))})
    phrase = Reading(phrase=_words(text))
    if (word := _single(text, analyse)) and not any(run for _, run in segments(text)):
        phrase = Reading(stems=word.stems, form=word.form)
    return [Reading(phrase=_words(text), signed=tuple(asked), ranked=False), phrase] if asked else [phrase]


def _readings(said: str, text: str, analyse: Analyser) -> list[Reading]:
    """Readings of a term without quotes, as it is written first: what is `said`, and the same as folded `text`."""
    parts = segments(text)
    runs = [pairs(part, last=False) for part, run in parts if run]
    if runs and (len(parts) > 1 or len(runs[0]) > 1):
        found = dict.fromkeys(pair for run in runs for pair in run)
        weight = PART if len(found) > 1 else 1.0
        whole = Reading(phrase=_words(text), ranked=False)
        beside = [
            reading for part in dict.fromkeys(part for part, run in parts if not run) for reading in _parts(part, analyse)
        ]
        return [whole, *beside, *(_pair(pair, weight) for pair in found)]
    if runs:
        return [_pair(runs[0][0], 1.0)]
    words, written = analyse.words(said), form(text)
    if len(words) > 1 and any(map(str.isdigit, text)):
        # A code: its parts say nothing one by one.
        whole = [Reading(phrase=_words(text))]
    else:
        together = [Reading(phrase=_words(text), weight=PART)] if len(words) > 1 else []
        whole = [*(reading for word in dict.fromkeys(words) for reading in _word(word, analyse)), *together]
    if written is None:
        # Who asks for email finds e-mail.
        also = [Reading(stems=(without_signs(words[0].form),), weight=PART, ranked=False)] if len(words) == 1 else []
        return [*whole, *also]
    also = joined(written)
    others = [] if also is None else [Reading(stems=analyse.of_chunk(also)[0].stems, form=also, weight=PART)]
    if _OF_WORDS.fullmatch(written):
        return [*whole, *others, Reading(stems=(written,), weight=EXACT_FORM)]
    return [Reading(stems=(written,), ranked=False), *whole, *others]


def _word(word: Word, analyse: Analyser) -> list[Reading]:
    """A word in any form counts, and a little more in the one that is asked for."""
    exact = [Reading(stems=word.stems, form=word.form, weight=EXACT_FORM)] if analyse.has_stems else []
    return [Reading(stems=word.stems), *exact]


def _pair(pair: str, weight: float) -> Reading:
    """A pair of characters is a word; a single one is the first of any."""
    return (
        Reading(stems=(pair,), weight=weight)
        if len(pairs(pair, last=True)) > 1
        else Reading(phrase=_words(pair), weight=weight)
    )


def _parts(text: str, analyse: Analyser) -> list[Reading]:
    """Readings of what stands in a term beside a run without spaces: its words, and its forms."""
    written = [Reading(stems=(form,), ranked=False) for form in sorted(forms([text])[0])]
    word = _single(text, analyse)
    return [*([Reading(phrase=_words(text))] if word is None else _word(word, analyse)), *written]
