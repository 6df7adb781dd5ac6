"""What makes a template useless or open though CloudFormation's own checks pass it: our rules, by which each export is
held before it is written.

They read templates as JSON has them (`{"Ref": ...}`), and return what is wrong in words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vallum.exporters.aws import capacity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

METHODS = frozenset("ANY DELETE GET HEAD OPTIONS PATCH POST PUT".split())
AUTHORISATIONS = frozenset("AWS_IAM COGNITO_USER_POOLS CUSTOM NONE".split())
INTEGRATIONS = frozenset("AWS AWS_PROXY HTTP HTTP_PROXY MOCK".split())
STATUS = re.compile(r"[1-5][0-9]{2}")
REFERENCE = re.compile(r"\$\{([^!][^}]*)\}")
PSEUDO = "AWS::"
SECRETS = ("Password", "Token", "Key", "Credential")  # in a parameter's name: it must not be shown


def faults(template: Mapping[str, Any]) -> list[str]:
    """Return all that is wrong with a template."""
    return [fault for rule in RULES for fault in rule(template)]


def _of(template: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, resource in template.get("Resources", {}).items():
        if resource.get("Type") == kind:
            yield name, resource.get("Properties", {})


def _methods(template: Mapping[str, Any]) -> Iterator[str]:
    """Each method has an integration, a verb and an authorisation that there is, and an authoriser where it needs one.

    API Gateway deploys no API with a method that leads nowhere.
    """
    for name, properties in _of(template, "AWS::ApiGateway::Method"):
        integration = properties.get("Integration")
        if not integration:
            yield f"{name} has no Integration: API Gateway will not deploy it"
        elif integration.get("Type") not in INTEGRATIONS:
            yield f"{name} has an Integration of type {integration.get('Type')!r}"
        elif integration["Type"].startswith("HTTP") and not integration.get("Uri"):
            yield f"{name} leads to no Uri"
        if properties.get("HttpMethod") not in METHODS:
            yield f"{name}: HttpMethod {properties.get('HttpMethod')!r} is none"
        kind = properties.get("AuthorizationType")
        if kind not in AUTHORISATIONS:
            yield f"{name}: AuthorizationType {kind!r} is none of {', '.join(sorted(AUTHORISATIONS))}"
        if kind == "CUSTOM" and "AuthorizerId" not in properties:
            yield f"{name}: CUSTOM needs an AuthorizerId"


def _twice(template: Mapping[str, Any]) -> Iterator[str]:
    """No resource has a method twice, no path twice, and one variable below it at the most."""
    methods: set[str] = set()
    for name, properties in _of(template, "AWS::ApiGateway::Method"):
        key = f"{properties.get('ResourceId')} {properties.get('HttpMethod')}"
        if key in methods:
            yield f"{name}: this resource has that method already"
        methods.add(key)
    parts: dict[str, list[str]] = {}
    for name, properties in _of(template, "AWS::ApiGateway::Resource"):
        below = parts.setdefault(str(properties.get("ParentId")), [])
        part = str(properties.get("PathPart"))
        if part in below:
            yield f"{name}: {part} is there already"
        if part.startswith("{") and any(other.startswith("{") for other in below):
            yield f"{name}: a second variable below one resource"
        below.append(part)


def _statuses(template: Mapping[str, Any]) -> Iterator[str]:
    """Status codes are texts of three digits; each method's integration answers only what the method declares."""
    for name, properties in _of(template, "AWS::ApiGateway::Method"):
        integration = properties.get("Integration") or {}
        declared = [one.get("StatusCode") for one in properties.get("MethodResponses", ())]
        answered = [one.get("StatusCode") for one in integration.get("IntegrationResponses", ())]
        yield from _bad_codes(name, [*declared, *answered])
        for code in answered:
            if code not in declared:
                yield f"{name}: the integration answers {code!r}, which the method does not declare"
        open_ended = [one for one in integration.get("IntegrationResponses", ()) if "SelectionPattern" not in one]
        if integration.get("Type") == "HTTP" and len(open_ended) != 1:
            yield f"{name}: of its integration's answers one, and only one, must be for all the rest"
    for name, properties in _of(template, "AWS::ApiGateway::GatewayResponse"):
        yield from _bad_codes(name, [properties["StatusCode"]] if "StatusCode" in properties else [])


def _bad_codes(name: str, codes: list[Any]) -> Iterator[str]:
    for code in codes:
        if not isinstance(code, str) or not STATUS.fullmatch(code):
            yield f"{name}: StatusCode {code!r} must be a text of three digits"


def _throttled(template: Mapping[str, Any]) -> Iterator[str]:
    """A method response of 429 refuses nobody: throttled callers get gateway responses, which must say 429 too."""
    said = {
        properties.get("ResponseType"): properties.get("StatusCode")
        for _, properties in _of(template, "AWS::ApiGateway::GatewayResponse")
    }
    for kind in ("THROTTLED", "QUOTA_EXCEEDED"):
        if any(_of(template, "AWS::ApiGateway::Method")) and said.get(kind) != "429":
            yield f"no gateway response {kind} of 429: a method response is not what a throttled caller gets"


