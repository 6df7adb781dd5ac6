"""Signs of theft: how far one use of a credential is from its habits.  Pure arithmetic on a small sketch.

A sign is a network, a user agent or a scope that the credential was not seen with before, or two networks at once.
It belongs to the use that showed it, and fades while that goes on: the owner at home is not suspected for what somebody
does elsewhere.  What a credential does often (a phone that roams, a fleet behind many addresses) weighs little.

Rule: nobody is refused for one sign.  It takes all of them to reach `step_up` by default, and a credential that is
bound to its holder is never asked for more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

# What each sign weighs when it is fresh and rare.  They add up to 1.
WEIGHTS = {"new_network": 0.3, "new_agent": 0.25, "new_scope": 0.25, "two_networks": 0.2}
NETWORKS_MAX, AGENTS_MAX, SCOPES_MAX = 16, 8, 32
FADES_S = 86_400.0  # in which a sign fades, and in which a habit of changing is forgotten by half
AT_ONCE_S = 300.0  # two networks within this time are in use at once
LEAST = 0.05  # a weight below this is no sign


class Sighting(NamedTuple):
    """One use of a credential."""

    at: float  # Unix seconds
    network: str  # /24 or /48
    agent: str  # family of the user agent
    scopes: frozenset[str]  # that the route asked for


class Suspicion(NamedTuple):
    """How far a use is from what is usual, 0 to 1, and the signs that say so."""

    score: float = 0.0
    signs: tuple[str, ...] = ()
    alert: bool = False  # to be told to somebody: at most once an hour for one credential


class Habits(NamedTuple):
    """When a credential is known well enough to speak of habits, and from which score on somebody is told."""

    warm_up_s: float = 86_400.0
    warm_up_uses: int = 50
    alert_at: float = 0.7
    alert_every_s: float = 3_600.0


@dataclass(slots=True)
class Mark:
    """One thing that a credential was seen with: how new it was at first, and when it was seen."""

    weight: float
    first: float
    last: float

    def fresh(self, at: float) -> float:
        """Return what is left of its weight at `at`."""
        return self.weight * min(1.0, max(0.0, 1.0 - (at - self.first) / FADES_S))


@dataclass(slots=True)
class Trait:
    """All that a credential was seen with of one kind, at most `room`; the newest strangers make way first."""

    room: int
    marks: dict[str, Mark] = field(default_factory=dict)
    changes: float = 0.0  # how often something new came, fading
    changed_at: float = 0.0

    def note(self, name: str, at: float, weight: float) -> Mark:
        """Note `name`, with at most this weight if it is new."""
        mark = self.marks.get(name)
        if mark is None:
            self.changes *= 0.5 ** (max(0.0, at - self.changed_at) / FADES_S)
            self._make_room(at)
            is_change = bool(self.marks)
            mark = self.marks[name] = Mark(weight / (1.0 + self.changes), at, at)
            self.changes, self.changed_at = self.changes + float(is_change), at
        mark.last = max(mark.last, at)
        return mark

    def _make_room(self, at: float) -> None:
        # A thief on many networks must not push out those that the owner is known by.
        if len(self.marks) >= self.room:
            del self.marks[max(self.marks, key=lambda name: (self.marks[name].fresh(at), -self.marks[name].last))]


@dataclass(slots=True)
class Profile:
    """What is kept of one credential: about 5 KB at most."""

    first: float
    uses: int = 0
    networks: Trait = field(default_factory=lambda: Trait(NETWORKS_MAX))
    agents: Trait = field(default_factory=lambda: Trait(AGENTS_MAX))
    scopes: Trait = field(default_factory=lambda: Trait(SCOPES_MAX))
    alerted: float = float("-inf")

    def note(self, seen: Sighting, habits: Habits) -> Suspicion:
        """Note one use and say how far it is from what is usual."""
        at = seen.at
        known = self.uses >= habits.warm_up_uses and at - self.first >= habits.warm_up_s
        self.uses += 1
        scale = 1.0 if known else 0.0
        network = self.networks.note(seen.network, at, scale * WEIGHTS["new_network"])
        agent = self.agents.note(seen.agent, at, scale * WEIGHTS["new_agent"])
        scopes = [self.scopes.note(name, at, scale * WEIGHTS["new_scope"]) for name in sorted(seen.scopes)]
        weights = {
            "new_network": network.fresh(at),
            "new_agent": agent.fresh(at),
            "new_scope": max((scope.fresh(at) for scope in scopes), default=0.0),
            "two_networks": self._at_once(network, at),
        }
        signs = {name: weight for name, weight in weights.items() if weight >= LEAST}
        score = round(sum(signs.values()), 3)
        alert = score >= habits.alert_at and at - self.alerted >= habits.alert_every_s
        if alert:
            self.alerted = at
        return Suspicion(score, tuple(signs), alert)

    def _at_once(self, network: Mark, at: float) -> float:
        """Weigh that an older network was used after this one had come, and within minutes."""
        share = network.fresh(at) / WEIGHTS["new_network"]
        if not share:
            return 0.0
        others = [mark for mark in self.networks.marks.values() if mark.first < network.first]
        at_once = any(mark.last > network.first and at - mark.last <= AT_ONCE_S for mark in others)
        return WEIGHTS["two_networks"] * share if at_once else 0.0


def agent_family(user_agent: str | None) -> str:
    """Return the first product of a User-Agent field (RFC 9110 10.1.5), without its version."""
    name = (user_agent or "").partition("/")[0].partition(" ")[0].lower()
    return name[:40]
