"""Amounts in Anthropic's, Ollama's and TGI's formats: what is asked for, written, stated and counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.cost import Bill, Estimate, Meter, OutputBound, Tariff, Usage
from vallum.core.decision import Finding
from vallum.presets import PRESETS
from vallum.presets.anthropic.amounts import DOCUMENT_TOKENS, IMAGE_TOKENS
from vallum.presets.ollama.amounts import IMAGE_TOKENS as PICTURE_TOKENS


def meter_of(name: str) -> Meter:
    meter = PRESETS[name].meter
    assert meter is not None
    return meter


MESSAGES, CHAT = meter_of("anthropic.messages"), meter_of("ollama.chat")
GENERATE, EMBED, TGI = meter_of("ollama.generate"), meter_of("ollama.embed"), meter_of("tgi.generate_stream")
FREE, CAPPED = OutputBound(100), OutputBound(50, 50)
HELLO = [{"role": "user", "content": "hello there"}]
DATA = "A" * 100_000


def estimate(meter: Meter, bound: OutputBound = FREE, **document: Any) -> Estimate:
    found = meter.estimate(document, bound)
    assert isinstance(found, Estimate)
    return found


# --- the request ------------------------------------------------------------------------------------------------------


def test_what_bounds_an_answer_may_lie_a_level_down() -> None:
    assert estimate(CHAT, messages=HELLO, options={"num_predict": 7})[1:] == (7, "/options/num_predict")
    assert estimate(CHAT, messages=HELLO)[1:] == (100, "/messages")
    assert estimate(CHAT, messages=HELLO, options=None).output_tokens == 100
    assert estimate(TGI, inputs="x", parameters={"max_new_tokens": 7})[1:] == (7, "/parameters/max_new_tokens")
    assert estimate(TGI, inputs="x", parameters={"max_new_tokens": 7, "best_of": 3}).output_tokens == 21
    assert estimate(MESSAGES, messages=HELLO, max_tokens=7)[1:] == (7, "/max_tokens")
    assert estimate(EMBED, input=["a b", "c"]).output_tokens == 0


@pytest.mark.parametrize("value", [-1, -2, 0, 2**31, True, 1.5, "5", []])
def test_an_answer_without_end_is_refused_by_the_meter_too(value: Any) -> None:
    for meter, document, where in (
        (CHAT, {"messages": HELLO, "options": {"num_predict": value}}, "/options/num_predict"),
        (TGI, {"inputs": "x", "parameters": {"max_new_tokens": value}}, "/parameters/max_new_tokens"),
        (TGI, {"inputs": "x", "parameters": {"best_of": value}}, "/parameters/best_of"),
        (MESSAGES, {"messages": HELLO, "max_tokens": value}, "/max_tokens"),
    ):
        found = meter.estimate(document, FREE)
        assert isinstance(found, Finding)
        assert (found.where, found.rule) == (where, "range")
    wrong: list[Any] = [[], "x", 5]
    for options in wrong:
        found = CHAT.estimate({"messages": HELLO, "options": options}, FREE)
        assert isinstance(found, Finding)
        assert (found.where, found.rule) == ("/options", "type")


@pytest.mark.parametrize(
    ("given", "written", "names"),
    [
        ({}, {"options": {"num_predict": 50}}, ("options.num_predict",)),
        ({"options": None}, {"options": {"num_predict": 50}}, ("options.num_predict",)),
        ({"options": {"seed": 1}}, {"options": {"seed": 1, "num_predict": 50}}, ("options.num_predict",)),
        ({"options": {"num_predict": 900}}, {"options": {"num_predict": 50}}, ("options.num_predict",)),
        ({"options": {"num_predict": 9}}, {"options": {"num_predict": 9}}, ()),
    ],
)
def test_the_bound_is_written_where_the_server_reads_it(given: Any, written: Any, names: Any) -> None:
    options = given.get("options")
    before = json.dumps(options)
    assert CHAT.amend(given, CAPPED) == names
    assert given == written
    assert json.dumps(options) == before, "what the checks have seen stays as it is"


def test_pictures_and_documents_are_no_text() -> None:
    plain = estimate(MESSAGES, messages=[{"role": "user", "content": [{"type": "text", "text": "x"}]}]).input_tokens
    base64 = {"type": "base64", "media_type": "image/png", "data": DATA}
    image = {"type": "image", "source": base64}
    for blocks, least, most in (
        ([image], IMAGE_TOKENS, IMAGE_TOKENS + 40),
        ([{"type": "document", "source": base64}], DOCUMENT_TOKENS, DOCUMENT_TOKENS + 40),
        ([{"type": "document", "source": {"type": "text", "data": "word " * 400}}], 500, 560),
        ([{"type": "document", "source": {"type": "content", "content": [image]}}], IMAGE_TOKENS, IMAGE_TOKENS + 80),
        (
            [{"type": "tool_result", "tool_use_id": "t", "content": [image, image]}],
            2 * IMAGE_TOKENS,
            2 * IMAGE_TOKENS + 99,
        ),
        ([{"type": "tool_use", "id": "t", "name": "n", "input": {"type": "image", "source": base64}}], 50_000, 10**6),
        (["loose", 5, None], 2, 40),
    ):
        taken = estimate(MESSAGES, messages=[{"role": "user", "content": blocks}]).input_tokens
        assert least <= taken <= most + plain, blocks[0]
    for meter, document in (
        (CHAT, {"messages": [{"role": "user", "content": "x", "images": [DATA, DATA]}]}),
        (GENERATE, {"prompt": "x", "images": [DATA, DATA]}),
    ):
        assert 2 * PICTURE_TOKENS <= estimate(meter, **document).input_tokens <= 2 * PICTURE_TOKENS + 20


# --- the answer -------------------------------------------------------------------------------------------------------

START = {"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}}
CACHED = {"input_tokens": 5, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 11, "output_tokens": 3}


@pytest.mark.parametrize(
    ("meter", "document", "usage"),
    [
        (MESSAGES, {"content": [], "usage": CACHED}, Usage(23, 3)),
        (MESSAGES, {"usage": CACHED | {"cache_read_input_tokens": None}}, Usage(12, 3)),
        (MESSAGES, {"usage": CACHED | {"cache_read_input_tokens": -9}}, None),
        (MESSAGES, START, Usage(25, None)),
        (MESSAGES, {"type": "message_delta", "usage": {"output_tokens": 15}}, Usage(None, 15)),
        (MESSAGES, {"type": "message_delta", "usage": {"input_tokens": None, "output_tokens": 15}}, Usage(None, 15)),
        (MESSAGES, {"type": "ping"}, None),
        (MESSAGES, {"usage": {"output_tokens": True}}, None),
        (CHAT, {"done": False, "message": {"content": "a"}}, None),
        (CHAT, {"done": True, "prompt_eval_count": 26, "eval_count": 298}, Usage(26, 298)),
        (CHAT, {"done": True, "eval_count": 298}, Usage(None, 298)),  # all of the prompt was in the cache
        (EMBED, {"embeddings": [[0.1]], "prompt_eval_count": 8}, Usage(8, None)),
        (TGI, {"generated_text": "x", "details": {"generated_tokens": 1, "finish_reason": "length"}}, Usage(None, 1)),
        (TGI, {"token": {}, "details": {"generated_tokens": 20, "input_length": 4}}, Usage(4, 20)),
        (TGI, {"details": {"generated_tokens": 20, "best_of_sequences": [{"generated_text": "y"}]}}, Usage(None, None)),
        (TGI, {"details": None}, None),
    ],
)
def test_a_usage_is_read_as_far_as_it_goes(meter: Meter, document: Any, usage: Usage | None) -> None:
    assert meter.usage(document) == usage


@pytest.mark.parametrize(
    ("meter", "document", "tokens"),
    [
        (MESSAGES, {"content": [{"type": "text", "text": "hi"}, {"type": "thinking", "thinking": "hm"}]}, 2),
        (
            MESSAGES,
            {"content": [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": "b", "n": 5}}]},
            2,
        ),
        (MESSAGES, {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}}, 1),
        (MESSAGES, {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": '{"a'}}, 1),
        (MESSAGES, {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}}, 1),
        (MESSAGES, {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "s" * 400}}, 0),
        (MESSAGES, {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}, 0),
        (
            MESSAGES,
            {
                "type": "content_block_start",
                "content_block": {"type": "web_search_tool_result", "content": ["x" * 999]},
            },
            0,
        ),
        (MESSAGES, {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}}, 0),
        (MESSAGES, START, 0),
        (CHAT, {"message": {"role": "assistant", "content": "hi", "thinking": "hm"}}, 2),
        (
            CHAT,
            {"message": {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": "b"}}}]}},
            2,
        ),
        (GENERATE, {"response": "hi", "done": False, "context": [1, 2]}, 1),
        (TGI, {"token": {"text": "hi"}, "generated_text": None}, 1),
        (TGI, {"token": {"text": "hi"}, "generated_text": "hi hi hi"}, 1),
        (TGI, {"generated_text": "hi"}, 1),
        (TGI, {"generated_text": "hi", "details": {"best_of_sequences": [{"generated_text": "ho"}, 5]}}, 2),
        (TGI, {"generated_text": "hi", "details": {"best_of_sequences": 5}}, 1),
    ],
)
def test_what_an_event_says_is_counted_by_its_text(meter: Meter, document: Any, tokens: int) -> None:
    assert meter.emitted(document) == tokens


def test_a_message_that_is_cut_closes_its_block_and_itself() -> None:
    last = {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "x"}}
    events = MESSAGES.ending(last, 9).decode().split("\n\n")
    names = [event.split("\n")[0] for event in events if event]
    assert names == ["event: content_block_stop", "event: message_delta", "event: message_stop"]
    stop, delta, _ = (json.loads(event.split("data: ")[1]) for event in events if event)
    assert stop == {"type": "content_block_stop", "index": 2}
    assert delta["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert delta["usage"] == {"output_tokens": 9}


def test_a_block_that_nobody_saw_begin_is_not_closed() -> None:
    begun = {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "x"}}
    assert b"content_block_stop" not in MESSAGES.ending(begun, 9)


def test_a_line_ends_a_stream_of_lines() -> None:
    last = {"model": "m", "created_at": "now", "message": {"role": "assistant", "content": "x"}, "done": False}
    ending = CHAT.ending(last, 3)
    assert ending.count(b"\n") == 1
    assert json.loads(ending) == {
        "model": "m",
        "created_at": "now",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "length",
        "eval_count": 3,
    }
    assert json.loads(GENERATE.ending(None, 3))["response"] == ""
    assert (CHAT.streams_lines, GENERATE.streams_lines, MESSAGES.streams_lines, TGI.streams_lines) == (
        True,
        True,
        False,
        False,
    )


def test_a_tgi_stream_ends_with_its_details() -> None:
    ending = TGI.ending({"index": 4, "token": {"text": "x"}}, 3)
    document = json.loads(ending.removeprefix(b"data: "))
    assert document["details"] == {"finish_reason": "length", "generated_tokens": 3, "seed": None}
    assert document["token"]["text"] == ""


# --- the account ------------------------------------------------------------------------------------------------------


def settled(meter: Meter, *documents: Any) -> tuple[int, int]:
    bill = Bill(Tariff(), 100, meter, Estimate(40, 60))
    bill.streams = True
    for document in documents:
        assert bill.read(document)
    amounts = bill.used(called=True, refused=False)
    return amounts.input_tokens, amounts.output_tokens


def says(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def test_a_stream_is_settled_by_its_first_and_last_event() -> None:
    words = [says(f"w{n}") for n in range(5)]
    last = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}}
    assert settled(MESSAGES, START, *words, last) == (25, 15)
    assert settled(MESSAGES, START, *words) == (25, 5), (
        "left early: what it said at its begin is no count of the output"
    )
    assert settled(MESSAGES, *words) == (40, 5)
    later = last | {"usage": CACHED}
    assert settled(MESSAGES, START, later) == (23, 3)


def test_the_estimate_stands_where_a_prompt_was_cached() -> None:
    line = {"message": {"content": "w"}, "done": False}
    assert settled(CHAT, line, line, {"done": True, "eval_count": 2}) == (40, 2)
    assert settled(CHAT, line, line) == (40, 2)
    assert settled(EMBED, {"embeddings": [], "prompt_eval_count": 8}) == (8, 0)


MEMBERS = (
    "content content_block delta details done eval_count index input_length message options source token type usage"
    " generated_tokens input_tokens output_tokens best_of_sequences images messages max_tokens num_predict parameters"
).split()
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["image", "base64", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=15,
)


@given(DOCUMENTS)
def test_no_document_makes_a_meter_fail(document: Any) -> None:
    for meter in (MESSAGES, CHAT, GENERATE, EMBED, TGI):
        found = meter.estimate(document, CAPPED)
        if isinstance(found, Estimate):
            assert min(found[:2]) >= 0
            meter.amend(dict(document), CAPPED)
        meter.usage(document)
        meter.emitted(document)
        meter.ending(document, 5)
