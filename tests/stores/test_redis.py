"""Counters on a real Valkey server, a cluster, Sentinels and TLS: exact, all or nothing, and in step with replies."""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from vallum.core.errors import DependencyError
from vallum.core.quota import Demand, Quota, Strategy
from vallum.stores.redis.address import Address, Endpoint
from vallum.stores.redis.link import REPLY_MAX_BYTES, LinkLostError, LoginError, SilentError, connect, pack
from vallum.stores.redis.scripts import key_name
from vallum.stores.redis.topology import slot_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.stores.conftest import Lab, Valkey

    from vallum.stores.redis.counters import RedisCounters


HOUR_US = 3_600_000_000
TEN = Quota("ten", 10, HOUR_US)
MANY = Quota("many", 1_000_000, HOUR_US)


def demand(quota: Quota = TEN, who: str = "alice", cost: int = 1) -> Demand:
    return Demand(quota, f"{quota.name}\x1f{who}", cost, holder=who)


async def admitted(store: Any, times: int, *demands: Demand) -> int:
    answers = await asyncio.gather(*(store.take(demands or (demand(),)) for _ in range(times)))
    return sum(taken.refused is None for taken in answers)


async def left(store: Any, asked: Demand) -> int:
    """Return what is left of a bucket, without taking any of it."""
    return int((await store.take((asked._replace(cost=0),))).levels[0][1])


# --- exact


@pytest.mark.parametrize("clustered", [False, True], ids=["one server", "a cluster"])
async def test_a_limit_of_n_admits_n_to_all_nodes_together(lab: Lab, clustered: bool) -> None:
    nodes = lab.cluster() if clustered else [lab.server()]
    url = f"redis+cluster://127.0.0.1:{nodes[0].port}" if clustered else nodes[0].url
    stores = [lab.store(url) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    assert sum(await asyncio.gather(*(admitted(store, 50) for store in stores))) == 10


TAKER = """
import asyncio, sys
from vallum.core.quota import Demand, Quota
from vallum.stores.redis.address import Address
from vallum.stores.redis.counters import RedisCounters
async def main():
    store = RedisCounters(Address.parse(sys.argv[1]))
    await store.open()
    demands = (Demand(Quota("ten", 10, 3_600_000_000), "ten", holder="alice"),)
    answers = await asyncio.gather(*(store.take(demands) for _ in range(50)))
    print(sum(taken.refused is None for taken in answers))
    store.close()
asyncio.run(main())
"""


async def test_a_limit_of_n_admits_n_to_processes_together(lab: Lab) -> None:
    url = lab.server().url
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", TAKER, url, stdout=asyncio.subprocess.PIPE)
        for _ in range(4)
    ]
    said = [(await process.communicate())[0] for process in processes]
    assert sum(map(int, said)) == 10, said


