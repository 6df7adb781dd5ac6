"""What it costs to take out of an answer what may not leave: a chat answer of 1 KB, and one event of a stream.

    python bench/disclosure/speed.py [--rounds 7]

CPU of this process alone, in memory: no socket, no HTTP.  Before anything is measured, what leaves must be right.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

import msgspec

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.policy import Outlet
from vallum.core.relay import Through, Whole
from vallum.core.stream import Events

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9000"}}
authenticators: {keys: {type: api_key}}
routes:
  - name: route
    match: {methods: [POST], path: /x}
    upstream: model
    preset: %s
    auth: {any_of: [keys]}
    response: %s
"""
WITHHELD = ("logprob", "fingerprint", "service_tier", "cached_tokens")
TOKEN = {"token": " and", "logprob": -0.31725305, "bytes": [32, 97, 110, 100], "top_logprobs": []}
ANSWER = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "created": 1741569952,
    "model": "house-7b",
    "system_fingerprint": "fp_44709d6fcb",
    "service_tier": "default",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "A word or two. " * 20, "refusal": None, "annotations": []},
            "logprobs": {"content": [TOKEN, TOKEN]},
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 19,
        "completion_tokens": 10,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 0},
    },
}
EVENT = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion.chunk",
    "created": 1741569952,
    "model": "house-7b",
    "system_fingerprint": "fp_44709d6fcb",
    "choices": [{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}],
}
SCORES = {
    "prediction": "cat",
    "probabilities": {f"class-{n}": 0.123456789 / (n + 1) for n in range(25)},
    "logits": [0.1] * 20,
}


def outlet_of(preset: str, response: str = "{}") -> Outlet:
    """Compile a route of `preset`."""
    _, policy = load_policy(parse_source(Path("policy.yaml"), (POLICY % (preset, response)).encode(), {}))
    return policy.routes[0].outlet


def whole(outlet: Outlet, body: bytes) -> Callable[[], Any]:
    """Return the filtering of one whole answer."""

    def run() -> Any:
        relay = Whole(outlet, set(), enforce=True)
        relay.chunk(body)
        return relay.end()

    return run


def cases() -> dict[str, tuple[Callable[[], Any], int]]:
    """Return what is measured, and the bytes that go in."""
    answer = json.dumps(ANSWER).encode()
    event = b"data: " + json.dumps(EVENT).encode() + b"\n\n"
    predict = json.dumps(SCORES).encode()
    chat = outlet_of("openai.chat")
    events, through = Events(chat, set(), enforce=True), Through()
    rounded = outlet_of("predict.json", "{disclose: [probabilities], confidence: {field: probabilities, round: 2}}")
    return {
        "chat answer, preset": (whole(chat, answer), len(answer)),
        "chat answer, drop_fields alone": (
            whole(outlet_of("json", "{drop_fields: [logprobs, system_fingerprint, service_tier]}"), answer),
            len(answer),
        ),
        "chat answer, only read and written": (lambda: msgspec.json.encode(msgspec.json.decode(answer)), len(answer)),
        "predict answer, preset": (whole(outlet_of("predict.json"), predict), len(predict)),
        "predict answer, 25 scores rounded": (whole(rounded, predict), len(predict)),
        "chat event, preset": (lambda: events.chunk(event), len(event)),
        "event on a route without policy": (lambda: through.chunk(event), len(event)),
    }


def check(runs: dict[str, tuple[Callable[[], Any], int]]) -> None:
    """Hold that what leaves is right, or there is no figure."""
    for name in ("chat answer, preset", "chat event, preset"):
        out = runs[name][0]()
        if any(word.encode() in out for word in WITHHELD) or b"word" not in out:
            raise SystemExit(f"{name}: what left is wrong: {out!r}")


def main() -> None:
    """Measure in interleaved rounds, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=20_000)
    options = parser.parse_args()
    runs = cases()
    check(runs)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, (run, _) in runs.items():
            start = process_time()
            for _ in range(options.calls):
                run()
            taken[name].append((process_time() - start) / options.calls * 1e6)
    print("| what | bytes | CPU us (min..max) |\n|---|---|---|")
    for name, times in taken.items():
        print(f"| {name} | {runs[name][1]} | {median(times):.2f} ({min(times):.2f}..{max(times):.2f}) |")


if __name__ == "__main__":
    main()
