"""Conversations with an issuer written by hand: discovery, keys, introspection, and everything that can go wrong."""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64decode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from vallum.adapters import issuer as room
from vallum.adapters.issuer import ASKED_MAX, ISSUERS_MAX, HttpIssuers, discovery_addresses
from vallum.core.errors import DependencyError
from vallum.core.issuer import Issuer, KeySet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEYS = {"keys": [{"kty": "EC", "kid": "one"}]}


class Clock:
    """Seconds, which a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Answers what a test says; `asked` is what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.bodies: list[str] = []
        self.heads: list[str] = []
        self.answers: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.gate: asyncio.Event | None = None
        self.tasks: set[Any] = set()

    def count(self, path: str) -> int:
        return self.asked.count(path)

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next((int(line[16:]) for line in head.split("\r\n") if line.startswith("content-length: ")), 0)
            self.bodies.append((await reader.readexactly(length)).decode())
            self.heads.append(head)
            path = head.split(" ")[1]
            self.asked.append(path)
            if self.gate is not None:
                await self.gate.wait()
            answer = self.answers.get(path, 404)
            if isinstance(answer, int):
                writer.write(f"HTTP/1.1 {answer} X\r\nlocation: {self.url}/jwks\r\ncontent-length: 0\r\n\r\n".encode())
            else:
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                extra = f"cache-control: {self.headers[path]}\r\n" if path in self.headers else ""
                writer.write(f"HTTP/1.1 200 OK\r\n{extra}content-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.speak, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}" if tls is None else f"https://localhost:{port}"
    server.answers = {
        "/.well-known/openid-configuration": {
            "issuer": server.url,
            "jwks_uri": f"{server.url}/jwks",
            "introspection_endpoint": f"{server.url}/ask?a=b",
        },
        "/jwks": KEYS,
        "/ask?a=b": {"active": True},
    }
    try:
        yield server
    finally:
        listening.close()
        if server.gate is not None:
            server.gate.set()
        await asyncio.gather(*server.tasks)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as one:
        yield one


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def issuers(clock: Clock) -> AsyncIterator[HttpIssuers]:
    made = HttpIssuers(clock)
    yield made
    made.close()


class TestKeys:
    async def test_are_discovered_and_kept(self, server: Server, issuers: HttpIssuers) -> None:
        for _ in range(3):
            assert await issuers.fetch_keys(Issuer(server.url)) == KeySet(tuple(KEYS["keys"]), 1)
        assert server.asked == ["/.well-known/openid-configuration", "/jwks"]

    async def test_need_no_discovery_where_their_address_is_given(self, server: Server, issuers: HttpIssuers) -> None:
        await issuers.fetch_keys(Issuer(server.url, jwks_uri=f"{server.url}/jwks"))
        assert server.asked == ["/jwks"]

    async def test_are_found_by_the_names_of_rfc_8414(self, server: Server, issuers: HttpIssuers) -> None:
        url = f"{server.url}/tenant"
        found = {"issuer": url, "jwks_uri": f"{server.url}/jwks"}
        server.answers["/.well-known/oauth-authorization-server/tenant"] = found
        assert (await issuers.fetch_keys(Issuer(url))).version == 1

    async def test_are_asked_for_once_at_a_time(self, server: Server, issuers: HttpIssuers) -> None:
        server.gate = asyncio.Event()
        waiting = [asyncio.ensure_future(issuers.fetch_keys(Issuer(server.url))) for _ in range(20)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # whoever asked first may leave
        server.gate.set()
        answers = await asyncio.gather(*waiting[1:])
        assert {keys.version for keys in answers} == {1}
        assert server.count("/jwks") == 1

    @pytest.mark.parametrize(
        ("said", "fresh_s"),
        [
            (None, 600),
            ("max-age=1", 300),
            ("public, max-age=900", 900),
            ("max-age=99999999", 3600),
            ("s-maxage=900", 600),
            ("max-age=x", 600),
            ("no-store", 600),
        ],
    )
    async def test_are_fresh_for_what_the_issuer_says_within_bounds(
        self, server: Server, issuers: HttpIssuers, clock: Clock, said: str | None, fresh_s: int
    ) -> None:
        if said is not None:
            server.headers["/jwks"] = said
        issuer = Issuer(server.url)
        await issuers.fetch_keys(issuer)
        clock.now += fresh_s - 1
        assert (await issuers.fetch_keys(issuer)).version == 1
        clock.now += 1
        assert (await issuers.fetch_keys(issuer)).version == 2

    async def test_are_asked_for_twice_a_minute_in_a_flood(
        self, server: Server, issuers: HttpIssuers, clock: Clock
    ) -> None:
        issuer = Issuer(server.url)
        for second in range(60):
            for _ in range(5):
                keys = await issuers.fetch_keys(issuer)
                await issuers.fetch_keys(issuer, newer_than=keys.version)
            assert server.count("/jwks") == second // 30 + 1
            clock.now += 1

    async def test_that_were_good_stay_so_for_a_day(self, server: Server, issuers: HttpIssuers, clock: Clock) -> None:
        issuer = Issuer(server.url)
        await issuers.fetch_keys(issuer)
        server.answers["/jwks"] = 500
        for _ in range(10):
            clock.now += 8639
            assert (await issuers.fetch_keys(issuer)).version == 1
        clock.now += 10
        with pytest.raises(DependencyError, match="answered 500"):
            await issuers.fetch_keys(issuer)

    async def test_that_do_not_come_are_not_asked_for_at_every_request(
        self, server: Server, issuers: HttpIssuers, clock: Clock
    ) -> None:
        server.answers["/jwks"] = 500
        issuer = Issuer(server.url)
        for _ in range(5):
            with pytest.raises(DependencyError, match="500"):
                await issuers.fetch_keys(issuer)
        assert server.count("/jwks") == 1
        server.answers["/jwks"] = KEYS
        clock.now += 2
        assert (await issuers.fetch_keys(issuer)).version == 1

    @pytest.mark.parametrize(
        ("answer", "fault"),
        [
            (302, "answered 302"),
            (204, "answered 204"),
            (400, "answered 400"),
            (b"not json", "not JSON"),
            (b'{"keys":[],"keys":[]}', "not JSON"),
            ([], "no JSON object"),
            ({"keys": []}, "no JWK set"),
            ({"keys": {}}, "no JWK set"),
            ({"keys": ["x"]}, "no JWK set"),
            ({}, "no JWK set"),
            ({"keys": [{}] * 51}, "over 50 keys"),
            (b" " * 70_000, "over 65536 bytes"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_that_are_none_are_not_taken(
        self, server: Server, issuers: HttpIssuers, clock: Clock, answer: Any, fault: str
    ) -> None:
        issuer = Issuer(server.url)
        server.answers["/jwks"] = answer
        with pytest.raises(DependencyError, match=fault):
            await issuers.fetch_keys(issuer)
        assert server.count("/jwks") == 1, "a redirect is not followed"
        server.answers["/jwks"] = KEYS
        clock.now += 30
        await issuers.fetch_keys(issuer)
        server.answers["/jwks"] = answer
        clock.now += 3600
        assert (await issuers.fetch_keys(issuer)).version == 1, "and do not push out good ones"

    async def test_of_an_issuer_that_is_silent(
        self, server: Server, issuers: HttpIssuers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room, "ASK_S", 0.05)
        server.gate = asyncio.Event()
        with pytest.raises(DependencyError, match=r"no answer within 0\.05 s"):
            await issuers.fetch_keys(Issuer(server.url))
        with pytest.raises(DependencyError, match=r"within 0\.05 s"):
            await issuers.introspect(Issuer(server.url), "token")
        server.gate.set()

    async def test_of_an_issuer_that_is_not_there(self, issuers: HttpIssuers) -> None:
        with pytest.raises(DependencyError, match="no connection"):
            await issuers.fetch_keys(Issuer("http://127.0.0.1:1", jwks_uri="http://127.0.0.1:1/jwks"))

    async def test_of_few_issuers_are_kept(self, server: Server, issuers: HttpIssuers) -> None:
        for number in range(ISSUERS_MAX + 3):
            await issuers.fetch_keys(Issuer(f"https://{number}.example", jwks_uri=f"{server.url}/jwks"))
        assert len(issuers._known) == ISSUERS_MAX


class TestTls:
    @pytest.mark.parametrize(("name", "trusted"), [("localhost", True), ("other.example", True), ("localhost", False)])
    async def test_an_issuer_is_who_its_certificate_says(
        self, issuers: HttpIssuers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, *, trusted: bool
    ) -> None:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        roots = tmp_path / "roots.pem"
        (authority if trusted else trustme.CA()).cert_pem.write_to_path(str(roots))
        monkeypatch.setenv("SSL_CERT_FILE", str(roots))
        async with serving(context) as server:
            if trusted and name == "localhost":
                assert (await issuers.fetch_keys(Issuer(server.url))).version == 1
                return
            with pytest.raises(DependencyError, match="SSLCertVerificationError"):
                await issuers.fetch_keys(Issuer(server.url))
            assert server.asked == []


class TestDiscovery:
    @pytest.mark.parametrize(
        ("issuer", "addresses"),
        [
            ("https://a.example", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]),
            ("https://a.example/", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]),
            (
                "https://a.example/t",
                [
                    "/t/.well-known/openid-configuration",
                    "/.well-known/oauth-authorization-server/t",
                    "/.well-known/openid-configuration/t",
                ],
            ),
        ],
    )
    def test_looks_where_the_rfcs_say(self, issuer: str, addresses: list[str]) -> None:
        assert discovery_addresses(issuer) == [f"https://a.example{path}" for path in addresses]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"issuer": "https://other.example"},
            {"issuer": None},
            {"jwks_uri": None},
            {"jwks_uri": "http://10.0.0.1/k"},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": "http://127.0.0.1/\r\nx: y"},
            {"jwks_uri": ["x"]},
        ],
        ids=str,
    )
    async def test_of_another_issuer_or_address_is_refused(
        self, server: Server, issuers: HttpIssuers, wrong: dict[str, Any]
    ) -> None:
        server.answers["/.well-known/openid-configuration"] |= wrong
        with pytest.raises(DependencyError):
            await issuers.fetch_keys(Issuer(server.url))
        assert server.count("/jwks") == 0

    async def test_that_fails_later_leaves_the_old(self, server: Server, issuers: HttpIssuers, clock: Clock) -> None:
        issuer = Issuer(server.url)
        await issuers.fetch_keys(issuer)
        server.answers["/.well-known/openid-configuration"] = 500
        clock.now += 7200
        assert (await issuers.fetch_keys(issuer)).version == 2


class TestIntrospection:
    def issuer(self, server: Server) -> Issuer:
        return Issuer(server.url, client_id="gate way", client_secret="h:u+s/h")

    async def test_asks_as_a_client(self, server: Server, issuers: HttpIssuers) -> None:
        assert await issuers.introspect(self.issuer(server), "a+b/c=") == {"active": True}
        assert server.asked[-1] == "/ask?a=b"
        assert server.bodies[-1] == "token=a%2Bb%2Fc%3D&token_type_hint=access_token"
        basic = next(line for line in server.heads[-1].split("\r\n") if line.startswith("authorization: Basic "))
        assert b64decode(basic.removeprefix("authorization: Basic ")) == b"gate+way:h%3Au%2Bs%2Fh"

    async def test_needs_no_discovery_where_the_endpoint_is_given(self, server: Server, issuers: HttpIssuers) -> None:
        given = Issuer("https://login.example", introspection_endpoint=f"{server.url}/ask?a=b")
        assert await issuers.introspect(given, "x") == {"active": True}
        assert server.asked == ["/ask?a=b"]

    async def test_ends_with_the_gateway(self, server: Server, issuers: HttpIssuers) -> None:
        server.gate = asyncio.Event()
        waiting = asyncio.ensure_future(issuers.introspect(self.issuer(server), "x"))
        await asyncio.sleep(0)
        issuers.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def test_is_asked_once_at_a_time_for_a_token(self, server: Server, issuers: HttpIssuers) -> None:
        await issuers.introspect(self.issuer(server), "first")
        server.gate = asyncio.Event()
        waiting = [asyncio.ensure_future(issuers.introspect(self.issuer(server), "same")) for _ in range(10)]
        other = asyncio.ensure_future(issuers.introspect(self.issuer(server), "other"))
        await asyncio.sleep(0)
        server.gate.set()
        assert await asyncio.gather(*waiting, other) == [{"active": True}] * 11
        assert server.count("/ask?a=b") == 3

    async def test_takes_a_400_for_no_token_and_all_else_for_an_outage(
        self, server: Server, issuers: HttpIssuers
    ) -> None:
        server.answers["/ask?a=b"] = 400
        assert await issuers.introspect(self.issuer(server), "x") == {"active": False}
        for status in (302, 401, 403, 404, 429, 500, 503):
            server.answers["/ask?a=b"] = status
            with pytest.raises(DependencyError, match=f"answered {status}"):
                await issuers.introspect(self.issuer(server), "x")

    async def test_of_too_many_tokens_at_once_is_an_outage(self, server: Server, issuers: HttpIssuers) -> None:
        server.gate = asyncio.Event()
        many = [asyncio.ensure_future(issuers.introspect(self.issuer(server), str(n))) for n in range(ASKED_MAX + 5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(issuers._flights) <= ASKED_MAX
        for one in many:
            one.cancel()
        results = await asyncio.gather(*many, return_exceptions=True)
        assert any(isinstance(result, DependencyError) for result in results)
        server.gate.set()

    async def test_no_token_is_in_an_error(self, server: Server, issuers: HttpIssuers) -> None:
        server.answers["/ask?a=b"] = 500
        with pytest.raises(DependencyError) as caught:
            await issuers.introspect(self.issuer(server), "secret-token")
        assert "secret-token" not in str(caught.value)
