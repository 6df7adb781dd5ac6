"""Statements of web ACLs in AWS WAF's own form (AWS::WAFv2::WebACL, API of 2019-07-29).

Rule 1: what AWS cannot look at is not passed: where a rule blocks and Vallum would have looked further than AWS does,
        a body that is too large matches, or does not match where the statement stands under `not`.
Rule 2: where AWS has no word for the places of a body that a rule looks at, it looks at all of it.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any

from vallum.config.model.web_acl import AggregateKey, FieldToMatch
from vallum.exporters.aws.notation import DYNAMIC, GetAtt, Sub, literal
from vallum.exporters.aws.pointers import LONGEST_POINTER, chosen
from vallum.exporters.export import ExportError, Kind
from vallum.exporters.features import Feature

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vallum.config.model.web_acl import (
        ByteMatch,
        IpSet,
        JsonBody,
        LabelMatch,
        MatchBase,
        RateBased,
        RegexMatch,
        SizeConstraint,
        SqliMatch,
        Statement,
        XssMatch,
    )
    from vallum.exporters.aws.template import Template

INSPECTED_BYTES = 65_536  # of a body, by the web ACL of a REST API at the most (KB_64)
OVERSIZE = {"match": "MATCH", "no_match": "NO_MATCH", "continue": "CONTINUE"}
REMEDY = "Put Vallum behind the API: it looks at the whole body, place by place."
ALWAYS = {
    "ByteMatchStatement": {
        "FieldToMatch": {"UriPath": {}},
        "PositionalConstraint": "STARTS_WITH",
        "SearchString": "/",
        "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
    }
}


@dataclass(slots=True)
class Rewriter:
    """Writes the statements of one rule."""

    template: Template
    where: str  # of the rule in the policy
    name: str  # of the rule, for what needs a name of its own
    blocks: bool
    inspect_bytes: int
    prefix: str = ""  # what AWS sees before every path: the stage
    places: Sequence[str] | None = None  # where a body may hold texts, if its schema says so
    sets: int = field(default=0)

    def write(self, statement: Statement, *, negated: bool = False) -> dict[str, Any]:
        """Return a statement.  Raises ExportError for what AWS WAF does not take."""
        for name, build in WRITERS.items():
            body = getattr(statement, name)
            if body is not None:
                return build(self, body, negated)
        raise ExportError(f"{self.where}: a statement that says nothing")

    def lose(self, feature: Feature, detail: str, kind: Kind = Kind.APPROXIMATE) -> None:
        """Say what becomes of a feature of this rule."""
        self.template.lose(feature, self.where, detail, REMEDY, kind)

    def match(self, body: MatchBase, negated: bool) -> dict[str, Any]:
        """Return what all statements that look at text share."""
        return {
            "FieldToMatch": self.field(body, negated),
            "TextTransformations": transformations([name.upper() for name in body.transforms]),
        }

    def field(self, body: MatchBase, negated: bool) -> dict[str, Any]:
        """Return the part of the request that is looked at."""
        part = body.field
        if isinstance(part, FieldToMatch):
            if part.header is not None:
                return {"SingleHeader": {"Name": part.header.lower()}}
            if part.query_argument is not None:
                return {"SingleQueryArgument": {"Name": part.query_argument.lower()}}
            assert part.json_body is not None
            return {"JsonBody": self.json_body(part.json_body, self.oversize(body, negated))}
        if part == "body":
            return {"Body": {"OversizeHandling": self.oversize(body, negated)}}
        if part in {"headers", "cookies"}:
            pattern = {"MatchPattern": {"All": {}}, "MatchScope": "ALL", "OversizeHandling": OVERSIZE[body.oversize]}
            return {part.capitalize(): pattern}
        return {"".join(word.capitalize() for word in part.split("_")): {}}

    def oversize(self, body: MatchBase, negated: bool) -> str:
        """Return what a body does of which AWS sees only the beginning."""
        if not self.blocks or self.inspect_bytes <= INSPECTED_BYTES:
            return OVERSIZE[body.oversize]
        closed = "NO_MATCH" if negated else "MATCH"
        self.lose(
            Feature.WAF_OVERSIZE,
            "AWS WAF sees 64 KiB of a body; a larger one is refused by this rule, whatever is in it",
            Kind.APPROXIMATE if OVERSIZE[body.oversize] == closed else Kind.LOST,
        )
        return closed

    def json_body(self, body: JsonBody, oversize: str) -> dict[str, Any]:
        """Return the places of a body that are looked at."""
        pattern: dict[str, Any] = {"All": {}}
        pointers = self.pointers(body)
        if pointers is not None:
            pattern = {"IncludedPaths": pointers}
        return {
            "MatchPattern": pattern,
            "MatchScope": body.scope.upper(),
            "InvalidFallbackBehavior": body.invalid.upper(),
            "OversizeHandling": oversize,
        }

    def pointers(self, body: JsonBody) -> list[str] | None:
        """Return the places that AWS is told; None: all of the body."""
        if not body.exclude and not body.include:
            return None
        found = [] if self.places is None else chosen(self.places, body.include, body.exclude)
        if found:
            return found
        if not body.exclude and all(_is_plain(pointer) for pointer in body.include):
            self.lose(Feature.WAF_JSON, "AWS looks at these very places, and may not at what is below them")
            return list(body.include)
        if body.exclude:
            self.lose(
                Feature.WAF_JSON_EXCLUDE,
                "all of the body is looked at: AWS leaves nothing out, and no schema names every place that is left in",
                Kind.LOST,
            )
        if not all(_is_plain(pointer) for pointer in body.include):
            self.lose(
                Feature.WAF_JSON,
                "all of the body is looked at: AWS has no `*`, and no schema names every place that it stands for",
                Kind.LOST,
            )
        return None

    def own_name(self) -> str:
        """Return the logical id of the next set of this rule."""
        self.sets += 1
        return self.template.name(self.name, f"Set{self.sets}")


def _is_plain(pointer: str) -> bool:
    return (
        not {"*", "**"} & set(pointer.split("/")) and 1 <= len(pointer) <= LONGEST_POINTER and pointer.startswith("/")
    )


def transformations(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is done to a text first, in this order; AWS wants one at least."""
    return [{"Priority": index, "Type": name} for index, name in enumerate(names or ["NONE"])]


