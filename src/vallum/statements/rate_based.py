"""Match more requests than a limit, within a window, by a key.

What it stops
    Floods: from one address before anybody is asked for a credential, or by any part of a request.
Config
    `limit`, at least 10, and `window_s: 60 | 120 | 300 | 600`; `per: ip | constant`, or up to five of `ip`, `method`,
    `uri_path`, `query_string`, `{header: ..}`, `{query_argument: ..}`; `scope_down`, a statement: only what matches it
    is counted.  At the top of a rule only.
Cost
    One question to the counters' store: 3 us in memory, a round trip to a shared one.
Misses
    A flood from many addresses, and any key that callers choose as they like: a header, an argument.  An IPv6 caller's
    address is the /64 of its network.
Example
    statement: {rate_based: {limit: 100, window_s: 300, per: ip}}
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar

from vallum.core.address import ip_partition
from vallum.statements.field import is_named, query_pairs, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vallum.core.exchange import Exchange, Request

    Reader = Callable[[Request], str]


class RequestKey:
    """The key that requests are counted by; pure.

    Several parts are kept as a digest: short, whatever a caller sends, and no secret.  A part that is absent is an
    empty one: who leaves a header out is counted with all who do.
    """

    type: ClassVar[str] = "rate_based"

    def __init__(self, parts: Sequence[Reader]) -> None:
        """Put the parts together; none: one counter for all."""
        self._parts = tuple(parts)

    def of(self, x: Exchange) -> str:
        """Return the key of a request."""
        if not self._parts:
            return ""
        if self._parts == (ip,):
            return ip(x.request)
        texts = [raw(part(x.request)) for part in self._parts]
        digest = sha256(b"".join([b"%d:%s" % (len(text), text) for text in texts]))
        return digest.hexdigest()[:32]


def ip(request: Request) -> str:
    """Take the caller's address."""
    return ip_partition(request.client)


def one_header(name: str) -> Reader:
    """Make what takes one header field, all its values."""
    name = name.lower()
    return lambda request: ",".join(request.headers.all(name))


def one_query_argument(name: str) -> Reader:
    """Make what takes one parameter, all its values."""
    wanted = name.casefold()
    return lambda request: "&".join([value for key, value in query_pairs(request) if is_named(key, wanted)])


READERS: dict[str, Reader] = {
    "ip": ip,
    "method": lambda request: request.method,
    "uri_path": lambda request: request.path or "",
    "query_string": lambda request: request.query,
}
