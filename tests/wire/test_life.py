"""The command's life: start, reload, drain, crash, revocation, and what is left to read of each exchange."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from vallum.core.apikey import DEFAULT_PREFIX, compose_key
from vallum.gateway import freeze_loaded

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.wire.conftest import Client, Opener, Raw, Served, Server

    Compose = Callable[..., bytes]

POLICY = """
version: 1
listen: {address: "${VALLUM_LISTEN}", drain_s: 5}
admin: {address: "${VALLUM_ADMIN}"}
registry: "${VALLUM_REGISTRY}"
upstreams: {model: {url: "${VALLUM_UPSTREAM}", timeout_s: 10}}
authenticators: {keys: {type: api_key}}
routes:
  - name: predict
    match: {methods: [POST], path: /api/v1/predict}
    upstream: model
    auth: {any_of: [keys], scopes: ["predict:read"]}
    response: {fields: [prediction]}
"""
SCOPE = "predict:read"


class Held:
    """An upstream that answers when it is told to."""

    def __init__(self, size: int = 0) -> None:
        self.released = asyncio.Event()
        self.body = b'{"prediction": "' + b"a" * size + b'"}'

    async def __call__(self, raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await raw.request(reader)
            await self.released.wait()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % len(self.body) + self.body)
            await writer.drain()


def read_records(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("vallum.records/*"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


async def knock(served: Served) -> None:
    """Connect again and again, until that fails."""
    for _ in range(500):
        (await served.connect()).close()
        await asyncio.sleep(0.01)


async def ask(client: Client, data: bytes) -> Any:
    await client.send(data)
    return await client.answer()


# --- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_is_in_hand_ends_before_the_process(
    opened: Opener,
    serving: Server,
    request_bytes: Compose,
    eventually: Callable[..., Awaitable[Any]],
    number: signal.Signals,
) -> None:
    held = Held()
    raw = await opened.raw(held)
    served = await serving(POLICY, upstream=raw.url)
    key = served.issue("alice", SCOPE)
    busy, idle = await served.connect(), await served.connect()
    asked = asyncio.ensure_future(ask(busy, request_bytes(key=key, input_text="a")))
    await eventually(lambda: raw.requests)
    served.signal(number)
    assert await idle.ended() == b""  # who waits for nothing is let go at once
    with pytest.raises(ConnectionError):
        await knock(served)
    assert not asked.done()
    held.released.set()
    answer = await asked
    assert (answer.status, answer.json()) == (200, {"prediction": ""})
    assert answer.get("connection") == "close"
    assert await busy.ended() == b""
    assert await served.ended() == 0
    records = read_records(served.folder)
    assert [(r["request_id"], r["status"]) for r in records] == [(answer.id, 200)]
    assert "Traceback" not in served.said


async def test_a_large_answer_in_hand_arrives_whole(
    opened: Opener, serving: Server, request_bytes: Compose, eventually: Callable[..., Awaitable[Any]]
) -> None:
    """The exchange may be over for the gateway while its answer still waits for a slow client."""
    held = Held(6_000_000)
    raw = await opened.raw(held)
    served = await serving(POLICY, upstream=raw.url)
    key = served.issue("alice", SCOPE)
    client = await type(await served.connect()).connect(served.port, buffer_bytes=4096)
    await client.send(request_bytes(key=key, input_text="a"))
    await eventually(lambda: raw.requests)
    held.released.set()
    status, _, _ = await client.head()
    assert status == 200
    served.signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        body = await client.reader.readexactly(len(held.body.replace(b": ", b":")))
    assert body.endswith(b'a"}')
    assert await served.ended() == 0


async def test_what_does_not_end_is_cut_after_a_while_and_recorded(
    opened: Opener, serving: Server, request_bytes: Compose, eventually: Callable[..., Awaitable[Any]]
) -> None:
    held = Held()
    raw = await opened.raw(held)
    served = await serving(POLICY.replace("drain_s: 5", "drain_s: 0.2"), upstream=raw.url)
    key = served.issue("alice", SCOPE)
    client = await served.connect()
    await client.send(request_bytes(key=key, input_text="a"))
    await eventually(lambda: raw.requests)
    served.signal(signal.SIGTERM)
    assert await client.ended() == b""
    assert await served.ended() == 0
    records = read_records(served.folder)
    assert [(r["route"], r["status"]) for r in records] == [("predict", None)]
    assert "Traceback" not in served.said


async def test_the_bounds_on_time_hold_to_the_end(
    opened: Opener, serving: Server, request_bytes: Compose, eventually: Callable[..., Awaitable[Any]]
) -> None:
    """A silent upstream and a stalled client are not waited for longer because the gateway is on its way out."""
    raw = await opened.raw(Held())
    policy = POLICY.replace("timeout_s: 10", "timeout_s: 0.4").replace("drain_s: 5", "drain_s: 5, body_timeout_s: 0.4")
    served = await serving(policy, upstream=raw.url)
    key = served.issue("alice", SCOPE)
    waiting, stalled = await served.connect(), await served.connect()
    headers = (("Content-Type", "application/json"), ("Content-Length", "100"))
    await stalled.send(request_bytes(key=key, headers=headers) + b"{")
    await waiting.send(request_bytes(key=key, input_text="a"))
    await eventually(lambda: raw.requests)
    loop = asyncio.get_running_loop()
    began = loop.time()
    served.signal(signal.SIGTERM)
    (await waiting.answer()).check_refusal(504, "upstream_timeout")
    (await stalled.answer()).check_refusal(408, "request_timeout")
    waiting.close()
    stalled.close()
    assert await served.ended() == 0
    assert loop.time() - began < 3


async def test_keys_outlive_a_crash(serving: Server) -> None:
    served = await serving(POLICY)
    key, other = served.issue("alice", SCOPE), served.issue("bob", SCOPE)
    assert (await served.ask(key)).status == 200
    served.signal(signal.SIGKILL)
    assert await served.ended() == -signal.SIGKILL
    await served.start()
    assert (await served.ask(key)).status == 200
    assert (await served.ask(other)).status == 200
    assert (await served.ask(compose_key(os.urandom(32), DEFAULT_PREFIX))).status == 401


# --- operators


async def test_health_readiness_and_metrics(serving: Server, request_bytes: Compose) -> None:
    served = await serving(POLICY)
    key = served.issue("alice", SCOPE)
    for path, body in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
        answer = await served.look(path)
        assert (answer.status, answer.body) == (200, body)
    assert (await served.look("/")).status == 404
    assert (await served.look("/api/v1/predict")).status == 404
    await served.ask(key)
    await served.exchange(request_bytes(input_text="a"))
    await served.exchange(request_bytes("GET", f"/{key}"), "GET")
    text = (await served.look("/metrics")).body.decode()
    for line in (
        'vallum_exchanges_total{decision="allow",reason="",route="predict",status="200"} 1.0',
        'vallum_exchanges_total{decision="challenge",reason="unauthenticated",route="predict",status="401"} 1.0',
        'vallum_exchanges_total{decision="deny",reason="not_found",route="",status="404"} 1.0',
        'vallum_gateway_seconds_count{route="predict"} 2.0',
    ):
        assert line in text, text
    assert "alice" not in text
    assert key not in text


async def test_the_operators_listener_is_not_the_door(serving: Server, request_bytes: Compose) -> None:
    served = await serving(POLICY)
    for path in ("/metrics", "/healthz", "/readyz"):
        answer = await served.exchange(request_bytes("GET", path), "GET")
        answer.check_refusal(404, "not_found")


async def test_not_ready_while_it_drains(
    opened: Opener, serving: Server, request_bytes: Compose, eventually: Callable[..., Awaitable[Any]]
) -> None:
    """Whoever balances load learns it over a connection that it already has."""
    held = Held()
    raw = await opened.raw(held)
    served = await serving(POLICY, upstream=raw.url)
    key = served.issue("alice", SCOPE)
    client = await served.connect()
    await client.send(request_bytes(key=key, input_text="a"))
    await eventually(lambda: raw.requests)
    watcher = await type(client).connect(served.admin_port)
    await watcher.send(request_bytes("GET", "/readyz"))
    assert (await watcher.answer("GET")).status == 200
    served.signal(signal.SIGTERM)
    status = 200
    while status == 200:
        await watcher.send(request_bytes("GET", "/readyz"))
        status = (await watcher.answer("GET")).status
    assert status == 503
    held.released.set()
    assert (await client.answer()).status == 200
    assert await served.ended() == 0


# --- reload


async def test_sighup_and_a_changed_file_swap_the_policy(serving: Server, request_bytes: Compose) -> None:
    served = await serving(POLICY)
    key = served.issue("alice", SCOPE)
    assert set((await served.ask(key)).json()) == {"prediction"}
    before = served.said.count("is in force")
    served.policy.write_text(POLICY.replace("[prediction]", "[prediction, confidence]"))
    served.signal(signal.SIGHUP)
    await served.wait_said("is in force")
    assert set((await served.ask(key)).json()) == {"prediction", "confidence"}
    served.policy.write_text(POLICY.replace("/api/v1/predict", "/api/v2/predict"))
    async with asyncio.timeout(5):
        while (await served.ask(key)).status != 404:  # noqa: ASYNC110  there is nothing to wait on but time
            await asyncio.sleep(0.02)
        while served.said.count("is in force") < before + 2:  # noqa: ASYNC110  what it says is read later than an answer
            await asyncio.sleep(0.02)
    text = (await served.look("/metrics")).body.decode()
    assert 'vallum_policy_reloads_total{outcome="swapped"} 2.0' in text


BROKEN = [
    "",
    "version: [",
    "\xff\xfe",
    POLICY.replace("methods: [POST]", "methods: [FETCH]"),
    POLICY.replace("any_of: [keys]", "any_of: [nobody]"),
    POLICY.replace("fields: [prediction]", "feilds: [prediction]"),
    POLICY.replace('"${VALLUM_UPSTREAM}"', '"http://"'),
    POLICY.replace('"${VALLUM_UPSTREAM}"', '"http://127.0.0.1:99999"'),
    POLICY.replace('"${VALLUM_UPSTREAM}"', '"http://[::1"'),
    POLICY.replace('"${VALLUM_UPSTREAM}"', '"${NOT_SET_AT_ALL}"'),
    POLICY.replace("fields: [prediction]", "fields: [prediction]\n    request: {schema: missing.json}"),
    POLICY.replace("timeout_s: 10", 'timeout_s: 10, headers: {X: "a\\nb"}'),
]


async def test_a_broken_file_keeps_the_last_good_policy(
    serving: Server, eventually: Callable[..., Awaitable[Any]]
) -> None:
    served = await serving(POLICY)
    key = served.issue("alice", SCOPE)
    for count, text in enumerate(BROKEN, 1):
        served.policy.write_bytes(text.encode("latin-1"))
        served.signal(signal.SIGHUP)
        await eventually(lambda count=count: served.said.count("the last good one stays in force") >= count)
        assert (await served.ask(key)).status == 200, text
        assert served.process.returncode is None, served.said
    assert "Traceback" not in served.said
    served.policy.write_text(POLICY.replace("[prediction]", "[confidence]"))
    await served.wait_said("is in force")
    assert set((await served.ask(key)).json()) == {"confidence"}


async def test_a_reload_holds_nobody_up(serving: Server) -> None:
    """Checks take seconds to compile: requests are answered by the old policy meanwhile."""
    served = await serving(POLICY)
    key = served.issue("alice", SCOPE)
    served.policy.write_text(POLICY + "    checks: [{type: prompt_injection}]\n")
    served.signal(signal.SIGHUP)
    loop = asyncio.get_running_loop()
    signalled = loop.time()
    took: list[float] = []
    while "is in force" not in served.said:
        began = loop.time()
        assert (await served.ask(key)).status == 200
        took.append(loop.time() - began)
    assert len(took) > 10
    assert max(took) < (loop.time() - signalled) / 2, "one request waited for most of the reload"


async def test_a_file_that_goes_and_comes_back(serving: Server) -> None:
    served = await serving(POLICY)
    key = served.issue("alice", SCOPE)
    served.policy.rename(served.policy.with_suffix(".away"))
    await served.wait_said("the last good one stays in force")
    assert (await served.ask(key)).status == 200
    served.policy.with_suffix(".away").rename(served.policy)
    await served.wait_said("is in force")
    assert (await served.ask(key)).status == 200


async def test_an_exchange_sees_one_policy_from_start_to_end(
    opened: Opener, serving: Server, request_bytes: Compose, eventually: Callable[..., Awaitable[Any]]
) -> None:
    held = Held()
    raw = await opened.raw(held)
    served = await serving(POLICY, upstream=raw.url)
    key = served.issue("alice", SCOPE)
    client = await served.connect()
    await client.send(request_bytes(key=key, input_text="a"))
    await eventually(lambda: raw.requests)
    served.policy.write_text(POLICY.replace("[prediction]", "[nothing]").replace("timeout_s: 10", "timeout_s: 9"))
    served.signal(signal.SIGHUP)
    await served.wait_said("is in force")
    held.released.set()
    assert (await client.answer()).json() == {"prediction": ""}
    assert (await served.ask(key)).json() == {}


# --- wrong use


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (POLICY.replace("version: 1", "version: 2"), 2),
        (POLICY.replace('"${VALLUM_UPSTREAM}"', '"http://"'), 2),
        (POLICY.replace('"${VALLUM_UPSTREAM}"', '"http://127.0.0.1:99999"'), 2),
        (POLICY.replace('"${VALLUM_LISTEN}"', '"nonsense"'), 2),
        (POLICY.replace('"${VALLUM_ADMIN}"', '"127.0.0.1:99999"'), 2),
        (POLICY.replace('"${VALLUM_LISTEN}"', '"203.0.113.1:80"'), 3),
        (POLICY.replace('"${VALLUM_REGISTRY}"', '"sqlite:////nowhere/at/all/x.db"'), 3),
    ],
)
async def test_what_cannot_be_served_is_said_in_a_sentence(serving: Server, text: str, code: int) -> None:
    with pytest.raises(AssertionError) as failed:
        await serving(text)
    served = failed.traceback[-1].frame.f_locals["self"]
    assert await served.ended() == code, served.said
    assert "Traceback" not in served.said, served.said
    assert served.said.strip()


# --- keys and records


async def test_a_revoked_key_is_refused_within_a_second(serving: Server) -> None:
    served = await serving(POLICY)
    code, text = await served.command("keys", "create", "--subject", "alice", "--scope", SCOPE, "--json")
    assert code == 0, text
    made = json.loads(text)
    assert set(made) >= {"id", "key", "subject", "scopes", "expires_at"}
    assert (await served.ask(made["key"])).status == 200
    code, text = await served.command("keys", "verify", stdin=made["key"].encode() + b"\n")
    assert code == 0, text
    code, text = await served.command("keys", "revoke", made["id"])
    assert code == 0, text
    async with asyncio.timeout(1):
        while (await served.ask(made["key"])).status != 401:  # noqa: ASYNC110  there is nothing to wait on but time
            await asyncio.sleep(0.02)
    code, text = await served.command("keys", "verify", stdin=made["key"].encode() + b"\n")
    assert code == 1, text


async def test_a_key_made_while_it_runs_works_at_once(serving: Server) -> None:
    served = await serving(POLICY)
    key = compose_key(os.urandom(32), DEFAULT_PREFIX)
    assert (await served.ask(key)).status == 401
    assert (await served.ask(served.issue("new", SCOPE))).status == 200


async def test_why_explains_a_refusal_by_its_id(serving: Server) -> None:
    served = await serving(POLICY)
    key = served.issue("alice", "other")
    answer = await served.ask(key)
    problem = answer.check_refusal(403, "insufficient_scope")
    code, text = await served.command("why", problem["request_id"])
    assert code == 0, text
    for word in ("403", "insufficient_scope", "authorise", "missing scope", SCOPE, "alice", "predict"):
        assert word in text, text
    code, text = await served.command("why", problem["request_id"], "--json")
    assert json.loads(text)["request_id"] == answer.id
    code, text = await served.command("why", "01912f5e-7c3a-7d55-9a3e-3f0c5a1b2c3d")
    assert code == 1
    assert "Traceback" not in text


async def test_no_record_and_no_log_holds_a_key_or_a_body(serving: Server, request_bytes: Compose) -> None:
    served = await serving(POLICY)
    key = served.issue("alice", SCOPE)
    wrong = compose_key(os.urandom(32), DEFAULT_PREFIX)
    canary = "canary-9f31"
    json_type = (("Content-Type", "application/json"),)
    for data in (
        request_bytes(key=key, input_text=canary),
        request_bytes(key=wrong, input_text=canary),
        request_bytes(key=key[:-1], input_text=canary),
        request_bytes(key=key, body=b'{"' + canary.encode(), headers=json_type),
        request_bytes(key=key, body=b'{"a": "' + canary.encode() + b'" x}', headers=json_type),
        request_bytes(key=key, body=f'{{"{canary}": 1, "{canary}": 2}}'.encode(), headers=json_type),
        request_bytes(key=key, body=b'{"a": "\xff' + canary.encode() + b'"}', headers=json_type),
        request_bytes("POST", f"/api/v1/predict?key={key}&q={canary}", key, input_text="a"),
        request_bytes("POST", f"/api/v1/predict?{key}={canary}", key, input_text="a"),
        request_bytes(key=key, headers=(("X-API-Key", key), ("Cookie", canary)), input_text="a"),
        request_bytes(headers=(("Authorization", f"Basic {key}"),), input_text="a"),
        request_bytes(headers=(("Authorization", f"Bearer {key} {canary}"),), input_text="a"),
        f"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\nAuthorization : {key}\r\n\r\n".encode(),
        f"POST /api/v1/predict HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n".encode(),
        f"{key} / HTTP/1.1\r\n\r\n".encode(),
    ):
        answer = await served.exchange(data)
        assert key.encode() not in answer.raw
    served.signal(signal.SIGTERM)
    assert await served.ended() == 0
    left = served.said.encode()
    for path in served.folder.rglob("*"):
        if path.is_file() and path != served.policy:
            left += path.read_bytes()
    for secret in (key, key[:-1], wrong, key.removeprefix(DEFAULT_PREFIX)[:43], canary):
        assert secret.encode() not in left, left[max(0, left.find(secret.encode()) - 300) :][:400]


async def test_a_registry_that_is_locked_does_not_stop_known_keys(serving: Server) -> None:
    served = await serving(POLICY)
    key = served.issue("alice", SCOPE)
    assert (await served.ask(key)).status == 200
    database = sqlite3.connect(served.folder / "vallum.db", isolation_level=None)
    database.execute("begin exclusive")
    try:
        for _ in range(5):
            assert (await served.ask(key)).status == 200
    finally:
        database.execute("rollback")
        database.close()


# --- without a file


async def test_serve_upstream_prints_a_first_key_once(serving: Server, request_bytes: Compose) -> None:
    served = await serving("", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0")
    await served.wait_said(DEFAULT_PREFIX)
    key = next(line.strip() for line in served.said.splitlines() if line.startswith(DEFAULT_PREFIX))
    answer = await served.exchange(request_bytes("GET", "/v1/models", key), "GET")
    answer.check_refusal(502, "upstream_error", "error")
    served.signal(signal.SIGTERM)
    assert await served.ended() == 0
    await served.start("--upstream", served.model.url)
    assert DEFAULT_PREFIX not in served.said
    assert (await served.exchange(request_bytes("GET", "/v1/models", key), "GET")).status == 200


def test_what_was_loaded_is_left_out_of_the_search_for_garbage() -> None:
    before, thresholds = gc.get_freeze_count(), gc.get_threshold()
    try:
        freeze_loaded()
        assert gc.get_freeze_count() > before
        assert gc.get_threshold()[0] > thresholds[0]
        assert gc.isenabled()  # circles that are made from here on are still found
    finally:
        gc.set_threshold(*thresholds)
