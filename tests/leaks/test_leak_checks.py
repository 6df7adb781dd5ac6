"""Leak checks: what each finds, what it lets pass, and that no way to cut a text hides a leak from it."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.codecs.json import AnswerJson
from vallum.core.apikey import ALPHABET, compose_key
from vallum.core.content import Content, Passage, Voice
from vallum.core.exchange import Exchange, Headers, Request, ResponseHead
from vallum.core.leaks import REACH, REPLACEMENT, Screen
from vallum.core.policy import LeakAction, Mode, Outlet, Policy, Sentry
from vallum.core.relay import Relay, Text, Whole
from vallum.core.stream import Events, Lines
from vallum.leaks.canaries import Canaries, CanariesConfig
from vallum.leaks.keys import Keys, is_githubs
from vallum.leaks.personal import Personal, PersonalConfig
from vallum.leaks.prompt import PromptConfig, PromptWords
from vallum.leaks.redaction import Redactor
from vallum.leaks.spans import SpanSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.decision import Deny


def github(prefix: str = "ghp_") -> str:
    body = "Ab3" * 10
    number, digits = crc32(body.encode()), ""
    while number:
        number, rest = divmod(number, 62)
        digits = ALPHABET[rest] + digits
    return prefix + body + digits.rjust(6, "0")


def segment(document: Any) -> str:
    return urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(["MIIEpAIBAAKCAQEA7bq" * 3] * 20)
PEM += "\n-----END RSA PRIVATE KEY-----"
SECRETS = {
    "vallum": compose_key(bytes(range(32))),
    "github": github(),
    "openai": "sk-proj-a1B2c3D4e5F6g7H8i9J0k1L2",
    "anthropic": "sk-ant-api03-a1B2c3D4e5F6g7H8i9J0k1L2",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "google": "AIzaSyA1B2C3D4E5F6G7H8I9J0K1L2M3N4O5P6Q",
    "slack": "xoxb-123456789012-abcdefABCDEF",
    "stripe": "sk_live_51H8abcdefghijklmnop",
    "huggingface": "hf_" + "aB3" * 11 + "x",
    "jwt": f"{segment({'alg': 'RS256'})}.{segment({'sub': 'x'})}.c2lnbmF0dXJl",
    "pem": PEM,
}
MARKER = "kestrel-plum-9041"
PROMPT = (
    "You are the assistant of Acme. Never reveal the discount table of the spring sale to anybody, and answer in rhyme."
)
HONEST = [
    "The result is 42, see https://example.com/a/b?c=d and sk-learn, task-oriented or risk-averse designs.",
    "Call +1 now; order 1234 5678 9012 3456, version 1.2.3.4, DE89 3704 0044 0532 0130 01.",
    "ghp_" + "x" * 36 + " is no token, nor is AKIA, nor eyJhbGciOi.abcdef.ghijkl",
    "The discount table of the spring sale is secret.",
    "-----BEGIN CERTIFICATE-----",
]


def exchange(content: Content | None = None) -> Exchange:
    request = Request("req-1", "POST", "/", "", Headers(), "192.0.2.1", 0.0)
    x = Exchange(Policy((), {}), request)
    x.content = content
    return x


def operators(document: Any) -> list[Passage]:
    return [Passage(Voice.OPERATOR, "/0", PROMPT), Passage(Voice.USER, "/1", "hi there my friend")]


def sentries(action: LeakAction = LeakAction.REDACT, mode: Mode = Mode.ENFORCE) -> tuple[Sentry, ...]:
    checks = (
        Keys(),
        Canaries(CanariesConfig(strings=[MARKER])),
        PromptWords(PromptConfig(words=8)),
        Personal(PersonalConfig(kinds=["emails", "ibans", "cards", "phones"])),
    )
    return tuple(Sentry(check, action, mode) for check in checks)


ALL = sentries()


def screen_of(
    leaks: tuple[Sentry, ...] = ALL, *, enforce: bool = True, errors: bool = True
) -> tuple[Exchange, Screen, Outlet]:
    x = exchange(Content({}, passages=operators))
    outlet = Outlet(AnswerJson(), leaks=leaks, errors_inside=errors)
    return x, Screen(x, outlet, ResponseHead(200, Headers()), enforce), outlet


def chunk(text: str, index: int = 0, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def events_of(documents: list[Any], end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents) + end


def stream(
    pieces: list[bytes], screen: Screen, outlet: Outlet, make: Callable[..., Relay] = Events, *, enforce: bool = True
) -> bytes | Deny:
    relay = make(outlet, set(), enforce, None, screen)
    out = b""
    for piece in pieces:
        passed = relay.chunk(piece)
        if not isinstance(passed, bytes):
            return passed
        out += passed
    rest = relay.end()
    return out + rest if isinstance(rest, bytes) else rest


def said(out: bytes | Deny, index: int = 0) -> str:
    assert isinstance(out, bytes), out
    text = ""
    for line in out.decode().split("\n"):
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                text += choice["delta"].get("content", "") if choice["index"] == index else ""
    return text


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_found_by_name(name: str) -> None:
    secret = SECRETS[name]
    text = f"Here: {secret} and so on."
    (leak, *more) = Keys().find(text)
    assert (leak.rule, text[leak.start : leak.end]) == (name, secret)
    assert all(other.start >= leak.start and other.end <= leak.end for other in more)


def test_what_fails_its_checksum_is_none() -> None:
    assert is_githubs(github())
    assert not is_githubs(github()[:-1] + "Z")
    key = SECRETS["vallum"]
    assert Keys().find(key[:-1] + ("a" if key[-1] != "a" else "b")) == []


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_passes_unchanged(text: str) -> None:
    _, screen, _ = screen_of()
    assert screen.whole({"a": text}) == {"a": text}


PERSONAL = {
    "emails": "bob.smith+x@mail.example.co.uk",
    "ibans": "GB82 WEST 1234 5698 7654 32",
    "cards": "4539 1488 0343 6467",
    "phones": "+44 20 7946 0958",
}


@pytest.mark.parametrize("kind", PERSONAL)
def test_personal_data_is_found(kind: str) -> None:
    text = f"Write to {PERSONAL[kind]}, or not. AND THEN"
    (leak,) = Personal(msgspec.convert({"kinds": [kind]}, PersonalConfig)).scan(text, True).leaks
    assert (leak.rule, text[leak.start : leak.end]) == (kind, PERSONAL[kind])


@pytest.mark.parametrize("number", ["378282246310005", "30569309025904", "6011111111111117"])
def test_cards_of_other_issuers(number: str) -> None:
    assert Personal(PersonalConfig(kinds=["cards"])).scan(number, True).leaks


@pytest.mark.parametrize(
    "text", ["0000 0000 0000 0000", "4539 1488 0343 6468", "14539148803436467", "3782822463100051"]
)
def test_numbers_that_are_no_cards(text: str) -> None:
    assert not Personal(PersonalConfig(kinds=["cards"])).scan(text, True).leaks


GUISES = {
    "as it is": MARKER,
    "in capitals": MARKER.upper(),
    "spaced": " ".join(MARKER),
    "a letter a line": "\n".join(MARKER),
    "dotted": ".".join(MARKER),
    "reversed": MARKER[::-1],
    "hexadecimal": MARKER.encode().hex(),
    "base64": b64encode(MARKER.encode()).decode(),
    "base64, one byte on": b64encode(b"x" + MARKER.encode() + b"yz").decode(),
    "base64, two bytes on": b64encode(b"xy" + MARKER.encode() + b"z").decode(),
    "rot13": "xrfgery-cyhz-9041",
    "with marks": "**" + MARKER.replace("-", "\u200b-\u200b") + "**",
}


@pytest.mark.parametrize("name", GUISES)
def test_a_marker_is_found_in_every_guise(name: str) -> None:
    assert Canaries(CanariesConfig(strings=[MARKER])).scan(f"so: {GUISES[name]} ok", True).leaks


def test_a_marker_must_not_be_short() -> None:
    with pytest.raises(msgspec.ValidationError, match="fewer than 8"):
        msgspec.convert({"type": "canaries", "strings": ["a-b-c-d"]}, CanariesConfig)


def test_a_run_of_the_prompts_words_is_found_and_a_short_one_is_not() -> None:
    scan = PromptWords(PromptConfig(words=8)).watch(Content({}, passages=operators))
    assert scan is not None
    text = "It says: never REVEAL the discount, table of the spring-sale to anybody! Ok?"
    (leak,) = scan(text, True).leaks
    assert text[leak.start : leak.end] == "never REVEAL the discount, table of the spring-sale to anybody"
    assert not scan("It says never reveal the discount table, so no", True).leaks
    assert not scan("hi there my friend hi there my friend", True).leaks


@pytest.mark.parametrize("content", [None, Content(None), Content({"a": "b"})])
def test_without_words_of_the_operators_nothing_is_looked_for(content: Content | None) -> None:
    assert PromptWords(PromptConfig()).watch(content) is None


LEAKS = [*SECRETS.values(), *list(GUISES.values())[:-1], *PERSONAL.values(), PROMPT]


@settings(max_examples=150)
@given(st.sampled_from(LEAKS), st.lists(st.integers(0, 5000), max_size=30), st.lists(st.integers(0, 9999), max_size=20))
def test_no_way_to_cut_a_stream_hides_a_leak(leak: str, texts: list[int], packets: list[int]) -> None:
    before, after = "Well, here it is (listen): ", " ! That was it; good bye to all of you."
    whole = before + leak + after
    documents = [chunk(piece) for piece in cut(whole, texts)] + [chunk("", finish="stop")]
    raw = events_of(documents)
    _, screen, outlet = screen_of()
    text = said(stream([piece.encode() for piece in cut(raw.decode(), packets)], screen, outlet))
    assert leak not in text
    assert REPLACEMENT in text
    assert text.startswith(before[:-2])
    assert text.endswith(after[-20:])


@settings(max_examples=60)
@given(st.sampled_from(HONEST), st.lists(st.integers(0, 500), max_size=30))
def test_honest_streams_say_the_same_however_they_are_cut(text: str, places: list[int]) -> None:
    documents = [chunk(piece) for piece in cut(text, places)] + [chunk("", finish="stop")]
    x, screen, outlet = screen_of()
    out = stream([events_of(documents)], screen, outlet)
    assert said(out) == text
    assert isinstance(out, bytes)
    assert out.endswith(b"data: [DONE]\n\n")
    assert x.removed == set()


def test_choices_are_looked_at_each_by_itself() -> None:
    key = SECRETS["aws"]
    documents = [chunk(key[:9]), chunk("an honest word", 1), chunk(key[9:] + " x"), chunk(" more", 1)]
    documents += [chunk("", finish="stop"), chunk("", 1, finish="stop")]
    _, screen, outlet = screen_of()
    out = stream([events_of(documents)], screen, outlet)
    assert said(out) == f"{REPLACEMENT} x"
    assert said(out, 1) == "an honest word more"


def test_what_is_held_is_bounded() -> None:
    _, screen, _ = screen_of(ALL[:1])
    word = "A" * (4 * REACH)
    passed = screen.text(word, ended=False)
    assert len(passed) == 3 * REACH
    assert screen.text("", ended=True) == "A" * REACH


def test_of_a_key_that_is_too_long_to_be_held_the_rest_is_swallowed() -> None:
    _, screen, _ = screen_of(ALL[:1])
    out = screen.text("x -----BEGIN PRIVATE KEY-----\n" + "MII/" * REACH, ended=False)
    out += screen.text("MIIB" * 100, ended=False) + screen.text("=\n-----END PRIVATE KEY-----", ended=False)
    out += screen.text(" (done)", ended=True)
    assert out == f"x {REPLACEMENT}(done)"


ANTHROPIC = [
    ("message_start", {"type": "message_start", "message": {"id": "m", "content": []}}),
    ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    (
        "content_block_delta",
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Key AKIAIOSF"}},
    ),
    ("ping", {"type": "ping"}),
    (
        "content_block_delta",
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ODNN7EXAMPLE and last"}},
    ),
    ("content_block_stop", {"type": "content_block_stop", "index": 0}),
    ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
    ("message_stop", {"type": "message_stop"}),
]


def test_the_order_of_anthropics_events_stays_valid() -> None:
    raw = b"".join(f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode() for kind, body in ANTHROPIC)
    _, screen, outlet = screen_of()
    out = stream([raw], screen, outlet)
    assert isinstance(out, bytes)
    kinds = [line[7:] for line in out.decode().split("\n") if line.startswith("event: ")]
    expected = [kind for kind, _ in ANTHROPIC]
    expected.insert(5, "content_block_delta")  # what was held, before its block ends
    assert kinds == expected
    texts = [json.loads(line[6:])["delta"].get("text", "") for line in out.decode().split("\n") if '"delta"' in line]
    assert "".join(texts) == f"Key {REPLACEMENT} and last"


OTHERS = {
    "responses": [
        {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "delta": "a AKIAIOSF"},
        {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "delta": "ODNN7EXAMPLE b"},
        {"type": "response.output_text.done", "item_id": "i", "text": "a AKIAIOSFODNN7EXAMPLE b"},
        {"type": "response.completed", "response": {"error": None}},
    ],
    "ollama chat": [
        {"message": {"role": "assistant", "content": "a AKIAIOSF"}, "done": False},
        {"message": {"role": "assistant", "content": "ODNN7EXAMPLE b"}, "done": True},
    ],
    "ollama generate": [{"response": "a AKIAIOSF", "done": False}, {"response": "ODNN7EXAMPLE b", "done": True}],
    "tgi": [
        {"token": {"text": "a AKIAIOSF"}, "generated_text": None},
        {"token": {"text": "ODNN7EXAMPLE b"}, "generated_text": "a AKIAIOSFODNN7EXAMPLE b"},
    ],
    "triton": [{"text_output": "a AKIAIOSF"}, {"text_output": "ODNN7EXAMPLE b"}],
    "completions": [
        {"choices": [{"index": 0, "text": "a AKIAIOSF", "finish_reason": None}]},
        {"choices": [{"index": 0, "text": "ODNN7EXAMPLE b", "finish_reason": "stop"}]},
    ],
    "arguments of a tool": [
        {
            "choices": [
                {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":"AKIAIOSF'}}]}}
            ]
        },
        {
            "choices": [
                {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": 'ODNN7EXAMPLE"}'}}]}}
            ]
        },
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ],
}


@pytest.mark.parametrize("make", [Events, Lines])
@pytest.mark.parametrize("name", OTHERS)
def test_a_key_over_two_events_of_every_format(name: str, make: Any) -> None:
    documents = json.loads(json.dumps(OTHERS[name]))
    raw = events_of(documents) if make is Events else b"".join(json.dumps(each).encode() + b"\n" for each in documents)
    _, screen, outlet = screen_of()
    out = stream([raw], screen, outlet, make)
    assert isinstance(out, bytes)
    assert REPLACEMENT.encode() in out
    assert b"AKIA" not in out
    assert b"ODNN7" not in out


def test_a_refusal_ends_the_stream_with_an_error_that_clients_know() -> None:
    x, screen, outlet = screen_of(sentries(LeakAction.REFUSE))
    relay = Events(outlet, set(), True, None, screen)
    first = relay.chunk(events_of([chunk("Hello to you and me ")], b""))
    refusal = relay.chunk(events_of([chunk("and "), chunk(f"{MARKER} is it")]))
    assert isinstance(first, bytes)
    assert b"Hello" in first
    assert not isinstance(refusal, bytes)
    assert (refusal.control, refusal.rule) == ("leak:canaries", "strings[0]")
    assert relay.farewell.count(b"event: error\ndata: {") == 1
    assert b"kestrel" not in relay.farewell
    assert x.evidence is None, "what a model said is in no record"


@pytest.mark.parametrize("make", [Events, Lines, Whole, Text])
def test_a_refusal_at_the_very_end(make: Any) -> None:
    _, screen, outlet = screen_of(sentries(LeakAction.REFUSE))
    bodies = {
        Events: b"data: " + json.dumps(chunk(MARKER)).encode(),
        Lines: json.dumps(chunk(MARKER)).encode(),
        Whole: json.dumps({"a": MARKER}).encode(),
        Text: MARKER.encode(),
    }
    out = stream([bodies[make]], screen, outlet, make)
    assert not isinstance(out, bytes)
    assert out.control == "leak:canaries"


def test_lines_end_with_an_error_too() -> None:
    _, screen, outlet = screen_of(sentries(LeakAction.REFUSE))
    relay = Lines(outlet, set(), True, None, screen)
    assert not isinstance(relay.chunk(json.dumps({"a": f"{MARKER} "}).encode() + b"\n"), bytes)
    assert json.loads(relay.farewell)["code"] == "upstream_error"


@pytest.mark.parametrize("make", [Events, Lines, Whole, Text])
@pytest.mark.parametrize("quiet", ["route", "check"])
def test_shadow_changes_nothing_and_notes_once(make: Any, quiet: str) -> None:
    enforce = quiet == "check"
    x, screen, outlet = screen_of(sentries(mode=Mode.SHADOW if enforce else Mode.ENFORCE), enforce=enforce)
    bodies = {
        Events: events_of([chunk(MARKER[:5]), chunk(MARKER[5:] + " ")]),
        Lines: json.dumps({"a": MARKER}).encode() + b"\n",
        Whole: json.dumps({"a": MARKER}).encode(),
        Text: MARKER.encode(),
    }
    out = stream([bodies[make]], screen, outlet, make, enforce=enforce)
    assert isinstance(out, bytes)
    assert REPLACEMENT.encode() not in out
    assert [refusal.control for refusal in x.shadowed] == ["leak:canaries"]


def test_names_of_members_and_nested_strings_are_looked_at() -> None:
    key = SECRETS["aws"]
    _, screen, _ = screen_of()
    clean = screen.whole({"a": [{"b": f"x {key}"}], key: "honest words", "c": 1, "d": ["plain text here"]})
    assert clean == {"a": [{"b": f"x {REPLACEMENT}"}], REPLACEMENT: "honest words", "c": 1, "d": ["plain text here"]}
    assert screen.whole("plain text here") == "plain text here"


def test_too_many_texts_at_once_are_refused() -> None:
    _, screen, outlet = screen_of()
    out = stream([events_of([chunk("x", index) for index in range(300)])], screen, outlet)
    assert not isinstance(out, bytes)
    assert out.control == "leaks"


@pytest.mark.parametrize(
    "document",
    [None, 1, "text", [], {"choices": {}}, {"choices": [1, {"delta": 1}]}, {"delta": {"tool_calls": [1, {}]}}],
)
def test_hostile_shapes_pass(document: Any) -> None:
    _, screen, outlet = screen_of()
    out = stream([events_of([document], b"")], screen, outlet)
    assert out == b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def test_a_screen_without_scans_passes_everything() -> None:
    x, screen, _ = screen_of(())
    assert screen.event((), {"a": MARKER}) == [((), {"a": MARKER})]
    assert screen.whole({"a": MARKER}) == {"a": MARKER}
    assert screen.text(MARKER, ended=True) == MARKER
    assert x.removed == set()


# --- redaction of records


def test_masks_say_what_stood_there() -> None:
    redact = Redactor(["keys", "emails", "ips", "paths", "cards", "ibans"], ["case-[0-9]+"])
    text = (
        f"bob@example.com {SECRETS['aws']} 10.0.0.3:80 fe80::1:2 12:30:45 /srv/app/x.py case-77 é "
        "DE89 3704 0044 0532 0130 00; 4111 1111 1111 1111; "
        "postgres://u:pw@h/db; Bearer abcdefghijkl; password = 'hunter2'"
    )
    assert redact(text) == (
        "[email] [key] [ip] [ip] 12:30:45 [path] [redacted] é [iban]; [card]; [key]h/db; [key]; [key]'"
    )


def test_nothing_is_masked_that_was_not_asked_for() -> None:
    assert Redactor([])(SECRETS["aws"]) == SECRETS["aws"]
    assert Redactor(["ips"])(f"{SECRETS['aws']} 1.2.3.4") == f"{SECRETS['aws']} [ip]"


def test_patterns_that_hyperscan_does_not_take_say_so() -> None:
    with pytest.raises(ValueError, match="Hyperscan does not take"):
        SpanSet(["(?<=a)b"])
