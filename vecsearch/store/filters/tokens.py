"""A condition as tokens: its words, signs and literals."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s+|--[^\n]*|/\*.*?\*/
    |(?P<text>'(?:[^']|'')*')
    |(?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![\w$])
    |(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^]]*\])
    |(?P<word>[^\W\d][\w$]*)
    |(?P<sign>->>|->|\|\||<<|>>|<>|<=|>=|==|!=|[-+*/%&|~<>=(),.])""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = {
    *("AND", "OR", "NOT", "IS", "IN", "LIKE", "GLOB", "BETWEEN", "ESCAPE", "ISNULL", "NOTNULL", "DISTINCT", "COLLATE"),
    *("CASE", "WHEN", "THEN", "ELSE", "END", "NULL", "TRUE", "FALSE", "EXISTS", "SELECT", "FROM", "WHERE", "CAST", "AS"),
}
"""What is a name only in quotes. The other keywords of SQL have no place in a condition, so that a field may be called so."""


class Refused(ValueError):
    """What is no condition: `str()` says why, to stand behind "the condition … "."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    """text, number, quoted, word, sign, or end."""
    text: str

    @property
    def keyword(self) -> str:
        """The keyword that it is, in capitals; else the empty string."""
        upper = self.text.upper()
        return upper if self.kind == "word" and upper in _KEYWORDS else ""

    @property
    def names(self) -> bool:
        """Whether it is a name, with quotes or without."""
        return self.kind == "quoted" or (self.kind == "word" and not self.keyword)

    @property
    def name(self) -> str:
        """The name that it is, without its quotes."""
        if self.kind == "word":
            return self.text
        opens, inner = self.text[0], self.text[1:-1]
        return inner if opens == "[" else inner.replace(2 * opens, opens)


def tokens(where: str) -> list[Token]:
    """The tokens of a condition, the last of which is its end. Raises Refused for what is none."""
    found, at = [], 0
    while at < len(where):
        match = _TOKEN.match(where, at)
        if match is None:
            raise not_understood(f'near "{where[at : at + 20]}"')
        if match.lastgroup:
            found.append(Token(match.lastgroup, match[0]))
        at = match.end()
    return [*found, Token("end", "the end")]


def written_name(name: str) -> str:
    """The name of a field as a condition has it: in double quotes where it is no word, or a keyword."""
    match = _TOKEN.fullmatch(name)
    if match and match.lastgroup == "word" and Token("word", name).names:
        return name
    return '"' + name.replace('"', '""') + '"'


def written_text(text: str) -> str:
    """A text as a condition has it."""
    return "'" + text.replace("'", "''") + "'"


def not_understood(why: str) -> Refused:
    """The refusal of what is no condition at all."""
    return Refused(f"is not understood ({why}); write one such as: year > 1990 and genre = 'noir'")
