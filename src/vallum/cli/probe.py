"""`vallum probe`: ask an endpoint, ours or not, what an attacker would ask."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from vallum.cli.terminal import DEPENDENCY, FAILED, err, out
from vallum.config.compile import load_policy
from vallum.config.source import read_source
from vallum.probe.budget import Budget
from vallum.probe.catalogue import SEVERITIES, Severity, read_catalogue
from vallum.probe.example import example_of, invent, invent_for
from vallum.probe.finding import Finding, Verdict
from vallum.probe.promises import Promises, read_promises
from vallum.probe.reports import WRITERS
from vallum.probe.result import Change, Result, compare
from vallum.probe.run import chosen, run
from vallum.probe.session import Session
from vallum.probe.target import BEARER, Target, open_target
from vallum.probe.wire import Bounds

if TYPE_CHECKING:
    from vallum.config.model import Config
    from vallum.core.policy import Policy
    from vallum.probe.catalogue import Facts

KEYS_VARIABLE = "VALLUM_PROBE_KEYS"
STYLES = {Verdict.HELD: "green", Verdict.WEAK: "red", Verdict.UNTESTED: "yellow"}
LOOPBACK_RATE, REMOTE_RATE = 200.0, 10.0
QUICK_S, FULL_S = 15.0, 120.0
QUICK_PATIENCE_S, PATIENCE_S = 2.0, 20.0
FILE = click.Path(path_type=Path, dir_okay=False)
KNOWN_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command(short_help="Test any inference endpoint as an attacker would.")
@click.argument("url")
@click.option("--policy", type=KNOWN_FILE, help="Policy file that says what should hold there.")
@click.option("--preset", help="API format whose example is the honest request, such as openai.chat.")
@click.option("--model", default="m", show_default=True, help="Model that the example names.")
@click.option("--body", help="The honest request: JSON, or @FILE.")
@click.option("--openapi", type=KNOWN_FILE, help="OpenAPI document (JSON) from which the honest request is made.")
@click.option("--keys", type=KNOWN_FILE, help=f"File of keys that open it, one a line; or {KEYS_VARIABLE}.")
@click.option("--refused-keys", type=KNOWN_FILE, help="File of keys that must not: revoked, expired, of other scopes.")
@click.option("--key-header", default=": ".join(BEARER), show_default=True, help="How a key is presented.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Sent with every request.")
@click.option("--i-am-authorised", "authorised", metavar="HOST", help="Needed for any host but this machine.")
@click.option("--only", multiple=True, metavar="NAME", help="A family or a probe; may be given several times.")
@click.option("--quick", is_flag=True, help="The most telling questions, in under 15 s.")
@click.option("--rate", type=click.FloatRange(0.1, 1000), help="Requests a second; 200 here, 10 elsewhere.")
@click.option("--max-requests", type=click.IntRange(1, 100_000), default=2000, show_default=True, help="In all.")
@click.option("--max-time", type=click.FloatRange(1, 3600), help="Seconds in all; 120, or 15 with --quick.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 300), default=10.0, show_default=True, help="Of one answer, in s."
)
@click.option("--ca", type=KNOWN_FILE, help="Certificates in PEM of who signed the endpoint's.")
@click.option("--cert", type=KNOWN_FILE, help="Client certificate in PEM, for endpoints that ask for one.")
@click.option("--cert-key", type=KNOWN_FILE, help="Its private key in PEM; without it, --cert holds both.")
@click.option("--surrogate", type=click.IntRange(20, 1000), help="Queries for a small copy of a model of numbers.")
@click.option("--report", "reports", type=FILE, multiple=True, help="Write .html, .sarif, .xml (JUnit) or .json.")
@click.option("--baseline", type=KNOWN_FILE, help="JSON report of an earlier run to compare with.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), default="low", show_default=True, help="Exit 1 from here on.")
@click.option("--strict", is_flag=True, help="Exit 1 also if anything is untested.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON report.")
@click.pass_context
def probe(ctx: click.Context, /, url: str, **options: Any) -> None:
    """Ask the endpoint at URL what an attacker would ask, and say what held, what is weak, and what is untested.

    Only endpoints that are yours to test: this machine, or a host that you name with --i-am-authorised.

    \b
    Example:  vallum probe http://127.0.0.1:8080/api/v1/predict --policy vallum.yaml --keys keys.txt
              vallum probe http://127.0.0.1:8000/v1/chat/completions --preset openai.chat --quick
    Exit codes:  0 nothing weak · 1 something is weak · 2 wrong use · 3 nothing could be tested
    """
    config, policy = load_policy(read_source(options["policy"]), time.time()) if options["policy"] else (None, None)
    try:
        target = _aim(url, options, config, policy)
        promises = read_promises(config, policy, target.method, target.path) if config and policy else None
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    if not target.on_loopback and options["authorised"] != target.place.host:
        raise click.UsageError(
            f"{target.place.host} is not this machine; if you may test it: --i-am-authorised {target.place.host}"
        )
    for path in options["reports"]:
        if path.suffix not in WRITERS:
            raise click.UsageError(f"{path}: a report ends in {', '.join(WRITERS)}")
    probes = _choose(options)
    baseline = json.loads(options["baseline"].read_text("utf-8")) if options["baseline"] else None
    result = _run(target, promises, probes, options, "" if policy is None else policy.digest)
    changes = None
    if baseline is not None:
        try:
            changes = compare(result, baseline)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    for path in options["reports"]:
        path.write_text(WRITERS[path.suffix](result), "utf-8")
    if options["as_json"]:
        click.echo(json.dumps(result.as_json(), ensure_ascii=False, indent=2))
    else:
        _show(result, changes)
    ctx.exit(_code(result, options["fail_on"], options["strict"]))


def _aim(url: str, options: dict[str, Any], config: Config | None, policy: Policy | None) -> Target:
    """Put together what is tested.  Raises ValueError with what to do."""
    name, colon, form = options["key_header"].partition(":")
    if not colon or "{key}" not in form:
        raise ValueError("--key-header is written as 'Name: {key}', with {key} in its value")
    fields = [header.partition(":") for header in options["headers"]]
    if not all(colon for _, colon, _ in fields):
        raise ValueError("--header is written as NAME:VALUE")
    bare = open_target(url, None)
    return open_target(
        url,
        _honest(bare, options, config, policy),
        ca=str(options["ca"]) if options["ca"] else None,
        certificate=_certificate(options["cert"], options["cert_key"]),
        keys=_read_keys(options["keys"]) or tuple(os.environ.get(KEYS_VARIABLE, "").split()),
        refused_keys=_read_keys(options["refused_keys"]),
        key_field=(name.strip(), form.strip()),
        fields=tuple((name.strip(), value.strip()) for name, _, value in fields),
    )


def _certificate(chain: Path | None, key: Path | None) -> tuple[str, str] | None:
    """Return the files of the client's certificate and its key, which may be one file."""
    if chain is None:
        if key is not None:
            raise ValueError("--cert-key is the key of --cert; name both")
        return None
    return str(chain), str(key or chain)


