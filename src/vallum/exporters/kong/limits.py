"""Quotas as Kong's rate-limiting and response-ratelimiting, and counters as their Redis.

Rule: Kong runs one plugin of a name on a request, and it counts for one kind of caller.  So the first quota of a route
      says for whom; those for somebody else are left out, and named among the losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from vallum.core.policy import Mode
from vallum.core.quota import SECOND_US, OnStoreFailure, Per
from vallum.exporters.claims import PARTITIONS, STRATEGIES, UNITS, WINDOWS
from vallum.exporters.export import Answer
from vallum.exporters.features import Feature
from vallum.exporters.finding import Found
from vallum.exporters.kong.answers import KEPT, lost
from vallum.exporters.kong.notation import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.core.policy import Limit, Route
    from vallum.core.quota import Quota

PERIODS_US = {
    "second": SECOND_US,
    "minute": 60 * SECOND_US,
    "hour": 3600 * SECOND_US,
    "day": 86_400 * SECOND_US,
    "month": 2_592_000 * SECOND_US,
}
PERIOD_OF = {window_us: name for name, window_us in PERIODS_US.items()}
LIMIT_BY = {
    Per.PRINCIPAL: "consumer",
    Per.KEY: "credential",
    Per.IP: "ip",
    Per.ROUTE: "service",  # a plugin on a route counts for that route, so a service is all callers of the route
    Per.GLOBAL: "service",
}
REPORTED_BY = {per: LIMIT_BY[per] for per in (Per.PRINCIPAL, Per.KEY, Per.IP)}
UNCOUNTED = frozenset(("bytes", "money", "concurrent"))
PASSWORD = "DECK_REDIS_PASSWORD"  # noqa: S105  the name of a variable

Special = dict[Found, Answer]


class Counters(NamedTuple):
    """How counting plugins share their counts: keys of their config."""

    config: dict[str, Any]
    lost: str = ""  # why they are not shared, though the policy says so
    has_password: bool = False


def read_counters(address: str | None) -> Counters:
    """Return the counters of Kong that are those of the policy, as far as its open-source plugins reach them."""
    if address is None or address.startswith(("memory:", "embedded:")):
        return Counters({"policy": "local"})
    url = urlsplit(address)
    if url.scheme not in {"redis", "rediss"} or not url.hostname:
        return Counters({"policy": "local"}, "Kong's open-source plugins know no Sentinel, Cluster or socket.")
    redis: dict[str, Any] = {"host": url.hostname, "port": url.port or 6379, "timeout": 2000}
    if url.username:
        redis["username"] = unquote(url.username)
    if url.password:
        redis["password"] = Reference("", PASSWORD)
    database = url.path.strip("/")
    redis["database"] = int(database) if database.isdecimal() else 0
    if url.scheme == "rediss":
        redis |= {"ssl": True, "ssl_verify": True, "server_name": url.hostname}
    return Counters({"policy": "redis", "redis": redis}, has_password=bool(url.password))


class Counted(NamedTuple):
    """A quota that Kong can count, and where it stands."""

    where: str
    quota: Quota
    period: str


def limit_route(route: Route, counters: Counters, special: Special) -> Iterator[dict[str, Any]]:
    """Return the plugins that hold the quotas of a route, and note in `special` what is left out."""
    counted = [
        one for one in (_counted(route, index, limit, special) for index, limit in enumerate(route.limits)) if one
    ]
    requests = [one for one in counted if one.quota.unit == "requests"]
    reported = [one for one in counted if one.quota.unit != "requests"]
    for name, by, several in (("rate-limiting", LIMIT_BY, requests), ("response-ratelimiting", REPORTED_BY, reported)):
        kept = _of_one_kind(several, by, special)
        if kept:
            config = _requests(kept, route.tariff.requests) if name == "rate-limiting" else _reported(kept)
            config |= {"limit_by": by[kept[0].quota.per], **counters.config}
            config["fault_tolerant"] = all(one.quota.on_store_failure is OnStoreFailure.ALLOW for one in kept)
            config["hide_client_headers"] = not route.shows_quotas
            if name == "rate-limiting":
                config["error_code"] = 429
                if counters.config["policy"] == "redis":
                    config["sync_rate"] = -1  # every request asks Redis
            else:
                config["block_on_first_violation"] = True  # before the service is asked
            yield {"name": name, "config": config}


def _counted(route: Route, index: int, limit: Limit, special: Special) -> Counted | None:
    quota, where = limit.quota, f"routes.{route.name}.quotas[{index}]"
    period = PERIOD_OF.get(quota.window_us)
    if limit.mode is Mode.SHADOW:
        _leave_out(quota, where, special, "It is in shadow, which Kong has not: the quota is left out.")
        return None
    if period is None or quota.unit in UNCOUNTED or quota.per is Per.TENANT:
        _leave_out(quota, where, special)
        return None
    special[Found(Feature.WINDOW_SPAN, where)] = KEPT  # 60 seconds are a minute
    if quota.months:
        special[Found(Feature.WINDOW_MONTH, where)] = KEPT  # the calendar's, here as there
    return Counted(where, quota, period)


def _leave_out(quota: Quota, where: str, special: Special, why: str = "") -> None:
    """Note that a quota is not in the export, once: by its unit, or else by what Kong lacks for it."""
    if quota.unit not in UNCOUNTED:
        special[Found(UNITS.get(quota.unit, Feature.QUOTA_NAMED), where)] = lost(why) if why else KEPT
    if quota.per is not Per.TENANT:
        special[Found(PARTITIONS[quota.per], where)] = KEPT
    for feature in (*STRATEGIES.values(), *WINDOWS.values()):
        special[Found(feature, where)] = KEPT


def _of_one_kind(several: list[Counted], by: dict[Per, str], special: Special) -> list[Counted]:
    """Return the quotas that count for whom the first of them counts."""
    kept: list[Counted] = []
    for one in several:
        if one.quota.per not in by:
            _leave_out(
                one.quota, one.where, special, "What a service counts, Kong counts for callers and addresses only."
            )
        elif kept and by[one.quota.per] != by[kept[0].quota.per]:
            whom = by[kept[0].quota.per]
            why = f"On one route Kong counts requests for one kind of caller; here by {whom}: the quota is left out."
            _leave_out(one.quota, one.where, special, why)
        else:
            kept.append(one)
    return kept


def _requests(kept: list[Counted], cost: int) -> dict[str, Any]:
    return _ordered([(one.period, one.quota.limit // cost) for one in kept])


def _reported(kept: list[Counted]) -> dict[str, Any]:
    units = dict.fromkeys(one.quota.unit for one in kept)
    limits = {
        unit: _ordered([(one.period, one.quota.limit) for one in kept if one.quota.unit == unit]) for unit in units
    }
    return {"limits": limits}


def _ordered(limits: list[tuple[str, int]]) -> dict[str, Any]:
    """Return limits by period, shortest first.  Where a longer period allows less, so does the shorter one in fact."""
    least: dict[str, int] = {}
    for period, limit in limits:
        least[period] = min(limit, least.get(period, limit))
    bound: int | None = None
    for period in reversed(PERIODS_US):
        if period in least:
            bound = least[period] if bound is None else min(bound, least[period])
            least[period] = bound
    return {period: least[period] for period in PERIODS_US if period in least}
