"""What one exchange costs each quota: amounts in, units out.

An exchange has a few amounts: calls, bytes, tokens in and out, and what the upstream names.  The cost in every unit is
one function of them.  Before the upstream is asked the amounts are estimates, and their cost is *reserved*; at the end
they are what was used, and their cost is *settled* in its place, once.  Requests are the exception: asking is what they
count, so they are taken for good and cost no settlement.

Who is charged what when an exchange does not end well is decided in `Bill.used`, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vallum.core.quota import Demand

if TYPE_CHECKING:
    from vallum.core.decision import Finding
    from vallum.core.exchange import Headers

MILLION = 1_000_000
COST_MAX = 10**15  # of one unit, as an upstream may name it
NAMED_MAX = 16  # units in one field
FIELD_MAX_CHARS = 1024
# Response fields in which an upstream says what its answer cost; the first that is there counts.  Never passed on.
COST_FIELDS = ("vallum-cost", "x-kong-limit")
NAMED = re.compile(r"[ \t]*([a-z][a-z0-9_-]{0,39})=(0|[1-9][0-9]{0,15})[ \t]*")


class Price(NamedTuple):
    """What a call costs, in millionths of the currency."""

    per_call: int = 0
    per_million_input: int = 0  # for a million tokens
    per_million_output: int = 0


class Tariff(NamedTuple):
    """How a route turns amounts into units."""

    requests: int = 1
    price: Price = Price()
    answer_bytes: int = 65_536  # reserved for an answer whose size nobody knows yet


class Usage(NamedTuple):
    """Tokens that went in and came out, as the upstream counted them; None where it has not said."""

    input_tokens: int | None
    output_tokens: int | None


class OutputBound(NamedTuple):
    """How many tokens one answer may have: what a request that asks for no bound is given, and the most it may ask."""

    default: int = 4096
    most: int | None = None


class Estimate(NamedTuple):
    """The most tokens that a request is thought to use.  Pointers name what the caller could make smaller."""

    input_tokens: int = 0
    output_tokens: int = 0
    pointer: str = ""


class Meter(Protocol):
    """Knows where one API format says how much is asked for, and how much was used."""

    def estimate(self, document: Any, bound: OutputBound) -> Estimate | Finding:
        """Estimate a request's tokens from above; or say what is wrong with it."""

    def amend(self, document: Any, bound: OutputBound) -> tuple[str, ...]:
        """Write the bound, and the wish for a usage count, into a request; return the names of what was written."""

    def shows_usage(self, document: Any) -> bool:
        """Say whether the caller of this request asked for the usage of a stream."""

    def usage(self, document: Any) -> Usage | None:
        """Return the usage that an answer, or one event of it, states."""

    def hide_usage(self, document: Any) -> bool:
        """Take the usage out of an event; False where nothing is left to send."""

    def emitted(self, document: Any) -> int:
        """Count the tokens of an answer, or of one event, by their text."""

    def ending(self, document: Any, tokens: int) -> bytes:
        """Write the end of a stream that is cut at `tokens`; `document` is the event that was one too many."""

    @property
    def streams_lines(self) -> bool:
        """Whether a stream is a document a line, and not events: `ending` writes only what fits."""


class Amounts(NamedTuple):
    """What an exchange takes, or took.  `named` None: the upstream has not said yet."""

    calls: int = 1
    bytes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    open: int = 1
    named: Mapping[str, int] | None = None


