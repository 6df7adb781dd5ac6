"""The arithmetic of `vallum tune`: shares of honest traffic with intervals, and the threshold for a wanted share."""

from __future__ import annotations

import re
from collections import Counter
from math import ceil, sqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vallum.config.source import Place, Source

DIGITS = 6
HIGHEST = 1 - 10**-DIGITS
SUREST = 3  # none of n refused: with 95 % confidence the share lies below 3 / n
VALUE = re.compile(r"[^\s,}#]+")


class Sample(NamedTuple):
    """What the check says of one honest request."""

    number: int  # of its line
    probability: float
    refused_at: frozenset[str]  # the sensitivities that would refuse it
    standing: str
    where: str
    layer: str


class Proposal(NamedTuple):
    """A threshold for a wanted share, and what it does to the sample."""

    threshold: float
    refused: int
    upper: float  # end of the 95 % interval of the share it would refuse
    needed: int  # requests that could show the wanted share

    def holds(self, wanted: float) -> bool:
        """Say whether the sample shows that no more than the wanted share is refused."""
        return self.upper <= wanted


def propose(probabilities: Iterable[float], wanted: float, lowest: float) -> Proposal:
    """Return the lowest threshold, no lower than `lowest`, that refuses at most the share `wanted` of the sample."""
    ranked = sorted(probabilities, reverse=True)
    first_let_through = ranked[int(wanted * len(ranked))]
    threshold = ceil(max(first_let_through, lowest) * 10**DIGITS + 0.5) / 10**DIGITS
    threshold = min(threshold, HIGHEST)
    refused = sum(probability >= threshold for probability in ranked)
    return Proposal(threshold, refused, interval(refused, len(ranked))[1], ceil(SUREST / wanted))


def interval(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share: Wilson's, and the rule of three where nothing was hit."""
    if not hits:
        return 0.0, min(SUREST / count, 1.0)
    z = 1.96
    middle = (hits + z * z / 2) / (count + z * z)
    half = z * sqrt(hits * (count - hits) / count + z * z / 4) / (count + z * z)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def group(samples: Sequence[Sample]) -> list[tuple[str, str, int]]:
    """Return place, layer and count of what was refused; places that differ by an index alone are one."""
    counted = Counter((re.sub(r"/\d+", "/*", sample.where), sample.layer) for sample in samples)
    return [(where, layer, count) for (where, layer), count in counted.most_common()]


def write_threshold(text: str, source: Source, place: Place, threshold: float) -> str:
    """Return the text of a policy file with a threshold for the check at `place`; nothing else is touched."""
    lines = text.splitlines(keepends=True)
    known = source.marks.get((*place, "threshold"))
    row, column = known or source.marks[place]
    line = lines[row - 1]
    before, after = line[: column - 1], line[column - 1 :]
    if known is not None:
        after = VALUE.sub(f"{threshold:.{DIGITS}g}", after, count=1)
    elif after.startswith("{"):
        after = f"{{threshold: {threshold:.{DIGITS}g}, {after[1:].lstrip()}"
    else:
        after = f"threshold: {threshold:.{DIGITS}g}\n{' ' * (column - 1)}{after}"
    lines[row - 1] = before + after
    return "".join(lines)
