"""Stolen credentials on a route of texts: who is noticed within twenty queries, by content and by signs of theft.

    PYTHONPATH=src:. python -m bench.extraction.text_histories --data DIR [--seed 51] [--volume 4]

Honest users (population.py, chat.py) ask for seven weeks; the last three ask about texts that were never drawn from.
Then up to 150 established accounts, each with a history, are in a stranger's hands for twenty queries.  `honest` is the
share of accounts with a history that are asked for a proof in a week; `--volume` says how often these users ask.
Signs are what theft.py makes of an account at home for a month that is then used as each row says.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np
from bench.extraction.chat import Chat
from bench.extraction.population import DAY_S, NEW_S, START, WEEK_S, Population, Users
from bench.extraction.worlds import plain

from vallum.core.theft import Habits, Profile, Sighting
from vallum.extraction.facts import WIDTH
from vallum.extraction.features.text import Texts
from vallum.extraction.own_history import HISTORY_MIN, OwnHistory

WEEKS, FRESH_FROM = 7, 4
STOLEN, QUERIES, PROMPTS = 150, 20, 1500
WAYS = ("questions", "template", "code", "sentences", "natural")
# Share of owners who come from a new network in a week, and of those and the others who come with a new agent.
ROAMING, ROAMING_AGENT, AGENT = 0.2, 0.15, 0.03


class Kept:
    """An account's sums over two weeks, as its sketch has them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.count = self.earlier_count = 0.0
        self.total, self.earlier = np.zeros((2, WIDTH), np.float32)

    def turn(self) -> None:
        """Begin a week."""
        self.earlier_count, self.earlier, self.count, self.total = (
            self.count,
            self.total,
            0.0,
            np.zeros_like(self.total),
        )


class Route:
    """The part of a watch that is measured."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self.own, self.kept, self._texts = OwnHistory(), dict[str, Kept](), Texts(seed.to_bytes(8, "big"))

    def ask(self, name: str, text: str, at: float) -> float:
        """Take a query, and say how strange the account is by then."""
        rows = self._texts.read((text,), None)
        if rows is None:
            return 0.0
        kept = self.kept.setdefault(name, Kept())
        kept.count, kept.total = kept.count + 1, kept.total + rows[0]
        return self.own.note(name, rows, kept.count + kept.earlier_count, kept.total + kept.earlier, at)

    def has_history(self, name: str) -> bool:
        """Say whether an account can be told of."""
        kept = self.kept.get(name)
        return kept is not None and kept.count + kept.earlier_count >= HISTORY_MIN + 15

    def copy_for(self, name: str) -> Route:
        """Return a route on which one account may be stolen, without a trace on this one."""
        other = copy.copy(self)
        other.own = self.own.copy_for(name)
        other.kept = {name: copy.deepcopy(self.kept[name])}
        return other


def main() -> None:
    """Print the figures of one seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=51)
    parser.add_argument("--volume", type=float, default=4.0)
    options = parser.parse_args()
    chat, rng = Chat(options.seed, options.data), np.random.default_rng([options.seed, 8])
    population, route = Population(chat, options.seed), Route(options.seed)
    honest = _live(chat, population, route, options.volume)
    print(f"{len(honest)} weeks of accounts with a history")
    found = {way: _steal(chat, population, route, way, rng) for way in WAYS}
    roaming = rng.random(len(honest)) < ROAMING
    new_agent = rng.random(len(honest)) < np.where(roaming, ROAMING_AGENT, AGENT)
    owners = _signs(network=True) * roaming + _signs(agent=True) * new_agent
    rows = {
        "content alone": (0.0, honest),
        "with signs: same network and agent": (0.0, honest + owners * (honest > 0)),
        "with signs: a new network": (_signs(network=True), honest + owners * (honest > 0)),
        "with signs: a new network and agent": (_signs(network=True, agent=True), honest + owners * (honest > 0)),
    }
    print(f"{'noticed within 20':36}", *(f"{way:>10}" for way in WAYS), f"{'honest':>8}")
    for label, (signs, usual) in rows.items():
        shares = [np.mean((strange > 0) & (strange + signs >= 1)) for strange in found.values()]
        print(f"{label:36}", *(f"{share:10.1%}" for share in shares), f"{np.mean(usual >= 1):8.2%}")


def _live(chat: Chat, population: Population, route: Route, volume: float) -> Any:
    """Let the weeks go by; return the largest strangeness of each account's week, once that is calibrated."""
    users, louder, largest = population.users, set[str](), list[float]()
    for week in range(WEEKS):
        if week == FRESH_FROM:
            chat.turn_over()
        _raise_voices(users, louder, volume)
        events, calibrated, of_week = population.week(week), route.own.calibrated, dict[str, float]()
        for index, (at, who, text) in enumerate(zip(events.at, events.who, events.inputs, strict=True)):
            if users.kinds[who] == "heavy":
                continue
            if index % 2000 == 0:
                route.own.fit()
            name = users.accounts[who].name
            of_week[name] = max(of_week.get(name, 0.0), route.ask(name, str(text), float(at)))
        if calibrated:
            largest += [strange for name, strange in of_week.items() if route.has_history(name)]
        if week < WEEKS - 1:
            for kept in route.kept.values():
                kept.turn()
    return np.array(largest)


def _raise_voices(users: Users, louder: set[str], volume: float) -> None:
    """Let users who are new here ask so many times as often."""
    for number, account in enumerate(users.accounts):
        if users.kinds[number] == "usual" and account.name not in louder:
            louder.add(account.name)
            users.volumes[number] = min(users.volumes[number] * volume, 600.0)


def _steal(chat: Chat, population: Population, route: Route, way: str, rng: np.random.Generator) -> Any:
    """Return how strange each stolen account is at most within its thief's first queries."""
    users, end = population.users, START + WEEKS * WEEK_S
    fit = [
        account.name
        for number, account in enumerate(users.accounts)
        if users.kinds[number] == "usual" and users.until[number] > end and end - (account.created or end) > NEW_S
        if route.has_history(account.name)
    ]
    prompts = plain(chat, PROMPTS, rng) if way == "natural" else chat.prompts(way, PROMPTS, rng)
    found = []
    for name in rng.permutation(fit)[:STOLEN].tolist():
        stolen = route.copy_for(name)
        texts = prompts[rng.permutation(PROMPTS)[:QUERIES]]
        found.append(max(stolen.ask(name, str(text), end + 60.0 * at) for at, text in enumerate(texts)))
    return np.array(found)


def _signs(*, network: bool = False, agent: bool = False) -> float:
    """Return what theft.py says of a use from elsewhere, after a month at home."""
    profile, habits = Profile(0.0), Habits()
    for hour in range(0, 720, 6):
        profile.note(Sighting(hour * 3600.0, "home", "sdk", frozenset()), habits)
    seen = Sighting(31 * DAY_S, "elsewhere" if network else "home", "other" if agent else "sdk", frozenset())
    return profile.note(seen, habits).score


if __name__ == "__main__":
    main()
