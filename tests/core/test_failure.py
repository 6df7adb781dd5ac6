"""An upstream's failure: what is kept of it, and what may pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from vallum.core.decision import Deny, Reason
from vallum.core.exchange import Headers, ResponseHead
from vallum.core.failure import FIELDS_MAX, Evidence, is_error, pass_fields
from vallum.core.fieldpath import parse_path
from vallum.core.policy import Mode, Outlet, Policy, Retention, Sentry, unredacted
from vallum.core.record import Timing, compose
from vallum.core.relay import Text, Through

if TYPE_CHECKING:
    from tests.conftest import Kit

JSON = [("content-type", "application/json")]
PYDANTIC = {
    "detail": [
        {"type": "missing", "loc": ["body", "text"], "msg": "secret message", "input": {"a": "secret"}},
        {"type": "int_type", "loc": ["body", "items", 3], "msg": "secret message", "input": "secret"},
    ]
}


def passed(document: Any, *paths: str, redact: Any = unredacted) -> list[dict[str, Any]]:
    return pass_fields(document, [parse_path(path) for path in paths], redact)


def test_names_and_numbers_at_the_listed_places_pass() -> None:
    assert passed(PYDANTIC, "detail.*.loc", "detail.*.type") == [
        {"pointer": "/detail/0/loc", "value": ["body", "text"]},
        {"pointer": "/detail/1/loc", "value": ["body", "items", 3]},
        {"pointer": "/detail/0/type", "value": "missing"},
        {"pointer": "/detail/1/type", "value": "int_type"},
    ]
    assert passed(PYDANTIC, "detail.type")[1] == {"pointer": "/detail/1/type", "value": "int_type"}


@pytest.mark.parametrize(
    "value",
    [
        "a sentence",
        "/srv/app",
        "10.0.0.1",
        "http://x",
        "x" * 41,
        10**9,
        1.5,
        None,
        {"a": 1},
        ["a"] * 17,
        [["a"]],
        ["/a"],
    ],
)
def test_nothing_else_passes(value: Any) -> None:
    assert passed({"detail": value}, "detail") == []


def test_what_would_be_masked_in_a_record_does_not_pass() -> None:
    assert passed({"a": "hunter2", "b": "fine"}, "a", "b", redact=lambda text: text.replace("hunter2", "[key]")) == [
        {"pointer": "/b", "value": "fine"}
    ]


def test_how_much_passes_is_bounded() -> None:
    assert len(passed({"a": ["x"] * 1000}, "a.*")) == FIELDS_MAX


@pytest.mark.parametrize(
    "document",
    [
        {"error": "text"},
        {"error": {"message": "m"}},
        {"object": "error", "message": "m"},
        {"type": "error"},
        {"traceback": "t"},
        {"response": {"error": {"code": 1}}},
    ],
)
def test_what_is_an_error(document: Any) -> None:
    assert is_error(document)


@pytest.mark.parametrize(
    "document",
    [None, [], "error", {}, {"error": None}, {"type": "message"}, {"response": "text"}, {"response": {"error": None}}],
)
def test_what_is_none(document: Any) -> None:
    assert not is_error(document)


def test_what_is_kept_is_masked_and_bounded() -> None:
    fields = [("x-a", "1" * 1000), ("set-cookie", "s=1"), ("x-b", "key"), ("x-b", "2"), *[("x-c", "c")] * 100]
    evidence = Evidence(ResponseHead(500, Headers(fields)), b"a key \xff", inside=True)
    told = evidence.tell(lambda text: text.replace("key", "[key]"))
    assert told["status"] == 500
    assert told["inside"] is True
    assert told["body"] == "a [key] \ufffd"
    assert len(told["headers"]["x-a"]) == 300
    assert told["headers"]["set-cookie"] == "[withheld]"
    assert told["headers"]["x-b"] == "[key], 2"
    assert len(told["headers"]["x-c"]) < 3 * FIELDS_MAX
    assert "body" not in Evidence(ResponseHead(500, Headers())).tell(unredacted)


def judged(kit: Kit, outlet: Outlet, status: int, body: bytes, keeps: int = 100) -> tuple[int, Any, Deny]:
    """Judge a failed answer; return how much of it was wanted, the exchange and the refusal."""
    engine, x, refusal = kit.answered(kit.route(outlet=outlet), status, JSON)
    engine.policy = x.policy = Policy(engine.policy.routes, {}, "digest", retention=Retention(keeps))
    assert isinstance(refusal, Deny)
    return engine.wants(x), x, engine.explain(x, refusal, body)


def test_a_refusal_tells_what_the_policy_lists(kit: Kit) -> None:
    outlet = kit.outlet(error_fields=(("detail",),))
    wanted, x, refusal = judged(kit, outlet, 422, b'{"detail": "missing"}')
    assert wanted == 16_384
    assert refusal.reason is Reason.INVALID_REQUEST
    assert refusal.violations == [{"pointer": "/detail", "value": "missing"}]
    record = compose(x, 400, Timing(1.0, 0.5, 0.1, 0.2, 0.3), 0)
    assert record["told"] == [{"pointer": "/detail", "value": "missing"}]
    assert record["upstream_failure"]["body"] == '{"detail": "missing"}'
    assert (record["head_us"], record["body_us"], record["slot_us"]) == (100_000, 200_000, 300_000)


@pytest.mark.parametrize(("status", "body"), [(500, b'{"detail": "missing"}'), (401, b'{"detail": "x"}'), (422, b"{")])
def test_a_failure_tells_nothing(kit: Kit, status: int, body: bytes) -> None:
    _, _, refusal = judged(kit, kit.outlet(error_fields=(("detail",),)), status, body)
    assert refusal.violations == ()


@pytest.mark.parametrize("outlet", [{}, {"error_fields": (("detail",),), "codec": None}])
def test_without_a_list_or_a_codec_nothing_is_told(kit: Kit, outlet: dict[str, Any]) -> None:
    _, x, refusal = judged(kit, kit.outlet(**outlet), 422, b'{"detail": "missing"}', keeps=5)
    assert refusal.violations == ()
    assert x.evidence.body == b'{"det'


def test_only_what_is_kept_is_wanted(kit: Kit) -> None:
    assert judged(kit, kit.outlet(), 500, b"", keeps=7)[0] == 7


def test_an_error_inside_is_refused_whole_and_kept(kit: Kit) -> None:
    engine, x, head = kit.answered(kit.route(outlet=kit.outlet(errors_inside=True)), 200, JSON)
    assert not isinstance(head, Deny)
    engine.response_chunk(x, b'{"error": "secret"}')
    refusal = engine.response_end(x)
    assert isinstance(refusal, Deny)
    assert (refusal.reason, refusal.control) == (Reason.UPSTREAM_ERROR, "upstream")
    assert x.evidence is not None
    assert x.evidence.inside


def test_what_is_not_what_it_promises_is_kept(kit: Kit) -> None:
    engine, x, _ = kit.answered(kit.route(outlet=kit.outlet(errors_inside=True)), 200, JSON)
    engine.response_chunk(x, b"<html>")
    assert isinstance(engine.response_end(x), Deny)
    assert x.evidence is not None
    engine, x, refusal = kit.answered(
        kit.route(outlet=kit.outlet(errors_inside=True)), 200, [("content-type", "text/html")]
    )
    assert isinstance(refusal, Deny)
    assert x.evidence is not None


STREAM = [("content-type", "text/event-stream")]


@pytest.mark.parametrize(
    ("headers", "data", "start"),
    [
        (
            STREAM,
            b'data: {"a":1}\n\ndata: {"error": "secret"}\n\ndata: {"a":2}\n\n',
            b'data: {"a":1}\n\nevent: error\n',
        ),
        (STREAM, b"event: error\ndata: secret words\n\n", b"event: error\n"),
        ([("content-type", "application/x-ndjson")], b'{"a":1}\n{"error": "secret"}\n', b'{"a":1}\n{"type":'),
    ],
)
def test_an_error_inside_a_stream_ends_it_with_ours(kit: Kit, headers: Any, data: bytes, start: bytes) -> None:
    engine, x, head = kit.answered(kit.route(outlet=kit.outlet(errors_inside=True)), 200, headers)
    assert not isinstance(head, Deny)
    assert isinstance(engine.response_chunk(x, data), Deny)
    farewell = head[1].farewell
    assert farewell.startswith(start)
    assert b"secret" not in farewell
    assert b'"code":"upstream_error"' in farewell
    assert x.decision is not None


@pytest.mark.parametrize("data", [b'data: {"error": "secret"}\n\n', b"event: error\ndata: words\n\n"])
def test_in_shadow_an_error_inside_passes_and_is_noted(kit: Kit, data: bytes) -> None:
    route = kit.route(outlet=kit.outlet(errors_inside=True), mode=Mode.SHADOW)
    engine, x, _ = kit.answered(route, 200, STREAM)
    assert engine.response_chunk(x, data) == data
    assert [refusal.control for refusal in x.shadowed][:1] == ["upstream"]


def test_events_that_cannot_be_read_are_emptied_with_a_screen_too(kit: Kit) -> None:
    outlet = kit.outlet(errors_inside=True)
    engine, x, _ = kit.answered(kit.route(outlet=outlet), 200, STREAM)
    assert engine.response_chunk(x, b'data: what\n\ndata: {"a":1}\n\ndata: [DONE]\n\n') == (
        b'data: {"a":1}\n\ndata: [DONE]\n\n'
    )
    assert "event (unreadable)" in x.removed


# --- sizes


def test_events_lines_and_answers_are_padded_to_multiples(kit: Kit) -> None:
    outlet = kit.outlet(pad_event_bytes=32, pad_answer_bytes=32)
    for headers, data in (
        (
            STREAM,
            b"data: [DONE]\n\n" + b"".join(b'data: {"a":"' + b"x" * n + b'"}\n\n' for n in range(70)) + b": hi\n\n",
        ),
        ([("content-type", "application/x-ndjson")], b'{"a":1}\n' + b'{"a":"long text"}\nwhat\n'),
    ):
        engine, x, _ = kit.answered(kit.route(outlet=outlet), 200, headers)
        out = engine.response_chunk(x, data)
        assert isinstance(out, bytes)
        assert len(out) % 32 == 0
        for event in out.split(b"\n\n" if headers is STREAM else b"\n")[:-1]:
            assert (len(event) + (2 if headers is STREAM else 1)) % 32 == 0
    engine, x, _ = kit.answered(kit.route(outlet=outlet), 200, JSON)
    engine.response_chunk(x, b'{"a":1}')
    assert engine.response_end(x) == b'{"a":1}' + b" " * 25


# --- which relay


def test_plain_text_is_looked_at_where_leaks_are_looked_for(kit: Kit) -> None:
    class Nothing:
        type: ClassVar[str] = "nothing"

        def watch(self, content: Any) -> None:
            return None

    leaks = (Sentry(Nothing()),)
    text = [("content-type", "text/plain; charset=utf-8")]
    _, _, head = kit.answered(kit.route(outlet=kit.outlet(leaks=leaks)), 200, text)
    assert not isinstance(head, Deny)
    assert isinstance(head[1], Text)
    spoken = kit.outlet(kit.Dropping(), leaks=leaks, media_types=frozenset({"text/plain", "audio/mpeg"}))
    _, _, words = kit.answered(kit.route(outlet=spoken), 200, text)  # a transcription: withheld members are in no text
    assert not isinstance(words, Deny)
    assert isinstance(words[1], Text)
    _, _, refused = kit.answered(kit.route(outlet=kit.outlet(leaks=leaks)), 200, [("content-type", "text/html")])
    assert isinstance(refused, Deny)
    _, _, untouched = kit.answered(kit.route(outlet=kit.outlet()), 200, text)
    assert not isinstance(untouched, Deny)
    assert isinstance(untouched[1], Through)


@pytest.mark.parametrize("data", [b'data: {"a":1}\n\n', b'{"a":1}\n'])
def test_what_cannot_be_written_is_left_out_of_a_stream(kit: Kit, data: bytes) -> None:
    class Deep:
        def decode(self, body: bytes, headers: Any = None) -> Any:
            return {"a": 1}

        def encode(self, document: Any) -> bytes:
            raise RecursionError

    kind = STREAM if data.startswith(b"data") else [("content-type", "application/x-ndjson")]
    engine, x, _ = kit.answered(kit.route(outlet=kit.outlet(codec=Deep(), errors_inside=True)), 200, kind)
    assert engine.response_chunk(x, data) == b""
    assert "event (unreadable)" in x.removed
    whole, y, _ = kit.answered(kit.route(outlet=kit.outlet(codec=Deep(), errors_inside=True)), 200, JSON)
    whole.response_chunk(y, b"{}")
    assert isinstance(whole.response_end(y), Deny)
