"""What can be done with credentials.  Everything here blocks and asks the database itself: it is for operators.

Each change is one transaction that also counts `changes` up and announces itself, so that other nodes forget what they
have kept of the rows it touched.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from vallum.core.errors import DependencyError, VallumError
from vallum.stores.registry.database import open_database
from vallum.stores.registry.migrations import migrate
from vallum.stores.registry.schema import keys, read_row, state, write_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from vallum.core.principal import Credential


class RotationError(VallumError):
    """A key cannot be rotated: it no longer holds, or another has taken its place."""


class Selection(NamedTuple):
    """Some keys: those that match everything that is given."""

    subject: str | None = None
    tenant: str | None = None
    created_before: float | None = None  # Unix seconds

    def condition(self) -> ColumnElement[bool]:
        """Return this as SQL."""
        parts: list[ColumnElement[bool]] = []
        if self.subject is not None:
            parts.append(keys.c.subject == self.subject)
        if self.tenant is not None:
            parts.append(keys.c.tenant == self.tenant)
        if self.created_before is not None:
            parts.append(keys.c.created_at < self.created_before)
        return and_(true(), *parts)


class Keyring:
    """Credentials in a database.  Every method raises DependencyError when the database cannot answer."""

    def __init__(self, url: str) -> None:
        """Open the database at `url`, and create or migrate its tables."""
        self._database = open_database(url)
        try:
            migrate(self._database)
        except DependencyError:
            self._database.close()
            raise

    # --- looking

    def get(self, key_id: str) -> Credential | None:
        """Return the credential with this public id."""
        return self._read(keys.c.id == key_id)

    def find_now(self, digest: bytes) -> Credential | None:
        """Return the credential with this digest."""
        return self._read(keys.c.digest == digest)

    def find_successor(self, key_id: str) -> Credential | None:
        """Return the credential that has taken this one's place."""
        return self._read(keys.c.successor_of == key_id)

    def list(self, subject: str | None = None, tenant: str | None = None) -> list[Credential]:
        """Return all credentials, oldest first, or those of one subject or tenant."""
        query = select(keys).where(Selection(subject, tenant).condition()).order_by(keys.c.created_at, keys.c.id)
        with self._database.reading() as connection:
            return [read_row(row) for row in connection.execute(query).mappings()]

    def is_empty(self) -> bool:
        """Say whether no key was ever made."""
        with self._database.reading() as connection:
            return connection.execute(select(keys.c.id).limit(1)).first() is None

    # --- changing

    def add(self, credential: Credential) -> None:
        """Store a new credential; raise ValueError if its id or secret is taken."""
        with self._changing() as (connection, change):
            _insert(connection, credential, change)

    def rotate(self, key_id: str, successor: Credential, grace_s: float) -> Credential:
        """Put `successor` in the place of a key, in one transaction; return it as it was stored.

        The successor brings its id, digest and times, and inherits everything else.  After `grace_s` seconds it is the
        only key of its line that holds: with 0, all that came before it end at once.  Raise RotationError for a key
        that does not hold or was rotated before: of two rotations at the same time, one is made.
        """
        now = successor.created_at
        with self._changing() as (connection, change):
            row = connection.execute(select(keys).where(keys.c.id == key_id).with_for_update()).mappings().first()
            if row is None:
                raise RotationError(f"no key has the id {key_id}")
            old = read_row(row)
            _hold_rotatable(connection, old, now)
            made = replace(
                old,
                id=successor.id,
                digest=successor.digest,
                created_at=now,
                expires_at=successor.expires_at,
                successor_of=old.id,
                lineage=old.lineage or old.id,
                last_used_at=None,
            )
            _insert(connection, made, change)
            end = now + grace_s
            before = [keys.c.lineage == made.lineage, keys.c.id != made.id, keys.c.revoked_at.is_(None)]
            outlives = or_(keys.c.expires_at.is_(None), keys.c.expires_at > end)
            connection.execute(update(keys).where(*before, outlives).values(expires_at=end, change=change))
            return made

    def revoke(self, key_id: str, now: float) -> bool:
        """Revoke from `now` (Unix seconds) on; say whether there was such a key that was not yet revoked."""
        return self._set(keys.c.id == key_id, revoked_at=now) == 1

    def count(self, selection: Selection) -> int:
        """Return how many of these keys are not yet revoked."""
        query = select(func.count()).select_from(keys).where(selection.condition(), keys.c.revoked_at.is_(None))
        with self._database.reading() as connection:
            found: int = connection.execute(query).scalar_one()
            return found

    def revoke_all(self, selection: Selection, now: float) -> int:
        """Revoke all of these keys, and return how many were."""
        return self._set(selection.condition(), revoked_at=now)

    def release(self, key_id: str) -> bool:
        """End a key's quarantine; say whether it was in one."""
        return self._set(and_(keys.c.id == key_id, keys.c.quarantined_at.isnot(None)), quarantined_at=None) == 1

    def withdraw_now(self, digests: Sequence[bytes], now: float, quarantine: bool) -> dict[bytes, str]:
        """Revoke or quarantine the credentials with these digests; return the public ids of those that are known."""
        query = select(keys.c.digest, keys.c.id).where(keys.c.digest.in_(digests))
        with self._database.reading() as connection:
            known: dict[bytes, str] = {row.digest: row.id for row in connection.execute(query)}
        if known:  # what is nobody's key costs no write
            column = "quarantined_at" if quarantine else "revoked_at"
            self._set(and_(keys.c.digest.in_(list(known)), keys.c[column].is_(None)), **{column: now})
        return known

    def note_uses(self, used: Mapping[str, float]) -> None:
        """Write down when keys, by id, were last used.  No change in the sense of above: nobody need look."""
        # In one order, so that two nodes do not wait for each other's rows.
        rows = [{"used_id": key_id, "at": at} for key_id, at in sorted(used.items())]
        later = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at < bindparam("at"))
        query = update(keys).where(keys.c.id == bindparam("used_id"), later).values(last_used_at=bindparam("at"))
        with self._database.writing() as connection:
            connection.execute(query, rows)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    # --- inside

    @contextmanager
    def _changing(self) -> Iterator[tuple[Connection, int]]:
        # Counting up first makes changes wait for each other: their numbers are in the order of their commits.
        count = update(state).where(state.c.name == "changes").values(value=state.c.value + 1).returning(state.c.value)
        with self._database.writing() as connection:
            yield connection, connection.execute(count).scalar_one()
            self._database.announce(connection)
        self._forget_all()

    def _forget_all(self) -> None:
        """Forget what is kept of credentials, as this process has changed some; a keyring keeps nothing."""

    def _set(self, condition: ColumnElement[bool], **values: Any) -> int:
        if values.get("revoked_at") is not None:
            condition = and_(condition, keys.c.revoked_at.is_(None))
        with self._changing() as (connection, change):
            changed: int = connection.execute(update(keys).where(condition).values(change=change, **values)).rowcount
            return changed

    def _read(self, condition: ColumnElement[bool]) -> Credential | None:
        with self._database.reading() as connection:
            row = connection.execute(select(keys).where(condition)).mappings().first()
        return None if row is None else read_row(row)


def _insert(connection: Connection, credential: Credential, change: int) -> None:
    try:
        connection.execute(keys.insert().values(change=change, **write_row(credential)))
    except IntegrityError as error:
        raise ValueError(f"a key with this id or secret exists: {credential.id}") from error


def _hold_rotatable(connection: Connection, old: Credential, now: float) -> None:
    successor: str | None = connection.execute(select(keys.c.id).where(keys.c.successor_of == old.id)).scalar()
    if successor is not None:
        raise RotationError(f"{old.id} was rotated before: rotate {successor}, which took its place")
    if old.canary:
        raise RotationError(f"{old.id} is a canary: make another one")
    fault = old.refusal(now)
    if fault is not None:
        raise RotationError(f"{old.id} is {fault}: make a new key")
