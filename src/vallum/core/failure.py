"""An upstream's failure: what of it is kept for the operator, and the little that a policy may let through.

Rule 1: the caller gets our words, never the upstream's.  What `pass_fields` lets through are names and small numbers
        at places that the policy lists: no message, no value, nothing that looks like a secret.
Rule 2: what is kept is bounded before it is read, and redacted before it is written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vallum.core.content import escape_pointer
from vallum.core.fieldpath import Path, places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vallum.core.exchange import ResponseHead

READ_MAX_BYTES = 16_384  # of a refusal whose fields may pass: a longer one is not read for them
FIELDS_MAX = 40  # header fields that are kept, and values that pass
VALUE_MAX_CHARS = 300
# A member's name, as validators repeat it: no path, no address, no sentence.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")
NUMBER_MAX = 100_000
ITEMS_MAX = 16
# Fields whose value is a secret, or names a session.
SECRET_FIELDS = frozenset("authorization proxy-authorization set-cookie x-api-key".split())
ERROR_TYPES = ("error", "exception")
TRACES = frozenset("traceback stacktrace stack_trace".split())


class Evidence:
    """What an upstream said when it failed."""

    __slots__ = ("body", "head", "inside")

    def __init__(self, head: ResponseHead, body: bytes = b"", *, inside: bool = False) -> None:
        """Keep the head and the beginning of the body; `inside`: the head promised a success."""
        self.head = head
        self.body = body
        self.inside = inside

    def tell(self, redact: Callable[[str], str]) -> dict[str, Any]:
        """Return the member of a record."""
        fields: dict[str, str] = {}
        for name, value in self.head.headers.fields[:FIELDS_MAX]:
            shown = "[withheld]" if name in SECRET_FIELDS else redact(value[: 2 * VALUE_MAX_CHARS])[:VALUE_MAX_CHARS]
            before = fields.get(name)
            fields[name[:VALUE_MAX_CHARS]] = shown if before is None else f"{before}, {shown}"
        told: dict[str, Any] = {"status": self.head.status, "inside": self.inside, "headers": fields}
        if self.body:
            told["body"] = redact(self.body.decode("utf-8", "replace"))
        return told


def is_error(document: Any) -> bool:
    """Say whether a document is an error, whatever the status said: by the members that servers write it in."""
    if not isinstance(document, dict):
        return False
    if document.get("error") or document.get("object") == "error" or document.get("type") in ERROR_TYPES:
        return True
    inner = document.get("response")  # OpenAI's responses: the event of a run that failed
    if isinstance(inner, dict) and inner.get("error"):
        return True
    return not TRACES.isdisjoint(document)


def pass_fields(document: Any, paths: Sequence[Path], redact: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return what stands at `paths` in an upstream's refusal, where it is names and small numbers."""
    passed: list[dict[str, Any]] = []
    for path in paths:
        for pointer, value in _values(document, path):
            if len(passed) < FIELDS_MAX and _is_plain(value, redact):
                passed.append({"pointer": pointer, "value": value})
    return passed


def _values(document: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield every value that `path` names with its JSON pointer."""
    waiting = [("", document, path)]
    while waiting:
        pointer, item, rest = waiting.pop()
        if not rest:
            yield pointer, item
            continue
        below = [(f"{pointer}/{escape_pointer(str(key))}", box[key], rest[1:]) for box, key in places(item, rest[:1])]
        if isinstance(item, list) and rest[0] != "*":  # a name is looked for in each item
            below = [(f"{pointer}/{index}", each, rest) for index, each in enumerate(item)]
        waiting.extend(reversed(below))


def _is_plain(value: Any, redact: Callable[[str], str]) -> bool:
    if isinstance(value, list):
        return len(value) <= ITEMS_MAX and all(not isinstance(item, list) and _is_plain(item, redact) for item in value)
    if isinstance(value, str):
        return NAME.fullmatch(value) is not None and redact(value) == value
    return isinstance(value, int) and abs(value) <= NUMBER_MAX
