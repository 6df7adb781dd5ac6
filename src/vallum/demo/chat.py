"""A small real language model that answers in the OpenAI chat format: the sample upstream's chat endpoint.

The model is a word trigram with absolute discounting: each seen count gives up a fixed part of itself, and the sum of
those parts goes to the shorter context, p(w | u, v) to p(w | v) and that to p(w).  Words of the prompt are made more
likely until they have been said, which is all the understanding there is.  An answer is three sentences.

Nothing here reads a clock or opens a socket: the time and the id of an answer are arguments.
`training/demo_models.py` makes the counts, and MODELS.md says from what.
"""

from __future__ import annotations

import json
import re
import sys
from array import array
from bisect import bisect_left
from heapq import nlargest
from importlib.resources import files
from itertools import accumulate
from math import inf, log
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32, decompress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MODEL = "vallum-demo-chat"
COUNTS = "chat.bin"
END = 0  # the word ".": it ends a sentence, and two of them stand before the first

SENTENCES = 3  # in an answer that max_tokens does not cut
SHORTEST_SENTENCE = 5  # words, where there is another way than to end
LONGEST_SENTENCE = 40  # words: a greedy walk may find no way out of a circle
DEFAULT_TOKENS = 256
COMMON = 100  # the commonest words: they have a chance everywhere
TOPICS = 8  # the last words of the prompt that the model knows
TOPIC_WEIGHT = 1000.0  # how much likelier a topic is until it is said

# Words that say nothing of what a prompt is about.
_ANYWHERE = frozenset(
    """
    a about am an and any are as at be been best better but by can could describe did do does explain for from get give
    good had has have hello help hi how i if in into is it its know like list make many me more most much my need no not
    of on one or our out please should show so some something tell than that the their them then there these they this
    to too use want was we were what when where which who why will with work would write you your
    """.split()
)

_PIECE = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[^\w\s]|_")


class Token(NamedTuple):
    """One piece of an answer, its natural log-probability, and the likeliest pieces at its place."""

    text: str
    logprob: float
    top: list[tuple[str, float]]


class Refusal(NamedTuple):
    """A status and a body in the OpenAI error format."""

    status: int
    body: dict[str, Any]


class Level:
    """The words seen after each context, with how often: context i owns places starts[i] to starts[i + 1]."""

    def __init__(self, discount: float, fans: array[int], words: array[int], counts: array[int]) -> None:
        """Take how many words follow each context, then those words, ascending for each context, and their counts."""
        self.starts = array("I", accumulate(fans, initial=0))
        self.words = words
        self.counts = counts
        self.discount = discount

    def find(self, context: int, word: int) -> int | None:
        """Return the place of `word` after `context`, which is the number of the longer context that ends in it."""
        first, stop = self.starts[context], self.starts[context + 1]
        place = bisect_left(self.words, word, first, stop)
        return place if place < stop and self.words[place] == word else None

    def after(self, context: int) -> array[int]:
        """Return the words seen after `context`."""
        return self.words[self.starts[context] : self.starts[context + 1]]

    def blend(self, context: int, lower: dict[int, float]) -> dict[int, float]:
        """Interpolate this level's discounted chances with those of the `lower` one."""
        first, stop = self.starts[context], self.starts[context + 1]
        counts = self.counts[first:stop]
        total = sum(counts)
        kept = self.discount * len(counts) / total
        chances = {word: kept * chance for word, chance in lower.items()}
        for word, count in zip(self.after(context), counts, strict=True):
            chances[word] = chances.get(word, 0.0) + (count - self.discount) / total
        return chances


