"""Compiles a config into a policy, once, and finds what the structs alone could not: names that lead nowhere.

Policies are immutable and swapped whole: whatever can be decided when the file is read is decided here.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import msgspec

from vallum.authenticators.anonymous import Anonymous, AnonymousConfig
from vallum.authenticators.api_key import ApiKey, ApiKeyConfig
from vallum.authenticators.minted import Minted, MintedConfig
from vallum.authenticators.mtls import Mtls, MtlsConfig
from vallum.authenticators.oauth2 import OAuth2, OAuth2Config
from vallum.authenticators.oauth2.metadata import ResourceMetadata, metadata_path
from vallum.checks.prompt_injection import PromptInjection, PromptInjectionConfig
from vallum.checks.sanitise import Sanitise
from vallum.checks.schema import Schema, SchemaError
from vallum.checks.sqli import Sqli, SqliConfig
from vallum.codecs.json import MEDIA_TYPES, AnswerJson, Json
from vallum.config.decode import decode
from vallum.config.model import (
    BlockConfig,
    ConcurrencyConfig,
    Config,
    PriceConfig,
    PrioritiesConfig,
    QuotaConfig,
    RouteConfig,
    ThrottleConfig,
)
from vallum.config.quotas import QuotaError, build_quota
from vallum.config.source import PolicyFileError, Source
from vallum.config.tls import MaterialError, read_material
from vallum.config.tokens import RESERVED, build_mint, check_issuer, signing_file, token_routes
from vallum.core.address import parse_networks, split_address
from vallum.core.answer import HOP_BY_HOP
from vallum.core.cost import COST_FIELDS, MILLION, OF_TOKENS, OutputBound, Price, Tariff
from vallum.core.fieldpath import parse_path
from vallum.core.policy import (
    Concurrency,
    Guard,
    Intake,
    Limit,
    OnOverrun,
    Outlet,
    Policy,
    Priorities,
    Priority,
    Route,
    Throttle,
    Upstream,
    Vigilance,
)
from vallum.core.problem import ErrorFormat
from vallum.core.quota import Per, Quota
from vallum.core.target import Pattern, folded
from vallum.mint.keyring import parse_keys
from vallum.mint.tokens import Mint, Verifier
from vallum.presets.openai import METERS
from vallum.provers.dpop import Dpop
from vallum.responders.leak_reports import BODY_MAX_BYTES, LeakReports, read_public_keys
from vallum.stores.redis.address import Address
from vallum.transforms.confidence import Confidence
from vallum.transforms.drop_fields import DropFields
from vallum.transforms.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from vallum.config.source import Place
    from vallum.core.protocols import Authenticator, Transform
    from vallum.responders.leak_reports import LeakReportsConfig

P = ParamSpec("P")
T = TypeVar("T")

# config struct -> the plug-in it configures.  A plug-in is one file; this is where it is hung up.
AUTHENTICATORS: dict[type, Callable[[str, Any], Authenticator]] = {
    AnonymousConfig: Anonymous,
    ApiKeyConfig: ApiKey,
    OAuth2Config: OAuth2,
    MtlsConfig: Mtls,
}  # and Minted, which needs the mint
CHECKS: dict[type, Callable[[Any], Any]] = {PromptInjectionConfig: PromptInjection, SqliConfig: Sqli}

# Fields that reach the upstream, and that leave, unless the route says otherwise.  Nothing here tells who or what
# stands behind the gateway.
REQUEST_HEADERS = frozenset("accept accept-language content-type traceparent tracestate".split())
RESPONSE_HEADERS = frozenset(
    "cache-control content-disposition content-encoding content-language content-type etag last-modified".split()
)
# What the adapters write themselves, and what belongs to one connection.
FRAMING = HOP_BY_HOP | {"accept-encoding", "expect", "host", "x-request-id"}
NEVER_FORWARDED = FRAMING | {"authorization", "cookie", "dpop", "forwarded", "x-api-key", "x-forwarded-for"}
NEVER_ANSWERED = frozenset(
    [*HOP_BY_HOP, *COST_FIELDS, "dpop-nonce", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate"]
) | {"x-request-id"}
# How proxies begin the names of fields about a client's certificate: to an upstream these would be a claim.
CERTIFICATE_HEADERS = (
    "client-cert",
    "x-client-cert",
    "x-forwarded-client-cert",
    "x-ssl-c",
    "ssl-client",
    "x-amzn-mtls",
)
TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 5.6.2, in lower case


# Patterns take a second to compile, and a reload rarely changes them: checks are pure, so they can be kept.
CHECKS_KEPT = 64
_built: dict[bytes, Any] = {}


def build_check(config: Any) -> Any:
    """Build the check that `config` describes, or return the one built before from an equal config."""
    key = type(config).__name__.encode() + msgspec.json.encode(config)
    if key not in _built:
        if len(_built) >= CHECKS_KEPT:
            _built.clear()
        _built[key] = CHECKS[type(config)](config)
    return _built[key]


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


def check_origin(text: str) -> None:
    """Raise ValueError that shows how to write what callers call, unless `text` is that."""
    try:
        url = urlsplit(text)
        good = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0 and url.username is None
    except ValueError:
        good = False
    if not good or text != f"{url.scheme}://{url.netloc}":
        raise ValueError(f"{text!r} is no origin; write it as https://host or https://host:port")


def check_url(text: str) -> None:
    """Raise ValueError that shows how to write an upstream's address, unless `text` is one."""
    try:
        url = urlsplit(text)
        good = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0 and not url.query
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{text!r} is no upstream; write it as http://host:port or https://host:port/base")


