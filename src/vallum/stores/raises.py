"""Limits that operators have raised for a subject, for a time: a table beside the keys, so that all nodes see it.

Nothing is ever deleted: who raised what, when, for how long and why stays readable.  A raise that was lowered again
says since when.  A new raise for a subject takes the place of the one before.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, create_engine, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from vallum.core.errors import DependencyError
from vallum.core.standing import Raise

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        path = url.removeprefix("sqlite:///")
        sqlite = path != url
        try:
            if sqlite:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # keys are in the same file
            self._engine = create_engine(
                url.replace("postgresql://", "postgresql+psycopg://", 1),
                connect_args={"timeout": 2.0, "check_same_thread": False} if sqlite else {},
                pool_pre_ping=True,
            )
            metadata.create_all(self._engine)
        except (SQLAlchemyError, OSError) as error:
            raise DependencyError(f"the raised limits cannot be opened: {type(error).__name__}") from error

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
        with self._connect() as connection:
            for row in connection.execute(query):
                raised = Raise(row.subject, row.factor, row.until, row.by, row.reason, row.at)
                found.setdefault(row.subject, raised)
        return list(found.values())

    def history(self, subject: str | None = None) -> list[dict[str, Any]]:
        """Return every raise there ever was, newest first, or those of one subject.  Raise DependencyError."""
        query = select(raises).order_by(raises.c.id.desc()).limit(FOUND_MAX)
        if subject is not None:
            query = query.where(raises.c.subject == subject)
        with self._connect() as connection:
            return [row._asdict() for row in connection.execute(query)]

    def add(self, raised: Raise) -> None:
        """Raise a subject's limits.  What was raised for it before ends now.  Raise DependencyError."""
        with self._connect() as connection:
            _lower(connection, raised.subject, raised.by, raised.at)
            connection.execute(insert(raises).values(raised._asdict()))

    def lower(self, subject: str, by: str, now: float) -> bool:
        """End what is raised for a subject; say whether there was anything.  Raise DependencyError."""
        with self._connect() as connection:
            return _lower(connection, subject, by, now)

    def close(self) -> None:
        """Let go of the database."""
        self._thread.shutdown(wait=True)
        self._engine.dispose()

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise DependencyError(f"the raised limits cannot be asked: {type(error).__name__}") from error


def _lower(connection: Connection, subject: str, by: str, now: float) -> bool:
    query = (
        update(raises)
        .where(raises.c.subject == subject, raises.c.until > now, raises.c.lowered_at.is_(None))
        .values(lowered_at=now, lowered_by=by)
    )
    return connection.execute(query).rowcount > 0
