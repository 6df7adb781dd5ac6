"""Stolen credentials: established accounts, with a history of their own, of which somebody else asks twenty times."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from bench.extraction.chat import Chat
from bench.extraction.learners import Rng
from bench.extraction.population import DAY_S, NEW_S, START, WEEK_S, Population
from bench.extraction.week import Loop, is_suspect
from bench.extraction.worlds import plain

from vallum.core.extraction import Account

STOLEN, QUERIES, HISTORY = 30, 20, 60  # accounts; asked of each by who stole it; asked by its owner before
OVER_S = 3600.0
PROMPTS = 200  # of which the thief takes its twenty


class Theft:
    """One account in a stranger's hands, from the same network and client: content alone can tell."""

    def __init__(self, loop: Loop, account: Account, inputs: Any, start: float) -> None:
        """Begin at `start`."""
        self._loop, self.account, self._inputs = loop, account, inputs
        self._start = self.next_at = start
        self.asked = 0
        self.suspect_before = False
        self.noticed_after: int | None = None  # of how many queries; None: not

    def ask(self) -> None:
        """Send the next query, and see whether it was noticed."""
        loop, at = self._loop, self.next_at
        if not self.asked:
            self.suspect_before = is_suspect(loop.defence.judge(self.account, at))
        row = self._inputs[self.asked : self.asked + 1]
        loop.ask(self.account, at, loop.world.documents(row)[0], loop.answer(row[0]), most_bits=0)
        self.asked += 1
        if self.noticed_after is None and is_suspect(loop.defence.judge(self.account, at)):
            self.noticed_after = self.asked
        self.next_at = self._start + self.asked * OVER_S / QUERIES if self.asked < QUERIES else np.inf


def thefts(population: Population, loop: Loop, way: str, week: int, history: Counter[str], *, rng: Rng) -> list[Theft]:
    """Steal accounts that have a history, at any time of a week."""
    users, begin = population.users, START + week * WEEK_S
    fit = [
        account
        for number, account in enumerate(users.accounts)
        if history[account.name] >= HISTORY
        and users.until[number] > begin
        and users.kinds[number] == "usual"
        and begin - (account.created or begin) > NEW_S
    ]
    found = []
    for index in rng.choice(len(fit), min(STOLEN, len(fit)), replace=False):
        start = begin + DAY_S * rng.uniform(0.5, 6.5)
        found.append(Theft(loop, fit[index], _inputs(population.world, way, rng), start))
    return found


def _inputs(world: Any, way: str, rng: Rng) -> Any:
    if way == "natural":
        return plain(world, QUERIES, rng)
    if isinstance(world, Chat):
        return world.prompts(way, PROMPTS, rng)[:QUERIES]
    return world.noise(QUERIES, rng) if way == "random" else world.strange(QUERIES, rng)
