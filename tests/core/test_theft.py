"""Signs of theft: what is strange, for whom, for how long; and honest people who are never blocked."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.address import network_of
from vallum.core.theft import (
    AGENTS_MAX,
    NETWORKS_MAX,
    SCOPES_MAX,
    WEIGHTS,
    Habits,
    Profile,
    Sighting,
    Suspicion,
    agent_family,
)

HOUR, DAY = 3_600.0, 86_400.0
READ = frozenset({"predict:read"})
STEP_UP_AT = 0.9  # the default


def see(at: float, network: str = "home", agent: str = "python", scopes: frozenset[str] = READ) -> Sighting:
    return Sighting(at, network, agent, scopes)


def known(days: int = 3) -> Profile:
    """Return the profile of a credential in steady use: once every quarter of an hour."""
    profile = Profile(0.0)
    for tick in range(days * 96):
        assert profile.note(see(tick * 900.0), Habits()) == Suspicion()
    return profile


NOW = 3 * DAY


def test_the_weights_add_up_to_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("seen", "signs"),
    [
        (see(NOW), ()),
        (see(NOW, network="cafe"), ("new_network",)),
        (see(NOW, agent="curl"), ("new_agent",)),
        (see(NOW, scopes=frozenset({"train:write"})), ("new_scope",)),
        (see(NOW, scopes=frozenset()), ()),
        (see(NOW, "far", "curl", frozenset({"train:write"})), ("new_network", "new_agent", "new_scope")),
    ],
)
def test_what_was_never_seen_before_is_a_sign(seen: Sighting, signs: tuple[str, ...]) -> None:
    suspicion = known().note(seen, Habits())
    assert suspicion.signs == signs
    assert suspicion.score == pytest.approx(sum(WEIGHTS[name] for name in signs))


def test_nothing_is_said_before_a_credential_is_known() -> None:
    for habits in (Habits(warm_up_uses=10_000), Habits(warm_up_s=30 * DAY)):
        profile = Profile(0.0)
        for tick in range(300):
            seen = see(tick * 900.0, f"net-{tick}", f"agent-{tick}")
            assert profile.note(seen, habits) == Suspicion()


def test_two_networks_within_minutes_are_a_sign_for_the_newer_one_alone() -> None:
    profile = known()
    habits = Habits()
    assert profile.note(see(NOW, "far"), habits).signs == ("new_network",)
    assert profile.note(see(NOW + 10), habits) == Suspicion(), "the owner at home is not suspected"
    both = profile.note(see(NOW + 20, "far"), habits)
    assert both.signs == ("new_network", "two_networks")
    assert profile.note(see(NOW + 30), habits) == Suspicion()
    assert profile.note(see(NOW + 1_000, "far"), habits).signs == ("new_network",), "no longer within minutes"


def test_a_thief_with_everything_new_is_told_apart_while_the_owner_goes_on() -> None:
    profile = known()
    habits = Habits()
    scores = []
    for tick in range(10):
        assert profile.note(see(NOW + tick * 60), habits) == Suspicion()
        stolen = see(NOW + tick * 60 + 30, "far", "curl", frozenset({"train:write"}))
        scores.append(profile.note(stolen, habits).score)
    assert min(scores[1:]) >= STEP_UP_AT
    assert scores[0] < STEP_UP_AT


def test_a_sign_fades_in_a_day() -> None:
    profile = known()
    scores = [profile.note(see(NOW + hours * HOUR, "cafe"), Habits()).score for hours in (0, 6, 12, 18, 24)]
    assert scores == sorted(scores, reverse=True)
    assert scores[2] == pytest.approx(0.15)
    assert scores[-1] == 0


def test_somebody_is_told_once_an_hour() -> None:
    profile = known()
    alerts = [
        profile.note(see(NOW + minutes * 60, "far", "curl", frozenset({"train:write"})), Habits()).alert
        for minutes in range(0, 130, 5)
    ]
    assert alerts.count(True) == 3
    assert alerts[0]


def test_a_clock_that_goes_back_is_no_fault() -> None:
    profile = known()
    profile.note(see(NOW, "far"), Habits())
    for at in (NOW - DAY, 0.0, -1.0):
        assert 0.0 <= profile.note(see(at, "other"), Habits()).score <= 1.0


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_a_thief_on_many_networks_pushes_out_strangers_and_never_the_home() -> None:
    profile = known()
    for tick in range(1_000):
        profile.note(see(NOW + tick, f"net-{tick}", f"agent-{tick}", frozenset({f"scope-{tick}"})), Habits())
    assert len(profile.networks.marks) == NETWORKS_MAX
    assert len(profile.agents.marks) == AGENTS_MAX
    assert len(profile.scopes.marks) == SCOPES_MAX
    assert profile.note(see(NOW + 1_000), Habits()) == Suspicion()


def test_of_old_acquaintances_the_one_seen_longest_ago_makes_way() -> None:
    profile = Profile(0.0)
    for tick in range(NETWORKS_MAX + 1):
        profile.note(see(float(tick), f"net-{tick}"), Habits())
    assert "net-0" not in profile.networks.marks
    assert "net-1" in profile.networks.marks


@given(
    uses=st.lists(
        st.tuples(st.floats(0, 30 * DAY), st.integers(0, 40), st.integers(0, 20), st.integers(0, 40)), max_size=200
    )
)
@settings(max_examples=50)
def test_scores_are_shares_and_memory_is_bounded(uses: list[tuple[float, int, int, int]]) -> None:
    profile = Profile(0.0)
    for at, network, agent, scope in uses:
        seen = see(at, f"n{network}", f"a{agent}", frozenset({f"s{scope}"}))
        suspicion = profile.note(seen, Habits(0.0, 0))
        assert 0.0 <= suspicion.score <= 1.0
        assert bool(suspicion.signs) == bool(suspicion.score)
    assert len(profile.networks.marks) <= NETWORKS_MAX


# --- honest people ----------------------------------------------------------------------------------------------------


def commuter(random: Random) -> Iterator[Sighting]:
    """A phone: at home, in a mobile network that changes its exit often, at work, and back."""
    for day in range(30):
        for hour in range(7, 23):
            for _ in range(4):
                at = day * DAY + hour * HOUR + random.random() * HOUR
                mobile = hour in (8, 9, 17, 18) or random.random() < 0.1
                network = f"carrier-{random.randrange(60)}" if mobile else "work" if 9 < hour < 17 else "home"
                yield see(at, network, "okhttp")


def fleet(random: Random) -> Iterator[Sighting]:
    """Servers behind a cloud's many exits, all at once, that are deployed anew each week with another client."""
    for tick in range(30 * 96):
        at = tick * 900.0
        agent = "python-httpx" if at < 15 * DAY else "aiohttp"
        yield see(at, f"exit-{random.randrange(24) + 8 * int(at // (7 * DAY))}", agent)


