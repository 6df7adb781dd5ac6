"""Rules of some routes only: which requests they are asked of.

Rule: not "these paths", which a caller could write in another way, but "all but the other routes' paths", exactly as
      they are written: what is spelled unusually is looked at.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vallum.exporters.aws.notation import Sub, literal
from vallum.exporters.aws.routing import holds, overlap
from vallum.exporters.aws.statements import transformations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.exporters.aws.routing import Entry

# One part of a path that no reader takes for another: nothing encoded, no dot in front.
SEGMENT = "[A-Za-z0-9_~-][A-Za-z0-9._~:@-]*"
LONGEST = 480


def limited(statement: dict[str, Any], chosen: list[Entry], listed: list[Entry], prefix: str) -> dict[str, Any]:
    """Return a statement that is asked of requests for `chosen` alone.  `prefix` stands before all paths."""
    condition = _condition(chosen, listed, prefix)
    if condition is None:
        return statement
    rate = statement.get("RateBasedStatement")
    if rate is None:
        return {"AndStatement": {"Statements": [condition, statement]}}
    scope = rate.get("ScopeDownStatement")
    both = condition if scope is None else {"AndStatement": {"Statements": [condition, scope]}}
    return {"RateBasedStatement": {**rate, "ScopeDownStatement": both}}


def _condition(chosen: list[Entry], listed: list[Entry], prefix: str) -> dict[str, Any] | None:
    others = [entry for entry in listed if entry not in chosen and _is_written(entry)]
    if not others:
        return None
    condition = _not(_any([_named(entry, prefix) for entry in others]))
    # What is also a wider route's path must not be taken for that.
    hidden = [one for one in chosen if any(_hides(other, one) for other in others)]
    return _any([condition, *[_named(entry, prefix) for entry in hidden]])


def _hides(other: Entry, one: Entry) -> bool:
    wide, narrow = other.route.pattern, one.route.pattern
    return bool(other.route.methods & one.route.methods) and overlap(wide, narrow) and not holds(narrow, wide)


def _is_written(entry: Entry) -> bool:
    return len(entry.config.match.path) < LONGEST // 12


def _named(entry: Entry, prefix: str) -> dict[str, Any]:
    """Match a route's paths and methods."""
    methods = [_match({"Method": {}}, method) for method in sorted(entry.route.methods)]
    return {"AndStatement": {"Statements": [_path(entry, prefix), _any(methods)]}}


def _path(entry: Entry, prefix: str) -> dict[str, Any]:
    pattern = entry.route.pattern
    if pattern.segments is None:
        return _match({"UriPath": {}}, prefix + literal(pattern.text))
    parts = [SEGMENT if part is None else re.escape(part) for part in pattern.segments]
    rest = f"(/{SEGMENT})*" if pattern.open_ended else ""
    return {
        "RegexMatchStatement": {
            "FieldToMatch": {"UriPath": {}},
            "RegexString": Sub(f"^{prefix}{literal('/' + '/'.join(parts) if parts else '')}{rest}$"),
            "TextTransformations": transformations([]),
        }
    }


def _match(field: dict[str, Any], text: str) -> dict[str, Any]:
    return {
        "ByteMatchStatement": {
            "FieldToMatch": field,
            "PositionalConstraint": "EXACTLY",
            "SearchString": Sub(text) if "$" in text else text,
            "TextTransformations": transformations([]),
        }
    }


def _any(statements: Iterable[dict[str, Any]]) -> dict[str, Any]:
    listed = list(statements)
    return listed[0] if len(listed) == 1 else {"OrStatement": {"Statements": listed}}


def _not(statement: dict[str, Any]) -> dict[str, Any]:
    return {"NotStatement": {"Statement": statement}}
