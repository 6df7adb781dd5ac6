"""All sketches of a route, in preallocated arrays: a line an account, one for each of two windows.

Memory: 1.2 KB an account, claimed as accounts come: 60 MB at 50,000 accounts, and half as much again for what is owed
to other replicas, where there are any.

Who is pushed out when the crowd is full: first whoever is neither held (suspected, verified) nor known for two weeks,
and of those who asked least in the time they are known.  A flood of accounts with one query each pushes out itself: a
few hundredths of the places are all it can take from others.  What is pushed out stays in the sum of its day of
creation, an account of its own (`POOL` begins its name).
"""

from __future__ import annotations

from collections import deque
from functools import cache, partial
from hashlib import blake2b
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vallum.core.extraction import DAY_S, Account
from vallum.extraction.facts import Snapshot
from vallum.extraction.sketch import COUNT, LINE, ROWS, SQUARES, Sketch, empty_line, fade, window_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats

ACCOUNTS_MAX = 50_000
NEW_S = 14 * DAY_S  # younger accounts are new, older ones established
ASLEEP_S = 14 * DAY_S  # who asks nothing for so long was dormant
POOL = "\x1fcreated on day "  # begins the name of a sum of accounts that were pushed out; no caller's name does
POOLS = 16  # of those at most: a day of creation each, the older ones together
PUSHED_OUT = 128  # one in so many accounts goes, each time that room is made
DUE_MAX = 100_000  # accounts that were pushed out while nobody fetched what is owed; of earlier ones it is forgotten
NONE = -1  # the code of who belongs to no cohort of a kind
GIVEN = ("network", "agent", "client", "tenant")  # kinds of cohorts that an account's own facts make
# Besides these, time makes three: `created` is the day; `new` are the accounts of the last two weeks; `woken` those
# that asked again, or for the first time, after long silence.


class Kept(NamedTuple):
    """All accounts of a crowd: line i of every array is account i's."""

    scale: int
    window: int
    began: float
    accounts: list[Account]
    pools: list[str]  # names of those that are sums
    recent: Floats
    earlier: Floats
    times: NDArray[np.float64]  # (5, accounts): inputs asked; then Unix seconds of first, last, created, woken


