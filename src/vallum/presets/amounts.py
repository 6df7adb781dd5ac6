"""One API format as a table, and the meter that reads by it (core's `Meter`).

Everything here walks documents that are bounded already, by the route's `max_bytes` and `max_depth`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vallum.core.cost import Estimate, OutputBound, Usage
from vallum.core.decision import Finding, Reason
from vallum.core.text import tokens_of

OUTPUT_MAX = 2**31 - 1  # no server takes more, and no sum of a few of these overflows anything
CHOICES_MAX = 128
TOKEN_BYTES = 16  # a piece of a stream up to this long is one token, as servers send them; a longer one is several
TEXT_SOURCES = frozenset({"content", "text"})  # types of a document's source that are text after all
PER_OBJECT = 4  # what a chat template puts around each message, and a tool's definition around each part


@dataclass(frozen=True)
class Format:
    """Where a format keeps what is counted."""

    prompt: tuple[str, ...]  # members that reach the model
    # Members that bound the output of one answer; the first is written if there is none.  A dot leads one level down.
    output: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()  # members that ask for several answers at once, named the same way
    prompts: str | None = None  # a member that holds a list of prompts, each with answers of its own
    # What is not text, by the `type` of its part: the member that holds it, and the tokens it is taken for.
    media: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    images: tuple[str, int] | None = None  # a list of pictures, in a message or beside the prompt; tokens for each
    asks_usage: tuple[str, str] | None = None  # the option of a stream that asks for its usage
    usage: tuple[tuple[str, ...], ...] = ()  # where an answer or an event may hold it
    begun: tuple[str, ...] = ()  # where the event that begins a stream holds it: what it says of the output is no count
    counted: tuple[tuple[str, str], ...] = ()  # names of input and output in a usage
    cached: tuple[str, ...] = ()  # names of input that is counted apart
    stated: Callable[[Any], bool] = lambda _: True  # whether a usage covers all that was generated
    texts: Callable[[Any], Iterable[Any]] = lambda _: ()  # the parts of an answer or event that hold its text
    silent: frozenset[str] = frozenset()  # members in those parts that are no text
    # The events that end a stream cut at so many tokens: name, document.
    end: Callable[[Any, int], list[tuple[str, Any]]] = lambda _, __: []
    done: bytes = b""  # what follows the last
    lines: bool = False  # a stream is a document a line, and not events


class FormatMeter:
    """Reads and writes amounts by a format's table."""

    def __init__(self, form: Format) -> None:
        """Read by `form`."""
        self._form = form

    # --- the request

    def estimate(self, document: Any, bound: OutputBound) -> Estimate | Finding:
        """Estimate a request's tokens from above; or say which member is wrong."""
        form = self._form
        if not isinstance(document, dict):
            return _wrong("", "type")
        for names, most in ((form.choices, CHOICES_MAX), (form.output, OUTPUT_MAX)):
            for name in names:
                above, _, _ = name.rpartition(".")
                if above and not isinstance(document.get(above), dict | None):
                    return _wrong(f"/{above}", "type")
                number = _look(document, name)
                if number is not None and not _is_whole(number, most):
                    return _wrong(_pointer(name), "range")
        answers = max([_look(document, name) or 1 for name in form.choices], default=1)
        if form.prompts is not None:
            answers *= _count_prompts(document.get(form.prompts))
        # Servers differ in which of two names they believe: the highest counts.
        asked, pointer = max([(_look(document, name) or 0, _pointer(name)) for name in form.output], default=(0, ""))
        if form.output and not asked:
            asked, pointer = bound.default, ""
        if bound.most is not None:
            asked = min(asked, bound.most)
        first, *others = form.prompt
        messages, taken_in = _set_media_apart(document.get(first, []), form)
        taken_in += _count_images(document, form)
        taken_in += _weigh(messages) + sum([_weigh(document[name]) for name in others if name in document])
        return Estimate(taken_in, asked * answers, pointer or f"/{first}")

    def amend(self, document: Any, bound: OutputBound) -> tuple[str, ...]:
        """Write the bound on the output, and the wish for a usage count, into `document`."""
        form, written = self._form, []
        given = [name for name in form.output if _look(document, name) is not None]
        if not given:
            for name in form.output[:1]:
                _put(document, name, bound.default)
                written.append(name)
        elif bound.most is not None:
            for name in given:
                if _look(document, name) > bound.most:
                    _put(document, name, bound.most)
                    written.append(name)
        if form.asks_usage is not None and not self.shows_usage(document):
            member, option = form.asks_usage
            options = document.get(member)
            if options is None or isinstance(options, dict):  # anything else is the upstream's to refuse
                document[member] = (options or {}) | {option: True}
                written.append(member)
        return tuple(written)

    def shows_usage(self, document: Any) -> bool:
        """Say whether the caller will be shown the usage: always, where a stream need not be asked for it."""
        if self._form.asks_usage is None or document.get("stream") is not True:
            return True
        member, option = self._form.asks_usage
        options = document.get(member)
        return isinstance(options, dict) and options.get(option) is True

    # --- the answer

    def usage(self, document: Any) -> Usage | None:
        """Return the usage that an answer or an event states; None where it is none that can be believed."""
        form = self._form
        for path in form.usage:
            said = self._counts(_follow(document, path))
            if said is not None:
                return said if form.stated(document) else said._replace(output_tokens=None)
        if form.begun:
            said = self._counts(_follow(document, form.begun))
            return None if said is None else said._replace(output_tokens=None)
        return None

    def _counts(self, found: Any) -> Usage | None:
        """Read the counts of one usage: each that is there, and None where one is no count."""
        if not isinstance(found, dict):
            return None
        for names in self._form.counted:
            taken_in, given_out = (found.get(name) for name in names)
            if (taken_in is None and given_out is None) or not (_is_count(taken_in) and _is_count(given_out)):
                continue
            cached = [found[name] for name in self._form.cached if found.get(name) is not None]
            if not all(map(_is_count, cached)):
                continue
            return Usage(None if taken_in is None else taken_in + sum(cached), given_out)
        return None

    def hide_usage(self, document: Any) -> bool:
        """Take the usage out of an event of a stream; False where it held nothing else."""
        if not isinstance(document, dict) or "usage" not in document:
            return True
        return document.pop("usage") is None or document.get("choices") != []

    def emitted(self, document: Any) -> int:
        """Count the tokens of an answer or an event by its text."""
        silent = self._form.silent
        total = 0
        waiting = list(self._form.texts(document))
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                if item:
                    total += 1 if len(item) <= TOKEN_BYTES else tokens_of(item)
            elif isinstance(item, dict):
                waiting.extend([inner for key, inner in item.items() if key not in silent])
            elif isinstance(item, list):
                waiting.extend(item)
        return total

    @property
    def streams_lines(self) -> bool:
        """Whether a stream is a document a line, and not events."""
        return self._form.lines

    def ending(self, document: Any, tokens: int) -> bytes:
        """Write the end of a stream that is cut at `tokens`."""
        events = b""
        for name, last in self._form.end(document, tokens):
            if self._form.lines:
                events += json.dumps(last, separators=(",", ":")).encode() + b"\n"
                continue
            events += f"event: {name}\n".encode() if name else b""
            events += b"data: " + json.dumps(last, separators=(",", ":")).encode() + b"\n\n"
        return events + self._form.done


