"""What is done about signs of theft: record, tighten, ask for more; and never from one sign."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vallum.core import standing as standings
from vallum.core.decision import Allow, Challenge
from vallum.core.effects import NoteSighting
from vallum.core.engine import line_up
from vallum.core.exchange import Certificate
from vallum.core.policy import Mode, Throttle, Vigilance
from vallum.core.principal import Confirmation, Principal
from vallum.core.record import Timing, compose
from vallum.core.standing import GOOD, Event, factor, observe
from vallum.core.theft import Sighting, Suspicion
from vallum.core.watch import watch

if TYPE_CHECKING:
    from tests.conftest import Dialogue, Kit

    from vallum.core.decision import Decision
    from vallum.core.exchange import Exchange

ENFORCED = Vigilance(Mode.ENFORCE)
SIGNS = ("new_network", "new_agent", "new_scope", "two_networks")
WHO = Principal("alice", None, frozenset({"read"}), "key_1", "keys")


def judge(
    kit: Kit,
    suspicion: Suspicion | None,
    vigilance: Vigilance = ENFORCED,
    who: Principal = WHO,
    mode: Mode = Mode.ENFORCE,
) -> tuple[Exchange, Dialogue[Decision]]:
    route = kit.route(authenticators=(kit.Vouching(who),), vigilance=vigilance, scopes=frozenset({"read"}), mode=mode)
    engine = kit.engine(route)
    headers = [("content-type", "application/json"), ("user-agent", "curl/8")]
    x = engine.open(kit.request(headers=headers)._replace(certificate=Certificate("thumb")))
    return x, kit.talk(engine.request_head(x), *([] if suspicion is None else [suspicion]))


def test_it_stands_after_authorise_and_only_where_it_is_wanted(kit: Kit) -> None:
    route = kit.route(vigilance=Vigilance())
    assert [(stage.name, stage.mode) for stage in line_up(route).head][:4] == [
        ("authenticate", Mode.ENFORCE),
        ("confirm", Mode.ENFORCE),
        ("authorise", Mode.ENFORCE),
        ("habits", Mode.SHADOW),
    ]
    assert "habits" not in [stage.name for stage in line_up(kit.route()).head]
    x = kit.engine().open(kit.request())
    assert kit.talk(watch(x, kit.route())).outcome is None


def test_what_is_noted_of_a_use(kit: Kit) -> None:
    _, talk = judge(kit, Suspicion())
    seen = Sighting(1_700_000_000.0, "192.0.2.0/24", "curl", frozenset({"read"}))
    assert talk.asked == [NoteSighting("key_1", seen)]
    assert talk.outcome == Allow()


def test_who_has_no_credential_has_no_habits(kit: Kit) -> None:
    x, talk = judge(kit, None, who=WHO._replace(credential_id=None))
    assert talk.asked == []
    assert x.suspicion is None


@pytest.mark.parametrize(
    ("score", "leeway", "allowed"), [(0.3, 1.0, True), (0.5, 0.5, True), (0.89, 0.5, True), (0.9, 0.5, False)]
)
def test_the_answer_grows_with_the_score(kit: Kit, score: float, leeway: float, allowed: bool) -> None:
    x, talk = judge(kit, Suspicion(score, SIGNS))
    assert x.factor == leeway
    assert (x.blame, x.blamed_for) == ((0.1 * score, "theft") if leeway < 1 else (0.0, ""))
    assert isinstance(talk.outcome, Allow) is allowed
    if not allowed:
        assert isinstance(talk.outcome, Challenge)
        assert talk.outcome.scheme.startswith('DPoP error="invalid_token", error_description="')
        assert "network" not in talk.outcome.scheme, "the caller does not learn what gave it away"
        assert talk.outcome.detail == "0.9: new_network, new_agent, new_scope, two_networks"


def test_the_blame_is_slight_and_stands_in_the_record(kit: Kit) -> None:
    """The owner of a stolen key loses no more than half by it, and is never blocked for it."""
    x, talk = judge(kit, Suspicion(0.85, SIGNS))
    assert standings.testify(x) == Event(0.085, "theft")
    assert compose(x, 200, Timing(0.0, 0.0), 0)["suspicion"]["blame"] == 0.085
    rule = Throttle(Mode.ENFORCE, block_s=600.0, block_at=0.5)
    standing = GOOD
    for _ in range(5000):
        standing = observe(standing, rule, 1_700_000_000.0, Event(0.085, "theft"))
    assert factor(standing, rule, 1_700_000_000.0) == 0.5
    assert not standing.blocked_until
    assert talk.outcome == Allow()


def test_one_sign_alone_never_refuses(kit: Kit) -> None:
    _, talk = judge(kit, Suspicion(1.0, ("new_network",)), replace(ENFORCED, step_up_at=0.1))
    assert talk.outcome == Allow()


def test_what_was_proved_a_moment_ago_is_not_asked_for_more(kit: Kit) -> None:
    bound = WHO._replace(confirmation=Confirmation(certificate="thumb"))
    x, talk = judge(kit, Suspicion(1.0, SIGNS), who=bound)
    assert talk.outcome == Allow()
    assert x.suspicion == Suspicion(1.0, SIGNS)


@pytest.mark.parametrize(("vigilance", "mode"), [(Vigilance(), Mode.ENFORCE), (ENFORCED, Mode.SHADOW)])
def test_in_shadow_nothing_is_done_and_all_is_recorded(kit: Kit, vigilance: Vigilance, mode: Mode) -> None:
    x, talk = judge(kit, Suspicion(1.0, SIGNS), vigilance, mode=mode)
    assert talk.outcome == Allow()
    assert (x.factor, x.blame) == (1.0, 0.0)
    record = compose(x, 200, Timing(0.0, 0.0), 0)
    assert record["suspicion"] == {"score": 1.0, "signs": list(SIGNS), "factor": 1.0}
    assert [entry["control"] for entry in record["shadow"]] == ["habits"]
