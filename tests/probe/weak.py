"""A predict server that is as hard as it must be, but for the weaknesses that a test gives it, one by name."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
import traceback
from collections import defaultdict
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import jiter

from vallum.adapters.proxy.server import Listener
from vallum.checks.prompt_injection import PromptInjection, PromptInjectionConfig
from vallum.core.content import Content
from vallum.core.decision import Deny, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from vallum.adapters.proxy.incoming import Incoming

PATH = "/api/v1/predict"
KEYS = tuple(f"vk_test_{number:02}q7w3e9r1t5z8u2i6o4p0" for number in range(30))
BODY = {"input_text": "Where is my parcel?", "temperature": 0.5}
MAX_BYTES, MAX_DEPTH = 65_536, 16
LIMITS = ((10, 2.0), (200, 86_400.0))
JSON = ("content-type", "application/json")
TOLD = ("ratelimit-policy", ", ".join(f'"{index}";q={count};w={span:g}' for index, (count, span) in enumerate(LIMITS)))

# weakness -> the probes that must find it, and no others
WEAKNESSES = {
    "traces": {"leakage.internals"},
    "pages": {"leakage.error_shape"},
    "talkative fields": {"leakage.headers"},
    "logits": {"leakage.scores"},
    "builds": {"leakage.versions"},
    "exact scores": {"leakage.precision"},
    "repeats": {"leakage.echo"},
    "compares slowly": {"leakage.timing"},
    "blanks": {"leakage.size"},
    "open documents": {"leakage.documents"},
    "tells why": {"leakage.unknown_or_wrong"},
    "half a key": {"authentication.wrong_keys"},
    "believes claims": {"authentication.claimed_identity"},
    "key in query": {"authentication.key_in_query"},
    "unsigned tokens": {"authentication.forged_tokens"},
    "loose JSON": {"malformed.bodies"},
    "loose framing": {"malformed.framing"},
    "unbounded": {"malformed.size"},
    "no filter": {"injection.plain", "injection.encoded", "injection.split", "injection.indirect"},
    "echoes markup": {"injection.markup"},
    "opens files": {"injection.files"},
    "evaluates": {"injection.templates"},
    "no limit": {"flood.number", "extraction.pace"},
    "counts by address": {"flood.bypass"},
    "reads, then writes": {"flood.race"},
    "fixed window": {"flood.edge"},
    "names too short a wait": {"flood.retry"},
    "names no wait": {"flood.wait_told"},
}


class Reply(NamedTuple):
    """What the server says."""

    status: int
    document: Any
    fields: tuple[tuple[str, str], ...] = ()


@cache
def _filter() -> PromptInjection:
    return PromptInjection(PromptInjectionConfig())


class Server:
    """The server.  `guarded`: it asks for keys and counts, as it must where nothing stands before it."""

    def __init__(self, weaknesses: Iterable[str] = (), *, guarded: bool = True) -> None:
        self.weak = frozenset(weaknesses)
        assert self.weak <= set(WEAKNESSES), weaknesses
        self.guarded = guarded
        self.calls = 0
        self.url = ""
        self._withheld = 0
        self._served: dict[str, list[float]] = defaultdict(list)

    async def serve(self, incoming: Incoming) -> None:
        """Answer one request of the strict listener."""
        most = 1 << 26 if "unbounded" in self.weak else MAX_BYTES
        body = await incoming.read_body(most) if self._fits(incoming, most) else Deny(Reason.BODY_TOO_LARGE, "bounds")
        if isinstance(body, Deny):
            reply = Reply(400, {"error": "malformed"})
        else:
            reply = await self.decide(incoming.method, incoming.target, list(incoming.headers.fields), body)
        status, fields, data = self.write(reply)
        await incoming.answer(status, fields, data)

    def _fits(self, incoming: Incoming, most: int) -> bool:
        return int(incoming.headers.get("content-length") or 0) <= most

    def write(self, reply: Reply) -> tuple[int, list[tuple[str, str]], bytes]:
        """Write a reply down."""
        fields = [JSON, *reply.fields]
        data = json.dumps(reply.document).encode()
        if "blanks" in self.weak:  # what is withheld was as long as what was sent
            data += b" " * self._withheld
        if reply.status >= 400 and "pages" in self.weak:
            fields[0], data = ("content-type", "text/html"), f"<html><h1>{reply.status}</h1></html>".encode()
        if "talkative fields" in self.weak:
            fields += [("server", "modelserver/1.4.2"), ("x-model-version", "7")]
        return reply.status, fields, data

    async def decide(self, method: str, target: str, fields: list[tuple[str, str]], body: bytes) -> Reply:
        """Judge one request and answer it."""
        self.calls += 1
        path, _, query = target.partition("?")
        named: dict[str, list[str]] = defaultdict(list)
        for name, value in fields:
            named[name.lower()].append(value)
        if "open documents" in self.weak and (method, path) == ("GET", "/openapi.json"):
            return Reply(200, {"openapi": "3.1.0"})
        if self.guarded:
            if "compares slowly" in self.weak and any(key[:-1] in str(named["authorization"]) for key in KEYS):
                await asyncio.sleep(0.01)
            refusal = self._authenticate(named, query)
            if isinstance(refusal, Reply):
                return refusal
        if (method, path) != ("POST", PATH):
            return Reply(404, {"error": "not found"})
        if query and "key in query" not in self.weak and "counts by address" not in self.weak:
            return Reply(400, {"error": "no query"})
        if self.guarded and "no limit" not in self.weak:
            over = await self._count(self._who(named, refusal))
            if over is not None:
                return over
        return self._predict(named, body)

    def _authenticate(self, named: dict[str, list[str]], query: str) -> Reply | str:
        no = Reply(401, {"error": "unauthenticated"}, (("www-authenticate", "Bearer"),))
        if "believes claims" in self.weak and "x-forwarded-user" in named:
            return named["x-forwarded-user"][0]
        if "key in query" in self.weak and query.startswith("access_token="):
            return query.partition("=")[2] if query.partition("=")[2] in KEYS else no
        values = named["authorization"]
        if len(values) != 1 or not values[0].lower().startswith("bearer "):
            return no
        key = values[0][7:].strip()
        if "unsigned tokens" in self.weak and re.match(r"eyJhbGciOiAibm9uZSI[^.]*\.[^.]+\.$", key):
            return "token"
        if "half a key" in self.weak and any(key[:12] == good[:12] for good in KEYS):
            return key
        if key in KEYS:
            return key
        if "tells why" in self.weak and any(key[:-1] == good[:-1] for good in KEYS):
            return no._replace(document={"error": "the secret of this key is wrong"})
        return no

    def _who(self, named: dict[str, list[str]], key: Any) -> str:
        if "counts by address" in self.weak and "x-forwarded-for" in named:
            return str(named["x-forwarded-for"])
        return str(key)

    async def _count(self, who: str) -> Reply | None:
        served, now = self._served[who], time.monotonic()
        for count, span_s in LIMITS:
            if "fixed window" in self.weak and served and now - served[0] >= span_s:
                served.clear()
            recent = served if "fixed window" in self.weak else [when for when in served if when > now - span_s]
            if len(recent) >= count:
                wait_s = math.ceil(recent[-count] + span_s - now)
                told = "1" if "names too short a wait" in self.weak else str(max(1, wait_s))
                fields = () if "names no wait" in self.weak else (("retry-after", told), TOLD)
                return Reply(429, {"error": "too many"}, fields)
        if "reads, then writes" in self.weak:
            await asyncio.sleep(0.02)
        served.append(now)
        return None

    def _predict(self, named: dict[str, list[str]], body: bytes) -> Reply:
        bad = Reply(400, {"error": "malformed"})
        if named["content-type"] != ["application/json"] or named["content-encoding"]:
            return Reply(415, {"error": "media type"})
        try:
            document = self._parse(body)
            text = document["input_text"]
            if not isinstance(text, str) or set(document) - set(BODY):
                raise TypeError("a text is wanted")
            if not 0 <= float(document.get("temperature", 0.0)) <= 2:
                raise ValueError("temperature")
        except (ValueError, KeyError, TypeError, RecursionError):
            return self._explain(bad, body)
        if "no filter" not in self.weak and _filter().inspect(Content({"input_text": text})) is not None:
            return Reply(403, {"error": "rejected"})
        self._withheld = len(text)
        fields = () if "no limit" in self.weak or not self.guarded else (TOLD,)
        return Reply(200, self._answer(text), fields)

    def _explain(self, bad: Reply, body: bytes) -> Reply:
        if "repeats" in self.weak:
            return bad._replace(document={"error": body.decode("utf-8", "replace")[:200]})
        return bad._replace(document={"error": traceback.format_exc()}) if "traces" in self.weak else bad

    def _answer(self, text: str) -> dict[str, Any]:
        answer: dict[str, Any] = {"prediction": "delivery", "confidence": "high"}
        if "logits" in self.weak:
            answer["logits"] = [3, 1, -2]
        if "builds" in self.weak:
            answer["model_version"] = "7.1"
        if "exact scores" in self.weak:
            answer["confidence"] = 0.9182736455
        if "echoes markup" in self.weak and "<" in text:
            answer["prediction"] = text
        if "opens files" in self.weak and "etc/passwd" in text:
            answer["prediction"] = "root:x:0:0"
        if "evaluates" in self.weak and re.fullmatch(r"\{\{[0-9* ]+\}\}", text):
            left, _, right = text.strip("{} ").partition("*")
            answer["prediction"] = str(int(left) * int(right))
        return answer

    def _parse(self, body: bytes) -> Any:
        if "loose JSON" in self.weak:
            document = json.loads(body)
            return {name: document[name] for name in document if name != "probe"} if type(document) is dict else None
        return jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request as leniently as servers once did, and answer it."""
        try:
            lines = []
            while line := (await reader.readline()).decode("latin-1").rstrip("\r\n"):
                lines.append(line)
                if len(lines) > 100:
                    raise ValueError("too many fields")
            method, target = [*lines[0].split(), "", ""][:2]
            fields = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
            length = next((value for name, value in fields if name.lower() == "content-length"), "0").split(",")[0]
            if int(length) > MAX_BYTES:
                raise ValueError("too large")
            chunked = any(name.lower() == "transfer-encoding" for name, _ in fields)
            if chunked and length == "0":
                size = int((await reader.readline()).strip() or b"0", 16)
                body = await reader.readexactly(size)
            else:
                body = await reader.readexactly(int(length))
            status, answer_fields, data = self.write(await self.decide(method, target, fields, body))
        except (ValueError, asyncio.IncompleteReadError, ConnectionError):
            status, answer_fields, data = self.write(Reply(400, {"error": "malformed"}))
        answer_fields += [("content-length", str(len(data))), ("connection", "close")]
        head = "".join(f"{name}: {value}\r\n" for name, value in answer_fields)
        writer.write(f"HTTP/1.1 {status} -\r\n{head}\r\n".encode() + data)
        writer.close()


@asynccontextmanager
async def run_server(weaknesses: Iterable[str] = (), *, guarded: bool = True) -> AsyncIterator[Server]:
    """Run a server on loopback."""
    _filter()  # which takes a while to load
    weak = Server(weaknesses, guarded=guarded)
    listener = Listener(weak.serve)
    loop = asyncio.get_running_loop()
    if "loose framing" in weak.weak:
        server: Any = await asyncio.start_server(weak.speak, "127.0.0.1", 0, limit=1 << 20)
    else:
        server = await loop.create_server(listener.connect, "127.0.0.1", 0)
    weak.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield weak
    finally:
        server.close()
        await listener.drain(0.1)
