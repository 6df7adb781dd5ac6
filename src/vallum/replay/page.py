"""A replay's report as one page of HTML that needs nothing besides itself: no script, no file, no address.

Rule: every name in it comes from a log, and whoever wrote the log is a stranger: all is escaped, and the page's own
policy lets nothing run or load.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .25rem .75rem .25rem 0 }
th { border-bottom: 1px solid #9aa7b4; font-weight: 600 } td { border-bottom: 1px solid #e3e8ed }
td { overflow-wrap: anywhere; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } .dim { color: #5c6a78 }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: #5c6a78 }
"""
COLOURS = {"allowed": "#7fb08f", "refused": "#c4483c", "failed": "#9aa7b4"}
WIDE, HIGH, FOOT = 900, 180, 20
CHARS_MAX = 200
FOUND = 100  # accounts on a page


def write_page(report: dict[str, Any]) -> str:
    """Return the page of a report."""
    total, lines = report["total"], report["lines"]
    summary = (
        f"{lines['played']:,} exchanges, {moment(report['from'])} to {moment(report['to'])}: "
        f"{total['allowed']:,} allowed, {total['refused']:,} refused, {total['failed']:,} failed at the model. "
        f"{total['newly']:,} of those refused were answered when the log was written. "
        f"{total['would_refuse']:,} more break a control in shadow, {total['coarsened']:,} answers were made coarser, "
        f"{total['flagged']:,} were flagged."
    )
    everybody, refused = report["callers_in_all"], report["callers_refused"]
    callers = f"{everybody:,} callers, of whom {refused:,} were refused something; these most."
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>Replay of {_text(report['log'])}</title><style>{STYLE}</style>",
        f"<h1>{_text(report['log'])} through policy {_text(report['policy'])}</h1>",
        f"<p>{summary}</p>",
        _timeline(report["times"], report["span_s"]),
        "<h2>By control</h2>",
        _table(
            ("control", "rule", "refused", "in shadow", "callers", "lines"),
            [
                (
                    row["control"],
                    row["rule"],
                    row["refused"],
                    row["would_refuse"],
                    row["callers"],
                    ", ".join(map(str, row["lines"])),
                )
                for row in report["controls"]
            ],
        ),
        "<h2>By route</h2>",
        _table(("route", *COUNTS.values()), [_counts(name, row) for name, row in report["routes"].items()]),
        f"<h2>By caller</h2><p class=dim>{callers}</p>",
        _table(("caller", *COUNTS.values()), [_counts(row["caller"], row) for row in report["callers"]]),
        "<h2>Found by the watch for extraction</h2>",
        _table(
            ("account", "model", "cluster", "gravest", "first", "why"), list(map(_suspect, report["found"][:FOUND]))
        ),
        "<h2>What was taken for granted</h2><ul>",
        *[f"<li>{_text(words)}" for words in report["assumed"]],
        "</ul>",
    ]
    if lines["broken"]:
        parts.append(f"<h2>Lines that are no exchanges</h2><p>{lines['broken']:,} of {lines['read']:,}.</p>")
        parts.append(_table(("line", "why"), [(row["line"], row["why"]) for row in lines["first_broken"]]))
    return "\n".join(parts) + "\n"


COUNTS = {
    "asked": "asked",
    "allowed": "allowed",
    "refused": "refused",
    "newly": "newly",
    "would_refuse": "in shadow",
    "coarsened": "coarsened",
    "flagged": "flagged",
}


def moment(at: float | None) -> str:
    """Write a time for people, in UTC."""
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _suspect(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["account"], row["model"], row["cluster"], row["grade"], moment(row["first_at"]), row["evidence"]


def _counts(name: str, row: dict[str, Any]) -> tuple[Any, ...]:
    return (name, *(row[count] for count in COUNTS))


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    wrote = "".join(
        "<tr>" + "".join(f"<td{_aligned(cell)}>{_text(_say(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    if not wrote:
        return "<p class=dim>None.</p>"
    return "<table><tr>" + "".join(f"<th>{_text(head)}</th>" for head in heads) + f"</tr>{wrote}</table>"


def _aligned(cell: Any) -> str:
    return " class=n" if isinstance(cell, int) else ""


def _say(cell: Any) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _text(words: Any) -> str:
    """Return words as text of a page, and nothing else: short, printable, escaped."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(words)[:CHARS_MAX])
    return escape(shown, quote=True)


def _timeline(times: Sequence[dict[str, Any]], span_s: float) -> str:
    """Draw what was allowed, refused and failed, over time."""
    if not times:
        return ""
    first, last = times[0]["at"], times[-1]["at"] + span_s
    most = max(row["asked"] for row in times)
    wide = WIDE * span_s / (last - first)
    bars = []
    for row in times:
        x, top = WIDE * (row["at"] - first) / (last - first), float(HIGH)
        for kind, colour in COLOURS.items():
            high = HIGH * row[kind] / most
            top -= high
            if high:
                bars.append(
                    f'<rect x="{x:.1f}" y="{top:.1f}" width="{max(wide - 0.5, 0.5):.1f}" height="{high:.1f}" '
                    f'fill="{colour}"><title>{moment(row["at"])}: {row[kind]:,} {kind}</title></rect>'
                )
    legend = " &#160; ".join(f'<tspan fill="{colour}">&#9632;</tspan> {kind}' for kind, colour in COLOURS.items())
    return (
        f'<svg viewBox="0 0 {WIDE} {HIGH + FOOT}" role=img aria-label="What came of exchanges over time">'
        f"{''.join(bars)}"
        f'<text x="0" y="{HIGH + 14}">{moment(first)}</text>'
        f'<text x="{WIDE}" y="{HIGH + 14}" text-anchor="end">{moment(last)}</text>'
        f'<text x="{WIDE / 2}" y="{HIGH + 14}" text-anchor="middle">{legend}; most {most:,} in {span_s:,.0f} s</text>'
        "</svg>"
    )
