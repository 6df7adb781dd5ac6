"""Standings that several processes and nodes share, by way of the counters' store.

Every process judges by what it keeps in memory; the request path never waits for the store.  Off the path, a few times
a second, it fetches what others have changed and hands in what it has seen.  The arithmetic is done here, in Python:
the store only swaps a standing for the next if nobody was faster (who was not begins again from the other's).

While the store cannot be asked, standings stay as this process knows them, and what it has seen waits, bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from vallum.core.errors import DependencyError
from vallum.core.standing import GOOD, Event, Standing, observe
from vallum.stores.standings import KEPT_MAX, MemoryStandings, is_bad

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vallum.core.policy import Throttle

    Ask = Callable[..., Awaitable[Any]]  # (key, *words of a command) -> reply

STANDINGS, CHANGES = "vlm:{standings}", "vlm:{standings}:changes"  # one slot of a cluster
OUTBOX_MAX = 10_000  # callers whose events wait for the store
HANDED_IN_MAX = 500  # of them at once
FETCHED_MAX = 1_000
TRIES = 3

# What has changed since a time: that of the last change shown, then caller and standing by turns.
FETCH = """
local changed = redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local told = {ARGV[1]}
for i = 1, #changed, 2 do
  told[#told + 1] = changed[i]
  told[#told + 1] = redis.call('HGET', KEYS[1], changed[i])
  told[1] = '(' .. string.format('%.0f', changed[i + 1])
end
return told
"""
# Put a standing in the place of the one that was expected, or return the one that is there.  (Not to be told by the
# standing alone: two nodes may have seen the same.)
SWAP = """
local known = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if known ~= ARGV[2] then return {0, known} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
local clock = redis.call('TIME')
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
local now = clock[1] * 1000000 + clock[2]
if last[2] and now <= tonumber(last[2]) then now = tonumber(last[2]) + 1 end
redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[1])
for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1 - ARGV[4])) do
  redis.call('HDEL', KEYS[1], old)
  redis.call('ZREM', KEYS[2], old)
end
return {1, known}
"""

Seen = list[tuple[float, Event]]


class SharedStandings(MemoryStandings):
    """Standings of one process that agree, within a moment, with those of all others."""

    def __init__(self, ask: Ask, kept_max: int = KEPT_MAX) -> None:
        """Share by `ask`, which sends a command to the server that holds a key; it raises DependencyError."""
        super().__init__(kept_max)
        self._ask = ask
        self._shared_max = kept_max
        self._outbox: dict[str, tuple[Throttle, Seen]] = {}
        self._since = "0"

    def observe(self, whose: str, throttle: Throttle, now: float, event: Event) -> None:
        """Take note of an event here and now, and for the others in a moment."""
        if not event.blame > 0 and self._crowd(whose).find(whose) is None:
            return
        super().observe(whose, throttle, now, event)
        if whose not in self._outbox and len(self._outbox) >= OUTBOX_MAX:
            return
        _, seen = self._outbox.setdefault(whose, (throttle, []))
        if seen and not event.blame > 0 and not seen[-1][1].blame > 0:
            now, event = max(now, seen[-1][0]), event._replace(asked=event.asked + seen.pop()[1].asked)
        elif len(seen) >= FETCHED_MAX:
            return
        seen.append((now, event))

    async def exchange(self, throttle: Throttle, now: float) -> None:
        """Fetch what others have changed, hand in what was seen here.  Raise DependencyError; nothing is lost then."""
        await self._fetch(throttle, now)
        for whose in list(self._outbox)[:HANDED_IN_MAX]:
            judged_by, seen = self._outbox.pop(whose)
            try:
                await self._hand_in(whose, judged_by, seen)
            except DependencyError:
                _, newer = self._outbox.get(whose, (judged_by, []))
                self._outbox[whose] = (judged_by, [*seen, *newer])
                raise

    async def _fetch(self, throttle: Throttle, now: float) -> None:
        words = (FETCH, 2, STANDINGS, CHANGES, self._since, FETCHED_MAX)
        since, *changed = [_text(word) for word in await self._ask(STANDINGS, "EVAL", *words)]
        for whose, packed in zip(changed[::2], changed[1::2], strict=True):
            if whose not in self._outbox:  # else the two are put together when it is handed in
                self._keep(whose, _unpack(packed), throttle, now)
        self._since = since

    async def _hand_in(self, whose: str, throttle: Throttle, seen: Seen) -> None:
        expected = ""
        for _ in range(TRIES):
            standing = _unpack(expected)
            for at, event in seen:
                standing = observe(standing, throttle, at, event)
            packed = msgspec.json.encode(standing).decode()
            words = (SWAP, 2, STANDINGS, CHANGES, whose, expected, packed, self._shared_max)
            swapped, known = await self._ask(STANDINGS, "EVAL", *words)
            if swapped:
                if whose not in self._outbox:
                    self._keep(whose, standing, throttle, standing.at)
                return
            expected = _text(known)
        _, newer = self._outbox.get(whose, (throttle, []))
        self._outbox[whose] = (throttle, [*seen, *newer])  # others were faster every time: in a moment, then

    def _keep(self, whose: str, standing: Standing, throttle: Throttle, now: float) -> None:
        self._crowd(whose).keep(whose, standing, is_bad(standing, throttle, now))


def _text(word: bytes | str) -> str:
    return word if isinstance(word, str) else word.decode()


def _unpack(packed: str) -> Standing:
    try:
        return msgspec.json.decode(packed, type=Standing) if packed else GOOD
    except msgspec.DecodeError:  # of another version, or of another's making
        return GOOD
