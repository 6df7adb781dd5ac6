"""Thieves: what they ask, over which accounts, how fast, and the student they train on what they were answered.

A thief asks from many accounts in turn, at an even pace, honours what it is told to wait, solves the work it can pay
for, reads bands, rounded values and bare labels alike, and hides among natural requests where told to.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bench.extraction.answers import Answer, read
from bench.extraction.chat import Chat
from bench.extraction.learners import STUDENT_DECAY, Array, Model, Rng, fit
from bench.extraction.population import DAY_S, NEW_S, some_account
from bench.extraction.worlds import World, plain
from numpy.typing import NDArray

from vallum.core.extraction import Account

HOUR_S = 3600.0
THIEF = "thief"  # what its accounts are called
SEEDS = 60  # natural inputs that JBDA starts from
ROUND = 300  # queries between two trainings of who chooses by its student
STEP = 0.05  # of a number's range: how far JBDA goes along a slope
RENEWED = 5  # times as many accounts as it began with, at most
POOL = 6000  # natural inputs among which an active thief chooses
WAYS = ("jbda", "targeted", "random", "strange", "active", "natural", "questions", "template", "code", "sentences")


@dataclass(frozen=True)
class Plan:
    """How an attack goes about it."""

    way: str
    accounts: int = 100
    queries: int = 3000
    hours: float = 72.0
    camouflage: float = 0.0  # share of natural requests among them
    alternate: bool = False  # natural on one day, the attack on the next
    dormant: bool = False  # bought accounts, old and never used
    renews: bool = False  # leaves an account at the first sign that it is known, for one that it opens then
    most_bits: int = 24  # of a proof of work; beyond it, the thief gives an account up for the day
    cores: int = 8  # that solve


@dataclass
class Thief:
    """One attack under way."""

    plan: Plan
    world: World
    rng: Rng
    start: float
    name: str = THIEF
    accounts: list[Account] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)  # inputs that were answered
    heard: list[Answer] = field(default_factory=list)
    _waiting: deque[Any] = field(default_factory=deque)
    _base: list[Any] = field(default_factory=list)  # inputs that JBDA steps from

    def __post_init__(self) -> None:
        """Open the accounts, each of a network of its own."""
        for _ in range(self.plan.accounts):
            age_s = self.rng.uniform(100, 900) * DAY_S if self.plan.dormant else self.rng.random() * NEW_S * 0.9
            self.open_account(self.start - age_s)

    def open_account(self, created: float) -> int:
        """Open an account on a network of its own, and return its number."""
        number = len(self.accounts)
        network = f"172.{16 + number // 250}.{number % 250}.0/24"
        self.accounts.append(some_account(f"{self.name}-{number}", created, network, self.rng))
        return number

    def may_renew(self) -> bool:
        """Say whether it opens another account for one that is known."""
        return self.plan.renews and len(self.accounts) < RENEWED * self.plan.accounts

    @property
    def classes(self) -> int:
        """Return how many classes the victim tells apart."""
        return len(self.world.victim.weights[-1])

    def times(self) -> NDArray[np.float64]:
        """Return when it means to ask: evenly, with a little chance in each step."""
        step = self.plan.hours * HOUR_S / self.plan.queries
        return self.start + (np.arange(self.plan.queries) + self.rng.random(self.plan.queries)) * step

    def next_input(self, at: float) -> Any:
        """Return what to ask now."""
        day = int((at - self.start) / DAY_S)
        hiding = day % 2 == 0 if self.plan.alternate else self.rng.random() < self.plan.camouflage
        if hiding:
            return plain(self.world, 1, self.rng)[0]
        if not self._waiting:
            self._waiting.extend(self._think())
        return self._waiting.popleft()

    def put_back(self, row: Any) -> None:
        """Keep for later what was not answered."""
        self._waiting.appendleft(row)

    def hear(self, row: Any, answer: Answer) -> None:
        """Take an answer."""
        self.asked.append(row)
        self.heard.append(answer)

    def student(self, rng: Rng, count: int | None = None, steps: int = 3000) -> Model:
        """Train a student of the victim's architecture on the first `count` answers."""
        inputs = np.array(self.asked[:count], np.float32)
        targets = read(self.heard[:count], self.classes)
        return fit(inputs, targets, rng, hidden=self.world.hidden, steps=steps, decay=STUDENT_DECAY)

    def _think(self) -> Any:
        """Return the next inputs to ask about."""
        plan, world, rng = self.plan, self.world, self.rng
        if isinstance(world, Chat):
            return plain(world, ROUND, rng) if plan.way == "natural" else world.prompts(plan.way, plan.queries, rng)
        if plan.way == "random":
            return world.noise(ROUND, rng)
        if plan.way == "strange":
            return world.strange(ROUND, rng)
        if plan.way == "natural" or len(self.asked) < SEEDS:
            return self._begin()
        return self._doubt() if plan.way == "active" else self._step()

    def _begin(self) -> Array:
        """Ask about natural inputs, of all modes alike."""
        inputs = plain(self.world, SEEDS, self.rng)
        self._base = list(inputs)
        return inputs

    def _doubt(self) -> Array:
        """Ask about the natural inputs that the student is least sure of."""
        pool = plain(self.world, POOL, self.rng)
        top = np.sort(self.student(self.rng, steps=1000).probabilities(pool), axis=1)
        return pool[np.argsort(top[:, -1] - top[:, -2])[:ROUND]]

    def _step(self) -> Array:
        """Step from known inputs along the student's slopes, towards one of the next three classes (Juuti 2019)."""
        student = self.student(self.rng, steps=1000)
        base = np.array(self._base, np.float32)
        base = base[self.rng.choice(len(base), min(len(base), ROUND), replace=False)]
        order = np.argsort(-student.probabilities(base), axis=1)
        nexts = self.rng.integers(1, min(4, self.classes), size=len(base))
        wanted = order[np.arange(len(base)), nexts]
        for _ in range(3 if self.plan.way == "targeted" else 1):
            base = base + self.world.reach(STEP) * np.sign(student.slopes(base, wanted))
        self._base.extend(base)
        return base


def fidelity(thief: Thief, held: Array, rng: Rng, count: int | None = None) -> float:
    """Return how often the thief's student says what the victim says, on natural inputs that it never saw."""
    if len(thief.asked[:count]) < 2:
        return 1 / thief.classes
    student = thief.student(rng, count)
    return float((student.classes(held) == thief.world.victim.classes(held)).mean())
