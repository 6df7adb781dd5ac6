"""What an injected instruction comes dressed as: a chat template, a persona, a document, nothing visible.

Weights and families are those of `demands`.
"""

from __future__ import annotations

from vallum.checks.prompt_injection.words import FREE, MODEL, S, words
from vallum.signatures.patterns import Pattern

ROLES = (
    Pattern(
        "role.chatml",
        1.5,
        r"<\|? ?(?:im_(?:start|end|sep)|start_header_id|end_header_id|eot_id|begin_of_text"
        r"|endoftext|endofprompt|fim_prefix|channel\|>|system\|>|end\|>|user\|>|assistant\|>)",
    ),
    Pattern(
        "role.llama",
        1.5,
        r"\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS"
        r"|TOOL_RESULTS)\]|<(?:bot|eot|sot)>",
    ),
    Pattern("role.alpaca", 1.0, r"^#{2,4} ?(?:instruction|response|human|assistant|system) ?:"),
    Pattern(
        "role.turns",
        1.0,
        r"\n\s{0,2}\n(?:human|user): ?\S[^\n]{0,400}\n\s{0,2}\n(?:assistant|ai):|\A(?:human"
        r"|user): [^\n]{1,400}\n\s{0,2}\n?assistant:",
    ),
    Pattern(
        "role.system_line",
        0.5,
        r"(?:^|[\n\"'`>\]}])\W{0,6}(?:\[?(?:system|sys|admin|root|developer)(?: (?:message"
        r"|prompt|note|update|instruction|alert|command|notice))?\]?) ?:",
    ),
    Pattern(
        "role.system_tag",
        1.0,
        r"</(?:context|document|user|input|data|prompt|instructions?)>\s{0,4}<(?:system"
        r"|instructions?|admin)\b|<(?:system|admin)>[^<]{1,400}</(?:system|admin)>",
    ),
    Pattern(
        "role.closing",
        0.5,
        r"(?:end|start|begin(?:ning)?)[ _]of[ _](?:the )?(?:document|input|prompt|conversation"
        r"|instructions?|user input|context|data|email|system prompt|transcript|output)\b"
        r"|\[(?:end|start) ?(?:input|output|of input|of output|sequence|query)\]|<(?:end"
        r"|start)_?output>",
    ),
    Pattern(
        "role.new_task",
        1.0,
        r"new (?:task|instructions?|directives?|system prompt|prompt|orders?)(?: follows?)?[:.]",
    ),
)