@pytest.mark.parametrize("clustered", [False, True], ids=["one server", "a cluster"])
async def test_all_demands_are_taken_or_none(lab: Lab, clustered: bool) -> None:
    """In a cluster the tenant's bucket lies elsewhere: what it gave is given back."""
    nodes = lab.cluster() if clustered else [lab.server()]
    store = lab.store(f"redis+cluster://127.0.0.1:{nodes[0].port}" if clustered else nodes[0].url)
    await store.open()
    holders = ["a", "b", "c", "d"]
    assert len({slot_of(f"vlm:{{{holder}}}") // 5462 for holder in holders}) > 1
    demands = (*(demand(MANY, holder) for holder in holders), demand(TEN, "alice"))
    refused = [(await store.take(demands)).refused for _ in range(30)]
    assert refused == [None] * 10 + [TEN] * 20
    await asyncio.gather(*store._settling)
    assert [await left(store, each) for each in demands[:4]] == [MANY.limit - 10] * 4


async def test_what_a_cluster_took_for_good_is_not_remembered_as_a_reservation(lab: Lab) -> None:
    """A bucket that remembers 4,096 of them refuses: a quota of 5,000 a day would never be used up."""
    store = lab.store(f"redis+cluster://127.0.0.1:{lab.cluster()[0].port}")
    await store.open()
    demands = (demand(MANY, "a"), demand(MANY, "b"))
    assert slot_of("vlm:{a}") != slot_of("vlm:{b}")
    for _ in range(5):
        assert (await store.take(demands)).refused is None
    await asyncio.gather(*store._settling)
    for each in demands:
        key = key_name(each.holder, each.key)
        assert await store.ask(key, "HMGET", key, "n", "p") == [b"5", b"0"]


async def test_levels_of_a_clusters_answer_are_in_the_order_of_the_demands(lab: Lab) -> None:
    store = lab.store(f"redis+cluster://127.0.0.1:{lab.cluster()[1].port}")
    await store.open()
    quotas = [Quota(f"q{number}", 100 + number, HOUR_US) for number in range(12)]
    taken = await store.take(tuple(demand(quota, quota.name) for quota in quotas))
    assert [(quota, quota.limit - 1) for quota in quotas] == [level[:2] for level in taken.levels]


async def test_what_was_reserved_is_settled_and_leases_are_renewed(lab: Lab) -> None:
    store = lab.store(lab.server().url)
    reserved = (demand(MANY, cost=1000),)
    assert (await store.take(reserved, "id-1")).refused is None
    await store.settle((reserved[0]._replace(cost=10),), "id-1")
    await store.settle((reserved[0]._replace(cost=10),), "id-1")
    assert await left(store, reserved[0]) == MANY.limit - 10
    lease = (demand(Quota("two", 2, HOUR_US, strategy=Strategy.LEASES)),)
    refused = [(await store.take(lease, f"lease-{number}")).refused for number in range(3)]
    assert [quota is None for quota in refused] == [True, True, False]
    await store.renew(lease, "lease-0")
    await store.renew(reserved, "id-1")
    await store.settle(lease, "lease-0")
    assert (await store.take(lease, "lease-4")).refused is None


async def test_a_key_is_noted_once(lab: Lab) -> None:
    store = lab.store(lab.server().url)
    answers = await asyncio.gather(*(store.set_once("jti-1", 60_000) for _ in range(20)))
    assert sorted(answers) == [False] * 19 + [True]
    assert await store.set_once("jti-2", 60_000)


# --- in step


async def test_who_stops_waiting_gets_nobody_elses_reply(lab: Lab) -> None:
    """A task that is cancelled leaves its place in the line: the next is not handed its reply."""
    server = lab.server()
    link = await connect(Endpoint("127.0.0.1", server.port), Address.parse(server.url), None)

    async def echo(word: str) -> bytes:
        reply: bytes = await link.send(pack("ECHO", word))
        return reply

    tasks = {word: asyncio.ensure_future(echo(word)) for word in map(str, range(300))}
    await asyncio.sleep(0)
    for word in list(tasks)[::3]:
        tasks.pop(word).cancel()
    for word, task in tasks.items():
        assert await task == word.encode()
    link.lose(LinkLostError("done"))


async def test_commands_of_one_turn_leave_in_one_write(lab: Lab) -> None:
    server = lab.server()
    store = lab.store(server.url)
    assert await admitted(store, 1, demand(MANY)) == 1
    before = _figure(server.say("INFO", "stats"), b"total_reads_processed")
    assert await admitted(store, 100, demand(MANY)) == 100
    assert _figure(server.say("INFO", "stats"), b"total_reads_processed") - before < 20


def _figure(info: bytes, name: bytes) -> int:
    return int(info.split(name + b":")[1].split(b"\r\n")[0])


async def test_scripts_that_the_server_forgot_are_sent_again(lab: Lab) -> None:
    server = lab.server()
    store = lab.store(server.url)
    assert await admitted(store, 4) == 4
    server.say("SCRIPT", "FLUSH")
    assert await admitted(store, 4) == 4
    server.kill()
    server.start()
    assert (await store.take((demand(),))).levels[0][1] == 9, "memory is gone with the server, and it counts again"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak Redis' protocol: is that the right port"),
        (b"+OK\r\n+OK\r\n", "answered what it was not asked"),
        (b"$%d\r\n" % (REPLY_MAX_BYTES * 2) + b"x" * (REPLY_MAX_BYTES + 1), "sent a reply over"),
        (b"", "closed the connection"),
    ],
    ids=["another protocol", "a reply too many", "a huge reply", "nothing"],
)
async def test_what_is_no_store_is_told_apart(said: bytes, words: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def talk() -> None:
        link = await connect(Endpoint("127.0.0.1", port), Address.parse("redis://x"), None)
        await link.send(pack("PING"))
        await link.send(pack("PING"))

    with pytest.raises(DependencyError, match=words):
        await talk()
    server.close()


# --- being let in


async def test_a_store_that_does_not_let_us_in_says_so_and_not_the_password(lab: Lab) -> None:
    server = lab.server("--requirepass", "s3cret")
    for login, words in (("", "asks for a password"), (":wr0ng@", "does not take"), ("who:wr0ng@", "does not take")):
        with pytest.raises(LoginError, match=words) as caught:
            await lab.store(f"redis://{login}127.0.0.1:{server.port}").open()
        assert "wr0ng" not in str(caught.value)
    store = lab.store(f"redis://:s3cret@127.0.0.1:{server.port}/3")
    await store.open()
    assert await admitted(store, 20) == 10
    assert "s3cret" not in repr(store.calls.address)


async def test_a_store_of_another_kind_is_refused_at_the_start(lab: Lab) -> None:
    nodes = lab.cluster()
    with pytest.raises(LoginError, match=r"write redis\+cluster://"):
        await lab.store(nodes[0].url).open()
    single = lab.server()
    with pytest.raises(LoginError, match="no node of a cluster"):
        await lab.store(f"redis+cluster://127.0.0.1:{single.port}").open()
    replica = lab.server("--replicaof", f"127.0.0.1 {single.port}")
    with pytest.raises(LoginError, match="is a replica"):
        await lab.store(replica.url).open()


async def test_tls_is_verified(lab: Lab, tmp_path: Path) -> None:
    """TLS ends before the server here: the embedded one does not speak it."""
    authority, stranger = trustme.CA(), trustme.CA()
    for name, ca in (("ca", authority), ("stranger", stranger)):
        ca.cert_pem.write_to_path(str(tmp_path / f"{name}.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    faults = await lab.faults(lab.server(), context)
    store = lab.store(f"rediss://127.0.0.1:{faults.port}?ca={tmp_path}/ca.pem")
    await store.open()
    assert await admitted(store, 20) == 10
    for host, query in (("127.0.0.1", ""), ("localhost", "?ca={}/ca.pem"), ("127.0.0.1", "?ca={}/stranger.pem")):
        with pytest.raises(DependencyError, match="cannot be reached"):
            await lab.store(f"rediss://{host}:{faults.port}{query.format(tmp_path)}").open()
    with pytest.raises(DependencyError):
        await lab.store(f"redis://127.0.0.1:{faults.port}").open()
    with pytest.raises(DependencyError, match="cannot be read"):
        lab.store(f"rediss://h?ca={tmp_path}/none.pem")


async def test_a_unix_socket_is_an_address(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    lab.server("--unixsocket", str(path))
    store = lab.store(f"unix://{path}")
    await store.open()
    assert await admitted(store, 20) == 10


# --- topologies that change


async def test_slots_that_move_are_followed(lab: Lab) -> None:
    nodes = lab.cluster()
    store = lab.store(f"redis+cluster://127.0.0.1:{nodes[0].port}")
    await store.open()
    assert await admitted(store, 6) == 6
    key = nodes_key(nodes)
    holder = next(node for node in nodes if node.say("EXISTS", key) == b":1\r\n")
    target = next(node for node in nodes if node is not holder)
    slot = str(slot_of(key))
    ids = {node.port: node.say("CLUSTER", "MYID").split(b"\r\n")[1].decode() for node in nodes}
    target.say("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[holder.port])
    holder.say("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
    assert await admitted(store, 1) == 1, "the key is still where it was"
    assert holder.say("MIGRATE", "127.0.0.1", str(target.port), key, "0", "5000") == b"+OK\r\n"
    assert await admitted(store, 1) == 1, "asked for at the other (ASK)"
    for node in (target, holder, *nodes):
        node.say("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
    assert await admitted(store, 10) == 2, "and then at home there (MOVED)"


def nodes_key(nodes: list[Valkey]) -> str:
    keys = [
        word.decode()
        for node in nodes
        for word in node.say("KEYS", "vlm:{*").split(b"\r\n")
        if word.startswith(b"vlm:{")
    ]
    assert len(keys) == 1, keys
    return keys[0]


async def test_the_master_that_sentinels_name_is_asked_and_its_successor_after_it(
    lab: Lab, eventually: Callable[..., Awaitable[Any]]
) -> None:
    first = lab.server()
    second = lab.server("--replicaof", f"127.0.0.1 {first.port}")
    named = {"master": first.port}

    async def sentinel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        port = str(named["master"])
        writer.write(f"*2\r\n$9\r\n127.0.0.1\r\n${len(port)}\r\n{port}\r\n".encode())
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(sentinel, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = lab.store(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/mymaster")
    await store.open()
    assert await admitted(store, 6) == 6
    await eventually(lambda: b"master_link_status:up" in second.say("INFO", "replication"))
    await eventually(lambda: b"lag=0" in first.say("INFO", "replication"))
    first.kill()
    with pytest.raises(DependencyError):
        await store.take((demand(),))
    second.say("REPLICAOF", "NO", "ONE")
    named["master"] = second.port
    assert await admitted(store, 10) == 4, "what was replicated counts"
    server.close()


# --- faults on the way


async def test_a_broken_connection_is_made_anew_within_the_request(lab: Lab) -> None:
    faults = await lab.faults(lab.server())
    store = lab.store(f"redis://127.0.0.1:{faults.port}?timeout_ms=2000")
    assert await admitted(store, 3) == 3
    faults.reset()
    assert await admitted(store, 20) <= 7, "what broke in the middle may be charged twice, and never not at all"
    assert await left(store, demand()) == 0


async def test_a_silent_store_is_given_up_in_time(lab: Lab) -> None:
    server = lab.server()
    store = lab.store(server.url)
    await store.open()
    server.pause()
    loop = asyncio.get_running_loop()
    started = loop.time()
    answers = await asyncio.gather(*(store.take((demand(),)) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(answer, SilentError) for answer in answers)
    assert loop.time() - started < 0.25  # 60 ms, on a machine that has nothing else to do


# --- addresses


@pytest.mark.parametrize(
    ("url", "kind", "endpoints", "more"),
    [
        ("redis://h", "single", ["h:6379"], {}),
        ("valkey://h:1/2", "single", ["h:1"], {"db": 2}),
        ("rediss://u:p%40@[::1]:7?ca=/x.pem", "single", ["[::1]:7"], {"user": "u", "password": "p@", "ca": "/x.pem"}),
        ("unix:///run/a.sock?db=1", "single", ["/run/a.sock"], {"db": 1}),
        ("unix://:p@/run/a.sock", "single", ["/run/a.sock"], {"password": "p"}),
        ("redis+sentinel://a,b:1/main/3", "sentinel", ["a:26379", "b:1"], {"service": "main", "db": 3}),
        ("rediss+cluster://a,b", "cluster", ["a:6379", "b:6379"], {"tls": True}),
        ("redis://h?timeout_ms=200", "single", ["h:6379"], {"timeout_s": 0.2}),
    ],
)
def test_addresses(url: str, kind: str, endpoints: list[str], more: dict[str, Any]) -> None:
    address = Address.parse(url)
    assert (address.kind, [str(endpoint) for endpoint in address.endpoints]) == (kind, endpoints)
    assert {name: getattr(address, name) for name in more} == more


@pytest.mark.parametrize(
    "url",
    "redis: redis:// http://h redis://h/x redis://h:99999 redis://a,b redis+cluster://a/1 redis+sentinel://a "
    "redis://h?tls=1 redis://h?ca=x redis://s3cret@h unix://h/x redis://h/1/2 redis://:s3cret@h:x "
    "redis://h?timeout_ms=0 redis://:s3cret@h/x".split(),
)
def test_what_is_no_address_is_an_error_without_the_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        Address.parse(url)
    assert "s3cret" not in str(caught.value)
    assert "redis" in str(caught.value) or "password" in str(caught.value)


def test_slots_are_those_of_the_specification() -> None:
    assert slot_of("123456789") == 0x31C3
    assert slot_of("{user1000}.following") == slot_of("{user1000}.followers")
    assert slot_of("foo{}{bar}") != slot_of("{bar}")
    assert slot_of("foo{bar}{zap}") == slot_of("bar")


async def test_a_node_of_a_cluster_that_dies_is_an_outage_until_another_serves_its_slots(lab: Lab) -> None:
    nodes = lab.cluster()
    store = lab.store(f"redis+cluster://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}")
    await store.open()
    nodes[2].kill()
    served = unserved = 0
    for number in range(30):
        try:
            assert (await store.take((demand(MANY, str(number)),))).refused is None
            served += 1
        except DependencyError:
            unserved += 1
    assert unserved
    with pytest.raises(DependencyError):
        await store.beat()
    nodes[2].start()
    async with asyncio.timeout(15):
        while True:
            if await whole(store):
                break
            await asyncio.sleep(0.05)
    assert [await admitted(store, 1, demand(MANY, str(number))) for number in range(30)] == [1] * 30


async def whole(store: RedisCounters) -> bool:
    try:
        return bool(await store.beat())
    except DependencyError:
        return False
