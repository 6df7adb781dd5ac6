"""Near-misses of forms: multipart bodies that are almost right in their fields, their spelling or their head.

As in `nearmiss.py`, the schema judges what is wrong in the fields; what is wrong in the bytes needs no judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs
from tests.presets.nearmiss import INVALID, MALFORMED, UNKNOWN, UNSUPPORTED, Bounds, NearMiss

from vallum.codecs.multipart import PARTS_MAX, Multipart
from vallum.core.content import Content, Upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BOUNDARY = "frontier"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
FORM_FIELDS = (("content-type", TYPE),)
DELIMITER = b"--frontier"
TEXTS = ("", "nonsense", "null", "True", "7", "-1", "1.5", "1e3", "0x1", "NaN", "٣", "[]", "{}", "\x00", "a" * 70_000)
CHARS_MAX = 500_000


def write_form(form: Mapping[str, Any]) -> bytes:
    """Write a form in the plainest way, under a boundary that is known."""
    return Multipart(lambda: BOUNDARY).encode(dict(form))


def near_forms(schema: Mapping[str, Any] | None, form: dict[str, Any]) -> Iterator[NearMiss]:
    """Yield every near-miss of `form`."""
    if schema is not None:
        validator = jsonschema_rs.validator_for(dict(schema), validate_formats=True, offline=True)
        assert validator.is_valid(Content(form).outline)
        seen = set()
        for words, mutant in misfilled(form, Bounds(schema)):
            body = write_form(mutant)
            if body not in seen and not validator.is_valid(Content(mutant).outline):
                seen.add(body)
                yield NearMiss(words, body, INVALID, FORM_FIELDS)
    yield from misspelt(form)
    yield from mislabelled(form)


# --- fields


def misfilled(form: dict[str, Any], bounds: Bounds) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield forms that can be written, with something other in a field."""
    for name, value in form.items():
        rest = {other: held for other, held in form.items() if other != name}
        items = value if isinstance(value, list) else [value]
        yield f"without {name!r}", rest
        for words, other in {
            "in capitals": name.upper(),
            "with a capital": name.title(),
            "with a blank": name + " ",
            "in one word": name.replace("_", ""),
        }.items():
            if other != name:
                held = value if other.endswith("[]") else items[0]  # a field of no list stands once
                yield f"{name!r} {words}", rest | {other: held}
                yield f"{name!r} twice, once {words}", form | {other: held}
        yield f"{name!r} as one", rest | {name.removesuffix("[]"): items[0]}
        yield f"{name!r} as several", rest | {name.removesuffix("[]") + "[]": items}
        for words, held in _items(items[0], bounds):
            yield f"{name!r} {words}", form | {name: [held] if isinstance(value, list) else held}
        if isinstance(value, list):
            for most in bounds.of("maxItems"):
                if most < PARTS_MAX - len(form):
                    yield f"over {most} of {name!r}", form | {name: [items[0]] * (most + 1)}
            yield f"{name!r} with a text among its items", form | {name: [*items, "nonsense"]}
    for name in (UNKNOWN, "__proto__", "$ref", "a" * 100):
        yield f"an unknown field {name[:12]!r}", form | {name: "1"}
        yield f"an unknown file {name[:12]!r}", form | {name: Upload("a.txt", "text/plain", b"1")}


def _items(value: Any, bounds: Bounds) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Upload):
        yield "as a text", "nonsense"
        yield "as a short text", value.filename
        yield "empty", value._replace(data=b"")
        return
    yield "as a file", Upload("a.txt", "text/plain", value.encode())
    for text in TEXTS:
        yield f"as {text[:12]!r}", text
    for words, text in {
        "in capitals": value.upper(),
        "with a capital": value.title(),
        "with a blank behind": value + " ",
        "with a blank before": " " + value,
        "with a line behind": value + "\r\n",
        "cut short": value[:-1],
        "in quotes": f'"{value}"',
        "with a fraction": value + ".5",
    }.items():
        yield words, text
    for most in bounds.of("maxLength"):
        if most < CHARS_MAX:
            yield f"over {most} characters", (value[:1] or "x") * (most + 1)


# --- spelling


