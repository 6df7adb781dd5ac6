"""`vallum init`: a policy file to start from."""

from __future__ import annotations

import click

from vallum.cli.terminal import DEFAULTS


@click.command(short_help="Print a policy to start from.")
@click.option("--upstream", metavar="URL", help="The endpoint to protect.")
def init(upstream: str | None) -> None:
    """Print the policy that `serve --upstream` runs, as a start of your own.

    \b
    Example:  vallum init --upstream http://127.0.0.1:9000 > vallum.yaml
              vallum check vallum.yaml && vallum serve
    """
    text = DEFAULTS.read_text("utf-8")
    if upstream:
        text = text.replace("${VALLUM_UPSTREAM:-http://127.0.0.1:9000}", upstream)
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    click.echo("\n".join(["# What may come in, what may go out.  `vallum check` explains it.", *lines[start:]]))
