"""Compiles web ACLs, and finds the mistakes in them: conditions that can never be, labels that nobody puts.

Rule: which phase a rule belongs to is decided here.  The body's are those that look at the body, and those that look at
a label which a rule of the body's may put.
"""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from vallum.config.model.web_acl import AggregateKey, FieldToMatch, MatchBase
from vallum.core.quota import SECOND_US, Per, Quota
from vallum.core.web_acl import Action, Rate, Rule, WebAcl
from vallum.presets import PRESETS
from vallum.statements import field as fields
from vallum.statements import rate_based
from vallum.statements.byte_match import WORD, ByteMatch
from vallum.statements.field import Field
from vallum.statements.ip_set import IpSet
from vallum.statements.json_body import JsonStrings
from vallum.statements.label_match import LabelMatch, is_labelled
from vallum.statements.logic import And, Not, Or
from vallum.statements.regex_match import Expressions, RegexMatch
from vallum.statements.size_constraint import SizeConstraint
from vallum.statements.sqli_match import SqliMatch
from vallum.statements.xss_match import XssMatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vallum.config import model
    from vallum.config.faults import Faults
    from vallum.config.model.web_acl import ByteMatch as ByteMatchConfig
    from vallum.config.model.web_acl import IpSet as IpSetConfig
    from vallum.config.model.web_acl import RateBased, RuleConfig, WebAclConfig
    from vallum.config.model.web_acl import RegexMatch as RegexMatchConfig
    from vallum.config.model.web_acl import Statement as StatementConfig
    from vallum.config.source import Place
    from vallum.core.protocols import Statement

KEYS_MAX = 5  # of one rate-based rule
NESTED_MAX = 16  # statements in statements


class Chosen(NamedTuple):
    """The one key that a section has, and where it stands."""

    key: str
    value: Any
    place: Place


def build_web_acl(faults: Faults, name: str, config: WebAclConfig, place: Place) -> WebAcl:
    """Compile one web ACL."""
    builder = _Builder(faults, config.inspect_bytes)
    placed = [(rule, (*place, "rules", index)) for index, rule in enumerate(config.rules)]
    _find_twins(faults, placed)
    rules: list[Rule] = []
    late: set[str] = set()  # labels that rules of the body's phase put
    labels: set[str] = set()
    for rule, at in sorted(placed, key=lambda entry: entry[0].priority):
        keys = list(_label_keys(faults, rule.statement, (*at, "statement")))
        for key, key_at in keys:
            if not is_labelled(key, labels):
                _note_strange_label(faults, key, key_at, labels)
        built = builder.rule(rule, at)
        labels.update(rule.labels)
        if built is None:
            continue
        if any(is_labelled(key, late) for key, _ in keys):
            built = replace(built, reads_body=True)
        if built.reads_body:
            late.update(rule.labels)
        rules.append(built)
    return WebAcl(name, tuple(rules), config.mode)


def find_web_acl(faults: Faults, known: Mapping[str, WebAcl], route: model.RouteConfig, place: Place) -> WebAcl | None:
    """Return the web ACL that a route names, if its rules can be judged there."""
    if route.web_acl is None:
        return None
    at = (*place, "web_acl")
    acl = faults.find(known, route.web_acl, "web ACL", at)
    if acl is not None and not PRESETS[route.preset].request.media_types:
        for rule in acl.rules:
            if rule.reads_body:
                message = f"rule {rule.name!r} needs the body; a raw route passes bodies unread"
                faults.note(at, message, "leave out preset: raw, or give the route a web ACL of its own")
    return acl


def _find_twins(faults: Faults, placed: list[tuple[RuleConfig, Place]]) -> None:
    names: dict[str, str] = {}
    priorities: dict[int, str] = {}
    for rule, at in placed:
        if rule.name in names:
            faults.note((*at, "name"), f"two rules are called {rule.name!r}")
        if rule.priority in priorities:
            message = f"rule {priorities[rule.priority]!r} has priority {rule.priority} too"
            faults.note((*at, "priority"), message, "no two rules have the same")
        names[rule.name] = priorities[rule.priority] = rule.name
        for index, label in enumerate(rule.labels):
            if label.endswith(":"):
                faults.note((*at, "labels", index), f"{label!r} is a namespace and no label", f"write {label}name")


