"""OpenAPI documents become strict routes: of both dialects, offline, and what is not understood is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from vallum.checks.schema import Schema
from vallum.cli.drafts import import_openapi
from vallum.config.compile import load_policy
from vallum.config.source import read_source
from vallum.drafts.openapi import read_openapi
from vallum.drafts.translate import OpenApiError

if TYPE_CHECKING:
    from pathlib import Path


def document(schema: Any, components: Any = None, version: str = "3.0.3", **operation: Any) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {
        "openapi": version,
        "info": {"title": "T", "version": "1"},
        "paths": {"/a": {"post": {"requestBody": body, "responses": {}, **operation}}},
        "components": {"schemas": components or {}},
    }


def schema_of(schema: Any, components: Any = None, version: str = "3.0.3", *, loose: bool = False) -> Schema:
    reading = read_openapi(document(schema, components, version), loose=loose)
    assert reading.left_out == []
    return Schema(reading.routes[0].body)


PET = {"type": "object", "properties": {"name": {"type": "string"}, "id": {"type": "integer", "readOnly": True}}}
CAT = {"type": "object", "properties": {"kind": {"type": "string"}, "claws": {"type": "integer"}}, "required": ["kind"]}
DOG = {"type": "object", "properties": {"kind": {"type": "string"}, "bark": {"type": "boolean"}}}
TOLD_APART = {
    "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
    "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/components/schemas/Cat", "dog": "Dog"}},
}
TREE = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Tree"}, "v": {"type": "integer"}}}
COMPONENTS = {"Pet": PET, "Cat": CAT, "Dog": DOG, "Tree": TREE}
REF = {"$ref": "#/components/schemas/Pet"}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "nullable": True}, ["a", None], [1]),
        ({"enum": ["a"], "nullable": True, "type": "string"}, ["a", None], ["b"]),
        ({"allOf": [REF], "nullable": True}, [{"name": "a"}, None], [1, {"more": 1}]),
        ({"anyOf": [{"type": "integer"}], "nullable": True}, [1, None], ["a"]),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, [1], [0]),
        ({"type": "integer", "maximum": 9, "exclusiveMaximum": False}, [9], [10]),
        ({"type": "integer", "format": "int32"}, [2**31 - 1], [2**31]),
        ({"type": "string", "format": "binary"}, ["x"], [1]),
        (REF, [{"name": "a"}, {}], [{"id": 1}, {"more": 1}, {"name": 1}]),
        ({"type": "array", "items": REF}, [[{"name": "a"}]], [[{"id": 1}]]),
        (
            {"allOf": [REF, {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}]},
            [{"name": "a", "age": 1}],
            [{"name": "a"}, {"age": 1, "more": 1}, {"age": 1, "id": 1}],
        ),
        (
            TOLD_APART,
            [{"kind": "cat", "claws": 1}, {"kind": "dog"}],
            [{"kind": "cow"}, {"kind": "dog", "claws": 1}, {}],
        ),
        ({"$ref": "#/components/schemas/Tree"}, [{"next": {"next": {"v": 1}}}], [{"next": {"next": {"w": 1}}}]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, [{"x": 1}], [{"x": "1"}]),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": True}, [{"b": 1}], [1]),
        ({"type": "object", "properties": {"a": REF}, "required": ["a"]}, [{"a": {}}], [{}, {"a": {"id": 1}}]),
        ({"not": {"type": "object", "properties": {"a": {"type": "integer"}}}}, [1], [{"a": 1, "b": 2}]),
    ],
)
def test_the_dialect_of_3_0(schema: Any, good: list[Any], bad: list[Any]) -> None:
    check = schema_of(schema, COMPONENTS)
    assert [check.hold(one) for one in good] == [None] * len(good)
    assert [one for one in bad if check.hold(one) is None] == []


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": ["string", "null"]}, ["a", None], [1]),
        ({"anyOf": [REF, {"type": "null"}], "title": "x"}, [{"name": "a"}, None], [{"more": 1}]),
        ({"$ref": "#/components/schemas/Pet", "minProperties": 1}, [{"name": "a"}], [{}, {"more": 1}]),
        ({"$ref": "#/components/schemas/Pet", "description": "x"}, [{}], [{"more": 1}]),
        ({"exclusiveMinimum": 0, "type": "number"}, [1], [0]),
        ({"const": "a"}, ["a"], ["b"]),
        ({"prefixItems": [REF], "items": False}, [[{}]], [[{"more": 1}], [{}, {}]]),
        (True, [1, "a"], []),
    ],
)
def test_the_dialect_of_3_1(schema: Any, good: list[Any], bad: list[Any]) -> None:
    check = schema_of(schema, COMPONENTS, "3.1.0")
    assert [check.hold(one) for one in good] == [None] * len(good)
    assert [one for one in bad if check.hold(one) is None] == []


def test_loose_lets_members_through_that_are_not_named() -> None:
    assert schema_of(REF, COMPONENTS, loose=True).hold({"more": 1}) is None
    assert schema_of(REF, COMPONENTS, loose=True).hold({"id": 1}) is not None, (
        "what is readOnly is refused all the same"
    )


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "https://example.com/x.json"}, "leads out of the document"),
        ({"$ref": "other.yaml#/Pet"}, "leads out of the document"),
        ({"$ref": "#/components/schemas/None"}, "leads nowhere"),
        ({"properties": {"a": 1}}, "a schema that is none"),
        ("text", "a schema that is none"),
    ],
)
def test_what_cannot_be_held_is_left_out_and_told(schema: Any, words: str) -> None:
    reading = read_openapi(document(schema))
    assert reading.routes == []
    assert words in reading.left_out[0]
    assert reading.left_out[0].startswith("POST /a: ")


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ({"name": "a", "in": "query", "content": {}}, "by its content"),
        ({"name": "a", "in": "query", "schema": {"type": "object"}}, "is an object"),
        ({"name": "a", "in": "query", "style": "deepObject", "schema": {}}, "of style deepObject"),
        ({"name": "a", "in": "query", "explode": False, "schema": {"type": "array"}}, "a list in one text"),
        ({"name": "a"}, "cannot be read"),
    ],
)
def test_parameters_that_are_not_held(parameter: Any, words: str) -> None:
    reading = read_openapi(document({}, parameters=[parameter]))
    assert words in reading.left_out[0]


@pytest.mark.parametrize("body", ["multipart/form-data", "application/x-www-form-urlencoded", "text/csv"])
def test_bodies_of_other_types_are_left_out(body: str) -> None:
    spec = document({})
    spec["paths"]["/a"]["post"]["requestBody"]["content"] = {body: {}}
    assert "a preset of its own" in read_openapi(spec).left_out[0]


@pytest.mark.parametrize("spec", [None, [], {}, {"swagger": "2.0"}, {"openapi": "4.0"}, {"openapi": 3.0}])
def test_documents_that_are_none(spec: Any) -> None:
    with pytest.raises(OpenApiError):
        read_openapi(spec)


def test_a_body_that_may_be_left_out_and_bases_and_shared_parameters() -> None:
    spec = document(REF, COMPONENTS)
    spec["servers"] = [{"url": "https://api.example.com/v1/"}]
    spec["components"]["parameters"] = {"Q": {"name": "q", "in": "query", "schema": {"type": "integer"}}}
    spec["paths"]["/a"]["parameters"] = [{"$ref": "#/components/parameters/Q"}]
    del spec["paths"]["/a"]["post"]["requestBody"]["required"]
    (route,) = read_openapi(spec).routes
    assert route.path == "/v1/a"
    assert Schema(route.body).hold(None) is None
    assert route.parameters is not None
    assert list(route.parameters["properties"]["query"]["properties"]) == ["q"]


def write(path: Path, spec: Any) -> str:
    path.write_text(spec if isinstance(spec, str) else json.dumps(spec))
    return str(path)


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(import_openapi, arguments, standalone_mode=False)


def test_a_policy_is_written_that_holds(tmp_path: Path) -> None:
    spec = document(TOLD_APART, COMPONENTS, summary="Say\nwhat: [it] # is", operationId="a/../../b")
    spec["paths"]["/{x}"] = {"get": {"parameters": [{"name": "x", "in": "path", "schema": {"type": "integer"}}]}}
    spec["paths"]["/a"]["get"] = {"operationId": "A/../../B"}
    spec["paths"]["/bad{x}"] = {"get": {}}
    done = invoke(write(tmp_path / "o.json", spec), "-o", str(tmp_path / "vallum.yaml"))
    assert done.exit_code == 0, (done.output, done.exception)
    assert "left out  GET /bad{x}" in done.output
    _, policy = load_policy(read_source(tmp_path / "vallum.yaml", {}))
    assert [(route.name, route.pattern.text) for route in policy.routes] == [
        ("A-..-..-B", "/a"),
        ("a-..-..-b-2", "/a"),
        ("get-x", "/{x}"),
    ]
    assert policy.find_route("GET", "/openapi.json") is policy.routes[2], "a path like any other, held as an integer"
    assert policy.find_route("GET", "/docs/x") is None
    assert {path.name for path in tmp_path.iterdir()} == {"o.json", "vallum.yaml", "schemas"}


def test_yaml_is_read_too(tmp_path: Path) -> None:
    text = "openapi: 3.1.0\ninfo: {title: T}\npaths: {/a: {get: {responses: {}}}}\n"
    assert invoke(write(tmp_path / "o.yaml", text), "-o", str(tmp_path / "p.yaml")).exit_code == 0


@pytest.mark.parametrize(
    "text",
    ["{", "[1", "a: *b", "&a [*a]", "openapi: 3.0.0", '{"openapi": "3.0.0", "paths": {}}', "[" * 2_000],
)
def test_files_that_are_no_documents(tmp_path: Path, text: str) -> None:
    done = CliRunner().invoke(import_openapi, [write(tmp_path / "o", text), "-o", str(tmp_path / "p.yaml")])
    assert done.exit_code == 2
    assert not (tmp_path / "p.yaml").exists()


def test_a_pattern_that_looks_around_is_told(tmp_path: Path) -> None:
    spec = document({"type": "string", "pattern": "^(?!a)b"})
    done = invoke(write(tmp_path / "o.json", spec), "-o", str(tmp_path / "p.yaml"))
    assert done.return_value == 1
    assert "looks around" in done.output


def test_nobody_home(tmp_path: Path) -> None:
    done = invoke("http://127.0.0.1:9/openapi.json", "-o", str(tmp_path / "p.yaml"))
    assert "cannot be read" in str(done.exception)
