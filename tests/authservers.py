"""Authorisation servers of other people's making, as session fixtures; the programs are in tests/servers.

`authserver` (oidc-provider) gives real tokens of every kind:

    authserver.issuer, authserver.audience           what goes into the policy
    authserver.get_token()                           ES256 at+jwt
    authserver.get_token("opaque")                   for introspection by the client `gateway`, see `secret`
    authserver.get_token(dpop=key)                   bound to a key (RFC 9449); `make_proof` makes proofs
    authserver.get_token(certificate=pem)            bound to a certificate (RFC 8705)

`rotating` (oauth2-mock-server) signs any claims with any of its keys, which a test adds, takes away or breaks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64encode, urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from joserfc import jws
from tests.clock import read_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joserfc.jwk import ECKey

FOLDER = Path(__file__).parent / "servers"
PATIENCE_S = 10.0
_opener = build_opener(ProxyHandler({}))


class Program:
    """A server on loopback in a process of its own, which ends when its standard input does."""

    def __init__(self, name: str) -> None:
        node = shutil.which("node")
        if node is None or not (FOLDER / "node_modules").is_dir():
            pytest.skip("node or its packages are missing: run `npm ci` in tests/servers")
        self._process = subprocess.Popen(
            [node, name], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{name} ended before it was ready"
        self.said: dict[str, str] = json.loads(line)
        self.issuer = self.said["issuer"]

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def ask(self, target: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        """Return the JSON at a target; with a body it is posted."""
        request = Request(self.issuer + target, body, headers or {})
        try:
            with _opener.open(request, timeout=PATIENCE_S) as answer:
                return json.loads(answer.read())
        except HTTPError as error:
            raise AssertionError(f"{target} answered {error.code}: {error.read().decode()}") from error

    def count(self, path: str) -> int:
        """Say how often a path was asked for."""
        return int(self.ask("/test/counts").get(path, 0))


class AuthServer(Program):
    """oidc-provider, and two of its clients."""

    keys_path = "/jwks"
    introspection_path = "/token/introspection"

    def __init__(self) -> None:
        super().__init__("oidc_provider.js")
        self.audience = self.said["audience"]

    def secret(self, client: str) -> str:
        """Return the secret of the client `caller`, `certified` or `gateway`."""
        return f"{client}-secret-of-thirty-two-characters"

    def get_token(
        self,
        kind: Literal["jwt", "opaque"] = "jwt",
        scopes: str = "predict:read",
        dpop: ECKey | None = None,
        certificate: str | None = None,
    ) -> str:
        """Get an access token by client credentials (RFC 6749 4.4); `certificate` is the client's, in PEM."""
        client = "caller" if certificate is None else "certified"
        form = {"grant_type": "client_credentials", "scope": scopes, "resource": self.audience}
        if kind == "opaque":
            form["resource"] += "/opaque"
        pair = f"{client}:{self.secret(client)}".encode()
        headers = {"authorization": f"Basic {b64encode(pair).decode()}"}
        if dpop is not None:
            headers["dpop"] = make_proof(dpop, "POST", f"{self.issuer}/token")
        if certificate is not None:
            headers["x-client-cert"] = quote(certificate)
        answer = self.ask("/token", urlencode(form).encode(), headers)
        assert answer["token_type"] == ("Bearer" if dpop is None else "DPoP")
        return str(answer["access_token"])


class Rotating(Program):
    """oauth2-mock-server, whose keys and moods change."""

    def __init__(self) -> None:
        super().__init__("mock_server.js")

    def add_key(self, kid: str, alg: str = "ES256") -> None:
        self.ask(f"/test/key?kid={kid}&alg={alg}", b"")

    def forget_key(self, kid: str) -> None:
        """Take a key out of the set; it can still sign."""
        self.ask(f"/test/forget?kid={kid}", b"")

    def fail(self, status: int) -> None:
        """Answer `status` to everything; 0 to recover."""
        self.ask(f"/test/fail?status={status}", b"")

    def sign(self, claims: dict[str, Any], kid: str = "first") -> str:
        """Sign claims as at+jwt."""
        return str(self.ask(f"/test/token?kid={kid}", json.dumps(claims).encode())["token"])


def make_proof(key: ECKey, method: str, url: str, token: str | None = None, **more: Any) -> str:
    """Make a DPoP proof (RFC 9449 4.2); `more` overrides claims, such as iat."""
    claims: dict[str, Any] = {"htm": method, "htu": url, "jti": os.urandom(12).hex()}
    claims["iat"] = int(read_clock())
    if token is not None:
        claims["ath"] = urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    registry = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
    return jws.serialize_compact(header, json.dumps(claims | more).encode(), key, registry=registry)


@pytest.fixture(scope="session")
def authserver() -> Iterator[AuthServer]:
    """Hand out a real authorisation server."""
    server = AuthServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rotating() -> Iterator[Rotating]:
    """Hand out an authorisation server that a test may break; it is to be mended again."""
    server = Rotating()
    yield server
    server.stop()
