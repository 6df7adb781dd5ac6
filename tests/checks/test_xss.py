"""Cross-site scripting: attacks in every dress are found and placed, honest text passes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.checks.xss import Xss, XssConfig
from vallum.core.content import Content
from vallum.core.protocols import Check

CHECK = Xss(XssConfig())
ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "';alert(document.cookie)//",
]
DRESSES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent-encoded": quote,
    "percent-encoded twice": lambda text: quote(quote(text)),
    "as HTML entities": lambda text: "".join(f"&#{ord(sign)};" for sign in text),
    "as long HTML entities": lambda text: "".join(f"&#x{ord(sign):09x};" for sign in text),
    "as JSON escapes": lambda text: "".join(f"\\u{ord(sign):04x}" for sign in text),
    "full-width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "in base64": lambda text: base64.b64encode(text.ljust(24).encode()).decode(),
    "in capitals": str.upper,
    "with zero bytes": "\0".join,
}


@pytest.mark.parametrize("dress", DRESSES.values(), ids=DRESSES.keys())
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_found_and_placed(attack: str, dress: Callable[[str], str]) -> None:
    finding = CHECK.inspect(Content({"quiet": "hello", "loud": dress(attack)}))
    assert finding is not None
    assert finding.rule == "xss"
    assert finding.where == "/loud"


def test_an_attack_in_the_query_or_in_a_key_is_found() -> None:
    query = CHECK.inspect(Content({}, [("q", ATTACKS[0])]))
    key = CHECK.inspect(Content({"a": {ATTACKS[0]: 1}}))
    assert query is not None
    assert query.where == "query.q"
    assert key is not None
    assert key.where == "/a (a key)"


def test_the_finding_never_holds_the_text() -> None:
    finding = CHECK.inspect(Content({"input": ATTACKS[0] + "marmalade"}))
    assert finding is not None
    assert "marmalade" not in finding.detail


def test_a_request_of_very_many_strings_is_refused_without_a_place() -> None:
    finding = CHECK.inspect(Content(["x y"] * 1000 + [ATTACKS[0]]))
    assert finding is not None
    assert finding.where == ""


@pytest.mark.parametrize(
    "text", ["a<b and c>d", "<b>bold</b>", "JavaScript: The Good Parts", "O'Brien; once = 1", "{{name}}"]
)
def test_honest_text_passes(text: str) -> None:
    assert CHECK.inspect(Content({"input": text})) is None


def test_it_is_a_check() -> None:
    assert isinstance(CHECK, Check)


@given(st.text() | st.text(alphabet="<>&#;%\\\"'=/:scriptonx01 "))
def test_any_text_can_be_inspected(text: str) -> None:
    CHECK.inspect(Content({"input": text}))