def _weigh(value: Any) -> int:
    """Estimate the tokens of everything inside `value`."""
    total = 0
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is str:
            total += tokens_of(item)
        elif kind is dict:
            total += PER_OBJECT
            for key, inner in item.items():
                total += tokens_of(key)
                waiting.append(inner)
        elif kind is list:
            waiting.extend(item)
        else:
            total += 1  # a number may be the id of one token
    return total


def _set_media_apart(messages: Any, form: Format) -> tuple[Any, int]:
    """Return messages without what is not text in their parts, and the tokens that it is taken for.

    In their parts alone: in a tool's definition or a call's arguments the same shape is text, which a chat template
    writes out whole.
    """
    if not (form.media or form.images) or not isinstance(messages, list):
        return messages, 0
    texts: list[Any] = []
    total = 0
    for message in messages:
        if not isinstance(message, dict):
            texts.append(message)
            continue
        parts, tokens = _set_parts_apart(message, form.media)
        total += tokens + _count_images(message, form)
        texts.append({key: inner for key, inner in parts.items() if form.images is None or key != form.images[0]})
    return texts, total


def _set_parts_apart(holder: dict[str, Any], media: Mapping[str, tuple[str, int]]) -> tuple[dict[str, Any], int]:
    """Return a message, or a part that holds parts, without what is not text in its `content`."""
    content = holder.get("content")
    if not isinstance(content, list):
        return holder, 0
    parts: list[Any] = []
    total = 0
    for part in content:
        if not isinstance(part, dict):
            parts.append(part)
            continue
        kind = part.get("type")
        name, tokens = media.get(kind, ("", 0)) if isinstance(kind, str) else ("", 0)
        source = part.get(name)
        if isinstance(source, dict) and source.get("type") in TEXT_SOURCES:
            inner, tokens = _set_parts_apart(source, media)
            parts.append(part | {name: inner})
        elif name:
            parts.append({key: inner for key, inner in part.items() if key != name})
        else:
            inner, tokens = _set_parts_apart(part, media)
            parts.append(inner)
        total += tokens
    return holder | {"content": parts}, total


def _count_images(holder: dict[str, Any], form: Format) -> int:
    """Return what the pictures beside a text are taken for."""
    if form.images is None:
        return 0
    name, tokens = form.images
    images = holder.get(name)
    return tokens * len(images) if isinstance(images, list) else 0


def _look(document: dict[str, Any], name: str) -> Any:
    """Return a member, or with a dot a member's member; None where there is none."""
    above, _, last = name.rpartition(".")
    holder = document.get(above) if above else document
    return holder.get(last) if isinstance(holder, dict) else None


def _put(document: dict[str, Any], name: str, value: Any) -> None:
    """Write a member; a member's member into a copy of what holds it."""
    above, _, last = name.rpartition(".")
    if above:
        document[above] = (document.get(above) or {}) | {last: value}
    else:
        document[last] = value


def _pointer(name: str) -> str:
    return "/" + name.replace(".", "/")


def _follow(document: Any, path: tuple[str, ...]) -> Any:
    found = document
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _count_prompts(prompts: Any) -> int:
    """Count prompts: a list of texts, or of lists of token ids, is many; a list of token ids is one."""
    if isinstance(prompts, list) and any(type(prompt) is not int for prompt in prompts):
        return len(prompts)
    return 1


def _is_whole(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _is_count(value: Any) -> bool:
    """Say whether this may be believed as a count, or is none."""
    return value is None or (type(value) is int and 0 <= value <= OUTPUT_MAX)


def _wrong(pointer: str, rule: str) -> Finding:
    return Finding(rule, pointer, reason=Reason.INVALID_REQUEST, public=True)
