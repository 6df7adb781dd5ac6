"""One parse serves everything after it: on a route with every control, a body is read once and written at most once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from tests.presets.batteries import BATTERIES, compile_route, pass_through, written

from vallum.core.decision import Allow
from vallum.core.engine import Engine
from vallum.core.protocols import Rewriter
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from vallum.core.exchange import Fields, Headers
    from vallum.core.protocols import Codec

CHECKS = [{"type": "prompt_injection", "mode": "shadow"}, {"type": "sqli", "mode": "shadow"}]


class Counting:
    """A codec that counts what it is asked to do."""

    def __init__(self, codec: Codec, calls: Counter[str]) -> None:
        self._codec: Any = codec
        self._calls = calls

    def decode(self, body: bytes, headers: Headers | None = None) -> Any:
        self._calls["decode"] += 1
        return self._codec.decode(body, headers)

    def encode(self, document: Any) -> bytes:
        self._calls["encode"] += 1
        return bytes(self._codec.encode(document))


class CountingRewriter(Counting):
    """The same, of a format that is always written anew."""

    def fields(self, body: bytes) -> Fields:
        written: Fields = self._codec.fields(body)
        return written


@cache
def counted(preset: str) -> tuple[Engine, Counter[str]]:
    calls: Counter[str] = Counter()
    keys: dict[str, Any] = {"request": {"sanitize": {}}} if PRESETS[preset].request.rewritable else {}
    compiled = compile_route(preset, checks=CHECKS, **keys).policy
    (route,) = compiled.routes
    codecs = {
        name: (CountingRewriter if isinstance(codec, Rewriter) else Counting)(codec, calls)
        for name, codec in route.intake.codecs.items()
    }
    return Engine(replace(compiled, routes=(replace(route, intake=replace(route.intake, codecs=codecs)),))), calls


@pytest.mark.parametrize("preset", BATTERIES)
def test_a_body_is_read_once_and_written_at_most_once(preset: str) -> None:
    engine, calls = counted(preset)
    valid = [item for item in BATTERIES[preset] if not {"refused", "request"} & item.keys()]
    taken = 0
    for item in valid:
        body, fields = written(item)
        method = item.get("method", "POST" if body else "GET")
        calls.clear()
        x = pass_through(engine, (*fields, *item.get("headers", {}).items()), body, method, item.get("query", ""))
        assert calls["decode"] == bool(body), item["name"]
        assert calls["encode"] <= 1, item["name"]
        taken += isinstance(x.decision, Allow)
    assert taken > len(valid) // 2  # others ask for what this route withholds
