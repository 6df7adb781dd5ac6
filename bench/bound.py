"""What proofs, tokens and habits cost, each alone, in microseconds of one core.

python bench/bound.py
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from vallum.core.exchange import Headers, Request
from vallum.core.jws import digest
from vallum.core.principal import Principal
from vallum.core.theft import Habits, Profile, Sighting
from vallum.mint.keyring import KeyRing, make_key
from vallum.mint.tokens import Grant, Mint, Verifier, mint_token
from vallum.provers.dpop import Dpop, DpopConfig, Registry
from vallum.stores.proofs import MemoryProofs

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000.0
URL = "https://models.example"
ROUNDS = 2_000
SIGNERS = Registry(algorithms=["ES256", "Ed25519", "RS256"])


def measure(name: str, run: Callable[[int], Any]) -> None:
    """Print the best of five rounds: what disturbs a round can only make it slower."""
    best = float("inf")
    for round_ in range(5):
        began = time.process_time()
        for number in range(ROUNDS // 5):
            run(round_ * ROUNDS + number)
        best = min(best, (time.process_time() - began) / (ROUNDS // 5))
    print(f"{name:<44}{best * 1e6:9.1f} us")


def request(key: Any, algorithm: str) -> Request:
    """Return a request with a proof."""
    claims = {"jti": "one", "htm": "POST", "htu": f"{URL}/predict", "iat": int(NOW), "ath": digest("key")}
    header = {"typ": "dpop+jwt", "alg": algorithm, "jwk": key.as_dict(private=False)}
    proof = jwt.encode(header, claims, key, [algorithm], registry=SIGNERS)
    return Request("id", "POST", "/predict", "", Headers([("dpop", proof)]), "192.0.2.1", NOW, URL)


def prove(prover: Dpop, asked: Request) -> None:
    """Check a proof up to its only effect."""
    steps = prover.prove(asked, "key", None)
    next(steps)
    steps.close()


def main() -> None:
    """Measure."""
    for key, algorithm in (
        (ECKey.generate_key("P-256"), "ES256"),
        (OKPKey.generate_key("Ed25519"), "Ed25519"),
        (RSAKey.generate_key(2048), "RS256"),
    ):
        asked, prover = request(key, algorithm), Dpop(DpopConfig())
        measure(f"proof, {algorithm}, key seen before", lambda _, p=prover, a=asked: prove(p, a))
        measure(f"proof, {algorithm}, new key", lambda _, a=asked: prove(Dpop(DpopConfig()), a))
    text = make_key()
    mint = Mint(URL, URL, frozenset({URL}), 300, KeyRing(lambda: text))
    grant = Grant(Principal("alice", credential_id="key_1"), frozenset({"predict:read"}), URL, None)
    token = mint_token(mint, grant, "id", NOW)
    measure("mint a token", lambda _: mint_token(mint, grant, "id", NOW))
    measure("verify a token, first time", lambda _: Verifier(mint).verify(token, NOW))
    known = Verifier(mint)
    measure("verify a token, seen before", lambda _: (known.is_ours(token, NOW), known.verify(token, NOW)))
    profile = Profile(0.0)
    measure(
        "note a use of a credential",
        lambda n: profile.note(Sighting(float(n), "192.0.2.0/24", "curl", frozenset({"a"})), Habits()),
    )
    proofs, loop = MemoryProofs(), asyncio.new_event_loop()

    async def remember(count: int) -> None:
        for number in range(count):
            await proofs.set_once(f"dpop:{number}", 120_000)

    began = time.process_time()
    loop.run_until_complete(remember(100_000))
    print(f"{'remember a proof':<44}{(time.process_time() - began) * 10:9.1f} us")
    loop.close()


if __name__ == "__main__":
    main()
