"""The habits of credentials, in this process's memory.

Each process learns for itself, and learns anew after a restart; until it has, it suspects nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.theft import Habits, Profile

if TYPE_CHECKING:
    from vallum.core.theft import Sighting, Suspicion

MAX_PROFILES = 20_000  # about 100 MB when every one is full; the one used longest ago makes way


class MemorySightings:
    """One small profile a credential, the last used last."""

    def __init__(self, habits: Habits = Habits(), max_profiles: int = MAX_PROFILES) -> None:  # noqa: B008  an immutable tuple
        """Judge by `habits`; hold at most `max_profiles`."""
        self.habits = habits
        self._max_profiles = max_profiles
        self._profiles: dict[str, Profile] = {}

    async def note(self, credential_id: str, sighting: Sighting) -> Suspicion:
        """Note one use and say how far it is from what is usual."""
        profile = self._profiles.pop(credential_id, None)
        if profile is None:
            profile = Profile(sighting.at)
            if len(self._profiles) >= self._max_profiles:
                del self._profiles[next(iter(self._profiles))]
        self._profiles[credential_id] = profile
        return profile.note(sighting, self.habits)
