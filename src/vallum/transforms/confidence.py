"""Coarsen a confidence: by bands, by rounding, by a threshold, by the highest few.

What it stops
    Extraction by exact scores.  A confidence to sixteen digits is an equation about the weights: a two-class logistic
    regression falls to as many queries as it has parameters (Tramer et al. 2016).  Rounding is deterministic, so
    that asking again and averaging gains nothing.
Config
    `response.confidence.field`: the path, or paths, of a number or of a map or list of them.  `top_k`: how many of a
    map's or list's scores to keep, the highest, in their order; the others leave a map and become null in a list (a
    list of objects is ranked by the member `by`, and the others leave it).  `threshold`: scores below it are withheld.
    `bands`: a label for each lower bound; the highest bound not above the number names it.  Or `round`: how many
    decimal places to keep.  Applied in this order.  A flat tensor with a `shape` beside it is ranked row by row.
Cost
    Under 1 us a number.
Misses
    The label itself still leaks: enough queries copy a model from labels alone, only dearer.  Use quotas too.
Example
    response:
      confidence: {field: confidence, bands: {high: 0.9, medium: 0.7, low: 0.0}}
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

from vallum.core.fieldpath import parse_path, places, put

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


HUGE = 1e12  # no score is that large; the sum of digits before and after the point stays within a Decimal's 28


class Confidence:
    """Numbers made coarser."""

    type: ClassVar[str] = "confidence"

    def __init__(
        self,
        field: str | Iterable[str],
        bands: Mapping[str, float] | None = None,
        digits: int | None = None,
        *,
        threshold: float | None = None,
        top_k: int | None = None,
        by: str = "score",
    ) -> None:
        """Coarsen the scores at `field`; give at least one way, and of `bands` and `digits` not both."""
        if bands is not None and digits is not None:
            raise ValueError("give either bands or round")
        if bands is None and digits is None and threshold is None and top_k is None:
            raise ValueError("give bands, round, threshold or top_k")
        fields = [field] if isinstance(field, str) else list(field)
        self._paths = [parse_path(name) for name in fields]
        self._note = f"{', '.join(fields)} (coarsened)"
        self._bands = None if bands is None else sorted(((low, label) for label, low in bands.items()), reverse=True)
        self._digits = digits or 0
        self._step = Decimal(1).scaleb(-self._digits)
        self._rounds = digits is not None
        self._threshold = threshold
        self._top_k = top_k
        self._by = by

    def apply(self, document: Any, removed: set[str]) -> Any:
        """Return `document` with its scores coarsened; what stands there and is no score is removed."""
        for path in self._paths:
            for container, key in places(document, path):
                put(container, key, self._coarsen(container[key], _row(container)))
                removed.add(self._note)
        return document

    def _coarsen(self, value: Any, row: int | None = None) -> Any:
        if isinstance(value, dict):
            if self._top_k is not None:
                value = {key: value[key] for key in self._highest(list(value), value)}
            coarse = {key: self._coarsen(inner) for key, inner in value.items()}
            return {key: inner for key, inner in coarse.items() if inner is not None}
        if isinstance(value, list):
            return self._coarsen_list(value, row)
        return self._coarsen_number(value)

    def _coarsen_list(self, value: list[Any], row: int | None) -> list[Any]:
        if value and all(isinstance(inner, dict) for inner in value):
            return self._coarsen_objects(value)
        if any(isinstance(inner, list) for inner in value):
            return [self._coarsen(inner) for inner in value]
        coarse = [self._coarsen_number(inner) for inner in value]
        if self._top_k is None:
            return coarse
        size = row if row is not None and len(value) % row == 0 else len(value) or 1
        for start in range(0, len(value), size):
            places_of_row = list(range(start, start + size))
            kept = set(self._highest(places_of_row, value))
            for place in places_of_row:
                if place not in kept:
                    coarse[place] = None
        return coarse

    def _coarsen_objects(self, items: list[dict[str, Any]]) -> list[Any]:
        scores = [item.get(self._by) for item in items]
        kept = range(len(items)) if self._top_k is None else self._highest(list(range(len(items))), scores)
        out = []
        for place in kept:
            item, coarse = items[place], self._coarsen_number(scores[place])
            if coarse is None:
                item.pop(self._by, None)
                if self._threshold is not None:
                    continue
            else:
                item[self._by] = coarse
            out.append(item)
        return out

    def _highest(self, keys: list[Any], scores: Any) -> list[Any]:
        """Return the keys of the highest scores, in the order of `keys`; of equals the first."""
        ranked = sorted([key for key in keys if _is_score(scores[key])], key=lambda key: -scores[key])
        kept = set(ranked[: self._top_k])
        return [key for key in keys if key in kept]

    def _coarsen_number(self, value: Any) -> Any:
        if not _is_score(value) or (self._threshold is not None and value < self._threshold):
            return None
        if self._rounds:
            if not -HUGE < value < HUGE:
                return None
            return self._round(value)
        if self._bands is None:
            return value  # compiled, a float has no room for every integer
        return next((label for low, label in self._bands if value >= low), None)

    def _round(self, value: float) -> float:
        """Round half to even, by the digits as they are written: only those of a 5 need decimal arithmetic."""
        written = repr(value)
        if written[-1] != "5" and "e" not in written:
            return float(round(value, self._digits))
        return float(Decimal(written).quantize(self._step, ROUND_HALF_EVEN))


def _is_score(value: Any) -> bool:
    # NaN is in no range.
    return isinstance(value, int | float) and not isinstance(value, bool) and -inf < value < inf


def _row(container: Any) -> int | None:
    """Return the length of a row of a flat tensor, by the `shape` beside it."""
    shape = container.get("shape") if isinstance(container, dict) else None
    last = shape[-1] if isinstance(shape, list) and shape else None
    return last if type(last) is int and last > 0 else None
