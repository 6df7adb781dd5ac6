"""Accounts that ask nearly what others asked, in many places: steps from known inputs, shared out over accounts.

Who copies a model by steps (from an input that was answered a little way towards the next border, and on from there)
and shares them out has one account ask nearly what another asked.  Two customers seldom come so near to each other: how
near they do is learnt from established ones.  Such a pair of queries, and all that is near to either, is a *place*.  An
example that many try, with a number changed, is one place or a few; a copy needs many.

Of an account one such query says enough, whatever else it asks: it is found at its first, among any number of others.

Rule 1: the same input again is no step, and queries of one account, or of one tenant, are no pair.
Rule 2: where established customers ask nearly the same as others do, nothing is near enough, and nobody is found.
Rule 3: bounded: the last `ROWS_MAX` queries of untrusted accounts are looked at, and `NAMES_MAX` accounts remembered.

Misses: who has each account step from its own inputs alone; steps as long as the way from one customer's input to the
next one's.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.core.extraction import DAY_S
from vallum.extraction.facts import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vallum.extraction.contemporaries import Contemporaries
    from vallum.extraction.facts import Floats
    from vallum.extraction.scene import Scene

    Numbers = NDArray[np.int64]

ROWS_MAX = 512
PLACES_MIN = 8
SELDOM = 0.01  # share of established customers' queries that are nearer to another's than the rest
NEARER = 0.5  # times the squared distance of those, which is near
SAME = 1e-4  # of that: the same input
LEARNT_FROM = 512  # queries whose nearest is looked for
LEARNT_MIN = 256
NAMES_MAX = 10_000  # those found last
REMEMBERED_S = 14 * DAY_S  # since an account was last found


class Kin:
    """Who was found, and when last."""

    def __init__(self) -> None:
        """Begin with nobody, and without knowing what is near."""
        self.names: dict[str, float] = {}
        self._reach = 0.0  # squared distance; 0: nothing is near

    def learn(self, rows: Floats, owners: Numbers) -> None:
        """Learn what is near from established accounts' rows, and whose each is."""
        if len(rows) < LEARNT_MIN:
            self._reach = 0.0
            return
        some = slice(None, None, -(-len(rows) // LEARNT_FROM))
        apart = _apart(rows[some, :FEATURES], rows[:, :FEATURES])
        apart[owners[some, None] == owners] = np.inf
        self._reach = NEARER * float(np.quantile(apart.min(axis=1), SELDOM))

    def search(self, scene: Scene, fresh: Contemporaries) -> int:
        """Look among the last rows of a scene's untrusted accounts; return how many places there are."""
        snapshot = scene.snapshot
        rows, names = fresh.last(ROWS_MAX)
        owners = np.array([scene.places.get(name, -1) for name in names], np.int64)
        mine = (owners >= 0) & scene.untrusted[owners]
        rows, owners = rows[mine], owners[mine]
        tenants = snapshot.cohorts.get("tenant", np.full(len(snapshot.names), -1))[owners]
        whose = [snapshot.names[owner] for owner in owners.tolist()]
        return self.look(snapshot.at, rows, np.where(tenants >= 0, -1 - tenants, owners), whose)

    def look(self, now: float, rows: Floats, owners: Numbers, names: list[str]) -> int:
        """Look for places among untrusted accounts' last rows; return how many there are.

        `names` has the name of each row's account; rows of one number in `owners` are one customer's.
        """
        self.names = {name: last for name, last in self.names.items() if now - last < REMEMBERED_S}
        labels = _places(rows[:, :FEATURES], owners, self._reach)
        places: dict[int, set[str]] = {}
        for label, name in zip(labels.tolist(), names, strict=True):
            if label >= 0:
                places.setdefault(label, set()).add(name)
        many = len(places) >= PLACES_MIN
        for found in places.values():
            if many or not found.isdisjoint(self.names):
                self.names |= dict.fromkeys(found, now)
        if len(self.names) > NAMES_MAX:
            self.names = dict(sorted(self.names.items(), key=itemgetter(1, 0))[-NAMES_MAX:])
        return len(places)

    def state(self) -> Any:
        """Return what is remembered."""
        return self.names, self._reach

    def take_state(self, names: Mapping[str, float], reach: float) -> None:
        """Remember what another did."""
        self.names = {str(name): float(last) for name, last in names.items()}
        self._reach = float(reach)


def _places(rows: Floats, owners: Numbers, reach: float) -> Numbers:
    """Return the number of each row's place; -1 of one that lies in none."""
    apart = _apart(rows, rows)
    near = (apart < reach) & (apart > SAME * reach) & (owners[:, None] != owners)
    ones, others = np.nonzero(near)
    labels = np.arange(len(rows))
    while True:
        before = labels.copy()
        np.minimum.at(labels, ones, labels[others])
        if (labels == before).all():
            break
    return np.where(near.any(axis=1), labels, -1)


def _apart(ones: Floats, others: Floats) -> Floats:
    """Return the squared distances of some rows from others."""
    apart: Floats = (ones * ones).sum(axis=1)[:, None] + (others * others).sum(axis=1) - 2 * (ones @ others.T)
    return apart
