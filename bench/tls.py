"""What TLS costs: CPU of the gateway per request and per connection, plain and with TLS, in one run.

    PYTHONPATH=src python bench/tls.py [--rounds 3] [--requests 4000] [--connections 300]

One process serves (its CPU is what is measured, from /proc), another asks, over loopback.  The contenders take turns;
figures are the median of the rounds and the range.  Both ends need a core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import ssl
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
import uvloop

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.gateway import Gateway
from vallum.household import BEAT_S

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

POLICY = """
version: 1
listen: {{address: "127.0.0.1:0"{tls}}}
registry: "sqlite:///{folder}/vallum.db"
upstreams: {{model: {{url: "http://127.0.0.1:1"}}}}
authenticators: {{open: {{type: {authenticator}}}}}
routes:
  - name: absent
    match: {{methods: [POST], path: /ask}}
    upstream: model
    auth: {{any_of: [open], scopes: [none]}}
"""
TLS = ", tls: {{cert: server.pem, key: server.pem, client_ca: ca.pem, client_auth: {auth}, min_version: {version}}}"
CASES = {
    "plain": ("", "anonymous", None),
    "tls 1.3": (TLS.format(auth="none", version=1.3), "anonymous", ssl.TLSVersion.TLSv1_3),
    "tls 1.2": (TLS.format(auth="none", version=1.2), "anonymous", ssl.TLSVersion.TLSv1_2),
    "tls 1.3, client certificate": (
        TLS.format(auth="required", version=1.3),
        "mtls, subject: san_dns",
        ssl.TLSVersion.TLSv1_3,
    ),
}
BODY = json.dumps({"input_text": "a good day " * 90}).encode()  # 1 KB, as in bench/proxy
REQUEST = (
    b"POST /ask HTTP/1.1\r\nHost: model.example\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(BODY)
) + BODY
EXPECTED = b"HTTP/1.1 403 "  # judged to its scopes and refused there: no upstream is in the figure
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def serve(case: str, folder: str, said: Connection) -> None:
    """Serve in a process of its own until killed."""
    tls, authenticator, _ = CASES[case]
    text = POLICY.format(tls=tls, folder=folder, authenticator=authenticator)
    source = parse_source(Path(folder) / "policy.yaml", text.encode())
    config, policy = load_policy(source)

    async def run() -> None:
        gateway = Gateway(config, policy, source)
        await gateway.start()
        said.send(int(gateway.addresses[0].rpartition(":")[2]))
        while True:
            await asyncio.sleep(BEAT_S)
            await gateway.beat()

    uvloop.run(run())


def cpu_s(pid: int) -> float:
    """Return the user and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


async def connect(port: int, context: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as a client."""
    name = None if context is None else "localhost"
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send one request and hold that the answer is the expected one."""
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(EXPECTED):
        raise SystemExit(f"not what was to be measured: {head[:60]!r}")
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    await reader.readexactly(int(length.partition(b":")[2]))


async def load(pid: int, port: int, context: ssl.SSLContext | None, asked: int, connected: int) -> tuple[float, float]:
    """Return microseconds of the server's CPU per request on kept connections, and per connection with one request."""

    async def keep(count: int) -> None:
        reader, writer = await connect(port, context)
        for _ in range(count):
            await ask(reader, writer)
        writer.close()

    async def visit(count: int) -> None:
        for _ in range(count):
            reader, writer = await connect(port, context)
            await ask(reader, writer)
            writer.close()

    async def measure(work: Any, count: int) -> float:
        before = cpu_s(pid)
        await asyncio.gather(*(work(count // 8) for _ in range(8)))
        return (cpu_s(pid) - before) / (count // 8 * 8) * 1e6

    await asyncio.gather(*(keep(50) for _ in range(8)))
    return await measure(keep, asked), await measure(visit, connected)


def run_once(case: str, folder: str, context: ssl.SSLContext | None, asked: int, connected: int) -> tuple[float, float]:
    """Start a server, load it, end it."""
    spawn = multiprocessing.get_context("spawn")
    mine, its = spawn.Pipe()
    server = spawn.Process(target=serve, args=(case, folder, its), daemon=True)
    server.start()
    try:
        port, pid = mine.recv(), server.pid
        assert pid is not None
        return uvloop.run(load(pid, port, context, asked, connected))
    finally:
        server.kill()
        server.join()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--connections", type=int, default=300)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(f"{folder}/ca.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(f"{folder}/server.pem")
        client = authority.issue_cert("client.example")
        for _ in range(options.rounds):
            for case, (_, _, version) in CASES.items():
                context = None if version is None else ssl.create_default_context()
                if context is not None and version is not None:
                    authority.configure_trust(context)
                    client.configure_cert(context)
                    context.minimum_version = context.maximum_version = version
                once = partial(run_once, case, folder, context)
                found[case].append(once(options.requests, options.connections))
    print(f"{'':30}{'us/request':>22}{'us/connection':>24}")
    for case, figures in found.items():
        cells = [f"{statistics.median(f):.0f} ({min(f):.0f}..{max(f):.0f})" for f in zip(*figures, strict=True)]
        print(f"{case:30}{cells[0]:>22}{cells[1]:>24}")


if __name__ == "__main__":
    main()
