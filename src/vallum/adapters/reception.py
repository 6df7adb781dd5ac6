"""The reception of an app: a head as its server tells it becomes the facts of a request.

Rule 1: the path that is judged is the app's own: what follows the place at which it is mounted.
Rule 2: where the server tells the target as it was sent, one that could be read in two ways matches no route, as in the
        proxy.  Where something between the server and us has rewritten the path, what it wrote is judged, and is what
        the app is given.
Rule 3: a head whose framing could be read in two ways is malformed, whatever the server made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from vallum.core.decision import Deny, Reason
from vallum.core.target import SAFE, canonical_path, parse_target

if TYPE_CHECKING:
    from vallum.adapters.conduct import Home
    from vallum.adapters.requests import Requests
    from vallum.core.exchange import Certificate, Headers, Request

LENGTH_DIGITS = 18  # more is no length of anything


class Head(NamedTuple):
    """A request's head, as an app's server tells it."""

    method: str
    path: str | None  # decoded, as the app is told it; None: not even text
    raw: str | None  # the target as it was sent, where the server tells it
    query: str
    mount: str  # where the app is mounted, decoded
    headers: Headers
    peer: str
    scheme: str = "http"
    version: str = "1.1"
    certificate: Certificate | None = None
    certificate_fault: str = ""


class Reception:
    """Makes requests of heads, for one house."""

    def __init__(self, house: Home, requests: Requests) -> None:
        """Receive for `house`."""
        self.house = house
        self._requests = requests

    def receive(self, head: Head) -> tuple[Request, Deny | None]:
        """Return the facts of a request, and what is wrong with its framing, if anything is."""
        target = find_path(head), head.query
        request = self._requests.make(head, head.method, target, head.headers, peer=head.peer, scheme=head.scheme)
        return request, find_fault(head.headers, head.version)


def find_path(head: Head) -> str | None:
    """Return the canonical path under the app's mount, or None where there is none."""
    path = head.path
    if path is None:
        return None
    if head.raw is not None:
        canonical = parse_target(head.raw).path
        if canonical is None:
            return None
        if canonical == path:
            return strip_mount(path, head.mount)
    return canonical_path(quote(strip_mount(path, head.mount), safe=SAFE))


def strip_mount(path: str, mount: str) -> str:
    """Return what follows `mount` in `path`; all of it where it does not begin with it."""
    mount = mount.rstrip("/")
    if not mount or not path.startswith(mount):
        return path
    rest = path[len(mount) :]
    return rest if rest.startswith("/") else ("/" if not rest else path)


def find_fault(headers: Headers, version: str) -> Deny | None:
    """Refuse a head whose length or host could be read in two ways (RFC 9112 3.2, 6.3)."""
    hosts = headers.all("host")
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        return malformed(f"{len(hosts)} Host fields")
    lengths, codings = headers.all("content-length"), headers.all("transfer-encoding")
    if lengths and (len(lengths) > 1 or codings or not is_length(lengths[0])):
        return malformed("a body whose length is not one number")
    if codings and (len(codings) > 1 or codings[0].lower() != "chunked" or version == "1.0"):
        return malformed("a transfer coding that is not chunked")
    return None


def is_length(text: str) -> bool:
    """Say whether `text` is a length."""
    return text.isascii() and text.isdigit() and len(text) <= LENGTH_DIGITS


def malformed(detail: str) -> Deny:
    """Refuse what cannot be read."""
    return Deny(Reason.MALFORMED_REQUEST, "listen", detail)


def length_of(headers: Headers) -> int | None:
    """Return the declared length of a body; its field is known to hold a number."""
    declared = headers.get("content-length")
    return None if declared is None else int(declared)
