"""spaCy's rule-based tokenizer, chunk by chunk, without spaCy.

Source: spaCy 3, `spacy/tokenizer.pyx` (`_tokenize_affixes`, `_split_affixes`, `_attach_tokens`, `_apply_special_cases`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from operator import add
from typing import Any

from vecsearch.errors import UsageError
from vecsearch.text.affixes import prefix_length, suffix_length
from vecsearch.text.plain import never_matches_plain
from vecsearch.text.rules import SPECIAL_TOKENS

_PLAIN = re.compile("[a-z]+").fullmatch
_RUN = re.compile(r"\S+|\s+")
_MOST_KNOWN = 1 << 16
_LONGEST_KNOWN = 64
_FLAGS = {int(re.UNICODE), int(re.UNICODE | re.IGNORECASE)}
_Sequences = dict[str, "_Sequences"]


@dataclass(frozen=True, slots=True)
class SplitPattern:
    """One regular expression, as text and as the integer of its flags."""

    pattern: str
    flags: int

    def compile(self) -> re.Pattern[str]:
        return re.compile(self.pattern, self.flags)


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


class Splitter:
    """Splits texts exactly as spaCy's `Tokenizer` with these rules does."""

    def __init__(self, rules: SplitRules) -> None:
        self._prefix = prefix_length(rules.prefix.compile())
        self._suffix = suffix_length(rules.suffix.compile())
        self._infixes = rules.infix.compile().finditer
        self._token_match = rules.token_match.compile().match if rules.token_match else _never
        self._url_match = rules.url_match.compile().match if rules.url_match else _never
        patterns = (rules.prefix, rules.suffix, rules.infix, rules.token_match, rules.url_match)
        self._plain = _PLAIN if all(never_matches_plain(p.pattern, p.flags) for p in patterns if p) else _never
        self._cases = {case: tuple(parts) for case, parts in rules.special_cases.items()}
        self._longest_case = max(map(len, self._cases), default=0)
        self.case_tokens: set[str] = set()
        """Every token that special cases are found by, when affixes have cut them."""
        self._sequences = self._case_sequences(rules)
        self._known: dict[str, tuple[str, ...]] = {}

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
        if self._plain(chunk):
            return self._cases.get(chunk) or (chunk,)
        prefixes: list[str] = []
        suffixes: list[str] = []
        rest = chunk
        while rest:
            if self._plain(rest):
                middle = self._cases.get(rest, (rest,))
                break
            if len(rest) <= _LONGEST_KNOWN and (known := self._known.get(rest)) is not None:
                middle = known
                break
            shorter = self._strip_affixes(rest, prefixes, suffixes)
            if shorter == rest:
                middle = self._split_core(rest)
                self._remember(rest, middle)
                break
            rest = shorter
        else:
            middle = ()
        if rest == chunk:
            return middle
        tokens = (*prefixes, *middle, *reversed(suffixes))
        self._remember(chunk, tokens)
        return tokens

    def join_cases(self, tokens: tuple[str, ...]) -> tuple[str, ...]:
        """The tokens of one chunk with the special cases found across them joined, as if no other chunk were near."""
        if self._sequences.keys().isdisjoint(tokens):
            return tokens
        return tuple(self._apply_cases(tokens, ("",) * len(tokens)))

    def _strip_affixes(self, string: str, prefixes: list[str], suffixes: list[str]) -> str:
        if self._is_case(string) or self._token_match(string):
            return string
        start = self._prefix(string)
        if start and self._is_case(string[start:]):
            prefixes.append(string[:start])
            return string[start:]
        end = len(string) - self._suffix(string[start:])
        if end < len(string) and self._is_case(string[:end]):
            suffixes.append(string[end:])
            return string[:end]
        if start:
            prefixes.append(string[:start])
        if end < len(string):
            suffixes.append(string[end:])
        return string[start:end]

    def _is_case(self, string: str) -> bool:
        return len(string) <= self._longest_case and string in self._cases  # in this order: hashing a long string is slow

    def _split_core(self, string: str) -> tuple[str, ...]:
        if string in self._cases:
            return self._cases[string]
        if self._token_match(string) or self._url_match(string):
            return (string,)
        tokens = []
        start = 0
        for infix in self._infixes(string):
            if infix.start() == 0:
                continue
            tokens += [string[start : infix.start()], infix[0]]
            start = infix.end()
        tokens.append(string[start:])
        return tuple(filter(None, tokens))

    def _remember(self, chunk: str, tokens: tuple[str, ...]) -> None:
        if len(chunk) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[chunk] = tokens

    def _case_sequences(self, rules: SplitRules) -> _Sequences:
        """The special cases that affixes would cut, as a tree of the tokens they are cut into; "" ends a sequence."""
        tree: _Sequences = {}
        cut = [case for case in self._cases if self._would_cut(case)]
        plain = Splitter(replace(rules, special_cases={})) if cut else self
        for case in cut:
            node = tree
            for token in plain.split(case):
                node = node.setdefault(token, {})
                self.case_tokens.add(token)
            node[""] = {}
        return tree

    def _would_cut(self, case: str) -> bool:
        return bool(self._prefix(case) or self._suffix(case)) or " " in case or any(True for _ in self._infixes(case))

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
        for start, token in enumerate(tokens):
            node = self._sequences.get(token)
            end = start + 1
            while node is not None:
                if "" in node:
                    yield start, end
                node = node.get(tokens[end]) if end < len(tokens) else None
                end += 1


def _never(string: str) -> None:
    """Stands for a pattern that a language does not have."""
