"""How an answer's body goes out in pieces: server-sent events, or JSON documents one a line.

Rule: each piece is read and written anew by itself, or does not leave; one at the most is held back.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING

from vallum.core.decision import Deny
from vallum.core.protocols import NOTHING
from vallum.core.relay import Rewriting, read, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.leaks import Event

PIECE_MAX_BYTES = 1_048_576
DONE = b"[DONE]"
# What an event may be called, and the form of its id: neither has room for a score.
EVENT_NAME = re.compile(rb" ?[A-Za-z][A-Za-z_.-]{0,63}")
EVENT_ID = re.compile(rb" ?[0-9A-Za-z_-]{1,64}")
RETRY = re.compile(rb" ?[0-9]{1,6}")
EVENT_FIELDS = {b"event": EVENT_NAME, b"id": EVENT_ID, b"retry": RETRY}
# A line may end in any of three ways, each in its own (HTML 9.2.5); a CR LF is one end and never two.
BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")


# Abstract, but no ABC: compiled, that costs every event some time, and mypy refuses a kind that lacks a method anyway.
class Pieces(Rewriting):
    """Passes an answer that comes in pieces, each transformed; holds one piece at most."""

    holds = False
    passes_length = False
    called = "piece"  # what one is called where it is refused or dropped
    are_lines = False

    def _begin(self) -> None:
        self._held = bytearray()
        self._looked = 0  # at so much of what is held: no byte is read twice
        self._late = b""  # a piece that is over what was reserved
        bill = self._bill
        if bill is not None:
            bill.streams = True
            if (bill.meter is not None and bill.meter.streams_lines) != self.are_lines:
                bill.cuts = False  # this format's end is written in the other way

    def chunk(self, data: bytes) -> bytes | Deny:
        """Return every piece that `data` completes, up to the first that is over what was reserved.

        That one and what follows leave with the next call, if more could be taken.
        """
        bill = self._bill
        out, self._late = [self._late], b""
        whole = self._arrived(data)
        start = 0
        while (end := self._find_end(whole, start)) is not None:
            passed = self._piece(whole[start : end[0]])
            start = end[1]
            if self._refusal is not None:
                return self._refuse(b"".join(out), self._refusal)
            if bill is not None and bill.missing_tokens:
                self._late = passed
                self._hold(whole[start:], looked=0)
                return b"".join(out)
            out.append(passed)
        if whole:  # else nothing has ended, and `_arrived` holds it all
            self._hold(whole[start:], looked=len(whole) - start)
        if len(self._held) > PIECE_MAX_BYTES:
            return unreadable(f"one {self.called} of the stream is over 1 MiB")
        return b"".join(out) if self._enforce else data

    def _arrived(self, data: bytes) -> bytes:
        """Return all that is there if a piece may have ended in it, and hold it otherwise."""
        held = self._held
        if not held:
            return data
        held += data
        if self._find_end(held, max(0, self._looked - 3)) is None:  # of four bytes, it may have begun before
            self._looked = len(held)
            return b""
        whole = bytes(held)
        held.clear()
        return whole

    def _hold(self, rest: bytes, looked: int) -> None:
        """Hold what follows the last piece; nothing else is held then."""
        self._held += rest
        self._looked = looked

    def end(self) -> bytes | Deny:
        """Return what is held, and the last piece if its end was left out: a client may read it all the same."""
        rest = bytes(self._held).strip(b"\r\n")
        self._held.clear()
        out = self._piece(rest) if rest else b""
        if self._screen is not None:
            out += self._write(self._screen.rest())
        if self._refusal is not None:
            return self._refuse(b"", self._refusal)
        return out if self._enforce else b""

    def _refuse(self, sent: bytes, refusal: Deny) -> Deny:
        """End the stream with an error that its clients know."""
        assert self._screen is not None  # who refused
        self.farewell = sent + self._error(self._screen.problem(refusal))
        return refusal

    def _document(self, lines: list[bytes], data: bytes) -> bytes:
        """Rewrite the document of one piece; `lines` stand beside it."""
        screen = self._screen
        document = read(data, self._outlet, self._removed, self._bill, screen)
        if document is NOTHING or self._refusal is not None:
            return b""
        if isinstance(document, Deny):
            self._removed.add(f"{self.called} (unreadable)")
            return b""
        if screen is not None and screen.searches:
            return self._write(screen.event(tuple(lines), document))
        written = self._encode(document)
        return self._line_up(lines, written) if written else b""

    def _write(self, events: list[Event]) -> bytes:
        written = [(lines, self._encode(document)) for lines, document in events]
        return b"".join([self._line_up(lines, data) for lines, data in written if data])

    @abstractmethod
    def _find_end(self, data: bytes | bytearray, start: int) -> tuple[int, int] | None:
        """Find where the first piece from `start` on ends, and where the next begins."""

    @abstractmethod
    def _piece(self, piece: bytes) -> bytes:
        """Rewrite one piece."""

    @abstractmethod
    def _line_up(self, lines: Iterable[bytes], data: bytes) -> bytes:
        """Write a document, and the lines beside it, as a piece."""

    @abstractmethod
    def _error(self, data: bytes) -> bytes:
        """Write the error that ends a stream."""


class Events(Pieces):
    """Passes a stream of server-sent events (HTML 9.2)."""

    called = "event"

    def chunk(self, data: bytes) -> bytes | Deny:
        """Return what may leave, as any other kind of pieces; nearly always `data` is just one event."""
        if self._held or self._bill is not None or not _is_one_event(data):
            return super().chunk(data)
        passed = self._piece(data[:-2])
        if self._refusal is not None:
            return self._refuse(b"", self._refusal)
        return passed if self._enforce else data

    def _find_end(self, data: bytes | bytearray, start: int) -> tuple[int, int] | None:
        if data.find(b"\r", start) < 0:  # as in nearly all streams
            end = data.find(b"\n\n", start)
            return None if end < 0 else (end, end + 2)
        blank = BLANK_LINE.search(data, start)
        return None if blank is None else blank.span()

    def _piece(self, piece: bytes) -> bytes:
        """Rewrite one event: its JSON transformed, its name and id kept, comments emptied, all else dropped."""
        if piece.startswith(b"data: ") and b"\n" not in piece and b"\r" not in piece:  # as nearly all are
            return self._data([], piece[6:], b"")
        lines: list[bytes] = []
        data: list[bytes] = []
        kind = b""
        for line in piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
            name, _, value = line.partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
            elif name in EVENT_FIELDS:
                if EVENT_FIELDS[name].fullmatch(value):
                    lines.append(line)
                    kind = value.strip() if name == b"event" else kind
                else:
                    self._removed.add(f"{name.decode()} (of an event)")
            elif line.startswith(b":"):
                lines.append(b":")
        if data:
            return self._data(lines, b"\n".join(data), kind)
        return self._pad(b"\n".join(lines) + b"\n\n") if lines else b""

    def _data(self, lines: list[bytes], data: bytes, kind: bytes) -> bytes:
        screen = self._screen
        if len(data) < 16 and data.strip() == DONE:
            rest = b"" if screen is None else self._write(screen.rest())
            return rest + self._line_up(lines, DONE)
        if kind == b"error" and screen is not None and screen.find_error(None, data, kind):
            return b""
        return self._document(lines, data)

    def _line_up(self, lines: Iterable[bytes], data: bytes) -> bytes:
        return self._pad(b"\n".join([*lines, b"data: " + data]) + b"\n\n")

    def _error(self, data: bytes) -> bytes:
        return b"event: error\ndata: " + data + b"\n\n"

    def _pad(self, event: bytes) -> bytes:
        """Lengthen an event to a multiple, by a comment, which no client reads."""
        most = self._outlet.pad_event_bytes
        lacking = -len(event) % most
        if not lacking:
            return event
        return b":" + b" " * (lacking - 2 if lacking > 1 else most - 1) + b"\n" + event


class Lines(Pieces):
    """Passes JSON documents one a line (application/x-ndjson)."""

    called = "line"
    are_lines = True

    def _find_end(self, data: bytes | bytearray, start: int) -> tuple[int, int] | None:
        end = data.find(b"\n", start)
        return None if end < 0 else (end, end + 1)

    def _piece(self, piece: bytes) -> bytes:
        return self._document([], piece) if piece.strip() else b""

    def _line_up(self, lines: Iterable[bytes], data: bytes) -> bytes:
        return data + b" " * (-(len(data) + 1) % self._outlet.pad_event_bytes) + b"\n"

    def _error(self, data: bytes) -> bytes:
        return data + b"\n"


def _is_one_event(data: bytes) -> bool:
    """Say whether `data` is one event and nothing else, as nearly all pieces of a stream are."""
    return data.endswith(b"\n\n") and data.find(b"\n\n") == len(data) - 2 and b"\r" not in data
