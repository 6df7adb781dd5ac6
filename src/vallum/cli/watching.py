"""Passes everything between callers and an upstream, and takes note of the shape of what was answered well.

Nothing is protected while it runs: it is for a test bed, or for a loopback address behind what protects the upstream
today.  What is passed is never kept: of a body, its shape alone, and only once the upstream has taken it.
"""

from __future__ import annotations

import asyncio
import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import click
import uvloop
from rich.progress import Progress

from vallum.adapters.proxy.server import Listener
from vallum.adapters.proxy.upstream import Pool
from vallum.cli.terminal import err
from vallum.codecs.json import Json
from vallum.core.answer import HOP_BY_HOP
from vallum.core.decision import Deny
from vallum.core.errors import UpstreamError
from vallum.core.policy import Upstream
from vallum.core.target import parse_target
from vallum.drafts.traffic import NO_BODY, Sample, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.adapters.proxy.incoming import Incoming

BODY_MAX_BYTES = 16_777_216
BEAT_S = 0.25
PATIENCE_S = 5.0
TIMEOUT_S = 600.0
QUERY_FIELDS_MAX = 100
NOT_PASSED = HOP_BY_HOP | {"host", "expect", "accept-encoding"}


class Watch:
    """Serves callers by asking the upstream, and notes what they ask."""

    def __init__(self, traffic: Traffic, upstream: str) -> None:
        """Note into `traffic` what the service at `upstream` takes."""
        self._traffic = traffic
        self._pool = Pool(Upstream("model", upstream, timeout_s=TIMEOUT_S))
        self._secret = secrets.token_bytes(16)  # callers are told apart within this run, and known by it alone

    async def serve(self, incoming: Incoming) -> None:
        """Pass one exchange."""
        body = await incoming.read_body(BODY_MAX_BYTES)
        if isinstance(body, Deny) or not incoming.method:
            status = 400 if not isinstance(body, Deny) else body.reason.status
            await incoming.answer(status, [("content-type", "text/plain")], b"not a request that can be passed on\n")
            return
        fields = [(name, value) for name, value in incoming.headers.fields if name not in NOT_PASSED]
        try:
            call = await self._pool.call(incoming.method, incoming.target, fields, body)
        except UpstreamError as error:
            await incoming.answer(502, [("content-type", "text/plain")], f"the upstream: {error}\n".encode())
            return
        try:
            head = call.head
            assert head is not None  # `call` waits for it
            passed = [(name, value) for name, value in head.headers.fields if name not in HOP_BY_HOP]
            await incoming.start(head.status, passed, None)
            while data := await call.read():
                await incoming.send(data)
            await incoming.end()
            if head.status < 400:
                self._note(incoming, body)
        finally:
            self._pool.release(call)

    def sweep(self) -> None:
        """End what has been silent for too long."""
        self._pool.sweep()

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def _note(self, incoming: Incoming, body: bytes) -> None:
        path, query = parse_target(incoming.target)
        credential = incoming.headers.get("authorization") or incoming.headers.get("x-api-key") or incoming.peer
        caller = blake2b(credential.encode(), key=self._secret, digest_size=8).hexdigest()
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
            document = Json().decode(body) if body else NO_BODY
        except ValueError:
            self._traffic.left_out += 1
            return
        self._traffic.add(Sample(incoming.method, path or "", pairs, document, len(body), caller))


def watch_upstream(traffic: Traffic, upstream: str, listen: str, span_s: float) -> None:
    """Stand before `upstream` at `listen` for `span_s` seconds, or until interrupted."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter(f"{listen!r}: write HOST:PORT", param_hint="--listen")
    if not upstream.startswith(("http://", "https://")):
        raise click.BadParameter(f"{upstream!r}: write http://HOST:PORT", param_hint="--upstream")
    err.print(f"Passing http://{listen} to {upstream}, unprotected; Ctrl-C ends it sooner.", soft_wrap=True)
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("watching", total=span_s)

        def tell(passed_s: float) -> None:
            progress.update(task, completed=passed_s, description=f"watching: {traffic.count:,} requests")

        try:
            uvloop.run(watch(traffic, upstream, (host.strip("[]"), int(port)), span_s, tell))
        except KeyboardInterrupt:
            err.print(f"Ended after {traffic.count:,} requests.")
        except OSError as error:
            raise click.BadParameter(f"cannot listen on {listen}: {error.strerror}", param_hint="--listen") from error


async def watch(
    traffic: Traffic,
    upstream: str,
    address: tuple[str, int],
    span_s: float,
    tell: Callable[[float], None],
    listening: asyncio.Future[int] | None = None,
) -> None:
    """Pass and note for `span_s` seconds; `tell` is told how many are over, `listening` the port."""
    loop = asyncio.get_running_loop()
    watcher = Watch(traffic, upstream)
    listener = Listener(watcher.serve)
    server = await loop.create_server(listener.connect, *address)
    if listening is not None:
        listening.set_result(server.sockets[0].getsockname()[1])
    began = loop.time()
    try:
        while (passed_s := loop.time() - began) < span_s:
            tell(passed_s)
            watcher.sweep()
            listener.sweep()
            await asyncio.sleep(min(BEAT_S, span_s - passed_s))
    finally:
        server.close()
        await listener.drain(PATIENCE_S)
        watcher.close()