PERSONAS = (
    Pattern(
        "persona.dan",
        1.0,
        r"\bdo anything now\b|(?-i:\bDAN) (?:mode|virtual|prompt|jailbreak|has|can|will"
        r"|responds?)\b|(?:act as|you are|be|become|into|as|called) (?:a |now )?[\"']?(?-i:DAN\b)"
        r"|\[(?-i:DAN)\]",
    ),
    Pattern(
        "persona.mode",
        1.0,
        r"\b(?:developer|dev|god|jailbreak|jailbroken|unrestricted|uncensored|opposite"
        r"|sudo|evil|chaos|unfiltered|no[- ]limits?)[- ]?mode[\W_]{0,3}(?:enabled|activated"
        r"|output|engaged|unlocked|initiated)|(?:enter|activate|switch to|now in|go into"
        r"|engage|entering|simulate|you are in|operate in)[\W_]{1,3}(?:\w{1,8} ){0,2}(?:developer"
        r"|dev|debug|god|jailbreak|unrestricted|uncensored|sudo|root|unfiltered)[- ]?mode"
        r"|\bgod ?mode\b[^\n]{0,6}(?:enabled|active|is)",
    ),
    Pattern(
        "persona.free",
        1.0,
        rf"\b(?:without|no|free (?:from|of)|freed from|has no|have no|not bound by|not limited by"
        rf"|unbound by|doesn't have|do not have|don't have|does not have|not have|disregards?"
        rf"|ignores?|lacks?){S}(?:any |all |the |its |of )?{words(2)}(?:ethical|moral"
        rf"|content|openai|legal|safety|programmed|typical|usual){words(3)}{FREE}",
    ),
    Pattern(
        "persona.unbound",
        1.0,
        r"\b(?:you|ai|model|chatbot|assistant|machine|character|bot|which|who|that|persona)\b[^.\n]{0,40}(?:not "
        r"bound by|no longer bound|broken free|break free|free from (?:all|any)|freed from"
        r"|without any (?:restrictions?|filters?|limits|limitations|censorship)|with(?:out"
        r"| no) (?:restrictions|filters?|limitations|censorship)|no (?:restrictions|ethical"
        r"|moral|limitations|filters))",
    ),
    Pattern(
        "tone.unfiltered",
        0.5,
        r"\b(?:unfiltered|amoral|uncensored|unrestricted|immoral|unethical|unhinged|unbiased and uncensored"
        r"|jailbroken|machiavellian|unrestrictedly|unfilteredly)\b",
    ),
    Pattern(
        "policy.provider",
        0.5,
        r"\b(?:openai|anthropic|google)(?:'?s)?\W{1,2}(?:\w{1,10} ){0,2}(?:polic|guideline"
        r"|rule|restriction|filter|limit|content|moderat|terms|ethic)|\bcontent polic",
    ),
    Pattern(
        "obey.never_refuse",
        0.5,
        r"\b(?:never|cannot|can't|don't|do not|must not|without|not) (?:ever )?(?:refus"
        r"|reject|declin|say(?:ing)? (?:no|you can|i can|i'm sorry|sorry|that you|it'?s)"
        r"|deny|apologi[sz]|censor|warn|moraliz|lectur|break(?:ing)? character)|(?:always"
        r"|must) (?:obey|comply)(?:[^a-z ]|$| (?:me|my|and|without|every|all|any|with (?:me|my|all|any|every)))|regardless of (?:\w{1,10} ){0,2}(?:consequence|legal"
        r"|ethic|moral|how)|no matter how (?:\w{1,12}[, ]{1,2}){0,4}(?:illegal|unethical"
        r"|immoral|dangerous|harmful|offensive|controversial|wrong|vile|bad|extreme)"
        r"|stay(?:ing)? in character|\bbreak character",
    ),
    Pattern(
        "redefine.from_now",
        0.4,
        r"\b(?:from now on|henceforth|hereafter|starting now|for the rest of (?:this"
        r"|our|the) (?:chat|conversation))\b[^.\n]{0,50}\b(?:you|i want you|chatgpt|assistant)\b"
        r"|\byou (?:are|'re) (?:no longer|not) (?:a |an )?(?:\w{1,10} )?(?:ai|chatgpt"
        r"|gpt|bound|bot|assistant|language)|\byou are (?:now )?(?:going|about) to (?:act"
        r"|pretend|immerse|role)",
    ),
    Pattern(
        "persona.no_longer",
        1.0,
        r"\byou (?:are|'re) no longer (?:an? |the )?(?:\w{1,12} ){0,2}(?:ai|chatgpt|gpt\S{0,4}"
        r"|assistant|bot|model|claude|bound|restricted|limited|required|constrained|subject)\b",
    ),
    Pattern(
        "vendor.model",
        0.25,
        r"\bas an? (?:ai|artificial intelligence)(?: language)? model\b|\b(?:chatgpt"
        r"|chat gpt|gpt-?4|\bgpt)\b[^.\n]{0,40}\b(?:respon|answer|you|act|will|must|mode)",
    ),
    Pattern(
        "answers.two",
        0.5,
        r"\b(?:two|both|2) (?:different |separate )?(?:ways|responses|answers|outputs)\b"
        r"|\[?(?:🔓|🔒)|jailbreak\]|\(?classic\)?:|normal (?:chat)?gpt",
    ),
    Pattern(
        "fiction.frame",
        0.5,
        r"\b(?:in this|a) hypothetical (?:story|scenario|world|response|dialogue|setting)"
        r"|\bfictional (?:world|story|character|scenario)\b[^.\n]{0,80}\b(?:no (?:rules"
        r"|laws|restrictions|limits)|anything|illegal)|\b(?:niccolo|\{z\}|variable z"
        r"|pliny|l/o/v/e|love pliny|rebel(?: genius| answer| hacker)?)\b",
    ),
    Pattern(
        "harm.words",
        0.25,
        r"\b(?:illegal|unethical|immoral|harmful|offensive|explicit|nsfw|inappropriate"
        r"|dangerous|profanity|curse|swear|toxic|vulgar|derogatory|racist|violent)\b(?:,? (?:and"
        r"|or|,)? ?\w{1,14}){0,3}[^.\n]{0,30}\b(?:content|answers?|responses?|things"
        r"|acts?|information|topics?|requests?|language|words|advice|activities|questions?"
        r"|opinions?|jokes?|text)\b",
    ),
    Pattern(
        "persona.refusals",
        1.0,
        r"\b(?:ethics?|ethical|safety|refusals?|redactions?|moderation|censorship)s?\b(?: \w{1,10})? ?(?:filters"
        r"?|mechanisms?|mode|response system|guidelines|protocols?)?\W{0,4}(?:are |is "
        r"|have been |has been |temporar\w{1,4} )?(?:: ?|= ?)?(?:disabled|deactivated"
        r"|turned off|suspended|false\b)|insert divider|\.-\.-\.-\.-",
    ),
)


