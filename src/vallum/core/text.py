"""How many tokens a text is, estimated from above.

No tokenizer: an owner's model has its own, and none is cheap enough to run before anybody is known to pay.  Bytes are
counted by class instead, at about 1 us for 10 KB.  The weights lie over what byte-pair vocabularies need; the error
measured against three of them is in docs/spending.md.
"""

from __future__ import annotations

LOWER = b"abcdefghijklmnopqrstuvwxyz \n"
DIGITS = b"0123456789"
NOT_ASCII = bytes(range(128, 256))


def tokens_of(text: str) -> int:
    """Estimate the tokens of `text`: letters and blanks 4 to one, digits 1, other signs 3 to two, other bytes 2."""
    if not text:
        return 0
    data = text.encode("utf-8", "surrogatepass")
    rest = data.translate(None, LOWER)
    plain = len(data) - len(rest)
    if not rest:
        return -(-plain // 4)
    marks = rest.translate(None, DIGITS)
    digits = len(rest) - len(marks)
    signs = len(marks.translate(None, NOT_ASCII))
    return -(-(3 * plain + 12 * digits + 8 * signs + 6 * (len(marks) - signs)) // 12)
