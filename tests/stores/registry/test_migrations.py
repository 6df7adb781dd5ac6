"""Databases of the past are brought up to date without loss; those of the future are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import inspect, text

from vallum.core.errors import DependencyError
from vallum.core.principal import Credential
from vallum.stores.registry import Keyring, migrations
from vallum.stores.registry.database import open_database
from vallum.stores.registry.schema import keys

if TYPE_CHECKING:
    from pathlib import Path

# As the first version made it, before migrations were counted.
FIRST = """
CREATE TABLE keys (
    id VARCHAR(32) NOT NULL, digest {blob} NOT NULL, subject VARCHAR(255) NOT NULL, tenant VARCHAR(255),
    scopes VARCHAR NOT NULL, allow_ip VARCHAR NOT NULL, created_at FLOAT NOT NULL, expires_at FLOAT, revoked_at FLOAT,
    PRIMARY KEY (id), UNIQUE (digest)
)
"""


def make_first(url: str) -> None:
    database = open_database(url)
    with database.writing() as connection:
        connection.execute(text(FIRST.format(blob=database.blob)))
        connection.execute(text("CREATE INDEX ix_keys_subject ON keys (subject)"))
        insert = text("INSERT INTO keys VALUES (:id, :digest, :subject, :tenant, :scopes, :ip, :at, :end, :revoked)")
        rows: list[dict[str, Any]] = [
            {"id": "key_1", "digest": b"\x00" * 32, "subject": "alice", "tenant": "t", "end": 99.5, "revoked": None},
            {"id": "key_2", "digest": b"\xff" * 32, "subject": "bob", "tenant": None, "end": None, "revoked": 7.25},
        ]
        for row in rows:
            connection.execute(insert, row | {"scopes": '["a", "b"]', "ip": '["::1"]', "at": 1.5})
    database.close()


OLD = [
    Credential("key_1", "alice", b"\x00" * 32, "t", frozenset({"a", "b"}), 1.5, 99.5, None, ("::1",)),
    Credential("key_2", "bob", b"\xff" * 32, None, frozenset({"a", "b"}), 1.5, None, 7.25, ("::1",)),
]


def test_a_database_of_the_first_version_loses_nothing(url: str) -> None:
    make_first(url)
    for _ in range(2):
        keyring = Keyring(url)
        assert keyring.list() == OLD
        keyring.close()
    keyring = Keyring(url)
    made = keyring.rotate("key_1", Credential("key_3", "", b"c" * 32, created_at=2.0), 10.0)
    assert made.lineage == "key_1"
    keyring.close()


def test_the_steps_lead_to_the_tables_that_the_code_expects(url: str) -> None:
    keyring = Keyring(url)
    with keyring._database.reading() as connection:
        found = {column["name"]: column["nullable"] for column in inspect(connection).get_columns("keys")}
        indexed = {tuple(index["column_names"]) for index in inspect(connection).get_indexes("keys")}
    keyring.close()
    assert found == {column.name: column.nullable for column in keys.columns}
    assert {("subject",), ("lineage",), ("change",), ("successor_of",)} <= indexed


def test_a_database_of_a_newer_version_is_refused_and_left_alone(url: str) -> None:
    keyring = Keyring(url)
    with keyring._database.writing() as connection:
        connection.execute(text("UPDATE registry_state SET value = 99 WHERE name = 'schema'"))
    keyring.close()
    with pytest.raises(DependencyError, match=r"newer Vallum .its version is 99, this one knows 2.: upgrade"):
        Keyring(url)


def test_a_step_that_fails_leaves_everything_as_it_was(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_first(url)
    broken = (migrations.STEPS[0], (*migrations.STEPS[1], "ALTER TABLE nowhere ADD COLUMN x FLOAT"))
    monkeypatch.setattr(migrations, "STEPS", broken)
    with pytest.raises(DependencyError, match="cannot be asked"):
        Keyring(url)
    monkeypatch.undo()
    keyring = Keyring(url)
    assert keyring.list() == OLD
    keyring.close()


PROCESS = """
import sys
from vallum.stores.registry import Keyring
sys.stdin.readline()
keyring = Keyring(sys.argv[1])
print(len(keyring.list()))
"""


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_processes_that_start_at_once_all_come_up(url: str, old: bool, tmp_path: Path) -> None:
    if old:
        make_first(url)
    command = [sys.executable, "-c", PROCESS, url]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:  # all are loaded and wait here
        assert process.stdin is not None
    said = []
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        said.append(process.communicate(timeout=40))
        assert process.returncode == 0, said
    assert [json.loads(text_out) for text_out, _ in said] == [len(OLD) if old else 0] * 4


def test_a_driver_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "vallum.stores.registry.postgresql", raising=False)
    with pytest.raises(DependencyError, match=r"vallum\[postgres\]"):
        Keyring("postgresql://user:hunter2@127.0.0.1/vallum")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://user:hunter2@127.0.0.1:1/vallum",
        "postgresql://user:hun/ter2@127.0.0.1:1/vallum",
        "postgresql://user:hunter2@127.0.0.1:hunter2/vallum",
        "postgresql://127.0.0.1:1/vallum?user=u&password=hunter2",
        "postgresql://127.0.0.1:1/vallum?hunter2=hunter2",
        "hunter2",
    ],
)
def test_no_error_shows_a_password(address: str) -> None:
    with pytest.raises(DependencyError) as caught:
        Keyring(address)
    assert "hunter2" not in str(caught.value)
    assert "ter2" not in str(caught.value)
