"""Measure the CPU that one proxied request costs: bare nginx, bare Envoy, and the gateway with a whole policy on.

Each contender runs alone on one core; the upstream, the load and this program share another.  Contenders are started
afresh and interleaved over rounds.  Exit codes: 0 done, 1 a figure could not be trusted, 2 wrong use, 3 a server is
missing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contenders import (
    PLACEHOLDER_KEY,
    Contender,
    Programs,
    create_key,
    envoy_contender,
    find_programs,
    gateway_contender,
    gateway_missing,
    nginx_contender,
    upstream,
    write_policy,
)
from cpu import machine
from load import CONNECTIONS, write_script
from measure import Bench, measure_all
from process import BenchError, pinned, running
from report import Round, ratios, summary, table, warnings
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

NAMES = ("nginx", "envoy", "gateway")
POLICY = Path(__file__).parents[2] / "examples" / "predict.yaml"
TERMINATED = 143
ROLES = 2  # one core for the contender, one for the rest

stdout, stderr = Console(), Console(stderr=True)


def choose(names: list[str], programs: Programs, policy: Path, folder: Path) -> tuple[list[Contender], str]:
    """Make the contenders that can take part, and the key for the load."""
    contenders = []
    key = PLACEHOLDER_KEY
    if "nginx" in names:
        contenders.append(nginx_contender(programs.paths["nginx"]))
    if "envoy" in names:
        contenders.append(envoy_contender(programs.paths["envoy"]))
    if "gateway" in names:
        (folder / "policy").mkdir()
        copy = write_policy(policy, folder / "policy")
        key = create_key(copy)
        contenders.append(gateway_contender(copy))
    return contenders, key


def run(args: argparse.Namespace, names: list[str], programs: Programs) -> tuple[list[Round], list[Contender]]:
    """Start the upstream and measure everything, in a folder that is removed at the end."""
    core, rest = args.cores
    with tempfile.TemporaryDirectory(prefix="vallum-bench-") as name, pinned(rest):
        folder = Path(name)
        contenders, key = choose(names, programs, args.policy, folder)
        home = folder / "upstream"
        home.mkdir()
        start, status_port = upstream(programs.paths["nginx"], home)
        bench = Bench(
            folder=folder,
            wrk=programs.paths["wrk"],
            script=write_script(folder / "post.lua", key),
            key=key,
            core=core,
            seconds=args.seconds,
            warm_up=args.warm_up,
            upstream_port=start.port,
            status_port=status_port,
        )
        with running(start.command, core=rest, port=start.port, folder=home):
            return with_bar(bench, contenders, args.rounds), contenders


def with_bar(bench: Bench, contenders: list[Contender], rounds: int) -> list[Round]:
    """Measure behind a progress bar, drawn once a second so that it takes nothing from the load."""
    columns = (TextColumn("{task.description:<18}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    turn_s = bench.warm_up + bench.seconds
    with Progress(*columns, TimeRemainingColumn(), console=stderr, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("starting", total=rounds * len(contenders) * turn_s)
        turns = iter(range(rounds * len(contenders)))

        def say(what: str) -> None:
            progress.update(task, description=what, completed=next(turns) * turn_s, refresh=True)

        def tick(seconds: float) -> None:
            progress.update(task, advance=seconds, refresh=True)

        return measure_all(bench, contenders, rounds, say, tick)


def show(rounds: list[Round], contenders: list[Contender]) -> None:
    """Print the table, the ratios and what was noisy."""
    stdout.print(table(rounds))
    for c in contenders:
        stdout.print(f"[bold]{c.name}[/] {c.version}: {c.does}", highlight=False)
    for name, value in ratios(rounds).items():
        stdout.print(f"{name}: [bold]{value.text(2)}[/] times the CPU per request, compared within each round")
    answers = sum(r.reading.load.requests for r in rounds)
    stdout.print(f"non-2xx answers: 0 of {answers:,}; each request reached the upstream")
    for line in warnings(rounds):
        stderr.print(f"[yellow]noise:[/] {line}")


def write_json(file: Path, args: argparse.Namespace, rounds: list[Round], contenders: list[Contender]) -> None:
    """Write all figures with what is needed to read them later."""
    settings = {"rounds": args.rounds, "seconds": args.seconds, "warm_up": args.warm_up, "connections": CONNECTIONS}
    about = {"machine": machine(), "settings": settings, "versions": {c.name: c.version for c in contenders}}
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    file.write_text(json.dumps({"format": 1, "measured_at": when} | about | summary(rounds), indent=2) + "\n")


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, default, most in (("--rounds", 3, 100), ("--seconds", 6, 600), ("--warm-up", 2, 60)):
        bounds = range(1, most + 1)
        parser.add_argument(name, type=int, default=default, choices=bounds, metavar="N", help=f"default {default}")
    parser.add_argument("--only", action="append", choices=NAMES, help="measure this contender (repeatable)")
    parser.add_argument("--policy", type=Path, default=POLICY, metavar="FILE", help="default examples/predict.yaml")
    parser.add_argument("--cores", type=int, nargs=ROLES, metavar=("CONTENDER", "REST"), help="default: the first two")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    args = parser.parse_args(argv)
    usable = sorted(os.sched_getaffinity(0))
    args.cores = args.cores or usable[:ROLES]
    if len(set(args.cores)) != ROLES or not set(args.cores) <= set(usable):
        parser.error(f"two different usable cores are needed; usable here: {usable}")
    return args


def main(argv: list[str]) -> int:
    """Run the benchmark and give the exit code."""
    args = parse(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # unwinds, so that every server is stopped
    names = [n for n in NAMES if n in (args.only or NAMES)]
    programs = find_programs({"nginx", "wrk", *names})
    if programs.missing:
        stderr.print("[bold red]missing[/], install and run again:", *programs.missing, sep="\n  ")
        return 3
    if "gateway" in names and (reason := gateway_missing(args.policy)):
        stderr.print(f"[bold white on red] THE GATEWAY IS NOT MEASURED [/] {reason}")
        names.remove("gateway")
    if not names:
        return 3
    try:
        rounds, contenders = run(args, names, programs)
    except (BenchError, OSError, subprocess.TimeoutExpired) as error:
        stderr.print("[bold red]failed:[/]", end=" ")
        stderr.print(str(error), markup=False, highlight=False)
        return 1
    show(rounds, contenders)
    if args.json:
        write_json(args.json, args, rounds, contenders)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
