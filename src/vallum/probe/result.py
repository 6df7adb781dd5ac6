"""A run as a whole: what was tested, when, what was found, and what that comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vallum import __version__
from vallum.probe.catalogue import SEVERITIES, STANDARDS, Severity
from vallum.probe.finding import Finding, Verdict

VERSION = 1  # of the JSON report


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found."""

    url: str
    started: str  # RFC 3339, UTC
    took_s: float
    requests: int
    findings: tuple[Finding, ...]
    policy: str = ""  # digest of the policy that said what should hold; nothing: none did
    quick: bool = False

    def of(self, verdict: Verdict) -> list[Finding]:
        """Return the findings with one verdict, the gravest first."""
        found = [finding for finding in self.findings if finding.verdict is verdict]
        return sorted(found, key=lambda finding: -SEVERITIES.index(finding.facts.severity))

    def fails(self, least: Severity, *, strict: bool = False) -> bool:
        """Say whether it has a weakness of that severity and up; `strict`: or anything untested."""
        grave = SEVERITIES[SEVERITIES.index(least) :]
        weak = any(finding.facts.severity in grave for finding in self.of(Verdict.WEAK))
        return weak or (strict and bool(self.of(Verdict.UNTESTED)))

    @property
    def counts(self) -> Counter[Verdict]:
        """How many findings have each verdict."""
        return Counter(finding.verdict for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON report."""
        return {
            "version": VERSION,
            "tool": f"vallum probe {__version__}",
            "url": self.url,
            "started": self.started,
            "took_s": round(self.took_s, 1),
            "requests": self.requests,
            "quick": self.quick,
            "policy": self.policy,
            "standards": STANDARDS,
            "counts": {verdict.value: self.counts[verdict] for verdict in Verdict},
            "findings": [finding.as_json() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class Change:
    """How a verdict differs from an earlier run's."""

    name: str
    before: str
    now: str

    @property
    def is_worse(self) -> bool:
        """Whether something is weak that was not."""
        return self.now == Verdict.WEAK


def compare(result: Result, baseline: Any) -> list[Change]:
    """Return what changed since an earlier JSON report.  Raises ValueError where that is none."""
    try:
        if baseline["version"] != VERSION:
            raise ValueError("the baseline is of another version of the report")
        before = {entry["name"]: str(entry["verdict"]) for entry in baseline["findings"]}
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError("the baseline is no JSON report of vallum probe") from error
    return list(_changes(result.findings, before))


def _changes(findings: Iterable[Finding], before: dict[str, str]) -> Iterable[Change]:
    for finding in findings:
        earlier = before.get(finding.name, "new")
        if earlier != finding.verdict:
            yield Change(finding.name, earlier, finding.verdict.value)
