"""What a call costs, counted and never timed: the steps that Python takes, and the memory held at its worst moment."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from typing import Any


def steps(call: Callable[[], Any]) -> int:
    """Count the bytecode instructions that `call` runs; what is compiled counts as none."""
    taken = 0

    def follow(frame: Any, event: str, argument: Any) -> Any:
        nonlocal taken
        taken += event == "opcode"
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return follow

    watched = sys.gettrace()  # what measures coverage
    sys.settrace(follow)
    try:
        call()
    finally:
        sys.settrace(watched)
    return taken


def peak_bytes(call: Callable[[], Any]) -> int:
    """Return how much memory `call` held at once, at the most, beyond what was held before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
