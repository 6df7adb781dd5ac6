"""Records: what was decided, by which control, and the detail; never a secret, never a body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vallum.core.decision import Deny, Finding, Reason
from vallum.core.effects import FindCredential
from vallum.core.policy import Mode, OnError, Policy, Priority, Retention, Throttle
from vallum.core.record import DETAIL_MAX_CHARS, Timing, compose
from vallum.core.standing import GOOD, Footing, Raise, Standing

if TYPE_CHECKING:
    from tests.conftest import Kit

TIMING = Timing(0.0123456, 0.01)
SECRET = "hunter2-and-more"


def test_the_record_of_an_allowed_request(kit: Kit) -> None:
    quota = kit.quota()
    route = kit.route(limits=(kit.limit(quota),))
    x = kit.judge(kit.engine(route), kit.request(), b'{"text":"hi"}', kit.admitted(quota))
    x.upstream_status = 200
    assert compose(x, 200, TIMING, 42) == {
        "request_id": "req-1",
        "at": 1_700_000_000.0,
        "client": "192.0.2.1",
        "method": "POST",
        "path": "/predict",
        "route": "predict",
        "mode": "enforce",
        "policy": "digest",
        "subject": "alice",
        "tenant": "acme",
        "credential": "key_1",
        "decision": "allow",
        "status": 200,
        "upstream_status": 200,
        "received_bytes": 13,
        "sent_bytes": 42,
        "total_us": 12_345,
        "upstream_us": 10_000,
        "head_us": 0,
        "body_us": 0,
        "quotas": {"minute": 9},
    }


def test_the_record_of_a_refused_request_has_the_detail_that_the_caller_was_not_given(kit: Kit) -> None:
    quota = kit.quota()
    engine = kit.engine(kit.route(limits=(kit.limit(quota),)))
    x = kit.judge(engine, kit.request(), b"{}", kit.refused(quota, wait_us=5_000_000))
    record = compose(x, 429, TIMING, 0)
    assert {name: record[name] for name in ("decision", "reason", "control", "detail", "retry_after_s")} == {
        "decision": "deny",
        "reason": "quota_exceeded",
        "control": "quota:minute",
        "detail": "10 per 60 s per principal",
        "retry_after_s": 5,
    }


def test_the_record_of_a_challenge(kit: Kit) -> None:
    x = kit.judge(kit.engine(kit.route(authenticators=(kit.Vouching(None),))), kit.request())
    record = compose(x, 401, TIMING, 0)
    assert (record["decision"], record["reason"], record["subject"]) == ("challenge", "unauthenticated", None)
    assert "retry_after_s" not in record


def test_the_record_of_a_path_that_no_route_names(kit: Kit) -> None:
    record = compose(kit.judge(kit.engine(), kit.request(path="/none")), 404, TIMING, 0)
    assert (record["route"], record["mode"], record["reason"]) == (None, None, "not_found")


def test_the_record_of_a_caller_who_left_before_anything_was_decided(kit: Kit) -> None:
    record = compose(kit.engine().open(kit.request()), None, TIMING, 0)
    assert (record["decision"], record["status"], record["route"]) == ("cancelled", None, None)


def test_the_record_of_a_caller_who_left_after_it_was_allowed(kit: Kit) -> None:
    x = kit.judge(kit.engine(), kit.request())
    x.cancelled = True
    record = compose(x, 200, TIMING, 7)
    assert (record["decision"], record["status"], record["sent_bytes"]) == ("cancelled", 200, 7)
    assert "reason" not in record


def test_what_shadow_would_have_refused_and_what_nobody_looked_at(kit: Kit) -> None:
    guards = (kit.guard(Finding("rule", "/a", "seen"), Mode.SHADOW), kit.guard(ZeroDivisionError("x")))
    clean = kit.Cleaning(lambda _: {"text": "clean"})
    route = kit.route(intake=kit.intake(checks=guards, sanitiser=clean), on_error=OnError.ALLOW)
    x = kit.judge(kit.engine(route), kit.request())
    x.removed |= {"b", "a"}
    record = compose(x, 200, TIMING, 0)
    assert record["shadow"] == [
        {
            "reason": "request_rejected",
            "control": "check:looking",
            "detail": "rule at /a: seen",
            "rule": "rule",
            "pointer": "/a",
        }
    ]
    assert [name[:32] for name in record["unscanned"]] == ["check:looking (ZeroDivisionError"]
    assert record["removed"] == ["a", "b"]
    assert record["sanitised"] is True


def test_details_are_bounded(kit: Kit) -> None:
    x = kit.engine().open(kit.request())
    x.decision = Deny(Reason.REQUEST_REJECTED, "x", "d" * 10_000)
    x.shadowed.append(x.decision)
    x.unscanned.append("u" * 10_000)
    record = compose(x, 403, TIMING, 0)
    assert len(record["detail"]) == DETAIL_MAX_CHARS
    assert len(record["shadow"][0]["detail"]) == DETAIL_MAX_CHARS
    assert len(record["unscanned"][0]) == DETAIL_MAX_CHARS


def test_the_names_of_what_was_removed_are_bounded(kit: Kit) -> None:
    # An answer's member names are the upstream's words, and may be the caller's: a mapping keyed by what was asked.
    x = kit.engine().open(kit.request())
    x.removed |= {f"{number:05}-{'n' * 10_000}" for number in range(1_000)}
    assert len(json.dumps(compose(x, 200, TIMING, 0))) < 100_000


def test_the_shortest_key_in_a_path_is_withheld(kit: Kit) -> None:
    x = kit.engine().open(kit.request(path=f"/vl_{'a' * 49}"))
    assert compose(x, 404, TIMING, 0)["path"] == "/(a key)"


def test_the_names_of_what_was_removed_are_redacted(kit: Kit) -> None:
    x = kit.engine().open(kit.request())
    x.policy = Policy((), {}, retention=Retention(redact_names=lambda text: text.replace("bob@example.com", "[email]")))
    x.removed |= {"bob@example.com", "logits"}
    assert compose(x, 200, TIMING, 0)["removed"] == ["[email]", "logits"]


def test_no_secret_and_no_body_is_in_a_record(kit: Kit) -> None:
    guards = (kit.guard(Finding("rule", "/a"), Mode.SHADOW),)
    route = kit.route(
        authenticators=(kit.Vouching(kit.alice, FindCredential(SECRET.encode())),),
        intake=kit.intake(checks=guards, query=None),
    )
    engine = kit.engine(route)
    fields = (("content-type", "application/json"), ("authorization", f"Bearer {SECRET}"), ("cookie", SECRET))
    x = engine.open(kit.request(headers=fields, query=f"q={SECRET}"))
    kit.talk(engine.request_head(x), None)
    kit.talk(engine.request_body(x, f'{{"a":"{SECRET}"}}'.encode()))
    assert SECRET not in json.dumps(compose(x, 200, TIMING, 0))


def test_what_a_failing_check_says_of_the_text_is_not_in_a_record(kit: Kit) -> None:
    # A KeyError or a ValueError of a library quotes what it choked on: the caller's text.
    route = kit.route(intake=kit.intake(checks=(kit.guard(KeyError(SECRET)),)))
    record = compose(kit.judge(kit.engine(route), kit.request()), 503, TIMING, 0)
    assert "KeyError" in record["detail"]
    assert SECRET not in json.dumps(record)


# --- what was in force in the plan's place ----------------------------------------------------------------------------

NOW = 1_700_000_000.0
FALLEN = Standing(at=NOW, recent=6.0, lasting=6.0, cause="request_rejected")
RAISED = Raise("alice", 3.0, NOW + 60, "ops", "launch day", NOW)


def footed(kit: Kit, footing: Footing, rule: Throttle | None, **facts: Any) -> dict[str, Any]:
    quota = kit.quota(limit=10)
    engine = kit.engine(kit.route(throttle=rule))
    x = engine.open(kit.request(now=NOW))
    kit.talk(engine.request_head(x), *([footing] if rule is not None else []))
    x.footing = footing
    x.taken = kit.admitted(quota)
    for name, value in facts.items():
        setattr(x, name, value)
    whole = compose(x, 200, Timing(0.0, 0.0), 0)
    told = ("throttle", "raised", "factor", "in_force", "priority", "waited_us")
    return {name: whole[name] for name in told if name in whole}


def test_a_plan_that_holds_is_not_mentioned(kit: Kit) -> None:
    assert footed(kit, Footing(GOOD), Throttle(Mode.ENFORCE)) == {}
    assert footed(kit, Footing(FALLEN), None) == {}
    assert footed(kit, Footing(GOOD, RAISED._replace(until=NOW)), Throttle()) == {}


def test_a_lowered_limit_is_told_with_its_cause_and_its_end(kit: Kit) -> None:
    behaved = {"factor": 0.5, "cause": "request_rejected", "recovers_in_s": 600}
    assert footed(kit, Footing(FALLEN), Throttle(Mode.ENFORCE)) == {
        "throttle": {"mode": "enforce", **behaved},
        "factor": 0.5,
        "in_force": {"minute": 5},
    }
    assert footed(kit, Footing(FALLEN), Throttle()) == {"throttle": {"mode": "shadow", **behaved}}


def test_a_raised_limit_is_told_with_who_and_why(kit: Kit) -> None:
    raised = {"factor": 3.0, "until": NOW + 60, "by": "ops", "reason": "launch day"}
    assert footed(kit, Footing(GOOD, RAISED), Throttle()) == {
        "raised": raised,
        "factor": 3.0,
        "in_force": {"minute": 30},
    }
    assert footed(kit, Footing(GOOD, RAISED), Throttle(), taken=None) == {"raised": raised, "factor": 3.0}


def test_priority_and_the_wait_are_told_where_there_was_a_queue(kit: Kit) -> None:
    told = footed(kit, Footing(GOOD), Throttle(), priority=Priority.LOW, waited_s=0.25)
    assert told == {"priority": "low", "waited_us": 250_000}
