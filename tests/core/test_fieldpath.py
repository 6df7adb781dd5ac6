"""Field paths: where the named values stand, in one answer, in a batch and at every depth."""

from __future__ import annotations

from typing import Any

import pytest

from vallum.core.fieldpath import parse_path, places


@pytest.mark.parametrize(
    ("text", "path"),
    [("a", ("a",)), ("a.b", ("a", "b")), ("choices.*.logprobs", ("choices", "*", "logprobs")), ("*", ("*",))],
)
def test_paths(text: str, path: tuple[str, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b"])
def test_paths_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="names joined by dots"):
        parse_path(text)


A, B = {"x": 1}, {"x": 2}


@pytest.mark.parametrize(
    ("document", "path", "expected"),
    [
        (A, "x", [1]),
        (A, "y", []),
        ({"a": A}, "a.x", [1]),
        ({"a": A}, "x", []),
        ({"a": A}, "b.x", []),
        ({"a": 1}, "a.x", []),
        ([A, B], "x", [1, 2]),  # a batch: the path of one answer holds for each
        ([A, B], "*.x", [1, 2]),
        ({"a": [A, B]}, "a.x", [1, 2]),
        ({"a": [A, B]}, "a.*.x", [1, 2]),
        ({"a": [[A], [B]]}, "a.x", [1, 2]),
        ({"a": [[A], [B]]}, "a.*.x", [1, 2]),
        ({"a": {"p": A, "q": B, "r": 3}}, "a.*.x", [1, 2]),
        ({"a": A}, "*.x", [1]),
        (A, "*", [1]),
        ({"a": A}, "a.*", [1]),
        ({"a": [0.1, 0.2]}, "a.*", [0.1, 0.2]),  # every item as well as every member
        ([0.1, 0.2], "*", [0.1, 0.2]),
        ({"a": {}}, "a.*", []),
        ([A, 1, "x", None], "x", [1]),
        ({"X": 1, "x": 2}, "x", [1, 2]),  # a client that ignores case would read either
        ({"\u017ftate": 1}, "state", [1]),
        ([{"name": "A", "x": 1}, {"name": "b", "x": 2}], "name=a.x", [1]),
        ({"o": [{"name": "a", "x": 1}, {"x": 2}, 3]}, "o.name=a.x", [1]),
        ({"o": [{"name": "a"}, {"name": "b"}]}, "o.name=b", [{"name": "b"}]),
        ({"o": {"name": "a", "x": 1}}, "o.name=a.x", [1]),  # one object, not in a list
        ({"o": {"name": "a", "x": 1}}, "o.name=b.x", []),
        ({"o": {"name": "a", "x": 1}}, "o.name=a", []),  # an object is not taken out of itself
        ({"o": [{"name": 7, "x": 1}]}, "o.name=7.x", []),
        (None, "x", []),
        ("x", "x", []),
        (1, "*", []),
    ],
)
def test_where_the_named_values_stand(document: Any, path: str, expected: list[Any]) -> None:
    assert [container[key] for container, key in places(document, parse_path(path))] == expected
