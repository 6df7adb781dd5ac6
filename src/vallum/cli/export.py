"""`vallum export`: a policy as configuration of another gateway, and what it cannot say there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.markup import escape
from rich.table import Table

from vallum.cli.terminal import MISUSE, complain, err
from vallum.config.compile import load_policy
from vallum.config.source import read_source
from vallum.exporters import EXPORTERS
from vallum.exporters.export import Export, ExportError, Kind
from vallum.exporters.features import Feature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vallum.exporters.export import Loss

HEADINGS: Mapping[Kind, str] = {
    Kind.LOST: "Lost: not in the export",
    Kind.APPROXIMATE: "Approximate: there, and a little less or other",
    Kind.VALLUM: "Through Vallum: holds where the export asks Vallum itself",
}
MOST_PLACES = 3  # that are shown of one loss


@click.command(short_help="Write POLICY as configuration of another gateway.")
@click.argument("gateway", type=click.Choice(sorted(EXPORTERS)))
@click.argument("policy", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write, or folder for several files.")
@click.option(
    "--losses", type=click.Path(path_type=Path, dir_okay=False), help="File for what is lost, as JSON, besides."
)
@click.pass_context
def export(ctx: click.Context, gateway: str, policy: Path, output: Path | None, losses: Path | None) -> None:
    """Write POLICY as configuration of another gateway, to standard output or a file.

    What that gateway cannot say as the policy says it goes to standard error, with what to do about each.  No secret is
    written: where one is needed stands a variable.

    \b
    Example:  vallum export kong vallum.yaml -o kong.yaml --losses losses.json
    """
    try:
        made = EXPORTERS[gateway].write(*load_policy(read_source(policy), certificates=False))
        _write(made, output, policy)
        if losses is not None:
            losses.write_bytes(msgspec.json.format(msgspec.json.encode(tell(made.losses)), indent=2) + b"\n")
    except (ExportError, OSError) as error:
        complain(str(error))
        ctx.exit(MISUSE)
    _show(made.losses, gateway)


def tell(losses: Iterable[Loss]) -> list[dict[str, str]]:
    """Return losses for a program, in the order of the policy."""
    return [{**loss._asdict(), "says": Feature(loss.feature).phrase} for loss in losses]


def _write(made: Export, output: Path | None, policy: Path) -> None:
    """Write the files.  Raises ExportError where there is no place for them, and OSError."""
    if len(made.files) == 1:
        (text,) = made.files.values()
        if output is None:
            click.echo(text, nl=False)
        elif output.exists() and output.samefile(policy):
            raise ExportError(f"{output} is the policy itself: give the export a file of its own")
        else:
            output.write_text(text, "utf-8")
        return
    if output is None:
        raise ExportError(f"the export is several files ({', '.join(made.files)}): say -o FOLDER")
    output.mkdir(parents=True, exist_ok=True)
    for name, text in made.files.items():
        (output / name).write_text(text, "utf-8")


def _show(losses: Iterable[Loss], gateway: str) -> None:
    """Show losses to a person: the worst first, those with one remedy together."""
    several = list(losses)
    if not several:
        err.print(f"All that the policy says is in the export for {gateway}.", style="bold")
        return
    for kind, heading in HEADINGS.items():
        remedies = dict.fromkeys(loss.remedy for loss in several if loss.kind is kind)
        if not remedies:
            continue
        err.print(f"\n[bold]{heading}[/]")
        for remedy in remedies:
            err.print(_table([loss for loss in several if loss.kind is kind and loss.remedy == remedy]))
            err.print(f"  -> {remedy}", style="green", markup=False, soft_wrap=True)


def _table(losses: Iterable[Loss]) -> Table:
    places: dict[tuple[str, str], list[str]] = {}
    for loss in losses:
        places.setdefault((loss.feature, loss.detail), []).append(loss.where)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column()
    for (feature, detail), wheres in places.items():
        more = f"\nand {len(wheres) - MOST_PLACES} more" if len(wheres) > MOST_PLACES else ""
        table.add_row(f"  {feature}", escape("\n".join(wheres[:MOST_PLACES]) + more), escape(detail))
    return table
