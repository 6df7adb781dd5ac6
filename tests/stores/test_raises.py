"""Raised limits: seen by every process, ended by time or by hand, never forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from vallum.core.errors import DependencyError
from vallum.core.standing import Raise
from vallum.stores.raises import SqlRaises

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T0 = 1_700_000_000.0
LAUNCH = Raise("alice", 2.0, T0 + 60, "ops", "launch day", T0)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/vallum.db"
    return str(request.getfixturevalue("postgres").make())


@pytest.fixture
def raises(url: str) -> Iterator[SqlRaises]:
    store = SqlRaises(url)
    yield store
    store.close()


async def test_another_process_sees_a_raise_until_it_ends(raises: SqlRaises, url: str) -> None:
    other = SqlRaises(url)
    other.add(LAUNCH)
    assert await raises.find(T0) == [LAUNCH]
    assert await raises.find(T0 + 59.9) == [LAUNCH]
    assert await raises.find(T0 + 60) == []
    other.close()


def test_a_new_raise_takes_the_place_of_the_one_before(raises: SqlRaises) -> None:
    raises.add(LAUNCH)
    again = LAUNCH._replace(factor=3.0, at=T0 + 1)
    raises.add(again)
    raises.add(LAUNCH._replace(subject="bob"))
    assert {one.subject: one.factor for one in raises.in_force(T0 + 2)} == {"alice": 3.0, "bob": 2.0}
    assert [entry["lowered_at"] for entry in raises.history("alice")] == [None, T0 + 1]


def test_what_was_lowered_stays_on_record(raises: SqlRaises) -> None:
    raises.add(LAUNCH)
    assert raises.lower("alice", "boss", T0 + 1)
    assert not raises.lower("alice", "boss", T0 + 2)
    assert raises.in_force(T0 + 2) == []
    (entry,) = raises.history()
    assert (entry["by"], entry["reason"], entry["lowered_by"], entry["lowered_at"]) == (
        "ops",
        "launch day",
        "boss",
        T0 + 1,
    )


def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    SqlRaises(f"sqlite:///{tmp_path}/vallum.db").close()
    assert (tmp_path / "vallum.db").stat().st_mode & 0o077 == 0


async def test_a_database_that_cannot_be_asked_is_a_dependency_error(tmp_path: Path) -> None:
    with pytest.raises(DependencyError):
        SqlRaises(f"sqlite:///{tmp_path}/none/vallum.db")
    raises = SqlRaises(f"sqlite:///{tmp_path}/vallum.db")
    with closing(sqlite3.connect(tmp_path / "vallum.db")) as other:
        other.execute("DROP TABLE raises")
    with pytest.raises(DependencyError):
        await raises.find(T0)
    raises.close()
