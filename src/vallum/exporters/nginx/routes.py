"""nginx's locations: one for each route, and the upstreams behind them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vallum.exporters.address import read_url
from vallum.exporters.export import ExportError
from vallum.exporters.nginx.blocks import sets_of
from vallum.exporters.nginx.match import query_expression
from vallum.exporters.nginx.text import block, comment, expression, quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vallum.config.model import Config, RouteConfig
    from vallum.core.policy import Route
    from vallum.exporters.nginx.limits import Fence

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
KEPT_CONNECTIONS = 32
FIELD = re.compile(r"[a-z0-9-]+")
# Written by nginx for each hop.
OWN = {"host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "expect"}


def upstreams(config: Config, names: Mapping[str, str], vallum: str) -> list[str]:
    """Return the services behind, and Vallum."""
    lines: list[str] = []
    for name, upstream in config.upstreams.items():
        place = read_url(name, upstream.url)
        bound = f" max_conns={upstream.concurrency.max}" if upstream.concurrency is not None else ""
        inside = [f"zone vallum_{names[name]} 64k;", f"server {place.joined}{bound};", f"keepalive {KEPT_CONNECTIONS};"]
        lines += [*comment(f"upstreams.{name}"), *block(f"upstream vallum_{names[name]}", inside)]
    why = comment("`vallum envoy` with the same policy file.  Beside nginx, on loopback: it is told credentials.")
    return [*lines, *why, *block("upstream vallum_decides", [f"server {vallum};", f"keepalive {KEPT_CONNECTIONS};"])]


def location(
    config: Config,
    route: Route,
    wanted: RouteConfig,
    names: tuple[str, str],
    fences: Sequence[Fence],
) -> list[str]:
    """Return the location of a route.  `names` are those of the route and of its upstream here."""
    name, upstream = names
    own = _own(config, route)
    lines = [
        "internal;",
        *_body(route.intake.max_bytes),
        *_query(route),
        *sets_of(config, wanted),
        *(fence.rule for fence in fences),
        *(["limit_req_status 429;", "limit_conn_status 429;"] if fences else []),
        "",
        "auth_request /.vallum/decide;",
        "auth_request_set $vallum_status $upstream_http_x_vallum_status;",
        "auth_request_set $vallum_retry_after $upstream_http_retry_after;",
        "auth_request_set $vallum_challenge $upstream_http_www_authenticate;",
        "auth_request_set $vallum_request_id $upstream_http_x_request_id;",
        "auth_request_set $vallum_problem $upstream_http_x_vallum_problem;",
        *(f"auth_request_set {_given(field)} $upstream_http_{_variable(field)};" for field in sorted(own)),
        "error_page 401 403 500 = @vallum_refused;",
        "",
        *_forward(config, route, wanted, upstream),
    ]
    return [*comment(f"routes.{route.name}"), *block(f"location = /.vallum/route/{name}", lines)]


def _body(most: int) -> list[str]:
    if most:
        return [f"client_max_body_size {most};"]
    none = comment("no body")
    return [
        *none,
        'if ($http_content_length ~ "[1-9]") { return 413; }',
        "if ($http_transfer_encoding) { return 413; }",
    ]


def _query(route: Route) -> list[str]:
    if route.intake.query is None:
        return []
    return [f"if ($args !~ {expression(query_expression(route.intake.query))}) {{ return 400; }}"]


def _forward(config: Config, route: Route, wanted: RouteConfig, upstream: str) -> list[str]:
    settings = config.upstreams[route.upstream.name]
    place = read_url(route.upstream.name, settings.url)
    own = _own(config, route)
    passed = sorted(route.intake.headers - OWN - own)
    odd = [name for name in (*passed, *own) if not FIELD.fullmatch(name)]
    if odd:
        raise ExportError(f"routes.{route.name}: nginx cannot name the field {odd[0]!r}")
    lines = [
        f"proxy_pass {'https' if place.tls else 'http'}://vallum_{upstream}{place.base}$request_uri;",
        "proxy_http_version 1.1;",
        f"proxy_read_timeout {round(settings.timeout_s * 1000)}ms;",
        f"proxy_send_timeout {round(settings.timeout_s * 1000)}ms;",
        "proxy_connect_timeout 5s;",
        "proxy_next_upstream off;",
        *comment("Event streams stay live."),
        "proxy_buffering off;",
        *comment("These fields reach the service, and no others."),
        "proxy_pass_request_headers off;",
        f"proxy_set_header Host {place.joined};",
        'proxy_set_header Connection "";',
        "proxy_set_header X-Request-Id $vallum_request_id;",
        *(f"proxy_set_header {name.title()} $http_{_variable(name)};" for name in passed),
    ]
    if settings.headers:
        lines += comment("What the service wants of its own, such as a key: Vallum gives it with its leave.")
        lines += [f"proxy_set_header {name} {_given(name)};" for name in sorted(own)]
    if place.tls:
        lines += [
            "proxy_ssl_server_name on;",
            f"proxy_ssl_name {place.host};",
            "proxy_ssl_verify on;",
            "proxy_ssl_verify_depth 4;",
            f"proxy_ssl_trusted_certificate {AUTHORITIES};",
        ]
    hidden = sorted({"x-powered-by"} | {one.lower() for one in wanted.response.drop_headers if "*" not in one})
    return [*lines, *(f"proxy_hide_header {quote(one)};" for one in hidden)]


def _own(config: Config, route: Route) -> set[str]:
    return {name.lower() for name in config.upstreams[route.upstream.name].headers}


def _given(field: str) -> str:
    """Return the variable with what Vallum gives for a field."""
    return f"$vallum_given_{_variable(field)}"


def _variable(field: str) -> str:
    return field.replace("-", "_")
