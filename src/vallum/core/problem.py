"""Refusals on the wire: one JSON object (RFC 9457) that says the code and the request id, and nothing else.

Nothing of the upstream, the policy, the matched pattern or the control that refused is ever in it.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from vallum.core.decision import Challenge, Deny, Reason

if TYPE_CHECKING:
    from vallum.core.decision import Refusal

MEDIA_TYPE = "application/problem+json"
# Types registered or drafted for HTTP; for all else the status says it all (RFC 9457 4.2.1).
TYPES = {
    Reason.QUOTA_EXCEEDED: "https://iana.org/assignments/http-problem-types#quota-exceeded",
    Reason.WORK_REQUIRED: "urn:vallum:problem:work-required",
}

# status -> the `type` that OpenAI's clients know.
OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "server_error",
    504: "server_error",
}

# status -> the `type` that Anthropic's clients know.
ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}

# class of status -> the `error` of OAuth's clients (RFC 6749 5.2, 4.1.2.1).
OAUTH_ERRORS = {5: "temporarily_unavailable"}


class ErrorFormat(StrEnum):
    """An SDK's own error member, sent beside the problem's members."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    PLAIN = "plain"  # a sentence, as the clients of Ollama, TGI, Triton and TF Serving read it
    OAUTH = "oauth"


# Fields beside `x-request-id` in which an SDK looks for the id of the request.
ID_FIELDS = {ErrorFormat.ANTHROPIC: "request-id"}


def problem(refusal: Refusal, request_id: str, error_format: ErrorFormat | None = None) -> bytes:
    """Write the body of a refusal."""
    reason = refusal.reason
    members: dict[str, Any] = {
        "type": TYPES.get(reason, "about:blank"),
        "title": reason.phrase,
        "status": reason.status,
        "code": reason.value,
        "request_id": request_id,
    }
    violations = list(refusal.violations) if isinstance(refusal, Deny) else []
    if violations:
        members["errors"] = violations
    if error_format is ErrorFormat.OPENAI:
        members["error"] = {
            "message": reason.phrase,
            "type": OPENAI_TYPES.get(reason.status, "invalid_request_error"),
            "param": violations[0]["pointer"] if violations else None,
            "code": reason.value,
        }
    if error_format is ErrorFormat.ANTHROPIC:
        members["error"] = {
            "type": ANTHROPIC_TYPES.get(reason.status, "invalid_request_error"),
            "message": _sentence(reason.phrase, violations),
        }
    if error_format is ErrorFormat.PLAIN:
        members["error"] = _sentence(reason.phrase, violations)
    if error_format is ErrorFormat.OAUTH:
        members["error"] = _oauth_error(refusal)
    return json.dumps(members, separators=(",", ":")).encode()


def _sentence(phrase: str, violations: list[Any]) -> str:
    """Say in one sentence what is wrong and where, for SDKs that show nothing else."""
    if not violations:
        return phrase
    return f"{phrase}: {violations[0]['pointer'] or 'the body'} ({violations[0]['rule']})"


def media_type(error_format: ErrorFormat | None) -> str:
    """Return the media type of a refusal: OAuth's clients read errors as plain JSON alone (RFC 6749 5.2)."""
    return "application/json" if error_format is ErrorFormat.OAUTH else MEDIA_TYPE


def _oauth_error(refusal: Refusal) -> str:
    if isinstance(refusal, Challenge):  # RFC 9449 8: the body of a token endpoint asks for the nonce too
        return "use_dpop_nonce" if 'error="use_dpop_nonce"' in refusal.scheme else "invalid_client"
    if refusal.violations:
        return str(refusal.violations[0]["rule"])
    return OAUTH_ERRORS.get(refusal.reason.status // 100, "invalid_request")


def problem_headers(refusal: Refusal) -> list[tuple[str, str]]:
    """Return the header fields that belong to a refusal, besides its content type and length."""
    headers: list[tuple[str, str]] = [("cache-control", "no-store")]
    if isinstance(refusal, Challenge):
        headers.append(("www-authenticate", refusal.scheme))
        return headers
    headers.extend(refusal.headers)
    if refusal.retry_after_s is not None:
        headers.append(("retry-after", str(refusal.retry_after_s)))
    if not refusal.should_retry:
        headers.append(("x-should-retry", "false"))
    return headers
