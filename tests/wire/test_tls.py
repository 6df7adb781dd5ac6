"""TLS on the clients' listener, and client certificates, with real clients: Python's ssl, curl and openssl."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.conftest import Authority, Issued
    from tests.wire.conftest import Answer, Client, Door, Opener, Raw, Server

    Compose = Callable[..., bytes]
    Eventually = Callable[[Callable[[], Any]], Awaitable[Any]]

POLICY = """
version: 1
listen: {{address: "127.0.0.1:0", tls: {{cert: {0}/server.pem, key: {0}/server.key, client_ca: {0}/ca.pem{1}}}}}
admin: {{address: "127.0.0.1:0"}}
upstreams: {{model: {{url: "http://127.0.0.1:9000"}}}}
authenticators:
  keys: {{type: api_key}}
  certs: {{type: mtls, subject: san_dns}}
routes:
  - name: by-key
    match: {{methods: [POST], path: /by-key}}
    upstream: model
    auth: {{any_of: [keys], scopes: ["predict:read"]}}
  - name: sensitive
    match: {{methods: [POST], path: /api/v1/predict}}
    upstream: model
    auth: {{any_of: [certs]}}
"""
BODY = b'{"input_text": "a good day"}'
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
REFUSED = (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)


class House:
    """A gateway on TLS, its files, and clients that call it."""

    def __init__(
        self, opened: Opener, folder: Path, authority: Authority, compose: Compose, wait_for: Eventually
    ) -> None:
        self.opened = opened
        self.compose = compose
        self.wait_for = wait_for
        self.folder = folder
        self.authority = authority
        self.alice = authority.issue("alice.clients.example", common_name="mallory")
        self.bob = authority.issue("bob.clients.example")
        authority.issue("localhost", "127.0.0.1").write(folder, "server")
        self.put("ca.pem", authority.pem)

    def put(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    async def open(self, tls: str = "client_auth: optional", upstream: str | None = None, **listen: Any) -> Door:
        text = POLICY.format(self.folder, f", {tls.replace('crl.pem', f'{self.folder}/crl.pem')}" if tls else "")
        self.door = await self.opened(text, upstream=upstream, beside=self.folder, **listen)
        return self.door

    def context(self, issued: Issued | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if issued is not None:
            context.load_cert_chain(*issued.write(self.folder, "presented"))
        return context

    async def connect(self, issued: Issued | None = None, version: ssl.TLSVersion | None = None) -> Client:
        return await self.door.connect(context=self.context(issued, version))

    def request(self, target: str = "/api/v1/predict", headers: Any = (), **more: Any) -> bytes:
        return self.compose(target=target, body=BODY, headers=(("Content-Type", "application/json"), *headers), **more)

    async def on(self, client: Client, **more: Any) -> Answer:
        """Ask on a connection that is there."""
        await client.send(self.request(**more))
        return await client.answer()

    async def ask(self, issued: Issued | None = None, version: ssl.TLSVersion | None = None, **more: Any) -> Answer:
        client = await self.connect(issued, version)
        try:
            return await self.on(client, **more)
        finally:
            client.close()

    async def refuses(self, issued: Issued | None, version: ssl.TLSVersion | None = None) -> None:
        """Hold that no connection can be made; in TLS 1.3 a client learns that when it reads."""
        with pytest.raises(REFUSED):
            await self.ask(issued, version)

    async def revoke(self, *issued: Issued) -> None:
        """Replace the revocation list, and wait until it is in force."""
        before = self.swaps("swapped")
        self.put("crl.pem", self.authority.revoke(*issued))
        await self.wait_for(lambda: self.swaps("swapped") > before)

    def swapped(self, count: int) -> bool:
        return self.swaps("swapped") >= count

    def swaps(self, outcome: str) -> int:
        return self.door.gateway.metrics._material[outcome,]


async def run(*command: str, stdin: bytes = b"") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(10):
            out, _ = await process.communicate(stdin)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    return process.returncode or 0, out.decode("latin-1")


@pytest.fixture
def house(
    opened: Opener, tmp_path: Path, authority: Authority, request_bytes: Compose, eventually: Eventually
) -> House:
    return House(opened, tmp_path, authority, request_bytes, eventually)


# --- who is calling


@pytest.mark.parametrize(("tls", "version"), [("", V13), (", min_version: 1.2", V12)])
async def test_a_certificate_says_who_calls(house: House, tls: str, version: ssl.TLSVersion) -> None:
    door = await house.open(f"client_auth: optional{tls}")
    spoofed = (("Client-Cert", ":AAAA:"), ("X-SSL-Client-Cert", "x"), ("x_ssl_client_cert", "x"))
    answer = await house.ask(house.alice, version, headers=spoofed)
    assert answer.status == 200
    record = await door.record(answer.id)
    assert (record["subject"], record["decision"]) == ("alice.clients.example", "allow")
    assert record["credential"] == f"cert_{house.alice.thumbprint[:16]}"
    (_, _, reached), *_ = door.model.heads
    assert set(reached) == {"content-length", "content-type", "accept-encoding", "x-request-id", "host"}


async def test_every_failure_of_identity_is_one_answer(house: House) -> None:
    house.put("crl.pem", house.authority.revoke(house.bob))
    door = await house.open("client_auth: optional, crl: crl.pem")
    answers = {
        "no certificate was presented": await house.ask(),
        "the certificate is revoked": await house.ask(house.bob),
        "no authenticator of this route takes this certificate": await house.ask(house.authority.issue("a@b.example")),
        "ambiguous": await house.ask(house.authority.issue("a.example", "b.example")),
    }
    assert len({answer.anonymous() for answer in answers.values()}) == 1
    for words, answer in answers.items():
        answer.check_refusal(401, "unauthenticated")
        assert answer.get("www-authenticate") == "Certificate"
        detail = (await door.record(answer.id))["detail"]
        assert words in detail.replace("no credential", "no certificate"), detail
    assert (await house.ask(house.alice)).status == 200
    assert door.model.calls == 1


async def test_other_credentials_need_no_certificate(house: House) -> None:
    door = await house.open()
    for issued in (None, house.alice):
        assert (await house.ask(issued, target="/by-key", key=door.key)).status in (200, 404)
        (await house.ask(issued, target="/by-key")).check_refusal(401, "unauthenticated")
    assert door.model.calls == 2


@pytest.mark.parametrize("auth", ["optional", "required"])
@pytest.mark.parametrize("version", [V12, V13])
async def test_a_certificate_that_was_never_good_ends_the_handshake(
    house: House, authority: Authority, auth: str, version: ssl.TLSVersion
) -> None:
    door = await house.open(f"client_auth: {auth}, min_version: 1.2")
    twin = type(authority)()  # of the same name, with another key
    for issued in (twin.issue("alice.clients.example"), house.authority.issue("alice.clients.example", days=-1)):
        await house.refuses(issued, version)
    if auth == "required":
        await house.refuses(None, version)
    assert (await house.ask(house.alice, version)).status == 200
    assert door.model.calls == 1
    listener: Any = door.gateway._listener
    assert listener.failures["certificate"] == 2
    assert listener.failures["no_certificate"] == (auth == "required")
    assert b'vallum_tls_handshakes_failed_total{cause="certificate"} 2' in door.gateway.render_metrics()


async def test_where_certificates_are_required_a_revoked_one_ends_the_handshake(house: House) -> None:
    house.put("crl.pem", house.authority.revoke(house.bob))
    await house.open("client_auth: required, crl: crl.pem")
    await house.refuses(house.bob)
    assert (await house.ask(house.alice)).status == 200


async def test_a_server_certificate_is_no_clients(house: House, authority: Authority) -> None:
    await house.open("client_auth: required")
    assert (await house.ask(house.alice)).status == 200
    await house.refuses(house.authority.issue("alice.clients.example", usage=ExtendedKeyUsageOID.SERVER_AUTH))


# --- on a live connection


async def test_a_revoked_certificate_is_refused_with_the_next_request_of_a_live_connection(house: House) -> None:
    house.put("crl.pem", house.authority.revoke())
    door = await house.open("client_auth: optional, crl: crl.pem")
    alice, bob = await house.connect(house.alice), await house.connect(house.bob)
    assert [(await house.on(client)).status for client in (alice, bob)] == [200, 200]
    await house.revoke(house.bob)
    refused = await house.on(bob)
    refused.check_refusal(401, "unauthenticated")
    assert (await door.record(refused.id))["detail"] == "the certificate is revoked"
    assert (await house.on(alice)).status == 200


async def test_a_certificate_that_expires_under_way_is_refused(house: House) -> None:
    await house.open()
    client = await house.connect(house.alice)
    assert (await house.on(client)).status == 200
    listener: Any = house.door.gateway._listener
    requests = listener.handler.__self__._requests
    requests._now = house.alice.certificate.not_valid_after_utc.timestamp
    answer = await house.on(client)
    answer.check_refusal(401, "unauthenticated")
    assert (await house.door.record(answer.id))["detail"] == "the certificate has expired"


async def test_a_list_that_is_out_of_date_vouches_for_nobody(house: House) -> None:
    house.put("crl.pem", house.authority.revoke(days=1))
    await house.open("client_auth: optional, crl: crl.pem")
    client = await house.connect(house.alice)
    assert (await house.on(client)).status == 200
    listener: Any = house.door.gateway._listener
    requests = listener.handler.__self__._requests
    now = requests._now
    requests._now = lambda: now() + 2 * 86_400
    answer = await house.on(client)
    answer.check_refusal(401, "unauthenticated")
    assert "out of date" in (await house.door.record(answer.id))["detail"]


async def test_an_authority_that_is_withdrawn_takes_its_live_connections_with_it(house: House) -> None:
    other = type(house.authority)("Another authority")
    house.put("ca.pem", house.authority.pem + other.pem)
    await house.open()
    theirs, ours = await house.connect(other.issue("eve.example")), await house.connect(house.alice)
    assert [(await house.on(client)).status for client in (theirs, ours)] == [200, 200]
    house.put("ca.pem", house.authority.pem)
    await house.wait_for(lambda: house.swaps("swapped"))
    refused = await house.on(theirs)
    refused.check_refusal(401, "unauthenticated")
    assert refused.get("connection") == "close"
    assert (await house.on(ours)).status == 200
    await house.refuses(other.issue("eve.example"))


# --- sessions


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("auth", ["optional", "required"])
async def test_a_resumed_session_does_not_outlive_a_revocation(
    house: House, version: ssl.TLSVersion, auth: str
) -> None:
    house.put("crl.pem", house.authority.revoke())
    await house.open(f"client_auth: {auth}, crl: crl.pem, min_version: 1.2")
    context = house.context(house.bob, version)

    def resume(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None, bytes]:
        """Ask once, with a session if there is one."""
        with (
            socket.create_connection(("127.0.0.1", house.door.port), 10) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as tls,
        ):
            tls.sendall(house.request())
            return tls.session, tls.session_reused, tls.recv(65_536)[:12]

    loop = asyncio.get_running_loop()
    session, reused, status = await loop.run_in_executor(None, resume, None)
    assert (reused, status) == (False, b"HTTP/1.1 200")
    if version is V13:
        assert session is None or not session.has_ticket
    # While nothing changes TLS 1.2 knows a session again: so what follows is no accident.
    _, reused, status = await loop.run_in_executor(None, resume, session)
    assert (reused, status) == (version is V12, b"HTTP/1.1 200")
    await house.revoke(house.bob)
    try:
        _, reused, status = await loop.run_in_executor(None, resume, session)
    except OSError:
        assert auth == "required"
    else:
        assert not reused
        assert status == (b"HTTP/1.1 401" if auth == "optional" else b"")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_cannot_resume_either(house: House, version: str) -> None:
    house.put("crl.pem", house.authority.revoke())
    await house.open("client_auth: optional, crl: crl.pem, min_version: 1.2")
    cert, key = house.alice.write(house.folder, "alice")
    request = house.request(headers=[("Connection", "close")])
    session = house.folder / "session"
    base = (
        *("openssl", "s_client", "-connect", f"127.0.0.1:{house.door.port}", "-servername", "localhost", version),
        *(
            "-CAfile",
            str(house.folder / "ca.pem"),
            "-cert",
            str(cert),
            "-key",
            str(key),
            "-ign_eof",
            "-verify_return_error",
        ),
    )
    _, said = await run(*base, "-sess_out", str(session), stdin=request)
    assert "HTTP/1.1 200" in said, said
    await house.revoke(house.alice)
    if not session.exists():  # TLS 1.3: the server gave nothing to resume
        assert version == "-tls1_3"
        return
    _, said = await run(*base, "-sess_in", str(session), stdin=request)
    assert "HTTP/1.1 401" in said, said
    assert "Reused" not in said.partition("HTTP/1.1")[0]


# --- rotation


async def test_a_new_pair_is_served_without_a_restart_and_half_of_one_is_not(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.open()
    renewed = house.authority.issue("localhost", "127.0.0.1")
    kept = await house.connect(house.alice)
    house.put("server.pem", renewed.pem)
    await house.wait_for(lambda: house.swaps("kept"))
    assert "server.key is not the key of" in caplog.text
    assert await served_serial(house) != renewed.certificate.serial_number
    house.put("server.key", renewed.key[:40])
    await house.wait_for(lambda: house.swaps("kept") == 2)
    house.put("server.key", renewed.key)
    await house.wait_for(lambda: house.swaps("swapped"))
    assert await served_serial(house) == renewed.certificate.serial_number
    assert (await house.on(kept)).status == 200
    assert renewed.key.decode().split("\n")[1] not in caplog.text
    shown = house.door.gateway.render_metrics().decode()
    assert 'vallum_tls_reloads_total{outcome="swapped"} 1' in shown
    found = re.search(r'vallum_tls_not_after_seconds\{file="listen.tls.cert"\} (\S+)', shown)
    assert found is not None
    assert float(found[1]) == renewed.certificate.not_valid_after_utc.timestamp()


async def served_serial(house: House) -> int:
    client = await house.connect()
    der = client.writer.get_extra_info("ssl_object").getpeercert(True)
    client.close()
    return x509.load_der_x509_certificate(der).serial_number


async def test_rotation_under_load_fails_nobody(house: House) -> None:
    house.put("crl.pem", house.authority.revoke())
    await house.open("client_auth: optional, crl: crl.pem")
    stopped = asyncio.Event()
    asked = 0

    async def call(fresh: bool) -> None:
        nonlocal asked
        client = await house.connect(house.alice)
        while not stopped.is_set():
            if fresh:
                client.close()
                client = await house.connect(house.alice)
            assert (await house.on(client)).status == 200
            asked += 1

    async with asyncio.TaskGroup() as group:
        for fresh in (False, False, False, True):
            group.create_task(call(fresh))
        for turn in range(1, 4):
            house.authority.issue("localhost", "127.0.0.1").write(house.folder, "server")
            house.put("crl.pem", house.authority.revoke(house.bob))
            await house.wait_for(partial(house.swapped, turn))
        stopped.set()
    assert asked > 20
    assert house.swaps("kept") == 0


# --- what a handshake may take


async def test_half_open_handshakes_are_counted_and_bounded_in_time(house: House) -> None:
    await house.open(max_connections=8, header_timeout_s=0.3)
    listener: Any = house.door.gateway._listener
    idle = [await house.door.connect() for _ in range(8)]
    await house.wait_for(lambda: len(listener.handshakes) == 8)
    over = await house.door.connect()
    assert await over.ended() == b""
    assert listener.failures["full"] == 1
    assert [await client.ended() for client in idle] == [b""] * 8
    await house.wait_for(lambda: not listener.handshakes)
    assert listener.failures["timeout"] == 8
    assert (await house.ask(house.alice)).status == 200


async def test_what_is_no_client_hello_ends_the_connection(house: House) -> None:
    await house.open()
    listener: Any = house.door.gateway._listener
    for data in (
        house.compose(),
        bytes(5000),
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"\x80\x2e\x01\x00\x02" + bytes(60),
    ):
        client = await house.door.connect()
        await client.try_send(data)
        rest = await client.ended()
        assert b"HTTP" not in rest
    await house.wait_for(lambda: not listener.handshakes)
    assert listener.failures["plain_http"] == 1
    assert (await house.ask(house.alice)).status == 200


async def test_a_chain_without_end_is_refused(house: House) -> None:
    await house.open()
    chain = house.alice.pem + b"".join(house.authority.issue(f"{n}.example").pem for n in range(400))
    house.put("long.pem", chain)
    house.put("long.key", house.alice.key)
    context = house.context()
    context.load_cert_chain(house.folder / "long.pem", house.folder / "long.key")
    with pytest.raises(REFUSED):
        await house.on(await house.door.connect(context=context))
    assert (await house.ask(house.alice)).status == 200


async def test_old_versions_are_not_spoken(house: House) -> None:
    await house.open()
    await house.refuses(house.alice, V12)
    listener: Any = house.door.gateway._listener
    await house.wait_for(lambda: listener.failures["version"])


async def test_http_1_is_what_is_negotiated(house: House) -> None:
    await house.open()
    for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
        context = house.context(house.alice)
        context.set_alpn_protocols(offered)
        client = await house.door.connect(context=context)
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
        assert client.writer.get_extra_info("ssl_object").compression() is None


# --- the connection, as it is without TLS


async def test_pipelined_requests_and_a_body_in_pieces(house: House) -> None:
    await house.open()
    client = await house.connect(house.alice)
    await client.send(house.request() * 5)
    for _ in range(5):
        assert (await client.answer()).status == 200
    data = house.request()
    for at in range(0, len(data), 40):
        await client.send(data[at : at + 40])
    assert (await client.answer()).status == 200


async def test_a_large_answer_waits_for_a_slow_reader_and_arrives_whole(house: House) -> None:
    body = b'{"prediction": "' + b"a" * 6_000_000 + b'"}'

    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    raw = await house.opened.raw(script)
    door = await house.open(upstream=raw.url)
    client = await house.connect(house.alice)
    client.pause()
    await client.send(house.request(headers=[("Connection", "close")]))
    listener: Any = door.gateway._listener
    await house.wait_for(lambda: any(c._unread_since is not None for c in listener.connections))
    client.resume()
    answer = await client.answer()
    assert answer.body == body
    await house.wait_for(lambda: not listener.connections)


async def test_a_client_that_never_reads_is_cut(house: House) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + bytes(20_000_000))
        await writer.drain()

    raw = await house.opened.raw(script)
    door = await house.open(upstream=raw.url, write_timeout_s=0.2)
    client = await house.connect(house.alice)
    client.pause()
    await client.send(house.request())
    listener: Any = door.gateway._listener
    await house.wait_for(lambda: listener.connections)
    await house.wait_for(lambda: not listener.connections)


async def test_a_client_that_says_goodbye_stops_the_work(house: House) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        await reader.read(1)
        raw.lost[-1].set()

    raw = await house.opened.raw(script)
    await house.open(upstream=raw.url)
    client = await house.connect(house.alice)
    await client.send(house.request())
    await house.wait_for(lambda: raw.requests)
    client.writer.close()
    await house.wait_for(raw.lost[0].is_set)


async def test_an_idle_client_that_does_not_say_goodbye_holds_no_drain(house: House) -> None:
    door = await house.open()
    listener: Any = door.gateway._listener
    client = await house.connect(house.alice)
    assert (await house.on(client)).status == 200
    client.pause()  # it will not hear of the end
    loop = asyncio.get_running_loop()
    began = loop.time()
    await listener.drain(9.0)
    assert loop.time() - began < 5


# --- others' clients


async def test_curl(house: House) -> None:
    await house.open()
    cert, key = house.alice.write(house.folder, "alice")
    base = (
        *(
            "curl",
            "-sS",
            "--cacert",
            str(house.folder / "ca.pem"),
            f"https://localhost:{house.door.port}/api/v1/predict",
        ),
        *(
            "--resolve",
            f"localhost:{house.door.port}:127.0.0.1",
            "-H",
            "content-type: application/json",
            "-d",
            BODY.decode(),
        ),
    )
    code, said = await run(*base, "--cert", str(cert), "--key", str(key), "-w", "%{http_code} %{http_version}")
    assert (code, said[-7:]) == (0, "200 1.1"), said
    code, said = await run(*base)
    assert json.loads(said)["code"] == "unauthenticated"
    code, said = await run(*base, "--cert", str(cert), "--key", str(key), "--tls-max", "1.2")
    assert code != 0


# --- the command


async def test_serve_speaks_tls_and_check_says_so(serving: Server, house: House) -> None:
    text = POLICY.format(house.folder, ", client_auth: optional").replace("http://127.0.0.1:9000", "${VALLUM_UPSTREAM}")
    served = await serving(f'{text}registry: "${{VALLUM_REGISTRY}}"\n')
    assert f"https://127.0.0.1:{served.port}" in served.said
    cert, key = house.alice.write(house.folder, "alice")
    code, said = await run(
        *("curl", "-sS", "--cacert", str(house.folder / "ca.pem"), f"https://127.0.0.1:{served.port}/api/v1/predict"),
        *("-H", "content-type: application/json", "-d", BODY.decode(), "--cert", str(cert), "--key", str(key)),
    )
    assert code == 0
    assert "prediction" in said
    code, said = await served.command("check")
    assert code == 0
    assert "Listens on 127.0.0.1:0: TLS 1.3 and later, client certificates optional." in said
    assert "mtls" in said
    house.put("server.pem", house.authority.issue("localhost", days=-1).pem)
    code, said = await served.command("check")
    assert code == 2
    assert "held until" in said
    assert "is not the key of" in said


async def test_every_worker_speaks_tls(serving: Server, house: House) -> None:
    text = POLICY.format(house.folder, ", client_auth: optional").replace("http://127.0.0.1:9000", "${VALLUM_UPSTREAM}")
    served = await serving(f'{text}workers: 2\nregistry: "${{VALLUM_REGISTRY}}"\n')
    for _ in range(6):
        client = await type(await served.connect()).connect(served.port, context=house.context(house.alice))
        assert (await house.on(client)).status == 200
        client.close()