def _money(amounts: Amounts, tariff: Tariff) -> int:
    price = tariff.price
    tokens = amounts.input_tokens * price.per_million_input + amounts.output_tokens * price.per_million_output
    return amounts.calls * price.per_call - (-tokens // MILLION)  # rounded up: no call is too small to be paid


COSTS: dict[str, Callable[[Amounts, Tariff], int]] = {
    "requests": lambda _, tariff: tariff.requests,
    "bytes": lambda amounts, _: amounts.bytes,
    "tokens": lambda amounts, _: amounts.input_tokens + amounts.output_tokens,
    "money": _money,
    "concurrent": lambda amounts, _: amounts.open,
}
ANSWERS = "watched answers"  # a unit of the gateway's own (verdicts.py): one for each input, and no policy can name it
TAKEN_FOR_GOOD = frozenset({"requests", ANSWERS})  # exact before, and whatever comes after
OF_TOKENS = frozenset({"tokens", "money"})


def cost_of(unit: str, amounts: Amounts, tariff: Tariff) -> int:
    """Return the cost of `amounts` in `unit`.

    A unit that the upstream counts is asked for with 1 until the answer says more: whoever has used it up is refused.
    """
    count = COSTS.get(unit)
    if count is not None:
        return count(amounts, tariff)
    return 1 if amounts.named is None else amounts.named.get(unit, 0)


class Bill:
    """The account of one exchange: what is reserved under its id, and what it has used so far."""

    __slots__ = (
        "closed",
        "cuts",
        "demands",
        "estimate",
        "extra",
        "extra_tokens",
        "hides_usage",
        "last",
        "meter",
        "named",
        "output_tokens",
        "read_whole",
        "received_bytes",
        "sent_bytes",
        "settled",
        "streams",
        "tariff",
        "tried",
        "usage",
    )

    def __init__(self, tariff: Tariff, received_bytes: int, meter: Meter | None, estimate: Estimate | None) -> None:
        """Open the account of a request with a body of `received_bytes`."""
        self.tariff = tariff
        self.meter = meter if estimate is not None else None
        self.estimate = estimate or Estimate()
        self.received_bytes = received_bytes
        self.sent_bytes = 0
        self.demands: tuple[Demand, ...] = ()  # reserved, to be settled
        self.tried: tuple[Demand, ...] = ()  # the same of quotas in shadow
        self.extra: dict[str, int] = {}  # taken besides, by bucket, when an answer ran over its reservation
        self.extra_tokens = 0
        self.usage: Usage | None = None
        self.output_tokens = 0  # counted by their text
        self.named: dict[str, int] | None = None  # known when the answer's head is
        self.hides_usage = False  # the caller did not ask for it
        self.cuts = False  # a stream ends where no more may be taken
        self.streams = False  # the answer is read as it goes out
        self.read_whole = False
        self.last: Any = None
        self.closed = False
        self.settled: tuple[Demand, ...] = ()

    # --- before

    def expect(self) -> Amounts:
        """Return the amounts to reserve."""
        size = self.received_bytes + self.tariff.answer_bytes
        return Amounts(1, size, self.estimate.input_tokens, self.estimate.output_tokens)

    def ask(self, quota_demands: tuple[Demand, ...]) -> tuple[Demand, ...]:
        """Put the costs to reserve into demands."""
        amounts = self.expect()
        return tuple([self._ask(demand, amounts) for demand in quota_demands])

    def _ask(self, demand: Demand, amounts: Amounts) -> Demand:
        quota = demand.quota
        if quota.unit == ANSWERS:
            return demand
        cost = cost_of(quota.unit, amounts, self.tariff)
        if quota.unit == "bytes":  # the answer's share is a guess, and a guess must not refuse for ever
            cost = min(cost, max(self.received_bytes, quota.most_at_once(demand.in_force)))
        return demand._replace(cost=cost)

    def owe(self, demands: tuple[Demand, ...], shadow: bool) -> None:
        """Note demands that are about to be taken: whatever becomes of the taking, they are settled at the end."""
        if shadow:
            self.tried += demands
        else:
            self.demands += demands

    def drop(self, demands: tuple[Demand, ...]) -> None:
        """Strike demands out that were refused."""
        self.demands = tuple([demand for demand in self.demands if demand not in demands])
        self.tried = tuple([demand for demand in self.tried if demand not in demands])

    @property
    def leases(self) -> tuple[Demand, ...]:
        """What ends by itself unless it is renewed."""
        return tuple([demand for demand in self.demands + self.tried if demand.quota.unit == "concurrent"])

    # --- while the answer goes out

    def read(self, document: Any) -> bool:
        """Count one document of the answer; False where none of it is for the caller."""
        meter = self.meter
        if meter is None:
            return True
        usage = meter.usage(document)
        if usage is not None:
            self.usage = usage if self.usage is None else _join(self.usage, usage)
        self.output_tokens += meter.emitted(document)
        self.last = document
        return meter.hide_usage(document) if self.hides_usage else True

    @property
    def missing_tokens(self) -> int:
        """How many tokens have come over what was reserved, where that matters."""
        if not self.cuts:
            return 0
        return max(0, self.output_tokens - self.estimate.output_tokens - self.extra_tokens)

    def ask_more(self) -> tuple[Demand, ...]:
        """Ask for what is missing, and a bit ahead, so that not every event asks."""
        ahead = min(self.estimate.output_tokens // 8, 64)
        tokens = self.missing_tokens + ahead
        amounts = Amounts(calls=0, output_tokens=tokens)
        return tuple(
            [
                demand._replace(cost=cost_of(demand.quota.unit, amounts, self.tariff))
                for demand in self.demands
                if demand.quota.unit in OF_TOKENS
            ]
        )

    def grow(self, demands: tuple[Demand, ...]) -> None:
        """Note what was taken besides."""
        self.extra_tokens += self.missing_tokens + min(self.estimate.output_tokens // 8, 64)
        for demand in demands:
            self.extra[demand.key] = self.extra.get(demand.key, 0) + demand.cost

    def cut(self) -> bytes:
        """Give up what is missing, and return the end of the stream."""
        self.output_tokens -= self.missing_tokens
        return b"" if self.meter is None else self.meter.ending(self.last, self.output_tokens)

    # --- after

    def used(self, called: bool, refused: bool) -> Amounts:
        """Return what was used: the one place that says who pays for what did not end well.

        `called`: the upstream was asked.  `refused`: the exchange ended in a refusal, ours or the upstream's.
        """
        size = self.received_bytes + self.sent_bytes
        said = self.usage
        if said is not None:  # the upstream's own count, as far as it goes
            taken_in = self.estimate.input_tokens if said.input_tokens is None else said.input_tokens
            given_out = self.output_tokens if said.output_tokens is None else said.output_tokens
            return Amounts(1, size, taken_in, given_out, 0, self.named)
        if not called or (refused and not self.output_tokens):  # nothing came of it
            return Amounts(0, size, 0, 0, 0, self.named or {})
        if self.streams or self.read_whole:
            return Amounts(1, size, self.estimate.input_tokens, self.output_tokens, 0, self.named)
        # Nobody saw what the upstream did: the reservation stays.
        return Amounts(1, size, self.estimate.input_tokens, self.estimate.output_tokens, 0, self.named)

    def close(self, called: bool, refused: bool) -> tuple[Demand, ...]:
        """Return what to settle, the first time; nothing after that.  `settled` is for whoever has seen it done."""
        demands = self.demands + self.tried
        if self.closed or not demands:
            return ()
        self.closed = True
        amounts = self.used(called, refused)
        return tuple([self._close(demand, amounts) for demand in demands])

    def _close(self, demand: Demand, amounts: Amounts) -> Demand:
        if demand.quota.unit == ANSWERS:
            return demand
        cost = cost_of(demand.quota.unit, amounts, self.tariff)
        return demand._replace(cost=max(0, cost - self.extra.get(demand.key, 0)))


def _join(before: Usage, now: Usage) -> Usage:
    """Put together what two events of one answer state: the later word holds."""
    taken_in = before.input_tokens if now.input_tokens is None else now.input_tokens
    given_out = before.output_tokens if now.output_tokens is None else now.output_tokens
    return Usage(taken_in, given_out)


def read_costs(headers: Headers) -> dict[str, int] | None:
    """Return the units that an upstream names in its answer's head; None where what it wrote cannot be read.

    The form is `name=3, other=2`: names as in the policy, whole numbers, each name once.
    """
    for field in COST_FIELDS:
        values = headers.all(field)
        if values:
            return _parse_costs(",".join(values))
    return {}


def _parse_costs(text: str) -> dict[str, int] | None:
    parts = text.split(",") if len(text) <= FIELD_MAX_CHARS else []
    matches = [NAMED.fullmatch(part) for part in parts]
    costs = {match[1]: int(match[2]) for match in matches if match is not None}
    if not costs or not len(costs) == len(parts) <= NAMED_MAX or max(costs.values()) > COST_MAX:
        return None
    return costs
