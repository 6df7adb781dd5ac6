"""One policy file inside an app.

    from vallum.middleware import Vallum

    vallum = Vallum("vallum.yaml")
    app = vallum.asgi(app)                        # FastAPI, Starlette, Litestar, Django
    app.wsgi_app = vallum.wsgi(app.wsgi_app)      # Flask; application = vallum.wsgi(application) for Django

The policy is that of `vallum serve`, and so are its decisions.  The app is the upstream: `url` is read by nobody here,
`timeout_s` and `headers` hold.  `listen`, `admin` and `workers` belong to the app's own server.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from vallum.adapters.asgi.asgi import Asgi
from vallum.adapters.reception import Reception
from vallum.adapters.requestids import RequestIds
from vallum.adapters.requests import Requests
from vallum.adapters.single import Single
from vallum.adapters.wsgi.visit import Wsgi
from vallum.config.compile import load_policy
from vallum.config.places import EMBEDDED, counters_url
from vallum.config.source import Fault, PolicyFileError, read_source
from vallum.core.address import parse_networks
from vallum.core.principal import Principal
from vallum.household import BEAT_S, Household
from vallum.tls_files import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.adapters.asgi.messages import AsgiApp
    from vallum.adapters.asgi.visit import Visit
    from vallum.adapters.turns import Turns
    from vallum.adapters.wsgi.visit import WsgiApp
    from vallum.config.model import Config
    from vallum.config.source import Source
    from vallum.core.policy import Policy, Route

    View = Callable[..., Any]

__all__ = ["Principal", "Vallum"]

log = logging.getLogger("vallum")

CLOSE_S = 5.0  # for the last settlements and records of a process


class Vallum:
    """A policy, and the apps that it stands before.

    The policy is compiled here, so that a mistake in it stops the app's start.  Stores are opened in the process that
    serves: with the app's lifespan or its first request, after a fork, too.
    """

    def __init__(self, policy: str | os.PathLike[str]) -> None:
        """Read the policy file; raises PolicyFileError that says every mistake in it."""
        self._source = read_source(Path(policy))
        self._config, self._policy = load_policy(self._source)
        check_config(self._config, self._source)
        self._doors = LoopDoors(self._make)
        self._desk = ThreadDesk(self._make)

    def asgi(self, app: AsgiApp) -> Asgi:
        """Return `app`, an ASGI 3 app, behind the policy."""
        return Asgi(app, self._doors)

    def wsgi(self, app: WsgiApp) -> Wsgi:
        """Return `app`, a WSGI app, behind the policy."""
        return Wsgi(app, self._desk)

    def close(self) -> None:
        """Write the last records and close the stores where no lifespan of the app has done so: at the end of tests."""
        self._desk.close()
        inside = self._doors.inside
        if inside is not None:
            self._doors.forget()
            inside.abandon()

    def protect(self, route: str) -> Callable[[View], View]:
        """Return a decorator that puts one Flask view behind one route of the policy."""
        from vallum.adapters.flask import protect_view  # noqa: PLC0415  only who has Flask

        self._find(route)
        desk = SingleDesk(self._desk, route)
        return lambda view: protect_view(view, desk)

    def route_class(self, route: str) -> Any:
        """Return a class for FastAPI's `APIRouter(route_class=...)`, whose endpoints are behind one route."""
        from vallum.adapters.fastapi import make_route_class  # noqa: PLC0415  only who has FastAPI

        self._find(route)
        return make_route_class(SingleDoors(self._doors, route))

    def caller(self, route: str) -> Any:
        """Return a dependency for FastAPI's `Depends`: the caller, where one route of the policy lets it in.

        Raises ValueError for a route that asks for what a dependency cannot do: to change the request or the answer.
        """
        from vallum.adapters.fastapi import make_dependency  # noqa: PLC0415  only who has FastAPI

        return make_dependency(SingleDoors(self._doors, route), lambda: self._find(route))

    def _find(self, name: str) -> Route:
        """Find a route of the policy in force; raises ValueError without one."""
        inside = self._doors.inside
        policy = self._policy if inside is None else inside.engine.policy
        for route in policy.routes:
            if route.name == name:
                return route
        names = ", ".join(route.name for route in policy.routes if route.responder is None)
        raise ValueError(f"the policy has no route {name!r}; it has {names}")

    def _make(self) -> Inside:
        return Inside(self._config, self._policy, self._source)


