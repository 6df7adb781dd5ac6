"""The facts of a request as Envoy tells them: held to what a parser of our own would have let through.

Whoever asks is Envoy, and listed; what it tells was written by callers all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vallum.adapters.asking import Body, body_of
from vallum.adapters.client_certificate import ESCAPED_PEM, read_header
from vallum.core.address import within
from vallum.core.decision import Deny, Reason
from vallum.core.exchange import Headers
from vallum.core.target import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vallum.adapters.envoy import messages_pb2 as pb
    from vallum.adapters.requests import Requests
    from vallum.core.address import Network
    from vallum.core.exchange import Certificate, Request

PARTIAL = "x-envoy-auth-partial-body"  # Envoy writes it of every body that it passes on, beside what a caller wrote
NAME = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")  # RFC 9110 5.1, in lower case


class MalformedError(ValueError):
    """What Envoy tells is no request."""


class Who(NamedTuple):
    """Who vouches for a certificate, and where (client_certificate.Connected)."""

    peer: str
    certificate: Certificate | None
    certificate_fault: str
    headers: Headers


class Head(NamedTuple):
    """A request's head as it was told: bytes that callers chose, each as the character of its number."""

    method: str
    target: str
    scheme: str
    host: str
    fields: list[tuple[str, str]]
    source: str  # whose connection with Envoy it is
    certificate: str = ""  # of that connection


class Asked(NamedTuple):
    """A request to decide on; with `fault`, one that cannot be read."""

    request: Request
    target: str  # as it came
    body: Body
    fault: Deny | None = None


class Facts:
    """Reads requests out of what Envoy tells."""

    def __init__(self, requests: Requests, trusted: Sequence[Network] = (), *, xfcc: bool = False) -> None:
        """Read for `requests`; `xfcc`: Envoy's word on certificates is believed, and that of `trusted` proxies."""
        self._requests = requests
        self._trusted = trusted
        self._xfcc = xfcc

    def read(self, attributes: pb.AttributeContext, asker: str) -> Asked:
        """Read what `asker`, an Envoy's address, tells of a request to be authorised."""
        http, source = attributes.request.http, attributes.source
        told = [(one.key, one.raw_value or one.value) for one in http.header_map.headers] or http.headers.items()
        head = Head(
            http.method.decode("latin-1"),
            http.path.decode("latin-1"),
            http.scheme.decode("latin-1"),
            http.host.decode("latin-1"),
            [(name, value.decode("latin-1")) for name, value in told],
            source.address.socket_address.address,
            source.certificate.decode("latin-1"),
        )
        asked = self.read_head(head, asker, "ext_authz")
        return asked if asked.fault is not None else asked._replace(body=_body(http, asked.request.headers))

    def read_head(self, head: Head, asker: str, control: str) -> Asked:
        """Read what `asker`, an Envoy's address, tells of a request's head; `control` refuses one that is none."""
        try:
            return Asked(self._read(head, asker), head.target, Body())
        except MalformedError as error:
            request = self._requests.make_unreadable(head.source)
            return Asked(request, "", Body(), Deny(Reason.MALFORMED_REQUEST, control, str(error)))

    def _read(self, head: Head, asker: str) -> Request:
        method, target, host = _line(head.method), _line(head.target), _line(head.host)
        if not method or not target:
            raise MalformedError("no method or no path")
        headers = Headers([("host", host), *_fields(head.fields)])
        _check_length(headers)
        scheme, who = _line(head.scheme) or "http", self._who(head, asker, headers)
        return self._requests.make(who, method, parse_target(target), headers, peer=head.source, scheme=scheme)

    def _who(self, head: Head, asker: str, headers: Headers) -> Who:
        """Say who vouches for the client's certificate: its connection with Envoy comes before any header field."""
        if not self._xfcc:
            return Who(head.source, None, "", headers)  # other fields are the word of whoever stands before Envoy
        if not head.certificate or within(head.source, self._trusted):
            return Who(asker, None, "", headers)
        try:
            return Who("", read_header(ESCAPED_PEM, [_line(head.certificate)]), "", headers)
        except ValueError as error:
            return Who("", None, f"cannot be read from source.certificate: {error}", headers)


def _fields(told: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the header fields, without those that are HTTP/2's own."""
    for key, value in told:
        name = key.lower()
        if name.startswith(":") or name == "host":
            continue
        if not name or not NAME.issuperset(name):
            raise MalformedError("the name of a header field is none")
        yield name, _line(value)


def _line(value: str) -> str:
    if "\n" in value or "\r" in value or "\0" in value:
        raise MalformedError("a line break where there is none")
    return value


def _check_length(headers: Headers) -> None:
    lengths = headers.all("content-length")
    if len(lengths) > 1 or any(not (length.isascii() and length.isdigit()) or len(length) > 18 for length in lengths):
        raise MalformedError("content-length is no number")


def _body(http: pb.AttributeContext.HttpRequest, headers: Headers) -> Body:
    if http.body:
        detail = "the body came as text, in which bytes may have been replaced: set pack_as_bytes"
        return Body(b"", Deny(Reason.UNAVAILABLE, "ext_authz", detail, should_retry=False))
    method = http.method.decode("latin-1")
    return body_of(method, headers, http.raw_body, partial=headers.all(PARTIAL))
