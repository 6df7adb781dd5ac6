"""Schemas: the first violation by place and rule, never the value; and schemas that are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.checks.schema import POINTER_MAX_CHARS, Schema, SchemaError
from vallum.core.content import Content
from vallum.core.decision import Finding, Reason
from vallum.core.protocols import Check

PREDICT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "input_text": {"type": "string", "minLength": 1, "maxLength": 5},
        "temperature": {"type": "number", "minimum": 0.0, "maximum": 2.0},
        "when": {"type": "string", "format": "date-time"},
        "list": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
        "code": {"type": "string", "pattern": "^[a-z]+$"},
        "a/b~c": {"type": "integer"},
    },
    "required": ["input_text"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "document",
    [
        {"input_text": "hello"},
        {"input_text": "a", "temperature": 2},
        {"input_text": "a", "temperature": 0.0},
        {"input_text": "🎈🎈🎈🎈🎈"},  # characters, not bytes
        {"input_text": "a", "when": "2024-01-01T00:00:00Z"},
        {"input_text": "a", "list": [1, 2]},
        {"input_text": "a", "code": "abc"},
    ],
)
def test_what_holds(document: Any) -> None:
    assert Schema(PREDICT).inspect(Content(document)) is None


@pytest.mark.parametrize(
    ("document", "rule", "where"),
    [
        (None, "type", ""),
        ([], "type", ""),
        ({}, "required", "/input_text"),
        ({"input_text": ""}, "minLength", "/input_text"),
        ({"input_text": "secret"}, "maxLength", "/input_text"),
        ({"input_text": 1}, "type", "/input_text"),
        ({"input_text": None}, "type", "/input_text"),
        ({"input_text": "a", "more": 1}, "additionalProperties", "/more"),
        ({"input_text": "a", "temperature": 2.1}, "maximum", "/temperature"),
        ({"input_text": "a", "temperature": 10**400}, "maximum", "/temperature"),
        ({"input_text": "a", "temperature": -(10**30)}, "minimum", "/temperature"),
        ({"input_text": "a", "temperature": True}, "type", "/temperature"),
        ({"input_text": "a", "when": "secret"}, "format", "/when"),
        ({"input_text": "a", "list": [1, "x"]}, "type", "/list/1"),
        ({"input_text": "a", "list": [1, 2, 3]}, "maxItems", "/list"),
        ({"input_text": "a", "code": "a\n"}, "pattern", "/code"),
        ({"input_text": "a", "a/b~c": "x"}, "type", "/a~1b~0c"),
    ],
)
def test_what_does_not_is_named_by_place_and_rule(document: Any, rule: str, where: str) -> None:
    finding = Schema(PREDICT).inspect(Content(document))
    assert finding == Finding(rule, where, reason=Reason.INVALID_REQUEST, public=True)
    assert "secret" not in repr(finding)


def test_nothing_at_all_may_be_allowed() -> None:
    finding = Schema(False).inspect(Content({}))
    assert finding is not None
    assert finding.rule
    assert Schema(True).inspect(Content({"a": 1})) is None


def test_a_place_is_bounded() -> None:
    schema = {"additionalProperties": {"type": "string"}}
    finding = Schema(schema).inspect(Content({"k" * 10_000: 1}))
    assert finding is not None
    assert len(finding.where) == POINTER_MAX_CHARS


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"minLength": -1},
        {"properties": []},
        {"required": "a"},
        {"pattern": "("},
        {"pattern": "(?=a)"},  # look-around: no linear-time engine has it
        {"pattern": r"(a)\1"},
        {"$ref": "http://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "other.json"},
        {"$ref": "#/nowhere"},
        [],
        "text",
        1,
        None,
    ],
)
def test_schemas_that_are_none(schema: Any) -> None:
    with pytest.raises(SchemaError) as caught:
        Schema(schema)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


def test_references_within_the_schema_are_followed() -> None:
    schema = {"$defs": {"name": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/name"}}}
    assert Schema(schema).inspect(Content({"a": "x"})) is None
    finding = Schema(schema).inspect(Content({"a": 1}))
    assert finding is not None
    assert (finding.rule, finding.where) == ("type", "/a")


def test_a_pattern_takes_linear_time() -> None:
    hard = Content({"a": "a" * 50_000 + "!"})
    finding = Schema({"properties": {"a": {"pattern": "^(a+)+$"}}}).inspect(hard)
    assert finding is not None


def test_it_is_a_check() -> None:
    assert isinstance(Schema({}), Check)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["input_text", "temperature", "list", "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
@settings(max_examples=150)
def test_no_document_makes_it_fail(document: Any) -> None:
    finding = Schema(PREDICT).inspect(Content(document))
    assert finding is None or (finding.public and finding.reason is Reason.INVALID_REQUEST)
