# ruff: noqa: E501  routes are easier to compare in one line each
"""A real nginx with the exported configuration, which asks the real `vallum envoy`."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest
from tests.clock import read_clock
from tests.exporters.test_envoy_asking import serving
from tests.ports import find_port
from tests.proxies import find_nginx, running

from vallum.adapters.beyond import Beyond
from vallum.cli.keys import issue
from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.apikey import DEFAULT_PREFIX
from vallum.core.target import parse_target
from vallum.exporters.nginx import Nginx
from vallum.mesh import Mesh, Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Authority, Issued
    from tests.exporters.conftest import Model

    from vallum.core.policy import Policy

pytestmark = pytest.mark.skipif(find_nginx() is None, reason="NO NGINX: apt-get install nginx-light")

POLICY = """
version: 1
listen:
  address: "127.0.0.1:{port}"
  tls: {{cert: server.pem, key: server.key, client_ca: ca.pem, client_auth: optional}}
admin: {{address: "127.0.0.1:0"}}
registry: "sqlite:///{folder}/vallum.db"
trusted_proxies: ["127.0.0.1/32"]
client_certificate: {{header: x-ssl-client-cert}}
upstreams:
  model: {{url: "http://127.0.0.1:{model}/base", timeout_s: 5, headers: {{X-Own-Key: "s3cr3t$1"}}}}
authenticators:
  keys: {{type: api_key}}
  open: {{type: anonymous}}
  certs: {{type: mtls, subject: san_dns, allow: ["*.clients.example"]}}
web_acls:
  nets: {{rules: [{{name: not-here, priority: 1, statement: {{ip_set: {{addresses: [127.0.0.0/8]}}}}}}]}}
