"""Tables in words, and pictures, of what was measured."""

from __future__ import annotations

from collections import defaultdict
from math import isnan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.extraction.figures import Figures, Side
    from rich.console import Console


def tell(found: Sequence[Figures], console: Console) -> None:
    """Print what was measured: the middle of the seeds, and the worst of them where there are more."""
    groups: dict[str, list[Figures]] = defaultdict(list)
    for figures in found:
        groups[figures.cell].append(figures)
    raids = {name: many for name, many in groups.items() if many[0].watched}
    thefts = {name: many for name, many in groups.items() if many[0].noticed is not None}
    if raids:
        console.print(_raids(raids))
    if thefts:
        console.print(_thefts(thefts))
    console.print(_honest(groups))
    console.print(_costs(found))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column == "cell" else "right", no_wrap=column == "cell")
    return table


def _raids(groups: dict[str, list[Figures]]) -> Table:
    table = _table(
        "raids: fidelity (answers)",
        "cell",
        "never asked",
        "undefended",
        "usual",
        "watched",
        "answers until contained",
        "hours",
        "a day after",
        "stay",
        "named",
        "clusters",
        "alarm, hours",
        "price",
    )
    for name, many in groups.items():
        last = many[0].watched
        never = f"never ({last.answers})" if last else "never"
        table.add_row(
            name,
            _middle((f.baseline for f in many), "{:.3f}"),
            *(_sides(many, side) for side in ("undefended", "usual", "watched")),
            _worst((f.to_contain for f in many), "{:.0f}", never),
            _worst((f.contained_at_h for f in many), "{:.0f}", "-"),
            _worst((f.a_day_after for f in many), "{:.0f}", "-"),
            _middle((f.held_after for f in many), "{:.0%}"),
            _middle((f.named for f in many), "{:.0%}"),
            _middle((f.clusters for f in many), "{:.0f}"),
            _worst((f.alarm_h for f in many), "{:.1f}", "none"),
            _middle((f.work for f in many), "{:.1f}x"),
        )
    return table


def _sides(many: list[Figures], name: str) -> str:
    sides: list[Side] = [side for figures in many if (side := getattr(figures, name))]
    if not sides:
        return "-"
    answers = f"({median(side.answers for side in sides):.0f})"
    scores = [side.fidelity for side in sides if side.fidelity is not None]
    return f"{median(scores):.3f} {answers}" if scores else answers


def _thefts(groups: dict[str, list[Figures]]) -> Table:
    table = _table(
        "stolen credentials, 20 queries each", "cell", "noticed", "after queries", "suspected wrongly in a week"
    )
    for name, many in groups.items():
        table.add_row(
            name,
            _middle((f.noticed for f in many), "{:.0%}"),
            _middle((f.noticed_after for f in many), "{:.0f}"),
            _middle((f.suspected for f in many), "{:.2%}"),
        )
    return table


def _honest(groups: dict[str, list[Figures]]) -> Table:
    table = _table(
        "honest users: worst seed",
        "cell",
        "requests",
        "refused",
        "established",
        "heavy, bursty",
        "new",
        "coarsened",
        "challenged",
        "price",
        "accused, new / old",
        "false alarms",
        "refused by the usual stack",
    )
    for name, many in groups.items():

        def worst(kinds: str, what: str, many: list[Figures] = many) -> str:
            values = [f.honest[kind][what] for f in many for kind in kinds.split() if kind in f.honest]
            return _share(max(values, default=0.0))

        usual = [f.usual_honest for f in many if f.usual_honest]
        accused = [max((f.accused.get(standing, 0) for f in many), default=0) for standing in ("new", "established")]
        table.add_row(
            name,
            f"{sum(f.honest['all']['asked'] for f in many):,.0f}",
            worst("all", "refused"),
            worst("established", "refused"),
            worst("heavy bursty", "refused"),
            worst("new launch integration", "refused"),
            worst("all", "coarsened"),
            worst("all", "challenged"),
            f"{max(f.honest['established']['price'] for f in many):.2f}x",
            f"{accused[0]} / {accused[1]}",
            _worst((f.false_alarms for f in many), "{:.0f}", "-"),
            ", ".join(f"{max(u[kind]['refused'] for u in usual):.0%}" for kind in ("established", "heavy", "bursty"))
            if usual
            else "-",
        )
    return table


def _costs(found: Sequence[Figures]) -> Table:
    table = _table("cost in microseconds (every seventh call, on a machine that others use)", "call", "median", "p99")
    for call in ("judge", "note", "sweep"):
        many = [f.times_us[call] for f in found if call in f.times_us]
        if many:
            table.add_row(call, f"{median(m['median'] for m in many):,.1f}", f"{median(m['p99'] for m in many):,.1f}")
    return table


def _share(value: float) -> str:
    return "0" if value == 0 else f"{value:.2%}"


def _middle(values: Iterable[float | None], form: str) -> str:
    known = [value for value in values if value is not None and not isnan(value)]
    return form.format(median(known)) if known else "-"


def _worst(values: Iterable[float | None], form: str, never: str) -> str:
    known = list(values)
    some = [value for value in known if value is not None]
    if not some:
        return never
    text = form.format(max(some))
    return text if len(some) == len(known) else f"{text}, {never} in {len(known) - len(some)} of {len(known)}"


def draw(found: Sequence[Figures], folder: Path) -> None:
    """Draw how a copy grows under each defence, and how long until the accounts were contained."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "vallum", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot as plt

    curves = [figures for figures in found if figures.watched and figures.watched.curve]
    names = list(dict.fromkeys(figures.cell for figures in curves))
    if not names:
        return
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.4 * columns, 2.6 * rows), squeeze=False, layout="constrained", sharey=True
    )
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        _curves(axis, name, [f for f in curves if f.cell == name])
    axes.flat[0].legend(fontsize=7)
    figure.savefig(folder / "fidelity.svg", metadata={"Date": None})
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.4 * columns, 2.6 * rows), squeeze=False, layout="constrained", sharey=True
    )
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        _course(axis, name, [f for f in curves if f.cell == name])
    axes.flat[0].legend(fontsize=7)
    figure.savefig(folder / "course.svg", metadata={"Date": None})


def _course(axis: Any, name: str, many: list[Figures]) -> None:
    for index, figures in enumerate(many):
        hours = [step[0] for step in figures.course]
        asked = figures.watched.answers if figures.watched else 1
        for column, what, colour in (
            (1, "answered, of all that was", "C3"),
            (2, "contained", "C0"),
            (3, "named", "C2"),
        ):
            shares = [step[column] / (asked if column == 1 else 1) for step in figures.course]
            axis.plot(hours, shares, color=colour, linewidth=0.8, label=what if index == 0 else None)
    axis.set(title=name, ylim=(0, 1.02), xlabel="hours")


def _curves(axis: Any, name: str, many: list[Figures]) -> None:
    for side, colour in (("undefended", "C3"), ("usual", "C1"), ("watched", "C0")):
        for index, figures in enumerate(many):
            drawn: Side | None = getattr(figures, side)
            if drawn:
                label = side if index == 0 else None
                axis.plot(
                    list(drawn.curve), list(drawn.curve.values()), color=colour, marker=".", linewidth=0.8, label=label
                )
    if many[0].baseline is not None:
        axis.axhline(many[0].baseline, color="0.5", linewidth=0.6, linestyle=":")
    axis.set(title=name, xscale="log", ylim=(0, 1.02), xlabel="answers")
