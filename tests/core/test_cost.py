"""Costs: every unit is a function of the same amounts; who pays for what did not end well; what upstreams name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.cost import COST_MAX, Amounts, Bill, Estimate, Price, Tariff, Usage, cost_of, read_costs
from vallum.core.exchange import Headers
from vallum.core.quota import Demand, Quota, Strategy
from vallum.presets.anthropic.amounts import METER as MESSAGES
from vallum.presets.openai.amounts import METERS

MINUTE_US = 60_000_000
METER = METERS["openai.chat"]
TOKENS = Quota("tokens", 1000, MINUTE_US, unit="tokens")
BYTES = Quota("bytes", 1000, MINUTE_US, unit="bytes")
SLOTS = Quota("slots", 4, MINUTE_US, unit="concurrent", strategy=Strategy.LEASES)
REQUESTS = Quota("requests", 10, MINUTE_US)
VIDEOS = Quota("videos", 10, MINUTE_US, unit="videos")
MONEY = Quota("money", 10**9, MINUTE_US, unit="money")
ALL = tuple(Demand(quota, quota.name) for quota in (REQUESTS, TOKENS, BYTES, SLOTS, VIDEOS, MONEY))
# 0.01 a call, 2.50 a million tokens in, 10 a million tokens out
ESTIMATE = Estimate(100, 200, "/max_tokens")
TARIFF = Tariff(3, Price(10_000, 2_500_000, 10_000_000), answer_bytes=500)


def bill(tariff: Tariff = TARIFF, estimate: Estimate = ESTIMATE) -> Bill:
    return Bill(tariff, 40, METER, estimate)


def costs(demands: tuple[Demand, ...]) -> dict[str, int]:
    return {demand.quota.name: demand.cost for demand in demands}


def delta(text: str) -> Any:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


@pytest.mark.parametrize(
    ("unit", "cost"),
    [("requests", 3), ("bytes", 7), ("tokens", 30), ("money", 10_000 + 25 + 200), ("concurrent", 1), ("videos", 2)],
)
def test_a_unit_is_a_function_of_the_amounts(unit: str, cost: int) -> None:
    assert cost_of(unit, Amounts(1, 7, 10, 20, 1, {"videos": 2}), TARIFF) == cost


def test_money_is_rounded_up() -> None:
    tariff = Tariff(price=Price(0, 1, 0))
    assert [cost_of("money", Amounts(1, 0, tokens), tariff) for tokens in (0, 1, 1_000_000, 1_000_001)] == [0, 1, 1, 2]


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 10**12), st.integers(0, 10**12))
def test_what_was_reserved_for_more_costs_no_less(a: int, b: int, price_in: int, price_out: int) -> None:
    tariff = Tariff(price=Price(5, price_in, price_out))
    for unit in ("tokens", "money"):
        assert cost_of(unit, Amounts(1, 0, a, b), tariff) <= cost_of(unit, Amounts(1, 0, a + 1, b + 1), tariff)


def test_what_is_reserved() -> None:
    reserved = costs(bill().ask(ALL))
    assert reserved == {
        "requests": 3,
        "tokens": 300,
        "bytes": 540,
        "slots": 1,
        "videos": 1,
        "money": 10_000 + 250 + 2000,
    }


def test_a_guess_of_an_answers_size_never_refuses_for_ever() -> None:
    demand = Demand(BYTES, "bytes")
    assert costs(bill(Tariff(answer_bytes=10**9)).ask((demand,))) == {"bytes": 1000}
    assert costs(bill(Tariff(answer_bytes=10**9)).ask((demand._replace(limit=200),))) == {"bytes": 200}
    big = Bill(Tariff(), 5000, None, None)
    assert costs(big.ask((demand,))) == {"bytes": 5000}, "what is known is known"


NOTHING = {"requests": 3, "tokens": 0, "bytes": 40, "slots": 0, "videos": 0, "money": 0}


def close(account: Bill, called: bool = True, refused: bool = False) -> dict[str, int]:
    account.owe(account.ask(ALL), shadow=False)
    return costs(account.close(called, refused))


def test_what_never_reached_the_upstream_pays_for_asking_alone() -> None:
    assert close(bill(), called=False, refused=True) == NOTHING
    assert close(bill(), called=False) == NOTHING


def test_an_upstream_that_failed_before_any_output_costs_the_asking_alone() -> None:
    account = bill()
    account.named = {}
    assert close(account, refused=True) == NOTHING


def test_an_upstream_that_failed_in_the_middle_costs_what_came_out() -> None:
    account = bill()
    account.streams, account.named = True, {}
    account.read(delta("a"))
    account.sent_bytes = 60
    assert close(account, refused=True) == NOTHING | {"tokens": 101, "bytes": 100, "money": 10_000 + 250 + 10}


def test_the_upstreams_own_count_is_what_is_settled() -> None:
    account = bill()
    account.streams, account.named = True, {"videos": 4}
    account.read(delta("a"))
    account.read({"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 500}})
    settled = close(account)
    assert settled == NOTHING | {"tokens": 550, "videos": 4, "money": 10_000 + 125 + 5000}, "and may be over"


def test_a_stream_that_was_left_costs_the_prompt_and_what_came_out() -> None:
    account = bill()
    account.streams = True
    for text in ("a", " b", " c"):
        account.read(delta(text))
    assert close(account)["tokens"] == 103


def test_what_nobody_saw_stays_reserved() -> None:
    account = bill()
    assert close(account) == NOTHING | {"tokens": 300, "videos": 1, "money": 10_000 + 250 + 2000}


def test_an_account_is_closed_once() -> None:
    account = bill()
    assert close(account)
    assert account.close(True, False) == ()
    assert bill().close(True, False) == (), "and not at all where nothing is owed"


def test_what_was_refused_is_not_owed() -> None:
    account = bill()
    account.owe(ALL[:2], shadow=False)
    account.owe(ALL[2:4], shadow=True)
    assert account.leases == (ALL[3],)
    account.drop(ALL[2:4])
    account.drop(ALL[:1])
    assert account.demands + account.tried == (ALL[1],)


def test_without_a_meter_documents_pass() -> None:
    account = Bill(TARIFF, 0, METER, None)
    assert account.meter is None
    assert account.read({"usage": {"prompt_tokens": 1}})
    assert account.usage is None
    assert account.cut() == b""


def test_more_is_asked_for_when_a_stream_runs_over() -> None:
    account = bill(estimate=Estimate(10, 16))
    account.owe(account.ask(ALL), shadow=False)
    for _ in range(17):
        account.read(delta("a"))
    assert account.missing_tokens == 0, "only where the policy says so"
    account.cuts = True
    assert account.missing_tokens == 1
    more = account.ask_more()
    assert costs(more) == {"tokens": 3, "money": 30}
    account.grow(more)
    assert account.missing_tokens == 0
    settled = costs(account.close(called=True, refused=False))
    assert settled["tokens"] == 26 - 3, "nobody read a stream here: the reservation stays; 3 of it are taken besides"


def test_what_was_taken_besides_is_part_of_what_was_used() -> None:
    account = bill(estimate=Estimate(10, 16))
    account.streams = account.cuts = True
    account.owe(account.ask(ALL), shadow=False)
    for _ in range(17):
        account.read(delta("a"))
    account.grow(account.ask_more())
    account.read({"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 17}})
    assert costs(account.close(called=True, refused=False))["tokens"] == 8 + 17 - 3


def test_a_cut_gives_up_what_was_not_taken() -> None:
    account = bill(estimate=Estimate(10, 2))
    account.streams = account.cuts = True
    account.owe(account.ask(ALL), shadow=False)
    for _ in range(3):
        account.read(delta("a"))
    assert b'"finish_reason":"length"' in account.cut()
    assert costs(account.close(called=True, refused=False))["tokens"] == 12


def test_a_usage_nobody_asked_for_does_not_leave() -> None:
    account = bill()
    account.hides_usage = True
    assert account.read(delta("a"))
    assert not account.read({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    assert account.usage == Usage(1, 1)


def test_of_two_usages_the_later_word_holds_and_silence_unsays_nothing() -> None:
    account = Bill(TARIFF, 40, MESSAGES, ESTIMATE)
    account.read({"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}})
    assert account.usage == Usage(5, None)
    account.read({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}})
    assert account.usage == Usage(5, 7)


# --- what an upstream names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "costs"),
    [
        ([], {}),
        ([("vallum-cost", "videos=3")], {"videos": 3}),
        ([("vallum-cost", "videos=3, images=0")], {"videos": 3, "images": 0}),
        ([("vallum-cost", "videos=3"), ("vallum-cost", "images=2")], {"videos": 3, "images": 2}),
        ([("x-kong-limit", "videos=3")], {"videos": 3}),
        ([("x-kong-limit", "videos=9"), ("vallum-cost", "videos=3")], {"videos": 3}),
        ([("vallum-cost", f"videos={COST_MAX}")], {"videos": COST_MAX}),
        ([("vallum-cost", f"videos={COST_MAX + 1}")], None),
        ([("vallum-cost", "videos=" + "9" * 400)], None),
        ([("vallum-cost", "")], None),
        ([("vallum-cost", "videos")], None),
        ([("vallum-cost", "videos=")], None),
        ([("vallum-cost", "videos=-1")], None),
        ([("vallum-cost", "videos=+1")], None),
        ([("vallum-cost", "videos=1.5")], None),
        ([("vallum-cost", "videos=01")], None),
        ([("vallum-cost", "videos=1_0")], None),
        ([("vallum-cost", "videos=\u0663")], None),
        ([("vallum-cost", "videos = 1")], None),
        ([("vallum-cost", "videos=1,")], None),
        ([("vallum-cost", "videos=1, videos=0")], None),
        ([("vallum-cost", "videos=1"), ("vallum-cost", "videos=0")], None),
        ([("vallum-cost", "videos=1; images=2")], None),
        ([("vallum-cost", ",".join(f"u{n}=1" for n in range(16)))], {f"u{n}": 1 for n in range(16)}),
        ([("vallum-cost", ",".join(f"u{n}=1" for n in range(17)))], None),
        ([("vallum-cost", "a=1" + " " * 2000)], None),
    ],
)
def test_what_an_upstream_says_of_its_cost_is_read_strictly(
    fields: list[tuple[str, str]], costs: dict[str, int] | None
) -> None:
    assert read_costs(Headers(fields)) == costs
