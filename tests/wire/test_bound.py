"""Bound credentials on real sockets: what a thief can do with a key, a token or a proof that was seen.

Certificates are put in where the listener would have found them: how they come off the wire is the listener's matter.
"""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from tests.clock import read_clock

from vallum.adapters.slots import CHALLENGE_SLOT_S
from vallum.core.effects import RememberProof
from vallum.core.exchange import Certificate, Request
from vallum.core.jws import digest
from vallum.core.principal import Confirmation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.wire.conftest import Answer, Door, Opener, Server

    Compose = Callable[..., bytes]

HOST = "http://model.example"
PATH = "/api/v1/predict"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
SIGNER = ECKey.generate_key("P-256")
OTHER = ECKey.generate_key("P-256")
POLICY = """
version: 1
admin: {address: "127.0.0.1:0"}
upstreams: {model: {url: "http://127.0.0.1:9000"}}
authenticators:
  keys: {type: api_key}
  minted: {type: minted}
tokens: {issuer: "https://models.example", key: "file:tests/vectors/signing.pem"}
routes:
  - name: predict
    match: {methods: [POST], path: /api/v1/predict}
    upstream: model
    auth: {any_of: [keys, minted], scopes: ["predict:read"]}
"""
BOUND = POLICY.replace('["predict:read"]}', '["predict:read"], bound: required}')
NONCES = BOUND + 'dpop: {nonce: required, nonce_secret: "0123456789abcdef0123456789abcdef"}\n'


@pytest.fixture(scope="module")
def example() -> Any:
    return import_module("examples.dpop.client")


