"""The web ACL in front of the API: the policy's own rules, then what else of the policy AWS WAF can hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vallum.core.decision import Reason
from vallum.core.policy import Mode
from vallum.exporters.aws import capacity
from vallum.exporters.aws.made_rules import DETECTORS, made_rules
from vallum.exporters.aws.notation import GetAtt, Sub, plain
from vallum.exporters.aws.pointers import text_places
from vallum.exporters.aws.refusals import body
from vallum.exporters.aws.scope import limited
from vallum.exporters.aws.statements import INSPECTED_BYTES, Rewriter
from vallum.exporters.export import ExportError
from vallum.exporters.features import Feature
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from vallum.config.model.web_acl import RuleConfig
    from vallum.exporters.aws.routing import Entry
    from vallum.exporters.aws.template import Template

BODIES = {"Refused": Reason.REQUEST_REJECTED, "TooLarge": Reason.BODY_TOO_LARGE, "TooMany": Reason.QUOTA_EXCEEDED}
SECRETS = ("authorization", "cookie", "dpop", "x-api-key")
NO_NAME = re.compile(r"[^0-9A-Za-z_-]")
LONGEST_NAME = 128
KEEP_DAYS = 90
STEP_BYTES = 16_384


def add_firewall(template: Template, listed: list[Entry], *, prefix: str) -> None:
    """Add a web ACL, its logs and its place before the stage, if the policy has rules for it.

    Raises ExportError for rules that AWS WAF does not take, and for more of them than it can hold.
    """
    rules = [*_own_rules(template, listed, prefix), *_made(template, listed, prefix)]
    if not rules:
        return
    _number(rules)
    units = capacity.of_rules([plain(rule) for rule in rules])
    if units > capacity.MOST:
        raise ExportError(f"the rules need {units} WCU, and a web ACL of AWS has {capacity.MOST}: take some out")
    named = _acls_used(template)
    properties: dict[str, Any] = {
        "Name": NO_NAME.sub("-", named[0])[:LONGEST_NAME] if len(named) == 1 else "vallum",
        "Scope": "REGIONAL",
        "DefaultAction": {"Allow": {}},
        "AssociationConfig": Noted(
            {"RequestBody": {"API_GATEWAY": {"DefaultSizeInspectionLimit": _inspected(template, listed)}}},
            "How much of a body AWS WAF is shown: 64 KiB at most, and more than 16 for a price.",
        ),
        "CustomResponseBodies": {
            key: {"ContentType": "APPLICATION_JSON", "Content": body(reason)} for key, reason in BODIES.items()
        },
        "VisibilityConfig": _visibility("vallum"),
        "Rules": [Noted(rule, comment) if comment else rule for rule, comment in _noted(rules)],
    }
    template.add("Firewall", "AWS::WAFv2::WebACL", properties, _price(units))
    stage = "arn:${AWS::Partition}:apigateway:${AWS::Region}::/restapis/${Api}/stages/${Stage}"
    association = {"ResourceArn": Sub(stage), "WebACLArn": GetAtt("Firewall", "Arn")}
    template.add("FirewallAssociation", "AWS::WAFv2::WebACLAssociation", association)
    _add_logs(template)


def _inspected(template: Template, listed: list[Entry]) -> str:
    """Return the name of the least that shows rules as much of a body as they want to see, as far as AWS goes."""
    wanted = [template.config.web_acls[name].inspect_bytes for name in _acls_used(template)]
    for entry in listed:
        if any(type(check) in DETECTORS for check in entry.config.checks):
            wanted.append(INSPECTED_BYTES)
        if entry.route.intake.max_bytes <= INSPECTED_BYTES:
            wanted.append(entry.route.intake.max_bytes + 1)
    steps = -(-min(max(wanted, default=1), INSPECTED_BYTES) // STEP_BYTES)
    return f"KB_{max(1, steps) * 16}"


def _price(units: int) -> str:
    text = f"Capacity: {units} WCU of {capacity.MOST} at the most."
    if units > capacity.INCLUDED:
        text += f" WARNING: AWS charges every request for more than {capacity.INCLUDED}."
    return text


def _acls_used(template: Template) -> list[str]:
    return list(dict.fromkeys([route.web_acl for route in template.config.routes if route.web_acl is not None]))


def _own_rules(template: Template, listed: list[Entry], prefix: str) -> list[dict[str, Any]]:
    """Return the rules of the policy's web ACLs, each asked of the routes that name its ACL."""
    rules: list[dict[str, Any]] = []
    for acl in _acls_used(template):
        chosen = [entry for entry in listed if entry.config.web_acl == acl]
        config = template.config.web_acls.get(acl)
        if config is None:
            raise ExportError(f"no web ACL is called {acl!r}")
        if config.inspect_bytes > INSPECTED_BYTES:
            detail = "AWS WAF is shown 64 KiB of a body; rules that block refuse larger ones"
            where = f"web_acls.{acl}.inspect_bytes"
            template.lose(Feature.WAF_INSPECT_BYTES, where, detail, "Put Vallum behind the API: it looks at all of it.")
        # A route in shadow refuses nothing: it is left out, unless all of them are, whose rules then count.
        enforcing = [entry for entry in chosen if entry.route.mode is Mode.ENFORCE]
        shadow = config.mode is Mode.SHADOW or not enforcing
        chosen = enforcing or chosen
        places = _common_places(chosen)
        for rule in sorted(config.rules, key=lambda rule: rule.priority):
            blocks = rule.action == "block" and not shadow
            where = f"web_acls.{acl}.rules.{rule.name}"
            rewriter = Rewriter(template, where, rule.name, blocks, config.inspect_bytes, prefix, places)
            statement = limited(rewriter.write(rule.statement), chosen, listed, prefix)
            rules.append(_rule(rule.name, rule.priority, statement, rule=rule, blocks=blocks, comment=""))
    return rules


