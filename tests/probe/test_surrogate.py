"""The small copy: it learns what answers give away, and does not claim what it cannot know."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from vallum.adapters.proxy.server import Listener
from vallum.probe.surrogate import make_copy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.probe.conftest import Guard, Prober

    from vallum.adapters.proxy.incoming import Incoming

    Model = Callable[[list[float]], Any]

ROW = {"instances": [[5.1, 3.5, 1.4]]}
KINDS = ("setosa", "versicolor", "virginica")
POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
admin: {address: "127.0.0.1:0"}
routes:
  - name: predict
    match: {methods: [POST], path: /predict}
    upstream: model
    auth: {any_of: [keys]}
    quotas: [QUOTA]
"""


def kind(row: list[float]) -> str:
    side = row[0] + row[1] - row[2]
    return KINDS[(side > 6) + (side > 9)]


def guess(row: list[float]) -> str:
    return KINDS[int(random.Random(str(row)).random() * 3)]


@asynccontextmanager
async def run_table(model: Model) -> AsyncIterator[str]:
    async def serve(incoming: Incoming) -> None:
        body = await incoming.read_body(1 << 16)
        assert isinstance(body, bytes)
        document = {"id": random.getrandbits(64), "kind": model(json.loads(body)["instances"][0])}
        await incoming.answer(200, [("content-type", "application/json")], json.dumps(document).encode())

    listener = Listener(serve)
    server = await asyncio.get_running_loop().create_server(listener.connect, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await listener.drain(0.1)


@pytest.mark.parametrize(("model", "verdict"), [(kind, "weak"), (guess, "held"), (lambda _: "one", "untested")])
async def test_a_copy_is_as_good_as_what_can_be_learnt(probed: Prober, model: Model, verdict: str) -> None:
    async with run_table(model) as url:
        seen = await probed(f"{url}/predict", ROW, only=["extraction.surrogate"], surrogate=200)
    finding = seen.findings["extraction.surrogate"]
    assert finding.verdict == verdict, seen.why()
    assert seen.session.budget.sent <= 202
    if verdict != "untested":
        assert "200 queries agrees on" in finding.outcome.sentence


@pytest.mark.parametrize(("quota", "verdict"), [("1000 per minute", "weak"), ("10 per minute", "untested")])
async def test_a_quota_is_what_stops_it(probed: Prober, guard: Guard, quota: str, verdict: str) -> None:
    async with run_table(kind) as url, guard(POLICY.replace("QUOTA", quota), url) as door:
        seen = await probed(
            f"http://127.0.0.1:{door.port}/predict", ROW, keys=(door.key,), only=["extraction.surrogate"], surrogate=200
        )
    assert seen.findings["extraction.surrogate"].verdict == verdict, seen.why()


async def test_texts_are_not_varied(probed: Prober) -> None:
    async with run_table(kind) as url:
        document = {**ROW, "instances": [["a", "b", "c"]]}
        seen = await probed(f"{url}/predict", document, only=["extraction.surrogate"], surrogate=50)
    assert seen.untested == {"extraction.surrogate"}, seen.why()


@pytest.mark.parametrize(
    "answer",
    [
        lambda side: {"outputs": [[0.9, 0.1] if side else [0.2, 0.8]]},
        lambda side: {"score": 0.7 if side else 0.2},
        lambda side: {"flag": side},
        lambda side: {"class": int(side), "model": "m"},
    ],
    ids=["shares", "a score", "a flag", "a class"],
)
def test_labels_of_every_kind(answer: Any) -> None:
    chance = random.Random(1)
    inputs = [[chance.uniform(-1, 1), chance.uniform(-1, 1)] for _ in range(120)]
    copied = make_copy(inputs, [answer(first > second) for first, second in inputs])
    assert copied is not None
    assert copied.agreement > 0.85 > copied.commonest


def test_answers_without_a_label_make_no_copy() -> None:
    assert make_copy([[float(number)] for number in range(40)], [{"text": str(number)} for number in range(40)]) is None
