"""A wave: accounts that came together, each of a network of its own, and share nothing that could have brought them.

Who copies a model with natural inputs asks what customers ask: no question gives it away, and no account.  But its
accounts come at once.  Honest ones that come at once were brought by something: they try what a tutorial shows, or
belong to one customer, and so what they ask lies together, away from what everybody asks.  Of accounts with weights w,
n queries each and the mean m, whitened,

    |m|^2 - sum over coordinates of sum(w^2 ((s - b) / n + b)) / sum(w)^2

is how far they lie from everybody, without what chance makes of it (s is how single queries vary) and single habits
(b): about as much as the habit of one honest account varies, the sum of b, at a launch, and nothing where all of them
ask about everything alike.

This raises an alarm, and names nobody: many customers may come at once of whom each is after something else.

Misses: a few accounts a day; and accounts that all begin with the same questions, as after a tutorial.

Rule 1: a network is counted once, however many accounts it has.
Rule 2: what is usual is the mean of twelve days, none of them for more than twice the middle one, so that no single
wave makes the next one usual.
Rule 3: a wave is an alarm for as long as enough of it asks; its accounts are those that came in its time.
"""

from __future__ import annotations

from math import floor, inf, isfinite, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vallum.core.extraction import DAY_S
from vallum.extraction.facts import Alarm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from vallum.extraction.scene import Marks, Rows, Scene

KIND = "wave"  # of cohort
STRETCH_S = 6 * 3600.0  # by which time is counted when accounts come
USUAL_DAYS, LATE_DAYS = 14, 2  # of which the last do not say what is usual
TIMES, DEVIATIONS = 3.0, 6.0  # what is usual, and what chance adds to it, that more must come than
LEAST = 15  # networks, of which a wave has as many
APART = 4  # stretches without a crowd, after which another wave begins
EACH = 8.0  # queries beyond which an account tells no more of a wave
SHARED = 0.25  # of what one honest account's habit varies, that a wave lies from everybody at most
SURE = 2.0  # deviations of chance that are allowed for
WAVES_MAX = 8
NONE = -1


class Wave(NamedTuple):
    """The time in which its accounts came."""

    first: int  # stretch
    last: int
    needed: float  # networks, from which it is an alarm

    @property
    def cohort(self) -> str:
        """What its accounts are called together."""
        return f"{KIND}:{self.first}"


class Waves:
    """The waves of late."""

    def __init__(self) -> None:
        """Begin without any."""
        self._known: list[Wave] = []

    def find(self, scene: Scene, came: NDArray[np.float64], began: float) -> list[Alarm]:
        """Return an alarm for each wave that is under way.

        `came` says when each account did, -inf where that is unknown; `began`, since when that is known.
        """
        now = scene.snapshot.at
        known = scene.untrusted & np.isfinite(came)
        networks = _networks(scene)
        stretches = _stretches(came)
        oldest = (now - USUAL_DAYS * DAY_S) // STRETCH_S
        before = [wave for wave in self._known if wave.last >= oldest]
        usual = usual_a_day(came[known], networks[known], now, began)
        needed = max(LEAST, TIMES * usual, usual + DEVIATIONS * sqrt(usual))
        today = known & (came > now - DAY_S)
        crowded = _crowded(stretches[today], networks[today], needed) if _distinct(networks[today]) >= needed else []
        asking = known & scene.fine & (scene.age_s < DAY_S)
        found: list[Alarm] = []
        self._known = []
        for wave in _grow(before, crowded, needed):
            rows = np.flatnonzero(asking & (stretches >= wave.first) & (stretches <= wave.last))
            count = _distinct(networks[rows])
            least, most = apart(scene, rows, networks[rows]) if count >= wave.needed else (0.0, np.inf)
            if most < SHARED:
                found.append(Alarm(wave.cohort, float(count), wave.needed, count))
                self._known.append(wave)
            elif least < SHARED:  # else it was brought by something, and is no wave
                self._known += [old for old in before if old.first == wave.first]
        self._known = self._known[-WAVES_MAX:]
        return found

    def members(self, came: NDArray[np.float64]) -> Marks:
        """Say of each account, by when it came, whether it belongs to a wave."""
        stretches = _stretches(came)
        found = np.zeros(len(came), np.bool_)
        for wave in self._known:
            found |= (stretches >= wave.first) & (stretches <= wave.last)
        return found

    def cohort_of(self, came: float) -> str:
        """Name the wave that an account belongs to by when it came; nothing, where it belongs to none."""
        stretch = floor(came / STRETCH_S) if isfinite(came) else NONE
        return next((wave.cohort for wave in self._known if wave.first <= stretch <= wave.last), "")

    def state(self) -> list[tuple[int, int, float]]:
        """Return what is remembered."""
        return [(wave.first, wave.last, wave.needed) for wave in self._known]

    def take_state(self, state: Iterable[Any]) -> None:
        """Remember what another did."""
        self._known = [Wave(int(first), int(last), float(needed)) for first, last, needed in state]


