"""Tokens that were verified a moment ago, by the SHA-256 of their text: bounded, the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from vallum.core.principal import Principal


class Verdict(NamedTuple):
    """What a token was found to be, and the time for which that holds (Unix seconds)."""

    principal: Principal | None  # None: not active
    since: float
    until: float


class Verified:
    """Verdicts on at most `size` tokens."""

    def __init__(self, size: int) -> None:
        """Start with none."""
        self._size = size
        self._verdicts: OrderedDict[bytes, Verdict] = OrderedDict()

    def find(self, digest: bytes, now: float) -> Verdict | None:
        """Return the verdict on a token, if it still holds; a clock that was set back ends it too."""
        verdict = self._verdicts.get(digest)
        if verdict is None:
            return None
        if verdict.since <= now < verdict.until:
            self._verdicts.move_to_end(digest)
            return verdict
        if now >= verdict.until:
            del self._verdicts[digest]
        return None

    def keep(self, digest: bytes, verdict: Verdict) -> None:
        """Remember a verdict."""
        self._verdicts[digest] = verdict
        self._verdicts.move_to_end(digest)
        if len(self._verdicts) > self._size:
            self._verdicts.popitem(last=False)

    def __len__(self) -> int:
        return len(self._verdicts)
