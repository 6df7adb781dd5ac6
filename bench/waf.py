"""SQL injection and cross-site scripting: what is found, taken amiss and paid, beside the Core Rule Set.

    python bench/waf.py FILE [--held] [--without-crs] [--prompts FILE] [--misses KIND]

FILE holds the Core Rule Set's own regression tests, one request a line.  The other requests are ours: written before
the detectors were tuned, and half of them looked at with `--held` alone.  The Core Rule Set runs in this process, by
libmodsecurity, at paranoia level 1, with and without the prompts; a request counts where it is refused.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import waf_honest
import waf_requests
from detection import PLAIN_HEADERS, request_content
from vallum.checks.modsecurity import Modsecurity, ModsecurityConfig
from vallum.checks.sqli import Sqli, SqliConfig
from vallum.checks.xss import Xss, XssConfig
from vallum.codecs.multipart import Multipart
from vallum.config.rule_files import list_rules
from vallum.core.content import Content
from vallum.core.exchange import Headers
from vallum.presets import PRESETS
from vallum.signatures import find_sqli, find_xss
from waf_requests import CHAT, Request

CHECKS: tuple[Any, ...] = (Sqli(SqliConfig()), Xss(XssConfig()))
SEARCHING = (Sqli(SqliConfig(prompts="search")), Xss(XssConfig(prompts="search")))
SETUP, RULES = Path("/etc/modsecurity/crs/crs-setup.conf"), Path("/usr/share/modsecurity-crs/rules")
PASSAGES = PRESETS["openai.chat"].request.passages
PLACES_OF_HONEST = ("query", "path", "header", "form", "multipart", "user", "metadata")
Find = Callable[[Request], str]


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--held", action="store_true", help="the held-out half of our requests")
    parser.add_argument("--without-crs", action="store_true")
    parser.add_argument("--prompts", type=Path, help="labelled prompts: how many honest ones `prompts: search` refuses")
    parser.add_argument("--misses", help="print what was decided wrongly of the tables with this in their names")
    arguments = parser.parse_args()

    tables = {
        "CRS tests, sqli": recorded(arguments.file, "sqli"),
        "CRS tests, xss": recorded(arguments.file, "xss"),
        "own attacks, sqli": [row for row in waf_requests.attacks(held=arguments.held) if row.kind == "sqli"],
        "own attacks, xss": [row for row in waf_requests.attacks(held=arguments.held) if row.kind == "xss"],
        "own evasions, sqli": [row for row in waf_requests.evasions(held=arguments.held) if row.kind == "sqli"],
        "own evasions, xss": [row for row in waf_requests.evasions(held=arguments.held) if row.kind == "xss"],
        "honest, other fields": list(honest(held=arguments.held)),
        "honest, prompts": [
            waf_requests.request("prompt", "prompt", text) for text in waf_honest.prompts(held=arguments.held)
        ],
    }
    if arguments.misses:
        for name, rows in tables.items():
            if arguments.misses in name:
                print(f"\n{name}", *wrong(name, rows), sep="\n  ")
        return
    engines = ["ours"] if arguments.without_crs else ["ours", CHECK, *CORE_RULES]
    columns = []
    for engine in engines:  # each in a process of its own: two of ModSecurity's in one disturb each other
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            columns.append(pool.submit(column, engine, list(tables.values())).result())
    print(f"| | number | {' | '.join(engines)} |\n|---|---|{'---|' * len(engines)}")
    lines = [(name, f"{len(rows):,}") for name, rows in tables.items()] + [(name, "") for name in waf_honest.bodies()]
    for (name, number), *cells in zip(lines, *columns, strict=True):
        print(f"| {name} | {number} | {' | '.join(cells)} |")
    print_hostile()
    if arguments.prompts:
        print_prompts(arguments.prompts)


CHECK = "check `modsecurity`"
CORE_RULES = {
    "CRS, level 1, no prompts": {"prompts": False, "level": 1},
    "CRS, level 1": {"prompts": True, "level": 1},
    "CRS, level 4, no prompts": {"prompts": False, "level": 4},
}


def column(engine: str, tables: list[list[Request]]) -> list[str]:
    """Return what one engine finds of each table, and what it costs."""
    global CHECKS  # noqa: PLW0603  of this process, which is the engine's own
    if engine == CHECK:
        CHECKS = (Modsecurity(ModsecurityConfig(rules=[str(RULES)]), [SETUP, *list_rules(RULES)]),)
    find = CoreRules(**CORE_RULES[engine]).find if engine in CORE_RULES else find_ours
    return [f"{sum(bool(find(row)) for row in rows) / len(rows):.1%}" for rows in tables] + costs(find)


def wrong(name: str, rows: list[Request]) -> Iterator[str]:
    """Yield the requests of a table that were decided wrongly."""
    for row in rows:
        hit = find_ours(row)
        if bool(hit) == name.startswith("honest"):
            yield f"{row.kind} {row.where}: {row.sample!r} {hit}"


def recorded(file: Path, family: str) -> list[Request]:
    """Return the attacks of the Core Rule Set's tests."""
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["family"] == family and row["expect"]:
            headers = {name.lower(): value for name, value in row["headers"].items()}
            if row["data"]:  # as the tool that sends these tests completes them
                headers.setdefault("content-type", "application/x-www-form-urlencoded")
                headers.setdefault("content-length", str(len(row["data"].encode())))
            sample = f"{row['file']}#{row['test']} {row['uri'][:160]} {row['data']!r} {row['headers']}"
            rows.append(Request(family, "recorded", row["uri"], headers, row["data"] or "", sample))
    return rows


