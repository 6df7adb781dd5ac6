"""Members of a request that ask for what an answer may not hold: log-probabilities, raw outputs, many samples.

Rule: what asks for nothing passes.  SDKs write defaults out (`n: 1`, `logprobs: false`), and those open no door.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vallum.core.fieldpath import Path, places


class Ask(NamedTuple):
    """A member that asks; with `over` only by a higher number, with `among` only by one of these words."""

    path: Path
    over: float | None = None
    among: frozenset[str] | None = None

    def concerns(self, names: set[str]) -> bool:
        """Say whether an object whose members have these names, without regard to case, could ask."""
        first = self.path[0]
        return first.casefold() in names or first == "*" or "=" in first

    def find(self, document: Any) -> str | None:
        """Return the name under which `document` asks, or None."""
        for container, key in places(document, self.path):
            if self.asks(container[key]):
                return key if isinstance(key, str) else self.path[0]
        return None

    def asks(self, value: Any) -> bool:
        """Say whether a member with this value asks."""
        if value is None or value is False or value in ({}, []):
            return False
        if self.among is not None:
            return not isinstance(value, str) or value.casefold() in self.among
        if self.over is not None:
            return isinstance(value, bool) or not isinstance(value, int | float) or value > self.over
        return True


def find_open(document: Any, asks: tuple[Ask, ...], apart: tuple[tuple[Ask, Ask], ...]) -> str | None:
    """Return the first member that asks for what is withheld, or that may not stand beside another; else None."""
    names = {key.casefold() for key in document} if isinstance(document, dict) else None
    for ask in asks:
        if names is not None and not ask.concerns(names):  # as nearly all do not, on every request
            continue
        name = ask.find(document)
        if name is not None:
            return name
    for one, other in apart:
        if names is not None and not (one.concerns(names) and other.concerns(names)):
            continue
        name = one.find(document)
        if name is not None and other.find(document) is not None:
            return name
    return None
