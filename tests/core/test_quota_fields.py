"""The RateLimit fields: own quotas in order, whole seconds rounded up, nothing of buckets that others fill."""

from __future__ import annotations

import pytest

from vallum.core.quota import Per, Quota, Taken
from vallum.core.quota_fields import duration, openai_writer, quota_writer

MINUTE = Quota("minute", 10, 60_000_000)
DAY = Quota("day-ip", 500, 86_400_000_000, Per.IP)


def test_both_fields_in_the_order_of_the_policy() -> None:
    write = quota_writer((MINUTE, DAY))
    assert write(Taken(((MINUTE, 9, 1_500_000), (DAY, 0, 86_400_000_000)))) == (
        ("ratelimit-policy", '"minute";q=10;w=60, "day-ip";q=500;w=86400'),
        ("ratelimit", '"minute";r=9;t=2, "day-ip";r=0;t=86400'),
    )


@pytest.mark.parametrize(
    ("reset_us", "seconds"), [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (62_500_000, 63)]
)
def test_seconds_are_rounded_up_so_that_who_waits_is_not_early(reset_us: int, seconds: int) -> None:
    assert quota_writer((MINUTE,))(Taken(((MINUTE, 3, reset_us),)))[1] == ("ratelimit", f'"minute";r=3;t={seconds}')


@pytest.mark.parametrize(
    ("per", "shown"),
    [
        (Per.PRINCIPAL, True),
        (Per.KEY, True),
        (Per.IP, True),
        (Per.TENANT, False),
        (Per.ROUTE, False),
        (Per.GLOBAL, False),
    ],
)
def test_how_a_shared_bucket_stands_would_show_the_load_of_others(per: Per, shown: bool) -> None:
    shared = Quota("other", 10, 60_000_000, per)
    fields = quota_writer((shared, MINUTE))(Taken(((shared, 5, 1), (MINUTE, 9, 1))))
    assert ("other" in fields[0][1]) is shown
    assert ("other" in fields[1][1]) is shown
    assert '"minute";r=9;t=1' in fields[1][1]


def test_without_a_quota_of_ones_own_there_are_no_fields() -> None:
    shared = Quota("all", 10, 60_000_000, Per.GLOBAL)
    assert quota_writer((shared,))(Taken(((shared, 5, 1),))) == ()


def test_openai_is_told_of_the_shortest_own_window_of_each_unit() -> None:
    hour = Quota("hour", 100, 3_600_000_000)
    shared = Quota("all", 5, 1_000_000, Per.GLOBAL)
    tokens = Quota("tokens", 4000, 60_000_000, unit="tokens")
    taken = Taken(((shared, 1, 1), (hour, 50, 1), (MINUTE, 9, 1_500_000), (tokens, 7, 12_000)))
    told = dict(openai_writer((shared, hour, MINUTE, tokens))(taken))
    assert {name: value for name, value in told.items() if name.startswith("x-")} == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-limit-tokens": "4000",
        "x-ratelimit-remaining-tokens": "7",
        "x-ratelimit-reset-tokens": "12ms",
    }


@pytest.mark.parametrize(
    ("span_us", "written"),
    [
        (0, "0s"),
        (1, "1ms"),
        (12_000, "12ms"),
        (999_000, "999ms"),
        (999_001, "1s"),
        (1_000_000, "1s"),
        (1_000_001, "2s"),
        (360_000_000, "6m0s"),
        (7_200_000_000, "2h0m0s"),
        (86_399_999_999, "24h0m0s"),
    ],
)
def test_a_span_is_written_as_go_does(span_us: int, written: str) -> None:
    assert duration(span_us) == written
