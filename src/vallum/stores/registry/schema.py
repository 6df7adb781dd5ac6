"""The registry's tables as they are now, and a credential as a row.  How they came to be is in migrations.py."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Column, Float, LargeBinary, MetaData, String, Table

from vallum.core.principal import Confirmation, Credential
from vallum.core.quota import OnStoreFailure, Per, Quota, Strategy

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

metadata = MetaData()

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("subject", String(255), nullable=False, index=True),
    Column("tenant", String(255)),
    Column("scopes", String, nullable=False),  # JSON
    Column("allow_ip", String, nullable=False),  # JSON
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("quarantined_at", Float),
    Column("last_used_at", Float),
    Column("successor_of", String(32), unique=True),  # of two rotations at once, one is made
    Column("lineage", String(32), nullable=False, index=True),
    Column("routes", String),  # JSON
    Column("quotas", String, nullable=False),  # JSON
    Column("bound_certificate", String(64)),
    Column("bound_key", String(64)),
    Column("canary", Boolean, nullable=False),
    Column("change", BigInteger, nullable=False, index=True),  # number of the change that touched this row last
)

# Two rows: `schema`, which of the migrations were made; `changes`, how often anything has changed.  The second is
# counted up in the transaction of each change, so that whoever has read N has everything up to N to read.
state = Table(
    "registry_state",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("value", BigInteger, nullable=False),
)


def write_row(credential: Credential) -> dict[str, Any]:
    """Return a credential as a row, but for its `change`."""
    bound = credential.confirmation or Confirmation()
    return {
        "id": credential.id,
        "digest": credential.digest,
        "subject": credential.subject,
        "tenant": credential.tenant,
        "scopes": json.dumps(sorted(credential.scopes)),
        "allow_ip": json.dumps(list(credential.allow_ip)),
        "created_at": credential.created_at,
        "expires_at": credential.expires_at,
        "revoked_at": credential.revoked_at,
        "quarantined_at": credential.quarantined_at,
        "successor_of": credential.successor_of,
        "lineage": credential.lineage or credential.id,
        "routes": None if credential.routes is None else json.dumps(sorted(credential.routes)),
        "quotas": json.dumps([asdict(quota) for quota in credential.quotas]),
        "bound_certificate": bound.certificate,
        "bound_key": bound.key,
        "canary": credential.canary,
    }


def read_row(row: RowMapping) -> Credential:
    """Return the credential that a row holds."""
    bound = Confirmation(row["bound_certificate"], row["bound_key"])
    return Credential(
        id=row["id"],
        subject=row["subject"],
        digest=row["digest"],
        tenant=row["tenant"],
        scopes=frozenset(json.loads(row["scopes"])),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        allow_ip=tuple(json.loads(row["allow_ip"])),
        successor_of=row["successor_of"],
        lineage=row["lineage"] if row["lineage"] != row["id"] else None,
        routes=None if row["routes"] is None else frozenset(json.loads(row["routes"])),
        quotas=tuple([_quota(entry) for entry in json.loads(row["quotas"])]),
        confirmation=bound if any(bound) else None,
        canary=row["canary"],
        quarantined_at=row["quarantined_at"],
        last_used_at=row["last_used_at"],
    )


def _quota(entry: dict[str, Any]) -> Quota:
    words: dict[str, Any] = {"per": Per, "strategy": Strategy, "on_store_failure": OnStoreFailure}
    members: dict[str, Any] = {name: words.get(name, _same)(value) for name, value in entry.items()}
    return Quota(**members)


def _same(value: Any) -> Any:
    return value
