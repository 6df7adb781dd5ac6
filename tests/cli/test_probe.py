"""`vallum probe`: who may be probed, what an honest request is, what it prints and how it ends."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from vallum.cli.main import vallum
from vallum.probe.budget import Budget
from vallum.probe.example import example_of, invent, invent_for
from vallum.probe.session import Session
from vallum.probe.target import open_target

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = ["--body", '{"input_text": "Where is my parcel?"}']


class Open(BaseHTTPRequestHandler):
    """Serves whoever asks."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"prediction": "a"}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Open)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/predict"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://model.example/predict", *BODY], "--i-am-authorised model.example"),
        (["http://model.example/predict", *BODY, "--i-am-authorised", "other.example"], "is not this machine"),
        (["ftp://127.0.0.1/predict", *BODY], "write it as http://host:port/path"),
        (["http://127.0.0.1:1/predict"], "Give --body, --preset or --openapi"),
        (["http://127.0.0.1:1/predict", "--preset", "openai.chatt"], "openai.chat"),
        (["http://127.0.0.1:1/predict", *BODY, "--report", "a.pdf"], "a report ends in .html, .sarif, .xml, .json"),
        (["http://127.0.0.1:1/predict", *BODY, "--only", "lekage"], "there is authentication"),
        (["http://127.0.0.1:1/predict", *BODY, "--key-header", "X-API-Key"], "with {key} in its value"),
        (["http://127.0.0.1:1/predict", *BODY, "--only", "extraction.surrogate"], "need --cert or --surrogate"),
        (["http://127.0.0.1:1/predict", *BODY, "--cert-key", __file__], "is the key of --cert; name both"),
        (["http://127.0.0.1:1/predict", *BODY, "--cert", __file__], "the address must be https://"),
        (["https://127.0.0.1:1/predict", *BODY, "--cert", __file__], "--cert cannot be used with its key"),
        (["http://127.0.0.1:1/predict", "--body", "{"], "Expecting property name"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(vallum, ["probe", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_an_endpoint_that_is_down_is_exit_code_3() -> None:
    result = CliRunner().invoke(vallum, ["probe", "http://127.0.0.1:1/predict", *BODY, "--only", "leakage", "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout)["counts"] == {"held": 0, "weak": 0, "untested": 11}


def test_a_run_writes_its_reports_and_compares_with_an_earlier_one(url: str, tmp_path: Path) -> None:
    only = ["--only", "authentication.no_key", "--only", "leakage.headers", "--only", "leakage.versions"]
    reports = [tmp_path / f"report{ending}" for ending in (".html", ".sarif", ".xml", ".json")]
    written = [part for path in reports for part in ("--report", str(path))]
    first = CliRunner().invoke(vallum, ["probe", url, *BODY, *only, *written])
    assert first.exit_code == 1, first.output
    assert "it serves whoever asks" in first.output
    assert "Weak: " in first.output
    assert all(path.stat().st_size > 500 for path in reports)
    again = CliRunner().invoke(vallum, ["probe", url, *BODY, *only, "--baseline", str(reports[-1])])
    assert "Nothing changed since the baseline." in again.output
    mild = CliRunner().invoke(vallum, ["probe", url, *BODY, "--only", "leakage.versions"])
    assert mild.exit_code == 0
    assert "What was tested held." in mild.output


def test_keys_are_never_shown(url: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("vk_secret_4711abcd\n")
    result = CliRunner().invoke(
        vallum, ["probe", url, *BODY, "--only", "authentication", "--keys", str(keys), "--json"]
    )
    assert "4711" not in result.output


def test_keys_are_masked_in_evidence() -> None:
    session = Session(open_target("http://127.0.0.1/", {}, keys=("vk_4711abcd",)), Budget())
    assert session.mask("invalid key vk_4711abcX, vk_4711abcd") == "invalid key [key]X, [key]"


def test_an_honest_request_is_made_of_a_schema() -> None:
    schema = json.loads((Path(__file__).parents[2] / "examples" / "predict.schema.json").read_text())
    assert invent(schema) == {"input_text": "Where is my parcel?", "temperature": 1.0}


def test_an_honest_request_is_made_of_an_openapi_document() -> None:
    document = json.loads((Path(__file__).parents[2] / "examples" / "fastapi" / "openapi.json").read_text())
    paths = [path for path, item in document["paths"].items() if "post" in item]
    assert all(isinstance(invent_for(document, "POST", path), dict | list) for path in paths)
    with pytest.raises(ValueError, match="has no POST /nowhere"):
        invent_for(document, "POST", "/nowhere")


def test_a_schema_that_leads_out_or_round_is_told() -> None:
    for schema in ({"$ref": "http://elsewhere/"}, {"anyOf": [{"$ref": "#"}]}):
        with pytest.raises(ValueError, match=r"leads out|too deep"):
            invent(schema)


def test_examples_name_the_model() -> None:
    assert example_of("openai.chat", "mine")["model"] == "mine"
