"""Anybody is let in, as nobody but an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vallum.authenticators.anonymous import Anonymous, AnonymousConfig
from vallum.core.principal import Principal

if TYPE_CHECKING:
    from tests.conftest import Kit


@pytest.mark.parametrize(
    ("client", "subject"),
    [
        ("192.0.2.1", "ip:192.0.2.1"),
        ("::ffff:192.0.2.1", "ip:192.0.2.1"),
        ("2001:db8::1", "ip:2001:db8::/64"),
        ("2001:db8::2", "ip:2001:db8::/64"),
        ("", "ip:"),
    ],
)
def test_a_caller_is_its_address(kit: Kit, client: str, subject: str) -> None:
    talk = kit.talk(Anonymous("open", AnonymousConfig()).authenticate(kit.request(client=client)))
    assert talk.asked == []
    assert talk.outcome == Principal(subject, authenticator="open")


def test_it_grants_no_scope(kit: Kit) -> None:
    outcome = kit.talk(Anonymous("open", AnonymousConfig()).authenticate(kit.request())).outcome
    assert outcome is not None
    assert outcome.scopes == frozenset()
    assert outcome.tenant is None
