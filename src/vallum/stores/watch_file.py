"""What a watch knows, in a file: for where there is no store that keeps it.

Written whole, beside the old one, and then put in its place: a crash leaves the one or the other.  Readable for its
owner alone.  What does not open is set aside and not overwritten: somebody may want to know why.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from vallum.core.errors import DependencyError

if TYPE_CHECKING:
    from pathlib import Path

FILE_MAX_BYTES = 268_435_456


class WatchFile:
    """The file of one watch."""

    def __init__(self, path: Path) -> None:
        """Keep it at `path`."""
        self.path = path

    def load(self) -> bytes | None:
        """Return what was saved last, None if nothing was.  Raise DependencyError if it cannot be read."""
        try:
            with self.path.open("rb") as file:
                content = file.read(FILE_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DependencyError(f"{self.path} cannot be read: {error.strerror}") from error
        return content

    def save(self, content: bytes) -> None:
        """Put this in the place of what was saved before.  Raise DependencyError; the old one stays then."""
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(beside, "wb", opener=_open_private) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise DependencyError(f"{self.path} cannot be written: {error.strerror}") from error

    def set_aside(self) -> Path:
        """Move away what does not open, in the place of what was moved away before; return where it is."""
        aside = self.path.with_suffix(".refused")
        with suppress(OSError):
            self.path.replace(aside)
        return aside


def _open_private(path: str, flags: int) -> int:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  of a process of this number that died
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)
