"""What SQL mode doesn't take, and why: functions, PRAGMAs, virtual tables, names that are VerityDB's own.

Two kinds of look at the same rules. `refused_action` judges what SQLite's authorizer reports, both when a statement is
classified; the harder part of it, `denied_action`, holds whenever SQLite prepares one: what came past the classifier,
or has become something else since, is denied all the same.
`refused_text` and `refused_names` judge what the authorizer isn't told: names that a statement makes, and functions
and collations inside of views, triggers and defaults, which SQLite looks up only when they are used.

PRAGMAs are an allow-list: one that isn't named here is refused, since SQLite ignores what it doesn't know without a
word, and a later SQLite may give it a meaning.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from vdb.sql.keywords import tokens
from vdb.sql.names import CAPTURE_TABLE, is_internal

# Actions of SQLite's authorizer.
CREATE_INDEX = 1
CREATE_TABLE = 2
CREATE_TEMP_INDEX = 3
CREATE_TEMP_TABLE = 4
CREATE_TEMP_TRIGGER = 5
CREATE_TEMP_VIEW = 6
CREATE_TRIGGER = 7
CREATE_VIEW = 8
DELETE = 9
DROP_INDEX = 10
DROP_TABLE = 11
DROP_TEMP_INDEX = 12
DROP_TEMP_TABLE = 13
DROP_TEMP_TRIGGER = 14
DROP_TEMP_VIEW = 15
DROP_TRIGGER = 16
DROP_VIEW = 17
INSERT = 18
PRAGMA = 19
READ = 20
SELECT = 21
TRANSACTION = 22
UPDATE = 23
ATTACH = 24
DETACH = 25
ALTER_TABLE = 26
REINDEX = 27
ANALYZE = 28
CREATE_VTABLE = 29
DROP_VTABLE = 30
FUNCTION = 31

OWN_PREFIX = "vdb_"
"""Names of tables, views, indexes and triggers that begin so are VerityDB's."""

_WRITES = (DELETE, INSERT, UPDATE)
_CREATES = (CREATE_INDEX, CREATE_TABLE, CREATE_TEMP_INDEX, CREATE_TEMP_TABLE, CREATE_TEMP_TRIGGER, CREATE_TEMP_VIEW)
_NAMED = (*_CREATES, CREATE_TRIGGER, CREATE_VIEW, CREATE_VTABLE, DROP_TABLE, DROP_TEMP_TABLE, DROP_INDEX)

_FUNCTIONS = {
    "load_extension": "extensions can't be loaded: their functions and tables would be missing on other nodes",
    "sqlcipher_export": "it writes rows past the log; read them with SELECT and insert them",
}

_ATTACH = "other database files can't be attached: a transaction is one database's, in the log as in the file"
_VIRTUAL = (
    "virtual tables (FTS, R-tree and others) aren't taken: SQLite doesn't show their changes, so they would diverge "
    "between nodes; keep the rows in an ordinary table"
)
VACUUM = "VerityDB looks after the file; VACUUM renumbers rows, and the log knows them by their numbers"
VACUUM_INTO = "it would leave a copy outside of VerityDB's keys; restore into a new database instead"


class PragmaUse(Enum):
    """What an allowed PRAGMA does."""

    READ = "read"
    SET = "set"
    """Of this connection alone."""
    SCHEMA = "schema"
    """Of the file's header: logged."""
    FILE = "file"
    """Changes the file, and no row: not logged."""


_READ_ANY = (
    *("collation_list", "compile_options", "data_version", "database_list", "foreign_key_check", "foreign_key_list"),
    *("freelist_count", "function_list", "index_info", "index_list", "index_xinfo", "integrity_check", "module_list"),
    *("page_count", "pragma_list", "quick_check", "shrink_memory", "table_info", "table_list", "table_xinfo"),
    *("cipher_provider", "cipher_provider_version", "cipher_version"),
)

_SET = (
    *("analysis_limit", "automatic_index", "busy_timeout", "cache_size", "cache_spill", "case_sensitive_like"),
    *("count_changes", "defer_foreign_keys", "empty_result_callbacks", "foreign_keys", "full_column_names"),
    *("journal_size_limit", "legacy_alter_table", "query_only", "read_uncommitted", "recursive_triggers"),
    *("reverse_unordered_selects", "short_column_names", "threads"),
)

_UNSET = ("auto_vacuum", "mmap_size", "page_size")
"""May be set, and nothing happens: something else runs (`pragmas`)."""

