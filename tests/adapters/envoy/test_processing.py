"""The external processing service against filters that lie, leave, and speak out of turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parity.envoy_filter import CONFIG, LOCAL, Context, Filter, Reply, attribute, header_map, mutate

from vallum.adapters.envoy.facts import Facts
from vallum.adapters.envoy.messages_pb2 import (
    HttpBody,
    HttpHeaders,
    HttpTrailers,
    ProcessingMode,
    ProcessingRequest,
    ProcessingResponse,
    ProtocolConfiguration,
)
from vallum.adapters.envoy.mutation import amend
from vallum.adapters.envoy.processing import Processing, Wire
from vallum.adapters.envoy.stream import Stream
from vallum.adapters.requestids import RequestIds
from vallum.adapters.requests import Requests
from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.address import parse_networks
from vallum.testing import MemoryGateway, run
from vallum.testing import Reply as Unused

if TYPE_CHECKING:
    from vallum.core.policy import Policy

POLICY = b"""
version: 1
upstreams: {model: {url: "http://model.example", concurrency: {max: 1}}}
authenticators: {open: {type: anonymous}}
routes:
  - name: read
    match: {methods: [POST], path: /read}
    upstream: model
    auth: {any_of: [open]}
    request: {max_bytes: 100}
    response: {fields: [prediction]}
  - name: raw
    match: {methods: [GET, POST], path: /raw}
    upstream: model
    preset: raw
    auth: {any_of: [open]}
    request: {max_bytes: 100}
