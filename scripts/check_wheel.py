"""Hold a compiled wheel against the sources: every file is in it, and what is to be compiled is.

python scripts/check_wheel.py dist/vallum-*-cp*.whl
"""

from __future__ import annotations

import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
LEFT_OUT = ("*/__pycache__/*", "*.pyc", "*.so")


def sources() -> set[str]:
    """Return the package's files, by their path in src."""
    src = ROOT / "src"
    found = (str(path.relative_to(src)) for path in (src / "vallum").rglob("*") if path.is_file())
    return {name for name in found if not any(fnmatch(name, pattern) for pattern in LEFT_OUT)}


def to_compile() -> set[str]:
    """Return the modules that pyproject.toml lists for the compiler; raise SystemExit for an entry that names none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    listed: set[str] = set()
    for entry in hook["include"]:
        modules = {str(path.relative_to(ROOT)) for path in ROOT.glob(entry)}
        if not modules:
            raise SystemExit(f"pyproject.toml has {entry} compiled, which is not there")
        listed |= modules
    plain = {name for name in listed if any(fnmatch(name, pattern) for pattern in hook["exclude"])}
    return {name.removeprefix("src/").removesuffix(".py") for name in listed - plain}


def faults(wheel: Path) -> list[str]:
    """Say what is not in `wheel` and should be."""
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    compiled = {name.partition(".")[0] for name in names if name.endswith(".so")}
    missing = [f"{name} is not in it" for name in sorted(sources() - names)]
    return missing + [f"{name}.py is not compiled in it" for name in sorted(to_compile() - compiled)]


if __name__ == "__main__":
    found = [f"{name}: {fault}" for name in sys.argv[1:] for fault in faults(Path(name))]
    sys.exit("\n".join(found) if found else 0)
