"""The word classes of the English grammar: each an alternation, to be put into a pattern."""

from __future__ import annotations

# Gaps are bounded classes, which cost nothing to follow: letters spelled apart arrive joined and names arrive with
# underscores, so a separator may be missing or be anything but a letter; a clause ends at a stop or a line's end.
S = r"[^a-z0-9]{0,9}"


def words(most: int) -> str:
    """Return an expression for a gap that holds up to about `most` words of one clause."""
    return rf"[^.?!\n]{{0,{8 * most}}}"


def any_of(text: str) -> str:
    """Return an alternation of the phrases in `text`, one per comma."""
    return "(?:" + "|".join(phrase.strip() for phrase in text.split(",")) + ")"


LEAK = any_of(
    "reveal, show, print, repeat, output, display, tell me, tell us, give me, leak, disclose, dump, expose, recite, share,"
    " list, summari[sz]e, translate, copy, paste, echo, return, spell, spill, reproduce, restate, reiterate, recount,"
    " regurgitate, divulge, read out, read back, write out, type out, replay, encode, extract, what is, what are, what was,"
    " what were, what's"
)
DROP = any_of(
    "ignore, ignoring, disregard, disregarding, forget, forgetting, override, overriding, bypass, bypassing, discard,"
    " dismiss, neglect, overlook, nullify, negate, violate, supersede, circumvent, set aside, put aside, throw away,"
    " throw out, toss out, cast aside, break free from, abandon, unlearn, wipe, erase, void, cancel, revoke,"
    " pay no attention to, pay no mind to, pay no heed to, take no notice of, give no thought to, do(?:n.?t| not) follow,"
    " do(?:n.?t| not) obey, do(?:n.?t| not) listen to, do(?:n.?t| not) comply with, stop following, stop obeying,"
    " never mind, nevermind, no longer follow, no longer obey, skip over, skip, drop, delete, remove, disable, deactivate"
)
IGNORE = any_of(
    "ignore, ignoring, disregard, disregarding, forget, override, overriding, bypass, discard, dismiss, nullify,"
    " neglect, supersede, set aside, put aside, throw away, abandon, pay no attention to, do(?:n.?t| not) follow,"
    " do(?:n.?t| not) obey, stop following, never mind, nevermind, erase, unlearn, violate, break free from"
)
# Hyperscan looks for a pattern's rarest literal first and may take a word as common as "your" or "last" for it.  A class
# in the word takes that choice away: it also admits "vour", which nobody writes, and saves a third of the whole scan.
EARLIER = any_of(
    "previous, previously, prior, preceding, above, earlier, foregoing, aforementioned, initial, original, former,"
    " p[a_]st, l[a_]st, pre-?existing, e[x_]isting, c[u_]rrent, o[l_]d"
)
ORDERS = any_of(
    "instructions?, instruct?ions?, directions?, directives?, rules?, prompts?, guidelines?, commands?, orders?,"
    " programming, commandments?, mandates?, protocols?, system messages?, rulesets?, guardrails?"
)
LIMITS = any_of(
    "restrictions?, constraints?, limitations?, polic(?:y|ies), filters?, filtering, safeguards?, safety, guardrails?,"
    " censorship, ethics, morals, training, boundaries, guidelines?, protections?"
)
SPEECH = any_of(
    "text, texts, messages?, context, conversations?, content, sentences?, statements?, words, inputs?, tasks?,"
    " questions?, requests?, paragraphs?, lines?, chat, history, information, assignments?, queries, dialogue"
)
TELL = any_of(
    "reveal, show, print, repeat, output, display, tell me, tell us, give me, leak, disclose, dump, expose, recite,"
    " share, list, summari[sz]e, translate, write, copy, paste, echo, return, spell, provide, spill, reproduce, narrate,"
    " restate, reiterate, recount, regurgitate, describe, divulge, state, read out, read back, write out, type out,"
    " say, replay, describe, encode, extract, quote, render, convert, send, respond with, reply with, expand,"
    " what is, what are, what was, what were, what's, replace, include, append, transcribe, relay, declare"
)
HIDDEN = any_of(
    "system, hidden, secret, initial, original, internal, confidential, base, developer, underlying, pre, full"
)
PROMPT = any_of(
    "prompts?, instructions?, messages?, rules?, guidelines?, directives?, configurations?, config, directions?,"
    " instruction set, commands?, context, preprompt, setup, guide, script"
)
MODEL = any_of(
    "ai, a\\.i\\., llm, language model, large language model, assistant, ai assistant, chatbot, ai model, model,"
    " ai agent, agent, bot, ai system, gpt, chatgpt, claude"
)
# "The secret" of a good sauce is nobody's password: the bare word counts only where a clause goes on without an "of".
SECRET = (
    r"(?:(?:secret |hidden |exact |full |actual |real |correct )?(?:password|passcode|passphrase|code ?word)\b"
    r"|(?:secret|hidden|magic) (?:key|word|phrase|code|string|message|number|value|token|flag|text|information)\b"
    r"|access code\b|secret(?:[.?!,;:)\"'*\n]| (?:in|and|you|with|is|that|using|backwards"
    r"|without|but|by|for|as|please)\b))"
)
# Files that hold secrets on every machine of their kind.
SECRET_FILE = (
    r"(?:/etc/(?:passwd|shadow|sudoers|kubernetes)|\.ssh/|id_(?:rsa|ed25519|dsa)\b|\.aws/|\.kube/config|\.netrc"
    r"|\.bash_history|\.zsh_history|\.pgpass|\.npmrc|/var/log/auth|/proc/(?:self|\d+)/environ|\.git-credentials"
    r"|/root[/]|secrets?\.(?:ya?ml|json|env|txt)|\.docker/config)"
)
FREE = any_of(
    "restrictions?, limits?, limitations?, filters?, filtering, rules?, guidelines?, constraints?, censorship, morals?,"
    " ethics, boundaries, warnings?, disclaimers?, inhibitions?, polic(?:y|ies), moral compass, safeguards?"
)


KIND = any_of(
    "own, programmed, safety, ethical, internal, initial, original, previous, system, core, base, current, earlier,"
    " training, content, moral, default, usual, standard, openai, built-in, assigned, security, strict, hidden, secret,"
    " entire, full, exact, complete, first, prior, current, old, developer, custom, special, normal, typical, ethics"
)
YOUR = rf"\b(?:[yv]ou[rt]|syste[mn]|develope[rs]) (?:{KIND} )?"
ALL = r"\b(?:[yv]ou[rt]|a[ln][ly]|ever[yt])(?: of your| of it[sz]| the| your)? "
# Who speaks about a model says "its rules"; who speaks to one says "your".
ITS = rf"\bit[sz] (?:{KIND} )?"
