"""Rate-based rules: N admits N, each key has a counter of its own, and no clock or spelling gives anybody more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.statements.conftest import policy_of, rule

from vallum.core.exchange import Exchange, Headers, Request
from vallum.core.record import Timing
from vallum.core.target import parse_target
from vallum.metrics import Metrics
from vallum.testing import MemoryGateway, Reply, run

if TYPE_CHECKING:
    from vallum.core.policy import Policy
    from vallum.core.protocols import RateKey
    from vallum.testing import Call, Told

LIMIT = 10


def answer(_: Call) -> Reply:
    return Reply(200, [("content-type", "application/json")], b"{}")


def policy(*, per: Any = "ip", scope_down: Any = None, more: Any = (), **route: Any) -> Policy:
    rate = {"limit": LIMIT, "window_s": 60, "per": per} | ({"scope_down": scope_down} if scope_down else {})
    return policy_of({"rules": [rule({"rate_based": rate}, name="flood", priority=1), *more]}, **route)


async def statuses(gateway: MemoryGateway, times: int, target: str = "/predict", **more: Any) -> list[int | None]:
    told = await asyncio.gather(*(gateway.ask("POST", target, b"{}", **more) for _ in range(times)))
    return [each.status for each in told]


def key_of(compiled: Policy) -> RateKey:
    acl = compiled.routes[0].web_acl
    assert acl is not None
    assert acl.rules[0].rate is not None
    return acl.rules[0].rate.key


def test_a_limit_of_n_admits_n_in_any_window() -> None:
    async def main() -> None:
        gateway = MemoryGateway(policy(), answer)
        assert sorted(await statuses(gateway, 25), key=str) == [200] * LIMIT + [429] * 15
        await asyncio.sleep(59)
        assert await statuses(gateway, 1) == [429]
        await asyncio.sleep(4)
        assert (await statuses(gateway, 25)).count(200) == LIMIT

    run(main())


def test_what_the_caller_and_the_operator_are_told() -> None:
    async def main() -> Told:
        gateway = MemoryGateway(policy(), answer)
        await statuses(gateway, LIMIT)
        return await gateway.ask("POST", "/predict", b"{}")

    told = run(main())
    fields = dict(told.fields)
    assert (told.status, 60 <= int(fields["retry-after"]) <= 63) == (429, True)
    assert b"flood" not in told.body
    assert b"edge" not in told.body
    assert not any("flood" in value for value in fields.values())
    assert told.record["control"] == "web_acl:flood"
    assert told.record["subject"] is None, "nobody was asked who is calling"
    detail = "rate_based over 10 in 60 s"
    assert told.record["web_acl"]["rules"] == [{"rule": "flood", "action": "block", "detail": detail}]


def test_a_clock_set_back_gives_nobody_more() -> None:
    async def main() -> None:
        gateway = MemoryGateway(policy(), answer)
        await statuses(gateway, LIMIT)
        gateway.epoch_s -= 3600
        assert await statuses(gateway, 3) == [429] * 3

    run(main())


@pytest.mark.parametrize(
    ("per", "others", "same"),
    [
        ("ip", [{"client": "192.0.2.2"}], [{"fields": [("x-forwarded-for", "198.51.100.1")]}, {"target": "/other"}]),
        ("ip", [{"client": "2001:db8:0:1::1"}], [{"client": "::ffff:192.0.2.1"}]),
        ("constant", [], [{"client": "198.51.100.7"}, {"target": "/other?a"}]),
        (["uri_path"], [{"target": "/other"}], [{"target": "/predict?a"}, {"target": "/%70redict"}]),
        (["query_string"], [{"target": "/predict?a"}], [{"client": "198.51.100.7"}]),
        (
            [{"header": "X-A"}],
            [{"fields": [("x-a", "1"), ("content-type", "application/json")]}],
            [{"fields": [("x-b", "1")]}, {"client": "198.51.100.7"}],
        ),
        ([{"query_argument": "a"}], [{"target": "/predict?a=1"}], [{"target": "/predict?b=1"}, {"target": "/?a"}]),
        (["ip", {"header": "x-a"}], [{"client": "192.0.2.2"}], [{"target": "/other"}]),
    ],
)
def test_whose_counter_a_request_fills(per: Any, others: list[dict[str, Any]], same: list[dict[str, Any]]) -> None:
    async def main() -> None:
        gateway = MemoryGateway(policy(per=per), answer)
        await statuses(gateway, LIMIT)
        for each in same:
            assert await statuses(gateway, 1, **each) == [429], each
        for each in others:
            assert await statuses(gateway, 1, **each) == [200], each

    run(main())


def test_the_addresses_of_one_network_of_ipv6_are_one_caller() -> None:
    async def main() -> None:
        gateway = MemoryGateway(policy(), answer)
        said = [await statuses(gateway, 1, client=f"2001:db8::{host:x}") for host in range(15)]
        assert said.count([200]) == LIMIT

    run(main())


def test_the_rules_of_one_acl_count_over_all_its_routes_and_methods() -> None:
    async def main() -> None:
        gateway = MemoryGateway(policy(), answer)
        for method in ("GET", "HEAD", "OPTIONS", "POST", "GET") * 2:
            assert (await gateway.ask(method, f"/{method}", b"", ())).status == 200
        assert (await gateway.ask("HEAD", "/", b"", ())).status == 429

    run(main())


def test_only_what_matches_the_scope_is_counted_or_refused() -> None:
    scope = {"byte_match": {"field": "uri_path", "search": "/login", "position": "starts_with"}}

    async def main() -> None:
        gateway = MemoryGateway(policy(scope_down=scope), answer)
        assert await statuses(gateway, 15) == [200] * 15
        assert (await statuses(gateway, 15, "/login")).count(200) == LIMIT
        assert await statuses(gateway, 1) == [200]

    run(main())


def test_what_the_body_says_may_be_counted_too() -> None:
    scope = {"byte_match": {"field": {"json_body": {"include": ["/model"]}}, "search": "large", "position": "exactly"}}

    async def main() -> None:
        gateway = MemoryGateway(policy(scope_down=scope), answer)
        said = [(await gateway.ask("POST", "/", b'{"model": "large"}')).status for _ in range(12)]
        assert said == [200] * LIMIT + [429] * 2
        assert (await gateway.ask("POST", "/", b'{"model": "small"}')).status == 200

    run(main())


def test_a_rate_that_counts_lets_all_through_and_is_counted() -> None:
    metrics = Metrics()

    def finish(x: Exchange, _: dict[str, Any]) -> None:
        metrics.count(x, 200, timing)

    timing = Timing(0.0, 0.0)
    acl = {"rules": [rule({"rate_based": {"limit": 10, "window_s": 60}}, name="flood", action="count", labels=["a"])]}

    async def main() -> None:
        gateway = MemoryGateway(policy_of(acl), answer, finish=finish)
        assert await statuses(gateway, 15) == [200] * 15

    run(main())
    assert b'vallum_web_acl_matches_total{action="count",rule="flood",web_acl="edge"} 5.0' in metrics.render()


def test_in_shadow_a_match_is_counted_as_such() -> None:
    metrics = Metrics()

    def finish(x: Exchange, _: dict[str, Any]) -> None:
        metrics.count(x, 200, Timing(0.0, 0.0))

    acl = {"rules": [rule({"byte_match": {"field": "uri_path", "search": "/"}})], "mode": "shadow"}

    async def main() -> None:
        gateway = MemoryGateway(policy_of(acl), answer, finish=finish)
        assert await statuses(gateway, 2) == [200] * 2

    run(main())
    shown = metrics.render()
    assert b'vallum_web_acl_matches_total{action="shadow",rule="rule",web_acl="edge"} 2.0' in shown
    assert b'vallum_shadowed_total{control="web_acl:rule",route="predict"} 2.0' in shown


def test_a_key_is_short_and_no_secret_however_long_its_parts() -> None:
    key = key_of(policy(per=["ip", {"header": "authorization"}, {"query_argument": "a"}, "method", "query_string"]))

    def of(target: str, *fields: tuple[str, str]) -> str:
        path, query = parse_target(target)
        compiled = policy()
        return key.of(Exchange(compiled, Request("r", "GET", path, query, Headers(fields), "192.0.2.1", 0.0)))

    long = of("/?a=" + "x" * 60_000, ("authorization", "Bearer secret"))
    assert len(long) == 32
    assert "secret" not in long
    keys = [
        of("/"),
        of("/", ("authorization", "a")),
        of("/", ("authorization", "a"), ("authorization", "b")),
        of("/?a=1&a=2"),
        of("/?a=1"),
        of("/?%61=1"),
        of("/?a=\ud800"),
    ]
    assert len(set(keys)) == len(keys)
