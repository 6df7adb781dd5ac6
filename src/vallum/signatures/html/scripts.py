"""What runs without a tag: addresses that are code, handlers put into a tag that is there, and leaving a script's quotes."""

from __future__ import annotations

import re

# Events by the end of their handlers' names; any `on` and letters counts inside a tag, these alone outside of one.
_EVENTS = (
    "abort activate afterprint afterscriptexecute animationcancel animationend animationiteration animationstart"
    " auxclick beforeactivate beforecopy beforecut beforeinput beforeload beforematch beforepaste beforeprint"
    " beforescriptexecute beforetoggle beforeunload beforexrselect begin blur bounce cancel canplay canplaythrough change"
    " click close command contentvisibilityautostatechange contextmenu copy cuechange cut dataavailable dblclick drag"
    " dragend dragenter dragleave dragover dragstart drop durationchange end ended error finish focus focusin focusout"
    " formdata fullscreenchange gesturestart gotpointercapture hashchange help input invalid keydown keypress keyup load"
    " loadeddata loadedmetadata loadend loadstart losecapture lostpointercapture message mousedown mouseenter mouseleave"
    " mousemove mouseout mouseover mouseup mousewheel move offline online pagehide pagereveal pageshow paste pause play"
    " playing pointercancel pointerdown pointerenter pointerleave pointermove pointerout pointerover pointerrawupdate"
    " pointerup popstate progress propertychange ratechange readystatechange repeat reset resize resizeend resizestart"
    " rowenter rowexit scroll scrollend search securitypolicyviolation seeked seeking select selectionchange selectstart"
    " show slotchange stalled start storage submit suspend timeupdate toggle touchcancel touchend touchmove touchstart"
    " transitioncancel transitionend transitionrun transitionstart unhandledrejection unload volumechange waiting"
    " webkitanimationend webkittransitionend wheel zoom"
)
HANDLER = re.compile(
    r"(?:[\"'`]\s{0,4}|^\s{1,9})(?:on(?!ce|ly|line)[a-z]{4,40}|formaction|srcdoc|xlink:href)\s{0,4}="
    rf"|(?:^|[\s/\"'`;,>\x00])on(?:{'|'.join(_EVENTS.split())})[\s\x00]{{0,16}}=",
    re.IGNORECASE,
)
ANY_HANDLER = re.compile(r"on[a-z]{3,40}$")

# The start of an address whose scheme runs what follows; what follows must look like code, not like a title.
SCHEME = re.compile(
    r"(?:java|vb|live|ecma|j)script:|mocha:|data:(?:text/(?:html|xml|xsl|javascript|ecmascript)|image/svg|application/"
    r"(?:x?html|xml|x-?javascript|javascript|ecmascript)|;base64,|,)|feed:javascript|view-source:javascript",
)
_GAP = r"[\x00-\x20\xad\u200b]{0,8}"
_SPREAD = _GAP.join("javascript")
CODE_ADDRESS = re.compile(
    rf"(?:^|[\"'=(\s`>]|url\(){_GAP}(?:feed:|view-source:)?(?:{_SPREAD}|{_GAP.join('vbscript')}|livescript){_GAP}:"
    r"(?=\s{0,8}(?:[\w$.\[\]'\"]{1,60}\s?[(`=\[]|[\\/(!`+~\[{\"'%&;<>-]|void\b|[\w.$]{1,40}\)))",
    re.IGNORECASE,
)
DATA_ADDRESS = re.compile(
    r"(?:^|[\"'=(\s`>])data\s{0,4}:\s{0,4}(?:text/(?:html|xml|javascript)|image/svg\+xml|application/(?:xhtml|xml|"
    r"x?-?javascript))[^,\n]{0,80},|\bdata\s{0,4}:[^,<\n]{0,80},\s{0,4}<\w",
    re.IGNORECASE,
)

# What a script does to the page: calls and places that data seldom names.
_SINK = (
    r"(?:(?:window|self|top|parent|frames|this|globalthis|document)\s{0,4}(?:\.\s{0,4}|\?\.|\[['\"`]))?"
    r"(?:alert|confirm|prompt|print|eval|settimeout|setinterval|setimmediate|execscript|function|fetch|import|"
    r"importscripts|atob|btoa|unescape|decodeuri(?:component)?|string\.fromcharcode|document\.write(?:ln)?|"
    r"\$\.(?:get|post|getscript|globaleval)|new\s+(?:image|function|xmlhttprequest|websocket)|requestanimationframe|"
    r"reflect\.\w+|array\.from|navigator\.sendbeacon|open|throw|location|constructor)"
)
_CALL = rf"{_SINK}(?:['\"`]\])?\s{{0,4}}(?:[(`]|\?\.\(|\.(?:call|apply|bind)\b|\s?=(?!=))"

