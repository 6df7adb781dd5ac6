"""Sources: YAML read strictly into plain values that remember where each stood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vallum.config.source import FILE_MAX_BYTES, Fault, PolicyFileError, Source, parse_source, read_source, show_place

PATH = Path("/etc/vallum/policy.yaml")


def parse(text: str | bytes, **environ: str) -> Source:
    return parse_source(PATH, text.encode() if isinstance(text, str) else text, environ)


def fault_of(text: str | bytes) -> Fault:
    with pytest.raises(PolicyFileError) as caught:
        parse(text)
    assert len(caught.value.faults) == 1
    return caught.value.faults[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        ("1", 1),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ("~", None),
        ("''", ""),
        ("'1'", "1"),
        ('"a\\tb"', "a\tb"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("2024-01-01", "2024-01-01"),  # a date is the text that was written
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("[a, [1]]", ["a", [1]]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("a:\n  - b\n  - c: 1\n", {"a": ["b", {"c": 1}]}),
        ("{1: a, true: b, null: c}", {"1": "a", "true": "b", "null": "c"}),  # keys are the texts that were written
        ("{on: a}", {"on": "a"}),
        ("{a: }", {"a": None}),
        ("file-name", "file-name"),
    ],
)
def test_plain_values(text: str, value: Any) -> None:
    source = parse(text)
    assert (source.values, source.faults) == (value, [])


def test_every_value_has_its_place() -> None:
    source = parse("a: 1\nb:\n  - c: x\n    d: y\n")
    assert source.marks[("a",)] == (1, 4)
    assert source.marks[("b", 0, "d")] == (4, 8)
    assert source.key_marks[("b", 0, "d")] == (4, 5)


@pytest.mark.parametrize(
    ("place", "key", "line", "column"),
    [
        (("b", "c"), False, 3, 6),
        (("b", "c"), True, 3, 3),
        (("b", "none"), False, 3, 3),  # what is not there is shown where it is missing
        (("b", "none"), True, 3, 3),
        (("none",), False, 1, 1),
        (("b", "c", 7, "x"), False, 3, 6),
    ],
)
def test_where_a_fault_is(place: tuple[str | int, ...], key: bool, line: int, column: int) -> None:
    fault = parse("a: 1\nb:\n  c: 2\n").fault(place, "message", key=key)
    assert (fault.line, fault.column) == (line, column)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ((), ""),
        (("a",), "a"),
        (("routes", 0, "quotas", 2), "routes[0].quotas[2]"),
        ((0, "a"), "[0].a"),
        (("a", "b.c"), "a.b.c"),
    ],
)
def test_places_as_people_say_them(place: tuple[str | int, ...], text: str) -> None:
    assert show_place(place) == text


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("wrong"), "1:1: wrong"),
        (Fault("wrong", 3, 7, "a.b"), "3:7: a.b: wrong"),
        (Fault("wrong", 3, 7, "a.b", "do this"), "3:7: a.b: wrong (do this)"),
        (Fault("wrong", 3, 7, "", "do this"), "3:7: wrong (do this)"),
    ],
)
def test_a_fault_is_one_line(fault: Fault, text: str) -> None:
    assert str(fault) == text


def test_faults_come_in_the_order_of_the_file() -> None:
    error = PolicyFileError("p.yaml", [Fault("c", 2, 1), Fault("b", 1, 9), Fault("a", 1, 2)])
    assert [fault.message for fault in error.faults] == ["a", "b", "c"]
    assert str(error) == "p.yaml:1:2: a\np.yaml:1:9: b\np.yaml:2:1: c"


# --- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "environ", "value"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("'${A}'", {"A": "x"}, "x"),
        ('"http://${HOST}:${PORT}/"', {"HOST": "h", "PORT": "1"}, "http://h:1/"),
        ("${A:-y}", {}, "y"),
        ("${A:-y}", {"A": "x"}, "x"),
        ("${A:-y}", {"A": ""}, "y"),  # as the shell does it: an empty one counts as none
        ("${A:-}", {}, ""),
        ("'${A:-127.0.0.1:8080}'", {}, "127.0.0.1:8080"),
        ("${A:-a-b:c}", {}, "a-b:c"),
        ("${A}", {"A": "${B}", "B": "x"}, "${B}"),  # filled in once
        ("'${A}'", {"A": "a: 1\nb: 2"}, "a: 1\nb: 2"),  # no value can add keys
        ("${A}", {"A": "[1, 2]"}, "[1, 2]"),
        ("${A}", {"A": "7"}, "7"),
        ("$A", {"A": "x"}, "$A"),
        ("$${A}", {"A": "x"}, "$x"),
    ],
)
def test_variables(text: str, environ: dict[str, str], value: str) -> None:
    source = parse(text, **environ)
    assert (source.values, source.faults) == (value, [])


def test_variables_fill_values_and_never_keys() -> None:
    assert parse('{"${A}": "${A}"}', A="x").values == {"${A}": "x"}


@pytest.mark.parametrize("environ", [{}, {"A": ""}])
def test_a_variable_that_is_not_there_says_what_to_do(environ: dict[str, str]) -> None:
    source = parse("x:\n  y: ${A}\n", **environ)
    assert [str(fault) for fault in source.faults] == [
        "2:6: x.y: the environment has no A (export A=..., or write ${A:-default})"
    ]


@pytest.mark.parametrize("text", ["${A-B}", "${1A}", "${A:?x}", "${}", "${A"])
def test_what_is_almost_a_variable_is_a_fault_and_not_a_secret_spelled_wrong(text: str) -> None:
    assert parse(f"x: '{text}'", A="x").faults


# --- file references --------------------------------------------------------------------------------------------------


def test_a_value_from_a_file_beside_the_policy(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(" s3cret\n")
    (tmp_path / "policy.yaml").write_text(f"a: file:./secret\nb: file:{tmp_path}/secret\n")
    source = read_source(tmp_path / "policy.yaml", {})
    assert source.values == {"a": "s3cret", "b": "s3cret"}
    assert source.files == [tmp_path / "secret", tmp_path / "secret"]
    assert source.faults == []


def test_a_value_from_a_file_in_the_folder_above(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "policy.yaml").write_text("a: file:../secret\n")
    assert read_source(tmp_path / "inner" / "policy.yaml", {}).values == {"a": "s3cret"}


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    (tmp_path / "policy.yaml").write_text("a: file:./secret\n")
    source = read_source(tmp_path / "policy.yaml", {})
    assert [(fault.line, fault.column, fault.place) for fault in source.faults] == [(1, 4, "a")]
    assert source.faults[0].message.startswith("cannot be read: ")


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a: [1", (1, 6), "not YAML: expected ',' or ']'"),
        ("a: b: c", (1, 5), "not YAML: mapping values are not allowed here"),
        ("a: 'x", (1, 6), "not YAML: found unexpected end of stream"),
        ("a:\n\t- b", (2, 1), "not YAML: found character '\\t'"),
        ("%YAML 9", (1, 1), "not YAML"),
        ("a: &x 1\nb: *x", (2, 4), "not YAML: aliases are not supported; write it out"),
        ("a: *none", (1, 4), "not YAML: aliases are not supported; write it out"),
        ("a: 1\n---\nb: 2", (2, 1), "not YAML: but found another document"),
        (b"a: \xff", (1, 1), "not YAML"),
        (b"a: \x00", (1, 1), "not YAML"),
        (b"a: \x07", (1, 1), "not YAML"),
        ("", (1, 1), "the file is empty"),
        ("# comment\n", (1, 1), "the file is empty"),
        ("a: " + "x" * FILE_MAX_BYTES, (1, 1), f"over {FILE_MAX_BYTES} bytes"),
        ("[" * 5000, None, "not YAML"),  # no depth of nesting is a crash
    ],
)
def test_what_is_no_policy_file(text: str | bytes, where: tuple[int, int] | None, message: str) -> None:
    fault = fault_of(text)
    assert fault.message.startswith(message)
    assert "\n" not in str(fault)
    if where is not None and message != "not YAML":
        assert (fault.line, fault.column) == where


def test_a_file_that_blows_up_is_not_followed() -> None:
    bomb = "a: &a [x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    assert "aliases" in fault_of(bomb).message


def test_a_key_twice_is_an_error_and_the_first_holds() -> None:
    source = parse("a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert source.values == {"a": 1, "b": {"c": 1}}
    assert [str(fault) for fault in source.faults] == [
        "2:11: b.c: this key stands twice (keep one)",
        "3:1: a: this key stands twice (keep one)",
    ]


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert parse("{<<: {a: 1}, b: 2}").values == {"<<": {"a": 1}, "b": 2}


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object:os.system x",
        "!!python/name:os.system x",
        "!custom x",
        "!!int abc",
        "!!float abc",
        "!!bool abc",
        "0x_",
        "!custom [a]",
        "!!set {a, b}",
        "!custom {a: b}",
    ],
)
def test_tags_that_are_not_supported(text: str) -> None:
    source = parse(f"x: {text}\n")
    assert [(fault.line, fault.column, fault.place) for fault in source.faults] == [(1, 4, "x")]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match="cannot be read: No such file") as caught:
        read_source(tmp_path / "none.yaml", {})
    assert "vallum serve --upstream" in caught.value.faults[0].hint