@pytest.fixture
def certified(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Put a verified certificate on every connection that follows."""
    held: list[str | None] = [None]

    def make(*facts: Any) -> Request:
        certificate = None if held[0] is None else Certificate(held[0])
        return Request(*facts)._replace(certificate=certificate)

    monkeypatch.setattr("vallum.adapters.requests.Request", make)
    return lambda thumbprint: held.__setitem__(0, thumbprint)


def proof(now: float, credential: str | None, key: ECKey = SIGNER, **changes: Any) -> tuple[str, str]:
    claims = {"jti": "one", "htm": "POST", "htu": HOST + PATH, "iat": int(now)}
    if credential is not None:
        claims["ath"] = digest(credential)
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": SIGNER.as_dict(private=False)}
    return "DPoP", jwt.encode(header, claims | changes, key)


def ask(compose: Compose, *headers: tuple[str, str], target: str = PATH) -> bytes:
    return compose(target=target, headers=headers, input_text="a good day")


@pytest.fixture
def now() -> float:
    return read_clock()


async def check_stolen(door: Door, data: bytes, scheme: str = "DPoP") -> bytes:
    """Hold that a request is refused as every failed proof of identity is; return its body without the id."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await door.exchange(data)
    assert loop.time() - began >= CHALLENGE_SLOT_S * 0.9, "every one leaves on a slot of time"
    answer.check_refusal(401, "unauthenticated")
    assert answer.get("www-authenticate").startswith(scheme)
    return answer.body.replace(answer.id.encode(), b"-")


# --- a key bound to a key ---------------------------------------------------------------------------------------------


async def test_a_stolen_key_is_worth_nothing_without_its_proof(
    opened: Opener, request_bytes: Compose, now: float
) -> None:
    door = await opened(POLICY)
    key = door.issue("alice", "predict:read", confirmation=Confirmation(key=SIGNER.thumbprint()))
    dpop, api_key = ("Authorization", f"DPoP {key}"), ("X-API-Key", key)
    for number, field in enumerate((dpop, api_key)):
        answer = await door.exchange(ask(request_bytes, field, proof(now, key, jti=f"good-{number}")))
        assert answer.status == 200, answer.raw
    assert "dpop" not in door.model.heads[-1][2], "the upstream sees neither key nor proof"
    bearer = ("Authorization", f"Bearer {key}")
    good = proof(now, key, jti="stolen")
    calls = door.model.calls
    attempts: list[tuple[str, list[tuple[str, str]]]] = [
        ("DPoP", [bearer]),
        ("DPoP", [bearer, good]),
        ("DPoP", [dpop]),
        ("DPoP", [api_key]),
        ("DPoP", [dpop, ("DPoP", "x")]),
        ("DPoP", [dpop, ("DPoP", "x" * 10_000)]),
        ("DPoP", [dpop, good, proof(now, key, jti="second")]),
        ("DPoP", [dpop, ("DPoP", f"{good[1]}, {good[1]}")]),
        ("DPoP", [dpop, proof(now, key, OTHER)]),
        ("DPoP", [dpop, proof(now, key, jti="good-0")]),
        ("DPoP", [dpop, proof(now, key, htm="GET")]),
        ("DPoP", [dpop, proof(now, key, htu=HOST + "/other")]),
        ("DPoP", [dpop, proof(now, key, htu="http://evil.example" + PATH)]),
        ("DPoP", [dpop, proof(now, key, iat=int(now) - 120)]),
        ("DPoP", [dpop, proof(now, key, iat=int(now) + 120)]),
        ("DPoP", [dpop, proof(now, None)]),
        ("DPoP", [dpop, proof(now, "another credential")]),
        ("Bearer", [dpop, api_key, good]),
        ("Bearer", [("Authorization", "DPoP vlm_live_nonsense"), good]),
        ("Bearer", [("Authorization", f"DPoP {'x' * 60}"), good]),
        ("Bearer", []),
    ]
    bodies = {await check_stolen(door, ask(request_bytes, *fields), scheme) for scheme, fields in attempts}
    assert len(bodies) == 1, bodies
    assert door.model.calls == calls


async def test_a_proof_is_for_the_address_that_callers_know_and_no_field_moves_it(
    opened: Opener, request_bytes: Compose, now: float
) -> None:
    evil = "http://evil.example"
    claims = [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https"), ("Forwarded", "host=evil.example")]
    for public_url, home in ((None, HOST), ("https://models.example", "https://models.example")):
        door = await opened(POLICY, public_url=public_url)
        key = door.issue("alice", "predict:read", confirmation=Confirmation(key=SIGNER.thumbprint()))
        dpop = ("Authorization", f"DPoP {key}")
        for number, (target, htu, status) in enumerate(
            (
                (PATH, home + PATH, 200),
                (PATH + "?", home + PATH + "?a=b", 200),
                (evil + PATH, home + PATH, 200),  # the authority of a target is nobody's word for who we are
                (evil + PATH, evil + PATH, 401),
                (PATH, evil + PATH, 401),
                (PATH, "https://evil.example" + PATH, 401),
                (PATH, home + PATH + "/", 401),
                (PATH, home + "/api//v1/predict", 401),
                (PATH, home + "/api/v1/x/../predict", 401),
                (PATH, home.replace("//", "//user@") + PATH, 401),
                (PATH, home.replace("://", "s://") + PATH, 401),
                (PATH, PATH, 401),
            )
        ):
            sent = ask(request_bytes, dpop, proof(now, key, htu=htu, jti=f"{number}"), *claims, target=target)
            assert (await door.exchange(sent)).status == status, (public_url, target, htu)


async def test_an_unbound_key_is_a_bearers_and_nothing_else(opened: Opener, request_bytes: Compose, now: float) -> None:
    door = await opened(POLICY)
    key = door.key
    assert (await door.exchange(ask(request_bytes, ("Authorization", f"Bearer {key}")))).status == 200
    await check_stolen(door, ask(request_bytes, ("Authorization", f"DPoP {key}"), proof(now, key)))


async def test_a_route_for_bound_credentials_says_what_it_wants(opened: Opener, request_bytes: Compose) -> None:
    door = await opened(BOUND)
    answer = await door.exchange(ask(request_bytes, ("Authorization", f"Bearer {door.key}")))
    answer.check_refusal(401, "unauthenticated")
    challenge = answer.get("www-authenticate")
    assert challenge.startswith('DPoP error="invalid_token", error_description="a credential bound to')
    assert 'algs="ES256 ' in challenge


async def test_a_proof_that_was_seen_on_one_node_is_of_no_use_on_another(
    opened: Opener, request_bytes: Compose, now: float
) -> None:
    one, two = await opened(POLICY), await opened(POLICY)
    key = one.issue("alice", "predict:read", confirmation=Confirmation(key=SIGNER.thumbprint()))
    two.gateway.registry.add(one.gateway.registry.list("alice")[0])
    shared = one.gateway.driver._performers[RememberProof]
    two.gateway.driver._performers[RememberProof] = shared
    data = ask(request_bytes, ("Authorization", f"DPoP {key}"), proof(now, key))
    answers = await asyncio.gather(*(door.exchange(data) for door in (one, two) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 9


async def test_no_secret_is_logged_or_recorded(
    opened: Opener, request_bytes: Compose, now: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    door = await opened(POLICY)
    key = door.issue("alice", "predict:read", confirmation=Confirmation(key=SIGNER.thumbprint()))
    sent = proof(now, key, htm="GET")
    answer = await door.exchange(ask(request_bytes, ("Authorization", f"DPoP {key}"), sent))
    record = await door.record(answer.id)
    assert (record["control"], record["detail"]) == ("confirm", "htm is another method")
    assert record["credential"] is not None
    told = json.dumps(record) + caplog.text
    for secret in (key[9:], sent[1], sent[1].split(".")[1]):
        assert secret not in told


async def test_the_example_client_finds_its_way_through_nonces(
    opened: Opener, example: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.jwk"
    assert example.main(["new-key", str(path)]) == 0
    public = json.loads(capsys.readouterr().out)
    assert "d" not in public
    door = await opened(NONCES)
    key = door.issue("alice", "predict:read", confirmation=Confirmation(key=ECKey.import_key(public).thumbprint()))
    monkeypatch.setenv("VALLUM_KEY", key)
    url = f"http://127.0.0.1:{door.port}{PATH}"
    call = ["call", str(path), url, '{"input_text": "a good day"}']
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, example.main, call) == 0
    assert capsys.readouterr().out.startswith("200 ")
    monkeypatch.setenv("VALLUM_KEY", door.key)
    assert await loop.run_in_executor(None, example.main, call) == 1
    assert example.main([]) == 2


async def test_a_nonce_is_handed_out_and_its_absence_is_one_more_401(
    opened: Opener, request_bytes: Compose, now: float
) -> None:
    door = await opened(NONCES)
    key = door.issue("alice", "predict:read", confirmation=Confirmation(key=SIGNER.thumbprint()))
    field = ("Authorization", f"DPoP {key}")
    answer = await door.exchange(ask(request_bytes, field, proof(now, key)))
    assert answer.status == 401
    assert answer.get("www-authenticate").startswith('DPoP error="use_dpop_nonce"')
    nonce = answer.get("dpop-nonce")
    with_nonce = proof(now, key, nonce=nonce)
    assert (await door.exchange(ask(request_bytes, field, with_nonce))).status == 200
    replayed = await check_stolen(door, ask(request_bytes, field, with_nonce))
    answer = await door.exchange(ask(request_bytes, field, proof(now, key, nonce="x" * 24)))
    assert answer.get("dpop-nonce") == nonce
    assert answer.body.replace(answer.id.encode(), b"-") == replayed


# --- a key bound to a certificate -------------------------------------------------------------------------------------


async def test_a_stolen_key_is_worth_nothing_without_its_certificate(
    opened: Opener, request_bytes: Compose, certified: Callable[[str | None], None]
) -> None:
    door = await opened(BOUND)
    key = door.issue("alice", "predict:read", confirmation=Confirmation(certificate="thumb"))
    bearer = ("Authorization", f"Bearer {key}")
    certified("thumb")
    assert (await door.exchange(ask(request_bytes, bearer))).status == 200
    bodies = set()
    for held, fields in (
        (None, [bearer]),
        ("another", [bearer]),
        (None, [bearer, ("Client-Cert", ":dGh1bWI=:"), ("X-SSL-Client-Cert", "thumb")]),
        (None, [("X-API-Key", key)]),
    ):
        certified(held)
        bodies.add(await check_stolen(door, ask(request_bytes, *fields), "Bearer"))
    assert len(bodies) == 1


# --- tokens -----------------------------------------------------------------------------------------------------------


def form(compose: Compose, *headers: tuple[str, str], **fields: str) -> bytes:
    body = urlencode({"grant_type": GRANT, **fields}).encode()
    media_type = ("Content-Type", "application/x-www-form-urlencoded")
    return compose(target="/oauth/token", body=body, headers=(media_type, *headers))


def token_proof(now: float, **changes: Any) -> tuple[str, str]:
    return proof(now, None, htu=f"{HOST}/oauth/token", **changes)


async def test_a_key_stays_home_and_its_token_goes_out(opened: Opener, request_bytes: Compose) -> None:
    door = await opened(POLICY)
    answer = await door.exchange(form(request_bytes, ("Authorization", f"Bearer {door.key}"), scope="predict:read"))
    assert (answer.status, answer.get("cache-control")) == (200, "no-store"), answer.raw
    token = answer.json()["access_token"]
    bearer = ("Authorization", f"Bearer {token}")
    assert (await door.exchange(ask(request_bytes, bearer))).status == 200
    keys = await door.exchange(request_bytes("GET", "/.well-known/jwks.json"), "GET")
    metadata = await door.exchange(request_bytes("GET", "/.well-known/oauth-authorization-server"), "GET")
    assert metadata.json()["token_endpoint"] == "https://models.example/oauth/token"
    claims = jwt.decode(token, KeySet.import_key_set(keys.json()), ["ES256"]).claims
    assert claims["iss"] == metadata.json()["issuer"]
    (credential,) = door.gateway.registry.list("owner")
    assert claims["client_id"] == credential.id
    assert door.gateway.registry.revoke(credential.id, 0.0)
    await check_stolen(door, ask(request_bytes, bearer), "Bearer")


async def test_a_bound_token_is_worth_nothing_without_its_proof(
    opened: Opener, request_bytes: Compose, now: float
) -> None:
    door = await opened(BOUND)
    answer = await door.exchange(form(request_bytes, ("Authorization", f"Bearer {door.key}"), token_proof(now)))
    assert answer.json()["token_type"] == "DPoP", answer.raw
    token = answer.json()["access_token"]
    dpop = ("Authorization", f"DPoP {token}")
    assert (await door.exchange(ask(request_bytes, dpop, proof(now, token, jti="two")))).status == 200
    for fields in (
        [("Authorization", f"Bearer {token}"), proof(now, token, jti="three")],
        [dpop],
        [dpop, proof(now, token, jti="two")],
        [dpop, proof(now, token, OTHER, jti="four")],
        [dpop, proof(now, door.key, jti="five")],
    ):
        await check_stolen(door, ask(request_bytes, *fields))


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"scope": "admin"}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"audience": "https://evil.example"}, 400, "invalid_target"),
    ],
)
async def test_the_token_endpoint_speaks_oauth(
    opened: Opener, request_bytes: Compose, fields: dict[str, str], status: int, error: str
) -> None:
    door = await opened(POLICY)
    answer = await door.exchange(form(request_bytes, ("X-API-Key", door.key), **fields))
    assert (answer.status, answer.get("content-type"), answer.json()["error"]) == (status, "application/json", error)
    assert answer.get("cache-control") == "no-store"
    record = await door.record(answer.id)
    assert (record["route"], record["decision"], record["control"]) == ("token-exchange", "deny", "tokens")


