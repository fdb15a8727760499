"""spaCy's rule-based tokenizer, chunk by chunk, without spaCy.

Source: spaCy 3, `spacy/tokenizer.pyx` (`_tokenize_affixes`, `_split_affixes`, `_attach_tokens`, `_apply_special_cases`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from itertools import chain, filterfalse, pairwise
from operator import add
from typing import Any

from vecsearch.errors import UsageError
from vecsearch.text.affixes import ends_of_words, leaves_words, outside_words, prefix_length, suffix_length
from vecsearch.text.expressions import Expression
from vecsearch.text.rules import SPECIAL_TOKENS

_RUN = re.compile(r"\S+|\s+")
_LONGEST_KNOWN = 64
_FLAGS = {int(re.UNICODE), int(re.UNICODE | re.IGNORECASE)}
_NEVER = Expression("(?!)", 0)
"""Stands for an expression that a language does not have."""
_Sequences = dict[str, "_Sequences"]


@dataclass(frozen=True, slots=True)
class SplitPattern:
    """One regular expression, as text and as the integer of its flags."""

    pattern: str
    flags: int

    def expression(self, others: frozenset[str]) -> Expression:
        """What searches strings, of which most are of ASCII and of `others`."""
        return Expression(self.pattern, self.flags, others)


@dataclass(frozen=True, slots=True)
class SplitRules:
    """spaCy's expressions and special cases of one language.

    They are kept with the encoder, so its tokens stay the ones it was trained on whichever spaCy is installed, or none.
    """

    lang: str
    spacy_version: str
    prefix: SplitPattern
    suffix: SplitPattern
    infix: SplitPattern
    token_match: SplitPattern | None
    url_match: SplitPattern | None
    special_cases: dict[str, list[str]]

    @classmethod
    def from_spacy(cls, lang: str) -> SplitRules:
        """The rules of spaCy's blank `lang` pipeline with fastai's nine marks as special cases, as `SpacyTokenizer` has it.

        Raises `UsageError` when spaCy has no such language or splits it by something other than rules.
        """
        import spacy
        from spacy.symbols import ORTH
        from spacy.tokenizer import Tokenizer

        try:
            tokenizer = spacy.blank(lang).tokenizer
        except ImportError as error:  # an unknown language, and one that needs a package of its own, alike
            raise UsageError(f"spaCy cannot split the language {lang!r}: {error}; try 'xx', which fits any") from error
        if type(tokenizer) is not Tokenizer:
            raise UsageError(f"spaCy splits {lang!r} by {type(tokenizer).__name__}, not by rules; use a SentencePiece model")
        for mark in SPECIAL_TOKENS:
            tokenizer.add_special_case(mark, [{ORTH: mark}])
        return cls(
            lang=lang,
            spacy_version=spacy.__version__,
            prefix=_pattern(tokenizer.prefix_search),
            suffix=_pattern(tokenizer.suffix_search),
            infix=_pattern(tokenizer.infix_finditer),
            token_match=_pattern(tokenizer.token_match) if tokenizer.token_match else None,
            url_match=_pattern(tokenizer.url_match) if tokenizer.url_match else None,
            special_cases={case: [part[ORTH] for part in parts] for case, parts in sorted(tokenizer.rules.items())},
        )

    def to_json(self) -> dict[str, Any]:
        """The rules as JSON values, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SplitRules:
        """The rules that `to_json` wrote. Raises `KeyError`, `TypeError`, `ValueError` or `re.error` when they are not."""
        names = ("prefix", "suffix", "infix", "token_match", "url_match")
        patterns = {name: None if values[name] is None else SplitPattern(**values[name]) for name in names}
        flags = {pattern.flags for pattern in patterns.values() if pattern} - _FLAGS
        if flags:
            raise ValueError(f"flags {flags.pop()!r} of an expression are none of {sorted(_FLAGS)}")
        cases = {case: [str(part) for part in parts] for case, parts in values["special_cases"].items()}
        wrong = [case for case, parts in cases.items() if not case or "".join(parts) != case]
        if wrong:
            raise ValueError(f"the parts of the special case {wrong[0]!r} do not make it up")
        return cls(lang=values["lang"], spacy_version=values["spacy_version"], special_cases=cases, **patterns)


