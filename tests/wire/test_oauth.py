"""Tokens of real authorisation servers at a real gateway, with real sockets in between."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from joserfc.jwk import ECKey

from vallum.adapters import issuer as issuer_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.authservers import AuthServer, Rotating
    from tests.wire.conftest import Answer, Door, Opener

POLICY = """
# {number}: compiled policies are kept by their text, and authenticators remember
version: 1
admin: {{address: "127.0.0.1:0"}}
upstreams:
  model: {{url: "http://127.0.0.1:9000"}}
authenticators:
  keys: {{type: api_key}}
  tokens:
    type: oauth2
    issuer: {issuer}
    audience: "https://models.example"
    {more}
routes:
  - name: predict
    match: {{methods: [POST], path: /api/v1/predict}}
    upstream: model
    auth: {{any_of: [{order}], scopes: ["predict:read"]}}
"""
NUMBERS = count()
METADATA = "https://models.example/.well-known/oauth-protected-resource"
INVALID = f'Bearer error="invalid_token", resource_metadata="{METADATA}"'
OPAQUE = "introspection: {{client_id: gateway, client_secret: {secret}}}"


def policy(issuer: str, more: str = "", order: str = "keys, tokens") -> str:
    return POLICY.format(number=next(NUMBERS), issuer=issuer, more=more, order=order)


def introspecting(server: AuthServer, order: str = "keys, tokens") -> str:
    return policy(server.issuer, OPAQUE.format(secret=server.secret("gateway")), order)


async def ask(door: Door, token: str, scheme: str = "Bearer", **more: Any) -> Answer:
    fields = (("Authorization", f"{scheme} {token}"), ("Content-Type", "application/json"))
    body = b'{"input_text": "a good day"}'
    return await door.exchange(COMPOSE[0](headers=fields, body=body, **more))


COMPOSE: list[Callable[..., bytes]] = []


@pytest.fixture(autouse=True)
def _composing(request_bytes: Callable[..., bytes]) -> Iterator[None]:
    COMPOSE[:] = [request_bytes]
    yield
    COMPOSE.clear()


class TestJwts:
    async def test_a_token_is_admitted_and_its_subject_recorded(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(policy(authserver.issuer))
        token = authserver.get_token()

        answer = await ask(door, token)

        assert answer.status == 200, answer.raw
        record = await door.record(answer.id)
        assert (record["subject"], record["credential"]) == ("caller", "client:caller")
        assert token.split(".")[2] not in json.dumps(record)

    async def test_keys_are_fetched_once_for_many_tokens(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(policy(authserver.issuer))
        before = authserver.count(authserver.keys_path)
        for _ in range(4):
            assert (await ask(door, authserver.get_token())).status == 200
        assert authserver.count(authserver.keys_path) == before + 1

    async def test_a_key_still_opens_the_same_route(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(introspecting(authserver, "tokens, keys"))
        before = authserver.count(authserver.introspection_path)
        assert (await door.ask()).status == 200
        assert authserver.count(authserver.introspection_path) == before, "a key is not shown to the issuer"

    async def test_a_missing_scope_is_403_and_named(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(policy(authserver.issuer))
        answer = await ask(door, authserver.get_token(scopes="predict:write"))
        answer.check_refusal(403, "insufficient_scope")
        assert answer.get("www-authenticate") == 'Bearer error="insufficient_scope", scope="predict:read"'

    async def test_a_token_bound_to_a_key_is_no_bearer_token(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(policy(authserver.issuer))
        token = authserver.get_token(dpop=ECKey.generate_key("P-256"))
        answer = await ask(door, token)
        answer.check_refusal(401, "unauthenticated")
        assert (await ask(door, authserver.get_token(), scheme="DPoP")).status == 401

    async def test_a_binding_is_read(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(policy(authserver.issuer))
        authenticator: Any = door.gateway.engine.policy.routes[-1].authenticators[1]
        certificate = trustme.CA().issue_cert("client.example").cert_chain_pems[0].bytes().decode()
        await ask(door, authserver.get_token(certificate=certificate))
        (verdict,) = authenticator._verified._verdicts.values()
        assert verdict.principal.confirmation.certificate is not None


class TestReload:
    async def test_a_token_that_was_found_good_is_judged_anew_by_another_policy(
        self, opened: Opener, authserver: AuthServer
    ) -> None:
        door = await opened(policy(authserver.issuer))
        token = authserver.get_token()
        assert (await ask(door, token)).status == 200
        path = door.gateway.source.path
        path.write_text(path.read_text().replace("https://models.example", "https://other.example"))
        assert await door.gateway.reload()
        (await ask(door, token)).check_refusal(401, "unauthenticated")


class TestRefusals:
    async def test_every_token_that_does_not_hold_gets_the_same_answer(
        self, opened: Opener, authserver: AuthServer
    ) -> None:
        door = await opened(introspecting(authserver))
        token = authserver.get_token()
        head, body, signature = token.split(".")
        last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        respelt = signature[:-1] + last[last.index(signature[-1]) + 1]
        hostile = [
            f"{head}.{body}.{signature[:-4]}AAAA",
            f"{head}.{body}.{respelt}",
            f"{head}.{body}.{signature}=",
            f"{head}.{body}.",
            f"eyJhbGciOiJub25lIn0.{body}.",
            f"eyJhbGciOiJub25lIn0.{body}.{signature}",
            f"{token}.{signature}",
            "nonsense",
            "vlm_live_nonsense",
            "a" * 9000,
            authserver.get_token("opaque")[:-2] + "xx",
        ]
        async with door.untouched():
            answers = [await ask(door, one) for one in hostile]
        for answer in answers:
            answer.check_refusal(401, "unauthenticated")
        assert {answer.anonymous() for answer in answers} == {answers[0].anonymous()}
        assert answers[0].get("www-authenticate") == INVALID

    async def test_two_credentials_are_none(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(policy(authserver.issuer))
        fields = (("Authorization", f"Bearer {authserver.get_token()}"), ("X-API-Key", door.key))
        answer = await door.exchange(COMPOSE[0](headers=fields, input_text="a good day"))
        answer.check_refusal(401, "unauthenticated")
        assert answer.get("www-authenticate") == INVALID

    async def test_a_token_in_the_query_is_not_looked_at(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(policy(authserver.issuer))
        target = f"/api/v1/predict?access_token={authserver.get_token()}"
        answer = await door.exchange(COMPOSE[0](target=target, input_text="a good day"))
        answer.check_refusal(401, "unauthenticated")
        assert answer.get("www-authenticate") == f'Bearer resource_metadata="{METADATA}"'

    async def test_a_token_of_another_issuer_is_nobodys(
        self, opened: Opener, authserver: AuthServer, rotating: Rotating
    ) -> None:
        door = await opened(policy(authserver.issuer))
        token = rotating.sign({"sub": "eve", "aud": authserver.audience, "scope": "predict:read"})
        (await ask(door, token)).check_refusal(401, "unauthenticated")


class TestOpaque:
    async def test_an_active_token_is_asked_about_once(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(introspecting(authserver))
        token = authserver.get_token("opaque")
        before = authserver.count(authserver.introspection_path)
        for _ in range(3):
            answer = await ask(door, token)
            assert answer.status == 200, answer.raw
        assert authserver.count(authserver.introspection_path) == before + 1
        assert (await door.record(answer.id))["subject"] == "caller"

    async def test_an_unknown_token_is_401_and_asked_about_once(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(introspecting(authserver))
        before = authserver.count(authserver.introspection_path)
        for _ in range(3):
            (await ask(door, "an-unknown-token")).check_refusal(401, "unauthenticated")
        assert authserver.count(authserver.introspection_path) == before + 1

    async def test_without_introspection_it_is_nobodys(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(policy(authserver.issuer))
        (await ask(door, authserver.get_token("opaque"))).check_refusal(401, "unauthenticated")

    async def test_a_wrong_secret_of_ours_is_503_and_not_the_callers_fault(
        self, opened: Opener, authserver: AuthServer
    ) -> None:
        door = await opened(policy(authserver.issuer, OPAQUE.format(secret="wrong")))
        answer = await ask(door, authserver.get_token("opaque"))
        answer.check_refusal(503, "unavailable")
        assert "answered 401" in (await door.record(answer.id))["detail"]


class TestOutage:
    @pytest.fixture
    def broken(self, rotating: Rotating) -> Iterator[Rotating]:
        yield rotating
        rotating.fail(0)

    def claims(self, **more: Any) -> dict[str, Any]:
        return {"sub": "ada", "aud": "https://models.example", "scope": "predict:read", **more}

    async def test_good_keys_stay_good_when_the_issuer_is_down(self, opened: Opener, broken: Rotating) -> None:
        door = await opened(policy(broken.issuer))
        assert (await ask(door, broken.sign(self.claims()))).status == 200
        broken.fail(503)
        known = next(iter(door.gateway.issuers._known.values()))
        known.keys_stale_at = known.keys_ask_at = 0.0  # as if an hour had passed
        assert (await ask(door, broken.sign(self.claims(sub="bob")))).status == 200
        assert "503" in known.fault

    async def test_without_keys_it_is_503(self, opened: Opener, broken: Rotating) -> None:
        token = broken.sign(self.claims())
        broken.fail(500)
        door = await opened(policy(broken.issuer))
        (await ask(door, token)).check_refusal(503, "unavailable")

    async def test_introspection_that_is_down_is_503(self, opened: Opener, broken: Rotating) -> None:
        broken.fail(500)
        door = await opened(policy(broken.issuer, OPAQUE.format(secret="any")))
        (await ask(door, "an-opaque-token")).check_refusal(503, "unavailable")

    async def test_a_new_key_is_found_and_one_that_is_gone_no_more(
        self, opened: Opener, broken: Rotating, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(issuer_room, "PAUSE_S", 0.0)
        door = await opened(policy(broken.issuer))
        assert (await ask(door, broken.sign(self.claims()))).status == 200
        broken.add_key("next")
        assert (await ask(door, broken.sign(self.claims(), "next"))).status == 200
        broken.forget_key("next")
        next(iter(door.gateway.issuers._known.values())).keys_stale_at = 0.0
        assert (await ask(door, broken.sign(self.claims(sub="bob"), "next"))).status == 401

    async def test_a_flood_of_unknown_keys_asks_the_issuer_twice(self, opened: Opener, broken: Rotating) -> None:
        door = await opened(policy(broken.issuer))
        broken.add_key("unpublished")
        broken.forget_key("unpublished")
        token = broken.sign(self.claims(), "unpublished")
        _, body, signature = token.split(".")
        before = broken.count("/jwks")
        for number in range(40):
            if number == 20:  # half a minute later
                next(iter(door.gateway.issuers._known.values())).keys_ask_at = 0.0
            head = encode(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": f"kid-{number}"}))
            (await ask(door, f"{head}.{body}.{signature}")).check_refusal(401, "unauthenticated")
        assert broken.count("/jwks") == before + 2


def encode(text: str) -> str:
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


class TestMetadata:
    async def test_it_is_there_for_everybody(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(policy(authserver.issuer))
        answer = await door.exchange(COMPOSE[0](method="GET", target="/.well-known/oauth-protected-resource"), "GET")
        assert (answer.status, answer.get("content-type")) == (200, "application/json")
        assert answer.get("cache-control") == "public, max-age=3600"
        assert answer.json() == {
            "resource": "https://models.example",
            "authorization_servers": [authserver.issuer],
            "scopes_supported": ["predict:read"],
            "bearer_methods_supported": ["header"],
        }

    async def test_a_resource_with_a_path_has_its_own(self, opened: Opener, authserver: AuthServer) -> None:
        door = await opened(policy(authserver.issuer, "resource: https://models.example/v1"))
        target = "/.well-known/oauth-protected-resource/v1"
        answer = await door.exchange(COMPOSE[0](method="GET", target=target), "GET")
        assert answer.json()["resource"] == "https://models.example/v1"
        refused = await ask(door, "nonsense")
        assert f'resource_metadata="https://models.example{target}"' in refused.get("www-authenticate")
