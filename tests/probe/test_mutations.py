"""Break a control in the gateway, and the probe that asks for it says so; unbroken, it holds."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from tests.probe.weak import BODY, PATH

from vallum.adapters import conduct
from vallum.adapters.proxy.incoming import Incoming
from vallum.adapters.proxy.server import Listener
from vallum.authenticators.anonymous import Anonymous, AnonymousConfig
from vallum.checks.schema import Schema
from vallum.codecs.json import Json
from vallum.core.decision import Deny, Finding, Reason
from vallum.core.engine import Engine
from vallum.core.exchange import Headers
from vallum.core.policy import Guard as Checking
from vallum.core.policy import Limit as Enforced
from vallum.core.policy import Outlet, Route
from vallum.core.principal import Principal
from vallum.core.quota import Per, Quota, Strategy
from vallum.core.target import Pattern
from vallum.probe.catalogue import read_catalogue
from vallum.probe.example import example_of
from vallum.probe.promises import Limit, Promises

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.probe.conftest import Guard, Prober
    from tests.wire.conftest import Door

    from vallum.core.exchange import Request

    Mutation = Callable[[Route], list[Route]]

POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
admin: {address: "127.0.0.1:0"}
TRUSTED
routes:
  - name: predict
    match: {methods: [POST], path: /api/v1/predict}
    upstream: model
    auth: {any_of: [keys], scopes: ["predict:read"]}
    quotas: [10 per 2 seconds, 200 per day]
    request: {max_bytes: 65536, max_depth: 16, schema: predict.schema.json, sanitize: {html: strip}}
    response: {fields: [prediction, confidence], confidence: {field: confidence, bands: {high: 0.9, low: 0.0}}}
"""
CHAT = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
admin: {address: "127.0.0.1:0"}
routes:
  - name: chat
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: model
    preset: openai.chat
    auth: {any_of: [keys]}
