"""Finds what is wrong with a policy's doors and stores: addresses, certificates, counters, registry."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vallum.authenticators.mtls import MtlsConfig
from vallum.config.tls import MaterialError, read_material
from vallum.core.address import parse_networks, split_address
from vallum.stores.redis.address import Address

if TYPE_CHECKING:
    from vallum.config.faults import Faults
    from vallum.config.model import Config


def check_doors(faults: Faults, config: Config, now: float | None) -> None:
    """Note what is wrong; read the files of TLS where there is a `now`, Unix seconds, to hold them against."""
    faults.attempt(("listen", "address"), split_address, config.listen.address)
    if config.admin is not None:
        faults.attempt(("admin", "address"), split_address, config.admin.address)
    if config.listen.public_url is not None:
        faults.attempt(("listen", "public_url"), check_origin, config.listen.public_url)
    faults.attempt(("trusted_proxies",), parse_networks, config.trusted_proxies)
    faults.attempt(("registry",), check_registry, config.registry)
    _check_counters(faults, config)
    if now is not None:
        _read_certificates(faults, config, now)
    _find_certificates(faults, config)


def _check_counters(faults: Faults, config: Config) -> None:
    if config.counters == "memory://":
        if config.workers > 1:
            hint = "write counters: embedded://, or redis://host:6379/0 to share them with other nodes"
            faults.note(("counters",), f"{config.workers} workers cannot share counters in memory", hint)
    elif config.counters not in (None, "embedded://"):
        faults.attempt(("counters",), Address.parse, config.counters)


def _read_certificates(faults: Faults, config: Config, now: float) -> None:
    try:
        read_material(config, faults.source.path.parent.joinpath, now)
    except MaterialError as error:
        for flaw in error.flaws:
            faults.note(flaw.place, flaw.message, flaw.hint)


def _find_certificates(faults: Faults, config: Config) -> None:
    """See that who needs clients' certificates has a source of them."""
    if config.client_certificate is not None and not config.trusted_proxies:
        faults.note(("client_certificate",), "believed from nobody", "list the proxy's address in trusted_proxies")
    tls = config.listen.tls
    if config.client_certificate is None and (tls is None or tls.client_auth == "none"):
        for name, settings in config.authenticators.items():
            if isinstance(settings, MtlsConfig):
                hint = "set listen.tls.client_auth, or client_certificate behind a proxy"
                faults.note(("authenticators", name), "nothing here asks clients for a certificate", hint)


def check_origin(text: str) -> None:
    """Raise ValueError that shows how to write what callers call, unless `text` is that."""
    try:
        url = urlsplit(text)
        good = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0 and url.username is None
    except ValueError:
        good = False
    if not good or text != f"{url.scheme}://{url.netloc}":
        raise ValueError(f"{text!r} is no origin; write it as https://host or https://host:port")


def check_registry(text: str) -> None:
    """Raise ValueError unless `text` is the address of a registry.  Never quotes it: there may be a password in it."""
    try:
        url = urlsplit(text)
        good = len(url.path) > 1 and url.port != 0 and (url.scheme == "sqlite" or bool(url.hostname or url.query))
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            "no registry; write it as sqlite:///file or postgresql://user:password@host:5432/database, "
            "with %40 for an @ and %2F for a / in the password"
        )
