"""The demo's house: the sample upstream, a gateway before it, and keys, all on loopback in one process."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vallum.adapters.proxy.server import Listener
from vallum.config.compile import load_policy
from vallum.config.source import read_source
from vallum.core.address import join_address
from vallum.demo.upstream import SampleUpstream
from vallum.gateway import Gateway
from vallum.household import BEAT_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"


class House(NamedTuple):
    """What runs, and where."""

    upstream: SampleUpstream
    upstream_address: str
    gateway: Gateway
    policy: Path

    @property
    def address(self) -> str:
        """Where the gateway listens."""
        return self.gateway.addresses[0]


@asynccontextmanager
async def open_house(folder: Path, listen: str) -> AsyncIterator[House]:
    """Start everything; `folder` takes the policy, the keys and the records.  Raises OSError on a port in use."""
    upstream = SampleUpstream()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Listener(upstream.serve).connect, LOOPBACK, 0)
    address = join_address(*server.sockets[0].getsockname()[:2])
    policy = write_policy(folder, listen, f"http://{address}")
    source = read_source(policy)
    config, compiled = await loop.run_in_executor(None, load_policy, source)
    gateway = Gateway(config, compiled, source)
    await gateway.start()
    beat = asyncio.ensure_future(_beat(gateway))
    try:
        yield House(upstream, address, gateway, policy)
    finally:
        beat.cancel()
        await gateway.stop()
        server.close()


def write_policy(folder: Path, listen: str, upstream_url: str) -> Path:
    """Write the demo's policy with its addresses filled in, so that other commands can read it too."""
    values = {
        "DEMO_LISTEN": listen,
        "DEMO_ADMIN": f"{LOOPBACK}:0",
        "DEMO_FOLDER": str(folder),
        "DEMO_UPSTREAM": upstream_url,
    }
    text = (HERE / "policy.yaml").read_text("utf-8")
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    policy = folder / "vallum.yaml"
    policy.write_text(text, "utf-8")
    shutil.copy(HERE / "predict.schema.json", folder)
    return policy


async def _beat(gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        await gateway.beat()
