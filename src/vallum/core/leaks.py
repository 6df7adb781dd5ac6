"""Looks for leaks in what an answer says, piece by piece: what is found is replaced, or ends the answer.

A text that comes in pieces has a lane: what of it could still be the beginning of a leak is held until it is clear, at
most REACH characters.  Which members of an event carry a piece is a table of the formats that are known (`pieces`);
every other string is looked at by itself.

Rule 1: a held text leaves with the event that ends its lane, or in an event of the same shape before it.
Rule 2: of what was too long to be held and is a leak, the rest is swallowed, not sent.
"""

from __future__ import annotations

from collections.abc import Sequence  # the compiler makes the fields of a tuple's class when it is imported
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.core.decision import Deny, Reason
from vallum.core.failure import Evidence, is_error
from vallum.core.policy import LeakAction, Mode
from vallum.core.problem import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vallum.core.exchange import Exchange, ResponseHead
    from vallum.core.policy import Outlet, Sentry

REACH = 2048
LANES_MAX = 256
SEEN_MAX, SEEN_CHARS = 256, 64  # strings that were clean: ids and names come again with every event
SHORTEST = 8  # characters of a string that could hold a leak
REPLACEMENT = "[redacted]"
ERROR_INSIDE = "an error inside the answer"
Key = tuple[Any, ...]
Event = tuple[tuple[bytes, ...], Any]  # the lines beside its data, and its document


class Leak(NamedTuple):
    """Where a leak stands in a text, what it is, and the characters that it may go on with."""

    start: int
    end: int
    rule: str
    more: str = ""


class Scan(NamedTuple):
    """What a look at a text found.  Nothing that begins before `safe` can become a leak by what may follow."""

    leaks: Sequence[Leak]
    safe: int


class Piece(NamedTuple):
    """A piece of a text: whose it is, and where it stands."""

    lane: Key
    container: Any
    member: str


class Lane:
    """A text that comes in pieces."""

    __slots__ = ("held", "last", "swallowed")

    def __init__(self) -> None:
        """Begin with nothing held."""
        self.held = ""
        self.swallowed = ""  # characters that still belong to a leak
        self.last: Event = ((), None)


