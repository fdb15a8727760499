"""A condition as a tree: SQLite's expressions, read so far that every name and every comparison in them is known.

Source: "SQL Language Expressions", sqlite.org/lang_expr.html, for what binds how tightly. Sub-selects are over `json_each`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from vecsearch.store.filters.tokens import Refused, Token, not_understood, tokens

T = TypeVar("T")
DEEPEST = 200
"""Parentheses, calls and operators inside of each other. SQLite ends at 1000, Python's own stack before that."""

_COMPARISONS = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "=": "=", "==": "=", "<>": "<>", "!=": "<>"}
_BINARY = [("<", "<=", ">", ">="), ("&", "|", "<<", ">>"), ("+", "-"), ("*", "/", "%"), ("||", "->", "->>")]
"""Operators of two operands below equality, those that bind loosest first."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a condition. `kind` says what `value` is, and what the `parts` are to each other.

    number, text, null, truth: a literal, as it is written. name: a tuple of what stood between dots, the last of it in double
    quotes where it was `quoted`. compare, is, arithmetic, json, and, or: an operator and its operands. not, sign: one operand.
    in, between, like, glob: operands, negated where `value` says so. call, cast, collate, case, exists, select: as SQL has
    them.
    """

    kind: str
    value: Any = None
    parts: tuple[Node, ...] = ()
    quoted: bool = False


def parse(where: str) -> Node:
    """The tree of a condition. Raises Refused for what is none, or is more than one."""
    return _Parser(tokens(where)).whole()


