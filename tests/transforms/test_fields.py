"""Keep the named members of an answer, and nothing else."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.protocols import Transform
from vallum.transforms.fields import Fields


@pytest.mark.parametrize(
    ("document", "expected", "removed"),
    [
        ({"label": "cat", "logits": [1]}, {"label": "cat"}, {"logits"}),
        ({"score": 1, "label": "cat"}, {"score": 1, "label": "cat"}, set()),
        ({"Label": "cat"}, {}, {"Label"}),
        ({"inner": {"label": 1}}, {}, {"inner"}),
        ({"label": {"logits": 1}}, {"label": {"logits": 1}}, set()),
        ([{"label": 1, "x": 2}, {"y": 3}], [{"label": 1}, {}], {"x", "y"}),
        ([[{"label": 1, "x": 2}]], [[{"label": 1}]], {"x"}),
        ({}, {}, set()),
        ([], [], set()),
        ("secret", None, {"answer"}),
        (0.987, None, {"answer"}),
        ([1, "secret"], [None, None], {"answer"}),
        (None, None, {"answer"}),
    ],
)
def test_what_was_not_named_is_dropped(document: Any, expected: Any, removed: set[str]) -> None:
    noted: set[str] = set()
    assert Fields(["label", "score"]).apply(document, noted) == expected
    assert noted == removed


def test_with_no_name_nothing_is_kept() -> None:
    assert Fields([]).apply({"a": 1}, set()) == {}


def test_it_is_a_transform() -> None:
    assert isinstance(Fields([]), Transform)


NAMES = st.sampled_from(["label", "score", "x", "y", ""])
ANSWERS = st.recursive(
    st.none() | st.integers() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(ANSWERS)
@settings(max_examples=150)
def test_applied_twice_is_applied_once(document: Any) -> None:
    transform = Fields(["label", "score"])
    once = transform.apply(deepcopy(document), set())
    assert transform.apply(deepcopy(once), set()) == once
