"""The facts of a request, put together in one way for every adapter: when it came, from whom, and what it calls us."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.adapters.client_certificate import ClientCertificates
from vallum.core.address import client_address
from vallum.core.exchange import Headers, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vallum.adapters.client_certificate import Connected
    from vallum.core.address import Network


class Requests:
    """Makes requests of what an adapter was told."""

    def __init__(
        self,
        now: Callable[[], float],
        new_id: Callable[[float], str],
        trusted: Sequence[Network] = (),
        *,
        certificates: ClientCertificates | None = None,
        origin: str | None = None,
    ) -> None:
        """Stamp requests with `now` (Unix seconds) and `new_id`; believe `trusted` proxies.

        `certificates` finds whose certificate a request comes with; `origin` is what callers call, where it is not
        what the Host field says.
        """
        self._now = now
        self._new_id = new_id
        self._trusted = trusted
        self._certificates = certificates or ClientCertificates(trusted=trusted)
        self._origin = origin

    def make(
        self, who: Connected, method: str, target: tuple[str | None, str], headers: Headers, *, peer: str, scheme: str
    ) -> Request:
        """Make a request of path and query, `target`, that came from `peer`; `who` vouches for its certificate."""
        now, client = self._now(), peer
        if self._trusted:
            client = client_address(peer, headers.all("x-forwarded-for"), self._trusted)
        origin = self._origin or f"{scheme}://{headers.get('host') or ''}"
        certificate, fault = self._certificates.find(who, now)
        return Request(self._new_id(now), method, *target, headers, client, now, origin, certificate, fault)

    def make_unreadable(self, peer: str) -> Request:
        """Make a request of which nothing is known but that it came from `peer`."""
        now = self._now()
        return Request(self._new_id(now), "", None, "", Headers(), peer, now)
