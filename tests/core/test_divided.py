"""Answers with the bytes of tensors behind their JSON: a tensor's bytes leave with its entry, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from vallum.core.decision import Deny
from vallum.core.divided import Divided
from vallum.core.protocols import NOTHING

if TYPE_CHECKING:
    from tests.conftest import Kit


class Step:
    type = "step"

    def __init__(self, change: Any) -> None:
        self._change = change

    def apply(self, document: Any, removed: set[str]) -> Any:
        return self._change(document)


def output(name: str, size: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "parameters": {"binary_data_size": size, "x": 1}} | more


def send(
    kit: Kit, outputs: Any, rest: bytes, change: Any = lambda document: document, enforce: bool = True, **outlet: Any
) -> bytes | Deny:
    head = json.dumps({"outputs": outputs, "host": "gpu-7"}).encode()
    relay = Divided(str(len(head)), kit.outlet(Step(change), **outlet), set(), enforce)
    relay.chunk(head + rest)
    return relay.end()


def read(kit: Kit, sent: bytes | Deny, outputs: Any) -> tuple[Any, bytes]:
    length = len(json.dumps({"outputs": outputs, "host": "gpu-7"}).encode())
    assert isinstance(sent, bytes)
    return json.loads(sent[:length])["outputs"], sent[length:]


def drop(document: Any) -> Any:
    del document["outputs"][0]
    return document


def coarsen(document: Any) -> Any:
    del document["outputs"][0]["data"]
    return document


def test_what_tells_the_length_of_its_json_is_divided(kit: Kit) -> None:
    route = kit.route(outlet=kit.outlet(Step(drop), divided=True))
    head = [("content-type", "application/octet-stream"), ("inference-header-content-length", "9")]
    _, x, judged = kit.answered(route, 200, head)
    assert not isinstance(judged, Deny)
    assert isinstance(x.relay, Divided)


def test_bytes_leave_behind_their_json_which_keeps_its_length(kit: Kit) -> None:
    outputs = [output("a", 4), {"name": "j", "data": [1]}, output("b", 2)]
    left, rest = read(kit, send(kit, outputs, b"AAAABB"), outputs)
    assert rest == b"AAAABB"
    assert left == [
        {"name": "a", "datatype": "FP32", "parameters": {"binary_data_size": 4}},
        {"name": "j", "data": [1]},
        {"name": "b", "datatype": "FP32", "parameters": {"binary_data_size": 2}},
    ]


@pytest.mark.parametrize("change", [drop, coarsen])
def test_a_tensor_that_is_dropped_or_to_be_coarser_takes_its_bytes_with_it(kit: Kit, change: Any) -> None:
    outputs = [output("a", 4), output("b", 2)]
    left, rest = read(kit, send(kit, outputs, b"AAAABB", change), outputs)
    assert [one["name"] for one in left] == ["b"]
    assert rest == b"BB"


@pytest.mark.parametrize(
    ("outputs", "rest"),
    [
        ([output("a", 4)], b"AAA"),
        ([output("a", 4)], b"AAAAA"),
        ([output("a", -1)], b""),
        ([output("a", "4")], b"AAAA"),
        ([output("a", True)], b"A"),
        ([output("a", 4, data=[1])], b"AAAA"),
        ([], b"A"),
        (None, b"A"),
        ([3, {"parameters": 4}], b"A"),
    ],
)
def test_bytes_that_belong_to_nothing_do_not_pass(kit: Kit, outputs: Any, rest: bytes) -> None:
    assert isinstance(send(kit, outputs, rest), Deny)


@pytest.mark.parametrize("length", ["", "x", "-1", "99", "9999999999", "\u0663"])
def test_a_length_that_is_none(kit: Kit, length: str) -> None:
    relay = Divided(length, kit.outlet(Step(lambda document: document)), set(), True)
    relay.chunk(b"{}")
    assert isinstance(relay.end(), Deny)


@pytest.mark.parametrize(
    "change", [lambda _: NOTHING, lambda document: document | {"longer": "x" * 200}], ids=["nothing", "longer"]
)
def test_what_cannot_leave_in_this_form_does_not(kit: Kit, change: Any) -> None:
    assert isinstance(send(kit, [output("a", 1)], b"A", change), Deny)


def test_bytes_of_an_answer_that_became_something_else_do_not_leave(kit: Kit) -> None:
    others: list[Any] = [[], {"outputs": 3}]
    for other in others:

        def become(_: Any, other: Any = other) -> Any:
            return other

        sent = send(kit, [output("a", 1)], b"A", become)
        assert isinstance(sent, bytes)
        assert b"A" not in sent


def test_broken_json_does_not_pass(kit: Kit) -> None:
    relay = Divided("2", kit.outlet(Step(lambda document: document)), set(), True)
    relay.chunk(b"{x")
    assert isinstance(relay.end(), Deny)


def test_texts_that_would_have_to_be_searched_do_not_pass(kit: Kit) -> None:
    outputs = [output("a", 1, datatype="BYTES")]
    assert isinstance(send(kit, outputs, b"A", leaks=(object(),)), Deny)
    assert isinstance(send(kit, outputs, b"A"), bytes)


def test_in_shadow_it_passes_as_it_came(kit: Kit) -> None:
    sent = send(kit, [output("a", 1)], b"A", drop, enforce=False)
    assert isinstance(sent, bytes)
    assert b"gpu-7" in sent
    assert sent.endswith(b"A")


def test_an_answer_that_is_nested_too_deeply_is_withheld(kit: Kit) -> None:
    def sink(document: Any) -> Any:
        raise RecursionError

    refused = send(kit, [output("a", 4)], b"AAAA", sink)
    assert isinstance(refused, Deny)
    assert "deeply" in refused.detail
