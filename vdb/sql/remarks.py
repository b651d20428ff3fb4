"""What a statement's text gives away that may not be meant. The one place that parses SQL with sqlglot.

sqlglot doesn't read all of SQLite, and misreads some of it, so what it says is advice and decides nothing: it opens no
door and closes none, and a statement that it can't read has no remarks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from vdb.sql.keywords import leading_words, statement_verb

logging.getLogger("sqlglot").addHandler(logging.NullHandler())  # it would write to standard error what it can't read

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
