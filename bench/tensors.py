"""What it costs to hold tensors and tables against what they say of themselves, one size and form a row.

    python bench/tensors.py

Each body is decoded, walked, held against its preset's schema and looked at by its preset's checks, as the stages of a
request do; the share is what binary numbers cost of what the same numbers cost in JSON.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vallum.checks.schema import Schema
from vallum.config.intake import CODECS, PRESET_CHECKS
from vallum.core.content import Content
from vallum.core.exchange import Headers
from vallum.presets import PRESETS

SECONDS = 0.5
Judge = Callable[[], None]


def main() -> None:
    """Print the table."""
    print(f"{'body':44} {'bytes':>9} {'us':>9} {'us/KB':>7}")
    for elements in (256, 16_384, 262_144):
        numbers = np.random.default_rng(1).random(elements, np.float32)
        shape = [1, elements]
        binary = _row(f"FP32, {elements} elements, binary", "kserve.infer", *_binary(numbers, shape))
        data = {"inputs": [{"name": "x", "shape": shape, "datatype": "FP32", "data": numbers.tolist()}]}
        plain = _row(f"FP32, {elements} elements, JSON", "kserve.infer", json.dumps(data).encode())
        print(f"{'  binary, of JSON':44} {binary / plain:>27.1%}")
    for datatype, dtype in (("FP16", "<f2"), ("BF16", "<u2"), ("FP64", "<f8"), ("INT64", "<i8"), ("BOOL", "u1")):
        numbers = np.ones(1_000_000 // np.dtype(dtype).itemsize, dtype)
        _row(f"{datatype}, 1 MB, binary", "kserve.infer", *_binary(numbers, [len(numbers)], datatype))
    texts = b"".join(struct.pack("<I", 100) + b"x" * 100 for _ in range(1000))
    _row("BYTES, 1000 texts of 100, binary", "kserve.infer", *_binary(texts, [1000], "BYTES"))
    rows: list[Any] = np.random.default_rng(1).random((256, 100)).tolist()
    _row("256 rows of 100 numbers, JSON", "tf_serving.predict", json.dumps({"instances": rows}).encode())
    csv = "".join(",".join(map(str, row)) + "\n" for row in rows).encode()
    _row("256 rows of 100 numbers, CSV", "predict.csv", csv, Headers([("content-type", "text/csv")]))
    mixed = b'31,Rome,"so ""called"""\n' * 1000
    _row("1000 rows of 3 texts and numbers, CSV", "predict.csv", mixed, Headers([("content-type", "text/csv")]))


def _binary(data: Any, shape: list[int], datatype: str = "FP32") -> tuple[bytes, Headers]:
    raw = data if isinstance(data, bytes) else data.tobytes()
    tensor = {"name": "x", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + raw, Headers([("inference-header-content-length", str(len(head)))])


def _row(words: str, preset: str, body: bytes, headers: Headers | None = None) -> float:
    """Measure one body, print it and return its time in us: the least of a few rounds."""
    judge = _judge(preset, body, headers or Headers([]))
    judge()
    best = float("inf")
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        begun = time.perf_counter()
        judge()
        best = min(best, time.perf_counter() - begun)
    print(f"{words:44} {len(body):>9} {best * 1e6:>9.1f} {best * 1e6 / (len(body) / 1000):>7.2f}")
    return best * 1e6


def _judge(preset: str, body: bytes, headers: Headers) -> Judge:
    form = PRESETS[preset].request
    bounds = {name: bound.default for name, bound in form.bounds.items()}
    assert form.schema is not None
    codec = CODECS[form.codec or form.media_types[0]]()
    inspections = [Schema(form.schema(bounds)).inspect, *(PRESET_CHECKS[name](bounds).inspect for name in form.checks)]

    def judge() -> None:
        content = Content(codec.decode(body, headers), (), 32, form.passages)
        for inspect in inspections:
            finding = inspect(content)
            if finding is not None:
                raise AssertionError(finding)

    return judge


if __name__ == "__main__":
    main()
