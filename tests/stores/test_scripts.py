"""The scripts in Lua, on a real Valkey: every answer is the Python model's, whatever is asked, in any order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from vallum.core import quota as facts
from vallum.core.counting import new_bucket, renew, settle, take
from vallum.core.quota import SECOND_US, Demand, Quota, Strategy, Taken
from vallum.stores.redis.scripts import (
    Call,
    decode_taken,
    encode_renew,
    encode_settle,
    encode_take,
    key_name,
    script,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Valkey

    from vallum.core.bucket import Bucket

HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
START_US = 1_700_000_000_000_123
QUOTAS = (
    Quota("strict", 10, DAY_US),
    Quota("odd", 7, HOUR_US + 7),
    Quota("smooth", 40, HOUR_US, strategy=Strategy.SMOOTH, burst=9),
    Quota("month", 15, 30 * DAY_US, strategy=Strategy.CALENDAR, months=1),
    Quota("aligned", 12, HOUR_US, strategy=Strategy.CALENDAR),
    Quota("leases", 4, HOUR_US, strategy=Strategy.LEASES),
)
NAMES = [quota.name for quota in QUOTAS]
IDS = st.sampled_from(["a", "b", "c d", "é", "1", "i", "p"])
STEPS_US = st.one_of(
    st.sampled_from([0, 0, 1, HOUR_US // 24, HOUR_US // 24 + 1, HOUR_US - 1, HOUR_US, DAY_US // 24, DAY_US]),
    st.integers(0, HOUR_US // 10),
    st.integers(0, 40 * DAY_US),
    st.integers(-2 * HOUR_US, -1),
)


@st.composite
def asked(draw: st.DrawFn, among: tuple[Quota, ...] = QUOTAS) -> tuple[Demand, ...]:
    """Draw demands on some of the quotas, in any order, with costs and limits in force around the quotas' own."""
    chosen = draw(st.lists(st.sampled_from(among), min_size=1, unique=True))
    costs = st.one_of(st.sampled_from([0, 1, 1, 2, 3, 5]), st.integers(0, 30))
    limits = st.sampled_from([None, None, None, 1, 5, 20])
    return tuple([Demand(quota, quota.name, draw(costs), draw(limits), "alice") for quota in chosen])


def send(server: redis.Redis, call: Call) -> Any:
    return server.evalsha(call.script.sha1, len(call.keys), *call.keys, *call.args)


