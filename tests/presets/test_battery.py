"""Every preset against its battery: valid requests pass, near-misses are refused with the right code.

A battery is `battery/<preset>.json`, a list of requests written by hand from the facts of a public API reference:

    {"name": "a picture", "source": "page of the reference", "body": {...}}

A body that is not JSON stands as `text` or `base64`; `headers` are header fields, `query` a query string, `method` is
GET where there is no body.  `request` sets keys of the route's `request:` for this one; with `refused`, the code of a
refusal, it is a near-miss made by hand.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.presets.nearmiss import near_misses

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.decision import Allow
from vallum.core.engine import Engine
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from tests.conftest import Kit

FOLDER = Path(__file__).parent / "battery"
BATTERIES = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}
MAX_BYTES = 4_194_304


@cache
def engine_of(preset: str, request: str) -> Engine:
    """Compile a policy of one route with this preset and nothing besides."""
    route = {
        "name": "it",
        "match": {"methods": ["GET", "POST"], "path": "/it"},
        "upstream": "model",
        "auth": {"any_of": ["open"]},
        "preset": preset,
        "request": {"max_bytes": MAX_BYTES} | json.loads(request),
        "response": {"disclose": list(PRESETS[preset].answer.withheld)},  # side doors have tests of their own
    }
    policy = {
        "version": 1,
        "upstreams": {"model": {"url": "http://127.0.0.1:9"}},
        "authenticators": {"open": {"type": "anonymous"}},
        "routes": [route],
    }
    compiled = load_policy(parse_source(FOLDER / "policy.yaml", json.dumps(policy).encode(), {}))[1]
    routes = tuple(replace(one, throttle=None) for one in compiled.routes)  # which would ask a store first
    return Engine(replace(compiled, routes=routes))


def judge(kit: Kit, preset: str, item: dict[str, Any], body: bytes, fields: Any) -> str:
    """Return `allow` or the code, and where, of the refusal."""
    head = [*fields, *item.get("headers", {}).items()]
    if body:
        head.append(("content-length", str(len(body))))
    engine = engine_of(preset, json.dumps(item.get("request", {})))
    method = item.get("method", "POST" if body else "GET")
    request = kit.request(path="/it", method=method, headers=head, query=item.get("query", ""))
    decision: Any = kit.judge(engine, request, body).decision
    return "allow" if isinstance(decision, Allow) else f"{decision.reason}: {decision.detail}"


def written(item: dict[str, Any]) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Return the body of an item, and the type that goes with it unless the item names one."""
    if "body" in item:
        own = any(name.lower() == "content-type" for name in item.get("headers", {}))
        return json.dumps(item["body"]).encode(), () if own else (("content-type", "application/json"),)
    return (b64decode(item["base64"]) if "base64" in item else item.get("text", "").encode()), ()


@pytest.mark.parametrize("preset", BATTERIES)
def test_what_the_reference_shows_is_taken(kit: Kit, preset: str) -> None:
    assert BATTERIES[preset]
    for item in BATTERIES[preset]:
        verdict = judge(kit, preset, item, *written(item))
        wanted = item.get("refused", "allow")
        assert verdict.partition(":")[0] == wanted, (item["name"], verdict)


@pytest.mark.parametrize("preset", BATTERIES)
def test_what_is_nearly_right_is_refused(kit: Kit, preset: str) -> None:
    form = PRESETS[preset].request
    schema = None if form.schema is None else form.schema({name: bound.default for name, bound in form.bounds.items()})
    count = 0
    missed: list[Any] = []
    for item in BATTERIES[preset]:
        if "body" not in item or "refused" in item or "request" in item:
            continue
        headers = {name: value for name, value in item.get("headers", {}).items() if name.lower() != "content-type"}
        for miss in near_misses(schema, item["body"]):
            if miss.name.startswith("no type") and "" in form.media_types:
                continue  # this format's clients name none
            bare = {**item, "headers": headers, "method": "POST"}
            verdict = judge(kit, preset, bare, miss.body, miss.fields)
            count += 1
            if verdict.partition(":")[0] != miss.code:
                missed.append((item["name"], miss.name, miss.code, verdict))
    print(f"{preset}: {len(BATTERIES[preset])} requests taken, {count} near-misses refused")  # noqa: T201  with -s
    assert not missed, missed[:20]
    mutated = sum("body" in item and not {"refused", "request"} & item.keys() for item in BATTERIES[preset])
    assert count >= 50 * mutated


def test_every_preset_with_a_schema_has_a_battery() -> None:
    assert {name for name, preset in PRESETS.items() if preset.request.schema is not None} <= BATTERIES.keys()


def test_every_battery_has_a_preset() -> None:
    assert BATTERIES.keys() <= PRESETS.keys()
