"""The token endpoint in dialogue: what a key may become, what it may not, and who believes the token."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from vallum.authenticators.anonymous import Anonymous, AnonymousConfig
from vallum.authenticators.api_key import ApiKey, ApiKeyConfig
from vallum.authenticators.minted import Minted
from vallum.codecs.form import FORM, Form
from vallum.core.apikey import compose_key, digest_key
from vallum.core.decision import Allow, Challenge, Deny, Page, Reason
from vallum.core.effects import Effect, FindCredential, FindCredentialById, NoteSighting, RememberProof
from vallum.core.engine import Engine
from vallum.core.errors import DependencyError
from vallum.core.exchange import Certificate
from vallum.core.jws import JwsError, digest
from vallum.core.policy import Mode, Policy, Vigilance
from vallum.core.principal import Confirmation, Credential, Principal
from vallum.core.problem import ErrorFormat
from vallum.core.theft import Suspicion
from vallum.mint.exchange import ACCESS_TOKEN, GRANT, Exchanger
from vallum.mint.keyring import KeyRing, create_file, make_key, parse_keys, rotate_file
from vallum.mint.metadata import PublicKeys, describe_issuer, metadata_path
from vallum.mint.tokens import Mint, Verifier
from vallum.provers.dpop import Dpop, DpopConfig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Kit

    from vallum.core.exchange import Exchange

URL = "https://models.example"
NOW = 1_700_000_000.0
PEM = make_key()
RING = KeyRing(lambda: PEM)
MINT = Mint(URL, URL, frozenset({URL, "https://other.example"}), 300, RING)
KEY = compose_key(bytes(range(32)))
OTHER_KEY = compose_key(bytes(32))
HELD = Credential("key_1", "alice", digest_key(KEY), "acme", frozenset({"a", "b"}))
SIGNER = ECKey.generate_key("P-256")
THUMB = SIGNER.thumbprint()


def verify(token: str, now: float = NOW, mint: Mint = MINT) -> Any:
    return Verifier(mint).verify(token, now)


def proof(jti: str = "one", path: str = "/oauth/token", **claims: Any) -> str:
    body = {"jti": jti, "htm": "POST", "htu": URL + path, "iat": int(NOW)} | claims
    return jwt.encode({"typ": "dpop+jwt", "alg": "ES256", "jwk": SIGNER.as_dict(private=False)}, body, SIGNER)


class House:
    """Answers effects as stores would."""

    def __init__(self, *credentials: Credential, suspicion: Suspicion | None = None) -> None:
        self.credentials = list(credentials)
        self.suspicion = suspicion or Suspicion()
        self.seen: set[str] = set()

    def perform(self, effect: Effect[Any]) -> Any:
        if isinstance(effect, FindCredential):
            return next((c for c in self.credentials if c.digest == effect.digest), None)
        if isinstance(effect, FindCredentialById):
            return next((c for c in self.credentials if c.id == effect.id), None)
        if isinstance(effect, NoteSighting):
            return self.suspicion
        assert isinstance(effect, RememberProof)
        new = effect.key not in self.seen
        self.seen.add(effect.key)
        return new

    def run(self, steps: Any) -> Any:
        try:
            effect = next(steps)
            while True:
                effect = steps.send(self.perform(effect))
        except StopIteration as stop:
            return stop.value


def exchange(
    kit: Kit,
    *fields: tuple[str, str],
    house: House | None = None,
    certificate: Certificate | None = None,
    nonce: DpopConfig | None = None,
    vigilance: Vigilance | None = None,
    **form: Any,
) -> tuple[Exchange, Any]:
    house = house or House(HELD)
    keys, prover = ApiKey("keys", ApiKeyConfig()), Dpop(nonce or DpopConfig())
    route = kit.route(
        "/oauth/token",
        authenticators=(keys, Anonymous("anybody", AnonymousConfig())),
        intake=kit.intake(codecs=dict.fromkeys(FORM, Form())),
        error_format=ErrorFormat.OAUTH,
        responder=Exchanger(MINT, (keys,), prover),
        vigilance=vigilance,
    )
    engine = Engine(Policy((route,), {}, "digest", prover))
    body = Form().encode({"grant_type": GRANT} | form)
    headers = (("content-type", "application/x-www-form-urlencoded"), ("content-length", str(len(body))), *fields)
    request = kit.request(path="/oauth/token", headers=headers, now=NOW)
    x = engine.open(request._replace(origin=URL, certificate=certificate))
    outcome = house.run(engine.request_head(x))
    if isinstance(outcome, Allow):
        outcome = house.run(engine.request_body(x, body))
    if isinstance(outcome, Allow):
        outcome = house.run(engine.respond(x))
    assert KEY not in repr(outcome)
    assert KEY[9:30] not in repr(outcome)
    return x, outcome


BEARER = ("authorization", f"Bearer {KEY}")


def minted(outcome: Any) -> dict[str, Any]:
    assert isinstance(outcome, Page), outcome
    assert dict(outcome.headers)["cache-control"] == "no-store"  # RFC 6749 5.1
    answer: dict[str, Any] = json.loads(outcome.body)
    return answer


def fault(outcome: Any) -> str:
    assert isinstance(outcome, Deny), outcome
    assert outcome.reason is Reason.INVALID_REQUEST
    return str(outcome.violations[0]["rule"])


# --- what a key becomes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ((BEARER,), {}),
        ((("x-api-key", KEY),), {}),
        ((BEARER,), {"subject_token": KEY, "subject_token_type": ACCESS_TOKEN}),
        ((), {"subject_token": KEY, "subject_token_type": ACCESS_TOKEN}),
        ((BEARER,), {"requested_token_type": "urn:ietf:params:oauth:token-type:jwt", "scope": "", "unknown": "x"}),
    ],
)
def test_a_key_becomes_a_token_of_minutes(kit: Kit, fields: tuple[tuple[str, str], ...], form: dict[str, Any]) -> None:
    _, outcome = exchange(kit, *fields, **form)
    answer = minted(outcome)
    token = answer.pop("access_token")
    assert answer == {
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "a b",
    }
    decoded = jwt.decode(token, KeySet.import_key_set({"keys": RING.published(NOW)}), ["ES256"])  # as others would
    assert decoded.header["typ"] == "at+jwt"
    assert decoded.claims == {
        "iss": URL,
        "sub": "alice",
        "aud": URL,
        "client_id": "key_1",
        "iat": int(NOW),
        "exp": int(NOW) + 300,
        "jti": "req-1",
        "scope": "a b",
        "tenant": "acme",
    }


def test_fewer_scopes_and_another_audience_may_be_asked_for(kit: Kit) -> None:
    answer = minted(exchange(kit, BEARER, scope="b", resource="https://other.example")[1])
    assert answer["scope"] == "b"
    decoded = jwt.decode(answer["access_token"], KeySet.import_key_set({"keys": RING.published(NOW)}), ["ES256"])
    assert (decoded.claims["scope"], decoded.claims["aud"]) == ("b", "https://other.example")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"scope": "a c"}, "invalid_scope"),
        ({"scope": "c"}, "invalid_scope"),
        ({"scope": "a  b"}, "invalid_scope"),
        ({"audience": "https://evil.example"}, "invalid_target"),
        ({"audience": URL, "resource": "https://other.example"}, "invalid_target"),
        ({"subject_token": OTHER_KEY}, "invalid_request"),
        ({"subject_token": "é"}, "invalid_request"),
        ({"subject_token": KEY, "subject_token_type": "urn:x"}, "invalid_request"),
        ({"actor_token": KEY}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
    ],
)
def test_what_is_wrong_has_oauths_own_code(kit: Kit, form: dict[str, Any], error: str) -> None:
    assert fault(exchange(kit, BEARER, **form)[1]) == error


@pytest.mark.parametrize(
    ("fields", "form", "house"),
    [
        ((), {}, House(HELD)),
        ((("authorization", "Basic eDp5"),), {"subject_token": KEY}, House(HELD)),
        ((), {"subject_token": "x"}, House(HELD)),
        ((), {"subject_token": OTHER_KEY}, House(HELD)),
        ((BEARER,), {}, House()),
        ((), {"subject_token": KEY}, House()),
        ((), {"subject_token": KEY}, House(replace(HELD, revoked_at=NOW))),
        ((BEARER,), {}, House(replace(HELD, expires_at=NOW))),
        ((BEARER, ("x-api-key", KEY)), {}, House(HELD)),
        ((("authorization", f"DPoP {KEY}"),), {}, House(HELD)),  # an unbound key is a bearer's
    ],
)
def test_without_a_key_that_holds_there_is_no_token(
    kit: Kit, fields: tuple[tuple[str, str], ...], form: dict[str, Any], house: House
) -> None:
    assert isinstance(exchange(kit, *fields, house=house, **form)[1], Challenge)


# --- binding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "form"), [((BEARER,), {}), ((), {"subject_token": KEY})])
def test_a_canary_alarms_wherever_it_stands(
    kit: Kit, fields: tuple[tuple[str, str], ...], form: dict[str, Any]
) -> None:
    x, outcome = exchange(kit, *fields, house=House(replace(HELD, canary=True)), **form)
    assert isinstance(outcome, Challenge)
    assert x.canary == "key_1"


@pytest.mark.parametrize(("fields", "form"), [((BEARER,), {}), ((), {"subject_token": KEY})])
def test_a_key_for_other_routes_is_not_for_this_one(
    kit: Kit, fields: tuple[tuple[str, str], ...], form: dict[str, Any]
) -> None:
    _, outcome = exchange(kit, *fields, house=House(replace(HELD, routes=frozenset({"other"}))), **form)
    assert isinstance(outcome, Deny)
    assert (outcome.reason, outcome.control) == (Reason.INSUFFICIENT_SCOPE, "authorise")
    named = House(replace(HELD, routes=frozenset({"predict"})))  # the name of the route here
    minted(exchange(kit, *fields, house=named, **form)[1])


def test_a_token_is_not_exchanged_for_a_longer_one(kit: Kit) -> None:
    token = minted(exchange(kit, BEARER)[1])["access_token"]
    bearer = ("authorization", f"Bearer {token}")
    for fields, form in (
        ((bearer,), {}),
        ((("x-api-key", token),), {}),
        ((), {"subject_token": token}),
        ((bearer,), {"subject_token": token}),
        ((bearer,), {"subject_token": KEY}),
    ):
        assert isinstance(exchange(kit, *fields, **form)[1], Challenge)
    assert fault(exchange(kit, BEARER, subject_token=token)[1]) == "invalid_request"


def test_a_proof_binds_the_token_to_its_key(kit: Kit) -> None:
    answer = minted(exchange(kit, BEARER, ("dpop", proof()))[1])
    assert answer["token_type"] == "DPoP"
    assert verify(answer["access_token"]).bond == Confirmation(key=THUMB)


def test_a_certificate_binds_the_token_to_it(kit: Kit) -> None:
    answer = minted(exchange(kit, BEARER, certificate=Certificate("thumb"))[1])
    assert answer["token_type"] == "Bearer"
    assert verify(answer["access_token"]).bond == Confirmation(certificate="thumb")


@pytest.mark.parametrize("broken", [proof(path="/other"), proof(iat=int(NOW) - 100), "x.y.z"])
def test_a_proof_that_does_not_hold_mints_nothing(kit: Kit, broken: str) -> None:
    assert fault(exchange(kit, BEARER, ("dpop", broken))[1]) == "invalid_dpop_proof"


def test_a_proof_is_used_once_here_too(kit: Kit) -> None:
    house = House(HELD)
    minted(exchange(kit, BEARER, ("dpop", proof()), house=house)[1])
    assert fault(exchange(kit, BEARER, ("dpop", proof()), house=house)[1]) == "invalid_dpop_proof"


def test_a_nonce_is_demanded_here_too(kit: Kit) -> None:
    config = DpopConfig(nonce="required", nonce_secret="s" * 32)
    x, outcome = exchange(kit, BEARER, ("dpop", proof()), nonce=config)
    assert fault(outcome) == "use_dpop_nonce"
    ((name, nonce),) = x.proof_fields
    assert name == "dpop-nonce"
    minted(exchange(kit, BEARER, ("dpop", proof(nonce=nonce)), nonce=config)[1])


BOUND = House(replace(HELD, confirmation=Confirmation(key=THUMB)))


def ath(key: str = KEY) -> str:
    return digest(key)


BOUND_WAYS: list[tuple[tuple[tuple[str, str], ...], dict[str, Any]]] = [
    ((("authorization", f"DPoP {KEY}"),), {}),
    ((("x-api-key", KEY),), {}),
    ((), {"subject_token": KEY}),
]


def test_a_bound_key_mints_tokens_that_are_bound_as_it_is(kit: Kit) -> None:
    for number, (fields, form) in enumerate(BOUND_WAYS):
        field = ("dpop", proof(jti=f"bound-{number}", ath=ath()))
        answer = minted(exchange(kit, *fields, field, house=BOUND, **form)[1])
        assert answer["token_type"] == "DPoP"
        assert verify(answer["access_token"]).bond == Confirmation(key=THUMB)


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ((BEARER,), {}),
        ((("authorization", f"DPoP {KEY}"),), {}),
        ((("authorization", f"DPoP {KEY}"), ("dpop", proof(jti="no-ath"))), {}),
        ((), {"subject_token": KEY}),
        ((("dpop", proof(jti="no-ath-2")),), {"subject_token": KEY}),
    ],
)
def test_a_bound_key_without_its_proof_mints_nothing(
    kit: Kit, fields: tuple[tuple[str, str], ...], form: dict[str, Any]
) -> None:
    assert isinstance(exchange(kit, *fields, house=BOUND, **form)[1], Challenge)


def test_a_key_bound_to_a_certificate_may_bind_to_a_key_as_well(kit: Kit) -> None:
    house = House(replace(HELD, confirmation=Confirmation(certificate="thumb")))
    assert isinstance(exchange(kit, BEARER, house=house)[1], Challenge)
    held = Certificate("thumb")
    one = minted(exchange(kit, BEARER, house=house, certificate=held)[1])
    assert verify(one["access_token"]).bond == Confirmation(certificate="thumb")
    both = minted(exchange(kit, BEARER, ("dpop", proof()), house=house, certificate=held)[1])
    assert verify(both["access_token"]).bond == Confirmation("thumb", THUMB)


@pytest.mark.parametrize(("fields", "form"), [((BEARER,), {}), ((), {"subject_token": KEY})])
def test_a_key_in_strange_hands_mints_nothing(
    kit: Kit, fields: tuple[tuple[str, str], ...], form: dict[str, Any]
) -> None:
    strange = House(HELD, suspicion=Suspicion(1.0, ("new_network", "new_agent")))
    x, outcome = exchange(kit, *fields, house=strange, vigilance=Vigilance(Mode.ENFORCE), **form)
    assert isinstance(outcome, Challenge)
    assert outcome.control == "habits"
    x, outcome = exchange(kit, *fields, house=strange, vigilance=Vigilance(), **form)
    minted(outcome)
    assert [refusal.control for refusal in x.shadowed] == ["habits"]
    minted(exchange(kit, *fields, house=House(HELD), vigilance=Vigilance(Mode.ENFORCE), **form)[1])


# --- who believes the token -------------------------------------------------------------------------------------------


def present(kit: Kit, token: str, house: House, scheme: str = "Bearer", now: float = NOW, **request: Any) -> Any:
    headers = [("authorization", f"{scheme} {token}")]
    steps = Minted("minted", Verifier(MINT)).authenticate(kit.request(headers=headers, now=now, **request))
    return house.run(steps)


def token_of(kit: Kit, *fields: tuple[str, str], **form: Any) -> str:
    return str(minted(exchange(kit, BEARER, *fields, **form)[1])["access_token"])


def test_a_token_is_its_keys_principal_with_its_own_scopes(kit: Kit) -> None:
    token = token_of(kit, scope="b")
    expected = Principal("alice", "acme", frozenset({"b"}), "key_1", "minted")
    assert present(kit, token, House(HELD)) == expected
    fewer = House(replace(HELD, scopes=frozenset({"a"})))
    assert present(kit, token, fewer).scopes == frozenset(), "what the key lost, the token lost"


def test_a_bound_token_says_what_it_is_bound_to(kit: Kit) -> None:
    bound = token_of(kit, ("dpop", proof()))
    assert present(kit, bound, House(HELD), "DPoP").confirmation == Confirmation(key=THUMB)


@pytest.mark.parametrize(
    ("house", "request_"),
    [
        (House(), {}),
        (House(replace(HELD, revoked_at=NOW)), {}),
        (House(replace(HELD, expires_at=NOW)), {}),
        (House(replace(HELD, allow_ip=("198.51.100.0/24",))), {}),
        (House(replace(HELD, confirmation=Confirmation(key=THUMB))), {}),  # bound since: an unbound token ends
        (House(replace(HELD, confirmation=Confirmation(certificate="thumb"))), {}),
        (House(HELD), {"now": NOW + 300}),
        (House(HELD), {"now": NOW - 10}),
    ],
)
def test_a_token_ends_with_its_key_or_its_time(kit: Kit, house: House, request_: dict[str, Any]) -> None:
    assert isinstance(present(kit, token_of(kit), house, **request_), Challenge)


def test_a_token_that_held_is_judged_again_by_the_clock() -> None:
    verifier = Verifier(MINT)
    claims = {"iss": URL, "aud": URL, "client_id": "k", "iat": NOW, "exp": NOW + 10, "scope": "a"}
    token = jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": RING.keys(NOW)[0].id}, claims, RING.keys(NOW)[0].key)
    assert verifier.verify(token, NOW) is verifier.verify(token, NOW + 9)
    assert verifier.is_ours(token, NOW)
    for _ in range(2):
        with pytest.raises(JwsError, match="expired"):
            verifier.verify(token, NOW + 10)


OWN = RING.keys(NOW)[0]
HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": OWN.id}
CLAIMS = {"iss": URL, "aud": URL, "client_id": "key_1", "iat": NOW, "exp": NOW + 10, "scope": "a"}


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode(HEADER | {"typ": "JWT"}, CLAIMS, OWN.key),
        jwt.encode(HEADER | {"typ": "dpop+jwt"}, CLAIMS, OWN.key),
        jwt.encode(HEADER, CLAIMS | {"iss": "https://other.example"}, OWN.key),
        jwt.encode(HEADER, CLAIMS | {"aud": "https://other.example"}, OWN.key),
        jwt.encode(HEADER, CLAIMS | {"aud": [URL]}, OWN.key),
        jwt.encode(HEADER, {name: value for name, value in CLAIMS.items() if name != "client_id"}, OWN.key),
        jwt.encode(HEADER, CLAIMS | {"exp": "soon"}, OWN.key),
        jwt.encode(HEADER, CLAIMS | {"exp": 10**400}, OWN.key),
        jwt.encode(HEADER, CLAIMS | {"cnf": "x"}, OWN.key),
        jwt.encode(HEADER, CLAIMS, SIGNER),
        jwt.encode(HEADER | {"alg": "HS256"}, CLAIMS, OctKey.import_key(b"k" * 32)),
        jwt.encode(HEADER | {"alg": "RS256"}, CLAIMS, RSAKey.generate_key(2048)),
        jwt.encode(HEADER, CLAIMS, OWN.key)[:-4] + "AAAA",
    ],
)
def test_forged_and_foreign_tokens_of_our_key_id_are_refused(kit: Kit, token: str) -> None:
    assert isinstance(present(kit, token, House(HELD)), Challenge)


@pytest.mark.parametrize("token", ["", "x", KEY, "a.b.c", jwt.encode({"alg": "ES256", "kid": "x"}, {}, SIGNER)])
def test_what_names_no_key_of_ours_is_left_to_others(kit: Kit, token: str) -> None:
    assert present(kit, token, House(HELD)) is None
    assert present(kit, token, House(HELD), "Basic") is None


@given(at=st.integers(0, 10_000), sign=st.sampled_from("AZaz09-_"))
@settings(max_examples=100)
def test_no_mutation_of_a_token_holds(at: int, sign: str) -> None:
    token = jwt.encode(HEADER, CLAIMS, OWN.key)
    at %= len(token)
    changed = token[:at] + sign + token[at + 1 :]
    if changed != token:
        with pytest.raises(JwsError):
            verify(changed)


# --- keys and metadata ------------------------------------------------------------------------------------------------


def test_a_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "vallum.signing.pem"
    create_file(path)
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    create_file(path)
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DependencyError, match="cannot be made"):
        create_file(tmp_path / "nowhere" / "key.pem")


def test_a_retired_key_is_published_until_its_last_token_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "vallum.signing.pem"
    create_file(path)
    (first,) = parse_keys(path.read_text())
    second = rotate_file(path, NOW)
    ring = KeyRing(path.read_text)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [key.id for key in ring.keys(NOW)] == [second, first.id]
    assert [key["kid"] for key in ring.published(NOW + 3_599)] == [second, first.id]
    assert [key["kid"] for key in ring.published(NOW + 3_600)] == [second]
    third = rotate_file(path, NOW + 10_000)
    assert [key.id for key in parse_keys(path.read_text())] == [third, second]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
        ECKey.generate_key("P-256").as_pem(private=False).decode(),
        ECKey.generate_key("P-384").as_pem(private=True).decode(),
        RSAKey.generate_key(2048).as_pem(private=True).decode(),
        f"retired: 1\n{PEM}",
    ],
)
def test_what_cannot_sign_is_no_signing_key(text: str) -> None:
    with pytest.raises(ValueError):
        parse_keys(text)
    with pytest.raises(DependencyError) as caught:
        KeyRing(lambda: text).keys(NOW)
    assert "AAAA" not in str(caught.value)


def test_public_keys_are_public(kit: Kit) -> None:
    x = kit.engine().open(kit.request(now=NOW))
    page = kit.talk(PublicKeys(RING).respond(x)).outcome
    (key,) = json.loads(page.body)["keys"]
    assert "d" not in key
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_metadata_says_where_everything_is() -> None:
    assert metadata_path("https://a.example") == "/.well-known/oauth-authorization-server"
    assert metadata_path("https://a.example/tenant/") == "/.well-known/oauth-authorization-server/tenant"
    described = describe_issuer("https://a.example/tenant", "/oauth/token", "ES256 RS256")
    assert described["token_endpoint"] == "https://a.example/oauth/token"
    assert described["jwks_uri"] == "https://a.example/.well-known/jwks.json"
    assert described["dpop_signing_alg_values_supported"] == ["ES256", "RS256"]
