"""The scripts that count in Redis or Valkey, what they are sent and what their answers mean.  Pure: no connection.

One call takes from all buckets of one holder, atomically, by the server's own clock.  The arithmetic is the core's: the
same numbers, in a hash for each bucket (a sorted set of leases) that expires when nothing in it counts any more.
"""

from __future__ import annotations

from functools import cache, lru_cache
from hashlib import blake2b, sha1
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from vallum.core.quota import MAX_UNITS, Strategy, answer
from vallum.core.smooth import burst_us, level_of, work_us
from vallum.core.windows import GRIDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.core.quota import Demand, Level, Taken

KINDS = {Strategy.STRICT: "w", Strategy.CALENDAR: "w", Strategy.SMOOTH: "s", Strategy.LEASES: "l"}
NAMES_KEPT = 16_384  # keys' names that are kept ready


class Script(NamedTuple):
    """A Lua script and the digest by which EVALSHA names it."""

    name: str
    text: str
    sha1: str


class Call(NamedTuple):
    """One EVALSHA: the script, its keys (all in one slot if the demands have one holder) and its arguments."""

    script: Script
    keys: tuple[str, ...]
    args: tuple[str | int, ...]


@cache
def script(name: str) -> Script:
    """Return the script `take`, `settle` or `renew`."""
    folder = files("vallum.stores.redis")
    text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("buckets", name))
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


@lru_cache(NAMES_KEPT)
def key_name(holder: str, key: str) -> str:
    """Name a bucket's key: of one length, without a caller's words, on the cluster node of its holder."""
    tag, rest = (blake2b(text.encode(), digest_size=size).hexdigest() for text, size in ((holder, 8), (key, 16)))
    return f"vlm:{{{tag}}}:{rest}"


def encode_take(demands: tuple[Demand, ...], id: str = "", now_us: int | None = None) -> Call:
    """Ask for all these demands, or none.  `now_us` takes the place of the server's clock in tests.

    Raises ValueError where a lease has no id.
    """
    if not id and any(demand.quota.strategy is Strategy.LEASES for demand in demands):
        raise ValueError("a lease needs an id, to be settled by")
    return _call("take", demands, id, now_us)


def decode_taken(demands: tuple[Demand, ...], reply: Sequence[int]) -> Taken:
    """Read the answer to `encode_take`."""
    levels = tuple([_level(demand, reply, 1 + 3 * index) for index, demand in enumerate(demands)])
    return answer(demands, levels, list(reply[3::3]))


def encode_settle(demands: tuple[Demand, ...], id: str, now_us: int | None = None) -> Call:
    """Put the demands' costs in the place of what was reserved under `id`.  Its answer says nothing."""
    return _call("settle", demands, id, now_us)


def encode_renew(demands: tuple[Demand, ...], id: str, now_us: int | None = None) -> Call | None:
    """Keep the leases under `id`; None if none of the demands is a lease.  Its answer says nothing."""
    leases = tuple(demand for demand in demands if demand.quota.strategy is Strategy.LEASES)
    return _call("renew", leases, id, now_us) if leases else None


def _call(name: str, demands: tuple[Demand, ...], id: str, now_us: int | None) -> Call:
    args: list[str | int] = ["" if now_us is None else now_us, id]
    for demand in demands:
        args += _arguments(demand)
    return Call(script(name), tuple([key_name(demand.holder, demand.key) for demand in demands]), tuple(args))


def _arguments(demand: Demand) -> tuple[str | int, ...]:
    """Write one demand's seven arguments: kind, cost, limit, window, sub-windows, kept, months."""
    quota = demand.quota
    kind = KINDS[quota.strategy]
    if kind == "s":
        return kind, work_us(demand), burst_us(demand), quota.window_us, 0, 0, 0
    parts, kept = GRIDS.get(quota.strategy, (0, 0))
    return kind, min(demand.cost, 4 * MAX_UNITS), demand.in_force, quota.window_us, parts, kept, quota.months


def _level(demand: Demand, reply: Sequence[int], at: int) -> Level:
    """Read one demand's numbers: used and until more comes back; of smooth its time, and when its work is done."""
    if demand.quota.strategy is Strategy.SMOOTH:
        return level_of(demand, reply[0], reply[at], reply[at + 1])
    return demand.quota, max(0, demand.in_force - reply[at]), reply[at + 1]
