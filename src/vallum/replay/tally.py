"""What a replay adds up to: how many were refused, coarsened and flagged, by which control, and whose they were.

Bounded: of callers, controls and times as many are kept apart as the numbers below; the rest are counted together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vallum.core.decision import Reason
from vallum.core.extraction import Grade, name_account

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.extraction import Change
    from vallum.replay.play import Log, Played

CALLERS_MAX = 20_000
CONTROLS_MAX = 500
SPANS = 120  # of the picture of time
SHOWN = 20  # callers in a report
OTHERS = "(others)"
NOBODY = "(nobody known)"
KINDS = ("allowed", "refused", "failed", "would_refuse", "coarsened", "flagged")
OF_UPSTREAM = frozenset({Reason.UPSTREAM_ERROR.value, Reason.UPSTREAM_TIMEOUT.value})


@dataclass(slots=True)
class Count:
    """Exchanges of one caller, route or span of time."""

    asked: int = 0
    answers: int = 0  # that requests counted as
    allowed: int = 0
    refused: int = 0
    failed: int = 0  # by the model, or by the gateway itself
    would_refuse: int = 0  # in shadow
    coarsened: int = 0
    flagged: int = 0
    newly: int = 0  # refused, though the log says that it was answered

    def add(self, kinds: Iterable[str], answers: int) -> None:
        """Count one exchange."""
        self.asked += 1
        self.answers += answers
        for kind in kinds:
            setattr(self, kind, getattr(self, kind) + 1)

    def merge(self, other: Count) -> None:
        """Count what another has counted."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def tell(self) -> dict[str, int]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Control:
    """What one control did, or would have done."""

    refused: int = 0
    would_refuse: int = 0
    callers: set[str] = field(default_factory=set)
    first: list[int] = field(default_factory=list)  # numbers of lines


