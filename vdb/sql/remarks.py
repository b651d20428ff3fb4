"""What a statement's text gives away that may not be meant. The one place that parses SQL with sqlglot.

sqlglot doesn't read all of SQLite, and misreads some of it, so what it says is advice and opens no door: a statement
that it can't read has no remarks, and names nobody whose rows it shows; a policy's condition on rows that it can't read
is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from vdb.errors import SqlRefused
from vdb.sql.keywords import leading_words, statement_verb

logging.getLogger("sqlglot").addHandler(logging.NullHandler())  # it would write to standard error what it can't read

_BEFORE = "SELECT 1 FROM t WHERE "
_GROUPING = ("with_", "with", "distinct", "group", "having", "windows", "laterals")
_READABLE = ("SELECT", "UPDATE", "DELETE", "INSERT", "ALTER")


def remarks(statement: str) -> list[str]:
    """Each a line, about a statement that SQLite takes."""
    verb = statement_verb(statement)
    if verb not in _READABLE and leading_words(statement, 2) != ("DROP", "TABLE"):
        return []
    try:
        tree = sqlglot.parse_one(statement, dialect="sqlite")
    except (SqlglotError, RecursionError):
        return []
    return list(_remarks(tree))


def _remarks(tree: exp.Expr) -> Iterator[str]:
    if isinstance(tree, exp.Update | exp.Delete) and not (tree.args.get("where") or tree.args.get("limit")):
        verb = "changes" if isinstance(tree, exp.Update) else "deletes"
        yield f"{verb} every row of {_table(tree)}: each one becomes an event of its own in the log"
    elif isinstance(tree, exp.Drop) and tree.args.get("kind") == "TABLE":
        yield f"drops table {_table(tree)}: its rows stay in history"
    elif isinstance(tree, exp.Alter) and any(isinstance(action, exp.Drop) for action in tree.args.get("actions") or ()):
        yield f"drops a column of {_table(tree)}: its values stay in history"
    for select in tree.find_all(exp.Select):
        for join in select.args.get("joins") or ():
            if _is_cross(select, join):
                yield f"joins {join.this.alias_or_name} without a condition: each row meets every other"


def _is_cross(select: exp.Select, join: exp.Join) -> bool:
    if not isinstance(join.this, exp.Table) or isinstance(join.this.this, exp.Anonymous):
        return False
    on = join.args.get("on")
    linked = join.args.get("using") or join.args.get("method") or (on and not isinstance(on, exp.Boolean))
    return not linked and select.args.get("where") is None


def _table(tree: exp.Expr) -> str:
    table = tree.find(exp.Table)
    return table.name if table is not None else "a table"


def tables_in_condition(condition: str) -> list[int]:
    """Where in a condition the names of tables begin that it reads. SqlRefused if it can't be read."""
    try:
        tree = sqlglot.parse_one(f"{_BEFORE}{condition}", dialect="sqlite")
    except (SqlglotError, RecursionError):
        raise SqlRefused(f"the policy's condition on rows can't be read: {condition[:200]}") from None
    if not isinstance(tree, exp.Select) or tree.find(exp.With) is not None:
        raise SqlRefused(f"the policy's condition on rows is no single expression: {condition[:200]}")
    found = []
    own = tree.args["from_"].this
    for table in tree.find_all(exp.Table):
        if table is own:
            continue
        if not isinstance(table.this, exp.Identifier) or table.args.get("db") is not None:
            raise SqlRefused(
                f"the policy's condition on rows reads what isn't the plain name of a table: {condition[:200]}"
            )
        found.append(table.this.meta["start"] - len(_BEFORE))
    return found


def plain_sources(statement: str) -> list[tuple[str, str]] | None:
    """The tables of a SELECT whose every row is made of one row of each, with the names that they have in it.

    None for every other one: with grouping, DISTINCT, aggregates that sqlglot knows, windows, subqueries, two parts.
    """
    try:
        tree = sqlglot.parse_one(statement, dialect="sqlite")
    except (SqlglotError, RecursionError):
        return None
    if not isinstance(tree, exp.Select) or any(tree.args.get(part) for part in _GROUPING):
        return None
    inner = tree.find_all(exp.Select, exp.SetOperation, exp.Values, exp.AggFunc, exp.Window)
    source = tree.args.get("from_")
    if source is None or any(found is not tree for found in inner):
        return None
    found = []
    for table in (source.this, *(join.this for join in tree.args.get("joins") or ())):
        if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier) or table.args.get("joins"):
            return None
        found.append((table.alias_or_name, table.name))
    return found if len(found) == sum(1 for _ in tree.find_all(exp.Table)) else None
