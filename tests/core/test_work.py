"""Proof of work: one solution for one body of one account, for two minutes, once; and what it costs to look."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.client import WorkError, answer_challenge, solve
from vallum.core.work import KEPT_S, SKEW_S, Asked, challenge, check, for_inputs, remember_ms

SEED = b"a seed that nobody can guess"
NOW = 1_700_000_000.0
LIFE_S = 120.0
BITS = 6
ALICE = Asked("digits", "subject\x1falice", b'{"input":[1]}')


def ask(asked: Asked = ALICE, bits: int = BITS, now: float = NOW) -> str:
    token = challenge(SEED, asked, bits, "01912f5e-7c3a-7d55-9a3e-3f0c5a1b2c3d", now)
    return f'challenge="{token}", bits={for_inputs(bits, asked.inputs)}, algorithm="sha-256"'


def look(field: str, asked: Asked = ALICE, now: float = NOW + 1, seed: bytes = SEED) -> tuple[str, str]:
    return check(seed, asked, field, now, LIFE_S)


def test_a_solution_holds_and_says_under_which_key_it_is_used_up() -> None:
    solution = solve(ask(), ALICE.body)
    key, fault = look(solution)
    assert (key.startswith("work:"), fault) == (True, "")
    assert look(solution) == (key, ""), "the same challenge has the same key, whatever solves it"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"asked": ALICE._replace(account="subject\x1fmallory")}, "not a challenge of this gateway"),
        ({"asked": ALICE._replace(account="ip\x1falice")}, "not a challenge of this gateway"),
        ({"asked": ALICE._replace(model="other")}, "not a challenge of this gateway"),
        ({"seed": b"another gateway's"}, "not a challenge of this gateway"),
        ({"asked": ALICE._replace(body=b'{"input":[2]}')}, "not 20 bits for this body"),
        ({"asked": ALICE._replace(inputs=100_000)}, "not 37 bits for this body"),
        ({"now": NOW + LIFE_S + 1}, "expired"),
        ({"now": NOW - SKEW_S - 1}, "of a time to come"),
        ({"now": NOW - 86_400}, "of a time to come"),
    ],
)
def test_what_is_stolen_old_or_for_something_else_does_not_hold(change: dict[str, Any], fault: str) -> None:
    solution = solve(ask(bits=20 if "bits for" in fault else BITS), ALICE.body)
    key, why = look(solution, **change)
    assert key == ""
    assert fault in why


@pytest.mark.parametrize("now", [NOW - SKEW_S, NOW, NOW + LIFE_S])
def test_clocks_of_two_nodes_may_differ_a_little(now: float) -> None:
    assert look(solve(ask(), ALICE.body), now=now)[1] == ""


@pytest.mark.parametrize("place", range(5))
def test_no_part_of_a_challenge_can_be_changed(place: int) -> None:
    token, _, nonce = solve(ask(), ALICE.body).rpartition(":")
    parts = token.split(".")
    parts[place] = {0: "2", 1: str(int(NOW) + 60), 2: "0", 3: "other", 4: "A" * 22}[place]
    assert look(f"{'.'.join(parts)}:{nonce}")[0] == ""


@given(st.text(max_size=400))
def test_noise_is_no_solution(field: str) -> None:
    assert look(field)[0] == ""


@pytest.mark.parametrize(
    "field",
    ["", ":", "....:1", "1.2.3.4.5:", "1.2.3.4.5:" + "9" * 41, "1.2.3.4.é:1", "1.x.y.z.m:1", "1." * 200 + ":1"],
)
def test_what_looks_like_one_is_none(field: str) -> None:
    assert look(field)[0] == ""


@pytest.mark.parametrize(("inputs", "bits"), [(0, 16), (1, 16), (2, 17), (3, 18), (4, 18), (5, 19), (1000, 26)])
def test_a_batch_costs_as_much_as_its_inputs_one_by_one(inputs: int, bits: int) -> None:
    assert for_inputs(16, inputs) == bits


def test_a_solution_is_remembered_beyond_the_end_of_its_challenge() -> None:
    assert remember_ms(LIFE_S) == (LIFE_S + SKEW_S + KEPT_S) * 1000


# --- the client


def test_the_client_answers_where_it_is_asked_and_only_there() -> None:
    field = ask()
    extra = answer_challenge(428, {"Vallum-Work": field}, ALICE.body)
    assert extra is not None
    assert look(extra["vallum-work"])[1] == ""
    assert answer_challenge(429, {"Vallum-Work": field}, b"") is None
    assert answer_challenge(428, {"Retry-After": "1"}, b"") is None


@pytest.mark.parametrize(
    "field",
    ["", "challenge=x", 'challenge="x", bits=4, algorithm="md5"', 'challenge="x", bits=-4, algorithm="sha-256"'],
)
def test_the_client_refuses_what_it_does_not_know(field: str) -> None:
    with pytest.raises(WorkError, match="another kind"):
        solve(field, b"")


def test_the_client_does_not_work_without_bounds() -> None:
    with pytest.raises(WorkError, match="40 bits"):
        solve('challenge="x", bits=40, algorithm="sha-256"', b"")
