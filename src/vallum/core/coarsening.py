"""Answers made coarser for one caller, by how far that caller is suspected; the policy stays as it is.

Another control sets `Exchange.coarsen`, from 0 (as the policy says) to 3, before the answer's head is judged:

    1   every score to one decimal place
    2   every probability to the lower bound of its band (0, 0.5, 0.7, 0.9), any other score to a whole number
    3   the best class alone, without its score

Rule: the same score becomes the same value each time, so that asking again and averaging gains nothing.
"""

from __future__ import annotations

from math import floor, isfinite
from typing import TYPE_CHECKING, Any, ClassVar

from vallum.core.fieldpath import parse_path, places, put

if TYPE_CHECKING:
    from collections.abc import Iterable

LEVELS = (1, 2, 3)
BANDS = (0.9, 0.7, 0.5, 0.0)
HUGE = 1e12  # no score is that large; what is has no place after its point either


class Coarsening:
    """The scores of an answer, at one level."""

    type: ClassVar[str] = "coarsening"

    def __init__(self, fields: Iterable[str], level: int) -> None:
        """Coarsen the numbers, maps and lists of scores at `fields`."""
        self._paths = [parse_path(field) for field in fields]
        self._level = level
        self._note = f"scores (coarsened to level {level})"

    def apply(self, document: Any, removed: set[str]) -> Any:
        """Return `document` with its scores coarsened; a score that is no number is taken away."""
        for path in self._paths:
            for container, key in places(document, path):
                put(container, key, self._coarsen(container[key]))
                removed.add(self._note)
        return document

    def _coarsen(self, value: Any) -> Any:
        if isinstance(value, dict):
            if self._level == 3:  # the name of the best is all that is left
                best = _best(value)
                return {} if best is None else {best: None}
            return {key: self._coarsen(inner) for key, inner in value.items()}
        if isinstance(value, list):
            if self._level == 3 and value and all(map(_is_score, value)):
                top = value.index(max(value))
                return [1.0 if index == top else 0.0 for index in range(len(value))]
            return [self._coarsen(inner) for inner in value]
        return self._number(value) if _is_score(value) else None

    def _number(self, value: float) -> float | None:
        if self._level == 1:
            return round(float(value), 1)
        if self._level == 3:
            return None
        if not -0.5 <= value < 1.5:  # what rounds to 0 or 1 would be one of the bands when asked again
            return float(floor(value + 0.5))
        return next(low for low in BANDS if max(value, 0) >= low)


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -HUGE < value < HUGE and isfinite(value)


def _best(scores: dict[str, Any]) -> str | None:
    numbers = {key: value for key, value in scores.items() if _is_score(value)}
    return max(numbers, key=lambda key: numbers[key]) if numbers else None
