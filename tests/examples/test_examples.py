"""Every policy in examples/ holds, as it stands and without an environment of its own."""

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

    written = [route.name for route in config.routes]
    assert [route.name for route in policy.routes if not route.name.startswith(".well-known/")] == written
    assert policy.digest
