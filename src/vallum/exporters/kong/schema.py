"""Holds a declarative configuration against what Kong 3.10 takes, without a database.

Written from the schemas of Kong's core entities and of the plugins that the exporter writes; what it does not know, it
refuses.  Stricter than Kong in one thing: the flat `redis_*` fields, which Kong deprecates, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_network
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from vallum.exporters.kong.kinds import Check, Faults, Record, flag, integer, is_of, items, like, one_of, positive, text

PERIODS = ("second", "minute", "hour", "day", "month", "year")
NAME = re.compile(r"[\w.~-]+")
HEADER = re.compile(r"[A-Za-z0-9_-]+")
METHOD = re.compile(r"[A-Z]+")


def address(value: Any, at: str) -> Faults:
    """Take an address or a network."""
    try:
        ip_network(value, strict=False)
    except ValueError:
        yield f"{at}: invalid ip or cidr range: {value!r}"


def url(value: Any, at: str) -> Faults:
    """Take the address of a service."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except (ValueError, AttributeError, TypeError):
        good = False
    if not good:
        yield f"{at}: {value!r} is no http or https address"


def path(value: Any, at: str) -> Faults:
    """Take a path, or an expression after `~`."""
    if not isinstance(value, str) or not value.startswith(("/", "~/")):
        yield f"{at}: should start with: / (fixed path) or ~/ (regex path)"
    elif "//" in value:
        yield f"{at}: must not have empty segments"
    elif value.startswith("~"):
        try:
            re.compile(value[1:].replace("(?<", "(?P<"))
        except re.error as error:
            yield f"{at}: invalid regex: {error}"


REDIS = Record(
    (),
    host=text,
    port=partial(integer, least=0, most=65_535),
    timeout=partial(integer, least=0, most=2**31 - 2),
    username=text,
    password=text,
    database=integer,
    ssl=flag,
    ssl_verify=flag,
    server_name=text,
)
LIMITS: dict[str, Check] = dict.fromkeys(PERIODS, positive)
COUNTED: dict[str, Check] = {
    "policy": one_of("local", "redis"),  # `cluster` wants a database
    "fault_tolerant": flag,
    "redis": REDIS,
    "hide_client_headers": flag,
}
TRANSFORMED = items(text)
ADDED = items(like(re.compile(r"[^:]+:.*", re.DOTALL)))


def _ordered(limits: Any, at: str) -> Faults:
    """Take limits of which one is there, and none is lower than that of a shorter period."""
    if not isinstance(limits, dict):
        return
    there = [(period, limits[period]) for period in PERIODS if isinstance(limits.get(period), int | float)]
    if not there:
        yield f"{at}: at least one of these fields must be non-empty: {', '.join(PERIODS)}"
    for index, (shorter, less) in enumerate(there):
        for longer, more in there[index + 1 :]:
            if more < less:
                yield f"{at}: the limit for {longer} cannot be lower than the limit for {shorter}"


def _shared(config: Mapping[str, Any], at: str) -> Faults:
    redis = config.get("redis")
    if config.get("policy") == "redis" and not (isinstance(redis, dict) and redis.get("host")):
        yield f"{at}.redis.host: required field missing"


def _rate_limiting(config: Mapping[str, Any], at: str) -> Faults:
    yield from _ordered(config, at)
    yield from _shared(config, at)
    if config.get("limit_by") == "header" and not config.get("header_name"):
        yield f"{at}.header_name: required field missing"
    if config.get("limit_by") == "path" and not config.get("path"):
        yield f"{at}.path: required field missing"
    if config.get("policy") != "redis" and config.get("sync_rate", -1) != -1:
        yield f"{at}.sync_rate: can only be used with the redis policy"


def _response_ratelimiting(config: Mapping[str, Any], at: str) -> Faults:
    limits = config.get("limits")
    if isinstance(limits, dict):
        if not limits:
            yield f"{at}.limits: length must be at least 1"
        for name, periods in limits.items():
            yield from Record((), **LIMITS)(periods, f"{at}.limits.{name}")
            yield from _ordered(periods, f"{at}.limits.{name}")
    yield from _shared(config, at)