TOKENS_ARE = f"they are in {', '.join(METERS)}"


def _concurrency(config: ConcurrencyConfig | None) -> Concurrency | None:
    if config is None:
        return None
    streams_only = config.signal == "streams"
    return Concurrency(
        config.max, config.min, config.target_ttfb_s, config.room, config.wait_s, streams_only, config.mode
    )


def _throttle(config: ThrottleConfig) -> Throttle:
    block = config.block or BlockConfig()
    block_s = None if config.block is None else block.for_s
    return Throttle(config.mode, config.grace, config.half_life_s, config.floor, block_s, block.at)


def _priorities(config: PrioritiesConfig) -> Priorities:
    subjects, tenants = (
        {name: Priority[value.upper()] for name, value in given.items()} for given in (config.subjects, config.tenants)
    )
    return Priorities(subjects, tenants)


def _in_millionths(price: PriceConfig) -> Price:
    return Price(
        round(price.per_call * MILLION),
        round(price.per_million_input_tokens * MILLION),
        round(price.per_million_output_tokens * MILLION),
    )


def _output_bound(route: RouteConfig, limits: tuple[Limit, ...]) -> OutputBound | None:
    """Return the bound on an answer's tokens, where the policy sets one or a quota has to know it."""
    most = route.request.max_output_tokens
    if most is not None:
        return OutputBound(most, most)
    counts = route.preset in METERS and any(limit.quota.unit in OF_TOKENS for limit in limits)
    return OutputBound() if counts else None


def resource_metadata(routes: Sequence[Route]) -> list[Route]:
    """Return a route that tells of each resource which issuers and scopes it asks for (RFC 9728 3)."""
    issuers: dict[str, set[str]] = {}
    scopes: dict[str, set[str]] = {}
    for route in routes:
        for authenticator in route.authenticators:
            if isinstance(authenticator, OAuth2) and authenticator.resource is not None:
                issuers.setdefault(authenticator.resource, set()).add(authenticator.issuer.url)
                scopes.setdefault(authenticator.resource, set()).update(route.scopes)
    return [
        Route(
            name=pattern.text[1:],  # with a slash, as no route of the file can be called
            methods=frozenset({"GET", "HEAD"}),
            pattern=pattern,
            upstream=Upstream("the gateway", ""),
            authenticators=(Anonymous("anybody", AnonymousConfig()),),
            intake=Intake(max_bytes=0),
            responder=ResourceMetadata(resource, issuers[resource], scopes[resource]),
        )
        for resource, pattern in ((resource, Pattern.parse(metadata_path(resource))) for resource in issuers)
        if all(route.pattern != pattern for route in routes)  # the file has a document of its own
    ]


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


