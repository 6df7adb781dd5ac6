"""One table of exchanges, two adapters: what the conversation decides in memory is what a client gets over TCP.

Another adapter (ASGI, WSGI, Envoy) joins by a class with `ask` in conftest.py, and no row changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.parity.conftest import Both

POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}, nobody: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}, open: {type: anonymous}}
routes:
  - name: predict
    match: {methods: [POST], path: /predict/**}
    upstream: model
    auth: {any_of: [keys], scopes: [predict]}
    request:
      max_bytes: 400
      max_depth: 4
      query: [q]
      deny_fields: [denied]
      sanitize: {html: strip, unicode: NFKC, max_chars: 50}
    response: {fields: [prediction, confidence], confidence: {field: confidence, bands: {high: 0.9, low: 0.0}},
               max_bytes: 4000}
  - name: chat
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: model
    preset: openai.chat
    auth: {any_of: [keys]}
    request: {deny_fields: [logprobs]}
    response: {drop_fields: [logits], allow_fields: [prediction]}
  - name: tight
    match: {methods: [POST], path: /tight}
    upstream: model
    auth: {any_of: [keys]}
    quotas: [2 per minute]
  - name: shadow
    match: {methods: [POST], path: /shadow}
    mode: shadow
    upstream: model
    auth: {any_of: [keys], scopes: [nobody-has-it]}
    request: {deny_fields: [denied]}
    response: {fields: [prediction]}
  - name: raw
    match: {methods: [GET, POST, PUT], path: /raw/**}
    upstream: model
    preset: raw
    auth: {any_of: [keys]}
    request: {max_bytes: 100, query: any}
  - name: open
    match: {methods: [GET, POST], path: /open}
    upstream: model
    auth: {any_of: [open]}
  - name: dead
    match: {methods: [POST], path: /dead}
    upstream: nobody
    auth: {any_of: [keys]}
"""


class Row(NamedTuple):
    """One exchange, and what must come of it, whoever conducts it."""

    name: str
    method: str
    target: str
    body: bytes | None
    decision: str
    reason: str | None
    status: int
    key: str | None = "good"
    headers: tuple[tuple[str, str], ...] = ()
    media_type: str | None = "application/json"
    times: int = 1


