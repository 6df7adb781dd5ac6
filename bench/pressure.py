"""What limits on an upstream's load are worth: a model server of 16 slots under twice its load, on a virtual clock.

    python bench/pressure.py [--plot docs/pictures/overload.svg]

Requests come at random (Poisson) at twice what the server can do.  It works on 16 at once, the others queue inside it,
unseen; an answer's first byte comes when its work begins.  Work is log-normal with sigma 1.2 and a mean of 1 s, as
long-tailed as the outputs of language models are, and three times as long from half time on.  The gate is the
gateway's own (`vallum.core.pressure`), only the clock is not.
"""

from __future__ import annotations

import argparse
import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from math import log
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from vallum.core.policy import Concurrency, Priority
from vallum.core.pressure import Place, Pressure

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.pressure import Ticket

SLOTS = 16
SIGMA = 1.2
FIRST_BYTE_S = 0.05
SPAN_S = 600.0
LONGER_AT_S = 300.0
LONGER = 3.0
OPEN = Concurrency(100_000, room=0)
RULES = {
    "no limit": OPEN,
    "fixed at 200": Concurrency(200, room=32, wait_s=1.0),
    "fixed at 20": Concurrency(20, room=32, wait_s=1.0),
    "adaptive, up to 200": Concurrency(200, 1, 0.5, room=32, wait_s=1.0),
}


@dataclass
class Outcome:
    """What a run came to."""

    began: list[tuple[float, float, float, Priority]] = field(default_factory=list)  # first byte, wait, work
    ended: list[float] = field(default_factory=list)
    shed: list[tuple[float, Priority]] = field(default_factory=list)
    arrived: dict[Priority, int] = field(default_factory=lambda: dict.fromkeys(Priority, 0))
    limits: list[tuple[float, float, int]] = field(default_factory=list)  # time, limit, queue inside the server

    def goodput(self, since: float, until: float) -> float:
        """Return answers a second that ended in the span."""
        return sum(since <= at < until for at in self.ended) / (until - since)

    def wait_s(self, since: float, until: float, share: float = 0.99, priority: Priority | None = None) -> float:
        """Return the wait for the first byte, from arrival, that this share of the served had at most."""
        waits = sorted(w for at, w, _, p in self.began if since <= at < until and priority in (None, p))
        return waits[int(len(waits) * share)] if waits else 0.0

    def served(self, priority: Priority) -> float:
        """Return the share of a class that was served."""
        return sum(p is priority for *_, p in self.began) / max(1, self.arrived[priority])


