"""The JSON Schema of the policy file, generated from the structs."""

from __future__ import annotations

from typing import Any

import msgspec

from vallum.config.model import Config


def config_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12)."""
    schema = msgspec.json.schema(Config)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Vallum policy",
        **schema,
    }
