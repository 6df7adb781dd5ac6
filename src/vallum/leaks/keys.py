"""Find secrets in an answer: keys of providers and of this gateway, private keys, tokens.

What it stops
    A model server, a tool or a retrieved document that says a credential: OpenAI, Anthropic, AWS, GitHub, Google,
    Slack, Stripe, Hugging Face, keys of this gateway, private keys in PEM, JSON Web Tokens.  Found in the pieces of
    a stream as well, however it is cut.
Config
    `action`: redact (the secret is replaced) or refuse (the answer is withheld, a stream ended).  `mode`.
Cost
    About 3 us for an answer of 1 kB.  In a stream the last word is held until it ends; a piece without a long word
    costs about 1 us and no scan.
Misses
    Secrets without a form of their own (passwords, hexadecimal keys), or written with spaces, reversed or encoded;
    one that is split over two members of an answer; one over 2,048 characters in a stream, of which the head is
    replaced and the rest swallowed as far as its characters go.
Example
    response:
      leaks:
        - {type: keys}

What has a checksum is held against it (keys of this gateway and of GitHub: CRC-32); of a JSON Web Token the header is
read.  The others are known by prefix, length and alphabet.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Meta

from vallum.core.apikey import ALPHABET, CHECKSUM_CHARS, SECRET_CHARS, checksum
from vallum.core.leaks import Leak, Scan
from vallum.core.policy import LeakAction, Mode
from vallum.leaks.spans import SpanSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.content import Content

WORD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.+/=:"
SHORTEST = 16
PEM_BEGIN = "-----BEGIN"


class KeysConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="keys", kw_only=True):
    """Secrets: keys, tokens, private keys."""

    action: Annotated[LeakAction, Meta(description="redact: replace it; refuse: withhold the answer")] = (
        LeakAction.REDACT
    )
    mode: Annotated[Mode, Meta(description="shadow: record what would be replaced or refused")] = Mode.ENFORCE


class Secret(NamedTuple):
    """One kind of secret: its name, its pattern, and what proves a candidate."""

    name: str
    expression: str
    proof: Callable[[str], bool] | None = None
    more: str = WORD  # the characters that it may go on with


def is_ours(text: str) -> bool:
    """Say whether this is a key of the gateway: by its CRC-32."""
    secret = text[-SECRET_CHARS - CHECKSUM_CHARS :]
    return secret.endswith(checksum(secret[:SECRET_CHARS]))


def is_githubs(text: str) -> bool:
    """Say whether this is a token of GitHub: its last six characters are the CRC-32 of what is before them."""
    body = text.partition("_")[2]
    number = crc32(body[:-6].encode())
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = ALPHABET[rest] + digits
    return body[-6:] == digits.rjust(6, "0")


def is_token(text: str) -> bool:
    """Say whether this is a JSON Web Token: its header is a JSON object that names an algorithm."""
    header = text.partition(".")[0]
    try:
        return "alg" in json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except ValueError:
        return False


def is_mixed(text: str) -> bool:
    """Say whether there are digits and letters in what follows the prefix: a name of words has none."""
    tail = text[8:]
    return any(sign.isdigit() for sign in tail) and any(sign.isalpha() for sign in tail)


PEM_SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=- \r\n\\"
SECRETS = (
    Secret("vallum", rf"[A-Za-z0-9_]{{2,32}}_[0-9A-Za-z]{{{SECRET_CHARS + CHECKSUM_CHARS}}}", is_ours),
    Secret("github", r"gh[pousr]_[0-9A-Za-z]{36}", is_githubs),
    Secret("github", r"github_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}"),
    Secret("anthropic", r"sk-ant-[a-z0-9]{3,8}-[A-Za-z0-9_-]{20,}", is_mixed),
    Secret("openai", r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}", is_mixed),
    Secret("aws", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"),
    Secret("google", r"AIza[0-9A-Za-z_-]{35}"),
    Secret("slack", r"xox[abeoprs]-[0-9A-Za-z-]{10,}", is_mixed),
    Secret("stripe", r"(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}"),
    Secret("stripe", r"whsec_[0-9A-Za-z]{24,}"),
    Secret("huggingface", r"hf_[0-9A-Za-z]{34}"),
    Secret("jwt", r"eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{4,}\.[0-9A-Za-z_-]*", is_token),
    Secret("pem", r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----", more=PEM_SIGNS),
)
PEM_END = "PRIVATE KEY-----"


class Keys:
    """Looks for secrets."""

    type: ClassVar[str] = "keys"

    def __init__(self, _config: KeysConfig | None = None) -> None:
        """Compile the patterns."""
        self._spans = SpanSet([secret.expression for secret in SECRETS])

    def watch(self, _content: Content | None) -> Callable[[str, bool], Scan]:
        """Return what looks at an answer."""
        return self.scan

    def scan(self, text: str, ended: bool) -> Scan:
        """Find every secret; hold the last word, and a private key that has begun."""
        size = len(text)
        safe = size if ended else len(text.rstrip(WORD))
        begun = text.rfind(PEM_BEGIN)
        if begun >= 0 and PEM_END not in text[begun + 40 :]:
            safe = min(safe, begun)
        elif not ended and begun < 0 and size < SHORTEST:
            return Scan((), safe)
        return Scan(self.find(text), size if ended else safe)

    def find(self, text: str) -> list[Leak]:
        """Find every secret in a text that is whole."""
        leaks: list[Leak] = []
        for start, end, number in self._spans.find(text):
            secret = SECRETS[number]
            if secret.proof is not None and not secret.proof(text[start:end]):
                continue
            if secret.name == "pem":
                end = _end_of_key(text, end)  # noqa: PLW2901  a private key is all of it
            leaks.append(Leak(start, end, secret.name, secret.more))
        return leaks


def _end_of_key(text: str, body: int) -> int:
    """Return where a private key ends: after its last line, or where its characters do."""
    closed = text.find(PEM_END, body)
    if closed >= 0 and "-----END" in text[body:closed]:
        return closed + len(PEM_END)
    return len(text) - len(text[body:].lstrip(PEM_SIGNS))
