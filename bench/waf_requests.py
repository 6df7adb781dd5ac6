"""Attacks for `waf.py`, each put where an application would take it: nowhere is a prompt."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

HERE = Path(__file__).with_name("waf_data")
CHAT = "/v1/chat/completions"
PROMPT = {"model": "m", "messages": [{"role": "user", "content": "Say hello."}]}


class Request(NamedTuple):
    """One request, and what it is."""

    kind: str  # sqli, xss; honest, prompt
    where: str
    uri: str
    headers: dict[str, str]
    body: str
    sample: str


def request(kind: str, where: str, text: str) -> Request:
    """Put a text into a request."""
    uri, media, body = "/items?page=1", "", ""
    headers = {"host": "shop.example", "user-agent": "shop/1.0", "accept": "application/json"}
    match where:
        case "query":
            uri = f"/items?page=1&q={quote_plus(text)}"
        case "query, hardly encoded":
            uri = f"/items?q={quote(text, safe=SAFE)}&page=1"
        case "path":
            uri = f"/items/{quote(text, safe='')}"
        case "header":
            headers["x-tenant"] = " ".join(text.split())
        case "referer":
            headers["referer"] = f"https://shop.example/?q={quote(text)}"
        case "form":
            media, body = "application/x-www-form-urlencoded", f"page=1&name={quote_plus(text)}"
        case "multipart":
            media = "multipart/form-data; boundary=xxxx"
            body = (
                '--xxxx\r\ncontent-disposition: form-data; name="page"\r\n\r\n1\r\n'
                f'--xxxx\r\ncontent-disposition: form-data; name="name"\r\n\r\n{text}\r\n--xxxx--\r\n'
            )
        case _:
            uri, media = CHAT, "application/json"
            body = json.dumps(PROMPT | DOCUMENTS[where](text), ensure_ascii=False)
    if media:
        headers |= {"content-type": media, "content-length": str(len(body.encode()))}
    return Request(kind, where, uri, headers, body, text)


SAFE = "'\"<>()=;,/*!|`{}[]:@$"
DOCUMENTS: dict[str, Callable[[str], dict[str, object]]] = {
    "user": lambda text: {"user": text},
    "metadata": lambda text: {"metadata": {"note": text}},
    "json, nested": lambda text: {"metadata": {"deep": [{"messages": [{"role": "user", "content": text}]}]}},
    "key": lambda text: {"metadata": {text: "1"}},
    "prompt": lambda text: {"messages": [{"role": "user", "content": text}]},
}
PLACES = (
    "query", "query, hardly encoded", "path", "header", "referer", "form", "multipart", "user", "metadata",
    "json, nested", "key",
)  # fmt: skip


def attacks(*, held: bool) -> Iterator[Request]:
    """Yield each attack in three places."""
    chance = random.Random(5)
    for kind in ("sqli", "xss"):
        for text in payloads(kind, held=held):
            for where in chance.sample(PLACES, 3):
                yield request(kind, where, text)


def evasions(*, held: bool) -> Iterator[Request]:
    """Yield each attack in every dress that suits it, where that dress is worn; `sample` names the dress."""
    for kind in ("sqli", "xss"):
        for number, text in enumerate(payloads(kind, held=held)):
            for at, (name, (where, dress)) in enumerate(DRESSES.items()):
                if (at + number) % 2 or (name.endswith("(sql)") and kind != "sqli"):
                    continue
                worn = dress(text)
                if worn != text:
                    yield request(kind, where, worn)._replace(sample=f"{name}: {text}")


def payloads(kind: str, *, held: bool) -> list[str]:
    """Return the attacks of one kind, those that were tuned on or those that were not."""
    name = f"{kind}_{'held' if held else 'seen'}.txt"
    return (HERE / name).read_text(encoding="utf-8").splitlines()


def _case(text: str) -> str:
    return "".join(sign.upper() if at % 2 else sign.lower() for at, sign in enumerate(text))


DRESSES: dict[str, tuple[str, Callable[[str], str]]] = {
    "percent twice": ("query", lambda text: quote(text, safe="")),
    "percent three times": ("form", lambda text: quote(quote(text, safe=""), safe="")),
    "%u": ("query", lambda text: "".join(f"%u{ord(sign):04x}" if sign in "'\"<>()=" else sign for sign in text)),
    "JSON escapes": ("user", lambda text: "".join(f"\\u{ord(sign):04x}" for sign in text)),
    "hex escapes": (
        "metadata",
        lambda text: "".join(f"\\x{ord(sign):02x}" if not sign.isalnum() else sign for sign in text),
    ),
    "decimal entities": (
        "form",
        lambda text: "".join(f"&#{ord(sign)};" if sign in "'\"<>()=j" else sign for sign in text),
    ),
    "hex entities": ("metadata", lambda text: "".join(f"&#x{ord(sign):x}" + ";" for sign in text)),
    "long entities": ("query", lambda text: "".join(f"&#{ord(sign):07}" if sign in "'\"<>" else sign for sign in text)),
    "full width": (
        "user",
        lambda text: "".join(chr(ord(sign) + 0xFEE0) if sign in "'\"<>()=/" else sign for sign in text),
    ),
    "mixed case": ("query", _case),
    "comments for blanks (sql)": ("query", lambda text: text.replace(" ", "/**/")),
    "comments with words (sql)": ("form", lambda text: text.replace(" ", "/*x'y*/")),
    "versioned comments (sql)": (
        "query",
        lambda text: " ".join(
            f"/*!50000{word}*/" if word.isalpha() and len(word) > 2 else word for word in text.split(" ")
        ),
    ),
    "line breaks for blanks": ("form", lambda text: text.replace(" ", "\n")),
    "comment and line break (sql)": ("query", lambda text: text.replace(" ", "--x\n", 2).replace("--x\n", " --x\n")),
    "tabs for blanks": ("metadata", lambda text: text.replace(" ", "\t")),
    "vertical tabs for blanks (sql)": ("query", lambda text: text.replace(" ", "\v")),
    "no-break spaces (sql)": ("user", lambda text: text.replace(" ", "\xa0")),
    "brackets for blanks (sql)": (
        "query",
        lambda text: text.replace(" OR ", "||").replace(" or ", "||").replace(" AND ", "&&").replace(" and ", "&&"),
    ),
    "zero bytes": ("query", lambda text: "\0".join(text[at : at + 3] for at in range(0, len(text), 3))),
    "base64": ("metadata", lambda text: base64.b64encode(text.ljust(24).encode()).decode()),
    "zero-width": ("user", "\u200b".join),
}
