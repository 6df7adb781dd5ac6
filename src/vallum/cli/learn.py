"""`vallum learn`: a policy after what an API is really asked."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import click
from rich.progress import Progress

from vallum.cli.drafts import save
from vallum.cli.terminal import FAILED, complain, err, out
from vallum.codecs.json import Json
from vallum.config.compile import load_policy
from vallum.config.source import PolicyFileError, read_source
from vallum.drafts.draft import write
from vallum.drafts.traffic import NO_BODY, Sample, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE_MAX_BYTES = 16_777_216
HIDDEN = "what was never asked for neither."
SPANS_S = {"s": 1, "m": 60, "h": 3600}


class Span(click.ParamType[float]):
    """A time: 30s, 10m, 2h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        text = str(value)
        if text[:-1].isdigit() and text[-1:] in SPANS_S:
            return float(text[:-1]) * SPANS_S[text[-1]]
        return self.fail(f"{text!r}: write 30s, 10m or 2h", param, ctx)


@click.command(short_help="Propose a policy after recorded requests.")
@click.argument("recording", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--upstream", metavar="URL", help="The endpoint: watched if there is no RECORDING.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="Where callers are met while watching.")
@click.option("--for", "span_s", type=Span(), default="10m", show_default=True, help="How long to watch.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default="vallum.yaml", show_default=True
)
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.pass_context
def learn(
    ctx: click.Context,
    recording: Path | None,
    upstream: str | None,
    listen: str,
    span_s: float,
    output: Path,
    force: bool,
) -> None:
    """Learn from RECORDING, a file of requests in JSON, one a line, or from what callers ask an upstream now.

    A line has `method`, `path`, and where there are such `query`, `body` (JSON), `caller` and `status`.  Shapes,
    ranges and lengths are remembered, and few short words that several callers send often; nothing else of what is
    sent.

    \b
    Example:  vallum learn requests.jsonl -o vallum.yaml
              vallum learn --upstream http://127.0.0.1:9000 --listen 127.0.0.1:8080 --for 10m
    """
    if recording is None and upstream is None:
        raise click.UsageError("name a RECORDING, or an --upstream to watch")
    traffic = Traffic()
    if recording is not None:
        for sample in _read(recording):
            traffic.add(sample)
    else:
        from vallum.cli.watching import watch_upstream  # noqa: PLC0415  the servers are loaded for those who watch

        watch_upstream(traffic, upstream or "", listen, span_s)
    if not traffic.count:
        complain("no request was seen that could be learnt from")
        ctx.exit(FAILED)
    texts = write(
        traffic.propose(),
        file=output.name,
        upstream=upstream or "http://127.0.0.1:9000",
        title=f"Proposed after {traffic.count:,} requests.",
        hidden=HIDDEN,
    )
    save(texts, output.parent, force=force)
    out.print(f"{output}: {traffic.count:,} requests, {len(texts) - 1} schemas.", style="bold")
    if traffic.left_out:
        err.print(f"{traffic.left_out:,} requests were not learnt from: paths no route can name.", style="yellow")
    try:
        load_policy(read_source(output), time.time())
    except PolicyFileError as error:
        complain(str(error))
        ctx.exit(FAILED)


def _read(recording: Path) -> Iterator[Sample]:
    """Yield the requests of a recording that were answered well; tell of lines that are none."""
    bad = 0
    try:
        size = recording.stat().st_size
        with recording.open("rb") as lines, Progress(console=err, transient=True) as progress:
            task = progress.add_task("reading", total=size)
            while line := lines.readline(LINE_MAX_BYTES):
                progress.advance(task, len(line))
                sample = read_line(line)
                if sample is None:
                    bad += bool(line.strip())
                else:
                    yield sample
    except OSError as error:
        raise click.BadParameter(f"{recording} cannot be read: {error.strerror}", param_hint="RECORDING") from error
    if bad:
        err.print(f"{bad:,} lines are no requests, or were refused by the upstream.", style="yellow")


def read_line(line: bytes) -> Sample | None:
    """Read one recorded request; None if it is none, or was not answered well."""
    try:
        said = Json().decode(line)
        if not isinstance(said, dict) or said.get("status", 200) >= 400:
            return None
        query = said.get("query", "")
        pairs = parse_qsl(query, keep_blank_values=True) if isinstance(query, str) else list(_pairs(query))
        body = said.get("body", NO_BODY)
        size = 0 if body is NO_BODY else len(json.dumps(body, ensure_ascii=False).encode())
        return Sample(said["method"].upper(), said["path"], pairs, body, size, str(said.get("caller", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _pairs(query: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        for text in value if isinstance(value, list) else [value]:
            yield name, text if isinstance(text, str) else json.dumps(text)
