"""Every policy in examples/ holds, as it stands; without an environment of its own, but for the names of TLS files."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vallum.config.compile import load_policy
from vallum.config.source import read_source

if TYPE_CHECKING:
    from tests.conftest import Authority

EXAMPLES = Path(__file__).parents[2] / "examples"
POLICIES = sorted(EXAMPLES.rglob("*.yaml"))


def test_there_are_examples() -> None:
    assert POLICIES


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_an_example_compiles(path: Path, tmp_path: Path, authority: Authority) -> None:
    cert, key = authority.issue("localhost").write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    files = {"CERT": cert, "KEY": key, "CLIENT_CA": tmp_path / "ca.pem"}
    config, policy = load_policy(read_source(path, {f"VALLUM_TLS_{name}": str(file) for name, file in files.items()}))

    written = [route.name for route in config.routes]
    assert [route.name for route in policy.routes if not route.name.startswith(".well-known/")] == written
    assert policy.digest


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("identity", "f556e57978f8bc40320de418a88ca51038786e1c6fbd4020e575e108e658b140"),
        ("fleet", "b70639919ed35cfc90e40dd1fe8b40e424dbaec2b82ba1e6e62366f4451f0962"),
    ],
)
def test_a_policy_that_users_were_promised_is_unchanged(name: str, digest: str) -> None:
    assert sha256((EXAMPLES / f"{name}.yaml").read_bytes()).hexdigest() == digest
