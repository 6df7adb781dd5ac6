"""`examples/vision.yaml` through sockets: what it promises as it stands, and what verdicts do to callers of it.

The model is a small real classifier of 8x8 digits.  Whom a sweep would name is said by hand: what is tested here is
what becomes of them.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
import pytest_asyncio
from tests.clock import read_clock

from vallum.client import answer_challenge, solve
from vallum.core.errors import DependencyError
from vallum.core.extraction import Account, Pardon, Query, Terms, Verdict
from vallum.extraction.facts import Findings, Named
from vallum.extraction.watch import Watch

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Callable

    from tests.wire.conftest import Answer, Door, Opener, Raw, Served, Server

ROOT = Path(__file__).parents[2]
VISION = ROOT / "examples" / "vision.yaml"
PATH = "/digits-mlp/predict"
CHANCE = random.Random(7)
WEIGHTS = [[CHANCE.gauss(0, 0.2) for _ in range(64)] for _ in range(10)]


def digit(seed: int) -> list[float]:
    chance = random.Random(seed)
    return [round(chance.random(), 3) for _ in range(64)]


def predict(pixels: list[float]) -> dict[str, Any]:
    logits = [sum(w * p for w, p in zip(row, pixels, strict=True)) for row in WEIGHTS]
    powers = [math.exp(logit) for logit in logits]
    shares = [power / sum(powers) for power in powers]
    best = max(shares)
    return {"prediction": shares.index(best), "confidence": best, "probabilities": shares, "logits": logits}


async def classify(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
    while True:
        request = await raw.request(reader)
        given = json.loads(request.partition(b"\r\n\r\n")[2])["input"]
        answer = [predict(one) for one in given] if isinstance(given[0], list) else predict(given)
        body = json.dumps(answer).encode()
        head = (
            f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-model: mlp\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)


class Told(Watch):
    """A watch that is told whom a sweep has named."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms=terms)
        self.noted: list[Query] = []

    def judge(self, account: Account, now: float) -> Verdict:
        return self.ladder.verdict(account, now)

    def note(self, query: Query) -> None:
        self.noted.append(query)

    def name(self, *subjects: str, established: bool = False, cluster: str = "a", sweeps: int = 2) -> None:
        named = tuple(Named(f"subject\x1f{one}", cluster, 9.0, established) for one in subjects)
        for _ in range(sweeps):
            now = read_clock()
            self.ladder.update(Findings(now, named=named, calibrated=True), now)


class Vision:
    """A gateway with the policy, its watch, and its model."""

    def __init__(self, door: Door, raw: Raw, compose: Callable[..., bytes]) -> None:
        self.door = door
        self.raw = raw
        self.compose = compose
        rule = door.gateway.engine.policy.routes[0].extraction
        assert rule is not None
        self.watch = Told(rule.terms)
        door.gateway.vigil.watchers._watches["digits"] = self.watch

    async def ask(
        self, key: str, given: Any = None, headers: tuple[tuple[str, str], ...] = (), body: bytes | None = None
    ) -> Answer:
        if body is None:
            body = json.dumps({"input": digit(1) if given is None else given}).encode()
        fields = (("Content-Type", "application/json"), *headers)
        return await self.door.exchange(self.compose(target=PATH, key=key, body=body, headers=fields))


@pytest.fixture
def vision(opened: Opener, request_bytes: Callable[..., bytes]) -> Callable[..., Any]:
    async def start(extraction: str = "", text: str | None = None) -> Vision:
        text = text or VISION.read_text()
        if extraction:
            text = text.replace("      respond: graduated  ", f"      respond: graduated\n{extraction}  ")
        raw = await opened.raw(classify)
        return Vision(await opened(text, upstream=raw.url), raw, request_bytes)

    return start


# --- as it stands


@pytest_asyncio.fixture
async def served(make_server: type[Server], tmp_path: Path, opened: Opener) -> AsyncIterator[Served]:
    raw = await opened.raw(classify)
    async with AsyncExitStack() as stack:
        yield await make_server(stack, tmp_path)(VISION, upstream=raw.url)


