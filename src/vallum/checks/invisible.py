"""Characters that nobody sees: which of them honest text needs, and where.

Rule: an invisible character stays where its script or its emoji needs it, between the letters that it joins or parts,
and nowhere else.  One that stands where it does nothing carries something for the model that its reader does not see.
"""

from __future__ import annotations

import re

# Bidirectional marks, which order what is mixed and hide nothing, are no suspects: U+200E, U+200F, U+061C.
SUSPECT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls, less tab and line ends
    "\u00ad\u034f\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
OVERRIDES = "\u202d\u202e"
OPENERS = {"\u202a": "\u202c", "\u202b": "\u202c", "\u2066": "\u2069", "\u2067": "\u2069", "\u2068": "\u2069"}
CLOSERS = frozenset(OPENERS.values())
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
# Scripts whose letters are joined or kept apart: Arabic and its neighbours, of India, of South-East Asia, Mongolian.
JOINING = re.compile(
    "[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1b00-\u1bff\ua840-\ua9df\ufb50-\ufdff\ufe70-\ufefc]"
)
SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u3040-\u30ff\u4e00-\u9fff\uaa60-\uaa7f]")
IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
PICTURE = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u27bf\u2934\u2935\u2b05-\u2b55\u3030"
    "\u303d\u3297\u3299\U0001f000-\U0001faff\ufe0f]"
)
VARIED = re.compile("[#*0-9\u0023-\u2bff\u1000-\u109f\u3000-\u303f\u4e00-\u9fff\ua870\U0001f000-\U0001faff]")
# The flags that are spelt with tags, all that there are.
FLAG = re.compile(
    "\U0001f3f4(?:\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073))\U000e007f"
)


def remove_invisible(text: str) -> str:
    """Take out what nobody sees, except where a script or an emoji needs it."""
    if text.isascii():
        return ASCII_CONTROL.sub("", text)
    if not SUSPECT.search(text):
        return text
    keeps_order = _is_ordered(text)
    out: list[str] = []
    last = end = 0
    for match in SUSPECT.finditer(text):
        at = match.start()
        if at < end:
            continue  # inside a flag
        flag = FLAG.match(text, at - 1) if at else None
        if flag is not None:
            end = flag.end()
            continue
        if at > last:
            out.append(text[last:at])
        if _is_needed(match[0], out[-1][-1] if out else "", text[at + 1 : at + 2], keeps_order):
            out.append(match[0])
        last = at + 1
    out.append(text[last:])
    return "".join(out)


def _is_needed(sign: str, before: str, after: str, keeps_order: bool) -> bool:
    if sign in OPENERS or sign in CLOSERS:
        return keeps_order
    if not before:
        return False
    if sign == "\u200d":  # zero-width joiner
        return bool(PICTURE.match(before) and PICTURE.match(after)) or bool(JOINING.match(before))
    if sign == "\u200c":  # zero-width non-joiner
        return bool(JOINING.match(before) and JOINING.match(after))
    if sign == "\u200b":  # zero-width space
        return bool(SPACELESS.match(before) and SPACELESS.match(after))
    if sign in "\ufe0e\ufe0f":
        return bool(PICTURE.match(before) or VARIED.match(before)) and before != "\ufe0f"
    if "\ufe00" <= sign <= "\ufe0d":
        return bool(VARIED.match(before) or IDEOGRAPH.match(before))
    if "\U000e0100" <= sign <= "\U000e01ef":
        return bool(IDEOGRAPH.match(before))
    return "\u180b" <= sign <= "\u180f" and "\u1820" <= before <= "\u18aa"


def _is_ordered(text: str) -> bool:
    """Say whether what orders a text is closed as it was opened, and has letters to order."""
    if any(sign in text for sign in OVERRIDES) or not RIGHT_TO_LEFT.search(text):
        return False
    waiting: list[str] = []
    for match in SUSPECT.finditer(text):
        sign = match[0]
        if sign in OPENERS:
            waiting.append(OPENERS[sign])
        elif sign in CLOSERS and (not waiting or waiting.pop() != sign):
            return False
    return not waiting
