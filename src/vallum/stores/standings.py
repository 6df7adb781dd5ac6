"""Standings in this process's memory, bounded, and what operators have raised.

Who never did anything wrong has no entry.  Callers below their plan are kept apart from the others, so that a crowd of
small faults cannot push a bad standing out; callers known by address alone are kept apart from both, so that a crowd
of addresses cannot push out anybody with a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.standing import GOOD, GOOD_FOOTING, Footing, Raise, age, factor, observe, testify, whose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.exchange import Exchange
    from vallum.core.policy import Throttle
    from vallum.core.standing import Event, Standing

KEPT_MAX = 50_000  # of each of four kinds; about 25 MB when all are in use
SHOWN_MAX = 1_000


class Crowd:
    """Standings of one kind of caller: the good ones and the bad ones, each with the least lately changed first."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        """Keep at most `kept_max` of the good and as many of the bad."""
        self._kept_max = kept_max
        self.good: dict[str, Standing] = {}
        self.bad: dict[str, Standing] = {}

    def find(self, whose: str) -> Standing | None:
        """Return what is remembered of a caller."""
        return self.bad.get(whose) or self.good.get(whose)

    def keep(self, whose: str, standing: Standing, is_bad: bool) -> None:
        """Remember a standing; push out the one of its kind that changed longest ago where there is no room."""
        self.good.pop(whose, None)
        self.bad.pop(whose, None)
        if standing.is_plain and not is_bad:
            return
        kind = self.bad if is_bad else self.good
        if len(kind) >= self._kept_max:
            del kind[next(iter(kind))]
        kind[whose] = standing


class MemoryStandings:
    """Standings of one process."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        """Start with nobody known."""
        self.named = Crowd(kept_max)
        self.unnamed = Crowd(kept_max)
        self._raised: dict[str, Raise] = {}

    def read(self, whose: str) -> Footing:
        """Return how a caller stands."""
        standing = self._crowd(whose).find(whose)
        raised = self._raised.get(whose) if self._raised else None
        if standing is None and raised is None:
            return GOOD_FOOTING
        return Footing(standing or GOOD, raised)

    def observe(self, whose: str, throttle: Throttle, now: float, event: Event) -> None:
        """Take note of an event; one without blame changes nothing for whom nothing is remembered."""
        crowd = self._crowd(whose)
        known = crowd.find(whose)
        if known is None and not event.blame > 0:
            return
        after = observe(known or GOOD, throttle, now, event)
        crowd.keep(whose, after, is_bad(after, throttle, now))

    def note(self, x: Exchange) -> None:
        """Take note of what an exchange that has ended tells about its caller."""
        throttle = x.route.throttle if x.route is not None else None
        if throttle is None or x.footing is None:
            return
        event = testify(x)
        if event is not None:
            self.observe(whose(x), throttle, x.request.now, event)

    async def exchange(self, throttle: Throttle, now: float) -> None:
        """Agree with other processes: here there are none."""

    def raise_limits(self, raised: Iterable[Raise]) -> None:
        """Put these in the place of all that were raised before."""
        self._raised = {f"subject\x1f{one.subject}": one for one in raised}

    def below(self, throttle: Throttle, now: float, most: int = SHOWN_MAX) -> list[tuple[str, Standing]]:
        """Return up to `most` callers that are below their plan at `now`; let go of those that have recovered."""
        found: list[tuple[str, Standing]] = []
        for crowd in (self.named, self.unnamed):
            for name, standing in list(crowd.bad.items()):
                if not is_bad(standing, throttle, now):
                    crowd.keep(name, age(standing, throttle, now), is_bad=False)
                elif len(found) < most:
                    found.append((name, standing))
        return found

    def count_below(self) -> int:
        """Return how many callers are below their plan, or were when last looked at."""
        return len(self.named.bad) + len(self.unnamed.bad)

    def _crowd(self, whose: str) -> Crowd:
        return self.unnamed if whose.startswith(("ip\x1f", "subject\x1fip:")) else self.named


def is_bad(standing: Standing, throttle: Throttle, now: float) -> bool:
    """Say whether a caller is below the plan, or blocked, at `now`."""
    return factor(standing, throttle, now) < 1.0 or standing.blocked_until > now
