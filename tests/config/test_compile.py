"""Compiling: a config becomes routes with every control in its place, and safe defaults where it says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vallum.checks.sqli import SqliConfig
from vallum.config.compile import load_policy
from vallum.config.intake import REQUEST_HEADERS, build_check
from vallum.config.outlet import RESPONSE_HEADERS
from vallum.config.source import PolicyFileError, parse_source
from vallum.core.policy import Mode, OnError, Vigilance
from vallum.core.problem import ErrorFormat
from vallum.core.quota import Per, Quota
from vallum.mint.keyring import make_key

if TYPE_CHECKING:
    from vallum.core.policy import Policy, Route

HEAD = """version: 1
upstreams:
  model: {url: "http://127.0.0.1:9000", timeout_s: 5, headers: {X-Api-Key: "${SECRET:-s}"}}
authenticators:
  keys: {type: api_key}
  open: {type: anonymous}
"""
MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000


def policy_of(tmp_path: Path, text: str) -> Policy:
    return load_policy(parse_source(tmp_path / "policy.yaml", text.encode(), {}))[1]


def route_of(tmp_path: Path, lines: str = "") -> Route:
    return policy_of(tmp_path, route_text(lines)).routes[0]


def route_text(lines: str = "", name: str = "predict", match: str = "{methods: [POST], path: /predict}") -> str:
    return f"{HEAD}routes:\n{one_route(lines, name, match)}"


def one_route(lines: str = "", name: str = "predict", match: str = "{methods: [POST], path: /predict}") -> str:
    text = f"  - name: {name}\n    match: {match}\n    upstream: model\n    auth: {{any_of: [keys]}}\n"
    return text + "".join(f"    {line}\n" for line in lines.splitlines())


def faults_of(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(PolicyFileError) as caught:
        policy_of(tmp_path, text)
    return [str(fault) for fault in caught.value.faults]


def test_a_route_that_says_little_is_safe(tmp_path: Path) -> None:
    route = route_of(tmp_path)
    assert (route.name, set(route.methods), route.pattern.text) == ("predict", {"POST"}, "/predict")
    assert (route.mode, route.on_error, route.error_format) == (Mode.ENFORCE, OnError.DENY, None)
    assert (route.limits, route.scopes, route.exclude) == ((), frozenset(), ())
    assert [authenticator.type for authenticator in route.authenticators] == ["api_key"]
    intake, outlet = route.intake, route.outlet
    assert (intake.max_bytes, intake.max_depth, intake.query) == (1_048_576, 32, frozenset())
    assert intake.codecs.keys() == {"application/json"}
    assert intake.headers == REQUEST_HEADERS
    assert (intake.schema, intake.checks, intake.sanitiser, intake.deny_fields) == (None, (), None, frozenset())
    assert (outlet.transforms, outlet.headers, outlet.max_bytes) == ((), RESPONSE_HEADERS, 8_388_608)


def test_an_upstream(tmp_path: Path) -> None:
    upstream = route_of(tmp_path).upstream
    assert (upstream.name, upstream.url, upstream.timeout_s) == ("model", "http://127.0.0.1:9000", 5.0)
    assert upstream.headers == (("x-api-key", "s"),)


def test_routes_come_in_the_order_of_the_file_and_authenticators_in_theirs(tmp_path: Path) -> None:
    text = route_text() + one_route(name="b", match="{methods: [GET], path: /b}").replace("[keys]", "[open, keys]")
    routes = policy_of(tmp_path, text).routes
    assert [route.name for route in routes] == ["predict", "b"]
    assert [authenticator.type for authenticator in routes[1].authenticators] == ["anonymous", "api_key"]


def test_quotas(tmp_path: Path) -> None:
    lines = """quotas:
  - 10 per minute
  - 300 per 5 minutes
  - {limit: 5 per day, per: tenant}
  - {limit: 7/hour, per: ip, mode: shadow, name: mine}"""
    assert [(limit.quota, limit.mode) for limit in route_of(tmp_path, lines).limits] == [
        (Quota("minute", 10, MINUTE), Mode.ENFORCE),
        (Quota("5-minutes", 300, 5 * MINUTE), Mode.ENFORCE),
        (Quota("day-tenant", 5, DAY, Per.TENANT), Mode.ENFORCE),
        (Quota("mine", 7, HOUR, Per.IP), Mode.SHADOW),
    ]


def test_what_comes_in(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"type": "object"}')
    lines = """mode: shadow
on_error: allow
request:
  max_bytes: 10
  max_depth: 3
  schema: s.json
  deny_fields: [n]
  query: [q]
  headers: [X-Trace]
  sanitize: {html: strip}
