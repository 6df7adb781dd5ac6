"""The rate limit service: what descriptors take, together or not at all, and a real Envoy that asks."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from vallum.adapters.envoy import messages_pb2 as pb
from vallum.core.decision import Deny, Reason
from vallum.core.errors import DependencyError
from vallum.mesh import Terms

if TYPE_CHECKING:
    from vallum.core.exchange import Exchange

POLICY = """
version: 1
trusted_proxies: [127.0.0.1]
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}, open: {type: anonymous}}
routes:
  - name: chat
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: model
    preset: openai.chat
    auth: {any_of: [keys]}
    quotas: [3 per minute, {limit: 1000 per hour, unit: tokens}]
  - name: open
    match: {methods: [GET], path: /open}
    upstream: model
    auth: {any_of: [open]}
    quotas: [2 per minute]
"""
OK, OVER = pb.RateLimitResponse.OK, pb.RateLimitResponse.OVER_LIMIT
ACTION = """{actions: [{generic_key: {descriptor_key: route, descriptor_value: chat}},
                {request_headers: {header_name: authorization, descriptor_key: key}}, {remote_address: {}}]}"""


def descriptor(hits: int | None = None, **entries: str) -> pb.RateLimitDescriptor:
    made = pb.RateLimitDescriptor(
        entries=[pb.RateLimitDescriptor.Entry(key=key, value=value.encode()) for key, value in entries.items()]
    )
    if hits is not None:
        made.hits_addend.value = hits
    return made


async def judge(envoy: Any, *descriptors: pb.RateLimitDescriptor, hits: int = 0, asker: str = "127.0.0.1") -> Any:
    limits = envoy.limits
    request = pb.RateLimitRequest(domain="x", descriptors=descriptors, hits_addend=hits)
    return pb.RateLimitResponse.FromString(await limits.judge(request.SerializeToString(), asker))


async def test_a_key_counts_as_its_subject(between: Any, filters: Any) -> None:
    async with between(POLICY, filters["limits"](), limits=ACTION) as envoy:
        first, second = envoy.key(), envoy.key()
        for key, status in ((first, 200), (second, 200), (first, 200), (second, 429), (first, 429)):
            got = await envoy.ask("/v1/chat/completions", b"{}", ("Authorization", f"Bearer {key}"))
            assert got.status == status
        assert json.loads(got.body)["code"] == "quota_exceeded"
        assert int(got.fields["retry-after"]) > 0
        assert "r=0" in got.fields["ratelimit"]
        other = ("Authorization", f"Bearer {envoy.key('bob')}")
        assert (await envoy.ask("/v1/chat/completions", b"{}", other)).status == 200
        # Made-up keys are no way to have buckets without end: they count for the address.
        statuses = [
            (await envoy.ask("/v1/chat/completions", b"{}", ("Authorization", f"Bearer {number}"))).status
            for number in range(4)
        ]
        assert statuses == [200, 200, 200, 429]


async def test_all_descriptors_are_taken_or_none(between: Any, filters: Any) -> None:
    async with between(POLICY, filters["limits"]()) as envoy:
        chat, opened = descriptor(route="chat", subject="a"), descriptor(route="open", remote_address="1.2.3.4")
        assert (await judge(envoy, chat, opened)).overall_code == OK
        assert (await judge(envoy, opened)).overall_code == OK
        said = await judge(envoy, chat, opened)
        assert (said.overall_code, [one.code for one in said.statuses]) == (OVER, [OK, OVER])
        assert said.statuses[1].duration_until_reset.seconds > 0
        assert said.statuses[0].limit_remaining == 2  # nothing was taken of it
        assert said.statuses[0].current_limit.requests_per_unit == 3


async def test_the_cost_is_what_envoy_says(between: Any, filters: Any) -> None:
    async with between(POLICY, filters["limits"]()) as envoy:
        tokens = descriptor(route="chat", subject="a", unit="tokens")
        assert (await judge(envoy, tokens, hits=600)).overall_code == OK
        assert (await judge(envoy, tokens, hits=600)).overall_code == OVER
        assert (await judge(envoy, descriptor(400, route="chat", subject="a", unit="tokens"))).overall_code == OK
        assert (await judge(envoy, tokens, hits=2000)).overall_code == OVER
        twice = descriptor(2, route="chat", subject="b")
        assert (await judge(envoy, twice, twice)).overall_code == OVER  # one bucket, asked for 4 of 3
        assert (await judge(envoy, twice)).overall_code == OK


async def test_what_is_not_known_is_over_its_limit(between: Any, filters: Any) -> None:
    unknown = [
        descriptor(route="nowhere"),
        descriptor(subject="a"),
        descriptor(route="chat"),
        descriptor(route="chat", subject="a", colour="red"),
        descriptor(route="chat", subject="a", unit="concurrent"),
        descriptor(route="chat", key="noise"),
        pb.RateLimitDescriptor(entries=[pb.RateLimitDescriptor.Entry(key="route", value=b"chat")] * 2),
        pb.RateLimitDescriptor(),
    ]
    async with between(POLICY, filters["limits"]()) as envoy:
        good = descriptor(route="chat", subject="a")
        for one in unknown:
            assert (await judge(envoy, one)).overall_code == OVER, one
        assert (await judge(envoy)).overall_code == OVER
        assert (await judge(envoy, *[good] * 33)).overall_code == OVER
        assert (await judge(envoy, good, asker="192.0.2.1")).overall_code == OVER
        assert pb.RateLimitResponse.FromString(await envoy.limits.judge(b"\xff", "127.0.0.1")).overall_code == OVER
        codes = [one.overall_code for one in await asyncio.gather(*[judge(envoy, good) for _ in range(9)])]
        assert codes.count(OK) == 3


async def test_an_operator_may_let_unknown_ones_pass(between: Any, filters: Any) -> None:
    async with between(POLICY, filters["limits"](), terms=Terms(passes_unknown=True)) as envoy:
        assert (await judge(envoy, descriptor(route="nowhere"))).overall_code == OK
        assert (await judge(envoy, descriptor(route="chat", subject="a"), asker="192.0.2.1")).overall_code == OVER


SHADOWS = """
  - name: tried
    match: {methods: [GET], path: /tried}
    upstream: model
    auth: {any_of: [keys]}
    quotas: [{limit: 1 per minute, mode: shadow}]
  - name: shadow
    match: {methods: [GET], path: /shadow}
    upstream: model
    mode: shadow
    auth: {any_of: [keys]}
    quotas: [1 per minute]
