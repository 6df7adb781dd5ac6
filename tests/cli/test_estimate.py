"""`vallum estimate`: what leaves is read off the route itself, and the arithmetic of quotas is the counters' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner, Result

from vallum.cli.main import vallum
from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.estimate.form import form_of, kind_of
from vallum.estimate.price import Thief, estimate, read_costs
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from vallum.estimate.price import Estimated

CONFIDENCE = {"field": "confidence"}


def policy_of(preset: str = "json", quotas: Any = (), response: Any = None, **route: Any) -> str:
    return json.dumps(
        {
            "version": 1,
            "upstreams": {"model": {"url": "http://127.0.0.1:9"}},
            "authenticators": {"keys": {"type": "api_key"}},
            "routes": [
                {
                    "name": "it",
                    "match": {"methods": ["POST"], "path": "/it"},
                    "upstream": "model",
                    "auth": {"any_of": ["keys"]},
                    "preset": preset,
                    "quotas": list(quotas),
                    "response": response or {},
                    **route,
                }
            ],
        }
    )


def told(*args: Any, thief: Thief = Thief(), **route: Any) -> Estimated:  # noqa: B008  a frozen dataclass
    config, policy = load_policy(parse_source(Path("p.yaml"), policy_of(*args, **route).encode(), {}))
    return estimate(config, policy, thief)[0]


@pytest.mark.parametrize(
    ("preset", "response", "form"),
    [
        ("raw", None, "all"),
        ("json", None, "all"),
        ("json", {"fields": ["prediction"]}, "label"),
        ("json", {"fields": ["prediction", "confidence"]}, "score"),
        ("json", {"fields": ["prediction", "confidence"], "confidence": CONFIDENCE | {"round": 3}}, "score"),
        (
            "json",
            {"fields": ["prediction", "confidence"], "confidence": CONFIDENCE | {"round": 2}},
            "score, 2 decimals",
        ),
        ("json", {"fields": ["prediction", "confidence"], "confidence": CONFIDENCE | {"round": 1}}, "band"),
        ("json", {"fields": ["label", "conf"], "confidence": {"field": "conf", "bands": {"a": 0.0}}}, "band"),
        ("json", {"fields": ["label", "conf"], "confidence": {"field": "conf", "threshold": 0.9}}, "label"),
        ("json", {"fields": ["a.b", "a.probs"], "confidence": {"field": "a.probs", "round": 2}}, "all, 2 decimals"),
        (
            "json",
            {"confidence": {"field": "predictions.*.score", "round": 2}, "fields": ["predictions"]},
            "score, 2 decimals",
        ),
        ("predict.json", None, "score"),
        ("predict.json", {"disclose": ["probabilities"]}, "all"),
        (
            "predict.json",
            {"disclose": ["probabilities"], "confidence": {"field": "probabilities", "round": 1}},
            "all, 1 decimal",
        ),
        ("kserve.infer_json", None, "score"),
        ("kserve.infer_json", {"disclose": ["probabilities"]}, "all"),
        (
            "kserve.infer_json",
            {"confidence": {"field": "outputs.name=confidence.data", "round": 2}},
            "score, 2 decimals",
        ),
        ("tf_serving.predict", None, "score"),
        ("tf_serving.classify", None, "all"),
        ("torchserve.predict", None, "all"),
        ("torchserve.predict", {"confidence": {"field": "*", "round": 2}}, "all, 2 decimals"),
        ("vllm.classify", None, "label"),
        ("vllm.classify", {"disclose": ["probabilities"]}, "all"),
        ("vllm.score", None, "score"),
        ("vllm.rerank", None, "score"),
        ("image.json", None, "score"),
    ],
)
def test_what_leaves_is_read_off_the_route(preset: str, response: Any, form: str) -> None:
    text = policy_of(preset, response=response)
    config, policy = load_policy(parse_source(Path("p.yaml"), text.encode(), {}))
    assert form_of(config.routes[0], policy.routes[-1].outlet) == form


def test_every_preset_is_of_a_kind_and_every_form_has_its_figures() -> None:
    assert {kind_of(name) for name in PRESETS} == {"classes", "text", "vector", "none"}
    costs = read_costs()
    assert all(held["source"] and held["words"] for held in costs["forms"].values())
    for name, preset in PRESETS.items():
        if kind_of(name) != "none" and preset.request.media_types:
            assert told(name).goals, name


def test_a_linear_model_falls_to_as_many_equations_as_it_has_unknowns() -> None:
    """34 and 71 queries were measured."""
    binary, digits = Thief(inputs=30, classes=2), Thief(inputs=64, classes=10)
    assert told(thief=binary).goals[0].queries == (35, 35)
    assert told(thief=digits).goals[0].queries == (72, 72)
    assert told(thief=Thief(parameters=650, classes=10)).goals[0].queries == (80, 80)
    assert told(response={"fields": ["prediction"]}).goals[0].queries is None


@pytest.mark.parametrize(
    ("quotas", "a_day", "bound_by"),
    [
        ([], None, "nothing"),
        (["200 per day"], 200, "day"),
        (["10 per minute"], 14_400, "minute"),
        (["10 per minute", "200 per day"], 200, "day"),
        (["700 per 7 days"], 700, "7-days"),
        ([{"limit": 60, "unit": "concurrent"}, "5 per day"], 5, "day"),
        ([{"limit": "5 per day", "mode": "shadow", "name": "later"}, "50 per day"], 50, "day"),
        ([{"limit": "24 per day", "strategy": "smooth", "burst": 4}], 28, "day"),
        ([{"limit": "5 per day", "per": "route"}], 5, "day-route"),
    ],
)
def test_an_account_has_what_its_quotas_let_through(quotas: Any, a_day: float | None, bound_by: str) -> None:
    found = told(quotas=quotas, response={"fields": ["prediction"]})
    assert (None if found.account_a_day is None else round(found.account_a_day), found.bound_by) == (a_day, bound_by)


def test_accounts_days_and_money() -> None:
    found = told(
        quotas=["100 per day"],
        response={"fields": ["prediction"]},
        price={"per_call": 0.5},
        thief=Thief(account_cost=2.0),
    )
    nine = next(goal for goal in found.goals if goal.name == "agrees in 90 %")
    assert nine.queries == (334, 10_000)
    assert nine.accounts_in_a_day == (4, 100)
    assert [round(low) for low, _ in nine.days] == [3, 0, 0]
    assert nine.money == (4 * 2.0 + 334 * 0.5, 100 * 2.0 + 10_000 * 0.5)


def test_a_quota_of_all_accounts_together_holds_whatever_their_number() -> None:
    found = told(quotas=["100 per day", {"limit": "1000 per day", "per": "route"}], response={"fields": ["label"]})
    nine = found.goals[1]
    assert found.route_a_day == 1000
    assert nine.accounts_in_a_day is None, "the harder model is not to be had in a day"
    assert [round(high) for _, high in nine.days] == [99, 9, 9]


def test_a_request_of_many_rows_is_many_answers() -> None:
    found = told("predict.json", quotas=["10 per day"])
    assert (found.batch, found.account_a_day) == (256, 2560)
    assert told("predict.json", quotas=["10 per day"], request={"bounds": {"rows": 1}}).account_a_day == 10


def test_tokens_and_money_bound_texts() -> None:
    quotas = [{"limit": "100000 per day", "unit": "tokens"}, {"limit": "1.00 per day", "unit": "money"}]
    price = {"per_million_output_tokens": 20.0}
    found = told("openai.chat", quotas=quotas, price=price, thief=Thief(tokens=500))
    assert found.account_a_day == pytest.approx(100)
    assert found.goals[-1].queries is None, "the width is not to be had"


def test_free_biases_give_the_width_away() -> None:
    open_door = {"bounds": {"nudge": 100, "nudges": 300}}
    width = told("openai.chat", request=open_door, thief=Thief(width=64)).goals[-1]
    assert width.queries == (22_858, 22_858)
    echoed = told("openai.completions", response={"disclose": ["logprobs", "echo"]}).goals[-1]
    assert echoed.queries is not None


def test_the_watch_stands_in_the_way_of_what_is_unlike_honest_use() -> None:
    watched: dict[str, Any] = {
        "extraction": {"watch": True, "respond": "graduated"},
        "request": {"features": {"path": "x", "kind": "vector"}},
    }
    found = told(response={"fields": ["label"]}, **watched)
    assert found.watch
    unlike = found.goals[-1]
    assert unlike.watched
    assert unlike.days[-1][1] == pytest.approx((10_000 - 310) / 20)
    assert unlike.accounts_in_a_day is None
    observed = watched | {"extraction": {"watch": True, "respond": "observe"}}
    assert not told(response={"fields": ["label"]}, **observed).watch


# --- the command


def run(folder: Path, text: str, *args: str) -> Result:
    (folder / "vallum.yaml").write_text(text)
    return CliRunner().invoke(vallum, ["estimate", str(folder / "vallum.yaml"), *args])


def test_people_read_it_in_80_columns_with_what_it_rests_on(tmp_path: Path) -> None:
    result = run(tmp_path, policy_of(quotas=["100 per day", {"limit": "9 per day", "per": "ip"}]))
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    for words in ("the exact scores of all classes", "agrees in 95 %", "Taken for granted", "Not modelled"):
        assert words in result.output


def test_json_has_no_number_that_is_none(tmp_path: Path) -> None:
    result = run(tmp_path, policy_of(quotas=[{"limit": "5 per day", "per": "route"}]), "--json", "--classes", "2")
    facts = json.loads(result.stdout)
    assert facts["thief"]["classes"] == 2
    assert facts["policy"][0]["form"] == "all"
    assert "Infinity" not in result.stdout


def test_a_change_is_told_before_it_is_made(tmp_path: Path) -> None:
    then = yaml.safe_load(policy_of(quotas=["10 per day"], response={"fields": ["label"]}))
    then["routes"].append({**then["routes"][0], "name": "more", "match": {"methods": ["POST"], "path": "/more"}})
    (tmp_path / "then.yaml").write_text(json.dumps(then))
    result = run(tmp_path, policy_of(quotas=["100 per day"]), "--compare", str(tmp_path / "then.yaml"))
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert "x 0.10" in result.output
    assert "only in the second" in result.output
    facts = json.loads(run(tmp_path, policy_of(), "--json", "--compare", str(tmp_path / "then.yaml")).stdout)
    assert len(facts["compared"]) == 2


def test_a_policy_that_sells_no_answers_is_said_so(tmp_path: Path) -> None:
    result = run(tmp_path, policy_of("openai.models", match={"methods": ["GET"], "path": "/it"}))
    assert "No route" in result.output
