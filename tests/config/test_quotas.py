"""The grammar of quotas."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.config.quotas import UNITS_S, parse_quota

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "limit", "window_s", "name"),
    [
        ("10 per second", 10, 1, "second"),
        ("10 per minute", 10, 60, "minute"),
        ("50 per hour", 50, 3600, "hour"),
        ("200 per day", 200, 86_400, "day"),
        ("1000 per month", 1000, 2_592_000, "month"),
        ("300 per 5 minutes", 300, 300, "5-minutes"),
        ("300 per 5 minute", 300, 300, "5-minutes"),
        ("10 per minutes", 10, 60, "minute"),
        ("10 per 1 minute", 10, 60, "minute"),
        ("10/minute", 10, 60, "minute"),
        ("10 / minute", 10, 60, "minute"),
        ("10/ 2 hours", 10, 7200, "2-hours"),
        ("10/2hours", 10, 7200, "2-hours"),
        ("  10   per   minute  ", 10, 60, "minute"),
        ("10 PER Minute", 10, 60, "minute"),
        ("40_000 per minute", 40_000, 60, "minute"),
        ("1 per 365 days", 1, 31_536_000, "365-days"),
    ],
)
def test_quotas(text: str, limit: int, window_s: int, name: str) -> None:
    assert parse_quota(text) == (limit, window_s * SECOND, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "per minute",
        "ten per minute",
        "10 a minute",
        "10 perminute",
        "10 per fortnight",
        "10 per minutess",
        "10 per m",
        "10 per 5",
        "10 per five minutes",
        "-10 per minute",
        "1.5 per minute",
        "10 per 1.5 minutes",
        "10 per -5 minutes",
        "10,000 per minute",
        "10 per minute per ip",
        "10 per minute\n5 per hour",
        "_10 per minute",
        "10 per\u00a0week",
    ],
)
def test_what_is_no_quota_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no quota; write it as: 10 per minute"):
        parse_quota(text)


@pytest.mark.parametrize("text", ["0 per minute", "10 per 0 minutes", "0/day", "0_0 per day"])
def test_a_quota_admits_something(text: str) -> None:
    with pytest.raises(ValueError, match="admits nothing"):
        parse_quota(text)


@pytest.mark.parametrize("text", ["9" * 5000 + " per minute", "1 per " + "9" * 5000 + " days"])
def test_numbers_beyond_reason_are_value_errors_of_ours(text: str) -> None:
    with pytest.raises(ValueError):
        parse_quota(text)


@given(st.integers(1, 10**9), st.integers(1, 1000), st.sampled_from(list(UNITS_S)), st.booleans())
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read(limit: int, count: int, unit: str, slash: bool) -> None:
    text = f"{limit}/{count} {unit}s" if slash else f"{limit} per {count} {unit}s"
    assert parse_quota(text)[:2] == (limit, count * UNITS_S[unit] * SECOND)
