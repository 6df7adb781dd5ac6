"""What is found wrong with a policy file, and the few ways to find it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vallum.config.source import Place, Source

P = ParamSpec("P")
T = TypeVar("T")


class Faults:
    """Notes faults by their place in a source, so that all of them are told at once; reads files beside it."""

    def __init__(self, source: Source) -> None:
        """Note into `source.faults`."""
        self.source = source
        self._read: dict[str, bytes] = {}

    def note(self, place: Iterable[str | int], message: str, hint: str = "") -> None:
        """Note what is wrong at a place."""
        self.source.faults.append(self.source.fault(tuple(place), message, hint))

    def attempt(self, place: Place, build: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what `build` makes, or None after noting why it raised ValueError."""
        try:
            return build(*args, **kwargs)
        except ValueError as error:
            self.note(place, str(error))
            return None

    def find(self, known: Mapping[str, T], name: str, what: str, place: Place) -> T | None:
        """Return what is called `name`, or None after noting the nearest name there is."""
        if name in known:
            return known[name]
        close = get_close_matches(name, list(known), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}" if known else "there are none"
        self.note(place, f"no {what} is called {name!r}", hint)
        return None

    def read_file(self, name: str, place: Place) -> bytes | None:
        """Read a file beside the policy, which is part of its digest; None after noting that it cannot be read."""
        try:
            text = self._read[name] = self.source.resolve(name).read_bytes()
        except OSError as error:
            self.note(place, f"{name} cannot be read: {error.strerror}", "paths are relative to the policy file")
            return None
        return text

    @property
    def files_read(self) -> list[bytes]:
        """What was read, in the order of its names."""
        return [self._read[name] for name in sorted(self._read)]