async def test_the_token_endpoint_refuses_what_it_cannot_read(opened: Opener, request_bytes: Compose) -> None:
    door = await opened(POLICY)
    key = ("X-API-Key", door.key)
    media_type = ("Content-Type", "application/x-www-form-urlencoded")
    target = "/oauth/token"
    for data, status, error in (
        (request_bytes(target=target, headers=(media_type, key), body=b"a=1&a=2"), 400, "invalid_request"),
        (request_bytes(target=target, headers=(media_type, key), body=b"\xff"), 400, "invalid_request"),
        (request_bytes(target=target, headers=(media_type, key), body=b"x=" + b"y" * 20_000), 413, "invalid_request"),
        (request_bytes(target=target, headers=(key,), grant_type=GRANT), 415, "invalid_request"),
        (request_bytes(target=target, headers=(key,)), 400, "invalid_request"),
        (form(request_bytes), 401, "invalid_client"),
        (form(request_bytes, subject_token="vlm_live_wrong"), 401, "invalid_client"),
        (form(request_bytes, ("Authorization", "Bearer vlm_live_wrong")), 401, "invalid_client"),
    ):
        answer: Answer = await door.exchange(data)
        assert (answer.status, answer.json()["error"]) == (status, error), answer.raw
    bodies = set()
    for data in (form(request_bytes, subject_token="vlm_live_wrong"), form(request_bytes)):
        answer = await door.exchange(data)
        bodies.add(answer.body.replace(answer.id.encode(), b"-"))
    assert len(bodies) == 1
    assert (await door.exchange(request_bytes("GET", target), "GET")).status == 404


