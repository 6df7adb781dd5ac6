"""PLACEHOLDER so that imports work until the real file replaces this one whole."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from vallum.core.policy import Mode


class SqliConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="sqli", kw_only=True):
    mode: Mode = Mode.ENFORCE
    transforms: list[Literal["url_decode", "html_decode", "base64_decode", "unicode_normalise"]] = []


class Sqli:
    type: ClassVar[str] = "sqli"

    def __init__(self, config):
        pass

    def inspect(self, content):
        from vallum.core.decision import Finding

        return Finding("sqli", "", "x") if "%27" in content.text or "' OR 1=1" in content.text else None
