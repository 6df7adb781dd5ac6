"""A run's conversation with the endpoint: honest requests and others, with keys that rest when they are over quota."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vallum.probe.budget import Budget
from vallum.probe.finding import StoppedError, UntestableError
from vallum.probe.promises import Promises, overhear
from vallum.probe.target import Target, encode
from vallum.probe.wire import Answer, Bounds, compose, exchange

SILENT_MAX = 3  # answers in a row that did not come: the endpoint is gone, or has banned us
BACK_OFFS_S = (0.5, 1.0, 2.0)
ATTACK_LEAST_S, ATTACK_FACTOR = 3.0, 20.0  # how long an answer may take, beside what the honest one took
REST_S = 5.0  # of a key that was refused by a quota which did not say for how long
JSON = ("Content-Type", "application/json")


class Good:
    """Stands for a key that opens the endpoint."""


MASK, SHORT_CHARS = "[key]", 6
GOOD = Good()
HONEST = object()


@dataclass
class Key:
    """A key of the caller's, and what was served to it."""

    text: str | None
    rests_until: float = 0.0
    served: deque[float] = field(default_factory=lambda: deque(maxlen=4096))

    def served_within(self, window_s: float, now: float) -> int:
        """Count what was served to it in the last seconds."""
        return sum(when > now - window_s for when in self.served)


