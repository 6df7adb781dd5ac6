"""Replicas of one watch, by way of a real Valkey: each query counts once, whatever is lost or told twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from tests.vigil.conftest import NAMES, SEAL, Counting, Fleet, counting

from vallum.stores import watch_log
from vallum.stores.seal import Seal
from vallum.stores.watch_log import ENTRIES_MAX, LEASE_MS
from vallum.vigil import replica as replica_module
from vallum.vigil.replica import CLAIM_S, Replica

if TYPE_CHECKING:
    from tests.stores.conftest import Lab, Valkey


async def led(fleet: Fleet, size: int) -> list[Replica]:
    """Have a fleet of a size, which has waited until one leads."""
    members = [fleet.join() for _ in range(size)]
    await fleet.beat(int(2 * LEASE_MS / 1000) + 4)
    assert len(fleet.leaders()) == 1
    return members


def spread(fleet: Fleet, times: int, chance: random.Random) -> dict[str, int]:
    """Have queries come in at random replicas."""
    asked: dict[str, int] = {}
    for _ in range(times):
        name = chance.choice(NAMES)
        counting(chance.choice(fleet.members)).note(name)
        asked[name] = asked.get(name, 0) + 1
    return asked


def add(*counts: dict[str, int]) -> dict[str, int]:
    return {name: sum(count.get(name, 0) for count in counts) for name in {name for count in counts for name in count}}


async def test_all_know_what_each_has_seen(fleet: Fleet) -> None:
    members = await led(fleet, 4)
    asked = spread(fleet, 300, random.Random(1))
    await fleet.beat(2)
    for member in members:
        assert counting(member).counts() == asked


async def test_a_newcomer_knows_all_from_the_snapshot_and_what_came_after(fleet: Fleet) -> None:
    await led(fleet, 2)
    before = spread(fleet, 100, random.Random(1))
    await fleet.beat(70)
    after = spread(fleet, 50, random.Random(2))
    await fleet.beat(2)
    late = fleet.join()
    counting(late).note(NAMES[0], 3)  # before it has heard of the others
    await fleet.beat(2)
    for member in fleet.members:
        assert counting(member).counts() == add(before, after, {NAMES[0]: 3})


@pytest.mark.parametrize("seed", range(3))
async def test_lost_replies_lose_nothing_and_count_nothing_twice(fleet: Fleet, seed: int) -> None:
    await led(fleet, 3)
    fleet.lossy, chance = 0.3, random.Random(seed)
    asked: dict[str, int] = {}
    for _ in range(40):
        asked = add(asked, spread(fleet, 20, chance))
        await fleet.beat(step_s=3.0)
    await fleet.settle()
    for member in fleet.members:
        assert counting(member).counts() == asked


async def test_who_was_cut_off_hands_in_what_it_saw_and_catches_up(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_log, "ENTRIES_MAX", 20)
    monkeypatch.setattr(replica_module, "SNAPSHOT_ENTRIES", 10)
    here, there = await led(fleet, 2)
    away = there if here.leads else here
    fleet.cut.add(away._name)
    asked: dict[str, int] = {}
    for seed in range(150):  # many more entries than the log holds
        asked = add(asked, spread(fleet, 20, random.Random(seed)))
        await fleet.beat()
    assert counting(away).counts() != asked
    assert len(away._outbox) <= replica_module.OUTBOX_MAX
    fleet.cut.clear()
    await fleet.beat(40)  # as much at a time as the log holds
    assert counting(here).counts() == counting(there).counts() == asked


async def test_a_store_that_comes_back_empty_is_told_everything_again(fleet: Fleet, server: Valkey) -> None:
    members = await led(fleet, 3)
    first = spread(fleet, 200, random.Random(1))
    await fleet.beat(70)
    assert all(not member._sent for member in members), "a snapshot holds it"
    second = spread(fleet, 100, random.Random(2))
    await members[0].exchange()  # it has handed in what the others have not read yet
    server.kill()
    third = spread(fleet, 100, random.Random(3))
    await fleet.beat(3)
    assert not any(counting(member).counts() == add(first, second, third) for member in members)
    server.start()
    await fleet.beat(10)
    for member in members:
        assert counting(member).counts() == add(first, second, third)
    assert len(fleet.leaders()) == 1
    late = fleet.join()
    await fleet.beat(2)
    assert counting(late).counts() == add(first, second, third)


async def test_a_hung_store_is_waited_for_and_nothing_is_lost(fleet: Fleet, server: Valkey) -> None:
    await led(fleet, 2)
    first = spread(fleet, 50, random.Random(1))
    await fleet.beat(2)
    server.pause()
    second = spread(fleet, 50, random.Random(2))
    await fleet.beat()
    server.resume()
    await fleet.settle()
    for member in fleet.members:
        assert counting(member).counts() == add(first, second)


async def test_all_end_and_those_that_begin_know_what_they_knew(fleet: Fleet) -> None:
    members = await led(fleet, 2)
    asked = spread(fleet, 200, random.Random(1))
    (leader,) = fleet.leaders()
    leader.watch.adopt(b"mallory is named")
    leader.publish()
    for member in members:
        await member.close()
    fleet.members.clear()
    late = fleet.join()
    await fleet.beat(1)
    assert counting(late).counts() == asked
    assert counting(late).judged == b"mallory is named"
    await fleet.beat(4)
    assert late.leads, "nobody is waited for by who knows"


async def test_one_leads_and_what_it_judges_all_adopt(fleet: Fleet) -> None:
    members = await led(fleet, 3)
    (leader,) = fleet.leaders()
    counting(leader).judged = b"mallory is named"
    leader.publish()
    await fleet.beat(2)
    assert {counting(member).judged for member in members} == {b"mallory is named"}
    other = next(member for member in members if member is not leader)
    counting(other).judged = b"nobody is named"
    other.publish()
    await fleet.beat(2)
    assert counting(leader).judged == b"mallory is named"
    assert not other.sweeps


async def test_a_leader_that_is_gone_is_followed_by_another_that_judges_as_it_did(fleet: Fleet, server: Valkey) -> None:
    await led(fleet, 3)
    (leader,) = fleet.leaders()
    counting(leader).judged = b"mallory is named"
    leader.publish()
    await fleet.beat(2)
    fleet.members.remove(leader)
    server.say("DEL", leader._log._lease)  # as it goes by the store's own clock
    await fleet.beat(int(LEASE_MS / 1000 + CLAIM_S) + 2)
    (second,) = fleet.leaders()
    assert second is not leader
    assert counting(second).judged == b"mallory is named"
    counting(leader).judged = b"what a process thinks that was stopped for an hour"
    leader.publish()
    leader._leads_until = fleet.now + 100
    leader.publish()
    await leader.exchange()
    assert not leader.leads
    await fleet.beat(2)
    assert {counting(member).judged for member in fleet.members} == {b"mallory is named"}


async def test_who_knows_nothing_does_not_lead_those_who_do(fleet: Fleet, server: Valkey) -> None:
    await led(fleet, 2)
    asked = spread(fleet, 50, random.Random(1))
    await fleet.beat(2)
    server.kill()
    server.start()
    fleet.members.insert(0, fleet.join())  # it comes first, to a store that knows nothing
    fleet.members.pop()
    await fleet.beat(5)
    (leader,) = fleet.leaders()
    assert leader is not fleet.members[0]
    assert counting(fleet.members[0]).counts() == asked


async def test_alone_each_sweeps_for_itself(fleet: Fleet, server: Valkey) -> None:
    members = await led(fleet, 2)
    assert [member.sweeps for member in members].count(True) == 1
    server.kill()
    await fleet.beat(int(LEASE_MS / 1000) + 2)
    assert [member.leads for member in members] == [False, False]
    assert [member.sweeps for member in members] == [True, True]
    server.start()
    await fleet.beat(5)
    assert [member.sweeps for member in members].count(True) == 1


async def test_what_is_of_another_secret_version_or_of_no_watch_is_refused_and_said_once(
    fleet: Fleet, server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = await led(fleet, 2)
    stranger = fleet.join(seal=Seal(b"another secret", "digits"))
    counting(stranger).note(NAMES[0], 5)
    other = fleet.join(Counting(scale=8))
    counting(other).note(NAMES[1], 5)
    for junk in (b"", b"VLw9" + bytes(30), SEAL.close(b"\xc1"), SEAL.close(b"\x94\xa1a\x01\xc2\xc4\x01a")):
        await here._log.append(here._birth, junk)
    asked = spread_over(here, there)
    await fleet.beat(3)
    assert counting(here).counts() == counting(there).counts() == asked
    assert here.refused == 6
    assert sum("was refused" in line for line in caplog.messages) == len(fleet.members)


def spread_over(*members: Replica) -> dict[str, int]:
    for member in members:
        counting(member).note(NAMES[2], 2)
    return {NAMES[2]: 2 * len(members)}


@pytest.mark.parametrize("broken", ["label", "part", "lost part"])
async def test_a_broken_snapshot_is_not_believed_and_replaced(fleet: Fleet, server: Valkey, broken: str) -> None:
    await led(fleet, 2)
    asked = spread(fleet, 100, random.Random(1))
    await fleet.beat(70)
    here = fleet.members[0]
    assert here._snapshot is not None
    part = here._log._parts(here._snapshot[0])[0]
    if broken == "label":
        server.say("SET", here._log._label, "nonsense")
    elif broken == "part":
        server.say("SET", part, "nonsense")
    else:
        server.say("DEL", part)
    late = fleet.join()
    await fleet.beat(2)
    assert len(counting(late).counts()) in {0, len(asked)}, "whatever is left of the log"
    counting(here).note(NAMES[0])
    await fleet.beat(70)
    later = fleet.join()
    await fleet.beat(2)
    assert counting(later).counts() == add(asked, {NAMES[0]: 1})


async def test_the_store_holds_a_bounded_amount_and_all_of_it_goes_with_time(
    fleet: Fleet, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_log, "ENTRIES_MAX", 50)
    monkeypatch.setattr(replica_module, "SNAPSHOT_ENTRIES", 20)
    await led(fleet, 2)
    for seed in range(200):
        spread(fleet, 30, random.Random(seed))
        await fleet.beat()
    log = fleet.members[0]._log
    assert int(server.say("XLEN", log._stream)[1:]) <= 50
    names = server.say("KEYS", "*").split()[2::2]
    assert len(names) <= 5, "stream, birth, label, lease and one snapshot of one part"
    assert all(int(server.say("PTTL", name.decode())[1:]) > 0 for name in names)


async def test_a_cluster_keeps_a_watch_on_one_node(lab: Lab) -> None:
    nodes = lab.cluster()
    fleet = Fleet("redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes))
    try:
        await led(fleet, 2)
        asked = spread(fleet, 100, random.Random(1))
        await fleet.beat(3)
        for member in fleet.members:
            assert counting(member).counts() == asked
        assert [int(node.say("DBSIZE")[1:]) > 0 for node in nodes].count(True) == 1
    finally:
        fleet.close()


def test_the_log_is_longer_than_what_is_handed_in_between_two_snapshots() -> None:
    assert ENTRIES_MAX >= 4 * replica_module.SNAPSHOT_ENTRIES
    assert replica_module.PAGES_AT_ONCE * watch_log.READ_AT_ONCE > ENTRIES_MAX
