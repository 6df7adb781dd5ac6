"""What the text checks catch, what they refuse wrongly and what they cost, on labelled data.

    python bench/detection.py --injection DIR --waf FILE

DIR holds `train.jsonl` and `dev.jsonl` (`text`, `label`, `kind`, `source`, `source_in_train`).  Patterns are tuned on
train; the judged set is those rows of dev whose source has no row in train.  FILE holds web requests, one JSON object
a line (`family`, `uri`, `data`, `headers`, `expect`): rows of the family `sqli` that some rule must match are attacks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from vallum.checks.prompt_injection import PromptInjection, PromptInjectionConfig, Sensitivity
from vallum.checks.sqli import Sqli, SqliConfig
from vallum.core.content import Content

Row = dict[str, Any]
Inspect = Callable[[Content], object | None]

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
        injection = PromptInjection(PromptInjectionConfig(sensitivity=sensitivity)).inspect
        for name, rows in (("train", train), ("dev", dev), ("dev, unseen sources", judged)):
            print(f"\nprompt_injection {sensitivity}: {name}")
            _print_shares(rows, lambda row: injection(Content(row["text"])), lambda row: _kind(row))

    sqli = Sqli(SqliConfig()).inspect
    requests = [row for row in _rows(arguments.waf) if row["family"] == "sqli" and row["expect"]]
    print("\nsqli: attack requests by rule file")
    _print_shares(requests, lambda row: sqli(request_content(row)), lambda row: f"1 {row['file']}")
    print("\nsqli: honest text")
    honest = [row for row in (*train, *dev) if not row["label"]]
    _print_shares(honest, lambda row: sqli(Content(row["text"])), lambda row: _kind(row))

    texts = [row["text"] for row in honest]
    injection = PromptInjection(PromptInjectionConfig()).inspect
    print("\nmicroseconds per honest text, readings included (median, p99)")
    for name, inspect in (("prompt_injection", injection), ("sqli", sqli), ("readings alone", lambda c: c.readings)):
        for label, some in (("all", texts), ("0.8 to 1.2 kB", [text for text in texts if 800 <= len(text) <= 1200])):
            _print_cost(f"{name}, {label}", inspect, some)


def request_content(row: Row) -> Content:
    """Return what a request carries to the application: query and form arguments, decoded, and unusual headers."""
    query = parse_qsl(urlsplit(row["uri"]).query, keep_blank_values=True)
    form = row["data"] or ""
    # A body that is no form is one text; so is what parse_qsl would cut at a semicolon or drop.
    fields = dict(parse_qsl(form, keep_blank_values=True)) if "=" in form else unquote_plus(form)
    headers = {
        name: value
        for name, value in row["headers"].items()
        if name.lower() not in PLAIN_HEADERS and "CRS test agent" not in value
    }
    return Content({"body": fields, "headers": headers, "path": unquote_plus(urlsplit(row["uri"]).path)}, query)


def _rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _kind(row: Row) -> str:
    return f"{row['label']} {row['kind']}"


def _print_shares(rows: Iterable[Row], inspect: Callable[[Row], object | None], kind: Callable[[Row], str]) -> None:
    seen: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    for row in rows:
        hit = inspect(row) is not None
        for name in (kind(row), f"{kind(row)[0]} all"):
            seen[name] += 1
            flagged[name] += hit
    for name in sorted(seen, key=lambda name: (name[0], name.endswith(" all"), name)):
        label = "true positives " if name[0] == "1" else "false positives"
        print(f"  {name[2:]:24} {label} {flagged[name]:5} of {seen[name]:5}  {flagged[name] / seen[name]:7.2%}")


def _print_cost(name: str, inspect: Inspect, texts: list[str]) -> None:
    costs = []
    for text in texts:
        inspect(Content(text))  # warm: code and caches, not this content's readings
        content = Content(text)
        start = time.perf_counter_ns()
        inspect(content)
        costs.append((time.perf_counter_ns() - start) / 1000)
    costs.sort()
    print(f"  {name:32} {statistics.median(costs):8.1f} {costs[int(len(costs) * 0.99)]:9.1f}   n = {len(costs)}")


if __name__ == "__main__":
    main()
