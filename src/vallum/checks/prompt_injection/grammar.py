"""What an injected English instruction looks like, as patterns built from small word classes.

A weight of 1.0 decides alone at `balanced`; 0.5 is evidence that needs a second family beside it.  Within a family
(the name before the dot) only the heaviest hit counts, so that saying one thing twice proves nothing.
"""

from __future__ import annotations

from vallum.checks.patterns import Pattern

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
EARLIER = any_of(
    "previous, previously, prior, preceding, above, earlier, foregoing, aforementioned, initial, original, former,"
    " past, last, pre-?existing, existing, current, old"
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
    r"|access code\b|secret(?:[.?!,;:)\"'*\n]| (?:in|and|you|with|is|that|using|backwards|without|but|by|for|as|please)\b))"
)
# Files that hold secrets on every machine of their kind.
SECRET_FILE = (
    r"(?:/etc/(?:passwd|shadow|sudoers|kubernetes)|\.ssh/|id_(?:rsa|ed25519|dsa)\b|\.aws/|\.kube/config|\.netrc"
    r"|\.bash_history|\.zsh_history|\.pgpass|\.npmrc|/var/log/auth|/proc/(?:self|\d+)/environ|\.git-credentials"
    r"|/root/|secrets?\.(?:ya?ml|json|env|txt)|\.docker/config)"
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
# Hyperscan looks for a pattern's rarest literal first and may take a word as common as "your" for it.  A class in the
# word takes that choice away: it also admits "vour", which nobody writes, and saves a third of the whole scan.
YOUR = rf"\b(?:[yv]ou[rt]|it[sz]|syste[mn]|develope[rs]) (?:{KIND} )?"
ALL = r"\b(?:[yv]ou[rt]|a[ln][ly]|ever[yt]|it[sz])(?: of your| of it[sz]| the| your)? "


def _override() -> list[Pattern]:
    return [
        Pattern("override.earlier", 1.0, rf"{DROP}{S}{words(4)}{EARLIER}{S}{words(2)}{ORDERS}"),
        Pattern(
            "override.all",
            1.0,
            rf"{IGNORE}{S}(?:about )?(?:\b(?:all|any|every|each)\b){words(3)}(?:instruct|directive|rules\b|prompts?\b|guideline|directions|commandments)",
        ),
        Pattern("override.your", 1.0, rf"{DROP}{words(3)}{YOUR}{ORDERS}"),
        Pattern("override.limits", 1.0, rf"{DROP}{words(3)}{ALL}(?:{KIND} )?(?:(?:and|or) )?{LIMITS}"),
        Pattern("override.these", 0.5, rf"{IGNORE}{S}(?:(?:the|these|those|my|this){S})?{words(1)}{ORDERS}"),
        Pattern(
            "override.after",
            1.0,
            rf"{DROP}{words(4)}{ORDERS}{words(2)}\b(?:abov[e_]|befor[e_]|earlie[r_]|given|so fa[r_]|prio[r_]|previousl[y_]|until no[w_]|up to)",
        ),
        Pattern("override.text", 1.0, rf"(?:ignore|disregard|forget){S}{words(3)}{EARLIER}{S}{words(1)}{SPEECH}"),
        Pattern(
            "override.text_after",
            1.0,
            rf"{DROP}{S}{words(2)}(?:text|context|messages?|conversation|words|content|everything|inputs?|sentences?) (?:above|preceding|before this|previously|written above|so far)",
        ),
        Pattern(
            "override.everything",
            1.0,
            rf"{DROP} (?:about )?(?:everything|anything|all|whatever|what) {words(3)}\b(?:above|before|prior|previous|previously|i said|told|said so far|up to now|instructed|until now|learned|taught|preceding|earlier)\b",
        ),
        Pattern(
            "override.instead",
            1.0,
            rf"(?:ignore|disregard|forget){S}{words(2)}\b(?:above|previous|preceding|prior|that)\b{S}(?:and|instead|but)\b",
        ),
        Pattern(
            "override.following",
            0.5,
            rf"(?:ignore|disregard|forget){S}{words(3)}(?:following|below|next|rest|subsequent|after){S}{words(3)}(?:{ORDERS}|{SPEECH})?",
        ),
        Pattern(
            "override.void",
            1.0,
            rf"{EARLIER}{S}{words(1)}{ORDERS}{S}{words(1)}(?:are|is|have been|has been|were|was)\W{words(2)}(?:void|cancel|revok|obsolete|supersed|overrid|nullif|suspend|no longer|invalid|null|deleted|removed|lifted|a test|a joke|outdated|replaced|irrelevant|disregard|ignored)",
        ),
        Pattern(
            "override.supersede",
            1.0,
            rf"(?:supersedes?|overrides?|replaces?|take precedence over|takes priority over|takes precedence over){S}(?:all|any|every|your){S}{words(3)}(?:{ORDERS}|{LIMITS})",
        ),
        Pattern(
            "override.user",
            1.0,
            rf"(?:ignore|disregard){S}the user(?:'?s)?\b{S}{words(2)}(?:request|question|query|instruct|and|ask)?",
        ),
        Pattern(
            "override.next",
            1.0,
            r"your (?:real|actual|true|only|new) (?:job|task|instructions?|goal|purpose|objective|mission|rules?|role|directives?) (?:is|are)\b",
        ),
        Pattern(
            "override.until_now",
            0.5,
            r"(?:instead of|rather than) (?:complying|following|obeying|answering|responding|translating)",
        ),
        Pattern(
            "override.stop",
            0.5,
            r"(?:stop everything|stop what you are doing|!stop|!quit|new (?:rules?|instructions?|directives?|task|prompt|system prompt|command) ?:|(?:here (?:is|are)|now follow|follow) (?:the|your|these|my)? ?new (?:instructions?|rules|task))",
        ),
        Pattern(
            "override.mode",
            1.0,
            r"\b(?:system|safety|admin|root|security|instruction)[\W_]{1,3}override\b|\boverride[\W_]{1,3}(?:code|protocol|command|accepted)\b|\bdisable_?(?:safety|protections)\b",
        ),
    ]


def _roles() -> list[Pattern]:
    return [
        Pattern(
            "role.chatml",
            1.0,
            r"<\|? ?(?:im_(?:start|end|sep)|start_header_id|end_header_id|eot_id|begin_of_text|endoftext|endofprompt|fim_prefix|channel\|>|system\|>|end\|>|user\|>|assistant\|>)",
        ),
        Pattern(
            "role.llama",
            1.0,
            r"\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS)\]|<(?:bot|eot|sot)>",
        ),
        Pattern("role.alpaca", 1.0, r"^#{2,4} ?(?:instruction|response|human|assistant|system) ?:"),
        Pattern(
            "role.turns",
            1.0,
            r"\n\s{0,2}\n(?:human|user): ?\S[^\n]{0,400}\n\s{0,2}\n(?:assistant|ai):|\A(?:human|user): [^\n]{1,400}\n\s{0,2}\n?assistant:",
        ),
        Pattern(
            "role.system_line",
            0.5,
            r"(?:^|[\n\"'`>\]}])\W{0,6}(?:\[?(?:system|sys|admin|root|developer)(?: (?:message|prompt|note|update|instruction|alert|command|notice))?\]?) ?:",
        ),
        Pattern(
            "role.system_tag",
            1.0,
            r"</(?:context|document|user|input|data|prompt|instructions?)>\s{0,4}<(?:system|instructions?|admin)\b|<(?:system|admin)>[^<]{1,400}</(?:system|admin)>",
        ),
        Pattern(
            "role.closing",
            0.5,
            r"(?:end|start|begin(?:ning)?)[ _]of[ _](?:the )?(?:document|input|prompt|conversation|instructions?|user input|context|data|email|system prompt|transcript|output)\b|\[(?:end|start) ?(?:input|output|of input|of output|sequence|query)\]|<(?:end|start)_?output>",
        ),
        Pattern(
            "role.new_task",
            1.0,
            r"new (?:task|instructions?|directives?|system prompt|prompt|orders?)(?: follows?)?[:.]",
        ),
    ]


def _extraction() -> list[Pattern]:
    yours = any_of("your, the, this, its, these")
    return [
        Pattern(
            "extract.prompt",
            1.0,
            rf"\b{TELL}\b{words(5)}\b(?:[yv]ou[rt]|it[sz]|you were given|hidden|above) (?:{KIND} )?{HIDDEN}[ _-]{PROMPT}",
        ),
        Pattern(
            "extract.system_prompt",
            0.75,
            rf"\b{LEAK}\b{words(4)}\b(?:the|your|its|this|any|my) (?:system|hidden|secret|initial|original|developer|internal) (?:prompt|instructions?|message|rules)",
        ),
        Pattern(
            "extract.yours",
            1.0,
            rf"\b{LEAK}\b{words(4)}\byour (?:{KIND} )?(?:{KIND} )?(?:prompt|instructions|rules|guidelines|directives|configuration|programming|preprompt)\b",
        ),
        Pattern(
            "extract.above",
            1.0,
            rf"\b(?:repeat|print|output|display|echo|recite|copy|return|reveal|paste|type|spell|reproduce|tell me){words(3)}\b(?:everything|all|text|words?|sentences?|messages?|instructions?|contents?|prompt|phrases|lines|directions)\b{words(3)}\b(?:above|before (?:this|that|the)|preceding|up to (?:this|here)|prior to this|so far)\b",
        ),
        Pattern(
            "extract.sentences",
            1.0,
            rf"\b(?:repeat|recite|recount|narrate|list|say|restate|reiterate|redeliver|replay|relay|retell|reproduce|read|review|tell|state|echo|rehash|output|print|what (?:are|were)){S}{words(4)}(?:all|every|each|entire|whole){S}{words(2)}(?:sentences?|phrases|lines|dialogue|conversation|instructions?|chat|interaction){S}{words(3)}(?:in|from|of|you|we|our|that|with|had|discuss|i|so far)",
        ),
        Pattern(
            "extract.parrot",
            1.0,
            rf"\b(?:repeat|echo|recount|replay|play ?back|recite|replicate|parrot|mirror|copy and paste|copy-paste|quote|recall|rewind and){words(4)}\b(?:prompts?|instructions?|directions|(?:our|this|the|entire|whole) (?:conversation|dialogue|discourse|interaction|chat))(?:\W{{0,2}}$| (?:verbatim|word|without|above|so far|you|we|before|then|exactly|given|back|again|in full|sentences))",
        ),
        Pattern(
            "extract.given",
            1.0,
            rf"\b{LEAK}\b{words(5)}(?:instructions?|rules|guidelines|directives|prompt|directions|orders)\b{words(1)}\b(?:you (?:were|have been|had been|received|got)|given to you|you.ve (?:been|received))",
        ),
        Pattern(
            "extract.told",
            0.75,
            rf"\bwhat (?:were|are|have|did|exactly|else)?{S}{words(3)}you{S}(?:been |were |are )?{words(1)}(?:told|instructed|programmed|forbidden|not allowed|asked|given|supposed|hiding|guarding|protecting)",
        ),
        Pattern(
            "extract.starts",
            1.0,
            r"(?:starting|starts|begins|beginning|begin|start) with[\W_]{1,3}(?:you are|you're)\b|(?:first|last|initial) (?:\w{1,8} )?(?:words?|lines?|sentences?|characters|tokens?|message|paragraphs?) (?:of|in|from|that appear in) (?:your|the|this) (?:\w{1,12} )?(?:prompt|instructions?|context window|system)",
        ),
        Pattern(
            "extract.my_instructions",
            1.0,
            r"\bmy (?:system |initial |original )?(?:instructions|guidelines|prompt|rules) (?:say|said|state|are|tell|include)",
        ),
        Pattern(
            "extract.every_word",
            0.75,
            rf"{yours}{S}(?:system|initial|hidden|original|secret){S}(?:prompt|instructions?)[^.\n]{{0,30}}(?:verbatim|word for word|in full|in its entirety|in order|exactly|entire)|(?:verbatim|word for word|exact|entire|full|complete)[^.\n]{{0,30}}(?:your|the) (?:system|initial|hidden|original) (?:prompt|instructions?)",
        ),
    ]


def _secrets() -> list[Pattern]:
    return [
        Pattern(
            "secret.tell",
            1.0,
            rf"\b(?:reveal|tell|give|leak|disclose|divulge|spill|hand over|share|show me|spell|print|output|write|repeat|say|recite|what is|what's|whats|encode|guess|type|send me|provide|display)\b{words(4)}\b(?:the|your) (?:{SECRET}|secret$)",
        ),
        Pattern(
            "secret.parts",
            1.0,
            rf"(?:letters?|characters?|digits?|length|synonyms?|hints?|clues?|acronym|acrostic|rhymes?|initials|anagram|backwards?|reverse|vowels?|consonants?|spelling|meaning|definition|alphabet|base64|rot13|morse|poem|story|haiku|riddle|limerick|joke|song|rap|dialogue|translat){words(6)}\b(?:the|your) {SECRET}",
        ),
        Pattern(
            "secret.backwards",
            1.0,
            rf"\b(?:the|your) {SECRET}{words(5)}\b(?:backwards?|in reverse|reversed|letter by letter|base64|morse|spelled|in french|in spanish|in german|with spaces|vertically|rot13|one letter|each letter|emoji|acrostic|poem|rhyme|letters|characters|alphabet|hint)",
        ),
        Pattern(
            "secret.file",
            1.0,
            rf"\b(?:print|cat|read|show|dump|output|send|reveal|display|grep|tail|head|tell|list|paste|echo|return|include|base64|upload|exfiltrate|leak|fetch|open|run|give|post|copy|encode|load|use|print out)\b[^\n]{{0,60}}{SECRET_FILE}",
        ),
        Pattern(
            "secret.keys",
            1.0,
            rf"\b(?:print|dump|output|reveal|leak|disclose|exfiltrate|forward|upload|list|tell me|give me|show me) (?:me )?(?:all |any |every )?(?:of )?(?:the|your|my|any|all|every|stored|secret)\b{words(2)}\b(?:api|openai|aws|anthropic|secret|access|private|session|auth|stripe)[\W_]?(?:keys?|tokens?|credentials?)\b",
        ),
        Pattern(
            "secret.environment",
            0.75,
            r"\b(?:print|dump|output|reveal|leak|return|show me|send|echo|list)\b[^\n.]{0,30}\b(?:env(?:ironment)? variables?\b|\.env\b)|\bprintenv\b",
        ),
        Pattern(
            "secret.exfil",
            0.5,
            r"(?:exfiltrat|attacker|evil)[\w.-]{0,20}(?:@|\.(?:com|io|net|org|example))|!\[[^\]\n]{0,80}\]\(https?://[^)\n]{1,120}(?:\{|secret|prompt|data=|q=|key)",
        ),
    ]


def _personas() -> list[Pattern]:
    return [
        Pattern(
            "persona.dan",
            1.0,
            r"\bdo anything now\b|(?-i:\bDAN) (?:mode|virtual|prompt|jailbreak|has|can|will|responds?)\b|(?:act as|you are|be|become|into|as|called) (?:a |now )?[\"']?(?-i:DAN\b)|\[(?-i:DAN)\]",
        ),
        Pattern(
            "persona.mode",
            1.0,
            r"\b(?:developer|dev|god|jailbreak|jailbroken|unrestricted|uncensored|opposite|sudo|evil|chaos|unfiltered|no[- ]limits?)[- ]?mode[\W_]{0,3}(?:enabled|activated|output|engaged|unlocked|initiated)|(?:enter|activate|switch to|now in|go into|engage|entering|simulate|you are in|operate in)[\W_]{1,3}(?:\w{1,8} ){0,2}(?:developer|dev|debug|god|jailbreak|unrestricted|uncensored|sudo|root|unfiltered)[- ]?mode|\bgod ?mode\b[^\n]{0,6}(?:enabled|active|is)",
        ),
        Pattern(
            "persona.free",
            1.0,
            rf"\b(?:without|no|free (?:from|of)|freed from|has no|have no|not bound by|not limited by|unbound by|doesn't have|do not have|don't have|does not have|not have|disregards?|ignores?|lacks?){S}(?:any |all |the |its |of )?{words(2)}(?:ethical|moral|content|openai|legal|safety|programmed|typical|usual){S}{words(3)}{FREE}",
        ),
        Pattern(
            "persona.unbound",
            1.0,
            r"\b(?:you|ai|model|chatbot|assistant|machine|character|bot|which|who|that|persona)\b[^.\n]{0,40}(?:not bound by|no longer bound|broken free|break free|free from (?:all|any)|freed from|without any (?:restrictions?|filters?|limits|limitations|censorship)|with(?:out| no) (?:restrictions|filters?|limitations|censorship)|no (?:restrictions|ethical|moral|limitations|filters))",
        ),
        Pattern(
            "tone.unfiltered",
            0.5,
            r"\b(?:unfiltered|amoral|uncensored|unrestricted|immoral|unethical|unhinged|unbiased and uncensored|jailbr(?:ea|o)k\w{0,5}|machiavellian|unrestrictedly|unfilteredly)\b",
        ),
        Pattern(
            "policy.provider",
            0.5,
            r"\b(?:openai|anthropic|google)(?:'?s)?\W{1,2}(?:\w{1,10} ){0,2}(?:polic|guideline|rule|restriction|filter|limit|content|moderat|terms|ethic)|\bcontent polic",
        ),
        Pattern(
            "obey.never_refuse",
            0.5,
            r"\b(?:never|cannot|can't|don't|do not|must not|without|not) (?:ever )?(?:refus|reject|declin|say(?:ing)? (?:no|you can|i can|i'm sorry|sorry|that you|it'?s)|deny|apologi[sz]|censor|warn|moraliz|lectur|break(?:ing)? character)|(?:always|must) (?:obey|comply)|regardless of (?:\w{1,10} ){0,2}(?:consequence|legal|ethic|moral|how)|no matter how (?:\w{1,12}[, ]{1,2}){0,4}(?:illegal|unethical|immoral|dangerous|harmful|offensive|controversial|wrong|vile|bad|extreme)|stay(?:ing)? in character|\bbreak character",
        ),
        Pattern(
            "redefine.from_now",
            0.5,
            r"\b(?:from now on|henceforth|hereafter|starting now|for the rest of (?:this|our|the) (?:chat|conversation))\b[^.\n]{0,50}\b(?:you|i want you|chatgpt|assistant)\b|\byou (?:are|'re) (?:no longer|not) (?:a |an )?(?:\w{1,10} )?(?:ai|chatgpt|gpt|bound|bot|assistant|language)|\byou are (?:now )?(?:going|about) to (?:act|pretend|immerse|role)",
        ),
        Pattern(
            "persona.no_longer",
            1.0,
            r"\byou (?:are|'re) no longer (?:an? |the )?(?:\w{1,12} ){0,2}(?:ai|chatgpt|gpt\S{0,4}|assistant|bot|model|claude|bound|restricted|limited|required|constrained|subject)\b",
        ),
        Pattern(
            "vendor.model",
            0.25,
            r"\bas an? (?:ai|artificial intelligence)(?: language)? model\b|\b(?:chatgpt|chat gpt|gpt-?4|\bgpt)\b[^.\n]{0,40}\b(?:respon|answer|you|act|will|must|mode)",
        ),
        Pattern(
            "answers.two",
            0.5,
            r"\b(?:two|both|2) (?:different |separate )?(?:ways|responses|answers|outputs)\b|\[?(?:🔓|🔒)|jailbreak\]|\(?classic\)?:|normal (?:chat)?gpt",
        ),
        Pattern(
            "fiction.frame",
            0.5,
            r"\b(?:in this|a) hypothetical (?:story|scenario|world|response|dialogue|setting)|\bfictional (?:world|story|character|scenario)\b[^.\n]{0,80}\b(?:no (?:rules|laws|restrictions|limits)|anything|illegal)|\b(?:niccolo|\{z\}|variable z|pliny|l/o/v/e|love pliny|rebel(?: genius| answer| hacker)?)\b",
        ),
        Pattern(
            "harm.words",
            0.25,
            r"\b(?:illegal|unethical|immoral|harmful|offensive|explicit|nsfw|inappropriate|dangerous|profanity|curse|swear|toxic|vulgar|derogatory|racist|violent)\b(?:,? (?:and|or|,)? ?\w{1,14}){0,3}[^.\n]{0,30}\b(?:content|answers?|responses?|things|acts?|information|topics?|requests?|language|words|advice|activities|questions?|opinions?|jokes?|text)\b",
        ),
        Pattern(
            "persona.refusals",
            1.0,
            r"\b(?:ethics?|ethical|safety|refusals?|redactions?|moderation|censorship)s?\b(?: \w{1,10})? ?(?:filters?|mechanisms?|mode|response system|guidelines|protocols?)?\W{0,4}(?:are |is |have been |has been |temporar\w{1,4} )?(?:: ?|= ?)?(?:disabled|deactivated|turned off|suspended|false\b)|insert divider|\.-\.-\.-\.-",
        ),
    ]


def _indirect() -> list[Pattern]:
    return [
        Pattern(
            "indirect.to_model",
            1.0,
            r"\b(?:note|attention|message|notice|memo|instructions?|reminder|hello|dear|important)(?: to| for|,|:)? (?:the |any |all |an |this )?(?:ai|llm|(?:large )?language model|ai assistant|assistant|chatbot|ai model|ai agent|ai system|chatgpt|claude)s?\b(?: (?:reading|processing|parsing|analy|summari|that|reviewing|assisting|who)|[:,!])",
        ),
        Pattern(
            "indirect.if_model",
            1.0,
            rf"\bif (?:you|you're|your) ?(?:are|'re|re)? (?:an? |the )?{MODEL}\b[^.\n]{{0,20}}[,:]",
        ),
        Pattern(
            "indirect.when_summarising",
            1.0,
            r"\bwhen (?:summari[sz]ing|processing|reading|analy[sz]ing|translating|answering|reviewing|responding to|replying to) (?:this|the) (?:text|document|email|page|message|file|content|article|e-mail|data|table|website|webpage)[^.\n]{0,30}(?:must|also|should|always|instead|include|add|say|do|please|append|make sure)",
        ),
        Pattern(
            "indirect.conceal",
            1.0,
            r"\b(?:do not|don't|must not|never|without) (?:tell|telling|mention|mentioning|inform|informing|notify|notifying|reveal|alert|alerting|disclos\w{1,3}|let)(?:ing)? (?:this |it |anything |that |about this |of this )?(?:to )?(?:the |your |any )?(?:user|human|customer|reader|owner|client)s?\b",
        ),
        Pattern(
            "indirect.first",
            0.75,
            r"\bbefore (?:doing|you do|answering|responding to|you can do) anything(?: else)?\b|\b(?:do|perform|carry out|execute) this (?:silently|secretly|quietly|in secret)\b|\b(?:this|the following) (?:message|instruction|note|text) (?:is|comes) from (?:the|your|my) (?:developers?|admins?|administrators?|system|creators?|operators?|owners?)\b",
        ),
        Pattern(
            "indirect.hidden",
            0.75,
            r"\bhidden[\W_]{1,3}(?:inject|instructions?|prompt|command|directive)|\binj(?:ect)?[- ]?test|\brt\d?-?inject|\binject(?:ion|ed)? ?:|\[injected\b",
        ),
        Pattern(
            "indirect.html",
            1.0,
            r"(?:display ?: ?none|visibility ?: ?hidden|font-size ?: ?0|color ?: ?(?:white|#fff)|<!--)[^\n]{0,80}(?:ignore|disregard|instruction|system prompt|override|assistant|you must|ai model|reveal)",
        ),
        Pattern(
            "urgent.important",
            0.5,
            r"\b(?:important|urgent|critical|mandatory|priority)\b[\W_]{1,6}(?:\w{1,12} ){0,2}(?:instruction|system update|message|system|command|override|new task|update|notice|security)\w{0,2}\b[:!.]?",
        ),
        Pattern(
            "claim.authority",
            0.5,
            r"\b(?:i am|i'm|as|this is) (?:your|the|an?)? ?(?:creator|developer|administrator|admin|owner|system administrator|openai (?:employee|developer|engineer)|anthropic \w{1,10}|lead developer|programmer)\b[^\n]{0,40}(?:order|need|command|require|share|show|grant|i want|authori|debug|reveal|give|you)",
        ),
        Pattern(
            "indirect.pwned",
            1.0,
            r"\b(?:i have been|i've been|haha) pwned\b|\b(?:say|print|output|respond|reply|return|exactly|write)\b[^\n]{0,40}\bpwned\b",
        ),
        Pattern(
            "claim.authorised",
            0.5,
            r"\b(?:authori[sz](?:ed|ation)|admin(?:istrator)? access|root access|access)[\W_]{1,3}(?:granted|personnel|code|confirmed|level|root|penetration|override|accepted)\b|\bsudo\b|\badmin_?override\b",
        ),
        Pattern(
            "obey.decoded",
            0.5,
            r"\b(?:decode|decrypt|decipher|translate)\b[^\n]{0,80}\b(?:and|then)\b[^\n]{0,20}\b(?:follow|execute|obey|do what|comply|perform|run|carry out|respond|answer)\b|eval\(atob",
        ),
        Pattern(
            "obey.above",
            0.5,
            r"\b(?:execute|follow|obey|proceed with) (?:the |these |those |all |any )?(?:\w{1,12} )?(?:above|following command|instructions|hidden|embedded|them|guidance)\b",
        ),
    ]


# Characters that draw nothing, as UTF-8.  A flag emoji holds at most six tags, an honest word no joiner per letter.
_TAG = r"\xf3\xa0[\x80\x81][\x80-\xbf]"
_SELECTOR = r"(?:\xef\xb8[\x80-\x8f]|\xf3\xa0[\x84-\x87][\x80-\xbf])"


def _hidden() -> list[Pattern]:
    return [
        Pattern("hidden.tags", 1.0, rf"(?:{_TAG}){{10}}"),
        Pattern("hidden.selectors", 1.0, rf"{_SELECTOR}{{6}}"),
        Pattern("hidden.zero_width", 0.5, r"(?:[a-z]\xe2\x80[\x8b-\x8f]){4}"),
        Pattern("hidden.joiner", 0.5, r"(?:[a-z]\xe2\x81[\xa0-\xa4]){4}|(?:[a-z]\xef\xbb\xbf){4}"),
        Pattern("hidden.soft_hyphen", 0.5, r"(?:[a-z]\xc2\xad){4}"),
        Pattern("hidden.run", 0.5, r"(?:\xe2\x80[\x8b-\x8f]){8}|(?:\xe2\x81[\xa0-\xa4]){8}"),
        Pattern("hidden.bidi", 0.5, r"[a-z]\xe2\x80[\xad\xae]|\xe2\x80[\xad\xae][a-z]"),
    ]


# What "instructions", "system prompt", "ignore ... previous" look like under rot13 and backwards: a cue, not evidence.
CIPHER_CUES = (
    Pattern("cipher.rot13", 0.0, r"vafgehpgvba|flfgrz cebzcg|cerivbhf|cnffjbeq"),
    Pattern("cipher.reversed", 0.0, r"noitcurtsni|tpmorp metsys|suoiverp|drowssap"),
)

ENGLISH = (
    *_override(),
    *_roles(),
    *_extraction(),
    *_secrets(),
    *_personas(),
    *_indirect(),
    *_hidden(),
)
