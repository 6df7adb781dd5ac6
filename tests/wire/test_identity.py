"""Who may go where: `examples/identity.yaml` as it stands, in a real process, with real issuers and real TLS clients.

One table says for every credential, and for every way to show it, what each of the four routes answers.  Every 401 is
the same to the byte, nothing that is refused reaches the model, and no secret is written down anywhere.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.authservers import make_proof
from tests.clock import read_clock

from vallum.adapters.slots import CHALLENGE_SLOT_S
from vallum.cli.keys import issue
from vallum.core.apikey import DEFAULT_PREFIX, compose_key, digest_key
from vallum.core.principal import Confirmation
from vallum.stores.registry import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.authservers import AuthServer, Rotating
    from tests.conftest import Authority, Issued
    from tests.wire.conftest import Answer, Served, Server

    from vallum.adapters.proxy.incoming import Incoming

POLICY = Path(__file__).parents[2] / "examples" / "identity.yaml"
ROUTES = ("/by-key", "/by-token", "/sensitive", "/bound")
READ = "predict:read"
BODY = b'{"input_text": "a good day"}'
HOST = "https://model.example"
MINE, THEIRS = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
PROVED = Confirmation(key=MINE.thumbprint())
DAY_S = 86_400
TIMER_US = 1_000  # what the loop's timers are exact to

Fields = list[tuple[str, str]]


class Purse:
    """Every credential that the table shows, made when it is first asked for."""

    def __init__(self, served: Served, server: AuthServer, rotating: Rotating, authority: Authority) -> None:
        self.keyring = Keyring(f"sqlite:///{served.folder}/vallum.db")
        self.server = server
        self.rotating = rotating
        self.alice = authority.issue("alice.clients.example")
        self.mallory = authority.issue("mallory.clients.example")
        self.nameless = authority.issue()
        self.host = HOST
        self.secrets: set[str] = set()
        self._made: dict[str, str] = {}

    def now(self) -> float:
        return read_clock()

    def once(self, name: str, make: Callable[[], str]) -> str:
        if name not in self._made:
            self._made[name] = make()
            self.secrets.add(self._made[name])
        return self._made[name]

    def key(self, name: str = "", scope: str = READ, **more: Any) -> str:
        return self.once(f"key {name} {scope} {more}", lambda: self._issue(scope, self.now(), **more))

    def bound_key(self, *, certificate: bool = False, key: bool = False, scope: str = READ) -> str:
        thumbprint = self.alice.thumbprint if certificate else None
        return self.key(scope=scope, confirmation=Confirmation(thumbprint, PROVED.key if key else None))

    def _issue(self, scope: str, now: float, **more: Any) -> str:
        return issue(self.keyring, DEFAULT_PREFIX, now, subject="alice", scopes=(scope,), **more)[0]

    def ended_key(self, how: str) -> str:
        return self.once(f"key that is {how}", partial(self._end, how))

    def _end(self, how: str) -> str:
        now = self.now()
        if how == "expired":
            return self._issue(READ, now - 2 * DAY_S, expires="1d")
        if how == "unknown":
            return compose_key(b"\1" * 32)
        key = self._issue(READ, now, canary=how == "canary")
        if how in ("revoked", "quarantined"):
            self.keyring.withdraw_now([digest_key(key)], now - 1, how == "quarantined")
        return key

    def token(self, kind: Any = "jwt", *, dpop: bool = False, certificate: bool = False, scope: str = READ) -> str:
        pem = self.alice.pem.decode() if certificate else None
        ask = partial(self.server.get_token, kind, scope, MINE if dpop else None, pem)
        return self.once(f"token {kind} {dpop} {certificate} {scope}", ask)

    def signed(self, kid: str = "first", **claims: Any) -> str:
        """Return a token of the issuer whose claims we choose."""
        now = int(self.now())
        said = {"iss": self.rotating.issuer, "aud": "https://models.example", "sub": "bob", "scope": READ}
        said |= {"client_id": "caller", "iat": now, "nbf": now, "exp": now + 600} | claims
        return self.once(f"signed {kid} {claims}", lambda: self.rotating.sign(said, kid))

    def proof(self, path: str, token: str, key: ECKey = MINE, method: str = "POST", **more: Any) -> tuple[str, str]:
        text = make_proof(key, method, more.pop("htu", self.host + path), token, **more)
        self.secrets.add(text)
        return "DPoP", text

    def close(self) -> None:
        self.keyring.close()


class Shown(NamedTuple):
    """What a caller shows: header fields, and a certificate."""

    fields: Sequence[tuple[str, str]] = ()
    held: Issued | None = None


class Row(NamedTuple):
    """A way to show a credential, and what each of the four routes answers to it."""

    name: str
    statuses: str
    show: Callable[[Purse, str], Shown]


def bearer(token: str, scheme: str = "Bearer") -> tuple[str, str]:
    return "Authorization", f"{scheme} {token}"


def proved(token: str, scheme: str = "DPoP", **more: Any) -> Callable[[Purse, str], Shown]:
    """Show what the purse has under an expression's name, with a proof."""
    return lambda purse, path: Shown(
        [bearer(TOKENS[token](purse), scheme), purse.proof(path, TOKENS[token](purse), **more)]
    )


