"""Content: every string of a request in document order, within bounds, and the way back to where one stood."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.content import ANY_SHAPE, NAME_MAX_CHARS, Content, ContentError, Passage, Shape, Voice, escape_pointer


@pytest.mark.parametrize(
    ("document", "values", "keys"),
    [
        (None, [], []),
        ("a", ["a"], []),
        (1, [], []),
        (1.5, [], []),
        (True, [], []),
        ({}, [], []),
        ([], [], []),
        ({"a": "x", "b": "y"}, ["x", "y"], []),
        (["x", ["y"], "z"], ["x", "z", "y"], []),
        ({"a": {"b": {"c": "deep"}}, "d": "flat"}, ["flat", "deep"], []),
        ({"plain_name": 1, "naïve": 2}, [], []),
        ({"two words": 1}, [], ["two words"]),
        ({"a-b": 1, "1": 2, "": 3}, [], ["a-b", "1", ""]),
        ({"a": [{"<script>": "x"}]}, ["x"], ["<script>"]),
        ({"n" * NAME_MAX_CHARS: 1}, [], []),
        ({"n" * (NAME_MAX_CHARS + 1): 1}, [], ["n" * (NAME_MAX_CHARS + 1)]),
    ],
)
def test_values_and_keys_that_could_say_something(document: Any, values: list[str], keys: list[str]) -> None:
    content = Content(document)
    assert (content.values, content.keys) == (values, keys)
    assert content.document is document
    assert content.text == "\n".join((*values, *keys))


def test_the_query_is_text_too() -> None:
    content = Content({"a": "body"}, [("q", "query"), ("not a name", "")])
    assert content.values == ["body", "query", ""]
    assert content.keys == ["not a name"]
    assert content.query == (("q", "query"), ("not a name", ""))


@pytest.mark.parametrize(
    ("document", "depth"),
    [("x", 0), (1, 0), ({}, 1), ([], 1), ({"a": 1}, 1), ([[]], 2), ({"a": [{"b": "x"}]}, 3)],
)
def test_depth_is_the_number_of_containers_around_the_deepest(document: Any, depth: int) -> None:
    Content(document, max_depth=depth)
    if depth:
        with pytest.raises(ContentError, match=r"^max_depth$"):
            Content(document, max_depth=depth - 1)


def test_depth_costs_no_recursion() -> None:
    document: Any = "x"
    for _ in range(100_000):
        document = [document]
    with pytest.raises(ContentError, match="max_depth"):
        Content(document, max_depth=64)
    assert Content(document, max_depth=100_000).values == ["x"]
    while isinstance(document, list):  # taken apart by hand: freeing it whole would recurse
        document = document.pop()


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: [n], lambda n: {"a": [{"b": n}]}])
def test_a_number_that_is_not_finite_is_refused(number: float, wrap: Any) -> None:
    with pytest.raises(ContentError, match=r"^finite$"):
        Content(wrap(number))


@pytest.mark.parametrize(
    ("shape", "good", "bad", "rule"),
    [
        (Shape(max_keys=2), {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, "max_keys"),
        (Shape(max_items=2), [1, 2], [1, 2, 3], "max_items"),
        (Shape(max_items=2), {"a": 1, "b": 2, "c": 3}, [{"a": [1, 2, 3]}], "max_items"),
        (Shape(max_keys=1), [1, 2, 3], [{"a": {"b": 1, "c": 2}}], "max_keys"),
        (Shape(max_chars=3), "🎈🎈🎈", ["a", {"b": "four"}], "max_chars"),
        (Shape(max_chars=3), {"long key": []}, "four", "max_chars"),
        (Shape(max_abs=10), [10, -10, 10.0, 0], [-10.5], "max_abs"),
        (Shape(max_abs=10), 1, 11, "max_abs"),
        (Shape(max_abs=1e300), 1, 10**4000, "max_abs"),
        (Shape(max_digits=4), [1234, 0.001234, 123400, -1.234, 1e300, 0, 0.0], [12345], "max_digits"),
        (Shape(max_digits=4), 1.234e-5, 1.2345e-5, "max_digits"),
        (Shape(max_digits=4), True, 0.1 + 0.2, "max_digits"),
        (Shape(max_digits=4), None, 10**4000 + 1, "max_digits"),
    ],
)
def test_bounds_on_the_shape(shape: Shape, good: Any, bad: Any, rule: str) -> None:
    assert Content(good, shape=shape).document is good
    with pytest.raises(ContentError, match=f"^{rule}$"):
        Content(bad, shape=shape)
    assert Content(bad).document is bad, "none are set by default"


def test_strings_of_the_query_are_bounded_too() -> None:
    with pytest.raises(ContentError, match=r"^max_chars$"):
        Content({}, [("q", "four")], shape=Shape(max_chars=3))


@given(st.recursive(st.integers() | st.floats() | st.text(), st.lists, max_leaves=6))
@settings(max_examples=100)
def test_wide_bounds_change_nothing(document: Any) -> None:
    wide = Shape(max_keys=10**9)
    assert wide is not ANY_SHAPE
    try:
        plain = Content(document).values
    except ContentError:
        plain = None
    try:
        assert Content(document, shape=wide).values == plain
    except ContentError:
        assert plain is None


def test_an_error_names_the_rule_and_never_the_value() -> None:
    with pytest.raises(ContentError) as caught:
        Content(["secret", [["secret"]]], max_depth=1)
    assert str(caught.value) == "max_depth"


def test_readings_begin_with_the_text_as_it_was_sent() -> None:
    content = Content({"a": "1%20+%201"})
    assert content.readings[0].text == "1%20+%201"
    assert content.readings[0].how == "sent"
    assert any("1 + 1" in reading.text for reading in content.readings)
    assert content.readings is content.readings, "made once"


DOCUMENT = {
    "a/b": "first",
    "c~d": ["second", {"e": "third", "needle in a key": 4}],
    "n": 1,
}


@pytest.mark.parametrize(
    ("needle", "where"),
    [
        ("first", "/a~1b"),
        ("second", "/c~0d/0"),
        ("third", "/c~0d/1/e"),
        ("a/b", " (a key)"),
        ("needle in a key", "/c~0d/1 (a key)"),
        ("in the query", "query.q"),
        ("nowhere", ""),
    ],
)
def test_a_string_is_found_again(needle: str, where: str) -> None:
    content = Content(DOCUMENT, [("q", "in the query")])
    assert content.locate(lambda value: value == needle) == where


def test_the_first_of_several_is_found() -> None:
    assert Content([["x"], "x"]).locate(lambda value: value == "x") == "/0/0"


def test_a_document_that_is_one_string_is_found_at_its_root() -> None:
    assert list(Content("x").values) == ["x"]
    assert Content("x").locate(lambda value: value == "x") == ""


@pytest.mark.parametrize(("key", "token"), [("a", "a"), ("a/b", "a~1b"), ("a~b", "a~0b"), ("~1", "~01"), ("", "")])
def test_reference_tokens(key: str, token: str) -> None:
    assert escape_pointer(key) == token


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def strings_of(document: Any) -> list[str]:
    if isinstance(document, str):
        return [document]
    if isinstance(document, dict):
        return [text for value in document.values() for text in strings_of(value)]
    return [text for value in document for text in strings_of(value)] if isinstance(document, list) else []


@given(JSON)
@settings(max_examples=200)
def test_no_string_is_missed_and_each_can_be_located(document: Any) -> None:
    content = Content(document)
    assert sorted(content.values) == sorted(strings_of(document))
    found: list[str] = []

    def note(value: str) -> bool:
        found.append(value)
        return False

    assert content.locate(note) == ""
    assert not set(content.values) - set(found), "whatever was collected can be located"


def test_the_text_and_its_readings_are_made_once() -> None:
    content = Content({"a": "one", "b": "two"})
    assert content.text is content.text
    assert content.readings is content.readings


def test_whether_anybody_says_who_speaks() -> None:
    assert Content({}).is_one_voice
    assert not Content({}, passages=lambda _: ()).is_one_voice


def test_who_says_what_is_the_formats_to_tell() -> None:
    said = Passage(Voice.OPERATOR, "/a", "hello")

    assert Content({"a": "hello"}, passages=lambda _: [said]).passages == (said,)


def said_in_chat(document: Any) -> list[Passage]:
    return [Passage(Voice.USER, "/said", document["said"]), Passage(Voice.USER, "/said", document["said"])]


def test_what_is_said_is_left_out_once() -> None:
    content = Content({"said": "a", "b": "a", "c": "c"}, [("q", "d")], passages=said_in_chat)
    assert sorted(content.unsaid) == ["a", "c", "d"]
    assert content.unsaid is content.unsaid
    assert content.unsaid_readings[0].text == "a\nc\nd"
    assert content.unsaid_readings is content.unsaid_readings


def test_of_one_voice_nothing_is_left_out() -> None:
    content = Content({"said": "a", "two words": 1})
    assert content.unsaid == ("a", "two words")


def test_a_place_is_looked_for_among_what_is_not_said() -> None:
    content = Content({"said": "a", "b": "a"}, passages=said_in_chat)
    assert content.locate(lambda text: text == "a", unsaid=True) == "/b"
    assert content.locate(lambda text: text == "a") == "/said"


def test_readings_of_one_string_are_made_once_and_without_those_of_models() -> None:
    content = Content({"a": "7h15 15 4 7r1ck"})
    assert [reading.how for reading in content.read("7h15 15 4 7r1ck")] == ["sent"]
    assert content.read("x%41") is content.read("x%41")


def test_what_is_set_aside_is_left_out_of_what_is_not_said() -> None:
    content = Content({"a": "picture", "b": "b"})
    assert list(content.unsaid) == ["picture", "b"]
    content.set_aside([content.values[0]], {"a": "picture", "b": "b"})
    assert list(content.unsaid) == ["b"]
