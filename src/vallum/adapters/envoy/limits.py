"""The rate limit service (envoy.service.ratelimit.v3.RateLimitService): the quotas of a route, counted for Envoy.

What a descriptor's entries mean:

    route            name of a route of the policy: whose quotas are taken.  Every descriptor has it
    key              an API key or token as the caller sent it, looked up: counts for its subject, tenant and own quotas
    subject, tenant  who calls, where Envoy knows it itself: from a token's claims, from ext_authz's metadata
    remote_address   the caller's address
    unit             what is counted, `requests` without it; the cost is `hits_addend`

Rule 1: all descriptors are taken, or none.  Buckets are the ones that `vallum serve` fills for the same policy.
Rule 2: a descriptor that says too little, or names what the policy does not, is over its limit, unless the operator
        lets unknown ones pass.  So is one that cannot be counted, by the route's `on_error`.
Rule 3: a question that the policy knows is an exchange: it is recorded and counted as one, without a method or path.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from vallum.adapters.envoy import messages_pb2 as pb
from vallum.core import spending, stages
from vallum.core.address import within
from vallum.core.decision import Allow, Deny, Reason
from vallum.core.effects import TakeQuota, ask
from vallum.core.engine import describe
from vallum.core.exchange import NOBODY, Exchange, Headers, Request
from vallum.core.policy import Mode, OnError
from vallum.core.principal import Principal
from vallum.core.problem import MEDIA_TYPE, problem, problem_headers
from vallum.core.quota import SECOND_US, Demand, Per, Quota, Strategy, Taken
from vallum.core.quota_fields import quota_writer
from vallum.core.record import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vallum.adapters.asking import House
    from vallum.core.address import Network
    from vallum.core.policy import Route

log = logging.getLogger("vallum")

KEYS = frozenset(("route", "key", "subject", "tenant", "remote_address", "unit"))
DESCRIPTORS_MAX = 32
TOLD_MAX = 100  # kinds of unknown descriptors that are logged, once each
OK, OVER_LIMIT = pb.RateLimitResponse.OK, pb.RateLimitResponse.OVER_LIMIT
UNIT = pb.RateLimitResponse.RateLimit
UNITS = {1: UNIT.SECOND, 60: UNIT.MINUTE, 3600: UNIT.HOUR, 86_400: UNIT.DAY, 604_800: UNIT.WEEK}
NOT_MINE = Deny(Reason.QUOTA_EXCEEDED, "rate limit service", should_retry=False)


class UnknownError(Exception):
    """A descriptor that names nothing which could be counted; the words are for the log."""


class Asked(NamedTuple):
    """What one descriptor asks for: `demands` that are taken, and those that are only `tried`, in shadow.

    With a `refusal` nothing is.
    """

    x: Exchange
    route: Route
    demands: tuple[Demand, ...]
    tried: tuple[Demand, ...]
    refusal: Deny | None = None


class Limits:
    """Answers Envoy's questions about limits."""

    def __init__(
        self,
        house: House,
        now: Callable[[], float],
        new_id: Callable[[float], str],
        peers: Sequence[Network],
        *,
        passes_unknown: bool = False,
    ) -> None:
        """Count in the stores of `house`; only `peers` may ask."""
        self._house = house
        self._now = now
        self._new_id = new_id
        self._peers = peers
        self._passes_unknown = passes_unknown
        self._told: set[str] = set()

    async def judge(self, message: bytes, asker: str) -> bytes:
        """Answer one RateLimitRequest from `asker`, an address."""
        now = self._now()
        asked: list[Asked] = []
        try:
            if not within(asker, self._peers):
                raise UnknownError(f"{asker} asked and may not: it is not in trusted_proxies")
            request = pb.RateLimitRequest.FromString(message)
            if not 0 < len(request.descriptors) <= DESCRIPTORS_MAX:
                raise UnknownError(f"{len(request.descriptors)} descriptors")
            for descriptor in request.descriptors:
                hits = request.hits_addend or 1
                if descriptor.HasField("hits_addend"):
                    hits = descriptor.hits_addend.value
                asked.append(await self._read(descriptor, hits, now))
            answer = await self._take(asked, now)
        except (UnknownError, DecodeError) as error:
            answer = self._meet_unknown(error, asked, now)
        return answer.SerializeToString()

    def _meet_unknown(self, error: Exception, asked: list[Asked], now: float) -> pb.RateLimitResponse:
        words = str(error) if isinstance(error, UnknownError) else "a message that is none"
        if words not in self._told and len(self._told) < TOLD_MAX:
            self._told.add(words)
            log.warning("the rate limit service was asked what the policy does not say: %s", words)
        if self._passes_unknown and isinstance(error, UnknownError) and "may not" not in words:
            return pb.RateLimitResponse(overall_code=OK)
        return self._refuse(NOT_MINE, now)

    async def _read(self, descriptor: pb.RateLimitDescriptor, hits: int, now: float) -> Asked:
        """Find the quotas that one descriptor names, and the buckets of whom it names."""
        entries = {entry.key: entry.value.decode("latin-1") for entry in descriptor.entries}
        if len(entries) != len(descriptor.entries) or not KEYS.issuperset(entries):
            raise UnknownError(f"entries {sorted(entry.key for entry in descriptor.entries)}"[:200])
        name = entries.get("route", "")
        route = next((one for one in self._house.engine.policy.routes if one.name == name), None)
        if route is None:
            raise UnknownError(f"no route is called {name[:64]!r}")
        x, refusal = await self._identify(entries, route, now)
        unit = entries.get("unit", "requests")
        quotas = [limit.quota for limit in route.limits if limit.quota.unit == unit]
        own = [quota for quota in x.principal.quotas if quota.unit == unit]
        if any(quota.strategy is Strategy.LEASES for quota in (*quotas, *own)):
            raise UnknownError("requests at once: a rate limit service is not told when they end")
        if unit != "requests" and not quotas and not own:
            raise UnknownError(f"no quota of route {name} counts {unit[:40]!r}")
        if any(_is_nameless(quota, x) for quota in quotas):
            raise UnknownError(f"route {name} counts by caller, and nobody is named: key, subject or remote_address")
        cost = hits * route.tariff.requests if unit == "requests" else hits
        demands = [
            Demand(quota, spending.partition(quota, x, route), cost, None, spending.holder(quota, x))
            for quota in quotas
        ]
        demands += [Demand(one, spending.own_bucket(one, x.principal), cost, None, x.principal.subject) for one in own]
        shadowed = {limit.quota for limit in route.limits if Mode.SHADOW in (limit.mode, route.mode)}
        shadowed |= set(own) if route.mode is Mode.SHADOW else set()
        tried = tuple(demand for demand in demands if demand.quota in shadowed)
        taken = spending.narrow(tuple(demand for demand in demands if demand.quota not in shadowed), x.factor)
        return Asked(x, route, taken, tried, refusal)

    async def _identify(self, entries: dict[str, str], route: Route, now: float) -> tuple[Exchange, Deny | None]:
        """Say who is counted, and how that caller stands: a key is looked up, anything else is Envoy's word."""
        key = entries.get("key", "")
        name = "authorization" if " " in key else "x-api-key"
        headers = Headers([(name, key)] if key else ())
        request = Request(self._new_id(now), "", None, "", headers, entries.get("remote_address", ""), now)
        x = self._house.engine.open(request)
        x.route = route
        run = self._house.driver.run
        blocked: Deny | None = None
        try:
            if key:
                await run(stages.authenticate(x, route))  # who it does not know is counted by address
            elif entries.get("subject"):
                x.principal = Principal(entries["subject"], entries.get("tenant") or None)
            if route.throttle is not None:
                blocked = await run(stages.standing(x, route))
        except Exception as error:  # noqa: BLE001  whatever a store raises is met by `on_error`, as in the engine
            return x, self._fail(x, route, error)
        if blocked is not None and route.throttle is not None and Mode.SHADOW in (route.mode, route.throttle.mode):
            x.shadowed.append(blocked)
            blocked = None
        return x, blocked

    @staticmethod
    def _fail(x: Exchange, route: Route, error: Exception) -> Deny | None:
        detail = describe(error)
        x.unscanned.append(f"limits ({detail})")
        if route.on_error is OnError.ALLOW:
            return None
        return Deny(Reason.UNAVAILABLE, "rate limit service", detail, retry_after_s=1)

    async def _take(self, asked: list[Asked], now: float) -> pb.RateLimitResponse:
        """Take what all descriptors ask for, and record it as what becomes of the one that is refused, or the first."""
        began = self._house.clock()
        blocked = next((one for one in asked if one.refusal is not None), None)
        if blocked is not None and blocked.refusal is not None:
            met, refusal, answer = blocked, blocked.refusal, self._refuse(blocked.refusal, now)
        else:
            met, refusal, answer = await self._count(asked, now)
        met.x.decision = refusal or Allow(None)
        status = 200 if refusal is None else refusal.reason.status
        self._house.finish(met.x, status, Timing(self._house.clock() - began, 0.0), 0)
        return answer

    async def _count(self, asked: list[Asked], now: float) -> tuple[Asked, Deny | None, pb.RateLimitResponse]:
        demands = _merge([demand for one in asked for demand in one.demands])
        taken = Taken(())
        try:
            if demands:
                taken = await self._house.driver.run(ask(TakeQuota(demands)))
            if taken.refused is None:
                for one in asked:
                    await self._try(one)
        except Exception as error:  # noqa: BLE001  the same
            log.error("limits cannot be counted: %s", type(error).__name__)
            refusals = [(one, self._fail(one.x, one.route, error)) for one in asked]
            met, refusal = next((said for said in refusals if said[1] is not None), refusals[0])
            fine = pb.RateLimitResponse(overall_code=OK)
            return met, refusal, fine if refusal is None else self._refuse(NOT_MINE, now)
        if not demands:
            fine = pb.RateLimitResponse.DescriptorStatus(code=OK)
            return asked[0], None, pb.RateLimitResponse(overall_code=OK, statuses=[fine for _ in asked])
        refusal = None if taken.refused is None else _over(taken)
        answer = pb.RateLimitResponse(overall_code=OK) if refusal is None else self._refuse(refusal, now)
        fields = quota_writer(tuple(demand.quota for demand in demands))(taken)
        answer.response_headers_to_add.extend(_header(*field) for field in fields)
        standing = {demand.key: level for demand, level in zip(demands, taken.levels, strict=True)}
        answer.statuses.extend(_status(one, standing, taken) for one in asked)
        met = next((one for one in asked if any(demand.quota == taken.refused for demand in one.demands)), asked[0])
        met.x.taken = taken
        return met, refusal, answer

    async def _try(self, one: Asked) -> None:
        """Count in shadow, each quota by itself, and note what would have been refused."""
        for demand in one.tried:
            taken: Taken = await self._house.driver.run(ask(TakeQuota((demand,))))
            if taken.refused is not None:
                one.x.shadowed.append(_over(taken))

    def _refuse(self, refusal: Deny, now: float) -> pb.RateLimitResponse:
        answer = pb.RateLimitResponse(overall_code=OVER_LIMIT, raw_body=problem(refusal, self._new_id(now)))
        fields = [("content-type", MEDIA_TYPE), *problem_headers(refusal)]
        answer.response_headers_to_add.extend(_header(*field) for field in fields)
        return answer


