"""What leaving an SQL string looks like, as patterns built from small classes.

Three kinds: a value that breaks out, a name that belongs to attacks alone, and a value that is nothing but a piece of
SQL.  The last kind's names start with `WHOLE`, and such a hit counts only where the piece is the whole value.
"""

from __future__ import annotations

from vallum.signatures.patterns import Pattern

WHOLE = "whole."
LONGEST_WHOLE = 400
"""Characters of a value that a mere piece of SQL can fill."""

# SPACE is white space on one line, as a form encodes it too; Q a quote of some database, END what cuts a
# statement off.  Statements on several lines are code that someone asks about, so nothing here crosses a line.
SPACE = r"[ \t\r\f\x0b+(]{1,9}"
GAP = r"[ \t\r\f\x0b+()]{0,9}"
Q = r"['\"`]"
END = r"(?:--|#|/\*|;)"
OPERATOR = (
    r"(?:<=>|[<>!]=|<>|[=<>~]|\b(?:not )?(?:r?like|ilike|regexp|glob|similar to|sounds like|between|in)\b|\bis\b)"
)
LOGIC = r"(?:\b(?:or|and|xor|having|where|div|mod)\b|\|\||&&)"
OPERAND = rf"(?:{Q}?[\w.@$-]{{1,40}}(?:\([^)\n]{{0,40}}\))?{Q}?)"
NUMBERS = rf"{Q}?-?\d{{1,12}}{Q}?{GAP}(?:<=>|[<>!]=|<>|[=<>]|\blike\b){GAP}{Q}?-?\d{{1,12}}\b{Q}?"
TABLE = r"(?:table|database|schema|view|index|user|procedure|function|trigger|column|login|role|tablespace|sequence)"
NAME = r"(?:\w{1,20}=)?"  # a value may carry a parameter's name along
VERB = (
    rf"(?:(?:drop|create|alter|truncate){SPACE}(?:temporary{SPACE})?{TABLE}\b|truncate{SPACE}\w+"
    rf"|delete{SPACE}from\b|(?:insert|replace){SPACE}into\b|update{SPACE}\w{{1,40}}{SPACE}set\b"
    rf"|exec(?:ute)?{SPACE}(?:@|\w+|immediate)|(?:declare|set){SPACE}@|shutdown\b|grant{SPACE}\w+|waitfor{SPACE}delay"
    rf"|merge{SPACE}into|backup{SPACE}database|analy[sz]e\b|load{SPACE}data|call{SPACE}\w+\()"
)
FUNCTION = (
    r"(?:sleep|benchmark|pg_sleep|load_file|extractvalue|updatexml|xmltype|char|chr|concat(?:_ws)?"
    r"|group_concat|ascii|ord"
    r"|substring|substr|mid|hex|unhex|bin|database|schema|user|version|current_user|system_user"
    r"|session_user|db_name|user_name"
    r"|if|ifnull|nullif|isnull|case|cast|convert|count|json_\w+|randomblob|lo_import|lo_get"
    r"|starts_with|unistr|length|if|elt"
    r"|make_set|procedure analyse|name_const|exp|floor|rand|md5|sha1|likely|unlikely|glob|json|strcmp|lpad|row_count)"
)


