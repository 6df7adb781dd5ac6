"""How many answers a request counts as: what a quota of requests takes for it.

A request may ask for several answers at once, or for one that tells as much as several.  Each factor is the most that
its members ask for, and the factors multiply: four answers to each of two prompts are eight.

Rule: what is refused anyhow weighs nothing.  A route has factors only for members that it lets in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vallum.core.fieldpath import places
from vallum.core.sidedoor import Ask

MOST = 1024  # of one member: more than any bound lets through, and no product of a few of them overflows anything


class Weight(NamedTuple):
    """A member that makes a request count as several: as `answers`, or as many as its number or its list says."""

    ask: Ask
    answers: int = 0

    def count(self, document: Any) -> int:
        """Return what this member makes the request count as."""
        most = 1
        for container, key in places(document, self.ask.path):
            value = container[key]
            if self.ask.asks(value):
                most = max(most, self.answers or _say(value))
        return most


Factor = tuple[Weight, ...]


def weigh(document: Any, factors: tuple[Factor, ...]) -> int:
    """Return how many answers a request counts as: at least one."""
    if not isinstance(document, dict):
        return 1
    names = {key.casefold() for key in document}
    total = 1
    for factor in factors:
        counts = [weight.count(document) for weight in factor if weight.ask.concerns(names)]
        total *= max(counts, default=1)
    return total


def _say(value: Any) -> int:
    """Read a number of answers; of a list, each item is asked for, unless they are the tokens of one text."""
    if isinstance(value, list):
        is_one = value[:1] != [] and isinstance(value[0], int)
        return 1 if is_one else min(max(len(value), 1), MOST)
    if isinstance(value, str):  # of a form
        value = int(value[:9]) if value.isascii() and value.isdecimal() else 1
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 1
    return int(min(max(value, 1), MOST))
