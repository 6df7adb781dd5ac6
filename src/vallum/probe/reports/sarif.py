"""SARIF 2.1.0 (OASIS), which code-scanning pages read: a probe is a rule, a weakness a result."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from vallum import __version__
from vallum.probe.catalogue import STANDARDS, Facts, Severity
from vallum.probe.finding import Finding, Verdict
from vallum.probe.result import Result

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS: dict[Severity, str] = {"low": "note", "medium": "warning", "high": "error", "critical": "error"}
SCORES: dict[Severity, str] = {"low": "2.0", "medium": "5.0", "high": "8.0", "critical": "9.5"}
WRITTEN = ":/?#[]@!$&'()*+,;=%"  # what stands in an address as it is (RFC 3986, 2.2)
KINDS = {Verdict.HELD: "pass", Verdict.WEAK: "fail", Verdict.UNTESTED: "review"}  # 3.27.9


def write_sarif(result: Result) -> str:
    """Write a run as SARIF; what held is a result of the kind pass, what is untested one of the kind review."""
    rules = [_rule(finding.facts) for finding in result.findings]
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "vallum probe", "version": __version__, "rules": rules}},
                "invocations": [{"executionSuccessful": True, "startTimeUtc": result.started}],
                "results": [_result(finding, index, result.url) for index, finding in enumerate(result.findings)],
                "properties": {"requests": result.requests, "policy": result.policy},
            }
        ],
    }
    return json.dumps(log, ensure_ascii=False, indent=2) + "\n"


def _rule(facts: Facts) -> dict[str, Any]:
    tags = [
        "security",
        *(f"{STANDARDS[name]}: {place}" for name, places in facts.standards.items() for place in places),
    ]
    return {
        "id": facts.name,
        "name": "".join(word.capitalize() for word in facts.name.replace(".", "_").split("_")),
        "shortDescription": {"text": facts.title},
        "fullDescription": {"text": facts.asks},
        "help": {"text": f"In a policy: {facts.vallum}\nElsewhere: {facts.elsewhere}"},
        "defaultConfiguration": {"level": LEVELS[facts.severity]},
        "properties": {"tags": tags, "security-severity": SCORES[facts.severity], "precision": "high"},
    }


def _result(finding: Finding, index: int, url: str) -> dict[str, Any]:
    facts, outcome = finding.facts, finding.outcome
    is_weak = finding.verdict is Verdict.WEAK
    place = {"artifactLocation": {"uri": quote(url, safe=WRITTEN)}, "region": {"startLine": 1}}
    return {
        "ruleId": facts.name,
        "ruleIndex": index,
        "kind": KINDS[finding.verdict],
        "level": LEVELS[facts.severity] if is_weak else "none",  # 3.27.10: none unless it fails
        "message": {"text": "\n".join([outcome.sentence, *outcome.evidence])},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"probe/v1": sha256(f"{url} {facts.name}".encode()).hexdigest()},
    }
