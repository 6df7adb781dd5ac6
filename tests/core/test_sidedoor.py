"""Members of requests that ask for what answers may not hold: found at their place, and never in a default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.content import Content
from vallum.core.decision import Deny, Finding, Reason
from vallum.core.engine import line_up
from vallum.core.exchange import Exchange
from vallum.core.fieldpath import parse_path
from vallum.core.sidedoor import Ask, find_open

if TYPE_CHECKING:
    from tests.conftest import Kit

PLAIN = Ask(parse_path("logprobs"))
OVER = Ask(parse_path("parameters.best_of"), over=1)
AMONG = Ask(parse_path("outputs.*.name"), among=frozenset({"logits"}))


@pytest.mark.parametrize(
    ("ask", "document", "found"),
    [
        (PLAIN, {"logprobs": True}, "logprobs"),
        (PLAIN, {"logprobs": 0}, "logprobs"),  # of a completion: the score of the token that was drawn
        (PLAIN, {"LogProbs": 5}, "LogProbs"),
        (PLAIN, {"logprobs": "yes"}, "logprobs"),
        (PLAIN, {"logprobs": False}, None),
        (PLAIN, {"logprobs": None}, None),
        (PLAIN, {"logprobs": {}}, None),
        (PLAIN, {"logprobs": []}, None),
        (PLAIN, {"x": {"logprobs": True}}, None),
        (PLAIN, {}, None),
        (PLAIN, None, None),
        (OVER, {"parameters": {"best_of": 2}}, "best_of"),
        (OVER, {"parameters": {"best_of": 1}}, None),
        (OVER, {"parameters": {"best_of": "9"}}, "best_of"),
        (OVER, {"parameters": {"best_of": True}}, "best_of"),
        (OVER, {"parameters": {"best_of": None}}, None),
        (OVER, {"best_of": 2}, None),
        (AMONG, {"outputs": [{"name": "label"}, {"name": "LOGITS"}]}, "name"),
        (AMONG, {"outputs": [{"name": "label"}]}, None),
        (AMONG, {"outputs": [{"name": 7}]}, "name"),
        (Ask(parse_path("include.*"), among=frozenset({"logprobs"})), {"include": ["x", "logprobs"]}, "include"),
    ],
)
def test_what_asks(ask: Ask, document: Any, found: str | None) -> None:
    assert ask.find(document) == found


BIAS = Ask(parse_path("logit_bias"))


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"logit_bias": {"5": 1}, "logprobs": True}, "logit_bias"),
        ({"logit_bias": {"5": 1}}, None),
        ({"logprobs": True}, None),
        ({"logit_bias": {"5": 1}, "logprobs": False}, None),
    ],
)
def test_two_that_may_not_stand_together(document: Any, found: str | None) -> None:
    assert find_open(document, (), ((BIAS, PLAIN),)) == found


@pytest.mark.parametrize("how", [{"asks": (PLAIN,)}, {"apart": ((BIAS, PLAIN),)}])
def test_such_a_request_is_refused_by_name(kit: Kit, how: dict[str, Any]) -> None:
    engine = kit.engine(kit.route(intake=kit.intake(**how)))
    x = kit.judge(engine, kit.request(), b'{"logprobs": true, "logit_bias": {"5": 1}}')
    assert isinstance(x.decision, Deny)
    assert (x.decision.reason, x.decision.control) == (Reason.INVALID_REQUEST, "side_doors")
    assert x.decision.violations[0]["rule"] == "withheld"
    x = kit.judge(engine, kit.request(), b'{"logprobs": false, "logit_bias": {}}')
    assert not isinstance(x.decision, Deny)


ASKS = (PLAIN, OVER, AMONG, BIAS, Ask(parse_path("*.echo")), Ask(parse_path("kind=raw.scores")))
NAMES = [
    "logprobs",
    "LOGPROBS",
    "parameters",
    "outputs",
    "logit_bia\u017f",
    "echo",
    "kind",
    "scores",
    "best_of",
    "name",
]
DOCUMENTS = st.recursive(
    st.sampled_from([None, 0, 7, "raw", "logits", True]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENTS)
def test_looking_at_the_names_first_finds_the_same(document: Any) -> None:
    found = next((name for ask in ASKS if (name := ask.find(document)) is not None), None)
    assert find_open(document, ASKS, ()) == found


def test_lists_that_the_schema_does_not_take_are_not_searched(kit: Kit) -> None:
    """To look for each of a dozen members in half a million items took seconds."""
    searched: list[Any] = []

    class Watched(dict[str, Any]):
        def __iter__(self) -> Any:
            searched.append(self)
            return super().__iter__()

    refused = Finding("maxItems", "", reason=Reason.INVALID_REQUEST, public=True)
    x = Exchange(
        kit.engine(route := kit.route(intake=kit.intake(asks=(PLAIN,), schema=lambda _: refused))).policy, kit.request()
    )
    x.document, x.content = [Watched()], Content([])
    for stage in line_up(route).body[2:]:
        if stage.run(x, route) is not None:
            break
    assert (stage.name, searched) == ("schema", [])
    assert find_open([1, "logprobs", Watched(logprobs=1)], (PLAIN,), ()) == "logprobs"
    assert len(searched) == 1
