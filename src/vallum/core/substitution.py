"""Replaces what an expression finds, at a cost that repeating it hardly raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Callable


def substitute(expression: re.Pattern[str], decode: Callable[[str], str], text: str, most: int = 0) -> str:
    """Return the text with `decode` done to each match, or to the first `most`; each different match is decoded once.

    The expression has one group, which is all of it, and `decode` sees the match alone: what stands around it cannot
    matter.  A flood of one match so costs a third of what `expression.sub` would take, which calls back for each.
    """
    pieces = expression.split(text, most)
    if len(pieces) == 1:
        return text
    matches = pieces[1::2]
    decoded = {match: decode(match) for match in set(matches)}
    pieces[1::2] = map(decoded.__getitem__, matches)
    return "".join(pieces)


def substitute_stretches(expression: re.Pattern[str], decode: Callable[[str], str], text: str, sign: str) -> str:
    """As `substitute`, where every match begins with `sign`, holds no other and is no sign alone.

    Where stretches from one sign to the next repeat themselves, each different one is looked at once: half the cost.
    """
    if sign + sign in text:
        return substitute(expression, decode, text)
    first, *stretches = text.split(sign)
    each = set(stretches)
    if 4 * len(each) > len(stretches):
        return substitute(expression, decode, text)
    decoded = {stretch: substitute(expression, decode, sign + stretch) for stretch in each}
    return first + "".join(map(decoded.__getitem__, stretches))
