"""Burst credit: quota that was not used is kept, up to a cap, and may be spent above the limit later.

The promise of a strict quota with credit C: **never more than N + C in any span of the window's length**, and over a
long time never more than N a window, plus N + C once.  In every window the credit grows by what was left of N; while
more than N is in use it shrinks by the excess.  Who is not known yet has none, so that forgetting an account gives
nothing away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vallum.core.windows import SUB_WINDOWS

if TYPE_CHECKING:
    from vallum.core.quota import Quota


class Account(NamedTuple):
    """The credit of one bucket at `at_us`, and what of the quota was in use then."""

    at_us: int
    units: float
    used: int


def accrue(account: Account, quota: Quota, now_us: int) -> Account:
    """Return the account at `now_us`.  What was in use counts as such for as long as a strict quota counts it."""
    elapsed_us = max(0, now_us - account.at_us)
    in_use_us = min(elapsed_us, quota.window_us + quota.window_us // SUB_WINDOWS)
    earned = (quota.limit * elapsed_us - account.used * in_use_us) / quota.window_us
    units = min(float(quota.credit), max(0.0, account.units + earned))
    return Account(max(now_us, account.at_us), units, account.used)
