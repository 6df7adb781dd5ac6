"""What the ASGI middleware adds to a request, in CPU time, with all controls of examples/predict.yaml.

    python bench/middleware.py [--profile]

Needs the package alone; FastAPI is measured too where it is installed.  One process, one core: the app is called as a
server calls it, bare and behind the policy in turn, on the event loop of uvloop.  The requests are those of the proxy's
benchmark: 64 prompts of 1.1 KB in turn, eleven header fields, the same answer of 600 bytes.  Only the quotas' numbers
are raised.  What the conversation costs by itself, with the same controls and no adapter, is measured beside it.  Each answer is checked before it is measured; the figure is the middle of rounds, with its range.  Beats,
records and metrics go on as they do in an app.  Exit code 1 if the middleware adds over 40 us.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "bench" / "proxy"))

from traffic import PATH, UPSTREAM_BODY, prompt_bodies

from vallum.adapters.conduct import Conversation
from vallum.adapters.requestids import RequestIds
from vallum.cli.keys import issue
from vallum.core import engine
from vallum.core.apikey import DEFAULT_PREFIX
from vallum.core.exchange import Headers, Request, ResponseHead
from vallum.middleware import Vallum
from vallum.stores.registry import SqlRegistry
from vallum.testing import Asker

ROUNDS, REQUESTS, WARM_UP = 11, 500, 300
GOAL_US = 40.0
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
BODY = {"type": "http.response.body", "body": UPSTREAM_BODY.encode()}


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Read the request whole, and answer: the least that an app can do."""
    json.loads((await receive())["body"])
    await send(START)
    await send(BODY)


def fastapi_app() -> Any:
    """Return the same in FastAPI, or None without it."""
    try:
        from fastapi import FastAPI, Request
        from fastapi.responses import JSONResponse
    except ImportError:
        return None
    app, answer = FastAPI(), json.loads(UPSTREAM_BODY)

    async def predict(request: Request) -> JSONResponse:
        await request.json()
        return JSONResponse(answer)

    predict.__annotations__ = {"request": Request}
    app.post(PATH, response_model=None)(predict)
    return app


def policy_with_room(folder: Path) -> Path:
    """Write the example's policy with quotas that nobody meets."""
    text = (ROOT / "examples" / "predict.yaml").read_text()
    text = re.sub(r"(\d+)( per (?:minute|hour|day|5 minutes))", r"1\g<1>000000\2", text)
    (folder / "predict.schema.json").write_bytes((ROOT / "examples" / "predict.schema.json").read_bytes())
    path = folder / "predict.yaml"
    path.write_text(text)
    return path


class Alone:
    """The conversation alone: the same request and answer as facts, without an adapter."""

    def __init__(self, vallum: Vallum, load: Load) -> None:
        """Converse in the house of `vallum`."""
        self._vallum = vallum
        self._requests = load.requests

    async def ask(self, count: int) -> float:
        """Converse so many times; return CPU microseconds each."""
        inside = self._vallum._doors.inside  # noqa: SLF001  what the adapter is handed
        new_id = RequestIds()
        began = time.process_time_ns()
        for number in range(count):
            body, headers = self._requests[number % len(self._requests)]
            now = time.time()
            request = Request(new_id(now), "POST", PATH, "", headers, "192.0.2.1", now, "http://models.example")
            await Conversation(inside, request, Asker(body), self).run()
        return (time.process_time_ns() - began) / 1000 / count

    async def call(self, *_: Any) -> Any:
        """Be the service."""
        return Reply()


class Reply:
    """The app's answer, as facts."""

    head = ResponseHead(200, Headers([("content-type", "application/json")]))

    def __init__(self) -> None:
        """Have one piece."""
        self._pieces = [UPSTREAM_BODY.encode()]

    async def read(self) -> bytes:
        """Return it, and then nothing."""
        return self._pieces.pop() if self._pieces else b""

    def release(self) -> None:
        """Have nothing to let go of."""


