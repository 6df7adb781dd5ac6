"""Match callers by their addresses.

What it stops
    Addresses and networks that are listed; with `not`, all others.
Config
    `addresses`, up to 10,000 networks as CIDR, IPv4 and IPv6.  The caller's address is the connection's, or what a
    proxy says that `trusted_proxies` lists.
Cost
    1 us, however many networks: one look-up for each length of prefix that the list has.
Misses
    Who comes from another address.  Behind a proxy that is not in `trusted_proxies`, everybody has the proxy's.
Example
    statement: {ip_set: {addresses: [192.0.2.0/24, "2001:db8::/32"]}}
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, ClassVar

from vallum.core.web_acl import Hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.core.exchange import Exchange


class IpSet:
    """The statement; pure."""

    type: ClassVar[str] = "ip_set"

    def __init__(self, addresses: Sequence[str]) -> None:
        """Sort the networks by version and length of prefix.  Raise ValueError for what is no network."""
        found: dict[tuple[int, int], set[int]] = {}
        for text in addresses:
            network = ip_network(text)
            shift = network.max_prefixlen - network.prefixlen
            found.setdefault((network.version, shift), set()).add(int(network.network_address) >> shift)
        self._networks = {
            version: tuple([(shift, members) for (each, shift), members in found.items() if each == version])
            for version in (4, 6)
        }

    def match(self, x: Exchange) -> Hit | None:
        """Say whether the caller's address is in the set; what is no address is in none."""
        parsed = parse(x.request.client)
        if parsed is None:
            return None
        number = int(parsed)
        for shift, members in self._networks[parsed.version]:
            if number >> shift in members:
                return Hit(self.type, "", f"{parsed.max_prefixlen - shift} bits of the address")
        return None


@lru_cache(maxsize=4096)
def parse(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, an IPv4 one that is written as IPv6 as what it is, or None."""
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
