"""`vallum extraction`: who is suspected of copying a model, why, and who may go on all the same."""

from __future__ import annotations

import json
import time
from contextlib import closing
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from vallum.cli.limits import read_span, read_user, when
from vallum.cli.terminal import FAILED, complain, err, out, policy_option, read_config
from vallum.core.extraction import Grade, Pardon, name_account, parse_account
from vallum.stores.suspects import SqlSuspects

if TYPE_CHECKING:
    from pathlib import Path

WHOM_MAX = 320


@click.group(short_help="See who is suspected of copying a model, and pardon.")
def extraction() -> None:
    """See who is suspected of copying a model, and pardon who may go on."""


@extraction.command("list", short_help="List suspected accounts and pardons.")
@click.option("--of", "whom", metavar="WHOM", help="The history of one account or cluster, as `list` writes them.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_suspects(whom: str | None, policy: Path | None, as_json: bool) -> None:
    """List clusters and the accounts in them: how far suspicion has gone, since when and why.

    \b
    Example:  vallum extraction list
    """
    now = time.time()
    with closing(_open(policy)) as store:
        found = [_readable(row) for row in (store.history(parse_account(whom)) if whom else store.suspects())]
        pardons = [_readable_pardon(row, now) for row in store.pardoned()]
    if as_json:
        click.echo(json.dumps({"accounts": found, "pardons": pardons}))
        return
    table = Table("cluster", "account", "model", "grade", "since", "why", box=None, padding=(0, 2, 0, 0))
    for row in found:
        table.add_row(
            *map(escape, (row["cluster"], row["account"], row["model"], row["grade"], when(row["at"]), row["evidence"]))
        )
    out.print(table if found else "Nobody is suspected.")
    held = [pardon for pardon in pardons if pardon["state"] == "in force"]
    for pardon in held:
        words = f"{pardon['whom']} is pardoned until {when(pardon['until'])} by {pardon['by']}: {pardon['because']}"
        out.print(words, markup=False, soft_wrap=True)
    if found and not whom:
        first = quote(found[0]["account"])  # an issuer may let its users choose their names
        err.print(f"Its history:  vallum extraction list --of {first}", style="dim", markup=False, soft_wrap=True)
        hint = f'Let it go on: vallum extraction pardon {first} --for 7d --because "..."'
        err.print(hint, style="dim", markup=False, soft_wrap=True)


@extraction.command("pardon")
@click.argument("whom")
@click.option("--for", "span", required=True, metavar="SPAN", help="How long: 30m, 2h, 7d; at most 90d.")
@click.option("--because", required=True, help="Why: it stands in the records.")
@click.option("--by", default=None, help="Who decided; the user of this shell by default.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def pardon(whom: str, span: str, because: str, by: str | None, policy: Path | None, as_json: bool) -> None:
    """Let WHOM go on: an account (`alice`, `subject:alice`, `ip:192.0.2.1`) or all of `cluster:ID`.

    Running gateways know it within a second.  It is watched on, and named in records; nothing is done to it.

    \b
    Example:  vallum extraction pardon alice --for 7d --because "their nightly test set, agreed with sales"
    """
    for name, value, most in (("WHOM", whom, WHOM_MAX), ("--because", because, 1000), ("--by", by or read_user(), 255)):
        if not value.strip() or not value.isprintable() or len(value) > most:
            raise click.BadParameter(f"up to {most} printable characters", param_hint=name)
    now = time.time()
    until = now + read_span(span)
    held = Pardon(parse_account(whom), until, by or read_user(), because)
    with closing(_open(policy)) as store:
        known = {row["account"] for row in store.suspects()} | {
            f"cluster\x1f{row['cluster']}" for row in store.suspects()
        }
        store.pardon(held, now)
    if as_json:
        click.echo(json.dumps({"whom": name_account(held.whom), "until": until, "suspected": held.whom in known}))
        return
    err.print(f"{name_account(held.whom)} is pardoned until {when(until)}.", markup=False, soft_wrap=True)
    if held.whom not in known:
        err.print("Nobody of that name is suspected now; see: vallum extraction list", style="yellow", markup=False)
    err.print(
        f"Take it back with: vallum extraction unpardon {quote(name_account(held.whom))}", style="dim", markup=False
    )


@extraction.command()
@click.argument("whom")
@click.option("--by", default=None, help="Who decided; the user of this shell by default.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def unpardon(ctx: click.Context, whom: str, by: str | None, policy: Path | None, as_json: bool) -> None:
    """Take a pardon back, now.

    \b
    Example:  vallum extraction unpardon alice
    """
    name = parse_account(whom)
    with closing(_open(policy)) as store:
        lifted = store.lift(name, by or read_user(), time.time())
    if as_json:
        click.echo(json.dumps({"whom": name_account(name), "lifted": lifted}))
    elif lifted:
        err.print(f"{name_account(name)} is judged again.", markup=False)
    else:
        complain(f"{name_account(name)} has no pardon; see: vallum extraction list")
    ctx.exit(0 if lifted else FAILED)


def _open(policy: Path | None) -> SqlSuspects:
    config, _ = read_config(policy)
    return SqlSuspects(config.registry)


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "cluster": row["cluster"],
        "account": name_account(row["account"]),
        "model": row["model"],
        "grade": Grade(row["after"]).name.lower(),
        "before": Grade(row["before"]).name.lower(),
        "at": row["at"],
        "evidence": row["evidence"],
    }


def _readable_pardon(row: dict[str, Any], now: float) -> dict[str, Any]:
    state = "lifted" if row["lifted_at"] is not None else "in force" if row["until"] > now else "ended"
    return {**row, "whom": name_account(row["whom"]), "state": state}
