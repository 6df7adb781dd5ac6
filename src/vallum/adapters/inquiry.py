"""The same question over HTTP: Envoy's ext_authz with an `http_service`, and nginx's `auth_request`.

    /envoy/...        Envoy's, `path_prefix: /envoy`: the request as it is, its target behind the prefix
    /.vallum/decide   nginx's: the request in X-Original-Method, -URI and -Content-Length, and never a body

Leave is a 200, with the header fields for the upstream.  A refusal is the answer for the caller.  What Envoy would take
for a failure of ours, which `failure_mode_allow` lets pass, or for leave, is a 403 to it: refusals of the 500s, and the
gateway's own pages.  nginx turns all but 401 and 403 into its own 500: it is told the status in `X-Vallum-Status` too,
and the body in `X-Vallum-Problem`.

Rule: what is believed here (targets, addresses) is believed of listed peers alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.adapters.asking import Asking, Body, Refused, body_of, may_have_body
from vallum.adapters.beyond import SAYS, Beyond
from vallum.adapters.single import Unread
from vallum.core.address import within
from vallum.core.decision import Deny, Reason
from vallum.core.exchange import Headers, Request
from vallum.core.target import forwarded, parse_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.adapters.asking import House, Leave
    from vallum.adapters.proxy.incoming import Incoming
    from vallum.adapters.requests import Requests
    from vallum.core.address import Network

ENVOY, NGINX = "/envoy", "/.vallum/decide"
TARGET, METHOD, LENGTH = "x-original-uri", "x-original-method", "x-original-content-length"
PARTIAL = "x-envoy-auth-partial-body"
REMOVE = "x-envoy-auth-headers-to-remove"
STATUS, PROBLEM = "x-vallum-status", "x-vallum-problem"
DIGITS_MAX = 19
NO_LENGTH = (None, "", "0")
PROBLEM_MAX_BYTES = 2048  # nginx reads a head of 4 or 8 KB
PLAIN = ("content-type", "text/plain; charset=utf-8")


class Inquiry:
    """Answers proxies that ask over HTTP."""

    def __init__(
        self,
        house: House,
        requests: Requests,
        peers: Sequence[Network],
        *,
        accepted: frozenset[Beyond] = frozenset(),
    ) -> None:
        """Judge by `house` what `requests` makes of questions; only `peers` may ask."""
        self._house = house
        self._unread = Unread(house)
        self._requests = requests
        self._peers = peers
        self._accepted = accepted

    async def serve(self, incoming: Incoming) -> None:
        """Answer one question."""
        if incoming.fault is not None:
            await incoming.answer(incoming.fault.reason.status, [PLAIN], b"this cannot be read\n")
        elif not within(incoming.peer, self._peers):
            await incoming.answer(403, [PLAIN], b"who asks here is listed in trusted_proxies\n")
        elif incoming.target.startswith(f"{ENVOY}/"):
            await self._ask_for_envoy(incoming)
        elif incoming.target == NGINX:
            await self._ask_for_nginx(incoming)
        else:
            await incoming.answer(404, [PLAIN], f"ask {ENVOY}/... or {NGINX}: see docs/envoy.md\n".encode())

    async def _ask_for_envoy(self, incoming: Incoming) -> None:
        headers = incoming.headers
        most = max((route.intake.max_bytes for route in self._house.engine.policy.routes), default=0)
        came = await incoming.read_body(most)
        if isinstance(came, Deny):
            body = Body(fault=came)
        else:
            told = Headers([field for field in headers.fields if field[0] != "content-length"])  # it is the question's
            body = body_of(incoming.method, told, came, partial=headers.all(PARTIAL))
        target = incoming.target[len(ENVOY) :]
        asked = self._request(incoming, incoming.method, target)
        said = await Asking(self._house, asked, body, self._accepted).decide(_other_form(target))
        if isinstance(said, Refused):
            refuses = 400 <= said.status < 500
            fields = [*said.fields, (STATUS, str(said.status))]
            await incoming.answer(said.status if refuses else 403, fields, said.body)
            return
        removed = [(REMOVE, ",".join(said.removed))] if said.removed else []
        await incoming.answer(200, [*_told(said), *removed], b"")

    async def _ask_for_nginx(self, incoming: Incoming) -> None:
        await incoming.read_body(0)
        methods, targets = incoming.headers.all(METHOD), incoming.headers.all(TARGET)
        if len(methods) != 1 or len(targets) != 1:
            await incoming.answer(403, [PLAIN], f"set {METHOD} and {TARGET}, once each\n".encode())
            return
        unread = Beyond.BODIES in self._accepted
        told = incoming.headers
        may_have = (
            may_have_body(methods[0], told) or bool(told.all("content-type")) or told.get(LENGTH) not in NO_LENGTH
        )
        body = Body(fault=_unseen()) if may_have and not unread else Body()
        house = self._unread if unread else self._house
        asked = self._request(incoming, methods[0], targets[0])
        said = await Asking(house, asked, body, self._accepted).decide(_other_form(targets[0]))
        if isinstance(said, Refused):
            # A page of the gateway's own must not look like leave.
            await incoming.answer(said.status if said.status >= 400 else 403, _for_nginx(said), b"")
        else:
            await incoming.answer(200, _told(said), b"")

    def _request(self, incoming: Incoming, method: str, target: str) -> Request:
        headers = incoming.headers if incoming.target != NGINX else _headers_of_nginx(incoming.headers)
        scheme = "https" if headers.get("x-forwarded-proto") == "https" else "http"
        return self._requests.make(incoming, method, parse_target(target), headers, peer=incoming.peer, scheme=scheme)


def _headers_of_nginx(headers: Headers) -> Headers:
    """Take out what nginx says of the request, and put in the length that it came with."""
    fields = [field for field in headers.fields if field[0] not in (METHOD, TARGET, LENGTH)]
    length = headers.get(LENGTH)
    if length is not None and length.isascii() and length.isdigit() and len(length) < DIGITS_MAX:
        fields = [field for field in fields if field[0] != "content-length"] + [("content-length", length)]
    return Headers(fields)


def _unseen() -> Deny:
    return Deny(Reason.UNAVAILABLE, "ext_authz", f"{SAYS[Beyond.BODIES]}, and none came", should_retry=False)


def _other_form(target: str) -> Deny | None:
    """Refuse a target that this proxy would forward in another form than the one that is matched."""
    path, _ = parse_target(target)
    if path is None or forwarded(path) == target.partition("?")[0]:
        return None
    return Deny(Reason.NOT_FOUND, "route", "the path is not in its plain form, and would be forwarded as it came")


def _told(said: Leave) -> list[tuple[str, str]]:
    """Write what goes to the upstream, and what goes with the answer: fields of other names."""
    given = {name for name, _ in said.fields}
    return [*said.fields, *[field for field in said.answer_fields if field[0] not in given]]


def _for_nginx(said: Refused) -> list[tuple[str, str]]:
    body = said.body if len(said.body) <= PROBLEM_MAX_BYTES and b"\n" not in said.body else b""
    fields = [field for field in said.fields if field[0] != "content-type"]
    return [*fields, (STATUS, str(said.status)), (PROBLEM, body.decode("ascii", "replace"))]
