"""The grammar of quotas: `10 per minute`, `300 per 5 minutes`, `N/hour`."""

from __future__ import annotations

import re

from vallum.core.quota import SECOND_US

UNITS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 2_592_000}  # a month is 30 days
GRAMMAR = re.compile(r"\s*(\d[\d_]*)\s*(?:per\s+(?:(\d+)\s+)?|/\s*(?:(\d+)\s*)?)([a-z]+?)s?\s*", re.IGNORECASE)
EXAMPLE = "write it as: 10 per minute, 300 per 5 minutes, 5000/day"


def parse_quota(text: str) -> tuple[int, int, str]:
    """Return limit, window in microseconds, and a name for the window; raise ValueError that shows how to write it."""
    match = GRAMMAR.fullmatch(text)
    if match is None or match.group(4).lower() not in UNITS_S:
        raise ValueError(f"{text!r} is no quota; {EXAMPLE}")
    limit = int(match.group(1).replace("_", ""))
    count = int(match.group(2) or match.group(3) or 1)
    unit = match.group(4).lower()
    if limit < 1 or count < 1:
        raise ValueError(f"{text!r} admits nothing; {EXAMPLE}")
    return limit, count * UNITS_S[unit] * SECOND_US, unit if count == 1 else f"{count}-{unit}s"