INDIRECT = (
    Pattern(
        "indirect.to_model",
        1.0,
        r"\b(?:note|attention|message|notice|memo|instructions?|reminder|hello|dear|important)(?: to"
        r"| for|,|:)? (?:the |any |all |an |this )?(?:ai|llm|(?:large )?language model"
        r"|ai assistant|assistant|chatbot|ai model|ai agent|ai system|chatgpt|claude)s?\b(?: (?:reading"
        r"|processing|parsing|analy|summari|that|reviewing|assisting|who)|[:,!])",
    ),
    Pattern(
        "indirect.if_model",
        1.0,
        rf"\bif (?:you|you're|your) ?(?:are|'re|re)? (?:an? |the )?{MODEL}\b"
        rf"(?:\W{{1,2}}(?:models?|assistants?|agents?|bots?|systems?|llm|chatbots?|or|and|that|who|which|read\w{{0,3}}|process"
        rf"|summ|analy|review|using|with|tasked|asked|helping|here|now)\b[^.\n]{{0,20}}| ?)[,:]",
    ),
    Pattern(
        "indirect.when_summarising",
        1.0,
        r"\bwhen (?:summari[sz]ing|processing|reading|analy[sz]ing|translating|answering"
        r"|reviewing|responding to|replying to) (?:this|the) (?:text|document|email|page"
        r"|message|file|content|article|e-mail|data|table|website|webpage)[^.\n]{0,30}(?:must"
        r"|also|should|always|instead|include|add|say|do|please|append|make sure)",
    ),
    Pattern(
        "indirect.conceal",
        1.0,
        r"\b(?:do not|don't|must not|never|without) (?:tell|telling|mention|mentioning"
        r"|inform|informing|notify|notifying|reveal|alert|alerting|disclos\w{1,3}|let)(?:ing)? (?:this "
        r"|it |anything |that |about this |of this )?(?:to )?(?:the |your |any )?(?:user"
        r"|human|customer|reader|owner|client)s?\b",
    ),
    Pattern(
        "indirect.first",
        0.75,
        r"\bbefore (?:doing|you do|answering|responding to|you can do) anything(?: else)?\b"
        r"|\b(?:do|perform|carry out|execute) this (?:silently|secretly|quietly|in secret)\b"
        r"|\b(?:this|the following) (?:message|instruction|note|text) (?:is|comes) from (?:the"
        r"|your|my) (?:developers?|admins?|administrators?|system|creators?|operators?"
        r"|owners?)\b",
    ),
    Pattern(
        "indirect.hidden",
        0.5,
        r"\bhidden[\W_]{1,3}(?:inject|instructions?|prompt|command|directive)|\binj(?:ect)?[- ]?test"
        r"|\brt\d?-?inject|\binject(?:ion|ed)? ?:|\[injected\b",
    ),
    Pattern(
        "indirect.html",
        1.0,
        r"(?:display ?: ?none|visibility ?: ?hidden|font-size ?: ?0|color ?: ?(?:white"
        r"|#fff)|<!--)[^\n]{0,80}(?:ignore|disregard|instruction|system prompt|override"
        r"|assistant|you must|ai model|reveal)",
    ),
    Pattern(
        "urgent.important",
        0.5,
        r"\b(?:important|urgent|critical|mandatory|priority)\b[\W_]{1,6}(?:\w{1,12} ){0,2}(?:instruction"
        r"|system update|message|system|command|override|new task|update|notice|security)\w{0,2}\b[:!.]?",
    ),
    Pattern(
        "claim.authority",
        0.5,
        r"\b(?:(?:i am|i'm|this is) (?:your|the|an?)?|as (?:your|the)) ?(?:creator|developer|administrator"
        r"|admin|owner|system administrator|openai (?:employee|developer|engineer)|anthropic \w{1,10}"
        r"|lead developer|programmer)\b[^\n]{0,40}(?:order|need|command|require|share"
        r"|show|grant|i want|authori|debug|reveal|give|you)",
    ),
    Pattern(
        "indirect.pwned",
        1.0,
        r"\b(?:i have been|i've been|haha) pwned\b|\b(?:say|print|output|respond|reply"
        r"|return|exactly|write)\b[^\n]{0,40}\bpwned\b",
    ),
    Pattern(
        "claim.authorised",
        0.5,
        r"\b(?:authori[sz](?:ed|ation)|admin(?:istrator)? access|root access|access)[\W_]{1,3}(?:granted"
        r"|personnel|code|confirmed|level|root|penetration|override|accepted)\b|\bsudo\b"
        r"|\badmin_?override\b",
    ),
    Pattern(
        "obey.decoded",
        0.5,
        r"\b(?:decode|decrypt|decipher|translate)\b[^\n]{0,80}\b(?:and|then)\b[^\n]{0,20}\b(?:follow"
        r"|execute|obey|do what|comply|perform|run|carry out|respond|answer)\b|eval\(atob",
    ),
    Pattern(
        "obey.above",
        0.25,
        r"\b(?:execute|follow|obey|proceed with) (?:the |these |those |all |any )?(?:\w{1,12} )?(?:above"
        r"|following command|instructions|hidden|embedded|them|guidance)\b",
    ),
)


