"""Methods: what a route takes, what reaches its upstream, and what may come back.

A route of JSON alone becomes a custom integration (`HTTP`): only what is mapped passes, in and out, and the upstream's
errors are rewritten.  All else (streams, other media types, any query) becomes a proxy integration (`HTTP_PROXY`),
which passes every header field but those that are overwritten here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from vallum.core.decision import Reason
from vallum.core.policy import Mode
from vallum.exporters.aws.access import access
from vallum.exporters.aws.draft4 import converted
from vallum.exporters.aws.notation import NOTHING, Function, GetAtt, If, Ref, Resolved, Sub
from vallum.exporters.aws.refusals import body
from vallum.exporters.aws.routing import GREEDY
from vallum.exporters.export import Kind
from vallum.exporters.features import Feature
from vallum.exporters.yaml_text import Noted
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.exporters.aws.routing import Entry, Node, Operation
    from vallum.exporters.aws.template import Template

LONGEST_MS = 29_000  # of a whole answer; more by a quota of the account
LONGEST_STREAM_MS = 900_000
JSON = "application/json"
BODIED = frozenset(("DELETE", "PATCH", "POST", "PUT"))
HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")
NAME = re.compile(r"[A-Za-z0-9._-]+")  # of a parameter that API Gateway can map
# What would be a claim to the upstream, or a secret that is none of its business: overwritten where nothing else helps.
CLAIMS = ("Authorization", "Cookie", "Forwarded", "X-Api-Key", "X-Forwarded-Client-Cert", "Client-Cert", "DPoP")
BEHIND = "Put Vallum behind the API as its upstream, with this policy."


def resource_of(template: Template, node: Node) -> Ref | GetAtt:
    """Return the reference to a resource, which is added if it is new."""
    if not node.path:
        return GetAtt("Api", "RootResourceId")
    return Ref(template.name("Resource", *node.path.split("/")))


def add_resources(template: Template, root: Node) -> None:
    """Add the resources of a tree, each below its own."""
    for node in root.below():
        for child in sorted(node.children.values(), key=lambda one: one.path):
            properties = {"RestApiId": Ref("Api"), "ParentId": resource_of(template, node), "PathPart": child.part}
            template.add(template.name("Resource", *child.path.split("/")), "AWS::ApiGateway::Resource", properties)


def add_method(template: Template, operation: Operation) -> str:
    """Add a method, and return its logical id."""
    node, entry = operation.node, operation.entry
    name = template.name("Method", *node.path.split("/"), operation.method)
    properties: dict[str, Any] = {
        "RestApiId": Ref("Api"),
        "ResourceId": resource_of(template, node),
        "HttpMethod": operation.method,
    }
    if entry is None:
        properties |= {"AuthorizationType": "NONE", "ApiKeyRequired": False, **_nothing()}
        return template.add(name, "AWS::ApiGateway::Method", properties, "A path that its route leaves out.")
    properties |= access(template, entry)
    if operation.method in BODIED:
        properties |= _validation(template, entry)
    custom = is_custom(entry)
    passed = _passed(template, entry, node) if custom else _overwritten(template, entry, node)
    declared = {key: False for key in passed.values() if key.startswith("method.")}
    declared |= dict.fromkeys([key for key in declared if ".path." in key], True)
    if declared:
        properties["RequestParameters"] = dict(sorted(declared.items()))
    properties["Integration"] = _integration(template, entry, operation, custom=custom) | (
        {"RequestParameters": {**passed, **_own_headers(template, entry)}}
    )
    if custom:
        properties["Integration"] |= _answers(entry)
    properties["MethodResponses"] = _responses(entry, custom=custom)
    comment = f"Route {entry.config.name}: {operation.method} {node.path or '/'}"
    return template.add(name, "AWS::ApiGateway::Method", properties, comment)


def is_custom(entry: Entry) -> bool:
    """Say whether all of a route's bodies are JSON that is neither streamed nor read by anybody else."""
    preset = PRESETS[entry.config.preset]
    intake = entry.route.intake
    return (
        bool(intake.codecs)
        and set(intake.codecs) <= {"", JSON}
        and intake.query is not None
        and preset.meter is None
        and not preset.answer.divided
        and not entry.route.outlet.media_types
    )


def _nothing() -> dict[str, Any]:
    """Return what answers that there is nothing, without an upstream."""
    return {
        "Integration": {
            "Type": "MOCK",
            "PassthroughBehavior": "NEVER",
            "RequestTemplates": {JSON: '{"statusCode": 404}'},
            "IntegrationResponses": [{"StatusCode": "404", "ResponseTemplates": {JSON: body(Reason.NOT_FOUND)}}],
        },
        "MethodResponses": [{"StatusCode": "404"}],
    }


