"""A crowd in bytes: the same again, whoever adds up what in which order, and never anything that is broken."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.extraction import Account
from vallum.extraction.crowd import Crowd
from vallum.extraction.facts import WIDTH
from vallum.extraction.keeping import FACTS_MAX, Packed, pack_crowd, pack_notes, unpack_crowd, unpack_notes
from vallum.extraction.sketch import LINE, WINDOW_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.extraction.facts import Snapshot

T0 = 1_700_000_000.0
SCALE = 7
ACCOUNTS = [Account(f"subject\x1f{name}", T0 - 86_400.0 * age, f"10.0.{age}") for age, name in enumerate("abcde")]


def row(number: int) -> Any:
    values = np.random.default_rng(number).normal(size=(1, WIDTH)).astype(np.float32)
    return values / np.linalg.norm(values)


def crowd(most: int = 64, scale: int = SCALE) -> Crowd:
    return Crowd(scale, b"secret", most, shared=True)


def filled(count: int = 60, windows: int = 2, most: int = 64) -> Crowd:
    made = crowd(most)
    for number in range(count):
        at = T0 + number * windows * WINDOW_S / count
        made.add(ACCOUNTS[number % len(ACCOUNTS)], row(number), at)
    return made


def told(one: Snapshot) -> dict[str, tuple[Any, ...]]:
    """Return what a snapshot says of each account."""
    columns: Any = (one.counts, one.squares, one.created, one.last, *one.cohorts.values(), one.protected)
    return {name: (one.sums[slot], *(float(column[slot]) for column in columns)) for slot, name in enumerate(one.names)}


def check_equal(one: Crowd, other: Crowd, at: float, tolerance: float = 1e-4) -> None:
    mine, theirs = told(one.snapshot(at)), told(other.snapshot(at))
    assert mine.keys() == theirs.keys()
    for name, (sums, *facts) in mine.items():
        assert np.allclose(sums, theirs[name][0], atol=tolerance)
        assert facts == pytest.approx(list(theirs[name][1:]), abs=tolerance)


def test_a_crowd_comes_back_as_it_was() -> None:
    before, after = filled(), crowd()
    after.fill(unpack_crowd(pack_crowd(before.copy())))
    check_equal(before, after, T0 + 1.9 * WINDOW_S, 1e-2)  # the earlier window, to three digits
    assert after.take() == []


def test_it_takes_less_than_a_kibibyte_an_account() -> None:
    assert len(pack_crowd(filled(600, 1).copy())) < 1024 * len(ACCOUNTS)
    assert len(pack_crowd(filled(600, 2).copy())) < 1024 * len(ACCOUNTS)


def test_what_does_not_fit_is_whoever_asked_least() -> None:
    large, small = crowd(), crowd(32)
    for number in range(50):
        for _ in range(1 + number):
            large.add(Account(f"subject\x1f{number}"), row(number), T0)
    small.fill(unpack_crowd(pack_crowd(large.copy())))
    assert sorted(small.snapshot(T0).counts) == list(range(19, 51))


def test_sums_of_those_pushed_out_come_back_too() -> None:
    before, after = crowd(32), crowd(32)
    for number in range(100):
        before.add(Account(f"subject\x1f{number}", T0 - 100), row(number), T0)
    after.fill(unpack_crowd(pack_crowd(before.copy())))
    check_equal(before, after, T0)
    for one in (before, after):
        for number in range(100, 150):
            one.add(Account(f"subject\x1f{number}", T0 - 100), row(number), T0 + 1)
    check_equal(before, after, T0 + 1)


def test_a_crowd_of_another_scale_is_refused_and_nothing_changes() -> None:
    mine = filled()
    with pytest.raises(ValueError, match="another scale"):
        mine.fill(unpack_crowd(pack_crowd(crowd(scale=8).copy())))
    check_equal(mine, filled(), T0)


def change(**members: Any) -> Callable[[Packed], None]:
    def apply(packed: Packed) -> None:
        for name, value in members.items():
            setattr(packed, name, value(getattr(packed, name)) if callable(value) else value)

    return apply


@pytest.mark.parametrize(
    "broken",
    [
        change(version=2),
        change(accounts=lambda accounts: accounts[:-1]),
        change(accounts=lambda accounts: [*accounts[:-1], accounts[0]]),
        change(recent=lambda data: data[:-4]),
        change(recent=lambda data: b"\xff" * len(data)),
        change(recent=lambda data: np.full(len(data) // 4, -1, "<f4").tobytes()),
        change(recent=lambda data: np.full(len(data) // 4, 2e9, "<f4").tobytes()),
        change(recent=lambda data: (9.0 * (np.arange(len(data) // 4) % LINE == 1)).astype("<f4").tobytes()),
        change(recent=lambda data: (9.0 * (np.arange(len(data) // 4) % LINE == 5)).astype("<f4").tobytes()),
        change(times=lambda data: b"\xff" * len(data)),
        change(times=lambda data: data + data),
        change(began=float("nan")),
        change(before=b"\0\0\0\xff" * 5),
        change(before=b"\xff\0\0\0" * 5),
        change(before=bytes(20)),
        change(before=b"\0"),
        change(means=lambda data: data[:-2]),
        change(means=lambda data: np.full(len(data) // 2, np.inf, "<f2").tobytes()),
        change(earlier=lambda data: data[:-4]),
    ],
)
def test_what_is_broken_is_refused(broken: Callable[[Packed], None]) -> None:
    packed = msgspec.msgpack.decode(pack_crowd(filled().copy()), type=Packed)
    assert len(packed.before) == 4 * len(ACCOUNTS)
    broken(packed)
    with pytest.raises(ValueError, match=r".+"):
        unpack_crowd(msgspec.msgpack.encode(packed))


@given(st.binary(max_size=300))
def test_noise_is_refused(data: bytes) -> None:
    for read in (unpack_crowd, unpack_notes):
        try:
            read(data)
        except ValueError:
            continue
        assert data == b"\x90", "no notes at all"


class Post:
    """Replicas, and what each has not been told yet."""

    def __init__(self, replicas: int) -> None:
        self.crowds = [crowd() for _ in range(replicas)]
        self.undelivered: list[list[bytes]] = [[] for _ in self.crowds]

    def collect(self) -> None:
        for giver in self.crowds:
            pieces = pack_notes(giver.take())
            for taker, waiting in zip(self.crowds, self.undelivered, strict=True):
                if taker is not giver:
                    waiting.extend(pieces)

    def deliver(self, chance: random.Random, at: float) -> None:
        for taker, waiting in zip(self.crowds, self.undelivered, strict=True):
            chance.shuffle(waiting)
            for account, sketch in [pair for piece in waiting for pair in unpack_notes(piece)]:
                taker.merge(account, sketch, at)


@given(st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 80))
def test_replicas_that_hand_on_what_they_saw_know_what_one_would(
    chance: random.Random, replicas: int, queries: int
) -> None:
    alone, post, at = crowd(), Post(replicas), T0
    for number in range(queries):
        at += chance.random() * WINDOW_S / 30
        account = chance.choice(ACCOUNTS)
        alone.add(account, row(number), at)
        chance.choice(post.crowds).add(account, row(number), at)
        if chance.random() < 0.3:
            post.collect()
    post.collect()
    post.deliver(chance, at)
    mine = alone.snapshot(at)
    for theirs in (taker.snapshot(at) for taker in post.crowds):
        assert sorted(mine.names) == sorted(theirs.names)
        order = [theirs.names.index(name) for name in mine.names]
        assert np.allclose(mine.sums, theirs.sums[order], atol=1e-2)
        for column, other in ((mine.counts, theirs.counts), (mine.created, theirs.created), (mine.last, theirs.last)):
            assert np.allclose(column, other[order], atol=1e-3)


def test_notes_are_taken_a_few_at_a_time() -> None:
    made = crowd()
    for number, account in enumerate(ACCOUNTS):
        made.add(account, row(number), T0)
    assert [len(made.take(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_an_account_whose_facts_are_absurdly_long_is_left_out() -> None:
    made = crowd()
    made.add(ACCOUNTS[0], row(0), T0)
    made.add(Account("subject\x1f" + "x" * FACTS_MAX), row(0), T0)
    (piece,) = pack_notes(made.take())
    assert [account for account, _ in unpack_notes(piece)] == [ACCOUNTS[0]]
