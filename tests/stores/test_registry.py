"""The registry: two processes on one database, revocation seen by the other, and what happens when it is gone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vallum.core.errors import DependencyError
from vallum.core.principal import Credential
from vallum.stores import registry as module
from vallum.stores.registry import STALE_S, SqlRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ALICE = Credential(
    "key_1", "alice", b"a" * 32, "acme", frozenset({"x", "y"}), 10.0, 99.5, None, ("192.0.2.0/24", "::1")
)
BOB = Credential("key_2", "bob", b"b" * 32, created_at=20.0)


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vallum.db"


@pytest.fixture
def connect(file: Path, clock: Clock) -> Iterator[Callable[[], SqlRegistry]]:
    made: list[SqlRegistry] = []

    def go() -> SqlRegistry:
        made.append(SqlRegistry(f"sqlite:///{file}", clock))
        return made[-1]

    yield go
    for registry in made:
        registry.close()


async def test_a_credential_comes_back_as_it_was_stored(connect: Callable[[], SqlRegistry]) -> None:
    registry = connect()
    assert registry.is_empty()
    registry.add(ALICE)
    registry.add(BOB)
    assert not registry.is_empty()
    assert await registry.find(ALICE.digest) == ALICE
    assert registry.find_now(BOB.digest) == BOB
    assert registry.get("key_1") == ALICE
    assert registry.list() == [ALICE, BOB]
    assert registry.list("bob") == [BOB]
    assert registry.list("nobody") == []


async def test_what_is_not_there_is_none(connect: Callable[[], SqlRegistry]) -> None:
    registry = connect()
    assert await registry.find(b"?" * 32) is None
    assert registry.find_now(b"?" * 32) is None
    assert registry.get("key_9") is None
    assert registry.revoke("key_9", 1.0) is False


@pytest.mark.parametrize("twin", [replace(BOB, id="key_1"), replace(BOB, digest=ALICE.digest)])
def test_an_id_and_a_secret_stand_once(connect: Callable[[], SqlRegistry], twin: Credential) -> None:
    registry = connect()
    registry.add(ALICE)
    with pytest.raises(ValueError, match="exists"):
        registry.add(twin)
    assert registry.list() == [ALICE]


async def test_a_key_made_elsewhere_is_known_after_a_refresh(connect: Callable[[], SqlRegistry]) -> None:
    gateway, command = connect(), connect()
    await gateway.refresh()
    assert await gateway.find(ALICE.digest) is None
    command.add(ALICE)
    await gateway.refresh()
    assert await gateway.find(ALICE.digest) == ALICE


async def test_a_key_revoked_elsewhere_is_refused_after_a_refresh(connect: Callable[[], SqlRegistry]) -> None:
    gateway, command = connect(), connect()
    command.add(ALICE)
    await gateway.refresh()
    assert await gateway.find(ALICE.digest) == ALICE
    assert command.revoke("key_1", 50.0) is True
    assert await gateway.find(ALICE.digest) == ALICE, "kept in memory until the next refresh"
    await gateway.refresh()
    found = await gateway.find(ALICE.digest)
    assert found is not None
    assert found.refusal(50.0) == "revoked"


async def test_a_revocation_is_made_once(connect: Callable[[], SqlRegistry]) -> None:
    registry = connect()
    registry.add(ALICE)
    assert await registry.find(ALICE.digest) == ALICE
    assert registry.revoke("key_1", 50.0) is True
    assert registry.revoke("key_1", 60.0) is False
    assert await registry.find(ALICE.digest) == replace(ALICE, revoked_at=50.0)


async def test_what_this_process_writes_it_sees_at_once(connect: Callable[[], SqlRegistry]) -> None:
    registry = connect()
    assert await registry.find(ALICE.digest) is None
    registry.add(ALICE)
    assert await registry.find(ALICE.digest) == ALICE


def break_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE keys")
        connection.commit()


async def test_while_the_database_is_gone_known_keys_hold_for_a_while(
    connect: Callable[[], SqlRegistry], file: Path, clock: Clock
) -> None:
    registry = connect()
    registry.add(ALICE)
    await registry.refresh()
    assert await registry.find(ALICE.digest) == ALICE
    break_database(file)
    with pytest.raises(DependencyError, match="cannot be asked"):
        await registry.find(BOB.digest)
    clock.now += STALE_S
    assert await registry.find(ALICE.digest) == ALICE
    clock.now += 0.001
    with pytest.raises(DependencyError):
        await registry.find(ALICE.digest)


async def test_each_refresh_makes_what_is_known_fresh(
    connect: Callable[[], SqlRegistry], file: Path, clock: Clock
) -> None:
    registry = connect()
    registry.add(ALICE)
    await registry.refresh()
    await registry.find(ALICE.digest)
    for _ in range(5):
        clock.now += STALE_S
        await registry.refresh()
        assert await registry.find(ALICE.digest) == ALICE


async def test_a_stale_registry_that_can_be_asked_answers_truly(
    connect: Callable[[], SqlRegistry], clock: Clock
) -> None:
    gateway, command = connect(), connect()
    command.add(ALICE)
    await gateway.refresh()
    await gateway.find(ALICE.digest)
    command.revoke("key_1", 50.0)
    clock.now += STALE_S + 1
    found = await gateway.find(ALICE.digest)
    assert found is not None
    assert found.revoked_at == 50.0


async def test_what_is_kept_in_memory_is_bounded(
    connect: Callable[[], SqlRegistry], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KNOWN_MAX", 2)
    registry = connect()
    registry.add(ALICE)
    for digest in (ALICE.digest, b"1" * 32, b"2" * 32):
        await registry.find(digest)
    break_database(file)
    assert await registry.find(b"2" * 32) is None, "still known"
    with pytest.raises(DependencyError):
        await registry.find(ALICE.digest)  # the oldest had to go


@pytest.mark.parametrize("path", ["no/such/folder/vallum.db", "folder"])
def test_a_database_that_cannot_be_opened(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DependencyError, match="cannot be opened"):
        SqlRegistry(f"sqlite:///{tmp_path / path}")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, and long enough to say so\n" * 100)
    with pytest.raises(DependencyError, match="cannot be opened"):
        SqlRegistry(f"sqlite:///{tmp_path / 'text.db'}")


async def test_no_secret_is_in_the_database(connect: Callable[[], SqlRegistry], file: Path) -> None:
    registry = connect()
    columns = {column.name for column in module.keys.columns}
    registry.add(ALICE)
    assert "secret" not in columns
    assert "key" not in columns


async def test_a_credential_is_found_by_its_public_id_and_ends_for_it_too(
    connect: Callable[[], SqlRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KNOWN_MAX", 1)
    one, two = connect(), connect()
    one.add(ALICE)
    one.add(BOB)
    for _ in range(2):
        assert await two.find_id("key_1") == ALICE
        assert await two.find_id("key_2") == BOB
    assert await two.find_id("key_3") is None
    one.revoke("key_1", 50.0)
    await two.refresh()
    found = await two.find_id("key_1")
    assert found is not None
    assert found.revoked_at == 50.0
