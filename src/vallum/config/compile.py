"""Compiles a config into a policy, once, and finds what the structs alone could not: names that lead nowhere.

Policies are immutable and swapped whole: whatever can be decided when the file is read is decided here.
"""

from __future__ import annotations

from functools import lru_cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vallum.authenticators.anonymous import Anonymous, AnonymousConfig
from vallum.authenticators.api_key import ApiKey, ApiKeyConfig
from vallum.authenticators.minted import Minted, MintedConfig
from vallum.authenticators.mtls import Mtls, MtlsConfig
from vallum.authenticators.oauth2 import OAuth2, OAuth2Config
from vallum.config.decode import decode
from vallum.config.doors import check_doors
from vallum.config.extraction import build_extraction
from vallum.config.faults import Faults
from vallum.config.intake import FRAMING, TOKEN, build_factors, build_intake
from vallum.config.limits import (
    build_concurrency,
    build_limits,
    build_output_bound,
    build_priorities,
    build_tariff,
    build_throttle,
    check_tokens,
    check_unit,
)
from vallum.config.model import Config, RouteConfig, UpstreamConfig
from vallum.config.outlet import build_outlet
from vallum.config.own_routes import failures, leak_reports, resource_metadata, token_endpoint
from vallum.config.source import PolicyFileError, Source
from vallum.config.tokens import build_mint, check_issuer, signing_file
from vallum.config.web_acl import build_web_acl, find_web_acl
from vallum.core.policy import Policy, Priority, Retention, Route, Upstream, Vigilance
from vallum.core.target import Pattern, folded
from vallum.leaks.redaction import Redactor
from vallum.leaks.spans import SpanSet
from vallum.mint.keyring import parse_keys
from vallum.mint.tokens import Mint, Verifier
from vallum.presets import PRESETS
from vallum.provers.dpop import Dpop

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.config.source import Place
    from vallum.core.protocols import Authenticator
    from vallum.core.web_acl import WebAcl

NAMES_REMEMBERED = 64  # sets of names that answers were relieved of, which are masked once

# config struct -> the plug-in it configures.  A plug-in is one file; this is where it is hung up.
AUTHENTICATORS: dict[type, Callable[[str, Any], Authenticator]] = {
    AnonymousConfig: Anonymous,
    ApiKeyConfig: ApiKey,
    OAuth2Config: OAuth2,
    MtlsConfig: Mtls,
}  # and Minted, which needs the mint


def load_policy(source: Source, now: float = 0.0, *, certificates: bool = True) -> tuple[Config, Policy]:
    """Decode and compile a source.  Raise PolicyFileError with every fault in it.

    With `now`, Unix seconds, a certificate that has expired is a fault.  Without `certificates` the files of TLS are
    not read: a running gateway watches them apart, so that neither they nor the policy wait for the other to hold.
    """
    config = decode(source, Config)
    if config is None:
        raise PolicyFileError(source.path, source.faults)
    policy = _Compiler(source, config).policy(now if certificates else None)
    if source.faults:
        raise PolicyFileError(source.path, source.faults)
    return config, policy


def check_url(text: str) -> None:
    """Raise ValueError that shows how to write an upstream's address, unless `text` is one."""
    try:
        url = urlsplit(text)
        good = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0 and not url.query
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{text!r} is no upstream; write it as http://host:port or https://host:port/base")


