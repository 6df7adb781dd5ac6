"""One request against one web ACL, as a policy file has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.effects import TakeQuota
from vallum.core.engine import Engine
from vallum.core.exchange import Headers, Request
from vallum.core.principal import Principal
from vallum.core.quota import Taken
from vallum.core.standing import GOOD_FOOTING
from vallum.core.target import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.exchange import Exchange
    from vallum.core.policy import Policy

ALICE = Principal("alice")


def policy_of(acl: dict[str, Any], **route: Any) -> Policy:
    """Compile a policy of one route that names the web ACL `edge`."""
    file = {
        "version": 1,
        "upstreams": {"model": {"url": "http://127.0.0.1:9000"}},
        "authenticators": {"anybody": {"type": "anonymous"}},
        "web_acls": {"edge": acl},
        "routes": [
            {
                "name": "predict",
                "match": {"methods": ["GET", "HEAD", "OPTIONS", "POST"], "path": "/**"},
                "upstream": "model",
                "auth": {"any_of": ["anybody"]},
                "request": {"query": "any", "max_bytes": 4_000_000, "max_depth": 100},
                "web_acl": "edge",
                **route,
            }
        ],
    }
    return load_policy(parse_source(Path("policy.yaml"), json.dumps(file).encode(), {}))[1]


def rule(statement: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"name": "rule", "priority": 1, "statement": statement} | changes


class Bench:
    """Asks whether a statement matches a request."""

    def matches(
        self,
        statement: dict[str, Any],
        *,
        target: str = "/predict",
        method: str = "POST",
        headers: Iterable[tuple[str, str]] = (),
        body: Any = None,
        client: str = "192.0.2.1",
        inspect_bytes: int = 8192,
        **route: Any,
    ) -> str:
        """Return the detail of what matched, or an empty text."""
        acl = {"rules": [rule(statement, action="count")], "inspect_bytes": inspect_bytes}
        x = self.judge(policy_of(acl, **route), target, method, headers, body, client)
        assert not x.unscanned, x.unscanned
        return str(x.matches[0].hit) if x.matches else ""

    def judge(
        self,
        policy: Policy,
        target: str = "/predict",
        method: str = "POST",
        headers: Iterable[tuple[str, str]] = (),
        body: Any = None,
        client: str = "192.0.2.1",
    ) -> Exchange:
        """Take one request through both phases; a quota that is asked for has room."""
        data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        fields = [*headers]
        if data and not any(name == "content-type" for name, _ in fields):
            fields += [("content-type", "application/json"), ("content-length", str(len(data)))]
        path, query = parse_target(target)
        engine = Engine(policy)
        x = engine.open(Request("req-1", method, path, query, Headers(fields), client, 1_700_000_000.0))
        if self.run(engine.request_head(x)).__class__.__name__ == "Allow":
            self.run(engine.request_body(x, data))
        return x

    @staticmethod
    def run(steps: Any) -> Any:
        try:
            effect = next(steps)
            while True:
                effect = steps.send(Taken(()) if isinstance(effect, TakeQuota) else GOOD_FOOTING)
        except StopIteration as stop:
            return stop.value


@pytest.fixture
def bench() -> Bench:
    return Bench()
