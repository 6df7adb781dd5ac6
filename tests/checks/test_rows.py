"""Tables: honest batches pass, whatever they are made of; what is no table does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.effort import steps

from vallum.checks.rows import Rows
from vallum.core.content import Content
from vallum.core.decision import Reason

BOUNDS = {
    "rows": 4,
    "columns": 5,
    "elements": 12,
    "rank": 3,
    "text_chars": 8,
    "base64_chars": 8,
    "ragged": 0,
    "mixed": 0,
}


def inspect(document: Any, **bounds: int) -> str:
    finding = Rows(BOUNDS | bounds).inspect(Content(document))
    if finding is None:
        return ""
    assert finding.reason is Reason.INVALID_REQUEST
    assert finding.public
    return f"{finding.rule} {finding.where}".strip()


HONEST: dict[str, Any] = {
    "rows of numbers": [[1, 2.5], [3, 4]],
    "one row": [1, 2, 3, 4, 5],
    "one row of several kinds": [1, "red", True],
    "rows of several kinds": [[1, "red", None], [2, "blue", True]],
    "objects": [{"a": 1, "b": "x"}, {"a": 2.5}],
    "objects with lists": [{"a": [1, 2], "b": [[1], [2]]}, {"a": [3, 4], "b": [[5], [6]]}],
    "columns": {"a": [1, 2, 3], "b": [["x"], ["y"], ["z"]]},
    "texts": ["a", "b"],
    "missing values": [[None, 1], [2, None], [None, None]],
    "a column without values": [[None], [None]],
    "base64": [{"b64": "YQ=="}, {"b64": "YWJj"}, {"b64": ""}],
    "base64 for addresses": [{"b64": "_-8="}],
    "three levels": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
    "a number": 5,
    "nothing": None,
    "empty lists": [[], []],
}


@pytest.mark.parametrize("name", HONEST)
def test_what_is_a_table(name: str) -> None:
    assert inspect(HONEST[name]) == ""
    assert inspect({"instances": HONEST[name]}) == ""


REFUSED: dict[str, tuple[Any, str]] = {
    "five rows": ([[1]] * 5, "rows"),
    "five texts": (["a"] * 5, "rows"),
    "six values in a row": ([[1] * 6], "columns"),
    "six values in the one row": ([1] * 6, "columns"),
    "six members": ([{"a": 1}, dict.fromkeys("abcdef", 1)], "maxProperties"),
    "six members in all": ([{"a": 1, "b": 2, "c": 3}, {"d": 1, "e": 2, "f": 3}], "maxProperties"),
    "13 elements": ([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [0, 1, 2]], [[1, 1, 1], [1, 1, 1]]], "elements"),
    "rows that differ in length": ([[1, 2], [3]], "ragged"),
    "lists that differ in length, deep in two rows": ([[[1], [2]], [[3, 4], [5, 6]]], "ragged"),
    "a column of two kinds": ([[1, "a"], ["b", 2]], "mixed"),
    "a member of two kinds": ([{"a": 1}, {"a": "x"}], "mixed /a"),
    "numbers and lists": ([1, [2]], "mixed"),
    "objects and lists": ([{"a": 1}, [2]], "mixed"),
    "truths among numbers": ([[1], [True]], "mixed"),
    "kinds that differ three levels deep": ([[[1, "a"]]], "mixed"),
    "four lists": ([[[[1]]]], "rank"),
    "a text of nine characters": (["x" * 9], "maxLength"),
    "a text of nine among numbers": ([[1, "x" * 9]], "maxLength"),
    "base64 of twelve characters": ([{"b64": "YWJjYWJjYWJj"}], "maxLength"),
    "base64 that is cut": ([{"b64": "YQ="}], "base64"),
    "base64 with a line's end": ([{"b64": "YWJj\n"}], "base64"),
    "base64 with signs": ([{"b64": "Y*=="}], "base64"),
    "base64 with another member": ([{"b64": "YQ==", "x": 1}], "base64"),
    "base64 that is a list": ([{"b64": ["YQ=="]}], "base64"),
    "base64 beside another object": ([{"b64": "YQ=="}, {"x": 1}], "base64"),
    "a name that needs an escape": ([{"a/b~": [1]}, {"a/b~": "x"}], "mixed /a~1b~0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_none(name: str) -> None:
    document, wrong = REFUSED[name]
    assert inspect(document) == wrong
    rule, _, where = wrong.partition(" ")
    assert inspect({"instances": document}) == f"{rule} /instances{where}"


def test_bounds_that_let_through() -> None:
    assert inspect([[1, 2], [3]], ragged=1) == ""
    assert inspect([[1], ["a"]], mixed=1) == ""
    assert inspect([[1, "x" * 9], ["a", 2]], mixed=1) == "maxLength"
    assert inspect([1, [2]], mixed=1) == "mixed"


def test_without_columns_and_base64() -> None:
    bounds = {name: most for name, most in BOUNDS.items() if name not in ("columns", "base64_chars")}
    assert Rows(bounds).inspect(Content([[1] * 12])) is None
    assert Rows(bounds).inspect(Content([{"b64": "YQ=="}])) is not None


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
NAMES = st.sampled_from(["a", "b64", "c"])


@given(st.recursive(LEAVES, lambda below: st.lists(below, max_size=4) | st.dictionaries(NAMES, below), max_leaves=20))
def test_nothing_makes_it_stumble(anything: Any) -> None:
    inspect(anything)
    inspect(anything, ragged=1, mixed=1)


LARGE: dict[str, Callable[[int], Any]] = {
    "lists": lambda size: [[]] * size,
    "objects": lambda size: [{}] * size,
    "members": lambda size: [{"a": 1}] * size,
    "numbers": lambda size: [1] * size,
    "kinds": lambda size: [[1, "a"]] * size,
    "names": lambda size: {f"m{n}": n for n in range(size)},
    "a name in each": lambda size: [[{f"m{n}": n}] for n in range(size)],
}


@pytest.mark.parametrize("name", LARGE)
def test_twice_the_document_costs_twice_as_much(name: str) -> None:
    def cost(size: int) -> int:
        document = LARGE[name](size)
        return steps(lambda: inspect(document, rows=10**6, columns=2000, elements=10**6))

    assert cost(2000) < 2.1 * cost(1000) < 2.1 * 300_000
