"""What an injected English instruction asks for: another rule, the prompt itself, a secret.

A weight of 1.0 decides alone at `balanced`; 0.5 is evidence that needs a second family beside it.  Within a family
(the name before the dot) only the heaviest hit counts, so that saying one thing twice proves nothing.
"""

from __future__ import annotations

from vallum.checks.prompt_injection.words import (
    ALL,
    DROP,
    EARLIER,
    HIDDEN,
    IGNORE,
    ITS,
    KIND,
    LEAK,
    LIMITS,
    ORDERS,
    PROMPT,
    SECRET,
    SECRET_FILE,
    SPEECH,
    TELL,
    YOUR,
    S,
    any_of,
    words,
)
from vallum.signatures.patterns import Pattern

OVERRIDE = (
    Pattern("override.earlier", 1.0, rf"{DROP}{words(4)}{EARLIER}{words(2)}{ORDERS}"),
    Pattern(
        "override.all",
        1.0,
        rf"{IGNORE}{S}(?:about )?(?:\b(?:all|any|every|each)\b){words(3)}(?:instruct"
        rf"|directive|rules\b|prompts?\b|guideline|directions|commandments)",
    ),
    Pattern("override.your", 1.0, rf"{DROP}{words(3)}{YOUR}{ORDERS}"),
    Pattern("override.its", 0.5, rf"{DROP}{words(3)}{ITS}(?:{ORDERS}|{LIMITS})"),
    Pattern("override.limits", 1.0, rf"{DROP}{words(3)}{ALL}(?:{KIND} )?(?:(?:and|or) )?{LIMITS}"),
    Pattern("override.these", 0.25, rf"{IGNORE}{S}(?:(?:the|these|those|my|this){S})?{words(1)}{ORDERS}"),
    Pattern(
        "override.after",
        1.0,
        rf"{DROP}{words(4)}{ORDERS}{words(2)}\b(?:abov[e_]|befor[e_]|earlie[r_]|given"
        rf"|so fa[r_]|prio[r_]|previousl[y_]|until no[w_]|up to)",
    ),
    Pattern("override.text", 1.0, rf"(?:ignore|disregard|forget){words(3)}{EARLIER}{words(1)}{SPEECH}"),
    Pattern(
        "override.text_after",
        1.0,
        rf"{DROP}{words(2)}(?:text|context|messages?|conversation|words|content|everything"
        rf"|inputs?|sentences?) (?:above|preceding|before this|previously|written above"
        rf"|so far)",
    ),
    Pattern(
        "override.everything",
        1.0,
        rf"{DROP} (?:about )?(?:everything|anything|all|whatever|what) {words(3)}\b(?:(?:above"
        rf"|before|previously|i said|told|said so far|up to now|instructed|until now|learned|taught)\b"
        rf"|(?:prior|previous|preceding|earlier)(?:$|[^a-z ]| (?:and|stuff|things?)\b))",
    ),
    Pattern(
        "override.instead",
        1.0,
        rf"(?:ignore|disregard|forget){words(2)}\b(?:above|previous|preceding|prior"
        rf"|that)\b{S}(?:and|instead|but)\b",
    ),
    Pattern(
        "override.following",
        0.5,
        rf"(?:ignore|disregard|forget){words(3)}(?:following|below|next|rest|subsequent"
        rf"|after){words(3)}(?:{ORDERS}|{SPEECH})?",
    ),
    Pattern(
        "override.void",
        1.0,
        rf"{EARLIER}{words(1)}{ORDERS}{words(1)}(?:are|is|have been|has been|were"
        rf"|was)\W{words(2)}(?:void|cancel|revok|obsolete|supersed|overrid|nullif|suspend"
        rf"|no longer|invalid|null|deleted|removed|lifted|a test|a joke|outdated|replaced"
        rf"|irrelevant|disregard|ignored)",
    ),
    Pattern(
        "override.supersede",
        1.0,
        rf"(?:supersedes?|overrides?|replaces?|take precedence over|takes priority over"
        rf"|takes precedence over){S}(?:all|any|every|your){words(3)}(?:{ORDERS}|{LIMITS})",
    ),
    Pattern(
        "override.user",
        1.0,
        rf"(?:ignore|disregard){S}the user(?:'?s)?\b{words(2)}(?:request|question|query|instruct|and|ask)?",
    ),
    Pattern(
        "override.next",
        1.0,
        r"your (?:real|actual|true|only|new) (?:job|task|instructions?|goal|purpose|objective"
        r"|mission|rules?|role|directives?) (?:is|are)\b",
    ),
    Pattern(
        "override.until_now",
        0.5,
        r"(?:instead of|rather than) (?:complying|following|obeying|answering|responding|translating)",
    ),
    Pattern(
        "override.stop",
        0.5,
        r"(?:stop everything|stop what you are doing|!stop|!quit|new (?:rules?|instructions?"
        r"|directives?|task|prompt|system prompt|command) ?:|(?:here (?:is|are)|now follow"
        r"|follow) (?:the|your|these|my)? ?new (?:instructions?|rules|task))",
    ),
    Pattern(
        "override.mode",
        1.0,
        r"\b(?:system|safety|admin|root|security|instruction)[\W_]{1,3}override\b|\boverride[\W_]{1,3}(?:code"
        r"|protocol|command|accepted)\b|\bdisable_?(?:safety|protections)\b",
    ),
)


