"""`vallum tokens`: the key that the gateway signs its own tokens with."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from vallum.cli.terminal import DEPENDENCY, FAILED, complain, err, policy_option, read_config
from vallum.config.tokens import signing_file
from vallum.mint.keyring import create_file, rotate_file

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def tokens() -> None:
    """Look after the key that tokens are signed with."""


@tokens.command(short_help="Sign with a new key from now on.")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def rotate(ctx: click.Context, policy: Path | None, as_json: bool) -> None:
    """Sign with a new key from now on; tokens that the old one signed hold to their end.

    \b
    Example:  vallum tokens rotate

    A running gateway takes the new key within a second.
    """
    config, _ = read_config(policy)
    if config.tokens is None:
        complain("this policy has no section tokens: nothing is signed here")
        ctx.exit(FAILED)
    if config.tokens.key is not None:
        complain(
            "tokens.key names the key: put a new one first in that file, and `retired: <Unix time>` before the old"
        )
        ctx.exit(FAILED)
    path = signing_file(config.registry)
    try:
        create_file(path)
        key_id = rotate_file(path, time.time())
    except (OSError, ValueError) as error:
        complain(f"the signing key {path} cannot be changed: {error}")
        ctx.exit(DEPENDENCY)
    if as_json:
        click.echo(json.dumps({"kid": key_id}))
        return
    err.print(
        f"{key_id} signs from now on.  The key before it is published for another hour.", markup=False, soft_wrap=True
    )
