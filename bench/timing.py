"""How well two failures can be told apart by when they leave.

    python bench/timing.py [--samples 5000] [--slot-ms 20]

A gateway of its own stands before an upstream that fails, half of the time a millisecond later.  One client asks over
one connection and times each refusal.  Half of the samples teach a classifier (the best threshold, either way round,
and the best of 40 bins), the other half judge it: 50 % is guessing.  The same without slots (--slot-ms 0) shows that
the difference is there to be seen.  Content refusals: the same for an attack that is found in the text as it was sent,
and one that is found when it has been decoded twice, in bodies of one size.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path
from typing import NamedTuple

import uvloop

EARLY_MS, LATER_MS = 2.0, 1.0
POLICY = """
version: 1
upstreams: {{model: {{url: "http://127.0.0.1:{upstream}"}}}}
authenticators: {{open: {{type: anonymous}}}}
listen: {{address: "127.0.0.1:{port}"}}
registry: sqlite:///{folder}/vallum.db
routes:
  - name: failing
    match: {{methods: [POST], path: "/**"}}
    upstream: model
    auth: {{any_of: [open]}}
    request: {{max_bytes: 4000000}}
    checks: [{{type: sqli}}]
    response: {{failure_slot_ms: {slot_ms}}}
"""
ATTACK = "1' UNION SELECT password FROM users --"
CODED = b64encode(b64encode(ATTACK.encode())).decode()
PLAIN = "nothing at all to be seen here, whatever you think"
WORDS = "an honest sentence about nothing at all "


class Result(NamedTuple):
    """How well two failures were told apart."""

    median_us: tuple[float, float]
    threshold: float  # accuracy on samples that it was not taught with
    bins: float
    auc: float


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request with a 500, later where its path says so."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            due = time.perf_counter() + (EARLY_MS + LATER_MS * (b" /later" in head)) / 1000
            await asyncio.sleep(due - time.perf_counter() - 0.001)
            while time.perf_counter() < due:  # timers are coarser than what is to be measured
                pass
            writer.write(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve_upstream(port: int) -> None:
    """Be the upstream."""
    server = await asyncio.start_server(fail, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def ask(connection: socket.socket, path: str, body: bytes) -> float:
    """Send one request; return the seconds until its refusal was whole."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    began = time.perf_counter()
    connection.sendall(head.encode() + body)
    got = b""
    while b"\r\n\r\n" not in got or not got.endswith(b"}"):
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("the gateway has closed the connection")
        got += piece
    return time.perf_counter() - began


def judge(samples: list[tuple[float, int]]) -> Result:
    """Teach with one half, judge with the other."""
    half = len(samples) // 2
    taught, judged = sorted(samples[:half]), samples[half:]
    best, cut, flip = 0, 0.0, 0
    later_below, later = 0, sum(kind for _, kind in taught)
    for below, (seconds, kind) in enumerate(taught, 1):
        later_below += kind
        right = (below - later_below) + (later - later_below)
        for score, way in ((right, 0), (half - right, 1)):
            if score > best:
                best, cut, flip = score, seconds, way
    right = sum(int((seconds > cut) != bool(flip)) == kind for seconds, kind in judged)
    edges = [taught[half * place // 40][0] for place in range(1, 40)]
    votes = [[0, 0] for _ in range(40)]
    for seconds, kind in taught:
        votes[sum(seconds >= edge for edge in edges)][kind] += 1
    binned = sum(
        int(votes[place][1] > votes[place][0]) == kind
        for seconds, kind in judged
        for place in [sum(seconds >= edge for edge in edges)]
    )
    ranked = sorted(samples)
    ranks = sum(rank for rank, (_, kind) in enumerate(ranked, 1) if kind)
    ones = sum(kind for _, kind in samples)
    auc = (ranks - ones * (ones + 1) / 2) / (ones * (len(samples) - ones))
    medians = tuple(statistics.median(s for s, k in samples if k == kind) * 1e6 for kind in (0, 1))
    return Result((medians[0], medians[1]), right / len(judged), binned / len(judged), auc)


def measure(port: int, pairs: tuple[tuple[str, bytes], tuple[str, bytes]], samples: int) -> Result:
    """Time both kinds in random order."""
    order = [number % 2 for number in range(samples)]
    random.Random(7).shuffle(order)  # an order, no secret
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(20):
            ask(connection, *pairs[0])
        rng = random.Random(8)
        taken = []
        for kind in order:
            time.sleep(rng.random() * 0.002)  # whoever measures does not know the phase of our timers
            taken.append((ask(connection, *pairs[kind]), kind))
    return judge(taken)


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"nobody listens on {port}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--slot-ms", type=int, default=20)
    parser.add_argument("--upstream", type=int, help="be the upstream on this port")
    given = parser.parse_args()
    if given.upstream:
        uvloop.run(serve_upstream(given.upstream))
        return
    upstream, port = free_port(), free_port()
    honest = json.dumps({"text": WORDS * 500}).encode()
    first = json.dumps({"a": ATTACK, "b": PLAIN, "c": WORDS * 500}).encode()
    last = json.dumps({"a": PLAIN, "b": CODED, "c": WORDS * 500}).encode()
    last += b" " * (len(first) - len(last))
    first += b" " * (len(last) - len(first))
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.yaml"
        policy.write_text(POLICY.format(upstream=upstream, port=port, folder=folder, slot_ms=given.slot_ms))
        running = [
            subprocess.Popen([sys.executable, __file__, "--upstream", str(upstream)]),
            subprocess.Popen([sys.executable, "-m", "vallum", "serve", str(policy)], stdout=subprocess.DEVNULL),
        ]
        try:
            wait_for(upstream)
            wait_for(port)
            print(f"slots of {given.slot_ms} ms, {given.samples} samples each")
            print(
                "| failures | medians, us | best threshold | best of 40 bins | AUC |\n| --- | --- | --- | --- | --- |"
            )
            for name, pairs in (
                ("the upstream fails 1 ms later", (("/early", honest), ("/later", honest))),
                ("an attack that is plain, or in base64 twice", (("/early", first), ("/early", last))),
            ):
                got = measure(port, pairs, given.samples)
                low, high = got.median_us
                print(f"| {name} | {low:.0f}, {high:.0f} | {got.threshold:.1%} | {got.bins:.1%} | {got.auc:.3f} |")
        finally:
            for process in running:
                process.terminate()
                process.wait(10)


if __name__ == "__main__":
    main()
