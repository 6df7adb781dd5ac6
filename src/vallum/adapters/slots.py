"""When a refusal leaves: in slots of a time after its arrival, so that nothing can be read from the clock.

Rule: a refusal whose time could tell what was found on the way, or what the upstream did, waits for its slot.
"""

from __future__ import annotations

import asyncio
from secrets import randbelow
from typing import TYPE_CHECKING

from vallum.core.decision import Challenge, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.decision import Refusal
    from vallum.core.exchange import Exchange

CHALLENGE_SLOT_S = 0.02  # every failed proof of identity leaves on a multiple of this after its arrival
# What a refusal's time could tell: which content was found, and when; what the upstream did until it failed.
TELLING = frozenset(
    (
        Reason.REQUEST_REJECTED,
        Reason.INSUFFICIENT_SCOPE,
        Reason.INTERNAL_ERROR,
        Reason.UPSTREAM_ERROR,
        Reason.UPSTREAM_TIMEOUT,
    )
)
TIMER_S, TIMERS_MAX = 0.001, 4  # how exact the loop's timers are, and how often one is set for a slot
TURNS_MAX = 100_000  # of the loop, whatever the clock says
CHANCES = 1_000_000  # moments of a slot that chance chooses from


def slot_of(x: Exchange, refusal: Refusal) -> float:
    """Return what a refusal's leaving is a multiple of, in seconds; 0: its time tells nothing."""
    if isinstance(refusal, Challenge):
        return CHALLENGE_SLOT_S
    route = x.route
    if route is None or not (x.called or route.responder is not None or refusal.reason in TELLING):
        return 0.0
    return route.outlet.failure_slot_s


async def wait_for_slot(clock: Callable[[], float], began: float, slot_s: float, *, exact: bool) -> float:
    """Wait for the next slot after `began`, the arrival; if `exact`, in it for the moment that chance chooses.

    Return the seconds until then.  How much was done before still moves when a busy machine lets us run: in all of a
    slot that drowns, as it would not in a millisecond.  The loop's timers are whole milliseconds from where the work
    before them ended, and would tell its fraction: so the last one or two are spent in turns with the loop's other
    work.  A failed proof of identity is the same little work whatever is wrong with it, and what floods bring: it gets
    timers alone.
    """
    passed_s = clock() - began
    due = began + (passed_s // slot_s + 1) * slot_s
    if exact:
        due += slot_s * randbelow(CHANCES) / CHANCES
    for _ in range(TIMERS_MAX):
        left_s = due - clock()
        if left_s <= (2 * TIMER_S if exact else 0.0):
            break
        await asyncio.sleep(max(left_s - TIMER_S if exact else left_s, TIMER_S))
    for _ in range(TURNS_MAX if exact else 0):
        if clock() >= due:
            break
        await asyncio.sleep(0)
    return due - began - passed_s
