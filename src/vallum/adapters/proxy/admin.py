"""The operators' listener: /metrics, /healthz, /readyz, /standings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vallum.adapters.proxy.incoming import Incoming

TEXT = "text/plain; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class House(Protocol):
    """What operators ask: one process, or all workers together."""

    async def show_metrics(self) -> bytes:
        """Return the metrics' exposition."""

    async def show_standings(self) -> bytes:
        """Return the callers below their plan, as JSON."""

    async def check_ready(self) -> bool:
        """Say whether requests are welcome."""


class Admin:
    """Answers four paths."""

    def __init__(self, house: House) -> None:
        """Answer for `house`."""
        self._house = house

    async def serve(self, incoming: Incoming) -> None:
        """Answer one request."""
        status, media_type, body = 404, TEXT, b"not found\n"
        if incoming.fault is not None:
            status, body = incoming.fault.reason.status, b"bad request\n"
        elif incoming.method in ("GET", "HEAD"):
            path = incoming.target.partition("?")[0]
            if path == "/healthz":
                status, body = 200, b"ok\n"
            elif path == "/readyz":
                status, body = (200, b"ready\n") if await self._house.check_ready() else (503, b"not ready\n")
            elif path == "/metrics":
                status, media_type, body = 200, EXPOSITION, await self._house.show_metrics()
            elif path == "/standings":
                status, media_type, body = 200, "application/json", await self._house.show_standings()
        await incoming.answer(status, [("content-type", media_type), ("cache-control", "no-store")], body)
