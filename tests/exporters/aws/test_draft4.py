"""A model takes whatever its schema takes, and says of each keyword that it does not hold."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.exporters.aws.draft4 import DRAFT, converted

NUMBER = {"type": "number"}
EXACT = {
    "the same words": (
        {"type": "string", "minLength": 1, "pattern": "a"},
        {"type": "string", "minLength": 1, "pattern": "a"},
    ),
    "a constant": ({"const": 3}, {"enum": [3]}),
    "an open bound of whole numbers": ({"type": "integer", "exclusiveMinimum": 2}, {"type": "integer", "minimum": 3}),
    "an open bound between whole numbers": (
        {"type": "integer", "exclusiveMaximum": 2.5},
        {"type": "integer", "maximum": 2},
    ),
    "an open bound beside a closed one": (
        {"type": "integer", "exclusiveMinimum": 2, "minimum": 9},
        {"type": "integer", "minimum": 9},
    ),
    "nothing required": ({"required": []}, {}),
    "true and false": ({"properties": {"a": True, "b": False}}, {"properties": {"a": {}, "b": {"not": {}}}}),
    "a tuple": (
        {"prefixItems": [NUMBER], "items": False},
        {"items": [NUMBER], "additionalItems": False},
    ),
    "what needs what": ({"dependentRequired": {"a": ["b"]}}, {"dependencies": {"a": ["b"]}}),
    "a definition": (
        {"$ref": "#/$defs/a", "$defs": {"a": NUMBER}},
        {"$ref": "#/definitions/a", "definitions": {"a": NUMBER}},
    ),
    "a reference with words beside it": (
        {"$ref": "#/definitions/a", "minimum": 1, "definitions": {"a": NUMBER}},
        {"allOf": [{"$ref": "#/definitions/a"}, {"minimum": 1}], "definitions": {"a": NUMBER}},
    ),
    "words that say nothing": ({"$schema": "x", "$id": "y", "default": 1, "examples": [1]}, {}),
}


@pytest.mark.parametrize(("schema", "model"), EXACT.values(), ids=EXACT)
def test_what_draft_4_can_say_is_said(schema: dict[str, Any], model: dict[str, Any]) -> None:
    assert converted(schema) == ({"$schema": DRAFT, **model}, [])


LOST = {
    "format": ({"format": "email"}, "format is not checked"),
    "if": ({"if": {}, "then": {}}, "if is not checked"),
    "contains": ({"properties": {"a": {"contains": {}}}}, "contains is not checked"),
    "unevaluated": ({"unevaluatedProperties": False}, "unevaluatedProperties is not checked"),
    "names": ({"propertyNames": {}}, "propertyNames is not checked"),
    "recursion": ({"properties": {"a": {"$ref": "#"}}}, "$ref to '#' is not followed"),
    "elsewhere": ({"$ref": "http://x/y"}, "$ref to 'http://x/y' is not followed"),
    "an open bound": ({"type": "number", "exclusiveMinimum": 1}, "exclusiveMinimum may not be checked"),
    "lengths of arrays": ({"maxItems": 2}, "maxItems may not be checked"),
}


@pytest.mark.parametrize(("schema", "says"), LOST.values(), ids=LOST)
def test_what_it_cannot_say_is_a_loss(schema: dict[str, Any], says: str) -> None:
    assert says in converted(schema)[1]


numbers = st.integers(-5, 5)
leaves = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["integer", "number", "string", "array", "object", ["string", "null"]]),
        "minimum": numbers,
        "exclusiveMinimum": numbers,
        "exclusiveMaximum": numbers,
        "maximum": numbers,
        "maxLength": st.integers(0, 3),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
        "const": st.one_of(numbers, st.text(max_size=2)),
        "required": st.lists(st.sampled_from("ab"), unique=True),
        "dependentRequired": st.dictionaries(st.sampled_from("ab"), st.lists(st.sampled_from("ab"), unique=True)),
        "format": st.just("email"),
    },
)


def grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("ab"), st.one_of(inner, st.booleans()), max_size=2),
            "additionalProperties": st.booleans(),
            "items": st.one_of(inner, st.booleans()),
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
        },
    )


schemas = st.recursive(leaves, grow, max_leaves=6)
bodies = st.recursive(
    st.one_of(numbers, st.text(max_size=3), st.none(), st.booleans(), st.floats(-5, 5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=6,
)


@given(schemas, bodies)
def test_a_model_takes_all_that_its_schema_takes(schema: dict[str, Any], body: Any) -> None:
    model, losses = converted(schema)
    jsonschema.Draft4Validator.check_schema(model)
    if jsonschema.Draft202012Validator(schema).is_valid(body):
        assert jsonschema.Draft4Validator(model).is_valid(body)
    elif not losses and not has_whole_floats(body):
        assert not jsonschema.Draft4Validator(model).is_valid(body)


def has_whole_floats(body: Any) -> bool:
    """Say whether a body has numbers like 1.0, which draft 4 does not take for whole ones."""
    if isinstance(body, float):
        return body.is_integer()
    inner = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return any(map(has_whole_floats, inner))
