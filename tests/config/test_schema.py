"""The JSON Schema of the policy file says what the decoder takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from vallum.config.schema import config_schema

BAD = Path(__file__).parents[1] / "bad_config"
GOOD: dict[str, Any] = {
    "version": 1,
    "upstreams": {"m": {"url": "http://127.0.0.1:9000"}},
    "authenticators": {"k": {"type": "api_key"}},
    "routes": [
        {
            "name": "a",
            "match": {"methods": ["GET"], "path": "/a"},
            "upstream": "m",
            "auth": {"any_of": ["k"]},
            "quotas": ["10 per minute", {"limit": "5 per day", "per": "tenant"}],
            "checks": [{"type": "sqli"}, {"type": "prompt_injection", "mode": "shadow"}],
        }
    ],
}


@pytest.fixture(scope="module")
def validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(config_schema())


def test_it_is_a_schema_of_this_draft() -> None:
    schema = config_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "Vallum policy"
    assert jsonschema_rs.meta.is_valid(schema)


def test_a_policy_holds(validator: jsonschema_rs.Validator) -> None:
    validator.validate(GOOD)


# What a schema can see.  Names that lead nowhere and grammars inside of texts are the compiler's to find.
SEEN = "unknown_keys missing_keys not_one_of methods no_methods unknown_types version a_list no_routes names stores"


@pytest.mark.parametrize("name", [*SEEN.split(), "numbers_out_of_range", "wrong_types"])
def test_what_the_decoder_refuses_the_schema_refuses(validator: jsonschema_rs.Validator, name: str) -> None:
    assert not validator.is_valid(yaml.safe_load((BAD / f"{name}.yaml").read_text()))


def test_every_key_says_what_it_is_for() -> None:
    definitions = config_schema()["$defs"]
    assert {"RouteConfig", "ListenConfig", "QuotaConfig"} <= set(definitions)
    mute = [
        f"{name}.{key}"
        for name in ("ListenConfig", "UpstreamConfig", "MatchConfig", "AuthConfig", "QuotaConfig")
        for key, value in definitions[name]["properties"].items()
        if not any("description" in part for part in (value, *value.get("anyOf", [])))
    ]
    assert mute == []
