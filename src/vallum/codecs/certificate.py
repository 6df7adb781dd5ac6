"""Certificates and revocation lists (RFC 5280), from bytes to facts.

Rule: whoever calls this has verified the chain, or was told by somebody who has; here nothing is verified but that a
revocation list is signed by a given authority.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vallum.core.exchange import Certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PEM_CRL = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
CERTIFICATES_KEPT = 1024  # of those that came in header fields, which bring the same one with every request


@lru_cache(maxsize=CERTIFICATES_KEPT)
def read_certificate(der: bytes) -> Certificate:
    """Read the facts of a certificate.  Raise ValueError for what is none."""
    try:
        return _describe(x509.load_der_x509_certificate(der))
    except ValueError:
        raise
    except Exception as error:  # the library raises KeyError and kinds of its own for what is merely odd
        raise ValueError(f"{type(error).__name__} {error}") from error


def _describe(certificate: x509.Certificate) -> Certificate:
    """Return the facts of a certificate.  Raises what the library raises where it cannot read a part."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return Certificate(
        thumbprint=urlsafe_b64encode(sha256(certificate.public_bytes(Encoding.DER)).digest()).rstrip(b"=").decode(),
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        dns=tuple(names.get_values_for_type(x509.DNSName)),
        emails=tuple(names.get_values_for_type(x509.RFC822Name)),
        serial=f"{certificate.serial_number:x}",
        issuer=certificate.issuer.rfc4514_string(),
        not_after=certificate.not_valid_after_utc.timestamp(),
    )


class RevocationList(NamedTuple):
    """What one authority has revoked."""

    issuer: str  # RFC 4514
    serials: frozenset[str]  # in hexadecimal
    next_update: float  # Unix seconds: after this the list says nothing any more


class Revocations:
    """The revocation lists in force.  Without any nothing is revoked; with some, who is on none is not believed."""

    def __init__(self, lists: Iterable[RevocationList] = ()) -> None:
        """Hold these lists; where an authority has two, the later one counts."""
        self._lists = {held.issuer: held for held in sorted(lists, key=lambda held: held.next_update)}

    @property
    def next_update(self) -> float | None:
        """When the first of the lists goes out of date, Unix seconds."""
        return min((held.next_update for held in self._lists.values()), default=None)

    def fault(self, certificate: Certificate, now: float) -> str:
        """Say why a certificate does not hold at `now`: the end of a sentence, or nothing (RFC 5280 6.1.3, 6.3.3)."""
        if certificate.not_after <= now:
            return "has expired"
        if not self._lists:
            return ""
        held = self._lists.get(certificate.issuer)
        if held is None:
            return "is of an authority without a revocation list"
        if certificate.serial in held.serials:
            return "is revoked"
        return "is of an authority whose revocation list is out of date" if held.next_update <= now else ""


def read_revocations(data: bytes, authorities: Sequence[x509.Certificate]) -> list[RevocationList]:
    """Read revocation lists in PEM.  Raise ValueError for one that is none, is partial, or no authority signed."""
    blocks = PEM_CRL.findall(data)
    if not blocks:
        raise ValueError("it holds none in PEM")
    return [_read_list(x509.load_pem_x509_crl(block), authorities) for block in blocks]


def _read_list(crl: x509.CertificateRevocationList, authorities: Sequence[x509.Certificate]) -> RevocationList:
    issuer = crl.issuer.rfc4514_string()
    if not any(_signed(crl, authority) for authority in authorities):
        raise ValueError(f"the list of {issuer} is signed by no certificate of client_ca")
    if crl.next_update_utc is None:  # RFC 5280 5.1.2.5
        raise ValueError(f"the list of {issuer} does not say until when it holds")
    for extension in crl.extensions:
        if extension.critical:  # delta lists, indirect lists, lists of some reasons only: all are marked so
            raise ValueError(f"the list of {issuer} is partial; only full lists can be used")
    return RevocationList(
        issuer, frozenset([f"{entry.serial_number:x}" for entry in crl]), crl.next_update_utc.timestamp()
    )


def _signed(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    if crl.issuer != authority.subject:
        return False
    try:
        return crl.is_signature_valid(key)  # type: ignore[arg-type]  # other kinds of keys raise
    except TypeError:
        return False


def issued_by(certificate: Certificate, authorities: Iterable[bytes]) -> bool:
    """Say whether one of `authorities` (DER) has the name that issued a certificate whose chain was verified."""
    return any(
        x509.load_der_x509_certificate(authority).subject.rfc4514_string() == certificate.issuer
        for authority in authorities
    )
