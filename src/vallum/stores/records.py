"""Records of exchanges, as JSON lines in files of a bounded number and size, and the look-up by request id.

Each process writes one file at a time; a new one begins when it is full, or when another process has deleted it as one
of the oldest past the bound.
Files are named by their first instant, lines are in order of ending, so a look-up reads few of them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_MAX_BYTES = 16 * 1024 * 1024
FILES_MAX = 16
HELD_MAX = 10_000


class Records:
    """Writes records in batches.  What cannot be written is counted in `lost`, and never stops an exchange."""

    def __init__(self, folder: Path | None, max_bytes: int = FILE_MAX_BYTES, max_files: int = FILES_MAX) -> None:
        """Write into `folder`, or to standard output if None."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._held: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._size = 0
        self._encoder = msgspec.json.Encoder()
        self.lost = 0

    def add(self, record: dict[str, Any]) -> None:
        """Hold one record until it is taken."""
        if len(self._held) >= HELD_MAX:
            self.lost += 1
            return
        self._held.append(self._encoder.encode(record))

    def take(self) -> list[bytes]:
        """Hand over what is held, to be written by another thread; call where `add` is called."""
        lines, self._held = self._held, []
        return lines

    def write(self, lines: list[bytes]) -> None:
        """Write what was taken."""
        if not lines:
            return
        try:
            file = self._open(lines[0])
            data = b"\n".join(lines) + b"\n"
            file.write(data)
            file.flush()
            self._size += len(data)
        except OSError:
            self.lost += len(lines)
            self._size = self._max_bytes  # what was written may be torn: begin a new file

    def close(self) -> None:
        """Write what is held and let go of the file."""
        self.write(self.take())
        if self._file is not None and self._folder is not None:
            self._file.close()
            self._file = None

    def _open(self, first: bytes) -> IO[bytes]:
        if self._folder is None:
            return sys.stdout.buffer
        if self._file is None or self._size >= self._max_bytes or not os.fstat(self._file.fileno()).st_nlink:
            if self._file is not None:
                self._file.close()
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = f"{json.loads(first)['request_id']}-{os.getpid()}.jsonl"
            self._file = os.fdopen(os.open(self._folder / name, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab")
            self._size = 0
            for old in sorted(self._folder.glob("*.jsonl"))[: -self._max_files]:
                old.unlink(missing_ok=True)
        return self._file


def find_record(folder: Path, request_id: str) -> dict[str, Any] | None:
    """Return the record of one request, or None.  Newest files are read first."""
    needle = f'"request_id":"{request_id}"'.encode()
    for line in _lines(folder):
        if needle in line:
            try:
                record: dict[str, Any] = json.loads(line)
            except ValueError:
                continue  # a line that a crash or a full disk has torn
            if record["request_id"] == request_id:
                return record
    return None


def _lines(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.glob("*.jsonl"), reverse=True):
        with path.open("rb") as file:
            yield from file
