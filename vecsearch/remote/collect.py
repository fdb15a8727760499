"""Removing from an object store what no generation needs that is kept."""

from __future__ import annotations

from vecsearch import checks
from vecsearch.remote.commits import SPARED, Place, commit_name


def collect(url: str, keep: int) -> tuple[list[str], int]:
    """Remove the commits before the last `keep` from the index at `url`, and the objects that none of those names which stay.
    What is younger than SPARED stays as well. Returns the names of what is gone, and how many bytes that were.

    Objects are listed before commits are read, and commits go before objects: so a push that is under way, or that comes
    between, loses nothing, and what an interruption leaves is garbage to the next one.

    Raises: UnsupportedIndexError: there is no index. DamagedIndexError: a commit cannot be read. ResourceError.
    """
    keep = checks.count("keep", keep, least=1, most=checks.MANY)
    place = Place(checks.text("url", url))
    place.wanted()
    held = place.inventory()
    old = [number for number in sorted(held.commits)[:-keep] if held.now - held.commits[number].modified >= SPARED]
    kept = [commit for number in place.numbers() if number not in old and (commit := place.commit(number))]
    named = {name for commit in kept for name in commit.objects}
    objects = held.objects | place.store.leftovers()
    garbage = [name for name, stored in sorted(objects.items()) if name not in named and held.now - stored.modified >= SPARED]
    commits = {commit_name(number): held.commits[number] for number in old}
    place.store.remove(list(commits))
    place.store.remove(garbage)
    return [*commits, *garbage], sum(stored.size for stored in (*commits.values(), *map(objects.__getitem__, garbage)))
