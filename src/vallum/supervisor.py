"""Several workers on one address: they are started, watched, told what the supervisor is told, and started again.

Rule 1: each worker has a socket of its own on the address (SO_REUSEPORT), so that the kernel spreads connections
        evenly.  The supervisor holds them all: what waits on the socket of a worker that dies waits for the next one.
Rule 2: workers are forks of a process that has compiled the policy and runs nothing else: no thread, no event loop.
        So the next one is there at once, and they share the memory of the patterns.
Rule 3: a worker that does not come up with the first of them ends all; later, one that dies is started again, ever
        more slowly if it dies soon.
Rule 4: workers end when the supervisor does, however it ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import uvloop

from vallum.adapters.proxy.siblings import socket_path
from vallum.config.compile import load_policy
from vallum.config.places import EMBEDDED, counters_url, stamp
from vallum.config.source import PolicyFileError, read_source
from vallum.core.address import join_address, split_address
from vallum.core.errors import DependencyError
from vallum.gateway import Gateway, Seat, run
from vallum.stores.embedded import EmbeddedStore, end_orphan
from vallum.stores.registry import SqlRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.config.model import Config
    from vallum.config.source import Source
    from vallum.core.policy import Policy

    Announce = Callable[[Config, list[str], bool], None]

log = logging.getLogger("vallum")

FAILED, DEPENDENCY = 1, 3
SIGNALS = {signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM}
TICK_S, STARTING_TICK_S = 0.5, 0.02
SOON_S = 10.0  # a worker that lived shorter is started again more slowly
PAUSE_S, PAUSE_MAX_S = 0.1, 5.0
GRACE_S = 5.0  # beyond drain_s


class Worker:
    """A place for a worker: its sockets, and the process that is in it."""

    def __init__(self, index: int, door: socket.socket) -> None:
        """Begin with nobody in it."""
        self.index = index
        self.door = door
        self.pid = 0
        self.started = 0.0
        self.deaths = 0  # one soon after the other
        self.due = 0.0  # when the next one may start


class Supervisor:
    """Holds the sockets, the policy last known to hold, and the workers."""

    def __init__(self, source: Source, config: Config, policy: Policy, folder: Path) -> None:
        """Take the addresses.  Raises OSError when one cannot be had, DependencyError without an embedded store."""
        self._source, self._config, self._policy = source, config, policy
        self._stamp = stamp(source)
        self._folder = folder
        see_free(config.listen.address)
        doors = [open_door(config.listen.address)]
        address = join_address(*doors[0].getsockname()[:2])
        doors += [open_door(address) for _ in range(1, config.workers)]
        self._workers = [Worker(index, door) for index, door in enumerate(doors)]
        self._admin = None if config.admin is None else open_door(config.admin.address)
        self._again = False
        self._stopping = False
        self._lifeline = os.pipe()
        url = counters_url(config)
        self._store = EmbeddedStore(folder) if url == EMBEDDED else None
        self._url = self._store.url if self._store is not None else url

    @property
    def addresses(self) -> list[str]:
        """Where it listens: the door, then the operators' listener."""
        sockets = [self._workers[0].door, *([self._admin] if self._admin is not None else [])]
        return [join_address(*each.getsockname()[:2]) for each in sockets]

    # --- life

    def run(self, announce: Callable[[], None]) -> int:
        """Keep the workers until told to stop; return the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            return self._keep(announce)
        finally:
            self._stop()

    def _keep(self, announce: Callable[[], None]) -> int:
        for worker in self._workers:
            self._start(worker)
        code: int | None = None
        while code is None and not self._stopping:
            told = signal.sigtimedwait(SIGNALS, TICK_S if self._again else STARTING_TICK_S)
            if told is not None:
                self._obey(told.si_signo)
            code = self._tend()
            if not self._again and all(socket_path(self._folder, w.index).exists() for w in self._workers):
                self._again = True
                announce()
        return code or 0

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._tell(signal.SIGHUP)
            self._reload()
        elif number in (signal.SIGINT, signal.SIGTERM):
            self._stopping = True

    def _tend(self) -> int | None:
        """Note who has died, start who is due.  Return an exit code where there is no use in going on."""
        now = time.monotonic()
        for worker, status in self._buried():
            soon = now - worker.started < SOON_S
            worker.deaths = worker.deaths + 1 if soon else 0
            worker.due = now + (min(PAUSE_MAX_S, PAUSE_S * 2 ** (worker.deaths - 1)) if soon else 0)
            socket_path(self._folder, worker.index).unlink(missing_ok=True)
            if not self._again:
                return status if status > 0 else FAILED
            log.error("worker %d has died (%d); the next one starts in %.1f s", worker.index, status, worker.due - now)
        if self._stopping:
            return None
        self._tend_store()
        if stamp(self._source) != self._stamp:
            self._reload()
        for worker in self._workers:
            if worker.pid == 0 and now >= worker.due:
                self._start(worker)
        return None

    def _tend_store(self) -> None:
        try:
            if self._store is not None and self._store.revive():
                log.error("the embedded counter store had died: it was started again, with nothing counted")
        except DependencyError as error:
            log.error("%s", error)

    def _buried(self) -> list[tuple[Worker, int]]:
        dead = []
        for worker in self._workers:
            if worker.pid:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    worker.pid = 0
                    dead.append((worker, os.waitstatus_to_exitcode(status)))
        return dead

    def _reload(self) -> None:
        """Keep the policy for workers that are still to start; those that run look for themselves, and say so."""
        self._stamp = stamp(self._source)
        with suppress(PolicyFileError):
            source = read_source(self._source.path)
            _, self._policy = load_policy(source, certificates=False)
            self._source, self._stamp = source, stamp(source)

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, number)

    def _stop(self) -> None:
        """Let workers end what is in hand; end those that do not."""
        for each in (*(worker.door for worker in self._workers), *filter(None, [self._admin])):
            each.close()
        self._tell(signal.SIGTERM)
        deadline = time.monotonic() + self._config.listen.drain_s + GRACE_S
        while any(worker.pid for worker in self._workers):
            if time.monotonic() > deadline:
                self._tell(signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, STARTING_TICK_S)
            self._buried()
        if self._store is not None:
            self._store.stop()

    # --- in the worker

    def _start(self, worker: Worker) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        worker.started = time.monotonic()
        worker.pid = os.fork()
        if worker.pid == 0:
            self._become(worker)

    def _become(self, worker: Worker) -> NoReturn:
        code = FAILED
        try:
            os.close(self._lifeline[1])
            for other in self._workers:
                if other is not worker:
                    other.door.close()
            seat = Seat(worker.index, self._folder, self._url, worker.door, self._admin, self._again)
            code = self._work(seat)
        except (DependencyError, OSError) as error:
            log.error("%s", error)
            code = DEPENDENCY
        except BaseException:  # noqa: BLE001  the frames below are the supervisor's: nothing may return into them
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _work(self, seat: Seat) -> int:
        gateway = Gateway(self._config, self._policy, self._source, seat)
        # The process ends with what this returns: the loop is not closed, as that waits for what is still open.
        uvloop.new_event_loop().run_until_complete(self._serve(gateway))
        return 0

    async def _serve(self, gateway: Gateway) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        loop.add_signal_handler(signal.SIGHUP, gateway.reload_soon)
        orphaned = asyncio.Event()

        def orphan() -> None:
            loop.remove_reader(self._lifeline[0])
            orphaned.set()
            stopped.set()

        loop.add_reader(self._lifeline[0], orphan)  # its other end closes with the supervisor
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            await run(gateway, stopped, lambda _: None)
        finally:
            loop.remove_reader(self._lifeline[0])
            if orphaned.is_set():
                end_orphan(self._folder)


def supervise(source: Source, config: Config, policy: Policy, announce: Announce) -> int:
    """Run `config.workers` workers until told to stop; return the exit code."""
    registry = SqlRegistry(config.registry)  # its tables are made once, and not by all workers at a time
    empty = registry.is_empty()
    registry.close()
    with tempfile.TemporaryDirectory(prefix="vallum-") as folder:  # ours alone: mode 0700
        supervisor = Supervisor(source, config, policy, Path(folder))
        return supervisor.run(lambda: announce(config, supervisor.addresses, empty))


def see_free(address: str) -> None:
    """Raise OSError if somebody else listens: sharing a port must not happen by mistake."""
    host, port = split_address(address)
    family, kind, protocol, _, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(name)


def open_door(address: str) -> socket.socket:
    """Bind a socket beside others on the same address.  Raises OSError."""
    host, port = split_address(address)
    family, kind, protocol, _, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    door = socket.socket(family, kind, protocol)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        door.bind(name)
        door.listen(1024)
        door.setblocking(False)
    except BaseException:
        door.close()
        raise
    return door
