"""Refuse addresses of files that the model server would fetch for the caller.

What it stops
    Server-side request forgery through the model server: `http://169.254.169.254/`, `file:///etc/passwd`, a host of
    the inner network in any spelling, wherever the API takes the address of an image, a sound, a video or a file.
Config
    `request.remote_urls`: `allow`, names of hosts whose https addresses pass; none by default.  `fields` for places
    that the preset does not name.  `mode: enforce | shadow`.  On where the preset names such places, whether or not it
    stands in the policy.  Data URLs are no addresses and pass on to the images' own control.
Cost
    Under 2 us for each place; nothing where the preset has none.
Misses
    What an allowed host sends: where it redirects to, what its name resolves to when the model server asks.  Addresses
    in plain text, which a model with tools may fetch.  Allow only hosts that you trust with your inner network.
Example
    request:
      remote_urls: {allow: [images.example.com]}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from vallum.core.content import Takes
from vallum.core.decision import Finding, Reason
from vallum.core.fieldpath import find_pointer, parse_path, places, spellings
from vallum.core.policy import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vallum.core.content import Attachment, Content

URL_MAX_CHARS = 2048
# One spelling: no user, no port but the usual, no backslash, blank, control or other letter, no fragment.  An address
# of numbers in any notation, or a name in another script, is no name that can be allowed.
LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST = rf"(?:{LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?"
ADDRESS = re.compile(rf"https://({HOST})(?::443)?(?:[/?][!$-;=?-\[\]_a-z~]*)?", re.IGNORECASE | re.ASCII)
# What somebody honest may have meant: told by its rule.  All else is a trick, and told nothing.
MEANT = re.compile(rf"https?://{HOST}(?::\d+)?(?:[/?#][!-~]*)?", re.IGNORECASE | re.ASCII)
RULE, TRICK = "remote_url", "address"


class RemoteUrlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which addresses the model server may be told to fetch."""

    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    allow: Annotated[
        list[str],
        Meta(description="hosts by their exact names, in lower case, whose https addresses pass"),
    ] = []
    fields: Annotated[
        list[str], Meta(description="paths of addresses, besides those of the preset: inputs.*.image_url")
    ] = []


class RemoteUrls:
    """The check; pure and reentrant."""

    type: ClassVar[str] = "remote_urls"

    def __init__(self, config: RemoteUrlsConfig, attachments: Iterable[Attachment]) -> None:
        """Look where `attachments` may be addresses; raise ValueError for a field path that is none."""
        self._allowed = frozenset(config.allow)
        paths = [one.path for one in attachments if one.takes is Takes.URL] + config.fields
        self._paths = [parse_path(path) for path in paths]

    def inspect(self, content: Content) -> Finding | None:
        """Return the first address that must not be fetched."""
        for path in self._paths:
            for holder, key in places(content.document, path):
                for box, place in _addresses(holder, key):
                    if isinstance(box[place], str) and (rule := self._judge(box[place])):
                        return _finding(rule, find_pointer(content.document, box, place))
        return None

    def _judge(self, text: str) -> str:
        """Name the rule that an address breaks; empty for none."""
        if text.startswith("data:"):
            return ""
        found = ADDRESS.fullmatch(text) if len(text) <= URL_MAX_CHARS else None
        if found is not None and found[1].lower() in self._allowed:
            return ""
        return TRICK if MEANT.fullmatch(text) is None else RULE


def check_host(name: str) -> None:
    """Raise ValueError that shows how to write a host to allow, unless `name` is one."""
    if len(name) > 253 or re.fullmatch(HOST, name) is None:
        raise ValueError(f"{name!r} is no host's exact name; write it as images.example.com")


def _addresses(holder: Any, key: Any) -> Iterator[tuple[Any, Any]]:
    """Yield where an address may stand at a place: in it, in each item of a list, in the member `url` of an object."""
    value = holder[key]
    if isinstance(value, list):
        for index in range(len(value)):
            yield from _addresses(value, index)
    elif isinstance(value, dict):
        yield from ((value, name) for name in spellings(value, "url"))
    else:
        yield holder, key


def _finding(rule: str, where: str) -> Finding:
    if rule == TRICK:
        return Finding(rule, where)
    return Finding(rule, where, reason=Reason.INVALID_REQUEST, public=True)
