"""Keys over the wire: canaries, keys for some routes, leak reports, and a PostgreSQL that two gateways share."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from base64 import b64decode, b64encode
from hashlib import sha256
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.clock import read_clock

from vallum.core.apikey import DEFAULT_PREFIX, compose_key
from vallum.stores.registry import Keyring
from vallum.stores.registry.registry import STALE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.wire.conftest import Answer, Door, Opener

    Compose = Callable[..., bytes]
    Eventually = Callable[[Callable[[], Any]], Awaitable[Any]]

SECRET = "a secret that scanners share with the gateway"
POLICY = f"""
version: 1
listen: {{address: "127.0.0.1:0"}}
admin: {{address: "127.0.0.1:0"}}
upstreams: {{model: {{url: "http://127.0.0.1:9"}}}}
authenticators: {{keys: {{type: api_key}}}}
routes:
  - name: predict
    match: {{methods: [POST], path: /api/v1/predict}}
    upstream: model
    auth: {{any_of: [keys], scopes: ["predict:read"]}}
  - name: other
    match: {{methods: [POST], path: /api/v1/other}}
    upstream: model
    auth: {{any_of: [keys]}}
leak_reports:
  path: /leaked-keys
  secret: "{SECRET}"
"""
SCOPE = "predict:read"
GITHUB = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())
IDENTIFIER = "f9525bf080f75b3506ca1ead061add62b8633a346606dc5fe544e29231c6ee0d"


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def report(*tokens: str) -> bytes:
    return json.dumps(
        [{"token": t, "type": "vallum_key", "url": "https://x.example/y", "source": "content"} for t in tokens]
    ).encode()


def own(body: bytes, secret: str = SECRET) -> tuple[tuple[str, str], ...]:
    return (("X-Hub-Signature-256", "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()),)


def github(
    body: bytes, key: ec.EllipticCurvePrivateKey = GITHUB, name: str = IDENTIFIER
) -> tuple[tuple[str, str], ...]:
    signature = b64encode(key.sign(body, ec.ECDSA(SHA256()))).decode()
    return (("Github-Public-Key-Identifier", name), ("Github-Public-Key-Signature", signature))


# --- canaries


async def test_a_canary_is_an_unknown_key_to_its_thief_and_an_alarm_to_its_owner(
    opened: Opener, request_bytes: Compose, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    door = await opened(POLICY)
    canary = door.issue("nobody", SCOPE, canary=True)
    unknown = compose_key(bytes(range(32)), DEFAULT_PREFIX)
    said = await door.ask(key=canary)
    said.check_refusal(401, "unauthenticated")
    assert said.anonymous() == (await door.ask(key=unknown)).anonymous()
    (held,) = door.gateway.registry.list("nobody")
    record = await door.record(said.id)
    assert (record["canary"], record["detail"], record["subject"]) == (held.id, f"{held.id} is a canary", None)
    (alarm,) = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert held.id in alarm.getMessage()
    assert said.id in alarm.getMessage()
    assert canary[9:] not in caplog.text
    assert b'vallum_canaries_total{route="predict"} 1.0' in door.gateway.render_metrics()
    door.gateway.registry.revoke(held.id, 1.0)
    again = await door.record((await door.ask(key=canary)).id)
    assert "canary" not in again, "one that was taken in alarms nobody"


# --- keys for some routes


async def test_a_key_opens_the_routes_it_is_for(opened: Opener, request_bytes: Compose) -> None:
    door = await opened(POLICY)
    key = door.issue("alice", SCOPE, routes=("predict",))
    assert (await door.ask(key=key)).status == 200
    (held,) = door.gateway.registry.list("alice")
    refused = await door.refuses(
        request_bytes(target="/api/v1/other", key=key, input_text="x"), 403, "insufficient_scope"
    )
    assert refused.get("www-authenticate") == 'Bearer error="insufficient_scope"'
    assert (await door.record(refused.id))["detail"] == f"{held.id} is not for this route"


async def test_uses_are_noted_and_written(opened: Opener) -> None:
    door = await opened(POLICY)
    before = read_clock()
    await door.ask()
    registry = door.gateway.registry
    assert registry.list("owner")[0].last_used_at is None
    await registry.write_uses()
    used = registry.list("owner")[0].last_used_at
    assert used is not None
    assert used >= before - 1


# --- leak reports


async def post(door: Door, request_bytes: Compose, body: bytes, headers: tuple[tuple[str, str], ...]) -> Answer:
    headers = (("Content-Type", "application/json"), *headers)
    return await door.exchange(request_bytes(target="/leaked-keys", body=body, headers=headers))


@pytest.fixture
def policy(tmp_path: Path) -> tuple[str, Path]:
    """Return a policy with GitHub's keys, and the folder they are in."""
    listed = {"public_keys": [{"key_identifier": IDENTIFIER, "key": pem(GITHUB), "is_current": True}]}
    (tmp_path / "github.json").write_text(json.dumps(listed))
    return POLICY + "  keys: github.json\n", tmp_path


