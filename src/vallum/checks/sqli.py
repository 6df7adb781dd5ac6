"""Find SQL injection in the strings of a request.

What it stops
    Strings that break out of a quoted or numeric place in somebody's query: tautologies, UNION SELECT, stacked
    statements, comments that cut a query off, timing and error functions, probes of the catalogue.  They are looked
    for in the text as sent, normalised and decoded, with SQL comments taken out.
Config
    `transforms`: readings that must be among those looked at: `url_decode`, `html_decode`, `base64_decode`,
    `unicode_normalise`.  All of them always are.  `mode: shadow` records without refusing.
Cost
    Patterns compiled once into one automaton; about 3 us for 1 KB.
Misses
    SQL that breaks out of nothing: a whole honest-looking statement passes, so that questions about SQL do.  Dialects
    beyond MySQL, PostgreSQL, SQL Server, Oracle and SQLite.  Injection that needs no key word, such as a lone quote.
Example
    checks:
      - {type: sqli, transforms: [url_decode]}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from vallum.checks.patterns import Pattern, PatternSet
from vallum.core.decision import Finding
from vallum.core.policy import Mode
from vallum.core.reading import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.core.content import Content

Transform = Literal["url_decode", "html_decode", "base64_decode", "unicode_normalise"]
THRESHOLD = 1.0

# Pieces of the patterns below.  G: what may stand between two words (comments are gone by then).
G = r"[\s+(]{1,8}"
O = r"[\s+(]{0,8}"  # noqa: E741  the optional form of G
QUOTE = r"['\"`]"
OUT = rf"(?:{QUOTE}\s{{0,4}}[)\s]{{0,4}}|\d\s{{0,4}}[)\s]{{0,4}}|\)\s{{0,4}})"  # the end of a quoted or numeric place
AND_OR = r"(?:or|and|xor|\|\||&&|having|where|not|div)"
EQUALS = r"(?:=|<=>|<>|!=|<|>|like|rlike|regexp|in|is)"
CUT = r"(?:--|#|/\*|;%00)"  # what cuts the rest of a query off
SLEEP = r"(?:pg_sleep|sleep|benchmark|randomblob|dbms_pipe\.receive_message|dbms_lock\.sleep|generate_series)"

# Weights add up over families; 1.0 is a finding.  Words alone weigh little, words after a broken quote much.
PATTERNS = (
    Pattern("tautology.quoted", 1.0, rf"{QUOTE}\s{{0,4}}\)?\s{{0,4}}{AND_OR}{O}{QUOTE}[\w%]{{0,20}}{QUOTE}{O}(?:=|<=>|<>|!=|like){O}{QUOTE}"),
    Pattern("tautology.number", 1.0, rf"{QUOTE}\s{{0,4}}\)?\s{{0,4}}{AND_OR}{O}{QUOTE}?-?\d[\d.]{{0,8}}{QUOTE}?\s{{0,4}}{EQUALS}{O}{QUOTE}?-?\d"),
    Pattern("tautology.bare", 0.5, rf"\b{AND_OR}{G}-?\d{{1,6}}\s{{0,4}}(?:=|<=>|like|<|>){O}-?\d{{1,6}}"),
    Pattern("start.after_number", 0.5, rf"^-?\d{{1,6}}\s{{0,4}}\)?\s{{0,4}}{AND_OR}{G}"),
    Pattern("tautology.true", 1.0, rf"{QUOTE}\s{{0,4}}\)?\s{{0,4}}{AND_OR}{G}(?:true|false|null|not null|exists)\b"),
    Pattern("tautology.number_cut", 1.0, rf"{QUOTE}\s{{0,4}}\)?\s{{0,4}}(?:or|and|xor|\|\||&&){O}\d{{1,6}}{O}{CUT}"),
    Pattern("tautology.empty", 1.0, rf"{QUOTE}\s{{0,4}}(?:=|\|\||<=>)\s{{0,4}}{QUOTE}{{1,2}}\s{{0,4}}(?:or|and|--|#|$)"),
    Pattern("break.word", 0.4, rf"{OUT}{AND_OR}\b"),
    Pattern("break.statement", 0.4, rf"{OUT};"),
    Pattern("cut.value", 1.0, r"^[^\s'\"]{0,64}['\"]\)?\s{0,2}(?:--|#|/\*|;--)[\s+-]{0,4}$"),
    Pattern("cut.after_break", 1.0, rf"^[^'\"\n]{{0,60}}{QUOTE}[)\s]{{0,4}}(?:or|and|xor|\|\||&&)[\s(+][^'\"\n]{{1,80}}(?:--|#)[\s+-]{{0,4}}$"),
    Pattern("cut.end", 0.4, r"(?:[^-\s]\s{0,4}--[\s+-]{0,4}|\S#|;%00|/\*)$"),
    Pattern("union.select", 0.6, rf"\bunion{G}(?:all{G}|distinct{G})?select\b"),
    Pattern("union.broken", 1.0, rf"{OUT}union{G}(?:all{G}|distinct{G})?select\b"),
    Pattern("union.list", 1.0, rf"\bunion{G}(?:all{G}|distinct{G})?select{G}(?:null|\d{{1,6}}|@@|char|0x|{QUOTE}){O}(?:,|--|#|from)"),
    Pattern("stacked.schema", 1.0, rf"(?:{OUT}|^);\s{{0,8}}(?:drop|truncate|alter|create)\s{{1,8}}(?:table|database|schema|view|index|user|login|function|procedure|trigger)\b"),
    Pattern("stacked.data", 1.0, rf"(?:{OUT}|^);\s{{0,8}}(?:insert\s{{1,8}}into|delete\s{{1,8}}from|update\s{{1,8}}\S{{1,40}}\s{{1,8}}set|replace\s{{1,8}}into|truncate|select\b|declare\s{{1,8}}@|exec(?:ute)?\b|shutdown\b|waitfor\b|merge\b|grant\b|copy\b)"),
    Pattern("stacked.drop", 0.6, r";\s{0,8}(?:drop|truncate)\s{1,8}(?:table|database)\b"),
    Pattern("time.sleep", 1.0, rf"(?:{AND_OR}|if|case|when|then|select|;|\+|,|{QUOTE}|\))\s{{0,4}}[(\s+-]{{0,8}}{SLEEP}\s{{0,4}}\(\s{{0,4}}{QUOTE}?\d"),
    Pattern("time.sleep_alone", 1.0, rf"^\s{{0,4}}{SLEEP}\s{{0,4}}\(\s{{0,4}}{QUOTE}?\d[^\n]{{0,40}}$"),
    Pattern("time.waitfor", 1.0, rf"waitfor{G}(?:delay|time){O}{QUOTE}"),
    Pattern("error.function", 0.8, r"\b(?:extractvalue|updatexml|gtid_subset|json_keys|st_latfromgeohash|procedure\s{1,4}analyse)\s{0,4}\("),
    Pattern("error.cast", 0.5, r"\b(?:cast|convert)\s{0,4}\(\s{0,4}(?:\(\s{0,4}select|@@|version|char|0x|int\s{0,4},)"),
    Pattern("os.command", 1.0, r"\bxp_(?:cmdshell|regread|regwrite|dirtree|fileexist|servicecontrol|loginconfig|availablemedia|enumdsn|terminate_process|makecab|ntsec_enumdomains)\b"),
    Pattern("os.procedure", 0.6, r"\b(?:sp_(?:executesql|oacreate|oamethod|password|makewebtask|addextendedproc|configure|adduser|addlogin)|utl_(?:http|inaddr|file)\.|dbms_(?:java|ldap|pipe|lock|xmlgen)\b|openrowset|opendatasource|openquery)\b"),
    Pattern("os.file", 0.8, rf"\b(?:load_file{O}\(|into{G}(?:outfile|dumpfile){O}{QUOTE}|load{G}data{G}infile|pg_read_file|lo_import)"),
    Pattern("catalogue.schema", 0.6, r"\binformation_schema\s{0,2}(?:\.|`\.`|\])\s{0,2}`?(?:tables|columns|schemata)"),
    Pattern("catalogue.table", 0.6, r"\b(?:sqlite_master|sqlite_temp_master|sysobjects|syscolumns|sysusers|sys\.tables|sys\.databases|pg_catalog\.|pg_shadow|pg_user|all_tables|user_tables|all_users|mysql\.user|mysql\.db|msysaces|msysobjects|v\$version|db_name\s{0,2}\(|table_schema|table_name)\b"),
    Pattern("catalogue.variable", 0.6, r"@@(?:version|datadir|hostname|basedir|global|servername|language|spid|tmpdir|port|pack_received)\b"),
    Pattern("catalogue.function", 0.6, rf"(?:select|,|\||=|\(|and|or|{QUOTE})\s{{0,4}}[(\s]{{0,4}}(?:version|user|database|schema|current_user|system_user|session_user|current_database|last_insert_id|row_count|connection_id|found_rows|utc_time)\s{{0,4}}\(\s{{0,4}}\)"),
    Pattern("query.nested", 0.6, rf"(?:{AND_OR}|=|,|\(|exists|\+){O}\(\s{{0,4}}select\b"),
    Pattern("query.from", 0.3, r"\bselect\b.{1,120}\bfrom\b"),
    Pattern("query.order", 0.7, rf"{OUT}(?:order|group){G}by{G}\d{{1,3}}"),
    Pattern("query.having", 0.6, rf"{OUT}(?:having|limit|procedure|offset|rlike|between){G}"),
    Pattern("query.case", 0.6, rf"(?:{AND_OR}|select|\(){G}case{G}when\b"),
    Pattern("query.if", 0.6, rf"(?:{AND_OR}|select|,|\(){O}if\s{{0,4}}\(.{{1,60}},.{{1,40}},"),
    Pattern("code.char", 0.5, r"\b(?:char|chr|nchar)\s{0,4}\(\s{0,4}\d{2,3}\s{0,4}[,)]"),
    Pattern("code.functions", 0.4, r"\b(?:substring|substr|mid|ascii|ord|unhex|hex|concat|concat_ws|group_concat|make_set|elt|strcmp|lpad|bin|ifnull|nullif|coalesce|instr|locate|to_number|to_base64|from_base64|greatest|least|load_extension|name_const|format|reverse|length|char_length|count|sha1|md5|encode|ord|conv)\s{0,4}\(.{0,60}(?:select|@@|,|database|user|version)"),
    Pattern("code.hex", 0.4, r"(?:=|\(|,|\s|\+)0x[0-9a-f]{6,}"),
    Pattern("code.joined", 0.4, rf"{QUOTE}\s{{0,4}}(?:\|\||\+)\s{{0,4}}(?:\(|{QUOTE}|char|chr|0x|select|\w{{1,20}}\()"),
    Pattern("code.versioned", 1.0, r"/\*!\d{0,6}\s{0,4}(?:union|select|and|or|drop|insert|from|sleep|benchmark|where|concat|exec)\b"),
)  # fmt: skip

_COMMENT = re.compile(r"/\*(?:!\d{0,6})?.{0,200}?\*/", re.DOTALL)


class SqliConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="sqli", kw_only=True):
    """Look for SQL injection."""

    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    transforms: Annotated[list[Transform], Meta(description="readings that must be looked at; all always are")] = []


class Sqli:
    """The check; pure and reentrant."""

    type: ClassVar[str] = "sqli"

    def __init__(self, config: SqliConfig) -> None:
        """Compile the patterns."""
        self.config = config
        self._patterns = PatternSet(PATTERNS)

    def inspect(self, content: Content) -> Finding | None:
        """Weigh every reading of the text, with and without SQL comments."""
        for how, text in content.readings:
            found = self._weigh(text)
            if found is not None:
                score, names = found
                where = content.locate(lambda value: any(self._weigh(reading.text) for reading in read(value)))
                return Finding(self.type, where, f"{names} in {how}, score {score:g}", score)
        return None

    def _weigh(self, text: str) -> tuple[float, str] | None:
        for variant in _uncommented(text):
            heaviest: dict[str, tuple[float, str]] = {}
            for name, weight, _ in self._patterns.scan(variant):
                family = name.partition(".")[0]
                heaviest[family] = max(heaviest.get(family, (0.0, "")), (weight, name))
            score = sum(weight for weight, _ in heaviest.values())
            if score >= THRESHOLD:
                return score, ",".join(name for _, name in heaviest.values())
        return None


def _uncommented(text: str) -> Iterator[str]:
    """Yield the text, and where it holds comments: with a space for each, as a database reads it, and without."""
    yield text
    if "/*" in text:
        yield _COMMENT.sub(" ", text.replace("*/", " */"))
        yield _COMMENT.sub("", text)
