"""Reports of a run, by the ending of the file that holds them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from vallum.probe.reports.html import write_html
from vallum.probe.reports.junit import write_junit
from vallum.probe.reports.sarif import write_sarif
from vallum.probe.result import Result


def write_json(result: Result) -> str:
    """Write the JSON report, which --baseline reads again."""
    return json.dumps(result.as_json(), ensure_ascii=False, indent=2) + "\n"


WRITERS: Mapping[str, Callable[[Result], str]] = {
    ".html": write_html,
    ".sarif": write_sarif,
    ".xml": write_junit,
    ".json": write_json,
}
