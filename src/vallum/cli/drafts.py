"""`vallum import-openapi`: a policy after an API's own document.  What drafts share: how they are written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import click
import yaml
from rich.markup import escape

from vallum.cli.terminal import FAILED, complain, err, out
from vallum.config.compile import load_policy
from vallum.config.source import PolicyFileError, read_source
from vallum.core.errors import DependencyError
from vallum.drafts.draft import write
from vallum.drafts.openapi import read_openapi
from vallum.drafts.translate import OpenApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENT_MAX_BYTES = 8_388_608
FETCH_TIMEOUT_S = 10
HIDDEN = "/openapi.json and /docs neither."


@click.command("import-openapi", short_help="Write a policy after an OpenAPI document.")
@click.argument("source")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default="vallum.yaml", show_default=True
)
@click.option("--upstream", metavar="URL", help="The endpoint to protect; where SOURCE was read by default.")
@click.option("--loose", is_flag=True, help="Let members through that the schemas do not name.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.pass_context
def import_openapi(
    ctx: click.Context, source: str, output: Path, upstream: str | None, loose: bool, force: bool
) -> None:
    """Read the OpenAPI document SOURCE, a URL or a file, once, and write a policy with a strict route per operation.

    \b
    Example:  vallum import-openapi http://127.0.0.1:9000/openapi.json -o vallum.yaml
              vallum check vallum.yaml
    """
    try:
        reading = read_openapi(_read(source), loose=loose)
    except OpenApiError as error:
        raise click.BadParameter(str(error), param_hint="SOURCE") from error
    url = urlsplit(source)
    where = upstream or (f"{url.scheme}://{url.netloc}" if url.netloc else "http://127.0.0.1:9000")
    if not reading.routes:
        for line in reading.left_out:
            complain(f"left out  {line}")
        raise click.BadParameter("no operation of it can be a route", param_hint="SOURCE")
    notes = [f"Left out: {line}" for line in reading.left_out]
    texts = write(
        reading.routes, file=output.name, upstream=where, title=f"After {reading.title}.", hidden=HIDDEN, notes=notes
    )
    save(texts, output.parent, force=force)
    for line in reading.left_out:
        err.print(f"left out  {escape(line)}", style="yellow", soft_wrap=True)
    out.print(f"{output}: {len(reading.routes)} routes, {len(texts) - 1} schemas.", style="bold")
    try:
        load_policy(read_source(output))
    except PolicyFileError as error:  # a pattern that looks around, say: the owner's to write anew
        complain(str(error))
        ctx.exit(FAILED)


def save(texts: Mapping[str, str], folder: Path, *, force: bool) -> None:
    """Write texts under their names; raise UsageError, with nothing written, if one is there already."""
    there = [name for name in texts if (folder / name).exists()]
    if there and not force:
        raise click.UsageError(f"{', '.join(there[:3])} is there already; write elsewhere, or over it with --force")
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def _read(source: str) -> Any:
    if source.startswith(("http://", "https://")):
        try:
            with urlopen(source, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310  http alone, and the owner's own word
                text = answer.read(DOCUMENT_MAX_BYTES + 1)
        except (URLError, OSError) as error:
            raise DependencyError(f"{source} cannot be read: {getattr(error, 'reason', error)}") from error
    else:
        try:
            text = Path(source).read_bytes()
        except OSError as error:
            raise click.BadParameter(f"{source} cannot be read: {error.strerror}", param_hint="SOURCE") from error
    if len(text) > DOCUMENT_MAX_BYTES:
        raise OpenApiError(f"over {DOCUMENT_MAX_BYTES} bytes")
    try:
        return json.loads(text) if text.lstrip()[:1] == b"{" else yaml.load(text, Loader=_Plain)  # noqa: S506  a safe loader
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise OpenApiError("it is neither JSON nor YAML") from error


class _Plain(yaml.SafeLoader):
    """The safe loader without aliases, which can blow a small file up."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node
