"""What a node keeps of the registry in memory: good credentials and bad digests, apart.

Rule: what is known of strangers never takes the place of what is known of customers, however many strangers come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.principal import Credential

KEPT_S = 30.0  # what was read is read again after this, whatever else was heard
GOOD_MAX = 65_536
BAD_MAX = 16_384


class Known:
    """Credentials by digest, and digests that are nobody's; each for KEPT_S, the oldest making room."""

    def __init__(self) -> None:
        """Know nothing."""
        self._good: dict[bytes, tuple[Credential, float]] = {}
        self._bad: dict[bytes, float] = {}
        self.generation = 0  # counts what was forgotten, so that a look-up can tell that it was overtaken

    def good(self, digest: bytes, now: float) -> Credential | None:
        """Return the credential with this digest, if it is known."""
        held = self._good.get(digest)
        return held[0] if held is not None and held[1] > now else None

    def is_bad(self, digest: bytes, now: float) -> bool:
        """Say whether this digest is known to be nobody's."""
        return self._bad.get(digest, now) > now

    def keep(self, digest: bytes, credential: Credential | None, now: float) -> None:
        """Keep what the registry has said at `now`."""
        self._good.pop(digest, None)
        self._bad.pop(digest, None)
        if credential is None:
            if len(self._bad) >= BAD_MAX:
                self._bad.pop(next(iter(self._bad)))
            self._bad[digest] = now + KEPT_S
        else:
            if len(self._good) >= GOOD_MAX:
                self._good.pop(next(iter(self._good)))
            self._good[digest] = credential, now + KEPT_S

    def forget(self, digests: Iterable[bytes]) -> None:
        """Forget these."""
        self.generation += 1
        for digest in digests:
            self._good.pop(digest, None)
            self._bad.pop(digest, None)

    def forget_all(self) -> None:
        """Forget everything."""
        self.generation += 1
        self._good.clear()
        self._bad.clear()
