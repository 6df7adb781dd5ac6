"""Generators of honest traffic of three kinds, and a mutator that knows no schema: only what was sent before."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

Path = tuple[str | int, ...]
WORDS = "model weather price train river paper green simple number answer question summer".split()


def tabular(r: Random) -> Any:
    """Rows of numbers, as a classifier of customers is asked."""

    def row() -> list[float]:
        return [round(r.gauss(40, 12), 2), round(r.expovariate(1 / 2000), 2), r.randint(0, 12), r.random()]

    body: dict[str, Any] = {
        "model": r.choice(["churn-1", "churn-2"]),
        "instances": [row() for _ in range(r.randint(1, 16))],
    }
    if r.random() < 0.3:
        body["threshold"] = round(r.random(), 3)
    if r.random() < 0.2:
        body["explain"] = r.random() < 0.5
    return body


def chat(r: Random) -> Any:
    """Messages, of texts and of parts."""

    def text() -> str:
        return " ".join(r.choices(WORDS, k=r.randint(1, 120)))

    messages = [{"role": "system", "content": text()}] if r.random() < 0.5 else []
    for _ in range(r.randint(1, 6)):
        content: Any = text()
        if r.random() < 0.2:
            content = [{"type": "text", "text": text()}, {"type": "image", "url": f"https://img.example/{r.random()}"}]
        messages.append({"role": r.choice(["user", "assistant"]), "content": content})
    body: dict[str, Any] = {"model": r.choice(["small", "large"]), "messages": messages, "stream": r.random() < 0.5}
    if r.random() < 0.7:
        body["temperature"] = round(r.uniform(0, 1.5), 2)
    if r.random() < 0.5:
        body["max_tokens"] = r.choice([16, 256, 1024, 4096])
    return body


def nested(r: Random) -> Any:
    """An order: objects in objects, a map of made-up names, a member that may be null."""

    def line() -> dict[str, Any]:
        price = {"amount": round(r.uniform(0.5, 900), 2), "currency": r.choice(["EUR", "USD", "GBP"])}
        return {"sku": f"{r.choice('ABC')}-{r.randint(1000, 9999)}", "count": r.randint(1, 40), "price": price}

    return {
        "id": f"{r.getrandbits(64):016x}",
        "customer": {"name": " ".join(r.choices(WORDS, k=2)), "age": r.choice([None, r.randint(18, 95)])},
        "lines": [line() for _ in range(r.randint(1, 10))],
        "labels": {f"k{r.randint(0, 10**6)}": r.choice(WORDS) for _ in range(r.randint(0, 5))},
        "express": r.random() < 0.1,
    }


KINDS: dict[str, Callable[[Random], Any]] = {"tabular": tabular, "chat": chat, "nested": nested}


def walk(item: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value with its path."""
    yield path, item
    pairs = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    for name, value in pairs:
        yield from walk(value, (*path, name))


def folded(path: Path) -> Path:
    """Return a path with every index alike."""
    return tuple("*" if isinstance(step, int) else step for step in path)


class Mutator:
    """Makes one request worse, in one of seven ways, after what all requests had in common."""

    def __init__(self, honest: list[Any]) -> None:
        self._most: dict[Path, float] = defaultdict(float)
        self._longest: dict[Path, int] = defaultdict(int)
        self._words: dict[Path, set[str]] = defaultdict(set)
        self._there: dict[Path, int] = defaultdict(int)
        self._types: dict[Path, set[type]] = defaultdict(set)
        for document in honest:
            for path, value in walk(document):
                at = folded(path)
                self._there[at] += 1
                self._types[at].add(type(value))
                if isinstance(value, (int, float)):
                    self._most[at] = max(self._most[at], abs(value))
                elif isinstance(value, (str, list)):
                    self._longest[at] = max(self._longest[at], len(value))
                if isinstance(value, str):
                    self._words[at].add(value)

    def mutate(self, document: Any, r: Random) -> tuple[str, Any]:
        """Return the way and the worse request."""
        while True:
            way = r.choice(
                ["type", "unknown member", "out of range", "missing member", "long text", "wrong word", "long list"]
            )
            worse = copy.deepcopy(document)
            path, value = r.choice(list(walk(worse)))
            at = folded(path)
            if at in self._there and self._apply(way, worse, path, value, at, r):
                return way, worse

    def _apply(  # noqa: C901  one line a way
        self, way: str, worse: Any, path: Path, value: Any, at: Path, r: Random
    ) -> bool:
        if way == "unknown member" and isinstance(value, dict) and at[-1:] != ("labels",):
            value[r.choice(["debug", "__proto__", "admin", "extra", "return_logits"])] = r.choice([1, "x", True, None])
            return True
        if way == "missing member" and isinstance(value, dict) and value and at[-1:] != ("labels",):
            always = [name for name in value if self._there[(*at, name)] == self._there[at]]
            if not always:
                return False
            del value[r.choice(always)]
            return True
        if not path:
            return False
        if way == "type":
            others = [1, "text", True, None, [], {}, 1.5]
            new = r.choice([other for other in others if type(other) not in self._types[at]])
            if float in self._types[at] and type(new) is int:
                return False
        elif way == "out of range" and type(value) in (int, float):
            new = type(value)(max(self._most[at], 1) * 10 * r.choice([1, 1, -1]))
        elif way == "long text" and isinstance(value, str):
            new = "long " * (self._longest[at] * 2 + 20)
        elif way == "long list" and isinstance(value, list) and value:
            new = value * (10 * self._longest[at] // len(value) + 1)
        elif way == "wrong word" and isinstance(value, str) and len(self._words[at]) <= 8:
            new = r.choice(["admin", "root", value + "x", value[::-1] + "0", ""])
        else:
            return False
        self._at(worse, path[:-1])[path[-1]] = new
        return True

    def _at(self, item: Any, path: Path) -> Any:
        for step in path:
            item = item[step]
        return item