@pytest.fixture
def server(valkey: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis(port=valkey.port) as client:
        client.flushall()
        for name in ("take", "settle", "renew"):
            assert client.script_load(script(name).text) == script(name).sha1
        yield client


class Twins(RuleBasedStateMachine):
    """The model and the server, asked the same things."""

    server: redis.Redis
    operations = 0
    admitted = 0

    @initialize()
    def begin(self) -> None:
        self.server.flushall()
        self.buckets: dict[str, Bucket] = {quota.name: new_bucket(quota) for quota in QUOTAS}
        self.now_us = START_US

    def _tick(self, step_us: int) -> None:
        self.now_us += step_us
        Twins.operations += 1

    def _both(self, demands: tuple[Demand, ...], name: str) -> Taken:
        taken = take([self.buckets[demand.key] for demand in demands], demands, self.now_us, name)
        assert decode_taken(demands, send(self.server, encode_take(demands, name, self.now_us))) == taken
        Twins.admitted += taken.refused is None
        return taken

    @rule(step_us=STEPS_US, demands=asked(), name=IDS)
    def reserve(self, step_us: int, demands: tuple[Demand, ...], name: str) -> None:
        self._tick(step_us)
        self._both(demands, name)

    @rule(step_us=STEPS_US, demands=asked(QUOTAS[:5]))
    def take_for_good(self, step_us: int, demands: tuple[Demand, ...]) -> None:
        self._tick(step_us)
        self._both(demands, "")

    @rule(step_us=STEPS_US, demands=asked(), name=IDS, times=st.integers(1, 2))
    def settle(self, step_us: int, demands: tuple[Demand, ...], name: str, times: int) -> None:
        self._tick(step_us)
        for _ in range(times):
            settle([(self.buckets[demand.key], demand) for demand in demands], self.now_us, name)
            send(self.server, encode_settle(demands, name, self.now_us))

    @rule(step_us=STEPS_US, demands=asked(), name=IDS)
    def renew(self, step_us: int, demands: tuple[Demand, ...], name: str) -> None:
        self._tick(step_us)
        renew([(self.buckets[demand.key], demand) for demand in demands], self.now_us, name)
        call = encode_renew(demands, name, self.now_us)
        if call is not None:
            send(self.server, call)

    @rule(demands=asked(), name=IDS, back_us=st.integers(0, 1))
    def ask_again_when_it_was_said(self, demands: tuple[Demand, ...], name: str, back_us: int) -> None:
        """The instants at which an answer turns: the wait's end, and a microsecond before."""
        taken = self._both(demands, name)
        if taken.refused is not None:
            self._tick(taken.retry_after_us - back_us)
            self._both(demands, name)


@pytest.mark.timeout(180)
def test_model_and_scripts_say_the_same(server: redis.Redis) -> None:
    Twins.server, Twins.operations, Twins.admitted = server, 0, 0
    while Twins.operations < 10_000:  # how many steps a run has is chance's
        run_state_machine_as_test(
            Twins,
            settings=settings(
                max_examples=160, stateful_step_count=80, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    assert Twins.admitted >= 500


def test_model_and_scripts_say_the_same_of_great_numbers(server: redis.Redis) -> None:
    """The bounds: the longest window, the highest limit, and clocks of the next century."""
    chance = random.Random(7)
    for strategy in (Strategy.STRICT, Strategy.SMOOTH, Strategy.CALENDAR):
        for limit, window_us in (
            (facts.MAX_UNITS, facts.LONGEST_US),
            (facts.MAX_UNITS, SECOND_US),
            (1, 999_999_999_989),
        ):
            server.flushall()
            quota = Quota("great", limit, window_us, strategy=strategy)
            bucket, now_us = new_bucket(quota), 4_000_000_000_000_000 + chance.randrange(10**12)
            for number in range(60):
                now_us += chance.randrange(window_us // 8)
                demands = (Demand(quota, "great", chance.randrange(limit + 1)),)
                name = str(number)
                taken = take([bucket], demands, now_us, name)
                assert decode_taken(demands, send(server, encode_take(demands, name, now_us))) == taken
                if number % 3 == 0:
                    used = (demands[0]._replace(cost=chance.choice([0, limit // 2, limit, 10**18])),)
                    settle([(bucket, used[0])], now_us, name)
                    send(server, encode_settle(used, name, now_us))


def test_no_bucket_remembers_more_reservations_than_it_may(server: redis.Redis) -> None:
    for strategy in (Strategy.STRICT, Strategy.SMOOTH, Strategy.CALENDAR):
        server.flushall()
        quota = Quota("q", 10**6, HOUR_US, strategy=strategy)
        demands = (Demand(quota, "q", 0),)
        send(server, encode_take(demands, "0", START_US))
        key = key_name("", "q")
        server.hset(key, "p", facts.MAX_UNSETTLED)  # as if there were so many
        taken = decode_taken(demands, send(server, encode_take(demands, "one more", START_US)))
        assert (taken.refused, taken.retry_after_us) == (quota, facts.BUSY_US)
        assert decode_taken(demands, send(server, encode_take(demands, "", START_US))).refused is None
        assert decode_taken(demands, send(server, encode_take(demands, "0", START_US))).refused is None


def test_the_servers_clock_counts_where_no_time_is_given(server: redis.Redis) -> None:
    quota = Quota("q", 3, 60 * SECOND_US)
    demands = (Demand(quota, "q"),)
    answers = [decode_taken(demands, send(server, encode_take(demands))) for _ in range(5)]
    assert [taken.refused is None for taken in answers] == [True] * 3 + [False] * 2
    assert 59 * SECOND_US < answers[-1].retry_after_us <= 62_500_000


@pytest.mark.parametrize("strategy", list(Strategy))
def test_every_key_expires_when_nothing_in_it_counts(server: redis.Redis, strategy: Strategy) -> None:
    quota = Quota("q", 10, 60 * SECOND_US, strategy=strategy)
    demands = (Demand(quota, "q", holder="alice"),)
    grace_ms = 10_000
    for name in ("x", "y"):
        send(server, encode_take(demands, name))
        assert 0 < server.pttl(key_name("alice", "q")) <= 62_500 + grace_ms
    send(server, encode_settle(demands, "x"))
    assert 0 < server.pttl(key_name("alice", "q")) <= 62_500 + grace_ms


def test_a_key_with_a_debt_stays_until_it_would_be_paid(server: redis.Redis) -> None:
    quota = Quota("q", 10, 60 * SECOND_US)
    demands = (Demand(quota, "q"),)
    send(server, encode_take(demands, "x"))
    send(server, encode_settle((demands[0]._replace(cost=35),), "x"))
    assert 180_000 < server.pttl(key_name("", "q")) <= 62_500 * 4 + 10_000  # 25 owed at 10 a window: three more


def test_the_bounds_are_the_models(server: redis.Redis) -> None:
    text = script("take").text
    for line in (
        "LONGEST_US = 3653 * 86400 * 1000000",
        f"MAX_UNITS = 1e{len(str(facts.MAX_UNITS)) - 1}",
        f"MAX_UNSETTLED = {facts.MAX_UNSETTLED}",
        f"BUSY_US = {facts.BUSY_US}",
    ):
        assert f"local {line}\n" in text
    assert facts.LONGEST_US == 3653 * 86_400 * 1_000_000


def test_keys_say_nothing_of_a_caller_and_lie_beside_each_other() -> None:
    names = [key_name("subject\x1falice", key) for key in ("minute", "day")]
    assert len({name.partition("}")[0] for name in names}) == 1
    assert len(set(names)) == 2
    assert all(len(name) == len("vlm:{}:") + 16 + 32 and "alice" not in name for name in names)
    assert key_name("bob", "minute").partition("}")[0] != names[0].partition("}")[0]


def test_a_lease_needs_an_id() -> None:
    with pytest.raises(ValueError, match="needs an id"):
        encode_take((Demand(QUOTAS[5], "k"),))


def test_only_leases_are_renewed() -> None:
    assert encode_renew((Demand(QUOTAS[0], "k"),), "x") is None
    call = encode_renew((Demand(QUOTAS[0], "k"), Demand(QUOTAS[5], "l")), "x")
    assert call is not None
    assert call.keys == (key_name("", "l"),)
