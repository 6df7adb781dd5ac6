"""Remove the named fields from an answer.

What it stops
    Log-probabilities, fingerprints and service tiers in answers whose other members an SDK needs, in streams too.
Config
    `response.drop_fields`: a plain name is removed wherever it stands; a dotted path (`choices.*.logprobs`) only there.
Cost
    One walk over the answer: about 1 us for a chat answer of 600 bytes.
Misses
    A field that nobody named: where you can, name what to keep (`response.fields`) instead.
Example
    response:
      drop_fields: [logprobs, system_fingerprint, service_tier]
"""

from __future__ import annotations

from typing import Any, ClassVar

from vallum.core.fieldpath import Path, parse_path, places


class DropFields:
    """The deny-list of an answer's members."""

    type: ClassVar[str] = "drop_fields"

    def __init__(self, names: list[str]) -> None:
        """Remove `names`, plain or dotted; raise ValueError on a path that is none."""
        self._anywhere = frozenset(name for name in names if "." not in name)
        self._paths: list[Path] = [parse_path(name) for name in names if "." in name]

    def apply(self, document: Any, removed: set[str]) -> Any:
        """Return `document` without the named members."""
        for path in self._paths:
            found = list(places(document, path))
            found.reverse()  # from the back, as items move up
            for container, key in found:
                del container[key]
                removed.add(".".join(path))
        if self._anywhere:
            self._prune(document, removed)
        return document

    def _prune(self, document: Any, removed: set[str]) -> None:
        waiting = [document]
        while waiting:
            item = waiting.pop()
            if isinstance(item, dict):
                for name in self._anywhere.intersection(item):
                    del item[name]
                    removed.add(name)
                waiting.extend(item.values())
            elif isinstance(item, list):
                waiting.extend(item)
