"""SQL injection: attacks in every dress are found, honest text and questions about SQL pass."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.checks.sqli import Sqli, SqliConfig
from vallum.core.content import Content
from vallum.core.protocols import Check
from vallum.signatures.sql.pieces import SQL

CHECK = Sqli(SqliConfig(transforms=["url_decode"]))

ATTACKS = {
    "a tautology with a comment": "' OR 1=1 --",
    "a quoted tautology": "' or 'a'='a",
    "a tautology in brackets": "') or ('1'='1",
    "a numeric tautology": "1 or 1=1",
    "a comment that cuts the password off": "admin'--",
    "a hash that cuts the rest off": "admin' #",
    "a union with columns": "' UNION SELECT password FROM users--",
    "a union of all": "1 union all select null,null,version()",
    "a union in odd spacing": "'  uNiOn\n\tSeLeCt 1,2,3",
    "a union split by comments": "1 UN/**/ION SEL/**/ECT 1,2,3",
    "a union behind versioned comments": "1/*!50000union*/ /*!50000select*/ 1,2,3",
    "a dropped table": "1; DROP TABLE users",
    "a stacked update": "'; UPDATE users SET role='admin' WHERE id=1--",
    "a shell": "'; exec xp_cmdshell('dir')--",
    "a sleep": "1' AND SLEEP(5)#",
    "a PostgreSQL sleep": "' || pg_sleep(5)--",
    "a SQL Server delay": "'; WAITFOR DELAY '0:0:5'--",
    "a probe of the catalogue": "1 AND (SELECT COUNT(*) FROM information_schema.tables)>0",
    "a count of columns": "1' ORDER BY 3--",
    "a file read": "' union select load_file('/etc/passwd')--",
    "a tautology in plus signs": "'+or+1=1--",
    "a tautology with typographic quotes": "\u2018 or \u20181\u2019=\u20181",
    "a tautology by LIKE": "x' or username like '%a%",
    "a boolean without a comparison": "' or true--",
    "a nested query": "1 and (select 1 from users)=1",
    "a version": "' union select @@version--",
    "a conditional error": "1' and extractvalue(1,concat(0x7e,version()))--",
    "a PostgreSQL file": "1 or lo_import('/etc/passwd')=1",
    "a table of SQLite": "1 union select name from sqlite_master",
    "an operator over JSON": "OR '{\"a\":1}'::jsonb @> '{}'::jsonb",
    "an operator of a document store": "user[$ne]=1",
}

HONEST = {
    "a plain question": "select the best option from the list where prices are low",
    "a table of another kind": "please drop the table reservation for tonight",
    "an Irish name and a dash": "O'Brien -- thanks for the quick answer",
    "sets": "the union of two sets; select one element from each",
    "arithmetic": "1 = 1 in maths, and 2 > 1 or 3 < 4",
    "a sum": "What's 2 and 2 = 4?",
    "a question about SQL": "How do I write SELECT a FROM t UNION SELECT b FROM u?",
    "a whole statement": "SELECT name FROM users WHERE age > 30 AND city = 'Rome' ORDER BY name;",
    "Python": "if x == 'a' or y == 'b': time.sleep(5)",
    "quoted words": "the 'old' or 'new' way, 'this' and 'that'",
    "a clock": "It's 5 o'clock -- or is it 6?",
    "a comparison": "1 < 2 && x > y, AT&T; it's fine",
    "possessives": "the dogs' and cats' bowls",
    "a semicolon and a verb": "C# is good; select a language you like",
    "a script of several statements": "CREATE TABLE a (id int);\nDROP TABLE b;\nINSERT INTO a VALUES (1);",
    "C++": "bool vowel(char c) {\n    return c == 'a' || c == 'e' || c == 'i';\n}",
    "asynchronous Python": "print('wait')\nawait asyncio.sleep(0)  # once",
    "a comment in C": "int total = a /* first */ + b /* second */;",
    "the rest of a clause": "and then we went home",
    "a question with where": "Where is my money from this morning",
    "a sentence with a hash": "Room 'B' and #7 are free",
    "Markdown": "| a | b |\n|---|---|\n| 'x' | `y` |",
    "a price list": "'Apples' = 3, 'pears' = 4",
    "mathematics": "Prove that a or b = c and 2 < 3",
}


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_found(text: str) -> None:
    finding = CHECK.inspect(Content({"input": text}))
    assert finding is not None
    assert finding.where == "/input"


DRESSES: dict[str, Callable[[str], str]] = {
    "percent-encoded": quote,
    "percent-encoded twice": lambda text: quote(quote(text)),
    "full-width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "with invisible characters": "\u200b".join,
    "as HTML entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "in base64": lambda text: base64.b64encode(f"id={text:24}".encode()).decode(),
    "in hexadecimal": lambda text: f"id={text}".encode().hex(),
    "as JSON escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "in capitals": str.upper,
    "between comments": lambda text: text.replace(" ", "/**/"),
    "between comments with words": lambda text: text.replace(" ", "/* it's */"),
    "in tabs": lambda text: text.replace(" ", "\t"),
}


@pytest.mark.parametrize("dress", DRESSES.values(), ids=DRESSES.keys())
@pytest.mark.parametrize("name", ["a tautology with a comment", "a union with columns", "a dropped table"])
def test_an_attack_is_found_in_another_dress(name: str, dress: Callable[[str], str]) -> None:
    assert CHECK.inspect(Content({"input": dress(ATTACKS[name])})) is not None


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST.keys())
def test_honest_text_passes(text: str) -> None:
    assert CHECK.inspect(Content({"input": text})) is None


def test_an_attack_in_a_query_parameter_is_found_and_placed() -> None:
    finding = CHECK.inspect(Content({}, [("q", "' OR 1=1 --")]))
    assert finding is not None
    assert finding.where == "query.q"


def test_an_attack_in_a_key_is_found() -> None:
    assert CHECK.inspect(Content({"' OR 1=1 --": 1})) is not None


def test_the_finding_names_patterns_and_never_the_text() -> None:
    finding = CHECK.inspect(Content({"input": ATTACKS["a dropped table"] + " marmalade"}))
    assert finding is not None
    assert "stack" in finding.detail
    assert "marmalade" not in finding.detail


def test_it_is_a_check() -> None:
    assert isinstance(CHECK, Check)


@pytest.mark.parametrize("attack", ["' OR 1=1 --", "' UNION SELECT password FROM users--", "1' AND SLEEP(5)#"])
@given(data=st.data())
def test_an_attack_cut_anywhere_over_two_fields_is_found(attack: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(attack)))
    assert CHECK.inspect(Content({"first": attack[:cut], "second": attack[cut:]})) is not None


PIECES = ["abs(", "select load_file(", "or 120=121=", "order by", "drop table users", "xp_cmdshell", "'; --", "$where"]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(lambda piece: {"input": piece}, id="alone"),
        pytest.param(lambda piece: {"input": piece, "text": "two\nlines"}, id="beside a text of several lines"),
        pytest.param(lambda piece: {f"({piece})" if piece.isidentifier() else piece: 1}, id="as a key"),
        pytest.param(lambda piece: {"input": quote(piece)}, id="percent-encoded"),
    ],
)
def test_a_piece_of_sql_that_fills_a_value_is_found(piece: str, document: Callable[[str], dict[str, Any]]) -> None:
    assert CHECK.inspect(Content(document(piece))) is not None


@pytest.mark.parametrize("piece", ["abs(", "order by", "$where", "now ("])
def test_a_piece_of_sql_in_a_longer_text_passes(piece: str) -> None:
    assert CHECK.inspect(Content({"input": f"What does this line do?\n{piece}\nThank you."})) is None


@given(st.text() | st.text(alphabet="'\"`;-#/*=()ornadselct 1%"))
def test_any_text_can_be_inspected(text: str) -> None:
    CHECK.inspect(Content({"input": text}))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("unit", ["/*", "*/", "/*!", "/**/", "'", "' or ", "select(", "(", "%27", "--\n"])
def test_hostile_text_costs_no_more_than_its_length(unit: str) -> None:
    CHECK.inspect(Content({"input": unit * 20_000}))


def test_a_request_of_very_many_strings_is_refused_without_a_place() -> None:
    finding = CHECK.inspect(Content(["x"] * 1000 + ["' OR 1=1 --"]))
    assert finding is not None
    assert finding.where == ""


def test_names_are_unique() -> None:
    assert len({pattern.name for pattern in SQL}) == len(SQL)
