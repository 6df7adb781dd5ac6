"""What goes wrong between a client, a policy and a WSGI app; and processes that fork."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from vallum.adapters.wsgi.environ import read_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from vallum.middleware import Vallum

TEXT = [("Content-Type", "text/plain")]


class Answer:
    """What a server was told."""

    def __init__(self) -> None:
        self.status = ""
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.cut = False

    def start(self, status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
        assert not self.status
        self.status, self.fields = status[:3], fields
        return self.write

    def write(self, data: bytes) -> None:
        self.body += data


def ask(app: Any, path: str = "/raw/x", body: bytes = b"", stop_after: int | None = None, more: Any = ()) -> Answer:
    """Ask as a server does; `stop_after` so many pieces the client leaves."""
    environ: dict[str, Any] = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    environ |= {"PATH_INFO": path, "wsgi.input": io.BytesIO(body), "REMOTE_ADDR": "192.0.2.1"}
    if body:
        environ |= {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"}
    environ |= dict(more)
    answer = Answer()
    pieces = app(environ, answer.start)
    try:
        for number, piece in enumerate(pieces):
            answer.body += piece
            if stop_after == number:
                break
    except OSError:
        answer.cut = True
    finally:
        getattr(pieces, "close", int)()
    return answer


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [body]


class Closing:
    """An iterable that counts how often it is closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = pieces
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)

    def close(self) -> None:
        self.closed += 1


def decisions(vallum: Vallum) -> list[str]:
    opened = vallum._desk.inside
    assert opened is not None
    records: Any = opened.records.take()
    return [(json.loads(one) if isinstance(one, (str, bytes)) else one)["decision"] for one in records]


def broken() -> Iterator[bytes]:
    yield b"begun"
    raise KeyError("canary")


@pytest.mark.parametrize(("stop_after", "decision"), [(None, "allow"), (0, "cancelled")])
def test_an_iterable_is_closed_once(vallum: Vallum, stop_after: int | None, decision: str) -> None:
    said = Closing([b"one", b"two"])

    def app(environ: dict[str, Any], start_response: Any) -> Closing:
        start_response("200 OK", TEXT)
        return said

    vallum._desk.open()
    ask(vallum.wsgi(app), stop_after=stop_after)
    assert said.closed == 1
    assert decisions(vallum) == [decision]


def test_an_app_that_raises_is_a_502_and_its_server_hears_why(vallum: Vallum) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise KeyError("canary")

    errors = io.StringIO()
    answer = ask(vallum.wsgi(app), more={"wsgi.errors": errors})
    assert answer.status == "502"
    assert b"canary" not in answer.body
    assert "canary" in errors.getvalue()


def test_an_app_that_raises_in_its_answer_cuts_it(vallum: Vallum) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return broken()

    answer = ask(vallum.wsgi(app))
    assert (answer.status, answer.body, answer.cut) == ("200", b"begun", True)


def test_an_app_that_changes_its_mind_says_so(vallum: Vallum) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        try:
            raise KeyError("canary")
        except KeyError:
            start_response("500 Oh", TEXT, sys.exc_info())
        return [b"canary"]

    answer = ask(vallum.wsgi(app))
    assert answer.status == "502"
    assert b"canary" not in answer.body


def test_an_app_that_changes_its_mind_too_late_is_cut(vallum: Vallum) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        yield b"begun"
        try:
            raise KeyError("canary")
        except KeyError:
            start_response("500 Oh", TEXT, sys.exc_info())

    assert ask(vallum.wsgi(app)).cut


def test_what_an_old_app_writes_goes_out(vallum: Vallum) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"one")
        write(b"two")
        return [b"three"]

    assert ask(vallum.wsgi(app)).body == b"onetwothree"


