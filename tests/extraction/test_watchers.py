"""Which exchanges are noted, as what, and by whom they are judged."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vallum.core.content import Upload
from vallum.core.decision import Allow, Deny, Reason
from vallum.core.exchange import Headers, ResponseHead
from vallum.core.extraction import CLEAR, Account, Extraction, Grade, Pardon, Query, Respond, Terms
from vallum.core.inputs import at_places
from vallum.core.policy import Policy
from vallum.extraction.facts import Findings, Named
from vallum.extraction.watch import Watch
from vallum.extraction.watchers import INPUTS_MAX, TOKENS_MAX, Watchers, read_inputs, was_answered

if TYPE_CHECKING:
    from tests.conftest import Kit

    from vallum.core.exchange import Exchange
    from vallum.core.policy import Route

T0 = 1_700_000_000.0
JSON = [("content-type", "application/json")]
RULE = Extraction("digits", "vector", at_places("vector", (("input",),)), respond=Respond.GRADUATED, seed=lambda: b"s")
THIEF = Account("subject\x1fthief")


class Noting(Watch):
    def __init__(self) -> None:
        super().__init__()
        self.noted: list[Query] = []

    def note(self, query: Query) -> None:
        self.noted.append(query)


class Bench:
    """A route that is watched, and the exchanges of a test."""

    def __init__(self, kit: Kit, **changes: Any) -> None:
        self.kit = kit
        parts: dict[str, Any] = {"extraction": RULE, "outlet": kit.outlet(kit.Dropping())}
        self.route: Route = kit.route(**(parts | changes))
        self.watch = Noting()
        self.watchers = Watchers(lambda _: self.watch)
        self.engine = kit.engine(self.route)
        self.watchers.keep(self.engine.policy)

    def ask(self, body: bytes = b'{"input": [1, 2]}', **request: Any) -> Exchange:
        x = self.engine.open(self.kit.request(**request))
        self.kit.talk(self.engine.request_head(x), CLEAR)
        if isinstance(x.decision, Allow):
            self.kit.talk(self.engine.request_body(x, body))
        return x

    def answer(self, x: Exchange, status: int = 200, data: bytes = b'{"s": 1}', fields: Any = JSON) -> None:
        self.engine.call(x)
        judged = self.engine.response_head(x, ResponseHead(status, Headers(fields)))
        if not isinstance(judged, Deny):
            self.engine.response_chunk(x, data)
            self.engine.response_end(x)

    @property
    def noted(self) -> list[tuple[Any, ...]]:
        return [query.inputs for query in self.watch.noted]


def test_an_answered_request_is_noted_once_with_all_that_is_known(kit: Kit) -> None:
    bench = Bench(kit)
    x = bench.ask()
    bench.answer(x)
    bench.watchers.note(x)
    (query,) = bench.watch.noted
    assert query.account == x.account
    assert query[1:] == (T0, ([1, 2],), {"s": 1}, 0, 0, "req-1")


@pytest.mark.parametrize(
    ("name", "is_noted"),
    [
        ("never called", False),
        ("refused by a check", False),
        ("the upstream failed", False),
        ("unreadable", False),
        ("left early", True),
        ("broken off", True),
        ("no input", False),
        ("HEAD", True),
        ("in shadow", True),
        ("another route", False),
        ("no route", False),
        ("not watched", False),
    ],
)
def test_what_gave_an_answer_is_noted_and_nothing_else(kit: Kit, name: str, is_noted: bool) -> None:
    changes: dict[str, Any] = {}
    if name == "in shadow":
        changes = {"mode": "shadow"}
    elif name == "another route":
        changes = {"extraction": None}
    elif name == "not watched":
        changes = {"extraction": replace(RULE, watch=False)}
    bench = Bench(kit, **changes)
    if name == "another route":
        x = kit.judge(bench.engine, kit.request())
    elif name == "no route":
        x = bench.engine.open(kit.request(path="/other"))
        kit.talk(bench.engine.request_head(x))
    else:
        x = bench.ask(
            b'{"other": 1}' if name == "no input" else b'{"input": [1]}', method="HEAD" if name == "HEAD" else "POST"
        )
    if name == "refused by a check":
        x.decision = Deny(Reason.REQUEST_REJECTED, "check")
    elif name not in {"never called", "no route"}:
        status = 500 if name == "the upstream failed" else 200
        fields = [("content-type", "text/event-stream")] if name in {"broken off", "left early"} else JSON
        bench.answer(x, status, b"no JSON" if name == "unreadable" else b'{"s": 1}', fields)
    if name == "left early":
        x.cancelled = True
    if name == "broken off":
        x.decision = Deny(Reason.UPSTREAM_ERROR, "leaks")
    bench.watchers.note(x)
    assert bool(bench.noted) is is_noted


def test_a_batch_is_noted_as_its_inputs_evenly_and_within_bounds(kit: Kit) -> None:
    bench = Bench(kit)
    x = bench.ask(b'{"input": [%b]}' % b",".join(b"[%d]" % n for n in range(10_000)))
    bench.answer(x)
    bench.watchers.note(x)
    ((first, *_, last),) = bench.noted
    assert (len(x.inputs), len(bench.noted[0])) == (10_000, INPUTS_MAX)
    assert first[0] < 40
    assert last[0] > 9_900


def test_nobody_can_tell_which_inputs_of_a_batch_are_looked_at() -> None:
    batch = tuple(range(10_000))
    assert len({read_inputs("vector", batch, f"request {n}")[0] for n in range(40)}) > 20
    looked = [read_inputs("vector", batch, f"request {n}") for n in range(400)]
    shares = [sum(value % 100 != 0 for value in some) / len(some) for some in looked]
    assert sum(share == 0 for share in shares) < 20, "one honest input before 99 others hides them by chance alone"


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("table", [1, "x"], (1, "x")),
        ("table", {"a": 1}, {"a": 1}),
        ("image", b64encode(b"png").decode(), b"png"),
        ("image", "data:image/png;base64," + b64encode(b"png").decode(), b"png"),
        ("image", "https://example.com/a.png", b"https://example.com/a.png"),
        ("image", "\ud800", b"?"),
        ("image", Upload("", "image/png", b"png"), b"png"),
        ("image", [[0, 1]], [[0, 1]]),
        ("text", "hello", "hello"),
        ("text", [31, 7], "31 7"),
        ("text", [1] + [2] * 9999 + [3], " ".join("1" + "2" * 2 * (TOKENS_MAX - 1) + "3")),
    ],
)
def test_inputs_are_what_featurisers_take(kit: Kit, kind: str, value: Any, read: Any) -> None:
    bench = Bench(kit, extraction=replace(RULE, kind=kind))
    x = bench.ask()
    x.inputs = at_places(kind, (("input",),))({"input": value})
    bench.answer(x)
    bench.watchers.note(x)
    assert bench.noted == [(read,)]


def test_a_watch_outlives_the_policy_and_two_routes_to_one_model_have_one(kit: Kit) -> None:
    first, second = kit.route(extraction=RULE), kit.route(name="batch", extraction=RULE)
    watchers = Watchers()
    watchers.keep(Policy((first, second), {}))
    ((_, watch),) = watchers.all()
    watchers.keep(Policy((second, kit.route(extraction=None)), {}))
    assert watchers.all() == (("digits", watch),)
    watchers.keep(Policy((), {}))
    assert watchers.all() == ()


def test_who_is_named_is_judged_counted_told_of_and_pardoned(kit: Kit) -> None:
    watchers = Watchers()
    watchers.keep(Policy((kit.route(extraction=replace(RULE, terms=Terms(sweeps=1))),), {}))
    ((_, watch),) = watchers.all()
    named = (Named(THIEF.name, "a", 5.0, established=False),)
    watch.ladder.update(Findings(T0, named=named, calibrated=True), T0)
    assert watchers.judge("digits", THIEF, T0).grade is Grade.BUDGET
    assert watchers.judge("other", THIEF, T0) is CLEAR
    assert watchers.judge("digits", THIEF._replace(name="ip\x1fthief"), T0) is CLEAR
    (count,) = watchers.count(T0)
    assert (count.model, count.accounts[Grade.BUDGET], count.sweeps) == ("digits", 1, 1)
    assert [(model, change.after) for model, change in watchers.take_changes(T0)] == [("digits", Grade.BUDGET)]
    assert watchers.take_changes(T0) == []
    watchers.pardon(one for one in [Pardon(THIEF.name, T0 + 9)])
    assert watchers.judge("digits", THIEF, T0).pardoned


def test_an_exchange_that_never_began_was_not_answered(kit: Kit) -> None:
    assert not was_answered(kit.engine().open(kit.request()))
