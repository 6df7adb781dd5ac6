"""Reads a text as SQL: a letter for the class of each token.

A quote is a token of its own, for nobody knows yet whether it opens a string or closes the one that the text lands in;
so are the two ends of a comment.  `grammar` reads the letters once for each place in which the text may land.
"""

from __future__ import annotations

import re

# One letter a class.  What is not listed: w, a word; n, a number; p, other punctuation.
WORDS = {
    "l": "or and xor && ||",  # logic
    "x": "not ! binary",  # before an operand
    "o": "= == <=> <> != < > <= >= ~ !~ ~* like rlike ilike regexp glob between in is similar sounds match isnull"
    " notnull escape ->> -> @> <@ #>> #> ^@",  # comparison
    "a": "+ - * % ^ | & div mod / := << >> collate",  # arithmetic
    "u": "union except intersect minus",
    "S": "select",
    "K": "insert update delete drop create alter truncate exec execute declare merge grant revoke shutdown backup"
    " restore call replace rename attach handler load analyze analyse vacuum deallocate prepare kill dbcc bulk reconfigure"
    " print use do pragma begin openrowset",
    "R": "table database schema view index user procedure function trigger column login role tablespace sequence",
    "F": "from",
    "W": "where having",
    "O": "order group",
    "B": "by",
    "I": "into outfile dumpfile",
    "L": "limit offset fetch top",
    "C": "case",
    "H": "when then else end",
    "A": "all distinct distinctrow",
    "E": "set values",
    "n": "null unknown",
    "T": "true false",
    "f": "abs ascii avg bin cast ceil char chr coalesce concat concat_ws convert count cot crc32 current_user database"
    " date_format elt exp export_set field find_in_set floor format from_base64 group_concat hex if ifnull iif instr"
    " isnull json_array json_extract json_keys last_insert_id lcase left length lower lpad ltrim make_set max md5 mid"
    " min mod now nullif nvl oct ord password pi position quote quote_ident rand random repeat replace reverse right"
    " round row_count rpad rtrim schema session_user sha sha1 sha2 sin space sqrt starts_with str strcmp string_agg"
    " substr substring substring_index sum system_user to_base64 to_char trim ucase unhex unicode upper user user_name"
    " uuid version xmltype year db_name host_name suser_sname tan to_number listagg unistr likelihood likely unlikely"
    " typeof zeroblob printf quotename name_const gtid_subset gtid_subtract st_latfromgeohash",
    "z": "sleep benchmark pg_sleep waitfor load_file extractvalue updatexml xp_cmdshell xp_regread xp_dirtree"
    " xp_fileexist xp_regwrite sp_executesql sp_oacreate sp_password sp_makewebtask openquery opendatasource"
    " lo_import lo_export lo_get randomblob load_extension pg_read_file pg_ls_dir query_to_xml database_to_xml"
    " sys_eval sys_exec analyse get_lock is_free_lock dbms_pipe.receive_message dbms_lock.sleep utl_http.request"
    " utl_inaddr.get_host_address utl_inaddr.get_host_name ctxsys.drithsx.sn pg_sleep_for master..xp_cmdshell"
    " master.dbo.xp_cmdshell readfile writefile dbms_xmlgen.getxml dblink_connect",
    "t": "information_schema information_schema.tables information_schema.columns information_schema.schemata"
    " sysobjects syscolumns sysusers sysdatabases sys.tables sys.objects sys.databases sys.columns sys.user$"
    " pg_catalog pg_shadow pg_user pg_class pg_tables pg_database pg_catalog.pg_tables mysql.user mysql.db"
    " sqlite_master sqlite_schema sqlite_temp_master msysaccessobjects msysobjects all_tables user_tables dual"
    " all_tab_columns dba_users v$version sys.dual rdb$database master..sysobjects master..sysdatabases"
    " information_schema.processlist performance_schema mysql.innodb_table_stats syscat.tables sysibm.sysdummy1",
    "q": "' \u00b4",
    "d": '"',
    "b": "`",
    "#": "-- #",
    "J": "/*",
    "j": "*/",
    "(": "(",
    ")": ")",
    ",": ",",
    ";": ";",
    ".": ".",
    "N": "\n",
    "e": "'' \"\" ``",  # a string of nothing
}
_CLASS = {word: letter for letter, words in WORDS.items() for word in words.split(" ")}
_FIRST = {
    **dict.fromkeys("0123456789", "n"),
    **dict.fromkeys("abcdefghijklmnopqrstuvwxyz_$", "w"),
    **dict.fromkeys("!?{}[]:\\%&^~", "p"),
    "@": "v",
    "@@": "V",  # a variable of the server
    "-": "#",  # a run of dashes
    "+": "a",
}

# The classes of characters come first that are met most.  A word may hold dots, as a table's name does; a number may
# have letters glued on, as in `1or 1=1`, which MySQL reads as two words.
TOKEN = re.compile(
    r"[^\W\d][\w$]*(?:\.{1,2}[^\W\d][\w$]*){0,4}"
    r"|0x[0-9a-f]+|\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+"
    r"|@{1,2}[\w$.]*|''?|\"\"?|``?|\u00b4|/\*!?\d{0,6}|\*/|--+|#>>?|&&|\|\||<=>|<>|!=|<=|>=|==|<<|>>|<@|@>|->>?|:=|!~|~\*"
    r"|[^\w\s]|\n"
)
_VERSIONED = re.compile(r"/\*!\d{0,6}")


def classify(text: str) -> str:
    """Return the letters of a text's tokens."""
    find = _CLASS.get
    first = _FIRST.get
    return "".join(
        [find(token) or first(token[:2]) or first(token[0]) or _rest(token) for token in TOKEN.findall(text.lower())]
    )


def _rest(token: str) -> str:
    if token.startswith("/*!"):
        return ""  # MySQL runs what stands in such a comment
    return "w" if token[0].isalpha() else "n" if token[0] == "." and len(token) > 1 else "p"
