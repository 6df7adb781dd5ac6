"""Decoding: structs from plain values, strictly; every mistake at its place, all in one go."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct, field

from vallum.config.decode import decode
from vallum.config.source import parse_source


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Cat(Struct, frozen=True, tag_field="type", tag="cat"):
    lives: int = 9


class Dog(Struct, frozen=True, tag_field="type", tag="dog"):
    name: str


class Inner(Struct, frozen=True, kw_only=True):
    size: Annotated[int, Meta(ge=1)] = 1
    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is over high")


class Outer(Struct, frozen=True, kw_only=True):
    number: int = 0
    real: float = 0.0
    flag: bool = False
    text: str = ""
    maybe: str | None = None
    colour: Colour = Colour.RED
    told: Annotated[Colour, Meta(description="with words")] = Colour.RED
    literal: Literal["on", "off"] = "on"
    names: list[str] = []
    some: Annotated[list[Inner], Meta(min_length=1)] = field(default_factory=lambda: [Inner()])
    map: dict[str, int] = {}
    inners: dict[str, Inner] = {}
    inner: Inner = Inner()
    perhaps: Inner | None = None
    either: list[str | Inner] = []
    pets: list[Cat | Dog] = []
    any_or: list[str] | Literal["any"] = []
    count_or: int | Literal["all"] = 0


def run(text: str, **environ: str) -> tuple[Outer | None, list[str]]:
    source = parse_source(Path("p.yaml"), text.encode(), environ)
    made = decode(source, Outer)
    return made, [str(fault) for fault in source.faults]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Outer()),
        ("{number: 7, real: 1.5, flag: true, text: x}", Outer(number=7, real=1.5, flag=True, text="x")),
        ("{real: 1}", Outer(real=1.0)),
        ("{number: '7', real: '1.5', flag: 'true'}", Outer(number=7, real=1.5, flag=True)),  # as ${NAME} comes
        ("{maybe: null}", Outer()),
        ("{maybe: x}", Outer(maybe="x")),
        ("{colour: green, told: green, literal: 'off'}", Outer(colour=Colour.GREEN, told=Colour.GREEN, literal="off")),
        ("{names: [a, b]}", Outer(names=["a", "b"])),
        ("{some: [{size: 2}]}", Outer(some=[Inner(size=2)])),
        ("{map: {a: 1}}", Outer(map={"a": 1})),
        ("{inners: {a: {size: 2}}}", Outer(inners={"a": Inner(size=2)})),
        ("{inner: {low: 1, high: 2}}", Outer(inner=Inner(low=1, high=2))),
        ("{perhaps: {}}", Outer(perhaps=Inner())),
        ("{perhaps: null}", Outer()),
        ("{either: [a, {size: 2}]}", Outer(either=["a", Inner(size=2)])),
        ("{pets: [{type: cat}, {type: dog, name: Rex}]}", Outer(pets=[Cat(), Dog("Rex")])),
        ("{any_or: any}", Outer(any_or="any")),
        ("{any_or: [a]}", Outer(any_or=["a"])),
        ("{count_or: 3}", Outer(count_or=3)),
        ("{count_or: all}", Outer(count_or="all")),
    ],
)
def test_what_is_right(text: str, expected: Outer) -> None:
    assert run(text) == (expected, [])


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("[]", ["1:1: expected a mapping, got a list"]),
        ("x", ["1:1: expected a mapping, got a text"]),
        ("1", ["1:1: expected a mapping, got a number"]),
        ("true", ["1:1: expected a mapping, got true or false"]),
        ("null", ["1:1: expected a mapping, got nothing"]),
        ("{numbr: 1}", ["1:2: numbr: unknown key (did you mean 'number'?)"]),
        ("{inner: {sise: 1}}", ["1:10: inner.sise: unknown key (did you mean 'size'?)"]),
        ("{inner: {x: 1}}", ["1:10: inner.x: unknown key (keys: high, low, size)"]),
        ("{number: x}", ["1:10: number: expected a whole number, got a text"]),
        ("{number: 1.5}", ["1:10: number: expected a whole number, got a number"]),
        ("{number: true}", ["1:10: number: expected a whole number, got true or false"]),
        ("{number: }", ["1:9: number: expected a whole number, got nothing"]),
        ("{text: 1}", ["1:8: text: expected a text, got a whole number"]),
        ("{text: yes}", ["1:8: text: expected a text, got true or false"]),
        ("{inner: {size: 0}}", ["1:16: inner.size: expected a whole number >= 1"]),
        ("{inner: {low: 5}}", ["1:9: inner: low is over high"]),
        ("{colour: gren}", ["1:10: colour: 'gren' is not one of: red, green (did you mean 'green'?)"]),
        ("{told: gren}", ["1:8: told: 'gren' is not one of: red, green (did you mean 'green'?)"]),
        ("{literal: offf}", ["1:11: literal: 'offf' is not one of: on, off (did you mean 'off'?)"]),
        ("{literal: zzz}", ["1:11: literal: 'zzz' is not one of: on, off"]),
        ("{names: x}", ["1:9: names: expected a list, got a text"]),
        (
            "{names: [a, 1, b, 2]}",
            [
                "1:13: names[1]: expected a text, got a whole number",
                "1:19: names[3]: expected a text, got a whole number",
            ],
        ),
        ("{some: []}", ["1:8: some: expected at least 1, got 0"]),
        ("{some: {}}", ["1:8: some: expected a list, got a mapping"]),
        ("{some: [1]}", ["1:9: some[0]: expected a mapping, got a number"]),
        ("{inners: []}", ["1:10: inners: expected a mapping, got a list"]),
        (
            "{inners: {a: 1, b: {size: 0}}}",
            [
                "1:14: inners.a: expected a mapping, got a number",
                "1:27: inners.b.size: expected a whole number >= 1",
            ],
        ),
        ("{perhaps: x}", ["1:11: perhaps: expected a mapping, got a text"]),
        ("{either: [1]}", ["1:11: either[0]: expected a text, got a whole number"]),
        ("{either: [{sise: 1}]}", ["1:12: either[0].sise: unknown key (did you mean 'size'?)"]),
        ("{pets: [x]}", ["1:9: pets[0]: expected a mapping with a type (types: cat, dog)"]),
        ("{pets: [{name: x}]}", ["1:9: pets[0]: expected a mapping with a type (types: cat, dog)"]),
        ("{pets: [{type: cta}]}", ["1:16: pets[0].type: no type 'cta' (did you mean 'cat'?)"]),
        ("{pets: [{type: 1}]}", ["1:16: pets[0].type: no type 1 (types: cat, dog)"]),
        ("{pets: [{type: [cat]}]}", ["1:16: pets[0].type: no type ['cat'] (types: cat, dog)"]),
        ("{pets: [{type: dog}]}", ["1:9: pets[0]: the key 'name' is missing"]),
        ("{pets: [{type: dog, name: x, lives: 1}]}", ["1:30: pets[0].lives: unknown key (keys: name)"]),
        ("{any_or: [1]}", ["1:11: any_or[0]: expected a text, got a whole number"]),
    ],
)
def test_what_is_wrong_is_named_at_its_place(text: str, faults: list[str]) -> None:
    assert run(text) == (None, faults)


@pytest.mark.parametrize("value", ["none", "{}"])
def test_what_fits_no_member_of_a_union_is_a_fault(value: str) -> None:
    made, faults = run(f"{{any_or: {value}}}")
    assert made is None
    assert len(faults) == 1
    assert faults[0].startswith("1:10: any_or: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{number: '${N}'}", Outer(number=3)),
        ("{some: [{size: '${N}'}]}", Outer(some=[Inner(size=3)])),
        ("{map: {a: '${N}'}}", Outer(map={"a": 3})),
        ("{inners: {a: {size: '${N}'}}}", Outer(inners={"a": Inner(size=3)})),
    ],
)
def test_numbers_may_come_from_the_environment(text: str, expected: Outer) -> None:
    assert run(text, N="3") == (expected, [])


def test_every_mistake_is_found_in_one_go() -> None:
    _, faults = run("numbr: 1\nnumber: x\ninner:\n  size: 0\n  x: 1\npets:\n  - {type: cta}\n  - {type: dog}\n")
    assert [fault.split(": ")[1] for fault in sorted(faults)] == [
        "numbr",
        "number",
        "inner.size",
        "inner.x",
        "pets[0].type",
        "pets[1]",
    ]


def test_a_fault_of_the_source_lets_nothing_through() -> None:
    made, faults = run("{number: 1, number: 2}")
    assert made is None
    assert len(faults) == 1


def test_a_struct_is_what_it_says() -> None:
    made: Any = run("{number: 7}")[0]
    with pytest.raises(AttributeError):
        made.number = 8
