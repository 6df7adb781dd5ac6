"""How header fields become others, in Envoy's words.

Rule: what is not wanted is removed by its name, whoever wrote it; what is wanted and there already is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.adapters.envoy.messages_pb2 import HeaderMutation, HeaderValue, HeaderValueOption

if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
FURTHER = HeaderValueOption.APPEND_IF_EXISTS_OR_ADD


def amend(present: Iterable[tuple[str, str]], wanted: Iterable[tuple[str, str]]) -> HeaderMutation:
    """Say how the fields `present` become those `wanted`; pseudo-header fields are removed by nothing."""
    have, want = _by_name(present), _by_name(wanted)
    mutation = HeaderMutation(remove_headers=[name for name in have if name not in want and name[:1] != ":"])
    for name, values in want.items():
        if have.get(name) != values:
            for at, value in enumerate(values):
                # Envoy's external processing reads `raw_value` and takes a field with `value` for an empty one.
                header = HeaderValue(key=name, raw_value=value.encode("latin-1"))
                mutation.set_headers.append(HeaderValueOption(header=header, append_action=FURTHER if at else FIRST))
    return mutation


def _by_name(fields: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return found
