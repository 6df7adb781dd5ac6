"""Limits that operators have raised for a subject, for a time: a table beside the keys, so that all nodes see it.

Nothing is ever deleted: who raised what, when, for how long and why stays readable.  A raise that was lowered again
says since when.  A new raise for a subject takes the place of the one before.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, insert, select, update

from vallum.core.standing import Raise
from vallum.stores.registry.database import open_database

if TYPE_CHECKING:
    from sqlalchemy import Connection

FOUND_MAX = 10_000  # raises that a gateway keeps in memory

metadata = MetaData()
raises = Table(
    "raises",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("subject", String(255), nullable=False, index=True),
    Column("factor", Float, nullable=False),
    Column("until", Float, nullable=False, index=True),  # Unix seconds, as all times here
    Column("by", String(255), nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("at", Float, nullable=False),
    Column("lowered_at", Float),
    Column("lowered_by", String(255)),
)


class SqlRaises:
    """Raised limits in an SQL database.  `find` is for a running gateway; the rest blocks and is for operators."""

    def __init__(self, url: str) -> None:
        """Open the database at `url` and make the table where it is missing.  Raise DependencyError if that fails."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vallum-raises")
        self._database = open_database(url)
        with self._database.writing() as connection:
            self._database.lock_schema(connection)
            metadata.create_all(connection)

    async def find(self, now: float) -> list[Raise]:
        """Return what is raised at `now`, without holding up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.in_force, now)

    def in_force(self, now: float) -> list[Raise]:
        """Return what is raised at `now`, the newest for each subject.  Raise DependencyError."""
        query = (
            select(raises)
            .where(raises.c.until > now, raises.c.lowered_at.is_(None))
            .order_by(raises.c.id.desc())
            .limit(FOUND_MAX)
        )
        found: dict[str, Raise] = {}
        with self._database.reading() as connection:
            for row in connection.execute(query):
                raised = Raise(row.subject, row.factor, row.until, row.by, row.reason, row.at)
                found.setdefault(row.subject, raised)
        return list(found.values())

    def history(self, subject: str | None = None) -> list[dict[str, Any]]:
        """Return every raise there ever was, newest first, or those of one subject.  Raise DependencyError."""
        query = select(raises).order_by(raises.c.id.desc()).limit(FOUND_MAX)
        if subject is not None:
            query = query.where(raises.c.subject == subject)
        with self._database.reading() as connection:
            return [row._asdict() for row in connection.execute(query)]

    def add(self, raised: Raise) -> None:
        """Raise a subject's limits.  What was raised for it before ends now.  Raise DependencyError."""
        with self._database.writing() as connection:
            _lower(connection, raised.subject, raised.by, raised.at)
            connection.execute(insert(raises).values(raised._asdict()))

    def lower(self, subject: str, by: str, now: float) -> bool:
        """End what is raised for a subject; say whether there was anything.  Raise DependencyError."""
        with self._database.writing() as connection:
            return _lower(connection, subject, by, now)

    def close(self) -> None:
        """Let go of the database."""
        self._thread.shutdown(wait=True)
        self._database.close()


def _lower(connection: Connection, subject: str, by: str, now: float) -> bool:
    query = (
        update(raises)
        .where(raises.c.subject == subject, raises.c.until > now, raises.c.lowered_at.is_(None))
        .values(lowered_at=now, lowered_by=by)
    )
    return connection.execute(query).rowcount > 0
