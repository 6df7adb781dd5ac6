"""Keys: where they may stand, who is asked about them, and the one answer for all that do not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vallum.authenticators.api_key import ApiKey, ApiKeyConfig
from vallum.core.apikey import compose_key, digest_key
from vallum.core.decision import INVALID_TOKEN, Challenge
from vallum.core.effects import FindCredential
from vallum.core.principal import Credential, Principal

if TYPE_CHECKING:
    from tests.conftest import Dialogue, Kit

KEY = compose_key(bytes(range(32)))
NOW = 1_700_000_000.0
HELD = Credential("key_1", "alice", digest_key(KEY), "acme", frozenset({"a"}))
ALICE = Principal("alice", "acme", frozenset({"a"}), "key_1", "keys", created=HELD.created_at)
NO_REPLY = object()
Answer = Principal | Challenge | None


def present(
    kit: Kit, *fields: tuple[str, str], held: object = NO_REPLY, client: str = "192.0.2.1", prefix: str = "vlm_live_"
) -> Dialogue[Answer]:
    steps = ApiKey("keys", ApiKeyConfig(prefix)).authenticate(kit.request(headers=fields, client=client, now=NOW))
    return kit.talk(steps, *([] if held is NO_REPLY else [held]))


@pytest.mark.parametrize(
    "field",
    [
        ("authorization", f"Bearer {KEY}"),
        ("authorization", f"bearer {KEY}"),  # RFC 9110 11.1: schemes are caseless
        ("authorization", f"BEARER {KEY}"),
        ("authorization", f"bEaReR {KEY}"),
        ("authorization", f"Bearer   {KEY}"),  # RFC 6750 2.1: one or more spaces
        ("authorization", f"Bearer {KEY} "),
        ("x-api-key", KEY),
    ],
)
def test_where_a_key_may_stand(kit: Kit, field: tuple[str, str]) -> None:
    talk = present(kit, field, held=HELD)
    assert talk.asked == [FindCredential(digest_key(KEY))]
    assert talk.outcome == ALICE


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer"),),
        (("authorization", KEY),),
        (("authorization", f"Basic {KEY}"),),
        (("authorization", f"Bearer\t{KEY}"),),
        (("authorization", f"Bearer{KEY}"),),
        (("authorization", f" Bearer {KEY}"),),
        (("authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln"),),
        (("authorization", f"Bearer {KEY.upper()}"),),
        (("x-api-key", ""),),
        (("x-api-key", f"Bearer {KEY}"),),
        (("x-api-key", "sk_live_123"),),
        (("cookie", KEY),),
        (("x-apikey", KEY),),
    ],
)
def test_what_is_no_key_of_ours_is_left_to_others_and_nobody_is_asked(
    kit: Kit, fields: tuple[tuple[str, str], ...]
) -> None:
    assert present(kit, *fields).outcome is None


@pytest.mark.parametrize(
    "key",
    [
        "vlm_live_",
        KEY[:-1],
        KEY + "0",
        KEY[:-1] + ("0" if KEY[-1] != "0" else "1"),
        KEY[:9] + ("0" if KEY[9] != "0" else "1") + KEY[10:],
        KEY[:20] + "-" + KEY[21:],
        f"{KEY}, Bearer {KEY}",
        f"{KEY} {KEY}",
    ],
)
@pytest.mark.parametrize("field", ["authorization", "x-api-key"])
def test_noise_fails_the_checksum_and_never_reaches_the_registry(kit: Kit, key: str, field: str) -> None:
    talk = present(kit, (field, f"Bearer {key}" if field == "authorization" else key))
    assert talk.asked == []
    assert isinstance(talk.outcome, Challenge)


@pytest.mark.parametrize(
    ("held", "detail"),
    [
        (None, "no such key"),
        (replace(HELD, digest=digest_key("other")), "no such key"),
        (replace(HELD, expires_at=NOW), "key_1 is expired"),
        (replace(HELD, expires_at=NOW - 1), "key_1 is expired"),
        (replace(HELD, revoked_at=NOW), "key_1 is revoked"),
        (replace(HELD, revoked_at=NOW - 1, expires_at=NOW - 1), "key_1 is revoked"),
        (replace(HELD, allow_ip=("198.51.100.0/24",)), "key_1 is not for this address"),
        (replace(HELD, allow_ip=("::/0",)), "key_1 is not for this address"),
    ],
)
def test_one_answer_for_every_key_that_does_not_hold(kit: Kit, held: Credential | None, detail: str) -> None:
    talk = present(kit, ("x-api-key", KEY), held=held)
    assert talk.outcome == Challenge(INVALID_TOKEN, "authenticate:keys", detail)


@pytest.mark.parametrize(
    "held",
    [
        replace(HELD, expires_at=NOW + 0.001),
        replace(HELD, revoked_at=NOW + 0.001),  # a rotation's grace
        replace(HELD, allow_ip=("192.0.2.0/24",)),
        replace(HELD, allow_ip=("198.51.100.0/24", "192.0.2.1")),
    ],
)
def test_a_key_holds_to_its_last_moment_and_at_its_address(kit: Kit, held: Credential) -> None:
    assert present(kit, ("x-api-key", KEY), held=held).outcome == ALICE


@pytest.mark.parametrize(
    ("client", "inside"), [("::ffff:192.0.2.1", True), ("2001:db8::1", False), ("192.0.3.1", False), ("", False)]
)
def test_an_address_is_judged_in_its_plain_form(kit: Kit, client: str, inside: bool) -> None:
    held = replace(HELD, allow_ip=("192.0.2.0/24",))
    assert isinstance(present(kit, ("x-api-key", KEY), held=held, client=client).outcome, Principal) is inside


def test_a_prefix_of_ones_own(kit: Kit) -> None:
    key = compose_key(bytes(32), "acme_")
    held = replace(HELD, digest=digest_key(key))
    assert present(kit, ("x-api-key", key), held=held, prefix="acme_").outcome == ALICE
    assert present(kit, ("x-api-key", KEY), prefix="acme_").outcome is None
