"""Which readings of a text the linear model is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.core.reading import Reading


def final(readings: Sequence[Reading]) -> Reading:
    """Return the reading in which most is decoded.

    Decoding happens in place, so that it holds what all before it hold; lines need no joining here.
    """
    return next(reading for reading in reversed(readings) if not reading.how.endswith("joined"))
