"""What every authenticator must hold to.  A new one is one row of BUILD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.authenticators.anonymous import Anonymous, AnonymousConfig
from vallum.authenticators.api_key import ApiKey, ApiKeyConfig
from vallum.authenticators.minted import Minted
from vallum.authenticators.mtls import Mtls, MtlsConfig
from vallum.authenticators.oauth2 import IntrospectionConfig, OAuth2, OAuth2Config
from vallum.core.apikey import compose_key
from vallum.core.decision import Challenge, Deny
from vallum.core.effects import FetchKeys, FindCredential, Introspect
from vallum.core.errors import DependencyError
from vallum.core.issuer import KeySet
from vallum.core.principal import Principal
from vallum.core.protocols import Authenticator
from vallum.mint.keyring import KeyRing, make_key
from vallum.mint.tokens import Mint, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Kit

PEM = make_key()
MINT = Mint("https://a.example", "https://a.example", frozenset(), 300, KeyRing(lambda: PEM))
TOKENS = OAuth2Config(
    issuer="https://login.example",
    audience="https://models.example",
    introspection=IntrospectionConfig(client_id="gateway", client_secret="hush"),
)
BUILD: dict[str, Callable[[], Authenticator]] = {
    "anonymous": lambda: Anonymous("open", AnonymousConfig()),
    "api_key": lambda: ApiKey("keys", ApiKeyConfig()),
    "minted": lambda: Minted("minted", Verifier(MINT)),
    "oauth2": lambda: OAuth2("tokens", TOKENS),
    "mtls": lambda: Mtls("certs", MtlsConfig(subject="san_dns")),
}
KEY = compose_key(bytes(range(32)))
VALUES = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=40),
    st.sampled_from(
        ["", "Bearer", "Bearer ", "Bearer vlm_live_", f"Bearer {KEY}", f"bearer  {KEY} ", KEY, f"Basic {KEY}"]
    ),
)
CREDENTIALS = st.lists(st.tuples(st.sampled_from(["authorization", "x-api-key", "cookie"]), VALUES), max_size=2)


def answer(kit: Kit, authenticator: Authenticator, fields: list[tuple[str, str]], reply: Any = None) -> Any:
    steps = authenticator.authenticate(kit.request(headers=fields))
    try:
        effect = next(steps)
        while True:
            if isinstance(effect, FindCredential):
                assert len(effect.digest) == 32, "by their digest, never by their secret"
                told = reply
            else:
                assert isinstance(effect, FetchKeys | Introspect), "an authenticator asks who this is, and nothing else"
                told = reply or (KeySet((), 1) if isinstance(effect, FetchKeys) else {"active": False})
            effect = steps.throw(told) if isinstance(told, Exception) else steps.send(told)
    except StopIteration as stop:
        return stop.value


@pytest.mark.parametrize("name", list(BUILD))
class TestEvery:
    def test_is_an_authenticator_of_its_type(self, name: str) -> None:
        authenticator = BUILD[name]()
        assert isinstance(authenticator, Authenticator)
        assert authenticator.type == name
        assert authenticator.challenge.split()[0].isalpha(), "RFC 9110 11.3: a challenge begins with a scheme"
        assert "error=" not in authenticator.challenge, "RFC 6750 3.1: no error where no credential came"

    @given(fields=CREDENTIALS)
    @settings(max_examples=100)
    def test_has_three_answers_and_never_raises(self, kit: Kit, name: str, fields: list[tuple[str, str]]) -> None:
        given_answer = answer(kit, BUILD[name](), fields)
        assert given_answer is None or isinstance(given_answer, Principal | Challenge | Deny)

    @given(fields=CREDENTIALS)
    @settings(max_examples=50)
    def test_answers_the_same_again(self, kit: Kit, name: str, fields: list[tuple[str, str]]) -> None:
        authenticator = BUILD[name]()
        assert answer(kit, authenticator, fields) == answer(kit, authenticator, fields)

    def test_a_principal_has_a_subject_and_says_who_vouched(self, kit: Kit, name: str) -> None:
        principal = answer(kit, BUILD[name](), [])
        if principal is not None:
            assert principal.subject
            assert principal.authenticator

    def test_lets_a_failing_registry_through_to_on_error(self, kit: Kit, name: str) -> None:
        fields = [("authorization", f"Bearer {'an-opaque-token' if name == 'oauth2' else KEY}")]
        try:
            given_answer = answer(kit, BUILD[name](), fields, DependencyError("down"))
        except DependencyError:
            return
        assert given_answer is None or isinstance(given_answer, Principal), "one that asks nobody cannot fail"
        assert name in ("anonymous", "minted", "mtls")

    def test_no_secret_is_in_a_refusal(self, kit: Kit, name: str) -> None:
        given_answer = answer(kit, BUILD[name](), [("x-api-key", KEY)])
        if not isinstance(given_answer, Principal):
            assert KEY not in repr(given_answer)
            assert KEY[9:20] not in repr(given_answer)