TOKENS: dict[str, Callable[[Purse], str]] = {
    "key": lambda purse: purse.bound_key(key=True),
    "jwt": lambda purse: purse.token(dpop=True),
    "opaque": lambda purse: purse.token("opaque", dpop=True),
}


def sent(get: Callable[[Purse], str], scheme: str = "Bearer", held: str = "") -> Callable[[Purse, str], Shown]:
    return lambda purse, _: Shown([bearer(get(purse), scheme)], getattr(purse, held) if held else None)


def both(get: Callable[[Purse], str], held: str = "") -> Callable[[Purse, str], Shown]:
    """Show what is bound to a certificate and a key, with a proof."""
    return lambda purse, path: Shown(
        [bearer(get(purse), "DPoP"), purse.proof(path, get(purse))], getattr(purse, held) if held else None
    )


def raw(*fields: tuple[str, str], held: str = "") -> Callable[[Purse, str], Shown]:
    return lambda purse, _: Shown(list(fields), getattr(purse, held) if held else None)


def replayed(purse: Purse, path: str) -> Shown:
    """Show a proof that a request before this one has used: the test sends each request twice."""
    key = purse.bound_key(key=True)
    name = f"proof {path}"
    return Shown([bearer(key, "DPoP"), ("DPoP", purse.once(name, lambda: purse.proof(path, key)[1]))])


def cert_key(purse: Purse) -> str:
    return purse.bound_key(certificate=True)


def cert_jwt(purse: Purse) -> str:
    return purse.token(certificate=True)


def both_key(purse: Purse) -> str:
    return purse.bound_key(certificate=True, key=True)


