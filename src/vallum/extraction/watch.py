"""The watch over one route: queries in, verdicts out, a sweep now and then.

    first        inputs are kept until a scale can be fitted to them (reservoir, reference)
    then         rows go into accounts' sketches (crowd), and the last ones beside them (contemporaries)
    then         what is usual is fitted, and sweeps are run to see what they reach when nothing is wrong (calibration)
    from then on sweeps name accounts, and the ladder says what becomes of them

What is usual is fitted again each day, so that it follows what slowly changes; never to accounts that are suspected.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from vallum.core.extraction import DAY_S, Grade, Terms
from vallum.extraction.contemporaries import Contemporaries
from vallum.extraction.crowd import Crowd
from vallum.extraction.facts import FEATURES, Findings
from vallum.extraction.features.answer import NEUTRAL, read_answer
from vallum.extraction.features.reader import KINDS, READERS, TEXT, Features
from vallum.extraction.features.text import Texts
from vallum.extraction.ladder import Ladder
from vallum.extraction.leak_meter import LeakMeter
from vallum.extraction.own_history import OwnHistory
from vallum.extraction.reservoir import Reservoir
from vallum.extraction.sketch import COUNT, ROWS
from vallum.extraction.sweep import NEW_S, Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vallum.core.extraction import Account, Extraction, Query, Verdict
    from vallum.extraction.facts import Floats, Named, Snapshot
    from vallum.extraction.reference import Scale

    Found = Findings | dict[str, Scale]

CALIBRATE_S = 7 * DAY_S
SWEEP_S, SWEEP_QUERIES = 60.0, 25
ESTABLISHED, UNTRUSTED = "established", "untrusted"  # whose last queries are compared
FRESH = 1024, 32  # places for the last queries of untrusted accounts, and how many of them one account may hold
UNLIKE = "what it asks is unlike what it asked before"
LEARNT = 200  # steps of the leak meter's students with each sweep: some 20 ms
QUIET_S = 3600.0  # between two sweeps where nothing was asked by untrusted accounts


def open_groups() -> dict[str, Contemporaries]:
    """Begin to keep the last queries of those who are trusted, and of those who are not."""
    return {ESTABLISHED: Contemporaries(), UNTRUSTED: Contemporaries(*FRESH)}


class Watch:
    """All that is kept of one route's accounts."""

    def __init__(
        self,
        *,
        seed: bytes = b"",
        kind: str = "",
        terms: Terms | None = None,
        new_s: float = NEW_S,
        calibrate_s: float = CALIBRATE_S,
        sensitivity: float = 1.0,
        sweep_s: float = SWEEP_S,
        sweep_queries: int = SWEEP_QUERIES,
    ) -> None:
        """Watch inputs of a kind, or of the kind that comes first.

        What is random hangs on `seed`, the same on every replica and unknown to callers.
        """
        self._seed = seed
        self._new_s, self._calibrate_s = new_s, calibrate_s
        self._sweep_s, self._sweep_queries = sweep_s, sweep_queries
        self._began: float | None = None
        self._reservoirs: dict[str, Reservoir] = {}
        self._features: Features | None = None
        self._own: OwnHistory | None = None  # for texts: of other inputs it tells little
        self._scales: dict[str, Scale] = {}
        self._crowd = self._open_crowd(0)
        self._asking = open_groups()
        self._sweeper = Sweeper(new_s=new_s, sensitivity=sensitivity)
        self.ladder = Ladder(terms or Terms())
        self.meter = LeakMeter(None, seed)
        self._asked = 0  # by untrusted accounts, since the last sweep
        self._swept = self._fitted = self._usual_since = -np.inf
        if kind == TEXT:
            self._read_texts()

    def govern(self, rule: Extraction) -> None:
        """Go by a rule from now on; nothing is forgotten."""
        self.ladder.terms = rule.terms
        self._new_s, self._calibrate_s = rule.established_s, rule.calibrate_s
        self._sweep_s, self._sweep_queries = rule.sweep_s, rule.sweep_queries
        self._sweeper.govern(rule.established_s, rule.sensitivity)

    def judge(self, account: Account, now: float) -> Verdict:
        """Say what holds for an account now, from memory."""
        established, cohorts = self._is_old(account, now), partial(self._cohorts_of, account, now)
        verdict = self.ladder.verdict(account, now, established=established, cohorts=cohorts)
        strange = 0.0 if self._own is None else self._own.judge(account.name, now)
        if not strange or self.ladder.is_pardoned(account.name, now):
            return verdict
        grade = max(verdict.grade, Grade.ALERT) if strange >= 1 else verdict.grade
        return verdict._replace(grade=grade, strange=strange, evidence=verdict.evidence or UNLIKE)

    def _cohorts_of(self, account: Account, now: float) -> list[str]:
        """Name the cohorts of an untrusted account."""
        return [*self._crowd.cohorts_of(account), self._sweeper.wave_of(account.name, now)]

    def note(self, query: Query) -> None:
        """Take an answered query into its account's sketch."""
        now, account = query.at, query.account
        if self._began is None:
            self._began = now
        if self._features is None:
            self._keep(query)
        if self._features is None:
            return
        seen = self._features.see(query.inputs, _plain_answer(query))
        if seen is None:
            return
        rows, near = seen
        if query.coarsened:  # it says how its caller is seen here, and nothing about what it asks
            self._forget_answer(account, rows)
        self._crowd.add(account, rows, now)
        if self._own is not None:
            self._compare(self._own, account, rows, now)
        trusted = self._is_trusted(account, now)
        row = rows[crc32(query.request_id.encode()) % len(rows)]  # nobody can tell which of a batch it will be
        self.meter.note(account.name, query.inputs, query.answer, trusted=trusted, near=near)
        if trusted:
            self._put(ESTABLISHED, account.name, now, row)
            return
        self._asked += len(rows)
        self._put(UNTRUSTED, account.name, now, row)
        if not account.verified:
            self._glance(account, rows, now)

    def _compare(self, own: OwnHistory, account: Account, rows: Floats, now: float) -> None:
        """Set an account against its own history."""
        line = self._line(account)
        if line is not None:
            own.note(account.name, rows, float(line[COUNT]), line[ROWS], now)

    def _forget_answer(self, account: Account, rows: Floats) -> None:
        """Put in the place of an answer that was made coarser what says nothing.

        An account's own usual answers would: after one query, with the weight of all that follow.
        """
        line = self._line(account)
        if line is None:
            rows[:, FEATURES:] = NEUTRAL
            return
        found = self._sweeper.say_nothing(float(line[COUNT]), line[ROWS])
        rows[:, FEATURES:] = line[ROWS][FEATURES:] / line[COUNT] if found is None else found

    def _line(self, account: Account) -> Floats | None:
        """Return the sums of both windows of an account; None: nothing is known of it."""
        sketch = self._crowd.sketch(account.name)
        line = None if sketch is None else sketch.recent + sketch.earlier
        return line if line is not None and line[COUNT] > 0 else None

    def _glance(self, account: Account, rows: Floats, now: float) -> None:
        if not self._sweeper.stands:
            return
        line = self._line(account)
        if line is None:
            return
        named = self._sweeper.glance(account.name, rows, float(line[COUNT]), line[ROWS])
        if named is not None:
            self._join(named, now)

    def _put(self, group: str, name: str, at: float, row: Floats) -> None:
        """Take a row in among those of its group."""
        self._asking[group].note(name, at, row)

    def _join(self, named: Named, now: float) -> None:
        """Hold an account for what a query of its has given away."""
        self.ladder.join(named, now)

    def sweep_due(self, now: float) -> bool:
        """Say whether enough was asked, or enough time has passed, since the last sweep."""
        if self._features is None:
            return self._began is not None and now - self._began >= self._calibrate_s / 7
        waited = now - self._swept
        return self._asked >= self._sweep_queries or waited >= (self._sweep_s if self._asked else QUIET_S)

    def sweep(self, now: float) -> Findings:
        """Test the cohorts, attribute members, and put the verdicts right: all at once."""
        fitted, found = self._fitted, self.begin_sweep(now)()
        if self._fitted != fitted:
            found = self.begin_sweep(now)()
        for _ in self.end_sweep(found):
            pass
        return found if isinstance(found, Findings) else Findings(now)

    def begin_sweep(self, now: float) -> Callable[[], Found]:
        """Return what finds, in any thread and once, whatever is to be found at this moment."""
        self._asked, self._swept = 0, now
        if self._features is None:
            return partial(self._fit_scales, {kind: kept.state() for kind, kept in self._reservoirs.items()})
        asking = [group.copy() for group in self._asking.values()]
        return partial(self._find, self._crowd.snapshot(now), *asking)

    def _find(self, snapshot: Snapshot, established: Contemporaries, untrusted: Contemporaries) -> Found:
        """Fit what is usual, once a day; else sweep."""
        now, limits = snapshot.at, self._sweeper.limits
        if now - self._fitted >= DAY_S and self._sweeper.fit(snapshot, established):
            self._fitted, self._swept = now, -np.inf  # which takes as long as a sweep: one is due at once
            self._usual_since = self._usual_since if np.isfinite(self._usual_since) else now
            return {}
        if not limits.calibrated and np.isfinite(self._usual_since) and now - self._usual_since >= self._calibrate_s:
            limits.calibrated = True
        if self._own is not None:
            self._own.fit()
        self.meter.learn(LEARNT)
        return self._sweeper.sweep(snapshot, established, untrusted, texts=self._own is not None)

    def end_sweep(self, found: Found) -> Iterator[None]:
        """Put the verdicts right; or begin to place inputs on the scales that were found.

        Where many are named it takes long: requests may go between its steps, of a few milliseconds each.
        """
        if not isinstance(found, Findings):
            if found and self._features is None:
                self._go_by(found)
            return
        for _ in self.ladder.take_in(found, found.at, self.meter.shares()):
            yield
        self._hold(found.at)
        yield
        self._follow(found.at)

    def _follow(self, now: float) -> None:
        """Have the leak meter estimate for every cluster, the largest first."""
        clusters: dict[str, list[str]] = {}
        for name, cluster, _ in self.ladder.suspects(now):
            clusters.setdefault(cluster, []).append(name)
        largest = sorted(clusters, key=lambda cluster: -len(clusters[cluster]))
        answered = {cluster: sum(map(self._crowd.asked, clusters[cluster])) for cluster in largest}
        self.meter.follow({cluster: clusters[cluster] for cluster in largest}, answered)

    def _hold(self, now: float) -> None:
        self._crowd.hold(name for name, _, _ in self.ladder.suspects(now))

    # --- calibration

    def _keep(self, query: Query) -> None:
        answer = read_answer(_plain_answer(query))
        for value in query.inputs:
            kind = KINDS.get(type(value), "")
            if kind == TEXT:
                self._read_texts()
                return
            line = READERS[kind](value) if kind in READERS else None
            if line is not None:
                self._offer(kind, query.account.name, line.astype(np.float32), answer)

    def _offer(self, kind: str, account: str, line: Floats, answer: float | None) -> bool:
        """Keep an input for calibration, or do not; say whether it is kept."""
        return self._reservoirs.setdefault(kind, Reservoir(self._seed)).offer(account, line, answer)

    def _fit_scales(self, states: dict[str, Any]) -> dict[str, Scale]:
        """Fit a scale to the inputs of each kind of which there are enough."""
        reservoirs = {kind: Reservoir(self._seed) for kind in states}
        for kind, kept in reservoirs.items():
            kept.take_state(states[kind])
        return {kind: kept.fit(self._seed) for kind, kept in reservoirs.items() if kept.is_enough()}

    def _go_by(self, scales: dict[str, Scale]) -> None:
        """Place inputs on these scales from now on; what was kept of accounts on others is gone."""
        self._scales, self._features = scales, Features(scales)
        kind, scale = next(iter(scales.items()))
        self._crowd = self._open_crowd(scale.id)
        self.meter = LeakMeter(scale, self._seed, kind)
        self._reservoirs.clear()

    def _read_texts(self) -> None:
        """Read texts from now on: nothing is fitted to them first."""
        texts = Texts(self._seed)
        self._features, self._own = Features({}, texts), OwnHistory()
        if self._crowd.scale != texts.id:
            self._crowd = self._open_crowd(texts.id)

    def _open_crowd(self, scale: int) -> Crowd:
        return Crowd(scale, self._seed)

    def _is_trusted(self, account: Account, now: float) -> bool:
        return self._is_old(account, now) and not self._sweeper.is_suspect(account.name)

    def _is_old(self, account: Account, now: float) -> bool:
        """Say whether an account is established."""
        known = [at for at in (account.created, self._crowd.created(account.name)) if at is not None]
        return bool(known) and now - min(known) >= self._new_s  # a second key makes nobody young


def _plain_answer(query: Query) -> Any:
    """Return what was answered, unless it was coarser for this caller: that would say how the gateway sees it."""
    return None if query.coarsened else query.answer
