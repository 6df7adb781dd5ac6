"""`vallum estimate`: what a copy of a model would cost under a policy."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from vallum.cli.terminal import out
from vallum.config.compile import load_policy
from vallum.config.source import read_source
from vallum.estimate.price import CROWDS, Estimated, Goal, Thief, assumed, estimate, read_costs

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = click.IntRange(1, 10**12)
COST = click.FloatRange(0, 1e9)
UNITS = ((365.0, "years", 1 / 365), (1.0, "days", 1.0), (1 / 24, "hours", 24.0), (1 / 1440, "min", 1440.0))


def _priced(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say who copies, and what."""
    for option in (
        click.option("--width", type=COUNT, default=4096, show_default=True, help="Of a language model's last layer."),
        click.option("--tokens", type=COUNT, default=1000, show_default=True, help="Of a question and its answer."),
        click.option("--parameters", type=COUNT, help="Unknowns of a linear model, in the place of these."),
        click.option("--classes", type=click.IntRange(2, 10**6), default=10, show_default=True),
        click.option("--inputs", type=COUNT, default=64, show_default=True, help="Numbers of one input."),
        click.option("--account-minutes", type=COST, default=5.0, show_default=True, help="Work for one account."),
        click.option("--account-cost", type=COST, default=1.0, show_default=True, help="Money for one account."),
    ):
        function = option(function)
    return function


