"""Proofs of a key's possession (DPoP, RFC 9449): a small signed token in the field `DPoP` of every request.

What it stops
    The use of a stolen credential: an API key or token that is bound to a key is worth nothing without that key.  A
    proof that was seen on the way is of no use either: it holds for one method, one address, one credential, and once.
Config
    `algorithms`: what proofs may be signed with.  `max_age_s`: how far a proof's time may be from ours, 60.
    `origins`: the addresses that callers know the gateway by; without them the Host field is believed.  `nonce`:
    `required` has proofs carry a number that the gateway hands out, so that none can be made in advance; `nonce_secret`
    is what it is made from, the same on every node, and `nonce_life_s` how long it holds at least.
Cost
    0.2 to 0.3 ms with a key that was seen before (RS256, Ed25519, ES256 in rising order), up to half a millisecond with
    a new one; one place in the set of proofs for two minutes.  Nothing of a proof is kept to save the next.
Misses
    Malware on the caller's host, which uses the key where it is.  A relay that the caller itself was led to, unless
    `origins` or a nonce is set.  The body: a proof says nothing of it, TLS must.
Example
    dpop:
      origins: ["https://models.example"]
      nonce: required
      nonce_secret: "${VALLUM_NONCE_SECRET}"
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

import msgspec
from joserfc import jws
from joserfc.jwk import import_key
from msgspec import Meta

from vallum.core.effects import RememberProof, Steps, ask
from vallum.core.jws import JwsError, Parts, canonical_key, digest, encode, read_unverified
from vallum.core.proof import Proof, Unproven
from vallum.core.target import canonical_path

if TYPE_CHECKING:
    from vallum.core.exchange import Fields, Request

Algorithm = Literal["ES256", "ES384", "ES512", "Ed25519", "EdDSA", "RS256", "PS256"]
# algorithm -> type and curve of its keys.
KEYS: dict[str, tuple[str, str | None]] = {
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "Ed25519": ("OKP", "Ed25519"),
    "EdDSA": ("OKP", "Ed25519"),
    "RS256": ("RSA", None),
    "PS256": ("RSA", None),
}
USUAL: tuple[Algorithm, ...] = ("ES256", "Ed25519", "EdDSA", "ES384", "RS256", "PS256")
HEADER_MEMBERS = frozenset({"typ", "alg", "jwk", "kid"})
PROOF_MAX_CHARS = 4_096
JTI_MAX_CHARS = 256
KEYS_KEPT = 1_024
RSA_MIN_CHARS, RSA_MAX_CHARS = 342, 683  # 2048 to 4096 bits
EXPONENT_MAX_CHARS = 6  # 32 bits: a large exponent makes a check as dear as a signature


class DpopConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Proofs of a key's possession (DPoP, RFC 9449)."""

    algorithms: Annotated[list[Algorithm], Meta(min_length=1, description="what proofs may be signed with")] = (
        msgspec.field(default_factory=lambda: list(USUAL))
    )
    max_age_s: Annotated[int, Meta(ge=5, le=300, description="how far a proof's time may be from ours")] = 60
    origins: Annotated[
        list[str], Meta(description="scheme://host:port that callers use; without any the Host field is believed")
    ] = []
    nonce: Annotated[Literal["off", "required"], Meta(description="demand a number of ours in every proof")] = "off"
    nonce_secret: (
        Annotated[str, Meta(min_length=32, description="what the numbers are made from, the same on every node")] | None
    ) = None
    nonce_life_s: Annotated[int, Meta(ge=10, le=3600, description="how long a number holds, at least")] = 120

    def __post_init__(self) -> None:
        """Hold that the numbers can be made, and that origins are origins."""
        if self.nonce == "required" and self.nonce_secret is None:
            raise ValueError("nonce: required needs a nonce_secret of 32 characters or more")
        for origin in self.origins:
            if _origin(origin) is None or urlsplit(origin).path not in ("", "/"):
                raise ValueError(f"{origin!r} is no origin; write it as https://host or https://host:port")


class Registry(jws.JWSRegistry):
    """What joserfc may read: RSA keys stand in the header, which takes more than its default of 512 bytes."""

    max_header_length = PROOF_MAX_CHARS
    max_payload_length = PROOF_MAX_CHARS

    def get_alg(self, name: str) -> Any:
        """Return an allowed algorithm; EdDSA is what many clients still call Ed25519 (RFC 9864 2.2)."""
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