_HEADER = ("application_id", "user_version")

_DURABLE = "what is durable is settled by the log, and the file's journal is VerityDB's"
_FILE = "the file's layout is VerityDB's"
_KEY = "keys and ciphers are VerityDB's: the file has the key that the key store says"
_PROCESS = "it would hold for every database of this process"

_READ_ONLY = {
    "cell_size_check": _FILE,
    "checkpoint_fullfsync": _DURABLE,
    "default_cache_size": _FILE,
    "encoding": "the file's encoding is UTF-8",
    "fullfsync": _DURABLE,
    "hard_heap_limit": _PROCESS,
    "ignore_check_constraints": "rows that break a CHECK would be refused by other nodes",
    "journal_mode": _DURABLE,
    "locking_mode": _DURABLE,
    "max_page_count": _FILE,
    "schema_version": "SQLite counts it, and VerityDB relies on it",
    "secure_delete": _FILE,
    "soft_heap_limit": _PROCESS,
    "synchronous": _DURABLE,
    "temp_store": "temporary tables stay in memory, so that nothing is on the disk in clear",
    "trusted_schema": "the schema may call no function that isn't declared harmless",
    "wal_autocheckpoint": _DURABLE,
    "writable_schema": "the schema changes by CREATE, ALTER and DROP alone, so that the log has every change",
}

_SAME = {
    "journal_mode": ("wal",),
    "page_size": ("4096",),
    "secure_delete": ("on", "1", "true", "yes"),
    "synchronous": ("normal", "1", "full", "2", "extra", "3"),
    "wal_autocheckpoint": ("1000",),
    "encoding": ("utf-8", "utf8"),
    "locking_mode": ("normal",),
    "temp_store": ("memory", "2"),
    "writable_schema": ("off", "0", "false", "no", "reset"),
    "ignore_check_constraints": ("off", "0", "false", "no"),
    "trusted_schema": ("off", "0", "false", "no"),
}
"""Settings that ask for what is the case anyway: a log that is synced at each COMMIT is no less than FULL or EXTRA."""

_NEVER = {
    "incremental_vacuum": _FILE,
    "wal_checkpoint": f"{_DURABLE}; VerityDB checkpoints it",
    "temp_store_directory": "nothing is stored outside of the data directory",
    "data_store_directory": "nothing is stored outside of the data directory",
}


def pragma_use(name: str, argument: str | None) -> PragmaUse | str:
    """What `PRAGMA name`, or `PRAGMA name = argument`, does; or why it is refused."""
    name = name.lower()
    if name in _READ_ANY or name in _UNSET:
        return PragmaUse.READ
    if name == "optimize":
        return PragmaUse.FILE
    if name in _SET:
        return PragmaUse.READ if argument is None else PragmaUse.SET
    if name in _HEADER:
        return PragmaUse.READ if argument is None else PragmaUse.SCHEMA
    if name in _READ_ONLY:
        if argument is None or argument.lower() in _SAME.get(name, ()):
            return PragmaUse.READ
        return f"PRAGMA {name} can't be set: {_READ_ONLY[name]}"
    if name in _NEVER:
        return f"PRAGMA {name} is refused: {_NEVER[name]}"
    if "key" in name or name.startswith("cipher"):
        return f"PRAGMA {name} is refused: {_KEY}"
    return f"PRAGMA {name} is refused: it isn't among those that VerityDB knows"


def is_own_name(name: str | None) -> bool:
    """Whether an object of this name is VerityDB's own."""
    return name is not None and (name.lower().startswith(OWN_PREFIX) or is_internal(name))


def refused_action(action: int, first: str | None, second: str | None, source: str | None) -> str | None:
    """Why what the authorizer reports of a statement is refused; None if it isn't.

    `first`, `second`: the action's two arguments; `source`: the innermost trigger or view that causes it. What
    VerityDB's own triggers cause is never refused.
    """
    if action in _NAMED or action == ALTER_TABLE:
        reason = _refused_name(first if action != ALTER_TABLE else None) or _refused_name(second)
        if reason is not None:
            return reason
    if action == PRAGMA and (first or "").lower() in _UNSET:
        return None
    if action in _WRITES and is_own_name(first) and not is_own_name(source):
        return _refused_write(first)
    return denied_action(action, first, second, source)


