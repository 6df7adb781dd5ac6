"""Remove the named members of an answer: anywhere by a plain name, in one place by a path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.protocols import Transform
from vallum.transforms.drop_fields import DropFields


@pytest.mark.parametrize(
    ("names", "document", "expected", "removed"),
    [
        (["logprobs"], {"a": 1, "logprobs": 2}, {"a": 1}, {"logprobs"}),
        (["logprobs"], {"choices": [{"logprobs": 1, "b": {"logprobs": 2}}]}, {"choices": [{"b": {}}]}, {"logprobs"}),
        (["logprobs"], [{"logprobs": 1}], [{}], {"logprobs"}),
        (["logprobs"], {"a": "logprobs"}, {"a": "logprobs"}, set()),
        (["a", "b"], {"a": {"b": 1}, "b": 2, "c": 3}, {"c": 3}, {"a", "b"}),
        (["x.y"], {"x": {"y": 1, "z": 2}, "y": 3}, {"x": {"z": 2}, "y": 3}, {"x.y"}),
        (["x.y"], {"x": [{"y": 1}, {"y": 2}]}, {"x": [{}, {}]}, {"x.y"}),
        (
            ["choices.*.logprobs"],
            {"choices": [{"logprobs": 1, "a": 2}]},
            {"choices": [{"a": 2}]},
            {"choices.*.logprobs"},
        ),
        (["x.*"], {"x": {"a": 1, "b": 2}, "y": 3}, {"x": {}, "y": 3}, {"x.*"}),
        (["x.y"], {"x": 1}, {"x": 1}, set()),
        (["a"], "a", "a", set()),
        (["a"], None, None, set()),
        ([], {"a": 1}, {"a": 1}, set()),
    ],
)
def test_what_was_named_is_removed(names: list[str], document: Any, expected: Any, removed: set[str]) -> None:
    noted: set[str] = set()
    assert DropFields(names).apply(document, noted) == expected
    assert noted == removed


@pytest.mark.parametrize("items", [[1, 2], [{"a": 1}, {"b": 2}], ["x"]])
def test_every_item_of_a_list_is_named_by_a_star(items: list[Any]) -> None:
    # `*` is every item or every member (fieldpath.py).
    noted: set[str] = set()
    out = DropFields(["top.*"]).apply({"top": list(items)}, noted)
    assert out == {"top": []}
    assert noted == {"top.*"}


@pytest.mark.parametrize("name", ["a.", ".a", "a..b", "."])
def test_paths_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="names joined by dots"):
        DropFields([name])


def test_it_is_a_transform() -> None:
    assert isinstance(DropFields([]), Transform)


ANSWERS = st.recursive(
    st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


def names_of(document: Any) -> set[str]:
    if isinstance(document, dict):
        return set(document).union(*map(names_of, document.values()))
    return set().union(*map(names_of, document)) if isinstance(document, list) else set()


@given(ANSWERS)
@settings(max_examples=200)
def test_a_plain_name_survives_nowhere(document: Any) -> None:
    before = names_of(document)
    noted: set[str] = set()
    out = DropFields(["a"]).apply(document, noted)
    assert "a" not in names_of(out)
    assert noted == {"a"} & before