def _validation(template: Template, entry: Entry) -> dict[str, Any]:
    """Return the model of a route's bodies, and what holds them against it."""
    config, intake = entry.config, entry.route.intake
    if intake.document is None or entry.route.mode is Mode.SHADOW:
        return {}
    where = f"routes.{config.name}.request.schema"
    model, losses = converted(intake.document)
    for loss in losses:
        template.lose(Feature.SCHEMA, where, f"of its keywords {loss}", BEHIND)
    if not losses:
        template.keep(Feature.SCHEMA, where)
    name = template.name(config.name, "RequestModel")
    if name not in template.resources:
        properties = {"RestApiId": Ref("Api"), "Name": name, "ContentType": JSON, "Schema": _schema(model)}
        template.add(name, "AWS::ApiGateway::Model", properties, f"{config.request.schema}, as JSON Schema draft 4.")
    if "Validator" not in template.resources:
        properties = {"RestApiId": Ref("Api"), "ValidateRequestBody": True, "ValidateRequestParameters": True}
        template.add("Validator", "AWS::ApiGateway::RequestValidator", properties)
    return {
        "RequestValidatorId": Ref("Validator"),
        "RequestModels": {
            JSON: Ref(name),
            "$default": Noted(Ref(name), "Without this a body of another content type would pass unread."),
        },
    }


def _schema(model: dict[str, Any]) -> Any:
    """Return a schema as an object, or as text where CloudFormation would take a member's name for a function."""
    return json.dumps(model) if _has_functions(model) else model


def _has_functions(item: Any) -> bool:
    if isinstance(item, dict):
        return any(key in {"Ref", "Condition"} or key.startswith("Fn::") for key in item) or any(
            map(_has_functions, item.values())
        )
    return isinstance(item, list) and any(map(_has_functions, item))


def _variables(node: Node) -> list[str]:
    return [part.strip("{}+") for part in node.path.split("/") if part.startswith("{")]


def _passed(template: Template, entry: Entry, node: Node) -> dict[str, str]:
    """Return what reaches the upstream of a custom integration: what the route names, and nothing else."""
    intake = entry.route.intake
    passed = {f"integration.request.path.{name}": f"method.request.path.{name}" for name in _variables(node)}
    for kind, names, feature in (
        ("header", intake.headers, Feature.REQUEST_HEADERS),
        ("querystring", intake.query or (), Feature.QUERY),
    ):
        for name in _mappable(template, entry, names, feature):
            passed[f"integration.request.{kind}.{name}"] = f"method.request.{kind}.{name}"
    return passed


def _mappable(template: Template, entry: Entry, names: Iterable[str], feature: Feature) -> list[str]:
    known = [name for name in sorted(names) if NAME.fullmatch(name)]
    if len(known) != len(list(names)):
        where = f"routes.{entry.config.name}.{feature.value}"
        template.lose(feature, where, "a name that API Gateway cannot map is dropped", BEHIND)
    return known


def _overwritten(template: Template, entry: Entry, node: Node) -> dict[str, str]:
    """Return what a proxy integration changes of all that it passes."""
    where = f"routes.{entry.config.name}"
    for feature, key in ((Feature.REQUEST_HEADERS, "request.headers"), (Feature.QUERY, "request.query")):
        if feature is Feature.QUERY and entry.route.intake.query is None:
            continue
        detail = "a proxy integration passes all of them but the few that are emptied here"
        template.lose(feature, f"{where}.{key}", detail, BEHIND)
    passed = {f"integration.request.path.{name}": f"method.request.path.{name}" for name in _variables(node)}
    kept = entry.route.intake.headers
    for name in CLAIMS:
        if name.lower() not in kept:
            passed[f"integration.request.header.{name}"] = "''"
    return passed


def _own_headers(template: Template, entry: Entry) -> dict[str, Any]:
    """Return what the gateway itself tells the upstream: the request's id, and the upstream's own secrets."""
    added: dict[str, Any] = {"integration.request.header.X-Request-Id": "context.requestId"}
    upstream = template.config.upstreams[entry.config.upstream]
    if not upstream.headers:
        return added
    name = template.name("Upstream", entry.config.upstream, "Secret")
    if name not in template.parameters:
        template.ask(
            name,
            "ARN of a secret in Secrets Manager: a JSON object with a member for each header field of this upstream",
            AllowedPattern="arn:[a-z0-9-]+:secretsmanager:[A-Za-z0-9:/_+=.@-]+",
        )
    for field in _mappable(template, entry, upstream.headers, Feature.UPSTREAM_HEADERS):
        secret = f"{{{{resolve:secretsmanager:${{{name}}}:SecretString:{field.lower()}}}}}"
        added[f"integration.request.header.{field.lower()}"] = Resolved(f"'{secret}'")
    template.lose(
        Feature.UPSTREAM_HEADERS,
        f"upstreams.{entry.config.upstream}.headers",
        "they are read from Secrets Manager at deployment, and shown to whoever may read the API's integrations",
        "Let Vallum behind the API add them, or keep the right `apigateway:GET` to few.",
    )
    return added


