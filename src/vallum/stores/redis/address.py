"""Where the shared counters are: what a URL says.

    redis://[user:password@]host[:port][/db]        valkey:// is the same
    rediss://...?ca=FILE                            TLS; valkeys:// is the same
    unix://[user:password@]/path/of/socket[?db=N]
    redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]     rediss+sentinel:// with TLS
    redis+cluster://[user:password@]host[:port],host[:port]                   rediss+cluster:// with TLS

`?timeout_ms=50` is how long a request waits for the store at most.  User names and passwords are percent-encoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

Kind = Literal["single", "sentinel", "cluster"]

PORT, SENTINEL_PORT = 6379, 26379
TIMEOUT_MS = 50
SCHEME = re.compile(r"(?:redis|valkey)(s?)(?:\+(sentinel|cluster))?|unix")
HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?")
SHAPE = "write it as redis://host:6379/0, rediss://, unix:///path, redis+sentinel://a,b/service or redis+cluster://a,b"


class Endpoint(NamedTuple):
    """A server: a host and a port, or the path of a Unix socket and port 0."""

    host: str
    port: int

    def __str__(self) -> str:
        """Name it in a log line."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else self.host


@dataclass(frozen=True, slots=True)
class Address:
    """A store, and how to be let in.  The password is not shown by `repr`, and no error may quote the URL."""

    kind: Kind
    endpoints: tuple[Endpoint, ...]
    tls: bool = False
    ca: str | None = None  # file with the authorities that are believed; the system's if None
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    db: int = 0
    service: str = ""
    timeout_s: float = TIMEOUT_MS / 1000

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL.  Raise ValueError that shows how to write it, and never shows the password."""
        try:
            parts = urlsplit(url)
            scheme = SCHEME.fullmatch(parts.scheme)
            options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
            unknown = options.keys() - {"ca", "db", "timeout_ms"}
            if scheme is None or parts.fragment or unknown:
                raise ValueError
            login, _, hosts = parts.netloc.rpartition("@")
            user, _, password = login.partition(":")
            kind: Kind = "single" if scheme[2] is None else "sentinel" if scheme[2] == "sentinel" else "cluster"
            path = [] if parts.scheme == "unix" else [part for part in unquote(parts.path).split("/") if part]
            service = path.pop(0) if kind == "sentinel" else ""
            db = int(path.pop(0) if path else options.get("db", "0"))
            timeout_ms = int(options.get("timeout_ms", TIMEOUT_MS))
            if path or db < 0 or (db and kind == "cluster") or not 1 <= timeout_ms <= 60_000:
                raise ValueError
            default = SENTINEL_PORT if kind == "sentinel" else PORT
            if parts.scheme == "unix":
                if hosts or not parts.path.startswith("/"):
                    raise ValueError
                endpoints: tuple[Endpoint, ...] = (Endpoint(unquote(parts.path), 0),)
            else:
                endpoints = tuple(_endpoint(host, default) for host in hosts.split(","))
            tls = scheme[1] == "s"
            if (kind == "single" and len(endpoints) > 1) or ("ca" in options and not tls):
                raise ValueError
        except (ValueError, IndexError):
            raise ValueError(f"no address of a counter store; {SHAPE}") from None
        if login and not password:  # redis://:password@host has an empty user, redis://user@host has no password
            raise ValueError("a counter store's address names a user without a password; write user:password@host")
        return cls(
            kind, endpoints, tls, options.get("ca"), unquote(user), unquote(password), db, service, timeout_ms / 1000
        )

    def __str__(self) -> str:
        """Name the store in a log line, without a credential."""
        return ",".join(map(str, self.endpoints)) + (f"/{self.service}" if self.service else "")


def _endpoint(text: str, default: int) -> Endpoint:
    match = HOST.fullmatch(text)
    if match is None or not 0 < int(match[2] or default) < 65536:
        raise ValueError(text)
    return Endpoint(match[1].strip("[]"), int(match[2] or default))
