"""What no policy grants: the score of a token that the caller chooses, the measure of any two, and logits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.presets.batteries import compile_route, pass_through
from tests.presets.nearmiss import JSON_FIELDS

from vallum.core.decision import Allow, Deny
from vallum.presets import PRESETS

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
PROMPT = {"model": "m", "prompt": "hi"}
ASKED = {"model": "m", "input": "hi"}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"enum": ["a"]}}}
FLAT = {"format": {"type": "json_schema", "name": "s", "schema": {"enum": ["a"]}}}
TOOL = {"tools": [{"type": "function", "function": {"name": "f"}}]}
NAMED_TOOL = TOOL | {"tool_choice": {"type": "function", "function": {"name": "f"}}}
SCORES = {"logprobs": True, "top_logprobs": 5}
BAN, NUDGE = {"logit_bias": {"5": -100}}, {"logit_bias": {"5": 1}}


def judge(preset: str, body: dict[str, Any], **keys: Any) -> Any:
    groups = PRESETS[preset].answer.withheld
    granted = {"disclose": [name for name, group in groups.items() if not group.never]}
    engine = compile_route(preset, **({"response": granted} | keys))
    return pass_through(engine, JSON_FIELDS, json.dumps(body).encode()).decision


STEERED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("openai.chat", CHAT | SCORES, BAN),
    ("openai.chat", CHAT | SCORES, NUDGE),
    ("openai.chat", CHAT | {"top_logprobs": 0}, BAN),
    ("openai.chat", CHAT | SCORES, {"response_format": SCHEMA}),
    ("openai.chat", CHAT | SCORES, NAMED_TOOL),
    ("openai.chat", CHAT | SCORES, TOOL | {"tool_choice": "required"}),
    ("openai.chat", CHAT | NUDGE, {"response_format": SCHEMA}),
    ("openai.completions", PROMPT | {"logprobs": 0}, BAN),
    ("openai.responses", ASKED | {"top_logprobs": 2}, {"text": FLAT}),
    ("openai.responses", ASKED | {"include": ["message.output_text.logprobs"]}, {"text": FLAT}),
    *[
        ("vllm.chat", CHAT | SCORES, more)
        for more in (
            {"allowed_token_ids": [5]},
            {"bad_words": ["a"]},
            {"guided_choice": ["a"]},
            {"guided_regex": "a"},
            {"guided_grammar": "a"},
            {"guided_json": {"enum": ["a"]}},
            {"structured_outputs": {"choice": ["a"]}},
            {"min_tokens": 2},
            BAN,
        )
    ],
    ("vllm.chat", CHAT | {"prompt_logprobs": 1}, {"allowed_token_ids": [5]}),
    ("vllm.chat", CHAT | NUDGE, {"allowed_token_ids": [5, 6]}),
    ("vllm.completions", PROMPT | {"logprobs": 5}, {"allowed_token_ids": [5]}),
    ("vllm.completions", PROMPT | NUDGE, {"structured_outputs": {"choice": ["a", "b"]}}),
    ("ollama.chat", CHAT | SCORES, {"format": {"enum": ["a"]}}),
    ("ollama.generate", PROMPT | SCORES, {"format": {"enum": ["a"]}}),
    ("kserve.generate", {"text_input": "hi", "return_log_probs": True}, {"bad_words": "a"}),
    ("kserve.generate", {"text_input": "hi", "parameters": {"return_log_probs": True}}, {"bad_words": ["a"]}),
]


@pytest.mark.parametrize(("preset", "body", "more"), STEERED)
def test_whoever_chooses_the_token_gets_no_score_of_it_whatever_is_granted(
    preset: str, body: dict[str, Any], more: dict[str, Any]
) -> None:
    assert isinstance(judge(preset, body), Allow), "each for itself is taken"
    refusal = judge(preset, body | more)
    assert isinstance(refusal, Deny)
    assert refusal.control == "side_doors"


def test_what_chooses_no_token_stands_beside_scores() -> None:
    for more in ({"response_format": {"type": "json_object"}}, TOOL | {"tool_choice": "auto"}, {"stop": ["a"]}):
        assert isinstance(judge("openai.chat", CHAT | SCORES | more), Allow)
    assert isinstance(judge("openai.chat", CHAT | BAN | {"response_format": SCHEMA}), Allow)
    assert isinstance(judge("ollama.chat", CHAT | SCORES | {"format": "json"}), Allow)


def test_tgi_holds_no_answer_to_a_grammar_where_scores_leave() -> None:
    body = {"inputs": "hi", "parameters": {"grammar": {"type": "json", "value": {"enum": ["a"]}}}}
    assert isinstance(judge("tgi.generate_stream", body), Deny)
    assert isinstance(judge("tgi.generate_stream", body, response={}), Allow)


@pytest.mark.parametrize("preset", ["vllm.classify", "vllm.pooling", "vllm.rerank", "vllm.score", "vllm.embeddings"])
def test_scores_are_not_asked_for_without_their_activation(preset: str) -> None:
    sides: dict[str, dict[str, Any]] = {
        "vllm.rerank": {"query": "a", "documents": ["b"]},
        "vllm.score": {"text_1": "a", "text_2": "b"},
    }
    body: dict[str, Any] = {"model": "m"} | sides.get(preset, {"input": "a"})
    assert isinstance(judge(preset, body | {"use_activation": True}), Allow)
    assert isinstance(judge(preset, body | {"use_activation": False}), Deny)


def weight_of(preset: str, body: dict[str, Any], **keys: Any) -> int:
    groups = PRESETS[preset].answer.withheld
    granted = {"disclose": [name for name, group in groups.items() if not (group.never or group.against)]}
    return pass_through(
        compile_route(preset, **({"response": granted} | keys)), JSON_FIELDS, json.dumps(body).encode()
    ).weight


def test_what_is_granted_is_counted_by_the_answer() -> None:
    assert weight_of("openai.chat", CHAT | {"n": 3}) == 3
    assert weight_of("openai.chat", CHAT | NUDGE) == 10
    assert weight_of("openai.chat", CHAT | BAN) == 1
    assert weight_of("openai.completions", PROMPT | {"prompt": ["a", "b"], "best_of": 4, "n": 2, "echo": True}) == 80
    assert weight_of("vllm.chat", CHAT | {"prompt_logprobs": 1}) == 10
    assert weight_of("tgi.generate", {"inputs": "a", "parameters": {"best_of": 1}}) == 1


def test_what_is_refused_anyhow_costs_one() -> None:
    assert weight_of("openai.chat", CHAT | {"n": 3}, response={}) == 1
