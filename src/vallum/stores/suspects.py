"""Who was suspected of copying a model, when and why, and whom operators have pardoned: two tables beside the keys.

Nothing is ever deleted.  Several processes see the same change: it is written once.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, func, insert, select, update

from vallum.core.extraction import Change, Grade, Pardon
from vallum.stores.registry.database import open_database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

FOUND_MAX = 10_000
NAME_CHARS, EVIDENCE_CHARS = 320, 1000

metadata = MetaData()
grades = Table(
    "extraction_grades",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String(64), nullable=False),
    Column("account", String(NAME_CHARS), nullable=False, index=True),
    Column("cluster", String(64), nullable=False),
    Column("before", Integer, nullable=False),
    Column("after", Integer, nullable=False),
    Column("at", Float, nullable=False),  # Unix seconds, as all times here
    Column("evidence", String(EVIDENCE_CHARS), nullable=False),
)
pardons = Table(
    "extraction_pardons",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("whom", String(NAME_CHARS), nullable=False, index=True),
    Column("until", Float, nullable=False, index=True),
    Column("by", String(255), nullable=False),
    Column("because", String(1000), nullable=False),
    Column("at", Float, nullable=False),
    Column("lifted_at", Float),
    Column("lifted_by", String(255)),
)


class SqlSuspects:
    """Suspects and pardons in an SQL database.  `exchange` is for a running gateway; the rest blocks."""

    def __init__(self, url: str) -> None:
        """Open the database at `url` and make the tables where they are missing.  Raise DependencyError."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vallum-suspects")
        self._database = open_database(url)
        with self._database.writing() as connection:
            self._database.lock_schema(connection)
            metadata.create_all(connection)

    async def exchange(self, changes: Sequence[tuple[str, Change]], now: float) -> list[Pardon]:
        """Write changes down, each with its model, and return the pardons in force, off the event loop."""

        def act() -> list[Pardon]:
            if changes:
                self.write(changes)
            return self.in_force(now)

        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def write(self, changes: Sequence[tuple[str, Change]]) -> None:
        """Write changes down, but for those that another process was first to write.  Raise DependencyError."""
        with self._database.writing() as connection:
            self._database.lock_schema(connection)
            for model, change in changes:
                row = {
                    "model": model,
                    "account": change.account[:NAME_CHARS],
                    "cluster": change.cluster[:64],
                    "before": int(change.before),
                    "after": int(change.after),
                    "at": change.at,
                    "evidence": change.evidence[:EVIDENCE_CHARS],
                }
                if _last_grade(connection, row) != row["after"]:
                    connection.execute(insert(grades).values(row))

    def in_force(self, now: float) -> list[Pardon]:
        """Return the pardons in force at `now`, the newest for each.  Raise DependencyError."""
        query = (
            select(pardons)
            .where(pardons.c.until > now, pardons.c.lifted_at.is_(None))
            .order_by(pardons.c.id)
            .limit(FOUND_MAX)
        )
        with self._database.reading() as connection:
            found = [Pardon(row.whom, row.until, row.by, row.because) for row in connection.execute(query)]
        return list({pardon.whom: pardon for pardon in found}.values())

    def pardon(self, pardon: Pardon, now: float) -> None:
        """Pardon an account or a cluster.  A pardon of it before ends now.  Raise DependencyError."""
        with self._database.writing() as connection:
            _lift(connection, pardon.whom, pardon.by, now)
            connection.execute(insert(pardons).values({**pardon._asdict(), "at": now}))

    def lift(self, whom: str, by: str, now: float) -> bool:
        """End a pardon; say whether there was one.  Raise DependencyError."""
        with self._database.writing() as connection:
            return _lift(connection, whom, by, now)

    def suspects(self) -> list[dict[str, Any]]:
        """Return the last grade of every account that is not clear, gravest first.  Raise DependencyError."""
        newest = select(func.max(grades.c.id)).group_by(grades.c.model, grades.c.account)
        query = (
            select(grades)
            .where(grades.c.id.in_(newest), grades.c.after > int(Grade.CLEAR))
            .order_by(grades.c.after.desc(), grades.c.cluster, grades.c.id)
            .limit(FOUND_MAX)
        )
        return self._rows(query)

    def history(self, account: str | None = None) -> list[dict[str, Any]]:
        """Return every change there was, newest first, or those of one account or cluster.  Raise DependencyError."""
        query = select(grades).order_by(grades.c.id.desc()).limit(FOUND_MAX)
        if account is not None:
            query = query.where((grades.c.account == account) | (grades.c.cluster == account.partition("\x1f")[2]))
        return self._rows(query)

    def pardoned(self) -> list[dict[str, Any]]:
        """Return every pardon there ever was, newest first.  Raise DependencyError."""
        return self._rows(select(pardons).order_by(pardons.c.id.desc()).limit(FOUND_MAX))

    def close(self) -> None:
        """Let go of the database."""
        self._thread.shutdown(wait=True)
        self._database.close()

    def _rows(self, query: Any) -> list[dict[str, Any]]:
        with self._database.reading() as connection:
            return [row._asdict() for row in connection.execute(query)]


def _last_grade(connection: Connection, row: dict[str, Any]) -> int:
    query = (
        select(grades.c.after)
        .where(grades.c.model == row["model"], grades.c.account == row["account"])
        .order_by(grades.c.id.desc())
        .limit(1)
    )
    found: int | None = connection.execute(query).scalar()
    return int(Grade.CLEAR) if found is None else found


def _lift(connection: Connection, whom: str, by: str, now: float) -> bool:
    query = (
        update(pardons)
        .where(pardons.c.whom == whom, pardons.c.until > now, pardons.c.lifted_at.is_(None))
        .values(lifted_at=now, lifted_by=by)
    )
    return connection.execute(query).rowcount > 0
