"""Reports of leaked keys, as GitHub's secret scanning sends them to partners, and as scanners of your own may.

What it stops
    A key that somebody has published: it is revoked, or set aside, as soon as a scanner has seen it.
Config
    `path`: where reports are posted.  `keys`: GitHub's public keys, which sign its reports.  `secret`: what your own
    scanners sign with.  `action`: `revoke` or `quarantine`.
Cost
    A signature is checked before a body is read: 0.1 ms for ECDSA, 2 us for HMAC.  Known keys cost one transaction.
Misses
    Leaks that no scanner sees.  GitHub's keys are not fetched: when it changes them, so must you.
Example
    leak_reports:
      path: /leaked-keys
      secret: "${LEAK_REPORT_SECRET}"

A report may be sent again, by anybody who has recorded it: it takes back what was taken back before.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from msgspec import Meta

from vallum.core.apikey import digest_key, is_well_formed
from vallum.core.decision import Deny, Page, Reason
from vallum.core.effects import Steps, WithdrawCredentials, ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vallum.core.exchange import Exchange, Request

REPORTS_MAX = 1000
BODY_MAX_BYTES = 1_048_576
CONTROL = "leak_reports"
IDENTIFIER, SIGNATURE = "github-public-key-identifier", "github-public-key-signature"
OWN_SIGNATURE = "x-hub-signature-256"  # sha256=<hex>, as webhooks are commonly signed


class LeakReportsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where scanners report keys that they have found in public.  Give `keys`, `secret`, or both."""

    path: Annotated[str, Meta(description="where reports are posted")]
    keys: Annotated[
        str | dict[str, str] | None,
        Meta(description="GitHub's public keys: its JSON file, or a PEM file for each key's identifier"),
    ] = None
    secret: Annotated[
        Annotated[str, Meta(min_length=16)] | None,
        Meta(description="what HMAC signatures of your scanners are made with"),
    ] = None
    action: Annotated[
        Literal["revoke", "quarantine"], Meta(description="revoke: for good; quarantine: until `vallum keys release`")
    ] = "revoke"

    def __post_init__(self) -> None:
        """Hold that somebody can report."""
        if self.keys is None and self.secret is None:
            raise ValueError("give keys, secret, or both: nobody could sign a report")


class Report(msgspec.Struct):
    """One finding of a scanner.  What else it says is not read."""

    token: Annotated[str, Meta(max_length=512)]
    type: Annotated[str, Meta(max_length=256)] = ""


class LeakReports:
    """Takes leaked keys back, and says which of the reports were true."""

    def __init__(
        self, keys: Mapping[str, EllipticCurvePublicKey], secret: str | None, prefixes: Sequence[str], quarantine: bool
    ) -> None:
        """Believe whoever signs with one of `keys` or with `secret`; ours are the keys with one of `prefixes`."""
        self._keys = keys
        self._secret = None if secret is None else secret.encode()
        self._prefixes = prefixes
        self._quarantine = quarantine
        self._decoder = msgspec.json.Decoder(list[Report])

    def respond(self, x: Exchange) -> Steps[Page | Deny]:
        """Check the signature, then read the body, then take back what is known."""
        if not self._is_signed(x.request, x.body):
            return Deny(Reason.REQUEST_REJECTED, CONTROL, "no signature that holds")
        try:
            reports = self._decoder.decode(x.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Deny(
                Reason.MALFORMED_REQUEST, CONTROL, "not a list of reports"
            )  # a body's words stay out of records
        if len(reports) > REPORTS_MAX:
            return Deny(Reason.INVALID_REQUEST, CONTROL, f"over {REPORTS_MAX} reports")
        digests = {report.token: digest_key(report.token) for report in reports if self._is_ours(report.token)}
        known: frozenset[bytes] = frozenset()
        if digests:
            asked = WithdrawCredentials(tuple(digests.values()), x.request.now, self._quarantine)
            known = yield from ask(asked)
        return Page(msgspec.json.encode([_verdict(report, digests.get(report.token) in known) for report in reports]))

    def _is_ours(self, token: str) -> bool:
        return any(is_well_formed(token, prefix) for prefix in self._prefixes)

    def _is_signed(self, request: Request, body: bytes) -> bool:
        own = request.headers.all(OWN_SIGNATURE)
        if own and self._secret is not None:
            expected = "sha256=" + hmac.new(self._secret, body, sha256).hexdigest()
            return len(own) == 1 and hmac.compare_digest(own[0].encode(errors="replace"), expected.encode())
        identifiers, signatures = request.headers.all(IDENTIFIER), request.headers.all(SIGNATURE)
        if len(identifiers) != 1 or len(signatures) != 1 or identifiers[0] not in self._keys:
            return False
        try:
            self._keys[identifiers[0]].verify(b64decode(signatures[0], validate=True), body, ECDSA(SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


def _verdict(report: Report, known: bool) -> dict[str, str]:
    # By its hash: what has leaked need not be said again.
    return {
        "token_hash": b64encode(sha256(report.token.encode("utf-8", "surrogateescape")).digest()).decode(),
        "token_type": report.type,
        "label": "true_positive" if known else "false_positive",
    }


def read_public_keys(texts: Mapping[str | None, bytes]) -> dict[str, EllipticCurvePublicKey]:
    """Read public keys by identifier: PEM by its own, or under None a JSON file as GitHub publishes it.

    Raise ValueError for what is no ECDSA key on P-256.
    """
    keys: dict[str, EllipticCurvePublicKey] = {}
    for identifier, text in texts.items():
        entries = _github_keys(text) if identifier is None else [(identifier, text)]
        for name, pem in entries:
            try:
                key = load_pem_public_key(pem)
            except ValueError as error:
                raise ValueError(f"the key {name!r} is no PEM public key") from error
            if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
                raise ValueError(  # noqa: TRY004  what a file holds is a value
                    f"the key {name!r} is no ECDSA key on P-256"
                )
            keys[name] = key
    return keys


def _github_keys(text: bytes) -> list[tuple[str, bytes]]:
    try:
        entries: list[dict[str, Any]] = json.loads(text)["public_keys"]
        return [(entry["key_identifier"], entry["key"].encode()) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError('write {"public_keys": [{"key_identifier": "...", "key": "PEM"}]}') from error
