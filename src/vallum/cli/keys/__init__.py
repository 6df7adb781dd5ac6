"""`vallum keys`: credentials, from the operator's side."""

from __future__ import annotations

import click

from vallum.cli.keys.look import list_keys, show, verify
from vallum.cli.keys.make import create, forge, issue, rotate
from vallum.cli.keys.registry import open_registry
from vallum.cli.keys.withdraw import release, revoke

__all__ = ["forge", "issue", "keys", "open_registry"]


@click.group()
def keys() -> None:
    """Make, list, check, rotate and revoke API keys.

    \b
    Example:  vallum keys create --subject alice --scope predict:read
              vallum keys list
              vallum keys rotate ID       # ID is key_..., never the key itself
              vallum keys revoke ID
    """


for command in (create, list_keys, show, rotate, revoke, release, verify):
    keys.add_command(command)
