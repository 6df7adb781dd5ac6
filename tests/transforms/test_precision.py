"""Numbers with fewer digits: exactly those, always the same, and nothing else in their place."""

from __future__ import annotations

import math
import struct
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.protocols import Transform
from vallum.transforms.precision import Precision

GONE = "removed"


def coarsen(value: Any, **how: Any) -> Any:
    return Precision(["v"], **how).apply({"v": value}, set()).get("v", GONE)


@pytest.mark.parametrize(
    ("value", "how", "expected"),
    [
        (0.00123456, {"digits": 3}, 0.00123),
        (123456, {"digits": 3}, 123000.0),
        (-0.98765, {"digits": 2}, -0.99),
        (0.0, {"digits": 2}, 0.0),
        ([0.12345, [0.6789]], {"digits": 2}, [0.12, [0.68]]),
        ({"a": 0.12345}, {"digits": 2}, {"a": 0.12}),
        ([0.1, 0.2, 0.3], {"dimensions": 2}, [0.1, 0.2]),
        ([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], {"dimensions": 1}, [[0.1], [0.4]]),  # each vector, not the batch
        (math.nan, {"digits": 2}, GONE),
        (10**400, {"digits": 2}, GONE),
        (True, {"digits": 2}, GONE),
        (None, {"digits": 2}, GONE),
        ("0.93", {"digits": 2}, GONE),
        ("not base64", {"digits": 2}, GONE),
        (["0.93"], {"digits": 2}, [None]),
    ],
)
def test_digits_and_dimensions(value: Any, how: dict[str, Any], expected: Any) -> None:
    assert coarsen(value, **how) == expected


def test_a_vector_in_base64_is_read_and_written_again() -> None:
    packed = b64encode(struct.pack("<3f", 0.123456, math.inf, 7.5)).decode()
    out = coarsen(packed, digits=2, dimensions=2)
    assert struct.unpack("<2f", b64decode(out)) == pytest.approx((0.12, 0.0))


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 15))
def test_twice_is_once(value: float, digits: int) -> None:
    once = coarsen(value, digits=digits)
    assert once == GONE or coarsen(once, digits=digits) == once


def test_there_is_a_way() -> None:
    with pytest.raises(ValueError, match="give digits or dimensions"):
        Precision(["v"])
    assert isinstance(Precision(["v"], 2), Transform)
