"""Mutated bodies through every preset: nothing crashes, nothing is slow, nothing is kept.

    python bench/fuzz.py [--bodies 100000] [--preset NAME]

Needs the package and the batteries in tests/.  Each body of a battery is mutated in its bytes or, where it is JSON, in
its members, and goes through all controls of a route with that preset.  Chance is seeded, so a run can be repeated.
Exit code 1 if a control fails (what would be a 5xx), a request takes over 50 ms of CPU, or memory grows by over 64 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.decision import Allow, Deny
from vallum.core.engine import Engine
from vallum.core.exchange import Headers, Request
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterator

BATTERIES = Path(__file__).parent.parent / "tests" / "presets" / "battery"
SLOW_S = 0.05
GROWTH_BYTES = 64 * 1024 * 1024
SEED = 20_261_123
TOKENS = (
    *(b"null", b"true", b"-1", b"0.5", b"1e308", b"1e400", b"9" * 30, b'""', b'"x"', b"[]", b"{}", b"[[]]", b'{"a":1}'),
    *(b'"\\ud800"', b'"\\u0000"', b"NaN", b",", b":", b'"', b"{", b"}", b"[", b"]", b"\xff", b"\x00", b"\xef\xbb\xbf"),
    *(b"[" * 300, b'"' + b"a" * 60_000 + b'"', b"[" + b"1," * 20_000 + b"1]", b'{"type":"text"}', b"data:,", b"--"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**63, 1e308, 0.5, "", "x", "\u202e", "\x00", "a" * 10_000, [], {}, [[]], [None] * 50),
    *({"type": "text", "text": "x"}, {"role": "user", "content": "x"}, {"$ref": "#"}, [{}] * 500, "data:image/png;,"),
)


def mutate(chance: random.Random, body: bytes) -> bytes:
    """Change a body in one to four places: its members where it is JSON, else its bytes."""
    for _ in range(chance.randint(1, 4)):
        if chance.random() < 0.5:
            body = _mutate_bytes(chance, body)
            continue
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            body = _mutate_bytes(chance, body)
            continue
        body = json.dumps(_mutate_member(chance, document)).encode()
    return body


def _mutate_bytes(chance: random.Random, body: bytes) -> bytes:
    at, end = sorted((chance.randint(0, len(body)), chance.randint(0, len(body))))
    end = min(end, at + chance.choice((0, 1, 4, 40)))
    piece = chance.choice((b"", chance.choice(TOKENS), body[at:end] * 3, chance.randbytes(4)))
    return body[:at] + piece + body[end:]


def _mutate_member(chance: random.Random, document: Any) -> Any:
    places = list(_places(document))
    if not places:
        return chance.choice(VALUES)
    container, key = chance.choice(places)
    other, name = chance.choice(places)
    container[key] = chance.choice((chance.choice(VALUES), json.loads(json.dumps(other[name])), [container[key]]))
    return document


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [document]
    while waiting:
        item = waiting.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        for key in keys:
            yield item, key
            waiting.append(item[key])


def engine_of(preset: str) -> Engine:
    """Compile a route with this preset, which reads, judges and cleans its bodies."""
    request: dict[str, Any] = {"max_bytes": 4_194_304}
    if PRESETS[preset].request.rewritable:
        request["sanitize"] = {}
    route: dict[str, Any] = {
        "name": "it",
        "match": {"methods": ["POST"], "path": "/it"},
        "upstream": "model",
        "auth": {"any_of": ["open"]},
        "preset": preset,
        "request": request,
    }
    policy = {
        "version": 1,
        "upstreams": {"model": {"url": "http://127.0.0.1:9"}},
        "authenticators": {"open": {"type": "anonymous"}},
        "routes": [route],
    }
    compiled = load_policy(parse_source(Path("policy.yaml"), json.dumps(policy).encode(), {}))[1]
    return Engine(replace(compiled, routes=tuple(replace(one, throttle=None) for one in compiled.routes)))


def judge(engine: Engine, fields: list[tuple[str, str]], body: bytes) -> str:
    """Take a request through both phases; raise RuntimeError where a control failed."""
    headers = Headers([*fields, ("content-length", str(len(body)))])
    x = engine.open(Request("r", "POST", "/it", "", headers, "192.0.2.1", 1_700_000_000.0))
    for phase in (engine.request_head(x), engine.request_body(x, body)):
        for effect in phase:
            raise RuntimeError(f"nothing is to be asked here: {effect!r}")
        if not isinstance(x.decision, Allow):
            break
    if isinstance(x.decision, Deny) and x.decision.reason.status >= 500:
        raise RuntimeError(f"{x.decision.control}: {x.decision.detail}")
    return "allow" if isinstance(x.decision, Allow) else str(x.decision and x.decision.reason)


def held_bytes() -> int:
    """Return the memory that this process holds."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


def fuzz(preset: str, bodies: int) -> list[str]:
    """Send so many mutated bodies through a preset, and return what was wrong."""
    chance = random.Random(SEED)  # noqa: S311  no secret is made
    items = json.loads((BATTERIES / f"{preset}.json").read_text("utf-8"))
    seeds: list[tuple[bytes, list[tuple[str, str]]]] = []
    for item in items:
        body = json.dumps(item["body"]).encode() if "body" in item else b64decode(item.get("base64", ""))
        named = {name.lower(): value for name, value in item.get("headers", {}).items()}
        fields = {"content-type": "application/json"} | named
        seeds.append((body or item.get("text", "").encode(), list(fields.items())))
    engine, wrong, verdicts = engine_of(preset), [], Counter[str]()
    slowest, before = 0.0, held_bytes()
    for _ in range(bodies):
        seed, head = chance.choice(seeds)
        mutated = mutate(chance, seed)
        began = time.process_time()
        try:
            verdicts[judge(engine, head, mutated)] += 1
        except RuntimeError as error:
            wrong.append(f"{error}: {mutated[:200]!r}")
        spent = time.process_time() - began
        slowest = max(slowest, spent)
        if spent > SLOW_S:
            wrong.append(f"{spent * 1000:.0f} ms: {len(mutated)} bytes, {mutated[:200]!r}")
    growth = held_bytes() - before
    if growth > GROWTH_BYTES:
        wrong.append(f"memory grew by {growth >> 20} MiB")
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    print(f"{preset}: {told}; slowest {slowest * 1000:.1f} ms; memory {growth / 2**20:+.1f} MiB; {len(wrong)} wrong")
    return wrong


def main() -> int:
    """Fuzz one preset, or every one that has a battery."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bodies", type=int, default=100_000, help="for each preset")
    parser.add_argument("--preset", choices=sorted(file.stem for file in BATTERIES.glob("*.json")))
    options = parser.parse_args()
    names = [options.preset] if options.preset else sorted(file.stem for file in BATTERIES.glob("*.json"))
    failed = False
    for name in names:
        for line in fuzz(name, options.bodies)[:5]:
            failed = True
            print(f"  {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
