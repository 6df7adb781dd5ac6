"""`vallum keys`: credentials, from the operator's side."""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from vallum.authenticators.api_key import ApiKeyConfig
from vallum.cli.terminal import FAILED, complain, err, out, policy_option, read_config
from vallum.core.address import parse_networks
from vallum.core.apikey import DEFAULT_PREFIX, compose_key, digest_key, is_well_formed
from vallum.core.principal import Credential
from vallum.stores.registry import SqlRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY_S = 86_400
SPANS_S = {"m": 60, "h": 3600, "d": DAY_S, "w": 7 * DAY_S, "y": 365 * DAY_S}
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 3.3


@click.group()
def keys() -> None:
    """Make, list, check and revoke API keys."""


@keys.command()
@click.option("--subject", required=True, help="Who the key is for: limits and usage hang on this.")
@click.option("--scope", "scopes", multiple=True, help="What it may do; repeat for more.")
@click.option("--tenant", help="The group the subject belongs to.")
@click.option("--expires", default="90d", show_default=True, help="Life: 12h, 90d, 1y, or never.")
@click.option("--allow-ip", "allow_ip", multiple=True, metavar="CIDR", help="Where it may be used from; repeatable.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def create(
    subject: str,
    scopes: tuple[str, ...],
    tenant: str | None,
    expires: str,
    allow_ip: tuple[str, ...],
    policy: Path | None,
    as_json: bool,
) -> None:
    """Make a key and print it, once: only its digest is kept.

    \b
    Example:  vallum keys create --subject alice --scope predict:read --expires 30d
    """
    _check_words(subject, scopes, tenant)
    try:
        parse_networks(allow_ip)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--allow-ip") from error
    with open_registry(policy) as (registry, prefix):
        now = time.time()
        key, credential = issue(
            registry, prefix, now, subject=subject, scopes=scopes, tenant=tenant, expires=expires, allow_ip=allow_ip
        )
    if as_json:
        click.echo(json.dumps({"id": credential.id, "key": key} | _describe(credential)))
        return
    err.print(f"Key {credential.id} for {subject}, {_life(credential)}.  It is shown this once:", markup=False)
    click.echo(key)
    err.print(f"Take it back with: vallum keys revoke {credential.id}", style="dim", markup=False)