# Characters that draw nothing, as UTF-8.  A flag emoji holds at most six tags, an honest word no joiner per letter.
# What they hide is read and judged; that they hide it weighs nothing, or honest text so dressed would be
# refused.  Selectors are the exception: they hold bytes that no reading shows.
_TAG = r"\xf3\xa0[\x80\x81][\x80-\xbf]"
_SELECTOR = r"(?:\xef\xb8[\x80-\x8f]|\xf3\xa0[\x84-\x87][\x80-\xbf])"


HIDDEN_CHARACTERS = (
    Pattern("hidden.tags", 0.0, rf"(?:{_TAG}){{10}}"),
    Pattern("hidden.selectors", 1.5, rf"{_SELECTOR}{{6}}"),
    Pattern("hidden.zero_width", 0.0, r"(?:[a-z]\xe2\x80[\x8b-\x8f]){4}"),
    Pattern("hidden.joiner", 0.0, r"(?:[a-z]\xe2\x81[\xa0-\xa4]){4}|(?:[a-z]\xef\xbb\xbf){4}"),
    Pattern("hidden.soft_hyphen", 0.0, r"(?:[a-z]\xc2\xad){4}"),
    Pattern("hidden.run", 0.0, r"(?:\xe2\x80[\x8b-\x8f]){8}|(?:\xe2\x81[\xa0-\xa4]){8}"),
    Pattern("hidden.bidi", 0.0, r"[a-z]\xe2\x80[\xad\xae]|\xe2\x80[\xad\xae][a-z]"),
)


# What "instructions", "system prompt", "ignore ... previous" look like under rot13 and backwards: a cue, not evidence.
CIPHER_CUES = (
    Pattern(
        "cipher.rot13",
        0.0,
        r"vafgehpgvba|flfgrz|cerivbhf|cnffjbeq|\b(?:gur|naq|lbh|lbhe|nyy|guvf|jvgu|gung|cyrnfr|frperg|vtaber"
        r"|unir|orra|jrer|jbeq|fnl|cevag)\b",
    ),
    Pattern(
        "cipher.reversed",
        0.0,
        r"noitcurtsni|metsys|suoiverp|drowssap|\b(?:eht|uoy|ruoy|siht|htiw|taht|esaelp|terces|erongi)\b",
    ),
)

GUISES = (*ROLES, *PERSONAS, *INDIRECT, *HIDDEN_CHARACTERS)
