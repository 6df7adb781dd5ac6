"""`vallum keys` on both databases: what it says to people and to programs, and that it says a key only once."""

from __future__ import annotations

import io
import json
import ssl
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trustme
from joserfc.jwk import ECKey
from joserfc.jwk import OctKey as SharedKey

from vallum.cli.main import main
from vallum.core.apikey import digest_key
from vallum.stores.registry import Keyring

if TYPE_CHECKING:
    from pathlib import Path


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    code: Any
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Shell:
    """Runs commands as `vallum` does, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str) -> None:
        self._patch = monkeypatch
        self._capsys = capsys
        self.url = url

    def __call__(self, *args: str, said: str = "") -> Said:
        self._patch.setattr(sys, "argv", ["vallum", *args])
        self._patch.setattr(sys, "stdin", io.StringIO(said))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return Said(ended.value.code, out, err)

    def keys(self, *args: str, said: str = "") -> Said:
        return self("keys", *args, said=said)

    def create(self, *args: str) -> Any:
        return self.keys("create", "--subject", "alice", "--json", *args).json()

    def show(self, key_id: str) -> Any:
        return self.keys("show", key_id, "--json").json()

    def state(self, key: str) -> str:
        state: str = json.loads(self.keys("verify", "--json", said=f"{key}\n").out)["state"]
        return state


@pytest.fixture(params=["sqlite", "postgresql"])
def shell(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    server: Any = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    url = f"sqlite:///{tmp_path}/vallum.db" if server is None else server.make()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VALLUM_REGISTRY", url)
    monkeypatch.setenv("COLUMNS", "80")
    return Shell(monkeypatch, capsys, url)


def test_a_key_carries_what_it_was_made_with(shell: Shell) -> None:
    words = "--scope b --scope a --tenant t --expires 12h --allow-ip 10.0.0.0/8 --route r --route q".split()
    made = shell.create(*words, "--quota", "10 per minute", "--quota", "300 per 5 minutes")
    assert set(made) >= {"id", "key", "subject", "scopes", "expires_at"}
    expected = {
        "subject": "alice",
        "tenant": "t",
        "scopes": ["a", "b"],
        "allow_ip": ["10.0.0.0/8"],
        "routes": ["q", "r"],
        "quotas": ["10 per minute", "300 per 5 minutes"],
        "canary": False,
        "successor_of": None,
        "last_used_at": None,
        "state": "active",
    }
    shown = shell.show(made["id"])
    assert shown.items() >= expected.items()
    assert "key" not in shown
    assert made["key"] not in shell.keys("show", made["id"]).out


def test_a_key_is_said_once_on_standard_output(shell: Shell) -> None:
    said = shell.keys("create", "--subject", "alice")
    key = said.out.strip()
    assert shell.state(key) == "active"
    assert key not in said.err
    assert "vallum keys rotate key_" in said.err
    (held,) = shell.keys("list", "--json").json()
    for command in (["list"], ["show", held["id"]], ["rotate", held["id"]], ["revoke", held["id"]]):
        shown = shell.keys(*command)
        assert shown.code == 0, shown.err
        assert key not in shown.out + shown.err
    assert key[9:] not in json.dumps(shell.keys("list", "--json").json())


def test_a_rotation_gives_both_keys_a_while(shell: Shell) -> None:
    old = shell.create("--scope", "a", "--quota", "10 per minute", "--expires", "30d")
    made = shell.keys("rotate", old["id"], "--json").json()
    assert set(made) >= {"id", "key", "subject", "scopes", "expires_at"}
    assert (made["subject"], made["scopes"], made["quotas"]) == ("alice", ["a"], ["10 per minute"])
    assert made["successor_of"] == old["id"]
    assert shell.show(old["id"])["successor"] == made["id"]
    assert shell.state(old["key"]) == shell.state(made["key"]) == "active"
    assert shell.show(old["id"])["expires_at"] < made["expires_at"]
    again = shell.keys("rotate", old["id"])
    assert (again.code, made["id"] in again.err) == (1, True)


def test_a_rotation_after_a_leak_ends_all_that_came_before(shell: Shell) -> None:
    one = shell.create()
    two = shell.keys("rotate", one["id"], "--json").json()
    three = shell.keys("rotate", two["id"], "--grace", "0", "--json").json()
    assert [shell.state(made["key"]) for made in (one, two, three)] == ["expired", "expired", "active"]


@pytest.mark.parametrize("life", ["never", "1y"])
def test_a_successor_lives_as_long_as_its_predecessor(shell: Shell, life: str) -> None:
    made = shell.keys("rotate", shell.create("--expires", life)["id"], "--json").json()
    assert (made["expires_at"] is None) is (life == "never")
    other = shell.keys("rotate", made["id"], "--expires", "1h", "--json").json()
    assert other["expires_at"] is not None


def test_a_revocation_names_the_key_that_still_holds(shell: Shell) -> None:
    one = shell.create()
    two = shell.keys("rotate", one["id"], "--json").json()
    said = shell.keys("revoke", one["id"])
    assert f"still holds: vallum keys revoke {two['id']}" in " ".join(said.err.split())
    assert shell.state(one["key"]) == "revoked"
    assert "before" in shell.keys("revoke", one["id"]).err
    assert shell.keys("revoke", two["id"], "--json").json() == {"id": two["id"], "revoked": 1, "dry_run": False}


def test_many_are_revoked_after_a_question_that_names_their_number(shell: Shell) -> None:
    keys = [shell.create("--tenant", "acme")["key"] for _ in range(3)]
    other = shell.create()["key"]
    assert shell.keys("revoke", "--tenant", "acme", "--dry-run", "--json").json()["matched"] == 3
    asked = shell.keys("revoke", "--tenant", "acme", said="n\n")
    assert (asked.code, "Revoke 3 keys, for good?" in asked.err) == (1, True)
    unheard = shell.keys("revoke", "--tenant", "acme")
    assert (unheard.code, "--yes" in unheard.err) == (1, True), "nobody was there to answer"
    assert [shell.state(key) for key in keys] == ["active"] * 3
    assert shell.keys("revoke", "--tenant", "acme", "--created-before", "1d", "--yes", "--json").json()["matched"] == 0
    assert "3 keys revoked" in shell.keys("revoke", "--tenant", "acme", said="y\n").err
    assert [shell.state(key) for key in keys] == ["revoked"] * 3
    assert shell.state(other) == "active"
    before = shell.keys("revoke", "--created-before", "2099-01-31", "--yes", "--json").json()
    assert before == {"matched": 1, "revoked": 1, "dry_run": False}


def test_a_canary_holds_nowhere(shell: Shell) -> None:
    said = shell.keys("create", "--subject", "trap", "--canary")
    assert "thief" in said.err
    assert shell.state(said.out.strip()) == "canary"
    (held,) = shell.keys("list", "--json").json()
    assert (held["state"], held["canary"]) == ("canary", True)


def test_a_quarantine_is_ended_by_a_release(shell: Shell) -> None:
    made = shell.create()
    assert shell.keys("release", made["id"]).code == 1
    keyring = Keyring(shell.url)
    keyring.withdraw_now([digest_key(made["key"])], 1.0, True)
    keyring.close()
    assert shell.state(made["key"]) == "quarantined"
    assert shell.keys("release", made["id"], "--json").json() == {"id": made["id"], "released": True}
    assert shell.state(made["key"]) == "active"


@pytest.fixture
def certificate() -> Any:
    return trustme.CA().issue_cert("client.example").cert_chain_pems[0]


@pytest.mark.parametrize("form", ["pem", "der"])
def test_a_key_is_bound_to_a_certificate(shell: Shell, tmp_path: Path, certificate: Any, form: str) -> None:
    pem = certificate.bytes()
    der = _der(pem)
    (tmp_path / "client").write_bytes(pem if form == "pem" else der)
    expected = urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode()
    assert shell.create("--bind-cert", "client")["bound_to"] == {"x5t#S256": expected}


def _der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def test_a_key_is_bound_to_a_jwk_public_or_private_alike(shell: Shell, tmp_path: Path) -> None:
    key = ECKey.generate_key("P-256", private=True)
    expected = {"jkt": key.thumbprint()}
    for private in (True, False):
        (tmp_path / "key.json").write_text(json.dumps(key.as_dict(private=private)))
        assert shell.create("--bind-jwk", "key.json")["bound_to"] == expected
    (held, _) = shell.keys("list", "--json").json()
    assert f"jkt {key.thumbprint()}" in shell.keys("show", held["id"]).out


def test_the_thumbprint_is_that_of_rfc_7638(shell: Shell, tmp_path: Path) -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhM"
        "stn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5"
        "hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    (tmp_path / "key.json").write_text(
        json.dumps({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
    )
    made = shell.create("--bind-jwk", "key.json")
    assert made["bound_to"] == {"jkt": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"}


def test_a_listing_fits_into_80_columns(shell: Shell) -> None:
    shell.create("--tenant", "a-tenant-with-a-long-name", "--scope", "predict:read", "--scope", "predict:write")
    for subject in ("https://issuer.example/a/very/long/subject/that/does/not/fit", "bob"):
        shell.keys("create", "--subject", subject, "--expires", "never")
    lines = shell.keys("list").out.splitlines()
    assert max(len(line) for line in lines) <= 80
    ids = [entry["id"] for entry in shell.keys("list", "--json").json()]
    for key_id in ids:
        assert sum(key_id in line for line in lines) == 1, "ids stand whole, to be copied"
    assert sum(line.rstrip().endswith("active") for line in lines) == 3


def test_an_empty_registry_says_what_to_do(shell: Shell) -> None:
    assert "keys create" in shell.keys("list").err
    assert shell.keys("list", "--subject", "x", "--json").json() == []


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["create", "--subject", "a", "--quota", "many"], 2, "10 per minute"),
        (["create", "--subject", "a", "--quota", "1 per day", "--quota", "2 per day"], 2, "two quotas"),
        (["create", "--subject", "a", "--route", "a b"], 2, "no name of a route"),
        (["create", "--subject", "a", "--expires", "0d"], 2, "never"),
        (["create", "--subject", "a", "--bind-cert", "gone"], 2, "cannot be read"),
        (["create", "--subject", "a", "--bind-cert", "junk"], 2, "not a certificate"),
        (["create", "--subject", "a", "--bind-jwk", "junk"], 2, "not a JWK"),
        (["create", "--subject", "a", "--bind-jwk", "shared"], 2, "public key"),
        (["create", "--subject", "a", "--bind-jwk", "junk", "--bind-cert", "junk"], 2, "either"),
        (["rotate", "key_none"], 1, "vallum keys list"),
        (["rotate", "key_none", "--grace", "soon"], 2, "24h"),
        (["revoke"], 2, "--tenant"),
        (["revoke", "key_none", "--subject", "a"], 2, "--tenant"),
        (["revoke", "--created-before", "yesterday"], 2, "2026-01-31"),
        (["revoke", "key_none"], 1, "vallum keys list"),
        (["release", "key_none"], 1, "vallum keys list"),
        (["show", "key_none"], 1, "vallum keys list"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_says_what_is_right(shell: Shell, tmp_path: Path, args: list[str], code: int, words: str) -> None:
    (tmp_path / "junk").write_text('{"kty": "hunter2"}')
    (tmp_path / "shared").write_text(json.dumps(SharedKey.import_key(b"hunter2" * 5).as_dict()))
    said = shell.keys(*args)
    assert said.code == code, said
    assert words in " ".join(said.err.split()), said.err
    assert "hunter2" not in said.err


@pytest.mark.parametrize("verb", ["show", "revoke", "rotate"])
def test_a_key_that_is_given_for_an_id_is_not_repeated(shell: Shell, verb: str) -> None:
    key = shell.create()["key"]
    said = shell.keys(verb, key)
    assert said.code == 1
    assert key not in said.err


def test_a_registry_that_cannot_be_reached_is_code_3_and_no_password(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALLUM_REGISTRY", "postgresql://vallum:hunter2@127.0.0.1:1/vallum")
    said = shell.keys("list")
    assert said.code == 3
    assert "postgresql://127.0.0.1:1/vallum" in said.err
    assert "hunter2" not in said.err
