"""The grammar of quotas."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.config.model.limits import QuotaConfig
from vallum.config.quotas import UNITS_S, build_quota, parse_quota
from vallum.core.quota import OnStoreFailure, Per, Quota, Strategy

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


@given(st.integers(1, 10**9), st.integers(1, 121), st.sampled_from(list(UNITS_S)), st.booleans())
@settings(max_examples=100)
def test_what_is_written_is_read(limit: int, count: int, unit: str, slash: bool) -> None:
    text = f"{limit}/{count} {unit}s" if slash else f"{limit} per {count} {unit}s"
    assert parse_quota(text)[:2] == (limit, count * UNITS_S[unit] * SECOND)


MINUTE, DAY, MONTH = 60 * SECOND, 86_400 * SECOND, 2_592_000 * SECOND


@pytest.mark.parametrize(
    ("config", "quota"),
    [
        (QuotaConfig(limit="10 per minute"), Quota("minute", 10, MINUTE)),
        (QuotaConfig(limit="10 per minute", per=Per.IP), Quota("minute-ip", 10, MINUTE, Per.IP)),
        (QuotaConfig(limit="9/minute", unit="tokens"), Quota("minute-tokens", 9, MINUTE, unit="tokens")),
        (
            QuotaConfig(limit="9/minute", unit="gpu_ms", per=Per.TENANT),
            Quota("minute-gpu-ms-tenant", 9, MINUTE, Per.TENANT, "gpu_ms"),
        ),
        (QuotaConfig(limit="5.00 per day", unit="money"), Quota("day-money", 5_000_000, DAY, unit="money")),
        (QuotaConfig(limit="0.000001/day", unit="money"), Quota("day-money", 1, DAY, unit="money")),
        (QuotaConfig(limit="3 per day", unit="money"), Quota("day-money", 3_000_000, DAY, unit="money")),
        (
            QuotaConfig(limit="5 per day", unit="money", strategy="smooth", burst=0.1),
            Quota("day-money", 5_000_000, DAY, unit="money", strategy=Strategy.SMOOTH, burst=100_000),
        ),
        (
            QuotaConfig(limit="60/minute", strategy="smooth", burst=5),
            Quota("minute", 60, MINUTE, strategy=Strategy.SMOOTH, burst=5),
        ),
        (
            QuotaConfig(limit="7 per 3 months", strategy="calendar", name="quarter"),
            Quota("quarter", 7, 3 * MONTH, strategy=Strategy.CALENDAR, months=3),
        ),
        (
            QuotaConfig(limit="7 per 30 days", strategy="calendar"),
            Quota("30-days", 7, MONTH, strategy=Strategy.CALENDAR),
        ),
        (QuotaConfig(limit="7 per month"), Quota("month", 7, MONTH)),
        (
            QuotaConfig(limit=4, unit="concurrent"),
            Quota("concurrent", 4, MINUTE, unit="concurrent", strategy=Strategy.LEASES),
        ),
        (
            QuotaConfig(
                limit="4", unit="concurrent", lease_s=90.0, per=Per.ROUTE, on_store_failure=OnStoreFailure.DENY
            ),
            Quota(
                "concurrent-route",
                4,
                90 * SECOND,
                Per.ROUTE,
                "concurrent",
                Strategy.LEASES,
                on_store_failure=OnStoreFailure.DENY,
            ),
        ),
    ],
)
def test_what_a_quota_becomes(config: QuotaConfig, quota: Quota) -> None:
    assert build_quota(config) == quota
