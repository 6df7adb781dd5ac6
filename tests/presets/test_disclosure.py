"""Nothing that is withheld ever leaves: at any depth, in any spelling, however the bytes are cut; the rest is the same.

What is forbidden carries a canary, as a number, as a text and in a string of JSON; a reference of its own says what
must be left.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.presets.test_answers import outlet_of

from vallum.core.decision import Deny
from vallum.core.relay import Relay, Whole
from vallum.core.stream import Events, Lines

CANARY = 51505150.25
FORBIDDEN = ("logits", "embeddings", "model_version", "traceback", "probabilities")
ALLOWED = ("label", "prediction", "data", "items", "x")

OUTLET = outlet_of("predict.json", {})
CLOSED = outlet_of("openai.chat", {})

PLAIN = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@st.composite
def cased(draw: st.DrawFn) -> str:
    """Draw a forbidden name in some mix of cases."""
    name = draw(st.sampled_from(FORBIDDEN))
    return "".join(letter.upper() if draw(st.booleans()) else letter for letter in name)


SECRETS = st.sampled_from([CANARY, str(CANARY), [CANARY], {"deep": CANARY}, json.dumps({"a": CANARY})])


DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    PLAIN | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(ALLOWED), inner) | st.tuples(cased(), SECRETS), max_size=4).map(dict)
    ),
    max_leaves=12,
)


@st.composite
def nested(draw: st.DrawFn) -> Any:
    """Draw a document, sometimes with another written into a string of it."""
    document = draw(DOCUMENTS)
    return {"data": json.dumps(document), "x": document} if draw(st.booleans()) else document


def keep(document: Any) -> Any:
    """Return what must be left, by the slowest way there is."""
    if isinstance(document, list):
        return [keep(item) for item in document]
    if isinstance(document, dict):
        return {key: keep(value) for key, value in document.items() if key.lower() not in FORBIDDEN}
    if isinstance(document, str) and document.lstrip()[:1] in ("{", "["):
        try:
            inner = json.loads(document)
        except ValueError:
            return document
        return document if keep(inner) == inner else ("json", keep(inner))
    return document


def same(left: Any, kept: Any) -> bool:
    """Compare what left with what should: a string that was cleaned by what it says."""
    if isinstance(kept, tuple):
        return same(json.loads(left), kept[1])
    if isinstance(kept, dict):
        return isinstance(left, dict) and list(left) == list(kept) and all(same(left[key], kept[key]) for key in kept)
    if isinstance(kept, list):
        return isinstance(left, list) and len(left) == len(kept) and all(map(same, left, kept))
    return type(left) is type(kept) and bool(left == kept)


def write(document: Any, draw: Any) -> str:
    """Write JSON by hand: blanks, and escapes for any character."""
    if isinstance(document, dict):
        members = [
            f"{quote(key, draw)}{blank(draw)}:{blank(draw)}{write(value, draw)}" for key, value in document.items()
        ]
        return "{" + ",".join(members) + "}"
    if isinstance(document, list):
        return "[" + ",".join([write(item, draw) for item in document]) + "]"
    return quote(document, draw) if isinstance(document, str) else json.dumps(document)


def quote(text: str, draw: Any) -> str:
    out = ""
    for character in text:
        if ord(character) < 0x10000 and draw(st.integers(0, 3)) == 0:
            out += f"\\u{ord(character):04{draw(st.sampled_from('xX'))}}"
        else:
            out += json.dumps(character, ensure_ascii=False)[1:-1]
    return f'"{out}"'


def blank(draw: Any) -> str:
    return str(draw(st.sampled_from(["", " ", "\t"])))


def run(relay: Relay, body: bytes, cuts: list[int]) -> bytes | Deny:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    out = b""
    for start, stop in pairwise(edges):
        passed = relay.chunk(body[start:stop])
        if isinstance(passed, Deny):
            return passed
        out += passed
    rest = relay.end()
    return rest if isinstance(rest, Deny) else out + rest


@given(document=nested(), cuts=st.lists(st.integers(0, 300), max_size=8), data=st.data())
@settings(max_examples=300)
def test_what_is_forbidden_never_leaves_and_the_rest_is_unchanged(document: Any, cuts: list[int], data: Any) -> None:
    body = write(document, data.draw).encode()
    out = run(Whole(OUTLET, set(), enforce=True), body, cuts)
    assert isinstance(out, bytes)
    assert b"51505150" not in out
    assert same(json.loads(out), keep(document))


@given(documents=st.lists(nested(), max_size=3), cuts=st.lists(st.integers(0, 600), max_size=8), data=st.data())
@settings(max_examples=200)
@pytest.mark.parametrize("events", [True, False])
def test_in_streams_too(events: bool, documents: list[Any], cuts: list[int], data: Any) -> None:
    texts = [write(document, data.draw) for document in documents]
    if events:
        body = "".join(f": {CANARY}\nevent: e\ndata: {text}\n\n" for text in texts).encode()
    else:
        body = "".join(f"{text}\n" for text in texts).encode()
    out = run((Events if events else Lines)(OUTLET, set(), enforce=True), body, cuts)
    assert isinstance(out, bytes)
    assert b"51505150" not in out
    left = [json.loads(line.removeprefix(b"data: ")) for line in out.split(b"\n") if line[:1] not in (b":", b"e", b"")]
    expected = [kept for kept in map(keep, documents) if kept != {}]
    assert len(left) == len(expected)
    assert all(map(same, left, expected))


MEMBERS = ("id", "object", "choices", "message", "delta", "content", "usage", "model", "error", "logprobs", "index")
ANY: st.SearchStrategy[Any] = st.recursive(
    st.just(CANARY) | st.just([CANARY]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(MEMBERS) | TEXTS, inner, max_size=4),
    max_leaves=10,
)


def values_of(document: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Collect the paths of all plain values."""
    if isinstance(document, dict):
        return set().union(*[values_of(value, (*path, key)) for key, value in document.items()])
    if isinstance(document, list):
        return set().union(*[values_of(item, path) for item in document])
    return set() if document is None else {path}


