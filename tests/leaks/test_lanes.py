"""Every member of a stream that carries pieces of a text is followed, and clients can put together what leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.leaks.test_leak_checks import MARKER, SECRETS, events_of, screen_of, stream

from vallum.core.leaks import REPLACEMENT
from vallum.core.stream import Lines

KEY = SECRETS["aws"]
HALVES = (f"see {KEY[:9]}", f"{KEY[9:]} there")


def delta(said: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


DELTAS: dict[str, Any] = {
    "content": lambda text: {"content": text},
    "parts of a content": lambda text: {"content": [{"type": "text", "text": text}]},
    "a function's arguments": lambda text: {"function_call": {"arguments": text}},
    "a tool's arguments": lambda text: {"tool_calls": [{"index": 0, "function": {"arguments": text}}]},
    "a tool's free input": lambda text: {"tool_calls": [{"index": 0, "custom": {"input": text}}]},
    "a transcript": lambda text: {"audio": {"id": "a", "transcript": text}},
    "reasoning": lambda text: {"reasoning_content": text},
}


@pytest.mark.parametrize("name", DELTAS)
def test_a_key_over_two_pieces(name: str) -> None:
    _, screen, outlet = screen_of()
    documents = [delta(DELTAS[name](text)) for text in HALVES] + [delta({}, "stop")]
    out = stream([events_of(documents)], screen, outlet)
    assert isinstance(out, bytes)
    assert REPLACEMENT.encode() in out
    assert KEY[:9].encode() not in out
    assert KEY[9:].encode() not in out


def test_thinking_of_ollama_over_two_lines() -> None:
    _, screen, outlet = screen_of()
    lines = [json.dumps({"thinking": text, "response": "", "done": False}).encode() + b"\n" for text in HALVES]
    lines.append(b'{"response": "", "done": true}\n')
    out = stream(lines, screen, outlet, Lines)
    assert isinstance(out, bytes)
    assert REPLACEMENT.encode() in out
    assert KEY[9:].encode() not in out


def test_a_block_whose_beginning_has_a_text() -> None:
    documents: list[Any] = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": HALVES[0]}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": HALVES[1]}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": f"and {MARKER[:12]}"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_stop"},
    ]
    _, screen, outlet = screen_of()
    raw = b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in documents)
    out = stream([raw], screen, outlet)
    assert isinstance(out, bytes)
    assert KEY[9:].encode() not in out
    left = [json.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: ")]
    kinds = [line[7:].decode() for line in out.split(b"\n") if line.startswith(b"event: ")]
    assert [one["type"] for one in left] == kinds
    assert kinds.count("content_block_start") == 2, "a block is opened once"
    texts = {0: "", 1: ""}
    for one in left:
        if "index" in one:
            texts[one["index"]] += {**one.get("content_block", {}), **one.get("delta", {})}.get("text", "")
    assert texts == {0: f"see {REPLACEMENT} there", 1: f"and {MARKER[:12]}"}


@pytest.mark.parametrize("kind", ["function", "custom"])
def test_what_was_held_of_a_call_does_not_name_it_again(kind: str) -> None:
    member = "arguments" if kind == "function" else "input"
    call: dict[str, Any] = {"index": 0, "id": "call_1", "type": kind, kind: {"name": "look", member: "sk-ant-api03"}}
    call["custom" if kind == "function" else "function"] = "odd"
    documents = [delta({"role": "assistant", "tool_calls": [call]}), delta({}, "tool_calls")]
    _, screen, outlet = screen_of()
    out = stream([events_of(documents)], screen, outlet)
    assert isinstance(out, bytes)
    for once in (b"call_1", b'"look"', b'"assistant"', b"sk-ant-api03"):
        assert out.count(once) == 1, once


def test_what_was_held_of_a_function_does_not_name_it_again() -> None:
    documents = [delta({"function_call": {"name": "look", "arguments": "sk-ant-api03"}}), delta({}, "function_call")]
    _, screen, outlet = screen_of()
    out = stream([events_of(documents)], screen, outlet)
    assert isinstance(out, bytes)
    assert (out.count(b'"look"'), out.count(b"sk-ant-api03")) == (1, 1)


def test_thinking_that_a_block_begins_with_goes_on_as_thinking() -> None:
    block = {"type": "thinking", "thinking": "so AKIAIOSF", "signature": ""}
    documents = [{"type": "content_block_start", "index": 0, "content_block": block}, {"type": "message_stop"}]
    _, screen, outlet = screen_of()
    out = stream([events_of(documents, b"")], screen, outlet)
    assert isinstance(out, bytes)
    (begun, went_on, _) = [json.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: ")]
    assert went_on["delta"]["type"] == "thinking_delta"
    assert begun["content_block"]["thinking"] + went_on["delta"]["thinking"] == "so AKIAIOSF"


def test_what_was_held_of_a_completion_leaves_at_its_end() -> None:
    documents = [{"id": "c", "model": "m", "choices": [{"index": 0, "text": "so AKIAIOSF", "finish_reason": None}]}]
    _, screen, outlet = screen_of()
    out = stream([events_of(documents)], screen, outlet)
    assert isinstance(out, bytes)
    left = [json.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: {")]
    assert "".join(one["choices"][0]["text"] for one in left) == "so AKIAIOSF"


def test_of_two_leaks_that_overlap_both_are_gone() -> None:
    _, screen, outlet = screen_of()
    out = stream(
        [events_of([delta({"content": f"write to {KEY}@example.com today"}), delta({}, "stop")])], screen, outlet
    )
    assert isinstance(out, bytes)
    assert KEY.encode() not in out
    assert b"example.com" not in out
    assert out.count(REPLACEMENT.encode()) == 1


def test_a_marker_that_ends_where_its_piece_does_waits_for_the_next() -> None:
    spaced = " ".join(MARKER)
    _, screen, outlet = screen_of()
    documents = [delta({"content": f"it is {spaced}"}), delta({"content": " good bye"}), delta({}, "stop")]
    out = stream([events_of(documents)], screen, outlet)
    assert isinstance(out, bytes)
    left = [json.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: {")]
    said = "".join(one["choices"][0]["delta"].get("content", "") for one in left)
    assert said == f"it is {REPLACEMENT} good bye"
