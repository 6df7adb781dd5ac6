"""Which certificate a request comes with: the connection's, a proxy's word, or none."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.adapters.client_certificate import ClientCertificates, read_header
from vallum.codecs.certificate import Revocations, read_certificate, read_revocations
from vallum.core.address import parse_networks
from vallum.core.exchange import Headers

if TYPE_CHECKING:
    from tests.conftest import Authority, Issued

    from vallum.core.exchange import Certificate

PROXY, STRANGER = "10.0.0.1", "192.0.2.1"
NAMES = ["client-cert", "x-forwarded-client-cert", "x-ssl-client-cert"]
NOW = 1.0


@pytest.fixture(scope="module")
def alice(authority: Authority) -> Issued:
    return authority.issue("alice.example", "spiffe://prod.example/model")


def write(name: str, issued: Issued) -> str:
    """Write a header field as the proxies do."""
    if name == "client-cert":
        return f":{b64encode(issued.der).decode()}:"
    escaped = quote(issued.pem, safe="")
    if name == "x-ssl-client-cert":
        return escaped
    hashed = read_hash(issued)
    return f'Hash={hashed};Cert="{escaped}";Subject="CN=a,O=\\"b\\"";URI=spiffe://prod.example/model;DNS=alice.example'


def read_hash(issued: Issued) -> str:
    return sha256(issued.der).hexdigest()


class Who:
    """The other end of a connection, and what it sent."""

    def __init__(self, peer: str, *fields: tuple[str, str], certificate: Certificate | None = None) -> None:
        self.peer = peer
        self.certificate = certificate
        self.certificate_fault = ""
        self.headers = Headers(fields)


def believing(name: str | None) -> ClientCertificates:
    return ClientCertificates(name, parse_networks(["10.0.0.0/8"]))


@pytest.mark.parametrize("name", NAMES)
class TestEveryHeader:
    def test_is_read_from_a_listed_proxy(self, name: str, alice: Issued) -> None:
        found, fault = believing(name).find(Who(PROXY, (name, write(name, alice))), NOW)
        assert fault == ""
        assert found is not None
        assert found.thumbprint == alice.thumbprint
        assert (found.dns, found.uris) == (("alice.example",), ("spiffe://prod.example/model",))
        assert found.serial == f"{alice.certificate.serial_number:x}"

    def test_is_nothing_from_anybody_else(self, name: str, alice: Issued) -> None:
        assert believing(name).find(Who(STRANGER, (name, write(name, alice))), NOW) == (None, "")
        assert ClientCertificates(name).find(Who(PROXY, (name, write(name, alice))), NOW) == (None, "")

    def test_is_nothing_in_another_spelling(self, name: str, alice: Issued) -> None:
        others = [(other, write(other, alice)) for other in NAMES if other != name]
        others += [(field.replace("-", "_"), write(name, alice)) for field in NAMES]
        assert believing(name).find(Who(PROXY, *others), NOW) == (None, "")
        assert believing(None).find(Who(PROXY, *others, (name, write(name, alice))), NOW) == (None, "")

    def test_twice_is_an_error(self, name: str, alice: Issued, authority: Authority) -> None:
        for second in (alice, authority.issue("bob.example")):
            who = Who(PROXY, (name, write(name, alice)), (name, write(name, second)))
            certificate, fault = believing(name).find(who, NOW)
            assert certificate is None
            assert "2 times" in fault

    def test_empty_is_no_certificate(self, name: str) -> None:
        assert believing(name).find(Who(PROXY, (name, "")), NOW) == (None, "")

    def test_expiry_and_revocation_are_judged_here(self, name: str, alice: Issued, authority: Authority) -> None:
        certificates = believing(name)
        who = Who(PROXY, (name, write(name, alice)))
        late = alice.certificate.not_valid_after_utc.timestamp()
        assert certificates.find(who, late) == (None, "has expired")
        assert certificates.find(who, late - 1)[0] is not None
        certificates.revocations = Revocations(read_revocations(authority.revoke(alice), [authority.certificate]))
        assert certificates.find(who, NOW) == (None, "is revoked")

    @given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
    @settings(max_examples=150)
    def test_anything_else_is_a_fault_and_no_certificate(self, name: str, text: str) -> None:
        certificate, fault = believing(name).find(Who(PROXY, (name, text)), NOW)
        assert certificate is None
        assert bool(fault) == bool(text)

    def test_a_certificate_with_something_around_it_is_none(self, name: str, alice: Issued) -> None:
        honest = write(name, alice)
        around = [f"{honest},{honest}", f" {honest}", honest + "x" * 20_000, f"{honest};"]
        if name != "x-forwarded-client-cert":  # its last pair is not the certificate
            around += [f"{honest} ", honest[:-9]]
        for text in around:
            with pytest.raises(ValueError):
                read_header(name, [text])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Hash={hash};DNS=alice.example", "0 Cert"),
        ("Cert={cert};Cert={cert}", "2 Cert"),
        ("Hash={other};Cert={cert}", "different"),
        ("Hash=zz;Cert={cert}", "non-hexadecimal"),
        ("By=spiffe://evil.example;Hash={hash},Hash={hash};Cert={cert}", "SANITIZE_SET"),
        ("Hash={hash};Cert={cert},By=x", "SANITIZE_SET"),
        ('Hash={hash};Cert="{cert}', "SANITIZE_SET"),
        ("Nonsense=1;Cert={cert}", "SANITIZE_SET"),
        ("Cert={cert};", "SANITIZE_SET"),
        ("Cert={pem}{pem}", "not one certificate"),
    ],
)
def test_envoys_field_is_read_strictly(alice: Issued, authority: Authority, value: str, words: str) -> None:
    values: dict[str, Any] = {
        "hash": read_hash(alice),
        "other": read_hash(authority.issue("x.example")),
        "cert": quote(alice.pem, safe=""),
        "pem": quote(alice.pem, safe=""),
    }
    with pytest.raises(ValueError, match=words):
        read_header("x-forwarded-client-cert", [value.format(**values)])


def test_a_connections_certificate_is_its_callers_unless_the_peer_is_a_listed_proxy(alice: Issued) -> None:
    held = read_certificate(alice.der)
    for certificates in (believing("client-cert"), believing(None)):
        assert certificates.find(Who(STRANGER, certificate=held), NOW) == (held, "")
        assert certificates.find(Who(PROXY, certificate=held), NOW) == (None, "")
