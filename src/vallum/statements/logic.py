"""Match what all of some statements match, any of them, or what one does not.

What it stops
    What no single statement can tell: an injection from outside a network, a method on a path.
Config
    `and` and `or` take at least two statements, `not` takes one; nested up to 16 deep.
Cost
    That of the statements within; `and` ends at the first that does not match, `or` at the first that does.
Misses
    What the statements within miss.  `not` turns their caution round: under it a body over `inspect_bytes`, which
    counts as a match, is none.
Example
    statement: {and: [{byte_match: {field: method, search: DELETE}}, {not: {ip_set: {addresses: [10.0.0.0/8]}}}]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vallum.core.web_acl import Hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.core.exchange import Exchange
    from vallum.core.protocols import Statement


class And:
    """All of some statements, looked at in turn until one does not match."""

    type: ClassVar[str] = "and"

    def __init__(self, statements: Sequence[Statement]) -> None:
        """Take at least two."""
        self._statements = tuple(statements)

    def match(self, x: Exchange) -> Hit | None:
        """Return what each of them saw."""
        hits: list[str] = []
        for statement in self._statements:
            hit = statement.match(x)
            if hit is None:
                return None
            hits.append(str(hit))
        return Hit("and", "", " + ".join(hits))


class Or:
    """Any of some statements."""

    type: ClassVar[str] = "or"

    def __init__(self, statements: Sequence[Statement]) -> None:
        """Take at least two."""
        self._statements = tuple(statements)

    def match(self, x: Exchange) -> Hit | None:
        """Return what the first that matches saw."""
        for statement in self._statements:
            hit = statement.match(x)
            if hit is not None:
                return hit
        return None


class Not:
    """What a statement does not match."""

    type: ClassVar[str] = "not"

    def __init__(self, statement: Statement) -> None:
        """Turn it round."""
        self._statement = statement

    def match(self, x: Exchange) -> Hit | None:
        """Say that it did not match."""
        return Hit("not", "", self._statement.type) if self._statement.match(x) is None else None
