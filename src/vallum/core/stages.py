"""The stages of a request: what each control on the line does.  Their order is in engine.py."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from vallum.core.content import Content, ContentError, escape_pointer
from vallum.core.decision import INVALID_TOKEN, Challenge, Deny, Finding, Reason
from vallum.core.effects import ReadStanding, Steps, ask
from vallum.core.policy import Mode
from vallum.core.principal import Principal
from vallum.core.proof import WANTED, dpop_challenge
from vallum.core.protocols import Doubter, Rewriter
from vallum.core.sidedoor import find_open
from vallum.core.standing import SLIGHT, factor, whose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vallum.core.decision import Refusal
    from vallum.core.exchange import Exchange, Headers
    from vallum.core.policy import Guard, Route
    from vallum.core.protocols import Codec


# --- request head -----------------------------------------------------------------------------------------------------


def declared_size(x: Exchange, route: Route) -> Deny | None:
    """Refuse a body that announces itself over the route's bound."""
    declared = x.request.headers.get("content-length")
    if declared is not None and int(declared) > route.intake.max_bytes:
        return too_large(route)
    return None


def too_large(route: Route) -> Deny:
    """Refuse a body over the route's bound."""
    return Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {route.intake.max_bytes} bytes")


def has_body(headers: Headers) -> bool:
    """Say whether a request's head announces a body (RFC 9112 6)."""
    length = headers.get("content-length")
    return headers.get("transfer-encoding") is not None or (length is not None and length != "0")


def media_type(x: Exchange, route: Route) -> Deny | None:
    """Refuse a body whose type or encoding the route does not take."""
    headers, codecs = x.request.headers, route.intake.codecs
    if not codecs:
        return None
    types = headers.all("content-type")
    named = types[0] if types else ""  # a format whose clients name no type has a codec for it
    x.codec = None if len(types) > 1 else codecs.get(named) or _find_codec(codecs, named)
    return _refuse_form(x, route, "media_type") if has_body(headers) else None


def _refuse_form(x: Exchange, route: Route, control: str) -> Deny | None:
    """Refuse a body in a form that nothing here reads."""
    headers = x.request.headers
    encodings = headers.all("content-encoding")
    if encodings and not _can_undo(route, encodings):
        return Deny(Reason.UNSUPPORTED_MEDIA_TYPE, control, f"content-encoding {encodings!r}")
    if x.codec is None:
        return Deny(Reason.UNSUPPORTED_MEDIA_TYPE, control, f"content-type {headers.all('content-type')!r}")
    return None


def _can_undo(route: Route, encodings: list[str]) -> bool:
    if len(encodings) == 1 and encodings[0].lower() in route.intake.codings:
        return True
    return all(encoding.lower() == "identity" for encoding in encodings)


def _find_codec(codecs: Mapping[str, Codec], content_type: str) -> Codec | None:
    media_type, _, parameters = content_type.partition(";")
    # JSON is UTF-8 (RFC 8259 8.1): any other charset is a promise that the upstream might keep and we would not.
    for parameter in filter(None, (text.strip().lower() for text in parameters.split(";"))):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            return None
    return codecs.get(media_type.strip().lower())


