"""The straight line.  Order is written here, once, cheap before dear; no plug-in chooses its place.

    request_head    route > rules of the web ACL > authenticate > confirm > authorise > habits > standing >
                    extraction > declared size > media type > query
    request_body    inflate > parse > weigh > inputs > work > meter > quotas > rules on the body > denied fields >
                    schema > side doors > images > checks > sanitise > amend > write  -> Allow, or a refusal
    response_head   costs > status > headers > how the body goes out
    response_chunk  what may leave now;  overrun: more of a quota, or the end of a stream
    response_end    what is left
    settle          once, at the end of every exchange, however it ended

Rule 1: a stage answers None (go on) or a refusal.  Refusals end the exchange unless the stage is in shadow.
Rule 2: a stage that fails is met by the route's `on_error`, in `_run` and nowhere else.  What was not inspected is
        recorded as unscanned, never as passed.
Rule 3: bounds that protect the gateway itself (size, framing, media type of what must be read) hold in shadow too.

A stranger learns nothing but that a credential is asked for, or that a web ACL turned it away: a flood from one
address is met before anything dear.  Quotas stand after what costs next to nothing and before the dear work: who is
refused by a quota pays nothing, who makes the checks work pays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from vallum.core import answer, spending, stages, verdicts
from vallum.core.decision import Allow, Challenge, Deny, Page, Reason
from vallum.core.effects import SettleQuota, Steps, TakeQuota, ask
from vallum.core.errors import VallumError
from vallum.core.exchange import Exchange, Headers, Phase, Request, ResponseHead
from vallum.core.failure import READ_MAX_BYTES, Evidence
from vallum.core.policy import Mode, OnError, Policy, Route
from vallum.core.proof import confirm
from vallum.core.protocols import Rewriter
from vallum.core.relay import Whole
from vallum.core.rules import judge, mode_of
from vallum.core.watch import watch

if TYPE_CHECKING:
    from vallum.core.decision import Decision, Refusal
    from vallum.core.policy import Priority
    from vallum.core.relay import Relay


UNSETTLED = "settle"  # recorded until a settlement is seen to be done: one that is given up leaves it there


CLOSED = frozenset({"work", "quotas"})  # what a suspect is held to: it never fails open


class Stage(NamedTuple):
    """One control on the line of a route.  `bound` marks what holds in shadow too (rule 3)."""

    name: str
    run: Callable[[Exchange, Route], Refusal | Steps[Refusal | None] | None]
    mode: Mode = Mode.ENFORCE
    bound: bool = False


class Line(NamedTuple):
    """The stages of one route, in order."""

    head: tuple[Stage, ...]
    body: tuple[Stage, ...]


class Engine:
    """Judges exchanges by one policy."""

    def __init__(self, policy: Policy) -> None:
        """Compile the line of every route."""
        self.policy = policy
        self._lines = {route.name: line_up(route) for route in policy.routes}

    def open(self, request: Request) -> Exchange:
        """Begin an exchange."""
        return Exchange(self.policy, request)

    def request_head(self, x: Exchange) -> Steps[Decision]:
        """Judge a request by its head alone."""
        x.enter(Phase.REQUEST_HEAD)
        path = x.request.path
        x.route = None if path is None else self.policy.find_route(x.request.method, path)
        if x.route is None:
            return _decide(x, Deny(Reason.NOT_FOUND, "route", "no route names this method and path"))
        return _decide(x, (yield from _run(x, x.route, self._lines[x.route.name].head)))

    def request_body(self, x: Exchange, body: bytes | None) -> Steps[Decision]:
        """Judge a request with its body; None where the route lets bodies stream by unread."""
        x.enter(Phase.REQUEST_BODY)
        route = _route(x)
        x.body = body or b""
        if body is None:
            x.unscanned.append("body")
            if route.intake.codecs:  # an empty one would pass in its place
                return _decide(x, Deny(Reason.INTERNAL_ERROR, "body", "it was not passed on to be read"))
        return _decide(x, (yield from _run(x, route, self._lines[route.name].body)))

    def priority(self, x: Exchange) -> Priority:
        """Say how urgent an exchange is: by its subject, else its tenant, else its route."""
        route, who, given = _route(x), x.principal, self.policy.priorities
        x.priority = given.subjects.get(who.subject) if who.subject else None
        if x.priority is None and who.tenant is not None:
            x.priority = given.tenants.get(who.tenant)
        if x.priority is None:
            x.priority = route.priority
        return x.priority

    def shed(self, x: Exchange, detail: str, enforce: bool) -> Deny | None:
        """Refuse for want of room at the upstream; only take note of it in shadow."""
        refusal = Deny(Reason.UNAVAILABLE, "concurrency", detail, retry_after_s=1)
        if enforce:
            x.decision = refusal
            return refusal
        x.shadowed.append(refusal)
        return None

    def respond(self, x: Exchange) -> Steps[Page | Refusal]:
        """Let the gateway itself answer a request that was let in, on a route with a responder."""
        route = _route(x)
        try:
            if route.responder is None:
                raise LookupError("this route has an upstream")
            page = yield from route.responder.respond(x)
        except Exception as error:  # noqa: BLE001  there is no upstream to fall back on: deny
            page = Deny(Reason.UNAVAILABLE, "responder", describe(error), retry_after_s=1)
        if not isinstance(page, Page):
            x.decision = page
        elif x.bill is not None:
            x.bill.sent_bytes += len(page.body)
        return page

    def call(self, x: Exchange) -> None:
        """Note that the upstream is about to be asked: from here on it may have worked."""
        x.called = True

    def response_head(self, x: Exchange, head: ResponseHead) -> tuple[ResponseHead, Relay] | Deny:
        """Judge an answer's head: what is sent of it, and how its body goes out."""
        x.enter(Phase.RESPONSE_HEAD)
        route = _route(x)
        x.upstream_status = head.status
        enforce = route.mode is Mode.ENFORCE
        if x.bill is not None:
            answer.read_costs(x, x.bill, head.headers)
        refusal = answer.refuse_status(head)
        if refusal is not None:
            x.evidence = Evidence(head)
            if enforce:
                x.decision = refusal
                return refusal
            x.shadowed.append(refusal)
        relay = answer.choose_relay(x, route, head, enforce)
        if isinstance(relay, Deny):
            x.evidence = Evidence(head, inside=True)
            x.decision = relay
            return relay
        x.relay = relay
        return ResponseHead(head.status, Headers(answer.passing_fields(x, route, head.headers, relay, enforce))), relay

    def wants(self, x: Exchange) -> int:
        """Say how many bytes of a failed answer are wanted, for the record and for what may pass of it."""
        return max(self.policy.retention.max_bytes, READ_MAX_BYTES if _route(x).outlet.error_fields else 0)

    def explain(self, x: Exchange, refusal: Deny, body: bytes) -> Deny:
        """Keep the beginning of a failed answer for the record, and add to the refusal what may pass of it."""
        assert x.evidence is not None  # since its head was judged
        x.evidence.body = body[: self.policy.retention.max_bytes]
        x.decision = answer.explain(x, _route(x), refusal, body)
        return x.decision

    def response_chunk(self, x: Exchange, data: bytes) -> bytes | Deny:
        """Return what may leave of the answer now."""
        x.enter(Phase.RESPONSE_CHUNK)
        relay: Relay = x.relay
        return _passed(x, relay.chunk(data))

    def overrun(self, x: Exchange) -> Steps[bytes | None]:
        """Meet an answer that ran over its reservation: take more of the quotas (None), or return how it ends."""
        bill = x.bill
        if bill is None:
            return None
        demands = bill.ask_more()
        if not demands:  # no quota counts what runs over
            bill.cuts = False
            return None
        try:
            taken = yield from ask(TakeQuota(demands))
        except Exception as error:  # noqa: BLE001  the store is down: the stream is not what pays for that
            x.unscanned.append(f"overrun ({describe(error)})")
            bill.cuts = False
            return None
        if taken.refused is None:
            bill.grow(demands)
            return None
        x.cut = taken.refused.name
        return bill.cut()

    def response_end(self, x: Exchange) -> bytes | Deny:
        """Return what is left of the answer."""
        x.enter(Phase.RESPONSE_END)
        relay: Relay = x.relay
        out = relay.end()
        if isinstance(relay, Whole) and _route(x).extraction is not None:
            x.answer = relay.document
        return _passed(x, out)

    def settle(self, x: Exchange) -> Steps[None]:
        """Put what was used in the place of what was reserved.  Once: a second call does nothing."""
        bill = x.bill
        if bill is None:
            return
        demands = bill.close(x.called, not isinstance(x.decision, Allow))
        if not demands:
            return
        x.unscanned.append(UNSETTLED)
        try:
            yield from ask(SettleQuota(demands, x.request.id))
        except Exception as error:  # noqa: BLE001  the reservation stays charged: the safe side
            x.unscanned[-1] = f"{UNSETTLED} ({describe(error)})"
        else:
            x.unscanned.remove(UNSETTLED)
            bill.settled = demands


