"""Relays: however an answer is cut into pieces, the same leaves; what cannot be read does not; bounds hold."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vallum.core.decision import Deny, Reason
from vallum.core.protocols import NOTHING
from vallum.core.relay import Relay, Through, Whole, prepare, write
from vallum.core.stream import PIECE_MAX_BYTES, Events, Lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Kit

    from vallum.core.policy import Outlet

Make = type[Events] | type[Lines] | type[Whole]


def run(relay: Relay, pieces: list[bytes]) -> bytes | Deny:
    """Send pieces through a relay and return all that left, or the refusal."""
    out = b""
    for piece in pieces:
        passed = relay.chunk(piece)
        if isinstance(passed, Deny):
            return passed
        out += passed
    rest = relay.end()
    return rest if isinstance(rest, Deny) else out + rest


@pytest.fixture
def send(kit: Kit) -> Callable[..., tuple[Any, set[str]]]:
    def go(make: Make, *pieces: bytes, enforce: bool = True, **outlet: Any) -> tuple[bytes | Deny, set[str]]:
        removed: set[str] = set()
        return run(make(kit.outlet(kit.Dropping(), **outlet), removed, enforce), list(pieces)), removed

    return go


# --- events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b'data: {"a":1,"secret":2}\n\n', b'data: {"a":1}\n\n'),
        (b'data:{"a":1,"secret":2}\n\n', b'data: {"a":1}\n\n'),
        (b'data: {"a":1}\r\n\r\n', b'data: {"a":1}\n\n'),
        (b'data: {"a":1}\r\r', b'data: {"a":1}\n\n'),
        (b'data: {"a":1}\n\r\ndata: {"a":2}\n\r\n', b'data: {"a":1}\n\ndata: {"a":2}\n\n'),
        (b'data: {"a":1}\r\n\rdata: {"a":2}\r\n\r', b'data: {"a":1}\n\ndata: {"a":2}\n\n'),
        (b'data: {"a":1}\n\ndata: {"a":2}\n\n', b'data: {"a":1}\n\ndata: {"a":2}\n\n'),
        (b'data: {"a":\ndata: 1,"secret":2}\n\n', b'data: {"a":1}\n\n'),  # one document over two lines
        (
            b'event: message\nid: 7\nretry: 100\ndata: {"secret":1}\n\n',
            b"",  # of which nothing is left
        ),
        (
            b'event: message\nid: 7\nretry: 100\ndata: {"a":1}\n\n',
            b'event: message\nid: 7\nretry: 100\ndata: {"a":1}\n\n',
        ),
        (b'event: p0.93\nid: 0.93\nretry: 0.93\ndata: {"a":1}\n\n', b'data: {"a":1}\n\n'),  # a score is no name
        (b'event: {"secret":1}\nid: a b\nretry: 9999999\ndata: 1\n\n', b"data: 1\n\n"),
        (b'\xef\xbb\xbfdata: {"a":1}\n\n', b""),  # a byte-order mark makes it another field
        (b"data: [DONE]\n\n", b"data: [DONE]\n\n"),
        (b"data:[DONE]\n\n", b"data: [DONE]\n\n"),
        (b": ping\n\n", b":\n\n"),  # a comment keeps the connection alive; its words may say anything
        (b': secret\ndata: {"a":1}\n\n', b':\ndata: {"a":1}\n\n'),
        (b"other: secret\n\n", b""),
        (b"secret\n\n", b""),
        (b"\n\n\n\n", b""),
        (b"data: secret\n\n", b""),
        (b'data: {"secret":1\n\n', b""),
        (b"data\n\n", b""),
        (b"data: [DONE] secret\n\n", b""),
        (b'data: {"a":1,"secret":2}', b'data: {"a":1}\n\n'),  # the end left out
        (b'data: {"a":1,"secret":2}\n', b'data: {"a":1}\n\n'),
        (b'data: {"a":1,"secret":2}\r\n', b'data: {"a":1}\n\n'),
        (b"", b""),
        (b"\n", b""),
    ],
)
def test_events(send: Callable[..., tuple[Any, set[str]]], stream: bytes, expected: bytes) -> None:
    assert send(Events, stream)[0] == expected


def test_removed_members_and_unreadable_events_are_noted(send: Callable[..., tuple[Any, set[str]]]) -> None:
    assert send(Events, b'data: {"secret":1}\n\ndata: what\n\n')[1] == {"secret", "event (unreadable)"}


@pytest.mark.parametrize("end", [b"\n\n", b""])
def test_events_in_shadow_pass_as_they_came_and_are_noted(
    send: Callable[..., tuple[Any, set[str]]], end: bytes
) -> None:
    stream = b': hi\ndata: {"a":1,"secret":2}' + end
    assert send(Events, stream[:9], stream[9:], enforce=False) == (stream, {"secret"})


@pytest.mark.parametrize("make", [Events, Lines])
def test_what_is_held_of_a_stream_is_bounded(send: Callable[..., tuple[Any, set[str]]], make: Make) -> None:
    piece = b"x" * (PIECE_MAX_BYTES // 4)
    within, _ = send(make, piece, piece, piece, piece)
    beyond, _ = send(make, piece, piece, piece, piece, b"x")
    assert not isinstance(within, Deny)
    assert isinstance(beyond, Deny)
    assert beyond.reason is Reason.UPSTREAM_ERROR


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b'{"a":1,"secret":2}\n{"a":2}\n', b'{"a":1}\n{"a":2}\n'),
        (b'{"a":1}\r\n{"a":2}\r\n', b'{"a":1}\n{"a":2}\n'),
        (b'{"a":1}\n\n\n{"a":2}', b'{"a":1}\n{"a":2}\n'),
        (b"secret\n", b""),
        (b'{"a":1', b""),
        (b'{"secret":1}\n', b""),
        (b" \n", b""),
        (b" ", b""),
        (b"", b""),
    ],
)
def test_lines(send: Callable[..., tuple[Any, set[str]]], stream: bytes, expected: bytes) -> None:
    assert send(Lines, stream)[0] == expected


def test_unreadable_lines_are_noted(send: Callable[..., tuple[Any, set[str]]]) -> None:
    _, removed = send(Lines, b'{"secret":1}\nwhat\n')
    assert "secret" in removed
    assert len(removed) == 2, "that a line was taken away is in the record"


@pytest.mark.parametrize("end", [b"\n", b""])
def test_lines_in_shadow_pass_as_they_came_and_are_noted(send: Callable[..., tuple[Any, set[str]]], end: bytes) -> None:
    stream = b'{"a":1,"secret":2}' + end
    assert send(Lines, stream[:9], stream[9:], enforce=False) == (stream, {"secret"})


# --- whole and through ------------------------------------------------------------------------------------------------


def test_a_document_is_held_and_transformed(send: Callable[..., tuple[Any, set[str]]]) -> None:
    assert send(Whole, b' {"a": 1, ', b'"secret": 2} ') == (b'{"a":1}', {"secret"})


def test_a_document_in_shadow_passes_as_it_came(send: Callable[..., tuple[Any, set[str]]]) -> None:
    assert send(Whole, b' {"a": 1, ', b'"secret": 2} ', enforce=False) == (b' {"a": 1, "secret": 2} ', {"secret"})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"secret", b'{"a":1}{"a":2}', b'{"a":"\xff"}', b"[" * 1000, b'{"a":"\\ud800"}']
)
def test_what_is_no_document_does_not_pass(send: Callable[..., tuple[Any, set[str]]], body: bytes) -> None:
    refused, _ = send(Whole, body)
    assert isinstance(refused, Deny)
    assert (refused.reason, refused.control) == (Reason.UPSTREAM_ERROR, "response")
    assert "secret" not in refused.detail


@pytest.mark.parametrize(("size", "passes"), [(99, True), (100, True), (101, False)])
def test_what_is_held_of_a_document_is_bounded(
    send: Callable[..., tuple[Any, set[str]]], size: int, passes: bool
) -> None:
    out, _ = send(Whole, b'"' + b"a" * (size - 2) + b'"', max_bytes=100)
    assert isinstance(out, bytes) is passes


@pytest.mark.parametrize(
    ("make", "body"), [(Whole, b'{"a":NaN}'), (Lines, b'{"a":NaN}\n'), (Events, b'data: {"a":NaN}\n\n')]
)
def test_scores_that_are_no_number_leave_as_null(
    send: Callable[..., tuple[Any, set[str]]], make: Make, body: bytes
) -> None:
    assert send(make, body)[0] == body.replace(b"NaN", b"null")


def test_a_document_of_which_nothing_may_leave_is_refused_or_left_out(kit: Kit) -> None:
    class Withholding:
        type: ClassVar[str] = "withholding"

        def apply(self, document: Any, removed: set[str]) -> Any:
            return NOTHING

    refused = run(Whole(kit.outlet(Withholding()), set(), True), [b'{"error": "at /srv"}'])
    assert isinstance(refused, Deny)
    assert refused.reason is Reason.UPSTREAM_ERROR
    assert run(Events(kit.outlet(Withholding()), set(), True), [b'data: {"error": 1}\n\n']) == b""
    assert run(Lines(kit.outlet(Withholding()), set(), True), [b'{"error": 1}\n']) == b""


def test_what_is_nested_too_deeply_to_be_walked_is_refused(kit: Kit) -> None:
    class Sinking:
        type: ClassVar[str] = "sinking"

        def apply(self, document: Any, removed: set[str]) -> Any:
            raise RecursionError

    outlet = kit.outlet(Sinking())
    assert isinstance(write(prepare(b"{}", outlet, set()), outlet), Deny)


def test_without_a_codec_nothing_is_read_and_nothing_passes(kit: Kit) -> None:
    outlet = kit.outlet(kit.Dropping(), codec=None)
    refused = write(prepare(b"{}", outlet, set()), outlet)
    assert isinstance(refused, Deny)


def test_through_passes_every_byte_as_it_comes() -> None:
    assert run(Through(), [b"a", b"", b"\x00b"]) == b"a\x00b"


def test_what_holds_and_what_keeps_its_length(kit: Kit) -> None:
    outlet: Outlet = kit.outlet()
    relays: list[Relay] = [
        Through(),
        Whole(outlet, set(), True),
        Events(outlet, set(), True),
        Lines(outlet, set(), True),
    ]
    assert [(relay.holds, relay.passes_length) for relay in relays] == [
        (False, True),
        (True, False),
        (False, False),
        (False, False),
    ]


# --- however it is cut ------------------------------------------------------------------------------------------------

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text("ab\n\r:\u2028é", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "secret", "data"]), inner, max_size=3)
    ),
    max_leaves=5,
)
BREAKS = st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r", b"\n", b"\r\n", b"\r", b"\n\r\n", b"\r\n\r", b""])
FIELDS = st.sampled_from([b"data: ", b"data:", b"event: x\ndata: ", b": note\n", b"", b"id:1\r\n", b"data: [DONE]"])


@st.composite
def event_streams(draw: st.DrawFn) -> bytes:
    parts = draw(st.lists(st.tuples(FIELDS, DOCUMENTS, BREAKS), max_size=5))
    return b"".join(field + json.dumps(document).encode() + end for field, document, end in parts)


@st.composite
def line_streams(draw: st.DrawFn) -> bytes:
    parts = draw(st.lists(st.tuples(DOCUMENTS, BREAKS), max_size=5))
    return b"".join(json.dumps(document).encode() + end for document, end in parts)


BODIES = st.one_of(
    event_streams().map(lambda body: (Events, body)),
    line_streams().map(lambda body: (Lines, body)),
    DOCUMENTS.map(lambda document: (Whole, json.dumps(document).encode())),
    st.binary(max_size=20).flatmap(lambda body: st.sampled_from([(Events, body), (Lines, body), (Whole, body)])),
)


@given(body=BODIES, cuts=st.lists(st.integers(0, 200), max_size=12), enforce=st.booleans())
@example((Events, b"data: 1\r\n\r\ndata: 2\r\n\r\n"), [8, 9, 10, 11], True)
@settings(max_examples=400)
def test_the_same_leaves_however_it_was_cut(kit: Kit, body: tuple[Make, bytes], cuts: list[int], enforce: bool) -> None:
    make, data = body
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:stop] for start, stop in pairwise(edges)]
    answers = []
    for cut in ([data], pieces, [bytes([byte]) for byte in data]):
        removed: set[str] = set()
        answers.append((run(make(kit.outlet(kit.Dropping()), removed, enforce), cut), removed))
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


@given(body=BODIES)
@settings(max_examples=300)
def test_nothing_that_a_transform_removes_ever_leaves(kit: Kit, body: tuple[Make, bytes]) -> None:
    make, data = body

    class Emptying:
        type: ClassVar[str] = "emptying"

        def apply(self, document: Any, removed: set[str]) -> Any:
            return 0

    out = run(make(kit.outlet(Emptying()), set(), True), [data])
    if isinstance(out, Deny):
        return
    kept = {b"data: 0", b"data: {}", b"data: [DONE]", b":", b"0", b"{}", b""}
    for line in out.split(b"\n"):
        assert line in kept or line.startswith((b"event", b"id", b"retry"))
