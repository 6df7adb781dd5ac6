"""Which resource and method stands for which requests, who may call them, and what their quotas become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.exporters.aws.reading import export, properties, read

from vallum.exporters.export import ExportError, Kind

if TYPE_CHECKING:
    from pathlib import Path

    from vallum.exporters.export import Export


def route(name: str, path: str, *methods: str, **rest: Any) -> dict[str, Any]:
    match = {"methods": list(methods or ("POST",)), "path": path, "exclude": rest.pop("exclude", [])}
    return {"name": name, "match": match, "upstream": "model", "auth": {"any_of": ["keys"]}, **rest}


def paths(found: dict[str, Any]) -> set[str]:
    """Return `METHOD /path` of all methods, MOCK for those that lead nowhere."""
    parents = {"Api": ""}
    for name, one in properties(found, "AWS::ApiGateway::Resource").items():
        above = one["ParentId"].get("Ref", "Api")
        parents[name] = f"{parents[above]}/{one['PathPart']}"
    listed = set()
    for one in properties(found, "AWS::ApiGateway::Method").values():
        path = parents[one["ResourceId"].get("Ref", "Api")] or "/"
        kind = "MOCK" if one["Integration"]["Type"] == "MOCK" else one["HttpMethod"]
        listed.add(f"{kind} {path}")
    return listed


CASES: dict[str, tuple[list[dict[str, Any]], set[str]]] = {
    "the root": ([route("a", "/", "GET")], {"GET /"}),
    "a name": ([route("a", "/m/{name}/go")], {"POST /m/{name}/go"}),
    "any segment": ([route("a", "/m/*/go")], {"POST /m/{any2}/go"}),
    "any number": ([route("a", "/m/**")], {"POST /m", "POST /m/{proxy+}"}),
    "everything": ([route("a", "/**", "GET")], {"GET /", "GET /{proxy+}"}),
    "a wider route takes what a narrow one leaves": (
        [route("a", "/m/x", "GET"), route("b", "/m/**", "POST")],
        {"GET /m/x", "POST /m/x", "POST /m", "POST /m/{proxy+}"},
    ),
    "what is left out leads nowhere": (
        [route("a", "/m/**", exclude=["/m/admin"])],
        {"POST /m", "POST /m/{proxy+}", "MOCK /m/admin"},
    ),
    "two names of one segment": (
        [route("a", "/m/{x}", "GET"), route("b", "/m/{y}", "POST")],
        {"GET /m/{x}", "POST /m/{x}"},
    ),
    "a variable beside the rest": (
        [route("a", "/m/**", "GET"), route("b", "/m/{y}", "POST")],
        {"GET /m", "POST /m/{y}", "GET /m/{y}"},
    ),
}


@pytest.mark.parametrize(("routes", "wanted"), CASES.values(), ids=CASES)
def test_routes_become_resources(routes: list[dict[str, Any]], wanted: set[str], tmp_path: Path) -> None:
    found = paths(read(export(tmp_path, {"routes": routes})))
    # A name's segment is also in the middle of a path, where a wider route may take it.
    assert found == wanted


def test_the_first_route_of_the_file_takes_what_both_would(tmp_path: Path) -> None:
    routes = [route("wide", "/m/{x}", auth={"any_of": ["keys"]}), route("late", "/m/x", auth={"any_of": ["keys"]})]
    made = export(tmp_path, {"routes": routes})
    assert any("others take all of it" in loss.detail and loss.kind is Kind.LOST for loss in made.losses)


def test_what_cannot_be_a_resource_is_lost_and_refused(tmp_path: Path) -> None:
    made = export(tmp_path, {"routes": [route("a", "/m"), route("b", "/m@x/~y")]})
    assert paths(read(made)) == {"POST /m"}
    assert [loss.where for loss in made.losses if "can be a resource" in loss.detail] == ["routes.b.match.path"]


def test_a_policy_of_no_path_that_aws_has_is_no_template(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="none of the policy's paths"):
        export(tmp_path, {"routes": [route("b", "/m@x")]})


def test_routes_that_cross_are_told(tmp_path: Path) -> None:
    made = export(tmp_path, {"routes": [route("a", "/{x}/b"), route("b", "/a/{y}")]})
    assert any("the more literal one" in loss.detail for loss in made.losses)


SCHEMA = "schema.json"
OAUTH = {"type": "oauth2", "issuer": "https://issuer.example", "audience": "https://models.example"}
MTLS = {"type": "mtls", "subject": "san_dns"}
TLS = {"cert": "c.pem", "key": "k.pem", "client_ca": "ca.pem", "client_auth": "optional"}


def method(found: dict[str, Any]) -> dict[str, Any]:
    ((_, one),) = properties(found, "AWS::ApiGateway::Method").items()
    return one


def test_a_token_is_for_a_function_that_is_asked_every_time(tmp_path: Path) -> None:
    found = read(export(tmp_path, {"authenticators.keys": OAUTH}))
    assert method(found)["AuthorizationType"] == "CUSTOM"
    ((_, authoriser),) = properties(found, "AWS::ApiGateway::Authorizer").items()
    assert authoriser["AuthorizerResultTtlInSeconds"] == 0
    assert "IdentitySource" not in authoriser
    assert "AuthoriserFunctionArn" in found["Parameters"]


def test_certificates_close_every_other_door(tmp_path: Path) -> None:
    found = read(export(tmp_path, {"authenticators.keys": MTLS, "listen.tls": TLS}))
    ((_, api),) = properties(found, "AWS::ApiGateway::RestApi").items()
    assert api["DisableExecuteApiEndpoint"] is True
    ((_, domain),) = properties(found, "AWS::ApiGateway::DomainName").items()
    assert domain["MutualTlsAuthentication"]["TruststoreUri"] == {"Ref": "TruststoreUri"}


def test_certificates_of_one_route_are_asked_of_all_and_that_is_told(tmp_path: Path) -> None:
    routes = [route("a", "/a"), route("b", "/b", auth={"any_of": ["certs"]})]
    overlay = {"authenticators.certs": MTLS, "listen.tls": TLS, "routes": routes}
    made = export(tmp_path, {**overlay, "authenticators.more": OAUTH, "routes.0.auth.any_of": ["keys", "more"]})
    assert any("need a certificate too" in loss.detail for loss in made.losses)


def plan(tmp_path: Path, *quotas: Any) -> dict[str, Any]:
    found = read(export(tmp_path, {"routes.0.quotas": list(quotas)}))
    ((_, one),) = properties(found, "AWS::ApiGateway::UsagePlan").items()
    return one


BUCKETS: dict[str, tuple[list[Any], float, int]] = {
    "strict: a tenth at once": (["100 per minute"], 1.666667, 10),
    "strict, few": (["5 per minute"], 0.083333, 1),
    "calendar: all at once": ([{"limit": "60 per minute", "strategy": "calendar"}], 1, 60),
    "smooth: its own burst": ([{"limit": "60 per minute", "strategy": "smooth", "burst": 7}], 1, 7),
    "several: the lowest rate, and what that leaves": (["10 per minute", "50 per hour"], 0.013889, 5),
}


@pytest.mark.parametrize(("quotas", "rate", "burst"), BUCKETS.values(), ids=BUCKETS)
def test_quotas_become_a_bucket(quotas: list[Any], rate: float, burst: int, tmp_path: Path) -> None:
    (stage,) = plan(tmp_path, *quotas)["ApiStages"]
    assert stage["Throttle"] == {"/predict/POST": {"RateLimit": rate, "BurstLimit": burst}}


PERIODS = {
    "a day": (["200 per day"], {"Limit": 200, "Period": "DAY"}),
    "a week": (["200 per 7 days"], {"Limit": 200, "Period": "WEEK"}),
    "a month": (["900 per month"], {"Limit": 900, "Period": "MONTH"}),
    "two days": (["200 per 2 days"], {"Limit": 100, "Period": "DAY"}),
    "the one that allows least": (["200 per day", "900 per month"], {"Limit": 900, "Period": "MONTH"}),
}


@pytest.mark.parametrize(("quotas", "wanted"), PERIODS.values(), ids=PERIODS)
def test_long_quotas_become_the_plans_own(quotas: list[Any], wanted: dict[str, Any], tmp_path: Path) -> None:
    assert plan(tmp_path, *quotas)["Quota"] == wanted


def test_methods_share_what_is_the_routes(tmp_path: Path) -> None:
    overlay = {
        "routes.0.match.methods": ["POST", "PUT"],
        "routes.0.quotas": [{"limit": "600 per minute", "per": "route"}],
    }
    ((_, stage),) = properties(read(export(tmp_path, overlay)), "AWS::ApiGateway::Stage").items()
    throttles = [one["ThrottlingRateLimit"] for one in stage["MethodSettings"] if "ThrottlingRateLimit" in one]
    assert throttles == [5, 5]


def test_a_secret_comes_from_where_secrets_are(tmp_path: Path) -> None:
    made = export(tmp_path, {"upstreams.model.headers": {"X-Api-Key": "s3cr3t"}})
    passed = method(read(made))["Integration"]["RequestParameters"]["integration.request.header.x-api-key"]
    assert passed == {"Fn::Sub": "'{{resolve:secretsmanager:${UpstreamModelSecret}:SecretString:x-api-key}}'"}
    assert "Default" not in read(made)["Parameters"]["UpstreamModelSecret"]


def test_streams_leave_as_they_come(tmp_path: Path) -> None:
    one = method(read(export(tmp_path, {"routes.0.preset": "openai.chat"})))
    assert one["Integration"]["Type"] == "HTTP_PROXY"
    assert one["Integration"]["ResponseTransferMode"] == "STREAM"
    assert one["Integration"]["RequestParameters"]["integration.request.header.Authorization"] == "''"


def test_only_what_is_named_passes(tmp_path: Path) -> None:
    overlay = {"routes.0.request.headers": ["x-trace"], "routes.0.request.query": ["lang"]}
    one = method(read(export(tmp_path, overlay)))
    mapped = set(one["Integration"]["RequestParameters"])
    assert "integration.request.header.x-trace" in mapped
    assert "integration.request.querystring.lang" in mapped
    assert not [name for name in mapped if "authorization" in name.lower() or "x-api-key" in name.lower()]


def test_of_the_upstreams_errors_nothing_passes(tmp_path: Path) -> None:
    answers = method(read(export(tmp_path, {})))["Integration"]["IntegrationResponses"]
    assert [one.get("SelectionPattern") for one in answers] == ["2\\d{2}", "4([013-9]\\d|2[0-8])", "429", None]
    assert all("ResponseTemplates" in one for one in answers[1:])
    assert answers[-1]["StatusCode"] == "502"


def test_a_route_in_shadow_has_no_limits(tmp_path: Path) -> None:
    overlay = {
        "routes.0.mode": "shadow",
        "routes.0.quotas": ["10 per minute"],
        "routes.0.request.schema": "schema.json",
    }
    made = export(tmp_path, overlay)
    found = read(made)
    assert "RequestModels" not in method(found)
    assert "Throttle" not in str(properties(found, "AWS::ApiGateway::UsagePlan"))
    assert any(loss.feature == "quota.requests" and loss.kind is Kind.LOST for loss in made.losses)


def test_a_route_in_shadow_is_left_out_of_rules_that_block(tmp_path: Path) -> None:
    rules = [{"name": "one", "priority": 1, "statement": {"xss_match": {"field": "query_string"}}}]
    routes = [route("a", "/a", web_acl="acl"), route("b", "/b", web_acl="acl", mode="shadow")]
    (one,) = blocking(export(tmp_path, {"web_acls": {"acl": {"rules": rules}}, "routes": routes}))
    assert "/b" in str(one["Statement"]["AndStatement"]["Statements"][0]["NotStatement"])
    routes[0]["mode"] = "shadow"
    assert blocking(export(tmp_path, {"web_acls": {"acl": {"rules": rules}}, "routes": routes})) == []


def blocking(made: Export) -> list[dict[str, Any]]:
    ((_, acl),) = properties(read(made), "AWS::WAFv2::WebACL").items()
    return [rule for rule in acl["Rules"] if "Block" in rule["Action"]]


def test_a_narrow_route_is_looked_at_though_a_wide_one_beside_it_is_not(tmp_path: Path) -> None:
    rules = [{"name": "one", "priority": 1, "statement": {"xss_match": {"field": "query_string"}}}]
    routes = [route("narrow", "/v1/predict", web_acl="acl"), route("wide", "/v1/**")]
    (one,) = blocking(export(tmp_path, {"web_acls": {"acl": {"rules": rules}}, "routes": routes}))
    condition, _ = one["Statement"]["AndStatement"]["Statements"]
    spared, looked_at = condition["OrStatement"]["Statements"]
    assert "NotStatement" in spared
    assert "/v1/predict" in str(looked_at)


def test_rules_of_two_web_acls_are_numbered_anew(tmp_path: Path) -> None:
    rules = [{"name": "one", "priority": 5, "statement": {"xss_match": {"field": "query_string"}}}]
    routes = [route("a", "/a", web_acl="x"), route("b", "/b", web_acl="y")]
    overlay = {"web_acls": {"x": {"rules": rules}, "y": {"rules": rules}}, "routes": routes}
    found = [(rule["Name"], rule["Priority"]) for rule in blocking(export(tmp_path, overlay))]
    assert found == [("one", 0), ("one-2", 1)]


def test_a_name_that_aws_waf_does_not_take_is_an_error(tmp_path: Path) -> None:
    statement = {"xss_match": {"field": {"query_argument": "a" * 31}}}
    rules = [{"name": "one", "priority": 5, "statement": statement}]
    with pytest.raises(ExportError, match="30 characters"):
        export(tmp_path, {"web_acls": {"x": {"rules": rules}}, "routes.0.web_acl": "x"})
