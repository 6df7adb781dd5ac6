"""The HTML report: one file, no network, fit for print.  What answers said is escaped like all text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from vallum.probe.catalogue import SEVERITIES, STANDARDS
from vallum.probe.finding import Finding, Verdict
from vallum.probe.result import Result

STYLE = (Path(__file__).parent / "report.css").read_text("utf-8")
ORDER = (Verdict.WEAK, Verdict.UNTESTED, Verdict.HELD)
LEFT, WIDE, TALL, GAP = 120, 420, 18, 10  # of the pictures, in pixels
COLOURS = {Verdict.WEAK: "#b3261e", Verdict.UNTESTED: "#b58a00", Verdict.HELD: "#2e7d4f"}  # as in report.css
WORDS = {Verdict.WEAK: "weak", Verdict.UNTESTED: "untested", Verdict.HELD: "held"}


def write_html(result: Result) -> str:
    """Write a run as a page: the verdict, two pictures, what is weak and how to mend it, and all that was asked."""
    title = f"Probe of {escape(result.url)}"
    sections = [
        f"<header><h1>{title}</h1>{_facts(result)}</header>",
        f'<p class="verdict {_tone(result)}">{_verdict(result)}</p>',
        f'<div class="pictures">{_families(result)}{_severities(result)}</div>',
        *_weak(result),
        *_untested(result),
        _all(result),
        _standards(result),
        f"<footer>{escape(result.as_json()['tool'])}. Untested is neither good nor bad: it is unknown.</footer>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    body = "".join(sections)
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>\n'


def _facts(result: Result) -> str:
    policy = f"held to policy {escape(result.policy[:12])}" if result.policy else "held to what is usual"
    kind = "quick run" if result.quick else "full run"
    return f"<p>{escape(result.started)} · {kind} · {result.requests} requests in {result.took_s:.0f} s · {policy}</p>"


def _tone(result: Result) -> str:
    if result.counts[Verdict.WEAK]:
        return "weak"
    return "held" if result.counts[Verdict.HELD] else "untested"


def _verdict(result: Result) -> str:
    counts, weak = result.counts, result.of(Verdict.WEAK)
    beside = f" {counts[Verdict.UNTESTED]} could not be tested." if counts[Verdict.UNTESTED] else ""
    if weak:
        count = "One control is" if len(weak) == 1 else f"{len(weak)} controls are"
        return f"{count} weak, the gravest {weak[0].facts.severity}; {counts[Verdict.HELD]} held.{beside}"
    if counts[Verdict.HELD]:
        return f"All {counts[Verdict.HELD]} controls that were tested held.{beside}"
    return "Nothing could be tested."


def _families(result: Result) -> str:
    """Draw one bar a family: how many of its probes are weak, untested and held."""
    rows = []
    for family, members in groupby(result.findings, lambda finding: finding.facts.family):
        verdicts = [finding.verdict for finding in members]
        rows.append((family, [(verdict, verdicts.count(verdict)) for verdict in ORDER]))
    return _bars("By family", rows)


def _severities(result: Result) -> str:
    """Draw one bar a severity, the gravest first."""
    rows = []
    for severity in reversed(SEVERITIES):
        verdicts = [finding.verdict for finding in result.findings if finding.facts.severity == severity]
        rows.append((severity, [(verdict, verdicts.count(verdict)) for verdict in ORDER]))
    return _bars("By severity", rows)


def _bars(title: str, rows: Sequence[tuple[str, list[tuple[Verdict, int]]]]) -> str:
    most = max((sum(count for _, count in parts) for _, parts in rows), default=1) or 1
    unit = (WIDE - LEFT) / most
    shapes = []
    for index, (name, parts) in enumerate(rows):
        y, x = index * (TALL + GAP), float(LEFT)
        shapes.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        for verdict, count in parts:
            if count:
                shapes.append(
                    f'<rect fill="{COLOURS[verdict]}" x="{x:.1f}" y="{y}" '
                    f'width="{count * unit - 1:.1f}" height="{TALL}"/>'
                    f'<text fill="#fff" text-anchor="middle" x="{x + count * unit / 2:.1f}" y="{y + 13}">{count}</text>'
                )
            x += count * unit
    height = len(rows) * (TALL + GAP)
    keys = "".join(f'<span class="key {verdict}">{WORDS[verdict]}</span>' for verdict in ORDER)
    picture = (
        f'<svg viewBox="0 0 {WIDE} {height}" font-size="12" role="img" aria-label="{title}">{"".join(shapes)}</svg>'
    )
    return f"<figure><figcaption>{title} {keys}</figcaption>{picture}</figure>"


def _weak(result: Result) -> list[str]:
    findings = result.of(Verdict.WEAK)
    return ["<h2>What is weak</h2>", *map(_card, findings)] if findings else []


def _card(finding: Finding) -> str:
    facts, outcome = finding.facts, finding.outcome
    evidence = "".join(f"<li><code>{escape(line)}</code></li>" for line in outcome.evidence)
    places = " · ".join(
        f"{escape(STANDARDS[standard])}: {escape(', '.join(places))}"
        for standard, places in facts.standards.items()
        if places
    )
    return (
        f"<article><h3>{escape(outcome.sentence[:1].upper() + outcome.sentence[1:])} "
        f'<span class="severity {facts.severity}">{facts.severity}</span></h3>'
        f'<p class="asks">{escape(facts.name)}: {escape(facts.asks)}</p><ul>{evidence}</ul>'
        f"<dl><dt>In a policy</dt><dd>{_code(facts.vallum)}</dd>"
        f"<dt>Elsewhere</dt><dd>{_code(facts.elsewhere)}</dd></dl>"
        f'<p class="places">{places}</p></article>'
    )


def _code(text: str) -> str:
    """Escape a sentence of the catalogue, and set what stands between backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _untested(result: Result) -> list[str]:
    findings = result.of(Verdict.UNTESTED)
    rows = "".join(
        f"<tr><td>{escape(finding.name)}</td><td>{escape(finding.outcome.sentence)}</td></tr>" for finding in findings
    )
    return [f"<h2>What could not be tested</h2><table>{rows}</table>"] if findings else []


def _all(result: Result) -> str:
    rows = "".join(
        f'<tr><td class="mark {finding.verdict}">{WORDS[finding.verdict]}</td><td>{escape(finding.facts.asks)}</td>'
        f"<td>{escape(finding.outcome.sentence)}</td><td>{finding.requests}</td></tr>"
        for finding in result.findings
    )
    head = "<tr><th></th><th>what was asked</th><th>what was found</th><th>requests</th></tr>"
    return f"<h2>All that was asked</h2><table>{head}{rows}</table>"


def _standards(result: Result) -> str:
    """List each place of a standard with the worst verdict of the probes that are about it."""
    places: dict[tuple[str, str], list[Verdict]] = {}
    for finding in result.findings:
        for standard, names in finding.facts.standards.items():
            for name in names:
                places.setdefault((standard, name), []).append(finding.verdict)
    rows = "".join(
        f'<tr><td>{escape(STANDARDS[standard])}</td><td>{escape(name)}</td><td class="mark {worst}">{WORDS[worst]}</td>'
        f"<td>{len(verdicts)} probes</td></tr>"
        for (standard, name), verdicts in sorted(places.items())
        for worst in [min(verdicts, key=ORDER.index)]
    )
    return f"<h2>By standard</h2><table>{rows}</table>"