def line_up(route: Route) -> Line:
    """Put the controls of a route in order.  This is the order; a test pins it."""
    return Line(tuple(_head(route)), tuple(_body(route)))


def _head(route: Route) -> list[Stage]:
    head = [
        *_rules(route, reads_body=False),
        Stage("authenticate", stages.authenticate),
        Stage("confirm", confirm),
        Stage("authorise", stages.authorise),
    ]
    if route.vigilance is not None:
        head.append(Stage("habits", watch, route.vigilance.mode))
    if route.throttle is not None:
        head.append(Stage("standing", stages.standing, route.throttle.mode))
    if route.extraction is not None:
        head.append(Stage("extraction", verdicts.read, verdicts.mode(route.extraction)))
    head += [
        Stage("declared_size", stages.declared_size, bound=True),
        Stage("media_type", stages.media_type, bound=True),
        Stage("query", stages.query),
    ]
    return head


def _body(route: Route) -> list[Stage]:
    intake = route.intake
    body = [Stage("inflate", stages.inflate, bound=True)] if intake.codings else []
    body.append(Stage("parse", stages.parse))
    if route.factors:
        body.append(Stage("weigh", spending.weigh))
    body += _suspicion(route)
    if route.meter is not None:
        body.append(Stage("meter", spending.meter))
    enforced = tuple(limit.quota for limit in route.limits if limit.mode is Mode.ENFORCE)
    writer = spending.choose_writer(route)
    body.append(Stage("quotas", spending.quotas(enforced, writer=writer)))  # without any, a credential may have its own
    body += _shadow_quotas(route)
    body += _rules(route, reads_body=True)
    if intake.deny_fields:
        body.append(Stage("fields", stages.fields))
    if intake.schema is not None:
        body.append(Stage("schema", stages.schema))
    if intake.asks or intake.apart:
        body.append(Stage("side_doors", stages.side_doors))
    if intake.images is not None:
        body.append(Stage("images", stages.images, intake.images_mode))
    body.extend(Stage(f"check:{guard.check.type}", stages.check(guard), guard.mode) for guard in intake.checks)
    if intake.sanitiser is not None:
        body.append(Stage("sanitise", stages.sanitise))
    if route.meter is not None:
        body.append(Stage("amend", spending.amend))
    if any(isinstance(codec, Rewriter) for codec in intake.codecs.values()):
        body.append(Stage("write", stages.write))
    return body


