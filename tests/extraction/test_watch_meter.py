"""The watch and its leak meter: the untrusted are learnt from, sweep by sweep, and clusters are followed."""

from __future__ import annotations

from typing import Any

import numpy as np

from vallum.core.extraction import Account, Query
from vallum.extraction.facts import Findings, Named
from vallum.extraction.leak_meter import UNTRUSTED
from vallum.extraction.student import STEPS
from vallum.extraction.watch import LEARNT, Watch

RANDOM = np.random.default_rng(9)
T0, DAY_S = 1.7e9, 86_400.0


def ask(watch: Watch, whose: str, count: int, at: float, *, age_s: float, accounts: int = 20) -> None:
    for number, row in enumerate(RANDOM.normal(size=(count, 6)).tolist()):
        account = Account(f"{whose} {number % accounts}", T0 - age_s)
        answer: dict[str, Any] = {"prediction": int(row[0] > row[1]), "confidence": 0.9}
        watch.note(Query(account, at, (row,), answer))


def test_what_the_untrusted_were_answered_is_learnt_sweep_by_sweep() -> None:
    watch = Watch(seed=b"secret", calibrate_s=7.0)
    ask(watch, "established", 200, T0, age_s=90 * DAY_S)
    assert watch.sweep_due(T0 + 10)
    watch.sweep(T0 + 10)  # there is a scale from here on
    ask(watch, "established", 300, T0 + 20, age_s=90 * DAY_S)
    ask(watch, "thief", 100, T0 + 20, age_s=DAY_S)
    for number in range(2 * STEPS // LEARNT + 1):
        assert watch.meter.estimates()[0].agreement is None
        watch.sweep(T0 + 30 + number)
    leak = watch.meter.estimate(UNTRUSTED)
    assert leak is not None
    assert leak.agreement is not None
    assert leak.agreement > 0.9
    assert leak.answers == 100


def test_clusters_are_followed_as_sweeps_find_them() -> None:
    watch = Watch(seed=b"secret", calibrate_s=7.0)
    ask(watch, "established", 200, T0, age_s=90 * DAY_S)
    watch.sweep(T0 + 10)
    ask(watch, "thief", 60, T0 + 20, age_s=DAY_S, accounts=3)
    ask(watch, "other", 20, T0 + 20, age_s=DAY_S, accounts=1)
    named = [Named(f"thief {number}", "one", 9.0, established=False) for number in range(3)]
    named.append(Named("other 0", "two", 9.0, established=False))
    list(watch.end_sweep(Findings(T0 + 30, named=tuple(named), calibrated=True)))
    untrusted, one, two = watch.meter.estimates()  # the largest cluster first; the ladder calls them as it likes
    assert (untrusted.answers, one.answers, two.answers) == (80, 60, 20)
    ask(watch, "thief", 6, T0 + 40, age_s=DAY_S, accounts=3)
    leak = watch.meter.estimate(one.cluster)
    assert leak is not None
    assert leak.answers == 66


def test_an_answer_that_was_made_coarser_says_nothing_of_its_asker() -> None:
    sums = []
    for coarsened in (0, 3):
        watch = Watch(seed=b"secret", calibrate_s=7.0)
        state = RANDOM.bit_generator.state
        ask(watch, "established", 200, T0, age_s=90 * DAY_S)
        RANDOM.bit_generator.state = state
        watch.sweep(T0 + 10)
        query = Query(Account("a"), T0 + 20, ([0.1] * 6,), {"prediction": 1, "confidence": 1.0})
        watch.note(query._replace(coarsened=coarsened))
        sketch = watch._crowd.sketch("a")
        assert sketch is not None
        sums.append(sketch.recent[-8:])
    assert np.count_nonzero(sums[0]) == 1
    assert np.count_nonzero(sums[1]) == 8


def test_what_is_usual_is_fitted_by_itself_and_a_sweep_comes_next() -> None:
    watch = Watch(seed=b"secret", calibrate_s=7.0)
    ask(watch, "established", 300, T0, age_s=90 * DAY_S)
    watch.sweep(T0 + 10)  # there is a scale from here on
    ask(watch, "established", 1200, T0 + 20, age_s=90 * DAY_S, accounts=200)
    for at in (T0 + 30, T0 + 30 + DAY_S):
        fitted = watch.begin_sweep(at)()
        assert not isinstance(fitted, Findings)
        assert not list(watch.end_sweep(fitted))
        assert watch.sweep_due(at)
        swept = watch.begin_sweep(at)()
        assert isinstance(swept, Findings)
        list(watch.end_sweep(swept))
        assert not watch.sweep_due(at)
