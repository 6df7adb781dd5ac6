"""Routes that the gateway answers itself: a page, a refusal, or a fault that is met as everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vallum.core.decision import Allow, Challenge, Deny, Page, Reason
from vallum.core.effects import FindCredentialById, SettleQuota, Steps, ask
from vallum.core.errors import DependencyError
from vallum.core.quota import Quota

if TYPE_CHECKING:
    from tests.conftest import Kit

    from vallum.core.decision import Refusal
    from vallum.core.exchange import Exchange

PAGE = Page(b"{}")
ASKED = FindCredentialById("key_1")


class Answering:
    """A responder that always answers the same, after asking for a credential."""

    def __init__(self, answer: Page | Refusal) -> None:
        self.answer = answer

    def respond(self, x: Exchange) -> Steps[Page | Refusal]:
        yield from ask(ASKED)
        return self.answer


def respond(kit: Kit, responder: Any, *replies: Any) -> tuple[Exchange, Any]:
    engine = kit.engine(kit.route(responder=responder))
    x = kit.judge(engine, kit.request())
    return x, kit.talk(engine.respond(x), *replies).outcome


def test_a_page_is_the_answer(kit: Kit) -> None:
    x, outcome = respond(kit, Answering(PAGE), None)
    assert outcome is PAGE
    assert isinstance(x.decision, Allow)


@pytest.mark.parametrize("refusal", [Deny(Reason.INVALID_REQUEST, "tokens"), Challenge("Bearer", "tokens")])
def test_a_refusal_is_the_decision(kit: Kit, refusal: Refusal) -> None:
    x, outcome = respond(kit, Answering(refusal), None)
    assert outcome is refusal
    assert x.decision is refusal


def test_a_fault_denies(kit: Kit) -> None:
    x, outcome = respond(kit, Answering(PAGE), DependencyError("down"))
    assert outcome == Deny(Reason.UNAVAILABLE, "responder", "DependencyError: down", retry_after_s=1)
    assert x.decision is outcome
    assert respond(kit, None)[1].reason is Reason.UNAVAILABLE


def test_the_bytes_of_a_page_are_paid_for(kit: Kit) -> None:
    quota = Quota("bytes", 100_000, 60_000_000, unit="bytes")
    engine = kit.engine(kit.route(responder=Answering(PAGE), limits=(kit.limit(quota),)))
    x = kit.judge(engine, kit.request(), b"{}", kit.admitted(quota))
    kit.talk(engine.respond(x), None)
    (effect,) = kit.talk(engine.settle(x), None).asked
    assert isinstance(effect, SettleQuota)
    assert [demand.cost for demand in effect.demands] == [len(b"{}") + len(PAGE.body)]
