"""Signatures of the Wycheproof project, checked with the keys and the algorithms that tokens are checked with."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest

from vallum.authenticators.oauth2.keys import Keys
from vallum.authenticators.oauth2.tokens import Token, _Registry

FILE = Path(__file__).parents[1] / "vectors" / "wycheproof_signatures.json"
ALGORITHMS: dict[str, dict[str, Any]] = json.loads(FILE.read_text())["algorithms"]


def decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("alg", list(ALGORITHMS))
def test_every_case_has_its_result(alg: str) -> None:
    algorithm = _Registry(algorithms=[alg]).get_alg(alg)
    seen = 0
    for group in ALGORITHMS[alg]["groups"]:
        key = Keys([group["key"]]).find(Token("", alg, None, None, {}))
        for case, message, signature, result in group["tests"]:
            good = algorithm.verify(decode(message), decode(signature), key)
            assert good == (result == "valid") or result == "acceptable", (alg, case)
            seen += 1
    assert seen > 100
