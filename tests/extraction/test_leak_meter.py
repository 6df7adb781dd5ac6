"""The leak meter against a real copy: how near, for whom, how bounded, and what it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.inputs import Turn
from vallum.extraction import leak_meter
from vallum.extraction.leak_meter import KEPT_MAX, LABELS_MAX, STUDENTS_MAX, UNTRUSTED, LeakMeter, _slope
from vallum.extraction.reference import fit
from vallum.extraction.student import STEPS, Lesson

if TYPE_CHECKING:
    from vallum.extraction.facts import Floats

RANDOM = np.random.default_rng(5)
COLUMNS, CLASSES = 12, 5
CENTRES = RANDOM.normal(size=(15, COLUMNS)) * 1.5
SCALE = fit(CENTRES[RANDOM.integers(15, size=500)] + RANDOM.normal(size=(500, COLUMNS)), np.zeros(0), b"secret")
WEIGHTS = RANDOM.normal(size=(COLUMNS, 32)), RANDOM.normal(size=(32, CLASSES))


def draw(count: int) -> Any:
    return CENTRES[RANDOM.integers(15, size=count)] + RANDOM.normal(size=(count, COLUMNS))


def model(inputs: Any) -> Any:
    return (np.tanh(inputs @ WEIGHTS[0]) @ WEIGHTS[1]).argmax(axis=1)


def ask(meter: LeakMeter, whose: str, count: int, *, accounts: int = 10, trusted: bool = False) -> tuple[Any, Any]:
    inputs = draw(count)
    labels = model(inputs)
    for number, (row, label) in enumerate(zip(inputs.tolist(), labels.tolist(), strict=True)):
        meter.note(f"{whose} {number % accounts}", (row,), {"prediction": label}, trusted=trusted)
    return inputs, labels


def ready() -> LeakMeter:
    meter = LeakMeter(SCALE, b"secret")
    ask(meter, "established", 3000, accounts=200, trusted=True)
    return meter


def members(whose: str, accounts: int = 10) -> list[str]:
    return [f"{whose} {number}" for number in range(accounts)]


def fidelity(inputs: Any, labels: Any) -> float:
    """Return how often a thief's student, trained apart on the raw inputs, says what the model says."""
    thief = Lesson(inputs.astype(np.float32), np.eye(CLASSES, dtype=np.float32)[labels], hidden=48)
    thief.go_on(STEPS)
    held = draw(3000)
    return float((thief.choose(held.astype(np.float32)) == model(held)).mean())


@pytest.mark.parametrize("count", [150, 600, 2000])
def test_the_estimate_is_near_to_what_a_thief_has(count: int) -> None:
    meter = ready()
    inputs, labels = ask(meter, "thief", count)
    meter.follow({"cluster": members("thief")})
    while meter.learn():
        pass
    leak = meter.estimate("cluster")
    assert leak is not None
    assert leak.agreement is not None
    assert leak.agreement == pytest.approx(fidelity(inputs, labels), abs=0.04)
    assert leak.low is not None
    assert leak.high is not None
    assert leak.low < leak.agreement < leak.high < leak.low + 0.1
    assert leak.nothing is not None
    assert leak.nothing < leak.agreement
    assert meter.shares()["cluster"] == leak.share == (leak.agreement - leak.nothing) / (1 - leak.nothing)
    assert leak.answers == count
    assert leak.novel > 0.9 * count


def test_lessons_in_pieces_come_to_the_same() -> None:
    whole, pieces = ready(), ready()
    for meter in (whole, pieces):
        state = RANDOM.bit_generator.state
        ask(meter, "thief", 300)
        RANDOM.bit_generator.state = state
    while whole.learn():
        pass
    while pieces.learn(100):
        pass
    assert len(pieces.estimates()[0].curve) == 1
    one, other = whole.estimates()[0].agreement, pieces.estimates()[0].agreement
    assert one is not None
    assert other == pytest.approx(one, abs=0.05)  # the established accounts asked other things


def test_a_student_learns_again_when_there_is_a_quarter_more_to_learn() -> None:
    meter = ready()
    ask(meter, "thief", 100)
    assert meter.learn()
    assert not meter.learn()
    ask(meter, "thief", 24)
    assert not meter.learn()
    ask(meter, "thief", 1)
    assert meter.learn()
    leak = meter.estimate()
    assert leak is not None
    assert [size for size, _ in leak.curve] == [100, 125]


def test_the_curve_goes_on_to_what_other_replicas_answered() -> None:
    meter = ready()
    for _ in range(6):
        ask(meter, "thief", 100)
        meter.learn()
    here = meter.estimate()
    meter.follow({}, {UNTRUSTED: 1200})
    everywhere = meter.estimate()
    assert here is not None
    assert everywhere is not None
    assert here.agreement is not None
    assert everywhere.agreement is not None
    assert here.agreement < everywhere.agreement <= 1
    assert everywhere.answers == 1200
    inputs = draw(1200)
    assert everywhere.agreement == pytest.approx(fidelity(inputs, model(inputs)), abs=0.06)


def test_clusters_take_along_what_their_members_were_answered_and_no_more() -> None:
    meter = ready()
    ask(meter, "one", 100)
    ask(meter, "other", 50)
    meter.follow({"a": members("one"), "b": members("other")})
    ask(meter, "one", 30)
    ask(meter, "new", 7)
    meter.follow({"a": members("one"), "b": [*members("other"), *members("new")]})
    assert {leak.cluster: leak.answers for leak in meter.estimates()} == {UNTRUSTED: 187, "a": 130, "b": 57}
    meter.follow({"b": members("other")})
    assert [leak.cluster for leak in meter.estimates()] == [UNTRUSTED, "b"]
    assert meter.estimate("a") is None


