"""What ASGI's scopes and messages are to us: types, and heads as facts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

from vallum.adapters.reception import Head
from vallum.core.exchange import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

SCHEMES = {"ws": "http", "wss": "https"}  # what a web socket's handshake is sent by


def read_head(scope: Scope) -> Head:
    """Read the head of a request or of a web socket's handshake."""
    raw, client, scheme = scope.get("raw_path"), scope.get("client"), scope.get("scheme") or "http"
    return Head(
        scope.get("method", "GET"),
        scope["path"],
        None if raw is None else raw.decode("latin-1"),
        scope.get("query_string", b"").decode("latin-1"),
        scope.get("root_path") or "",
        Headers(read_fields(scope["headers"])),
        client[0] if client else "",
        SCHEMES.get(scheme, scheme),
        scope.get("http_version", "1.1"),
    )


def read_fields(fields: Iterable[Sequence[bytes]]) -> list[tuple[str, str]]:
    """Decode header fields; names in lower case."""
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in fields]


def write_fields(fields: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Encode header fields; raise ValueError on one that would end early: servers do not all look."""
    written = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in fields]
    for name, value in written:
        if b"\n" in value or b"\r" in value or b"\n" in name or b"\r" in name:
            raise ValueError("a header field holds a line break")
    return written
