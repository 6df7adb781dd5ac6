"""Apps as people write them, behind one policy, on real servers."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from tests.clock import read_clock
from werkzeug.serving import make_server

from vallum.cli.keys import issue
from vallum.core.apikey import DEFAULT_PREFIX
from vallum.middleware import Vallum
from vallum.stores.registry import SqlRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

POLICY = """
version: 1
upstreams: {app: {url: "http://app.invalid", timeout_s: 2}}
authenticators: {keys: {type: api_key}, open: {type: anonymous}}
registry: "sqlite:///FOLDER/vallum.db"
routes:
  - name: predict
    match: {methods: [POST], path: /predict}
    upstream: app
    auth: {any_of: [keys], scopes: [predict]}
    quotas: [5 per minute]
    request: {sanitize: {html: strip}}
    checks: [{type: sqli}]
    response: {fields: [prediction, who, saw], failure_slot_ms: 1}
  - name: chat
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: app
    preset: openai.chat
    auth: {any_of: [keys]}
    quotas: [100 per minute]
  - name: plain
    match: {methods: [GET, POST], path: /plain}
    upstream: app
    auth: {any_of: [keys]}
    quotas: [2 per minute]
    checks: [{type: sqli}]
  - name: raw
    match: {methods: [GET, POST, HEAD], path: /raw/**}
    upstream: app
    preset: raw
    auth: {any_of: [open]}
    request: {max_bytes: 100000, query: any}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "vallum.yaml"
    path.write_text(POLICY.replace("FOLDER", str(tmp_path)))
    return path


@pytest.fixture
def vallum(policy: Path) -> Iterator[Vallum]:
    made = Vallum(policy)
    yield made
    made.close()


@pytest.fixture
def key(tmp_path: Path) -> str:
    return issue_key(tmp_path)


def issue_key(folder: Path) -> str:
    registry = SqlRegistry(f"sqlite:///{folder}/vallum.db")
    made = issue(registry, DEFAULT_PREFIX, read_clock(), subject="alice", scopes=("predict",))[0]
    registry.close()
    return made


@pytest.fixture
def serve_asgi() -> Callable[..., AbstractContextManager[str]]:
    """Run an app under uvicorn, in a thread; yields its address."""

    @contextmanager
    def serve(app: Any, **settings: Any) -> Iterator[str]:
        config = uvicorn.Config(app, "127.0.0.1", 0, log_level="error", timeout_graceful_shutdown=1, **settings)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
        thread.start()
        ticks = threading.Event()
        while not server.started and thread.is_alive():
            ticks.wait(0.01)
        try:
            assert server.started, "it did not start"
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()

    return serve


@pytest.fixture
def serve_wsgi() -> Callable[..., AbstractContextManager[str]]:
    """Run an app under Werkzeug's server, a thread for each request; yields its address."""

    @contextmanager
    def serve(app: Any) -> Iterator[str]:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    return serve
