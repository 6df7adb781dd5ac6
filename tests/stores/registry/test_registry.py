"""The registry on both databases: what comes back, what another node learns, what holds when the database is gone."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from vallum.core.errors import DependencyError
from vallum.core.principal import Confirmation, Credential
from vallum.core.quota import Per, Quota, Strategy
from vallum.stores.registry import RotationError, Selection, SqlRegistry, known, registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Connect = Callable[[], SqlRegistry]

ALICE = Credential(
    "key_1",
    "alice",
    b"a" * 32,
    "acme",
    frozenset({"x", "y"}),
    10.0,
    99.5,
    None,
    ("192.0.2.0/24", "::1"),
    routes=frozenset({"predict"}),
    quotas=(Quota("minute-key", 10, 60_000_000, Per.KEY, strategy=Strategy.SMOOTH, burst=3),),
    confirmation=Confirmation(certificate="t" * 43),
)
BOB = Credential("key_2", "bob", b"b" * 32, created_at=20.0)
NEXT = Credential("key_3", "", b"c" * 32, created_at=50.0, expires_at=130.0)


def break_database(broken: SqlRegistry) -> None:
    with broken._database.writing() as connection:
        connection.execute(text("ALTER TABLE keys RENAME TO gone"))


# --- what comes back


async def test_a_credential_comes_back_as_it_was_stored(connect: Connect) -> None:
    node = connect()
    assert node.is_empty()
    node.add(ALICE)
    node.add(BOB)
    assert not node.is_empty()
    assert await node.find(ALICE.digest) == ALICE
    assert node.find_now(BOB.digest) == BOB
    assert node.get("key_1") == ALICE
    assert node.list() == [ALICE, BOB]
    assert node.list("bob") == node.list(tenant=None, subject="bob") == [BOB]
    assert node.list(tenant="acme") == [ALICE]
    assert node.list("nobody") == []


@pytest.mark.parametrize(
    "credential",
    [
        replace(BOB, confirmation=Confirmation(key="j" * 43)),
        replace(BOB, confirmation=Confirmation("t" * 43, "j" * 43)),
        replace(BOB, routes=frozenset()),
        replace(BOB, canary=True),
        replace(BOB, quarantined_at=3.0),
        replace(BOB, subject="ü'; DROP TABLE keys; --", tenant="☂"),
    ],
)
def test_every_member_is_kept(connect: Connect, credential: Credential) -> None:
    node = connect()
    node.add(credential)
    assert node.get("key_2") == credential


async def test_what_is_not_there_is_none(connect: Connect) -> None:
    node = connect()
    assert await node.find(b"?" * 32) is None
    assert node.find_now(b"?" * 32) is None
    assert node.get("key_9") is None
    assert node.find_successor("key_9") is None
    assert node.revoke("key_9", 1.0) is False
    assert node.release("key_9") is False


@pytest.mark.parametrize("twin", [replace(BOB, id="key_1"), replace(BOB, digest=ALICE.digest)])
def test_an_id_and_a_secret_stand_once(connect: Connect, twin: Credential) -> None:
    node = connect()
    node.add(ALICE)
    with pytest.raises(ValueError, match="exists"):
        node.add(twin)
    assert node.list() == [ALICE]


# --- rotation


def test_a_successor_inherits_all_but_its_secret_and_its_times(connect: Connect) -> None:
    node = connect()
    node.add(ALICE)
    made = node.rotate("key_1", NEXT, 10.0)
    assert made == node.get("key_3")
    assert made == replace(
        ALICE, id="key_3", digest=NEXT.digest, created_at=50.0, expires_at=130.0, successor_of="key_1", lineage="key_1"
    )
    assert node.get("key_1") == replace(ALICE, expires_at=60.0)
    assert node.find_successor("key_1") == made


def test_a_grace_never_lengthens_a_life(connect: Connect) -> None:
    node = connect()
    node.add(ALICE)
    node.rotate("key_1", NEXT, 10_000.0)
    old = node.get("key_1")
    assert old is not None
    assert old.expires_at == 99.5


@pytest.mark.parametrize(("grace_s", "ends"), [(10.0, [60.0, 60.0, 61.0]), (0.0, [51.0, 51.0, 51.0])])
def test_a_third_rotation_within_the_grace_ends_what_it_should(
    connect: Connect, grace_s: float, ends: list[float]
) -> None:
    node = connect()
    node.add(replace(BOB, id="key_a"))
    node.rotate("key_a", replace(NEXT, id="key_b", digest=b"1" * 32), 10.0)
    node.rotate("key_b", replace(NEXT, id="key_c", digest=b"2" * 32), 10.0)
    last = node.rotate("key_c", replace(NEXT, id="key_d", digest=b"3" * 32, created_at=51.0), grace_s)
    before = [node.get(key_id) for key_id in ("key_a", "key_b", "key_c")]
    assert [held and held.expires_at for held in before] == ends
    assert last.refusal(100.0) is None
    assert {held.lineage for held in node.list()} == {None, "key_a"}


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (replace(BOB, expires_at=50.0), "expired"),
        (replace(BOB, revoked_at=50.0), "revoked"),
        (replace(BOB, quarantined_at=50.0), "quarantined"),
        (replace(BOB, canary=True), "a canary"),
        (replace(BOB, id="key_9"), "no key has the id"),
    ],
)
def test_only_a_key_that_holds_is_rotated(connect: Connect, held: Credential, why: str) -> None:
    node = connect()
    node.add(held)
    with pytest.raises(RotationError, match=why):
        node.rotate("key_2", NEXT, 0.0)
    assert node.list() == [held]


def test_a_key_is_rotated_once_and_its_successor_is_named(connect: Connect) -> None:
    node = connect()
    node.add(BOB)
    node.rotate("key_2", NEXT, 10.0)
    with pytest.raises(RotationError, match="rotate key_3"):
        node.rotate("key_2", replace(NEXT, id="key_4", digest=b"d" * 32), 0.0)
    assert len(node.list()) == 2


# --- many at once


@pytest.mark.parametrize(
    ("selection", "ids"),
    [
        (Selection(subject="s1"), {"key_1", "key_2"}),
        (Selection(tenant="t"), {"key_2", "key_3"}),
        (Selection(created_before=2.0), {"key_1"}),
        (Selection("s1", "t"), {"key_2"}),
        (Selection("s1", "t", 2.0), set()),
    ],
)
def test_many_are_revoked_at_once(connect: Connect, selection: Selection, ids: set[str]) -> None:
    node = connect()
    for number, (subject, tenant) in enumerate([("s1", None), ("s1", "t"), ("s2", "t"), ("s3", None)], 1):
        node.add(Credential(f"key_{number}", subject, bytes([number]) * 32, tenant, created_at=float(number)))
    assert node.count(selection) == len(ids)
    assert node.revoke_all(selection, 9.0) == len(ids)
    assert {held.id for held in node.list() if held.revoked_at == 9.0} == ids
    assert node.count(selection) == node.revoke_all(selection, 10.0) == 0


async def test_leaked_keys_are_taken_back_and_the_unknown_are_told_apart(connect: Connect) -> None:
    node = connect()
    node.add(ALICE)
    node.add(BOB)
    leaked = (ALICE.digest, b"?" * 32)
    assert await node.withdraw(leaked, 50.0, False) == {ALICE.digest}
    assert await node.withdraw(leaked, 60.0, False) == {ALICE.digest}, "known, although it was revoked before"
    assert node.get("key_1") == replace(ALICE, revoked_at=50.0)
    assert await node.withdraw((BOB.digest,), 50.0, True) == {BOB.digest}
    assert node.get("key_2") == replace(BOB, quarantined_at=50.0)
    assert node.release("key_2")
    assert node.get("key_2") == BOB


# --- two nodes


async def test_a_key_made_elsewhere_is_known_after_a_refresh(connect: Connect) -> None:
    gateway, command = connect(), connect()
    await gateway.refresh()
    assert await gateway.find(ALICE.digest) is None
    command.add(ALICE)
    assert await gateway.find(ALICE.digest) is None, "known as nobody's until the next refresh"
    await gateway.refresh()
    assert await gateway.find(ALICE.digest) == ALICE


async def test_a_key_revoked_elsewhere_is_refused_after_a_refresh(connect: Connect) -> None:
    gateway, command = connect(), connect()
    command.add(ALICE)
    command.add(BOB)
    await gateway.refresh()
    assert await gateway.find(ALICE.digest) == ALICE
    assert await gateway.find(BOB.digest) == BOB
    assert command.revoke("key_1", 50.0) is True
    assert await gateway.find(ALICE.digest) == ALICE, "kept in memory until the next refresh"
    await gateway.refresh()
    break_database(command)
    assert await gateway.find(BOB.digest) == BOB, "who did not change is not asked for again"
    with pytest.raises(DependencyError):
        await gateway.find(ALICE.digest)


async def test_a_change_during_a_look_up_is_not_covered_by_what_was_read_before(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, command = connect(), connect()
    command.add(ALICE)
    await gateway.refresh()
    read = gateway.find_now
    asked, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly(digest: bytes) -> Credential | None:
        found = read(digest)
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
        return found

    monkeypatch.setattr(gateway, "find_now", slowly)
    early = asyncio.ensure_future(gateway.find(ALICE.digest))
    await asked.wait()
    command.revoke("key_1", 50.0)
    await gateway.refresh()
    monkeypatch.setattr(gateway, "find_now", read)
    late = await gateway.find(ALICE.digest)
    assert late is not None
    assert late.revoked_at == 50.0, "who comes after the refresh does not join who came before"
    go_on.set()
    await early
    kept = await gateway.find(ALICE.digest)
    assert kept is not None
    assert kept.revoked_at == 50.0, "what was read before is not kept"


async def test_of_many_requests_with_one_key_one_asks(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    node = connect()
    node.add(ALICE)
    asked = []
    read = node.find_now

    def note(digest: bytes) -> Credential | None:
        asked.append(digest)
        return read(digest)

    monkeypatch.setattr(node, "find_now", note)
    waiting = [asyncio.ensure_future(node.find(ALICE.digest)) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [ALICE] * 49, "who leaves does not end it for the others"
    assert len(asked) == 1


async def test_a_revocation_is_made_once(connect: Connect) -> None:
    node = connect()
    node.add(ALICE)
    assert await node.find(ALICE.digest) == ALICE
    assert node.revoke("key_1", 50.0) is True
    assert node.revoke("key_1", 60.0) is False
    assert await node.find(ALICE.digest) == replace(ALICE, revoked_at=50.0)


async def test_what_this_process_writes_it_sees_at_once(connect: Connect) -> None:
    node = connect()
    assert await node.find(ALICE.digest) is None
    node.add(ALICE)
    assert await node.find(ALICE.digest) == ALICE


async def test_very_many_changes_at_once_are_all_seen(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CHANGED_MAX", 2)
    gateway, command = connect(), connect()
    command.add(ALICE)
    command.add(BOB)
    await gateway.refresh()
    await gateway.find(ALICE.digest)
    await gateway.find(BOB.digest)
    command.revoke_all(Selection(created_before=99.0), 50.0)
    await gateway.refresh()
    for digest in (ALICE.digest, BOB.digest):
        found = await gateway.find(digest)
        assert found is not None
        assert found.revoked_at == 50.0


async def test_a_database_that_was_put_back_to_an_older_state_is_read_anew(connect: Connect) -> None:
    gateway, command = connect(), connect()
    command.add(ALICE)
    await gateway.refresh()
    await gateway.find(ALICE.digest)
    with command._database.writing() as connection:
        connection.execute(text("DELETE FROM keys"))
        connection.execute(text("UPDATE registry_state SET value = 0 WHERE name = 'changes'"))
    await gateway.refresh()
    assert await gateway.find(ALICE.digest) is None


# --- when the database is gone


async def test_while_the_database_is_gone_known_keys_hold_for_a_while(connect: Connect, clock: Any) -> None:
    node = connect()
    node.add(ALICE)
    await node.refresh()
    assert await node.find(ALICE.digest) == ALICE
    break_database(node)
    with pytest.raises(DependencyError, match="cannot be asked"):
        await node.find(BOB.digest)
    clock.now += registry.STALE_S
    assert await node.find(ALICE.digest) == ALICE
    clock.now += 0.001
    with pytest.raises(DependencyError):
        await node.find(ALICE.digest)


async def test_what_was_read_long_ago_is_read_again(connect: Connect, clock: Any) -> None:
    node = connect()
    node.add(ALICE)
    await node.refresh()
    await node.find(ALICE.digest)
    with node._database.writing() as connection:
        connection.execute(text("UPDATE keys SET revoked_at = 50"))  # by hand: uncounted, so nobody hears of it
    for _ in range(6):
        clock.now += known.KEPT_S / 6
        await node.refresh()
    found = await node.find(ALICE.digest)
    assert found is not None
    assert found.revoked_at == 50.0


async def test_a_stale_registry_that_can_be_asked_answers_truly(connect: Connect, clock: Any) -> None:
    gateway, command = connect(), connect()
    command.add(ALICE)
    await gateway.refresh()
    await gateway.find(ALICE.digest)
    command.revoke("key_1", 50.0)
    clock.now += registry.STALE_S + 1
    found = await gateway.find(ALICE.digest)
    assert found is not None
    assert found.revoked_at == 50.0


# --- bounds


async def test_strangers_never_take_the_place_of_customers(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "BAD_MAX", 2)
    node = connect()
    node.add(ALICE)
    await node.find(ALICE.digest)
    for number in range(20):
        assert await node.find(bytes([number]) * 32) is None
    assert len(node._known._bad) == 2
    break_database(node)
    assert await node.find(ALICE.digest) == ALICE
    assert await node.find(bytes([19]) * 32) is None, "the last strangers are known as such"


async def test_what_is_kept_in_memory_is_bounded(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "GOOD_MAX", 2)
    node = connect()
    for number in range(3):
        node.add(replace(BOB, id=f"key_{number}", digest=bytes([number]) * 32))
    for number in range(3):
        await node.find(bytes([number]) * 32)
    assert len(node._known._good) == 2
    break_database(node)
    assert await node.find(bytes([2]) * 32), "still known"
    with pytest.raises(DependencyError):
        await node.find(bytes([0]) * 32)  # the oldest had to go


async def test_a_flood_of_unknown_keys_waits_in_a_bounded_queue(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "WAITING_MAX", 10)
    node = connect()
    answers = await asyncio.gather(*(node.find(bytes([n]) * 32) for n in range(30)), return_exceptions=True)
    assert answers.count(None) == 10
    assert sum(isinstance(answer, DependencyError) for answer in answers) == 20
    assert node._asking == {}


# --- last use


async def test_uses_are_written_in_one_batch_and_are_no_change(connect: Connect) -> None:
    node, other = connect(), connect()
    node.add(ALICE)
    node.add(BOB)
    await other.refresh()
    seen = other._seen
    for at in (1.0, 2.0, 3.0):
        node.note_use("key_1", at)
    node.note_use("https://issuer.example/token", 3.0)
    other.note_use("key_1", 2.5)
    other.note_use("key_2", 1.5)
    assert [held.last_used_at for held in node.list()] == [None, None]
    await node.write_uses()
    await other.write_uses()
    assert [held.last_used_at for held in node.list()] == [3.0, 1.5], "the later of two nodes' notes stands"
    await other.refresh()
    assert other._seen == seen
    await node.write_uses()


async def test_uses_that_cannot_be_written_are_kept_for_the_next_time(connect: Connect) -> None:
    node = connect()
    node.add(ALICE)
    node.note_use("key_1", 3.0)
    break_database(node)
    with pytest.raises(DependencyError):
        await node.write_uses()
    with node._database.writing() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO keys"))
    node.note_use("key_1", 4.0)
    await node.write_uses()
    (held,) = node.list()
    assert held.last_used_at == 4.0


def test_the_last_uses_are_written_on_the_way_out(url: str) -> None:
    node = SqlRegistry(url)
    node.add(ALICE)
    node.note_use("key_1", 3.0)
    node.close()
    again = SqlRegistry(url)
    (held,) = again.list()
    again.close()
    assert held.last_used_at == 3.0


# --- opening


@pytest.mark.parametrize("path", ["no/such/folder/vallum.db", "folder"])
def test_a_file_that_cannot_be_opened(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DependencyError, match="cannot be opened"):
        SqlRegistry(f"sqlite:///{tmp_path / path}")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, and long enough to say so\n" * 100)
    with pytest.raises(DependencyError, match="cannot be"):
        SqlRegistry(f"sqlite:///{tmp_path / 'text.db'}")


def test_the_files_are_the_owners_alone(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        node = SqlRegistry(f"sqlite:///{tmp_path}/vallum.db")
        node.add(ALICE)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        node.close()
    finally:
        os.umask(mask)
    assert set(modes.values()) == {0o600}, modes
