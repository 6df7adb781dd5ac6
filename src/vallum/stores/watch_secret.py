"""The secret that a fleet's watches are drawn from: a row in the registry's database, which all replicas share.

Made once, by whoever is first.  Who learns it knows which inputs look alike to the watch, and can write its state and
the challenges of its proofs of work.
"""

from __future__ import annotations

import os

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, insert, select

from vallum.stores.registry.database import open_database

SECRET_BYTES = 32

metadata = MetaData()
secrets = Table(
    "watch_secret",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # there is one row: 1
    Column("secret", LargeBinary(SECRET_BYTES), nullable=False),
)


def find_secret(url: str) -> bytes:
    """Return the secret in the database at `url`; make it where there is none.  Raise DependencyError."""
    database = open_database(url)
    try:
        with database.writing() as connection:
            database.lock_schema(connection)
            metadata.create_all(connection)
            found: bytes | None = connection.execute(select(secrets.c.secret)).scalar()
            if found is None:
                found = os.urandom(SECRET_BYTES)
                connection.execute(insert(secrets).values(id=1, secret=found))
        return found
    finally:
        database.close()