class Session:
    """One run against one target."""

    def __init__(
        self,
        target: Target,
        budget: Budget,
        promises: Promises | None = None,
        *,
        quick: bool = False,
        surrogate: int = 0,
        patience_s: float = 20.0,
        bounds: Bounds | None = None,
    ) -> None:
        """Prepare; nothing is sent before `start`."""
        self.target = target
        self.budget = budget
        self.promises = promises or Promises()
        self.quick = quick
        self.surrogate = surrogate  # queries that may be spent on a copy
        self.bounds = bounds or Bounds()
        self.keys = [Key(text) for text in target.keys] or [Key(None)]
        self.honest = Answer(0)
        self.refusals: list[tuple[str, Answer]] = []  # what it said when it said no: the first hundred
        self.over: tuple[Key, Answer] | None = None  # a key that was brought over its limit, and how it was refused
        self.false_alarms: float | None = None  # share of honest texts that were refused, once some were sent
        self.open_to_all: bool | None = None  # once it was asked without a key
        self._patience_s = patience_s
        self._silent = 0

    async def start(self) -> None:
        """Ask honestly; raise StoppedError where no honest answer comes, for without one nothing can be judged."""
        self.honest = await self.ask()
        if not self.honest.ok:
            hint = ""
            if 300 <= self.honest.status < 400:
                hint = f"; it redirects to {self.honest.get('location')!r}: probe that address itself"
            elif self.honest.status in (401, 403):
                hint = "; give it a key that opens it, with --keys"
            elif self.honest.status in (400, 415, 422):
                hint = "; give it an honest request, with --body or --preset"
            raise StoppedError(f"an honest request was not served: {self.honest}{hint}")
        if self.honest.ended != "whole":
            raise StoppedError("the honest answer has no end within the bounds, so answers cannot be compared")
        patience_s = max(ATTACK_LEAST_S, ATTACK_FACTOR * self.honest.took_s)
        self.bounds = self.bounds._replace(answer_s=min(self.bounds.answer_s, patience_s))
        if not self.promises.limits and not self.promises.source:
            self.promises = replace(overhear(self.honest), checks=self.promises.checks)

    @property
    def takes_keys(self) -> bool:
        """Whether the caller gave a key."""
        return self.keys[0].text is not None

    def some(self, items: list[Any], few: int = 4) -> list[Any]:
        """Return all items of a corpus, or a few of them where the run is quick."""
        return items[:few] if self.quick else items

    async def ask(
        self,
        document: Any = HONEST,
        *,
        key: Key | str | Good | None = GOOD,
        label: str = "",
        raw: bytes | None = None,
        media: tuple[str, str] | None = JSON,
        fields: Iterable[tuple[str, str]] = (),
        method: str | None = None,
        target: str | None = None,
        listen_on: bool = False,
        bare: bool = False,
    ) -> Answer:
        """Send one request and return its answer.  With a good key, one that is over its quota makes way for another.

        `raw` is the body as it stands; `target` path and query; `bare`: without the client's certificate, which callers
        without a good key never have.  Raises UntestableError where every key is over its quota, and StoppedError where
        the run must end.
        """
        body = raw if raw is not None else encode(self.target.document if document is HONEST else document)
        verb = method or self.target.method
        own = () if media is None else (media,)

        def write(text: str | None) -> bytes:
            named = (*self._base_fields(), *own, *self.target.key_fields(text), *fields)
            return compose(verb, target or self._own_target(), named, None if verb in ("GET", "HEAD") else body)

        return await self._send(write, key, label, verb == "HEAD", listen_on=listen_on, bare=bare)

    async def served(self, tries: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """Ask in each of these ways and return the names of those that were served.

        What was found counts, even where the others can no longer be asked.
        """
        found: list[str] = []
        for name, how in tries:
            try:
                answer = await self.ask(**{"key": None, **how})
            except UntestableError:
                if found:
                    break
                raise
            if answer.ok:
                found.append(name)
        return found

    async def send(self, write: Callable[[str | None], bytes], *, label: str = "", listen_on: bool = True) -> Answer:
        """Send what `write` makes of a good key, as it is; return the answer, and what came after it."""
        return await self._send(write, GOOD, label, False, listen_on=listen_on)

    async def burst(self, key: Key, count: int) -> list[Answer]:
        """Send so many honest requests with one key, all at the same moment."""
        fields = (*self._base_fields(), JSON, *self.target.key_fields(key.text))
        data = compose(self.target.method, self._own_target(), fields, encode(self.target.document))
        for _ in range(count):
            await self.budget.spend()
        answers = await asyncio.gather(*(exchange(self.target.place, data, self.bounds) for _ in range(count)))
        for answer in answers:
            self._note(answer, "")
            self._count(key, answer)
        return answers

    def head(self, key: str | None) -> list[tuple[str, str]]:
        """Return the header fields of an honest request, without its length."""
        return [*self._base_fields(), JSON, *self.target.key_fields(key)]

    async def is_honest(self) -> bool:
        """Say whether an honest request is still served, after some patience."""
        for wait_s in (*BACK_OFFS_S, None):
            try:
                if (await self.ask()).ok:
                    return True
            except UntestableError:
                return True  # it speaks of quotas, which is no ban
            if wait_s is None or wait_s > self._patience_s:
                break
            await asyncio.sleep(wait_s)
        return False

    async def good_key(self) -> Key:
        """Return a key that does not rest; wait a little for one, or raise UntestableError."""
        key = min(self.keys, key=lambda one: max(one.rests_until, time.monotonic()))
        wait_s = key.rests_until - time.monotonic()
        if wait_s > min(self._patience_s, self.budget.left_s):
            raise UntestableError(f"every key is over its quota for {wait_s:.0f} s more; give more keys with --keys")
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        return key

    def mask(self, text: str) -> str:
        """Take the caller's keys out of a text that a report will show, whole or but for their last letter."""
        for key in (*self.target.keys, *self.target.refused_keys):
            text = text.replace(key, MASK)
            if len(key) > SHORT_CHARS:
                text = text.replace(key[:-1], MASK)
        return text

    def fresh_key(self, window_s: float) -> Key:
        """Return the key that was served least within a window, and does not rest."""
        now = time.monotonic()
        awake = [key for key in self.keys if key.rests_until <= now]
        if not awake:
            raise UntestableError("every key is over its quota; give more keys with --keys")
        return min(awake, key=lambda key: key.served_within(window_s, now))

    def _base_fields(self) -> tuple[tuple[str, str], ...]:
        return (("Host", self.target.place.authority), ("Connection", "close"), *self.target.fields)

    def _own_target(self) -> str:
        return f"{self.target.path}?{self.target.query}" if self.target.query else self.target.path

    async def _send(
        self, write: Any, key: Any, label: str, head: bool, *, listen_on: bool, bare: bool = False
    ) -> Answer:
        while True:
            used = await self.good_key() if isinstance(key, Good) else key
            text = used.text if isinstance(used, Key) else used
            await self.budget.spend()
            place = self.target.place if isinstance(used, Key) and not bare else self.target.strangers_place
            answer = await exchange(place, write(text), self.bounds, head=head, listen_on=listen_on)
            self._note(answer, label)
            if self._silent >= SILENT_MAX and not await self._is_alive():
                raise StoppedError(f"{self._silent} requests in a row had {answer}: it is down, or has banned us")
            if isinstance(used, Key):
                self._count(used, answer)
                if isinstance(key, Good) and answer.status == 429:
                    continue
            elif answer.status == 429 and not head:
                await self._wait_as_stranger(answer)
                continue
            return answer

    async def _wait_as_stranger(self, answer: Answer) -> None:
        """Wait where requests without a good key are refused by their rate, for such a refusal says nothing else."""
        wait_s = retry_after(answer, REST_S)
        if wait_s > min(self._patience_s, self.budget.left_s):
            raise UntestableError(f"requests without a good key are refused by their rate for {wait_s:.0f} s more")
        await asyncio.sleep(max(wait_s, BACK_OFFS_S[0]))

    def _count(self, key: Key, answer: Answer) -> None:
        now = time.monotonic()
        if answer.status == 429:
            key.rests_until = now + retry_after(answer, REST_S)
        elif answer.ok:
            key.served.append(now)

    def _note(self, answer: Answer, label: str) -> None:
        self.budget.received += len(answer.body)
        if answer.status >= 400 and label and len(self.refusals) < 100:
            self.refusals.append((label, answer))
        self._silent = self._silent + 1 if answer.ended in ("silent", "refused") else 0

    async def _is_alive(self) -> bool:
        """Say whether an honest request is answered, after several others were not."""
        key = self.keys[0].text
        data = compose(self.target.method, self._own_target(), self.head(key), encode(self.target.document))
        alive = (await exchange(self.target.place, data, self.bounds)).status > 0
        self._silent = 0 if alive else self._silent
        return alive


def retry_after(answer: Answer, otherwise: float) -> float:
    """Return how long an answer says to wait, in seconds."""
    value = answer.get("retry-after")
    return float(value) if value.replace(".", "", 1).isdigit() else otherwise
