"""Metrics, in Prometheus' format.

Labels are routes, reasons and controls of the policy: bounded, and never a caller's word or name.  Counting is a
dictionary and a few lists; the exposition is made when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from vallum.core.decision import Allow
from vallum.core.policy import Mode
from vallum.core.standing import GOOD_FOOTING, factor
from vallum.core.web_acl import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.core import Metric

    from vallum.adapters.gates import Gate
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Route
    from vallum.core.record import Timing
    from vallum.core.web_acl import WebAcl
    from vallum.extraction.watchers import Count
    from vallum.stores.failover import Condition
    from vallum.vigil.vigil import Figures

WAITED_BUCKETS_S = (0.0, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
GATEWAY_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
TOTAL_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Times:
    """One histogram: how many took at most each bound, and the sum, in seconds."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Count into `bounds`, in rising order, and one beyond."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def show(self) -> tuple[list[tuple[str, float]], float]:
        """Return the cumulated counts by bound, and the sum."""
        total = 0
        shown: list[tuple[str, float]] = []
        for bound, count in zip((*self._bounds, None), self._counts, strict=True):
            total += count
            shown.append(("+Inf" if bound is None else repr(bound), total))
        return shown, self._sum


class Metrics(Collector):
    """Counts and times of exchanges."""

    def __init__(self) -> None:
        """Start from nothing."""
        self.open = 0
        self.records_lost = 0
        self.callers_below = 0
        self.gates: Iterable[tuple[str, Gate]] = ()
        self._watches: Sequence[Count] = ()
        self._vigil: Figures | None = None
        self._exchanges: Counter[tuple[str, str, str, str]] = Counter()
        self._shadowed: Counter[tuple[str, str]] = Counter()
        self._matched: Counter[tuple[str, str, str]] = Counter()
        self._suspected: Counter[tuple[str, str]] = Counter()
        self._unscanned: Counter[tuple[str]] = Counter()
        self._opinions: Counter[tuple[str, str, str]] = Counter()
        self._reloads: Counter[tuple[str]] = Counter()
        self._throttled: Counter[tuple[str, str]] = Counter()
        self.handshakes_failed: Counter[str] = Counter()
        self.material_not_after: tuple[tuple[str, float], ...] = ()
        self._material: Counter[tuple[str]] = Counter()
        self._graded: Counter[tuple[str, str]] = Counter()
        self._canaries: Counter[tuple[str]] = Counter()
        self._gateway: dict[str, Times] = {}
        self._waited: dict[str, Times] = {}
        self._total: dict[str, Times] = {}
        self._store: tuple[Condition, int] | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def count(self, x: Exchange, status: int | None, timing: Timing) -> None:
        """Count one exchange that has ended."""
        route = x.route.name if x.route else ""
        decision = x.decision
        if x.cancelled or decision is None or status is None:
            verb, reason = "cancelled", ""
        elif isinstance(decision, Allow):
            verb, reason = "allow", ""
        else:
            verb, reason = type(decision).__name__.lower(), decision.reason.value
        self._exchanges[route, verb, reason, str(status or "")] += 1
        if route not in self._total:
            self._gateway[route], self._total[route] = Times(GATEWAY_BUCKETS_S), Times(TOTAL_BUCKETS_S)
        own_s = timing.total_s - timing.upstream_s - timing.slot_s - x.waited_s
        self._gateway[route].add(own_s)
        self._total[route].add(timing.total_s)
        if x.priority is not None:
            if route not in self._waited:
                self._waited[route] = Times(WAITED_BUCKETS_S)
            self._waited[route].add(x.waited_s)
        if x.footing is not None and x.footing is not GOOD_FOOTING and x.route is not None:
            self._count_throttled(x, x.route)
        self._count_signs(x, route)

    def _count_signs(self, x: Exchange, route: str) -> None:
        """Count what an operator should look at."""
        for refusal in x.shadowed:
            self._shadowed[route, refusal.control] += 1
        if x.matches and x.route is not None and x.route.web_acl is not None:
            self._count_matches(x, x.route, x.route.web_acl)
        if x.suspicion is not None:
            for sign in x.suspicion.signs:
                self._suspected[route, sign] += 1
            if x.suspicion.alert:
                self._suspected[route, "alert"] += 1
        if x.verdict is not None and x.verdict.grade:
            self._graded[route, x.verdict.grade.name.lower()] += 1
        if x.canary is not None:
            self._canaries[(route,)] += 1
        if x.unscanned:
            self._unscanned[(route,)] += 1
        for control, outcome in x.opinions.items():
            self._opinions[route, control, outcome] += 1

    def _count_matches(self, x: Exchange, route: Route, acl: WebAcl) -> None:
        """Count the rules of a web ACL that a request has matched, by what was done."""
        shadow = Mode.SHADOW in (acl.mode, route.mode)
        for rule, _ in x.matches:
            done = "shadow" if shadow and rule.action is Action.BLOCK else rule.action.value
            self._matched[acl.name, rule.name, done] += 1

    def _count_throttled(self, x: Exchange, route: Route) -> None:
        if x.footing is not None and route.throttle is not None:
            behaved = factor(x.footing.standing, route.throttle, x.request.now)
            if behaved < 1.0:
                self._throttled[route.name, next(str(bound) for bound in FACTOR_BOUNDS if behaved <= bound)] += 1

    def count_reload(self, outcome: str) -> None:
        """Count a reload: `swapped`, or `kept` when the new file did not hold."""
        self._reloads[(outcome,)] += 1

    def count_material(self, outcome: str) -> None:
        """Count a change of the TLS files: `swapped`, or `kept` when the new ones did not hold."""
        self._material[(outcome,)] += 1

    def note_watches(self, watches: Sequence[Count], vigil: Figures) -> None:
        """Take what there is to say of watches, where there are any."""
        self._watches, self._vigil = watches, vigil if watches else None

    def note_store(self, condition: Condition, spared: int) -> None:
        """Note how the shared counter store stands, and how many refusals were answered without it."""
        self._store = (condition, spared)

    def render(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield GaugeMetricFamily("vallum_exchanges_open", "Exchanges in hand.", value=self.open)
        yield GaugeMetricFamily(
            "vallum_callers_below_plan", "Callers whose standing lowers their limits.", value=self.callers_below
        )
        yield from _gate_metrics(self.gates)
        yield from _watch_metrics(self._watches)
        if self._vigil is not None:
            yield from _vigil_metrics(self._vigil)
        yield GaugeMetricFamily("vallum_records_lost", "Records that could not be written.", value=self.records_lost)
        if self._store is not None:
            yield from _show_store(*self._store)
        for name, text, labels, counts in (
            ("vallum_exchanges", "Exchanges by what was decided.", EXCHANGE_LABELS, self._exchanges),
            ("vallum_shadowed", "Refusals that a control in shadow would have made.", SHADOW_LABELS, self._shadowed),
            ("vallum_web_acl_matches", "Rules of web ACLs that matched.", RULE_LABELS, self._matched),
            ("vallum_suspected", "Uses of a credential that showed a sign of theft.", SIGN_LABELS, self._suspected),
            (
                "vallum_extraction_exchanges",
                "Exchanges of accounts suspected of copying a model, by how far.",
                GRADE_LABELS,
                self._graded,
            ),
            ("vallum_throttled", "Exchanges of callers below their plan.", THROTTLED_LABELS, self._throttled),
            ("vallum_unscanned", "Exchanges that a control could not inspect.", ("route",), self._unscanned),
            (
                "vallum_second_opinions",
                "Exchanges of which a check in doubt asked its slower tier, by what came of it.",
                OPINION_LABELS,
                self._opinions,
            ),
            (
                "vallum_canaries",
                "Uses of a canary key: somebody has what nobody was given.",
                ("route",),
                self._canaries,
            ),
            ("vallum_policy_reloads", "Policy reloads by outcome.", ("outcome",), self._reloads),
            ("vallum_tls_reloads", "Changes of the TLS files by outcome.", ("outcome",), self._material),
            ("vallum_tls_handshakes_failed", "Handshakes that failed, by cause.", ("cause",), self._failed()),
        ):
            family = CounterMetricFamily(name, text, labels=labels)
            for values, count in list(counts.items()):
                family.add_metric(values, count)
            yield family
        dates = GaugeMetricFamily(
            "vallum_tls_not_after_seconds", "When a TLS file goes out of date, Unix time.", labels=("file",)
        )
        for file, not_after in dict(sorted(self.material_not_after, reverse=True)).items():  # the first to go
            dates.add_metric((file,), not_after)
        yield dates
        for name, text, times in (
            (
                "vallum_gateway_seconds",
                "Time but for the wait until the upstream's answer began.",
                self._gateway,
            ),
            ("vallum_exchange_seconds", "Time from head to end.", self._total),
            ("vallum_waited_seconds", "Time in the waiting room of an upstream with a limit.", self._waited),
        ):
            histogram = HistogramMetricFamily(name, text, labels=("route",))
            for route, held in list(times.items()):
                histogram.add_metric((route,), *held.show())
            yield histogram

    def _failed(self) -> Counter[tuple[str]]:
        return Counter({(cause,): count for cause, count in self.handshakes_failed.items()})


def _gate_metrics(gates: Iterable[tuple[str, Gate]]) -> Iterator[Metric]:
    limit = GaugeMetricFamily(
        "vallum_upstream_limit", "Requests that an upstream is given at once.", labels=("upstream",)
    )
    inside = GaugeMetricFamily("vallum_upstream_open", "Requests that an upstream has in hand.", labels=("upstream",))
    waiting = GaugeMetricFamily("vallum_upstream_waiting", "Requests that wait for room.", labels=("upstream",))
    shed = CounterMetricFamily("vallum_shed", "Requests for which there was no room.", labels=("upstream", "priority"))
    for upstream, gate in gates:
        limit.add_metric((upstream,), int(gate.pressure.limit))
        inside.add_metric((upstream,), gate.pressure.inside)
        waiting.add_metric((upstream,), gate.pressure.waiting)
        for priority, count in list(gate.shed.items()):
            shed.add_metric((upstream, priority.name.lower()), count)
    yield from (limit, inside, waiting, shed)


def _watch_metrics(watches: Sequence[Count]) -> Iterator[Metric]:
    accounts = GaugeMetricFamily(
        "vallum_extraction_accounts",
        "Accounts suspected of copying a model, by how far.",
        labels=("model", "grade"),
    )
    sweeps = CounterMetricFamily("vallum_extraction_sweeps", "Sweeps over a model's accounts.", labels=("model",))
    alarms = CounterMetricFamily(
        "vallum_extraction_alarms", "Cohorts that differed from established accounts.", labels=("model",)
    )
    learnt = GaugeMetricFamily(
        "vallum_extraction_learnt",
        "How often a copy, made of what a cluster was answered, says what the model says: estimated. "
        "`untrusted` are all accounts that are not established.",
        labels=("model", "cluster"),
    )
    for watch in watches:
        for leak in watch.leaks:
            if leak.agreement is not None:
                learnt.add_metric((watch.model, leak.cluster or "untrusted"), leak.agreement)
        sweeps.add_metric((watch.model,), watch.sweeps)
        alarms.add_metric((watch.model,), watch.alarms)
        for grade, count in watch.accounts.items():
            if grade:
                accounts.add_metric((watch.model, grade.name.lower()), count)
    yield from (accounts, sweeps, alarms, learnt)


def _vigil_metrics(figures: Figures) -> Iterator[Metric]:
    for name, text, count in (
        ("vallum_extraction_sweeps_failed", "Sweeps that failed: verdicts stayed as they were.", figures.failed),
        ("vallum_extraction_refused", "What others handed in or kept, and was refused as broken.", figures.refused),
    ):
        yield CounterMetricFamily(name, text, value=count)
    yield GaugeMetricFamily(
        "vallum_extraction_sweep_seconds", "How long the last sweep took, off the event loop.", value=figures.last_s
    )
    yield GaugeMetricFamily(
        "vallum_extraction_leading", "Models that this process sweeps for all processes.", value=figures.leading
    )


FACTOR_BOUNDS = (0.1, 0.25, 0.5, 0.75, 1.0)
THROTTLED_LABELS = ("route", "factor_at_most")


def _show_store(condition: Condition, spared: int) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "vallum_counter_store_up", "1 while the shared counter store is asked, 0 while it is out.", value=condition.up
    )
    yield GaugeMetricFamily(
        "vallum_counter_store_nodes", "Processes that share limits while the store is out.", value=condition.nodes
    )
    for name, text, count in (
        ("vallum_counter_store_failures", "Calls of the counter store that failed.", condition.failures),
        ("vallum_settlements_lost", "Reservations that stay charged whole.", condition.settlements_lost),
        ("vallum_refusals_remembered", "Refusals that the counter store was not asked for again.", spared),
    ):
        yield CounterMetricFamily(name, text, value=count)


EXCHANGE_LABELS = ("route", "decision", "reason", "status")
SHADOW_LABELS = ("route", "control")
RULE_LABELS = ("web_acl", "rule", "action")
GRADE_LABELS = ("route", "grade")
SIGN_LABELS = ("route", "sign")
OPINION_LABELS = ("route", "control", "outcome")
