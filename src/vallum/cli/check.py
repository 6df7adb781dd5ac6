"""`vallum check`: find the mistake before production does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from vallum.cli.controls import ABSENT, describe_door, describe_route, tell_limits, tell_state
from vallum.cli.terminal import MISUSE, complain, err, find_policy, out
from vallum.config.compile import load_policy
from vallum.config.source import PolicyFileError, read_source

if TYPE_CHECKING:
    from vallum.config.model import Config
    from vallum.core.policy import Policy, Route

STYLES = {"shadow": "yellow", "in part": "yellow", "lets through": "yellow"}


@click.command(short_help="Validate POLICY and show what holds.")
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
        _show_faults(error, as_json)
        ctx.exit(MISUSE)
    if as_json:
        rows = {route.name: describe_route(route) for route in compiled.routes}
        door = describe_door(config)
        notes = {route.name: tell_limits(route) for route in compiled.routes if tell_limits(route)}
        found = {"valid": True, "digest": compiled.digest, "listen": door, "routes": rows, "notes": notes}
        found |= {"idle_web_acls": idle_web_acls(config)} if idle_web_acls(config) else {}
        click.echo(json.dumps(found))
        return
    _show(compiled)
    out.print(describe_door(config), soft_wrap=True)
    for name in idle_web_acls(config):
        out.print(
            escape(f"No route names the web ACL {name!r}: its rules hold nowhere."), soft_wrap=True, style="yellow"
        )


def idle_web_acls(config: Config) -> list[str]:
    """Return the web ACLs that no route names."""
    named = {route.web_acl for route in config.routes}
    return [name for name in config.web_acls if name not in named]


def _show_faults(error: PolicyFileError, as_json: bool) -> None:
    if as_json:
        faults = [
            {"line": f.line, "column": f.column, "place": f.place, "message": f.message, "hint": f.hint}
            for f in error.faults
        ]
        click.echo(json.dumps({"valid": False, "errors": faults}))
        return
    complain(str(error))
    count = len(error.faults)
    err.print(f"{count} {'mistake' if count == 1 else 'mistakes'}; nothing was started.", style="bold")


def _show(policy: Policy) -> None:
    for route in policy.routes:
        if route.responder is None:
            _show_route(route)
    for route in policy.routes:
        if route.responder is not None:
            _show_own(route)
    routes = "1 route" if len(policy.routes) == 1 else f"{len(policy.routes)} routes"
    out.print(f"Valid.  Policy {policy.digest}, {routes}; all else does not exist.", style="bold")


def _show_route(route: Route) -> None:
    controls = describe_route(route)
    out.print(f"[bold]{route.name}[/]  {_place(route)}  ->  {route.upstream.name}", soft_wrap=True)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for control, value in controls.items():
        state = tell_state(control, value)
        if state != ABSENT:
            # One item a line, so that a long list of quotas stays readable.
            lines = escape(value.replace(", ", "\n") if control == "quotas" else value)
            table.add_row(f"  {control}", f"[{STYLES.get(state, 'green')}]{state}[/]", lines)
    left_out = ", ".join(control for control, value in controls.items() if value == ABSENT)
    if left_out:
        table.add_row("  -", f"[dim]{ABSENT}[/]", f"[dim]{left_out}[/]")
    for note in tell_limits(route):
        table.add_row("  note", "", escape(note))
    out.print(table)
    out.print()


def _show_own(route: Route) -> None:
    """Show a route that the gateway answers itself: what stands in its way."""
    controls = describe_route(route)
    guards = ", ".join(controls[name] for name in ("credential", "quotas") if controls[name] != ABSENT)
    out.print(f"[bold]{route.name}[/]  {_place(route)}  ->  the gateway itself: {guards}", soft_wrap=True)
    out.print()


def _place(route: Route) -> str:
    return escape(f"{' '.join(sorted(route.methods))} {route.pattern.text}")