class ChatModel:
    """Continues a conversation, a word at a time."""

    def __init__(self) -> None:
        """Load the packaged counts: compressed; a line of JSON, then arrays of little-endian numbers."""
        packed = files("vallum.demo").joinpath(COUNTS).read_bytes()
        header, _, body = decompress(packed).partition(b"\n")
        facts = json.loads(header)
        arrays = _read_arrays(facts["arrays"], body)
        self.fingerprint = f"fp_{crc32(packed):08x}"
        self.words: list[str] = facts["words"]  # the commonest first
        self._known = {_key(word): number for number, word in reversed(list(enumerate(self.words)))}
        self._counts = arrays[0]
        total = sum(arrays[0])
        self._chances = [count / total for count in arrays[0]]
        self._pairs = Level(facts["discounts"][0], *arrays[1:4])
        self._triples = Level(facts["discounts"][1], *arrays[4:7])

    def answer(self, request: Mapping[str, Any]) -> Iterator[Token]:
        """Answer a request that `refuse` let pass, with the settings it asks for."""
        temperature = request.get("temperature")
        return self.complete(
            request["messages"],
            max_tokens=_max_tokens(request),
            temperature=1.0 if temperature is None else temperature,
            seed=request.get("seed"),
            top_logprobs=request.get("top_logprobs") or 0,
        )

    def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | None,
        top_logprobs: int,
    ) -> Iterator[Token]:
        """Yield at most `max_tokens` tokens; the same arguments with a seed, or temperature 0, give the same tokens.

        Log-probabilities are those before `temperature` is applied.
        """
        random = Random(seed)
        topics = self.topics(_prompt(messages))
        said: set[tuple[int, int, int]] = set()
        before, last, spoken, sentences = END, END, 0, 0
        for number in range(max_tokens):
            chances = self._weigh(before, last, topics)
            ways = {way for way in self._ways(before, last, topics, spoken) if (before, last, way) not in said}
            word = _pick({way: chances[way] for way in ways or {END}}, temperature, random)
            top = [(self._text(w, last, number), _log(p)) for w, p in _likeliest(chances, top_logprobs)]
            yield Token(self._text(word, last, number), _log(chances[word]), top)
            said.add((before, last, word))
            topics.discard(word)
            before, last, spoken = last, word, spoken + 1
            if word == END:
                before, spoken, sentences = END, 0, sentences + 1
                if sentences == SENTENCES:
                    return

    def topics(self, prompt: str) -> set[int]:
        """Return the last words of `prompt` that the model knows, at most TOPICS, without those of any question."""
        found: set[int] = set()
        for piece in reversed(_PIECE.findall(prompt)):
            number = self._known.get(_key(piece), END)
            if number != END and piece.lower() not in _ANYWHERE:
                found.add(number)
            if len(found) == TOPICS:
                break
        return found

    def chance(self, word: int) -> float:
        """Return p(word), whatever stands before it."""
        return self._chances[word]

    def chances(self, before: int, last: int, also: Iterable[int] = ()) -> dict[int, float]:
        """Return p(word | before, last) for the words seen after `last`, the commonest words and those in `also`."""
        candidates = (*range(COMMON), *self._pairs.after(last), *also)
        chances = self._pairs.blend(last, {word: self._chances[word] for word in candidates})
        context = self._pairs.find(before, last)
        return chances if context is None else self._triples.blend(context, chances)

    def _weigh(self, before: int, last: int, topics: set[int]) -> dict[int, float]:
        """Raise the chances of the topics, and of what leads to them, and make all sum to 1."""
        chances = self.chances(before, last)
        for word in chances:
            if word in topics:
                chances[word] *= TOPIC_WEIGHT
            elif last == END:
                # A sentence opens with what can lead to a topic: "The" before "server".
                chances[word] *= 1.0 + TOPIC_WEIGHT * sum(self._share(word, topic) for topic in topics)
        total = sum(chances.values())
        return {word: chance / total for word, chance in chances.items()}

    def _ways(self, before: int, last: int, topics: set[int], spoken: int) -> set[int]:
        """Return the words seen in this context, and the topics seen after `last`; a sentence of a fit length.

        The answer goes only where the counts have been before: so small a model makes sense nowhere else.
        """
        if spoken == LONGEST_SENTENCE:
            return {END}
        follow = set(self._pairs.after(last))
        context = self._pairs.find(before, last)
        ways = follow if context is None else {*self._triples.after(context), *(topics & follow)}
        return ways if spoken >= SHORTEST_SENTENCE else ways - {END} or follow - {END}

    def _share(self, word: int, follower: int) -> float:
        """Return how much of what follows `word` is `follower`, 0 to 1."""
        place = self._pairs.find(word, follower)
        return 0.0 if place is None else self._pairs.counts[place] / self._counts[word]

    def _text(self, word: int, last: int, number: int) -> str:
        text = self.words[word]
        if last == END:
            text = text[0].upper() + text[1:]
        return text if number == 0 or not text[0].isalnum() else f" {text}"


def refuse(request: object) -> Refusal | None:
    """Check a request as servers of this format do: None if it can be answered, else status 400 and an error."""
    if not isinstance(request, dict):
        return _refusal("The body must be a JSON object.", None)
    for name in ("model", "messages"):
        if request.get(name) is None:
            return _refusal(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    for name, holds, expected in _RULES:
        value = request.get(name)
        if value is not None and not holds(value):
            return _refusal(f"Invalid '{name}': expected {expected}.", name, "invalid_value")
    if request.get("top_logprobs") and not request.get("logprobs"):
        return _refusal("'top_logprobs' needs 'logprobs' to be true.", "top_logprobs")
    return None


def completion(
    model: ChatModel, request: Mapping[str, Any], tokens: Sequence[Token], *, answer_id: str, created: int
) -> dict[str, Any]:
    """Shape a whole answer as a `chat.completion`; `created` is in seconds since the epoch."""
    message = {"role": "assistant", "content": "".join(token.text for token in tokens), "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": _logprobs(tokens) if request.get("logprobs") else None,
        "finish_reason": _finish_reason(request, len(tokens)),
    }
    head = _head(model, "chat.completion", answer_id, created)
    return head | {"choices": [choice], "usage": _usage(request, len(tokens))}


def chunks(
    model: ChatModel, request: Mapping[str, Any], tokens: Iterable[Token], *, answer_id: str, created: int
) -> Iterator[dict[str, Any]]:
    """Shape an answer as `chat.completion.chunk` objects, one a token as it comes.

    The role comes first, then the content, then the finish reason, then the usage if `stream_options` ask for it.
    """
    head = _head(model, "chat.completion.chunk", answer_id, created)
    counted = bool((request.get("stream_options") or {}).get("include_usage"))
    if counted:
        head["usage"] = None  # every chunk but the last says so

    def chunk(delta: dict[str, Any], token: Token | None = None, finish_reason: str | None = None) -> dict[str, Any]:
        logprobs = _logprobs([token]) if token and request.get("logprobs") else None
        return head | {"choices": [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}]}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    sent = 0
    for token in tokens:
        yield chunk({"content": token.text}, token)
        sent += 1
    yield chunk({}, finish_reason=_finish_reason(request, sent))
    if counted:
        yield head | {"choices": [], "usage": _usage(request, sent)}