def _merge(demands: list[Demand]) -> tuple[Demand, ...]:
    """Ask each bucket once, for all that is asked of it."""
    merged: dict[str, Demand] = {}
    for demand in demands:
        before = merged.get(demand.key)
        merged[demand.key] = demand if before is None else demand._replace(cost=demand.cost + before.cost)
    return tuple(merged.values())


def _is_nameless(quota: Quota, x: Exchange) -> bool:
    if quota.per in (Per.ROUTE, Per.GLOBAL):
        return False
    return not x.request.client and (quota.per is Per.IP or x.principal is NOBODY)


def _over(taken: Taken) -> Deny:
    assert taken.refused is not None
    control = f"quota:{taken.refused.name}"
    if taken.never:
        return Deny(Reason.QUOTA_EXCEEDED, control, "it will never fit", should_retry=False)
    wait_s = max(1, -(-taken.retry_after_us // SECOND_US))
    return Deny(Reason.QUOTA_EXCEEDED, control, "", wait_s, should_retry=wait_s <= 120)


def _status(
    asked: Asked, standing: dict[str, tuple[Quota, int, int]], taken: Taken
) -> pb.RateLimitResponse.DescriptorStatus:
    """Say how the tightest quota of a descriptor stands."""
    code, refused = OK, taken.refused
    levels = [standing[demand.key] for demand in asked.demands]
    if refused is not None and any(demand.quota == refused for demand in asked.demands):
        code = OVER_LIMIT
        levels = [level for level in levels if level[0] == refused]
    if not levels:
        return pb.RateLimitResponse.DescriptorStatus(code=code)
    quota, left, reset_us = min(levels, key=lambda level: level[1])
    if code == OVER_LIMIT:
        reset_us = taken.retry_after_us
    limit = pb.RateLimitResponse.RateLimit(
        requests_per_unit=min(quota.limit, 2**32 - 1), unit=UNITS.get(quota.window_s, UNIT.UNKNOWN), name=quota.name
    )
    return pb.RateLimitResponse.DescriptorStatus(
        code=code,
        current_limit=limit,
        limit_remaining=max(0, min(left, 2**32 - 1)),
        duration_until_reset=Duration(seconds=-(-reset_us // SECOND_US)),
    )


def _header(name: str, value: str) -> pb.HeaderValue:
    return pb.HeaderValue(key=name, value=value.encode())