"""


async def test_what_is_asked_is_recorded(between: Any, filters: Any) -> None:
    async with between(POLICY, filters["limits"]()) as envoy:
        for status in (200, 200, 200, 429):
            await judge(envoy, descriptor(route="chat", key=envoy.key("alice")))
            record = envoy.records[-1]
            assert (record["route"], record["status"], record["subject"]) == ("chat", status, "alice")
        assert record["control"].startswith("quota:")
        assert len(envoy.records) == 4


@pytest.mark.parametrize("route", ["tried", "shadow"])
async def test_what_is_in_shadow_is_counted_and_refuses_nobody(between: Any, filters: Any, route: str) -> None:
    async with between(POLICY + SHADOWS, filters["limits"]()) as envoy:
        codes = [(await judge(envoy, descriptor(route=route, subject="a"))).overall_code for _ in range(3)]
        assert codes == [OK, OK, OK]
        assert [len(record.get("shadow", ())) for record in envoy.records] == [0, 1, 1]


@pytest.mark.parametrize(("on_error", "code"), [("deny", OVER), ("allow", OK)])
async def test_a_key_that_cannot_be_looked_up_is_met_by_on_error(
    between: Any, filters: Any, on_error: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = POLICY.replace("auth: {any_of: [keys]}", f"on_error: {on_error}\n    auth: {{any_of: [keys]}}")
    async with between(policy, filters["limits"]()) as envoy:

        async def down(*_: Any) -> Any:
            raise DependencyError("the registry is down")

        monkeypatch.setattr(envoy.mesh.driver, "run", down)
        said = await judge(envoy, descriptor(route="chat", key="k", remote_address="192.0.2.9"))
        assert said.overall_code == code
        assert len(envoy.records) == 1


@pytest.mark.parametrize(
    ("mode", "blocked", "codes"),
    [("enforce", False, [OK, OVER]), ("enforce", True, [OVER, OVER]), ("shadow", True, [OK, OVER])],
)
async def test_a_caller_below_its_plan_has_that_much_room(
    between: Any, filters: Any, mode: str, blocked: bool, codes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def standing(x: Exchange, _: Any) -> Any:
        x.factor = 0.4
        return Deny(Reason.QUOTA_EXCEEDED, "throttle", "blocked") if blocked else None
        yield

    monkeypatch.setattr("vallum.core.stages.standing", standing)
    async with between(f"{POLICY}throttle: {{mode: {mode}, block: {{for_s: 600}}}}\n", filters["limits"]()) as envoy:
        chat = descriptor(route="chat", subject="a")
        assert [(await judge(envoy, chat)).overall_code for _ in range(2)] == codes
