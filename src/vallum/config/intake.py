"""Turns what a route says of requests into an intake: what may come in."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import msgspec

from vallum.checks.images import STRIPPABLE, Images, ImagesConfig, ImageType
from vallum.checks.modsecurity import ModsecurityConfig
from vallum.checks.prompt_injection import PromptInjection, PromptInjectionConfig
from vallum.checks.remote_urls import RemoteUrls, RemoteUrlsConfig, check_host
from vallum.checks.rows import Rows
from vallum.checks.sanitise import Sanitise
from vallum.checks.schema import Schema, SchemaError
from vallum.checks.schema.parameters import Parameters
from vallum.checks.sqli import Sqli, SqliConfig
from vallum.checks.tensors import Tensors as TensorsCheck
from vallum.checks.xss import Xss, XssConfig
from vallum.codecs.binary import IMAGES, Binary
from vallum.codecs.coding import CODINGS
from vallum.codecs.csv import Csv
from vallum.codecs.json import Json
from vallum.codecs.multipart import Multipart
from vallum.codecs.tensors import Tensors
from vallum.config.encoders import build_deep
from vallum.config.form import build_form, hold_both
from vallum.config.model.request import NumbersConfig
from vallum.config.outlet import granted_groups, withheld_groups
from vallum.config.rule_files import build_modsecurity
from vallum.core.answer import HOP_BY_HOP
from vallum.core.content import ANY_SHAPE, Shape, Takes
from vallum.core.policy import Guard, Intake, Mode
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vallum.config.faults import Faults
    from vallum.config.model import RouteConfig
    from vallum.config.model.request import RequestConfig
    from vallum.config.source import Place
    from vallum.core.protocols import Check, Codec
    from vallum.core.sidedoor import Ask
    from vallum.core.weight import Factor
    from vallum.presets.preset import Bounds, RequestForm

S = TypeVar("S")

# config struct -> the plug-in it configures.  A plug-in is one file; this is where it is hung up.
CHECKS: dict[type, Callable[[Any], Any]] = {
    PromptInjectionConfig: PromptInjection,
    SqliConfig: Sqli,
    XssConfig: Xss,
}
# What a preset brings by name, under the route's bounds.
PRESET_CHECKS: dict[str, Callable[[Bounds], Check]] = {"rows": Rows, "tensors": TensorsCheck}
# media type -> what reads it; or the name by which a preset asks for it, whatever the media type.
CODECS: Mapping[str, Callable[[], Codec]] = {
    "application/json": Json,
    "multipart/form-data": Multipart,
    "tensors": Tensors,
    "text/csv": Csv,
} | dict.fromkeys(IMAGES, Binary)


# Fields that reach the upstream unless the route says otherwise.
REQUEST_HEADERS = frozenset("accept accept-language content-type traceparent tracestate".split())
# What the adapters write themselves, and what belongs to one connection.
FRAMING = HOP_BY_HOP | {"accept-encoding", "expect", "host", "x-request-id"}
NEVER_FORWARDED = FRAMING | {
    "authorization",
    "cookie",
    "dpop",
    "forwarded",
    "vallum-work",
    "x-api-key",
    "x-forwarded-for",
}
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


# Patterns take seconds to compile, and a reload rarely changes them: checks are pure, so they can be kept.
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
            ("encodings", request.encodings),
            ("images", request.images),
            ("remote_urls", request.remote_urls),
            ("max_keys", request.max_keys),
            ("max_items", request.max_items),
            ("max_chars", request.max_chars),
            ("numbers", request.numbers != NumbersConfig()),
        ):
            if used:
                faults.note((*at, key), "a raw route passes bodies unread", "leave out preset: raw")
        if route.checks:
            faults.note((*place, "checks"), "a raw route passes bodies unread", "leave out preset: raw")
    elif not form.rewritable:
        _check_bytes(faults, route, at)
    for index, name in enumerate(request.headers):
        folded_name = name.lower().replace("_", "-")  # some servers take one for the other
        if folded_name in NEVER_FORWARDED or folded_name.startswith(CERTIFICATE_HEADERS):
            faults.note((*at, "headers", index), f"{name!r} never reaches the upstream")
    schema = _read_schema(faults, Schema, request.schema, (*at, "schema"))
    parameters = _read_schema(faults, Parameters, request.parameters, (*at, "parameters"))
    if parameters is not None:
        for name in sorted(parameters.segments - set(_segments(route.match.path))):
            faults.note((*at, "parameters"), f"{request.parameters} names {name!r}, which is no {{{name}}} of the path")
    images = _images(faults, request.images, form, at)
    remote_urls = _remote_urls(faults, request.remote_urls, form, at)
    built = build_form(faults, route.preset, request, at)
    schemas = ([f"{route.preset} {PRESETS[route.preset].version}"] if built is not None else []) + (
        [request.schema] if request.schema is not None else []
    )
    bounds = {name: request.bounds.get(name, bound.default) for name, bound in form.bounds.items()}
    return Intake(
        max_bytes=request.max_bytes,
        max_depth=request.max_depth,
        codecs={media_type: CODECS[form.codec or media_type]() for media_type in _media_types(request.images, form)},
        shape=_shape(request),
        codings={name: CODINGS[name] for name in request.encodings},
        query=_names(form, request, parameters),
        parameters=None if parameters is None else parameters.inspect,
        headers=_headers(request.headers, form),
        deny_fields=frozenset(map(str.casefold, request.deny_fields)),
        asks=tuple(
            [ask for group in withheld_groups(route).values() for ask in group.asked_by if not _is_let(route, ask)]
            + [ask for group in granted_groups(route) for ask in group.against]
        ),
        apart=PRESETS[route.preset].answer.apart,
        schema=hold_both(built, None if schema is None else schema.inspect),
        schemas=tuple(schemas),
        document=None if schema is None else schema.document,
        checks=(
            *remote_urls,
            *(Guard(PRESET_CHECKS[name](bounds)) for name in form.checks),
            *_checks(faults, route, place),
        ),
        images=images,
        images_mode=Mode.ENFORCE if request.images is None else request.images.mode,
        sanitiser=None if request.sanitize is None else Sanitise(request.sanitize),
        passages=form.passages,
    )


def _checks(faults: Faults, route: RouteConfig, place: Place) -> Iterator[Guard]:
    for index, config in enumerate(route.checks):
        check: Check | None
        if isinstance(config, ModsecurityConfig):  # reads files
            check = build_modsecurity(faults, config, (*place, "checks", index))
        elif isinstance(config, PromptInjectionConfig) and config.deep is not None:  # and this
            check = build_deep(faults, config, config.deep, (*place, "checks", index))
        else:
            check = build_check(config)
        if check is not None:
            yield Guard(check, config.mode)


def _check_bytes(faults: Faults, route: RouteConfig, at: Place) -> None:
    """Note what a format whose tensors may be bytes cannot keep."""
    request = route.request
    for key, used, words in (
        ("sanitize", request.sanitize is not None, "cannot be rewritten"),
        ("numbers", request.numbers != NumbersConfig(), "may hold numbers as bytes, where this bound is not looked at"),
        ("max_items", request.max_items is not None, "may hold numbers as bytes: bound their elements"),
    ):
        if used:
            faults.note((*at, key), f"bodies of {route.preset} {words}", "take preset: kserve.infer_json")


def _headers(names: list[str], form: RequestForm) -> frozenset[str]:
    """Return the fields that reach the upstream: of a body that is read, never its coding, which was undone."""
    headers = REQUEST_HEADERS | form.headers | {name.lower() for name in names}
    return headers - {"content-encoding"} if form.media_types else headers


def _media_types(images: ImagesConfig | None, form: RequestForm) -> list[str]:
    """Leave out the formats of images that the route does not take: as a body's own type, they are a 415."""
    taken = ImagesConfig().types if images is None else images.types
    unwanted = {f"image/{name}" for name in get_args(ImageType) if name not in taken}
    return [media_type for media_type in form.media_types if media_type not in unwanted]


