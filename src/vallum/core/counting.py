"""Takes from several buckets at once: from all of them, or from none.

Pure: buckets, demands and a time in; changed buckets and an answer out.  A store holds the buckets and tells the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.leases import Leases
from vallum.core.quota import Strategy, Taken, answer
from vallum.core.smooth import Smooth
from vallum.core.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vallum.core.bucket import Bucket
    from vallum.core.quota import Demand, Quota

STATES: dict[Strategy, Callable[[Quota], Bucket]] = {
    Strategy.STRICT: Window,
    Strategy.CALENDAR: Window,
    Strategy.SMOOTH: Smooth,
    Strategy.LEASES: Leases,
}


def new_bucket(quota: Quota) -> Bucket:
    """Make an empty bucket for this quota."""
    return STATES[quota.strategy](quota)


def take(buckets: Sequence[Bucket], demands: tuple[Demand, ...], now_us: int, id: str = "") -> Taken:
    """Take every demand from its bucket, or none of them: a refusal costs nothing.

    With an `id` what is taken is a reservation, and is taken once however often it is asked for.
    """
    waits_us: list[int] = []
    fits = True
    for bucket, demand in zip(buckets, demands, strict=True):
        wait_us = bucket.wait_us(demand, id, now_us)
        waits_us.append(wait_us)
        if wait_us:
            fits = False
    if fits:
        return Taken(tuple([bucket.charge(demands[i], id, now_us) for i, bucket in enumerate(buckets)]))
    return answer(demands, tuple([bucket.level(demands[i], now_us) for i, bucket in enumerate(buckets)]), waits_us)


def settle(pairs: Iterable[tuple[Bucket, Demand]], now_us: int, id: str) -> None:
    """Put each demand's cost in the place of what was reserved under `id`; where nothing is, do nothing."""
    for bucket, demand in pairs:
        bucket.settle(demand, id, now_us)


def renew(pairs: Iterable[tuple[Bucket, Demand]], now_us: int, id: str) -> None:
    """Keep the leases under `id` for another while."""
    for bucket, demand in pairs:
        bucket.renew(demand, id, now_us)