def _exactly_one(*keys: str) -> Callable[[Mapping[str, Any], str], Faults]:
    def check(config: Mapping[str, Any], at: str) -> Faults:
        if sum(config.get(key) is not None for key in keys) != 1:
            yield f"{at}: exactly one of these fields must be non-empty: {', '.join(keys)}"

    return check


def _at_least_one(*keys: str) -> Callable[[Mapping[str, Any], str], Faults]:
    def check(config: Mapping[str, Any], at: str) -> Faults:
        if all(config.get(key) is None for key in keys):
            yield f"{at}: at least one of these fields must be non-empty: {', '.join(keys)}"

    return check


def _terminates(config: Mapping[str, Any], at: str) -> Faults:
    if config.get("message") and (config.get("content_type") or config.get("body")):
        yield f"{at}: message cannot be used with content_type or body"


class Plugin(NamedTuple):
    """What a plugin's config may hold."""

    config: Record
    whole: Callable[[Mapping[str, Any], str], Faults] | None = None  # what holds between its keys


PLUGINS: Mapping[str, Plugin] = {
    "rate-limiting": Plugin(
        Record(
            (),
            **LIMITS,
            **COUNTED,
            limit_by=one_of("consumer", "credential", "ip", "service", "header", "path", "consumer-group"),
            header_name=like(HEADER),
            path=path,
            error_code=positive,
            error_message=text,
            sync_rate=partial(is_of, kind=int, word="a number"),
        ),
        _rate_limiting,
    ),
    "response-ratelimiting": Plugin(
        Record(
            ("limits",),
            **COUNTED,
            limits=partial(is_of, kind=dict, word="a map"),
            limit_by=one_of("consumer", "credential", "ip"),
            header_name=text,
            block_on_first_violation=flag,
        ),
        _response_ratelimiting,
    ),
    "key-auth": Plugin(
        Record(
            (),
            key_names=items(like(HEADER), 1),
            hide_credentials=flag,
            anonymous=text,
            key_in_header=flag,
            key_in_query=flag,
            key_in_body=flag,
            run_on_preflight=flag,
            realm=text,
        )
    ),
    "jwt": Plugin(
        Record(
            (),
            uri_param_names=items(text),
            cookie_names=items(text),
            header_names=items(text),
            key_claim_name=text,
            secret_is_base64=flag,
            claims_to_verify=items(one_of("exp", "nbf")),
            anonymous=text,
            run_on_preflight=flag,
            maximum_expiration=partial(integer, least=0, most=31_536_000),
            realm=text,
        )
    ),
    "acl": Plugin(
        Record(
            (),
            allow=items(text),
            deny=items(text),
            hide_groups_header=flag,
            include_consumer_groups=flag,
            always_use_authenticated_groups=flag,
        ),
        _exactly_one("allow", "deny"),
    ),
    "ip-restriction": Plugin(
        Record((), allow=items(address), deny=items(address), status=positive, message=text),
        _at_least_one("allow", "deny"),
    ),
    "request-size-limiting": Plugin(
        Record(
            (),
            allowed_payload_size=integer,
            size_unit=one_of("megabytes", "kilobytes", "bytes"),
            require_content_length=flag,
        )
    ),
    "request-termination": Plugin(
        Record(
            (),
            status_code=partial(integer, least=100, most=599),
            message=text,
            content_type=text,
            body=text,
            echo=flag,
            trigger=like(HEADER),
        ),
        _terminates,
    ),
    "request-transformer": Plugin(
        Record(
            (),
            http_method=like(METHOD),
            remove=Record((), body=TRANSFORMED, headers=TRANSFORMED, querystring=TRANSFORMED),
            rename=Record((), body=ADDED, headers=ADDED, querystring=ADDED),
            replace=Record((), uri=text, body=ADDED, headers=ADDED, querystring=ADDED),
            add=Record((), body=ADDED, headers=ADDED, querystring=ADDED),
            append=Record((), body=ADDED, headers=ADDED, querystring=ADDED),
        )
    ),
    "response-transformer": Plugin(
        Record(
            (),
            remove=Record((), json=TRANSFORMED, headers=TRANSFORMED),
            rename=Record((), headers=ADDED, json=ADDED),
            replace=Record((), json=ADDED, headers=ADDED),
            add=Record((), json=ADDED, headers=ADDED),
            append=Record((), json=ADDED, headers=ADDED),
        )
    ),
}