async def test_the_policy_runs_unchanged(served: Served, request_bytes: Callable[..., bytes]) -> None:
    code, said = await served.command("check")
    assert (code, "graduated on vector inputs" in said) == (0, True)
    key = served.issue("alice")
    request = request_bytes(target=PATH, key=key, input=digit(1))
    answer = await served.exchange(request)
    assert answer.status == 200
    document = answer.json()
    assert set(document) == {"prediction", "confidence"}
    assert document["confidence"] == round(predict(digit(1))["confidence"], 2)
    assert b"x-model" not in answer.raw
    assert "q=2000;w=86400" in answer.get("ratelimit-policy")
    metrics = (await served.look("/metrics")).body.decode()
    assert 'vallum_extraction_accounts{grade="budget",model="digits"} 0.0' in metrics
    code, said = await served.command("extraction", "list", "--json")
    assert (code, json.loads(said)) == (0, {"accounts": [], "pardons": []})
    refused = await served.exchange(request_bytes(target=PATH, input=digit(1)))
    refused.check_refusal(401, "unauthenticated")


# --- by grade


async def test_an_established_account_is_told_a_band_and_a_named_one_the_class_alone(vision: Any) -> None:
    it = await vision()
    old, new = it.door.issue("old"), it.door.issue("new")
    it.watch.name("old", established=True, sweeps=1)
    assert (await it.ask(old)).json() == (await it.ask(new)).json(), "an alert is not noticed"
    it.watch.name("old", established=True, sweeps=1)
    it.watch.name("new", cluster="b")
    full, exact = predict(digit(1)), (await it.ask(it.door.issue("third"))).json()
    band, label = (await it.ask(old)).json(), (await it.ask(new)).json()
    assert exact["confidence"] == round(full["confidence"], 2)
    assert band["confidence"] in (0.0, 0.5, 0.7, 0.9)
    assert label == {"prediction": full["prediction"]}
    noted = it.watch.noted[-1]
    assert (noted.coarsened, noted.answer, noted.inputs) == (3, label, (digit(1),))


async def test_all_accounts_of_a_cluster_share_one_budget_exactly(vision: Any) -> None:
    it = await vision("      answers_a_day: 12")
    thieves = [f"thief-{n}" for n in range(10)]
    it.watch.name(*thieves)
    keys = [it.door.issue(name) for name in thieves] + [it.door.issue("thief-0")]  # a second key changes nothing
    answers = await asyncio.gather(*(it.ask(key, digit(n)) for n, key in enumerate(keys * 4)))
    assert sorted(answer.status for answer in answers) == [200] * 12 + [429] * 32
    refused = next(answer for answer in answers if answer.status == 429)
    refused.check_refusal(429, "quota_exceeded")
    assert 0 < int(refused.get("retry-after")) <= 90_001
    assert refused.get("x-should-retry") == "false"
    assert "cluster" not in refused.raw.decode()
    assert "extraction" not in refused.raw.decode()
    assert sum(raw.count(b"POST") for raw in it.raw.requests) == 12
    assert (await it.ask(it.door.issue("honest"))).status == 200
    record = await it.door.record(refused.id)
    assert (record["extraction"]["grade"], record["control"]) == ("budget", "extraction")
    assert "12 answers a day for a cluster" in record["detail"]


async def test_a_batch_is_as_many_answers_as_it_has_inputs(vision: Any) -> None:
    it = await vision("      answers_a_day: 12")
    it.watch.name("thief")
    key = it.door.issue("thief")
    assert (await it.ask(key, [digit(n) for n in range(13)])).status == 429
    assert (await it.ask(key, [digit(n) for n in range(10)])).status == 200
    assert (await it.ask(key, [digit(n) for n in range(3)])).status == 429
    assert (await it.ask(key, [digit(n) for n in range(2)])).status == 200
    assert (await it.ask(key)).status == 429
    assert [len(query.inputs) for query in it.watch.noted] == [10, 2]