def _sqli(rewriter: Rewriter, body: SqliMatch, negated: bool) -> dict[str, Any]:
    return {
        "SqliMatchStatement": {**rewriter.match(body, negated), "SensitivityLevel": body.sensitivity.upper()},
    }


def _xss(rewriter: Rewriter, body: XssMatch, negated: bool) -> dict[str, Any]:
    return {"XssMatchStatement": rewriter.match(body, negated)}


def _byte(rewriter: Rewriter, body: ByteMatch, negated: bool) -> dict[str, Any]:
    known: dict[str, Any] = {"SearchString": body.search}
    anchored = body.position in {"exactly", "starts_with"} and body.search.startswith("/")
    if body.field == "uri_path" and rewriter.prefix and anchored:
        known = {"SearchString": Sub(rewriter.prefix + literal(body.search))}
    elif not body.search.isascii() or not body.search.isprintable() or DYNAMIC.search(body.search):
        known = {"SearchStringBase64": b64encode(body.search.encode()).decode()}
    return {
        "ByteMatchStatement": {
            **rewriter.match(body, negated),
            "PositionalConstraint": body.position.upper(),
            **known,
        }
    }


def _regex(rewriter: Rewriter, body: RegexMatch, negated: bool) -> dict[str, Any]:
    match = rewriter.match(body, negated)
    if body.field == "uri_path" and rewriter.prefix and any("^" in pattern for pattern in body.patterns):
        detail = "AWS sees the stage before the path, so that `^` is no longer where the path begins"
        rewriter.lose(Feature.WAF_REGEX, detail, Kind.LOST)
    if len(body.patterns) == 1:
        return {"RegexMatchStatement": {**match, "RegexString": body.patterns[0]}}
    name = rewriter.own_name()
    properties = {"Scope": "REGIONAL", "RegularExpressionList": list(body.patterns)}
    rewriter.template.add(name, "AWS::WAFv2::RegexPatternSet", properties, f"The expressions of {rewriter.where}.")
    return {"RegexPatternSetReferenceStatement": {**match, "Arn": GetAtt(name, "Arn")}}


