"""Whatever becomes of exchanges, in whatever order: no span holds more than the limit, and in the end what was settled
is what was really used.

A machine runs the real engine on the real in-memory counters with a clock of its own, and keeps its own book.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vallum.codecs.json import AnswerJson, Json
from vallum.core.cost import OutputBound
from vallum.core.decision import Allow, Deny, Reason
from vallum.core.effects import Effect, SettleQuota, Steps, TakeQuota
from vallum.core.engine import Engine
from vallum.core.exchange import Exchange, Headers, Request, ResponseHead
from vallum.core.policy import Intake, Limit, OnOverrun, Outlet, Policy, Route, Upstream
from vallum.core.principal import Principal
from vallum.core.quota import Quota, Strategy
from vallum.core.target import Pattern
from vallum.core.windows import Window
from vallum.presets.openai.amounts import METERS
from vallum.stores.memory import MemoryCounters

WINDOW_US = 60_000_000
TOKENS = Quota("tokens", 200, WINDOW_US, unit="tokens")
SLOTS = Quota("slots", 3, WINDOW_US, unit="concurrent", strategy=Strategy.LEASES)
DAY = Quota("day", 100_000, 86_400_000_000, unit="tokens")
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


class Knowing:
    """An authenticator that knows everybody."""

    type: ClassVar[str] = "knowing"
    challenge: ClassVar[str] = "Bearer"

    def authenticate(self, request: Request) -> Steps[Principal]:
        """Answer at once."""
        return Principal("alice")
        yield


@dataclass
class Call:
    """An exchange in hand, and what it should cost."""

    x: Exchange
    reserved: int
    at_us: int
    emitted: int = 0
    extra: list[tuple[int, int]] = field(default_factory=list)  # when, units


class Spending(RuleBasedStateMachine):
    """Callers who stream, leave, fail and try again."""

    def __init__(self) -> None:
        super().__init__()
        self.now_us = 1_000_000_000
        self.counters = MemoryCounters(lambda: self.now_us)
        route = Route(
            name="chat",
            methods=frozenset({"POST"}),
            pattern=Pattern.parse("/chat"),
            upstream=Upstream("llm", "http://127.0.0.1:9"),
            authenticators=(Knowing(),),
            limits=(Limit(TOKENS), Limit(SLOTS), Limit(DAY)),
            intake=Intake(codecs={"application/json": Json()}),
            outlet=Outlet(codec=AnswerJson()),
            meter=METERS["openai.chat"],
            output_bound=OutputBound(20),
            on_overrun=OnOverrun.CUT,
        )
        self.engine = Engine(Policy((route,), {}, "digest"))
        self.calls: list[Call] = []
        self.held: list[tuple[int, int]] = []  # charged for good: when reserved, units
        self.used = 0
        self.number = 0
        self.overrun = False  # a usage said more than was reserved: from here on there may be debt

    def run_steps(self, steps: Steps[Any]) -> Any:
        async def perform(effect: Effect[Any]) -> Any:
            if isinstance(effect, TakeQuota):
                return await self.counters.take(effect.demands, effect.id)
            assert isinstance(effect, SettleQuota)
            return await self.counters.settle(effect.demands, effect.id)

        try:
            effect = next(steps)
            while True:
                effect = steps.send(asyncio.run(perform(effect)))
        except StopIteration as stop:
            return stop.value

    # --- what callers do

    @rule(words=st.integers(1, 12), output=st.integers(1, 60))
    def ask(self, words: int, output: int) -> None:
        self.number += 1
        fields = Headers([("content-type", "application/json"), ("content-length", "2")])
        x = self.engine.open(Request(f"r{self.number}", "POST", "/chat", "", fields, "192.0.2.1", 0.0))
        self.run_steps(self.engine.request_head(x))
        document = {"messages": ["word"] * words, "max_tokens": output, "stream": True}
        self.run_steps(self.engine.request_body(x, json.dumps(document).encode()))
        assert x.estimate is not None
        if isinstance(x.decision, Allow):
            self.calls.append(Call(x, sum(x.estimate[:2]), self.now_us))
        else:
            self.run_steps(self.engine.settle(x))
            assert x.bill is not None
            assert x.bill.settled == (), "a refusal costs nothing"

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), words=st.integers(1, 30))
    def stream(self, data: Any, words: int) -> None:
        call = self.pick(data)
        x = call.x
        if x.relay is None:
            self.engine.call(x)
            self.engine.response_head(x, ResponseHead(200, Headers([("content-type", "text/event-stream")])))
        out = self.engine.response_chunk(x, WORD * words)
        assert x.bill is not None
        while isinstance(out, bytes):
            call.emitted += out.count(b"data: ")
            if not x.bill.missing_tokens:
                return
            before = x.bill.extra_tokens
            ending = self.run_steps(self.engine.overrun(x))
            if ending is not None:
                assert b"[DONE]" in ending
                assert x.estimate is not None
                self.close(call, x.estimate.input_tokens + call.emitted)
                return
            call.extra.append((self.now_us, x.bill.extra_tokens - before))
            out = self.engine.response_chunk(x, b"")

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), shift=st.integers(-30, 5))
    def end(self, data: Any, shift: int) -> None:
        """The upstream says what it used: mostly less than was thought, at times more."""
        call = self.pick(data)
        x = call.x
        if x.relay is None:
            return
        assert x.estimate is not None
        taken_in = max(0, x.estimate.input_tokens + shift)
        usage = {"prompt_tokens": taken_in, "completion_tokens": call.emitted}
        self.engine.response_chunk(x, f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n".encode())
        self.engine.response_end(x)
        self.close(call, taken_in + call.emitted)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        call = self.pick(data)
        x = call.x
        assert x.estimate is not None
        x.cancelled = True
        if x.relay is None and not x.called:
            self.close(call, 0)
        else:
            self.close(call, x.estimate.input_tokens + call.emitted)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def fail(self, data: Any) -> None:
        """The upstream dies, before or in the middle."""
        call = self.pick(data)
        x = call.x
        assert x.estimate is not None
        x.called = True
        x.decision = Deny(Reason.UPSTREAM_ERROR, "upstream")
        self.close(call, x.estimate.input_tokens + call.emitted if call.emitted else 0)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def be_killed(self, data: Any) -> None:
        """The gateway dies: nothing is settled, and what was reserved stays charged."""
        call = self.pick(data)
        self.calls.remove(call)
        self.held.append((call.at_us, call.reserved))
        self.held += call.extra

    @rule(span_us=st.sampled_from([1, 1_000_000, 20_000_000, WINDOW_US // 24, WINDOW_US, 2 * WINDOW_US]))
    def wait(self, span_us: int) -> None:
        self.now_us += span_us

    # --- the book

    def pick(self, data: Any) -> Call:
        call: Call = data.draw(st.sampled_from(self.calls))
        return call

    def close(self, call: Call, used: int) -> None:
        x = call.x
        self.run_steps(self.engine.settle(x))
        self.run_steps(self.engine.settle(x))  # a second time is nothing
        assert x.bill is not None
        bucket = next(demand for demand in x.bill.settled if demand.quota is TOKENS)
        assert bucket.cost + x.bill.extra.get(bucket.key, 0) == used
        self.overrun = self.overrun or used > call.reserved + sum(units for _, units in call.extra)
        asyncio.run(self.counters.settle(x.bill.settled, x.request.id))  # nor is one that the store sees twice
        self.calls.remove(call)
        self.used += used
        extra = sum(units for _, units in call.extra)
        self.held.append((call.at_us, used - extra))
        self.held += call.extra

    def book(self) -> int:
        """What counts now: settled and reserved within the last window."""
        entries = self.held + [(call.at_us, call.reserved) for call in self.calls]
        entries += [entry for call in self.calls for entry in call.extra]
        return sum(units for at_us, units in entries if at_us > self.now_us - WINDOW_US)

    @invariant()
    def never_more_than_the_limit(self) -> None:
        if not self.overrun:
            assert self.book() <= TOKENS.limit

    @invariant()
    def never_more_at_once(self) -> None:
        held = [call for call in self.calls if call.at_us + SLOTS.window_us > self.now_us]
        assert len(held) <= SLOTS.limit

    def teardown(self) -> None:
        """Let all leave: then the day's quota holds what was used, to the token, and no lease is held."""
        killed = sum(units for _, units in self.held) - self.used
        for call in list(self.calls):
            assert call.x.estimate is not None
            asked = call.x.estimate.input_tokens + call.emitted
            self.close(call, asked if call.x.relay is not None or call.x.called else 0)
        for key, bucket in self.counters._buckets.items():
            if key.split("\x1f")[1] == "day":
                assert isinstance(bucket, Window)
                assert bucket.total + bucket.debt == self.used + killed
        assert killed >= 0


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=60, stateful_step_count=40)
