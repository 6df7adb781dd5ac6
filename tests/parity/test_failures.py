"""A caller reads why its own requests failed, and nobody else's; what is told tunes no attack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from vallum.config.places import records_folder
from vallum.core.decision import Deny, Page, Reason
from vallum.core.effects import FindRecord
from vallum.core.principal import Principal
from vallum.responders.failures import Failures, is_theirs, show

if TYPE_CHECKING:
    from tests.conftest import Kit
    from tests.parity.conftest import Both, Outer

POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}, open: {type: anonymous}}
failures: {quotas: [100 per minute]}
routes:
  - name: predict
    match: {methods: [POST], path: /predict/*}
    upstream: model
    auth: {any_of: [keys]}
    checks: [{type: sqli}]
    response: {errors: {fields: [detail]}, failure_slot_ms: 1}
"""
ATTACK = json.dumps({"a": "1' UNION SELECT password FROM users --"}).encode()
UNKNOWN = "019abc3f-7c3a-7d55-9a3e-3f0c5a1b2c3d"


@pytest.fixture
def policy_text() -> str:
    return POLICY


def fields(key: str, body: bytes = b"") -> list[tuple[str, str]]:
    head = [("Authorization", f"Bearer {key}")]
    return [*head, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))] if body else head


async def look(outer: Outer, key: str, request_id: str) -> tuple[int | None, dict[str, Any]]:
    got = await outer.ask("GET", f"/vallum/failures/{request_id}", fields(key), b"")
    return got.status, json.loads(got.body)


@pytest.mark.parametrize("flushed", [True, False])
async def test_a_failure_is_shown_to_its_caller_and_its_tenant_alone(
    both: Both, answers: dict[str, Any], flushed: bool
) -> None:
    answers["bad"] = (422, [("content-type", "application/json")], b'{"detail": "missing", "secret": "x"}')
    alice, bob = both.issue("alice"), both.issue("bob")
    carol, dave = both.issue("carol", tenant="acme"), both.issue("dave", tenant="acme")
    outer = both.outer
    ids = {}
    for name, key in (("alice", alice), ("carol", carol)):
        await outer.ask("POST", "/predict/bad", fields(key, b"{}"), b"{}")
        ids[name] = outer.records[-1]["request_id"]
    await outer.ask("POST", "/predict/ok", fields(alice, b"{}"), b"{}")
    success = outer.records[-1]["request_id"]
    if flushed:
        outer.gateway.records.write(outer.gateway.records.take())
        assert records_folder(outer.gateway.config) is not None
    status, shown = await look(outer, alice, ids["alice"])
    assert status == 200
    assert {name: shown[name] for name in ("code", "by", "status", "upstream", "errors")} == {
        "code": "invalid_request",
        "by": "request",
        "status": 400,
        "upstream": "4xx",
        "errors": [{"pointer": "/detail", "value": "missing"}],
    }
    assert (await look(outer, dave, ids["carol"]))[0] == 200
    nothing = []
    for key, asked in ((bob, ids["alice"]), (alice, ids["carol"]), (alice, success), (alice, UNKNOWN), (alice, "x")):
        status, body = await look(outer, key, asked)
        assert status == 404
        body.pop("request_id")
        nothing.append(body)
    assert all(body == nothing[0] for body in nothing)
    assert (await look(outer, "vlm_live_none", ids["alice"]))[0] == 401


async def test_of_a_content_check_nothing_is_told_but_that_it_was_the_content(both: Both) -> None:
    key = both.issue("alice")
    await both.outer.ask("POST", "/predict/ok", fields(key, ATTACK), ATTACK)
    _, shown = await look(both.outer, key, both.outer.records[-1]["request_id"])
    assert (shown["code"], shown["by"], shown["errors"]) == ("request_rejected", "content", [])
    assert "sqli" not in json.dumps(shown)
    assert "pointer" not in shown


def test_who_nobody_knows_sees_nothing() -> None:
    nobodys = {"tenant": None, "subject": None}
    assert not is_theirs(nobodys, Principal(""))
    assert not is_theirs({"tenant": "t", "subject": "alice"}, Principal("alice"))
    assert is_theirs({"tenant": None, "subject": "alice"}, Principal("alice"))


def test_how_long_to_wait_is_told() -> None:
    record = {"reason": "quota_exceeded", "request_id": "r", "at": 1.5, "route": "a", "status": 429, "retry_after_s": 3}
    assert show(record)["retry_after_s"] == 3
    assert show(record)["by"] == "quota"


def test_the_responder_asks_for_one_record(kit: Kit) -> None:
    x = kit.engine().open(kit.request(path="/vallum/failures/" + "a" * 100))
    x.principal = kit.alice
    dialogue = kit.talk(Failures().respond(x), None)
    assert dialogue.asked == [FindRecord("a" * 36)]
    assert isinstance(dialogue.outcome, Deny)
    assert dialogue.outcome.reason is Reason.NOT_FOUND
    record = {"reason": "upstream_error", "request_id": "r", "at": 1, "route": "a", "status": 502}
    found = kit.talk(Failures().respond(x), {**record, "tenant": "acme", "subject": "bob"}).outcome
    assert isinstance(found, Page)
