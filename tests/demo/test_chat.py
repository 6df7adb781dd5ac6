"""The sample language model: what it promises of its tokens, and the OpenAI shapes around them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from vallum.demo.chat import MODEL, ChatModel, Token, count_tokens
from vallum.demo.chat_format import chunks, completion, refuse

PROMPTS = {
    "a question": "How do I design a good website?",
    "words it does not know": "Zxqv brmpf?",
    "empty": "",
    "another script": "これはテストです。",
    "a lone surrogate": "website \ud800",
    "very long": "Tell me about the server and the story. " * 5000,
}


@pytest.fixture(scope="module")
def model() -> ChatModel:
    return ChatModel()


def ask(content: object, **settings: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **settings}


def say(model: ChatModel, request: dict[str, Any]) -> list[Token]:
    return list(model.answer(request))


def joined(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("temperature", [0, 0.001, 0.7, 1, 2])
def test_the_same_seed_gives_the_same_answer(model: ChatModel, prompt: str, temperature: float) -> None:
    request = ask(prompt, seed=7, temperature=temperature, logprobs=True, top_logprobs=3)
    assert say(model, request) == say(model, request) == say(ChatModel(), request)


def test_seeds_give_different_answers(model: ChatModel) -> None:
    assert len({joined(say(model, ask("Tell me a story.", seed=seed))) for seed in range(10)}) > 5


def test_temperature_zero_needs_no_seed(model: ChatModel) -> None:
    assert say(model, ask("Tell me a story.", temperature=0)) == say(model, ask("Tell me a story.", temperature=0))


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("limit", [1, 2, 5, 13])
def test_no_more_tokens_than_asked_for(model: ChatModel, name: str, limit: int) -> None:
    request = ask("Tell me a story.", seed=1, **{name: limit})
    tokens = say(model, request)
    assert len(tokens) == limit
    assert completion(model, request, tokens, answer_id="a", created=0)["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("seed", range(20))
def test_an_answer_left_alone_is_three_sentences(model: ChatModel, seed: int) -> None:
    request = ask("How should I test a web application?", seed=seed)
    tokens = say(model, request)
    text = joined(tokens)
    assert text.count(".") == 3
    assert text.endswith(".")
    assert all(sentence.strip()[0].isupper() or sentence.strip()[0].isdigit() for sentence in text.split(".")[:3])
    assert "  " not in text
    assert " ." not in text
    assert completion(model, request, tokens, answer_id="a", created=0)["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("topic", ["website", "story", "server", "language", "data", "document"])
def test_the_answer_takes_up_a_word_of_the_prompt(model: ChatModel, topic: str) -> None:
    asked = [joined(say(model, ask(f"Tell me about the {topic}, please.", seed=seed))) for seed in range(40)]
    not_asked = [joined(say(model, ask("Tell me something, please.", seed=seed))) for seed in range(40)]
    assert sum(topic in answer.lower() for answer in asked) >= 30
    assert sum(topic in answer.lower() for answer in not_asked) <= 15


def test_the_last_question_counts_and_not_an_earlier_one(model: ChatModel) -> None:
    history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell me about the server."}]
    last = {"role": "user", "content": "And what about a story?"}
    alone = list(model.complete([last], max_tokens=50, temperature=1.0, seed=3, top_logprobs=0))
    after = list(model.complete([*history, last], max_tokens=50, temperature=1.0, seed=3, top_logprobs=0))
    assert after == alone


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_log_probabilities_are_those_of_a_distribution(model: ChatModel, prompt: str) -> None:
    for token in say(model, ask(prompt, seed=5, logprobs=True, top_logprobs=20)):
        assert math.isfinite(token.logprob)
        assert token.logprob <= 0
        assert len(token.top) == 20
        logprobs = [logprob for _, logprob in token.top]
        assert logprobs == sorted(logprobs, reverse=True)
        assert sum(map(math.exp, logprobs)) <= 1 + 1e-9
        assert token.logprob == dict(token.top).get(token.text, token.logprob)


def test_the_chances_of_all_words_sum_to_one(model: ChatModel) -> None:
    everything = range(len(model.words))
    for before, last in ((0, 0), (0, 1), (1, 50), (7, 1)):
        assert math.isclose(sum(model.chances(before, last, everything).values()), 1.0, abs_tol=1e-9)


@pytest.mark.parametrize("settings", [{}, {"logprobs": True, "top_logprobs": 2}, {"max_tokens": 4}], ids=str)
def test_a_stream_says_what_the_whole_answer_says(model: ChatModel, settings: dict[str, Any]) -> None:
    request = ask("How do I write a story?", seed=11, **settings)
    whole = completion(model, request, say(model, request), answer_id="chatcmpl-1", created=1_700_000_000)
    stream = list(chunks(model, request, model.answer(request), answer_id="chatcmpl-1", created=1_700_000_000))
    choices = [chunk["choices"][0] for chunk in stream]
    assert choices[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    text = "".join(choice["delta"].get("content", "") for choice in choices)
    assert text == whole["choices"][0]["message"]["content"]
    assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
    assert choices[-1]["delta"] == {}
    assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]
    logprobs = [entry for choice in choices if choice["logprobs"] for entry in choice["logprobs"]["content"]]
    assert logprobs == (whole["choices"][0]["logprobs"] or {"content": []})["content"]
    assert all("usage" not in chunk for chunk in stream)


def test_usage_adds_up_and_comes_last_in_a_stream_that_asks_for_it(model: ChatModel) -> None:
    request = ask("Tell me a story.", seed=2, stream=True, stream_options={"include_usage": True})
    tokens = say(model, request)
    usage = completion(model, request, tokens, answer_id="a", created=0)["usage"]
    assert usage == {"prompt_tokens": 5, "completion_tokens": len(tokens), "total_tokens": 5 + len(tokens)}
    *others, last = chunks(model, request, tokens, answer_id="a", created=0)
    assert last["usage"] == usage
    assert last["choices"] == []
    assert all(chunk["usage"] is None for chunk in others)


def test_every_message_and_part_of_one_is_counted() -> None:
    parts = [{"type": "text", "text": "Two words"}, {"type": "text", "text": "and more."}]
    assert count_tokens([{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]) == 8


def test_a_stream_is_made_as_it_is_read(model: ChatModel) -> None:
    taken = []

    def tokens() -> Any:
        for number in range(3):
            taken.append(number)
            yield Token("a", -1.0, [])

    stream = chunks(model, ask("Hello"), tokens(), answer_id="a", created=0)
    next(stream)
    assert taken == []
    next(stream)
    assert taken == [0]


def test_the_shapes_are_those_of_the_openai_library(model: ChatModel) -> None:
    request = ask("Tell me a story.", seed=2, logprobs=True, top_logprobs=5, stream_options={"include_usage": True})
    tokens = say(model, request)
    whole = completion(model, request, tokens, answer_id="chatcmpl-1", created=1_700_000_000)
    assert ChatCompletion.model_validate(whole, strict=True).model_dump(exclude_unset=True) == whole
    assert list(whole) == [
        "id",
        "object",
        "created",
        "model",
        "system_fingerprint",
        "service_tier",
        "choices",
        "usage",
    ]
    for chunk in chunks(model, request, tokens, answer_id="chatcmpl-1", created=1_700_000_000):
        assert ChatCompletionChunk.model_validate(chunk, strict=True).model_dump(exclude_unset=True) == chunk
        assert json.loads(json.dumps(chunk)) == chunk


@pytest.mark.parametrize(
    "request_",
    [
        ask("Hello"),
        ask([{"type": "text", "text": "Hello"}]),
        ask("Hello", temperature=2, seed=-1, n=1, stream=False, max_tokens=None, user="someone"),
        ask("Hello", logprobs=True, top_logprobs=20),
        {"model": "any", "messages": [{"role": "assistant", "content": None, "tool_calls": []}]},
    ],
    ids=str,
)
def test_a_fit_request_is_answered(model: ChatModel, request_: dict[str, Any]) -> None:
    assert refuse(request_) is None
    assert say(model, request_)


BAD_REQUESTS: dict[str, tuple[object, str | None]] = {
    "no object": ([], None),
    "no model": ({"messages": [{"role": "user", "content": "Hello"}]}, "model"),
    "no messages": ({"model": MODEL}, "messages"),
    "null messages": ({"model": MODEL, "messages": None}, "messages"),
    "no message": ({"model": MODEL, "messages": []}, "messages"),
    "messages of text": ({"model": MODEL, "messages": "Hello"}, "messages"),
    "a message of text": ({"model": MODEL, "messages": ["Hello"]}, "messages"),
    "a message without a role": ({"model": MODEL, "messages": [{"content": "Hello"}]}, "messages"),
    "a role that is a list": ({"model": MODEL, "messages": [{"role": [], "content": "Hello"}]}, "messages"),
    "a message without content": ({"model": MODEL, "messages": [{"role": "user"}]}, "messages"),
    "an image": (ask([{"type": "image_url", "image_url": {"url": "data:"}}]), "messages"),
    "a model that is a number": (ask("Hello") | {"model": 1}, "model"),
    "no tokens": (ask("Hello", max_tokens=0), "max_tokens"),
    "tokens as true": (ask("Hello", max_tokens=True), "max_tokens"),
    "half a token": (ask("Hello", max_completion_tokens=1.5), "max_completion_tokens"),
    "too hot": (ask("Hello", temperature=2.1), "temperature"),
    "no number": (ask("Hello", temperature=math.nan), "temperature"),
    "a seed of text": (ask("Hello", seed="7"), "seed"),
    "two choices": (ask("Hello", n=2), "n"),
    "too many logprobs": (ask("Hello", logprobs=True, top_logprobs=21), "top_logprobs"),
    "top logprobs alone": (ask("Hello", top_logprobs=3), "top_logprobs"),
    "a stream of text": (ask("Hello", stream="yes"), "stream"),
}


@pytest.mark.parametrize(("request_", "param"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_request_that_breaks_a_rule_is_refused_by_name(request_: object, param: str | None) -> None:
    refusal = refuse(request_)
    assert refusal is not None
    assert refusal.status == 400
    assert list(refusal.body) == ["error"]
    assert list(refusal.body["error"]) == ["message", "type", "param", "code"]
    assert refusal.body["error"]["type"] == "invalid_request_error"
    assert refusal.body["error"]["param"] == param
