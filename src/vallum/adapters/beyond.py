"""What a policy says that is beyond a proxy which only asks whether a request may pass.

Rule: a route that says such a thing is refused to whoever asks about it, unless the operator has accepted the loss by
its name.  What is lost without a promise being broken (header fields of answers, the text of upstreams' failures, room
at an upstream) is said at the start, and in docs/envoy.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from vallum.core.cost import ANSWERS, COSTS
from vallum.core.policy import Mode
from vallum.core.protocols import Rewriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.core.exchange import Exchange
    from vallum.core.policy import Policy, Route

ASKED_USAGE = frozenset(
    {"stream_options"}
)  # members that are written for the sake of an answer which nobody reads here


class Beyond(StrEnum):
    """Something that cannot be done for a request that somebody else passes on."""

    ANSWERS = "answers"  # answers are read, and filtered
    REWRITES = "rewrites"  # bodies are passed on in another form than they came in
    CONCURRENCY = "concurrency"  # requests are counted as long as they last
    COSTS = "costs"  # the upstream says what an answer cost
    BODIES = "bodies"  # bodies are inspected, and the proxy does not pass them on


SAYS = {
    Beyond.ANSWERS: "its answers are filtered",
    Beyond.REWRITES: "its bodies may have to be passed on in another form",
    Beyond.CONCURRENCY: "a quota counts the requests at once",
    Beyond.COSTS: "a quota counts what the upstream says",
    Beyond.BODIES: "its bodies are inspected",
}


def find_beyond(route: Route) -> frozenset[Beyond]:
    """Return what a route may need that only a proxy of its own could do."""
    if route.mode is Mode.SHADOW or route.responder is not None:
        return frozenset()
    found = set()
    intake, units = route.intake, {limit.quota.unit for limit in route.limits if limit.mode is Mode.ENFORCE}
    if route.outlet.reads:
        found.add(Beyond.ANSWERS)
    if _may_rewrite(route):
        found.add(Beyond.REWRITES)
    if "concurrent" in units:
        found.add(Beyond.CONCURRENCY)
    if units - COSTS.keys():
        found.add(Beyond.COSTS)
    if intake.codecs:
        found.add(Beyond.BODIES)
    return frozenset(found)


def _may_rewrite(route: Route) -> bool:
    intake = route.intake
    cleans = intake.sanitiser is not None or (intake.images is not None and intake.images_mode is Mode.ENFORCE)
    rewrites = any(isinstance(codec, Rewriter) for codec in intake.codecs.values())
    return cleans or rewrites or bool(intake.codings) or (route.meter is not None and route.output_bound is not None)


def meets(x: Exchange, route: Route, came: bytes, body: bytes) -> set[Beyond]:
    """Return what this one exchange, which the policy allows, needs beyond leave.

    `came` is the body as the proxy has it, `body` what the policy would pass on.
    """
    found: set[Beyond] = set()
    if route.mode is Mode.SHADOW:
        return found
    if route.outlet.reads or (x.coarsen and route.outlet.coarser):
        found.add(Beyond.ANSWERS)
    if body != came and not _only_asks_usage(x):
        found.add(Beyond.REWRITES)
    units = {demand.quota.unit for demand in x.bill.demands} - {ANSWERS} if x.bill is not None else set()
    if "concurrent" in units:
        found.add(Beyond.CONCURRENCY)
    if units - COSTS.keys():
        found.add(Beyond.COSTS)
    return found


def _only_asks_usage(x: Exchange) -> bool:
    rewritten = x.sanitised or isinstance(x.codec, Rewriter) or x.request.headers.get("content-encoding") is not None
    return not rewritten and bool(x.amended) and ASKED_USAGE.issuperset(x.amended)


def tell(policy: Policy, accepted: frozenset[Beyond], *, sees_bodies: bool = True) -> Iterator[str]:
    """Say of each route what is beyond a proxy that asks, and what becomes of its requests."""
    for route in policy.routes:
        needs = sorted(find_beyond(route) - (frozenset({Beyond.BODIES}) if sees_bodies else frozenset()))
        for need in needs:
            if need in accepted:
                yield f"route {route.name}: {SAYS[need]}: LOST, as accepted"
            elif need is Beyond.REWRITES:
                yield f"route {route.name}: {SAYS[need]}: those that would have to are refused (--accept-loss {need})"
            else:
                yield f"route {route.name}: {SAYS[need]}: all its requests are refused (--accept-loss {need})"
