"""What a verdict does to an exchange: by grade, by how the route responds, and when a store is down."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vallum.client import solve
from vallum.core.coarsening import LEVELS, Coarsening
from vallum.core.cost import ANSWERS
from vallum.core.decision import Allow, Challenge, Deny, Reason
from vallum.core.effects import ReadVerdict, RememberProof, SettleQuota, TakeQuota
from vallum.core.engine import line_up
from vallum.core.errors import DependencyError
from vallum.core.exchange import NOBODY, Headers, ResponseHead
from vallum.core.extraction import (
    CLEAR,
    Account,
    Extraction,
    Grade,
    Respond,
    Verdict,
    name_account,
    parse_account,
)
from vallum.core.inputs import at_places
from vallum.core.policy import Mode, OnError
from vallum.core.principal import Confirmation, Principal
from vallum.core.problem import problem
from vallum.core.quota import Taken
from vallum.core.record import Timing, compose
from vallum.core.sidedoor import Ask
from vallum.core.theft import Suspicion
from vallum.core.verdicts import BUDGET, METER, account_of, demands, read, work
from vallum.core.weight import Weight

if TYPE_CHECKING:
    from tests.conftest import Dialogue, Kit

    from vallum.core.decision import Decision
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Route

NOW = 1_700_000_000.0
SEED = b"a seed that nobody can guess"
DOWN = DependencyError("the store is down")
RULE = Extraction("digits", "vector", at_places("vector", (("input",),)), respond=Respond.GRADUATED, seed=lambda: SEED)
WHO = Principal("alice", "acme", frozenset(), "key_1", "keys", created=NOW - 60)
EVIDENCE = "an account named with 9 others, 2 sweeps in a row, score 5"
COARSER = Verdict(Grade.COARSER, 2, "c1", evidence=EVIDENCE, until=NOW + 60)
BUDGETED = Verdict(Grade.BUDGET, 3, "c1", 20, evidence=EVIDENCE, until=NOW + 60)
PROVING = Verdict(Grade.PROOF, 3, "c1", None, 4, EVIDENCE, NOW + 60)
REFUSED = Verdict(Grade.REFUSED, 3, "c1", 20, 0, EVIDENCE, NOW + 60)
ONE, BATCH = b'{"input": [1, 2]}', b'{"input": [[1, 2], [3, 4], [5, 6]]}'


def route_of(kit: Kit, rule: Extraction = RULE, who: Principal = WHO, **changes: Any) -> Route:
    return kit.route(authenticators=(kit.Vouching(who),), extraction=rule, **changes)


def ask(
    kit: Kit, route: Route, verdict: Any, *replies: Any, body: bytes = ONE, headers: tuple[tuple[str, str], ...] = ()
) -> tuple[Exchange, list[Dialogue[Decision]]]:
    """Take a request through both phases; `replies` are for the body's."""
    engine = kit.engine(route)
    x = engine.open(kit.request(headers=(("content-type", "application/json"), ("content-length", "9"), *headers)))
    talks = [kit.talk(engine.request_head(x), verdict)]
    if isinstance(x.decision, Allow):
        talks.append(kit.talk(engine.request_body(x, body), *replies))
    return x, talks


def told(x: Exchange) -> dict[str, Any]:
    record = compose(x, 200, Timing(0.0, 0.0), 0)
    found: dict[str, Any] = record.get("extraction", {})
    return found


# --- the line, and what is read


def test_where_the_stages_stand(kit: Kit) -> None:
    line = line_up(route_of(kit))
    assert [stage.name for stage in line.head][2:5] == ["authorise", "extraction", "declared_size"]
    assert [stage.name for stage in line.body] == ["parse", "inputs", "work", "quotas"]
    assert {stage.mode for stage in (*line.head, *line.body)} == {Mode.ENFORCE}
    for observed in (route_of(kit, replace(RULE, respond=Respond.OBSERVE)), route_of(kit, mode=Mode.SHADOW)):
        assert [stage.name for stage in line_up(observed).body][-1] == "quota:extraction"


