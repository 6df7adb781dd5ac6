"""Single endpoints of a FastAPI app behind one route of the policy.

A route class puts the whole conversation around an endpoint.  A dependency runs when FastAPI has read the request and
before there is an answer: it judges the request, and can change neither.  A route of the policy that would is refused
where the dependency is made.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi import HTTPException, Request
from fastapi.routing import APIRoute

from vallum.adapters.app import App
from vallum.adapters.asgi.asgi import Asgi
from vallum.adapters.asgi.client import Client
from vallum.adapters.asgi.messages import read_head
from vallum.adapters.conduct import Conversation
from vallum.adapters.reception import length_of
from vallum.adapters.turns import Turns
from vallum.core.errors import UpstreamError
from vallum.core.protocols import Rewriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vallum.adapters.asgi.messages import Message, Receive, Scope, Send
    from vallum.adapters.asgi.visit import Doors
    from vallum.core.policy import Route
    from vallum.core.principal import Principal


def make_route_class(doors: Doors) -> type[APIRoute]:
    """Return a class of routes whose every endpoint is behind `doors`."""

    class ProtectedRoute(APIRoute):
        """An endpoint behind the policy."""

        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            """Conduct the exchange around the endpoint."""
            await Asgi(super().handle, doors)(scope, receive, send)

    return ProtectedRoute


def make_dependency(doors: Doors, find: Callable[[], Route]) -> Callable[[Request], AsyncIterator[Principal]]:
    """Return a dependency that lets in whom the route lets in, and tells the endpoint who that is."""
    checked = find()
    check_dependable(checked)

    async def caller(request: Request) -> AsyncIterator[Principal]:
        nonlocal checked
        reception = doors.reception or await doors.open()
        route = find()
        if route is not checked:  # the policy was reloaded
            check_dependable(route)
            checked = route
        head = read_head(request.scope)
        facts, fault = reception.receive(head)
        teller = Teller(await request.body())
        client = Client("GET", teller.receive, teller.send, None if fault else length_of(head.headers))
        service = App()
        conversation = Conversation(reception.house, facts, client, service)
        turns = Turns(conversation.run(fault))
        await turns
        if turns.ended:
            raise teller.refusal()
        try:
            yield conversation.x.principal
        except HTTPException as error:
            await _end(service, turns, error.status_code)
            raise
        except BaseException as error:
            await turns.throw(UpstreamError(f"the endpoint raised {type(error).__name__}"))
            raise
        else:
            await _end(service, turns, 200)

    return caller


async def _end(service: App, turns: Turns, status: int) -> None:
    """Tell the conversation what is known of the answer, for its record."""
    service.begin(status, ())
    service.add(b"", last=True)
    while not turns.ended:
        await turns


class Teller:
    """A body that was read before, and a refusal on its way to FastAPI."""

    def __init__(self, body: bytes) -> None:
        """Give `body`."""
        self._body = body
        self._said: list[Message] = []

    async def receive(self) -> Message:
        """Return the whole body."""
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: Message) -> None:
        """Keep what is said."""
        self._said.append(message)

    def refusal(self) -> HTTPException:
        """Return the refusal that was said, as FastAPI has them."""
        start, body = self._said
        own = (b"content-type", b"content-length")
        headers = {name.decode(): value.decode() for name, value in start["headers"] if name not in own}
        return HTTPException(start["status"], json.loads(body["body"]), headers)


def check_dependable(route: Route) -> None:
    """Refuse a route that asks for what no dependency can do; raises ValueError that says what to do instead."""
    outlet, intake = route.outlet, route.intake
    beyond = {
        "response": outlet.reads or outlet.error_fields,
        "request.sanitize": intake.sanitiser is not None,
        "request.images": intake.images is not None,
        "request.encodings": bool(intake.codings),
        "quotas of tokens": route.meter is not None,
        "extraction": route.extraction is not None,
        "a preset that rewrites requests": any(isinstance(codec, Rewriter) for codec in intake.codecs.values()),
    }
    names = ", ".join(name for name, wanted in beyond.items() if wanted)
    if names:
        raise ValueError(
            f"route {route.name!r} has {names}: a dependency cannot change the request or the answer; "
            f"use vallum.asgi(app), or APIRouter(route_class=vallum.route_class({route.name!r}))"
        )
