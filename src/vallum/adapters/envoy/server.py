"""The gRPC server that Envoy asks: services by the names that Envoy calls them by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.adapters.envoy.authorization import Authorization
    from vallum.adapters.envoy.health import Health
    from vallum.adapters.envoy.limits import Limits
    from vallum.adapters.envoy.processing import Processing

AUTHORIZATION = "envoy.service.auth.v3.Authorization"
PROCESSING = "envoy.service.ext_proc.v3.ExternalProcessor"
LIMITS = "envoy.service.ratelimit.v3.RateLimitService"
HEALTH = "grpc.health.v1.Health"
LOCAL = "127.0.0.1"  # whoever may open a socket in the file system is of this machine


class Service(NamedTuple):
    """One service: the name that Envoy calls, and the handlers of its methods.

    Handlers take and return bytes: what cannot be parsed is the service's to refuse, and never an error of gRPC's.
    """

    name: str
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]]


def authorization_service(authorization: Authorization) -> Service:
    """Serve ext_authz."""

    async def check(message: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return await authorization.check(message, peer_of(context.peer()))

    return Service(AUTHORIZATION, {"Check": grpc.unary_unary_rpc_method_handler(check)})


def processing_service(processing: Processing) -> Service:
    """Serve ext_proc."""

    async def process(_: Any, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await processing.process(context, peer_of(context.peer()))

    return Service(PROCESSING, {"Process": grpc.stream_stream_rpc_method_handler(process)})


def limits_service(limits: Limits) -> Service:
    """Serve the rate limit service."""

    async def should(message: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return await limits.judge(message, peer_of(context.peer()))

    return Service(LIMITS, {"ShouldRateLimit": grpc.unary_unary_rpc_method_handler(should)})


def health_service(health: Health) -> Service:
    """Serve gRPC's health checks."""

    async def check(message: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return await health.check(message)

    async def watch(message: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> Any:
        async for answer in health.watch(message):
            yield answer

    handlers = {
        "Check": grpc.unary_unary_rpc_method_handler(check),
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
    }
    return Service(HEALTH, handlers)


def make_server(services: Iterable[Service], max_bytes: int, most: int) -> grpc.aio.Server:
    """Make a server of `services`: for messages of `max_bytes`, and `most` calls at once."""
    options = [
        ("grpc.max_receive_message_length", max_bytes),
        ("grpc.so_reuseport", 0),  # a second server on this port would take half of the questions
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=most)
    handlers = [grpc.method_handlers_generic_handler(service.name, service.methods) for service in services]
    server.add_generic_rpc_handlers(tuple(handlers))
    return server


def peer_of(peer: str) -> str:
    """Return the address in what gRPC calls a peer: `ipv4:127.0.0.1:80`, `ipv6:%5B::1%5D:80`, `unix:`."""
    kind, _, rest = peer.partition(":")
    if kind == "unix":
        return LOCAL
    return unquote(rest).rpartition(":")[0].strip("[]")