def test_what_is_said_of_who_asks(kit: Kit) -> None:
    x, talks = ask(kit, route_of(kit), CLEAR, headers=(("user-agent", "curl/8.1"),))
    (effect,) = talks[0].asked
    assert isinstance(effect, ReadVerdict)
    assert (effect.model, effect.now) == ("digits", NOW)
    assert effect.account._replace(client="") == Account(
        "subject\x1falice", NOW - 60, "192.0.2.0/24", "curl", "", "acme", verified=False
    )
    assert len(effect.account.client) == 8
    assert (x.inputs, told(x)) == (([1, 2],), {})


@pytest.mark.parametrize(
    ("change", "who", "verified"),
    [
        ({}, {}, False),
        ({"verified": frozenset({"alice"})}, {}, True),
        ({"verified": frozenset({"bob"})}, {}, False),
        ({"verified_tenants": frozenset({"acme"})}, {}, True),
        ({}, {"confirmation": Confirmation(certificate="t")}, False),
        ({"bound_is_verified": True}, {"confirmation": Confirmation(certificate="t")}, True),
        ({"verified": frozenset({""})}, {"subject": ""}, False),
    ],
)
def test_who_is_verified(kit: Kit, change: dict[str, Any], who: dict[str, Any], verified: bool) -> None:
    x = kit.engine().open(kit.request())
    x.principal = WHO._replace(**who)
    assert account_of(x, replace(RULE, **change)).verified is verified


def test_who_has_no_name_goes_by_its_address(kit: Kit) -> None:
    _, talks = ask(kit, route_of(kit, who=NOBODY), CLEAR)
    effect = talks[0].asked[0]
    assert isinstance(effect, ReadVerdict)
    assert effect.account.name == "ip\x1f192.0.2.1"


def test_an_account_is_written_as_people_do() -> None:
    for text, name in (("subject:a:b", "subject\x1fa:b"), ("ip:::1", "ip\x1f::1"), ("cluster:c1", "cluster\x1fc1")):
        assert (parse_account(text), name_account(name)) == (name, text)
    for text in ("alice", "urn:x", "ip:", ""):
        assert parse_account(text) == f"subject\x1f{text}"


# --- coarser


@pytest.mark.parametrize(
    ("verdict", "route", "level"),
    [
        (CLEAR, {}, 0),
        (COARSER, {}, 2),
        (COARSER, {"mode": Mode.SHADOW}, 0),
        (COARSER, {"extraction": replace(RULE, respond=Respond.OBSERVE)}, 0),
        (COARSER, {"extraction": replace(RULE, respond=Respond.DENY)}, 2),
    ],
)
def test_answers_become_coarser(kit: Kit, verdict: Verdict, route: dict[str, Any], level: int) -> None:
    outlet = kit.outlet(kit.Dropping(), coarser=tuple([Coarsening(["s"], number) for number in LEVELS]))
    made = replace(route_of(kit, outlet=outlet), **route)
    x, _ = ask(kit, made, verdict)
    engine = kit.engine(made)
    engine.response_head(x, ResponseHead(200, Headers([("content-type", "application/json")])))
    engine.response_chunk(x, b'{"s": 0.9312, "secret": 1}')
    out = engine.response_end(x)
    sent = b'{"s": 0.9312, "secret": 1}' if made.mode is Mode.SHADOW else {0: b'{"s":0.9312}', 2: b'{"s":0.9}'}[level]
    assert (x.coarsen, out) == (level, sent)
    assert x.answer == {0: {"s": 0.9312}, 2: {"s": 0.9}}[level]
    assert told(x).get("grade") == (None if verdict is CLEAR else "coarser")


def test_an_answer_that_is_not_read_is_not_kept(kit: Kit) -> None:
    engine, x, _ = kit.answered(kit.route())
    engine.response_end(x)
    assert x.answer is None
    made = route_of(kit, outlet=kit.outlet(kit.Dropping()))
    x, _ = ask(kit, made, CLEAR)
    engine = kit.engine(made)
    engine.response_head(x, ResponseHead(200, Headers([("content-type", "application/json")])))
    engine.response_chunk(x, b"no JSON")
    assert isinstance(engine.response_end(x), Deny)
    assert x.answer is None


# --- one budget


