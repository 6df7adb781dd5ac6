"""What callers do so that the watch looks elsewhere."""

from __future__ import annotations

from vallum.core.extraction import DAY_S, Account, Grade, Query, Terms
from vallum.extraction.facts import Alarm, Findings
from vallum.extraction.watch import UNTRUSTED, Watch

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
