"""A bound key or token in other hands is worth nothing, whichever adapter the thief comes to.

An adapter is one line in `Both.ways` of conftest.py; every row below is then asked of it too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

import pytest
from joserfc.jwk import ECKey
from tests.authservers import make_proof
from tests.parity.memory import ORIGIN

from vallum.codecs.json import Json
from vallum.core.principal import Confirmation

if TYPE_CHECKING:
    from tests.parity.conftest import Both
    from tests.parity.memory import Fields, Outcome, Way

SIGNING = Path(__file__).parents[1] / "vectors" / "signing.pem"
POLICY = f"""
version: 1
upstreams: {{model: {{url: "http://127.0.0.1:9"}}}}
authenticators: {{keys: {{type: api_key}}, minted: {{type: minted}}}}
tokens: {{issuer: "https://models.example", key: "file:{SIGNING}"}}
routes:
  - {{name: any, match: {{methods: [POST], path: /any}}, upstream: model, auth: {{any_of: [keys, minted]}}}}
  - name: bound
    match: {{methods: [POST], path: /bound}}
    upstream: model
    auth: {{any_of: [minted, keys], bound: required}}
"""
MINE, THEIRS = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
TO_A_KEY, TO_A_CERTIFICATE = Confirmation(key=MINE.thumbprint()), Confirmation(certificate="A" * 43)
PATHS = ("/any", "/bound")
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"


class Theft(NamedTuple):
    """How a thief shows what he has; `proof` is whose, "" for none, and what of it is changed."""

    name: str
    what: str = "key"
    scheme: str | None = "DPoP"  # None: X-API-Key
    proof: str = ""
    changes: tuple[tuple[str, str | int], ...] = ()


THEFTS = [
    Theft("a key without a proof"),
    Theft("a key as Bearer", scheme="Bearer"),
    Theft("a key as Bearer, with a good proof", scheme="Bearer", proof="mine"),
    Theft("a key in X-API-Key", scheme=None),
    Theft("a key with the thief's proof", proof="theirs"),
    Theft("a key in X-API-Key with the thief's proof", scheme=None, proof="theirs"),
    Theft("a key with a proof that was used", proof="used"),
    Theft("a key with a proof of another address", proof="mine", changes=(("htu", "http://evil.example/any"),)),
    Theft("a key with a proof of another method", proof="mine", changes=(("htm", "GET"),)),
    Theft("a key with an old proof", proof="mine", changes=(("iat", 1_700_000_000),)),
    Theft("a key with a proof for another credential", proof="mine", changes=(("ath", "A" * 43),)),
    Theft("a key of a certificate, without it", "certified", "Bearer"),
    Theft("a key of a certificate, with a proof instead", "certified", proof="theirs"),
    Theft("a token without a proof", "token"),
    Theft("a token as Bearer", "token", "Bearer"),
    Theft("a token as Bearer, with a good proof", "token", "Bearer", "mine"),
    Theft("a token with the thief's proof", "token", proof="theirs"),
    Theft("a token with a proof that was used", "token", proof="used"),
]


@pytest.fixture
def policy_text() -> str:
    return POLICY


def proof(path: str, credential: str | None, key: ECKey = MINE, **changes: str | int) -> tuple[str, str]:
    return "DPoP", make_proof(key, "POST", ORIGIN + path, credential, **changes)


async def send(way: Way, path: str, fields: Fields, form: dict[str, str] | None = None) -> Outcome:
    body = b"{}" if form is None else urlencode(form).encode()
    media_type = "application/json" if form is None else "application/x-www-form-urlencoded"
    more = [("Content-Type", media_type), ("Content-Length", str(len(body)))]
    return await way.ask("POST", path, [*fields, *more], body)


async def mint(way: Way, key: str) -> str:
    """Exchange a bound key for a token, which is bound as it is."""
    fields = [("Authorization", f"DPoP {key}"), proof("/oauth/token", key)]
    answer = await send(way, "/oauth/token", fields, {"grant_type": GRANT})
    assert answer.status == 200, answer
    document = Json().decode(answer.body)
    assert document["token_type"] == "DPoP"
    return str(document["access_token"])


@pytest.mark.parametrize("theft", THEFTS, ids=[theft.name for theft in THEFTS])
async def test_what_is_bound_cannot_be_stolen(both: Both, theft: Theft) -> None:
    confirmation = TO_A_CERTIFICATE if theft.what == "certified" else TO_A_KEY
    key = both.issue("alice", confirmation=confirmation)
    refusals = set()
    for name, way in both.ways.items():
        stolen = await mint(way, key) if theft.what == "token" else key
        for path in PATHS:
            shown = ("X-API-Key", stolen) if theft.scheme is None else ("Authorization", f"{theft.scheme} {stolen}")
            if theft.what != "certified":
                owners = proof(path, stolen)
                honest = [("Authorization", f"DPoP {stolen}"), owners]
                assert (await send(way, path, honest)).decision == "allow", (name, path)
            fields = [shown]
            if theft.proof == "used":
                fields.append(owners)
            elif theft.proof:
                signer = {"mine": MINE, "theirs": THEIRS}[theft.proof]
                fields.append(proof(path, stolen, signer, **dict(theft.changes)))
            outcome = await send(way, path, fields)
            assert (outcome.decision, outcome.status) == ("challenge", 401), (name, path)
            assert outcome.received is None, (name, path)
            refusals.add(outcome.body)
    assert len(refusals) == 1
