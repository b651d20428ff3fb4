"""A statement's text so that it sees the schema as its author made it: without VerityDB's own tables. Pure.

Programs ask `sqlite_master` which tables there are, to copy them, to drop them, or to find out what is missing; some
ask `pragma_table_list`, and statistics name tables, too. In front of the statement, which stays the user's own text,
stands a common table that takes its place:

    WITH "sqlite_master" AS (SELECT * FROM main."sqlite_master" WHERE ...) SELECT name FROM sqlite_master

A PRAGMA can't be asked so; `pragmas` has what runs for those of them that say something else here.

A name with its schema would go past it, so `main.` goes. Left as they are: statements that name a table of ours, and
so ask for it; those that ask for rowids, which a common table hasn't; and those that use the name for one of their own.
Nothing is kept secret here: who may see what is for the policy to say.
"""

from __future__ import annotations

from collections.abc import Sequence

from vdb.sql.keywords import Token, tokens
from vdb.sql.names import META_TABLE
from vdb.sql.pragmas import instead_of
from vdb.sql.refusals import OWN_PREFIX

_MAIN = ("sqlite_master", "sqlite_schema")
_TEMP = ("sqlite_temp_master", "sqlite_temp_schema")
_STATISTICS = ("sqlite_stat1", "sqlite_stat4")
_LIST = "pragma_table_list"
_ASKED = (*_MAIN, *_TEMP, *_STATISTICS, _LIST)
_NAMES = ("word", "quoted")
_ROWIDS = ("rowid", "oid", "_rowid_")
_AFTER = OWN_PREFIX[:-1] + chr(ord(OWN_PREFIX[-1]) + 1)
# Comparisons alone: a program may have put functions of its own in the place of LIKE and GLOB.


def without_own(sql: str) -> str:
    """The text to run for a statement of a user's."""
    folded = sql.lower()
    if "pragma" in folded:
        sql = instead_of(sql)
    elif "sqlite_" not in folded:
        return sql
    if OWN_PREFIX in folded or META_TABLE in folded:
        return sql
    found = list(tokens(sql))
    begins = found[0].upper if found else ""
    asked = [at for at, token in enumerate(found) if _name(token) in _ASKED]
    if begins not in ("SELECT", "WITH") or not asked or _is_unfit(found, asked):
        return sql
    wanted = dict.fromkeys(_name(found[at]) for at in asked if not _is_of(found, at, "temp"))
    if not wanted:
        return sql
    tables = ", ".join(_shown(name) for name in wanted)
    first = 2 if begins == "WITH" and len(found) > 1 and found[1].upper == "RECURSIVE" else 1
    if begins == "SELECT":
        return f"WITH {tables} {_without_main(sql, found, asked, found[0].end - len(found[0].text))}"
    start = found[first - 1].end
    return f"{sql[:start]} {tables}, {_without_main(sql, found, asked, start)}"


def _shown(name: str) -> str:
    columns = ("name",) if name == _LIST else ("tbl",) if name in _STATISTICS else ("tbl_name", "name")
    source = f"temp.{_MAIN[_TEMP.index(name)]}" if name in _TEMP else f"main.{name}"
    return f'"{name}" AS (SELECT * FROM {source} WHERE {" AND ".join(map(_of_others, columns))})'


def _of_others(column: str) -> str:
    return f"{column} <> '{META_TABLE}' AND NOT ({column} >= '{OWN_PREFIX}' AND {column} < '{_AFTER}')"


def _name(token: Token) -> str:
    return token.name.lower() if token.kind in _NAMES else ""


def _is_of(found: Sequence[Token], at: int, schema: str) -> bool:
    """Whether a name stands behind that of a schema."""
    return at >= 2 and found[at - 1].text == "." and _name(found[at - 2]) == schema


def _is_unfit(found: Sequence[Token], asked: Sequence[int]) -> bool:
    if any(_name(token) in _ROWIDS for token in found):
        return True
    # A common table or an alias of this name: the user's own.
    following = [found[at + 1].upper if at + 1 < len(found) else "" for at in asked]
    opening = [at for at, word in zip(asked, following, strict=True) if word == "AS" and _opens(found, at + 2)]
    columns = [at for at in asked if at + 1 < len(found) and found[at + 1].text == "("]
    aliases = [at for at in asked if at and found[at - 1].upper == "AS"]
    return bool(opening or columns or aliases)


def _opens(found: Sequence[Token], at: int) -> bool:
    return at < len(found) and (found[at].text == "(" or found[at].upper in ("NOT", "MATERIALIZED"))


def _without_main(sql: str, found: Sequence[Token], asked: Sequence[int], start: int) -> str:
    """The text from `start` on, without `main.` before the names that are asked for."""
    parts = []
    for at in asked:
        if _is_of(found, at, "main"):
            schema = found[at - 2]
            parts.append(sql[start : schema.end - len(schema.text)])
            start = found[at].end - len(found[at].text)
    return "".join([*parts, sql[start:]])
