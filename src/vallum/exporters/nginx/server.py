"""nginx's server: TLS, and all that is refused before any route is chosen."""

from __future__ import annotations

from math import ceil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from vallum.exporters.address import read_address
from vallum.exporters.nginx.text import block, comment, quote

if TYPE_CHECKING:
    from vallum.config.model import Config

CERTIFICATE = "X-SSL-Client-Cert"


def server(config: Config, largest: int, locations: list[list[str]], folder: str) -> list[str]:
    """Return the server's block."""
    place = read_address(config.listen.address)
    listen = config.listen
    buffers = max(1, ceil(listen.max_header_bytes / listen.max_uri_bytes))
    lines = [
        f"listen {place.joined}{' ssl' if listen.tls is not None else ''};",
        "server_tokens off;",
        *_tls(config, folder),
        *_origin(config),
        "",
        *comment(
            "A path is matched as it is forwarded; a field that a server behind might read as another is dropped."
        ),
        "merge_slashes off;",
        "underscores_in_headers off;",
        "",
        *comment("Slow and large heads."),
        f"large_client_header_buffers {buffers} {listen.max_uri_bytes};",
        f"client_header_timeout {_time(listen.header_timeout_s)};",
        f"client_body_timeout {_time(listen.body_timeout_s)};",
        f"keepalive_timeout {_time(listen.idle_timeout_s)};",
        f"send_timeout {_time(listen.write_timeout_s)};",
        "",
        *block("location /", [f"client_max_body_size {largest};", "rewrite ^ /.vallum/$vallum_route last;"]),
        *block("location /.vallum/", ["internal;", "return 404;"]),
    ]
    for one in locations:
        lines += ["", *one]
    return block("server", lines)


def decide(*, certificates: bool) -> list[str]:
    """Return the location that asks Vallum."""
    passed = [f"proxy_set_header {CERTIFICATE} $ssl_client_escaped_cert;"] if certificates else []
    return [
        *comment("Vallum decides: who is calling, with which scopes, and whether a quota is left.  It sees no body."),
        *block(
            "location = /.vallum/decide",
            [
                "internal;",
                "proxy_pass http://vallum_decides/.vallum/decide;",
                "proxy_http_version 1.1;",
                "client_max_body_size 0;  # that of the route has been held already",
                "proxy_pass_request_body off;",
                "proxy_connect_timeout 1s;",
                "proxy_read_timeout 5s;",
                'proxy_set_header Connection "";',
                'proxy_set_header Content-Length "";',
                "proxy_set_header Host $http_host;",
                "proxy_set_header X-Original-Method $request_method;",
                "proxy_set_header X-Original-URI $request_uri;",
                "proxy_set_header X-Original-Content-Length $http_content_length;",
                "proxy_set_header X-Forwarded-Proto $scheme;",
                "proxy_set_header X-Forwarded-For $remote_addr;",
                *passed,
            ],
        ),
    ]


REFUSED = (400, 401, 402, 403, 404, 409, 411, 413, 414, 415, 422, 428, 429, 431, 500, 502, 503, 504)


def challenge() -> list[str]:
    """Return whose challenge is written by us: nginx hands on that of a 401 itself."""
    return block("map $vallum_status $vallum_also", ["default $vallum_challenge;", '401 "";'])


def refused() -> list[str]:
    """Return the location where nginx's answer becomes Vallum's."""
    cases = [f"if ($vallum_status = {code}) {{ return {code} $vallum_problem; }}" for code in REFUSED]
    return [
        *comment("What Vallum refused, with its status; auth_request itself knows 401 and 403 alone."),
        *block(
            "location @vallum_refused",
            [
                "default_type application/problem+json;",
                "add_header Cache-Control no-store always;",
                "add_header Retry-After $vallum_retry_after always;",
                "add_header WWW-Authenticate $vallum_also always;  # nginx hands on that of a 401 itself",
                "add_header X-Request-ID $vallum_request_id always;",
                *cases,
                *comment("It did not answer: nothing passes without it."),
                "return 503;",
            ],
        ),
    ]


def _tls(config: Config, folder: str) -> list[str]:
    tls = config.listen.tls
    if tls is None:
        return []

    def path(name: str) -> str:
        return quote(str(PurePosixPath(folder, name)))

    lines = [
        f"ssl_certificate {path(tls.cert)};",
        f"ssl_certificate_key {path(tls.key)};",
        f"ssl_protocols {'' if tls.min_version == 1.3 else 'TLSv1.2 '}TLSv1.3;",
    ]
    if tls.client_auth != "none" and tls.client_ca is not None:
        lines += comment("Whose client certificates are believed; one that nobody signed is answered 400.")
        lines += [
            f"ssl_client_certificate {path(tls.client_ca)};",
            f"ssl_verify_client {'on' if tls.client_auth == 'required' else 'optional'};",
        ]
        if tls.crl is not None:
            lines.append(f"ssl_crl {path(tls.crl)};")
    return lines


def _origin(config: Config) -> list[str]:
    if not config.trusted_proxies:
        return []
    return [
        *comment("From these X-Forwarded-For is believed, up to the last address that is not theirs."),
        *(f"set_real_ip_from {quote(text)};" for text in config.trusted_proxies),
        "real_ip_header X-Forwarded-For;",
        "real_ip_recursive on;",
    ]


def _time(amount: float) -> str:
    return f"{max(1, round(amount * 1000))}ms"
