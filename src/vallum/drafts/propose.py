"""Proposes a schema of what was seen, wider than it by a stated margin, with the evidence beside each bound.

| of | proposed |
| --- | --- |
| numbers | the range, wider by half of itself on each side; not below zero if none was |
| lengths of texts | up to the next power of two over one and a half times the longest |
| lengths of lists | the same; exactly n, if all of SURE were of n |
| words | just these, if there are few, each often and from several callers |
| signs | letters, digits and `_.:/-` alone, if all short texts of SURE were of these |
| members | no others; always there, if all of SURE had them; any name, if there were too many |
"""

from __future__ import annotations

from math import ceil, floor, log2
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vallum.drafts.seen import Range, Seen

SURE = 30  # sightings from which never means never
OFTEN = 20  # sightings for each distinct word
SEVERAL = 2  # callers
MARGIN = 0.5
SMALL_MAP = 8  # members that a map has at least: fewer are named


def propose(seen: Seen, *, callers_known: bool = False) -> dict[str, Any]:
    """Return a JSON Schema for what was seen in one place."""
    kinds = _kinds(seen)
    schema: dict[str, Any] = {"$comment": "", "type": kinds[0] if len(kinds) == 1 else kinds}
    told = [f"seen {seen.kinds.total():,} times"]
    if "number" in kinds or "integer" in kinds:
        low, high = widen(seen.numbers, whole="number" not in kinds)
        schema |= {"minimum": low, "maximum": high}
        told.append(_say(seen.numbers, low, high))
    if "string" in kinds:
        _propose_text(schema, seen, told, callers_known)
    if "array" in kinds:
        low, high = _lengths(seen.items, seen.kinds["array"])
        schema |= {"minItems": low, "maxItems": high}
        told.append(f"items {_say(seen.items, low, high)}")
        if seen.item is not None:
            schema["items"] = propose(seen.item, callers_known=callers_known)
    if "object" in kinds:
        _propose_members(schema, seen, told, callers_known)
    schema["$comment"] = "; ".join(told)
    return schema


def widen(seen: Range, *, whole: bool) -> tuple[float, float]:
    """Return a range with its margin."""
    least, most = seen.least or 0, seen.most or 0
    margin = MARGIN * ((most - least) or max(abs(most), 1))
    low = 0 if least >= 0 and least - margin < 0 else least - margin
    high = 0 if most <= 0 and most + margin > 0 else most + margin
    return (floor(low), ceil(high)) if whole else (low, high)


def next_power(count: float) -> int:
    """Return the next power of two over one and a half times `count`."""
    return 1 << ceil(log2(max(count * (1 + MARGIN), 1)))


def _kinds(seen: Seen) -> list[str]:
    kinds = {kind for kind, count in seen.kinds.items() if count}
    numbers = seen.kinds["integer"] + seen.kinds["number"]
    if numbers and ("number" in kinds or numbers < SURE):  # 0 and 1 may have been meant as 0.0 and 1.0
        kinds = kinds - {"integer"} | {"number"}
    return sorted(kinds)


def _propose_text(schema: dict[str, Any], seen: Seen, told: list[str], callers_known: bool) -> None:
    count = seen.kinds["string"]
    words = seen.words or {}
    several = all(len(word.callers) >= SEVERAL for word in words.values()) if callers_known else True
    if words and several and count >= OFTEN * len(words) and all(word.count > 2 for word in words.values()):
        others = count < seen.kinds.total()
        if not others or set(seen.kinds) <= {"string", "null"}:
            schema["enum"] = [*sorted(words), *([None] if others else [])]
            told.append(f"{len(words)} words")
            return
    low, high = (1 if (seen.chars.least or 0) > 0 else 0), next_power(seen.chars.most or 0)
    schema |= {"minLength": low, "maxLength": high}
    told.append(f"characters {_say(seen.chars, low, high)}")
    if count >= SURE and seen.signs and "any" not in seen.signs:
        signs = "".join(sorted(seen.signs - {"-", "/"}, key=lambda sign: (len(sign) == 1, sign)))
        schema["pattern"] = f"^[{signs}{'/' if '/' in seen.signs else ''}{'-' if '-' in seen.signs else ''}]*$"


def _propose_members(schema: dict[str, Any], seen: Seen, told: list[str], callers_known: bool) -> None:
    count = seen.kinds["object"]
    members = seen.members
    if members is None or _is_map(seen):
        common = seen.item
        if members is not None:
            common = type(seen)()
            for member in members.values():
                common.merge(member)
        high, names = next_power(seen.sizes.most or 0), next_power(seen.keys.most or 0)
        schema |= {"maxProperties": high, "propertyNames": {"maxLength": names}}
        schema["additionalProperties"] = propose(common, callers_known=callers_known) if common is not None else False
        told.append(f"a map of {_say(seen.sizes, 0, high)} members")
        return
    schema["properties"] = {name: propose(members[name], callers_known=callers_known) for name in members}
    required = [name for name, member in members.items() if member.kinds.total() == count >= SURE]
    if required:
        schema["required"] = required
    schema["additionalProperties"] = False


def _is_map(seen: Seen) -> bool:
    """Say whether names of members look made up: many, of which each was seen in few of the objects."""
    members = seen.members or {}
    often = sum(member.kinds.total() for member in members.values()) / max(len(members), 1)
    return len(members) >= SMALL_MAP and often < seen.kinds["object"] / SMALL_MAP


def _lengths(seen: Range, count: int) -> tuple[int, int]:
    least, most = int(seen.least or 0), int(seen.most or 0)
    if least == most and count >= SURE:
        return least, most
    return min(least, 1), next_power(most)


def _say(seen: Range, low: float, high: float) -> str:
    return f"{seen.least:g}..{seen.most:g}, proposed {low:g}..{high:g}"
