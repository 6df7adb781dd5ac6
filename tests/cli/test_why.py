"""What `vallum why` says first: how an exchange ended, in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from vallum.cli.why import explain

DONE = {"decision": "allow", "status": 200}
BROKEN = {"decision": "deny", "status": 200, "reason": "upstream_error", "control": "response"}


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (DONE, "Let through, answered 200."),
        (DONE | {"cut_by": "minute-tokens"}, "Let through, answered 200, and cut short by the quota minute-tokens."),
        (BROKEN | {"status": 502}, "Refused with 502 upstream_error by response."),
        (BROKEN, "Answered 200, then broken off: upstream_error by response."),
        ({"decision": "cancelled", "status": None}, "The caller left before the answer was whole."),
    ],
)
def test_the_end_of_an_exchange_in_one_sentence(
    record: dict[str, Any], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    explain(record)
    assert capsys.readouterr().out.replace("\n", " ").startswith(sentence)


def test_what_each_quota_was_charged_and_what_was_never_settled(capsys: pytest.CaptureFixture[str]) -> None:
    spent = {"day": {"reserved": 9, "settled": 4}, "slots": {"reserved": 1, "settled": None}}
    explain(DONE | {"spent": spent, "quotas_shared_by": 4})
    said = capsys.readouterr().out
    assert "day: 9 reserved, 4 settled" in said
    assert "slots: 1 reserved, not settled" in said
    assert "quotas_shared_by" in said


def test_what_the_upstream_said_is_shown_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    failure = {"status": 500, "inside": False, "headers": {"server": "x\x1b[2J"}, "body": "one\n\x1b[31mtwo\t[bold]"}
    explain(BROKEN | {"status": 502, "upstream_failure": failure})
    said = capsys.readouterr().out
    assert "The upstream said 500:" in said
    assert "  server: x" in said
    assert "[bold]" in said
    assert "\x1b" not in said
    explain(BROKEN | {"upstream_failure": failure | {"inside": True, "headers": {}}})
    assert "The upstream said 500, in the guise of an answer:" in capsys.readouterr().out


def test_a_traceback_within_json_is_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    body = '{"detail":"no","traceback":"one\\n  two"}'
    explain(BROKEN | {"upstream_failure": {"status": 500, "inside": False, "headers": {}, "body": body}})
    assert '    "traceback": "one\n        two"\n' in capsys.readouterr().out


WHOLE = DONE | {
    "request_id": "r-1",
    "at": 0,
    "client": "10.0.0.9",
    "method": "POST",
    "path": "/predict",
    "route": "predict",
    "mode": "shadow",
    "policy": "0123",
    "subject": "alice",
    "tenant": "acme",
    "credential": "key_1",
    "upstream_status": 200,
    "received_bytes": 12,
    "total_us": 3000,
    "upstream_us": 2000,
    "head_us": 0,
}
REFUSED = WHOLE | {
    "decision": "deny",
    "status": 400,
    "upstream_status": None,
    "reason": "invalid_request",
    "control": "s",
}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (WHOLE, "who alice of acme by key_1, from 10.0.0.9"),
        (WHOLE | {"subject": None, "tenant": None, "credential": None}, "who nobody that is known, from 10.0.0.9"),
        (WHOLE, "asked POST /predict, route predict, in shadow, 12 bytes"),
        (WHOLE | {"route": None, "mode": None}, "asked POST /predict, no route, 12 bytes"),
        (WHOLE, "upstream said 200"),
        (REFUSED | {"upstream_us": 0}, "upstream was not asked"),
        (REFUSED, "upstream did not answer"),
        (WHOLE, "took 3.00 ms: upstream 2.00"),
        (REFUSED | {"told": [{"pointer": "/a", "rule": "type"}]}, "told /a: type"),
        (REFUSED | {"told": [{"pointer": "", "rule": "required"}]}, "told the whole: required"),
        (REFUSED | {"told": [{"pointer": "/d", "value": ["x"]}]}, "told /d: ['x']"),
        (REFUSED | {"retry_after_s": 3}, "told to come back in 3 s"),
        (REFUSED, "told nothing but the code"),
    ],
)
def test_who_asked_what_and_how_it_went(record: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    explain(record)
    assert said in " ".join(capsys.readouterr().out.split())


MATCHED = {
    "name": "edge",
    "mode": "enforce",
    "rules": [{"rule": "sql", "action": "block", "detail": "sqli_match in query q after url_decode: [bold]"}],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "web_acl edge sql, block: sqli_match in query q after url_decode: [bold]"),
        ({"mode": "shadow"}, "web_acl edge (shadow) sql, block"),
        ({"labels": ["a:b", "c"]}, "labels: a:b, c"),
    ],
)
def test_the_rules_that_matched_are_told(change: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    explain(WHOLE | {"decision": "allow", "status": 200, "web_acl": MATCHED | change})
    assert said in " ".join(capsys.readouterr().out.split())


NAMED = {
    "grade": "budget",
    "respond": "graduated",
    "evidence": "an account named with 9 others, 2 sweeps in a row, score 5",
    "account": "subject:alice",
    "cluster": "c1",
    "coarsen": 3,
    "answers_a_day": 20,
    "until": 1_700_000_000.0,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "budget, in cluster c1"),
        ({}, "named with 9 others"),
        ({}, "done: scores at level 3; 20 answers a day for the whole cluster"),
        ({}, "a grade lower, if no more sweeps name it, 2023-11-14T22:13Z"),
        ({}, "vallum extraction pardon subject:alice --for 7d"),
        ({"respond": "observe"}, "would be done: scores"),
        ({"grade": "refused"}, "done: no answers"),
        ({"grade": "proof", "work_bits": 18}, "work of 18 bits for each answer"),
        ({"pardoned": True}, "the pardon ends 2023-11-14T22:13Z"),
    ],
)
def test_a_suspect_is_explained(change: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    explain(DONE | {"extraction": NAMED | change})
    assert said in " ".join(capsys.readouterr().out.split())


def test_an_alert_says_that_nothing_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    explain(DONE | {"extraction": {"grade": "alert", "respond": "graduated", "evidence": "once"}})
    assert "done: nothing" in capsys.readouterr().out
