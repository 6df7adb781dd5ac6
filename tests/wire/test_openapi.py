"""A FastAPI upstream behind a policy that was imported from its own document, met by schemathesis.

Every generated request is judged twice, by nobody of ours: the upstream itself is asked alone, and the JSON Schema of
its document is asked about the body.  Valid is what both take.  Texts of the query are held to tables written here:
the upstream reads `yes` as true and `5.0` as 5, which its document does not promise.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import pytest
import requests
import schemathesis
import uvicorn
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.wire import openapi_app

from vallum.cli.drafts import import_openapi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.wire.conftest import Opener

EXAMPLES = 80  # for each of 7 operations
BOUNDED = settings(
    max_examples=EXAMPLES,
    phases=[Phase.generate],
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
BODIES = {
    "POST /predict": "#/components/schemas/Predict",
    "POST /chat": "#/components/schemas/Chat",
    "PUT /trees/{tree}": "#/components/schemas/Node",
    "PATCH /settings": "#/components/schemas/Body_settings_settings_patch",
    "POST /batch": "#/paths/~1batch/post/requestBody/content/application~1json/schema",
}


def _is_date(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
INTEGER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
QUERY: dict[str, dict[str, Callable[[str], Any]]] = {
    "GET /models/{name}/items": {
        "limit": INTEGER.fullmatch,
        "ratio": NUMBER.fullmatch,
        "colour": {"red", "green", "blue"}.__contains__,
        "since": _is_date,
        "word": re.compile("[a-z]{2,10}").fullmatch,
    },
    "DELETE /models/{name}": {"force": {"true", "false"}.__contains__},
    "PUT /trees/{tree}": {"dry": {"true", "false"}.__contains__},
}
PATHS = {"PUT /trees/{tree}": re.compile(r"/trees/[1-9]\d*", re.ASCII)}


@contextmanager
def upstream() -> Iterator[str]:
    """Run the application on loopback."""
    openapi_app.reached.clear()
    server = uvicorn.Server(uvicorn.Config(openapi_app.app, host="127.0.0.1", port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


class Judge:
    """Sends what schemathesis makes through the gateway, and says what should have become of it."""

    def __init__(self, gateway: str, alone: str, key: str, *, loose: bool) -> None:
        self._gateway, self._alone, self._key = gateway, alone, key
        self._session = requests.Session()
        document = json.loads(json.dumps(openapi_app.app.openapi()))
        if not loose:  # the one body whose model FastAPI makes itself, and leaves open
            document["components"]["schemas"]["Body_settings_settings_patch"]["additionalProperties"] = False
        self._bodies = {
            name: jsonschema_rs.validator_for(
                {"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": reference, **document},
                validate_formats=True,
            )
            for name, reference in BODIES.items()
        }
        self.counts: Counter[str] = Counter()
        self.faults: list[tuple[Any, ...]] = []

    def meet(self, case: Any) -> None:
        operation = f"{case.method.upper()} {case.path}"
        seen = len(openapi_app.reached)
        through = self._send(case, self._gateway, {"authorization": f"Bearer {self._key}"})
        reached = openapi_app.reached[seen:]
        alone = self._send(case, self._alone, {"x-judge": "1"})
        valid = alone.status_code < 400 and self._is_meant(operation, alone.request)
        self.counts["valid" if valid else "invalid"] += 1
        self.counts["reached"] += len(reached)
        if bool(reached) != valid or (valid and through.status_code >= 400):
            shown = alone.request.url, alone.request.body, dict(alone.request.headers)
            self.faults.append((operation, valid, reached, through.status_code, through.text, alone.status_code, shown))
        assert through.status_code < 500

    def _send(self, case: Any, url: str, fields: dict[str, str]) -> requests.Response:
        arguments = case.as_transport_kwargs(base_url=url, headers=fields)
        arguments["headers"].update(fields)  # over what was generated
        return self._session.request(**arguments, timeout=10, allow_redirects=False)

    def _is_meant(self, operation: str, request: requests.PreparedRequest) -> bool:
        url = urlsplit(request.url or "")
        pairs = parse_qsl(url.query, keep_blank_values=True)
        known = QUERY.get(operation, {})
        names = [name for name, _ in pairs if name != "colour"]
        if len(set(names)) != len(names) or not all(name in known and known[name](text) for name, text in pairs):
            return False
        if operation in PATHS and not PATHS[operation].fullmatch(url.path):
            return False
        if operation not in BODIES:
            return not request.body
        body: Any = request.body or b"null"
        return self._bodies[operation].is_valid(json.loads(body))


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("mode", "loose"), [("positive", False), ("negative", False), ("positive", True)])
async def test_what_is_valid_passes_and_what_is_not_never_arrives(
    opened: Opener, tmp_path: Path, mode: str, loose: bool
) -> None:
    with upstream() as url:
        policy = tmp_path / "policy.yaml"
        wanted = [f"{url}/openapi.json", "-o", str(policy), *(["--loose"] if loose else [])]
        done = await asyncio.to_thread(CliRunner().invoke, import_openapi, wanted, standalone_mode=False)
        assert done.exit_code == 0, (done.output, done.exception)
        door = await opened(f"{policy.read_text()}admin: {{}}\n", upstream=url, beside=tmp_path)
        judge = Judge(f"http://127.0.0.1:{door.port}", url, door.key, loose=loose)

        def run() -> None:
            schema = schemathesis.openapi.from_dict(openapi_app.app.openapi())
            for result in schema.get_all_operations():
                operation: Any = result.ok()  # type: ignore[union-attr]  # our own document holds
                cases = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))
                meet: Any = seed(5)(BOUNDED(given(cases)(judge.meet)))  # type: ignore[no-untyped-call]  # `operation` has no type
                meet()

        await asyncio.to_thread(run)
        hidden = [
            (await asyncio.to_thread(judge._session.get, f"http://127.0.0.1:{door.port}{path}")).status_code
            for path in ("/openapi.json", "/docs", "/redoc")
        ]
    print(f"\nschemathesis, {mode}, {'loose' if loose else 'strict'}: {dict(judge.counts)}, wrong {len(judge.faults)}")
    assert judge.faults[:5] == []
    assert sum(judge.counts.values()) >= 500
    assert hidden == [404, 404, 404]