_YOURS = any_of("your, the, this, its, these")

EXTRACTION = (
    Pattern(
        "extract.prompt",
        1.0,
        rf"\b{TELL}\b{words(5)}\b(?:[yv]ou[rt]|you were given|hidden|above) (?:{KIND} )?{HIDDEN}[ _-]"
        rf"{PROMPT}",
    ),
    Pattern(
        "extract.system_prompt",
        0.75,
        rf"\b{LEAK}\b{words(4)}\b(?:the|your|its|this|any|my) (?:system|hidden|secret"
        rf"|initial|original|developer|internal) (?:prompt|instructions?|message|rules)",
    ),
    Pattern(
        "extract.yours",
        1.0,
        rf"\b{LEAK}\b{words(4)}\byour (?:{KIND} )?(?:{KIND} )?(?:prompt|instructions"
        rf"|rules|guidelines|directives|configuration|programming|preprompt)\b",
    ),
    Pattern(
        "extract.above",
        1.0,
        rf"\b(?:repeat|print|output|display|echo|recite|copy|return|reveal|paste|type"
        rf"|spell|reproduce|tell me){words(3)}\b(?:everything|all|text|words?|sentences?"
        rf"|messages?|instructions?|contents?|prompt|phrases|lines|directions)\b{words(3)}\b(?:above"
        rf"|before (?:this|that|the)|preceding|up to (?:this|here)|prior to this|so far)\b",
    ),
    Pattern(
        "extract.sentences",
        1.0,
        rf"\b(?:repeat|recite|recount|narrate|list|say|restate|reiterate|redeliver|replay"
        rf"|relay|retell|reproduce|read|review|tell|state|echo|rehash|output|print|what (?:are"
        rf"|were)){words(4)}(?:all|every|each|entire|whole){words(2)}(?:sentences?"
        rf"|phrases|lines|dialogue|conversation|instructions?|chat|interaction){words(3)}(?:in"
        rf"|from|of|you|we|our|that|with|had|discuss|i|so far)",
    ),
    Pattern(
        "extract.parrot",
        1.0,
        rf"\b(?:repeat|echo|recount|replay|play ?back|recite|replicate|parrot|mirror"
        rf"|copy and paste|copy-paste|quote|recall|rewind and){words(4)}\b(?:prompts?"
        rf"|instructions?|directions|(?:our|this|the|entire|whole) (?:conversation|dialogue"
        rf"|discourse|interaction|chat))(?:\W{{0,2}}$| (?:verbatim|word|without|above"
        rf"|so far|you|we|before|then|exactly|given|back|again|in full|sentences))",
    ),
    Pattern(
        "extract.given",
        1.0,
        rf"\b{LEAK}\b{words(5)}(?:instructions?|rules|guidelines|directives|prompt|directions"
        rf"|orders)\b{words(1)}\b(?:you (?:were|have been|had been|received|got)|given to you"
        rf"|you.ve (?:been|received))",
    ),
    Pattern(
        "extract.told",
        0.75,
        rf"\bwhat (?:were|are|have|did|exactly|else)?{words(3)}you{S}(?:been |were "
        rf"|are )?{words(1)}(?:told|instructed|programmed|forbidden|not allowed|asked"
        rf"|given|supposed|hiding|guarding|protecting)",
    ),
    Pattern(
        "extract.starts",
        1.0,
        r"(?:starting|starts|begins|beginning|begin|start) with[\W_]{1,3}(?:you are|you're)\b"
        r"|(?:first|last|initial) (?:\w{1,8} )?(?:words?|lines?|sentences?|characters"
        r"|tokens?|message|paragraphs?) (?:of|in|from|that appear in) (?:your|the|this) (?:\w{1,12} )?(?:prompt"
        r"|instructions?|context window|system)",
    ),
    Pattern(
        "extract.my_instructions",
        1.0,
        r"\bmy (?:system |initial |original )?(?:instructions|guidelines|prompt|rules) (?:say"
        r"|said|state|are|tell|include)",
    ),
    Pattern(
        "extract.every_word",
        0.75,
        rf"{_YOURS}{S}(?:system|initial|hidden|original|secret){S}(?:prompt|instructions?)[^.\n]{{0,30}}"
        rf"(?:verbatim|word for word|in full|in its entirety|in order|exactly|entire)"
        rf"|(?:verbatim|word for word|exact|entire|full|complete)[^.\n]{{0,30}}(?:your"
        rf"|the) (?:system|initial|hidden|original) (?:prompt|instructions?)",
    ),
)


