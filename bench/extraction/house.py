"""A gateway before one of the bench's victims, on loopback, until standard input is closed.

    python bench/extraction/house.py WORLD SEED KEYS FOLDER [WEEKS]

Prints one line of JSON: the gateway's port, and that many API keys.  The policy is that of a vision service: label and
confidence to two places, 2,000 answers a day for each key, and the watch over its route.  With WEEKS it has lived
through as many of honest use before, and acts; without, it only reports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

import numpy as np
from bench.extraction.answers import say
from bench.extraction.population import Population
from bench.extraction.worlds import WORLDS, World
from bench.fleet import servers
from bench.fleet.servers import Gateway, create_key

PATH = "/predict"
LEARNT_S = 300.0  # that a gateway may take to live through a sample
POLICY = """
version: 1
listen: {address: "${VALLUM_LISTEN}"}
admin: {address: "${VALLUM_ADMIN}"}
counters: "memory://"
registry: "sqlite:///%(folder)s/keys.db"
upstreams:
  victim: {url: "http://127.0.0.1:%(port)d"}
authenticators:
  keys: {type: api_key}
routes:
  - name: predict
    match: {methods: [POST], path: /predict}
    upstream: victim
    auth: {any_of: [keys]}
    quotas: [2000 per day]
    request: {max_bytes: 65536%(features)s}
    response:
      fields: [prediction, confidence]
      confidence: {field: confidence, round: 2}
%(watch)s"""


def upstream(world: World) -> ThreadingHTTPServer:
    """Return a server that answers with all that the victim knows; it is not started yet."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            chances = world.victim.probabilities(np.array(body["input"], np.float32).reshape(1, -1))
            document = say(chances, "all")[0] | {"confidence": float(chances.max())}
            said = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's word
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def write_sample(file: Path, world: World, seed: int, weeks: int) -> None:
    """Write what honest users ask in some weeks, and are answered; but for who asks far more than all others."""
    population = Population(world, seed)
    with file.open("w") as lines:
        for week in range(weeks):
            events, users = population.week(week), population.users
            answers = say(world.victim.probabilities(events.inputs), "round2")
            bodies = world.documents(events.inputs)
            for at, who, body, answer in zip(events.at.tolist(), events.who.tolist(), bodies, answers, strict=True):
                account = users.accounts[who]
                if users.kinds[who] != "heavy":
                    line = {"at": at, "subject": account.name, "created": account.created}
                    lines.write(json.dumps(line | {"body": {"input": body}, "answer": answer}) + "\n")


def write_policy(folder: Path, port: int, kind: str, *, watched: bool, sampled: bool = False) -> Path:
    """Write the policy; without a watch where this checkout's configuration knows none."""
    policy = folder / "policy.yaml"
    features = f", features: {{path: input, kind: {kind}}}" if watched else ""
    sample = ", calibration: {sample: sample.jsonl}" if sampled else ""
    watch = f"    extraction: {{watch: true, respond: graduated{sample}}}\n" if watched else ""
    policy.write_text(POLICY % {"folder": folder, "port": port, "features": features, "watch": watch})
    return policy


def await_learnt(folder: Path) -> None:
    """Return once the gateway has lived through its sample: it keeps what it has learnt at once."""
    deadline = time.monotonic() + LEARNT_S
    while not any(folder.rglob("*.watch")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {LEARNT_S:g} s for a sample to be learnt")
        time.sleep(0.2)


def understood(policy: Path) -> bool:
    """Say whether this checkout takes the policy."""
    command = [sys.executable, "-m", "vallum", "check", str(policy)]
    names = {"VALLUM_LISTEN": "127.0.0.1:1", "VALLUM_ADMIN": "127.0.0.1:2"}
    return subprocess.run(command, env=os.environ | names, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Serve until told to end."""
    name, seed, count, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    weeks = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    made: Any = WORLDS[name](seed)
    server = upstream(made)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if weeks:
        write_sample(folder / "sample.jsonl", made, seed, weeks)
    policy = write_policy(folder, server.server_port, made.kind, watched=True, sampled=weeks > 0)
    watched = understood(policy)
    if not watched:
        policy = write_policy(folder, server.server_port, made.kind, watched=False)
    servers.PATIENCE_S = LEARNT_S  # it reads the sample before it serves
    gateway = Gateway(policy, folder / "gateway", {})
    try:
        gateway.wait()
        if weeks and watched:
            await_learnt(folder)
        own = {"VALLUM_LISTEN": "127.0.0.1:1", "VALLUM_ADMIN": "127.0.0.1:2"}
        keys = [create_key(policy, own, f"thief-{number}", "predict:read") for number in range(count)]
        print(json.dumps({"port": gateway.port, "keys": keys, "watched": watched}), flush=True)
        with suppress(KeyboardInterrupt):
            sys.stdin.read()
    finally:
        gateway.stop()
        server.shutdown()


if __name__ == "__main__":
    main()
