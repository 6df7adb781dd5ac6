"""Refuse what rules of ModSecurity refuse: the Core Rule Set, or your own.

What it stops
    What the rules stop: with the Core Rule Set also commands, file names and code of PHP, Java and Node, which
    `sqli` and `xss` do not look for.
Config
    `rules`: files of rules, or folders of them (their `*.conf`, by name), in the order in which they are to be read;
    the Core Rule Set wants its `crs-setup.conf` first.  Of a folder, three kinds are left out: REQUEST-910 (there is
    no database of addresses), REQUEST-912 (it would count all callers as one) and RESPONSE-*.  `prompts: skip |
    search`: whether what is said to the model is handed over as well.  `mode: enforce | shadow`.  Takes the extra
    `vallum[modsecurity]`; Debian's package `modsecurity-crs` has the Core Rule Set.
Cost
    With the Core Rule Set 3.3.4 at level 1, 2 to 6 ms a kilobyte of text and up to 14 s a megabyte: five to
    twenty times `sqli` and `xss` together.  A refusal takes up to three times as long, to find its place.  The
    interpreter's lock is held meanwhile, so the worker serves nobody else.  12 MB a set of rules, each of which takes
    0.1 s to read.  Bound it by `request.max_bytes`.
Misses
    The rules see one POST of a form, whose arguments are the request's strings and whose other parts are ours: what
    they say of methods, paths, headers, names of arguments, uploads and addresses never holds.  An attack split over
    two strings.  With `prompts: skip`, all that the format of the route gives to the model.  At level 1 the Core Rule
    Set finds fewer injections of SQL and scripts than `sqli` and `xss`, and takes more honest text amiss:
    docs/waf_detection.md has the figures.  Every string is looked at, however many: SecArgumentsLimit, body limits,
    SecRuleEngine and audit logs of your files are overruled.  Rules that look names up in the DNS (`@rbl`) or run
    programs would hold up every other request: leave them out.
Example
    checks:
      - {type: modsecurity, rules: [/etc/modsecurity/crs/crs-setup.conf, /usr/share/modsecurity-crs/rules]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal
from urllib.parse import quote_plus

import msgspec
from msgspec import Meta

from vallum.core.decision import Finding
from vallum.core.policy import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from vallum.core.content import Content

MISSING = "libmodsecurity is missing: pip install 'vallum[modsecurity]'"

# What is said first holds: a later file of rules cannot change it.
SETTINGS = """
SecRuleEngine On
SecStatusEngine Off
SecAuditEngine Off
SecDebugLogLevel 0
SecRequestBodyAccess On
SecRequestBodyLimit 1073741824
SecRequestBodyNoFilesLimit 1073741824
SecRequestBodyLimitAction Reject
SecArgumentsLimit 100000000
"""
HEADERS = {
    "host": "vallum.invalid",
    "user-agent": "vallum",
    "accept": "*/*",
    "content-type": "application/x-www-form-urlencoded",
}
MOST_NAMED = 5
"""Rules that a record names."""


class ModsecurityConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="modsecurity", kw_only=True
):
    """Which rules, and whose words they see."""

    rules: Annotated[list[str], Meta(min_length=1, description="files of rules, or folders of them, in this order")]
    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    prompts: Annotated[
        Literal["skip", "search"], Meta(description="what is said to the model: it may well be about attacks")
    ] = "skip"


class Ruleset:
    """Rules as they were read, which any number of threads may ask; ModSecurity's own lock is Python's."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Read the rules.  Raises ValueError without the library, and for rules that say nothing or too much."""
        try:
            import libmodsecurity  # noqa: PLC0415  an extra of Vallum
        except ImportError:
            raise ValueError(MISSING) from None
        self._engine = libmodsecurity.ModSecurity()
        self._engine.set_rule_message_callback(lambda _message: None)  # else it writes to standard error
        self._rules = libmodsecurity.RulesSet()
        self._rules.load(SETTINGS)
        count = 0
        for file in files:
            added = self._rules.load_from_uri(str(file))
            if added < 0:
                raise ValueError(f"{file.name}: {' '.join(self._rules.get_parser_error().split())[-300:]}")
            count += added
        if count == 0:
            raise ValueError("holds no rule")
        if refusal := self.ask(("hello",)):
            hint = ": name its crs-setup.conf before it" if "901001" in refusal else ""
            raise ValueError(f"refuses every request, by {refusal}{hint}")

    def ask(self, strings: Sequence[str]) -> str:
        """Say which rules refuse a form with these values; nothing where none does."""
        pairs = [f"{number}={quote_plus(text, errors='surrogatepass')}" for number, text in enumerate(strings)]
        body = "&".join(pairs).encode()
        with self._engine.transaction(self._rules) as transaction:
            transaction.process_connection("192.0.2.1", 40000, "192.0.2.2", 80)  # nobody's (RFC 5737)
            transaction.process_uri("/", "POST", "1.1")
            for name, value in HEADERS.items():
                transaction.add_request_header(name, value)
            transaction.add_request_header("content-length", str(len(body)))
            transaction.process_request_headers()
            transaction.append_request_body(body)
            transaction.process_request_body()
            intervention = transaction.intervention()
            if intervention is None or not intervention.disruptive:
                return ""
            # Ids alone: what a rule says may hold the value, and is often cut within a letter, which Python refuses.
            rules = list(dict.fromkeys(message.rule_id for message in transaction.get_rule_messages()))
        more = len(rules) - MOST_NAMED
        names = ", ".join(map(str, rules[:MOST_NAMED])) or "that log nothing"
        return f"rules {names}" + (f" and {more} more" if more > 0 else "")


class Modsecurity:
    """The check; pure, but for what the rules themselves do."""

    type: ClassVar[str] = "modsecurity"

    def __init__(self, config: ModsecurityConfig, files: Iterable[Path]) -> None:
        """Read the rules of `files`.  Raises ValueError, which says what is wrong with them."""
        self.config = config
        self._rules = Ruleset(files)

    def inspect(self, content: Content) -> Finding | None:
        """Return which rules refuse the strings, all together."""
        strings = (*content.values, *content.keys) if self.config.prompts == "search" else content.unsaid
        texts = tuple(dict.fromkeys(filter(None, strings)))
        if not texts:
            return None
        refusal = self._rules.ask(texts)
        return Finding(rule=self.type, where=self._where(content, texts), detail=refusal) if refusal else None

    def _where(self, content: Content, texts: tuple[str, ...]) -> str:
        """Halve the strings down to one that is refused by itself; nothing where only several are, together."""
        while len(texts) > 1:
            middle = len(texts) // 2
            texts = next((half for half in (texts[:middle], texts[middle:]) if self._rules.ask(half)), ())
        return content.locate(texts[0].__eq__, unsaid=self.config.prompts == "skip") if texts else ""
