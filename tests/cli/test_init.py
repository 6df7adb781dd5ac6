"""What `vallum init` writes holds, for every format; and the defaults name each known path with its own format."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from vallum.cli.main import vallum
from vallum.cli.terminal import DEFAULTS
from vallum.config.compile import load_policy
from vallum.config.source import parse_source, read_source
from vallum.core.policy import Mode
from vallum.presets import METERED, PRESETS
from vallum.presets.paths import PATHS, READ, method

FAMILY_NAMES = sorted({name.partition(".")[0] for name in PATHS})


def draft(*presets: str) -> str:
    args = [word for name in presets for word in ("--preset", name)]
    done = CliRunner().invoke(vallum, ["init", *args, "--upstream", "http://127.0.0.1:9001"])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("name", PRESETS)
def test_a_format_has_a_policy_to_start_from(name: str) -> None:
    config, policy = load_policy(parse_source(Path("vallum.yaml"), draft(name).encode(), {}))
    (route,) = policy.routes
    assert (config.routes[0].preset, config.routes[0].preset_version) == (name, PRESETS[name].version)
    assert route.mode is Mode.ENFORCE
    assert route.authenticators
    assert config.upstreams["model"].url == "http://127.0.0.1:9001"
    assert any(limit.quota.unit == "tokens" for limit in route.limits) == (name in METERED)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_family_has_a_route_for_each_of_its_paths(family: str) -> None:
    _, policy = load_policy(parse_source(Path("vallum.yaml"), draft(family).encode(), {}))
    paths = [route.pattern.text for route in policy.routes]
    assert sorted(paths) == sorted({path for name, path in PATHS.items() if name.startswith(f"{family}.")})


def test_formats_can_be_joined_and_none_stands_twice() -> None:
    assert draft("ollama", "openai.chat", "ollama.chat").count("preset: ollama.chat\n") == 1


@pytest.mark.parametrize(
    ("word", "near"), [("ollama.caht", "ollama.chat"), ("predict", "predict.csv, predict.json"), ("x", "openai.chat")]
)
def test_an_unknown_format_is_answered_with_those_that_there_are(word: str, near: str) -> None:
    done = CliRunner().invoke(vallum, ["init", "--preset", word])
    assert done.exit_code == 2
    assert near in done.output


def test_paths_are_of_presets_that_there_are() -> None:
    assert set(PATHS) <= set(PRESETS)
    assert set(PATHS) >= READ


def test_the_defaults_hold_each_known_path_to_its_format() -> None:
    config, policy = load_policy(read_source(DEFAULTS, {}))
    presets = {route.name: route.preset for route in config.routes}
    named = {preset for preset in presets.values() if preset in PATHS}
    assert named >= {"openai.chat", "openai.responses", "anthropic.messages", "ollama.chat", "kserve.infer"}
    for preset in named:
        route = policy.find_route(method(preset), PATHS[preset].replace("*", "digits"))
        assert route is not None
        assert presets[route.name] == preset
    assert (config.routes[-1].match.path, config.routes[-1].preset) == ("/**", "json")


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions/", "/api/chat/", "/v2/models/m/infer/", "/api/blobs/sha256:1", "/v2/repository/index"],
)
def test_no_other_spelling_of_a_known_path_is_served(path: str) -> None:
    policy = load_policy(read_source(DEFAULTS, {}))[1]
    assert policy.find_route("POST", path) is None
