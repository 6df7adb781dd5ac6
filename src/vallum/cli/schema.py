"""`vallum schema`: the JSON Schema of the policy file."""

from __future__ import annotations

import json

import click

from vallum.config.schema import config_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema of the policy file, for editors.

    \b
    Example:  vallum schema > vallum.schema.json
              # first line of vallum.yaml:
              # yaml-language-server: $schema=vallum.schema.json
    """
    click.echo(json.dumps(config_schema(), indent=2))
