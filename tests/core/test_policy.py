"""Policies: the first route that names a method and a path; credentials and their times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vallum.core.policy import Policy
from vallum.core.principal import Credential
from vallum.core.target import Pattern

if TYPE_CHECKING:
    from tests.conftest import Kit


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/models/a", "one-model"),
        ("GET", "/models/private", "everything"),  # excluded from the first, taken by a later one
        ("POST", "/models/a", None),
        ("GET", "/models", "everything"),
        ("GET", "/admin", None),
        ("GET", "/admin/keys", None),
        ("get", "/models", None),
        ("DELETE", "/chat", "everything"),
        ("POST", "/chat", "chat"),
    ],
)
def test_the_first_route_that_names_a_request_takes_it(kit: Kit, method: str, path: str, name: str | None) -> None:
    routes = (
        kit.route(
            "/models/*",
            name="one-model",
            methods=frozenset({"GET"}),
            exclude=(Pattern.parse("/none"), Pattern.parse("/models/private")),
        ),
        kit.route("/chat", name="chat", methods=frozenset({"POST"})),
        kit.route(
            "/**",
            name="everything",
            methods=frozenset({"GET", "DELETE"}),
            exclude=(Pattern.parse("/admin/**"),),
        ),
    )
    found = Policy(routes, {}).find_route(method, path)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "fault"),
    [
        (None, None, None),
        (101.0, None, None),
        (100.0, None, "expired"),
        (99.0, None, "expired"),
        (None, 101.0, None),
        (None, 100.0, "revoked"),
        (None, 99.0, "revoked"),
        (50.0, 50.0, "revoked"),
    ],
)
def test_a_credential_holds_until_it_does_not(
    expires_at: float | None, revoked_at: float | None, fault: str | None
) -> None:
    credential = Credential("key_1", "alice", b"", expires_at=expires_at, revoked_at=revoked_at)
    assert credential.refusal(100.0) == fault
