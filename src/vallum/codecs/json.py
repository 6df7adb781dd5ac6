"""JSON, read strictly (RFC 8259): what two parsers could read in two ways is not read at all.

Duplicate keys, NaN and Infinity, lone surrogates, a byte-order mark, trailing commas, control characters in strings
and nesting beyond 200 levels are errors.
"""

from __future__ import annotations

import gc
import re
from typing import TYPE_CHECKING, Any

import jiter
import msgspec

if TYPE_CHECKING:
    from vallum.core.exchange import Headers

QUOTED = re.compile(r' ".*"', re.DOTALL)  # the caller's words, which belong in no record
DECODE = msgspec.json.Decoder().decode  # made once: half a microsecond an answer
ENCODE = msgspec.json.Encoder().encode
# A document has no cycles, and to look for some while it grows makes a megabyte of brackets five times as dear.
LARGE_BYTES = 16_384
MEDIA_TYPES = frozenset({"application/json"})


class Json:
    """The strict reader and writer of JSON, for requests."""

    def decode(self, body: bytes, headers: Headers | None = None) -> Any:
        """Parse `body`; raise ValueError, whose message names the place and quotes nothing."""
        resting = len(body) > LARGE_BYTES and gc.isenabled()
        if resting:
            gc.disable()
        try:
            return jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
        except ValueError as error:
            raise ValueError(QUOTED.sub("", str(error))) from error
        finally:
            if resting:
                gc.enable()

    def encode(self, document: Any) -> bytes:
        """Serialise `document`, in compact form; a number that is not finite becomes null."""
        return ENCODE(document)


class AnswerJson(Json):
    """The reader of answers: model servers write NaN where a score is undefined, and no caller is hurt by that."""

    def decode(self, body: bytes, headers: Headers | None = None) -> Any:
        """Parse `body`, of a repeated key the last; raise ValueError that quotes nothing."""
        try:
            return DECODE(body)
        except (ValueError, RecursionError):  # NaN perhaps, which only the slower reader takes
            pass
        try:
            return jiter.from_json(body, allow_inf_nan=True, catch_duplicate_keys=False)
        except ValueError as error:
            raise ValueError(QUOTED.sub("", str(error))) from error