async def test_a_signing_key_is_made_for_its_owner_and_rotated_under_way(
    serving: Server, request_bytes: Compose
) -> None:
    text = POLICY.replace(', key: "file:tests/vectors/signing.pem"', "")
    for name, default in (("listen", "VALLUM_LISTEN"), ("admin", "VALLUM_ADMIN")):
        text = text.replace('admin: {address: "127.0.0.1:0"}\n', "") + f'{name}: {{address: "${{{default}}}"}}\n'
    text = text.replace("http://127.0.0.1:9000", "${VALLUM_UPSTREAM}") + 'registry: "${VALLUM_REGISTRY}"\n'
    served = await serving(text)
    path = served.folder / "vallum.signing.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = served.issue("alice", "predict:read")
    mint = form(request_bytes, ("Authorization", f"Bearer {key}"))
    old = (await served.exchange(mint)).json()["access_token"]
    code, _ = await served.command("tokens", "rotate")
    assert code == 0
    await served.wait_said("is in force")
    assert len((await served.exchange(request_bytes("GET", "/.well-known/jwks.json"), "GET")).json()["keys"]) == 2
    new = (await served.exchange(mint)).json()["access_token"]
    for token in (old, new):
        assert (await served.exchange(ask(request_bytes, ("Authorization", f"Bearer {token}")))).status == 200
    assert old.split(".")[0] != new.split(".")[0]
    for secret in (key, old, new, "PRIVATE"):
        assert secret not in served.said


