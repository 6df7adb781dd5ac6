"""Whose certificate a request comes with: the connection's, or the one that a trusted proxy vouches for in a header.

Rule 1: one configured field, from a listed proxy, and exactly once.  The same field from anybody else, and every other
        spelling from everybody, is never read (and never forwarded: see config/compile.py).
Rule 2: the certificate of a listed proxy's own connection is never its callers'.
Rule 3: a certificate is judged anew with every request: expiry and revocation do not wait for the connection's end.
"""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote_to_bytes

from vallum.codecs.certificate import Revocations, read_certificate
from vallum.core.address import within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vallum.core.address import Network
    from vallum.core.exchange import Certificate, Headers

BYTE_SEQUENCE = re.compile(r":([A-Za-z0-9+/]*={0,2}):")  # RFC 9651 3.3.5
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
ESCAPED = re.compile(r"(?:[A-Za-z0-9._~+/=-]|%[0-9A-Fa-f]{2})+")
# key=value or key="value"; a quoted value has \" for a quote.  No comma outside of quotes: that begins a second client.
XFCC_PAIR = re.compile(
    r'(By|Hash|Cert|Chain|Subject|URI|DNS)=(?:"((?:[^"\\]|\\.)*)"|([^",;]*))(?:;(?!$)|$)', re.IGNORECASE
)
XFCC, ESCAPED_PEM = "x-forwarded-client-cert", "x-ssl-client-cert"
HEADER_MAX_CHARS = 16_384
READ_KEPT = 1024


class Connected(Protocol):
    """What is known of the other end of a connection."""

    @property
    def peer(self) -> str:
        """Its address."""

    @property
    def certificate(self) -> Certificate | None:
        """Its certificate, verified in the handshake."""

    @property
    def certificate_fault(self) -> str:
        """Why one that came is not believed."""

    @property
    def headers(self) -> Headers:
        """The header fields of its request."""


class ClientCertificates:
    """Finds the certificate of each request."""

    def __init__(self, header: str | None = None, trusted: Sequence[Network] = ()) -> None:
        """Believe `header` from `trusted` proxies; without one, only certificates of connections."""
        self._header = header
        self._trusted = trusted
        self.revocations = Revocations()  # those in force, replaced whole

    def find(self, who: Connected, now: float) -> tuple[Certificate | None, str]:
        """Return a request's certificate if it holds now, or why it does not."""
        certificate, fault = who.certificate, who.certificate_fault
        if self._trusted and within(who.peer, self._trusted):
            certificate, fault = None, ""
            if self._header is not None:
                try:
                    certificate = read_header(self._header, who.headers.all(self._header))
                except ValueError as error:
                    fault = f"cannot be read from {self._header}: {error}"
        if certificate is None:
            return None, fault
        fault = self.revocations.fault(certificate, now)
        return (None, fault) if fault else (certificate, "")


def read_header(name: str, values: Sequence[str]) -> Certificate | None:
    """Read the certificate in the values of a header field; None where there is none.  Raise ValueError."""
    values = [value for value in values if value]
    if not values:
        return None
    if len(values) > 1:
        raise ValueError(f"it stands there {len(values)} times")
    return _read(name, values[0])


@lru_cache(maxsize=READ_KEPT)
def _read(name: str, value: str) -> Certificate:
    if len(value) > HEADER_MAX_CHARS:
        raise ValueError(f"over {HEADER_MAX_CHARS} characters")
    return read_certificate(FORMATS[name](value))


def _client_cert(value: str) -> bytes:
    match = BYTE_SEQUENCE.fullmatch(value)  # RFC 9440 2.2
    if match is None:
        raise ValueError("it is no byte sequence")
    return b64decode(match[1], validate=True)


def _escaped_pem(value: str) -> bytes:
    if not ESCAPED.fullmatch(value):
        raise ValueError("it is not URL-escaped")
    match = PEM.fullmatch(unquote_to_bytes(value))
    if match is None:
        raise ValueError("it is not one certificate in PEM")
    return b64decode(b"".join(match[1].split()), validate=True)


def _envoy(value: str) -> bytes:
    """Read Envoy's field of one client: a proxy that sanitises it writes no more, and what it appends to is a claim."""
    found: dict[str, list[str]] = {}
    at = 0
    while at < len(value):
        match = XFCC_PAIR.match(value, at)
        if match is None:
            raise ValueError(f"no single client can be read at character {at}; set SANITIZE_SET")
        found.setdefault(match[1].lower(), []).append(match[2] if match[2] is not None else match[3])
        at = match.end()
    certificates, hashes = found.get("cert", []), found.get("hash", [])
    if len(certificates) != 1 or len(hashes) > 1:
        raise ValueError(f"{len(certificates)} Cert and {len(hashes)} Hash; set_current_client_cert_details: cert")
    der = _escaped_pem(certificates[0])
    if hashes and read_certificate(der).thumbprint != _thumbprint(hashes[0]):
        raise ValueError("Cert and Hash are of different certificates")
    return der


def _thumbprint(hexadecimal: str) -> str:
    return urlsafe_b64encode(bytes.fromhex(hexadecimal)).rstrip(b"=").decode()


FORMATS: dict[str, Callable[[str], bytes]] = {
    "client-cert": _client_cert,
    XFCC: _envoy,
    ESCAPED_PEM: _escaped_pem,
}
