"""Web ACLs on the wire: raw bytes that would slip by, addresses that a client makes up, and what the operator is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.wire.conftest import Door, Opener

    Compose = Callable[..., bytes]

POLICY = """
version: 1
admin: {address: "127.0.0.1:0"}
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
web_acls:
  edge:
    inspect_bytes: 8192
    rules:
      - {name: words, priority: 1, statement: {byte_match: {field: headers, search: sqlmap, transforms: [lowercase]}}}
      - {name: crumbs, priority: 2, statement: {sqli_match: {field: cookies}}}
      - {name: query, priority: 3, statement: {sqli_match: {field: all_query_arguments, transforms: [url_decode]}}}
      - name: body
        priority: 4
        statement:
          sqli_match: {field: {json_body: {exclude: [/messages/*/content]}}, transforms: [url_decode]}
      - {name: whole, priority: 5, statement: {byte_match: {field: body, search: "\\0attack"}}}
routes:
  - name: predict
    match: {methods: [POST], path: /api/v1/predict}
    upstream: model
    auth: {any_of: [keys], scopes: ["predict:read"]}
    request: {query: any}
    web_acl: edge
"""
FLOOD = """
version: 1
admin: {address: "127.0.0.1:0"}
trusted_proxies: [PROXIES]
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
web_acls:
  edge: {rules: [{name: flood, priority: 1, statement: {rate_based: {limit: 10, window_s: 600}}}]}
routes:
  - name: predict
    match: {methods: [POST], path: /api/v1/predict}
    upstream: model
    auth: {any_of: [keys]}
    web_acl: edge
"""
SQL = "1' OR '1'='1"
SQL_URL = "1%27%20OR%20%271%27%3D%271"
TARGET = "/api/v1/predict"


@pytest.mark.parametrize(
    ("control", "target", "headers", "document"),
    [
        ("words", TARGET, (("User-Agent", "curl"), ("User-Agent", "SQLMAP/1")), {"a": 1}),
        ("words", TARGET, (("X-A", ""), ("x-a", ""), ("X-A", "sqlmap")), {"a": 1}),
        ("crumbs", TARGET, (("Cookie", "a=b"), ("Cookie", f"c=d; e={SQL}")), {"a": 1}),
        ("query", f"{TARGET}?a=1&a={SQL_URL}", (), {"a": 1}),
        ("query", f"{TARGET}?{SQL_URL}", (), {"a": 1}),
        ("query", f"http://elsewhere{TARGET}?a={SQL_URL}", (), {"a": 1}),
        ("body", TARGET, (), {"user": SQL}),
        ("body", TARGET, (), {"user": SQL_URL}),
        ("body", TARGET, (), {"metadata": {"messages": [{"content": SQL}]}}),
        ("body", TARGET, (), {"Messages": [{"content": SQL}]}),
        ("body", TARGET, (), {"a": "x" * 8192}),
    ],
)
async def test_a_blocked_request_is_rejected_in_one_word(
    opened: Opener,
    request_bytes: Compose,
    control: str,
    target: str,
    headers: tuple[tuple[str, str], ...],
    document: dict[str, object],
) -> None:
    door = await opened(POLICY)
    data = request_bytes("POST", target, door.key, None, headers, **document)
    answer = await door.refuses(data, 403, "request_rejected")
    record = await door.record(answer.id)
    assert record["control"] == f"web_acl:{control}"
    assert record["web_acl"]["rules"][-1]["rule"] == control
    assert SQL not in str(record)


async def test_a_question_about_sql_is_no_attack(opened: Opener, request_bytes: Compose) -> None:
    door = await opened(POLICY)
    document = {"messages": [{"role": "user", "content": f"why does {SQL} work?"}], "input_text": "a good day"}
    assert (await door.exchange(request_bytes(key=door.key, **document))).status == 200


async def test_a_body_in_chunks_is_looked_at_whole(opened: Opener) -> None:
    door = await opened(POLICY)
    body = b'{"user": "' + SQL.encode() + b'"}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    head = (
        f"POST {TARGET} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {door.key}\r\nContent-Type: application/json\r\n"
    )
    await door.refuses(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, 403, "request_rejected")


async def test_no_media_type_is_no_way_round_the_parser(opened: Opener, request_bytes: Compose) -> None:
    door = await opened(POLICY)
    data = request_bytes(key=door.key, body=b'{"user": "' + SQL.encode() + b'"}')
    await door.refuses(data, 415, "unsupported_media_type")


@pytest.mark.parametrize(("proxies", "let_in"), [("", 10), ("127.0.0.0/8", 25)])
async def test_an_address_that_a_client_makes_up_counts_for_nothing(
    opened: Opener, request_bytes: Compose, proxies: str, let_in: int
) -> None:
    door = await opened(FLOOD.replace("PROXIES", proxies))

    async def ask(number: int) -> int:
        headers = (("X-Forwarded-For", f"198.51.100.{number}"),)
        return (await door.exchange(request_bytes(key=door.key, headers=headers, input_text="a"))).status

    said = await asyncio.gather(*(ask(number) for number in range(25)))
    assert (said.count(200), said.count(429)) == (let_in, 25 - let_in)


async def test_a_stranger_who_floods_is_stopped_before_a_credential_is_looked_up(
    opened: Opener, request_bytes: Compose
) -> None:
    door = await opened(FLOOD.replace("PROXIES", ""))
    said = [(await door.exchange(request_bytes(key="vlm_wrong", input_text="a"))) for _ in range(12)]
    assert [answer.status for answer in said] == [401] * 10 + [429] * 2
    said[-1].check_refusal(429, "quota_exceeded")
    assert int(said[-1].get("retry-after")) > 500
