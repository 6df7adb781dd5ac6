"""ModSecurity's rules as a check: what it finds, what it is not shown, and that nothing escapes it by being much."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.checks.test_scope import ELSEWHERE, HTML, SQL, chat

from vallum.checks.modsecurity import Modsecurity, ModsecurityConfig
from vallum.config.compile import load_policy
from vallum.config.source import PolicyFileError, parse_source
from vallum.core.content import Content
from vallum.presets import PRESETS

SETUP = Path("/etc/modsecurity/crs/crs-setup.conf")
CORE_RULES = Path("/usr/share/modsecurity-crs/rules")
PASSAGES = PRESETS["openai.chat"].request.passages
EVIL = 'SecRule ARGS "@contains evil" "id:{number},phase:2,deny,msg:\'it says %{{MATCHED_VAR}}\'"\n'
POLICY = """
version: 1
upstreams: {{model: {{url: "http://127.0.0.1:9000"}}}}
authenticators: {{keys: {{type: api_key}}}}
routes:
  - name: chat
    match: {{methods: [POST], path: /v1/chat/completions}}
    upstream: model
    auth: {{any_of: [keys]}}
    preset: openai.chat
    checks: [{checks}]
"""

pytest.importorskip("libmodsecurity", reason="pip install 'vallum[modsecurity]'")
with_core_rules = pytest.mark.skipif(not CORE_RULES.is_dir(), reason="apt-get install modsecurity-crs")


@cache
def core_rules(prompts: str = "skip") -> Any:
    return compile_checks(Path(), f"{{type: modsecurity, prompts: {prompts}, rules: [{SETUP}, {CORE_RULES}]}}")[0]


def compile_checks(folder: Path, *checks: str) -> list[Any]:
    text = POLICY.format(checks=", ".join(checks)).encode()
    _, policy = load_policy(parse_source(folder / "policy.yaml", text, {}))
    return [guard.check for guard in policy.routes[0].intake.checks if guard.check.type == "modsecurity"]


def check_of(folder: Path, rules: str, **config: Any) -> Modsecurity:
    file = folder / "own.conf"
    file.write_text(rules)
    return Modsecurity(ModsecurityConfig(rules=["own.conf"], **config), [file])


@with_core_rules
@pytest.mark.parametrize("text", [SQL, HTML, "; cat /etc/passwd", "<?php system('id'); ?>"])
@pytest.mark.parametrize("place", ELSEWHERE)
def test_an_attack_that_is_not_said_to_the_model_is_found(text: str, place: str) -> None:
    finding = core_rules().inspect(Content(ELSEWHERE[place](text), passages=PASSAGES))
    assert finding is not None
    assert finding.rule == "modsecurity"
    assert "949110" in finding.detail, "the rule that adds up what the others found"
    assert text not in finding.detail


@with_core_rules
@pytest.mark.parametrize("text", [SQL, HTML, "; cat /etc/passwd"])
def test_what_is_said_to_the_model_is_handed_over_where_the_policy_says_so(text: str) -> None:
    assert core_rules().inspect(Content(chat(f"How does {text} work?"), passages=PASSAGES)) is None
    assert core_rules("search").inspect(Content(chat(text), passages=PASSAGES)) is not None


@with_core_rules
def test_usual_fields_pass() -> None:
    document = chat(user="u-1", metadata={"name": "Sinéad O'Connor", "mail": "a.b@example.org", "note": "50% off; hm?"})
    assert core_rules().inspect(Content(document, [("lang", "en")], passages=PASSAGES)) is None


@with_core_rules
@pytest.mark.parametrize(
    ("document", "where"),
    [
        (chat(user=SQL), "/user"),
        (chat(SQL, metadata={"a": "x", "b": SQL}), "/metadata/b"),
        (chat(user="ARGS:0", metadata={"a": f"found within ARGS:0: {SQL}"}), "/metadata/a"),
        (chat(metadata={"a": [str(number) for number in range(40)], "b": HTML, "c": "x"}), "/metadata/b"),
    ],
)
def test_its_place_is_that_of_a_string_which_is_refused_by_itself(document: Any, where: str) -> None:
    finding = core_rules().inspect(Content(document, passages=PASSAGES))
    assert finding is not None
    assert finding.where == where


def test_what_only_several_strings_are_refused_for_has_no_place(tmp_path: Path) -> None:
    check = check_of(tmp_path, 'SecRule &ARGS "@gt 2" "id:1,phase:2,deny"')
    assert (finding := check.inspect(Content({"a": ["1", "2", "3"]}))) is not None
    assert finding.where == ""


@with_core_rules
@pytest.mark.parametrize("text", [SQL + "\xac" * 97, f"{HTML}{'é' * 300}", f"{'x' * 511}é{SQL}", f"\ud800{SQL}"])
def test_an_attack_that_is_logged_cut_within_a_letter_is_found(text: str) -> None:
    assert core_rules().inspect(Content(chat(user=text), passages=PASSAGES)) is not None


@with_core_rules
def test_many_threads_may_ask() -> None:
    contents = [Content(chat(user=SQL if number % 2 else "u-1"), passages=PASSAGES) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(core_rules().inspect, contents))
    assert [finding is not None for finding in found] == [bool(number % 2) for number in range(40)]


@pytest.mark.parametrize(
    "document",
    [
        {"a": ["x"] * 3000 + ["evil"]},
        {"a": [str(number) for number in range(3000)] + ["evil"]},
        {"a": "x" * 2_000_000 + "evil"},
        {"a&b=": "=&evil"},
        {"a": "ev\x00il evil"},
        {"a": "\ud800 evil"},
        {"a": "%evil"},
        {"very evil": 1},
    ],
)
def test_nothing_escapes_by_its_size_or_its_signs(tmp_path: Path, document: Any) -> None:
    check = check_of(tmp_path, EVIL.format(number=1))
    assert check.inspect(Content(document)) is not None
    assert check.inspect(Content({"a": "good"}, [("b", "so evil")])) is not None


@pytest.mark.parametrize(
    "line",
    [
        "SecRuleEngine DetectionOnly",
        "SecRuleEngine Off",
        "SecRequestBodyAccess Off",
        "SecArgumentsLimit 2",
        "SecRequestBodyLimit 10",
        "SecRequestBodyNoFilesLimit 10",
        "SecRequestBodyLimitAction ProcessPartial",
    ],
)
def test_no_setting_in_a_file_of_rules_shuts_the_check(tmp_path: Path, line: str) -> None:
    check = check_of(tmp_path, f"{line}\n{EVIL.format(number=1)}")
    assert check.inspect(Content({"a": ["1", "2", "3", "so evil"]})) is not None


def test_a_record_names_rules_and_never_what_they_say(tmp_path: Path) -> None:
    rules = "".join(EVIL.format(number=number).replace("deny", "pass") for number in range(1, 8))
    finding = check_of(tmp_path, rules + EVIL.format(number=8)).inspect(Content({"a": "evil secret"}))
    assert finding is not None
    assert finding.detail == "rules 1, 2, 3, 4, 5 and 3 more"
    silent = check_of(tmp_path, EVIL.format(number=1).replace("deny", "deny,nolog"))
    assert (found := silent.inspect(Content({"a": "evil"}))) is not None
    assert found.detail == "rules that log nothing"


def test_a_request_without_strings_is_not_shown_to_the_rules(tmp_path: Path) -> None:
    check = check_of(tmp_path, 'SecRule &ARGS "@eq 0" "id:1,phase:2,deny"')
    assert check.inspect(Content({"a": 1, "b": [True, None, ""]})) is None


def test_routes_share_rules_until_a_file_beside_them_changes(tmp_path: Path) -> None:
    (tmp_path / "words.data").write_text("evil\n")
    (tmp_path / "own.conf").write_text('SecRule ARGS "@pmFromFile words.data" "id:1,phase:2,deny"')
    one = "{type: modsecurity, rules: [own.conf]}"
    first, second = compile_checks(tmp_path, one, one)
    assert first is second
    assert first.inspect(Content({"a": "bad"})) is None
    (tmp_path / "words.data").write_text("bad\n")
    (changed,) = compile_checks(tmp_path, one)
    assert changed.inspect(Content({"a": "bad"})) is not None


def test_of_a_folder_only_rules_about_requests_are_read(tmp_path: Path) -> None:
    for name in ("REQUEST-910-A", "REQUEST-912-B", "RESPONSE-950-C"):
        (tmp_path / f"{name}.conf").write_text("SecNonsense")
    (tmp_path / "REQUEST-942-D.conf").write_text(EVIL.format(number=1))
    (check,) = compile_checks(tmp_path, "{type: modsecurity, rules: [.]}")
    assert check.inspect(Content({"a": "evil"})) is not None


def test_without_the_library_the_policy_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libmodsecurity", None)
    (tmp_path / "own.conf").write_text(EVIL.format(number=99))
    with pytest.raises(PolicyFileError, match=r"11:\d+: .*pip install 'vallum\[modsecurity\]'"):
        compile_checks(tmp_path, "{type: modsecurity, rules: [own.conf]}")
