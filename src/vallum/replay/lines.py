"""Lines of a log: recorded exchanges in JSON, in the spellings that logs have.

A line has the time and the path, and whatever else there is: who asked, from where, with what, what was answered.  The
spellings stand in the tables below; members may lie in `request` and `response` (or `http`) as well.  Secrets are not
read: credentials in header fields are dropped, as who asked is taken from the line.
"""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.codecs.json import Json
from vallum.core.principal import Principal
from vallum.testing import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AT = ("at", "ts", "time", "timestamp", "@timestamp", "datetime", "date", "start_time", "time_local")
SUBJECT = ("subject", "principal", "user", "user_id", "account", "consumer", "sub", "remote_user")
KEY = ("credential", "credential_id", "key_id", "api_key_id", "key")
TENANT = ("tenant", "org", "organization", "organisation")
CREATED = ("created", "created_at", "account_created")
ADDRESS = ("client", "ip", "client_ip", "remote_addr", "remote_ip", "source_ip", "address")
METHOD = ("method", "http_method", "verb", "request_method")
PATH = ("path", "url", "uri", "target", "request_uri", "endpoint")
HEADERS = ("headers", "request_headers")
BODY = ("body", "request_body", "payload", "input")
BASE64 = ("body_base64", "body_b64")
ANSWER = ("answer", "response_body", "output", "answer_body")
STATUS = ("status", "status_code", "response_status")
ANSWER_HEADERS = ("answer_headers", "response_headers")
LASTED = {
    "duration_s": 1.0,
    "latency_s": 1.0,
    "request_time": 1.0,
    "duration_ms": 1e-3,
    "latency_ms": 1e-3,
    "total_us": 1e-6,
}
SIZES = ("received_bytes", "request_length", "body_bytes")
# Powers of ten by which numbers too large for Unix seconds are smaller units of them.
FINER = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
EARLIEST_S, LATEST_S = 0.0, 4_102_444_800.0  # 1970 to 2100
LASTED_MAX_S = 3600.0
NAME_MAX_CHARS = 200
PUBLIC_MAX_CHARS = 40  # of the id of a key; what is longer may be the key
SECRET = frozenset("authorization cookie proxy-authorization dpop x-api-key".split())
OF_CONNECTION = frozenset(
    "connection content-length transfer-encoding keep-alive upgrade te trailer expect host".split()
)
NOWHERE = "0.0.0.0"  # noqa: S104  the address of whoever's is not in the log
JSON_TYPE = ("content-type", "application/json")
MISSING: Any = object()


class LineError(ValueError):
    """Why a line is no exchange; the message never quotes it."""


class Line(NamedTuple):
    """One recorded exchange."""

    at: float  # Unix seconds
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes | None  # None: the log does not hold it
    who: Principal | None
    client: str
    reply: Reply | None  # what was answered; None: the log does not hold it
    status: int | None  # with which status


def read_line(text: bytes) -> Line:
    """Read one line.  Raises LineError."""
    try:
        said = Json().decode(text)
    except ValueError as error:
        raise LineError("not JSON") from error
    if not isinstance(said, dict):
        raise LineError("not an object")
    asked, answered = _members(said, "request", "http"), _members(said, "response")
    flat = {**asked, **said}
    request_line = said.get("request")
    target = _find(flat, PATH)
    method = _find(flat, METHOD)
    if isinstance(request_line, str) and request_line.count(" ") == 2:  # as nginx writes it
        method, target, _ = request_line.split(" ")
    if not isinstance(target, str) or not target:
        raise LineError("no path")
    query = flat.get("query")
    if isinstance(query, str) and query and "?" not in target:
        target = f"{target}?{query}"
    fields = _fields(_find(flat, HEADERS))
    body = _body(flat, fields)
    if body and not any(name == "content-type" for name, _ in fields):
        fields = (*fields, JSON_TYPE)
    if not isinstance(method, str) or not method:
        method = "GET" if body == b"" else "POST"
    status = _status(said, answered)
    return Line(
        _read_time(_find(flat, AT)),
        method.upper()[:20],
        target,
        fields,
        body,
        _who(flat),
        _client(_find(flat, ADDRESS)),
        _reply(said, answered, status),
        status,
    )


