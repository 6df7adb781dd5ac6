"""One process's part in a watch that several processes keep: all of them know the same, and one of them judges.

Each hands in what it has seen, as numbered entries of one log, and takes in what the others have (stores/watch_log.py).
Who holds the lease sweeps, tells the others what came of it by the same log, and shortens the log by a snapshot.

Rule 1: an entry counts once: by its writer's number, however often it was handed in, or read.
Rule 2: what was handed in is kept until a snapshot holds it: a store that forgets is told again.
Rule 3: while the store is out, each sweeps for itself, by all that it knew and what it sees.
Rule 4: who knows nothing yet does not take the lease from those who do: it waits, and they are faster.
Rule 5: what is no entry of this watch, version and secret is passed over, and said once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from vallum.stores.watch_log import LEASE_MS, START, Answer, read_label

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vallum.stores.seal import Seal
    from vallum.stores.watch_log import Label, Page, WatchLog

    Aside = Callable[..., Awaitable[Any]]

log = logging.getLogger("vallum")

OUTBOX_MAX = 64  # entries: beyond them what is seen adds up in the watch
SENT_MAX_BYTES = 16_777_216  # of entries that no snapshot holds
WRITERS_MAX = 1_000
PAGES_AT_ONCE = 300  # of the log, in one exchange: more than it holds
SNAPSHOT_S = 60.0
SNAPSHOT_ENTRIES = 256  # the log holds those of two snapshots, twice
CLAIM_S = LEASE_MS / 4000
ALONE_S = LEASE_MS / 1000  # without an answer of the store


class Shared(Protocol):
    """A watch, as far as it is shared.  All bytes are its own business; it raises ValueError for what is broken."""

    def take_notes(self) -> list[bytes]:
        """Return the next of what was noted here, in pieces that `add` takes; none: that was all."""

    def add(self, notes: bytes) -> None:
        """Add what was noted elsewhere."""

    def judgement(self, *, whole: bool = True) -> bytes:
        """Return all that judging goes by, but for what was noted; without the whole, what sweeps change."""

    def weigh(self, judgement: bytes) -> Any:
        """Read a judgement, in any thread."""

    def adopt(self, judgement: Any) -> None:
        """Judge as another does, whose judgement was read."""

    def capture(self) -> Callable[[], bytes]:
        """Return what writes, in any thread, all that is known at this moment."""

    def unpack(self, packed: bytes) -> Any:
        """Read what was captured, in any thread."""

    def restore(self, unpacked: Any) -> None:
        """Put what was unpacked in the place of all that is known."""


class Entry(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One entry of the log."""

    writer: str
    number: int
    is_judgement: bool
    content: bytes


