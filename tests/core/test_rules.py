"""The rules of a web ACL on the line: their order, what they ask, what they decide, and what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from vallum.core.decision import Allow, Deny, Reason
from vallum.core.effects import TakeQuota
from vallum.core.engine import line_up
from vallum.core.errors import DependencyError
from vallum.core.policy import Intake, Mode, OnError
from vallum.core.quota import OnStoreFailure, Taken
from vallum.core.record import Timing, compose
from vallum.core.web_acl import Action, Hit, Rate, Rule, WebAcl

if TYPE_CHECKING:
    from tests.conftest import Kit

    from vallum.core.exchange import Exchange
    from vallum.core.policy import Route

DOWN = DependencyError("the store is down")
BODY = b'{"text":"hi"}'


class Seeing:
    """A statement that always says the same, or fails; `asked` is how often."""

    type: ClassVar[str] = "seeing"

    def __init__(self, hit: Hit | Exception | None = Hit("seeing", "the query", "a sign")) -> None:  # noqa: B008  immutable
        self.hit = hit
        self.asked = 0

    def match(self, x: Exchange) -> Hit | None:
        self.asked += 1
        x.parts["seen"] = []
        if isinstance(self.hit, Exception):
            raise self.hit
        return self.hit


class Keyed:
    """The key of a rate-based rule."""

    type: ClassVar[str] = "keyed"

    def of(self, x: Exchange) -> str:
        return f"<{x.request.client}>"


class Labelled:
    """A statement that looks for one label."""

    type: ClassVar[str] = "labelled"

    def match(self, x: Exchange) -> Hit | None:
        return Hit("labelled") if "odd" in x.labels else None


def rule(name: str = "sqli", statement: Any = None, *, action: str = "block", body: bool = False, **more: Any) -> Rule:
    return Rule(name, Action(action), statement, reads_body=body, **more)


def acl(*rules: Rule, mode: Mode = Mode.ENFORCE) -> WebAcl:
    return WebAcl("edge", rules, mode)


def rate(kit: Kit, name: str = "flood", **more: Any) -> Rule:
    return rule(name, rate=Rate(kit.quota(name, 100), Keyed()), **more)


def reason(x: Exchange) -> str:
    return "allow" if isinstance(x.decision, Allow) else str(x.decision.reason) if x.decision else ""


def admitted(kit: Kit, route: Route) -> Taken:
    return kit.admitted(route.web_acl.rules[0].rate.quota)  # type: ignore[union-attr]  # a rate-based rule stands there


# --- order ------------------------------------------------------------------------------------------------------------


def test_rules_stand_before_who_is_calling_and_those_on_the_body_after_who_asks_has_paid(kit: Kit) -> None:
    rules = (rate(kit), rule("late", Seeing(), body=True), rule("odd", Seeing()), rule("later", Seeing(), body=True))
    line = line_up(kit.route(web_acl=acl(*rules)))
    assert [stage.name for stage in line.head][:4] == ["web_acl:flood", "web_acl:odd", "authenticate", "confirm"]
    assert [stage.name for stage in line.body] == ["parse", "quotas", "web_acl:late", "web_acl:later"]
    assert not any(stage.bound for stage in (*line.head, *line.body) if stage.name.startswith("web_acl"))


def test_who_is_blocked_by_the_head_is_not_asked_for_a_credential_and_no_later_rule_is_asked(kit: Kit) -> None:
    later = Seeing()
    x = kit.judge(kit.engine(kit.route(web_acl=acl(rule("a", Seeing()), rule("b", later)))), kit.request())
    assert x.decision == Deny(Reason.REQUEST_REJECTED, "web_acl:a", "seeing in the query a sign")
    assert later.asked == 0
    assert x.principal.subject == ""


# --- block, count, label ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "hit", "ends", "matches", "labels"),
    [
        ("block", Hit("seeing"), "request_rejected", ["sqli"], {"odd"}),
        ("count", Hit("seeing"), "allow", ["sqli"], {"odd"}),
        ("block", None, "allow", [], set()),
        ("count", None, "allow", [], set()),
    ],
)
@pytest.mark.parametrize("body", [False, True], ids=["of the head", "of the body"])
def test_what_a_match_does(
    kit: Kit, action: str, hit: Hit | None, ends: str, matches: list[str], labels: set[str], body: bool
) -> None:
    route = kit.route(web_acl=acl(rule("sqli", Seeing(hit), action=action, body=body, labels=("odd",))))
    x = kit.judge(kit.engine(route), kit.request(), BODY)
    assert (reason(x), [match.rule.name for match in x.matches], x.labels) == (ends, matches, labels)
    assert x.parts == {}, "copies of a request's parts are let go"


def test_a_label_of_the_head_is_seen_by_a_rule_on_the_body(kit: Kit) -> None:
    rules = (rule("a", Seeing(), action="count", labels=("odd",)), rule("b", Labelled(), body=True))
    x = kit.judge(kit.engine(kit.route(web_acl=acl(*rules))), kit.request(), BODY)
    assert reason(x) == "request_rejected"


@pytest.mark.parametrize("where", ["acl", "route"])
def test_in_shadow_every_rule_is_asked_and_nobody_is_refused(kit: Kit, where: str) -> None:
    mode = Mode.SHADOW if where == "acl" else Mode.ENFORCE
    rules = (rule("a", Seeing()), rule("b", Seeing(), body=True))
    route = kit.route(web_acl=acl(*rules, mode=mode), mode=Mode.SHADOW if where == "route" else Mode.ENFORCE)
    x = kit.judge(kit.engine(route), kit.request(), BODY)
    assert reason(x) == "allow"
    assert [refusal.control for refusal in x.shadowed] == ["web_acl:a", "web_acl:b"]


def test_a_rule_on_the_body_of_a_route_that_reads_none_is_unscanned(kit: Kit) -> None:
    seeing = Seeing()
    route = kit.route(intake=Intake(), web_acl=acl(rule("sqli", seeing, body=True)))
    x = kit.judge(kit.engine(route), kit.request(), None)
    assert (reason(x), x.unscanned, seeing.asked) == ("allow", ["body", "web_acl:sqli"], 0)


# --- rates ------------------------------------------------------------------------------------------------------------


def test_a_rate_is_counted_by_its_key_in_a_bucket_of_the_acl(kit: Kit) -> None:
    route = kit.route(web_acl=acl(rate(kit)))
    engine = kit.engine(route)
    x = engine.open(kit.request())
    talk = kit.talk(engine.request_head(x), admitted(kit, route))
    ((demand,),) = talk.demands
    assert demand.key == "\x1fweb_acl\x1fedge\x1fflood\x1f60000000\x1f<192.0.2.1>"
    assert (demand.holder, demand.cost, demand.quota.limit) == ("<192.0.2.1>", 1, 100)
    assert demand.quota.on_store_failure is OnStoreFailure.DENY
    assert [effect.id for effect in talk.asked if isinstance(effect, TakeQuota)] == [""], "nothing is to be settled"
    assert reason(x) == "allow"


@pytest.mark.parametrize(
    ("wait_us", "wait_s", "again"), [(1, 1, True), (59_000_001, 60, True), (200_000_000, 200, False)]
)
def test_who_is_over_a_rate_is_told_when_to_come_back_and_nothing_else(
    kit: Kit, wait_us: int, wait_s: int, again: bool
) -> None:
    flood = rate(kit)
    engine = kit.engine(kit.route(web_acl=acl(flood)))
    x = engine.open(kit.request())
    assert flood.rate is not None
    kit.talk(engine.request_head(x), kit.refused(flood.rate.quota, wait_us=wait_us))
    said = "rate_based over 100 in 60 s"
    assert x.decision == Deny(Reason.QUOTA_EXCEEDED, "web_acl:flood", said, wait_s, should_retry=again)


def test_a_rate_that_counts_lets_through_and_labels(kit: Kit) -> None:
    flood = rate(kit, action="count", labels=("odd",))
    assert flood.rate is not None
    engine = kit.engine(kit.route(web_acl=acl(flood, rule("b", Labelled()))))
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x), kit.refused(flood.rate.quota, wait_us=1))
    assert (reason(x), x.labels) == ("request_rejected", {"odd"})
    assert x.decision is not None
    assert getattr(x.decision, "control", "") == "web_acl:b"


@pytest.mark.parametrize(("hit", "demands"), [(Hit("seeing"), 1), (None, 0)])
def test_only_what_matches_the_scope_is_counted(kit: Kit, hit: Hit | None, demands: int) -> None:
    scoped = rule("flood", Seeing(hit), rate=Rate(kit.quota("flood", 100), Keyed()))
    route = kit.route(web_acl=acl(scoped))
    engine = kit.engine(route)
    talk = kit.talk(engine.request_head(engine.open(kit.request())), *[admitted(kit, route)] * demands)
    assert len(talk.demands) == demands


# --- what fails -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_error", "action", "labels", "ends", "shadowed"),
    [
        (OnError.DENY, "block", (), "unavailable", 0),
        (OnError.ALLOW, "block", (), "allow", 0),
        (OnError.DENY, "count", ("odd",), "unavailable", 0),  # a later rule may stand on the label
        (OnError.DENY, "count", (), "allow", 1),
    ],
)
def test_a_statement_that_fails_is_met_by_the_routes_on_error(
    kit: Kit, on_error: OnError, action: str, labels: tuple[str, ...], ends: str, shadowed: int
) -> None:
    rules = (rule("a", Seeing(ValueError("no")), action=action, labels=labels), rule("b", Seeing(None)))
    x = kit.judge(kit.engine(kit.route(web_acl=acl(*rules), on_error=on_error)), kit.request(), BODY)
    assert (reason(x), len(x.shadowed)) == (ends, shadowed)
    assert x.unscanned[0].startswith("web_acl:a (ValueError")


@pytest.mark.parametrize(
    ("on_error", "reply", "ends"),
    [
        (OnError.DENY, DOWN, "unavailable"),
        (OnError.ALLOW, DOWN, "allow"),
        (OnError.DENY, "unavailable", "unavailable"),
        (OnError.ALLOW, "skipped", "allow"),
    ],
)
def test_a_store_that_is_out_is_met_by_the_routes_on_error(kit: Kit, on_error: OnError, reply: Any, ends: str) -> None:
    flood = rate(kit)
    engine = kit.engine(kit.route(web_acl=acl(flood), on_error=on_error))
    assert flood.rate is not None
    quota = flood.rate.quota
    if reply == "unavailable":
        reply = Taken((), quota, unavailable=True)
    elif reply == "skipped":
        reply = Taken((), skipped=(quota,))
    x = engine.open(kit.request())
    talk = kit.talk(engine.request_head(x), reply)
    failing = OnStoreFailure.ALLOW if on_error is OnError.ALLOW else OnStoreFailure.DENY
    assert talk.demands[0][0].quota.on_store_failure is failing
    assert reason(x) == ends
    assert x.unscanned[0].startswith("web_acl:flood (")
    assert x.matches == []


def test_a_rate_that_only_counts_never_refuses_for_want_of_a_store(kit: Kit) -> None:
    engine = kit.engine(kit.route(web_acl=acl(rate(kit, action="count"))))
    talk = kit.talk(engine.request_head(engine.open(kit.request())), Taken(()))
    assert talk.demands[0][0].quota.on_store_failure is OnStoreFailure.ALLOW


# --- the record -------------------------------------------------------------------------------------------------------


def test_the_record_names_the_rules_that_matched_and_their_labels(kit: Kit) -> None:
    rules = (
        rule("a", Seeing(), action="count", labels=("odd", "a:b")),
        rule("b", Seeing(Hit("xss_match", "/user", "x" * 900)), body=True),
    )
    x = kit.judge(kit.engine(kit.route(web_acl=acl(*rules))), kit.request(), BODY)
    record = compose(x, 403, Timing(0.0, 0.0), 0)
    detail = record["web_acl"]["rules"][1].pop("detail")
    assert len(detail) == 500
    assert record["web_acl"] == {
        "name": "edge",
        "mode": "enforce",
        "rules": [
            {"rule": "a", "action": "count", "detail": "seeing in the query a sign"},
            {"rule": "b", "action": "block"},
        ],
        "labels": ["a:b", "odd"],
    }
    assert record["control"] == "web_acl:b"


def test_a_record_without_labels_or_matches_does_not_mention_them(kit: Kit) -> None:
    x = kit.judge(kit.engine(kit.route(web_acl=acl(rule("a", Seeing())))), kit.request(), BODY)
    assert "labels" not in compose(x, 403, Timing(0.0, 0.0), 0)["web_acl"]
    x = kit.judge(kit.engine(kit.route(web_acl=acl(rule("a", Seeing(None))))), kit.request(), BODY)
    assert "web_acl" not in compose(x, 200, Timing(0.0, 0.0), 0)
