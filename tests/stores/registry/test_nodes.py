"""Several nodes on one PostgreSQL: how fast a revocation is, what is lost when messages are, outages, and races."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import pytest

from vallum.core.errors import DependencyError
from vallum.core.principal import Credential
from vallum.stores.registry import Keyring, SqlRegistry, registry
from vallum.stores.registry.database import ANSWER_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = Credential("key_1", "alice", b"a" * 32, created_at=1.0)
NODES = 3
ROUNDS = 50


@asynccontextmanager
async def nodes(url: str, count: int, clock: Any = time.monotonic) -> AsyncIterator[list[SqlRegistry]]:
    """Run nodes that follow the bus, and nothing else: no beat looks for them."""
    made = [SqlRegistry(url, clock) for _ in range(count)]
    following = [asyncio.ensure_future(node.follow()) for node in made]
    try:
        async with asyncio.timeout(40):
            while any(node._seen is None for node in made):  # noqa: ASYNC110  each looks once when it has begun to listen
                await asyncio.sleep(0.001)
            yield made
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        for node in made:
            node.close()


async def until(seen: Any) -> None:
    """Look again and again, as requests would."""
    while not await seen():  # noqa: ASYNC110  what it looks at is a request's answer
        await asyncio.sleep(0.0005)


async def test_a_revocation_reaches_every_node_well_within_a_second(postgres: Any) -> None:
    url = postgres.make()
    operator = Keyring(url)
    took_s = []
    async with nodes(url, NODES) as running:

        async def all_refuse(digest: bytes) -> bool:
            found = [await node.find(digest) for node in running]
            return all(held is not None and held.revoked_at is not None for held in found)

        for number in range(ROUNDS):
            held = replace(KEY, id=f"key_{number}", digest=number.to_bytes(32))
            operator.add(held)
            for node in running:
                await node.find(held.digest)  # known as good from here on

            async def revoked(digest: bytes = held.digest) -> bool:
                return await all_refuse(digest)

            began = time.perf_counter()
            await asyncio.get_running_loop().run_in_executor(None, operator.revoke, held.id, 2.0)
            await until(revoked)
            took_s.append(time.perf_counter() - began)
    operator.close()
    p99_s = quantiles(took_s, n=100)[-1]
    print(f"\nrevocation on {NODES} nodes: p50 {median(took_s) * 1e3:.1f} ms, p99 {p99_s * 1e3:.1f} ms")
    assert p99_s < 1.0


async def test_without_a_bus_the_next_look_tells(postgres: Any) -> None:
    url = postgres.make()
    operator, node = Keyring(url), SqlRegistry(url)
    operator.add(KEY)
    await node.refresh()
    assert await node.find(KEY.digest) == KEY
    operator.revoke("key_1", 2.0)  # announced, and nobody listens
    await node.refresh()
    assert await node.find(KEY.digest) == replace(KEY, revoked_at=2.0)
    operator.close()
    node.close()


async def test_a_bus_that_breaks_is_joined_again_and_what_was_missed_is_seen(postgres: Any) -> None:
    url = postgres.make()
    operator = Keyring(url)
    operator.add(KEY)
    async with nodes(url, 1) as (node,):
        assert await node.find(KEY.digest) == KEY
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = "
        (done,) = postgres.execute(cut + f"'{url.rpartition('/')[2]}'")
        assert done == (True,)
        operator.revoke("key_1", 2.0)

        async def refused() -> bool:
            held = await node.find(KEY.digest)
            return held is not None and held.revoked_at == 2.0

        await until(refused)
        operator.add(replace(KEY, id="key_2", digest=b"2" * 32))
        seen = node._seen
        assert seen is not None

        async def heard() -> bool:
            return node._seen is not None and node._seen >= 3

        await until(heard)
    operator.close()


async def test_an_outage_is_met_within_5_s_and_ends_by_itself(postgres: Any, clock: Any) -> None:
    url = postgres.make()
    async with nodes(url, 2, clock) as running:
        node = running[0]
        node.add(KEY)
        await node.refresh()
        assert await node.find(KEY.digest) == KEY
        postgres.stop()
        try:
            with pytest.raises(DependencyError, match="cannot be asked"):
                await node.refresh()
            clock.now += registry.STALE_S
            assert await node.find(KEY.digest) == KEY
            clock.now += 0.001
            with pytest.raises(DependencyError):
                await node.find(KEY.digest)
        finally:
            postgres.start()
        assert await node.find(KEY.digest) == KEY, "no connection that died in the outage is given to a request"
        await node.refresh()
        running[1].revoke("key_1", 2.0)

        async def refused() -> bool:
            held = await node.find(KEY.digest)
            return held is not None and held.revoked_at == 2.0

        await until(refused)


async def test_a_server_that_hangs_blocks_nobody_for_long(postgres: Any) -> None:
    url = postgres.make()
    async with nodes(url, 1) as (node,):
        node.add(KEY)

        async def heard() -> bool:
            return node._seen == 1

        await until(heard)
        assert await node.find(KEY.digest) == KEY
        pids = postgres.execute(f"SELECT pid FROM pg_stat_activity WHERE datname = '{url.rpartition('/')[2]}'")
        stopped = [postgres.pid, *(pid for (pid,) in pids)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            ticks = 0
            asking = asyncio.ensure_future(node.find(b"?" * 32))
            while not asking.done():
                await asyncio.sleep(0.01)
                ticks += 1
                assert await node.find(KEY.digest) == KEY, "who is known goes on"
            with pytest.raises(DependencyError):
                asking.result()
            assert time.monotonic() - began < 1.5 * ANSWER_S
            assert ticks > 50, "the loop was never blocked"
        finally:
            for pid in reversed(stopped):
                os.kill(pid, signal.SIGCONT)
        assert await node.find(b"?" * 32) is None


# --- processes that do the same at once

RACE = """
import sys
from vallum.core.principal import Credential
from vallum.stores.registry import Keyring, RotationError

