"""Rules of AWS WAF for what a policy says elsewhere than in its web ACLs: sizes, addresses' quotas, injection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.checks.sqli import SqliConfig
from vallum.checks.xss import XssConfig
from vallum.core.policy import Mode
from vallum.core.quota import Per
from vallum.exporters.aws.methods import BODIED
from vallum.exporters.aws.plans import amount, enforced
from vallum.exporters.aws.pointers import step, text_places
from vallum.exporters.aws.statements import INSPECTED_BYTES, transformations
from vallum.exporters.export import Kind
from vallum.exporters.features import Feature
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vallum.core.quota import Quota
    from vallum.exporters.aws.routing import Entry
    from vallum.exporters.aws.template import Template

WINDOWS_S = (600, 300, 120, 60)
LEAST = 10  # the lowest limit that AWS takes
DECODED = ["URL_DECODE_UNI", "HTML_ENTITY_DECODE"]
BEHIND = "Put Vallum behind the API as its upstream, with this policy."


class Made(NamedTuple):
    """A rule to be: its name, what it matches, the routes that it is for, and why it is there."""

    name: str
    statement: dict[str, Any]
    entries: list[Entry]
    comment: str


def made_rules(template: Template, listed: list[Entry]) -> list[Made]:
    """Return the rules, cheap ones first."""
    active = [entry for entry in listed if entry.route.mode is Mode.ENFORCE]
    return [*_sizes(template, active), *_rates(template, active), *_injections(template, active)]


def _sizes(template: Template, listed: list[Entry]) -> Iterator[Made]:
    """Bound bodies, as far as AWS WAF sees them."""
    sizes: dict[int, list[Entry]] = {}
    for entry in listed:
        where, most = f"routes.{entry.config.name}.request.max_bytes", entry.route.intake.max_bytes
        if most > INSPECTED_BYTES:
            detail = "AWS WAF sees 64 KiB of a body: only API Gateway's own 10 MB bound this one"
            template.lose(Feature.MAX_BYTES, where, detail, BEHIND, Kind.LOST)
            continue
        template.keep(Feature.MAX_BYTES, where)
        sizes.setdefault(most, []).append(entry)
    for most, entries in sorted(sizes.items()):
        statement = {
            "FieldToMatch": {"Body": {"OversizeHandling": "MATCH"}},
            "ComparisonOperator": "GT",
            "Size": most,
            "TextTransformations": transformations([]),
        }
        comment = f"Bodies over {most} bytes, and those of which AWS WAF sees only the beginning."
        yield Made(f"vallum-size-{most}", {"SizeConstraintStatement": statement}, entries, comment)


def _rates(template: Template, listed: list[Entry]) -> Iterator[Made]:
    """Count addresses."""
    for entry in listed:
        for where, limit in enforced(entry, (Per.IP,)):
            rate = _rate(limit.quota, entry)
            if rate is None:
                detail = "a rate rule counts 10 requests at least, within 60 to 600 seconds"
                template.lose(Feature.QUOTA_REQUESTS, where, detail, BEHIND, Kind.LOST)
                continue
            exact = rate["EvaluationWindowSec"] == limit.quota.window_s
            detail = "a rate rule of AWS WAF: an estimate, that acts within half a minute"
            if not exact:
                detail += f", of {rate['Limit']} in {rate['EvaluationWindowSec']} seconds"
            template.lose(Feature.QUOTA_REQUESTS, where, detail, BEHIND)
            comment = f"{where}: {limit.quota.limit} in {limit.quota.window_s} s, of each address."
            name = f"vallum-rate-{entry.config.name}-{limit.quota.name}"
            yield Made(name, {"RateBasedStatement": rate}, [entry], comment)


def _rate(quota: Quota, entry: Entry) -> dict[str, Any] | None:
    """Return a rate that is never above the quota's, in the widest window within it; None where AWS has none."""
    limit = amount(quota, entry)
    for window_s in WINDOWS_S:
        if window_s <= quota.window_s and limit * window_s // quota.window_s >= LEAST:
            return {
                "Limit": limit * window_s // quota.window_s,
                "EvaluationWindowSec": window_s,
                "AggregateKeyType": "IP",
            }
    return None


def _injections(template: Template, listed: list[Entry]) -> Iterator[Made]:
    """Look for SQL and for scripts, in what is no prompt unless the check says so."""
    for entry in listed:
        for index, check in enumerate(entry.config.checks):
            detector = DETECTORS.get(type(check))
            if detector is None or check.mode is Mode.SHADOW:
                continue
            where = f"routes.{entry.config.name}.checks[{index}]"
            statements = [detector.statement(field) for field in _fields(template, entry, index)]
            if statements:
                whole = statements[0] if len(statements) == 1 else {"OrStatement": {"Statements": statements}}
                yield Made(f"vallum-{detector.name}-{entry.config.name}", whole, [entry], f"{where}: {detector.name}.")


class Detector(NamedTuple):
    """What AWS WAF has in place of a check."""

    name: str
    feature: Feature
    kind: str
    settings: dict[str, Any]

    def statement(self, field: dict[str, Any]) -> dict[str, Any]:
        """Return the statement that looks at one part of a request."""
        match = {"FieldToMatch": field, "TextTransformations": transformations(DECODED)}
        return {self.kind: {**match, **self.settings}}


DETECTORS: Mapping[type, Detector] = {
    SqliConfig: Detector("sqli", Feature.CHECK_SQLI, "SqliMatchStatement", {"SensitivityLevel": "LOW"}),
    XssConfig: Detector("xss", Feature.CHECK_XSS, "XssMatchStatement", {}),
}


def _fields(template: Template, entry: Entry, index: int) -> list[dict[str, Any]]:
    """Return the parts of a request that are looked at."""
    check = entry.config.checks[index]
    spares = entry.route.intake.passages is not None and check.prompts == "skip"
    places = _members_apart(entry) if spares else text_places(entry.route.intake.document) or []
    detail = "AWS WAF's own detector, in the first 64 KiB; a larger body is refused"
    if spares and places:
        detail += f", in {', '.join(places)} alone"
    elif not places:
        detail += ", in all of the body: no schema names every place of a text"
    fields: list[dict[str, Any]] = []
    if entry.route.methods & BODIED and (places or not spares):
        pattern: dict[str, Any] = {"IncludedPaths": places} if places else {"All": {}}
        body = {"MatchPattern": pattern, "MatchScope": "VALUE" if places else "ALL"}
        fields.append({"JsonBody": {**body, "InvalidFallbackBehavior": "MATCH", "OversizeHandling": "MATCH"}})
    if entry.route.intake.query is None or entry.route.intake.query:
        fields.append({"AllQueryArguments": {}})
    where = f"routes.{entry.config.name}.checks[{index}]"
    feature = DETECTORS[type(check)].feature
    if fields:
        template.lose(feature, where, detail, BEHIND)
    else:
        template.lose(feature, where, "AWS cannot tell its texts from prompts", BEHIND, Kind.LOST)
    return fields


def _members_apart(entry: Entry) -> list[str]:
    """Return where a known API has texts, at the top, that are no prompt."""
    form = PRESETS[entry.config.preset].request
    if form.schema is None:
        return []
    prompts = {one.path.partition(".")[0] for one in form.inputs}
    schema = form.schema({name: bound.default for name, bound in form.bounds.items()})
    members = schema.get("properties", {}).items()
    return [place for name, member in members if name not in prompts for place in text_places(member, step(name)) or []]
