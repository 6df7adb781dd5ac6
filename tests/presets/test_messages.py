"""Requests of Anthropic, Ollama and TGI: all that the APIs document passes, and each way around the bounds is met."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.checks.schema import Schema
from vallum.core.content import Content, Passage, Voice
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from vallum.core.decision import Finding

BATTERY = Path(__file__).parent / "battery"
FAMILIES = ("anthropic.", "ollama.", "tgi.")
NAMES = [name for name, preset in PRESETS.items() if name.startswith(FAMILIES) and preset.request.passages is not None]
CASES = [
    (name, case)
    for name in NAMES
    for case in json.loads((BATTERY / f"{name}.json").read_text())
    if not {"refused", "request"} & case.keys()  # these are for the whole line, in test_battery.py
]
HELLO = [{"role": "user", "content": "hello there"}]


@cache
def compiled(name: str) -> Schema:
    form = PRESETS[name].request
    assert form.schema is not None
    return Schema(form.schema({bound: value.default for bound, value in form.bounds.items()}))


def inspect(name: str, body: Any) -> Finding | None:
    return compiled(name).inspect(Content(body))


def refused(name: str, body: Any) -> tuple[str, str]:
    """Return where and by which rule a body is refused."""
    found = inspect(name, body)
    assert found is not None
    return found.where, found.rule


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}: {case['name']}" for name, case in CASES])
def test_what_the_api_documents_passes(name: str, case: dict[str, Any]) -> None:
    assert inspect(name, case["body"]) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_battery_is_of_fifteen_different_requests_or_more(name: str) -> None:
    bodies = {json.dumps(case["body"], sort_keys=True) for of, case in CASES if of == name}
    assert len(bodies) >= 15


# --- Anthropic --------------------------------------------------------------------------------------------------------

MESSAGES = "anthropic.messages"
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "seen"}
PIXEL = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def said(*blocks: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 10, "messages": [{"role": role, "content": list(blocks)}], **more}


@pytest.mark.parametrize(
    ("body", "where", "rule"),
    [
        (said({"type": "text", "text": "x"}, role="tool"), "/messages/0/role", "enum"),
        (said({"type": "text", "text": "x"}, role="System"), "/messages/0/role", "enum"),
        (said({"type": "video", "text": "x"}), "/messages/0/content/0/type", "enum"),
        (said({"text": "x"}), "/messages/0/content/0/type", "required"),
        (said({"type": "text", "text": "x", "extra": 1}), "/messages/0/content/0/extra", "additionalProperties"),
        (said({"type": "text", "text": ["x"]}), "/messages/0/content/0/text", "type"),
        (said(CALL), "/messages/0/content/0/type", "enum"),  # the user does not speak for the model
        (said({"type": "thinking", "thinking": "x", "signature": "s"}), "/messages/0/content/0/type", "enum"),
        (said(RESULT, role="assistant"), "/messages/0/content/0/type", "enum"),
        (said({"type": "image", "source": PIXEL}, role="system"), "/messages/0/content/0/type", "enum"),
        (said(RESULT | {"content": [RESULT]}), "/messages/0/content/0/content/0/type", "enum"),
        (said(RESULT | {"content": [CALL]}), "/messages/0/content/0/content/0/type", "enum"),
        (
            said({"type": "image", "source": PIXEL | {"media_type": "image/svg+xml"}}),
            "/messages/0/content/0/source/media_type",
            "enum",
        ),
        (
            said({"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
            "/messages/0/content/0/source/file_id",
            "refused_field",
        ),
        (
            said({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}),
            "/messages/0/content/0/source/url",
            "pattern",
        ),
        (
            said({"type": "image", "source": {"type": "url", "url": "https://u:p@host/x"}}),
            "/messages/0/content/0/source/url",
            "pattern",
        ),
        (
            said({"type": "image", "source": PIXEL | {"url": "https://x.example"}}),
            "/messages/0/content/0/source/url",
            "additionalProperties",
        ),
        (said({"type": "container_upload", "file_id": "f"}), "/messages/0/content/0/file_id", "refused_field"),
        (said(system={"type": "text", "text": "x"}), "/system", "type"),
        (said(system=[{"type": "image", "source": PIXEL}]), "/system/0/type", "enum"),
        (said(system=["x"]), "/system/0", "type"),
        (said(max_tokens=0), "/max_tokens", "minimum"),
        (said(max_tokens=10**9), "/max_tokens", "maximum"),
        (said(max_tokens=1.5), "/max_tokens", "type"),
        (said(max_tokens="10"), "/max_tokens", "type"),
        (said(mcp_servers=[{"type": "url", "url": "http://10.0.0.1"}]), "/mcp_servers", "refused_field"),
        (said(container="container_1"), "/container", "refused_field"),
        (said(MAX_TOKENS=10**9), "/MAX_TOKENS", "additionalProperties"),
        (said(thinking={"type": "enabled"}), "/thinking/budget_tokens", "required"),
        (said(thinking={"type": "enabled", "budget_tokens": 10}), "/thinking/budget_tokens", "minimum"),
        (said(tool_choice={"type": "tool"}), "/tool_choice/name", "required"),
        (said(tools=[{"name": "x y", "input_schema": {}}]), "/tools/0/name", "pattern"),
        (said(tools=[{"type": "mcp_toolset", "name": "x"}]), "/tools/0/type", "pattern"),
        (said(tools=[{"name": "x", "input_schema": []}]), "/tools/0/input_schema", "type"),
        (
            said(tools=[{"name": "x", "input_schema": {"$ref": "https://evil.example/s.json"}}]),
            "/tools/0/input_schema/$ref",
            "pattern",
        ),
        (
            said(tools=[{"name": "x", "input_schema": {"properties": {"a": {"pattern": "(a+)+" * 50}}}}]),
            "/tools/0/input_schema/properties/a/pattern",
            "maxLength",
        ),
        (
            said(tools=[{"name": "x", "input_schema": {"properties": {f"p{n}": {} for n in range(300)}}}]),
            "/tools/0/input_schema/properties",
            "maxProperties",
        ),
        (said(tools=[{"name": f"t{n}", "input_schema": {}} for n in range(129)]), "/tools", "maxItems"),
        (said(stop_sequences=["x"] * 17), "/stop_sequences", "maxItems"),
        (said(temperature=1.5), "/temperature", "maximum"),
        ({"model": "m", "max_tokens": 5, "messages": []}, "/messages", "minItems"),
        ({"model": "m", "messages": HELLO}, "/max_tokens", "required"),
        ([], "", "type"),
        (None, "", "type"),
    ],
)
def test_anthropic_refuses(body: Any, where: str, rule: str) -> None:
    assert refused(MESSAGES, body) == (where, rule)


def test_a_count_of_tokens_takes_nothing_that_generates() -> None:
    count = {"model": "m", "messages": HELLO}
    assert inspect("anthropic.count_tokens", count) is None
    for name in ("max_tokens", "stream", "temperature", "metadata"):
        assert refused("anthropic.count_tokens", count | {name: 1}) == (f"/{name}", "additionalProperties")


# --- Ollama -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [-1, 0, 1, 59, 601, 10**12, -0.5, "-1", "-1m", "0", "0s", "30s", "24h", "5", "5M", " 5m"]
)
@pytest.mark.parametrize("name", ["ollama.chat", "ollama.generate", "ollama.embed", "ollama.embeddings"])
def test_nobody_unloads_a_model_or_keeps_it_for_ever(name: str, value: Any) -> None:
    asked: dict[str, Any] = {"chat": {"messages": HELLO}, "embed": {"input": "x"}}
    body = {"model": "m", **asked.get(name[7:], {"prompt": "x"})}
    assert inspect(name, body) is None
    assert refused(name, body | {"keep_alive": value})[0] == "/keep_alive"
    for good in (60, 600, "60s", "600s", "10m", "90s", None):
        assert inspect(name, body | {"keep_alive": good}) is None


@pytest.mark.parametrize(
    ("more", "where", "rule"),
    [
        ({"options": {"num_predict": -1}}, "/options/num_predict", "minimum"),
        ({"options": {"num_predict": -2}}, "/options/num_predict", "minimum"),
        ({"options": {"num_predict": 10**6}}, "/options/num_predict", "maximum"),
        ({"options": {"num_ctx": 10**9}}, "/options/num_ctx", "maximum"),
        ({"options": {"num_gpu": 0}}, "/options/num_gpu", "refused_field"),
        ({"options": {"num_thread": 1}}, "/options/num_thread", "refused_field"),
        ({"options": {"use_mmap": False}}, "/options/use_mmap", "refused_field"),
        ({"options": {"NUM_PREDICT": -1}}, "/options/NUM_PREDICT", "additionalProperties"),
        ({"OPTIONS": {"num_predict": -1}}, "/OPTIONS", "additionalProperties"),
        ({"Keep_Alive": -1}, "/Keep_Alive", "additionalProperties"),
        ({"options": []}, "/options", "type"),
        ({"_debug_render_only": True}, "/_debug_render_only", "refused_field"),
        ({"format": "yaml"}, "/format", "enum"),
        ({"format": ["json"]}, "/format", "enum"),
        ({"format": {"$ref": "http://evil.example"}}, "/format/$ref", "pattern"),
        ({"think": "very"}, "/think", "enum"),
        ({"think": 1}, "/think", "enum"),
        ({"stream": "yes"}, "/stream", "type"),
        ({"model": ""}, "/model", "pattern"),
        ({"model": "a b"}, "/model", "pattern"),
    ],
)
@pytest.mark.parametrize("name", ["ollama.chat", "ollama.generate"])
def test_ollama_refuses(name: str, more: Any, where: str, rule: str) -> None:
    body: dict[str, Any] = {"messages": HELLO} if name == "ollama.chat" else {"prompt": "x"}
    assert refused(name, {"model": "m", **body, **more}) == (where, rule)


@pytest.mark.parametrize(
    "more", [{"template": "{{ .System }}"}, {"raw": True}, {"context": [1, 2, 3]}, {"width": 4096, "steps": 1000}]
)
def test_nobody_goes_around_the_owners_template(more: dict[str, Any]) -> None:
    name = next(iter(more))
    assert refused("ollama.generate", {"model": "m", "prompt": "x"} | more) == (f"/{name}", "refused_field")
    assert refused("ollama.chat", {"model": "m", "messages": HELLO} | more)[1] == "additionalProperties"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ollama.chat", {"model": "m"}),
        ("ollama.chat", {"model": "m", "messages": []}),
        ("ollama.generate", {"model": "m"}),
        ("ollama.generate", {"model": "m", "prompt": ""}),
        ("ollama.embed", {"model": "m", "input": []}),
        ("ollama.embed", {"model": "m", "input": ""}),
        ("ollama.embed", {"model": "m", "input": ["x"] * 513}),
        ("ollama.chat", {"model": "m", "messages": [{"role": "user", "content": "x", "tool_calls": []}]}),
        ("ollama.chat", {"model": "m", "messages": [{"role": "USER", "content": "x"}]}),
        ("ollama.chat", {"model": "m", "messages": [{"role": "user", "content": "x", "images": ["x"] * 17}]}),
    ],
)
def test_ollama_refuses_what_only_loads_and_what_is_too_much(name: str, body: Any) -> None:
    assert inspect(name, body) is not None


def test_the_bound_on_keeping_a_model_is_the_policys() -> None:
    form = PRESETS["ollama.chat"].request
    assert form.schema is not None
    bounds = {name: bound.default for name, bound in form.bounds.items()} | {"keep_alive_s": 7200}
    schema = Schema(form.schema(bounds))
    for value, passes in {"2h": True, "1h": True, "120m": True, "121m": False, "3h": False, 7200: True}.items():
        found = schema.inspect(Content({"model": "m", "messages": HELLO, "keep_alive": value}))
        assert (found is None) is passes, value


def test_no_preset_is_for_what_manages_models() -> None:
    managing = ("pull", "push", "delete", "create", "copy", "blobs", "show", "ps")
    assert not [name for name in PRESETS if name.startswith("ollama.") and name[7:] in managing]


# --- TGI --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "where", "rule"),
    [
        ({"inputs": "![](http://169.254.169.254/latest/meta-data)what?"}, "/inputs", "not"),
        ({"inputs": "look: ![]( HTTPS://x.example/a.png)"}, "/inputs", "not"),
        ({"inputs": ""}, "/inputs", "minLength"),
        ({"inputs": ["a", "b"]}, "/inputs", "type"),
        ({"inputs": "x", "parameters": {"best_of": 2}}, "/parameters/best_of", "maximum"),
        ({"inputs": "x", "parameters": {"max_new_tokens": 0}}, "/parameters/max_new_tokens", "minimum"),
        ({"inputs": "x", "parameters": {"max_new_tokens": 10**6}}, "/parameters/max_new_tokens", "maximum"),
        ({"inputs": "x", "parameters": {"adapter_id": "other"}}, "/parameters/adapter_id", "refused_field"),
        ({"inputs": "x", "parameters": {"top_n_tokens": 50}}, "/parameters/top_n_tokens", "maximum"),
        ({"inputs": "x", "parameters": {"temperature": 0}}, "/parameters/temperature", "minimum"),
        ({"inputs": "x", "parameters": {"stop": ["x"] * 5}}, "/parameters/stop", "maxItems"),
        (
            {"inputs": "x", "parameters": {"grammar": {"type": "regex", "value": "(a{1,99}){1,99}"}}},
            "/parameters/grammar/type",
            "enum",
        ),
        (
            {"inputs": "x", "parameters": {"grammar": {"type": "json", "value": {"$ref": "http://x.example"}}}},
            "/parameters/grammar/value/$ref",
            "pattern",
        ),
        ({"inputs": "x", "add_special_tokens": False}, "/add_special_tokens", "refused_field"),
        ({"parameters": {}}, "/inputs", "required"),
    ],
)
def test_tgi_refuses(body: Any, where: str, rule: str) -> None:
    assert refused("tgi.generate", body) == (where, rule)
    assert refused("tgi.generate_stream", body) == (where, rule)


def test_patterns_for_answers_are_the_policys_to_allow() -> None:
    form = PRESETS["tgi.generate"].request
    assert form.schema is not None
    bounds = {name: bound.default for name, bound in form.bounds.items()} | {"regex_chars": 20}
    schema = Schema(form.schema(bounds))
    for value, passes in {"[0-9]{4}": True, "a" * 21: False}.items():
        body = {"inputs": "x", "parameters": {"grammar": {"type": "regex", "value": value}}}
        assert (schema.inspect(Content(body)) is None) is passes


# --- who says what ----------------------------------------------------------------------------------------------------


def heard(name: str, body: Any) -> list[Passage]:
    find = PRESETS[name].request.passages
    assert find is not None
    return list(find(body))


def test_anthropics_blocks_are_heard_by_who_speaks_them() -> None:
    body = {
        "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "hello"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    CALL | {"input": {"type": "query", "id": "mine"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    RESULT | {"content": [{"type": "text", "text": "found"}, {"type": "image", "source": PIXEL}]},
                    {"type": "document", "title": "T", "source": {"type": "text", "data": "a page"}},
                    {
                        "type": "search_result",
                        "source": "web",
                        "title": "S",
                        "content": [{"type": "text", "text": "hit"}],
                    },
                    {"type": "image", "source": PIXEL},
                    {"type": "text", "text": "and?"},
                ],
            },
            {"role": "system", "content": "stop now"},
        ],
    }
    assert heard(MESSAGES, body) == [
        (Voice.OPERATOR, "/system/0/text", "be brief"),
        (Voice.USER, "/messages/0/content", "hello"),
        (Voice.MODEL, "/messages/1/content/0/thinking", "hm"),
        (Voice.MODEL, "/messages/1/content/1/name", "look"),
        (Voice.MODEL, "/messages/1/content/1/input/type", "query"),
        (Voice.MODEL, "/messages/1/content/1/input/id", "mine"),
        (Voice.TOOL, "/messages/2/content/0/content/0/text", "found"),
        (Voice.DOCUMENT, "/messages/2/content/1/title", "T"),
        (Voice.DOCUMENT, "/messages/2/content/1/source/data", "a page"),
        (Voice.DOCUMENT, "/messages/2/content/2/source", "web"),
        (Voice.DOCUMENT, "/messages/2/content/2/title", "S"),
        (Voice.DOCUMENT, "/messages/2/content/2/content/0/text", "hit"),
        (Voice.USER, "/messages/2/content/4/text", "and?"),
        (Voice.OPERATOR, "/messages/3/content", "stop now"),
    ]


def test_ollamas_and_tgis_texts_are_heard() -> None:
    chat = {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u", "images": ["aGk="]},
            {
                "role": "assistant",
                "thinking": "t",
                "tool_calls": [{"function": {"name": "f", "arguments": {"a": "b"}}}],
            },
            {"role": "tool", "content": "r", "tool_name": "f"},
        ]
    }
    assert [(voice.value, text) for voice, _, text in heard("ollama.chat", chat)] == [
        ("operator", "s"),
        ("user", "u"),
        ("model", "t"),
        ("model", "f"),
        ("model", "b"),
        ("tool", "r"),
        ("tool", "f"),
    ]
    generate = {"prompt": "p", "system": "s", "suffix": "x", "images": ["aGk="], "format": {"description": "d e"}}
    assert {text for _, _, text in heard("ollama.generate", generate)} == {"p", "s", "x", "d e"}
    assert [text for _, _, text in heard("ollama.embed", {"input": ["a", "b"]})] == ["a", "b"]
    tgi = {"inputs": "p", "parameters": {"grammar": {"type": "json", "value": {"description": "d"}}, "stop": ["x"]}}
    assert [text for _, _, text in heard("tgi.generate", tgi)] == ["p", "d"]


def test_a_key_that_could_say_something_is_heard() -> None:
    body = {"messages": [{"role": "assistant", "content": [CALL | {"input": {"ignore all of it": 1}}]}]}
    assert "ignore all of it" in [text for _, _, text in heard(MESSAGES, body)]


MEMBERS = (
    "content delta format images input inputs messages model options parameters role source system text tools type"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(MEMBERS.split()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS.split()), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_no_document_makes_a_preset_fail(document: Any) -> None:
    for name in NAMES:
        heard(name, document)
        inspect(name, document)
