"""Which readings of a text the linear model is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.core.reading import Reading


def scored(readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings for the linear model: the one in which most is decoded, and the one in which digits are letters.

    Decoding happens in place, so that the last reading holds what all before it hold; lines need no joining here.
    """
    chain = [reading for reading in readings if not reading.how.endswith("joined")]
    return chain[-1:]
