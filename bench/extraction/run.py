"""Who is seen who copies a model, after how many answers, and what it costs the honest: simulated weeks.

    python bench/extraction/run.py --out DIR                     # every cell, three seeds; hours
    python bench/extraction/run.py --quick                       # a few cells, one seed; minutes
    python bench/extraction/run.py --cell synth-jbda-100         # one cell, one seed unless --seeds says more
    PYTHONPATH=CHECKOUT/src python bench/extraction/run.py ...   # with the watch of another checkout

`cells.py` says how cells are named, `--list` names those of the table.  Every cell is run without a defence, with the
usual one (bands, 100 answers a day for each account) and with the watch, after four honest weeks of calibration.
The attackers know nothing of the defence but its public face: `Watch`, and the facts in `vallum.core.extraction`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is there: one core each
ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from bench.extraction import cells as known
from bench.extraction import report, trial
from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.extraction.cells import Cell
    from bench.extraction.figures import Figures

SEEDS = (1, 2, 3)


class Job(NamedTuple):
    """Cells of one world, seed and form of answer: they share a calibration."""

    cells: list[Cell]
    seed: int
    data: Path | None
    watched: bool
    bare: bool


def jobs_of(cells: list[Cell], seeds: list[int], options: argparse.Namespace) -> list[Job]:
    """Put cells together that share a calibration."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for seed in seeds:
        for cell in cells:
            groups.setdefault((seed, *trial.shared(cell)), []).append(cell)
    watched, bare = not options.no_watch, not options.only_watch
    return [Job(some, seed, options.data, watched, bare) for (seed, *_), some in groups.items()]


def measure(job: Job, tell: Callable[[str], None] = lambda _: None) -> list[Figures]:
    """Calibrate, and run a job's cells; `tell` is told what comes next."""
    first = job.cells[0]
    tell(f"calibrating {first.world}, seed {job.seed}")
    ready = trial.prepare(first, job.seed, job.data, watched=job.watched)
    found = []
    for cell in job.cells:
        tell(f"{cell.name}, seed {job.seed}")
        found.append(trial.run(cell, job.seed, ready, bare=job.bare))
    return found


def measure_all(jobs: list[Job], workers: int, console: Console, out: Path | None) -> list[Figures]:
    """Run all jobs, over several processes if told to; what is known is written after each."""
    found: list[Figures] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=sum(len(job.cells) for job in jobs))

        def tell(what: str) -> None:
            progress.update(task, description=what)

        for some in _results(jobs, workers, tell):
            found.extend(some)
            progress.advance(task, len(some))
            if out:
                write(found, out)
    return found


def _results(jobs: list[Job], workers: int, tell: Callable[[str], None]) -> Iterator[list[Figures]]:
    if workers == 1:
        for job in jobs:
            yield measure(job, tell)
        return
    with ProcessPoolExecutor(workers) as pool:
        for run in as_completed([pool.submit(measure, job) for job in jobs]):
            yield run.result()


def write(found: list[Figures], out: Path) -> None:
    """Write every figure."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps([figures.document() for figures in found], indent=1))


def chosen(options: argparse.Namespace) -> list[Cell]:
    """Return the cells that are asked for."""
    if options.cell:
        return [known.cell(name) for name in options.cell]
    if options.quick:
        return [known.cell(name) for name in known.QUICK]
    goals = [names for goal, names in known.GOALS.items() if not options.goal or goal.split()[0] in options.goal]
    return [known.cell(name) for names in goals for name in names]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", action="append", help="a cell by name; may be given more than once")
    parser.add_argument("--goal", action="append", help="cells of one goal: 1 to 6, others")
    parser.add_argument("--quick", action="store_true", help="a few cells, one seed")
    parser.add_argument("--list", action="store_true", help="name the cells, and stop")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 1 2 3; for --cell and --quick: 1")
    parser.add_argument("--out", type=Path, help="folder for results.json and pictures")
    parser.add_argument("--data", type=Path, help="folder with train.jsonl and dev.jsonl, for the cells of chat")
    parser.add_argument("--no-watch", action="store_true", help="measure only what the others do")
    parser.add_argument("--only-watch", action="store_true", help="leave out what the others do")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    console = Console(width=160 if not sys.stdout.isatty() else None)
    if options.list:
        for goal, names in known.GOALS.items():
            console.print(f"[bold]{goal}[/]: {', '.join(names)}")
        return
    try:
        cells = chosen(options)
    except ValueError as error:
        parser.error(str(error))
    if options.data is None and any(cell.world == "chat" for cell in cells):
        console.print("[red]left out for want of --data DIR: the cells of chat[/]")
        cells = [cell for cell in cells if cell.world != "chat"]
    seeds = options.seeds or ([1] if options.cell or options.quick else list(SEEDS))
    found = measure_all(jobs_of(cells, seeds, options), options.jobs, console, options.out)
    report.tell(found, console)
    if options.out:
        report.draw(found, options.out)


if __name__ == "__main__":
    main()