# --- signs of theft ---------------------------------------------------------------------------------------------------

WATCHED = POLICY + "theft: {mode: enforce, warm_up_s: 0.000001, warm_up_requests: 3, step_up_at: 0.75}\n"
WATCHED = WATCHED.replace('["predict:read"]}', '["predict:read"]}\n    quotas: ["100 per minute"]')


async def test_a_key_in_other_hands_is_told_of_and_must_be_proved_while_its_owner_goes_on(
    opened: Opener, request_bytes: Compose, caplog: pytest.LogCaptureFixture
) -> None:
    door = await opened(WATCHED)

    async def call(source: str, agent: str) -> Answer:
        client = await door.connect(source)
        await client.send(ask(request_bytes, ("User-Agent", agent), ("Authorization", f"Bearer {door.key}")))
        answer = await client.answer()
        client.close()
        return answer

    home, far = ("127.1.0.1", "httpx/1"), ("127.2.0.1", "curl/8")
    assert [(await call(*home)).status for _ in range(5)] == [200] * 5
    assert (await call(*far)).status == 200, "two signs are not enough"
    assert (await call(*home)).status == 200
    stolen = await call(*far)
    stolen.check_refusal(401, "unauthenticated")
    assert stolen.get("www-authenticate").startswith("DPoP ")
    record = await door.record(stolen.id)
    assert record["control"] == "habits"
    assert record["suspicion"]["signs"] == ["new_network", "new_agent", "two_networks"]
    assert record["suspicion"]["factor"] == 0.5
    assert (await call(*home)).status == 200, "the owner at home is not bothered"
    assert caplog.text.count("may be in other hands: new_network, new_agent") == 1
    assert door.key[9:] not in caplog.text
    metrics = door.gateway.render_metrics().decode()
    assert 'vallum_suspected_total{route="predict",sign="alert"} 1.0' in metrics
