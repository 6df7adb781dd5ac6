"""Ids of requests, made here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vallum.core.requestid import compose_id

if TYPE_CHECKING:
    from collections.abc import Iterator


class RequestIds:
    """Makes request ids; asks the system for randomness in bulk."""

    def __init__(self) -> None:
        """Start with none at hand."""
        self._entropy: Iterator[bytes] = iter(())

    def __call__(self, now: float) -> str:
        """Return a new id for a request that arrived at `now`, Unix seconds."""
        entropy = next(self._entropy, None)
        if entropy is None:
            block = os.urandom(10 * 256)
            self._entropy = iter([block[at : at + 10] for at in range(0, len(block), 10)])
            entropy = next(self._entropy)
        return compose_id(now, entropy)