def denied_action(action: int, first: str | None, second: str | None, source: str | None) -> str | None:
    """The part of these rules that holds for everything that SQLite prepares and VerityDB doesn't vouch for.

    Names of TEMP objects aren't in it: capture has its own, and makes them between two statements of the user's.
    """
    if action in (READ, SELECT):
        return _refused_read(first) if first is not None and first[:7] == "pragma_" else None
    if action == FUNCTION:
        reason = _FUNCTIONS.get((second or "").lower())
        return reason and f"function {second} is refused: {reason}"
    if action in _WRITES:
        logged = first is not None and first.lower() != CAPTURE_TABLE and is_internal(first)
        return _refused_write(first) if logged and not is_own_name(source) else None
    if action == PRAGMA:
        if (first or "").lower() in _UNSET and second not in (None, *_SAME.get((first or "").lower(), ())):
            return f"PRAGMA {first} can't be set: {_FILE}"
        use = pragma_use(first or "", second)
        return None if isinstance(use, PragmaUse) else use
    if action in (ATTACH, DETACH):
        return f"{'ATTACH' if action == ATTACH else 'DETACH'} is refused: {_ATTACH}"
    if action == CREATE_VTABLE:
        return f"CREATE VIRTUAL TABLE is refused: {_VIRTUAL}"
    if action == DROP_TABLE:
        return _refused_name(first)
    if action == ALTER_TABLE:
        return _refused_name(second)
    return None


def _refused_write(table: str | None) -> str:
    return f"table {table} is VerityDB's own: it can be read, and not written"


def _refused_read(table: str) -> str | None:
    """A PRAGMA may be called as a table: `SELECT * FROM pragma_optimize` writes."""
    use = pragma_use(table.removeprefix("pragma_"), None)
    return None if use is PragmaUse.READ else f"table {table} is refused: use the PRAGMA"


def _refused_name(name: str | None) -> str | None:
    if not is_own_name(name):
        return None
    return f"the name {name} is refused: names that begin with {OWN_PREFIX}, and projection_meta, are VerityDB's own"


def refused_names(sql: str) -> str | None:
    """Why a statement that changes the schema is refused for a name in it that the authorizer doesn't tell.

    These are the new name of ALTER TABLE .. RENAME, triggers that are dropped, and tables inside of a trigger's body.
    """
    found = [token for token in tokens(sql) if token.text != ";"]
    words = [token.upper for token in found]
    if words[:2] == ["DROP", "TRIGGER"]:
        return _refused_name(found[-1].name)
    if words[:2] == ["ALTER", "TABLE"]:
        return _refused_name(found[-1].name) if words[-3:-1] == ["RENAME", "TO"] else None
    if words[:1] == ["CREATE"] and "TRIGGER" in words[:3]:
        inner = (token.name for token in found if token.kind in ("word", "quoted") and is_internal(token.name))
        return next((_refused_write(name) for name in inner), None)
    return None


_COLLATIONS = ("binary", "nocase", "rtrim")
_CALLED_BY_WORD = ("REGEXP", "MATCH")
_BEFORE_NAMES = ("INTO", "TABLE", "REFERENCES", "ON", "VIEW", "EXISTS", "WITH", ".")
"""What stands behind one of these, and before a parenthesis, is no function."""


def refused_calls(sql: str, user_functions: Collection[str]) -> str | None:
    """Why a statement that makes a schema object is refused for what its text calls; None if it isn't.

    `user_functions`: names in lower case of the functions that this connection registered, also over SQLite's own.
    Defaults may name them: other nodes don't ask for them again. SQLite refuses to use such a default ("unsafe use"),
    but a statement may say the value, as Django's do.
    """
    before = ""
    called = ""
    depth = 0
    for token in tokens(sql):
        if depth or (before == "DEFAULT" and token.text == "("):
            depth += (token.text == "(") - (token.text == ")")
            before = ""
            continue
        if token.text == "(" and called in user_functions:
            return refused_function(called)
        word = token.upper
        if before == "COLLATE" and token.name.lower() not in _COLLATIONS:
            return (
                f"collation {token.name} is refused in the schema: other nodes don't have it; "
                f"BINARY, NOCASE and RTRIM are everywhere"
            )
        if word in _CALLED_BY_WORD and word.lower() in user_functions:
            return refused_function(word.lower())
        names = token.kind in ("word", "quoted") and before not in _BEFORE_NAMES
        called = token.name.lower() if names else ""
        before = word or token.text
    return None


def refused_function(name: str) -> str:
    """That a function of the application's can't be part of the schema."""
    return (
        f"function {name} is refused in the schema: this connection registered it, and other nodes don't have it; "
        f"call it in statements instead"
    )
