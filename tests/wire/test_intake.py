"""Bodies and parameters that no model should see, on the wire: each meets its row of the table of refusals, cheaply."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.wire.conftest import Door, Opener

    Compose = Callable[..., bytes]

POLICY = """
version: 1
admin: {address: "127.0.0.1:0"}
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
routes:
  - name: predict
    match: {methods: [POST], path: /api/v1/predict}
    upstream: model
    auth: {any_of: [keys]}
    request:
      max_bytes: 16777216
      max_depth: 16
      max_keys: 100
      max_items: 1000
      max_chars: 5000
      numbers: {max_abs: 1000000, max_digits: 6}
      sanitize: {invisible: refuse, max_tokens: 1000}
  - name: one
    match: {methods: [GET, DELETE], path: "/models/{name}"}
    upstream: model
    auth: {any_of: [keys]}
    request: {parameters: parameters.json, max_bytes: 0}
"""
PARAMETERS = {
    "properties": {
        "path": {"properties": {"name": {"pattern": "^[a-z]{1,8}$"}}},
        "query": {"properties": {"limit": {"type": "integer", "maximum": 10}}, "additionalProperties": False},
    }
}
MEGABYTES = 10_000_000


@pytest.fixture
async def door(opened: Opener, tmp_path: Path) -> Door:
    (tmp_path / "parameters.json").write_text(json.dumps(PARAMETERS))
    return await opened(POLICY, beside=tmp_path)


def post(door: Door, request_bytes: Compose, body: bytes) -> bytes:
    return request_bytes(key=door.key, body=body, headers=(("Content-Type", "application/json"),))


TEXT = '{"input_text": "a good day"}'
MALFORMED = {
    "UTF-8 with a mark": TEXT.encode("utf-8-sig"),
    "UTF-16 with a mark": TEXT.encode("utf-16"),
    "UTF-16, big end first": TEXT.encode("utf-16-be"),
    "UTF-16, little end first": TEXT.encode("utf-16-le"),
    "UTF-32": TEXT.encode("utf-32"),
    "UTF-8 that is none": b'{"input_text": "\xc0\xaf"}',
    "Latin-1": '{"input_text": "é"}'.encode("latin-1"),
    "a mark inside": b'{\xef\xbb\xbf"input_text": "a"}',
    "a lone surrogate": b'{"input_text": "\\udfff"}',
    "an integer of 10 MB": b'{"input_text": "a", "n": ' + b"9" * MEGABYTES + b"}",
    "an integer of 5,000 digits": b'{"input_text": "a", "n": ' + b"9" * 5000 + b"}",
    "an exponent of 10 MB": b'{"n": 1e' + b"9" * MEGABYTES + b"}",
    "an exponent that is infinite": b'{"n": 1e999}',
    "nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "opened 10 MB deep": b"[" * MEGABYTES,
    "objects 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a key 1,000 times": b"{" + b",".join([b'"a":1'] * 1000) + b"}",
    "a key twice, below": b'{"a":{"b":1,"b":1}}',
}
INVALID = {
    "nested past the bound": (b"[" * 20 + b"]" * 20, "max_depth"),
    "too many members": (json.dumps({f"k{n}": n for n in range(101)}).encode(), "max_keys"),
    "too many items": (b"[" + b"1," * 1000 + b"1]", "max_items"),
    "too long a text": (json.dumps({"input_text": "a" * 5001}).encode(), "max_chars"),
    "too large a number": (b'{"n": 1000001}', "max_abs"),
    "an integer of 4,000 digits": (b'{"n": ' + b"9" * 4000 + b"}", "max_abs"),
    "far below zero": (b'{"n": -1e7}', "max_abs"),
    "too exact a number": (b'{"n": [0.12345678]}', "max_digits"),
}


@pytest.mark.parametrize("name", sorted(MALFORMED))
async def test_what_cannot_be_read_in_one_way(door: Door, request_bytes: Compose, name: str) -> None:
    data = post(door, request_bytes, MALFORMED[name])
    await door.refuses(data, 400, "malformed_request")


@pytest.mark.parametrize("name", sorted(INVALID))
async def test_what_is_out_of_bounds(door: Door, request_bytes: Compose, name: str) -> None:
    body, rule = INVALID[name]
    answer = await door.refuses(post(door, request_bytes, body), 400, "invalid_request", "errors")
    assert answer.json()["errors"] == [{"pointer": "", "rule": rule}]


@pytest.mark.parametrize("text", ["a\u200bb", "a\u202eb", "a\U000e0041b", "a\x00b", "word " * 900])
async def test_what_nobody_sees_or_is_too_long_to_read(door: Door, request_bytes: Compose, text: str) -> None:
    data = post(door, request_bytes, json.dumps({"input_text": text}).encode())
    await door.refuses(data, 403, "request_rejected")


@pytest.mark.parametrize(
    ("method", "target", "pointer", "rule"),
    [
        ("GET", "/models/UPPER", "path.name", "pattern"),
        ("GET", "/models/small?limit=11", "query.limit", "maximum"),
        ("GET", "/models/small?limit=1.0", "query.limit", "type"),
        ("GET", "/models/small?limit=1&limit=1", "query.limit", "once"),
        ("DELETE", "/models/small?more=1", "query", "unknown_parameter"),
    ],
)
async def test_parameters(
    door: Door, request_bytes: Compose, method: str, target: str, pointer: str, rule: str
) -> None:
    data = request_bytes(method, target, door.key)
    answer = await door.refuses(data, 400, "invalid_request", "errors", method=method)
    assert answer.json()["errors"] == [{"pointer": pointer, "rule": rule}]


async def test_where_no_body_may_come_none_does(door: Door, request_bytes: Compose) -> None:
    data = request_bytes("DELETE", "/models/small", door.key, b"null", (("Content-Type", "application/json"),))
    await door.refuses(data, 413, "body_too_large", method="DELETE")
    assert (await door.exchange(request_bytes("GET", "/models/small?limit=3", door.key), "GET")).status == 404
    assert door.model.calls == 2, "one of them the question whether it serves on"
