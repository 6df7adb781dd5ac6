"""Faults, one after the other, while clients ask: what was admitted, what they waited, and when all was as before."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from load import Load, Upstream, Waited, most_for_certain

from servers import (
    Gateway,
    Tunnel,
    Valkey,
    create_key,
    run_cluster,
    run_gateways,
    run_postgresql,
    run_valkey,
    skewed,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ROOT = Path(__file__).parents[2]
LIMIT, WINDOW_S = 80, 6.0
CLIENTS, GATEWAYS, WORKERS = 40, 4, 2
BEFORE_S, HOLD_S, AFTER_S = 3.0, 4.0, 7.0
PATIENCE_S = 20.0
TRIES = 5
SKEW = "+1h"


@dataclass
class Scene:
    """A fleet, and what can be done to it."""

    fleet: list[Gateway]
    stores: list[Valkey]
    upstream: Upstream
    policy: Path
    settings: dict[str, str]
    tunnel: Tunnel | None = None

    async def kill_store(self) -> None:
        """End the store as a crash does, and lose what it had counted."""
        self.stores[0].stop()
        for left in self.stores[0].clock.parent.glob("appendonly*"):
            shutil.rmtree(left)

    async def start_store(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self.stores[0].start)

    async def stop_store(self) -> None:
        """End the store as an operator does; it keeps its file."""
        await asyncio.to_thread(self.stores[0].stop, politely=True)

    async def hang_store(self) -> None:
        """Let it take connections and answer nothing."""
        self.stores[0].send(signal.SIGSTOP)

    async def wake_store(self) -> None:
        """Let it go on."""
        self.stores[0].send(signal.SIGCONT)

    async def cut(self) -> None:
        """Turn the first gateway's way to the store into a black hole."""
        assert self.tunnel is not None
        self.tunnel.cut()

    async def mend(self) -> None:
        """Let it lead there again."""
        assert self.tunnel is not None
        self.tunnel.mend()

    async def set_back(self) -> None:
        """Set the store's clock back by half a window."""
        self.stores[0].set_clock(f"-{WINDOW_S / 2:g}")

    async def set_ahead(self) -> None:
        """Set the store's clock an hour ahead."""
        self.stores[0].set_clock("+3600")

    async def kill_worker(self) -> None:
        """Kill a worker; its supervisor starts another."""
        os.kill(self.fleet[1].workers[0], signal.SIGKILL)

    async def kill_gateway(self) -> None:
        """Kill a gateway with its workers.  Nobody starts it again."""
        await asyncio.to_thread(self.fleet.pop(1).kill)

    async def nothing(self) -> None:
        """Let all be as it is."""


@dataclass(frozen=True)
class Fault:
    """What is done and undone, and how many may then be admitted in a window: None where nothing is counted."""

    name: str
    strike: Callable[[Scene], Awaitable[None]]
    heal: Callable[[Scene], Awaitable[None]] = Scene.nothing
    allowed: int | None = LIMIT
    answer: str = "local"  # the route's on_store_failure
    scene: str = "server"
    store_lives: bool = False  # then no call of it may fail


@dataclass
class Outcome:
    """What a fault did."""

    fault: Fault
    most: int
    during: int  # admitted while the fault lasted
    load: Load
    struck: float
    healed: float
    back_s: float  # after the fault's end, until every worker counts in the store
    disturbed: bool  # the store was silent when it had no reason to be: the machine had no time for it

    @property
    def held(self) -> bool:
        """Whether no more was admitted than allowed, and all was as before in the end."""
        return (self.fault.allowed is None or self.most <= self.fault.allowed) and self.back_s < PATIENCE_S

    def row(self) -> str:
        """Write a row of the table."""
        answers = {"503": 503, "lost": 0}
        other = ", ".join(
            f"{count} {name}" for name, status in answers.items() if (count := self.load.statuses().get(status))
        )
        before = [wait for wait in self.load.waits if wait.began < self.struck]
        during = [wait for wait in self.load.waits if self.struck - 0.1 <= wait.began < self.healed]
        cells = (
            self.fault.name,
            self.fault.answer,
            self.most,
            "-" if self.fault.allowed is None else self.fault.allowed,
            self.during,
            other or "none",
            latency(before),
            latency(during),
            f"{self.back_s:.1f} s",
        )
        return "| " + " | ".join(map(str, cells)) + " |"


