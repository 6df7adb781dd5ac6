"""Suspects and pardons: every change on record once, every pardon seen by every process, ended by time or by hand."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from vallum.core.errors import DependencyError
from vallum.core.extraction import Change, Grade, Pardon
from vallum.stores.suspects import SqlSuspects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T0 = 1_700_000_000.0
ALICE, BOB = "subject\x1falice", "subject\x1fbob"
TEST_SET = Pardon(ALICE, T0 + 60, "ops", "their test set")


def change(account: str, before: Grade, after: Grade, at: float = T0) -> tuple[str, Change]:
    return "digits", Change(account, "c1", before, after, at, "why")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/vallum.db"
    return str(request.getfixturevalue("postgres").make())


@pytest.fixture
def suspects(url: str) -> Iterator[SqlSuspects]:
    with closing(SqlSuspects(url)) as store:
        yield store


async def test_a_change_that_two_processes_see_is_written_once(suspects: SqlSuspects, url: str) -> None:
    seen = [
        change(ALICE, Grade.CLEAR, Grade.ALERT),
        change(ALICE, Grade.ALERT, Grade.BUDGET, T0 + 1),
        change(BOB, Grade.CLEAR, Grade.ALERT),
    ]
    with closing(SqlSuspects(url)) as other:
        await suspects.exchange(seen, T0)
        await other.exchange([change(ALICE, Grade.ALERT, Grade.BUDGET, T0 + 2)], T0)
        assert [(row["account"], row["after"]) for row in other.suspects()] == [(ALICE, 3), (BOB, 1)]
    assert [(row["before"], row["after"]) for row in suspects.history(ALICE)] == [(1, 3), (0, 1)]
    assert len(suspects.history("cluster\x1fc1")) == len(suspects.history()) == 3


def test_who_is_clear_again_is_no_suspect_and_stays_on_record(suspects: SqlSuspects) -> None:
    suspects.write([change(ALICE, Grade.CLEAR, Grade.ALERT), change(ALICE, Grade.ALERT, Grade.CLEAR)])
    assert suspects.suspects() == []
    assert len(suspects.history()) == 2
    suspects.write([("other", change(ALICE, Grade.CLEAR, Grade.ALERT)[1])])
    assert [row["model"] for row in suspects.suspects()] == ["other"]


async def test_another_process_sees_a_pardon_until_it_ends(suspects: SqlSuspects, url: str) -> None:
    with closing(SqlSuspects(url)) as other:
        other.pardon(TEST_SET, T0)
    assert await suspects.exchange([], T0) == [TEST_SET]
    assert await suspects.exchange([], T0 + 60) == []


def test_a_new_pardon_takes_the_place_of_the_one_before_and_both_stay(suspects: SqlSuspects) -> None:
    suspects.pardon(TEST_SET, T0)
    suspects.pardon(TEST_SET._replace(until=T0 + 99), T0 + 1)
    suspects.pardon(TEST_SET._replace(whom="cluster\x1fc1"), T0 + 2)
    assert [(one.whom, one.until) for one in suspects.in_force(T0 + 2)] == [
        (ALICE, T0 + 99),
        ("cluster\x1fc1", T0 + 60),
    ]
    assert suspects.lift(ALICE, "boss", T0 + 3)
    assert not suspects.lift(ALICE, "boss", T0 + 4)
    assert [one.whom for one in suspects.in_force(T0 + 4)] == ["cluster\x1fc1"]
    assert [row["lifted_by"] for row in suspects.pardoned()] == [None, "boss", "ops"]


def test_names_of_any_length_are_kept_within_bounds(suspects: SqlSuspects) -> None:
    suspects.write([change("subject\x1f" + "a" * 5000, Grade.CLEAR, Grade.ALERT)])
    assert len(suspects.suspects()[0]["account"]) == 320


def test_a_database_that_is_away_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DependencyError):
        SqlSuspects(f"sqlite:///{tmp_path}/nowhere/vallum.db")