# Out of a string of a script, or into one of its expressions, and then a call.
BREAKOUT = re.compile(
    rf"(?:^|[^\\])\\?[\"'`][\s)\]}}]{{0,8}}(?:[;,+*/%&|^<>=?:-]|\n|\b(?:in|instanceof)\b)[^\n\"'`]{{0,40}}?"
    rf"(?<![\w.]){_CALL}",
    re.IGNORECASE,
)
ALONE = re.compile(
    rf"(?!print|open|throw|function|location|constructor)[\s;,(!+~{{}}[\]-]{{0,8}}(?:void\s{{0,4}})?\(?{_CALL}",
    re.IGNORECASE,
)
PLACE = re.compile(
    r"\bdocument\)?\s{0,8}(?:\.\s{0,8}(?:cookie|domain|location|write(?:ln)?\s{0,4}\(|url\b|body\.|documentelement|"
    r"createelement\s{0,4}\(|getelement|queryselector|head\.|defaultview|implementation)|\[['\"`])"
    r"|\bwindow\s{0,4}(?:\.\s{0,4}(?:location|name|open|onerror|history)\b|\[['\"`])"
    r"|\b(?:location|top|self|parent|window|globalthis|this|frames)\s{0,4}\[\s{0,4}(?:['\"`/]|[a-z$_]\w{0,20}\s{0,4}[+\]])"
    r"|\blocation\s{0,4}(?:\.(?:href|hash|search|assign|replace)\s{0,4}[=(]|=\s{0,4}['\"`]|=\s?\w{1,10}[+.:(])"
    r"|\.(?:inner|outer)html\s{0,4}\+?=|\.insertadjacenthtml\s{0,4}\(|\.srcdoc\s{0,4}="
    r"|\bconstructor\s{0,4}(?:\.\s{0,4}constructor|\(\s{0,4}['\"`])|\.constructor\s{0,4}[.\[(]|\[['\"`]constructor['\"`]\]"
    r"|\b__proto__\b\s{0,4}[.\[=]|\bstring\s?\.\s?fromcharcode\s{0,4}\(|\beval\s{0,4}\(\s{0,4}(?:atob|unescape|string|name|location)"
    r"|\b(?:localstorage|sessionstorage)\s{0,4}(?:\.|\[)|\bonerror\s{0,4}=\s{0,4}(?:alert|eval|confirm|prompt)"
    r"|[\"']\s{0,4}(?:in|instanceof)\s{0,4}[\w.$]{1,40}\s{0,4}=(?!=)"
    r"|[\"']\s{0,4}\(\s{0,4}function\b"
    r"|\]\s{0,4}\.\s{0,4}\w{1,20}\s{0,4}\.\s{0,4}(?:call|apply)\s{0,4}[`(]"
    r"|\bimport\s{0,4}\(\s{0,4}['\"`](?:https?:|//|data:)",
    re.IGNORECASE,
)
# A program of six signs alone, and a page's template that runs an expression.
SIGNS = re.compile(
    r"!!\[\]|\(!\[\][ +]{0,4}\[\]\)|\[\]\[\(|\+\[\]|\[!\[\]\]|(?:\[\]|!\[\]|\+\[\]|\(!\[\]|\(\[\]|\[!\[\]\]|!\+\[\]|\{\}\+|\+!!?\[\]|[()+!\[\]]){24}"
)
TEMPLATE = re.compile(
    r"(?:\{\{|\$\{|<%|#\{|\[\[)[^{}\n]{0,200}?(?:\w\s{0,4}\(|constructor|__|\bthis\b|=>|\b\d+\s?\*\s?\d+\b|`)[^\n]{0,200}?(?:\}\}?|%>|\]\])"
)
STYLE = re.compile(
    r"(?:^|[;:{\s\"'*/])(?:e|\\0*65\s?)x\s{0,2}p\s{0,2}r\s{0,2}e\s{0,2}s\s{0,2}s\s{0,2}i\s{0,2}o\s{0,2}n\s{0,4}\(\s{0,4}[\w$(!]"
    r"|-moz-binding\s{0,4}:|behaviou?r\s{0,4}:\s{0,4}(?:url|expression)|@import\b[^;\n]{0,80}(?:javascript|data:|//|\.css|'\b)"
    r"|url\(\s{0,4}['\"]?\s{0,4}(?:javascript|vbscript|data:text)|@charset\s{0,4}['\"]utf-7|-o-link\s{0,4}:",
    re.IGNORECASE,
)