checks:
  - {type: sqli, mode: shadow}"""
    route = route_of(tmp_path, lines)
    intake = route.intake
    assert (route.mode, route.on_error) == (Mode.SHADOW, OnError.ALLOW)
    assert (intake.max_bytes, intake.max_depth) == (10, 3)
    assert (intake.deny_fields, intake.query) == (frozenset({"n"}), frozenset({"q"}))
    assert intake.headers == REQUEST_HEADERS | {"x-trace"}
    assert intake.schema is not None
    assert intake.sanitiser is not None
    assert [(guard.check.type, guard.mode) for guard in intake.checks] == [("sqli", Mode.SHADOW)]


def test_any_query_may_be_let_in(tmp_path: Path) -> None:
    assert route_of(tmp_path, "request: {query: any}").intake.query is None


def test_what_goes_out_in_the_order_that_transforms_run(tmp_path: Path) -> None:
    lines = """response:
  confidence: {field: c, round: 2}
  drop_fields: [a, b.c]
  fields: [c, d]
  headers: [X-Model]
  drop_headers: [ETag, x-*, content-l*]
  max_bytes: 5"""
    outlet = route_of(tmp_path, lines).outlet
    assert [transform.type for transform in outlet.transforms] == ["fields", "drop_fields", "confidence"]
    assert outlet.headers == RESPONSE_HEADERS - {"etag", "content-language"}
    assert outlet.max_bytes == 5


@pytest.mark.parametrize("field", ["c", "c.x", "*.c"])
def test_a_confidence_that_is_kept_may_be_coarsened(tmp_path: Path, field: str) -> None:
    lines = f"response: {{fields: [c], confidence: {{field: '{field}', round: 2}}}}"
    assert len(route_of(tmp_path, lines).outlet.transforms) == 2


@pytest.mark.parametrize(
    ("preset", "reads", "error_format"),
    [
        ("json", True, None),
        ("openai.chat", True, ErrorFormat.OPENAI),
        ("openai.embeddings", True, ErrorFormat.OPENAI),
        ("raw", False, None),
    ],
)
def test_presets(tmp_path: Path, preset: str, reads: bool, error_format: ErrorFormat | None) -> None:
    route = route_of(tmp_path, f"preset: {preset}")
    assert bool(route.intake.codecs) is reads
    assert route.error_format is error_format


def test_exclude(tmp_path: Path) -> None:
    text = route_text(match="{methods: [GET], path: /**, exclude: [/admin/**, /x]}")
    policy = policy_of(tmp_path, text)
    assert policy.find_route("GET", "/a") is policy.routes[0]
    assert [policy.find_route("GET", path) for path in ("/admin", "/admin/keys", "/x")] == [None, None, None]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{methods: [GET], path: /a}", "{methods: [POST], path: /a}"),
        ("{methods: [GET], path: /a}", "{methods: [GET, POST], path: /a}"),
        ("{methods: [GET], path: /a}", "{methods: [GET], path: /a/}"),
        ("{methods: [GET], path: /**, exclude: [/a]}", "{methods: [GET], path: /**}"),
    ],
)
def test_a_route_that_can_be_reached_is_no_fault(tmp_path: Path, first: str, second: str) -> None:
    policy = policy_of(tmp_path, route_text(match=first) + one_route(name="b", match=second))
    assert len(policy.routes) == 2


def test_a_digest_names_this_version(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("{}")
    text = route_text("request: {schema: s.json}")
    first = policy_of(tmp_path, text).digest
    assert policy_of(tmp_path, text).digest == first
    assert policy_of(tmp_path, text + "# a comment\n").digest != first
    (tmp_path / "s.json").write_text("{ }")
    assert policy_of(tmp_path, text).digest != first
    assert len(first) == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [('{"type": "nope"}', "is no valid JSON Schema: "), ("[]", "is no valid JSON Schema: "), ("{", "is not JSON: ")],
)
def test_a_schema_that_is_none(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "s.json").write_text(content)
    (fault,) = faults_of(tmp_path, route_text("request: {schema: s.json}"))
    assert fault.startswith(f"12:23: routes[0].request.schema: s.json {message}")


def test_the_schema_file_is_watched(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("{}")
    source = parse_source(tmp_path / "policy.yaml", route_text("request: {schema: s.json}").encode(), {})
    load_policy(source)
    assert source.files == [tmp_path / "s.json"]


@pytest.mark.parametrize("name", ["upgrade", "Proxy-Authorization", "keep-alive", "trailer", "proxy-connection"])
def test_fields_of_one_connection_never_reach_the_upstream(tmp_path: Path, name: str) -> None:
    (fault,) = faults_of(tmp_path, route_text(f"request: {{headers: [{name}]}}"))
    assert "never reaches the upstream" in fault


@pytest.mark.parametrize(
    "lines",
    [
        "request: {sanitize: {max_chars: 0}}",
        "request: {sanitize: {max_chars: -1}}",
        'quotas: [{limit: 1 per day, name: "a\\n"}]',
        "request: {max_bytes: 0100}",  # eight in YAML 1.1, a hundred in 1.2: two readings
    ],
)
def test_values_that_mean_nothing_are_faults(tmp_path: Path, lines: str) -> None:
    assert len(faults_of(tmp_path, route_text(lines))) == 1


def test_a_name_is_one_line(tmp_path: Path) -> None:
    assert len(faults_of(tmp_path, route_text(name='"a\\n"'))) == 1


@pytest.mark.parametrize("url", ["http://h", "https://h:8443", "http://h/base", "http://[::1]:9000", "http://h/base/"])
def test_addresses_of_upstreams(tmp_path: Path, url: str) -> None:
    assert policy_of(tmp_path, route_text().replace("http://127.0.0.1:9000", url)).routes[0].upstream.url == url


@pytest.mark.parametrize(
    "url",
    ["", "h:9000", "ftp://h", "http://", "http:///x", "http://h:0", "http://h:99999", "http://h:x", "http://h/?a=b"],
)
def test_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    (fault,) = faults_of(tmp_path, route_text().replace("http://127.0.0.1:9000", url))
    assert fault.startswith("3:16: upstreams.model.url: ")
    assert "write it as http://host:port" in fault


@pytest.mark.parametrize("header", ["Host: x", "Content-Length: '5'", "a b: x", '"a": "x\\ny"', "Transfer-Encoding: x"])
def test_what_an_upstream_may_not_be_sent(tmp_path: Path, header: str) -> None:
    (fault,) = faults_of(tmp_path, route_text().replace('X-Api-Key: "${SECRET:-s}"', header))
    assert "cannot be set here" in fault


@pytest.mark.parametrize("place", ["listen", "admin"])
@pytest.mark.parametrize(("address", "good"), [("127.0.0.1:1", True), (":8080", True), ("8080", False), ("h:x", False)])
def test_where_to_listen(tmp_path: Path, place: str, address: str, good: bool) -> None:
    text = f'{route_text()}{place}: {{address: "{address}"}}\n'
    if good:
        assert policy_of(tmp_path, text)
    else:
        (fault,) = faults_of(tmp_path, text)
        assert f"{place}.address: " in fault


@pytest.mark.parametrize("name", ["RateLimit", "retry-after", "X-Request-Id", "Connection"])
def test_what_is_the_gateways_to_answer(tmp_path: Path, name: str) -> None:
    (fault,) = faults_of(tmp_path, route_text(f"response: {{headers: [{name}]}}"))
    assert fault.endswith(f"routes[0].response.headers[0]: {name!r} is the gateway's to write")


def test_the_field_in_which_anthropics_sdk_looks_for_the_id_is_the_gateways(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, route_text("preset: anthropic.messages\nresponse: {headers: [Request-Id]}"))
    assert fault.endswith("routes[0].response.headers[0]: 'Request-Id' is the gateway's to write")
    assert policy_of(tmp_path, route_text("response: {headers: [Request-Id]}"))


def test_equal_checks_are_built_once_and_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vallum.config.intake.CHECKS_KEPT", 1)
    monkeypatch.setattr("vallum.config.intake._built", {})
    first = build_check(SqliConfig())
    assert build_check(SqliConfig()) is first
    other = build_check(SqliConfig(mode=Mode.SHADOW))
    assert other is not first
    assert build_check(SqliConfig(mode=Mode.SHADOW)) is other


# --- bound credentials, tokens, theft ---------------------------------------------------------------------------------

TOKENS = 'tokens: {issuer: "https://models.example", any_of: [keys], audiences: ["https://b.example"]}\n'


def test_without_a_word_proofs_are_checked_and_nothing_is_minted_or_watched(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, route_text())
    assert policy.prover is not None
    assert policy.prover.algorithms.startswith("ES256 ")
    assert [route.name for route in policy.routes] == ["predict"]
    assert (policy.routes[0].bound, policy.routes[0].vigilance) == (False, None)


def test_a_route_may_want_bound_credentials(tmp_path: Path) -> None:
    text = route_text().replace("{any_of: [keys]}", "{any_of: [keys], bound: required}")
    assert policy_of(tmp_path, text).routes[0].bound


def test_the_token_endpoint_is_three_routes_of_the_gateways_own(tmp_path: Path) -> None:
    text = route_text().replace("  open:", "  minted: {type: minted}\n  open:") + TOKENS
    routes = policy_of(tmp_path, text).routes
    assert [(route.name, route.pattern.text) for route in routes] == [
        ("token-exchange", "/oauth/token"),
        ("token-keys", "/.well-known/jwks.json"),
        ("token-metadata", "/.well-known/oauth-authorization-server"),
        ("predict", "/predict"),
    ]
    exchange = routes[0]
    assert (exchange.error_format, exchange.intake.max_bytes) == (ErrorFormat.OAUTH, 16_384)
    assert [authenticator.type for authenticator in exchange.authenticators] == ["api_key", "anonymous"]
    assert [limit.quota.limit for limit in exchange.limits] == [60]
    assert all(route.responder is not None for route in routes[:3])
    assert not list(tmp_path.iterdir()), "compiling makes no key"


def test_a_signing_key_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "signing.pem").write_text(make_key())
    text = route_text() + TOKENS.replace("any_of", 'key: "file:signing.pem", any_of')
    assert len(policy_of(tmp_path, text).routes) == 4


def test_signs_of_theft_are_watched_in_shadow_unless_said_otherwise(tmp_path: Path) -> None:
    assert policy_of(tmp_path, route_text() + "theft: {}\n").routes[0].vigilance == Vigilance()
    enforced = policy_of(tmp_path, route_text() + "theft: {mode: enforce, tighten_to: 0.2, step_up_at: 0.8}\n")
    assert enforced.routes[0].vigilance == Vigilance(Mode.ENFORCE, 0.5, 0.2, 0.8)


ISSUER = "type: oauth2, issuer: https://login.example"


def with_tokens(*authenticators: str, routes: str = "") -> str:
    """Write a policy with these oauth2 authenticators, all of them on one route."""
    named = "".join(f"  t{number}: {{{one}}}\n" for number, one in enumerate(authenticators))
    names = ", ".join(f"t{number}" for number in range(len(authenticators)))
    route = one_route().replace("any_of: [keys]", f'any_of: [{names}], scopes: ["b", "a"]')
    return f"{HEAD}{named}routes:\n{routes}{route}"


def documents(policy: Policy) -> dict[str, dict[str, Any]]:
    """Return what responders answer, by path."""
    pages: dict[str, dict[str, Any]] = {}
    for route in policy.routes:
        if route.responder is not None:
            with pytest.raises(StopIteration) as stopped:
                next(route.responder.respond(None))  # type: ignore[arg-type]  # it looks at nothing of an exchange
            pages[route.pattern.text] = json.loads(stopped.value.value.body)
    return pages


class TestResourceMetadata:
    PATH = "/.well-known/oauth-protected-resource"

    def test_tells_of_a_resource_all_its_issuers_and_scopes(self, tmp_path: Path) -> None:
        other = ISSUER.replace("login", "other")
        audience = "audience: https://models.example"
        policy = policy_of(tmp_path, with_tokens(f"{ISSUER}, {audience}", f"{other}, {audience}"))
        assert documents(policy) == {
            self.PATH: {
                "resource": "https://models.example",
                "authorization_servers": ["https://login.example", "https://other.example"],
                "scopes_supported": ["a", "b"],
                "bearer_methods_supported": ["header"],
            }
        }

    def test_is_apart_for_each_resource(self, tmp_path: Path) -> None:
        text = with_tokens(f"{ISSUER}, audience: https://a.example/x", f"{ISSUER}, audience: https://a.example/y/")
        policy = policy_of(tmp_path, text)
        assert list(documents(policy)) == [f"{self.PATH}/x", f"{self.PATH}/y"]
        assert len({route.name for route in policy.routes}) == 3

    @pytest.mark.parametrize(
        "audience", ["api", "urn:models", "https://a.example/?q", "http://a.example", "https://a/*"]
    )
    def test_is_not_there_where_the_audience_is_no_address(self, tmp_path: Path, audience: str) -> None:
        assert documents(policy_of(tmp_path, with_tokens(f"{ISSUER}, audience: '{audience}'"))) == {}

    def test_is_reached_though_a_route_takes_everything(self, tmp_path: Path) -> None:
        wide = one_route(name="wide", match="{methods: [GET], path: /**}")
        policy = policy_of(tmp_path, with_tokens(f"{ISSUER}, audience: https://a.example", routes=wide))
        found = policy.find_route("GET", self.PATH)
        assert found is not None
        assert found.responder is not None

    def test_gives_way_to_a_document_of_the_files_own(self, tmp_path: Path) -> None:
        own = one_route(name="own", match=f"{{methods: [GET], path: {self.PATH}}}")
        policy = policy_of(tmp_path, with_tokens(f"{ISSUER}, audience: https://a.example", routes=own))
        assert documents(policy) == {}


def test_names_of_what_was_removed_are_masked_as_failures_are() -> None:
    text = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {open: {type: anonymous}}
records: {upstream_failures: {redact: [emails]}}
routes: [{name: a, match: {methods: [POST], path: /a}, upstream: model, auth: {any_of: [open]}}]
"""
    retention = load_policy(parse_source(Path("policy.yaml"), text.encode(), {}))[1].retention
    for masked in (retention.redact, retention.redact_names):
        assert masked("logits\nbob@example.com") == "logits\n[email]"
