"""Access tokens: what is asked of the issuer, and what is let in.

Tokens are signed here with keys of our own; what real issuers sign is in tests/wire/test_oauth.py.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from vallum.authenticators.oauth2 import ABSENT_KEPT, OAuth2, OAuth2Config
from vallum.authenticators.oauth2.claims import Expected, check_audience, check_issuer, check_times, read_principal
from vallum.authenticators.oauth2.keys import Keys
from vallum.authenticators.oauth2.tokens import FITS, Token, TokenError, read_token, verify_token
from vallum.authenticators.oauth2.verified import Verdict, Verified
from vallum.core.apikey import compose_key
from vallum.core.decision import INVALID_TOKEN, Challenge
from vallum.core.effects import FetchKeys, Introspect
from vallum.core.errors import DependencyError
from vallum.core.issuer import KeySet
from vallum.core.principal import Confirmation, Principal

if TYPE_CHECKING:
    from tests.conftest import Dialogue, Kit

VECTORS = Path(__file__).parents[1] / "vectors"
NOW = 1_700_000_000.0
ISSUER, AUDIENCE = "https://login.example", "https://models.example"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
EC = ECKey.generate_key("P-256", {"kid": "one"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
KEYS: dict[str, Key] = {
    "ES256": EC,
    "ES384": ECKey.generate_key("P-384"),
    "ES512": ECKey.generate_key("P-521"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "exp": NOW + 600,
    "iat": NOW,
    "sub": "ada",
    "client_id": "app",
    "scope": "predict:read predict:write",
    "jti": "t-1",
}
HEADER: dict[str, Any] = {"alg": "ES256", "typ": "at+jwt", "kid": "one"}


def encode(data: bytes | str) -> str:
    return urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


def sign(
    claims: dict[str, Any] | bytes = CLAIMS, header: dict[str, Any] | bytes = HEADER, key: Key = EC, alg: str = "ES256"
) -> str:
    """Sign whatever is given, however wrong it is."""
    head = encode(header if isinstance(header, bytes) else json.dumps(header))
    body = encode(claims if isinstance(claims, bytes) else json.dumps(claims))
    signature = jws.JWSRegistry.algorithms[alg].sign(f"{head}.{body}".encode(), key)
    return f"{head}.{body}.{encode(signature)}"


def public(*keys: Key, **more: Any) -> KeySet:
    return KeySet(tuple({**key.as_dict(private=False), **more} for key in keys), 1)


def build(**more: Any) -> OAuth2:
    values = {"issuer": ISSUER, "audience": AUDIENCE, **more}
    return OAuth2("tokens", msgspec.convert(values, OAuth2Config))


def opaque(**more: Any) -> OAuth2:
    return build(introspection={"client_id": "gateway", "client_secret": "hush", **more})


def present(
    kit: Kit, authenticator: OAuth2, token: str, *replies: Any, scheme: str = "Bearer", now: float = NOW
) -> Dialogue[Any]:
    request = kit.request(headers=[("authorization", f"{scheme} {token}")], now=now)
    return kit.talk(authenticator.authenticate(request), *replies)


def refused(outcome: Any) -> str:
    """Hold that this is the one refusal, and return what the record says."""
    assert isinstance(outcome, Challenge), outcome
    assert (outcome.scheme, outcome.control) == (INVALID_TOKEN, "authenticate:tokens")
    return outcome.detail


class TestJwt:
    def test_becomes_a_principal(self, kit: Kit) -> None:
        said = present(kit, build(), sign(), public(EC))
        scopes = frozenset({"predict:read", "predict:write"})
        assert said.outcome == Principal("ada", None, scopes, "client:app", "tokens")
        assert said.asked == [FetchKeys(build().issuer)]

    def test_is_remembered_for_a_minute(self, kit: Kit) -> None:
        tokens = build()
        first = present(kit, tokens, sign_once := sign(), public(EC)).outcome
        assert present(kit, tokens, sign_once, now=NOW + 59).outcome is first
        assert present(kit, tokens, sign_once, public(EC), now=NOW + 61).outcome == first

    def test_is_not_remembered_past_its_end(self, kit: Kit) -> None:
        tokens, token = build(leeway_s=0), sign({**CLAIMS, "exp": NOW + 10})
        assert isinstance(present(kit, tokens, token, public(EC)).outcome, Principal)
        assert isinstance(present(kit, tokens, token, now=NOW + 9).outcome, Principal)
        assert refused(present(kit, tokens, token, now=NOW + 10).outcome) == "expired"

    def test_is_verified_again_when_the_clock_was_set_back(self, kit: Kit) -> None:
        tokens, token = build(), sign({**CLAIMS, "iat": NOW - 900})
        present(kit, tokens, token, public(EC))
        assert len(present(kit, tokens, token, public(EC), now=NOW - 600).asked) == 1

    @pytest.mark.parametrize("alg", list(FITS))
    def test_may_be_signed_in_any_of_these_ways(self, kit: Kit, alg: str) -> None:
        token = sign(header={**HEADER, "alg": alg, "kid": "k"}, key=KEYS[alg], alg=alg)
        outcome = present(kit, build(algorithms=[alg]), token, public(KEYS[alg], kid="k")).outcome
        assert isinstance(outcome, Principal), outcome

    @pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
    def test_says_that_it_is_an_access_token(self, kit: Kit, typ: str) -> None:
        assert isinstance(present(kit, build(), sign(header={**HEADER, "typ": typ}), public(EC)).outcome, Principal)

    @pytest.mark.parametrize("header", [{"typ": "JWT"}, {}])
    def test_may_be_a_plain_one_if_the_policy_says_so(self, kit: Kit, header: dict[str, str]) -> None:
        token = sign(header={"alg": "ES256", "kid": "one", **header})
        assert isinstance(present(kit, build(typ="jwt"), token, public(EC)).outcome, Principal)
        assert "type" in refused(present(kit, build(), token).outcome)

    def test_of_a_proof_or_a_logout_is_never_one(self, kit: Kit) -> None:
        for typ in ("dpop+jwt", "logout+jwt"):
            assert "type" in refused(present(kit, build(typ="jwt"), sign(header={**HEADER, "typ": typ})).outcome)

    def test_needs_no_kid_where_there_is_one_key(self, kit: Kit) -> None:
        token = sign(header={"alg": "ES256", "typ": "at+jwt"})
        assert isinstance(present(kit, build(), token, public(EC)).outcome, Principal)
        assert "kid" in refused(present(kit, build(), token, public(EC, RSA)).outcome)

    def test_of_another_issuer_is_somebody_elses(self, kit: Kit) -> None:
        assert present(kit, build(), sign({**CLAIMS, "iss": "https://other.example"})).outcome is None

    def test_that_no_issuer_can_be_asked_about_is_met_by_on_error(self, kit: Kit) -> None:
        with pytest.raises(DependencyError):
            present(kit, build(), sign(), DependencyError("down"))

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
    def test_comes_in_a_scheme_of_any_case(self, kit: Kit, scheme: str) -> None:
        assert isinstance(present(kit, build(), sign(), public(EC), scheme=scheme).outcome, Principal)

    @pytest.mark.parametrize("scheme", ["Basic", "Token", ""])
    def test_in_another_scheme_is_not_ours(self, kit: Kit, scheme: str) -> None:
        assert present(kit, build(), sign(), scheme=scheme).outcome is None


def nest(levels: int) -> Any:
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


def answered(kit: Kit, token: str) -> Any:
    """Present a token to an authenticator whose issuer has one key, however often it is asked."""
    steps = build().authenticate(kit.request(headers=[("authorization", f"Bearer {token}")], now=NOW))
    try:
        next(steps)
        while True:
            steps.send(public(EC))
    except StopIteration as stop:
        return stop.value


WRONG_CLAIMS: dict[str, Any] = {
    "another audience": {**CLAIMS, "aud": "https://other.example"},
    "our audience as a part": {**CLAIMS, "aud": f"{AUDIENCE}/more"},
    "an audience in a list in a list": {**CLAIMS, "aud": [[AUDIENCE]]},
    "no audience": {k: v for k, v in CLAIMS.items() if k != "aud"},
    "no end": {k: v for k, v in CLAIMS.items() if k != "exp"},
    "an end of null": {**CLAIMS, "exp": None},
    "an end in a text": {**CLAIMS, "exp": str(int(NOW + 600))},
    "an end that is true": {**CLAIMS, "exp": True},
    "an end beyond numbers": json.dumps({**CLAIMS, "exp": 0}).replace('"exp": 0', '"exp": 1e999').encode(),
    "an end with 400 digits": {**CLAIMS, "exp": 10**400},
    "an issue with 400 digits": {**CLAIMS, "iat": -(10**400)},
    "NaN": json.dumps({**CLAIMS, "exp": float("nan")}).encode(),
    "expired": {**CLAIMS, "exp": NOW - 31},
    "not yet": {**CLAIMS, "nbf": NOW + 31},
    "issued tomorrow": {**CLAIMS, "iat": NOW + 86_400},
    "nbf in a text": {**CLAIMS, "nbf": "0"},
    "no subject": {k: v for k, v in CLAIMS.items() if k != "sub"},
    "a subject of no letters": {**CLAIMS, "sub": ""},
    "a subject with a separator": {**CLAIMS, "sub": "ada\x1fglobal"},
    "a subject that is long": {**CLAIMS, "sub": "a" * 256},
    "a number as subject": {**CLAIMS, "sub": 7},
    "scopes as a mapping": {**CLAIMS, "scope": {"predict:read": True}},
    "a binding nobody can check": {**CLAIMS, "cnf": {"jwe": "x"}},
    "an empty binding": {**CLAIMS, "cnf": {}},
    "a binding in a text": {**CLAIMS, "cnf": "x"},
    "half a thumbprint": {**CLAIMS, "cnf": {"jkt": "x"}},
    "the audience twice": b'{"aud":"https://other.example",' + json.dumps(CLAIMS).encode()[1:],
    "nested deeply": {**CLAIMS, "x": nest(20)},
    "nested without end": json.dumps(CLAIMS).encode()[:-1] + b',"x":' + b"[" * 1500 + b"]" * 1500 + b"}",
    "a list": b"[1]",
    "not JSON": b"{",
    "not UTF-8": b'{"iss":"\xff"}',
    "two documents": json.dumps(CLAIMS).encode() + b"{}",
}
WRONG_HEADERS: dict[str, Any] = {
    "crit": {**HEADER, "crit": ["exp"], "exp": 1},
    "an empty crit": {**HEADER, "crit": []},
    "b64": {**HEADER, "b64": False, "crit": ["b64"]},
    "b64 that is true": {**HEADER, "b64": True},
    "b64 without crit": {**HEADER, "b64": False},
    "the algorithm twice": b'{"alg":"none",' + json.dumps(HEADER).encode()[1:],
    "an algorithm in a list": {**HEADER, "alg": ["ES256"]},
    "no algorithm": {"typ": "at+jwt", "kid": "one"},
    **{f"alg {name}": {**HEADER, "alg": name} for name in ("none", "None", "NONE", "nOnE", "es256", "HS256", "ES256K")},
    "an algorithm of another key": {**HEADER, "alg": "RS256"},
    "an algorithm of another curve": {**HEADER, "alg": "ES384"},
    "a kid that is a number": {**HEADER, "kid": 1},
    "a kid of no letters": {**HEADER, "kid": ""},
    "a long kid": {**HEADER, "kid": "k" * 300},
    "a typ that is a number": {**HEADER, "typ": 1},
    "a nested header": {**HEADER, "x": nest(20)},
    "a header in UTF-16": json.dumps(HEADER).encode("utf-16"),
}


class TestHostile:
    """Every one of these is signed well with the issuer's own key, and still refused; nothing of it is recorded."""

    @pytest.mark.parametrize("name", list(WRONG_CLAIMS))
    def test_claims(self, kit: Kit, name: str) -> None:
        outcome = answered(kit, sign(WRONG_CLAIMS[name]))
        if outcome is not None:  # None: nobody can say whose it is
            assert "other.example" not in refused(outcome)

    @pytest.mark.parametrize("name", list(WRONG_HEADERS))
    def test_headers(self, kit: Kit, name: str) -> None:
        refused(answered(kit, sign(header=WRONG_HEADERS[name])))

    def test_a_public_key_is_no_shared_secret(self, kit: Kit) -> None:
        signed = sign(header={**HEADER, "alg": "HS256", "kid": "rsa"}).rpartition(".")[0]
        for secret in (RSA.as_pem(private=False), json.dumps(RSA.as_dict(private=False)).encode()):
            token = f"{signed}.{encode(hmac.digest(secret, signed.encode(), 'sha256'))}"
            assert "algorithm" in refused(present(kit, build(), token).outcome)

    def test_a_key_in_the_token_is_not_looked_at(self, kit: Kit) -> None:
        mine = ECKey.generate_key("P-256")
        more = {"jwk": mine.as_dict(private=False), "jku": "https://evil.example", "x5u": "https://evil.example"}
        token = sign(header={**HEADER, **more}, key=mine)
        said = present(kit, build(), token, public(EC))
        assert refused(said.outcome) == "the signature: BadSignatureError"
        assert said.asked == [FetchKeys(build().issuer)]

    def test_there_is_one_spelling(self, kit: Kit) -> None:
        head, body, signature = sign().split(".")
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        respelt = letters[letters.index(signature[-1]) + 1]  # the same bytes to a lenient reader
        for other in (signature + "=", signature + "==", signature[:-1] + respelt, signature.replace("A", "A\n", 1)):
            if other != signature:
                outcome = present(kit, build(), f"{head}.{body}.{other}").outcome
                assert outcome is None or refused(outcome)

    @pytest.mark.parametrize("part", [0, 1, 2])
    @pytest.mark.parametrize("text", ["A", "AAAAA", "AB"])
    def test_a_part_that_is_no_base64url_breaks_it(self, kit: Kit, part: int, text: str) -> None:
        parts = sign().split(".")
        parts[part] = text
        refused(present(kit, build(), ".".join(parts)).outcome)

    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_a_changed_part_breaks_it(self, kit: Kit, part: int) -> None:
        parts = sign().split(".")
        data = bytearray(urlsafe_b64decode(parts[part] + "=="))
        data[len(data) // 2] ^= 1
        parts[part] = encode(bytes(data))
        outcome = answered(kit, ".".join(parts))
        assert outcome is None or refused(outcome)

    @given(claims=st.dictionaries(st.sampled_from(sorted({*CLAIMS, "nbf", "cnf", "scp", "azp"})), VALUES))
    def test_any_claims_get_an_answer(self, kit: Kit, claims: dict[str, Any]) -> None:
        outcome = answered(kit, sign(CLAIMS | claims))
        assert outcome is None or isinstance(outcome, Principal | Challenge)

    @given(header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c", "zip"]), VALUES))
    def test_any_header_gets_an_answer(self, kit: Kit, header: dict[str, Any]) -> None:
        outcome = answered(kit, sign(header=HEADER | header))
        assert outcome is None or isinstance(outcome, Principal | Challenge)

    @given(jwk=st.dictionaries(st.sampled_from("kty crv x y n e d k use key_ops alg kid x5c".split()), VALUES))
    def test_any_key_of_the_issuer_gets_an_answer(self, kit: Kit, jwk: dict[str, Any]) -> None:
        keys = KeySet(({**EC.as_dict(private=False), **jwk}, {**RSA.as_dict(private=False), **jwk}), 1)
        steps = build().authenticate(kit.request(headers=[("authorization", f"Bearer {sign()}")], now=NOW))
        with suppress(StopIteration):
            next(steps)
            steps.send(keys)
            steps.send(keys)

    def test_over_8_kib_is_nobodys(self, kit: Kit) -> None:
        assert present(kit, build(), sign({**CLAIMS, "x": "a" * 8192})).outcome is None

    @given(text=st.text(st.characters(max_codepoint=255), max_size=200))
    def test_reading_raises_one_error_only(self, text: str) -> None:
        with pytest.raises(TokenError):
            read_token(text)

    @given(body=st.binary(max_size=60), head=st.binary(max_size=60))
    def test_reading_any_bytes_raises_one_error_only(self, head: bytes, body: bytes) -> None:
        with suppress(TokenError):
            read_token(f"{encode(head)}.{encode(body)}.AAAA")


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32)


class TestSignatures:
    """Edge values of signatures, as the Wycheproof project teaches to try them; made here with keys of our own."""

    def verify(self, token: str, key: Key, alg: str) -> None:
        read = Token(token, alg, None, None, {})
        found = Keys([key.as_dict(private=False)]).find(read)
        assert found is not None
        verify_token(read, found, [alg])

    def ecdsa(self) -> tuple[str, int, int]:
        head, body, signature = sign().split(".")
        data = urlsafe_b64decode(signature + "==")
        return f"{head}.{body}", int.from_bytes(data[:32]), int.from_bytes(data[32:])

    def test_ecdsa(self) -> None:
        signed, r, s = self.ecdsa()
        n = P256_ORDER
        self.verify(f"{signed}.{encode(raw(r, s))}", EC, "ES256")
        values = [raw(a, b) for a in (0, 1, n - 1, n, r) for b in (0, 1, n - 1, n, 2**256 - 1)]
        values += [raw(s, r), raw(r, s) + b"\0", raw(r, s)[:-1], b"\0" + raw(r, s), encode_dss_signature(r, s)]
        values += [r.to_bytes(48) + s.to_bytes(48), bytes(64), b"\xff" * 64, b"\x30\x06\x02\x01\x00\x02\x01\x00"]
        for value in values:
            with pytest.raises(TokenError):
                self.verify(f"{signed}.{encode(value)}", EC, "ES256")

    @pytest.mark.parametrize(("made", "claimed"), [("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS512")])
    def test_rsa_of_another_padding_or_hash(self, made: str, claimed: str) -> None:
        head, body, signature = sign(header={**HEADER, "alg": claimed}, key=RSA, alg=made).split(".")
        with pytest.raises(TokenError):
            self.verify(f"{head}.{body}.{signature}", RSA, claimed)

    @pytest.mark.parametrize("alg", ["RS256", "PS256"])
    def test_rsa_edges(self, alg: str) -> None:
        head, body, signature = sign(header={**HEADER, "alg": alg}, key=RSA, alg=alg).split(".")
        data = urlsafe_b64decode(signature + "==")
        self.verify(f"{head}.{body}.{signature}", RSA, alg)
        n = RSA.raw_value.public_numbers().n if not hasattr(RSA.raw_value, "private_numbers") else 0
        values = [b"\0" + data, data + b"\0", data[1:], data[:-1], bytes(256), bytes(255) + b"\1", b"\xff" * 256, b"\1"]
        if n:
            values.append((int.from_bytes(data) + n).to_bytes(257))
        for value in values:
            with pytest.raises(TokenError):
                self.verify(f"{head}.{body}.{encode(value)}", RSA, alg)

    def test_eddsa_edges(self) -> None:
        key = KEYS["EdDSA"]
        head, body, signature = sign(header={**HEADER, "alg": "EdDSA"}, key=key, alg="EdDSA").split(".")
        data = urlsafe_b64decode(signature + "==")
        order = 2**252 + 27742317777372353535851937790883648493
        malleable = data[:32] + (int.from_bytes(data[32:], "little") + order).to_bytes(32, "little")
        for value in (malleable, data[:-1], data + b"\0", bytes(64), data[32:] + data[:32]):
            with pytest.raises(TokenError):
                self.verify(f"{head}.{body}.{encode(value)}", key, "EdDSA")

    def test_whatever_the_library_raises_is_a_token_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise RecursionError

        monkeypatch.setattr("vallum.authenticators.oauth2.tokens.deserialize_compact", fail)
        with pytest.raises(TokenError, match="RecursionError"):
            self.verify(sign(), EC, "ES256")


SIGNED = json.loads((VECTORS / "jws.json").read_text())
CLAIMED = json.loads((VECTORS / "claims.json").read_text())


class TestVectors:
    @pytest.mark.parametrize("vector", SIGNED["vectors"], ids=lambda vector: vector["name"])
    def test_of_the_rfcs_verify_and_break(self, vector: dict[str, Any]) -> None:
        token, alg = vector["token"], vector["alg"]
        key = Keys([vector["key"]]).find(Token(token, alg, None, None, {}))
        assert key is not None
        verify_token(Token(token, alg, None, None, {}), key, [alg])
        for at in range(0, len(token), 7):
            changed = token[:at] + ("B" if token[at] != "B" else "C") + token[at + 1 :]
            with pytest.raises(TokenError):
                verify_token(Token(changed, alg, None, None, {}), key, [alg])
        with pytest.raises(TokenError):
            verify_token(Token(token, alg, None, None, {}), key, [name for name in FITS if name != alg])

    @pytest.mark.parametrize("vector", SIGNED["refused"], ids=lambda vector: vector["name"])
    def test_of_the_rfcs_that_are_never_taken(self, kit: Kit, vector: dict[str, Any]) -> None:
        outcome = present(kit, build(issuer="https://joe.example"), vector["token"]).outcome
        assert outcome is None or refused(outcome)

    def test_the_claims_of_rfc_9068(self) -> None:
        claims = CLAIMED["jwt"]
        expected = Expected("tokens", claims["iss"], claims["aud"], 30, "sub", None, None)
        check_issuer(claims, expected)
        check_audience(claims, expected)
        assert check_times(claims, claims["iat"], expected) == claims["exp"] + 30
        scopes = frozenset({"openid", "profile", "reademail"})
        assert read_principal(claims, expected) == Principal("5ba552d67", None, scopes, "client:s6BhdRkqt3", "tokens")

    def test_the_answer_of_rfc_7662(self, kit: Kit) -> None:
        answer = CLAIMED["introspection"]
        tokens = build(
            issuer=answer["iss"], audience=answer["aud"], introspection={"client_id": "a", "client_secret": "b"}
        )
        outcome = present(kit, tokens, "2YotnFZFEjr1zCsicMWpAA", answer, now=CLAIMED["now"]).outcome
        assert outcome.subject == "Z5O3upPC88QrAjx00dis"
        assert outcome.scopes == {"read", "write", "dolphin"}


class TestKeys:
    def test_an_unknown_kid_asks_once_for_newer_keys(self, kit: Kit) -> None:
        tokens, token = build(), sign(header={**HEADER, "kid": "two"})
        newer = KeySet(public(EC, kid="two").keys, 2)
        said = present(kit, tokens, token, public(EC), newer)
        assert isinstance(said.outcome, Principal)
        assert said.asked == [FetchKeys(tokens.issuer), FetchKeys(tokens.issuer, newer_than=1)]

    def test_a_kid_that_the_issuer_does_not_have_is_not_asked_for_again(self, kit: Kit) -> None:
        tokens, token = build(), sign(header={**HEADER, "kid": "two"})
        same = KeySet(public(EC).keys, 2)
        assert "no such key" in refused(present(kit, tokens, token, public(EC), same).outcome)
        assert len(present(kit, tokens, token, same, now=NOW + 59).asked) == 1
        assert len(present(kit, tokens, token, same, same, now=NOW + 61).asked) == 2

    def test_a_kid_that_the_issuer_was_not_asked_for_is_not_held_absent(self, kit: Kit) -> None:
        tokens, token = build(), sign(header={**HEADER, "kid": "two"})
        present(kit, tokens, token, public(EC), public(EC))  # too soon: the same version again
        assert len(present(kit, tokens, token, public(EC), public(EC)).asked) == 2

    def test_absent_kids_are_few(self, kit: Kit) -> None:
        tokens = build()
        for number in range(ABSENT_KEPT + 10):
            tokens._miss(f"kid-{number}", NOW)
        assert len(tokens._absent) <= ABSENT_KEPT

    @pytest.mark.parametrize(
        "more",
        [
            {"use": "enc"},
            {"key_ops": ["encrypt"]},
            {"key_ops": "verify"},
            {"alg": "ES384"},
            {"kty": "oct", "k": "AAAA"},
            {"x": "AAAA"},
            {"crv": "secp256k1"},
            {"d": "AAAA"},
            {"kid": 7},
            {"alg": 7},
        ],
        ids=str,
    )
    def test_a_key_for_something_else_is_none(self, kit: Kit, more: dict[str, Any]) -> None:
        odd = public(EC, **more)
        outcome = present(kit, build(), sign(), odd, *([odd] if "ES384" not in str(more) else [])).outcome
        refused(outcome)

    def test_a_short_key_is_none(self) -> None:
        with pytest.warns(Warning, match="2048"):
            short = RSAKey.generate_key(1024, {"kid": "short"})
        assert Keys([short.as_dict(private=False)]).find(Token("", "RS256", "short", None, {})) is None

    def test_odd_keys_do_not_harm_good_ones(self, kit: Kit) -> None:
        keys = KeySet(({"kty": "??"}, {}, *public(EC).keys, {"kty": "RSA", "n": 1}), 1)
        assert isinstance(present(kit, build(), sign(), keys).outcome, Principal)

    def test_one_kid_may_name_keys_of_two_kinds(self, kit: Kit) -> None:
        assert isinstance(present(kit, build(), sign(), public(RSA, EC, kid="one")).outcome, Principal)


class TestOpaque:
    ACTIVE: ClassVar[dict[str, Any]] = {
        "active": True,
        "sub": "ada",
        "scope": "a b",
        "aud": AUDIENCE,
        "exp": NOW + 600,
    }

    def test_is_asked_about_and_remembered_for_half_a_minute(self, kit: Kit) -> None:
        tokens = opaque()
        said = present(kit, tokens, "opaque", self.ACTIVE)
        assert said.asked == [Introspect(tokens.issuer, "opaque")]
        assert said.outcome.scopes == {"a", "b"}
        assert present(kit, tokens, "opaque", now=NOW + 29).asked == []
        assert len(present(kit, tokens, "opaque", self.ACTIVE, now=NOW + 30).asked) == 1

    def test_is_not_remembered_past_its_end(self, kit: Kit) -> None:
        tokens = opaque()
        present(kit, tokens, "opaque", {**self.ACTIVE, "exp": NOW - 20})
        assert len(present(kit, tokens, "opaque", self.ACTIVE, now=NOW + 10).asked) == 1

    def test_that_is_not_active_is_refused_for_5_s_without_asking(self, kit: Kit) -> None:
        tokens = opaque()
        for at, replies in ((0, [{"active": False}]), (4, []), (5, [{"active": False}])):
            assert refused(present(kit, tokens, "opaque", *replies, now=NOW + at).outcome) == "not active"

    @pytest.mark.parametrize("active", [None, "true", 1, "false"])
    def test_is_active_only_if_it_says_true(self, kit: Kit, active: Any) -> None:
        refused(present(kit, opaque(), "opaque", {**self.ACTIVE, "active": active}).outcome)

    @pytest.mark.parametrize(
        "more",
        [
            {"iss": "https://other.example"},
            {"aud": "https://other.example"},
            {"exp": NOW - 31},
            {"exp": "soon"},
            {"nbf": NOW + 60},
            {"token_type": "refresh_token"},
            {"sub": ""},
            {"cnf": {"x5t": "old"}},
        ],
        ids=str,
    )
    def test_that_is_active_must_still_hold(self, kit: Kit, more: dict[str, Any]) -> None:
        refused(present(kit, opaque(), "opaque", self.ACTIVE | more).outcome)

    def test_without_an_audience_is_refused_unless_the_policy_says_otherwise(self, kit: Kit) -> None:
        answer = {name: value for name, value in self.ACTIVE.items() if name != "aud"}
        refused(present(kit, opaque(), "opaque", answer).outcome)
        assert isinstance(present(kit, opaque(audience="optional"), "opaque", answer).outcome, Principal)
        refused(present(kit, opaque(audience="optional"), "opaque", answer | {"aud": "x"}).outcome)

    def test_of_a_client_without_a_user_is_the_clients(self, kit: Kit) -> None:
        answer = {name: value for name, value in self.ACTIVE.items() if name != "sub"}
        assert present(kit, opaque(), "opaque", answer | {"client_id": "app"}).outcome.subject == "app"
        refused(present(kit, opaque(), "opaque", answer).outcome)

    def test_keys_of_any_gateway_are_never_shown_to_the_issuer(self, kit: Kit) -> None:
        for prefix in ("vlm_live_", "sk_live_", "other_"):
            assert present(kit, opaque(), compose_key(bytes(32), prefix)).outcome is None
        assert present(kit, opaque(), "vlm_live_mistyped").outcome is None

    @pytest.mark.parametrize("token", ["", "two words", "with\x00zero", "é", "eyJhbGciOiJub25lIn0.e30.", "eyJ.x"])
    def test_what_cannot_be_a_token_is_not_asked_about(self, kit: Kit, token: str) -> None:
        outcome = present(kit, opaque(), token).outcome
        assert outcome is None or refused(outcome)

    def test_the_secret_shows_nowhere(self) -> None:
        tokens = opaque()
        assert "hush" not in repr(tokens.issuer)
        assert "opaque" not in repr(Introspect(tokens.issuer, "opaque"))


class TestBinding:
    JKT = "A" * 43

    @pytest.mark.parametrize("cnf", [{"jkt": JKT}, {"x5t#S256": JKT}, {"jkt": JKT, "x5t#S256": JKT}], ids=str)
    def test_is_carried_by_the_principal(self, kit: Kit, cnf: dict[str, str]) -> None:
        scheme = "DPoP" if "jkt" in cnf else "Bearer"
        tokens = build()
        expected = Confirmation(certificate=cnf.get("x5t#S256"), key=cnf.get("jkt"))
        outcome = present(kit, tokens, token := sign({**CLAIMS, "cnf": cnf}), public(EC), scheme=scheme).outcome
        assert outcome.confirmation == expected
        other = "Bearer" if scheme == "DPoP" else "DPoP"
        assert "scheme" in refused(present(kit, tokens, token, scheme=other).outcome), "from memory, too"

    def test_of_an_opaque_token(self, kit: Kit) -> None:
        answer = TestOpaque.ACTIVE | {"cnf": {"jkt": self.JKT}, "token_type": "DPoP"}
        assert present(kit, opaque(), "opaque", answer, scheme="dpop").outcome.confirmation.key == self.JKT
        assert "scheme" in refused(present(kit, opaque(), "opaque", answer).outcome)

    def test_a_token_without_one_is_no_dpop_token(self, kit: Kit) -> None:
        assert "scheme" in refused(present(kit, build(), sign(), public(EC), scheme="DPoP").outcome)


class TestClaims:
    @pytest.mark.parametrize(
        ("claims", "scopes"),
        [
            ({"scope": "a b"}, {"a", "b"}),
            ({"scope": ["a", "b"]}, {"a", "b"}),
            ({"scp": ["a", "b"]}, {"a", "b"}),
            ({"scp": "a b"}, {"a", "b"}),
            ({"scope": "a", "scp": ["b"]}, {"a"}),
            ({"scope": "  a  "}, {"a"}),
            ({"scope": 'a"b c'}, {"c"}),
            ({}, set()),
        ],
        ids=lambda part: str(sorted(part) if isinstance(part, set) else part),  # the same in every process
    )
    def test_scopes(self, kit: Kit, claims: dict[str, Any], scopes: set[str]) -> None:
        base = {name: value for name, value in CLAIMS.items() if name != "scope"}
        assert present(kit, build(), sign(base | claims), public(EC)).outcome.scopes == scopes

    def test_names_are_read_where_the_policy_says(self, kit: Kit) -> None:
        tokens = build(subject_claim="https://x.example/who", tenant_claim="org", scope_claim="roles")
        claims = {**CLAIMS, "https://x.example/who": "grace", "org": "acme", "roles": ["r"]}
        outcome = present(kit, tokens, sign(claims), public(EC)).outcome
        assert (outcome.subject, outcome.tenant, outcome.scopes) == ("grace", "acme", {"r"})
        assert "org" in refused(present(kit, tokens, sign(CLAIMS | {"https://x.example/who": "g"})).outcome)

    def test_the_audience_may_be_one_of_several(self, kit: Kit) -> None:
        outcome = present(kit, build(), sign({**CLAIMS, "aud": ["x", AUDIENCE]}), public(EC)).outcome
        assert isinstance(outcome, Principal)

    def test_clocks_may_differ_by_the_leeway(self, kit: Kit) -> None:
        claims = {**CLAIMS, "iat": NOW + 29, "nbf": NOW + 29, "exp": NOW - 29}
        assert isinstance(present(kit, build(), sign(claims), public(EC)).outcome, Principal)
        refused(present(kit, build(leeway_s=10), sign(claims)).outcome)


class TestVerified:
    def test_the_least_recently_used_goes_first(self) -> None:
        kept = Verified(2)
        verdict = Verdict(None, 0.0, 10.0)
        kept.keep(b"a", verdict)
        kept.keep(b"b", verdict)
        assert kept.find(b"a", 1.0) is verdict
        kept.keep(b"c", verdict)
        assert (len(kept), kept.find(b"b", 1.0), kept.find(b"a", 1.0)) == (2, None, verdict)

    def test_what_has_ended_is_forgotten(self) -> None:
        kept = Verified(2)
        kept.keep(b"a", Verdict(None, 0.0, 10.0))
        assert kept.find(b"a", 10.0) is None
        assert len(kept) == 0


class TestConfig:
    @pytest.mark.parametrize(
        "more",
        [
            {"issuer": "http://login.example"},
            {"issuer": "https://"},
            {"issuer": "https://user@login.example"},
            {"issuer": "https://login.example?x=1"},
            {"issuer": "https://login.example:0"},
            {"jwks_uri": "http://login.example/keys"},
            {"algorithms": []},
            {"algorithms": ["HS256"]},
            {"algorithms": ["none"]},
            {"leeway_s": 61},
            {"typ": "any"},
            {"resource": "https://models.example/a?b"},
            {"introspection": {"client_id": "a", "client_secret": "b", "endpoint": "http://x.example"}},
        ],
        ids=str,
    )
    def test_what_is_not_safe_is_refused(self, more: dict[str, Any]) -> None:
        with pytest.raises(msgspec.ValidationError):
            build(**more)

    @pytest.mark.parametrize("issuer", ["http://127.0.0.1:9400", "http://localhost:1", "http://[::1]:9400"])
    def test_loopback_may_be_plain(self, issuer: str) -> None:
        assert build(issuer=issuer).issuer.url == issuer

    @pytest.mark.parametrize(
        ("more", "challenge"),
        [
            ({}, f'Bearer resource_metadata="{AUDIENCE}/.well-known/oauth-protected-resource"'),
            ({"audience": "api"}, "Bearer"),
            (
                {"audience": "api", "resource": "https://a.example/v1"},
                'Bearer resource_metadata="https://a.example/.well-known/oauth-protected-resource/v1"',
            ),
        ],
    )
    def test_the_challenge_names_the_metadata(self, more: dict[str, Any], challenge: str) -> None:
        assert build(**more).challenge == challenge