# Patterns in which a value leaves its quotes, or never had any.
BREAKOUTS = (
    Pattern(
        "taut.number",
        1.0,
        rf"{LOGIC}{GAP}{NUMBERS}{GAP}(?:{END}|{Q}|\b(?:limit|union|order|group|into|procedure|rlike)\b)",
    ),
    # Without a quote or an end it is arithmetic, unless one short value stands before it.
    Pattern(
        "taut.value",
        1.0,
        rf"^{NAME}[^\s'\"`]{{0,40}}{Q}?{GAP}(?:(?:or|and|xor|having|where)\b|\|\||&&){GAP}{NUMBERS}{GAP}(?:$|{LOGIC})",
    ),
    Pattern(
        "taut.string",
        1.0,
        rf"{LOGIC}{GAP}{Q}\w{{0,20}}{Q}{GAP}(?:<=>|[<>!]?=|<>|[<>]|\b(?:r?like|regexp)\b){GAP}{Q}",
    ),
    Pattern(
        "taut.quote",
        1.0,
        rf"{Q}{GAP}{LOGIC}{GAP}{OPERAND}{GAP}{OPERATOR}[^\n]{{0,60}}(?:--|#|/\*)[\s)+-]{{0,4}}$",
    ),
    Pattern(
        "taut.open",
        1.0,
        rf"^[^\'\"`\n]{{0,40}}{Q}{GAP}{LOGIC}{GAP}(?:not )?{OPERAND}{GAP}{OPERATOR}{GAP}{Q}?[^\'\"`\s]"
        rf"{{0,40}}{Q}?$",
    ),
    Pattern(
        "taut.bare",
        1.0,
        rf"{Q}{GAP}{LOGIC}{GAP}(?:true|false|1|not|\d+)\b{GAP}(?:{END}|$)|^\d{{1,9}}\)?{GAP}{LOGIC}{GAP}"
        rf"(?:true|false)\b{GAP}(?:{END}|$)",
    ),
    Pattern("taut.function", 1.0, rf"(?:{Q}|\b\d+\)?){GAP}{LOGIC}{GAP}{FUNCTION}{GAP}\("),
    Pattern("taut.select", 1.0, rf"(?:{LOGIC}|[=|]){GAP}\({GAP}select{SPACE}"),
    Pattern(
        "cut.operand",
        1.0,
        rf"{Q}\)?{GAP}(?:(?:is|not|like|glob|mod|div|sounds|r?like|regexp|collate"
        rf"|notnull|isnull|between|in|escape|or|and|xor|union|having)\b|\|\||&&)[^\n]{{0,60}}(?:--"
        rf"|#)[\s+-]{{0,4}}$",
    ),
    Pattern(
        "cut.statement",
        1.0,
        rf"\b(?:select|drop|delete{SPACE}from|insert{SPACE}into|update)\b[^\n]{{0,200}};{GAP}(?:--|#)",
    ),
    Pattern("cut.comment", 1.0, rf"^[\w.@+-]{{0,40}}{Q}\)?{GAP}(?:--|#|;--|/\*)[\s+-]{{0,4}}$"),
    Pattern("cut.operator", 1.0, rf"^[\w.@]{{0,40}}{Q}{GAP}[-+*/%&^|=<>!~]{{1,3}}{GAP}[\w.]{{1,20}}{GAP}(?:--|#)"),
    Pattern("stacked.verb", 1.0, rf";{GAP}{VERB}"),
    Pattern(
        "stacked.start",
        1.0,
        rf"^[^;\n]{{0,24}};{GAP}select{SPACE}(?:\*|@@|\w{{1,30}}\(|null\b|\d|case\b)"
        rf"|\A[\w'\" -]{{0,12}}\)?;{GAP}{VERB}",
    ),
    Pattern("stacked.cut", 1.0, rf";{GAP}{VERB}[^\n]{{0,200}}(?:--|#)\s{{0,4}}$"),
    Pattern(
        "stacked.quote",
        1.0,
        rf"{Q}\)?{GAP};{GAP}(?:select|drop|insert|update|delete|exec|declare|waitfor|shutdown)\b",
    ),
    Pattern("union.quote", 1.0, rf"(?:{Q}|\)|\b\d+){GAP}\bunion{SPACE}(?:(?:all|distinct){SPACE})?select\b"),
    Pattern(
        "union.values",
        1.0,
        rf"\bunion{SPACE}(?:(?:all|distinct){SPACE})?select{SPACE}(?:null|\d|@@|{Q}"
        rf"|char\(|concat|unhex|user|pass|version|database|load_file|group_concat"
        rf"|table_name)",
    ),
    Pattern("union.comment", 1.0, rf"\bunion{SPACE}(?:(?:all|distinct){SPACE})?select\b[^\n]{{0,200}}(?:--|#|/\*)"),
    Pattern("into.file", 1.0, rf"\binto{SPACE}(?:out|dump)file\b"),
    Pattern(
        "probe.time",
        1.0,
        rf"(?:{LOGIC}|\bselect\b|\|\||{Q}[\s+.=*/-]{{1,4}}){GAP}(?:sleep|benchmark"
        rf"|pg_sleep|randomblob)\s?\({GAP}[\d('\"a-z-]|waitfor{SPACE}delay|\bpg_sleep\b"
        rf"|dbms_(?:pipe|lock)\.|,{GAP}sleep\({GAP}\d+{GAP}\){GAP},|\bsleep\({GAP}\d+{GAP}\){GAP}(?:--"
        rf"|and\b|or\b|{Q})",
    ),
    Pattern(
        "probe.error",
        1.0,
        rf"(?:extractvalue|updatexml){GAP}\({GAP}(?:\d|null|rand|0x|concat)|floor\(rand\("
        rf"|procedure{SPACE}analyse{GAP}\(|exp\(~\(",
    ),
    Pattern(
        "probe.case",
        1.0,
        rf"select{SPACE}case{SPACE}when|\bcase{SPACE}when{SPACE}\(?{GAP}\d+{GAP}="
        rf"|\bif\({GAP}\d+{GAP}[=<>]{GAP}\d*|\belt\({GAP}\d+=\d",
    ),
    Pattern("probe.order", 1.0, rf"(?:{Q}|\b\d+\)?){GAP}(?:order|group){SPACE}by{SPACE}\d+{GAP}(?:--|#)"),
)