class _Compiler:
    def __init__(self, source: Source, config: Config) -> None:
        self._faults = Faults(source)
        self._config = config
        self._upstreams: dict[str, Upstream] = {}
        self._authenticators: dict[str, Authenticator] = {}
        self._web_acls: dict[str, WebAcl] = {}
        self._throttle = build_throttle(config.throttle)

    def policy(self, now: float | None) -> Policy:
        config = self._config
        faults = self._faults
        check_doors(faults, config, now)
        for name, upstream in config.upstreams.items():
            self._upstreams[name] = self._upstream(name, upstream)
        for name, acl in config.web_acls.items():
            self._web_acls[name] = build_web_acl(faults, name, acl, ("web_acls", name))
        mint = self._mint()
        for name, settings in config.authenticators.items():
            if not isinstance(settings, MintedConfig):
                self._authenticators[name] = AUTHENTICATORS[type(settings)](name, settings)
            elif mint is not None:
                self._authenticators[name] = Minted(name, Verifier(mint))
            else:
                faults.note(("authenticators", name), "nothing mints tokens here", "add a section tokens")
        routes = [self._route(route, ("routes", index)) for index, route in enumerate(config.routes)]
        self._find_twins(routes)
        self._find_strangers(routes)
        prover = Dpop(config.dpop)
        routes = [*self._own_routes(routes, mint, prover), *routes]
        digest = sha256(faults.source.text + b"".join(faults.files_read)).hexdigest()[:12]
        priorities = build_priorities(config.priorities)
        return Policy(tuple(routes), self._upstreams, digest, prover, priorities, self._throttle, self._retention())

    def _retention(self) -> Retention:
        kept = self._config.records.upstream_failures
        at = ("records", "upstream_failures", "patterns")
        for index, pattern in enumerate(kept.patterns):
            self._faults.attempt((*at, index), SpanSet, [pattern])
        if self._faults.source.faults:
            return Retention()
        redact = Redactor(kept.redact, kept.patterns)
        return Retention(kept.max_bytes, redact, lru_cache(NAMES_REMEMBERED)(redact))

    def _upstream(self, name: str, upstream: UpstreamConfig) -> Upstream:
        faults = self._faults
        faults.attempt(("upstreams", name, "url"), check_url, upstream.url)
        headers = tuple((field.lower(), value) for field, value in upstream.headers.items())
        for field, value in headers:
            if field in FRAMING or not TOKEN.fullmatch(field) or not value.isprintable():
                faults.note(("upstreams", name, "headers", field), f"{field!r} cannot be set here")
        return Upstream(name, upstream.url, upstream.timeout_s, headers, build_concurrency(upstream.concurrency))

    def _own_routes(self, routes: list[Route], mint: Mint | None, prover: Dpop) -> list[Route]:
        """Return what the gateway answers itself: before the file's routes, so that no wider one takes it."""
        faults, config = self._faults, self._config
        own: list[Route] = []
        if mint is not None:
            keys = {name: found for name, found in self._authenticators.items() if isinstance(found, ApiKey)}
            own += token_endpoint(faults, config, keys, mint, prover, vigilance=self._vigilance())
        if config.leak_reports is not None:
            own.append(leak_reports(faults, config, config.leak_reports, {route.name for route in routes}))
        if config.failures is not None:
            own.append(
                failures(faults, config, config.failures, self._authenticators, {route.name for route in routes})
            )
        return own + resource_metadata(routes)

    def _mint(self) -> Mint | None:
        """Return who mints tokens, if anybody does."""
        settings = self._config.tokens
        if settings is None:
            return None
        self._faults.attempt(("tokens", "issuer"), check_issuer, settings.issuer)
        if settings.key is not None:
            self._faults.attempt(("tokens", "key"), parse_keys, settings.key)
        else:
            # A rotation is seen as a changed policy is.
            self._faults.source.files.append(signing_file(self._config.registry))
        return build_mint(settings, self._config.registry)

    def _vigilance(self) -> Vigilance | None:
        theft = self._config.theft
        if theft is None:
            return None
        return Vigilance(theft.mode, theft.tighten_at, theft.tighten_to, theft.step_up_at)

    def _route(self, route: RouteConfig, place: Place) -> Route:
        faults = self._faults
        authenticators = [
            faults.find(self._authenticators, name, "authenticator", (*place, "auth", "any_of", index))
            for index, name in enumerate(route.auth.any_of)
        ]
        upstream = self._faults.find(self._upstreams, route.upstream, "upstream", (*place, "upstream"))
        match = (*place, "match")
        pattern = self._faults.attempt((*match, "path"), Pattern.parse, route.match.path)
        exclude = [
            self._faults.attempt((*match, "exclude", index), Pattern.parse, folded(text))
            for index, text in enumerate(route.match.exclude)
        ]
        tariff = build_tariff(route, self._config.upstreams.get(route.upstream))
        limits = build_limits(faults, route.quotas, (*place, "quotas"), partial(check_unit, faults, route, tariff))
        check_tokens(faults, route, place)
        preset = PRESETS[route.preset]
        if route.preset_version not in (None, preset.version):
            faults.note(
                (*place, "preset_version"), f"{preset.name} is at version {preset.version}", "see docs/presets.md"
            )
        intake = build_intake(faults, route, place)
        return Route(
            name=route.name,
            methods=frozenset(route.match.methods),
            pattern=pattern or Pattern("", None),
            upstream=upstream or Upstream("", ""),
            authenticators=tuple(filter(None, authenticators)),
            scopes=frozenset(route.auth.scopes),
            limits=limits,
            intake=intake,
            outlet=build_outlet(faults, route, place),
            mode=route.mode,
            on_error=route.on_error,
            error_format=preset.error_format,
            exclude=tuple(filter(None, exclude)),
            bound=route.auth.bound is not None,
            vigilance=self._vigilance(),
            throttle=self._throttle,
            priority=Priority[route.priority.upper()],
            tariff=tariff,
            factors=build_factors(intake, route.preset),
            meter=preset.meter,
            output_bound=build_output_bound(route, limits),
            on_overrun=route.response.on_overrun,
            shows_quotas=route.response.quota_headers == "show",
            extraction=build_extraction(faults, route, place),
            web_acl=find_web_acl(faults, self._web_acls, route, place),
        )

    def _find_strangers(self, routes: list[Route]) -> None:
        """Find routes to one model that would have it watched in different ways."""
        first: dict[str, int] = {}
        for index, route in enumerate(routes):
            if route.extraction is None:
                continue
            earlier = first.setdefault(route.extraction.model, index)
            same = self._config.routes[earlier].extraction == self._config.routes[index].extraction
            other = routes[earlier].extraction
            if other is not None and (other.kind != route.extraction.kind or not same):
                message = f"{routes[earlier].name!r} has the same model watched in another way"
                self._faults.note(("routes", index, "extraction"), message, "say the same there, or another model")

    def _find_twins(self, routes: list[Route]) -> None:
        seen: dict[str, int] = {}
        for index, route in enumerate(routes):
            if route.name in seen:
                self._faults.note(("routes", index, "name"), f"two routes are called {route.name!r}")
            seen[route.name] = index
            for earlier in routes[:index]:
                if earlier.pattern == route.pattern and route.methods <= earlier.methods and not earlier.exclude:
                    self._faults.note(("routes", index, "match"), f"never reached: {earlier.name!r} takes all of it")
                    break