def _images(faults: Faults, config: ImagesConfig | None, form: RequestForm, at: Place) -> Images | None:
    """Return the control of images: on where the preset names places of images, or the policy does."""
    if not any(one.kind == "image" for one in form.attachments):
        if config is None or not form.media_types:
            return None
        if not config.fields:
            faults.note((*at, "images"), "the preset names no places of images", "name them in fields")
    config = config or ImagesConfig()
    fixed = sorted(set(config.types) - set(STRIPPABLE))
    if config.metadata != "keep" and fixed:
        faults.note((*at, "images", "metadata"), f"{' and '.join(fixed)} cannot be stripped", "leave it out of types")
    return faults.attempt((*at, "images", "fields"), Images, config, form.attachments)


def _remote_urls(faults: Faults, config: RemoteUrlsConfig | None, form: RequestForm, at: Place) -> tuple[Guard, ...]:
    if not any(one.takes is Takes.URL for one in form.attachments):
        if config is None or not form.media_types:
            return ()
        if not config.fields:
            faults.note((*at, "remote_urls"), "the preset names no places of addresses", "name them in fields")
    config = config or RemoteUrlsConfig()
    for index, host in enumerate(config.allow):
        faults.attempt((*at, "remote_urls", "allow", index), check_host, host)
    check = faults.attempt((*at, "remote_urls", "fields"), RemoteUrls, config, form.attachments)
    return () if check is None else (Guard(check, config.mode),)


def build_factors(intake: Intake, preset: str) -> tuple[Factor, ...]:
    """Return what makes a request count as several, of what the route does not refuse anyhow."""
    shut = {ask.path for ask in intake.asks}
    kept = [
        tuple([weight for weight in factor if weight.ask.path not in shut])
        for factor in PRESETS[preset].request.weights
    ]
    return tuple(filter(None, kept))


def _is_let(route: RouteConfig, ask: Ask) -> bool:
    """Say whether the route itself lets a member in that asks for more, or caps it."""
    return ask.path[0] in route.request.allow_fields or ask.path[0] in route.request.bounds


def _segments(path: str) -> list[str]:
    """Return the names that a path pattern gives to its segments."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _shape(request: RequestConfig) -> Shape:
    """Return the bounds that a route sets; what it leaves out has none."""
    wanted: dict[str, Any] = {
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
