"""What becomes of an answer's head: its status, its header fields, and the way its body goes out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vallum.core import cost
from vallum.core.decision import Deny, Reason
from vallum.core.divided import LENGTH_FIELD, Divided
from vallum.core.failure import pass_fields
from vallum.core.leaks import Screen
from vallum.core.relay import Relay, Text, Through, Whole, unreadable
from vallum.core.stream import Events, Lines

if TYPE_CHECKING:
    from vallum.core.cost import Bill
    from vallum.core.exchange import Exchange, Headers, ResponseHead
    from vallum.core.policy import Route

# What an upstream's refusal becomes: the caller learns that, never the upstream's words.  All else is a 502: a
# redirect would name an inner host, a 401 is between the gateway and its upstream.
UPSTREAM_REFUSALS = {
    400: Reason.INVALID_REQUEST,
    404: Reason.NOT_FOUND,
    413: Reason.BODY_TOO_LARGE,
    415: Reason.UNSUPPORTED_MEDIA_TYPE,
    422: Reason.INVALID_REQUEST,
    429: Reason.UNAVAILABLE,  # the upstream's load is not this caller's quota
}


def refuse_status(head: ResponseHead) -> Deny | None:
    """Turn an upstream's failure into ours; None where the answer is a success."""
    if 200 <= head.status < 300:
        return None
    reason = UPSTREAM_REFUSALS.get(head.status, Reason.UPSTREAM_ERROR)
    wait_s = 1 if reason is Reason.UNAVAILABLE else None
    return Deny(reason, "upstream", f"the upstream answered {head.status}", retry_after_s=wait_s)


def explain(x: Exchange, route: Route, refusal: Deny, body: bytes) -> Deny:
    """Let pass what the policy lists of an upstream's refusal: names and small numbers."""
    paths, codec = route.outlet.error_fields, route.outlet.codec
    if not paths or codec is None or x.upstream_status not in UPSTREAM_REFUSALS:
        return refusal
    try:
        passed = pass_fields(codec.decode(body), paths, x.policy.retention.redact)
    except ValueError:
        return refusal
    return replace(refusal, violations=passed)


def read_costs(x: Exchange, bill: Bill, headers: Headers) -> None:
    """Take what the upstream says its answer cost."""
    bill.named = cost.read_costs(headers)
    if bill.named is None:
        x.unscanned.append("cost (the upstream's field cannot be read)")


def choose_relay(x: Exchange, route: Route, head: ResponseHead, enforce: bool) -> Relay | Deny:
    """Say how the body goes out, or refuse what the transforms could not read."""
    outlet = route.outlet.at(x.coarsen)
    bill = x.bill if x.bill is not None and x.bill.meter is not None else None
    if (not outlet.reads and bill is None) or head.status in (204, 304) or x.request.method == "HEAD":
        return Through()
    media_type = head.headers.get("content-type") or ""
    if media_type != "application/json":
        media_type = media_type.partition(";")[0].strip().lower()
    encoded = head.headers.get("content-encoding") not in (None, "identity")
    if not encoded and media_type == "text/event-stream":
        return Events(outlet, x.removed, enforce, bill, _screen(x, route, head, enforce))
    if not encoded and media_type in LINES:
        return Lines(outlet, x.removed, enforce, bill, _screen(x, route, head, enforce))
    if not encoded and (media_type == "application/json" or media_type.endswith("+json")):
        return Whole(outlet, x.removed, enforce, bill, _screen(x, route, head, enforce))
    length = head.headers.get(LENGTH_FIELD) if outlet.divided else None
    if not encoded and length is not None and media_type == "application/octet-stream":
        return Divided(length, outlet, x.removed, enforce)
    unread = not outlet.transforms or media_type in outlet.media_types
    if not encoded and unread and outlet.leaks and media_type in TEXTS:
        return Text(outlet, x.removed, enforce, None, _screen(x, route, head, enforce))
    must = outlet.transforms or outlet.leaks or outlet.errors_inside
    if not enforce or not must or (not encoded and media_type in outlet.media_types):
        x.unscanned.append("response")
        return Through()
    return unreadable(f"cannot read an answer of type {media_type!r}{' (compressed)' if encoded else ''}")


def _screen(x: Exchange, route: Route, head: ResponseHead, enforce: bool) -> Screen | None:
    outlet = route.outlet
    if not outlet.leaks and not outlet.errors_inside:
        return None
    return Screen(x, outlet, head, enforce)


TEXTS = frozenset({"text/plain", "text/markdown", "text/csv", "application/x-subrip", "text/vtt"})
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
# Fields of one connection (RFC 9110 7.6.1) and of framing: the adapter writes its own.
HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding"
    " upgrade content-length date server".split()
)


# Fields that tell of the body as the upstream wrote it: a tag would say whether two answers were the same to the digit.
OF_THE_BODY = frozenset("content-digest content-md5 digest etag last-modified repr-digest".split())


def passing_fields(x: Exchange, route: Route, headers: Headers, relay: Relay, enforce: bool) -> list[tuple[str, str]]:
    """Return the header fields that the route lets out."""
    allowed = route.outlet.headers
    rewritten = enforce and (bool(route.outlet.transforms) or not relay.passes_length)
    passing: list[tuple[str, str]] = []
    for name, value in headers.fields:
        if name in HOP_BY_HOP or name in cost.COST_FIELDS:
            continue
        if name in allowed and not (rewritten and name in OF_THE_BODY):
            passing.append((name, _plain(value) if rewritten and name == "content-type" else value))
            continue
        x.removed.add(f"header {name}")
        if not enforce:
            passing.append((name, value))
    return passing


def _plain(content_type: str) -> str:
    """Return a media type without parameters, which could say anything."""
    return content_type.partition(";")[0].strip().lower()
