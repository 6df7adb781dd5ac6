"""Figures from rounds: medians with their spread, ratios within each round, a table, JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median

from load import Load
from rich.box import SIMPLE
from rich.table import Table

NOISE_LIMIT = 0.03
BASELINES = ("envoy", "nginx")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one loaded span showed.  `other_share` is the part of the contender's core that other work took away."""

    span_s: float
    cpu_s: float
    other_share: float
    load: Load

    @property
    def us_per_request(self) -> float:
        """CPU per request: the figure to quote."""
        return self.cpu_s / self.load.requests * 1e6

    @property
    def requests_per_s(self) -> float:
        """Requests answered in a second, as far as the load generator asked for them."""
        return self.load.requests / self.span_s

    @property
    def core_share(self) -> float:
        """How full the contender's core was: near 1, it was the bottleneck."""
        return self.cpu_s / self.span_s


@dataclass(frozen=True, slots=True)
class Round:
    """One contender in one round."""

    contender: str
    number: int
    reading: Reading


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its smallest and largest value."""

    median: float
    low: float
    high: float

    def text(self, digits: int) -> str:
        """Write it for a table."""
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f}..{self.high:,.{digits}f})"


def spread(values: list[float]) -> Spread:
    """Summarise values of all rounds."""
    return Spread(median(values), min(values), max(values))


def ratios(rounds: list[Round]) -> dict[str, Spread]:
    """Compare the gateway with each baseline, round by round: only figures of one round share their noise."""
    cost = {(r.contender, r.number): r.reading.us_per_request for r in rounds}
    numbers = sorted({r.number for r in rounds})
    pairs = {
        base: [cost["gateway", n] / cost[base, n] for n in numbers if ("gateway", n) in cost and (base, n) in cost]
        for base in BASELINES
    }
    return {f"gateway / {base}": spread(values) for base, values in pairs.items() if values}


def by_contender(rounds: list[Round]) -> dict[str, list[Reading]]:
    """Group readings, in the order of first appearance."""
    groups: dict[str, list[Reading]] = {}
    for r in rounds:
        groups.setdefault(r.contender, []).append(r.reading)
    return groups


def table(rounds: list[Round]) -> Table:
    """Draw the result."""
    drawn = Table(title="CPU per proxied request: median (min..max) over rounds", title_justify="left", box=SIMPLE)
    drawn.add_column("contender", style="bold", no_wrap=True)
    for heading in ("CPU us/request", "requests/s", "core use", "p50 ms", "p99 ms"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for name, group in by_contender(rounds).items():
        drawn.add_row(
            name,
            spread([r.us_per_request for r in group]).text(1),
            f"{median(r.requests_per_s for r in group):,.0f}",
            f"{median(r.core_share for r in group):.0%}",
            f"{median(r.load.p50_us for r in group) / 1000:.2f}",
            f"{median(r.load.p99_us for r in group) / 1000:.2f}",
        )
    return drawn


def warnings(rounds: list[Round]) -> list[str]:
    """Name the rounds that were not quiet."""
    return [
        f"round {r.number}, {r.contender}: other work took {r.reading.other_share:.0%} of its core; run it again"
        for r in rounds
        if r.reading.other_share > NOISE_LIMIT
    ]


def summary(rounds: list[Round]) -> dict[str, object]:
    """Give all figures, for JSON."""
    return {
        "contenders": {
            name: {
                "us_per_request": asdict(spread([r.us_per_request for r in group])),
                "requests_per_s": asdict(spread([r.requests_per_s for r in group])),
            }
            for name, group in by_contender(rounds).items()
        },
        "ratios": {name: asdict(value) for name, value in ratios(rounds).items()},
        "rounds": [
            asdict(r) | {"us_per_request": r.reading.us_per_request, "requests_per_s": r.reading.requests_per_s}
            for r in rounds
        ],
        "warnings": warnings(rounds),
    }