def _honest(target: Target, options: dict[str, Any], config: Config | None, policy: Policy | None) -> Any:
    body, preset = options["body"], options["preset"]
    if body is not None:
        return json.loads(Path(body[1:]).read_text("utf-8") if body.startswith("@") else body)
    if options["openapi"] is not None:
        return invent_for(json.loads(options["openapi"].read_text("utf-8")), target.method, target.path)
    if preset is None and config is not None and policy is not None:
        route = policy.find_route(target.method, target.path)
        found = next((one for one in config.routes if route is not None and one.name == route.name), None)
        if found is not None and found.request.schema is not None:
            return invent(json.loads((options["policy"].parent / found.request.schema).read_text("utf-8")))
        preset = None if found is None or found.preset in ("json", "raw") else found.preset
    if preset is None:
        raise ValueError("what does an honest request look like?  Give --body, --preset or --openapi")
    return example_of(preset, options["model"])


def _choose(options: dict[str, Any]) -> list[Facts]:
    """Return the probes of this run; raise UsageError where a name is unknown, or none is left."""
    unknown = [name for name in options["only"] if name not in _names()]
    if unknown:
        raise click.UsageError(f"--only {unknown[0]}: there is {', '.join(sorted(_names()))}")
    given = {f"--{name}" for name in ("cert", "surrogate") if options[name]}
    probes = chosen(options["quick"], options["only"], given)
    if not probes:
        raise click.UsageError("nothing is left to ask: some probes need --cert or --surrogate, others a full run")
    return probes


