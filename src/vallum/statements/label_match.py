"""Match requests by a label that an earlier rule put on them.

What it stops
    What two rules see together: labels carry what one saw to the next.
Config
    `key`: a label, whole; or a namespace, which ends in `:`, for all labels in it.
Cost
    Under 1 us.
Misses
    Labels come from rules of the same web ACL alone, with lower priorities: `vallum check` refuses a key that none of
    them puts.
Example
    statement: {label_match: {key: "odd:"}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vallum.core.web_acl import Hit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.exchange import Exchange


class LabelMatch:
    """The statement; pure."""

    type: ClassVar[str] = "label_match"

    def __init__(self, key: str) -> None:
        """Look for `key`."""
        self._key = key

    def match(self, x: Exchange) -> Hit | None:
        """Say whether the label is there."""
        return Hit(self.type, "", self._key) if is_labelled(self._key, x.labels) else None


def is_labelled(key: str, labels: Iterable[str]) -> bool:
    """Say whether `key` is one of some labels, or a namespace that one of them is in."""
    return any(label.startswith(key) if key.endswith(":") else label == key for label in labels)
