"""What a preset withholds: emptied members, events that do not leave, names in any case and inside of strings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vallum.core.protocols import NOTHING, Transform
from vallum.transforms.drop_fields import DropFields
from vallum.transforms.emptied import Emptied
from vallum.transforms.events import Events
from vallum.transforms.fields import Fields


@pytest.mark.parametrize(
    ("document", "expected", "noted"),
    [
        ({"a": {"t": "secret"}}, {"a": {"t": ""}}, True),
        ({"a": [{"t": [1]}, {"t": {"x": 1}}]}, {"a": [{"t": []}, {"t": {}}]}, True),
        ({"a": {"t": 0.5}}, {"a": {"t": None}}, True),
        ({"A": {"T": "secret"}}, {"A": {"T": ""}}, True),
        ({"a": {"t": ""}}, {"a": {"t": ""}}, False),
        ({"a": {"t": None}}, {"a": {"t": None}}, False),
        ({"t": "other"}, {"t": "other"}, False),
    ],
)
def test_a_member_is_emptied_where_it_stands(document: Any, expected: Any, noted: bool) -> None:
    removed: set[str] = set()
    assert Emptied(["a.t"]).apply(document, removed) == expected
    assert removed == ({"a.t (emptied)"} if noted else set())


@pytest.mark.parametrize(
    ("document", "leaves"),
    [
        ({"type": "thinking_delta"}, False),
        ({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "x"}}, False),
        ({"type": "content_block_delta", "delta": {"type": "Thinking_Delta"}}, False),
        ({"type": "content_block_delta", "delta": {"type": "text_delta"}}, True),
        ({"type": 1, "delta": "thinking_delta"}, True),
        (["thinking_delta"], True),
    ],
)
def test_an_event_leaves_or_not(document: Any, leaves: bool) -> None:
    removed: set[str] = set()
    out = Events(["thinking"]).apply(document, removed)
    assert (out is document) is leaves
    assert (out is NOTHING) is not leaves
    assert bool(removed) is not leaves


@pytest.mark.parametrize(
    "text",
    [
        '{"logits": [0.93]}',
        ' [{"x": {"LOGITS": 0.93}}]',
        '{"\\u006cogits": 0.93}',
        json.dumps({"again": json.dumps({"again": json.dumps({"logits": 0.93})})}),
    ],
)
@pytest.mark.parametrize("place", [lambda text: {"body": text}, lambda text: [text], lambda text: {"a": [[text]]}])
def test_json_in_strings_is_looked_through(text: str, place: Any) -> None:
    removed: set[str] = set()
    out = DropFields(["logits"], in_strings=True).apply(place(text), removed)
    assert "0.93" not in json.dumps(out)
    assert removed == {"logits"}


def test_strings_that_are_no_json_or_hold_nothing_stay_as_they_are() -> None:
    document = {"a": "{not json", "b": "[1, 2]", "c": '{"x":  1}', "d": "logits"}
    assert DropFields(["logits"], in_strings=True).apply(dict(document), set()) == document


def test_what_is_nested_beyond_looking_is_removed() -> None:
    text: Any = {"logits": 0.93}
    for _ in range(9):
        text = {"s": json.dumps(text)}
    assert "0.93" not in json.dumps(DropFields(["logits"], in_strings=True).apply(text, set()))


def test_a_models_words_are_not_looked_into() -> None:
    document = {"text": '{"logits": 1}'}
    assert DropFields(["logits"]).apply(document, set()) == {"text": '{"logits": 1}'}


def test_many_names_do_not_fill_the_memory() -> None:
    transform = DropFields(["logits"])
    for start in range(0, 10_000, 1000):
        document = {f"k{number}": 1 for number in range(start, start + 1000)}
        assert len(transform.apply(document, set())) == 1000
    assert transform.apply({"LOGITS": 1, "k1": 1}, set()) == {"k1": 1}


@pytest.mark.parametrize(
    ("names", "document", "expected"),
    [
        (["p.*.l"], {"p": [{"l": 1, "s": 2}], "q": 1}, {"p": [{"l": 1}]}),
        (["p.l"], {"p": [{"l": 1, "s": 2}]}, {"p": [{"l": 1}]}),
        (["p.l"], {"p": {"l": {"deep": 1}}}, {"p": {"l": {"deep": 1}}}),
        (["p.*"], {"p": {"a": 1, "b": [2]}, "q": 1}, {"p": {"a": 1, "b": [2]}}),
        (["*.l"], {"a": {"l": 1, "s": 2}, "b": {"s": 2}}, {"a": {"l": 1}, "b": {}}),
        (["p.l"], {"p": "secret"}, {}),
        (["p.l"], {"p": None}, {"p": None}),
        (["p.l"], {"p": ["secret", {"l": 1}]}, {"p": [None, {"l": 1}]}),
        (["o.name=l.d"], {"o": [{"name": "l", "d": 1, "x": 2}, {"name": "s", "d": 1}]}, {"o": [{"name": "l", "d": 1}]}),
        (["o.name=l"], {"o": [{"name": "L", "d": 1}, 3]}, {"o": [{"name": "L", "d": 1}]}),
    ],
)
def test_what_a_path_keeps(names: list[str], document: Any, expected: Any) -> None:
    assert Fields(names).apply(document, set()) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"id": "a"}, {"id": "a"}),
        ({"id": {"logits": 1}, "x": {"y": 1}}, {"x": {"y": 1}}),
        ({"id": [0.1, 0.2], "x": {"y": [1]}}, {"x": {}}),
        ({"error": "at /srv/model.py"}, NOTHING),
        ({}, NOTHING),
    ],
)
def test_a_plain_value_is_no_place_to_hide_a_list(document: Any, expected: Any) -> None:
    assert Fields([], ["id", "x.y"], whole_format=True).apply(document, set()) == expected


def test_the_names_that_one_answer_can_write_into_the_record_are_bounded() -> None:
    removed: set[str] = set()
    Fields(["a"]).apply({f"x{number}": 1 for number in range(5000)}, removed)
    assert len(removed) <= 256


def test_they_are_transforms() -> None:
    assert all(isinstance(made, Transform) for made in (Emptied(["a"]), Events(["a"]), DropFields(["a"])))


@pytest.mark.parametrize(
    "text",
    [
        '{"logits": [NaN], "p": 0.93}',
        '{"logits": 1e999, "p": 0.93}',
        '{"logits": 0.93,}',
        '{"a": 1} {"logits": 0.93}',
        '{"a": 1}\n{"Logits" : 0.93}',
        '\ufeff{"logits": 0.93}',
        'data: {"logits": 0.93}',
        "{'logits': array([0.93])}",
        '{"\\u006cogits": NaN, "p": 0.93}',
        json.dumps('{"logits": 0.93}'),
        json.dumps(json.dumps('{"logits": 0.93}')),
        "so: " + json.dumps('{"logits": 0.93}'),
        '{"LOG\u0131TS": 0.93, "logit\u017f": 0.93,}',
    ],
)
def test_what_a_lenient_reader_would_find_in_a_string_is_withheld(text: str) -> None:
    removed: set[str] = set()
    out = DropFields(["logits"], in_strings=True).apply({"result": text, "label": "cat"}, removed)
    assert "0.93" not in json.dumps(out)
    assert out["label"] == "cat"
    assert removed


@pytest.mark.parametrize(
    "text",
    ["the logits: none", '"quoted"', "it's 'so': he said", "{not json", '["a", "b"]', "C:\\users", "", '{"a": NaN}'],
)
def test_a_string_that_names_nothing_withheld_stays_as_it_is(text: str) -> None:
    removed: set[str] = set()
    assert DropFields(["logits"], in_strings=True).apply({"a": [text]}, removed) == {"a": [text]}
    assert not removed
