"""What calibration fixes: the same on every replica, unknown to callers, and hard to poison."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.extraction import reservoir as rooms
from vallum.extraction.chance import draw, draw_normals, draw_signs
from vallum.extraction.facts import FEATURES
from vallum.extraction.reference import HEAD, NUMBERS_MAX, Scale, fit, unpack
from vallum.extraction.reservoir import Reservoir

SECRET = b"secret"
RANDOM = np.random.default_rng(3)


def inputs(count: int = 400, columns: int = 24, middle: float = 5.0, deviation: float = 2.0) -> Any:
    return RANDOM.normal(middle, deviation, (count, columns))


def test_a_scale_says_where_inputs_lie() -> None:
    scale = fit(inputs(2000), RANDOM.random(2000), SECRET)
    np.testing.assert_allclose(scale.middle, 5, atol=0.3)
    np.testing.assert_allclose(scale.deviation, 2, atol=0.3)
    assert scale.bandwidth == pytest.approx((2 * 24) ** 0.5, rel=0.1)
    assert scale.edges[5] == pytest.approx(0.5, abs=0.05)


def test_a_tenth_of_poison_moves_it_little() -> None:
    clean = inputs(1000)
    poisoned = clean.copy()
    poisoned[:90] = 1e30
    poisoned[90:95] = np.nan
    one, other = fit(clean, np.zeros(0), SECRET), fit(poisoned, np.zeros(0), SECRET)
    np.testing.assert_allclose(one.middle, other.middle, atol=0.6)
    np.testing.assert_allclose(one.deviation, other.deviation, rtol=0.5)
    assert one.bandwidth == pytest.approx(other.bandwidth, rel=0.3)


def test_columns_of_unlike_widths_count_alike_and_flat_ones_hardly() -> None:
    wide = inputs(500, 3)
    wide[:, 0] *= 1e6
    wide[:, 1] *= 1e-6
    wide[:, 2] = 1.0
    scale = fit(wide, np.zeros(0), SECRET)
    np.testing.assert_allclose(scale.deviation[:2], (2e6, 2e-6), rtol=0.3)
    assert scale.deviation[2] > 0
    flat = fit(np.ones((50, 3)), np.zeros(0), SECRET)
    assert np.isfinite(flat.place(np.zeros((1, 3)))).all()


def test_what_only_few_inputs_have_is_no_small_thing() -> None:
    rare = inputs(1000, 4, 0.0, 1.0)
    rare[:, 0] = 0.0
    rare[:80, 0] = 1.0
    deviation = fit(rare, np.zeros(0), SECRET).deviation
    assert deviation[0] == pytest.approx(deviation[1] / 4, rel=0.2)


@pytest.mark.parametrize("shape", [(1, 3), (5, 0), (0, 3), (5,), (5, NUMBERS_MAX + 1)])
def test_too_few_inputs_make_no_scale(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a scale needs"):
        fit(np.zeros(shape), np.zeros(0), SECRET)


@given(st.lists(st.lists(st.floats(), min_size=3, max_size=3), min_size=2, max_size=20), st.lists(st.floats()))
def test_any_numbers_make_a_scale_that_works(rows: list[list[float]], answers: list[float]) -> None:
    scale = fit(np.array(rows), np.array(answers), SECRET)
    features = scale.place(np.array([[0.0, 1.0, np.nan]]))
    assert np.isfinite(features).all()
    assert unpack(scale.pack(), SECRET).id == scale.id


@pytest.mark.parametrize("columns", [3, 24, 200])
def test_a_packed_scale_comes_back_and_places_alike(columns: int) -> None:
    scale = fit(inputs(100, columns), RANDOM.random(100), SECRET)
    back = unpack(scale.pack(), SECRET)
    some = inputs(5, columns)
    np.testing.assert_array_equal(back.place(some), scale.place(some))
    assert scale.place(some).shape == (5, FEATURES)
    assert back.id == scale.id
    assert fit(inputs(100, columns), np.zeros(0), SECRET).id != scale.id


def test_a_gap_lies_in_the_middle() -> None:
    scale = fit(inputs(100, 3), np.zeros(0), SECRET)
    whole = scale.middle.astype(np.float64).reshape(1, 3)
    gaps = np.array([[np.nan, whole[0, 1], np.nan]])
    np.testing.assert_allclose(scale.place(gaps), scale.place(whole), atol=1e-6)
    both = scale.place(np.concatenate((gaps, whole + 1)))
    np.testing.assert_allclose(both[1:], scale.place(whole + 1), atol=1e-6)


def test_another_secret_is_another_map() -> None:
    some = inputs(300)
    one, other = fit(some, np.zeros(0), b"one"), fit(some, np.zeros(0), b"other")
    assert one.id != other.id
    assert abs(float(np.vdot(one.place(some)[:20], other.place(some)[:20]))) / 20 < 0.5
    with pytest.raises(ValueError, match="another secret"):
        unpack(one.pack(), b"other")
    assert b"one" not in one.pack()


GOOD = fit(inputs(50, 3), np.zeros(0), SECRET).pack()
BAD = {
    "empty": b"",
    "a byte short": GOOD[:-1],
    "a byte long": GOOD + b"\0",
    "another mark": b"XX" + GOOD[2:],
    "no columns": GOOD[:5] + bytes(4) + GOOD[9:],
    "more columns than there can be": GOOD[:5] + b"\xff" * 4 + GOOD[9:],
    "numbers that are none": GOOD[:-4] + b"\xff\xff\xff\x7f",
    "a deviation of nothing": GOOD[:-4] + bytes(4),
    "no bandwidth": GOOD[: HEAD.size - 16] + bytes(8) + GOOD[HEAD.size - 8 :],
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_scale_is_refused(case: str) -> None:
    with pytest.raises(ValueError, match="no scale"):
        unpack(BAD[case], SECRET)


def test_chance_is_the_same_everywhere_and_for_ever() -> None:
    assert draw(b"secret", "test", 3).tolist() == [2151650798, 583098519, 3563449938]
    assert not np.array_equal(draw(b"secret", "a", 8), draw(b"secreta", "", 8))
    signs = draw_signs(b"secret", "signs", 100, 50)
    assert set(signs.reshape(-1).tolist()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.05
    normals = draw_normals(b"secret", "normals", 100, 50)
    assert abs(normals.mean()) < 0.05
    assert normals.std() == pytest.approx(1, abs=0.05)
    assert np.isfinite(normals).all()


def filled(accounts: int, each: int, secret: bytes = SECRET, columns: int = 4) -> Reservoir:
    kept = Reservoir(secret)
    for index in range(each):
        for account in range(accounts):
            kept.offer(f"account {account}", np.full(columns, 100.0 * account + index), account / accounts)
    return kept


def test_no_account_is_more_than_its_share() -> None:
    kept = filled(10, 8)
    for index in range(10_000):
        kept.offer("loud", np.full(4, 1e9 + index), 1.0)
    assert len(kept) == 10 * 8 + rooms.SHARE_MAX
    scale = kept.fit(SECRET)
    assert scale.middle.max() < 1e9 / 2


def test_a_share_is_an_even_sample_of_all_that_was_asked() -> None:
    kept = filled(8, 4000)
    scale = kept.fit(SECRET)
    assert scale.middle[0] == pytest.approx(100 * 3.5 + 2000, rel=0.25)


def test_replicas_keep_the_same_accounts_whatever_comes_first() -> None:
    one, other, secret = Reservoir(SECRET), Reservoir(SECRET), Reservoir(b"another")
    names = [f"account {number}" for number in range(2000)]
    for forwards, backwards in zip(names, reversed(names), strict=True):
        one.offer(forwards, np.zeros(2))
        secret.offer(forwards, np.zeros(2))
        other.offer(backwards, np.zeros(2))
    assert len(one) == rooms.ACCOUNTS_MAX
    assert one.accounts == other.accounts
    assert one.accounts != secret.accounts


def test_a_scale_waits_for_enough_inputs_of_enough_accounts() -> None:
    for kept in (filled(3, 100), filled(10, 1)):
        assert not kept.is_enough()
        with pytest.raises(ValueError, match="a scale needs"):
            kept.fit(SECRET)
    assert filled(10, 10).is_enough()


def test_the_commonest_length_among_accounts_is_the_references() -> None:
    kept = filled(10, 8)
    for index in range(rooms.SHARE_MAX):
        kept.offer("long", np.full(9, float(index)))
    assert kept.fit(SECRET).columns == 4


def test_replicas_that_saw_the_same_fit_the_same_scale() -> None:
    assert filled(20, 9).fit(SECRET).id == filled(20, 9).fit(SECRET).id
    assert isinstance(filled(20, 9).fit(SECRET), Scale)
