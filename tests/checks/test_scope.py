"""What is said to a model is no attack on a database or a browser, and nothing else passes for it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from tests.presets.batteries import compile_route, pass_through

from vallum.checks.sqli import Sqli, SqliConfig
from vallum.checks.xss import Xss, XssConfig
from vallum.core.content import Content
from vallum.core.decision import Allow, Deny
from vallum.core.engine import Engine
from vallum.presets import PRESETS

SQL = "x' OR 1=1 --"
HTML = "<script>alert(1)</script>"
CHECKS: dict[str, Any] = {SQL: Sqli(SqliConfig()), HTML: Xss(XssConfig())}
SEARCHING: dict[str, Any] = {SQL: Sqli(SqliConfig(prompts="search")), HTML: Xss(XssConfig(prompts="search"))}
PASSAGES = PRESETS["openai.chat"].request.passages
PAIRS = list(CHECKS.items())


def chat(content: Any = "Hello.", **members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **members}


@pytest.mark.parametrize(("text", "check"), PAIRS)
@pytest.mark.parametrize(
    "document",
    [
        chat,
        lambda text: chat([{"type": "text", "text": text}]),
        lambda text: chat(f"How does {text} work?"),
        lambda text: {"messages": [{"role": "system", "content": text}, {"role": "assistant", "content": text}]},
    ],
)
def test_what_is_said_to_the_model_passes(text: str, check: Any, document: Any) -> None:
    assert check.inspect(Content(document(text), passages=PASSAGES)) is None
    assert SEARCHING[text].inspect(Content(document(text), passages=PASSAGES)) is not None


ELSEWHERE: dict[str, Any] = {
    "beside the messages": lambda text: chat(user=text),
    "in a list where a string is due": lambda text: chat(user=[text]),
    "in an object where a string is due": lambda text: chat(user={"content": text}),
    "in metadata": lambda text: chat(metadata={"note": text}),
    "in messages within metadata": lambda text: chat(metadata={"messages": [{"role": "user", "content": text}]}),
    "in Messages": lambda text: chat(Messages=[{"role": "user", "content": text}]),
    "in messages and a blank": lambda text: chat(**{"messages ": [{"role": "user", "content": text}]}),
    "in MESSAGES without messages": lambda text: {"model": "m", "MESSAGES": [{"role": "user", "content": text}]},
    "in messages that are a string": lambda text: {"model": "m", "messages": text},
    "in messages within a list": lambda text: [{"messages": [{"role": "user", "content": text}]}],
    "the same in a prompt and elsewhere": lambda text: chat(text, user=text),
    "the same in two prompts and elsewhere": lambda text: chat([{"text": text}, {"text": text}], user=text),
    "in the name of the model": lambda text: chat(model=text),
    "in a key": lambda text: chat(metadata={text: "1"}),
    "in a key that looks like a place": lambda text: chat(text, **{"messages/0/content": text}),
}


@pytest.mark.parametrize(("text", "check"), PAIRS)
@pytest.mark.parametrize("document", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_what_is_said_elsewhere_is_found(text: str, check: Any, document: Any) -> None:
    finding = check.inspect(Content(document(text), passages=PASSAGES))
    assert finding is not None
    assert not finding.where.startswith("/messages/0/content")


@pytest.mark.parametrize(("text", "check"), PAIRS)
def test_the_same_in_the_prompt_and_in_the_query_is_found(text: str, check: Any) -> None:
    finding = check.inspect(Content(chat(text), [("q", text)], passages=PASSAGES))
    assert finding is not None
    assert finding.where == "query.q"


@pytest.mark.parametrize(("text", "check"), PAIRS)
def test_a_format_that_does_not_say_who_speaks_has_no_prompts(text: str, check: Any) -> None:
    assert check.inspect(Content(chat(text))) is not None


@cache
def engine() -> Engine:
    checks = [{"type": "sqli"}, {"type": "xss"}]
    return Engine(compile_route("openai.chat", checks=checks, request={"query": "any"}).policy)


def ask(body: bytes, media_type: str = "application/json", query: str = "") -> Any:
    fields = (("content-type", media_type), ("content-length", str(len(body))))
    return pass_through(engine(), fields, body, "POST", query).decision


@pytest.mark.parametrize("text", [SQL, HTML])
def test_a_chat_about_attacks_passes_the_route(text: str) -> None:
    assert isinstance(ask(json.dumps(chat(f"Explain {text} to me")).encode()), Allow)


@pytest.mark.parametrize("text", [SQL, HTML])
@pytest.mark.parametrize(
    "body",
    [
        '{"model": "m", "messages": [{"role": "user", "content": "a"}], "user": "TEXT"}',
        '{"model": "m", "messages": [{"role": "user", "content": "a"}], "user": "TEXT", "user": "b"}',
        '{"model": "m", "messages": [{"role": "user", "content": "a"}], "messages": "TEXT"}',
        '{"model": "m", "messages": [{"role": "user", "content": "a", "content": "TEXT"}]}',
        '{"model": "m", "messages": [{"role": "user", "content": "a"}], "Messages": [{"content": "TEXT"}]}',
        '{"model": "m", "messages": [{"role": "user", "content": [["TEXT"]]}]}',
        '{"model": "m", "messages": [{"role": "user", "content": "a", "else": "TEXT"}]}',
        '{"model": "m", "messages": {"role": "user", "content": "TEXT"}}',
        '{"model": "m", "messages": [{"role": "user", "content": "a"}], "metadata": {"a": "TEXT"}}',
        '{"model": "m", "messages": [{"role": "user", "content": "a"}], "metadata": {"messages": ["TEXT"]}}',
    ],
)
def test_no_shape_of_a_body_brings_an_attack_past_the_route(text: str, body: str) -> None:
    assert isinstance(ask(body.replace("TEXT", json.dumps(text)[1:-1]).encode()), Deny)


@pytest.mark.parametrize("text", [SQL, HTML])
@pytest.mark.parametrize(
    "media_type",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/xml",
        "text/json",
    ],
)
def test_no_other_content_type_brings_an_attack_past_the_route(text: str, media_type: str) -> None:
    assert isinstance(ask(json.dumps(chat(user=text)).encode(), media_type), Deny)
    assert isinstance(ask(f"messages={text}&user={text}".encode(), media_type), Deny)


@pytest.mark.parametrize("query", ["q=x%27%20OR%201%3D1%20--", "q=%3Cscript%3Ealert(1)%3C/script%3E"])
def test_an_attack_in_the_query_does_not_pass_the_route(query: str) -> None:
    assert isinstance(ask(json.dumps(chat()).encode(), query=query), Deny)
