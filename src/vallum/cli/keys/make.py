"""`vallum keys create` and `vallum keys rotate`: the only two places where a key is ever shown."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vallum.cli.keys.registry import complain_of_id, hint, open_registry, say
from vallum.cli.keys.words import (
    check_words,
    describe,
    distance,
    life,
    parse_expiry,
    parse_quotas,
    parse_span,
    read_binding,
)
from vallum.cli.terminal import FAILED, complain, policy_option, read_config
from vallum.core.address import parse_networks
from vallum.core.apikey import compose_key, digest_key
from vallum.core.principal import Credential
from vallum.stores.registry import RotationError

if TYPE_CHECKING:
    from vallum.core.principal import Confirmation
    from vallum.core.quota import Quota
    from vallum.stores.registry import Keyring

BOUND = {
    "certificate": "It holds only on connections that are made with the certificate.",
    "key": "Send it as Authorization: DPoP, with a proof in the field DPoP of every request.",
}
file_option = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--subject", required=True, help="Who the key is for: limits and usage hang on this.")
@click.option("--scope", "scopes", multiple=True, help="What it may do; repeat for more.")
@click.option("--tenant", help="The group the subject belongs to.")
@click.option("--expires", default="90d", show_default=True, help="Life: 12h, 90d, 1y, or never.")
@click.option("--allow-ip", "allow_ip", multiple=True, metavar="CIDR", help="Where it may be used from; repeatable.")
@click.option("--route", "routes", multiple=True, help="The only routes it is for; repeatable.")
@click.option("--quota", "quotas", multiple=True, metavar='"N per WINDOW"', help="Narrows the routes' own; repeatable.")
@click.option("--bind-cert", type=file_option, help="Only for who holds this client certificate (PEM or DER).")
@click.option("--bind-jwk", type=file_option, help="Only for who signs DPoP proofs with this key (a public JWK).")
@click.option("--canary", is_flag=True, help="To lay out for thieves: it opens nothing, and any use is an alarm.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def create(
    subject: str,
    scopes: tuple[str, ...],
    tenant: str | None,
    expires: str,
    allow_ip: tuple[str, ...],
    routes: tuple[str, ...],
    quotas: tuple[str, ...],
    bind_cert: Path | None,
    bind_jwk: Path | None,
    canary: bool,
    policy: Path | None,
    as_json: bool,
) -> None:
    """Make a key and print it, once: only its digest is kept.

    \b
    Example:  vallum keys create --subject alice --scope predict:read --expires 30d
    """
    check_words(subject, scopes, tenant, routes)
    try:
        parse_networks(allow_ip)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--allow-ip") from error
    confirmation = read_binding(bind_cert, bind_jwk)
    known = {route.name for route in read_config(policy)[0].routes}
    for route in sorted(set(routes) - known):
        hint(f"No route of this policy is called {route!r}; it has {', '.join(sorted(known))}.", style="yellow")
    with open_registry(policy) as (keyring, prefix):
        key, credential = issue(
            keyring,
            prefix,
            time.time(),
            subject=subject,
            scopes=scopes,
            tenant=tenant,
            expires=expires,
            allow_ip=allow_ip,
            routes=routes,
            quotas=parse_quotas(quotas),
            confirmation=confirmation,
            canary=canary,
        )
    if as_json:
        click.echo(json.dumps({"id": credential.id, "key": key} | describe(credential)))
        return
    what = "Canary" if canary else "Key"
    say(f"{what} {credential.id} for {subject}, {life(credential)}.  It is shown this once:")
    click.echo(key)
    if canary:
        hint("Leave it where only a thief would look, and watch vallum_canaries_total.")
        return
    if confirmation is not None:
        hint(BOUND["certificate" if confirmation.certificate else "key"])
    hint(f"Replace it with:    vallum keys rotate {credential.id}")
    hint(f"Take it back with:  vallum keys revoke {credential.id}")


@click.command(short_help="Put a new key in the place of an old one.")
@click.argument("key_id", metavar="ID")
@click.option("--grace", default="24h", show_default=True, help="How long the old key still works; 0 after a leak.")
@click.option("--expires", help="Life of the new key: 12h, 90d, 1y, or never; as long as the old one's by default.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def rotate(
    ctx: click.Context, key_id: str, grace: str, expires: str | None, policy: Path | None, as_json: bool
) -> None:
    """Put a new key in the place of an old one, which works on for a while.

    The new key has the old one's subject, scopes and limits; what was used stays used.

    \b
    Example:  vallum keys rotate key_4mQ9zT0aB2cD --grace 1h
    """
    grace_s = 0.0 if grace == "0" else parse_span(grace, "--grace (24h, or 0 for none)")
    with open_registry(policy) as (keyring, prefix):
        now = time.time()
        old = keyring.get(key_id)
        if old is None:
            complain_of_id(key_id)
            ctx.exit(FAILED)
        key, fresh = forge(prefix, now, old.subject)
        life_s = None if old.expires_at is None else now + (old.expires_at - old.created_at)
        expires_at = parse_expiry(expires, now) if expires is not None else life_s
        try:
            made = keyring.rotate(key_id, replace(fresh, expires_at=expires_at), grace_s)
        except RotationError as error:
            complain(str(error))
            ctx.exit(FAILED)
    if as_json:
        click.echo(json.dumps({"id": made.id, "key": key} | describe(made)))
        return
    say(f"Key {made.id} for {made.subject}, {life(made)}.  It is shown this once:")
    click.echo(key)
    say(f"{key_id} {f'works for {distance(grace_s)} more at most' if grace_s else 'has ended, and all before it'}.")
    hint(f"See when it was last used:  vallum keys show {key_id}")


def issue(
    keyring: Keyring,
    prefix: str,
    now: float,
    *,
    subject: str,
    scopes: tuple[str, ...] = (),
    tenant: str | None = None,
    expires: str = "90d",
    allow_ip: tuple[str, ...] = (),
    routes: tuple[str, ...] = (),
    quotas: tuple[Quota, ...] = (),
    confirmation: Confirmation | None = None,
    canary: bool = False,
) -> tuple[str, Credential]:
    """Make a key, store its digest, and return both the key and its credential."""
    key, fresh = forge(prefix, now, subject)
    credential = Credential(
        id=fresh.id,
        subject=subject,
        digest=fresh.digest,
        tenant=tenant,
        scopes=frozenset(scopes),
        created_at=now,
        expires_at=parse_expiry(expires, now),
        allow_ip=allow_ip,
        routes=frozenset(routes) or None,
        quotas=quotas,
        confirmation=confirmation,
        canary=canary,
    )
    keyring.add(credential)
    return key, credential


def forge(prefix: str, now: float, subject: str) -> tuple[str, Credential]:
    """Make a key and the credential that goes with it; nothing is stored."""
    key = compose_key(secrets.token_bytes(32), prefix)
    return key, Credential(f"key_{secrets.token_hex(8)}", subject, digest_key(key), created_at=now)