def count_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    """Count the words and marks of all messages, as the usage does."""
    return sum(len(_PIECE.findall(_content(message))) for message in messages)


def _head(model: ChatModel, kind: str, answer_id: str, created: int) -> dict[str, Any]:
    return {
        "id": answer_id,
        "object": kind,
        "created": created,
        "model": MODEL,
        "system_fingerprint": model.fingerprint,
        "service_tier": "default",
    }


def _usage(request: Mapping[str, Any], completion_tokens: int) -> dict[str, int]:
    prompt_tokens = count_tokens(request["messages"])
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _finish_reason(request: Mapping[str, Any], completion_tokens: int) -> str:
    return "length" if completion_tokens == _max_tokens(request) else "stop"


def _max_tokens(request: Mapping[str, Any]) -> int:
    limit: int = request.get("max_completion_tokens") or request.get("max_tokens") or DEFAULT_TOKENS
    return limit


def _logprobs(tokens: Iterable[Token]) -> dict[str, Any]:
    content = [
        _logprob(token.text, token.logprob) | {"top_logprobs": [_logprob(*other) for other in token.top]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _logprob(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _refusal(message: str, param: str | None, code: str | None = None) -> Refusal:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Refusal(400, {"error": error})


def _is_whole(value: object, low: int, high: float = inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_message(message: object) -> bool:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return False
    content: object = message.get("content")
    if content is None:
        return "tool_calls" in message  # the model's own, which only called tools
    return isinstance(content, str) or (isinstance(content, list) and all(map(_is_text, content)))


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


_ROLES = ("assistant", "developer", "system", "tool", "user")

_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("model", lambda value: isinstance(value, str), "a string"),
    (
        "messages",
        lambda value: isinstance(value, list) and value != [] and all(map(_is_message, value)),
        "an array, not empty, of messages with a role and text",
    ),
    ("max_tokens", lambda value: _is_whole(value, 1), "an integer of at least 1"),
    ("max_completion_tokens", lambda value: _is_whole(value, 1), "an integer of at least 1"),
    ("temperature", lambda value: type(value) in (int, float) and 0 <= value <= 2, "a number from 0 to 2"),
    ("seed", lambda value: type(value) is int, "an integer"),
    ("n", lambda value: _is_whole(value, 1, 1), "1, the only number of choices offered"),
    ("logprobs", lambda value: isinstance(value, bool), "a boolean"),
    ("top_logprobs", lambda value: _is_whole(value, 0, 20), "an integer from 0 to 20"),
    ("stream", lambda value: isinstance(value, bool), "a boolean"),
    ("stream_options", lambda value: isinstance(value, dict), "an object"),
)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


def _prompt(messages: list[dict[str, Any]]) -> str:
    asked = (message for message in reversed(messages) if message["role"] == "user")
    return _content(next(asked, messages[-1]))


def _key(word: str) -> str:
    # One entry for "Server", "server" and "servers".
    return word.lower().removesuffix("s")


def _likeliest(chances: Mapping[int, float], number: int) -> list[tuple[int, float]]:
    return nlargest(number, chances.items(), key=lambda pair: (pair[1], -pair[0]))


def _log(chance: float) -> float:
    return min(0.0, log(chance))  # a sum may round to a little over 1


def _pick(chances: Mapping[int, float], temperature: float, random: Random) -> int:
    """Sample a word; temperature 0 takes the likeliest."""
    ranked = _likeliest(chances, len(chances))
    word, best = ranked[0]
    if temperature > 0 and len(ranked) > 1:
        weights = [(chance / best) ** (1 / temperature) for _, chance in ranked]
        word = random.choices([word for word, _ in ranked], weights)[0]
    return word


def _read_arrays(shapes: list[tuple[str, int]], body: bytes) -> list[array[int]]:
    """Cut `body` into arrays, each given by its type code and length."""
    arrays, at = [], 0
    for code, length in shapes:
        numbers: array[int] = array(code)
        end = at + length * numbers.itemsize
        numbers.frombytes(body[at:end])
        if sys.byteorder == "big":
            numbers.byteswap()
        arrays.append(numbers)
        at = end
    return arrays
