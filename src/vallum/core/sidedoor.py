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

    def find(self, document: Any) -> str | None:
        """Return the name under which `document` asks, or None."""
        for container, key in places(document, self.path):
            if self._asks(container[key]):
                return key if isinstance(key, str) else self.path[0]
        return None

    def _asks(self, value: Any) -> bool:
        if value is None or value is False or value in ({}, []):
            return False
        if self.among is not None:
            return not isinstance(value, str) or value.casefold() in self.among
        if self.over is not None:
            return isinstance(value, bool) or not isinstance(value, int | float) or value > self.over
        return True


def find_open(document: Any, asks: tuple[Ask, ...], apart: tuple[tuple[Ask, Ask], ...]) -> str | None:
    """Return the first member that asks for what is withheld, or that may not stand beside another; else None."""
    names = {name.casefold() for name in document} if type(document) is dict else None  # once, not for every ask
    for ask in asks:
        if _may_stand(ask, names) and (name := ask.find(document)) is not None:
            return name
    for one, other in apart:
        if _may_stand(one, names) and (name := one.find(document)) is not None and other.find(document) is not None:
            return name
    return None


def _may_stand(ask: Ask, names: set[str] | None) -> bool:
    """Say whether an object with these members could ask; None: it is none, and must be searched."""
    first = ask.path[0]
    return names is None or first.casefold() in names or first == "*" or "=" in first
