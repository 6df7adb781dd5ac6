"""How an answer's body goes out: straight through, held whole, or event by event.

Rule: what a transform could not read does not pass.  Every hold-back is bounded, and flushed at the end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from vallum.core.decision import Deny, Reason
from vallum.core.protocols import NOTHING

if TYPE_CHECKING:
    from vallum.core.cost import Bill
    from vallum.core.policy import Outlet

EVENT_MAX_BYTES = 1_048_576
DONE = b"[DONE]"
EMPTY = b"{}"  # all that is left of an event of which nothing may leave
# What an event may be called, and the form of its id: neither has room for a score.
EVENT_NAME = re.compile(rb" ?[A-Za-z][A-Za-z_.-]{0,63}")
EVENT_ID = re.compile(rb" ?[0-9A-Za-z_-]{1,64}")
RETRY = re.compile(rb" ?[0-9]{1,6}")
EVENT_FIELDS = {b"event": EVENT_NAME, b"id": EVENT_ID, b"retry": RETRY}
# A line may end in any of three ways, each in its own (HTML 9.2.5); a CR LF is one end and never two.
BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")


class Relay(Protocol):
    """One answer's body on its way out."""

    @property
    def holds(self) -> bool:
        """Whether the head must wait until the end, because the body may still be refused."""

    @property
    def passes_length(self) -> bool:
        """Whether the body leaves as long as it came."""

    def chunk(self, data: bytes) -> bytes | Deny:
        """Take what arrived and return what may leave now."""

    def end(self) -> bytes | Deny:
        """Return what is left to send."""


class Through:
    """Passes every byte as it comes."""

    holds = False
    passes_length = True

    def chunk(self, data: bytes) -> bytes:
        """Return `data`."""
        return data

    def end(self) -> bytes:
        """Return nothing: nothing was held."""
        return b""


class Rewriting:
    """What every relay that reads an answer's documents has at hand."""

    def __init__(self, outlet: Outlet, removed: set[str], enforce: bool, bill: Bill | None = None) -> None:
        """Transform by `outlet`; with `enforce` off, note what would be removed and send the original.

        `bill` is shown every document on its way.
        """
        self._outlet = outlet
        self._bill = bill
        self._removed = removed
        self._enforce = enforce


class Whole(Rewriting):
    """Holds one JSON document, up to the outlet's bound, and sends it transformed."""

    holds = True
    passes_length = False

    def __init__(self, outlet: Outlet, removed: set[str], enforce: bool, bill: Bill | None = None) -> None:
        """Begin with nothing held."""
        super().__init__(outlet, removed, enforce, bill)
        self._held: list[bytes] = []
        self._size = 0

    def chunk(self, data: bytes) -> bytes | Deny:
        """Hold `data`; refuse past the bound."""
        self._size += len(data)
        if self._size > self._outlet.max_bytes:
            return unreadable("the answer is over response.max_bytes")
        self._held.append(data)
        return b""

    def end(self) -> bytes | Deny:
        """Return the transformed document."""
        original = b"".join(self._held)
        changed = transform(original, self._outlet, self._removed, self._bill)
        if not changed:
            changed = unreadable("nothing in the answer may leave: it is none that the route's preset knows")
        if self._bill is not None and not isinstance(changed, Deny):
            self._bill.read_whole = True
        return changed if self._enforce else original