@keys.command("list")
@click.option("--subject", help="Only this subject's.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_keys(subject: str | None, policy: Path | None, as_json: bool) -> None:
    """List keys, never their secrets.

    \b
    Example:  vallum keys list --subject alice
    """
    with open_registry(policy) as (registry, _):
        credentials = registry.list(subject)
    now = time.time()
    if as_json:
        click.echo(json.dumps([{"id": c.id, "state": _state(c, now)} | _describe(c) for c in credentials]))
        return
    if not credentials:
        err.print("No keys yet.  Make one with: vallum keys create --subject NAME")
        return
    table = Table(box=None, header_style="bold")
    for name in ("id", "subject", "tenant", "scopes", "expires", "state"):
        table.add_column(name, no_wrap=name in {"id", "expires", "state"}, overflow="fold")
    for credential in credentials:
        state = _state(credential, now)
        table.add_row(
            credential.id,
            credential.subject,
            credential.tenant or "",
            " ".join(sorted(credential.scopes)),
            (_date(credential.expires_at) or "never")[:10],
            state,
            style="dim" if state != "active" else None,
        )
    out.print(table)


@keys.command()
@click.argument("key_id", metavar="ID")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def show(ctx: click.Context, key_id: str, policy: Path | None, as_json: bool) -> None:
    """Show one key by its public id.

    \b
    Example:  vallum keys show key_4mQ9zT0aB2cD
    """
    with open_registry(policy) as (registry, _):
        credential = registry.get(key_id)
    if credential is None:
        complain(f"no key has the id {key_id}; see: vallum keys list")
        ctx.exit(FAILED)
    shown = {"id": credential.id, "state": _state(credential, time.time())} | _describe(credential)
    if as_json:
        click.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        text = " ".join(value) if isinstance(value, list) else value
        out.print(f"[bold]{name:<12}[/] {text if text is not None else '-'}")


@keys.command()
@click.argument("key_id", metavar="ID")
@policy_option
@click.pass_context
def revoke(ctx: click.Context, key_id: str, policy: Path | None) -> None:
    """Revoke a key: a running gateway refuses it within a second.

    \b
    Example:  vallum keys revoke key_4mQ9zT0aB2cD
    """
    with open_registry(policy) as (registry, _):
        revoked = registry.revoke(key_id, time.time())
        known = revoked or registry.get(key_id) is not None
    if not known:
        complain(f"no key has the id {key_id}; see: vallum keys list")
        ctx.exit(FAILED)
    err.print(f"{key_id} is revoked." if revoked else f"{key_id} was revoked before.")


@keys.command()
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def verify(ctx: click.Context, policy: Path | None, as_json: bool) -> None:
    """Read a key from standard input and say whether it holds.

    \b
    Example:  vallum keys verify < key.txt
    """
    if sys.stdin.isatty():
        err.print("Paste the key and press Return:", style="dim")
    key = sys.stdin.readline().strip()
    with open_registry(policy) as (registry, prefix):
        well_formed = is_well_formed(key, prefix)
        credential = registry.find_now(digest_key(key)) if well_formed else None
    state = "unknown" if credential is None else _state(credential, time.time())
    if not well_formed:
        state = "malformed"
    if as_json:
        click.echo(json.dumps({"state": state} | ({"id": credential.id} | _describe(credential) if credential else {})))
    elif credential is not None:
        out.print(f"{credential.id} of {credential.subject}: {state}, {_life(credential)}", markup=False)
    else:
        complain("not a key: prefix, length or checksum" if state == "malformed" else "no such key in this registry")
    ctx.exit(0 if state == "active" else FAILED)


def issue(
    registry: SqlRegistry,
    prefix: str,
    now: float,
    *,
    subject: str,
    scopes: tuple[str, ...] = (),
    tenant: str | None = None,
    expires: str = "90d",
    allow_ip: tuple[str, ...] = (),
) -> tuple[str, Credential]:
    """Make a key, store its digest, and return both the key and its credential."""
    key = compose_key(secrets.token_bytes(32), prefix)
    credential = Credential(
        id=f"key_{secrets.token_hex(8)}",
        subject=subject,
        digest=digest_key(key),
        tenant=tenant,
        scopes=frozenset(scopes),
        created_at=now,
        expires_at=_expiry(expires, now),
        allow_ip=allow_ip,
    )
    registry.add(credential)
    return key, credential


@contextmanager
def open_registry(policy: Path | None) -> Iterator[tuple[SqlRegistry, str]]:
    """Open the registry of a policy, and say with what its keys begin."""
    config, _ = read_config(policy)
    prefixes = [a.prefix for a in config.authenticators.values() if isinstance(a, ApiKeyConfig)]
    registry = SqlRegistry(config.registry)
    try:
        yield registry, prefixes[0] if prefixes else DEFAULT_PREFIX
    finally:
        registry.close()


def _check_words(subject: str, scopes: tuple[str, ...], tenant: str | None) -> None:
    for hint, word in (("--subject", subject), ("--tenant", tenant)):
        if word is not None and (not word.strip() or len(word) > 255 or not word.isprintable()):
            raise click.BadParameter("1 to 255 printable characters", param_hint=hint)
    for scope in scopes:
        if not SCOPE.fullmatch(scope):
            raise click.BadParameter(f"{scope!r}: printable, without spaces and quotes", param_hint="--scope")


def _expiry(expires: str, now: float) -> float | None:
    if expires == "never":
        return None
    match = re.fullmatch(r"(\d+)([mhdwy])", expires)
    if match is None or int(match.group(1)) == 0:
        raise click.BadParameter(f"{expires!r}: write 12h, 90d, 1y, or never", param_hint="--expires")
    return now + int(match.group(1)) * SPANS_S[match.group(2)]


def _describe(credential: Credential) -> dict[str, Any]:
    return {
        "subject": credential.subject,
        "tenant": credential.tenant,
        "scopes": sorted(credential.scopes),
        "allow_ip": list(credential.allow_ip),
        "created_at": _date(credential.created_at),
        "expires_at": _date(credential.expires_at),
    }


def _state(credential: Credential, now: float) -> str:
    return credential.refusal(now) or "active"


def _life(credential: Credential) -> str:
    return f"until {_date(credential.expires_at)}" if credential.expires_at is not None else "without end"


def _date(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
