"""A real Envoy asks, over gRPC and over HTTP: what reaches the model, and what reaches the caller."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vallum.adapters.beyond import Beyond
from vallum.mesh import Terms

POLICY = """
version: 1
trusted_proxies: [127.0.0.1]
upstreams: {model: {url: "http://127.0.0.1:9", headers: {x-model-key: hidden}}}
authenticators: {keys: {type: api_key}, open: {type: anonymous}}
routes:
  - name: predict
    match: {methods: [POST], path: /predict/**}
    upstream: model
    auth: {any_of: [keys]}
    quotas: [3 per minute]
    request: {max_bytes: 1000, deny_fields: [denied], sanitize: {html: strip}}
  - name: list
    match: {methods: [GET], path: /list}
    upstream: model
    auth: {any_of: [open]}
  - name: raw
    match: {methods: [GET, POST], path: /raw/**}
    upstream: model
    preset: raw
    auth: {any_of: [open]}
    request: {max_bytes: 3000}
  - name: filtered
    match: {methods: [POST], path: /filtered}
    upstream: model
    auth: {any_of: [open]}
    response: {fields: [prediction]}
"""
BOTH = pytest.mark.parametrize("http", [False, True], ids=["grpc", "http"])


@BOTH
async def test_who_may_pass_reaches_the_model_as_through_the_gateway(between: Any, filters: Any, http: bool) -> None:
    async with between(POLICY, filters["authz"](http=http)) as envoy:
        forged = (
            ("X-Request-Id", "mine"),
            ("X-Model-Key", "forged"),
            ("X-Unlisted", "1"),
            ("Cookie", "a=b"),
            ("X-Envoy-Auth-Partial-Body", "false"),
            ("X-Forwarded-For", "10.0.0.9"),
        )
        key = envoy.key()
        got = await envoy.ask("/predict/x", b'{"a": 1}', ("Authorization", f"Bearer {key}"), *forged)
        assert (got.status, got.body) == (200, b'{"prediction":"spam"}')
        assert (envoy.told.method, envoy.told.target, envoy.told.body) == ("POST", "/predict/x", b'{"a": 1}')
        assert envoy.heard("x-model-key") == ["hidden"]
        assert envoy.heard("x-request-id") == [envoy.records[-1]["request_id"]] == [got.fields["x-request-id"]]
        for name in ("authorization", "x-unlisted", "cookie", "x-envoy-auth-partial-body"):
            assert envoy.heard(name) == [], name
        assert "r=2" in got.fields["ratelimit"]
        assert envoy.records[-1]["client"] != "10.0.0.9"


@BOTH
async def test_a_refusal_is_the_gateways_own(between: Any, filters: Any, http: bool) -> None:
    async with between(POLICY, filters["authz"](http=http)) as envoy:
        got = await envoy.ask("/predict/x")
        assert (got.status, envoy.told) == (401, None)
        assert got.fields["www-authenticate"] == "bearer"
        assert got.fields["content-type"] == "application/problem+json"
        assert json.loads(got.body)["code"] == "unauthenticated"
        bearer = ("Authorization", f"Bearer {envoy.key()}")
        got = await envoy.ask("/predict/x", b'{"denied": 1}', bearer)
        assert (got.status, json.loads(got.body)["errors"]) == (400, [{"pointer": "/denied", "rule": "denied_field"}])
        for status in (200, 200, 429):
            got = await envoy.ask("/predict/x", b"{}", bearer)
            assert got.status == status
        assert int(got.fields["retry-after"]) > 0
        assert json.loads(got.body)["code"] == "quota_exceeded"
        assert (await envoy.ask("/nowhere")).status == 404
        two = await envoy.ask("/predict/x", b"{}", bearer, bearer)
        assert (two.status, envoy.told) == (401, None)


@BOTH
async def test_bodies_are_seen_whole_or_refused(between: Any, filters: Any, http: bool) -> None:
    async with between(POLICY, filters["authz"](http=http)) as envoy:
        bearer = f"Authorization: Bearer {envoy.key()}\r\n"
        got = await envoy.ask("/predict/x", b'{"a": "' + b"a" * 1000 + b'"}', tuple(bearer[:-2].split(": ")))
        assert (got.status, json.loads(got.body)["code"]) == (413, "body_too_large")
        got = await envoy.ask("/predict/x", b'{"a": "' + b"a" * 3000 + b'"}', tuple(bearer[:-2].split(": ")))
        assert (got.status, envoy.told) == (413, None)
        head = f"POST /predict/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{bearer}Content-Type: application/json\r\n"
        chunked = head + "Transfer-Encoding: chunked\r\n\r\n"
        got = await envoy.send(chunked.encode() + b'b\r\n{"denied":1\r\n1\r\n}\r\n0\r\n\r\n')
        assert (got.status, envoy.told) == (400, None)
        got = await envoy.send(chunked.encode() + b'6\r\n{"a":1\r\n1\r\n}\r\n0\r\n\r\n')
        assert (got.status, envoy.told and envoy.told.body) == (200, b'{"a":1}')


@BOTH
async def test_a_body_that_was_cut_off_is_refused(between: Any, filters: Any, http: bool) -> None:
    async with between(
        POLICY.replace("max_bytes: 1000", "max_bytes: 9000"), filters["authz"](http=http, partial=True)
    ) as envoy:
        bearer = ("Authorization", f"Bearer {envoy.key()}")
        body = b'{"a": "' + b"a" * 3000 + b'"}'
        for forged in ((), (("X-Envoy-Auth-Partial-Body", "false"),)):
            got = await envoy.ask("/predict/x", body, bearer, *forged)
            assert (got.status, envoy.told) == (413, None)


@BOTH
async def test_a_body_that_is_not_passed_on_is_refused(between: Any, filters: Any, http: bool) -> None:
    async with between(POLICY, filters["authz"](http=http, body=False)) as envoy:
        bearer = ("Authorization", f"Bearer {envoy.key()}")
        got = await envoy.ask("/predict/x", b'{"denied": 1}', bearer)
        assert (got.status, envoy.told) == (403 if http else 503, None)


@BOTH
async def test_no_word_of_the_callers_stands_for_a_body_that_is_not_passed_on(
    between: Any, filters: Any, http: bool
) -> None:
    async with between(POLICY, filters["authz"](http=http, body=False)) as envoy:
        head = (
            f"POST /predict/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {envoy.key()}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nX-Envoy-Auth-Partial-Body: false\r\n\r\n"
        )
        got = await envoy.send(head.encode() + b'c\r\n{"denied":1}\r\n0\r\n\r\n')
        assert (got.status, envoy.told) == (403 if http else 503, None)


@BOTH
@pytest.mark.parametrize("body", [False, True])
async def test_what_has_no_body_passes(between: Any, filters: Any, http: bool, body: bool) -> None:
    async with between(POLICY, filters["authz"](http=http, body=body)) as envoy:
        assert (await envoy.ask("/list", None, method="GET")).status == 200
        assert envoy.told is not None
        assert (await envoy.ask("/list", None, ("Content-Type", "application/json"), method="GET")).status == 200


@BOTH
async def test_what_nginx_would_say_is_a_field_like_others_here(between: Any, filters: Any, http: bool) -> None:
    async with between(POLICY, filters["authz"](http=http)) as envoy:
        assert (await envoy.ask("/raw/x", None, ("X-Original-URI", "/admin"), method="GET")).status == 200
        assert envoy.heard("x-original-uri") == []


@BOTH
async def test_what_is_beyond_a_proxy_that_asks_is_refused(between: Any, filters: Any, http: bool) -> None:
    async with between(POLICY, filters["authz"](http=http)) as envoy:
        bearer = ("Authorization", f"Bearer {envoy.key()}")
        got = await envoy.ask("/predict/x", b'{"a": "<b>x</b>"}', bearer)
        assert (got.status, envoy.told) == (403, None)
        assert "--accept-loss rewrites" in envoy.records[-1]["detail"]
        got = await envoy.ask("/filtered", b"{}")
        assert (got.status, envoy.told) == (403 if http else 503, None)
        assert json.loads(got.body)["status"] == 503


async def test_accepted_losses_pass_and_are_recorded(between: Any, filters: Any) -> None:
    async with between(POLICY, filters["authz"](), terms=Terms(accepted=frozenset(Beyond))) as envoy:
        bearer = ("Authorization", f"Bearer {envoy.key()}")
        got = await envoy.ask("/predict/x", b'{"a": "<b>x</b>"}', bearer)
        assert (got.status, envoy.told.body) == (200, b'{"a": "<b>x</b>"}')
        assert "rewrites (an accepted loss)" in envoy.records[-1]["unscanned"]


async def test_the_path_that_was_matched_is_the_path_that_is_forwarded(between: Any, filters: Any) -> None:
    async with between(POLICY, filters["authz"]()) as envoy:
        bearer = ("Authorization", f"Bearer {envoy.key()}")
        got = await envoy.ask("/predict/%78", b"{}", bearer)
        assert (got.status, envoy.told.target) == (200, "/predict/x")


async def test_no_upgrade_reaches_the_model(between: Any, filters: Any) -> None:
    async with between(POLICY, filters["authz"]()) as envoy:
        fields = (("Upgrade", "websocket"), ("Sec-WebSocket-Key", "x"), ("Sec-WebSocket-Version", "13"))
        head = "GET /raw/x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        got = await envoy.send((head + lines + "\r\n").encode(), whole=False)
        assert (got.status, envoy.told) == (400, None)


@BOTH
async def test_who_cannot_ask_refuses(between: Any, filters: Any, http: bool) -> None:
    async with between(POLICY, filters["authz"](http=http)) as envoy:
        await envoy.mesh._server.stop(0)
        envoy.mesh._servers[0].close()
        for connection in list(envoy.mesh._listener.connections):
            connection.abort()
        got = await envoy.ask("/raw/x", None, method="GET")
        assert (got.status, envoy.told) == (403, None)
