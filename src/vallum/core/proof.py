"""Proof of possession: a bound credential is worth nothing without what it is bound to.

Rule 1: what a principal is bound to is proved on every request, whoever vouched for it, and nothing is kept of that.
Rule 2: a credential bound to a key is never taken as a bearer's, and one that is not is never taken as bound
        (RFC 9449 7.1, 7.2).  X-API-Key has no scheme to be wrong about.
Rule 3: a refusal names in its challenge what is wanted; its body is that of every other.
"""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest
from typing import TYPE_CHECKING, NamedTuple

from vallum.core.decision import INVALID_TOKEN, Challenge
from vallum.core.exchange import NOBODY

if TYPE_CHECKING:
    from vallum.core.decision import Refusal
    from vallum.core.effects import Steps
    from vallum.core.exchange import Exchange, Fields, Headers, Request
    from vallum.core.policy import Route
    from vallum.core.principal import Confirmation
    from vallum.core.protocols import Prover

CONTROL = "confirm"
WANTED = "a credential bound to a client certificate or to a DPoP key is required"


class Presented(NamedTuple):
    """A credential as it was sent: its scheme in lower case, "" for X-API-Key."""

    scheme: str
    text: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved: that the caller holds the key with this thumbprint (RFC 7638)."""

    key: str
    fields: Fields = ()  # of the answer: a nonce for the next proof


@dataclass(frozen=True, slots=True)
class Unproven:
    """A proof that does not hold, by its error code (RFC 9449 5, 7.1, 8); the detail is for the record."""

    detail: str
    error: str = "invalid_dpop_proof"
    fields: Fields = ()


def presented(headers: Headers) -> Presented:
    """Return the credential that a request carries, with an empty text where it carries none."""
    authorization = headers.get("authorization")
    if authorization is None:
        return Presented("", headers.get("x-api-key") or "")
    scheme, _, text = authorization.partition(" ")
    return Presented(scheme.lower(), text.strip(" "))


def confirm(x: Exchange, route: Route) -> Refusal | Steps[Refusal | None] | None:
    """Have the caller prove what its credential is bound to; refuse an unbound one where the route wants it bound."""
    prover, bond = x.policy.prover, x.principal.confirmation
    if bond is not None:
        return prove_bond(x, prover, bond, presented(x.request.headers))
    if route.bound:
        return dpop_challenge(prover, "invalid_token", "the credential is bound to nothing", WANTED)
    if x.principal is not NOBODY and presented(x.request.headers).scheme == "dpop":
        return dpop_challenge(prover, "invalid_token", "an unbound credential under the DPoP scheme")
    return None


def prove_bond(x: Exchange, prover: Prover | None, bond: Confirmation, shown: Presented) -> Steps[Challenge | None]:
    """Demand everything that `bond` names; one that names nothing we know can be proved by nobody."""
    if bond.certificate is None and bond.key is None:
        return Challenge(INVALID_TOKEN, CONTROL, "bound to something that cannot be proved here")
    if bond.certificate is not None and not _holds_certificate(x.request, bond.certificate):
        return Challenge(INVALID_TOKEN, CONTROL, "not the certificate that the credential is bound to")  # RFC 8705 3
    if bond.key is None:
        return None
    if shown.scheme == "bearer" or not shown.text:
        return dpop_challenge(prover, "invalid_token", "a credential bound to a key, sent as a bearer's")
    if prover is None:
        return dpop_challenge(prover, "invalid_token", "nothing here checks proofs of a key")
    proof = yield from prover.prove(x.request, shown.text, bond.key)
    x.proof_fields = proof.fields
    if isinstance(proof, Unproven):
        return dpop_challenge(prover, proof.error, proof.detail)
    return None


def _holds_certificate(request: Request, thumbprint: str) -> bool:
    held = request.certificate
    return held is not None and compare_digest(held.thumbprint.encode(), thumbprint.encode())


def dpop_challenge(prover: Prover | None, error: str, detail: str, wanted: str = "") -> Challenge:
    """Challenge for a proof (RFC 9449 7.1)."""
    parts = [f'error="{error}"']
    if wanted:
        parts.append(f'error_description="{wanted}"')
    if prover is not None:
        parts.append(f'algs="{prover.algorithms}"')
    return Challenge(f"DPoP {', '.join(parts)}", CONTROL, detail)
