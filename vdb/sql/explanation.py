"""What is told of a statement that isn't run: values alone, so that who asks another machine loads no reader of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from vdb.sql.verdict import Verdict


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
    """What a statement reads, what it writes, and what of that goes into the log."""

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


def _with(what: str, columns: Sequence[str], through: str) -> str:
    said = f"{what} ({', '.join(columns)})" if columns else what
    return f"{said}, through {through}" if through else said