def traveller(random: Random) -> Iterator[Sighting]:
    """At home for two weeks; then abroad with a new laptop, in hotels, while the job at home goes on."""
    for tick in range(30 * 48):
        at = tick * 1_800.0
        yield see(at)
        if at > 14 * DAY:
            network = f"hotel-{int(at // (2 * DAY))}" if random.random() < 0.7 else f"airport-{random.randrange(9)}"
            yield see(at + random.random() * 200, network, "openai-python")


@pytest.mark.parametrize("life", [commuter, fleet, traveller])
@pytest.mark.parametrize("seed", range(5))
def test_honest_roaming_is_never_blocked(life: object, seed: int) -> None:
    assert callable(life)
    profile, worst = Profile(0.0), 0.0
    for seen in sorted(life(Random(seed))):
        worst = max(worst, profile.note(seen, Habits()).score)
    assert worst < STEP_UP_AT
    assert worst <= 0.75, "at worst a limit is tightened, or somebody told once"


# --- what is looked at ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "family"),
    [
        (None, ""),
        ("", ""),
        ("curl/8.5.0", "curl"),
        ("OpenAI/Python 1.2", "openai"),
        ("Mozilla/5.0 (X11; Linux)", "mozilla"),
        ("my agent", "my"),
        ("x" * 1_000, "x" * 40),
    ],
)
def test_a_family_is_the_first_product_without_its_version(field: str | None, family: str) -> None:
    assert agent_family(field) == family


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_neighbours_share_a_network(address: str, network: str) -> None:
    assert network_of(address) == network
