"""The grammar of SQL injection: what takes a statement over is named, what honest people write is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.signatures import find_sqli
from vallum.signatures.sql import find_takeover, is_cued
from vallum.signatures.sql.grammar import judge, obey
from vallum.signatures.sql.openings import may_open
from vallum.signatures.sql.tokens import WORDS, classify

TAKEOVERS = {
    "quote.compare": ["' or 1=1", "x') and ('a'='a", '" or ""="', "a' or not 1<2 --", "' or 'a' like 'a"],
    "quote.true": ["' or 1#", "' or true --", "' or 'a", "x' and 5"],
    "quote.call": ["' or sleep(5)", "' and (select 1)", "' and exists(select 1)", "' or ascii('a')>1"],
    "quote.union": ["' union all select 1", "')union(select 1"],
    "quote.stack": ["'; drop table a", "';#", "'; exec('x')"],
    "quote.operate": ["' not like '", "' is 1 #", "'-(select 1)-'", "'||pg_sleep(1)", "'=0#", "'-0-'", "'+1#"],
    "quote.order": ["' order by 3", "' group by a --"],
    "quote.having": ["' having 1=1"],
    "quote.into": ["' into outfile '/a'"],
    "quote.limit": ["' limit 1 --"],
    "quote.verb": ["' drop table a --", "' waitfor delay '0:0:5'"],
    "quote.values": ["', (select 1))", "', 'a')#"],
    "quote.case": ["' then 1 else 2 end --"],
    "quote.cut": ["admin'--", "admin')#", "admin'/*"],
    "bare.compare": ["1 or 1=1", "1 and ascii(x)>64", "-1 or 5-4 > 0", "1) or (2=2"],
    "bare.name": ["id or 1=1", "or 1=1"],
    "bare.bracket": ["id) or (a=b"],
    "bare.true": ["1 or 2 --", "1 or true", "1 or (select 1)"],
    "bare.union": ["1 union select null", "x union all select a from b", "-1 union(select 1"],
    "bare.stack": ["1; drop table a", "1; shutdown --", "1;exec xp_cmdshell 'a'", "1; update a set b=1"],
    "bare.call": ["1 and sleep(5)", "sleep(5)", "1-benchmark(1,1)", "a, sleep(1)"],
    "bare.execute": ["exec master..xp_cmdshell 'a'"],
    "bare.schema": ["(select a from information_schema.tables"],
    "bare.variable": ["1 or @@version", "@@version"],
    "bare.order": ["1 order by 5", "'a' order by 1,2"],
    "bare.having": ["1 having 1=1"],
    "bare.case": ["1, case when 1=1 then 1 else 2 end"],
    "bare.select": ["(select a from b)", "1-(select version())"],
    "bare.function": ["1 and length(a)"],
    "bare.procedure": ["1 limit 1,1 procedure analyse()"],
    "bare.file": ["1 into outfile '/a'"],
}
SAMPLES = [(name, text) for name, texts in TAKEOVERS.items() for text in texts]


@pytest.mark.parametrize(("name", "text"), SAMPLES)
def test_a_takeover_is_found_and_cued(name: str, text: str) -> None:
    assert judge(text) is not None
    assert is_cued(text)
    assert find_takeover(text) is not None


@pytest.mark.parametrize("name", TAKEOVERS)
def test_a_rule_is_obeyed_by_one_of_its_samples(name: str) -> None:
    assert name in {judge(text) for text in TAKEOVERS[name]}


@pytest.mark.parametrize("text", [text for _, text in SAMPLES])
@pytest.mark.parametrize("blank", ["/**/", "\n", "\t ", "\x0b", "/*it's*/", "\xa0", " --x\n"])
def test_a_takeover_is_found_in_other_blanks(text: str, blank: str) -> None:
    assert find_sqli(text.replace(" ", blank)) is not None


@pytest.mark.parametrize("text", [text for _, text in SAMPLES])
def test_a_takeover_is_found_in_any_case(text: str) -> None:
    assert find_sqli(text.upper()) is not None


@pytest.mark.parametrize(
    "body",
    [
        '{{"a": 1, "b": "{}"}}',
        "a=1&b={}",
        "a=1; b={}",
        '["x", ["{}"]]',
        "--b\r\nname: x\r\n\r\n{}\r\n--b--",
        "/items/{}",
    ],
)
@pytest.mark.parametrize("text", ["' or 1=1 --", "1 or 1=1", "1; drop table a", "x' union select 1 --"])
def test_an_attack_is_found_in_a_field_of_a_whole_body(body: str, text: str) -> None:
    assert find_sqli(body.format(text)) is not None


HONEST = [
    "O'Brien", "it's a dog's life", "dogs' and cats' food", "rock 'n' roll", "'red' or 'blue'", "6' x 4'", "5' 11\"",
    "the 'old' and 'new'", "don't stop -- keep going", "select all", "Credit Union Select Account", "order by phone",
    "a < b and b < c", "(a or b) and c", "cats AND dogs", "Room #7; key in lobby", "Please call; cancel my order",
    "if x == 'a' or y == 'b': f(5)", "1 or 2 tablets", "use sleep mode (5 h)", "po' di pane", "\"A\" and \"B\"",
    "from Monday to Friday", "insert into slot A", "The Select Committee; the Union", "John Doe <john@example.com>",
    "SELECT name FROM users WHERE age > 30 AND city = 'Rome' ORDER BY name;", "he said: 'no' -- and left",
]  # fmt: skip


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_passes(text: str) -> None:
    assert find_sqli(text) is None


@pytest.mark.parametrize("text", ["SELECT a FROM b", "x'", "5--", "a union select b"])
def test_high_sensitivity_finds_what_low_lets_pass(text: str) -> None:
    assert find_sqli(text) is None
    assert find_sqli(text, sensitivity="high") is not None


@given(st.text() | st.text(alphabet="'\"`;-#/*=()|&orandselctui 1%\n\xa0@"))
def test_any_text_can_be_judged_and_none_obeys_without_a_cue(text: str) -> None:
    find_sqli(text, sensitivity="high")
    if judge(text) is not None:
        assert is_cued(text)


PIECES = [word for words in WORDS.values() for word in words.split(" ")]
PIECES += ["a", "1", "@a", " ", "  ", " my ", "\u3000", "\x0b", "--x\n", "'x'", "é", "0x1", "/*!", "K", "_", "x1"]


@given(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
    | st.lists(st.sampled_from(PIECES), max_size=9).map(" ".join)
)
def test_what_obeys_a_rule_begins_as_one_does(text: str) -> None:
    if obey(classify(text)) is not None:
        assert may_open(text)


@pytest.mark.parametrize("text", [text for _, text in SAMPLES])
@pytest.mark.parametrize("before", ["", "1", "''", "/**/", "# it\n", "(", "-"])
def test_a_rule_that_is_obeyed_has_opened(text: str, before: str) -> None:
    if obey(classify(before + text)) is not None:
        assert may_open(before + text)


def test_prose_does_not_open() -> None:
    assert not may_open('My sister\'s order (both parts) is late; the app says "out for delivery", and in that case?')


UNITS = (
    "'", '"', "'\"", "`'\"", "' or ", "/*", "*/", "/*!", "--\n", "#", "(", ")", "'(", ";", "a=", "&a=", '"\\', "1 or ",
    "' ", "it's ", "@@", "union ", "select ", "a.", "''", "0x", "1e", "\n", "{\"", "/", "' /*", "+'a'", "or 1 ", "||",
)  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_anything_takes_no_more_than_its_length(unit: str) -> None:
    spent = []
    for size in (65_536, 1_048_576):
        text = unit * (size // len(unit))
        start = time.process_time()
        find_sqli(text, sensitivity="high")
        spent.append(time.process_time() - start)
    assert spent[1] < 48 * max(spent[0], 0.01)  # sixteen times the text; quadratic were 256 times the time
