"""A caller's own failures, at a safe level of detail, by the request id of the answer.

What it stops
    Nothing; it saves a call for help.  A caller who was refused reads why, as far as that helps him to mend his request
    and not to tune an attack.
Config
    `path`: where failures are asked for; the request id follows it.  `any_of`: who may ask.  `quotas`.
Cost
    Records on disk are searched, in another thread and one search at a time: about 10 ms for 16 MB.
Misses
    Failures of the last second at another worker, which are not on disk yet.  Those of other nodes: records are files
    of one host.  Requests without a credential that holds: nobody is known whose they are.
Example
    failures: {path: /vallum/failures, any_of: [keys]}

A failure is shown to its subject, and to all of its tenant where there is one.  Whatever else is asked for (another's,
a success, an id that never was) gets the same 404, on the same slot of time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from vallum.core.decision import Deny, Page, Reason
from vallum.core.effects import FindRecord, Steps, ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.core.exchange import Exchange
    from vallum.core.principal import Principal

CONTROL = "failures"
ID_CHARS = 36
# What a caller is told of the control that refused: of content checks, only that it was the content.
KINDS: Mapping[str, str] = {
    Reason.REQUEST_REJECTED: "content",
    Reason.UPSTREAM_ERROR: "upstream",
    Reason.UPSTREAM_TIMEOUT: "upstream",
    Reason.UNAVAILABLE: "availability",
    Reason.INTERNAL_ERROR: "gateway",
    Reason.QUOTA_EXCEEDED: "quota",
    Reason.INSUFFICIENT_SCOPE: "scope",
}


class FailuresConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where callers read why their own requests failed."""

    path: Annotated[str, Meta(description="what the request id is put after")] = "/vallum/failures"
    any_of: Annotated[
        list[str], Meta(description="authenticators, asked in this order; all but anonymous ones by default")
    ] = []
    quotas: Annotated[list[str], Meta(description="of these questions, per caller")] = msgspec.field(
        default_factory=lambda: ["60 per minute"]
    )


class Failures:
    """Shows a caller its own failures."""

    def respond(self, x: Exchange) -> Steps[Page | Deny]:
        """Find the record, and show what is safe if it is the caller's."""
        request_id = (x.request.path or "").rpartition("/")[2]
        record = yield from ask(FindRecord(request_id[:ID_CHARS]))
        if record is None or "reason" not in record or not is_theirs(record, x.principal):
            return Deny(Reason.NOT_FOUND, CONTROL, "no failure of this caller has this id")
        return Page(msgspec.json.encode(show(record)))


def is_theirs(record: Mapping[str, Any], who: Principal) -> bool:
    """Say whether a record is of this caller, or of its tenant."""
    if who.tenant is not None:
        return bool(record["tenant"] == who.tenant)
    return bool(who.subject) and record["tenant"] is None and record["subject"] == who.subject


def show(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is safe to tell of a failure: nothing that an attack could be tuned by."""
    reason = Reason(record["reason"])
    upstream = record.get("upstream_status")
    shown: dict[str, Any] = {
        "request_id": record["request_id"],
        "at": int(record["at"]),
        "route": record["route"],
        "status": record["status"],
        "code": reason.value,
        "title": reason.phrase,
        "by": KINDS.get(reason, "request"),
        "errors": record.get("told", []),
    }
    if upstream is not None:
        shown["upstream"] = f"{upstream // 100}xx"
    if "retry_after_s" in record:
        shown["retry_after_s"] = record["retry_after_s"]
    return shown
