"""What `vallum check` says of a route: quotas as the policy file writes them, states in a word, no line too long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from vallum.cli.controls import describe_quota, tell_state
from vallum.cli.main import vallum
from vallum.cli.terminal import out
from vallum.cli.why import explain
from vallum.config.model.limits import QuotaConfig
from vallum.config.quotas import build_quota
from vallum.core.quota import OnStoreFailure, Per

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (QuotaConfig(limit="10 per minute"), "10 per minute"),
        (QuotaConfig(limit="300 / 5 minutes", per=Per.IP), "300 per 5 minutes · each address"),
        (QuotaConfig(limit="40_000/hour", unit="tokens"), "40000 tokens per hour"),
        (QuotaConfig(limit="2.50 per day", unit="money", per=Per.TENANT), "2.5 money per day · each tenant"),
        (QuotaConfig(limit="1000000 per day", unit="money"), "1000000 money per day"),
        (QuotaConfig(limit="4", unit="concurrent"), "4 at once"),
        (QuotaConfig(limit="60/minute", strategy="smooth", burst=5), "60 per minute · smooth (burst 5)"),
        (QuotaConfig(limit="9 per 3 months", strategy="calendar"), "9 per 3 months · calendar"),
        (QuotaConfig(limit="9/month", burst_credit=3, per=Per.ROUTE), "9 per month · all on this route · 3 kept"),
        (
            QuotaConfig(limit="9/day", on_store_failure=OnStoreFailure.DENY, per=Per.GLOBAL),
            "9 per day · all · without the store: deny",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_quota_reads_as_it_was_written(config: QuotaConfig, words: str) -> None:
    assert describe_quota(build_quota(config)) == words


@pytest.mark.parametrize(
    ("control", "value", "state"),
    [
        ("checks", "absent", "absent"),
        ("checks", "sqli", "enforced"),
        ("checks", "sqli (shadow)", "shadow"),
        ("checks", "prompt_injection, sqli (shadow)", "in part"),
        ("quotas", "1 per day (shadow), 9 at once (shadow)", "shadow"),
        ("leaks", "keys refused, prompt (shadow)", "in part"),
        ("habits", "limits x 0.5 from 0.5, proof from 0.9 (shadow)", "shadow"),
        ("schema", "shadow: predict.schema.json", "shadow"),
        ("on error", "deny", "refuses"),
        ("on error", "shadow: allow", "lets through"),
    ],
)
def test_a_state_is_one_word(control: str, value: str, state: str) -> None:
    assert tell_state(control, value) == state


POLICY = """
version: 1
upstreams: {llm: {url: "http://127.0.0.1:9", price: {per_call: 0.01}, concurrency: {max: 9}}}
authenticators: {keys: {type: api_key}, minted: {type: minted}}
tokens: {issuer: "https://models.example"}
throttle: {mode: enforce, block: {for_s: 600}}
theft: {mode: enforce}
routes:
  - name: chat
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: llm
    preset: openai.chat
    auth: {any_of: [keys, minted], scopes: ["chat:write"], bound: required}
    quotas:
      - 60 per minute
      - {limit: 40000 per minute, unit: tokens, strategy: smooth, on_store_failure: deny}
      - {limit: 2.50 per day, unit: money, mode: shadow}
    checks: [{type: prompt_injection}, {type: sqli, mode: shadow}]
    response: {drop_fields: [logprobs]}
    web_acl: edge
web_acls:
  edge:
    rules:
      - {name: sql, priority: 1, statement: {sqli_match: {field: body}}}
      - {name: flood, priority: 2, action: count, statement: {rate_based: {limit: 10}}}
  idle: {mode: shadow, rules: [{name: a, priority: 1, statement: {ip_set: {addresses: [10.0.0.0/8]}}}]}
"""


def test_a_route_with_everything_fits_into_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all.yaml").write_text(POLICY)
    monkeypatch.setattr(out, "_width", 80)

    said = CliRunner().invoke(vallum, ["check", str(tmp_path / "all.yaml")]).output

    first, *lines = said.partition("token-exchange")[0].splitlines()
    assert first == "chat  POST /v1/chat/completions  ->  llm"
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "2.5 money per day (shadow)" in said
    assert "web acl      enforced  edge: flood count, sql block (body)" in said
    assert "No route names the web ACL 'idle': its rules hold nowhere." in said
    assert "absent    sanitise" in said
    assert "schema       enforced  openai.chat 2" in said
    assert "token-keys  GET HEAD /.well-known/jwks.json  ->  the gateway itself: anonymous" in said


def test_a_program_is_told_of_idle_web_acls_and_of_what_is_in_shadow(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(POLICY.replace("web_acl: edge", "web_acl: idle"))
    document = json.loads(CliRunner().invoke(vallum, ["check", str(tmp_path / "all.yaml"), "--json"]).output)
    assert document["idle_web_acls"] == ["edge"]
    said = document["routes"]["chat"]["web acl"]
    assert (said, tell_state("web acl", said)) == ("idle: a block (shadow)", "shadow")


def test_why_shows_money_as_the_policy_file_writes_it(capsys: pytest.CaptureFixture[str]) -> None:
    spent = {"day-money": {"reserved": 6_200_000, "settled": 10_500}, "minute": {"reserved": 1, "settled": None}}
    record = {"decision": "allow", "status": 200, "quotas": {"day-money": 2_500_000, "minute": 59}, "spent": spent}

    explain(record, in_money=frozenset({"day-money"}))

    said = capsys.readouterr().out
    for words in ("day-money 2.5, minute 59", "6.2 reserved, 0.0105 settled", "1 reserved, not settled"):
        assert words in said
