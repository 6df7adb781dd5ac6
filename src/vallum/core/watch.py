"""The stage that watches how credentials are used, and what it does about signs of theft (theft.py).

It records, tightens limits, blames the caller a little, tells somebody, and asks an unbound credential for a proof of
possession: in that order.  The blame is that of a mistake at most, as the owner may be the one who suffers for it: it
never takes more than half of the limits by itself, and never begins a block (standing.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.address import network_of
from vallum.core.decision import Challenge
from vallum.core.effects import NoteSighting, Steps, ask
from vallum.core.policy import Mode
from vallum.core.proof import WANTED, dpop_challenge
from vallum.core.standing import SLIGHT
from vallum.core.theft import Sighting, agent_family

if TYPE_CHECKING:
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Route

CONTROL = "habits"


def watch(x: Exchange, route: Route) -> Steps[Challenge | None]:
    """Note this use of a credential; ask for a bound one where too much about it is strange."""
    who, vigilance = x.principal, route.vigilance
    if vigilance is None or who.credential_id is None:
        return None
    request = x.request
    agent = agent_family(request.headers.get("user-agent"))
    sighting = Sighting(request.now, network_of(request.client), agent, route.scopes)
    suspicion = yield from ask(NoteSighting(who.credential_id, sighting))
    if not suspicion.score:
        return None
    x.suspicion = suspicion
    enforced = vigilance.mode is Mode.ENFORCE and route.mode is Mode.ENFORCE
    if enforced and suspicion.score >= vigilance.tighten_at:
        x.factor *= vigilance.leeway
        x.blame += SLIGHT * suspicion.score
        x.blamed_for = "theft"
    # What is bound to its holder was proved a moment ago: nothing more can be asked for.
    if who.confirmation is not None or len(suspicion.signs) < 2 or suspicion.score < vigilance.step_up_at:
        return None
    detail = f"{suspicion.score:g}: {', '.join(suspicion.signs)}"
    refusal = dpop_challenge(x.policy.prover, "invalid_token", detail, WANTED)
    return Challenge(refusal.scheme, CONTROL, detail)
