"""What values of a configuration may be: each check finds what is wrong with a value at its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

Faults = Iterator[str]
Check = Callable[[Any, str], Faults]  # of a value, at a place


def is_of(value: Any, at: str, *, kind: type, word: str) -> Faults:
    """Take values of one type; true and false are no numbers."""
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        yield f"{at}: expected {word}"


text = partial(is_of, kind=str, word="a string")
flag = partial(is_of, kind=bool, word="a boolean")


def integer(value: Any, at: str, *, least: int | None = None, most: int | None = None) -> Faults:
    """Take whole numbers within bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        yield f"{at}: expected an integer"
    elif (least is not None and value < least) or (most is not None and value > most):
        yield f"{at}: value should be between {least} and {most}"


def positive(value: Any, at: str) -> Faults:
    """Take numbers over zero."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield f"{at}: expected a number"
    elif value <= 0:
        yield f"{at}: value must be greater than 0"


def one_of(*choices: str) -> Check:
    """Take one of some strings."""

    def check(value: Any, at: str) -> Faults:
        if value not in choices:
            yield f"{at}: expected one of: {', '.join(choices)}"

    return check


def like(pattern: re.Pattern[str]) -> Check:
    """Take strings of one form."""

    def check(value: Any, at: str) -> Faults:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            yield f"{at}: {value!r} is not written as it should be"

    return check


def items(each: Check, least: int = 0) -> Check:
    """Take lists whose items are all good."""

    def check(value: Any, at: str) -> Faults:
        if not isinstance(value, list):
            yield f"{at}: expected a list"
            return
        if len(value) < least:
            yield f"{at}: length must be at least {least}"
        for index, item in enumerate(value):
            yield from each(item, f"{at}[{index}]")

    return check


class Record:
    """Takes mappings whose keys are known."""

    def __init__(self, required: tuple[str, ...] = (), /, **fields: Check) -> None:
        """Take the checks of the fields, and the names of those that must be there."""
        self.required = required
        self.fields = fields

    def __call__(self, value: Any, at: str) -> Faults:
        """Find what is wrong with a mapping."""
        if not isinstance(value, dict):
            yield f"{at}: expected a record"
            return
        for key in self.required:
            if value.get(key) is None:
                yield f"{at}.{key}: required field missing"
        for key, inner in value.items():
            check = self.fields.get(str(key))
            if check is None:
                yield f"{at}.{key}: unknown field"
            elif inner is not None:
                yield from check(inner, f"{at}.{key}")