GOOD = b'{"input_text": "a good day"}'
HELLO = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'
POST, P = "POST", "/predict/x"
ROWS = [
    Row("honest", POST, P, GOOD, "allow", None, 200),
    Row("honest, in X-API-Key", POST, P, GOOD, "allow", None, 200, "x-api-key"),
    Row("honest, with a query", POST, P + "?q=1", GOOD, "allow", None, 200),
    Row("honest, spelled otherwise", POST, "/predict/%78", GOOD, "allow", None, 200),
    Row("honest, absolute", POST, "http://other/predict/x", GOOD, "allow", None, 200),
    Row("markup", POST, P, b'{"input_text": "a <b>good</b> day"}', "allow", None, 200),
    Row("a charset", POST, P, GOOD, "allow", None, 200, media_type='application/json; charset="UTF-8"'),
    Row("no key", POST, P, GOOD, "challenge", "unauthenticated", 401, None),
    Row("an unknown key", POST, P, GOOD, "challenge", "unauthenticated", 401, "unknown"),
    Row("half a key", POST, P, GOOD, "challenge", "unauthenticated", 401, "malformed"),
    Row("a revoked key", POST, P, GOOD, "challenge", "unauthenticated", 401, "revoked"),
    Row("two keys", POST, P, GOOD, "challenge", "unauthenticated", 401, headers=(("X-API-Key", "x"),)),
    Row("another scope", POST, P, GOOD, "deny", "insufficient_scope", 403, "unscoped"),
    Row("no route", POST, "/nowhere", GOOD, "deny", "not_found", 404),
    Row("another method", "PUT", P, GOOD, "deny", "not_found", 404),
    Row("head of no route", "HEAD", P, None, "deny", "not_found", 404),
    Row("dots", POST, "/predict/../predict/x", GOOD, "deny", "not_found", 404),
    Row("an encoded slash", POST, "/predict%2Fx", GOOD, "deny", "not_found", 404),
    Row("two slashes", POST, "//predict/x", GOOD, "deny", "not_found", 404),
    Row("too much, declared", POST, P, b"a" * 401, "deny", "body_too_large", 413),
    Row("plain text", POST, P, GOOD, "deny", "unsupported_media_type", 415, media_type="text/plain"),
    Row("no type", POST, P, GOOD, "deny", "unsupported_media_type", 415, media_type=None),
    Row("compressed", POST, P, GOOD, "deny", "unsupported_media_type", 415, headers=(("Content-Encoding", "gzip"),)),
    Row("an unknown parameter", POST, P + "?x=1", GOOD, "deny", "invalid_request", 400),
    Row("no JSON", POST, P, b"{", "deny", "malformed_request", 400),
    Row("a key twice", POST, P, b'{"a": 1, "\\u0061": 2}', "deny", "malformed_request", 400),
    Row("an infinite number", POST, P, b"[1e400]", "deny", "malformed_request", 400),
    Row("not UTF-8", POST, P, b'"\xff"', "deny", "malformed_request", 400),
    Row("too deep", POST, P, b"[[[[[[1]]]]]]", "deny", "invalid_request", 400),
    Row("a denied field", POST, P, b'{"denied": 1}', "deny", "invalid_request", 400),
    Row("too long", POST, P, b'{"a": "' + b"a" * 51 + b'"}', "deny", "request_rejected", 403),
    Row("the third of two", POST, "/tight", GOOD, "deny", "quota_exceeded", 429, times=3),
    Row("the second of two", POST, "/tight", GOOD, "allow", None, 200, times=2),
    Row("the model fails", POST, "/predict/error", GOOD, "deny", "upstream_error", 502),
    Row("the model moves", POST, "/predict/moved", GOOD, "deny", "upstream_error", 502),
    Row("the model knows it not", POST, "/predict/gone", GOOD, "deny", "not_found", 404),
    Row("the model refuses", POST, "/predict/invalid", GOOD, "deny", "invalid_request", 400),
    Row("the model is busy", POST, "/predict/busy", GOOD, "deny", "unavailable", 503),
    Row("the model writes text", POST, "/predict/text", GOOD, "deny", "upstream_error", 502),
    Row("the model writes half", POST, "/predict/broken", GOOD, "deny", "upstream_error", 502),
    Row("the model writes much", POST, "/predict/large", GOOD, "deny", "upstream_error", 502),
    Row("the model writes nothing", POST, "/predict/empty", GOOD, "allow", None, 204),
    Row("the model streams", POST, "/predict/stream", GOOD, "allow", None, 200),
    Row("nobody is there", POST, "/dead", GOOD, "deny", "upstream_error", 502),
    Row("chat", POST, "/v1/chat/completions", HELLO, "allow", None, 200),
    Row(
        "chat, not as the format says", POST, "/v1/chat/completions", b'{"model": "m"}', "deny", "invalid_request", 400
    ),
    Row("chat, denied", POST, "/v1/chat/completions", b'{"logprobs": 1}', "deny", "invalid_request", 400),
    Row("chat, no key", POST, "/v1/chat/completions", b"{}", "challenge", "unauthenticated", 401, None),
    Row("shadow lets pass", POST, "/shadow", b'{"denied": 1}', "allow", None, 200),
    Row("shadow is strict on type", POST, "/shadow", GOOD, "deny", "unsupported_media_type", 415, media_type="a/b"),
    Row("raw passes anything", POST, "/raw/x?a=b", b"\x00\xff", "allow", None, 200, media_type="image/png"),
    Row("raw is bounded", POST, "/raw/x", b"a" * 101, "deny", "body_too_large", 413, media_type="image/png"),
    Row("raw, and the model fails", "PUT", "/raw/error", b"a", "deny", "upstream_error", 502),
    Row("raw, read", "GET", "/raw/text", None, "allow", None, 200),
    Row("open to all", "GET", "/open", None, "allow", None, 200, None),
    Row("open, but not to two keys", "GET", "/open", None, "challenge", "unauthenticated", 401, "twice"),
]


@pytest.fixture
def policy_text() -> str:
    return POLICY


def fields_of(row: Row, both: Both) -> list[tuple[str, str]]:
    """Write the header fields of a row, with a key of its own."""
    good = both.issue("subject", "predict")
    keys: dict[str | None, list[tuple[str, str]]] = {
        None: [],
        "good": [("Authorization", f"Bearer {good}")],
        "x-api-key": [("X-API-Key", good)],
        "unknown": [("Authorization", "Bearer vlm_live_" + "0" * 49)],
        "malformed": [("Authorization", f"Bearer {good[:-9]}")],
        "twice": [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")],
    }
    if row.key == "revoked":
        keys["revoked"] = [("Authorization", f"Bearer {both.issue('gone', 'predict')}")]
        both.revoke("gone")
    if row.key == "unscoped":
        keys["unscoped"] = [("Authorization", f"Bearer {both.issue('other', 'else')}")]
    fields = [*keys[row.key], *row.headers]
    if row.body is not None:
        if row.media_type is not None:
            fields.append(("Content-Type", row.media_type))
        fields.append(("Content-Length", str(len(row.body))))
    return fields


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_both_ways_decide_alike(both: Both, row: Row) -> None:
    fields = fields_of(row, both)
    outcomes: list[Any] = []
    for way in both.ways.values():
        for _ in range(row.times):
            outcome = await way.ask(row.method, row.target, fields, row.body or b"")
        outcomes.append(outcome)
    inner, *others = outcomes
    assert (inner.decision, inner.reason, inner.status) == (row.decision, row.reason, row.status)
    assert others == [inner] * len(others)
    assert b"canary" not in inner.body or row.target.startswith("/raw")
    assert (inner.received is None) == (row.decision != "allow" and "model" not in row.name)


async def test_the_table_names_every_row_once() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len(ROWS) >= 40
