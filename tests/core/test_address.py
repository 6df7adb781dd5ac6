"""Whose address a request came from, and whose bucket it fills."""

from __future__ import annotations

import pytest

from vallum.core.address import client_address, ip_partition, join_address, parse_networks, split_address, within

PROXIES = ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        # not from a proxy: nothing it says is believed
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.1"], "198.51.100.7"),
        ("198.51.100.7", ["10.0.0.1"], "198.51.100.7"),
        # from a proxy: the last entry that is no proxy
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", ["203.0.113.1, 10.0.0.2"], "203.0.113.1"),
        ("10.0.0.1", ["203.0.113.1", "10.0.0.2"], "203.0.113.1"),
        ("10.0.0.1", [" 203.0.113.1 ,\t10.0.0.2 "], "203.0.113.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", ["::ffff:203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", ["203.0.113.1, ::ffff:10.0.0.2"], "203.0.113.1"),
        ("10.0.0.1", ["2001:DB8:0::1"], "2001:db8::1"),
        # spoofs: what the client wrote stands further left
        ("10.0.0.1", ["1.1.1.1, 203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", ["10.9.9.9, 203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.1, 10.0.0.2"], "203.0.113.1"),
        # what is no address ends the belief
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.1,"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.1:4711"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db8::1]"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, evil, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.01"], "10.0.0.1"),
        ("10.0.0.1", ["3405803777"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.1/32"], "10.0.0.1"),
    ],
)
def test_the_client_behind_trusted_proxies(peer: str, forwarded_for: list[str], client: str) -> None:
    assert client_address(peer, forwarded_for, parse_networks(PROXIES)) == client


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert client_address("10.0.0.1", ["203.0.113.1"], ()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::1", "2001:db8:0:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix:/run/socket", "unix:/run/socket"),
    ],
)
def test_an_ipv6_customer_holds_one_bucket(address: str, bucket: str) -> None:
    assert ip_partition(address) == bucket


@pytest.mark.parametrize(
    ("address", "networks", "inside"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("11.1.2.3", ["10.0.0.0/8"], False),
        ("10.1.2.3", ["192.0.2.0/24", "10.0.0.0/8"], True),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("2001:db8::1", ["10.0.0.0/8"], False),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("10.1.2.3", ["::/0"], False),
        ("192.0.2.1", ["192.0.2.1"], True),
        ("192.0.2.2", ["192.0.2.1"], False),
        ("nobody", ["0.0.0.0/0", "::/0"], False),
        ("10.1.2.3", [], False),
    ],
)
def test_within(address: str, networks: list[str], inside: bool) -> None:
    assert within(address, parse_networks(networks)) is inside


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "host", "", "10.0.0"])
def test_blocks_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_networks([text])


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:1", "localhost", 1),
        ("[::1]:8080", "::1", 8080),
        (":8080", "0.0.0.0", 8080),
        ("h:65535", "h", 65_535),
        ("h:0", "h", 0),
    ],
)
def test_where_to_listen(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


@pytest.mark.parametrize("address", ["", "8080", "h:", "h:x", "h:65536", "h:-1", "h: 80", "h:٣", "h:²"])
def test_what_is_no_place_to_listen(address: str) -> None:
    with pytest.raises(ValueError, match="is no host:port"):
        split_address(address)


@pytest.mark.parametrize(
    ("host", "port", "text"), [("127.0.0.1", 80, "127.0.0.1:80"), ("::1", 80, "[::1]:80"), ("h", 0, "h:0")]
)
def test_a_place_as_it_is_written(host: str, port: int, text: str) -> None:
    assert join_address(host, port) == text