class _Parser:
    """Recursive descent, a method for each level of precedence."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0

    def whole(self) -> Node:
        node = self._either()
        if self._next.kind != "end":
            raise self._unexpected()
        return node

    # -- tokens ------------------------------------------------------------------------------------------------------

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self, *wanted: str) -> str:
        """The next token, where it is one of these signs or keywords; else the empty string."""
        token = self._next
        found = token.text if token.kind == "sign" else token.keyword
        if found not in wanted or not found:
            return ""
        self._at += 1
        return found

    def _need(self, *wanted: str) -> str:
        found = self._take(*wanted)
        if not found:
            raise self._unexpected(f", where {' or '.join(wanted)} is missing")
        return found

    def _unexpected(self, more: str = "") -> Refused:
        shown = self._next.text if self._next.kind == "end" else f'"{self._next.text[:20]}"'
        return not_understood(f"syntax error near {shown}{more}")

    def _deeper(self, parse: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise not_understood(f"more than {DEEPEST} parts inside of each other")
        node = parse()
        self._depth -= 1
        return node

    def _nested(self) -> Node:
        return self._deeper(self._either)

    def _several(self, parse: Callable[[], T]) -> list[T]:
        """What stands between commas."""
        found = [parse()]
        while self._take(","):
            found.append(parse())
        return found

    def _need_name(self) -> str:
        if self._next.kind not in ("word", "quoted"):
            raise self._unexpected()
        self._at += 1
        return self._tokens[self._at - 1].name

    # -- operators, those that bind loosest first --------------------------------------------------------------------

    def _either(self) -> Node:
        return self._joined("OR", lambda: self._joined("AND", self._negated))

    def _joined(self, keyword: str, operand: Callable[[], Node]) -> Node:
        parts = [operand()]
        while self._take(keyword):
            parts.append(operand())
        return parts[0] if len(parts) == 1 else Node(keyword.lower(), keyword, tuple(parts))

    def _negated(self) -> Node:
        if self._take("NOT"):
            return Node("not", "NOT", (self._deeper(self._negated),))
        return self._equality()

    def _equality(self) -> Node:
        node = self._binary(0)
        while True:
            at = self._at
            negated = bool(self._take("NOT"))
            if not negated and (sign := self._take("=", "==", "<>", "!=")):
                node = Node("compare", _COMPARISONS[sign], (node, self._binary(0)))
            elif not negated and self._take("IS"):
                node = self._is(node)
            elif not negated and (found := self._take("ISNULL", "NOTNULL")):
                node = Node("is", "IS" if found == "ISNULL" else "IS NOT", (node, Node("null", "NULL")))
            elif self._take("BETWEEN"):
                low = self._binary(0)
                self._need("AND")
                node = Node("between", negated, (node, low, self._binary(0)))
            elif self._take("IN"):
                node = Node("in", negated, (node, *self._in_list()))
            elif operator := self._take("LIKE", "GLOB"):
                parts = [node, self._binary(0)]
                if operator == "LIKE" and self._take("ESCAPE"):
                    parts.append(self._binary(0))
                node = Node(operator.lower(), negated, tuple(parts))
            elif negated and self._take("NULL"):
                node = Node("is", "IS NOT", (node, Node("null", "NULL")))
            else:
                self._at = at
                return node

    def _is(self, node: Node) -> Node:
        operator = "IS NOT" if self._take("NOT") else "IS"
        if self._take("DISTINCT"):
            self._need("FROM")
            operator = "IS" if operator == "IS NOT" else "IS NOT"
        return Node("is", operator, (node, self._binary(0)))

    def _in_list(self) -> Sequence[Node]:
        self._need("(")
        if self._next.keyword == "SELECT":
            return [self._select()]
        return [] if self._take(")") else self._items()

    def _items(self) -> list[Node]:
        """Expressions between commas, and the parenthesis that ends them."""
        items = self._several(self._nested)
        self._need(")")
        return items

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY):
            return self._collated()
        node = self._binary(level + 1)
        while sign := self._take(*_BINARY[level]):
            kind = "compare" if level == 0 else "json" if sign.startswith("->") else "arithmetic"
            node = Node(kind, sign, (node, self._binary(level + 1)))
        return node

    def _collated(self) -> Node:
        node = self._signed()
        while self._take("COLLATE"):
            node = Node("collate", self._need_name(), (node,))
        return node

    def _signed(self) -> Node:
        if sign := self._take("-", "+", "~"):
            return Node("sign", sign, (self._deeper(self._signed),))
        return self._primary()

    # -- what stands between operators -------------------------------------------------------------------------------

    def _primary(self) -> Node:
        token = self._next
        if token.kind in ("number", "text"):
            self._at += 1
            return Node(token.kind, token.text)
        if self._take("("):
            return self._in_parentheses()
        keyword = self._take("NULL", "TRUE", "FALSE", "CASE", "CAST", "EXISTS")
        if keyword == "NULL":
            return Node("null", keyword)
        if keyword in ("TRUE", "FALSE"):
            return Node("truth", keyword)
        if keyword == "CASE":
            return self._case()
        if keyword == "CAST":
            return self._cast()
        if keyword == "EXISTS":
            self._need("(")
            return Node("exists", None, (self._select(),))
        if token.names:
            return self._named()
        raise self._unexpected()

    def _in_parentheses(self) -> Node:
        if self._next.keyword == "SELECT":
            return self._select()
        items = self._items()
        if len(items) > 1:
            raise not_understood("several values in parentheses; compare one field at a time")
        return items[0]

    def _named(self) -> Node:
        token = self._next
        self._at += 1
        if token.kind == "word" and self._take("("):
            return self._call(token.text)
        names = [token.name]
        while self._take("."):
            names.append(self._need_name())
        return Node("name", tuple(names), quoted=self._tokens[self._at - 1].text.startswith('"'))

    def _call(self, name: str) -> Node:
        arguments = [] if self._take(")") else self._items()
        return Node("call", name.lower(), tuple(arguments))

    def _case(self) -> Node:
        base = () if self._next.keyword == "WHEN" else (self._nested(),)
        branches: list[Node] = []
        while self._take("WHEN"):
            branches.append(self._nested())
            self._need("THEN")
            branches.append(self._nested())
        if not branches:
            raise self._unexpected()
        otherwise = (self._nested(),) if self._take("ELSE") else ()
        self._need("END")
        return Node("case", (bool(base), bool(otherwise)), (*base, *branches, *otherwise))

    def _cast(self) -> Node:
        self._need("(")
        node = self._nested()
        self._need("AS")
        if self._next.kind != "word":
            raise self._unexpected()
        kind = self._next.text.upper()
        self._at += 1
        self._need(")")
        return Node("cast", kind, (node,))

    def _select(self) -> Node:
        """A sub-select behind its parenthesis: SELECT what FROM json_each(…) [AS name], … [WHERE …]."""
        self._need("SELECT")
        distinct = bool(self._take("DISTINCT"))
        columns = self._several(lambda: Node("number", "1") if self._take("*") else self._nested())
        self._need("FROM")
        sources = self._several(self._source)
        where = (self._nested(),) if self._take("WHERE") else ()
        self._need(")")
        aliases, calls = zip(*sources, strict=True)
        return Node("select", (distinct, len(columns), aliases, bool(where)), (*columns, *calls, *where))

    def _source(self) -> tuple[str, Node]:
        if self._next.kind != "word" or self._next.keyword:
            raise self._unexpected()
        name = self._next.text.lower()
        self._at += 1
        if name not in ("json_each", "json_tree") or not self._take("("):
            raise Refused(f"does more than look at the fields of a document (it reads {name}; a sub-select may read json_each)")
        call = self._call(name)
        self._take("AS")
        return (self._need_name() if self._next.names else name), call
