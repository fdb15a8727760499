"""Sentences that say what people, animals and things do and where, put together by a small grammar.

Few texts that may ship are of this kind: books, papers and plots do not say that a dog runs across a lawn. What such a sentence
means hangs on the order of its words, on "no" and on "is being"; a teacher knows. The words are in scenes.toml.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

WORDS = Path(__file__).with_suffix(".toml")
ARTICLES = ("a ", "an ", "the ")


def scenes(count: int, seed: int = 0) -> list[str]:
    """So many different sentences, the same ones for a seed."""
    grammar = _Grammar(random.Random(seed))
    found: dict[str, None] = {}
    while len(found) < count:
        found[grammar.sentence()] = None
    return list(found)


class _Grammar:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._words = words()
        self._objects = self._words["objects"]
        self._passive_verbs = [verb for verb in self._objects if verb.split()[0] not in self._words["without_passive"]]

    def sentence(self) -> str:
        kinds = [self._with_object, self._without_object, self._passive, self._of_a_thing]
        text = self._rng.choices(kinds, [50, 25, 10, 15])[0]()
        if self._rng.random() < 0.06:
            text = f"{text} {self._rng.choice(['and', 'while'])} {self._without_object()}"
        return text[0].upper() + text[1:] + self._rng.choice(["", "."])

    def _with_object(self) -> str:
        verb = self._rng.choice([*self._objects])
        return self._told(*self._someone(), verb, self._with_adjective(self._rng.choice(self._objects[verb])))

    def _without_object(self) -> str:
        beside = f"with {self._someone()[0]}" if self._rng.random() < 0.1 else ""
        return self._told(*self._someone(), self._a("actions"), beside)

    def _passive(self) -> str:
        verb = self._rng.choice(self._passive_verbs)
        things = [thing for thing in self._objects[verb] if thing.split()[0] not in self._words["prepositions"]]
        thing = self._with_adjective(self._rng.choice(things))
        plural = thing.endswith("s") and not thing.startswith(ARTICLES)
        by = f"by {self._someone()[0]}" if self._rng.random() < 0.7 else ""
        return self._somewhere(_joined(thing, "are being" if plural else "is being", participle(verb), by))

    def _of_a_thing(self) -> str:
        thing, plural = self._counted(self._with_adjective(self._a("things")))
        be, state = "are" if plural else "is", self._rng.choice(["", self._a("states")])
        site = self._a("sites") if not state or self._rng.random() < 0.4 else ""
        if self._rng.random() < 0.2:
            return _joined("there", be, thing, state, site)
        return _joined(thing, be, self._rng.choice(["", "", "", "not"]), state, site)

    def _told(self, who: str, plural: bool, verb: str, rest: str) -> str:
        """What somebody does, in one of the ways to say it."""
        be = "are" if plural else "is"
        way = self._rng.random()
        if way < 0.62:
            parts = [who, be, ing(verb)]
        elif way < 0.72:
            parts = [who, verb if plural else third(verb)]
        elif way < 0.82:
            parts = ["there", be, who, ing(verb)]
        elif way < 0.88:
            parts = [who, be, "not", ing(verb)]
        elif way < 0.92:
            parts = [self._rng.choice(["nobody is", "someone is", "no one is", "they are"]), ing(verb)]
        elif way < 0.96:
            noun = who.split(" ", 1)[1] if who.startswith(ARTICLES) else who
            parts = [*self._rng.choice([["there", be, "no", noun], ["no", noun, be]]), ing(verb)]
        else:
            parts = [who, "who", be, ing(self._a("actions")), be, ing(verb)]
        return self._somewhere(_joined(*parts, rest))

    def _somewhere(self, text: str) -> str:
        return f"{text} {self._a('places')}" if self._rng.random() < 0.35 else text

    def _someone(self) -> tuple[str, bool]:
        """Somebody, and whether they are several."""
        name = self._a("people" if self._rng.random() < 0.7 else "animals")
        who, plural = self._counted(self._with_adjective(name, 0.15))
        if self._rng.random() < 0.06:
            return f"{who} and {self._counted(self._a('people'))[0]}", True
        return who, plural

    def _counted(self, noun: str) -> tuple[str, bool]:
        if self._rng.random() < 0.25 and noun.split()[-1] not in self._words["groups"] and " of " not in noun:
            return f"{self._rng.choice(['two', 'some', 'three', 'several', 'many', 'the'])} {plural_of(noun)}", True
        return (f"the {noun}" if self._rng.random() < 0.2 else with_article(noun)), False

    def _with_adjective(self, noun: str, share: float = 0.12) -> str:
        if self._rng.random() >= share:
            return noun
        adjective = self._a("adjectives")
        if noun.startswith(("a ", "an ")):
            return with_article(f"{adjective} {noun.split(' ', 1)[1]}")
        return noun if " " in noun else f"{adjective} {noun}"

    def _a(self, kind: str) -> str:
        return self._rng.choice(self._words[kind])


def ing(verb: str) -> str:
    """riding of ride, putting on of put on."""
    first, rest = _first_doubled(verb)
    if first in ("lie", "tie"):
        first = first[:-2] + "y"
    return _joined(f"{first.removesuffix('e')}ing", *rest)


def third(verb: str) -> str:
    """rides of ride, catches of catch."""
    first, *rest = verb.split()
    if _ends_in_y(first):
        return _joined(f"{first[:-1]}ies", *rest)
    return _joined(first + ("es" if first.endswith(("s", "sh", "ch", "x", "o")) else "s"), *rest)


def participle(verb: str) -> str:
    """washed of wash, cut of cut."""
    if verb in words()["participles"]:
        return words()["participles"][verb]
    first, rest = _first_doubled(verb)
    if _ends_in_y(first):
        return _joined(f"{first[:-1]}ied", *rest)
    return _joined(f"{first.removesuffix('e')}ed", *rest)


def plural_of(noun: str) -> str:
    """men of man, old men of old man."""
    *before, last = noun.split()
    ending = "es" if last.endswith(("s", "sh", "ch", "x")) else "s"
    return _joined(*before, words()["plurals"].get(last, last + ending))


def with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' and not noun.startswith('uniform') else 'a'} {noun}"


@cache
def words() -> Mapping[str, Any]:
    """scenes.toml, with each of its lists as one."""
    tables = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    lists = {name: _listed(value) for name, value in tables.items() if isinstance(value, str)}
    return tables | lists | {"objects": {verb: _listed(value) for verb, value in tables["objects"].items()}}


def _listed(value: str) -> list[str]:
    return [" ".join(entry.split()) for entry in value.split(",")]


def _first_doubled(verb: str) -> tuple[str, list[str]]:
    """The first word, its last letter twice where an ending asks for that, and the others."""
    first, *rest = verb.split()
    return first + (first[-1] if first in words()["doubled"] else ""), rest


def _ends_in_y(verb: str) -> bool:
    return verb.endswith("y") and verb[-2] not in "aeiou"


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))
