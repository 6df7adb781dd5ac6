"""What it costs to know who is calling, in CPU time of one core.

    python bench/tokens.py

Needs the package alone.  Every figure is the best of five rounds, and what was measured is checked to have been right.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from functools import partial
from typing import TYPE_CHECKING, Any

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from vallum.authenticators.oauth2 import OAuth2, OAuth2Config
from vallum.core.exchange import Headers, Request
from vallum.core.issuer import KeySet
from vallum.core.principal import Principal

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000.0
ROUNDS = 5


def measure_tokens() -> list[tuple[str, float]]:
    """Measure access tokens: of each algorithm the first time, and once more within the minute."""
    keys: dict[str, Key] = {
        "ES256": ECKey.generate_key("P-256"),
        "RS256": RSAKey.generate_key(2048),
        "Ed25519": OKPKey.generate_key("Ed25519"),
    }
    rows = []
    for alg, key in keys.items():
        keyset = KeySet(({**key.as_dict(private=False), "kid": "k"},), 1)
        config = OAuth2Config(issuer="https://login.example", audience="https://models.example")
        tokens = OAuth2("tokens", config)
        requests = [_request(_sign(alg, key, f"subject-{number}")) for number in range(200)]
        run(tokens, _request(_sign(alg, key, "first")), keyset)  # the key is imported once
        began = time.process_time()
        for request in requests:
            run(tokens, request, keyset)
        rows.append((f"token, {alg}, first seen", (time.process_time() - began) / len(requests) * 1e6))
        if alg == "ES256":
            rows.append(("token, seen within the minute", best(partial(run, tokens, requests[7], keyset), 20_000)))
    return rows


def run(tokens: OAuth2, request: Request, keys: KeySet) -> None:
    """Ask one authenticator about one request."""
    steps = tokens.authenticate(request)
    try:
        next(steps)
        steps.send(keys)
    except StopIteration as stop:
        if not isinstance(stop.value, Principal):
            raise SystemExit(f"not let in: {stop.value}") from None


def best(call: Callable[[], Any], times: int) -> float:
    """Return microseconds a call, in the best round."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            call()
        rounds.append(time.process_time() - began)
    return min(rounds) / times * 1e6


def _request(token: str) -> Request:
    return Request("id", "POST", "/", "", Headers([("authorization", f"Bearer {token}")]), "192.0.2.1", NOW)


def _sign(alg: str, key: Key, subject: str) -> str:
    claims = {
        "iss": "https://login.example", "aud": "https://models.example", "sub": subject, "client_id": "app",
        "exp": NOW + 600, "iat": NOW, "scope": "predict:read", "jti": subject,
    }  # fmt: skip
    parts = [{"alg": alg, "typ": "at+jwt", "kid": "k"}, claims]
    signed = ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    signature = JWSRegistry.algorithms[alg].sign(signed.encode(), key)
    return f"{signed}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


if __name__ == "__main__":
    for name, cost_us in measure_tokens():
        print(f"{name:40} {cost_us:8.1f} us")
