"""A small real language model that continues a chat: what the sample upstream says.

The model is a word trigram with absolute discounting: each seen count gives up a fixed part of itself, and the sum of
those parts goes to the shorter context, p(w | u, v) to p(w | v) and that to p(w).  Words of the prompt are made more
likely until they have been said, which is all the understanding there is.  An answer is three sentences.

`chat_format` writes what it says as servers of the OpenAI format do.
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
from math import log
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32, decompress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
            max_tokens=max_tokens_of(request),
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


def count_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    """Count the words and marks of all messages, as the usage does."""
    return sum(len(_PIECE.findall(_content(message))) for message in messages)


def max_tokens_of(request: Mapping[str, Any]) -> int:
    """Return how many tokens the answer to a request may have."""
    limit: int = request.get("max_completion_tokens") or request.get("max_tokens") or DEFAULT_TOKENS
    return limit


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
