"""The database under the registry: SQLite or PostgreSQL, and all that is different between the two.

| | SQLite | PostgreSQL |
|---|---|---|
| a write begins with | the lock of the file, at once | row locks |
| migrations wait for each other by | the same lock | an advisory lock |
| other nodes learn of a change by | looking | a message, and looking |
| an answer takes at most | 2 s of waiting for a writer | 2 s, or the connection is dropped |
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from vallum.core.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

ANSWER_S = 2.0  # how long the database may take for an answer
CONNECTIONS = 4
CHANNEL = "vallum_registry"
SCHEMA_LOCK = 0x76616C6C756D  # "vallum": any number, as long as it is always the same


class Database:
    """An open database.  `name` can be shown: it has no password in it."""

    def __init__(self, engine: Engine, name: str) -> None:
        """Take an engine whose connections are set up."""
        self.name = name
        self.url = engine.url
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        self._is_sqlite = engine.dialect.name == "sqlite"
        self.blob = "BLOB" if self._is_sqlite else "BYTEA"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection for one look.  Raise DependencyError when the database cannot answer."""
        with self._guarded(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Lend a connection for one transaction.  Raise DependencyError when the database cannot answer."""
        with self._guarded(), self._writer.begin() as connection:
            yield connection

    def lock_schema(self, connection: Connection) -> None:
        """Hold off other migrations until the transaction ends; SQLite's begins with that lock."""
        if not self._is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": SCHEMA_LOCK})

    def announce(self, connection: Connection) -> None:
        """Tell other nodes, once the transaction is committed, that there is something to look at."""
        if not self._is_sqlite:
            connection.execute(text(f"NOTIFY {CHANNEL}"))

    @property
    def bus(self) -> str | None:
        """Where announcements can be heard, for libpq; None where there are none."""
        return None if self._is_sqlite else _libpq(self.url)

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        # One place in which the database's own errors, which quote values and parameters, become one of ours.
        try:
            yield
        except SQLAlchemyError as error:
            name = type(getattr(error, "orig", None) or error).__name__
            raise DependencyError(f"the registry {self.name} cannot be asked: {name}") from error


def open_database(url: str) -> Database:
    """Open `sqlite:///path` or `postgresql://...`.  Raise DependencyError if that fails."""
    try:
        parsed = make_url(url)
        name = describe(parsed)
        engine = _open_sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _open_postgresql(parsed)
        with engine.connect():
            return Database(engine, name)
    except (ArgumentError, ValueError) as malformed:
        # Without its words: they quote what stands in the password's place.
        raise DependencyError("the registry's address is malformed; see: vallum check") from malformed
    except ModuleNotFoundError as absent:
        raise DependencyError(
            "a registry on PostgreSQL takes an extra of Vallum: pip install 'vallum[postgres]'"
        ) from absent
    except OSError as closed:
        raise DependencyError(f"the registry {name} cannot be opened: {closed.strerror}") from closed
    except SQLAlchemyError as error:
        raise DependencyError(f"the registry {name} cannot be opened: {_reason(parsed, error)}") from error


def describe(url: URL) -> str:
    """Say where a database is, without user, password and options."""
    if url.get_backend_name() == "sqlite":
        return url.database or ":memory:"
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{url.host or ''}{port}/{url.database or ''}"


def _reason(url: URL, error: SQLAlchemyError) -> str:
    if url.get_backend_name() != "sqlite" and not isinstance(error, OperationalError):
        return "its address is malformed"  # libpq quotes what it does not understand: perhaps a piece of the password
    words = str(getattr(error, "orig", None) or error).partition("\n")[0]
    for secret in filter(None, (url.password, url.query.get("password"))):
        words = words.replace(str(secret), "***")
    return words


# --- SQLite -----------------------------------------------------------------------------------------------------------


def _open_sqlite(url: URL) -> Engine:
    path = url.database or ""
    # Only where there is none yet: to close any descriptor of a file gives up all locks that this process has on it
    # (POSIX), and SQLite's with them; another process would then take away the log that we still read.
    if not Path(path).exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # digests are nobody else's business
    engine = create_engine(url, connect_args={"timeout": ANSWER_S, "check_same_thread": False})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin by itself, and late; `_begin_sqlite` does
    _set_journal(connection)
    connection.execute("PRAGMA synchronous=NORMAL")


def _set_journal(connection: Any) -> None:
    # WAL lets the gateway read while `vallum keys` writes.  The mode stays with the file; while another process changes
    # it, SQLite does not wait but fails.
    until = time.monotonic() + ANSWER_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except connection.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that first reads and then writes must hold the lock from its start, or SQLite refuses the write.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def _open_postgresql(url: URL) -> Engine:
    import vallum.stores.registry.postgresql as driver  # noqa: PLC0415  an extra that a registry on SQLite does not need

    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        creator=lambda: driver.connect(_libpq(url)),
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=ANSWER_S,
        pool_pre_ping=True,  # after an outage the first request must not pay for the connections that died
    )


def _libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
