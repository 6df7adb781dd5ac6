"""The estimate of tokens: by class of bytes, never below what a class costs."""

from __future__ import annotations

import pytest

from vallum.core.text import tokens_of


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("abcd", 1),
        ("a b c d", 2),
        ("12", 2),
        ("<>!", 2),
        ("ab12", 3),
        ("é", 1),
        ("日本", 3),
        ("A", 1),
        ("\ud800", 2),
    ],
)
def test_tokens_of_a_text(text: str, tokens: int) -> None:
    assert tokens_of(text) == tokens
