"""What "N per window" lets through, and what one decision costs, beside other ways to count.

    python bench/counting.py [--picture FILE.svg] [--store URL] [--json FILE]

Every way to count meets the same adversaries on a virtual clock; the judge is a sliding window over what was admitted.
Costs are CPU time of this process and, with `--store`, the time that the store itself reports, all in one run.
Needs the packages `limits` (the engine of Flask-Limiter) and, for the picture, `matplotlib`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from limits import RateLimitItemPerMinute, strategies
from limits.storage import MemoryStorage

from vallum.core.quota import SECOND_US, Demand, Quota, Strategy
from vallum.stores.memory import MemoryCounters

LIMIT = 100
WINDOW_S = 60
START_S = 1_800_000_000.0
Hit = Callable[[], bool]


@dataclass
class Clock:
    """A clock that is set by hand, in seconds."""

    now_s: float = START_S


@dataclass
class Contender:
    """One way to count: how a counter is made on a clock, and the worst that was found."""

    name: str
    make: Callable[[Clock], Hit]
    worst: int = 0
    schedule: str = ""
    admitted: list[float] = field(default_factory=list)
    flood_rate: float = 0.0
    cost_us: float = 0.0


# --- the ways to count


def vallum(strategy: Strategy, burst: int | None = None) -> Callable[[Clock], Hit]:
    """Count as the gateway does, in its own store in memory."""
    quota = Quota("minute", LIMIT, WINDOW_S * SECOND_US, strategy=strategy, burst=burst)

    def make(clock: Clock) -> Hit:
        counters = MemoryCounters(lambda: int(clock.now_s * SECOND_US))
        demands = (Demand(quota, "alice"),)

        def hit() -> bool:
            try:
                counters.take(demands).send(None)
            except StopIteration as done:  # the store in memory answers without waiting
                return done.value.refused is None
            raise RuntimeError("the store waited")

        return hit

    return make


def flask_limiter(kind: type[strategies.RateLimiter]) -> Callable[[Clock], Hit]:
    """Count with `limits`, the engine of Flask-Limiter."""
    item = RateLimitItemPerMinute(LIMIT)

    def make(_: Clock) -> Hit:
        limiter = kind(MemoryStorage())
        return lambda: limiter.hit(item, "alice")

    return make


def fixed_script(clock: Clock) -> Hit:
    """Count as the script that everybody writes first: INCR, and EXPIRE with the first hit."""
    state = {"count": 0, "until": 0.0}

    def hit() -> bool:
        if clock.now_s >= state["until"]:
            state.update(count=0, until=clock.now_s + WINDOW_S)
        state["count"] += 1
        return state["count"] <= LIMIT

    return hit


def contenders() -> list[Contender]:
    """List them, ours first."""
    return [
        Contender("Vallum strict", vallum(Strategy.STRICT)),
        Contender("Vallum smooth, burst 25", vallum(Strategy.SMOOTH, LIMIT // 4)),
        Contender("Vallum calendar", vallum(Strategy.CALENDAR)),
        Contender("limits: fixed window", flask_limiter(strategies.FixedWindowRateLimiter)),
        Contender("limits: sliding counter", flask_limiter(strategies.SlidingWindowCounterRateLimiter)),
        Contender("limits: moving window", flask_limiter(strategies.MovingWindowRateLimiter)),
        Contender("fixed-window script", fixed_script),
    ]


# --- the adversaries: each yields (seconds since the start, requests at that moment)

Schedule = Iterator[tuple[float, int]]


def probe_and_wait(wait_s: float) -> Schedule:
    """One request to start a window, all the rest just before it ends, and as many as possible from then on."""
    yield 0.0, 1
    yield wait_s, LIMIT
    for step in range(1, WINDOW_S * 4):
        yield wait_s + step / 4, LIMIT


def edges(offset_s: float) -> Schedule:
    """Full bursts on both sides of a minute's edge."""
    yield offset_s, LIMIT * 2
    yield offset_s + 1.5, LIMIT * 2
    for step in range(1, WINDOW_S):
        yield offset_s + 1.5 + step, LIMIT


def random_bursts(chance: random.Random) -> Schedule:
    """Bursts of any size at any moment, for five windows."""
    at_s = 0.0
    while at_s < WINDOW_S * 5:
        yield at_s, chance.choice((1, 5, 20, LIMIT, LIMIT * 2))
        at_s += chance.expovariate(1 / chance.choice((0.2, 2.0, 15.0)))


def schedules() -> Iterator[tuple[str, Schedule]]:
    """Yield every adversary, named."""
    for tenth in range(1, 12):
        wait_s = WINDOW_S * tenth / 10 - 0.5
        yield f"one probe, then a burst after {wait_s:g} s", probe_and_wait(wait_s)
    edge_s = WINDOW_S - START_S % WINDOW_S
    yield "bursts on both sides of the minute", edges(edge_s - 1)
    for seed in range(100):
        yield f"random bursts {seed}", random_bursts(random.Random(seed))  # an adversary that can be repeated


