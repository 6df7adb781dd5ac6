"""The measurement: rounds, and in each round every contender alone on its core.

A contender's CPU time and its requests are read over the same span.  A figure is given only if every request was
answered with success and reached the upstream, and the contender's processes stayed the same and on their core.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contenders import Contender
from cpu import core_busy_s, cores_allowed, read_tree, tree_cpu_s
from load import press
from process import HOST, BenchError, running
from report import Reading, Round

STATUS_REQUESTS = 9  # in words of nginx's status: "... server accepts handled requests A H R ..."
Tick = Callable[[float], None]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all rounds share."""

    folder: Path
    wrk: str
    script: Path
    key: str
    core: int
    seconds: int
    warm_up: int
    upstream_port: int
    status_port: int


def measure_all(bench: Bench, contenders: list[Contender], rounds: int, say: Say, tick: Tick) -> list[Round]:
    """Interleave the contenders; each round starts with another one."""
    results = []
    for number in range(1, rounds + 1):
        at = (number - 1) % len(contenders)
        for contender in contenders[at:] + contenders[:at]:
            say(f"round {number}: {contender.name}")
            results.append(Round(contender.name, number, measure(bench, contender, number, tick)))
    return results


def measure(bench: Bench, contender: Contender, number: int, tick: Tick) -> Reading:
    """Start a contender, check its answers, warm it up, measure it, check it again, stop it."""
    folder = bench.folder / f"{contender.name}-{number}"
    folder.mkdir()
    start = contender.prepare(folder, bench.upstream_port)
    try:
        with running(start.command, core=bench.core, port=start.port, folder=folder, env=start.env) as pid:
            contender.check(start.port, bench.key)
            press(bench.wrk, bench.script, start.port, bench.warm_up, tick)
            reading = read_under_load(bench, pid, start.port, tick)
            contender.check(start.port, bench.key)
            return reading
    except BenchError as error:
        raise BenchError(f"{contender.name}, round {number}: {error}") from error


def read_under_load(bench: Bench, pid: int, port: int, tick: Tick) -> Reading:
    """Load a contender and read, over the same span, its CPU time and what else its core did."""
    passed, busy_s, tree, began_s = count_passed(bench), core_busy_s(bench.core), read_tree(pid), time.monotonic()
    load = press(bench.wrk, bench.script, port, bench.seconds, tick)
    span_s, tree_after, busy_after_s = time.monotonic() - began_s, read_tree(pid), core_busy_s(bench.core)
    passed = count_passed(bench) - passed
    if {p.pid for p in tree} != {p.pid for p in tree_after}:
        raise BenchError("processes came or went under load")
    if (cores := cores_allowed(tree_after)) != {bench.core}:
        raise BenchError(f"not only on core {bench.core}: its threads may run on {sorted(cores)}")
    if passed < load.requests:
        raise BenchError(f"{load.requests} answers, but the upstream saw only {passed} requests")
    cpu_s = tree_cpu_s(tree_after) - tree_cpu_s(tree)
    return Reading(span_s, cpu_s, max(0.0, (busy_after_s - busy_s - cpu_s) / span_s), load)


def count_passed(bench: Bench) -> int:
    """Ask the upstream how many requests it has seen."""
    connection = http.client.HTTPConnection(HOST, bench.status_port, timeout=10)
    try:
        connection.request("GET", "/")
        return int(connection.getresponse().read().split()[STATUS_REQUESTS])
    finally:
        connection.close()
