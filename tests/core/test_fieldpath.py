"""Field paths: who holds the named member, in one answer, in a batch and at every depth."""

from __future__ import annotations

from typing import Any

import pytest

from vallum.core.fieldpath import holders, parse_path


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
        (A, "x", [A]),
        (A, "y", []),
        ({"a": A}, "a.x", [A]),
        ({"a": A}, "x", []),
        ({"a": A}, "b.x", []),
        ({"a": 1}, "a.x", []),
        ([A, B], "x", [A, B]),  # a batch: the path of one answer holds for each
        ([A, B], "*.x", [A, B]),
        ({"a": [A, B]}, "a.x", [A, B]),
        ({"a": [A, B]}, "a.*.x", [A, B]),
        ({"a": [[A], [B]]}, "a.x", [A, B]),
        ({"a": [[A], [B]]}, "a.*.x", [A, B]),
        ({"a": {"p": A, "q": B, "r": 3}}, "a.*.x", [A, B]),
        ({"a": A}, "*.x", [A]),
        (A, "*", [A]),
        ({"a": A}, "a.*", [A]),
        ({"a": {}}, "a.*", [{}]),
        ([A, 1, "x", None], "x", [A]),
        (None, "x", []),
        ("x", "x", []),
        (1, "*", []),
    ],
)
def test_who_holds_the_last_name(document: Any, path: str, expected: list[Any]) -> None:
    assert list(holders(document, parse_path(path))) == expected
