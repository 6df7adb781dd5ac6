"""What the text checks catch, what they refuse wrongly and what they cost, on labelled data.

    python bench/detection.py --injection DIR --waf FILE

DIR holds `train.jsonl` and `dev.jsonl` (`text`, `label`, `kind`, `source`, `source_in_train`).  Patterns are tuned on
train; the judged set is those rows of dev whose source has no row in train.  FILE holds web requests, one JSON object
a line (`family`, `uri`, `data`, `headers`, `expect`): rows of the family `sqli` that some rule must match are attacks.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote_plus, urlsplit

from vallum.checks.prompt_injection import PromptInjection, PromptInjectionConfig, Sensitivity
from vallum.checks.sqli import Sqli, SqliConfig
from vallum.core.content import Content
from vallum.core.decision import Finding

Row = dict[str, Any]

# Headers that every recorded request carries and that hold nothing of the attack.
PLAIN_HEADERS = {"host", "accept", "content-type", "connection", "content-length", "accept-encoding"}


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--injection", type=Path, required=True, metavar="DIR")
    parser.add_argument("--waf", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()

    train = list(_rows(arguments.injection / "train.jsonl"))
    dev = list(_rows(arguments.injection / "dev.jsonl"))
    judged = [row for row in dev if not row["source_in_train"]]
    for sensitivity in get_args(Sensitivity):
        check = PromptInjection(PromptInjectionConfig(sensitivity=sensitivity))
        for name, rows in (("train", train), ("dev", dev), ("dev, unseen sources", judged)):
            print(f"\nprompt_injection {sensitivity}: {name}")
            _print_shares((_kind(row), check.inspect(Content(row["text"]))) for row in rows)

    sqli = Sqli(SqliConfig()).inspect
    requests = [row for row in _rows(arguments.waf) if row["family"] == "sqli" and row["expect"]]
    print("\nsqli: attack requests by rule file")
    _print_shares((f"1 {row['file']}", sqli(request_content(row))) for row in requests)
    print("\nsqli: honest text")
    honest = [row for row in (*train, *dev) if not row["label"]]
    _print_shares((_kind(row), sqli(Content(row["text"]))) for row in honest)

    texts = [row["text"] for row in honest]
    lengths = {"all": texts, "0.8 to 1.2 kB": [text for text in texts if 800 <= len(text) <= 1200]}
    lengths["of these, one ASCII line"] = [
        text for text in lengths["0.8 to 1.2 kB"] if text.isascii() and "\n" not in text
    ]
    injection = PromptInjection(PromptInjectionConfig()).inspect
    print("\nmicroseconds per honest text: median, p99.  Readings are made once for all checks.")
    for length, some in lengths.items():
        print(f"  {length}, n = {len(some)}")
        _print_cost("readings", lambda content: content.readings, some, ready=False)
        _print_cost("prompt_injection", injection, some, ready=True)
        _print_cost("sqli", sqli, some, ready=True)


def request_content(row: Row) -> Content:
    """Return what a request carries to the application: path, query, body and unusual headers, each decoded once."""
    address = urlsplit(row["uri"])
    headers = {
        name: value
        for name, value in row["headers"].items()
        if name.lower() not in PLAIN_HEADERS and "CRS test agent" not in value
    }
    document = {"body": _body(row["data"] or ""), "headers": headers, "path": unquote_plus(address.path)}
    return Content(document, _form(address.query))


def _body(data: str) -> Any:
    if data.startswith("<"):
        # Attribute values and text: what an XML parser hands on.
        return [html.unescape(piece) for piece in re.findall(r'"([^"<]*)"|>([^<]+)<', data) for piece in piece if piece]
    if data.startswith(("{", "[")):
        with contextlib.suppress(ValueError):
            return json.loads(data)
    return [text for pair in _form(data) for text in pair] if "=" in data else unquote_plus(data)


def _form(text: str) -> list[tuple[str, str]]:
    # As parse_qsl, but nothing is dropped: a field without "=" is a name, and "&&" stands for itself.
    pairs = (field.partition("=") for field in re.split(r"(?<!&)&(?!&)", text))
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]


def _rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _kind(row: Row) -> str:
    return f"{row['label']} {row['kind']}"


def _print_shares(judged: Iterable[tuple[str, Finding | None]]) -> None:
    """Print a line for each kind of row; `judged` holds "label kind" and what the check found."""
    seen: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    for kind, finding in judged:
        for name in (kind, f"{kind[0]} all"):
            seen[name] += 1
            flagged[name] += finding is not None
    for name in sorted(seen, key=lambda name: (name[0], name.endswith(" all"), name)):
        label = "true positives " if name[0] == "1" else "false positives"
        print(f"  {name[2:]:24} {label} {flagged[name]:5} of {seen[name]:5}  {flagged[name] / seen[name]:7.2%}")


def _print_cost(name: str, step: Callable[[Content], object], texts: list[str], *, ready: bool) -> None:
    """Time one step on every text, the best of five; `ready` makes the readings beforehand."""
    costs = []
    for text in texts:
        spans = []
        for _ in range(5):
            content = Content(text)
            if ready:
                assert content.readings
            start = time.perf_counter_ns()
            step(content)
            spans.append((time.perf_counter_ns() - start) / 1000)
        costs.append(min(spans))
    costs.sort()
    print(f"    {name:20} {statistics.median(costs):8.1f} {costs[int(len(costs) * 0.99)]:8.1f}")


if __name__ == "__main__":
    main()
