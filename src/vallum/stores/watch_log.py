"""The log in which the replicas of one watch tell one another what they have seen, and the snapshot that shortens it.

In the counters' store, for each route: a stream of entries, which every replica writes to and reads; a snapshot of all
that was known at one place of it, in parts, and its label; a lease, which says whose sweeps count.  The store does no
arithmetic and knows nothing of what is in an entry.

Rule 1: whoever reads the label's snapshot and then the stream from the label's place has read everything: no entry goes
        before a snapshot holds it.  A stream that is full takes nothing until then.
Rule 2: an entry may come twice and be found twice; whoever reads goes by its writer's number.
Rule 3: what is judged or snapshotted is only taken from the holder of the lease.
Rule 4: all is bounded, and goes LIFE_MS after the last replica has looked.
"""

from __future__ import annotations

import os
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from vallum.core.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Ask = Callable[..., Awaitable[Any]]  # (key, *words of a command) -> reply; raises DependencyError

ENTRIES_MAX = 1_024  # of the stream
READ_AT_ONCE = 4  # entries: others wait for their replies meanwhile
PART_BYTES = 262_144
PARTS_MAX = 1_024  # of a snapshot
LEASE_MS = 10_000
LIFE_MS = 14 * 86_400_000  # two windows
UNLABELLED_MS = 3_600_000  # life of a snapshot's part that got no label
START = "0-0"

# KEYS: stream, birth, lease.  ARGV: the birth that is known; who must hold the lease, or ''; most entries; life; entry.
APPEND = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 'forgotten' end
if ARGV[2] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[2] then return 'not held' end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('XADD', KEYS[1], '*', 'e', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 'added'
"""
# KEYS: stream, birth, label.  ARGV: the birth that is known; place; most; life; a birth, where there is none.
# A store that has forgotten is told by its birth: its stream is then read from the start.
READ = """
local birth = redis.call('GET', KEYS[2])
if not birth then
  birth = ARGV[5]
  redis.call('SET', KEYS[2], birth)
end
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
local from = birth == ARGV[1] and '(' .. ARGV[2] or '-'
local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[3])
return {birth, redis.call('GET', KEYS[3]) or '', entries, redis.call('XLEN', KEYS[1])}
"""
CLAIM = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# KEYS: stream, label, lease, parts of the new snapshot, parts of the old one.
# ARGV: holder, label, life, number of new parts, the place before which nobody reads any more.
LABEL = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
local last = 3 + tonumber(ARGV[4])
for i = 4, last do
  if redis.call('PEXPIRE', KEYS[i], ARGV[3]) == 0 then return 0 end
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[5])
for i = last + 1, #KEYS do redis.call('UNLINK', KEYS[i]) end
return 1
"""
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1"


class Answer(Enum):
    """What became of an entry."""

    ADDED = "added"
    FULL = "full"  # until a snapshot holds what is there
    FORGOTTEN = "forgotten"  # the store has: whoever reads finds out
    NOT_HELD = "not held"  # the lease, by whom this came


class Page(NamedTuple):
    """What was read of the log."""

    birth: bytes  # of what the store knows: another one says that it has forgotten
    label: bytes  # empty: there is no snapshot
    entries: list[bytes]
    place: str  # behind the last of them
    is_filling: bool  # half of the room is taken


class Label(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Where a snapshot is."""

    id: str
    parts: int
    told: bytes  # by whoever made it, to whoever reads it


class WatchLog:
    """The log of one watch, as one replica sees it."""

    def __init__(self, ask: Ask, watch: str, replica: str) -> None:
        """Share by `ask` with all replicas that name the watch alike."""
        self._ask = ask
        self._replica = replica
        # One slot of a cluster for each watch.
        tag = blake2b(watch.encode(), digest_size=8).hexdigest()
        names = ("log", "lease", "birth", "label", "part")
        self._stream, self._lease, self._birth, self._label, self._part = (f"vlm:{{w{tag}}}:{name}" for name in names)

    async def append(self, birth: bytes, entry: bytes, *, as_holder: bool = False) -> Answer:
        """Add an entry, to what was born so and has not forgotten since; `as_holder` if the lease is held."""
        keys = (self._stream, self._birth, self._lease)
        words = (birth, self._replica if as_holder else "", ENTRIES_MAX, LIFE_MS, entry)
        return Answer((await self._ask(self._stream, "EVAL", APPEND, 3, *keys, *words)).decode())

    async def read(self, birth: bytes, place: str) -> Page:
        """Return the next entries behind `place`, or the first ones if the store was born anew."""
        keys = (self._stream, self._birth, self._label)
        words = (birth, place, READ_AT_ONCE, LIFE_MS, os.urandom(8).hex())
        now_birth, label, found, length = await self._ask(self._stream, "EVAL", READ, 3, *keys, *words)
        entries = [bytes(fields[1]) for _, fields in found if len(fields) == 2]
        behind = found[-1][0].decode() if found else place if now_birth == birth else START
        return Page(now_birth, label, entries, behind, length >= ENTRIES_MAX // 2)

    async def claim(self) -> bool:
        """Take the lease or keep it; say whether it is held."""
        return bool(await self._ask(self._stream, "EVAL", CLAIM, 1, self._lease, self._replica, LEASE_MS))

    async def release(self) -> None:
        """Let another have the lease."""
        await self._ask(self._stream, "EVAL", RELEASE, 1, self._lease, self._replica)

    async def save(self, snapshot: bytes, told: bytes, replaced: bytes, place: str) -> bool:
        """Put a snapshot in the place of the one with the label `replaced`; False if another holds the lease.

        Entries before `place` go.
        """
        label = Label(os.urandom(8).hex(), -(-len(snapshot) // PART_BYTES), told)
        if label.parts > PARTS_MAX:
            raise DependencyError(f"a snapshot of {len(snapshot)} bytes is too large for the counter store")
        for number, name in enumerate(self._parts(label)):
            part = snapshot[number * PART_BYTES : (number + 1) * PART_BYTES]
            await self._ask(self._stream, "SET", name, part, "PX", UNLABELLED_MS)
        try:
            old = read_label(replaced)
        except ValueError:
            old = None  # of another's making: its parts, if there are any, go with time
        parts = (*self._parts(label), *(() if old is None else self._parts(old)))
        keys = (self._stream, self._label, self._lease, *parts)
        words = (self._replica, msgspec.msgpack.encode(label), LIFE_MS, label.parts, place)
        return bool(await self._ask(self._stream, "EVAL", LABEL, len(keys), *keys, *words))

    async def load(self, label: Label) -> bytes | None:
        """Return the snapshot of a label, or None where a part is gone: there is a newer one by now."""
        parts = [await self._ask(self._stream, "GET", name) for name in self._parts(label)]
        return None if None in parts else b"".join(parts)

    def _parts(self, label: Label) -> list[str]:
        return [f"{self._part}:{label.id}:{number}" for number in range(label.parts)]


def read_label(packed: bytes) -> Label | None:
    """Read a label, None for none; raise ValueError for what is none."""
    if not packed:
        return None
    label = msgspec.msgpack.decode(packed, type=Label)
    if not (0 < label.parts <= PARTS_MAX and label.id.isalnum()):
        raise ValueError("it names no snapshot")
    return label
