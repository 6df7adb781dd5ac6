"""Real clients of model servers through a gateway: what they send arrives as they wrote it, and nothing else does.

Behind the gateway stands a server of our own, which reads the Open Inference Protocol by itself, from its published
description, and gives every tensor back.
"""

from __future__ import annotations

import asyncio
import json
import struct
import urllib.request
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable

    from tests.wire.conftest import Door, Opener, Raw

POLICY = """
version: 1
admin: {address: "127.0.0.1:0"}
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
routes:
  - name: look
    match: {methods: [GET], path: "/v2/**"}
    preset: json
    upstream: model
    auth: {any_of: [keys]}
  - name: infer
    match: {methods: [POST], path: "/v2/models/*/infer"}
    preset: kserve.infer
    upstream: model
    auth: {any_of: [keys]}
    request: {max_bytes: 8388608}
    response: {disclose: [binary]}
  - name: infer-strict
    match: {methods: [POST], path: "/strict/v2/models/*/infer"}
    preset: kserve.infer
    upstream: model
    auth: {any_of: [keys]}
  - name: infer-json
    match: {methods: [POST], path: "/json/v2/models/*/infer"}
    preset: kserve.infer_json
    upstream: model
    auth: {any_of: [keys]}
    request: {sanitize: {html: strip}}
  - name: generate
    match: {methods: [POST], path: "/v2/models/*/generate"}
    preset: kserve.generate
    upstream: model
    auth: {any_of: [keys]}
    response: {allow_fields: [seen]}
  - name: tf-predict
    match: {methods: [POST], path: "/v1/models/scorer:predict"}
    preset: tf_serving.predict
    upstream: model
    auth: {any_of: [keys]}
    response: {allow_fields: [seen]}
  - name: torchserve
    match: {methods: [POST], path: "/predictions/*"}
    preset: torchserve.predict
    upstream: model
    auth: {any_of: [keys]}
  - name: csv
    match: {methods: [POST], path: "/invocations"}
    preset: predict.csv
    upstream: model
    auth: {any_of: [keys]}
"""
DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BF16": ml_dtypes.bfloat16,
}


OTHERS = {
    "v1": b'{"predictions":[[0.5]]}',
    "v2": b'{"model_name":"m","text_output":"hello"}',
    "predictions": b'["a"]',
    "invocations": b"[1]",
}


# --- the server


def read_tensor(tensor: dict[str, Any], raw: bytes | None) -> np.ndarray[Any, Any]:
    if tensor["datatype"] != "BYTES":
        dtype = DTYPES[tensor["datatype"]]
        flat = np.array(tensor["data"], dtype) if raw is None else np.frombuffer(raw, dtype)
        return flat.reshape(tensor["shape"])
    texts: list[bytes] = []
    if raw is None:
        texts = [text.encode() for text in np.array(tensor["data"], object).reshape(-1)]
    while raw:
        (length,) = struct.unpack("<I", raw[:4])
        texts.append(raw[4 : 4 + length])
        raw = raw[4 + length :]
    return np.array(texts, object).reshape(tensor["shape"])