class Screen:
    """Looks at one answer."""

    def __init__(self, x: Exchange, outlet: Outlet, head: ResponseHead, enforce: bool) -> None:
        """Look by the sentries of `outlet`; with `enforce` off, note and change nothing."""
        self._x = x
        self._head = head
        self._enforce = enforce
        self._errors_inside = outlet.errors_inside
        self._keeps = x.policy.retention.max_bytes
        self._scans: list[tuple[Sentry, Callable[[str, bool], Scan]]] = []
        for sentry in outlet.leaks:
            scan = sentry.check.watch(x.content)
            if scan is not None:
                self._scans.append((sentry, scan))
        self._lanes: dict[Key, Lane] = {}
        self._seen: set[str] = set()
        self._noted: set[tuple[str, str]] = set()
        self.searches = bool(self._scans)  # or errors alone are looked for
        self.refusal: Deny | None = None

    # --- errors

    def find_error(self, document: Any, raw: bytes, event: bytes = b"") -> bool:
        """Say whether this is an error in the guise of an answer, after keeping it for the record."""
        if not self._errors_inside or not (event == b"error" or is_error(document)):
            return False
        self.keep(raw)
        refusal = Deny(Reason.UPSTREAM_ERROR, "upstream", ERROR_INSIDE)
        if not self._enforce:
            self._x.shadowed.append(refusal)
            return False
        self.refusal = refusal
        return True

    def keep(self, raw: bytes) -> None:
        """Keep the beginning of what is withheld, for the record."""
        self._x.evidence = Evidence(self._head, raw[: self._keeps], inside=True)

    def problem(self, refusal: Deny) -> bytes:
        """Write a refusal as clients of this route read it."""
        return problem(refusal, self._x.request.id, self._x.route.error_format if self._x.route else None)

    # --- leaks

    def whole(self, document: Any) -> Any:
        """Look at every string of a document that is whole."""
        return self._walk([document], frozenset())[0] if self.searches else document

    def event(self, lines: tuple[bytes, ...], document: Any) -> list[Event]:
        """Look at one event; return what may leave in its place."""
        if not self.searches:
            return [(lines, document)]
        found, ends = pieces(document), endings(document)
        carried = set()
        for lane_key, container, member in found:
            lane = self._lane(lane_key)
            container[member] = self._advance(lane, container[member], _ends(lane_key, ends))
            lane.last = (lines, document)
            carried.add(lane_key)
        out = [self._flush(key) for key in list(self._lanes) if key not in carried and _ends(key, ends)] if ends else []
        document = self._walk([document], frozenset((id(box), member) for _, box, member in found))[0]
        return [*filter(None, out), (lines, document)]

    def rest(self) -> list[Event]:
        """Return what is held, at the end of a stream."""
        return [*filter(None, [self._flush(key) for key in list(self._lanes)])]

    def text(self, piece: str, *, ended: bool) -> str:
        """Look at a piece of an answer that is plain text."""
        return self._advance(self._lane(()), piece, ended) if self.searches else piece

    def _lane(self, key: Key) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= LANES_MAX:
                self.refusal = self.refusal or Deny(Reason.UPSTREAM_ERROR, "leaks", f"over {LANES_MAX} texts at once")
                return Lane()
            lane = self._lanes[key] = Lane()
        return lane

    def _flush(self, key: Key) -> Event | None:
        """End a lane; return what it held in an event of the shape of its last."""
        lane = self._lanes.pop(key)
        text = self._advance(lane, "", ended=True)
        if not text:
            return None
        lines, document = _go_on(*deepcopy(lane.last))
        for lane_key, container, member in pieces(document):
            container[member] = text if lane_key == key else ""
        return lines, document

    def _advance(self, lane: Lane, piece: str, ended: bool) -> str:
        """Return what may leave of a lane now that `piece` has come."""
        if lane.swallowed:
            piece = piece.lstrip(lane.swallowed)
            if not piece and not ended:
                return ""
            lane.swallowed = ""
        window = lane.held + piece
        leaks, safe = self._scan(window, ended)
        out: list[str] = []
        at = 0
        for leak in leaks:
            if leak.start >= safe:
                break
            if leak.start >= at:
                out += (window[at : leak.start], REPLACEMENT)
            at = max(at, leak.end)
            if leak.end == len(window) and not ended:
                lane.swallowed = leak.more
        if at < safe:
            out.append(window[at:safe])
        lane.held = window[max(at, safe) :]
        return "".join(out)

    def _scan(self, window: str, ended: bool) -> tuple[list[Leak], int]:
        """Ask every sentry; return what is to be replaced, in order, and how much may leave."""
        size = len(window)
        safe = size
        leaks: list[Leak] = []
        for sentry, scan in self._scans:
            found, shut = scan(window, ended)
            safe = min(safe, shut)
            for leak in found:
                if not ended and leak.end == size and leak.start >= size - REACH:
                    safe = min(safe, leak.start)  # it may still grow, and waits for that
                elif self._note(sentry, leak.rule):
                    leaks.append(leak)
        leaks.sort()
        return leaks, max(safe, size - REACH)

    def _acts(self, sentry: Sentry) -> bool:
        return self._enforce and sentry.mode is Mode.ENFORCE

    def _note(self, sentry: Sentry, rule: str) -> bool:
        """Note what was found, once; say whether it is to be replaced."""
        control = f"leak:{sentry.check.type}"
        acts = self._acts(sentry)
        if (control, rule) not in self._noted:
            self._noted.add((control, rule))
            refusal = Deny(Reason.UPSTREAM_ERROR, control, f"{rule} in the answer", rule=rule)
            if not acts:
                self._x.shadowed.append(refusal)
            elif sentry.action is LeakAction.REFUSE:
                self.refusal = self.refusal or refusal
            else:
                self._x.removed.add(f"{control} {rule}")
        return acts

    def _walk(self, top: list[Any], known: frozenset[tuple[int, str]]) -> list[Any]:
        """Look at every string below `top` but the `known` places; names of members count."""
        seen = self._seen
        waiting: list[Any] = [top]
        while waiting:
            box = waiting.pop()
            named = type(box) is dict
            entries: Iterable[tuple[Any, Any]] = list(box.items()) if named else enumerate(box)
            for place, item in entries:
                kind = type(item)
                if kind is dict or kind is list:
                    waiting.append(item)
                elif kind is str and len(item) >= SHORTEST and item not in seen and (id(box), place) not in known:
                    box[place] = self._look(item)
                if named and len(place) >= SHORTEST and place not in seen and (name := self._look(place)) != place:
                    box[name] = box.pop(place)
        return top

    def _look(self, text: str) -> str:
        """Look at a string that is whole; what was clean once is not looked at again."""
        clean = self._advance(Lane(), text, ended=True)
        if clean == text and len(self._seen) < SEEN_MAX and len(text) <= SEEN_CHARS:
            self._seen.add(text)
        return clean


