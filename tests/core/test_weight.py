"""How many answers a request counts as, and what a quota of requests takes for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core import record
from vallum.core.cost import Tariff
from vallum.core.decision import Deny
from vallum.core.effects import SettleQuota, TakeQuota
from vallum.core.engine import line_up
from vallum.core.fieldpath import parse_path
from vallum.core.quota import Quota
from vallum.core.sidedoor import Ask
from vallum.core.weight import MOST, Weight, weigh

if TYPE_CHECKING:
    from tests.conftest import Kit

N, BEST_OF, PROMPTS = (Weight(Ask(parse_path(name))) for name in ("n", "best_of", "prompt"))
NUDGE = Weight(Ask(parse_path("logit_bias.*"), over=-100), 10)
FACTORS = ((PROMPTS,), (N, BEST_OF), (NUDGE,))


@pytest.mark.parametrize(
    ("document", "answers"),
    [
        ({}, 1),
        (None, 1),
        ([{"n": 4}], 1),
        ({"n": 1}, 1),
        ({"n": 4}, 4),
        ({"N": 4}, 4),
        ({"n": "4"}, 4),
        ({"n": "four"}, 1),
        ({"n": None}, 1),
        ({"n": True}, 1),
        ({"n": {"x": 2}}, 1),
        ({"n": 0}, 1),
        ({"n": -7}, 1),
        ({"n": 2.5}, 2),
        ({"n": 10**30}, MOST),
        ({"n": 1e300}, MOST),
        ({"n": "9" * 5000}, MOST),
        ({"n": 2, "best_of": 5}, 5),
        ({"prompt": "a"}, 1),
        ({"prompt": []}, 1),
        ({"prompt": [15, 16, 17]}, 1),
        ({"prompt": ["a", "b"]}, 2),
        ({"prompt": [[15], [16]]}, 2),
        ({"prompt": ["a", "b"], "n": 4}, 8),
        ({"logit_bias": {"5": -100, "6": -100}}, 1),
        ({"logit_bias": {"5": -100, "6": 0.5}}, 10),
        ({"logit_bias": {"5": "1"}, "n": 3}, 30),
        ({"logit_bias": {}}, 1),
    ],
)
def test_answers_multiply_over_factors_and_the_most_of_each_counts(document: Any, answers: int) -> None:
    assert weigh(document, FACTORS) == answers


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["n", "prompt", "5"]), inner),
)


@given(st.dictionaries(st.sampled_from(["n", "N", "best_of", "prompt", "logit_bias"]), JSON))
def test_any_document_counts_as_one_at_least_and_no_more_than_its_factors_allow(document: Any) -> None:
    assert 1 <= weigh(document, FACTORS) <= MOST * MOST * 10


def test_requests_are_taken_by_the_answer_and_all_else_as_it_is(kit: Kit) -> None:
    minute = kit.quota("minute")
    tokens = Quota("tokens", 1000, 60_000_000, unit="bytes")
    route = kit.route(limits=(kit.limit(minute), kit.limit(tokens)), factors=FACTORS, tariff=Tariff(2))
    engine = kit.engine(route)
    assert [stage.name for stage in line_up(route).body][:3] == ["parse", "weigh", "quotas"]
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    (take,) = kit.talk(engine.request_body(x, b'{"n": 3}'), kit.admitted(minute, tokens)).asked
    assert isinstance(take, TakeQuota)
    assert take.demands[0].cost == 6
    assert x.weight == 3
    (settle,) = kit.talk(engine.settle(x), None).asked
    assert isinstance(settle, SettleQuota)
    assert settle.demands[0].cost == 6, "for good"
    assert record.compose(x, 200, record.Timing(0, 0), 0)["counted_as"] == 3


def test_what_counts_as_one_is_asked_for_as_ever(kit: Kit) -> None:
    minute = kit.quota("minute")
    route = kit.route(limits=(kit.limit(minute),), factors=FACTORS)
    engine = kit.engine(route)
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    (demands,) = kit.talk(engine.request_body(x, b'{"n": 1}'), kit.admitted(minute)).demands
    assert demands[0].cost == 1
    assert "counted_as" not in record.compose(x, 200, record.Timing(0, 0), 0)


def test_a_limit_in_force_and_a_weight_hold_together(kit: Kit) -> None:
    minute = kit.quota("minute", 100)
    route = kit.route(limits=(kit.limit(minute),), factors=FACTORS)
    engine = kit.engine(route)
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    x.factor = 0.5
    (demands,) = kit.talk(engine.request_body(x, b'{"n": 4}'), kit.admitted(minute)).demands
    assert (demands[0].cost, demands[0].limit) == (4, 50)
    assert not isinstance(x.decision, Deny)
