"""YAML with comments that say why, in a stable order, from which no value can break out.

Rule: a value is written plainly only where no reader of YAML could take it for anything else; every other one stands in
      double quotes, with each sign escaped that is not plainly printable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
# What YAML 1.1 takes for a truth or for nothing.
WORDS = {"y", "n", "yes", "no", "true", "false", "on", "off", "null"}
WIDTH = 110  # of a comment's line


class Said(NamedTuple):
    """A value, and above it in the text why it is so."""

    why: str
    value: Any


def write_yaml(tree: Any, head: str = "") -> str:
    """Return `tree`, of mappings, sequences, scalars and what was `Said`, below a comment."""
    return "\n".join([*_comment(head, ""), *_lines(tree, "")]) + "\n"


def quote(text: str) -> str:
    """Return `text` as a scalar."""
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    return '"' + "".join(_escape(sign) for sign in text) + '"'


def plain(text: str) -> str:
    """Return `text` for a comment: one that cannot end it."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _escape(sign: str) -> str:
    if sign in '"\\':
        return "\\" + sign
    if sign.isprintable():
        return sign
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _comment(why: str, indent: str) -> list[str]:
    lines: list[str] = []
    for paragraph in why.splitlines() if why else []:
        line = ""
        for word in plain(paragraph).split(" "):
            if line and len(indent) + len(line) + len(word) > WIDTH:
                lines.append(f"{indent}# {line}".rstrip())
                line = word
            else:
                line = f"{line} {word}" if line else word
        lines.append(f"{indent}# {line}".rstrip())
    return lines


def _lines(tree: Any, indent: str) -> list[str]:
    lines: list[str] = []
    if isinstance(tree, Mapping):
        for key, entry in tree.items():
            why, value = entry if isinstance(entry, Said) else ("", entry)
            lines += [*_comment(why, indent), *_entry(f"{indent}{quote(str(key))}:", value, indent)]
    else:
        for item in tree:
            why, value = item if isinstance(item, Said) else ("", item)
            lines += _comment(why, indent)
            if _is_scalar(value):
                lines.append(f"{indent}- {_scalar(value)}")
            else:
                first, *rest = _lines(value, indent + "  ")
                while first.lstrip().startswith("#"):  # what is said of the first entry comes before the dash
                    lines.append(indent + first.removeprefix(indent + "  "))
                    first, *rest = rest
                lines += [f"{indent}- {first.removeprefix(indent + '  ')}", *rest]
    return lines


def _entry(key: str, value: Any, indent: str) -> list[str]:
    if _is_scalar(value):
        return [f"{key} {_scalar(value)}"]
    return [key, *_lines(value, indent + "  ")]


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, Mapping | Sequence) or isinstance(value, str) or not value


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence):
        return "[]"
    return str(value)
