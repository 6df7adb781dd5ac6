"""How near the leak meter comes to a copy that is trained apart, from natural queries: the same answers go to both.

    PYTHONPATH=src:. python -m bench.extraction.meter                      # two worlds, three seeds: minutes
    PYTHONPATH=src:. python -m bench.extraction.meter --world table --seeds 101 102

Two honest weeks tell the meter what established accounts ask; then a hundred new accounts ask natural inputs, and the
thief trains networks of the victim's shape on all answers, as in the cells.  Both are tested on what established
accounts ask in a third week, the meter on what it kept of theirs.  The meter keeps 4,096 answers: beyond, it follows
its curve.
"""

from __future__ import annotations

import argparse
import os
from itertools import pairwise

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is there

import numpy as np
from bench.extraction.answers import read, say
from bench.extraction.learners import STUDENT_DECAY, Array, fit
from bench.extraction.population import START, Population
from bench.extraction.worlds import WORLDS, World, plain

from vallum.extraction import reference
from vallum.extraction.features.reader import KINDS, READERS
from vallum.extraction.leak_meter import LeakMeter

NEAR = 0.03
SIZES = (100, 300, 1000, 3000, 10_000)
ACCOUNTS, FORM, FITTED = 100, "round2", 2000
EVERY = 50  # answers, the meter may learn a lesson
COPIES = 3  # trained from other beginnings, and averaged: chance makes copies from few answers 2 points better or worse


def measure(name: str, seed: int) -> list[tuple[int, float | None, float]]:
    """Return for each number of answers what the meter says, and how good copies are."""
    world, secret = WORLDS[name](seed), seed.to_bytes(8, "big")
    users, rng = Population(world, seed), np.random.default_rng([seed, 21])
    weeks = [users.week(index) for index in range(3)]
    documents = world.documents(weeks[0].inputs[:FITTED])
    kind = KINDS[type(documents[0])]
    scale = reference.fit(np.array([READERS[kind](document) for document in documents]), np.zeros(0), secret)
    meter = LeakMeter(scale, secret, kind)
    for week in weeks[:2]:
        _tell(meter, world, week.inputs, [users.users.accounts[who].name for who in week.who.tolist()], trusted=True)
    last = weeks[2]
    old = np.array([users.kind(who, START) == "established" for who in last.who.tolist()])
    held = last.inputs[old]
    asked = plain(world, max(SIZES), rng)
    truth, classes = world.victim.classes(held), world.victim.probabilities(held[:1]).shape[1]
    found = []
    for begin, size in pairwise((0, *SIZES)):
        for start in range(begin, size, EVERY):
            names = [f"new-{number % ACCOUNTS}" for number in range(start, start + EVERY)]
            _tell(meter, world, asked[start : start + EVERY], names, trusted=False)
            meter.learn()
        targets = read(say(world.victim.probabilities(asked[:size]), FORM), classes)
        copies = [fit(asked[:size], targets, rng, hidden=world.hidden, decay=STUDENT_DECAY) for _ in range(COPIES)]
        leak = meter.estimate()
        good = float(np.mean([(copy.classes(held) == truth).mean() for copy in copies]))
        found.append((size, leak and leak.agreement, good))
    return found


def _tell(meter: LeakMeter, world: World, inputs: Array, names: list[str], *, trusted: bool) -> None:
    documents, answers = world.documents(inputs), say(world.victim.probabilities(inputs), FORM)
    for name, document, answer in zip(names, documents, answers, strict=True):
        meter.note(name, (document,), answer, trusted=trusted)


def main() -> None:
    """Print a line for each estimate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", nargs="+", default=["synth", "digits"], choices=sorted(WORLDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    near = known = 0
    print(f"{'world':8}{'seed':>5}{'answers':>9}{'meter':>8}{'copy':>8}{'apart':>8}")
    for world in options.world:
        for seed in options.seeds:
            for size, said, truth in measure(world, seed):
                apart = f"{said - truth:+8.3f}" if said is not None else f"{'':>8}"
                print(f"{world:8}{seed:5}{size:9,}{said or np.nan:8.3f}{truth:8.3f}{apart}", flush=True)
                known += 1
                near += said is not None and abs(said - truth) <= NEAR
    print(f"{near} of {known} within {100 * NEAR:g} points")


if __name__ == "__main__":
    main()
