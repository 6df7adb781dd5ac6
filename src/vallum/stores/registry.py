"""The registry: credentials in an SQL database, known ones kept in memory.

Revocation by another process is seen with the next `refresh`; when the database cannot be asked for `STALE_S`, nothing
kept in memory is believed any more and the route's `on_error` decides.
"""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Float,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    create_engine,
    event,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from vallum.core.errors import DependencyError
from vallum.core.principal import Credential

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sqlalchemy import Engine

STALE_S = 5.0
KNOWN_MAX = 65_536

metadata = MetaData()
keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("subject", String(255), nullable=False, index=True),
    Column("tenant", String(255)),
    Column("scopes", String, nullable=False),
    Column("allow_ip", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
)


class SqlRegistry:
    """Credentials by id and by digest.  `find` is for the request path; the rest blocks and is for operators."""

    def __init__(self, url: str, clock: Callable[[], float] = monotonic) -> None:
        """Open, and create where needed, the database at `url`.  Raise DependencyError if that fails."""
        self._clock = clock
        self._known: dict[bytes, Credential | None] = {}
        self._digests: dict[str, bytes] = {}
        self._version: int | None = None
        self._fresh_at = clock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vallum-registry")
        self._engine = _open(url)
        self._watch = self._engine.connect()  # one connection for good: data_version is counted by connection

    async def find(self, digest: bytes) -> Credential | None:
        """Return the credential with this digest.  Raise DependencyError when the database cannot be asked."""
        if self._clock() - self._fresh_at > STALE_S:
            self._known.clear()
        try:
            return self._known[digest]
        except KeyError:
            pass
        credential: Credential | None = await self._ask(lambda: self._read(keys.c.digest == digest))
        if len(self._known) >= KNOWN_MAX:
            self._known.pop(next(iter(self._known)))
        self._known[digest] = credential
        return credential

    async def find_id(self, key_id: str) -> Credential | None:
        """Return the credential with this public id.  Raise DependencyError when the database cannot be asked."""
        digest = self._digests.get(key_id)
        if digest is None:
            credential: Credential | None = await self._ask(lambda: self._read(keys.c.id == key_id))
            if credential is None:
                return None
            digest = credential.digest
            if len(self._digests) >= KNOWN_MAX:
                self._digests.pop(next(iter(self._digests)))
            self._digests[key_id] = digest  # which never changes: what may change is looked up by it
        return await self.find(digest)

    async def refresh(self) -> None:
        """Forget what is kept in memory if another process has written.  Called twice a second by the gateway."""
        version = await self._ask(self._data_version)
        self._fresh_at = self._clock()
        if version != self._version:
            self._version = version
            self._known.clear()

    def add(self, credential: Credential) -> None:
        """Store a new credential; raise ValueError if its id or secret is taken."""
        row = {
            "id": credential.id,
            "digest": credential.digest,
            "subject": credential.subject,
            "tenant": credential.tenant,
            "scopes": json.dumps(sorted(credential.scopes)),
            "allow_ip": json.dumps(list(credential.allow_ip)),
            "created_at": credential.created_at,
            "expires_at": credential.expires_at,
            "revoked_at": credential.revoked_at,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(keys.insert().values(row))
        except IntegrityError as error:
            raise ValueError(f"a key with this id or secret exists: {credential.id}") from error
        self._known.clear()

    def get(self, key_id: str) -> Credential | None:
        """Return the credential with this public id."""
        return self._read(keys.c.id == key_id)

    def find_now(self, digest: bytes) -> Credential | None:
        """Return the credential with this digest, from the database itself."""
        return self._read(keys.c.digest == digest)

    def list(self, subject: str | None = None) -> list[Credential]:
        """Return all credentials, oldest first, or those of one subject."""
        query = select(keys).order_by(keys.c.created_at, keys.c.id)
        if subject is not None:
            query = query.where(keys.c.subject == subject)
        with self._engine.connect() as connection:
            return [_credential(row) for row in connection.execute(query)]

    def revoke(self, key_id: str, now: float) -> bool:
        """Revoke from `now` (Unix seconds) on; say whether there was such a key that was not yet revoked."""
        query = update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=now)
        with self._engine.begin() as connection:
            changed = connection.execute(query).rowcount
        self._known.clear()
        return changed == 1

    def is_empty(self) -> bool:
        """Say whether no key was ever made."""
        with self._engine.connect() as connection:
            return connection.execute(select(keys.c.id).limit(1)).first() is None

    def close(self) -> None:
        """Let go of the database."""
        self._thread.shutdown(wait=True)
        self._watch.close()
        self._engine.dispose()

    async def _ask(self, question: Callable[[], Any]) -> Any:
        # SQLite answers in microseconds, but may wait on a writer: never on the event loop.
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, question)
        except SQLAlchemyError as error:
            raise DependencyError(f"the registry cannot be asked: {type(error).__name__}") from error

    def _read(self, condition: Any) -> Credential | None:
        with self._engine.connect() as connection:
            row = connection.execute(select(keys).where(condition)).first()
        return None if row is None else _credential(row)

    def _data_version(self) -> int:
        # SQLite: changes whenever another connection has committed.
        version: int = self._watch.execute(text("PRAGMA data_version")).scalar_one()
        self._watch.rollback()
        return version


def _open(url: str) -> Engine:
    path = url.removeprefix("sqlite:///")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # digests are nobody else's business
    except OSError as error:
        raise DependencyError(f"the registry {path} cannot be opened: {error.strerror}") from error
    try:
        engine = create_engine(url, connect_args={"timeout": 2.0, "check_same_thread": False})
        event.listen(engine, "connect", _set_pragmas)
        metadata.create_all(engine)
    except SQLAlchemyError as error:
        reason = str(error).partition("\n")[0]
        raise DependencyError(f"the registry {url} cannot be opened: {reason}") from error
    return engine


def _set_pragmas(connection: Any, _: object) -> None:
    # WAL lets the gateway read while `vallum keys` writes.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _credential(row: Row[Any]) -> Credential:
    values = row._asdict()
    values["scopes"] = frozenset(json.loads(values["scopes"]))
    values["allow_ip"] = tuple(json.loads(values["allow_ip"]))
    return Credential(**values)
