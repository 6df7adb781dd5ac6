"""The workers of one host, seen together: each answers on a Unix socket what it alone would answer operators.

Whichever worker an operator's request reaches asks all of them.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 2.0
SAMPLE = re.compile(rb"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")


def socket_path(folder: Path, index: int) -> Path:
    """Return where worker `index` answers."""
    return folder / f"worker-{index}.sock"


class Siblings:
    """All workers of one folder."""

    def __init__(self, folder: Path, count: int) -> None:
        """Expect `count` of them."""
        self._paths = [socket_path(folder, index) for index in range(count)]

    async def show_metrics(self) -> bytes:
        """Return every worker's metrics, each with the worker's number as a label; who does not answer is left out."""
        answers = await self._ask_all("/metrics")
        return merge([(index, body) for index, (status, body) in enumerate(answers) if status == 200])

    async def show_standings(self) -> bytes:
        """Return what one worker says of callers: all agree within a moment."""
        answers = await self._ask_all("/standings")
        return next((body for status, body in answers if status == 200), b"[]\n")

    async def check_ready(self) -> bool:
        """Say whether all are ready."""
        return all(status == 200 for status, _ in await self._ask_all("/readyz"))

    async def _ask_all(self, target: str) -> list[tuple[int, bytes]]:
        return await asyncio.gather(*(_ask(path, target) for path in self._paths))


async def _ask(path: Path, target: str) -> tuple[int, bytes]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                writer.write(f"GET {target} HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n".encode())
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            finally:
                writer.transport.abort()
        return int(head.split(b" ", 2)[1]), body
    except (OSError, TimeoutError, IndexError, ValueError):
        return 0, b""


def merge(expositions: list[tuple[int, bytes]]) -> bytes:
    """Put several workers' metrics into one text, family by family."""
    families: dict[bytes, list[bytes]] = {}  # a family's head -> its samples
    for index, text in expositions:
        head: list[bytes] = []
        samples: list[bytes] = []
        for line in text.splitlines():
            if line.startswith(b"#"):
                if samples or not head:
                    head, samples = [], []
                head.append(line)
                continue
            match = SAMPLE.match(line)
            if match is not None:
                if not samples:
                    samples = families.setdefault(b"\n".join(head), [])
                labels = b'worker="%d"' % index + (b"," + match[2] if match[2] else b"")
                samples.append(b"%b{%b} %b" % (match[1], labels, match[3]))
    return b"".join(b"\n".join((head, *samples)) + b"\n" for head, samples in families.items())
