"""Addresses of a policy, as other gateways want them: host and port apart, and nothing secret in them."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from vallum.exporters.export import ExportError

NO_NAME = re.compile(r"[^a-z0-9]+")


class Place(NamedTuple):
    """Where a service listens."""

    host: str
    port: int
    tls: bool = False
    base: str = ""  # a path before every path

    @property
    def joined(self) -> str:
        """The address as one word."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_url(name: str, url: str) -> Place:
    """Read the address of the upstream `name`.  Raises ExportError for one that holds a secret or cannot be written."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ExportError(f"upstreams.{name}.url has a name or password in it: give it as a header instead")
    host, tls = parts.hostname or "", parts.scheme == "https"
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
        raise ExportError(f"upstreams.{name}.url: {host!r} is no name of a host")
    base = parts.path.rstrip("/")
    if not re.fullmatch(r"[A-Za-z0-9/:@!&()*+,;=._~%-]*", base):
        raise ExportError(f"upstreams.{name}.url: {base!r} cannot be written before other paths")
    return Place(host, parts.port or (443 if tls else 80), tls, base)


def read_address(text: str) -> Place:
    """Read `host:port`.  Raises ExportError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", host) or not port.isdecimal() or int(port) > 65_535:
        raise ExportError(f"{text!r} is no host:port")
    return Place(host, int(port))


def slug(text: str) -> str:
    """Return `text` in letters, digits and underscores."""
    return NO_NAME.sub("_", text.lower()).strip("_") or "x"


def slugs(names: list[str]) -> dict[str, str]:
    """Return a slug for each of `names`, no two alike."""
    found: dict[str, str] = {}
    for name in names:
        short, number = slug(name), 2
        while short in found.values():
            short, number = f"{slug(name)}_{number}", number + 1
        found[name] = short
    return found
