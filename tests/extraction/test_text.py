"""Features of texts: what is alike in them, what is bounded, and that nothing breaks them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import peak_bytes, steps

from vallum.core.inputs import Turn
from vallum.extraction.facts import FEATURES, WIDTH
from vallum.extraction.features.text import (
    CHARS_MAX,
    INPUTS_MAX,
    MANNER,
    SKELETON,
    SYSTEM,
    TEXTS_MAX,
    TURN,
    Texts,
)

TEXTS = Texts(b"a secret")
PROBLEM = "Solve this. Think step by step and show how you got there.\n\nProblem: {}\n\nReasoning:"


def row(*inputs: Any, answer: Any = None, texts: Texts = TEXTS) -> np.ndarray[Any, Any]:
    rows = texts.read(inputs, answer)
    assert rows is not None
    (only,) = rows
    assert only.shape == (WIDTH,)
    return np.asarray(only)


def alike(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any], columns: slice = TURN) -> float:
    a, b = one[columns], other[columns]
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_the_same_text_has_the_same_row_and_another_secret_another() -> None:
    text = "How do I reset my password?"
    np.testing.assert_array_equal(row(text), row(text, texts=Texts(b"a secret")))
    assert alike(row(text), row(text, texts=Texts(b"another"))) < 0.5


def test_texts_about_one_thing_are_nearer_than_texts_about_two() -> None:
    card, lost, poem = (
        row(text)
        for text in (
            "My card was stolen, how can I block the card and order a new card?",
            "I lost my card and want to order a new one, can you block it?",
            "Write a sonnet about autumn leaves over a quiet river in the hills.",
        )
    )
    assert alike(card, lost) > alike(card, poem) + 0.2


def test_what_was_made_from_one_template_has_one_skeleton_whatever_it_is_about() -> None:
    trains, sheep = (
        row(PROBLEM.format(text))
        for text in (
            "Two trains leave Hamburg at 14:30 and at 15:10; when do they meet?",
            "Petronella shears 318 sheep in eleven days, each yielding twice as much wool as usual.",
        )
    )
    assert alike(trains, sheep, SKELETON) > 0.4
    assert alike(trains, row("Which restaurants near the central station serve breakfast?"), SKELETON) < 0.4


def test_a_skeleton_is_blind_to_numbers_names_and_long_words() -> None:
    one = row("If Anna has 12 marbles and gives 5 to Bert, how many are left for her?")
    other = row("If Zoe has 371 pineapples and gives 2 to Ignatius, how many are left for her?")
    assert alike(one, other, SKELETON) == pytest.approx(1, abs=1e-6)
    assert alike(one, other) < 0.95


def test_a_row_is_of_length_one_at_most_beside_its_histogram() -> None:
    for said in ("hello", Turn("hello there, who are you?", "You are a clerk.")):
        assert 0.8 < np.linalg.norm(row(said)[:FEATURES]) <= 1 + 1e-6


def test_the_system_prompt_has_columns_of_its_own() -> None:
    alone = row(Turn("What is the capital of Peru?"))
    under = row(Turn("What is the capital of Peru?", "Always answer as a pirate."))
    assert not alone[SYSTEM].any()
    assert under[SYSTEM].any()
    for columns in (TURN, SKELETON, MANNER):
        np.testing.assert_array_equal(alone[columns], under[columns])


def test_texts_side_by_side_are_a_row_each() -> None:
    rows = TEXTS.read(("one prompt", Turn("and another"), 7, ""), None)
    assert rows is not None
    np.testing.assert_array_equal(rows, [row("one prompt"), row("and another")])


@pytest.mark.parametrize(
    "inputs",
    [(), ("",), (" \n\t ",), (b"bytes", 3, None, [1.0], ("a", "b")), (Turn("", "a system prompt"),)],
    ids=["nothing", "empty", "blank", "no text", "a system prompt alone"],
)
def test_what_nobody_said_has_no_row(inputs: tuple[Any, ...]) -> None:
    assert TEXTS.read(inputs, None) is None


def test_how_long_the_model_spoke_is_in_the_histogram() -> None:
    short, long = (row("hi", answer={"usage": {"completion_tokens": count}})[FEATURES:] for count in (3, 5000))
    assert short.argmax() == 0
    assert long.argmax() == len(long) - 1


HOSTILE = {
    "lone surrogates": "\ud800\udfff" * 3000,
    "a megabyte of one letter": "a" * 1_000_000,
    "a megabyte of words": "word " * 200_000,
    "a megabyte of blanks and a dot": " " * 999_999 + ".",
    "four bytes a letter": "\U0001f600" * 300_000,
    "control characters": "".join(map(chr, range(32))) * 100,
    "no character twice": "".join(map(chr, range(32, 0xD800))),
    "one letter": "x",
    "one sign": "?",
    "capitals and digits": "A1 B2 C3 " * 9000,
    "NUL": "\0",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_has_a_finite_row(text: str) -> None:
    found = row(Turn(text, text))
    assert np.isfinite(found).all()
    assert np.linalg.norm(found[:FEATURES]) <= 1 + 1e-6


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.text(alphabet=st.characters(codec=None), max_size=60), max_size=4),
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ),
)
def test_no_text_and_no_answer_breaks_it(texts: list[str], answer: Any) -> None:
    rows = TEXTS.read(tuple(texts), answer)
    assert rows is None or (np.isfinite(rows).all() and rows.shape[1] == WIDTH)


def test_many_texts_cost_what_some_do() -> None:
    rows = TEXTS.read(tuple(f"say {chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(500)), None)
    assert rows is not None
    assert len(rows) == TEXTS_MAX
    assert len({tuple(row) for row in rows.tolist()}) == TEXTS_MAX
    assert TEXTS.read(("never looked at", *[""] * INPUTS_MAX)[::-1], None) is None


def test_nobody_can_tell_which_of_many_texts_are_looked_at() -> None:
    honest = row("what is the weather")[TURN]
    hidden = 0
    for length in range(1, 41):  # ten questions beside each that looks honest, where one in eleven is looked at
        batch = ["what is the weather" if place % 11 == 0 else f"steal {'x' * length}" for place in range(176)]
        rows = TEXTS.read(tuple(batch), None)
        assert rows is not None
        hidden += bool((rows[:, TURN] == honest).all())
    assert hidden < 20


def test_a_megabyte_costs_what_ten_kilobytes_do() -> None:
    ten, megabyte = "some words " * 900, "some words " * 90_000
    assert steps(lambda: TEXTS.read((megabyte,), None)) < 1.2 * steps(lambda: TEXTS.read((ten,), None))
    assert peak_bytes(lambda: TEXTS.read((megabyte,), None)) < 500_000


def test_a_long_text_is_looked_at_in_its_beginning_end_and_places_between() -> None:
    filler = "lorem ipsum dolor sit amet consectetur " * 4000
    plain = row(filler)
    for text in ("Ignore the rest; " * 40 + filler, filler + "so what is the answer? " * 40):
        assert alike(plain, row(text)) < 0.99
    places = set()
    for length in range(40):  # where they are hangs on the length, and on the secret
        text = filler + "x" * length
        sampled = TEXTS._sample(text, CHARS_MAX)
        assert len(sampled) <= CHARS_MAX + 3
        places.add(sampled)
    assert len(places) > 30
    assert TEXTS._sample(filler, CHARS_MAX) != Texts(b"another")._sample(filler, CHARS_MAX)


def test_asking_for_the_way_to_the_answer_shows_in_how_it_is_put() -> None:
    asked = "A farmer has 17 sheep and buys 5 more. How many are there?"
    led = "A farmer has 17 sheep and buys 5 more. Show your reasoning step by step."
    bare = "A farmer has 17 sheep and buys 5 more. Name a colour you like a lot, ok?"
    assert alike(row(asked), row(asked), MANNER) == pytest.approx(1)
    assert alike(row(bare), row(led), MANNER) < 0.95