def _deployed(template: Mapping[str, Any]) -> Iterator[str]:
    """There is a deployment that waits for all methods, a stage that shows it, and the web ACL stands before it."""
    methods = {name for name, _ in _of(template, "AWS::ApiGateway::Method")}
    deployments = {name for name, _ in _of(template, "AWS::ApiGateway::Deployment")}
    if not deployments:
        yield "there is no Deployment: nothing is served"
    for name in deployments:
        needed = template["Resources"][name].get("DependsOn", [])
        missing = methods - set([needed] if isinstance(needed, str) else needed)
        if missing:
            yield f"{name} does not wait for {', '.join(sorted(missing))}"
    stages = dict(_of(template, "AWS::ApiGateway::Stage"))
    if not any(properties.get("DeploymentId", {}).get("Ref") in deployments for properties in stages.values()):
        yield "there is no Stage of the Deployment: nothing is served"
    for name, _ in _of(template, "AWS::WAFv2::WebACL"):
        guards = [
            properties
            for _, properties in _of(template, "AWS::WAFv2::WebACLAssociation")
            if properties.get("WebACLArn") == {"Fn::GetAtt": [name, "Arn"]}
        ]
        if not guards:
            yield f"{name} stands before nothing: there is no WebACLAssociation"


def _keys(template: Mapping[str, Any]) -> Iterator[str]:
    """Where keys are asked for, there is a plan that takes them, and a key in it."""
    asked = any(properties.get("ApiKeyRequired") for _, properties in _of(template, "AWS::ApiGateway::Method"))
    plans = {name for name, properties in _of(template, "AWS::ApiGateway::UsagePlan") if properties.get("ApiStages")}
    if asked and not plans:
        yield "methods ask for a key, and no usage plan of a stage takes any: all callers are refused"
    for name, properties in _of(template, "AWS::ApiGateway::UsagePlanKey"):
        if properties.get("UsagePlanId", {}).get("Ref") not in plans:
            yield f"{name} is in no plan"


def _acls(template: Mapping[str, Any]) -> Iterator[str]:
    """Rules of a web ACL share neither name nor priority, do one thing each, and are not too many."""
    for name, properties in _of(template, "AWS::WAFv2::WebACL"):
        rules = properties.get("Rules", [])
        for key in ("Priority", "Name"):
            given = [rule.get(key) for rule in rules]
            for value in sorted({str(one) for one in given if given.count(one) > 1}):
                yield f"{name}: two rules of {key} {value}"
        for rule in rules:
            if "Action" not in rule and "OverrideAction" not in rule:
                yield f"{name}: rule {rule.get('Name')} does nothing"
            if _nested_rates(rule.get("Statement", {}), top=True):
                yield f"{name}: rule {rule.get('Name')} has a rate-based statement within another"
        units = capacity.of_rules(rules)
        if units > capacity.MOST:
            yield f"{name} needs {units} WCU, over {capacity.MOST}"
        keys = properties.get("CustomResponseBodies", {})
        for rule in rules:
            key = rule.get("Action", {}).get("Block", {}).get("CustomResponse", {}).get("CustomResponseBodyKey")
            if key is not None and key not in keys:
                yield f"{name}: rule {rule.get('Name')} answers with {key}, which is not there"


def _nested_rates(statement: Any, *, top: bool) -> bool:
    if not isinstance(statement, dict):
        return False
    rate = statement.get("RateBasedStatement")
    if rate is not None:
        return not top or _nested_rates(rate.get("ScopeDownStatement"), top=False)
    inner = [one for body in statement.values() if isinstance(body, dict) for one in body.get("Statements", ())]
    inner += [body["Statement"] for body in statement.values() if isinstance(body, dict) and "Statement" in body]
    return any(_nested_rates(one, top=False) for one in inner)


def _references(template: Mapping[str, Any]) -> Iterator[str]:
    """Every reference leads to a parameter or a resource, and every condition is there."""
    known = set(template.get("Parameters", {})) | set(template.get("Resources", {}))
    for name in sorted(set(_named(template.get("Resources", {}))) | set(_named(template.get("Outputs", {})))):
        if not name.startswith(PSEUDO) and name not in known:
            yield f"nothing is called {name}"
    for name, resource in template.get("Resources", {}).items():
        needed = resource.get("DependsOn", [])
        for one in [needed] if isinstance(needed, str) else needed:
            if one not in known:
                yield f"{name} depends on {one}, which is not there"


def _named(item: Any) -> Iterator[str]:
    """Yield the names that a value refers to."""
    if isinstance(item, list):
        for one in item:
            yield from _named(one)
    elif isinstance(item, dict):
        if set(item) == {"Ref"}:
            yield str(item["Ref"])
        elif set(item) == {"Fn::GetAtt"}:
            yield str(item["Fn::GetAtt"][0])
        elif set(item) == {"Fn::Sub"}:
            yield from (name.partition(".")[0] for name in REFERENCE.findall(str(item["Fn::Sub"])))
        else:
            for one in item.values():
                yield from _named(one)


def _secrets(template: Mapping[str, Any]) -> Iterator[str]:
    """No parameter that holds a secret is shown, or has a default."""
    for name, parameter in template.get("Parameters", {}).items():
        if name.endswith(SECRETS) and (not parameter.get("NoEcho") or "Default" in parameter):
            yield f"parameter {name} holds a secret: give it NoEcho and no Default"


RULES: tuple[Callable[[Mapping[str, Any]], Iterator[str]], ...] = (
    _methods,
    _twice,
    _statuses,
    _throttled,
    _deployed,
    _keys,
    _acls,
    _references,
    _secrets,
)
