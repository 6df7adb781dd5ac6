"""Who is found by asking nearly what others ask, in many places, and who is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.extraction.traffic import NOW, YOUNG, Traffic

from vallum.core.extraction import DAY_S
from vallum.extraction.facts import WIDTH
from vallum.extraction.kin import PLACES_MIN, REMEMBERED_S, Kin
from vallum.extraction.state import pack_state, unpack_state
from vallum.extraction.sweep import Sweeper

if TYPE_CHECKING:
    from vallum.extraction.facts import Findings, Floats

STEP, FAR = 0.1, 0.4  # of each coordinate: a step of one who copies, and the way from one customer's input to another's


def rows_of(count: int, seed: int = 1, far: float = FAR) -> Floats:
    rows = np.random.default_rng(seed).normal(0, far, (count, WIDTH))
    return rows.astype(np.float32)


def stepped(rows: Floats, step: float = STEP) -> Floats:
    signs = np.sign(np.random.default_rng(9).normal(size=rows.shape))
    return (rows + step * signs).astype(np.float32)


@pytest.fixture
def kin() -> Kin:
    found = Kin()
    found.learn(rows_of(400), np.arange(400) // 4)
    return found


def look(kin: Kin, rows: Floats, owners: list[int], now: float = NOW) -> set[str]:
    kin.look(now, rows, np.array(owners), [f"a{owner}" for owner in owners])
    return set(kin.names)


def test_steps_from_inputs_of_others_are_found_in_many_places_and_not_in_few(kin: Kin) -> None:
    base = rows_of(PLACES_MIN, 2)
    raid = np.concatenate([base, stepped(base)])
    few = np.concatenate([base[1:], stepped(base[1:])])
    owners = list(range(PLACES_MIN))
    assert not look(kin, few, [*owners[1:], *(owner + 50 for owner in owners[1:])])
    names = look(kin, raid, [*owners, *(owner + 50 for owner in owners)])
    assert names == {f"a{owner}" for owner in (*owners, *(owner + 50 for owner in owners))}


@pytest.mark.parametrize(
    ("step", "apart"),
    [
        pytest.param(STEP, False, id="all of one account"),
        pytest.param(0.0, True, id="the same input again"),
        pytest.param(FAR, True, id="as far as customers are from each other"),
    ],
)
def test_what_is_no_step_from_anothers_input_is_not_found(kin: Kin, step: float, *, apart: bool) -> None:
    base = rows_of(30, 3)
    owners = list(range(30))
    assert not look(kin, np.concatenate([base, stepped(base, step)]), owners + [o + 50 * apart for o in owners])


def test_an_example_that_many_try_with_a_number_changed_is_one_place(kin: Kin) -> None:
    example = np.repeat(rows_of(1, 4), 60, axis=0) + rows_of(60, 5, STEP / 2)
    assert kin.look(NOW, example, np.arange(60), [f"a{owner}" for owner in range(60)]) == 1
    assert not kin.names


def test_where_customers_ask_nearly_the_same_nothing_is_near_enough() -> None:
    kin, shown = Kin(), np.repeat(rows_of(20), 20, axis=0)
    kin.learn(shown, np.arange(400))
    base = rows_of(30, 3)
    assert not look(kin, np.concatenate([base, stepped(base)]), list(range(60)))


def test_of_too_few_queries_nothing_is_learnt() -> None:
    kin = Kin()
    kin.learn(rows_of(40), np.arange(40))
    base = rows_of(30, 3)
    assert not look(kin, np.concatenate([base, stepped(base)]), list(range(60)))


def test_who_comes_near_one_that_is_known_is_found_though_there_are_few_places_left(kin: Kin) -> None:
    base = rows_of(PLACES_MIN, 2)
    known = look(kin, np.concatenate([base, stepped(base)]), list(range(2 * PLACES_MIN)))
    late = np.concatenate([base[:1], stepped(base[:1]), rows_of(2, 7), stepped(rows_of(2, 7))])
    found = look(kin, late, [0, 90, 91, 92, 93, 94], NOW + DAY_S)
    assert found == known | {"a90"}


def test_who_was_found_is_forgotten_in_time_and_not_by_a_restart(kin: Kin) -> None:
    base = rows_of(PLACES_MIN, 2)
    known = look(kin, np.concatenate([base, stepped(base)]), list(range(2 * PLACES_MIN)))
    other = Kin()
    other.take_state(*unpack_state(pack_state(kin.state())))
    assert look(other, rows_of(1), [0], NOW + REMEMBERED_S / 2) == known
    assert not look(other, rows_of(1), [0], NOW + REMEMBERED_S)


def test_a_flood_of_accounts_fills_no_memory(kin: Kin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vallum.extraction.kin.NAMES_MAX", 2 * PLACES_MIN)
    base = rows_of(PLACES_MIN, 2)
    for number in range(3):
        owners = list(range(100 * number, 100 * number + 2 * PLACES_MIN))
        last = look(kin, np.concatenate([base, stepped(base)]), owners, NOW + number)
    assert last == {f"a{owner}" for owner in owners}


def test_nobody_at_all_asks() -> None:
    assert not look(Kin(), rows_of(0), [])


def swept(traffic: Traffic, tenants: list[int] | None = None) -> tuple[Sweeper, Findings]:
    """Sweep twice, by a sweeper that was calibrated on honest traffic."""
    sweeper, snapshot = Sweeper(), traffic.snapshot()
    assert sweeper.fit(snapshot, traffic.peers)
    sweeper.limits.calibrated = True
    if tenants is not None:
        snapshot.cohorts["tenant"] = np.array(tenants, np.int32)
    sweeper.sweep(snapshot, traffic.peers, traffic.fresh)
    return sweeper, sweeper.sweep(snapshot._replace(at=NOW + 1), traffic.peers, traffic.fresh)


@pytest.fixture
def raided() -> Traffic:
    """Honest traffic, and twenty accounts of which each asks two ordinary things, nearly as another did."""
    traffic = Traffic()
    traffic.honest(250)
    traffic.honest(25, YOUNG, "newcomer", queries=12)
    rows = traffic.world.honest(20)
    near = rows + traffic.world.rng.normal(0, 0.003, rows.shape).astype(np.float32)
    for number in range(20):
        traffic.add(f"thief-{number}", np.stack([rows[number], near[number - 1]]), YOUNG)
    return traffic


def test_a_sweep_names_them_all_as_one_cluster_whatever_they_ask_about(raided: Traffic) -> None:
    sweeper, findings = swept(raided)
    assert {one.name for one in findings.named} == {f"thief-{number}" for number in range(20)}
    assert len({one.cluster for one in findings.named}) == 1
    assert [alarm.accounts for alarm in findings.alarms] == [20]
    assert sweeper.is_suspect("thief-3")


def test_what_is_remembered_of_them_goes_on_elsewhere(raided: Traffic) -> None:
    sweeper, findings = swept(raided)
    other = sweeper.twin(unpack_state(pack_state(sweeper.state())))
    again = other.sweep(raided.snapshot(NOW + 1), raided.peers, raided.fresh)
    assert {one.name for one in again.named} == {one.name for one in findings.named}


def test_a_state_of_before_names_nobody_by_them(raided: Traffic) -> None:
    sweeper, _ = swept(raided)
    state = {part: value for part, value in sweeper.state().items() if part != "kin"}
    again = sweeper.twin(state).sweep(raided.snapshot(NOW + 1), raided.peers, raided.fresh)
    assert not again.named


def test_accounts_of_one_tenant_may_share_out_what_they_ask(raided: Traffic) -> None:
    assert not swept(raided, [7 if name.startswith("thief") else -1 for name in raided.names])[1].named


def test_who_is_verified_is_not_named_by_it(raided: Traffic) -> None:
    raided.protected.update(f"thief-{number}" for number in range(10))
    named = {one.name for one in swept(raided)[1].named}
    assert not named & raided.protected
