"""A real nginx asks by `auth_request`, with the configuration of docs/envoy.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.proxies import find_nginx

from vallum.adapters.beyond import Beyond
from vallum.mesh import Terms

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
routes:
  - name: predict
    match: {methods: [GET, POST], path: /v1/**}
    upstream: model
    auth: {any_of: [keys]}
    quotas: [2 per minute]
    request: {deny_fields: [denied]}
"""
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    {locations}
  }}
}}
"""


def documented() -> str:
    text = (Path(__file__).parents[3] / "docs" / "envoy.md").read_text()
    found = re.search(r"## nginx\n\n```\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def before(tmp_path: Path) -> Callable[[int, str, str], list[str]]:
    """Write nginx's configuration, and return its command."""
    nginx = find_nginx()
    if nginx is None:
        pytest.skip("no nginx: apt-get install nginx-light")

    def write(port: int, http: str, model: str) -> list[str]:
        locations = documented().replace("http://model", f"http://{model}").replace("127.0.0.1:9003", http)
        path = tmp_path / "nginx.conf"
        path.write_text(NGINX.format(folder=tmp_path, port=port, locations=locations))
        return [nginx, "-p", str(tmp_path), "-c", str(path)]

    return write


async def test_nginx_lets_in_whom_the_policy_lets_in(nginx_between: Any, before: Any) -> None:
    async with nginx_between(POLICY, before, Terms(accepted=frozenset({Beyond.BODIES}))) as nginx:
        bearer = ("Authorization", f"Bearer {nginx.key()}")
        got = await nginx.ask("/v1/x", b"{}", bearer, ("X-Original-URI", "/nowhere"), ("X-Unlisted", "1"))
        assert (got.status, nginx.told.target, nginx.told.body) == (200, "/v1/x", b"{}")
        assert nginx.heard("authorization") == nginx.heard("x-unlisted") == []
        assert nginx.heard("x-request-id") == [nginx.records[-1]["request_id"]]
        assert "bodies" in str(nginx.records[-1]["unscanned"]) or "body" in nginx.records[-1]["unscanned"]
        assert (await nginx.ask("/v1/x", None, bearer, method="GET")).status == 200
        got = await nginx.ask("/v1/x", None, bearer, method="GET")
        assert (got.status, nginx.told, json.loads(got.body)["code"]) == (429, None, "quota_exceeded")
        assert int(got.fields["retry-after"]) > 0
        got = await nginx.ask("/v1/x", None, method="GET")
        assert (got.status, json.loads(got.body)["code"]) == (401, "unauthenticated")
        assert got.fields["www-authenticate"] == "bearer"
        got = await nginx.ask("/v1/%78", None, bearer, method="GET")
        assert (got.status, nginx.told) == (404, None)


async def test_a_body_that_nobody_sees_is_refused(nginx_between: Any, before: Any) -> None:
    async with nginx_between(POLICY, before, Terms()) as nginx:
        bearer = ("Authorization", f"Bearer {nginx.key()}")
        for forged in ((), (("X-Original-Content-Length", "0"), ("X-Original-Method", "GET"))):
            got = await nginx.ask("/v1/x", b'{"denied": 1}', bearer, *forged)
            assert (got.status, nginx.told) == (403, None)
        assert (await nginx.ask("/v1/x", None, bearer, method="GET")).status == 200


async def test_who_cannot_ask_refuses(nginx_between: Any, before: Any) -> None:
    async with nginx_between(POLICY, before, Terms()) as nginx:
        nginx.mesh._servers[0].close()
        for connection in list(nginx.mesh._listener.connections):
            connection.abort()
        got = await nginx.ask("/v1/x", None, ("Authorization", f"Bearer {nginx.key()}"), method="GET")
        assert (got.status, nginx.told) == (403, None)