def test_a_cluster_shares_one_bucket_beside_the_routes_own(kit: Kit) -> None:
    quota = kit.quota()
    made = route_of(kit, limits=(kit.limit(quota),))
    x, talks = ask(kit, made, BUDGETED, Taken(((quota, 9, 0), (quota, 19, 0))))
    (own, shared) = talks[1].demands[0]
    assert own.quota is quota
    assert (shared.key, shared.cost, shared.in_force) == ("\x1fextraction\x1fdigits\x1fcluster\x1fc1", 1, 20)
    assert isinstance(x.decision, Allow)
    assert x.quota_fields == () or "cluster" not in str(x.quota_fields)
    _, others = ask(kit, route_of(kit, who=WHO._replace(subject="bob")), BUDGETED, Taken(((shared.quota, 1, 0),)))
    assert others[1].demands[0][0].key == shared.key, "whoever asks"


def test_a_batch_takes_an_answer_for_each_input(kit: Kit) -> None:
    _, talks = ask(kit, route_of(kit), BUDGETED, Taken(()), body=BATCH)
    assert [demand.cost for demand in talks[1].demands[0]] == [3]
    x, talks = ask(kit, route_of(kit), BUDGETED, Taken(()), body=b'{"elsewhere": [1]}')
    assert [demand.cost for demand in talks[1].demands[0]] == [1], "what cannot be counted is one"
    assert "no input where the policy says that it lies" in x.unscanned[0]
    x, _ = ask(kit, route_of(kit, mode=Mode.SHADOW), CLEAR, body=b"no JSON")
    assert (x.content, x.inputs) == (None, ())


@pytest.mark.parametrize("never", [False, True])
def test_over_the_budget_a_caller_is_told_what_any_quota_says(kit: Kit, never: bool) -> None:
    def take(effect: TakeQuota) -> Taken:
        quota = effect.demands[0].quota
        return Taken(((quota, 0, 0),), quota, 3_600_000_001, never=never)

    engine = kit.engine(route_of(kit))
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x), BUDGETED)
    steps = engine.request_body(x, BATCH)
    effect = next(steps)
    assert isinstance(effect, TakeQuota)
    with pytest.raises(StopIteration) as stop:
        steps.send(take(effect))
    refusal = stop.value.value
    assert isinstance(refusal, Deny)
    assert (refusal.reason, refusal.retry_after_s, refusal.should_retry) == (Reason.QUOTA_EXCEEDED, 3601, False)
    body = json.loads(problem(refusal, "id"))
    assert set(body) == {"type", "title", "status", "code", "request_id"}, "nothing is given away"
    assert "20 answers a day for a cluster; 3 asked for" in refusal.detail
    assert told(x)["cluster"] == "c1"


def test_what_is_settled_leaves_the_budget_as_it_was_taken(kit: Kit) -> None:
    quota = replace(kit.quota(), unit="bytes", limit=10**9)
    made = route_of(kit, limits=(kit.limit(quota),))
    x, talks = ask(kit, made, BUDGETED, Taken(()), body=BATCH)
    assert [demand.cost for demand in talks[1].demands[0]][1] == 3
    (settled,) = kit.talk(kit.engine(made).settle(x), None).asked
    assert isinstance(settled, SettleQuota)
    assert [(one.quota.unit, one.cost) for one in settled.demands if one.quota.unit == ANSWERS] == [(ANSWERS, 3)]


@pytest.mark.parametrize("on_error", list(OnError))
def test_a_budget_never_fails_open(kit: Kit, on_error: OnError) -> None:
    made = route_of(kit, limits=(kit.limit(),), on_error=on_error)
    x, _ = ask(kit, made, BUDGETED, DOWN)
    assert isinstance(x.decision, Deny)
    assert x.decision.reason is Reason.UNAVAILABLE
    x, _ = ask(kit, made, COARSER, DOWN)
    assert isinstance(x.decision, Allow) is (on_error is OnError.ALLOW), "only what a suspect is held to"


def test_a_limit_that_is_lowered_leaves_the_budget_alone(kit: Kit) -> None:
    quota = kit.quota()
    made = route_of(kit, limits=(kit.limit(quota),))
    engine = kit.engine(made)
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x), BUDGETED)
    x.factor = 0.5
    talk = kit.talk(
        engine.request_body(x, ONE), Taken(((quota, 4, 0), (replace(quota, name=BUDGET, unit=ANSWERS), 9, 0)))
    )
    assert [demand.in_force for demand in talk.demands[0]] == [5, 20]
    assert compose(x, 200, Timing(0.0, 0.0), 0)["in_force"] == {"minute": 5}


