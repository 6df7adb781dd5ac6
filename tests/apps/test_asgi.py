"""What goes wrong between a client, a policy and an ASGI app, and what each of the three sees of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vallum.adapters.asgi.asgi import Asgi
from vallum.adapters.reception import Head, find_fault, find_path
from vallum.config.source import PolicyFileError
from vallum.core.errors import DependencyError
from vallum.core.exchange import Headers
from vallum.middleware import Vallum

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vallum.adapters.asgi.messages import Message

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
GONE = {"type": "http.disconnect"}


class Client:
    """A client and its server, in memory."""

    def __init__(self, *messages: Message, stays: bool = True) -> None:
        self.messages = list(messages) or [{"type": "http.request", "body": b"", "more_body": False}]
        self.said: list[Message] = []
        self.left, self.ended = asyncio.Event(), asyncio.Event()
        if not stays:
            self.left.set()

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop(0)
        await self.left.wait()
        return GONE

    async def send(self, message: Message) -> None:
        self.said.append(message)
        if self.whole:
            self.ended.set()

    @property
    def status(self) -> int:
        status: int = self.said[0]["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.said[1:])

    @property
    def whole(self) -> bool:
        return bool(self.said) and not self.said[-1].get("more_body", False) and len(self.said) > 1


def scope(path: str = "/raw/x", method: str = "GET", **more: Any) -> Message:
    fields = more.pop("headers", [])
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"a"), *fields],
        "client": ("192.0.2.1", 1),
        **more,
    }


@pytest.fixture
async def inside(vallum: Vallum) -> AsyncIterator[Callable[[Any], Asgi]]:
    await vallum._doors.open()
    yield vallum.asgi
    await vallum._doors.close()


def records_of(vallum: Vallum) -> list[dict[str, Any]]:
    opened = vallum._doors.inside
    assert opened is not None
    return [json.loads(line) if isinstance(line, (str, bytes)) else line for line in opened.records.take()]


def sweep(vallum: Vallum, later_s: float = 0.0) -> None:
    """Do what a beat does, at a later time."""
    opened = vallum._doors.inside
    assert opened is not None
    for visit in list(opened.visits):
        visit.check_time(opened.clock() + later_s)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# --- clients


async def test_a_client_that_leaves_cancels_the_app(vallum: Vallum, inside: Any) -> None:
    begun, ended = asyncio.Event(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    client = Client()
    task = asyncio.ensure_future(inside(app)(scope(), client.receive, client.send))
    await begun.wait()
    sweep(vallum)
    await turns()
    assert not task.done()
    client.left.set()
    await task  # the server's task itself is not cancelled
    assert ended == ["cancelled"]
    assert client.said == []
    (record,) = records_of(vallum)
    assert record["decision"] == "cancelled"


async def test_an_app_that_listens_hears_that_its_client_left(vallum: Vallum, inside: Any) -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])
        try:
            await receive()
        except asyncio.CancelledError:
            heard.append((await receive())["type"])
            raise

    client = Client(stays=False)
    await inside(app)(scope(), client.receive, client.send)
    assert heard == ["http.request", "http.disconnect"]


async def test_a_client_that_leaves_in_its_body_reaches_no_app(inside: Any) -> None:
    async def app(*_: Any) -> None:
        raise AssertionError

    client = Client({"type": "http.request", "body": b"{", "more_body": True}, stays=False)
    body = [(b"content-type", b"application/json"), (b"content-length", b"10")]
    await inside(app)(scope("/nowhere", "POST", headers=body), client.receive, client.send)
    assert client.status == 404


async def test_a_server_that_raises_for_a_lost_client_ends_the_app(inside: Any) -> None:
    said = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for number in range(100):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            said.append(number)

    client = Client()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise BrokenPipeError
        await client.send(message)

    await inside(app)(scope(), client.receive, send)
    assert len(said) <= 1


async def test_the_app_waits_while_the_client_does_not_read(inside: Any) -> None:
    reads, said = asyncio.Event(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for number in range(3):
            await send({"type": "http.response.body", "body": b"x", "more_body": number < 2})
            said.append(number)

    client = Client()

    async def send(message: Message) -> None:
        await reads.wait()
        await client.send(message)

    task = asyncio.ensure_future(inside(app)(scope(), client.receive, send))
    await turns()
    assert said == []
    reads.set()
    await task
    assert client.body == b"xxx"


# --- apps


def raising(*before: Message) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in before:
            await send(message)
        raise KeyError("canary")

    return app


async def test_an_app_that_raises_is_a_502_and_its_server_hears_why(inside: Any) -> None:
    client = Client()
    with pytest.raises(KeyError):
        await inside(raising())(scope(), client.receive, client.send)
    assert client.status == 502
    assert client.whole
    assert b"canary" not in client.body


async def test_an_app_that_raises_in_its_answer_cuts_it(inside: Any) -> None:
    client = Client()
    piece = {"type": "http.response.body", "body": b"begun", "more_body": True}
    with pytest.raises(KeyError):
        await inside(raising(START, piece))(scope(), client.receive, client.send)
    assert (client.body, client.whole) == (b"begun", False)


@pytest.mark.parametrize("messages", [[], [START], [{"type": "unheard.of"}]])
async def test_an_app_that_does_not_answer_is_a_502(inside: Any, messages: list[Message]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    client = Client()
    await inside(app)(scope(), client.receive, client.send)
    if START in messages:  # its head is out: the server must not end it as if it were whole
        assert not client.whole
    else:
        assert client.status == 502


@pytest.mark.parametrize("stubborn", [False, True])
async def test_an_app_that_is_silent_for_too_long_is_a_504(vallum: Vallum, inside: Any, stubborn: bool) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not stubborn:
                raise
            await release.wait()

    client = Client()
    task = asyncio.ensure_future(inside(app)(scope(), client.receive, client.send))
    await begun.wait()
    sweep(vallum, 1.9)
    await turns()
    assert client.said == []
    sweep(vallum, 2.1)
    await client.ended.wait()  # whether the app gives up or not
    assert client.status == 504
    release.set()
    await task
    own = asyncio.current_task()
    assert own is not None
    assert not own.cancelling()


async def test_what_nobody_can_read_does_not_pass(inside: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["extensions"] == {}
        await send(START)
        await send({"type": "http.response.pathsend", "path": "/etc/passwd"})

    client = Client()
    extensions: Message = {"http.response.pathsend": {}, "http.response.trailers": {}}
    await inside(app)(scope(extensions=extensions), client.receive, client.send)
    assert [message["type"] for message in client.said] == ["http.response.start"]


async def test_trailers_and_hints_are_dropped(inside: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": [b"x"]})
        await send({**START, "trailers": True})
        await send({"type": "http.response.body", "body": b"all"})
        await send({"type": "http.response.trailers", "headers": [(b"x", b"canary")]})

    client = Client()
    await inside(app)(scope(), client.receive, client.send)
    assert client.body == b"all"
    assert client.whole
    assert "canary" not in str(client.said)


@pytest.mark.parametrize(
    ("fields", "pieces"),
    [
        ([(b"content-length", b"3")], [b"four"]),
        ([(b"content-length", b"9")], [b"four"]),
        ([(b"content-length", b"4"), (b"content-length", b"4")], [b"four"]),
        ([(b"content-length", b"x")], [b"four"]),
        ([(b"content-type", b"a\r\nset-cookie: canary")], [b"four"]),
    ],
)
async def test_an_answer_that_lies_about_itself_is_not_passed_on(inside: Any, fields: Any, pieces: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": False})

    client = Client()
    await inside(app)(scope(), client.receive, client.send)
    assert not client.whole or client.status == 502
    assert b"canary" not in repr(client.said).encode()


async def test_head_and_no_content_have_no_body(inside: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [*START["headers"], (b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"four"})

    client = Client()
    await inside(app)(scope(method="HEAD"), client.receive, client.send)
    assert (b"content-length", b"4") in client.said[0]["headers"]
    assert client.body == b""
    assert client.whole


async def test_background_work_goes_on_after_the_answer(vallum: Vallum, inside: Any) -> None:
    done = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"x"})
        await asyncio.sleep(0)
        sweep(vallum, 100.0)
        await turns()
        done.append(True)

    client = Client()
    await inside(app)(scope(), client.receive, client.send)
    assert done == [True]


async def test_messages_from_two_tasks_take_turns(inside: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        many = [send({"type": "http.response.body", "body": b"%d" % n, "more_body": True}) for n in range(9)]
        await asyncio.gather(*many)
        await send({"type": "http.response.body"})

    client = Client()

    async def slow(message: Message) -> None:
        await turns(3)
        await client.send(message)

    await inside(app)(scope(), client.receive, slow)
    assert sorted(client.body) == sorted(b"012345678")
    assert client.whole


# --- requests


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send(START)
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    ("fields", "version", "status"),
    [
        ([], "1.1", 200),
        ([(b"host", b"b")], "1.1", 400),
        ([(b"content-length", b"1"), (b"content-length", b"1")], "1.1", 400),
        ([(b"content-length", b"+1")], "1.1", 400),
        ([(b"content-length", b"9" * 5000)], "1.1", 400),
        ([(b"content-length", b"1"), (b"transfer-encoding", b"chunked")], "1.1", 400),
        ([(b"transfer-encoding", b"gzip, chunked")], "1.1", 400),
        ([(b"transfer-encoding", b"chunked")], "1.0", 400),
        ([(b"content-length", b"100001")], "1.1", 413),
    ],
)
async def test_a_head_that_could_be_read_in_two_ways_is_refused(
    inside: Any, fields: Any, version: str, status: int
) -> None:
    client = Client({"type": "http.request", "body": b"x", "more_body": False})
    await inside(echo)(scope(method="POST", headers=fields, http_version=version), client.receive, client.send)
    assert client.status == status


async def test_a_body_that_http_2_does_not_announce_is_held_to_its_form(inside: Any, key: str) -> None:
    bearer = (b"authorization", f"Bearer {key}".encode())
    for coding, status in (([], 200), ([(b"content-encoding", b"deflate")], 415)):
        client = Client({"type": "http.request", "body": b"{}", "more_body": False})
        head = scope(
            "/plain", "POST", headers=[bearer, (b"content-type", b"application/json"), *coding], http_version="2"
        )
        await inside(echo)(head, client.receive, client.send)
        assert client.status == status


async def test_a_head_that_cannot_be_written_ends_the_exchange(vallum: Vallum, inside: Any) -> None:
    client = Client()
    broken = scope(headers=[(b"accept", b"a\r\nb: c")])
    with pytest.raises(ValueError, match="line break"):
        await inside(echo)(broken, client.receive, client.send)
    assert client.status == 502
    assert len(records_of(vallum)) == 1


async def test_a_mount_ends_in_no_slash(inside: Any) -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        await echo(scope, receive, send)

    client = Client()
    await inside(app)(scope("/api/raw/x", root_path="/api/"), client.receive, client.send)
    assert (seen["path"], seen["root_path"]) == ("/api/raw/x", "/api")


@pytest.mark.parametrize("declared", [None, b"5", b"7", b"200000"])
async def test_a_body_that_streams_by_is_bounded(inside: Any, declared: bytes | None) -> None:
    pieces = [{"type": "http.request", "body": b"two", "more_body": True} for _ in range(2)]
    length = [(b"transfer-encoding", b"chunked")] if declared is None else [(b"content-length", declared)]
    client = Client(*pieces, {"type": "http.request", "body": b"", "more_body": False})
    await inside(echo)(scope(method="POST", headers=length), client.receive, client.send)
    statuses = {None: 200, b"5": 400, b"7": 400, b"200000": 413}
    assert client.status == statuses[declared]


async def test_a_body_over_its_bound_is_stopped_where_it_is(inside: Any) -> None:
    piece = {"type": "http.request", "body": b"x" * 60_000, "more_body": True}
    client = Client(piece, piece, piece)
    chunked = [(b"transfer-encoding", b"chunked")]
    await inside(echo)(scope(method="POST", headers=chunked), client.receive, client.send)
    assert client.status == 413
    assert len(client.messages) == 1


async def test_no_header_claims_to_be_the_principal(inside: Any) -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        await echo(scope, receive, send)

    claims = [(b"vallum", b"root"), (b"x-vallum-principal", b"root"), (b"remote-user", b"root"), (b"cookie", b"c")]
    client = Client()
    state = {"pool": 1}
    await inside(app)(scope(headers=claims, state=state, vallum="root"), client.receive, client.send)
    assert seen["vallum"].subject == "ip:192.0.2.1"
    assert seen["state"] == {"pool": 1, "vallum": seen["vallum"]}
    assert state == {"pool": 1}  # what requests share is not theirs to write to
    assert {name for name, _ in seen["headers"]} == {b"host", b"x-request-id", b"accept-encoding"}


# --- web sockets, lifespans, and what else there is


@pytest.mark.parametrize("answers", [True, False])
async def test_a_web_socket_is_refused_and_recorded(vallum: Vallum, inside: Any, answers: bool) -> None:
    async def app(*_: Any) -> None:
        raise AssertionError

    client = Client({"type": "websocket.connect"})
    extensions: Message = {"websocket.http.response": {}} if answers else {}
    socket = scope(type="websocket", scheme="ws", extensions=extensions)
    del socket["method"]
    await inside(app)(socket, client.receive, client.send)
    if answers:
        assert [message["type"][-5:] for message in client.said] == ["start", ".body"]
        assert client.status == 403
    else:
        assert client.said == [{"type": "websocket.close", "code": 1008, "reason": "no route"}]
    (record,) = records_of(vallum)
    assert (record["decision"], record["control"]) == ("deny", "websocket")


async def test_a_scope_of_a_kind_that_nobody_knows_is_refused(inside: Any) -> None:
    with pytest.raises(ValueError, match="does not speak of mcp"):
        await inside(echo)({"type": "mcp"}, None, None)


async def live(app: Any) -> list[str]:
    """Live as a server does, and return what it was told."""
    client = Client({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await app({"type": "lifespan", "asgi": {}, "state": {}}, client.receive, client.send)
    return [message["type"] for message in client.said]


async def knowing(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def unknowing(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def ignoring(scope: Any, receive: Any, send: Any) -> None:
    await receive()


@pytest.mark.parametrize("app", [knowing, unknowing, ignoring])
async def test_the_house_is_open_for_as_long_as_the_app_lives(vallum: Vallum, app: Any) -> None:
    assert await live(vallum.asgi(app)) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert vallum._doors.inside is None


async def test_an_app_that_cannot_start_leaves_the_house_closed(vallum: Vallum) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "x"})

    assert await live(vallum.asgi(failing)) == ["lifespan.startup.failed"]
    assert vallum._doors.inside is None


def test_a_store_that_is_out_stops_the_start(policy: Path) -> None:
    policy.write_text(policy.read_text() + 'counters: "redis://127.0.0.1:1/0"\n')
    assert asyncio.run(live(Vallum(policy).asgi(knowing))) == ["lifespan.startup.failed"]


def count_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def without_a_store(policy: Path) -> Vallum:
    policy.write_text(policy.read_text() + "counters: redis://127.0.0.1:1\n")
    return Vallum(policy)


async def test_a_store_that_stays_out_leaves_nothing_open(without_a_store: Vallum) -> None:
    counts = []
    for _ in range(4):
        with pytest.raises(DependencyError):
            await without_a_store._doors.open()
        counts.append(count_open_files())
    assert counts[1] == counts[-1]
    assert len(asyncio.all_tasks()) == 1


def test_processes_without_a_store_that_they_share_stop_the_start(policy: Path) -> None:
    policy.write_text(policy.read_text() + "workers: 4\n")
    with pytest.raises(PolicyFileError, match="redis://"):
        Vallum(policy)


def test_each_loop_of_a_test_client_finds_the_house_and_its_counts(vallum: Vallum, key: str) -> None:
    async def ask() -> int:
        client = Client()
        fields = [(b"authorization", f"Bearer {key}".encode())]
        await vallum.asgi(echo)(scope("/plain", headers=fields), client.receive, client.send)
        return client.status

    assert [asyncio.run(ask()) for _ in range(4)] == [200, 200, 429, 429]


# --- paths


@pytest.mark.parametrize(
    ("path", "raw", "mount", "found"),
    [
        ("/a", "/a", "", "/a"),
        ("/a/b", "/a%2Fb", "", None),  # what the server made of it is not what was sent
        ("/a/b", None, "", "/a/b"),  # what was sent is not known: what the app sees is judged
        ("/a/../b", None, "", None),
        ("/a%2e", None, "", None),
        ("/a?b", None, "", None),
        ("/b", "/a/b", "", "/b"),  # rewritten on the way, by somebody between
        ("/a/b", "/a/b", "/a", "/b"),
        ("/a", "/a", "/a", "/"),
        ("/ab", "/ab", "/a", "/ab"),
        ("/a/a/b", "/a/a/b", "/a/", "/a/b"),
        ("/\u00e9/b", "/%C3%A9/b", "/\u00e9", "/b"),
        ("/a//b", "/a//b", "/a", None),
        ("/a/..", "/a/..", "/a", None),
        ("//a/b", "//a/b", "/a", None),
        ("/a", "http://h/a", "", "/a"),
        ("*", "*", "", None),
        (None, None, "", None),
    ],
)
def test_the_path_that_is_judged_is_the_one_that_the_app_sees(
    path: str | None, raw: str | None, mount: str, found: str | None
) -> None:
    assert find_path(Head("GET", path, raw, "", mount, Headers(), "")) == found


def test_http_2_needs_no_host() -> None:
    assert find_fault(Headers(), "2") is None
    assert find_fault(Headers(), "1.1") is not None