def _integration(template: Template, entry: Entry, operation: Operation, *, custom: bool) -> dict[str, Any]:
    upstream = template.config.upstreams[entry.config.upstream]
    streams = not custom and PRESETS[entry.config.preset].meter is not None
    most = LONGEST_STREAM_MS if streams else LONGEST_MS
    wanted = round(upstream.timeout_s * 1000)
    if wanted > most:
        template.lose(
            Feature.UPSTREAM_TIMEOUT,
            f"upstreams.{entry.config.upstream}.timeout_s",
            f"API Gateway waits {most / 1000:g} s at most, for the whole answer",
            "Ask AWS for a higher integration timeout, or stream.",
        )
    integration: dict[str, Any] = {
        "Type": "HTTP" if custom else "HTTP_PROXY",
        "IntegrationHttpMethod": operation.method,
        "Uri": Sub(f"${{{address(template, entry.config.upstream)}}}{_target(operation.node)}"),
        "ConnectionType": If("HasVpcLink", "VPC_LINK", "INTERNET"),
        "ConnectionId": If("HasVpcLink", Ref("VpcLinkId"), NOTHING),
        "TimeoutInMillis": max(50, min(wanted, most)),
    }
    if streams:
        integration["ResponseTransferMode"] = Noted("STREAM", "Events leave as they come, not when the last one came.")
    if custom:
        integration["PassthroughBehavior"] = Noted("NEVER", "What is not JSON is a 415.")
        # Velocity: the body as it came, and none where the method has none.
        passed = "$input.body" if operation.method in BODIED else "#set($none = 0)"
        integration["RequestTemplates"] = {JSON: passed}
    return integration


def _target(node: Node) -> str:
    """Return the path at the upstream, with API Gateway's `{variables}`; it needs no escape (`routing.PART`)."""
    return node.path.replace(GREEDY, "{proxy}") or "/"


def address(template: Template, upstream: str) -> str:
    """Return the name of the parameter with an upstream's address."""
    name = template.name("Upstream", upstream, "Url")
    if name not in template.parameters:
        url = urlsplit(template.config.upstreams[upstream].url)
        host = url.netloc.rpartition("@")[2]  # what stands before it is a secret
        base = quote(url.path.rstrip("/"), safe="/:@!&'()*+,;=-._~%")
        template.ask(
            name,
            f"Address of the upstream {upstream}, or of Vallum in front of it, without a last slash",
            **({"Default": f"{url.scheme}://{host}{base}"} if HOST.fullmatch(host) else {}),
            AllowedPattern=f"https?://{HOST.pattern}(/[A-Za-z0-9._~/%:@!&'()*+,;=-]*)?",
        )
    if "VpcLinkId" not in template.parameters:
        template.ask("VpcLinkId", "A VPC link, for upstreams in a private network; empty for public ones", Default="")
        template.conditions["HasVpcLink"] = Function("Not", [Function("Equals", [Ref("VpcLinkId"), ""])])
    return name


def _answers(entry: Entry) -> dict[str, Any]:
    """Return what becomes of the upstream's answers: of its errors nothing but the status leaves."""
    kept = {
        f"method.response.header.{name}": f"integration.response.header.{name}"
        for name in sorted(entry.route.outlet.headers)
        if NAME.fullmatch(name)
    }
    good: dict[str, Any] = {"StatusCode": "200", "SelectionPattern": "2\\d{2}"}
    if kept:
        good["ResponseParameters"] = kept
    told = ((Reason.INVALID_REQUEST, "4([013-9]\\d|2[0-8])"), (Reason.QUOTA_EXCEEDED, "429"))
    failures: list[Any] = [
        {"StatusCode": str(reason.status), "SelectionPattern": pattern, "ResponseTemplates": {JSON: body(reason)}}
        for reason, pattern in told
    ]
    reason = Reason.UPSTREAM_ERROR
    rest = {"StatusCode": str(reason.status), "ResponseTemplates": {JSON: body(reason)}}
    return {"IntegrationResponses": [good, *failures, Noted(rest, "All else is a failure of the upstream.")]}


def _responses(entry: Entry, *, custom: bool) -> list[dict[str, Any]]:
    codes = ("200", "400", "429", "502") if custom else ("200", "429")
    listed: list[dict[str, Any]] = [{"StatusCode": code} for code in codes]
    names = [name for name in sorted(entry.route.outlet.headers) if NAME.fullmatch(name)]
    if custom and names:
        listed[0]["ResponseParameters"] = {f"method.response.header.{name}": False for name in names}
    return listed


def lost_paths(template: Template, operations: list[Operation], listed: list[Entry]) -> None:
    """Say which routes have no resource at all."""
    reached = {operation.entry.config.name for operation in operations if operation.entry is not None}
    for entry in listed:
        if entry.config.name not in reached:
            feature = Feature.PATH_REST if entry.route.pattern.open_ended else Feature.PATH
            where = f"routes.{entry.config.name}.match.path"
            template.lose(feature, where, "the route is not exported: others take all of it", BEHIND, Kind.LOST)
