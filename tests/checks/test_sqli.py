"""SQL injection: attacks in every dress are found, honest text and questions about SQL pass."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from vallum.checks.sqli import Sqli, SqliConfig
from vallum.core.content import Content

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
    "with invisible characters": lambda text: "\u200b".join(text),
    "as HTML entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
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
    assert "stacked.verb" in finding.detail
    assert "marmalade" not in finding.detail
