"""Quotas as Envoy's own buckets, where it does without Vallum.

A bucket of N that fills at N a window admits all that the policy admits, and up to twice as much in one window: it
refuses nobody too early.  Each Envoy counts alone, and forgets when it starts anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.policy import Mode
from vallum.core.quota import Per, Quota, Strategy
from vallum.exporters.envoy.types import seconds, typed
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from vallum.core.policy import Limit, Route

LIMITS = "vallum.limits"
CALLERS_MAX = 10_000  # buckets of one quota, the longest unused of which is forgotten
ADDRESS = {"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}
SHARED = {Per.ROUTE, Per.GLOBAL}
NOBODYS = {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "1s"}
WHOLE = {"numerator": 100, "denominator": "HUNDRED"}


def is_counted(limit: Limit) -> bool:
    """Say whether Envoy has a bucket for a quota."""
    quota = limit.quota
    kept = quota.unit == "requests" and quota.per is not Per.TENANT and limit.mode is Mode.ENFORCE
    return kept and quota.strategy in (Strategy.STRICT, Strategy.SMOOTH)


def route_limits(route: Route, caller: str | None, cost: int) -> dict[str, Any]:
    """Return the buckets of a route, for a door whose caller is named in a field, or only has an address."""
    limits = [limit.quota for limit in route.limits if is_counted(limit)]
    if not limits or route.mode is Mode.SHADOW:
        return {}
    hits = {"hits_addend": {"number": cost}} if cost > 1 else {}
    config = typed(
        "filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="limits",
        filter_enabled={"default_value": WHOLE},
        filter_enforced={"default_value": WHOLE},
        **({"enable_x_ratelimit_headers": "DRAFT_VERSION_03"} if route.shows_quotas else {}),
        token_bucket=Noted(NOBODYS, "of requests that none of the buckets below would count: there are none"),
        always_consume_default_token_bucket=False,
        max_dynamic_descriptors=CALLERS_MAX,
        rate_limits=[{"actions": [_name(route, quota), *_whose(quota, caller)], **hits} for quota in limits],
        descriptors=[_bucket(route, quota, caller) for quota in limits],
    )
    return {LIMITS: config}


def _name(route: Route, quota: Quota) -> dict[str, Any]:
    return {"generic_key": {"descriptor_key": "quota", "descriptor_value": f"{route.name}.{quota.name}"}}


def _whose(quota: Quota, caller: str | None) -> list[dict[str, Any]]:
    if quota.per in SHARED:
        return []
    if quota.per is Per.IP or caller is None:
        return [ADDRESS]
    return [{"request_headers": {"header_name": caller, "descriptor_key": "caller"}}]


def _bucket(route: Route, quota: Quota, caller: str | None) -> Noted:
    entries: list[dict[str, Any]] = [{"key": "quota", "value": f"{route.name}.{quota.name}"}]
    if quota.per not in SHARED:
        by_address = quota.per is Per.IP or caller is None
        entries.append({"key": "masked_remote_address" if by_address else "caller"})
    bucket = {
        "max_tokens": quota.most_at_once(quota.limit) + quota.credit,
        "tokens_per_fill": quota.limit,
        "fill_interval": seconds(quota.window_us / 1_000_000),
    }
    return Noted({"entries": entries, "token_bucket": bucket}, f"{quota.limit} requests per {quota.window_s} s")
