"""Several workers on one address: exact together, and whole again after a death."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vallum.stores.embedded import find_server
from vallum.supervisor import open_door

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Awaitable, Callable

    from tests.wire.conftest import Opener, Raw, Served, Server

SCOPE = "predict:read"
POLICY = """
version: 1
listen: {address: "${VALLUM_LISTEN}", drain_s: 5}
admin: {address: "${VALLUM_ADMIN}"}
registry: "${VALLUM_REGISTRY}"
workers: 2
upstreams: {model: {url: "${VALLUM_UPSTREAM}", timeout_s: 10}}
authenticators: {keys: {type: api_key}}
routes:
  - name: predict
    match: {methods: [POST], path: /api/v1/predict}
    upstream: model
    auth: {any_of: [keys], scopes: ["predict:read"]}
    quotas: [1000 per minute]
    response: {fields: [prediction]}
"""


def children(pid: int) -> list[int]:
    """Return the processes that a process started and that live."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def names(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def workers(served: Served) -> list[int]:
    return [pid for pid in children(served.process.pid) if "valkey-server" not in names(pid)]


def store(served: Served) -> int:
    found = [pid for pid in children(served.process.pid) if "valkey-server" in names(pid)]
    assert len(found) == 1, found
    return found[0]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


async def statuses(served: Served, key: str, times: int) -> list[int]:
    return [answer.status for answer in await asyncio.gather(*(served.ask(key) for _ in range(times)))]


async def knock(served: Served) -> None:
    """Connect again and again, until that fails."""
    for _ in range(500):
        (await served.connect()).close()
        await asyncio.sleep(0.01)


