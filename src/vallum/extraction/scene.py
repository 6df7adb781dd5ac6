"""What one sweep looks at: every account's evidence against established accounts of the same hours."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vallum.core.extraction import DAY_S
from vallum.extraction import attribution, calibration, cohorts, ground
from vallum.extraction.facts import FEATURES, WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from vallum.extraction.attribution import Evidence, Gathered
    from vallum.extraction.calibration import Usual
    from vallum.extraction.cohorts import Test
    from vallum.extraction.contemporaries import Contemporaries, Present
    from vallum.extraction.facts import Floats, Snapshot
    from vallum.extraction.ground import Ground

    Rows = NDArray[np.intp]
    Marks = NDArray[np.bool_]

PEERS, WHOLE = (1, 2, 4), 16  # queries of an established customer that are scored for comparison
AWAKE_S = 14 * DAY_S  # since the last query of an account that is looked at
CLUSTERED = 4.0  # rows of one account that stand among the present ones
ALL_S = np.inf  # the view of all that is remembered
COMMON = 0.2  # deviations of single queries, that count as nothing
COMMON_SURE = 2.0  # deviations of chance that are allowed for
BEYOND = 3.0 * WIDTH  # of what no shares explain, in honest habits' variances: what nothing honest reaches


class Scene:
    """All accounts at one moment; row i of every array is account i of the snapshot."""

    def __init__(
        self, usual: Usual, snapshot: Snapshot, present: Present, trusted: Marks, *, texts: bool = False
    ) -> None:
        """Weigh all accounts; `texts`: of such, what is unlike anything that customers ask is a copy's."""
        self.texts = texts
        fine = (snapshot.counts > 0) & np.isfinite(snapshot.counts) & np.isfinite(snapshot.sums).all(axis=1)
        self.usual, self.snapshot, self.centre = usual, snapshot, present.centre
        self.trusted = trusted
        self.places = {name: place for place, name in enumerate(snapshot.names)}
        self.age_s = np.maximum(snapshot.at - snapshot.last, 0)
        self.fine = fine & (self.age_s < AWAKE_S)
        self.untrusted = ~trusted & ~snapshot.protected
        self.drift = _moved(usual, snapshot, trusted & fine, present.centre)
        self.noise = ((1 + CLUSTERED * usual.habit) / present.weight).astype(np.float32)
        counts = np.where(fine, snapshot.counts, 1).astype(np.float32)
        sums = snapshot.sums if fine.all() else np.where(fine[:, None], snapshot.sums, present.centre)
        self.evidence = self._weigh(counts, sums)
        self.enough: Floats = np.full(len(counts), np.inf, np.float32)  # the score that names each, however few asked
        self.alone: Marks = np.zeros(len(counts), np.bool_)  # who came, not long ago, with no more than usually do
        self.waved: Marks = np.zeros(len(counts), np.bool_)  # who came with a wave that is known
        self.single: Floats = np.ones(WIDTH, np.float32)  # how single queries of established accounts vary
        self.kin: Marks = np.zeros(len(counts), np.bool_)  # who asks nearly what others ask (kin.py)
        self._peers: list[Evidence] = []
        self._asking: Contemporaries | None = None  # whose single queries are those of established customers
        self._left: tuple[Gathered, Floats] | None = (
            None  # the last of `_beyond`, which is asked for again: it takes long
        )
        self._recent: dict[float, tuple[Rows, Floats, Evidence]] = {}  # who asked of late, how much, and what

    def look(self, peers: Contemporaries, fresh: Contemporaries) -> None:
        """Weigh single queries of established accounts, and what untrusted ones asked in the last hours."""
        for size in PEERS:
            means = peers.groups(size)
            self._peers.append(self._weigh(np.full(len(means), size, np.float32), means * size))
        singles = self._peers[0]
        if len(singles.pull):
            self.single = ((singles.pull / singles.precision) ** 2).mean(axis=0)
        self._asking = peers
        for view in cohorts.RECENT_S:
            names, counts, sums = fresh.accounts(self.snapshot.at, view)
            rows = np.array([self.places.get(name, -1) for name in names], np.intp)
            known = rows >= 0
            known[known] = self.untrusted[rows[known]]
            self._recent[view] = rows[known], counts[known], self._weigh(counts[known], sums[known])

    def mark(self, names: Iterable[str]) -> Marks:
        """Say of each account whether it is among some."""
        found = np.zeros(len(self.snapshot.names), np.bool_)
        found[[place for place in map(self.places.get, names) if place is not None]] = True
        return found

    def _weigh(self, counts: Floats, sums: Floats) -> Evidence:
        return attribution.weigh(self.usual, self.centre, counts, sums, self.drift)

    def compare(self, rows: Rows, view: float) -> Test:
        """Test some accounts: what they asked in the last hours, or all that is remembered of them."""
        if view == ALL_S:
            return cohorts.compare(self.usual, self.evidence.take(rows), np.ones(len(rows), np.float32), self.noise)
        asked, counts, evidence = self._recent[view]
        mine = np.isin(asked, rows)
        return cohorts.compare(self.usual, evidence.take(mine), np.minimum(counts[mine], 1), self.noise)

    def fade(self, rows: Rows, view: float) -> Floats:
        """Return how much accounts count in a view, by when they last asked."""
        found: Floats = np.exp(-self.age_s[rows] / view).astype(np.float32)
        return found

    def honest(self, mean: Floats) -> tuple[Floats, ...]:
        """Return what established customers score for a mean: groups of queries, by size, and whole accounts."""
        whole = np.flatnonzero(self.trusted & self.fine & (self.snapshot.counts >= WHOLE / 2))
        return tuple(attribution.score(evidence, mean) for evidence in (*self._peers, self.evidence.take(whole)))

    def is_seeking(self, group: Gathered, least: float = cohorts.SEEKING) -> bool:
        """Say whether a group goes where only who copies does."""
        return cohorts.is_seeking(self.usual, group, least) or self._is_beyond(group)

    def _is_beyond(self, group: Gathered) -> bool:
        """Say whether a group's texts are far from all that established customers ask, in whatever shares.

        A text is long or short for its own reasons, and each lies where few do: neither doubt nor what is strange tells
        much of it.
        """
        if not self.texts:
            return False
        left = self._beyond(group)
        return float((left * left / (self.usual.habit + group.noise)).sum()) > BEYOND

    def is_common(self, group: Gathered, *, surely: bool) -> bool:
        """Say whether established customers ask, and are answered, the same as a group, in other shares.

        Where too little is asked to be sure: that they may, or, with `surely`, that they do not.
        """
        if self._is_beyond(group):
            return False
        seeking = self.usual.seeking
        chance = float((COMMON_SURE * np.sqrt((seeking**2) @ group.noise)).max())
        if surely and chance >= COMMON:
            return False
        if self._ground is None:
            return False
        left = float((seeking @ self._beyond(group)).max())
        return left < (COMMON - chance if surely else COMMON + chance)

    def _beyond(self, group: Gathered) -> Floats:
        """Return what no shares of the ground explain of a group's mean: all of it, where there is none."""
        if self._ground is None:
            return group.raw
        if self._left is None or self._left[0] is not group:
            self._left = group, self._ground.beyond(group.raw, self.shift_of(group.raw)[:FEATURES])
        return self._left[1]

    @cached_property
    def _ground(self) -> Ground | None:
        """What established customers ask, without those who woke of late: a survey takes long."""
        if self._asking is None:
            return None
        woken = self.snapshot.cohorts.get("woken")
        names = () if woken is None else {self.snapshot.names[row] for row in np.flatnonzero(woken >= 0).tolist()}
        return self._ground_of(self._asking.rows((), names)[0])

    def _ground_of(self, rows: Floats) -> Ground | None:
        near = (rows - self.centre) @ self.usual.basis
        whitened = (near - (near @ self.drift) @ self.drift.T).astype(np.float32, copy=False)
        back = np.linalg.inv(self.usual.basis.astype(np.float64))[:, :FEATURES]
        return ground.survey(rows, whitened, (whitened @ back).astype(np.float32))

    def shift_of(self, mean: Floats) -> Floats:
        """Return where a whitened mean lies from the centre, in features."""
        basis = self.usual.basis.T.astype(np.float64)
        found: Floats = np.linalg.solve(basis, mean.astype(np.float64)).astype(np.float32)
        return found


def _moved(usual: Usual, snapshot: Snapshot, trusted: Marks, centre: Floats) -> Floats:
    """Return the ways in which established accounts have moved of late: along them, new ones tell nothing.

    But never the ways that raids go: attackers among established accounts could hide all others behind themselves.
    """
    if trusted.sum() < calibration.ACCOUNTS_MIN:
        return np.zeros((WIDTH, 0), np.float32)
    weights = np.minimum(snapshot.counts[trusted], calibration.COUNT_MAX)
    before = (weights / snapshot.counts[trusted]) @ snapshot.sums[trusted] / weights.sum()
    moved = np.stack([(centre - before) @ usual.basis, (centre - usual.centre) @ usual.basis], axis=1)
    plane, _ = np.linalg.qr(usual.seeking.T.astype(np.float64))
    moved = moved - plane @ (plane.T @ moved)
    turned, _ = np.linalg.qr(moved + 1e-9)
    found: Floats = turned.astype(np.float32)
    return found
