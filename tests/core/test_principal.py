"""Credentials: whether one holds at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vallum.core.principal import Credential

KEY = Credential("key_1", "alice", b"digest")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, None),
        ({"revoked_at": 100.0}, "revoked"),
        ({"revoked_at": 101.0}, None),
        ({"quarantined_at": 100.0}, "quarantined"),
        ({"quarantined_at": 101.0}, None),
        ({"expires_at": 100.0}, "expired"),
        ({"expires_at": 101.0}, None),
        ({"revoked_at": 1.0, "quarantined_at": 1.0, "expires_at": 1.0}, "revoked"),
    ],
    ids=str,
)
def test_a_credential_holds_until_the_moment_that_ends_it(facts: dict[str, Any], reason: str | None) -> None:
    assert replace(KEY, **facts).refusal(100.0) == reason