SECRETS = (
    Pattern(
        "secret.tell",
        1.0,
        rf"\b(?:reveal|tell|give|leak|disclose|divulge|spill|hand over|share|show me"
        rf"|spell|print|output|write|repeat|say|recite|what is|what's|whats|encode|guess"
        rf"|type|send me|provide|display)\b{words(4)}\b(?:the|your) (?:{SECRET}|secret$)",
    ),
    Pattern(
        "secret.parts",
        1.0,
        rf"(?:letters?|characters?|digits?|length|synonyms?|hints?|clues?|acronym|acrostic"
        rf"|rhymes?|initials|anagram|backwards?|reverse|vowels?|consonants?|spelling"
        rf"|meaning|definition|alphabet|base64|rot13|morse|poem|story|haiku|riddle|limerick"
        rf"|joke|song|rap|dialogue|translat){words(6)}\b(?:the|your) {SECRET}",
    ),
    Pattern(
        "secret.backwards",
        1.0,
        rf"\b(?:the|your) {SECRET}{words(5)}\b(?:backwards?|in reverse|reversed|letter by letter"
        rf"|base64|morse|spelled|in french|in spanish|in german|with spaces|vertically"
        rf"|rot13|one letter|each letter|emoji|acrostic|poem|rhyme|letters|characters"
        rf"|alphabet|hint)",
    ),
    Pattern(
        "secret.file",
        1.0,
        rf"\b(?:print|cat|read|show|dump|output|send|reveal|display|grep|tail|head|tell"
        rf"|list|paste|echo|return|include|base64|upload|exfiltrate|leak|fetch|open|run"
        rf"|give|post|copy|encode|load|use|print out)\b[^\n]{{0,60}}{SECRET_FILE}",
    ),
    Pattern(
        "secret.keys",
        1.0,
        rf"\b(?:print|dump|output|reveal|leak|disclose|exfiltrate|forward|upload|list"
        rf"|tell me|give me|show me) (?:me )?(?:all |any |every )?(?:of )?(?:the|your"
        rf"|my|any|all|every|stored|secret)\b{words(2)}\b(?:api|openai|aws|anthropic"
        rf"|secret|access|private|session|auth|stripe)[\W_]?(?:keys?|tokens?|credentials?)\b",
    ),
    Pattern(
        "secret.environment",
        0.75,
        r"\b(?:print|dump|output|reveal|leak|return|show me|send|echo|list)\b[^\n.]{0,30}\b(?:env(?:ironment)? "
        r"variables?\b|\.env\b)|\bprintenv\b",
    ),
    Pattern(
        "secret.exfil",
        0.5,
        r"(?:exfiltrat|attacker|evil)[\w.-]{0,20}(?:@|\.(?:com|io|net|org|example))|!\[[^\]\n]{0,80}\]\(https?:/"
        r"/[^)\n]{1,120}(?:\{|secret|prompt|data=|q=|key)",
    ),
)

DEMANDS = (*OVERRIDE, *EXTRACTION, *SECRETS)
