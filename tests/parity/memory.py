"""The made-up model, and the conversation alone: a caller and a service that are lists in memory."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tests.clock import read_clock

from vallum.adapters.conduct import BodyError, conduct
from vallum.adapters.driver import Driver
from vallum.adapters.gates import Gates
from vallum.adapters.requestids import RequestIds
from vallum.core import record
from vallum.core.decision import Deny, Reason
from vallum.core.engine import Engine
from vallum.core.errors import UpstreamError
from vallum.core.exchange import Headers, Request, ResponseHead
from vallum.core.target import parse_target
from vallum.stores.memory import MemoryCounters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vallum.core.exchange import Exchange
    from vallum.core.policy import Policy, Upstream
    from vallum.core.record import Timing
    from vallum.extraction.watchers import Watchers
    from vallum.stores.registry import SqlRegistry

Fields = list[tuple[str, str]]
JSON = ("content-type", "application/json")
ORIGIN = "http://a"
BOUNDARY = re.compile(rb"--vallum-[0-9a-f]{32}")  # of a form that was written anew: another each time
MOMENT = re.compile(r"(;t=|^retry-after: )\d+")  # seconds from now, and a second may pass between two ways
# Fields of the connection, which not every way has.
OF_THE_WIRE = {"connection", "content-length", "transfer-encoding"}


class Outcome(NamedTuple):
    """All that all ways of asking must agree on."""

    decision: str
    reason: str | None
    control: str | None
    status: int | None
    fields: tuple[str, ...]
    body: bytes
    received: tuple[str, str, bytes] | None  # what the model was asked


class Way(Protocol):
    """A way of asking: all that an adapter needs to be held against every table."""

    records: list[dict[str, Any]]  # of every exchange
    seen: bytes  # all that the caller got last

    async def ask(self, method: str, target: str, fields: Fields, body: bytes) -> Outcome:
        """Send one request, and return what came of it."""


# --- the model


TALK = [("server", "canary"), ("x-internal", "canary")]
PREDICTION = {"prediction": "spam", "confidence": 0.93, "logits": [1, 2], "model_version": "7"}
EVENT = b"data: " + json.dumps(PREDICTION).encode() + b"\n\n"
ANSWERS: dict[str, tuple[int, Fields, bytes]] = {
    "error": (500, [JSON], b'{"traceback": "canary"}'),
    "moved": (302, [("location", "http://canary/")], b""),
    "gone": (404, [JSON], b'{"detail": "canary"}'),
    "invalid": (422, [JSON], b'{"detail": "canary"}'),
    "busy": (429, [JSON], b'{"detail": "canary"}'),
    "text": (200, [("content-type", "text/plain")], b"canary"),
    "broken": (200, [JSON], b'{"prediction": "canary'),
    "large": (200, [JSON], b'["' + b"canary" * 1000 + b'"]'),
    "empty": (204, [], b""),
    "stream": (200, [("content-type", "text/event-stream")], EVENT * 2 + b"data: [DONE]\n\n"),
}


# Whole answers, status line and all, that only a socket can carry.
RAW: dict[str, bytes] = {}


def answer_of(target: str) -> tuple[int, Fields, bytes]:
    """Answer as the model does: the last word of the path says how."""
    word = target.partition("?")[0].rpartition("/")[2]
    status, fields, body = ANSWERS.get(word, (200, [JSON], json.dumps(PREDICTION).encode()))
    return status, [*fields, *TALK], body


class Answer:
    """The model's answer, in memory."""

    def __init__(self, status: int, fields: Fields, body: bytes) -> None:
        length = [] if status == 204 else [("content-length", str(len(body)))]
        self.head = ResponseHead(status, Headers([*fields, *length]))
        self._pieces = [body[at : at + 7] for at in range(0, len(body), 7)]

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def release(self) -> None:
        pass


class Service:
    """The model in memory."""

    def __init__(self) -> None:
        self.received: tuple[str, str, bytes] | None = None

    async def call(
        self,
        upstream: Upstream,
        method: str,
        target: str,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> Answer:
        if upstream.name == "nobody":
            raise UpstreamError("no connection")
        pieces = [body or b""] if body is None or isinstance(body, bytes) else [piece async for piece in body]
        self.received = (method, target, b"".join(pieces))
        return Answer(*answer_of(target))


# --- the caller in memory


class Caller:
    """Who asks, in memory."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.status: int | None = None
        self.fields: Fields = []
        self.body = b""
        self.received_bytes = len(body)
        self.sent_bytes = 0

    async def read_body(self, max_bytes: int) -> bytes | Deny:
        if len(self._body) > max_bytes:
            return Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {max_bytes} bytes")
        return self._body

    async def read_pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), 5):
            if at > max_bytes:
                raise BodyError(Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {max_bytes} bytes"))
            yield self._body[at : at + 5]

    async def answer(self, status: int, fields: Sequence[tuple[str, str]], body: bytes) -> None:
        await self.start(status, fields, len(body))
        await self.send(body)

    async def start(self, status: int, fields: Sequence[tuple[str, str]], length: int | None) -> None:
        assert self.status is None
        self.status, self.fields = status, list(fields)

    async def send(self, data: bytes) -> None:
        self.body += data
        self.sent_bytes += len(data)

    async def end(self) -> None:
        pass


class House:
    """What `conduct` is handed."""

    def __init__(self, policy: Policy, registry: SqlRegistry, watchers: Watchers) -> None:
        self.engine = Engine(policy)
        self.driver = Driver(MemoryCounters(), registry, watcher=watchers)
        self.watchers = watchers
        self.service = Service()
        self.gates = Gates(self.clock)
        self.new_id = RequestIds()
        self.records: list[dict[str, Any]] = []
        self.seen = b""  # all that the caller got last

    def clock(self) -> float:
        return time.monotonic()

    def finish(self, x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> None:
        self.records.append(record.compose(x, status, timing, sent_bytes))
        self.watchers.note(x)

    async def ask(self, method: str, target: str, fields: Fields, body: bytes) -> Outcome:
        """Conduct one exchange."""
        now = read_clock()
        headers = Headers((name.lower(), value) for name, value in fields)
        request = Request(self.new_id(now), method, *parse_target(target), headers, "127.0.0.1", now, ORIGIN)
        caller = Caller(body)
        self.service.received = None
        await conduct(self, request, caller)
        shown = b"" if method == "HEAD" else caller.body
        self.seen = repr(caller.fields).encode() + shown
        return outcome_of(self.records[-1], caller.status, caller.fields, shown, self.service.received)


def outcome_of(
    written: dict[str, Any], status: int | None, fields: Fields, body: bytes, received: tuple[str, str, bytes] | None
) -> Outcome:
    request_id = written["request_id"]
    assert dict(fields)["x-request-id"] == request_id
    shown = tuple(sorted(f"{name}: {value}" for name, value in fields if name not in OF_THE_WIRE))
    return Outcome(
        written["decision"],
        written.get("reason"),
        written.get("control"),
        status,
        tuple(MOMENT.sub(r"\1-", field).replace(request_id, "-") for field in shown),
        body.replace(request_id.encode(), b"-"),
        received and (*received[:2], BOUNDARY.sub(b"--", received[2])),
    )