def attack(contender: Contender) -> None:
    """Let every adversary loose on `contender`, and keep the worst."""
    for name, schedule in schedules():
        clock = Clock()
        with patch("time.time", lambda clock=clock: clock.now_s):
            hit = contender.make(clock)
            admitted: list[float] = []
            for at_s, requests in schedule:
                clock.now_s = START_S + at_s
                admitted += [at_s] * sum(hit() for _ in range(requests))
        worst = most_in_window(admitted)
        if worst > contender.worst:
            contender.worst, contender.schedule, contender.admitted = worst, name, admitted


def most_in_window(times: list[float]) -> int:
    """Return the largest number of `times`, sorted, in any span shorter than the window."""
    return max((index + 1 - bisect_left(times, at - WINDOW_S + 1e-6) for index, at in enumerate(times)), default=0)


def flood(contender: Contender) -> None:
    """Ask ten times a second for ten windows, to see how much of the plan one who never stops gets."""
    clock = Clock()
    with patch("time.time", lambda: clock.now_s):
        hit = contender.make(clock)
        admitted = 0
        for step in range(WINDOW_S * 10 * 10):
            clock.now_s = START_S + step / 10
            admitted += hit()
    contender.flood_rate = admitted / (LIMIT * 10)


def time_decisions(contender: Contender, rounds: int = 5, hits: int = 4000) -> None:
    """Take the quickest of a few rounds of decisions, a few admitted and the rest refused, as a flood would be."""
    for _ in range(rounds):
        clock = Clock()
        hit = contender.make(clock)
        began = time.process_time_ns()
        for _ in range(hits):
            hit()
        cost_us = (time.process_time_ns() - began) / hits / 1000
        contender.cost_us = min(contender.cost_us or cost_us, cost_us)


# --- what is shown


def draw(found: list[Contender], file: Path) -> None:
    """Draw what was admitted within the last window, at every moment of each contender's worst case."""
    import matplotlib as mpl  # only the picture needs it

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "vallum", "svg.fonttype": "none", "path.simplify_threshold": 0.5})
    from matplotlib import pyplot as plt

    shown = [c for c in found if c.name in ("Vallum strict", "limits: sliding counter", "fixed-window script")]
    figure, axes = plt.subplots(1, len(shown), figsize=(9, 2.8), sharey=True, layout="constrained")
    for contender, axis in zip(shown, axes, strict=True):
        times, begin = contender.admitted, contender.admitted[0]
        level = [
            bisect_left(times, begin + second + 1e-9) - bisect_left(times, begin + second - WINDOW_S + 1e-6)
            for second in range(WINDOW_S * 4)
        ]
        turns = [n for n in range(WINDOW_S * 4) if n in (0, WINDOW_S * 4 - 1) or level[n - 1] != level[n]]
        colour = "#c0392b" if contender.worst > LIMIT else "#2e7d5b"
        axis.fill_between(turns, [level[n] for n in turns], color=colour, alpha=0.75, lw=0, step="post")
        axis.axhline(LIMIT, color="black", lw=1, ls="--")
        axis.set_title(f"{contender.name}: {contender.worst}", fontsize=10)
        axis.set_xlabel("seconds", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(f"admitted in the last {WINDOW_S} s", fontsize=8)
    figure.savefig(file, metadata={"Date": None})


def show(found: list[Contender]) -> None:
    """Print the table."""
    base = found[0].cost_us
    print(f"{LIMIT} per {WINDOW_S} s\n")
    print(f"{'':26}{'worst in any window':>20}{'flood gets':>12}{'us':>7}{'ratio':>7}   worst case")
    for c in found:
        print(
            f"{c.name:26}{c.worst:>13} {c.worst / LIMIT:>4.2f} N{c.flood_rate:>11.2f}{c.cost_us:>8.1f}"
            f"{c.cost_us / base:>7.2f}   {c.schedule}"
        )


def main() -> None:
    """Attack, time, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, metavar="FILE.svg")
    parser.add_argument("--store", metavar="URL", help="redis://host:port of a server to count on")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found = contenders()
    for contender in found:
        attack(contender)
        flood(contender)
        time_decisions(contender)
    show(found)
    if options.store is not None:
        import counting_store  # needs redis-py and a server

        counting_store.show(options.store)
    if options.picture is not None:
        draw(found, options.picture)
    if options.json is not None:
        rows: list[dict[str, Any]] = [
            {"name": c.name, "worst": c.worst, "flood_rate": c.flood_rate, "cost_us": c.cost_us} for c in found
        ]
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
