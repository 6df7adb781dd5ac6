"""The leak battery: failures of upstreams, written by us in the style of each server, through every adapter.

Not one byte of a canary reaches the client, in body, fields or status line; and `vallum why` shows each again: the
upstream's real status and every canary that is no secret, while what is a secret is masked there too.  What nobody
reads (reason phrases, trailers) is nowhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vallum.cli.why import explain
from vallum.config.places import records_folder
from vallum.stores.records import find_record

if TYPE_CHECKING:
    from tests.parity.conftest import Both

FOLDER = Path(__file__).parents[1] / "leaks"
CASES: list[dict[str, Any]] = [case for path in sorted(FOLDER.glob("*.json")) for case in json.loads(path.read_text())]
POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
records: {upstream_failures: {redact: [keys], patterns: ["kanarievalue[0-9]+"]}}
routes:
  - name: plain
    match: {methods: [POST], path: /plain/*}
    upstream: model
    auth: {any_of: [keys]}
    response: {errors: {fields: [detail.*.loc, detail.*.type, code]}, failure_slot_ms: 1}
  - name: filtered
    match: {methods: [POST], path: /filtered/*}
    upstream: model
    auth: {any_of: [keys]}
    response: {fields: [prediction, choices, response, token], failure_slot_ms: 1}
  - name: chat
    match: {methods: [POST], path: /chat/*}
    upstream: model
    preset: openai.chat
    auth: {any_of: [keys]}
    response: {leaks: [{type: keys}], padding: {events: 64}, failure_slot_ms: 1}
"""
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()


@pytest.fixture
def policy_text() -> str:
    return POLICY


def raw_of(case: dict[str, Any], body: bytes) -> bytes:
    """Write an answer with a status line of its own and trailers."""
    lines = [f"HTTP/1.1 {case['status']} {case.get('reason', 'OK')}", *(f"{n}: {v}" for n, v in case["headers"])]
    lines.append("transfer-encoding: chunked")
    trailers = "".join(f"{name}: {value}\r\n" for name, value in case.get("trailers", []))
    chunked = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n" + trailers.encode() + b"\r\n"
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + chunked


def words_of(case: dict[str, Any]) -> list[str]:
    return [*case["canaries"], *case.get("secrets", [])]


def test_the_battery_is_what_it_claims_to_be() -> None:
    assert len(CASES) >= 60
    assert len({case["name"] for case in CASES}) == len(CASES)
    for case in CASES:
        said = json.dumps([case["headers"], case["body"], case.get("reason"), case.get("trailers")])
        assert words_of(case), case["name"]
        for word in words_of(case):
            assert json.dumps(word)[1:-1] in said, (case["name"], word)


@pytest.mark.parametrize("route", ["plain", "filtered", "chat"])
async def test_no_canary_reaches_the_client_and_each_is_found_again(
    route: str,
    both: Both,
    answers: dict[str, Any],
    raw_answers: dict[str, bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    fields = [
        ("Authorization", f"Bearer {both.issue('alice')}"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(BODY))),
    ]
    gateway = both.outer.gateway
    folder = records_folder(gateway.config)
    assert folder is not None
    leaked, lost = [], []
    for number, case in enumerate(CASES):
        word, body = f"case{number}", case["body"].encode()
        answers[word] = (case["status"], [tuple(field) for field in case["headers"]], body)
        if "reason" in case or "trailers" in case:
            raw_answers[word] = raw_of(case, body)
        for way, adapter in both.ways.items():
            await adapter.ask("POST", f"/{route}/{word}", fields, BODY)
            leaked += [(way, case["name"], canary) for canary in words_of(case) if canary.encode() in adapter.seen]
            record = adapter.records[-1]
            if adapter is both.outer:
                gateway.records.write(gateway.records.take())
                record = find_record(folder, record["request_id"]) or {}
            explain(record)
            shown = capsys.readouterr().out.replace("\n", "")
            lost += [(way, case["name"], gap) for gap in gaps(case, record, shown)]
    assert leaked == []
    assert lost == []


def gaps(case: dict[str, Any], record: dict[str, Any], shown: str) -> list[str]:
    """Return what `vallum why` should have shown and did not, and what it should not have."""
    missing = [f"shows {secret}" for secret in case.get("secrets", []) if secret in shown or secret in str(record)]
    if "noted" in case:  # the answer is a success, less what was removed
        return missing + [name for name in case["noted"] if name not in record.get("removed", [])]
    failure = record.get("upstream_failure")
    if failure is None or failure["status"] != case["status"] or f"The upstream said {case['status']}" not in shown:
        return [*missing, "the status"]
    if record["reason"] not in ("upstream_error", "invalid_request", "not_found", "unavailable", "body_too_large"):
        missing.append("the reason")
    kept = [] if case.get("unread") else case["canaries"]
    return missing + [canary for canary in kept if canary not in shown and canary not in json.dumps(record)]