def test_who_is_verified_has_a_meter_of_its_own(kit: Kit) -> None:
    rule = replace(RULE, verified=frozenset({"alice"}), verified_a_day=50_000)
    _, talks = ask(kit, route_of(kit, rule), CLEAR, Taken(()))
    (demand,) = talks[1].demands[0]
    assert (demand.quota.name, demand.in_force, demand.holder) == (METER, 50_000, "alice")
    refused = Taken(((demand.quota, 0, 0),), demand.quota, 1)
    x, _ = ask(kit, route_of(kit, rule), CLEAR, refused)
    assert isinstance(x.decision, Deny)
    assert "50000 answers a day for a verified account" in x.decision.detail


# --- work


def test_each_answer_costs_work_and_a_solution_is_taken_once(kit: Kit) -> None:
    x, _ = ask(kit, route_of(kit), PROVING)
    assert isinstance(x.decision, Deny)
    assert (x.decision.reason, x.decision.should_retry) == (Reason.WORK_REQUIRED, False)
    assert "4 bits: none came" in x.decision.detail
    ((name, field),) = x.decision.headers
    assert name == "vallum-work"
    assert "alice" not in field
    assert "c1" not in field
    solved = (("vallum-work", solve(field, ONE)),)
    y, talks = ask(kit, route_of(kit), PROVING, True, headers=solved)
    (effect,) = talks[1].asked
    assert isinstance(effect, RememberProof)
    assert isinstance(y.decision, Allow)
    y, _ = ask(kit, route_of(kit), PROVING, False, headers=solved)
    assert isinstance(y.decision, Deny)
    assert "used before" in y.decision.detail
    y, talks = ask(kit, route_of(kit), PROVING, headers=solved * 2)
    assert talks[1].asked == []
    assert isinstance(y.decision, Deny), "two fields are none"


@pytest.mark.parametrize(("body", "bits"), [(ONE, 4), (BATCH, 6)])
def test_a_batch_is_asked_for_more(kit: Kit, body: bytes, bits: int) -> None:
    x, _ = ask(kit, route_of(kit), PROVING, body=body)
    assert isinstance(x.decision, Deny)
    assert f"bits={bits}," in x.decision.headers[0][1]


SEVERAL = (Weight(Ask(("n",))),), (Weight(Ask(("input",))),)


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        (b'{"input": "a", "n": 16}', 16),
        (b'{"input": ["a", "b", "c", "d"]}', 4),
        (b'{"input": ["a", "b", "c", "d"], "n": 4}', 16),
    ],
)
def test_several_answers_to_one_input_cost_as_many(kit: Kit, body: bytes, answers: int) -> None:
    rule = replace(RULE, kind="text", inputs=at_places("text", (("input",),)))
    made = route_of(kit, rule, factors=SEVERAL)
    x, _ = ask(kit, made, PROVING, body=body)
    assert isinstance(x.decision, Deny)
    assert f"bits={4 + (answers - 1).bit_length()}," in x.decision.headers[0][1]
    x, talks = ask(kit, made, BUDGETED, Taken(()), body=body)
    assert [demand.cost for demand in talks[1].demands[0]] == [answers]


@pytest.mark.parametrize("on_error", list(OnError))
def test_work_never_fails_open(kit: Kit, on_error: OnError) -> None:
    x, _ = ask(kit, route_of(kit), PROVING)
    assert isinstance(x.decision, Deny)
    solved = (("vallum-work", solve(x.decision.headers[0][1], ONE)),)
    x, _ = ask(kit, route_of(kit, on_error=on_error), PROVING, DOWN, headers=solved)
    assert isinstance(x.decision, Deny)
    assert x.decision.reason is Reason.UNAVAILABLE


def test_without_a_seed_there_is_no_challenge(kit: Kit) -> None:
    def fail() -> bytes:
        raise DOWN

    x, _ = ask(kit, route_of(kit, replace(RULE, seed=fail), on_error=OnError.ALLOW), PROVING)
    assert isinstance(x.decision, Deny)
    assert x.decision.reason is Reason.UNAVAILABLE