class Simulation:
    """One run."""

    def __init__(
        self,
        rule: Concurrency,
        *,
        load: float = 2.0,
        longer_at_s: float | None = LONGER_AT_S,
        span_s: float = SPAN_S,
        mix: tuple[int, int, int] = (0, 1, 0),
        seed: int = 1,
    ) -> None:
        """Prepare a run: `load` in parts of what the server can do, `mix` in parts of high, normal and low."""
        self.now = 0.0
        self.outcome = Outcome()
        self.pressure = Pressure(rule)
        self._rule = rule
        self._mix = mix
        self._rate = load * SLOTS
        self._longer_at_s = span_s if longer_at_s is None else longer_at_s
        self._span_s = span_s
        self._random = Random(seed)  # a run that can be repeated
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._working = 0
        self._queue: deque[tuple[Ticket, float, float]] = deque()

    def run(self) -> Outcome:
        """Run to the end."""
        self._at(0.0, self._arrive)
        self._at(0.0, self._look)
        while self._events:
            self.now, _, action = heapq.heappop(self._events)
            if self.now >= self._span_s:
                break
            action()
        return self.outcome

    def _at(self, time: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), action))

    def _look(self) -> None:
        self.outcome.limits.append((self.now, self.pressure.limit, len(self._queue)))
        self._at(self.now + 1.0, self._look)

    def _arrive(self) -> None:
        self._at(self.now + self._random.expovariate(self._rate), self._arrive)
        mean_s = LONGER if self.now >= self._longer_at_s else 1.0
        work_s = self._random.lognormvariate(log(mean_s) - SIGMA**2 / 2, SIGMA)
        priority = self._random.choices(list(Priority), self._mix)[0]
        self.outcome.arrived[priority] += 1
        ticket = self.pressure.arrive(self.now, priority)
        ticket.changed = lambda: self._change(ticket, work_s)
        if ticket.place is Place.WAITING:
            self._at(self.now + self._rule.wait_s, lambda: self._give_up(ticket))
        else:
            self._change(ticket, work_s)

    def _give_up(self, ticket: Ticket) -> None:
        if ticket.place is Place.WAITING:
            self.outcome.shed.append((self.now, ticket.priority))
            self.pressure.leave(ticket, self.now)

    def _change(self, ticket: Ticket, work_s: float) -> None:
        if ticket.place is Place.INSIDE:
            self._queue.append((ticket, self.now, work_s))
            self._work()
        else:
            self.outcome.shed.append((self.now, ticket.priority))

    def _work(self) -> None:
        while self._queue and self._working < SLOTS:
            ticket, _, work_s = self._queue.popleft()
            self._working += 1
            self._at(self.now + FIRST_BYTE_S, lambda ticket=ticket, work_s=work_s: self._begin(ticket, work_s))
            self._at(self.now + FIRST_BYTE_S + work_s, lambda ticket=ticket: self._end(ticket))

    def _begin(self, ticket: Ticket, work_s: float) -> None:
        self.outcome.began.append((self.now, self.now - ticket.arrived, work_s, ticket.priority))
        self.pressure.began(ticket, self.now - ticket.entered)

    def _end(self, ticket: Ticket) -> None:
        self._working -= 1
        self.outcome.ended.append(self.now)
        self.pressure.leave(ticket, self.now)
        self._work()


def main() -> None:
    """Print the table, and draw it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, help="file to draw into")
    options = parser.parse_args()
    outcomes = {name: Simulation(rule).run() for name, rule in RULES.items()}
    print(f"{'gate':22}{'answers/s':>10}{'p99 wait':>10}   {'answers/s':>10}{'p99 wait':>10}  after work is 3x longer")
    for name, one in outcomes.items():
        before = (one.goodput(30, LONGER_AT_S), one.wait_s(30, LONGER_AT_S))
        after = (one.goodput(LONGER_AT_S, SPAN_S), one.wait_s(LONGER_AT_S, SPAN_S))
        print(f"{name:22}{before[0]:10.1f}{before[1]:9.2f}s   {after[0]:10.1f}{after[1]:9.2f}s")
    mixed = Simulation(RULES["adaptive, up to 200"], longer_at_s=None, mix=(1, 2, 2)).run()
    print("\nadaptive, a mix of 20 % high, 40 % normal, 40 % low priority:")
    for priority in Priority:
        wait_s = mixed.wait_s(30, SPAN_S, priority=priority)
        print(f"{priority.name.lower():22}{mixed.served(priority):10.0%} served, p99 wait {wait_s:.2f}s")
    if options.plot is not None:
        draw(outcomes, options.plot)


def draw(outcomes: dict[str, Outcome], path: Path) -> None:
    """Draw the wait over time for every gate, and the adaptive limit."""
    import matplotlib as mpl  # only who draws needs it

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "vallum", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(7.5, 4.6), sharex=True, layout="constrained")
    for name, one in outcomes.items():
        if name == "no limit":
            continue
        spans = range(0, int(SPAN_S), 10)
        above.plot([*spans], [one.wait_s(at, at + 10, 0.95) for at in spans], label=name, linewidth=1.2)
    above.set(ylabel="wait for the first byte, p95, s", yscale="log", ylim=(0.03, 60))
    above.legend(loc="lower right", ncols=3, frameon=False)
    times, limits, queues = zip(*outcomes["adaptive, up to 200"].limits[::3], strict=True)
    below.plot(times, limits, label="adaptive limit", color="C2", linewidth=1.2)
    below.plot(times, queues, label="queue inside the server", color="0.6", linewidth=0.8)
    below.axhline(SLOTS, color="0.3", linewidth=0.6, linestyle=":")
    below.set(xlabel="seconds; work takes three times as long from 300 s on", ylabel="requests")
    below.legend(loc="upper right", ncols=2, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
