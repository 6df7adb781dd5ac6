"""The secret of a fleet's watches: one, whoever is first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from vallum.core.errors import DependencyError
from vallum.stores.watch_secret import SECRET_BYTES, find_secret

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Postgres


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_all_find_the_same_and_it_stays(kind: str, tmp_path: Path, postgres: Postgres) -> None:
    url = f"sqlite:///{tmp_path}/vallum.db" if kind == "sqlite" else postgres.make()
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(find_secret, [url] * 16))
    assert len(found) == 1
    assert found == {find_secret(url)}
    assert len(found.pop()) == SECRET_BYTES


def test_another_registry_has_another(tmp_path: Path) -> None:
    assert find_secret(f"sqlite:///{tmp_path}/a.db") != find_secret(f"sqlite:///{tmp_path}/b.db")


def test_a_database_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    with pytest.raises(DependencyError):
        find_secret(f"sqlite:///{tmp_path}/none/vallum.db")
