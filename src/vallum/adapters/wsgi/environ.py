"""WSGI's environ: a head as facts, and the environ that the app is given."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vallum.adapters.reception import Head
from vallum.core.exchange import Headers
from vallum.core.target import SAFE

if TYPE_CHECKING:
    from vallum.adapters.app import Asked
    from vallum.core.exchange import Exchange

    Environ = dict[str, Any]

RAW_TARGETS = ("RAW_URI", "REQUEST_URI")  # where servers tell the target as it was sent
# What only a server may say, and what would lead around the policy.
DROPPED = (
    "AUTH_TYPE",
    "PATH_TRANSLATED",
    "wsgi.file_wrapper",
    "werkzeug.request",
    "werkzeug.socket",
    "gunicorn.socket",
)
KEY = "vallum.principal"
# Fields that stand once, in which no comma belongs: servers write one for every field that stood there.
SINGLE = frozenset({"authorization", "host", "x-api-key"})


def read_head(environ: Environ) -> Head:
    """Read the head of a request."""
    fields: list[tuple[str, str]] = []
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            name = key[5:].replace("_", "-").lower()
            fields += [(name, one.strip()) for one in (value.split(",") if name in SINGLE else (value,))]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        value = environ.get(name)
        if value:  # empty is what CGI says for absent
            fields.append((name.replace("_", "-").lower(), str(value)))
    mount = _decode(environ.get("SCRIPT_NAME", ""))
    own = _decode(environ.get("PATH_INFO", ""))
    raw = next((str(environ[name]) for name in RAW_TARGETS if environ.get(name)), None)
    return Head(
        environ["REQUEST_METHOD"],
        None if own is None or mount is None else mount + own,
        raw,
        environ.get("QUERY_STRING", ""),
        mount or "",
        Headers(fields),
        environ.get("REMOTE_ADDR", ""),
        environ.get("wsgi.url_scheme", "http"),
        environ.get("SERVER_PROTOCOL", "HTTP/1.1").rpartition("/")[2],
    )


def write_environ(environ: Environ, asked: Asked, x: Exchange, body: Any) -> Environ:
    """Return the environ for the app."""
    mount = _decode(environ.get("SCRIPT_NAME", "")) or ""
    assert x.request.path is not None
    given = {name: value for name, value in environ.items() if not name.startswith("HTTP_") and name not in DROPPED}
    given["SCRIPT_NAME"] = _encode(mount)
    given["PATH_INFO"] = _encode(x.request.path)
    given["QUERY_STRING"] = x.request.query
    for name in RAW_TARGETS:
        if name in environ:
            given[name] = quote(mount, safe=SAFE) + asked.target
    host = x.request.headers.get("host")
    if host is not None:
        given["HTTP_HOST"] = host
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        given.pop(name, None)
    for name, value in asked.fields:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        given[key] = f"{given[key]},{value}" if key in given else value
    given["REMOTE_ADDR"] = x.request.client
    given["wsgi.input"] = BytesIO(body) if isinstance(body, bytes) else body
    given["wsgi.input_terminated"] = True
    given[KEY] = x.principal
    given.pop("REMOTE_USER", None)
    if x.principal.subject:
        given["REMOTE_USER"] = x.principal.subject
    return given


def _decode(text: str) -> str | None:
    # PEP 3333: bytes as latin-1, whatever they are.
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None


def _encode(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")
