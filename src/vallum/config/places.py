"""Where a running gateway keeps what a policy names: its records, its counters, the files that it watches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.config.model import Config
    from vallum.config.source import Source

MEMORY, EMBEDDED = "memory://", "embedded://"
Stamp = tuple[tuple[int, int, int], ...]


def records_folder(config: Config) -> Path | None:
    """Return where records go: as configured, or beside the registry's file, else here; None for standard output."""
    if config.records.path == "-":
        return None
    if config.records.path is not None:
        return Path(config.records.path)
    if config.registry.startswith("sqlite:///"):
        return Path(config.registry.removeprefix("sqlite:///")).with_suffix(".records")
    return Path("vallum.records")


def watch_folder(config: Config) -> Path | None:
    """Return where watches keep what they know: beside the registry's file, else here; None: in the counters' store."""
    if counters_url(config) not in {MEMORY, EMBEDDED}:
        return None
    if config.registry.startswith("sqlite:///"):
        return Path(config.registry.removeprefix("sqlite:///")).with_suffix(".watch")
    return Path("vallum.watch")


def counters_url(config: Config) -> str:
    """Return where quotas are counted: as configured, or in memory, or for several workers in a store of our own."""
    return config.counters or (MEMORY if config.workers == 1 else EMBEDDED)


def stamp(source: Source) -> Stamp:
    """Return what changes when a policy's files do."""
    return stamp_files((source.path, *source.files))


def stamp_files(paths: Iterable[Path]) -> Stamp:
    """Return what changes when one of the files does."""
    stamps = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            stamps.append((0, 0, 0))
        else:
            stamps.append((stat.st_mtime_ns, stat.st_ino, stat.st_size))
    return tuple(stamps)