def _grow(known: list[Wave], crowded: list[int], needed: float) -> list[Wave]:
    """Return the waves, those that are known gone on to where more came, and those that begin."""
    waves = list(known)
    for stretch in crowded:
        near = waves[-1] if waves and waves[-1].last + APART >= stretch else None
        if near is None:
            waves.append(Wave(stretch, stretch, needed))
        else:
            waves[-1] = near._replace(last=max(near.last, stretch))
    return waves


def usual_a_day(came: NDArray[np.float64], networks: NDArray[np.int64], now: float, began: float) -> float:
    """Return from how many networks accounts usually come in a day: inf while that is not known, 1 at least."""
    days = min(USUAL_DAYS, floor((now - began) / DAY_S)) if isfinite(began) else 0
    if days < USUAL_DAYS / 2:
        return inf
    ages = (now - came) // DAY_S
    counts = np.array([_distinct(networks[ages == age]) for age in range(LATE_DAYS, days)])
    return max(1.0, float(np.minimum(counts, 2 * max(1.0, np.median(counts))).mean()))


def apart(scene: Scene, rows: Rows, networks: NDArray[np.int64]) -> tuple[float, float]:
    """Return how far what some accounts ask lies from what everybody asks, at least and at most.

    In shares of what one honest account's habit varies.
    """
    _, places, sizes = np.unique(networks, return_inverse=True, return_counts=True)
    counts = scene.snapshot.counts[rows]
    weights = np.minimum(counts, EACH) / sizes[places]
    habit, evidence = scene.usual.habit, scene.evidence.take(rows)
    total = float(weights.sum())
    mean = weights @ (evidence.pull / evidence.precision) / total
    each = np.maximum(scene.single - habit, 0) / np.maximum(counts, 1)[:, None]
    chance = (weights**2) @ (habit + each) / total**2
    far, reach = float((mean**2 - chance).sum()), SURE * sqrt(2 * float((chance**2).sum()))
    one = float(habit.sum())
    return (far - reach) / one, (far + reach) / one


def _stretches(came: NDArray[np.float64]) -> NDArray[np.int64]:
    return (np.where(np.isfinite(came), came, NONE) // STRETCH_S).astype(np.int64)


def _networks(scene: Scene) -> NDArray[np.int64]:
    """Return a number for each account's network; one of its own, where that is unknown."""
    size = len(scene.snapshot.names)
    own = -1 - np.arange(size, dtype=np.int64)
    codes = scene.snapshot.cohorts.get("network")
    return own if codes is None else np.where(codes >= 0, codes, own)


def _distinct(networks: NDArray[np.int64]) -> int:
    return len(np.unique(networks))


def _crowded(stretches: NDArray[np.int64], networks: NDArray[np.int64], needed: float) -> list[int]:
    """Return the stretches of time in which their share came of what is needed in a day."""
    share = needed * STRETCH_S / DAY_S
    return [one for one in np.unique(stretches).tolist() if _distinct(networks[stretches == one]) >= share]
