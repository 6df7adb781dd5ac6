"""What the rules of a web ACL cost, rule by rule, and that the cost is linear in the body.

    python bench/web_acl.py

Times are of the engine alone, both phases of a request, the best of several rounds; the counters are a dictionary.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.decision import Allow
from vallum.core.effects import Steps, TakeQuota
from vallum.core.engine import Engine
from vallum.core.exchange import Headers, Request
from vallum.core.standing import GOOD_FOOTING
from vallum.stores.bank import Bank
from vallum.stores.memory import MemoryCounters

ROUNDS = 100  # short ones: the best of them was not disturbed
NOW = 1_700_000_000.0
PROMPTS = {"json_body": {"exclude": ["/messages/*/content"]}}
RULES: dict[str, dict[str, Any]] = {
    "ip_set of 201 networks": {"ip_set": {"addresses": [f"10.{n}.0.0/16" for n in range(200)] + ["2001:db8::/32"]}},
    "rate_based per address": {"rate_based": {"limit": 1_000_000_000, "window_s": 300}},
    "sqli_match on the query": {"sqli_match": {"field": "all_query_arguments", "transforms": ["url_decode"]}},
    "sqli_match on the body without prompts": {"sqli_match": {"field": PROMPTS, "transforms": ["url_decode"]}},
    "xss_match on the body without prompts": {"xss_match": {"field": PROMPTS, "transforms": ["url_decode"]}},
}
HEAD = [
    ("content-type", "application/json"),
    ("content-length", "1000"),
    ("user-agent", "OpenAI/Python 1.2.3"),
    ("accept", "application/json"),
    ("cookie", "a=b; c=d"),
]
CHAT = json.dumps(
    {
        "model": "large",
        "messages": [{"role": "user", "content": "Please explain what SELECT * FROM users does. " * 18}],
        "user": "alice-42",
        "temperature": 0.5,
        "metadata": {"team": "research", "trace": "abc-123"},
    }
).encode()


def engine_of(*rules: dict[str, Any]) -> Engine:
    """Compile a policy whose one route has these rules."""
    route: dict[str, Any] = {
        "name": "chat",
        "match": {"methods": ["POST"], "path": "/chat"},
        "upstream": "model",
        "auth": {"any_of": ["anybody"]},
        "request": {"query": "any", "max_bytes": 4_000_000},
    }
    policy: dict[str, Any] = {
        "version": 1,
        "upstreams": {"model": {"url": "http://127.0.0.1:9000"}},
        "authenticators": {"anybody": {"type": "anonymous"}},
        "routes": [route],
    }
    if rules:
        numbered = [{"name": f"r{n}", "priority": n, "statement": rule} for n, rule in enumerate(rules)]
        policy["web_acls"] = {"edge": {"rules": numbered, "inspect_bytes": 4_000_000}}
        route["web_acl"] = "edge"
    return Engine(load_policy(parse_source(Path("bench.yaml"), json.dumps(policy).encode(), {}))[1])


def measure(engine: Engine, body: bytes, times: int) -> float:
    """Return the microseconds of one request."""
    counters = Bank(MemoryCounters(lambda: int(NOW * 1e6)), lambda: int(NOW * 1e6))
    best = float("inf")
    for _ in range(ROUNDS if times > 1 else 5):
        began = time.perf_counter()
        for _ in range(times):
            x = engine.open(Request("r", "POST", "/chat", "lang=en&v=2", Headers(HEAD), "192.0.2.1", NOW))
            run(engine.request_head(x), counters)
            run(engine.request_body(x, body), counters)
        best = min(best, (time.perf_counter() - began) / times)
        assert isinstance(x.decision, Allow), x.decision
    return best * 1e6


def run(steps: Steps[Any], counters: Bank) -> None:
    """Run steps on counters that never wait."""
    try:
        effect = next(steps)
        while True:
            effect = steps.send(at_once(counters, effect) if isinstance(effect, TakeQuota) else GOOD_FOOTING)
    except StopIteration:
        return


def at_once(counters: Bank, effect: TakeQuota) -> Any:
    """Take a quota from counters in memory."""
    try:
        counters.take(effect.demands, effect.id).send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("counters in memory do not wait")


def main() -> None:
    """Print both tables, as Markdown."""
    bare = measure(engine_of(), CHAT, 20)
    print(f"A chat of {len(CHAT)} bytes without a web ACL: {bare:.0f} us\n\n| rule | adds, us |\n| --- | --- |")
    for name, rule in RULES.items():
        print(f"| {name} | {measure(engine_of(rule), CHAT, 20) - bare:.1f} |")
    print(f"| all of them | {measure(engine_of(*RULES.values()), CHAT, 20) - bare:.1f} |")
    print("\n| a body of many strings | 64 KiB | 256 KiB | 1 MiB, ms |\n| --- | --- | --- | --- |")
    for name in list(RULES)[3:]:
        engine, without = engine_of(RULES[name]), engine_of()
        cells = []
        for size in (65_536, 262_144, 1_048_576):
            body = json.dumps({"items": ["a b"] * (size // 7)}).encode()
            cells.append(f"{(measure(engine, body, 1) - measure(without, body, 1)) / 1000:.1f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
