"""Attribute contexts that are none, and questions from strangers: a clear refusal, never an error, never leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.adapters.driver import Driver
from vallum.adapters.envoy import messages_pb2 as pb
from vallum.adapters.envoy.authorization import Authorization
from vallum.adapters.envoy.facts import Facts
from vallum.adapters.envoy.health import Health
from vallum.adapters.envoy.server import peer_of
from vallum.adapters.requestids import RequestIds
from vallum.adapters.requests import Requests
from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.address import parse_networks
from vallum.core.engine import Engine
from vallum.stores.memory import MemoryCounters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from vallum.core.exchange import Exchange

POLICY = b"""
version: 1
upstreams: {model: {url: "http://127.0.0.1:9/base"}}
authenticators: {open: {type: anonymous}}
routes:
  - name: json
    match: {methods: [POST, GET], path: /json/**}
    upstream: model
    auth: {any_of: [open]}
    request: {max_bytes: 100, deny_fields: [denied], encodings: [gzip]}
  - name: raw
    match: {methods: [POST], path: /raw}
    upstream: model
    preset: raw
    auth: {any_of: [open]}
    request: {max_bytes: 100}
"""


class House:
    def __init__(self, path: Path) -> None:
        self.engine = Engine(load_policy(parse_source(path, POLICY, {}))[1])
        self.driver = Driver(MemoryCounters(), None)  # type: ignore[arg-type]  # nobody has a key
        self.ended: list[Exchange] = []

    def clock(self) -> float:
        return 0.0

    def finish(self, x: Exchange, *_: Any) -> None:
        self.ended.append(x)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("policy") / "policy.yaml")


def ask_of(house: House) -> Authorization:
    facts = Facts(Requests(lambda: 1_700_000_000.0, RequestIds()))
    return Authorization(house, facts, parse_networks(["127.0.0.1"]))


async def check(house: House, message: bytes, asker: str = "127.0.0.1") -> Any:
    return pb.CheckResponse.FromString(await ask_of(house).check(message, asker))


def context(body: bytes = b"", **http: Any) -> bytes:
    fields = {"method": b"POST", "path": b"/json/x", "raw_body": body} | http
    fields.setdefault("headers", {"content-type": b"application/json", "content-length": str(len(body)).encode()})
    message: bytes = pb.CheckRequest(
        attributes=pb.AttributeContext(
            request=pb.AttributeContext.Request(http=pb.AttributeContext.HttpRequest(**fields))
        )
    ).SerializeToString()
    return message


JSON = {"content-type": b"application/json"}
MALFORMED = {
    "no bytes": (b"", 400),
    "no message": (b"\xff\xff", 400),
    "no method": (context(method=b""), 400),
    "no path": (context(path=b""), 400),
    "a line break in a value": (context(headers={"x": b"a\r\nb: c"}), 400),
    "a line break in the path": (context(path=b"/raw\r\n"), 400),
    "a name that is none": (context(headers={"a b": b"c"}), 400),
    "a length that is none": (context(headers={"content-length": b"x"}), 400),
    "a length in other digits": (context(headers={"content-length": "\u0663".encode()}), 400),
    "two lengths": (context(headers={"content-length": b"1,1"}), 400),
    "no UTF-8 in the path": (context(path=b"/\xff"), 404),
    "an upgrade": (context(path=b"/raw", headers={"upgrade": b"websocket"}), 400),
    "text for a body": (context(raw_body=b"", body=b"{}"), 503),
    "less body than announced": (context(b"{}", headers=JSON | {"content-length": b"9"}), 503),
    "a body that was cut off": (context(b"{}", headers={"x-envoy-auth-partial-body": b"true"}), 413),
    "a forged word and Envoy's": (context(b"{}", headers={"x-envoy-auth-partial-body": b"false,true"}), 413),
    "chunks that did not come": (context(headers=JSON | {"transfer-encoding": b"chunked"}), 503),
    "a body of HTTP/2 that did not come": (context(headers=JSON), 503),
    "a body of no type that did not come": (context(headers={}), 503),
    "a forged word on a body that did not come": (
        context(headers=JSON | {"transfer-encoding": b"chunked", "x-envoy-auth-partial-body": b"false"}), 503,
    ),
    "a coding that HTTP/2 does not announce": (
        context(b"{}", headers=JSON | {"content-encoding": b"br", "x-envoy-auth-partial-body": b"false"}), 415,
    ),
    "raw chunks of unknown size": (context(path=b"/raw", headers={"transfer-encoding": b"chunked"}), 503),
    "more raw bytes than may be": (context(b"a" * 101, path=b"/raw", headers={}), 413),
    "more bytes than may be": (context(b"a" * 101), 413),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_malformed_is_refused_and_recorded(house: House, name: str) -> None:
    message, status = MALFORMED[name]
    before = len(house.ended)
    said = await check(house, message)
    assert (said.status.code != 0, said.denied_response.status.code) == (True, status)
    assert said.denied_response.body.startswith(b"{")
    assert len(house.ended) == before + 1


async def test_a_stranger_is_told_nothing(house: House) -> None:
    before = len(house.ended)
    said = await check(house, context(b"{}"), "192.0.2.1")
    assert (said.status.code, said.denied_response.body) == (7, b"")
    assert len(house.ended) == before


async def test_values_are_written_where_ext_authz_reads_them(house: House) -> None:
    said = await check(house, context(b"{}"))
    assert said.status.code == 0
    fields = [*said.ok_response.headers, *said.ok_response.response_headers_to_add]
    assert fields
    assert all(one.header.value and not one.header.raw_value for one in fields)
    assert [one.header.value for one in said.ok_response.headers if one.header.key == ":path"] == [b"/base/json/x"]
    denied = (await check(house, context(b"{"))).denied_response
    assert all(one.header.value and not one.header.raw_value for one in denied.headers)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        (b"GET", {}),
        (b"GET", {"content-length": b"0"}),
        (b"POST", {"content-length": b"0"}),
        (b"POST", JSON | {"content-length": b"0"}),
    ],
)
async def test_a_request_without_a_body_passes(house: House, method: bytes, headers: dict[str, bytes]) -> None:
    assert (await check(house, context(method=method, headers=headers))).status.code == 0


async def test_a_raw_body_of_known_size_need_not_come(house: House) -> None:
    assert (await check(house, context(path=b"/raw", headers={"content-length": b"99"}))).status.code == 0
    assert (await check(house, context(path=b"/raw", headers={"content-length": b"101"}))).status.code == 7


@settings(max_examples=150)
@given(message=st.binary(max_size=300))
async def test_noise_never_gets_leave(house: House, message: bytes) -> None:
    assert (await check(house, message)).status.code != 0


@given(
    headers=st.dictionaries(st.text(max_size=12), st.binary(max_size=12), max_size=6),
    body=st.binary(max_size=30),
    path=st.binary(max_size=12),
)
@settings(max_examples=150)
async def test_hostile_fields_end_in_a_decision(
    house: House, headers: dict[str, bytes], body: bytes, path: bytes
) -> None:
    said = await check(house, context(body, path=b"/json/" + path, headers=headers))
    assert said.status.code in (0, 7)
    if said.status.code == 0:
        house.ended[-1].request.headers.get("x")
        assert house.ended[-1].route is not None


def test_peers_are_read_as_grpc_writes_them() -> None:
    assert peer_of("ipv4:127.0.0.1:80") == "127.0.0.1"
    assert peer_of("ipv6:%5B::1%5D:80") == "::1"
    assert peer_of("ipv6:[::1]:80") == "::1"
    assert peer_of("unix:") == "127.0.0.1"


async def test_health_says_whether_questions_are_welcome() -> None:
    ready = [True]
    health = Health(lambda: ready[0], ["a.Service"])
    for name, status in (("", 1), ("a.Service", 1), ("b", 3)):
        assert status_of(await health.check(named(name))) == status
    ready[0] = False
    assert status_of(await health.check(named(""))) == 2
    assert [status_of(answer) async for answer in first(health.watch(named("")))] == [2]


def named(service: str) -> bytes:
    message: bytes = pb.HealthCheckRequest(service=service).SerializeToString()
    return message


def status_of(answer: bytes) -> int:
    return int(pb.HealthCheckResponse.FromString(answer).status)


async def first(answers: Any) -> AsyncIterator[bytes]:
    async for answer in answers:
        yield answer
        break
    await answers.aclose()
