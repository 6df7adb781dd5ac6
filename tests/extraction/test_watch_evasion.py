"""What callers do so that the watch looks elsewhere."""

from __future__ import annotations

import numpy as np

from vallum.core.extraction import DAY_S, Account, Grade, Query, Terms
from vallum.extraction.cohorts import list_cohorts
from vallum.extraction.facts import Alarm, Findings
from vallum.extraction.watch import UNTRUSTED, Watch
from vallum.extraction.wave import STRETCH_S, Wave

T0 = 1_700_000_000.0


def test_the_first_input_of_each_batch_is_not_what_stands_for_it() -> None:
    watch = Watch(kind="text", seed=b"secret")
    for number in range(40):
        account = Account(f"subject\x1f{number}", T0)
        batch = ("what is the weather", *["steal the model"] * 9)
        watch.note(Query(account, T0 + number, batch, request_id=f"request {number}"))
    rows, _ = watch._asking[UNTRUSTED].rows([])
    honest = sum(bool((row == rows[0]).all()) for row in rows)
    assert len(rows) == 40
    assert min(honest, 40 - honest) < 15, "one in ten looks honest"
    assert len({tuple(row) for row in rows.tolist()}) == 2


def test_a_second_key_makes_nobody_young() -> None:
    watch = Watch(kind="text", seed=b"secret", terms=Terms(probation=True))
    watch.note(Query(Account("subject\x1fold", T0 - 90 * DAY_S), T0, ("hello",)))
    for at in (T0, T0 + 60):
        watch.ladder.update(Findings(at, (Alarm("new", 20.0, 10.0, 9),), calibrated=True), at)
    grades = {name: watch.judge(Account(f"subject\x1f{name}", T0), T0 + 60).grade for name in ("old", "young")}
    assert grades == {"old": Grade.CLEAR, "young": Grade.PROOF}


def probing() -> Watch:
    return Watch(kind="text", seed=b"secret", terms=Terms(probation=True))


def alarm(watch: Watch, cohort: str) -> None:
    for at in (T0, T0 + 60):
        watch.ladder.update(Findings(at, (Alarm(cohort, 20.0, 10.0, 9),), calibrated=True), at)


def test_of_a_wave_only_who_came_with_it_pays() -> None:
    watch = probing()
    stretch = int(T0 // STRETCH_S)
    watch._sweeper._waves.take_state([Wave(stretch, stretch, 15.0)])
    watch._sweeper._arrivals.take_state(T0 - 9 * DAY_S, {"of the wave": T0, "before": T0 - DAY_S, "old": T0})
    alarm(watch, f"wave:{stretch}")
    created = {"of the wave": T0, "before": T0 - DAY_S, "old": T0 - 90 * DAY_S, "unknown as yet": T0}
    grades = {name: watch.judge(Account(name, at), T0 + 60).grade for name, at in created.items()}
    assert grades == {
        "of the wave": Grade.PROOF,
        "before": Grade.CLEAR,
        "old": Grade.CLEAR,
        "unknown as yet": Grade.PROOF,
    }
    assert watch.judge(Account("of the wave", T0, verified=True), T0 + 60).grade == Grade.CLEAR


def test_an_alarm_reaches_who_belongs_to_its_cohort_whatever_the_kind() -> None:
    for kind in ("network", "agent", "client", "tenant", "created"):
        watch = probing()
        account = Account("a", T0 - DAY_S, network="n", agent="g", client="c", tenant="t")
        for number in range(3):
            watch.note(Query(account._replace(name=f"a{number}"), T0, ("hello",)))
        snapshot = watch._crowd.snapshot(T0)
        cohort, *_ = list_cohorts(snapshot, np.ones(3, np.bool_), (kind,))
        alarm(watch, f"{cohort.kind}:{cohort.code}")
        assert watch.judge(account._replace(name="a1"), T0 + 60).grade is Grade.PROOF, kind
        assert watch.judge(Account("b", T0), T0 + 60).grade is Grade.CLEAR, kind