def test_without_a_verdict_nothing_is_asked(kit: Kit) -> None:
    x = kit.engine().open(kit.request())
    assert work(x, kit.route()) is None
    assert demands(x, kit.route()) == ()


# --- refusal, and the step up


@pytest.mark.parametrize(("until", "wait_s"), [(NOW + 60, 60), (NOW + 1e9, 86_400), (NOW - 5, 1), (None, 1)])
def test_who_is_refused_learns_no_more_than_of_a_quota(kit: Kit, until: float | None, wait_s: int) -> None:
    x, _ = ask(kit, route_of(kit), REFUSED._replace(until=until))
    assert isinstance(x.decision, Deny)
    assert (x.decision.reason, x.decision.retry_after_s, x.decision.should_retry) == (
        Reason.QUOTA_EXCEEDED,
        wait_s,
        False,
    )
    assert json.loads(problem(x.decision, "id")).keys() == {"type", "title", "status", "code", "request_id"}
    assert told(x)["evidence"] == EVIDENCE


@pytest.mark.parametrize(
    ("who", "strange", "signs", "asked"),
    [
        (WHO, 1.0, None, True),
        (WHO, 0.9, None, False),
        (WHO, 0.7, Suspicion(0.3, ("new_network",)), True),
        (WHO, 0.6, Suspicion(0.3, ("new_network",)), False),
        (WHO, 0.0, Suspicion(1.0, ("new_network", "new_agent")), False),  # theft.py's own matter
        (WHO._replace(confirmation=Confirmation(certificate="t")), 1.0, None, False),
        (WHO._replace(credential_id=None), 1.0, None, False),
    ],
)
def test_who_is_not_like_itself_is_to_prove_its_credential(
    kit: Kit, who: Principal, strange: float, signs: Suspicion | None, asked: bool
) -> None:
    engine = kit.engine(route_of(kit))
    x = engine.open(kit.request())
    x.principal, x.suspicion = who, signs
    talk = kit.talk(read(x, route_of(kit)), Verdict(Grade.ALERT, evidence="unlike itself", strange=strange))
    assert isinstance(talk.outcome, Challenge) is asked


# --- nothing is done, and all is recorded


@pytest.mark.parametrize("change", [{"mode": Mode.SHADOW}, {"extraction": replace(RULE, respond=Respond.OBSERVE)}])
def test_what_is_only_observed_is_recorded_as_it_would_be(kit: Kit, change: dict[str, Any]) -> None:
    def judged(verdict: Verdict, *replies: Any) -> Exchange:
        x, _ = ask(kit, replace(route_of(kit), **change), verdict, *replies)
        assert isinstance(x.decision, Allow)
        assert x.coarsen == 0
        return x

    x = judged(COARSER)
    assert (told(x)["grade"], told(x)["coarsen"]) == ("coarser", 2)
    assert [one.reason for one in judged(REFUSED._replace(answers_a_day=None)).shadowed] == [Reason.QUOTA_EXCEEDED]
    assert [one.reason for one in judged(PROVING).shadowed] == [Reason.WORK_REQUIRED]
    budget = kit.quota(BUDGET)
    unit = replace(budget, unit=ANSWERS)
    assert judged(BUDGETED, Taken(((unit, 1, 0),))).shadowed == []
    assert [one.reason for one in judged(BUDGETED, Taken((), unit, 1)).shadowed] == [Reason.QUOTA_EXCEEDED]
    x = judged(BUDGETED, DOWN) if change.get("mode") is Mode.SHADOW else judged(BUDGETED, Taken(()))
    assert isinstance(x.decision, Allow)


def test_a_record_says_who_why_and_until_when(kit: Kit) -> None:
    x, _ = ask(kit, route_of(kit), BUDGETED, Taken(()))
    assert told(x) == {
        "grade": "budget",
        "respond": "graduated",
        "evidence": EVIDENCE,
        "account": "subject:alice",
        "cluster": "c1",
        "coarsen": 3,
        "answers_a_day": 20,
        "until": NOW + 60,
    }
    x.account = None
    assert "account" not in told(x)
