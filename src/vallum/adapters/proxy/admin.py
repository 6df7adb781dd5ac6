"""The operators' listener: /metrics, /healthz, /readyz, /standings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.adapters.proxy.incoming import Incoming

TEXT = "text/plain; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class Admin:
    """Answers four paths."""

    def __init__(
        self, metrics: Callable[[], bytes], is_ready: Callable[[], bool], standings: Callable[[], bytes]
    ) -> None:
        """Answer with these."""
        self._metrics = metrics
        self._standings = standings
        self._is_ready = is_ready

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
                status, body = (200, b"ready\n") if self._is_ready() else (503, b"not ready\n")
            elif path == "/metrics":
                status, media_type, body = 200, EXPOSITION, self._metrics()
            elif path == "/standings":
                status, media_type, body = 200, "application/json", self._standings()
        await incoming.answer(status, [("content-type", media_type), ("cache-control", "no-store")], body)