def _common_places(chosen: list[Entry]) -> list[str] | None:
    """Return where the bodies of all these routes may hold texts."""
    found: list[str] = []
    for entry in chosen:
        places = text_places(entry.route.intake.document)
        if places is None:
            return None
        found += places
    return list(dict.fromkeys(found))


def _made(template: Template, listed: list[Entry], prefix: str) -> list[dict[str, Any]]:
    return [
        _rule(
            NO_NAME.sub("-", made.name)[:LONGEST_NAME],
            None,
            limited(made.statement, made.entries, listed, prefix),
            comment=made.comment,
        )
        for made in made_rules(template, listed)
    ]


def _rule(
    name: str,
    priority: int | None,
    statement: dict[str, Any],
    *,
    comment: str,
    rule: RuleConfig | None = None,
    blocks: bool = True,
) -> dict[str, Any]:
    written: dict[str, Any] = {
        "Name": name,
        "Priority": priority,
        "Action": {"Block": {"CustomResponse": _response(statement)}} if blocks else {"Count": {}},
    }
    if rule is not None and rule.labels:
        written["RuleLabels"] = [{"Name": label} for label in rule.labels]
    return {**written, "VisibilityConfig": _visibility(name), "Statement": statement, "#": comment}


def _response(statement: dict[str, Any]) -> dict[str, Any]:
    """Return what a blocked caller is told."""
    rate = statement.get("RateBasedStatement")
    key = "TooMany" if rate is not None else "TooLarge" if _is_size(statement) else "Refused"
    response: dict[str, Any] = {"ResponseCode": BODIES[key].status, "CustomResponseBodyKey": key}
    if rate is not None:
        response["ResponseHeaders"] = [{"Name": "Retry-After", "Value": str(rate["EvaluationWindowSec"])}]
    return response


def _is_size(statement: dict[str, Any]) -> bool:
    """Say whether a body is refused for its size alone."""
    inner = statement.get("AndStatement", {}).get("Statements", [statement])[-1]
    size = inner.get("SizeConstraintStatement")
    return size is not None and "Body" in size["FieldToMatch"] and size["ComparisonOperator"] in {"GT", "GE"}


def _visibility(name: str) -> dict[str, Any]:
    return {
        "CloudWatchMetricsEnabled": True,
        "MetricName": name,
        "SampledRequestsEnabled": False,  # samples would keep callers' header fields
    }


def _number(rules: list[dict[str, Any]]) -> None:
    """Give names and priorities that no two rules share: those of a single web ACL stay as they are."""
    given = [rule["Priority"] for rule in rules if rule["Priority"] is not None]
    kept = len(set(given)) == len(given) and given == sorted(given)
    last = -1
    names: set[str] = set()
    for rule in rules:
        if rule["Priority"] is None or not kept:
            rule["Priority"] = last + 1
        last = rule["Priority"]
        name, count = rule["Name"], 1
        while rule["Name"] in names:
            count += 1
            rule["Name"] = f"{name[: LONGEST_NAME - 5]}-{count}"
        names.add(rule["Name"])
        rule["VisibilityConfig"]["MetricName"] = rule["Name"]


def _noted(rules: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    return [({key: value for key, value in rule.items() if key != "#"}, rule["#"]) for rule in rules]


def _add_logs(template: Template) -> None:
    """Log what was not let through, without what callers prove themselves by."""
    logs = {
        "LogGroupName": Sub("aws-waf-logs-${AWS::StackName}"),
        "RetentionInDays": KEEP_DAYS,
    }
    template.add("FirewallLogs", "AWS::Logs::LogGroup", logs, "AWS WAF writes to names that begin like this one.")
    group = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${FirewallLogs}"
    properties = {
        "ResourceArn": GetAtt("Firewall", "Arn"),
        "LogDestinationConfigs": [Sub(group)],
        "RedactedFields": [{"SingleHeader": {"Name": name}} for name in SECRETS],
        "LoggingFilter": {
            "DefaultBehavior": "DROP",
            "Filters": [
                {
                    "Behavior": "KEEP",
                    "Requirement": "MEETS_ANY",
                    "Conditions": [{"ActionCondition": {"Action": action}} for action in ("BLOCK", "COUNT")],
                }
            ],
        },
    }
    template.add("FirewallLogging", "AWS::WAFv2::LoggingConfiguration", properties)
