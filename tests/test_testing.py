"""The gateway in memory, and the clock that never waits."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.extraction import Grade, Verdict
from vallum.core.principal import Principal
from vallum.extraction.shared_watch import SharedWatch
from vallum.extraction.watchers import Watchers
from vallum.testing import EPOCH_S, Call, MemoryGateway, Reply, run

if TYPE_CHECKING:
    from vallum.testing import Told

POLICY = """version: 1
upstreams: {model: {url: "http://127.0.0.1:9", timeout_s: 60}}
authenticators: {keys: {type: api_key}, anybody: {type: anonymous}}
routes:
  - name: predict
    match: {methods: [POST], path: /predict}
    upstream: model
    auth: {any_of: [keys], scopes: ["predict:read"]}
    quotas: [1 per minute]
    request: {features: {path: x, kind: vector}}
    response: {fields: [label, confidence], confidence: {field: confidence, round: 2}}
    extraction: {watch: true, respond: graduated}
  - name: open
    match: {methods: [POST], path: /open}
    upstream: model
    auth: {any_of: [anybody]}
"""
ALICE = Principal("alice")
BODY = json.dumps({"x": [1.0, 2.0]}).encode()
LABEL = Reply(200, [("content-type", "application/json")], b'{"label": "cat", "confidence": 0.71234, "logits": [1]}')


def gateway(answer: Any = lambda _: LABEL) -> MemoryGateway:
    return MemoryGateway(load_policy(parse_source(Path("p.yaml"), POLICY.encode(), {}))[1], answer)


def test_the_whole_policy_holds_for_whoever_is_named() -> None:
    calls: list[Call] = []

    async def main() -> list[Told]:
        def answer(call: Call) -> Reply:
            calls.append(call)
            return LABEL

        house = gateway(answer)
        told = [await house.ask("POST", "/predict", BODY, who=ALICE) for _ in range(2)]
        await asyncio.sleep(120)
        told.append(await house.ask("POST", "/predict", BODY, who=ALICE))
        told.append(await house.ask("POST", "/predict", BODY))
        told.append(await house.ask("POST", "/open", b"{}"))
        return told

    began = time.monotonic()
    told = run(main())
    assert [one.status for one in told] == [200, 429, 200, 401, 200]
    assert json.loads(told[0].body) == {"label": "cat", "confidence": 0.71}
    assert told[0].record["subject"] == "alice"
    assert [call.body for call in calls[:1]] == [BODY]
    assert time.monotonic() - began < 30, "two minutes pass at once"


def test_an_upstream_takes_its_time_and_no_more_than_it_may() -> None:
    async def main() -> tuple[int | None, float, int | None]:
        house = gateway()
        slow = await house.ask("POST", "/predict", BODY, who=ALICE, reply=LABEL._replace(after_s=30))
        at = house.clock()
        late = await house.ask("POST", "/predict", BODY, who=Principal("bob"), reply=LABEL._replace(after_s=600))
        return slow.status, at, late.status

    status, at, late = run(main())
    assert (status, late) == (200, 504)
    assert at == pytest.approx(30)


def test_what_the_watch_says_holds_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = Verdict(Grade.COARSER, coarsen=2, evidence="one of many")
    monkeypatch.setattr(Watchers, "judge", lambda *_: verdict)

    async def main() -> Told:
        return await gateway().ask("POST", "/predict", BODY, who=ALICE)

    told = run(main())
    assert json.loads(told.body) == {"label": "cat", "confidence": 0.7}
    assert told.record["extraction"]["grade"] == "coarser"
    assert told.record["coarsened"] == 2


def test_every_query_is_shown_to_the_watch_and_it_sweeps_by_the_virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Any] = []
    swept: list[float] = []
    monkeypatch.setattr(SharedWatch, "note", lambda _, query: noted.append(query))
    monkeypatch.setattr(SharedWatch, "sweep_due", lambda *_: len(noted) % 2 == 0)
    monkeypatch.setattr(SharedWatch, "sweep", lambda _, now: swept.append(now))

    async def main() -> None:
        house = gateway()
        for number in range(4):
            await house.ask("POST", "/predict", BODY, who=Principal(f"user-{number}"))
            await asyncio.sleep(100)

    run(main())
    assert [query.account.name for query in noted] == [f"subject\x1fuser-{number}" for number in range(4)]
    assert noted[0].inputs == ([1.0, 2.0],)
    assert swept == pytest.approx([EPOCH_S + 100, EPOCH_S + 300])


def test_who_waits_for_nothing_is_told() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="never happen"):
        run(main())