NO, YES, LESS = 401, 200, 403
WORDS = {"-": NO, "+": YES, "s": LESS}
#                                          /by-key /by-token /sensitive /bound: + admitted, - 401, s 403
ROWS = [
    Row("nothing", "----", raw()),
    Row("a certificate alone", "--+-", raw(held="alice")),
    Row("a certificate without a name", "----", raw(held="nameless")),
    Row("a certificate in a header", "----", raw(("Client-Cert", ":AAAA:"), ("X-SSL-Client-Cert", "x"))),
    # keys
    Row("a key", "+---", sent(Purse.key)),
    Row("a key in X-API-Key", "+---", lambda purse, _: Shown([("X-API-Key", purse.key())])),
    Row("a key, with a certificate", "+-+-", sent(Purse.key, held="alice")),
    Row("a key under another spelling of the scheme", "+---", sent(Purse.key, "bEARER")),
    Row("a key as DPoP", "----", sent(Purse.key, "DPoP")),
    Row("a key as Basic", "----", sent(Purse.key, "Basic")),
    Row("a key without a scheme", "----", lambda purse, _: Shown([("Authorization", purse.key())])),
    Row("a key, and more after a comma", "----", lambda p, _: Shown([bearer(f"{p.key()}, {bearer(p.key())[1]}")])),
    Row("a key, and a word", "----", lambda purse, _: Shown([bearer(f"{purse.key()} x")])),
    Row("a key after a tab", "----", lambda purse, _: Shown([("Authorization", f"Bearer\t{purse.key()}")])),
    Row("a scheme in X-API-Key", "----", lambda purse, _: Shown([("X-API-Key", f"Bearer {purse.key()}")])),
    Row("a key in a field of a similar name", "----", lambda purse, _: Shown([("X_API_Key", purse.key())])),
    Row("a key twice", "----", lambda purse, _: Shown([bearer(purse.key())] * 2)),
    Row("a key in both fields", "----", lambda purse, _: Shown([bearer(purse.key()), ("X-API-Key", purse.key())])),
    Row("a key, and an empty field", "----", lambda purse, _: Shown([bearer(purse.key()), ("X-API-Key", "")])),
    Row("empty fields", "----", raw(("Authorization", ""))),
    Row("an empty bearer", "----", raw(("Authorization", "Bearer "))),
    Row("a key in the query field", "----", lambda purse, _: Shown([("Proxy-Authorization", bearer(purse.key())[1])])),
    Row("half a key", "----", lambda purse, _: Shown([bearer(purse.key()[:-1])])),
    *(
        Row(f"a key that is {how}", "----", sent(partial(Purse.ended_key, how=how)))
        for how in ("expired", "revoked", "quarantined", "canary", "unknown")
    ),
    Row("a key for something else", "s---", sent(lambda purse: purse.key(scope="other"))),
    Row("a key for another address", "----", sent(lambda purse: purse.key(allow_ip=("192.0.2.0/24",)))),
    Row("a key for another route", "s---", sent(lambda purse: purse.key(routes=("elsewhere",)))),
    Row("an unbound key with a proof", "----", both(Purse.key)),
    Row(
        "an unbound key as Bearer with a proof",
        "+---",
        lambda p, path: Shown([bearer(p.key()), p.proof(path, p.key())]),
    ),
    # keys that are bound to a certificate
    Row("a key bound to a certificate, with it", "+-++", sent(cert_key, held="alice")),
    Row("a key bound to a certificate, without", "----", sent(cert_key)),
    Row("a key bound to a certificate, with another", "--+-", sent(cert_key, held="mallory")),
    Row(
        "a key bound to a certificate, said in a header",
        "----",
        lambda purse, _: Shown([bearer(cert_key(purse)), ("Client-Cert", "x"), ("X-Forwarded-Client-Cert", "x")]),
    ),
    Row("a key bound to a certificate, with a proof", "----", both(cert_key)),
    Row(
        "a bound key for something else",
        "s-+s",
        sent(lambda purse: purse.bound_key(certificate=True, scope="other"), held="alice"),
    ),
    # keys that are bound to a key
    Row("a key bound to a key, proved", "+--+", proved("key")),
    Row(
        "a key bound to a key, proved, in X-API-Key",
        "+--+",
        lambda p, path: Shown([("X-API-Key", p.bound_key(key=True)), p.proof(path, p.bound_key(key=True))]),
    ),
    Row("a key bound to a key, in another spelling", "+--+", proved("key", "dpop")),
    Row("a key bound to a key, without a proof", "----", sent(TOKENS["key"], "DPoP")),
    Row("a key bound to a key, as Bearer", "----", sent(TOKENS["key"])),
    Row("a key bound to a key, as Bearer with a proof", "----", proved("key", "Bearer")),
    Row("a key bound to a key, with another's proof", "----", proved("key", key=THEIRS)),
    Row("a key bound to a key, with a certificate", "--+-", sent(TOKENS["key"], "DPoP", held="alice")),
    Row("a proof of another method", "----", proved("key", method="GET")),
    Row("a proof of another path", "----", proved("key", htu=f"{HOST}/elsewhere")),
    Row("a proof of a path in other letters", "----", lambda p, path: proved("key", htu=HOST + path.upper())(p, path)),
    Row("a proof of a path and a slash", "----", lambda p, path: proved("key", htu=f"{HOST}{path}/")(p, path)),
    Row(
        "a proof of the path, encoded",
        "+--+",
        lambda p, path: proved("key", htu=f"{HOST}/%{ord(path[1]):x}{path[2:]}")(p, path),
    ),
    Row(
        "a proof of the host in capitals, with its port and a query",
        "+--+",
        lambda p, path: proved("key", htu=f"HTTPS://MODEL.example:443{path}?a=b#c")(p, path),
    ),
    Row("a proof of another host", "----", lambda p, path: proved("key", htu=f"https://evil.example{path}")(p, path)),
    Row("a proof of another port", "----", lambda p, path: proved("key", htu=f"{HOST}:8443{path}")(p, path)),
    Row("a proof without TLS", "----", lambda p, path: proved("key", htu=f"http://model.example{path}")(p, path)),
    Row("a proof of an hour ago", "----", proved("key", iat=1_700_000_000)),
    Row("a proof for another credential", "----", proved("key", ath="x" * 43)),
    Row("a proof without a number", "----", proved("key", jti="")),
    Row("two proofs", "----", lambda p, path: Shown([*proved("key")(p, path).fields, p.proof(path, TOKENS["key"](p))])),
    Row("an empty proof", "----", lambda p, _: Shown([bearer(TOKENS["key"](p), "DPoP"), ("DPoP", "")])),
    # keys that are bound to both
    Row("a key bound to both, with both", "+-++", both(both_key, "alice")),
    Row("a key bound to both, without the certificate", "----", both(both_key)),
    Row("a key bound to both, with another certificate", "--+-", both(both_key, "mallory")),
    Row("a key bound to both, without a proof", "--+-", sent(both_key, "DPoP", "alice")),
    # tokens
    Row("a token", "-+--", sent(Purse.token)),
    Row("a token under another spelling of the scheme", "-+--", sent(Purse.token, "BEARER")),
    Row("a token in X-API-Key", "----", lambda purse, _: Shown([("X-API-Key", purse.token())])),
    Row("a token as DPoP", "----", sent(Purse.token, "DPoP")),
    Row("a token for something else", "-s--", sent(lambda purse: purse.token(scope="predict:write"))),
    Row("a token, changed", "----", sent(lambda purse: purse.token()[:-2] + "AA")),
    Row("a token without its signature", "----", sent(lambda purse: purse.token().rpartition(".")[0] + ".")),
    Row("a token and a key", "----", lambda p, _: Shown([bearer(p.token()), ("X-API-Key", p.key())])),
    Row("a token of another issuer", "----", sent(Purse.signed)),
    Row(
        "a token of another issuer that says it is this one",
        "----",
        sent(lambda purse: purse.signed(iss=purse.server.issuer)),
    ),
    Row("an opaque token, with nobody to ask", "----", sent(lambda purse: purse.token("opaque"))),
    Row("a token bound to a certificate, with it", "-+++", sent(cert_jwt, held="alice")),
    Row("a token bound to a certificate, without", "----", sent(cert_jwt)),
    Row("a token bound to a certificate, with another", "--+-", sent(cert_jwt, held="mallory")),
    Row("a token bound to a certificate, as DPoP", "--+-", sent(cert_jwt, "DPoP", "alice")),
    Row("a token bound to a key, proved", "-+-+", proved("jwt")),
    Row("a token bound to a key, without a proof", "----", sent(TOKENS["jwt"], "DPoP")),
    Row("a token bound to a key, as Bearer", "----", sent(TOKENS["jwt"])),
    Row("a token bound to a key, as Bearer with a proof", "----", proved("jwt", "Bearer")),
    Row("a token bound to a key, with another's proof", "----", proved("jwt", key=THEIRS)),
    Row(
        "a token bound to a key, with the proof for a key",
        "----",
        lambda p, path: Shown([bearer(p.token(dpop=True), "DPoP"), p.proof(path, p.bound_key(key=True))]),
    ),
    Row(
        "a token bound to a key, in X-API-Key",
        "----",
        lambda p, path: Shown([("X-API-Key", p.token(dpop=True)), p.proof(path, p.token(dpop=True))]),
    ),
]