# Patterns of names and forms that belong to an attack on a database and to little else.
NAMES = (
    Pattern(
        "name.schema",
        1.0,
        r"\b(?:select|from|union|where|and|or|join)\b[^\n]{0,80}\b(?:information_schema"
        r"|sysobjects|syscolumns|sysusers|pg_catalog|pg_shadow|msysaccessobjects"
        r"|all_tables|user_tables|mysql\.user|sysdatabases)\b",
    ),
    Pattern(
        "name.variable",
        1.0,
        rf"(?:{Q}|select{SPACE}|union{SPACE}|,|;|=|\|\||\(|^){GAP}@@(?:version|hostname"
        rf"|datadir|global|basedir|servername)",
    ),
    Pattern(
        "name.procedure",
        1.0,
        r"\b(?:exec|execute|master)\b[^\n]{0,40}\b[xs]p_\w{3,}|\bxp_(?:cmdshell|regread"
        r"|dirtree|regwrite|fileexist)\b|\bsp_(?:executesql|oacreate|password|makewebtask)\b"
        r"|\butl_(?:http|inaddr|file|smtp)\b|\bopen(?:rowset|datasource)\b",
    ),
    Pattern(
        "name.file",
        1.0,
        rf"\bload_file{GAP}\(|\blo_(?:import|get|export){GAP}\(|into{SPACE}(?:outfile|dumpfile)|\bmsdasql\b",
    ),
    Pattern(
        "name.hex",
        1.0,
        rf"\b(?:concat|char|unhex|select|group by|cast|=){GAP}\(?{GAP}0x[0-9a-f]{{4,}}\b[^\n]{{0,200}}"
        rf"(?:select|from|version|char|--|#|cast|as|,\()",
    ),
    Pattern(
        "name.chars",
        1.0,
        r"\bcha?r\(\d{1,3}\)(?:\s{0,3}(?:\+|\|\||,|\.)\s{0,3}cha?r\(\d{1,3}\)){2}"
        r"|\bchar\(\d{1,3}(?:,\s?\d{1,3}){3}",
    ),
    Pattern(
        "name.subquery",
        1.0,
        rf"(?:from|\(|in){GAP}\(?{GAP}select{SPACE}[^\n]{{0,80}}\b(?:sleep|benchmark"
        rf"|count\(\*\),\s?concat|name{SPACE}from{SPACE}sys|case{SPACE}when|0x[0-9a-f]{{6}})",
    ),
    Pattern(
        "name.cast",
        1.0,
        r"(?:\)|'|\bpassword|\buser|\bemail|\bsecret|_user)::(?:int|bigint|float|bool|text"
        r"|numeric|jsonb?|double precision|date)\b",
    ),
    Pattern(
        "name.json",
        1.0,
        r"\b(?:or|and)\b\W{0,9}'[\[{][^'\n]{0,120}'(?:::jsonb?)?\s{0,3}(?:@>|<@|\?[|&]?"
        r"|->>?|#>>?|#-|=|\|\|)",
    ),
    Pattern("name.exponent", 1.0, r"\b1\.e(?:\(|\.?[a-z]+\(|\.[a-z])"),
    Pattern(
        "name.mongo",
        1.0,
        r"\[\$(?:ne|gt|lt|gte|lte|regex|where|in|nin|exists|or|and|not|eq)\]|\{\s?\"\$(?:where|regex|ne)\"",
    ),
    Pattern(
        "name.glued",
        1.0,
        r"\b(?:select|union|drop|insert|delete|update|from|where|and|or|all)/\*[^*\n]{0,60}\*/\w"
        r"|[a-z]{2}/\*\*/[a-z]",
    ),
    Pattern("name.mysql_comment", 1.0, r"/\*!\d{0,6}\s{0,3}\w"),
)


