"""Every example as a template: what CloudFormation's linter, AWS's own parameter checks and our rules say of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from cfnlint.api import ManualArgs, lint
from tests.exporters.aws.reading import EXAMPLES, FILE, export, export_file, parse, properties, read

from vallum.exporters.aws.rules import faults

if TYPE_CHECKING:
    from pathlib import Path

POLICIES = sorted(EXAMPLES.rglob("*.yaml"))
every_example = pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
MOST_BYTES = 51_200  # of a template that is not in a bucket

# resource -> the request of AWS's API whose members have the same names, in another case, and those that differ
REQUESTS = {
    "AWS::ApiGateway::Authorizer": ("CreateAuthorizer", {"AuthorizerUri"}),
    "AWS::ApiGateway::GatewayResponse": ("PutGatewayResponse", set()),
    "AWS::ApiGateway::Method": ("PutMethod", {"Integration", "MethodResponses", "RequestValidatorId", "AuthorizerId"}),
    "AWS::ApiGateway::RequestValidator": ("CreateRequestValidator", set()),
    "AWS::ApiGateway::RestApi": ("CreateRestApi", set()),
}


def load(path: Path) -> dict[str, Any]:
    return read(export_file(path))


def found_by_linter(text: str) -> list[str]:
    """Return errors and warnings of cfn-lint, offline."""
    return [f"{one.rule.id}: {one.message}" for one in lint(text, config=ManualArgs(regions=["us-east-1"]))]


@every_example
def test_the_linter_finds_nothing(path: Path) -> None:
    text = export_file(path).files[FILE]
    assert found_by_linter(text) == []
    assert len(text.encode()) < MOST_BYTES


@pytest.mark.parametrize("name", ["gateways/aws.yaml", "identity.yaml"])
def test_nor_where_callers_sign(name: str) -> None:
    assert found_by_linter(export_file(EXAMPLES / name, signed=True).files[FILE]) == []


@every_example
def test_our_own_rules_find_nothing(path: Path) -> None:
    assert faults(load(path)) == []


@pytest.fixture(scope="module")
def session() -> Any:
    return botocore.session.Session()


def check(session: Any, service: str, operation: str, given: dict[str, Any]) -> str:
    shape = session.get_service_model(service).operation_model(operation).input_shape
    report: str = ParamValidator().validate(given, shape).generate_report()
    return report


@every_example
def test_the_web_acl_is_one_that_the_api_takes(path: Path, session: Any) -> None:
    for acl in properties(load(path), "AWS::WAFv2::WebACL").values():
        assert check(session, "wafv2", "CreateWebACL", concrete(acl)) == ""


@every_example
def test_resources_are_such_as_the_api_takes(path: Path, session: Any) -> None:
    found = load(path)
    for kind, (operation, apart) in REQUESTS.items():
        for one in properties(found, kind).values():
            given = {name: concrete(value) for name, value in one.items() if name not in apart}
            report = check(session, "apigateway", operation, lowered(given))
            assert report == "", f"{kind}: {report}"


def test_sets_are_such_as_the_api_takes(tmp_path: Path, session: Any) -> None:
    addresses = {"ip_set": {"addresses": ["192.0.2.1", "2001:db8::/32", "0.0.0.0/0"]}}
    patterns = {"regex_match": {"field": "body", "patterns": ["a", "b"]}}
    rules = [
        {"name": "here", "priority": 1, "statement": addresses},
        {"name": "these", "priority": 2, "statement": patterns},
    ]
    found = read(export(tmp_path, {"web_acls": {"acl": {"rules": rules}}, "routes.0.web_acl": "acl"}))
    sets = properties(found, "AWS::WAFv2::IPSet")
    assert sorted(len(one["Addresses"]) for one in sets.values()) == [1, 3]  # all of IPv4 is two halves
    for one in sets.values():
        assert check(session, "wafv2", "CreateIPSet", {"Name": "x", **one}) == ""
    (one,) = properties(found, "AWS::WAFv2::RegexPatternSet").values()
    texts = [{"RegexString": text} for text in one.pop("RegularExpressionList")]
    assert check(session, "wafv2", "CreateRegexPatternSet", {"Name": "x", "RegularExpressionList": texts, **one}) == ""


@every_example
def test_an_export_is_the_same_every_time(path: Path) -> None:
    assert export_file(path).files == export_file(path).files


def test_a_deployment_is_new_when_what_it_shows_is(tmp_path: Path) -> None:
    def deployment(overlay: dict[str, Any]) -> str:
        return next(iter(properties(read(export(tmp_path, overlay)), "AWS::ApiGateway::Deployment")))

    assert deployment({}) == deployment({})
    assert deployment({}) != deployment({"routes.0.match.path": "/other"})
    assert deployment({}) != deployment({"routes.0.request.headers": ["x-trace"]})


def test_the_linter_does_find_what_is_wrong() -> None:
    text = export_file(EXAMPLES / "predict.yaml").files[FILE]
    broken = text.replace("DefaultAction:\n        Allow: {}", "DefaultAction: Allow")
    assert broken != text
    assert any(one.startswith("E3012") for one in found_by_linter(broken))
    assert parse(broken) != parse(text)


def concrete(item: Any) -> Any:
    """Put texts in the place of references."""
    if isinstance(item, dict):
        if set(item) == {"Fn::Sub"}:
            return item["Fn::Sub"].replace("${!", "${")
        if set(item) & {"Ref", "Fn::GetAtt", "Fn::If"}:
            return "arn:aws:wafv2:us-east-1:123456789012:regional/ipset/x/1234"
        return {
            key: base64_bytes(value) if key.startswith("SearchString") else concrete(value)
            for key, value in item.items()
        }
    if isinstance(item, list):
        return [concrete(one) for one in item]
    return item


def base64_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def lowered(item: dict[str, Any]) -> dict[str, Any]:
    """Write the names of properties as those of the API, whose first letter is small."""
    renamed = {name[0].lower() + name[1:]: value for name, value in item.items()}
    if "endpointConfiguration" in renamed:
        renamed["endpointConfiguration"] = {"types": renamed["endpointConfiguration"]["Types"]}
    if "apiKeySourceType" in renamed:
        renamed["apiKeySource"] = renamed.pop("apiKeySourceType")
    return renamed
