"""Rows of a read that leave as long as the policy says so, once their receipt is committed: some at a time."""

from __future__ import annotations

from collections import deque
from typing import Any

from vdb.limits import SQL_ROWS_PER_CHUNK
from vdb.sql.governor import Governor, Row
from vdb.sql.host import run_inline
from vdb.sql.results import Result, live
from vdb.sql.warden import Admission
from vdb.world.using import Using


class ToldRows:
    """What a cursor fetches from, as from a cursor of SQLite's. Raises what `vdb.sql.keeping.Keeper.record` raises."""

    rowcount = -1
    lastrowid = None

    def __init__(self, cursor: Any, admission: Admission, governor: Governor, db: Any, using: Using) -> None:
        self._db = db
        self._using = using
        self._result: Result = live(cursor)
        self._admission = admission
        self._governor = governor
        self._rows: deque[Row] = deque()
        self._first = self._more = True

    @property
    def description(self) -> Any:
        """The columns that are the program's."""
        return _shown(self._result, self._admission)

    def fetchone(self) -> Row | None:
        """The next row, or None."""
        found = self.fetchmany(1)
        return found[0] if found else None

    def fetchmany(self, count: int) -> list[Row]:
        """Up to `count` rows; none at the end."""
        self._governor.check_still(self._admission)
        while len(self._rows) < count and self._more:
            self._read()
        return [self._rows.popleft() for _ in range(min(count, len(self._rows)))]

    def fetchall(self) -> list[Row]:
        """All rows that are left."""
        self._governor.check_still(self._admission)
        while self._more:
            self._read()
        found = list(self._rows)
        self._rows.clear()
        return found

    def _read(self) -> None:
        if not self._first:
            run_inline(self._governor.ask_again(self._admission))
        self._first = False
        self._using.enter()
        try:
            rows = self._result.fetchmany(SQL_ROWS_PER_CHUNK)
        finally:
            self._using.leave()
        names = self._db.text_factory is str  # else what the program wants text as isn't what subjects are called
        told = run_inline(self._governor.told(self._admission, self._result, rows, names=names))
        self._more = len(rows) == SQL_ROWS_PER_CHUNK
        self._rows += told


class UntoldRows:
    """What a cursor fetches from where nobody has a say, and nobody is told, yet: PolicyChanged once a policy holds."""

    rowcount = -1
    lastrowid = None

    def __init__(self, cursor: Any, admission: Admission, governor: Governor) -> None:
        self._cursor = cursor
        self._admission = admission
        self._governor = governor
        self.description = cursor.description

    def fetchone(self) -> Row | None:
        """The next row, or None."""
        self._governor.check_still(self._admission)
        row: Row | None = self._cursor.fetchone()
        return row

    def fetchmany(self, count: int) -> list[Row]:
        """Up to `count` rows; none at the end."""
        self._governor.check_still(self._admission)
        rows: list[Row] = self._cursor.fetchmany(count)
        return rows

    def fetchall(self) -> list[Row]:
        """All rows that are left."""
        self._governor.check_still(self._admission)
        rows: list[Row] = self._cursor.fetchall()
        return rows


def told_result(result: Result, admission: Admission, governor: Governor) -> Result:
    """What a statement that writes has returned, once the audit log is told of it."""
    if not admission.receipt:
        return result
    rows = run_inline(governor.told(admission, result, result.fetchall()))
    description = _shown(result, admission)
    return Result(description=description, rowcount=result.rowcount, lastrowid=result.lastrowid, rows=rows)


def _shown(result: Result, admission: Admission) -> Any:
    description, slots = result.description, len(admission.slots)
    return description[:-slots] if description is not None and slots else description
