"""Import every compiled module of the installed package alone, each in a process of its own.

A compiled module that names another's class before that is loaded takes the process with it, and whether it does hangs
on what was imported first.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path


def modules() -> list[str]:
    """Return the names of the compiled modules."""
    spec = find_spec("vallum")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    found = (path.relative_to(package.parent) for path in package.rglob("*.so"))
    return sorted(".".join([*path.parts[:-1], path.name.partition(".")[0]]) for path in found)


def code_of(module: str) -> int | None:
    """Import a module in a process of its own, and return how that ended."""
    process = get_context("spawn").Process(target=import_module, args=(module,))
    process.start()
    process.join()
    return process.exitcode


if __name__ == "__main__":
    codes = {name: code_of(name) for name in modules()}
    found = [f"{name} cannot be imported alone: exit code {code}" for name, code in codes.items() if code != 0]
    sys.exit("\n".join(found) if found else 0)