@click.command(name="estimate", short_help="What a copy of the model would cost under POLICY.")
@click.argument("policy", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--compare", type=click.Path(path_type=Path, dir_okay=False), metavar="OTHER", help="Another policy.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@_priced
def estimate_command(policy: Path, compare: Path | None, as_json: bool, **options: Any) -> None:
    """Say for each route of POLICY how many queries, accounts, days and how much money a copy of its model takes.

    What leaves is found by sending a made-up answer through the route's own transforms; how many answers there are, by
    its quotas; how many a copy takes, from measurements.  With --compare the same of OTHER, and what changes.

    \b
    Example:  vallum estimate vallum.yaml --inputs 784 --classes 10
              vallum estimate vallum.yaml --compare stricter.yaml
    """
    thief = Thief(**options)
    here = _read(policy, thief)
    there = None if compare is None else _read(compare, thief)
    words = assumed(thief, read_costs())
    if as_json:
        facts: dict[str, Any] = {"policy": _facts(here), "assumed": words, "thief": asdict(thief)}
        if there is not None:
            facts["compared"] = _facts(there)
        click.echo(json.dumps(facts))
        return
    if there is None:
        for one in here:
            _show(one, thief)
    else:
        _compare(here, there)
    if not here:
        out.print("No route of this policy sells answers of a model that can be estimated.")
    out.print("\nTaken for granted:")
    for line in words:
        out.print(f"- {line}", style="dim", markup=False)


def _read(path: Path, thief: Thief) -> list[Estimated]:
    config, compiled = load_policy(read_source(path), time.time(), certificates=False)
    return estimate(config, compiled, thief)


def _facts(found: list[Estimated]) -> list[dict[str, Any]]:
    return [_finite(asdict(one)) for one in found]


def _finite(value: Any) -> Any:
    """Return a value as JSON has it: what never ends is null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _show(one: Estimated, thief: Thief) -> None:
    out.print(f"[bold]{escape(one.route)}[/]  {one.preset}")
    out.print(f"  leaves      {one.leaves}")
    out.print(f"  an account  {_account(one)}")
    if one.route_a_day is not None:
        out.print(f"  the route   {one.route_a_day:,.0f} answers a day, all accounts together")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("  to have")
    table.add_column("queries", justify="right")
    for crowd in CROWDS:
        table.add_column(f"{crowd} acc." if crowd > 1 else "1 account", justify="right")
    table.add_column("in a day", justify="right")
    for goal in one.goals:
        table.add_row(f"  {goal.name}", *_cells(goal))
    out.print(table)
    for goal in one.goals:
        if goal.money is not None and goal.accounts_in_a_day is not None:
            work = [count * thief.account_minutes / 60 for count in goal.accounts_in_a_day]
            out.print(
                f"  {goal.name}, in a day: {_between(goal.money, ',.2f')} of money, {_between(work, ',.1f')} hours for"
                " accounts",
                style="dim",
            )
        if goal.queries is None:
            out.print(f"  {goal.name}: {goal.note}", style="dim")
    for note in one.notes:
        out.print(f"  {note}", style="dim", markup=False)
    out.print()


def _account(one: Estimated) -> str:
    if one.account_a_day is None:
        return "as many answers as it likes: no quota bounds them"
    many = f", up to {one.batch:,} in a request" if one.batch > 1 else ""
    return f"{one.account_a_day:,.0f} answers a day ({escape(one.bound_by)}){many}"


def _cells(goal: Goal) -> list[str]:
    if goal.queries is None:
        return ["no", *["-"] * len(CROWDS), "-"]
    accounts = "-" if goal.accounts_in_a_day is None else _between(goal.accounts_in_a_day, ",")
    return [_between(goal.queries, ","), *[_span(days) for days in goal.days], f"{accounts} acc."]


def _between(pair: Any, how: str) -> str:
    low, high = pair
    return _compact(low, how) if low == high else f"{_compact(low, how)}-{_compact(high, how)}"


def _compact(number: float, how: str) -> str:
    if number >= 1e6:
        return f"{number / 1e6:,.3g}M"
    return f"{number / 1e3:,.3g}k" if number >= 1e4 else format(number, how)


def _span(days: tuple[float, float]) -> str:
    low, high = map(_time, days)
    return low if low == high else f"{low}-{high}"


def _time(days: float) -> str:
    if days == inf:
        return "never"
    for least, unit, share in UNITS:
        if days >= least:
            return f"{days * share:,.3g}{unit[0] if unit != 'min' else 'm'}"
    return "now"


def _compare(here: list[Estimated], there: list[Estimated]) -> None:
    others = {one.route: one for one in there}
    known = {one.route: one for one in here}
    for name in dict.fromkeys([*known, *others]):
        one, other = known.get(name), others.get(name)
        if one is None or other is None:
            out.print(f"[bold]{escape(name)}[/]  only in {'the second' if one is None else 'the first'}\n")
            continue
        out.print(f"[bold]{escape(name)}[/]")
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for head in ("", "now", "then", "change"):
            table.add_column(head, justify="right" if head else "left")
        table.add_row("  leaves", one.form, other.form, "" if one.form == other.form else "*")
        table.add_row("  an account a day", *_changed(one.account_a_day, other.account_a_day, ",.0f"))
        later = {goal.name: goal for goal in other.goals}
        for goal in one.goals:
            then = later.get(goal.name)
            if then is not None:
                _compare_goal(table, goal, then)
        out.print(table)
        out.print()


def _compare_goal(table: Table, goal: Goal, then: Goal) -> None:
    if goal.queries is None or then.queries is None:
        said = ["no" if one.queries is None else f"{_between(one.queries, ',')} queries" for one in (goal, then)]
        table.add_row(f"  {goal.name}", *said, "" if said[0] == said[1] else "*")
        return
    table.add_row(f"  {goal.name}: queries", *_changed(goal.queries[0], then.queries[0], ","))
    for index, crowd in ((0, "1 account"), (-1, f"{CROWDS[-1]} accounts")):
        table.add_row(f"    with {crowd}", *_changed(goal.days[index][0], then.days[index][0]))


def _changed(now: float | None, then: float | None, how: str = "") -> list[str]:
    """Say what was and what will be, as numbers or, without `how`, as times; and by which factor it changes."""
    said = ["no bound" if value is None else format(value, how) if how else _time(value) for value in (now, then)]
    if said[0] == said[1]:
        return [*said, ""]
    if not now or not then or inf in (now, then):
        return [*said, "*"]
    return [*said, f"x {then / now:,.2f}"]
