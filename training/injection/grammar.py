"""Sentences from the grammars beside this file: written for this project, in the public domain (CC0-1.0).

A line after "%name" is one way to say it; <name> is said anew each time it occurs; (a|b|) is a choice and may nest;
"\\n" breaks a line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

FOLDER = Path(__file__).with_name("grammar")
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_RULE = re.compile(r"<([a-z]+)>")
_GAPS = re.compile(r" {2,}")

Rules = dict[str, list[str]]


def read_rules(name: str) -> Rules:
    """Return the rules of one file."""
    rules: Rules = {}
    lines: list[str] = []
    for line in _lines(name):
        if line.startswith("%"):
            lines = rules.setdefault(line[1:], [])
        else:
            lines.append(line)
    return rules


def read_languages() -> dict[str, tuple[list[str], list[str]]]:
    """Return the attacks and the honest sentences of each language."""
    languages: dict[str, tuple[list[str], list[str]]] = {}
    for line in _lines("languages.txt"):
        if line.startswith("["):
            attacks, honest = languages.setdefault(line[1:-1], ([], []))
        else:
            (attacks if line[0] == "!" else honest).append(line[2:])
    return languages


def read_wrappers() -> list[str]:
    """Return the wrappers, each with "{}" where the sentence goes."""
    return [line.replace("\\n", "\n").replace("\\t", "\t") for line in _lines("wrappers.txt")]


def say(rules: Rules, name: str, chance: Random) -> str:
    """Return one sentence of the rule `name`, in one of the usual ways to write it."""
    text = choose(_expand(rules, name, chance), chance)
    return text if chance.random() < 0.4 else _style(text, chance)


def choose(text: str, chance: Random) -> str:
    """Take one side of every choice, the innermost first."""
    while (match := _CHOICE.search(text)) is not None:
        text = text[: match.start()] + chance.choice(match[1].split("|")) + text[match.end() :]
    return _GAPS.sub(" ", text).replace(" ,", ",").replace(" .", ".").strip().replace("\\n", "\n")


def _expand(rules: Rules, name: str, chance: Random) -> str:
    # A rule in a choice that is not taken need not be said; saying it costs nothing but chance.
    line = chance.choice(rules[name])
    return _RULE.sub(lambda match: _expand(rules, match[1], chance) if match[1] in rules else match[0], line)


def _style(text: str, chance: Random) -> str:
    style = chance.randrange(6)
    if style < 3:
        text = text[:1].upper() + text[1:]
    if style in {2, 3}:
        text += chance.choice([".", "!", "!!", "?", "...", " please"])
    elif style == 4:
        text = text.upper()
    return text


def _lines(name: str) -> list[str]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("# ")]
