"""Which arguments and options of a command go together: declared above it, looked at before it does anything.

Arguments are named in capitals, options as they are written: "CORPUS", "--chunk", "-k". What has a default counts as given
where it is on the command line. Each rule raises UsageError with a sentence that names what was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from vecsearch.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def at_least_one(*names: str) -> Callable[[F], F]:
    """A command that needs one of these, or several."""
    return _refused_for(lambda: "" if _given(names) else f"give {_listed(names)}")


def at_most_one(*names: str) -> Callable[[F], F]:
    """Things to choose among."""

    def problem() -> str:
        first, *others = _given(names) or [""]
        return _apart(first, others)

    return _refused_for(problem)


def exactly_one(*names: str) -> Callable[[F], F]:
    """Things of which a command needs one."""
    return lambda function: at_least_one(*names)(at_most_one(*names)(function))


def only_with(*names: str, needs: str | Sequence[str]) -> Callable[[F], F]:
    """What says nothing without the other option, or without one of several."""
    needed = [needs] if isinstance(needs, str) else needs

    def problem() -> str:
        given = _given(names)
        if _given(needed) or not given:
            return ""
        return f"{_listed(given, 'and')} {'needs' if len(given) == 1 else 'need'} {_listed(needed)}"

    return _refused_for(problem)


def not_with(name: str, *others: str, unless: str | None = None) -> Callable[[F], F]:
    """What goes with none of the others, but where an option makes sense of them."""

    def problem() -> str:
        given, sensible = _given(others), _given([unless] if unless else [])
        return _apart(name, given, f" without {unless}" if unless else "") if _given([name]) and not sensible else ""

    return _refused_for(problem)


def _refused_for(problem: Callable[[], str]) -> Callable[[F], F]:
    """Runs a command only where there is no problem with how it is called."""

    def decorate(function: F) -> F:
        @wraps(function)
        def command(*arguments: Any, **options: Any) -> Any:
            if said := problem():
                raise UsageError(said)
            return function(*arguments, **options)

        return command

    return decorate


def _given(names: Sequence[str]) -> list[str]:
    """Those of the names whose values stand on the command line."""
    context = click.get_current_context()
    by_name = {
        name: param.name
        for param in context.command.params
        for name in (param.opts if isinstance(param, click.Option) else [param.name.upper()])
    }
    # Click before 8.3 has an argument that takes any number as given where there is none.
    return [
        name
        for name in names
        if context.get_parameter_source(by_name[name]) is not ParameterSource.DEFAULT and context.params[by_name[name]] != ()
    ]


def _apart(name: str, others: Sequence[str], but: str = "") -> str:
    return f"{name} cannot be combined with {_listed(others)}{but}" if others else ""


def _listed(names: Sequence[str], word: str = "or") -> str:
    *firsts, last = names
    return f"{', '.join(firsts)} {word} {last}" if firsts else last
