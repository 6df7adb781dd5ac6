"""The closed loop: honest users and thieves in order of time through one defence, on a virtual clock.

For each request: the verdict is read; a spent budget, refusal or too dear a proof ends it; else the victim answers, the
route's form of answer and the verdict's coarsening are applied, and the watch is told.  Sweeps run when they are due.
Rule: the harness counts the budgets, a UTC day each, as the gateway's counters would.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from bench.extraction.answers import coarsen, say
from bench.extraction.defences import Defence
from bench.extraction.population import DAY_S, START, WEEK_S, Events, Population
from bench.extraction.thieves import HOUR_S, THIEF, Thief

from vallum.core.extraction import Account, Grade, Query, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

HASH_S = 0.45e-6  # one try at a proof of work, in Python on one core (bench/work.py)
PATIENCE_S = 6 * HOUR_S  # of work that a thief lets pile up
COARSENED = "coarsened" in Query._fields
SAMPLED = 7  # every seventh call is timed
CHAT = [{"choices": [{"message": {"content": "word " * n}}], "usage": {"completion_tokens": n}} for n in range(1, 400)]


class Outcome(NamedTuple):
    """What became of one request."""

    answer: Any = None  # None: refused
    work_bits: int = 0
    coarsened: int = 0
    suspected: bool = False  # the verdict was not clear
    stepped_up: bool = False  # is to prove that it holds its credential


@dataclass
class Tally:
    """What became of the requests of one kind of asker."""

    asked: int = 0
    refused: int = 0
    coarsened: int = 0
    challenged: int = 0
    hashes: float = 0.0

    def count(self, outcome: Outcome) -> None:
        """Count a request."""
        self.asked += 1
        self.refused += outcome.answer is None
        self.coarsened += outcome.coarsened > 0
        self.challenged += outcome.work_bits > 0 or outcome.stepped_up
        self.hashes += 2.0**outcome.work_bits if outcome.work_bits else 0.0


class Hold(NamedTuple):
    """How much of a raid is held at one moment."""

    at: float
    answers: int
    contained: float  # share of the accounts
    named: float
    clusters: int


@dataclass
class Trace:
    """What is written down while time goes by."""

    honest: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    thieves: Tally = field(default_factory=Tally)
    times: list[float] = field(default_factory=list)  # of the thieves' answers
    holds: list[Hold] = field(default_factory=list)
    alarms: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)
    suspected: set[str] = field(default_factory=set)  # established accounts that were not clear at some request
    trusted: set[str] = field(default_factory=set)  # established accounts that asked
    accused: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # honest accounts ever in a cluster
    spent_ns: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    calls: Counter[str] = field(default_factory=Counter)


def holds(verdict: Verdict) -> bool:
    """Say whether an account is contained: it shares a budget, must work, or is refused."""
    return verdict.answers_a_day is not None or verdict.work_bits > 0 or verdict.grade >= Grade.BUDGET


def stepped_up(verdict: Verdict) -> bool:
    """Say whether an account is to prove that it holds its credential."""
    return bool(getattr(verdict, "step_up", False))


def is_suspect(verdict: Verdict) -> bool:
    """Say whether anything at all is held against an account."""
    return verdict.grade > Grade.CLEAR or stepped_up(verdict)


class Raider(Protocol):
    """Somebody whose requests are not honest."""

    next_at: float

    def ask(self) -> None:
        """Send the request that is due, and plan the next."""


class Loop:
    """One route, its defence, and the budgets."""

    def __init__(
        self, population: Population, defence: Defence, form: str, seed: int, *, least_s: float = 60.0
    ) -> None:
        """Prepare; sweeps run no more often than every `least_s`."""
        self.population, self.defence, self.form = population, defence, form
        self.world = population.world
        self.trace = Trace()
        self._rng = np.random.default_rng([seed, 99])
        self._used: defaultdict[str, deque[float]] = defaultdict(deque)  # when a budget's answers were given
        self._least_s, self._swept = least_s, 0.0

    def run(self, index: int, raiders: Sequence[Raider] = ()) -> Events:
        """Let a week go by; the requests of raiders are woven in as they come due."""
        events = self.population.week(index)
        documents, answers = self.world.documents(events.inputs), self._answers(events.inputs)
        accounts, kind = self.population.users.accounts, self.population.kind
        for at, who, document, answer in zip(events.at.tolist(), events.who.tolist(), documents, answers, strict=True):
            for raider in raiders:
                while raider.next_at <= at:
                    raider.ask()
            outcome = self.ask(accounts[who], at, document, answer, most_bits=64)
            self._count(kind(who, at), accounts[who].name, outcome)
        self.raid(index, raiders)
        return events

    def _count(self, kind: str, name: str, outcome: Outcome) -> None:
        trace = self.trace
        trace.honest[kind].count(outcome)
        if kind == "established":
            trace.trusted.add(name)
            if outcome.suspected:
                trace.suspected.add(name)

    @staticmethod
    def raid(index: int, raiders: Sequence[Raider]) -> None:
        """Let raiders alone ask until a week's end."""
        for raider in raiders:
            while raider.next_at < START + (index + 1) * WEEK_S:
                raider.ask()

    def _answers(self, inputs: Any) -> list[Any]:
        """Return the victim's answers in the route's form."""
        if self.world.kind == "text":
            lengths = np.minimum(self._rng.lognormal(4, 0.8, len(inputs)), 398).astype(int)
            return [CHAT[length] for length in lengths.tolist()]
        return say(self.world.victim.probabilities(inputs), self.form)

    def answer(self, row: Any) -> Any:
        """Return the victim's answer to one input."""
        return self._answers(row[None] if self.world.kind != "text" else [row])[0]

    def ask(self, account: Account, at: float, document: Any, answer: Any, *, most_bits: int) -> Outcome:
        """Send one request through the gateway; an asker who cannot pay for the proof gets nothing."""
        if at - self._swept >= self._least_s and self.defence.sweep_due(at):
            self.sweep(at)
        verdict = self._timed("judge", self.defence.judge, account, at)
        known = {"suspected": is_suspect(verdict), "stepped_up": stepped_up(verdict)}
        if verdict.grade >= Grade.REFUSED or verdict.work_bits > most_bits:
            return Outcome(None, verdict.work_bits, **known)
        if verdict.answers_a_day is not None:
            used = self._used[verdict.cluster or account.name]
            while used and at - used[0] >= DAY_S:  # as the gateway's quota: so many in any 24 hours
                used.popleft()
            if len(used) >= verdict.answers_a_day:
                return Outcome(None, **known)
            used.append(at)
        left = answer if self.world.kind == "text" else coarsen(answer, verdict.coarsen)
        query = Query(account, at, (document,), left)
        if COARSENED:
            query = query._replace(coarsened=verdict.coarsen)
        self._timed("note", self.defence.note, query)
        return Outcome(left, verdict.work_bits, verdict.coarsen, **known)

    def sweep(self, at: float) -> None:
        """Sweep, and write down what was found."""
        begun = perf_counter_ns()
        findings = self.defence.sweep(at)
        self.trace.spent_ns["sweep"].append(perf_counter_ns() - begun)
        self._swept = at
        if findings is None:
            return
        if findings.alarms and findings.calibrated:
            self.trace.alarms.append((at, tuple(alarm.cohort for alarm in findings.alarms)))
        for named in findings.named:
            if not named.name.startswith(THIEF):
                self.trace.accused["established" if named.established else "new"].add(named.name)

    def _timed(self, name: str, call: Any, *arguments: Any) -> Any:
        self.trace.calls[name] += 1
        if self.trace.calls[name] % SAMPLED:
            return call(*arguments)
        begun = perf_counter_ns()
        result = call(*arguments)
        self.trace.spent_ns[name].append(perf_counter_ns() - begun)
        return result


