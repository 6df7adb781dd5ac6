"""Finds the files of rules that a policy names, and has ModSecurity read them."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from vallum.checks.modsecurity import Modsecurity

if TYPE_CHECKING:
    from pathlib import Path

    from vallum.checks.modsecurity import ModsecurityConfig
    from vallum.config.faults import Faults
    from vallum.config.source import Place

LEFT_OUT = ("REQUEST-910-", "REQUEST-912-", "RESPONSE-")
"""How files begin that a folder may hold in vain: about addresses, about how often one calls, and about answers."""

SETS_KEPT = 8
_read: dict[bytes, Modsecurity] = {}


def build_modsecurity(faults: Faults, config: ModsecurityConfig, place: Place) -> Modsecurity | None:
    """Build the check, or return the one built before of the same rules; None after noting what is wrong with them."""
    files: list[Path] = []
    key = sha256(msgspec.json.encode(config))
    for index, name in enumerate(config.rules):
        at = (*place, "rules", index)
        path = faults.source.resolve(name)
        found = list_rules(path)
        if not found:
            what = "holds no *.conf" if path.is_dir() else "is not there"
            hint = "apt-get install modsecurity-crs has the Core Rule Set; paths are relative to the policy file"
            faults.note(at, f"{name} {what}", hint)
            return None
        beside = sorted((path if path.is_dir() else path.parent).glob("*.data"))  # which rules read
        for file in (*found, *beside):
            text = faults.read_file(str(file.absolute()), at)
            if text is None:
                return None
            key.update(sha256(str(file.absolute()).encode()).digest() + sha256(text).digest())
        files += found
    if key.digest() not in _read:
        check = faults.attempt((*place, "rules"), Modsecurity, config, files)
        if check is None:
            return None
        if len(_read) >= SETS_KEPT:
            _read.clear()
        _read[key.digest()] = check
    return _read[key.digest()]


def list_rules(path: Path) -> list[Path]:
    """Return a file, or the files of a folder in the order of their names; nothing where neither is there."""
    if path.is_dir():
        return [file for file in sorted(path.glob("*.conf")) if not file.name.startswith(LEFT_OUT)]
    return [path] if path.is_file() else []
