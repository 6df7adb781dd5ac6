"""The table once more, through ext_authz: what a proxy that only asks is told, over gRPC and over HTTP.

It is told of the request alone.  So a row that the model is asked in must get leave here, whatever becomes of the
answer: rows that fail there are allowed here, and that is what is compared.  All others get the same refusal, to the
byte.  The losses are accepted, or the routes that filter answers would be refused whole; a test of its own holds that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.clock import read_clock
from tests.parity.memory import House, outcome_of
from tests.parity.table import FORMATS, POLICY, ROWS, Row
from tests.parity.test_parity import fields_of

from vallum.adapters.beyond import Beyond
from vallum.adapters.envoy import messages_pb2 as pb
from vallum.adapters.envoy.authorization import Authorization
from vallum.adapters.envoy.facts import Facts
from vallum.adapters.requests import Requests
from vallum.core.address import parse_networks
from vallum.core.policy import Mode

if TYPE_CHECKING:
    from tests.parity.conftest import Both
    from tests.parity.memory import Fields

ALL = frozenset(Beyond)
UPSTREAM = "upstream"


@pytest.fixture
def policy_text() -> str:
    return POLICY


class Asked:
    """Asks as Envoy does."""

    def __init__(self, both: Both, accepted: frozenset[Beyond]) -> None:
        policy = both.inner.engine.policy
        self.house = House(policy, both.outer.gateway.registry, both.inner.watchers)
        facts = Facts(Requests(read_clock, self.house.new_id))
        self.authorization = Authorization(self.house, facts, parse_networks(["127.0.0.1"]), accepted)

    async def ask(self, method: str, target: str, fields: Fields, body: bytes) -> pb.CheckResponse:
        passed = [("x-envoy-auth-partial-body", "false")] if body else []
        pairs = [(":method", method), (":path", target), *fields, *passed]
        headers = [pb.HeaderValue(key=name.lower(), raw_value=value.encode("latin-1")) for name, value in pairs]
        attributes = pb.AttributeContext(
            source=pb.AttributeContext.Peer(
                address=pb.Address(socket_address=pb.SocketAddress(address="127.0.0.1", port_value=9))
            ),
            request=pb.AttributeContext.Request(
                http=pb.AttributeContext.HttpRequest(
                    method=method.encode(),
                    path=target.encode("latin-1"),
                    host=b"a",
                    scheme=b"http",
                    header_map=pb.HeaderMap(headers=headers),
                    raw_body=body,
                )
            ),
        )
        message = pb.CheckRequest(attributes=attributes).SerializeToString()
        return pb.CheckResponse.FromString(await self.authorization.check(message, "127.0.0.1"))


def told(options: Any) -> Fields:
    return [(one.header.key, one.header.value.decode()) for one in options]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_a_proxy_that_asks_is_told_what_the_gateway_decides(both: Both, row: Row) -> None:
    await compare(both, row)


@pytest.mark.parametrize("preset", FORMATS)
async def test_a_proxy_that_asks_is_told_so_of_every_format(both: Both, preset: str) -> None:
    for row in FORMATS[preset]:
        await compare(both, row)


async def compare(both: Both, row: Row) -> None:
    """Ask in memory and as Envoy does, and hold that they were told the same."""
    fields, asked = fields_of(row, both), Asked(both, ALL)
    for _ in range(row.times):
        inner = await both.inner.ask(row.method, row.target, fields, row.body or b"")
        said = await asked.ask(row.method, row.target, fields, row.body or b"")
    record = asked.house.records[-1]
    if inner.received is None and inner.control != UPSTREAM:
        denied = said.denied_response
        got = outcome_of(record, denied.status.code, told(denied.headers), denied.body, None)
        shown = b"" if row.method == "HEAD" else got.body
        assert got._replace(body=shown) == inner
        assert said.status.code in (7, 16)
        return
    assert (said.status.code, record["decision"]) == (0, "allow")
    ok = said.ok_response
    paths = [value for name, value in told(ok.headers) if name == ":path"]
    if inner.received is not None:
        method, target, body = inner.received
        assert (method, paths[0] if paths else row.target) == (row.method, target)
        if body != (row.body or b""):
            assert "rewrites (an accepted loss)" in record["unscanned"]
    assert dict(told(ok.headers))["x-request-id"] == record["request_id"]
    gone = set(ok.headers_to_remove)
    assert gone.isdisjoint({"content-length", "content-type", "host"})
    assert {name.lower() for name, _ in fields if name.lower() in ("authorization", "x-api-key")} <= gone


async def test_what_is_beyond_it_is_refused_unless_accepted(both: Both) -> None:
    """Every row that reaches the model, with nothing accepted: refused if its answers are read, or its body changes."""
    asked = Asked(both, frozenset())
    routes = {route.name: route for route in asked.house.engine.policy.routes}
    refused = set()
    for row in ROWS:
        fields = fields_of(row, both)
        inner = await both.inner.ask(row.method, row.target, fields, row.body or b"")
        if inner.received is None:
            continue
        said = await asked.ask(row.method, row.target, fields, row.body or b"")
        record = asked.house.records[-1]
        route = routes[record["route"]]
        beyond = route.mode is Mode.ENFORCE and (route.outlet.reads or inner.received[2] != (row.body or b""))
        if "control" in record:
            assert record["control"].startswith(("ext_authz", "quota:")), row.name
            refused.add(route.name)
        assert (said.status.code == 0) == (not beyond) or record.get("control", "").startswith("quota:"), row.name
    assert {"predict", "chat"} <= refused
    assert {"raw", "open", "shadow"}.isdisjoint(refused)
