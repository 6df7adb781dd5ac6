"""Forms (application/x-www-form-urlencoded), read strictly: the one format that OAuth's token requests have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from vallum.core.exchange import Headers

FORM = frozenset({"application/x-www-form-urlencoded"})
FIELDS_MAX = 32
PLAIN = re.compile(rb"(?:[A-Za-z0-9*._~=&+-]|[!$'(),/:;?@]|%[0-9A-Fa-f]{2})*")


class Form:
    """Reads a form into a mapping of texts."""

    def decode(self, body: bytes, headers: Headers | None = None) -> dict[str, str]:
        """Parse `body`; raise ValueError that quotes nothing: a field twice (RFC 6749 3.2), bad escapes, not UTF-8."""
        if not PLAIN.fullmatch(body):
            raise ValueError("a form with characters or escapes that none has")
        try:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(body),
                errors="strict",
                max_num_fields=FIELDS_MAX,
            )
        except ValueError as error:
            raise ValueError(f"a form that is not UTF-8 pairs, or has over {FIELDS_MAX} of them") from error
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise ValueError("a field stands twice in a form")
        return fields

    def encode(self, document: dict[str, str]) -> bytes:
        """Serialise."""
        return urlencode(document).encode()