LEAK_REPORTS = "leak-reports"  # what records and metrics call the route of leak reports


class _Compiler:
    def __init__(self, source: Source, config: Config) -> None:
        self._source = source
        self._config = config
        self._upstreams: dict[str, Upstream] = {}
        self._authenticators: dict[str, Authenticator] = {}
        self._read: dict[str, Any] = {}
        self._throttle = _throttle(config.throttle)

    def policy(self, now: float | None) -> Policy:
        config = self._config
        self._attempt(("listen", "address"), split_address, config.listen.address)
        if config.admin is not None:
            self._attempt(("admin", "address"), split_address, config.admin.address)
        self._counters(config)
        self._attempt(("trusted_proxies",), parse_networks, config.trusted_proxies)
        if now is not None:
            self._read_certificates(now)
        self._find_certificates()
        for name, upstream in config.upstreams.items():
            self._attempt(("upstreams", name, "url"), check_url, upstream.url)
            headers = tuple((field.lower(), value) for field, value in upstream.headers.items())
            for field, value in headers:
                if field in FRAMING or not TOKEN.fullmatch(field) or not value.isprintable():
                    self._note(("upstreams", name, "headers", field), f"{field!r} cannot be set here")
            self._upstreams[name] = Upstream(
                name, upstream.url, upstream.timeout_s, headers, _concurrency(upstream.concurrency)
            )
        prover, mint = Dpop(config.dpop), self._mint()
        for name, settings in config.authenticators.items():
            if not isinstance(settings, MintedConfig):
                self._authenticators[name] = AUTHENTICATORS[type(settings)](name, settings)
            elif mint is not None:
                self._authenticators[name] = Minted(name, Verifier(mint))
            else:
                self._note(("authenticators", name), "nothing mints tokens here", "add a section tokens")
        own = [] if mint is None else self._token_routes(mint, prover)
        self._attempt(("registry",), check_registry, config.registry)
        routes = [self._route(route, ("routes", index)) for index, route in enumerate(config.routes)]
        self._find_twins(routes)
        routes = [*resource_metadata(routes), *routes]  # first, so that no wider route of the file takes them
        if config.leak_reports is not None:
            routes.insert(0, self._leak_reports(config.leak_reports, {route.name for route in routes}))
        digest = sha256(self._source.text + b"".join(self._schema_texts())).hexdigest()[:12]
        return Policy((*own, *routes), self._upstreams, digest, prover, _priorities(config.priorities), self._throttle)

    def _mint(self) -> Mint | None:
        """Return who mints tokens, if anybody does."""
        settings = self._config.tokens
        if settings is None:
            return None
        self._attempt(("tokens", "issuer"), check_issuer, settings.issuer)
        if settings.key is not None:
            self._attempt(("tokens", "key"), parse_keys, settings.key)
        else:
            self._source.files.append(signing_file(self._config.registry))  # a rotation is seen as a changed policy is
        return build_mint(settings, self._config.registry)

    def _token_routes(self, mint: Mint, prover: Dpop) -> list[Route]:
        settings = self._config.tokens
        assert settings is not None
        keys = {name: found for name, found in self._authenticators.items() if isinstance(found, ApiKey)}
        chosen: list[Authenticator | None] = list(keys.values())
        if settings.any_of:
            chosen = [
                self._named(keys, name, "api_key authenticator", ("tokens", "any_of", index))
                for index, name in enumerate(settings.any_of)
            ]
        pattern = self._attempt(("tokens", "path"), Pattern.parse, settings.path)
        for index, route in enumerate(self._config.routes):
            if route.name in RESERVED:
                self._note(("routes", index, "name"), f"{route.name!r} is a route of the gateway's own")
            elif "POST" in route.match.methods and route.match.path == settings.path:
                self._note(("routes", index, "match"), "never reached: tokens.path takes all of it")
        return token_routes(
            mint,
            pattern or Pattern("", None),
            tuple(filter(None, chosen)),
            prover,
            limits=self._limits(settings.quotas, ("tokens", "quotas")),
            vigilance=self._vigilance(),
        )

    def _vigilance(self) -> Vigilance | None:
        theft = self._config.theft
        if theft is None:
            return None
        return Vigilance(theft.mode, theft.tighten_at, theft.tighten_to, theft.step_up_at)

    def _read_certificates(self, now: float) -> None:
        try:
            read_material(self._config, self._source.path.parent.joinpath, now)
        except MaterialError as error:
            for flaw in error.flaws:
                self._note(flaw.place, flaw.message, flaw.hint)

    def _find_certificates(self) -> None:
        """See that who needs clients' certificates has a source of them."""
        config = self._config
        if config.listen.public_url is not None:
            self._attempt(("listen", "public_url"), check_origin, config.listen.public_url)
        if config.client_certificate is not None and not config.trusted_proxies:
            self._note(("client_certificate",), "believed from nobody", "list the proxy's address in trusted_proxies")
        tls = config.listen.tls
        if config.client_certificate is None and (tls is None or tls.client_auth == "none"):
            for name, settings in config.authenticators.items():
                if isinstance(settings, MtlsConfig):
                    hint = "set listen.tls.client_auth, or client_certificate behind a proxy"
                    self._note(("authenticators", name), "nothing here asks clients for a certificate", hint)

    def _counters(self, config: Config) -> None:
        if config.counters == "memory://":
            if config.workers > 1:
                hint = "write counters: embedded://, or redis://host:6379/0 to share them with other nodes"
                self._note(("counters",), f"{config.workers} workers cannot share counters in memory", hint)
        elif config.counters not in (None, "embedded://"):
            self._attempt(("counters",), Address.parse, config.counters)

    def _route(self, route: RouteConfig, place: Place) -> Route:
        names = route.auth.any_of
        authenticators = [
            self._named(self._authenticators, name, "authenticator", (*place, "auth", "any_of", index))
            for index, name in enumerate(names)
        ]
        upstream = self._named(self._upstreams, route.upstream, "upstream", (*place, "upstream"))
        match = (*place, "match")
        pattern = self._attempt((*match, "path"), Pattern.parse, route.match.path)
        exclude = [
            self._attempt((*match, "exclude", index), Pattern.parse, folded(text))
            for index, text in enumerate(route.match.exclude)
        ]
        limits = self._limits(route.quotas, (*place, "quotas"), route)
        self._check_tokens(route, place)
        return Route(
            name=route.name,
            methods=frozenset(route.match.methods),
            pattern=pattern or Pattern("", None),
            upstream=upstream or Upstream("", ""),
            authenticators=tuple(filter(None, authenticators)),
            scopes=frozenset(route.auth.scopes),
            limits=limits,
            intake=self._intake(route, place),
            outlet=self._outlet(route, place),
            mode=route.mode,
            on_error=route.on_error,
            error_format=ErrorFormat.OPENAI if route.preset.startswith("openai.") else None,
            exclude=tuple(filter(None, exclude)),
            bound=route.auth.bound is not None,
            vigilance=self._vigilance(),
            throttle=self._throttle,
            priority=Priority[route.priority.upper()],
            tariff=self._tariff(route),
            meter=METERS.get(route.preset),
            output_bound=_output_bound(route, limits),
            on_overrun=route.response.on_overrun,
            shows_quotas=route.response.quota_headers == "show",
        )

    def _tariff(self, route: RouteConfig) -> Tariff:
        upstream = self._config.upstreams.get(route.upstream)
        price = route.price or (upstream.price if upstream is not None else None)
        return Tariff(route.cost, Price() if price is None else _in_millionths(price), route.response.reserve_bytes)

    def _check_unit(self, route: RouteConfig, quota: Quota, place: Place) -> None:
        """Find a quota in a unit that nothing on this route could count."""
        if quota.unit == "tokens" and route.preset not in METERS:
            self._note(place, f"preset {route.preset!r} has no tokens to count", TOKENS_ARE)
        elif quota.unit == "money" and not any(self._tariff(route).price):
            self._note(place, "a quota of money needs a price", "give the route or its upstream a price")
        elif quota.unit == "requests" and quota.most_at_once(quota.limit) < route.cost:
            self._note(place, f"{quota.name!r} will never let a call of cost {route.cost} through")

    def _check_tokens(self, route: RouteConfig, place: Place) -> None:
        """Find what needs tokens where there are none."""
        if route.preset in METERS:
            return
        price = route.price
        if price is not None and (price.per_million_input_tokens or price.per_million_output_tokens):
            self._note((*place, "price"), f"preset {route.preset!r} has no tokens to price", "give per_call alone")
        if route.request.max_output_tokens is not None:
            at = (*place, "request", "max_output_tokens")
            self._note(at, f"preset {route.preset!r} has no tokens to bound", TOKENS_ARE)
        if route.response.on_overrun is OnOverrun.CUT:
            at = (*place, "response", "on_overrun")
            self._note(at, f"preset {route.preset!r} has no streams that could be cut", TOKENS_ARE)

    def _leak_reports(self, wanted: LeakReportsConfig, taken: set[str]) -> Route:
        """Make the route of scanners' reports: who signs is believed, so nobody need show a credential."""
        if LEAK_REPORTS in taken:
            self._note(("leak_reports",), f"a route is called {LEAK_REPORTS!r}", "give it another name")
        at = ("leak_reports", "keys")
        files = {None: wanted.keys} if isinstance(wanted.keys, str) else dict(wanted.keys or {})
        texts = {identifier: self._read_file(name, at) for identifier, name in files.items()}
        keys = self._attempt(at, read_public_keys, {name: text for name, text in texts.items() if text is not None})
        prefixes = {each.prefix for each in self._config.authenticators.values() if isinstance(each, ApiKeyConfig)}
        return Route(
            name=LEAK_REPORTS,
            methods=frozenset({"POST"}),
            pattern=self._attempt(("leak_reports", "path"), Pattern.parse, wanted.path) or Pattern("", None),
            upstream=Upstream("", ""),
            authenticators=(Anonymous("scanners", AnonymousConfig()),),
            limits=(Limit(Quota("minute-ip", 60, 60_000_000, Per.IP)),),
            intake=Intake(max_bytes=BODY_MAX_BYTES),
            responder=LeakReports(keys or {}, wanted.secret, sorted(prefixes), wanted.action == "quarantine"),
        )

    def _read_file(self, name: str, place: Place) -> bytes | None:
        """Read a file beside the policy, which is part of its digest; note it where it cannot be read."""
        try:
            text = self._read[name] = self._source.resolve(name).read_bytes()
        except OSError as error:
            self._note(place, f"{name} cannot be read: {error.strerror}", "paths are relative to the policy file")
            return None
        return text

    def _limits(
        self, entries: Sequence[str | QuotaConfig], place: Place, route: RouteConfig | None = None
    ) -> tuple[Limit, ...]:
        limits: list[Limit] = []
        for index, entry in enumerate(entries):
            at = (*place, index)
            item = QuotaConfig(limit=entry) if isinstance(entry, str) else entry
            try:
                quota = build_quota(item)
            except QuotaError as error:
                self._note(at if isinstance(entry, str) else (*at, error.key), str(error))
                continue
            if any(quota.name == other.quota.name for other in limits):
                self._note(at, f"two quotas are called {quota.name!r}", "give one of them a name of its own")
            if route is not None:
                self._check_unit(route, quota, at)
            elif quota.unit in OF_TOKENS:
                self._note(at, f"nothing here has a cost in {quota.unit}")
            limits.append(Limit(quota, item.mode))
        return tuple(limits)

    def _intake(self, route: RouteConfig, place: Place) -> Intake:
        request = route.request
        at = (*place, "request")
        reads = route.preset != "raw"
        if not reads:
            for key, used in (
                ("schema", request.schema),
                ("sanitize", request.sanitize),
                ("deny_fields", request.deny_fields),
            ):
                if used:
                    self._note((*at, key), "a raw route passes bodies unread", "leave out preset: raw")
            if route.checks:
                self._note((*place, "checks"), "a raw route passes bodies unread", "leave out preset: raw")
        for index, name in enumerate(request.headers):
            folded_name = name.lower().replace("_", "-")  # some servers take one for the other
            if folded_name in NEVER_FORWARDED or folded_name.startswith(CERTIFICATE_HEADERS):
                self._note((*at, "headers", index), f"{name!r} never reaches the upstream")
        return Intake(
            max_bytes=request.max_bytes,
            max_depth=request.max_depth,
            codec=Json() if reads else None,
            media_types=MEDIA_TYPES if reads else frozenset(),
            query=None if request.query == "any" else frozenset(request.query),
            headers=REQUEST_HEADERS | {name.lower() for name in request.headers},
            deny_fields=frozenset(request.deny_fields),
            schema=self._schema(request.schema, (*at, "schema")),
            checks=tuple(Guard(build_check(check), check.mode) for check in route.checks),
            sanitiser=None if request.sanitize is None else Sanitise(request.sanitize),
        )

    def _outlet(self, route: RouteConfig, place: Place) -> Outlet:
        """Put the transforms in their order: what is dropped need not be coarsened."""
        response = route.response
        at = (*place, "response")
        transforms: list[Transform] = []
        if response.fields is not None:
            transforms.append(Fields(response.fields))
        if response.drop_fields:
            paths = [
                self._attempt((*at, "drop_fields", index), parse_path, name)
                for index, name in enumerate(response.drop_fields)
            ]
            if all(paths):
                transforms.append(DropFields(response.drop_fields))
        if response.confidence is not None:
            wanted = response.confidence
            made = self._attempt((*at, "confidence"), Confidence, wanted.field, wanted.bands, wanted.round)
            if response.fields is not None and wanted.field.partition(".")[0] not in (*response.fields, "*"):
                self._note((*at, "confidence", "field"), "response.fields drops this field")
            if made is not None:
                transforms.append(made)
        for index, name in enumerate(response.headers):
            ours = route.preset.startswith("openai.") and name.lower().startswith("x-ratelimit-")
            if ours or name.lower() in NEVER_ANSWERED:
                self._note((*at, "headers", index), f"{name!r} is the gateway's to write")
        kept = RESPONSE_HEADERS | {name.lower() for name in response.headers}
        dropped = [name.lower() for name in response.drop_headers]
        headers = frozenset(name for name in kept if not any(fnmatchcase(name, wild) for wild in dropped))
        return Outlet(AnswerJson(), tuple(transforms), headers, response.max_bytes)

    def _schema(self, name: str | None, place: Place) -> Any:
        if name is None:
            return None
        text = self._read_file(name, place)
        if text is None:
            return None
        try:
            return Schema(json.loads(text)).inspect
        except SchemaError as error:
            self._note(place, f"{name} is no valid JSON Schema: {error}")
        except ValueError as error:
            self._note(place, f"{name} is not JSON: {error}")
        return None

    def _schema_texts(self) -> list[bytes]:
        return [self._read[name] for name in sorted(self._read)]

    def _find_twins(self, routes: list[Route]) -> None:
        seen: dict[str, int] = {}
        for index, route in enumerate(routes):
            if route.name in seen:
                self._note(("routes", index, "name"), f"two routes are called {route.name!r}")
            seen[route.name] = index
            for earlier in routes[:index]:
                if earlier.pattern == route.pattern and route.methods <= earlier.methods and not earlier.exclude:
                    self._note(("routes", index, "match"), f"never reached: {earlier.name!r} takes all of it")
                    break

    def _named(self, known: Mapping[str, T], name: str, what: str, place: Place) -> T | None:
        if name in known:
            return known[name]
        close = get_close_matches(name, list(known), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
        self._note(place, f"no {what} is called {name!r}", hint)
        return None

    def _attempt(self, place: Place, build: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return build(*args, **kwargs)
        except ValueError as error:
            self._note(place, str(error))
            return None

    def _note(self, place: Iterable[str | int], message: str, hint: str = "") -> None:
        self._source.faults.append(self._source.fault(tuple(place), message, hint))