def _label_keys(faults: Faults, statement: StatementConfig, place: Place) -> Iterator[tuple[str, Place]]:
    """Yield the keys of labels that a statement looks at."""
    for key, value, at in members(statement, place):
        if key == "label_match":
            yield value.key, (*at, "key")
        elif key == "rate_based" and value.scope_down is not None:
            yield from _label_keys(faults, value.scope_down, (*at, "scope_down"))
        elif key in {"and", "or"}:
            for index, each in enumerate(value):
                yield from _label_keys(faults, each, (*at, index))
        elif key == "not":
            yield from _label_keys(faults, value, at)


def _note_strange_label(faults: Faults, key: str, place: Place, labels: set[str]) -> None:
    close = get_close_matches(key, sorted(labels), n=1, cutoff=0.5)
    hint = (
        f"did you mean {close[0]!r}?" if close else f"put: {', '.join(sorted(labels))}" if labels else "none puts any"
    )
    faults.note(place, f"no rule of lower priority puts a label {key!r}", hint)


def members(struct: msgspec.Struct, place: Place) -> list[Chosen]:
    """Return the keys that a section of alternatives has."""
    found = ((field.encode_name, getattr(struct, field.name)) for field in msgspec.structs.fields(struct))
    return [Chosen(key, value, (*place, key)) for key, value in found if value is not None]


