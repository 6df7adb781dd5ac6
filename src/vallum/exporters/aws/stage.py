"""The deployment, its stage and its logs.

A deployment is a picture of the API at one moment: its logical id holds a digest of all that it shows, so that a
changed policy is deployed and an unchanged one is not.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from vallum.exporters.aws.notation import GetAtt, Ref, Sub, plain
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from vallum.exporters.aws.template import Template

KEEP_DAYS = 90
# Nothing that a caller wrote is in it, but the method; the path is the resource's.
LOGGED = {
    "requestId": "$context.requestId",
    "time": "$context.requestTimeEpoch",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "resource": "$context.resourcePath",
    "status": "$context.status",
    "latencyMs": "$context.responseLatency",
    "keyId": "$context.identity.apiKeyId",
    "principal": "$context.authorizer.principalId",
    "caller": "$context.identity.userArn",
    "refusal": "$context.error.responseType",
    "firewall": "$context.wafResponseCode",
}


def add_stage(template: Template, shown: list[str], throttles: list[dict[str, Any]]) -> None:
    """Add a deployment of the methods and answers `shown`, and the stage at which it is served."""
    deployment = f"Deployment{_digest(template)}"
    # Without this the picture is taken of an API that has no methods yet.
    template.add(
        deployment,
        "AWS::ApiGateway::Deployment",
        {"RestApiId": Ref("Api")},
        "Its name changes with what it shows: that is what makes AWS deploy it.",
        depends=sorted(shown),
    )
    template.ask(
        "StageName", "Name of the stage: the first part of its address", Default="prod", AllowedPattern="[a-z0-9_-]+"
    )
    logs = {"RetentionInDays": KEEP_DAYS}
    template.add("AccessLogs", "AWS::Logs::LogGroup", logs, "API Gateway needs a role for logs, once in an account.")
    settings: dict[str, Any] = {
        "HttpMethod": "*",
        "ResourcePath": "/*",
        "MetricsEnabled": True,
        "LoggingLevel": "ERROR",
        "DataTraceEnabled": Noted(False, "Traces would keep bodies and credentials."),
    }
    properties: dict[str, Any] = {
        "RestApiId": Ref("Api"),
        "DeploymentId": Ref(deployment),
        "StageName": Ref("StageName"),
        "TracingEnabled": False,
        "AccessLogSetting": {"DestinationArn": GetAtt("AccessLogs", "Arn"), "Format": json.dumps(LOGGED)},
        "MethodSettings": [settings, *throttles],
    }
    template.add("Stage", "AWS::ApiGateway::Stage", properties)
    template.outputs["Address"] = {
        "Description": "Where the API is served",
        "Value": Sub("https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${Stage}"),
    }


def _digest(template: Template) -> str:
    """Return a digest of all resources so far, which are what a deployment shows, and of the parameters in them."""
    shown = plain({"resources": template.resources, "parameters": template.parameters})
    return sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:10]
