"""`vallum export`: a policy as configuration of another gateway, and what it cannot say there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.padding import Padding
from rich.text import Text

from vallum.cli.terminal import MISUSE, complain, err
from vallum.config.compile import load_policy
from vallum.config.source import read_source
from vallum.exporters import EXPORTERS
from vallum.exporters.export import Export, ExportError, Kind
from vallum.exporters.features import Feature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vallum.exporters.export import Loss

HEADINGS: Mapping[Kind, str] = {
    Kind.LOST: "Lost: not in the export",
    Kind.APPROXIMATE: "Approximate: there, and a little less or other",
    Kind.VALLUM: "Through Vallum: holds where the export asks Vallum itself",
}
COUNTED: Mapping[Kind, str] = {Kind.LOST: "lost", Kind.APPROXIMATE: "approximate", Kind.VALLUM: "through Vallum"}
DEFAULTS = "Defaults: not in your file, but Vallum does it by itself"
MOST_PLACES = 3  # that are shown of one loss


@click.command(short_help="Write POLICY as configuration of another gateway.")
@click.argument("gateway", type=click.Choice(sorted(EXPORTERS)))
@click.argument("policy", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File or folder to write; what is there goes.")
@click.option(
    "--losses", type=click.Path(path_type=Path, dir_okay=False), help="File for what is lost, as JSON, besides."
)
@click.pass_context
def export(ctx: click.Context, gateway: str, policy: Path, output: Path | None, losses: Path | None) -> None:
    """Write POLICY as configuration of another gateway, to standard output or a file.

    What that gateway cannot say as the policy says it goes to standard error, with what to do about each.  No secret is
    written: where one is needed stands a variable.

    \b
    aws, aws-iam         CloudFormation: callers send API keys, or sign with keys of IAM
    envoy, envoy-native  Envoy that asks `vallum envoy`, or that does what it can by itself
    kong                 Kong, in decK's format
    nginx                nginx, which asks `vallum envoy` who may pass

    \b
    Exit code 0: it is written, whatever was lost.  2: the policy is invalid, or this gateway cannot hold it.
    Example:  vallum export kong vallum.yaml -o kong.yaml --losses losses.json
    """
    try:
        made = EXPORTERS[gateway].write(*load_policy(read_source(policy), certificates=False))
        files = _place(made, output)
        if losses is not None:
            if losses.absolute() in map(Path.absolute, files):
                raise ExportError("-o and --losses name one file: give each its own")
            files[losses] = msgspec.json.format(msgspec.json.encode(tell(made.losses)), indent=2).decode() + "\n"
        _write(files, policy)
    except (ExportError, OSError) as error:
        complain(str(error))
        ctx.exit(MISUSE)
    if output is None:
        click.echo("".join(made.files.values()), nl=False)
    _show(made.losses, gateway)


def tell(losses: Iterable[Loss]) -> list[dict[str, str | bool]]:
    """Return losses for a program, in the order of the policy."""
    return [{**loss._asdict(), "says": Feature(loss.feature).phrase} for loss in losses]


def _place(made: Export, output: Path | None) -> dict[Path, str]:
    """Return the files of an export by where they go.  Raises ExportError where there is no place, and OSError."""
    if output is None:
        if len(made.files) > 1:
            raise ExportError(f"the export is several files ({', '.join(made.files)}): say -o FOLDER")
        return {}
    if output.is_file() and len(made.files) > 1:
        raise ExportError(f"{output} is a file, the export is several ({', '.join(made.files)}): say -o FOLDER")
    if len(made.files) > 1:
        output.mkdir(parents=True, exist_ok=True)
    if output.is_dir():
        return {output / name: text for name, text in made.files.items()}
    return {output: next(iter(made.files.values()))}


def _write(files: Mapping[Path, str], policy: Path) -> None:
    """Write files.  Raises ExportError before any is written, and OSError."""
    for path in files:
        if path.exists() and path.samefile(policy):
            raise ExportError(f"{path} is the policy itself: give the export a file of its own")
    for path, text in files.items():
        path.write_text(text, "utf-8")


def _show(losses: Sequence[Loss], gateway: str) -> None:
    """Show losses to a person: what the file says first, the worst first, what has one remedy together."""
    if not losses:
        err.print(f"All that the policy says is in the export for {gateway}.", style="bold")
        return
    defaults = [loss for loss in losses if loss.default and loss.kind is not Kind.VALLUM]
    for kind, heading in HEADINGS.items():
        _show_section(heading, [loss for loss in losses if loss.kind is kind and loss not in defaults])
    _show_section(DEFAULTS, defaults, with_places=False)
    counts = ", ".join(f"{count} {COUNTED[kind]}" for kind, count in _count(losses).items())
    err.print(f"\nOf the policy's features, in the export for {gateway}: {counts}.", style="bold")


def _count(losses: Iterable[Loss]) -> Mapping[Kind, int]:
    """Count features, each by the worst that is said of it, the worst first."""
    worst: dict[str, Kind] = {}
    for kind in HEADINGS:
        for loss in losses:
            if loss.kind is kind:
                worst.setdefault(loss.feature, kind)
    return Counter(worst.values())


def _show_section(heading: str, losses: Sequence[Loss], *, with_places: bool = True) -> None:
    if losses:
        err.print(f"\n{heading}", style="bold")
    for remedy in dict.fromkeys(loss.remedy for loss in losses):
        several = [loss for loss in losses if loss.remedy == remedy]
        for detail in dict.fromkeys(loss.detail for loss in several):
            alike = [loss for loss in several if loss.detail == detail]
            _print(Text(detail), 2)
            features = ", ".join(dict.fromkeys(loss.feature for loss in alike))
            _print(Text.assemble((features, "cyan"), (_places(alike) if with_places else "", "dim")), 4)
        _print(Text(f"-> {remedy}", "green"), 2)


def _places(losses: Iterable[Loss]) -> str:
    places = list(dict.fromkeys(loss.where for loss in losses))
    more = f", and {len(places) - MOST_PLACES} more" if len(places) > MOST_PLACES else ""
    return f" at {', '.join(places[:MOST_PLACES])}{more}"


def _print(text: Text, indent: int) -> None:
    err.print(Padding(text, (0, 0, 0, indent), expand=False))
