"""Turns what a route says of requests and answers into an intake and an outlet: what may come in, what may go out."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from vallum.checks.prompt_injection import PromptInjection, PromptInjectionConfig
from vallum.checks.sanitise import Sanitise
from vallum.checks.schema import Schema, SchemaError
from vallum.checks.sqli import Sqli, SqliConfig
from vallum.codecs.json import MEDIA_TYPES, AnswerJson, Json
from vallum.core.answer import HOP_BY_HOP
from vallum.core.cost import COST_FIELDS
from vallum.core.fieldpath import parse_path
from vallum.core.policy import Guard, Intake, Outlet
from vallum.transforms.confidence import Confidence
from vallum.transforms.drop_fields import DropFields
from vallum.transforms.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.config.faults import Faults
    from vallum.config.model import RouteConfig
    from vallum.config.source import Place
    from vallum.core.protocols import Transform

# config struct -> the plug-in it configures.  A plug-in is one file; this is where it is hung up.
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


def build_intake(faults: Faults, route: RouteConfig, place: Place) -> Intake:
    """Return what may come in on a route."""
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
                faults.note((*at, key), "a raw route passes bodies unread", "leave out preset: raw")
        if route.checks:
            faults.note((*place, "checks"), "a raw route passes bodies unread", "leave out preset: raw")
    for index, name in enumerate(request.headers):
        folded_name = name.lower().replace("_", "-")  # some servers take one for the other
        if folded_name in NEVER_FORWARDED or folded_name.startswith(CERTIFICATE_HEADERS):
            faults.note((*at, "headers", index), f"{name!r} never reaches the upstream")
    return Intake(
        max_bytes=request.max_bytes,
        max_depth=request.max_depth,
        codec=Json() if reads else None,
        media_types=MEDIA_TYPES if reads else frozenset(),
        query=None if request.query == "any" else frozenset(request.query),
        headers=REQUEST_HEADERS | {name.lower() for name in request.headers},
        deny_fields=frozenset(request.deny_fields),
        schema=_schema(faults, request.schema, (*at, "schema")),
        checks=tuple(Guard(build_check(check), check.mode) for check in route.checks),
        sanitiser=None if request.sanitize is None else Sanitise(request.sanitize),
    )


def build_outlet(faults: Faults, route: RouteConfig, place: Place) -> Outlet:
    """Put the transforms in their order: what is dropped need not be coarsened."""
    response = route.response
    at = (*place, "response")
    transforms: list[Transform] = []
    if response.fields is not None:
        transforms.append(Fields(response.fields))
    if response.drop_fields:
        paths = [
            faults.attempt((*at, "drop_fields", index), parse_path, name)
            for index, name in enumerate(response.drop_fields)
        ]
        if all(paths):
            transforms.append(DropFields(response.drop_fields))
    if response.confidence is not None:
        wanted = response.confidence
        made = faults.attempt((*at, "confidence"), Confidence, wanted.field, wanted.bands, wanted.round)
        if response.fields is not None and wanted.field.partition(".")[0] not in (*response.fields, "*"):
            faults.note((*at, "confidence", "field"), "response.fields drops this field")
        if made is not None:
            transforms.append(made)
    for index, name in enumerate(response.headers):
        ours = route.preset.startswith("openai.") and name.lower().startswith("x-ratelimit-")
        if ours or name.lower() in NEVER_ANSWERED:
            faults.note((*at, "headers", index), f"{name!r} is the gateway's to write")
    kept = RESPONSE_HEADERS | {name.lower() for name in response.headers}
    dropped = [name.lower() for name in response.drop_headers]
    headers = frozenset(name for name in kept if not any(fnmatchcase(name, wild) for wild in dropped))
    return Outlet(AnswerJson(), tuple(transforms), headers, response.max_bytes)


def _schema(faults: Faults, name: str | None, place: Place) -> Any:
    if name is None:
        return None
    text = faults.read_file(name, place)
    if text is None:
        return None
    try:
        return Schema(json.loads(text)).inspect
    except SchemaError as error:
        faults.note(place, f"{name} is no valid JSON Schema: {error}")
    except ValueError as error:
        faults.note(place, f"{name} is not JSON: {error}")
    return None