HEAD = (
    f"| fault | `on_store_failure` | most in any {WINDOW_S:g} s | allowed | admitted while it lasted "
    "| other than 200 and 429 | ms before: p50, p99, max | ms while it lasted | counting again after |"
)
# What may pass: around the moment of a failure what the store had admitted and what the shares admit after it.
FAULTS = (
    Fault(f"none; one gateway's clock is off by {SKEW}", Scene.nothing, store_lives=True),
    Fault("the store hangs, and goes on", Scene.hang_store, Scene.wake_store, 2 * LIMIT),
    Fault("the same", Scene.hang_store, Scene.wake_store, LIMIT, "deny"),
    Fault("the same", Scene.hang_store, Scene.wake_store, None, "allow"),
    Fault("the store is killed, and comes back empty", Scene.kill_store, Scene.start_store, 2 * LIMIT),
    Fault("the same", Scene.kill_store, Scene.start_store, 2 * LIMIT, "deny"),
    Fault("the store restarts with its append-only file", Scene.stop_store, Scene.start_store, 2 * LIMIT),
    Fault("one gateway of four is cut off from the store", Scene.cut, Scene.mend, LIMIT + LIMIT // GATEWAYS),
    Fault("the store's clock goes back half a window", Scene.set_back, scene="clock", store_lives=True),
    Fault(
        "the store's clock goes an hour ahead",
        Scene.set_ahead,
        Scene.nothing,
        2 * LIMIT,
        scene="clock",
        store_lives=True,
    ),
    Fault("a worker is killed", Scene.kill_worker, store_lives=True),
    Fault("a gateway is killed", Scene.kill_gateway, store_lives=True),
    Fault(
        "cluster: a node restarts with its append-only file",
        Scene.stop_store,
        Scene.start_store,
        2 * LIMIT,
        scene="cluster",
    ),
    Fault("cluster: a node hangs, and goes on", Scene.hang_store, Scene.wake_store, 2 * LIMIT, scene="cluster"),
)


def latency(waits: list[Waited]) -> str:
    """Write the median, the 99th percentile and the most, in milliseconds."""
    if not waits:
        return "-"
    took = sorted(wait.took_s * 1e3 for wait in waits)
    return f"{took[len(took) // 2]:.0f}, {took[len(took) * 99 // 100]:.0f}, {took[-1]:.0f}"


def make_folder(folder: Path, name: str) -> Path:
    """Make a folder of one scene."""
    (folder / name).mkdir()
    return folder / name


def write_policy(folder: Path) -> Path:
    """Write `fleet.yaml` with a short window, and its route once for each answer to an outage."""
    text = (ROOT / "examples" / "fleet.yaml").read_text()
    text = text.replace("- 100 per minute", f"- {LIMIT} per {WINDOW_S:g} seconds").replace(
        "5000 per day", "1000000 per day"
    )
    head, route, rest = re.split(r"(?=  - name: )", text)
    routes = [route]
    for answer in ("deny", "allow"):
        own = route.replace("name: predict", f"name: {answer}").replace("/api/v1/predict", f"/{answer}")
        own = re.sub(r"- (\d+ per \d+ seconds)", rf"- {{limit: \1, on_store_failure: {answer}}}", own)
        routes.append(own.replace("per: tenant", f"per: tenant, on_store_failure: {answer}"))
    path = folder / "faults.yaml"
    path.write_text(head + "".join(routes) + rest)
    return path


async def metric(gateway: Gateway, name: str) -> list[float]:
    """Return a metric of each of a gateway's workers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.admin)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        said = (await reader.read(-1)).decode()
    writer.close()
    return [float(value) for value in re.findall(rf"^{name}\{{[^}}]*\}} (\S+)", said, re.MULTILINE)]


async def failures(fleet: list[Gateway]) -> dict[int, float]:
    """Return how often each gateway's calls of the store have failed."""
    return {member.port: sum(await metric(member, "vallum_counter_store_failures_total")) for member in fleet}


async def all_up(fleet: list[Gateway]) -> float:
    """Wait until every worker counts in the store; return how long that took."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_S:
        if all([await metric(member, "vallum_counter_store_up") == [1.0] * WORKERS for member in fleet]):
            break
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def bring_about(fault: Fault, scene: Scene, name: str) -> Outcome:
    """Let clients ask, strike, wait, heal, and let them ask on."""
    await all_up(scene.fleet)
    failed = await failures(scene.fleet)
    key = await asyncio.to_thread(create_key, scene.policy, scene.settings, name, "predict:read")
    path = "/api/v1/predict" if fault.answer == "local" else f"/{fault.answer}"
    load = Load(key, name, path, always_pause=True)
    over = asyncio.Event()
    clients = asyncio.ensure_future(load.flood([member.port for member in scene.fleet], CLIENTS, over))
    await asyncio.sleep(BEFORE_S)
    disturbed = await failures(scene.fleet) != failed
    struck = time.monotonic()
    await fault.strike(scene)
    await asyncio.sleep(HOLD_S)
    await fault.heal(scene)
    healed = time.monotonic()
    back_s = await all_up(scene.fleet)
    await asyncio.sleep(AFTER_S)
    over.set()
    await clients
    if fault.store_lives:
        disturbed = disturbed or any(count > failed[port] for port, count in (await failures(scene.fleet)).items())
    admitted = scene.upstream.admitted.get(name, [])
    during = sum(struck <= one.arrived < healed for one in admitted)
    return Outcome(fault, most_for_certain(admitted, WINDOW_S), during, load, struck, healed, back_s, disturbed)


@asynccontextmanager
async def run_scene(folder: Path, kind: str) -> AsyncIterator[Scene]:
    """Start a fleet on one server, or on a cluster."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream().running())
        policy = write_policy(folder)
        settings = {
            "VALLUM_REGISTRY": stack.enter_context(run_postgresql(folder / "postgresql")),
            "VALLUM_UPSTREAM": f"http://127.0.0.1:{upstream.port}",
        }
        durable = ("--appendonly", "yes", "--appendfsync", "no")  # of a process that dies, nothing is lost
        if kind == "cluster":
            stores = stack.enter_context(run_cluster(folder / "valkey", *durable))
            url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in stores)
            fleet = stack.enter_context(run_gateways(policy, folder, [settings | {"VALLUM_COUNTERS": url}] * 2))
            yield Scene(fleet, stores, upstream, policy, settings)
            return
        store = stack.enter_context(run_valkey(folder / "valkey", *durable, clock=kind == "clock"))
        tunnel = Tunnel(store.port)
        stack.callback(tunnel.close)
        stack.callback(tunnel.mend)
        ports = [tunnel.port] + [store.port] * (GATEWAYS - 1)
        each = [settings | {"VALLUM_COUNTERS": f"redis://127.0.0.1:{port}/0"} for port in ports]
        each[-1] |= skewed(SKEW)
        fleet = stack.enter_context(run_gateways(policy, folder, each))
        yield Scene(fleet, [store], upstream, policy, settings, tunnel)


