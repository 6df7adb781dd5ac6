"""Coarsen a confidence: a label for a band, or a number with fewer places; and never let another thing through."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.protocols import Transform
from vallum.transforms.confidence import Confidence

BANDS = {"high": 0.9, "medium": 0.7, "low": 0.0}
GONE = "removed"


def coarsen(value: Any, **how: Any) -> Any:
    return Confidence("c", **how).apply({"c": value}, set()).get("c", GONE)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (1.0, "high"),
        (0.9, "high"),
        (0.8999999999999999, "medium"),
        (0.7, "medium"),
        (0.69, "low"),
        (0.0, "low"),
        (0, "low"),
        (1, "high"),
        (1e300, "high"),
        (-0.1, GONE),
        (math.nan, GONE),
        (math.inf, GONE),
        (True, GONE),
        ("0.93", GONE),
        (None, GONE),
        ([0.93], ["high"]),
        ({"exact": 0.93, "nan": math.nan}, {"exact": "high"}),
    ],
)
def test_bands(value: Any, label: str) -> None:
    assert coarsen(value, bands=BANDS) == label


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.9312, 2, 0.93),
        (0.985, 2, 0.98),  # half to even, by the digits as they are written
        (0.975, 2, 0.98),
        (0.999, 2, 1.0),
        (0.12345, 0, 0.0),
        (0.5, 0, 0.0),
        (1.5, 0, 2.0),
        (1, 2, 1.0),
        (0.1, 15, 0.1),
        (1e-20, 2, 0.0),
        (123456.789, 1, 123456.8),
        (math.nan, 2, GONE),
        (-math.inf, 2, GONE),
        (True, 2, GONE),
        ("0.93", 2, GONE),
        (None, 2, GONE),
    ],
)
def test_rounding(value: Any, digits: int, expected: Any) -> None:
    assert coarsen(value, digits=digits) == expected


@pytest.mark.parametrize("value", [10**400, -(10**400)], ids=["up", "down"])
def test_a_number_beyond_any_float_is_in_a_band_or_removed(value: int) -> None:
    assert coarsen(value, bands=BANDS) in {"high", GONE}


@pytest.mark.parametrize(
    "value",
    [1e30, -1e300, 1.7976931348623157e308, 10**30, 10**400],
    ids=["1e30", "-1e300", "largest", "10**30", "10**400"],
)
@pytest.mark.parametrize("digits", [0, 2, 15])
def test_a_number_of_any_size_is_coarsened_or_removed_and_never_a_fault(value: Any, digits: int) -> None:
    out = coarsen(value, digits=digits)
    assert out == GONE or out == float(value)


@pytest.mark.parametrize(
    ("path", "document", "expected"),
    [
        ("c", [{"c": 0.95}, {"c": 0.1}], [{"c": "high"}, {"c": "low"}]),
        ("p.*.c", {"p": [{"c": 0.95}, {"c": 0.75}]}, {"p": [{"c": "high"}, {"c": "medium"}]}),
        ("p.*", {"p": {"cat": 0.95, "dog": 0.05}}, {"p": {"cat": "high", "dog": "low"}}),
        ("p.*", {"p": {"cat": 0.95, "dog": "x"}}, {"p": {"cat": "high"}}),
        ("p.*", {"p": [0.95, 0.05]}, {"p": ["high", "low"]}),  # `*` is every item or every member
        ("c", {"other": 1}, {"other": 1}),
        ("a.c", {"a": 1}, {"a": 1}),
    ],
)
def test_where_the_number_stands(path: str, document: Any, expected: Any) -> None:
    assert Confidence(path, BANDS).apply(document, set()) == expected


def test_what_was_coarsened_is_noted() -> None:
    noted: set[str] = set()
    Confidence("p.*.c", BANDS).apply({"p": [{"c": 1}]}, noted)
    assert noted == {"p.*.c (coarsened)"}
    Confidence("c", BANDS).apply({}, noted)
    assert len(noted) == 1


def test_there_is_a_way_and_not_two_that_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="either bands or round"):
        Confidence("c", bands=BANDS, digits=2)
    with pytest.raises(ValueError, match="give bands, round, threshold or top_k"):
        Confidence("c")


@pytest.mark.parametrize(
    ("value", "how", "expected"),
    [
        (0.4, {"threshold": 0.5}, GONE),
        (0.5, {"threshold": 0.5}, 0.5),
        (0.74, {"threshold": 0.7, "digits": 1}, 0.7),
        ({"a": 0.1, "b": 0.6, "c": 0.3}, {"top_k": 2}, {"b": 0.6, "c": 0.3}),  # in their order
        ({"a": 0.1, "b": 0.6, "c": 0.3}, {"top_k": 1, "bands": BANDS}, {"b": "low"}),
        ({"a": 0.5, "b": 0.5}, {"top_k": 1}, {"a": 0.5}),  # of equals the first
        ({"a": "0.9", "b": 0.1}, {"top_k": 1}, {"b": 0.1}),
        ({"a": 0.1, "b": 0.6}, {"threshold": 0.5}, {"b": 0.6}),
        ([0.1, 0.6, 0.3], {"top_k": 1}, [None, 0.6, None]),  # a place in a list is a class
        ([[0.1, 0.9], [0.8, 0.2]], {"top_k": 1, "digits": 0}, [[None, 1.0], [1.0, None]]),
        ([], {"top_k": 1}, []),
        (
            [{"l": "a", "score": 0.91}, {"l": "b", "score": 0.05}],
            {"top_k": 1, "digits": 1},
            [{"l": "a", "score": 0.9}],
        ),
        ([{"l": "a", "score": 0.91}, {"l": "b", "score": 0.05}], {"threshold": 0.5}, [{"l": "a", "score": 0.91}]),
        ([{"l": "a", "score": "0.91"}], {"digits": 1}, [{"l": "a"}]),
        ([{"l": "a", "p": 0.91}], {"digits": 1, "by": "p"}, [{"l": "a", "p": 0.9}]),
        ("0.4", {"threshold": 0.5}, GONE),
        ({"a": "0.93"}, {"digits": 1}, {}),
    ],
)
def test_thresholds_and_the_highest_few(value: Any, how: dict[str, Any], expected: Any) -> None:
    assert coarsen(value, **how) == expected


def test_a_flat_tensor_is_ranked_by_row() -> None:
    tensor = {"shape": [2, 2], "data": [0.1, 0.9, 0.8, 0.2]}
    transform = Confidence("data", top_k=1)
    assert transform.apply(tensor, set())["data"] == [None, 0.9, 0.8, None]
    assert transform.apply({"shape": [3], "data": [0.1, 0.9]}, set())["data"] == [None, 0.9]  # no such rows: one


def test_a_name_in_another_case_is_the_same_name() -> None:
    assert Confidence("confidence", digits=1).apply({"Confidence": 0.93}, set()) == {"Confidence": 0.9}


def test_a_path_that_is_none() -> None:
    with pytest.raises(ValueError, match="names joined by dots"):
        Confidence("a..b", BANDS)


def test_it_is_a_transform() -> None:
    assert isinstance(Confidence("c", BANDS), Transform)


@given(st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=200)
def test_bands_keep_the_order_and_say_no_more(one: float, other: float) -> None:
    order = ["low", "medium", "high"]
    first, second = coarsen(one, bands=BANDS), coarsen(other, bands=BANDS)
    if one <= other:
        assert order.index(first) <= order.index(second)


@given(st.floats(0, 1), st.integers(0, 6))
@settings(max_examples=200)
def test_rounding_is_near_stable_and_short(value: float, digits: int) -> None:
    once = coarsen(value, digits=digits)
    assert abs(once - value) <= 0.5 * 10**-digits + 1e-12
    assert coarsen(once, digits=digits) == once
    assert once == round(once, digits)
