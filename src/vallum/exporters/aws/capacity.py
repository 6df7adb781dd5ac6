"""Web ACL capacity units (WCU): what AWS WAF lets an ACL cost, by the formula of its documentation.

Every transformation is counted at every statement.  AWS counts one that is done twice to the same part of a request
once, so that the figure here is the most that an ACL can need, never less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST = 5000  # of an ACL; over it AWS refuses the ACL
INCLUDED = 1500  # over it AWS charges for every request

TRANSFORMATION = 10
ALL_QUERY_ARGUMENTS = 10
AGGREGATE_KEY = 30
LABELS_A_UNIT = 5

POSITIONS = {"EXACTLY": 2, "STARTS_WITH": 2, "ENDS_WITH": 2, "CONTAINS": 10, "CONTAINS_WORD": 10}
SENSITIVITIES = {"LOW": 20, "HIGH": 30}
BASES = {
    "IPSetReferenceStatement": 1,
    "LabelMatchStatement": 1,
    "RegexMatchStatement": 3,
    "RegexPatternSetReferenceStatement": 25,
    "SizeConstraintStatement": 1,
    "XssMatchStatement": 40,
}


def of_rules(rules: Iterable[Mapping[str, Any]]) -> int:
    """Return the units of an ACL."""
    listed = list(rules)
    labels = sum(len(rule.get("RuleLabels", ())) for rule in listed)
    return sum(of_statement(rule["Statement"]) for rule in listed) + -(-labels // LABELS_A_UNIT)


def of_statement(statement: Mapping[str, Any]) -> int:
    """Return the units of one statement and of those in it.  Raises ValueError for one that is not known."""
    ((kind, body),) = statement.items()
    if kind in {"AndStatement", "OrStatement"}:
        return sum(map(of_statement, body["Statements"]))
    if kind == "NotStatement":
        return of_statement(body["Statement"])
    if kind == "RateBasedStatement":
        keys = body.get("CustomKeys", ())
        scope = body.get("ScopeDownStatement")
        return 2 + AGGREGATE_KEY * len(keys) + (0 if scope is None else of_statement(scope))
    return _of_match(kind, body)


def _of_match(kind: str, body: Mapping[str, Any]) -> int:
    if kind == "ByteMatchStatement":
        base = POSITIONS[body["PositionalConstraint"]]
    elif kind == "SqliMatchStatement":
        base = SENSITIVITIES[body.get("SensitivityLevel", "LOW")]
    elif kind in BASES:
        base = BASES[kind]
    else:
        raise ValueError(f"the capacity of {kind} is not known")
    field = body.get("FieldToMatch", {})
    if "JsonBody" in field:
        base *= 2
    if "AllQueryArguments" in field:
        base += ALL_QUERY_ARGUMENTS
    done = [one for one in body.get("TextTransformations", ()) if one["Type"] != "NONE"]
    return base + TRANSFORMATION * len(done)