def check_config(config: Config, source: Source) -> None:
    """Refuse what an app cannot do; raises PolicyFileError."""
    if counters_url(config) == EMBEDDED:
        hint = "write counters: redis://..., or workers: 1 where one process serves"
        fault = Fault("an app has nobody to run a counter store for its processes", hint=hint)
        raise PolicyFileError(source.path, [fault])


class Inside(Household):
    """A household in an app: without a door of its own, and with a reception."""

    def __init__(self, config: Config, policy: Policy, source: Source) -> None:
        """Open the stores.  Raises DependencyError without one."""
        listen = msgspec.structs.replace(config.listen, tls=None)  # the app's server speaks TLS
        config = msgspec.structs.replace(config, listen=listen)
        super().__init__(config, policy, source)
        self._tls = TlsFiles(config, self._resolve, self.metrics, time.time)
        self._tls.load()
        self.visits: set[Visit] = set()
        trusted, certificates = parse_networks(config.trusted_proxies), self._tls.certificates
        origin = config.listen.public_url
        self._requests = Requests(time.time, RequestIds(), trusted, certificates=certificates, origin=origin)
        self.reception = Reception(self, self._requests)
        self._single: dict[str, Reception] = {}

    def single(self, route: str) -> Reception:
        """Return the reception of one route."""
        if route not in self._single:
            self._single[route] = Reception(Single(self, route), self._requests)
        return self._single[route]

    def _resolve(self, name: str) -> Path:
        return self.source.path.parent / name

    async def watch(self) -> None:
        """Look whether the policy or a revocation list has changed."""
        await super().watch()
        await self._tls.watch()

    async def live(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                now = self.clock()
                for visit in list(self.visits):
                    visit.check_time(now)
                await self.beat()
            except Exception:
                log.exception("a beat failed; the next one comes")

    def write_records(self) -> None:
        """Write what would be lost with the process."""
        self.records.write(self.records.take())

    def abandon(self) -> None:
        """Close what a loop that has ended left open."""
        self.write_records()
        self.records.close()
        self.registry.close()


class LoopDoors:
    """The house in the event loop that serves: opened once per process, and again where another loop takes over."""

    def __init__(self, make: Callable[[], Inside]) -> None:
        """Open what `make` makes."""
        self._make = make
        self._inside: Inside | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Future[Reception] | None = None
        self._beating: asyncio.Task[None] | None = None
        _forget_after_fork(self)

    def forget(self) -> None:
        """Leave everything to the process that opened it: this one is its child."""
        self._inside = self._loop = self._opening = self._beating = None

    @property
    def inside(self) -> Inside | None:
        """What is open."""
        return self._inside

    @property
    def visits(self) -> set[Visit]:
        """The exchanges in hand."""
        assert self._inside is not None
        return self._inside.visits

    @property
    def reception(self) -> Reception | None:
        """The reception, if it is open in this loop."""
        if self._loop is not asyncio.get_running_loop() or self._inside is None:
            return None
        return self._inside.reception

    async def open(self) -> Reception:
        """Open it in this loop, if it is not open there."""
        loop = asyncio.get_running_loop()
        opening = self._opening
        if opening is None or opening.get_loop() is not loop:
            opening = self._opening = loop.create_task(self._open(loop))
        try:
            return await asyncio.shield(opening)
        except BaseException:
            if opening.done() and self._opening is opening:
                self._opening = None  # the next request tries again
            raise

    async def _open(self, loop: asyncio.AbstractEventLoop) -> Reception:
        inside = self._inside
        kept = inside if inside is not None and inside.shared is None else None  # connections do not outlive their loop
        inside = kept or self._make()
        try:
            await inside.open()
        except BaseException:
            if kept is None:  # every request tries again: nothing may be left open
                await inside.close()
            raise
        self._inside, self._loop = inside, loop
        self._beating = loop.create_task(inside.live())
        atexit.register(_write_records, weakref.ref(inside))
        return inside.reception

    async def close(self) -> None:
        """Close it."""
        inside, beating = self._inside, self._beating
        self.forget()
        if beating is not None:
            beating.cancel()
            await asyncio.wait([beating])
        if inside is not None:
            await inside.close()


class ThreadDesk:
    """The house in an event loop of its own, in one thread of the process: for apps that run in threads."""

    def __init__(self, make: Callable[[], Inside]) -> None:
        """Open what `make` makes."""
        self._doors = LoopDoors(make)
        self.forget()
        _forget_after_fork(self)

    def forget(self) -> None:
        """Leave everything to the process that opened it: this one is its child."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reception: Reception | None = None

    @property
    def inside(self) -> Inside | None:
        """What is open."""
        return self._doors.inside

    def open(self) -> Reception:
        """Open it, if it is not open yet; raises DependencyError without a store that it needs."""
        reception = self._reception
        if reception is None:
            with self._lock:
                reception = self._reception = self._reception or self._open()
        return reception

    def _open(self) -> Reception:
        if self._loop is None:
            self._loop = uvloop.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="vallum", daemon=True).start()
            atexit.register(self.close)
        return asyncio.run_coroutine_threadsafe(self._doors.open(), self._loop).result()

    def wait(self, turns: Turns) -> None:
        """Wait for a turn that the loop takes; one that was cancelled is one that has ended."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(_take(turns), self._loop).result()

    def close(self) -> None:
        """Close it, and its thread."""
        with self._lock:
            loop, self._loop, self._reception = self._loop, None, None
        if loop is not None:
            atexit.unregister(self.close)
            with suppress(Exception):  # at the end of a process, what it would take may be gone
                asyncio.run_coroutine_threadsafe(self._doors.close(), loop).result(CLOSE_S)
            loop.call_soon_threadsafe(loop.stop)


class SingleDoors:
    """The doors of one route."""

    def __init__(self, doors: LoopDoors, route: str) -> None:
        """Go through `doors`."""
        self._doors = doors
        self._route = route

    @property
    def visits(self) -> set[Visit]:
        """The exchanges in hand."""
        return self._doors.visits

    @property
    def reception(self) -> Reception | None:
        """The reception, if it is open in this loop."""
        inside = self._doors.inside
        return None if inside is None or self._doors.reception is None else inside.single(self._route)

    async def open(self) -> Reception:
        """Open the doors in this loop."""
        await self._doors.open()
        assert self._doors.inside is not None
        return self._doors.inside.single(self._route)

    async def close(self) -> None:
        """Close the doors."""
        await self._doors.close()


class SingleDesk:
    """The desk of one route."""

    def __init__(self, desk: ThreadDesk, route: str) -> None:
        """Ask at `desk`."""
        self._desk = desk
        self._route = route

    def open(self) -> Reception:
        """Open the house, if it is not open yet."""
        self._desk.open()
        assert self._desk.inside is not None
        return self._desk.inside.single(self._route)

    def wait(self, turns: Turns) -> None:
        """Wait for a turn that the loop takes."""
        self._desk.wait(turns)


async def _take(turns: Turns) -> None:
    with suppress(asyncio.CancelledError):
        await turns


def _forget_after_fork(doors: Any) -> None:
    """Leave the stores of a process to it: what is forked off opens its own."""
    reference = weakref.ref(doors)

    def forget() -> None:
        doors = reference()
        if doors is not None:
            doors.forget()

    os.register_at_fork(after_in_child=forget)


def _write_records(reference: weakref.ref[Inside]) -> None:
    inside = reference()
    if inside is not None:
        inside.write_records()
