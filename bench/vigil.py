"""What it costs to share, to sweep and to keep a watch, in CPU time of the thread that pays.

python bench/vigil.py [accounts]
"""

from __future__ import annotations

import os
import resource
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `vallum` does

import numpy as np

from vallum.core.extraction import Account, Query
from vallum.extraction.shared_watch import SharedWatch

if TYPE_CHECKING:
    from collections.abc import Callable

T0, DAY_S = 1_700_000_000.0, 86_400.0
DIMENSIONS, HABITS, ROUNDS = 64, 8, 5
END = object()
CHANCE = np.random.default_rng(1)
CENTRES = CHANCE.normal(size=(HABITS, DIMENSIONS)) * 2


def query(number: int, at: float) -> Query:
    """Return a query of an account, nine in ten of which are established."""
    created = T0 - DAY_S * (40 if number % 10 else 3)
    network, agent = f"10.{number % 256}.{number % 7}", f"agent-{number % 5}"
    account = Account(f"subject\x1fuser-{number}", created, network, agent, f"{number % 20:08x}")
    row = CENTRES[number % HABITS] + CHANCE.normal(size=DIMENSIONS)
    return Query(account, at, (row.tolist(),), {"prediction": 1, "confidence": 0.9})


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the milliseconds of CPU that a call took, and what it returned."""
    began = time.thread_time()
    made = function()
    return (time.thread_time() - began) * 1e3, made


def show(what: str, where: str, times: list[float], more: str = "") -> None:
    """Print the median and the most of some times."""
    print(f"| {what} | {where} | {sorted(times)[len(times) // 2]:.2f} | {max(times):.2f} | {more} |")


def main(accounts: int) -> None:
    """Fill a watch, and do with it what a vigil does."""
    watch = SharedWatch(b"a secret of the bench", calibrate_s=0.0)
    for number in range(2_000):
        watch.note(query(number, T0 + number))
    watch.sweep(T0 + DAY_S)
    for number in range(accounts):
        watch.note(query(number, T0 + DAY_S + number / 10))
    print("| what | where | ms, median | ms, most | |\n| --- | --- | --- | --- | --- |")
    noting = [query(number % accounts, T0 + DAY_S + accounts / 10 + number / 10) for number in range(accounts)]
    show("a query is noted", "in the path", [timed(partial(watch.note, q))[0] for q in noting])
    taking, size = [], 0
    while True:
        took, pieces = timed(watch.take_notes)
        if not pieces:
            break
        taking.append(took)
        size += sum(map(len, pieces))
    show("48 accounts are handed in", "on the loop", taking, f"{size / accounts:.0f} bytes an account")
    now = noting[-1].at
    fitted, _ = timed(watch.begin_sweep(now))  # nothing is swept at the time
    show("what is usual is fitted, once a day", "aside", [fitted])
    sweeps = []
    for number in range(ROUNDS):
        began, find = timed(partial(watch.begin_sweep, now + number))
        searched, found = timed(find)
        steps = watch.end_sweep(found)
        ended = 0.0
        while (step := timed(partial(next, steps, END)))[1] is not END:
            ended = max(ended, step[0])
        sweeps.append((began, searched, max(ended, step[0])))
    columns = list(zip(*sweeps, strict=True))
    show("a sweep begins", "on the loop", list(columns[0]))
    show("a sweep", "aside", list(columns[1]))
    show("a step of its end", "on the loop", list(columns[2]))
    takes, writes, snapshot = [], [], b""
    for _ in range(ROUNDS):
        took, write = timed(watch.capture)
        wrote, snapshot = timed(write)
        takes.append(took)
        writes.append(wrote)
    show("a snapshot is taken", "on the loop", takes)
    show("it is written", "aside", writes, f"{len(snapshot) / accounts:.0f} bytes an account")
    read, unpacked = timed(lambda: watch.unpack(snapshot))
    show("it is read", "aside", [read])
    show("it is taken over", "on the loop", [timed(lambda: watch.restore(unpacked))[0]])
    watch.judgement(whole=False)
    judged, judgement = timed(lambda: watch.judgement(whole=False))
    show("a judgement is written", "on the loop", [judged], f"{len(judgement)} bytes")
    show("it is adopted", "on the loop", [timed(lambda: watch.adopt(watch.weigh(judgement)))[0]])
    print(f"\n{accounts} accounts; at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB in all")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
