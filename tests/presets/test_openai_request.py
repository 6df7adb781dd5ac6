"""Requests of OpenAI's API and vLLM's: the bounds hold, the first violation helps, every text has its speaker."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import (
    completion_create_params,
    embedding_create_params,
    image_generate_params,
)
from openai.types.audio import speech_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

from vallum.checks.schema import Schema
from vallum.core.content import Content, Upload, Voice
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from vallum.core.decision import Finding

HELLO = {"role": "user", "content": "hello"}
PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FORMS = [name for name in PRESETS if name.startswith(("openai.", "vllm."))]


@cache
def schema_of(preset: str, bounds: tuple[tuple[str, int], ...] = ()) -> Schema:
    form = PRESETS[preset].request
    assert form.schema is not None
    return Schema(form.schema({name: bound.default for name, bound in form.bounds.items()} | dict(bounds)))


def inspect(preset: str, document: Any, **bounds: int) -> Finding | None:
    return schema_of(preset, tuple(bounds.items())).inspect(Content(document, max_depth=200))


def chat(**members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [HELLO]} | members


def said(**members: Any) -> dict[str, Any]:
    return chat(messages=[{"role": "user", **members}])


def deep(levels: int) -> dict[str, Any]:
    inner: Any = 1
    for _ in range(levels):
        inner = {"a": inner}
    return {"type": "json_schema", "json_schema": {"name": "s", "schema": inner}}


# --- bounds: as many as are allowed pass, and one more does not

CHAT_BOUNDS: dict[str, tuple[Any, Any]] = {
    "messages": (chat(messages=[HELLO] * 2), chat(messages=[HELLO] * 3)),
    "parts": (
        said(content=[{"type": "text", "text": "a"}] * 2),
        said(content=[{"type": "text", "text": "a"}] * 3),
    ),
    "images": (said(content=[PIXEL] * 2), said(content=[PIXEL] * 3)),
    "chars": (said(content="ab"), said(content="abc")),
    "data_chars": (
        said(content=[{"type": "image_url", "image_url": {"url": "ab"}}]),
        said(content=[{"type": "image_url", "image_url": {"url": "abc"}}]),
    ),
    "tools": (chat(tools=[TOOL] * 2), chat(tools=[TOOL] * 3)),
    "tool_calls": (
        chat(messages=[{"role": "assistant", "tool_calls": [CALL] * 2}]),
        chat(messages=[{"role": "assistant", "tool_calls": [CALL] * 3}]),
    ),
    "max_tokens": (chat(max_tokens=2, max_completion_tokens=2), chat(max_completion_tokens=3)),
    "n": (chat(n=2), chat(n=3)),
    "stop": (chat(stop=["a"] * 2), chat(stop=["a"] * 3)),
    "logit_bias": (chat(logit_bias=dict.fromkeys("12", -100)), chat(logit_bias=dict.fromkeys("123", -100))),
    "nudges": (chat(logit_bias=dict.fromkeys("12", 1)), chat(logit_bias=dict.fromkeys("123", 1))),
    "nudge": (chat(logit_bias={"1": -1}), chat(logit_bias={"1": -2})),
    "metadata": (chat(metadata={"a": "", "b": ""}), chat(metadata={"a": "", "b": "", "c": ""})),
    "schema_depth": (chat(response_format=deep(2)), chat(response_format=deep(3))),
}
VLLM_BOUNDS: dict[str, tuple[Any, Any]] = {
    "choices": (chat(guided_choice=["a"] * 2), chat(structured_outputs={"choice": ["a"] * 3})),
    "grammar": (chat(guided_regex="ab"), chat(guided_grammar="abc")),
    "prompt_logprobs": (chat(prompt_logprobs=2), chat(prompt_logprobs=3)),
    "stop_token_ids": (chat(stop_token_ids=[1, 2]), chat(stop_token_ids=[1, 2, 3])),
    "allowed_token_ids": (chat(allowed_token_ids=[1, 2]), chat(allowed_token_ids=[1, 2, 3])),
    "documents": (chat(documents=[{"a": "b"}] * 2), chat(documents=[{"a": "b"}] * 3)),
}


def asked(**members: Any) -> dict[str, Any]:
    return {"model": "m", "input": "hi"} | members


RESPONSE_TOOL = {"type": "function", "name": "f"}
TEXT = {"type": "input_text", "text": "a"}
IMAGE = {"type": "input_image", "image_url": "ab"}
FORMAT = {"name": "s", "type": "json_schema"}
RESPONSE_BOUNDS: dict[str, tuple[Any, Any]] = {
    "items": (asked(input=[HELLO] * 2), asked(input=[HELLO] * 3)),
    "parts": (
        asked(input=[{"role": "user", "content": [TEXT] * 2}]),
        asked(input=[{"role": "user", "content": [TEXT] * 3}]),
    ),
    "images": (
        asked(input=[{"role": "user", "content": [IMAGE] * 2}]),
        asked(input=[{"role": "user", "content": [IMAGE] * 3}]),
    ),
    "chars": (asked(instructions="ab"), asked(input="abc")),
    "data_chars": (
        asked(input=[{"role": "user", "content": [IMAGE]}]),
        asked(input=[{"role": "user", "content": [{"type": "input_file", "file_data": "abc"}]}]),
    ),
    "tools": (asked(tools=[RESPONSE_TOOL] * 2), asked(tools=[RESPONSE_TOOL] * 3)),
    "max_output_tokens": (asked(max_output_tokens=2), asked(max_output_tokens=3)),
    "max_tool_calls": (asked(max_tool_calls=2), asked(max_tool_calls=3)),
    "metadata": (asked(metadata={"a": "", "b": ""}), asked(metadata={"a": "", "b": "", "c": ""})),
    "schema_depth": (
        asked(text={"format": {**FORMAT, "schema": {"a": {"b": 1}}}}),
        asked(text={"format": {**FORMAT, "schema": {"a": {"b": {"c": 1}}}}}),
    ),
}


def prompted(**members: Any) -> dict[str, Any]:
    return {"model": "m", "prompt": "hi"} | members


COMPLETION_BOUNDS: dict[str, tuple[Any, Any]] = {
    "prompts": (prompted(prompt=["a", "b"]), prompted(prompt=["a", "b", "c"])),
    "tokens": (prompted(prompt=[1, 2]), prompted(prompt=[[1, 2, 3]])),
    "chars": (prompted(suffix="ab"), prompted(prompt=["abc"])),
    "max_tokens": (prompted(max_tokens=2), prompted(max_tokens=3)),
    "n": (prompted(n=2), prompted(n=3)),
    "best_of": (prompted(best_of=2), prompted(best_of=3)),
    "stop": (prompted(stop=["a"] * 2), prompted(stop=["a"] * 3)),
    "logit_bias": (prompted(logit_bias={"1": -100}), prompted(logit_bias=dict.fromkeys("123", -100))),
    "nudges": (prompted(logit_bias=dict.fromkeys("12", 1)), prompted(logit_bias=dict.fromkeys("123", 1))),
    "nudge": (prompted(logit_bias={"1": 1}), prompted(logit_bias={"1": 2})),
}
EMBEDDING_BOUNDS: dict[str, tuple[Any, Any]] = {
    "inputs": (asked(input=["a", "b"]), asked(input=["a", "b", "c"])),
    "tokens": (asked(input=[[1, 2]]), asked(input=[1, 2, 3])),
    "chars": (asked(input="ab"), asked(input=["abc"])),
    "dimensions": (asked(dimensions=2), asked(dimensions=3)),
}
IMAGE_BOUNDS = {"chars": ({"prompt": "ab"}, {"prompt": "abc"}), "n": ({"prompt": "a", "n": 2}, {"prompt": "a", "n": 3})}
SPEAK = {"model": "m", "voice": "v"}
BOUNDED: dict[str, dict[str, tuple[Any, Any]]] = {
    "openai.chat": CHAT_BOUNDS,
    "vllm.chat": CHAT_BOUNDS | VLLM_BOUNDS,
    "openai.responses": RESPONSE_BOUNDS,
    "openai.completions": COMPLETION_BOUNDS,
    "openai.embeddings": EMBEDDING_BOUNDS,
    "openai.images": IMAGE_BOUNDS,
    "openai.audio.speech": {"chars": ({**SPEAK, "input": "ab"}, {**SPEAK, "input": "abc"})},
}


@pytest.mark.parametrize("preset", BOUNDED)
def test_every_bound_takes_as_many_as_it_says_and_no_more(preset: str) -> None:
    assert BOUNDED[preset].keys() == PRESETS[preset].request.bounds.keys()
    for bound, (enough, too_much) in BOUNDED[preset].items():
        few = min(2, PRESETS[preset].request.bounds[bound].default - 1)
        assert inspect(preset, enough, **{bound: few}) is None, bound
        assert inspect(preset, too_much) is None, bound
        assert inspect(preset, too_much, **{bound: few}) is not None, bound


@pytest.mark.parametrize("preset", FORMS)
def test_a_bound_of_nothing_is_still_a_schema(preset: str) -> None:
    schema_of(preset, tuple((name, 0) for name in PRESETS[preset].request.bounds))


# --- the first violation


@pytest.mark.parametrize(
    ("preset", "document", "where", "rule"),
    [
        ("openai.chat", None, "", "type"),
        ("openai.chat", [], "", "type"),
        ("openai.chat", {}, "/messages", "required"),
        ("openai.chat", chat(messages=["hello"]), "/messages/0", "type"),
        ("openai.chat", chat(messages=[{"content": "x"}]), "/messages/0/role", "required"),
        ("openai.chat", chat(messages=[{"role": "User", "content": "x"}]), "/messages/0/role", "enum"),
        ("openai.chat", chat(messages=[{"role": ["user"], "content": "x"}]), "/messages/0/role", "enum"),
        ("openai.chat", chat(messages=[{"role": "user"}]), "/messages/0/content", "required"),
        ("openai.chat", said(content=5), "/messages/0/content", "type"),
        ("openai.chat", said(content=None), "/messages/0/content", "type"),
        ("openai.chat", said(content=["hello"]), "/messages/0/content/0", "type"),
        ("openai.chat", said(content=[{"text": "x"}]), "/messages/0/content/0/type", "required"),
        ("openai.chat", said(content=[{"type": "txt"}]), "/messages/0/content/0/type", "enum"),
        ("openai.chat", said(content=[{"type": "text"}]), "/messages/0/content/0/text", "required"),
        (
            "openai.chat",
            said(content=[{"type": "text", "text": "x", "y": 1}]),
            "/messages/0/content/0/y",
            "additionalProperties",
        ),
        ("openai.chat", chat(top_k=1), "/top_k", "additionalProperties"),
        ("openai.chat", chat(tool_choice="sometimes"), "/tool_choice", "pattern"),
        ("openai.chat", chat(tool_choice={"type": "function"}), "/tool_choice/function", "required"),
        ("openai.chat", chat(store=True), "/store", "enum"),
        (
            "openai.chat",
            said(content=[{"type": "file", "file": {"file_id": "x"}}]),
            "/messages/0/content/0/file/file_id",
            "refused_field",
        ),
        ("openai.chat", chat(tools=[TOOL] * 129), "/tools", "maxItems"),
        ("openai.chat", chat(logit_bias={"a": 1}), "/logit_bias", "propertyNames"),
        ("openai.chat", chat(logit_bias={"1": 5}), "/logit_bias/1", "maximum"),
        ("openai.chat", chat(logit_bias={"1": -100, "2": 1}), "/logit_bias/1", "minimum"),
        ("openai.chat", chat(logit_bias=dict.fromkeys("12345", 1)), "/logit_bias", "maxProperties"),
        ("vllm.chat", chat(chat_template="{{x}}"), "/chat_template", "refused_field"),
        ("vllm.chat", chat(chat_template_kwargs={"x": 1}), "/chat_template_kwargs/x", "additionalProperties"),
        ("openai.responses", asked(input=[{"type": "nope"}]), "/input/0/type", "enum"),
        ("openai.responses", asked(input=[{"role": "user"}]), "/input/0/content", "required"),
        ("openai.responses", asked(tools=[{"type": "mcp"}]), "/tools/0/server_label", "required"),
        ("openai.completions", prompted(prompt=["a", 1]), "/prompt/1", "type"),
        ("openai.completions", prompted(prompt=[1, "a"]), "/prompt/1", "type"),
        ("openai.models", {}, "", "type"),
    ],
)
def test_the_first_violation_names_what_is_to_be_mended(preset: str, document: Any, where: str, rule: str) -> None:
    finding = inspect(preset, document)
    assert finding is not None
    assert (finding.where, finding.rule) == (where, rule)


# --- members


def test_the_sdk_knows_no_member_that_the_preset_does_not() -> None:
    """A member that the SDK brings with its next version fails here, and is then taken or refused with a reason."""
    known = {
        "openai.chat": chat_create_params.CompletionCreateParamsBase,
        "openai.responses": response_create_params.ResponseCreateParamsBase,
        "openai.completions": completion_create_params.CompletionCreateParamsBase,
        "openai.embeddings": embedding_create_params.EmbeddingCreateParams,
        "openai.images": image_generate_params.ImageGenerateParamsBase,
        "openai.audio.speech": speech_create_params.SpeechCreateParams,
    }
    for preset, params in known.items():
        form = PRESETS[preset].request
        assert form.schema is not None
        schema = form.schema({name: bound.default for name, bound in form.bounds.items()})
        assert params.__annotations__.keys() <= schema["properties"].keys(), preset


@pytest.mark.parametrize("preset", FORMS)
def test_what_is_refused_stands_in_the_schema(preset: str) -> None:
    form = PRESETS[preset].request
    assert form.schema is not None
    text = repr(form.schema({name: bound.default for name, bound in form.bounds.items()}))
    for name in form.refused:
        assert f"'{name.rpartition('.')[2]}'" in text, name


FILE = Upload("a", "audio/wav", b"RIFF")


def held(form: str, document: dict[str, Any], **bounds: int) -> bool:
    return inspect(f"openai.{form}", document, **bounds) is None


def test_in_forms_numbers_are_texts() -> None:
    edit: dict[str, Any] = {"image": FILE, "prompt": "a"}
    assert held("images.edits", edit | {"n": "3", "output_compression": "100", "size": "auto"}, n=3)
    for wrong in ({"n": 3}, {"n": "4"}, {"n": "03"}, {"size": "1x1"}, {"file": "x"}, {"mask": "x"}):
        assert not held("images.edits", edit | wrong, n=3)
    spoken: dict[str, Any] = {"file": FILE, "model": "m"}
    assert held("audio.transcriptions", spoken | {"temperature": "0.5", "stream": "true"})
    for name, value in (("temperature", "1.5"), ("temperature", 0.5), ("stream", "yes"), ("include[]", "logprobs")):
        assert not held("audio.transcriptions", spoken | {name: value})


def test_a_form_is_bounded() -> None:
    assert held("audio.translations", {"file": FILE, "model": "m"}, file_bytes=4)
    assert not held("audio.translations", {"file": FILE, "model": "m"}, file_bytes=3)
    assert not held("audio.translations", {"file": FILE, "model": "m", "prompt": "abc"}, chars=2)
    assert held("images.edits", {"image[]": [FILE] * 2, "prompt": "a"}, images=2)
    assert not held("images.edits", {"image[]": [FILE] * 3, "prompt": "a"}, images=2)


# --- passages


def passages(preset: str, document: Any) -> list[tuple[str, str, str]]:
    find = PRESETS[preset].request.passages
    assert find is not None
    return [(voice.value, where, text) for voice, where, text in find(document)]


def test_every_text_of_a_chat_has_its_speaker() -> None:
    document = {
        "model": "m",
        "tools": [{"type": "function", "function": {"name": "f", "description": "does it"}}],
        "prediction": {"type": "content", "content": "a guess"},
        "messages": [
            {"role": "system", "content": "be kind"},
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:,"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "AAAA"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "1", "content": "21"},
            {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
        ],
    }
    assert passages("openai.chat", document) == [
        (Voice.OPERATOR, "/messages/0/content", "be kind"),
        (Voice.USER, "/messages/1/content/0/text", "look"),
        (Voice.DOCUMENT, "/messages/1/content/2/file/filename", "a.pdf"),
        (Voice.USER, "/messages/1/name", "ann"),
        (Voice.MODEL, "/messages/2/tool_calls/0/function/name", "f"),
        (Voice.MODEL, "/messages/2/tool_calls/0/function/arguments", "{}"),
        (Voice.TOOL, "/messages/3/content", "21"),
        (Voice.OPERATOR, "/messages/4/content/0/text", "be brief"),
        (Voice.MODEL, "/prediction/content", "a guess"),
        (Voice.OPERATOR, "/tools/0/function/name", "f"),
        (Voice.OPERATOR, "/tools/0/function/description", "does it"),
    ]


def test_every_text_of_a_response_has_its_speaker() -> None:
    document = {
        "instructions": "be kind",
        "input": [
            {"role": "user", "content": [TEXT, {"type": "input_file", "filename": "b", "file_data": "A"}]},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "21"},
            {"type": "web_search_call", "id": "1", "action": {"type": "search", "query": "q"}},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]},
        ],
    }
    assert [(voice, text) for voice, _, text in passages("openai.responses", document)] == [
        (Voice.USER, "a"),
        (Voice.DOCUMENT, "b"),
        (Voice.MODEL, "f"),
        (Voice.MODEL, "{}"),
        (Voice.TOOL, "21"),
        (Voice.TOOL, "q"),
        (Voice.MODEL, "hm"),
        (Voice.MODEL, "yes"),
        (Voice.OPERATOR, "be kind"),
    ]
    assert passages("openai.responses", {"input": "hi"}) == [(Voice.USER, "/input", "hi")]


def test_prompts_are_the_users() -> None:
    assert passages("openai.completions", {"prompt": ["a", "b"], "suffix": "c"}) == [
        (Voice.USER, "/prompt/0", "a"),
        (Voice.USER, "/prompt/1", "b"),
        (Voice.USER, "/suffix", "c"),
    ]
    assert passages("openai.embeddings", {"input": [[1, 2]]}) == []


NAMES = "model messages role content type text input tools function prompt file image_url audio".split()
WORDS = "user assistant system tool text file image_url function message nonsense".split()
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=20,
)


@given(DOCUMENTS)
def test_no_document_makes_a_preset_fail(document: Any) -> None:
    for preset in FORMS:
        inspect(preset, document)
        find = PRESETS[preset].request.passages
        for passage in find(document) if find is not None else ():
            assert isinstance(passage.text, str)
