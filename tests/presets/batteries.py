"""The batteries, and a gateway's controls for each preset to hold them against.

A battery is `battery/<preset>.json`, a list of requests written by hand from the facts of a public API reference:

    {"name": "a picture", "source": "page of the reference", "body": {...}}

A body that is not JSON stands as `form` (fields, and files as objects of `filename`, `media_type` and `base64`), `text`
or `base64`; `headers` are header fields, `query` a query string, `method` is GET where there is no body.  `request`
sets keys of the route's `request:` for this one, `withhold` names groups that are not granted; with `refused`, the
code of a refusal, it is a near-miss made by hand.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.presets.nearforms import FORM_FIELDS, near_forms, write_form
from tests.presets.nearmiss import JSON_FIELDS, NearMiss, near_misses
from tests.presets.neartables import near_tables

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.content import Upload
from vallum.core.decision import Allow
from vallum.core.engine import Engine
from vallum.core.exchange import Exchange, Fields, Headers, Request
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FOLDER = Path(__file__).parent / "battery"
BATTERIES: Mapping[str, list[dict[str, Any]]] = {
    file.stem: json.loads(file.read_text("utf-8")) for file in sorted(FOLDER.glob("*.json"))
}
MAX_BYTES = 4_194_304


def compile_route(preset: str, **keys: Any) -> Engine:
    """Compile a policy of one route with this preset, and `keys` of the route besides."""
    route = {
        "name": "it",
        "match": {"methods": ["GET", "POST"], "path": "/it"},
        "upstream": "model",
        "auth": {"any_of": ["open"]},
        "preset": preset,
        **keys,
        "request": {"max_bytes": MAX_BYTES} | keys.get("request", {}),
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


@cache
def engine_of(preset: str, request: str, *withheld: str) -> Engine:
    """Compile a route that withholds only these groups of answers: side doors have tests of their own."""
    groups = PRESETS[preset].answer.withheld
    disclosed = {"disclose": [name for name, group in groups.items() if not group.never and name not in withheld]}
    return compile_route(preset, request=json.loads(request), response=disclosed)


def pass_through(engine: Engine, fields: Fields, body: bytes, method: str = "POST", query: str = "") -> Exchange:
    """Take a request through both phases, or to its refusal; raise RuntimeError if a control asks for anything."""
    head = [*fields, ("content-length", str(len(body)))] if body else fields
    x = engine.open(Request("r", method, "/it", query, Headers(head), "192.0.2.1", 1_700_000_000.0))
    for phase in (engine.request_head, lambda x: engine.request_body(x, body)):
        for effect in phase(x):
            raise RuntimeError(f"nothing is to be asked here: {effect!r}")
        if not isinstance(x.decision, Allow):
            break
    return x


def verdict_of(preset: str, item: dict[str, Any], body: bytes, fields: Fields) -> str:
    """Return `allow` or the code, and where, of the refusal."""
    engine = engine_of(preset, json.dumps(item.get("request", {})), *item.get("withhold", ()))
    head = (*fields, *item.get("headers", {}).items())
    method = item.get("method", "POST" if body else "GET")
    decision: Any = pass_through(engine, head, body, method, item.get("query", "")).decision
    return "allow" if isinstance(decision, Allow) else f"{decision.reason}: {decision.detail}"


def written(item: dict[str, Any]) -> tuple[bytes, Fields]:
    """Return the body of an item, and the type that goes with it unless the item names one."""
    if "body" in item:
        own = any(name.lower() == "content-type" for name in item.get("headers", {}))
        return json.dumps(item["body"]).encode(), () if own else JSON_FIELDS
    if "form" in item:
        return write_form(loaded(item["form"])), FORM_FIELDS
    return (b64decode(item["base64"]) if "base64" in item else item.get("text", "").encode()), ()


def seeds_of(preset: str) -> list[tuple[bytes, Fields]]:
    """Return every body of a battery with its head, for whoever makes them wrong at random."""
    pairs = [(item, *written(item)) for item in BATTERIES[preset]]
    return [(body, (*fields, *item.get("headers", {}).items()) or JSON_FIELDS) for item, body, fields in pairs]


def loaded(form: Any) -> Any:
    """Return a form as the codec reads it: its files as uploads."""
    if isinstance(form, list):
        return [loaded(value) for value in form]
    if isinstance(form, str):
        return form
    if "filename" in form:
        return Upload(form["filename"], form["media_type"], b64decode(form["base64"]))
    return {name: loaded(value) for name, value in form.items()}


def near_misses_of(preset: str) -> Iterator[tuple[dict[str, Any], NearMiss]]:
    """Yield every near-miss that is generated from a preset's battery, with the item that it is sent like."""
    form = PRESETS[preset].request
    schema = None if form.schema is None else form.schema({name: bound.default for name, bound in form.bounds.items()})
    for item in BATTERIES[preset]:
        if {"refused", "request"} & item.keys():
            continue
        headers = {name: value for name, value in item.get("headers", {}).items() if name.lower() != "content-type"}
        bare = {**item, "headers": headers, "method": "POST"}
        for miss in _made(schema, item):
            if miss.name.startswith("no type") and "" in form.media_types:
                continue  # this format's clients name none
            yield bare, miss


def _made(schema: Mapping[str, Any] | None, item: dict[str, Any]) -> Iterable[NearMiss]:
    if "body" in item:
        return near_misses(schema, item["body"])
    if "form" in item:
        return near_forms(schema, loaded(item["form"]))
    kind = item.get("headers", {}).get("content-type", "")
    if kind.startswith("text/csv") and '"' not in item["text"]:
        return near_tables(item["text"], (("content-type", kind),))
    return ()  # made by hand
