"""`vallum limits`: more than the plan, for one subject, for a time, and on the record."""

from __future__ import annotations

import getpass
import json
import math
import re
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from vallum.cli.terminal import FAILED, complain, err, out, policy_option, read_config
from vallum.core.standing import Raise
from vallum.stores.raises import SqlRaises

if TYPE_CHECKING:
    from pathlib import Path

FACTOR_MAX = 100.0
LIFE_MAX_S = 90 * 86_400
SPANS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
SPAN = re.compile(r"([1-9]\d{0,6})([smhd])")


@click.group()
def limits() -> None:
    """Raise a subject's limits for a time, and take that back."""


@limits.command("raise")
@click.argument("subject")
@click.option("--factor", type=float, required=True, help="What the plan's limits are multiplied by, over 1.")
@click.option("--for", "span", required=True, metavar="SPAN", help="How long: 30m, 2h, 7d; at most 90d.")
@click.option("--reason", required=True, help="Why: it stands in the records.")
@click.option("--by", default=None, help="Who decided; the user of this shell by default.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def raise_limits(
    subject: str, factor: float, span: str, reason: str, by: str | None, policy: Path | None, as_json: bool
) -> None:
    """Raise the limits of SUBJECT.  Running gateways know it within two seconds; it ends by itself.

    \b
    Example:  vallum limits raise alice --factor 2 --for 2h --reason "launch day, agreed with sales"
    """
    if not (math.isfinite(factor) and 1.0 < factor <= FACTOR_MAX):
        raise click.BadParameter(f"a number over 1 and up to {FACTOR_MAX:g}", param_hint="--factor")
    for name, value, most in (("SUBJECT", subject, 255), ("--reason", reason, 1000), ("--by", by or read_user(), 255)):
        if not value.strip() or not value.isprintable() or len(value) > most:
            raise click.BadParameter(f"up to {most} printable characters", param_hint=name)
    now = time.time()
    until = now + read_span(span)
    with closing(_open(policy)) as raises:
        raises.add(Raise(subject, factor, until, by or read_user(), reason, now))
    if as_json:
        click.echo(json.dumps({"subject": subject, "factor": factor, "until": until}))
        return
    err.print(
        f"The limits of {subject} are {factor:g} times the plan until {when(until)}.", markup=False, soft_wrap=True
    )
    err.print(f"Take it back with: vallum limits lower {subject}", style="dim", markup=False, soft_wrap=True)


@limits.command("list", short_help="List raised limits.")
@click.option("--subject", help="Only this subject's.")
@click.option("--all", "past", is_flag=True, help="Also what has ended.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_limits(subject: str | None, past: bool, policy: Path | None, as_json: bool) -> None:
    """List raised limits: whose, by how much, until when, by whom and why.

    \b
    Example:  vallum limits list --all
    """
    now = time.time()
    with closing(_open(policy)) as raises:
        found = [entry | {"state": _state(entry, now)} for entry in raises.history(subject)]
    shown = [entry for entry in found if past or entry["state"] == "in force"]
    if as_json:
        click.echo(json.dumps(shown))
        return
    table = Table("subject", "factor", "until", "state", "by", "reason", box=None, padding=(0, 2, 0, 0))
    for entry in shown:
        cells = (entry["subject"], f"{entry['factor']:g}", when(entry["until"]), entry["state"])
        table.add_row(*map(escape, (*cells, entry["by"], entry["reason"])))
    out.print(table if shown else "No limits are raised.")


@limits.command()
@click.argument("subject")
@click.option("--by", default=None, help="Who decided; the user of this shell by default.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def lower(ctx: click.Context, subject: str, by: str | None, policy: Path | None, as_json: bool) -> None:
    """Put SUBJECT back on the plan, now.

    \b
    Example:  vallum limits lower alice
    """
    with closing(_open(policy)) as raises:
        lowered = raises.lower(subject, by or read_user(), time.time())
    if as_json:
        click.echo(json.dumps({"subject": subject, "lowered": lowered}))
    elif lowered:
        err.print(f"{subject} is back on the plan.", markup=False)
    else:
        complain(f"no limit of {subject} is raised; see: vallum limits list")
    ctx.exit(0 if lowered else FAILED)


def _open(policy: Path | None) -> SqlRaises:
    config, _ = read_config(policy)
    return SqlRaises(config.registry)


def read_span(text: str) -> int:
    """Read a span such as 30m, 2h or 7d, in seconds.  Raise click.BadParameter."""
    match = SPAN.fullmatch(text)
    span_s = int(match[1]) * SPANS_S[match[2]] if match else 0
    if not 0 < span_s <= LIFE_MAX_S:
        raise click.BadParameter("write it as 30m, 2h or 7d; at most 90d", param_hint="--for")
    return span_s


def _state(entry: dict[str, Any], now: float) -> str:
    if entry["lowered_at"] is not None:
        return "lowered"
    return "in force" if entry["until"] > now else "ended"


def read_user() -> str:
    """Return the name of who runs this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user, as in many containers
        return "unknown"


def when(seconds: float) -> str:
    """Write a time, to the minute."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%MZ}"
