"""Quotas of requests as token buckets: usage plans for callers, method settings for routes.

AWS counts in token buckets, and each quota of the policy bounds one: with the rate R and the burst B, B + R * window
requests pass within a window at the most.  R is the lowest of all rates; B leaves a tenth of each limit (`strict`), as
much as the limit again (`calendar`, whose windows may meet), or is the quota's own (`smooth`).

Rule: where one bucket of the policy becomes several of AWS, each gets its share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.core.policy import Mode
from vallum.core.quota import Per, Strategy
from vallum.exporters.aws.access import needs_keys
from vallum.exporters.aws.notation import Ref
from vallum.exporters.export import Kind
from vallum.exporters.features import Feature
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.policy import Limit
    from vallum.core.quota import Quota
    from vallum.exporters.aws.routing import Entry, Operation
    from vallum.exporters.aws.template import Template

DAY_S = 86_400
PERIODS = {DAY_S: "DAY", 7 * DAY_S: "WEEK", 30 * DAY_S: "MONTH"}
CALLERS = frozenset((Per.PRINCIPAL, Per.KEY))
SHARED = frozenset((Per.ROUTE, Per.GLOBAL))
BEHIND = "Put Vallum behind the API: its quotas are exact."


class Bucket(NamedTuple):
    """A token bucket, as AWS counts."""

    rate: float  # a second
    burst: int

    def settings(self) -> dict[str, Any]:
        """Return it as a usage plan has it."""
        return {"RateLimit": self.rate, "BurstLimit": self.burst}


def enforced(entry: Entry, per: Iterable[Per]) -> list[tuple[str, Limit]]:
    """Return the quotas of requests of some partitions that refuse, each with its place in the policy."""
    if entry.route.mode is Mode.SHADOW:
        return []
    wanted = frozenset(per)
    return [
        (f"routes.{entry.config.name}.quotas[{index}]", limit)
        for index, limit in enumerate(entry.route.limits)
        if limit.quota.per in wanted and limit.quota.unit == "requests" and limit.mode is Mode.ENFORCE
    ]


def amount(quota: Quota, entry: Entry) -> int:
    """Return how many calls of a route a quota admits in a window."""
    return max(1, quota.limit // entry.config.cost)


def bucket(quotas: list[Quota], entry: Entry, share: int = 1) -> Bucket | None:
    """Return the bucket that all of these quotas allow, less long ones; None where there are none."""
    short = [quota for quota in quotas if quota.window_s < DAY_S]
    if not short:
        return None
    rate = min(amount(quota, entry) / quota.window_s for quota in short)
    burst = min(_slack(quota, amount(quota, entry), rate) for quota in short)
    return Bucket(max(round(rate / share, 6), 0.000001), max(1, int(burst / share)))


def _slack(quota: Quota, limit: int, rate: float) -> float:
    if quota.strategy is Strategy.SMOOTH and quota.burst is not None:
        return quota.burst
    most = 2 * limit if quota.strategy is Strategy.CALENDAR else limit + limit / 10
    return most - rate * quota.window_s


def shared_settings(template: Template, operations: list[Operation]) -> list[dict[str, Any]]:
    """Return the settings of methods whose route has a quota that its callers share."""
    settings: list[dict[str, Any]] = []
    for operation in operations:
        if operation.entry is None:
            continue
        listed = enforced(operation.entry, SHARED)
        share = max([_shares(operations, limit.quota) for _, limit in listed], default=1)
        found = bucket([limit.quota for _, limit in listed], operation.entry, share)
        _lose_long(template, listed)
        if found is not None:
            settings.append(
                {
                    "HttpMethod": operation.method,
                    "ResourcePath": "/" + operation.node.path.replace("/", "~1"),
                    "ThrottlingRateLimit": found.rate,
                    "ThrottlingBurstLimit": found.burst,
                }
            )
    return settings


def _shares(operations: list[Operation], quota: Quota) -> int:
    """Return how many methods a shared quota becomes."""
    return sum(
        operation.entry is not None and any(limit.quota == quota for limit in operation.entry.route.limits)
        for operation in operations
    )


def _lose_long(template: Template, listed: list[tuple[str, Limit]]) -> None:
    for where, limit in listed:
        if limit.quota.window_s >= DAY_S:
            detail = "windows of a day and more are for single callers only"
            template.lose(Feature.QUOTA_REQUESTS, where, detail, BEHIND, Kind.LOST)


def add_plan(template: Template, operations: list[Operation]) -> None:
    """Add the usage plan of callers who are counted apart, and a key to begin with."""
    metered = [one for one in operations if one.entry is not None and needs_keys(template, one.entry)]
    if not metered:
        return
    throttles: dict[str, Any] = {}
    long: list[tuple[str, int, int]] = []
    for operation in metered:
        assert operation.entry is not None
        entry = operation.entry
        listed = enforced(entry, CALLERS)
        share = sum(one.entry is entry for one in metered)
        found = bucket([limit.quota for _, limit in listed], entry, share)
        if found is not None:
            said = "; ".join([f"{where}: {limit.quota.limit} in {limit.quota.window_s} s" for where, limit in listed])
            per = "; ".join(dict.fromkeys([f"of each {limit.quota.per}" for _, limit in listed]))
            name = f"{operation.node.path or '/'}/{operation.method}"
            throttles[name] = Noted(found.settings(), f"{said}; {per}")
        long += [
            (where, amount(limit.quota, entry), limit.quota.window_s)
            for where, limit in listed
            if limit.quota.window_s >= DAY_S
        ]
    stage: dict[str, Any] = {"ApiId": Ref("Api"), "Stage": Ref("Stage")}
    if throttles:
        stage["Throttle"] = Noted(throttles, "Token buckets of each key; AWS calls them best effort.")
    properties: dict[str, Any] = {"ApiStages": [stage]}
    quota = _quota(template, list(dict.fromkeys(long)))
    if quota is not None:
        properties["Quota"] = Noted(quota, "Of each key, over all methods of the plan.")
    template.add("Plan", "AWS::ApiGateway::UsagePlan", properties)
    template.add(
        "FirstKey", "AWS::ApiGateway::ApiKey", {"Enabled": True}, "A key, whose value AWS makes: one for each caller."
    )
    joined = {"KeyId": Ref("FirstKey"), "KeyType": "API_KEY", "UsagePlanId": Ref("Plan")}
    template.add("FirstKeyInPlan", "AWS::ApiGateway::UsagePlanKey", joined)


def _quota(template: Template, long: list[tuple[str, int, int]]) -> dict[str, Any] | None:
    """Return the one quota that a plan can have: of all the one that allows least in the long run."""
    if not long:
        return None
    kept = min(long, key=lambda one: one[1] / one[2])
    for where, _, _ in long:
        if where != kept[0]:
            detail = f"a usage plan has one quota, over all its methods: that of {kept[0]}"
            template.lose(Feature.QUOTA_REQUESTS, where, detail, BEHIND, Kind.LOST)
    period = max(seconds for seconds in PERIODS if seconds <= kept[2])
    return {"Limit": max(1, kept[1] * period // kept[2]), "Period": PERIODS[period]}