def query(x: Exchange, route: Route) -> Deny | None:
    """Refuse parameters that the route does not name, or that are not what its schema says."""
    allowed, parameters = route.intake.query, route.intake.parameters
    if not x.request.query and parameters is None:
        return None
    try:
        pairs = query_pairs(x.request.query)
    except ValueError:
        return Deny(Reason.MALFORMED_REQUEST, "query", "not UTF-8, or over 100 fields")
    if allowed is not None and any(name not in allowed for name, _ in pairs):
        return _invalid("query", "unknown_parameter", "query")
    if parameters is None:
        return None
    finding = parameters(route.pattern.parameters(x.request.path or ""), pairs)
    return None if finding is None else found("query", finding)


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Decode a query string; raises ValueError on what is not UTF-8 or has over 100 fields."""
    return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)


def authenticate(x: Exchange, route: Route) -> Steps[Refusal | None]:
    """Ask each authenticator in turn; the first that is responsible decides."""
    headers = x.request.headers
    presented = len(headers.all("authorization")) + len(headers.all("x-api-key"))
    if presented > 1:  # which one would the next hop believe?
        return Challenge(challenges(route, invalid=True), "authenticate", "two credentials at once")
    for authenticator in route.authenticators:
        answer = yield from authenticator.authenticate(x.request)
        if isinstance(answer, Principal):
            x.principal = answer
            return None
        if isinstance(answer, Challenge):
            x.canary = answer.canary
        if isinstance(answer, Challenge) and answer.scheme in (INVALID_TOKEN, authenticator.challenge):
            invalid = answer.scheme == INVALID_TOKEN  # which one refused is nobody's business
            return Challenge(challenges(route, invalid=invalid), answer.control, answer.detail)
        if answer is not None:
            return answer
    if x.request.certificate is not None and not presented:
        detail = "no authenticator of this route takes this certificate"
        return Challenge(challenges(route, invalid=False), "authenticate", detail)
    if presented:
        detail = "no authenticator of this route takes this credential"
        return Challenge(challenges(route, invalid=True), "authenticate", detail)
    return Challenge(challenges(route, invalid=False), "authenticate", "no credential was presented")


def challenges(route: Route, *, invalid: bool) -> str:
    """Write what a route asks for: each scheme once (RFC 9110 11.6.1), with all that its authenticators say of it."""
    schemes: dict[str, list[str]] = {"Bearer": ['error="invalid_token"']} if invalid else {}
    for authenticator in route.authenticators:
        scheme, _, parameters = authenticator.challenge.partition(" ")
        said = schemes.setdefault(scheme, [])
        if parameters and parameters not in said:
            said.append(parameters)
    if route.bound:
        schemes.setdefault("DPoP", [])  # RFC 9449 7.1: beside Bearer, which those that are bound to a certificate use
    return ", ".join(f"{scheme} {', '.join(said)}".rstrip() for scheme, said in schemes.items())


def standing(x: Exchange, route: Route) -> Steps[Refusal | None]:
    """Find what is in force for this caller: the plan, times what an operator raised, times how the caller stands."""
    throttle = route.throttle
    assert throttle is not None
    footing = x.footing = yield from ask(ReadStanding(whose(x)))
    now = x.request.now
    if footing.raised is not None and footing.raised.until > now:
        x.factor *= footing.raised.factor
    known = footing.standing
    if throttle.mode is Mode.ENFORCE and route.mode is Mode.ENFORCE:
        x.factor *= factor(known, throttle, now)
    wait_s = known.blocked_until - now
    if throttle.block_s is None or not 0 < wait_s <= throttle.block_s:  # a clock set back must not make it longer
        return None
    return Deny(Reason.QUOTA_EXCEEDED, "throttle", f"blocked, for {known.cause}", ceil(wait_s), should_retry=False)


def authorise(x: Exchange, route: Route) -> Refusal | None:
    """Refuse a principal that lacks one of the route's scopes, or whose credential is not for this route."""
    who = x.principal
    if who.routes is not None and route.name not in who.routes:
        return _beyond(x, f"{who.credential_id} is not for this route")
    missing = route.scopes - who.scopes
    if not missing:
        return None
    wanted = f', scope="{" ".join(sorted(route.scopes))}"'
    return _beyond(x, f"missing scope: {', '.join(sorted(missing))}", wanted)


def _beyond(x: Exchange, detail: str, wanted: str = "") -> Deny:
    bond = x.principal.confirmation
    scheme = "Bearer" if bond is None or bond.key is None else "DPoP"  # RFC 6750 3.1, RFC 9449 7.1
    fields = (("www-authenticate", f'{scheme} error="insufficient_scope"{wanted}'),)
    return Deny(Reason.INSUFFICIENT_SCOPE, "authorise", detail, headers=fields)


# --- request body -----------------------------------------------------------------------------------------------------


def inflate(x: Exchange, route: Route) -> Deny | None:
    """Undo the body's content coding, within bounds: what is inspected is what is passed on."""
    coding = route.intake.codings.get((x.request.headers.get("content-encoding") or "").lower())
    if coding is None:
        return None
    max_bytes = route.intake.max_bytes
    try:
        plain = coding.undo(x.body, max_bytes)
    except ValueError as error:
        return Deny(Reason.MALFORMED_REQUEST, "inflate", str(error))
    if plain is None:
        return Deny(Reason.BODY_TOO_LARGE, "inflate", f"over {max_bytes} bytes once inflated, or a bomb")
    x.body = x.forward = plain
    return None


def parse(x: Exchange, route: Route) -> Refusal | None:
    """Read the body strictly, and bound its shape."""
    intake = route.intake
    if not intake.codecs:
        return None
    if x.body and (x.codec is None or not has_body(x.request.headers)):  # HTTP/2 need not announce one
        refusal = _refuse_form(x, route, "parse")
        if refusal is not None:
            return refusal
    document = None
    try:
        pairs = query_pairs(x.request.query) if x.request.query else ()
        if x.codec is not None and x.body:
            document = x.codec.decode(x.body, x.request.headers)
        x.content = Content(document, pairs, intake.max_depth, intake.passages, intake.shape)
    except ContentError as bound:  # each clause names its own: the compiler gives one name one type
        if str(bound) == "finite":
            return Deny(Reason.MALFORMED_REQUEST, "parse", "a number is not finite")
        return _invalid("parse", str(bound), "")
    except ValueError as error:
        return Deny(Reason.MALFORMED_REQUEST, "parse", str(error))
    x.document = document
    return None


def fields(x: Exchange, route: Route) -> Refusal | None:
    """Refuse a body with a denied member at its top."""
    if isinstance(x.document, dict):
        denied = route.intake.deny_fields
        for name in x.document if denied else ():
            if name.casefold() in denied:  # servers written in Go take a member in any case
                return _invalid("fields", "denied_field", f"/{escape_pointer(name)}")
    return None


