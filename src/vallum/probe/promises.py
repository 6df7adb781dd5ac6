"""What should hold at the endpoint: read from its policy, or from what it says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vallum.checks.sqli import Sqli
from vallum.core.policy import Mode
from vallum.core.quota import SECOND_US, Per, Strategy

if TYPE_CHECKING:
    from vallum.config.model import Config
    from vallum.core.policy import Policy
    from vallum.probe.wire import Answer

OWN = (Per.PRINCIPAL, Per.KEY)
MEMBER = re.compile(r'"?([\w.-]+)"?\s*;\s*(?:[^,]*?;)?\s*q=(\d+)(?:[^,]*?;\s*w=(\d+))?')

EPOCH = 1_000_000_000  # from here on a number of seconds is a moment


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests of one caller in any window of so many seconds."""

    count: int
    window_s: float
    rolling: bool = True  # in any span of that length, not only in aligned ones


@dataclass(frozen=True, slots=True)
class Promises:
    """What is promised.  None: nothing is known, and the endpoint is held to what is usual."""

    source: str = ""  # "the policy" or "its own header fields"; nothing: nobody said
    limits: tuple[Limit, ...] = ()  # the shortest window first
    at_once: int | None = None
    checks: frozenset[str] | None = None
    sql_in_prompts: bool = True  # where there is `sqli`: whether it searches what is said to the model
    max_bytes: int | None = None
    max_depth: int | None = None

    @property
    def limit(self) -> Limit | None:
        """The limit with the shortest window: the one that can be verified soon."""
        return self.limits[0] if self.limits else None


def read_promises(config: Config, policy: Policy, method: str, path: str) -> Promises:
    """Return what a policy promises on one path.  Raises ValueError where no route is there."""
    route = policy.find_route(method, path)
    if route is None:
        raise ValueError(f"the policy has no route for {method} {path}")
    cost = next((one.cost for one in config.routes if one.name == route.name), 1)
    enforced = [limit.quota for limit in route.limits if limit.mode is Mode.ENFORCE and route.mode is Mode.ENFORCE]
    windows = [
        Limit(quota.limit // cost, quota.window_us / SECOND_US, quota.strategy is Strategy.STRICT)
        for quota in enforced
        if quota.unit == "requests"
        and quota.per in OWN
        and quota.strategy in (Strategy.STRICT, Strategy.CALENDAR)
        and not quota.credit
    ]
    checks = [guard.check for guard in route.intake.checks if guard.mode is Mode.ENFORCE]
    searches = [check.config for check in checks if isinstance(check, Sqli)]
    return Promises(
        source="the policy",
        limits=tuple(sorted(windows, key=lambda limit: limit.window_s)),
        at_once=min((quota.limit for quota in enforced if quota.strategy is Strategy.LEASES), default=None),
        checks=frozenset(check.type for check in checks),
        sql_in_prompts=route.intake.passages is None or any(config.prompts == "search" for config in searches),
        max_bytes=route.intake.max_bytes,
        max_depth=route.intake.max_depth if route.intake.codecs else None,
    )


def overhear(answer: Answer) -> Promises:
    """Return what an answer's own fields promise (draft-ietf-httpapi-ratelimit-headers, x-ratelimit-*)."""
    limits = [
        Limit(int(count), float(window or 60))
        for name, count, window in MEMBER.findall(answer.get("ratelimit-policy"))
        if "token" not in name and window
    ]
    usual = answer.get("x-ratelimit-limit")
    if not limits and usual.isdigit():
        reset = answer.get("x-ratelimit-reset")
        if not reset.isdigit() or int(reset) >= EPOCH:  # a moment, not a span: Flask-Limiter says the span beside it
            reset = answer.get("retry-after")
        window_s = float(reset) if reset.isdigit() else 60.0
        limits = [Limit(int(usual), max(1.0, window_s))]
    limits = [limit for limit in limits if limit.count > 0]
    source = "its own header fields" if limits else ""
    return Promises(source, tuple(sorted(limits, key=lambda limit: limit.window_s)))
