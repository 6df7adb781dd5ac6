"""Addresses: whose a request came from, and how host:port is written.

Rule: the connection's peer is the client, unless the peer is a listed proxy; then the last entry of X-Forwarded-For
that is not itself a listed proxy is.  Anything the client wrote further left is never believed.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Network = IPv4Network | IPv6Network


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Parse CIDR blocks; a plain address is a block of one.  Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the caller's address given the peer's and every X-Forwarded-For value, in order."""
    if not trusted or not within(peer, trusted):
        return peer
    client = peer
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    for hop in reversed(hops):
        try:
            client = str(_parse(hop))
        except ValueError:
            return client  # not an address: nothing left of it can be believed
        if not within(client, trusted):
            return client
    return client


@lru_cache(maxsize=4096)
def ip_partition(address: str) -> str:
    """Return the bucket of an address: itself, or its /64 for IPv6, which one customer holds whole."""
    try:
        parsed = _parse(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return str(parsed)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return the network that an address most likely shares with its holder's other ones: its /24, or /48 for IPv6."""
    try:
        parsed = _parse(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 48), strict=False))
    return str(IPv4Network((parsed, 24), strict=False))


def within(address: str, networks: Sequence[Network]) -> bool:
    """Say whether `address` lies in one of `networks`; what is no address lies in none."""
    try:
        parsed = _parse(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def _parse(text: str) -> IPv4Address | IPv6Address:
    parsed = ip_address(text)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def split_address(address: str) -> tuple[str, int]:
    """Split host:port, or [v6]:port; raise ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError(f"{address!r} is no host:port")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  no host is every address, as everywhere


def join_address(host: str, port: int) -> str:
    """Write host:port, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
