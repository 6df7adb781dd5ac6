"""What the engine can answer: allow, challenge or deny, each with a stable reason.

Rule 1: a denial is a value, never an exception.
Rule 2: the caller learns the reason's code; the detail is for the operator's record alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Stable codes of refusals: the `code` of every problem document."""

    MALFORMED_REQUEST = "malformed_request"
    INVALID_REQUEST = "invalid_request"
    UNAUTHENTICATED = "unauthenticated"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    REQUEST_REJECTED = "request_rejected"
    NOT_FOUND = "not_found"
    REQUEST_TIMEOUT = "request_timeout"
    BODY_TOO_LARGE = "body_too_large"
    URI_TOO_LONG = "uri_too_long"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    WORK_REQUIRED = "work_required"
    QUOTA_EXCEEDED = "quota_exceeded"
    HEADERS_TOO_LARGE = "headers_too_large"
    INTERNAL_ERROR = "internal_error"
    UPSTREAM_ERROR = "upstream_error"
    UNAVAILABLE = "unavailable"
    UPSTREAM_TIMEOUT = "upstream_timeout"

    @property
    def status(self) -> int:
        """The HTTP status that goes with this code."""
        return REASONS[self][0]

    @property
    def phrase(self) -> str:
        """One human sentence fragment, the same for every occurrence (RFC 9457 3.1.3)."""
        return REASONS[self][1]


# code -> status, title, when.  The docs page of reason codes is generated from this table.
REASONS: dict[Reason, tuple[int, str, str]] = {
    Reason.MALFORMED_REQUEST: (400, "Malformed request", "not parseable: JSON, encoding, duplicate keys, framing"),
    Reason.INVALID_REQUEST: (400, "Invalid request", "a schema or field rule is violated; path and rule may be named"),
    Reason.UNAUTHENTICATED: (401, "Authentication required", "no credential, or one that does not hold"),
    Reason.INSUFFICIENT_SCOPE: (403, "Insufficient scope", "known, but not allowed here"),
    Reason.REQUEST_REJECTED: (403, "Request rejected", "any content check; one code for all"),
    Reason.NOT_FOUND: (404, "Not found", "no route names this path and method"),
    Reason.REQUEST_TIMEOUT: (408, "Request timeout", "the request did not arrive in time"),
    Reason.BODY_TOO_LARGE: (413, "Content too large", "the body is over the route's bound"),
    Reason.URI_TOO_LONG: (414, "URI too long", "the request target is over the bound"),
    Reason.UNSUPPORTED_MEDIA_TYPE: (
        415,
        "Unsupported media type",
        "a content type or encoding the route does not take",
    ),
    Reason.WORK_REQUIRED: (428, "Work required", "an answer costs a proof of work; Vallum-Work says of what"),
    Reason.QUOTA_EXCEEDED: (429, "Quota exceeded", "a quota has no room; Retry-After says when it has"),
    Reason.HEADERS_TOO_LARGE: (431, "Request header fields too large", "too many or too long header fields"),
    Reason.INTERNAL_ERROR: (500, "Internal error", "a fault of the gateway itself"),
    Reason.UPSTREAM_ERROR: (502, "Upstream error", "the upstream failed, or answered what may not pass"),
    Reason.UNAVAILABLE: (503, "Service unavailable", "a dependency is down or load is shed"),
    Reason.UPSTREAM_TIMEOUT: (504, "Upstream timeout", "the upstream did not answer in time"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw.

    `where` is a JSON pointer (RFC 6901) into the body, or a name such as `query.q`.  Only findings of the schema
    and of field rules have `public` set: their pointer and rule may reach the caller, the value never does.
    """

    rule: str
    where: str = ""
    detail: str = ""
    score: float = 1.0
    reason: Reason = Reason.REQUEST_REJECTED
    public: bool = False
    step_up: bool = False  # no more than a suspicion: who proves possession of the credential may pass


@dataclass(frozen=True, slots=True)
class Allow:
    """Go on to the upstream.  `body` is what to send instead of the original, or None to send it unchanged."""

    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """Refuse.  `control` and `detail` are for the record; `violations` (pointer, rule) may reach the caller."""

    reason: Reason
    control: str
    detail: str = ""
    retry_after_s: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    violations: Sequence[dict[str, Any]] = ()
    should_retry: bool = True
    rule: str = ""  # the keyword or pattern that was broken, and where: for the record
    where: str = ""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Refuse until a credential that holds is presented (RFC 9110 11.6.1).  `scheme` is the WWW-Authenticate value."""

    scheme: str
    control: str
    detail: str = ""
    canary: str | None = None  # public id of the canary that was presented: an alarm, of which the caller sees nothing

    @property
    def reason(self) -> Reason:
        """Always `unauthenticated`."""
        return Reason.UNAUTHENTICATED


@dataclass(frozen=True, slots=True)
class Page:
    """What the gateway itself answers on a route that has no upstream: a token, a key set, metadata."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"), ("cache-control", "no-store"))


INVALID_TOKEN = 'Bearer error="invalid_token"'  # noqa: S105  RFC 6750 3.1: a credential came, and does not hold
Refusal = Deny | Challenge
Decision = Allow | Refusal