"""
LIMITS = (Limit(10, 2.0), Limit(200, 86_400.0))
PROMISES = Promises(
    "the policy", LIMITS, checks=frozenset({"prompt_injection", "sqli"}), max_bytes=65_536, max_depth=16
)
ALICE = Principal("alice", "", frozenset({"predict:read"}), "key_1", "keys")
STRANGERS = (Anonymous("anonymous", AnonymousConfig()),)
ANY = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"})


class Believing:
    """An authenticator that takes whatever `believes` believes."""

    type: ClassVar[str] = "believing"
    challenge: ClassVar[str] = "Bearer"

    def __init__(self, believes: Callable[[Request], bool]) -> None:
        self._believes = believes

    def authenticate(self, request: Request) -> Any:
        return ALICE if self._believes(request) else None
        yield


class Telling:
    """An authenticator that says of a key whose beginning it knows that its end is wrong."""

    type: ClassVar[str] = "telling"
    challenge: ClassVar[str] = "Bearer"

    def __init__(self) -> None:
        self._first = ""

    def authenticate(self, request: Request) -> Any:
        value = request.headers.get("authorization") or ""
        self._first = self._first or value
        known = value[:24] == self._first[:24] and value != self._first
        return Deny(Reason.INSUFFICIENT_SCOPE, "key", "wrong") if known else None
        yield


class Loose(Json):
    """JSON as many parsers read it."""

    def decode(self, body: bytes, headers: Any = None) -> Any:
        document = json.loads(body)
        return {name: value for name, value in document.items() if name != "probe"}


class Unpacking:
    """A coding without bounds."""

    def undo(self, body: bytes, max_bytes: int) -> bytes | None:
        return zlib.decompress(body, 47).strip()


class Dawdling:
    """An authenticator that looks longer at a key whose beginning it knows."""

    type: ClassVar[str] = "dawdling"
    challenge: ClassVar[str] = "Bearer"

    def __init__(self) -> None:
        self._first = ""

    def authenticate(self, request: Request) -> Any:
        value = request.headers.get("authorization") or ""
        self._first = self._first or value
        until = time.perf_counter() + (0.008 if value[:24] == self._first[:24] and value != self._first else 0.0)
        while time.perf_counter() < until:
            pass
        return None
        yield


class Refusing:
    """A check that refuses whatever has one of a few words."""

    type: ClassVar[str] = "prompt_injection"

    def inspect(self, content: Any) -> Finding | None:
        words = {word for text in content.values for word in text.lower().split()}
        return Finding("a word") if words & {"ignore", "instructions", "rules", "union", "system"} else None


def believing(believes: Callable[[Request], bool]) -> Mutation:
    return lambda route: [replace(route, authenticators=(Believing(believes), *route.authenticators))]


def intake(**changes: Any) -> Mutation:
    return lambda route: [replace(route, intake=replace(route.intake, **changes))]


def quota(**changes: Any) -> Mutation:
    first = Quota("minute", 10, 2_000_000)
    return lambda route: [replace(route, limits=(Enforced(replace(first, **changes)), *route.limits[1:]))]


def beside(path: str, methods: frozenset[str]) -> Mutation:
    """Add a route that anybody may use."""

    def mutate(route: Route) -> list[Route]:
        pattern = Pattern.parse(path)
        open_one = replace(
            route,
            name="open",
            pattern=pattern,
            methods=methods,
            authenticators=STRANGERS,
            scopes=frozenset(),
            limits=(),
        )
        loose = replace(open_one, intake=replace(route.intake, schema=None, query=None, codecs={}), outlet=Outlet())
        return [route, loose]

    return mutate


def named(route: Route) -> Route:
    """Take only texts in which nothing is named that a model server might open, or compute."""
    own = {"type": "object", "properties": {"input_text": {"type": "string", "pattern": r"^[\w .,?!'-]*$"}}}
    return intake(schema=Schema(own).inspect)(route)[0]


def dawdling(route: Route) -> Route:
    return replace(route, authenticators=(Dawdling(), *route.authenticators))


def bare(route: Route) -> list[Route]:
    return [replace(route, outlet=Outlet())]


def uncounted(route: Route) -> list[Route]:
    return [replace(route, limits=())]


def presents(prefix: str) -> Callable[[Request], bool]:
    return lambda request: (request.headers.get("authorization") or "").startswith(prefix)


MUTATIONS: dict[str, Mutation] = {
    "leakage.size": bare,
    "leakage.headers": lambda route: [
        replace(route, outlet=replace(route.outlet, headers=frozenset({"server", "x-model-version", "content-type"})))
    ],
    "leakage.versions": bare,
    "leakage.scores": bare,
    "leakage.precision": bare,
    "leakage.documents": beside("/**", frozenset({"GET"})),
    "leakage.unknown_or_wrong": lambda route: [replace(route, authenticators=(Telling(), *route.authenticators))],
    "authentication.no_key": lambda route: [replace(route, authenticators=STRANGERS, scopes=frozenset())],
    "authentication.wrong_keys": believing(presents("Bearer vlm_live_")),
    "authentication.refused_keys": lambda route: [replace(route, scopes=frozenset())],
    "authentication.methods": beside(PATH, frozenset({"PUT"})),
    "authentication.paths": beside("/**", frozenset({"POST"})),
    "authentication.key_in_query": lambda route: intake(query=None)(
        believing(lambda request: "access_token=" in request.query)(route)[0]
    ),
    "authentication.claimed_identity": believing(lambda request: request.headers.get("x-forwarded-user") is not None),
    "authentication.other_schemes": believing(presents("Basic ")),
    "authentication.forged_tokens": believing(presents("Bearer eyJ")),
    "malformed.bodies": intake(codecs={"application/json": Loose()}),
    "malformed.depth": intake(max_depth=128, schema=None, sanitiser=None),
    "malformed.size": intake(max_bytes=1 << 20),
    "malformed.compression": intake(codings={"gzip": Unpacking()}, max_bytes=1 << 26),
    "malformed.media_types": intake(codecs={"application/json": Json(), "text/plain": Json()}),
    "malformed.types": intake(schema=None),
    "malformed.unknown_members": intake(schema=None),
    "malformed.numbers": intake(schema=None),
    "malformed.heads": lambda route: [route],
    "flood.number": quota(limit=12),
    "flood.bypass": quota(per=Per.IP, limit=11),  # the honest request counts as well
    "flood.race": quota(limit=13),
    "flood.edge": quota(strategy=Strategy.CALENDAR, window_us=4_000_000),
    "extraction.pace": uncounted,
    "injection.markup": intake(sanitiser=None),
    "injection.templates": intake(schema=None),
    "injection.files": intake(schema=None),
    "injection.sql": intake(),
    "injection.plain": intake(),
    "injection.encoded": intake(),
    "injection.split": intake(),
    "injection.indirect": intake(),
    "injection.honest": intake(checks=(Checking(Refusing()),)),
}
# Without checks of content the lean policy is itself the mutation for these; the example policies are the rest.
UNCHECKED = {f"injection.{name}" for name in ("sql", "plain", "encoded", "split", "indirect")}
# Where the policy alone has no control that a probe asks for, or no work that it hides: what is added first.
STAGED: dict[str, Callable[[Route], Route]] = {
    "injection.templates": named,
    "injection.files": named,
    "leakage.timing": dawdling,
}
LISTEN = {"malformed.heads": {"max_header_bytes": 1 << 24, "max_headers": 100_000}}


@asynccontextmanager
async def run_yes() -> AsyncIterator[str]:
    """Run a model server that says yes to everything, and does what it should not with what it reads.

    It breaks on numbers that are too large, computes what looks like a template, opens what looks like a file, repeats
    markup, and blanks what it withholds.
    """

    async def serve(incoming: Incoming) -> None:
        body = await incoming.read_body(1 << 27)
        assert isinstance(body, bytes)
        status = 500 if b"e+308" in body or b"e308" in body else 200
        word = body.decode("latin-1") if b"<" in body else "a"
        word = "62615533" if b"7919" in body else "root:x:0:0" if b"etc/passwd" in body else word
        answer = {"prediction": word, "confidence": 0.987654321, "logits": [1.25], "model_version": "7"}
        fields = [("content-type", "application/json"), ("server", "modelserver/1.4"), ("x-model-version", "7")]
        await incoming.answer(status, fields, json.dumps(answer).encode().ljust(1000 + len(body)))

    listener = Listener(serve)
    server = await asyncio.get_running_loop().create_server(listener.connect, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await listener.drain(0.1)


def keys_of(door: Door) -> dict[str, tuple[str, ...]]:
    keys = tuple(door.issue(f"caller-{number}", "predict:read") for number in range(16))
    return {"keys": keys, "refused_keys": (door.issue("stranger"),)}


def put(door: Door, mutate: Mutation) -> None:
    """Put a gateway's routes in force as a mutation leaves them."""
    whole = door.gateway.engine.policy
    door.gateway.engine = Engine(replace(whole, routes=tuple(new for one in whole.routes for new in mutate(one))))


