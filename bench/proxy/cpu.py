"""CPU time as the kernel counts it: a process tree's own, and a whole core's.

A tree's time is the user and system time of every live process in it, all threads included, plus that of the children
it has already reaped.  /proc counts in ticks of 10 ms, so a span of 6 s is exact to about 0.2 %.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
IDLE_COLUMNS = (3, 4)  # proc(5): idle and iowait
GUEST_COLUMNS = slice(0, 8)  # proc(5): guest time is already in user time


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/PID/stat; `started_ticks` tells a process from a later one with the same pid."""

    pid: int
    parent: int
    cpu_ticks: int
    started_ticks: int


def read_process(pid: int) -> Process | None:
    """Read one process, or None if it has gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before ")" may hold spaces; field 3 of proc(5) comes first here
    return Process(pid, int(fields[1]), sum(map(int, fields[11:15])), int(fields[19]))


def read_tree(root: int) -> list[Process]:
    """Read a process and all its live descendants."""
    everyone = [p for path in Path("/proc").iterdir() if path.name.isdigit() and (p := read_process(int(path.name)))]
    found = [p for p in everyone if p.pid == root]
    for parent in found:  # grows while it is walked
        found.extend(p for p in everyone if p.parent == parent.pid)
    return found


def tree_cpu_s(tree: list[Process]) -> float:
    """Add up the CPU seconds of a tree."""
    return sum(p.cpu_ticks for p in tree) / TICKS_PER_S


def core_busy_s(core: int) -> float:
    """Read how long a core has been busy since boot, with whatever work."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *columns = line.split()
        if name == f"cpu{core}":
            ticks = [int(c) for c in columns[GUEST_COLUMNS]]
            return (sum(ticks) - sum(ticks[i] for i in IDLE_COLUMNS)) / TICKS_PER_S
    raise ValueError(f"/proc/stat has no core {core}")


def cores_allowed(tree: list[Process]) -> set[int]:
    """List the cores that any thread of a tree may run on."""
    cores: set[int] = set()
    for process in tree:
        for thread in Path(f"/proc/{process.pid}").glob("task/*"):
            with suppress(ProcessLookupError):  # it may end while it is looked at
                cores |= os.sched_getaffinity(int(thread.name))
    return cores


def machine() -> dict[str, str]:
    """Describe the machine without naming it."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    uname = os.uname()
    return {
        "cpu": models[0].partition(":")[2].strip() if models else uname.machine,
        "cores": str(os.cpu_count()),
        "kernel": f"{uname.sysname} {uname.release}",
    }
