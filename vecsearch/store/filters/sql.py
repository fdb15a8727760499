"""A condition's tree as SQL over the columns of one segment, in which numbers compare with numbers and texts with texts.

SQLite alone has every text above every number, so that `year > 1990` would find "unknown", and by affinity it would turn
'01234' into 1234. Here, compared with a number, a text counts as a missing value; compared with a text, a number counts as the
text that it is written as. Which of the two a comparison is, its operands say: a literal, or a function whose result is always
of one kind. Two fields compare as what they are: numbers with numbers, texts with texts, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from vecsearch.store.filters.functions import (
    ABSOLUTE,
    AS_IS,
    CALLS,
    CHOOSING,
    JSON,
    LEAST,
    MOST,
    NUMBERS,
    ORDER,
    READ,
    ROUNDED,
    TEXTS,
)
from vecsearch.store.filters.grammar import Node
from vecsearch.store.filters.tokens import Refused
from vecsearch.store.filters.values import ANY, BIG, NUMBER, TEXT, Reads, Value, balanced, chosen, together

_EACH = {"key", "value", "type", "atom", "id", "parent", "fullkey", "path"}
"""The columns of json_each."""
_INTEGER = re.compile("[0-9]+")


class Writer:
    """Writes the SQL of one condition. `resolve` finds what a name that is no sub-select's stands for, and raises Refused."""

    def __init__(self, resolve: Callable[[Node], Value]) -> None:
        self._resolve = resolve
        self._scopes: list[dict[str, str]] = []
        self._selects = 0
        self.reads = Reads()
        """How the values of the condition were read."""

    def condition(self, node: Node) -> str:
        """SQL that is true, false or NULL."""
        value = self._value(node)
        return f"({self.reads.number(value)})" if value.kinds else "NULL"

    # -- each kind of node -------------------------------------------------------------------------------------------

    def _value(self, node: Node) -> Value:
        return getattr(self, f"_{node.kind}_node")(node)

    def _number_node(self, node: Node) -> Value:
        exact = ""
        if _INTEGER.fullmatch(node.value) and int(node.value) >= 1 << 63:
            exact = f"x'{node.value.encode().hex()}'"
        return Value(node.value, NUMBER | {BIG} if exact else NUMBER, "number", exact)

    def _text_node(self, node: Node) -> Value:
        return Value(node.value, TEXT, "text")

    def _null_node(self, node: Node) -> Value:
        return Value("NULL", frozenset())

    def _truth_node(self, node: Node) -> Value:
        return Value(node.value, NUMBER, "number")

    def _name_node(self, node: Node) -> Value:
        *table, name = node.value
        for scope in reversed(self._scopes):
            alias = scope.get(table[0].lower()) if len(table) == 1 else next(iter(scope.values()), None) if not table else None
            if alias and name.lower() in _EACH:
                return Value(f"{alias}.{name.lower()}")
        return self._resolve(node)

    def _and_node(self, node: Node) -> Value:
        return Value(balanced([self.condition(part) for part in node.parts], node.value), NUMBER, "number")

    _or_node = _and_node

    def _not_node(self, node: Node) -> Value:
        return Value(f"(NOT {self.condition(node.parts[0])})", NUMBER, "number")

    def _sign_node(self, node: Node) -> Value:
        (part,) = node.parts
        value = self._value(part)
        if node.value == "+":
            return value
        if node.value == "-" and part.kind == "number" and value.exact:
            return replace(value, sql=f"(-{value.sql})", exact=f"x'{('-' + part.value).encode().hex()}'")
        return Value(f"({node.value} {self.reads.number(value)})", NUMBER, "number")

    def _arithmetic_node(self, node: Node) -> Value:
        left, right = map(self._value, node.parts)
        if node.value == "||":
            return Value(f"({self.reads.text(left)} || {self.reads.text(right)})", TEXT, "text")
        return Value(f"({self.reads.number(left)} {node.value} {self.reads.number(right)})", NUMBER, "number")

    def _json_node(self, node: Node) -> Value:
        left, right = map(self._value, node.parts)
        sql = f"(({self.reads.json(left)}) {node.value} {right.sql})"
        return Value(sql, TEXT, "text") if node.value == "->" else Value(sql)

    def _collate_node(self, node: Node) -> Value:
        value = self._value(node.parts[0])
        if node.value.upper() not in ("BINARY", "NOCASE", "RTRIM"):
            raise Refused(f"is not understood (no such collation sequence: {node.value}); there are BINARY, NOCASE and RTRIM")
        return Value(f"({self.reads.text(value)} COLLATE {node.value.upper()})", TEXT, value.always)

    def _cast_node(self, node: Node) -> Value:
        value = self._value(node.parts[0])
        if node.value == "TEXT":
            return Value(f"({self.reads.text(value)})", TEXT, "text")
        if node.value in ("INT", "INTEGER", "REAL", "NUMERIC"):
            for source in value.sources:
                self.reads.pass_over(source, "a number", f"{READ}({source.sql}) IS NULL")
            read, exact = (f"{READ}({sql})" if "text" in value.kinds else sql for sql in (value.sql, value.exact))
            if value.exact and node.value != "REAL":
                exact = f"(CASE typeof({exact}) WHEN 'blob' THEN {exact} ELSE CAST({exact} AS {node.value}) END)"
            return Value(
                f"CAST({read} AS {node.value})", NUMBER, "number", exact if value.exact and node.value != "REAL" else ""
            )
        raise Refused(f"is not understood (CAST AS {node.value}); there are TEXT, INTEGER, REAL and NUMERIC")

    def _compare_node(self, node: Node) -> Value:
        return self._compared(node.value, *map(self._value, node.parts))

    def _compared(self, operator: str, left: Value, right: Value) -> Value:
        if "text" in (left.always, right.always):
            sql = f"({self.reads.text(left)} {operator} {self.reads.text(right)})"
        elif "number" in (left.always, right.always):
            numbers = [self.reads.number(left), self.reads.number(right)]
            exactly = left.exact or right.exact
            sql = self._ordered(operator, left, right) if exactly else f"({numbers[0]} {operator} {numbers[1]})"
        elif left.exact or right.exact:
            sql = self._ordered(operator, left, right)
        elif (left.kinds | right.kinds) <= NUMBER or (left.kinds | right.kinds) <= TEXT:
            sql = f"({left.sql} {operator} {right.sql})"
        else:
            same = f"(typeof({left.sql}) = 'text') = (typeof({right.sql}) = 'text')"
            sql = f"(CASE WHEN {same} THEN {left.sql} {operator} {right.sql} END)"
        return Value(sql, NUMBER, "number")

    @staticmethod
    def _ordered(operator: str, left: Value, right: Value) -> str:
        return f"({ORDER}({left.exactly}, {right.exactly}) {operator} 0)"

    def _is_node(self, node: Node) -> Value:
        left, right = map(self._value, node.parts)
        if not right.kinds:
            sql = f"({left.exactly} {node.value} NULL)"
        elif "text" in (left.always, right.always):
            sql = f"({self.reads.text(left)} {node.value} {self.reads.text(right)})"
        elif "number" in (left.always, right.always):
            sql = f"({self.reads.number(left)} {node.value} {self.reads.number(right)})"
            if left.exact or right.exact:
                equal = f"({ORDER}({left.exactly}, {right.exactly}) IS 0)"
                sql = equal if node.value == "IS" else f"(NOT {equal})"
        else:
            sql = f"({left.exactly} {node.value} {right.exactly})"
        return Value(sql, NUMBER, "number")

    def _between_node(self, node: Node) -> Value:
        value, low, high = map(self._value, node.parts)
        sql = f"({self._compared('>=', value, low).sql} AND {self._compared('<=', value, high).sql})"
        return Value(f"(NOT {sql})" if node.value else sql, NUMBER, "number")

    def _in_node(self, node: Node) -> Value:
        value, *items = map(self._value, node.parts)
        if len(node.parts) == 2 and node.parts[1].kind == "select":
            sql = self._in_select(value, items[0])
        else:
            sql = self._in_items(value, items)
        return Value(f"(NOT {sql})" if node.value else sql, NUMBER, "number")

    def _in_items(self, value: Value, items: Sequence[Value]) -> str:
        if not items:
            return "(0)"
        # Of one kind they are looked up together; numbers beyond 64 bits, and what is of either kind, each by itself.
        texts, numbers, others = [], [], []
        for item in items:
            exactly = item.exact or value.exact
            if item.always == "text":
                texts.append(self.reads.text(item))
            elif item.always == "number" and value.always != "text" and not exactly:
                numbers.append(self.reads.number(item))
            else:
                others.append(self._compared("=", value, item).sql)
        parts = [f"({self.reads.text(value)} IN ({', '.join(texts)}))"] if texts else []
        parts += [f"({self.reads.number(value)} IN ({', '.join(numbers)}))"] if numbers else []
        parts += others
        return balanced(parts, "OR")

    def _in_select(self, value: Value, select: Value) -> str:
        read = {"text": self.reads.text, "number": self.reads.number}.get(select.always)
        return f"({read(value) if read else value.exactly} IN {select.sql})"

    def _like_node(self, node: Node) -> Value:
        texts = [self.reads.text(self._value(part)) for part in node.parts]
        escape = f" ESCAPE {texts[2]}" if texts[2:] else ""
        not_ = "NOT " if node.value else ""
        return Value(f"({texts[0]} {not_}{node.kind.upper()} {texts[1]}{escape})", NUMBER, "number")

    _glob_node = _like_node

    def _case_node(self, node: Node) -> Value:
        has_base, has_else = node.value
        parts = list(node.parts)
        base = self._value(parts.pop(0)) if has_base else None
        otherwise = [self._value(parts.pop())] if has_else else []
        tests, results = [], []
        for when, then in zip(parts[::2], parts[1::2], strict=True):
            tests.append(self._compared("=", base, self._value(when)).sql if base else self.condition(when))
            results.append(self._value(then))

        def case(results: Sequence[str]) -> str:
            branches = [f"WHEN {test} THEN {result}" for test, result in zip(tests, results, strict=False)]
            return f"(CASE {' '.join(branches)}{f' ELSE {results[-1]}' if otherwise else ''} END)"

        return chosen(case, [*results, *otherwise])

    def _call_node(self, node: Node) -> Value:
        name, values = node.value, [self._value(part) for part in node.parts]
        if name == "nullif" and len(values) == 2:
            equal = self._compared("=", *values).sql
            return chosen(lambda results: f"(CASE WHEN {equal} THEN NULL ELSE {results[0]} END)", values[:1])
        if name == "iif" and len(values) == 3:
            test = self.condition(node.parts[0])
            return chosen(lambda results: f"(CASE WHEN {test} THEN {results[0]} ELSE {results[1]} END)", values[1:])
        if name in ("max", "min") and len(values) > 1:
            return self._extreme(name, values)
        if name in CHOOSING:
            return chosen(lambda results: f"{name}({', '.join(results)})", values)
        if name not in CALLS:
            raise Refused(f"does more than look at the fields of a document (not authorized to use function: {name})")
        result, reads = CALLS[name]
        reads = reads + reads[-1:] * len(values)
        ways = {TEXTS: self.reads.text, NUMBERS: self.reads.number, JSON: self.reads.json, AS_IS: lambda value: value.sql}
        arguments = [ways[read](value) for read, value in zip(reads, values, strict=False)]
        kinds = {"number": NUMBER, "text": TEXT, "": ANY}[result]
        return Value(f"{ABSOLUTE if name == 'abs' else name}({', '.join(arguments)})", kinds, result)

    def _extreme(self, name: str, values: Sequence[Value]) -> Value:
        """The least or the most of several values, which are read as they are where two of them are compared."""
        always = {value.always for value in values}
        kinds = frozenset[str]().union(*(value.kinds for value in values))
        if "text" in always or kinds <= TEXT:
            return Value(f"{name}({', '.join(map(self.reads.text, values))})", TEXT, "text" if "text" in always else "")
        exactly = any(value.exact for value in values)
        if "number" in always or kinds <= NUMBER:
            numbers = [self.reads.number(value) for value in values]
            if not exactly:
                return Value(f"{name}({', '.join(numbers)})", NUMBER, "number" if "number" in always else "")
            exacts = [f"CASE WHEN typeof({value.exactly}) <> 'text' THEN {value.exactly} END" for value in values]
        else:
            exacts = [value.exactly for value in values]
        exact = f"{LEAST if name == 'min' else MOST}({', '.join(exacts)})"
        sources = tuple(source for value in values for source in value.sources)
        if "number" in always:
            return Value(f"{ROUNDED}({exact})", NUMBER, "number", exact)
        return Value(f"{ROUNDED}({exact})", kinds - {BIG} | {"real"}, exact=exact, sources=sources)

    # -- sub-selects -------------------------------------------------------------------------------------------------

    def _exists_node(self, node: Node) -> Value:
        return Value(f"(EXISTS {self._value(node.parts[0]).sql})", NUMBER, "number")

    def _select_node(self, node: Node) -> Value:
        distinct, count, aliases, has_where = node.value
        columns, sources = node.parts[:count], node.parts[count : count + len(aliases)]
        tables, scope = [], {}
        self._scopes.append(scope)
        for alias, source in zip(aliases, sources, strict=True):
            first, *others = map(self._value, source.parts)
            arguments = ", ".join([self.reads.json(first), *(other.sql for other in others)])
            own = f"j{self._selects}"
            self._selects += 1
            tables.append(f"{source.value}({arguments}) AS {own}")
            scope[alias.lower()] = own
        values = [self._value(column) for column in columns]
        where = f" WHERE {self.condition(node.parts[-1])}" if has_where else ""
        self._scopes.pop()
        shown = ", ".join(value.sql for value in values)
        sql = f"(SELECT {'DISTINCT ' if distinct else ''}{shown} FROM {', '.join(tables)}{where})"
        return Value(sql, *together(values[:1]))