class Events(Rewriting):
    """Passes a stream of server-sent events (HTML 9.2), each event's JSON transformed; holds one event at most."""

    holds = False
    passes_length = False

    def __init__(self, outlet: Outlet, removed: set[str], enforce: bool, bill: Bill | None = None) -> None:
        """Begin with nothing held."""
        super().__init__(outlet, removed, enforce, bill)
        self._held = bytearray()
        self._late = b""  # an event that is over what was reserved
        if bill is not None:
            bill.streams = True
            if bill.meter is not None and bill.meter.streams_lines:
                bill.cuts = False  # this format's end is written as a line

    def chunk(self, data: bytes) -> bytes | Deny:
        """Return every event that `data` completes, up to the first that is over what was reserved.

        That one and what follows leave with the next call, if more could be taken.
        """
        self._held += data
        bill = self._bill
        out, self._late = bytearray(self._late), b""
        while (cut := _event_end(self._held)) is not None:
            event = bytes(self._held[: cut[0]])
            del self._held[: cut[1]]
            passed = self._event(event)
            if bill is not None and bill.missing_tokens:
                self._late = passed
                return bytes(out)
            out += passed
        if len(self._held) > EVENT_MAX_BYTES:
            return unreadable("one event of the stream is over 1 MiB")
        return bytes(out) if self._enforce else data

    def end(self) -> bytes:
        """Return the last event if its end was left out, as a client would read none of it otherwise."""
        rest = bytes(self._held).strip(b"\r\n")
        self._held.clear()
        out = self._event(rest) if rest else b""
        return out if self._enforce else b""

    def _event(self, event: bytes) -> bytes:
        """Rewrite one event: its JSON transformed, its name and id kept, comments emptied, all else dropped."""
        if event.startswith(b"data: ") and b"\n" not in event and b"\r" not in event:  # as nearly all are
            changed = self._data(event[6:])
            return b"data: " + changed + b"\n\n" if changed else b""
        lines: list[bytes] = []
        data: list[bytes] = []
        for line in event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
            name, _, value = line.partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
            elif name in EVENT_FIELDS:
                if EVENT_FIELDS[name].fullmatch(value):
                    lines.append(line)
                else:
                    self._removed.add(f"{name.decode()} (of an event)")
            elif line.startswith(b":"):
                lines.append(b":")
        if data:
            changed = self._data(b"\n".join(data))
            if not changed:  # nothing in it is for the caller
                return b""
            lines.append(b"data: " + changed)
        return b"\n".join(lines) + b"\n\n" if lines else b""

    def _data(self, data: bytes) -> bytes:
        if len(data) < 16 and data.strip() == DONE:
            return DONE
        changed = transform(data, self._outlet, self._removed, self._bill)
        if isinstance(changed, Deny):
            self._removed.add("event (unreadable)")
            return b""
        return b"" if changed == EMPTY else changed


class Lines(Rewriting):
    """Passes JSON documents one a line (application/x-ndjson), each transformed; holds one line at most."""

    holds = False
    passes_length = False

    def __init__(self, outlet: Outlet, removed: set[str], enforce: bool, bill: Bill | None = None) -> None:
        """Begin with nothing held."""
        super().__init__(outlet, removed, enforce, bill)
        self._held = b""
        self._late = b""  # a line that is over what was reserved
        if bill is not None:
            bill.streams = True
            if bill.meter is None or not bill.meter.streams_lines:
                bill.cuts = False  # this format's end is written as events

    def chunk(self, data: bytes) -> bytes | Deny:
        """Return every line that `data` completes, up to the first that is over what was reserved."""
        bill = self._bill
        self._held += data
        out, self._late = bytearray(self._late), b""
        at = 0
        while (end := self._held.find(b"\n", at)) >= 0:
            line, at = self._held[at:end], end + 1
            passed = self._line(line) if line.strip() else b""
            if bill is not None and bill.missing_tokens:
                self._late, self._held = passed, self._held[at:]
                return bytes(out)
            out += passed
        self._held = self._held[at:]
        if len(self._held) > EVENT_MAX_BYTES:
            return unreadable("one line of the stream is over 1 MiB")
        return bytes(out) if self._enforce else data

    def end(self) -> bytes:
        """Return the last line if its end was left out."""
        rest, self._held = self._held, b""
        out = self._line(rest) if rest.strip() else b""
        return out if self._enforce else b""

    def _line(self, line: bytes) -> bytes:
        changed = transform(line, self._outlet, self._removed, self._bill)
        if isinstance(changed, Deny):
            self._removed.add("line (unreadable)")
            return b""
        return b"" if changed in (b"", EMPTY) else changed + b"\n"


def transform(body: bytes, outlet: Outlet, removed: set[str], bill: Bill | None = None) -> bytes | Deny:
    """Apply every transform of `outlet` to one document, or refuse it if it is none; empty if none of it may leave."""
    if outlet.codec is None:
        return unreadable("no codec reads this answer")
    try:
        document: Any = outlet.codec.decode(body)
    except ValueError as error:
        return unreadable(f"the answer is not what its content type says: {error}")
    if bill is not None and not bill.read(document):
        return b""
    try:
        for step in outlet.transforms:
            document = step.apply(document, removed)
            if document is NOTHING:
                return b""
        return outlet.codec.encode(document)
    except RecursionError:
        return unreadable("the answer is nested too deeply")


def unreadable(detail: str) -> Deny:
    """Refuse an answer that cannot be inspected: it must not pass unseen."""
    return Deny(Reason.UPSTREAM_ERROR, "response", detail)


def _event_end(held: bytearray) -> tuple[int, int] | None:
    """Find the first blank line: where the event ends, and where the next begins."""
    blank = BLANK_LINE.search(held)
    return None if blank is None else blank.span()
