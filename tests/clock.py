"""The machine's clock, for tests of what goes by it: the stamps of keys, records, proofs and certificates."""

from __future__ import annotations

import time


def read_clock() -> float:
    """Return Unix seconds."""
    return time.time()  # noqa: TID251  a running gateway stamps by it, and its tests have to
