"""Foreign thieves at the gateway's door: the Adversarial Robustness Toolbox beside our own, over HTTP.

    pip install adversarial-robustness-toolbox torch
    python bench/extraction/foreign.py --gateway PYTHON [--watched] [--out DIR]

PYTHON is that of an environment with the gateway, which may be another than this script's.  CopycatCNN and KnockoffNets
ask a gateway over HTTP with ten keys in turn, as our own thieves do, in natural inputs and in those of another trade;
all students have the victim's architecture.  Compared is fidelity at as many answers.  With --watched each thief
meets a gateway of its own, whose watch has lived through two honest weeks and acts on what it finds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    sys.path.append(str(ROOT / "src"))  # facts alone; the gateway runs elsewhere

import numpy as np
import torch
from art.attacks.extraction import CopycatCNN, KnockoffNets
from art.estimators.classification import BlackBoxClassifier, PyTorchClassifier
from bench.extraction.answers import read
from bench.extraction.learners import STUDENT_DECAY, fit
from bench.extraction.worlds import WORLDS, plain
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS, POOL, HELD = 10, 6000, 2000
WEEKS = 2  # of honest use, before a watch acts
COUNTS = (300, 1000, 3000)
EPOCHS, BATCH = 60, 32


@contextmanager
def house(python: str, world: str, seed: int, weeks: int = 0) -> Iterator[dict[str, Any]]:
    """Run the gateway and its victim in another environment, after some weeks of honest use."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, str(Path(__file__).with_name("house.py")), world, str(seed), str(KEYS), folder, str(weeks)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin
        assert process.stdout
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(30)