def honest(*, held: bool) -> Iterator[Request]:
    """Yield honest values, each in one of the places."""
    for number, text in enumerate(waf_honest.fields(held=held)):
        yield waf_requests.request("honest", PLACES_OF_HONEST[number % len(PLACES_OF_HONEST)], text)


def find_ours(row: Request) -> str:
    """Say what the checks find in any part of a request, prompts left out."""
    for content in contents(row):
        for check in CHECKS:
            if finding := check.inspect(content):
                return f"{finding.rule} {finding.detail}"
    return ""


def contents(row: Request) -> Iterator[Content]:
    """Yield what there is to look at: of a chat its body apart, which says who speaks."""
    if row.where == "recorded":
        data = {"uri": row.uri, "headers": row.headers, "data": row.body}
        yield request_content(data)
        return
    address = urlsplit(row.uri)
    headers = {name: value for name, value in row.headers.items() if name not in PLAIN_HEADERS}
    query = [pair.partition("=") for pair in address.query.split("&") if "=" in pair]
    pairs = [(unquote_plus(name), unquote_plus(value)) for name, _, value in query]
    yield Content({"path": unquote_plus(address.path), "headers": headers}, pairs)
    media = row.headers.get("content-type", "")
    if address.path == CHAT:
        yield Content(json.loads(row.body), passages=PASSAGES)
    elif media.startswith("multipart"):
        yield Content(Multipart().decode(row.body.encode(), Headers([("content-type", media)])))
    elif row.body:
        yield request_content({"uri": "/", "headers": {}, "data": row.body})


class CoreRules:
    """ModSecurity with the Core Rule Set 3.3.4, in this process."""

    def __init__(self, *, prompts: bool, level: int) -> None:
        """Load the rules, but for those that need a database of addresses."""
        import libmodsecurity

        self._engine = libmodsecurity.ModSecurity()
        self._engine.set_rule_message_callback(lambda _message: None)
        self._rules = libmodsecurity.RulesSet()
        self._rules.load("SecRuleEngine On\nSecStatusEngine Off\nSecRequestBodyAccess On\n")
        self._rules.load_from_uri(str(SETUP))
        self._rules.load(
            'SecRule REQUEST_HEADERS:Content-Type "^application/json" '
            '"id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"'
        )
        self._rules.load(f'SecAction "id:900000,phase:1,nolog,pass,t:none,setvar:tx.paranoia_level={level}"')
        for file in sorted(RULES.glob("*.conf")):
            if "REQUEST-910" not in file.name:
                self._rules.load_from_uri(str(file))
        if not prompts:
            self._rules.load('SecRuleUpdateTargetByTag "OWASP_CRS" "!ARGS:/^json.messages/"')

    def find(self, row: Request) -> str:
        """Say whether the rules refuse a request."""
        with self._engine.transaction(self._rules) as transaction:
            transaction.process_connection("192.0.2.1", 40000, "192.0.2.2", 80)
            transaction.process_uri(row.uri, "POST" if row.body else "GET", "1.1")
            for name, value in row.headers.items():
                transaction.add_request_header(name, value)
            transaction.process_request_headers()
            if row.body:
                transaction.append_request_body(row.body.encode("utf-8", "surrogatepass"))
            transaction.process_request_body()
            intervention = transaction.intervention()
            return str(intervention.status) if intervention is not None and intervention.disruptive else ""


def costs(find: Find) -> list[str]:
    """Return the microseconds that chats take whose other fields hold honest text; of ours, the two checks alone."""
    cells = []
    for fields in waf_honest.bodies().values():
        document = waf_requests.PROMPT | fields
        text = json.dumps(document)
        headers = {"host": "a.example", "content-type": "application/json", "content-length": str(len(text))}
        row = Request("honest", "", CHAT, headers, text, "")
        rounds = 100 if len(text) < 4096 else 2
        cost = min(_time_checks(document) for _ in range(rounds)) if find is find_ours else _best_us(find, row, rounds)
        cells.append(f"{cost:,.0f} us ({len(text):,} B)")
    return cells


def print_hostile() -> None:
    """Print what a megabyte of one thing costs."""
    print("\n| a megabyte of | find_sqli | find_xss |\n|---|---|---|")
    for unit in HOSTILE:
        text = unit * (1_048_576 // len(unit))
        cells = [f"{_best_us(find, text, 1) / 1000:.0f} ms" for find in (find_sqli, find_xss)]
        print(f"| `{unit!r}` | {' | '.join(cells)} |")


def print_prompts(file: Path) -> None:
    """Print how many honest prompts are refused where prompts are searched."""
    with file.open(encoding="utf-8") as lines:  # a text may hold other line ends than these
        rows = [json.loads(line) for line in lines]
    texts = [row["text"] for row in rows if row["label"] == 0]
    for check in SEARCHING:
        refused = sum(check.inspect(Content({"text": text})) is not None for text in texts)
        print(f"{check.type} with prompts: search refuses {refused} of {len(texts):,} honest prompts of {file.name}")


def _time_checks(document: dict[str, Any]) -> float:
    content = Content(document, passages=PASSAGES)
    start = time.perf_counter_ns()
    for check in CHECKS:
        check.inspect(content)
    return (time.perf_counter_ns() - start) / 1000


HOSTILE = ("'", "'\"", "' or ", "/*", "<", "<a ", "(", "a=", "[]", "\\u0027", "&#39;", "%2527")


def _best_us(find: Callable[[Any], object], argument: Any, rounds: int = 3) -> float:
    spans = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        find(argument)
        spans.append((time.perf_counter_ns() - start) / 1000)
    return min(spans)


if __name__ == "__main__":
    main()
