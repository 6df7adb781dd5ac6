"""External authorisation (envoy.service.auth.v3.Authorization): whether a request may pass, and changed in what way.

Header values are written into `value`: ext_authz never reads `raw_value`, and a field that stands there arrives empty.
Whatever cannot be decided is refused: an error would leave it to Envoy's `failure_mode_allow`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from vallum.adapters.asking import Asking, Leave, Refused
from vallum.adapters.envoy import messages_pb2 as pb
from vallum.core.address import within

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vallum.adapters.asking import Field, House
    from vallum.adapters.beyond import Beyond
    from vallum.adapters.envoy.facts import Facts
    from vallum.core.address import Network

log = logging.getLogger("vallum")

OVERWRITE = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
APPEND = pb.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD
OK, PERMISSION_DENIED, UNAUTHENTICATED = 0, 7, 16  # google.rpc.Code
NOT_ASKED = pb.CheckResponse(
    status=pb.Status(code=PERMISSION_DENIED),
    denied_response=pb.DeniedHttpResponse(status=pb.HttpStatus(code=403)),
)


class Authorization:
    """Answers Envoy's checks."""

    def __init__(
        self,
        house: House,
        facts: Facts,
        peers: Sequence[Network],
        accepted: frozenset[Beyond] = frozenset(),
    ) -> None:
        """Judge by `house`; only `peers` may ask; the losses in `accepted` do not refuse."""
        self._house = house
        self._facts = facts
        self._peers = peers
        self._accepted = accepted

    async def check(self, message: bytes, asker: str) -> bytes:
        """Answer one CheckRequest from `asker`, an address."""
        if not within(asker, self._peers):
            log.warning("%s asked and may not: it is not in trusted_proxies", asker)
            return NOT_ASKED.SerializeToString()
        try:
            attributes = pb.CheckRequest.FromString(message).attributes
        except DecodeError:
            attributes = pb.AttributeContext()  # it has no method, and is refused for that
        asked = self._facts.read(attributes, asker)
        said = await Asking(self._house, asked.request, asked.body, self._accepted).decide(asked.fault)
        answer = _refuse(said) if isinstance(said, Refused) else _pass(asked.target, said)
        return answer.SerializeToString()


def _refuse(said: Refused) -> pb.CheckResponse:
    code = UNAUTHENTICATED if said.status == 401 else PERMISSION_DENIED
    denied = pb.DeniedHttpResponse(
        status=pb.HttpStatus(code=said.status), headers=write_fields(said.fields), body=said.body
    )
    return pb.CheckResponse(status=pb.Status(code=code), denied_response=denied)


def _pass(target: str, said: Leave) -> pb.CheckResponse:
    fields = list(said.fields)
    if said.target != target:  # the one form that was matched is the one that is forwarded
        fields.append((":path", said.target))
    ok = pb.OkHttpResponse(
        headers=write_fields(fields),
        headers_to_remove=said.removed,
        response_headers_to_add=write_fields(said.answer_fields),
    )
    return pb.CheckResponse(status=pb.Status(code=OK), ok_response=ok)


def write_fields(fields: Iterable[Field]) -> list[pb.HeaderValueOption]:
    """Write header fields that take the place of whatever is there under their names."""
    written: list[pb.HeaderValueOption] = []
    names: set[str] = set()
    for name, value in fields:
        header = pb.HeaderValue(key=name, value=value.encode())
        action = APPEND if name in names else OVERWRITE
        written.append(pb.HeaderValueOption(header=header, append_action=action, keep_empty_value=True))
        names.add(name)
    return written
