"""Honest users over weeks: who they are, when they ask, and what about.

600 users whose volumes follow Pareto, with habits, styles, days, nights and sessions; a tenth of them younger than 14
days in any week, because as many come as go; one in six behind one network; one that asks 5,000 times a day, one that
asks 800 times in ten minutes.  A drift is one of `DRIFTS`; it lasts, and others may follow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from bench.extraction.learners import Array, Rng
from bench.extraction.worlds import STYLES, World
from numpy.typing import NDArray

from vallum.core.extraction import Account

START = 1_699_833_600.0  # a Monday, 0:00 UTC
DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
NEW_S = 14 * DAY_S  # an account younger than that is new

USERS, COMERS = 600, 30  # at any time; those that come, and go, in a week
HEAVY_A_DAY, BURST, BURST_S = 5000, 800, 600.0
SHARED = 1 / 6  # behind one network
LAUNCHED, BRANCHES = 150, 40
AGENTS = ("python-requests", "python-httpx", "openai-python", "okhttp", "axios", "go-http-client", "curl", "node-fetch")
DRIFTS = ("none", "classes", "brightness", "launch", "integration")


class Events(NamedTuple):
    """What honest users ask within a span, in order of time; row i of every array is one request."""

    at: NDArray[np.float64]
    who: NDArray[np.int64]
    inputs: Array


@dataclass
class Users:
    """Row i of every list and array is one user."""

    accounts: list[Account] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)  # usual, heavy, bursty, launch, integration
    since: list[float] = field(default_factory=list)
    until: list[float] = field(default_factory=list)
    volumes: list[float] = field(default_factory=list)  # requests a week
    habits: list[Array] = field(default_factory=list)  # how often each mode
    styles: list[Array] = field(default_factory=list)
    hours: list[float] = field(default_factory=list)  # of the day, around which it asks

    def __len__(self) -> int:
        """Return how many there are, come and gone."""
        return len(self.accounts)


def some_account(name: str, created: float, network: str, rng: Rng, *, tenant: str | None = None) -> Account:
    """Return an account with a client as they are about, honest and not."""
    chances = 1 / np.arange(1, len(AGENTS) + 1)
    agent = int(rng.choice(len(AGENTS), p=chances / chances.sum()))
    return Account(name, created, network, AGENTS[agent], f"{AGENTS[agent]}/{rng.integers(3)}", tenant)


class Population:
    """All honest users of a route."""

    def __init__(self, world: World, seed: int, heavy: float = 1.0) -> None:
        """Make the first users; who asks most asks `heavy` times `HEAVY_A_DAY`."""
        self.world = world
        self._heavy_a_day = HEAVY_A_DAY * heavy
        self.users = Users()
        self._rng = np.random.default_rng([seed, 77])
        self._since = dict.fromkeys(DRIFTS, np.inf)
        self._common = self._rng.dirichlet(np.full(world.modes, 4.0))
        for _ in range(USERS):
            age_s = (
                self._rng.exponential(300 * DAY_S) + NEW_S if self._rng.random() > 0.1 else self._rng.random() * NEW_S
            )
            self._join(START - age_s, START)
        self._join(START - 700 * DAY_S, START, kind="heavy")
        self._join(START - 400 * DAY_S, START, kind="bursty")

    def change(self, drift: str, week: int) -> None:
        """Let the world change on the third day of a week to come."""
        at = self._since[drift] = START + week * WEEK_S + 2 * DAY_S
        if drift == "launch":
            self._launch(at)
        if drift == "integration":
            self._integrate(at)

    def _join(self, created: float, since: float, *, kind: str = "usual") -> int:
        users, rng, number = self.users, self._rng, len(self.users)
        network = "198.51.100.0/24" if rng.random() < SHARED else f"10.{number // 250}.{number % 250}.0/24"
        account = some_account(f"user-{number}", created, network, rng)
        if created < START - NEW_S and rng.random() < 0.3:
            account = account._replace(verified=True)
        volume = {"heavy": 7.0 * self._heavy_a_day, "bursty": 1.5 * BURST}.get(
            kind, min(8 * (1 + rng.pareto(1.3)), 1500)
        )
        own = rng.dirichlet(np.full(self.world.modes, 0.3) * self._common * self.world.modes)
        users.accounts.append(account)
        users.kinds.append(kind)
        users.since.append(since)
        users.until.append(np.inf)
        users.volumes.append(volume)
        users.habits.append((0.75 * own + 0.25 * self._common).astype(np.float32))
        users.styles.append(rng.standard_normal(STYLES).astype(np.float32))
        users.hours.append(float(rng.normal(14, 3.5)))
        return number

    def _move(self, begin: float) -> None:
        """Let some come and go within a week."""
        usual = [i for i, k in enumerate(self.users.kinds) if k == "usual" and self.users.until[i] == np.inf]
        for number in self._rng.choice(usual, COMERS, replace=False):
            self.users.until[number] = begin + self._rng.random() * WEEK_S
        for _ in range(COMERS):
            joined = begin + self._rng.random() * WEEK_S
            self._join(joined, joined)

    def _launch(self, at: float) -> None:
        """Let many come at once, who first try much the same, as a tutorial shows it."""
        shown = self._rng.choice(self.world.modes, 3, replace=False)
        for _ in range(LAUNCHED):
            joined = at + self._rng.random() * DAY_S
            number = self._join(joined, joined, kind="launch")
            habit = 0.4 * self.users.habits[number]
            habit[shown] += 0.2
            self.users.habits[number] = habit
            self.users.volumes[number] = min(self.users.volumes[number], 60)

    def _integrate(self, at: float) -> None:
        """Let one customer come with many accounts of one network, client, habit and style."""
        first = self._join(at, at, kind="integration")
        users = self.users
        for _ in range(BRANCHES - 1):
            number = self._join(at, at, kind="integration")
            users.habits[number], users.styles[number] = users.habits[first], users.styles[first]
            users.accounts[number] = users.accounts[first]._replace(name=f"user-{number}")
        for number in range(first, first + BRANCHES):
            users.volumes[number] = 120.0
            users.accounts[number] = users.accounts[number]._replace(network="203.0.113.0/24", tenant="integration")

    def week(self, index: int) -> Events:
        """Return what is asked in a week; each week is asked for once, and in order."""
        begin, users, rng = START + index * WEEK_S, self.users, self._rng
        self._move(begin)
        since, until = np.array(users.since), np.array(users.until)
        there = np.clip((np.minimum(until, begin + WEEK_S) - np.maximum(since, begin)) / WEEK_S, 0, 1)
        counts = rng.poisson(np.array(users.volumes) * there)
        who = np.repeat(np.arange(len(users)), counts)
        at = begin + self._times(who, counts)
        low, high = np.maximum(since, begin)[who], np.minimum(until, begin + WEEK_S)[who]
        outside = (at < low) | (at >= high)
        at[outside] = (low + rng.random(len(who)) * (high - low))[outside]
        order = np.argsort(at, kind="stable")
        at, who = at[order], who[order]
        return Events(at, who, self._inputs(at, who))

    def _times(self, who: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return seconds from the week's beginning: sessions of about eight requests by day, fewer at weekends."""
        rng, kinds = self._rng, np.array(self.users.kinds)
        sessions = np.maximum(counts // 8, 1)
        firsts = np.concatenate([[0], np.cumsum(sessions)])
        owner = np.repeat(np.arange(len(counts)), sessions)
        day = rng.choice(7, len(owner), p=np.array([1, 1.1, 1.1, 1.1, 1, 0.4, 0.4]) / 6.1)
        hour = rng.normal(np.array(self.users.hours)[owner], 2.5) % 24
        starts = day * DAY_S + hour * 3600
        which = firsts[who] + (rng.random(len(who)) * sessions[who]).astype(np.int64)
        times = np.minimum(starts[which] + rng.random(len(who)) * 600, WEEK_S - 1)
        times[kinds[who] == "heavy"] = rng.random(int((kinds[who] == "heavy").sum())) * WEEK_S
        bursts = kinds[who] == "bursty"
        times[bursts] = (1.4 + rng.integers(4)) * DAY_S + rng.random(int(bursts.sum())) * BURST_S
        return times

    def _inputs(self, at: NDArray[np.float64], who: NDArray[np.int64]) -> Array:
        """Return the inputs of requests at some times by some users."""
        habits = np.array(self.users.habits)
        tilts, late = at > self._since["classes"], at > self._since["brightness"]
        modes = self._modes(habits, who)
        if tilts.any():  # what few asked about, half of the world now asks about
            tilted = habits.copy()
            tilted[:, : self.world.modes // 5] *= 4
            modes[tilts] = self._modes(tilted, who)[tilts]
        styles = np.array(self.users.styles)[who]
        if not late.any():
            return self.world.draw(modes, styles, self._rng)
        before, after = self.world.draw(modes, styles, self._rng), self.world.draw(modes, styles, self._rng, 1.0)
        return np.concatenate([before[~late], after[late]])  # at is in order

    def _modes(self, habits: Array, who: NDArray[np.int64]) -> NDArray[np.int64]:
        sums = np.cumsum(habits / habits.sum(axis=1, keepdims=True), axis=1, dtype=np.float64)
        return np.minimum((sums[who] < self._rng.random((len(who), 1))).sum(axis=1), self.world.modes - 1)

    def kind(self, number: int, at: float) -> str:
        """Return what kind of user one is at a time: usual ones are new or established."""
        kind = self.users.kinds[number]
        if kind != "usual":
            return kind
        return "new" if at - (self.users.accounts[number].created or at) < NEW_S else "established"