OPAQUE = [
    Row("an opaque token", "-+--", sent(lambda purse: purse.token("opaque"))),
    Row("an opaque token that nobody gave", "----", sent(lambda _: "x" * 43)),
    Row("an opaque token in X-API-Key", "----", lambda purse, _: Shown([("X-API-Key", purse.token("opaque"))])),
    Row("an opaque token for something else", "-s--", sent(lambda purse: purse.token("opaque", scope="predict:write"))),
    Row(
        "an opaque token bound to a certificate, with it",
        "-+++",
        sent(lambda purse: purse.token("opaque", certificate=True), held="alice"),
    ),
    Row(
        "an opaque token bound to a certificate, without",
        "----",
        sent(lambda purse: purse.token("opaque", certificate=True)),
    ),
    Row("an opaque token bound to a key, proved", "-+-+", proved("opaque")),
    Row("an opaque token bound to a key, as Bearer", "----", sent(TOKENS["opaque"])),
    Row("an opaque token bound to a key, with another's proof", "----", proved("opaque", key=THEIRS)),
    Row("a token", "-+--", sent(Purse.token)),
    Row("a key", "+---", sent(Purse.key)),
]

REVOKED = [
    Row("a certificate that holds", "--+-", raw(held="alice")),
    Row("a revoked certificate", "----", raw(held="mallory")),
    Row("a key, with a revoked certificate", "+---", sent(Purse.key, held="mallory")),
    Row(
        "a key bound to a revoked certificate, with it",
        "----",
        sent(lambda purse: purse.key(confirmation=Confirmation(purse.mallory.thumbprint)), held="mallory"),
    ),
]