class Load:
    """Asks an app, one request after another."""

    def __init__(self, key: str) -> None:
        """Ask with `key`."""
        self._bodies = [body.encode() for body in prompt_bodies()]
        more = [(f"x-field-{n}".encode(), b"what proxies and browsers add") for n in range(5)]
        self._heads = [
            [
                (b"host", b"models.example"),
                (b"user-agent", b"wrk"),
                (b"accept", b"*/*"),
                (b"authorization", f"Bearer {key}".encode()),
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                *more,
            ]
            for body in self._bodies
        ]
        self.said: list[Any] = []
        self.requests = [
            (body, Headers([(name.decode(), value.decode()) for name, value in head]))
            for body, head in zip(self._bodies, self._heads, strict=True)
        ]

    async def ask(self, app: Any, count: int) -> float:
        """Ask so many times; return CPU microseconds a request."""
        began = time.process_time_ns()
        for number in range(count):
            at = number % len(self._bodies)
            body = {"type": "http.request", "body": self._bodies[at], "more_body": False}
            said: list[Any] = []

            async def receive(body: Any = body) -> Any:
                return body

            async def send(message: Any, said: list[Any] = said) -> None:
                said.append(message)

            scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": PATH,
                "raw_path": PATH.encode(),
                "query_string": b"",
                "root_path": "",
                "headers": self._heads[at],
                "client": ("192.0.2.1", 1),
                "server": ("127.0.0.1", 80),
                "state": {},
            }
            await app(scope, receive, send)
        self.said = said
        return (time.process_time_ns() - began) / 1000 / count


async def measure(name: str, app: Any, vallum: Vallum, load: Load) -> float:
    """Measure an app bare and behind the policy, in turn; return what the middle of rounds adds."""
    behind = vallum.asgi(app)
    await load.ask(app, WARM_UP)
    assert json.loads(load.said[-1]["body"]) == json.loads(UPSTREAM_BODY)
    await load.ask(behind, WARM_UP)
    assert json.loads(load.said[-1]["body"]) == {"prediction": "delivery_delay", "confidence": "high"}
    conversation = Alone(vallum, load)
    rounds = []
    for _ in range(ROUNDS):
        alone = await load.ask(app, REQUESTS)
        rounds.append((alone, await load.ask(behind, REQUESTS), await conversation.ask(REQUESTS)))
        await asyncio.sleep(0)
    alone = statistics.median(a for a, _, _ in rounds)
    added = sorted(b - a for a, b, _ in rounds)
    middle = statistics.median(added)
    own = statistics.median(b - a - c for a, b, c in rounds)
    print(
        f"{name:8}  bare {alone:6.1f} us   behind the policy {alone + middle:6.1f} us   "
        f"added {middle:5.1f} us ({added[0]:.1f} to {added[-1]:.1f}), of which the adapter {own:5.1f} us   "
        f"x{(alone + middle) / alone:.2f}"
    )
    return middle


async def run(profile: bool) -> int:
    """Measure, and say whether the goal is met."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["VALLUM_REGISTRY"] = f"sqlite:///{name}/vallum.db"
        vallum = Vallum(policy_with_room(Path(name)))
        registry = SqlRegistry(os.environ["VALLUM_REGISTRY"])
        key = issue(registry, DEFAULT_PREFIX, time.time(), subject="alice", scopes=("predict:read",))[0]
        registry.close()
        load = Load(key)
        compiled = not str(engine.__file__).endswith(".py")
        print(f"{'compiled' if compiled else 'not compiled'}, Python {sys.version.split()[0]}")
        if profile:
            await load.ask(vallum.asgi(bare), WARM_UP)
            with cProfile.Profile() as profiler:
                await load.ask(vallum.asgi(bare), 5000)
            profiler.print_stats("tottime")
            return 0
        added = await measure("ASGI", bare, vallum, load)
        fastapi = fastapi_app()
        if fastapi is not None:
            await measure("FastAPI", fastapi, vallum, load)
        await vallum._doors.close()  # noqa: SLF001  as the end of a lifespan does
    return int(added > GOAL_US)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true", help="say where the time goes, instead")
    return uvloop.run(run(parser.parse_args().profile))


if __name__ == "__main__":
    sys.exit(main())
