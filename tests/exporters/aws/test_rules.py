"""Templates that CloudFormation's linter lets through, each with one fault of ours to find."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint
from tests.exporters.aws.reading import EXAMPLES, FILE, export_file, read

from vallum.exporters.aws.rules import faults

Template = dict[str, Any]


@pytest.fixture(scope="module")
def whole() -> Template:
    return read(export_file(EXAMPLES / "predict.yaml"))


def of(template: Template, kind: str) -> list[str]:
    return [name for name, one in template["Resources"].items() if one["Type"] == f"AWS::{kind}"]


def change(kind: str, **changed: Any) -> Callable[[Template], None]:
    """Change properties of the first resource of a kind; None takes one out."""

    def run(template: Template) -> None:
        properties = template["Resources"][of(template, kind)[0]]["Properties"]
        properties.update(changed)
        for name in [name for name, value in changed.items() if value is None]:
            del properties[name]

    return run


def drop(kind: str, matching: str = "") -> Callable[[Template], None]:
    def run(template: Template) -> None:
        for name in of(template, kind):
            if matching in name:
                del template["Resources"][name]

    return run


def method(change: Callable[[Template], None]) -> Callable[[Template], None]:
    def run(template: Template) -> None:
        change(template["Resources"][of(template, "ApiGateway::Method")[0]]["Properties"])

    return run


def rules(change: Callable[[list[Any]], None]) -> Callable[[Template], None]:
    def run(template: Template) -> None:
        change(template["Resources"]["Firewall"]["Properties"]["Rules"])

    return run


def deployment(template: Template) -> Template:
    found: Template = template["Resources"][of(template, "ApiGateway::Deployment")[0]]
    return found


def twin(template: Template, kind: str) -> None:
    template["Resources"]["Twin"] = deepcopy(template["Resources"][of(template, kind)[0]])
    deployment(template)["DependsOn"].append("Twin")


def sibling(template: Template) -> None:
    for name, part in (("One", "{a}"), ("Other", "{b}")):
        template["Resources"][name] = {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {"RestApiId": {"Ref": "Api"}, "ParentId": {"Ref": "X"}, "PathPart": part},
        }
    template["Parameters"]["X"] = {"Type": "String"}


def nest(listed: list[Any]) -> None:
    rate = next(rule["Statement"] for rule in listed if "RateBasedStatement" in rule["Statement"])
    listed[0]["Statement"] = {"NotStatement": {"Statement": deepcopy(rate)}}


def crowd(listed: list[Any]) -> None:
    sqli = next(rule["Statement"] for rule in listed if "SqliMatchStatement" in rule["Statement"])
    listed[0]["Statement"] = {"OrStatement": {"Statements": [deepcopy(sqli) for _ in range(120)]}}


BROKEN: dict[str, tuple[Callable[[Template], None], str]] = {
    "no integration": (change("ApiGateway::Method", Integration=None), "has no Integration"),
    "an integration of no kind": (method(lambda one: one["Integration"].update(Type="NET")), "of type 'NET'"),
    "an integration to nowhere": (method(lambda one: one["Integration"].pop("Uri")), "leads to no Uri"),
    "an unknown method": (change("ApiGateway::Method", HttpMethod="FETCH"), "HttpMethod 'FETCH'"),
    "an unknown authorisation": (change("ApiGateway::Method", AuthorizationType="IAM"), "AuthorizationType 'IAM'"),
    "no authorisation": (change("ApiGateway::Method", AuthorizationType=None), "AuthorizationType None"),
    "an authoriser that is not named": (change("ApiGateway::Method", AuthorizationType="CUSTOM"), "needs an"),
    "a method twice": (lambda one: twin(one, "ApiGateway::Method"), "has that method already"),
    "a path twice": (lambda one: twin(one, "ApiGateway::Resource"), "is there already"),
    "two variables": (sibling, "a second variable"),
    "a status that is a number": (
        method(lambda one: one["MethodResponses"].append({"StatusCode": 201})),
        "StatusCode 201 must be a text",
    ),
    "a status that is none": (change("ApiGateway::GatewayResponse", StatusCode="4xx"), "StatusCode '4xx'"),
    "an answer that is not declared": (
        method(lambda one: one["MethodResponses"].pop(0)),
        "answers '200', which the method does not declare",
    ),
    "no answer for the rest": (
        method(lambda one: one["Integration"]["IntegrationResponses"].pop()),
        "must be for all the rest",
    ),
    "429 as a method response alone": (drop("ApiGateway::GatewayResponse", "Throttled"), "no gateway response THROT"),
    "another status for the throttled": (
        lambda one: one["Resources"]["RefusalThrottled"]["Properties"].update(StatusCode="503"),
        "no gateway response THROTTLED of 429",
    ),
    "no deployment": (drop("ApiGateway::Deployment"), "there is no Deployment"),
    "a deployment that does not wait": (lambda one: deployment(one).pop("DependsOn"), "does not wait for Method"),
    "no stage": (drop("ApiGateway::Stage"), "there is no Stage"),
    "no association": (drop("WAFv2::WebACLAssociation"), "stands before nothing"),
    "keys without a plan": (drop("ApiGateway::UsagePlan"), "no usage plan"),
    "a key in no plan": (change("ApiGateway::UsagePlanKey", UsagePlanId={"Ref": "Api"}), "is in no plan"),
    "a priority twice": (rules(lambda listed: listed[1].update(Priority=listed[0]["Priority"])), "rules of Priority"),
    "a name twice": (rules(lambda listed: listed[1].update(Name=listed[0]["Name"])), "two rules of Name"),
    "a rule without an action": (rules(lambda listed: listed[0].pop("Action")), "does nothing"),
    "a rate within a statement": (rules(nest), "rate-based statement within another"),
    "too many units": (rules(crowd), "over 5000"),
    "an answer that is not there": (
        rules(lambda listed: listed[0]["Action"]["Block"]["CustomResponse"].update(CustomResponseBodyKey="Gone")),
        "answers with Gone",
    ),
    "a reference to nothing": (change("ApiGateway::Stage", StageName={"Ref": "Gone"}), "nothing is called Gone"),
    "a substitution of nothing": (
        change("WAFv2::WebACLAssociation", ResourceArn={"Fn::Sub": "x${Gone.Arn}"}),
        "nothing is called Gone",
    ),
    "an attribute of nothing": (change("WAFv2::WebACLAssociation", WebACLArn={"Fn::GetAtt": ["Gone", "Arn"]}), "Gone"),
    "a dependency on nothing": (lambda one: deployment(one)["DependsOn"].append("Gone"), "depends on Gone"),
    "a secret that is shown": (
        lambda one: one["Parameters"].update(UpstreamPassword={"Type": "String"}),
        "UpstreamPassword holds a secret",
    ),
}


@pytest.mark.parametrize(("damage", "says"), BROKEN.values(), ids=BROKEN)
def test_a_broken_template_is_found_out(whole: Template, damage: Callable[[Template], None], says: str) -> None:
    assert faults(whole) == []
    template = deepcopy(whole)
    damage(template)
    assert any(says in fault for fault in faults(template)), faults(template)


def test_the_linter_alone_would_not_have_found_a_method_without_integration() -> None:
    text = export_file(EXAMPLES / "predict.yaml").files[FILE]
    start = text.index("      Integration:\n")
    broken = text[:start] + text[text.index("      MethodResponses:\n") :]
    found = [match.rule.id for match in lint(broken, config=ManualArgs(regions=["us-east-1"]))]
    assert not [rule for rule in found if rule.startswith("E")]


def test_a_template_of_nothing_says_what_is_missing() -> None:
    assert faults({}) == [
        "there is no Deployment: nothing is served",
        "there is no Stage of the Deployment: nothing is served",
    ]
