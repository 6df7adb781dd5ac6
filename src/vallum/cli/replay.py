"""`vallum replay`: what a policy would have done to recorded exchanges."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from vallum.cli.terminal import FAILED, complain, err, out
from vallum.cli.why import printable
from vallum.config.compile import load_policy
from vallum.config.source import read_source
from vallum.household import habits
from vallum.replay.page import moment, write_page
from vallum.replay.play import Log, play
from vallum.replay.tally import Tally
from vallum.stores.sightings import MemorySightings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LINE_MAX_BYTES = 16_777_216
NAME_MAX_CHARS = 28
FOUND_SHOWN = 20


@click.command(short_help="Play recorded exchanges through POLICY.")
@click.argument("policy", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("log", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option("--html", "as_html", is_flag=True, help="The report as a page of HTML, with pictures.")
@click.option("-o", "--out", "output", type=click.Path(path_type=Path, dir_okay=False), help="Write the report there.")
@click.pass_context
def replay(ctx: click.Context, policy: Path, log: Path, as_json: bool, as_html: bool, output: Path | None) -> None:
    """Play the exchanges recorded in LOG through POLICY, on a clock of their own, and say what would become of them.

    A line of LOG is one exchange in JSON: its time and path, and whatever there is of method, headers, body, caller,
    address, and answer.  Nobody's credential is checked: who asked is whoever the log names.  No store, registry or
    upstream of the policy's is touched.

    \b
    Example:  vallum replay new.yaml traffic.jsonl
              vallum replay new.yaml traffic.jsonl --html -o report.html
    """
    if as_json and as_html:
        raise click.UsageError("give --json or --html")
    config, compiled = load_policy(read_source(policy), time.time(), certificates=False)
    tally = Tally()
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("replaying", total=log.stat().st_size)
        lines = Log(read_lines(log, lambda size: progress.advance(task, size)))
        tally.changes = play(lines, compiled, tally.add, sightings=MemorySightings(habits(config)))
    report = tally.tell(lines, compiled.digest, log.name)
    if not report["lines"]["played"]:
        _tell_broken(report)
        complain(f"{log} holds no line that is an exchange")
        ctx.exit(FAILED)
    text = json.dumps(report, ensure_ascii=True) if as_json else write_page(report) if as_html else None
    if text is None:
        _show(report)
        text = json.dumps(report, ensure_ascii=True)
        if output is None:
            return
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{output} cannot be written: {error.strerror}", param_hint="--out") from error
    err.print(f"{escape(str(output))}: {report['lines']['played']:,} exchanges.", style="bold")


def read_lines(path: Path, advance: Callable[[int], None]) -> Iterator[bytes]:
    """Yield the lines of a file; of one that is too long, its beginning, which is no line of JSON."""
    try:
        with path.open("rb") as file:
            while line := file.readline(LINE_MAX_BYTES):
                size = len(line)
                while not line.endswith(b"\n") and (rest := file.readline(LINE_MAX_BYTES)):
                    size += len(rest)
                    line = b"{" if not rest.endswith(b"\n") else b"{\n"  # over the bound: no JSON, whatever it was
                advance(size)
                yield line
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="LOG") from error


def _show(report: dict[str, Any]) -> None:
    total, lines = report["total"], report["lines"]
    out.print(f"{lines['played']:,} exchanges, {moment(report['from'])} to {moment(report['to'])} UTC", style="bold")
    out.print(
        f"{total['allowed']:,} allowed, {total['refused']:,} refused ({total['newly']:,} of them were answered when "
        f"logged), {total['failed']:,} failed at the model; {total['would_refuse']:,} would be refused but for shadow, "
        f"{total['coarsened']:,} coarsened, {total['flagged']:,} flagged."
    )
    if report["controls"]:
        rows = [
            (row["control"], row["rule"], row["refused"], row["would_refuse"], row["callers"], str(row["lines"][0]))
            for row in report["controls"]
        ]
        _table(("control", "rule", "refused", "shadow", "callers", "first line"), rows)
    _table(
        ("route", "asked", "answers", "refused", "newly", "coarser", "flagged"),
        [_row(name, row) for name, row in report["routes"].items()],
    )
    troubled = [row for row in report["callers"] if row["refused"] or row["coarsened"] or row["flagged"]]
    if troubled:
        _table(
            ("caller", "asked", "answers", "refused", "newly", "coarser", "flagged"),
            [_row(row["caller"], row) for row in troubled],
        )
        refused = f"{report['callers_refused']:,} of {report['callers_in_all']:,} callers were refused something."
        out.print(refused, style="dim")
    if report["found"]:
        found = [(row["account"], row["cluster"], row["grade"], moment(row["first_at"])) for row in report["found"]]
        _table(("caller", "cluster", "gravest", "first"), found[:FOUND_SHOWN])
        out.print(f"{len(found):,} accounts were found by the watch for extraction.", style="dim")
    _tell_broken(report)
    out.print("\nTaken for granted:")
    for words in report["assumed"]:
        out.print(f"- {words}", style="dim", markup=False)


def _tell_broken(report: dict[str, Any]) -> None:
    lines = report["lines"]
    if not lines["broken"]:
        return
    err.print(f"{lines['broken']:,} of {lines['read']:,} lines are no exchanges:", style="yellow")
    for row in lines["first_broken"][:5]:
        err.print(f"  line {row['line']}: {row['why']}", style="yellow", markup=False)


def _row(name: str, row: dict[str, Any]) -> tuple[Any, ...]:
    return (name, row["asked"], row["answers"], row["refused"], row["newly"], row["coarsened"], row["flagged"])


def _table(heads: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        named = head in ("control", "rule", "route", "caller")
        table.add_column(head, justify="left" if named else "right", overflow="fold")
    for row in rows:
        table.add_row(*[f"{cell:,}" if isinstance(cell, int) else escape(_short(cell)) for cell in row])
    out.print()
    out.print(table)


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= NAME_MAX_CHARS else f"{shown[: NAME_MAX_CHARS - 3]}..."
