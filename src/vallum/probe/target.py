"""What is tested: where it is, what opens it, and what an honest request to it looks like."""

from __future__ import annotations

import copy
import ipaddress
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from vallum.probe.wire import Place

# Members whose text a model reads, best first; any other text comes after them.
TEXT_NAMES = (
    *("content", "input_text", "prompt", "text", "input", "inputs", "query", "question", "message"),
    *("instances", "data"),
)
NOT_TEXT = frozenset({"model", "role", "type", "name", "datatype", "id", "encoding_format", "format"})
BEARER = ("Authorization", "Bearer {key}")
Spot = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint, and how an honest caller calls it."""

    place: Place
    path: str
    document: Any
    method: str = "POST"
    query: str = ""
    keys: tuple[str, ...] = ()
    refused_keys: tuple[str, ...] = ()  # revoked, expired, of another scope: they must not open it
    key_field: tuple[str, str] = BEARER
    fields: tuple[tuple[str, str], ...] = ()
    strangers_context: ssl.SSLContext | None = None  # TLS without the client's certificate; None: there is none

    @property
    def strangers_place(self) -> Place:
        """Where callers knock who have nothing: the same place, without the client's certificate."""
        return self.place if self.strangers_context is None else self.place._replace(context=self.strangers_context)

    @property
    def url(self) -> str:
        """The endpoint's address, for people."""
        scheme = "http" if self.place.context is None else "https"
        return f"{scheme}://{self.place.authority}{self.path}"

    @property
    def on_loopback(self) -> bool:
        """Whether it is on this machine."""
        if self.place.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.place.host).is_loopback
        except ValueError:
            return False

    def key_fields(self, key: str | None) -> tuple[tuple[str, str], ...]:
        """Return the header field that presents a key."""
        name, form = self.key_field
        return () if key is None else ((name, form.format(key=key)),)

    @property
    def spot(self) -> Spot | None:
        """Where the text stands that the model reads; None if the request has none."""
        spots = list(_texts(self.document, ()))
        return min(spots, key=_rank, default=None)

    def with_text(self, text: str) -> Any:
        """Return an honest request with this text in it; raise ValueError where it has none."""
        if self.spot is None:
            raise ValueError("the request has no text")
        return replaced(self.document, self.spot, text)


def open_target(
    url: str, document: Any, *, ca: str | None = None, certificate: tuple[str, str] | None = None, **more: Any
) -> Target:
    """Read an address; `certificate` is the client's, and its key.

    Raises ValueError where it is no address, and OSError for files that cannot be read.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address; write it as http://host:port/path")
    context = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
    if certificate is not None:
        if context is None:
            raise ValueError("a client certificate is presented over TLS; the address must be https://")
        more["strangers_context"] = ssl.create_default_context(cafile=ca)
        try:
            context.load_cert_chain(*certificate)
        except ssl.SSLError as error:
            raise ValueError(f"--cert cannot be used with its key: {error}") from error
    place = Place(parts.hostname, parts.port or (443 if context is not None else 80), context)
    return Target(place, parts.path or "/", document, query=parts.query, **more)


def replaced(document: Any, spot: Spot, value: Any) -> Any:
    """Return a copy of a document with another value at one spot."""
    whole = copy.deepcopy(document)
    if not spot:
        return value
    inner = whole
    for step in spot[:-1]:
        inner = inner[step]
    inner[spot[-1]] = value
    return whole


def encode(document: Any) -> bytes:
    """Write a JSON body."""
    return json.dumps(document, ensure_ascii=False).encode()


def walk(value: Any, name: str = "answer") -> Iterator[tuple[str, Any]]:
    """Yield every member with its name, and then what is in it; the items of a list go by the list's name."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key), item
            if isinstance(item, (dict, list)):
                yield from walk(item, str(key))
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, (dict, list)):
                yield from walk(item, name)
            else:
                yield name, item
    else:
        yield name, value


def numbers(value: Any, at: Spot = ()) -> Iterator[Spot]:
    """Yield where numbers stand."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from numbers(item, (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from numbers(item, (*at, index))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield at


def at(value: Any, spot: Spot) -> Any:
    """Return what stands at a spot."""
    for step in spot:
        value = value[step]
    return value


def _texts(value: Any, at: Spot) -> list[Spot]:
    if isinstance(value, dict):
        return [spot for name, item in value.items() if name not in NOT_TEXT for spot in _texts(item, (*at, name))]
    if isinstance(value, list):
        return [spot for index, item in enumerate(value) for spot in _texts(item, (*at, index))]
    return [at] if isinstance(value, str) else []


def _rank(spot: Spot) -> tuple[int, int]:
    """Rank the last text of the best name first: in a chat the newest message is the user's."""
    names = [step for step in spot if isinstance(step, str)]
    best = min((TEXT_NAMES.index(name) for name in names if name in TEXT_NAMES), default=len(TEXT_NAMES))
    return best, -next((step for step in spot if isinstance(step, int)), 0)
