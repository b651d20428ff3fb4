"""What a statement will read, write and log, said without running it.

Reads and writes are what SQLite's authorizer is told, so they are complete: also what views, triggers and foreign keys
do. What is logged follows from them. Remarks on the text come on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from vdb.ports import Connection
from vdb.projections.store import SqliteError
from vdb.sql import refusals as actions
from vdb.sql.keywords import tokens
from vdb.sql.remarks import remarks
from vdb.sql.verdict import Action, Classifier, StatementKind, Verdict

_OPERATIONS = {actions.INSERT: "insert", actions.UPDATE: "update", actions.DELETE: "delete"}
_HIDDEN = ("sqlite_master", "sqlite_temp_master")


@frozen(kw_only=True)
class Read:
    """A table or view that is read."""

    table: str
    columns: tuple[str, ...]
    """Empty where only rows are counted."""
    through: str = ""
    """The view or trigger that reads it; empty: the statement itself, or a foreign key."""


@frozen(kw_only=True)
class Write:
    """A table that is written."""

    table: str
    operation: str
    """insert, update or delete."""
    columns: tuple[str, ...] = ()
    """Of an update."""
    through: str = ""
    """`trigger NAME`, `a foreign key`, or empty: the statement itself."""
    temporary: bool = False
    view: bool = False
    """Its INSTEAD OF trigger says what is written."""


@frozen(kw_only=True)
class Explanation:
    """See the module's docstring."""

    verdict: Verdict
    reads: tuple[Read, ...] = ()
    writes: tuple[Write, ...] = ()
    logs: tuple[str, ...] = ()
    """What goes into the log if rows change, a line each."""
    plan: tuple[str, ...] = ()
    """How SQLite goes about it: EXPLAIN QUERY PLAN."""
    remarks: tuple[str, ...] = ()

    def lines(self) -> list[tuple[str, str]]:
        """Everything, as (heading, text); a heading is said once."""
        kind = self.verdict.kind.name.lower().replace("_", " ")
        said = [("statement", kind)]
        said += [("reads", _with(read.table, read.columns, read.through)) for read in self.reads]
        for write in self.writes:
            table = f"{write.table} (temporary)" if write.temporary else write.table
            said.append(("writes", _with(f"{table}: {write.operation}", write.columns, write.through)))
        said += [("logs", line) for line in self.logs or ("nothing",)]
        said += [("plan", line) for line in self.plan]
        said += [("remark", line) for line in self.remarks]
        headings = ["", *(heading for heading, _ in said)]
        return [
            ("" if heading == before else heading, text)
            for before, (heading, text) in zip(headings, said, strict=False)
        ]

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "kind": self.verdict.kind.name,
            "returns_rows": self.verdict.returns_rows,
            "functions": list(self.verdict.functions),
            "reads": [{"table": r.table, "columns": list(r.columns), "through": r.through} for r in self.reads],
            "writes": [
                {"table": w.table, "operation": w.operation, "columns": list(w.columns), "through": w.through}
                for w in self.writes
            ],
            "logs": list(self.logs),
            "plan": list(self.plan),
            "remarks": list(self.remarks),
        }


def explain(db: Connection, classifier: Classifier, sql: str, subjects: Mapping[str, str] | None = None) -> Explanation:
    """Explain a statement. `subjects`: the subject column of each table that has one, by its name in lower case.

    SqlRefused, or SQLite's own error, as when it would run. Parameters needn't be given.
    """
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


def _with(what: str, columns: Sequence[str], through: str) -> str:
    said = f"{what} ({', '.join(columns)})" if columns else what
    return f"{said}, through {through}" if through else said