def mute(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    return [b"x"]


def empty(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return []


def test_an_app_without_a_head_is_a_502(vallum: Vallum) -> None:
    assert ask(vallum.wsgi(mute)).status == "502"


def test_an_empty_answer_is_one(vallum: Vallum) -> None:
    answer = ask(validator(vallum.wsgi(validator(empty))))
    assert (answer.status, answer.body) == ("204", b"")


@pytest.mark.parametrize("how", ["read", "pieces", "lines", "readline", "iterate"])
def test_a_body_that_streams_by_is_read_in_every_way(vallum: Vallum, how: str) -> None:
    body = b"one\ntwo\nthree"

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        stream = environ["wsgi.input"]
        ways = {
            "read": stream.read,
            "pieces": lambda: b"".join(iter(lambda: stream.read(2), b"")),
            "lines": lambda: b"".join(stream.readlines()),
            "readline": lambda: stream.readline() + stream.readline(2) + stream.read(),
            "iterate": lambda: b"".join(stream),
        }
        said = ways[how]()
        start_response("200 OK", TEXT)
        return [said]

    assert ask(vallum.wsgi(app), body=body).body == body


def test_a_body_over_its_bound_is_a_413_though_nobody_declared_it(vallum: Vallum) -> None:
    body = b"x" * 200_000
    more = {
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input_terminated": True,
    }
    assert ask(vallum.wsgi(echo), body=body, more=more).status == "413"


def test_a_body_that_ends_early_is_malformed(vallum: Vallum) -> None:
    assert ask(vallum.wsgi(echo), body=b"x", more={"CONTENT_LENGTH": "9"}).status == "400"


@pytest.mark.parametrize("length", ["x", "-1", "1,1", "9" * 5000])
def test_a_length_that_is_none_is_malformed(vallum: Vallum, length: str) -> None:
    assert ask(vallum.wsgi(echo), body=b"x", more={"CONTENT_LENGTH": length}).status == "400"


@pytest.mark.parametrize(("terminated", "status"), [(True, "200"), (False, "400")])
def test_chunks_are_read_where_the_server_undoes_them(vallum: Vallum, terminated: bool, status: str) -> None:
    chunked = {"REQUEST_METHOD": "POST", "HTTP_TRANSFER_ENCODING": "chunked", "SERVER_PROTOCOL": "HTTP/1.1"}
    more = {**chunked, "wsgi.input_terminated": terminated, "wsgi.input": io.BytesIO(b"x")}
    assert ask(vallum.wsgi(echo), more=more).status == status


def test_the_target_that_an_app_is_told_has_its_mount(vallum: Vallum) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return [environ["REQUEST_URI"].encode()]

    mounted = {"SCRIPT_NAME": "/my app", "REQUEST_URI": "/my%20app/raw/%78"}
    assert ask(vallum.wsgi(app), more=mounted).body == b"/my%20app/raw/x"


def test_no_header_claims_to_be_the_principal(vallum: Vallum) -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.update(environ)
        return echo(environ, start_response)

    claims = {"HTTP_REMOTE_USER": "root", "HTTP_VALLUM_PRINCIPAL": "root", "HTTP_COOKIE": "c", "REMOTE_USER": "root"}
    ask(vallum.wsgi(app), more=claims)
    assert seen["REMOTE_USER"] == seen["vallum.principal"].subject == "ip:192.0.2.1"
    assert {name for name in seen if name.startswith("HTTP_")} == {
        "HTTP_HOST",
        "HTTP_X_REQUEST_ID",
        "HTTP_ACCEPT_ENCODING",
    }


def test_fields_that_a_server_has_joined_are_two() -> None:
    environ: dict[str, Any] = {"HTTP_AUTHORIZATION": "Bearer a, Bearer b", "HTTP_HOST": "a,b", "HTTP_ACCEPT": "a,b"}
    setup_testing_defaults(environ)
    headers = read_head(environ).headers
    assert len(headers.all("authorization")) == len(headers.all("host")) == 2
    assert headers.all("accept") == ["a,b"]


def test_a_path_that_is_not_text_matches_nothing(vallum: Vallum) -> None:
    assert ask(vallum.wsgi(echo), path="/raw/\xff").status == "404"
    assert ask(vallum.wsgi(echo), path="/raw/a/b", more={"REQUEST_URI": "/raw/a%2Fb"}).status == "404"


def test_limits_hold_among_threads(vallum: Vallum, key: str) -> None:
    app = vallum.wsgi(echo)
    barrier = threading.Barrier(8)

    def one(_: int) -> str:
        barrier.wait()
        return ask(app, "/plain", more={"HTTP_AUTHORIZATION": f"Bearer {key}"}).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(one, range(8)))
    assert sorted(statuses) == ["200"] * 2 + ["429"] * 6


FORKING = """
import io, os, sys
from wsgiref.util import setup_testing_defaults
from vallum.middleware import Vallum
vallum = Vallum(sys.argv[1])
def echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x"]
app = vallum.wsgi(echo)
def ask():
    environ = {"PATH_INFO": "/raw/x", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    said = []
    pieces = app(environ, lambda status, fields: said.append(status))
    b"".join(pieces), pieces.close()
    return said[0]
if sys.argv[2] == "before":
    assert ask() == "200 OK"
for _ in range(2):
    child = os.fork()
    if not child:
        os._exit(0 if ask() == "200 OK" and ask() == "200 OK" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert ask() == "200 OK"
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_is_forked_off_opens_its_own_house(policy: Path, tmp_path: Path, when: str) -> None:
    command = [sys.executable, "-c", FORKING, str(policy), when]
    subprocess.run(command, check=True, timeout=40, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    lines = [line for file in tmp_path.glob("vallum.records/*") for line in file.read_bytes().splitlines()]
    assert lines  # the last ones were written when the process ended