def _pattern(method: Any) -> SplitPattern:
    return SplitPattern(method.__self__.pattern, method.__self__.flags)


class TokenSplitter:
    """Splits texts exactly as spaCy's `Tokenizer` with these rules does."""

    def __init__(self, rules: SplitRules, *, remembered: int = 1 << 16) -> None:
        # Every special case is split at first.
        others = frozenset(filterfalse(str.isascii, chain.from_iterable(rules.special_cases)))
        prefix, suffix, infix = (pattern.expression(others) for pattern in (rules.prefix, rules.suffix, rules.infix))
        self._prefix, self._suffix, self._infix = prefix_length(prefix), suffix_length(suffix), outside_words(infix)
        leaves = all(map(leaves_words, (prefix, suffix, self._infix)))
        signs = "".join(map(re.escape, ends_of_words(prefix, suffix))) if leaves and not rules.token_match else ""
        self._word = re.compile(f"([a-z]+)([{signs}])?" if signs else "([a-z]+)()" if leaves else "(?!)").fullmatch
        self._token_match = _linear(rules.token_match, others) if rules.token_match else _NEVER
        self._url_match = _linear(rules.url_match, others) if rules.url_match else _NEVER
        self._cases = {case: tuple(parts) for case, parts in rules.special_cases.items()}
        self._longest_case = max(map(len, self._cases), default=0)
        self.case_tokens: set[str] = set()
        """Every token that special cases are found by, when affixes have cut them."""
        self._known: dict[str, tuple[str, ...]] = {}
        self._most_known = remembered
        self._sequences = self._case_sequences()
        self._begun = {
            key for first, node in self._sequences.items() for key in (first if not then else (first, then) for then in node)
        }
        """The first two tokens of each, or its only one."""

    def split(self, text: str) -> list[str]:
        """The tokens of `text`. Whitespace is a token too, but for the one space that ends a word."""
        tokens: list[str] = []
        spaces: list[str] = []  # what follows each token: " " or nothing
        for run in _RUN.finditer(text):
            chunk = run[0][1:] if run.start() and run[0][0] == " " else run[0]
            if chunk:
                parts = self.split_chunk(chunk)
                tokens += parts
                spaces += [""] * (len(parts) - 1)
                spaces.append(" " if text.startswith(" ", run.end()) else "")
        return self._apply_cases(tokens, spaces)

    def split_chunk(self, chunk: str) -> tuple[str, ...]:
        """The tokens of one run of whitespace or of anything else, before special cases are looked for across them."""
        if tokens := self._at_once(chunk):
            return tokens
        prefixes: list[str] = []
        suffixes: list[str] = []
        # What is left is chunk[start:end]: copies of all of that would take quadratic time, and so would looking at it.
        start, end = 0, len(chunk)
        middle: tuple[str, ...] = ()
        while start < end and not middle:
            first, last = self._strip_affixes(chunk, start, end)
            if (first, last) == (start, end):
                middle = self._split_core(chunk[start:end])
                self._remember(chunk[start:end], middle)
                break
            if first > start:
                prefixes.append(chunk[start:first])
            if last < end:
                suffixes.append(chunk[last:end])
            start, end = first, last
            if end - start <= _LONGEST_KNOWN:
                middle = self._at_once(chunk[start:end])
        if end - start == len(chunk):
            return middle
        tokens = (*prefixes, *middle, *reversed(suffixes))
        self._remember(chunk, tokens)
        return tokens

    def _at_once(self, chunk: str) -> tuple[str, ...]:
        """The tokens of a special case, of a word before a sign or none, as most new chunks are, of what is known; else ()."""
        if tokens := self._cases.get(chunk):
            return tokens
        if found := self._word(chunk):
            word, sign = found.groups()
            tokens = self._cases.get(word) or (word,)
            return (*tokens, sign) if sign else tokens
        return self._known.get(chunk, ())

    def has_cases(self, tokens: tuple[str, ...]) -> bool:
        """Whether a special case may be found across some of these tokens: its first two are there, or its only one."""
        return not self._begun.isdisjoint(tokens) or (len(tokens) > 1 and not self._begun.isdisjoint(pairwise(tokens)))

    def join_cases(self, chunks: Iterable[tuple[str, ...]]) -> list[str]:
        """The tokens of chunks with a space between two, with the special cases found across them joined."""
        parts = list(chunks)
        tokens = [*chain.from_iterable(parts)]
        spaces = [space for part in parts for space in (*[""] * (len(part) - 1), " ")]
        return self._apply_cases(tokens, spaces)

    def _strip_affixes(self, chunk: str, start: int, end: int) -> tuple[int, int]:
        """What is left of chunk[start:end] without its first prefix and its last suffix."""
        most, cases = self._longest_case, self._cases  # what is longer is no case, and hashing a long string is slow
        if end - start <= most and chunk[start:end] in cases:
            return start, end
        if self._token_match is not _NEVER and self._token_match.matches(chunk[start:end]):
            return start, end
        first = start + self._prefix(chunk, start, end)
        if first > start and end - first <= most and chunk[first:end] in cases:
            return first, end
        last = end - self._suffix(chunk, first, end)
        if last < end and last - start <= most and chunk[start:last] in cases:
            return start, last
        return first, last

    def _split_core(self, string: str) -> tuple[str, ...]:
        if string in self._cases:
            return self._cases[string]
        if self._token_match.matches(string) or self._url_match.matches(string):
            return (string,)
        tokens = []
        start = 0
        for infix in self._infix.of(string).finditer(string):
            if infix.start() == 0:
                continue
            tokens += [string[start : infix.start()], infix[0]]
            start = infix.end()
        tokens.append(string[start:])
        return tuple(filter(None, tokens))

    def _remember(self, chunk: str, tokens: tuple[str, ...]) -> None:
        if len(chunk) <= _LONGEST_KNOWN:
            if len(self._known) >= self._most_known:
                self._known.clear()
            self._known[chunk] = tokens

    def _case_sequences(self) -> _Sequences:
        """The special cases that affixes would cut, as a tree of the tokens they are cut into; "" ends a sequence."""
        tree: _Sequences = {}
        cut = [case for case in self._cases if self._would_cut(case)]
        plain = copy(self)  # which shares the expressions: reading them takes time
        plain._cases, plain._longest_case, plain._sequences, plain._known = {}, 0, {}, {}
        for case in cut:
            node = tree
            tokens = plain.split(case)
            if tokens == [case] == [*self._cases[case]]:
                continue  # such as a quotation mark: there is nothing to join
            for token in tokens:
                node = node.setdefault(token, {})
                self.case_tokens.add(token)
            node[""] = {}
        return tree

    def _would_cut(self, case: str) -> bool:
        affixes = self._prefix(case, 0, len(case)) or self._suffix(case, 0, len(case))
        return bool(affixes) or " " in case or self._infix.of(case).search(case) is not None

    def _apply_cases(self, tokens: Sequence[str], spaces: Sequence[str]) -> list[str]:
        kept: dict[int, int] = {}
        taken: set[int] = set()
        for start, end in sorted(self._spans(tokens), key=lambda span: (span[0] - span[1], span[0])):
            if start not in taken and end - 1 not in taken:
                kept[start] = end
            taken.update(range(start, end))  # by spans that are not kept too, as in spaCy
        result: list[str] = []
        at = 0
        for start, end in sorted(kept.items()):
            text = "".join(map(add, tokens[start:end], [*spaces[start : end - 1], ""]))
            result += tokens[at:start]
            result += self._cases.get(text, tokens[start:end])
            at = end
        return [*result, *tokens[at:]]

    def _spans(self, tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Start and end of every sequence of `tokens` that special cases are cut into."""
        first = self._sequences
        for start in [place for place, token in enumerate(tokens) if token in first]:
            node: _Sequences | None = first[tokens[start]]
            end = start + 1
            while node is not None:
                if "" in node:
                    yield start, end
                node = node.get(tokens[end]) if end < len(tokens) else None
                end += 1


def _linear(pattern: SplitPattern, others: frozenset[str]) -> Expression:
    """An expression that matches the same strings, in linear time where it has spaCy's for the user in an address.

    `\\S` is anything but a space, the colon before a password too, so the part for that changes nothing but the time: from each
    colon it looks for an @ in all that follows.
    """
    found = Expression(pattern.pattern.replace(r"\S+(?::\S*)?@", r"\S+@"), pattern.flags, others)
    found.matches("")  # which raises re.error where it is none
    return found
