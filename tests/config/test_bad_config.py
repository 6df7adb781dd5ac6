"""Bad policy files: each is met with exactly the errors beside it, by line and column, and nothing else happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from vallum.config.compile import load_policy
from vallum.config.source import PolicyFileError, read_source

FOLDER = Path(__file__).parents[1] / "bad_config"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_exactly_these_errors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    with pytest.raises(PolicyFileError) as caught:
        load_policy(read_source(Path(f"{name}.yaml"), {}))
    expected = (FOLDER / f"{name}.txt").read_text().splitlines()
    assert [str(fault) for fault in caught.value.faults] == expected
    assert str(caught.value).splitlines() == [f"{name}.yaml:{line}" for line in expected]


def test_every_file_has_its_errors_beside_it() -> None:
    assert len(NAMES) >= 15
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == NAMES
