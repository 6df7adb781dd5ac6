"""How this process agrees with others, and with its operators: whose limits are raised, and who is suspected.

Rule: while a store cannot be asked, what is known stays in force, and the log says so once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from vallum.core.errors import DependencyError
from vallum.core.extraction import Grade, name_account
from vallum.core.standing import describe_standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.extraction import Change
    from vallum.core.policy import Throttle
    from vallum.extraction.watchers import Watchers
    from vallum.stores.raises import SqlRaises
    from vallum.stores.standings import MemoryStandings
    from vallum.stores.suspects import SqlSuspects

log = logging.getLogger("vallum")


UNWRITTEN_MAX = 10_000  # changes of grades that wait for the registry; the oldest go first


class Agreement:
    """Keeps standings and raised limits in step with what others know."""

    def __init__(
        self,
        standings: MemoryStandings,
        raises: SqlRaises,
        throttle: Callable[[], Throttle | None],
        now: Callable[[], float],
        *,
        suspects: SqlSuspects | None = None,
        watchers: Watchers | None = None,
    ) -> None:
        """Judge by the `throttle` of the moment, at `now` in Unix seconds; write down whom `watchers` suspect."""
        self._standings = standings
        self._raises = raises
        self._throttle = throttle
        self._now = now
        self._suspects = suspects
        self._watchers = watchers
        self._unwritten: deque[tuple[str, Change]] = deque(maxlen=UNWRITTEN_MAX)
        self._troubles: set[str] = set()
        self._seeking: asyncio.Task[None] | None = None

    def beat(self) -> None:
        """Begin to seek agreement, unless that is under way: a store may be slow, and the caller must not be."""
        if self._seeking is None or self._seeking.done():
            self._seeking = asyncio.ensure_future(self.seek())

    async def close(self) -> None:
        """Hand in what was seen last, and let go of the store."""
        if self._seeking is not None:
            await self._seeking
        await self.seek()
        self._raises.close()
        if self._suspects is not None:
            self._suspects.close()

    async def seek(self) -> None:
        """Fetch what others know and hand in what was seen here.  Call a few times a second, off the request path."""
        for trouble, act in (
            ("raised limits cannot be read; those that are known stay in force", self._find_raises),
            ("pardons cannot be read, nor suspects written down; what is known stays in force", self._find_pardons),
            ("standings cannot be shared; each process goes by its own", self._exchange),
        ):
            try:
                await act()
            except DependencyError as error:
                if trouble not in self._troubles:
                    log.warning("%s: %s", trouble, error)
                self._troubles.add(trouble)
            else:
                self._troubles.discard(trouble)

    def count_below(self) -> int:
        """Return how many callers are below their plan, up to a thousand."""
        throttle = self._throttle()
        return 0 if throttle is None else len(self._standings.below(throttle, self._now()))

    def show(self) -> bytes:
        """Return the callers below their plan, up to a thousand, as JSON: for operators."""
        throttle, now = self._throttle(), self._now()
        below = [] if throttle is None else self._standings.below(throttle, now)
        shown = [describe_standing(name, standing, throttle, now) for name, standing in below if throttle is not None]
        return msgspec.json.encode(shown) + b"\n"

    async def _find_raises(self) -> None:
        self._standings.raise_limits(await self._raises.find(self._now()))

    async def _find_pardons(self) -> None:
        """Write down whose grade has changed, and hear whom operators have pardoned."""
        suspects, watchers, now = self._suspects, self._watchers, self._now()
        if suspects is None or watchers is None or not watchers.all():
            return
        for model, change in watchers.take_changes(now):
            self._unwritten.append((model, change))
            _tell(model, change)
        changes = list(self._unwritten)
        watchers.pardon(await suspects.exchange(changes, now))
        for _ in changes:
            self._unwritten.popleft()

    async def _exchange(self) -> None:
        throttle = self._throttle()
        if throttle is not None:
            await self._standings.exchange(throttle, self._now())


def _tell(model: str, change: Change) -> None:
    """Tell operators of a change of grade: loudly of one for the worse that its caller notices."""
    level = logging.WARNING if change.after > max(change.before, Grade.ALERT) else logging.INFO
    log.log(
        level,
        "extraction: %s is now %s, before %s, on %s in cluster %s: %s",
        name_account(change.account),
        change.after.name.lower(),
        change.before.name.lower(),
        model,
        change.cluster,
        change.evidence,
    )