"""
JSON = [("content-type", "application/json")]
SAID = b'{"prediction": "spam", "logits": [1]}'


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    return load_policy(parse_source(path, POLICY, {}))[1]


class Desk:
    """The service over a household in memory, and what it recorded."""

    def __init__(self, policy: Policy) -> None:
        self.house = MemoryGateway(policy, lambda _: Unused(500, [], b""), finish=self._keep)
        self.records: list[dict[str, Any]] = []
        facts = Facts(Requests(lambda: 1_700_000_000.0, RequestIds()))
        self.processing = Processing(self.house, facts, parse_networks([LOCAL]))

    def _keep(self, _: Any, told: dict[str, Any]) -> None:
        self.records.append(told)

    async def tell(self, *messages: ProcessingRequest | bytes, asker: str = LOCAL) -> Context:
        """Tell the service some messages, and leave."""
        context = Context()
        for message in messages:
            context.asked.put_nowait(message if isinstance(message, bytes) else message.SerializeToString())
        context.asked.put_nowait(None)
        await asyncio.gather(self.processing.process(context, asker), return_exceptions=True)
        await self.processing.drain()
        return context


def said(context: Context) -> list[ProcessingResponse]:
    messages = []
    while not context.said.empty():
        data = context.said.get_nowait()
        assert data is not None
        messages.append(ProcessingResponse.FromString(data))
    return messages


def head(path: str = "/raw", method: str = "POST", *, ended: bool = False, **more: Any) -> ProcessingRequest:
    pseudo = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "a")]
    told = HttpHeaders(headers=header_map([*pseudo, *JSON]), end_of_stream=ended)
    return ProcessingRequest(request_headers=told, **{"protocol_config": CONFIG, **more})


def body(data: bytes, *, ended: bool = True) -> ProcessingRequest:
    return ProcessingRequest(request_body=HttpBody(body=data, end_of_stream=ended))


def answer(status: str = "200", *, ended: bool = False) -> ProcessingRequest:
    told = HttpHeaders(headers=header_map([(":status", status), *JSON]), end_of_stream=ended)
    return ProcessingRequest(response_headers=told)


def answered(data: bytes, *, ended: bool = True) -> ProcessingRequest:
    return ProcessingRequest(response_body=HttpBody(body=data, end_of_stream=ended))


# --- who may ask, and how


Mode = ProcessingMode.BodySendMode
MODES = [(one, other) for one in Mode.values() for other in Mode.values() if (one, other) != (4, 4)]
BEGINNINGS: dict[str, ProcessingRequest | bytes] = {
    "nothing": ProcessingRequest(),
    "a body": body(b"{}"),
    "an answer": answer(),
    "bytes that are no message": b"\xff\xff\xff",
    "a filter that does not listen": head(observability_mode=True),
    "a filter that does not say its mode": head(protocol_config=ProtocolConfiguration()),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_what_begins_no_exchange_is_refused_before_it_is_judged(policy: Policy, name: str) -> None:
    async def main() -> None:
        desk = Desk(policy)
        context = await desk.tell(BEGINNINGS[name], body(b"{}"))
        assert (context.code, said(context), desk.records) == (grpc.StatusCode.FAILED_PRECONDITION, [], [])

    run(main())


def test_no_mode_but_one_is_taken(policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        desk = Desk(policy)
        for one, other in MODES:
            config = ProtocolConfiguration(request_body_mode=one, response_body_mode=other)
            context = await desk.tell(head(protocol_config=config))
            assert context.code is grpc.StatusCode.FAILED_PRECONDITION
        assert desk.records == []

    run(main())
    assert len(caplog.records) == 1
    assert "FULL_DUPLEX_STREAMED" in caplog.text


def test_who_is_not_listed_may_not_ask(policy: Policy) -> None:
    async def main() -> None:
        desk = Desk(policy)
        for asker in ("192.0.2.1", "", "nonsense"):
            context = await desk.tell(head(), body(b"{}"), asker=asker)
            assert (context.code, said(context)) == (grpc.StatusCode.FAILED_PRECONDITION, [])
        assert desk.records == []

    run(main())


FORGED: dict[str, list[tuple[str, str]]] = {
    "no path": [(":method", "POST")],
    "no method": [(":path", "/raw")],
    "two paths": [(":method", "POST"), (":path", "/raw"), (":path", "/read")],
    "a line break in the path": [(":method", "POST"), (":path", "/raw\r\nx: y")],
    "a line break in a field": [(":method", "POST"), (":path", "/raw"), ("x", "a\nb")],
    "a name that is none": [(":method", "POST"), (":path", "/raw"), ("x y", "a")],
    "two lengths": [(":method", "POST"), (":path", "/raw"), ("content-length", "1"), ("content-length", "2")],
}


@pytest.mark.parametrize("name", FORGED)
def test_a_head_that_is_none_is_refused_and_recorded(policy: Policy, name: str) -> None:
    async def main() -> None:
        desk = Desk(policy)
        told = HttpHeaders(headers=header_map(FORGED[name]))
        context = await desk.tell(ProcessingRequest(request_headers=told, protocol_config=CONFIG), body(b"a"))
        (reply,) = said(context)
        assert reply.immediate_response.status.code in (400, 404)
        assert len(desk.records) == 1

    run(main())


# --- out of turn


ASKED = [head("/read"), body(b"{}")]
OUT_OF_TURN: dict[str, list[ProcessingRequest | bytes]] = {
    "a second head": [head("/read"), head("/read")],
    "an answer before the request was let through": [head("/read"), answered(b"{}")],
    "nothing, in the middle": [head("/read"), ProcessingRequest()],
    "bytes that are no message, in the middle": [head("/read"), b"\xff\xff\xff"],
    "a body after its end": [head("/read"), body(b"{}"), body(b"{}")],
    "a body after there was none": [head("/raw", "GET", ended=True), body(b"{}")],
    "trailers after the end": [*ASKED, ProcessingRequest(request_trailers=HttpTrailers())],
    "an answer's body before its head": [*ASKED, answered(b"{}")],
    "two heads of an answer": [*ASKED, answer(), answer()],
    "a status that is none": [*ASKED, answer("20")],
    "a status of other digits": [*ASKED, answer("\xb2\xb2\xb2")],
}


@pytest.mark.parametrize("name", OUT_OF_TURN)
def test_who_speaks_out_of_turn_is_refused(policy: Policy, name: str) -> None:
    async def main() -> None:
        desk = Desk(policy)
        context = await desk.tell(*OUT_OF_TURN[name])
        last = said(context)[-1]
        assert last.immediate_response.status.code >= 500
        (record,) = desk.records
        assert record["decision"] == "deny"

    run(main())


def test_out_of_turn_after_the_head_went_out_cuts_the_answer(policy: Policy) -> None:
    async def main() -> None:
        desk = Desk(policy)
        context = await desk.tell(head("/raw"), body(b"a"), answer(), answered(b"some", ended=False), answer())
        assert context.code is grpc.StatusCode.ABORTED
        assert said(context)[-1].response_body.response.body_mutation.streamed_response.body == b"some"

    run(main())


# --- who leaves


WHOLE = [head("/raw"), body(b"a", ended=False), body(b"b"), answer(), answered(b"c", ended=False), answered(b"d")]


@pytest.mark.parametrize("count", range(1, len(WHOLE)))
def test_who_leaves_is_recorded_and_nothing_ends_cleanly(policy: Policy, count: int) -> None:
    async def main() -> None:
        desk = Desk(policy)
        for _ in range(3):  # there is room for one at a time
            context = await desk.tell(*WHOLE[:count])
            assert context.code is grpc.StatusCode.ABORTED
        assert [record["decision"] for record in desk.records] == ["cancelled"] * 3
        context = await desk.tell(*WHOLE)
        assert (context.code, desk.records[-1]["decision"]) == (grpc.StatusCode.OK, "allow")

    run(main())


def test_a_cancelled_stream_ends_the_exchange_at_once(policy: Policy) -> None:
    async def main() -> None:
        desk = Desk(policy)
        context = Context()
        context.asked.put_nowait(head("/raw").SerializeToString())
        serving = asyncio.ensure_future(desk.processing.process(context, LOCAL))
        await asyncio.sleep(0.01)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await desk.processing.drain()
        assert [record["decision"] for record in desk.records] == ["cancelled"]

    run(main())


def test_a_stream_that_closes_upon_the_last_word_is_no_leaving(policy: Policy) -> None:
    async def main() -> None:
        desk = Desk(policy)
        context = Context()
        serving = asyncio.ensure_future(desk.processing.process(context, LOCAL))
        write = context.write

        async def close(message: bytes) -> None:
            await write(message)
            if b"the last" in message:
                serving.cancel()
            await asyncio.sleep(0)

        context.write = close  # type: ignore[method-assign]  # Envoy closes as soon as it has it
        for message in (head("/raw"), body(b"a"), answer(), answered(b"the last")):
            context.asked.put_nowait(message.SerializeToString())
        await asyncio.gather(serving, return_exceptions=True)
        await desk.processing.drain()
        assert [record["decision"] for record in desk.records] == ["allow"]

    run(main())


# --- what goes on


def ask(policy: Policy, method: str, path: str, fields: Any, data: bytes, *, reply: Reply, trailers: Any = None) -> Any:
    async def main() -> Any:
        desk = Desk(policy)
        return await Filter(desk.processing, lambda *_: reply).ask(method, path, fields, data, trailers)

    return run(main())


@pytest.mark.parametrize("path", ["/raw", "/read"])
def test_trailers_go_on_in_neither_direction(policy: Policy, path: str) -> None:
    reply = Reply(200, JSON, SAID, trailers=[("x-canary", "canary")])
    told = ask(policy, "POST", path, JSON, b'{"a": 1}', reply=reply, trailers=[("x-mine", "1"), ("x-mine", "2")])
    assert (told.status, told.trailers) == (200, [])
    assert told.received == ("POST", path, b'{"a": 1}')
    assert told.body == (SAID if path == "/raw" else b'{"prediction":"spam"}')


@pytest.mark.parametrize(
    "details", ["response_timeout", "upstream_per_try_timeout", "direct_response", "cluster_not_found"]
)
def test_what_envoy_says_in_the_upstreams_place_is_no_answer(policy: Policy, details: str) -> None:
    told = ask(policy, "POST", "/raw", JSON, b"a", reply=Reply(200, JSON, b"canary", details))
    assert told.status == (504 if "timeout" in details else 502)
    assert b"canary" not in told.body


def test_a_tunnel_is_refused(policy: Policy) -> None:
    told = ask(policy, "GET", "/raw", [("upgrade", "websocket")], b"", reply=Reply(200, JSON))
    assert (told.status, told.received) == (400, None)


def test_a_body_that_nothing_announces_is_judged_as_one(policy: Policy) -> None:
    told = ask(policy, "POST", "/read", [("content-type", "text/plain")], b"a", reply=Reply(200, JSON))
    assert (told.status, told.received) == (415, None)
    told = ask(policy, "POST", "/read", JSON, b"a" * 101, reply=Reply(200, JSON))
    assert (told.status, told.received) == (413, None)


def test_envoy_chooses_its_route_anew_for_what_the_policy_lets_through(policy: Policy) -> None:
    async def ask() -> Context:
        return await Desk(policy).tell(head("/raw"), body(b"x"), answer(), answered(b"y"))

    (first, *_) = said(run(ask()))
    assert first.request_headers.response.clear_route_cache


def test_a_large_answer_goes_in_pieces(policy: Policy) -> None:
    large = b"x" * 200_000
    told = ask(policy, "GET", "/raw", [], b"", reply=Reply(200, JSON, large))
    assert told.body == large


def test_no_message_is_asked_for_before_there_is_room(policy: Policy) -> None:
    async def main() -> None:
        desk = Desk(policy)
        context = Context()
        room = asyncio.Semaphore(1)
        write = context.write

        async def wait(message: bytes) -> None:
            await room.acquire()
            await write(message)

        context.write = wait  # type: ignore[method-assign]  # a slow reader
        for message in (head("/raw"), *(body(b"a", ended=False) for _ in range(50))):
            context.asked.put_nowait(message.SerializeToString())
        serving = asyncio.ensure_future(desk.processing.process(context, LOCAL))
        await asyncio.sleep(0.1)
        assert context.asked.qsize() >= 49
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await desk.processing.drain()

    run(main())


# --- header fields


FIELDS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", ":path"]), st.sampled_from(["1", "2", "\xff"])), max_size=8)


@given(FIELDS, FIELDS)
def test_amended_fields_are_those_that_are_wanted(present: Any, wanted: Any) -> None:
    named: dict[str, list[str]] = {name: [] for name in "abc"}
    for name, value in wanted:
        if name in named:
            named[name].append(value)
    got = mutate(present, amend(present, wanted))
    for name, values in named.items():
        assert [value for field, value in got if field == name] == values


MESSAGES = st.sampled_from([
    head("/raw"), head("/read"), body(b"{}"), body(b"a", ended=False), body(b"a" * 101), answer(), answer("500"),
    answer("204", ended=True), answered(b"some", ended=False), answered(SAID), ProcessingRequest(),
    ProcessingRequest(request_trailers=HttpTrailers()), ProcessingRequest(response_trailers=HttpTrailers()),
    ProcessingRequest(response_headers=answer().response_headers, attributes=attribute("response.code_details", "x")),
])  # fmt: skip
LAST = ("immediate_response", "response_trailers")


@given(st.lists(MESSAGES, max_size=8))
def test_whatever_is_told_a_clean_end_has_a_last_word(policy: Policy, messages: list[ProcessingRequest]) -> None:
    async def main() -> None:
        desk = Desk(policy)
        context = await desk.tell(head("/raw"), *messages)
        replies = said(context)
        assert len(desk.records) == 1
        if context.code is grpc.StatusCode.OK:
            last = replies[-1]
            piece = last.response_body.response.body_mutation.streamed_response
            bodiless = last.WhichOneof("response") == "response_headers"
            assert last.WhichOneof("response") in LAST or piece.end_of_stream or bodiless
        kinds = [reply.WhichOneof("response") for reply in replies]
        assert kinds.count("request_headers") <= 1
        assert kinds.count("response_headers") <= 1

    run(main())


def test_a_silent_upstream_is_not_waited_for(policy: Policy) -> None:
    async def main() -> None:
        desk = Desk(policy)
        context = Context()
        for message in (head("/raw"), body(b"a")):
            context.asked.put_nowait(message.SerializeToString())
        await desk.processing.process(context, LOCAL)
        assert said(context)[-1].immediate_response.status.code == 504
        (record,) = desk.records
        assert record["detail"] == "silent for over 30 s"

    run(main())


@pytest.mark.parametrize("verb", ["read", "write"])
def test_a_stream_that_breaks_is_one_that_was_left(policy: Policy, verb: str) -> None:
    async def main() -> None:
        desk = Desk(policy)
        context = Context()
        context.asked.put_nowait(head("/raw", "GET", ended=True).SerializeToString())
        do, left = getattr(context, verb), [1] if verb == "read" else []

        async def fail(*more: Any) -> Any:
            if left:
                left.pop()
                return await do(*more)
            raise grpc.aio.UsageError("gone")

        setattr(context, verb, fail)
        await asyncio.gather(desk.processing.process(context, LOCAL), return_exceptions=True)
        await desk.processing.drain()
        assert context.code is grpc.StatusCode.ABORTED
        assert [record["decision"] for record in desk.records] == ["cancelled"]

    run(main())


def test_a_body_can_be_iterated_over_as_it_comes() -> None:
    async def main() -> None:
        context = Context()
        for message in (body(b"a", ended=False), body(b"", ended=False), body(b"b")):
            context.asked.put_nowait(message.SerializeToString())
        stream = Stream(Wire(context), head("/raw").request_headers)
        assert [piece async for piece in stream.read_pieces(100)] == [b"a", b"b"]

    run(main())