routes:
  - name: predict
    match: {{methods: [POST], path: /predict}}
    upstream: model
    auth: {{any_of: [keys], scopes: ["predict:read"]}}
    quotas: [5 per minute, 4 per hour]
    request: {{max_bytes: 3000000, headers: [x-trace]}}
    response: {{drop_headers: [x-version]}}
  - {{name: fenced, match: {{methods: [POST], path: /fenced}}, upstream: model, auth: {{any_of: [keys]}}, quotas: [3 per minute]}}
  - {{name: by-certificate, match: {{methods: [POST], path: /cert}}, upstream: model, auth: {{any_of: [certs]}}}}
  - {{name: read, match: {{methods: [GET], path: /predict}}, upstream: model, auth: {{any_of: [open]}}, request: {{max_bytes: 0}}}}
  - {{name: nets, match: {{methods: [GET], path: /nets}}, upstream: model, auth: {{any_of: [open]}}, web_acl: nets}}
  - {{name: stream, match: {{methods: [GET], path: /stream}}, upstream: model, auth: {{any_of: [open]}}}}
  - name: files
    match: {{methods: [GET], path: "/files/{{name}}/**", exclude: [/files/private/**]}}
    upstream: model
    auth: {{any_of: [open]}}
    request: {{query: [lang, size]}}
  - {{name: odd, match: {{methods: [GET], path: "/o'd$d;(x)/*"}}, upstream: model, auth: {{any_of: [open]}}}}
"""
MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/client_body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/vallum.conf;
}}
"""
GOOD = {"input_text": "a good day"}


class Gateway(NamedTuple):
    """nginx before a model, with Vallum beside it."""

    url: str
    folder: Path
    authority: Authority
    mesh: Mesh
    policy: Policy

    def client(self, issued: Issued | None = None) -> httpx.AsyncClient:
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        context.check_hostname = False
        if issued is not None:
            context.load_cert_chain(*issued.write(self.folder, "presented"))
        return httpx.AsyncClient(base_url=self.url, timeout=10, verify=context)

    def key(self, subject: str, *scopes: str) -> dict[str, str]:
        now = read_clock()
        return {"X-API-Key": issue(self.mesh.registry, DEFAULT_PREFIX, now, subject=subject, scopes=scopes)[0]}


@asynccontextmanager
async def run_nginx(folder: Path, port: int) -> AsyncIterator[None]:
    user = "user root;" if os.getuid() == 0 else ""  # else it would be nobody, who may not write here
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
    async with running(find_nginx() or "", "-p", str(folder), "-c", str(folder / "nginx.conf"), port=port):
        yield


@pytest.fixture
async def nginx(tmp_path: Path, model: Model, authority: Authority) -> AsyncIterator[Gateway]:
    """Export the policy, run nginx with it and Vallum beside it."""
    port, asked = find_port(), f"127.0.0.1:{find_port()}"
    authority.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    text = POLICY.format(port=port, model=model.port, folder=tmp_path)
    source = parse_source(tmp_path / "vallum.yaml", text.encode())
    config, policy = load_policy(source)
    (text,) = Nginx(vallum=asked, folder=str(tmp_path)).write(config, policy).files.values()
    assert "s3cr3t" not in text
    (tmp_path / "vallum.conf").write_text(text)
    terms = Terms("127.0.0.1:0", asked, frozenset(Beyond))
    async with serving(Mesh(config, policy, source, terms)) as mesh, run_nginx(tmp_path, port):
        yield Gateway(f"https://127.0.0.1:{port}", tmp_path, authority, mesh, policy)


async def test_callers_are_asked_for_and_limits_are_exact(nginx: Gateway, model: Model) -> None:
    right, poor = nginx.key("alice", "predict:read"), nginx.key("bob")
    async with nginx.client() as client:
        for fields, status in (({}, 401), ({"X-API-Key": "wrong"}, 401), (poor, 403)):
            answer = await client.post("/predict", json=GOOD, headers=fields)
            assert (answer.status_code, answer.json()["status"]) == (status, status)
            challenges = answer.headers.get_list("www-authenticate")
            assert len(challenges) == (status == 401 or "scope" in answer.text), challenges
        assert model.asked == []
        forged = {"X-Original-URI": "/stream", "X-Original-Method": "GET", "X-Vallum-Status": "200"}
        assert (await client.post("/predict", json=GOOD, headers=forged)).status_code == 401
        answers = [await client.post("/predict", json=GOOD, headers={**right, "X-Trace": "t"}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]  # the fence would admit a fifth
    assert answers[4].json()["code"]
    assert int(answers[4].headers["retry-after"]) > 0
    assert "x-version" not in answers[0].headers
    head, fields, body = model.asked[0]
    assert (head, json.loads(body)) == ("POST /base/predict HTTP/1.1", GOOD)
    assert (fields["x-own-key"], fields["x-trace"]) == ("s3cr3t$1", "t")
    assert not fields.keys() & {"x-api-key", "user-agent", "authorization", "cookie", "x-ssl-client-cert"}


async def test_the_fence_refuses_before_vallum_is_asked(nginx: Gateway) -> None:
    junk = {"X-API-Key": "nonsense"}
    async with nginx.client() as client:
        statuses = [(await client.post("/fenced", json=GOOD, headers=junk)).status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        bearer = {"Authorization": "Bearer nonsense"}
        assert (await client.post("/fenced", json=GOOD, headers=bearer)).status_code == 429  # the same key


async def test_bodies_methods_queries_and_addresses(nginx: Gateway, model: Model) -> None:
    key = nginx.key("alice", "predict:read")
    async with nginx.client() as client:
        assert (await client.post("/predict", content=b"x" * 3_000_001, headers=key)).status_code == 413
        assert (await client.post("/predict", content=b"x" * 3_000_000, headers=key)).status_code == 200
        assert (await client.post("/fenced", content=b"x" * 1_048_577, headers=key)).status_code == 413
        assert (await client.put("/predict", json=GOOD, headers=key)).status_code == 404
        assert (await client.get("/predict")).status_code == 200  # another route, by its method
        assert (await client.request("GET", "/predict", content=b"x")).status_code == 413
        assert (await client.get("/predict?a=1")).status_code == 400
        assert (await client.get("/predict?0")).status_code == 400
        assert (await client.get("/files/a?lang=de&size=1")).status_code == 200
        assert (await client.get("/files/a?lang=de&debug=1")).status_code == 400
        assert (await client.get("/nets")).status_code == 403
        for inside in ("/.vallum/route/predict", "/.vallum/decide", "/.vallum/", "/.vallum/route/read"):
            assert (await client.get(inside)).status_code == 404


async def test_certificates_say_who_calls(nginx: Gateway) -> None:
    alice = nginx.authority.issue("alice.clients.example")
    carol = nginx.authority.issue("carol.elsewhere.example")
    forged = {"X-SSL-Client-Cert": alice.pem.decode().replace("\n", "%0A")}
    for issued, status in ((None, 401), (carol, 401), (alice, 200)):
        async with nginx.client(issued) as client:
            assert (await client.post("/cert", json=GOOD, headers=forged)).status_code == status
    stranger = type(nginx.authority)("another").issue("alice.clients.example")
    async with nginx.client(stranger) as client:
        assert (await client.post("/cert", json=GOOD)).status_code == 400


async def test_streams_stay_live(nginx: Gateway) -> None:
    loop = asyncio.get_running_loop()
    async with nginx.client() as client, client.stream("GET", "/stream") as answer:
        came = [loop.time() async for line in answer.aiter_lines() if line.startswith("data: {")]
    assert len(came) == 4
    assert came[-1] - came[0] > 0.3


async def test_without_vallum_nothing_passes(nginx: Gateway, model: Model) -> None:
    key = nginx.key("alice", "predict:read")
    for server in nginx.mesh._servers:
        server.close()
    async with nginx.client() as client:
        assert (await client.post("/predict", json=GOOD, headers=key)).status_code == 503
        assert (await client.get("/predict")).status_code == 503
    assert model.asked == []


PATHS = [
    *("/predict", "/%70redict", "/predict/", "/Predict", "/predict;a", "/predict%3Ba", "/./predict", "/a/../predict"),
    *("//predict", "/predict//", "/%2fpredict", "/predict%2f", "/predict%00", "/predict%0a", "/predict%", "/predict%7"),
    *("/predict%25", "/predict%3f", "/predict%23", "/predict%5c", "/%2e/predict", "/a/%2e%2e/predict", "/;/predict"),
    *("/a/.;x/../predict", "/files", "/files/", "/files/a", "/files/a/", "/files/a/b/c", "/files//b", "/files/a/../b"),
    *(
        "/files/t%C3%A9",
        "/files/%C3",
        "/files/%A9",
        "/files/%C0%AF",
        "/files/%FF",
        "/files/a%C3%A9%A9",
        "/files/.../a",
    ),
    *(
        "/files/private",
        "/files/private/a",
        "/files/PRIVATE/a",
        "/files/private;x/a",
        "/files/private%3Bx",
        "/files/privat",
    ),
    *(
        "/files/private/",
        "/files/a/..;/private",
        "/o'd$d;(x)/a",
        "/o'd$d;(x)/",
        "/o%27d%24d%3b(x)/a",
        "/.vallum/route/read",
    ),
    *("/files/%e2%82%ac", "/files/%F0%9F%98%80", "/files/..", "/files/.", "/files/a/.", "/files/;a", "/files/a;b", "/"),
    *(
        "/files/" + "a/" * 200,
        "/files/" + "a" * 4000,
        "/files/" + "%41" * 1000,
        "/files/a%7f",
        "/files/a%20b",
        '/files/"',
    ),
]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_path_takes_the_route_that_the_policy_gives_it(nginx: Gateway, model: Model, method: str) -> None:
    open_routes = [route for route in nginx.policy.routes if route.name in ("read", "files", "odd")]
    async with nginx.client() as client:
        for raw in PATHS:
            path, _ = parse_target(raw)
            found = None if path is None else nginx.policy.find_route(method, path)
            model.asked.clear()
            status = (await client.request(method, "/", extensions={"target": raw.encode()})).status_code
            if found is not None and status == 404:
                assert "%" in raw  # another spelling, which nginx would forward as it came: Vallum says no
            elif found in open_routes:
                assert (status, model.asked[0][0]) == (200, f"{method} /base{raw} HTTP/1.1"), raw
            else:
                assert (status, model.asked) == (401 if found else 400 if status == 400 else 404, []), raw
