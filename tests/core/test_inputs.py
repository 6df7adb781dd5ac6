"""What a model is given, found in a document: each input once, however they are bundled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.content import Passage, Upload, Voice
from vallum.core.fieldpath import parse_path
from vallum.core.inputs import PARTS, at_places, of_conversation

IMAGE = Upload("a.png", "image/png", b"png")


def find(kind: str, document: Any, *paths: str) -> list[Any]:
    return list(at_places(kind, tuple([parse_path(path) if path else () for path in paths]))(document))


@pytest.mark.parametrize(
    ("kind", "document", "found"),
    [
        ("vector", [1, 2], [[1, 2]]),
        ("vector", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ("vector", [[[1], [2]], [[3]]], [[1], [2], [3]]),
        ("vector", [0, [1], [2]], [[0], [1], [2]]),
        ("vector", [], []),
        ("vector", [[]], []),
        ("vector", "1,2", []),
        ("vector", None, []),
        ("text", "a", ["a"]),
        ("text", ["a", "a"], ["a", "a"]),
        ("text", [7, 8], [[7, 8]]),
        ("text", [[7, 8], [9]], [[7, 8], [9]]),
        ("text", {"a": 1}, []),
        ("image", IMAGE, [b"png"]),
        ("image", "aGk=", ["aGk="]),
        ("image", ["aGk=", "", "aGk="], ["aGk=", "aGk="]),
        ("image", [IMAGE, IMAGE], [b"png", b"png"]),
        ("image", [[[[1], [2]]], [[[3], [4]]]], [[[[1], [2]]], [[[3], [4]]]]),
        ("image", [[[1, 2], [3, 4]]], [[[[1, 2], [3, 4]]]]),
        ("image", [[0, 1], [1, 0]], [[[0, 1], [1, 0]]]),
        ("image", "", []),
        ("image", 7, []),
        ("table", {"a": 1}, [{"a": 1}]),
        ("table", [{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        ("table", [1, "x", None], [[1, "x", None]]),
        ("table", [[1, "x"], [2, "y"]], [[1, "x"], [2, "y"]]),
        ("table", [[1], 2], [[1], [2]]),
        ("table", [], []),
        ("table", "x", []),
    ],
)
def test_one_place_holds_one_or_many(kind: str, document: Any, found: list[Any]) -> None:
    assert find(kind, {"input": document}, "input") == found
    assert find(kind, document, "") == found
    assert find(kind, {"other": document}, "input") == []


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        ({"data": [1, 2, 3, 4], "shape": [2, 2]}, [[1, 2], [3, 4]]),
        ({"data": [1, 2, 3, 4], "shape": [1, 2, 2]}, [[1, 2, 3, 4]]),
        ({"data": [1, 2, 3, 4], "shape": [4]}, [[1, 2, 3, 4]]),
        ({"data": [1, 2, 3], "shape": [2, 2]}, [[1, 2, 3]]),
        ({"data": [1, 2], "shape": [3, 0]}, [[1, 2]]),
        ({"data": [1, 2], "shape": ["2", 1]}, [[1, 2]]),
        ({"data": [1, 2], "shape": 2}, [[1, 2]]),
        ({"data": [[1], [2]], "shape": [2, 1]}, [[1], [2]]),
        ({"data": [], "shape": [2, 2]}, []),
        ({"data": "1,2", "shape": [2, 2]}, []),
        ({"data": np.arange(4), "shape": [2, 2]}, [[0, 1], [2, 3]]),
        ({"data": np.arange(4), "shape": [4]}, [[0, 1, 2, 3]]),
        ({"data": np.arange(4)}, [[0, 1, 2, 3]]),
        ({"data": np.arange(0), "shape": [2, 2]}, []),
    ],
)
def test_a_flat_tensor_is_cut_by_its_first_axis(tensor: Any, found: list[Any]) -> None:
    rows = find("vector", {"inputs": [tensor]}, "inputs.*.data")
    assert [list(row) for row in rows] == found


def test_a_tensor_of_a_million_rows_costs_little() -> None:
    assert len(find("vector", {"data": [0.0] * 1_000_000, "shape": [1_000_000, 1]}, "data")) == 62_500


def test_several_places_are_all_looked_at_in_any_case() -> None:
    assert find("vector", {"Input": [1], "instances": [[2], [3]]}, "input", "instances.*") == [[1], [2], [3]]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(sorted(PARTS)),
)
def test_no_shape_of_a_document_breaks_it(document: Any, kind: str) -> None:
    find(kind, document, "input", "*", "a.*.b", "")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("", []),
        ("u1", [("1", "")]),
        ("o0 u1 m2 u3", [("3", "0")]),
        ("u1 o2 u3 o4", [("1\n3", "2\n4")]),
        ("u1 m2 u3 u4", [("3\n4", "")]),
        ("u1 t2 u3", [("1\n3", "")]),
        ("u1 m2", [("1", "")]),
        ("m2", [("2", "")]),
        ("o1", [("1", "")]),
        ("o1 u", [("1\n", "")]),
        ("o1 t2 d3", [("1\n2\n3", "")]),
        ("o u", []),
    ],
)
def test_of_a_conversation_the_last_turn_is_the_input(said: str, found: list[tuple[str, str]]) -> None:
    voices = {"o": Voice.OPERATOR, "u": Voice.USER, "m": Voice.MODEL, "t": Voice.TOOL, "d": Voice.DOCUMENT}
    passages = [Passage(voices[word[0]], "", word[1:]) for word in said.split()]
    assert list(of_conversation(lambda _: passages)(None)) == found
