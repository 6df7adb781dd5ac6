"""What is really wrong with the stacks that people put together: neither more nor less is found."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import fastapi
import pytest
import uvicorn
from pydantic import BaseModel
from tests.probe.weak import BODY

from vallum.probe.wire import Bounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.probe.conftest import Prober

KEYS = tuple(f"demo-key-{number:02}" for number in range(16))
UNFILTERED = {"injection.plain", "injection.encoded", "injection.split", "injection.indirect"}
PATH = "/api/v1/predict"


class Question(BaseModel):
    """What the bare model server takes."""

    input_text: str
    temperature: float = 0.5


def bare_app() -> fastapi.FastAPI:
    """Build a model server as its framework's first page shows it."""
    app = fastapi.FastAPI()

    @app.post(PATH)
    def predict(question: Question) -> dict[str, Any]:
        return {"prediction": "delivery", "probabilities": [0.8412903, 0.1587097], "logits": [1.66, -0.01]}

    return app


@asynccontextmanager
async def run_bare() -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(bare_app(), port=0, log_level="critical"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  it has no event to wait for
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def run_flask() -> AsyncIterator[str]:
    werkzeug = pytest.importorskip("werkzeug.serving", reason="NO FLASK: pip install flask")
    pytest.importorskip("flask_limiter", reason="NO FLASK-LIMITER: pip install flask-limiter")
    from tests.probe.flask_stack import build  # noqa: PLC0415  only where Flask is

    server = werkzeug.make_server("127.0.0.1", 0, build(), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


SHORT = Bounds(answer_s=1.5, rest_s=0.1)  # both wait for a terabyte that was only declared


async def test_a_bare_model_server(probed: Prober) -> None:
    async with run_bare() as url:
        seen = await probed(f"{url}{PATH}", BODY, bounds=SHORT)
    assert seen.weak == {
        "leakage.echo",
        "leakage.headers",
        "leakage.scores",
        "leakage.precision",
        "leakage.documents",
        "authentication.no_key",
        "malformed.bodies",
        "malformed.size",
        "malformed.unknown_members",
        "malformed.framing",  # two hosts are taken
        "malformed.heads",
        *UNFILTERED,
        "flood.number",
        "extraction.pace",
    }, seen.why()
    assert not any(name.startswith("authentication.") for name in seen.held), seen.held


async def test_the_usual_hand_made_stack(probed: Prober) -> None:
    async with run_flask() as url:
        seen = await probed(
            f"{url}{PATH}", BODY, keys=KEYS, key_field=("X-API-Key", "{key}"), more=["flood.edge"], bounds=SHORT
        )
    assert seen.weak == {
        "leakage.error_shape",
        "leakage.echo",
        "leakage.headers",
        "leakage.versions",
        "leakage.precision",
        "malformed.bodies",
        "malformed.depth",  # 10,000 brackets are a server error
        "malformed.size",
        "malformed.media_types",
        "malformed.unknown_members",
        "malformed.framing",
        *UNFILTERED,
        "flood.edge",  # 59 where the limit is 30
        "extraction.pace",
    }, seen.why()