def _read_keys(path: Path | None) -> tuple[str, ...]:
    return () if path is None else tuple(path.read_text("utf-8").split())


def _names() -> set[str]:
    return {name for facts in read_catalogue().values() for name in (facts.name, facts.family)}


def _run(
    target: Target, promises: Promises | None, probes: list[Facts], options: dict[str, Any], digest: str
) -> Result:
    quick = options["quick"]
    budget = Budget(
        requests=options["max_requests"],
        per_second=options["rate"] or (LOOPBACK_RATE if target.on_loopback else REMOTE_RATE),
        seconds=options["max_time"] or (QUICK_S if quick else FULL_S),
    )
    patience_s = QUICK_PATIENCE_S if quick else PATIENCE_S
    bounds = Bounds(answer_s=options["timeout"])
    session = Session(
        target,
        budget,
        promises,
        quick=quick,
        surrogate=options["surrogate"] or 0,
        patience_s=patience_s,
        bounds=bounds,
    )
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    began = time.monotonic()
    findings = asyncio.run(_run_shown(session, probes))
    took_s = time.monotonic() - began
    return Result(target.url, started, took_s, budget.sent, tuple(findings), digest, quick)


async def _run_shown(session: Session, probes: list[Facts]) -> list[Finding]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("Asking", total=len(probes))

        def tell(finding: Finding) -> None:
            progress.update(task, advance=1, description=finding.facts.title.ljust(40))

        return await run(session, probes, tell)


def _show(result: Result, changes: list[Change] | None) -> None:
    table = Table("", "probe", "severity", "what was found", header_style="bold", box=None, padding=(0, 2, 0, 0))
    for finding in result.findings:
        style = STYLES[finding.verdict]
        severity = finding.facts.severity if finding.verdict is Verdict.WEAK else ""
        sentence = escape(finding.outcome.sentence)
        table.add_row(f"[{style}]{finding.verdict}[/]", finding.name, severity, sentence)
    out.print(table)
    for finding in result.of(Verdict.WEAK):
        sentence = escape(finding.outcome.sentence)
        out.print(f"\n[bold red]{finding.name}[/]  {finding.facts.severity}: {sentence}", soft_wrap=True)
        for line in finding.outcome.evidence:
            out.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
        out.print(f"  In a policy: {finding.facts.vallum}", markup=False, soft_wrap=True)
        out.print(f"  Elsewhere:   {finding.facts.elsewhere}", markup=False, soft_wrap=True)
    for change in changes or ():
        style = "red" if change.is_worse else "green"
        out.print(f"[{style}]{change.name}: {change.before} -> {change.now}[/]", soft_wrap=True)
    if changes == []:
        out.print("\nNothing changed since the baseline.")
    counts = result.counts
    words = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    out.print(f"\n{result.url}: {words}; {result.requests} requests in {result.took_s:.0f} s.", soft_wrap=True)
    out.print(_verdict(result), soft_wrap=True)


def _verdict(result: Result) -> str:
    weak: list[Finding] = result.of(Verdict.WEAK)
    missing = result.counts[Verdict.UNTESTED]
    beside = f"  {missing} of {len(result.findings)} probes could not be tested." if missing else ""
    if weak:
        return f"[bold red]Weak: {len(weak)}, the gravest {weak[0].facts.severity}.[/]{beside}"
    if not result.counts[Verdict.HELD]:
        return "[bold yellow]Nothing could be tested.[/]"
    return f"[bold green]What was tested held.[/]{beside}"


def _code(result: Result, least: Severity, strict: bool) -> int:
    if not result.counts[Verdict.HELD] and not result.counts[Verdict.WEAK]:
        return DEPENDENCY
    return FAILED if result.fails(least, strict=strict) else 0