async def test_what_a_caller_cancels_was_asked_all_the_same(vision: Any, eventually: Any) -> None:
    it = await vision("      answers_a_day: 2")
    it.watch.name("thief")
    key = it.door.issue("thief")
    for _ in range(2):
        client = await it.door.connect()
        body = json.dumps({"input": digit(1)}).encode()
        calls = len(it.raw.requests)
        await client.send(it.compose(target=PATH, key=key, body=body, headers=(("Content-Type", "application/json"),)))
        await eventually(lambda calls=calls: len(it.raw.requests) > calls)
        client.reset()
    assert (await it.ask(key)).status == 429


async def test_deny_refuses_who_is_named_and_untrusted_at_once(vision: Any) -> None:
    it = await vision(text=VISION.read_text().replace("respond: graduated", "respond: deny"))
    it.watch.name("thief")
    it.watch.name("old", established=True, cluster="b")
    refused = await it.ask(it.door.issue("thief"))
    refused.check_refusal(429, "quota_exceeded")
    assert (await it.ask(it.door.issue("old"))).status == 200
    assert it.raw.requests[1:] == []


async def test_observe_does_nothing_and_records_all(vision: Any) -> None:
    text = VISION.read_text().replace("respond: graduated", "respond: observe\n      answers_a_day: 1")
    it = await vision(text=text)
    it.watch.name("thief")
    key = it.door.issue("thief")
    first, second = await it.ask(key), await it.ask(key)
    assert first.json() == second.json()
    assert "confidence" in first.json()
    record = await it.door.record(second.id)
    assert record["extraction"]["respond"] == "observe"
    assert [one["reason"] for one in record["shadow"]] == ["quota_exceeded"]
    assert "shadow" not in await it.door.record(first.id)


# --- work

WORK = "      grades: [proof]\n      work: {bits: 8, after_days: 0.000001}"


async def suspects(vision: Any, extraction: str = WORK) -> tuple[Vision, str, str, str]:
    it: Vision = await vision(extraction)
    it.watch.name("thief", "mate")
    it.watch.ladder._now += 1
    it.watch.name("thief", "mate")
    key = it.door.issue("thief")
    refused = await it.ask(key)
    assert refused.status == 428
    return it, key, it.door.issue("mate"), refused.get("vallum-work")


async def test_an_answer_costs_work_once_for_one_account_and_one_body(vision: Any) -> None:
    it, key, mate, asked = await suspects(vision)
    body, other = (json.dumps({"input": digit(n)}).encode() for n in (1, 2))
    solved = (("Vallum-Work", solve(asked, body)),)
    for who, what in ((mate, body), (key, other)):
        stolen = await it.ask(who, headers=solved, body=what)
        assert stolen.status == 428, "another's, or of another body"
    good = await it.ask(key, headers=solved, body=body)
    assert good.status == 200
    again = await it.ask(key, headers=solved, body=body)
    assert (again.status, again.json()["code"], again.json()["type"]) == (
        428,
        "work_required",
        "urn:vallum:problem:work-required",
    )
    assert set(again.json()) == {"type", "title", "status", "code", "request_id"}
    details = [(await it.door.record(one.id))["detail"] for one in (stolen, again)]
    assert ["bits for this body" in details[0], "used before" in details[1]] == [True, True]
    assert len(it.raw.requests) == 1


async def test_forty_uses_of_one_solution_at_once_are_one(vision: Any) -> None:
    it, key, _, asked = await suspects(vision)
    body = json.dumps({"input": digit(1)}).encode()
    solved = (("Vallum-Work", solve(asked, body)),)
    answers = await asyncio.gather(*(it.ask(key, headers=solved, body=body) for _ in range(40)))
    assert sorted(answer.status for answer in answers) == [200] + [428] * 39


