"""The catalogue: what each probe asks, how grave a weakness is, how to mend it, and where the standards put it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

HERE = Path(__file__).parent
Pace = Literal["quick", "full", "waiting"]
Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
STANDARDS = {
    "atlas": "MITRE ATLAS",
    "api": "OWASP API Security Top 10 2023",
    "llm": "OWASP Top 10 for LLM Applications 2026",
    "aisvs": "OWASP AISVS 1.0",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands in the catalogue about one probe."""

    family: str
    title: str
    asks: str
    severity: Severity
    vallum: str  # how to mend it in a policy
    elsewhere: str
    name: str  # family.probe
    pace: Pace = "quick"  # quick: in every run; full: not in quick ones; waiting: with the others that wait, at the end
    needs: str = ""  # the option without which it is not asked
    standards: Mapping[str, list[str]] = field(default_factory=dict)


@cache
def read_catalogue() -> Mapping[str, Facts]:
    """Return the facts of all probes by name, in the order in which they run."""
    document = tomllib.loads((HERE / "catalogue.toml").read_text("utf-8"))
    return {
        f"{family}.{name}": _facts(family, name, entry)
        for family, entries in document.items()
        for name, entry in entries.items()
    }


def _facts(family: str, name: str, entry: dict[str, Any]) -> Facts:
    standards = {standard: entry.pop(standard, []) for standard in STANDARDS}
    return Facts(family=family, name=f"{family}.{name}", standards=standards, **entry)


@cache
def read_corpus(name: str) -> Mapping[str, Any]:
    """Return a corpus: the data that the probes of a family send."""
    return tomllib.loads((HERE / "corpora" / f"{name}.toml").read_text("utf-8"))
