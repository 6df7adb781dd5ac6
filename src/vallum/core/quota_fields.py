"""Header fields that say how the quotas stand.

`RateLimit` and `RateLimit-Policy` are the IETF draft's (draft-ietf-httpapi-ratelimit-headers-10); `x-ratelimit-*` are
what OpenAI's clients read.  Buckets that others fill too are in neither: how they stand would show their load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.quota import SECOND_US, Per, Quota, Strategy, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.exchange import Fields

SHARED = frozenset({Per.GLOBAL, Per.ROUTE, Per.TENANT})
# Units that the draft registers; for others the parameter is left out, and the quota's name has to say it.
REGISTERED = {"bytes": ';qu="content-bytes"', "concurrent": ';qu="concurrent-requests"'}


def quota_writer(quotas: tuple[Quota, ...]) -> Callable[[Taken], Fields]:
    """Make the function that writes `RateLimit-Policy` and `RateLimit` for these quotas, in their order."""
    own = [index for index, quota in enumerate(quotas) if quota.per not in SHARED]
    policy = ", ".join(_policy(quotas[index]) for index in own)
    template = ", ".join(f'"{quotas[index].name}";r=%d;t=%d' for index in own)

    def write(taken: Taken) -> Fields:
        if not own:
            return ()
        standing: list[int] = []
        for index in own:
            _, remaining, reset_us = taken.levels[index]
            standing += (remaining, -(-reset_us // SECOND_US))
        return (("ratelimit-policy", policy), ("ratelimit", template % tuple(standing)))

    return write


def _policy(quota: Quota) -> str:
    window = "" if quota.strategy is Strategy.LEASES else f";w={quota.window_s}"
    return f'"{quota.name}";q={quota.limit}{window}{REGISTERED.get(quota.unit, "")}'


def openai_writer(quotas: tuple[Quota, ...]) -> Callable[[Taken], Fields]:
    """Make the function that writes OpenAI's fields beside: of requests and of tokens the shortest own window each."""
    write_standard = quota_writer(quotas)
    told: list[tuple[str, int, int]] = []
    for unit in ("requests", "tokens"):
        own = [(quota.window_us, index) for index, quota in enumerate(quotas) if _tells(quota, unit)]
        if own:
            index = min(own)[1]
            told.append((unit, index, quotas[index].limit))

    def write(taken: Taken) -> Fields:
        fields = list(write_standard(taken))
        for unit, index, limit in told:
            _, remaining, reset_us = taken.levels[index]
            fields += [
                (f"x-ratelimit-limit-{unit}", str(limit)),
                (f"x-ratelimit-remaining-{unit}", str(remaining)),
                (f"x-ratelimit-reset-{unit}", duration(reset_us)),
            ]
        return tuple(fields)

    return write


def _tells(quota: Quota, unit: str) -> bool:
    return quota.unit == unit and quota.per not in SHARED


def duration(span_us: int) -> str:
    """Write a span as Go does (`12ms`, `1s`, `6m0s`, `2h0m0s`), rounded up to milliseconds, or to seconds from 1 s."""
    ms = -(-span_us // 1000)
    if 0 < ms < 1000:
        return f"{ms}ms"
    minutes, seconds = divmod(-(-ms // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