async def test_a_second_verified_identity_needs_no_work(vision: Any) -> None:
    it, _, _, _ = await suspects(vision, WORK + "\n      verified: {subjects: [mate]}")
    assert (await it.ask(it.door.issue("mate"))).status == 200


@pytest.mark.parametrize("field", ["x", "1.2.3.4.5:6", "é", ":" * 400])
async def test_noise_is_asked_again_and_breaks_nothing(vision: Any, field: str) -> None:
    it, key, _, _ = await suspects(vision)
    assert (await it.ask(key, headers=(("Vallum-Work", field),))).status in (400, 428)


CHAT = """
version: 1
listen: {address: "127.0.0.1:0"}
admin: {address: "127.0.0.1:0"}
upstreams: {model: {url: "http://127.0.0.1:9000"}}
authenticators: {keys: {type: api_key}}
routes:
  - name: digits
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: model
    preset: openai.chat
    auth: {any_of: [keys]}
    quotas: [{limit: 100000 per day, unit: tokens}]
    extraction: {respond: graduated, grades: [proof], work: {bits: 8, after_days: 0.000001}}
"""


class Working(httpx.HTTPTransport):
    """What `docs/extraction.md` shows: a transport that answers challenges."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        extra = answer_challenge(response.status_code, response.headers, request.read())
        if extra is None:
            return response
        response.close()
        request.headers.update(extra)
        return super().handle_request(request)


async def test_the_openai_sdk_works_and_streams_are_noted(opened: Opener, eventually: Any) -> None:
    door = await opened(CHAT)
    watch = Told(door.gateway.engine.policy.routes[0].extraction.terms)  # type: ignore[union-attr]  # it watches
    door.gateway.vigil.watchers._watches["digits"] = watch
    watch.name("thief")
    watch.ladder._now += 1
    watch.name("thief")
    key = door.issue("thief")

    def talk(transport: httpx.HTTPTransport) -> tuple[str, list[Any]]:
        with openai.OpenAI(
            api_key=key,
            base_url=f"http://127.0.0.1:{door.port}/v1",
            http_client=httpx.Client(transport=transport),  # type: ignore[arg-type]  # of either httpx
        ) as sdk:
            said: Any = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}]
            said.append({"role": "user", "content": "a good day"})
            whole = sdk.chat.completions.create(model="m", messages=said, max_tokens=8)
            parts = list(sdk.chat.completions.create(model="m", messages=said, max_tokens=8, stream=True))
            return str(whole.choices[0].message.content), parts

    with pytest.raises(openai.APIStatusError) as refused:
        await asyncio.to_thread(talk, httpx.HTTPTransport())
    assert refused.value.status_code == 428
    text, parts = await asyncio.to_thread(talk, Working())
    assert text
    assert parts
    await eventually(lambda: len(watch.noted) == 2)  # a stream is noted after its last byte
    assert [turn.text for query in watch.noted for turn in query.inputs] == ["a good day"] * 2, "the last turn alone"
    assert watch.noted[0].tokens > 0


# --- operators


async def test_a_pardon_is_obeyed_within_a_second_and_taken_back(vision: Any, eventually: Any) -> None:
    it = await vision("      answers_a_day: 1")
    it.watch.name("thief", "mate")
    key = it.door.issue("thief")
    assert [(await it.ask(key)).status for _ in range(2)] == [200, 429]
    store = it.door.gateway.agreement._suspects
    assert store is not None
    rows = await eventually(store.suspects)
    assert {(row["account"], row["after"]) for row in rows} == {("subject\x1fthief", 3), ("subject\x1fmate", 3)}
    now = read_clock()
    cluster = f"cluster\x1f{rows[0]['cluster']}"
    store.pardon(Pardon(cluster, now + 60, "ops", "a test of ours"), now)
    await eventually(lambda: it.watch.ladder._pardons)
    answer = await it.ask(key)
    assert (answer.status, "confidence" in answer.json()) == (200, True)
    record = await it.door.record(answer.id)
    assert record["extraction"]["pardoned"] is True
    store.lift(cluster, "ops", now)
    await eventually(lambda: not it.watch.ladder._pardons)
    assert (await it.ask(key)).status == 429


async def test_another_route_to_the_same_model_is_no_way_round(vision: Any) -> None:
    policy = VISION.read_text().replace("respond: graduated", "respond: graduated\n      model: digits")
    policy = policy.replace("model: digits", "model: digits\n      answers_a_day: 2")
    twin = policy.partition("routes:\n")[2].replace("name: digits", "name: twin").replace(PATH, "/twin")
    it = await vision(text=policy + twin)
    it.watch.name("thief")
    key = it.door.issue("thief")
    statuses = [(await it.ask(key)).status for _ in range(2)]
    body = json.dumps({"input": digit(1)}).encode()
    other = it.compose(target="/twin", key=key, body=body, headers=(("Content-Type", "application/json"),))
    assert [*statuses, (await it.door.exchange(other)).status] == [200, 200, 429]


# --- two nodes, and their store


@pytest.fixture
def pair(opened: Opener, request_bytes: Any, valkey: Any, tmp_path: Path) -> Callable[..., Any]:
    """Start two gateways on one registry and one counter store."""

    async def start(extraction: str) -> list[Vision]:
        text = VISION.read_text().replace("respond: graduated  ", f"respond: graduated\n{extraction}  ")
        text = text.replace("${VALLUM_COUNTERS:-memory://}", f"unix://{valkey.path}?db=5&timeout_ms=5000")
        raw = await opened.raw(classify)
        registry = f"sqlite:///{tmp_path}/shared.db"
        doors = [await opened(text, upstream=raw.url, registry=registry) for _ in range(2)]
        return [Vision(door, raw, request_bytes) for door in doors]

    return start


async def test_two_nodes_give_a_cluster_one_budget(pair: Any) -> None:
    one, two = await pair("      answers_a_day: 7")
    thieves = [f"pair-{n}" for n in range(6)]
    for node in (one, two):
        node.watch.name(*thieves)
    keys = [one.door.issue(name) for name in thieves]
    answers = await asyncio.gather(*(node.ask(key) for key in keys for node in (one, two)))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [429] * 5


async def test_two_nodes_take_a_solution_once(pair: Any) -> None:
    nodes = await pair(WORK)
    for node in nodes:
        node.watch.name("both")
        node.watch.ladder._now += 1
        node.watch.name("both")
    key, body = nodes[0].door.issue("both"), json.dumps({"input": digit(1)}).encode()
    asked = (await nodes[0].ask(key)).get("vallum-work")
    solved = (("Vallum-Work", solve(asked, body)),)
    answers = await asyncio.gather(*(node.ask(key, headers=solved, body=body) for node in nodes * 5))
    assert sorted(answer.status for answer in answers) == [200] + [428] * 9, "one seed, and one use"


class Away:
    """A store that cannot be reached."""

    def __getattr__(self, name: str) -> Any:
        async def fail(*words: Any) -> Any:
            raise DependencyError("the store is away")

        return fail


async def test_without_the_store_a_budget_is_shared_out_and_work_is_not_taken(pair: Any) -> None:
    nodes = await pair(WORK.replace("[proof]", "[budget, proof]") + "\n      answers_a_day: 40")
    for node in nodes:
        node.watch.name("lone")
        await node.door.gateway.shared.failover.beat()
        node.door.gateway.shared.failover._shared = Away()
    key = nodes[0].door.issue("lone")
    served = [[(await node.ask(key)).status for _ in range(45)].count(200) for node in nodes]
    assert all(1 <= count <= 20 for count in served), served
    one = nodes[0]
    one.watch.ladder._now += 1
    one.watch.name("lone")
    asked = (await one.ask(key)).get("vallum-work")
    body = json.dumps({"input": digit(1)}).encode()
    answer = await one.ask(key, headers=(("Vallum-Work", solve(asked, body)),), body=body)
    answer.check_refusal(503, "unavailable")
