"""How a caller has behaved, as pure arithmetic: a standing, a time and an event in; a standing out; a factor of it.

Blame is counted in requests that a content check refused: one of those is 1.0, a lesser fault a part of it.  Every
request answers for its own blame less an *allowance*, the share that this very caller usually has (a CUSUM), so volume
alone moves nothing.  Blame is remembered twice: for minutes, which a burst fills, and for hours, which a slow drip
fills.  Over the grace of either memory the factor is grace / blame: it falls with every further request, and rises by
itself as blame fades.

A mistake, such as a body that is not JSON, moves the short memory alone, and only so far that half of the limit stays:
a client with a bug is no attacker.  Nor does it begin a block.

Rule 1: a factor is never below the floor, and only time, or good requests, raise it.
Rule 2: refusals for want of quota are nobody's blame.  A lowered limit refuses more; were that blamed it would fall
        for ever.  Neither is what the upstream did wrong.
Rule 3: what is usual is learned by the day, by at most `MARGIN / DAYS` a day, and within bounds: patience for bad
        requests cannot be bought with many good ones.

Times are Unix seconds; a clock that goes back stands still here.
"""

from __future__ import annotations

from math import isfinite, log2
from typing import TYPE_CHECKING, NamedTuple

from vallum.core.address import ip_partition
from vallum.core.decision import Allow, Reason
from vallum.core.exchange import NOBODY

if TYPE_CHECKING:
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Throttle

LASTING = 36  # how many times longer the long memory is than the short one: 6 hours for 10 minutes
LASTING_GRACE = 3  # and how many times its grace
LEAST, MOST = 0.01, 0.05  # bounds of what is usual, in blame per request
MARGIN = 0.01  # what is allowed above the usual
DAYS = 7  # that it takes to get used to something
DAY_S = 86_400.0
ENOUGH = 100  # requests that make a day worth learning from
SLIGHT = 0.1  # the blame of a mistake
SLIGHT_FLOOR = 0.5  # mistakes alone lower no factor further
BLAME_MAX = 100.0  # of one event
LOWEST_DETAIL = 1e-3  # blame below which a standing is as good as new

# What a refusal says about the caller.  What is not here says nothing: see rule 2.  An upstream's 400, 413, 415 and
# 422 become the same reasons; its 404 may be a mistake in its own paths, and its 401 and 403 are about the gateway.
BLAME: dict[Reason, float] = {
    Reason.REQUEST_REJECTED: 1.0,
    Reason.INSUFFICIENT_SCOPE: SLIGHT,
    Reason.MALFORMED_REQUEST: SLIGHT,
    Reason.INVALID_REQUEST: SLIGHT,
    Reason.BODY_TOO_LARGE: SLIGHT,
    Reason.UNSUPPORTED_MEDIA_TYPE: SLIGHT,
}


class Event(NamedTuple):
    """What one exchange, or several of one caller, say about the caller."""

    blame: float = 0.0
    cause: str = ""
    asked: int = 1


class Standing(NamedTuple):
    """What is remembered of one caller at the time `at`."""

    at: float = 0.0
    recent: float = 0.0  # blame of the last minutes
    lasting: float = 0.0  # blame of the last hours
    usual: float = LEAST  # blame per request of this caller on other days
    day: float = 0.0  # when the day began that is being counted
    asked: float = 0.0  # requests of that day, and their blame
    blamed: float = 0.0
    blocked_until: float = 0.0
    cause: str = ""  # of the last blame

    @property
    def is_plain(self) -> bool:
        """Whether nothing is remembered that a new standing would not have."""
        return self.recent < LOWEST_DETAIL and self.lasting < LOWEST_DETAIL and self.usual - LEAST < LOWEST_DETAIL


class Raise(NamedTuple):
    """A limit that an operator has raised for one subject, for a time."""

    subject: str
    factor: float
    until: float  # Unix seconds
    by: str = ""
    reason: str = ""
    at: float = 0.0


class Footing(NamedTuple):
    """All that a caller's limits hang on besides the plan."""

    standing: Standing
    raised: Raise | None = None


GOOD = Standing()
GOOD_FOOTING = Footing(GOOD)


def age(standing: Standing, throttle: Throttle, now: float) -> Standing:
    """Return `standing` as it is at `now`: what was remembered has faded."""
    elapsed = now - standing.at
    if not elapsed > 0 or not isfinite(elapsed):
        return standing
    fades = 0.5 ** (elapsed / throttle.half_life_s)
    lasts = 0.5 ** (elapsed / (throttle.half_life_s * LASTING))
    return standing._replace(at=now, recent=standing.recent * fades, lasting=standing.lasting * lasts)