# --- where the pieces of texts stand in the events of the formats that are known --------------------------------------

SAID = ("content", "reasoning_content", "reasoning", "refusal", "text", "thinking", "partial_json")
ALL: Key = ()
WHOLE_ENDS = frozenset(
    "message_delta message_stop response.completed response.failed response.incomplete error".split()
)


def pieces(document: Any) -> list[Piece]:
    """Find the members of an event that continue a text."""
    if not isinstance(document, dict):
        return []
    found: list[Piece] = []
    for index, choice in _choices(document):  # OpenAI's chat and completions, and all that speak like them
        _said(found, ("choice", index), choice.get("delta"))
        if isinstance(choice.get("text"), str):
            found.append(Piece(("choice", index, "text"), choice, "text"))
    delta = document.get("delta")
    if isinstance(delta, str):  # OpenAI's responses
        where = tuple(str(document.get(name)) for name in ("item_id", "output_index", "content_index", "type"))
        found.append(Piece(("item", *where), document, "delta"))
    else:  # Anthropic's messages; the event that begins a block may begin its text
        _said(found, ("block", str(document.get("index"))), document.get("content_block", delta))
    if "done" in document:  # Ollama
        _said(found, ("message",), document.get("message"))
        _carry(found, ("response",), document, "response")
        _carry(found, ("thinking",), document, "thinking")
    _carry(found, ("token",), document.get("token"), "text")  # TGI
    _carry(found, ("text_output",), document, "text_output")  # Triton's generate_stream
    return found


def _carry(found: list[Piece], lane: Key, box: Any, member: str) -> None:
    if isinstance(box, dict) and isinstance(box.get(member), str):
        found.append(Piece(lane, box, member))


def _said(found: list[Piece], lane: Key, box: Any) -> None:
    if not isinstance(box, dict):
        return
    found.extend([Piece((*lane, member), box, member) for member in SAID if isinstance(box.get(member), str)])
    parts = box.get("content")
    for place, part in enumerate(parts if isinstance(parts, list) else ()):
        _carry(found, (*lane, "part", place), part, "text")
    _carry(found, (*lane, "function_call"), box.get("function_call"), "arguments")
    _carry(found, (*lane, "audio"), box.get("audio"), "transcript")
    for number, call in _calls(box):
        _carry(found, (*lane, "call", number), call.get("function"), "arguments")
        _carry(found, (*lane, "custom", number), call.get("custom"), "input")


def _calls(box: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    calls = box.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            yield str(call.get("index", place)), call


def _go_on(lines: tuple[bytes, ...], document: Any) -> Event:
    """Make of an event one that goes on from it: clients add up names and ids, and open a block once."""
    if document.get("type") == "content_block_start":
        block, kind = document["content_block"], "content_block_delta"
        said = {"type": f"{block.get('type')}_delta"} | {member: block[member] for member in SAID if member in block}
        return (f"event: {kind}".encode(),), {"type": kind, "index": document.get("index"), "delta": said}
    for _, choice in _choices(document):
        delta = choice.get("delta")
        if isinstance(delta, dict):
            delta.pop("role", None)
            named: list[Any] = [delta.get("function_call")]
            for _, call in _calls(delta):
                named += (call, call.get("function"), call.get("custom"))
            for box in filter(None, named):
                for name in ("id", "type", "name") if isinstance(box, dict) else ():
                    box.pop(name, None)
    return lines, document


def endings(document: Any) -> list[Key]:
    """Say which texts an event ends: those whose lane begins so."""
    if not isinstance(document, dict):
        return []
    ends: list[Key] = [("choice", index) for index, choice in _choices(document) if choice.get("finish_reason")]
    kind = document.get("type")
    if document.get("done") is True or document.get("generated_text") is not None or kind in WHOLE_ENDS:
        ends.append(ALL)
    elif kind == "content_block_stop":
        ends.append(("block", str(document.get("index"))))
    elif isinstance(kind, str) and kind.endswith(".done"):
        ends.append(("item", str(document.get("item_id"))))
    return ends


def _ends(lane: Key, ends: list[Key]) -> bool:
    return any(lane[: len(end)] == end for end in ends)


def _choices(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    choices = document.get("choices")
    for place, choice in enumerate(choices if isinstance(choices, list) else ()):
        if isinstance(choice, dict):
            yield str(choice.get("index", place)), choice
