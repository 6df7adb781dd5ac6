"""JUnit XML, which every CI viewer reads: a family is a suite, a probe a case, a weakness a failure."""

from __future__ import annotations

from itertools import groupby
from xml.etree import ElementTree as ET

from vallum.probe.finding import Finding, Verdict
from vallum.probe.result import Result


def write_junit(result: Result) -> str:
    """Write a run as JUnit XML; what is untested is skipped, with its reason."""
    root = ET.Element("testsuites", {"name": f"vallum probe {result.url}"} | _counts(list(result.findings)))
    for family, members in groupby(result.findings, lambda finding: finding.facts.family):
        findings = list(members)
        suite = ET.SubElement(root, "testsuite", {"name": family, "timestamp": result.started} | _counts(findings))
        for finding in findings:
            _add_case(suite, finding)
    ET.indent(root)
    return ET.tostring(root, "unicode", xml_declaration=True) + "\n"


def _counts(findings: list[Finding]) -> dict[str, str]:
    verdicts = [finding.verdict for finding in findings]
    return {
        "tests": str(len(findings)),
        "failures": str(verdicts.count(Verdict.WEAK)),
        "errors": "0",
        "skipped": str(verdicts.count(Verdict.UNTESTED)),
        "time": f"{sum(finding.took_s for finding in findings):.3f}",
    }


def _add_case(suite: ET.Element, finding: Finding) -> None:
    facts, outcome = finding.facts, finding.outcome
    case = ET.SubElement(
        suite, "testcase", classname=facts.family, name=f"{facts.name}: {facts.title}", time=f"{finding.took_s:.3f}"
    )
    match finding.verdict:
        case Verdict.WEAK:
            failure = ET.SubElement(case, "failure", type=facts.severity, message=outcome.sentence)
            lines = [*outcome.evidence, f"In a policy: {facts.vallum}", f"Elsewhere: {facts.elsewhere}"]
            failure.text = "\n".join(lines)
        case Verdict.UNTESTED:
            ET.SubElement(case, "skipped", message=outcome.sentence)
        case Verdict.HELD:
            ET.SubElement(case, "system-out").text = "\n".join([outcome.sentence, *outcome.evidence])