class Told(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What a snapshot holds: the log up to a place, and each writer's entries up to a number."""

    place: str
    numbers: dict[str, int]


class Replica:
    """One of those that keep a watch."""

    def __init__(
        self, name: str, watch: Shared, shared_log: WatchLog, seal: Seal, *, clock: Callable[[], float], aside: Aside
    ) -> None:
        """Take part as `name`, which nobody else has or had.

        `clock` gives seconds and never goes back; `aside` calls a function in another thread.
        """
        self.watch = watch
        self._name = name
        self._log = shared_log
        self._seal = seal
        self._clock = clock
        self._aside = aside
        self._number = 0
        self._outbox: deque[Entry] = deque()
        self._sent: deque[Entry] = deque()
        self._sent_bytes = 0
        self._numbers: dict[str, int] = {}  # the last that counted, of each writer; last heard of last
        self._birth, self._place, self._label = b"", START, b""
        self._snapshot: tuple[Label, Told] | None = None  # what the label says
        self._knows = False
        self._began = self._heard = clock()
        self._claim_due = 0.0
        self._leads_until = 0.0
        self._snapshot_due = 0.0
        self._unsnapshotted = 0  # entries
        self._is_filling = False
        self.refused = 0

    # --- what it may do

    @property
    def leads(self) -> bool:
        """Say whether its sweeps count for all."""
        return self._clock() < self._leads_until

    @property
    def sweeps(self) -> bool:
        """Say whether it sweeps: for all, or for itself while the store is out."""
        return self.leads or self._clock() - self._heard > ALONE_S

    @property
    def knows(self) -> bool:
        """Say whether anything is known: by the others, or from a file."""
        return self._knows

    def begin_with(self, unpacked: Any) -> None:
        """Begin with what was kept elsewhere, where nobody knows anything.  Raise ValueError."""
        self.watch.restore(unpacked)
        for entry in (*self._sent, *self._outbox):
            if not entry.is_judgement:
                self.watch.add(entry.content)
        self._knows = True

    def publish(self, *, whole: bool = True) -> None:
        """Tell the others what a sweep has come to."""
        if self.leads:
            self._knows = True
            self._put(self.watch.judgement(whole=whole), is_judgement=True)

    # --- the exchange

    async def exchange(self) -> None:
        """Hand in what was seen here, take in what others have, and lead if nobody does.  Raise DependencyError."""
        await self._collect(OUTBOX_MAX)
        await self._read()
        self._heard = self._clock()
        await self._claim()
        await self._hand_in()
        if self.leads and self._is_snapshot_due():
            await self._save()

    async def close(self) -> bool:
        """Hand in the last and let another lead; say whether all that is known was saved.  Raise DependencyError."""
        await self._collect()
        await self._read()
        await self._hand_in()
        if not await self._log.claim():
            return False  # who leads will save it
        self._leads_until = self._clock() + ALONE_S
        await self._read()
        await self._save()
        self._leads_until = 0.0
        await self._log.release()
        return True

    async def _collect(self, most: float = inf) -> None:
        """Put into the outbox what was noted, as long as fewer than `most` entries wait there.

        Without that bound nothing is left, and nothing was awaited since.
        """
        while len(self._outbox) < most and (pieces := self.watch.take_notes()):
            for notes in pieces:
                self._put(notes, is_judgement=False)
            await asyncio.sleep(0)  # requests go first

    def _put(self, content: bytes, *, is_judgement: bool) -> None:
        self._number += 1
        self._numbers[self._name] = self._number
        self._outbox.append(Entry(self._name, self._number, is_judgement, content))

    async def _hand_in(self) -> None:
        """Send what is in the outbox, as far as it is taken."""
        while self._outbox:
            entry = self._outbox[0]
            sealed = self._seal.close(msgspec.msgpack.encode(entry))
            answer = await self._log.append(self._birth, sealed, as_holder=entry.is_judgement)
            if answer in {Answer.FULL, Answer.FORGOTTEN}:
                return
            if answer is Answer.NOT_HELD:  # its number is used up all the same, or others would look for it
                self._leads_until = 0.0
                self._outbox[0] = Entry(self._name, entry.number, is_judgement=False, content=b"")
                continue
            self._outbox.popleft()
            self._unsnapshotted += 1
            self._sent.append(entry)
            self._sent_bytes += len(entry.content)
            while self._sent_bytes > SENT_MAX_BYTES:
                self._sent_bytes -= len(self._sent.popleft().content)

    async def _read(self) -> None:
        for _ in range(PAGES_AT_ONCE):
            page = await self._log.read(self._birth, self._place)
            if page.birth != self._birth and self._birth:
                self._tell_again()
            is_fresh = not self._birth
            self._birth, self._is_filling = page.birth, page.is_filling
            self._heed(page.label)
            if is_fresh and await self._restore():
                continue
            if not await self._take_all(page):
                continue
            self._place = page.place
            if not page.entries and not (self._is_behind() and await self._restore()):
                return

    async def _take_all(self, page: Page) -> bool:
        """Take in a page's entries; False if some before them are gone from the log, and the snapshot was read."""
        for sealed in page.entries:
            entry = self._open(sealed)
            if entry is None or entry.number <= (known := self._numbers.get(entry.writer, 0)):
                continue
            if entry.number > known + 1 and self._is_behind(entry.writer) and await self._restore():
                return False
            await self._take_in(entry)
        return True

    def _tell_again(self) -> None:
        log.warning("the counter store has forgotten what a watch had told it: it is told again")
        self._outbox.extendleft(reversed([entry for entry in self._sent if not entry.is_judgement]))
        self._sent.clear()
        self._sent_bytes = 0
        self._leads_until = self._claim_due = 0.0

    def _open(self, sealed: bytes) -> Entry | None:
        try:
            return msgspec.msgpack.decode(self._seal.open(sealed), type=Entry)
        except ValueError as error:  # msgspec's are among them
            self._refuse("an entry of a watch's log", error)
            return None

    async def _take_in(self, entry: Entry) -> None:
        try:
            if entry.is_judgement:
                self.watch.adopt(await self._aside(self.watch.weigh, entry.content))
            elif entry.content:
                self.watch.add(entry.content)
        except ValueError as error:
            self._refuse("an entry of a watch's log", error)
        self._knows = True
        self._unsnapshotted += 1
        self._numbers.pop(entry.writer, None)
        self._numbers[entry.writer] = entry.number
        if len(self._numbers) > WRITERS_MAX:
            del self._numbers[next(iter(self._numbers))]

    def _refuse(self, what: str, error: ValueError) -> None:
        if not self.refused:
            log.error("%s was refused: %s", what, error)
        self.refused += 1

    # --- snapshots

    async def _claim(self) -> None:
        now = self._clock()
        if now < self._claim_due or not (self._knows or now - self._began > 2 * ALONE_S):
            return
        self._claim_due = now + CLAIM_S
        led = self.leads
        held = await self._log.claim()
        self._leads_until = now + ALONE_S if held else 0.0
        if held and not led:
            self.publish()  # what was judged alone, or by one who has gone

    def _is_snapshot_due(self) -> bool:
        if not self._label or self._is_filling or self._unsnapshotted >= SNAPSHOT_ENTRIES:
            return True
        return self._unsnapshotted > 0 and self._clock() >= self._snapshot_due

    async def _save(self) -> None:
        await self._collect()
        told = msgspec.msgpack.encode(Told(self._place, self._numbers))
        number, write = self._number, self.watch.capture()
        self._unsnapshotted = 0
        packed = await self._aside(lambda: self._seal.close(write()))
        await self._hand_in()  # before others can miss it
        place = START if self._snapshot is None else self._snapshot[1].place  # others may not be there yet
        if not await self._log.save(packed, self._seal.close(told), self._label, place):
            self._leads_until = 0.0
            return
        self._snapshot_due = self._clock() + SNAPSHOT_S
        self._forget_sent(number)

    def _unpack(self, sealed: bytes) -> Any:
        return self.watch.unpack(self._seal.open(sealed))

    def _heed(self, label: bytes) -> None:
        """Take note of which snapshot there is."""
        if label == self._label:
            return
        self._label, self._snapshot = label, None
        try:
            read = read_label(label)
            if read is not None:
                self._snapshot = read, msgspec.msgpack.decode(self._seal.open(read.told), type=Told)
        except ValueError as error:
            self._refuse("the label of a watch's snapshot", error)
        else:
            self._forget_sent(self._snapshot[1].numbers.get(self._name, 0) if self._snapshot else 0)

    def _is_behind(self, *writers: str) -> bool:
        """Say whether the snapshot holds entries of these writers, or any, that were not read here.

        Whoever has read all of the log, and knows less than the snapshot, has missed what went from the log.
        """
        numbers = {} if self._snapshot is None else self._snapshot[1].numbers
        return any(numbers.get(writer, 0) > self._numbers.get(writer, 0) for writer in writers or numbers)

    def _forget_sent(self, number: int) -> None:
        while self._sent and self._sent[0].number <= number:
            self._sent_bytes -= len(self._sent.popleft().content)

    async def _restore(self) -> bool:
        """Begin from the snapshot, and add what was seen here and is not in it."""
        if self._snapshot is None:
            return False
        label, told = self._snapshot
        sealed = await self._log.load(label)
        if sealed is None:
            return False
        try:
            unpacked = await self._aside(self._unpack, sealed)
            await self._collect()
            self.watch.restore(unpacked)
        except ValueError as error:
            self._refuse("the snapshot of a watch", error)
            self._snapshot = None
            return False
        held = told.numbers.get(self._name, 0)
        for entry in (*self._sent, *self._outbox):
            if entry.number > held and not entry.is_judgement:
                self.watch.add(entry.content)
        self._numbers = told.numbers | {self._name: self._number}
        self._place = told.place
        self._knows = True
        return True
