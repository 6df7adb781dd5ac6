"""How an answer's body goes out: straight through, held whole, or as text; in pieces, see `stream.py`.

Rule: what a transform could not read does not pass.  Every hold-back is bounded, and flushed at the end.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any, Protocol

from vallum.core.decision import Deny, Reason
from vallum.core.protocols import NOTHING

if TYPE_CHECKING:
    from vallum.core.cost import Bill
    from vallum.core.leaks import Screen
    from vallum.core.policy import Outlet

UNREADABLE = "response"  # the control that refuses what cannot be read
EMPTY = b"{}"  # all that is left of an event of which nothing may leave


class Relay(Protocol):
    """One answer's body on its way out."""

    @property
    def holds(self) -> bool:
        """Whether the head must wait until the end, because the body may still be refused."""

    @property
    def passes_length(self) -> bool:
        """Whether the body leaves as long as it came."""

    @property
    def farewell(self) -> bytes:
        """How a stream that was refused ends; empty: it is cut."""

    def chunk(self, data: bytes) -> bytes | Deny:
        """Take what arrived and return what may leave now."""

    def end(self) -> bytes | Deny:
        """Return what is left to send."""


class Through:
    """Passes every byte as it comes."""

    holds = False
    passes_length = True
    farewell = b""

    def chunk(self, data: bytes) -> bytes:
        """Return `data`."""
        return data

    def end(self) -> bytes:
        """Return nothing: nothing was held."""
        return b""


class Rewriting:
    """What every relay that reads an answer's documents has at hand."""

    def __init__(
        self,
        outlet: Outlet,
        removed: set[str],
        enforce: bool,
        bill: Bill | None = None,
        screen: Screen | None = None,
    ) -> None:
        """Transform by `outlet`; with `enforce` off, note what would be removed and send the original.

        `bill` is shown every document on its way, `screen` looks for errors and leaks in it.
        """
        self._outlet = outlet
        self._bill = bill
        self._removed = removed
        self._enforce = enforce
        self._screen = screen
        self.farewell = b""
        self._begin()

    def _begin(self) -> None:
        """Make room for what is held back."""

    @property
    def _refusal(self) -> Deny | None:
        """The refusal of an answer that turned out to be an error, or to leak."""
        return None if self._screen is None else self._screen.refusal

    def _encode(self, document: Any) -> bytes:
        """Write one document of a stream; nothing where nothing is left of it."""
        assert self._outlet.codec is not None  # or it could not have been read
        try:
            data = self._outlet.codec.encode(document)
        except RecursionError:
            self._removed.add("event (unreadable)")
            return b""
        return b"" if data == EMPTY else data


class Whole(Rewriting):
    """Holds one JSON document, up to the outlet's bound, and sends it transformed."""

    holds = True
    passes_length = False

    def _begin(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self.document: Any = None  # what was sent, for whoever keeps count of answers

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
        document = prepare(original, self._outlet, self._removed, self._bill, self._screen)
        changed = write(document, self._outlet)
        if not changed:
            changed = unreadable("nothing in the answer may leave: it is none that the route's preset knows")
        if not isinstance(changed, Deny):
            self.document = document
            if self._bill is not None:
                self._bill.read_whole = True
        if isinstance(changed, Deny) and changed.control == UNREADABLE and self._screen is not None:
            self._screen.keep(original)
        if not self._enforce or isinstance(changed, Deny):
            return changed if self._enforce else original
        return changed + b" " * (-len(changed) % self._outlet.pad_answer_bytes)


class Text(Rewriting):
    """Passes plain text, looked at for leaks; holds what could be the beginning of one."""

    holds = False
    passes_length = False

    def _begin(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def chunk(self, data: bytes) -> bytes | Deny:
        """Return what is clear of leaks."""
        return self._pass(data, ended=False)

    def end(self) -> bytes | Deny:
        """Return what was held."""
        return self._pass(b"", ended=True)

    def _pass(self, data: bytes, *, ended: bool) -> bytes | Deny:
        assert self._screen is not None  # else nothing would have to be looked at
        clean = self._screen.text(self._decoder.decode(data, ended), ended=ended)
        if not self._enforce:
            return data
        return self._refusal or clean.encode()


def read(
    body: bytes, outlet: Outlet, removed: set[str], bill: Bill | None = None, screen: Screen | None = None
) -> Any | Deny:
    """Read and transform one document; refuse it if it is none or an error; NOTHING if none of it may leave."""
    if outlet.codec is None:
        return unreadable("no codec reads this answer")
    try:
        document: Any = outlet.codec.decode(body)
    except ValueError as error:
        return unreadable(f"the answer is not what its content type says: {error}")
    if screen is not None and screen.find_error(document, body):
        return screen.refusal
    if bill is not None and not bill.read(document):
        return NOTHING
    try:
        for step in outlet.transforms:
            document = step.apply(document, removed)
            if document is NOTHING:
                break
    except RecursionError:
        return unreadable("the answer is nested too deeply")
    return document


def prepare(
    body: bytes, outlet: Outlet, removed: set[str], bill: Bill | None = None, screen: Screen | None = None
) -> Any | Deny:
    """Apply every transform of `outlet` to a document, or refuse what is none; NOTHING if none of it may leave."""
    document = read(body, outlet, removed, bill, screen)
    if screen is None or document is NOTHING or isinstance(document, Deny):
        return document
    document = screen.whole(document)
    return document if screen.refusal is None else screen.refusal


def write(document: Any | Deny, outlet: Outlet) -> bytes | Deny:
    """Write what is left of a document; empty for NOTHING."""
    if isinstance(document, Deny):
        return document
    if document is NOTHING:
        return b""
    assert outlet.codec is not None  # or it could not have been read
    try:
        return outlet.codec.encode(document)
    except RecursionError:
        return unreadable("the answer is nested too deeply")


def unreadable(detail: str) -> Deny:
    """Refuse an answer that cannot be inspected: it must not pass unseen."""
    return Deny(Reason.UPSTREAM_ERROR, UNREADABLE, detail)