def observe(standing: Standing, throttle: Throttle, now: float, event: Event) -> Standing:
    """Return the standing after an event."""
    then = _learn(age(standing, throttle, now))
    blame = min(event.blame, BLAME_MAX) if event.blame > 0 else 0.0  # NaN is not over 0
    gain = blame - _allowance(then) * event.asked
    slight = 0 < blame <= SLIGHT
    most = throttle.grace / (max(SLIGHT_FLOOR, throttle.floor) if slight else throttle.floor)
    after = then._replace(
        recent=_within(then.recent + gain, max(most, then.recent)),
        lasting=then.lasting if slight else _within(then.lasting + gain, LASTING_GRACE * most),
        asked=then.asked + event.asked,
        blamed=then.blamed + blame,
        cause=event.cause[:64] if blame else then.cause,
    )
    if throttle.block_s is None or slight or gain <= 0 or after.at < after.blocked_until:
        return after
    low = factor(after, throttle, after.at) <= max(throttle.block_at, throttle.floor * 1.01)
    return after._replace(blocked_until=after.at + throttle.block_s) if low else after


def factor(standing: Standing, throttle: Throttle, now: float) -> float:
    """Return what the plan's limits are multiplied by at `now`: 1.0, or less, never less than the floor."""
    if standing.recent <= throttle.grace and standing.lasting <= throttle.grace * LASTING_GRACE:
        return 1.0
    then = age(standing, throttle, now)
    short = throttle.grace / max(then.recent, throttle.grace)
    long = throttle.grace * LASTING_GRACE / max(then.lasting, throttle.grace * LASTING_GRACE)
    return max(throttle.floor, min(short, long))


def recovers_in_s(standing: Standing, throttle: Throttle, now: float) -> float:
    """Return the seconds until the factor is 1.0 again if nothing more is blamed."""
    then = age(standing, throttle, now)
    short = _halvings(then.recent / throttle.grace) * throttle.half_life_s
    long = _halvings(then.lasting / (throttle.grace * LASTING_GRACE)) * throttle.half_life_s * LASTING
    return max(short, long)


def in_force(limit: int, factor: float) -> int:
    """Return the limit in force: the plan times the factor, and never nothing."""
    return limit if factor == 1.0 else max(1, int(limit * factor + 1e-9))


def testify(x: Exchange) -> Event | None:
    """Say what an exchange that has ended tells about its caller; None: nothing."""
    decision = x.decision
    blame, cause = x.blame, x.blamed_for
    if decision is not None and not isinstance(decision, Allow) and decision.reason in BLAME:
        fault = BLAME[decision.reason]
        most = SLIGHT if max(blame, fault) <= SLIGHT else BLAME_MAX  # two slight faults at once are no grave one
        blame, cause = min(blame + fault, most), cause or decision.reason.value
    if blame > 0:
        return Event(blame, cause)
    # What was refused for other causes, not finished, not looked at, or would have been refused, is no merit either.
    good = isinstance(decision, Allow) and not (x.cancelled or x.shadowed or x.unscanned)
    return Event() if good else None


def describe_standing(whose: str, standing: Standing, throttle: Throttle, now: float) -> dict[str, object]:
    """Write a standing for operators."""
    kind, _, name = whose.partition("\x1f")
    return {
        kind: name,
        "factor": round(factor(standing, throttle, now), 3),
        "cause": standing.cause,
        "recovers_in_s": int(recovers_in_s(standing, throttle, now)),
        "blocked_for_s": int(max(0.0, standing.blocked_until - now)),
        "usual": round(standing.usual, 4),
        "mode": throttle.mode.value,
    }


def whose(x: Exchange) -> str:
    """Name whose standing an exchange is about: its subject's, or where there is none, its address's."""
    if x.principal is NOBODY or not x.principal.subject:
        return f"ip\x1f{ip_partition(x.request.client)}"
    return f"subject\x1f{x.principal.subject}"


def _learn(standing: Standing) -> Standing:
    """Get used to a day's share of blame when the day is over."""
    if not standing.day:
        return standing._replace(day=standing.at)
    if standing.at - standing.day < DAY_S:
        return standing
    usual = standing.usual
    if standing.asked > 0:
        share = min(standing.blamed / standing.asked, _allowance(standing))
        usual += (share - usual) * min(1.0, standing.asked / ENOUGH) / DAYS
    return standing._replace(usual=min(MOST, max(LEAST, usual)), day=standing.at, asked=0.0, blamed=0.0)


def _allowance(standing: Standing) -> float:
    return standing.usual + MARGIN


def _within(blame: float, most: float) -> float:
    return min(most, max(0.0, blame))


def _halvings(ratio: float) -> float:
    return max(0.0, log2(ratio)) if ratio > 0 else 0.0
