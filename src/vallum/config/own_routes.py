"""The routes that the gateway answers itself: what a policy file asks for without writing a route."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vallum.authenticators.anonymous import Anonymous, AnonymousConfig
from vallum.authenticators.api_key import ApiKey, ApiKeyConfig
from vallum.authenticators.oauth2 import OAuth2
from vallum.authenticators.oauth2.metadata import ResourceMetadata, metadata_path
from vallum.config.limits import build_limits, check_no_tokens
from vallum.config.tokens import RESERVED, token_routes
from vallum.core.policy import Intake, Limit, Outlet, Route, Upstream, Vigilance
from vallum.core.quota import Per, Quota
from vallum.core.target import Pattern
from vallum.responders.failures import Failures
from vallum.responders.leak_reports import BODY_MAX_BYTES, LeakReports, read_public_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vallum.config.faults import Faults
    from vallum.config.model import Config
    from vallum.core.protocols import Authenticator
    from vallum.mint.tokens import Mint
    from vallum.provers.dpop import Dpop
    from vallum.responders.failures import FailuresConfig
    from vallum.responders.leak_reports import LeakReportsConfig

FAILURES = "failures"  # what records and metrics call the route of callers' own failures
FAILURE_SLOT_S = 0.05
LEAK_REPORTS = "leak-reports"  # what records and metrics call the route of leak reports


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


def leak_reports(faults: Faults, config: Config, wanted: LeakReportsConfig, taken: set[str]) -> Route:
    """Make the route of scanners' reports: who signs is believed, so nobody need show a credential."""
    if LEAK_REPORTS in taken:
        faults.note(("leak_reports",), f"a route is called {LEAK_REPORTS!r}", "give it another name")
    at = ("leak_reports", "keys")
    files = {None: wanted.keys} if isinstance(wanted.keys, str) else dict(wanted.keys or {})
    texts = {identifier: faults.read_file(name, at) for identifier, name in files.items()}
    keys = faults.attempt(at, read_public_keys, {name: text for name, text in texts.items() if text is not None})
    prefixes = {each.prefix for each in config.authenticators.values() if isinstance(each, ApiKeyConfig)}
    return Route(
        name=LEAK_REPORTS,
        methods=frozenset({"POST"}),
        pattern=faults.attempt(("leak_reports", "path"), Pattern.parse, wanted.path) or Pattern("", None),
        upstream=Upstream("", ""),
        authenticators=(Anonymous("scanners", AnonymousConfig()),),
        limits=(Limit(Quota("minute-ip", 60, 60_000_000, Per.IP)),),
        intake=Intake(max_bytes=BODY_MAX_BYTES),
        responder=LeakReports(keys or {}, wanted.secret, sorted(prefixes), wanted.action == "quarantine"),
    )


def failures(
    faults: Faults,
    config: Config,
    wanted: FailuresConfig,
    authenticators: Mapping[str, Authenticator],
    taken: set[str],
) -> Route:
    """Make the route on which callers read why their requests failed."""
    if FAILURES in taken:
        faults.note(("failures",), f"a route is called {FAILURES!r}", "give it another name")
    if config.records.path == "-":
        hint = "give records.path a folder"
        faults.note(("failures",), "records go to standard output: nobody can look there", hint)
    known = {name: found for name, found in authenticators.items() if not isinstance(found, Anonymous)}
    chosen: list[Authenticator | None] = list(known.values())
    if wanted.any_of:
        chosen = [
            faults.find(known, name, "authenticator that knows its callers", ("failures", "any_of", index))
            for index, name in enumerate(wanted.any_of)
        ]
    elif not known:
        faults.note(("failures",), "no authenticator here knows who is calling", "they are shown to their own caller")
    path = wanted.path.rstrip("/") + "/{request_id}"
    return Route(
        name=FAILURES,
        methods=frozenset({"GET"}),
        pattern=faults.attempt(("failures", "path"), Pattern.parse, path) or Pattern("", None),
        upstream=Upstream("the gateway", ""),
        authenticators=tuple(filter(None, chosen)),
        limits=build_limits(faults, wanted.quotas, ("failures", "quotas"), partial(check_no_tokens, faults)),
        intake=Intake(max_bytes=0),
        outlet=Outlet(failure_slot_s=FAILURE_SLOT_S),
        responder=Failures(),
    )


def token_endpoint(
    faults: Faults,
    config: Config,
    keys: Mapping[str, ApiKey],
    mint: Mint,
    prover: Dpop,
    *,
    vigilance: Vigilance | None,
) -> list[Route]:
    """Make the routes of the token endpoint, at which `keys` are turned into tokens."""
    settings = config.tokens
    assert settings is not None  # else nothing mints
    chosen: list[Authenticator | None] = list(keys.values())
    if settings.any_of:
        chosen = [
            faults.find(keys, name, "api_key authenticator", ("tokens", "any_of", index))
            for index, name in enumerate(settings.any_of)
        ]
    pattern = faults.attempt(("tokens", "path"), Pattern.parse, settings.path)
    for index, route in enumerate(config.routes):
        if route.name in RESERVED:
            faults.note(("routes", index, "name"), f"{route.name!r} is a route of the gateway's own")
        elif "POST" in route.match.methods and route.match.path == settings.path:
            faults.note(("routes", index, "match"), "never reached: tokens.path takes all of it")
    limits = build_limits(faults, settings.quotas, ("tokens", "quotas"), partial(check_no_tokens, faults))
    return token_routes(
        mint,
        pattern or Pattern("", None),
        tuple(filter(None, chosen)),
        prover,
        limits=limits,
        vigilance=vigilance,
    )
