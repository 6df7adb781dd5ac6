"""Client certificates: the subject is a name that an authority vouched for.

What it stops
    Callers without a certificate that the configured authority issued and that holds now: an expired or revoked one is
    refused with the next request, on a live connection too.
Config
    `subject`: which kind of subject alternative name says who is calling: `san_dns`, `san_uri` or `san_email`; the
    common name is never read.  `allow`: patterns of names to take, all by default; `*` stands for one part of a name,
    between dots, slashes, or at signs.  `trust_domain`: takes SPIFFE ids of this domain alone.  `scopes` and `tenant`:
    what the callers get.  Two authenticators with different `allow` give different callers different scopes.
    The certificate itself comes from `listen.tls` or, behind a proxy, from `client_certificate`.
Cost
    About 1 us a request; a certificate is parsed once a connection, and a handshake with one costs about 1 ms.
Misses
    A certificate whose private key was copied works until it is revoked or expires.  A certificate with several names
    of the kind, of which `allow` does not single out one, is refused: which caller it is would be a guess.
Example
    authenticators:
      certs: {type: mtls, subject: san_dns, allow: ["*.clients.example"], scopes: ["predict:read"]}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from vallum.core.decision import Challenge
from vallum.core.principal import Confirmation, Principal

if TYPE_CHECKING:
    from vallum.core.effects import Steps
    from vallum.core.exchange import Certificate, Request

SEPARATORS = {"san_dns": ".", "san_uri": "/", "san_email": "@"}
NAME = re.compile(r"[!-~]{1,512}")  # printable ASCII: names stand in records and in the names of buckets
# The SPIFFE ID standard, 2: a trust domain in lower case, and segments that are not empty and not relative.
TRUST_DOMAIN = r"^[a-z0-9._-]{1,255}$"
SCOPE = r"^[\x21\x23-\x5b\x5d-\x7e]+$"  # RFC 6749 3.3
SPIFFE_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)+")
KNOWN_MAX = 4096  # certificates whose caller is remembered
ID_CHARS = 16  # of the thumbprint, 96 bits: enough that no two certificates share a public id


class MtlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="mtls"):
    """Certificates of clients."""

    subject: Annotated[
        Literal["san_dns", "san_uri", "san_email"], Meta(description="kind of the name that says who is calling")
    ]
    allow: Annotated[list[str], Meta(description="names to take; `*` for one part; all names by default")] = []
    trust_domain: (
        Annotated[str, Meta(description="take SPIFFE ids of this trust domain", pattern=TRUST_DOMAIN)] | None
    ) = None
    scopes: Annotated[
        list[Annotated[str, Meta(pattern=SCOPE)]], Meta(description="scopes that these callers have")
    ] = []
    tenant: Annotated[str | None, Meta(description="tenant that these callers belong to")] = None

    def __post_init__(self) -> None:
        """Hold that a trust domain is asked of names that can have one."""
        if self.trust_domain is not None and self.subject != "san_uri":
            raise ValueError("trust_domain goes with subject: san_uri")


class Mtls:
    """Takes the verified certificate of a request for its credential."""

    type: ClassVar[str] = "mtls"
    # RFC 9110 15.5.2 asks for a challenge.  No scheme is registered for certificates: this names what is missing.
    challenge: ClassVar[str] = "Certificate"

    def __init__(self, name: str, config: MtlsConfig) -> None:
        """Take the name that records show."""
        self._name = name
        self._kind = config.subject
        self._prefix = None if config.trust_domain is None else f"spiffe://{config.trust_domain}"
        self._allow = [_compile(pattern, config.subject) for pattern in config.allow]
        self._scopes = frozenset(config.scopes)
        self._tenant = config.tenant
        self._known: dict[Certificate, Principal | Challenge | None] = {}

    def authenticate(self, request: Request) -> Steps[Principal | Challenge | None]:
        """Return the certificate's principal; None without one, or for one whose names are not taken here."""
        yield from ()
        certificate = request.certificate
        if certificate is None:
            return self._refuse(request.certificate_fault) if request.certificate_fault else None
        if certificate not in self._known:  # what follows from its names never changes
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[certificate] = self._judge(certificate)
        return self._known[certificate]

    def _judge(self, certificate: Certificate) -> Principal | Challenge | None:
        names = {name for text in self._names(certificate) if self._takes(name := _plain(text, self._kind))}
        if not names:
            return None
        if len(names) > 1:
            return self._refuse(f"has {len(names)} names of the kind {self._kind}: ambiguous")
        thumbprint = certificate.thumbprint
        return Principal(
            names.pop(),
            self._tenant,
            self._scopes,
            f"cert_{thumbprint[:ID_CHARS]}",
            self._name,
            Confirmation(certificate=thumbprint),
        )

    def _names(self, certificate: Certificate) -> tuple[str, ...]:
        if self._kind == "san_dns":
            return certificate.dns
        if self._kind == "san_email":
            return certificate.emails
        # X.509-SVID 2: a SPIFFE certificate has exactly one URI, whatever the others say.
        return certificate.uris if self._prefix is None or len(certificate.uris) == 1 else ()

    def _takes(self, name: str) -> bool:
        if not NAME.fullmatch(name) or (self._kind == "san_dns" and "*" in name):  # a wildcard is nobody's name
            return False
        if self._prefix is not None:
            path = name.removeprefix(self._prefix)
            if path == name or not SPIFFE_PATH.fullmatch(path):
                return False
        return not self._allow or any(pattern.fullmatch(name) for pattern in self._allow)

    def _refuse(self, fault: str) -> Challenge:
        # One answer for every certificate that does not hold, and for none: what is wrong stays in the record.
        return Challenge(self.challenge, f"authenticate:{self._name}", f"the certificate {fault}")


def _compile(pattern: str, kind: str) -> re.Pattern[str]:
    part = f"[^{re.escape(SEPARATORS[kind])}]+"
    return re.compile(part.join(re.escape(text) for text in _plain(pattern, kind).split("*")))


def _plain(name: str, kind: str) -> str:
    """Write a name in lower case as far as its kind has none."""
    if kind == "san_email":
        local, at, domain = name.rpartition("@")  # RFC 5321 2.4: the local part is its host's to read
        return f"{local}{at}{domain.lower()}"
    return name.lower() if kind == "san_dns" else name
