"""Who asks again learns nothing more: the same score becomes the same value each time, and its mean is that value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.coarsening import LEVELS, Coarsening
from vallum.transforms.confidence import Confidence
from vallum.transforms.precision import Precision

if TYPE_CHECKING:
    from vallum.core.protocols import Transform

WAYS: dict[str, Transform] = {
    **{f"rounded to {digits}": Confidence("s", None, digits) for digits in (0, 1, 2, 4)},
    "bands": Confidence("s", {"high": 0.9, "low": 0.0}, None),
    "the best": Confidence("s", None, 2, top_k=1),
    "digits": Precision(["s"], 3, None),
    **{f"coarsened to {level}": Coarsening(["s"], level) for level in LEVELS},
}
SCORES = st.floats(0, 1) | st.lists(st.floats(0, 1), min_size=1, max_size=5)


@pytest.mark.parametrize("way", WAYS)
@given(score=SCORES)
def test_repeats_of_one_score_are_one_value(way: str, score: Any) -> None:
    def told() -> Any:
        return WAYS[way].apply({"s": list(score) if isinstance(score, list) else score}, set())

    first = told()
    assert all(told() == first for _ in range(3))
    again = WAYS[way].apply({"s": first["s"]} if "s" in first else {}, set())
    if way != "bands":  # a label is no number to make coarser
        assert again == first, "what was made coarse is as coarse as it gets"
