"""Amounts in OpenAI's formats: what a request asks for, what is written into it, what an answer says and holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.cost import Estimate, OutputBound, Usage
from vallum.core.decision import Finding, Reason
from vallum.core.text import tokens_of
from vallum.presets.amounts import CHOICES_MAX, OUTPUT_MAX
from vallum.presets.openai.amounts import IMAGE_TOKENS, METERS

CHAT, COMPLETIONS = METERS["openai.chat"], METERS["openai.completions"]
EMBEDDINGS, RESPONSES = METERS["openai.embeddings"], METERS["openai.responses"]
FREE, CAPPED = OutputBound(100), OutputBound(50, 50)
HELLO: Any = [{"role": "user", "content": "hello there"}]


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": HELLO, **more}


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("hello there", 3),
        ("1234", 4),
        ("ABC", 2),
        ("你好", 3),
        ("\ud800", 2),  # half a pair, as JSON may hold it
    ],
)
def test_text_is_weighed_by_the_class_of_its_bytes(text: str, tokens: int) -> None:
    assert tokens_of(text) == tokens


@given(st.text())
def test_an_estimate_is_between_a_quarter_of_the_bytes_and_all_of_them(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    assert size / 4 <= tokens_of(text) <= size


def test_more_text_is_never_fewer_tokens() -> None:
    assert tokens_of("a" * 1_000_000) == 250_000


# --- the request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "output", "pointer"),
    [
        ({}, 100, "/messages"),
        ({"max_tokens": 7}, 7, "/max_tokens"),
        ({"max_completion_tokens": 7}, 7, "/max_completion_tokens"),
        ({"max_tokens": None}, 100, "/messages"),
        ({"max_tokens": 1, "max_completion_tokens": 70}, 70, "/max_completion_tokens"),  # whichever is believed
        ({"max_tokens": 1, "n_predict": 70}, 70, "/n_predict"),
        ({"max_tokens": 7, "n": 3}, 21, "/max_tokens"),
        ({"max_tokens": 7, "n": None}, 7, "/max_tokens"),
        ({"max_tokens": 7, "n": 2, "best_of": 5}, 35, "/max_tokens"),
        ({"max_tokens": OUTPUT_MAX}, OUTPUT_MAX, "/max_tokens"),
    ],
)
def test_the_output_is_bounded_from_above(more: dict[str, Any], output: int, pointer: str) -> None:
    estimate = CHAT.estimate(chat(**more), FREE)
    assert isinstance(estimate, Estimate)
    assert (estimate.output_tokens, estimate.pointer) == (output, pointer)


@pytest.mark.parametrize(("asked", "output"), [(None, 50), (7, 7), (50, 50), (51, 50), (OUTPUT_MAX, 50)])
def test_the_policy_caps_the_output(asked: int | None, output: int) -> None:
    document = chat(max_tokens=asked)
    estimate = CHAT.estimate(document, CAPPED)
    assert isinstance(estimate, Estimate)
    assert estimate.output_tokens == output
    written = CHAT.amend(document, CAPPED)
    assert document["max_tokens"] == output, "the reservation holds only if the upstream is told"
    assert written == (() if asked == output else ("max_tokens",))


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n", "n_predict"])
@pytest.mark.parametrize("value", [0, -1, True, False, 1.0, 1.5, "5", [], {}, 2**31, 10**30])
def test_numbers_that_are_none_are_refused_with_their_place(name: str, value: Any) -> None:
    finding = CHAT.estimate(chat(**{name: value}), FREE)
    assert isinstance(finding, Finding)
    assert (finding.where, finding.rule, finding.reason, finding.public) == (
        f"/{name}",
        "range",
        Reason.INVALID_REQUEST,
        True,
    )


def test_choices_are_bounded() -> None:
    assert isinstance(CHAT.estimate(chat(n=CHOICES_MAX + 1), FREE), Finding)


@pytest.mark.parametrize("document", [None, [], "hello", 5])
def test_a_request_is_an_object(document: Any) -> None:
    assert isinstance(CHAT.estimate(document, FREE), Finding)


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("hello", 1),
        (["a", "b", "c"], 3),
        ([1, 2, 3], 1),
        ([[1, 2], [3]], 2),
        ([1, "b", "c"], 3),  # the first one says nothing of the others
        ([True, False], 2),
        ([], 1),
        (None, 1),
    ],
)
def test_each_prompt_of_a_list_has_an_answer_of_its_own(prompt: Any, prompts: int) -> None:
    estimate = COMPLETIONS.estimate({"prompt": prompt, "max_tokens": 10, "n": 2}, FREE)
    assert isinstance(estimate, Estimate)
    assert estimate.output_tokens == 20 * prompts


def taken_in(meter: Any, **document: Any) -> int:
    estimate = meter.estimate(document, FREE)
    assert isinstance(estimate, Estimate)
    return estimate.input_tokens


def test_everything_that_reaches_the_model_is_weighed() -> None:
    long = "word " * 100
    tool = {"type": "function", "function": {"name": "look", "description": long, "parameters": {long: {}}}}
    plain = taken_in(CHAT, messages=HELLO)
    assert 3 <= plain <= 20
    assert taken_in(CHAT, messages=[*HELLO, {"role": "user", "content": long}]) > plain + 120
    assert taken_in(CHAT, messages=[{"role": "user", "content": [{"type": "text", "text": long}]}]) > 120
    assert taken_in(CHAT, messages=HELLO, tools=[tool]) > plain + 240, "names of a schema's members count"
    assert taken_in(CHAT, messages=HELLO, user=long, metadata={"a": long}) == plain, "what the model never sees"
    assert taken_in(EMBEDDINGS, input=[[1, 2, 3], [4]]) == 4
    assert taken_in(RESPONSES, input="hello there", instructions=long) > 120


def test_a_picture_is_no_text_and_hides_none() -> None:
    picture: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    few = taken_in(CHAT, messages=[{"role": "user", "content": [picture]}])
    assert IMAGE_TOKENS < few < IMAGE_TOKENS + 50
    picture["text"] = "word " * 1000
    assert taken_in(CHAT, messages=[{"role": "user", "content": [picture]}]) > few + 1200
    assert taken_in(CHAT, messages=[{"role": "user", "content": [{"type": ["image_url"]}]}]) < 50


def test_a_picture_where_none_can_be_is_text() -> None:
    """Chat templates write tools and the arguments of calls into the prompt as JSON, whatever shape they have."""
    hidden = {"type": "image_url", "image_url": "word " * 4000}
    parts = {"content": [hidden]}
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": parts}}]}
    tool = {"type": "function", "function": {"name": "look", "parameters": parts}}
    for document in (
        {"messages": [*HELLO, call]},
        {"messages": [*HELLO, hidden]},
        {"messages": [[parts]]},
        {"messages": HELLO, "tools": [tool]},
        {"messages": HELLO, "tools": [parts]},
    ):
        assert taken_in(CHAT, **document) > 5000


@pytest.mark.parametrize(
    ("given", "sent", "shown"),
    [
        ({}, {}, True),
        ({"stream": False}, {}, True),
        ({"stream": True}, {"stream_options": {"include_usage": True}}, False),
        ({"stream": True, "stream_options": None}, {"stream_options": {"include_usage": True}}, False),
        (
            {"stream": True, "stream_options": {"include_usage": False}},
            {"stream_options": {"include_usage": True}},
            False,
        ),
        ({"stream": True, "stream_options": {"x": 1}}, {"stream_options": {"x": 1, "include_usage": True}}, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, {}, True),
        ({"stream": True, "stream_options": "nonsense"}, {}, False),  # the upstream's to refuse
    ],
)
def test_a_stream_is_asked_for_its_usage(given: dict[str, Any], sent: dict[str, Any], shown: bool) -> None:
    document = chat(max_tokens=5, **given)
    before = json.loads(json.dumps(document))
    assert CHAT.shows_usage(document) is shown
    CHAT.amend(document, FREE)
    assert document == before | sent


def test_where_a_format_bounds_nothing_nothing_is_written() -> None:
    document = {"input": "hello"}
    assert EMBEDDINGS.amend(document, CAPPED) == ()
    assert document == {"input": "hello"}
    estimate = EMBEDDINGS.estimate(document, CAPPED)
    assert isinstance(estimate, Estimate)
    assert estimate.output_tokens == 0


# --- the answer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, Usage(3, 4)),
        ({"prompt_tokens": 3, "total_tokens": 3}, Usage(3, None)),
        ({"input_tokens": 3, "output_tokens": 4}, Usage(3, 4)),
        ({"prompt_tokens": -3, "completion_tokens": 4}, None),
        ({"prompt_tokens": 3, "completion_tokens": True}, None),
        ({"prompt_tokens": 3.5, "completion_tokens": 4}, None),
        ({"prompt_tokens": "3", "completion_tokens": 4}, None),
        ({"prompt_tokens": 2**40, "completion_tokens": 4}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_a_usage_is_read_if_it_can_be_believed(usage: Any, read: Usage | None) -> None:
    assert CHAT.usage({"choices": [], "usage": usage}) == read


def test_a_usage_in_the_end_of_a_response() -> None:
    event = {"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 4}}}
    assert RESPONSES.usage(event) == Usage(3, 4)
    assert RESPONSES.usage({"type": "response.created", "response": {"usage": None}}) is None
    assert RESPONSES.usage([]) is None


@pytest.mark.parametrize(
    ("event", "left", "sent"),
    [
        ({"choices": [], "usage": {"prompt_tokens": 1}}, {"choices": []}, False),
        ({"choices": [{}], "usage": None}, {"choices": [{}]}, True),
        ({"choices": [{}], "usage": {"prompt_tokens": 1}}, {"choices": [{}]}, True),
        ({"choices": [], "usage": None}, {"choices": []}, True),
        ({"choices": [{}]}, {"choices": [{}]}, True),
        ([], [], True),
    ],
)
def test_a_usage_that_was_not_asked_for_is_taken_out(event: Any, left: Any, sent: bool) -> None:
    assert CHAT.hide_usage(event) is sent
    assert event == left


@pytest.mark.parametrize(
    ("meter", "document", "tokens"),
    [
        (CHAT, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}, 0),
        (CHAT, {"choices": [{"index": 0, "delta": {"content": " word"}}]}, 1),
        (CHAT, {"choices": [{"index": 0, "delta": {"content": " word"}}, {"delta": {"content": "a"}}]}, 2),
        (CHAT, {"choices": [{"delta": {"content": "many words at once in one piece "}}]}, 8),
        (CHAT, {"choices": [{"delta": {"reasoning_content": "hm"}}]}, 1),
        (CHAT, {"choices": [{"delta": {"tool_calls": [{"id": "x", "function": {"arguments": "{"}}]}}]}, 1),
        (CHAT, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, 0),
        (CHAT, {"choices": [{"message": {"role": "assistant", "content": "hello there"}}]}, 1),
        (CHAT, {"choices": "nonsense"}, 0),
        (CHAT, {"choices": ["nonsense", None]}, 0),
        (CHAT, [], 0),
        (CHAT, {"choices": [{"delta": {"content": 5}}]}, 0),
        (COMPLETIONS, {"choices": [{"text": "a"}]}, 1),
        (RESPONSES, {"type": "response.output_text.delta", "delta": "a"}, 1),
        (RESPONSES, {"type": "response.output_text.done", "text": "all of it again"}, 0),
        (RESPONSES, {"output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}]}, 1),
        (RESPONSES, None, 0),
        (EMBEDDINGS, {"data": [{"embedding": [0.1]}]}, 0),
    ],
)
def test_text_that_comes_out_is_counted(meter: Any, document: Any, tokens: int) -> None:
    assert meter.emitted(document) == tokens


def test_a_stream_that_is_cut_ends_as_the_format_says() -> None:
    last = {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [{"index": 1, "delta": {"content": "x"}}],
    }
    end, done = CHAT.ending(last, 5).split(b"\n\n", 1)
    chunk = json.loads(end.removeprefix(b"data: "))
    assert chunk == last | {"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}
    assert done == b"data: [DONE]\n\n"
    assert b'"text":"","finish_reason":"length"' in COMPLETIONS.ending({"choices": [{}]}, 5)
    assert RESPONSES.ending({}, 5).startswith(b"event: response.incomplete\ndata: {")
    assert EMBEDDINGS.ending(None, 5) == b""
    assert CHAT.ending(None, 5).endswith(b"data: [DONE]\n\n")


NAMES = "choices delta usage prompt messages stream type response n stream_options".split()
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=12,
)


@given(DOCUMENTS)
def test_no_document_makes_a_meter_fail(document: Any) -> None:
    for meter in METERS.values():
        estimate = meter.estimate(document, FREE)
        if isinstance(estimate, Estimate):
            assert estimate.input_tokens >= 0
            assert estimate.output_tokens >= 0
        meter.usage(document)
        assert meter.emitted(document) >= 0
        meter.ending(document, 5)
        meter.hide_usage(document)
