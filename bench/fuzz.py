"""Mutated bodies through every preset: nothing crashes, nothing is slow, nothing is kept.

    python bench/fuzz.py [--bodies 100000] [--preset NAME]... [--check TYPE]...

Needs the package and the batteries in tests/.  Requests of a battery are made wrong at random (mutants.py beside them)
and go through all controls of a route with that preset, which reads, judges and cleans bodies.  Chance is seeded, so
that a run can be repeated.  Time is CPU time.  Memory is what the process holds at the end beyond what it held after a
tenth.  Exit code 1 if a control fails (what would be a 5xx), a request takes over 50 ms, or memory grows by 16 MiB.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.presets.batteries import BATTERIES, MAX_BYTES, compile_route, pass_through, seeds_of
from tests.presets.mutants import mutate

from vallum.core.decision import Allow
from vallum.presets import PRESETS

SLOW_S = 0.05
GROWTH_BYTES = 16 * 1024 * 1024
SEED = 20_261_123
FAILURE = 500


class Found(NamedTuple):
    """What a run found."""

    verdicts: Counter[str]
    slowest_s: float
    mean_s: float
    growth_bytes: int
    wrong: list[str]


def held_bytes() -> int:
    """Return the memory that this process holds, less what its allocator only keeps at hand."""
    gc.collect()
    with suppress(AttributeError, OSError):  # another library of C
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


def fuzz(preset: str, bodies: int, checks: list[str]) -> Found:
    """Send so many mutated bodies through a preset."""
    chance = random.Random(f"{SEED} {preset}")  # no secret is made
    seeds = seeds_of(preset)
    others = [body for body, _ in seeds]
    clean: dict[str, Any] = {"sanitize": {}} if PRESETS[preset].request.rewritable else {}
    engine = compile_route(preset, request=clean, checks=[{"type": check} for check in checks])
    verdicts, wrong, slowest_s, sum_s, before = Counter[str](), list[str](), 0.0, 0.0, 0
    for count in range(bodies):
        if count == bodies // 10:
            before = held_bytes()
        body, fields = mutate(chance, *chance.choice(seeds), others)
        body = body[:MAX_BYTES]
        began = time.process_time()
        try:
            decision: Any = pass_through(engine, fields, body).decision
        except Exception as error:  # noqa: BLE001  whatever it is, it must not be
            wrong.append(f"crash: {error!r}: {body[:200]!r}")
            continue
        spent_s = time.process_time() - began
        sum_s += spent_s
        slowest_s = max(slowest_s, spent_s)
        verdicts["allow" if isinstance(decision, Allow) else str(decision.reason)] += 1
        if not isinstance(decision, Allow) and decision.reason.status >= FAILURE:
            wrong.append(f"failure: {decision.control}: {decision.detail}: {body[:200]!r}")
        if spent_s > SLOW_S:
            wrong.append(f"slow: {spent_s * 1000:.0f} ms: {len(body)} bytes, {body[:200]!r}")
    growth = held_bytes() - before
    if growth > GROWTH_BYTES:
        wrong.append(f"memory grew by {growth >> 20} MiB")
    return Found(verdicts, slowest_s, sum_s / bodies, growth, wrong)


def main() -> int:
    """Fuzz the presets that are named, or every one that has a battery."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bodies", type=int, default=100_000, help="for each preset")
    parser.add_argument("--preset", choices=list(BATTERIES), action="append")
    parser.add_argument("--check", action="append", default=[], help="a check of texts to run besides, by its type")
    options = parser.parse_args()
    failed = False
    for preset in options.preset or BATTERIES:
        found = fuzz(preset, options.bodies, options.check)
        told = ", ".join(f"{count:,} {verdict}" for verdict, count in found.verdicts.most_common())
        print(
            f"{preset}: {told}; mean {found.mean_s * 1e6:.0f} us, slowest {found.slowest_s * 1000:.1f} ms;"
            f" memory {found.growth_bytes / 2**20:+.1f} MiB; {len(found.wrong)} wrong",
            flush=True,
        )
        for line in found.wrong[:5]:
            print(f"  {line}", file=sys.stderr, flush=True)
        failed = failed or bool(found.wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
