"""Client certificates that a real Envoy vouches for: by its field, or by the connection that it tells of."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Authority

POLICY = """
version: 1
trusted_proxies: [127.0.0.1]
client_certificate: {header: x-forwarded-client-cert, client_ca: ca.pem, crl: crl.pem}
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {certs: {type: mtls, subject: san_uri, trust_domain: prod.example}}
routes:
  - name: raw
    match: {methods: [POST], path: /raw}
    upstream: model
    preset: raw
    auth: {any_of: [certs]}
"""


@pytest.mark.parametrize("peer", [False, True], ids=["the field", "the connection"])
async def test_a_certificate_is_the_identity(
    between: Any, filters: Any, tmp_path: Path, authority: Authority, peer: bool
) -> None:
    alice, bob = authority.issue("spiffe://prod.example/alice"), authority.issue("spiffe://prod.example/bob")
    other = authority.issue("spiffe://elsewhere.example/eve")
    authority.issue("localhost").write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "crl.pem").write_bytes(authority.revoke(bob))
    forged = ("X-Forwarded-Client-Cert", f'Cert="{quote(alice.pem, safe="")}"')
    async with between(POLICY, filters["authz"](peer=peer), tls=True) as envoy:
        for issued, status in ((alice, 200), (bob, 401), (other, 401), (None, 401)):
            for fields in ((), (forged,), (forged, forged)):
                envoy.context = ssl.create_default_context(cadata=authority.pem.decode())
                if issued is not None:
                    envoy.context.load_cert_chain(*issued.write(tmp_path, "presented"))
                got = await envoy.ask("/raw", b"{}", *fields)
                assert (got.status, envoy.told is None) == (status, status != 200)
                if status == 200:
                    assert envoy.records[-1]["subject"] == "spiffe://prod.example/alice"
                    assert envoy.heard("x-forwarded-client-cert") == []


async def test_without_the_key_no_word_on_certificates_is_believed(
    between: Any, filters: Any, tmp_path: Path, authority: Authority
) -> None:
    alice = authority.issue("spiffe://prod.example/alice")
    authority.issue("localhost").write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    policy = POLICY.replace(
        "certs: {type: mtls, subject: san_uri, trust_domain: prod.example}", "certs: {type: api_key}"
    )
    policy = "\n".join(line for line in policy.split("\n") if "client_certificate" not in line)
    async with between(policy, filters["authz"](peer=True), tls=True) as envoy:
        envoy.context = ssl.create_default_context(cadata=authority.pem.decode())
        envoy.context.load_cert_chain(*alice.write(tmp_path, "presented"))
        assert (await envoy.ask("/raw")).status == 401
