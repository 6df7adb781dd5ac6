"""Schemas that would make requests dear are refused when the policy compiles; what is taken is cheap for any body."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import steps

from vallum.checks.schema import Schema, SchemaError
from vallum.checks.schema.parameters import Parameters
from vallum.core.decision import Finding

STEPS_MAX = 300_000  # to find what is wrong; bodies here have up to half a million places where it could be


def chain(rule: str, length: int) -> dict[str, Any]:
    links = {f"d{n}": {rule: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(length)}
    return {"$defs": {**links, f"d{length}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "https://example.com/x.json"}, "copy what it names under \\$defs"),
        ({"$ref": "file:///etc/passwd"}, "copy what it names under \\$defs"),
        ({"$ref": "other.json#/a"}, "copy what it names under \\$defs"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "which is not in this document"),
        ({"pattern": "(?=a)b"}, "a pattern of its own under allOf"),
        ({"pattern": "(?!a)b"}, "looks around"),
        ({"pattern": "(?<=a)b"}, "looks around"),
        ({"patternProperties": {"(?<!a)b": {}}}, "looks around"),
        ({"pattern": r"(a)\1"}, "refers back"),
        ({"pattern": r"(?<n>a)\k<n>"}, "refers back"),
        ({"pattern": "a{2000}"}, "minLength and maxLength"),
        ({"pattern": "a{1,99999}"}, "minLength and maxLength"),
        ({"pattern": "((a{100}){100}){100}"}, "automaton"),
        ({"pattern": "("}, "is none"),
        (chain("anyOf", 24), "alternatives multiply"),
        (chain("allOf", 24), "alternatives multiply"),
        (chain("oneOf", 45), "alternatives multiply"),
        (deep(200), "nested over 100 levels"),
        ({"enum": [[]] * 30_000}, "over 20000 subschemas"),
        ({"type": "strnig"}, "strnig"),
    ],
)
def test_what_is_refused_and_what_to_write_instead(schema: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words) as caught:
        Schema(schema)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "schema",
    [
        {"$id": "https://example.com/a", "$defs": {"x": {"type": "string"}}, "$ref": "#/$defs/x"},
        {"$defs": {"x": {"$anchor": "here", "type": "string"}}, "$ref": "#here"},
        {"$defs": {"a/b~c": {"type": "string"}}, "$ref": "#/$defs/a~1b~0c"},
        {
            "$ref": "#/$defs/tree",
            "$defs": {"tree": {"anyOf": [{"items": {"$ref": "#/$defs/tree"}}, {"type": "string"}]}},
        },
        {"pattern": r"^\(\?=[a-z]{1,200}$"},
        {"pattern": r"a\\{5000}"},
        {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}}},
        {"enum": [{"pattern": "(?=a)"}]},
        chain("anyOf", 10),
        True,
    ],
)
def test_what_is_taken(schema: Any) -> None:
    Schema(schema)


# Patterns on which backtracking takes longer than the universe, and texts that make it.
CLASSIC = [
    ("^(a+)+$", "a" * 100_000 + "!"),
    ("^(a|a)*$", "a" * 100_000 + "!"),
    ("^(a|aa)+$", "a" * 100_000 + "!"),
    ("(x+x+)+y", "x" * 100_000),
    ("^([a-zA-Z]+)*$", "a" * 100_000 + "1"),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 100_000),
    (r"^(.*?,){11}P", "1," * 50_000),
    (r"^\s*(\S+\s*)*;$", "a " * 50_000),
    (r"^([\w.-]+)+@([\w-]+\.)+[a-z]{2,6}$", "a." * 50_000 + "@"),
    (r"^(https?://)?([\da-z.-]+)\.([a-z.]{2,6})([/\w .-]*)*/?$", "a." * 50_000 + "\n"),
]


@pytest.mark.parametrize(("pattern", "text"), CLASSIC)
def test_no_pattern_backtracks(pattern: str, text: str) -> None:
    assert Schema({"properties": {"a": {"pattern": pattern}}}).hold({"a": text}) is not None


EXPRESSION = {
    "$ref": "#/$defs/e",
    "$defs": {
        "e": {
            "oneOf": [
                *(
                    {
                        "type": "object",
                        "properties": {
                            "op": {"const": op},
                            "left": {"$ref": "#/$defs/e"},
                            "right": {"$ref": "#/$defs/e"},
                        },
                        "required": ["op", "left", "right"],
                        "additionalProperties": False,
                    }
                    for op in ("add", "mul", "sub")
                ),
                {"type": "number"},
            ]
        }
    },
}


def expression(depth: int, leaf: Any) -> Any:
    for level in range(depth):
        leaf = {"op": ("add", "mul", "sub")[level % 3], "left": leaf, "right": 1}
    return leaf


PARTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}
HEAVY = {
    "every item wrong, in an alternative": (PARTS, ["x"] * 100_000),
    "every item wrong": ({"items": {"type": "integer"}}, ["x"] * 100_000),
    "the last item wrong": ({"items": {"type": "integer"}}, [*([1] * 100_000), "x"]),
    "alternatives of alternatives, deep": (EXPRESSION, expression(60, "x")),
    "many unknown members": ({"additionalProperties": False}, {f"k{n}": n for n in range(50_000)}),
    "unique numbers": ({"uniqueItems": True}, [*range(100_000), 1]),
    "unique objects": ({"uniqueItems": True}, [*({"a": n} for n in range(20_000)), {"a": 1}]),
    "unique lists": ({"uniqueItems": True}, [*([n] for n in range(20_000)), [1]]),
    "contains nothing of the kind": ({"contains": {"type": "string"}}, list(range(100_000))),
    "contains too few": ({"contains": {"type": "string"}, "minContains": 3}, list(range(100_000))),
    "long names": ({"propertyNames": {"maxLength": 5}}, {"k" * 1000 + str(n): n for n in range(500)}),
    "names by pattern": ({"patternProperties": {"^(a+)+$": {"type": "string"}}}, {"a" * n: 1 for n in range(1, 800)}),
    "a long text": ({"pattern": "^[a-z]{1,900}$"}, "a" * 500_000),
    "not of a kind": ({"not": PARTS}, [1] * 100_000),
    "nothing left over": (
        {"anyOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False},
        dict.fromkeys("abc", 1),
    ),
}


@pytest.mark.parametrize("name", sorted(HEAVY))
def test_no_body_makes_it_dear(name: str) -> None:
    schema, document = HEAVY[name]
    check = Schema(schema)
    assert isinstance(check.hold(document), Finding)
    assert steps(lambda: check.hold(document)) < STEPS_MAX


@pytest.mark.parametrize(
    ("schema", "document", "rule", "where"),
    [
        (EXPRESSION, expression(1, "x"), "oneOf", "/left"),
        (EXPRESSION, {"op": "add", "left": 1, "right": 2, "more": 3}, "additionalProperties", "/more"),
        (EXPRESSION, {"op": "mul", "left": 1}, "required", "/right"),
        (PARTS, [1, "x"], "type", "/1"),
        (PARTS, 1, "anyOf", ""),
        ({"allOf": [{"required": ["a"]}, {"properties": {"a": {"minimum": 3}}}]}, {"a": 1}, "minimum", "/a"),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", "b"], "type", "/1"),
        ({"prefixItems": [{"type": "string"}], "items": False}, ["a", "b"], "items", "/1"),
        ({"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}, {"x": "1"}, "type", "/x"),
        ({"patternProperties": {"^x": True}, "additionalProperties": False}, {"y": 1}, "additionalProperties", "/y"),
        ({"additionalProperties": {"type": "integer"}}, {"a/b": "x"}, "type", "/a~1b"),
        ({"properties": {"a": False}}, {"a": 1}, "refused_field", "/a"),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, "required", "/b"),
        ({"if": {"required": ["a"]}, "else": {"properties": {"b": {"minimum": 1}}}}, {"b": 0}, "minimum", "/b"),
        ({"not": {"type": "integer"}}, 1, "not", ""),
        ({"contains": {"type": "integer"}}, ["a"], "contains", ""),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, "propertyNames", ""),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "dependentRequired", ""),
        ({"$defs": {"x": {"$anchor": "n", "type": "string"}}, "$ref": "#n"}, 1, "$ref", ""),
        (
            {"$id": "https://e.x/a", "$defs": {"x": {"items": {"type": "string"}}}, "$ref": "#/$defs/x"},
            [1],
            "type",
            "/0",
        ),
        ({"properties": {"a": {"const": True}}}, {"a": False}, "const", "/a"),
        ({"items": {"uniqueItems": True}}, [[1], [2, 2]], "uniqueItems", "/1"),
        ({"maximum": 1}, 2, "maximum", ""),
        ({"exclusiveMaximum": 1}, 1, "exclusiveMaximum", ""),
        (
            {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True},
            1,
            "minimum",
            "",
        ),
    ],
)
def test_the_violation_that_tells_most(schema: Any, document: Any, rule: str, where: str) -> None:
    finding = Schema(schema).hold(document)
    assert finding is not None
    assert (finding.rule, finding.where) == (rule, where)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["op", "left", "right"]), inner),
    max_leaves=8,
)


@given(VALUES)
@settings(max_examples=200)
def test_no_document_makes_the_search_fail(document: Any) -> None:
    for schema in (EXPRESSION, PARTS):
        finding = Schema(schema).hold(document)
        assert finding is None or finding.rule


# --- parameters -------------------------------------------------------------------------------------------------------

PARAMETERS = {
    "type": "object",
    "properties": {
        "path": {"type": "object", "properties": {"id": {"type": "integer", "minimum": 1}}},
        "query": {
            "type": "object",
            "properties": {
                "limit": {"type": "integer", "maximum": 100},
                "ratio": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                "dry": {"type": "boolean"},
                "tag": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 2},
                "size": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
                "word": {"type": "string", "maxLength": 5},
                "level": {"enum": [1, 2]},
                "kind": {"const": "x"},
                "any": True,
            },
            "required": ["limit"],
            "additionalProperties": False,
        },
    },
    "$defs": {"tag": {"enum": ["a", "b"]}},
}
GOOD = {"limit": "5"}


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("limit=5", None),
        ("limit=-0", None),
        ("limit=101", "maximum"),
        ("limit=5.0", "type"),
        ("limit=+5", "type"),
        ("limit= 5", "type"),
        ("limit=05", "type"),
        ("limit=0x5", "type"),
        ("limit=\u0665", "type"),
        ("limit=", "type"),
        ("limit=5&limit=5", "once"),
        ("", "required"),
        ("limit=5&ratio=0.5", None),
        ("limit=5&ratio=1e3", None),
        ("limit=5&ratio=1e999", "anyOf"),
        ("limit=5&ratio=nan", "anyOf"),
        ("limit=5&ratio=null", "anyOf"),
        ("limit=5&dry=true", None),
        ("limit=5&dry=True", "type"),
        ("limit=5&dry=1", "type"),
        ("limit=5&tag=a&tag=b", None),
        ("limit=5&tag=a", None),
        ("limit=5&tag=c", "enum"),
        ("limit=5&tag=a&tag=a&tag=a", "maxItems"),
        ("limit=5&size=1&size=2", None),
        ("limit=5&size=x", "type"),
        ("limit=5&word=12345", None),
        ("limit=5&word=123456", "maxLength"),
        ("limit=5&level=2", None),
        ("limit=5&level=3", "enum"),
        ("limit=5&kind=x", None),
        ("limit=5&any=thing", None),
        ("limit=5&unknown=1", "additionalProperties"),
    ],
)
def test_parameters_of_the_query(query: str, rule: str | None) -> None:
    pairs = parse_qsl(query, keep_blank_values=True)
    finding = Parameters(PARAMETERS).inspect({"id": "7"}, pairs)
    assert (finding and finding.rule) == rule
    if finding is not None and rule not in ("required", "additionalProperties"):
        assert finding.where.startswith(f"query.{query.rpartition('&')[2].partition('=')[0]}")


@pytest.mark.parametrize(("text", "rule"), [("7", None), ("0", "minimum"), ("x", "type"), ("7.0", "type")])
def test_parameters_of_the_path(text: str, rule: str | None) -> None:
    finding = Parameters(PARAMETERS).inspect({"id": text}, [("limit", "1")])
    assert (finding and (finding.rule, finding.where)) == (rule and (rule, "path.id"))


@pytest.mark.parametrize(
    "schema", [True, {}, {"properties": {}}, {"properties": {"header": {}}}, {"properties": {"query": 1}}]
)
def test_schemas_of_no_parameters(schema: Any) -> None:
    with pytest.raises(SchemaError):
        Parameters(schema)