def _rules(route: Route, *, reads_body: bool) -> list[Stage]:
    """Return the rules of the route's web ACL that belong to one phase, by their priorities."""
    acl = route.web_acl
    if acl is None:
        return []
    rules = [rule for rule in acl.rules if rule.reads_body is reads_body]
    return [Stage(f"web_acl:{rule.name}", judge(acl, rule, route.on_error), mode_of(acl, rule)) for rule in rules]


def _suspicion(route: Route) -> list[Stage]:
    rule = route.extraction
    if rule is None:
        return []
    return [Stage("inputs", verdicts.inputs), Stage("work", verdicts.work, verdicts.mode(rule))]


def _shadow_quotas(route: Route) -> list[Stage]:
    quotas = [limit.quota for limit in route.limits if limit.mode is Mode.SHADOW]
    held = [Stage("quota:extraction", verdicts.try_budget, Mode.SHADOW)] if verdicts.tries(route) else []
    return held + [
        Stage(f"quota:{quota.name}", spending.quotas((quota,), shadow=True), Mode.SHADOW) for quota in quotas
    ]


def _run(x: Exchange, route: Route, stages: tuple[Stage, ...]) -> Steps[Refusal | None]:
    """Run stages in order until one refuses.  The one place of shadow and of failure."""
    for stage in stages:
        try:
            said = stage.run(x, route)
            if said is None:
                continue
            refusal = said if isinstance(said, (Deny, Challenge)) else (yield from said)
        except Exception as error:  # noqa: BLE001  whatever a control or its store raises is met by `on_error`
            refusal = _fail(x, route, stage, error)
        if refusal is None:
            continue
        if stage.bound or (stage.mode is Mode.ENFORCE and route.mode is Mode.ENFORCE):
            return refusal
        x.shadowed.append(refusal)
    return None


def _fail(x: Exchange, route: Route, stage: Stage, error: Exception) -> Refusal | None:
    detail = describe(error)
    x.unscanned.append(f"{stage.name} ({detail})")
    if route.on_error is OnError.ALLOW and not (stage.name in CLOSED and verdicts.is_held(x, route)):
        return None
    return Deny(Reason.UNAVAILABLE, stage.name, detail, retry_after_s=1)


def describe(error: Exception) -> str:
    """Say what failed: our own errors in full, all others by type and place, as their words may quote the caller's."""
    name = type(error).__name__
    if isinstance(error, VallumError):
        return f"{name}: {error}"
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return name if place is None else f"{name} in {place.tb_frame.f_code.co_name}, line {place.tb_lineno}"


def _decide(x: Exchange, refusal: Refusal | None) -> Decision:
    x.decision = refusal if refusal is not None else Allow(x.forward)
    if x.parts:
        x.parts = {}  # copies of the request's parts: an answer may take its time
    return x.decision


def _route(x: Exchange) -> Route:
    if x.route is None:  # the phase table makes this unreachable for an adapter that obeys decisions
        raise LookupError("no route was found for this exchange")
    return x.route


def _passed(x: Exchange, out: bytes | Deny) -> bytes | Deny:
    if isinstance(out, Deny):
        x.decision = out
    elif x.bill is not None:
        x.bill.sent_bytes += len(out)
    return out
