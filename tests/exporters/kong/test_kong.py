"""The export for Kong: the mission's sample, the other examples as golden files, and what it must never do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.exporters.cases import load

from vallum.config.compile import load_policy
from vallum.config.source import read_source
from vallum.core.target import Pattern, folded
from vallum.exporters.export import Export, Kind
from vallum.exporters.kong import Kong
from vallum.exporters.kong.paths import write_excluded, write_path
from vallum.exporters.kong.schema import find_faults

EXAMPLES = Path(__file__).parents[3] / "examples"
GOLDEN = Path(__file__).parent / "golden"
TLS = {f"VALLUM_TLS_{name}": f"{name.lower()}.pem" for name in ("CERT", "KEY", "CLIENT_CA")}
ROUTE = "routes.0."


def export_example(name: str) -> Export:
    return Kong().write(*load_policy(read_source(EXAMPLES / f"{name}.yaml", TLS), certificates=False))


def export(folder: Path, overlay: dict[str, Any]) -> Export:
    return Kong().write(*load(folder, overlay))


def read(made: Export) -> Any:
    (text,) = made.files.values()
    document = msgspec.yaml.decode(text)
    assert find_faults(document) == []
    return document


def plugins(document: Any, route: int = -1) -> dict[str, Any]:
    return {one["name"]: one["config"] for one in document["services"][0]["routes"][route]["plugins"]}


def lost(made: Export) -> set[tuple[str, str]]:
    return {(loss.feature, loss.where) for loss in made.losses if loss.kind is Kind.LOST}


@pytest.mark.parametrize("name", ["gateways/kong", "predict", "chat", "identity", "fleet"])
def test_an_export_is_the_golden_file(name: str) -> None:
    (text,) = export_example(name).files.values()
    assert text == (GOLDEN / f"{Path(name).name}.yaml").read_text("utf-8")


def test_the_missions_sample_says_all_that_it_says() -> None:
    made = export_example("gateways/kong")
    document = read(made)
    (service,) = document["services"]
    (route,) = service["routes"]
    rates, reported = plugins(document)["rate-limiting"], plugins(document)["response-ratelimiting"]
    assert document["_format_version"] == "3.0"
    assert (service["name"], service["url"]) == ("ml-inference-api", "http://inference-backend:8000")
    assert (route["name"], route["paths"]) == ("predict", ["~/predict$"])
    assert {period: rates[period] for period in ("minute", "hour", "day")} == {"minute": 10, "hour": 100, "day": 1000}
    assert reported["limits"] == {"prediction": {"minute": 5}}
    for config in (rates, reported):
        assert config["policy"] == "redis"
        assert config["redis"]["host"] == "redis.default.svc.cluster.local"
        assert config["fault_tolerant"] is False
    named = {feature for feature, _ in lost(made)}
    assert not named & {"quota.requests", "quota.named", "counters", "upstream.url", "match.path"}


@pytest.mark.parametrize(
    ("pattern", "takes", "leaves"),
    [
        ("/predict", ["/predict"], ["/predict/", "/predictx", "/a/predict", "/PREDICT"]),
        ("/v1.0/a+b", ["/v1.0/a+b"], ["/v1x0/a+b", "/v1.0/aab"]),
        ("/m/*/now", ["/m/a/now"], ["/m//now", "/m/a/b/now"]),
        ("/m/{name}", ["/m/a.b"], ["/m/", "/m/a/b"]),
        ("/m/**", ["/m", "/m/a", "/m/a/b/"], ["/mm", "/"]),
        ("/**", ["/", "/a", "/a/b"], []),
        ("/(a+)$", ["/(a+)$"], ["/a", "/aa"]),
    ],
)
def test_a_path_matches_in_kong_what_it_matches_here(pattern: str, takes: list[str], leaves: list[str]) -> None:
    written = write_path(Pattern.parse(pattern))
    assert written.startswith("~/")
    expression = re.compile(written[1:])
    for path in [*takes, *leaves]:
        assert bool(expression.match(path)) is Pattern.parse(pattern).matches(path) is (path in takes), path


@pytest.mark.parametrize("path", ["/p/no", "/P/No", "/p/no/", "/p;x=1/no", "/p/no;v", "/p/yes", "/p/no/more", "/q"])
def test_an_excluded_path_is_shut_in_every_spelling(path: str) -> None:
    written = write_excluded(Pattern.parse("/p/no"))
    assert written.startswith("~/")
    expression = re.compile(written[1:])
    assert bool(expression.match(path)) is Pattern.parse("/p/no").matches(folded(path))


@pytest.mark.parametrize("pattern", ["/", "/**", "/p/**", "/p/{name}", "/p/*/q", "/p/no"])
def test_kong_takes_every_path_and_excluded_path(pattern: str) -> None:
    paths = [write_path(Pattern.parse(pattern)), write_excluded(Pattern.parse(pattern))]
    service = {"name": "s", "url": "http://model", "routes": [{"name": "r", "paths": paths}]}
    assert find_faults({"_format_version": "3.0", "services": [service]}) == []


def test_an_excluded_path_is_shut_before_its_route_and_after_earlier_ones(tmp_path: Path) -> None:
    document = read(export(tmp_path, {f"{ROUTE}match.path": "/p/**", f"{ROUTE}match.exclude": ["/p/no"]}))
    shut, route = document["services"][0]["routes"]
    assert shut["regex_priority"] > route["regex_priority"]
    assert shut["methods"] == route["methods"]
    assert plugins(document, 0)["request-termination"]["status_code"] == 404


def test_routes_are_asked_in_the_files_order_across_services() -> None:
    document = read(export_example("identity"))
    orders = [route["regex_priority"] for service in document["services"] for route in service["routes"]]
    assert orders == sorted(orders, reverse=True)


# --- doors ------------------------------------------------------------------------------------------------------------

MTLS = {"type": "mtls", "subject": "san_dns"}
CERTIFICATES = {"cert": "c.pem", "key": "k.pem", "client_ca": "ca.pem", "client_auth": "required"}
OAUTH = {"type": "oauth2", "issuer": "https://issuer.example", "audience": "https://models.example"}
ASKED = {**OAUTH, "introspection": {"client_id": "me", "client_secret": "s3cr3t-of-mine"}}


@pytest.mark.parametrize(
    "overlay",
    [
        {"authenticators.keys": MTLS, "listen.tls": CERTIFICATES},
        {"authenticators.keys": ASKED},
        {"authenticators.keys": {"type": "minted"}, "tokens": {"issuer": "https://gateway.example"}},
    ],
    ids=["certificates", "introspection", "minted"],
)
@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_a_route_whose_only_door_kong_has_not_is_closed(overlay: dict[str, Any], mode: str, tmp_path: Path) -> None:
    found = plugins(read(export(tmp_path, {**overlay, f"{ROUTE}mode": mode})))
    assert found["request-termination"]["status_code"] == 503


def test_only_a_route_that_is_open_to_anybody_has_no_door(tmp_path: Path) -> None:
    assert not {"key-auth", "jwt", "request-termination"} & set(
        plugins(read(export(tmp_path, {"authenticators.keys": {"type": "anonymous"}})))
    )


def test_one_of_several_credentials_is_enough_and_none_is_refused(tmp_path: Path) -> None:
    both = {"authenticators.tokens": OAUTH, f"{ROUTE}auth.any_of": ["keys", "tokens"]}
    document = read(export(tmp_path, both))
    assert {plugins(document)[name]["anonymous"] for name in ("key-auth", "jwt")} == {"nobody"}
    (nobody,) = document["consumers"]
    assert nobody["username"] == "nobody"
    assert nobody["plugins"][0]["config"]["status_code"] == 401
    document = read(
        export(tmp_path, {"authenticators.open": {"type": "anonymous"}, f"{ROUTE}auth.any_of": ["keys", "open"]})
    )
    assert document["consumers"] == [{"username": "anybody"}]


def test_several_scopes_are_one_group_as_kong_would_take_any_of_them(tmp_path: Path) -> None:
    document = read(export(tmp_path, {f"{ROUTE}auth.scopes": ["b:w", "a:r"]}))
    assert plugins(document)["acl"]["allow"] == ["a:r+b:w"]


def test_a_service_gets_its_own_fields_and_no_callers_credential(tmp_path: Path) -> None:
    made = export(tmp_path, {"upstreams.model.headers": {"Authorization": "Bearer s3cr3t", "X-Own": "s3cr3t"}})
    (text,) = made.files.values()
    assert "s3cr3t" not in text
    assert "#   DECK_MODEL_AUTHORIZATION: value of Authorization for the service model" in text
    config = plugins(read(made))["request-transformer"]
    assert config["remove"]["headers"] == ["authorization", "cookie", "dpop", "x-api-key", "X-Own"]
    assert config["add"]["headers"] == [
        'Authorization:${{ env "DECK_MODEL_AUTHORIZATION" }}',
        'X-Own:${{ env "DECK_MODEL_X_OWN" }}',
    ]


# --- quotas -----------------------------------------------------------------------------------------------------------


def test_a_shorter_window_never_allows_more_than_a_longer_one(tmp_path: Path) -> None:
    quotas = ["100 per minute", "20 per 60 seconds", "5 per hour", "900 per day"]
    rates = plugins(read(export(tmp_path, {f"{ROUTE}quotas": quotas})))["rate-limiting"]
    assert {period: rates.get(period) for period in ("minute", "hour", "day")} == {"minute": 5, "hour": 5, "day": 900}


def test_calls_that_cost_more_are_fewer(tmp_path: Path) -> None:
    rates = plugins(read(export(tmp_path, {f"{ROUTE}quotas": ["10 per minute"], f"{ROUTE}cost": 3})))["rate-limiting"]
    assert rates["minute"] == 3


@pytest.mark.parametrize(
    ("quota", "lost_as"),
    [
        ({"limit": "9 per minute", "per": "ip"}, "quota.requests"),
        ({"limit": "9 per minute", "per": "tenant"}, "quota.per.tenant"),
        ({"limit": "9 per 5 minutes"}, "quota.window.span"),
        ({"limit": 4, "unit": "concurrent"}, "quota.concurrent"),
        ({"limit": "9 per hour", "unit": "bytes"}, "quota.bytes"),
        ({"limit": "9 per hour", "mode": "shadow"}, "quota.requests"),
        ({"limit": "9 per hour", "unit": "hits", "per": "route"}, "quota.named"),
    ],
)
def test_a_quota_that_kong_cannot_count_is_left_out_and_lost_once(
    quota: dict[str, Any], lost_as: str, tmp_path: Path
) -> None:
    made = export(tmp_path, {f"{ROUTE}quotas": ["10 per minute", {"name": "other", **quota}]})
    found = plugins(read(made))
    assert {period for period in ("minute", "hour") if period in found["rate-limiting"]} == {"minute"}
    assert found["rate-limiting"]["minute"] == 10
    assert "response-ratelimiting" not in found
    at = {loss.feature for loss in made.losses if loss.where == "routes.predict.quotas[1]"}
    assert at - {"mode.control"} == {lost_as}


@pytest.mark.parametrize("per", ["ip", "route"])
def test_sixty_seconds_are_a_minute(per: str, tmp_path: Path) -> None:
    made = export(tmp_path, {f"{ROUTE}quotas": [{"limit": "10 per 60 seconds", "per": per}]})
    assert plugins(read(made))["rate-limiting"]["minute"] == 10
    assert "quota.window.span" not in {loss.feature for loss in made.losses}


@pytest.mark.parametrize(
    ("counters", "redis"),
    [
        ("redis://r.example", {"host": "r.example", "port": 6379, "timeout": 2000, "database": 0}),
        (
            "rediss://me:s3cr3t@r.example:6380/3",
            {
                "host": "r.example",
                "port": 6380,
                "timeout": 2000,
                "username": "me",
                "password": '${{ env "DECK_REDIS_PASSWORD" }}',
                "database": 3,
                "ssl": True,
                "ssl_verify": True,
                "server_name": "r.example",
            },
        ),
    ],
)
def test_shared_counters_are_redis_by_its_nested_fields(counters: str, redis: dict[str, Any], tmp_path: Path) -> None:
    made = export(tmp_path, {"counters": counters, f"{ROUTE}quotas": ["10 per minute"]})
    rates = plugins(read(made))["rate-limiting"]
    assert (rates["policy"], rates["redis"], rates["sync_rate"]) == ("redis", redis, -1)
    assert "s3cr3t" not in "".join(made.files.values())


def test_counters_that_kong_does_not_reach_are_lost(tmp_path: Path) -> None:
    made = export(tmp_path, {"counters": "redis+cluster://r.example:6379", f"{ROUTE}quotas": ["10 per minute"]})
    assert plugins(read(made))["rate-limiting"]["policy"] == "local"
    assert ("counters", "counters") in lost(made)


def test_quotas_of_callers_with_tokens_are_said_to_be_of_their_issuer(tmp_path: Path) -> None:
    made = export(tmp_path, {"authenticators.keys": OAUTH, f"{ROUTE}quotas": ["10 per minute"]})
    assert any(loss.feature == "quota.per.principal" and "issuer" in loss.detail for loss in made.losses)


# --- the rest ---------------------------------------------------------------------------------------------------------


def rules(*statements: dict[str, Any], **rest: Any) -> dict[str, Any]:
    several = [{"name": f"r{at}", "priority": at, "statement": one, **rest} for at, one in enumerate(statements)]
    return {"web_acls": {"acl": {"rules": several}}, f"{ROUTE}web_acl": "acl"}


HERE = {"ip_set": {"addresses": ["192.0.2.0/24"]}}
THERE = {"ip_set": {"addresses": ["2001:db8::/32"]}}


def test_rules_of_addresses_alone_are_restrictions(tmp_path: Path) -> None:
    document = read(export(tmp_path, rules(HERE, THERE, {"not": {"ip_set": {"addresses": ["::/0"]}}})))
    assert plugins(document)["ip-restriction"] == {
        "deny": ["192.0.2.0/24", "2001:db8::/32"],
        "allow": ["::/0"],
        "status": 403,
    }


@pytest.mark.parametrize(
    "overlay", [rules({"or": [HERE, THERE]}), rules(HERE, action="count")], ids=["joined", "count"]
)
def test_other_rules_of_addresses_are_lost(overlay: dict[str, Any], tmp_path: Path) -> None:
    made = export(tmp_path, overlay)
    assert "ip-restriction" not in plugins(read(made))
    assert ("web_acl.ip_set", "web_acls.acl.rules.r0") in lost(made)


def test_a_bodiless_method_is_not_asked_for_a_length(tmp_path: Path) -> None:
    for methods, asked in ((["POST"], True), (["POST", "GET"], False)):
        document = read(export(tmp_path, {f"{ROUTE}match.methods": methods}))
        assert plugins(document)["request-size-limiting"]["require_content_length"] is asked


def test_fields_and_members_with_wildcards_or_paths_are_lost(tmp_path: Path) -> None:
    response = {"drop_headers": ["date", "x-*"], "drop_fields": ["debug", "a.b"]}
    made = export(tmp_path, {f"{ROUTE}response": response})
    assert plugins(read(made))["response-transformer"] == {"remove": {"headers": ["date"], "json": ["debug"]}}
    assert {feature for feature, _ in lost(made)} >= {"response.drop_headers", "response.drop_fields"}


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    name = 'evil"\n- name: x ${{ env "HOME" }} #'
    hostile = {"url": "http://u:s3cr3t@10.0.0.1:9000/base", "headers": {"X-Own": "s3cr3t"}}
    model = {"url": "http://10.0.0.1:9000"}
    made = export(tmp_path, {"upstreams": {name: hostile, f"{name}'": {"url": "http://[::1]:1"}, "model": model}})
    (text,) = made.files.values()
    assert "${{" not in text
    assert "s3cr3t" not in text
    first, second, _ = read(made)["services"]
    assert first["name"] != second["name"]
    assert (first["url"], second["url"]) == ("http://10.0.0.1:9000/base", "http://[::1]:1")
    assert ("upstream.url", f"upstreams.{name}.url") in lost(made)


def test_what_is_lost_of_a_route_stands_above_it(tmp_path: Path) -> None:
    (text,) = export(tmp_path, {f"{ROUTE}quotas": ["9 per 5 minutes"]}).files.values()
    lines = text.splitlines()
    at = next(index for index, line in enumerate(lines) if "Lost here" in line)
    assert "quota.window.span (quotas[0])" in lines[at]
    assert lines[at].startswith("      # ")
    assert any("- name: predict" in line for line in lines[at : at + 4])
