"""A registry on each database: every test that takes `url` runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vallum.stores.registry import SqlRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/vallum.db"
    server: Any = request.getfixturevalue("postgres")
    made: str = server.make()
    return made


@pytest.fixture
def connect(url: str, clock: Clock) -> Iterator[Callable[[], SqlRegistry]]:
    """Return what opens one more node on the same database."""
    made: list[SqlRegistry] = []

    def go() -> SqlRegistry:
        made.append(SqlRegistry(url, clock))
        return made[-1]

    yield go
    for registry in made:
        registry.close()
