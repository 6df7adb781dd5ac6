"""Certificates and revocation lists, from bytes to facts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from vallum.cli.keys.words import _thumbprint
from vallum.codecs.certificate import Revocations, issued_by, read_certificate, read_revocations

if TYPE_CHECKING:
    from tests.conftest import Authority

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN.timestamp()


def test_a_certificates_facts(authority: Authority) -> None:
    issued = authority.issue("a.example", "b.example", "spiffe://c/d", "e@f.example", "192.0.2.1", common_name="g")
    facts = read_certificate(issued.der)
    assert facts.thumbprint == issued.thumbprint
    assert (facts.dns, facts.uris, facts.emails) == (("a.example", "b.example"), ("spiffe://c/d",), ("e@f.example",))
    assert facts.serial == f"{issued.certificate.serial_number:x}"
    assert facts.issuer == "CN=Vallum test authority"
    assert facts.not_after == issued.certificate.not_valid_after_utc.timestamp()
    bare = read_certificate(authority.issue(common_name="mallory").der)
    assert (bare.dns, bare.uris, bare.emails) == ((), (), ())


def test_the_thumbprint_of_rfc_8705_and_the_one_that_a_key_is_bound_with() -> None:
    vector = json.loads((Path(__file__).parents[1] / "vectors" / "rfc8705.json").read_text())
    pem = vector["certificate"].encode()
    assert _thumbprint(pem) == vector["x5t#S256"]
    assert read_certificate(PEM_cert_to_DER_cert(pem.decode())).thumbprint == vector["x5t#S256"]


@given(data=st.binary(max_size=200))
def test_what_is_no_certificate_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_certificate(data)


def test_every_cut_and_flip_of_a_certificate_is_an_error_or_another_certificate(authority: Authority) -> None:
    issued = authority.issue("a.example")
    for at in range(len(issued.der)):
        with pytest.raises(ValueError):
            read_certificate(issued.der[:at])
        flipped = bytearray(issued.der)
        flipped[at] ^= 0x41
        try:
            facts = read_certificate(bytes(flipped))
        except ValueError:
            continue
        assert facts.thumbprint != issued.thumbprint


def test_what_a_list_says(authority: Authority) -> None:
    good, bad = (read_certificate(authority.issue(f"{name}.example").der) for name in ("good", "bad"))
    revoked = authority.issue("bad.example")
    bad = read_certificate(revoked.der)
    lists = read_revocations(authority.revoke(revoked), [authority.certificate])
    now = good.not_after - 7.5 * 86_400
    held = Revocations(lists)
    assert held.fault(good, now) == ""
    assert held.fault(bad, now) == "is revoked"
    assert held.next_update == lists[0].next_update
    assert "out of date" in held.fault(good, lists[0].next_update)
    assert held.fault(bad, lists[0].next_update) == "is revoked"
    assert held.fault(good, good.not_after) == "has expired"
    assert "without a revocation list" in held.fault(good._replace(issuer="CN=Another"), now)
    assert Revocations().fault(good._replace(issuer="CN=Another"), now) == ""
    assert Revocations().next_update is None


def test_the_newer_of_two_lists_counts_wherever_it_stands(authority: Authority) -> None:
    revoked = authority.issue("bad.example")
    bad = read_certificate(revoked.der)
    older, newer = authority.revoke(days=1), authority.revoke(revoked, days=2)
    for data in (older + newer, newer + older):
        held = Revocations(read_revocations(data, [authority.certificate]))
        assert held.fault(bad, bad.not_after - 7.9 * 86_400) == "is revoked"


def test_a_list_that_cannot_be_trusted_is_an_error(authority: Authority) -> None:
    def build(*extensions: x509.ExtensionType, name: x509.Name = authority.name) -> bytes:
        builder = x509.CertificateRevocationListBuilder(name, THEN, THEN + timedelta(days=1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    twin = type(authority)()  # the same name, another key
    for data, words in (
        (b"", "none in PEM"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----", "pars"),
        (twin.revoke(), "signed by no certificate"),
        (build(name=x509.Name([])), "signed by no certificate"),
        (build(x509.DeltaCRLIndicator(1)), "partial"),
    ):
        with pytest.raises(ValueError, match=words):
            read_revocations(data, [authority.certificate])
    assert read_revocations(build(), [twin.certificate, authority.certificate])[0].serials == frozenset()


def test_who_issued_a_certificate(authority: Authority) -> None:
    facts = read_certificate(authority.issue("a.example").der)
    other = type(authority)("Another").certificate.public_bytes(Encoding.DER)
    ours = authority.certificate.public_bytes(Encoding.DER)
    assert issued_by(facts, [other, ours])
    assert not issued_by(facts, [other])
