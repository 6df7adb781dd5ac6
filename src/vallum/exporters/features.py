"""All that a policy can say, feature by feature."""

from __future__ import annotations

from enum import StrEnum


class Feature(StrEnum):
    """Something that a policy can say."""

    UPSTREAM = "upstream"
