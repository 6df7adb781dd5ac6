"""Header fields that say how the quotas stand (draft-ietf-httpapi-ratelimit-headers-10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.quota import SECOND_US, Per, Quota, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.exchange import Fields

# Buckets that others fill too: how they stand would show their load.
SHARED = frozenset({Per.GLOBAL, Per.ROUTE, Per.TENANT})


def quota_writer(quotas: tuple[Quota, ...]) -> Callable[[Taken], Fields]:
    """Make the function that writes `RateLimit-Policy` and `RateLimit` for these quotas, in their order."""
    own = [index for index, quota in enumerate(quotas) if quota.per not in SHARED]
    policy = ", ".join(f'"{quotas[i].name}";q={quotas[i].limit};w={quotas[i].window_s}' for i in own)
    template = ", ".join(f'"{quotas[i].name}";r=%d;t=%d' for i in own)

    def write(taken: Taken) -> Fields:
        if not own:
            return ()
        standing: list[int] = []
        for index in own:
            _, remaining, reset_us = taken.levels[index]
            standing += (remaining, -(-reset_us // SECOND_US))
        return (("ratelimit-policy", policy), ("ratelimit", template % tuple(standing)))

    return write
