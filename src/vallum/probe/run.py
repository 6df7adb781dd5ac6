"""Runs the probes, family by family, and makes sure that what they say may be said.

Rule 1: after each family an honest request must be served.  If it is not, we were banned or broke it, and what "held"
        because everything was refused is untested.
Rule 2: probes that wait for a window to pass wait together, at the end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from itertools import groupby

from vallum.probe.catalogue import Facts, read_catalogue
from vallum.probe.families import FAMILIES
from vallum.probe.finding import Finding, Outcome, StoppedError, UntestableError, Verdict, untested
from vallum.probe.session import Session

Probe = Callable[[Session], Awaitable[Outcome]]
Told = Callable[[Finding], None]


def chosen(quick: bool, only: Iterable[str] = (), given: Iterable[str] = ()) -> list[Facts]:
    """Return the probes of a run: all, the quick ones, or those of some families or names.

    Left out is what needs an option that is not among those `given`.
    """
    wanted, given = set(only), {"", *given}
    return [
        facts
        for facts in read_catalogue().values()
        if facts.needs in given
        and (not quick or facts.pace == "quick")
        and (not wanted or wanted & {facts.name, facts.family})
    ]


async def run(session: Session, probes: list[Facts], tell: Told = lambda _: None) -> list[Finding]:
    """Run the probes and return what each found, in their order."""
    findings: dict[str, Finding] = {}
    stopped = ""
    try:
        await session.start()
        for _, members in groupby((facts for facts in probes if facts.pace != "waiting"), lambda facts: facts.family):
            await _run_family(session, list(members), findings, tell)
        await _run_waiting(session, [facts for facts in probes if facts.pace == "waiting"], findings, tell)
    except (StoppedError, UntestableError) as error:
        stopped = str(error)
    return [findings.get(facts.name) or _skip(facts, stopped, tell) for facts in probes]


async def _run_family(session: Session, family: list[Facts], findings: dict[str, Finding], tell: Told) -> None:
    """Run one family; what it found is doubted where it ends without an honest answer."""
    own: dict[str, Finding] = {}
    sure = False
    try:
        for facts in family:
            own[facts.name] = await _try(session, facts, tell)
        sure = all(one.verdict is not Verdict.HELD for one in own.values()) or await session.is_honest()
        if not sure:
            raise StoppedError(f"after {family[0].family} no honest request was served: we were banned, or broke it")
    finally:
        findings |= own if sure else {name: _doubt(finding) for name, finding in own.items()}


async def _run_waiting(session: Session, probes: list[Facts], findings: dict[str, Finding], tell: Told) -> None:
    """Run those that wait, together; where one of them ends the run, the others still end by themselves."""
    results = await asyncio.gather(*(_try(session, facts, tell) for facts in probes), return_exceptions=True)
    for result in results:
        if isinstance(result, Finding):
            findings[result.name] = result
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _try(session: Session, facts: Facts, tell: Told) -> Finding:
    began, sent = time.monotonic(), session.budget.sent
    probe: Probe = _find(FAMILIES, facts)
    try:
        outcome = await probe(session)
    except UntestableError as error:
        outcome = untested(str(error))
    outcome = replace(outcome, evidence=tuple(map(session.mask, outcome.evidence)))
    finding = Finding(facts, outcome, session.budget.sent - sent, time.monotonic() - began)
    tell(finding)
    return finding


def _find(families: Mapping[str, Mapping[str, Probe]], facts: Facts) -> Probe:
    return families[facts.family][facts.name.partition(".")[2]]


def _doubt(finding: Finding) -> Finding:
    if finding.verdict is not Verdict.HELD:
        return finding
    return replace(finding, outcome=untested("refused, but so were honest requests when it was over"))


def _skip(facts: Facts, why: str, tell: Told) -> Finding:
    finding = Finding(facts, untested(why))
    tell(finding)
    return finding