url, name, verb = sys.argv[1:]
keyring = Keyring(url)
print("ready", flush=True)
sys.stdin.readline()
done = []
for number in range(30):
    key_id = f"key_{number}"
    try:
        if verb == "rotate":
            digest = f"{name}{number}".encode().ljust(32, b".")
            keyring.rotate(key_id, Credential(f"key_{number}_{name}", "", digest, created_at=50.0), 10.0)
            done.append(key_id)
        elif keyring.revoke(key_id, 50.0):
            done.append(key_id)
    except RotationError:
        pass
keyring.close()
print(" ".join(done))
"""


def race(url: str, *verbs: str) -> list[set[str]]:
    command = [sys.executable, "-c", RACE, url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([*command, f"p{n}", verb], **pipes) for n, verb in enumerate(verbs)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=40)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(verbs)
    return [set(words.split()) for words in said]


@pytest.fixture
def thirty(url: str) -> str:
    keyring = Keyring(url)
    for number in range(30):
        keyring.add(replace(KEY, id=f"key_{number}", digest=number.to_bytes(32)))
    keyring.close()
    return url


def test_of_two_rotations_at_once_one_is_made(thirty: str) -> None:
    one, other = race(thirty, "rotate", "rotate")
    assert one | other == {f"key_{number}" for number in range(30)}
    assert not one & other
    keyring = Keyring(thirty)
    held = {each.id: each for each in keyring.list()}
    keyring.close()
    assert len(held) == 60
    assert {each.expires_at for each in held.values() if each.successor_of is None} == {60.0}


def test_a_rotation_and_a_revocation_at_once_leave_no_key_that_should_not_hold(thirty: str) -> None:
    rotated, revoked = race(thirty, "rotate", "revoke")
    assert revoked == {f"key_{number}" for number in range(30)}, "every key was revoked, rotated or not"
    keyring = Keyring(thirty)
    held = keyring.list()
    keyring.close()
    assert {each.id for each in held if each.successor_of is None and each.revoked_at != 50.0} == set()
    assert {each.successor_of for each in held if each.successor_of is not None} == rotated
