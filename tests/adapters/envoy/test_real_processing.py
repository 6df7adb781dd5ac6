"""Who calls, as a real Envoy tells its external processing service: by address and by certificate."""

from __future__ import annotations

import json
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import yaml

if TYPE_CHECKING:
    from tests.conftest import Authority

DOCS = Path(__file__).parents[3] / "docs" / "envoy_processing.md"
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


def documented_filter() -> str:
    found = re.search(r"```yaml\n(name: envoy.filters.http.ext_proc\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return f"- {json.dumps(yaml.safe_load(found[1]))}"


async def test_a_certificate_is_the_identity(between: Any, tmp_path: Path, authority: Authority) -> None:
    alice, bob = authority.issue("spiffe://prod.example/alice"), authority.issue("spiffe://prod.example/bob")
    authority.issue("localhost").write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "crl.pem").write_bytes(authority.revoke(bob))
    forged = ("X-Forwarded-Client-Cert", f'Cert="{quote(alice.pem, safe="")}"')
    async with between(POLICY, documented_filter(), tls=True) as envoy:
        for issued, status in ((alice, 200), (bob, 401), (None, 401)):
            for fields in ((), (forged,)):
                envoy.context = ssl.create_default_context(cadata=authority.pem.decode())
                if issued is not None:
                    envoy.context.load_cert_chain(*issued.write(tmp_path, "presented"))
                got = await envoy.ask("/raw", b"{}", *fields, ("X-Forwarded-For", "10.0.0.9"))
                assert (got.status, envoy.told is None) == (status, status != 200)
                if status == 200:
                    record = await envoy.record()
                    assert record["subject"] == "spiffe://prod.example/alice"
                    assert record["client"] != "10.0.0.9"  # Envoy wrote another address after it
                    assert envoy.heard("x-forwarded-client-cert") == []
