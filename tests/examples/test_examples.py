"""Every policy in examples/ holds, as it stands and without an environment of its own."""

from hashlib import sha256
from pathlib import Path

import pytest

from vallum.config.compile import load_policy
from vallum.config.source import read_source

EXAMPLES = Path(__file__).parents[2] / "examples"
POLICIES = sorted(EXAMPLES.rglob("*.yaml"))


def test_there_are_examples() -> None:
    assert POLICIES


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_an_example_compiles(path: Path) -> None:
    config, policy = load_policy(read_source(path, {}))

    assert [route.name for route in policy.routes] == [route.name for route in config.routes]
    assert policy.digest


def test_the_contracts_fleet_is_unchanged() -> None:
    digest = sha256((EXAMPLES / "fleet.yaml").read_bytes()).hexdigest()
    assert digest == "b70639919ed35cfc90e40dd1fe8b40e424dbaec2b82ba1e6e62366f4451f0962"
