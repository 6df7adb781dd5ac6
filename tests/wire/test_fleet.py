"""`examples/fleet.yaml` on two nodes of two workers each, with Valkey and PostgreSQL: exact, and outages are met."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vallum.stores.embedded import EmbeddedStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.conftest import Postgres
    from tests.wire.conftest import Served, Server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    folder = tmp_path / "store"
    folder.mkdir()
    store = EmbeddedStore(folder)
    yield store
    os.kill(store._process.pid, signal.SIGCONT)
    store.stop()


@pytest.fixture
def policy(store: EmbeddedStore, postgres: Postgres, pytestconfig: pytest.Config) -> str:
    text = (pytestconfig.rootpath / "examples" / "fleet.yaml").read_text()
    text = re.sub(r"\$\{VALLUM_COUNTERS:-[^}]*\}", store.url, text)
    return re.sub(r"\$\{VALLUM_REGISTRY:-[^}]*\}", postgres.make(), text)


async def make_key(served: Served) -> str:
    code, said = await served.command(
        "keys", "create", "--subject", "alice", "--tenant", "acme", "--scope", "predict:read", "--json"
    )
    assert code == 0, said
    key: str = json.loads(said)["key"]
    return key


async def statuses(served: Served, key: str, times: int) -> list[int]:
    return [answer.status for answer in await asyncio.gather(*(served.ask(key) for _ in range(times)))]


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def workers(served: Served) -> list[int]:
    """Return the processes of both workers, once they are there."""
    async with asyncio.timeout(15):
        while True:
            found = children(served.process.pid)
            if len(found) == 2:
                return sorted(found)
            await asyncio.sleep(0.05)


async def up(served: Served) -> list[str]:
    metrics = (await served.look("/metrics")).body.decode()
    return re.findall(r"vallum_counter_store_up\{.*\} (\S+)", metrics)


async def until_up(served: Served, wanted: list[str]) -> None:
    async with asyncio.timeout(15):
        while True:
            if await up(served) == wanted:
                return
            await asyncio.sleep(0.05)


async def test_nodes_and_workers_admit_a_limit_of_n_together(serving: Server, policy: str) -> None:
    nodes = [await serving(policy), await serving(policy)]
    key = await make_key(nodes[0])
    found = [status for part in await asyncio.gather(*(statuses(node, key, 75) for node in nodes)) for status in part]
    assert sorted(found) == [200] * 100 + [429] * 50


async def test_a_hung_store_is_waited_for_once_and_the_limit_shared_out(
    serving: Server, policy: str, store: EmbeddedStore, eventually: Callable[..., Awaitable[Any]]
) -> None:
    served = await serving(policy)
    key = await make_key(served)
    assert set(await statuses(served, key, 10)) == {200}
    await until_up(served, ["1.0", "1.0"])
    os.kill(store._process.pid, signal.SIGSTOP)
    await statuses(served, key, 10)
    await until_up(served, ["0.0", "0.0"])
    started = time.perf_counter()
    found = await statuses(served, key, 150)
    assert time.perf_counter() - started < 5, "nobody waits: 150 waits of 50 ms one after the other are more"
    assert found.count(200) <= 100
    assert set(found) <= {200, 429}
    assert served.said.count("quotas go by their on_store_failure") == 2, "once a worker"
    victim, other = await workers(served)
    os.kill(victim, signal.SIGKILL)
    await served.wait_said("has died")
    await until_up(served, ["0.0", "0.0"])
    assert other in await workers(served), "a worker that starts without the store serves without it"
    os.kill(store._process.pid, signal.SIGCONT)
    await until_up(served, ["1.0", "1.0"])
    await eventually(lambda: served.said.count("answers again") == 2)
    after = await statuses(served, key, 150)
    assert after.count(200) < 90, "beside the first ten, what the worker that lived let pass meanwhile was charged"
