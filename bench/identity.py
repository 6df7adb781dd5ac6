"""What it costs to know who is calling: each way beside one bare SHA-256 of a key, so that machines can be compared.

    python bench/identity.py

Needs the package alone.  CPU time of one core, the best of five rounds; what was measured is checked to have been
right, and what a flood of noise asks of the database is counted.  Exit code 1 if a known key or token takes over 5 us,
or noise reaches the database.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from vallum.adapters.driver import Driver
from vallum.authenticators.api_key import ApiKey, ApiKeyConfig
from vallum.authenticators.oauth2 import OAuth2, OAuth2Config
from vallum.core.apikey import compose_key, digest_key
from vallum.core.exchange import Headers, Request
from vallum.core.issuer import KeySet
from vallum.core.principal import Credential, Principal
from vallum.stores.memory import MemoryCounters
from vallum.stores.registry import SqlRegistry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from vallum.core.issuer import Issuer
    from vallum.core.protocols import Authenticator

NOW = 1_700_000_000.0
CALLS = 20_000
ROUNDS = 5
FLOOD = 10_000
GOAL_US = 5.0
KEY = compose_key(bytes(range(32)))
FAR = compose_key(bytes(range(1, 33)))
HELD = Credential("key_1", "alice", digest_key(KEY), "acme", frozenset({"predict:read"}))
KEYS: dict[str, Key] = {
    "ES256": ECKey.generate_key("P-256"),
    "RS256": RSAKey.generate_key(2048),
    "Ed25519": OKPKey.generate_key("Ed25519"),
}


class Issuers:
    """An issuer with a key of each kind."""

    def __init__(self) -> None:
        """Take the keys."""
        self._keys = KeySet(tuple({**key.as_dict(private=False), "kid": alg} for alg, key in KEYS.items()), 1)

    async def fetch_keys(self, issuer: Issuer, newer_than: int = 0) -> KeySet:
        """Return the keys."""
        return self._keys

    async def introspect(self, issuer: Issuer, token: str) -> Mapping[str, Any]:
        """Know nothing."""
        return {"active": False}


class House:
    """What authenticators ask."""

    def __init__(self, registry: SqlRegistry) -> None:
        """Answer from `registry` and from an issuer in memory."""
        self.driver = Driver(MemoryCounters(), registry, Issuers())
        self.keys = ApiKey("keys", ApiKeyConfig())
        self.tokens = OAuth2("tokens", OAuth2Config(issuer="https://login.example", audience="https://models.example"))

    def caller(self, by: Authenticator, name: str, value: str, good: bool = True) -> Callable[[], Awaitable[Any]]:
        """Return what asks `by` about one credential, and holds that it is let in, or not."""
        request = Request("r", "GET", "/", "", Headers([(name, value)]), "192.0.2.1", NOW)

        async def ask() -> None:
            if isinstance(await self.driver.run(by.authenticate(request)), Principal) is not good:
                raise SystemExit(f"{name} was judged wrongly")

        return ask


async def measure(once: Callable[[], Awaitable[Any]], calls: int = CALLS) -> float:
    """Return the microseconds of one call."""
    best_s = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(calls):
            await once()
        best_s = min(best_s, time.process_time() - began)
    return best_s / calls * 1e6


async def measure_first(house: House, alg: str) -> float:
    """Return the microseconds of one token that was not seen before."""
    callers = [house.caller(house.tokens, "authorization", f"Bearer {sign(alg, f's{n}')}") for n in range(200)]
    await house.caller(house.tokens, "authorization", f"Bearer {sign(alg, 'first')}")()  # the key is imported once
    began = time.process_time()
    for ask in callers:
        await ask()
    return (time.process_time() - began) / len(callers) * 1e6


def sign(alg: str, subject: str) -> str:
    """Sign a token about `subject`."""
    claims = {
        "iss": "https://login.example",
        "aud": "https://models.example",
        "sub": subject,
        "client_id": "app",
        "exp": NOW + 600,
        "iat": NOW,
        "scope": "predict:read",
        "jti": subject,
    }
    parts = [{"alg": alg, "typ": "at+jwt", "kid": alg}, claims]
    signed = ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    signature = JWSRegistry.algorithms[alg].sign(signed.encode(), KEYS[alg])
    return f"{signed}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


async def hash_once() -> bytes:
    """Do what the others are compared with."""
    return sha256(KEY.encode()).digest()


async def flood(house: House, registry: SqlRegistry) -> int:
    """Send garbage that looks like keys, and return how often the database was asked."""
    asked = 0
    find_now = registry.find_now

    def count(digest: bytes) -> Credential | None:
        nonlocal asked
        asked += 1
        return find_now(digest)

    registry.find_now = count  # type: ignore[method-assign]  # it is only counted
    for number in range(FLOOD):
        noise = f"{KEY[:-6]}{number:06d}"
        await house.caller(house.keys, "x-api-key", noise, noise == KEY)()
    await house.caller(house.keys, "x-api-key", compose_key(b"\7" * 32), good=False)()
    if asked != 1:
        raise SystemExit(f"the counting itself is wrong: a well-formed key asks once, not {asked} times")
    return asked - 1


async def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        registry = SqlRegistry(f"sqlite:///{Path(folder)}/vallum.db")
        registry.add(HELD)
        networks = ("198.51.100.0/24", "192.0.2.0/24")
        registry.add(replace(HELD, id="key_2", digest=digest_key(FAR), allow_ip=networks))
        await registry.refresh()
        house = House(registry)
        keys, tokens = house.keys, house.tokens
        token = f"Bearer {sign('ES256', 'seen')}"
        ways: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
            ("SHA-256 of a key", hash_once),
            ("key, known", house.caller(keys, "x-api-key", KEY)),
            ("key, known, with address list", house.caller(keys, "x-api-key", FAR)),
            ("key, noise: a checksum that fails", house.caller(keys, "x-api-key", KEY[:-1] + "!", good=False)),
            ("token, seen within the minute", house.caller(tokens, "authorization", token)),
        ]
        figures = {name: await measure(once) for name, once in ways}
        figures |= {f"token, first seen, {alg}": await measure_first(house, alg) for alg in KEYS}
        bare_us = figures["SHA-256 of a key"]
        print(f"{'what':<36}{'us':>8}{'to SHA-256':>12}")
        for name, taken_us in figures.items():
            print(f"{name:<36}{taken_us:8.2f}{taken_us / bare_us:12.1f}")
        queries = await flood(house, registry)
        print(f"queries for {FLOOD} keys of noise: {queries}")
        registry.close()
        over = [name for name in ("key, known", "token, seen within the minute") if figures[name] > GOAL_US]
        print(f"over the goal of {GOAL_US:g} us: {', '.join(over) or 'none'}")
        return int(bool(over or queries))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
