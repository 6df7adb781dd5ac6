"""Turns what a route says of requests into an intake: what may come in."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from vallum.checks.prompt_injection import PromptInjection, PromptInjectionConfig
from vallum.checks.sanitise import Sanitise
from vallum.checks.schema import Schema, SchemaError
from vallum.checks.schema.parameters import Parameters
from vallum.checks.sqli import Sqli, SqliConfig
from vallum.codecs.json import Json
from vallum.config.model.request import NumbersConfig
from vallum.core.answer import HOP_BY_HOP
from vallum.core.content import ANY_SHAPE, Shape
from vallum.core.policy import Guard, Intake
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.config.faults import Faults
    from vallum.config.model import RouteConfig
    from vallum.config.model.request import RequestConfig
    from vallum.config.source import Place
    from vallum.core.protocols import Codec
    from vallum.presets.preset import RequestForm

S = TypeVar("S")

# config struct -> the plug-in it configures.  A plug-in is one file; this is where it is hung up.
CHECKS: dict[type, Callable[[Any], Any]] = {PromptInjectionConfig: PromptInjection, SqliConfig: Sqli}
# media type -> what reads it.
CODECS: dict[str, Callable[[], Codec]] = {"application/json": Json}


# Fields that reach the upstream unless the route says otherwise.
REQUEST_HEADERS = frozenset("accept accept-language content-type traceparent tracestate".split())
# What the adapters write themselves, and what belongs to one connection.
FRAMING = HOP_BY_HOP | {"accept-encoding", "expect", "host", "x-request-id"}
NEVER_FORWARDED = FRAMING | {"authorization", "cookie", "dpop", "forwarded", "x-api-key", "x-forwarded-for"}
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
    form = PRESETS[route.preset].request
    reads = bool(form.media_types)
    if not reads:
        for key, used in (
            ("schema", request.schema),
            ("sanitize", request.sanitize),
            ("deny_fields", request.deny_fields),
            ("max_keys", request.max_keys),
            ("max_items", request.max_items),
            ("max_chars", request.max_chars),
            ("numbers", request.numbers != NumbersConfig()),
        ):
            if used:
                faults.note((*at, key), "a raw route passes bodies unread", "leave out preset: raw")
        if route.checks:
            faults.note((*place, "checks"), "a raw route passes bodies unread", "leave out preset: raw")
    for index, name in enumerate(request.headers):
        folded_name = name.lower().replace("_", "-")  # some servers take one for the other
        if folded_name in NEVER_FORWARDED or folded_name.startswith(CERTIFICATE_HEADERS):
            faults.note((*at, "headers", index), f"{name!r} never reaches the upstream")
    schema = _read_schema(faults, Schema, request.schema, (*at, "schema"))
    parameters = _read_schema(faults, Parameters, request.parameters, (*at, "parameters"))
    if parameters is not None:
        for name in sorted(parameters.segments - set(_segments(route.match.path))):
            faults.note((*at, "parameters"), f"{request.parameters} names {name!r}, which is no {{{name}}} of the path")
    return Intake(
        max_bytes=request.max_bytes,
        max_depth=request.max_depth,
        codecs={media_type: CODECS[media_type]() for media_type in form.media_types},
        shape=_shape(request),
        query=_names(form, request, parameters),
        parameters=None if parameters is None else parameters.inspect,
        headers=REQUEST_HEADERS | form.headers | {name.lower() for name in request.headers},
        deny_fields=frozenset(request.deny_fields),
        schema=None if schema is None else schema.inspect,
        checks=tuple(Guard(build_check(check), check.mode) for check in route.checks),
        sanitiser=None if request.sanitize is None else Sanitise(request.sanitize),
        passages=form.passages,
    )


def _segments(path: str) -> list[str]:
    """Return the names that a path pattern gives to its segments."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _shape(request: RequestConfig) -> Shape:
    """Return the bounds that a route sets; what it leaves out has none."""
    wanted = {
        "max_keys": request.max_keys,
        "max_items": request.max_items,
        "max_chars": request.max_chars,
        "max_abs": request.numbers.max_abs,
        "max_digits": request.numbers.max_digits,
    }
    bounds = {name: bound for name, bound in wanted.items() if bound is not None}
    return Shape(**bounds) if bounds else ANY_SHAPE  # the one that costs nothing


def _names(form: RequestForm, request: RequestConfig, parameters: Parameters | None) -> frozenset[str] | None:
    """Return the query parameters that may appear; None: any."""
    if request.query == "any":
        return None
    return form.query | set(request.query) | (parameters.names if parameters is not None else frozenset())


def _read_schema(faults: Faults, kind: Callable[[Any], S], name: str | None, place: Place) -> S | None:
    """Build `kind` of a file with a schema."""
    text = None if name is None else faults.read_file(name, place)
    if text is None:
        return None
    try:
        return kind(json.loads(text))
    except SchemaError as error:
        faults.note(place, f"{name} is no valid JSON Schema: {error}")
    except (ValueError, RecursionError) as error:
        faults.note(place, f"{name} is not JSON: {error}")
    return None