class Crowd:
    """The accounts of one route."""

    def __init__(self, scale: int, secret: bytes = b"", most: int = ACCOUNTS_MAX, *, shared: bool = False) -> None:
        """Keep at most `most` accounts, of features on `scale`; with `shared`, also what other replicas are owed."""
        self.scale = scale
        self._secret = secret
        self._most = max(most, 1)
        self._pushed = -(-self._most // PUSHED_OUT)  # rounded up
        size = self._most + POOLS
        self._accounts: list[Account] = []
        self._slots: dict[str, int] = {}
        self._window = 0
        self._began = inf  # when the first query came
        self._recent, self._earlier = np.zeros((size, LINE), np.float32), np.zeros((size, LINE), np.float32)
        self._owed = np.zeros((size if shared else 0, LINE), np.float32)
        self._owing: set[str] = set()  # whose lines of `_owed` hold something
        # What was owed of earlier windows, and of who was pushed out.
        self._due: deque[Iterator[tuple[Account, Sketch]]] = deque(maxlen=DUE_MAX // self._pushed)
        self._pools: set[str] = set()
        self._asked = np.zeros(size)  # inputs since an account is known, whatever the window
        self._first, self._last, self._created, self._woken = (np.zeros(size) for _ in range(4))
        self._codes = np.zeros((size, len(GIVEN)), np.int32)
        self._held, self._verified = np.zeros(size, np.bool_), np.zeros(size, np.bool_)

    def __len__(self) -> int:
        """Return how many accounts are kept, sums of those pushed out among them."""
        return len(self._accounts)

    def __contains__(self, name: str) -> bool:
        """Say whether an account is kept."""
        return name in self._slots

    def add(self, account: Account, rows: Floats, at: float) -> None:
        """Add the rows of one query."""
        self._turn(window_of(at))
        slot = self._meet(account, at, at)
        count = len(rows)
        line = np.empty(LINE, np.float32)
        line[COUNT], line[SQUARES] = count, np.vdot(rows, rows)
        line[ROWS] = rows[0] if count == 1 else rows.sum(axis=0)
        self._recent[slot] += line
        if len(self._owed):
            self._owed[slot] += line
            self._owing.add(account.name)
        self._asked[slot] += count

    def merge(self, account: Account, sketch: Sketch, at: float) -> None:
        """Add what another replica counted; raise ValueError for what is on another scale, or of the future."""
        if sketch.scale != self.scale:
            raise ValueError("a sketch of another scale")
        if sketch.window > window_of(at) + 1:
            raise ValueError("a sketch of the future")
        self._turn(max(sketch.window, window_of(at)))
        slot = self._meet(account, min(sketch.first, at), min(sketch.last, at))
        self._first[slot] = min(self._first[slot], sketch.first)
        self._created[slot] = min(self._created[slot], sketch.created)
        if sketch.window == self._window:
            self._recent[slot] += sketch.recent
            self._earlier[slot] += sketch.earlier
        elif sketch.window == self._window - 1:
            self._earlier[slot] += sketch.recent
        self._asked[slot] += sketch.recent[COUNT] + sketch.earlier[COUNT]

    def take(self, most: int = ACCOUNTS_MAX) -> list[tuple[Account, Sketch]]:
        """Return what was added here, and not merged, since the last time, for the other replicas.

        Of more than `most` accounts, the others wait for the next time.
        """
        due: list[tuple[Account, Sketch]] = []
        while self._due and len(due) < most:
            due += islice(self._due[0], most - len(due))
            if len(due) < most:
                self._due.popleft()
        for name in list(islice(self._owing, most - len(due))):
            slot = self._slots[name]
            due.append((self._accounts[slot], self._sketch(slot, self._owed[slot].copy())))
            self._owed[slot] = 0
            self._owing.discard(name)
        return due

    def sketch(self, name: str) -> Sketch | None:
        """Return what is kept of an account."""
        slot = self._slots.get(name)
        if slot is None:
            return None
        return self._sketch(slot, self._recent[slot].copy(), self._earlier[slot].copy())

    def copy(self) -> Kept:
        """Return all that is kept: copies, which another thread may read."""
        size = len(self._accounts)
        lines = (self._recent[:size].copy(), self._earlier[:size].copy())
        times = np.stack([column[:size] for column in self._times()])
        return Kept(self.scale, self._window, self._began, self._accounts.copy(), sorted(self._pools), *lines, times)

    def fill(self, kept: Kept) -> None:
        """Put this in the place of all accounts, those who asked most where there is no room for all.

        What is owed to other replicas is forgotten.  Raise ValueError for what is on another scale.
        """
        if kept.scale != self.scale:
            raise ValueError("a crowd of another scale")
        asked = kept.times[0].copy()
        asked[[account.name in kept.pools for account in kept.accounts]] = inf
        order = np.sort(np.argsort(-asked, kind="stable")[: self._most + len(kept.pools)])
        size = len(order)
        self._accounts = [kept.accounts[place] for place in order.tolist()]
        self._slots = {account.name: slot for slot, account in enumerate(self._accounts)}
        self._pools = {name for name in kept.pools if name in self._slots}
        self._owing.clear()
        self._due.clear()
        self._window, self._began = kept.window, kept.began
        for column, lines in ((self._recent, kept.recent), (self._earlier, kept.earlier)):
            column[:size], column[size:] = lines[order], 0
        for times, numbers in zip(self._times(), kept.times, strict=True):
            times[:size], times[size:] = numbers[order], 0
        self._owed[:] = 0
        self._held[:] = False
        # Of many accounts few facts differ.
        code = cache(self._code)
        for slot, account in enumerate(self._accounts):
            is_pool = account.name in self._pools
            self._verified[slot] = account.verified and not is_pool
            self._codes[slot] = NONE if is_pool else [code(*given) for given in zip(GIVEN, account[2:6], strict=True)]

    def _times(self) -> tuple[NDArray[np.float64], ...]:
        return self._asked, self._first, self._last, self._created, self._woken

    def asked(self, name: str) -> int:
        """Return how many inputs of an account were answered since it is known, on all replicas."""
        slot = self._slots.get(name)
        return 0 if slot is None else int(self._asked[slot])

    def created(self, name: str) -> float | None:
        """Return since when an account is known, at the latest: Unix seconds."""
        slot = self._slots.get(name)
        return None if slot is None else float(self._created[slot])

    def cohorts_of(self, account: Account) -> list[str]:
        """Name the cohorts that an untrusted account belongs to as sweeps do: a kind, and the number of which."""
        given = zip(GIVEN, account[2:6], strict=True)
        named = [f"{kind}:{self._code(kind, value)}" for kind, value in given if value]
        created = min((at for at in (account.created, self.created(account.name)) if at is not None), default=None)
        return ["new", *named, *([] if created is None else [f"created:{int(created // DAY_S)}"])]

    def hold(self, names: Iterable[str]) -> None:
        """Keep these accounts whatever comes, and the verified ones; all others may be pushed out."""
        self._held[:] = False
        self._held[[slot for slot in map(self._slots.get, names) if slot is not None]] = True

    def forget(self, name: str) -> None:
        """Keep nothing of an account any more."""
        slot = self._slots.get(name)
        if slot is not None:
            self._drop(np.array([slot]))

    def snapshot(self, at: float) -> Snapshot:
        """Return all accounts as they stand: copies, which another thread may read."""
        size = len(self._accounts)
        lines = self._earlier[:size] * np.float32(fade(at, self._window))
        lines += self._recent[:size]
        created, codes = self._created[:size].copy(), self._codes[:size].T.copy()
        cohorts = dict(zip(GIVEN, codes, strict=True))
        cohorts["created"] = (created // DAY_S).astype(np.int32)
        cohorts["new"] = _mark(at - created < NEW_S)
        cohorts["woken"] = _mark(at - self._woken[:size] < NEW_S)
        return Snapshot(
            at,
            [account.name for account in self._accounts],
            lines[:, COUNT].copy(),
            lines[:, ROWS],
            lines[:, SQUARES].copy(),
            created,
            self._last[:size].copy(),
            cohorts,
            self._verified[:size].copy(),
        )

    def _meet(self, account: Account, first: float, last: float) -> int:
        """Find or make the account's place, and bring what is known of it up to date."""
        slot = self._slots.get(account.name)
        if slot is None:
            slot = self._enter(account, first)
        elif account != self._accounts[slot]:
            self._describe(slot, account)
        if last - self._last[slot] >= ASLEEP_S:
            self._woken[slot] = last
        self._last[slot] = max(self._last[slot], last)
        return slot

    def _enter(self, account: Account, first: float) -> int:
        if len(self._accounts) >= self._most:
            self._make_room(first)
        slot = len(self._accounts)
        self._accounts.append(account)
        self._slots[account.name] = slot
        self._began = min(self._began, first)
        self._first[slot] = self._last[slot] = self._created[slot] = first
        self._describe(slot, account)
        # In the first two weeks everybody who was here before asks for the first time.
        asleep = first - self._created[slot] >= ASLEEP_S and first - self._began >= ASLEEP_S
        self._woken[slot] = first if asleep else -inf
        return slot

    def _describe(self, slot: int, account: Account) -> None:
        self._accounts[slot] = account
        self._codes[slot] = [self._code(kind, value) for kind, value in zip(GIVEN, account[2:6], strict=True)]
        self._verified[slot] = account.verified
        if account.created is not None and account.created >= 0:
            self._created[slot] = min(self._created[slot], account.created)

    def _code(self, kind: str, value: str | None) -> int:
        """Return the number of a cohort: the same on every replica, and nobody can aim for another's."""
        if not value:
            return NONE
        digest = blake2b(f"{kind} {value}".encode("utf-8", "surrogatepass"), digest_size=4, key=self._secret[:64])
        return int.from_bytes(digest.digest(), "little") >> 1

    def _turn(self, window: int) -> None:
        """Go on to a later window; a clock that went back for longer than one is right now, and was wrong before."""
        if self._window - 1 <= window <= self._window:
            return
        if window > self._window:
            size = len(self._accounts)
            self._owe_all_later()
            self._recent, self._earlier = self._earlier, self._recent
            self._recent[:size] = 0  # there is nothing in the rest
            if window > self._window + 1:
                self._earlier[:size] = 0
        self._window = window

    def _owe_later(self, slots: list[int]) -> None:
        """Keep what is owed of these accounts apart; it becomes sketches, which takes long, when it is fetched."""
        if not slots:
            return
        accounts, lines = [self._accounts[slot] for slot in slots], self._owed[slots]
        times = np.stack([column[slots] for column in (self._first, self._last, self._created)], axis=1).tolist()
        self._owed[slots] = 0
        make = partial(Sketch, self.scale, self._window)
        self._due.append(
            (account, make(line, empty_line(), *those))
            for account, line, those in zip(accounts, lines, times, strict=True)
        )

    def _owe_all_later(self) -> None:
        """Keep apart what is owed of every account: as it stands, for to copy 50,000 lines holds up requests."""
        if not self._owing:
            return
        size = len(self._accounts)
        times = [column[:size].copy() for column in (self._first, self._last, self._created)]
        self._due.append(_sketches(partial(Sketch, self.scale, self._window), self._accounts.copy(), self._owed, times))
        self._owed = np.zeros(self._owed.shape, np.float32)  # claims no memory yet
        self._owing.clear()

    def _make_room(self, at: float) -> None:
        """Push out those who would be missed least."""
        size = len(self._accounts)
        known, silent = at - self._first[:size], at - self._last[:size]
        worth = self._asked[:size] * (1 + np.maximum(known, 0) / DAY_S) / (1 + np.maximum(silent, 0) / DAY_S)
        rank = 2 * (self._held[:size] | self._verified[:size]) + (known >= NEW_S)
        rank[[self._slots[name] for name in self._pools]] = 4
        gone = _least(rank, worth, self._pushed)  # many at once: it looks at them all
        self._owe_later([slot for slot in gone.tolist() if self._accounts[slot].name in self._owing])
        self._pool(gone, at)
        self._drop(gone)

    def _pool(self, gone: NDArray[Any], at: float) -> None:
        """Add the sums of those who go to those of their days of creation."""
        days = np.maximum(self._created[gone], at - NEW_S - DAY_S) // DAY_S
        for day in np.unique(days).tolist():
            pool = self._find_pool(day, at)
            slots = gone[days == day]
            for column in (self._recent, self._earlier, self._asked):
                column[pool] += column[slots].sum(axis=0)
            self._last[pool] = max(self._last[pool], self._last[slots].max())

    def _find_pool(self, day: float, at: float) -> int:
        """Return the place of a day's sum; the days take turns."""
        name = f"{POOL}{int(day) % POOLS}"
        slot = self._slots.get(name)
        if slot is None:
            slot = len(self._accounts)
            self._accounts.append(Account(name))
            self._slots[name] = slot
            self._pools.add(name)
            self._codes[slot] = NONE
        elif self._created[slot] // DAY_S == day:
            return slot
        for column in (self._recent, self._earlier, self._asked):
            column[slot] = 0
        self._first[slot] = self._last[slot] = self._created[slot] = day * DAY_S
        self._woken[slot] = -inf
        return slot

    def _drop(self, gone: NDArray[Any]) -> None:
        """Take accounts out, and fill their places with the last ones."""
        size = len(self._accounts)
        left = size - len(gone)
        going = set(gone.tolist())
        holes = [slot for slot in going if slot < left]
        movers = [slot for slot in range(left, size) if slot not in going]
        for slot in going:
            name = self._accounts[slot].name
            del self._slots[name]
            self._owing.discard(name)
        for hole, mover in zip(holes, movers, strict=True):
            self._accounts[hole] = self._accounts[mover]
            self._slots[self._accounts[hole].name] = hole
        del self._accounts[left:]
        columns = [self._recent, self._earlier, *self._times()]
        for column in (*columns, self._codes, self._held, self._verified, *([self._owed] if len(self._owed) else ())):
            column[holes] = column[movers]
            column[left:size] = 0

    def _sketch(self, slot: int, recent: Floats, earlier: Floats | None = None) -> Sketch:
        times = float(self._first[slot]), float(self._last[slot]), float(self._created[slot])
        lines = (recent, empty_line() if earlier is None else earlier)
        return Sketch(self.scale, self._window, *lines, *times)


def _sketches(
    make: Callable[..., Sketch], accounts: list[Account], owed: Floats, times: list[NDArray[np.float64]]
) -> Iterator[tuple[Account, Sketch]]:
    """Make a sketch of each account of which something is owed."""
    for slot in np.flatnonzero(owed[: len(accounts), COUNT]).tolist():
        yield accounts[slot], make(owed[slot], empty_line(), *(float(column[slot]) for column in times))


def _least(rank: NDArray[Any], worth: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Return the places of the `count` of least rank, and within a rank of least worth."""
    last = np.partition(rank, count - 1)[count - 1]
    below, level = np.flatnonzero(rank < last), np.flatnonzero(rank == last)
    left = count - len(below)
    return np.concatenate((below, level[np.argpartition(worth[level], left - 1)[:left]]))


def _mark(those: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return a code that is one for these, and nobody's for the others."""
    return np.where(those, np.int32(1), np.int32(NONE))
