"""Client certificates as credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from vallum.authenticators.mtls import Mtls, MtlsConfig
from vallum.core.decision import Challenge
from vallum.core.exchange import Certificate
from vallum.core.principal import Confirmation, Principal

if TYPE_CHECKING:
    from tests.conftest import Kit

THUMBPRINT = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"


def present(kit: Kit, config: dict[str, Any], fault: str = "", **names: Any) -> Principal | Challenge | None:
    authenticator = Mtls("certs", msgspec.convert({"type": "mtls", **config}, MtlsConfig))
    given: Any = {kind: tuple(held) for kind, held in names.items()}
    certificate = None if fault else Certificate(THUMBPRINT, **given)
    answer: Any = kit.talk(authenticator.authenticate(kit.request(certificate=certificate, certificate_fault=fault)))
    outcome: Principal | Challenge | None = answer.outcome
    return outcome


def test_a_certificate_becomes_a_principal_that_is_bound_to_it(kit: Kit) -> None:
    config = {"subject": "san_dns", "scopes": ["predict:read"], "tenant": "acme"}
    assert present(kit, config, dns=["Alice.Example"]) == Principal(
        "alice.example",
        "acme",
        frozenset({"predict:read"}),
        "cert_bwcK0esc3ACC3DB2",
        "certs",
        Confirmation(certificate=THUMBPRINT),
    )


def test_without_a_certificate_it_is_not_responsible(kit: Kit) -> None:
    authenticator = Mtls("certs", MtlsConfig(subject="san_dns"))
    assert kit.talk(authenticator.authenticate(kit.request())).outcome is None


def test_one_that_does_not_hold_is_refused_with_the_reason_in_the_record_alone(kit: Kit) -> None:
    expected = Challenge("Certificate", "authenticate:certs", "the certificate has expired")
    assert present(kit, {"subject": "san_dns"}, fault="has expired") == expected


SPIFFE = {"subject": "san_uri", "trust_domain": "prod.example"}
NS = {**SPIFFE, "allow": ["spiffe://prod.example/ns/*"]}
CASES: list[tuple[str, dict[str, Any], dict[str, list[str]], str | None]] = [
    ("a name of another kind", {"subject": "san_dns"}, {"uris": ["https://a"], "emails": ["a@b"]}, None),
    ("a wildcard", {"subject": "san_dns"}, {"dns": ["*.example"]}, None),
    ("a space", {"subject": "san_dns"}, {"dns": ["a b"]}, None),
    ("a control character", {"subject": "san_uri"}, {"uris": ["urn:a\x1fb"]}, None),
    ("a letter that looks like another", {"subject": "san_dns"}, {"dns": ["\u0430lice.example"]}, None),
    ("too long", {"subject": "san_dns"}, {"dns": ["a" * 513]}, None),
    ("empty", {"subject": "san_dns"}, {"dns": [""]}, None),
    ("one name twice", {"subject": "san_dns"}, {"dns": ["A.example", "a.example"]}, "a.example"),
    ("mail", {"subject": "san_email"}, {"emails": ["Alice@Example.COM"]}, "Alice@example.com"),
    ("a URI", {"subject": "san_uri"}, {"uris": ["urn:uuid:1"]}, "urn:uuid:1"),
    ("allowed", {"subject": "san_dns", "allow": ["*.C.example"]}, {"dns": ["a.c.example"]}, "a.c.example"),
    ("one part", {"subject": "san_dns", "allow": ["*.clients.example"]}, {"dns": ["a.b.clients.example"]}, None),
    ("a dot is a dot", {"subject": "san_dns", "allow": ["a.example"]}, {"dns": ["axexample"]}, None),
    ("the whole name", {"subject": "san_dns", "allow": ["a.example"]}, {"dns": ["a.example.evil"]}, None),
    ("singled out", {"subject": "san_dns", "allow": ["a.example"]}, {"dns": ["b.example", "a.example"]}, "a.example"),
    ("mail of a domain", {"subject": "san_email", "allow": ["*@b.com"]}, {"emails": ["a@b.com"]}, "a@b.com"),
    ("quoted mail", {"subject": "san_email", "allow": ["*@example.com"]}, {"emails": ["a@example.com@evil"]}, None),
    ("a SPIFFE id", SPIFFE, {"uris": ["spiffe://prod.example/ns/a"]}, "spiffe://prod.example/ns/a"),
    ("another domain", SPIFFE, {"uris": ["spiffe://prod.example.evil/ns"]}, None),
    ("a longer domain", SPIFFE, {"uris": ["spiffe://prod.exampleevil/ns"]}, None),
    ("a domain in capitals", SPIFFE, {"uris": ["spiffe://PROD.example/ns"]}, None),
    ("the domain itself", SPIFFE, {"uris": ["spiffe://prod.example"]}, None),
    ("no path", SPIFFE, {"uris": ["spiffe://prod.example/"]}, None),
    ("an empty segment", SPIFFE, {"uris": ["spiffe://prod.example/a//b"]}, None),
    ("a relative segment", SPIFFE, {"uris": ["spiffe://prod.example/a/../b"]}, None),
    ("a relative last segment", SPIFFE, {"uris": ["spiffe://prod.example/a/."]}, None),
    ("a query", SPIFFE, {"uris": ["spiffe://prod.example/a?b"]}, None),
    ("a port", SPIFFE, {"uris": ["spiffe://prod.example:8443/a"]}, None),
    ("two URIs", SPIFFE, {"uris": ["spiffe://prod.example/a", "https://b"]}, None),
    ("a pattern of segments", NS, {"uris": ["spiffe://prod.example/ns/a"]}, "spiffe://prod.example/ns/a"),
    ("a deeper path", NS, {"uris": ["spiffe://prod.example/ns/a/b"]}, None),
]


@pytest.mark.parametrize(("config", "names", "subject"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_which_names_are_taken(kit: Kit, config: dict[str, Any], names: Any, subject: str | None) -> None:
    answer = present(kit, config, **names)
    assert (answer.subject if isinstance(answer, Principal) else answer) == subject


@pytest.mark.parametrize("allow", [[], ["*.example"]])
def test_who_of_two_it_is_is_not_guessed(kit: Kit, allow: list[str]) -> None:
    answer = present(kit, {"subject": "san_dns", "allow": allow}, dns=["a.example", "b.example"])
    assert isinstance(answer, Challenge)
    assert "ambiguous" in answer.detail


def test_a_trust_domain_is_of_uris() -> None:
    with pytest.raises(msgspec.ValidationError, match="goes with subject: san_uri"):
        msgspec.convert({"type": "mtls", "subject": "san_dns", "trust_domain": "a"}, MtlsConfig)