@pytest.mark.parametrize("sign", [own, github])
async def test_a_leaked_key_is_revoked_at_once(
    opened: Opener,
    request_bytes: Compose,
    policy: tuple[str, Path],
    sign: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    text, beside = policy
    door = await opened(text, beside=beside)
    key = door.issue("alice", SCOPE)
    stays = door.issue("bob", SCOPE)
    unknown = compose_key(bytes(range(32)), DEFAULT_PREFIX)
    assert (await door.ask(key=key)).status == 200
    body = report(key, unknown, "ghp_not_ours", "")
    for _ in range(2):  # a report that is sent again does no harm
        answer = await post(door, request_bytes, body, sign(body))
        assert answer.status == 200, answer.body
        assert [entry["label"] for entry in answer.json()] == ["true_positive"] + ["false_positive"] * 3
        assert b64decode(answer.json()[0]["token_hash"]) == sha256(key.encode()).digest()
        assert answer.json()[0]["token_type"] == "vallum_key"
        assert key.encode() not in answer.raw
        (await door.ask(key=key)).check_refusal(401, "unauthenticated")
        assert (await door.ask(key=stays)).status == 200
    record = await door.record(answer.id)
    assert (record["route"], record["decision"], record["received_bytes"]) == ("leak-reports", "allow", len(body))
    (held,) = door.gateway.registry.list("alice")
    assert held.id in caplog.text
    folder = door.gateway.records._folder
    assert folder is not None
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    for secret in (key[9:], unknown[9:], "x.example"):
        assert secret not in caplog.text
        assert secret.encode() not in written


async def test_a_quarantined_key_can_be_released(opened: Opener, request_bytes: Compose) -> None:
    door = await opened(POLICY + "  action: quarantine\n")
    key = door.issue("alice", SCOPE)
    body = report(key)
    assert (await post(door, request_bytes, body, own(body))).status == 200
    (await door.ask(key=key)).check_refusal(401, "unauthenticated")
    (held,) = door.gateway.registry.list("alice")
    assert door.gateway.registry.release(held.id)
    assert (await door.ask(key=key)).status == 200


BODY = report("x")
UNSIGNED: dict[str, tuple[tuple[str, str], ...]] = {
    "nothing": (),
    "another secret": own(BODY, "another secret of some length"),
    "another body": own(BODY + b" "),
    "no hash": (("X-Hub-Signature-256", "sha256="),),
    "not ASCII": (("X-Hub-Signature-256", "sha256=\xff"),),
    "twice": own(BODY) * 2,
    "another key": github(BODY, STRANGER),
    "an unknown identifier": github(BODY, GITHUB, "unknown"),
    "GitHub's, of another body": github(BODY + b" "),
    "no identifier": github(BODY)[1:],
    "no signature": github(BODY)[:1],
    "two identifiers": (github(BODY)[0], *github(BODY)),
    "not base64": (github(BODY)[0], ("Github-Public-Key-Signature", "!!!")),
    "not DER": (github(BODY)[0], ("Github-Public-Key-Signature", "AAAA")),
    "own, wrong, beside GitHub's": (*own(BODY + b" "), *github(BODY)),
}


async def test_what_is_not_signed_is_refused_alike(
    opened: Opener, request_bytes: Compose, policy: tuple[str, Path]
) -> None:
    text, beside = policy
    door = await opened(text, beside=beside)
    answers = {name: await post(door, request_bytes, BODY, headers) for name, headers in UNSIGNED.items()}
    for answer in answers.values():
        answer.check_refusal(403, "request_rejected")
    assert len({answer.body.replace(answer.id.encode(), b"-") for answer in answers.values()}) == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_request"),
        (b"{}", 400, "malformed_request"),
        (b'[{"url": "x"}]', 400, "malformed_request"),
        (b'[{"token": 1}]', 400, "malformed_request"),
        (b'[{"token": "' + b"a" * 600 + b'"}]', 400, "malformed_request"),
        (b'[{"token": "\xff"}]', 400, "malformed_request"),
        (b"[" * 5000, 400, "malformed_request"),
        (report(*["x"] * 1001), 400, "invalid_request"),
        (b" " * 1_048_577, 413, "body_too_large"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_signed_body_is_read_strictly(
    opened: Opener, request_bytes: Compose, body: bytes, status: int, code: str
) -> None:
    door = await opened(POLICY)
    answer = await post(door, request_bytes, body, own(body))
    answer.check_refusal(status, code, *(["errors"] if code == "nothing" else []))


# --- PostgreSQL


async def test_two_gateways_on_one_postgresql_obey_a_revocation_within_a_second(opened: Opener, postgres: Any) -> None:
    url = postgres.make()
    doors = [await opened(POLICY, registry=url) for _ in range(2)]
    operator = Keyring(url)
    took_s = []
    for number in range(20):
        key = doors[0].issue(f"s{number}", SCOPE)
        for door in doors:
            assert (await door.ask(key=key)).status == 200
        (held,) = operator.list(f"s{number}")
        began = time.perf_counter()
        assert await asyncio.get_running_loop().run_in_executor(None, operator.revoke, held.id, 1.0)
        for door in doors:
            while (await door.ask(key=key)).status == 200:
                pass
        took_s.append(time.perf_counter() - began)
    operator.close()
    print(
        f"\nrevocation to 401 at 2 gateways: p50 {median(took_s) * 1e3:.1f} ms,"
        f" p99 {quantiles(took_s, n=100)[-1] * 1e3:.1f} ms"
    )
    assert max(took_s) < 1.0


async def test_a_postgresql_that_is_down_is_met_by_on_error_and_comes_back(
    opened: Opener, postgres: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = await opened(POLICY, registry=postgres.make())
    registry = door.gateway.registry
    ahead_s = 0.0
    monkeypatch.setattr(registry, "_clock", lambda: time.monotonic() + ahead_s)
    await eventually(lambda: registry._seen == 1)
    assert (await door.ask()).status == 200
    postgres.stop()
    try:
        await eventually(lambda: not door.gateway.is_ready())
        assert (await door.ask()).status == 200, "who is known goes on for 5 s"
        ahead_s = STALE_S
        refused = await door.ask()
        refused.check_refusal(503, "unavailable")
        assert "authenticate" in (await door.record(refused.id))["unscanned"][0]
    finally:
        postgres.start()
    await eventually(door.gateway.is_ready)
    assert (await door.ask()).status == 200
