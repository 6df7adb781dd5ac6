"""`vallum check`: find the mistake before production does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from vallum.cli.terminal import MISUSE, complain, err, find_policy, out
from vallum.config.compile import load_policy
from vallum.config.source import PolicyFileError, read_source
from vallum.core.policy import Mode, OnError

if TYPE_CHECKING:
    from vallum.config.model import Config
    from vallum.core.policy import Concurrency, Policy, Route, Throttle

CONTROLS = (
    *("credential", "proof", "scopes", "habits", "throttle", "quotas", "concurrency"),
    *("size", "schema", "checks", "sanitise", "answer", "on error"),
)
STYLES = {"absent": "dim", "shadow": "yellow"}


@click.command()
@click.argument("policy", required=False, type=click.Path(path_type=Path, dir_okay=False), envvar="VALLUM_POLICY")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def check(ctx: click.Context, policy: Path | None, as_json: bool) -> None:
    """Validate POLICY and show what it enforces, shadows, or leaves out.

    \b
    Example:  vallum check vallum.yaml
    """
    path = find_policy(policy)
    try:
        config, compiled = load_policy(read_source(path), time.time())
    except PolicyFileError as error:
        if as_json:
            faults = [
                {"line": f.line, "column": f.column, "place": f.place, "message": f.message, "hint": f.hint}
                for f in error.faults
            ]
            click.echo(json.dumps({"valid": False, "errors": faults}))
        else:
            complain(str(error))
            count = len(error.faults)
            err.print(f"{count} {'mistake' if count == 1 else 'mistakes'}; nothing was started.", style="bold")
        ctx.exit(MISUSE)
    rows = {route.name: _controls(route) for route in compiled.routes}
    if as_json:
        click.echo(json.dumps({"valid": True, "digest": compiled.digest, "listen": _door(config), "routes": rows}))
        return
    _show(compiled, rows)
    out.print(_door(config))


def _controls(route: Route) -> dict[str, str]:
    intake, outlet = route.intake, route.outlet
    shadow = route.mode is Mode.SHADOW
    throttle, concurrency = route.throttle, route.upstream.concurrency
    entries: dict[str, str] = {
        "credential": " or ".join(a.type for a in route.authenticators),
        "proof": "required" if route.bound else "of bound credentials",
        "scopes": " ".join(sorted(route.scopes)) or "absent",
        "habits": _vigilance(route),
        "quotas": _list(
            (f"{limit.quota.limit}/{limit.quota.name}", limit.mode is Mode.SHADOW) for limit in route.limits
        ),
        "throttle": "absent" if throttle is None else _list([(_lowest(throttle), throttle.mode is Mode.SHADOW)]),
        "concurrency": _list((_span(rule), rule.mode is Mode.SHADOW) for rule in (concurrency,) if rule is not None),
        "size": f"{intake.max_bytes} bytes",
        "schema": "yes" if intake.schema is not None else "absent",
        "checks": _list((guard.check.type, guard.mode is Mode.SHADOW) for guard in intake.checks),
        "sanitise": "yes" if intake.sanitiser is not None else "absent",
        "answer": " ".join(step.type for step in outlet.transforms) or "absent",
        "on error": "deny" if route.on_error is OnError.DENY else "allow",
    }
    if shadow:
        entries = {name: f"shadow: {value}" if value != "absent" else value for name, value in entries.items()}
    return entries


def _vigilance(route: Route) -> str:
    vigilance = route.vigilance
    if vigilance is None:
        return "absent"
    text = f"limits x {vigilance.leeway:g} from {vigilance.tighten_at:g}, proof from {vigilance.step_up_at:g}"
    return text if vigilance.mode is Mode.ENFORCE else f"{text} (shadow)"


def _lowest(throttle: Throttle) -> str:
    blocks = "" if throttle.block_s is None else f", then a block of {throttle.block_s:g} s"
    return f"down to {throttle.floor:g} of the plan{blocks}"


def _span(rule: Concurrency) -> str:
    return f"{rule.most} at once" if rule.target_ttfb_s is None else f"{rule.least} to {rule.most} at once"


def _door(config: Config) -> str:
    """Say how clients come in: what holds on every route."""
    tls, header = config.listen.tls, config.client_certificate
    clients = "no client certificates" if tls is None else f"client certificates {tls.client_auth}"
    if header is not None:
        clients = f"client certificates in {header.header} from {', '.join(config.trusted_proxies)}"
    elif tls is not None and tls.client_auth == "none":
        clients = "no client certificates"
    lists = [held.crl for held in (tls, header) if held is not None and held.crl is not None]
    revoked = f", revocation lists {', '.join(lists)}" if lists else ""
    spoken = "plain HTTP" if tls is None else f"TLS {tls.min_version:g} and later"
    return f"Listens on {config.listen.address}: {spoken}, {clients}{revoked}."


def _list(items: Any) -> str:
    return ", ".join(f"{name} (shadow)" if shadow else name for name, shadow in items) or "absent"


def _show(policy: Policy, rows: dict[str, dict[str, str]]) -> None:
    for route in policy.routes:
        title = f"{route.name}  {' '.join(sorted(route.methods))} {route.pattern.text}  ->  {route.upstream.name}"
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 2), title=title, title_justify="left")
        table.title_style = "bold"
        for control in CONTROLS:
            value = rows[route.name][control]
            state = "absent" if value == "absent" else "shadow" if "shadow" in value else "enforced"
            style = STYLES.get(state, "green")
            if control == "on error":
                state, style = ("lets through" if value.endswith("allow") else "refuses"), "green"
            table.add_row(control, f"[{style}]{state}[/]", "" if value == "absent" else value)
        out.print(table)
        out.print()
    out.print(f"Valid.  Policy {policy.digest}, {len(policy.routes)} routes; all else does not exist.", style="bold")
