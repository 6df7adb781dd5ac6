"""The record of one exchange: what was decided, by which control, and the detail that the caller was not given.

Rule: no secret and no body is ever in a record.  Credentials appear by their public id, bodies by their size.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.core.decision import Allow, Deny
from vallum.core.standing import factor, in_force, recovers_in_s

if TYPE_CHECKING:
    from vallum.core.decision import Refusal
    from vallum.core.exchange import Exchange
    from vallum.core.standing import Footing

KEY = re.compile(r"[A-Za-z0-9_]{2,32}_[0-9A-Za-z]{49}")  # a key that somebody put where it does not belong
DETAIL_MAX_CHARS = 500
NAME_MAX_CHARS = 100  # names of an answer's members are the upstream's, and may be as long and many as it likes
NAMES_MAX = 100


class Timing(NamedTuple):
    """Seconds that an exchange took in all, and of those until the upstream's answer began."""

    total_s: float
    upstream_s: float


def compose(x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> dict[str, Any]:
    """Return the record of an exchange at its end.  `status` None: the caller left before there was an answer."""
    request, who = x.request, x.principal
    record: dict[str, Any] = {
        "request_id": request.id,
        "at": request.now,
        "client": request.client,
        "method": request.method,
        "path": request.path and KEY.sub("(a key)", request.path),
        "route": x.route.name if x.route else None,
        "mode": x.route.mode.value if x.route else None,
        "policy": x.policy.digest,
        "subject": who.subject or None,
        "tenant": who.tenant,
        "credential": who.credential_id,
        "decision": _verb(x),
        "status": status,
        "upstream_status": x.upstream_status,
        "received_bytes": len(x.body),
        "sent_bytes": sent_bytes,
        "total_us": int(timing.total_s * 1e6),
        "upstream_us": int(timing.upstream_s * 1e6),
    }
    if x.decision is not None and not isinstance(x.decision, Allow):
        record |= _refused(x.decision)
    if x.taken is not None:
        record["quotas"] = {quota.name: remaining for quota, remaining, _ in x.taken.levels}
    if x.footing is not None:
        record |= _footing(x, x.footing)
    if x.priority is not None:
        record["priority"] = x.priority.name.lower()
        record["waited_us"] = int(x.waited_s * 1e6)
    if x.shadowed:
        record["shadow"] = [_refused(refusal) for refusal in x.shadowed]
    if x.unscanned:
        record["unscanned"] = [name[:DETAIL_MAX_CHARS] for name in x.unscanned]
    if x.removed:
        record["removed"] = [name[:NAME_MAX_CHARS] for name in sorted(x.removed)[:NAMES_MAX]]
    if x.forward is not None:
        record["sanitised"] = True
    return record


def _footing(x: Exchange, footing: Footing) -> dict[str, Any]:
    """Say what was in force in the plan's place, and why; nothing where it was the plan."""
    told: dict[str, Any] = {}
    throttle = x.route.throttle if x.route else None
    known, raised = footing
    if throttle is not None:
        now = x.request.now
        behaved = factor(known, throttle, now)
        if behaved < 1.0:
            told["throttle"] = {
                "mode": throttle.mode.value,
                "factor": round(behaved, 3),
                "cause": known.cause,
                "recovers_in_s": int(recovers_in_s(known, throttle, now)),
            }
    if raised is not None and raised.until > x.request.now:
        told["raised"] = {"factor": raised.factor, "until": raised.until, "by": raised.by, "reason": raised.reason}
    if x.factor != 1.0:
        told["factor"] = round(x.factor, 3)
        if x.taken is not None:
            told["in_force"] = {quota.name: in_force(quota.limit, x.factor) for quota, _, _ in x.taken.levels}
    return told


def _verb(x: Exchange) -> str:
    if x.cancelled or x.decision is None:
        return "cancelled"
    return type(x.decision).__name__.lower()


def _refused(refusal: Refusal) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "reason": refusal.reason.value,
        "control": refusal.control,
        "detail": refusal.detail[:DETAIL_MAX_CHARS],
    }
    if isinstance(refusal, Deny) and refusal.retry_after_s is not None:
        entry["retry_after_s"] = refusal.retry_after_s
    return entry
