"""The token endpoint: a long-lived key becomes a token of minutes (RFC 8693), with fewer scopes and bound where wanted.

Rule 1: a token is never worth more than its key: no scope that the key lacks, no life after it, bound as it is bound.
Rule 2: a wrong key is answered as everywhere: one 401, in the same time; what is wrong with the request is a 400 with
        OAuth's own code (RFC 6749 5.2) and nothing of the key.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

import msgspec

from vallum.core.decision import INVALID_TOKEN, Challenge, Deny, Page, Reason
from vallum.core.exchange import Headers
from vallum.core.policy import Mode
from vallum.core.principal import Confirmation, Principal
from vallum.core.proof import Presented, Unproven, presented, prove_bond
from vallum.core.stages import authorise
from vallum.core.watch import watch
from vallum.mint.tokens import Grant, mint_token

if TYPE_CHECKING:
    from vallum.core.decision import Refusal
    from vallum.core.effects import Steps
    from vallum.core.exchange import Exchange
    from vallum.core.protocols import Authenticator, Prover
    from vallum.mint.tokens import Mint

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  a name
JWT = "urn:ietf:params:oauth:token-type:jwt"
CONTROL = "tokens"


class Exchanger:
    """Answers the token endpoint."""

    def __init__(self, mint: Mint, authenticators: tuple[Authenticator, ...], prover: Prover | None) -> None:
        """Mint for those whom `authenticators` vouch for."""
        self._mint = mint
        self._authenticators = authenticators
        self._prover = prover

    def respond(self, x: Exchange) -> Steps[Page | Refusal]:
        """Exchange the key that came with a request for a token."""
        form: dict[str, str] = x.document if isinstance(x.document, dict) else {}
        grant = form.get("grant_type")
        if grant != GRANT:
            return _fault("unsupported_grant_type" if grant else "invalid_request", "another grant_type, or none")
        refusal = yield from self._identify(x, form)
        if refusal is not None:
            return refusal
        scopes = frozenset(form["scope"].split(" ")) if form.get("scope") else x.principal.scopes
        if not scopes <= x.principal.scopes:
            return _fault("invalid_scope", "a scope that the key lacks")  # RFC 8693 2.1: never more than it has
        wanted = {form[name] for name in ("audience", "resource") if form.get(name)} or {self._mint.audience}
        if len(wanted) != 1 or not wanted <= self._mint.audiences:
            return _fault("invalid_target", "an audience that tokens are not minted for")
        bond = yield from self._bind(x)
        if isinstance(bond, Deny):
            return bond
        return self._page(x, Grant(x.principal, scopes, wanted.pop(), bond))

    def _identify(self, x: Exchange, form: dict[str, str]) -> Steps[Refusal | None]:
        """Find the key: in the field where keys stand, or as the subject token (RFC 8693 2.1)."""
        token = form.get("subject_token") or ""
        shown = presented(x.request.headers)
        if form.get("subject_token_type", ACCESS_TOKEN) != ACCESS_TOKEN or form.get("actor_token"):
            return _fault("invalid_request", "a kind of token that is not exchanged here")
        if form.get("requested_token_type", ACCESS_TOKEN) not in (ACCESS_TOKEN, JWT):
            return _fault("invalid_request", "a kind of token that is not minted here")
        if x.principal.credential_id is not None:
            if token and not compare_digest(token.encode(), shown.text.encode("utf-8", "surrogateescape")):
                return _fault("invalid_request", "two keys at once")
            return None
        if not token or shown.text:
            return Challenge(INVALID_TOKEN if shown.text else "Bearer", CONTROL, "no key was presented")
        return (yield from self._authenticate(x, token))

    def _authenticate(self, x: Exchange, token: str) -> Steps[Refusal | None]:
        fields = [field for field in x.request.headers.fields if field[0] != "authorization"]
        request = x.request._replace(headers=Headers([*fields, ("x-api-key", token)]))
        for authenticator in self._authenticators:
            answer = yield from authenticator.authenticate(request)
            if isinstance(answer, Principal):
                x.principal = answer
                return (yield from self._confirm(x, token))
            if isinstance(answer, Challenge):
                x.canary = answer.canary
            if answer is not None:
                return answer
        return Challenge(INVALID_TOKEN, CONTROL, "the subject token is no key")

    def _confirm(self, x: Exchange, token: str) -> Steps[Refusal | None]:
        """Do for a key in the body what the line has done for one in the head."""
        bond, route = x.principal.confirmation, x.route
        if bond is not None:
            refusal = yield from prove_bond(x, self._prover, bond, Presented("", token))
            if refusal is not None:
                return refusal
        if route is None:
            return None
        beyond = authorise(x, route)
        if beyond is not None or route.vigilance is None:
            return beyond
        strange = yield from watch(x, route)
        if strange is not None and route.vigilance.mode is Mode.SHADOW:
            x.shadowed.append(strange)
            return None
        return strange

    def _bind(self, x: Exchange) -> Steps[Confirmation | Deny | None]:
        """Say what the token is bound to: what its key is bound to, and what the caller proves here and now."""
        certificate, key = x.principal.confirmation or (None, None)
        if key is None and self._prover is not None and x.request.headers.get("dpop") is not None:
            proof = yield from self._prover.prove(x.request, None, None)
            x.proof_fields = proof.fields
            if isinstance(proof, Unproven):
                return _fault(proof.error, proof.detail)
            key = proof.key
        elif key is None and certificate is None and x.request.certificate is not None:
            certificate = x.request.certificate.thumbprint
        return Confirmation(certificate, key) if certificate or key else None

    def _page(self, x: Exchange, grant: Grant) -> Page:
        bond = grant.bond
        answer = {
            "access_token": mint_token(self._mint, grant, x.request.id, x.request.now),
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "DPoP" if bond is not None and bond.key is not None else "Bearer",
            "expires_in": self._mint.lifetime_s,
            "scope": " ".join(sorted(grant.scopes)),
        }
        return Page(msgspec.json.encode(answer))


def _fault(error: str, detail: str) -> Deny:
    return Deny(Reason.INVALID_REQUEST, CONTROL, detail, violations=({"pointer": "", "rule": error},))
