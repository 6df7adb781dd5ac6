"""Nothing that stands in a policy becomes anything else than a text of the template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.exporters.aws.reading import FILE, export, export_hostile, parse, properties, read

from vallum.exporters.aws.notation import Function, GetAtt, If, Ref, Sub, literal, plain, scalar, write
from vallum.exporters.export import ExportError
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = {
    "a line that ends": 'x"\nEvil:\n  Type: AWS::IAM::User',
    "a tag": "!Ref AWS::AccountId",
    "a reference": "${AWS::AccountId}",
    "a function": "Fn::Sub",
    "a comment": "a # b",
    "a comment at the start": "# b",
    "an anchor": "&a *a",
    "a block": "|\n  x",
    "a document's end": "...\n---\nEvil: 1",
    "other line ends": "a\u2028Evil: 1\u0085Evil: 2\rEvil: 3",
    "nothing": "",
    "a word that is a value": "no",
    "another": "NULL",
    "a number": "1e3",
    "base sixty": "22:30:00",
    "a date": "2001-12-14",
    "a flow": "{a: b}",
    "quotes": 'it\'s "so" \\ x',
    "an emoji": "\U0001f600",
    "half of one": "\ud83d",
    "a bell": "\x07\x00\x7f",
}
named = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


def values(text: str) -> Any:
    return yaml.safe_load(text)


@named
def test_a_hostile_text_stays_a_text(text: str) -> None:
    assert values(write({"a": text, "b": [text], "c": {"d": 1}})) == {"a": text, "b": [text], "c": {"d": 1}}


@named
def test_a_hostile_name_stays_a_name(text: str) -> None:
    assert values(write({text: 1})) == {text: 1}


@given(st.text())
def test_any_text_stays_the_same(text: str) -> None:
    if "resolve" not in text:
        assert values(f"a: {scalar(text)}") == {"a": text}


@named
def test_a_comment_stays_one(text: str) -> None:
    assert values(write({"a": Noted(1, text), "b": [Noted({"c": 2}, text), Noted(3, text)]})) == {
        "a": 1,
        "b": [{"c": 2}, 3],
    }


@pytest.mark.parametrize("text", [text for text in HOSTILE.values() if text.isprintable() or text.isascii()])
def test_a_hostile_text_in_a_substitution_is_literal(text: str) -> None:
    made = parse(write({"a": Sub(f"${{Ours}}/{literal(text)}")}))["a"]["Fn::Sub"]
    assert made.count("${") - made.count("${!") == 1


@pytest.mark.parametrize("text", ["{{resolve:ssm:x}}", "a{{ Resolve :secretsmanager:b}}"])
def test_what_cloudformation_would_resolve_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match="resolve"):
        write({"a": text})
    with pytest.raises(ExportError, match="resolve"):
        write({"a": Sub(text)})


def test_functions_are_read_as_what_they_are() -> None:
    document: dict[str, Any] = {
        "a": Ref("Api"),
        "b": GetAtt("Api", "RootResourceId"),
        "c": If("Has", Ref("Api"), "x y"),
        "d": Function("Not", [Function("Equals", [Ref("P"), ""])]),
        "e": Sub("${Api}/x"),
        "f": [Ref("Api"), {"g": []}, {}, None, 1.5, 0.000123, True],
    }
    found = parse(write(document))
    wanted = plain(document)
    wanted["b"] = {"Fn::GetAtt": ["Api", "RootResourceId"]}
    assert found == wanted


def _rule(statement: dict[str, Any], acl: str = "acl") -> dict[str, Any]:
    rules = [{"name": "one", "priority": 1, "statement": statement}]
    return {"web_acls": {acl: {"rules": rules}}, "routes.0.web_acl": acl}


def _search(field: str, text: str) -> dict[str, Any]:
    return _rule({"byte_match": {"field": field, "search": text, "position": "exactly"}})


EVIL = 'x": !Ref AWS::AccountId # {a: b}'
HOSTILE_POLICIES = {
    "an upstream's name": {"upstreams": {EVIL: {"url": "http://10.0.0.1"}}, "routes.0.upstream": EVIL},
    "an upstream's path": {"upstreams.model.url": "http://10.0.0.1/${SUB}/{stage}/$input${QUOTE}"},
    "an upstream's host": {"upstreams.model.url": "http://a$b{c}/"},
    "an upstream's password": {"upstreams.model.url": "http://me:s3cr3t@10.0.0.1/"},
    "a header of its own": {"upstreams.model.headers": {"x-a$b'": "s3cr3t"}},
    "a secret of its own": {"upstreams.model.headers": {"x-api-key": "s3cr3t${SUB}"}},
    "a header that passes": {"routes.0.request.headers": ["x-a'b", "x-$c"]},
    "a query parameter": {"routes.0.request.query": ["a'b: c", "${SUB}"]},
    "a search in the path": _search("uri_path", "/${SUB}"),
    "a search": _search("body", "${SUB}"),
    "a dynamic search": _search("body", "{{resolve:ssm:x}}"),
    "an expression": _rule({"regex_match": {"field": "body", "patterns": ["!Ref x", "a: #b"]}}),
    "a web ACL's name": _rule({"xss_match": {"field": "body"}}, EVIL),
}


@pytest.mark.parametrize("overlay", HOSTILE_POLICIES.values(), ids=HOSTILE_POLICIES)
def test_a_hostile_policy_makes_no_more_than_a_friendly_one(overlay: dict[str, Any], tmp_path: Path) -> None:
    made = export_hostile(tmp_path, overlay)
    found = read(made)
    text = made.files[FILE]
    assert "s3cr3t" not in text
    kinds = {one["Type"].split("::")[1] for one in found["Resources"].values()}
    assert kinds <= {"ApiGateway", "WAFv2", "Logs"}
    references = {name for line in text.splitlines() if "!Sub" in line for name in _references(line)}
    known = set(found["Parameters"]) | set(found["Resources"])
    assert {name for name in references if not name.startswith("AWS::")} <= known
    accounts = [line for line in text.splitlines() if "${AWS::AccountId}" in line]
    assert all("log-group" in line or "!Sub" not in line for line in accounts)


def _references(line: str) -> list[str]:
    return [part.partition("}")[0].partition(".")[0] for part in line.split("${")[1:] if not part.startswith("!")]


def test_a_schema_whose_members_are_named_like_functions_calls_none(tmp_path: Path) -> None:
    overlay = {"routes.0.request.schema": "hostile.json"}
    (tmp_path / "hostile.json").write_text(
        '{"type": "object", "properties": {"Ref": {"type": "string"}, "Fn::Transform": {"type": "string"}}}'
    )
    ((_, model),) = properties(read(export(tmp_path, overlay)), "AWS::ApiGateway::Model").items()
    assert isinstance(model["Schema"], str)
    assert "Fn::Transform" in model["Schema"]


def test_two_names_that_look_alike_stay_two_resources(tmp_path: Path) -> None:
    routes = [
        {
            "name": name,
            "match": {"methods": ["POST"], "path": path},
            "upstream": "model",
            "auth": {"any_of": ["keys"]},
            "request": {"schema": "schema.json"},
        }
        for name, path in (("a.b", "/a-b"), ("a_b", "/a_b"), ("ab", "/a/b"))
    ]
    found = read(export(tmp_path, {"routes": routes}))
    assert len(properties(found, "AWS::ApiGateway::Method")) == 3
    assert len(properties(found, "AWS::ApiGateway::Model")) == 3
