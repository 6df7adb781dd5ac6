"""How the registry's tables came to be: numbered steps, forward only, made under a lock when a registry is opened.

A list of SQL and not Alembic: the history is a straight line of statements that both databases understand, it must run
from an installed wheel when a gateway starts, and nobody ever steps back.  What Alembic adds (branches, generated
scripts, templates) would be one more dependency in front of the keys.

A step that has been released is never changed; a new one is added below it, and `keys` in schema.py follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, inspect, select, text, update

from vallum.core.errors import DependencyError
from vallum.stores.registry.schema import state

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vallum.stores.registry.database import Database

# {blob} is what the database calls a string of bytes.
STEPS: tuple[tuple[str, ...], ...] = (
    (  # 1: keys with scopes and addresses.  A database from before the count of steps has this table already.
        """
        CREATE TABLE IF NOT EXISTS keys (
            id VARCHAR(32) NOT NULL PRIMARY KEY,
            digest {blob} NOT NULL UNIQUE,
            subject VARCHAR(255) NOT NULL,
            tenant VARCHAR(255),
            scopes VARCHAR NOT NULL,
            allow_ip VARCHAR NOT NULL,
            created_at FLOAT NOT NULL,
            expires_at FLOAT,
            revoked_at FLOAT
        )
        """,
        "CREATE INDEX IF NOT EXISTS ix_keys_subject ON keys (subject)",
    ),
    (  # 2: rotation, quarantine, canaries, bound keys, quotas and routes of a key, and the count of changes
        "ALTER TABLE keys ADD COLUMN quarantined_at FLOAT",
        "ALTER TABLE keys ADD COLUMN last_used_at FLOAT",
        "ALTER TABLE keys ADD COLUMN successor_of VARCHAR(32)",
        "ALTER TABLE keys ADD COLUMN lineage VARCHAR(32) NOT NULL DEFAULT ''",
        "ALTER TABLE keys ADD COLUMN routes VARCHAR",
        "ALTER TABLE keys ADD COLUMN quotas VARCHAR NOT NULL DEFAULT '[]'",
        "ALTER TABLE keys ADD COLUMN bound_certificate VARCHAR(64)",
        "ALTER TABLE keys ADD COLUMN bound_key VARCHAR(64)",
        "ALTER TABLE keys ADD COLUMN canary BOOLEAN NOT NULL DEFAULT FALSE",
        "ALTER TABLE keys ADD COLUMN change BIGINT NOT NULL DEFAULT 0",
        "UPDATE keys SET lineage = id",
        "CREATE UNIQUE INDEX ux_keys_successor_of ON keys (successor_of)",
        "CREATE INDEX ix_keys_lineage ON keys (lineage)",
        "CREATE INDEX ix_keys_change ON keys (change)",
        "INSERT INTO registry_state (name, value) VALUES ('changes', 0)",
    ),
)


def migrate(database: Database) -> None:
    """Bring the tables up to date.  Raise DependencyError if a newer Vallum has made them."""
    with database.reading() as connection:
        if _version(connection) == len(STEPS):
            return
    with database.writing() as connection:
        database.lock_schema(connection)  # of two processes that start at once, the second finds the work done
        version = _version(connection)
        if version > len(STEPS):
            raise DependencyError(
                f"the registry {database.name} was made by a newer Vallum (its version is {version}, this one knows "
                f"{len(STEPS)}): upgrade this one"
            )
        if version == 0:
            state.create(connection, checkfirst=True)
            connection.execute(insert(state).values(name="schema", value=0))
        for step in STEPS[version:]:
            for statement in step:
                connection.execute(text(statement.format(blob=database.blob)))
        connection.execute(update(state).where(state.c.name == "schema").values(value=len(STEPS)))


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(state.name):
        return 0
    version: int | None = connection.execute(select(state.c.value).where(state.c.name == "schema")).scalar()
    return version or 0
