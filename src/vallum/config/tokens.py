"""Turns the section `tokens` into an issuer and the three routes that the gateway answers itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vallum.authenticators.anonymous import Anonymous, AnonymousConfig
from vallum.codecs.form import FORM, Form
from vallum.core.policy import Intake, Limit, Route, Upstream, Vigilance
from vallum.core.problem import ErrorFormat
from vallum.core.target import Pattern
from vallum.mint.exchange import Exchanger
from vallum.mint.keyring import KeyRing, create_file
from vallum.mint.metadata import JWKS_PATH, Document, PublicKeys, describe_issuer, metadata_path
from vallum.mint.tokens import Mint

if TYPE_CHECKING:
    from vallum.config.model import Config, TokensConfig
    from vallum.core.protocols import Authenticator, Responder
    from vallum.provers.dpop import Dpop

HERE = Upstream("the gateway", "")
RESERVED = frozenset({"token-exchange", "token-keys", "token-metadata"})
BODY_MAX_BYTES = 16_384


def check_issuer(url: str) -> None:
    """Raise ValueError unless `url` can name an issuer (RFC 8414 2)."""
    split = urlsplit(url)
    schemes = {"https", "http"} if split.hostname in ("127.0.0.1", "::1", "localhost") else {"https"}
    if not split.hostname or split.query or split.fragment or split.scheme not in schemes:
        raise ValueError(f"{url!r} cannot name an issuer; write it as https://host or https://host/path")


def signing_file(registry: str) -> Path:
    """Return where the signing key is when the policy names none: beside the registry, or here."""
    path = registry.removeprefix("sqlite:///")
    return Path(path if path != registry else "vallum.db").absolute().with_suffix(".signing.pem")


def create_signing_key(config: Config) -> None:
    """Make the key that tokens are signed with, where the policy names none.  Raises DependencyError."""
    if config.tokens is not None and config.tokens.key is None:
        create_file(signing_file(config.registry))


def build_mint(settings: TokensConfig, registry: str) -> Mint:
    """Return who mints; its key is read when it is first needed."""
    text, path = settings.key, signing_file(registry)
    ring = KeyRing(lambda: path.read_text() if text is None else text)
    audience = settings.audience or settings.issuer
    return Mint(settings.issuer, audience, frozenset({audience, *settings.audiences}), settings.lifetime_s, ring)


def token_routes(
    mint: Mint,
    pattern: Pattern,
    keys: tuple[Authenticator, ...],
    prover: Dpop,
    *,
    limits: tuple[Limit, ...],
    vigilance: Vigilance | None,
) -> list[Route]:
    """Return the routes of the token endpoint, its public keys and its metadata."""
    described = describe_issuer(mint.url, pattern.text, prover.algorithms)
    open_to_all = Anonymous("anybody", AnonymousConfig())
    exchange = Route(
        name="token-exchange",
        methods=frozenset({"POST"}),
        pattern=pattern,
        upstream=HERE,
        authenticators=(*keys, open_to_all),  # a key may come as the subject token: the responder sees to it
        limits=limits,
        intake=Intake(max_bytes=BODY_MAX_BYTES, codecs=dict.fromkeys(FORM, Form())),
        error_format=ErrorFormat.OAUTH,
        responder=Exchanger(mint, keys, prover),
        vigilance=vigilance,
    )

    def shown(name: str, path: str, responder: Responder) -> Route:
        return Route(
            name=name,
            methods=frozenset({"GET", "HEAD"}),
            pattern=Pattern.parse(path),
            upstream=HERE,
            authenticators=(open_to_all,),
            intake=Intake(max_bytes=1),
            responder=responder,
        )

    return [
        exchange,
        shown("token-keys", JWKS_PATH, PublicKeys(mint.ring)),
        shown("token-metadata", metadata_path(mint.url), Document(described)),
    ]