ROTATED = [
    Row("a token by the first key", "-+--", sent(Purse.signed)),
    Row("a token by the key that came after", "-+--", sent(lambda purse: purse.signed("second"))),
    Row("a token by a key that was taken away", "----", sent(lambda purse: purse.signed("gone"))),
    Row("a token that has expired", "----", sent(lambda purse: purse.signed(exp=int(purse.now()) - 60))),
    Row("a token of tomorrow", "----", sent(lambda purse: purse.signed(nbf=int(purse.now()) + DAY_S))),
    Row("a token for another audience", "----", sent(lambda purse: purse.signed(aud="https://other.example"))),
    Row("a token of another issuer", "----", sent(lambda purse: purse.signed(iss="https://other.example"))),
    Row("a token by the other issuer", "----", sent(Purse.token)),
    Row("a token bound to what cannot be checked", "----", sent(lambda purse: purse.signed(cnf={"kid": "x"}))),
]


class Everywhere:
    """A model that answers on every path."""

    async def serve(self, incoming: Incoming) -> None:
        await incoming.read_body(1_000)
        await incoming.answer(YES, [("content-type", "application/json")], b'{"prediction": "good"}')


class House:
    """The gateway, and those who call it."""

    def __init__(self, served: Served, purse: Purse, authority: Authority, compose: Callable[..., bytes]) -> None:
        self.served = served
        self.purse = purse
        self.authority = authority
        self.compose = compose
        self.refused: set[bytes] = set()
        self._contexts: dict[str, ssl.SSLContext] = {}

    def _context(self, held: Issued | None) -> ssl.SSLContext:
        name = "" if held is None else held.thumbprint
        if name not in self._contexts:
            context = ssl.create_default_context(cadata=self.authority.pem.decode())
            if held is not None:
                context.load_cert_chain(*held.write(self.served.folder, "presented"))
            self._contexts[name] = context
        return self._contexts[name]

    def request(self, path: str, shown: Shown, *more: tuple[str, str]) -> bytes:
        fields = (("Content-Type", "application/json"), *shown.fields, *more)
        return self.compose(target=path, headers=fields, body=BODY)

    async def ask(self, path: str, shown: Shown) -> Answer:
        return await self.served.exchange(self.request(path, shown), context=self._context(shown.held))

    async def check(self, rows: list[Row]) -> None:
        """Hold that each row is answered as it says, and nothing beyond that reaches the model."""
        wanted = {row.name: row.statuses for row in rows}
        assert len(wanted) == len(rows)
        got = {}
        for row in rows:
            calls = self.served.model.calls
            answers = await asyncio.gather(*(self.ask(path, row.show(self.purse, path)) for path in ROUTES))
            statuses = [answer.status for answer in answers]
            got[row.name] = "".join({YES: "+", NO: "-", LESS: "s"}.get(status, str(status)) for status in statuses)
            assert self.served.model.calls - calls == statuses.count(YES), row.name
            for answer in answers:
                if answer.status == NO:
                    answer.check_refusal(NO, "unauthenticated")
                    self.refused.add(answer.body.replace(answer.id.encode(), b"-"))
                elif answer.status == LESS:
                    answer.check_refusal(LESS, "insufficient_scope")
        assert got == wanted
        assert len(self.refused) == 1, "one 401 is like another, to the byte"

    async def curl(self, path: str, row: Row) -> tuple[int, str]:
        self.purse.host = f"https://localhost:{self.served.port}"
        shown = row.show(self.purse, path)
        self.purse.host = HOST
        command = ["curl", "-sS", "-i", "--http1.1", "--noproxy", "*", "--cacert", str(self.served.folder / "ca.pem")]
        if shown.held is not None:
            cert, key = shown.held.write(self.served.folder, "curl")
            command += ["--cert", str(cert), "--key", str(key)]
        for name, value in [("Content-Type", "application/json"), *shown.fields]:
            command += ["-H", f"{name}: {value}"]
        address = f"https://localhost:{self.served.port}{path}"
        return _status(await run(*command, "--data-binary", BODY.decode(), address))

    async def openssl(self, path: str, row: Row) -> tuple[int, str]:
        shown = row.show(self.purse, path)
        command = ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{self.served.port}", "-verify_return_error"]
        command += ["-servername", "localhost", "-CAfile", str(self.served.folder / "ca.pem")]
        if shown.held is not None:
            cert, key = shown.held.write(self.served.folder, "openssl")
            command += ["-cert", str(cert), "-key", str(key)]
        return _status(await run(*command, stdin=self.request(path, shown, ("Connection", "close"))))


