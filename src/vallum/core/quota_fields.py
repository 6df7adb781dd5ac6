"""Header fields that a policy's answers carry: how the quotas stand (draft-ietf-httpapi-ratelimit-headers-10)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from vallum.core.quota import SECOND_US, Per, Quota, Taken

if TYPE_CHECKING:
    from vallum.core.exchange import Fields


def quota_fields(taken: Taken | None) -> Fields:
    """Return `RateLimit-Policy` and `RateLimit`; nothing of what other callers' load would show in."""
    if taken is None:
        return ()
    levels = [level for level in taken.levels if _is_own(level.quota)]
    if not levels:
        return ()
    standing = ", ".join(
        [f'"{quota.name}";r={remaining};t={-(-reset_us // SECOND_US)}' for quota, remaining, reset_us in levels]
    )
    return (("ratelimit-policy", _policy(tuple([level.quota for level in levels]))), ("ratelimit", standing))


def _is_own(quota: Quota) -> bool:
    return quota.per not in (Per.GLOBAL, Per.ROUTE, Per.TENANT)


@lru_cache(maxsize=1024)
def _policy(quotas: tuple[Quota, ...]) -> str:
    return ", ".join(f'"{quota.name}";q={quota.limit};w={quota.window_s}' for quota in quotas)