def plugin(value: Any, at: str) -> Faults:
    """Take a plugin that is known, with a config that is its."""
    if not isinstance(value, dict):
        yield f"{at}: expected a record"
        return
    name = value.get("name")
    known = PLUGINS.get(name) if isinstance(name, str) else None
    if known is None:
        yield f"{at}.name: plugin {name!r} not enabled; add it to the 'plugins' configuration property"
        return
    given = {**value, "config": value.get("config") or {}}
    shape = Record((), name=text, enabled=flag, protocols=PROTOCOLS, tags=items(text), config=known.config)
    yield from shape(given, at)
    if known.whole is not None and isinstance(given["config"], dict):
        yield from known.whole(given["config"], f"{at}.config")


def _plugins(value: Any, at: str) -> Faults:
    """Take plugins of which no two have one name: Kong runs one of each."""
    yield from items(plugin)(value, at)
    names = [one.get("name") for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"{at}: plugin {name!r} is there twice"


MILLISECONDS = partial(integer, least=1, most=2**31 - 2)
PROTOCOLS = items(one_of("http", "https", "grpc", "grpcs"), 1)
ROUTE = Record(
    (),
    name=like(NAME),
    protocols=PROTOCOLS,
    methods=items(like(METHOD)),
    hosts=items(text),
    paths=items(path),
    regex_priority=integer,
    strip_path=flag,
    preserve_host=flag,
    request_buffering=flag,
    response_buffering=flag,
    https_redirect_status_code=integer,
    tags=items(text),
    plugins=_plugins,
)


def _route(value: Any, at: str) -> Faults:
    yield from ROUTE(value, at)
    if isinstance(value, dict) and not any(value.get(key) for key in ("methods", "hosts", "paths")):
        yield f"{at}: must set one of 'methods', 'hosts', 'paths'"


SERVICE = Record(
    ("url",),
    name=like(NAME),
    url=url,
    connect_timeout=MILLISECONDS,
    read_timeout=MILLISECONDS,
    write_timeout=MILLISECONDS,
    retries=partial(integer, least=0, most=32_767),
    tls_verify=flag,
    tls_verify_depth=partial(integer, least=0, most=64),
    enabled=flag,
    tags=items(text),
    routes=items(_route),
    plugins=_plugins,
)
KEY = Record((), key=text, tags=items(text))
CONSUMER = Record((), username=text, custom_id=text, tags=items(text), plugins=_plugins, keyauth_credentials=items(KEY))


def _version(value: Any, at: str) -> Faults:
    if value not in ("1.1", "2.1", "3.0"):
        yield f"{at}: expected one of: 1.1, 2.1, 3.0"


FILE = Record(
    ("_format_version",),
    _format_version=_version,
    _transform=flag,
    services=items(SERVICE),
    routes=items(_route),
    consumers=items(CONSUMER),
    plugins=_plugins,
)


def find_faults(document: Any) -> list[str]:
    """Return what Kong would refuse of a declarative configuration, each with its place."""
    faults = [fault.lstrip(".") for fault in FILE(document, "")]
    if isinstance(document, dict) and not faults:
        faults += _twins(document)
    return faults


def _twins(document: Mapping[str, Any]) -> Faults:
    services = document.get("services") or []
    routes = [route for service in services for route in service.get("routes") or []]
    for kind, several in (("service", services), ("route", [*routes, *(document.get("routes") or [])])):
        names = [one.get("name") for one in several if one.get("name")]
        for name in dict.fromkeys(name for name in names if names.count(name) > 1):
            yield f"{kind} {name!r}: uniqueness violation on name"
