"""What a credential brings into the core beside its scopes: routes it is for, what its own limits hang on, an alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vallum.core import record
from vallum.core.decision import INVALID_TOKEN, Challenge, Deny, Reason
from vallum.core.effects import TakeQuota
from vallum.core.principal import Principal
from vallum.core.quota import Per

if TYPE_CHECKING:
    from tests.conftest import Kit

TIMING = record.Timing(0.0, 0.0)


@pytest.mark.parametrize(("routes", "is_let_in"), [(None, True), ({"predict"}, True), ({"x"}, False), (set(), False)])
def test_a_key_is_let_in_where_it_is_for(kit: Kit, routes: set[str] | None, is_let_in: bool) -> None:
    who = Principal("alice", credential_id="key_1", routes=None if routes is None else frozenset(routes))
    x = kit.judge(kit.engine(kit.route(authenticators=(kit.Vouching(who),))), kit.request())
    if is_let_in:
        assert not isinstance(x.decision, Deny)
        return
    assert isinstance(x.decision, Deny)
    assert (x.decision.reason, x.decision.detail) == (Reason.INSUFFICIENT_SCOPE, "key_1 is not for this route")
    assert x.decision.headers == (("www-authenticate", 'Bearer error="insufficient_scope"'),)


def test_a_rotation_fills_the_same_bucket(kit: Kit) -> None:
    buckets = []
    for who in (Principal("a", credential_id="key_1"), Principal("a", credential_id="key_2", lineage="key_1")):
        quota = kit.quota(per=Per.KEY)
        engine = kit.engine(kit.route(authenticators=(kit.Vouching(who),), limits=(kit.limit(quota),)))
        x = engine.open(kit.request())
        kit.talk(engine.request_head(x))
        (effect,) = kit.talk(engine.request_body(x, b"{}"), kit.admitted(quota)).asked
        assert isinstance(effect, TakeQuota)
        buckets.append(effect.demands[0].key)
    assert buckets[0] == buckets[1]


def test_the_use_of_a_canary_stands_in_the_record(kit: Kit) -> None:
    challenge = Challenge(INVALID_TOKEN, "authenticate:keys", "key_1 is a canary", "key_1")
    x = kit.judge(kit.engine(kit.route(authenticators=(kit.Vouching(challenge),))), kit.request())
    assert x.canary == "key_1"
    assert record.compose(x, 401, TIMING, 0)["canary"] == "key_1"


def test_a_denial_of_an_authenticator_is_no_alarm(kit: Kit) -> None:
    denial = Deny(Reason.UNAVAILABLE, "authenticate", retry_after_s=1)
    x = kit.judge(kit.engine(kit.route(authenticators=(kit.Vouching(denial),))), kit.request())
    assert x.canary is None
    assert "canary" not in record.compose(x, 503, TIMING, 0)