def _size(rewriter: Rewriter, body: SizeConstraint, negated: bool) -> dict[str, Any]:
    return {
        "SizeConstraintStatement": {
            **rewriter.match(body, negated),
            "ComparisonOperator": body.comparison.upper(),
            "Size": body.size,
        }
    }


def _ip_set(rewriter: Rewriter, body: IpSet, _negated: bool) -> dict[str, Any]:
    """Write the sets: one for each version of IP, as AWS keeps them apart."""
    try:
        networks = [ip_network(text, strict=False) for text in body.addresses]
    except ValueError as error:
        raise ExportError(f"{rewriter.where}: {error}") from None
    halves: list[IPv4Network | IPv6Network] = []
    for network in networks:  # AWS takes no network of all addresses
        halves.extend([network] if network.prefixlen else network.subnets(1))
    found: list[dict[str, Any]] = []
    for version in (4, 6):
        addresses = [str(network) for network in halves if network.version == version]
        if addresses:
            name = rewriter.own_name()
            properties = {"Scope": "REGIONAL", "IPAddressVersion": f"IPV{version}", "Addresses": addresses}
            rewriter.template.add(name, "AWS::WAFv2::IPSet", properties, f"The addresses of {rewriter.where}.")
            found.append({"IPSetReferenceStatement": {"Arn": GetAtt(name, "Arn")}})
    return found[0] if len(found) == 1 else {"OrStatement": {"Statements": found}}


def _label(_rewriter: Rewriter, body: LabelMatch, _negated: bool) -> dict[str, Any]:
    scope = "NAMESPACE" if body.key.endswith(":") else "LABEL"
    return {"LabelMatchStatement": {"Scope": scope, "Key": body.key}}


def _rate(rewriter: Rewriter, body: RateBased, _negated: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"Limit": body.limit, "EvaluationWindowSec": body.window_s}
    if body.per == "ip" or body.per == ["ip"]:  # AWS takes an address for a key of its own only with others
        written["AggregateKeyType"] = "IP"
    elif body.per == "constant":
        written["AggregateKeyType"] = "CONSTANT"
    else:
        written["AggregateKeyType"] = "CUSTOM_KEYS"
        written["CustomKeys"] = [_key(part) for part in body.per]
    if body.scope_down is not None:
        written["ScopeDownStatement"] = rewriter.write(body.scope_down)
    elif body.per == "constant":  # which AWS takes only with a scope
        written["ScopeDownStatement"] = ALWAYS
    return {"RateBasedStatement": written}


PARTS = {"ip": "IP", "method": "HTTPMethod", "uri_path": "UriPath", "query_string": "QueryString"}


def _key(part: str | AggregateKey) -> dict[str, Any]:
    if isinstance(part, AggregateKey):
        if part.header is not None:
            return {"Header": {"Name": part.header.lower(), "TextTransformations": transformations([])}}
        return {"QueryArgument": {"Name": part.query_argument, "TextTransformations": transformations([])}}
    takes = part in {"uri_path", "query_string"}
    return {PARTS[part]: {"TextTransformations": transformations([])} if takes else {}}


def _and(rewriter: Rewriter, body: list[Statement], negated: bool) -> dict[str, Any]:
    return {"AndStatement": {"Statements": [rewriter.write(one, negated=negated) for one in body]}}


def _or(rewriter: Rewriter, body: list[Statement], negated: bool) -> dict[str, Any]:
    return {"OrStatement": {"Statements": [rewriter.write(one, negated=negated) for one in body]}}


def _not(rewriter: Rewriter, body: Statement, negated: bool) -> dict[str, Any]:
    return {"NotStatement": {"Statement": rewriter.write(body, negated=not negated)}}


WRITERS: dict[str, Callable[[Rewriter, Any, bool], dict[str, Any]]] = {
    "sqli_match": _sqli,
    "xss_match": _xss,
    "byte_match": _byte,
    "regex_match": _regex,
    "size_constraint": _size,
    "ip_set": _ip_set,
    "label_match": _label,
    "rate_based": _rate,
    "and_": _and,
    "or_": _or,
    "not_": _not,
}
