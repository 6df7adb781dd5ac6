"""A fleet under load and under faults: what was admitted, held against what was allowed.

    python bench/fleet/run.py                      # fleet.yaml as it is: 4 gateways, 200 clients, 3 minutes
    python bench/fleet/run.py --store cluster      # the same on a Valkey cluster of 3 nodes
    python bench/fleet/run.py --faults [NAME ...]  # of stores, clocks and gateways; about 6 minutes
    python bench/fleet/run.py --chat               # chat.yaml: four at once, and a gateway that is killed in a stream
    python bench/fleet/run.py --hang               # what a store that hangs adds to a request

Everything is real and on loopback: `vallum serve` in processes of its own, Valkey, PostgreSQL, sockets.  The upstream
notes when each request reached it; a sliding window over those moments is the judge.
Exit codes: 0 what was promised held; 1 it did not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from load import Load, Upstream, lateness, most_at_upstream, most_for_certain

from servers import create_key, run_cluster, run_gateways, run_postgresql, run_valkey

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "examples" / "fleet.yaml"
LIMIT, WINDOW_S = 100, 60.0
SLACK_S = 2.0  # to serve a hundred requests, and a client's pause


async def hold_contract(options: argparse.Namespace, folder: Path) -> bool:
    """Run `fleet.yaml` unchanged for a few windows, and hold the admitted against the limit."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream().running())
        if options.store == "cluster":
            nodes = stack.enter_context(run_cluster(folder / "valkey"))
            counters = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        else:
            counters = f"redis://127.0.0.1:{stack.enter_context(run_valkey(folder / 'valkey')).port}/0"
        settings = {
            "VALLUM_COUNTERS": counters,
            "VALLUM_REGISTRY": stack.enter_context(run_postgresql(folder / "postgresql")),
            "VALLUM_UPSTREAM": f"http://127.0.0.1:{upstream.port}",
        }
        load = Load(create_key(POLICY, settings, "alice", "predict:read"), "contract")
        fleet = stack.enter_context(run_gateways(POLICY, folder, [settings] * options.gateways))
        seconds = options.windows * WINDOW_S
        print(f"{len(fleet)} gateways, {options.clients} clients, {seconds:.0f} s, {options.store} ...", flush=True)
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, over.set)
        await load.flood([member.port for member in fleet], options.clients, over)
    admitted = upstream.admitted["contract"]
    certain = most_for_certain(admitted, WINDOW_S)
    late = lateness(admitted, LIMIT, WINDOW_S, options.windows)
    allowed_s = [WINDOW_S / 24 * n + SLACK_S for n in range(options.windows)]
    took = sorted(wait.took_s * 1e3 for wait in load.waits)
    print(
        f"answers            {load.statuses()}, {took[len(took) // 2]:.1f} ms at the median, {took[-1]:.0f} ms at most"
    )
    if load.losses:
        print(f"lost               {dict(load.losses)}")
    print(f"admitted           {len(admitted)} of {LIMIT * options.windows} in {seconds:.0f} s")
    print(f"most in any {WINDOW_S:g} s   {certain} of {LIMIT} (at the upstream {most_at_upstream(admitted, WINDOW_S)})")
    print(f"each {LIMIT} complete  {[round(each, 2) for each in late]} s after its window began")
    exact = len(admitted) == LIMIT * options.windows and certain <= LIMIT
    return exact and all(map(float.__le__, late, allowed_s)) and set(load.statuses()) <= {200, 429}


async def hold_faults(options: argparse.Namespace, folder: Path) -> bool:
    """Bring every fault about, and print what it did."""
    from faults import run_faults

    return await run_faults(set(options.faults), folder)


async def hold_chat(options: argparse.Namespace, folder: Path) -> bool:
    """Run `chat.yaml`, and kill a gateway in a stream."""
    import chat

    return await chat.hold_chat(options.gateways, folder)


async def hold_hang(_: argparse.Namespace, folder: Path) -> bool:
    """Hang the store of a gateway's counters."""
    import hang

    return await hang.hold_hang(folder)


def show_logs(folder: Path) -> None:
    """Show the last that each gateway said."""
    for log in sorted(folder.rglob("gateway*/log")):
        print(f"{log.parent.name}:", *log.read_text().splitlines()[-8:], sep="\n  ")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("single", "cluster"), default="single")
    parser.add_argument("--faults", nargs="*", metavar="NAME")
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--hang", action="store_true")
    parser.add_argument("--gateways", type=int, default=4)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--windows", type=int, default=3)
    options = parser.parse_args()
    chosen = {hold_chat: options.chat, hold_hang: options.hang, hold_faults: options.faults is not None}
    run = next((each for each, wanted in chosen.items() if wanted), hold_contract)
    began = time.monotonic()
    memory = Path("/dev/shm")  # noqa: S108  a disk that others use makes servers pause
    with tempfile.TemporaryDirectory(prefix="vallum-fleet-", dir=memory if memory.is_dir() else None) as folder:
        held = asyncio.run(run(options, Path(folder)))
        if not held:
            show_logs(Path(folder))
    print(f"{'held' if held else 'DID NOT HOLD'}, after {time.monotonic() - began:.0f} s")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
