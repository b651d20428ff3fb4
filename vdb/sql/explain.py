"""What a statement will read, write and log, said without running it.

Reads and writes are what SQLite's authorizer is told, so they are complete: also what views, triggers and foreign keys
do. What is logged follows from them. Remarks on the text come on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vdb.ports import Connection
from vdb.projections.store import SqliteError
from vdb.sql import refusals as actions
from vdb.sql.explanation import Explanation, Read, Write
from vdb.sql.keywords import tokens
from vdb.sql.verdict import Action, Classifier, StatementKind, Verdict

_OPERATIONS = {actions.INSERT: "insert", actions.UPDATE: "update", actions.DELETE: "delete"}
_HIDDEN = ("sqlite_master", "sqlite_temp_master")


def explain(db: Connection, classifier: Classifier, sql: str, subjects: Mapping[str, str] | None = None) -> Explanation:
    """Explain a statement. `subjects`: the subject column of each table that has one, by its name in lower case.

    SqlRefused, or SQLite's own error, as when it would run. Parameters needn't be given.
    """
    from vdb.sql.remarks import remarks  # loads sqlglot, a good part of a node's start

    verdict = classifier.verdict(sql)
    rows = verdict.kind in (StatementKind.READ, StatementKind.WRITE, StatementKind.TEMP)
    recorded = classifier.record(sql) if rows or verdict.kind is StatementKind.SCHEMA else ()
    writes = _writes(recorded, _views(db)) if rows else ()
    return Explanation(
        verdict=verdict,
        reads=_reads(recorded),
        writes=writes,
        logs=_logs(sql, verdict, writes, subjects or {}),
        plan=_plan(db, sql) if rows and (writes or verdict.returns_rows) else (),
        remarks=tuple(remarks(sql)),
    )


def _reads(recorded: Sequence[Action]) -> tuple[Read, ...]:
    found: dict[tuple[str, str], dict[str, None]] = {}
    for action, table, column, _, source in recorded:
        if action == actions.READ and table and table not in _HIDDEN:
            columns = found.setdefault((table, source or ""), {})
            if column:
                columns[column] = None
    return tuple(Read(table=table, columns=tuple(found[table, source]), through=source) for table, source in found)


def _views(db: Connection) -> dict[str, None]:
    texts = (f"SELECT name FROM {schema} WHERE type = 'view'" for schema in _HIDDEN)
    return dict.fromkeys(name.lower() for (name,) in db.execute(" UNION ALL ".join(texts)).fetchall())


def _writes(recorded: Sequence[Action], views: Mapping[str, None]) -> tuple[Write, ...]:
    found: dict[tuple[str, str, str, bool], dict[str, None]] = {}
    own = next((table for action, table, *_ in recorded if action in _OPERATIONS), None)
    for action, table, column, db, source in recorded:
        if action not in _OPERATIONS or table is None:
            continue
        through = f"trigger {source}" if source else "" if table == own else "a foreign key"
        columns = found.setdefault((table, _OPERATIONS[action], through, db == "temp"), {})
        if action == actions.UPDATE and column:
            columns[column] = None
    return tuple(
        Write(
            table=table,
            operation=operation,
            columns=tuple(columns),
            through=through,
            temporary=temporary,
            view=table.lower() in views,
        )
        for (table, operation, through, temporary), columns in found.items()
    )


def _logs(sql: str, verdict: Verdict, writes: Sequence[Write], subjects: Mapping[str, str]) -> tuple[str, ...]:
    if verdict.kind is StatementKind.SCHEMA:
        return ("the statement itself, as a change of the schema, and rows that it changes",)
    found: dict[str, None] = {}
    for write in writes:
        if not (write.temporary or write.view or write.table.startswith("sqlite_")):
            column = subjects.get(write.table.lower())
            under = f"the subject in its column {column}" if column else "the database's key"
            found[f"{write.operation.capitalize()} of each row of {write.table}, under {under}"] = None
    if found and any(token.upper == "REPLACE" for token in tokens(sql)):
        found["Delete of each row that REPLACE removes"] = None
    return tuple(found)


def _plan(db: Connection, sql: str) -> tuple[str, ...]:
    """Empty where SQLite would need to know parameters by kinds that can't be mixed."""
    variables = [token.text for token in tokens(sql) if token.kind == "variable"]
    named = {text[1:]: None for text in variables if text[0] != "?"}
    positions = _positions([text for text in variables if text[0] == "?"])
    if named and positions:
        return ()
    cursor: Any = db
    try:
        rows = cursor.execute(f"EXPLAIN QUERY PLAN {sql}", named or (None,) * positions).fetchall()
    except SqliteError:
        return ()
    depths = {0: -1}
    lines = []
    for number, parent, _, text in rows:
        depths[number] = depths.get(parent, -1) + 1
        lines.append("  " * depths[number] + text)
    return tuple(lines)


def _positions(variables: Sequence[str]) -> int:
    """How many values `?` and `?NNN` ask for."""
    highest = 0
    for text in variables:
        highest = max(highest, int(text[1:])) if text[1:] else highest + 1
    return highest
