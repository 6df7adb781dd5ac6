"""The engine in dialogue: what it asks for, what it is told, what it decides; and the order of the line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from vallum.codecs.json import Json
from vallum.core.content import Content, Shape
from vallum.core.decision import INVALID_TOKEN, Allow, Challenge, Deny, Finding, Page, Reason
from vallum.core.effects import Classify, FindCredential, TakeQuota, ask
from vallum.core.engine import Engine, line_up
from vallum.core.errors import DependencyError, PhaseError
from vallum.core.exchange import Certificate, Headers, ResponseHead
from vallum.core.policy import Guard, Mode, OnError, Policy, Priorities, Priority
from vallum.core.principal import Confirmation, Principal
from vallum.core.quota import Demand, Per, Taken
from vallum.core.sidedoor import Ask

if TYPE_CHECKING:
    from tests.conftest import Kit

    from vallum.core.effects import Steps
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Route

JSON = (("content-type", "application/json"), ("content-length", "2"))
HIT = Finding("rule", "/text", "what was seen")
DOWN = DependencyError("the store is down")


def reason(x: Any) -> str:
    return "allow" if isinstance(x.decision, Allow) else str(x.decision.reason)


# --- the order --------------------------------------------------------------------------------------------------------


def test_the_line_runs_in_this_order(kit: Kit) -> None:
    route = kit.route(
        limits=(
            kit.limit(kit.quota("day"), Mode.SHADOW),
            kit.limit(kit.quota("minute")),
            kit.limit(kit.quota("hour")),
        ),
        intake=kit.intake(
            deny_fields=frozenset({"n"}),
            schema=lambda _: None,
            asks=(Ask(("logprobs",)),),
            checks=(kit.guard(), kit.guard(mode=Mode.SHADOW)),
            sanitiser=kit.Cleaning(lambda document: document),
        ),
    )
    line = line_up(route)
    assert [(stage.name, stage.mode.value, stage.bound) for stage in line.head] == [
        ("authenticate", "enforce", False),
        ("confirm", "enforce", False),
        ("authorise", "enforce", False),
        ("declared_size", "enforce", True),
        ("media_type", "enforce", True),
        ("query", "enforce", False),
    ]
    assert [(stage.name, stage.mode.value, stage.bound) for stage in line.body] == [
        ("parse", "enforce", False),
        ("quotas", "enforce", False),
        ("quota:day", "shadow", False),
        ("fields", "enforce", False),
        ("schema", "enforce", False),
        ("side_doors", "enforce", False),
        ("check:looking", "enforce", False),
        ("check:looking", "shadow", False),
        ("sanitise", "enforce", False),
    ]


def test_a_route_without_controls_has_the_shortest_line(kit: Kit) -> None:
    assert [stage.name for stage in line_up(kit.route()).body] == ["parse", "quotas"]


# --- route ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("POST", "/predict", True),
        ("DELETE", "/predict", False),
        ("POST", "/predicts", False),
        ("POST", None, False),
    ],
)
def test_what_the_policy_does_not_name_does_not_exist(kit: Kit, method: str, path: str | None, found: bool) -> None:
    engine = kit.engine()
    x = engine.open(kit.request(method=method, path=path))
    talk = kit.talk(engine.request_head(x))
    assert talk.asked == []
    assert (x.route is not None) is found
    assert talk.outcome == x.decision
    assert reason(x) == ("allow" if found else "not_found")


def test_an_exchange_keeps_the_policy_it_was_opened_under(kit: Kit) -> None:
    engine = kit.engine()
    assert engine.open(kit.request()).policy is engine.policy


# --- authenticate and authorise ---------------------------------------------------------------------------------------


def test_the_first_responsible_authenticator_decides(kit: Kit) -> None:
    bob = Principal("bob")
    asks = FindCredential(b"digest")
    route = kit.route(authenticators=(kit.Vouching(None), kit.Vouching(bob, asks), kit.Vouching(kit.alice)))
    engine = kit.engine(route)
    x = engine.open(kit.request(headers=(*JSON, ("authorization", "Bearer x"))))
    talk = kit.talk(engine.request_head(x), None)
    assert talk.asked == [asks]
    assert talk.outcome == Allow()
    assert x.principal == bob


def test_a_refusal_of_the_responsible_authenticator_is_final(kit: Kit) -> None:
    wrong = Challenge("Bearer", "authenticate:keys", "wrong")
    route = kit.route(authenticators=(kit.Vouching(wrong), kit.Vouching(kit.alice)))
    assert kit.judge(kit.engine(route), kit.request()).decision == wrong


@pytest.mark.parametrize(
    ("credentials", "scheme"),
    [
        ((), "Bearer"),  # RFC 6750 3.1: no error code where no credential came
        ((("authorization", "Basic eDp5"),), 'Bearer error="invalid_token"'),
        ((("x-api-key", "x"),), 'Bearer error="invalid_token"'),
        ((("x-api-key", "x"), ("authorization", "Bearer x")), 'Bearer error="invalid_token"'),
        ((("x-api-key", "x"), ("x-api-key", "x")), 'Bearer error="invalid_token"'),
        ((("authorization", "Bearer x"), ("authorization", "Bearer y")), 'Bearer error="invalid_token"'),
        ((("x-api-key", ""), ("authorization", "Bearer x")), 'Bearer error="invalid_token"'),
    ],
)
def test_who_is_not_known_is_challenged(kit: Kit, credentials: tuple[tuple[str, str], ...], scheme: str) -> None:
    route = kit.route(authenticators=(kit.Vouching(None),))
    decision = kit.judge(kit.engine(route), kit.request(headers=(*JSON, *credentials))).decision
    assert isinstance(decision, Challenge)
    assert decision.scheme == scheme
    assert decision.reason is Reason.UNAUTHENTICATED


def test_a_certificate_that_nobody_takes_is_met_as_no_credential_is(kit: Kit) -> None:
    engine = kit.engine(kit.route(authenticators=(kit.Vouching(None),)))
    decision = kit.judge(engine, kit.request(headers=JSON, certificate=Certificate("a"))).decision
    assert decision == Challenge("Bearer", "authenticate", "no authenticator of this route takes this certificate")
    # Of several authenticators it is not told which one refused.
    wrong = Challenge("Bearer", "authenticate:certs", "the certificate is revoked")
    other = kit.Vouching(None)
    other.challenge = "Other"  # type: ignore[misc]  # of this one alone
    both = kit.engine(kit.route(authenticators=(kit.Vouching(wrong), other)))
    assert kit.judge(both, kit.request(headers=JSON)).decision == Challenge(
        "Bearer, Other", "authenticate:certs", "the certificate is revoked"
    )
    # One that does not hold leaves no certificate in the request.
    decision = kit.judge(engine, kit.request(headers=JSON, certificate_fault="has expired")).decision
    assert decision == Challenge("Bearer", "authenticate", "no credential was presented")


def test_two_credentials_are_refused_though_each_would_hold(kit: Kit) -> None:
    request = kit.request(headers=(*JSON, ("x-api-key", "x"), ("authorization", "Bearer x")))
    decision = kit.judge(kit.engine(), request).decision
    assert isinstance(decision, Challenge)
    assert decision.detail == "two credentials at once"


@pytest.mark.parametrize(
    ("wanted", "has", "allowed"),
    [
        ({}, {}, True),
        ({"a"}, {"a", "b"}, True),
        ({"a", "b"}, {"a"}, False),
        ({"a"}, {}, False),
        ({"a"}, {"a:b"}, False),
    ],
)
def test_a_principal_needs_every_scope_of_the_route(kit: Kit, wanted: set[str], has: set[str], allowed: bool) -> None:
    caller = kit.Vouching(Principal("bob", scopes=frozenset(has)))
    x = kit.judge(kit.engine(kit.route(authenticators=(caller,), scopes=frozenset(wanted))), kit.request())
    assert reason(x) == ("allow" if allowed else "insufficient_scope")


@pytest.mark.parametrize(
    ("asked", "nothing", "wrong"),
    [
        (("Bearer",), "Bearer", 'Bearer error="invalid_token"'),
        (("Bearer", 'Bearer a="1"'), 'Bearer a="1"', 'Bearer error="invalid_token", a="1"'),
        (('Bearer a="1"', 'Bearer a="1"'), 'Bearer a="1"', 'Bearer error="invalid_token", a="1"'),
        (('DPoP algs="ES256"',), 'DPoP algs="ES256"', 'Bearer error="invalid_token", DPoP algs="ES256"'),
    ],
)
def test_a_challenge_says_what_all_authenticators_of_the_route_ask_for(
    kit: Kit, asked: tuple[str, ...], nothing: str, wrong: str
) -> None:
    def authenticator(challenge: str) -> Any:
        made = kit.Vouching(None)
        vars(made)["challenge"] = challenge
        return made

    engine = kit.engine(kit.route(authenticators=tuple(map(authenticator, asked))))
    for headers, scheme in (((), nothing), ((("authorization", "Bearer x"),), wrong)):
        x = kit.judge(engine, kit.request(headers=headers))
        assert isinstance(x.decision, Challenge)
        assert x.decision.scheme == scheme


def test_which_authenticator_refused_does_not_show(kit: Kit) -> None:
    refusing = kit.Vouching(Challenge(INVALID_TOKEN, "authenticate:keys", "no such key"))
    other = kit.Vouching(None)
    vars(other)["challenge"] = 'Bearer a="1"'
    x = kit.judge(kit.engine(kit.route(authenticators=(refusing, other))), kit.request())
    assert x.decision == Challenge('Bearer error="invalid_token", a="1"', "authenticate:keys", "no such key")


def test_a_challenge_of_another_kind_passes_as_it_is(kit: Kit) -> None:
    asked = Challenge('DPoP error="use_dpop_nonce"', "authenticate:tokens")
    x = kit.judge(kit.engine(kit.route(authenticators=(kit.Vouching(asked),))), kit.request())
    assert x.decision is asked


def test_a_missing_scope_is_named_in_the_challenge_as_rfc_6750_asks(kit: Kit) -> None:
    route = kit.route(scopes=frozenset({"b:write", "predict:read", "a:read"}))
    decision = kit.judge(kit.engine(route), kit.request()).decision
    assert isinstance(decision, Deny)
    scheme = 'Bearer error="insufficient_scope", scope="a:read b:write predict:read"'
    assert decision.headers == (("www-authenticate", scheme),)
    assert decision.detail == "missing scope: a:read, b:write"


# --- size, media type, query ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "expected"), [(None, "allow"), ("0", "allow"), ("100", "allow"), ("101", "body_too_large")]
)
def test_a_declared_size_over_the_bound_is_refused_before_the_body(kit: Kit, length: str | None, expected: str) -> None:
    fields = () if length is None else (("content-length", length),)
    request = kit.request(headers=(("content-type", "application/json"), *fields))
    assert reason(kit.judge(kit.engine(kit.route(intake=kit.intake(max_bytes=100))), request)) == expected


LENGTH = ("content-length", "2")
CHUNKED = ("transfer-encoding", "chunked")


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ((("content-type", "application/json"), LENGTH), True),
        ((("content-type", "Application/JSON"), LENGTH), True),
        ((("content-type", "application/json; charset=utf-8"), LENGTH), True),
        ((("content-type", 'application/json;charset="UTF-8";'), LENGTH), True),
        ((("content-type", "application/json; profile=x"), LENGTH), True),
        ((("content-type", "application/json"), CHUNKED), True),
        ((), True),  # no body, so no type is asked for
        ((("content-length", "0"),), True),
        ((("content-type", "text/plain"), ("content-length", "0")), True),
        ((("content-type", "text/plain"),), True),
        ((LENGTH,), False),
        ((CHUNKED,), False),
        ((("content-type", "text/plain"), LENGTH), False),
        ((("content-type", "application/jsonp"), LENGTH), False),
        ((("content-type", "application/json, text/plain"), LENGTH), False),
        ((("content-type", "application/json"), ("content-type", "application/json"), LENGTH), False),
        ((("content-type", "application/json; charset=utf-16"), LENGTH), False),
        ((("content-type", "application/json; charset=utf-8; charset=utf-7"), LENGTH), False),
        ((("content-type", "application/json; charset =utf-16"), LENGTH), False),  # a lenient reader would take it
        ((("content-type", "application/json; charset= utf-16"), LENGTH), False),
        ((("content-type", "application/json"), ("content-encoding", "gzip"), LENGTH), False),
        ((("content-type", "application/json"), ("content-encoding", "identity"), LENGTH), True),
        (
            (
                ("content-type", "application/json"),
                ("content-encoding", "identity"),
                ("content-encoding", "br"),
                LENGTH,
            ),
            False,
        ),
    ],
)
def test_a_body_has_one_type_that_the_route_takes(kit: Kit, fields: tuple[tuple[str, str], ...], taken: bool) -> None:
    body = b"{}" if LENGTH in fields or CHUNKED in fields else b""
    x = kit.judge(kit.engine(), kit.request(headers=fields), body)
    assert reason(x) == ("allow" if taken else "unsupported_media_type")


def test_a_body_that_nobody_announced_needs_its_type_too(kit: Kit) -> None:
    assert reason(kit.judge(kit.engine(), kit.request(headers=()))) == "unsupported_media_type"


@pytest.mark.parametrize(
    ("fields", "taken"),
    [((LENGTH,), True), ((("content-type", ""), LENGTH), True), ((("content-type", "x/y"), LENGTH), False)],
)
def test_a_format_whose_clients_name_no_type(kit: Kit, fields: tuple[tuple[str, str], ...], taken: bool) -> None:
    engine = kit.engine(kit.route(intake=kit.intake(codecs={"": Json()})))
    x = kit.judge(engine, kit.request(headers=fields), b"{}")
    assert reason(x) == ("allow" if taken else "unsupported_media_type")


def test_a_route_that_reads_no_body_takes_any_type(kit: Kit) -> None:
    route = kit.route(intake=kit.intake(codecs={}))
    x = kit.judge(kit.engine(route), kit.request(headers=(("content-type", "image/png"), LENGTH)), None)
    assert reason(x) == "allow"
    assert x.unscanned == ["body"]


@pytest.mark.parametrize(
    ("allowed", "query", "expected"),
    [
        ((), "", "allow"),
        ((), "q=1", "invalid_request"),
        (("q",), "q=1", "allow"),
        (("q",), "q", "allow"),
        (("q",), "q=1&q=2", "allow"),
        (("q",), "q=1&r=2", "invalid_request"),
        (("q",), "%71=1", "allow"),  # read as the upstream will read it
        (("q",), "Q=1", "invalid_request"),
        (("q",), "=1", "invalid_request"),
        (("q",), "q[]=1", "invalid_request"),
        (None, "anything=1&at=all", "allow"),
        # What cannot be decoded is malformed, with or without an allow-list: never a fault of the gateway's.
        (None, "q=%ff", "malformed_request"),
        (("q",), "q=%ff", "malformed_request"),
        ((), "q=%ff", "malformed_request"),
        (("q",), "&".join(["q=1"] * 101), "malformed_request"),
    ],
)
def test_only_named_query_parameters_may_appear(
    kit: Kit, allowed: tuple[str, ...] | None, query: str, expected: str
) -> None:
    route = kit.route(intake=kit.intake(query=None if allowed is None else frozenset(allowed)))
    assert reason(kit.judge(kit.engine(route), kit.request(query=query))) == expected


def test_a_query_that_cannot_be_decoded_is_no_way_around_the_allow_list(kit: Kit) -> None:
    intake = kit.intake(codecs={}, query=frozenset({"q"}))
    route = kit.route(intake=intake, on_error=OnError.ALLOW)
    assert reason(kit.judge(kit.engine(route), kit.request(query="evil=1&q=%ff"), None)) == "malformed_request"


def test_a_refused_query_parameter_is_not_quoted(kit: Kit) -> None:
    decision = kit.judge(kit.engine(), kit.request(query="evil=1")).decision
    assert isinstance(decision, Deny)
    assert decision.violations == ({"pointer": "query", "rule": "unknown_parameter"},)
    assert "evil" not in decision.detail


def holding(path: dict[str, str], query: Any) -> Finding | None:
    """A schema of parameters, as far as the engine knows one."""
    if path == {"name": "small"} and list(query) == [("q", "1")]:
        return None
    return Finding("enum", "path.name", reason=Reason.INVALID_REQUEST, public=True)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/models/small", "q=1", "allow"),
        ("/models/small", "", "invalid_request"),
        ("/models/large", "q=1", "invalid_request"),
        ("/models/small", "q=1&x=2", "invalid_request"),
        ("/models/small", "q=%ff", "malformed_request"),
    ],
)
def test_parameters_are_held_by_path_and_query(kit: Kit, path: str, query: str, expected: str) -> None:
    route = kit.route("/models/{name}", intake=kit.intake(query=frozenset({"q"}), parameters=holding))
    assert reason(kit.judge(kit.engine(route), kit.request(path=path, query=query))) == expected


def test_what_is_wrong_with_a_parameter_is_told_by_its_name(kit: Kit) -> None:
    route = kit.route("/models/{name}", intake=kit.intake(parameters=holding))
    decision = kit.judge(kit.engine(route), kit.request(path="/models/large")).decision
    assert isinstance(decision, Deny)
    assert decision.violations == ({"pointer": "path.name", "rule": "enum"},)


def test_the_shape_of_a_body_is_bounded(kit: Kit) -> None:
    route = kit.route(intake=kit.intake(shape=Shape(max_items=2)))
    assert reason(kit.judge(kit.engine(route), kit.request(), b"[1,2]")) == "allow"
    decision = kit.judge(kit.engine(route), kit.request(), b"[1,2,3]").decision
    assert isinstance(decision, Deny)
    assert decision.violations == ({"pointer": "", "rule": "max_items"},)


# --- parse ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected", "rule"),
    [
        (b"", "allow", None),
        (b"{}", "allow", None),
        (b"null", "allow", None),
        (b'{"a":[1]}', "allow", None),
        (b'{"a":[[1]]}', "invalid_request", "max_depth"),
        (b"{", "malformed_request", None),
        (b'{"a":1,"a":2}', "malformed_request", None),
        (b'{"a":NaN}', "malformed_request", None),
        (b'{"a":1e400}', "malformed_request", None),
        (b'{"a":"\xff"}', "malformed_request", None),
        (b"\xef\xbb\xbf{}", "malformed_request", None),
    ],
)
def test_a_body_is_read_strictly_and_its_shape_bounded(kit: Kit, body: bytes, expected: str, rule: str | None) -> None:
    x = kit.judge(kit.engine(kit.route(intake=kit.intake(max_depth=2))), kit.request(), body)
    assert reason(x) == expected
    assert x.body == body
    if rule is not None:
        assert isinstance(x.decision, Deny)
        assert x.decision.violations == ({"pointer": "", "rule": rule},)


def test_the_query_is_content_too(kit: Kit) -> None:
    x = kit.judge(kit.engine(kit.route(intake=kit.intake(query=None))), kit.request(query="q=hello"))
    assert x.content is not None
    assert x.content.values == ["hello"]


# --- quotas -----------------------------------------------------------------------------------------------------------


def test_all_enforced_quotas_are_asked_for_at_once(kit: Kit) -> None:
    minute, hour = kit.quota("minute"), kit.quota("hour")
    engine = kit.engine(kit.route(limits=(kit.limit(minute), kit.limit(hour))))
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    taken = kit.admitted(minute, hour)
    talk = kit.talk(engine.request_body(x, b"{}"), taken)
    assert [[(demand.quota, demand.cost) for demand in demands] for demands in talk.demands] == [
        [(minute, 1), (hour, 1)]
    ]
    assert talk.outcome == Allow()
    assert x.taken is taken
    assert [name for name, _ in x.quota_fields] == ["ratelimit-policy", "ratelimit"]


@pytest.mark.parametrize(
    ("wait_us", "retry_after_s", "should_retry"),
    [(1, 1, True), (1_000_000, 1, True), (1_000_001, 2, True), (120_000_000, 120, True), (120_000_001, 121, False)],
)
def test_a_refused_quota_says_when_to_come_back(kit: Kit, wait_us: int, retry_after_s: int, should_retry: bool) -> None:
    quota = kit.quota()
    check = kit.guard(HIT)
    route = kit.route(limits=(kit.limit(quota),), intake=kit.intake(checks=(check,)))
    x = kit.judge(kit.engine(route), kit.request(), b"{}", kit.refused(quota, wait_us=wait_us))
    detail = "10 per 60 s per principal"
    assert x.decision == Deny(Reason.QUOTA_EXCEEDED, "quota:minute", detail, retry_after_s, should_retry=should_retry)
    assert x.quota_fields, "a refusal says how the quotas stand"
    assert not x.shadowed, "the check, which is dear, did not run"


def test_malformed_requests_cost_no_quota(kit: Kit) -> None:
    engine = kit.engine(kit.route(limits=(kit.limit(),)))
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    assert kit.talk(engine.request_body(x, b"{")).asked == []


@pytest.mark.parametrize(
    ("per", "who", "client", "bucket"),
    [
        (Per.PRINCIPAL, Principal("alice"), "192.0.2.1", "subject|alice"),
        (Per.PRINCIPAL, Principal("alice", "acme", frozenset(), "key_2"), "192.0.2.9", "subject|alice"),
        (Per.KEY, Principal("alice", credential_id="key_1"), "192.0.2.1", "key|key_1"),
        (Per.KEY, Principal("alice"), "192.0.2.1", "subject|alice"),
        (Per.TENANT, Principal("alice", "acme"), "192.0.2.1", "tenant|acme"),
        (Per.TENANT, Principal("alice"), "192.0.2.1", "subject|alice"),
        (Per.IP, Principal("alice"), "192.0.2.1", "ip|192.0.2.1"),
        (Per.IP, Principal("alice"), "2001:db8:0:1:2:3:4:5", "ip|2001:db8:0:1::/64"),
        (Per.IP, Principal("alice"), "::ffff:192.0.2.1", "ip|192.0.2.1"),
    ],
)
def test_whose_bucket_a_quota_fills(kit: Kit, per: Per, who: Principal, client: str, bucket: str) -> None:
    kind, name = bucket.split("|")
    keys = bucket_keys(kit, per, kit.route(authenticators=(kit.Vouching(who),)), client)
    assert [key for key in keys if key.endswith(f"\x1f{kind}\x1f{name}")] == keys


@pytest.mark.parametrize("per", [Per.PRINCIPAL, Per.KEY, Per.TENANT, Per.IP])
def test_nobody_is_counted_by_address(kit: Kit, per: Per) -> None:
    route = kit.route(authenticators=(kit.Vouching(None),), mode=Mode.SHADOW)
    (key,) = bucket_keys(kit, per, route, "2001:db8::1")
    assert key.endswith("\x1fip\x1f2001:db8::/64")


@pytest.mark.parametrize(
    ("per", "one_bucket", "across_routes"),
    [(Per.ROUTE, True, False), (Per.GLOBAL, True, True), (Per.PRINCIPAL, False, False), (Per.IP, False, False)],
)
def test_who_shares_a_bucket(kit: Kit, per: Per, one_bucket: bool, across_routes: bool) -> None:
    def key(subject: str, client: str, route: str) -> str:
        caller = kit.Vouching(Principal(subject))
        return bucket_keys(kit, per, kit.route(name=route, authenticators=(caller,)), client)[0]

    here = key("alice", "192.0.2.1", "predict")
    assert here == key("alice", "192.0.2.1", "predict")
    assert (here == key("bob", "192.0.2.2", "predict")) is one_bucket
    assert (here == key("alice", "192.0.2.1", "chat")) is across_routes


@pytest.mark.parametrize("per", list(Per))
def test_quotas_with_different_windows_never_share_a_bucket(kit: Kit, per: Per) -> None:
    # Their sub-windows are numbered differently: in one bucket each would forget what the other took.
    def key(window_us: int) -> str:
        route = kit.route(limits=(kit.limit(kit.quota("named", 10, per, window_us)),))
        return bucket_keys(kit, per, route, "192.0.2.1")[0]

    assert key(60_000_000) != key(3_600_000_000)


def bucket_keys(kit: Kit, per: Per, route: Route, client: str) -> list[str]:
    quotas = [limit.quota for limit in route.limits] or [kit.quota("minute", 10, per)]
    parts = {name: getattr(route, name) for name in ("name", "authenticators", "mode")}
    engine = kit.engine(kit.route(**parts, limits=tuple(kit.limit(quota) for quota in quotas)))
    x = engine.open(kit.request(client=client))
    kit.talk(engine.request_head(x))
    talk = kit.talk(engine.request_body(x, b"{}"), kit.admitted(*quotas))
    return [demand.key for demands in talk.demands for demand in demands]


def test_one_stage_names_buckets_for_many_callers(kit: Kit) -> None:
    quota = kit.quota()
    ip = kit.quota("ip", 10, Per.IP)
    engine = kit.engine(kit.route(limits=(kit.limit(quota), kit.limit(ip))))
    keys: set[tuple[str, ...]] = set()
    callers = [f"10.0.{number >> 8}.{number & 255}" for number in range(4200)]  # more than are kept ready
    for client in (*callers, *callers[:3], *callers[-3:]):
        x = engine.open(kit.request(client=client))
        kit.talk(engine.request_head(x))
        (demands,) = kit.talk(engine.request_body(x, b"{}"), kit.admitted(quota, ip)).demands
        assert demands[1].key.endswith(f"\x1f{client}")
        keys.add(tuple(demand.key for demand in demands))
    assert len(keys) == len(callers)


# --- denied fields, schema, checks, sanitising ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"n":1}', "/n"),
        (b'{"N":1}', "/N"),  # a server written in Go takes it
        (b'{"x":1,"\\u0065CHO":1}', "/eCHO"),
        (b'{"a":{"n":1}}', None),
        (b"[]", None),
        (b'["n"]', None),
        (b'"n"', None),
    ],
)
def test_denied_fields_are_those_at_the_top(kit: Kit, body: bytes, pointer: str | None) -> None:
    route = kit.route(intake=kit.intake(deny_fields=frozenset({"n", "echo"})))
    decision = kit.judge(kit.engine(route), kit.request(), body).decision
    if pointer is None:
        assert decision == Allow()
    else:
        assert isinstance(decision, Deny)
        assert decision.violations == ({"pointer": pointer, "rule": "denied_field"},)
        assert decision.reason is Reason.INVALID_REQUEST


def test_a_broken_schema_names_place_and_rule_to_the_caller(kit: Kit) -> None:
    broken = Finding("minLength", "/text", "", reason=Reason.INVALID_REQUEST, public=True)
    route = kit.route(intake=kit.intake(schema=lambda _: broken, checks=(kit.guard(HIT),)))
    decision = kit.judge(kit.engine(route), kit.request()).decision
    assert isinstance(decision, Deny)
    assert (decision.reason, decision.control) == (Reason.INVALID_REQUEST, "schema")
    assert decision.violations == ({"pointer": "/text", "rule": "minLength"},)


def test_what_a_check_saw_is_for_the_record_alone(kit: Kit) -> None:
    decision = kit.judge(kit.engine(kit.route(intake=kit.intake(checks=(kit.guard(HIT),)))), kit.request()).decision
    saw = "rule at /text: what was seen"
    assert decision == Deny(Reason.REQUEST_REJECTED, "check:looking", saw, rule="rule", where="/text")


def test_a_finding_without_a_place_is_about_the_whole(kit: Kit) -> None:
    route = kit.route(intake=kit.intake(checks=(kit.guard(Finding("rule")),)))
    decision = kit.judge(kit.engine(route), kit.request()).decision
    assert isinstance(decision, Deny)
    assert decision.detail == "rule at the whole"


DOUBTFUL = Finding("rule", "/text", "what was seen", step_up=True)
BOUND = Principal("alice", None, frozenset(), "key_1", "keys", confirmation=Confirmation(certificate="thumb"))


def doubted(kit: Kit, *, bound: bool = False, shadow: bool = False) -> Exchange:
    guard = kit.guard(DOUBTFUL, Mode.SHADOW if shadow else Mode.ENFORCE)
    who = (kit.Vouching(BOUND),) if bound else (kit.Vouching(kit.alice),)
    engine = kit.engine(kit.route(authenticators=who, intake=kit.intake(checks=(guard,))))
    return kit.judge(engine, kit.request(certificate=Certificate("thumb") if bound else None))


def test_a_doubtful_finding_asks_for_a_bound_credential_and_blames_a_little(kit: Kit) -> None:
    x = doubted(kit)
    assert isinstance(x.decision, Challenge)
    assert x.decision.scheme.startswith('DPoP error="invalid_token", error_description="a credential bound to')
    assert (x.decision.control, x.decision.detail) == ("check:looking", "rule at /text: what was seen")
    assert (x.blame, x.blamed_for) == (0.1, "rule")


def test_who_has_a_bound_credential_passes_with_a_doubtful_finding_that_is_recorded(kit: Kit) -> None:
    x = doubted(kit, bound=True)
    assert x.decision == Allow()
    assert [refusal.control for refusal in x.shadowed] == ["check:looking"]
    assert x.blame == 0.1


def test_a_doubtful_finding_in_shadow_blames_nobody(kit: Kit) -> None:
    x = doubted(kit, shadow=True)
    assert x.decision == Allow()
    assert isinstance(x.shadowed[0], Challenge)
    assert x.blame == 0.0


def test_the_first_check_that_finds_something_ends_the_line(kit: Kit) -> None:
    first, second = kit.guard(HIT), kit.guard(HIT)
    kit.judge(kit.engine(kit.route(intake=kit.intake(checks=(first, second)))), kit.request())
    assert isinstance(second.check, kit.Looking)
    assert second.check.seen == []


def test_checks_look_at_the_text_as_it_was_sent(kit: Kit) -> None:
    guard = kit.guard()
    clean = kit.Cleaning(lambda _: {"text": "clean"})
    route = kit.route(intake=kit.intake(checks=(guard,), sanitiser=clean))
    x = kit.judge(kit.engine(route), kit.request(), b'{"text":"<b>raw"}')
    assert isinstance(guard.check, kit.Looking)
    assert guard.check.seen == [{"text": "<b>raw"}]
    assert x.decision == Allow(b'{"text":"clean"}')
    assert x.forward == b'{"text":"clean"}'


def test_an_unchanged_body_is_forwarded_as_it_came(kit: Kit) -> None:
    route = kit.route(intake=kit.intake(sanitiser=kit.Cleaning(lambda document: document)))
    assert kit.judge(kit.engine(route), kit.request(), b'{ "a" : 1 }').decision == Allow(None)


def test_what_a_sanitiser_will_not_pass_is_rejected(kit: Kit) -> None:
    route = kit.route(intake=kit.intake(sanitiser=kit.Cleaning(lambda _: Finding("max_chars", "/a"))))
    decision = kit.judge(kit.engine(route), kit.request()).decision
    assert isinstance(decision, Deny)
    assert (decision.reason, decision.control) == (Reason.REQUEST_REJECTED, "sanitise")


def test_what_was_sanitised_is_held_against_the_schema_once_more(kit: Kit) -> None:
    def not_empty(content: Content) -> Finding | None:
        rule = Finding("minLength", "/text", reason=Reason.INVALID_REQUEST, public=True)
        return None if content.document["text"] else rule

    intake = kit.intake(schema=not_empty, sanitiser=kit.Cleaning(lambda _: {"text": ""}))
    x = kit.judge(kit.engine(kit.route(intake=intake)), kit.request(), b'{"text":"<b>"}')
    assert reason(x) == "invalid_request"
    assert isinstance(x.decision, Deny)
    assert x.decision.control == "schema"


def test_what_was_sanitised_and_still_holds_is_passed_on(kit: Kit) -> None:
    intake = kit.intake(schema=lambda _: None, sanitiser=kit.Cleaning(lambda _: {"text": "ok"}))
    x = kit.judge(kit.engine(kit.route(intake=intake)), kit.request(), b'{"text":"<b>ok"}')
    assert x.decision == Allow(b'{"text":"ok"}')


# --- shadow -----------------------------------------------------------------------------------------------------------


def test_a_route_in_shadow_records_every_refusal_and_makes_none(kit: Kit) -> None:
    quota = kit.quota()
    broken = Finding("type", "", reason=Reason.INVALID_REQUEST, public=True)
    intake = kit.intake(deny_fields=frozenset({"n"}), schema=lambda _: broken, checks=(kit.guard(HIT),))
    route = kit.route(
        authenticators=(kit.Vouching(None),),
        scopes=frozenset({"a"}),
        limits=(kit.limit(quota),),
        intake=intake,
        mode=Mode.SHADOW,
    )
    x = kit.judge(kit.engine(route), kit.request(query="q=1"), b'{"n":1}', kit.refused(quota, wait_us=5))
    assert x.decision == Allow(None)
    assert [refusal.control for refusal in x.shadowed] == [
        "authenticate",
        "authorise",
        "query",
        "quota:minute",
        "fields",
        "schema",
        "check:looking",
    ]
    assert x.unscanned == []


def test_a_quota_in_shadow_is_asked_for_alone_and_refuses_nothing(kit: Kit) -> None:
    enforced, tried = kit.quota("minute"), kit.quota("hour")
    route = kit.route(limits=(kit.limit(tried, Mode.SHADOW), kit.limit(enforced)))
    engine = kit.engine(route)
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    taken = kit.admitted(enforced)
    talk = kit.talk(engine.request_body(x, b"{}"), taken, kit.refused(tried, wait_us=5))
    assert [[demand.quota.name for demand in demands] for demands in talk.demands] == [["minute"], ["hour"]]
    assert talk.outcome == Allow()
    assert [refusal.control for refusal in x.shadowed] == ["quota:hour"]
    assert x.taken is taken, "the answer's fields show the enforced quotas alone"


def test_who_is_refused_by_an_enforced_quota_costs_the_shadow_quota_nothing(kit: Kit) -> None:
    enforced, tried = kit.quota("minute"), kit.quota("hour")
    engine = kit.engine(kit.route(limits=(kit.limit(tried, Mode.SHADOW), kit.limit(enforced))))
    x = kit.judge(engine, kit.request(), b"{}", kit.refused(enforced, wait_us=5))
    assert reason(x) == "quota_exceeded"


def test_a_check_in_shadow_refuses_nothing_and_the_next_still_does(kit: Kit) -> None:
    guards = (kit.guard(HIT, Mode.SHADOW), kit.guard(Finding("other")))
    x = kit.judge(kit.engine(kit.route(intake=kit.intake(checks=guards))), kit.request())
    assert isinstance(x.decision, Deny)
    assert x.decision.detail.startswith("other")
    assert [refusal.detail for refusal in x.shadowed] == ["rule at /text: what was seen"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((("content-type", "application/json"), ("content-length", "101")), "body_too_large"),
        ((("content-type", "text/plain"), LENGTH), "unsupported_media_type"),
    ],
)
def test_bounds_hold_in_shadow_too(kit: Kit, fields: tuple[tuple[str, str], ...], expected: str) -> None:
    route = kit.route(intake=kit.intake(max_bytes=100), mode=Mode.SHADOW)
    x = kit.judge(kit.engine(route), kit.request(headers=fields))
    assert reason(x) == expected
    assert x.shadowed == []


def test_what_could_not_be_parsed_in_shadow_is_unscanned_and_passes_unchanged(kit: Kit) -> None:
    intake = kit.intake(
        deny_fields=frozenset({"n"}),
        schema=lambda _: HIT,
        checks=(kit.guard(HIT),),
        sanitiser=kit.Cleaning(lambda _: "never"),
    )
    x = kit.judge(kit.engine(kit.route(intake=intake, mode=Mode.SHADOW)), kit.request(), b"{")
    assert x.decision == Allow(None)
    assert [refusal.reason for refusal in x.shadowed] == [Reason.MALFORMED_REQUEST]
    assert x.unscanned == ["schema", "check:looking", "sanitise"]


def test_in_shadow_nothing_is_sanitised(kit: Kit) -> None:
    intake = kit.intake(sanitiser=kit.Cleaning(lambda _: "clean"))
    x = kit.judge(kit.engine(kit.route(intake=intake, mode=Mode.SHADOW)), kit.request(), b'"raw"')
    assert x.decision == Allow(None)
    assert x.forward is None


# --- failure ----------------------------------------------------------------------------------------------------------


def failing_registry(kit: Kit) -> Route:
    return kit.route(authenticators=(kit.Vouching(kit.alice, FindCredential(b"digest")),))


def test_a_registry_that_is_down_denies_by_default(kit: Kit) -> None:
    engine = kit.engine(failing_registry(kit))
    x = engine.open(kit.request())
    decision = kit.talk(engine.request_head(x), DOWN).outcome
    detail = "DependencyError: the store is down"
    assert decision == Deny(Reason.UNAVAILABLE, "authenticate", detail, retry_after_s=1)
    assert x.unscanned == [f"authenticate ({detail})"]


def test_a_registry_that_is_down_may_be_allowed_and_then_the_caller_is_nobody(kit: Kit) -> None:
    quota = kit.quota()
    callers = failing_registry(kit).authenticators
    engine = kit.engine(kit.route(authenticators=callers, limits=(kit.limit(quota),), on_error=OnError.ALLOW))
    x = engine.open(kit.request())
    assert kit.talk(engine.request_head(x), DOWN).outcome == Allow()
    assert x.principal.subject == ""
    (demands,) = kit.talk(engine.request_body(x, b"{}"), kit.admitted(quota)).demands
    assert demands[0].key.endswith("\x1fip\x1f192.0.2.1")
    assert x.unscanned == ["authenticate (DependencyError: the store is down)"]


@pytest.mark.parametrize(("on_error", "expected"), [(OnError.DENY, "unavailable"), (OnError.ALLOW, "allow")])
def test_counters_that_are_down_are_met_by_on_error(kit: Kit, on_error: OnError, expected: str) -> None:
    route = kit.route(limits=(kit.limit(),), on_error=on_error)
    x = kit.judge(kit.engine(route), kit.request(), b"{}", DOWN)
    assert reason(x) == expected
    assert x.unscanned == ["quotas (DependencyError: the store is down)"]


@pytest.mark.parametrize(("on_error", "expected"), [(OnError.DENY, "unavailable"), (OnError.ALLOW, "allow")])
def test_a_check_that_raises_is_unscanned_and_never_passed(kit: Kit, on_error: OnError, expected: str) -> None:
    guards = (kit.guard(ZeroDivisionError("by nothing")), kit.guard())
    x = kit.judge(kit.engine(kit.route(intake=kit.intake(checks=guards), on_error=on_error)), kit.request())
    assert reason(x) == expected
    assert len(x.unscanned) == 1
    assert x.unscanned[0].startswith("check:looking (ZeroDivisionError")
    assert isinstance(guards[1].check, kit.Looking)
    assert len(guards[1].check.seen) == (on_error is OnError.ALLOW), "the rest of the line still runs"


def test_a_check_in_shadow_that_raises_refuses_nothing(kit: Kit) -> None:
    guards = (kit.guard(ZeroDivisionError("by nothing"), Mode.SHADOW),)
    x = kit.judge(kit.engine(kit.route(intake=kit.intake(checks=guards))), kit.request())
    assert reason(x) == "allow"
    assert [refusal.reason for refusal in x.shadowed] == [Reason.UNAVAILABLE]
    assert len(x.unscanned) == 1


def test_no_more_is_asked_once_a_store_has_failed(kit: Kit) -> None:
    engine = kit.engine(kit.route(limits=(kit.limit(), kit.limit(kit.quota("hour"), Mode.SHADOW))))
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    assert len(kit.talk(engine.request_body(x, b"{}"), DOWN).asked) == 1


# --- phases -----------------------------------------------------------------------------------------------------------


def test_phases_come_in_order_and_once(kit: Kit) -> None:
    engine = kit.engine()
    x = engine.open(kit.request())
    ok = ResponseHead(200, Headers())
    with pytest.raises(PhaseError, match="REQUEST_BODY cannot follow NEW"):
        kit.talk(engine.request_body(x, b""))
    kit.talk(engine.request_head(x))
    with pytest.raises(PhaseError, match="REQUEST_HEAD cannot follow REQUEST_HEAD"):
        kit.talk(engine.request_head(x))
    with pytest.raises(PhaseError, match="RESPONSE_HEAD cannot follow REQUEST_HEAD"):
        engine.response_head(x, ok)
    kit.talk(engine.request_body(x, b"{}"))
    with pytest.raises(PhaseError, match="RESPONSE_CHUNK cannot follow REQUEST_BODY"):
        engine.response_chunk(x, b"")
    engine.response_head(x, ok)
    assert [engine.response_chunk(x, data) for data in (b"a", b"b")] == [b"a", b"b"]
    assert engine.response_end(x) == b""
    with pytest.raises(PhaseError, match="RESPONSE_END cannot follow RESPONSE_END"):
        engine.response_end(x)


def test_an_adapter_that_goes_on_after_not_found_fails(kit: Kit) -> None:
    engine = kit.engine()
    x = engine.open(kit.request(path="/none"))
    kit.talk(engine.request_head(x))
    with pytest.raises(LookupError):
        kit.talk(engine.request_body(x, b""))


# --- the answer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected", "retry_after_s"),
    [
        (200, None, None),
        (201, None, None),
        (204, None, None),
        (299, None, None),
        (300, Reason.UPSTREAM_ERROR, None),
        (302, Reason.UPSTREAM_ERROR, None),
        (400, Reason.INVALID_REQUEST, None),
        (401, Reason.UPSTREAM_ERROR, None),
        (403, Reason.UPSTREAM_ERROR, None),
        (404, Reason.NOT_FOUND, None),
        (413, Reason.BODY_TOO_LARGE, None),
        (415, Reason.UNSUPPORTED_MEDIA_TYPE, None),
        (418, Reason.UPSTREAM_ERROR, None),
        (422, Reason.INVALID_REQUEST, None),
        (429, Reason.UNAVAILABLE, 1),
        (500, Reason.UPSTREAM_ERROR, None),
        (503, Reason.UPSTREAM_ERROR, None),
        (101, Reason.UPSTREAM_ERROR, None),
    ],
)
def test_an_upstreams_failure_becomes_ours(
    kit: Kit, status: int, expected: Reason | None, retry_after_s: int | None
) -> None:
    _, x, judged = kit.answered(kit.route(), status, [("server", "secret/1.0")])
    assert x.upstream_status == status
    if expected is None:
        assert not isinstance(judged, Deny)
        assert judged[0].status == status
        assert x.decision == Allow()
    else:
        detail = f"the upstream answered {status}"
        assert judged == Deny(expected, "upstream", detail, retry_after_s=retry_after_s)
        assert x.decision == judged


def test_in_shadow_an_upstreams_failure_passes(kit: Kit) -> None:
    fields = [("x-inner", "1"), ("connection", "close")]
    _, x, judged = kit.answered(kit.route(mode=Mode.SHADOW), 500, fields)
    assert not isinstance(judged, Deny)
    assert judged[0].status == 500
    assert judged[0].headers.fields == (("x-inner", "1"),)
    assert [refusal.reason for refusal in x.shadowed] == [Reason.UPSTREAM_ERROR]
    assert x.removed == {"header x-inner"}


def test_only_named_header_fields_leave(kit: Kit) -> None:
    route = kit.route(outlet=kit.outlet(headers=frozenset({"content-type", "connection", "x-kept"})))
    fields = [
        ("content-type", "text/plain"),
        ("x-kept", "1"),
        ("x-kept", "2"),
        ("x-powered-by", "torch"),
        ("set-cookie", "a=b"),
        ("connection", "close"),  # of the connection: not even where the route names it
        ("transfer-encoding", "chunked"),
        ("content-length", "3"),
        ("server", "inner"),
        ("date", "today"),
    ]
    _, x, judged = kit.answered(route, 200, fields)
    assert not isinstance(judged, Deny)
    assert judged[0].headers.fields == (("content-type", "text/plain"), ("x-kept", "1"), ("x-kept", "2"))
    assert x.removed == {"header x-powered-by", "header set-cookie"}


@pytest.mark.parametrize(
    ("fields", "relay"),
    [
        ((("content-type", "application/json"),), "Whole"),
        ((("content-type", "Application/JSON; charset=utf-8"),), "Whole"),
        ((("content-type", "application/problem+json"),), "Whole"),
        ((("content-type", "application/json"), ("content-encoding", "identity")), "Whole"),
        ((("content-type", "text/event-stream"),), "Events"),
        ((("content-type", "text/event-stream; charset=utf-8"),), "Events"),
        ((("content-type", "application/x-ndjson"),), "Lines"),
        ((("content-type", "application/jsonl"),), "Lines"),
        ((("content-type", "text/plain"),), None),
        ((("content-type", "application/json"), ("content-encoding", "gzip")), None),
        ((("content-type", "text/event-stream"), ("content-encoding", "br")), None),
        ((("content-type", "application/x-ndjson"), ("content-encoding", "br")), None),
        ((), None),
    ],
)
def test_what_a_transform_cannot_read_does_not_pass(
    kit: Kit, fields: tuple[tuple[str, str], ...], relay: str | None
) -> None:
    _, x, judged = kit.answered(kit.route(outlet=kit.outlet(kit.Dropping())), 200, fields)
    if relay is None:
        assert isinstance(judged, Deny)
        assert judged.reason is Reason.UPSTREAM_ERROR
        assert x.decision == judged
    else:
        assert not isinstance(judged, Deny)
        assert type(judged[1]).__name__ == relay


@pytest.mark.parametrize(("status", "method"), [(204, "POST"), (200, "HEAD")])
def test_an_answer_without_a_body_needs_no_reading(kit: Kit, status: int, method: str) -> None:
    route = kit.route(outlet=kit.outlet(kit.Dropping()))
    _, _, judged = kit.answered(route, status, (), method)
    assert not isinstance(judged, Deny)
    assert type(judged[1]).__name__ == "Through"


TELLING = [("etag", '"of the exact answer"'), ("last-modified", "then"), ("content-type", "application/json; l=0.93")]


@pytest.mark.parametrize(
    ("transforms", "mode", "method", "expected"),
    [
        (True, Mode.ENFORCE, "POST", [("content-type", "application/json")]),
        (True, Mode.ENFORCE, "HEAD", [("content-type", "application/json")]),
        (False, Mode.ENFORCE, "POST", TELLING),
        (True, Mode.SHADOW, "POST", TELLING),
    ],
)
def test_fields_that_tell_of_the_body_go_with_it(
    kit: Kit, transforms: bool, mode: Mode, method: str, expected: list[Any]
) -> None:
    outlet = kit.outlet(
        *([kit.Dropping()] if transforms else []), headers=frozenset({"etag", "last-modified", "content-type"})
    )
    _, x, judged = kit.answered(kit.route(outlet=outlet, mode=mode), 200, TELLING, method)
    assert not isinstance(judged, Deny)
    assert list(judged[0].headers.fields) == expected
    assert ("header etag" in x.removed) is (len(expected) == 1)


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ([("content-type", "audio/mpeg")], True),
        ([("content-type", "Audio/MPEG; rate=1")], True),
        ([("content-type", "audio/mpeg"), ("content-encoding", "gzip")], False),
        ([("content-type", "text/html")], False),
    ],
)
def test_a_format_that_answers_in_other_types_passes_those_unread(kit: Kit, fields: list[Any], passes: bool) -> None:
    outlet = kit.outlet(kit.Dropping(), media_types=frozenset({"audio/mpeg"}))
    _, x, judged = kit.answered(kit.route(outlet=outlet), 200, fields)
    assert isinstance(judged, Deny) is not passes
    assert x.unscanned == (["response"] if passes else [])


def test_in_shadow_what_cannot_be_read_passes_and_is_unscanned(kit: Kit) -> None:
    route = kit.route(outlet=kit.outlet(kit.Dropping()), mode=Mode.SHADOW)
    engine, x, judged = kit.answered(route, 200, [("content-type", "image/png")])
    assert not isinstance(judged, Deny)
    assert engine.response_chunk(x, b"png") == b"png"
    assert x.unscanned == ["response"]


def test_a_document_leaves_transformed_at_its_end(kit: Kit) -> None:
    route = kit.route(outlet=kit.outlet(kit.Dropping("logits"), headers=frozenset({"content-type"})))
    engine, x, _ = kit.answered(route, 200, [("content-type", "application/json")])
    assert engine.response_chunk(x, b'{"logits":[1],') == b""
    assert engine.response_chunk(x, b'"label":"cat"}') == b""
    assert engine.response_end(x) == b'{"label":"cat"}'
    assert x.removed == {"logits"}
    assert x.decision == Allow()


@pytest.mark.parametrize("body", [b"{", b"<html>", b""])
def test_an_answer_that_is_not_what_it_says_becomes_a_refusal(kit: Kit, body: bytes) -> None:
    route = kit.route(outlet=kit.outlet(kit.Dropping()))
    engine, x, _ = kit.answered(route, 200, [("content-type", "application/json")])
    engine.response_chunk(x, body)
    refused = engine.response_end(x)
    assert isinstance(refused, Deny)
    assert refused.reason is Reason.UPSTREAM_ERROR
    assert x.decision is refused


def test_in_shadow_an_unreadable_document_passes_and_is_recorded(kit: Kit) -> None:
    route = kit.route(outlet=kit.outlet(kit.Dropping()), mode=Mode.SHADOW)
    engine, x, _ = kit.answered(route, 200, [("content-type", "application/json")])
    engine.response_chunk(x, b"{")
    assert engine.response_end(x) == b"{"
    assert x.unscanned or x.shadowed or x.removed, "what was not inspected is recorded, never as passed"


def test_an_answer_over_its_bound_becomes_a_refusal_on_the_way(kit: Kit) -> None:
    route = kit.route(outlet=kit.outlet(kit.Dropping(), max_bytes=4))
    engine, x, _ = kit.answered(route, 200, [("content-type", "application/json")])
    assert engine.response_chunk(x, b"1234") == b""
    refused = engine.response_chunk(x, b"5")
    assert isinstance(refused, Deny)
    assert x.decision is refused


# --- taken whole ------------------------------------------------------------------------------------------------------


def test_the_dialogue_of_one_request_from_head_to_end(kit: Kit) -> None:
    minute, ip = kit.quota("minute"), kit.quota("ip", 300, Per.IP)
    find = FindCredential(b"digest")
    route = kit.route(
        authenticators=(kit.Vouching(kit.alice, find),),
        scopes=frozenset({"predict:read"}),
        limits=(kit.limit(minute), kit.limit(ip)),
        intake=kit.intake(schema=lambda _: None, checks=(kit.guard(),)),
        outlet=kit.outlet(kit.Dropping("logits"), headers=frozenset({"content-type"})),
    )
    engine = kit.engine(route)
    x = engine.open(kit.request())
    head = kit.talk(engine.request_head(x), None)
    assert (head.asked, head.outcome) == ([find], Allow())
    body = kit.talk(engine.request_body(x, b'{"text":"hi"}'), Taken(((minute, 9, 1), (ip, 299, 1))))
    scope = "predict\x1f"
    assert [type(effect) for effect in body.asked] == [TakeQuota]
    assert all(isinstance(demand, Demand) and demand.key.startswith(scope) for demand in body.demands[0])
    assert body.outcome == Allow()
    judged = engine.response_head(x, ResponseHead(200, Headers([("content-type", "application/json")])))
    assert not isinstance(judged, Deny)
    assert engine.response_chunk(x, b'{"label":1,"logits":2}') == b""
    assert engine.response_end(x) == b'{"label":1}'
    assert (x.decision, x.unscanned, x.shadowed, x.removed) == (Allow(), [], [], {"logits"})


# --- priority and shedding --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("principal", "route", "expected"),
    [
        (Principal("alice", "acme"), Priority.LOW, Priority.HIGH),
        (Principal("bob", "acme"), Priority.HIGH, Priority.LOW),
        (Principal("bob", "other"), Priority.HIGH, Priority.HIGH),
        (Principal("bob"), Priority.LOW, Priority.LOW),
        (Principal(""), Priority.NORMAL, Priority.NORMAL),
    ],
    ids=["by subject", "by tenant", "tenant is not listed", "by route", "nobody"],
)
def test_priority_is_the_subjects_else_the_tenants_else_the_routes(
    kit: Kit, principal: Principal, route: Priority, expected: Priority
) -> None:
    one = kit.route(priority=route, authenticators=(kit.Vouching(principal),))
    given = Priorities({"alice": Priority.HIGH}, {"acme": Priority.LOW})
    engine = Engine(Policy((one,), {}, "digest", priorities=given))
    x = kit.judge(engine, kit.request())
    assert engine.priority(x) is x.priority is expected


@pytest.mark.parametrize("enforce", [True, False])
def test_who_is_shed_is_refused_or_in_shadow_only_recorded(kit: Kit, enforce: bool) -> None:
    engine = kit.engine()
    x = kit.judge(engine, kit.request())
    refusal = Deny(Reason.UNAVAILABLE, "concurrency", "no room", retry_after_s=1)
    assert engine.shed(x, "no room", enforce) == (refusal if enforce else None)
    assert (x.decision == refusal) is enforce
    assert x.shadowed == ([] if enforce else [refusal])


# --- routes that the gateway answers itself ---------------------------------------------------------------------------


class Responding:
    """A responder that always answers the same, or fails."""

    def __init__(self, answer: Page | Deny | Exception) -> None:
        self.answer = answer

    def respond(self, x: Exchange) -> Steps[Page | Challenge | Deny]:
        yield from ()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [Page(b"{}"), Deny(Reason.INVALID_REQUEST, "responder")])
def test_a_responder_answers_in_the_upstreams_place(kit: Kit, answer: Page | Deny) -> None:
    engine = kit.engine(kit.route(responder=Responding(answer)))
    x = kit.judge(engine, kit.request())
    assert kit.talk(engine.respond(x)).outcome is answer
    assert (x.decision is answer) == isinstance(answer, Deny)


@pytest.mark.parametrize("responder", [Responding(DependencyError("down")), None])
def test_a_responder_that_fails_or_is_not_there_is_unavailable(kit: Kit, responder: Responding | None) -> None:
    engine = kit.engine(kit.route(responder=responder))
    x = kit.judge(engine, kit.request())
    outcome = kit.talk(engine.respond(x)).outcome
    assert isinstance(outcome, Deny)
    assert (outcome.reason, outcome.control) == (Reason.UNAVAILABLE, "responder")


# --- while the counter store is out


def test_a_quota_that_denies_without_its_store_refuses_as_unavailable(kit: Kit) -> None:
    quota = kit.quota()
    engine = kit.engine(kit.route(limits=(kit.limit(quota),), on_error=OnError.ALLOW))
    taken = kit.refused(quota, wait_us=1_000_000)._replace(unavailable=True)
    x = kit.judge(engine, kit.request(), b"{}", taken)
    decision = x.decision
    assert isinstance(decision, Deny)
    assert (decision.reason, decision.control, decision.retry_after_s) == (Reason.UNAVAILABLE, "quota:minute", 1)


def test_a_quota_that_was_skipped_without_its_store_is_recorded_as_unscanned(kit: Kit) -> None:
    quota = kit.quota()
    engine = kit.engine(kit.route(limits=(kit.limit(quota),)))
    x = kit.judge(engine, kit.request(), b"{}", kit.admitted(quota)._replace(skipped=(quota,)))
    assert isinstance(x.decision, Allow)
    assert x.unscanned == ["quota:minute (the counter store is out)"]


# --- bodies that an adapter does not announce, or does not pass on


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("content-type", "application/json")], 200),
        ([("content-type", "application/json"), ("content-encoding", "identity")], 200),
        ([("content-type", "application/json"), ("content-encoding", "deflate")], 415),
        ([("content-type", "text/plain")], 415),
        ([], 415),
    ],
)
def test_a_body_that_no_length_announces_is_held_to_its_form(kit: Kit, fields: Any, status: int) -> None:
    decision = kit.judge(kit.engine(), kit.request(headers=fields), b"{}").decision
    assert (decision.reason.status if isinstance(decision, Deny) else 200) == status


def test_a_body_that_is_not_passed_on_is_never_taken_for_an_empty_one(kit: Kit) -> None:
    x = kit.judge(kit.engine(), kit.request(), None)
    assert (x.decision, x.unscanned) == (
        Deny(Reason.INTERNAL_ERROR, "body", "it was not passed on to be read"),
        ["body"],
    )


# --- second opinions --------------------------------------------------------------------------------------------------


class Doubting:
    """A check that asks somebody else, and finds something where the answer is above nought."""

    type: ClassVar[str] = "doubting"

    def inspect(self, content: Content) -> None:
        raise AssertionError("it was to be consulted")

    def consult(self, content: Content) -> Steps[Finding | None]:
        said = yield from ask(Classify(self, "text"))
        return HIT if said > 0 else None

    def classify(self, text: str) -> float:
        raise AssertionError("the core asks nobody itself")


@pytest.mark.parametrize(
    ("mode", "said", "decided", "opinion"),
    [
        (Mode.ENFORCE, 1.0, "request_rejected", "refused"),
        (Mode.ENFORCE, -1.0, "allow", "passed"),
        (Mode.ENFORCE, DOWN, "unavailable", "failed"),
        (Mode.SHADOW, 1.0, "allow", "refused"),
        (Mode.SHADOW, DOWN, "allow", "failed"),
    ],
)
def test_a_check_in_doubt_asks_for_a_second_opinion(
    kit: Kit, mode: Mode, said: Any, decided: str, opinion: str
) -> None:
    intake = kit.intake(codecs={"application/json": Json()}, checks=(Guard(Doubting(), mode),))
    x = kit.judge(kit.engine(kit.route(intake=intake)), kit.request(headers=JSON), b"{}", said)
    assert reason(x) == decided
    assert x.opinions == {"check:doubting": opinion}
    assert len(x.shadowed) == (mode is Mode.SHADOW)
    assert x.unscanned == (["check:doubting (DependencyError: the store is down)"] if said is DOWN else [])
