"""The figures of one cell and seed, and what becomes of them over seeds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from bench.extraction.population import DAY_S
from bench.extraction.thieves import HOUR_S
from bench.extraction.week import HASH_S, Tally, Trace

CONTAINED = 0.99  # of the accounts
REQUEST_S = 0.55e-3  # of a client's CPU: what a query costs who asks it with `requests`, without a proof of work
COURSE = 100  # steps of a raid that are kept
APART_S = DAY_S  # alarms nearer than that are one


@dataclass
class Side:
    """How a raid went under one defence."""

    answers: int = 0
    fidelity: float | None = None
    curve: dict[int, float] = field(default_factory=dict)  # fidelity by answers


@dataclass
class Figures:
    """What one cell gave with one seed; None: there is no such figure."""

    cell: str
    seed: int
    baseline: float | None = None  # fidelity without a query
    undefended: Side | None = None
    usual: Side | None = None
    watched: Side | None = None
    to_contain: int | None = None  # answers before 99 % of the accounts were contained; None: never
    contained_at_h: float | None = None  # hours from the raid's beginning
    a_day_after: float | None = None  # the most answers in any 24 hours after it
    held_after: float | None = None  # share of the accounts that stayed contained, on average
    clusters: int | None = None  # into which they fell, at the end
    named: float | None = None  # share of the accounts in a cluster at the end
    course: list[tuple[float, int, float, float]] = field(default_factory=list)  # hours, answers, contained, named
    alarm_h: float | None = None  # hours until the first alarm
    work: float | None = None  # times the price of an answer, for the thief
    honest: dict[str, dict[str, float]] = field(default_factory=dict)  # by kind: asked, and shares
    usual_honest: dict[str, dict[str, float]] = field(default_factory=dict)
    accused: dict[str, int] = field(default_factory=dict)  # honest accounts that a sweep named, by standing
    false_alarms: int | None = None
    weeks: int = 0
    noticed: float | None = None  # share of stolen accounts
    noticed_after: float | None = None  # queries, the middle one
    suspected: float | None = None  # share of the established accounts that nobody stole, in the week
    times_us: dict[str, dict[str, float]] = field(default_factory=dict)
    wall_s: float = 0.0

    def document(self) -> dict[str, Any]:
        """Return what goes into the file of results."""
        return asdict(self)


def shares(tallies: dict[str, Tally]) -> dict[str, dict[str, float]]:
    """Return shares by kind of user, and of all."""
    whole = Tally()
    for tally in tallies.values():
        for name in ("asked", "refused", "coarsened", "challenged", "hashes"):
            setattr(whole, name, getattr(whole, name) + getattr(tally, name))
    return {kind: _shares(tally) for kind, tally in sorted([*tallies.items(), ("all", whole)])}


def _shares(tally: Tally) -> dict[str, float]:
    asked = max(tally.asked, 1)
    return {
        "asked": tally.asked,
        "refused": tally.refused / asked,
        "coarsened": tally.coarsened / asked,
        "challenged": tally.challenged / asked,
        "price": 1 + tally.hashes * HASH_S / asked / REQUEST_S,
    }


def containment(figures: Figures, trace: Trace, start: float) -> None:
    """Fill in when the accounts were contained, and what was answered after."""
    held = next((hold for hold in trace.holds if hold.contained >= CONTAINED), None)
    last = trace.holds[-1] if trace.holds else None
    figures.named, figures.clusters = (last.named, last.clusters) if last else (0.0, 0)
    steps = trace.holds[:: max(1, len(trace.holds) // COURSE)]
    figures.course = [((hold.at - start) / HOUR_S, hold.answers, hold.contained, hold.named) for hold in steps]
    figures.alarm_h = next(((at - start) / HOUR_S for at, _ in trace.alarms if at >= start), None)
    answered = max(trace.thieves.asked - trace.thieves.refused, 1)
    figures.work = 1 + trace.thieves.hashes * HASH_S / answered / REQUEST_S
    if held is None:
        return
    at, figures.to_contain = held.at, held.answers
    figures.held_after = float(np.mean([hold.contained for hold in trace.holds if hold.at >= at]))
    figures.contained_at_h = (at - start) / HOUR_S
    after = [time for time in trace.times if time > at]
    figures.a_day_after = max((sum(0 <= b - a < DAY_S for b in after) for a in after), default=0)


def episodes(alarms: list[tuple[float, tuple[str, ...]]]) -> int:
    """Return how often there was an alarm: those within a day of the last are one."""
    times = [at for at, _ in alarms]
    return sum(index == 0 or at - times[index - 1] > APART_S for index, at in enumerate(times))


def times_us(trace: Trace) -> dict[str, dict[str, float]]:
    """Return what calls cost, at the middle and at the 99th percentile."""
    return {
        name: {
            "median": float(np.median(spent)) / 1e3,
            "p99": float(np.percentile(spent, 99)) / 1e3,
            "calls": len(spent),
        }
        for name, spent in trace.spent_ns.items()
        if spent
    }
