"""Every statement by its words: what matches, what does not, and where a caller would hide it."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, get_args

import pytest
from tests.statements.conftest import policy_of, rule

from vallum.config.model.web_acl import Transformation
from vallum.core.decision import Allow
from vallum.signatures.transformations import TRANSFORMATIONS
from vallum.statements.ip_set import IpSet

if TYPE_CHECKING:
    from tests.statements.conftest import Bench

SQL = "1' OR '1'='1"
SQL_URL = "1%27%20OR%20%271%27%3D%271"
SQL_TWICE = SQL_URL.replace("%", "%25")


def byte(field: Any, search: str = "attack", **more: Any) -> dict[str, Any]:
    return {"byte_match": {"field": field, "search": search} | more}


def sqli(field: Any, *transforms: str, **more: Any) -> dict[str, Any]:
    return {"sqli_match": {"field": field, "transforms": list(transforms)} | more}


def test_every_transformation_of_the_model_exists() -> None:
    assert set(get_args(Transformation)) == set(TRANSFORMATIONS)


# --- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "request_", "where"),
    [
        ("uri_path", {"target": "/v1/attack"}, "the path"),
        ("uri_path", {"target": "/v1/%61ttack"}, "the path"),  # the one form that routes are matched in
        ("uri_path", {"target": "http://host/v1/attack"}, "the path"),  # absolute form (RFC 9112 3.2.2)
        ("uri_path", {"target": "/v1?attack"}, ""),
        ("query_string", {"target": "/?a=attack"}, "the query"),
        ("query_string", {"target": "http://host?a=attack"}, "the query"),
        ("query_string", {"target": "/?a=%61ttack"}, ""),  # nothing is decoded that is not asked for
        ("all_query_arguments", {"target": "/?a=1&b=attack"}, "query b"),
        ("all_query_arguments", {"target": "/?attack"}, "query attack (its name)"),
        ("all_query_arguments", {"target": "/?" + "a=1&" * 90 + "b=attack"}, "query b"),
        ({"query_argument": "user"}, {"target": "/?user=1&user=attack"}, "query user"),
        ({"query_argument": "user"}, {"target": "/?USER=attack"}, "query user"),
        ({"query_argument": "User"}, {"target": "/?%75ser=attack"}, "query User"),
        ({"query_argument": "user"}, {"target": "/?other=attack"}, ""),
        ("headers", {"headers": [("x-a", "1"), ("x-b", "attack")]}, "header x-b"),
        ("headers", {"headers": [("x-attack", "1")]}, "header x-attack (its name)"),
        ({"header": "X-A"}, {"headers": [("x-a", "1"), ("x-a", "attack")]}, "header x-a"),
        ({"header": "x-a"}, {"headers": [("x-b", "attack")]}, ""),
        ("cookies", {"headers": [("cookie", "a=1; b=attack")]}, "cookie b"),
        ("cookies", {"headers": [("cookie", "a=1"), ("cookie", "b=attack")]}, "cookie b"),
        ("cookies", {"headers": [("cookie", "attack=1")]}, "cookie attack (its name)"),
        ("cookies", {"headers": [("cookie", "a=1;b=x=attack")]}, "cookie b"),
        ("body", {"body": {"a": "attack"}}, "the body"),
        ("body", {}, ""),
        ({"json_body": {}}, {"body": {"a": ["attack"]}}, "/a/0"),
        ({"json_body": {}}, {"body": {"attack": 1}}, "/attack (a key)"),
        ({"json_body": {}}, {"body": "attack"}, "the whole document"),
        ({"json_body": {}}, {"body": {"a": "\u0061ttack"}}, "/a"),
    ],
)
def test_where_a_string_is_found(bench: Bench, field: Any, request_: dict[str, Any], where: str) -> None:
    said = bench.matches(byte(field), **request_)
    assert f"in {where}" in said if where else said == ""


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_a_method_is_a_field_like_any_other(bench: Bench, method: str) -> None:
    said = bench.matches(byte("method", "HEAD", position="exactly"), method=method)
    assert bool(said) is (method == "HEAD")


def test_an_escaped_string_of_json_is_read_as_the_upstream_reads_it(bench: Bench) -> None:
    body = rb'{"a": "\u0061tt\u0061ck"}'
    assert bench.matches(byte({"json_body": {}}), body=body)
    assert not bench.matches(byte("body"), body=body), "the body as it came has no such string"
    assert bench.matches(byte("body", transforms=["js_decode"]), body=body)


@pytest.mark.parametrize(
    ("json_body", "document", "found"),
    [
        # include: a place and all below it
        ({"include": ["/user"]}, {"user": "attack"}, True),
        ({"include": ["/user"]}, {"user": {"name": ["attack"]}}, True),
        ({"include": ["/user"]}, {"text": "attack"}, False),
        ({"include": ["/items/*/id"]}, {"items": [{"id": "a"}, {"id": "attack"}]}, True),
        ({"include": ["/items/*/id"]}, {"items": [{"text": "attack"}]}, False),
        ({"include": ["/items/1"]}, {"items": ["a", "attack"]}, True),
        ({"include": ["/items/1"]}, {"items": ["attack", "a"]}, False),
        ({"include": ["/a~1b"]}, {"a/b": "attack"}, True),
        ({"include": ["/a~01"]}, {"a~1": "attack"}, True),
        ({"include": ["/**"]}, {"text": "attack"}, True),
        # exclude: the string at that place and no other
        ({"exclude": ["/messages/*/content"]}, {"messages": [{"content": "attack"}]}, False),
        ({"exclude": ["/messages/*/content"]}, {"messages": [{"content": "a", "name": "attack"}]}, True),
        ({"exclude": ["/messages/*/content"]}, {"Messages": [{"content": "attack"}]}, True),
        ({"exclude": ["/messages/*/content"]}, {"messages": [{"Content": "attack"}]}, True),
        ({"exclude": ["/messages/*/content"]}, {"metadata": {"messages": [{"content": "attack"}]}}, True),
        ({"exclude": ["/messages/*/content"]}, {"messages": [{"content": ["attack"]}]}, True),
        ({"exclude": ["/messages/*/content"]}, {"messages": [{"content": {"attack": 1}}]}, True),
        ({"exclude": ["/messages/*/content"]}, {"messages": "attack"}, True),
        ({"exclude": ["/messages/*/content"]}, {"messages": [["attack"]]}, True),
        ({"exclude": ["/messages/*/content/*/text"]}, {"messages": [{"content": [{"text": "attack"}]}]}, False),
        ({"exclude": ["/tools/**"]}, {"tools": [{"attack": {"a": "attack"}}]}, False),
        ({"exclude": ["/tools/**"]}, {"tools": "attack"}, False),
        ({"exclude": ["/tools/**"]}, {"toolset": "attack"}, True),
        # both, and what of a member is meant
        ({"include": ["/a"], "exclude": ["/a/b"]}, {"a": {"b": "attack", "c": "x"}}, False),
        ({"include": ["/a"], "exclude": ["/a/b"]}, {"a": {"b": "x", "c": "attack"}}, True),
        ({"scope": "key"}, {"a": "attack"}, False),
        ({"scope": "key"}, {"a": {"attack": 1}}, True),
        ({"scope": "value"}, {"attack": 1}, False),
        ({"scope": "value"}, {"a": "attack"}, True),
        ({}, {"a": [1, None, True, 1.5]}, False),
    ],
)
def test_what_pointers_take_in_and_leave_out(
    bench: Bench, json_body: dict[str, Any], document: Any, found: bool
) -> None:
    assert bool(bench.matches(byte({"json_body": json_body}), body=document)) is found


@pytest.mark.parametrize(
    "request_",
    [
        {"body": b'{"messages": [{"content": "x"}], "messages": [{"content": "attack"}]}'},  # which one counts?
        {"body": b'{"user": "attack"', "headers": [("content-type", "application/json")]},
        {"body": b'\xef\xbb\xbf{"user": "attack"}'},
        {"body": b"user=attack", "headers": [("content-type", "application/x-www-form-urlencoded")]},
        {"body": b'{"user": "attack"}', "headers": [("content-type", "text/plain"), ("content-length", "18")]},
        {"body": b'{"user": "attack"}', "headers": [("content-length", "18"), ("content-type", "")]},
        {
            "body": gzip.compress(b'{"user": "attack"}'),
            "headers": [("content-encoding", "gzip"), ("content-length", "9")],
        },
        {"body": b'{"user": "\xff attack"}'},
        {"body": json.dumps({"a": 1}).encode("utf-16")},
        {"body": b"[" * 150 + b'"attack"' + b"]" * 150},
        {"target": "/?user=%ff"},
        {"target": "/a%2fb"},
        {"target": "/a%00b"},
    ],
)
def test_what_could_be_read_in_two_ways_never_gets_past(bench: Bench, request_: dict[str, Any]) -> None:
    acl = {"rules": [rule(byte({"json_body": {"exclude": ["/messages/*/content"]}}))]}
    request_ = {"target": "/predict"} | request_
    x = bench.judge(policy_of(acl), **request_)
    assert not isinstance(x.decision, Allow)


def test_what_was_packed_is_looked_at_unpacked(bench: Bench) -> None:
    headers = [("content-type", "application/json"), ("content-encoding", "gzip"), ("content-length", "99")]
    body = gzip.compress(b'{"user": "attack"}')
    assert bench.matches(byte("body"), body=body, headers=headers, request={"encodings": ["gzip"]})


def test_the_parts_of_a_form_are_looked_at_by_name(bench: Bench) -> None:
    body = (
        b'--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nattack\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="attack.wav"\r\ncontent-type: audio/wav\r\n\r\nx\r\n'
        b"--b--\r\n"
    )
    ask = {"body": body, "headers": [("content-type", "multipart/form-data; boundary=b"), ("content-length", "9")]}
    preset = {"preset": "openai.audio.transcriptions", "request": {"query": "any"}}
    field = {"json_body": {"exclude": ["/prompt"]}}
    assert "in /file" in bench.matches(byte(field, "attack.wav"), **ask, **preset)
    assert not bench.matches(byte(field, "attack", position="exactly"), **ask, **preset)
    assert bench.matches(byte({"json_body": {}}, "attack", position="exactly"), **ask, **preset)


# --- oversize ---------------------------------------------------------------------------------------------------------


def sized(size: int, tail: str = "") -> bytes:
    body = json.dumps({"a": "x" * (size - 9 - len(tail)) + tail}).encode()
    assert len(body) == size
    return body


@pytest.mark.parametrize("field", ["body", {"json_body": {}}])
@pytest.mark.parametrize(
    ("oversize", "body", "found"),
    [
        ("match", sized(8192), False),
        ("match", sized(8193), True),
        ("no_match", sized(8192, "attack"), True),
        ("no_match", sized(8193, "attack"), False),
        ("continue", sized(8192, "attack"), True),
        ("continue", json.dumps({"a": "attack", "b": "x" * 9000}).encode(), True),
        ("continue", json.dumps({"b": "x" * 9000, "c": "x", "a": "attack"}).encode(), False),
    ],
)
def test_a_body_over_what_is_looked_at(bench: Bench, field: Any, oversize: str, body: bytes, found: bool) -> None:
    assert bool(bench.matches(byte(field, oversize=oversize), body=body)) is found


def test_what_is_no_json_is_met_as_the_field_says(bench: Bench) -> None:
    for invalid, found in (("match", True), ("no_match", False), ("evaluate_as_string", True)):
        field = {"json_body": {"invalid": invalid}}
        assert bool(bench.matches(byte(field), body=b'{"a": "attack"', mode="shadow")) is found


# --- statements -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "value", "found"),
    [
        ("exactly", "attack", True),
        ("exactly", "attack ", False),
        ("starts_with", "attacking", True),
        ("starts_with", " attack", False),
        ("ends_with", "an attack", True),
        ("ends_with", "attack.", False),
        ("contains", "counterattacks", True),
        ("contains", "ATTACK", False),
        ("contains_word", "an attack.", True),
        ("contains_word", "attack", True),
        ("contains_word", "attack_1", False),
        ("contains_word", "counterattack", False),
        ("contains_word", "attacks attack", True),
    ],
)
def test_positions(bench: Bench, position: str, value: str, found: bool) -> None:
    statement = byte({"header": "x-a"}, position=position)
    assert bool(bench.matches(statement, headers=[("x-a", value)])) is found


def test_a_string_that_is_not_ascii_is_its_utf_8(bench: Bench) -> None:
    assert bench.matches(byte({"json_body": {}}, "über"), body={"a": "über"})
    on_the_wire = "über".encode().decode("latin-1")
    assert bench.matches(byte({"header": "x-a"}, "über"), headers=[("x-a", on_the_wire)])
    assert bench.matches(byte({"header": "x-a"}, "雪"), headers=[("x-a", "雪")]), "an adapter that hands text over"


@pytest.mark.parametrize(
    ("pattern", "value", "found"),
    [
        (r"^\d+$", "123", True),
        (r"^\d+$", "12a", False),
        (r"169\.254\.169\.254", "http://169.254.169.254/latest", True),
        (r"attack", "ATTACK", False),
        (r"(?i)attack", "ATTACK", True),
        (r"\x00", "a\x00b", True),
        (r"\xff", "\xff", True),
    ],
)
def test_expressions(bench: Bench, pattern: str, value: str, found: bool) -> None:
    statement = {"regex_match": {"field": {"header": "x-a"}, "patterns": ["^never$", pattern]}}
    said = bench.matches(statement, headers=[("x-a", value)])
    assert said == ("regex_match in header x-a patterns[1]" if found else "")


@pytest.mark.parametrize(
    ("comparison", "size", "found"),
    [("eq", 4, True), ("ne", 4, False), ("le", 4, True), ("lt", 4, False), ("ge", 5, False), ("gt", 3, True)],
)
def test_sizes(bench: Bench, comparison: str, size: int, found: bool) -> None:
    for field, request_ in (
        ("query_string", {"target": "/?abcd"}),
        ({"header": "x-a"}, {"headers": [("x-a", "abcd")]}),
    ):
        statement = {"size_constraint": {"field": field, "comparison": comparison, "size": size}}
        assert bool(bench.matches(statement, **request_)) is found


def test_the_size_of_a_body_is_known_whole(bench: Bench) -> None:
    statement = {"size_constraint": {"field": "body", "comparison": "gt", "size": 9000, "oversize": "match"}}
    assert not bench.matches(statement, body=sized(9000))
    assert bench.matches(statement, body=sized(9001)) == "size_constraint in the body 9001 bytes"


def test_a_field_that_is_absent_has_no_size(bench: Bench) -> None:
    statement = {"size_constraint": {"field": {"header": "x-a"}, "comparison": "ge", "size": 0}}
    assert not bench.matches(statement)


@pytest.mark.parametrize(
    ("client", "found"),
    [
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("203.0.113.7", True),
        ("203.0.113.8", False),
        ("2001:db8:ffff::1", True),
        ("2001:DB8::1", True),
        ("2001:db9::1", False),
        ("::ffff:192.0.2.1", True),  # the same host by a socket of both families
        ("::192.0.2.1", False),
        ("::ffff:203.0.113.8", False),
        ("unix", False),
        ("", False),
    ],
)
def test_addresses(bench: Bench, client: str, found: bool) -> None:
    statement = {"ip_set": {"addresses": ["192.0.2.0/24", "203.0.113.7", "2001:db8::/32", "192.0.2.0/25"]}}
    assert bool(bench.matches(statement, client=client)) is found


def test_an_address_in_everything(bench: Bench) -> None:
    assert bench.matches({"ip_set": {"addresses": ["0.0.0.0/0"]}})
    assert not bench.matches({"ip_set": {"addresses": ["::/0"]}})


def test_ten_thousand_networks_are_one_look_up() -> None:
    found = IpSet([f"10.{high}.{low}.0/24" for high in range(40) for low in range(250)])
    assert [len(networks) for networks in found._networks.values()] == [1, 0]


@pytest.mark.parametrize(
    ("statement", "request_", "found"),
    [
        (sqli("all_query_arguments"), {"target": f"/?q={SQL_URL}"}, False),
        (sqli("all_query_arguments", "url_decode"), {"target": f"/?q={SQL_URL}"}, True),
        (sqli("all_query_arguments", "url_decode"), {"target": f"/?q={SQL_TWICE}"}, False),
        (sqli("all_query_arguments", "url_decode", "url_decode"), {"target": f"/?q={SQL_TWICE}"}, True),
        (sqli({"header": "x-a"}, "none"), {"headers": [("x-a", SQL)]}, True),
        (sqli("cookies"), {"headers": [("cookie", f"a={SQL}")]}, True),
        (sqli({"json_body": {}}), {"body": {"user": SQL}}, True),
        (sqli({"json_body": {}}), {"body": {SQL: 1}}, True),
        (sqli({"json_body": {}}), {"body": {"user": "alice"}}, False),
        (sqli("body", "url_decode"), {"body": {"user": SQL}}, True),
        (sqli("uri_path"), {"target": f"/{SQL_URL}"}, True),
    ],
)
def test_injections(bench: Bench, statement: dict[str, Any], request_: dict[str, Any], found: bool) -> None:
    assert bool(bench.matches(statement, **request_)) is found


def test_markup(bench: Bench) -> None:
    statement = {"xss_match": {"field": {"json_body": {}}, "transforms": ["html_entity_decode"]}}
    assert bench.matches(statement, body={"user": "&lt;script&gt;alert(1)&lt;/script&gt;"})
    assert not bench.matches(statement, body={"user": "alice"})


def test_what_was_found_is_told_in_words_of_ours(bench: Bench) -> None:
    said = bench.matches(sqli("all_query_arguments", "url_decode"), target=f"/?q={SQL_URL}")
    assert said.startswith("sqli_match in query q after url_decode: ")
    assert "OR" not in said
    said = bench.matches(byte("headers"), headers=[("x-" + "a" * 90, "attack")])
    assert said == "byte_match in header (a strange name) contains"


# --- logic and labels -------------------------------------------------------------------------------------------------

HIT, MISS = byte("uri_path", "/"), byte("uri_path", "nowhere")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ({"and": [HIT, HIT]}, "and byte_match in the path contains + byte_match in the path contains"),
        ({"and": [HIT, MISS]}, ""),
        ({"or": [MISS, HIT]}, "byte_match in the path contains"),
        ({"or": [MISS, MISS]}, ""),
        ({"not": MISS}, "not byte_match"),
        ({"not": HIT}, ""),
        ({"not": {"not": HIT}}, "not not"),
        ({"and": [{"or": [MISS, HIT]}, {"not": MISS}]}, "and byte_match in the path contains + not byte_match"),
    ],
)
def test_statements_of_statements(bench: Bench, statement: dict[str, Any], said: str) -> None:
    assert bench.matches(statement) == said


@pytest.mark.parametrize(
    ("key", "labels", "found"),
    [
        ("a:b", ["a:b"], True),
        ("a:b", ["a:b:c"], False),
        ("a:", ["a:b:c"], True),
        ("a:b:", ["a:b:c"], True),
        ("a:b:", ["a:bc:c", "a:b:z"], True),
    ],
)
def test_labels(bench: Bench, key: str, labels: list[str], found: bool) -> None:
    rules = [
        rule(HIT, name="puts", priority=1, action="count", labels=labels),
        rule({"label_match": {"key": key}}, name="looks", priority=2),
    ]
    if not found:  # such a key is a mistake, unless another rule puts it
        rules.insert(0, rule(MISS, name="also", priority=0, action="count", labels=[key]))
    x = bench.judge(policy_of({"rules": rules}))
    assert ("looks" in [match.rule.name for match in x.matches]) is found


def test_a_namespace_is_not_the_beginning_of_a_word(bench: Bench) -> None:
    rules = [
        rule(HIT, name="puts", priority=1, action="count", labels=["ab:c"]),
        rule(MISS, name="also", priority=2, action="count", labels=["a:x"]),
        rule({"label_match": {"key": "a:"}}, name="looks", priority=3),
    ]
    assert isinstance(bench.judge(policy_of({"rules": rules})).decision, Allow)


def test_no_caller_can_put_a_label(bench: Bench) -> None:
    rules = [
        rule(MISS, name="puts", priority=1, action="count", labels=["trusted"]),
        rule({"not": {"label_match": {"key": "trusted"}}}, name="looks", priority=2),
    ]
    headers = [("x-amzn-waf-trusted", "true"), ("trusted", "trusted")]
    assert not isinstance(bench.judge(policy_of({"rules": rules}), headers=headers).decision, Allow)


def test_a_rule_waits_for_the_label_of_a_rule_on_the_body() -> None:
    rules = [
        rule(byte("body"), name="a", priority=10, action="count", labels=["x:a"]),
        rule({"label_match": {"key": "x:"}}, name="b", priority=20, action="count", labels=["y"]),
        rule({"not": {"label_match": {"key": "y"}}}, name="c", priority=30),
        rule(HIT, name="d", priority=5),
    ]
    acl = policy_of({"rules": rules}).routes[0].web_acl
    assert acl is not None
    assert [(each.name, each.reads_body) for each in acl.rules] == [("d", False), ("a", True), ("b", True), ("c", True)]


def test_equal_fields_are_taken_out_once() -> None:
    field = {"json_body": {"exclude": ["/messages/*/content"]}}
    rules = [
        rule(sqli(field, "url_decode"), name="a", priority=1),
        rule({"xss_match": {"field": field, "transforms": ["url_decode"]}}, name="b", priority=2),
        rule({"xss_match": {"field": field}}, name="c", priority=3),
    ]
    acl = policy_of({"rules": rules}).routes[0].web_acl
    assert acl is not None
    a, b, c = (each.statement.field for each in acl.rules)  # type: ignore[union-attr]  # they look at text
    assert a is b
    assert a is not c
