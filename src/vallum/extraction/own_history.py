"""Sets an account against its own history, and says how unlike its owner what is asked is.

Of each account that has a history, its last queries are kept as sums of `BLOCK` each, 15 to 21 queries in all; what it
asked before is what its sketch holds beyond that.  How far the two are apart, and how seldom that happens to honest
accounts, says how strange the last queries are: 0 as ever, 1 as only `RARE` of honest accounts are in a week.  A window
that ends at once, and not by fading, holds nothing but a thief's queries by its twentieth.

A strange account is told of, and, where nothing else speaks for a theft, asked to prove possession only at 1.  Signs of
theft (core/theft.py: a new network, agent or scope) lower what content must show: 0.3 of them, 0.3 less.

Rule 1: never a block.  Who proves possession of a bound credential is let in, whatever is asked.
Rule 2: nothing is said before `PAIRS_MIN` pairs of what is usual, and `WEEKS_MIN` weeks of accounts, are known.
Rule 3: a strange account stays so for a day, fading: a thief who goes on would soon be that account's history.

Memory: under 1 KiB an account with a history, `ACCOUNTS_MAX` of them; the one that was silent longest makes way.

Misses: who asks as the owner does, or as many others do (another customer's credential, used for that customer's
purposes); the first dozen or so queries; accounts of less than `HISTORY_MIN` queries in two weeks.  Each replica sees
the queries that it answered itself: of four replicas, each notices after four times as many, and each learns what is
usual by itself.  After a restart the first twenty queries of an account are those of its owner.  Where honest accounts
ask in runs about one thing, what is usual takes in such runs, and who asks about one thing that others ask about too is
seldom noticed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from math import inf, log
from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.core.extraction import DAY_S
from vallum.extraction.facts import WIDTH
from vallum.extraction.habit import Habit, Pair, Rarity, fit
from vallum.extraction.state import check_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats

ACCOUNTS_MAX = 10_000
HISTORY_MIN = 60  # queries before the last ones
BLOCKS, BLOCK = 3, 7  # sums of the last queries, the latest of them not full, and how many queries are in one
USUAL = (BLOCKS - 0.5) * BLOCK + 0.5  # queries in all of them, on average
RARE = 0.0007  # of accounts, in a week
PAIRS_MIN, PAIRS_MAX = 240, 2000
PAIR_EVERY, PAIRS_OF_ONE = 12, 12  # queries between two pairs of an account, and how many it may give
WEEKS_MIN, WEEKS_MAX = 80, 4000
WEEK_S, STAYS_S = 7 * DAY_S, DAY_S


@dataclass(slots=True)
class Recent:
    """What is kept of one account."""

    place: int  # of its blocks among all
    asked: int = 0
    pairs: int = 0  # that it gave
    largest: float = -inf  # strangeness of this week
    week: int = 0
    strange: float = 0.0  # the most of late
    at: float = 0.0  # when that was

    def add(self, row: Floats, blocks: NDArray[np.float16]) -> None:
        """Take a query into its blocks; each one's first query puts an end to the eldest."""
        block = blocks[self.asked // BLOCK % BLOCKS]
        block[:] = block + row if self.asked % BLOCK else row
        self.asked += 1

    def count(self) -> int:
        """Return how many queries are in the blocks."""
        return min(self.asked, (BLOCKS - 1) * BLOCK + (self.asked - 1) % BLOCK + 1)


class OwnHistory:
    """All accounts of a route, each against its own."""

    def __init__(self, most: int = ACCOUNTS_MAX) -> None:
        """Keep at most `most` accounts."""
        self._most = most
        self._accounts: OrderedDict[str, Recent] = OrderedDict()
        # Sums of each account's last queries: in three digits, or they would take more than all else known of it.
        self._blocks = np.zeros((most, BLOCKS, WIDTH), np.float16)
        self._pairs: list[Pair] = []
        self._weeks: list[float] = []
        self._habit: Habit | None = None
        self._fitted = 0  # to how many pairs
        self._rarity: Rarity | None = None

    @property
    def calibrated(self) -> bool:
        """Whether enough is known of what is usual."""
        return self._rarity is not None

    def note(self, name: str, rows: Floats, count: float, total: Floats, at: float) -> float:
        """Take a query's rows, and say how strange the account's last queries are, 0 to 1.

        `count` and `total` are those of all its queries of the last two weeks, these among them.
        """
        if count < HISTORY_MIN / 2:  # a flood of accounts that ask little takes no room
            return 0.0
        kept = self._find(name)
        blocks = self._blocks[kept.place]
        for row in rows:
            kept.add(row, blocks)
        last = kept.count()
        before = count - last
        if last <= (BLOCKS - 1) * BLOCK or before < HISTORY_MIN:
            return self.judge(name, at)
        recent = blocks.sum(axis=0, dtype=np.float32)
        past = (total - recent) / np.float32(before)
        pair = Pair(recent / np.float32(last), past, before, USUAL / last)
        self._gather(kept, pair)
        if self._habit is None:
            return 0.0
        strangeness = self._habit.strangeness(pair)
        if self._rarity is not None:
            strange = min(1.0, log(max(self._rarity.of(strangeness), RARE)) / log(RARE))
            if strange >= self.judge(name, at):
                kept.strange, kept.at = strange, at
        self._learn(kept, strangeness, at)
        return self.judge(name, at)

    def judge(self, name: str, at: float) -> float:
        """Say how strange an account is by now, 0 to 1."""
        kept = self._accounts.get(name)
        if kept is None:
            return 0.0
        return kept.strange * min(1.0, max(0.0, 1 - (at - kept.at) / STAYS_S))

    def state(self) -> Any:
        """Return what is usual, as far as it is known; of accounts, nothing."""
        habit = None if self._habit is None else [*self._habit[:3], self._habit.noise]
        return {"habit": habit, "fitted": self._fitted, "weeks": np.array(self._weeks)}

    def take_state(self, state: Any) -> None:
        """Go by what another knew.  Raise ValueError for what is no state."""
        weeks, fitted = check_array(state["weeks"], np.float64, None), int(state["fitted"])
        habit = None
        if state["habit"] is not None:
            middle, basis, spread, noise = state["habit"]
            habit = Habit(
                check_array(middle, np.float32, WIDTH),
                check_array(basis, np.float32, WIDTH, WIDTH),
                check_array(spread, np.float32, WIDTH),
                float(noise),
            )
        self._habit, self._fitted, self._weeks = habit, fitted, weeks.tolist()[-WEEKS_MAX:]
        self.fit()

    def copy_for(self, name: str) -> OwnHistory:
        """Return a copy for one account, which leaves no trace on this one and learns nothing but from it."""
        other = OwnHistory(most=1)
        other._habit, other._rarity, other._fitted = self._habit, self._rarity, self._fitted
        if name in self._accounts:
            kept = self._accounts[name]
            other._accounts[name] = replace(kept, place=0)
            other._blocks[0] = self._blocks[kept.place]
        return other

    def clear(self, name: str) -> None:
        """Take an account's last queries for its owner's, as an operator says."""
        if name in self._accounts:
            self._accounts[name] = Recent(self._accounts[name].place)

    def _find(self, name: str) -> Recent:
        kept = self._accounts.get(name)
        if kept is None:
            place = len(self._accounts)
            if place >= self._most:
                _, gone = self._accounts.popitem(last=False)
                place = gone.place
            kept = self._accounts[name] = Recent(place)
        else:
            self._accounts.move_to_end(name)
        return kept

    def _gather(self, kept: Recent, pair: Pair) -> None:
        """Take a pair into what is usual, some of each account."""
        if kept.asked % PAIR_EVERY == 0 and kept.pairs < PAIRS_OF_ONE and len(self._pairs) < PAIRS_MAX:
            self._pairs.append(pair)
            kept.pairs += 1

    def fit(self) -> None:
        """Say what is usual from here on, as far as enough is known; call off the request path, now and then."""
        pairs = self._pairs[:]
        if len(pairs) >= max(PAIRS_MIN, min(2 * self._fitted, PAIRS_MAX)) and self._fitted < PAIRS_MAX:
            self._habit, self._fitted = fit(pairs), len(pairs)
            self._weeks = []  # they were told by another measure
            for kept in [*self._accounts.values()]:
                kept.largest = -inf
        if self._habit is not None and len(self._weeks) >= WEEKS_MIN:
            self._rarity = Rarity(np.array(self._weeks[:]))

    def _learn(self, kept: Recent, strangeness: float, at: float) -> None:
        """Take the largest strangeness of the account's last week into what is usual, once that week is over."""
        week = int(at // WEEK_S)
        if week > kept.week:
            if kept.largest > -inf:
                self._weeks.append(kept.largest)
                del self._weeks[:-WEEKS_MAX]
            kept.week, kept.largest = week, -inf
        kept.largest = max(kept.largest, strangeness)
