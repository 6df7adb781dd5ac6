"""Quotas as nginx's own: a fence before Vallum, which counts exactly.

`limit_req` with a burst of N - 1 that is not delayed admits all that the policy admits, and up to twice as much in one
window: it refuses nobody too early.  It knows nothing under a request a minute, so no hours and days.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from vallum.authenticators.anonymous import AnonymousConfig
from vallum.authenticators.mtls import MtlsConfig
from vallum.core.policy import Mode
from vallum.core.quota import Per, Quota, Strategy
from vallum.exporters.address import slug
from vallum.exporters.nginx.text import block, comment

if TYPE_CHECKING:
    from vallum.config.model import Config, RouteConfig
    from vallum.core.policy import Limit, Route

ZONE = "10m"  # about 80,000 callers at once; the longest unseen are forgotten
KEY, CERTIFICATE, ADDRESS = "$vallum_key", "$vallum_certificate", "$vallum_address"


class Fence(NamedTuple):
    """A limit: its zone, declared once, and what a route says of it."""

    zone: str
    rule: str


def find_fences(config: Config, route: Route, wanted: RouteConfig, name: str) -> list[Fence]:
    """Return the limits of a route that nginx can hold."""
    if route.mode is Mode.SHADOW:
        return []
    who = _caller(config, wanted)
    return [_fence(limit.quota, name, who, wanted.cost) for limit in route.limits if is_counted(limit)]


def is_counted(limit: Limit) -> bool:
    """Say whether nginx can hold a quota at all."""
    quota = limit.quota
    if limit.mode is not Mode.ENFORCE or quota.per is Per.TENANT:
        return False
    if quota.strategy is Strategy.LEASES:
        return True
    by_the_minute = quota.limit * 60 >= quota.window_s
    return quota.unit == "requests" and quota.strategy in (Strategy.STRICT, Strategy.SMOOTH) and by_the_minute


def callers() -> list[str]:
    """Return who is counted: by key or token, by certificate, by address; no secret is logged or sent on."""
    return [
        *comment("Whose requests are counted together.  An IPv6 network of 64 bits is one customer."),
        *block(
            f"map $remote_addr {ADDRESS}",
            [
                "default $remote_addr;",
                '"~^(?<vallum_net>[0-9a-f]+(?::[0-9a-f]+){3}):" v6-$vallum_net;',
                '"~^(?<vallum_net>[0-9a-f:]*?)::" v6-$vallum_net;',
            ],
        ),
        *block(
            "map $http_authorization $vallum_token",
            [f"default {ADDRESS};", '"~*^(?:Bearer|DPoP) +(?<vallum_secret>[^ ]+)$" $vallum_secret;'],
        ),
        *block(f"map $http_x_api_key {KEY}", ["default $http_x_api_key;", '"" $vallum_token;']),
        *block(f"map $ssl_client_fingerprint {CERTIFICATE}", ["default $ssl_client_fingerprint;", f'"" {KEY};']),
    ]


def _caller(config: Config, wanted: RouteConfig) -> str:
    kinds = {type(config.authenticators[name]) for name in wanted.auth.any_of}
    if kinds == {AnonymousConfig}:
        return ADDRESS
    return CERTIFICATE if MtlsConfig in kinds else KEY


def _fence(quota: Quota, name: str, caller: str, cost: int) -> Fence:
    by = {Per.IP: ADDRESS, Per.ROUTE: "$vallum_route", Per.GLOBAL: "$server_addr"}.get(quota.per, caller)
    owner = "all" if quota.per is Per.GLOBAL else name
    zone = f"vallum_{owner}_{slug(quota.name) if quota.name else 'at_once'}"
    if quota.strategy is Strategy.LEASES:
        return Fence(f"limit_conn_zone {by} zone={zone}:{ZONE};", f"limit_conn {zone} {quota.limit};")
    rate = ceil(quota.limit * 60 / (quota.window_s * cost))
    burst = (quota.most_at_once(quota.limit) + quota.credit) // cost - 1
    rule = f"limit_req zone={zone}" + (f" burst={burst} nodelay;" if burst > 0 else ";")
    return Fence(
        f"limit_req_zone {by} zone={zone}:{ZONE} rate={rate}r/m;", f"{rule}  # {quota.limit} per {quota.window_s} s"
    )
