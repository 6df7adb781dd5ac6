"""What `vallum check` and a running gateway find in the files of TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from tests.clock import read_clock

from vallum.config.compile import load_policy
from vallum.config.model import Config
from vallum.config.model.doors import ClientCertificateConfig, TlsConfig
from vallum.config.source import PolicyFileError, parse_source
from vallum.config.tls import MaterialError, material_files, read_material

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Authority

NOW = read_clock()
BASE: dict[str, Any] = {
    "version": 1,
    "upstreams": {"m": {"url": "http://127.0.0.1:9000"}},
    "authenticators": {"k": {"type": "mtls", "subject": "san_dns"}},
    "routes": [{"name": "a", "match": {"methods": ["GET"], "path": "/a"}, "upstream": "m", "auth": {"any_of": ["k"]}}],
}


class Files:
    """A folder with everything that TLS needs."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.authority = authority
        self.server = authority.issue("localhost")
        self.server.write(folder, "server")
        self.put("ca.pem", authority.pem)
        self.put("crl.pem", authority.revoke())

    def put(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def config(self, **tls: Any) -> Config:
        settings = {"cert": "server.pem", "key": "server.key", "client_ca": "ca.pem", "client_auth": "optional", **tls}
        return msgspec.convert({**BASE, "listen": {"tls": settings}}, Config)

    def read(self, now: float = NOW, **tls: Any) -> Any:
        return read_material(self.config(**tls), self.folder.joinpath, now)

    def flaws(self, now: float = NOW, **tls: Any) -> dict[str, str]:
        with pytest.raises(MaterialError) as caught:
            self.read(now, **tls)
        return {str(flaw.place[-1]): f"{flaw.message} ({flaw.hint})" for flaw in caught.value.flaws}


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> Files:
    return Files(tmp_path, authority)


def test_a_context_has_safe_settings(files: Files) -> None:
    material = files.read(client_auth="required", crl="crl.pem")
    context = material.context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.num_tickets == 0
    wanted = ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    assert context.options & wanted == wanted
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF
    old = files.read(min_version=1.2).context
    assert old.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not old.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF
    names = [cipher["name"] for cipher in old.get_ciphers() if not cipher["name"].startswith("TLS_")]
    assert names
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in names)


def test_dates_are_known(files: Files) -> None:
    dates = dict(files.read(crl="crl.pem").not_after)
    assert dates["listen.tls.cert"] == files.server.certificate.not_valid_after_utc.timestamp()
    assert dates["listen.tls.crl"] > NOW


def test_every_file_is_watched(files: Files) -> None:
    config = files.config(crl="crl.pem")
    header = {"header": "client-cert", "client_ca": "a.pem", "crl": "b.pem"}
    config = msgspec.structs.replace(config, client_certificate=msgspec.convert(header, ClientCertificateConfig))
    found = [path.name for path in material_files(config, files.folder.joinpath)]
    assert found == ["server.pem", "server.key", "ca.pem", "crl.pem", "a.pem", "b.pem"]


def test_another_certificates_key(files: Files) -> None:
    other = files.authority.issue("localhost")
    files.put("server.key", other.key)
    assert "server.key is not the key of server.pem" in files.flaws()["key"]
    files.put("server.pem", files.server.pem + other.pem)
    assert "stands first" in files.flaws()["key"]


def test_a_chain_is_served_with_its_intermediates(files: Files) -> None:
    files.put("server.pem", files.server.pem + files.authority.pem)
    assert files.read().context is not None


@pytest.mark.parametrize(
    ("name", "data", "key", "words"),
    [
        ("server.pem", b"", "cert", "no certificates in PEM"),
        ("server.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cert", "no certificates"),
        ("server.key", b"", "key", "no private key"),
        ("server.key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "key", "no private key"),
        ("ca.pem", b"\x00\xff", "client_ca", "no certificates"),
        ("crl.pem", b"x", "crl", "crl.pem cannot be used"),
    ],
)
def test_half_written_files(files: Files, name: str, data: bytes, key: str, words: str) -> None:
    files.put(name, data)
    assert words in files.flaws(crl="crl.pem")[key]


def test_a_key_with_a_passphrase(files: Files) -> None:
    pem = files.server.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    files.put("server.key", pem)
    assert "is encrypted" in files.flaws()["key"]


def test_what_openssl_will_not_have(files: Files) -> None:
    weak = rsa.generate_private_key(65_537, 1024)
    issued = files.authority.issue("localhost", key=weak)
    files.put("server.pem", issued.pem)
    files.put("server.key", weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert "cannot be used" in files.flaws()["cert"]


def test_what_has_expired_is_a_mistake_when_it_is_checked_and_none_for_a_running_gateway(files: Files) -> None:
    later = NOW + 30 * 86_400
    found = files.flaws(later, crl="crl.pem")
    assert set(found) == {"cert", "crl"}
    assert "held until 20" in found["cert"]
    assert files.read(0.0, crl="crl.pem").context is not None


def test_a_list_of_another_authority(files: Files) -> None:
    files.put("crl.pem", type(files.authority)("Another").revoke())
    assert "signed by no certificate of client_ca" in files.flaws(crl="crl.pem")["crl"]


def test_the_version_is_one_of_two() -> None:
    for version in (1.2, 1.3):
        assert TlsConfig(cert="a", key="b", min_version=version).min_version == version
    with pytest.raises(ValueError, match=r"1\.2 or 1\.3"):
        TlsConfig(cert="a", key="b", min_version=1.1)


@pytest.mark.parametrize("version", ["1.2", '"1.3"', "1.3"])
def test_a_policy_with_all_of_it(files: Files, version: str) -> None:
    text = f"""
version: 1
listen:
  public_url: https://models.example
  tls: {{cert: server.pem, key: server.key, client_ca: ca.pem, client_auth: optional, min_version: {version}}}
trusted_proxies: [10.0.0.0/8]
client_certificate: {{header: x-forwarded-client-cert, client_ca: ca.pem, crl: crl.pem}}
upstreams: {{model: {{url: "http://127.0.0.1:9000"}}}}
authenticators: {{certs: {{type: mtls, subject: san_uri, trust_domain: prod.example, scopes: [a]}}}}
routes:
  - {{name: a, match: {{methods: [GET], path: /a}}, upstream: model, auth: {{any_of: [certs]}}}}
"""
    source = parse_source(files.folder / "policy.yaml", text.encode(), {})
    _, policy = load_policy(source, NOW)
    assert policy.routes[0].authenticators[0].type == "mtls"
    assert source.files == []  # they are watched apart
    with pytest.raises(PolicyFileError, match="held until"):
        load_policy(parse_source(files.folder / "policy.yaml", text.encode(), {}), NOW + 30 * 86_400)
    files.put("server.pem", b"half")
    load_policy(parse_source(files.folder / "policy.yaml", text.encode(), {}), certificates=False)
