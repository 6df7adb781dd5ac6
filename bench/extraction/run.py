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
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is there: one core each
ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402

from bench.extraction import cells as known  # noqa: E402
from bench.extraction import chat, report, trial  # noqa: E402

if TYPE_CHECKING:
    from bench.extraction.cells import Cell
    from bench.extraction.figures import Figures

SEEDS = (1, 2, 3)


def measure(cells: list[Cell], seeds: list[int], data: Path, *, watch: bool, bare: bool, console: Console) -> list[Figures]:
    """Run all cells, those of one world, seed and form one after another, so that each calibrates once."""
    found = []
    jobs = sorted(
        ((cell, seed) for seed in seeds for cell in cells),
        key=lambda job: (job[1], job[0].world, job[0].form),
    )
    last, ready = None, None
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(jobs))
        for cell, seed in jobs:
            key = (cell.world, seed, cell.form)
            if key != last or ready is None:
                progress.update(task, description=f"calibrating {cell.world}, seed {seed}")
                last, ready = key, trial.prepare(cell.world, seed, cell.form, data, watched=watch)
            progress.update(task, description=f"{cell.name}, seed {seed}")
            found.append(trial.run(cell, seed, ready, bare=bare))
            progress.advance(task)
    return found


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
    parser.add_argument("--data", type=Path, default=chat.DATA, help="folder with the texts of chats")
    parser.add_argument("--no-watch", action="store_true", help="measure only what the others do")
    parser.add_argument("--only-watch", action="store_true", help="leave out what the others do")
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
    seeds = options.seeds or ([1] if options.cell or options.quick else list(SEEDS))
    found = measure(
        cells, seeds, options.data, watch=not options.no_watch, bare=not options.only_watch, console=console
    )
    report.tell(found, console)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        results = json.dumps([figures.document() for figures in found], indent=1)
        (options.out / "results.json").write_text(results)
        report.draw(found, options.out)


if __name__ == "__main__":
    main()
