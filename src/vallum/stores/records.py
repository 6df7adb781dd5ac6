"""Records of exchanges, as JSON lines in files of a bounded number and size, and the look-up by request id.

Each process writes one file at a time; a new one begins when it is full, or when another process has deleted it as one
of the oldest past the bound.
Files are named by their first instant, lines are in order of ending, so a look-up reads few of them.
Where there is an age at which records are deleted, no file is written for longer than a tenth of it, and at most a day:
a record goes with the last one of its file.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from itertools import chain
from math import inf
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from vallum.core.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILE_MAX_BYTES = 16 * 1024 * 1024
FILES_MAX = 16
HELD_MAX = 10_000
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DAY_S = 86_400.0
OLD_EVERY_S = 60.0  # how often files are looked at for their age


class Records:
    """Writes records in batches.  What cannot be written is counted in `lost`, and never stops an exchange."""

    def __init__(
        self,
        folder: Path | None,
        max_bytes: int = FILE_MAX_BYTES,
        max_files: int = FILES_MAX,
        keep_s: float | None = None,
        now: Callable[[], float] = float,  # 0: nothing has an age
    ) -> None:
        """Write into `folder`, or to standard output if None; delete what is older than `keep_s` by `now`."""
        self._keep_s = keep_s
        self._now = now
        self._looked = self._opened = 0.0
        self._searching = asyncio.Lock()
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
        """Write what was taken, and delete what is too old."""
        self._forget()
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

    async def find(self, request_id: str) -> dict[str, Any] | None:
        """Return the record of one request: of those that are held, or on disk.  One search at a time."""
        if self._folder is None:
            raise DependencyError("records go to standard output")
        async with self._searching:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(None, _search, list(self._held), self._folder, request_id)

    def _forget(self) -> None:
        """Delete the files whose last record is too old, and begin a new one in time."""
        if self._keep_s is None or self._folder is None or self._now() - self._looked < OLD_EVERY_S:
            return
        now = self._looked = self._now()
        if now - self._opened > min(DAY_S, self._keep_s / 10):
            self._size = self._max_bytes  # the next record begins a new file
        for path in self._folder.glob("*.jsonl"):
            try:
                if now - path.stat().st_mtime > self._keep_s:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process was faster

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
            self._opened = self._now()
            for old in sorted(self._folder.glob("*.jsonl"))[: -self._max_files]:
                old.unlink(missing_ok=True)
        return self._file


def find_record(folder: Path, request_id: str) -> dict[str, Any] | None:
    """Return the record of one request, or None.  Newest files are read first."""
    found = (_find_in(data, request_id) for data in _contents(folder))
    return next((record for record in found if record is not None), None)


def _find_in(data: bytes, request_id: str) -> dict[str, Any] | None:
    """Look for a record in lines: not at each, which would take ten times as long."""
    needle = f'"request_id":"{request_id}"'.encode("utf-8", "replace")
    at = data.find(needle)
    while at >= 0:
        start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
        end = len(data) if end < 0 else end
        at = data.find(needle, end)
        try:
            record: dict[str, Any] = json.loads(data[start:end])
        except ValueError:
            continue  # a line that a crash or a full disk has torn
        if record["request_id"] == request_id:
            return record
    return None


def _search(held: list[bytes], folder: Path, request_id: str) -> dict[str, Any] | None:
    """Look through all that could hold the record of a request, found or not: the time does not tell."""
    began = int(request_id.replace("-", "")[:12], 16) / 1000 if ID.fullmatch(request_id) else inf
    written = _contents(folder, began - DAY_S / 24)  # clocks of files and requests may differ
    found = [record for data in chain((b"\n".join(held),), written) if (record := _find_in(data, request_id))]
    return found[0] if found else None


def _contents(folder: Path, since: float = 0.0) -> Iterator[bytes]:
    """Yield the files that were written at `since` (Unix seconds) or later, newest first."""
    for path in sorted(folder.glob("*.jsonl"), reverse=True):
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mtime >= since:
                yield file.read()