# Functions of SQL: a value that is such a name and an open bracket was meant for a statement.
BARE = (
    "abs acos adddate addtime aes_encrypt ascii asin atan avg benchmark bin bit_and bit_length bit_or bit_xor "
    "cast ceil char character_length charset chr coalesce coercibility collation compress concat concat_ws "
    "connection_id conv convert convert_tz cos cot count crc32 curdate date uncompress current_date current_time "
    "current_timestamp current_user curtime database date_add date_format date_sub datediff day dayname "
    "dayofmonth db_name decode default degrees des_decrypt elt encode encrypt exp export_set extract "
    "extractvalue field find_in_set floor format found_rows from_base64 from_days from_unixtime get_format "
    "get_lock greatest group_concat hex hour if ifnull in inet_aton inet_ntoa insert instr interval "
    "is_free_lock isnull json last last_day last_insert_id lcase least left length ln load_file localtime "
    "locate log log10 log2 lower lpad ltrim make_set makedate master_pos_wait max md5 microsecond mid min "
    "minute mod month monthname name_const now nullif oct octet_length old_password ord password period_add "
    "pg_sleep pi position pow power procedure_analyse quarter quote radians rand release_lock repeat replace "
    "reverse right round row_count rpad rtrim schema schema_name sec_to_time second session_user sha sha1 "
    "sha2 sign sin sleep soundex space sqrt std stddev str_to_date strcmp subdate substr substring "
    "substring_index subtime sum sysdate system_user tan time time_format timediff timestamp to_base64 "
    "to_days to_seconds trim truncate ucase unhex unistr unix_timestamp updatexml upper user user_name "
    "utc_date utc_time uuid uuid_short value values var_pop variance version week weekday xmltype year "
    "yearweek "
)


_CALL = f"(?:{'|'.join(BARE.split())})"