async def until(look: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(15):
        while True:
            if await look():
                return
            await asyncio.sleep(0.02)


async def is_ready(served: Served) -> bool:
    return (await served.look("/readyz")).status == 200


# --- one gateway


async def test_workers_admit_a_limit_of_n_together_and_each_is_seen(serving: Server) -> None:
    served = await serving(POLICY.replace("1000 per minute", "10 per minute"))
    assert len(workers(served)) == 2
    key = served.issue("alice", SCOPE)
    answers = await asyncio.gather(*(served.ask(key) for _ in range(40)))
    assert sorted(answer.status for answer in answers) == [200] * 10 + [429] * 30
    assert await is_ready(served)
    metrics = (await served.look("/metrics")).body.decode()
    counts = re.findall(r'vallum_exchanges_total\{worker="(\d)".*\} (\d+)\.0', metrics)
    assert {worker for worker, _ in counts} == {"0", "1"}, "the kernel spreads connections"
    assert sum(int(count) for _, count in counts) == 40
    assert metrics.count("# TYPE vallum_exchanges_total counter") == 1
    assert set(re.findall(r"vallum_counter_store_(?:up|nodes)\{worker=\S+ (\S+)", metrics)) <= {"1.0", "2.0"}
    for answer in answers[::10]:
        code, said = await served.command("why", answer.id, "--json")
        assert (code, json.loads(said)["request_id"]) == (0, answer.id)


async def test_what_is_in_hand_ends_and_nothing_is_left(
    opened: Opener, serving: Server, eventually: Callable[..., Awaitable[Any]]
) -> None:
    released = asyncio.Event()

    async def speak(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        await released.wait()
        body = b'{"prediction": "a"}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()

    raw = await opened.raw(speak)
    served = await serving(POLICY, upstream=raw.url)
    key = served.issue("alice", SCOPE)
    asked = [asyncio.ensure_future(served.ask(key)) for _ in range(8)]
    await eventually(lambda: len(raw.requests) == 8)
    pids = children(served.process.pid)
    assert len(pids) == 3
    served.signal(signal.SIGTERM)
    with pytest.raises(ConnectionError):
        await knock(served)
    assert not any(task.done() for task in asked)
    released.set()
    assert [(await task).status for task in asked] == [200] * 8
    assert await served.ended() == 0
    assert not any(alive(pid) for pid in pids)
    assert "Traceback" not in served.said


async def test_a_reload_reaches_all(serving: Server, eventually: Callable[..., Awaitable[Any]]) -> None:
    served = await serving(POLICY)
    key = served.issue("alice", SCOPE)
    assert set(await statuses(served, key, 20)) == {200}
    served.policy.write_text(POLICY.replace("predict:read", "predict:write"))
    served.signal(signal.SIGHUP)
    await eventually(lambda: served.said.count("is in force") >= 2)
    assert set(await statuses(served, key, 20)) == {403}
    served.policy.write_text("version: 2\n")
    await eventually(lambda: served.said.count("stays in force") >= 2)
    for pid in workers(served):
        os.kill(pid, signal.SIGKILL)
    await eventually(lambda: len(workers(served)) == 2)
    assert set(await statuses(served, key, 20)) == {403}, "a new worker has the policy that last held"


# --- deaths


async def test_a_worker_that_dies_is_missed_by_nobody_and_comes_back(
    serving: Server, eventually: Callable[..., Awaitable[Any]]
) -> None:
    served = await serving(POLICY)
    key = served.issue("alice", SCOPE)
    before = workers(served)
    os.kill(before[0], signal.SIGKILL)
    assert await statuses(served, key, 40) == [200] * 40, "who waited on its socket is served by the next one"
    await eventually(lambda: len(workers(served)) == 2)
    assert before[0] not in workers(served)
    assert before[1] in workers(served)
    await until(lambda: is_ready(served))
    assert "worker 0 has died" in served.said


async def test_a_worker_that_keeps_dying_is_started_ever_more_slowly(
    serving: Server, eventually: Callable[..., Awaitable[Any]]
) -> None:
    served = await serving(POLICY)
    for times in range(1, 4):
        victim = min(workers(served))
        os.kill(victim, signal.SIGKILL)
        await eventually(lambda times=times: served.said.count("has died") == times)
        await eventually(lambda: len(workers(served)) == 2)
    pauses = [float(pause) for pause in re.findall(r"starts in ([\d.]+) s", served.said)]
    assert pauses[0] == 0.1
    assert max(pauses) > 0.1


async def test_counters_that_die_are_started_again_and_nobody_waits(
    serving: Server, eventually: Callable[..., Awaitable[Any]]
) -> None:
    served = await serving(POLICY)
    key = served.issue("alice", SCOPE)
    assert set(await statuses(served, key, 10)) == {200}
    os.kill(store(served), signal.SIGKILL)
    assert set(await statuses(served, key, 40)) == {200}
    await served.wait_said("the embedded counter store had died")

    async def counted() -> bool:
        metrics = (await served.look("/metrics")).body.decode()
        return re.findall(r"vallum_counter_store_up\{.*\} (\S+)", metrics) == ["1.0", "1.0"]

    await until(counted)
    assert set(await statuses(served, key, 10)) == {200}


async def test_workers_and_their_store_end_with_their_supervisor(
    serving: Server, eventually: Callable[..., Awaitable[Any]]
) -> None:
    served = await serving(POLICY)
    pids = children(served.process.pid)
    served.signal(signal.SIGKILL)
    await eventually(lambda: not any(alive(pid) for pid in pids))


# --- not beginning


async def refused(serving: Server, policy: str) -> tuple[int, str]:
    """Start what does not come up; return its exit code and what it said."""
    with pytest.raises(AssertionError) as caught:
        await serving(policy)
    said = str(caught.value)
    for served in serving.started:
        return await served.ended(), served.said
    raise AssertionError(said)


async def test_counters_in_memory_are_refused_for_several_workers(serving: Server) -> None:
    code, said = await refused(serving, POLICY + "counters: memory://\n")
    assert code == 2
    assert "2 workers cannot share counters in memory" in said
    assert "counters: embedded://" in said


@pytest.mark.parametrize("count", [1, 2])
async def test_a_store_that_cannot_be_had_ends_the_start(serving: Server, count: int) -> None:
    policy = POLICY.replace("workers: 2", f"workers: {count}") + 'counters: "redis://:s3cret@127.0.0.1:1"\n'
    code, said = await refused(serving, policy)
    assert code == 3, said
    assert "the counter store at 127.0.0.1:1 cannot be reached" in said
    assert "s3cret" not in said
    assert "Traceback" not in said


async def test_a_port_that_another_has_is_not_shared_by_mistake(serving: Server) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        policy = POLICY.replace('"${VALLUM_LISTEN}"', f'"127.0.0.1:{other.getsockname()[1]}"')
        code, said = await refused(serving, policy)
    assert code == 3, said
    assert "cannot listen" in said


def test_sockets_of_one_address_are_open_together() -> None:
    first = open_door("127.0.0.1:0")
    second = open_door("{}:{}".format(*first.getsockname()))
    assert first.getsockname() == second.getsockname()
    first.close()
    second.close()
    with pytest.raises(OSError):
        open_door("192.0.2.1:80")


def test_a_server_is_found_or_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.access(find_server(), os.X_OK)
    monkeypatch.setattr("vallum.stores.embedded.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Exception, match=r"pip install 'vallum\[workers\]'"):
        find_server()
