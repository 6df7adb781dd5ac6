"""The health of the service as gRPC asks for it (grpc.health.v1.Health)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from vallum.adapters.envoy import messages_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

WATCH_S = 0.5  # between two looks for those who watch


class Health:
    """Says whether requests are welcome."""

    def __init__(self, is_ready: Callable[[], bool], services: Collection[str]) -> None:
        """Answer for `services`, and for the server as a whole, whose name is empty."""
        self._is_ready = is_ready
        self._services = services

    async def check(self, message: bytes) -> bytes:
        """Answer once."""
        return self._answer(message)

    async def watch(self, message: bytes) -> AsyncIterator[bytes]:
        """Answer now, and whenever the answer is another."""
        told = None
        while True:
            answer = self._answer(message)
            if answer != told:
                yield answer
                told = answer
            await asyncio.sleep(WATCH_S)

    def _answer(self, message: bytes) -> bytes:
        try:
            name = pb.HealthCheckRequest.FromString(message).service
        except DecodeError:
            name = "?"
        status = pb.HealthCheckResponse.SERVING if self._is_ready() else pb.HealthCheckResponse.NOT_SERVING
        if name and name not in self._services:
            status = pb.HealthCheckResponse.SERVICE_UNKNOWN
        return pb.HealthCheckResponse(status=status).SerializeToString()