def schema(x: Exchange, route: Route) -> Refusal | None:
    """Hold the body against the route's schema."""
    if x.content is None or route.intake.schema is None:
        x.unscanned.append("schema")
        return None
    finding = route.intake.schema(x.content)
    return None if finding is None else found("schema", finding)


def side_doors(x: Exchange, route: Route) -> Refusal | None:
    """Refuse a body that asks for what an answer may not hold; every ask walks the lists, which the schema bounds."""
    asked = find_open(x.document, route.intake.asks, route.intake.apart)
    return None if asked is None else _invalid("side_doors", "withheld", f"/{escape_pointer(asked)}")


def images(x: Exchange, route: Route) -> Refusal | None:
    """Look at every image by its header, and leave out of it what the policy does not want passed on."""
    intake = route.intake
    if x.content is None or intake.images is None:
        x.unscanned.append("images")
        return None
    document = intake.images.clean(x.content)
    if isinstance(document, Finding):
        return found("images", document)
    if document is x.document or x.codec is None or Mode.SHADOW in (route.mode, intake.images_mode):
        return None
    x.document = document
    x.forward = x.codec.encode(document)
    x.sanitised = True
    return None


def check(guard: Guard) -> Callable[[Exchange, Route], Refusal | Steps[Refusal | None] | None]:
    """Make the stage of one check."""
    name = f"check:{guard.check.type}"
    inspect = guard.check.consult if isinstance(guard.check, Doubter) else guard.check.inspect

    def run(x: Exchange, route: Route) -> Refusal | Steps[Refusal | None] | None:
        if x.content is None:
            x.unscanned.append(name)
            return None
        said = inspect(x.content)
        if said is None:
            return None
        if isinstance(said, Finding):
            return _met(x, route, guard, said)
        return _second_opinion(x, route, guard, said)

    return run


def _second_opinion(x: Exchange, route: Route, guard: Guard, asked: Steps[Finding | None]) -> Steps[Refusal | None]:
    """Wait for what a check that was in doubt makes of a second opinion."""
    control = f"check:{guard.check.type}"
    x.opinions[control] = "failed"
    finding = yield from asked
    x.opinions[control] = "passed" if finding is None else "refused"
    return None if finding is None else _met(x, route, guard, finding)


def _met(x: Exchange, route: Route, guard: Guard, finding: Finding) -> Refusal | None:
    """Meet what a check has found."""
    refusal = found(f"check:{guard.check.type}", finding)
    return step_up(x, refusal, Mode.SHADOW not in (route.mode, guard.mode)) if finding.step_up else refusal


def step_up(x: Exchange, refusal: Deny, enforced: bool) -> Challenge | None:
    """Ask for a bound credential in place of a refusal; who has one is let through, and that is recorded."""
    if enforced:
        x.blame += SLIGHT
        x.blamed_for = refusal.rule
    if x.principal.confirmation is not None:  # it was proved a moment ago (proof.py)
        x.shadowed.append(refusal)
        return None
    asked = dpop_challenge(x.policy.prover, "invalid_token", refusal.detail, WANTED)
    return Challenge(asked.scheme, refusal.control, refusal.detail)


def sanitise(x: Exchange, route: Route) -> Refusal | None:
    """Clean what is passed on, and hold it against the schema once more."""
    intake = route.intake
    if x.content is None or x.codec is None or intake.sanitiser is None:
        x.unscanned.append("sanitise")
        return None
    document = intake.sanitiser.clean(x.content)
    if isinstance(document, Finding):
        return found("sanitise", document)
    if document is x.document or route.mode is Mode.SHADOW:
        return None
    # What was changed must still be what the schema promises: stripping can leave a string empty.
    x.document = document
    x.content = Content(document, x.content.query, intake.max_depth, intake.passages, intake.shape)
    x.forward = x.codec.encode(document)
    x.sanitised = True
    return schema(x, route) if intake.schema is not None else None


def write(x: Exchange, route: Route) -> None:
    """Write a body anew whose format another parser might read in another way."""
    if x.content is None or not isinstance(x.codec, Rewriter):
        return
    if route.mode is Mode.SHADOW and x.forward is None:
        return
    x.forward = x.codec.encode(x.document)
    x.fields = x.codec.fields(x.forward)


def found(control: str, finding: Finding) -> Deny:
    """Refuse what a control has found."""
    detail = ": ".join(filter(None, (f"{finding.rule} at {finding.where or 'the whole'}", finding.detail)))
    violations = ({"pointer": finding.where, "rule": finding.rule},) if finding.public else ()
    return Deny(finding.reason, control, detail, violations=violations, rule=finding.rule, where=finding.where)


def _invalid(control: str, rule: str, where: str) -> Deny:
    return found(control, Finding(rule, where, reason=Reason.INVALID_REQUEST, public=True))