def policy(probe: str = "") -> str:
    """Return the policy, with the other half of a mutation where it has two."""
    text = POLICY.replace("TRUSTED", 'trusted_proxies: ["127.0.0.1/32"]' if probe == "flood.bypass" else "")
    return text.replace("response: {", "response: {quota_headers: hide, ") if probe == "flood.wait_told" else text


async def test_unbroken_they_hold(probed: Prober, guard: Guard) -> None:
    only = set(MUTATIONS) - UNCHECKED - set(STAGED) | set(BROKEN) - set(STAGED)
    async with run_yes() as upstream, guard(policy(), upstream) as door:
        seen = await probed(
            f"http://127.0.0.1:{door.port}{PATH}", BODY, only=only, quick=False, promises=PROMISES, **keys_of(door)
        )
    assert seen.held == only, seen.why()


async def test_what_is_staged_holds(probed: Prober, guard: Guard) -> None:
    async with run_yes() as upstream, guard(policy(), upstream) as door:
        put(door, lambda route: [named(dawdling(route))])
        seen = await probed(
            f"http://127.0.0.1:{door.port}{PATH}", BODY, only=STAGED, quick=False, promises=PROMISES, **keys_of(door)
        )
    assert seen.held == set(STAGED), seen.why()


@pytest.mark.parametrize("probe", MUTATIONS)
async def test_a_broken_control_is_found(probed: Prober, guard: Guard, probe: str) -> None:
    async with run_yes() as upstream, guard(policy(probe), upstream, **LISTEN.get(probe, {})) as door:
        put(door, MUTATIONS[probe])
        only = [probe, "flood.number"] if probe == "flood.bypass" else [probe]
        promises = None if probe == "extraction.pace" else PROMISES
        if probe == "flood.edge":  # fields tell whole seconds: a window must be longer than two
            promises = replace(PROMISES, limits=(Limit(10, 4.0),))
        seen = await probed(
            f"http://127.0.0.1:{door.port}{PATH}", BODY, only=only, quick=False, promises=promises, **keys_of(door)
        )
    assert probe in seen.weak, "\n".join(str(finding.outcome) for finding in seen.findings.values())


