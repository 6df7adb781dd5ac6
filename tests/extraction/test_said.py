"""What answers say of each input, in the shapes that APIs give them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.extraction.said import CLASSES_MAX, UNSAID, Said, read_said

CASES: dict[str, tuple[Any, int, list[Said | None]]] = {
    "a number of a class": ({"prediction": 7}, 1, [Said("7")]),
    "a label and a confidence": ({"label": "cat", "confidence": 0.83}, 1, [Said("cat", 0.83)]),
    "a label and a band": ({"label": "cat", "confidence": "high"}, 1, [Said("cat", 0.97)]),
    "a band of nobody's": ({"label": "cat", "confidence": "certain"}, 1, [Said("cat", UNSAID)]),
    "a band's lower bound": ({"label": "cat", "confidence": 0.7}, 1, [Said("cat", 0.8)]),
    "surer than sure": ({"label": "cat", "confidence": 1.0}, 1, [Said("cat", 0.999)]),
    "a label in a list": ({"labels": ["cat"]}, 1, [Said("cat")]),
    "probabilities by class": ({"probabilities": {"a": 0.2, "b": 0.8}}, 1, [Said("b", 0.8, (("a", 0.2), ("b", 0.8)))]),
    "probabilities in order": ({"scores": [0.25, 0.75]}, 1, [Said("1", 0.75, (("0", 0.25), ("1", 0.75)))]),
    "a batch of one": ({"predictions": [[0.25, 0.75]]}, 1, [Said("1", 0.75, (("0", 0.25), ("1", 0.75)))]),
    "a batch of rows": (
        {"predictions": [[0.5, 0.5], [0.0, 1.0]]},
        2,
        [Said("0", 0.5, (("0", 0.5), ("1", 0.5))), Said("1", 1.0, (("0", 0.0), ("1", 1.0)))],
    ),
    "a batch of labels and their confidences": (
        {"predictions": [3, 4], "confidences": [0.6, 0.7]},
        2,
        [Said("3", 0.6), Said("4", 0.8)],
    ),
    "a batch of objects": ({"results": [{"label": "a"}, {"label": "b"}]}, 2, [Said("a"), Said("b")]),
    "a list of objects": ([{"label": "a"}, {"label": "b"}], 2, [Said("a"), Said("b")]),
    "a list of labels": ([1, 2], 2, [Said("1"), Said("2")]),
    "logits": ({"scores": [-3.0, 7.0]}, 1, [None]),
    "scores of several labels at once": ({"scores": [0.9, 0.9, 0.9]}, 1, [None]),
    "a label beside them": ({"label": "a", "scores": [0.9, 0.9, 0.9]}, 1, [Said("a")]),
    "a regression": ({"prediction": 3.25}, 1, [None]),
    "an essay": ({"output": "word " * 100}, 1, [None]),
    "nothing": (None, 2, [None, None]),
    "another batch than was asked": ({"predictions": [1, 2, 3]}, 2, [None, None]),
    "too many classes": ({"scores": [1 / 999] * 999}, 1, [None]),
}


@pytest.mark.parametrize("case", CASES)
def test_answers_are_read(case: str) -> None:
    answer, count, expected = CASES[case]
    assert read_said(answer, count) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["prediction", "label", "scores", "probabilities", "confidence", "results"]), inner
        )
    ),
)


@given(JSON, st.integers(0, 4))
def test_no_answer_breaks_it(answer: Any, count: int) -> None:
    found = read_said(answer, count)
    assert len(found) == count
    for said in filter(None, found):
        assert 0 <= said.sure <= 1
        assert len(said.chances) <= CLASSES_MAX
        assert all(0 <= chance <= 1 for _, chance in said.chances)