def _status(said: str) -> tuple[int, str]:
    _, found, rest = said.partition("HTTP/1.1 ")
    assert found, said
    return int(rest[:3]), rest


async def run(*command: str, stdin: bytes = b"") -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(20):
        out, _ = await process.communicate(stdin)
    return out.decode("latin-1")


@pytest.fixture
def house_of(
    serving: Server,
    authserver: AuthServer,
    rotating: Rotating,
    authority: Authority,
    tmp_path: Path,
    request_bytes: Any,
) -> Any:
    """Start the policy, unchanged or as a test has it, before one of the issuers."""

    async def start(policy: Path | str = POLICY, issuer: str = authserver.issuer, **environ: str) -> House:
        cert, key = authority.issue("localhost", "127.0.0.1").write(tmp_path, "server")
        (tmp_path / "ca.pem").write_bytes(authority.pem)
        environ |= {"VALLUM_TLS_CERT": str(cert), "VALLUM_TLS_KEY": str(key), "VALLUM_ISSUER": issuer}
        served = await serving(policy, VALLUM_TLS_CLIENT_CA=str(tmp_path / "ca.pem"), **environ)
        model: Any = served.model
        model.sample = Everywhere()
        return House(served, Purse(served, authserver, rotating, authority), authority, request_bytes)

    return start