# Patterns of a value that is nothing but a piece of SQL: evidence only where the piece is the whole value.
FRAGMENTS = (
    Pattern("whole.call", 1.0, rf"^\W{{0,3}}{_CALL}[^\w\n]{{0,8}}\($"),
    Pattern(
        "whole.probe",
        1.0,
        rf"^(?:\W{{0,4}}|/\w{{1,20}}/)(?:(?:sleep|benchmark|pg_sleep){GAP}\([^)\na-z]{{0,60}}"
        rf"|(?:div|mod|glob|if){GAP}\((?:[^)\n]{{0,60}}[,=<>'][^)\n]{{0,60}}|\d{{0,9}}))\)?\)?\W{{0,3}}$",
    ),
    Pattern("whole.symbol", 1.0, rf"^{NAME}\W{{0,2}}(?:&&|\|\|)[^\n]{{1,120}}$"),
    Pattern(
        "whole.logic",
        1.0,
        rf"^{NAME}\W{{0,3}}(?:or|and|xor)\b{GAP}(?:not )?[^\s,?]{{1,40}}{GAP}(?:<=>"
        rf"|[<>!]=|<>|[=<>]|\br?like{SPACE}{Q})|^\W{{0,3}}(?:or|and|xor){SPACE}(?:\d+{GAP}{END}"
        rf"|{FUNCTION}{GAP}\()|^{NAME}[\w/ ]{{0,6}}\b(?:and|or|if|xor){GAP}!?\($",
    ),
    Pattern(
        "whole.clause",
        1.0,
        rf"^[^\w'\"\n]{{0,4}}(?:union|select|having|(?:order|group){SPACE}by|exec|execute"
        rf"|waitfor|declare|except|procedure|from)\b[^.?\n]{{0,200}}(?:[(,=`'\"@*]"
        rf"|--|#|/\*?|\b(?:from|null|limit|where|case|case when))\W{{0,3}}$",
    ),
    Pattern(
        "whole.verb",
        1.0,
        rf"^\W{{0,4}}(?:union|select|having|alter|exec|waitfor)[ (/@`\'\"*]{{1,4}}\w?$"
        rf"|^\W{{0,4}}(?:union{SPACE}(?:all{SPACE})?select|(?:order|group){SPACE}by)\W{{0,4}}$"
        rf"|^[^\n]{{0,40}}{Q}{GAP}(?:union|select|alter|drop|exec)\b[^.?\n]{{0,20}}$"
        rf"|^\W{{0,3}}(?:select{SPACE}0x|except{SPACE}(?:values|select)|having{SPACE}\w+\()",
    ),
    Pattern(
        "whole.statement",
        1.0,
        rf"^\W{{0,3}}(?:drop|truncate|alter|create){SPACE}{TABLE}\b(?:{SPACE}\w+)?(?:\W{{0,4}}$|"
        rf"{GAP}[(;=`'\"#]|{SPACE}\w+{SPACE}(?:as|on|for|add|is|set)\b)|^\W{{0,3}}(?:drop|truncate){SPACE}\w{{1,40}}\W{{1,4}}$"
        rf"|^{NAME}\W{{0,3}}(?:declare|set){SPACE}@\w|\bgroup{SPACE}by\b[^\n]{{0,80}}\bhaving\b",
    ),
    Pattern(
        "whole.in",
        1.0,
        rf"^\W{{0,3}}in{GAP}\((?:{GAP}select\b|{GAP}{Q}|[\d, ]{{1,200}}\)\W{{0,3}}$|\w{{1,20}}\({{1,9}}select)|^\W{{0,3}}like{SPACE}\w{{1,20}}$|^\W{{0,2}}\'[\[{{][^\n]"
        rf"{{1,200}}[\]}}]\'{GAP}[<>=@?#:-]",
    ),
    Pattern(
        "whole.from",
        1.0,
        rf"^\W{{0,3}}from{SPACE}`[^\n]{{1,200}}$|^\W{{0,3}}from{SPACE}\w+{SPACE}(?:where"
        rf"|group|order|having){SPACE}\w+[^.?\n]{{0,80}}[=`&]",
    ),
    Pattern(
        "whole.number",
        1.0,
        rf"^[\w,]{{0,4}}{Q}?\d{{1,6}}{Q}?{GAP}(?:<=>|!=|<>|==?|\blike\b|\bis not\b"
        rf"|\bnot regexp\b){GAP}{Q}?\d{{1,6}}{Q}?$",
    ),
    Pattern("whole.string", 1.0, rf"^{Q}?\w{{0,20}}{Q}{GAP}(?:<=>|[<>!]=|<>|[=<>])[^\n]{{0,3}}{Q}[^\n]{{0,20}}$"),
    Pattern(
        "whole.quote",
        1.0,
        rf"^[^\s'\"`]{{0,40}}\s?[\\'\"`]{{1,3}}{GAP}(?:(?:not )?(?:or|and|xor|div"
        rf"|mod|like|glob|having)\b|\|\||&&){GAP}{Q}?[^\s'\"`,]{{1,60}}[^\n]?$",
    ),
    Pattern(
        "whole.terminator",
        1.0,
        rf"^[^\s'\"`]{{1,60}}{Q}{GAP}(?:;|--|#){GAP}(?:--|#)?;?[^\w\n]{{0,3}}$|^{Q}{GAP}(?:;"
        rf"|--|#)[^\w\n]{{0,4}}$|^{Q}{GAP};(?:print|select|exec|declare)",
    ),
    Pattern(
        "whole.dangling",
        1.0,
        rf"^[^\w\s]{{0,2}}{Q}[^\w\n]{{0,6}}\d{{1,9}}[^\n'\"`a-z]{{0,20}}$|^{Q}\s?[*?#=][^\n]{{1,40}}$",
    ),
    Pattern(
        "whole.alias",
        1.0,
        rf"^[^\n]{{0,40}}(?:\)|`|'|\d|\"|!){GAP}as(?:{SPACE})?{Q}?\w{{0,30}}{Q}?{SPACE}from\b[^\n]{{0,40}}$",
    ),
    Pattern(
        "whole.like",
        1.0,
        rf"^[^\n]{{0,40}}\blike(?:{SPACE})?['\"(]$|^\)\s{{0,4}}(?:when|like|then"
        rf"|else|end|in|as)\b[^\n]{{0,40}}$|^\W{{0,3}}case{SPACE}when\b[^\n]{{0,60}}(?:\bthen\b|[=<>])",
    ),
    Pattern(
        "whole.open",
        1.0,
        rf"^{NAME}\W{{0,2}};{GAP}(?:drop|update|delete|insert|truncate|exec|select)[^.?\n]{{0,40}}$"
        rf"|\({GAP}select\W{{0,2}}$|^{NAME}/[^\n]{{1,60}}\b(?:and|or){SPACE}$",
    ),
    Pattern(
        "whole.torn",
        1.0,
        rf"^{Q}[>;}}\]\\][^'\"`\n]{{1,60}}(?:{Q}[^\n]{{0,60}})?$|^\w{{1,20}}{Q}\s{{1,4}}{Q}\s{{0,4}}\w{{1,20}}$"
        rf"|^(?:\"'|'\"|`'|'`|`\"|\"`)$|^{Q}\s{{0,4}}(?:r?like|regexp|glob|ilike)\W{{0,3}}$"
        rf"|^exec(?:ute)?{SPACE}(?:master|[xs]p_)|^x?or{SPACE}\d{{1,9}}\W{{0,3}}$|^values{GAP}\({GAP}'"
        rf"|@[\w.]{{0,40}}{GAP}:=|(?:['`][^\w\s'\"]{{0,3}}\s?){{12}}",
    ),
    Pattern(
        "whole.mongo",
        1.0,
        r"^\$(?:ne|gt|gte|lt|lte|eq|in|nin|not|nor|or|and|where|regex|exists|elemmatch"
        r"|text|type|size|all|expr)$",
    ),
    Pattern(
        "whole.table",
        1.0,
        r"^\W{0,3}(?:information_schema|pg_catalog|northwind|tempdb|msdb|mysql\.db"
        r"|sysobjects|msysaccessobjects|msysaces|sqlite_master|schema_name|sys\.database_name"
        r"|xp_\w+|sp_\w+)\W{0,3}\w{0,20}$",
    ),
)


SQL = (*BREAKOUTS, *NAMES, *FRAGMENTS)
