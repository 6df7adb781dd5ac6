"""Where a model's inputs lie: one input, a batch, a tensor; and documents that are none of these."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.content import Upload
from vallum.core.fieldpath import parse_path
from vallum.extraction.inputs import CHARS_MAX, INPUTS_MAX, find_inputs

ROW = [0.5, 1.0, 2.0]
EITHER = [("*", "vector"), ("*.*", "vector")]  # a vector under any name, or a batch of them


def find(document: Any, *wanted: tuple[str, str]) -> tuple[Any, ...]:
    return find_inputs(document, [(parse_path(path), kind) for path, kind in wanted])


CASES: dict[str, tuple[Any, list[tuple[str, str]], tuple[Any, ...]]] = {
    "one vector by its name": ({"input": ROW}, [("input", "vector")], (ROW,)),
    "a picture as rows of numbers": ({"input": [ROW, ROW]}, [("input", "vector")], ([ROW, ROW],)),
    "a batch, whose items the path names": ({"x": [ROW, ROW[::-1]]}, [("x.*", "vector")], (ROW, ROW[::-1])),
    "one vector, where the path may name a batch": ({"instances": ROW}, [("instances.*", "vector")], (ROW,)),
    "a vector under any name": ({"x": ROW}, EITHER, (ROW,)),
    "a batch under any name": ({"x": [ROW, ROW[::-1]]}, EITHER, (ROW, ROW[::-1])),
    "numbers under names of their own": ({"age": 3, "size": 4.5}, EITHER, ([3, 4.5],)),
    "a document that is a vector": (ROW, EITHER, (ROW,)),
    "a document that is a batch": ([ROW, ROW[::-1]], EITHER, (ROW, ROW[::-1])),
    "objects of numbers": ({"instances": [{"a": 1, "b": 2}]}, [("instances.*", "vector")], ([1, 2],)),
    "a number": ({"input": 3}, [("input", "vector")], (3,)),
    "a flat tensor of two rows": ({"inputs": [{"data": [1, 2, 3, 4], "shape": [2, 2]}]}, [("inputs.*.data", "vector")],
                                  ([1, 2], [3, 4])),
    "a tensor whose shape lies": ({"inputs": [{"data": [1, 2, 3], "shape": [2, 2]}]}, [("inputs.*.data", "vector")],
                                  ([1, 2, 3],)),
    "a tensor of one row": ({"inputs": [{"data": ROW, "shape": [1, 3]}]}, [("inputs.*.data", "vector")], (ROW,)),
    "a text": ({"prompt": "hello"}, [("prompt", "text")], ("hello",)),
    "texts or vectors in one place": ({"data": "hello"}, [("data", "vector"), ("data", "text")], ("hello",)),
    "a row of a table": ({"rows": [[1, "a"], [2, None]]}, [("rows.*", "table")], ((1, "a"), (2, None))),
    "rows that are objects": ({"rows": [{"a": 1}]}, [("rows.*", "table")], ({"a": 1},)),
    "a picture in base64": ({"image": "aGVsbG8="}, [("image", "image")], (b"hello",)),
    "a picture as a data URL": ({"image": "data:image/png;base64,aGVsbG8="}, [("image", "image")], (b"hello",)),
    "a picture's address": ({"image": "https://there.example/a.png"}, [("image", "image")], ()),
    "no base64": ({"image": "a"}, [("image", "image")], ()),
    "base64 of letters that nobody knows": ({"image": "ééé"}, [("image", "image")], ()),
    "an uploaded picture": ({"file": Upload("a.png", "image/png", b"abc")}, [("file", "image")], (b"abc",)),
    "a picture as numbers": ({"image": [[1, 2], [3, 4]]}, [("image", "image")], ([[1, 2], [3, 4]],)),
    "nothing": ({"input": None}, [("input", "vector"), ("input", "text"), ("input", "image")], ()),
    "an empty list": ({"input": []}, [("input", "vector"), ("input.*", "vector"), ("input", "image")], ()),
    "a path that leads nowhere": ({"input": ROW}, [("inputs.data", "vector")], ()),
    "words where numbers are wanted": ({"input": {"a": "b"}}, [("input", "vector")], ()),
    "a shape of words": ({"data": ROW, "shape": ["a", "b"]}, [("data", "vector")], (ROW,)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_inputs_are_found(case: str) -> None:
    document, wanted, expected = CASES[case]
    assert find(document, *wanted) == expected


def test_binary_tensors_are_cut_by_their_shape() -> None:
    tensor = {"data": np.arange(6, dtype=np.float32), "shape": [2, 3]}
    rows = find({"inputs": [tensor]}, ("inputs.*.data", "vector"))
    assert [row.tolist() for row in rows] == [[0, 1, 2], [3, 4, 5]]
    assert len(find({"inputs": tensor["data"]}, ("inputs.*", "vector"))) == 1


def test_a_batch_is_looked_at_from_end_to_end_and_not_as_a_whole() -> None:
    found = find({"instances": [[float(index)] for index in range(100_000)]}, ("instances.*", "vector"))
    assert len(found) <= INPUTS_MAX
    assert found[-1][0] > 99_000
    found = find({"data": [0.0] * 100_000, "shape": [50_000, 2]}, ("data", "vector"))
    assert len(found) <= INPUTS_MAX
    assert all(len(row) == 2 for row in found)


def test_long_texts_are_cut() -> None:
    assert len(find({"prompt": "x" * 1_000_000}, ("prompt", "text"))[0]) == CHARS_MAX


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "data", "shape", "input"]), inner),
)


@given(JSON, st.sampled_from(["*", "*.*", "a", "a.*", "data", "*.data", "input.*.data"]))
def test_no_document_breaks_it(document: Any, path: str) -> None:
    for kind in ("text", "vector", "table", "image", "audio"):
        assert len(find(document, (path, kind), ("*.*", kind))) <= INPUTS_MAX