KNOWN = {
    *[(name,) for name in ("id", "object", "model")],
    *[("choices", "index")],
    *[("choices", member, "content") for member in ("message", "delta")],
}


@given(document=ANY)
@settings(max_examples=300)
def test_of_a_closed_format_only_known_values_leave(document: Any) -> None:
    out = run(Whole(CLOSED, set(), enforce=True), json.dumps(document).encode(), [])
    if isinstance(out, bytes):
        assert values_of(json.loads(out)) <= KNOWN


@pytest.mark.parametrize(
    "body",
    [
        b'{"label": 1, "logits": [51505150], "logits": [51505150]}',
        b'{"logits": 1, "label": {"logits": 51505150}, "label": 1}',  # of two, one parser reads the first
        b'{"label": NaN, "logits": [NaN, 51505150]}',
        b'{"label": 1, "\\u006c\\u006f\\u0067\\u0069\\u0074\\u0073": 51505150}',
        b'{"label": 1, "logit\\u017f": 51505150}',  # which folds to an s
        b'{"label": 1, "LOGITS": 51505150, "Logits": 51505150, "logits": 51505150}',
        b'{"label": "{\\"logits\\": 51505150}"}',
    ],
)
def test_no_spelling_gets_past(body: bytes) -> None:
    out = run(Whole(OUTLET, set(), enforce=True), body, [])
    assert isinstance(out, bytes)
    assert b"51505150" not in out
    assert b"label" in out


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + b'{"logits": 51505150}',
        b'{"logits": 51505150',
        b'{"logits": 51505150}{"a": 1}',
        b"\x1f\x8b\x08\x00" + b"51505150",
        b"<html>51505150</html>",
        b'data: {"logits": 51505150}\n\n',
        b"{'logits': 51505150}",
        b'{"label": "\xff51505150"}',
        '{"logits": 51505150}'.encode("utf-16"),
        b"[" * 3000 + b"51505150" + b"]" * 3000,
        b"",
    ],
)
def test_what_cannot_be_read_is_withheld(body: bytes) -> None:
    assert isinstance(run(Whole(OUTLET, set(), enforce=True), body, []), Deny)
    for events in (Events(OUTLET, set(), enforce=True), Lines(OUTLET, set(), enforce=True)):
        out = run(events, body, [])
        assert isinstance(out, Deny) or b"51505150" not in out


def test_a_deep_answer_ends_in_a_refusal_and_not_in_a_failure() -> None:
    for depth in (150, 250, 500, 900, 990, 1500):
        out = run(Whole(OUTLET, set(), enforce=True), b'{"a":' * depth + b"1" + b"}" * depth, [])
        assert isinstance(out, (bytes, Deny))
