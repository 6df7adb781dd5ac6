"""Proofs: the examples of the RFCs, every rule of RFC 9449 4.3 broken once, and mutations that never pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from vallum.core.effects import RememberProof
from vallum.core.errors import DependencyError
from vallum.core.jws import JwsError, digest, encode, thumbprint
from vallum.core.proof import Proof, Unproven
from vallum.provers.dpop import Dpop, DpopConfig, Registry

if TYPE_CHECKING:
    from tests.conftest import Dialogue, Kit

VECTORS = Path(__file__).parents[1] / "vectors"
NOW = 1_700_000_000.0
TOKEN = "a-credential"
KEY = ECKey.generate_key("P-256")
OTHER = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)
SIGNERS = Registry(algorithms=["none", "HS256", "ES256", "ES384", "ES512", "Ed25519", "RS256", "PS256"])
ORIGIN = "https://models.example"
SECRET = "s" * 32


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / name).read_text())
    return found


def claims(**changes: Any) -> dict[str, Any]:
    parts = {"jti": "one", "htm": "POST", "htu": f"{ORIGIN}/predict", "iat": int(NOW), "ath": digest(TOKEN)}
    return {name: value for name, value in (parts | changes).items() if value is not None}


def sign(body: dict[str, Any] | bytes, key: Any = KEY, alg: str = "ES256", **header: Any) -> str:
    head = {"typ": "dpop+jwt", "alg": alg, "jwk": key.as_dict(private=False)} | header
    head = {name: value for name, value in head.items() if value is not None}
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    signed = jws.JWSRegistry.algorithms[alg].sign(f"{_part(head)}.{encode(payload)}".encode(), key)
    return f"{_part(head)}.{encode(payload)}.{encode(signed)}"


def _part(value: Any) -> str:
    return encode(json.dumps(value).encode())


def ask(
    kit: Kit,
    *proofs: str,
    key: str | None = KEY.thumbprint(),
    credential: str | None = TOKEN,
    known: bool | Exception | None = None,
    config: DpopConfig | None = None,
    origin: str = ORIGIN,
    **request: Any,
) -> Dialogue[Proof | Unproven]:
    facts = kit.request(headers=[("dpop", proof) for proof in proofs], now=NOW, **request)._replace(origin=origin)
    steps = Dpop(config or DpopConfig()).prove(facts, credential, key)
    return kit.talk(steps, *([] if known is None else [known]))


def refused(talk: Dialogue[Proof | Unproven]) -> str:
    assert isinstance(talk.outcome, Unproven)
    assert TOKEN not in repr(talk.outcome)
    return talk.outcome.detail


# --- the RFCs' own examples -------------------------------------------------------------------------------------------


def test_the_thumbprints_of_rfc_7638_and_9449() -> None:
    for name in ("rfc7638.json", "rfc9449.json"):
        vector = load(name)
        assert thumbprint(vector["jwk"]) == vector["thumbprint"]


@pytest.mark.parametrize("vector", load("rfc9449.json")["proofs"], ids=lambda vector: vector["name"])
def test_the_proofs_of_rfc_9449_hold(kit: Kit, vector: dict[str, Any]) -> None:
    request = kit.request(
        method=vector["method"], path=vector["path"], headers=(("dpop", vector["proof"]),), now=vector["now"]
    )._replace(origin=vector["origin"])
    thumb = load("rfc9449.json")["thumbprint"]
    steps = Dpop(DpopConfig()).prove(request, vector["access_token"], thumb)
    talk = kit.talk(steps, True)
    assert talk.outcome == Proof(thumb)
    if "ath" in vector:
        assert digest(vector["access_token"]) == vector["ath"]


# --- what holds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (KEY, "ES256"),
        (ECKey.generate_key("P-384"), "ES384"),
        (OKPKey.generate_key("Ed25519"), "Ed25519"),
        (RSA, "RS256"),  # its header is over joserfc's default bound
        (RSAKey.generate_key(4096), "PS256"),
    ],
    ids=["ES256", "ES384", "Ed25519", "RS256", "PS256"],
)
def test_a_proof_holds_once(kit: Kit, key: Any, alg: str) -> None:
    proof, thumb = sign(claims(), key, alg), thumbprint(key.as_dict(private=False))
    talk = ask(kit, proof, key=thumb, known=True)
    assert talk.outcome == Proof(thumb)
    (asked,) = talk.asked
    assert isinstance(asked, RememberProof)
    assert asked.key.startswith("dpop:")
    assert len(asked.key) == 48, "what is remembered is of one size, whatever was sent"
    assert asked.ttl_ms == 120_000
    assert refused(ask(kit, proof, key=thumb, known=False)) == "this proof was used before"


def test_eddsa_is_ed25519_under_its_old_name(kit: Kit) -> None:
    key = OKPKey.generate_key("Ed25519")
    head = _part({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": key.as_dict(private=False)})
    text = f"{head}.{_part(claims())}"
    signature = jws.JWSRegistry.algorithms["Ed25519"].sign(text.encode(), key)
    proof = f"{text}.{encode(signature)}"
    assert ask(kit, proof, key=key.thumbprint(), known=True).outcome == Proof(key.thumbprint())


def test_the_same_number_of_another_key_is_another_proof(kit: Kit) -> None:
    one = ask(kit, sign(claims()), known=True)
    two = ask(kit, sign(claims(), OTHER), key=OTHER.thumbprint(), known=True)
    assert one.asked != two.asked


def test_a_key_is_kept_by_its_text_alone_and_few_are_kept(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vallum.provers.dpop.KEYS_KEPT", 1)
    prover = Dpop(DpopConfig())
    for key in (KEY, OTHER, KEY, KEY):
        request = kit.request(headers=[("dpop", sign(claims(), key))], now=NOW)._replace(origin=ORIGIN)
        assert kit.talk(prover.prove(request, TOKEN, None), True).outcome == Proof(key.thumbprint())
    forged = sign(claims(), OTHER, jwk=KEY.as_dict(private=False))
    request = kit.request(headers=[("dpop", forged)], now=NOW)._replace(origin=ORIGIN)
    assert isinstance(kit.talk(prover.prove(request, TOKEN, None)).outcome, Unproven), "a known key is no pass"


@pytest.mark.parametrize(
    "htu",
    [
        "https://MODELS.example/predict",
        "HTTPS://models.example:443/predict",
        "https://models.example/predict?q=1",
        "https://models.example/predict#top",
        "https://models.example/%70redict",  # RFC 3986 6.2.2.2
    ],
)
def test_an_address_is_compared_in_its_normal_form(kit: Kit, htu: str) -> None:
    assert isinstance(ask(kit, sign(claims(htu=htu)), known=True).outcome, Proof)


@pytest.mark.parametrize("iat", [NOW - 60, NOW + 60, int(NOW)])
def test_a_clock_may_be_a_minute_off(kit: Kit, iat: float) -> None:
    talk = ask(kit, sign(claims(iat=iat)), known=True)
    assert isinstance(talk.outcome, Proof)
    (asked,) = talk.asked
    assert isinstance(asked, RememberProof)
    assert asked.ttl_ms >= (iat + 60 - NOW) * 1000 + 60_000, "held until no node would take it, a minute behind or not"


def test_a_proof_for_a_token_request_names_no_token(kit: Kit) -> None:
    assert isinstance(ask(kit, sign(claims(ath=None)), credential=None, key=None, known=True).outcome, Proof)


# --- what does not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"jti": None}, "jti"),
        ({"jti": 1}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": "x" * 257}, "jti"),
        ({"htm": None}, "htm"),
        ({"htm": "GET"}, "htm"),
        ({"htm": "post"}, "htm"),
        ({"htu": None}, "htu"),
        ({"htu": 1}, "htu"),
        ({"htu": "https://models.example/other"}, "htu"),
        ({"htu": "https://models.example/predict/"}, "htu"),
        ({"htu": "https://models.example/x/../predict"}, "htu"),
        ({"htu": "https://other.example/predict"}, "htu"),
        ({"htu": "https://models.example.evil/predict"}, "htu"),
        ({"htu": "https://models.example@evil/predict"}, "htu"),
        ({"htu": "https://u@models.example/predict"}, "htu"),
        ({"htu": "http://models.example/predict"}, "htu"),
        ({"htu": "https://models.example:8443/predict"}, "htu"),
        ({"htu": "https://models.example:x/predict"}, "htu"),
        ({"htu": "https://[::1/predict"}, "htu"),
        ({"htu": "/predict"}, "htu"),
        ({"htu": "ftp://models.example/predict"}, "htu"),
        ({"iat": None}, "iat"),
        ({"iat": "1700000000"}, "iat"),
        ({"iat": True}, "iat"),
        ({"iat": NOW - 61}, "iat"),
        ({"iat": NOW + 61}, "iat"),
        ({"iat": 10**400}, "while the proof was read"),
        ({"ath": None}, "ath"),
        ({"ath": 1}, "ath"),
        ({"ath": digest("another")}, "ath"),
        ({"ath": digest(TOKEN) + "="}, "ath"),
        ({"ath": "\ud800"}, "ath"),
    ],
)
def test_every_claim_must_hold(kit: Kit, changes: dict[str, Any], detail: str) -> None:
    talk = ask(kit, sign(claims(**changes)))
    assert detail in refused(talk)
    assert talk.asked == [], "nothing is remembered of a proof that does not hold"


def test_what_is_signed_by_a_stolen_name_does_not_hold(kit: Kit) -> None:
    assert "not the key" in refused(ask(kit, sign(claims(), OTHER)))
    assert "not the key" in refused(ask(kit, sign(claims()), key="é"))
    forged = sign(claims(), OTHER, jwk=KEY.as_dict(private=False))
    assert "BadSignatureError" in refused(ask(kit, forged))


SECRET_KEY = OctKey.generate_key(256)
TINY = {"kty": "RSA", "e": "AQAB", "n": encode(b"\xff" * 64)}
SLOW = RSA.as_dict(private=False) | {"e": RSA.as_dict(private=False)["n"]}


@pytest.mark.parametrize(
    ("proof", "detail"),
    [
        (sign(claims(), typ="JWT"), "typ"),
        (sign(claims(), typ=None), "typ"),
        (sign(claims(), typ="DPOP+JWT"), "typ"),
        (sign(claims(), crit=["exp"]), "typ is not"),
        (sign(claims(), jku="https://evil.example/keys"), "header has members"),
        (sign(claims(), x5c=[]), "header has members"),
        (f"{_part({'typ': 'dpop+jwt', 'alg': 'none', 'jwk': KEY.as_dict(private=False)})}.{_part(claims())}.", "three"),
        (f"{_part({'typ': 'dpop+jwt', 'alg': 'none', 'jwk': KEY.as_dict(private=False)})}.{_part(claims())}.AA", "alg"),
        (sign(claims(), SECRET_KEY, "HS256", jwk=KEY.as_dict(private=False)), "alg"),
        (sign(claims(), SECRET_KEY, "HS256", jwk=SECRET_KEY.as_dict()), "alg"),
        (sign(claims(), ECKey.generate_key("P-521"), "ES512"), "alg"),  # not on the list of this policy
        (f"{_part({'typ': 'dpop+jwt', 'alg': ['ES256'], 'jwk': {}})}.{_part(claims())}.AA", "alg"),
        (sign(claims(), jwk=RSA.as_dict(private=False)), "not for this key"),
        (sign(claims(), jwk=None), "not a key"),
        (sign(claims(), jwk="key"), "not a key"),
        (sign(claims(), jwk=[]), "not a key"),
        (sign(claims(), jwk={"kty": "oct", "k": "AAAA"}), "not a key"),
        (sign(claims(), jwk={"kty": ["EC"]}), "not a key"),
        (sign(claims(), jwk=KEY.as_dict(private=True)), "private"),
        (sign(claims(), jwk={"kty": "EC", "crv": "P-256", "x": "AA"}), "without all"),
        (sign(claims(), jwk={"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}), "while the proof was read"),
        (sign(claims(), RSA, "RS256", jwk=TINY), "a size"),
        (sign(claims(), RSA, "RS256", jwk=SLOW), "a size"),
        (sign(b"[]"), "not a JSON object"),
        (sign(b"\xff"), "strict JSON"),
        (sign(b'{"jti":"a","jti":"b"}'), "strict JSON"),
        (sign(b'{"iat":NaN}'), "strict JSON"),
        (sign(b"[" * 1500), "strict JSON"),
        (sign(claims(pad="x" * 10_000)), "over 4096"),
        (sign(claims()) + "=", "three parts"),
        (sign(claims()) + ".AA", "three parts"),
        (f"{sign(claims())}, {sign(claims())}", "three parts"),
        ("", "three parts"),
        ("a.b.c", "base64url"),
    ],
)
def test_hostile_proofs_are_refused_and_never_a_fault(kit: Kit, proof: str, detail: str) -> None:
    talk = ask(kit, proof, key=None)
    assert detail in refused(talk)
    assert talk.asked == []


def test_exactly_one_proof(kit: Kit) -> None:
    assert refused(ask(kit)) == "0 proofs"
    assert refused(ask(kit, sign(claims()), sign(claims(jti="two")))) == "2 proofs"


def test_a_request_without_a_canonical_path_has_no_proof(kit: Kit) -> None:
    assert "htu" in refused(ask(kit, sign(claims()), path=None))


@given(data=st.data())
@settings(max_examples=200)
def test_no_mutation_of_a_proof_holds(kit: Kit, data: st.DataObject) -> None:
    proof = PROOF
    at = data.draw(st.integers(0, len(proof) - 1))
    kind = data.draw(st.sampled_from(["replace", "insert", "delete", "swap"]))
    sign_ = data.draw(st.sampled_from("ABab01-_.=é \x00"))
    changed = {
        "replace": proof[:at] + sign_ + proof[at + 1 :],
        "insert": proof[:at] + sign_ + proof[at:],
        "delete": proof[:at] + proof[at + 1 :],
        "swap": proof[at:] + proof[:at],
    }[kind]
    if changed != proof:
        assert isinstance(ask(kit, changed).outcome, Unproven)


PROOF = sign(claims())


@given(text=st.text(max_size=200))
@settings(max_examples=100)
def test_no_text_is_a_fault(kit: Kit, text: str) -> None:
    assert isinstance(ask(kit, text).outcome, Unproven)


def test_a_store_that_is_down_is_met_by_on_error(kit: Kit) -> None:
    with pytest.raises(DependencyError):
        ask(kit, sign(claims()), known=DependencyError("down"))


# --- where we are -----------------------------------------------------------------------------------------------------


def test_with_origins_the_host_field_is_not_believed(kit: Kit) -> None:
    config = DpopConfig(origins=["https://models.example"])
    relayed = sign(claims(htu="https://relay.example/predict"))
    assert isinstance(ask(kit, relayed, origin="https://relay.example", known=True).outcome, Proof)
    assert "htu" in refused(ask(kit, relayed, origin="https://relay.example", config=config))
    assert isinstance(ask(kit, sign(claims()), origin="http://10.0.0.1", config=config, known=True).outcome, Proof)


# --- nonces -----------------------------------------------------------------------------------------------------------

NONCES = DpopConfig(nonce="required", nonce_secret=SECRET)


def nonce(back: int = 0) -> str:
    return Dpop(NONCES).nonce(NOW, back)


@pytest.mark.parametrize("sent", [None, "", 1, "wrong", "\ud800", nonce(2), nonce(-1)])
def test_without_a_nonce_of_ours_one_is_handed_out(kit: Kit, sent: Any) -> None:
    talk = ask(kit, sign(claims(nonce=sent)), config=NONCES)
    assert talk.outcome == Unproven("no nonce of ours, or an old one", "use_dpop_nonce", (("dpop-nonce", nonce()),))
    assert talk.asked == []


def test_the_present_nonce_is_taken_and_the_one_before_it_renewed(kit: Kit) -> None:
    assert ask(kit, sign(claims(nonce=nonce())), config=NONCES, known=True).outcome == Proof(KEY.thumbprint())
    renewed = ask(kit, sign(claims(nonce=nonce(1))), config=NONCES, known=True).outcome
    assert renewed == Proof(KEY.thumbprint(), (("dpop-nonce", nonce()),))


def test_a_nonce_is_the_same_on_every_node_and_of_no_use_with_another_secret() -> None:
    other = Dpop(DpopConfig(nonce="required", nonce_secret="t" * 32))
    assert Dpop(NONCES).nonce(NOW) == nonce()
    assert other.nonce(NOW) != nonce()
    assert len({nonce(back) for back in range(5)}) == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nonce": "required"}, "needs a nonce_secret"),
        ({"origins": ["models.example"]}, "is no origin"),
        ({"origins": ["https://models.example/v1"]}, "is no origin"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DpopConfig(**wrong)


def test_keys_that_have_no_thumbprint() -> None:
    for jwk in (None, {}, {"kty": "oct"}, {"kty": "EC", "d": "x"}):
        with pytest.raises(JwsError):
            thumbprint(jwk)
