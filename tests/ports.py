"""Ports for servers that have to be told theirs before they start."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

LOWEST, HIGHEST = 12_000, 22_000
"""Below what systems hand out by themselves, so that nothing else gets a port between here and its server's start.

A cluster's bus has the port 10,000 above, which is below that too.
"""


def find_port() -> int:
    """Return a port that nobody listens on."""
    while True:
        port = random.randrange(LOWEST, HIGHEST)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
