"""The text of a request: every string that would reach the model, and every way it could be read.

Checks look at `Content`; they never see bytes.  Strings are joined in document order, one a line, so that one pass
serves all of them and an attack split over two fields is whole again.
"""

from __future__ import annotations

import sys
from collections import Counter
from enum import StrEnum
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.core.reading import Reading, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


NAME_MAX_CHARS = 40
UNBOUNDED = sys.maxsize


class ContentError(ValueError):
    """The document breaks a bound on its shape; the message names the rule and never a value."""


class Voice(StrEnum):
    """Who speaks a text, which says how far an instruction in it is to be trusted."""

    OPERATOR = "operator"  # system and developer messages
    USER = "user"
    MODEL = "model"  # what it said before, by the caller's word
    TOOL = "tool"  # what a tool returned
    DOCUMENT = "document"  # what was retrieved, attached or templated in


class Passage(NamedTuple):
    """One text of a request that reaches the model."""

    voice: Voice
    where: str  # JSON pointer (RFC 6901)
    text: str


class Takes(StrEnum):
    """In what form an API takes a file."""

    UPLOAD = "upload"  # a part of a form, or the whole body
    BASE64 = "base64"  # its bytes, or a data URL
    URL = "url"  # a data URL, or the address of a file that the model server fetches


class Attachment(NamedTuple):
    """Where a file lies in a request."""

    path: str  # dotted, as in a policy: `messages.*.content.*.image_url`; empty: the whole body
    kind: str  # image, audio, video, file
    takes: Takes
    declared: str = ""  # how `media_type` beside it begins, where files of several kinds have one place; empty: any


class Upload(NamedTuple):
    """A file in a request: one part of a form, or the whole body."""

    filename: str
    media_type: str  # as it was declared, in lower case, without parameters
    data: bytes

    @property
    def facts(self) -> dict[str, Any]:
        """What a schema may describe of a file: its name, its type and its size."""
        return {"filename": self.filename, "media_type": self.media_type, "bytes": len(self.data)}


class Shape(NamedTuple):
    """Bounds on a document, whatever its schema says.  Depth is bounded apart, on every route."""

    max_keys: int = UNBOUNDED  # of one object
    max_items: int = UNBOUNDED  # of one array
    max_chars: int = UNBOUNDED  # of one string
    max_abs: float = inf
    max_digits: int | None = None  # significant ones of one number, as it is written shortest

    def hold(self, containers: list[Any]) -> None:
        """Raise ContentError for an object or an array that is too large, or holds a number that is."""
        if self is ANY_SHAPE:
            return
        for container in containers:
            items = container
            if type(container) is dict:
                items = container.values()
                if len(container) > self.max_keys:
                    raise ContentError("max_keys")
            elif len(container) > self.max_items:
                raise ContentError("max_items")
            for item in items:
                if type(item) is int or type(item) is float:
                    self._hold_number(item)

    def hold_texts(self, texts: Iterable[str]) -> None:
        """Raise ContentError for a string that is too long."""
        if self is not ANY_SHAPE and max(map(len, texts), default=0) > self.max_chars:
            raise ContentError("max_chars")

    def _hold_number(self, number: Any) -> None:  # compiled, a float has no room for every integer
        if not -self.max_abs <= number <= self.max_abs:
            raise ContentError("max_abs")
        if self.max_digits is not None and _digits(number) > self.max_digits:
            raise ContentError("max_digits")


ANY_SHAPE = Shape()


def _digits(number: Any) -> int:
    """Count the significant digits of a number; an integer's last zeros are none."""
    mantissa = repr(number).partition("e")[0].replace(".", "").lstrip("-0")
    return len(mantissa.rstrip("0"))


