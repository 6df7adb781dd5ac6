"""The stage that has bound credentials proved: once, for whoever vouched, on every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vallum.core.decision import Allow, Challenge, Deny
from vallum.core.effects import RememberProof, Steps, ask
from vallum.core.engine import Engine
from vallum.core.errors import DependencyError
from vallum.core.exchange import Certificate, Exchange, Headers
from vallum.core.policy import Mode, OnError, Policy
from vallum.core.principal import Confirmation, Principal
from vallum.core.proof import Presented, Proof, Unproven, presented

if TYPE_CHECKING:
    from tests.conftest import Dialogue, Kit

    from vallum.core.decision import Decision
    from vallum.core.exchange import Request

JSON = (("content-type", "application/json"), ("content-length", "2"))
CERT = Certificate("thumb")
BY_CERTIFICATE = Confirmation(certificate="thumb")
BY_KEY = Confirmation(key="jkt")
BY_BOTH = Confirmation("thumb", "jkt")
NONCE = (("dpop-nonce", "next"),)
SEEN = RememberProof("dpop:x", 1)
ALGS = 'algs="ES256 RS256"'


class Proving:
    """A prover that always answers the same, after asking whether the proof is new."""

    algorithms = "ES256 RS256"

    def __init__(self, answer: Proof | Unproven) -> None:
        self.answer = answer
        self.asked: list[tuple[str | None, str | None]] = []

    def prove(self, request: Request, credential: str | None, key: str | None) -> Steps[Proof | Unproven]:
        self.asked.append((credential, key))
        yield from ask(SEEN)
        return self.answer


def judge(
    kit: Kit,
    bond: Confirmation | None,
    *fields: tuple[str, str],
    certificate: Certificate | None = None,
    prover: Proving | None = None,
    reply: Any = None,
    **route: Any,
) -> tuple[Exchange, Dialogue[Decision]]:
    principal = Principal("alice", None, frozenset(), "key_1", "keys", bond)
    policy = Policy((kit.route(authenticators=(kit.Vouching(principal),), **route),), {}, "digest", prover)
    engine = Engine(policy)
    x = engine.open(kit.request(headers=(*JSON, *fields))._replace(certificate=certificate))
    replies = [] if prover is None or reply is None else [reply]
    return x, kit.talk(engine.request_head(x), *replies)


def refused(outcome: Decision) -> str:
    assert isinstance(outcome, Challenge)
    assert outcome.control == "confirm"
    return outcome.scheme


# --- where credentials stand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ((), ("", "")),
        ((("authorization", "DPoP  t "),), ("dpop", "t")),
        ((("authorization", "bearer t"),), ("bearer", "t")),
        ((("authorization", "t"),), ("t", "")),
        ((("x-api-key", "t"),), ("", "t")),
    ],
)
def test_a_credential_is_read_in_one_way(fields: tuple[tuple[str, str], ...], shown: tuple[str, str]) -> None:
    assert presented(Headers(fields)) == Presented(*shown)


# --- unbound ----------------------------------------------------------------------------------------------------------


def test_an_unbound_credential_needs_no_proof_where_none_is_wanted(kit: Kit) -> None:
    _, talk = judge(kit, None, ("authorization", "Bearer t"))
    assert talk.outcome == Allow()


def test_an_unbound_credential_is_refused_where_a_bound_one_is_wanted(kit: Kit) -> None:
    _, talk = judge(kit, None, ("authorization", "Bearer t"), bound=True, prover=Proving(Proof("jkt")))
    wanted = "a credential bound to a client certificate or to a DPoP key is required"
    assert refused(talk.outcome) == f'DPoP error="invalid_token", error_description="{wanted}", {ALGS}'


def test_an_unbound_credential_under_the_scheme_of_bound_ones_is_refused(kit: Kit) -> None:
    _, talk = judge(kit, None, ("authorization", "DPoP t"))
    assert refused(talk.outcome) == 'DPoP error="invalid_token"'


def test_who_is_unknown_because_the_registry_is_down_is_not_asked_for_more(kit: Kit) -> None:
    failing = kit.Vouching(None, SEEN)
    for bound, allowed in ((False, True), (True, False)):
        engine = kit.engine(kit.route(authenticators=(failing,), on_error=OnError.ALLOW, bound=bound))
        x = engine.open(kit.request(headers=(*JSON, ("authorization", "DPoP t"))))
        talk = kit.talk(engine.request_head(x), DependencyError("down"))
        assert isinstance(talk.outcome, Allow) is allowed


# --- bound to a certificate -------------------------------------------------------------------------------------------


def test_the_certificate_that_a_credential_is_bound_to_lets_it_in(kit: Kit) -> None:
    for bound in (False, True):
        _, talk = judge(kit, BY_CERTIFICATE, ("authorization", "Bearer t"), certificate=CERT, bound=bound)
        assert talk.outcome == Allow()


def test_a_certificate_alone_is_its_own_proof(kit: Kit) -> None:
    _, talk = judge(kit, BY_CERTIFICATE, certificate=CERT, bound=True)
    assert talk.outcome == Allow()


@pytest.mark.parametrize("certificate", [None, Certificate("another"), Certificate("THUMB"), Certificate("é")])
def test_a_stolen_credential_without_its_certificate_is_refused(kit: Kit, certificate: Certificate | None) -> None:
    _, talk = judge(kit, BY_CERTIFICATE, ("authorization", "Bearer t"), certificate=certificate)
    assert refused(talk.outcome) == 'Bearer error="invalid_token"'


def test_a_field_that_claims_a_certificate_is_no_certificate(kit: Kit) -> None:
    claims = [(name, "thumb") for name in ("client-cert", "x-ssl-client-cert", "x-forwarded-client-cert")]
    _, talk = judge(kit, BY_CERTIFICATE, ("authorization", "Bearer t"), *claims)
    refused(talk.outcome)


# --- bound to a key ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [("authorization", "DPoP t"), ("x-api-key", "t")])
def test_a_proof_of_the_key_lets_a_credential_in(kit: Kit, field: tuple[str, str]) -> None:
    prover = Proving(Proof("jkt", NONCE))
    x, talk = judge(kit, BY_KEY, field, prover=prover, reply=True, bound=True)
    assert talk.asked == [SEEN]
    assert talk.outcome == Allow()
    assert prover.asked == [("t", "jkt")]
    assert x.proof_fields == NONCE


@pytest.mark.parametrize("fields", [(("authorization", "Bearer t"),), (("authorization", "bearer t"),), ()])
def test_a_bound_credential_is_no_bearers(kit: Kit, fields: tuple[tuple[str, str], ...]) -> None:
    prover = Proving(Proof("jkt"))
    _, talk = judge(kit, BY_KEY, *fields, prover=prover)
    assert refused(talk.outcome) == f'DPoP error="invalid_token", {ALGS}'
    assert prover.asked == []


@pytest.mark.parametrize("error", ["invalid_dpop_proof", "use_dpop_nonce"])
def test_a_proof_that_does_not_hold_says_what_is_wanted_in_its_challenge_alone(kit: Kit, error: str) -> None:
    prover = Proving(Unproven("the detail", error, NONCE))
    x, talk = judge(kit, BY_KEY, ("authorization", "DPoP t"), prover=prover, reply=True)
    assert refused(talk.outcome) == f'DPoP error="{error}", {ALGS}'
    assert "detail" not in refused(talk.outcome)
    assert x.proof_fields == NONCE


def test_without_anything_that_checks_proofs_none_holds(kit: Kit) -> None:
    _, talk = judge(kit, BY_KEY, ("authorization", "DPoP t"))
    assert refused(talk.outcome) == 'DPoP error="invalid_token"'


def test_a_full_set_of_proofs_refuses(kit: Kit) -> None:
    prover = Proving(Proof("jkt"))
    x, talk = judge(kit, BY_KEY, ("authorization", "DPoP t"), prover=prover, reply=DependencyError("full"))
    assert not isinstance(talk.outcome, Allow)
    assert x.unscanned == ["confirm (DependencyError: full)"]


# --- bound to both, and to neither ------------------------------------------------------------------------------------


def test_both_must_be_proved_where_both_are_named(kit: Kit) -> None:
    prover = Proving(Proof("jkt"))
    field = ("authorization", "DPoP t")
    assert judge(kit, BY_BOTH, field, prover=prover, reply=True, certificate=CERT)[1].outcome == Allow()
    refused(judge(kit, BY_BOTH, field, prover=prover)[1].outcome)
    refused(judge(kit, BY_BOTH, ("authorization", "Bearer t"), prover=prover, certificate=CERT)[1].outcome)


def test_what_is_bound_to_something_unknown_can_be_proved_by_nobody(kit: Kit) -> None:
    prover = Proving(Proof("jkt"))
    refused(judge(kit, Confirmation(), ("authorization", "DPoP t"), prover=prover, certificate=CERT)[1].outcome)


def test_in_shadow_a_missing_proof_is_recorded_and_lets_through(kit: Kit) -> None:
    x, talk = judge(kit, BY_CERTIFICATE, ("authorization", "Bearer t"), mode=Mode.SHADOW)
    assert talk.outcome == Allow()
    assert [refusal.control for refusal in x.shadowed] == ["confirm"]


# --- what a challenge asks for ----------------------------------------------------------------------------------------


def test_a_route_for_bound_credentials_says_so_to_who_brings_none(kit: Kit) -> None:
    for bound, scheme in ((True, "Bearer, DPoP"), (False, "Bearer")):
        engine = kit.engine(kit.route(authenticators=(kit.Vouching(None),), bound=bound))
        talk = kit.talk(engine.request_head(engine.open(kit.request())))
        assert isinstance(talk.outcome, Challenge)
        assert talk.outcome.scheme == scheme


@pytest.mark.parametrize(("bond", "scheme"), [(None, "Bearer"), (BY_CERTIFICATE, "Bearer"), (BY_KEY, "DPoP")])
def test_a_missing_scope_is_told_in_the_scheme_of_the_credential(
    kit: Kit, bond: Confirmation | None, scheme: str
) -> None:
    shown = ("authorization", "DPoP t" if bond == BY_KEY else "Bearer t")
    _, talk = judge(
        kit,
        bond,
        shown,
        certificate=CERT,
        prover=Proving(Proof("jkt")),
        reply=bond == BY_KEY or None,
        scopes=frozenset({"a"}),
    )
    assert isinstance(talk.outcome, Deny)
    assert talk.outcome.headers == (("www-authenticate", f'{scheme} error="insufficient_scope", scope="a"'),)


# --- in shadow --------------------------------------------------------------------------------------------------------


def test_a_stolen_credential_passes_a_route_in_shadow_and_not_unseen(kit: Kit) -> None:
    x, talk = judge(kit, BY_KEY, ("authorization", "DPoP t"), mode=Mode.SHADOW)
    assert isinstance(talk.outcome, Allow)
    assert [refusal.control for refusal in x.shadowed] == ["confirm"]


def test_a_canary_alarms_on_a_route_in_shadow_too(kit: Kit) -> None:
    found = Challenge('Bearer error="invalid_token"', "authenticate:keys", "a canary", "key_1")
    engine = kit.engine(kit.route(authenticators=(kit.Vouching(found),), mode=Mode.SHADOW))
    x = engine.open(kit.request())
    assert isinstance(kit.talk(engine.request_head(x)).outcome, Allow)
    assert (x.canary, x.principal.subject, len(x.shadowed)) == ("key_1", "", 1)
