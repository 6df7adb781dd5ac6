"""Conversations with authorisation servers: discovery, keys, introspection.

Rule 1: an issuer is asked the same thing once at a time; who wants it meanwhile waits for that one answer.
Rule 2: for keys it is asked at most once in PAUSE_S, however many tokens name keys that nobody has.
Rule 3: keys that were good stay good for STALE_S when the issuer cannot be reached.
Rule 4: answers are small, whole, and from the address that was asked: redirects are failures.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

from vallum.adapters.proxy.proxy import Pools
from vallum.adapters.proxy.upstream import StaleError
from vallum.authenticators.oauth2.config import is_safe
from vallum.codecs.json import Json
from vallum.core.errors import DependencyError, UpstreamError
from vallum.core.issuer import KeySet
from vallum.core.policy import Upstream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from vallum.adapters.proxy.proxy import PooledAnswer
    from vallum.core.exchange import Fields
    from vallum.core.issuer import Issuer

ANSWER_MAX_BYTES = 65_536
KEYS_MAX = 50
ASK_S = 5.0  # for a question and its whole answer
PAUSE_S = 30.0
RETRY_S = 2.0  # where there is nothing at all to go by
FRESH_S = (300.0, 3600.0)  # bounds of what an issuer says of its keys' freshness
FRESH_UNSAID_S = 600.0
METADATA_S = 3600.0
STALE_S = 86_400.0
ISSUERS_MAX = 64
ASKED_MAX = 256  # questions under way at once
MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])")
WELL_KNOWN = ("openid-configuration", "oauth-authorization-server")


class Said(NamedTuple):
    """An answer: its document, and how long it is fresh."""

    document: Mapping[str, Any]
    fresh_s: float


class AnswerError(DependencyError):
    """The issuer answers, and not with 200."""

    def __init__(self, address: str, status: int) -> None:
        """Carry the status."""
        super().__init__(f"{address} answered {status}")
        self.status = status


@dataclass(slots=True)
class Known:
    """What is known of one issuer, and when that ends (seconds of the clock)."""

    keys: KeySet | None = None
    keys_stale_at: float = 0.0
    keys_dead_at: float = 0.0
    keys_ask_at: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    metadata_ask_at: float = 0.0
    metadata_fault: str = ""
    fault: str = "not asked yet"


class HttpIssuers:
    """The issuers of the policy in force, asked over HTTP."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Ask nobody yet; `clock` gives seconds and never goes back."""
        self._clock = clock
        self._pools = Pools()
        self._json = Json()
        self._known: dict[Issuer, Known] = {}
        self._flights: dict[Any, asyncio.Future[Any]] = {}

    # --- for the driver

    async def fetch_keys(self, issuer: Issuer, newer_than: int = 0) -> KeySet:
        """Return an issuer's keys, as `FetchKeys` asks; raise DependencyError when there are none to be had."""
        known = self._of(issuer)
        now = self._clock()
        if known.keys is None or known.keys.version <= newer_than or now >= known.keys_stale_at:
            flying = ("keys", issuer) in self._flights
            if flying or now >= known.keys_ask_at:
                await self._join(("keys", issuer), lambda: self._load_keys(issuer, known))
        if known.keys is None or self._clock() >= known.keys_dead_at:
            raise DependencyError(f"no keys of {issuer.url}: {known.fault}")
        return known.keys

    async def introspect(self, issuer: Issuer, token: str) -> Mapping[str, Any]:
        """Return the introspection of a token; raise DependencyError when the issuer cannot be asked."""
        digest = sha256(token.encode()).digest()
        answer: Mapping[str, Any] = await self._join((issuer, digest), lambda: self._ask_about(issuer, token))
        return answer

    # --- life

    def sweep(self) -> None:
        """End what has been silent for too long.  Call about four times a second."""
        self._pools.sweep()

    def close(self) -> None:
        """Ask no more."""
        for flight in self._flights.values():
            flight.cancel()
        self._pools.close()

    def _of(self, issuer: Issuer) -> Known:
        known = self._known.get(issuer)
        if known is None:
            if len(self._known) >= ISSUERS_MAX:  # those of policies long gone
                del self._known[next(iter(self._known))]
            known = self._known[issuer] = Known()
        return known

    async def _join(self, key: Any, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for the one answer that all who ask this now will get; it comes even if who asked first has left."""
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= ASKED_MAX:
                raise DependencyError(f"over {ASKED_MAX} questions to issuers at once")
            flight = self._flights[key] = asyncio.ensure_future(ask())
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    def _land(self, key: Any, flight: asyncio.Future[Any]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # whoever still waits has it; if nobody does, nobody is to be told

    # --- keys

    async def _load_keys(self, issuer: Issuer, known: Known) -> None:
        """Fetch an issuer's keys; a failure leaves the old ones, and is written down."""
        began = self._clock()
        known.keys_ask_at = began + PAUSE_S
        try:
            uri = issuer.jwks_uri or await self._find(issuer, known, "jwks_uri")
            said = await self._ask("GET", uri)
            keys = _check_keys(said.document)
        except DependencyError as error:
            known.fault = str(error)
            if known.keys is None:
                known.keys_ask_at = began + RETRY_S
            return
        now = self._clock()
        known.keys = KeySet(keys, 1 if known.keys is None else known.keys.version + 1)
        known.keys_stale_at, known.keys_dead_at = now + said.fresh_s, now + STALE_S

    async def _find(self, issuer: Issuer, known: Known, name: str) -> str:
        """Return an address from an issuer's metadata."""
        if self._clock() >= known.metadata_ask_at:
            await self._join(("metadata", issuer), lambda: self._discover(issuer, known))
        address = known.metadata.get(name)
        if not isinstance(address, str) or not _is_trusted(address, issuer):
            raise DependencyError(known.metadata_fault or f"the metadata of {issuer.url} has no usable {name}")
        return address

    async def _discover(self, issuer: Issuer, known: Known) -> None:
        """Fetch an issuer's metadata; a failure leaves the old one, and is written down."""
        known.metadata_ask_at = self._clock() + RETRY_S
        try:
            known.metadata = await self._find_metadata(issuer)
        except DependencyError as error:
            known.metadata_fault = str(error)
        else:
            known.metadata_ask_at, known.metadata_fault = self._clock() + METADATA_S, ""

    async def _find_metadata(self, issuer: Issuer) -> Mapping[str, Any]:
        fault = DependencyError(f"no metadata of {issuer.url}")
        for address in discovery_addresses(issuer.url):
            try:
                document = (await self._ask("GET", address)).document
            except AnswerError as error:
                fault = error
                continue
            if document.get("issuer") != issuer.url:  # RFC 8414 3.3
                raise DependencyError(f"the metadata at {address} is of another issuer")
            return document
        raise fault

    # --- introspection

    async def _ask_about(self, issuer: Issuer, token: str) -> Mapping[str, Any]:
        address = issuer.introspection_endpoint
        if not address:
            address = await self._find(issuer, self._of(issuer), "introspection_endpoint")
        # RFC 6749 2.3.1: both are form-encoded before they are joined
        pair = f"{quote_plus(issuer.client_id)}:{quote_plus(issuer.client_secret)}"
        fields = (
            ("authorization", f"Basic {b64encode(pair.encode()).decode()}"),
            ("content-type", "application/x-www-form-urlencoded"),
        )
        body = urlencode({"token": token, "token_type_hint": "access_token"}).encode()
        try:
            return (await self._ask("POST", address, fields, body)).document
        except AnswerError as error:
            if error.status == 400:  # some issuers say so of what is no token of theirs, against RFC 7662 2.2
                return {"active": False}
            raise

    # --- HTTP

    async def _ask(self, method: str, address: str, fields: Fields = (), body: bytes | None = None) -> Said:
        """Return the JSON object at an address; raise DependencyError for anything else."""
        url = urlsplit(address)
        origin = f"{url.scheme}://{url.netloc}"
        upstream = Upstream(origin, origin, ASK_S)
        target = urlunsplit(("", "", url.path or "/", url.query, ""))
        sent = (("accept", "application/json"), ("accept-encoding", "identity"), *fields)
        try:
            async with asyncio.timeout(ASK_S):
                answer = await self._call(upstream, method, target, sent, body)
                try:
                    return await self._read(address, answer)
                finally:
                    answer.release()
        except TimeoutError as late:
            raise DependencyError(f"{address}: no answer within {ASK_S:g} s") from late
        except UpstreamError as error:
            raise DependencyError(f"{address}: {error}") from error

    async def _call(
        self, upstream: Upstream, method: str, target: str, fields: Sequence[tuple[str, str]], body: bytes | None
    ) -> PooledAnswer:
        try:
            return await self._pools.call(upstream, method, target, fields, body)
        except StaleError:  # all that is asked here may be asked twice
            return await self._pools.call(upstream, method, target, fields, body)

    async def _read(self, address: str, answer: PooledAnswer) -> Said:
        if answer.head.status != 200:  # a redirect, too: it would choose whom we trust
            raise AnswerError(address, answer.head.status)
        data = b""
        while piece := await answer.read():
            data += piece
            if len(data) > ANSWER_MAX_BYTES:
                raise DependencyError(f"{address} answered over {ANSWER_MAX_BYTES} bytes")
        try:
            document = self._json.decode(data)
        except ValueError as error:
            raise DependencyError(f"{address} answered what is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise DependencyError(f"{address} answered no JSON object")
        return Said(document, _fresh_s(answer.head.headers.get("cache-control")))


def discovery_addresses(issuer: str) -> list[str]:
    """Return where an issuer's metadata may be: OpenID Connect Discovery 4, RFC 8414 3, and the latter's own name."""
    url = urlsplit(issuer)
    path = url.path.rstrip("/")
    addresses = [f"{url.scheme}://{url.netloc}{path}/.well-known/{WELL_KNOWN[0]}"]
    addresses.extend(f"{url.scheme}://{url.netloc}/.well-known/{name}{path}" for name in reversed(WELL_KNOWN))
    return list(dict.fromkeys(addresses))


def _is_trusted(address: str, issuer: Issuer) -> bool:
    """Say whether an address that an issuer names may be asked: never over http, unless the issuer is asked so."""
    return is_safe(address) and (address.startswith("https:") or issuer.url.startswith("http:"))


def _check_keys(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    keys = document.get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise DependencyError("the issuer's answer is no JWK set")
    if len(keys) > KEYS_MAX:
        raise DependencyError(f"the issuer has over {KEYS_MAX} keys")
    return tuple(keys)


def _fresh_s(cache_control: str | None) -> float:
    said = MAX_AGE.search(cache_control or "")
    return FRESH_UNSAID_S if said is None else min(max(float(said[1]), FRESH_S[0]), FRESH_S[1])
