"""A way to a server, in a process of its own that can be stopped: `python tunnel.py TARGET_PORT` prints its port."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

import uvloop


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, and the end."""
    while data := await reader.read(65_536):
        writer.write(data)
    writer.transport.abort()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connect to the target and pass on both ways."""
    with suppress(OSError):
        there = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
    writer.transport.abort()


async def main() -> None:
    """Listen until killed."""
    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


uvloop.run(main())
