"""Keep only the named fields of an answer.

What it stops
    Logits, probabilities of all classes, model versions, timings, hidden reasoning: whatever a model server adds to
    an answer and a thief lives on (Tramer et al. 2016; Carlini et al. 2024).  A field that a later version of the
    model server adds is dropped too, because it was never named.
Config
    `response.fields`: names of the members to keep, at the top of the answer, or of each item where the answer is a
    list.
Cost
    One dictionary an answer, and the JSON read and written again: about 5 us for 600 bytes.
Misses
    What is inside a field that is kept.  Answers that are not JSON are refused rather than passed.
Example
    response:
      fields: [prediction, confidence]
"""

from __future__ import annotations

from typing import Any, ClassVar


class Fields:
    """The allow-list of an answer's members."""

    type: ClassVar[str] = "fields"

    def __init__(self, names: list[str]) -> None:
        """Keep the members called `names`, in the order of the answer."""
        self._names = frozenset(names)

    def apply(self, document: Any, removed: set[str]) -> Any:
        """Return `document` with the named members only; what is neither object nor list becomes null."""
        if isinstance(document, list):
            return [self.apply(item, removed) for item in document]
        if not isinstance(document, dict):
            removed.add("answer")
            return None
        removed.update(name for name in document if name not in self._names)
        return {name: value for name, value in document.items() if name in self._names}
