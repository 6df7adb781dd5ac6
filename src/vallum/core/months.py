"""Calendar months by integer arithmetic, the same here and in Lua.

Years are counted from March, so that the odd days of February come last and a month's start is a linear formula
(the proleptic Gregorian calendar, in UTC).  A month's number is 12 * year + month - 1.
"""

from __future__ import annotations

DAY_US = 86_400_000_000
EPOCH = 719_468  # days from 0000-03-01 to 1970-01-01
JANUARY = 2  # months from January to March


def month_of(now_us: int) -> int:
    """Return the number of the month in which `now_us` lies, microseconds since 1970."""
    era, day = divmod(now_us // DAY_US + EPOCH, 146_097)  # 400 years
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    return (era * 400 + year) * 12 + (5 * day + 2) // 153 + JANUARY


def start_of_month_us(month: int) -> int:
    """Return the first instant of the month with this number."""
    year, month = divmod(month - JANUARY, 12)
    return (365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 - EPOCH) * DAY_US