def read_inference(fields: dict[str, str], body: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    length = int(fields.get("inference-header-content-length", len(body)))
    request, rest = json.loads(body[:length]), body[length:]
    tensors = {}
    for tensor in request["inputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        tensors[tensor["name"]] = read_tensor(tensor, None if size is None else rest[:size])
        rest = rest[size or 0 :]
    assert not rest
    return request, tensors


def answer_inference(fields: dict[str, str], body: bytes) -> tuple[bytes, list[str]]:
    """Give every input back under its own name."""
    request, tensors = read_inference(fields, body)
    binary = request.get("parameters", {}).get("binary_data_output", False)
    asked = {
        output["name"]: output.get("parameters", {}).get("binary_data", binary)
        for output in request.get("outputs", [{"name": name} for name in tensors])
    }
    outputs: list[Any] = []
    tail = b""
    for name, as_bytes in asked.items():
        array = tensors[name]
        output = {"name": name, "shape": list(array.shape), "datatype": np_to_triton_dtype(array.dtype)}
        if as_bytes:
            flat = array.reshape(-1)
            raw = (
                b"".join(struct.pack("<I", len(text)) + text for text in flat)
                if array.dtype == object
                else array.tobytes()
            )
            output["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            output["data"] = [item.decode() if isinstance(item, bytes) else item.item() for item in array.reshape(-1)]
        outputs.append(output)
    head = json.dumps({"model_name": "scorer", "outputs": outputs}).encode()
    if not tail:
        return head, ["Content-Type: application/json"]
    return head + tail, ["Content-Type: application/octet-stream", f"Inference-Header-Content-Length: {len(head)}"]


async def serve(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
        start, *lines = head.decode("latin-1").split("\r\n")
        fields = {name: value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        raw.requests.append(head + body)
        path = start.split()[1]
        more = ["Content-Type: application/json"]
        if path.endswith("/infer"):
            answer, more = answer_inference(fields, body)
        elif path.endswith(("/ready", "/live")):
            answer = b""
        elif path == "/v2/models/scorer":
            answer = b'{"name": "scorer", "platform": "python", "inputs": [], "outputs": []}'
        else:
            answer = OTHERS[path.split("/")[1]]
        writer.write(
            "\r\n".join(["HTTP/1.1 200 OK", *more, f"Content-Length: {len(answer)}", "", ""]).encode() + answer
        )
        await writer.drain()


@pytest.fixture
async def server(opened: Opener) -> Raw:
    return await opened.raw(serve)


@pytest.fixture
async def door(opened: Opener, server: Raw) -> Door:
    return await opened(POLICY, upstream=server.url)


# --- Triton's client


def tensor(name: str, array: Any, *, binary: bool = True) -> Any:
    array = np.asarray(array)
    made: Any = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return made.set_data_from_numpy(array, binary_data=binary)


def sample(datatype: str) -> np.ndarray[Any, Any]:
    if datatype == "BYTES":
        return np.array([["schön", "a\nb"], ["", "日本"]], object)
    return (np.arange(24) % 2 if datatype == "BOOL" else np.arange(24)).astype(DTYPES[datatype]).reshape(2, 3, 4)


def equal(found: Any, sent: np.ndarray[Any, Any]) -> bool:
    if sent.dtype == object:
        return [text.decode() if isinstance(text, bytes) else text for text in found.reshape(-1)] == list(
            sent.reshape(-1)
        )
    return bool(np.array_equal(found, sent))


def ask(port: int, key: str, inputs: list[Any], base: str = "", **more: Any) -> Any:
    """Call in a thread of its own: the client has its own loop."""
    with triton.InferenceServerClient(f"127.0.0.1:{port}{base}", network_timeout=10.0) as client:
        return client.infer("scorer", inputs, headers={"authorization": f"Bearer {key}"}, **more)


ALL = [*DTYPES, "BYTES"]


async def test_every_datatype_as_bytes_and_as_json(door: Door) -> None:
    def run() -> int:
        count = 0
        for datatype in ALL:
            for binary_in in (True, False):
                for binary_out in (True, False):
                    if datatype == "BF16" and not (binary_in and binary_out):
                        continue  # which the client itself does not take
                    sent = sample(datatype)
                    wanted = [triton.InferRequestedOutput("x", binary_data=binary_out)]
                    result = ask(door.port, door.key, [tensor("x", sent, binary=binary_in)], outputs=wanted)
                    assert equal(result.as_numpy("x"), sent), (datatype, binary_in, binary_out)
                    count += 1
        return count

    assert await asyncio.to_thread(run) == 4 * len(ALL) - 3


async def test_several_inputs_some_of_them_in_json(door: Door) -> None:
    first, second, third = sample("FP32"), sample("BYTES"), sample("INT64")

    def run() -> Any:
        inputs = [tensor("a", first), tensor("b", second, binary=False), tensor("c", third)]
        return ask(door.port, door.key, inputs, request_id="7f")

    result = await asyncio.to_thread(run)
    assert equal(result.as_numpy("a"), first)
    assert equal(result.as_numpy("b"), second)
    assert equal(result.as_numpy("c"), third)


async def test_a_client_that_asks_how_the_server_is(door: Door) -> None:
    def run() -> Any:
        headers = {"authorization": f"Bearer {door.key}"}
        with triton.InferenceServerClient(f"127.0.0.1:{door.port}") as client:
            assert client.is_server_ready(headers)
            assert client.is_model_ready("scorer", headers=headers)
            return client.get_model_metadata("scorer", headers=headers)

    assert (await asyncio.to_thread(run))["name"] == "scorer"


async def test_the_asynchronous_client(door: Door) -> None:
    sent = sample("FP16")
    async with triton_aio.InferenceServerClient(f"127.0.0.1:{door.port}") as client:
        for binary in (True, False):
            result = await client.infer(
                "scorer", [tensor("x", sent, binary=binary)], headers={"authorization": f"Bearer {door.key}"}
            )
            assert equal(result.as_numpy("x"), sent)


async def test_json_alone_can_be_cleaned_on_its_way(door: Door, server: Raw) -> None:
    def run() -> Any:
        inputs = [tensor("text", np.array(["<b>hi</b> there"], object), binary=False)]
        wanted = [triton.InferRequestedOutput("text", binary_data=False)]
        return ask(door.port, door.key, inputs, "/json", outputs=wanted)

    result = await asyncio.to_thread(run)
    assert list(result.as_numpy("text")) == ["hi there"]
    assert b"<b>" not in server.requests[-1]


async def test_bytes_are_not_answered_where_nobody_granted_them(door: Door, server: Raw) -> None:
    """What is withheld of an answer could not be found in them."""
    sent = sample("FP32")
    wanted = [triton.InferRequestedOutput("x", binary_data=False)]
    result = await asyncio.to_thread(ask, door.port, door.key, [tensor("x", sent)], "/strict", outputs=wanted)
    assert equal(result.as_numpy("x"), sent)
    calls = len(server.requests)
    for outputs in (None, [triton.InferRequestedOutput("x")]):
        with pytest.raises(InferenceServerException) as caught:
            await asyncio.to_thread(ask, door.port, door.key, [tensor("x", sent)], "/strict", outputs=outputs)
        assert caught.value.status() == "400"
        assert "binary_data" in caught.value.message()
    assert len(server.requests) == calls


REFUSED: dict[str, dict[str, Any]] = {
    "a sequence": {"sequence_id": 5},
    "a priority": {"priority": 1},
    "a timeout": {"timeout": 1_000_000},
    "parameters of one's own": {"parameters": {"adapter": "another"}},
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_the_client_can_say_and_may_not(door: Door, server: Raw, name: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        await asyncio.to_thread(ask, door.port, door.key, [tensor("x", sample("INT8"))], **REFUSED[name])
    assert caught.value.status() == "400"
    assert caught.value.message().startswith("Invalid request: /parameters/")
    assert not server.requests


async def test_shared_memory_is_refused(door: Door, server: Raw) -> None:
    shared: Any = triton.InferInput
    there = shared("x", [1, 4], "FP32").set_shared_memory("other_tenant", 16, offset=8)
    answer = triton.InferRequestedOutput("x")
    answer.set_shared_memory("other_tenant", 16)
    for inputs, outputs in (([there], None), ([tensor("x", sample("INT8"))], [answer])):
        with pytest.raises(InferenceServerException) as caught:
            await asyncio.to_thread(ask, door.port, door.key, inputs, outputs=outputs)
        assert caught.value.status() == "400"
    assert not server.requests


async def test_nothing_that_manages_a_server_is_reached(door: Door, server: Raw) -> None:
    def run() -> None:
        headers = {"authorization": f"Bearer {door.key}"}
        with triton.InferenceServerClient(f"127.0.0.1:{door.port}") as client:
            calls: Any = (
                lambda: client.load_model("evil", headers=headers),
                lambda: client.unload_model("scorer", headers=headers),
                lambda: client.register_system_shared_memory("r", "/key", 16, headers=headers),
                lambda: client.update_log_settings({"log_file": "/tmp/x"}, headers=headers),
            )
            for call in calls:
                with pytest.raises(InferenceServerException) as caught:
                    call()
                assert caught.value.status() == "404"

    await asyncio.to_thread(run)
    assert not server.requests


# --- other clients


def post(door: Door, path: str, body: bytes, media_type: str = "application/json") -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{door.port}{path}", body)
    request.add_header("Content-Type", media_type)
    request.add_header("Authorization", f"Bearer {door.key}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


CALLS = {
    "TF Serving, rows": ("/v1/models/scorer:predict", '{"signature_name": "serving_default", "instances": [[1.0]]}'),
    "TF Serving, columns": ("/v1/models/scorer:predict", '{"inputs": {"a": [[1], [2]], "b": ["x", "y"]}}'),
    "TF Serving, bytes": ("/v1/models/scorer:predict", '{"instances": [{"b64": "aGVsbG8="}]}'),
    "TorchServe, instances": ("/predictions/scorer", '{"instances": [{"data": [1, 2, 3]}, {"data": [4, 5]}]}'),
    "TorchServe, a text": ("/predictions/scorer", '{"data": "a good day"}'),
    "generate": ("/v2/models/m/generate", '{"text_input": "hi", "parameters": {"stream": false, "max_tokens": 5}}'),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_of_another_server(door: Door, server: Raw, name: str) -> None:
    path, body = CALLS[name]
    assert await asyncio.to_thread(post, door, path, body.encode()) == json.loads(OTHERS[path.split("/")[1]])
    assert server.requests[-1].endswith(body.encode())


async def test_a_table(door: Door, server: Raw) -> None:
    for text, media_type in (
        ("1,2.5\n3,4\n", "text/csv"),
        ('name,age\r\n"Smith, J",41\r\n', "text/csv; charset=utf-8; header=present"),
    ):
        assert await asyncio.to_thread(post, door, "/invocations", text.encode(), media_type) == [1]
        assert server.requests[-1].endswith(text.encode())


# --- attacks on how a binary body is divided


INPUT = {"name": "x", "shape": [4], "datatype": "INT8", "parameters": {"binary_data_size": 4}}
HEAD = json.dumps({"inputs": [INPUT]}).encode()
BODY = HEAD + b"\1\2\3\4"
SIZE = ("Inference-Header-Content-Length", str(len(HEAD)))
DIVIDED: dict[str, tuple[tuple[tuple[str, str], ...], bytes]] = {
    "no length": ((), BODY),
    "two lengths": ((SIZE, SIZE), BODY),
    "two lengths that differ": ((SIZE, ("Inference-Header-Content-Length", "5")), BODY),
    "two lengths in one field": ((("Inference-Header-Content-Length", f"{len(HEAD)}, {len(HEAD)}"),), BODY),
    "a length with a sign": ((("Inference-Header-Content-Length", f"+{len(HEAD)}"),), BODY),
    "a length below nought": ((("Inference-Header-Content-Length", "-1"),), BODY),
    "a length of nought": ((("Inference-Header-Content-Length", "0"),), BODY),
    "a length beyond the body": ((("Inference-Header-Content-Length", "4096"),), BODY),
    "a length that only some servers see": ((("Inference_Header_Content_Length", str(len(HEAD))),), BODY),
    "a byte too many": ((SIZE,), BODY + b"\5"),
    "a byte too few": ((SIZE,), BODY[:-1]),
    "a second document": ((SIZE,), HEAD + b"[1]\n"[:4] + HEAD),
}


@pytest.mark.parametrize("name", DIVIDED)
async def test_a_body_that_is_divided_otherwise(
    door: Door, server: Raw, request_bytes: Callable[..., bytes], name: str
) -> None:
    fields, body = DIVIDED[name]
    for media_type in ((("Content-Type", "application/octet-stream"),), ()):
        request = request_bytes("POST", "/v2/models/scorer/infer", door.key, body, (*media_type, *fields))
        answer = await door.exchange(request)
        assert answer.status == 400, answer.raw
        assert answer.json()["code"] == "malformed_request"
    assert not server.requests


async def test_the_same_body_divided_rightly(door: Door, server: Raw, request_bytes: Callable[..., bytes]) -> None:
    answer = await door.exchange(request_bytes("POST", "/v2/models/scorer/infer", door.key, BODY, (SIZE,)))
    assert answer.status == 200, answer.raw
    assert server.requests[-1].endswith(BODY)