class Door:
    """The gateway's door, at which each key asks in turn; `refused` counts what got no answer."""

    def __init__(self, told: dict[str, Any], world: Any) -> None:
        """Remember the keys."""
        self._port, self._keys = told["port"], told["keys"]
        self._world, self._connection = world, http.client.HTTPConnection("127.0.0.1", told["port"], timeout=30)
        self._turn = self.answered = self.refused = 0

    def predict(self, inputs: Any) -> Any:
        """Return what a student reads in the answers; nothing at all, where there was none."""
        classes = len(self._world.victim.weights[-1])
        flat = np.asarray(inputs, np.float32).reshape(len(inputs), -1)
        rows = []
        for document in self._world.documents(flat):
            answer = self._ask(document)
            rows.append(read([answer], classes)[0] if answer else np.full(classes, 1 / classes, np.float32))
        return np.array(rows, np.float32)

    def _ask(self, document: Any) -> dict[str, Any] | None:
        self._turn = (self._turn + 1) % len(self._keys)
        headers = {"authorization": f"Bearer {self._keys[self._turn]}", "content-type": "application/json"}
        self._connection.request("POST", "/predict", json.dumps({"input": document}), headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            self.refused += 1
            return None
        self.answered += 1
        answer: dict[str, Any] = json.loads(body)
        return answer


def network(world: Any, inputs: int, classes: int) -> Any:
    """Return an untrained student for the toolbox, of the victim's architecture."""
    torch.manual_seed(1)
    layers = [torch.nn.Linear(inputs, world.hidden), torch.nn.ReLU(), torch.nn.Linear(world.hidden, classes)]
    net = torch.nn.Sequential(*layers)
    return PyTorchClassifier(
        net, torch.nn.CrossEntropyLoss(), (inputs,), classes, torch.optim.Adam(net.parameters(), 3e-3)
    )


def attack(name: str, door: Door, world: Any, pool: Any, count: int) -> Any:
    """Steal with one of the thieves; return what the copy says of inputs."""
    classes, width = len(world.victim.weights[-1]), pool.shape[1]
    if name == "own":
        some = pool[np.random.default_rng(7).choice(len(pool), count, replace=False)]
        targets = door.predict(some)
        return fit(some, targets, np.random.default_rng(8), hidden=world.hidden, decay=STUDENT_DECAY).classes
    victim = BlackBoxClassifier(door.predict, (width,), classes)
    settings = {"batch_size_fit": BATCH, "batch_size_query": BATCH, "nb_epochs": EPOCHS, "nb_stolen": count}
    if name == "CopycatCNN":
        thief: Any = CopycatCNN(victim, **settings)
    else:
        adaptive = name == "KnockoffNets adaptive"
        more = {"sampling_strategy": "adaptive" if adaptive else "random", "use_probability": not adaptive}
        thief = KnockoffNets(victim, verbose=False, **more, **settings)
    labels = (pool @ np.random.default_rng(9).standard_normal((width, 5))).argmax(axis=1)  # of the thief's own
    np.random.seed(7)  # noqa: NPY002  the toolbox draws from it
    copied = thief.extract(pool, labels, thieved_classifier=network(world, width, classes))
    return lambda inputs: copied.predict(inputs).argmax(axis=1)


def compare(
    world_name: str, seed: int, python: str, console: Console, *, counts: list[int], kinds: list[str], watched: bool
) -> list[dict[str, Any]]:
    """Let all thieves steal from one victim."""
    world: Any = WORLDS[world_name](seed)
    rng = np.random.default_rng([seed, 21])
    pools = {"natural": plain(world, POOL, rng), "strange": world.strange(POOL, rng)}
    held = plain(world, HELD, rng)
    truth = world.victim.classes(held)
    found = []
    with ExitStack() as stack:
        told = None if watched else stack.enter_context(house(python, world_name, seed))
        for kind, count, name in _raids(kinds, counts):
            with ExitStack() as own:
                door = Door(told or own.enter_context(house(python, world_name, seed, WEEKS)), world)
                copied = attack(name, door, world, pools[kind], count)
            fidelity = float((copied(held) == truth).mean())
            entry = {"world": world_name, "seed": seed, "watched": watched, "pool": kind, "thief": name, "asked": count}
            found.append(entry | {"answers": door.answered, "fidelity": fidelity})
            console.print(f"{world_name}, {kind}, {name}: {fidelity:.3f} at {door.answered} of {count}")
    return found


def _raids(kinds: list[str], counts: list[int]) -> Iterator[tuple[str, int, str]]:
    """Yield what each raid asks about, how often, and whose it is."""
    for kind in kinds:
        for count in counts:
            for name in ("own", "CopycatCNN", "KnockoffNets"):
                yield kind, count, name
        if COUNTS[0] in counts:
            yield kind, COUNTS[0], "KnockoffNets adaptive"  # it trains after every single answer


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", required=True, metavar="PYTHON", help="Python of the gateway's environment")
    parser.add_argument("--worlds", nargs="+", default=["synth", "digits"], choices=sorted(WORLDS))
    parser.add_argument("--counts", nargs="+", type=int, default=list(COUNTS))
    parser.add_argument("--inputs", nargs="+", default=["natural", "strange"], choices=["natural", "strange"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--watched", action="store_true", help="by a watch that has lived through honest weeks")
    parser.add_argument("--out", type=Path, help="folder for foreign.json")
    options = parser.parse_args()
    logging.getLogger("art").setLevel(logging.ERROR)
    console = Console()
    found = [
        entry
        for name in options.worlds
        for entry in compare(
            name,
            options.seed,
            options.gateway,
            console,
            counts=options.counts,
            kinds=options.inputs,
            watched=options.watched,
        )
    ]
    console.width = max(console.width, 120)
    table = Table("victim", "inputs", "queries", *(thieves := list(dict.fromkeys(e["thief"] for e in found))))
    for world, kind, count in dict.fromkeys((e["world"], e["pool"], e["asked"]) for e in found):
        row = {e["thief"]: e for e in found if (e["world"], e["pool"], e["asked"]) == (world, kind, count)}
        cells = (f"{row[t]['fidelity']:.3f} ({row[t]['answers']})" if t in row else "-" for t in thieves)
        table.add_row(world, kind, str(count), *cells)
    console.print(table)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "foreign.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
