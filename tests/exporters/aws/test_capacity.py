"""The units of each kind of statement, as AWS's documentation counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.exporters.aws.reading import export, properties, read

from vallum.exporters.aws.capacity import of_rules, of_statement
from vallum.exporters.export import ExportError

if TYPE_CHECKING:
    from pathlib import Path

NONE = [{"Priority": 0, "Type": "NONE"}]
ONE = [{"Priority": 0, "Type": "URL_DECODE"}]
TWO = [*ONE, {"Priority": 1, "Type": "LOWERCASE"}]
BODY = {"Body": {}}
JSON = {"JsonBody": {"MatchPattern": {"All": {}}}}
ARGUMENTS = {"AllQueryArguments": {}}


def match(kind: str, field: dict[str, Any] | None = None, done: list[Any] | None = None, **rest: Any) -> dict[str, Any]:
    return {f"{kind}Statement": {"FieldToMatch": field or BODY, "TextTransformations": done or NONE, **rest}}


SQLI = match("SqliMatch")
IPS = {"IPSetReferenceStatement": {"Arn": "arn"}}
STATEMENTS = {
    "SQL": (SQLI, 20),
    "SQL, low": (match("SqliMatch", SensitivityLevel="LOW"), 20),
    "SQL, high": (match("SqliMatch", SensitivityLevel="HIGH"), 30),
    "SQL in all arguments": (match("SqliMatch", ARGUMENTS), 30),
    "SQL in a JSON body": (match("SqliMatch", JSON), 40),
    "SQL in a JSON body, high": (match("SqliMatch", JSON, SensitivityLevel="HIGH"), 60),
    "SQL after a transformation": (match("SqliMatch", BODY, ONE), 30),
    "SQL in a JSON body after two": (match("SqliMatch", JSON, TWO), 60),
    "scripts": (match("XssMatch"), 40),
    "scripts in all arguments, transformed": (match("XssMatch", ARGUMENTS, ONE), 60),
    "scripts in a JSON body": (match("XssMatch", JSON), 80),
    "a string, exactly": (match("ByteMatch", PositionalConstraint="EXACTLY"), 2),
    "a string at the start": (match("ByteMatch", PositionalConstraint="STARTS_WITH"), 2),
    "a string at the end": (match("ByteMatch", PositionalConstraint="ENDS_WITH"), 2),
    "a string anywhere": (match("ByteMatch", PositionalConstraint="CONTAINS"), 10),
    "a word anywhere": (match("ByteMatch", PositionalConstraint="CONTAINS_WORD"), 10),
    "a string anywhere in a JSON body": (match("ByteMatch", JSON, PositionalConstraint="CONTAINS"), 20),
    "an expression": (match("RegexMatch"), 3),
    "an expression, transformed": (match("RegexMatch", BODY, ONE), 13),
    "a set of expressions": (match("RegexPatternSetReference"), 25),
    "a size": (match("SizeConstraint"), 1),
    "a size of all arguments": (match("SizeConstraint", ARGUMENTS), 11),
    "addresses": (IPS, 1),
    "a label": ({"LabelMatchStatement": {"Key": "a", "Scope": "LABEL"}}, 1),
    "and": ({"AndStatement": {"Statements": [SQLI, IPS]}}, 21),
    "or": ({"OrStatement": {"Statements": [SQLI, SQLI]}}, 40),
    "not": ({"NotStatement": {"Statement": SQLI}}, 20),
    "a rate": ({"RateBasedStatement": {"Limit": 100, "AggregateKeyType": "IP"}}, 2),
    "a rate of some": ({"RateBasedStatement": {"Limit": 100, "ScopeDownStatement": SQLI}}, 22),
    "a rate by two keys": ({"RateBasedStatement": {"Limit": 100, "CustomKeys": [{"IP": {}}, {"HTTPMethod": {}}]}}, 62),
}


@pytest.mark.parametrize(("statement", "units"), STATEMENTS.values(), ids=STATEMENTS)
def test_a_statement_has_its_units(statement: dict[str, Any], units: int) -> None:
    assert of_statement(statement) == units


def test_a_statement_that_is_not_known_is_no_guess() -> None:
    with pytest.raises(ValueError, match="GeoMatchStatement"):
        of_statement({"GeoMatchStatement": {"CountryCodes": ["CH"]}})


@pytest.mark.parametrize(("labels", "units"), [(0, 1), (1, 2), (5, 2), (6, 3)])
def test_five_labels_are_a_unit(labels: int, units: int) -> None:
    rules = [{"Statement": IPS, "RuleLabels": [{"Name": "a"}] * labels}]
    assert of_rules(rules) == units


def crowd(count: int) -> dict[str, Any]:
    statement = {"xss_match": {"field": {"json_body": {}}, "transforms": ["url_decode"] * 10}}  # 180
    rules = [{"name": f"r{number}", "priority": number, "statement": statement} for number in range(count)]
    return {"web_acls": {"acl": {"rules": rules}}, "routes.0.web_acl": "acl", "routes.0.request.max_bytes": 1_000_000}


def test_the_template_says_what_it_needs(tmp_path: Path) -> None:
    made = export(tmp_path, crowd(1))
    assert "# Capacity: 180 WCU of 5000 at the most." in made.files["cloudformation.yaml"]
    ((_, acl),) = properties(read(made), "AWS::WAFv2::WebACL").items()
    assert of_rules(acl["Rules"]) == 180


def test_what_costs_more_is_warned_of(tmp_path: Path) -> None:
    text = export(tmp_path, crowd(9)).files["cloudformation.yaml"]
    assert "# Capacity: 1620 WCU of 5000 at the most. WARNING: AWS charges every request for more than 1500." in text


def test_more_than_an_acl_can_hold_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="5040 WCU"):
        export(tmp_path, crowd(28))