def _members(said: Mapping[str, Any], *names: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        inner = said.get(name)
        if isinstance(inner, dict):
            found |= inner
    return found


def _find(members: Mapping[str, Any], names: tuple[str, ...], default: Any = None) -> Any:
    for name in names:
        if name in members and members[name] is not None:
            return members[name]
    return default


def _read_time(value: Any) -> float:
    """Return Unix seconds of a number, in seconds or smaller units, or of a date as ISO 8601 writes it."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = _read_date(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LineError("no time")
    try:
        seconds = float(value)
    except OverflowError as error:
        raise LineError("a time that is none") from error
    if not isfinite(seconds):
        raise LineError("a time that is none")
    for least, unit in FINER:
        if seconds >= least:
            seconds /= unit
            break
    if not EARLIEST_S <= seconds <= LATEST_S:
        raise LineError("a time that is none")
    return seconds


def _read_date(text: str) -> float:
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise LineError("a time that is none") from error
    if read.tzinfo is None:  # logs without an offset are in UTC
        read = read.replace(tzinfo=UTC)
    try:
        return read.timestamp()
    except (OverflowError, OSError) as error:
        raise LineError("a time that is none") from error


def _who(flat: Mapping[str, Any]) -> Principal | None:
    said = _find(flat, SUBJECT)
    more = said if isinstance(said, dict) else flat
    subject = _name(_find(said, ("subject", "id", "name")) if isinstance(said, dict) else said)
    key = _public(_name(_find(more, KEY)))
    if subject is None and key is None:
        return None
    scopes = more.get("scopes")
    held = frozenset([scope for scope in scopes if isinstance(scope, str)]) if isinstance(scopes, list) else frozenset()
    since = _find(more, CREATED)
    who = Principal(subject or key or "", _name(_find(more, TENANT)), held, key, "replay")
    return who if since is None else who._replace(created=_read_time(since))


def _name(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value)[:NAME_MAX_CHARS]


def _public(key: str | None) -> str | None:
    """Return a key's public id; of what may be the key itself, no more than tells it from others."""
    if key is None or (len(key) <= PUBLIC_MAX_CHARS and not key.startswith("sk-")):
        return key
    return f"key-{sha256(key.encode('utf-8', 'replace')).hexdigest()[:12]}"


def _client(value: Any) -> str:
    if isinstance(value, str):
        try:
            return str(ip_address(value.strip().removeprefix("[").partition("]")[0]))
        except ValueError:
            return NOWHERE
    return NOWHERE


def _fields(value: Any) -> tuple[tuple[str, str], ...]:
    """Return header fields without credentials, and without those of the connection."""
    fields = []
    for name, held in _pairs(value):
        name = name.lower()  # noqa: PLW2901  fields are told apart in lower case alone
        if name not in SECRET and name not in OF_CONNECTION and "\n" not in held and "\r" not in held:
            fields.append((name, held))
    return tuple(fields[:100])


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    pairs = value.items() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
            continue
        for held in pair[1] if isinstance(pair[1], list) else [pair[1]]:
            if isinstance(held, str):
                yield pair[0], held


def _body(flat: Mapping[str, Any], fields: tuple[tuple[str, str], ...]) -> bytes | None:
    """Return a body's bytes: of JSON as it would be sent, of text as it stands."""
    encoded = _find(flat, BASE64)
    if isinstance(encoded, str):
        try:
            return b64decode(encoded, validate=True)
        except ValueError as error:
            raise LineError("a body that is no base64") from error
    body = _find(flat, BODY, MISSING)
    if body is MISSING:
        sizes = [flat.get(name) for name in SIZES]
        known = any(isinstance(size, int) and size > 0 for size in sizes)
        named = str(_find(flat, METHOD, "")).upper() in ("POST", "PUT", "PATCH")
        return None if known or named else b""
    if isinstance(body, str) and (_is_written(body) or not _says_json(fields)):
        return body.encode("utf-8", "replace")
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _is_written(text: str) -> bool:
    """Say whether a text is a body in JSON as it was sent, and no text of JSON's."""
    return text.lstrip()[:1] in ("{", "[")


def _says_json(fields: tuple[tuple[str, str], ...]) -> bool:
    kinds = [value for name, value in fields if name == "content-type"]
    return not kinds or "json" in kinds[0]


def _status(said: Mapping[str, Any], answered: Mapping[str, Any]) -> int | None:
    status = _find(answered, STATUS, _find(said, STATUS))
    if isinstance(status, str) and status.isascii() and status.isdecimal():
        status = int(status[:4])
    return status if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599 else None


def _reply(said: Mapping[str, Any], answered: Mapping[str, Any], status: int | None) -> Reply | None:
    """Return what the model answered, where the log holds it."""
    body = _find(said, ANSWER, MISSING)
    if body is MISSING:
        body = _find(answered, ("body", "answer", "output", "content"), MISSING)
    if body is MISSING and "response" in said and not isinstance(said["response"], dict):
        body = said["response"]
    lasted_s = _lasted(said)
    if body is MISSING or body is None:
        return None if not lasted_s else Reply(204, (), b"", lasted_s)
    fields = _fields(_find(answered, HEADERS, _find(said, ANSWER_HEADERS)))
    if isinstance(body, str) and (_is_written(body) or body.startswith(("data:", "event:")) or not _says_json(fields)):
        sent = body.encode("utf-8", "replace")
    else:
        sent = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    if not any(name == "content-type" for name, _ in fields):
        streams = sent.startswith((b"data:", b"event:"))
        fields = (*fields, ("content-type", "text/event-stream") if streams else JSON_TYPE)
    # A gateway's own refusal in the log says nothing of what the model would have answered.
    return Reply(status or 200, fields, sent, lasted_s) if status is None or status not in (401, 403, 429) else None


def _lasted(said: Mapping[str, Any]) -> float:
    for name, unit in LASTED.items():
        value = said.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value > 0:
            return min(value * unit, LASTED_MAX_S)
    return 0.0