def test_an_established_member_is_no_test_any_more() -> None:
    meter = ready()
    meter.follow({"a": ["established 3"]})
    before = meter.estimates()[1].answers
    meter.note("established 3", (draw(1)[0].tolist(),), {"prediction": 1}, trusted=True)
    assert meter.estimates()[1].answers == before + 1


def test_without_labels_or_tests_nothing_is_estimated_but_counted() -> None:
    meter = LeakMeter(None, b"secret")
    for number in range(300):
        meter.note("thief", (f"prompt {number % 100}",), {"choices": [{"text": "hello"}]}, trusted=False)
    assert not meter.learn()
    leak = meter.estimate()
    assert leak is not None
    assert (leak.answers, leak.agreement, leak.curve) == (300, None, ())
    assert meter.shares() == {UNTRUSTED: 0.0}
    assert 95 <= leak.novel <= 100
    untested = LeakMeter(SCALE, b"secret")
    ask(untested, "thief", 300)
    assert not untested.learn()


def test_turns_of_a_chat_are_told_apart() -> None:
    meter = LeakMeter(None, b"secret")
    for text in ("one", "two", "one"):
        meter.note("thief", (Turn(text, "a system prompt"),), {"message": "yes"}, trusted=False)
    leak = meter.estimate(UNTRUSTED)
    assert leak is not None
    assert (leak.answers, leak.novel) == (3, 2)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leak_meter, "KEPT_MAX", 200)
    meter = ready()
    meter.follow({f"cluster {number}": members(f"thief {number}", 2) for number in range(50)})
    assert len(meter.estimates()) == STUDENTS_MAX
    inputs, labels = ask(meter, "thief 0", 1000, accounts=2)
    meter.learn()
    while meter.learn():
        pass
    leak = meter.estimate("cluster 0")
    assert leak is not None
    assert leak.agreement is not None
    assert leak.answers == 1000
    assert [size for size, _ in leak.curve] == [200]
    assert leak.agreement == pytest.approx(fidelity(inputs, labels), abs=0.15)  # along the curve, from 200 answers
    assert KEPT_MAX == 4096


def test_a_flood_of_labels_is_bounded() -> None:
    meter = ready()
    for number in range(10 * LABELS_MAX):
        chances = {f"class {number}": 0.9, f"other {number}": 0.1}
        meter.note("thief", (draw(1)[0].tolist(),), {"probabilities": chances}, trusted=False)
    meter.learn()
    leak = meter.estimate()
    assert leak is not None
    assert leak.answers == 10 * LABELS_MAX


def test_probabilities_teach_more_than_labels() -> None:
    labels, chances = ready(), ready()
    inputs = draw(200)
    scores = np.tanh(inputs @ WEIGHTS[0]) @ WEIGHTS[1]
    powers = np.exp(scores / 3)
    for row, power in zip(inputs.tolist(), powers / powers.sum(axis=1, keepdims=True), strict=True):
        labels.note("thief", (row,), {"prediction": int(power.argmax())}, trusted=False)
        chances.note("thief", (row,), {"probabilities": power.tolist()}, trusted=False)
    agreements = []
    for meter in (labels, chances):
        meter.learn()
        agreements.append(meter.estimates()[0].agreement or 0)
    assert agreements[1] > agreements[0] + 0.01


def test_facts_are_plain() -> None:
    meter = ready()
    ask(meter, "thief", 50)
    meter.learn()
    facts = meter.estimates()[0].facts()
    assert facts["cluster"] == UNTRUSTED
    assert facts["curve"][0][0] == 50
    assert set(facts) == {"cluster", "answers", "novel", "agreement", "low", "high", "nothing", "curve"}


JSON = st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.floats() | st.text())


@settings(max_examples=50)
@given(st.lists(st.tuples(JSON, st.integers(0, 5) | st.text() | st.lists(st.floats())), max_size=20), st.booleans())
def test_nothing_breaks_it(queries: list[tuple[Any, Any]], trusted: bool) -> None:
    meter = LeakMeter(SCALE, b"secret")
    for index, (value, label) in enumerate(queries):
        meter.note(f"account {index}", (value,), {"prediction": label}, trusted=trusted)
    meter.learn()
    assert meter.estimates()


@pytest.mark.parametrize("radius", [False, True], ids=["a line", "a curve"])
def test_a_student_learns(radius: bool) -> None:
    inputs: Floats = RANDOM.normal(size=(500, 2)).astype(np.float32)
    labels = (inputs**2).sum(axis=1) > 1.4 if radius else inputs[:, 0] > inputs[:, 1]
    lesson = Lesson(inputs, np.eye(2, dtype=np.float32)[labels.astype(int)])
    assert lesson.go_on(STEPS + 3) == 3
    assert float((lesson.choose(inputs) == labels).mean()) >= 0.95


def test_beyond_what_is_kept_disagreement_falls_on_as_a_power_of_the_answers() -> None:
    curve = [(size, 1 - size**-0.5) for size in (1000, 2000, 4000)]
    assert _slope(curve) == pytest.approx(-0.5)
    assert _slope([(1, 0.5), (100, 0.4)]) == 0.0
    assert _slope([(10, 1.0), (100, 1.0)]) == pytest.approx(0.0)
