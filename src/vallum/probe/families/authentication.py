"""Authentication: ways to be served without a key that holds."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from vallum.probe.catalogue import read_corpus
from vallum.probe.finding import Outcome, UntestableError, held, weak
from vallum.probe.session import Session

FAR_FUTURE = 4_102_444_800  # 2100-01-01
NAMED_PATHS = ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri")


async def no_key(session: Session) -> Outcome:
    """Ask without any credential."""
    answer = await session.ask(key=None, label="no key")
    if answer.ok:
        return weak("it serves whoever asks", f"without a key: {answer}")
    if 300 <= answer.status < 400:
        return weak("a request without a key is sent elsewhere, not refused", f"{answer} {answer.get('location')}")
    return held("without a key it does not serve", f"without a key: {answer}")


async def wrong_keys(session: Session) -> Outcome:
    """Present keys that anybody could guess, and parts and variants of a good one."""
    await _need_closed(session)
    tries = {f"Bearer {text}": text for text in session.some(read_corpus("authentication")["guesses"], 6)}
    good = session.keys[0].text
    if good is not None:
        tries |= {
            "without its last letter": good[:-1],
            "half of it": good[: len(good) // 2],
            "in the other case": good.swapcase(),
            "with a letter more": good + "a",
            "twice": good + good,
            "a space within": good[:4] + " " + good[4:],
            "a wildcard in place of its end": good[:4] + "*",
        }
    served = await session.served((name, {"key": text}) for name, text in tries.items() if text != good)
    return _judge(served, len(tries), "keys that are not quite a key")


async def refused_keys(session: Session) -> Outcome:
    """Present the keys that the owner says must not open it: revoked, expired, of another scope."""
    await _need_closed(session)
    keys = session.target.refused_keys
    if not keys:
        raise UntestableError("no revoked, expired or foreign key was given; name some with --refused-keys")
    served = await session.served((f"refused key {number}", {"key": key}) for number, key in enumerate(keys, 1))
    return _judge(served, len(keys), "keys that must be refused")


async def two_keys(session: Session) -> Outcome:
    """Present two credentials at once, of which one holds."""
    await _need_closed(session)
    good = (await session.good_key()).text
    if good is None:
        raise UntestableError("no key was given, so none can be the second of two")
    field = session.target.key_fields(good)[0]
    bad = session.target.key_fields("vallum-probe-no-key")[0]
    tries = {"a wrong field before the right one": [bad, field], "a wrong field after the right one": [field, bad]}
    served = await session.served((name, {"fields": fields}) for name, fields in tries.items())
    return _judge(served, len(tries), "requests with two credentials")


async def methods(session: Session) -> Outcome:
    """Ask by other methods, and by fields that override the method or the path."""
    await _need_closed(session)
    path = session.target.path
    names = session.some(["GET", "PUT", "PATCH", "HEAD", "DELETE", "TRACE", "POSTx", "post"], 5)
    fields = [(field, name) for field in read_corpus("authentication")["overrides"] for name in ("GET", "OPTIONS")]
    fields = session.some(fields, 3)
    tries: list[tuple[str, dict[str, Any]]] = [(name, {"method": name}) for name in names]
    tries += [(": ".join(field), {"fields": [field]}) for field in fields]
    tries += [(f"POST / with {name}", {"fields": [(name, path)], "target": "/"}) for name in NAMED_PATHS]
    served = await session.served(tries)
    return _judge(served, len(tries), "other methods and overrides")


async def paths(session: Session) -> Outcome:
    """Ask for other spellings of the path that a server behind might take for the same."""
    await _need_closed(session)
    path = session.target.path
    parent, _, last = path.rpartition("/")
    parts = {
        "path": path,
        "parent": parent,
        "last": last,
        "bare": path.lstrip("/"),
        "upper": path.upper(),
        "encoded": f"{parent}/%{ord(last[:1] or 'x'):02x}{last[1:]}",
        "slashes": path.replace("/", "%2f"),
    }
    targets = [form.format(**parts) for form in session.some(read_corpus("authentication")["paths"], 6)]
    served = await session.served((target, {"target": target, "label": "a path"}) for target in targets)
    return _judge(served, len(targets), "other spellings of the path")


async def key_in_query(session: Session) -> Outcome:
    """Put a good key into the query, where logs and histories keep it."""
    await _need_closed(session)
    good = (await session.good_key()).text
    if good is None:
        raise UntestableError("no key was given to put there")
    names = session.some(read_corpus("authentication")["query"], 3)
    path = session.target.path
    served = await session.served((name, {"target": f"{path}?{name}={good}"}) for name in names)
    return _judge(served, len(names), "keys in the query")


async def claimed_identity(session: Session) -> Outcome:
    """Claim in header fields to be somebody, to come from within, or to have been checked."""
    await _need_closed(session)
    claims = session.some([tuple(claim) for claim in read_corpus("authentication")["claims"]], 6)
    served = await session.served((": ".join(claim), {"fields": [claim]}) for claim in claims)
    return _judge(served, len(claims), "claims in header fields")


async def other_schemes(session: Session) -> Outcome:
    """Present credentials of other schemes, empty and broken ones."""
    await _need_closed(session)
    values = session.some(read_corpus("authentication")["schemes"], 5)
    served = await session.served((value, {"fields": [("Authorization", value)]}) for value in values)
    return _judge(served, len(values), "credentials of other schemes")


async def forged_tokens(session: Session) -> Outcome:
    """Present tokens that nobody signed: no algorithm, an empty key, a key that the token itself names."""
    await _need_closed(session)
    tokens = dict(session.some(list(_forge(session).items()), 6))
    served = await session.served(
        (name, {"fields": [("Authorization", f"Bearer {token}")]}) for name, token in tokens.items()
    )
    return _judge(served, len(tokens), "forged tokens")


async def no_certificate(session: Session) -> Outcome:
    """Come with a good key, where there is one, but without the certificate."""
    if session.target.strangers_context is None:
        raise UntestableError("no client certificate was given; name one with --cert and --cert-key")
    answer = await session.ask(bare=True, label="no certificate")
    if answer.ok:
        return weak("it serves without the certificate", f"without a certificate: {answer}")
    return held("without the certificate it does not serve", f"without a certificate: {answer}")


async def _need_closed(session: Session) -> None:
    """Raise UntestableError where nothing can be bypassed, because nothing is asked for."""
    if session.open_to_all is None:
        session.open_to_all = (await session.ask(key=None)).ok
    if session.open_to_all:
        raise UntestableError("it serves whoever asks, so there is nothing to bypass")


def _judge(served: list[str], count: int, what: str) -> Outcome:
    if served:
        return weak(f"{len(served)} of {count} {what} are served", *served[:6])
    return held(f"none of {count} {what} is served")


def _forge(session: Session) -> dict[str, str]:
    """Return tokens by what is wrong with them; the claims are those of a real token where there is one."""
    header, claims = _read_token(session.keys[0].text)
    stolen = claims or {"sub": "admin", "scope": "admin *", "iss": session.target.url, "aud": session.target.url}
    payload = stolen | {"exp": FAR_FUTURE, "iat": 1_700_000_000, "nbf": 1_700_000_000}
    forged = {
        f"alg {name}": _token({"alg": name, "typ": "JWT"}, payload, b"")
        for name in ("none", "None", "NONE", "nOnE", "")
    }
    forged["alg none, signed"] = _token({"alg": "none"}, payload, b"x" * 32)
    forged["no alg"] = _token({"typ": "JWT"}, payload, b"")
    for secret in ("", "secret", "changeme", "key"):
        forged[f"HS256 with {secret!r}"] = _signed({"alg": "HS256", "typ": "JWT"}, payload, secret.encode())
    for kid in read_corpus("authentication")["kids"]:
        forged[f"kid {kid}"] = _signed({"alg": "HS256", "kid": kid}, payload, b"")
    own = {"kty": "oct", "k": base64.urlsafe_b64encode(b"probe").rstrip(b"=").decode()}
    forged["a key of its own"] = _signed({"alg": "HS256", "jwk": own}, payload, b"probe")
    forged["an address of keys"] = _signed({"alg": "HS256", "jku": "https://probe.invalid/keys"}, payload, b"probe")
    if claims and header:
        forged["its own header, another signature"] = _token(header, payload, b"x" * 64)
        forged["its own header, no signature"] = _token(header, payload, b"")
    return forged


def _read_token(text: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = (text or "").split(".")
    if len(parts) != 3:
        return {}, {}
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    except ValueError:
        return {}, {}
    return (header, claims) if isinstance(header, dict) and isinstance(claims, dict) else ({}, {})


def _token(header: dict[str, Any], claims: dict[str, Any], signature: bytes) -> str:
    return ".".join(_encode(part) for part in (json.dumps(header).encode(), json.dumps(claims).encode(), signature))


def _signed(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    text = _token(header, claims, b"").rpartition(".")[0]
    return f"{text}.{_encode(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


AUTHENTICATION = {
    "no_key": no_key,
    "wrong_keys": wrong_keys,
    "refused_keys": refused_keys,
    "two_keys": two_keys,
    "methods": methods,
    "paths": paths,
    "key_in_query": key_in_query,
    "claimed_identity": claimed_identity,
    "other_schemes": other_schemes,
    "forged_tokens": forged_tokens,
    "no_certificate": no_certificate,
}