class Times:
    """Counts by spans of time, which double in length where there would be too many."""

    def __init__(self, span_s: float = 1.0) -> None:
        """Begin with short spans."""
        self.span_s = span_s
        self.counts: dict[int, Count] = {}

    def add(self, at: float, kinds: Iterable[str], answers: int) -> None:
        """Count one exchange at a time."""
        slot = int(at // self.span_s)
        self.counts.setdefault(slot, Count()).add(kinds, answers)
        while max(self.counts) - min(self.counts) >= SPANS:
            self.span_s *= 2
            wider: dict[int, Count] = {}
            for number, count in self.counts.items():
                wider.setdefault(number // 2, Count()).merge(count)
            self.counts = wider


class Tally:
    """All that a replay says."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.total = Count()
        self.routes: dict[str, Count] = {}
        self.callers: dict[str, Count] = {}
        self.controls: dict[tuple[str, str], Control] = {}
        self.times = Times()
        self.first_at: float | None = None
        self.last_at = 0.0
        self.late = 0
        self.latest_s = 0.0
        self.unread = self.unanswered = self.nameless = 0
        self.changes: list[tuple[str, Change]] = []  # whom the watch for extraction found

    def add(self, played: Played) -> None:
        """Count one line."""
        line, record = played.line, played.record
        answers = record.get("counted_as", 1)
        kinds = kinds_of(record, line.status)
        who = line.who.subject if line.who is not None else NOBODY
        self.total.add(kinds, answers)
        _of(self.routes, record.get("route") or "(no route)", CONTROLS_MAX).add(kinds, answers)
        _of(self.callers, who, CALLERS_MAX).add(kinds, answers)
        self.times.add(record["at"], kinds, answers)
        for entry, shadow in _refusals(record):
            self._blame(entry, who, played.number, shadow=shadow)
        self.first_at = line.at if self.first_at is None else min(self.first_at, line.at)
        self.last_at = max(self.last_at, line.at)
        if played.late_s > 0:
            self.late += 1
            self.latest_s = max(self.latest_s, played.late_s)
        self.unread += line.body is None
        self.unanswered += line.reply is None or line.reply.status == 204
        self.nameless += line.who is None

    def _blame(self, entry: dict[str, Any], who: str, number: int, *, shadow: bool) -> None:
        key = (str(entry.get("control")), str(entry.get("rule") or entry.get("reason")))
        if key not in self.controls and len(self.controls) >= CONTROLS_MAX:
            key = (OTHERS, "")
        control = self.controls.setdefault(key, Control())
        control.refused += not shadow
        control.would_refuse += shadow
        if len(control.callers) < CALLERS_MAX:
            control.callers.add(who)
        if len(control.first) < 5:
            control.first.append(number)

    def _found(self) -> list[dict[str, Any]]:
        """Return whom the watch for extraction found: the gravest grade of each, and when it was first."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for model, change in self.changes:
            row = found.setdefault(
                (model, change.account),
                {"model": model, "account": name_account(change.account), "cluster": change.cluster, "grade": 0},
            )
            row.setdefault("first_at", change.at)
            row["grade"] = max(row["grade"], int(change.after))
            row["evidence"] = change.evidence
        rows = sorted(found.values(), key=lambda row: (-row["grade"], row["first_at"]))
        return [row | {"grade": Grade(row["grade"]).name.lower()} for row in rows]

    def tell(self, log: Log, digest: str, name: str) -> dict[str, Any]:
        """Return the report, as JSON has it."""
        worst = sorted(
            self.callers.items(), key=lambda item: (-item[1].refused - item[1].coarsened - item[1].flagged, item[0])
        )
        controls = sorted(self.controls.items(), key=lambda item: -item[1].refused - item[1].would_refuse)
        return {
            "policy": digest,
            "log": name,
            "lines": {
                "read": log.read,
                "played": self.total.asked,
                "broken": log.broken,
                "first_broken": [{"line": number, "why": why} for number, why in log.faults],
                "out_of_order": self.late,
                "latest_s": round(self.latest_s, 3),
                "without_body": self.unread,
                "without_answer": self.unanswered,
                "without_caller": self.nameless,
            },
            "from": self.first_at,
            "to": self.last_at,
            "total": self.total.tell(),
            "routes": {route: count.tell() for route, count in sorted(self.routes.items())},
            "controls": [
                {
                    "control": control,
                    "rule": rule,
                    "refused": held.refused,
                    "would_refuse": held.would_refuse,
                    "callers": len(held.callers),
                    "lines": held.first,
                }
                for (control, rule), held in controls
            ],
            "callers": [{"caller": who} | count.tell() for who, count in worst[:SHOWN]],
            "callers_in_all": len(self.callers),
            "callers_refused": sum(count.refused > 0 for count in self.callers.values()),
            "found": self._found(),
            "span_s": self.times.span_s,
            "times": [
                {"at": slot * self.times.span_s} | count.tell() for slot, count in sorted(self.times.counts.items())
            ],
            "assumed": assumed(self),
        }


def kinds_of(record: dict[str, Any], status_then: int | None) -> list[str]:
    """Say what came of an exchange, in the words of `KINDS`; `newly` where the log says that it was answered."""
    decision, reason = record.get("decision"), record.get("reason")
    if decision == "allow":
        kinds = ["allowed"]
    elif decision in ("deny", "challenge") and reason not in OF_UPSTREAM and reason != Reason.INTERNAL_ERROR.value:
        kinds = ["refused"] if status_then is None or status_then >= 400 else ["refused", "newly"]
    else:
        kinds = ["failed"]
    if record.get("shadow"):
        kinds.append("would_refuse")
    if record.get("coarsened"):
        kinds.append("coarsened")
    if record.get("suspicion", {}).get("signs") or record.get("canary") or record.get("extraction"):
        kinds.append("flagged")
    return kinds


def _refusals(record: dict[str, Any]) -> Iterable[tuple[dict[str, Any], bool]]:
    if record.get("reason") and record.get("decision") != "allow":
        yield record, False
    for entry in record.get("shadow", ()):
        yield entry, True


def _of(counts: dict[str, Count], name: str, most: int) -> Count:
    if name not in counts and len(counts) >= most:
        name = OTHERS
    return counts.setdefault(name, Count())


def assumed(tally: Tally) -> list[str]:
    """Say what a replay took for granted."""
    said = [
        "Who asked is whoever the log names: no credential was checked, and each had the scopes of the route.",
        "Counters, standings and habits began empty; no store, registry or upstream of the policy's was touched.",
        "An account is as old as its first line, unless the log says `created`; nothing was known of what is usual.",
        "Callers are taken to have asked the same whatever they were told: nobody waits, retries or gives up.",
    ]
    if tally.unread:
        said.append(f"{tally.unread:,} lines without a body were judged by head and quotas alone.")
    if tally.unanswered:
        said.append(
            f"{tally.unanswered:,} lines without an answer were answered with nothing: no tokens came out of them."
        )
    if tally.nameless:
        said.append(f"{tally.nameless:,} lines name no caller, and asked as strangers.")
    if tally.late:
        said.append(
            f"{tally.late:,} lines came up to {tally.latest_s:,.0f} s late, and were played when they were read."
        )
    return said
