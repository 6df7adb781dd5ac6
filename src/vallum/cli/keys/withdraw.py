"""`vallum keys revoke`, one key or many, and `vallum keys release` from quarantine."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from vallum.cli.keys.registry import complain_of_id, hint, open_registry, say
from vallum.cli.keys.words import parse_instant
from vallum.cli.terminal import FAILED, complain, err, policy_option
from vallum.stores.registry import Keyring, Selection


@click.command(short_help="Revoke a key, or many at once.")
@click.argument("key_id", metavar="[ID]", required=False)
@click.option("--subject", help="All keys of this subject.")
@click.option("--tenant", help="All keys of this tenant.")
@click.option("--created-before", metavar="WHEN", help="All keys made before this date, or longer ago than this (90d).")
@click.option("--dry-run", is_flag=True, help="Only say how many that would be.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def revoke(
    ctx: click.Context,
    key_id: str | None,
    subject: str | None,
    tenant: str | None,
    created_before: str | None,
    dry_run: bool,
    yes: bool,
    policy: Path | None,
    as_json: bool,
) -> None:
    """Revoke a key, or all that match every option given: running gateways refuse them within a second.

    \b
    Example:  vallum keys revoke key_4mQ9zT0aB2cD
              vallum keys revoke --tenant acme --created-before 2026-01-31 --dry-run
    """
    many = subject is not None or tenant is not None or created_before is not None
    if many == (key_id is not None):
        raise click.UsageError("give the ID of one key, or --subject, --tenant or --created-before for many")
    now = time.time()
    before = None if created_before is None else parse_instant(created_before, now, "--created-before")
    with open_registry(policy) as (keyring, _):
        if key_id is not None:
            _revoke_one(ctx, keyring, key_id, now, dry_run, as_json)
        else:
            _revoke_many(ctx, keyring, Selection(subject, tenant, before), now, dry_run, yes, as_json)


def _revoke_one(ctx: click.Context, keyring: Keyring, key_id: str, now: float, dry_run: bool, as_json: bool) -> None:
    credential = keyring.get(key_id)
    if credential is None:
        complain_of_id(key_id)
        ctx.exit(FAILED)
    revoked = credential.revoked_at is None if dry_run else keyring.revoke(key_id, now)
    if as_json:
        click.echo(json.dumps({"id": key_id, "revoked": int(revoked), "dry_run": dry_run}))
        return
    would = "would be" if dry_run else "is"
    say(f"{key_id} {would} revoked." if revoked else f"{key_id} was revoked before.")
    successor = keyring.find_successor(key_id)
    if successor is not None and successor.refusal(now) is None:
        hint(f"The key in its place still holds: vallum keys revoke {successor.id}", style="yellow")
    elif revoked and not dry_run:
        hint(f"What it did: the records name it, {key_id}, as `credential`.")


def _revoke_many(
    ctx: click.Context, keyring: Keyring, selection: Selection, now: float, dry_run: bool, yes: bool, as_json: bool
) -> None:
    count = keyring.count(selection)
    if count and not dry_run and not yes and not _agree(count):
        complain("nothing was revoked; --yes answers for you")
        ctx.exit(FAILED)
    revoked = 0 if dry_run else keyring.revoke_all(selection, now)
    if as_json:
        click.echo(json.dumps({"matched": count, "revoked": revoked, "dry_run": dry_run}))
    elif dry_run:
        say(f"{_keys(count)} would be revoked.")
    else:
        say(f"{_keys(revoked)} revoked.")


def _agree(count: int) -> bool:
    try:
        return click.confirm(f"Revoke {_keys(count)}, for good?", err=True)
    except click.Abort:  # nobody is there to answer, or they pressed Ctrl-C
        err.print()
        return False


def _keys(count: int) -> str:
    return "1 key" if count == 1 else f"{count} keys"


@click.command(short_help="End the quarantine of a key.")
@click.argument("key_id", metavar="ID")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def release(ctx: click.Context, key_id: str, policy: Path | None, as_json: bool) -> None:
    """End the quarantine of a key that was reported as leaked, and was not.

    \b
    Example:  vallum keys release key_4mQ9zT0aB2cD
    """
    with open_registry(policy) as (keyring, _):
        if keyring.get(key_id) is None:
            complain_of_id(key_id)
            ctx.exit(FAILED)
        released = keyring.release(key_id)
    if as_json:
        click.echo(json.dumps({"id": key_id, "released": released}))
    elif released:
        say(f"{key_id} is released.")
    else:
        complain(f"{key_id} is not in quarantine; see: vallum keys show {key_id}")
    ctx.exit(0 if released else FAILED)
