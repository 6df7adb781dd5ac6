"""Metrics, in Prometheus' format.  Labels are routes, reasons and controls of the policy: bounded, and never a
caller's word or name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from vallum.core.decision import Allow

if TYPE_CHECKING:
    from vallum.core.exchange import Exchange

GATEWAY_BUCKETS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
TOTAL_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """Counts and times of exchanges."""

    def __init__(self) -> None:
        """Register every metric."""
        self._registry = CollectorRegistry()
        make: dict[str, Any] = {"registry": self._registry}
        self._exchanges = Counter(
            "vallum_exchanges", "Exchanges by what was decided.", ["route", "decision", "reason", "status"], **make
        )
        self._shadowed = Counter(
            "vallum_shadowed", "Refusals that a control in shadow would have made.", ["route", "control"], **make
        )
        self._unscanned = Counter("vallum_unscanned", "Exchanges that a control could not inspect.", ["route"], **make)
        self._gateway = Histogram(
            "vallum_gateway_seconds", "Time in the gateway itself.", ["route"], buckets=GATEWAY_BUCKETS_S, **make
        )
        self._total = Histogram(
            "vallum_exchange_seconds", "Time from head to end.", ["route"], buckets=TOTAL_BUCKETS_S, **make
        )
        self._reloads = Counter("vallum_policy_reloads", "Policy reloads by outcome.", ["outcome"], **make)
        self._records_lost = Gauge("vallum_records_lost", "Records that could not be written.", **make)
        self.open = Gauge("vallum_exchanges_open", "Exchanges in hand.", **make)
        self._children: dict[tuple[str, str, str, str], Any] = {}
        self._timers: dict[str, tuple[Any, Any]] = {}

    def count(self, x: Exchange, status: int | None, timing_ms: dict[str, float]) -> None:
        """Count one exchange that has ended."""
        route = x.route.name if x.route else ""
        decision = x.decision
        if decision is None or status is None:
            verb, reason = "cancelled", ""
        elif isinstance(decision, Allow):
            verb, reason = "allow", ""
        else:
            verb, reason = type(decision).__name__.lower(), decision.reason.value
        labels = (route, verb, reason, str(status or ""))
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._exchanges.labels(*labels)
        child.inc()
        timers = self._timers.get(route)
        if timers is None:
            timers = self._timers[route] = (self._gateway.labels(route), self._total.labels(route))
        timers[0].observe(timing_ms["gateway"] / 1000)
        timers[1].observe(timing_ms["total"] / 1000)
        for refusal in x.shadowed:
            self._shadowed.labels(route, refusal.control).inc()
        if x.unscanned:
            self._unscanned.labels(route).inc()

    def count_reload(self, outcome: str) -> None:
        """Count a reload: `swapped`, or `kept` when the new file did not hold."""
        self._reloads.labels(outcome).inc()

    def render(self, records_lost: int) -> bytes:
        """Return the exposition."""
        self._records_lost.set(records_lost)
        return generate_latest(self._registry)
