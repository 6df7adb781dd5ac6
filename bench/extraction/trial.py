"""One cell with one seed: honest weeks to calibrate, then the same raid undefended, with the usual stack, watched."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import numpy as np
from bench.extraction import chat, defences
from bench.extraction.cells import Cell
from bench.extraction.figures import Figures, Side, containment, episodes, shares, times_us
from bench.extraction.population import DAY_S, START, WEEK_S, Population
from bench.extraction.thefts import thefts
from bench.extraction.thieves import THIEF, Thief, fidelity
from bench.extraction.week import Loop, Raid
from bench.extraction.worlds import WORLDS, World, plain

CALIBRATION = 4  # honest weeks before the test
CURVE = (30, 100, 300, 1000, 3000)
HELD = 2000


@dataclass
class Ready:
    """A world at the end of its calibration: copied for each cell that begins there."""

    population: Population
    watch: Any
    history: Counter[str]  # requests of each account so far
    wall_s: float


def world_of(name: str, seed: int, data: Path | None) -> World:
    """Make a world."""
    made: Any = chat.Chat(seed, data) if data and name == "chat" else WORLDS[name](seed)
    return cast("World", made)


def prepare(cell: Cell, seed: int, data: Path | None, *, watched: bool = True) -> Ready:
    """Let the honest weeks of calibration go by, once for all cells that share them."""
    begun = perf_counter()
    population = Population(world_of(cell.world, seed, data), seed, cell.heavy)
    watch = defences.watch(seed, cell.terms) if watched else defences.Undefended()
    loop = Loop(population, watch, cell.form, seed)
    raids = []
    if cell.poisoned and cell.plan:
        thief = Thief(
            cell.plan, population.world, np.random.default_rng([seed, 44]), START + 3 * DAY_S, f"{THIEF}-first"
        )
        raids.append(Raid(thief, loop))
    history: Counter[str] = Counter()
    for week in range(CALIBRATION):
        events = loop.run(week, raids)
        names = [account.name for account in population.users.accounts]
        history.update(names[who] for who in events.who.tolist())
    population.world.turn_over()
    return Ready(population, watch, history, perf_counter() - begun)


def shared(cell: Cell) -> tuple[Any, ...]:
    """Return what cells must have in common to share a calibration."""
    return cell.world, cell.form, cell.terms, cell.heavy, cell.plan if cell.poisoned else None


def run(cell: Cell, seed: int, ready: Ready, *, bare: bool = True) -> Figures:
    """Run a cell; `bare`: also without a defence and with the usual one."""
    begun = perf_counter()
    figures = Figures(cell.name, seed, weeks=cell.weeks)
    population, watch = copy.deepcopy((ready.population, ready.watch))
    for drift, week in cell.drifts():
        population.change(drift, CALIBRATION + week)
    loop = Loop(population, watch, cell.form, seed)
    weeks = range(CALIBRATION, CALIBRATION + cell.weeks)
    if cell.plan:
        _raid(cell, figures, loop, weeks)
        if bare:
            _compare(cell, figures, ready, seed)
    elif cell.stolen:
        _steal(cell, figures, loop, ready, seed)
    else:
        for week in weeks:
            loop.run(week)
        figures.false_alarms = episodes(loop.trace.alarms)
    figures.honest = shares(loop.trace.honest)
    figures.accused = {standing: len(names) for standing, names in loop.trace.accused.items()}
    figures.times_us = times_us(loop.trace)
    figures.wall_s = perf_counter() - begun
    return figures


def _thief(cell: Cell, world: World, seed: int) -> Thief:
    assert cell.plan
    start = START + CALIBRATION * WEEK_S + DAY_S
    return Thief(cell.plan, world, np.random.default_rng([seed, 55]), start)


def _raid(cell: Cell, figures: Figures, loop: Loop, weeks: range) -> None:
    thief = _thief(cell, loop.world, figures.seed)
    raid = Raid(thief, loop)
    for week in weeks:
        loop.run(week, [raid])
    containment(figures, loop.trace, thief.start)
    figures.watched = _side(thief, figures.seed)
    if cell.world != "chat":
        figures.baseline = loop.world.baseline


def _compare(cell: Cell, figures: Figures, ready: Ready, seed: int) -> None:
    """Let the same raid meet no defence, which needs no honest users, and the usual one, which refuses them too."""
    population = copy.deepcopy(ready.population)
    last = CALIBRATION + cell.weeks - 1
    for name, form, defence in (("undefended", "all", defences.Undefended()), ("usual", "band", defences.Usual())):
        loop = Loop(population, defence, form, seed)
        thief = _thief(cell, population.world, seed)
        loop.raid(last, [Raid(thief, loop)])
        setattr(figures, name, _side(thief, seed))
    loop = Loop(population, defences.Usual(), "band", seed)
    loop.run(CALIBRATION)
    figures.usual_honest = shares(loop.trace.honest)


def _side(thief: Thief, seed: int) -> Side:
    side = Side(answers=len(thief.asked))
    if thief.world.kind == "text":
        return side
    held = plain(thief.world, HELD, np.random.default_rng([seed, 11]))
    counts = [count for count in CURVE if count < side.answers]
    for count in [*counts, side.answers]:
        side.curve[count] = fidelity(thief, held, np.random.default_rng([seed, 12]), count)
    side.fidelity = side.curve[side.answers]
    return side


def _steal(cell: Cell, figures: Figures, loop: Loop, ready: Ready, seed: int) -> None:
    """Steal accounts in a week; count those noticed, and those that are suspected though nobody stole them."""
    rng = np.random.default_rng([seed, 66])
    found = thefts(loop.population, loop, cell.stolen, CALIBRATION, ready.history, rng=rng)
    loop.run(CALIBRATION, found)
    noticed = [theft.noticed_after for theft in found if theft.noticed_after is not None]
    figures.noticed = len(noticed) / max(len(found), 1)
    figures.noticed_after = float(np.median(noticed)) if noticed else None
    stolen = {theft.account.name for theft in found}
    figures.suspected = len(loop.trace.suspected - stolen) / max(len(loop.trace.trusted - stolen), 1)
