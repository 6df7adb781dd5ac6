"""What of a cluster's mean lies beyond the ground that established customers cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vallum.extraction.contemporaries import PLACES_EACH
from vallum.extraction.facts import FEATURES, WIDTH
from vallum.extraction.ground import Ground, _mix, _project, survey

MODES, ROWS = 10, 2000


def rows(rng: np.random.Generator, modes: np.ndarray, doubt: float = 0.0) -> np.ndarray:
    """Queries of some modes; how unsure their answers are hangs on the mode, and on `doubt`."""
    middles = np.random.default_rng(7).normal(0, 1, (MODES, FEATURES))
    found = np.zeros((len(modes), WIDTH), np.float32)
    found[:, :FEATURES] = middles[modes] + rng.normal(0, 0.1, (len(modes), FEATURES))
    found[:, FEATURES] = modes / MODES + doubt
    return found


@pytest.fixture
def ground() -> Ground:
    rng = np.random.default_rng(1)
    found = rows(rng, rng.integers(MODES, size=ROWS))
    surveyed = survey(found, found, found[:, :FEATURES])
    assert surveyed is not None
    return surveyed


@pytest.mark.parametrize("modes", [(9,), (7, 8, 9), tuple(range(MODES))])
def test_other_shares_of_what_is_asked_leave_nothing(ground: Ground, modes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    mean = rows(rng, rng.choice(modes, 500)).mean(axis=0)
    assert np.abs(ground.beyond(mean, mean[:FEATURES])[FEATURES]) < 0.05
    assert np.linalg.norm(ground.beyond(mean, mean[:FEATURES])[:FEATURES]) < 0.2


def test_less_sure_answers_in_the_same_places_are_left(ground: Ground) -> None:
    rng = np.random.default_rng(3)
    mean = rows(rng, rng.integers(MODES, size=500), doubt=0.4).mean(axis=0)
    assert ground.beyond(mean, mean[:FEATURES])[FEATURES] == pytest.approx(0.4, abs=0.05)


def test_places_where_nobody_asks_are_left(ground: Ground) -> None:
    mean = np.full(WIDTH, 3.0, np.float32)
    assert np.linalg.norm(ground.beyond(mean, mean[:FEATURES])[:FEATURES]) > 20


def test_too_few_rows_are_no_ground() -> None:
    few = np.zeros((255, WIDTH), np.float32)
    assert survey(few, few, few[:, :FEATURES]) is None


def test_rows_that_are_all_the_same_are_one_group() -> None:
    same = np.ones((300, WIDTH), np.float32)
    surveyed = survey(same, same, same[:, :FEATURES])
    assert surveyed is not None
    assert len(surveyed.loose) == 1
    assert np.abs(surveyed.beyond(same[0], same[0, :FEATURES])).max() < 1e-4


def test_what_two_accounts_could_have_laid_is_no_ground() -> None:
    rng = np.random.default_rng(4)
    found = rows(rng, rng.integers(MODES, size=ROWS))
    found[: 2 * PLACES_EACH, :FEATURES] = 50.0
    surveyed = survey(found, found, found[:, :FEATURES])
    assert surveyed is not None
    assert surveyed.places.max() < 10


@given(arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3)))
def test_projected_numbers_are_shares(numbers: np.ndarray) -> None:
    shares = _project(numbers)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1)
    assert np.allclose(_project(shares), shares)


def test_numbers_however_large_have_shares() -> None:
    assert _project(np.array([1e17, 1.0])).tolist() == [1.0, 0.0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_a_mixture_of_places_is_found_again(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.normal(0, 1, (count, FEATURES)).astype(np.float32)
    wanted = rng.dirichlet(np.ones(count)).astype(np.float32)
    found = _mix(places, np.zeros(count, np.float32), wanted @ places)
    assert found == pytest.approx(wanted, abs=0.01)