class Content:
    """The strings of one request: `values` of the body and of the query, and the `keys` that could say something.

    A key that is a plain name (`input_text`) cannot; one with spaces or signs, or a long one, is looked at as well.
    """

    def __init__(
        self,
        document: Any,
        query: Iterable[tuple[str, str]] = (),
        max_depth: int = 64,
        passages: Callable[[Any], Iterable[Passage]] | None = None,
        shape: Shape = ANY_SHAPE,
    ) -> None:
        """Collect the strings of `document`; raise ContentError past `max_depth` or `shape`, or where not finite."""
        self.document = document
        self.query = tuple(query)
        self.values: list[str] = []
        self.keys: list[str] = []
        self.aside: frozenset[int] = frozenset()  # identities of strings that are data and no text
        self._uploads = False
        self._text: str | None = None  # both made when first asked for
        self._readings: tuple[Reading, ...] | None = None
        self._unsaid: tuple[str, ...] | None = None
        self._unsaid_readings: tuple[Reading, ...] | None = None
        self._read: dict[str, tuple[Reading, ...]] = {}
        self._find_passages = passages
        self._collect(max_depth, shape)
        for name, value in self.query:
            self.values.append(value)
            if not name.isidentifier():
                self.keys.append(name)
        shape.hold_texts(self.values)

    def _collect(self, max_depth: int, shape: Shape) -> None:
        # Level by level: depth costs nothing to count, and no recursion can be driven from outside.
        values, keys = self.values, self.keys
        level: list[Any] = [[self.document]]
        depth = -1
        while level:
            depth += 1
            if depth > max_depth:
                raise ContentError("max_depth")
            below: list[Any] = []
            for container in level:
                if type(container) is dict:
                    keys.extend(filter(says_something, container))
                    container = container.values()  # noqa: PLW2901  one loop body for both kinds of container
                for item in container:
                    kind = type(item)
                    if kind is str:
                        values.append(item)
                    elif kind is dict or kind is list:
                        below.append(item)
                    elif kind is Upload:
                        values.append(item.filename)  # its data is no text
                        self._uploads = True
                    elif kind is float and not isfinite(item):
                        raise ContentError("finite")  # 1e400 is legal JSON and infinite in every language
            shape.hold(level)
            level = below

    @property
    def outline(self) -> Any:
        """The document as a schema sees it: each upload by its facts."""
        return _outline(self.document) if self._uploads else self.document

    def set_aside(self, data: Iterable[str], document: Any) -> None:
        """Take strings that were found to be data, a picture, out of what checks read; `document` holds them now."""
        self.aside |= {id(text) for text in data}
        self.document = document
        self.values = [text for text in self.values if id(text) not in self.aside]
        self._text = self._readings = self._unsaid = self._unsaid_readings = None

    @property
    def text(self) -> str:
        """All values, then all keys, one a line."""
        if self._text is None:
            self._text = "\n".join((*self.values, *self.keys))
        return self._text

    @property
    def is_one_voice(self) -> bool:
        """Whether the route's format does not say who speaks."""
        return self._find_passages is None

    @property
    def passages(self) -> tuple[Passage, ...]:
        """Who says what: by the route's format, or the user all of it."""
        if self._find_passages is not None:
            return tuple(self._find_passages(self.document))
        return tuple([Passage(Voice.USER, where, text) for where, text in self._places()])

    @property
    def unsaid(self) -> tuple[str, ...]:
        """The strings that nobody says to the model: all but the passages that the route's format names.

        A passage excludes the one string at its place: the same text elsewhere stays.
        """
        if self._unsaid is None:
            strings = (*self.values, *self.keys)
            if self._find_passages is not None:
                said = Counter(text for _, text in {(passage.where, passage.text) for passage in self.passages})
                strings = tuple([text for text in strings if not _take(said, text)])
            self._unsaid = strings
        return self._unsaid

    @property
    def unsaid_readings(self) -> tuple[Reading, ...]:
        """What programs other than a model would read in what nobody says to it, one string a line."""
        if self._unsaid_readings is None:
            self._unsaid_readings = self.read("\n".join(self.unsaid))
        return self._unsaid_readings

    def read(self, text: str) -> tuple[Reading, ...]:
        """Return what programs other than a model would read in one string; made once for all checks."""
        readings = self._read.get(text)
        if readings is None:
            readings = self._read[text] = read(text, for_models=False)
        return readings

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The text as it was sent, normalised, and decoded in every way a model or a database would."""
        if self._readings is None:
            self._readings = read(self.text)
        return self._readings

    def locate(self, matches: Callable[[str], bool], *, unsaid: bool = False) -> str:
        """Find the first string for which `matches` holds and return its place, or "" where only the whole matches.

        `unsaid`: of those that nobody says to the model.  Walks the document again: called after a finding.
        """
        said = {passage[1:] for passage in self.passages} if unsaid and not self.is_one_voice else ()
        for where, value in self._places():
            if (where, value) not in said and matches(value):
                return where
        return ""

    def _places(self) -> Iterator[tuple[str, str]]:
        stack: list[tuple[str, Any]] = [("", self.document)]
        while stack:
            pointer, item = stack.pop()
            if isinstance(item, str):
                if id(item) not in self.aside:
                    yield pointer, item
            elif isinstance(item, Upload):
                yield f"{pointer}/filename", item.filename
            elif isinstance(item, dict):
                for key in filter(says_something, item):
                    yield f"{pointer} (a key)", key
                stack.extend((f"{pointer}/{escape_pointer(key)}", item[key]) for key in reversed(item))
            elif isinstance(item, list):
                stack.extend((f"{pointer}/{index}", item[index]) for index in reversed(range(len(item))))
        for name, value in self.query:
            yield f"query.{name}", value


def _take(counter: Counter[str], text: str) -> bool:
    """Take one of `text` out of a counter; say whether there was one."""
    if counter.get(text, 0) < 1:
        return False
    counter[text] -= 1
    return True


def says_something(key: str) -> bool:
    """Say whether a key is more than a plain name."""
    return len(key) > NAME_MAX_CHARS or not key.isidentifier()


def _outline(item: Any) -> Any:
    # Only forms and whole bodies hold uploads, and a form is at most two deep: this recursion is ours to bound.
    if isinstance(item, Upload):
        return item.facts
    if isinstance(item, dict):
        return {name: _outline(value) for name, value in item.items()}
    return [_outline(value) for value in item] if isinstance(item, list) else item


def escape_pointer(key: str) -> str:
    """Escape one reference token (RFC 6901 3)."""
    return key.replace("~", "~0").replace("/", "~1")