class Dpop:
    """Checks proofs, cheap before dear, and remembers those that hold."""

    type: ClassVar[str] = "dpop"

    def __init__(self, config: DpopConfig) -> None:
        """Take what proofs must hold to."""
        self.algorithms = " ".join(config.algorithms)
        self._allowed = frozenset(config.algorithms)
        self._registry = Registry(algorithms=[*config.algorithms, "Ed25519"])
        self._max_age_s = config.max_age_s
        self._origins = frozenset(map(_origin, config.origins))
        self._secret = (config.nonce_secret or "").encode() if config.nonce == "required" else None
        self._nonce_life_s = config.nonce_life_s
        self._keys: dict[str, Any] = {}

    def prove(self, request: Request, credential: str | None, key: str | None) -> Steps[Proof | Unproven]:
        """Check the one proof of `request` (RFC 9449 4.3), and that it comes for the first time."""
        proofs = request.headers.all("dpop")
        fields: Fields = ()
        if self._secret is not None:
            fields = (("dpop-nonce", self.nonce(request.now)),)
        if len(proofs) != 1:
            return Unproven(f"{len(proofs)} proofs", fields=fields)
        try:
            parts = read_unverified(proofs[0], PROOF_MAX_CHARS)
            if self._secret is not None:
                if not self._knows_nonce(parts.claims.get("nonce"), request.now):
                    return Unproven("no nonce of ours, or an old one", "use_dpop_nonce", fields)
                if parts.claims["nonce"] == fields[0][1]:
                    fields = ()  # RFC 9449 8.2: a new one is sent when the old one is about to end
            self._check_claims(parts.claims, request, credential)
            held = self._check_key(proofs[0], parts, key)
        except JwsError as fault:
            return Unproven(str(fault), fields=fields)
        except Exception as error:  # noqa: BLE001  whatever a library makes of hostile bytes is a proof that does not hold
            return Unproven(f"{type(error).__name__} while the proof was read", fields=fields)
        # Held until no node would take it any more, even one whose clock is behind ours.
        remaining_s = parts.claims["iat"] + 2 * self._max_age_s - request.now
        name = encode(sha256(f"{held}\x1f{parts.claims['jti']}".encode("utf-8", "surrogatepass")).digest())
        if not (yield from ask(RememberProof(f"dpop:{name}", int(remaining_s * 1000)))):
            return Unproven("this proof was used before", fields=fields)
        return Proof(held, fields)

    def nonce(self, now: float, back: int = 0) -> str:
        """Return the number of this moment, or of a slot before it: the same on every node, kept nowhere."""
        slot = int(now // self._nonce_life_s) - back
        return encode(hmac_digest(self._secret or b"", f"dpop-nonce:{slot}".encode(), "sha256")[:18])

    def _knows_nonce(self, nonce: Any, now: float) -> bool:
        sent = nonce.encode("utf-8", "surrogatepass") if isinstance(nonce, str) else b""
        return any(compare_digest(sent, self.nonce(now, back).encode()) for back in (0, 1))

    def _check_claims(self, claims: dict[str, Any], request: Request, credential: str | None) -> None:
        jti, issued = claims.get("jti"), claims.get("iat")
        if not isinstance(jti, str) or not 1 <= len(jti) <= JTI_MAX_CHARS:
            raise JwsError(f"jti is not a text of 1 to {JTI_MAX_CHARS} characters")
        if claims.get("htm") != request.method:
            raise JwsError("htm is another method")
        if not self._is_here(claims.get("htu"), request):
            raise JwsError("htu is another address")
        if not isinstance(issued, int | float) or isinstance(issued, bool):
            raise JwsError("iat is not a number")
        if abs(issued - request.now) > self._max_age_s:
            raise JwsError(f"iat is over {self._max_age_s} s away")
        if credential is not None:
            bound_to = claims.get("ath")
            if not isinstance(bound_to, str) or not compare_digest(_bytes(bound_to), _bytes(digest(credential))):
                raise JwsError("ath is not of this credential")

    def _is_here(self, htu: Any, request: Request) -> bool:
        """Compare the proof's address with the request's, both in normal form, without query and fragment."""
        if not isinstance(htu, str) or request.path is None:
            return False
        origin = _origin(htu)
        ours = self._origins or {_origin(request.origin)}
        return origin is not None and origin in ours and canonical_path(urlsplit(htu).path or "/") == request.path

    def _check_key(self, proof: str, parts: Parts, expected: str | None) -> str:
        """Check the signature by the key in the header, and return the key's thumbprint."""
        header, algorithm = parts.header, parts.header.get("alg")
        if header.get("typ") != "dpop+jwt" or not HEADER_MEMBERS.issuperset(header):
            raise JwsError("typ is not dpop+jwt, or the header has members that no proof has")
        if not isinstance(algorithm, str) or algorithm not in self._allowed:
            raise JwsError("alg is not allowed")
        jwk: Any = header.get("jwk")
        canonical = canonical_key(jwk)
        if (jwk["kty"], jwk.get("crv")) != KEYS[algorithm]:
            raise JwsError("alg is not for this key")
        thumb = digest(canonical)
        if expected is not None and not compare_digest(thumb, _ascii(expected)):
            raise JwsError("not the key that the credential is bound to")
        jws.deserialize_compact(proof, self._import(canonical, jwk), [algorithm], self._registry)
        return thumb

    def _import(self, canonical: str, jwk: dict[str, Any]) -> Any:
        """Return the key itself; its text is its name, so keeping it changes nothing but the cost."""
        key = self._keys.get(canonical)
        if key is None:
            if jwk["kty"] == "RSA" and not (
                RSA_MIN_CHARS <= len(jwk["n"]) <= RSA_MAX_CHARS and len(jwk["e"]) <= EXPONENT_MAX_CHARS
            ):
                raise JwsError("an RSA key of a size that is not taken")
            key = import_key(msgspec.json.decode(canonical))
            if len(self._keys) >= KEYS_KEPT:
                del self._keys[next(iter(self._keys))]
            self._keys[canonical] = key
        return key


def _origin(url: str) -> str | None:
    """Return scheme, host and port in normal form (RFC 3986 6.2.2, 6.2.3), or None for what is no http address."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        return None
    if split.scheme not in ("http", "https") or not split.hostname or "@" in split.netloc:
        return None
    return f"{split.scheme}://{split.hostname}:{port or (443 if split.scheme == 'https' else 80)}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _ascii(text: str) -> str:
    return text if text.isascii() else ""
