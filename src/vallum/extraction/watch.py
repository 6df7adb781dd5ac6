"""The watch over one route: queries in, verdicts out, a sweep now and then.

    first        inputs are kept until a scale can be fitted to them (reservoir, reference)
    then         rows go into accounts' sketches (crowd), and those of established accounts into the present (contemporaries)
    then         what is usual is fitted, and sweeps are run to see what they reach when nothing is wrong (calibration)
    from then on sweeps name accounts, and the ladder says what becomes of them

What is usual is fitted again each day, so that it follows what slowly changes; never to accounts that are suspected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.core.extraction import CLEAR, Account, Terms
from vallum.extraction.contemporaries import Contemporaries
from vallum.extraction.crowd import Crowd
from vallum.extraction.facts import Findings
from vallum.extraction.features.answer import read_answer
from vallum.extraction.features.reader import KINDS, READERS, Features
from vallum.extraction.ladder import Ladder
from vallum.extraction.reservoir import Reservoir
from vallum.extraction.sketch import COUNT, ROWS
from vallum.extraction.sweep import NEW_S, Sweeper

if TYPE_CHECKING:
    from vallum.core.extraction import Query, Verdict
    from vallum.extraction.facts import Floats

DAY_S = 86_400.0
CALIBRATE_S = 7 * DAY_S
SWEEP_S, SWEEP_QUERIES = 60.0, 25
QUIET_S = 3600.0  # between two sweeps where nothing was asked by untrusted accounts


class Watch:
    """All that is kept of one route's accounts."""

    def __init__(
        self,
        *,
        seed: bytes = b"",
        terms: Terms | None = None,
        new_s: float = NEW_S,
        calibrate_s: float = CALIBRATE_S,
        sensitivity: float = 1.0,
        sweep_s: float = SWEEP_S,
        sweep_queries: int = SWEEP_QUERIES,
    ) -> None:
        """Watch; what is random hangs on `seed`, the same on every replica and unknown to callers."""
        self._seed = seed
        self._new_s, self._calibrate_s = new_s, calibrate_s
        self._sweep_s, self._sweep_queries = sweep_s, sweep_queries
        self._began: float | None = None
        self._reservoirs: dict[str, Reservoir] = {}
        self._features: Features | None = None
        self._crowd = Crowd(0, seed)
        self._peers = Contemporaries()
        self._sweeper = Sweeper(new_s=new_s, sensitivity=sensitivity)
        self.ladder = Ladder(terms or Terms())
        self._first: dict[str, float] = {}
        self._asked = 0  # by untrusted accounts, since the last sweep
        self._swept = self._fitted = self._usual_since = -np.inf

    def judge(self, account: Account, now: float) -> Verdict:
        """Say what holds for an account now, from memory."""
        if not self._sweeper.limits.calibrated:
            return CLEAR
        return self.ladder.verdict(account, now, established=self._is_old(account, now))

    def note(self, query: Query) -> None:
        """Take an answered query into its account's sketch."""
        now, account = query.at, query.account
        if self._began is None:
            self._began = now
        if self._features is None:
            self._keep(query)
            return
        rows = self._features.read(query.inputs, query.answer)
        if rows is None:
            return
        self._crowd.add(account, rows, now)
        if self._is_old(account, now) and not self._sweeper.is_suspect(account.name):
            self._peers.note(account.name, now, rows[0])
            return
        self._asked += len(rows)
        if not account.verified:
            self._glance(account, rows, now)

    def _glance(self, account: Account, rows: Floats, now: float) -> None:
        if not self._sweeper.stands:
            return
        sketch = self._crowd.sketch(account.name)
        if sketch is None:
            return
        line = sketch.recent + sketch.earlier
        named = self._sweeper.glance(account.name, rows, float(line[COUNT]), line[ROWS])
        if named is not None:
            self.ladder.join(named, now)

    def sweep_due(self, now: float) -> bool:
        """Say whether enough was asked, or enough time has passed, since the last sweep."""
        if self._features is None:
            return self._began is not None and now - self._began >= self._calibrate_s / 7
        waited = now - self._swept
        return self._asked >= self._sweep_queries or waited >= (self._sweep_s if self._asked else QUIET_S)

    def sweep(self, now: float) -> Findings:
        """Test the cohorts, attribute members, and put the verdicts right; call off the request path."""
        self._asked, self._swept = 0, now
        if self._features is None:
            self._scale()
            return Findings(now)
        snapshot = self._crowd.snapshot(now)
        if now - self._fitted >= DAY_S and self._sweeper.fit(snapshot, self._peers):
            self._fitted = now
            self._usual_since = self._usual_since if np.isfinite(self._usual_since) else now
        limits = self._sweeper.limits
        if not limits.calibrated and now - self._usual_since >= self._calibrate_s:
            limits.calibrated = True
        findings = self._sweeper.sweep(snapshot, self._peers)
        self.ladder.update(findings, now)
        self._crowd.hold(name for name, _, _ in self.ladder.suspects(now))
        return findings

    # --- calibration

    def _keep(self, query: Query) -> None:
        answer = read_answer(query.answer)
        for value in query.inputs:
            kind = KINDS.get(type(value), "")
            line = READERS[kind](value) if kind in READERS else None
            if line is not None:
                self._reservoirs.setdefault(kind, Reservoir(self._seed)).offer(query.account.name, line, answer)

    def _scale(self) -> None:
        scales = {kind: kept.fit(self._seed) for kind, kept in self._reservoirs.items() if kept.is_enough()}
        if scales:
            self._features = Features(scales)
            self._crowd = Crowd(next(iter(scales.values())).id, self._seed)
            self._reservoirs.clear()

    def _is_old(self, account: Account, now: float) -> bool:
        """Say whether an account is established."""
        if account.created is not None:
            return now - account.created >= self._new_s
        first: float | None = self._first.get(account.name)
        if first is None:
            first = self._first[account.name] = now
        return now - first >= self._new_s