@pytest.mark.timeout(120)
async def test_every_credential_goes_where_it_may_and_nowhere_else(house_of: Any, authority: Authority) -> None:
    house: House = await house_of()
    purse: Purse = house.purse
    await house.check(ROWS)
    replay = Row("a proof for the first time", "+--+", replayed)
    await house.check([replay])
    await house.check([Row("the same once more", "----", replayed)])
    for path, client in zip(ROUTES, (house.curl, house.openssl) * 2, strict=True):
        for row in ROWS:
            if row.statuses[ROUTES.index(path)] == "+" and not row.name.startswith("a proof of"):  # of the name of HOST
                status, said = await client(path, row)
                assert status == YES, (row.name, path, said)
        status, said = await client(path, ROWS[0])
        assert status == NO, said
    stranger = type(authority)("Another authority").issue("alice.clients.example")
    with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
        await house.ask("/sensitive", Shown(held=stranger))
    await check_silence(house)
    purse.close()


async def check_silence(house: House) -> None:
    """Hold that nothing which was sent to prove anything was written down."""
    served, purse = house.served, house.purse
    answers = [await house.ask("/bound", row.show(purse, "/bound")) for row in ROWS if "proved" in row.name]
    code, why = await served.command("why", answers[0].id)
    assert code == 0, why
    metrics = await served.look("/metrics")
    served.process.terminate()
    await served.ended()
    told = served.said + why + metrics.body.decode()
    files = sorted((served.folder / "vallum.records").rglob("*.jsonl"))
    records = "".join(path.read_text() for path in files)
    for line in map(json.loads, records.splitlines()):
        if line["status"] == NO:
            assert line["total_us"] >= CHALLENGE_SLOT_S * 1e6 - TIMER_US, line
    assert records.count("\n") > len(ROWS) * len(ROUTES)
    assert served.said.count("CANARY") == len(ROUTES) - 2, "on the routes that take keys"
    for secret in purse.secrets:
        parts = {secret, secret.rpartition(".")[2], secret.removeprefix(DEFAULT_PREFIX)}
        for part in parts:
            assert part not in told
            assert part not in records
            assert part not in json.dumps(served.model.heads)
    assert len(purse.secrets) > 50


async def test_opaque_tokens_are_asked_about_where_the_policy_says_whom_to_ask(
    house_of: Any, authserver: AuthServer
) -> None:
    place = '    audience: "https://models.example"\n'
    text = POLICY.read_text()
    secret = authserver.secret("gateway")
    assert text.count(place) == 1
    more = f'    introspection: {{client_id: gateway, client_secret: "{secret}"}}\n'
    house = await house_of(text.replace(place, place + more))
    house.purse.secrets.add(secret)
    before = authserver.count(authserver.introspection_path)
    await house.check(OPAQUE)
    assert authserver.count(authserver.introspection_path) - before < 2 * len(OPAQUE)
    for part in house.purse.secrets:
        assert part not in house.served.said
    house.purse.close()


async def test_a_revoked_certificate_proves_nothing(house_of: Any, authority: Authority, tmp_path: Path) -> None:
    text = POLICY.read_text()
    (tmp_path / "crl.pem").write_bytes(authority.revoke())
    house = await house_of(
        text.replace("client_auth: optional\n", f"client_auth: optional\n    crl: {tmp_path}/crl.pem\n")
    )
    (tmp_path / "crl.pem").write_bytes(authority.revoke(house.purse.mallory))
    await house.served.wait_said("new TLS files are in force")
    await house.check(REVOKED)
    house.purse.close()


async def test_tokens_of_an_issuer_whose_keys_change(house_of: Any, rotating: Rotating) -> None:
    house = await house_of(issuer=rotating.issuer)
    for kid in ("second", "gone"):
        rotating.add_key(kid)
    rotating.forget_key("gone")
    before = rotating.count("/jwks")
    await house.check(ROTATED)
    claims = {"iss": rotating.issuer, "aud": "https://models.example", "sub": "x", "exp": int(house.purse.now()) + 60}
    for number in range(60):
        token = jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": f"k{number}"}, claims, THEIRS)
        answer = await house.ask("/by-token", Shown([bearer(token)]))
        assert answer.status == NO
    assert rotating.count("/jwks") - before <= 2, "a flood of names of keys is not the issuer's to bear"
    house.purse.close()
