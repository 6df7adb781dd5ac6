"""How an answer goes out that is JSON with the bytes of tensors behind it (the Open Inference Protocol's binary form).

Rule: the bytes of a tensor leave only with its entry in the JSON part, and only if nothing had to be done to them.
A tensor that must be coarser is withheld: its caller can ask for it in JSON.

The JSON part keeps its length, by blanks behind it, so that the header field that tells it stays true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.decision import Deny
from vallum.core.protocols import NOTHING
from vallum.core.relay import Whole, unreadable

if TYPE_CHECKING:
    from vallum.core.policy import Outlet

LENGTH_FIELD = "inference-header-content-length"
SIZE = "binary_data_size"


class Divided(Whole):
    """Holds a divided answer, up to the outlet's bound, and sends it transformed."""

    def __init__(
        self,
        length: str,
        outlet: Outlet,
        removed: set[str],
        enforce: bool,
    ) -> None:
        """Divide the body after `length` bytes, as the header field says."""
        super().__init__(outlet, removed, enforce)
        self._length = int(length) if length.isascii() and length.isdigit() and len(length) < 10 else None

    def end(self) -> bytes | Deny:
        """Return the transformed answer."""
        original = b"".join(self._held)
        changed = self._transform(original)
        return changed if self._enforce else original

    def _transform(self, body: bytes) -> bytes | Deny:
        length, codec = self._length, self._outlet.codec
        if length is None or length > len(body) or codec is None:
            return unreadable("the length of the answer's JSON part is none")
        try:
            document = codec.decode(body[:length])
            tensors = _divide(document, body[length:])
        except ValueError as error:
            return unreadable(f"the answer is not what its content type says: {error}")
        if self._outlet.leaks and any(output.get("datatype") == "BYTES" for output, _, _ in tensors):
            return unreadable("texts in binary are not searched for leaks")
        try:
            for step in self._outlet.transforms:
                document = step.apply(document, self._removed)
                if document is NOTHING:
                    return unreadable("nothing in the answer may leave")
            return self._write(document, tensors, length)
        except RecursionError:
            return unreadable("the answer is nested too deeply")

    def _write(self, document: Any, tensors: list[Tensor], length: int) -> bytes | Deny:
        """Put the tensors that are left behind the JSON part."""
        codec = self._outlet.codec
        assert codec is not None  # or it could not have been read
        outputs = document.get("outputs") if isinstance(document, dict) else None
        left: list[bytes] = []
        for output, mark, data in tensors:
            if not isinstance(outputs, list) or not any(one is output for one in outputs):
                continue
            if output.get("data") is not mark:
                outputs[:] = [one for one in outputs if one is not output]
                self._removed.add("output (binary, and to be coarser)")
                continue
            del output["data"]
            output["parameters"] = {SIZE: len(data)}
            left.append(data)
        head = codec.encode(document)
        if len(head) > length:
            return unreadable("the JSON part would be longer than it was")
        return head + b" " * (length - len(head)) + b"".join(left)


Tensor = tuple[dict[str, Any], object, bytes]  # its entry in the JSON part, what stands there for its data, its bytes


def _divide(document: Any, rest: bytes) -> list[Tensor]:
    """Give each output its bytes, and put a mark in their place; raise ValueError where they do not fit exactly."""
    outputs = document.get("outputs") if isinstance(document, dict) else None
    tensors: list[Tensor] = []
    at = 0
    for output in outputs if isinstance(outputs, list) else ():
        parameters = output.get("parameters") if isinstance(output, dict) else None
        size = parameters.get(SIZE) if isinstance(parameters, dict) else None
        if size is None:
            continue
        if type(size) is not int or not 0 <= size <= len(rest) - at or "data" in output:
            raise ValueError("a tensor's size is none")
        mark = output["data"] = object()
        tensors.append((output, mark, rest[at : at + size]))
        at += size
    if at != len(rest):
        raise ValueError("bytes that belong to no tensor")
    return tensors
