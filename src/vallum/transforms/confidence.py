"""Coarsen a confidence: by bands, or by rounding.

What it stops
    Extraction by exact scores.  A confidence to sixteen digits is an equation about the weights: a two-class logistic
    regression falls to as many queries as it has parameters (Tramer et al. 2016).  Rounding is deterministic, so
    that asking again and averaging gains nothing.
Config
    `response.confidence.field`: the path of the number.  `bands`: a label for each lower bound; the highest bound not
    above the number names it.  Or `round`: how many decimal places to keep.
Cost
    Under 1 us an answer.
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

from vallum.core.fieldpath import parse_path, places

if TYPE_CHECKING:
    from collections.abc import Mapping


HUGE = 1e12  # no score is that large; the sum of digits before and after the point stays within a Decimal's 28


class Confidence:
    """A number made coarser."""

    type: ClassVar[str] = "confidence"

    def __init__(self, field: str, bands: Mapping[str, float] | None = None, digits: int | None = None) -> None:
        """Coarsen the number at `field`; give `bands` or `digits`, one of the two."""
        if (bands is None) == (digits is None):
            raise ValueError("give either bands or round")
        self._path = parse_path(field)
        self._note = f"{field} (coarsened)"
        self._bands = sorted(((low, label) for label, low in (bands or {}).items()), reverse=True)
        self._step = None if digits is None else Decimal(1).scaleb(-digits)

    def apply(self, document: Any, removed: set[str]) -> Any:
        """Return `document` with the number coarsened; what stands there and is no number is removed."""
        for container, key in list(places(document, self._path)):
            coarse = self._coarsen(container[key])
            if coarse is None and isinstance(container, dict):
                del container[key]
            else:
                container[key] = coarse
            removed.add(self._note)
        return document

    def _coarsen(self, value: Any) -> str | float | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not -inf < value < inf:
            return None  # NaN is in no range
        if self._step is not None and not -HUGE < value < HUGE:
            return None
        if self._step is not None:
            return float(Decimal(repr(value)).quantize(self._step, ROUND_HALF_EVEN))
        for low, label in self._bands:
            if value >= low:
                return label
        return None
