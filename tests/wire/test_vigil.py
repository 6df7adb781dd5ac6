"""What is known of a thief, by real gateways: on every worker, on every node, and after every kind of end."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from tests.clock import read_clock

from vallum.core.extraction import Extraction, Grade, Terms
from vallum.extraction.facts import Findings, Named
from vallum.extraction.shared_watch import SharedWatch
from vallum.stores.seal import Seal
from vallum.stores.watch_file import WatchFile
from vallum.vigil.post import Posts

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Valkey
    from tests.wire.conftest import Opener, Raw, Served, Server

    from vallum.vigil.replica import Replica

SEED = "a secret of the fleet"
pytestmark = pytest.mark.timeout(240)  # gateways come and go

SCOPE = "predict:read"
THIEF = "thief"
TERMS = Terms(grades=frozenset({Grade.ALERT, Grade.COARSER, Grade.REFUSED}), first=Grade.REFUSED)
RULE = Extraction("digits", "vector", lambda _: (), seed=SEED.encode, terms=TERMS)
POLICY = """
version: 1
listen: {address: "${VALLUM_LISTEN}", drain_s: 5}
admin: {address: "${VALLUM_ADMIN}"}
registry: "${VALLUM_REGISTRY}"
counters: "${VALLUM_COUNTERS:-memory://}"
upstreams: {model: {url: "${VALLUM_UPSTREAM}", timeout_s: 10}}
authenticators: {keys: {type: api_key}}
routes:
  - name: digits
    match: {methods: [POST], path: /api/v1/predict}
    upstream: model
    auth: {any_of: [keys], scopes: ["predict:read"]}
    quotas: [1000 per minute]
    request: {features: {path: input, kind: vector}}
    response: {fields: [prediction]}
    extraction: {model: digits, respond: deny, seed: "${WATCH_SEED}"}
"""
WORKERS = POLICY.replace('counters: "${VALLUM_COUNTERS:-memory://}"', "workers: 2")


async def classify(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
    body = b'{"prediction": 1}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    while True:
        await raw.request(reader)
        writer.write(head + body)


@pytest.fixture
async def model(opened: Opener) -> str:
    return (await opened.raw(classify)).url


def knowing(now: float) -> SharedWatch:
    """Make a watch that has named the thief."""
    watch = SharedWatch(SEED.encode())
    watch.govern(RULE)
    named = (Named(f"subject\x1f{THIEF}", "c1", 9.0, established=False),)
    for step in range(2):
        watch.ladder.update(Findings(now + step, named=named, calibrated=True), now + step)
    return watch


def keep(folder: Path, now: float) -> WatchFile:
    file = WatchFile(folder / "vallum.watch" / "digits.vector.watch")
    file.save(Seal(SEED.encode(), "digits.vector").close(knowing(now).capture()()))
    return file


async def asked(served: Served, compose: Callable[..., bytes], subject: str, times: int = 1) -> set[int]:
    """Ask on connections of their own, and return the statuses."""
    key = served.issue(subject, SCOPE)
    ask = compose(key=key, input=[1.0, 2.0])
    return {answer.status for answer in await asyncio.gather(*(served.exchange(ask) for _ in range(times)))}


async def end(served: Served, number: signal.Signals) -> None:
    served.signal(number)
    await served.ended()


@pytest.mark.parametrize("policy", [POLICY, WORKERS], ids=["one process", "two workers"])
async def test_who_was_named_is_refused_by_every_worker_and_after_every_end(
    serving: Server, model: str, tmp_path: Path, request_bytes: Callable[..., bytes], policy: str
) -> None:
    keep(tmp_path, read_clock())
    served = await serving(policy, upstream=model, WATCH_SEED=SEED)
    for number in (signal.SIGTERM, signal.SIGKILL):
        assert await asked(served, request_bytes, THIEF, 12) == {429}
        assert await asked(served, request_bytes, "alice", 4) == {200}
        await end(served, number)
        await served.start()
    assert await asked(served, request_bytes, THIEF, 12) == {429}


async def test_a_broken_file_is_said_loudly_and_nobody_is_refused(
    serving: Server, model: str, tmp_path: Path, request_bytes: Callable[..., bytes]
) -> None:
    file = keep(tmp_path, read_clock())
    file.path.write_bytes(file.path.read_bytes()[:-1])
    served = await serving(POLICY, upstream=model, WATCH_SEED=SEED)
    await served.wait_said("WHAT WAS KNOWN OF digits IS LOST")
    assert SEED not in served.said
    assert await asked(served, request_bytes, THIEF) == {200}


async def test_a_reload_forgets_nothing(
    serving: Server, model: str, tmp_path: Path, request_bytes: Callable[..., bytes]
) -> None:
    keep(tmp_path, read_clock())
    served = await serving(POLICY, upstream=model, WATCH_SEED=SEED)
    served.policy.write_text(POLICY.replace("1000 per minute", "999 per minute"))
    served.signal(signal.SIGHUP)
    await served.wait_said("is in force")
    assert await asked(served, request_bytes, THIEF) == {429}


class Outsider:
    """A replica in the test's own process, on a clock of its own."""

    def __init__(self, url: str, watch: SharedWatch) -> None:
        self.now = 0.0
        self.watch = watch
        self._posts = Posts(url, None, lambda: self.now)
        post = self._posts.make(RULE, watch, self._at_once)
        assert post.replica is not None
        self.replica: Replica = post.replica

    @staticmethod
    async def _at_once(function: Callable[..., Any], *words: Any) -> Any:
        return function(*words)

    async def exchange(self, step_s: float = 30.0) -> None:
        self.now += step_s
        await self.replica.exchange()

    def close(self) -> None:
        self._posts.close()


async def test_nodes_know_what_each_has_seen_and_whom_one_has_named(
    serving: Server, model: str, valkey: Valkey, request_bytes: Callable[..., bytes]
) -> None:
    first = Outsider(valkey.url, knowing(read_clock()))
    await first.exchange()
    await first.replica.close()
    more = {"WATCH_SEED": SEED, "VALLUM_COUNTERS": f"{valkey.url}?timeout_ms=5000"}
    nodes = [await serving(POLICY, upstream=model, **more) for _ in range(2)]
    for node in nodes:
        assert await asked(node, request_bytes, THIEF) == {429}
        for name in ("alice", "bob"):
            assert await asked(node, request_bytes, name, 3) == {200}
    for node in nodes:
        await end(node, signal.SIGTERM)
    await first.exchange(1.0)
    kept = first.watch._reservoirs["vector"]
    assert kept.accounts == {"subject\x1falice", "subject\x1fbob"}
    assert len(kept) == 12
    first.close()
