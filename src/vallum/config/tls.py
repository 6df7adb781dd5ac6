"""Reads the files of `listen.tls` and `client_certificate`, and finds what is wrong with them.

Rule: what a gateway runs on is read and judged here, by `vallum check` as by a running gateway, and is used whole or
not at all: a context is never changed once it is in use.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from vallum.codecs.certificate import Revocations, read_revocations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from vallum.codecs.certificate import RevocationList
    from vallum.config.model import Config
    from vallum.config.model.doors import ClientCertificateConfig, TlsConfig
    from vallum.config.source import Place

AUTH = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
VERSIONS = {1.2: ssl.TLSVersion.TLSv1_2, 1.3: ssl.TLSVersion.TLSv1_3}
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2: forward secret and authenticated; 1.3 has no others
BESIDE = "paths are relative to the policy file"


class Flaw(NamedTuple):
    """Something wrong with a file, and the key that names it."""

    place: Place
    message: str
    hint: str = ""


class MaterialError(Exception):
    """Certificates, keys or revocation lists that cannot be used together; `flaws` are all that was found."""

    def __init__(self, flaws: list[Flaw]) -> None:
        """Carry every flaw."""
        self.flaws = flaws
        super().__init__("; ".join(f"{'.'.join(map(str, flaw.place))}: {flaw.message}" for flaw in flaws))


class Material(NamedTuple):
    """What connections are made and certificates judged with, until a file changes."""

    context: ssl.SSLContext | None = None  # None: no TLS here
    authorities: frozenset[bytes] = frozenset()  # whose certificates the context believes, DER
    revocations: Revocations = Revocations()
    not_after: tuple[tuple[str, float], ...] = ()  # a file's key, and when its content goes out of date


def material_files(config: Config, resolve: Callable[[str], Path]) -> list[Path]:
    """Return the paths of all files that `read_material` reads."""
    tls, header = config.listen.tls, config.client_certificate
    names = [] if tls is None else [tls.cert, tls.key, tls.client_ca, tls.crl]
    names += [] if header is None else [header.client_ca, header.crl]
    return [resolve(name) for name in names if name is not None]


def read_material(config: Config, resolve: Callable[[str], Path], now: float = 0.0) -> Material:
    """Read everything.  Raise MaterialError with every flaw; with `now`, Unix seconds, what has expired is one."""
    reader = _Reader(resolve, now)
    tls, header = config.listen.tls, config.client_certificate
    context, authorities, lists = None, list[x509.Certificate](), list["RevocationList"]()
    if tls is not None:
        at: Place = ("listen", "tls")
        authorities, lists = reader.trust(tls, at)
        context = reader.context(tls, at, authorities)
    if header is not None:
        lists = [*lists, *reader.trust(header, ("client_certificate",))[1]]
    if reader.flaws:
        raise MaterialError(reader.flaws)
    return Material(
        context,
        frozenset(authority.public_bytes(Encoding.DER) for authority in authorities),
        Revocations(lists),
        tuple(reader.not_after),
    )


class _Reader:
    def __init__(self, resolve: Callable[[str], Path], now: float) -> None:
        self._resolve = resolve
        self._now = now
        self.flaws: list[Flaw] = []
        self.not_after: list[tuple[str, float]] = []

    def trust(
        self, settings: TlsConfig | ClientCertificateConfig, at: Place
    ) -> tuple[list[x509.Certificate], list[RevocationList]]:
        """Read authorities and what they revoked."""
        authorities: list[x509.Certificate] = []
        if settings.client_ca is not None:
            authorities = self._certificates(settings.client_ca, (*at, "client_ca"))
        if settings.crl is None:
            return authorities, []
        place = (*at, "crl")
        if settings.client_ca is None:
            self._note(place, "a revocation list without client_ca", "name the authority that signs it")
            return authorities, []
        data = self._bytes(settings.crl, place)
        if data is None or not authorities:
            return authorities, []
        try:
            lists = read_revocations(data, authorities)
        except ValueError as error:
            self._note(place, f"{settings.crl} cannot be used: {error}")
            return authorities, []
        for held in lists:
            self._date(place, f"{settings.crl}: the list of {held.issuer}", held.next_update)
        return authorities, lists

    def context(self, tls: TlsConfig, at: Place, authorities: list[x509.Certificate]) -> ssl.SSLContext | None:
        """Make the context of new connections, or None after noting why not."""
        if tls.client_auth != "none" and tls.client_ca is None:
            self._note((*at, "client_auth"), f"{tls.client_auth}, but by whose certificates?", "name a client_ca")
        chain = self._certificates(tls.cert, (*at, "cert"))
        key = self._public_key(tls.key, (*at, "key"))
        if chain:
            self._date((*at, "cert"), tls.cert, chain[0].not_valid_after_utc.timestamp())
        if chain and key is not None and key != _public_bytes(chain[0].public_key()):
            others = any(key == _public_bytes(other.public_key()) for other in chain[1:])
            hint = f"the gateway's own certificate stands first in {tls.cert}" if others else "they are made together"
            self._note((*at, "key"), f"{tls.key} is not the key of {tls.cert}", hint)
        if self.flaws:
            return None
        try:
            return self._build(tls, authorities)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError: what OpenSSL itself will not have
            self._note((*at, "cert"), f"{tls.cert} and {tls.key} cannot be used: {error}")
            return None

    def _build(self, tls: TlsConfig, authorities: list[x509.Certificate]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = VERSIONS[tls.min_version]
        context.set_ciphers(CIPHERS)
        # A resumed session is not verified again, so there are no tickets.  What TLS 1.2 remembers without them dies
        # with this context, and so with the revocation list and the authorities that it was verified by.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._resolve(tls.cert), self._resolve(tls.key), password=_no_passphrase)
        context.verify_mode = AUTH[tls.client_auth]
        if authorities:
            # What is listed is believed, an intermediate authority too, and nothing above it.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.load_verify_locations(
                cadata="".join(authority.public_bytes(Encoding.PEM).decode() for authority in authorities)
            )
        if tls.client_auth == "required" and tls.crl is not None:
            # Loaded before the flag is set: the flag without a list refuses everybody.
            context.load_verify_locations(cafile=self._resolve(tls.crl))
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        return context

    def _certificates(self, name: str, place: Place) -> list[x509.Certificate]:
        data = self._bytes(name, place)
        if data is None:
            return []
        try:
            return x509.load_pem_x509_certificates(data)
        except (ValueError, x509.InvalidVersion):
            self._note(place, f"{name} holds no certificates in PEM", "it begins with -----BEGIN CERTIFICATE-----")
            return []

    def _public_key(self, name: str, place: Place) -> bytes | None:
        data = self._bytes(name, place)
        if data is None:
            return None
        try:
            return _public_bytes(load_pem_private_key(data, None).public_key())
        except TypeError:
            self._note(place, f"{name} is encrypted", "write the key without a passphrase, readable by its owner alone")
        except ValueError:  # its words are not repeated: they may quote the key
            self._note(place, f"{name} holds no private key in PEM")
        return None

    def _bytes(self, name: str, place: Place) -> bytes | None:
        try:
            return self._resolve(name).read_bytes()
        except OSError as error:
            self._note(place, f"{name} cannot be read: {error.strerror}", BESIDE)
            return None

    def _date(self, place: Place, what: str, not_after: float) -> None:
        self.not_after.append((".".join(map(str, place)), not_after))
        if not_after <= self._now:
            self._note(place, f"{what} held until {datetime.fromtimestamp(not_after, UTC):%Y-%m-%d %H:%M} UTC")

    def _note(self, place: Place, message: str, hint: str = "") -> None:
        self.flaws.append(Flaw(place, message, hint))


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted")
