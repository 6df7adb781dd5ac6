"""The record of one exchange: what was decided, by which control, and the detail that the caller was not given.

Rule: no secret and no body is ever in a record.  Credentials appear by their public id, bodies by their size.  The one
exception is the beginning of what an upstream said when it failed, bounded and redacted by the policy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.core.cost import ANSWERS
from vallum.core.decision import Allow, Deny
from vallum.core.extraction import CLEAR, name_account
from vallum.core.standing import GOOD_FOOTING, factor, in_force, recovers_in_s

if TYPE_CHECKING:
    from vallum.core.cost import Bill
    from vallum.core.decision import Refusal
    from vallum.core.exchange import Exchange
    from vallum.core.web_acl import WebAcl

KEY = re.compile(r"[A-Za-z0-9_]{2,32}_[0-9A-Za-z]{49}")  # a key that somebody put where it does not belong
DETAIL_MAX_CHARS = 500
NAME_MAX_CHARS = 100  # names of an answer's members are the upstream's, and may be as long and many as it likes
NAMES_MAX = 100


class Timing(NamedTuple):
    """Seconds that an exchange took in all, and of those until the upstream's answer began.

    And of the gateway's own: judging the head (authentication and what follows it), the body (quotas and checks), and
    the time for which a failure waited for its slot.
    """

    total_s: float
    upstream_s: float
    head_s: float = 0.0
    body_s: float = 0.0
    slot_s: float = 0.0


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
        "head_us": int(timing.head_s * 1e6),
        "body_us": int(timing.body_s * 1e6),
    }
    if timing.slot_s:
        record["slot_us"] = int(timing.slot_s * 1e6)
    if x.decision is not None and not isinstance(x.decision, Allow):
        record |= _refused(x.decision)
    if x.evidence is not None:
        record["upstream_failure"] = x.evidence.tell(x.policy.retention.redact)
    _tell_alerts(x, record)
    _tell_limits(x, record)
    if x.removed:
        names = "\n".join([name[:NAME_MAX_CHARS] for name in sorted(x.removed)[:NAMES_MAX]])
        record["removed"] = x.policy.retention.redact_names(names).split("\n")  # an upstream may name people in them
    if x.coarsen:
        record["coarsened"] = x.coarsen
    if x.sanitised:
        record["sanitised"] = True
    _tell_verdict(x, record)
    _tell_paid(x, record)
    return record


def _tell_verdict(x: Exchange, record: dict[str, Any]) -> None:
    """Say what the watch for extraction held of the caller, why, and when that ends by itself."""
    said, route = x.verdict, x.route
    if said is None or said is CLEAR or route is None or route.extraction is None:
        return
    told: dict[str, Any] = {
        "grade": said.grade.name.lower(),
        "respond": route.extraction.respond.value,
        "evidence": said.evidence[:DETAIL_MAX_CHARS],
    }
    if x.account is not None:
        told["account"] = name_account(x.account.name)
    for name in ("cluster", "coarsen", "answers_a_day", "work_bits", "until", "pardoned", "strange"):
        if getattr(said, name):
            told[name] = getattr(said, name)
    record["extraction"] = told


def _tell_paid(x: Exchange, record: dict[str, Any]) -> None:
    if x.weight != 1:
        record["counted_as"] = x.weight
    if x.bill is not None:
        record |= _spent(x.bill)
    if x.amended:
        record["amended"] = list(x.amended)
    if x.cut:
        record["cut_by"] = x.cut


def _tell_limits(x: Exchange, record: dict[str, Any]) -> None:
    """Say what is left, what was in force in the plan's place and why, and how long it waited for room."""
    if x.taken is not None:
        record["quotas"] = {quota.name: remaining for quota, remaining, _ in x.taken.levels}
        if x.taken.nodes:
            record["quotas_shared_by"] = x.taken.nodes
    if x.priority is not None:
        record |= {"priority": x.priority.name.lower(), "waited_us": int(x.waited_s * 1e6)}
    throttle = x.route.throttle if x.route else None
    known, raised = x.footing or GOOD_FOOTING
    if throttle is not None:
        now = x.request.now
        behaved = factor(known, throttle, now)
        if behaved < 1.0:
            record["throttle"] = {
                "mode": throttle.mode.value,
                "factor": round(behaved, 3),
                "cause": known.cause,
                "recovers_in_s": int(recovers_in_s(known, throttle, now)),
            }
    if raised is not None and raised.until > x.request.now:
        record["raised"] = {"factor": raised.factor, "until": raised.until, "by": raised.by, "reason": raised.reason}
    if x.factor != 1.0:
        record["factor"] = round(x.factor, 3)
        if x.taken is not None:
            record["in_force"] = {
                quota.name: in_force(quota.limit, x.factor) for quota, _, _ in x.taken.levels if quota.unit != ANSWERS
            }


def _tell_alerts(x: Exchange, record: dict[str, Any]) -> None:
    """Say what an operator should look at: a thief, what would have been refused, what was not inspected."""
    if x.canary is not None:
        record["canary"] = x.canary
    if x.suspicion is not None:
        record["suspicion"] = {"score": x.suspicion.score, "signs": list(x.suspicion.signs), "factor": x.factor}
        if x.blame:
            record["suspicion"]["blame"] = round(x.blame, 3)
    if x.matches and x.route is not None and x.route.web_acl is not None:
        record["web_acl"] = _matched(x, x.route.web_acl)
    if x.shadowed:
        record["shadow"] = [_refused(refusal) for refusal in x.shadowed]
    if x.opinions:
        record["second_opinions"] = dict(x.opinions)
    if x.unscanned:
        record["unscanned"] = [name[:DETAIL_MAX_CHARS] for name in x.unscanned]


def _matched(x: Exchange, acl: WebAcl) -> dict[str, Any]:
    """Say which rules of the route's web ACL the request has matched, how, and what they put on it."""
    told: dict[str, Any] = {
        "name": acl.name,
        "mode": acl.mode.value,
        "rules": [
            {"rule": rule.name, "action": rule.action.value, "detail": str(hit)[:DETAIL_MAX_CHARS]}
            for rule, hit in x.matches
        ],
    }
    return told | ({"labels": sorted(x.labels)} if x.labels else {})


def _spent(bill: Bill) -> dict[str, Any]:
    """Say what each quota was asked for, and what it was charged in the end."""
    settled = {demand.key: demand.cost for demand in bill.settled}
    spent: dict[str, Any] = {}
    for demand in bill.demands + bill.tried:
        extra = bill.extra.get(demand.key, 0)
        spent[demand.quota.name] = {
            "reserved": demand.cost + extra,
            "settled": settled[demand.key] + extra if demand.key in settled else None,
        }
    tokens = {
        "estimated_input": bill.estimate.input_tokens,
        "bound_output": bill.estimate.output_tokens,
        "counted_output": bill.output_tokens,
        "usage": list(bill.usage) if bill.usage is not None else None,
    }
    return {"spent": spent} | ({"tokens": tokens} if bill.meter is not None else {})


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
    if isinstance(refusal, Deny):
        if refusal.rule:
            entry["rule"] = refusal.rule[:NAME_MAX_CHARS]
        if refusal.where:
            entry["pointer"] = refusal.where[:DETAIL_MAX_CHARS]
        if refusal.violations:
            entry["told"] = list(refusal.violations)
        if refusal.retry_after_s is not None:
            entry["retry_after_s"] = refusal.retry_after_s
    return entry
