"""What it costs to read a chat and to hold it against its preset, beside what its JSON alone costs.

    python bench/intake.py

Needs the package alone.  CPU time of one core, the best of rounds; each body is checked to pass and, with one member
wrong, to be refused before it is measured.  Exit code 1 if parsing and validating takes over 6 us for 1 KB or 40 us
for 16 KB, or a request is parsed more than once on its way.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vallum.checks.schema import Schema
from vallum.codecs.json import Json
from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.content import Content, Passage
from vallum.core.decision import Allow
from vallum.core.engine import Engine
from vallum.core.exchange import Headers, Request
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 9
SPAN_S = 0.05  # of one round
GOALS_US = {"1 KB": 6.0, "16 KB": 40.0}
WORDS = "the quick brown fox jumps over the lazy dog and runs away "
POLICY = """version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {open: {type: anonymous}}
routes:
  - name: chat
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: model
    preset: openai.chat
    auth: {any_of: [open]}
    checks: [{type: prompt_injection}, {type: sqli}]
    request: {sanitize: {}}
"""


def chat(turns: int, repeats: int, **more: Any) -> bytes:
    """Write a conversation."""
    messages = [{"role": "system", "content": "You are a helpful assistant."}]
    said = WORDS * repeats
    messages += [{"role": "assistant" if turn % 2 else "user", "content": said} for turn in range(turns)]
    return json.dumps({"model": "m", "messages": messages, "temperature": 0.7, "max_tokens": 256} | more).encode()


def tools(count: int) -> list[Any]:
    """Define tools of five arguments each."""
    properties = {name: {"type": "string", "description": WORDS} for name in "abcde"}
    parameters = {"type": "object", "properties": properties, "required": ["a"]}
    return [
        {"type": "function", "function": {"name": f"f{index}", "description": WORDS, "parameters": parameters}}
        for index in range(count)
    ]


BODIES = {
    "1 KB": chat(3, 5),
    "16 KB": chat(11, 25),
    "16 KB in 100 messages": chat(99, 2),
    "16 KB, most of it tools": chat(1, 2, tools=tools(26)),
}


def best_us(run: Callable[[], object]) -> float:
    """Return the CPU time of one call, of the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        calls = 0
        began = time.process_time()
        while (spent := time.process_time() - began) < SPAN_S:
            for _ in range(20):
                run()
            calls += 20
        best = min(best, spent / calls)
    return best * 1e6


def count_parses(body: bytes) -> int:
    """Take one request through all controls and count how often its body is parsed."""
    policy = load_policy(parse_source(Path("policy.yaml"), POLICY.encode(), {}))[1]
    count = 0

    class Counting(Json):
        def decode(self, body: bytes, headers: Headers | None = None) -> Any:
            nonlocal count
            count += 1
            return super().decode(body, headers)

    (route,) = policy.routes
    intake = replace(route.intake, codecs={"application/json": Counting()})
    engine = Engine(replace(policy, routes=(replace(route, intake=intake, throttle=None),)))
    headers = Headers([("content-type", "application/json"), ("content-length", str(len(body)))])
    x = engine.open(Request("r", "POST", "/v1/chat/completions", "", headers, "192.0.2.1", 1_700_000_000.0))
    for steps in (engine.request_head(x), engine.request_body(x, body)):
        for effect in steps:
            raise RuntimeError(f"nothing is to be asked here: {effect!r}")
    if not isinstance(x.decision, Allow):
        raise RuntimeError(f"refused: {x.decision!r}")  # noqa: TRY004  no type is wrong
    return count


def main() -> int:
    """Measure, and hold the figures against the goals."""
    form = PRESETS["openai.chat"].request
    assert form.schema is not None
    assert form.passages is not None
    find = form.passages

    def find_all(document: Any) -> list[Passage]:
        return list(find(document))

    schema = Schema(form.schema({name: bound.default for name, bound in form.bounds.items()}))
    codec = Json()
    failed = False
    print("| body | bytes | JSON alone | parse | content | schema | passages | parse + schema | to JSON alone |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, body in BODIES.items():
        document = codec.decode(body)
        content = Content(document)
        if schema.inspect(content) is not None or schema.inspect(Content(document | {"top_k": 1})) is None:
            print(f"{name}: not judged as it should be", file=sys.stderr)
            return 1
        alone = best_us(partial(msgspec.json.decode, body))
        parse = best_us(partial(codec.decode, body))
        shape = best_us(partial(Content, document, (), 32))
        held = best_us(partial(schema.inspect, content))
        said = best_us(partial(find_all, document))
        both = parse + held
        figures = " | ".join(f"{figure:.1f}" for figure in (alone, parse, shape, held, said))
        print(f"| {name} | {len(body)} | {figures} | **{both:.1f}** | {both / alone:.1f} |")
        failed |= both > GOALS_US.get(name, float("inf"))
    parses = count_parses(BODIES["1 KB"])
    print(f"\nparsed {parses} time(s) on the way through schema, checks and sanitising")
    return 1 if failed or parses != 1 else 0


if __name__ == "__main__":
    sys.exit(main())
