"""A sample of recorded requests takes the place of waiting for traffic: read strictly, and lived through."""

from __future__ import annotations

import json
import logging
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vallum.config.extraction import find_limits, read_sample
from vallum.core.extraction import DAY_S, Extraction, Respond
from vallum.core.inputs import at_places
from vallum.core.policy import Outlet, Policy, Route, Upstream
from vallum.core.target import Pattern
from vallum.extraction.sample import live_through
from vallum.extraction.shared_watch import SharedWatch
from vallum.vigil import vigil as duty
from vallum.vigil.post import Posts
from vallum.vigil.vigil import Vigil

if TYPE_CHECKING:
    from pathlib import Path

T0, NOW = 1_600_000_000.0, 1_700_000_000.0
FIND = at_places("vector", (("input",),))
RULE = Extraction("digits", "vector", FIND, respond=Respond.GRADUATED, seed=lambda: b"s" * 32, calibrate_s=DAY_S / 2)


def line(**changes: Any) -> bytes:
    return json.dumps({"at": T0, "subject": "alice", "body": {"input": [1, 2]}, **changes}).encode()


def traffic(days: float, accounts: int = 120, young: int = 20) -> bytes:
    """Write some days of customers, each with a habit of its own, and a few who came the other day."""
    chance = random.Random(3)
    lines = []
    for number in range(accounts):
        habit = [chance.gauss(0, 1) for _ in range(8)]
        for _ in range(25):
            at = T0 + chance.random() * days * DAY_S
            row = {"input": [round(h + chance.gauss(0, 1), 3) for h in habit]}
            born = {"created": T0 - DAY_S} if number < young else {}
            lines.append(
                line(at=at, subject=f"user-{number}", body=row, answer={"confidence": chance.random()}, **born)
            )
    return b"\n".join(lines)


def test_lines_are_read_in_their_order_and_their_accounts_are_old() -> None:
    text = b"\n".join([line(at=T0 + 9, answer={"s": 1}), b"", line(), line(at=T0 + 3, subject="bob", created=T0 - 5)])
    one, two, three = read_sample(text, FIND, 14 * DAY_S)
    assert [query.at - T0 for query in (one, two, three)] == [0, 3, 9]
    assert (one.account.name, one.account.created, one.inputs) == ("subject\x1falice", T0 - 15 * DAY_S, ([1, 2],))
    assert two.account.created == T0 - 5
    assert three.answer == {"s": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no line in it is a request"),
        (b"\n \n", "no line in it is a request"),
        (line() + b"\n{", "line 2 is no recorded request"),
        (b"[]", "line 1 is no recorded request"),
        (b'{"subject": "a", "body": 1}', "line 1 has no 'at'"),
        (b'{"at": 1, "body": 1}', "line 1 has no 'subject'"),
        (b'{"at": 1, "subject": "a"}', "line 1 has no 'body'"),
        (line(at="now"), "line 1 is no recorded request"),
        (line(at=True), "line 1 is no recorded request"),
        (line(at=float("nan")), "line 1 is no recorded request"),
        (line(at=None), "line 1 is no recorded request"),
        (line(at=-1), "line 1 is no recorded request"),
        (line(at=1e300), "line 1 is no recorded request"),
        (line(created=float("inf")), "line 1 is no recorded request"),
        (line(subject=""), "line 1 is no recorded request"),
        (line(subject=7), "line 1 is no recorded request"),
        (b"[" * 100_000, "line 1 is no recorded request"),
        (b"\xff", "line 1 is no recorded request"),
    ],
)
def test_what_is_no_sample_is_named_by_its_line(text: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_sample(text, FIND, 1.0)


@pytest.mark.parametrize(("days", "calibrated"), [(1.5, True), (0.4, False)])
def test_a_watch_that_has_lived_through_it_need_not_wait(days: float, calibrated: bool) -> None:
    rule = replace(RULE, sample=read_sample(traffic(days), FIND, RULE.established_s))
    watch = SharedWatch(rule.seed(), shared=False)
    watch.govern(rule)
    watch.restore(watch.unpack(live_through(rule, NOW)))
    assert watch.sweep(NOW + 60).calibrated is calibrated
    assert {grade for _, _, grade in watch.ladder.suspects(NOW)} <= {1}


@pytest.mark.parametrize(
    ("days", "said"), [(0.0, "for 9 days"), (4.0, "for 5 days"), (9.5, "")], ids=["no sample", "too short", "enough"]
)
def test_it_is_said_how_long_nobody_will_be_named(days: float, said: str) -> None:
    sample = read_sample(line() + b"\n" + line(at=T0 + days * DAY_S), FIND, 1.0) if days else ()
    notes = find_limits(replace(RULE, calibrate_s=7 * DAY_S, sample=sample), Outlet())
    assert [note for note in notes if "names nobody" in note] == (
        [f"names nobody but to operators {said}"] if said else []
    )


async def test_a_gateway_lives_through_it_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rule = replace(RULE, sample=read_sample(traffic(0.4, accounts=40), FIND, RULE.established_s))
    policy = Policy((Route("digits", frozenset(), Pattern("", None), Upstream("", ""), (), extraction=rule),), {})
    knows = []
    for _ in range(2):
        vigil = Vigil(Posts(None, tmp_path, lambda: 0.0), lambda: NOW, lambda: 0.0)
        with caplog.at_level(logging.INFO):
            vigil.follow(policy)
            await vigil.start()
        ((_, watch),) = vigil.watchers.all()
        knows.append(watch._began)
        await vigil.close()
    assert knows[0] == knows[1] is not None
    assert [record.levelname for record in caplog.records if "lives through" in record.message] == ["INFO"]


async def test_a_sample_that_teaches_nothing_ends_no_gateway(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(rule: Extraction, now: float) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(duty, "live_through", fail)
    rule = replace(RULE, sample=read_sample(line(), FIND, 1.0))
    policy = Policy((Route("digits", frozenset(), Pattern("", None), Upstream("", ""), (), extraction=rule),), {})
    vigil = Vigil(Posts(None, None, lambda: 0.0), lambda: NOW, lambda: 0.0)
    vigil.follow(policy)
    await vigil.start()
    await vigil.close()
    assert "the sample of digits teaches nothing: ZeroDivisionError" in caplog.text


def test_hostile_inputs_in_a_sample_teach_nothing_and_break_nothing() -> None:
    bodies = [{"input": value} for value in ([], [1e308] * 9, ["x"], [[1], [2, 3]], None, {"a": 1})]
    text = b"\n".join(line(at=T0 + n, body=body) for n, body in enumerate(bodies * 50))
    assert live_through(replace(RULE, sample=read_sample(text, FIND, 1.0)), NOW)
