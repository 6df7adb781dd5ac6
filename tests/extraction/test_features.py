"""Inputs of every kind become rows that weigh no more than any other; hostile ones as well, in bounded time."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.extraction.facts import FEATURES, WIDTH
from vallum.extraction.features.answer import NEUTRAL, WEIGHT, histogram, read_answer
from vallum.extraction.features.image import read_file
from vallum.extraction.features.reader import KINDS, Features, Vectors
from vallum.extraction.features.table import read_row
from vallum.extraction.features.vector import read_numbers
from vallum.extraction.reference import NUMBERS_MAX, Scale, fit

RANDOM = np.random.default_rng(7)
ANSWER = {"prediction": "seven", "confidence": 0.91}
LONGEST = 1.23  # of a row, histogram and all


def scale_of(columns: int, count: int = 200) -> Scale:
    return fit(RANDOM.normal(size=(count, columns)), RANDOM.random(count), b"secret")


VECTORS = scale_of(24)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x20" + bytes(range(256)) * 8
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08\x00\x20\x00\x10" + bytes(range(256)) * 8
FEATURES_OF_ALL = Features(
    {
        "vector": VECTORS,
        "table": fit(np.array([read_row((index, "ab"[index % 2])) for index in range(50)]), np.zeros(0), b"secret"),
        "image": fit(np.array([read_file(PNG + RANDOM.bytes(size)) for size in range(50)]), np.zeros(0), b"secret"),
    }
)


def lengths(rows: Any) -> list[float]:
    return [float(np.sqrt(np.vdot(row, row))) for row in rows]


HOSTILE: dict[str, Any] = {
    "not a number": [float("nan")] * 24,
    "infinite": [float("inf")] * 23 + [float("-inf")],
    "the largest there are": [1e308, -1e308] * 12,
    "the smallest there are": [5e-324] * 24,
    "an integer of a thousand digits": [10**1000] * 24,
    "a negative one": [-(10**1000), *[0] * 23],
    "words": ["a"] * 24,
    "numbers as words": ["1.5"] * 24,
    "half a surrogate": ["\ud800"] * 24,
    "ragged": [[1.0], [2.0, 3.0], 4.0],
    "ragged the other way": [1.0, [2.0, 3.0]],
    "gaps": [None, *[1.0] * 23],
    "objects among numbers": [1.0, {"a": 2}, [], True],
    "too few": [1.0],
    "too many": [1.0] * 25,
    "a megabyte": [0.5] * 1_000_000,
    "a large picture": [[[0.5] * 3] * 512] * 512,
    "a list of a thousand lists of a thousand": [[0.5] * 1000] * 1000,
    "short, then long": [[0.5], [0.5] * 1_000_000],
    "an array": np.full(24, 2.0, np.float32),
    "an array of half precision, infinite": np.full(24, np.inf, np.float16),
    "an array of four axes": np.ones((2, 64, 64, 3), np.uint8),
    "a number alone": 3,
    "an endless number alone": 10**1000,
}
NOTHING: dict[str, Any] = {
    "an empty list": [],
    "empty lists": [[], []],
    "an array of texts": np.array(["a"]),
    "an array without axes": np.array(3.0),
    "an empty array": np.zeros((0, 24)),
    "none": None,
    "an object": object(),
    "nothing of a table": (),
    "no bytes": b"",
    "a text, which nobody reads here": "hello",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_input_is_a_row_like_any_other(case: str) -> None:
    begun = time.process_time()
    rows = FEATURES_OF_ALL.read((HOSTILE[case],), ANSWER)
    assert time.process_time() - begun < 0.25
    assert rows is not None
    assert rows.dtype == np.float32
    assert rows.shape == (1, WIDTH)
    assert np.isfinite(rows).all()
    assert 0.1 < lengths(rows)[0] <= LONGEST


@pytest.mark.parametrize("case", NOTHING)
def test_what_has_no_numbers_has_no_features(case: str) -> None:
    assert FEATURES_OF_ALL.read((NOTHING[case],), ANSWER) is None


def test_lists_that_end_nowhere_end() -> None:
    deep: list[Any] = [1.0]
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    assert FEATURES_OF_ALL.read((deep,), None) is not None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(st.lists(ANYTHING, max_size=4), ANYTHING)
def test_nothing_raises_and_no_row_is_longer_than_it_may_be(inputs: list[Any], answer: Any) -> None:
    rows = FEATURES_OF_ALL.read(tuple(inputs), answer)
    if rows is not None:
        assert np.isfinite(rows).all()
        assert max(lengths(rows)) <= LONGEST


def test_every_input_of_a_query_is_a_row() -> None:
    inputs = ([0.1] * 24, [0.2] * 24, (1, "a"), PNG, "unread", {"a": 1})
    rows = FEATURES_OF_ALL.read(inputs, ANSWER)
    assert rows is not None
    assert len(rows) == 5
    alone = Vectors(VECTORS).read(([0.1] * 24,), ANSWER)
    assert alone is not None
    np.testing.assert_allclose(rows[0], alone[0], atol=1e-6)


def test_a_list_of_inputs_is_a_batch_and_a_nested_input_is_one() -> None:
    batch = RANDOM.normal(size=(3, 24)).tolist()
    rows, apart = Vectors(VECTORS).read((batch,), ANSWER), Vectors(VECTORS).read(tuple(batch), ANSWER)
    assert rows is not None
    assert apart is not None
    np.testing.assert_array_equal(rows, apart)
    nested = RANDOM.normal(size=(4, 6))
    np.testing.assert_array_equal(
        Vectors(VECTORS).read((nested.tolist(),), None), Vectors(VECTORS).read((nested.reshape(-1).tolist(),), None)
    )


def test_an_input_of_another_length_is_unlike_any_of_the_usual() -> None:
    features = Vectors(VECTORS)
    usual = features.read(tuple(RANDOM.normal(size=(100, 24)).tolist()), None)
    others = features.read(tuple(RANDOM.normal(size=(100, 48)).tolist()), None)
    assert usual is not None
    assert others is not None
    apart = usual.mean(axis=0) - others.mean(axis=0)
    assert np.vdot(apart, apart) > 0.2  # two halves of the usual ones: below 0.05


def test_a_list_and_an_array_of_the_same_numbers_are_the_same() -> None:
    for shape in ((24,), (28, 28), (64, 64, 3), (5000,)):
        numbers = RANDOM.random(shape).astype(np.float32)
        one, other = read_numbers(numbers.tolist()), read_numbers(numbers)
        assert one is not None
        assert len(one) <= NUMBERS_MAX
        np.testing.assert_array_equal(one, other)


def test_a_long_input_is_looked_at_from_end_to_end() -> None:
    line = read_numbers(list(range(100_000)))
    assert line is not None
    assert 512 <= len(line) <= NUMBERS_MAX
    assert line[-1] > 99_000


def test_kinds_know_every_type_that_inputs_have() -> None:
    assert set(KINDS.values()) == {"text", "image", "table", "vector"}


def test_rows_of_a_table_lie_near_where_they_differ_little() -> None:
    def apart(one: Any, other: Any) -> float:
        here, there = read_row(one), read_row(other)
        assert here is not None
        assert there is not None
        return float(np.abs(here - there).sum())

    assert apart((30, "Rome", 1000.0), (31, "Rome", 1010.0)) < 0.1
    assert apart((30, "Rome", 1000.0), (30, "Oslo", 1000.0)) >= 1
    assert apart({"age": 30, "city": "Rome"}, {"city": "Rome", "age": 30}) == 0
    gap = read_row((30, None))
    assert gap is not None
    assert np.isnan(gap[1])
    assert np.abs(gap[256:]).sum() == 1


def test_columns_beyond_the_last_place_share_places() -> None:
    line = read_row(tuple([1.0] * 300))
    assert line is not None
    assert line[0] == pytest.approx(2 * np.log(2))


def test_a_file_says_its_format_and_size() -> None:
    png, jpeg = read_file(PNG), read_file(JPEG)
    assert png is not None
    assert jpeg is not None
    assert png[:5].tolist() == [1, 0, 0, 0, 0]
    assert jpeg[:5].tolist() == [0, 1, 0, 0, 0]
    assert png[6] == jpeg[6] == np.log2(16 * 32)
    gif = read_file(b"GIF89a\x10\x00\x20\x00")
    assert gif is not None
    assert gif[6] == png[6]
    for broken in (b"\xff\xd8\xff", b"\xff\xd8\xff\xc4\xff\xff" + bytes(20), b"\x89PNG", b"RIFF", b"x" * 10_000_000):
        line = read_file(broken)
        assert line is not None
        assert len(line) == len(png)
        assert np.isfinite(line).all()
    endless = b"\xff\xd8" + b"\xff\xe0\x00\x02" * 100 + JPEG[10:]
    line = read_file(endless)
    assert line is not None
    assert line[6] == 0


ANSWERS: dict[str, tuple[Any, float | None]] = {
    "a confidence": ({"prediction": "7", "confidence": 0.5}, 0.5),
    "a list of probabilities": ({"predictions": [[0.1, 0.7, 0.2]]}, 0.7),
    "a map of probabilities": ({"probabilities": {"cat": 0.2, "dog": 0.8}}, 0.8),
    "tokens": ({"choices": [{"text": "hello"}], "usage": {"completion_tokens": 12}}, 12.0),
    "no confidence there is": ({"confidence": 7.0, "usage": {"output_tokens": 3}}, 3.0),
    "nothing": (None, None),
    "an empty object": ({}, None),
    "numbers that say nothing": ({"id": 4}, None),
    "not a number": ({"confidence": float("nan")}, None),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_is_one_number(case: str) -> None:
    answer, number = ANSWERS[case]
    assert read_answer(answer) == number


def test_a_bare_label_is_a_number_of_its_own() -> None:
    cat, dog = read_answer({"label": "cat"}), read_answer("dog")
    assert cat is not None
    assert dog is not None
    assert cat != dog
    assert 0 <= cat < 1
    assert read_answer({"prediction": 7}) == read_answer("7") != read_answer({"prediction": 8})
    assert read_answer({"prediction": 10**5000}) is None
    assert read_answer({"label": "cat", "confidence": "high"}) == read_answer({"confidence": "high", "label": "dog"})


def test_an_answer_falls_into_one_bin_and_an_unread_one_into_all() -> None:
    edges = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], np.float32)
    assert histogram({"confidence": 0.05}, edges).argmax() == 0
    assert histogram({"confidence": 1.0}, edges).argmax() == 7
    assert histogram({"confidence": 0.45}, edges).argmax() == 4
    assert histogram({"confidence": 0.45}, edges).sum() == WEIGHT
    assert histogram(None, edges).sum() == pytest.approx(WEIGHT)
    assert histogram(None, edges) is NEUTRAL


def test_an_endless_answer_costs_little() -> None:
    begun = time.process_time()
    read_answer({"a": [[{"b": 1}] * 10_000] * 10_000})
    read_answer({str(index): index for index in range(300_000)})
    assert time.process_time() - begun < 0.25


def test_features_have_the_length_one_and_are_alike_for_inputs_that_are() -> None:
    near = RANDOM.normal(size=(2, 24)) * 0.01
    rows = VECTORS.place(near)
    assert rows.shape == (2, FEATURES)
    np.testing.assert_allclose(lengths(rows), 1, rtol=1e-5)
    assert np.vdot(rows[0], rows[1]) > 0.99
    far = VECTORS.place(RANDOM.normal(size=(2, 24)) * 5)
    assert np.vdot(far[0], far[1]) < 0.5
