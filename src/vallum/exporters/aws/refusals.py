"""What a refused caller is told: Vallum's problem documents, and nothing of what refused.

A method response of 429 is what an upstream may answer; what a throttled caller gets is a gateway response.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vallum.core.decision import Reason
from vallum.core.problem import TYPES
from vallum.exporters.aws.notation import Ref
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from vallum.exporters.aws.template import Template

JSON = "application/json"
RETRY_S = 60

# what API Gateway calls it -> what Vallum says
GATEWAY = {
    "ACCESS_DENIED": Reason.INSUFFICIENT_SCOPE,
    "API_CONFIGURATION_ERROR": Reason.INTERNAL_ERROR,
    "AUTHORIZER_CONFIGURATION_ERROR": Reason.INTERNAL_ERROR,
    "AUTHORIZER_FAILURE": Reason.UNAVAILABLE,
    "BAD_REQUEST_BODY": Reason.INVALID_REQUEST,
    "BAD_REQUEST_PARAMETERS": Reason.INVALID_REQUEST,
    "EXPIRED_TOKEN": Reason.UNAUTHENTICATED,
    "INTEGRATION_FAILURE": Reason.UPSTREAM_ERROR,
    "INTEGRATION_TIMEOUT": Reason.UPSTREAM_TIMEOUT,
    "INVALID_API_KEY": Reason.UNAUTHENTICATED,
    "INVALID_SIGNATURE": Reason.UNAUTHENTICATED,
    "MISSING_AUTHENTICATION_TOKEN": Reason.NOT_FOUND,
    "QUOTA_EXCEEDED": Reason.QUOTA_EXCEEDED,
    "REQUEST_TOO_LARGE": Reason.BODY_TOO_LARGE,
    "RESOURCE_NOT_FOUND": Reason.NOT_FOUND,
    "THROTTLED": Reason.QUOTA_EXCEEDED,
    "UNAUTHORIZED": Reason.UNAUTHENTICATED,
    "UNSUPPORTED_MEDIA_TYPE": Reason.UNSUPPORTED_MEDIA_TYPE,
    "WAF_FILTERED": Reason.REQUEST_REJECTED,
}
DEFAULTS = {"DEFAULT_4XX": ("4xx", "Request refused"), "DEFAULT_5XX": ("5xx", "Service failed")}
COMMENTS = {
    "MISSING_AUTHENTICATION_TOKEN": "What API Gateway says of a path that is not there, and of no signature.",
    "THROTTLED": "What a throttled caller gets; a method response of 429 is not that.",
    "WAF_FILTERED": "What the web ACL blocked without an answer of its own.",
}


def body(reason: Reason) -> str:
    """Return the problem document of a reason, the same every time."""
    members = {
        "type": TYPES.get(reason, "about:blank"),
        "title": reason.phrase,
        "status": reason.status,
        "code": reason.value,
    }
    return json.dumps(members)


def add_refusals(template: Template, *, signed: bool) -> list[str]:
    """Add a gateway response for everything that API Gateway may refuse, and return their logical ids.

    Where callers sign, what API Gateway says of a path that is not there is also what it says of no signature.
    """
    names: list[str] = []
    for kind, usual in GATEWAY.items():
        reason = Reason.UNAUTHENTICATED if signed and usual is Reason.NOT_FOUND else usual
        properties = {
            "RestApiId": Ref("Api"),
            "ResponseType": kind,
            "StatusCode": str(reason.status),
            "ResponseParameters": _headers(reason, signed=signed),
            "ResponseTemplates": {JSON: body(reason)},
        }
        name = template.name("Refusal", *kind.lower().split("_"))
        names.append(template.add(name, "AWS::ApiGateway::GatewayResponse", properties, COMMENTS.get(kind, "")))
    for kind, (status, title) in DEFAULTS.items():
        text = json.dumps({"type": "about:blank", "title": title})
        rest: dict[str, Any] = {
            "RestApiId": Ref("Api"),
            "ResponseType": kind,
            "ResponseParameters": {"gatewayresponse.header.Cache-Control": "'no-store'"},
            "ResponseTemplates": {JSON: text},
        }
        name = template.name("Refusal", *kind.lower().split("_"))
        comment = f"All other {status}: the status says it all."
        names.append(template.add(name, "AWS::ApiGateway::GatewayResponse", rest, comment))
    return names


def _headers(reason: Reason, *, signed: bool) -> dict[str, Any]:
    headers: dict[str, Any] = {"gatewayresponse.header.Cache-Control": "'no-store'"}
    if reason is Reason.QUOTA_EXCEEDED:
        headers["gatewayresponse.header.Retry-After"] = Noted(
            f"'{RETRY_S}'", "API Gateway does not know when there is room again."
        )
    if reason is Reason.UNAUTHENTICATED:
        headers["gatewayresponse.header.WWW-Authenticate"] = "'AWS4-HMAC-SHA256'" if signed else "'Bearer'"
    return headers
