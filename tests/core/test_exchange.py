"""Header fields and phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.errors import PhaseError
from vallum.core.exchange import FOLLOWS, Headers, Phase

if TYPE_CHECKING:
    from tests.conftest import Kit


@pytest.mark.parametrize(
    ("fields", "first", "values"),
    [
        ((), None, []),
        ((("b", "1"),), None, []),
        ((("a", "1"),), "1", ["1"]),
        ((("a", "1"), ("b", "2")), "1", ["1"]),
        ((("a", "1"), ("b", "2"), ("a", "3")), "1", ["1", "3"]),
        ((("b", "1"), ("b", "2"), ("a", "3")), "3", ["3"]),
        ((("a", ""),), "", [""]),
    ],
)
def test_fields_by_name(fields: tuple[tuple[str, str], ...], first: str | None, values: list[str]) -> None:
    headers = Headers(fields)
    assert (headers.get("a"), headers.all("a"), headers.fields) == (first, values, fields)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=2)), max_size=8), st.sampled_from("abcd"))
@settings(max_examples=200)
def test_the_index_says_what_the_list_says(fields: list[tuple[str, str]], name: str) -> None:
    headers = Headers(iter(fields))
    values = [value for field, value in fields if field == name]
    assert headers.all(name) == values
    assert headers.get(name) == (values[0] if values else None)


@pytest.mark.parametrize("start", list(Phase))
@pytest.mark.parametrize("then", list(Phase))
def test_a_phase_follows_only_those_it_may(kit: Kit, start: Phase, then: Phase) -> None:
    x = kit.engine().open(kit.request())
    x.phase = start
    if then in FOLLOWS[start]:
        x.enter(then)
        assert x.phase is then
    else:
        with pytest.raises(PhaseError, match=f"{then.name} cannot follow {start.name}"):
            x.enter(then)
        assert x.phase is start


def test_chunks_alone_repeat() -> None:
    assert [phase for phase in Phase if phase in FOLLOWS[phase]] == [Phase.RESPONSE_CHUNK]


def test_a_new_exchange_knows_nothing(kit: Kit) -> None:
    x = kit.engine().open(kit.request())
    assert (x.phase, x.route, x.decision, x.principal.subject) == (Phase.NEW, None, None, "")
    assert (x.shadowed, x.unscanned, x.removed) == ([], [], set())
