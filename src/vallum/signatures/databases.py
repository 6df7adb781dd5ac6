"""Compiled sets of expressions: each compiled once a process, and kept in a folder for the next one.

Hyperscan takes seconds to compile hundreds of expressions and a fraction of a millisecond to load what it compiled.  The
folder is `$VALLUM_CACHE`; without one, every process compiles.  What is loaded is trusted as code is, so neither a folder
nor a file that others own, or may write to, is used.  The digest in a file is against damage, not against them.

Several processes, and machines, may share a folder: a set's name tells the version and the kind of processor, a file is
there whole or not at all, and Hyperscan refuses what was compiled for more than its processor has.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile

import hyperscan

MOST_DATABASES = 64
"""Sets that are kept though no policy may hold them any more, so that a reload compiles nothing again."""

DIGEST_BYTES = 32

MADE_BY = version("hyperscan"), platform.machine()


@lru_cache(MOST_DATABASES)
def compile_database(expressions: tuple[bytes, ...], flags: tuple[int, ...]) -> hyperscan.Database:
    """Return a database whose hits are numbers of `expressions`; raise hyperscan.error on one that cannot be had.

    It may be scanned from several threads, by a scratch for each.
    """
    kept = _find_kept(expressions, flags)
    if kept is None:
        return _compile(expressions, flags)
    with suppress(OSError, hyperscan.error):  # not there, or of another processor or version
        file = _read(kept)
        data = file[DIGEST_BYTES:]
        if file[:DIGEST_BYTES] == sha256(data).digest():  # Hyperscan does not see every damage, and would find less
            return hyperscan.loadb(data, mode=hyperscan.HS_MODE_BLOCK)
    database = _compile(expressions, flags)
    with suppress(OSError, hyperscan.error):
        data = hyperscan.dumpb(database)
        _keep(kept, sha256(data).digest() + data)
    return database


def _compile(expressions: tuple[bytes, ...], flags: tuple[int, ...]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    numbers = list(range(len(expressions)))
    database.compile(expressions=list(expressions), ids=numbers, elements=len(expressions), flags=list(flags))
    return database


def _find_kept(expressions: tuple[bytes, ...], flags: tuple[int, ...]) -> Path | None:
    """Say where the database is kept, or would be."""
    folder = os.environ.get("VALLUM_CACHE")
    if not folder:
        return None
    try:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(Path(folder).stat()):
            return None
    except OSError:
        return None
    which = expressions, flags, MADE_BY
    return Path(folder, f"{sha256(repr(which).encode()).hexdigest()}.hyperscan")


def _read(path: Path) -> bytes:
    """Return what a file of ours holds; raise OSError.  It is looked at when it is open: nobody can exchange it then."""
    with path.open("rb") as file:
        if not _is_ours(os.fstat(file.fileno())):
            raise PermissionError(path)
        return file.read()


def _is_ours(held: os.stat_result) -> bool:
    return held.st_uid == os.geteuid() and not held.st_mode & 0o022


def _keep(path: Path, data: bytes) -> None:
    """Write all of it or nothing: other processes may read or write the same."""
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(data)
            file.flush()
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