class _Builder:
    """Builds the statements of one web ACL; equal fields are one object, whose parts are taken out once."""

    def __init__(self, faults: Faults, inspect_bytes: int) -> None:
        self._faults = faults
        self._inspect_bytes = inspect_bytes
        self._fields: dict[bytes, Field | None] = {}
        self._reads_body = False  # of the rule in hand

    def rule(self, config: RuleConfig, place: Place) -> Rule | None:
        at = (*place, "statement")
        self._reads_body = False
        chosen = self._choose(config.statement, at)
        if chosen is None:
            return None
        statement, rate = None, None
        if chosen.key == "rate_based":
            rate = self._rate(config.name, chosen.value, chosen.place)
            if chosen.value.scope_down is not None:
                statement = self._statement(chosen.value.scope_down, (*chosen.place, "scope_down"), 1)
        else:
            statement = self._statement(config.statement, at, 1)
        return Rule(config.name, Action(config.action), statement, rate, tuple(config.labels), self._reads_body)

    def _choose(self, struct: msgspec.Struct, place: Place) -> Chosen | None:
        """Return the one key that a section may have, or None after noting that it has none or several."""
        found = members(struct, place)
        if len(found) == 1:
            return found[0]
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(struct))
        said = f"has {len(found)} keys: {', '.join(one.key for one in found)}" if found else "has no key"
        hint = "put statements together with and, or" if found and "and" in known else f"give it one of: {known}"
        self._faults.note(place, f"{said}; it takes exactly one", hint)
        return None

    def _statement(self, config: StatementConfig, place: Place, depth: int) -> Statement | None:
        chosen = self._choose(config, place)
        if chosen is None:
            return None
        key, value, at = chosen
        if depth > NESTED_MAX:
            self._faults.note(at, f"nested over {NESTED_MAX} deep")
            return None
        if key == "rate_based":
            self._faults.note(at, "rate_based stands at the top of a rule only", "narrow it with scope_down")
            return None
        if key in {"and", "or"}:
            inner = [self._statement(each, (*at, index), depth + 1) for index, each in enumerate(value)]
            whole = [statement for statement in inner if statement is not None]
            return And(whole) if key == "and" else Or(whole)
        if key == "not":
            turned = self._statement(value, at, depth + 1)
            return None if turned is None else Not(turned)
        if key == "label_match":
            return LabelMatch(value.key)
        if key == "ip_set":
            return self._ip_set(value, at)
        return self._text(key, value, at)

    def _text(self, key: str, config: MatchBase, place: Place) -> Statement | None:
        field = self._field(config, place) or NOWHERE
        builders: dict[str, Callable[[Any, Field, Place], Statement | None]] = {
            "sqli_match": lambda config, field, _: SqliMatch(field, config.sensitivity),
            "xss_match": lambda _config, field, _: XssMatch(field),
            "byte_match": self._byte,
            "regex_match": self._regex,
            "size_constraint": lambda config, field, _: SizeConstraint(field, config.comparison, config.size),
        }
        return builders[key](config, field, place)

    def _byte(self, config: ByteMatchConfig, field: Field, place: Place) -> Statement:
        search = config.search.encode()
        at = (*place, "search")
        cases = [name for name in config.transforms if name in CASES]
        if cases and CASES[cases[-1]](config.search) != config.search:
            hint = f"write {CASES[cases[-1]](config.search)!r}"
            self._faults.note(at, f"never matches: {cases[-1]} is done to the text first", hint)
        if config.position == "contains_word" and WORD.fullmatch(search) is None:
            self._faults.note(
                at, f"{config.search!r} is no word", "a word is ASCII letters, digits and _; or take contains"
            )
        return ByteMatch(field, search, config.position)

    def _regex(self, config: RegexMatchConfig, field: Field, place: Place) -> Statement | None:
        good = True
        for index, pattern in enumerate(config.patterns):
            try:
                Expressions([pattern])
            except ValueError as error:
                good = False
                self._faults.note((*place, "patterns", index), str(error))
        return RegexMatch(field, Expressions(config.patterns)) if good else None

    def _ip_set(self, config: IpSetConfig, place: Place) -> Statement | None:
        good = True
        for index, text in enumerate(config.addresses):
            good = self._faults.attempt((*place, "addresses", index), IpSet, [text]) is not None and good
        return IpSet(config.addresses) if good else None

    def _rate(self, name: str, config: RateBased, place: Place) -> Rate:
        per: list[Any] = [config.per] if isinstance(config.per, str) else list(config.per)
        at = (*place, "per")
        if len(per) > KEYS_MAX:
            self._faults.note(at, f"{len(per)} parts", f"give at most {KEYS_MAX}")
        readers: list[rate_based.Reader] = []
        for index, part in enumerate(per):
            if isinstance(part, AggregateKey):
                chosen = self._choose(part, (*at, index))
                if chosen is not None:
                    readers.append(KEYED[chosen.key](chosen.value))
            elif part != "constant":
                readers.append(rate_based.READERS[part])
        quota = Quota(name, config.limit, config.window_s * SECOND_US, Per.GLOBAL)
        return Rate(quota, rate_based.RequestKey(readers))

    def _field(self, config: MatchBase, place: Place) -> Field | None:
        key = msgspec.json.encode((config.field, config.transforms, config.oversize))
        if key not in self._fields:
            self._fields[key] = self._build_field(config, (*place, "field"))
        field = self._fields[key]
        if field is not None and field.reads_body:
            self._reads_body = True
        return field

    def _build_field(self, config: MatchBase, place: Place) -> Field | None:
        transforms = tuple([name for name in config.transforms if name != "none"])
        settings: dict[str, Any] = {"transforms": transforms}
        body: dict[str, Any] = {**settings, "oversize": config.oversize, "inspect_bytes": self._inspect_bytes}
        if config.field == "body":
            return Field("body", **body)
        if not isinstance(config.field, FieldToMatch):
            return Field(config.field, fields.READERS[config.field], **settings)
        chosen = self._choose(config.field, place)
        if chosen is None:
            return None
        if chosen.key == "json_body":
            found = chosen.value
            strings = self._faults.attempt(
                chosen.place, JsonStrings, found.include, found.exclude, found.scope, found.invalid
            )
            return None if strings is None else Field("json_body", json=strings, **body)
        if chosen.key == "header" and not TOKEN.fullmatch(chosen.value):
            self._faults.note(chosen.place, f"{chosen.value!r} is no header field")
        read = fields.one_header if chosen.key == "header" else fields.one_query_argument
        return Field(chosen.key, read(chosen.value), **settings)


TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 5.6.2
CASES = {"lowercase": str.lower, "uppercase": str.upper}
NOWHERE = Field("", fields.method)  # stands where a fault was noted
KEYED = {"header": rate_based.one_header, "query_argument": rate_based.one_query_argument}