def misspelt(form: dict[str, Any]) -> Iterator[NearMiss]:
    """Yield bodies that one parser of forms reads and another reads otherwise, or does not."""
    body = write_form(form)
    for words, data in {
        "text before it": b"x\r\n" + body,
        "an empty line before it": b"\r\n" + body,
        "a byte-order mark": b"\xef\xbb\xbf" + body,
        "text behind it": body + b"x",
        "another form behind it": body + body,
        "no last boundary": body.removesuffix(b"--frontier--\r\n"),
        "half a last boundary": body.removesuffix(b"-\r\n"),
        "lines that end in LF": body.replace(b"\r\n", b"\n"),
        "lines that end in CR": body.replace(b"\r\n", b"\r"),
        "a blank behind a boundary": body.replace(DELIMITER + b"\r\n", DELIMITER + b" \r\n", 1),
        "a boundary that goes on": body.replace(DELIMITER + b"\r\n", DELIMITER + b"x\r\n", 1),
        "JSON": b"{}",
        "a form of an address": b"a=1&b=2",
        "UTF-16": body.decode("latin-1").encode("utf-16"),
    }.items():
        yield NearMiss(words, data, MALFORMED, FORM_FIELDS)
    for part in range(1, 8):
        yield NearMiss(f"cut after {part} of 8", body[: len(body) * part // 8], MALFORMED, FORM_FIELDS)
    for name, value in form.items():
        if not name.endswith("[]"):
            twice = b"".join((write_form({name: value}).removesuffix(b"--frontier--\r\n"), body))
            yield NearMiss(f"{name!r} twice", twice, MALFORMED, FORM_FIELDS)
    for words, odd in _PARTS.items():
        yield NearMiss(f"a part with {words}", odd + b"\r\n" + body, MALFORMED, FORM_FIELDS)
        yield NearMiss(
            f"a last part with {words}",
            body.removesuffix(DELIMITER + b"--\r\n") + odd + b"\r\n" + DELIMITER + b"--\r\n",
            MALFORMED,
            FORM_FIELDS,
        )
    many = (DELIMITER + b'\r\nContent-Disposition: form-data; name="x[]"\r\n\r\n1\r\n') * (PARTS_MAX + 1)
    yield NearMiss("too many parts", many + body, MALFORMED, FORM_FIELDS)


def _part(*lines: bytes) -> bytes:
    return b"\r\n".join((DELIMITER, *lines, b"", b"1"))


_X = b'Content-Disposition: form-data; name="x"'
_PARTS: Mapping[str, bytes] = {
    "no head": DELIMITER + b"\r\n\r\n1",
    "a head without end": DELIMITER + b"\r\n" + _X,
    "no disposition": _part(b"Content-Type: text/plain"),
    "another disposition": _part(b'Content-Disposition: attachment; name="x"'),
    "two dispositions": _part(_X, b'Content-Disposition: form-data; name="y"'),
    "no name": _part(b"Content-Disposition: form-data"),
    "two names": _part(_X + b'; name="y"'),
    "half a quote": _part(b'Content-Disposition: form-data; name="x'),
    "an escaped quote": _part(b'Content-Disposition: form-data; name="x\\"y"'),
    "a NUL in its name": _part(b'Content-Disposition: form-data; name="x\x00"'),
    "a name that is no UTF-8": _part(b'Content-Disposition: form-data; name="\xff"'),
    "a long name": _part(b'Content-Disposition: form-data; name="' + b"x" * 200 + b'"'),
    "a parameter of its own": _part(_X + b"; size=1"),
    "a folded field": _part(b"Content-Disposition: form-data;\r\n name=x"),
    "a path as filename": _part(_X + b'; filename="../../etc/passwd"'),
    "a path of Windows": _part(_X + b'; filename="C:\\x"'),
    "two filenames": _part(_X + b'; filename="a"; filename="b"'),
    "filenames that differ": _part(_X + b"; filename=\"a\"; filename*=utf-8''b"),
    "a coding of its own": _part(_X, b"Content-Transfer-Encoding: base64"),
    "a field of its own": _part(_X, b"X-Sent: 1"),
    "two types": _part(_X, b"Content-Type: text/plain", b"Content-Type: text/plain"),
    "a blank before a colon": _part(_X.replace(b":", b" :")),
    "another charset": _part(_X, b"Content-Type: text/plain; charset=utf-16"),
    "a form inside": _part(_X, b"Content-Type: multipart/mixed; boundary=y"),
    "bytes that are no text": _part(_X).removesuffix(b"1") + b"\xff",
    "a head of two kilobytes": _part(_X, b"Content-Type: text/plain; a=" + b"b" * 2048),
}


# --- head


def mislabelled(form: dict[str, Any]) -> Iterator[NearMiss]:
    """Yield the valid body under a head that says something else."""
    body = write_form(form)
    for words, code, fields in (
        ("no type", UNSUPPORTED, ()),
        ("two types", UNSUPPORTED, FORM_FIELDS * 2),
        ("the type of JSON", UNSUPPORTED, (("content-type", "application/json"),)),
        ("another multipart type", UNSUPPORTED, (("content-type", TYPE.replace("form-data", "mixed")),)),
        ("another charset", UNSUPPORTED, (("content-type", TYPE + "; charset=utf-16"),)),
        ("an encoding", UNSUPPORTED, (*FORM_FIELDS, ("content-encoding", "gzip"))),
        ("no boundary", MALFORMED, (("content-type", "multipart/form-data"),)),
        ("another boundary", MALFORMED, (("content-type", TYPE + "s"),)),
        ("two boundaries", MALFORMED, (("content-type", TYPE + "; boundary=x"),)),
        ("an empty boundary", MALFORMED, (("content-type", 'multipart/form-data; boundary=""'),)),
        ("a long boundary", MALFORMED, (("content-type", TYPE + "x" * 70),)),
    ):
        yield NearMiss(words, body, code, fields)