async def run_faults(names: set[str], folder: Path) -> bool:
    """Bring about every fault whose name holds one of `names`, or all, and print what each did."""
    print(
        f"{LIMIT} per {WINDOW_S:g} s, {GATEWAYS} gateways of {WORKERS} workers (2 on the cluster), {CLIENTS} clients\n"
    )
    print(HEAD + "\n" + "|---" * HEAD.count(" | ") + "|---|", flush=True)
    held = True
    for kind in ("server", "clock", "cluster"):
        wanted = [
            fault for fault in FAULTS if fault.scene == kind and (not names or any(n in fault.name for n in names))
        ]
        if wanted:
            async with run_scene(make_folder(folder, kind), kind) as scene:
                for fault in wanted:
                    outcome = await bring_about_undisturbed(fault, scene)
                    print(outcome.row() + ("" if outcome.held else "  DID NOT HOLD"), flush=True)
                    held = held and outcome.held
    return held


async def bring_about_undisturbed(fault: Fault, scene: Scene) -> Outcome:
    """Repeat what was disturbed: there, the store was out for want of processor time before it was struck."""
    for left in reversed(range(TRIES)):
        outcome = await bring_about(fault, scene, os.urandom(4).hex())
        if not outcome.disturbed or not left:
            break
        print(f"disturbed, repeated: {outcome.row()}", file=sys.stderr, flush=True)
    return outcome
