"""Reserve, then settle: what the engine asks of the counters for exchanges that end in every way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from vallum.core.cost import OutputBound, Price, Tariff
from vallum.core.decision import Allow, Deny, Finding, Reason
from vallum.core.effects import SettleQuota, TakeQuota
from vallum.core.engine import line_up
from vallum.core.errors import DependencyError
from vallum.core.exchange import Exchange, Headers, ResponseHead
from vallum.core.policy import Mode, OnError, OnOverrun
from vallum.core.principal import Principal
from vallum.core.problem import ErrorFormat
from vallum.core.quota import Demand, Per, Quota, Strategy, Taken
from vallum.core.record import Timing, compose
from vallum.presets import PRESETS
from vallum.presets.openai.amounts import METERS

if TYPE_CHECKING:
    from tests.conftest import Kit

    from vallum.core.engine import Engine
    from vallum.core.policy import Route

MINUTE_US = 60_000_000
MINUTE = Quota("minute", 60, MINUTE_US)
TOKENS = Quota("tokens", 1000, MINUTE_US, unit="tokens")
SLOTS = Quota("slots", 4, MINUTE_US, unit="concurrent", strategy=Strategy.LEASES)
VIDEOS = Quota("videos", 10, MINUTE_US, unit="videos")
BYTES = Quota("bytes", 100_000, MINUTE_US, unit="bytes")
DOWN = DependencyError("the store is down")
STREAM = (("content-type", "text/event-stream"),)
JSON = (("content-type", "application/json"),)
ASK = {"messages": [{"role": "user", "content": "hello there"}], "max_tokens": 50}


def route(kit: Kit, *quotas: Quota, **changes: Any) -> Route:
    parts: dict[str, Any] = {
        "limits": tuple(kit.limit(quota) for quota in quotas or (MINUTE, TOKENS, SLOTS)),
        "meter": METERS["openai.chat"],
        "output_bound": OutputBound(100),
        "error_format": ErrorFormat.OPENAI,
        "outlet": kit.outlet(headers=frozenset({"content-type"})),
    }
    return kit.route(**(parts | changes))


def admitted(kit: Kit, route: Route) -> Taken:
    return kit.admitted(*(limit.quota for limit in route.limits if limit.mode is Mode.ENFORCE))


def ask(kit: Kit, route: Route, *replies: Any, **document: Any) -> tuple[Engine, Exchange, list[Any]]:
    """Take a request through its phases; return what was asked of the counters."""
    engine = kit.engine(route)
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    if not replies and route.limits:
        replies = (admitted(kit, route),)
    talk = kit.talk(engine.request_body(x, json.dumps(document or ASK).encode()), *replies)
    return engine, x, talk.asked


def settle(kit: Kit, engine: Engine, x: Exchange) -> dict[str, int]:
    """Settle, twice, and return what was settled by quota."""
    first = kit.talk(engine.settle(x), None)
    assert kit.talk(engine.settle(x)).asked == [], "a second time is nothing"
    (effect,) = first.asked
    assert isinstance(effect, SettleQuota)
    assert effect.id == x.request.id
    return {demand.quota.name: demand.cost for demand in effect.demands}


def event(**document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def says(text: str) -> bytes:
    return event(id="c", choices=[{"index": 0, "delta": {"content": text}}])


USAGE = event(id="c", choices=[], usage={"prompt_tokens": 5, "completion_tokens": 2})


def answer(engine: Engine, x: Exchange, *pieces: bytes, head: Any = STREAM, end: bool = True) -> bytes:
    engine.call(x)
    judged = engine.response_head(x, ResponseHead(200, Headers(head)))
    assert not isinstance(judged, Deny)
    out = b""
    for piece in pieces:
        passed = engine.response_chunk(x, piece)
        assert isinstance(passed, bytes)
        out += passed
    if end:
        rest = engine.response_end(x)
        assert isinstance(rest, bytes)
        out += rest
    return out


# --- before -----------------------------------------------------------------------------------------------------------


def test_the_meter_stands_before_the_quotas_and_its_words_are_written_last(kit: Kit) -> None:
    names = [stage.name for stage in line_up(route(kit, intake=kit.intake(checks=(kit.guard(),)))).body]
    assert names == ["parse", "meter", "quotas", "check:looking", "amend"]


def test_all_units_are_taken_together_under_the_requests_id(kit: Kit) -> None:
    _, x, asked = ask(kit, route(kit))
    (take,) = asked
    assert isinstance(take, TakeQuota)
    assert take.id == x.request.id
    costs = {demand.quota.name: demand.cost for demand in take.demands}
    assert x.estimate is not None
    assert costs == {"minute": 1, "tokens": x.estimate.input_tokens + 50, "slots": 1}
    assert {demand.holder for demand in take.demands} == {"alice"}


def test_requests_alone_are_taken_for_good_and_never_settled(kit: Kit) -> None:
    engine, x, (take,) = ask(kit, route(kit, MINUTE, output_bound=None))
    assert take.id == ""
    assert x.bill is None
    assert kit.talk(engine.settle(x)).asked == []
    assert x.amended == ()


def test_a_route_may_cost_several_requests(kit: Kit) -> None:
    _, _, (take,) = ask(kit, route(kit, MINUTE, output_bound=None, tariff=Tariff(5)))
    assert take.demands[0].cost == 5


@pytest.mark.parametrize("value", [-1, True, 1.5, "5", 10**30])
def test_a_bound_that_is_none_is_refused_before_anything_is_taken(kit: Kit, value: Any) -> None:
    engine = kit.engine(route(kit))
    x = kit.judge(engine, kit.request(), json.dumps(ASK | {"max_tokens": value}).encode())
    assert isinstance(x.decision, Deny)
    assert x.decision.reason is Reason.INVALID_REQUEST
    assert x.decision.violations == ({"pointer": "/max_tokens", "rule": "range"},)
    assert x.bill is None


def test_what_never_fits_is_no_matter_of_waiting(kit: Kit) -> None:
    reply = Taken(((TOKENS, 1000, 0),), TOKENS, MINUTE_US, never=True)
    engine, x, _ = ask(kit, route(kit, TOKENS), reply, **(ASK | {"max_tokens": 5000}))
    assert isinstance(x.decision, Deny)
    assert (x.decision.reason, x.decision.retry_after_s) == (Reason.INVALID_REQUEST, None)
    assert x.decision.violations == ({"pointer": "/max_tokens", "rule": "over_quota"},)
    assert kit.talk(engine.settle(x)).asked == [], "nothing was taken"


def test_what_never_fits_and_is_no_token_has_no_place(kit: Kit) -> None:
    reply = Taken(((BYTES, 1, 0),), BYTES, MINUTE_US, never=True)
    _, x, _ = ask(kit, route(kit, BYTES), reply)
    assert isinstance(x.decision, Deny)
    assert x.decision.violations == ({"pointer": "", "rule": "over_quota"},)


@pytest.mark.parametrize(
    ("quota", "wait_us", "retry_after_s", "detail"),
    [
        (SLOTS, 40_000_000, 1, "4 at once per principal"),
        (TOKENS, 40_000_001, 41, "1000 tokens per 60 s per principal; 61 asked for"),
        (MINUTE, 40_000_000, 40, "60 per 60 s per principal"),
    ],
)
def test_what_does_not_fit_now_may_come_back(
    kit: Kit, quota: Quota, wait_us: int, retry_after_s: int, detail: str
) -> None:
    engine, x, _ = ask(
        kit,
        route(kit, MINUTE, TOKENS, SLOTS),
        kit.refused(quota, MINUTE, wait_us=wait_us)._replace(levels=((MINUTE, 0, 1), (TOKENS, 0, 1), (SLOTS, 0, 1))),
    )
    decision = x.decision
    assert isinstance(decision, Deny)
    assert (decision.reason, decision.control) == (Reason.QUOTA_EXCEEDED, f"quota:{quota.name}")
    assert (decision.retry_after_s, decision.detail) == (retry_after_s, detail)
    assert kit.talk(engine.settle(x)).asked == []


def test_a_caller_may_have_less_for_a_while_and_never_nothing(kit: Kit) -> None:
    it = route(kit)
    engine = kit.engine(it)
    for factor, limits in ((0.5, [30, 500, 2]), (0.001, [1, 1, 1])):
        x = engine.open(kit.request())
        kit.talk(engine.request_head(x))
        x.factor = factor
        (demands,) = kit.talk(engine.request_body(x, json.dumps(ASK).encode()), admitted(kit, it)).demands
        assert [demand.limit for demand in demands] == limits


def test_a_credentials_own_quotas_are_taken_with_the_routes(kit: Kit) -> None:
    own = (Quota("minute", 5, MINUTE_US, Per.KEY), Quota("day", 7, MINUTE_US, Per.KEY, unit="tokens"))
    caller = kit.Vouching(Principal("bob", credential_id="key_9", quotas=own))
    it = route(kit, MINUTE, authenticators=(caller,), output_bound=None)
    taken = Taken(((MINUTE, 1, 0), (own[0], 2, 0), (own[1], 3, 0)))
    _, x, (take,) = ask(kit, it, taken)
    assert [demand.quota.name for demand in take.demands] == ["minute", "minute-key", "day"]
    assert take.demands[1].key == take.demands[1].key.replace("predict", ""), "one bucket on all routes"
    assert take.demands[1].key.endswith("key\x1fkey_9")
    assert take.demands[2].cost > 50, "tokens are metered for whoever has a quota of them"
    assert dict(x.quota_fields)["ratelimit"] == '"minute";r=1;t=0, "minute-key";r=2;t=0, "day";r=3;t=0'


def test_a_credentials_own_quota_has_one_bucket_on_all_routes_whatever_it_is_shown_as(kit: Kit) -> None:
    caller = kit.Vouching(Principal("bob", credential_id="key_9", quotas=(MINUTE,)))
    keys = []
    for quotas in ((), (kit.limit(MINUTE),)):
        _, _, (take,) = ask(kit, kit.route(authenticators=(caller,), limits=quotas), kit.admitted(MINUTE))
        keys.append(take.demands[-1].key)
    assert keys[0] == keys[1]


def test_windows_of_thirty_days_and_of_a_month_never_share_a_bucket(kit: Kit) -> None:
    """A reload that makes one of the other would find sub-windows that lie two thousand years ahead."""
    month_us = 30 * 86_400_000_000
    keys = set()
    for months in (0, 1):
        quota = Quota("plan", 10, month_us, strategy=Strategy.CALENDAR, months=months)
        _, _, (take,) = ask(kit, kit.route(limits=(kit.limit(quota),)))
        keys.add(take.demands[0].key)
    assert len(keys) == 2


def test_a_credential_may_have_a_quota_where_the_route_has_none(kit: Kit) -> None:
    caller = kit.Vouching(Principal("bob", quotas=(MINUTE,)))
    it = kit.route(authenticators=(caller,))
    _, x, (take,) = ask(kit, it, Taken(((MINUTE, 1, 0),)))
    assert [demand.quota for demand in take.demands] == [MINUTE]
    assert x.amended == ()


def test_without_any_quota_nothing_is_asked(kit: Kit) -> None:
    _, x, asked = ask(kit, kit.route())
    assert asked == []
    assert x.taken is None


def test_what_could_not_be_read_is_unmetered_in_shadow(kit: Kit) -> None:
    it = route(kit, mode=Mode.SHADOW)
    engine = kit.engine(it)
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    kit.talk(engine.request_body(x, b"{"), admitted(kit, it))
    assert "meter" in x.unscanned
    assert x.amended == ()


@pytest.mark.parametrize(
    ("per", "holder"),
    [
        (Per.PRINCIPAL, "alice"),
        (Per.KEY, "alice"),
        (Per.TENANT, "tenant\x1facme"),
        (Per.IP, "192.0.2.1"),
        (Per.ROUTE, ""),
        (Per.GLOBAL, ""),
    ],
)
def test_buckets_of_one_holder_lie_together(kit: Kit, per: Per, holder: str) -> None:
    quota = Quota("minute", 60, MINUTE_US, per)
    _, _, (take,) = ask(kit, kit.route(limits=(kit.limit(quota),)), kit.admitted(quota))
    assert take.demands[0].holder == holder


def test_a_store_that_is_out_is_said_to_be_out(kit: Kit) -> None:
    reply = kit.refused(TOKENS, wait_us=0)._replace(unavailable=True)
    _, x, _ = ask(kit, route(kit, TOKENS), reply)
    assert isinstance(x.decision, Deny)
    assert (x.decision.reason, x.decision.retry_after_s) == (Reason.UNAVAILABLE, 1)


def test_what_was_counted_by_one_node_alone_is_recorded(kit: Kit) -> None:
    _, x, _ = ask(kit, route(kit, MINUTE), kit.refused(MINUTE, wait_us=5)._replace(nodes=4))
    assert isinstance(x.decision, Deny)
    assert x.decision.detail == "60 per 60 s per principal; the counter store is out: a limit is shared by 4"
    assert compose(x, 429, Timing(0.0, 0.0), 0)["quotas_shared_by"] == 4


def test_what_was_not_counted_is_recorded(kit: Kit) -> None:
    _, x, _ = ask(kit, route(kit, TOKENS), kit.admitted(TOKENS)._replace(skipped=(TOKENS,)))
    assert isinstance(x.decision, Allow)
    assert x.unscanned == ["quota:tokens (the counter store is out)"]


# --- what the upstream is told ----------------------------------------------------------------------------------------


def test_the_reservation_is_written_into_the_request(kit: Kit) -> None:
    asked = {"messages": [], "stream": True, "stream_options": {"include_usage": False}}
    _, x, _ = ask(kit, route(kit), **asked)
    assert isinstance(x.decision, Allow)
    assert x.decision.body is not None
    assert json.loads(x.decision.body) == asked | {"max_tokens": 100, "stream_options": {"include_usage": True}}
    assert x.amended == ("max_tokens", "stream_options")


def test_a_bound_of_the_policy_holds_without_a_quota(kit: Kit) -> None:
    it = route(kit, MINUTE, output_bound=OutputBound(7, 7))
    engine, x, (take,) = ask(kit, it, **(ASK | {"max_tokens": 50}))
    assert take.id == ""
    assert isinstance(x.decision, Allow)
    assert json.loads(x.decision.body or b"")["max_tokens"] == 7
    assert kit.talk(engine.settle(x)).asked == []


def test_a_request_that_says_all_goes_on_as_it_came(kit: Kit) -> None:
    _, x, _ = ask(kit, route(kit))
    assert x.decision == Allow(None)
    assert x.amended == ()


def test_checks_see_the_request_as_it_was_sent(kit: Kit) -> None:
    guard = kit.guard()
    ask(kit, route(kit, intake=kit.intake(checks=(guard,))), messages=[], stream=True)
    assert isinstance(guard.check, kit.Looking)
    assert guard.check.seen == [{"messages": [], "stream": True}]


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_a_stream_to_its_end_settles_to_the_upstreams_count(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit), messages=[], stream=True)
    out = answer(engine, x, says("a"), says("b"), USAGE, b"data: [DONE]\n\n")
    assert b"usage" not in out, "the caller did not ask"
    assert out.endswith(b"data: [DONE]\n\n")
    assert settle(kit, engine, x) == {"minute": 1, "tokens": 7, "slots": 0}
    spent = compose(x, 200, Timing(0, 0), 0)
    assert spent["spent"]["tokens"]["settled"] == 7
    assert spent["spent"]["tokens"]["reserved"] == 100
    assert spent["tokens"]["usage"] == [5, 2]
    assert spent["amended"] == ["max_tokens", "stream_options"]


def test_who_asks_for_the_usage_sees_it(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit), messages=[], stream=True, stream_options={"include_usage": True})
    assert USAGE.strip().removeprefix(b"data: ").replace(b" ", b"") in answer(engine, x, says("a"), USAGE)


def test_a_document_settles_to_its_usage(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit))
    body = json.dumps({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}).encode()
    assert b'"usage"' in answer(engine, x, body, head=JSON)
    assert settle(kit, engine, x)["tokens"] == 7


def test_a_document_without_a_usage_is_counted_by_its_text(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit))
    answer(engine, x, b'{"choices":[{"message":{"content":"hi"}}]}', head=JSON)
    assert x.estimate is not None
    assert settle(kit, engine, x)["tokens"] == x.estimate.input_tokens + 1


def test_a_stream_without_a_usage_is_counted_by_its_text(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit))
    answer(engine, x, says("a"), says("b"), b"data: [DONE]\n\n")
    assert x.estimate is not None
    assert settle(kit, engine, x)["tokens"] == x.estimate.input_tokens + 2


def test_lines_are_counted_too(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit))
    line = b'{"choices":[{"delta":{"content":"a"}}]}\n'
    assert answer(engine, x, line, line, head=(("content-type", "application/x-ndjson"),)) == line + line
    assert x.estimate is not None
    assert settle(kit, engine, x)["tokens"] == x.estimate.input_tokens + 2


def test_a_caller_who_leaves_pays_for_what_came_out(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit))
    answer(engine, x, says("a"), says("b"), says("c"), end=False)
    x.cancelled = True
    assert x.estimate is not None
    assert settle(kit, engine, x) == {"minute": 1, "tokens": x.estimate.input_tokens + 3, "slots": 0}


def test_a_caller_who_leaves_before_the_answer_pays_the_reservation(kit: Kit) -> None:
    engine, x, (take,) = ask(kit, route(kit))
    engine.call(x)
    x.cancelled = True
    assert settle(kit, engine, x)["tokens"] == take.demands[1].cost


def test_an_answer_that_nobody_can_read_costs_the_reservation(kit: Kit) -> None:
    engine, x, (take,) = ask(kit, route(kit))
    assert answer(engine, x, b"png", head=(("content-type", "image/png"),)) == b"png"
    assert settle(kit, engine, x)["tokens"] == take.demands[1].cost
    assert x.unscanned == ["response"]


def test_an_upstream_that_fails_costs_no_tokens(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit))
    engine.call(x)
    assert isinstance(engine.response_head(x, ResponseHead(500, Headers(JSON))), Deny)
    assert settle(kit, engine, x) == {"minute": 1, "tokens": 0, "slots": 0}


def test_an_upstream_that_dies_in_the_middle_costs_what_came_out(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit))
    answer(engine, x, says("a"), end=False)
    x.decision = Deny(Reason.UPSTREAM_ERROR, "upstream")
    assert x.estimate is not None
    assert settle(kit, engine, x)["tokens"] == x.estimate.input_tokens + 1


def test_who_is_refused_by_a_later_check_pays_the_request_and_no_tokens(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit, intake=kit.intake(checks=(kit.guard(Finding("rule")),))))
    assert isinstance(x.decision, Deny)
    assert settle(kit, engine, x) == {"minute": 1, "tokens": 0, "slots": 0}


def test_a_caller_who_leaves_while_the_quotas_are_asked_is_settled_too(kit: Kit) -> None:
    engine = kit.engine(route(kit))
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    steps = engine.request_body(x, json.dumps(ASK).encode())
    next(steps)
    steps.close()
    assert settle(kit, engine, x) == {"minute": 1, "tokens": 0, "slots": 0}


def test_a_store_that_is_down_at_the_end_leaves_the_reservation(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit))
    assert len(kit.talk(engine.settle(x), DOWN).asked) == 1
    assert x.unscanned == ["settle (DependencyError: the store is down)"]
    assert kit.talk(engine.settle(x)).asked == []


def test_a_store_that_is_down_at_the_start_is_met_by_on_error(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit, on_error=OnError.ALLOW), DOWN)
    assert isinstance(x.decision, Allow)
    assert set(settle(kit, engine, x)) == {"minute", "tokens", "slots"}, "it may have been taken all the same"


# --- shadow -----------------------------------------------------------------------------------------------------------


def test_a_quota_in_shadow_is_reserved_and_settled_beside(kit: Kit) -> None:
    it = route(kit, limits=(kit.limit(MINUTE), kit.limit(TOKENS, Mode.SHADOW)))
    engine, x, asked = ask(kit, it, kit.admitted(MINUTE), kit.admitted(TOKENS))
    assert [[demand.quota.name for demand in take.demands] for take in asked] == [["minute"], ["tokens"]]
    assert [take.id for take in asked] == ["", x.request.id]
    answer(engine, x, USAGE)
    assert settle(kit, engine, x) == {"tokens": 7}
    assert "tokens" not in dict(x.quota_fields)["ratelimit"]


def test_two_quotas_in_shadow_have_one_account(kit: Kit) -> None:
    it = route(kit, limits=(kit.limit(TOKENS, Mode.SHADOW), kit.limit(BYTES, Mode.SHADOW)))
    engine, x, _ = ask(kit, it, kit.admitted(TOKENS), kit.refused(BYTES, wait_us=5))
    answer(engine, x, USAGE)
    assert settle(kit, engine, x) == {"tokens": 7}


def test_a_quota_in_shadow_that_would_refuse_is_noted(kit: Kit) -> None:
    it = route(kit, limits=(kit.limit(TOKENS, Mode.SHADOW),))
    engine, x, _ = ask(kit, it, kit.refused(TOKENS, wait_us=5))
    assert isinstance(x.decision, Allow)
    assert [refusal.control for refusal in x.shadowed] == ["quota:tokens"]
    assert kit.talk(engine.settle(x)).asked == []


# --- units of the upstream's ------------------------------------------------------------------------------------------


def named(kit: Kit, *fields: tuple[str, str], status: int = 200, **changes: Any) -> tuple[Engine, Exchange, Any]:
    it = kit.route(limits=(kit.limit(VIDEOS),), **changes)
    engine, x, (take,) = ask(kit, it)
    assert [demand.cost for demand in take.demands] == [1], "whoever has used it up is refused"
    engine.call(x)
    return engine, x, engine.response_head(x, ResponseHead(status, Headers([*JSON, *fields])))


@pytest.mark.parametrize("field", ["vallum-cost", "x-kong-limit"])
def test_the_upstream_counts_a_named_unit_and_the_caller_is_not_told(kit: Kit, field: str) -> None:
    outlet = kit.outlet(headers=frozenset({field, "content-type"}))
    engine, x, judged = named(kit, (field, "videos=3, others=9"), outlet=outlet)
    assert not isinstance(judged, Deny)
    assert judged[0].headers.fields == JSON
    assert settle(kit, engine, x) == {"videos": 3}


def test_an_upstream_that_names_nothing_has_counted_nothing(kit: Kit) -> None:
    engine, x, _ = named(kit)
    assert settle(kit, engine, x) == {"videos": 0}


def test_what_the_upstream_says_badly_costs_what_was_reserved(kit: Kit) -> None:
    engine, x, _ = named(kit, ("vallum-cost", "videos=-3"))
    assert settle(kit, engine, x) == {"videos": 1}
    assert x.unscanned == ["cost (the upstream's field cannot be read)"]


def test_an_upstream_that_refuses_may_still_have_a_cost(kit: Kit) -> None:
    engine, x, judged = named(kit, ("vallum-cost", "videos=2"), status=422)
    assert isinstance(judged, Deny)
    assert settle(kit, engine, x) == {"videos": 2}


def test_a_fields_cost_does_not_leave_in_shadow_either(kit: Kit) -> None:
    _, _, judged = named(kit, ("vallum-cost", "videos=2"), mode=Mode.SHADOW)
    assert judged[0].headers.fields == JSON


# --- bytes and money --------------------------------------------------------------------------------------------------


def test_bytes_are_those_that_came_in_and_went_out(kit: Kit) -> None:
    engine, x, (take,) = ask(kit, kit.route(limits=(kit.limit(BYTES),)), a="b")
    assert take.demands[0].cost == 10 + 65_536
    answer(engine, x, b"0123456789", head=())
    assert settle(kit, engine, x) == {"bytes": 20}


@pytest.mark.parametrize(
    ("fields", "reserved"), [((("content-length", "7"),), 7), ((("transfer-encoding", "chunked"),), 50), ((), 0)]
)
def test_bytes_of_a_body_that_streams_by_are_announced(
    kit: Kit, fields: tuple[tuple[str, str], ...], reserved: int
) -> None:
    intake = kit.intake(codecs={}, max_bytes=50)
    engine = kit.engine(kit.route(limits=(kit.limit(BYTES),), intake=intake, tariff=Tariff(answer_bytes=0)))
    x = engine.open(kit.request(headers=fields))
    kit.talk(engine.request_head(x))
    (demands,) = kit.talk(engine.request_body(x, None), kit.admitted(BYTES)).demands
    assert demands[0].cost == reserved


def test_money_is_what_the_tokens_cost(kit: Kit) -> None:
    money = Quota("money", 10**9, MINUTE_US, unit="money")
    tariff = Tariff(price=Price(1000, 2_000_000, 4_000_000))
    engine, x, (take,) = ask(kit, route(kit, money, tariff=tariff))
    assert x.estimate is not None
    assert take.demands[0].cost == 1000 + 2 * x.estimate.input_tokens + 4 * 50
    answer(engine, x, USAGE)
    assert settle(kit, engine, x) == {"money": 1000 + 2 * 5 + 4 * 2}


# --- a stream that runs over ------------------------------------------------------------------------------------------

FEW = {"messages": [], "max_tokens": 2}


def cutting(kit: Kit) -> Route:
    return route(kit, TOKENS, on_overrun=OnOverrun.CUT)


def test_a_stream_that_runs_over_takes_more(kit: Kit) -> None:
    engine, x, _ = ask(kit, cutting(kit), **FEW)
    out = answer(engine, x, says("a") + says("b") + says("c") + says("d"), end=False)
    assert out.count(b"data: ") == 2, "nothing over the reservation leaves before more is taken"
    assert x.bill is not None
    talk = kit.talk(engine.overrun(x), kit.admitted(TOKENS))
    (take,) = talk.asked
    assert isinstance(take, TakeQuota)
    assert (take.id, take.demands[0].cost) == ("", 1)
    assert talk.outcome is None
    more = engine.response_chunk(x, b"")
    assert isinstance(more, bytes)
    assert more.count(b"data: ") == 1
    kit.talk(engine.overrun(x), kit.admitted(TOKENS))
    rest = engine.response_chunk(x, b"")
    assert isinstance(rest, bytes)
    assert b'"d"' in rest
    assert x.bill.missing_tokens == 0
    assert x.estimate is not None
    assert settle(kit, engine, x)["tokens"] == x.estimate.input_tokens + 4 - 2


def test_a_stream_that_may_have_no_more_is_ended_as_its_format_says(kit: Kit) -> None:
    engine, x, _ = ask(kit, cutting(kit), **FEW)
    answer(engine, x, says("a") + says("b") + says("c"), end=False)
    ending = kit.talk(engine.overrun(x), kit.refused(TOKENS, wait_us=5)).outcome
    assert ending is not None
    assert b'"finish_reason":"length"' in ending
    assert ending.endswith(b"data: [DONE]\n\n")
    assert x.cut == "tokens"
    assert x.estimate is not None
    assert settle(kit, engine, x)["tokens"] == x.estimate.input_tokens + 2, "the reservation, and not a token more"
    assert compose(x, 200, Timing(0, 0), 0)["cut_by"] == "tokens"


def test_lines_are_not_cut_as_an_end_of_events_would_be_none_of_theirs(kit: Kit) -> None:
    engine, x, _ = ask(kit, cutting(kit), **ASK | {"max_tokens": 1})
    line = json.dumps({"choices": [{"delta": {"content": "word"}}]}).encode() + b"\n"
    answer(engine, x, line, line, line, head=(("content-type", "application/x-ndjson"),))
    assert x.bill is not None
    assert (x.bill.output_tokens, x.bill.missing_tokens) == (3, 0)


LINES = (("content-type", "application/x-ndjson"),)


def line(word: str) -> bytes:
    return f'{{"model":"m","message":{{"role":"assistant","content":"{word}"}},"done":false}}\n'.encode()


def chatting(kit: Kit) -> Route:
    return route(kit, TOKENS, on_overrun=OnOverrun.CUT, meter=PRESETS["ollama.chat"].meter)


def test_lines_are_cut_where_the_format_is_one_of_lines(kit: Kit) -> None:
    engine, x, _ = ask(kit, chatting(kit), messages=[], options={"num_predict": 2})
    out = answer(engine, x, line("a") + b"\n" + line("b") + line("c") + line("d"), head=LINES, end=False)
    assert out == line("a") + line("b"), "nothing over the reservation leaves before more is taken"
    assert kit.talk(engine.overrun(x), kit.admitted(TOKENS)).outcome is None
    assert engine.response_chunk(x, b"") == line("c")
    ending = kit.talk(engine.overrun(x), kit.refused(TOKENS, wait_us=5)).outcome
    assert ending is not None
    assert json.loads(ending)["done_reason"] == "length"
    assert json.loads(ending)["eval_count"] == 3
    assert x.estimate is not None
    assert settle(kit, engine, x)["tokens"] == x.estimate.input_tokens + 3 - 1


def test_events_are_not_cut_where_the_format_is_one_of_lines(kit: Kit) -> None:
    engine, x, _ = ask(kit, chatting(kit), messages=[], options={"num_predict": 1})
    word = b'data: {"message":{"content":"word"}}\n\n'
    assert answer(engine, x, word, word, word, head=STREAM) == word * 3


def test_a_store_that_is_down_cuts_no_stream(kit: Kit) -> None:
    engine, x, _ = ask(kit, cutting(kit), **FEW)
    answer(engine, x, says("a") + says("b") + says("c"), end=False)
    assert kit.talk(engine.overrun(x), DOWN).outcome is None
    assert x.unscanned == ["overrun (DependencyError: the store is down)"]
    out = engine.response_chunk(x, says("d"))
    assert isinstance(out, bytes)
    assert b'"c"' in out
    assert b'"d"' in out


def test_what_no_quota_counts_is_not_asked_for(kit: Kit) -> None:
    """With `max_output_tokens` and a quota at once, a stream can run over, and nothing could be taken for it."""
    engine, x, _ = ask(kit, route(kit, SLOTS, on_overrun=OnOverrun.CUT), **ASK | {"max_tokens": 1})
    answer(engine, x, says("one"), says("two"), says("three"), end=False)
    assert x.bill is not None
    assert x.bill.missing_tokens
    talk = kit.talk(engine.overrun(x))
    assert (talk.asked, talk.outcome) == ([], None)
    assert not x.bill.missing_tokens, "it goes on"


def test_without_an_account_nothing_runs_over(kit: Kit) -> None:
    engine, x, _ = ask(kit, kit.route())
    assert kit.talk(engine.overrun(x)).outcome is None


def test_a_stream_goes_on_by_default_and_pays(kit: Kit) -> None:
    engine, x, _ = ask(kit, route(kit, TOKENS), **FEW)
    out = answer(engine, x, *[says("a")] * 5)
    assert out.count(b"data: ") == 5
    assert x.estimate is not None
    assert settle(kit, engine, x)["tokens"] == x.estimate.input_tokens + 5


# --- what callers are told --------------------------------------------------------------------------------------------


def test_a_route_may_say_nothing_of_its_quotas(kit: Kit) -> None:
    _, x, _ = ask(kit, route(kit, shows_quotas=False))
    assert x.quota_fields == ()
    assert x.taken is not None


def test_openai_routes_say_it_in_both_ways(kit: Kit) -> None:
    _, x, _ = ask(kit, route(kit), Taken(((MINUTE, 59, 61_000_000), (TOKENS, 900, 500), (SLOTS, 3, 0))))
    assert dict(x.quota_fields) == {
        "ratelimit-policy": '"minute";q=60;w=60, "tokens";q=1000;w=60, "slots";q=4;qu="concurrent-requests"',
        "ratelimit": '"minute";r=59;t=61, "tokens";r=900;t=1, "slots";r=3;t=0',
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1m1s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "900",
        "x-ratelimit-reset-tokens": "1ms",
    }


def test_a_demand_is_what_the_store_gets(kit: Kit) -> None:
    _, _, (take,) = ask(kit, route(kit))
    assert all(isinstance(demand, Demand) for demand in take.demands)
