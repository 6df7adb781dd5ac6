"""Sketches add up in any order, over windows and replicas; what is none is refused."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vallum.extraction.facts import WIDTH
from vallum.extraction.sketch import (
    COUNT,
    LINE,
    PACKED_MAX_BYTES,
    ROWS,
    SQUARES,
    WINDOW_S,
    Sketch,
    empty_line,
    fade,
    unpack,
    window_of,
)

if TYPE_CHECKING:
    from vallum.extraction.facts import Floats

T0 = 2800 * WINDOW_S


def line(count: int, seed: int) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(count, WIDTH)) / WIDTH**0.5
    total = empty_line()
    total[COUNT], total[SQUARES], total[ROWS] = count, (rows * rows).sum(), rows.sum(axis=0)
    return total


def sketch(window: int, recent: int = 3, earlier: int = 0, seed: int = 1, at: float = T0) -> Sketch:
    return Sketch(7, window, line(recent, seed), line(earlier, seed + 1), at, at + seed, at - seed)


def copy(held: Sketch) -> Sketch:
    return Sketch(held.scale, held.window, held.recent.copy(), held.earlier.copy(), held.first, held.last, held.created)


def total(*sketches: Sketch) -> Sketch:
    first, *others = map(copy, sketches)
    for other in others:
        first.add(other)
    return first


def assert_same(one: Sketch, other: Sketch, tolerance: float = 1e-4) -> None:
    assert (one.window, one.first, one.last, one.created) == (other.window, other.first, other.last, other.created)
    np.testing.assert_allclose(one.recent, other.recent, atol=tolerance)
    np.testing.assert_allclose(one.earlier, other.earlier, atol=tolerance)


SKETCHES = st.builds(sketch, st.integers(100, 104), st.integers(0, 5), st.integers(0, 5), st.integers(1, 99))


@given(SKETCHES, SKETCHES)
def test_the_order_of_two_makes_no_difference(one: Sketch, other: Sketch) -> None:
    assert_same(total(one, other), total(other, one))


@given(SKETCHES, SKETCHES, SKETCHES)
def test_nor_does_that_of_three(one: Sketch, two: Sketch, three: Sketch) -> None:
    assert_same(total(total(one, two), three), total(one, total(two, three)))


@given(SKETCHES, st.integers(0, 3))
def test_going_on_before_or_after_adding_makes_no_difference(one: Sketch, weeks: int) -> None:
    moved, added = copy(one), total(one, one)
    moved.rotate(one.window + weeks)
    added.rotate(one.window + weeks)
    assert_same(total(moved, moved), added)


def test_two_windows_are_kept_and_a_third_is_not() -> None:
    held = sketch(100, recent=3)
    held.rotate(101)
    assert held.earlier[COUNT] == 3
    assert held.recent[COUNT] == 0
    held.rotate(100)  # the clock went back
    assert held.earlier[COUNT] == 3
    held.rotate(102)
    assert held.earlier[COUNT] == 0
    late = sketch(90)
    held.add(late)
    assert held.recent[COUNT] + held.earlier[COUNT] == 0
    assert held.first == T0


def test_sketches_of_two_scales_do_not_add_up() -> None:
    other = sketch(100)
    other.scale = 8
    with pytest.raises(ValueError, match="two scales"):
        sketch(100).add(other)


@given(SKETCHES)
def test_what_is_packed_comes_back(held: Sketch) -> None:
    data = held.pack()
    assert len(data) <= PACKED_MAX_BYTES < 1024
    back = unpack(data)
    np.testing.assert_array_equal(back.recent, held.recent)
    assert_same(back, held, tolerance=0.01)


def test_a_sketch_without_an_earlier_window_is_half_as_long() -> None:
    assert len(sketch(100, earlier=0).pack()) < 0.7 * len(sketch(100, earlier=1).pack())


def test_an_account_that_asked_a_million_times_is_packed_as_well() -> None:
    held = sketch(100, recent=1, earlier=1)
    held.earlier *= 1e6
    np.testing.assert_allclose(unpack(held.pack()).earlier, held.earlier, rtol=2e-3, atol=100)


GOOD = sketch(100, 3, 3).pack()


@given(st.binary(max_size=1200))
@example(b"VL\x01\x02" + bytes(PACKED_MAX_BYTES - 4))
def test_garbage_is_refused(data: bytes) -> None:
    try:
        held = unpack(data)
    except ValueError:
        return
    assert np.isfinite(held.recent).all()
    assert held.recent[COUNT] >= 0


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_does_little(at: int, byte: int) -> None:
    data = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    try:
        held = unpack(data)
    except ValueError:
        return
    for kept in (held.recent, held.earlier):
        assert np.isfinite(kept).all()
        assert np.linalg.norm(kept[ROWS]) <= 4 * kept[COUNT] + 2


def spoilt(at: int, value: float) -> bytes:
    held = sketch(100, 3, 3)
    held.recent[at] = value
    return held.pack()


BAD = {
    "a byte short": GOOD[:-1],
    "a byte long": GOOD + b"\0",
    "empty": b"",
    "another mark": b"XX" + GOOD[2:],
    "another version": GOOD[:2] + b"\xff" + GOOD[3:],
    "three lines": GOOD[:3] + b"\x03" + GOOD[4:],
    "a row that is not a number": spoilt(7, float("nan")),
    "an infinite row": spoilt(7, inf),
    "a row longer than its count": spoilt(7, 1e6),
    "a count below nothing": spoilt(COUNT, -1.0),
    "a count beyond counting": spoilt(COUNT, 1e12),
    "squares of another count": spoilt(SQUARES, 1e6),
    "times that are not numbers": Sketch(7, 100, line(1, 1), empty_line(), float("nan"), T0, T0).pack(),
    "a time after all others": Sketch(7, 100, line(1, 1), empty_line(), T0, inf, T0).pack(),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_sketch_is_refused(case: str) -> None:
    with pytest.raises(ValueError, match="no sketch"):
        unpack(BAD[case])


def test_the_earlier_window_counts_less_and_less() -> None:
    window = window_of(T0)
    assert fade(T0, window) == 1
    assert fade(T0 + WINDOW_S / 2, window) == 0.5
    assert fade(T0 + WINDOW_S, window) == 0
    assert fade(T0 - WINDOW_S, window) == 1  # the clock went back
    assert fade(T0 + 9 * WINDOW_S, window) == 0
    assert len(empty_line()) == LINE