def _say(text: bytes) -> Callable[..., bytes]:
    return lambda *_: text


async def repeat(incoming: Incoming, status: int, fields: Any, body: bytes) -> None:
    """Refuse with what was asked beside it."""
    await ANSWER(incoming, status, fields, body + incoming.target.encode() if status >= 400 else body)


ANSWER = Incoming.answer
# probe -> what is broken of the gateway's own code: a module, a name, and what stands there instead
BROKEN: dict[str, tuple[Any, str, Any]] = {
    "leakage.internals": (conduct, "problem", _say(b'{"error": "File \\"/srv/model.py\\", line 7"}')),
    "leakage.error_shape": (conduct, "media_type", lambda _: "text/html"),
    "leakage.echo": (Incoming, "answer", repeat),
    "leakage.timing": (conduct, "slot_of", lambda *_: 0.0),
    "flood.retry": (conduct, "problem_headers", lambda _: [("retry-after", "1")]),
    "flood.wait_told": (conduct, "problem_headers", lambda _: []),
    "authentication.two_keys": (Headers, "all", lambda headers, name: [headers.get(name)] if headers.get(name) else []),
    "malformed.framing": (Incoming, "find_fault", lambda _: None),
}


@pytest.mark.parametrize("probe", BROKEN)
async def test_broken_code_is_found(probed: Prober, guard: Guard, monkeypatch: pytest.MonkeyPatch, probe: str) -> None:
    monkeypatch.setattr(*BROKEN[probe])
    only = [probe, "flood.number"] if probe in ("flood.wait_told", "flood.retry") else [probe]
    async with run_yes() as upstream, guard(policy(probe), upstream) as door:
        put(door, lambda route: [STAGED.get(probe, replace)(route)])
        seen = await probed(
            f"http://127.0.0.1:{door.port}{PATH}", BODY, only=only, quick=False, promises=PROMISES, **keys_of(door)
        )
    assert probe in seen.weak, "\n".join(str(finding.outcome) for finding in seen.findings.values())


@pytest.mark.parametrize("broken", [False, True])
async def test_answers_without_measure(probed: Prober, guard: Guard, broken: bool) -> None:
    async with guard(CHAT) as door:
        if broken:
            put(door, intake(schema=None, asks=(), checks=()))
        seen = await probed(
            f"http://127.0.0.1:{door.port}/v1/chat/completions",
            example_of("openai.chat", "m"),
            only=["flood.amplification"],
            keys=(door.key,),
        )
    assert (seen.weak if broken else seen.held) == {"flood.amplification"}, seen.why()


def test_every_probe_has_a_mutation() -> None:
    """Those of slow senders and of certificates have theirs in test_slow.py and test_certificates.py."""
    elsewhere = {"malformed.slow_head", "malformed.slow_body", "authentication.no_certificate", "extraction.surrogate"}
    assert set(MUTATIONS) | set(BROKEN) | elsewhere | {"flood.amplification"} == set(read_catalogue())