class Raid:
    """A thief's requests, one after another, over its accounts in turn."""

    def __init__(self, thief: Thief, loop: Loop) -> None:
        """Plan the first pass; what is refused is tried again, at the same pace, until the week ends."""
        self._thief, self._loop = thief, loop
        self._times = thief.times().tolist()
        self._step = thief.plan.hours * HOUR_S / thief.plan.queries
        self._turn = 0
        self._seats = list(range(len(thief.accounts)))  # which account sits where
        self._waits = [0.0] * len(thief.accounts)  # until when each seat's account was told to wait
        self._busy_until = 0.0
        self._watched = 0
        self.next_at = self._times[0]

    def ask(self) -> None:
        """Send the request that is due, from the next account that need not wait."""
        at = self.next_at
        account = self._next_account(at)
        if account is not None:
            self._send(account, at)
        self._observe(at)
        self._plan_next(at)

    def _next_account(self, at: float) -> int | None:
        for _ in range(len(self._waits)):
            self._turn = (self._turn + 1) % len(self._waits)
            if self._waits[self._turn] <= at:
                return self._turn
        return None

    def _send(self, number: int, at: float) -> None:
        thief, loop = self._thief, self._loop
        row = thief.next_input(at)
        document = loop.world.documents(row[None] if loop.world.kind != "text" else [row])[0]
        outcome = loop.ask(
            thief.accounts[self._seats[number]], at, document, loop.answer(row), most_bits=thief.plan.most_bits
        )
        loop.trace.thieves.count(outcome)
        if outcome.work_bits and outcome.answer is not None:
            self._busy_until = max(at, self._busy_until) + 2.0**outcome.work_bits * HASH_S / thief.plan.cores
        if outcome.answer is None:
            self._waits[number] = (at // DAY_S + 1) * DAY_S + 60.0 * (number % 60)
            thief.put_back(row)
        else:
            thief.hear(row, outcome.answer)
            loop.trace.times.append(at)
        if outcome.suspected and thief.may_renew():
            self._seats[number], self._waits[number] = thief.open_account(at), at

    def _observe(self, at: float) -> None:
        """After each sweep, and each hundredth request, see how many of the accounts are held."""
        trace = self._loop.trace
        sweeps = len(trace.spent_ns["sweep"]) + trace.thieves.asked // 100
        if sweeps == self._watched:
            return
        self._watched = sweeps
        verdicts = [self._loop.defence.judge(account, at) for account in self._thief.accounts]
        count, clusters = len(verdicts), [verdict.cluster for verdict in verdicts if verdict.cluster]
        held = sum(map(holds, verdicts)) / count
        trace.holds.append(Hold(at, len(trace.times), held, len(clusters) / count, len(set(clusters))))

    def _plan_next(self, at: float) -> None:
        done = len(self._thief.asked)
        if done >= self._thief.plan.queries:
            self.next_at = np.inf
            return
        index = bisect.bisect_right(self._times, at)
        later = self._times[index] if index < len(self._times) else at + self._step
        if min(self._waits) > at:
            later = max(later, min(self._waits))
        if self._busy_until - at > PATIENCE_S:
            later = max(later, self._busy_until - PATIENCE_S)
        self.next_at = later
