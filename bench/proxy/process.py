"""Servers as context managers: started pinned to a core, waited for, and always ended, by pid and nothing else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cpu import Process, read_process, read_tree

START_S = 30.0
STOP_S = 5.0
POLL_S = 0.05
LOG_TAIL_CHARS = 2000
HOST = "127.0.0.1"


class BenchError(Exception):
    """The measurement cannot be trusted, or could not be made."""


def free_ports(count: int) -> list[int]:
    """Find different free loopback ports."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports: list[int] = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Pin this thread, and so every process it starts, to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(
    command: Sequence[str], *, core: int, port: int, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server on one core until the block ends; yield its pid once it listens."""
    log = folder / "output.log"
    with pinned(core), log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the benchmark, which then ends its servers in order
        )
    try:
        _wait_for(process, Path(command[0]).name, port, log)
        yield process.pid
    finally:
        _stop(process)


def _wait_for(process: subprocess.Popen[bytes], name: str, port: int, log: Path) -> None:
    """Wait until the port accepts a connection."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(POLL_S)
    state = "still runs but does not listen" if process.poll() is None else f"ended with status {process.returncode}"
    tail = log.read_text(errors="replace")[-LOG_TAIL_CHARS:]
    raise BenchError(f"{name} {state}; its last output:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server politely, then by force, with every process that it started."""
    tree = read_tree(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    for member in tree:
        _kill(member)
    process.wait(STOP_S)


def _kill(member: Process) -> None:
    """Kill a process if it is still the one that was seen."""
    now = read_process(member.pid)
    if now is not None and now.started_ticks == member.started_ticks:
        with suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)
