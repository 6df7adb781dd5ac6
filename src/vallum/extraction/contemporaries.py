"""What established accounts asked in these hours: single queries, of as many accounts as can be.

New accounts are compared with what established ones ask *now*: where the season, the light or the product changes for
everybody, both change, and the difference between them stays what it was.

Rule 1: one account holds few of the places, however much it asks: who asks most does not say what is usual.
Rule 2: bounded: the oldest makes way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vallum.extraction.facts import WIDTH
from vallum.extraction.state import check_array

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats

PLACES = 2048
PLACES_EACH = 4
HOURS_S = 6 * 3600.0  # in which a query comes to count for 1/e of one of now
WORTHLESS = 0.02  # weight below which a query is too old to count
FEW = 256  # queries that a centre is taken from at least, as far as there are any


class Present(NamedTuple):
    """What is asked now."""

    centre: Floats  # (WIDTH,)
    weight: float  # how many queries of one weight would tell as much


class Contemporaries:
    """The last rows of established accounts, `places` at most."""

    def __init__(self, places: int = PLACES, each: int = PLACES_EACH) -> None:
        """Hold up to `places` rows, and of any one account up to `each`."""
        self._each = each
        self._rows = np.zeros((places, WIDTH), np.float32)
        self._times = np.full(places, -np.inf)
        self._owners = [""] * places
        self._held: dict[str, list[int]] = {}  # each owner's places, the oldest first
        self._next = 0
        self._count = 0

    def __len__(self) -> int:
        """Return how many rows are held."""
        return self._count

    def note(self, name: str, at: float, row: Floats) -> None:
        """Take one row: into the account's own oldest place, where it holds as many as it may, else into the next."""
        if not np.isfinite(row).all():
            return
        held = self._held.get(name, [])
        if len(held) >= self._each:
            place = held.pop(0)
        else:
            place = self._next
            self._next = (place + 1) % len(self._owners)
            self._count = max(self._count, place + 1)
            self._leave(place)
            self._owners[place] = name
            held = self._held.setdefault(name, [])
        held.append(place)
        self._rows[place] = row
        self._times[place] = at

    def copy(self) -> Contemporaries:
        """Return another with the same rows, which another thread may read."""
        other = Contemporaries(len(self._owners), self._each)
        other._rows[:], other._times[:] = self._rows, self._times
        other._owners = self._owners.copy()
        other._held = {name: held.copy() for name, held in self._held.items()}
        other._next, other._count = self._next, self._count
        return other

    def state(self) -> Any:
        """Return what is held, the oldest first, to three digits."""
        order = np.argsort(self._times[: self._count], kind="stable")
        names = [self._owners[place] for place in order.tolist()]
        return {"names": names, "times": self._times[order], "rows": self._rows[order].astype("<f2")}

    def take_state(self, state: Any) -> None:
        """Hold what another held.  Raise ValueError for what is no state."""
        names = list(map(str, state["names"]))
        times = check_array(state["times"], np.float64, len(names))
        rows = check_array(state["rows"], np.float16, len(names), WIDTH).astype(np.float32)
        for name, at, row in zip(names, times.tolist(), rows, strict=True):
            self.note(name, at, row)

    def _leave(self, place: int) -> None:
        held = self._held.get(self._owners[place])
        if held is not None:
            held.remove(place)
            if not held:
                del self._held[self._owners[place]]

    def rows(self, names: Collection[str], without: Collection[str] = ()) -> tuple[Floats, NDArray[np.int64]]:
        """Return all rows and whose each is: its place in `names`, -1 for nobody's; none of those `without`."""
        places = {name: place for place, name in enumerate(names)}
        kept = [place for place in range(self._count) if self._owners[place] not in without]
        owners = np.array([places.get(self._owners[place], -1) for place in kept], np.int64)
        return self._rows[kept], owners

    def last(self, most: int) -> tuple[Floats, list[str]]:
        """Return the last rows, `most` at most, and whose each is."""
        newest = np.argsort(-self._times[: self._count], kind="stable")[:most]
        return self._rows[newest], [self._owners[place] for place in newest.tolist()]

    def groups(self, size: int) -> Floats:
        """Return the means of `size` rows each, of one account each; an account has one at most."""
        places = [held[-size:] for held in self._held.values() if len(held) >= size]
        if not places:
            return np.zeros((0, WIDTH), np.float32)
        means: Floats = self._rows[np.array(places)].mean(axis=1)
        return means

    def accounts(self, now: float, tau_s: float) -> tuple[list[str], Floats, Floats]:
        """Return who asked in the last hours, how many queries of now theirs are worth, and their sums."""
        weights = np.exp(-np.maximum(now - self._times[: self._count], 0.0) / tau_s).astype(np.float32)
        fresh = (weights > WORTHLESS).tolist()
        names = [name for name, held in self._held.items() if fresh[held[-1]]]
        if not names:
            return [], np.zeros(0, np.float32), np.zeros((0, WIDTH), np.float32)
        places = np.array([place for name in names for place in self._held[name]])
        firsts = np.cumsum([0, *(len(self._held[name]) for name in names[:-1])])
        weighed = weights[places]
        counts: Floats = np.add.reduceat(weighed, firsts)
        sums: Floats = np.add.reduceat(weighed[:, None] * self._rows[places], firsts)
        return names, counts, sums

    def present(self, now: float, without: Collection[str] = ()) -> Present:
        """Return the mean of the last hours, and what it weighs."""
        ages = np.maximum(now - self._times[: self._count], 0.0)
        fresh = np.sort(ages)
        hours = max(HOURS_S, float(fresh[min(FEW, len(fresh)) - 1]) / 2) if len(fresh) else HOURS_S
        weights = np.exp(-ages / hours)
        if without:
            weights *= np.array([name not in without for name in self._owners[: self._count]])
        total = float(weights.sum())
        if total <= 0:
            return Present(np.zeros(WIDTH, np.float32), 0.0)
        centre = (weights @ self._rows[: self._count] / total).astype(np.float32)
        return Present(centre, total * total / float((weights**2).sum()))
