"""What the watch for extraction costs a query, one kind of input a row: features, sketch, leak meter.

    python bench/watch.py                         # about 20 seconds

Features are what one input and its answer become; the sketch is what they are added to; the meter is what is kept of
who is not trusted, to learn from.  All in CPU time: medians; then 99th percentiles of the first two together, which
every query costs, and of all three, each the least of a few rounds, as other work on the machine empties caches.
Searches for garbage are as rare as in a gateway that serves.  Below stand the bytes of a packed account and the time
that a sweep needs to copy 10,000 accounts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vallum.core.extraction import Account
from vallum.extraction.crowd import Crowd
from vallum.extraction.features.reader import READERS, Features
from vallum.extraction.leak_meter import LeakMeter
from vallum.extraction.reference import fit
from vallum.extraction.sketch import WINDOW_S
from vallum.gateway import freeze_loaded

QUERIES = 500  # of a round
ROUNDS = 20
ACCOUNTS = 10_000
START = 2800 * WINDOW_S
SECRET = b"bench"
RANDOM = np.random.default_rng(1)
ANSWER = {"prediction": 7, "confidence": 0.83}
WORDS = "amber birch cedar delta ember fjord".split()
PROMPT = "Explain to a new colleague, step by step, how this gateway decides whether a request may pass. "


def main() -> None:
    """Print the table."""
    freeze_loaded()
    print(f"{'us of CPU':24} {'features':>9} {'sketch':>9} {'meter':>9} {'p99 of 2':>9} {'of all':>9}")
    for words, kind, make in (
        ("vector of 24", "vector", lambda: RANDOM.random(24).tolist()),
        ("vector of 64", "vector", lambda: RANDOM.random(64).tolist()),
        ("vector of 784", "vector", lambda: RANDOM.random(784).tolist()),
        ("image, 8 x 8", "vector", lambda: RANDOM.random((8, 8)).tolist()),
        ("image, 28 x 28", "vector", lambda: RANDOM.random((28, 28)).tolist()),
        ("binary tensor of 784", "vector", lambda: RANDOM.random(784, np.float32)),
        ("table row of 30", "table", _row),
        ("image file of 20 KB", "image", lambda: b"\x89PNG" + RANDOM.bytes(20_000)),
    ):
        _measure_numbers(words, kind, make)
    _measure_texts()
    _measure_crowd()


def _row() -> tuple[Any, ...]:
    return (*RANDOM.random(24).tolist(), *(WORDS[place] for place in RANDOM.integers(6, size=6)))


def _measure_numbers(words: str, kind: str, make: Callable[[], Any]) -> None:
    inputs = [make() for _ in range(500)]
    lines = [line for line in map(READERS[kind], inputs) if line is not None]
    scale = fit(np.array(lines), RANDOM.random(500), SECRET)
    _measure(words, Features({kind: scale}), inputs, LeakMeter(scale, SECRET, kind))


def _measure_texts() -> None:
    try:
        from vallum.extraction.features.text import Texts
    except ImportError:
        return
    for size in (100, 1000, 10_000):
        texts = [f"{index}: {PROMPT * (size // len(PROMPT) + 1)}"[:size] for index in range(500)]
        _measure(f"text of {size}", Features({}, Texts(SECRET)), texts, LeakMeter(None, SECRET))


def _measure(words: str, features: Features, inputs: list[Any], meter: LeakMeter) -> None:
    """Ask many queries, one after another, and print what each part took."""
    crowd = Crowd(0, SECRET)
    accounts = [Account(f"account {number}", network=f"10.0.{number}.0/24") for number in range(200)]
    taken = np.empty((ROUNDS, QUERIES, 3))
    clock = time.thread_time_ns
    for number in range(ROUNDS * QUERIES):
        account, value = accounts[number % len(accounts)], (inputs[number % len(inputs)],)
        begun = clock()
        seen = features.see(value, ANSWER)
        read = clock()
        assert seen is not None
        crowd.add(account, seen.rows, START + number)
        added = clock()
        meter.note(account.name, value, ANSWER, trusted=False, near=seen.near)
        taken[number // QUERIES, number % QUERIES] = read - begun, added - read, clock() - added
    medians = np.median(taken, axis=(0, 1))
    rare = [np.percentile(taken[:, :, :parts].sum(axis=2), 99, axis=1).min() for parts in (2, 3)]
    print(f"{words:24}" + "".join(f" {value / 1e3:>9.1f}" for value in (*medians, *rare)), flush=True)


def _measure_crowd() -> None:
    crowd = Crowd(0, SECRET)
    rows = np.ones((1, 136), np.float32) / 12
    accounts = [Account(f"account {number}", network=f"10.0.{number % 250}.0/24") for number in range(ACCOUNTS)]
    for at in (START, START + WINDOW_S):
        for account in accounts:
            crowd.add(account, rows, at)
    kept = crowd.sketch("account 7")
    assert kept is not None
    times = []
    for _ in range(20):
        begun = time.thread_time()
        crowd.snapshot(START + 1.5 * WINDOW_S)
        times.append(time.thread_time() - begun)
    print(f"\none account, packed: {len(kept.pack())} bytes")
    print(f"snapshot of {ACCOUNTS} accounts: {np.median(times) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
