"""Features: every key of the policy file belongs to one, and a policy's are found where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import msgspec.inspect as types
import pytest
from tests.exporters.cases import CASES, load

from vallum.config.model import Config
from vallum.config.model.web_acl import Statement
from vallum.exporters.claims import KEYS, SILENT, WHOLE
from vallum.exporters.export import Answer, Kind, Loss
from vallum.exporters.features import Feature
from vallum.exporters.finding import Found, find_features, list_losses, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def places(kind: types.Type, place: str, above: frozenset[Any] = frozenset()) -> Iterator[tuple[str, bool]]:
    """Walk the model: every place of the file, and whether nothing stands below it."""
    if isinstance(kind, types.Metadata):
        yield from places(kind.type, place, above)
    elif isinstance(kind, types.UnionType):
        for one in kind.types:
            tag = one.tag if isinstance(one, types.StructType) else None
            yield from places(one, place if tag is None else f"{place}<{tag}>", above)
    elif isinstance(kind, types.ListType):
        yield from places(kind.item_type, f"{place}[]", above)
    elif isinstance(kind, types.DictType):
        yield from places(kind.value_type, f"{place}.*", above)
    elif isinstance(kind, types.StructType):
        yield place, False
        if kind.cls not in above:
            base = "statement" if kind.cls is Statement else place
            for field in kind.fields:
                below = f"{base}.{field.encode_name}" if base else field.encode_name
                yield below, not list(structs(field.type))
                yield from places(field.type, below, above | {kind.cls})


def structs(kind: types.Type) -> Iterator[types.StructType]:
    if isinstance(kind, types.Metadata):
        yield from structs(kind.type)
    elif isinstance(kind, types.UnionType):
        for one in kind.types:
            yield from structs(one)
    elif isinstance(kind, types.ListType):
        yield from structs(kind.item_type)
    elif isinstance(kind, types.DictType):
        yield from structs(kind.value_type)
    elif isinstance(kind, types.StructType):
        yield kind


PLACES = dict(places(types.type_info(Config), ""))
SECTIONS = (*WHOLE, *SILENT)


def is_claimed(place: str) -> bool:
    within = any(place.startswith((f"{section}.", f"{section}[", f"{section}<")) for section in SECTIONS)
    return place in KEYS or place in SECTIONS or within


@pytest.mark.parametrize("place", [place for place, is_leaf in PLACES.items() if is_leaf])
def test_every_key_of_the_policy_file_belongs_to_a_feature_or_says_why_not(place: str) -> None:
    assert is_claimed(place), f"{place}: say in exporters/claims.py which feature it is"


@pytest.mark.parametrize("place", [*KEYS, *WHOLE, *SILENT])
def test_every_claim_is_of_a_key_that_exists(place: str) -> None:
    known = {below for one in PLACES for below in (one, one.removesuffix("[]"))}
    assert place in known or f"{place}<" in " ".join(PLACES)


def test_no_key_is_claimed_and_silent() -> None:
    assert not set(SILENT) & {*KEYS, *WHOLE}


def test_a_key_that_nobody_claims_is_noticed() -> None:
    assert not is_claimed("routes[].novelty")
    assert not is_claimed("routes[].quotas[].novelty")
    assert not is_claimed("routes[].response.novelty")
    assert not is_claimed("novelty")


@pytest.mark.parametrize("feature", Feature)
def test_every_feature_has_words_and_a_policy(feature: Feature) -> None:
    assert feature.phrase
    assert feature == feature.value
    assert feature in CASES


@pytest.mark.parametrize("feature", Feature)
def test_a_feature_is_found_where_a_policy_has_it(feature: Feature, tmp_path: Path) -> None:
    found = find_features(load(tmp_path, CASES[feature].having)[0])
    assert feature in {one.feature for one in found}
    assert len(found) == len(set(found))


def test_a_small_policy_says_what_it_says_and_what_its_defaults_hold(tmp_path: Path) -> None:
    config, _ = load(tmp_path, {"routes.0.quotas": ["10 per minute", {"limit": 4, "unit": "concurrent", "per": "ip"}]})
    assert [(one.feature.value, one.where) for one in find_features(config)] == [
        ("upstream.url", "upstreams.model.url"),
        ("upstream.timeout", "upstreams.model.timeout_s"),
        ("auth.api_key", "authenticators.keys"),
        ("default_deny", "routes"),
        ("refusals", "routes"),
        ("match.methods", "routes.predict.match.methods"),
        ("match.path", "routes.predict.match.path"),
        ("preset.json", "routes.predict.preset"),
        ("quota.several", "routes.predict.quotas"),
        ("quota.requests", "routes.predict.quotas[0]"),
        ("quota.per.principal", "routes.predict.quotas[0]"),
        ("quota.window.minute", "routes.predict.quotas[0]"),
        ("quota.strategy.strict", "routes.predict.quotas[0]"),
        ("quota.concurrent", "routes.predict.quotas[1]"),
        ("quota.per.ip", "routes.predict.quotas[1]"),
        ("request.max_bytes", "routes.predict.request.max_bytes"),
        ("request.query", "routes.predict.request.query"),
        ("request.headers", "routes.predict.request.headers"),
        ("response.headers", "routes.predict.response.headers"),
        ("response.max_bytes", "routes.predict.response.max_bytes"),
        ("quota.headers", "routes.predict.response.quota_headers"),
        ("response.errors", "routes.predict.response.errors"),
        ("response.failure_slot", "routes.predict.response.failure_slot_ms"),
        ("records", "records"),
    ]


def test_what_vallum_does_by_itself_is_told_from_what_the_file_says(tmp_path: Path) -> None:
    config, _ = load(tmp_path, {"routes.0.request.query": ["page"]})
    by_default = {one.feature for one, default in find_features(config).items() if default}
    assert by_default >= {
        Feature.DEFAULT_DENY,
        Feature.REFUSALS,
        Feature.REQUEST_HEADERS,
        Feature.ERRORS,
        Feature.RECORDS,
    }
    assert not by_default & {Feature.QUERY, Feature.METHODS, Feature.UPSTREAM_URL, Feature.AUTH_API_KEY}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("nothing: it is kept", "Nothing: it is kept."),
        ("`vallum serve` does it", "`vallum serve` does it."),
        ("auth_request shows no body", "auth_request shows no body."),
        ("jwt checks much. It is so.", "jwt checks much. It is so."),
    ],
)
def test_what_an_answer_says_is_a_sentence(said: str, told: str) -> None:
    assert sentence(said) == told


def test_rules_within_rules_are_found_at_their_rule(tmp_path: Path) -> None:
    deep = {"and": [{"ip_set": {"addresses": ["192.0.2.0/24"]}}, {"not": {"or": [{"label_match": {"key": "a:"}}] * 2}}]}
    label = {"name": "zeroth", "priority": 0, "statement": {"ip_set": {"addresses": ["::/0"]}}, "labels": ["a:b"]}
    rules = [label, {"name": "first", "priority": 1, "statement": deep, "action": "count"}]
    found = find_features(load(tmp_path, {"web_acls": {"acl": {"rules": rules}}})[0])
    at_rule = [one.feature for one in found if one.where == "web_acls.acl.rules.first"]
    assert set(at_rule) == {Feature.WAF_COUNT, Feature.WAF_IP_SET, Feature.WAF_LABELS, Feature.WAF_LOGIC}


def test_losses_stand_in_the_policys_order_and_a_place_may_have_an_answer_of_its_own() -> None:
    gone, kept, near, asked = [
        Found(Feature.METHODS, "a"),
        Found(Feature.PATH, "b"),
        Found(Feature.PATH, "c"),
        Found(Feature.SCOPES, "d"),
    ]
    answers = {
        Feature.METHODS: Answer(Kind.LOST, "gone", "do it"),
        Feature.PATH: Answer(None),
        Feature.SCOPES: Answer(Kind.VALLUM, "asked", "keep it up"),
    }
    special = {near: Answer(Kind.APPROXIMATE, "nearly so", "look"), gone: Answer(None)}
    assert list_losses({gone: False, kept: False, near: True, asked: False}, answers, special) == (
        Loss("match.path", "c", Kind.APPROXIMATE, "Nearly so.", "Look.", default=True),
        Loss("auth.scopes", "d", Kind.VALLUM, "Asked.", "Keep it up."),
    )


def test_names_that_look_like_places_stay_apart(tmp_path: Path) -> None:
    config = msgspec.convert({**msgspec.yaml.decode(b"{version: 1}"), **_hostile()}, Config)
    wheres = [one.where for one in find_features(config) if one.feature is Feature.UPSTREAM_URL]
    assert wheres == ["upstreams.a.b.url", "upstreams.x[0].url"]


def _hostile() -> dict[str, Any]:
    url = {"url": "http://10.0.0.1"}
    return {
        "upstreams": {"a.b": url, "x[0]": url},
        "authenticators": {},
        "routes": [
            {
                "name": "r",
                "match": {"methods": ["GET"], "path": "/"},
                "upstream": "a.b",
                "auth": {"any_of": ["k"]},
            }
        ],
    }
