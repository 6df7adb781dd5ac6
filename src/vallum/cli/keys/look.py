"""`vallum keys list`, `show` and `verify`: everything about keys but the keys."""

from __future__ import annotations

import json
import sys
import time
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from vallum.cli.keys.registry import complain_of_id, open_registry
from vallum.cli.keys.words import describe, distance, life, state
from vallum.cli.terminal import FAILED, complain, err, out, policy_option
from vallum.core.apikey import digest_key, is_well_formed

if TYPE_CHECKING:
    from vallum.core.principal import Credential

ASK = "Paste the key and press Return (it is not shown): "
NOWHERE = "no such key in this registry; is this the policy the gateway runs with (--policy)?"


@click.command("list")
@click.option("--subject", help="Only this subject's.")
@click.option("--tenant", help="Only this tenant's.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_keys(subject: str | None, tenant: str | None, policy: Path | None, as_json: bool) -> None:
    """List keys, never their secrets.

    \b
    Example:  vallum keys list --subject alice
    """
    with open_registry(policy) as (keyring, _):
        credentials = keyring.list(subject, tenant)
    now = time.time()
    if as_json:
        click.echo(json.dumps([{"id": c.id, "state": state(c, now)} | describe(c) for c in credentials]))
        return
    if not credentials:
        which = "No keys yet." if subject is None and tenant is None else "No such keys."
        err.print(f"{which}  Make one with: vallum keys create --subject NAME", markup=False)
        return
    out.print(_table(credentials, now))


def _table(credentials: list[Credential], now: float) -> Table:
    # Whole ids, to be copied; the rest gives way, so that 80 columns hold a line.
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("id", no_wrap=True, min_width=20)
    table.add_column("subject", overflow="fold", ratio=3)
    table.add_column("scopes", overflow="fold", ratio=3)
    for name in ("ends in", "used", "state"):
        table.add_column(name, no_wrap=True)
    for c in credentials:
        word = state(c, now)
        ends = "-" if word in ("revoked", "expired") else _until(c.expires_at, now)
        used = "-" if c.last_used_at is None else f"{distance(now - c.last_used_at)} ago"
        who = c.subject if c.tenant is None else f"{c.subject} ({c.tenant})"
        style = {"active": None, "canary": "yellow"}.get(word, "dim")
        table.add_row(c.id, who, " ".join(sorted(c.scopes)), ends, used, word, style=style)
    return table


def _until(at: float | None, now: float) -> str:
    return "never" if at is None else distance(at - now)


@click.command()
@click.argument("key_id", metavar="ID")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def show(ctx: click.Context, key_id: str, policy: Path | None, as_json: bool) -> None:
    """Show one key by its public id.

    \b
    Example:  vallum keys show key_4mQ9zT0aB2cD
    """
    with open_registry(policy) as (keyring, _):
        credential = keyring.get(key_id)
        successor = keyring.find_successor(key_id)
    if credential is None:
        complain_of_id(key_id)
        ctx.exit(FAILED)
    shown = {"id": credential.id, "state": state(credential, time.time())} | describe(credential)
    shown["successor"] = None if successor is None else successor.id
    if as_json:
        click.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        words = f"{next(iter(value))} {next(iter(value.values()))}" if isinstance(value, dict) else value
        words = " · ".join(words) if isinstance(words, list) else words
        out.print(f"[bold]{name:<13}[/]", end="")
        out.print(str(words) if words not in (None, "", False) else "-", markup=False, soft_wrap=True)


@click.command()
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def verify(ctx: click.Context, policy: Path | None, as_json: bool) -> None:
    """Read a key from standard input and say whether it holds.

    \b
    Example:  vallum keys verify < key.txt
    """
    key = (getpass(ASK) if sys.stdin.isatty() else sys.stdin.readline(1024)).strip()
    with open_registry(policy) as (keyring, prefix):
        well_formed = is_well_formed(key, prefix)
        credential = keyring.find_now(digest_key(key)) if well_formed else None
    word = "malformed" if not well_formed else "unknown" if credential is None else state(credential, time.time())
    if as_json:
        click.echo(json.dumps({"state": word} | ({"id": credential.id} | describe(credential) if credential else {})))
    elif credential is not None:
        lives = f", {life(credential)}" if word == "active" else ""
        out.print(f"{credential.id} of {credential.subject}: {word}{lives}", markup=False, soft_wrap=True)
    else:
        complain(
            f"not a key: it is cut off, misspelt, or does not begin with {prefix}" if word == "malformed" else NOWHERE
        )
    ctx.exit(0 if word == "active" else FAILED)
